//! A chunk: the cells of 4096 objects in every lane, and what they have in common.
//!
//! Shell (creates and maps it). A cell is written by the owner of its lane alone, so its words need
//! no locked instruction unless others decide by them at once (see `admission`).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::head::{check_start, words_at, write_start};
use super::layout::{self, CHUNK_MAGIC, CHUNK_WORDS, LANE_WORDS, cell, head, shared};
use super::map::{self, Map};
use super::{Lane, MemoryError, Object, Total};

/// A mapped chunk.
#[derive(Debug)]
pub struct Chunk {
    map: Map,
    fd: Option<OwnedFd>,
}

impl Chunk {
    pub fn create(identity: u64, number: u32) -> io::Result<Self> {
        let (fd, map) = map::create(&format!("portolan-objects-{number}"), CHUNK_WORDS)?;
        write_start(map.words(), CHUNK_MAGIC, identity, number.into());
        Ok(Self { map, fd: Some(fd) })
    }

    pub fn attach(identity: u64, number: u32, fd: OwnedFd) -> Result<Self, MemoryError> {
        let map = map::attach(&fd, CHUNK_WORDS)?;
        check_start(map.words(), CHUNK_MAGIC)?;
        if map.words()[head::IDENTITY].load(Relaxed) != identity {
            return Err(MemoryError::Foreign);
        }
        let found = map.words()[head::NUMBER].load(Relaxed);
        if found != u64::from(number) {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(MemoryError::Number { expected: number, found });
        }
        Ok(Self { map, fd: Some(fd) })
    }

    pub fn descriptor(&self) -> Option<&OwnedFd> {
        self.fd.as_ref()
    }

    pub fn close_descriptor(&mut self) {
        self.fd = None;
    }

    /// A word of an object's cell.
    #[inline]
    pub fn cell(&self, lane: Lane, object: Object, at: usize) -> &AtomicU64 {
        &self.map.words()[layout::cell_at(lane, object) + at]
    }

    /// A word of the bitmap of lanes that wait for an object.
    #[inline]
    pub fn waiters(&self, object: Object, word: usize) -> &AtomicU64 {
        &self.map.words()[layout::shared_at(object) + shared::WAITERS + word]
    }

    /// All of that bitmap.
    #[inline]
    pub fn waiter_words(&self, object: Object) -> &[AtomicU64; LANE_WORDS] {
        words_at(self.map.words(), layout::shared_at(object) + shared::WAITERS)
    }

    /// All of an object's cell.
    #[inline]
    pub fn whole_cell(&self, lane: Lane, object: Object) -> &[AtomicU64; cell::WORDS] {
        words_at(self.map.words(), layout::cell_at(lane, object))
    }

    #[inline]
    pub fn next_index(&self, object: Object) -> u64 {
        self.map.words()[layout::shared_at(object) + shared::CURSOR].fetch_add(1, Relaxed)
    }

    #[inline]
    pub fn total(&self, lane: Lane, object: Object, total: Total) -> u64 {
        self.cell(lane, object, layout::total_at(total as usize)).load(Relaxed)
    }

    pub fn clear_shared(&self, object: Object) {
        self.map.words()[layout::shared_at(object) + shared::CURSOR].store(0, Relaxed);
    }

    pub fn clear_totals(&self, lane: Lane, object: Object) {
        for total in Total::ALL {
            let word = self.cell(lane, object, layout::total_at(total as usize));
            if word.load(Relaxed) != 0 {
                word.store(0, Relaxed);
            }
        }
    }
}
