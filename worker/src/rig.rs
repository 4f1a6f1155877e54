//! Workers in a test's own thread: real sockets and real shared memory, but turned by hand and on a
//! clock that moves when the test says so.
//!
//! Shell, for tests. A [`Rig`] is one instance: it does what the master would (lanes, doorbells,
//! listeners, the end of the dead), and its members are workers, which end without a word when they are
//! killed.
//!
//! - Nothing is repaired by the heartbeat: it needs the clock, so a lost wake-up stays lost and shows.
//! - One rig at a time in a process: workers set signal handlers and the title that `ps` shows.

mod ends;
mod exchanges;
mod flow;
mod handover;
mod http;
mod moving;
mod random;
mod rates;
mod relaying;
pub mod sample;
mod servers;
mod waits;
mod world;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portolan_shared::capture::Scratch;
use portolan_shared::channel::Channel;
use portolan_shared::log::{Log, Zone, monotonic_ms};
use portolan_shared::memory::{
    INSTANCE, Lane, Memory, Object, Operational, OwnLane, Registry, Verdict,
};
use portolan_shared::message::{Hello, ListenerEntry, MemoryKind, Role, ToMaster, ToWorker};
use portolan_shared::model::{Config, Server};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};
use rustix::net::{getpeername, getsockname};
use socket2::SockRef;

use crate::clock::Millis;
use crate::event_loop::Worker;
use crate::poller::{KINDS, Poller};
use crate::start::{Parts, assemble, take_memory};

/// Held by the rig that runs.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
/// So many rounds without anything happening mean that nothing will.
const QUIET_ROUNDS: u32 = 4;
/// After so many rounds something will never end.
const ROUNDS_MAX: u32 = 20_000;
/// So far the test's clock is ahead of the kernel's, which workers see while they are made.
const AHEAD_MS: Millis = 1_000_000;

/// One worker and the master's end of its channel.
#[derive(Debug)]
pub struct Member {
    pub worker: Worker,
    channel: Channel,
    lane: Lane,
    /// What it has told.
    pub told: Vec<ToMaster>,
    /// Its status, once it has left.
    pub left: Option<ExitCode>,
}

/// One instance.
#[derive(Debug)]
pub struct Rig {
    pub config: Config,
    pub memory: Memory,
    pub members: Vec<Member>,
    /// Where the single server of the sample configuration listens.
    pub origin: TcpListener,
    /// Its log lines and events.
    pub log: UnixDatagram,
    log_end: UnixDatagram,
    registry: Registry,
    generation: u32,
    bells: BTreeMap<Lane, OwnedFd>,
    listeners: Vec<Listening>,
    pub now: Millis,
    pub descriptor_limit: usize,
    _alone: MutexGuard<'static, ()>,
}

/// A listening socket.
#[derive(Debug)]
struct Listening {
    entry: ListenerEntry,
    socket: TcpListener,
}

/// For tests of other processes that are turned by hand.
pub fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rig {
    /// So many workers with the sample configuration, changed by `shape`.
    pub fn new(workers: u16, shape: impl FnOnce(&mut Config)) -> Self {
        Self::with_sockets(workers, &[None], shape)
    }

    /// The same, where every slot has a socket of its own for each bind.
    pub fn with_own_sockets(workers: u16, shape: impl FnOnce(&mut Config)) -> Self {
        let slots: Vec<Option<u16>> = (0..workers).map(Some).collect();
        Self::with_sockets(workers, &slots, shape)
    }

    fn with_sockets(workers: u16, slots: &[Option<u16>], shape: impl FnOnce(&mut Config)) -> Self {
        let alone = alone();
        let origin = listener();
        let mut config = sample::config(workers, origin.local_addr().unwrap());
        shape(&mut config);
        let (log, log_end) = UnixDatagram::pair().unwrap();
        log.set_nonblocking(true).unwrap();
        log_end.set_nonblocking(true).unwrap();
        let binds = config.frontends.iter().flat_map(|frontend| &frontend.binds);
        let entries = binds
            .flat_map(|bind| slots.iter().map(|slot| ListenerEntry { bind: bind.id, slot: *slot }));
        let listeners = entries.map(|entry| Listening { entry, socket: listener() }).collect();
        let mut rig = Self {
            config,
            memory: Memory::create().unwrap(),
            members: Vec::new(),
            origin,
            log,
            log_end,
            registry: Registry::default(),
            generation: 0,
            bells: BTreeMap::new(),
            listeners,
            now: monotonic_ms() + AHEAD_MS,
            descriptor_limit: 4096,
            _alone: alone,
        };
        rig.reload();
        rig
    }

    /// One worker with this poller.
    pub fn with_poller(poller: &str, shape: impl FnOnce(&mut Config)) -> Self {
        Self::new(1, |config| {
            let others = KINDS.iter().map(|kind| kind.name).filter(|name| *name != poller);
            config.tune.disabled_pollers = others.map(str::to_owned).collect();
            shape(config);
        })
    }

    /// A new generation with the present configuration; the old one is told to stop.
    pub fn reload(&mut self) {
        let old = self.begin_generation();
        for at in 0..old {
            self.order(at, &ToWorker::SoftStop);
        }
    }

    /// A new generation with the present configuration, which takes over from the old one.
    pub fn hand_over(&mut self) {
        let old = self.begin_generation();
        for at in 0..old {
            if self.members[at].left.is_none() {
                self.link(at, old + at % usize::from(self.config.process.workers));
                self.order(at, &ToWorker::Retire);
            }
        }
    }

    /// One worker is to hand over to another.
    pub fn link(&mut self, giver: usize, taker: usize) {
        let (here, there) = Channel::pair().unwrap();
        let (generation, slot) = (self.generation, 0);
        let here = OwnedFd::from(here);
        self.members[giver]
            .channel
            .send(&ToWorker::Successor { generation, slot }, &[here.as_fd()])
            .unwrap();
        let there = OwnedFd::from(there);
        self.members[taker]
            .channel
            .send(&ToWorker::Predecessor { generation, slot }, &[there.as_fd()])
            .unwrap();
    }

    /// Workers with the present configuration; where those of it begin.
    pub fn begin_generation(&mut self) -> usize {
        self.generation += 1;
        let oldest = self.memory.oldest_generation();
        let assigned = self.registry.assign(&mut self.config, self.generation, oldest);
        self.memory.prepare(&assigned).unwrap();
        let old = self.members.len();
        for slot in 0..self.config.process.workers {
            self.spawn(slot);
        }
        old
    }

    /// Starts a worker in this slot.
    pub fn spawn(&mut self, slot: u16) {
        let lane = self.memory.claim_lane(std::process::id() as i32).unwrap();
        self.memory.describe_lane(lane, slot, self.generation);
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        for member in &mut self.members {
            // One that has left hears nothing any more.
            let _ = member.channel.send(&ToWorker::Doorbell { lane }, &[bell.as_fd()]);
        }
        self.bells.insert(lane, bell);
        let (channel, theirs) = Channel::pair().unwrap();
        let worker = self.worker(slot, lane, theirs);
        self.members.push(Member { worker, channel, lane, told: Vec::new(), left: None });
    }

    fn worker(&self, slot: u16, lane: Lane, channel: Channel) -> Worker {
        let mut memory: Option<Memory> = None;
        for (kind, descriptor) in self.memory.descriptors() {
            let descriptor = match kind {
                MemoryKind::States(number) => self.memory.reopen_states(number).unwrap(),
                _ => descriptor.try_clone_to_owned().unwrap(),
            };
            take_memory(&mut memory, kind, descriptor).unwrap();
        }
        let mut log = Log::on_stderr(Zone::utc());
        log.configure(&self.config, false);
        log.attach(0, self.log_end.try_clone().unwrap().into());
        let entries = self.listeners.iter().map(|listening| listening.entry);
        let sockets =
            self.listeners.iter().map(|listening| listening.socket.try_clone().unwrap().into());
        let parts = Parts {
            hello: Hello {
                role: Role::Worker,
                slot,
                slots: self.config.process.workers,
                generation: self.generation,
                lane,
                master_pid: 0,
                debug: false,
            },
            scratch: Scratch::private(self.config.tune.buffer_size as usize).unwrap(),
            lane: OwnLane::new(Rc::new(memory.unwrap()), lane).unwrap(),
            doorbells: self
                .bells
                .iter()
                .map(|(lane, bell)| (*lane, bell.try_clone().unwrap()))
                .collect(),
            log,
            listeners: vec![(entries.collect(), sockets.collect())],
            poller: Poller::choose(&self.config.tune.disabled_pollers, 200).unwrap(),
            fixed_descriptors: 0,
            descriptor_limit: self.descriptor_limit,
            config: self.config.clone(),
        };
        let mut worker = assemble(parts, channel).map_err(|(_, refusal)| refusal).unwrap();
        worker.clock.stop_at(self.now);
        worker.tell(&ToMaster::Ready);
        worker.settle_listeners();
        worker
    }

    /// Lets one worker turn once, without waiting; whether anything happened, or will.
    pub fn turn(&mut self, at: usize) -> bool {
        let member = &mut self.members[at];
        if member.left.is_some() {
            return false;
        }
        let before = member.worker.activity.events;
        member.left = member.worker.turn_once(Duration::ZERO);
        while let Ok(Some(received)) = member.channel.receive::<ToMaster>() {
            member.told.push(received.message);
        }
        if member.left.is_some() {
            self.bury(at);
            return true;
        }
        let worker = &self.members[at].worker;
        worker.activity.events != before || worker.is_busy()
    }

    /// What the master does when a worker has ended.
    fn bury(&mut self, at: usize) {
        let lane = self.members[at].lane;
        self.memory.release_lane(lane);
        for bell in self.bells.values() {
            rustix::io::write(bell, &1_u64.to_ne_bytes()).unwrap();
        }
    }

    /// SIGKILL: everything it had is closed by the kernel, nothing is given back.
    pub fn kill(&mut self, at: usize) {
        let lane = self.members[at].lane;
        let alive = self.members[at].left.is_none();
        // Its sockets close here, as all of its memory goes away.
        drop(self.members.remove(at));
        if alive {
            self.memory.release_lane(lane);
            for bell in self.bells.values() {
                rustix::io::write(bell, &1_u64.to_ne_bytes()).unwrap();
            }
        }
    }

    /// What the checker does when it has made up its mind.
    pub fn judge(&self, backend: Object, server: &Server, operational: Operational) {
        let verdict = Verdict { operational, ..Verdict::default() };
        self.memory.store_verdict(server.object, verdict, self.now, server.fingerprint);
        self.memory.bump_states(backend);
        for bell in self.bells.values() {
            rustix::io::write(bell, &1_u64.to_ne_bytes()).unwrap();
        }
    }

    /// Turns all workers until nothing happens any more.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            let mut happened = false;
            for at in 0..self.members.len() {
                happened |= self.turn(at);
            }
            quiet = if happened { 0 } else { quiet + 1 };
            if quiet >= QUIET_ROUNDS {
                return;
            }
            if !happened {
                // The kernel may still be carrying something from one socket to another.
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        panic!("the workers never come to rest");
    }

    /// Moves the clock on, and lets everything happen that is due.
    pub fn pass(&mut self, time: Duration) {
        self.now += time.as_millis() as Millis;
        for member in &mut self.members {
            member.worker.clock.stop_at(self.now);
        }
        self.settle();
    }

    /// An order of the master to one worker.
    pub fn order(&mut self, at: usize, order: &ToWorker) {
        self.members[at].channel.send(order, &[]).unwrap();
    }

    /// The master dies.
    pub fn lose_master(&mut self, at: usize) {
        let (channel, other) = Channel::pair().unwrap();
        drop(other);
        drop(std::mem::replace(&mut self.members[at].channel, channel));
    }

    /// The only worker.
    pub fn worker_mut(&mut self) -> &mut Worker {
        &mut self.members[0].worker
    }

    /// A client of this listening socket, connected and not yet accepted.
    pub fn client(&self, listener: usize) -> Peer {
        let address = self.listeners[listener].socket.local_addr().unwrap();
        Peer::new(TcpStream::connect(address).unwrap())
    }

    /// Whether somebody waits there to be accepted.
    pub fn has_backlog(&self, listener: usize) -> bool {
        let mut waited = [PollFd::new(&self.listeners[listener].socket, PollFlags::IN)];
        rustix::event::poll(&mut waited, Some(&Timespec::default())).unwrap() > 0
    }

    /// The next connection at the origin, if one is there.
    pub fn accept(&self) -> Option<Peer> {
        Peer::accept(&self.origin)
    }

    /// A client and its server, through the proxy.
    pub fn pair(&mut self) -> (Peer, Peer) {
        let client = self.client(0);
        self.settle();
        (client, self.accept().expect("a connection at the server"))
    }

    /// The address of the client for whom this connection to the server was made.
    pub fn client_of(&self, server: &Peer) -> Option<SocketAddr> {
        let proxy = server.0.peer_addr().unwrap();
        self.members.iter().find_map(|member| {
            let worker = &member.worker;
            let stream = worker.streams.iter().map(|(_, stream)| stream).find(|stream| {
                let descriptor = worker.descriptors.get(stream.back.token);
                let address = descriptor.and_then(|descriptor| getsockname(descriptor).ok());
                address.and_then(|address| SocketAddr::try_from(address).ok()) == Some(proxy)
            })?;
            let address = getpeername(worker.descriptors.get(stream.front.token)?).ok()??;
            SocketAddr::try_from(address).ok()
        })
    }

    /// Connections in all workers, as counted in shared memory.
    pub fn connections(&self) -> u32 {
        self.memory.current(INSTANCE)
    }

    /// Streams in all workers.
    pub fn streams(&self) -> usize {
        self.members.iter().map(|member| member.worker.streams.len()).sum()
    }

    /// All gauges and waits that are not zero, by object: none, once everything is over.
    pub fn left_over(&self) -> Vec<(u32, u32, u32)> {
        let objects = self.registry.objects().map(|(object, _)| object);
        objects
            .map(|object| (object, self.memory.current(object), self.memory.waiting(object)))
            .filter(|(_, current, waiting)| (*current, *waiting) != (0, 0))
            .collect()
    }

    /// Nothing is held any more by workers that have nothing to do.
    pub fn check_empty(&self) {
        assert_eq!(self.streams(), 0);
        assert_eq!(self.left_over(), [], "(object, current, waiting)");
        for member in &self.members {
            let worker = &member.worker;
            assert_eq!(worker.buffers.figures().1, 0, "buffers");
            assert_eq!(worker.pipes.figures().0, 0, "pipes");
            assert!(worker.waiting.is_empty() && worker.queued.is_empty());
        }
    }

    /// All log lines since the last call.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = [0; 2048];
        while let Ok(length) = self.log.recv(&mut line) {
            lines.push(String::from_utf8_lossy(&line[..length]).into_owned());
        }
        lines
    }
}

/// A test's end of a connection; it never waits.
#[derive(Debug)]
pub struct Peer(pub TcpStream);

/// What a peer sees when it looks.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing yet.
    Nothing,
    /// These bytes, more may come.
    Bytes(Vec<u8>),
    /// These bytes and the end.
    End(Vec<u8>),
    /// These bytes and a reset.
    Reset(Vec<u8>),
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    fn accept(listener: &TcpListener) -> Option<Self> {
        match listener.accept() {
            Ok((stream, _)) => Some(Self::new(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends all of it; there must be room.
    pub fn say(&mut self, bytes: &[u8]) {
        assert_eq!(self.0.write(bytes).unwrap(), bytes.len());
    }

    /// Sends as much as the kernel takes.
    pub fn flood(&mut self) -> usize {
        let mut sent = 0;
        loop {
            match self.0.write(&[b'x'; 16_384]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return sent,
                Err(error) => panic!("after {sent}: {error}"),
            }
        }
    }

    /// Everything that is there.
    pub fn look(&mut self) -> Seen {
        let mut bytes = Vec::new();
        let mut piece = [0; 16_384];
        loop {
            match self.0.read(&mut piece) {
                Ok(0) => return Seen::End(bytes),
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return if bytes.is_empty() { Seen::Nothing } else { Seen::Bytes(bytes) };
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Seen::Reset(bytes);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What is there, at most so many bytes.
    pub fn look_at_most(&mut self, most: usize) -> Seen {
        let mut bytes = vec![0; most];
        match self.0.read(&mut bytes) {
            Ok(0) => Seen::End(Vec::new()),
            Ok(count) => {
                bytes.truncate(count);
                Seen::Bytes(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Seen::Nothing,
            Err(_) => Seen::Reset(Vec::new()),
        }
    }

    /// No more will be sent.
    pub fn end(&self) {
        self.0.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Closes with a RST.
    pub fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn listener() -> TcpListener {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    listener.set_nonblocking(true).unwrap();
    // As the master does; connections inherit it.
    SockRef::from(&listener).set_tcp_nodelay(true).unwrap();
    listener
}
