//! Why a listener could not be had.

use std::fmt;
use std::io;

/// One bind that failed, and where it is written.
#[derive(Debug)]
pub struct BindError {
    /// The frontend's name.
    pub frontend: String,
    /// The bind as written.
    pub written: String,
    /// Which rule was broken.
    pub why: Why,
}

/// The rule broken.
#[derive(Debug)]
pub enum Why {
    /// Another process, or another bind of ours, listens there.
    InUse {
        /// The address or path.
        what: String,
    },
    /// Two binds of the configuration are the same socket.
    Twice {
        /// The other one's frontend.
        frontend: String,
        /// The other one as written.
        written: String,
    },
    /// A UNIX socket's place is taken by something else.
    NotASocket,
    /// The path does not fit into a socket address.
    PathTooLong {
        /// Bytes that fit.
        bytes_max: usize,
    },
    /// Nothing was inherited under this number or name.
    NotGiven,
    /// What was inherited is not a stream socket that can listen.
    NotListening,
    /// The socket cannot be tied to its device.
    Interface {
        /// Its name.
        interface: String,
        /// The system's answer.
        error: io::Error,
    },
    /// The system refused.
    Io {
        /// What we wanted.
        doing: &'static str,
        /// Its answer.
        error: io::Error,
    },
}

impl Why {
    /// For `map_err`: the system refused this.
    pub fn io<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Io { doing, error: error.into() }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frontend {}: cannot bind {}: {}", self.frontend, self.written, self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { what } => write!(f, "{what} is already in use"),
            Self::Twice { frontend, written } => {
                write!(f, "frontend {frontend} binds the same as {written}")
            }
            Self::NotASocket => f.write_str("the path exists and is not a stream socket"),
            Self::PathTooLong { bytes_max } => {
                write!(f, "the path is longer than {bytes_max} bytes")
            }
            Self::NotGiven => f.write_str("no such descriptor was inherited"),
            Self::NotListening => {
                f.write_str("the inherited descriptor is not a stream socket that can listen")
            }
            Self::Interface { interface, error } => write!(f, "interface {interface}: {error}"),
            Self::Io { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}
