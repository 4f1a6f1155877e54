//! Who says what to whom: one enum per direction, the data in the variant.
//!
//! Core: no I/O (the sockets are in `channel`). Every message is postcard in one datagram of a
//! SOCK_SEQPACKET socketpair, behind two bytes (protocol number) that never change their place.
//!
//! | from | to | enum | when |
//! | --- | --- | --- | --- |
//! | master | worker | [`ToWorker`] | start: `Hello`, memory, doorbells, log sockets, listeners, pieces, `Done`; then orders |
//! | worker | master | [`ToMaster`] | `Hello`, then `Ready` or `Failed`, then reports |
//! | master | checker | [`ToWorker`] | as a worker, without listeners; it checks only after `Resume`: no other checker is left then |
//! | master | runner | [`ToWorker`] | as a worker, of memory the head only, without doorbells and listeners |
//! | worker that stops | its successor | [`handover::ToSuccessor`] | its living connections |
//! | successor | worker that stops | [`handover::FromSuccessor`] | which of them it has taken |
//! | wrapper | master | [`wrapper::FromWrapper`] | kept descriptors at start, then relayed signals and reaped orphans |
//! | master | wrapper | [`wrapper::ToWrapper`] | descriptors to keep, states for sd_notify, upgrade |
//! | reader of a configuration | resolver | [`resolver::ToResolver`] | names |
//! | resolver | reader of a configuration | [`resolver::FromResolver`] | their addresses |
//! | checker | runner | [`runner::ToRunner`] | a server's external check is due, or is given up |
//! | runner | checker | [`runner::FromRunner`] | a command has ended |
//!
//! Limits: [`MESSAGE_MAX`] bytes and [`DESCRIPTORS_MAX`] descriptors a message (SCM_RIGHTS itself ends
//! at 253); longer state is split.
//!
//! Versions: [`PROTOCOL`] counts changes to these enums. New variants are appended, never inserted,
//! so that a neighbour one version older still reads the orders it knows (soft-stop, adoption).
//! Descriptors travel in the order in which the message names them.

pub mod handover;
pub mod resolver;
pub mod runner;
pub mod wrapper;

use serde::{Deserialize, Serialize};

/// The number of this protocol; a peer with another number than this or the one before is refused.
pub const PROTOCOL: u16 = 1;
/// Most bytes of one message.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Most descriptors beside one message.
pub const DESCRIPTORS_MAX: usize = 64;
/// Most bytes of configuration in one [`ToWorker::Piece`].
pub const PIECE_MAX: usize = 60 * 1024;
/// Most bytes of a whole configuration; more is refused by the master before it forks.
pub const CONFIGURATION_MAX: usize = 64 * 1024 * 1024;

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Serves traffic in one slot.
    Worker,
    /// Watches over servers for all workers.
    Checker,
    /// Runs the commands that check servers, for the checker.
    Runner,
}

/// What a new process is told first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What it is to be.
    pub role: Role,
    /// Its place, from 0.
    pub slot: u16,
    /// How many places there are.
    pub slots: u16,
    /// Which configuration.
    pub generation: u32,
    /// Its lane in shared memory.
    pub lane: u16,
    /// The process id of the master, for logs.
    pub master_pid: i32,
    /// Whether a worker's events go to stderr as they happen too (`-d`).
    pub debug: bool,
}

/// A listening socket beside a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerEntry {
    /// [`crate::model::Bind::id`].
    pub bind: u32,
    /// Whose it is; `None`: one socket for all slots.
    pub slot: Option<u16>,
}

/// Which shared memory a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryKind {
    /// The head: lanes, heartbeats, which lanes are live.
    Lanes,
    /// A chunk of objects, by its number.
    Objects(u32),
    /// The states of a chunk's objects, by its number; for workers, open for reading only.
    States(u32),
}

/// From the master to a worker or the checker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// First of all.
    Hello(Hello),
    /// One descriptor: shared memory.
    Memory(MemoryKind),
    /// One descriptor: the eventfd that wakes the owner of this lane.
    Doorbell {
        /// Whose.
        lane: u16,
    },
    /// One descriptor: the socket of a log endpoint, by its position in the model's list of distinct
    /// endpoints (see `log::endpoints`). Sent again when the master renewed it.
    LogSocket {
        /// Which.
        endpoint: u16,
    },
    /// As many descriptors as entries.
    Listeners(Vec<ListenerEntry>),
    /// The next bytes of the configuration.
    Piece(Vec<u8>),
    /// All of it was sent: become what you are, then answer `Ready` or `Failed`.
    Done {
        /// Bytes of all pieces together.
        length: u32,
    },
    /// Stop accepting, finish what is in flight, leave.
    SoftStop,
    /// Leave now.
    HardStop,
    /// Stop accepting.
    Pause,
    /// Accept again; to the checker: begin to check.
    Resume,
    /// Serve another slot's listeners, or no longer.
    Deputy {
        /// Whose.
        slot: u16,
        /// Whether to start or to stop.
        serve: bool,
    },
    /// Write states and pools to the log (SIGQUIT).
    Dump,
    /// Answer with [`ToMaster::Reply`].
    Query {
        /// Repeated in the answer.
        id: u32,
        /// What is asked.
        what: Query,
    },
    /// One descriptor: this end of a socketpair between the checker and the runner of one generation,
    /// over which [`runner::ToRunner`] and [`runner::FromRunner`] go. Sent to both, before `Done` or
    /// at any time later, and again with a new pair when either was replaced.
    RunnerPeer,
    /// To the checker: the operator has judged a server; checks go on from there.
    Judge {
        /// The server, by its place in shared memory.
        object: u32,
        /// What it is to be.
        judgement: Judgement,
    },
    /// End all streams that are with this server.
    ShutdownSessions {
        /// The server, by its place in shared memory.
        object: u32,
    },
    /// As `SoftStop`, but somebody follows: who waits between two requests is not sent away, a
    /// `Successor` takes it. A later `SoftStop` says that nobody does any more.
    Retire,
    /// One descriptor: this end of a socketpair to the worker that takes over living connections
    /// ([`handover`]). Sent to a worker that retires, and again whenever that worker was replaced.
    Successor {
        /// Its generation.
        generation: u32,
        /// Its slot.
        slot: u16,
    },
    /// One descriptor: this end of a socketpair from a worker that retires, whose living connections
    /// are to be taken over.
    Predecessor {
        /// Its generation.
        generation: u32,
        /// Its slot.
        slot: u16,
    },
    /// Another master has this channel now, and drops what it hears until [`ToMaster::Adopted`] comes with
    /// this number. Whom the worker was deputy for is forgotten: it is told anew.
    Adopt {
        /// Repeated in the answer.
        nonce: u64,
        /// The process id of the master.
        master_pid: i32,
    },
    /// One descriptor: a file in which the bytes that were read last outlive this process.
    Capture {
        /// Its bytes.
        length: u32,
    },
}

/// What a process that is adopted does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// It serves.
    Serving,
    /// It finishes, and hands over what lives.
    Retiring,
    /// It finishes.
    Stopping,
}

/// What an operator makes of a server's health (`set server … health`, `set server … agent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judgement {
    /// It is up, as after every success.
    HealthUp,
    /// It is up but gets no new clients.
    HealthStopping,
    /// It is down, as after every failure.
    HealthDown,
    /// Its agent has nothing against it.
    AgentUp,
    /// Its agent says that it is down.
    AgentDown,
}

/// What a worker can be asked about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// Its tasks (`show tasks`).
    Tasks,
    /// Counters of its loop (`show activity`).
    Activity,
    /// Its descriptors (`show fd`).
    Descriptors,
    /// Its streams (`show sess`).
    Streams,
    /// Its listeners and their states.
    Listeners,
    /// Its pools (`show pools`).
    Pools,
    /// How it is confined, its descriptors by kind, what was refused to it (`show sandbox`).
    Sandbox,
}

/// At which step of becoming a worker something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartStep {
    /// A message could not be read, or came out of order.
    Channel,
    /// The configuration could not be read.
    Configuration,
    /// Shared memory has another layout or size.
    Memory,
    /// Descriptor or core limits.
    Limits,
    /// No poller works.
    Poller,
    /// Something in the configuration could not be set up.
    Setup,
    /// chroot(2).
    Chroot,
    /// setgroups(2), setgid(2).
    Group,
    /// setuid(2).
    User,
    /// prctl(2) PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges,
    /// A layer of the sandbox.
    Sandbox,
}

/// From a worker or the checker to the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToMaster {
    /// Answers `Hello`: the other end is alive and of this version.
    Hello {
        /// `CARGO_PKG_VERSION`.
        version: String,
    },
    /// Everything is set up; accepting begins now.
    Ready,
    /// It could not become a worker and leaves.
    Failed {
        /// Where.
        step: StartStep,
        /// Why, for people.
        reason: String,
    },
    /// It cannot accept for lack of its own resources (true), or can again (false).
    Short {
        /// Which.
        short: bool,
        /// What is missing, for people.
        reason: String,
    },
    /// It soft-stops because a signal told it so, not the master.
    Leaving,
    /// How much is still in flight while it stops; sent when it changes, at most once a second.
    Draining {
        /// Streams left.
        streams: u32,
    },
    /// The next part of an answer to a query.
    Reply {
        /// Of the question.
        id: u32,
        /// Text, at most [`PIECE_MAX`] bytes.
        text: String,
        /// Whether this was the last part.
        last: bool,
    },
    /// Answers `Adopt`, from a process that is ready; one that is not leaves instead.
    Adopted {
        /// Of the order.
        nonce: u64,
        /// What it is.
        role: Role,
        /// Its place.
        slot: u16,
        /// Its configuration.
        generation: u32,
        /// What it does.
        life: Life,
        /// Whether its listeners are paused.
        paused: bool,
        /// Whether it lacks resources.
        short: bool,
        /// Streams left, where it stops and has said so.
        streams: Option<u32>,
        /// `CARGO_PKG_VERSION`.
        version: String,
    },
    /// From a worker that retires: its link to its successor has broken, or never came to be, and it has
    /// no other. It wants another one.
    Unlinked {
        /// How many `Successor`s it was told of by the master that it has now: which link this is.
        links: u32,
    },
}
