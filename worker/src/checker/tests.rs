//! A checker in this thread: real sockets and real shared memory, turned by hand, on a clock that moves
//! when the test says so.

mod agents;
mod alarms;
mod commands;
mod conversations;
mod states;
mod takeover;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::MutexGuard;
use std::time::Duration;

use portolan_shared::channel::Channel;
use portolan_shared::log::{Log, Zone, monotonic_ms};
use portolan_shared::memory::{Lane, Memory, Operational, OwnLane, Registry, ServerState};
use portolan_shared::message::{Hello, MemoryKind, Role, ToWorker};
use portolan_shared::model::{Config, Health, Probe, Server};
use rustix::event::{EventfdFlags, eventfd};

use super::Checker;
use super::farms::{At, look_at};
use super::start::{Parts, assemble};
use crate::clock::Millis;
use crate::poller::Poller;
use crate::rig::{alone, sample};
use crate::start::Basis;

/// So far the test's clock is ahead of the kernel's.
const AHEAD_MS: Millis = 1_000_000;
/// So many cycles without anything happening mean that nothing will.
const QUIET_CYCLES: u32 = 4;
const CYCLES_MAX: u32 = 10_000;

/// One instance with a checker, and a lane that a worker could have.
pub struct Bench {
    pub config: Config,
    pub memory: Memory,
    pub checker: Option<Checker>,
    pub master: Channel,
    pub now: Millis,
    /// The doorbell of that worker.
    pub bell: OwnedFd,
    worker: Lane,
    own_bell: Option<OwnedFd>,
    log: UnixDatagram,
    log_end: UnixDatagram,
    registry: Registry,
    generation: u32,
    _alone: MutexGuard<'static, ()>,
}

/// A server that is checked every two seconds: down after three failures, up after two successes.
pub fn checked(name: &str, address: SocketAddr) -> Server {
    let mut server = sample::server(name, address);
    server.health = Health { check: Some(Probe::default()), rise: 2, fall: 3, ..Health::default() };
    server
}

/// A place where nobody listens.
pub fn nowhere() -> SocketAddr {
    listener().local_addr().unwrap()
}

/// A listening socket that never waits.
pub fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

impl Bench {
    /// With these servers in the sample's backend, and a checker that was told to begin.
    pub fn new(servers: Vec<Server>, shape: impl FnOnce(&mut Config)) -> Self {
        let mut bench = Self::silent(servers, shape);
        bench.order(&ToWorker::Resume);
        bench
    }

    /// The same, with a checker that was not.
    pub fn silent(servers: Vec<Server>, shape: impl FnOnce(&mut Config)) -> Self {
        let alone = alone();
        let (log, log_end) = UnixDatagram::pair().unwrap();
        log.set_nonblocking(true).unwrap();
        log_end.set_nonblocking(true).unwrap();
        let mut config = sample::config(1, nowhere());
        config.backends[0].servers = servers;
        shape(&mut config);
        let mut memory = Memory::create().unwrap();
        let mut registry = Registry::default();
        let assigned = registry.assign(&mut config, 1, None);
        memory.prepare(&assigned).unwrap();
        let worker = memory.claim_lane(0).unwrap();
        let mut bench = Self {
            config,
            memory,
            checker: None,
            master: Channel::pair().unwrap().0,
            now: monotonic_ms() + AHEAD_MS,
            bell: eventfd(0, EventfdFlags::NONBLOCK).unwrap(),
            worker,
            own_bell: None,
            log,
            log_end,
            registry,
            generation: 1,
            _alone: alone,
        };
        bench.start();
        bench
    }

    /// Another generation with another configuration; its checker waits to be told to begin.
    pub fn reload(&mut self, shape: impl FnOnce(&mut Config)) {
        shape(&mut self.config);
        self.generation += 1;
        let assigned = self.registry.assign(&mut self.config, self.generation, None);
        self.memory.prepare(&assigned).unwrap();
        self.start();
    }

    /// A checker is started; one that was there is killed.
    pub fn start(&mut self) {
        self.checker = None;
        let memory = attach(&self.memory);
        let lane = self.memory.claim_lane(0).unwrap();
        let own = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        let doorbells = BTreeMap::from([
            (self.worker, self.bell.try_clone().unwrap()),
            (lane, own.try_clone().unwrap()),
        ]);
        self.own_bell = Some(own);
        let mut log = Log::on_stderr(Zone::utc());
        log.configure(&self.config, false);
        log.attach(0, self.log_end.try_clone().unwrap().into());
        let hello = Hello {
            role: Role::Checker,
            slot: u16::MAX,
            slots: 1,
            generation: self.generation,
            lane,
            master_pid: 0,
            debug: false,
        };
        let lane = OwnLane::new(Rc::new(memory), lane).unwrap();
        let parts = Parts {
            basis: Basis { hello, config: self.config.clone(), lane, log },
            doorbells,
            peer: None,
            hostname: "node".to_owned(),
            poller: Poller::choose(&self.config.tune.disabled_pollers, 200).unwrap(),
            descriptor_limit: 1024,
        };
        let (master, theirs) = Channel::pair().unwrap();
        self.master = master;
        let mut checker = assemble(parts, theirs).map_err(|(_, refusal)| refusal).unwrap();
        checker.clock.stop_at(self.now);
        self.checker = Some(checker);
    }

    pub fn checker(&mut self) -> &mut Checker {
        self.checker.as_mut().unwrap()
    }

    /// An order of the master, obeyed.
    pub fn order(&mut self, order: &ToWorker) {
        self.master.send(order, &[]).unwrap();
        self.settle();
    }

    /// Turns until nothing happens any more; the exit status of a checker that has left.
    pub fn settle(&mut self) -> Option<ExitCode> {
        let mut quiet = 0;
        for _ in 0..CYCLES_MAX {
            let checker = self.checker();
            let before = (checker.activity.events, checker.activity.tasks);
            if let Some(code) = checker.turn_once(Duration::ZERO) {
                return Some(code);
            }
            let happened =
                before != (checker.activity.events, checker.activity.tasks) || checker.is_busy();
            quiet = if happened { 0 } else { quiet + 1 };
            if quiet >= QUIET_CYCLES {
                return None;
            }
            if !happened {
                // The kernel may still be carrying something from one socket to another.
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        panic!("the checker never comes to rest");
    }

    /// Moves the clock on, and lets everything happen that is due.
    pub fn pass(&mut self, milliseconds: Millis) {
        self.now += milliseconds;
        let now = self.now;
        self.checker().clock.stop_at(now);
        self.settle();
    }

    /// The same in steps in which every watch is due at most once.
    pub fn pass_slowly(&mut self, milliseconds: Millis) {
        for _ in 0..milliseconds / 100 {
            self.pass(100);
        }
    }

    /// Somebody rings the checker.
    pub fn ring(&mut self) {
        rustix::io::write(self.own_bell.as_ref().unwrap(), &1_u64.to_ne_bytes()).unwrap();
        self.settle();
    }

    /// Whether the worker was rung since the last call.
    pub fn was_rung(&self) -> bool {
        rustix::io::read(&self.bell, &mut [0_u8; 8]).is_ok()
    }

    /// All log lines since the last call.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = [0; 2048];
        while let Ok(length) = self.log.recv(&mut line) {
            lines.push(String::from_utf8_lossy(&line[..length]).trim_end().to_owned());
        }
        lines
    }

    /// The n-th server of the sample's backend.
    pub fn state(&self, server: usize) -> ServerState {
        self.memory.server_state(self.config.backends[0].servers[server].object)
    }

    pub fn operational(&self, server: usize) -> Operational {
        let at = At { backend: 0, server: server as u32 };
        look_at(&self.config, &self.memory, at, self.now).operational
    }

    pub fn version(&self, backend: usize) -> u64 {
        self.memory.states_version(self.config.backends[backend].object)
    }
}

/// The same memory, mapped as another process would.
fn attach(memory: &Memory) -> Memory {
    let mut again: Option<Memory> = None;
    for (kind, fd) in memory.descriptors() {
        let fd = fd.try_clone_to_owned().unwrap();
        match (kind, again.as_mut()) {
            (MemoryKind::Lanes, None) => again = Some(Memory::attach(fd).unwrap()),
            (MemoryKind::Objects(n), Some(again)) => again.attach_chunk(n, fd).unwrap(),
            (MemoryKind::States(n), Some(again)) => again.attach_states(n, fd).unwrap(),
            other => panic!("{other:?} came out of order"),
        }
    }
    again.unwrap()
}

/// A connection that the checker has made, if one is there.
pub fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).unwrap();
    Some(stream)
}

/// Everything that has come.
pub fn heard(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let count = stream.read(&mut bytes).unwrap_or(0);
    bytes.truncate(count);
    bytes
}

pub fn say(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}

/// The two ends of a pair to a runner: ours, and the one that the checker is given.
pub fn join_runner(bench: &mut Bench) -> Channel {
    let (ours, theirs) = Channel::pair().unwrap();
    bench.master.send(&ToWorker::RunnerPeer, &[theirs.as_fd()]).unwrap();
    bench.settle();
    ours
}
