//! A chunk: the cells of 4096 objects in every lane, and what they have in common.
//!
//! Shell (creates and maps it). A cell is written by the owner of its lane alone, so its words need
//! no locked instruction unless others decide by them at once (see `admission`).

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::head::{check_part, words_at, write_start};
use super::layout::{self, CHUNK_MAGIC, CHUNK_WORDS, LANE_CELLS, LANE_WORDS, cell, shared};
use super::map::{self, Map};
use super::rate::Rate;
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
        check_part(|at| map.words()[at].load(SeqCst), CHUNK_MAGIC, identity, number)?;
        Ok(Self { map, fd: Some(fd) })
    }

    /// Writes its beginning once more where that was changed; whether it was (master).
    pub fn put_right(&self, identity: u64, number: u32) -> bool {
        let load = |at: usize| self.map.words()[at].load(SeqCst);
        let is_wrong = check_part(load, CHUNK_MAGIC, identity, number).is_err();
        if is_wrong {
            write_start(self.map.words(), CHUNK_MAGIC, identity, number.into());
        }
        is_wrong
    }

    pub fn descriptor(&self) -> Option<&OwnedFd> {
        self.fd.as_ref()
    }

    pub fn close_descriptor(&mut self) {
        self.fd = None;
    }

    /// The objects, counted from the chunk's first, whose cells in a lane may hold anything: the others' lie
    /// on pages that do not exist, and would exist once they were read. The process that has the descriptor.
    pub fn written(&self, lane: Lane) -> Vec<Range<Object>> {
        let extent = layout::cell_at(lane, 0)..layout::cell_at(lane, 0) + LANE_CELLS;
        let extents = self.fd.as_ref().map(|fd| map::written(fd, extent.clone()));
        let extents = extents.unwrap_or_else(|| vec![extent.clone()]);
        let object = |words: usize| words / cell::WORDS;
        let objects = |part: Range<usize>| {
            let last = object(part.end - 1 - extent.start);
            object(part.start - extent.start) as Object..last as Object + 1
        };
        extents.into_iter().map(objects).collect()
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

    /// The same word of the instance, in which nobody chooses by turns: how many have gone from lane to
    /// lane.
    #[inline]
    pub fn moves(&self, instance: Object) -> &AtomicU64 {
        self.shared(instance, shared::CURSOR)
    }

    #[inline]
    pub fn total(&self, lane: Lane, object: Object, total: Total) -> u64 {
        self.cell(lane, object, layout::total_at(total as usize)).load(Relaxed)
    }

    /// One of the words that an object has once, for all lanes.
    #[inline]
    pub fn shared(&self, object: Object, at: usize) -> &AtomicU64 {
        &self.map.words()[layout::shared_at(object) + at]
    }

    pub fn clear_shared(&self, object: Object) {
        for at in [shared::CURSOR, shared::OBSERVED] {
            self.shared(object, at).store(0, Relaxed);
        }
        for rate in Rate::ALL {
            self.shared(object, shared::RATES + rate as usize).store(0, Relaxed);
        }
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
