//! How long to wait before a master that died is started again.
//!
//! Core. At once after the first death, then 100 ms, doubling up to 10 s; a life of a minute clears
//! the tally. Who served and was killed from outside (by a person, or for want of memory) did not die of
//! itself: it is not in the tally, and another one follows after 100 ms at most.

use std::time::Duration;

/// Before the second start in a row.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Never longer: by then whoever watches has been told, and the machine is not kept busy.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// Who lived this long did not die of its start.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// Deaths in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackOff {
    /// How many, the latest included.
    pub deaths: u32,
}

impl BackOff {
    /// Another one died after this life: how long to wait.
    pub fn after_death(&mut self, lived: Duration) -> Duration {
        if lived >= LONG_LIFE {
            self.deaths = 0;
        }
        let delay = match self.deaths {
            0 => Duration::ZERO,
            n => FIRST_DELAY.saturating_mul(1 << (n - 1).min(16)).min(DELAY_MAX),
        };
        self.deaths = self.deaths.saturating_add(1);
        delay
    }

    /// One that served was killed from outside: how long to wait.
    pub fn after_kill(self) -> Duration {
        if self.deaths == 0 { Duration::ZERO } else { FIRST_DELAY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_later_ones_wait_twice_as_long_up_to_a_bound() {
        let mut backoff = BackOff::default();
        let delays: Vec<u128> =
            (0..10).map(|_| backoff.after_death(Duration::ZERO).as_millis()).collect();
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn a_long_life_clears_the_tally() {
        let mut backoff = BackOff { deaths: 7 };
        assert_eq!(backoff.after_death(LONG_LIFE), Duration::ZERO);
        assert_eq!(backoff.after_death(Duration::ZERO), FIRST_DELAY);
    }

    #[test]
    fn whoever_is_killed_while_it_serves_is_followed_soon_however_often() {
        assert_eq!(BackOff::default().after_kill(), Duration::ZERO);
        assert_eq!(BackOff { deaths: 9 }.after_kill(), FIRST_DELAY);
    }

    #[test]
    fn no_number_of_deaths_overflows() {
        let mut backoff = BackOff { deaths: u32::MAX };
        assert_eq!(backoff.after_death(Duration::ZERO), DELAY_MAX);
        assert_eq!(backoff.deaths, u32::MAX);
    }
}
