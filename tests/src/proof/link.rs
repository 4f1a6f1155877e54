//! A client's connection, which is written down while it is open.
//!
//! Shell. Every failure is a [`Fault`]; the limit of every wait is [`deadline::LIMIT`].

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, Socket, Type};

use super::content::Content;
use super::fault::Fault;
use super::frames;
use super::wire::{Framing, Pace, Wire};
use crate::deadline;

/// What one client is at, for others to see.
#[derive(Debug)]
pub struct Place {
    seen: Mutex<Connection>,
}

/// The last connection of a client.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its own address; `None`: there was none yet, or it failed.
    pub local: Option<SocketAddr>,
    /// Since when.
    pub opened: Instant,
    /// Whether it is open.
    pub open: bool,
    /// In the middle of what it is.
    pub doing: String,
}

impl Place {
    /// Of a client that has not begun.
    pub fn new() -> Self {
        let seen =
            Connection { local: None, opened: Instant::now(), open: false, doing: String::new() };
        Self { seen: Mutex::new(seen) }
    }

    /// What it is at.
    pub fn connection(&self) -> Connection {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// What an answer says besides its content.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// 101 or 200.
    pub status: u16,
    /// Where its content ends.
    pub framing: Framing,
    /// Whether the connection ends behind it.
    pub closes: bool,
}

/// How an idle connection looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Open, and nothing came.
    Open,
    /// Closed in order.
    Closed,
}

/// One connection.
#[derive(Debug)]
pub struct Link {
    wire: Wire<TcpStream>,
    place: Arc<Place>,
    answers: u32,
}

impl Link {
    /// Connects; with a small receive buffer where one is given.
    pub fn connect(
        to: SocketAddr,
        place: &Arc<Place>,
        buffer: Option<usize>,
    ) -> Result<Self, Fault> {
        *place.lock() = Connection {
            local: None,
            opened: Instant::now(),
            open: false,
            doing: "connecting".to_owned(),
        };
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => Fault::Refused,
            other => Fault::NotConnected(other),
        };
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(failed)?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes).map_err(failed)?;
        }
        socket.connect_timeout(&to.into(), deadline::LIMIT).map_err(failed)?;
        socket.set_tcp_nodelay(true).map_err(failed)?;
        socket.set_read_timeout(Some(deadline::LIMIT)).map_err(failed)?;
        socket.set_write_timeout(Some(deadline::LIMIT)).map_err(failed)?;
        let stream = TcpStream::from(socket);
        {
            let mut seen = place.lock();
            seen.local = stream.local_addr().ok();
            seen.open = true;
        }
        Ok(Self { wire: Wire::new(stream), place: Arc::clone(place), answers: 0 })
    }

    /// Says what follows.
    pub fn doing(&self, what: impl Into<String>) {
        self.place.lock().doing = what.into();
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        Ok(self.wire.send(bytes)?)
    }

    /// Sends this content.
    pub fn send_content(&mut self, content: Content, length: u64, pace: Pace) -> Result<(), Fault> {
        Ok(self.wire.send_body(false, content, length, pace)?)
    }

    /// Sends this content in chunks.
    pub fn send_chunks(&mut self, content: Content, length: u64, pace: Pace) -> Result<(), Fault> {
        Ok(self.wire.send_body(true, content, length, pace)?)
    }

    /// The next answer's head: 200, or 101 where `status` says so.
    pub fn answer(&mut self, status: u16) -> Result<Answer, Fault> {
        let Some(head) = self.wire.head()? else {
            return Err(if self.answers == 0 { Fault::EndedEarly } else { Fault::Unannounced });
        };
        let said = head.line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        match said {
            Some(said) if said == status => {}
            Some(422) => return Err(Fault::WrongBytes),
            Some(other) => return Err(Fault::Status(other)),
            None => return Err(Fault::Malformed),
        }
        self.answers += 1;
        Ok(Answer { status, framing: head.framing()?, closes: head.closes() })
    }

    /// The content behind it.
    pub fn expect_content(
        &mut self,
        answer: Answer,
        content: Content,
        length: u64,
        pace: Pace,
    ) -> Result<(), Fault> {
        Ok(self.wire.expect_body(answer.framing, content, length, pace)?)
    }

    /// The content behind it, which has to be this text.
    pub fn expect_text(&mut self, answer: Answer, text: &str) -> Result<(), Fault> {
        if answer.framing != Framing::Length(text.len() as u64) {
            return Err(Fault::WrongBytes);
        }
        let same = self.wire.bytes(text.len())? == text.as_bytes();
        if same { Ok(()) } else { Err(Fault::WrongBytes) }
    }

    /// The next bytes, which have to be this content.
    pub fn expect_bytes(&mut self, content: Content, length: u64, pace: Pace) -> Result<(), Fault> {
        Ok(self.wire.expect_body(Framing::Length(length), content, length, pace)?)
    }

    /// Expects the orderly end.
    pub fn expect_end(&mut self) -> Result<(), Fault> {
        Ok(self.wire.expect_end()?)
    }

    /// Ends sending.
    pub fn end_sending(&mut self) -> Result<(), Fault> {
        Ok(self.wire.stream().shutdown(std::net::Shutdown::Write)?)
    }

    /// Looks at a connection on which nothing is to come.
    pub fn idle(&mut self) -> Result<Idle, Fault> {
        if self.wire.has_more() {
            return Err(Fault::WrongBytes);
        }
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let stream = self.wire.stream();
        let mut waited = [PollFd::new(&*stream, PollFlags::IN)];
        if rustix::event::poll(&mut waited, Some(&now)).unwrap_or(0) == 0 {
            return Ok(Idle::Open);
        }
        match stream.peek(&mut [0])? {
            0 => Ok(Idle::Closed),
            _ => Err(Fault::WrongBytes),
        }
    }

    /// Sends a WebSocket frame.
    pub fn send_frame(&mut self, opcode: u8, payload: &[u8]) -> Result<(), Fault> {
        Ok(frames::send(&mut self.wire, true, opcode, payload)?)
    }

    /// The next WebSocket frame, which has to be this one.
    pub fn expect_frame(&mut self, opcode: u8, payload: &[u8]) -> Result<(), Fault> {
        let came = frames::receive(&mut self.wire, false)?;
        if came.0 == opcode && came.1 == payload { Ok(()) } else { Err(Fault::WrongBytes) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.place.lock().open = false;
    }
}
