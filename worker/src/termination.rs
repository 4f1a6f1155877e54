//! Why a stream ended: a cause and the phase it struck in, HAProxy's two letters in the access log.
//!
//! Core: no I/O. A leaf: whoever ends a stream says so with these, the log only prints them.

use std::fmt;

/// What ended a stream first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Both sides were done and nothing was left over.
    Normal,
    /// The client left or reset the connection.
    Client,
    /// The client neither sent nor took anything for too long.
    ClientTimeout,
    /// The server refused or reset the connection.
    Server,
    /// The server did not answer, send or take anything for too long.
    ServerTimeout,
    /// The proxy would not: a limit, or a rule.
    Proxy,
    /// Something ran out here: memory, descriptors, ports.
    Resource,
    /// We made a mistake.
    Internal,
    /// The process or the stream was told to end.
    Killed,
}

impl Cause {
    /// The letter in the log.
    pub const fn letter(self) -> char {
        match self {
            Self::Normal => '-',
            Self::Client => 'C',
            Self::ClientTimeout => 'c',
            Self::Server => 'S',
            Self::ServerTimeout => 's',
            Self::Proxy => 'P',
            Self::Resource => 'R',
            Self::Internal => 'I',
            Self::Killed => 'K',
        }
    }
}

/// Where the stream was when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// At its regular end.
    Over,
    /// Before anything of it was passed on.
    Request,
    /// In the pending queue.
    Queue,
    /// On the way to a server.
    Connect,
    /// While data flowed.
    Data,
    /// The server was done, the client had not taken everything.
    Last,
}

impl Phase {
    /// The letter in the log.
    pub const fn letter(self) -> char {
        match self {
            Self::Over => '-',
            Self::Request => 'R',
            Self::Queue => 'Q',
            Self::Connect => 'C',
            Self::Data => 'D',
            Self::Last => 'L',
        }
    }
}

/// Why and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Termination {
    /// What ended it.
    pub cause: Cause,
    /// When.
    pub phase: Phase,
}

impl Termination {
    /// The end that everybody hoped for.
    pub const NORMAL: Self = Self::new(Cause::Normal, Phase::Over);

    /// Both parts at once.
    pub const fn new(cause: Cause, phase: Phase) -> Self {
        Self { cause, phase }
    }
}

impl fmt::Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.cause.letter(), self.phase.letter())
    }
}
