//! What the clients of each kind have done, counted without a lock.
//!
//! Core.

use std::sync::atomic::{AtomicU64, Ordering};

use super::kinds::Kind;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Connections made.
    Connections,
    /// Requests answered, or tunnels opened: what has a line in the access log.
    Streams,
    /// Messages that came back over tunnels.
    Messages,
    /// Told by `Connection: close` to come again, and then closed in order.
    Asked,
    /// Closed in order between two requests, without being told before.
    ClosedIdle,
    /// Requests sent behind one whose answer said that it would be the last.
    Unanswered,
}

/// All counts.
#[derive(Debug, Default)]
pub struct Tally {
    counts: [[AtomicU64; 6]; Kind::ALL.len()],
}

impl Tally {
    /// One more.
    pub fn add(&self, kind: Kind, count: Count) {
        self.counts[kind as usize][count as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Of one kind.
    pub fn of(&self, kind: Kind, count: Count) -> u64 {
        self.counts[kind as usize][count as usize].load(Ordering::Relaxed)
    }

    /// Of all kinds for which `which` holds.
    pub fn sum(&self, count: Count, which: impl Fn(Kind) -> bool) -> u64 {
        Kind::ALL.iter().filter(|kind| which(**kind)).map(|kind| self.of(*kind, count)).sum()
    }

    /// Of all kinds.
    pub fn all(&self, count: Count) -> u64 {
        self.sum(count, |_| true)
    }
}
