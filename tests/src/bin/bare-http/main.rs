//! An HTTP/1.1 relay with nothing but the relay: no log, limit, timer, rule or check. The bench's floor.
//!
//! Shell. `bare-http LISTEN=TARGET [--splice]`; one thread, one poller, edge-triggered, a descriptor is
//! registered once for its life; a read shorter than asked ends reading, unless the end was reported. It
//! understands what the bench sends: heads that fit a buffer, contents of told length, one request after
//! the other.
//!
//! Invariants:
//! - a server has a client from the request's head to the last byte of the answer, and else is kept for
//!   whoever comes first;
//! - bytes read from one end are written to its peer at once; what does not fit waits in the peer's
//!   `left`, and nothing more is read for it until that is gone;
//! - an end that fails takes its peer with it.

mod content;
mod head;

use std::error::Error;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

use crate::content::{Pipes, Way, send, would_block};
use crate::head::Head;

/// Events taken from the poller at a time, as many as HAProxy's default (tune.maxpollevents).
const EVENTS_MAX: usize = 200;
/// Bytes read at a time, HAProxy's default buffer.
const BUFFER_BYTES: usize = 16_384;
/// The listener's token; ends have their place in the table.
const LISTENER: u64 = u64::MAX;

/// A client's or a server's socket.
struct End {
    socket: OwnedFd,
    is_client: bool,
    /// A client's server and the other way round, during an exchange.
    peer: Option<usize>,
    /// May have bytes: an edge came and no short read since.
    readable: bool,
    /// Reported its end, so that a short read proves nothing.
    over: bool,
    /// The beginning of a head that is not whole.
    begun: Vec<u8>,
    /// The head of the message that it sends was passed on, and the message is not through.
    moving: bool,
    /// Bytes of that message still to come.
    coming: u64,
    /// How these are moved.
    way: Way,
    /// Bytes read for it and not yet written to it.
    left: Vec<u8>,
    /// Of a client: this request is its last.
    last: bool,
}

/// What becomes of an end after it was looked at.
type Outcome = Result<(), Errno>;

struct Relay {
    epoll: OwnedFd,
    listener: TcpListener,
    target: SocketAddr,
    ends: Vec<Option<End>>,
    free: Vec<usize>,
    /// Freed in this round: not to be given out before its remaining events have passed.
    freed: Vec<usize>,
    /// Servers without a client.
    kept: Vec<usize>,
    pipes: Pipes,
    buffer: Vec<u8>,
}

fn main() -> ExitCode {
    match start().and_then(|relay| run(relay).map_err(Into::into)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare-http: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<Relay, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (pair, options) = arguments.split_first().ok_or("usage: LISTEN=TARGET [--splice]")?;
    let (listen, target) = pair.split_once('=').ok_or("usage: LISTEN=TARGET [--splice]")?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    println!("listening {}", listener.local_addr()?);
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    Ok(Relay {
        epoll,
        listener,
        target: target.parse()?,
        ends: Vec::new(),
        free: Vec::new(),
        freed: Vec::new(),
        kept: Vec::new(),
        pipes: Pipes::new(options.iter().any(|option| option == "--splice")),
        buffer: vec![0; BUFFER_BYTES],
    })
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
            match event.data.u64() {
                LISTENER => {
                    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                    if let Ok(client) = rustix::net::accept_with(&relay.listener, flags) {
                        let _ = relay.add(client, true);
                    }
                }
                place => relay.handle(place as usize, event.flags),
            }
        }
        relay.free.append(&mut relay.freed);
    }
}

impl Relay {
    fn add(&mut self, socket: OwnedFd, is_client: bool) -> Result<usize, Errno> {
        let _ = set_tcp_nodelay(&socket, true);
        let place = self.free.pop().unwrap_or_else(|| {
            self.ends.push(None);
            self.ends.len() - 1
        });
        let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &socket, EventData::new_u64(place as u64), all)?;
        self.ends[place] = Some(End {
            socket,
            is_client,
            peer: None,
            readable: false,
            over: false,
            begun: Vec::new(),
            moving: false,
            coming: 0,
            way: Way::Copy,
            left: Vec::new(),
            last: false,
        });
        Ok(place)
    }

    fn handle(&mut self, place: usize, flags: EventFlags) {
        let Some(end) = self.ends[place].as_mut() else { return };
        end.over |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        end.readable |= end.over || flags.contains(EventFlags::IN);
        let result = if flags.contains(EventFlags::OUT) { self.write_left(place) } else { Ok(()) };
        if result.and_then(|()| self.read(place)).is_err() {
            let peer = self.ends[place].as_ref().and_then(|end| end.peer);
            self.forget(place);
            if let Some(peer) = peer {
                self.forget(peer);
            }
        }
    }

    fn forget(&mut self, place: usize) {
        if let Some(end) = self.ends[place].take() {
            self.freed.push(place);
            if !end.is_client && end.peer.is_none() {
                self.kept.retain(|kept| *kept != place);
            }
        }
    }

    /// Writes what waits for room; then its peer may go on.
    fn write_left(&mut self, place: usize) -> Outcome {
        let Some(end) = self.ends[place].as_mut() else { return Ok(()) };
        let Some(peer) = end.peer else { return Ok(()) };
        if !end.left.is_empty() {
            let left = std::mem::take(&mut end.left);
            end.left = send(&end.socket, &left)?.to_vec();
            if !end.left.is_empty() {
                return Ok(());
            }
        }
        self.read(peer)
    }

    /// Reads heads and contents and passes them on, while there is room for them.
    fn read(&mut self, place: usize) -> Outcome {
        loop {
            let Some(end) = self.ends[place].as_mut() else { return Ok(()) };
            if end.moving {
                if !self.proceed_content(place)? {
                    return Ok(());
                }
            } else if end.readable && (!end.is_client || end.peer.is_none()) {
                self.read_head(place)?;
            } else {
                return Ok(());
            }
        }
    }

    fn read_head(&mut self, place: usize) -> Outcome {
        let Some(end) = self.ends[place].as_mut() else { return Ok(()) };
        let mut buffer = std::mem::take(&mut self.buffer);
        let begun = end.begun.len();
        buffer[..begun].copy_from_slice(&end.begun);
        let read = rustix::net::recv(&end.socket, &mut buffer[begun..], RecvFlags::empty());
        let read = would_block(read.map(|(read, _)| read));
        end.readable = matches!(read, Ok(Some(read)) if end.over || begun + read == BUFFER_BYTES);
        let result = match read {
            Ok(None) => Ok(()),
            // The end, or more than a head can take.
            Ok(Some(0)) => Err(Errno::CONNRESET),
            Ok(Some(read)) => self.handle_head(place, &buffer[..begun + read]),
            Err(error) => Err(error),
        };
        self.buffer = buffer;
        result
    }

    /// Passes a head on, with what content came with it.
    fn handle_head(&mut self, place: usize, bytes: &[u8]) -> Outcome {
        let Some(end) = self.ends[place].as_mut() else { return Ok(()) };
        end.begun.clear();
        let Some(head) = Head::of(bytes) else {
            end.begun.extend_from_slice(bytes);
            return Ok(());
        };
        let content = (bytes.len() - head.length) as u64;
        end.moving = true;
        end.coming = head.content_bytes.checked_sub(content).ok_or(Errno::PROTO)?;
        if end.coming > 0 {
            end.way = self.pipes.way();
        }
        if end.is_client {
            end.last = head.close;
            let server = self.server()?;
            self.ends[place].as_mut().ok_or(Errno::PROTO)?.peer = Some(server);
            self.ends[server].as_mut().ok_or(Errno::PROTO)?.peer = Some(place);
        }
        let peer = self.ends[place].as_ref().and_then(|end| end.peer).ok_or(Errno::PROTO)?;
        let peer = self.ends[peer].as_mut().ok_or(Errno::PROTO)?;
        match head.connection {
            None => peer.left = send(&peer.socket, bytes)?.to_vec(),
            Some(hop) => {
                let without = [&bytes[..hop.start], &bytes[hop.end..]].concat();
                peer.left = send(&peer.socket, &without)?.to_vec();
            }
        }
        Ok(())
    }

    /// Moves content as far as it goes; whether the message is complete.
    fn proceed_content(&mut self, place: usize) -> Result<bool, Errno> {
        let peer = self.ends[place].as_ref().and_then(|end| end.peer).ok_or(Errno::PROTO)?;
        let Ok([Some(end), Some(peer)]) = self.ends.get_disjoint_mut([place, peer]) else {
            return Err(Errno::PROTO);
        };
        while end.way.pass_on(&peer.socket)? && peer.left.is_empty() {
            if end.coming == 0 {
                end.moving = false;
                self.pipes.take_back(&mut end.way);
                if !end.is_client {
                    self.part(place)?;
                }
                return Ok(true);
            }
            if !end.readable {
                break;
            }
            let moved = match &mut end.way {
                Way::Splice(pipe) => pipe.fill(&end.socket, end.coming)?,
                Way::Copy => {
                    let most = BUFFER_BYTES.min(end.coming as usize);
                    let room = &mut self.buffer[..most];
                    let read = rustix::net::recv(&end.socket, &mut *room, RecvFlags::empty());
                    let read = would_block(read.map(|(read, _)| read))?;
                    peer.left = send(&peer.socket, &room[..read.unwrap_or(0)])?.to_vec();
                    end.readable = read == Some(most) || end.over;
                    read
                }
            };
            match moved {
                None => end.readable = false,
                Some(0) => return Err(Errno::CONNRESET),
                Some(moved) => end.coming -= moved as u64,
            }
        }
        Ok(false)
    }

    /// After the last byte of an answer: the server is kept, the client goes on or goes.
    fn part(&mut self, server: usize) -> Outcome {
        let client = self.ends[server].as_mut().and_then(|end| end.peer.take());
        self.kept.push(server);
        let client = client.ok_or(Errno::PROTO)?;
        let end = self.ends[client].as_mut().ok_or(Errno::PROTO)?;
        end.peer = None;
        if end.last {
            self.forget(client);
            return Ok(());
        }
        self.read(client)
    }

    /// A kept server, or a new one.
    fn server(&mut self) -> Result<usize, Errno> {
        if let Some(server) = self.kept.pop() {
            return Ok(server);
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let family = if self.target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &self.target) {
            Ok(()) | Err(Errno::INPROGRESS) => self.add(socket, false),
            Err(error) => Err(error),
        }
    }
}
