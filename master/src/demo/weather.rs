//! How the demonstration's harbours are: which of them fails, when, and in which way.
//!
//! Core: the time since the start is an argument.
//!
//! - One harbour has bad hours that come back with each [`DAY`]; the others are well.
//! - Any of them can be closed for [`STORM`] by whoever looks on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The harbours, from the old charts.
pub const HARBOURS: [&str; 3] = ["Genoa", "Lisbon", "Alexandria"];
/// The one with bad hours.
pub const MOODY: usize = 2;
/// How long a harbour stays closed that was told to.
pub const STORM: Duration = Duration::from_secs(5);
/// The hours of the moody harbour's day, one after the other: milliseconds and what they are like.
const DAY: [(u64, Mood); 6] = [
    (8_000, Mood::Open),
    (4_000, Mood::Closed),
    (6_000, Mood::Open),
    (3_000, Mood::Silent),
    (6_000, Mood::Open),
    (3_000, Mood::Busy),
];

/// How a harbour treats who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It answers.
    Open,
    /// It refuses connections.
    Closed,
    /// It takes a request and hangs up without an answer.
    Silent,
    /// It answers 503.
    Busy,
}

impl Mood {
    /// Its word for the page.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Busy => "busy",
        }
    }
}

/// What the harbours have in common.
#[derive(Debug, Default)]
pub struct Weather {
    /// Until when each is closed, in milliseconds since the start.
    storms: [AtomicU64; HARBOURS.len()],
}

impl Weather {
    /// How a harbour is at this time since the start.
    pub fn mood(&self, harbour: usize, now: Duration) -> Mood {
        let now = now.as_millis() as u64;
        if now < self.storms[harbour].load(Ordering::Relaxed) {
            return Mood::Closed;
        }
        if harbour != MOODY {
            return Mood::Open;
        }
        let mut left = now % DAY.iter().map(|(length, _)| length).sum::<u64>();
        for (length, mood) in DAY {
            if left < length {
                return mood;
            }
            left -= length;
        }
        Mood::Open
    }

    /// Closes a harbour for a while.
    pub fn storm(&self, harbour: usize, now: Duration) {
        let end = (now + STORM).as_millis() as u64;
        self.storms[harbour].store(end, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_moody_one_fails_by_itself_and_in_every_way() {
        let weather = Weather::default();
        let mut seen = Vec::new();
        for second in 0..60 {
            let now = Duration::from_secs(second);
            for harbour in 0..HARBOURS.len() {
                let mood = weather.mood(harbour, now);
                assert!(harbour == MOODY || mood == Mood::Open, "{harbour} at {second}");
                if !seen.contains(&mood.word()) {
                    seen.push(mood.word());
                }
            }
        }
        assert_eq!(seen, ["open", "closed", "silent", "busy"]);
    }

    #[test]
    fn a_storm_closes_one_harbour_and_passes() {
        let weather = Weather::default();
        weather.storm(0, Duration::ZERO);
        let moods = |now| [0, 1].map(|harbour| weather.mood(harbour, now));
        assert_eq!(moods(STORM / 2), [Mood::Closed, Mood::Open]);
        assert_eq!(moods(STORM), [Mood::Open, Mood::Open]);
    }
}
