//! How content gets from one socket to the other: through the relay's buffer or inside the kernel.
//!
//! Shell.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::pipe::{PipeFlags, SpliceFlags};

/// Bytes asked of one splice; a pipe holds 64 kB by default and is enlarged to this.
const SPLICE_BYTES: usize = 1 << 20;

/// How the content of one message is moved.
pub enum Way {
    /// Through the buffer that all share.
    Copy,
    /// Through a pipe.
    Splice(Pipe),
}

pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    /// Bytes in it.
    held: usize,
}

impl Way {
    /// Writes what is under way; whether nothing is left.
    pub fn pass_on(&mut self, to: &OwnedFd) -> Result<bool, Errno> {
        let Self::Splice(pipe) = self else { return Ok(true) };
        while pipe.held > 0 {
            match splice(&pipe.reader, to, pipe.held)? {
                Some(moved) => pipe.held -= moved,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Pipe {
    /// Takes up to so many bytes from a socket; `None` where it has none.
    pub fn fill(&mut self, from: &OwnedFd, most: u64) -> Result<Option<usize>, Errno> {
        let moved = splice(from, &self.writer, SPLICE_BYTES.min(most as usize))?;
        self.held += moved.unwrap_or(0);
        Ok(moved)
    }
}

/// Empty pipes for those that need one.
pub struct Pipes {
    wanted: bool,
    empty: Vec<Pipe>,
}

impl Pipes {
    pub fn new(wanted: bool) -> Self {
        Self { wanted, empty: Vec::new() }
    }

    /// For one content; without a pipe it is copied.
    pub fn way(&mut self) -> Way {
        if !self.wanted {
            return Way::Copy;
        }
        let pipe = self.empty.pop().map_or_else(open, Ok);
        pipe.map_or(Way::Copy, Way::Splice)
    }

    /// Keeps the pipe of a content that is through.
    pub fn take_back(&mut self, way: &mut Way) {
        if let Way::Splice(pipe) = std::mem::replace(way, Way::Copy) {
            self.empty.push(pipe);
        }
    }
}

fn open() -> Result<Pipe, Errno> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, SPLICE_BYTES);
    Ok(Pipe { reader, writer, held: 0 })
}

/// Sends what fits and returns the rest.
pub fn send<'a>(to: &OwnedFd, bytes: &'a [u8]) -> Result<&'a [u8], Errno> {
    // Not yet connected is no room either.
    let sent = match rustix::net::send(to, bytes, SendFlags::NOSIGNAL) {
        Err(Errno::NOTCONN) => Ok(None),
        other => would_block(other),
    };
    Ok(&bytes[sent?.unwrap_or(0)..])
}

fn splice(from: impl AsFd, to: impl AsFd, bytes: usize) -> Result<Option<usize>, Errno> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    would_block(rustix::pipe::splice(from, None, to, None, bytes, flags))
}

/// `None` where the socket has no bytes or no room.
pub fn would_block<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}
