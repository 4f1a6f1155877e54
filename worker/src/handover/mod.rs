//! Living connections go from a worker that retires to its successor, and none of them notices.
//!
//! The model; what is done with it stands in the submodules, each an `impl Worker` for one concern:
//!
//! - `give`: what is offered, what is under way, what comes back;
//! - `take`: what comes in from those who retire, and what they are answered;
//! - `client`: a client of mode http, packed and unpacked;
//! - `tunnel`: a stream whose bytes flow;
//! - `exchange`: what a tunnel of mode http has besides;
//! - `headerless`: a client that owes a PROXY header;
//! - `excess`: more clients than the new configuration has places for;
//! - `pooled`: server connections that wait for their next request;
//! - `parcel`: the bytes and descriptors of one connection;
//! - `positions`: where names of the other's configuration stand in this one.
//!
//! The protocol is in `portolan_shared::message::handover`.
//!
//! ```text
//!            offered ── packed, put aside ── under way ── Taken ── copy closed, one less counted
//!               ▲                                │
//!               ├── after a second ── NoRoom ────┤
//!               ├── next link ── link closed ────┤
//!               └── next link ── stays, ends ── NoPlace
//! ```
//!
//! - *Put aside* means: out of the poller and the rounds, no timer, owner [`Owner::Moving`]. Nothing but
//!   an answer, the end of the link or that of the process touches it.
//! - A socket that is under way is shared: it is closed, never shut down, and no option of it is set.
//! - Who lets a connection go writes no log line and adds to no total: its life is not over.
//! - Links are few: one to the successor, older ones on which answers are due, one per predecessor.
//! - Who has lost the one to its successor says so to the master, which makes another.
//!
//! Limits: [`LINKS_MAX`] links from predecessors; [`CONNECTIONS_PER_CYCLE`] and [`MESSAGES_PER_CYCLE`], so that others are served meanwhile;
//! [`UNDER_WAY_MAX`] descriptors without an answer, fewer where the process may have few.

#[cfg(test)]
mod checks;
mod client;
mod excess;
mod exchange;
mod give;
mod headerless;
mod parcel;
mod pooled;
mod positions;
#[cfg(test)]
mod replay;
mod take;
mod tunnel;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use portolan_shared::channel::Channel;
use portolan_shared::memory::LANES_MAX;
use portolan_shared::message::handover::UNDER_WAY_MAX;
use slab::Slab;

#[cfg(test)]
pub(crate) use parcel::Enclosed;
pub(crate) use parcel::{Packer, Parcel, Unfit, Unpacker};
pub(crate) use pooled::is_private;
pub(crate) use positions::Positions;

use crate::clock::Millis;
use crate::descriptor::Token;
use crate::event_loop::Worker;
use crate::kept::Kept;
use crate::session::SessionKey;
use crate::stream::StreamKey;
use crate::termination::Cause;

/// Most connections that are packed in one cycle of the loop.
const CONNECTIONS_PER_CYCLE: usize = 256;
/// Most messages of one predecessor that are read in one cycle of the loop.
const MESSAGES_PER_CYCLE: usize = 4;
/// Most bytes of one message with connections, but for one that is longer by itself.
const BATCH_BYTES: usize = 48 * 1024;
/// How long nothing is offered after the successor had no room, milliseconds.
const NO_ROOM_MS: Millis = 1000;

/// Most links from predecessors: there are no more processes.
const LINKS_MAX: usize = LANES_MAX as usize;

/// A link's position in its table.
pub type LinkKey = u32;

/// Where a connection is between two workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handing {
    /// It is ours.
    #[default]
    Own,
    /// It is ours, and stands among the offers.
    Offered,
    /// Nobody reads from it: it was sent and not answered, or came and our answer is not sent.
    Moving,
    /// It is ours, and its next answer is its last: the new configuration has no place for it.
    Refused,
}

/// Something to be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// A client of mode http.
    Client(SessionKey),
    /// What is kept of a server, by its number: one connection after the other.
    Kept(u32),
    /// A tunnel, or a client that owes a PROXY header.
    Stream(StreamKey),
}

/// What was sent and has no answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// A client of mode http.
    Client(SessionKey),
    /// A server connection.
    Kept(Token),
    /// A tunnel, or a client that owes a PROXY header.
    Stream(StreamKey),
}

/// What came and was answered; it begins once the answer is in the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// A client of mode http.
    Client(SessionKey),
    /// A server connection, by its server's number.
    Kept(u32, Kept),
    /// A tunnel, or a client that owes a PROXY header.
    Stream(StreamKey),
}

/// To a successor.
#[derive(Debug)]
struct Giving {
    channel: Channel,
    token: Token,
    generation: u32,
    slot: u16,
    /// Connections sent so far.
    numbers: u32,
    under_way: BTreeMap<u32, (Gone, usize)>,
    /// Descriptors of all that is under way.
    descriptors: usize,
    taken: u32,
    refused: u32,
}

/// From a predecessor.
#[derive(Debug)]
struct Taking {
    channel: Channel,
    token: Token,
    generation: u32,
    slot: u16,
    /// Whether it speaks our protocol; `None`: it has not said so yet.
    understood: Option<bool>,
    /// What the answer concerns that waits in the outbox; nothing more is read meanwhile.
    arrived: Vec<Arrived>,
    taken: u32,
    refused: u32,
}

/// Everything about handing over.
#[derive(Debug, Default)]
pub struct Handover {
    giving: Slab<Giving>,
    /// The link over which connections are offered.
    newest: Option<LinkKey>,
    /// How many links this master has told of, one that did not come to be included.
    links: u32,
    offers: VecDeque<Offer>,
    /// Nothing is offered before this time.
    rests_until: Millis,
    taking: Slab<Taking>,
    positions: Option<Rc<Positions>>,
    /// Streams that came and whose old worker has not followed the last change of their servers.
    outdated: Vec<StreamKey>,
    /// Streams under way whose end was ordered meanwhile, for when they come back.
    condemned: Vec<(StreamKey, Cause)>,
    /// When it is seen whether more came than there are places for.
    excess_at: Option<Millis>,
    /// Connections that others have taken.
    pub given: u64,
    /// Connections taken from others.
    pub taken: u64,
    /// Connections for which others had no place.
    pub refused: u64,
}

impl Handover {
    /// Whether descriptors may come in at any time.
    pub fn expects(&self) -> bool {
        !self.taking.is_empty()
    }
}

impl Worker {
    /// Whether connections are handed over now.
    pub(crate) fn gives(&self) -> bool {
        self.followed && self.handover.newest.is_some()
    }

    /// Whether something can be offered now, beside so many descriptors that are not sent yet.
    fn can_offer(&self, ahead: usize) -> bool {
        let most = under_way_max(self.descriptor_limit, self.hello.slots);
        let ready = |link: &Giving| {
            let descriptors = link.descriptors + ahead + parcel::DESCRIPTORS_MAX;
            !link.channel.wants_write() && descriptors <= most
        };
        self.gives()
            && !self.handover.offers.is_empty()
            && self.handover.rests_until <= self.clock.now()
            && self.newest_link().is_some_and(ready)
    }

    /// Whether more can be offered now.
    #[inline]
    pub(crate) fn can_hand_over(&self) -> bool {
        self.followed && self.can_offer(0)
    }

    fn newest_link(&self) -> Option<&Giving> {
        self.handover.giving.get(self.handover.newest? as usize)
    }

    /// Whether the new configuration has no place for this client, so that its next answer is its last.
    pub(crate) fn is_refused(&self, key: SessionKey) -> bool {
        let session = self.sessions.get(key as usize);
        session.is_some_and(|session| session.handing == Handing::Refused)
    }

    /// Whether this worker sends its clients away, for nobody follows.
    pub(crate) fn is_last_of_all(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether nothing is left that a successor may still get.
    pub(crate) fn has_handed_over(&self) -> bool {
        let waits = self.handover.giving.iter().any(|(_, link)| link.channel.wants_write());
        !waits && (!self.gives() || self.handover.offers.is_empty())
    }
}

/// Most descriptors under way: those of all workers of one user together stay below what one of them
/// may have open, or the kernel would not send any more.
fn under_way_max(descriptor_limit: usize, slots: u16) -> usize {
    let share = descriptor_limit / (2 * usize::from(slots.max(1)));
    share.clamp(2 * parcel::DESCRIPTORS_MAX, UNDER_WAY_MAX)
}
