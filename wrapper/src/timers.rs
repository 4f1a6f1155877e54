//! Every wait of the wrapper, by name.
//!
//! Core. A timer is set or not; the nearest one bounds the poll.

use std::time::{Duration, Instant};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The next start of a master.
    BackOff,
    /// The end of the time in which an upgraded master has to be ready.
    Upgrade,
    /// The end of the time that a hard stop may take.
    Stop,
    /// The next second in which the master has to say that it is alive.
    Second,
    /// The next word to the service manager's watchdog.
    Watchdog,
    /// The end of the time in which the wrapper's new binary has to answer.
    Trial,
    /// The end of the time in which an adopted master has to answer.
    Adoption,
    /// The next packing of what another wrapper would need.
    Pack,
}

const ALL: [Timer; 8] = [
    Timer::BackOff,
    Timer::Upgrade,
    Timer::Stop,
    Timer::Second,
    Timer::Watchdog,
    Timer::Trial,
    Timer::Adoption,
    Timer::Pack,
];

/// Those that are set.
#[derive(Debug, Default)]
pub struct Timers {
    deadlines: [Option<Instant>; ALL.len()],
}

impl Timers {
    /// (Re)sets one.
    pub fn set(&mut self, timer: Timer, deadline: Instant) {
        self.deadlines[timer as usize] = Some(deadline);
    }

    /// Sets one that is not set.
    pub fn want(&mut self, timer: Timer, deadline: Instant) {
        self.deadlines[timer as usize].get_or_insert(deadline);
    }

    /// Forgets one.
    pub fn clear(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    /// One that has expired, which is forgotten.
    pub fn expire(&mut self, now: Instant) -> Option<Timer> {
        let due = |timer: &Timer| self.deadlines[*timer as usize].is_some_and(|at| at <= now);
        let timer = ALL.into_iter().find(due)?;
        self.clear(timer);
        Some(timer)
    }

    /// How long until the next one expires, in whole milliseconds, rounded up.
    pub fn next(&self, now: Instant) -> Option<Duration> {
        let nearest = self.deadlines.into_iter().flatten().min()?;
        let left = nearest.saturating_duration_since(now);
        Some(Duration::from_millis(left.as_nanos().div_ceil(1_000_000) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_bounds_the_wait_and_each_expires_once() {
        let now = Instant::now();
        let mut timers = Timers::default();
        assert_eq!(timers.next(now), None);
        timers.set(Timer::Stop, now + Duration::from_millis(5));
        timers.set(Timer::Second, now + Duration::from_micros(1500));
        assert_eq!(timers.next(now), Some(Duration::from_millis(2)));
        let later = now + Duration::from_millis(5);
        assert_eq!(timers.next(later), Some(Duration::ZERO));
        assert_eq!(timers.expire(later), Some(Timer::Stop));
        assert_eq!(timers.expire(later), Some(Timer::Second));
        assert_eq!(timers.expire(later), None);
    }

    #[test]
    fn a_wanted_timer_is_not_moved() {
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.want(Timer::Second, now + Duration::from_millis(1));
        timers.want(Timer::Second, now + Duration::from_millis(9));
        assert_eq!(timers.next(now), Some(Duration::from_millis(1)));
        timers.clear(Timer::Second);
        assert_eq!(timers.next(now), None);
    }
}
