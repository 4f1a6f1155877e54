//! What can go wrong for a client, and the note of it.
//!
//! Core.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::kinds::Kind;

/// What a client got instead of what it was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nobody listened.
    Refused,
    /// No connection, for another reason.
    NotConnected(ErrorKind),
    /// A RST, or what we sent could no longer be sent.
    Reset,
    /// An orderly end in the middle of something.
    EndedEarly,
    /// An orderly end instead of an answer, on a connection that nobody had said would end.
    Unannounced,
    /// Nothing at all within the limit.
    Silent,
    /// Other bytes than were to come.
    WrongBytes,
    /// Another status than 200, from the proxy itself.
    Status(u16),
    /// What is no message.
    Malformed,
}

impl Fault {
    /// Its row in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotConnected(_) => "not connected",
            Self::Reset => "reset",
            Self::EndedEarly => "ended early",
            Self::Unannounced => "closed without a word",
            Self::Silent => "no answer in time",
            Self::WrongBytes => "wrong bytes",
            Self::Status(_) => "answered with an error",
            Self::Malformed => "not a message",
        }
    }

    /// All rows.
    pub const NAMES: [&'static str; 9] = [
        "refused",
        "not connected",
        "reset",
        "ended early",
        "closed without a word",
        "no answer in time",
        "wrong bytes",
        "answered with an error",
        "not a message",
    ];
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Silent,
            ErrorKind::UnexpectedEof => Self::EndedEarly,
            ErrorKind::InvalidData => Self::WrongBytes,
            ErrorKind::InvalidInput => Self::Malformed,
            // Resets and broken pipes.
            _ => Self::Reset,
        }
    }
}

/// One that happened.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// To which kind of client.
    pub kind: Kind,
    /// Which of them.
    pub number: usize,
    /// What.
    pub fault: Fault,
    /// In the middle of what.
    pub doing: String,
    /// The client's own address; `None`: it never had a connection.
    pub local: Option<SocketAddr>,
    /// Since when it had the connection.
    pub opened: Instant,
    /// When it noticed.
    pub at: Instant,
    /// The same, since the beginning of the run.
    pub after: Duration,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, number, fault, doing, after, .. } = self;
        write!(f, "{:.3} s, {} {number}: {fault:?}, {doing}", after.as_secs_f64(), kind.name())?;
        let age = self.at.duration_since(self.opened).as_secs_f64();
        match self.local {
            Some(local) => write!(f, " ({local}, connected {age:.3} s before)"),
            None => write!(f, " (not connected)"),
        }
    }
}
