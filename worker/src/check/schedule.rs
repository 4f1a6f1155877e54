//! When a server is checked, and how long a check may take.
//!
//! Core: randomness is passed in. A time between checks runs from the end of one to the beginning of
//! the next; it is never 0, whatever is configured.

use std::time::Duration;

use portolan_shared::memory::Operational;
use portolan_shared::model::{Health, Timeouts};

use super::health::Judge;

/// Shortest time between two checks.
pub const INTERVAL_MIN: Duration = Duration::from_millis(1);
/// A shorter interval does not count when the first checks are spread.
const SPREAD_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The time to the next check: `inter` while all is well, `downinter` while all is lost, and
/// `fastinter` in between.
pub fn interval(health: &Health, judge: Judge) -> Duration {
    let counter = judge.counter();
    let chosen = match (counter.is_settled(), counter.is_up(), judge.operational()) {
        (true, true, _) => Some(health.inter),
        (true, false, Operational::Down) => health.downinter,
        _ => health.fastinter,
    };
    chosen.unwrap_or(health.inter).max(INTERVAL_MIN)
}

/// The same, up to `spread_percent` longer or shorter. `draw` is any number, each as likely.
pub fn spread(interval: Duration, spread_percent: u32, draw: u32) -> Duration {
    let widest = interval * spread_percent.min(100) / 100;
    let share = widest.as_nanos() * 2 * u128::from(draw) / u128::from(u32::MAX);
    let share = Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX));
    (interval + share).saturating_sub(widest).max(INTERVAL_MIN)
}

/// The interval over which all first checks are spread: the shortest of those that are not very short.
pub fn shortest(intervals: impl Iterator<Item = Duration>) -> Duration {
    intervals.filter(|interval| *interval >= SPREAD_INTERVAL_MIN).min().unwrap_or_default()
}

/// When the first check of a server begins, from now: they follow one another over [`shortest`], or over
/// the server's own interval if that is longer, but at most over `longest`. `position` is below `count`.
pub fn first(
    position: usize,
    count: usize,
    shortest: Duration,
    own: Duration,
    longest: Option<Duration>,
) -> Duration {
    let over = shortest.max(own).min(longest.unwrap_or(Duration::MAX));
    let nanos = over.as_nanos() * position as u128 / count.max(1) as u128;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// How long parts of a check may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the beginning to a connection.
    pub connect: Duration,
    /// From the connection on, all further ones included; `None`: what is left of `connect`.
    pub answer: Option<Duration>,
}

/// How long a check may take that is done at this interval. Only a `check` timeout leaves the connection
/// its own.
pub fn patience(interval: Duration, timeouts: &Timeouts) -> Patience {
    let connect = match (timeouts.check, timeouts.connect) {
        (Some(_), Some(connect)) => interval.min(connect),
        _ => interval,
    };
    Patience { connect: connect.max(INTERVAL_MIN), answer: timeouts.check }
}
