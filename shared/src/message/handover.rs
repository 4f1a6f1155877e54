//! Between a worker that stops and its successor: living connections, one by one, and whether they were
//! taken.
//!
//! Core: the enums. They go over a socketpair of their own, which the master makes and whose ends it
//! gives to both ([`super::ToWorker::Successor`], [`super::ToWorker::Predecessor`]).
//!
//! ```text
//! giver                                        taker
//!   Hello ─────────────────────────────────────▶
//!   stops reading, leaves its poller
//!   Moved 1, 2, 3 with descriptors ────────────▶ finds a place, counts, does not read yet
//!   ◀──────────────────────── Answers: 1 Taken ─ reads from here on
//!   closes its copy of 1, counts one less
//! ```
//!
//! - *Who reads.* Nobody reads from a connection between `Moved` and its answer. The taker says `Taken`
//!   before its first read, so that whoever may have read is known from the channel alone.
//! - *Who counts.* The taker counts first, without asking for a place; then the giver counts one less.
//!   In between a connection counts twice: a limit may hold newcomers up that long, and is never passed.
//! - *Deaths.* When the giver dies, what it has sent is taken all the same: the kernel keeps it. When the
//!   taker dies, or breaks a rule, the giver takes back what has no answer in the channel.
//! - Objects (frontends, binds, backends, servers) are named by their numbers in shared memory, which both
//!   generations share: the same number is the same name and position. Times are milliseconds of
//!   CLOCK_MONOTONIC.
//!
//! Versions: [`HANDOVER`] counts changes to what is in here. A giver says its number in `Hello`; a taker that
//! does not know it says [`FromSuccessor::Declined`], and connections end by their
//! protocol's rules. The same where an upgrade began with new shared memory, whose numbers mean others.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::memory::Object;

/// The number of this protocol.
pub const HANDOVER: u16 = 1;
/// Most bytes of a connection that travel in the message itself; more lie in a memfd beside it.
pub const INLINE_MAX: usize = 8 * 1024;
/// Most descriptors that a giver may have under way without an answer: an ordinary user may not have
/// more in sockets' queues than it may have open.
pub const UNDER_WAY_MAX: usize = 512;

/// From the giver to the taker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSuccessor {
    /// First.
    Hello {
        /// [`HANDOVER`] of the giver.
        protocol: u16,
        /// Its generation.
        generation: u32,
        /// Its lane.
        lane: u16,
        /// Which shared memory its numbers of objects are of.
        memory: u64,
    },
    /// Connections; their descriptors beside them in the order in which they are named.
    Moved(Vec<Moved>),
}

/// From the taker to the giver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromSuccessor {
    /// What became of connections, by [`Moved::number`].
    Answers(Vec<(u32, Verdict)>),
    /// It does not speak the giver's protocol, or counts in another shared memory: everything that was sent, and would be, has no place.
    Declined,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It is the taker's.
    Taken,
    /// The new configuration has no place for it: it ends where it is, by its protocol's rules.
    NoPlace,
    /// The taker lacks something now (descriptors, memory): it stays, and may be offered again.
    NoRoom,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Counted by the giver, over one link.
    pub number: u32,
    /// What it is.
    pub what: What,
}

/// What is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A client of mode http between two requests. Descriptors: the connection; the file of `input`; the
    /// file of `output`; the private server connection.
    Client(Box<Client>),
    /// A stream whose bytes flow both ways: mode tcp, or a tunnel of mode http. Descriptors: the client's
    /// connection, the server's, then what `front.pending` needs, then what `back.pending` needs, then
    /// files of the exchange and the client in their order.
    Tunnel(Box<Tunnel>),
    /// A client of mode tcp or http that owes a PROXY header. Descriptors: the connection, the file of
    /// `bytes`.
    Headerless(Box<Headerless>),
    /// A server connection that waits for its next request. Descriptors: the connection.
    Pooled(Pooled),
}

/// Bytes of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bytes {
    /// Here; at most [`INLINE_MAX`] of one connection.
    Inline(Vec<u8>),
    /// In a memfd beside the message.
    File {
        /// How many.
        length: u32,
    },
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Inline(Vec::new())
    }
}

/// Where a client came in and what it is counted in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The frontend.
    pub frontend: Object,
    /// The bind.
    pub bind: Object,
    /// Most connections of bind, frontend and instance under which it was let in; 0: no limit. A place
    /// once had is kept, unless the new configuration has fewer of them.
    pub caps: [u32; 3],
    /// The client; `None`: one of a UNIX socket.
    pub client: Option<SocketAddr>,
    /// What a PROXY header told of where it connected to.
    pub told: Option<Told>,
    /// When it was accepted.
    pub accepted: u64,
}

/// What a PROXY header told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Where the client connected to.
    pub destination: Option<SocketAddr>,
}

/// A client of mode http.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Where from.
    pub origin: Origin,
    /// What it does.
    pub stage: Stage,
    /// Read from it, and of its next request.
    pub input: Bytes,
    /// Since when it waits for a request.
    pub idle_since: u64,
    /// When the first byte of it came.
    pub began: Option<u64>,
    /// Requests so far.
    pub requests: u32,
    /// Backend and server of the last one.
    pub last: Option<(Object, Object)>,
    /// A server connection that is kept for it alone.
    pub private: Option<Pooled>,
}

/// What a client of mode http does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It may send a request.
    Head,
    /// The rest of an answer is on its way to it.
    Answering {
        /// The rest.
        output: Bytes,
        /// What follows.
        then: Then,
    },
    /// What it still sends is thrown away.
    Lingering,
    /// Its tunnel has it.
    Busy,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// The next request.
    Next,
    /// The end.
    Close,
    /// The end, once the client has stopped sending.
    Linger,
}

/// A client that owes a PROXY header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headerless {
    /// Where from.
    pub origin: Origin,
    /// What has come of the header.
    pub bytes: Bytes,
}

/// A server connection without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pooled {
    /// Whose.
    pub backend: Object,
    /// Whose.
    pub server: Object,
    /// What the connection depends on (address, source, options) in the giver's configuration; the taker
    /// uses it only where that is the same.
    pub identity: u64,
    /// Requests it has served after its first.
    pub reuses: u32,
}

/// A stream whose bytes flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Where from.
    pub origin: Origin,
    /// Who serves it.
    pub backend: Object,
    /// By which server.
    pub server: Object,
    /// Version of the states of the backend's servers that the giver has followed: what they became since is
    /// the taker's to follow.
    pub states_version: u64,
    /// When it asked for a server.
    pub asked: u64,
    /// As in its log line.
    pub queue_ms: i32,
    /// As in its log line.
    pub connect_ms: i32,
    /// As in its log line.
    pub queue_position: u32,
    /// As in its log line.
    pub server_queue_position: u32,
    /// Connections tried again.
    pub retries: u32,
    /// The last of them at another server.
    pub redispatched: bool,
    /// Its line was written already.
    pub logged: bool,
    /// Where the connection to its server comes from, where the log tells it.
    pub source: Option<SocketAddr>,
    /// The client's side.
    pub front: Endpoint,
    /// The server's side.
    pub back: Endpoint,
    /// What a tunnel of mode http has besides.
    pub http: Option<Box<Upgraded>>,
}

/// One side of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// When a byte last moved on its connection.
    pub moved: u64,
    /// Bytes read from it.
    pub received: u64,
    /// Read from it and not taken by the other side.
    pub pending: Pending,
    /// Its peer has ended its sending, and everything was read.
    pub ended: bool,
    /// We have ended our sending to it.
    pub shut: bool,
    /// Its bytes are moved inside the kernel.
    pub splice: bool,
    /// The kernel cannot splice from it.
    pub copy_only: bool,
}

/// Bytes between two sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pending {
    /// None.
    Empty,
    /// These; a file is a descriptor.
    Bytes(Bytes),
    /// In a pipe, whose reader and writer are descriptors.
    Pipe {
        /// How many.
        held: u32,
    },
}

/// A piece of a text: its first byte and the one behind its last.
pub type Piece = (u32, u32);

/// What a tunnel of mode http has besides: its client, and what its log line tells of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// Requests of the client so far.
    pub requests: u32,
    /// The status that the client got.
    pub status: u16,
    /// Bytes that the log wants; all pieces are of it.
    pub text: Bytes,
    /// The request line.
    pub line: Piece,
    /// The request's id.
    pub id: Piece,
    /// Captured fields of the request, in the frontend's order.
    pub request_fields: Vec<Option<Piece>>,
    /// Captured fields of the response.
    pub response_fields: Vec<Option<Piece>>,
    /// The captured cookie of the request.
    pub request_cookie: Option<Piece>,
    /// The captured cookie of the response.
    pub response_cookie: Option<Piece>,
    /// The two letters that tell of the persistence cookie.
    pub cookie_letters: [u8; 2],
    /// No log line.
    pub unlogged: bool,
    /// The client had ended its sending before the server agreed, and the server was told.
    pub half_closed: bool,
    /// When the request's first byte came.
    pub began: u64,
    /// As in its log line.
    pub handshake_ms: u64,
    /// As in its log line.
    pub idle_ms: u64,
    /// As in its log line.
    pub head_ms: i32,
    /// As in its log line.
    pub response_ms: i32,
}

#[cfg(test)]
mod tests;
