//! Who serves which slot of the current generation: holders, deputies, when to respawn.
//!
//! Core: no I/O, `now` is an argument. The master enacts the [`Order`]s and asks [`Slots::due`].
//!
//! ```text
//!            ready                 ended, leaving              due
//! Starting ─────────► Serving ───────────────────► Vacant ──────────► Starting
//!     └───────────────────── ended ───────────────────▲
//! ```
//!
//! - A slot without a serving holder, or whose holder is short of resources, has a deputy whenever any
//!   other slot has a serving holder; one that is not short itself is preferred, then the one with the
//!   fewest other slots, then the lowest slot.
//! - Nobody is its own slot's deputy. A deputy that ends or leaves is replaced at once.
//! - The first death in a row is followed by a respawn at once, the next ones by longer and longer
//!   waits; a holder that served for [`STEADY`] begins a new row.
//! - How long they become depends on what the holder has shown. Who served for [`BRIEF`] can serve, whatever
//!   ended it (a request, the operator, want of memory): its slot waits for [`BACKOFF_SERVED_MAX`] at most,
//!   however often that happens. A row of others, who died at their start, is respawned ever more slowly,
//!   up to [`BACKOFF_MAX`].

use std::time::{Duration, Instant};

use crate::succession::Seat;

/// Which process, counted over the master's life: process ids come again, these do not.
pub type WorkerId = u64;

/// The wait before the second respawn in a row; doubled each further time.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest wait between respawns: an operator who repairs something sees it taken up soon.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The longest wait after a holder that had served: with its start, a slot is empty for a second at most.
const BACKOFF_SERVED_MAX: Duration = Duration::from_millis(800);
/// Who has served for less than this died at its start: a worker that cannot serve fails with the first
/// thing that it does.
const BRIEF: Duration = Duration::from_millis(250);
/// How long a worker must have served for its death not to count as another one in a row.
pub const STEADY: Duration = Duration::from_secs(30);
/// How long after a worker left by a signal of its own its slot is respawned: a signal to the whole
/// group reaches the master within this time, and then nothing is to be respawned.
pub const GROUP_SIGNAL: Duration = Duration::from_millis(150);
/// How long a slot may be vacant for whoever retires there to wait for its next holder rather than be
/// given another successor.
const SOON: Duration = Duration::from_secs(1);

/// What a worker is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Whom to tell.
    pub deputy: WorkerId,
    /// Whose listeners.
    pub slot: u16,
    /// Whether to begin or to end.
    pub serve: bool,
}

/// Who holds a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// It was spawned and is not ready yet.
    Starting(WorkerId),
    /// It accepts (or is short) since then.
    Serving(WorkerId, Instant),
    /// Nobody; a worker is to be spawned then.
    Vacant(Instant),
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    holder: Holder,
    short: bool,
    deputy: Option<WorkerId>,
    /// Deaths since one had served for [`STEADY`].
    deaths_in_a_row: u32,
    /// Deaths since one had served for [`BRIEF`].
    brief_in_a_row: u32,
    deaths: u32,
}

impl Slot {
    fn serving(&self) -> Option<WorkerId> {
        match self.holder {
            Holder::Serving(id, _) => Some(id),
            Holder::Starting(_) | Holder::Vacant(_) => None,
        }
    }

    fn holder(&self) -> Option<WorkerId> {
        match self.holder {
            Holder::Serving(id, _) | Holder::Starting(id) => Some(id),
            Holder::Vacant(_) => None,
        }
    }

    fn needs_deputy(&self) -> bool {
        self.serving().is_none() || self.short
    }
}

/// All slots of the current generation.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    slots: Vec<Slot>,
}

impl Slots {
    /// Every slot is held by a worker that is ready, in the order of slots.
    pub fn serving(workers: impl IntoIterator<Item = WorkerId>, now: Instant) -> Self {
        let slot = |id| Slot {
            holder: Holder::Serving(id, now),
            short: false,
            deputy: None,
            deaths_in_a_row: 0,
            brief_in_a_row: 0,
            deaths: 0,
        };
        Self { slots: workers.into_iter().map(slot).collect() }
    }

    /// What is known after another program ran in our place: who serves, or nobody.
    pub fn adopted(holders: Vec<Option<WorkerId>>, now: Instant) -> Self {
        let mut slots = Self::serving(holders.iter().map(|holder| holder.unwrap_or(0)), now);
        for (slot, holder) in slots.slots.iter_mut().zip(holders) {
            if holder.is_none() {
                slot.holder = Holder::Vacant(now);
            }
        }
        slots
    }

    /// How many there are.
    pub fn len(&self) -> u16 {
        self.slots.len() as u16
    }

    /// How many have a holder that is ready.
    pub fn serving_count(&self) -> usize {
        self.slots.iter().filter(|slot| slot.serving().is_some()).count()
    }

    /// Who serves this slot.
    pub fn holder_serving(&self, slot: u16) -> Option<WorkerId> {
        self.slots.get(usize::from(slot)).and_then(Slot::serving)
    }

    /// What there is in each slot for workers that look for a successor.
    pub fn seats(&self, now: Instant) -> Vec<Seat> {
        let seat = |slot: &Slot| match slot.holder {
            Holder::Serving(id, _) => Seat::Taken(id),
            Holder::Starting(_) => Seat::Soon,
            Holder::Vacant(at) if at <= now + SOON => Seat::Soon,
            Holder::Vacant(_) => Seat::Empty,
        };
        self.slots.iter().map(seat).collect()
    }

    /// How often this slot's holders have died.
    pub fn deaths(&self, slot: u16) -> u32 {
        self.slots.get(usize::from(slot)).map_or(0, |slot| slot.deaths)
    }

    /// A worker was spawned for this slot.
    pub fn started(&mut self, slot: u16, id: WorkerId) {
        if let Some(slot) = self.slots.get_mut(usize::from(slot)) {
            slot.holder = Holder::Starting(id);
            slot.short = false;
        }
    }

    /// No worker could be spawned for this slot.
    pub fn not_started(&mut self, slot: u16, now: Instant) {
        if let Some(slot) = self.slots.get_mut(usize::from(slot)) {
            vacate(slot, now);
        }
    }

    /// The holder accepts.
    pub fn ready(&mut self, id: WorkerId, now: Instant) -> Vec<Order> {
        if let Some(slot) = self.held_by(id) {
            slot.holder = Holder::Serving(id, now);
        }
        self.settle()
    }

    /// The holder lacks resources of its own to accept, or has them again.
    pub fn short(&mut self, id: WorkerId, short: bool) -> Vec<Order> {
        if let Some(slot) = self.held_by(id) {
            slot.short = short;
        }
        self.settle()
    }

    /// The holder has died; it cannot be told anything.
    pub fn ended(&mut self, id: WorkerId, now: Instant) -> Vec<Order> {
        if let Some(slot) = self.held_by(id) {
            vacate(slot, now);
        }
        self.settle()
    }

    /// The holder stops by a signal that was not the master's.
    pub fn leaving(&mut self, id: WorkerId, now: Instant) -> Vec<Order> {
        if let Some(slot) = self.held_by(id) {
            slot.holder = Holder::Vacant(now + GROUP_SIGNAL);
            slot.short = false;
        }
        self.settle()
    }

    /// The slots for which a worker is to be spawned now.
    pub fn due(&self, now: Instant) -> Vec<u16> {
        let due = |slot: &Slot| matches!(slot.holder, Holder::Vacant(at) if at <= now);
        (0..).zip(&self.slots).filter(|(_, slot)| due(slot)).map(|(number, _)| number).collect()
    }

    /// When `due` will next name a slot.
    pub fn next_due(&self) -> Option<Instant> {
        self.slots
            .iter()
            .filter_map(|slot| match slot.holder {
                Holder::Vacant(at) => Some(at),
                Holder::Starting(_) | Holder::Serving(..) => None,
            })
            .min()
    }

    fn held_by(&mut self, id: WorkerId) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.holder() == Some(id))
    }

    /// Names and releases deputies until the file's first two invariants hold.
    pub fn settle(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        for number in 0..self.slots.len() {
            let slot = self.slots[number];
            let kept = slot.deputy.filter(|id| slot.needs_deputy() && self.may_serve(*id, number));
            if let Some(deputy) = slot.deputy.filter(|_| kept.is_none()) {
                self.slots[number].deputy = None;
                // One that died needs no order, one that leaves no longer accepts anyway.
                if self.slots.iter().any(|slot| slot.serving() == Some(deputy)) {
                    orders.push(Order { deputy, slot: number as u16, serve: false });
                }
            }
        }
        for number in 0..self.slots.len() {
            let slot = self.slots[number];
            if slot.needs_deputy() && slot.deputy.is_none() {
                let chosen = self.choose(number);
                self.slots[number].deputy = chosen;
                let order = |deputy| Order { deputy, slot: number as u16, serve: true };
                orders.extend(chosen.map(order));
            }
        }
        orders
    }

    /// Whether a deputy of this slot may stay: it serves another one, and is not short while somebody
    /// else is not.
    fn may_serve(&self, id: WorkerId, number: usize) -> bool {
        let others = || (0..).zip(&self.slots).filter(|(other, _)| *other != number);
        let Some((_, own)) = others().find(|(_, slot)| slot.serving() == Some(id)) else {
            return false;
        };
        !own.short || !others().any(|(_, slot)| slot.serving().is_some() && !slot.short)
    }

    fn choose(&self, number: usize) -> Option<WorkerId> {
        let load = |id| self.slots.iter().filter(|slot| slot.deputy == Some(id)).count();
        (0..)
            .zip(&self.slots)
            .filter(|(other, _)| *other != number)
            .filter_map(|(other, slot)| Some((slot.short, other, slot.serving()?)))
            .min_by_key(|&(short, other, id)| (short, load(id), other))
            .map(|(_, _, id)| id)
    }
}

fn vacate(slot: &mut Slot, now: Instant) {
    let served = match slot.holder {
        Holder::Serving(_, since) => now.saturating_duration_since(since),
        Holder::Starting(_) | Holder::Vacant(_) => Duration::ZERO,
    };
    slot.deaths_in_a_row =
        if served >= STEADY { 1 } else { slot.deaths_in_a_row.saturating_add(1) };
    slot.brief_in_a_row = if served >= BRIEF { 0 } else { slot.brief_in_a_row.saturating_add(1) };
    slot.deaths = slot.deaths.saturating_add(1);
    slot.short = false;
    let wait = match slot.brief_in_a_row {
        0 => backoff(slot.deaths_in_a_row).min(BACKOFF_SERVED_MAX),
        brief => backoff(brief),
    };
    slot.holder = Holder::Vacant(now + wait);
}

/// The wait after this many deaths in a row.
fn backoff(deaths_in_a_row: u32) -> Duration {
    match deaths_in_a_row {
        0 | 1 => Duration::ZERO,
        n => BACKOFF_FIRST.saturating_mul(1 << (n - 2).min(20)).min(BACKOFF_MAX),
    }
}

#[cfg(test)]
mod tests;
