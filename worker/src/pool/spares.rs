//! Things that lie ready to be used again, and how many of them are too many.
//!
//! Core. A stack: what was used last is used next, what lies at the bottom is cold. Over each
//! interval the lowest height is remembered; what lay below it was not needed in all that time and
//! goes at the interval's end, but for a few ([`KEPT`]). So the pool follows a peak down within two
//! intervals and a steady load costs no allocation.

use std::time::{Duration, Instant};

/// How long something must lie unused to be let go of.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// Spares that are kept for the next burst however long it takes to come.
pub(super) const KEPT: usize = 4;

#[derive(Debug)]
pub(super) struct Spares<T> {
    stack: Vec<T>,
    lowest: usize,
    interval_end: Instant,
}

impl<T> Spares<T> {
    pub fn new(now: Instant) -> Self {
        Self { stack: Vec::new(), lowest: 0, interval_end: now + INTERVAL }
    }

    pub fn len(&self) -> usize {
        self.stack.len()
    }

    pub fn take(&mut self) -> Option<T> {
        let top = self.stack.pop();
        self.lowest = self.lowest.min(self.stack.len());
        top
    }

    pub fn put(&mut self, spare: T) {
        self.stack.push(spare);
    }

    /// When [`Self::shrink`] should be called; `None` while there is nothing to let go of.
    pub fn deadline(&self) -> Option<Instant> {
        (self.stack.len() > KEPT).then_some(self.interval_end)
    }

    /// At the end of an interval drops what was not needed in it, and says how many that were.
    pub fn shrink(&mut self, now: Instant) -> usize {
        if now < self.interval_end {
            return 0;
        }
        let cold = self.lowest.saturating_sub(KEPT);
        self.stack.drain(..cold);
        self.stack.shrink_to(self.stack.len() * 2);
        self.lowest = self.stack.len();
        self.interval_end = now + INTERVAL;
        cold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(now: Instant, count: usize) -> Spares<usize> {
        let mut spares = Spares::new(now);
        for item in 0..count {
            spares.put(item);
        }
        spares
    }

    #[test]
    fn what_was_used_last_is_used_next_and_what_is_cold_goes_first() {
        let now = Instant::now();
        let mut spares = filled(now, 10);
        assert_eq!(spares.shrink(now + INTERVAL), 0, "they came within the interval");
        assert_eq!(spares.shrink(now + INTERVAL * 2), 10 - KEPT);
        assert_eq!(spares.take(), Some(9));
        assert_eq!(std::iter::from_fn(|| spares.take()).last(), Some(10 - KEPT));
    }

    #[test]
    fn what_was_needed_at_any_time_of_an_interval_stays() {
        let now = Instant::now();
        let mut spares = filled(now, 20);
        spares.shrink(now + INTERVAL);
        let busy: Vec<usize> = (0..13).filter_map(|_| spares.take()).collect();
        for item in busy {
            spares.put(item);
        }
        assert_eq!(spares.shrink(now + INTERVAL * 2), 7 - KEPT);
        assert_eq!(spares.len(), 13 + KEPT);
    }

    #[test]
    fn nothing_happens_before_the_interval_is_over() {
        let now = Instant::now();
        let mut spares = filled(now, 10);
        spares.shrink(now + INTERVAL);
        assert_eq!(spares.deadline(), Some(now + INTERVAL * 2));
        let early = Duration::from_millis(1);
        assert_eq!(spares.shrink(now + (INTERVAL * 2).saturating_sub(early)), 0);
        assert_eq!(spares.len(), 10);
    }

    #[test]
    fn a_pool_that_has_shrunk_asks_for_no_more_attention() {
        let now = Instant::now();
        let mut spares = filled(now, 10);
        spares.shrink(now + INTERVAL);
        spares.shrink(now + INTERVAL * 2);
        assert_eq!((spares.len(), spares.deadline()), (KEPT, None));
    }
}
