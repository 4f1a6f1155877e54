//! A TCP relay with nothing but the relay: no log, limit, timer or retry. The bench's floor.
//!
//! Shell. `bare-relay LISTEN=TARGET… [--splice]`; one thread, one poller, edge-triggered, a descriptor is
//! registered once for its life. A read shorter than asked ends reading, unless the end was reported.
//!
//! Invariants:
//! - bytes read from one side are written to the other at once; what does not fit waits in `left`, and
//!   nothing more is read for it until it is gone;
//! - a pair is dropped when both directions have ended, or either socket has failed.

mod direction;

use std::error::Error;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::direction::Direction;

/// Events taken from the poller at a time, as many as HAProxy's default (tune.maxpollevents).
const EVENTS_MAX: usize = 200;
/// Bytes read at a time, HAProxy's default buffer.
const BUFFER_BYTES: usize = 16_384;
/// Tokens from here on are pairs, two each; below are listeners.
const PAIRS_FROM: u64 = 1 << 16;

/// A client's and a server's socket, and what flows between them.
struct Pair {
    /// 0: the client's, 1: the server's.
    sockets: [OwnedFd; 2],
    /// 0: from the client, 1: from the server.
    directions: [Direction; 2],
}

struct Relay {
    epoll: OwnedFd,
    listeners: Vec<(TcpListener, SocketAddr)>,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    /// Freed in this round: not to be given out before its remaining events have passed.
    freed: Vec<usize>,
    buffer: Vec<u8>,
    splice: bool,
}

fn main() -> ExitCode {
    match start().and_then(|relay| run(relay).map_err(Into::into)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<Relay, Box<dyn Error>> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut relay = Relay {
        epoll,
        listeners: Vec::new(),
        pairs: Vec::new(),
        free: Vec::new(),
        freed: Vec::new(),
        buffer: vec![0; BUFFER_BYTES],
        splice: false,
    };
    for argument in std::env::args().skip(1) {
        if argument == "--splice" {
            relay.splice = true;
            continue;
        }
        let (listen, target) =
            argument.split_once('=').ok_or("usage: LISTEN=TARGET… [--splice]")?;
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        println!("listening {}", listener.local_addr()?);
        let token = EventData::new_u64(relay.listeners.len() as u64);
        epoll::add(&relay.epoll, &listener, token, EventFlags::IN)?;
        relay.listeners.push((listener, target.parse()?));
    }
    Ok(relay)
}

fn run(mut relay: Relay) -> Result<(), Errno> {
    let mut events = [MaybeUninit::<Event>::uninit(); EVENTS_MAX];
    loop {
        let ready = match epoll::wait(&relay.epoll, &mut events, None) {
            Ok((ready, _)) => ready,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        for event in ready {
            let token = event.data.u64();
            match token.checked_sub(PAIRS_FROM) {
                None => relay.accept(token as usize),
                Some(place) => {
                    relay.handle((place / 2) as usize, (place % 2) as usize, event.flags);
                }
            }
        }
        relay.free.append(&mut relay.freed);
    }
}

impl Relay {
    /// Takes one connection and opens its other half; a failure of either costs that connection only.
    fn accept(&mut self, listener: usize) {
        let (listener, target) = &self.listeners[listener];
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let Ok(client) = rustix::net::accept_with(listener, flags) else { return };
        let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let Ok(server) = rustix::net::socket_with(family, SocketType::STREAM, flags, None) else {
            return;
        };
        let _ = set_tcp_nodelay(&client, true);
        let _ = set_tcp_nodelay(&server, true);
        if !matches!(rustix::net::connect(&server, target), Ok(()) | Err(Errno::INPROGRESS)) {
            return;
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        for (side, socket) in [&client, &server].into_iter().enumerate() {
            let token = EventData::new_u64(PAIRS_FROM + 2 * place as u64 + side as u64);
            if epoll::add(&self.epoll, socket, token, all).is_err() {
                self.freed.push(place);
                return;
            }
        }
        let directions = [Direction::new(self.splice), Direction::new(self.splice)];
        self.pairs[place] = Some(Pair { sockets: [client, server], directions });
    }

    /// A socket is ready: it may be read into its direction, and written from the other one.
    fn handle(&mut self, place: usize, side: usize, flags: EventFlags) {
        let Some(pair) = self.pairs[place].as_mut() else { return };
        let over = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let [client, server] = &pair.sockets;
        let (own, other) = if side == 0 { (client, server) } else { (server, client) };
        if flags.contains(EventFlags::OUT) {
            // What came from the other side waits for this one's room.
            pair.directions[1 - side].proceed(other, own, &mut self.buffer);
        }
        let inward = &mut pair.directions[side];
        if flags.intersects(EventFlags::IN) || over {
            inward.ready(over);
            inward.proceed(own, other, &mut self.buffer);
        }
        let [forth, back] = &pair.directions;
        if forth.failed() || back.failed() || (forth.ended() && back.ended()) {
            self.pairs[place] = None;
            self.freed.push(place);
        }
    }
}
