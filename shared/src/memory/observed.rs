//! Errors in a row in a server's traffic, over all workers, and how often they were too many.
//!
//! Core, on one word of shared memory: errors in a row (low half), alarms (high half). One exchange
//! makes the last error an alarm, so of several workers that see the limit reached one raises the
//! alarm, and whoever dies has raised it or has not.

use std::sync::atomic::Ordering::SeqCst;

use super::admission::Word;
use super::layout::shared;
use super::{Memory, Object};

const ALARM: u64 = 1 << 32;
const ERRORS: u64 = ALARM - 1;

/// Counts one of a server's answers or connections; whether the limit was reached just now.
pub fn observe<W: Word>(word: &W, ok: bool, limit: u32) -> bool {
    loop {
        let before = word.load();
        let errors = before & ERRORS;
        let alarm = !ok && errors + 1 >= limit.into();
        let after = if alarm {
            (before & !ERRORS).wrapping_add(ALARM)
        } else if ok {
            before & !ERRORS
        } else {
            before.wrapping_add(1)
        };
        if after == before || word.exchange(before, after) {
            return alarm;
        }
    }
}

/// Observed traffic of servers.
impl Memory {
    /// Counts a success (which ends the row) or an error in a server's traffic. `true`: so many in a
    /// row have come just now, and they begin anew; ring the checker.
    pub fn observe(&self, server: Object, ok: bool, limit: u32) -> bool {
        observe(self.chunk(server).shared(server, shared::OBSERVED), ok, limit)
    }

    /// How often that limit was reached, modulo 2³².
    pub fn alarms(&self, server: Object) -> u64 {
        self.chunk(server).shared(server, shared::OBSERVED).load(SeqCst) >> 32
    }
}
