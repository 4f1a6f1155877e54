//! Exact limits, over real processes that are killed at any moment: never one too many inside, and
//! nobody waits for ever while a place is free; states, rates and observed errors stay exact too.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use portolan_shared::memory::{Assigned, Lane, Memory, Object, Place, Total, Verdict};
use portolan_shared::message::MemoryKind;
use portolan_shared::sys::spawn::{Child, Spawn, spawn};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

/// Processes, each with a lane.
const LANES: usize = 8;
/// Orders given to each process.
const ROUNDS: u64 = 100;
/// Streams per order, as the program has it.
const STREAMS: u64 = 100;
/// Longer than the program's own patience, so that it is the one to say what is wrong; seconds.
const PATIENCE_S: i64 = 40;
/// Events let through a second, as the program has it.
const RATE: u64 = 1000;
/// Errors of an alarm, as the program has it.
const ERRORS: u64 = 10;
/// The shared queue, as the program has it.
const QUEUE: Object = 1;

struct Member {
    child: Child,
    orders: UnixStream,
    lane: Lane,
}

/// What a worker's master does: starts, kills, releases, rings.
struct Family {
    program: File,
    memory: Memory,
    caps: Vec<u32>,
    /// A file per server, whose bytes stand for its places.
    places: Vec<File>,
    doorbells: Vec<OwnedFd>,
    members: Vec<Member>,
    random: u64,
    kills: u64,
    /// How often the states have changed.
    changes: u64,
}

impl Family {
    fn new(caps: &[u32]) -> Self {
        let mut memory = Memory::create().expect("a head");
        let objects = QUEUE + 1 + caps.len() as Object;
        let _ =
            memory.prepare(&Assigned { chunks: 1, objects, reused: Vec::new() }).expect("a chunk");
        let bell =
            |_| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
        let mut family = Self {
            program: File::open(env!("CARGO_BIN_EXE_memory-lane")).expect("the program"),
            memory,
            caps: caps.to_vec(),
            places: caps.iter().map(|_| tempfile::tempfile().expect("a file")).collect(),
            doorbells: (0..LANES).map(bell).collect(),
            members: Vec::new(),
            random: u64::from(std::process::id()) << 32 | 1,
            kills: 0,
            changes: 0,
        };
        for _ in 0..LANES {
            family.start();
        }
        family
    }

    fn start(&mut self) {
        let lane = self.memory.claim_lane(0).expect("a free lane");
        let (orders, theirs) = UnixStream::pair().expect("a pair");
        let mut given = vec![theirs.as_fd()];
        // As the master does it: whoever serves may only read the states.
        let states = self.memory.reopen_states(0).expect("once more");
        given.extend(self.memory.descriptors().map(|(kind, fd)| match kind {
            MemoryKind::States(_) => states.as_fd(),
            _ => fd,
        }));
        given.extend(self.places.iter().map(AsFd::as_fd));
        given.extend(self.doorbells.iter().map(AsFd::as_fd));
        let map: Vec<_> = given.into_iter().zip(3..).collect();
        let mut argv = vec![String::from("memory-lane"), lane.to_string(), LANES.to_string()];
        argv.extend(self.caps.iter().map(u32::to_string));
        let argv: Vec<_> =
            argv.into_iter().map(|word| CString::new(word).expect("a word")).collect();
        let exe = self.program.as_fd();
        let what = Spawn { exe, argv: &argv, env: &[], map: &map, null_stdin: true };
        let child = spawn(&what).expect("a process");
        self.memory.set_owner(lane, child.pid.as_raw());
        self.members.push(Member { child, orders, lane });
    }

    /// Has every process work off an order, while some of them may be killed.
    fn round(&mut self, may_kill: bool) {
        for member in &mut self.members {
            member.orders.write_all(b".").expect("an order");
        }
        let victims = if may_kill { self.below(4) } else { 0 };
        for _ in 0..victims {
            for _ in 0..self.below(2_000) {
                self.check_caps();
                self.change_states();
            }
            let victim = self.below(self.members.len() as u64) as usize;
            self.kill(victim);
        }
        for member in &mut self.members {
            member.answer();
        }
        while self.members.len() < LANES {
            self.start();
        }
    }

    /// Ends one process as the kernel's out-of-memory killer would, then does as the master does.
    fn kill(&mut self, victim: usize) {
        let member = self.members.swap_remove(victim);
        pidfd_send_signal(&member.child.pidfd, Signal::KILL).expect("our own child");
        member.reap();
        assert!(!self.memory.owner(member.lane).lives());
        self.memory.release_lane(member.lane);
        for doorbell in &self.doorbells {
            rustix::io::write(doorbell, &1_u64.to_ne_bytes()).expect("a doorbell rings");
        }
        self.kills += 1;
    }

    /// What a checker does: the states of every server, then the version.
    fn change_states(&mut self) {
        self.changes += 1;
        let verdict = Verdict { duration_ms: self.changes as u32, ..Verdict::default() };
        for object in (QUEUE + 1..).take(self.caps.len()) {
            self.memory.store_verdict(object, verdict, self.changes, self.changes);
        }
        self.memory.bump_states(QUEUE);
    }

    /// What belongs to no lane: a kill may have come between an event and its count.
    fn check_words(&self, seconds: u64) {
        let of = |total| self.memory.total(QUEUE, total);
        let (errors, raised) = (of(Total::ConnectErrors), of(Total::Retries));
        let alarms = self.memory.alarms(QUEUE);
        assert!(
            (raised..=raised + self.kills).contains(&alarms),
            "{alarms} alarms, {raised} raised"
        );
        assert!(alarms * ERRORS <= errors, "{alarms} alarms of {errors} errors");
        assert!(errors < (alarms + 1) * ERRORS + self.kills, "{alarms} alarms of {errors} errors");
        let let_through = of(Total::Connections);
        assert!(let_through <= RATE * (seconds + 2), "{let_through} in {seconds} s");
        assert!(self.memory.states_version(QUEUE) == self.changes && self.changes > 0);
    }

    /// What everybody sees at any time: attempts may be counted for a moment, at most one a lane.
    fn check_caps(&self) {
        for (cap, object) in self.caps.iter().zip(QUEUE + 1..) {
            assert!(self.memory.current(object) <= cap + LANES as u32);
        }
    }

    /// Nobody is inside and nobody waits: nothing was left behind, by the dead either.
    fn check_empty(&self) {
        for object in 0..=QUEUE + self.caps.len() as Object {
            assert_eq!(self.memory.current(object), 0, "object {object}");
            assert_eq!(self.memory.waiting(object), 0, "object {object}");
            assert_eq!(self.memory.first_waiter(&Place::new(object, None)), None);
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }
}

impl Member {
    /// Waits until it has worked off its order.
    fn answer(&mut self) {
        let limit = Timespec { tv_sec: PATIENCE_S, tv_nsec: 0 };
        let lane = self.lane;
        let heard = poll(&mut [PollFd::new(&self.orders, PollFlags::IN)], Some(&limit));
        assert_eq!(heard, Ok(1), "lane {lane} has not finished");
        let mut answer = [0];
        let length = self.orders.read(&mut answer).unwrap_or(0);
        assert_eq!(length, 1, "lane {lane} has ended with status {:?}", self.reap());
    }

    /// Its exit status, `None` when it was killed.
    fn reap(&self) -> Option<i32> {
        let ended = waitid(WaitId::PidFd(self.child.pidfd.as_fd()), WaitIdOptions::EXITED);
        ended.expect("our own child").and_then(|status| status.exit_status())
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for member in &self.members {
            // It may have ended by itself.
            let _ = pidfd_send_signal(&member.child.pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(member.child.pidfd.as_fd()), WaitIdOptions::EXITED);
        }
    }
}

fn stress(caps: &[u32]) {
    let begun = Instant::now();
    let mut family = Family::new(caps);
    for round in 0..ROUNDS {
        family.round(round % 4 != 0);
        family.check_empty();
    }
    family.check_words(begun.elapsed().as_secs());
    let sessions: u64 = (QUEUE + 1..)
        .zip(caps)
        .map(|(object, _)| family.memory.total(object, Total::Sessions))
        .sum();
    let most = LANES as u64 * ROUNDS * STREAMS;
    assert!(family.kills > 0, "nobody was killed");
    assert!((most / 4..=most).contains(&sessions), "{sessions} of {most} streams got in");
    for member in std::mem::take(&mut family.members) {
        drop(member.orders);
        let ended = waitid(WaitId::PidFd(member.child.pidfd.as_fd()), WaitIdOptions::EXITED);
        let status = ended.expect("our own child").and_then(|status| status.exit_status());
        assert_eq!(status, Some(0));
    }
}

#[test]
fn eight_processes_share_five_places_and_some_are_killed() {
    stress(&[5]);
}

#[test]
fn eight_processes_fight_for_one_place() {
    stress(&[1]);
}

#[test]
fn two_servers_with_one_queue_serve_eight_processes() {
    stress(&[1, 2]);
}
