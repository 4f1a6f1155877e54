//! The time of one cycle of the loop.
//!
//! Shell. Read once after each wait, so that everything in a cycle happens at the same moment.
//! Milliseconds of CLOCK_MONOTONIC: the same scale in every process of this machine, which is what
//! shared memory (waiting since) and later handed-over timers need.

use std::cell::Cell;
use std::time::{Duration, UNIX_EPOCH};

use portolan_shared::log::{Wall, monotonic_ms};

/// Milliseconds since the machine started.
pub type Millis = u64;

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub type HttpDate = [u8; 29];

/// The loop's clock.
#[derive(Debug)]
pub struct Clock {
    now: Millis,
    /// Wall clock minus monotonic clock, microseconds; renewed once a second.
    wall_offset_us: u64,
    wall_checked: Millis,
    /// The last date asked for, and the second that it tells.
    date: Cell<(u64, HttpDate)>,
    /// A test moves it on by hand.
    #[cfg(test)]
    stopped: bool,
}

impl Clock {
    /// A clock that shows now.
    pub fn new() -> Self {
        let mut clock = Self {
            now: 0,
            wall_offset_us: 0,
            wall_checked: 0,
            date: Cell::new((0, [0; 29])),
            #[cfg(test)]
            stopped: false,
        };
        clock.update();
        clock.check_wall();
        clock
    }

    /// Reads the time anew.
    pub fn update(&mut self) {
        #[cfg(test)]
        if self.stopped {
            return;
        }
        self.now = monotonic_ms();
        if self.now - self.wall_checked >= 1000 {
            self.check_wall();
        }
    }

    /// Shows this from now on, until it is set again.
    #[cfg(test)]
    pub fn stop_at(&mut self, now: Millis) {
        (self.now, self.stopped) = (now, true);
    }

    /// The cycle's time.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The wall clock's time of a moment on this clock.
    pub fn wall_of(&self, moment: Millis) -> Wall {
        Wall::from_micros(moment * 1000 + self.wall_offset_us)
    }

    /// The cycle's time as Date says it (RFC 9110 section 5.6.7).
    pub fn http_date(&self) -> HttpDate {
        let second = (self.now * 1000 + self.wall_offset_us) / 1_000_000;
        let (date_of, date) = self.date.get();
        if second == date_of {
            return date;
        }
        let text = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second)).to_string();
        let Ok(text) = text.into_bytes().try_into() else { return date };
        self.date.set((second, text));
        text
    }

    fn check_wall(&mut self) {
        self.wall_offset_us = Wall::now().micros().saturating_sub(self.now * 1000);
        self.wall_checked = self.now;
    }
}

/// A configured timeout on this clock.
pub fn millis(timeout: Duration) -> Millis {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}
