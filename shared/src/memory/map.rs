//! A sealed memfd, mapped as a slice of atomics; the only unsafe code outside `sys`.
//!
//! Shell.
//! - A mapping lives as long as its [`Map`] and never moves.
//! - What is mapped can neither shrink nor grow: the seals are checked before it is mapped.
#![allow(unsafe_code, reason = "a mapping cannot be made without; see each use")]

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use super::MemoryError;
use super::layout::WORD;

/// Without these a process could pull the memory away under another's feet.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// The mapping of one memfd.
#[derive(Debug)]
pub struct Map {
    /// Not really static: valid until `self` is dropped, therefore never handed out as such.
    words: &'static [AtomicU64],
}

/// Creates a memfd of zeros with its final size and seals, and maps it.
pub fn create(name: &str, words: usize) -> rustix::io::Result<(OwnedFd, Map)> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, (words * WORD) as u64)?;
    rustix::fs::fcntl_add_seals(&fd, SEALS)?;
    let map = Map::new(&fd, words)?;
    Ok((fd, map))
}

/// Maps a memfd made by [`create`], in whichever process, after checking seals and size.
pub fn attach(fd: impl AsFd, words: usize) -> Result<Map, MemoryError> {
    let seals = rustix::fs::fcntl_get_seals(&fd).map_err(|_| MemoryError::NotSealed)?;
    if !seals.contains(SEALS) {
        return Err(MemoryError::NotSealed);
    }
    let expected = (words * WORD) as u64;
    let found = rustix::fs::fstat(&fd)?.st_size as u64;
    if found != expected {
        return Err(MemoryError::Size { expected, found });
    }
    Ok(Map::new(fd, words)?)
}

impl Map {
    /// Maps so many words of a descriptor which the caller has found to be sealed and that large.
    fn new(fd: impl AsFd, words: usize) -> rustix::io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let length = words * WORD;
        // SAFETY: the kernel chooses the address, so no mapping of ours is replaced.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, fd, 0)
        }?;
        // SAFETY: the mapping is page-aligned, `words` words long, readable and writable, and stays
        // until `drop`; the seals keep the file behind it that long. Whoever maps it, in this process
        // or another, reads and writes it through atomics only, and any bits make a valid AtomicU64.
        let words = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), words) };
        Ok(Self { words })
    }

    /// Everything in it.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        self.words
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
