//! Exchanges in a seeded world: clients that ask one after the other or all at once, servers that
//! answer in every way or fail to, everything in pieces of any size, with every poller, few buffers and
//! pipes, all modes of connections, of reuse, of retries; a stop in the middle, or one handover after the
//! other, with links that break and workers that die at any moment of it.
//!
//! - A response belongs to its request, in order; its content is the server's, whole or visibly cut.
//! - What must not be repeated reaches a server once at most.
//! - Limits hold, and when everybody has gone nothing is left of anything.
//! - Where nobody fails (half of the seeds), every request is answered by a server, over handovers too.
//!
//! A failing seed is printed; `EXCHANGES_SEED=n` replays it alone.

mod client;
mod message;
mod server;

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use portolan_shared::message::ToWorker;
use portolan_shared::model::{
    Config, ConnectionMode, HttpReuse, Mode, ProxyProtocolIn, Redispatch, RetryOn, SpliceOptions,
};
use socket2::SockRef;

use super::random::Random;
use super::world::moving;
use super::{Peer, Rig, sample};
use client::Client;
use server::{Book, Server};

const SEEDS: u64 = 12;
const STEPS: u32 = 3000;
const CLIENTS_MAX: usize = 6;
/// So often in a row nothing moves, a millisecond each, before that is an error.
const QUIET_MAX: u32 = 5000;

/// Behind every content in chunks.
const TRAILER: &str = "X-T: t";

struct World {
    rig: Rig,
    random: Random,
    second: TcpListener,
    clients: Vec<Client>,
    servers: Vec<Server>,
    book: Book,
    /// Nobody fails.
    calm: bool,
    /// The kernel holds little, nothing is small, and servers rather answer early.
    tight: bool,
    reloaded: bool,
    /// Workers hand over, again and again.
    handing: bool,
    handovers: u32,
    /// Streams that were under way when their worker died.
    beyond: u32,
    requests: u64,
    descriptors: usize,
}

/// Bytes of a content in chunks of any size, with what may stand around them.
fn chunked(body: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut left = body;
    while !left.is_empty() {
        let most = [1, 20, 3000, 100_000][random.below(4)];
        let (chunk, rest) = left.split_at(left.len().min(1 + random.below(most)));
        let size = match random.below(4) {
            0 => format!("{:X}\r\n", chunk.len()),
            1 => format!("000{:x}\r\n", chunk.len()),
            2 => format!("{:x};name=\"a value\"\r\n", chunk.len()),
            _ => format!("{:x}\r\n", chunk.len()),
        };
        out.extend_from_slice(size.as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        left = rest;
    }
    out.extend_from_slice(format!("0\r\n{TRAILER}\r\n\r\n").as_bytes());
    out
}

fn piece(random: &mut Random) -> usize {
    let most = [1, 10, 100, 1500, 5000, 70_000, 70_000, 70_000][random.below(8)];
    1 + random.below(most)
}

/// Writes up to so many of these bytes; whether the connection still takes any.
fn write_piece(peer: &mut Peer, out: &mut Vec<u8>, most: usize) -> bool {
    match peer.0.write(&out[..most.min(out.len())]) {
        Ok(count) => drop(out.drain(..count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(_) => {
            out.clear();
            return false;
        }
    }
    true
}

fn shape(config: &mut Config, calm: bool, random: &mut Random) {
    let tune = &mut config.tune;
    tune.buffer_size = [1024, 2000, 16_384][random.below(3)];
    tune.buffer_limit = [0, 1, 3][random.below(3)];
    tune.maxpipes = Some([0, 1, 10][random.below(3)]);
    for size in [&mut tune.server_rcvbuf, &mut tune.server_sndbuf] {
        *size = [None, None, Some(2048), Some(20_000)][random.below(4)];
    }
    tune.disabled_pollers = match random.below(4) {
        0 => vec!["epoll".to_owned()],
        1 => vec!["epoll".to_owned(), "polling".to_owned()],
        _ => vec![],
    };
    let modes = [ConnectionMode::KeepAlive, ConnectionMode::ServerClose, ConnectionMode::Close];
    let mode = |random: &mut Random| modes[random.below(6).saturating_sub(3)];
    let frontend = &mut config.frontends[0];
    frontend.mode = Mode::Http;
    frontend.splice = SpliceOptions {
        request: random.below(3) == 0,
        response: random.below(3) == 0,
        auto: random.below(2) == 0,
    };
    frontend.http.connection_mode = mode(random);
    frontend.http.ignore_probes = random.below(2) == 0;
    if random.below(6) == 0 {
        let told = ProxyProtocolIn { from: Vec::new(), timeout: None };
        frontend.binds[0].accept_proxy = Some(told);
    }
    frontend.nolinger = !calm && random.below(8) == 0;
    let seconds = |count| Some(Duration::from_secs(if calm { 10_000 } else { count }));
    frontend.timeouts.client = seconds(20);
    frontend.timeouts.http_request = seconds(8);
    frontend.timeouts.http_keep_alive = seconds(12);
    let backend = &mut config.backends[0];
    backend.mode = Mode::Http;
    backend.timeouts.server = seconds(15);
    backend.timeouts.connect = seconds(5);
    backend.retries = random.below(4) as u32;
    backend.redispatch = [Redispatch::Off, Redispatch::Last, Redispatch::Every(1)][random.below(3)];
    let http = &mut backend.http;
    http.connection_mode = mode(random);
    http.reuse = [HttpReuse::Never, HttpReuse::Safe, HttpReuse::Aggressive, HttpReuse::Always]
        [random.below(4)];
    http.abort_on_close = random.below(2) == 0;
    http.buffer_request = random.below(4) == 0;
    http.prefer_last_server = random.below(2) == 0;
    http.pretend_keepalive = random.below(4) == 0;
    http.retry_on = RetryOn {
        conn_failure: true,
        empty_response: random.below(2) == 0,
        response_timeout: random.below(2) == 0,
        junk_response: random.below(2) == 0,
        statuses: if random.below(2) == 0 { vec![503] } else { Vec::new() },
    };
    for server in &mut backend.servers {
        server.maxconn = random.maybe_limit(3);
        server.http.pool_max_conn = [None, Some(0), Some(1), Some(3)][random.below(4)];
        server.http.max_reuse = [None, None, Some(0), Some(2)][random.below(4)];
        server.http.pool_purge_delay = Duration::from_secs(random.below(6) as u64);
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let calm = seed.is_multiple_of(2);
        let tight = random.below(3) == 0;
        let handing = seed % 4 < 2;
        let second = super::listener();
        let rig = Rig::new(1, |config| {
            if random.below(2) == 0 {
                let address = second.local_addr().unwrap();
                config.backends[0].servers.push(sample::server("t", address));
            }
            shape(config, calm, &mut random);
            if tight {
                config.tune.server_sndbuf = Some(2048);
                config.tune.server_rcvbuf = Some(2048);
            }
        });
        if tight {
            let sockets = rig.listeners.iter().map(|listening| &listening.socket);
            for socket in sockets.chain([&rig.origin, &second]).map(SockRef::from) {
                socket.set_recv_buffer_size(2048).unwrap();
                socket.set_send_buffer_size(2048).unwrap();
            }
        }
        let mut world = Self {
            rig,
            random,
            second,
            clients: Vec::new(),
            servers: Vec::new(),
            book: Book::new(),
            calm,
            tight,
            reloaded: false,
            handing,
            handovers: 0,
            beyond: 0,
            requests: 0,
            descriptors: 0,
        };
        world.rig.settle();
        world.descriptors = world.rig.members[0].worker.descriptors.len();
        world
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..6 => self.begin(),
            6..40 => {
                let at = self.random.below(self.rig.members.len());
                self.rig.turn(at);
            }
            40..55 => self.ask_and_write(),
            55..70 => self.read_one(),
            70..82 => self.serve_one(),
            90..94 | 98 if self.handing => self.hand_over(),
            82..94 => self.answer_one(),
            94 => self.break_off(),
            95 => self.end_idle(),
            96 => self.rig.settle(),
            97 => {
                let most = if self.calm { 50 } else { 3000 };
                let time = Duration::from_millis(self.random.below(most) as u64);
                self.rig.pass(time);
            }
            98 => self.reload(),
            _ => self.end_one(),
        }
        self.accept();
        self.check_limits();
    }

    fn begin(&mut self) {
        self.clients.retain(|client| client.peer.is_some() || !client.is_done());
        if self.clients.len() < CLIENTS_MAX {
            let peer = self.rig.client(0);
            self.squeeze(&peer);
            let mut client = Client::new(peer, self.tight, &mut self.random);
            if self.rig.config.frontends[0].binds[0].accept_proxy.is_some() {
                client.tell(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n");
            }
            self.clients.push(client);
        }
    }

    /// Small buffers in the kernel make for many short reads and writes.
    fn squeeze(&mut self, peer: &Peer) {
        let socket = SockRef::from(&peer.0);
        if self.tight || self.random.below(4) == 0 {
            socket.set_recv_buffer_size(2048).unwrap();
        }
        if self.tight || self.random.below(4) == 0 {
            socket.set_send_buffer_size(2048).unwrap();
        }
    }

    fn accept(&mut self) {
        while let Some(peer) = self.rig.accept().or_else(|| Peer::accept(&self.second)) {
            self.squeeze(&peer);
            self.servers.push(Server::new(peer, self.tight));
        }
        self.servers.retain(|server| server.peer.is_some());
    }

    fn client(&mut self) -> Option<usize> {
        (!self.clients.is_empty()).then(|| self.random.below(self.clients.len()))
    }

    fn server(&mut self) -> Option<usize> {
        (!self.servers.is_empty()).then(|| self.random.below(self.servers.len()))
    }

    fn ask_and_write(&mut self) {
        let Some(at) = self.client() else { return };
        self.advance(at);
    }

    /// A client asks, or sends more of what it has asked.
    fn advance(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.may_ask() && (client.unsent() == 0 || self.random.below(2) == 0) {
            self.requests += 1;
            let request = client.ask(self.requests, &mut self.random);
            self.book.insert(self.requests, (request, 0));
        }
        self.clients[at].write(&mut self.random);
    }

    fn read_one(&mut self) {
        let Some(at) = self.client() else { return };
        let most = piece(&mut self.random);
        self.clients[at].read(most);
    }

    fn serve_one(&mut self) {
        let Some(at) = self.server() else { return };
        let most = piece(&mut self.random);
        self.servers[at].read(most, self.calm, &mut self.random, &mut self.book);
    }

    fn answer_one(&mut self) {
        let Some(at) = self.server() else { return };
        self.servers[at].write(&mut self.random, self.calm, &mut self.book);
    }

    /// A client goes, in whatever way.
    fn break_off(&mut self) {
        if self.calm || self.random.below(3) > 0 {
            return;
        }
        let Some(at) = self.client() else { return };
        let client = &mut self.clients[at];
        client.broken = true;
        match (client.peer.take(), self.random.below(3)) {
            (Some(peer), 0) => peer.reset(),
            (Some(peer), 1) => {
                client.peer = Some(peer);
                client.end();
            }
            _ => {}
        }
    }

    /// A client that has said everything ends its sending.
    fn end_one(&mut self) {
        let Some(at) = self.client() else { return };
        let client = &mut self.clients[at];
        if client.unsent() == 0 && !client.may_ask() && !self.calm {
            client.end();
        }
    }

    /// A server ends a connection that waits.
    fn end_idle(&mut self) {
        let Some(at) = self.server() else { return };
        if !self.calm && self.servers[at].is_idle() {
            self.servers.swap_remove(at);
        }
    }

    fn reload(&mut self) {
        if !self.reloaded && self.random.below(80) == 0 {
            self.reloaded = true;
            if self.random.below(4) > 0 {
                self.rig.reload();
            } else {
                self.rig.order(0, &ToWorker::SoftStop);
            }
        }
    }

    /// What lives goes to another worker, and something may happen to either on the way.
    fn hand_over(&mut self) {
        self.rig.members.retain(|member| member.left.is_none());
        let last = self.rig.members.len() - 1;
        self.handovers += 1;
        match self.random.below(6) {
            0..2 if last < 3 => self.rig.hand_over(),
            // In the midst of it, whatever was sent and not answered.
            2 => self.rig.members[last].worker.drop_predecessors(),
            3 if !self.calm => {
                let at = self.random.below(last + 1);
                self.beyond += moving(&self.rig.members[at]);
                self.rig.kill(at);
                self.clients.iter_mut().for_each(|client| client.doubts = true);
                if at == last {
                    self.rig.spawn(0);
                }
            }
            4 => {}
            _ => return,
        }
        let last = self.rig.members.len() - 1;
        for at in 0..last {
            self.rig.link(at, last);
        }
    }

    fn check_limits(&self) {
        // Tunnels count twice while they move.
        let twice: u32 = self.rig.members.iter().map(moving).sum();
        for server in &self.rig.config.backends[0].servers {
            let current = self.rig.memory.current(server.object);
            let current = current.saturating_sub(twice + self.beyond);
            assert!(server.maxconn.is_none_or(|limit| current <= limit), "{current}");
        }
    }

    /// Everybody does what is left to do.
    fn end(mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut quiet = 0;
        while self.clients.iter().any(|client| !client.is_done()) {
            self.rig.settle();
            self.accept();
            let mut moved = false;
            for at in 0..self.clients.len() {
                let before = self.clients[at].unsent();
                self.advance(at);
                moved |= self.clients[at].unsent() != before;
                while self.clients[at].read(100_000) {
                    moved = true;
                }
                self.leave(at);
            }
            for server in &mut self.servers {
                while server.read(100_000, self.calm, &mut self.random, &mut self.book) {
                    moved = true;
                }
                moved |= server.write(&mut self.random, self.calm, &mut self.book);
            }
            quiet = if moved { 0 } else { quiet + 1 };
            if quiet > 5 && (!self.calm || self.reloaded) {
                self.rig.pass(Duration::from_secs(1));
            } else if quiet > 5 {
                // The kernel takes its time with windows that were closed.
                std::thread::sleep(Duration::from_millis(1));
                assert!(quiet < QUIET_MAX, "nothing moves: {}", self.state());
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.state());
        }
        for client in &self.clients {
            let excused = client.broken || !self.calm || self.reloaded;
            let served = !client.cut && client.refused.is_empty();
            assert!(excused || served, "{client:?}");
        }
        self.clients.clear();
        self.drain(deadline);
    }

    /// A client that has nothing more to ask leaves.
    fn leave(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let refused = self.reloaded
            && !self.handing
            && self.rig.members.iter().all(|member| member.left.is_some());
        let idle = client.asked.is_empty() && !client.may_ask() && client.unsent() == 0;
        if client.peer.is_some()
            && (refused || (idle && !client.closing && client.tunnel.is_none()))
        {
            client.peer = None;
            client.over = true;
        }
    }

    /// Nothing is left when everybody has gone.
    fn drain(&mut self, deadline: Instant) {
        let left = |rig: &Rig| -> usize {
            let members = rig.members.iter().filter(|member| member.left.is_none());
            members.map(|member| member.worker.sessions.len() + member.worker.streams.len()).sum()
        };
        loop {
            self.rig.settle();
            self.accept();
            self.servers.clear();
            self.rig.settle();
            if left(&self.rig) == 0 {
                break;
            }
            // Waits before another attempt at a server that has gone, and probes of the kernel.
            self.rig.pass(Duration::from_secs(1));
            assert!(Instant::now() < deadline, "something is left");
        }
        self.rig.check_empty();
        for member in self.rig.members.iter().filter(|member| member.left.is_none()) {
            let kept: usize =
                member.worker.backends[0].kept.iter().map(crate::kept::KeptPool::len).sum();
            assert_eq!(kept, 0);
            if !self.reloaded && self.handovers == 0 {
                assert_eq!(member.worker.descriptors.len(), self.descriptors);
            }
        }
    }

    fn state(&self) -> String {
        let worker = &self.rig.members.last().unwrap().worker;
        let streams: Vec<_> = worker.streams.iter().map(|(_, stream)| stream).collect();
        let sessions: Vec<_> = worker.sessions.iter().map(|(_, session)| session).collect();
        format!(
            "{:?}\n{:?}\n{streams:?}\n{sessions:?}",
            self.clients.iter().filter(|client| !client.is_done()).collect::<Vec<_>>(),
            self.servers,
        )
    }
}

#[test]
fn responses_belong_to_their_requests_whatever_happens() {
    super::random::each_seed("EXCHANGES_SEED", SEEDS, |seed| {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.end();
    });
}
