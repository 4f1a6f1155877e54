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
mod filter;
pub mod landlock;
pub mod names;
pub mod ports;
pub mod worker;

pub use filter::Facts;

use std::fmt::{self, Display, Write as _};

use crate::model::SandboxMode;

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

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.layer, self.reason)
    }
}

/// What was put on a process, and what the system has refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The filter of system calls, in a line; `None`: there is none.
    pub filter: Option<String>,
    /// Landlock's rules; `None`: there are none.
    pub rules: Option<landlock::Rules>,
    /// Layers that the system does not give.
    pub refused: Vec<Refused>,
}

impl Report {
    /// Takes note of what became of a layer.
    pub fn note(&mut self, outcome: Result<(), Refused>) -> bool {
        outcome.map_err(|refused| self.refused.push(refused)).is_ok()
    }

    /// All that was refused, where the configuration insists on it.
    pub fn fatal(&self, mode: SandboxMode) -> Option<String> {
        let refused: Vec<String> = self.refused.iter().map(ToString::to_string).collect();
        (mode == SandboxMode::Require && !refused.is_empty()).then(|| refused.join("; "))
    }

    /// Lines `key: value` for people.
    pub fn show(&self) -> String {
        let mut text = String::new();
        let version = crate::sys::landlock::version();
        let none = || "none".to_owned();
        let rules = self.rules.as_ref().map_or_else(none, ToString::to_string);
        // A string takes everything.
        let _ = writeln!(text, "filter: {}", self.filter.clone().unwrap_or_else(none));
        let _ = writeln!(text, "landlock: {rules}");
        let _ = writeln!(text, "landlock_version: {version}");
        for refused in &self.refused {
            let _ = writeln!(text, "not_given: {refused}");
        }
        text
    }
}
