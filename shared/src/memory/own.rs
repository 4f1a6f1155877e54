//! The lane of this process: what a worker or the checker writes.
//!
//! Shell. An [`OwnLane`] does not leave its thread: its owner is the only writer of its cells.

use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::admission::{self, Entry, Place, Waiters};
use super::layout::{self, cell, lane as at};
use super::{Lane, Memory, Object, Total};

/// The lane that the master gave to this process.
#[derive(Clone, Debug)]
pub struct OwnLane {
    memory: Rc<Memory>,
    lane: Lane,
}

impl OwnLane {
    /// Takes a live lane; `None` when it is not. The caller is its owner, alone and in one thread.
    pub fn new(memory: Rc<Memory>, lane: Lane) -> Option<Self> {
        memory.is_live(lane).then_some(Self { memory, lane })
    }

    /// Its number.
    pub fn number(&self) -> Lane {
        self.lane
    }

    /// All lanes together.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Says that the loop turned once more.
    pub fn beat(&self) {
        let heartbeat = self.memory.head.of(self.lane, at::HEARTBEAT);
        heartbeat.store(heartbeat.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Says whether this process accepts connections.
    pub fn set_accepting(&self, accepting: bool) {
        self.memory.head.of(self.lane, at::ACCEPTING).store(accepting.into(), Relaxed);
    }

    /// Says how many streams there are in this process.
    pub fn set_streams(&self, streams: u32) {
        self.memory.head.of(self.lane, at::STREAMS).store(streams.into(), Relaxed);
    }

    /// Counts one more in a place, unless it is full. For newcomers, when nobody waits; see the
    /// module about whom to ring. Without a limit it always succeeds, and costs one plain store.
    #[inline]
    pub fn enter(&self, place: &Place) -> Entry {
        admission::enter(&*self.memory, self.lane, place)
    }

    /// Counts one more in a place for the first of the own waiters, if it is their turn and a place
    /// is free. `In`: take that stream out of the own queue, publish the queue, and take again.
    pub fn take(&self, place: &Place) -> Entry {
        admission::take(&*self.memory, self.lane, place)
    }

    /// Counts one less; answers whom to ring. Also to be rung where the place has no limit here: it
    /// may have one in another generation, whose streams wait for it.
    #[inline]
    #[must_use = "whose turn it is must be rung"]
    pub fn leave(&self, place: &Place) -> Option<Lane> {
        admission::leave(&*self.memory, self.lane, place)
    }

    /// The same of an object that is only counted: no place of it is ever limited, in no generation.
    #[inline]
    pub fn leave_counted(&self, object: Object) {
        let gauge = &self.tally(object).cell[cell::GAUGE];
        let inside = gauge.load(Relaxed);
        debug_assert_ne!(inside, 0, "left object {object} without having entered");
        gauge.store(inside.saturating_sub(1), Relaxed);
    }

    /// Whom to ring after a stream left the own queue without this place.
    #[must_use = "whose turn it is must be rung"]
    pub fn pass_on(&self, place: &Place) -> Option<Lane> {
        admission::pass_on(&*self.memory, place)
    }

    /// Tells the others how the own pending queue of an object stands; `None`: it is empty.
    pub fn publish(&self, queue: Object, waiters: Option<Waiters>) {
        admission::publish(&*self.memory, self.lane, queue, waiters);
    }

    /// Adds to a total.
    #[inline]
    pub fn add(&self, object: Object, total: Total, n: u64) {
        self.tally(object).add(total, n);
    }

    /// The totals of an object, where several are to be added to.
    #[inline]
    pub fn tally(&self, object: Object) -> Tally<'_> {
        Tally { cell: self.memory.chunk(object).whole_cell(self.lane, object) }
    }
}

/// An object's totals in the own lane.
#[derive(Debug)]
pub struct Tally<'a> {
    cell: &'a [AtomicU64; cell::WORDS],
}

impl Tally<'_> {
    /// Adds to one of them.
    #[inline]
    pub fn add(&self, total: Total, n: u64) {
        let word = &self.cell[layout::total_at(total as usize)];
        word.store(word.load(Relaxed).wrapping_add(n), Relaxed);
    }
}
