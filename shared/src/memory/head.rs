//! The head: which lanes live, who owns them, and how they do.
//!
//! Shell (it reads /proc for the start of an owner). The master alone writes the live bitmap and a
//! lane's first line, the owner alone its second.
//! - A live bit is set before the owner is told its lane, and cleared after everything of the dead
//!   owner was zeroed: a lane that is not live is clean.
//! - All processes map the head for writing. So the master decides by its own [`Record`] of what it
//!   wrote there, never by what it finds, and puts right what somebody else has written
//!   ([`Memory::put_right`]): a worker that was taken over takes no lane away for good.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::admission;
use super::layout::{self, HEAD_WORDS, LANE_WORDS, LANES_MAX, LAYOUT, head, lane as at};
use super::map::{self, Map};
use super::owner::{self, Owner};
use super::{Lane, Memory, MemoryError, Object};

/// The mapped head.
#[derive(Debug)]
pub struct Head {
    map: Map,
    fd: Option<OwnedFd>,
    record: Option<Record>,
}

/// What the master has written into the head, for itself alone: as long as the head, with the words that
/// others write left out.
type Record = Box<[AtomicU64]>;

/// Writes what [`check_start`] looks for.
pub fn write_start(words: &[AtomicU64], magic: u64, identity: u64, number: u64) {
    words[head::VERSION].store(LAYOUT, Relaxed);
    words[head::IDENTITY].store(identity, Relaxed);
    words[head::NUMBER].store(number, Relaxed);
    words[head::MAGIC].store(magic, SeqCst);
}

/// Refuses what is not memory of this kind and layout.
pub fn check_start(load: impl Fn(usize) -> u64, magic: u64) -> Result<(), MemoryError> {
    if load(head::MAGIC) != magic {
        return Err(MemoryError::Magic);
    }
    match load(head::VERSION) {
        LAYOUT => Ok(()),
        found => Err(MemoryError::Version { found }),
    }
}

/// The same of what belongs to a head and has a number.
pub fn check_part(
    load: impl Fn(usize) -> u64,
    magic: u64,
    identity: u64,
    number: u32,
) -> Result<(), MemoryError> {
    check_start(&load, magic)?;
    if load(head::IDENTITY) != identity {
        return Err(MemoryError::Foreign);
    }
    let found = load(head::NUMBER);
    if found != u64::from(number) {
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        return Err(MemoryError::Number { expected: number, found });
    }
    Ok(())
}

/// So many words from here on; beyond the end it panics.
#[inline]
pub fn words_at<const N: usize>(words: &[AtomicU64], at: usize) -> &[AtomicU64; N] {
    words[at..].first_chunk().expect("the layout fits the mapping")
}

impl Head {
    pub fn create() -> io::Result<Self> {
        let (fd, map) = map::create("portolan-lanes", HEAD_WORDS)?;
        let mut identity = [0; 8];
        rustix::rand::getrandom(&mut identity, rustix::rand::GetRandomFlags::empty())?;
        write_start(map.words(), layout::HEAD_MAGIC, u64::from_ne_bytes(identity), 0);
        Ok(Self { map, fd: Some(fd), record: None })
    }

    pub fn attach(fd: OwnedFd) -> Result<Self, MemoryError> {
        let map = map::attach(&fd, HEAD_WORDS)?;
        check_start(|at| map.words()[at].load(SeqCst), layout::HEAD_MAGIC)?;
        Ok(Self { map, fd: Some(fd), record: None })
    }

    /// From now on this process is the master, which knows what it writes here.
    fn keep_record(&mut self) {
        let words = self.map.words().iter();
        self.record = Some(words.map(|word| AtomicU64::new(word.load(SeqCst))).collect());
    }

    /// A word that the master alone writes.
    fn known(&self, at: usize) -> u64 {
        let words = self.record.as_deref().unwrap_or(self.map.words());
        words[at].load(SeqCst)
    }

    /// Writes such a word (master).
    fn put(&self, at: usize, value: u64) {
        if let Some(record) = &self.record {
            record[at].store(value, SeqCst);
        }
        self.map.words()[at].store(value, SeqCst);
    }

    /// All such words.
    fn of_master() -> impl Iterator<Item = usize> {
        let start = [head::MAGIC, head::VERSION, head::IDENTITY, head::NUMBER];
        let counts = [head::LANES_USED, head::OBJECTS_USED, head::CHECKER];
        let live = head::LIVE..head::LIVE + LANE_WORDS;
        let owners = (0..LANES_MAX)
            .flat_map(|lane| (0..at::HEARTBEAT).map(move |word| layout::lane_at(lane) + word));
        start.into_iter().chain(counts).chain(live).chain(owners)
    }

    pub fn descriptor(&self) -> Option<&OwnedFd> {
        self.fd.as_ref()
    }

    pub fn close_descriptor(&mut self) {
        self.fd = None;
    }

    pub fn identity(&self) -> u64 {
        self.known(head::IDENTITY)
    }

    /// Lanes below this may hold totals.
    pub fn lanes_used(&self) -> Lane {
        self.known(head::LANES_USED).min(LANES_MAX.into()) as Lane
    }

    /// Objects below this may hold gauges.
    pub fn objects_used(&self) -> Object {
        Object::try_from(self.known(head::OBJECTS_USED)).unwrap_or(Object::MAX)
    }

    pub fn raise_objects_used(&self, objects: Object) {
        self.put(head::OBJECTS_USED, self.known(head::OBJECTS_USED).max(objects.into()));
    }

    /// One word of the live bitmap: bit n of word w is lane 64 w + n.
    #[inline]
    pub fn live(&self, word: usize) -> &AtomicU64 {
        debug_assert!(word < LANE_WORDS);
        self.word(head::LIVE + word)
    }

    /// All of the live bitmap.
    #[inline]
    pub fn live_words(&self) -> &[AtomicU64; LANE_WORDS] {
        words_at(self.map.words(), head::LIVE)
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        &self.map.words()[at]
    }

    #[inline]
    pub fn of(&self, lane: Lane, at: usize) -> &AtomicU64 {
        &self.map.words()[layout::lane_at(lane) + at]
    }
}

/// Lanes, as the master sees them.
impl Memory {
    /// Gives the lowest free lane to a process, live from now on; `None` when all are taken. Pid 0:
    /// the owner is not started yet, see [`Self::set_owner`].
    pub fn claim_lane(&self, pid: i32) -> Option<Lane> {
        let lane = (0..LANES_MAX).find(|lane| !self.is_live(*lane))?;
        // It was left clean; nobody who has written into it since then is believed.
        self.clean(lane);
        self.put_of(lane, at::INCARNATION, self.known_of(lane, at::INCARNATION).wrapping_add(1));
        for cleared in [at::HEARTBEAT, at::ACCEPTING, at::STREAMS] {
            self.head.of(lane, cleared).store(0, Relaxed);
        }
        self.describe_lane(lane, 0, 0);
        self.set_owner(lane, pid);
        let used = self.head.known(head::LANES_USED).max(u64::from(lane) + 1);
        self.head.put(head::LANES_USED, used);
        self.set_live(lane, true);
        Some(lane)
    }

    fn known_of(&self, lane: Lane, at: usize) -> u64 {
        self.head.known(layout::lane_at(lane) + at)
    }

    fn put_of(&self, lane: Lane, at: usize, value: u64) {
        self.head.put(layout::lane_at(lane) + at, value);
    }

    fn set_live(&self, lane: Lane, live: bool) {
        let at = head::LIVE + usize::from(lane / 64);
        let (word, bit) = (self.head.known(at), 1 << (lane % 64));
        self.head.put(at, if live { word | bit } else { word & !bit });
    }

    /// From now on this process is the master: it decides by what it has written itself.
    pub fn keep_record(&mut self) {
        self.head.keep_record();
    }

    /// Writes once more what the master has written and finds changed: a process that was taken over
    /// may write here. Answers how many words (master).
    pub fn put_right(&self) -> usize {
        let Some(record) = &self.head.record else { return 0 };
        let wrong = |at: &usize| self.head.word(*at).load(SeqCst) != record[*at].load(SeqCst);
        let head = Head::of_master().filter(wrong).inspect(|at| {
            self.head.word(*at).store(record[*at].load(SeqCst), SeqCst);
        });
        let head = head.count();
        let identity = self.identity();
        let chunks = self.chunks.iter().zip(0..);
        head + chunks.filter(|(chunk, number)| chunk.put_right(identity, *number)).count()
    }

    /// Notes who owns a lane, with the time it started: pids are used again, the pair is not.
    pub fn set_owner(&self, lane: Lane, pid: i32) {
        let start_time = owner::process_start_time(pid).unwrap_or(0);
        self.put_of(lane, at::START_TIME, start_time);
        self.put_of(lane, at::PID, pid.max(0) as u64);
    }

    /// Notes which slot and generation the owner of a lane serves.
    pub fn describe_lane(&self, lane: Lane, slot: u16, generation: u32) {
        self.put_of(lane, at::SLOT, slot.into());
        self.put_of(lane, at::GENERATION, generation.into());
    }

    /// Takes a lane back from its dead owner: its gauges and waiters go, its totals stay, and all
    /// places it held are free. Afterwards ring every doorbell: the dead may have owed a ring.
    ///
    /// The owner must be dead (its pidfd has ended), else it goes on counting in a lane of another.
    pub fn release_lane(&self, lane: Lane) {
        self.clean(lane);
        for cleared in [at::PID, at::START_TIME] {
            self.put_of(lane, cleared, 0);
        }
        for cleared in [at::ACCEPTING, at::STREAMS] {
            self.head.of(lane, cleared).store(0, Relaxed);
        }
        self.set_live(lane, false);
    }

    fn clean(&self, lane: Lane) {
        let used = self.head.objects_used();
        for object in self.written(lane).flatten().take_while(|object| *object < used) {
            admission::release(self, lane, object);
        }
    }

    /// Whether a lane has an owner.
    pub fn is_live(&self, lane: Lane) -> bool {
        lane < LANES_MAX
            && self.head.known(head::LIVE + usize::from(lane / 64)) & (1 << (lane % 64)) != 0
    }

    /// Lanes that have an owner, lowest first.
    pub fn lanes_live(&self) -> impl Iterator<Item = Lane> + '_ {
        (0..LANES_MAX).filter(|lane| self.is_live(*lane))
    }

    /// Who owns a lane, or owned it last.
    pub fn owner(&self, lane: Lane) -> Owner {
        let header = |at| self.known_of(lane, at);
        Owner {
            pid: header(at::PID) as i32,
            incarnation: header(at::INCARNATION),
            start_time: header(at::START_TIME),
            slot: header(at::SLOT) as u16,
            generation: header(at::GENERATION) as u32,
        }
    }

    /// The lane of the process that watches over servers; to be rung at an alarm.
    pub fn checker_lane(&self) -> Option<Lane> {
        let lane = self.head.known(head::CHECKER).checked_sub(1)?;
        Lane::try_from(lane).ok().filter(|lane| *lane < LANES_MAX)
    }

    /// Says who watches over servers (master).
    pub fn set_checker_lane(&self, lane: Option<Lane>) {
        self.head.put(head::CHECKER, lane.map_or(0, |lane| u64::from(lane) + 1));
    }

    /// The lowest generation of a live lane: what no later one knows, nobody uses.
    pub fn oldest_generation(&self) -> Option<u32> {
        self.lanes_live().map(|lane| self.owner(lane).generation).min()
    }

    /// Counts turns of the owner's loop: what stands still for too long is treated as dead.
    pub fn heartbeat(&self, lane: Lane) -> u64 {
        self.head.of(lane, at::HEARTBEAT).load(Relaxed)
    }

    /// Whether the owner says that it accepts connections.
    pub fn accepting(&self, lane: Lane) -> bool {
        self.head.of(lane, at::ACCEPTING).load(Relaxed) != 0
    }

    /// Streams in the owner.
    pub fn streams(&self, lane: Lane) -> u32 {
        self.head.of(lane, at::STREAMS).load(Relaxed) as u32
    }
}
