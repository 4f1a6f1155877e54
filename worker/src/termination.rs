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
    /// It was answered here.
    Local,
    /// Something ran out here: memory, descriptors, ports.
    Resource,
    /// We made a mistake.
    Internal,
    /// The server was found down, and its streams are ended then.
    Down,
    /// A server was found up, and streams of backup servers are ended then.
    Up,
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
            Self::Local => 'L',
            Self::Resource => 'R',
            Self::Internal => 'I',
            Self::Down => 'D',
            Self::Up => 'U',
            Self::Killed => 'K',
        }
    }
}

/// Where the stream was when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(test), expect(dead_code, reason = "some letters belong to HTTP"))]
pub enum Phase {
    /// At its regular end.
    Over,
    /// Before anything of it was passed on.
    Request,
    /// In the pending queue.
    Queue,
    /// On the way to a server.
    Connect,
    /// Before the head of the answer was complete.
    Headers,
    /// While data flowed.
    Data,
    /// The server was done, the client had not taken everything.
    Last,
    /// It was held without an answer on purpose.
    Tarpit,
}

impl Phase {
    /// The letter in the log.
    pub const fn letter(self) -> char {
        match self {
            Self::Over => '-',
            Self::Request => 'R',
            Self::Queue => 'Q',
            Self::Connect => 'C',
            Self::Headers => 'H',
            Self::Data => 'D',
            Self::Last => 'L',
            Self::Tarpit => 'T',
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_and_phase_has_haproxys_letter() {
        let causes = [
            (Cause::Client, 'C'),
            (Cause::Server, 'S'),
            (Cause::Proxy, 'P'),
            (Cause::Local, 'L'),
            (Cause::Resource, 'R'),
            (Cause::Internal, 'I'),
            (Cause::Down, 'D'),
            (Cause::Up, 'U'),
            (Cause::Killed, 'K'),
            (Cause::ClientTimeout, 'c'),
            (Cause::ServerTimeout, 's'),
            (Cause::Normal, '-'),
        ];
        let phases = [
            (Phase::Request, 'R'),
            (Phase::Queue, 'Q'),
            (Phase::Connect, 'C'),
            (Phase::Headers, 'H'),
            (Phase::Data, 'D'),
            (Phase::Last, 'L'),
            (Phase::Tarpit, 'T'),
            (Phase::Over, '-'),
        ];
        for (cause, first) in causes {
            for (phase, second) in phases {
                assert_eq!(Termination::new(cause, phase).to_string(), format!("{first}{second}"));
            }
        }
    }
}
