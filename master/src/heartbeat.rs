//! Which worker's loop stands still.
//!
//! Core: no I/O, no clock. The master brings the counters, the time and what the system says.
//!
//! - Standing still means that a counter has not moved for the timeout while the master looked on, of the
//!   time that the worker could have used: see [`Stillness`]. A machine that was suspended, a master that
//!   read a long configuration, and a machine with too much work would otherwise kill everybody.

use std::time::{Duration, Instant};

use portolan_shared::process_stat::ProcessStat;
use portolan_shared::stillness::Stillness;

/// How often the counters are read.
pub const EVERY: Duration = Duration::from_millis(250);
/// Between two looks this far apart the master stood still too.
const LATE: Duration = Duration::from_millis(750);

/// Stands for the counter of an adopted process that has not answered yet.
pub const UNANSWERED: u64 = 0;

/// What a look at a counter shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It moves, or has not stood for long.
    Life,
    /// It has not moved for the timeout, as the process gets no turn on a processor; said once until it moves.
    Starved,
    /// It has stood still for the timeout.
    Still,
}

/// The last movement of one worker's counter.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    value: u64,
    stillness: Stillness,
    starved: bool,
}

impl Heartbeat {
    /// Of a worker that became ready.
    pub fn new(value: u64) -> Self {
        Self { value, stillness: Stillness::default(), starved: false }
    }

    /// Takes the counter, `since` after the last look; `stat` is asked where it has not moved.
    pub fn look(
        &mut self,
        value: u64,
        since: Duration,
        timeout: Duration,
        stat: impl FnOnce() -> Option<ProcessStat>,
    ) -> Sign {
        if value != self.value {
            *self = Self::new(value);
            return Sign::Life;
        }
        self.stillness.look(since, LATE, stat());
        if self.stillness.still() >= timeout {
            Sign::Still
        } else if self.stillness.silent() >= timeout && !self.starved {
            self.starved = true;
            Sign::Starved
        } else {
            Sign::Life
        }
    }

    /// For how long it has stood still.
    pub fn still(&self) -> Duration {
        self.stillness.still()
    }

    /// For how long it has not moved.
    pub fn silent(&self) -> Duration {
        self.stillness.silent()
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

    use portolan_shared::process_stat::ProcessStat;

    use super::{EVERY, Heartbeat, Looks, Sign};

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn stat(state: char) -> ProcessStat {
        ProcessStat { state, parent: 1, cpu: Duration::ZERO, start_time: 1 }
    }

    /// So many looks at a counter that stands.
    fn looks(count: usize, state: char) -> Vec<Sign> {
        let mut heartbeat = Heartbeat::new(7);
        (0..count).map(|_| heartbeat.look(7, EVERY, TIMEOUT, || Some(stat(state)))).collect()
    }

    #[test]
    fn a_counter_that_moves_is_alive_however_long_it_goes_and_nobody_asks_the_system() {
        let mut heartbeat = Heartbeat::new(0);
        let nobody = || panic!("asked the system");
        assert!((1..100).all(|n| heartbeat.look(n, EVERY, TIMEOUT, nobody) == Sign::Life));
    }

    #[test]
    fn a_counter_that_stands_for_the_timeout_is_dead_and_not_before() {
        let signs = looks(8, 'S');
        assert!(signs[..7].iter().all(|sign| *sign == Sign::Life), "{signs:?}");
        assert_eq!(signs[7], Sign::Still);
    }

    #[test]
    fn one_that_gets_no_turn_is_told_once_and_is_not_dead() {
        let signs = looks(40, 'R');
        assert_eq!(signs.iter().filter(|sign| **sign == Sign::Starved).count(), 1);
        assert_eq!(signs[7], Sign::Starved);
        assert!(!signs.contains(&Sign::Still));
    }

    #[test]
    fn time_in_which_the_master_stood_still_does_not_count() {
        let mut heartbeat = Heartbeat::new(7);
        let sign = heartbeat.look(7, Duration::from_secs(60), TIMEOUT, || Some(stat('S')));
        assert_eq!((sign, heartbeat.still()), (Sign::Life, Duration::ZERO));
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
