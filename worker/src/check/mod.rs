//! Health checks: what is said to servers, what their answers mean, and what comes of it.
//!
//! Core: no I/O, clock or randomness, all of which the checker has. A [`Script`] is compiled once for
//! each backend; a [`Conversation`] is one check of one server by it, events in and moves out. What it
//! found goes to the server's [`health`], from which follow the server's state and, by [`schedule`],
//! the time of the next check; [`lines`] are what the log is told. [`agent`] reads what an agent says,
//! [`external`] what the end of a command means.
//!
//! ```text
//! Connect ─Connected→ Send ─Sent→ Receive ─Received→ Receive … Done
//!    └──Failed, Timeout──┴───────────┴─ Closed, Failed, Timeout ─→ Done (or the next Connect)
//! ```
//!
//! - A server's bytes never panic, and no more than [`Script`]'s buffer of them is kept.
//! - How they are cut changes nothing, unless a script says after how many bytes it has seen enough
//!   (`min_recv`).
//! - Results, texts and log lines are HAProxy's.

pub mod agent;
pub mod external;
pub mod health;
pub mod lines;
pub mod schedule;

mod conversation;
mod expect;
mod info;
mod protocol;
mod request;
mod response;
mod script;
mod text;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use portolan_shared::check_result::CheckResult;

pub use conversation::Conversation;
pub use info::Info;
pub use script::{Script, ScriptError};

/// Whom a check is about, as far as texts can tell it.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The backend's name.
    pub backend: &'a str,
    /// Its number.
    pub backend_id: u32,
    /// The server's name.
    pub server: &'a str,
    /// Its number.
    pub server_id: u32,
    /// This node's.
    pub hostname: &'a str,
    /// The server is not down: only then does a 404 mean that it is stopping.
    pub running: bool,
    /// What X-Haproxy-Server-State tells, where the backend tells it.
    pub state: Option<&'a str>,
}

/// What has happened to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The connection is there.
    Connected,
    /// All of it is sent.
    Sent,
    /// These bytes have come.
    Received(&'a [u8]),
    /// No more bytes will come.
    Closed,
    /// The connection could not be made, or has broken: an errno.
    Failed(i32),
    /// There is no socket to connect with: an errno.
    NoSocket(i32),
    /// The time is over.
    Timeout,
}

/// What a check does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move<'a> {
    /// Close the connection, if there is one, as its destination said, and open another. `Connected`
    /// is said when it is there.
    Connect(Destination),
    /// Send all of this. Nothing is read meanwhile.
    Send(&'a [u8]),
    /// Read.
    Receive,
    /// Close the connection, if there is one; this is what was found.
    Done(Outcome),
}

/// Where and how to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// `None`: where the check goes.
    pub address: Option<IpAddr>,
    /// `None`: where the check goes.
    pub port: Option<u16>,
    /// What is sent before all else.
    pub header: Header,
    /// It is to be ended properly, instead of by RST.
    pub linger: bool,
}

/// Whether a PROXY header goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// No.
    #[default]
    None,
    /// As the server's checks are configured.
    AsConfigured,
    /// Yes.
    Always,
}

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What it is.
    pub result: CheckResult,
    /// As the server's protocol has it: a status, an error's number; 0: none.
    pub code: u16,
    /// More of it, for people.
    pub info: Info,
    /// What an agent said.
    pub agent: Option<Box<agent::Reply>>,
}

impl Outcome {
    /// This result, and nothing more to say.
    pub fn of(result: CheckResult) -> Self {
        Self { result, ..Self::default() }
    }

    /// This result with this text.
    pub fn with(result: CheckResult, info: impl AsRef<[u8]>) -> Self {
        Self { result, info: Info::new(info.as_ref()), ..Self::default() }
    }
}
