//! Plays the owner of one lane: streams come, want a place, wait, give up, get in and leave, by the
//! rules of `shared::memory`, as fast as they can.
//!
//! Shell. Arguments: lane, number of lanes, then the cap of each server. Descriptors: 3 the test, 4 to 6
//! the memory, 7 and on a file per server, then a doorbell per lane.
//!
//! - Each byte the test sends stands for [`STREAMS`] streams; it is answered when all are gone.
//! - Who is inside holds a lock on one byte of its server's file, which has as many bytes as the server
//!   has places. The kernel keeps the locks, apart from all counting, and frees those of the dead.
//! - With each stream an event is counted that may come [`RATE`] times a second, an error is observed of
//!   which [`ERRORS`] are an alarm, and states are read, which must be as new as their version.
//! - Exit status: 0 when the test closes its end, [`TOO_MANY`], [`STRANDED`], [`STALE`], anything else
//!   otherwise.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{ExitCode, exit};
use std::rc::Rc;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use portolan_shared::memory::{Entry, Lane, Memory, Object, OwnLane, Place, Rate, Total, Waiters};
use portolan_shared::sys::inherited;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Streams per order of the test.
const STREAMS: u32 = 100;
/// Streams at once, inside and waiting.
const AT_ONCE: usize = 4;
/// So long a lane may wait for its turn, seconds: nobody stays inside for longer than a moment.
const PATIENCE_S: i64 = 20;
/// More were inside than there are places.
const TOO_MANY: i32 = 42;
/// Nobody rang although a place must be free.
const STRANDED: i32 = 43;
/// States were older than the version that told of them.
const STALE: i32 = 44;
/// So many events a second are let through, over all processes.
const RATE: u32 = 1000;
/// So many errors in a row are an alarm.
const ERRORS: u32 = 10;
/// The shared queue of the servers, which are the objects after it.
const QUEUE: Object = 1;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<ExitCode> {
    let numbers: Vec<u32> = std::env::args()
        .skip(1)
        .map(|number| number.parse())
        .collect::<std::result::Result<_, _>>()?;
    let [lane, lanes, caps @ ..] = numbers.as_slice() else { return Err("arguments".into()) };
    let mut next = 3..;
    let mut take = || next.next().and_then(inherited).ok_or("a descriptor is missing");
    let mut test = UnixStream::from(take()?);
    let mut memory = Memory::attach(take()?)?;
    memory.attach_chunk(0, take()?)?;
    memory.attach_states(0, take()?)?;
    let mut servers = Vec::new();
    for (cap, object) in caps.iter().zip(QUEUE + 1..) {
        let place = Place::of(object, Some(*cap), QUEUE);
        servers.push(Server { place, places: File::from(take()?), held: Vec::new() });
    }
    assert!(!memory.may_write_states(), "only the test may");
    let doorbells = (0..*lanes).map(|_| take()).collect::<std::result::Result<_, _>>()?;
    let lane = OwnLane::new(Rc::new(memory), *lane as Lane).ok_or("the lane is not live")?;
    let random = u64::from(std::process::id()) << 32 | 1;
    let mut worker = Worker {
        lane,
        doorbells,
        servers,
        waiting: BTreeSet::new(),
        rung: false,
        clock: 0,
        random,
    };
    let mut order = [0];
    while test.read(&mut order)? == 1 {
        worker.work()?;
        test.write_all(&order)?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Server {
    place: Place,
    /// A byte per place.
    places: File,
    /// The bytes our streams hold.
    held: Vec<i64>,
}

struct Worker {
    lane: OwnLane,
    doorbells: Vec<OwnedFd>,
    servers: Vec<Server>,
    /// The pending queue: since when.
    waiting: BTreeSet<u64>,
    /// It is our own turn.
    rung: bool,
    clock: u64,
    random: u64,
}

impl Worker {
    /// Lets all streams of an order come and go.
    fn work(&mut self) -> Result<()> {
        let mut to_come = STREAMS;
        while to_come > 0 || self.inside() > 0 || !self.waiting.is_empty() {
            let here = self.inside() + self.waiting.len();
            match self.below(16) {
                0..6 if to_come > 0 && here < AT_ONCE => {
                    to_come -= 1;
                    self.arrive();
                }
                6..12 if self.inside() > 0 => self.leave(),
                12 if !self.waiting.is_empty() => self.give_up(),
                13..16 if !self.waiting.is_empty() => {
                    let idle = self.inside() == 0 && (to_come == 0 || here == AT_ONCE);
                    self.hear(idle)?;
                }
                _ => rustix::thread::sched_yield(),
            }
            while std::mem::take(&mut self.rung) {
                self.serve();
            }
        }
        Ok(())
    }

    fn inside(&self) -> usize {
        self.servers.iter().map(|server| server.held.len()).sum()
    }

    /// Uses what is shared without belonging to a lane. What is counted is counted in the lane before
    /// or after, so a kill leaves a difference of one.
    fn witness(&self) {
        let memory = self.lane.memory();
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now_ms = now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000;
        self.lane.add(QUEUE, Total::ConnectErrors, 1);
        if memory.observe(QUEUE, false, ERRORS) {
            self.lane.add(QUEUE, Total::Retries, 1);
        }
        if memory.rate_take(QUEUE, Rate::Sessions, RATE, now_ms).is_ok() {
            self.lane.add(QUEUE, Total::Connections, 1);
        }
        let version = memory.states_version(QUEUE);
        for server in &self.servers {
            let state = memory.server_state(server.place.object);
            let (fingerprint, verdict) = (state.fingerprint, state.verdict.duration_ms.into());
            if !(version <= fingerprint && fingerprint <= verdict && verdict <= state.changed_ms) {
                eprintln!("{state:?} under version {version}");
                exit(STALE);
            }
        }
    }

    fn arrive(&mut self) {
        self.witness();
        let memory = self.lane.memory();
        let waited = self.servers.iter().any(|server| memory.anyone_waits(&server.place));
        let first = self.below(self.servers.len() as u64) as usize;
        for n in 0..self.servers.len() {
            let server = (first + n) % self.servers.len();
            if !waited && self.got_in(server, self.lane.enter(&self.servers[server].place)) {
                return;
            }
        }
        self.clock += 1;
        self.waiting.insert(self.clock);
        self.publish();
        self.serve();
    }

    fn serve(&mut self) {
        for server in 0..self.servers.len() {
            while self.got_in(server, self.lane.take(&self.servers[server].place)) {
                self.waiting.pop_first();
                self.publish();
            }
        }
    }

    fn got_in(&mut self, server: usize, entry: Entry) -> bool {
        match entry {
            Entry::In => {
                self.lane.add(self.servers[server].place.object, Total::Sessions, 1);
                self.hold(server);
                true
            }
            Entry::Full { ring } => {
                self.ring(ring);
                false
            }
        }
    }

    fn leave(&mut self) {
        let first = self.below(self.servers.len() as u64) as usize;
        let servers = (first..self.servers.len()).chain(0..first);
        let Some(server) = servers.into_iter().find(|n| !self.servers[*n].held.is_empty()) else {
            return;
        };
        self.release(server);
        let ring = self.lane.leave(&self.servers[server].place);
        self.ring(ring);
    }

    fn give_up(&mut self) {
        self.waiting.pop_first();
        self.publish();
        for server in 0..self.servers.len() {
            let ring = self.lane.pass_on(&self.servers[server].place);
            self.ring(ring);
        }
    }

    fn publish(&self) {
        let waiters = self.waiting.first().map(|since| Waiters {
            count: self.waiting.len() as u32,
            priority: 0,
            since: *since,
        });
        self.lane.publish(QUEUE, waiters);
    }

    fn ring(&mut self, lane: Option<Lane>) {
        match lane {
            Some(lane) if lane == self.lane.number() => self.rung = true,
            Some(lane) => {
                let doorbell = &self.doorbells[usize::from(lane)];
                rustix::io::write(doorbell, &1_u64.to_ne_bytes()).expect("a doorbell rings");
            }
            None => {}
        }
    }

    /// Answers the doorbell; waits for it when there is nothing else to do.
    fn hear(&mut self, wait: bool) -> Result<()> {
        let doorbell = &self.doorbells[usize::from(self.lane.number())];
        let limit = Timespec { tv_sec: if wait { PATIENCE_S } else { 0 }, tv_nsec: 0 };
        let heard = poll(&mut [PollFd::new(doorbell, PollFlags::IN)], Some(&limit))?;
        if heard == 1 {
            rustix::io::read(doorbell, &mut [0_u8; 8])?;
            self.rung = true;
        } else if wait {
            eprintln!("lane {} waits for ever", self.lane.number());
            exit(STRANDED);
        }
        Ok(())
    }

    /// Locks one of the bytes of a server, which is impossible only when too many are inside.
    fn hold(&mut self, server: usize) {
        let Server { place, places, held } = &mut self.servers[server];
        let bytes = i64::from(place.cap.unwrap_or(0));
        let free =
            (0..bytes).find(|byte| !held.contains(byte) && lock(places, *byte, libc::F_WRLCK));
        let Some(byte) = free else {
            eprintln!("more than {bytes} are inside");
            exit(TOO_MANY);
        };
        held.push(byte);
    }

    fn release(&mut self, server: usize) {
        let Server { places, held, .. } = &mut self.servers[server];
        if let Some(byte) = held.pop() {
            assert!(lock(places, byte, libc::F_UNLCK), "a lock of our own");
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }
}

/// Locks or unlocks one byte for this process; false when another holds it.
fn lock(file: &File, byte: i64, kind: libc::c_int) -> bool {
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(file.as_fd(), FcntlArg::F_SETLK(&lock)).is_ok()
}
