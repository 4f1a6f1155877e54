//! One connection on its way: what is said of it, its descriptors, and bytes too many for a message.
//!
//! Shell: memfds. What comes from another process is checked: each descriptor for being what it is said
//! to be, each length against a bound and against the file.
//!
//! Limits: [`INLINE_MAX`] bytes of one connection travel in the message; [`DESCRIPTORS_MAX`]
//! descriptors belong to one connection.

use std::os::fd::{AsFd, OwnedFd};
use std::vec;

use portolan_shared::message::handover::{Bytes, INLINE_MAX, Pending, What};
use rustix::fs::{FileType, MemfdFlags, OFlags, fcntl_getfl, fstat, memfd_create};
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::{SocketType, sockopt};

use crate::descriptor::Token;

/// Most descriptors of one connection: two sockets, two pipes, three files.
pub const DESCRIPTORS_MAX: usize = 9;
/// Most bytes of one field that are taken, or offered: an answer of a configured page may be long.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most bytes of all that a worker holds for its connections at which it takes more of them from files: whoever
/// retires may have been taken over, and a file of nothing costs it nothing.
pub const HELD_MAX: usize = 256 * 1024 * 1024;

/// Why something is not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is busy, or gone: whoever makes it ready offers it again.
    NotNow,
    /// The system lacks something: it may go in a while.
    Later,
}

/// A descriptor beside a message.
#[derive(Debug)]
pub enum Enclosed {
    /// A connection of the table, which is put aside.
    Connection(Token),
    /// Made for the message.
    File(OwnedFd),
}

/// One connection, packed.
#[derive(Debug)]
pub struct Parcel {
    /// What is said of it.
    pub what: What,
    /// Its descriptors, in the order in which it names them.
    pub enclosed: Vec<Enclosed>,
}

/// Makes a parcel.
#[derive(Debug)]
pub struct Packer {
    inline_left: usize,
    enclosed: Vec<Enclosed>,
}

impl Packer {
    /// An empty one.
    pub fn new() -> Self {
        Self { inline_left: INLINE_MAX, enclosed: Vec::new() }
    }

    /// Adds a connection.
    pub fn connection(&mut self, token: Token) {
        self.enclosed.push(Enclosed::Connection(token));
    }

    /// Adds a descriptor that was made for the message.
    pub fn file(&mut self, file: OwnedFd) {
        self.enclosed.push(Enclosed::File(file));
    }

    /// Adds bytes, in a file where they are many.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<Bytes, Unfit> {
        if bytes.len() <= self.inline_left {
            self.inline_left -= bytes.len();
            return Ok(Bytes::Inline(bytes.to_vec()));
        }
        if bytes.len() > BYTES_MAX {
            return Err(Unfit::NotNow);
        }
        let file = file_of(bytes).map_err(|_| Unfit::Later)?;
        self.enclosed.push(Enclosed::File(file));
        Ok(Bytes::File { length: bytes.len() as u32 })
    }

    /// The parcel.
    pub fn close(self, what: What) -> Parcel {
        debug_assert_eq!(self.enclosed.len(), descriptors_of(&what));
        Parcel { what, enclosed: self.enclosed }
    }
}

fn file_of(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let file = memfd_create(c"handover", MemfdFlags::CLOEXEC)?;
    let mut left = bytes;
    while !left.is_empty() {
        match rustix::io::write(&file, left) {
            Ok(written) => left = &left[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(file)
}

/// The descriptors of one connection that came.
#[derive(Debug)]
pub struct Unpacker {
    descriptors: vec::IntoIter<OwnedFd>,
}

impl Unpacker {
    /// Of these, in order.
    pub fn new(descriptors: Vec<OwnedFd>) -> Self {
        Self { descriptors: descriptors.into_iter() }
    }

    /// The next one, which must be a connection that never makes anybody wait.
    pub fn connection(&mut self) -> Option<OwnedFd> {
        let socket = self.descriptors.next()?;
        let stream = sockopt::socket_type(&socket) == Ok(SocketType::STREAM);
        let waits = |flags: OFlags| !flags.contains(OFlags::NONBLOCK);
        (stream && !fcntl_getfl(&socket).is_ok_and(waits)).then_some(socket)
    }

    /// The next two, which must be the ends of a pipe with so many bytes in it.
    pub fn pipe(&mut self, held: u32) -> Option<(OwnedFd, OwnedFd)> {
        let (reader, writer) = (self.descriptors.next()?, self.descriptors.next()?);
        let is_pipe = |fd: &OwnedFd| {
            let mode = fstat(fd).ok().map(|about| FileType::from_raw_mode(about.st_mode));
            mode == Some(FileType::Fifo)
        };
        let there = ioctl_fionread(&reader).ok()?;
        let fits = is_pipe(&reader) && is_pipe(&writer) && held > 0 && there == u64::from(held);
        fits.then_some((reader, writer))
    }

    /// Bytes, from the next descriptor where they are in a file.
    pub fn bytes(&mut self, bytes: Bytes) -> Option<Vec<u8>> {
        match bytes {
            Bytes::Inline(bytes) => Some(bytes),
            Bytes::File { length } => read_all(self.descriptors.next()?, length as usize),
        }
    }
}

/// The first so many bytes of a file.
fn read_all(file: impl AsFd, length: usize) -> Option<Vec<u8>> {
    let about = fstat(&file).ok()?;
    let regular = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile;
    if !regular || length > BYTES_MAX || u64::try_from(about.st_size).ok()? < length as u64 {
        return None;
    }
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < length {
        match rustix::io::pread(&file, &mut bytes[read..], read as u64) {
            Ok(0) => return None,
            Ok(count) => read += count,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(bytes)
}

/// How many bytes of a connection are in its message, and in files.
pub fn bytes_of(what: &What) -> (usize, usize) {
    use portolan_shared::message::handover::Stage;
    fn of(pending: &Pending) -> Option<&Bytes> {
        match pending {
            Pending::Bytes(bytes) => Some(bytes),
            Pending::Empty | Pending::Pipe { .. } => None,
        }
    }
    let all = match what {
        What::Client(client) => {
            let output = match &client.stage {
                Stage::Answering { output, .. } => Some(output),
                Stage::Head | Stage::Lingering | Stage::Busy => None,
            };
            [Some(&client.input), output, None]
        }
        What::Tunnel(tunnel) => {
            let text = tunnel.http.as_ref().map(|http| &http.text);
            [of(&tunnel.front.pending), of(&tunnel.back.pending), text]
        }
        What::Headerless(headerless) => [Some(&headerless.bytes), None, None],
        What::Pooled(_) => [None; 3],
    };
    all.into_iter().flatten().fold((0, 0), |(inline, files), bytes| match bytes {
        Bytes::Inline(bytes) => (inline + bytes.len(), files),
        Bytes::File { length } => (inline, files + *length as usize),
    })
}

/// How many descriptors come with a connection.
pub fn descriptors_of(what: &What) -> usize {
    let file = |bytes: &Bytes| usize::from(matches!(bytes, Bytes::File { .. }));
    let pending = |pending: &Pending| match pending {
        Pending::Empty => 0,
        Pending::Bytes(bytes) => file(bytes),
        Pending::Pipe { .. } => 2,
    };
    match what {
        What::Client(client) => {
            use portolan_shared::message::handover::Stage;
            let output = match &client.stage {
                Stage::Answering { output, .. } => file(output),
                Stage::Head | Stage::Lingering | Stage::Busy => 0,
            };
            1 + file(&client.input) + output + usize::from(client.private.is_some())
        }
        What::Tunnel(tunnel) => {
            let text = tunnel.http.as_ref().map_or(0, |http| file(&http.text));
            2 + pending(&tunnel.front.pending) + pending(&tunnel.back.pending) + text
        }
        What::Headerless(headerless) => 1 + file(&headerless.bytes),
        What::Pooled(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_too_many_for_a_message_come_back_from_a_file() {
        for length in [0, 1, INLINE_MAX, INLINE_MAX + 1, 1 << 20] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut packer = Packer::new();
            let packed = packer.bytes(&bytes).unwrap();
            assert_eq!(packer.enclosed.len(), usize::from(length > INLINE_MAX));
            let files = packer.enclosed.into_iter().map(|enclosed| match enclosed {
                Enclosed::File(file) => file,
                Enclosed::Connection(_) => panic!("there is none"),
            });
            let mut unpacker = Unpacker::new(files.collect());
            assert_eq!(unpacker.bytes(packed).unwrap(), bytes);
        }
    }

    #[test]
    fn a_file_that_is_shorter_than_it_is_said_to_be_is_not_believed() {
        let file = || file_of(b"four").unwrap();
        let of = |length: u32| Unpacker::new(vec![file()]).bytes(Bytes::File { length });
        assert_eq!(of(4), Some(b"four".to_vec()));
        assert_eq!(of(5), None);
        assert_eq!(of(u32::MAX), None);
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        assert_eq!(Unpacker::new(vec![reader]).bytes(Bytes::File { length: 1 }), None);
        assert_eq!(Unpacker::new(Vec::new()).bytes(Bytes::File { length: 0 }), None);
    }

    #[test]
    fn only_a_socket_that_never_waits_is_a_connection() {
        let (waits, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (ready, _another) = std::os::unix::net::UnixStream::pair().unwrap();
        ready.set_nonblocking(true).unwrap();
        let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
        datagrams.set_nonblocking(true).unwrap();
        let mut unpacker = Unpacker::new(vec![
            ready.into(),
            waits.into(),
            datagrams.into(),
            file_of(b"").unwrap(),
        ]);
        let is_one: Vec<bool> = (0..5).map(|_| unpacker.connection().is_some()).collect();
        assert_eq!(is_one, [true, false, false, false, false]);
    }
}
