//! A check for any bytes: what whoever retires may say to its successor over their link. The fuzzing target
//! `kept` and the worker's ordinary tests share it.
//!
//! Shell: a worker turned by hand, on real sockets and real shared memory.
//!
//! An input is a row of messages: how many descriptors, a kind for each, two bytes of length (the lower first), the
//! message behind its protocol's number. Whatever comes:
//!
//! - the worker neither panics nor turns for ever;
//! - at rest its gauges are what it really holds, and every connection in its table belongs to somebody;
//! - each connection that was named has one answer, or the link has ended;
//! - once it has let everything go nobody holds what was sent any more.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;

use portolan_shared::capture::Scratch;
use portolan_shared::channel::{Channel, ChannelError};
use portolan_shared::log::{Log, Zone};
use portolan_shared::memory::{INSTANCE, Memory, Object, OwnLane, Registry};
use portolan_shared::message::handover::{FromSuccessor, HANDOVER, ToSuccessor};
use portolan_shared::message::{
    Hello, ListenerEntry, MemoryKind, PROTOCOL, Role, ToMaster, ToWorker,
};
use portolan_shared::model::{
    Backend, Bind, BindAddress, BindOptions, Config, Facility, Frontend, LogEndpoint, LogFormat,
    LogLevel, LogTarget, Mode, Process, ProxyProtocolIn, Server, ServerAddress, Tune,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::descriptor::Owner;
use crate::event_loop::Worker;
use crate::kept::KeptPool;
use crate::poller::Poller;
use crate::start::{Parts, assemble, take_memory};
use crate::stream::NONE;

/// Turns without an end are taken for one that never comes.
const TURNS_MAX: usize = 20_000;
/// Most messages of one input.
const MESSAGES_MAX: usize = 16;
/// Most descriptors of one message; a channel takes no more.
const DESCRIPTORS_MAX: usize = 64;
/// Kinds of descriptors.
pub const KINDS: u8 = 12;

/// A worker and everything around it.
struct Scene {
    worker: Worker,
    master: Channel,
    memory: Memory,
    registry: Registry,
    log: UnixDatagram,
}

/// Our side of what was sent.
#[derive(Default)]
struct Ours {
    /// The other ends of connections.
    peers: Vec<UnixStream>,
    /// The reading end of a pipe whose writing end comes next.
    pipe: Option<OwnedFd>,
}

/// What is configured, by the objects' numbers: instance, frontends `w` (http), `t` (tcp), `p` (http, PROXY), one
/// bind each, backends `b`, `c` with one server each.
pub fn config() -> Config {
    let log = LogTarget {
        endpoint: LogEndpoint::Unix("/dev/log".into()),
        format: LogFormat::Raw,
        facility: Facility::Local0,
        level_max: LogLevel::Debug,
        level_min: LogLevel::Emerg,
        length_max: 1024,
    };
    let bind = |id: u32| Bind {
        name: String::new(),
        id,
        written: format!("127.0.0.1:{id}"),
        address: BindAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        options: BindOptions::default(),
        maxconn: None,
        object: 0,
        accept_proxy: (id == 2).then(|| ProxyProtocolIn { from: Vec::new(), timeout: None }),
        nice: 0,
    };
    let frontend = |(id, name, mode, backend): (u32, &str, Mode, u32)| Frontend {
        binds: vec![bind(id)],
        default_backend: Some(backend),
        logs: vec![log.clone()],
        maxconn: Some(50),
        ..Frontend::new(name, mode)
    };
    let backend = |(name, mode): (&str, Mode)| Backend {
        // Nobody listens there: only connections that are handed over lead anywhere.
        servers: vec![Server::new("s", ServerAddress::Tcp(([127, 255, 255, 254], 1).into()))],
        ..Backend::new(name, mode)
    };
    Config {
        process: Process { workers: 1, maxconn: Some(100), ..Process::default() },
        tune: Tune::default(),
        logs: vec![log.clone()],
        frontends: [("w", Mode::Http, 0), ("t", Mode::Tcp, 1), ("p", Mode::Http, 0)]
            .into_iter()
            .zip(0..)
            .map(|((name, mode, backend), id)| frontend((id, name, mode, backend)))
            .collect(),
        backends: [("b", Mode::Http), ("c", Mode::Tcp)].map(backend).into(),
        userlists: Vec::new(),
        error_pages: Vec::new(),
    }
}

impl Scene {
    fn new() -> Self {
        let listener = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            listener.set_nonblocking(true).expect("a listener");
            listener
        };
        let mut config = self::config();
        let mut memory = Memory::create().expect("shared memory");
        let mut registry = Registry::default();
        let assigned = registry.assign(&mut config, 1, None);
        memory.prepare(&assigned).expect("objects");
        let number = memory.claim_lane(std::process::id() as i32).expect("a lane");
        memory.describe_lane(number, 0, 1);
        let mut theirs = None;
        for (kind, descriptor) in memory.descriptors() {
            let descriptor = match kind {
                MemoryKind::States(chunk) => memory.reopen_states(chunk).expect("states"),
                _ => descriptor.try_clone_to_owned().expect("a copy"),
            };
            take_memory(&mut theirs, kind, descriptor).expect("memory");
        }
        let lane = OwnLane::new(Rc::new(theirs.expect("memory")), number).expect("a live lane");
        let (log, log_end) = UnixDatagram::pair().expect("a log");
        log.set_nonblocking(true).expect("a log");
        log_end.set_nonblocking(true).expect("a log");
        let mut to_log = Log::on_stderr(Zone::utc());
        to_log.configure(&config, false);
        to_log.attach(0, log_end.into());
        let entries = (0..3).map(|bind| ListenerEntry { bind, slot: None });
        let (master, channel) = Channel::pair().expect("a channel");
        let parts = Parts {
            hello: Hello {
                role: Role::Worker,
                slot: 0,
                slots: 1,
                generation: 2,
                lane: number,
                master_pid: 0,
                debug: false,
            },
            scratch: Scratch::private(config.tune.buffer_size as usize).expect("memory"),
            lane,
            doorbells: BTreeMap::new(),
            log: to_log,
            listeners: vec![(entries.collect(), (0..3).map(|_| listener().into()).collect())],
            poller: Poller::choose(&config.tune.disabled_pollers, 200).expect("a poller"),
            fixed_descriptors: 0,
            descriptor_limit: 400,
            config,
        };
        let mut worker = assemble(parts, channel).map_err(|(_, why)| why).expect("a worker");
        worker.settle_listeners();
        Self { worker, master, memory, registry, log }
    }

    /// Turns until nothing happens any more.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..TURNS_MAX {
            let before = self.worker.activity.events;
            assert_eq!(self.worker.turn_once(Duration::ZERO), None, "it goes on");
            let happened = self.worker.activity.events != before || self.worker.is_busy();
            quiet = if happened { 0 } else { quiet + 1 };
            if quiet >= 3 {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// A new link from one that retires, which has greeted.
    fn link(&mut self) -> Channel {
        let (mut giver, taker) = Channel::pair().expect("a link");
        let order = ToWorker::Predecessor { generation: 1, slot: 0 };
        self.master.send(&order, &[taker.as_fd()]).expect("an order");
        drop(taker);
        let memory = self.memory.identity();
        let hello = ToSuccessor::Hello { protocol: HANDOVER, generation: 1, lane: 9, memory };
        giver.send(&hello, &[]).expect("a greeting");
        self.settle();
        giver
    }

    /// The gauges are what is there, and every connection is somebody's.
    fn check(&self) {
        let worker = &self.worker;
        let mut there: BTreeMap<Object, u32> = BTreeMap::new();
        let mut tokens = Vec::new();
        let mut count = |object| *there.entry(object).or_default() += 1;
        let mut client = |frontend: u32, listener: u32| {
            let of = &worker.config.frontends[frontend as usize];
            let bind = worker.listeners[listener as usize].bind as usize;
            [INSTANCE, of.object, of.binds[bind].object].into_iter().for_each(&mut count);
        };
        for (_, session) in &worker.sessions {
            client(session.frontend, session.listener);
            tokens.push(session.token);
            tokens.extend(session.private.map(|(.., kept)| kept.token));
        }
        for (_, stream) in worker.streams.iter().filter(|(_, stream)| stream.session == NONE) {
            client(stream.frontend, stream.listener);
        }
        for (_, stream) in &worker.streams {
            tokens.extend([stream.front.token, stream.back.token]);
            let backend = worker.config.backends.get(stream.backend as usize);
            if let Some(backend) = backend.filter(|_| stream.holds_backend) {
                count(backend.object);
            }
            if let Some(backend) = backend.filter(|_| stream.holds_server) {
                count(backend.servers[stream.server as usize].object);
            }
        }
        for (object, key) in self.registry.objects() {
            let expected = there.get(&object).copied().unwrap_or(0);
            assert_eq!(self.memory.current(object), expected, "{key:?}");
        }
        let pools = worker.backends.iter().flat_map(|backend| &backend.kept);
        let kept: usize = pools.map(KeptPool::len).sum();
        let own = |owner: Owner| matches!(owner, Owner::Kept(_));
        let in_table = worker.descriptors.iter().filter(|(_, entry)| own(entry.owner)).count();
        assert_eq!(in_table, kept, "kept connections");
        for (token, entry) in worker.descriptors.iter() {
            let connection = entry.is_connection() || entry.owner == Owner::Moving;
            let known = own(entry.owner) || tokens.contains(&token);
            assert!(!connection || known, "{:?} is nobody's", entry.owner);
        }
    }

    fn run(&mut self, input: &[u8]) {
        let mut ours = Ours::default();
        let link = self.link();
        let mut rest = input;
        for _ in 0..MESSAGES_MAX {
            let Some((kinds, message, after)) = next_message(rest) else { break };
            rest = after;
            let descriptors: Vec<OwnedFd> = kinds.iter().map(|kind| ours.make(*kind)).collect();
            send(&link, message, &descriptors);
            drop(descriptors);
            self.settle();
            self.check();
            if !hear_answers(&link, message) {
                break;
            }
        }
        // Clients ask, servers answer.
        for words in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n"] {
            for peer in &mut ours.peers {
                // It may be gone.
                let _ = peer.write(words);
            }
            self.settle();
            self.check();
        }
        for peer in &ours.peers {
            let _ = peer.shutdown(std::net::Shutdown::Write);
        }
        self.settle();
        self.check();
        drop(link);
        self.settle();
        self.check();
        self.clear();
        for peer in &mut ours.peers {
            assert!(is_over(peer), "somebody still holds the other end");
        }
    }

    /// Everything that is left ends.
    fn clear(&mut self) {
        self.worker.kill_streams();
        self.worker.kill_sessions();
        self.worker.close_all_kept();
        self.settle();
        self.check();
        let worker = &mut self.worker;
        assert_eq!((worker.streams.len(), worker.sessions.len()), (0, 0));
        assert_eq!(worker.buffers.figures().1, 0, "buffers");
        assert_eq!(worker.pipes.figures().0, 0, "pipes");
        assert!(worker.waiting.is_empty() && worker.queued.is_empty(), "nobody waits");
        let mut line = [0; 2048];
        while self.log.recv(&mut line).is_ok() {}
        while let Ok(Some(_)) = self.master.receive::<ToMaster>() {}
    }
}

/// One answer for each connection of this message; whether the link still stands.
fn hear_answers(link: &Channel, message: &[u8]) -> bool {
    let numbers = match postcard::from_bytes(message) {
        Ok(ToSuccessor::Moved(moved)) => moved.iter().map(|one| one.number).collect(),
        _ => Vec::new(),
    };
    let mut answered = Vec::new();
    loop {
        match link.receive_first::<FromSuccessor>() {
            Ok(Some(received)) => match received.message {
                FromSuccessor::Answers(answers) => {
                    answered.extend(answers.iter().map(|(number, _)| *number));
                }
                FromSuccessor::Declined => panic!("the greeting was right"),
            },
            Ok(None) => {
                assert_eq!(answered, numbers, "one answer each");
                return true;
            }
            Err(ChannelError::Closed) => return false,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Ours {
    fn make(&mut self, kind: u8) -> OwnedFd {
        if kind % KINDS == 6
            && let Some(writer) = self.pipe.take()
        {
            return writer;
        }
        match kind % KINDS {
            0 | 6 => self.connection(b"", true),
            1 => self.connection(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HT", true),
            2 => {
                let theirs = self.connection(b"x", true);
                self.peers.pop();
                theirs
            }
            3 => listening(),
            4 => file(20_000),
            5 => {
                let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
                rustix::io::write(&writer, &[b'p'; 100]).expect("room");
                self.pipe = Some(writer);
                reader
            }
            7 => std::fs::File::open("/dev/null").expect("a device").into(),
            8 => UnixDatagram::unbound().expect("a socket").into(),
            9 => {
                use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket")
            }
            10 => self.connection(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTT", true),
            _ => self.connection(b"", false),
        }
    }

    /// A connection whose other end is ours, with these bytes under way.
    fn connection(&mut self, bytes: &[u8], ready: bool) -> OwnedFd {
        let (mut ours, theirs) = UnixStream::pair().expect("a connection");
        ours.set_nonblocking(true).expect("ours");
        theirs.set_nonblocking(ready).expect("theirs");
        ours.write_all(bytes).expect("room");
        self.peers.push(ours);
        theirs.into()
    }
}

fn listening() -> OwnedFd {
    let address = std::os::unix::net::SocketAddr::from_pathname("").expect("no name");
    // Bound to a name that the kernel chooses, in no directory.
    let listener = UnixListener::bind_addr(&address).expect("a listener");
    listener.set_nonblocking(true).expect("a listener");
    listener.into()
}

fn file(length: u64) -> OwnedFd {
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    let file = memfd_create(c"kept", MemfdFlags::CLOEXEC).expect("a file");
    ftruncate(&file, length).expect("its length");
    file
}

/// Kinds of descriptors, bytes, and what follows them.
fn next_message(input: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (count, rest) = input.split_first()?;
    let (kinds, rest) = rest.split_at_checked(usize::from(*count).min(DESCRIPTORS_MAX))?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (message, rest) = rest.split_at(length);
    Some((kinds, message, rest))
}

/// One message of an input.
#[cfg(test)]
pub fn message_of(kinds: &[u8], message: &ToSuccessor) -> Vec<u8> {
    let bytes = postcard::to_stdvec(message).expect("a message");
    let length = (bytes.len() as u16).to_le_bytes();
    [&[kinds.len() as u8][..], kinds, &length, &bytes].concat()
}

fn send(link: &Channel, message: &[u8], descriptors: &[OwnedFd]) {
    let bytes = [&PROTOCOL.to_le_bytes()[..], message].concat();
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut room =
        [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    assert!(borrowed.is_empty() || beside.push(SendAncillaryMessage::ScmRights(&borrowed)));
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(link, &[std::io::IoSlice::new(&bytes)], &mut beside, flags).expect("sent");
}

/// Whether nobody holds the other end of a connection, whatever it said before.
fn is_over(peer: &mut UnixStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match peer.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Whatever the one who retires says.
pub fn kept(input: &[u8]) {
    thread_local! {
        static SCENE: RefCell<Option<Scene>> = const { RefCell::new(None) };
    }
    SCENE.with_borrow_mut(|scene| scene.get_or_insert_with(Scene::new).run(input));
}
