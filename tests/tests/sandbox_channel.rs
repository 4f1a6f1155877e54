//! Promise: who has taken a process over has its channel to the master and may say everything on it. The
//! master stays alive and right: what breaks the rules ends who said it, what keeps them concerns that
//! process only, and the others serve on.

#![cfg(target_arch = "x86_64")]

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use portolan_shared::message::{Life, PROTOCOL, Role, StartStep, ToMaster};
use portolan_tests::intruder::{Intruder, Outcome, possible};
use portolan_tests::stolen::{self, encoded, say, send};
use portolan_tests::{Stage, client, deadline, processes};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// So much more memory at most, in kB, has a master to whom somebody talks without end: it hears 64 messages a turn,
/// keeps none of them, and leaves the rest in the socket, where the kernel counts it as the sender's.
const FLOODED_KB_MAX: u64 = 8 * 1024;

/// The others and the master are as they were.
fn expect_whole(stage: &Stage, master: i32, others: &[i32]) {
    let portolan = &stage.portolan;
    assert_eq!(portolan.master(), master, "{}", portolan.errors());
    let workers: Vec<i32> = portolan.whole().iter().map(|worker| worker.pid).collect();
    assert!(others.iter().all(|pid| workers.contains(pid)), "{others:?} of {workers:?}");
    client::connect(stage.front).expect_echo(b"still here");
    let info = portolan.ask("show info");
    assert!(info.contains(&format!("Pid: {master}\n")), "{info}");
}

#[test]
fn who_breaks_the_rules_of_the_channel_is_ended_and_nobody_else() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(7));
    let portolan = &stage.portolan;
    let master = portolan.master();
    let workers: Vec<i32> = portolan.whole().iter().map(|worker| worker.pid).collect();
    let (bystander, victims) = workers.split_first().expect("workers");
    let known = encoded(&ToMaster::Ready);
    let future = [&(PROTOCOL + 7).to_le_bytes()[..], &known[2..]].concat();
    let unknown = [&PROTOCOL.to_le_bytes()[..], &[200, 1, 2, 3]].concat();
    let cut = {
        let whole = encoded(&ToMaster::Short { short: true, reason: "descriptors".into() });
        whole[..whole.len() - 3].to_vec()
    };
    let version = encoded(&ToMaster::Hello { version: "\x1b[2Jx".into() });
    let attempts: [(&str, &[u8], usize); 6] = [
        ("one byte", &known[..1], 1),
        ("another protocol", &future, 1),
        ("an unknown message", &unknown, 1),
        ("a message that is cut", &cut, 1),
        ("more than 64 kB", &[7; 8192], 9),
        ("a version that is none", &version, 1),
    ];
    for ((what, bytes, times), pid) in attempts.into_iter().zip(victims) {
        let mut intruder = Intruder::into(*pid);
        let outcome = send(&mut intruder, bytes, times, &[]);
        // The answer may be faster than the end of the call.
        let sent = Outcome::Done((bytes.len() * times) as i64);
        assert!([sent, Outcome::Killed(Signal::SIGKILL)].contains(&outcome), "{what}: {outcome}");
        intruder.leave();
        portolan.wait_error(&format!("Worker ({pid}) is ended: "));
        deadline::until(what, || !processes::alive(*pid));
    }
    expect_whole(&stage, master, &[*bystander]);
}

#[test]
fn forged_messages_concern_nobody_but_who_sends_them() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(3));
    let portolan = &stage.portolan;
    let master = portolan.master();
    let workers: Vec<i32> = portolan.whole().iter().map(|worker| worker.pid).collect();
    let before = portolan.ask("show proc");
    let mut intruder = Intruder::into(workers[0]);
    say(&mut intruder, &ToMaster::Ready);
    say(&mut intruder, &ToMaster::Ready);
    for (nonce, slot) in [(0, 1), (u64::MAX, 0), (1, 900)] {
        say(
            &mut intruder,
            &ToMaster::Adopted {
                nonce,
                role: Role::Checker,
                slot,
                generation: 99,
                life: Life::Stopping,
                paused: true,
                short: true,
                streams: Some(7),
                version: "9.9.9".into(),
            },
        );
    }
    for id in [0, 1, u32::MAX] {
        let text = "# worker 2\nforged\n\n".to_owned();
        say(&mut intruder, &ToMaster::Reply { id, text, last: true });
    }
    // With every descriptor that fits, and more than a message may have.
    let draining = encoded(&ToMaster::Draining { streams: u32::MAX });
    let sent = send(&mut intruder, &draining, 1, &[0; 64]);
    assert_eq!(sent, Outcome::Done(draining.len() as i64));
    let reason = "nothing\n<0>Current worker (1) is ended".to_owned();
    say(&mut intruder, &ToMaster::Short { short: true, reason: reason.clone() });
    say(&mut intruder, &ToMaster::Short { short: false, reason });
    intruder.leave();
    let line = portolan.wait_error("is short of nothing");
    assert!(line.contains("nothing#0A<0>Current worker (1) is ended"), "{line}");
    portolan.wait_error("accepts again");
    expect_whole(&stage, master, &workers);
    let rows = |text: &str| text.lines().count();
    assert_eq!(rows(&portolan.ask("show proc")), rows(&before));
    let listing = portolan.ask("show activity");
    assert!(!listing.contains("forged"), "{listing}");

    // What it says of itself is believed: it is replaced, and its reason is told with its end.
    let mut intruder = Intruder::into(workers[0]);
    let reason = "as it likes".to_owned();
    say(&mut intruder, &ToMaster::Failed { step: StartStep::Chroot, reason });
    say(&mut intruder, &ToMaster::Leaving);
    intruder.leave();
    deadline::until("it has a successor", || {
        portolan.workers().iter().all(|worker| worker.pid != workers[0])
    });
    expect_whole(&stage, master, &workers[1..]);
}

#[test]
fn who_talks_without_end_does_not_hold_the_master() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(2));
    let portolan = &stage.portolan;
    let master = portolan.master();
    let workers: Vec<i32> = portolan.whole().iter().map(|worker| worker.pid).collect();
    let descriptors = || processes::descriptors(master).len();
    let before = descriptors();
    // The most that was ever resident.
    let peak_kb = || -> u64 {
        let peak = processes::status(master, "VmHWM").expect("its peak");
        peak.trim_end_matches("kB").trim().parse().expect("a number")
    };
    let commands = || {
        let info = portolan.ask("show info");
        assert!(info.contains(&format!("Pid: {master}\n")), "{info}");
        let activity = portolan.ask("show activity");
        let other = format!("# worker 2 pid {} generation 1\n", workers[1]);
        let (_, answer) = activity.split_once(&other).expect("the other worker");
        assert!(answer.starts_with("worker: "), "{activity}");
    };
    commands();
    let peak_before = peak_kb();
    let channel = stolen::end(workers[0]);
    let over = AtomicBool::new(false);
    let (mut sent, mut full) = (0, 0);
    std::thread::scope(|scope| {
        let floods: Vec<_> =
            (0..2).map(|_| scope.spawn(|| flood(channel.as_fd(), &over))).collect();
        for _ in 0..20 {
            commands();
        }
        over.store(true, Ordering::Relaxed);
        for flood in floods {
            let (one_sent, one_full) = flood.join().expect("a flood");
            (sent, full) = (sent + one_sent, full + one_full);
        }
    });
    assert!(sent > 0 && full > 0, "{sent} sent, {full} times full: the master was never behind");
    let grown = peak_kb() - peak_before;
    assert!(grown < FLOODED_KB_MAX, "{grown} kB more, after {sent} messages");
    let told = portolan.errors().lines().filter(|line| line.contains("is short of")).count();
    assert!((1..100).contains(&told), "{told} lines");
    deadline::until("its descriptors are closed", || descriptors() <= before + 2);
    expect_whole(&stage, master, &workers[1..]);
}

/// Messages of all kinds that end nothing, long ones too, as fast as this machine can; how many were sent, and how often the channel was full.
fn flood(channel: BorrowedFd<'_>, over: &AtomicBool) -> (u64, u64) {
    let (mut sent, mut full) = (0, 0);
    let long = "all".repeat(20_000);
    let short = |short, reason: &str| ToMaster::Short { short, reason: reason.to_owned() };
    let messages = [
        short(true, "all"),
        short(false, "all"),
        short(true, &long),
        ToMaster::Reply { id: u32::MAX, text: long.clone(), last: false },
        short(false, &long),
        ToMaster::Failed { step: StartStep::Setup, reason: long },
        ToMaster::Draining { streams: u32::MAX },
        ToMaster::Unlinked { links: u32::MAX },
    ]
    .map(|message| encoded(&message));
    let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
    for n in 0_usize.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let mut beside = SendAncillaryBuffer::new(&mut room);
        let descriptors = [channel; 32];
        if n % 8 == 0 {
            assert!(beside.push(SendAncillaryMessage::ScmRights(&descriptors)));
        }
        let pieces = [IoSlice::new(&messages[n / 3 % messages.len()])];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::sendmsg(channel, &pieces, &mut beside, flags) {
            Ok(_) => sent += 1,
            Err(Errno::AGAIN | Errno::TOOMANYREFS) => full += 1,
            Err(error) => panic!("{error}"),
        }
    }
    (sent, full)
}

#[test]
fn whatever_bytes_come_the_master_goes_on() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(9));
    let portolan = &stage.portolan;
    let master = portolan.master();
    let workers = portolan.whole();
    let (bystander, victims) = workers.split_first().expect("workers");
    let adopted = ToMaster::Adopted {
        nonce: 1,
        role: Role::Worker,
        slot: 1,
        generation: 1,
        life: Life::Serving,
        paused: false,
        short: false,
        streams: Some(1),
        version: "1".to_owned(),
    };
    let reply = ToMaster::Reply { id: 1, text: "some text".to_owned(), last: true };
    let valid = [adopted, reply, ToMaster::Draining { streams: 300 }].map(|one| encoded(&one));
    // xorshift; another seed for each worker.
    for (seed, victim) in (1_u64..).zip(victims) {
        let channel = stolen::end(victim.pid);
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        for _ in 0..200 {
            let mut bytes = valid[next() % valid.len()].clone();
            for _ in 0..=next() % 3 {
                // The protocol's number stays, that what is behind it is looked at.
                let at = 2 + next() % (bytes.len() - 2);
                bytes[at] = next() as u8;
            }
            bytes.truncate(2 + next() % (2 * bytes.len()));
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            // Its end may have been closed by then, or be full.
            let _ = rustix::net::send(&channel, &bytes, flags);
        }
    }
    let ended = |pid: i32| format!("Worker ({pid}) is ended: a message has no known form");
    deadline::until("somebody is ended for it", || {
        let errors = portolan.errors();
        victims.iter().any(|one| errors.contains(&ended(one.pid)))
    });
    expect_whole(&stage, master, &[bystander.pid]);
}
