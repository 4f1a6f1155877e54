//! Promise: of the memory that processes share a taken-over worker may spoil counts, until it and those
//! whose counts they are have been replaced; it marks no server up or down, takes no lane away, and nobody
//! fails of what it writes.

#![cfg(target_arch = "x86_64")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use portolan_tests::intruder::{Intruder, Outcome, possible};
use portolan_tests::{Stage, client, deadline, processes};

/// A piece of shared memory, as a process has mapped it.
#[derive(Debug)]
struct Piece {
    at: u64,
    length: u64,
    writable: bool,
    name: String,
}

/// What a process has mapped and shares.
fn shared(pid: i32) -> Vec<Piece> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its mappings");
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let access = words.next()?;
        let name = words.nth(3)?.to_owned();
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (at, writable) = (number(start)?, access.contains('w'));
        let is_shared = access.ends_with('s') && name.starts_with("/memfd:");
        is_shared.then_some(Piece { at, length: number(end)? - at, writable, name })
    };
    maps.lines().filter_map(one).collect()
}

#[test]
fn the_states_of_servers_are_out_of_a_workers_reach() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(2));
    let worker = stage.portolan.whole().remove(0);
    let states: Vec<Piece> =
        shared(worker.pid).into_iter().filter(|one| one.name.contains("states")).collect();
    assert!(!states.is_empty());
    let mut intruder = Intruder::into(worker.pid);
    for piece in states {
        assert!(!piece.writable, "{piece:?}");
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let protect = [piece.at.into(), piece.length.into(), both.into()];
        assert_eq!(intruder.call(libc::SYS_mprotect, &protect), Outcome::Failed(Errno::EACCES));
    }
    // Nor is there a descriptor left through which to map it anew.
    let names = processes::descriptors(worker.pid);
    assert!(!names.iter().any(|name| name.contains("portolan-states")), "{names:?}");
    intruder.leave();
    stage.expect_served_by(worker.pid);
}

#[test]
fn garbage_in_shared_memory_costs_service_at_most_and_a_reload_ends_that() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(3).global("maxconn", 100));
    let portolan = &stage.portolan;
    let master = portolan.master();
    let workers = portolan.whole();
    let (attacker, others) = workers.split_first().expect("workers");
    client::connect(stage.front).expect_echo(b"before");
    let intruder = Intruder::into(attacker.pid);
    for piece in shared(attacker.pid).into_iter().filter(|piece| piece.writable) {
        // (Not such as makes a count 0 with one more: that is an error of ours where errors are looked for.)
        let garbage = vec![0x11; 1 << 20];
        for at in (0..piece.length).step_by(garbage.len()).take(8) {
            let length = (piece.length - at).min(garbage.len() as u64) as usize;
            intruder.write(piece.at + at, &garbage[..length]);
        }
    }
    // It has done what it wanted and goes no further.
    intruder.kill();
    portolan.wait_error("words of shared memory were not as written: put right");
    // What the master alone writes holds again: the slot is filled, and nobody else has ended.
    deadline::until("the slot is filled again", || {
        portolan.workers().iter().any(|one| one.slot == attacker.slot && one.pid != attacker.pid)
    });
    let whole = portolan.whole();
    assert!(others.iter().all(|one| whole.contains(one)), "{whole:?}");
    assert_eq!(portolan.master(), master);
    // The limit is full in the counts of who lives; with them it is gone.
    let mut client = client::connect(stage.front);
    client.limit(Duration::from_secs(1));
    assert!(client.exchange(b"x").is_err(), "maxconn was not pinned");
    portolan.reload();
    portolan.only_newest();
    for _ in 0..10 {
        client::connect(stage.front).expect_echo(b"afterwards");
    }
    assert_eq!(portolan.master(), master);
}

/// Where the bit of a lane that lives is, and its owner's first words: layout 2 of shared memory.
fn lane(number: u64) -> (u64, u64, u64) {
    (8 * (8 + number / 64), 1 << (number % 64), 4096 + 128 * number)
}

#[test]
fn a_master_that_follows_ends_nobody_whom_a_worker_has_named() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(2).global("heartbeat_timeout", "\"500ms\""));
    let portolan = &stage.portolan;
    let workers = portolan.whole();
    let mut stranger = Command::new("/bin/sleep").arg("60").spawn().expect("a stranger");
    let pid = stranger.id() as i32;
    let started = portolan_shared::memory::process_start_time(pid).expect("when it has begun");
    let lanes = shared(workers[0].pid).into_iter().find(|one| one.name.contains("lanes"));
    let lanes = lanes.expect("its lanes").at;
    let (word, bit, owner) = lane(200);
    // While the master cannot put it right, and then it dies.
    let master = Intruder::into(portolan.master());
    let intruder = Intruder::into(workers[0].pid);
    let read = |at: u64| {
        let bytes = intruder.read(lanes + at, 8);
        u64::from_ne_bytes(bytes.try_into().expect("a word"))
    };
    assert_eq!(read(word) & bit, 0, "the lane is free");
    for (at, value) in [(owner, pid as u64), (owner + 8, 1), (owner + 16, started)] {
        intruder.write(lanes + at, &value.to_ne_bytes());
    }
    intruder.write(lanes + word, &(read(word) | bit).to_ne_bytes());
    intruder.leave();
    let former = master.pid();
    master.kill();
    deadline::until("another master", || portolan.try_master().is_some_and(|pid| pid != former));
    portolan.wait_error("processes of a former master adopted");
    deadline::until("the lane is free again", || {
        let workers = portolan.workers();
        let Some(worker) = workers.first() else { return false };
        let lanes = shared(worker.pid).into_iter().find(|one| one.name.contains("lanes"));
        let Some(lanes) = lanes else { return false };
        let file = fs::File::open(format!("/proc/{}/mem", worker.pid)).expect("its memory");
        let mut bytes = [0; 8];
        let whole = file.read_exact_at(&mut bytes, lanes.at + word).is_ok();
        whole && u64::from_ne_bytes(bytes) & bit == 0
    });
    assert!(processes::alive(pid), "the stranger was ended");
    stranger.kill().expect("the stranger's end");
    stranger.wait().expect("the stranger's end");
    client::connect(stage.front).expect_echo(b"afterwards");
}
