//! Redis: PING is answered by +PONG.
//!
//! Core.

use portolan_shared::check_result::CheckResult;

use super::{Reading, first_line};
use crate::check::Outcome;

/// What is sent.
pub const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// What the server says to it: one line, which is an error when it asks for a password or is not ready.
pub fn answer(bytes: &[u8], last: bool) -> Reading {
    match first_line(bytes) {
        Some(b"+PONG") => Reading::Fine(Outcome::with(CheckResult::L7Ok, "Redis server is ok")),
        Some(line) => Reading::Bad(Outcome::with(CheckResult::L7Sts, line)),
        None if last => Reading::Bad(Outcome::with(CheckResult::L7Sts, bytes)),
        None => Reading::More,
    }
}
