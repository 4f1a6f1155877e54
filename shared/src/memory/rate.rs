//! How many in the last second, over all workers, and whether one more is allowed.
//!
//! Core, on one word of shared memory for each rate: the second it speaks of (24 bits), how many in
//! it and how many in the second before (20 bits each). One exchange of the whole word counts, so a
//! limit holds exactly over all workers, and who dies leaves it as it was before or after.
//!
//! The rate is HAProxy's estimate for a sliding second: what came in this second, plus the
//! part of the last second that the sliding one still covers, had it come evenly, rounded down. One
//! more is allowed while that is below the limit. Thus never more than the limit in any whole second
//! of the clock, and the estimate never passes the limit. (A burst at the end of one second and what
//! the estimate then allows in the next can together be more within less than a second, with
//! HAProxy as here.)
//!
//! - A process whose `now` is behind what others have written counts in their second.
//! - Rates above [`RATE_MAX`] are not told apart: a limit above it is none.
//! - After 194 days without a single event a second's number returns: an estimate may be wrong by
//!   what was counted then, for a minute.

use std::sync::atomic::Ordering::SeqCst;

use super::admission::Word;
use super::layout::shared;
use super::{Memory, Object};

/// Highest rate that is counted, per second.
pub const RATE_MAX: u32 = (1 << COUNT_BITS) - 1;

const COUNT_BITS: u32 = 20;
const SECOND_BITS: u32 = 24;
const SECONDS: u64 = 1 << SECOND_BITS;
/// So far the clock of one process may be behind the word, in seconds.
const BEHIND_MAX: u64 = 60;
const PERIOD_MS: u64 = 1000;

/// What is counted per second of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rate {
    /// Connections, before any rule was applied.
    Connections,
    /// Sessions: connections that were let in.
    Sessions,
}

impl Rate {
    /// All of them, in the order of their words.
    pub const ALL: [Self; 2] = [Self::Connections, Self::Sessions];
}

/// What a word says, seen from one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    second: u64,
    current: u64,
    last: u64,
    /// Milliseconds of the second that have passed.
    passed: u64,
}

impl Window {
    pub(super) fn of(word: u64, now_ms: u64) -> Self {
        let second = now_ms / PERIOD_MS % SECONDS;
        let passed = now_ms % PERIOD_MS;
        let written = word >> (2 * COUNT_BITS);
        let current = word >> COUNT_BITS & u64::from(RATE_MAX);
        let last = word & u64::from(RATE_MAX);
        match (second + SECONDS - written) % SECONDS {
            0 => Self { second, current, last, passed },
            1 => Self { second, current: 0, last: current, passed },
            ahead if ahead >= SECONDS - BEHIND_MAX => {
                Self { second: written, current, last, passed: 0 }
            }
            _ => Self { second, current: 0, last: 0, passed },
        }
    }

    fn word(self) -> u64 {
        self.second << (2 * COUNT_BITS) | self.current << COUNT_BITS | self.last
    }

    pub(super) fn rate(self) -> u64 {
        self.current + self.last * (PERIOD_MS - self.passed) / PERIOD_MS
    }

    fn with_one_more(self) -> Self {
        Self { current: (self.current + 1).min(RATE_MAX.into()), ..self }
    }

    /// One that was counted was none; it may have been in the second before.
    pub(super) fn with_one_less(self) -> Self {
        match (self.current, self.last) {
            (0, last) => Self { last: last.saturating_sub(1), ..self },
            (current, _) => Self { current: current - 1, ..self },
        }
    }

    /// Milliseconds until the estimate is below the limit, if nothing else comes; at least 1.
    pub(super) fn wait(self, limit: u64) -> u64 {
        if limit == 0 {
            return PERIOD_MS;
        }
        if self.current >= limit {
            let next = Self { current: 0, last: self.current, passed: 0, ..self };
            return PERIOD_MS - self.passed + next.passed_until(limit);
        }
        self.passed_until(limit).saturating_sub(self.passed).max(1)
    }

    /// From which millisecond of this second on the estimate is below the limit, which what has come
    /// in it is: `last * (1000 - passed) < (limit - current) * 1000`.
    fn passed_until(self, limit: u64) -> u64 {
        let covered = ((limit - self.current) * PERIOD_MS - 1).checked_div(self.last);
        PERIOD_MS - covered.unwrap_or(PERIOD_MS).min(PERIOD_MS)
    }
}

/// Counts one more if the limit allows it; else tells how many milliseconds to wait.
pub(super) fn take<W: Word>(word: &W, limit: u32, now_ms: u64) -> Result<(), u64> {
    loop {
        let before = word.load();
        let window = Window::of(before, now_ms);
        if window.rate() >= limit.into() && limit <= RATE_MAX {
            return Err(window.wait(limit.into()));
        }
        if word.exchange(before, window.with_one_more().word()) {
            return Ok(());
        }
    }
}

/// Changes what is counted.
pub(super) fn change<W: Word>(word: &W, now_ms: u64, change: impl Fn(Window) -> Window) {
    loop {
        let before = word.load();
        if word.exchange(before, change(Window::of(before, now_ms)).word()) {
            return;
        }
    }
}

/// Rates, over all workers together; `now_ms` is `CLOCK_MONOTONIC`.
impl Memory {
    /// Counts one more if fewer than `limit` came within the last second; else answers after how many
    /// milliseconds to ask again.
    pub fn rate_take(
        &self,
        object: Object,
        rate: Rate,
        limit: u32,
        now_ms: u64,
    ) -> Result<(), u64> {
        take(self.rate_word(object, rate), limit, now_ms)
    }

    /// One that was taken has not come after all.
    pub fn rate_give_back(&self, object: Object, rate: Rate, now_ms: u64) {
        change(self.rate_word(object, rate), now_ms, Window::with_one_less);
    }

    /// Counts one more.
    pub fn rate_add(&self, object: Object, rate: Rate, now_ms: u64) {
        change(self.rate_word(object, rate), now_ms, Window::with_one_more);
    }

    /// How many came within the last second.
    pub fn rate(&self, object: Object, rate: Rate, now_ms: u64) -> u32 {
        let word = self.rate_word(object, rate).load(SeqCst);
        u32::try_from(Window::of(word, now_ms).rate()).unwrap_or(u32::MAX)
    }

    #[inline]
    fn rate_word(&self, object: Object, rate: Rate) -> &std::sync::atomic::AtomicU64 {
        self.chunk(object).shared(object, shared::RATES + rate as usize)
    }
}
