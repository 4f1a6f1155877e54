//! Logs: the access log's lines and the process's own events, on their way to syslog, a descriptor
//! or stderr.
//!
//! ```text
//! access log ──push──▶ ┌ Sender ──────────────────────────────┐
//!                      │ Frame (one per target and tag)       │   sendmmsg, at most 64 lines
//! events ─────say────▶ │   ▼                                  │──▶ or 10 ms late, never blocking
//! (Log)                │ Outlet (one per endpoint): bounded   │
//!                      └──────────────────────────────────────┘
//! ```
//!
//! - Events and the access log are separate streams: events go to the global targets, or to stderr
//!   where there are none; an access line goes to its frontend's targets.
//! - Nothing here blocks. What does not fit is dropped, counted and reported.
//! - A line is one line: whatever its text holds, control bytes leave as `#HH`.
//! - Nothing is opened after a process confined itself: the master opens the sockets
//!   ([`Sockets`]), the time zone is read when the [`Zone`] is made.

mod clock;
mod digits;
mod escape;
mod events;
mod frame;
mod limit;
mod outlet;
mod queue;
mod room;
mod sender;
mod socket;

pub use clock::{Clock, Millis, Wall, Zone, monotonic_ms};
pub use digits::{Text, push_u64};
pub use escape::{push_captured, push_field};
pub use events::Log;
pub use limit::{Kind, Limiter, Verdict};
pub use outlet::Counts;
pub use room::{NUMBER_BYTES, Room, SHORT_NUMBER_BYTES, append};
pub use sender::{BATCH_LINES_MAX, LATE_MAX_MS, Sender, TargetRef};
pub use socket::{Opened, Sockets, open};

use crate::model::{Config, LogEndpoint};

/// The distinct endpoints of a configuration: the global ones, then the frontends', in their order.
///
/// Master and workers name an endpoint by its position here
/// ([`ToWorker::LogSocket`](crate::message::ToWorker::LogSocket)).
pub fn endpoints(config: &Config) -> Vec<LogEndpoint> {
    let mut distinct: Vec<LogEndpoint> = Vec::new();
    let of_frontends = config.frontends.iter().flat_map(|frontend| &frontend.logs);
    for target in config.logs.iter().chain(of_frontends) {
        if !distinct.contains(&target.endpoint) {
            distinct.push(target.endpoint.clone());
        }
    }
    distinct
}

#[cfg(test)]
mod tests;
