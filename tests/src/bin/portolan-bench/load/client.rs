//! One HTTP client connection: a request in flight, its answer checked.
//!
//! Shell, non-blocking, to be registered edge-triggered with [`EDGES`].

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::http::{Ask, Incoming, host};

/// What a client wants to hear of.
pub const EDGES: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);
/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 18;

/// What all requests of some connections have in common.
pub struct Plan {
    pub ask: Ask,
    pub request: Vec<u8>,
    /// Whether the request says that it is the last, so that the proxy ends the connection.
    pub last: bool,
}

impl Plan {
    pub fn new(ask: Ask, host: &str, last: bool) -> Rc<Self> {
        Rc::new(Self { ask, request: ask.request(host, last), last })
    }
}

/// What the clients of one generator share.
pub struct Scratch {
    buffer: Vec<u8>,
    /// The last good answer that came whole.
    known: Vec<u8>,
}

impl Scratch {
    pub fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES], known: Vec::new() }
    }
}

pub struct Client {
    pub socket: OwnedFd,
    plan: Rc<Plan>,
    state: State,
    incoming: Incoming,
}

/// What is true now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is asked.
    Quiet,
    /// So many bytes of the request are sent; the connection may not stand yet.
    Asking(usize),
    /// The answer is awaited.
    Answering,
    /// The answer came; the end is awaited.
    Ending,
}

impl Client {
    /// Begins to connect.
    pub fn connect(target: SocketAddr, plan: &Rc<Plan>) -> Result<Self, Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
        match rustix::net::connect(&socket, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let plan = Rc::clone(plan);
        Ok(Self { socket, plan, state: State::Quiet, incoming: Incoming::default() })
    }

    /// Sends a request as far as it goes; the rest follows at the next event.
    pub fn ask(&mut self) -> io::Result<()> {
        self.state = State::Asking(0);
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        while let State::Asking(sent) = self.state {
            let left = &self.plan.request[sent..];
            match rustix::net::send(&self.socket, left, SendFlags::NOSIGNAL) {
                Ok(written) if written == left.len() => self.state = State::Answering,
                Ok(written) => self.state = State::Asking(sent + written),
                // Not yet, or not yet connected.
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// After an event: whether the answer came (and, behind the last one, the end).
    pub fn proceed(&mut self, flags: EventFlags, scratch: &mut Scratch) -> io::Result<bool> {
        if flags.contains(EventFlags::OUT) {
            self.send()?;
        }
        let over = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if !over && !flags.contains(EventFlags::IN) {
            return Ok(false);
        }
        loop {
            let room = &mut scratch.buffer[..];
            let read = match rustix::net::recv(&self.socket, &mut *room, RecvFlags::empty()) {
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let drained = read < scratch.buffer.len() && !over;
            match (self.state, read) {
                (State::Ending, 0) => return Ok(true),
                (State::Answering, 1..) if self.take(read, scratch)? => {
                    if !self.plan.last {
                        self.state = State::Quiet;
                        return Ok(true);
                    }
                    self.state = State::Ending;
                }
                (State::Answering, 1..) => {}
                (_, 0) => return Err(io::Error::other("the proxy closed before its answer")),
                _ => return Err(io::Error::other("the proxy sent what nobody asked for")),
            }
            if drained {
                return Ok(false);
            }
        }
    }

    /// Whether these bytes complete a good answer.
    fn take(&mut self, read: usize, scratch: &mut Scratch) -> io::Result<bool> {
        let bytes = &scratch.buffer[..read];
        let fresh = self.incoming.is_fresh();
        if fresh && bytes == scratch.known {
            return Ok(true);
        }
        let ask = self.plan.ask;
        let whole = self.incoming.take(bytes, |head| ask.check_answer(head));
        let whole = whole.map_err(|wrong| {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
            io::Error::other(format!("{wrong}: {}", text.escape_debug()))
        })?;
        if fresh && whole {
            scratch.known.clear();
            scratch.known.extend_from_slice(bytes);
        }
        Ok(whole)
    }
}

/// One small request and its answer on a blocking stream.
pub fn exchange(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&Ask::Small.request(&host(0), false))?;
    let mut room = [0; 1024];
    let mut incoming = Incoming::default();
    loop {
        let read = stream.read(&mut room)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let whole = incoming.take(&room[..read], |head| Ask::Small.check_answer(head));
        if whole.map_err(io::Error::other)? {
            return Ok(());
        }
    }
}
