//! A sealed memfd, mapped as a slice of atomics; the only unsafe code outside `sys`.
//!
//! Shell.
//! - A mapping lives as long as its [`Map`] and never moves.
//! - What is mapped can neither shrink nor grow: the seals are checked before it is mapped.
//! - A [`View`] of a descriptor that was opened for reading is mapped for reading, and nobody gets a
//!   reference to its words: it only loads them, one by one. A relaxed load of a word that the machine
//!   loads at once is what the language permits on memory that must not be written (a stronger order
//!   or a wider word might be made of an instruction that writes); the order comes from the fence.
//! - Behind the words of a [`Buffer`] lie bytes that one process alone maps, and nobody else writes: it
//!   has them as any other memory. Others read them by reading the file.
#![allow(unsafe_code, reason = "a mapping cannot be made without; see each use")]

use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicU64, fence};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, SeekFrom};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::MemoryError;
use super::layout::{PAGE, WORD};

/// Without these a process could pull the memory away under another's feet.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// The mapping of one memfd.
#[derive(Debug)]
pub struct Map {
    /// Not really static: valid until `self` is dropped, therefore never handed out as such.
    words: &'static [AtomicU64],
}

/// A mapping that may be there for reading only.
#[derive(Debug)]
pub struct View {
    map: Map,
    writable: bool,
}

/// A page of words, and behind it bytes that nobody else maps; by default neither.
#[derive(Debug, Default)]
pub struct Buffer {
    /// As [`Map::words`]; none where nothing is mapped.
    words: &'static [AtomicU64],
    bytes: &'static mut [u8],
}

/// Creates a memfd of zeros with its final size and seals, and maps it.
pub fn create(name: &str, words: usize) -> rustix::io::Result<(OwnedFd, Map)> {
    let fd = create_file(name, words)?;
    let map = Map::new(&fd, words, true)?;
    Ok((fd, map))
}

/// The same without mapping it.
pub fn create_file(name: &str, words: usize) -> rustix::io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    // No other user opens it anew for writing, out of /proc, from a descriptor for reading.
    rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::ftruncate(&fd, (words * WORD) as u64)?;
    rustix::fs::fcntl_add_seals(&fd, SEALS)?;
    Ok(fd)
}

/// Maps a memfd made by [`create`], in whichever process, after checking seals and size.
pub fn attach(fd: impl AsFd, words: usize) -> Result<Map, MemoryError> {
    check(&fd, words)?;
    Ok(Map::new(fd, words, true)?)
}

/// The same for what may have been opened for reading only: then it is mapped so.
pub fn attach_view(fd: impl AsFd, words: usize) -> Result<View, MemoryError> {
    check(&fd, words)?;
    let writable = rustix::fs::fcntl_getfl(&fd)?.intersection(OFlags::RWMODE) == OFlags::RDWR;
    Ok(View { map: Map::new(fd, words, writable)?, writable })
}

/// Opens a memfd of this process once more, for reading only.
pub fn reopen_for_reading(fd: impl AsFd) -> rustix::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// The parts of these words that lie on pages which exist; all of them where the system does not say.
pub fn written(fd: impl AsFd, words: Range<usize>) -> Vec<Range<usize>> {
    let end = (words.end * WORD) as u64;
    let mut parts = Vec::new();
    let mut at = (words.start * WORD) as u64;
    while at < end {
        let data = match rustix::fs::seek(&fd, SeekFrom::Data(at)) {
            Ok(data) => data,
            // Nothing is written from there on.
            Err(Errno::NXIO) => break,
            Err(_) => return vec![words],
        };
        if data >= end {
            break;
        }
        let Ok(hole) = rustix::fs::seek(&fd, SeekFrom::Hole(data)) else { return vec![words] };
        // Always ahead, so that this ends.
        at = hole.max(data + WORD as u64).min(end);
        parts.push((data as usize) / WORD..(at as usize) / WORD);
    }
    parts
}

fn check(fd: impl AsFd, words: usize) -> Result<(), MemoryError> {
    let seals = rustix::fs::fcntl_get_seals(&fd).map_err(|_| MemoryError::NotSealed)?;
    if !seals.contains(SEALS) {
        return Err(MemoryError::NotSealed);
    }
    let expected = (words * WORD) as u64;
    let found = rustix::fs::fstat(&fd)?.st_size as u64;
    if found != expected {
        return Err(MemoryError::Size { expected, found });
    }
    Ok(())
}

impl Map {
    /// Maps so many words of a descriptor which the caller has found to be sealed and that large.
    /// Without `writable` its words may only be loaded, as [`View`] does.
    fn new(fd: impl AsFd, words: usize, writable: bool) -> rustix::io::Result<Self> {
        let protection =
            if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let length = words * WORD;
        // SAFETY: the kernel chooses the address, so no mapping of ours is replaced.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, fd, 0)
        }?;
        // SAFETY: the mapping is page-aligned, `words` words long, readable, and stays until `drop`;
        // the seals keep the file behind it that long. Whoever maps it, in this process or another,
        // reads and writes it through atomics only, and any bits make a valid AtomicU64. Where it is
        // not writable, the slice stays inside a `View`, which only does relaxed loads.
        let words = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), words) };
        Ok(Self { words })
    }

    /// Everything in it.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        self.words
    }
}

impl View {
    /// Of a mapping that may be written.
    pub fn writable(map: Map) -> Self {
        Self { map, writable: true }
    }

    /// A word; what was stored before it by who wrote it is seen by loads that follow.
    #[inline]
    pub fn load(&self, at: usize) -> u64 {
        let word = self.map.words[at].load(Relaxed);
        fence(Acquire);
        word
    }

    /// All words, where they may be written.
    #[inline]
    pub fn words(&self) -> Option<&[AtomicU64]> {
        self.writable.then_some(self.map.words)
    }
}

impl Buffer {
    /// Maps the beginning of a memfd: a page of words and so many bytes. The caller is the only process
    /// that maps it, and nobody writes the file while it does.
    pub fn attach(fd: impl AsFd, bytes: usize) -> Result<Self, MemoryError> {
        let seals = rustix::fs::fcntl_get_seals(&fd).map_err(|_| MemoryError::NotSealed)?;
        if !seals.contains(SEALS) {
            return Err(MemoryError::NotSealed);
        }
        let length = PAGE * WORD + bytes;
        let found = rustix::fs::fstat(&fd)?.st_size as u64;
        if found < length as u64 {
            return Err(MemoryError::Size { expected: length as u64, found });
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so no mapping of ours is replaced.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, fd, 0)
        }?;
        Ok(Self::over(start, bytes))
    }

    /// The same in memory of this process alone.
    pub fn anonymous(bytes: usize) -> rustix::io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let length = PAGE * WORD + bytes;
        // SAFETY: as in `attach`.
        let start = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), length, protection, MapFlags::PRIVATE)
        }?;
        Ok(Self::over(start, bytes))
    }

    /// Of a mapping of a page and so many bytes.
    fn over(start: *mut c_void, bytes: usize) -> Self {
        // SAFETY: the mapping is page-aligned, longer than a page, readable and writable, and stays until
        // `drop`; these words are used as atomics only, and any bits make a valid one.
        let words = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), PAGE) };
        // SAFETY: the mapping is longer than a page.
        let first = unsafe { start.cast::<u8>().add(PAGE * WORD) };
        // SAFETY: so many bytes lie behind that page in the same mapping, and stay until `drop`. They
        // do not overlap the words. No other reference to them is made here, and none elsewhere: the
        // file of a lane is mapped by the lane's owner only, which has ended before the lane has
        // another one, and the master only reads the file.
        let bytes = unsafe { std::slice::from_raw_parts_mut(first, bytes) };
        Self { words, bytes }
    }

    /// The words before the bytes; none where nothing is mapped.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        self.words
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// The bytes.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.words.is_empty() {
            return;
        }
        let start = self.words.as_ptr().cast_mut().cast();
        let length = PAGE * WORD + self.bytes.len();
        // SAFETY: exactly what `attach` or `anonymous` mapped; what was lent of it lives no longer.
        let unmapped = unsafe { rustix::mm::munmap(start, length) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        let start = self.words.as_ptr().cast_mut().cast();
        let length = size_of_val(self.words);
        // SAFETY: exactly what `new` mapped; `words()` lends it for no longer than `self` lives.
        let unmapped = unsafe { rustix::mm::munmap(start, length) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}
