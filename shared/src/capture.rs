//! What a process read last, in a file that outlives it.
//!
//! Shell: creates, maps and reads memfds.
//!
//! ```text
//! a page of words: how many bytes, when, from where; last words | the bytes, as they were received
//! ```
//!
//! - A worker receives everything into the [`Scratch`] behind the page and notes each read there, with
//!   a few stores. When it has died the master reads the file, with [`last`].
//! - What is found there is a stranger's, twice over: bytes of a peer, noted by a process that went wrong.
//!   Every number is bounded by the reader, and nothing is ever printed raw.
//! - A process that panics writes into the page why ([`leave`]): the only call that takes the file's descriptor
//!   after the start.
//! - A file belongs to a lane and is used again by the lane's next owner, which begins by clearing the page.
//! - What the kernel moves by itself (splice) is not seen.
//!
//! Limits: [`BYTES_MAX`] a buffer, and a file is sparse; at most [`LAST_MAX`] bytes of a read are given,
//! and [`LAST_WORDS_MAX`] of last words.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

use crate::memory::{Buffer, MemoryError, PAGE, WORD, create_file};

/// The largest buffer that a configuration may ask for.
pub const BYTES_MAX: usize = 1 << 20;
/// Before the bytes.
const PAGE_BYTES: usize = PAGE * WORD;
/// Bytes of a file.
pub const FILE_BYTES: usize = PAGE_BYTES + BYTES_MAX;
/// Most bytes of the last read that are given: the whole of it, with buffers of the usual size.
pub const LAST_MAX: usize = 16 * 1024;

/// Most bytes of last words: a message, a place, and a name of either.
pub const LAST_WORDS_MAX: usize = 1024;
/// In the page: where last words stand, up to a zero or to their limit.
const LAST_WORDS_AT: usize = PAGE_BYTES - LAST_WORDS_MAX;

/// Words of the page.
const COUNT: usize = 0;
const WHEN: usize = 1;
const FROM: usize = 2;
const HIGH: usize = 3;
const LOW: usize = 4;
const WORDS: usize = 5;

/// In [`FROM`]: a bit for the peer, one for an address, then the port.
const SERVER: u64 = 1;
const HAS_CLIENT: u64 = 2;
const PORT_SHIFT: u32 = 16;

/// From whom something was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client.
    Client,
    /// A server.
    Server,
}

/// The buffer into which a process receives.
#[derive(Debug, Default)]
pub struct Scratch {
    buffer: Buffer,
}

/// What a process read last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// From whom.
    pub peer: Peer,
    /// Milliseconds of CLOCK_MONOTONIC, as the process told them.
    pub when: u64,
    /// The client of that session.
    pub client: Option<SocketAddr>,
    /// So many bytes came.
    pub count: usize,
    /// The last of them, at most [`LAST_MAX`].
    pub bytes: Vec<u8>,
    /// Why it panicked; empty where it did not.
    pub words: Vec<u8>,
}

/// A file for one lane.
pub fn create(name: &str) -> io::Result<OwnedFd> {
    Ok(create_file(name, FILE_BYTES / WORD)?)
}

impl Scratch {
    /// So many bytes in such a file, of which nothing has been read yet.
    pub fn attach(file: impl AsFd, bytes: usize) -> Result<Self, MemoryError> {
        let scratch = Self { buffer: Buffer::attach(file, bytes)? };
        for word in scratch.buffer.words() {
            word.store(0, Relaxed);
        }
        Ok(scratch)
    }

    /// So many bytes that nobody will see.
    pub fn private(bytes: usize) -> io::Result<Self> {
        Ok(Self { buffer: Buffer::anonymous(bytes)? })
    }

    /// So many bytes have just been received.
    #[inline]
    pub fn note(&self, count: usize, when: u64, peer: Peer, client: Option<SocketAddr>) {
        let Some(words) = self.buffer.words().first_chunk::<WORDS>() else { return };
        let mut from = match peer {
            Peer::Client => 0,
            Peer::Server => SERVER,
        };
        if let Some(client) = client {
            from |= HAS_CLIENT | u64::from(client.port()) << PORT_SHIFT;
            let (high, low) = match client {
                SocketAddr::V4(client) => (0, 0xffff << 32 | u64::from(client.ip().to_bits())),
                SocketAddr::V6(client) => {
                    let bits = client.ip().to_bits();
                    ((bits >> 64) as u64, bits as u64)
                }
            };
            words[HIGH].store(high, Relaxed);
            words[LOW].store(low, Relaxed);
        }
        words[FROM].store(from, Relaxed);
        words[WHEN].store(when, Relaxed);
        words[COUNT].store(count as u64, Relaxed);
    }
}

impl Deref for Scratch {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.buffer.bytes()
    }
}

impl DerefMut for Scratch {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.buffer.bytes_mut()
    }
}

/// Leaves last words in such a file, as many bytes as there is room for.
pub fn leave(file: impl AsFd, words: &[u8]) {
    let length = words.len().min(LAST_WORDS_MAX);
    // Nobody is left to be told.
    let _ = rustix::io::pwrite(file, &words[..length], LAST_WORDS_AT as u64);
}

/// What the process that had this file read last; `None` where it has read and said nothing.
pub fn last(file: impl AsFd) -> io::Result<Option<Last>> {
    let mut page = [0_u8; WORDS * 8];
    read_all(&file, &mut page, 0)?;
    let mut words = [0_u64; WORDS];
    for (word, bytes) in words.iter_mut().zip(page.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    let count = usize::try_from(words[COUNT]).unwrap_or(BYTES_MAX).min(BYTES_MAX);
    let mut said = vec![0; LAST_WORDS_MAX];
    read_all(&file, &mut said, LAST_WORDS_AT as u64)?;
    said.truncate(said.iter().position(|byte| *byte == 0).unwrap_or(LAST_WORDS_MAX));
    if count == 0 && said.is_empty() {
        return Ok(None);
    }
    let from = words[FROM];
    let mut bytes = vec![0; count.min(LAST_MAX)];
    read_all(&file, &mut bytes, (PAGE_BYTES + count) as u64 - count.min(LAST_MAX) as u64)?;
    let client = (from & HAS_CLIENT != 0).then(|| {
        let bits = u128::from(words[HIGH]) << 64 | u128::from(words[LOW]);
        let port = (from >> PORT_SHIFT) as u16;
        let ip = Ipv6Addr::from_bits(bits);
        match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, port)),
            None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, 0)),
        }
    });
    let peer = if from & SERVER == 0 { Peer::Client } else { Peer::Server };
    Ok(Some(Last { peer, when: words[WHEN], client, count, bytes, words: said }))
}

fn read_all(file: impl AsFd, into: &mut [u8], from: u64) -> io::Result<()> {
    let mut at = 0;
    while at < into.len() {
        match rustix::io::pread(&file, &mut into[at..], from + at as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => at += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &OwnedFd) -> Last {
        last(file).expect("a file").expect("something read")
    }

    #[test]
    fn what_was_received_last_is_found_in_the_file_after_its_process() {
        let file = create("capture").expect("a memfd");
        assert_eq!(last(&file).expect("a file"), None);
        let mut scratch = Scratch::attach(&file, 16_384).expect("a mapping");
        scratch[..5].copy_from_slice(b"hello");
        let client: SocketAddr = "192.0.2.7:4711".parse().expect("an address");
        scratch.note(5, 77, Peer::Server, Some(client));
        drop(scratch);
        let last = read(&file);
        assert_eq!((last.peer, last.when, last.count), (Peer::Server, 77, 5));
        assert_eq!((last.client, last.bytes), (Some(client), b"hello".to_vec()));
    }

    #[test]
    fn addresses_of_both_families_and_none_are_told() {
        let file = create("capture").expect("a memfd");
        let scratch = Scratch::attach(&file, 1024).expect("a mapping");
        for client in [Some("[2001:db8::1]:65535"), Some("0.0.0.0:0"), None, Some("[::1]:1")] {
            let client = client.map(|text| text.parse().expect("an address"));
            scratch.note(1, 0, Peer::Client, client);
            assert_eq!((read(&file).peer, read(&file).client), (Peer::Client, client));
        }
    }

    #[test]
    fn of_a_long_read_the_end_is_given() {
        let file = create("capture").expect("a memfd");
        let mut scratch = Scratch::attach(&file, BYTES_MAX).expect("a mapping");
        for (at, byte) in scratch.iter_mut().enumerate() {
            *byte = (at / 1000) as u8;
        }
        scratch.note(100_000, 0, Peer::Client, None);
        let last = read(&file);
        assert_eq!((last.count, last.bytes.len()), (100_000, LAST_MAX));
        assert_eq!(last.bytes, scratch[100_000 - LAST_MAX..100_000]);
    }

    #[test]
    fn the_next_owner_of_a_file_begins_with_nothing() {
        let file = create("capture").expect("a memfd");
        Scratch::attach(&file, 1024).expect("a mapping").note(9, 9, Peer::Client, None);
        let _next = Scratch::attach(&file, 2048).expect("a mapping");
        assert_eq!(last(&file).expect("a file"), None);
    }

    #[test]
    fn who_panics_leaves_why_whether_it_has_read_anything_or_not() {
        let file = create("capture").expect("a memfd");
        let scratch = Scratch::attach(&file, 1024).expect("a mapping");
        leave(&file, b"why");
        assert_eq!((read(&file).count, read(&file).words), (0, b"why".to_vec()));
        scratch.note(7, 0, Peer::Client, None);
        leave(&file, &[b'x'; 5000]);
        assert_eq!((read(&file).count, read(&file).words.len()), (7, LAST_WORDS_MAX));
        let _next = Scratch::attach(&file, 1024).expect("a mapping");
        assert_eq!(last(&file).expect("a file"), None);
    }

    #[test]
    fn a_page_of_nonsense_does_no_harm() {
        let file = create("capture").expect("a memfd");
        let scratch = Scratch::attach(&file, 1024).expect("a mapping");
        for word in scratch.buffer.words() {
            word.store(u64::MAX, Relaxed);
        }
        assert_eq!((read(&file).count, read(&file).bytes.len()), (BYTES_MAX, LAST_MAX));
    }

    #[test]
    fn a_file_that_is_too_short_or_open_to_changes_is_refused() {
        let file = create("capture").expect("a memfd");
        assert!(matches!(Scratch::attach(&file, FILE_BYTES), Err(MemoryError::Size { .. })));
        let open = rustix::fs::memfd_create("open", rustix::fs::MemfdFlags::CLOEXEC);
        let open = open.expect("a memfd");
        assert!(matches!(Scratch::attach(&open, 1), Err(MemoryError::NotSealed)));
    }

    #[test]
    fn nothing_is_noted_where_there_is_no_buffer() {
        let scratch = Scratch::default();
        scratch.note(1, 1, Peer::Client, None);
        assert!(scratch.is_empty());
        let private = Scratch::private(100).expect("memory");
        private.note(1, 1, Peer::Client, None);
        assert_eq!(private.len(), 100);
    }
}
