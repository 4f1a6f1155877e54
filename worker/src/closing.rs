//! When a soft-stop sends clients of mode http away that may send another request; core.
//!
//! Each client has a moment of its own. From it on its next answer is its last and says so; a client that
//! waits for nothing is closed then, but not while its next request is probably on the way.
//!
//! - The moments lie evenly in the window, over all workers together, whatever the number of clients.
//! - A client keeps its moment, however often it is asked for.
//! - Who has never sent anything is closed early only where the window was configured, as HAProxy does.
//!
//! Limits: [`QUIET_MS`]; [`FAREWELL_MS`] of `hard_stop_after` are left to those who were told last.

use portolan_shared::model::CloseSpread;

use crate::clock::{Millis, millis};
use crate::session::SessionKey;
use crate::task::NEVER;

/// A client whose last answer is younger than this may have its next request on the way: it is closed
/// only then, or gets its answer with `Connection: close`. Longer than most round trips.
pub const QUIET_MS: Millis = 250;
/// What is left of `hard_stop_after` when the last clients are sent away: they may have to be read
/// until they have ended too.
pub const FAREWELL_MS: Millis = 1_000;

/// The window in which clients are sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    begins: Millis,
    length: Millis,
    /// Where the moments of this worker's clients lie among those of other workers' clients.
    offset: u32,
    /// It was configured.
    spread: bool,
}

/// A client that waits for its next request.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Who.
    pub key: SessionKey,
    /// Since then.
    pub since: Millis,
    /// It has sent a request before.
    pub acquainted: bool,
    /// Its frontend closes only with an answer.
    pub on_response: bool,
}

impl Closing {
    /// The window that begins now; `None` where nobody is sent away.
    pub fn new(now: Millis, spread: CloseSpread, patience_ends: Millis, slot: u16) -> Option<Self> {
        let CloseSpread::Within(spread) = spread else { return None };
        let left = patience_ends.saturating_sub(now);
        let length = millis(spread).min(left - FAREWELL_MS.min(left / 2));
        let offset = u32::from(slot).wrapping_mul(SLOT_STEP);
        Some(Self { begins: now, length, offset, spread: !spread.is_zero() })
    }

    /// From when on a client's next answer is its last.
    pub fn answers(self, key: SessionKey) -> Millis {
        let place = key.wrapping_mul(KEY_STEP).wrapping_add(self.offset);
        self.begins + ((self.length.min(u64::from(u32::MAX)) * u64::from(place)) >> 32)
    }

    /// When a client that waits is closed, if nothing comes of it before.
    pub fn closes(self, idle: Idle) -> Millis {
        if idle.on_response || (!idle.acquainted && !self.spread) {
            return NEVER;
        }
        self.answers(idle.key).max(idle.since + QUIET_MS)
    }
}

/// The golden ratio's and the square root of two's parts of 2^32: multiples of them, taken as fractions,
/// fill an interval evenly, however many there are.
const KEY_STEP: u32 = 0x9e37_79b9;
const SLOT_STEP: u32 = 0x6a09_e667;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Closing, FAREWELL_MS, Idle, QUIET_MS};
    use crate::clock::Millis;
    use crate::task::NEVER;
    use portolan_shared::model::CloseSpread;

    const NOW: Millis = 1_000_000;
    const AT_ONCE: CloseSpread = CloseSpread::Within(Duration::ZERO);

    fn within(seconds: u64, patience_ends: Millis, slot: u16) -> Closing {
        let spread = CloseSpread::Within(Duration::from_secs(seconds));
        Closing::new(NOW, spread, patience_ends, slot).expect("a window")
    }

    fn idle(key: u32) -> Idle {
        Idle { key, since: NOW - 10_000, acquainted: true, on_response: false }
    }

    #[test]
    fn without_a_window_everybody_goes_at_once_but_not_who_may_be_sending() {
        let closing = Closing::new(NOW, AT_ONCE, NEVER, 3).expect("a window");
        for key in 0..100 {
            assert_eq!(closing.answers(key), NOW);
            assert_eq!(closing.closes(idle(key)), NOW);
            let fresh = Idle { since: NOW - 1, ..idle(key) };
            assert_eq!(closing.closes(fresh), NOW - 1 + QUIET_MS);
        }
    }

    #[test]
    fn an_infinite_window_sends_nobody_away() {
        assert_eq!(Closing::new(NOW, CloseSpread::Infinite, NEVER, 0), None);
        assert_eq!(Closing::new(NOW, CloseSpread::Infinite, NOW + 5, 0), None);
    }

    #[test]
    fn moments_lie_evenly_in_the_window_over_all_workers() {
        let mut moments: Vec<Millis> = (0..8)
            .flat_map(|slot| (0..25).map(move |key| within(10, NEVER, slot).answers(key)))
            .collect();
        moments.sort_unstable();
        for (tenth, part) in moments.chunks(20).enumerate() {
            let (from, to) = (part[0] - NOW, part[19] - NOW);
            let expected = tenth as u64 * 1000;
            assert!(from + 500 >= expected && to <= expected + 1500, "{tenth}: {from} to {to}");
        }
    }

    #[test]
    fn the_window_leaves_a_farewell_before_the_end_of_patience() {
        let last = |patience| (0..1000).map(|key| within(10, NOW + patience, 0).answers(key)).max();
        assert!(last(4000).is_some_and(|last| last <= NOW + 4000 - FAREWELL_MS));
        assert!(last(100).is_some_and(|last| last <= NOW + 50));
        assert_eq!(last(0), Some(NOW));
        assert!(last(60_000).is_some_and(|last| last > NOW + 9_900));
    }

    #[test]
    fn who_never_sent_anything_is_closed_only_within_a_configured_window() {
        let silent = Idle { acquainted: false, ..idle(1) };
        let closing = Closing::new(NOW, AT_ONCE, NEVER, 0).expect("a window");
        assert_eq!(closing.closes(silent), NEVER);
        assert_eq!(within(5, NEVER, 0).closes(silent), within(5, NEVER, 0).answers(1));
    }

    #[test]
    fn who_is_closed_with_an_answer_only_is_never_closed_while_it_waits() {
        let idle = Idle { on_response: true, ..idle(1) };
        assert_eq!(within(5, NEVER, 0).closes(idle), NEVER);
        assert!(within(5, NEVER, 0).answers(1) < NOW + 5000);
    }

    #[test]
    fn the_longest_window_does_not_overflow() {
        let spread = CloseSpread::Within(Duration::from_millis(2_147_483_647));
        let closing = Closing::new(NOW, spread, NEVER, 255).expect("a window");
        assert!((0..1000).all(|key| closing.answers(key) < NOW + 2_147_483_647));
    }
}
