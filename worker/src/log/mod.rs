//! The access log: which line a stream gives, at which moment, at which level.
//!
//! Core: no I/O. The shell pushes what is written here into `portolan_shared::log::Sender`.
//!
//! | frontend | at accept | as soon as (logasap) | at the end | failed before its stream began |
//! | --- | --- | --- | --- | --- |
//! | without a log option | [`ConnectLine`] | | | [`FailureLine`] |
//! | any [`Line`] | | that with `+` | the same if there was none yet | [`FailureLine`] |
//! | `error_log_format` | | | of errors: that template | that template |
//!
//! - A stream of mode tcp is one connection; *as soon as* is when the connection to its server stands.
//! - In mode http it is one request, but *at accept* still one connection; *as soon as* is when the
//!   head of the response has come. What never became a request (a bad one, one that came too slowly,
//!   a client that left before) has a line too, with `<BADREQ>`; a client that leaves, or is left,
//!   between two requests has none.

mod brief_line;
mod clf_line;
mod http_line;
mod json_line;
mod line;
mod peer;
mod record;
mod request;
mod tcp_line;
mod template;

pub use brief_line::{ConnectLine, FailureLine};
pub use line::Line;
pub use peer::Peer;
pub use record::{FieldList, HttpRecord, Timers};
pub use request::Request;
pub use tcp_line::{Load, TcpLine};
pub use template::render;

use portolan_shared::model::{LogLevel, LogLine, LogOptions};

use crate::termination::{Cause, Termination};

/// When a line can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The connection was accepted and has its session.
    Accept,
    /// Mode tcp: the connection to the server stands.
    Connected,
    /// Mode http: the head of the response has come.
    Answered,
    /// The stream is over.
    End,
}

/// What the choice of a level looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why it ended; [`Termination::NORMAL`] while it has not.
    pub termination: Termination,
    /// Connection attempts after the first.
    pub retries: u32,
    /// Whether a retry went to another server.
    pub redispatched: bool,
    /// Bytes that came from the client.
    pub from_client: u64,
    /// The status of the response, `None` in mode tcp and where there was none.
    pub status: Option<u16>,
}

impl Outcome {
    /// What `dontlog_normal` keeps, `log_separate_errors` raises and `error_log_format` is for:
    /// errors, timeouts, retries, redispatches and statuses from 500 up; what was answered here is
    /// none of the first three.
    pub fn is_error(&self) -> bool {
        let failed = match self.termination.cause {
            Cause::Local => self.redispatched,
            Cause::Normal => self.redispatched || self.retries > 0,
            _ => true,
        };
        failed || self.status.is_some_and(|status| status >= 500)
    }
}

/// The level of the line to write at this moment, or `None` for no line.
///
/// At the end to be asked only when no line was written before, so that a stream has at most one.
pub fn level(options: LogOptions, moment: Moment, outcome: &Outcome) -> Option<LogLevel> {
    let error = outcome.is_error();
    let full = options.line != LogLine::Connect;
    let wanted = match moment {
        Moment::Accept => !full,
        Moment::Connected | Moment::Answered => {
            full && options.logasap && (error || !options.dontlog_normal)
        }
        Moment::End => {
            full && (error || !options.dontlog_normal)
                && (outcome.from_client > 0 || !options.dontlognull)
        }
    };
    wanted.then(|| raised(options, error && moment != Moment::Accept))
}

/// The level of a [`FailureLine`], or `None` for no line: `from_client` as in [`Outcome`].
pub fn failure_level(options: LogOptions, from_client: u64) -> Option<LogLevel> {
    (from_client > 0 || !options.dontlognull).then(|| raised(options, true))
}

fn raised(options: LogOptions, error: bool) -> LogLevel {
    if error && options.separate_errors { LogLevel::Err } else { LogLevel::Info }
}

#[cfg(test)]
mod tests;
