//! Between the wrapper and the master.
//!
//! Core: the enums; the wrapper's conduct is in its `core`, the master's in its own.
//!
//! **Start.** The master finds its end under [`WRAPPER_FD`] and is told so by `--wrapper-channel`. The
//! wrapper says `Hello`, one `Kept` for each descriptor, `KeptAll`; the master sets up everything and
//! says `Ready`. Whoever starts (by exec in place too) reads up to `KeptAll` and drops what comes
//! before `Hello`, but obeys each `Signal` wherever it comes: it was meant for whoever is there.
//!
//! **Descriptors the wrapper was born with** (systemd's socket activation, `fd@N`) come first, as
//! `Kept` under [`born_name`]: sockets only, the value is the name in `LISTEN_FDNAMES` or empty. They
//! come back at every start until the master drops them.
//!
//! **Keeping.** `Keep` is answered by `Acknowledged` (all numbers up to this one, but those that were
//! `Refused` before). What was acknowledged survives the master. Names are plain: letters, digits, `-`, `_`, `.`.
//!
//! **Processes.** Of each process the wrapper keeps the master's end of its channel ([`CHANNEL`] and its
//! lane), acknowledged before it is started, and its pidfd ([`PIDFD`]), sent before it is told anything: a
//! master that follows adopts who answers ([`super::ToWorker::Adopt`]).
//!
//! **Signals** come over the channel and only while a master is ready; earlier ones are kept, one of
//! each kind. SIGTERM and SIGINT come at once, before `Ready` too: a master that starts looks for them
//! and leaves with 128 + signal. A master that has not left [`HARD_STOP_MS`] later is killed.
//!
//! **Life.** From its `Ready` on, a master says `Alive` every [`ALIVE_EVERY_MS`] out of its main loop.
//! One that has said it once and then falls silent for [`SILENCE_MAX`] of the wrapper's seconds
//! ([`SILENCE_AT_WORK_MAX`] after `Reloading`, until `Ready` or `ReloadFailed`) hangs: it is killed
//! and started anew.
//!
//! **End.** Exit 0: after a soft-stop (`Stopping` was said). Exit 128 + n: after a hard stop by signal
//! n, all workers ended. Before the first `Ready` every exit is the wrapper's too. Anything else is a
//! death, and a new master is started on what was kept.
//!
//! **Upgrade.** The master tries the new binary as a child, has everything kept and acknowledged,
//! reads its channel for the last time, says `Upgrading` and executes, the descriptor
//! [`WRAPPER_FD`] left open. The wrapper answers `Upgrading` with `Hello`, `Kept`…, `KeptAll` at once,
//! which the new image finds as at any start (`restarts` counts it). Then:
//!
//! | what happens | the wrapper |
//! | --- | --- |
//! | `Ready` | takes the running image as the one to restart from now on |
//! | `UpgradeAbandoned`: exec failed, the old image lives | goes on as before; the old image ignores the second `Hello`… |
//! | it ends, or is not `Ready` by the deadline and is killed | starts the old binary, with what was kept when `Upgrading` came |
//!
//! After that the new master may send `UpgradeWrapper`: the wrapper tries its own new binary as a
//! child and executes it in place, same pid and the same channel; the master notices nothing.
//!
//! **Another wrapper.** Where a service manager keeps descriptors, the death of the wrapper does not close
//! this channel: the next wrapper has it from there. It says `Adopt`; to a master that has not been ready
//! all of a start's greeting before it, which one that has heard it already ignores. The master answers
//! `Adopted`, then once more every `Keep` that was not acknowledged. Until then the wrapper obeys `Keep`,
//! `Drop` and `Upgrading`, all of which may be said twice, and nothing else.
//!
//! A channel that ends has lost its last holder: no other wrapper will come. The master soft-stops, bounded
//! by [`ALONE_MAX_MS`], and leaves.

use serde::{Deserialize, Serialize};

/// The master's end of the wrapper's channel is this descriptor.
pub const WRAPPER_FD: i32 = 3;
/// Under this and the lane's number the master's end of a process's channel is kept.
pub const CHANNEL: &str = "channel-";
/// How often a ready master says [`ToWrapper::Alive`].
pub const ALIVE_EVERY_MS: u64 = 1000;
/// Seconds without [`ToWrapper::Alive`] after which a ready master hangs: ten missed ones, so that a
/// long configuration file or a slow disk is not taken for a hang.
pub const SILENCE_MAX: u32 = 10;
/// The same while it starts again or reloads: reading names may wait for a dead name server.
pub const SILENCE_AT_WORK_MAX: u32 = 120;
/// How long a master may take to leave after SIGTERM or SIGINT before it is killed.
pub const HARD_STOP_MS: u64 = 5000;
/// How long a soft-stop may take that begins because nobody is above the master any more.
pub const ALONE_MAX_MS: u64 = 10_000;
/// Most bytes of the value beside a kept descriptor.
pub const KEPT_VALUE_MAX: usize = 4096;
/// Most descriptors that the wrapper keeps.
pub const KEPT_MAX: usize = 65_536;

/// With this a program ends whose command line or configuration is not valid: starting it again as it is leads
/// to nothing (sysexits' EX_CONFIG). Everything else that fails ends with 1.
pub const MISCONFIGURED: u8 = 78;

/// The name of a descriptor that the wrapper was started with, by its number there.
pub fn born_name(number: i32) -> String {
    format!("born-{number}")
}

/// The number in such a name.
pub fn born_number(name: &str) -> Option<i32> {
    name.strip_prefix("born-")?.parse().ok().filter(|number| *number >= 0)
}

/// What a listening socket's name begins with. After a hard stop whose wrapper has a store
/// ([`FromWrapper::Stored`]) these alone are kept, for the instance that follows.
pub const LISTENER: &str = "listener-";
/// What the name of a process's pidfd begins with: the wrapper ends those that a dead master leaves, where
/// nobody is to follow it.
pub const PIDFD: &str = "pidfd-";

/// From the wrapper to the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWrapper {
    /// First: who is there, and whether this master follows one that died or was upgraded.
    Hello {
        /// The wrapper's pid, the one in the pid file.
        pid: i32,
        /// How many masters were started before, upgrades included.
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
    /// [`ToWrapper::Keep`] of this number is not kept.
    Refused {
        /// As counted by the master.
        number: u64,
        /// Why, for people.
        reason: String,
    },
    /// Another wrapper has this channel now, and drops what it hears until [`ToWrapper::Adopted`] comes with
    /// this number.
    Adopt {
        /// Repeated in the answer.
        nonce: u64,
        /// Its pid.
        pid: i32,
    },
    /// Comes after `Hello`: a service manager holds all that is kept, for another wrapper. So the master need
    /// not end its listening sockets with itself at a hard stop: if the service is started again, clients
    /// have waited in them; if not, the manager closes them.
    Stored,
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
        /// Whatever the next master needs to know of it, at most [`KEPT_VALUE_MAX`] bytes.
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
    /// sd_notify STATUS=; after a `Ready` it is "generation N serves" until this is said.
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
    /// The exec after `Upgrading` failed: this master goes on as it was.
    UpgradeAbandoned,
    /// Answers `Adopt`.
    Adopted {
        /// Of the question.
        nonce: u64,
        /// What serves; 0: nothing yet.
        generation: u32,
        /// It stops.
        stopping: bool,
        /// It reloads.
        at_work: bool,
        /// As in the last [`ToWrapper::Status`].
        status: String,
        /// Number of the last [`ToWrapper::Keep`] that was acknowledged.
        acknowledged: u64,
    },
}
