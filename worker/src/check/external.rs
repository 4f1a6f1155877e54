//! What the end of a command that checks a server means.
//!
//! Core. What it is given is the runner's business.

use portolan_shared::check_result::CheckResult;
use portolan_shared::message::runner::CommandEnd;

use super::Outcome;

/// What a command's end says of the server; where that is nothing, why.
pub fn outcome(end: &CommandEnd) -> Result<Outcome, &str> {
    Ok(match end {
        CommandEnd::Exited(0) => Outcome::of(CheckResult::ProcOk),
        CommandEnd::Exited(status) => Outcome {
            code: u16::try_from(*status).unwrap_or(u16::MAX),
            ..Outcome::of(CheckResult::ProcErr)
        },
        CommandEnd::Killed(signal) => {
            Outcome::with(CheckResult::ProcErr, format!("ended by signal {signal}"))
        }
        CommandEnd::TimedOut => Outcome::of(CheckResult::ProcTout),
        CommandEnd::NotStarted { reason } => Outcome::with(CheckResult::ProcErr, reason),
        CommandEnd::Lacking { reason } => return Err(reason),
    })
}
