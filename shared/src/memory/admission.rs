//! Exact limits over all lanes without a lock.
//!
//! Core: only words of shared memory, reached through [`Board`], so that a model checker can stand in
//! for the memory. Every access here is sequentially consistent, except for places without a limit.
//!
//! *Never one too many.* Who enters adds one to its own gauge, then sums all live lanes. Of those
//! inside at one moment, the last to add saw the gauges of all others, so they were at most the cap.
//! One who goes from lane to lane (a connection that is handed over) is added to the new gauge, then
//! noted in [`Board::moves`], then taken from the old one: whoever sums meanwhile and may have missed it
//! in both sees that the count of moves has changed, and sums again.
//!
//! *Never a free place while one waits.* Look at the last subtraction from a place's gauges after
//! which it is free. Who did it looks for waiters afterwards: it sees everybody who published before,
//! and rings the first of them, or is the first itself and tries again. Whoever published later tried
//! after publishing, saw the place free, and either entered or found somebody before it and rang
//! that one. Whoever then leaves a queue looks for the next (`take`, `pass_on`). Thus the first
//! waiter always has an attempt ahead, and as no subtraction follows, the attempt succeeds.
//!
//! *A death* at any point leaves one of: a gauge too high, a publication of the dead, a ring owed.
//! Releasing the lane repairs the first two, ringing everybody the third.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::layout::{LANE_WORDS, cell};
use super::{INSTANCE, Lane, Memory, Object};

/// Bits of `since` in a key.
const SINCE_BITS: u32 = 48;
const SINCE_MAX: u64 = (1 << SINCE_BITS) - 1;
/// So many sums in a row may be disturbed by others who go from lane to lane.
const SUMS_MAX: usize = 8;

/// Something with a limit, and who may be waiting for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What is counted. Waiters published on this object wait for this place.
    pub object: Object,
    /// Most at once over all lanes; `None`: no limit.
    pub cap: Option<u32>,
    /// Another object whose waiters take this place too, or any like it: of a server, its backend.
    pub shared_queue: Option<Object>,
}

impl Place {
    /// A place with a queue of its own only.
    pub fn new(object: Object, cap: Option<u32>) -> Self {
        Self { object, cap, shared_queue: None }
    }

    /// One of several places that the waiters of `queue` may take.
    pub fn of(object: Object, cap: Option<u32>, queue: Object) -> Self {
        Self { object, cap, shared_queue: Some(queue) }
    }
}

/// What came of trying to enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a place was taken, or somebody may have to be rung"]
pub enum Entry {
    /// One more is counted; to be undone by `leave`.
    In,
    /// Nothing is counted.
    Full {
        /// Whose doorbell to ring: we stood in the way of this one. May be the own lane: then to be
        /// tried again soon.
        ring: Option<Lane>,
    },
}

/// A lane's pending queue for one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiters {
    /// How many streams, at least 1.
    pub count: u32,
    /// Priority of the first of them, lower first; above 65,535 all are equal.
    pub priority: u32,
    /// When the first of them came: microseconds of `CLOCK_MONOTONIC`, which all processes share.
    pub since: u64,
}

/// The first stream of a lane's pending queue; ordered by who comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiter {
    /// Lower comes first.
    pub priority: u32,
    /// Earlier comes first.
    pub since: u64,
    /// Among equals, the lower lane comes first.
    pub lane: Lane,
}

/// One word that several processes read and write.
pub trait Word {
    fn load(&self) -> u64;
    fn store(&self, value: u64);
    fn fetch_add(&self, value: u64);
    fn fetch_sub(&self, value: u64);
    fn fetch_or(&self, value: u64);
    fn fetch_and(&self, value: u64);
    /// Stores a value where another still stands; whether it did.
    fn exchange(&self, before: u64, after: u64) -> bool;
    /// Adds one where the caller is the only writer and nobody decides by the sum.
    fn bump(&self);
}

/// The words that admission needs.
pub trait Board {
    type Word: Word;
    /// Live lanes: bit n of word w is lane 64 w + n.
    fn live(&self, word: usize) -> &Self::Word;
    /// Lanes with waiters published on an object, as `live`.
    fn waiters(&self, object: Object, word: usize) -> &Self::Word;
    fn gauge(&self, lane: Lane, object: Object) -> &Self::Word;
    fn waiting(&self, lane: Lane, object: Object) -> &Self::Word;
    /// Key of a lane's first waiter, 0: none.
    fn key(&self, lane: Lane, object: Object) -> &Self::Word;
    /// How many have gone from lane to lane.
    fn moves(&self) -> u64;
    /// All words of `live`.
    fn live_words(&self) -> [u64; LANE_WORDS] {
        std::array::from_fn(|word| self.live(word).load())
    }
    /// All words of `waiters` for an object.
    fn waiter_words(&self, object: Object) -> [u64; LANE_WORDS] {
        std::array::from_fn(|word| self.waiters(object, word).load())
    }
    /// So many times one who collided with others tries at once, before it comes back to it later.
    fn tries(&self) -> usize {
        2
    }
}

/// Adds one to the own gauge unless the place is full.
pub fn enter<B: Board>(board: &B, lane: Lane, place: &Place) -> Entry {
    let gauge = board.gauge(lane, place.object);
    let Some(cap) = place.cap else {
        gauge.bump();
        return Entry::In;
    };
    for _ in 0..board.tries() {
        gauge.fetch_add(1);
        if fits(board, place.object, cap.into()) {
            return Entry::In;
        }
        gauge.fetch_sub(1);
        // From here on we are a releaser: our attempt may have turned another's away.
        if !is_free(board, place) {
            return Entry::Full { ring: None };
        }
        match first_waiter(board, place) {
            Some(first) if first.lane != lane => return Entry::Full { ring: Some(first.lane) },
            _ => {}
        }
    }
    Entry::Full { ring: first_waiter(board, place).map(|first| first.lane) }
}

/// Whether all inside, attempts included, are within a cap.
fn fits<B: Board>(board: &B, object: Object, cap: u64) -> bool {
    for _ in 0..SUMS_MAX {
        let moves = board.moves();
        if current(board, object) > cap {
            return false;
        }
        if board.moves() == moves {
            return true;
        }
    }
    // So many are moving that it is better to come back later.
    false
}

/// As [`enter`], for a lane that has published waiters: only when it is their turn.
pub fn take<B: Board>(board: &B, lane: Lane, place: &Place) -> Entry {
    match first_waiter(board, place) {
        Some(first) if first.lane == lane => enter(board, lane, place),
        Some(first) => Entry::Full { ring: is_free(board, place).then_some(first.lane) },
        None => Entry::Full { ring: None },
    }
}

/// Takes one from the own gauge; answers whose turn it is now.
pub fn leave<B: Board>(board: &B, lane: Lane, place: &Place) -> Option<Lane> {
    let gauge = board.gauge(lane, place.object);
    let inside = gauge.load();
    debug_assert_ne!(inside, 0, "left object {} without having entered", place.object);
    if inside > 0 {
        gauge.fetch_sub(1);
    }
    first_waiter(board, place).map(|first| first.lane)
}

/// Whose turn it is, if the place is free.
pub fn pass_on<B: Board>(board: &B, place: &Place) -> Option<Lane> {
    let first = first_waiter(board, place)?;
    is_free(board, place).then_some(first.lane)
}

/// Tells all lanes how the own pending queue for an object stands.
///
/// The bit is set after the key and taken back before it, so that a set bit always has a key.
pub fn publish<B: Board>(board: &B, lane: Lane, queue: Object, waiters: Option<Waiters>) {
    let (word, bit) = (usize::from(lane / 64), 1 << (lane % 64));
    let bitmap = board.waiters(queue, word);
    if let Some(waiters) = waiters {
        board.waiting(lane, queue).store(waiters.count.into());
        board.key(lane, queue).store(pack(waiters.priority, waiters.since));
        if bitmap.load() & bit == 0 {
            bitmap.fetch_or(bit);
        }
    } else if board.key(lane, queue).load() != 0 {
        bitmap.fetch_and(!bit);
        board.key(lane, queue).store(0);
        board.waiting(lane, queue).store(0);
    }
}

/// Takes the gauge and the waiters of a dead owner away; by the master. What is nothing already is
/// not written, so that pages nobody used stay untouched.
pub fn release<B: Board>(board: &B, lane: Lane, object: Object) {
    if board.key(lane, object).load() != 0 {
        board.waiters(object, usize::from(lane / 64)).fetch_and(!(1 << (lane % 64)));
        board.key(lane, object).store(0);
    }
    for word in [board.waiting(lane, object), board.gauge(lane, object)] {
        if word.load() != 0 {
            word.store(0);
        }
    }
}

/// All inside, attempts included.
pub fn current<B: Board>(board: &B, object: Object) -> u64 {
    sum(board, |lane| board.gauge(lane, object))
}

/// The same of several objects.
#[inline]
pub fn current_all<B: Board, const N: usize>(board: &B, objects: [Object; N]) -> [u64; N] {
    let mut sums = [0_u64; N];
    for (word, live) in board.live_words().into_iter().enumerate() {
        for lane in lanes(word, live) {
            for (sum, object) in sums.iter_mut().zip(objects) {
                *sum = sum.saturating_add(board.gauge(lane, object).load());
            }
        }
    }
    sums
}

/// All that wait.
pub fn waiting<B: Board>(board: &B, object: Object) -> u64 {
    sum(board, |lane| board.waiting(lane, object))
}

/// Whether one more would fit.
pub fn is_free<B: Board>(board: &B, place: &Place) -> bool {
    place.cap.is_none_or(|cap| current(board, place.object) < cap.into())
}

/// The first of all who wait for a place.
pub fn first_waiter<B: Board>(board: &B, place: &Place) -> Option<Waiter> {
    let own = first_in(board, place.object);
    let Some(queue) = place.shared_queue else { return own };
    own.into_iter().chain(first_in(board, queue)).min()
}

#[inline]
fn first_in<B: Board>(board: &B, queue: Object) -> Option<Waiter> {
    let waiting = board.waiter_words(queue);
    // As it is nearly always.
    if waiting.iter().fold(0, |all, word| all | word) == 0 {
        return None;
    }
    first_of(board, queue, waiting)
}

#[cold]
fn first_of<B: Board>(board: &B, queue: Object, waiting: [u64; LANE_WORDS]) -> Option<Waiter> {
    let mut first = None;
    for (word, (waiting, live)) in waiting.into_iter().zip(board.live_words()).enumerate() {
        for lane in lanes(word, waiting & live) {
            let key = board.key(lane, queue).load();
            if key != 0 {
                let waiter = unpack(key, lane);
                first = Some(first.map_or(waiter, |first: Waiter| first.min(waiter)));
            }
        }
    }
    first
}

fn sum<'a, B: Board>(board: &'a B, word_of: impl Fn(Lane) -> &'a B::Word) -> u64
where
    B::Word: 'a,
{
    let mut sum: u64 = 0;
    for (word, live) in board.live_words().into_iter().enumerate() {
        for lane in lanes(word, live) {
            sum = sum.saturating_add(word_of(lane).load());
        }
    }
    sum
}

/// The lanes of the set bits of a bitmap's word.
fn lanes(word: usize, mut bits: u64) -> impl Iterator<Item = Lane> {
    std::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let lane = word as Lane * 64 + bits.trailing_zeros() as Lane;
        bits &= bits - 1;
        Some(lane)
    })
}

/// A key that is ordered as (priority, since) are, and never 0.
fn pack(priority: u32, since: u64) -> u64 {
    let priority = u64::from(priority.min(u16::MAX.into()));
    (priority << SINCE_BITS | since.min(SINCE_MAX - 1)) + 1
}

fn unpack(key: u64, lane: Lane) -> Waiter {
    let key = key - 1;
    Waiter { priority: (key >> SINCE_BITS) as u32, since: key & SINCE_MAX, lane }
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        self.load(SeqCst)
    }
    #[inline]
    fn store(&self, value: u64) {
        self.store(value, SeqCst);
    }
    #[inline]
    fn fetch_add(&self, value: u64) {
        self.fetch_add(value, SeqCst);
    }
    #[inline]
    fn fetch_sub(&self, value: u64) {
        self.fetch_sub(value, SeqCst);
    }
    #[inline]
    fn fetch_or(&self, value: u64) {
        self.fetch_or(value, SeqCst);
    }
    #[inline]
    fn fetch_and(&self, value: u64) {
        self.fetch_and(value, SeqCst);
    }
    #[inline]
    fn exchange(&self, before: u64, after: u64) -> bool {
        self.compare_exchange_weak(before, after, SeqCst, Relaxed).is_ok()
    }
    #[inline]
    fn bump(&self) {
        self.store(self.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

impl Board for Memory {
    type Word = AtomicU64;
    #[inline]
    fn live(&self, word: usize) -> &AtomicU64 {
        self.head.live(word)
    }
    #[inline]
    fn waiters(&self, object: Object, word: usize) -> &AtomicU64 {
        self.chunk(object).waiters(object, word)
    }
    #[inline]
    fn gauge(&self, lane: Lane, object: Object) -> &AtomicU64 {
        self.chunk(object).cell(lane, object, cell::GAUGE)
    }
    #[inline]
    fn waiting(&self, lane: Lane, object: Object) -> &AtomicU64 {
        self.chunk(object).cell(lane, object, cell::WAITING)
    }
    #[inline]
    fn key(&self, lane: Lane, object: Object) -> &AtomicU64 {
        self.chunk(object).cell(lane, object, cell::KEY)
    }
    #[inline]
    fn moves(&self) -> u64 {
        self.chunk(INSTANCE).moves(INSTANCE).load(SeqCst)
    }
    #[inline]
    fn live_words(&self) -> [u64; LANE_WORDS] {
        self.head.live_words().each_ref().map(Word::load)
    }
    #[inline]
    fn waiter_words(&self, object: Object) -> [u64; LANE_WORDS] {
        self.chunk(object).waiter_words(object).each_ref().map(Word::load)
    }
}
