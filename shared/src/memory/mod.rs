//! What the processes share: gauges, totals, heartbeats, waiters, cursors, rates and the states of
//! servers, in memfds that the master creates.
//!
//! Shell: creates and maps memory, reads /proc. The rules are core: of admission in `admission`, of
//! rates in `rate`, of what a state is in `state`.
//!
//! ```text
//! head     | magic, sizes, live lanes, objects in use | 256 lane headers |
//! chunk n  | magic, number | 4096 x shared (waiting lanes, cursor, rates) | 256 lanes x 4096 cells |
//! states n | magic, number | 4096 x states (of the checker, of the master) |
//! ```
//!
//! - A *lane* belongs to one living process, not to a slot. Only its owner writes its cells; the
//!   master writes them only while nobody owns the lane.
//! - An *object* is what is counted and limited: the instance (0), a frontend, a bind, a backend, a
//!   server. The [`Registry`] gives each its number, for as long as its name and position live.
//! - A lane that is not live holds gauges of zero and no waiters. Its totals are never reset (its
//!   next owner adds on), unless the object is given to another name.
//! - Every memfd is sealed against shrinking, growing and further seals, and is never remapped; a full
//!   one is joined by another. There are only atomics in them, and every index is bounds-checked: a
//!   number outside panics, and none is ever taken from shared memory.
//! - *States* are written by the checker and the master only. A worker gets a descriptor that was
//!   opened for reading and maps them so: no bug in it can mark a server up or down.
//! - Pages nobody wrote cost nothing: a chunk is 192.5 MiB of addresses, not of memory.
//!
//! # Who rings whom
//!
//! Places are limited exactly, without a lock, and none stays free while somebody waits, as long as
//! callers keep four rules. "Ring" means to write to the doorbell of that lane; when it is the
//! caller's own lane, to serve its own pending queue (or ring itself).
//!
//! 1. *Newcomer*: when [`Memory::anyone_waits`] go to rule 2, else [`OwnLane::enter`]. `In`: go ahead.
//!    `Full`: ring whom it names, then rule 2, or another place.
//! 2. *Waiter*: put the stream into the own pending queue, [`OwnLane::publish`] the queue, then serve
//!    the queue (rule 4) before sleeping.
//! 3. *Releaser*: [`OwnLane::leave`], ring whom it names.
//! 4. *Serving a queue*, after publishing and whenever the own doorbell rang: for every place its
//!    streams could have, [`OwnLane::take`] until it says `Full`, ringing whom that names. After each
//!    `In`, the first stream of the queue leaves it and the queue is published again *before* the next
//!    `take`. A stream that leaves the queue for another reason (timeout, client gone) does the same:
//!    publish, then for each of its places `take` or, where nobody of the own lane is left,
//!    [`OwnLane::pass_on`].
//!
//! After the master released a dead lane it rings everybody, since the dead may have owed a ring.
//!
//! # What has looked at it
//!
//! - Every order of accesses of a few processes, deaths included, on the real code: admission in
//!   `tests/interleavings`, states with their version, observed errors and rates in `tests/words`. Both
//!   explore sequentially consistent executions; where less is asked of the machine (totals, places
//!   without a limit, states) nobody decides by two words at once, or the header says why it holds.
//! - Short sequences of operations beside a naive model (`tests/sequences`), packing and rates as
//!   properties (`tests/packing`).
//! - Real processes that are killed (`memory_stress` among the end-to-end tests).
//! - Not miri, which maps no files: the unsafe code is `map`, four operations. Not loom, whose memory
//!   is its own: it would see copies of the code.

mod admission;
mod head;
mod layout;
mod map;
mod objects;
mod observed;
mod own;
mod owner;
mod rate;
mod registry;
mod state;
mod states;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub use crate::check_result::CheckResult;
use crate::message::MemoryKind;

pub use admission::{Entry, Place, Waiter, Waiters};
pub use layout::{LANES_MAX, LAYOUT, OBJECTS_PER_CHUNK};
pub(crate) use layout::{PAGE, WORD};
pub(crate) use map::{Buffer, create_file};
pub use own::{OwnLane, Tally};
pub use owner::{Owner, process_start_time};
pub use rate::{RATE_MAX, Rate};
pub use registry::{Assigned, ObjectKey, Registry};
pub use state::{
    ADMIN_SET_MAX_MS, Admin, AdminState, AgentVerdict, AgentWeight, CHECK_DURATION_MAX_MS,
    MAXCONN_MAX, Operational, OperatorMaxconn, OperatorWeight, ServerState, Verdict,
};

use head::Head;
use objects::Chunk;
use states::States;

/// The number of a lane, below [`LANES_MAX`].
pub type Lane = u16;
/// The number of an object.
pub type Object = u32;

/// The object that stands for the whole instance (the global connection limit).
pub const INSTANCE: Object = 0;

/// What is summed up for each object, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Total {
    /// Connections accepted, or attempted towards a server.
    Connections,
    /// Sessions begun: accepted and let in, or given to a server.
    Sessions,
    /// Bytes from clients.
    BytesIn,
    /// Bytes to clients.
    BytesOut,
    /// Streams that balancing gave to this server or backend.
    Selected,
    /// Connections to a server that failed.
    ConnectErrors,
    /// Connections tried again, on the same server or another.
    Retries,
    /// Streams given to another server after a failure.
    Redispatches,
    /// Streams the client ended early.
    ClientAborts,
    /// Streams the server ended early.
    ServerAborts,
    /// Connections refused by a rule or a limit.
    Denied,
    /// Connections that broke a protocol's rules before they became a stream.
    BadRequests,
    /// Checks of a server that failed; in the checker's lane, as those that follow.
    CheckFailures,
    /// How often a server went down.
    DownTransitions,
    /// Milliseconds that a server was down, counted when it comes up.
    DownTime,
}

impl Total {
    /// All of them, in the order of their places.
    pub const ALL: [Self; layout::TOTALS] = [
        Self::Connections,
        Self::Sessions,
        Self::BytesIn,
        Self::BytesOut,
        Self::Selected,
        Self::ConnectErrors,
        Self::Retries,
        Self::Redispatches,
        Self::ClientAborts,
        Self::ServerAborts,
        Self::Denied,
        Self::BadRequests,
        Self::CheckFailures,
        Self::DownTransitions,
        Self::DownTime,
    ];
}

/// Why memory given by another process was not taken.
#[derive(Debug)]
pub enum MemoryError {
    /// The system refused.
    Io(io::Error),
    /// It could still be shrunk or grown under our feet.
    NotSealed,
    /// Its size is not that of this layout.
    Size {
        /// Bytes it must have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// It is something else.
    Magic,
    /// It was made by another version of the layout.
    Version {
        /// [`LAYOUT`] of its creator.
        found: u64,
    },
    /// It is a chunk of another head.
    Foreign,
    /// Chunks are attached in order, from 0.
    Number {
        /// The next one.
        expected: u32,
        /// The one given.
        found: u32,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "shared memory: {error}"),
            Self::NotSealed => f.write_str("shared memory is not sealed"),
            Self::Size { expected, found } => {
                write!(f, "shared memory of {found} bytes instead of {expected}")
            }
            Self::Magic => f.write_str("not shared memory of this program"),
            Self::Version { found } => {
                write!(f, "shared memory of layout {found}, this is {LAYOUT}")
            }
            Self::Foreign => f.write_str("a chunk of another instance's shared memory"),
            Self::Number { expected, found } => {
                write!(f, "chunk {found} of shared memory came before chunk {expected}")
            }
        }
    }
}

impl std::error::Error for MemoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for MemoryError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for MemoryError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// The shared memory of one instance, as mapped by one process.
#[derive(Debug)]
pub struct Memory {
    head: Head,
    chunks: Vec<Chunk>,
    states: Vec<States>,
}

impl Memory {
    /// Creates a head, without lanes or chunks (the master, once in an instance's life).
    pub fn create() -> io::Result<Self> {
        Ok(Self { head: Head::create()?, chunks: Vec::new(), states: Vec::new() })
    }

    /// Maps the head that another process created.
    pub fn attach(head: OwnedFd) -> Result<Self, MemoryError> {
        Ok(Self { head: Head::attach(head)?, chunks: Vec::new(), states: Vec::new() })
    }

    /// Adds a chunk with its states; answers its number (master).
    pub fn add_chunk(&mut self) -> io::Result<u32> {
        let number = self.chunks.len() as u32;
        let chunk = Chunk::create(self.head.identity(), number)?;
        self.states.push(States::create(self.head.identity(), number)?);
        self.chunks.push(chunk);
        Ok(number)
    }

    /// Maps a chunk that another process created; in order of their numbers, from 0.
    pub fn attach_chunk(&mut self, number: u32, chunk: OwnedFd) -> Result<(), MemoryError> {
        let expected = self.chunks.len() as u32;
        if number != expected {
            return Err(MemoryError::Number { expected, found: number });
        }
        self.chunks.push(Chunk::attach(self.head.identity(), number, chunk)?);
        Ok(())
    }

    /// Maps the states of a chunk that another process created, for reading only where the descriptor
    /// was opened so; in order of their numbers, from 0.
    pub fn attach_states(&mut self, number: u32, states: OwnedFd) -> Result<(), MemoryError> {
        let expected = self.states.len() as u32;
        if number != expected {
            return Err(MemoryError::Number { expected, found: number });
        }
        self.states.push(States::attach(self.head.identity(), number, states)?);
        Ok(())
    }

    /// Adds the chunks that this assignment needs and empties the objects it gave to new names; must
    /// come before the first worker that knows of them. Answers the numbers of new chunks (master).
    pub fn prepare(&mut self, assigned: &Assigned) -> io::Result<Range<u32>> {
        let first_new = self.chunks.len() as u32;
        while (self.chunks.len() as u32) < assigned.chunks {
            self.add_chunk()?;
        }
        self.head.raise_objects_used(assigned.objects);
        self.clear_objects(&assigned.reused);
        Ok(first_new..self.chunks.len() as u32)
    }

    /// What to pass on to another process, in the order in which it must attach them.
    pub fn descriptors(&self) -> impl Iterator<Item = (MemoryKind, BorrowedFd<'_>)> {
        let head = self.head.descriptor().map(|fd| (MemoryKind::Lanes, fd.as_fd()));
        let chunks = self.chunks.iter().zip(0..).filter_map(|(chunk, number)| {
            Some((MemoryKind::Objects(number), chunk.descriptor()?.as_fd()))
        });
        let states = self.states.iter().zip(0..).filter_map(|(states, number)| {
            Some((MemoryKind::States(number), states.descriptor()?.as_fd()))
        });
        head.into_iter().chain(chunks).chain(states)
    }

    /// Closes the descriptors; the mappings stay (a worker, which passes them to nobody).
    pub fn close_descriptors(&mut self) {
        self.head.close_descriptor();
        for chunk in &mut self.chunks {
            chunk.close_descriptor();
        }
        for states in &mut self.states {
            states.close_descriptor();
        }
    }

    /// Objects with a number below this have a place. Whoever is given objects checks them once
    /// against this: the operations panic on others.
    pub fn objects_max(&self) -> Object {
        self.chunks.len().min(self.states.len()) as Object * OBJECTS_PER_CHUNK
    }

    /// Which memory it is: numbers of objects are the same things in the same one only.
    pub fn identity(&self) -> u64 {
        self.head.identity()
    }

    /// Connections or streams in this object, over all living lanes.
    pub fn current(&self, object: Object) -> u32 {
        u32::try_from(admission::current(self, object)).unwrap_or(u32::MAX)
    }

    /// The same of several objects, which costs little more than of one.
    pub fn current_all<const N: usize>(&self, objects: [Object; N]) -> [u32; N] {
        admission::current_all(self, objects).map(|sum| u32::try_from(sum).unwrap_or(u32::MAX))
    }

    /// Streams waiting for this object, over all living lanes.
    pub fn waiting(&self, object: Object) -> u32 {
        u32::try_from(admission::waiting(self, object)).unwrap_or(u32::MAX)
    }

    /// Whether one more would be let in now, were nobody waiting.
    pub fn is_free(&self, place: &Place) -> bool {
        admission::is_free(self, place)
    }

    /// Whether some living lane waits for this place: a newcomer then queues up behind it.
    pub fn anyone_waits(&self, place: &Place) -> bool {
        admission::first_waiter(self, place).is_some()
    }

    /// Who is next for this place: the lowest (priority, since, lane) of living lanes.
    pub fn first_waiter(&self, place: &Place) -> Option<Waiter> {
        admission::first_waiter(self, place)
    }

    /// The round-robin cursor that all workers share: counts up by one.
    pub fn next_index(&self, object: Object) -> u64 {
        self.chunk(object).next_index(object)
    }

    /// Somebody is counted in another lane from now on, and will be no more in the one before.
    pub fn note_move(&self) {
        admission::Word::fetch_add(self.chunk(INSTANCE).moves(INSTANCE), 1);
    }

    /// A total over all lanes, those of dead owners too.
    pub fn total(&self, object: Object, total: Total) -> u64 {
        let chunk = self.chunk(object);
        (0..self.head.lanes_used())
            .map(|lane| chunk.total(lane, object, total))
            .fold(0, u64::wrapping_add)
    }

    /// Empties objects that no living process knows, before they are given to other names.
    fn clear_objects(&self, objects: &[Object]) {
        for object in objects.iter().copied() {
            self.states[(object / OBJECTS_PER_CHUNK) as usize].clear(object);
            self.chunk(object).clear_shared(object);
        }
        let objects: BTreeSet<Object> = objects.iter().copied().collect();
        for lane in 0..self.head.lanes_used() {
            for written in self.written(lane) {
                for object in objects.range(written).copied() {
                    self.chunk(object).clear_totals(lane, object);
                }
            }
        }
    }

    /// The objects whose cells in a lane may hold anything, in their order. Those of the others do not
    /// exist, and would, a page for every 21, once somebody looked at them.
    fn written(&self, lane: Lane) -> impl Iterator<Item = Range<Object>> + '_ {
        self.chunks.iter().zip(0..).flat_map(move |(chunk, number)| {
            let first: Object = number * OBJECTS_PER_CHUNK;
            let of_chunk = chunk.written(lane).into_iter();
            of_chunk.map(move |part| first + part.start..first + part.end)
        })
    }

    #[inline]
    fn chunk(&self, object: Object) -> &Chunk {
        &self.chunks[(object / OBJECTS_PER_CHUNK) as usize]
    }
}
