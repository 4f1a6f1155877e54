//! Whether a failed connection attempt is followed by another, where, and after which wait.
//!
//! Core: no I/O, no clock. HAProxy's rules (`retries`, `option redispatch`), checked against its 2.6:
//!
//! - Only a refusal is followed by the turn-around wait, and only where the next attempt would most
//!   likely meet the same server: after a timeout time has passed already, and a lack of resources
//!   here says nothing about the server.
//! - With redispatching on, a retry leaves its server when the interval says so, when that server can
//!   no longer be chosen, and, as round robin does not care which server a stream gets, whenever
//!   there is another one.

use std::time::Duration;

use portolan_shared::model::Redispatch;

use super::Failure;

/// The longest turn-around wait.
const TURNAROUND_MAX: Duration = Duration::from_secs(1);

/// A backend's rules for failed attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Most attempts after the first.
    pub retries: u32,
    /// When a retry leaves its server.
    pub redispatch: Redispatch,
    /// `timeout connect`; bounds the turn-around wait too.
    pub connect_timeout: Option<Duration>,
}

/// How things are when an attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Surroundings {
    /// The server of the failed attempt could be chosen again.
    pub usable: bool,
    /// Another server could be chosen.
    pub others: bool,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Nothing: the stream ends.
    Never,
    /// The same server again.
    Same {
        /// After the turn-around wait.
        wait: bool,
    },
    /// A new choice of server.
    Elsewhere {
        /// After the turn-around wait.
        wait: bool,
    },
}

impl Policy {
    /// The wait before a server that refused is tried again.
    pub fn turnaround(&self) -> Duration {
        self.connect_timeout.map_or(TURNAROUND_MAX, |connect| connect.min(TURNAROUND_MAX))
    }

    /// What follows when `done` retries were made before and now this failure came.
    pub fn decide(&self, failure: Failure, done: u32, around: Surroundings) -> Retry {
        if done >= self.retries || failure == Failure::Internal {
            return Retry::Never;
        }
        let refused = failure == Failure::Refused;
        if self.leaves(done + 1, around) {
            Retry::Elsewhere { wait: refused && !around.others }
        } else {
            Retry::Same { wait: refused }
        }
    }

    /// Whether retry number `retry`, counted from 1, goes by a new choice of server.
    pub(super) fn leaves(&self, retry: u32, around: Surroundings) -> bool {
        let due = match self.redispatch {
            Redispatch::Off => return false,
            Redispatch::Last => retry == self.retries,
            Redispatch::Every(n) => n > 0 && retry.is_multiple_of(n),
            // The n-th retry before the end, and each multiple of it: what HAProxy computes.
            Redispatch::EveryFromLast(n) => {
                n <= self.retries && retry.is_multiple_of(self.retries + 1 - n)
            }
        };
        due || !around.usable || around.others
    }
}
