//! Waiting for something that has to happen, with a deadline instead of a sleep.
//!
//! Shell.

use std::time::{Duration, Instant};

/// How long anything may take before a test calls it missing: generous, because other tests and
/// builds share the machine; what works is over long before.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until there is something to see.
///
/// # Panics
/// When [`LIMIT`] has passed.
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, what, look)
}

/// As [`eventually`], with a limit of its own.
///
/// # Panics
/// When the limit has passed.
pub fn within<T>(limit: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    try_within(limit, look).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// The same where the caller knows more to say about its absence.
pub fn try_within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let seen = look();
        if seen.is_some() || Instant::now() > end {
            return seen;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Looks until the condition holds.
///
/// # Panics
/// When [`LIMIT`] has passed.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}

/// Lets time pass where the test is about an order of events or about something that must not happen;
/// nothing is concluded from how long it took.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until a number has stayed the same for `still`, and returns it.
///
/// # Panics
/// When it is still changing after [`LIMIT`].
pub fn settled(still: Duration, mut read: impl FnMut() -> u64) -> u64 {
    let mut last = (read(), Instant::now());
    eventually("a number that stands still", || {
        let now = read();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() >= still).then_some(now)
    })
}
