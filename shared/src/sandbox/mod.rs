//! What a process gives up for good, layer by layer, and what it says of it.
//!
//! The layers, in the order in which they are put on; each one is named in what a process says:
//!
//! | layer | by |
//! | --- | --- |
//! | capabilities | bounding set, inheritable and ambient sets emptied, permitted and effective reduced |
//! | new privileges | prctl(2) `PR_SET_NO_NEW_PRIVS` |
//! | Landlock | files, ports, signals and abstract sockets out of reach, as far as the kernel's version goes |
//! | seccomp | which system calls there are |

mod call;
pub mod capabilities;
pub mod deny;
pub mod environment;
mod filter;
pub mod landlock;
pub mod names;
pub mod ports;
mod report;
pub mod supervisors;
pub mod worker;

pub use filter::Facts;
pub use report::Report;

use std::fmt::{self, Display};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Capabilities.
    Capabilities,
    /// No new privileges by executing a file.
    NewPrivileges,
    /// Landlock's rules for files.
    Files,
    /// Landlock's rules for TCP ports (version 4).
    Ports,
    /// Landlock's scope of signals and abstract UNIX sockets (version 6).
    Scope,
    /// The filter of system calls.
    SystemCalls,
}

impl Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capabilities => "capabilities",
            Self::NewPrivileges => "no new privileges",
            Self::Files => "Landlock for files",
            Self::Ports => "Landlock for ports",
            Self::Scope => "Landlock's scope",
            Self::SystemCalls => "seccomp",
        })
    }
}

/// A layer that the system does not give us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub layer: Layer,
    /// Why, for people.
    pub reason: String,
}

impl Refused {
    /// What is said of it at a start.
    pub fn warning(&self) -> String {
        format!("The kernel refuses a layer of the sandbox, {self}")
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.layer, self.reason)
    }
}

#[cfg(test)]
mod tests;
