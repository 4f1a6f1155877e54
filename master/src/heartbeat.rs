//! Which worker's loop stands still.
//!
//! Core: no I/O, no clock. The master brings the counters and the time.
//!
//! - Standing still means that a counter has not moved for the timeout while the master looked on. The
//!   time in which the master itself stood still does not count: a machine that was suspended, or a
//!   master that read a long configuration, would otherwise kill everybody.

use std::time::{Duration, Instant};

/// How often the counters are read.
pub const EVERY: Duration = Duration::from_millis(250);
/// Between two looks this far apart the master stood still too.
const LATE: Duration = Duration::from_millis(750);

/// The last movement of one worker's counter.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    value: u64,
    still: Duration,
}

impl Heartbeat {
    /// Of a worker that became ready.
    pub fn new(value: u64) -> Self {
        Self { value, still: Duration::ZERO }
    }

    /// Takes the counter, `since` after the last look; whether it has stood still for `timeout`.
    pub fn stands_still(&mut self, value: u64, since: Duration, timeout: Duration) -> bool {
        if value != self.value {
            *self = Self::new(value);
        } else if since < LATE {
            self.still += since;
        }
        self.still >= timeout
    }

    /// For how long it has not moved.
    pub fn still(&self) -> Duration {
        self.still
    }
}

/// When the counters were read last.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    last: Instant,
}

impl Looks {
    /// Begins now.
    pub fn new(now: Instant) -> Self {
        Self { last: now }
    }

    /// When the next look is due.
    pub fn due(&self) -> Instant {
        self.last + EVERY
    }

    /// The time since the last look, if one is due.
    pub fn look(&mut self, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.last);
        if since < EVERY {
            return None;
        }
        self.last = now;
        Some(since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{EVERY, Heartbeat, Looks};

    const TIMEOUT: Duration = Duration::from_secs(2);

    #[test]
    fn a_counter_that_moves_is_alive_however_long_it_goes() {
        let mut heartbeat = Heartbeat::new(0);
        assert!((1..100).all(|value| !heartbeat.stands_still(value, EVERY, TIMEOUT)));
    }

    #[test]
    fn a_counter_that_stands_for_the_timeout_is_dead_and_not_before() {
        let mut heartbeat = Heartbeat::new(7);
        let dead: Vec<bool> = (0..8).map(|_| heartbeat.stands_still(7, EVERY, TIMEOUT)).collect();
        assert_eq!(dead, [false, false, false, false, false, false, false, true]);
    }

    #[test]
    fn time_in_which_the_master_stood_still_does_not_count() {
        let mut heartbeat = Heartbeat::new(7);
        assert!(!heartbeat.stands_still(7, Duration::from_secs(60), TIMEOUT));
        assert_eq!(heartbeat.still(), Duration::ZERO);
    }

    #[test]
    fn a_look_is_taken_when_it_is_due() {
        let start = Instant::now();
        let mut looks = Looks::new(start);
        assert_eq!(looks.look(start + EVERY / 2), None);
        assert_eq!(looks.due(), start + EVERY);
        assert_eq!(looks.look(start + EVERY * 2), Some(EVERY * 2));
        assert_eq!(looks.due(), start + EVERY * 3);
    }
}
