//! Many clients at once, each in a thread of its own that mostly waits.
//!
//! Shell. They can be held where each is between two exchanges, connections open, so that others can count.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::fault::Mistake;
use super::hand::Hand;
use super::kinds::Kind;
use super::link::{Connection, Place};
use super::tally::{Count, Tally};
use super::tcp_table;
use crate::deadline;

/// So many there were.
static CROWDS: AtomicU64 = AtomicU64::new(0);

/// Enough for a client; there are many.
const STACK_BYTES: usize = 256 * 1024;

/// Where clients go.
#[derive(Clone, Copy, Debug)]
pub struct Fronts {
    /// Mode http.
    pub http: SocketAddr,
    /// Mode tcp.
    pub tcp: SocketAddr,
}

/// What all clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Go on.
    Run,
    /// Wait at the next place between two exchanges.
    Hold,
    /// Leave in order.
    End,
}

#[derive(Debug)]
struct Gate {
    phase: Phase,
    parked: usize,
}

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    /// Which crowd of this program.
    ordinal: u64,
    fronts: Fronts,
    start: Instant,
    gate: Mutex<Gate>,
    bell: Condvar,
    tally: Tally,
    mistakes: Mutex<Vec<Mistake>>,
    places: Vec<Arc<Place>>,
}

impl Shared {
    pub(super) fn front(&self, kind: Kind) -> SocketAddr {
        if kind.is_http() { self.fronts.http } else { self.fronts.tcp }
    }

    pub(super) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    pub(super) fn place(&self, number: usize) -> &Arc<Place> {
        &self.places[number]
    }

    pub(super) fn start(&self) -> Instant {
        self.start
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn note(&self, mistake: Mistake) {
        self.mistakes.lock().unwrap_or_else(PoisonError::into_inner).push(mistake);
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, and while all are held; whether to go on.
    pub(super) fn rest(&self, time: Duration) -> bool {
        let run = |gate: &mut Gate| gate.phase == Phase::Run;
        let waited = self.bell.wait_timeout_while(self.gate(), time, run);
        let (mut gate, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if gate.phase == Phase::Hold {
            gate.parked += 1;
            let hold = |gate: &mut Gate| gate.phase == Phase::Hold;
            gate = self.bell.wait_while(gate, hold).unwrap_or_else(PoisonError::into_inner);
            gate.parked -= 1;
        }
        gate.phase != Phase::End
    }

    fn set(&self, phase: Phase) {
        self.gate().phase = phase;
        self.bell.notify_all();
    }
}

/// The clients.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// So many of each of these kinds.
    ///
    /// # Panics
    /// When the system has no thread left.
    pub fn start(fronts: Fronts, kinds: &[Kind], each: usize, seed: u64) -> Self {
        let all: Vec<Kind> = (0..each).flat_map(|_| kinds.iter().copied()).collect();
        let shared = Arc::new(Shared {
            ordinal: CROWDS.fetch_add(1, Ordering::Relaxed),
            fronts,
            start: Instant::now(),
            gate: Mutex::new(Gate { phase: Phase::Run, parked: 0 }),
            bell: Condvar::new(),
            tally: Tally::default(),
            mistakes: Mutex::default(),
            places: all.iter().map(|_| Arc::default()).collect(),
        });
        let clients = all.into_iter().enumerate().map(|(number, kind)| {
            let hand = Hand::new(kind, number, seed, Arc::clone(&shared));
            let name = format!("{} {number}", kind.name());
            let thread = std::thread::Builder::new().name(name).stack_size(STACK_BYTES);
            thread.spawn(move || hand.live()).expect("a thread")
        });
        let threads = clients.collect();
        Self { shared, threads }
    }

    /// What they have done.
    pub fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// Since when.
    pub fn since(&self) -> Instant {
        self.shared.start
    }

    /// What went wrong so far.
    pub fn mistakes(&self) -> Vec<Mistake> {
        self.shared.mistakes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for so many more answers and messages.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_more(&self, count: u64) {
        let done = || self.tally().all(Count::Streams) + self.tally().all(Count::Messages);
        let wanted = done() + count;
        deadline::until("more answers", || done() >= wanted);
    }

    /// The connections that are open, at both ends: who rests has not noticed yet that a killed worker's is not.
    pub fn open(&self) -> Vec<Connection> {
        let established =
            tcp_table::established(&[self.shared.fronts.http, self.shared.fronts.tcp]);
        let seen = self.shared.places.iter().map(|place| place.connection());
        let lives = |local: SocketAddr| established.contains(&local);
        seen.filter(|connection| connection.open && connection.local.is_some_and(lives)).collect()
    }

    /// Holds all of them where they are between two exchanges.
    ///
    /// # Panics
    /// When one does not come there.
    pub fn hold(&self) {
        self.shared.set(Phase::Hold);
        let held = || (self.shared.gate().parked == self.threads.len()).then_some(());
        let held = deadline::try_within(deadline::LIMIT * 2, held);
        assert!(held.is_some(), "not all of them stand still: {:#?}", self.open());
    }

    /// Lets them go on.
    pub fn go_on(&self) {
        self.shared.set(Phase::Run);
    }

    /// Waits until each has left in order; what went wrong, and what they have done.
    ///
    /// # Panics
    /// When a client panicked.
    pub fn end(mut self) -> (Vec<Mistake>, Arc<Shared>) {
        self.leave();
        (self.mistakes(), Arc::clone(&self.shared))
    }

    fn leave(&mut self) {
        self.shared.set(Phase::End);
        for thread in self.threads.drain(..) {
            // A panic of the thread was already printed; its own test fails by what it did not do.
            assert!(thread.join().is_ok() || std::thread::panicking(), "a client panicked");
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.leave();
    }
}
