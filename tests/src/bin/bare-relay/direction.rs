//! One way through a pair: read, write, and remember what did not fit.
//!
//! Shell. States: open → ended (end of stream read, nothing left, end passed on), or failed.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags};

/// Bytes asked of one splice; the pipe holds 64 kB by default and is enlarged to this.
const SPLICE_BYTES: usize = 1 << 20;

/// What flows from one socket to the other.
pub struct Direction {
    /// The source may have bytes: an edge came and no short read since.
    readable: bool,
    /// The source reported its end, so that a short read proves nothing.
    over: bool,
    state: State,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bytes flow.
    Open,
    /// The end was read; what is left goes out first.
    Ending,
    /// The end was passed on.
    Ended,
    /// A socket refused; the pair goes.
    Failed,
}

enum Way {
    /// Through a buffer; these bytes were read and not yet written.
    Copy(Vec<u8>),
    /// Not yet a pipe: most connections never need one.
    SpliceSoon,
    /// Through a pipe that holds so many bytes.
    Splice { reader: OwnedFd, writer: OwnedFd, held: usize },
}

impl Direction {
    pub fn new(splice: bool) -> Self {
        let way = if splice { Way::SpliceSoon } else { Way::Copy(Vec::new()) };
        Self { readable: false, over: false, state: State::Open, way }
    }

    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    pub fn failed(&self) -> bool {
        self.state == State::Failed
    }

    /// An edge came for the source.
    pub fn ready(&mut self, over: bool) {
        self.readable = true;
        self.over |= over;
    }

    /// Moves what can be moved.
    pub fn proceed(&mut self, from: &OwnedFd, to: &OwnedFd, buffer: &mut [u8]) {
        if matches!(self.state, State::Ended | State::Failed) {
            return;
        }
        if let Err(_error) = self.flow(from, to, buffer) {
            self.state = State::Failed;
        }
    }

    fn flow(&mut self, from: &OwnedFd, to: &OwnedFd, buffer: &mut [u8]) -> Result<(), Errno> {
        if let Way::SpliceSoon = self.way {
            let (reader, writer) =
                rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
            let _ = rustix::pipe::fcntl_setpipe_size(&writer, SPLICE_BYTES);
            self.way = Way::Splice { reader, writer, held: 0 };
        }
        loop {
            if !self.write_left(to)? {
                return Ok(());
            }
            if self.state == State::Ending {
                rustix::net::shutdown(to, Shutdown::Write)?;
                self.state = State::Ended;
                return Ok(());
            }
            if !self.readable {
                return Ok(());
            }
            self.read(from, to, buffer)?;
        }
    }

    /// Whether nothing is left.
    fn write_left(&mut self, to: &OwnedFd) -> Result<bool, Errno> {
        match &mut self.way {
            Way::SpliceSoon => Ok(true),
            Way::Copy(left) => {
                if left.is_empty() {
                    return Ok(true);
                }
                let written = would_block(rustix::net::send(to, left, SendFlags::NOSIGNAL))?;
                left.drain(..written.unwrap_or(0));
                Ok(left.is_empty())
            }
            Way::Splice { reader, held, .. } => {
                while *held > 0 {
                    match splice(&*reader, to, *held)? {
                        Some(moved) => *held -= moved,
                        None => return Ok(false),
                    }
                }
                Ok(true)
            }
        }
    }

    fn read(&mut self, from: &OwnedFd, to: &OwnedFd, buffer: &mut [u8]) -> Result<(), Errno> {
        let moved = match &mut self.way {
            Way::SpliceSoon => None,
            Way::Splice { writer, held, .. } => {
                let moved = splice(from, &*writer, SPLICE_BYTES)?;
                *held += moved.unwrap_or(0);
                moved
            }
            Way::Copy(left) => {
                let asked = buffer.len();
                let read = would_block(rustix::net::recv(from, &mut *buffer, RecvFlags::empty()))?;
                let read = read.map(|(count, _)| count);
                if let Some(count @ 1..) = read {
                    let sent = rustix::net::send(to, &buffer[..count], SendFlags::NOSIGNAL);
                    left.extend_from_slice(&buffer[would_block(sent)?.unwrap_or(0)..count]);
                    self.readable = count == asked || self.over;
                }
                read
            }
        };
        match moved {
            None => self.readable = false,
            Some(0) => self.state = State::Ending,
            Some(_) => {}
        }
        Ok(())
    }
}

fn splice(from: impl AsFd, to: impl AsFd, bytes: usize) -> Result<Option<usize>, Errno> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    would_block(rustix::pipe::splice(from, None, to, None, bytes, flags))
}

/// `None` where the socket has no bytes or no room.
fn would_block<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}
