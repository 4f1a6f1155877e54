//! Buffers of one size, bounded in number, waited for in order.
//!
//! Core: `now` is an argument.
//!
//! - At most `limit` are out at once; who finds none waits in order and is named by
//!   [`Buffers::next_waiter`] once one came back. Only what was read already and has no other place
//!   may go beyond that, and beyond the size ([`Buffers::hold`]).
//! - What comes back is kept for the next one. What was never needed in a whole [`SHRINK_MS`] is given
//!   back to the system by half, so that a peak does not stay.

use std::collections::{HashSet, VecDeque};
use std::ops::Deref;

use crate::clock::Millis;

/// How often the pool looks whether it has more than it needs, milliseconds.
pub const SHRINK_MS: Millis = 5_000;

/// Bytes borrowed from the pool.
#[derive(Debug, Default)]
pub struct Buffer(Vec<u8>);

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The pool.
#[derive(Debug)]
pub struct Buffers {
    size: usize,
    limit: usize,
    free: Vec<Buffer>,
    out: usize,
    out_max: usize,
    /// The fewest that lay idle since the last look.
    idle_min: usize,
    looked: Millis,
    waiters: VecDeque<u32>,
    waiting: HashSet<u32>,
    waits: u64,
}

impl Buffers {
    /// Buffers of `size` bytes, at most `limit` out at once (0: as many as are asked for).
    pub fn new(size: usize, limit: usize, now: Millis) -> Self {
        Self {
            size,
            limit: if limit == 0 { usize::MAX } else { limit },
            free: Vec::new(),
            out: 0,
            out_max: 0,
            idle_min: 0,
            looked: now,
            waiters: VecDeque::new(),
            waiting: HashSet::new(),
            waits: 0,
        }
    }

    /// Whether one can be had.
    pub fn can_take(&self) -> bool {
        self.out < self.limit
    }

    /// A buffer that holds these bytes (at most `size`), or `None` where all are out.
    pub fn take_filled(&mut self, bytes: &[u8]) -> Option<Buffer> {
        debug_assert!(bytes.len() <= self.size);
        if !self.can_take() {
            return None;
        }
        let mut buffer = self.free.pop().unwrap_or_else(|| Buffer(Vec::with_capacity(self.size)));
        self.idle_min = self.idle_min.min(self.free.len());
        self.out += 1;
        self.out_max = self.out_max.max(self.out);
        buffer.0.clear();
        buffer.0.extend_from_slice(bytes);
        Some(buffer)
    }

    /// A buffer that holds these bytes, which were read and would be lost otherwise.
    pub fn hold(&mut self, bytes: &[u8]) -> Buffer {
        if bytes.len() <= self.size
            && let Some(buffer) = self.take_filled(bytes)
        {
            return buffer;
        }
        self.out += 1;
        self.out_max = self.out_max.max(self.out);
        Buffer(bytes.to_vec())
    }

    /// Takes one back.
    pub fn give(&mut self, buffer: Buffer) {
        self.out -= 1;
        if (self.size..2 * self.size).contains(&buffer.0.capacity()) {
            self.free.push(buffer);
        }
    }

    /// Somebody waits for a buffer: the task that is to be woken.
    pub fn wait(&mut self, who: u32) {
        if self.waiting.insert(who) {
            self.waits += 1;
            self.waiters.push_back(who);
        }
    }

    /// Whoever waits longest, if a buffer can be had now; it is taken off the list.
    pub fn next_waiter(&mut self) -> Option<u32> {
        if !self.can_take() {
            return None;
        }
        let who = self.waiters.pop_front()?;
        self.waiting.remove(&who);
        Some(who)
    }

    /// Gives half of what was never needed lately back to the system.
    pub fn shrink(&mut self, now: Millis) {
        if now - self.looked < SHRINK_MS {
            return;
        }
        let surplus = self.idle_min.min(self.free.len());
        self.free.truncate(self.free.len() - surplus.div_ceil(2));
        self.free.shrink_to(self.free.len() * 2);
        self.looked = now;
        self.idle_min = self.free.len();
    }

    /// For `show pools`: size, out, idle, most ever out, and how often somebody had to wait.
    pub fn figures(&self) -> (usize, usize, usize, usize, u64) {
        (self.size, self.out, self.free.len(), self.out_max, self.waits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_more_than_the_limit_are_out_and_the_first_waiter_is_first_served() {
        let mut pool = Buffers::new(16, 2, 0);
        let one = pool.take_filled(b"one").unwrap();
        let two = pool.take_filled(b"two").unwrap();
        assert_eq!((&*one, &*two), (&b"one"[..], &b"two"[..]));
        assert!(pool.take_filled(b"three").is_none());
        pool.wait(7);
        pool.wait(8);
        pool.wait(7);
        assert_eq!(pool.next_waiter(), None);
        pool.give(one);
        assert_eq!(pool.next_waiter(), Some(7));
        assert_eq!(pool.next_waiter(), Some(8));
        assert_eq!(pool.next_waiter(), None);
    }

    #[test]
    fn after_a_peak_the_pool_shrinks_step_by_step_to_nothing() {
        let mut pool = Buffers::new(16, 0, 0);
        let all: Vec<_> = (0..64).map(|_| pool.take_filled(b"x").unwrap()).collect();
        for buffer in all {
            pool.give(buffer);
        }
        let mut now = 0;
        let mut idle = Vec::new();
        while pool.figures().2 > 0 {
            now += SHRINK_MS;
            pool.shrink(now);
            idle.push(pool.figures().2);
        }
        // The first look finds that all were needed since the last one.
        assert_eq!(idle, [64, 32, 16, 8, 4, 2, 1, 0]);
    }

    #[test]
    fn what_is_needed_again_and_again_is_kept() {
        let mut pool = Buffers::new(16, 0, 0);
        for round in 1..20 {
            let all: Vec<_> = (0..4).map(|_| pool.take_filled(b"x").unwrap()).collect();
            for buffer in all {
                pool.give(buffer);
            }
            pool.shrink(round * SHRINK_MS);
        }
        assert_eq!(pool.figures().2, 4);
    }

    #[test]
    fn what_would_be_lost_is_held_beyond_size_and_limit() {
        let mut pool = Buffers::new(4, 1, 0);
        let held = [pool.hold(b"beyond the size"), pool.hold(b"more")];
        assert_eq!((&*held[0], &*held[1]), (&b"beyond the size"[..], &b"more"[..]));
        assert!(!pool.can_take());
        for buffer in held {
            pool.give(buffer);
        }
        assert_eq!((pool.figures().1, pool.figures().2), (0, 1));
    }

    proptest! {
        #[test]
        fn what_is_out_is_always_counted(steps in prop::collection::vec(any::<bool>(), 0..200)) {
            let mut pool = Buffers::new(8, 5, 0);
            let mut held = Vec::new();
            for take in steps {
                if take {
                    let got = pool.take_filled(b"12345678");
                    prop_assert_eq!(got.is_some(), held.len() < 5);
                    held.extend(got);
                } else if let Some(buffer) = held.pop() {
                    pool.give(buffer);
                }
                prop_assert_eq!(pool.figures().1, held.len());
            }
        }
    }
}
