//! One signal sent to every process at once reaches the master twice: by itself and relayed by the
//! wrapper. This tells that pair from two signals.
//!
//! Core: no I/O, no clock.
//!
//! - Two arrivals of one signal by different ways within [`PAIR_MS`] are one.
//! - An arrival is paired at most once; two arrivals by the same way are always two.

use std::collections::BTreeMap;

/// How far the two arrivals of one signal may lie apart, milliseconds: the scheduling delay of a system
/// that has much more work than processors. Nobody gives one order to the wrapper and, so soon after it,
/// another one to the master.
pub const PAIR_MS: u64 = 1_000;

/// Which way a signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To this process.
    Direct,
    /// Over the wrapper's channel.
    Relayed,
}

/// The latest arrival of each signal that has not found its pair.
#[derive(Debug, Default)]
pub struct Coalescer {
    unpaired: BTreeMap<i32, (Way, u64)>,
}

impl Coalescer {
    /// Whether this arrival is a signal of its own (`at_ms` on one clock for both ways).
    pub fn is_new(&mut self, signal: i32, way: Way, at_ms: u64) -> bool {
        match self.unpaired.get(&signal) {
            Some(&(other, then)) if other != way && at_ms.abs_diff(then) <= PAIR_MS => {
                self.unpaired.remove(&signal);
                false
            }
            _ => {
                self.unpaired.insert(signal, (way, at_ms));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Coalescer, PAIR_MS, Way};

    #[test]
    fn a_signal_to_the_whole_group_counts_once_whichever_way_is_faster() {
        for (first, second) in [(Way::Direct, Way::Relayed), (Way::Relayed, Way::Direct)] {
            let mut coalescer = Coalescer::default();
            assert!(coalescer.is_new(12, first, 1000));
            assert!(!coalescer.is_new(12, second, 1000 + PAIR_MS));
        }
    }

    #[test]
    fn the_clock_of_the_relayed_one_may_lie_before_the_direct_ones() {
        let mut coalescer = Coalescer::default();
        assert!(coalescer.is_new(12, Way::Direct, 1000));
        assert!(!coalescer.is_new(12, Way::Relayed, 990));
    }

    #[test]
    fn two_signals_by_the_same_way_are_two() {
        let mut coalescer = Coalescer::default();
        assert!(coalescer.is_new(12, Way::Relayed, 1000));
        assert!(coalescer.is_new(12, Way::Relayed, 1001));
    }

    #[test]
    fn a_pair_is_formed_once() {
        let mut coalescer = Coalescer::default();
        assert!(coalescer.is_new(12, Way::Relayed, 1000));
        assert!(!coalescer.is_new(12, Way::Direct, 1001));
        assert!(coalescer.is_new(12, Way::Direct, 1002));
    }

    #[test]
    fn what_lies_further_apart_or_is_another_signal_is_its_own() {
        let mut coalescer = Coalescer::default();
        assert!(coalescer.is_new(12, Way::Relayed, 1000));
        assert!(coalescer.is_new(10, Way::Direct, 1000));
        assert!(coalescer.is_new(12, Way::Direct, 1001 + PAIR_MS));
    }
}
