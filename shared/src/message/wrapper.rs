//! Between the wrapper and the master.

use serde::{Deserialize, Serialize};

/// The master's end of the wrapper's channel is this descriptor.
pub const WRAPPER_FD: i32 = 3;

/// From the wrapper to the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWrapper {
    /// First: who is there, and whether this master follows one that died or was upgraded.
    Hello {
        /// The wrapper's pid, the one in the pid file.
        pid: i32,
        /// How many masters were started before.
        restarts: u32,
    },
    /// One descriptor that was kept for the master, under the name it gave.
    Kept {
        /// As in [`ToWrapper::Keep`].
        name: String,
        /// As in [`ToWrapper::Keep`].
        value: Vec<u8>,
    },
    /// All that was kept has been sent.
    KeptAll,
    /// [`ToWrapper::Keep`] has arrived, up to and including this number.
    Acknowledged {
        /// As counted by the master.
        number: u64,
    },
    /// A signal reached the wrapper.
    Signal {
        /// Its number.
        signal: i32,
        /// When, CLOCK_MONOTONIC milliseconds: a signal that reached the master directly at about the
        /// same time was the same one, sent to the whole group.
        at_ms: u64,
    },
    /// A process that lost its parent has ended.
    Reaped {
        /// Which.
        pid: i32,
        /// As wait(2) reports it.
        status: i32,
    },
}

/// From the master to the wrapper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWrapper {
    /// Keep a duplicate of the one descriptor beside this message (replacing what had the name).
    Keep {
        /// Counts up; acknowledged.
        number: u64,
        /// Unique; `listener-…`, `memory-…`, `config`, `worker-binary` …
        name: String,
        /// Whatever the next master needs to know of it, at most 4 kB.
        value: Vec<u8>,
    },
    /// Forget and close what has this name.
    Drop {
        /// As in `Keep`.
        name: String,
    },
    /// The generation serves: sd_notify READY=1, the pid file is written, an upgrade is complete.
    Ready {
        /// Which.
        generation: u32,
    },
    /// sd_notify RELOADING=1 with MONOTONIC_USEC.
    Reloading,
    /// sd_notify STATUS=.
    Status(String),
    /// A reload failed; READY again, the old generation serves on.
    ReloadFailed(String),
    /// sd_notify STOPPING=1.
    Stopping,
    /// The master is about to execute its new binary in its own place: if it is not `Ready` by the
    /// deadline, end it and start the old one (which the wrapper has kept open).
    Upgrading {
        /// Milliseconds from now.
        deadline_ms: u64,
    },
    /// The upgraded master serves: the wrapper executes its own new binary now.
    UpgradeWrapper,
    /// The master's loop is alive (for the watchdog).
    Alive,
}
