//! A stream: one client connection, the server it was given, and the bytes between them.
//!
//! The model; what is done with it stands in the submodules, each an `impl Worker` for one concern:
//!
//! - `drive`: the back side's state machine (see `back`) and what its actions mean here;
//! - `key`: the key by which a server is found;
//! - `pick`: choosing a server;
//! - `queue`: the pending queues, whom to ring;
//! - `connect`: the connection to the server and what is sent before the data;
//! - `observe`: what traffic tells of servers, streams of servers that are ended;
//! - `header`: the PROXY header that a client's side may begin with;
//! - `relay`: moving bytes, and the end of each direction;
//! - `timers`: what each state waits for, and for how long;
//! - `finish`: giving everything back, the access log.
//!
//! Limits: see the assertion on the size below; an idle stream holds no buffer and no pipe.

mod connect;
mod drive;
mod endpoint;
mod finish;
mod header;
mod key;
mod observe;
mod pick;
mod queue;
mod record;
mod relay;
mod source;
mod timers;

pub(crate) use drive::splice_of;
pub use endpoint::{Endpoint, Pending, Side};
pub use finish::peer;
pub(crate) use observe::speaks_well;
pub(crate) use pick::may_return;
pub use queue::PendingQueue;
pub use record::{Ends, cookie_letters};
pub(crate) use relay::{COPY_BUDGET, Halt};
pub use source::{SourcePorts, share};

use std::net::SocketAddr;
use std::rc::Rc;

use portolan_shared::model::{BackendId, FrontendId, Priority, ServerId};

use crate::back::Back;
use crate::clock::Millis;
use crate::descriptor::Token;
use crate::exchange::Exchange;
use crate::handover::Handing;
use crate::protocol::Address;
use crate::session::SessionKey;
use crate::task::{NEVER, TaskId};

/// No backend or server.
pub const NONE: u32 = u32::MAX;

/// A stream's position in the worker's table.
pub type StreamKey = u32;

/// One client connection and what belongs to it.
#[derive(Debug)]
pub struct Stream {
    /// The client's side.
    pub front: Endpoint,
    /// The server's side.
    pub back: Endpoint,
    /// The back side's state.
    pub machine: Back,
    /// Where it came in.
    pub frontend: FrontendId,
    /// Through which listener.
    pub listener: u32,
    /// Who serves it, or [`NONE`].
    pub backend: BackendId,
    /// By which server, or [`NONE`]; the last one while another is looked for.
    pub server: ServerId,
    /// Its timeouts.
    pub task: TaskId,
    /// It waits for a PROXY header (or the rest of one) before anything else.
    pub header: Option<Box<HeaderWait>>,
    /// Its place in a pending queue.
    pub queued: Option<Box<queue::Queued>>,
    /// The server that alone may serve it (a cookie or a hash leads there), or [`NONE`].
    pub belongs: ServerId,
    /// Where it stands among those that wait.
    pub priority: Priority,
    /// The hash of its key, where its backend balances by one.
    pub hash: Option<u32>,
    /// Who the client is, as told by itself or by a PROXY header.
    pub client: Address,
    /// Where the client connected to, when a PROXY header told it.
    pub told: Option<Rc<Told>>,
    /// When its present wait (queue, connect, turn-around) ends.
    pub wait_ends: Millis,
    /// When it was accepted.
    pub accepted: Millis,
    /// When it asked for a server.
    pub asked: Millis,
    /// Milliseconds in queues, −1 before the first.
    pub queue_ms: i32,
    /// Milliseconds from the end of the queue until the connection stood, retries included; −1 before.
    pub connect_ms: i32,
    /// How many waited before it in the backend's queue.
    pub queue_position: u32,
    /// The same in its server's queue.
    pub server_queue_position: u32,
    /// Its line was written when the connection stood (`logasap`).
    pub logged: bool,
    /// A place was taken in its server's limit.
    pub holds_server: bool,
    /// A place was taken in its backend's gauge.
    pub holds_backend: bool,
    /// Where the connection to its server comes from, where the log tells it.
    pub source: Option<Box<SocketAddr>>,
    /// The client connection it belongs to, or [`NONE`]: then it has that for itself alone (mode tcp).
    pub session: SessionKey,
    /// The request and its response, in mode http.
    pub http: Option<Box<Exchange>>,
    /// Where it is between two workers.
    pub handing: Handing,
}

const _: () = assert!(size_of::<Stream>() <= 400, "an idle connection pays for one of these");

/// What a PROXY header told.
#[derive(Debug)]
pub struct Told {
    /// Where the client connected to.
    pub destination: Option<SocketAddr>,
}

/// A PROXY header that is on its way.
#[derive(Debug, Default)]
pub struct HeaderWait {
    /// What has come of it.
    pub bytes: Vec<u8>,
}

/// Where a stream comes from.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The frontend.
    pub frontend: FrontendId,
    /// The listener.
    pub listener: u32,
    /// The client.
    pub client: Address,
    /// When the client's connection was accepted.
    pub accepted: Millis,
}

impl Stream {
    /// A stream that has asked for nothing yet.
    pub fn new(front: Endpoint, from: Arrival, task: TaskId, now: Millis) -> Self {
        Self {
            front,
            back: Endpoint::new(Token::NONE, now),
            machine: Back::default(),
            frontend: from.frontend,
            listener: from.listener,
            backend: NONE,
            server: NONE,
            task,
            header: None,
            queued: None,
            belongs: NONE,
            priority: Priority::default(),
            hash: None,
            client: from.client,
            told: None,
            wait_ends: NEVER,
            accepted: from.accepted,
            asked: now,
            queue_ms: -1,
            connect_ms: -1,
            queue_position: 0,
            server_queue_position: 0,
            logged: false,
            holds_server: false,
            holds_backend: false,
            source: None,
            session: NONE,
            http: None,
            handing: Handing::Own,
        }
    }

    /// The side bytes come from and the side they go to.
    pub(crate) fn direction(&mut self, from: Side) -> (&mut Endpoint, &mut Endpoint) {
        match from {
            Side::Front => (&mut self.front, &mut self.back),
            Side::Back => (&mut self.back, &mut self.front),
        }
    }
}
