//! A session: the life of one client connection, which gives birth to streams.
//!
//! The model; what is done with it stands in the submodules:
//!
//! - `begin`: a connection was accepted; its PROXY header, then its mode;
//! - `client`: mode http: reading requests, one after the other, and the end of the connection;
//! - `output`: answers given here on their way to the client, and the lingering close;
//! - `timers`: what a session waits for, and for how long.
//!
//! In mode tcp a client connection has exactly one stream for all its life, which therefore holds it
//! itself, and there is no [`Session`]. In mode http a session reads heads (see `http1`) and each
//! complete one becomes a stream (see `exchange`), which borrows the connection until its response is
//! over. With one stream at a time the stream uses the session's task for its timers.
//!
//! ```text
//!          ┌──────────────── response over, kept ───────────────┐
//!  Head ── head complete ── Busy ── answer given here ── Answering ── closed
//!   └─ timeout, bad head ────┘ └──── response over, not kept ──┴── Lingering ── closed
//! ```
//!
//! Limits: see the assertion on the size; an idle session holds no buffer. A head in progress is kept
//! in memory of its own, as long as it is, at most `tune.buffer_size`.

mod begin;
mod client;
mod output;
mod timers;

pub use client::Taken;

use std::rc::Rc;

use portolan_shared::model::{BackendId, FrontendId, ServerId};

use crate::clock::Millis;
use crate::descriptor::Token;
use crate::handover::Handing;
use crate::http1::Scan;
use crate::kept::Kept;
use crate::protocol::Address;
use crate::stream::{NONE, StreamKey, Told};
use crate::task::{NEVER, TaskId};

/// A session's position in the worker's table.
pub type SessionKey = u32;

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The head of a request is awaited, or the rest of it.
    Head,
    /// This stream has the connection.
    Busy(StreamKey),
    /// The rest of an answer is on its way to the client.
    Answering,
    /// Our sending has ended; what still comes is thrown away, so that no reset destroys what the
    /// client has not read yet (RFC 9112 section 9.6).
    Lingering,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next request.
    Next,
    /// The end of the connection, whose client has said everything it wanted.
    Close,
    /// The end of a connection whose client may still be sending.
    Linger,
}

/// One client connection in mode http.
#[derive(Debug)]
pub struct Session {
    /// Its connection.
    pub token: Token,
    /// Its timeouts, and those of its stream.
    pub task: TaskId,
    /// Where it came in.
    pub frontend: FrontendId,
    /// Through which listener.
    pub listener: u32,
    /// Who the client is.
    pub client: Address,
    /// Where the client connected to, when a PROXY header told it.
    pub told: Option<Rc<Told>>,
    /// Where it is.
    pub stage: Stage,
    /// What follows the answer that is on its way.
    pub then: Then,
    /// Bytes that were read and belong to the next request.
    pub input: Vec<u8>,
    /// They were looked at and are not a whole head yet.
    pub seen: bool,
    /// How far the end of the head was looked for.
    pub scan: Scan,
    /// The rest of an answer.
    pub output: Vec<u8>,
    /// When it was accepted.
    pub accepted: Millis,
    /// Since when it waits for a request.
    pub idle_since: Millis,
    /// When the first byte of the request came; [`NEVER`] before.
    pub began: Millis,
    /// When its present wait ends.
    pub wait_ends: Millis,
    /// Requests so far.
    pub requests: u32,
    /// The server of its last request, or [`NONE`].
    pub last: (BackendId, ServerId),
    /// A server connection that is kept for this client alone, and whose.
    pub private: Option<(BackendId, ServerId, Kept)>,
    /// Where it is between two workers.
    pub handing: Handing,
}

const _: () = assert!(size_of::<Session>() <= 280, "an idle client pays for one of these");

impl Session {
    /// A session that waits for its first request.
    pub fn new(
        token: Token,
        task: TaskId,
        (frontend, listener): (FrontendId, u32),
        (client, told): (Address, Option<Rc<Told>>),
        accepted: Millis,
    ) -> Self {
        Self {
            token,
            task,
            frontend,
            listener,
            client,
            told,
            stage: Stage::Head,
            then: Then::Next,
            input: Vec::new(),
            seen: false,
            scan: Scan::default(),
            output: Vec::new(),
            accepted,
            idle_since: accepted,
            began: NEVER,
            wait_ends: NEVER,
            requests: 0,
            last: (NONE, NONE),
            private: None,
            handing: Handing::Own,
        }
    }
}
