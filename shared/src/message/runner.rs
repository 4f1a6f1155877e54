//! Between the checker and the runner, which runs the commands of external checks.
//!
//! Core: no I/O. Both hold the same configuration, and only a server's position in it travels: the
//! checker cannot make the runner run anything that the configuration does not name.
//!
//! Either end's end of file: the other process was replaced. What the checker had asked for tells it
//! nothing of any server, the runner kills what runs; the master gives both a new pair.

use serde::{Deserialize, Serialize};

use crate::model::{BackendId, ServerId};

/// From the checker to the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRunner {
    /// Run the command of this server's backend.
    Run {
        /// Repeated in the answer.
        id: u64,
        /// Whose.
        backend: BackendId,
        /// Whose.
        server: ServerId,
        /// Connections to the server, for its environment.
        connections: u32,
        /// It and its process group are killed after so long.
        timeout_ms: u32,
    },
    /// Its answer is not waited for any longer: kill it.
    Cancel {
        /// Which.
        id: u64,
    },
}

/// From the runner to the checker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromRunner {
    /// A command is over; nothing of its process group is left.
    Ended {
        /// Which.
        id: u64,
        /// How.
        end: CommandEnd,
    },
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandEnd {
    /// With this status, 0: the server is well.
    Exited(i32),
    /// By this signal, not one of ours.
    Killed(i32),
    /// It took too long.
    TimedOut,
    /// It could not be started.
    NotStarted {
        /// Why, for people.
        reason: String,
    },
    /// The system had no process, descriptor or memory for it: that tells nothing of the server.
    Lacking {
        /// What, for people.
        reason: String,
    },
}
