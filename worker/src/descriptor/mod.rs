//! The table of descriptors: who owns each, what is wanted of it, what the poller reported.
//!
//! Core, but for holding the descriptors themselves (closing is dropping).
//!
//! - A token names an entry and its version, so that an event for a closed descriptor never reaches
//!   its successor.
//! - `want` and `stop` are decisions of the owner, `may` and `cant` facts from the kernel; the poller
//!   is told of the difference once per cycle ([`Descriptors::take_changed`]).
//! - What is wanted and ready at once needs no poller: it stands in the rounds
//!   ([`Descriptors::take_rounds`]), each descriptor once, in order.
//! - An edge-triggered descriptor is told to the poller once in its life.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use slab::Slab;

/// Wanting, or being ready, to read.
pub const READ: u8 = 1;
/// Wanting, or being ready, to write.
pub const WRITE: u8 = 2;

/// An entry of the table and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    /// No entry has this token.
    pub const NONE: Self = Self(u64::MAX);

    /// As given to a poller.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// As reported by a poller.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    fn new(index: usize, version: u32) -> Self {
        Self(u64::from(version) << 32 | index as u64)
    }

    fn index(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    fn version(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Those to whom a kind of process's descriptors can belong.
pub trait Belongs: Copy + std::fmt::Debug {
    /// Whether it is one side of a connection, which may fail while nothing is wanted of it.
    fn is_connection(self) -> bool;
}

/// Whose readiness this is in a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The signal queue.
    Signals,
    /// The channel to the master.
    Channel,
    /// Another worker rings here.
    Doorbell,
    /// A listener, by its key.
    Listener(u32),
    /// The client's side of a stream, by its key.
    Front(u32),
    /// The server's side of a stream, by its key.
    Back(u32),
    /// A client connection of mode http, by its session's key.
    Client(u32),
    /// A kept connection to a server, by the server's number.
    Kept(u32),
    /// A server connection kept for one client, by its session's key.
    Private(u32),
    /// A connection that is on its way between two workers: nobody touches it.
    Moving,
    /// The channel to a successor, by the link's key.
    Successor(u32),
    /// The channel from a predecessor, by the link's key.
    Predecessor(u32),
}

impl Belongs for Owner {
    fn is_connection(self) -> bool {
        matches!(
            self,
            Self::Front(_) | Self::Back(_) | Self::Client(_) | Self::Kept(_) | Self::Private(_)
        )
    }
}

/// How the poller reports a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// As long as it is ready.
    Level,
    /// When it becomes ready, where the poller can; the owner goes on until the kernel says no.
    Edge,
}

/// One entry.
#[derive(Debug)]
pub struct Descriptor<O = Owner> {
    fd: OwnedFd,
    version: u32,
    /// Who handles its readiness.
    pub owner: O,
    /// What the owner wants.
    want: u8,
    /// What the kernel is believed to allow.
    ready: u8,
    /// What the poller was told.
    polled: u8,
    edge: bool,
    changed: bool,
    in_rounds: bool,
    /// Another process may read from it: it is not watched.
    aside: bool,
    /// The end of the peer's sending, a hang-up or an error was reported: reads go on to the end.
    pub hung: bool,
}

impl<O: Belongs> Descriptor<O> {
    /// What the poller should watch for.
    fn watched(&self) -> u8 {
        match (self.aside, self.edge) {
            (true, _) => 0,
            (false, true) => READ | WRITE,
            (false, false) => self.want & !self.ready,
        }
    }

    /// Whether it is one side of a stream.
    pub fn is_connection(&self) -> bool {
        self.owner.is_connection()
    }

    /// Whether it is told to the poller once in its life.
    pub fn edge(&self) -> bool {
        self.edge
    }

    /// Whether the kernel is believed to allow one of these directions.
    pub fn ready(&self, bits: u8) -> bool {
        self.ready & bits != 0
    }

    /// What the poller was told last.
    pub fn polled(&self) -> u8 {
        self.polled
    }

    /// What the owner wants and the kernel is believed to allow, for `show fd`.
    pub fn state(&self) -> (u8, u8) {
        (self.want, self.ready)
    }
}

impl<O> AsFd for Descriptor<O> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A difference that the poller must be told.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Which descriptor.
    pub token: Token,
    /// What the poller knows.
    pub old: u8,
    /// What it is to know.
    pub new: u8,
}

/// The table.
#[derive(Debug)]
pub struct Descriptors<O = Owner> {
    entries: Slab<Descriptor<O>>,
    next_version: u32,
    /// Whether the poller reports edges; level-triggered pollers treat every descriptor as level.
    edges: bool,
    changed: Vec<Token>,
    rounds: VecDeque<Token>,
}

impl<O: Belongs> Descriptors<O> {
    /// An empty table with room for `expected`; untouched room costs nothing.
    pub fn new(expected: usize, edges: bool) -> Self {
        Self {
            entries: Slab::with_capacity(expected),
            next_version: 0,
            edges,
            changed: Vec::new(),
            rounds: VecDeque::new(),
        }
    }

    /// Takes a descriptor in; nothing is wanted of it yet.
    pub fn insert(&mut self, fd: OwnedFd, owner: O, trigger: Trigger) -> Token {
        self.next_version = (self.next_version + 1) % (u32::MAX - 1);
        let version = self.next_version;
        let index = self.entries.insert(Descriptor {
            fd,
            version,
            owner,
            want: 0,
            ready: 0,
            polled: 0,
            edge: self.edges && trigger == Trigger::Edge,
            changed: false,
            in_rounds: false,
            aside: false,
            hung: false,
        });
        Token::new(index, version)
    }

    /// Takes a descriptor out; dropping it closes it. What is open in another process too has to
    /// leave the poller before.
    pub fn remove(&mut self, token: Token) -> Option<Descriptor<O>> {
        self.get(token)?;
        self.entries.try_remove(token.index())
    }

    /// The entry, unless it was closed.
    pub fn get(&self, token: Token) -> Option<&Descriptor<O>> {
        self.entries.get(token.index()).filter(|entry| entry.version == token.version())
    }

    /// The entry, unless it was closed.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut Descriptor<O>> {
        self.entries.get_mut(token.index()).filter(|entry| entry.version == token.version())
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries with their tokens.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &Descriptor<O>)> {
        self.entries.iter().map(|(index, entry)| (Token::new(index, entry.version), entry))
    }

    /// The owner wants these directions.
    pub fn want(&mut self, token: Token, bits: u8) {
        let Some(entry) = self.get_mut(token) else { return };
        entry.want |= bits;
        let round = entry.ready & entry.want != 0 && !entry.in_rounds;
        entry.in_rounds |= round;
        let change = entry.watched() != entry.polled && !entry.changed;
        entry.changed |= change;
        if round {
            self.rounds.push_back(token);
        }
        if change {
            self.changed.push(token);
        }
    }

    /// The owner does not want these directions for now.
    pub fn stop(&mut self, token: Token, bits: u8) {
        let Some(entry) = self.get_mut(token) else { return };
        entry.want &= !bits;
        self.note_change(token);
    }

    /// The kernel allows these directions.
    pub fn may(&mut self, token: Token, bits: u8) {
        let Some(entry) = self.get_mut(token) else { return };
        entry.ready |= bits;
        if !entry.edge {
            self.note_change(token);
        }
    }

    /// The kernel allows these directions no longer.
    pub fn cant(&mut self, token: Token, bits: u8) {
        let Some(entry) = self.get_mut(token) else { return };
        entry.ready &= !bits;
        if !entry.edge {
            self.note_change(token);
        }
    }

    /// Puts a descriptor into the rounds: its budget is spent, it is still ready, and no further edge
    /// will come.
    pub fn again(&mut self, token: Token) {
        let Some(entry) = self.get_mut(token) else { return };
        if !entry.in_rounds {
            entry.in_rounds = true;
            self.rounds.push_back(token);
        }
    }

    /// Nobody watches a descriptor any more, or yet. One that is in the poller has to leave that before.
    pub fn put_aside(&mut self, token: Token, owner: O) {
        let Some(entry) = self.get_mut(token) else { return };
        (entry.aside, entry.owner) = (true, owner);
        (entry.want, entry.ready, entry.polled) = (0, 0, 0);
    }

    /// A descriptor that was put aside belongs to somebody again; what it is ready for the poller will
    /// tell anew.
    pub fn bring_back(&mut self, token: Token, owner: O) {
        let Some(entry) = self.get_mut(token) else { return };
        (entry.aside, entry.owner) = (false, owner);
        (entry.want, entry.ready) = (0, 0);
        self.note_change(token);
    }

    /// Whether something is ready without the poller.
    pub fn has_rounds(&self) -> bool {
        !self.rounds.is_empty()
    }

    /// How many descriptors this cycle's round has.
    pub fn rounds_len(&self) -> usize {
        self.rounds.len()
    }

    /// The next of the rounds, with what is wanted and ready.
    pub fn next_in_rounds(&mut self) -> Option<(Token, O, u8)> {
        while let Some(token) = self.rounds.pop_front() {
            if let Some(entry) = self.get_mut(token) {
                entry.in_rounds = false;
                return Some((token, entry.owner, entry.want & entry.ready));
            }
        }
        None
    }

    /// The next difference for the poller.
    pub fn next_change(&mut self) -> Option<Change> {
        while let Some(token) = self.changed.pop() {
            let Some(entry) = self.get_mut(token) else { continue };
            entry.changed = false;
            let (old, new) = (entry.polled, entry.watched());
            if old != new {
                entry.polled = new;
                return Some(Change { token, old, new });
            }
        }
        None
    }

    /// Forgets what the poller was told: it was opened anew.
    pub fn poll_anew(&mut self) {
        self.changed.clear();
        for (index, entry) in &mut self.entries {
            entry.polled = 0;
            entry.changed = entry.watched() != 0;
            if entry.changed {
                self.changed.push(Token::new(index, entry.version));
            }
        }
    }

    fn note_change(&mut self, token: Token) {
        let Some(entry) = self.get_mut(token) else { return };
        if entry.watched() != entry.polled && !entry.changed {
            entry.changed = true;
            self.changed.push(token);
        }
    }
}

#[cfg(test)]
mod tests;
