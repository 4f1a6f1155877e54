//! Bytes in are bytes out: one worker, a few streams, peers that write and read in pieces of any size,
//! stop reading, end one direction or break off, with every poller, copied and spliced, with few buffers
//! and pipes, with PROXY headers that come in pieces; and all of it moves from worker to worker meanwhile.
//!
//! What arrives is always the beginning of what was sent, and all of it where nobody broke off. A
//! failing seed is printed; `FLOW_SEED=n` replays it alone.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use portolan_shared::model::{Config, ProxyProtocolIn, SpliceOptions};
use socket2::SockRef;

use super::random::Random;
use super::{Peer, Rig};
use crate::back::State;

const SEEDS: u64 = 8;
const STEPS: u32 = 600;
/// About so many steps between two moves.
const STEPS_PER_MOVE: usize = 25;
const STREAMS_MAX: usize = 5;

/// One end, and how much it has sent and seen.
struct End {
    peer: Option<Peer>,
    /// What it sends is told by this and the position.
    seed: u64,
    /// Sent before the first byte of the pattern, and not yet sent.
    header: Vec<u8>,
    sent: u64,
    seen: u64,
    /// It has ended its sending.
    done: bool,
    /// It has seen the end.
    heard_all: bool,
}

/// A connection through the proxy.
struct Pair {
    client: End,
    server: End,
    /// Somebody broke off: what was on its way may be lost.
    broken: bool,
}

/// The byte at a position of a pattern.
fn byte(seed: u64, at: u64) -> u8 {
    let mixed = (at / 7 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed;
    (mixed >> (8 * (at % 7))) as u8
}

impl End {
    fn new(peer: Option<Peer>, seed: u64, header: Vec<u8>) -> Self {
        Self { peer, seed, header, sent: 0, seen: 0, done: false, heard_all: false }
    }

    /// Writes up to so many bytes; whether the connection still takes any.
    fn write(&mut self, most: usize) -> bool {
        let Some(peer) = self.peer.as_mut().filter(|_| !self.done) else { return true };
        let bytes: Vec<u8> = if self.header.is_empty() {
            (self.sent..self.sent + most as u64).map(|at| byte(self.seed, at)).collect()
        } else {
            self.header[..most.min(self.header.len())].to_vec()
        };
        match peer.0.write(&bytes) {
            Ok(count) if self.header.is_empty() => self.sent += count as u64,
            Ok(count) => drop(self.header.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        true
    }

    /// Reads up to so many bytes and compares them; whether the connection is still sound.
    fn read(&mut self, most: usize, expected: u64) -> bool {
        let Some(peer) = self.peer.as_mut().filter(|_| !self.heard_all) else { return true };
        let mut piece = vec![0; most];
        match peer.0.read(&mut piece) {
            Ok(0) => self.heard_all = true,
            Ok(count) => {
                for (got, at) in piece[..count].iter().zip(self.seen..) {
                    assert_eq!(*got, byte(expected, at), "at {at}");
                }
                self.seen += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        true
    }

    fn end(&mut self) {
        if self.header.is_empty() && !self.done {
            self.done = true;
            if let Some(peer) = &self.peer {
                // The other end may have broken off.
                let _ = peer.0.shutdown(Shutdown::Write);
            }
        }
    }
}

fn shape(config: &mut Config, random: &mut Random) {
    let tune = &mut config.tune;
    tune.buffer_size = [1024, 2000, 16_384][random.below(3)];
    tune.buffer_limit = [0, 1, 3][random.below(3)];
    tune.maxpipes = Some([0, 1, 10][random.below(3)]);
    for size in [&mut tune.server_rcvbuf, &mut tune.server_sndbuf] {
        *size = [None, Some(2048), Some(20_000)][random.below(3)];
    }
    tune.disabled_pollers = match random.below(4) {
        0 => vec!["epoll".to_owned()],
        1 => vec!["epoll".to_owned(), "polling".to_owned()],
        _ => vec![],
    };
    config.frontends[0].splice = splice(random);
    if random.below(2) == 0 {
        config.frontends[0].binds[0].accept_proxy =
            Some(ProxyProtocolIn { from: Vec::new(), timeout: None });
    }
}

fn splice(random: &mut Random) -> SpliceOptions {
    SpliceOptions {
        request: random.below(3) == 0,
        response: random.below(3) == 0,
        auto: random.below(2) == 0,
    }
}

/// A PROXY header of either version; version 2 with as much behind the addresses as is allowed.
fn header(random: &mut Random) -> Vec<u8> {
    match random.below(3) {
        0 => b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n".to_vec(),
        1 => b"PROXY UNKNOWN\r\n".to_vec(),
        _ => {
            let padding = random.below(16_384 - 16 - 12 - 3);
            let length = 12 + 3 + padding;
            let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
            header.extend((length as u16).to_be_bytes());
            header.extend([192, 0, 2, 1, 192, 0, 2, 2, 3, 232, 7, 208]);
            header.push(0x04);
            header.extend((padding as u16).to_be_bytes());
            header.extend(vec![0; padding]);
            header
        }
    }
}

struct Flow {
    rig: Rig,
    random: Random,
    pairs: Vec<Pair>,
    begun: u64,
}

impl Flow {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let rig = Rig::new(1, |config| shape(config, &mut random));
        Self { rig, random, pairs: Vec::new(), begun: 0 }
    }

    fn step(&mut self) {
        if self.random.below(STEPS_PER_MOVE) == 0 {
            self.move_on();
        }
        match self.random.below(20) {
            0 if self.pairs.len() < STREAMS_MAX => self.begin(),
            0..8 => {
                let at = self.random.below(self.rig.members.len());
                self.rig.turn(at);
            }
            _ if self.pairs.is_empty() => {}
            8 => self.break_off(),
            9 => self.end_one(),
            10..15 => self.write_one(),
            _ => self.read_one(),
        }
        self.match_servers();
    }

    /// The next worker, with other ideas of splicing, perhaps before the one before it has everything.
    fn move_on(&mut self) {
        if self.random.below(2) == 0 {
            self.rig.config.frontends[0].splice = splice(&mut self.random);
            self.rig.hand_over();
        }
        self.rig.members.retain(|member| member.left.is_none());
    }

    fn begin(&mut self) {
        self.begun += 1;
        let told = self.rig.config.frontends[0].binds[0].accept_proxy.is_some();
        let header = if told { header(&mut self.random) } else { Vec::new() };
        let client = self.rig.client(0);
        self.squeeze(&client);
        let client = End::new(Some(client), 2 * self.begun, header);
        let server = End::new(None, 2 * self.begun + 1, Vec::new());
        self.pairs.push(Pair { client, server, broken: false });
    }

    /// Small buffers in the kernel make for many short reads and writes.
    fn squeeze(&mut self, peer: &Peer) {
        let socket = SockRef::from(&peer.0);
        if self.random.below(2) == 0 {
            socket.set_recv_buffer_size(2048).unwrap();
        }
        if self.random.below(2) == 0 {
            socket.set_send_buffer_size(2048).unwrap();
        }
    }

    /// Gives each connection at the server to the client for whom it was made.
    fn match_servers(&mut self) {
        while let Some(server) = self.rig.accept() {
            self.squeeze(&server);
            let client = self.rig.client_of(&server);
            let pair = self.pairs.iter_mut().find(|pair| {
                let peer = pair.client.peer.as_ref();
                pair.server.peer.is_none()
                    && peer.map(|peer| peer.0.local_addr().unwrap()) == client
            });
            // Nobody's, if its client has broken off already.
            if let Some(pair) = pair {
                pair.server.peer = Some(server);
            }
        }
    }

    fn piece(&mut self) -> usize {
        let most = [1, 10, 1500, 5000, 70_000][self.random.below(5)];
        1 + self.random.below(most)
    }

    fn one(&mut self) -> (&mut Pair, bool) {
        let at = self.random.below(self.pairs.len());
        let client = self.random.below(2) == 0;
        (&mut self.pairs[at], client)
    }

    fn write_one(&mut self) {
        let most = self.piece();
        let (pair, client) = self.one();
        let end = if client { &mut pair.client } else { &mut pair.server };
        let sound = end.write(most);
        assert!(sound || pair.broken, "a write failed and nobody had broken off");
    }

    fn read_one(&mut self) {
        let most = self.piece();
        let (pair, client) = self.one();
        let (end, other) = if client {
            (&mut pair.client, &pair.server)
        } else {
            (&mut pair.server, &pair.client)
        };
        let sound = end.read(most, other.seed);
        assert!(sound || pair.broken, "a read failed and nobody had broken off");
    }

    fn end_one(&mut self) {
        // Who ends before it is connected, and has said nothing, has left.
        self.rig.settle();
        let (pair, client) = self.one();
        if pair.server.peer.is_some() {
            let end = if client { &mut pair.client } else { &mut pair.server };
            end.end();
        }
    }

    fn break_off(&mut self) {
        if self.random.below(4) > 0 {
            return;
        }
        let at = self.random.below(self.pairs.len());
        let client = self.random.below(2) == 0;
        let pair = &mut self.pairs[at];
        if pair.server.peer.is_none() {
            return;
        }
        pair.broken = true;
        let end = if client { &mut pair.client } else { &mut pair.server };
        if let Some(peer) = end.peer.take() {
            peer.reset();
        }
    }

    /// Everybody sends what is left of its header, ends, and reads to the end.
    fn end(mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        self.rig.settle();
        loop {
            let mut over = true;
            for pair in &mut self.pairs {
                for end in [&mut pair.client, &mut pair.server] {
                    if !end.header.is_empty() {
                        end.write(usize::MAX);
                    }
                }
                let connected = pair.server.peer.is_some();
                if connected {
                    pair.client.end();
                    pair.server.end();
                }
                let sound = pair.client.read(100_000, pair.server.seed)
                    && pair.server.read(100_000, pair.client.seed);
                pair.broken |= !sound && {
                    assert!(pair.broken);
                    true
                };
                over &= pair.broken || (pair.client.heard_all && pair.server.heard_all);
            }
            self.match_servers();
            self.rig.settle();
            if over {
                break;
            }
            assert!(Instant::now() < deadline, "{}", self.state());
        }
        for pair in &self.pairs {
            if !pair.broken {
                assert_eq!(pair.server.seen, pair.client.sent);
                assert_eq!(pair.client.seen, pair.server.sent);
            }
        }
        self.pairs.clear();
        while self.rig.streams() > 0 {
            // A peer that closed while our bytes wait for room is found gone by the kernel's probes.
            self.rig.settle();
            drop(self.rig.accept());
            let members = self.rig.members.iter();
            let mut streams = members.flat_map(|member| member.worker.streams.iter());
            if streams.any(|(_, stream)| matches!(stream.machine.state(), State::Tar(_))) {
                // A server that reset before the proxy saw it connected is tried again.
                self.rig.pass(Duration::from_secs(1));
            }
            assert!(Instant::now() < deadline, "a stream is left");
        }
        self.rig.check_empty();
    }

    fn state(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::from("it does not end");
        for pair in &self.pairs {
            let (client, server) = (&pair.client, &pair.server);
            let _ = write!(
                text,
                "\nclient sent {} saw {} end {}, server sent {} saw {} end {}, broken {}",
                client.sent,
                client.seen,
                client.heard_all,
                server.sent,
                server.seen,
                server.heard_all,
                pair.broken
            );
        }
        text
    }
}

#[test]
fn bytes_in_are_bytes_out() {
    super::random::each_seed("FLOW_SEED", SEEDS, |seed| {
        let mut flow = Flow::new(seed);
        for _ in 0..STEPS {
            flow.step();
        }
        flow.end();
    });
}
