//! Who takes over the living connections of whom: each worker that retires has one successor.
//!
//! Core: no I/O, `now` is an argument. The master enacts the [`Pair`]s.
//!
//! ```text
//! worker that retires ──► slot's holder serves ─────────────► that one
//!                         it will soon ─────────────────────► wait
//!                         it will not, others serve ────────► the one with fewest such links
//!                         nobody serves ────────────────────► wait
//! ```
//!
//! - A successor serves, in the generation that serves. Where it no longer does (it died, it leaves, there
//!   is a newer generation), whoever has it is paired anew; else a pair stays as long as both live.
//! - Slots are counted round: slot 7 of eight hands over to slot 1 where there are two.
//! - Nobody is its own successor, and nobody who retires is anybody's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::slots::WorkerId;

/// How long after a link could not be made it is tried again: it takes descriptors, which come back as
/// others end.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What there is in a slot of the generation that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// This worker, which serves.
    Taken(WorkerId),
    /// Somebody will serve here soon.
    Soon,
    /// Nobody, for some time.
    Empty,
}

/// Two workers that are to have a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// It retires.
    pub giver: WorkerId,
    /// It serves.
    pub taker: WorkerId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Giver {
    slot: u16,
    taker: Option<WorkerId>,
    /// When a link may be tried again.
    not_before: Option<Instant>,
}

/// All workers that retire.
#[derive(Clone, Debug, Default)]
pub struct Succession {
    givers: BTreeMap<WorkerId, Giver>,
}

impl Succession {
    /// This worker of this slot retires.
    pub fn retires(&mut self, id: WorkerId, slot: u16) {
        self.adopted(id, slot, None);
    }

    /// What is known after another program ran in our place.
    pub fn adopted(&mut self, id: WorkerId, slot: u16, taker: Option<WorkerId>) {
        self.givers.entry(id).or_insert(Giver { slot, taker, not_before: None });
    }

    /// A worker has ended.
    pub fn ended(&mut self, id: WorkerId) {
        self.givers.remove(&id);
    }

    /// The link of this worker could not be made.
    pub fn not_linked(&mut self, giver: WorkerId, now: Instant) {
        if let Some(giver) = self.givers.get_mut(&giver) {
            giver.taker = None;
            giver.not_before = Some(now + AGAIN_AFTER);
        }
    }

    /// To whom this worker hands over.
    pub fn successor(&self, giver: WorkerId) -> Option<WorkerId> {
        self.givers.get(&giver)?.taker
    }

    /// When [`Succession::settle`] is to be asked again without anything having happened.
    pub fn due(&self) -> Option<Instant> {
        self.givers.values().filter_map(|giver| giver.not_before).min()
    }

    /// Pairs until the file's invariants hold; `seats` are the slots of the generation that serves.
    pub fn settle(&mut self, seats: &[Seat], now: Instant) -> Vec<Pair> {
        let serves = |id| seats.contains(&Seat::Taken(id)) && !self.givers.contains_key(&id);
        let lost: Vec<WorkerId> = (self.givers.iter())
            .filter(|(_, giver)| !giver.taker.is_some_and(serves))
            .filter(|(_, giver)| giver.not_before.is_none_or(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        let mut pairs = Vec::new();
        for id in lost {
            let Some(slot) = self.givers.get(&id).map(|giver| giver.slot) else { continue };
            let taker = self.choose(slot, seats);
            if let Some(giver) = self.givers.get_mut(&id) {
                *giver = Giver { slot, taker, not_before: None };
            }
            pairs.extend(taker.map(|taker| Pair { giver: id, taker }));
        }
        pairs
    }

    fn choose(&self, slot: u16, seats: &[Seat]) -> Option<WorkerId> {
        let may = |id: &WorkerId| !self.givers.contains_key(id);
        match seats.get(usize::from(slot).checked_rem(seats.len())?)? {
            Seat::Taken(id) if may(id) => return Some(*id),
            Seat::Soon => return None,
            Seat::Taken(_) | Seat::Empty => {}
        }
        let load = |id| self.givers.values().filter(|giver| giver.taker == Some(id)).count();
        let serving = seats.iter().filter_map(|seat| match seat {
            Seat::Taken(id) => Some(*id),
            Seat::Soon | Seat::Empty => None,
        });
        serving.filter(may).min_by_key(|id| load(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pair(giver: WorkerId, taker: WorkerId) -> Pair {
        Pair { giver, taker }
    }

    fn retiring(workers: &[(WorkerId, u16)]) -> Succession {
        let mut succession = Succession::default();
        for (id, slot) in workers {
            succession.retires(*id, *slot);
        }
        succession
    }

    #[test]
    fn each_former_worker_has_the_next_holder_of_its_slot() {
        let mut succession = retiring(&[(1, 0), (2, 1)]);
        let seats = [Seat::Taken(3), Seat::Taken(4)];
        let now = Instant::now();
        assert_eq!(succession.settle(&seats, now), [pair(1, 3), pair(2, 4)]);
        assert_eq!(succession.settle(&seats, now), []);
        assert_eq!(succession.successor(2), Some(4));
    }

    #[test]
    fn slots_are_counted_round_where_there_are_fewer_now() {
        let mut succession = retiring(&[(1, 0), (2, 1), (3, 2)]);
        let seats = [Seat::Taken(4), Seat::Taken(5)];
        let pairs = succession.settle(&seats, Instant::now());
        assert_eq!(pairs, [pair(1, 4), pair(2, 5), pair(3, 4)]);
    }

    #[test]
    fn a_later_generation_replaces_the_successors_of_all_that_still_retire() {
        let mut succession = retiring(&[(1, 0)]);
        let now = Instant::now();
        assert_eq!(succession.settle(&[Seat::Taken(2)], now), [pair(1, 2)]);
        succession.retires(2, 0);
        assert_eq!(succession.settle(&[Seat::Taken(3)], now), [pair(1, 3), pair(2, 3)]);
    }

    #[test]
    fn who_lost_its_successor_waits_for_one_that_comes_soon() {
        let mut succession = retiring(&[(1, 0)]);
        let now = Instant::now();
        assert_eq!(succession.settle(&[Seat::Taken(2), Seat::Taken(3)], now), [pair(1, 2)]);
        succession.ended(2);
        assert_eq!(succession.settle(&[Seat::Soon, Seat::Taken(3)], now), []);
        assert_eq!(succession.successor(1), None);
        assert_eq!(succession.settle(&[Seat::Taken(4), Seat::Taken(3)], now), [pair(1, 4)]);
    }

    #[test]
    fn where_nobody_comes_the_one_with_the_fewest_links_is_taken_and_kept() {
        let mut succession = retiring(&[(1, 0), (2, 1), (3, 0)]);
        let now = Instant::now();
        let seats = [Seat::Empty, Seat::Taken(11), Seat::Taken(12)];
        assert_eq!(succession.settle(&seats, now), [pair(1, 11), pair(2, 11), pair(3, 12)]);
        let seats = [Seat::Taken(13), Seat::Taken(11), Seat::Taken(12)];
        assert_eq!(succession.settle(&seats, now), []);
    }

    #[test]
    fn nobody_who_retires_is_a_successor() {
        let mut succession = retiring(&[(1, 0), (2, 1)]);
        let now = Instant::now();
        // The first one was told by the system before the list of seats knew of it.
        assert_eq!(succession.settle(&[Seat::Taken(1), Seat::Empty], now), []);
        assert_eq!(succession.settle(&[], now), []);
        let pairs = succession.settle(&[Seat::Taken(1), Seat::Taken(3)], now);
        assert_eq!(pairs, [pair(1, 3), pair(2, 3)]);
    }

    #[test]
    fn a_link_that_could_not_be_made_is_tried_again_later() {
        let mut succession = retiring(&[(1, 0)]);
        let now = Instant::now();
        let seats = [Seat::Taken(2)];
        assert_eq!(succession.settle(&seats, now), [pair(1, 2)]);
        assert_eq!(succession.due(), None);
        succession.not_linked(1, now);
        assert_eq!(succession.settle(&seats, now), []);
        assert_eq!(succession.due(), Some(now + AGAIN_AFTER));
        assert_eq!(succession.settle(&seats, now + AGAIN_AFTER), [pair(1, 2)]);
        assert_eq!(succession.due(), None);
    }

    /// Every short sequence of what can happen: whoever retires has a successor that serves and does not
    /// retire, wherever its own slot does not promise one.
    #[test]
    fn the_invariants_hold_after_every_short_sequence() {
        const STEPS: u32 = 6;
        const KINDS: u32 = 4;
        for sequence in 0..KINDS.pow(STEPS) {
            let now = Instant::now();
            let (mut succession, mut next) = (Succession::default(), 3);
            let mut seats = [Seat::Taken(1), Seat::Taken(2)];
            let mut rest = sequence;
            for _ in 0..STEPS {
                let (kind, slot) = (rest % KINDS, (rest / KINDS % 2) as usize);
                rest /= KINDS;
                match (kind, seats[slot]) {
                    // A reload.
                    (0, _) => {
                        for (slot, seat) in (0..).zip(&mut seats) {
                            if let Seat::Taken(id) = *seat {
                                succession.retires(id, slot);
                            }
                            *seat = Seat::Taken(next);
                            next += 1;
                        }
                    }
                    // A holder leaves, or dies.
                    (1, Seat::Taken(id)) => {
                        succession.retires(id, slot as u16);
                        seats[slot] = Seat::Soon;
                    }
                    (2, Seat::Taken(id)) => {
                        succession.ended(id);
                        seats[slot] = Seat::Empty;
                    }
                    (_, Seat::Taken(_)) => {}
                    (_, Seat::Soon | Seat::Empty) => {
                        seats[slot] = Seat::Taken(next);
                        next += 1;
                    }
                }
                succession.settle(&seats, now);
                for giver in succession.givers.values() {
                    let own = seats[usize::from(giver.slot)];
                    let served = seats.iter().any(|seat| matches!(seat, Seat::Taken(_)));
                    match giver.taker {
                        Some(id) => assert!(seats.contains(&Seat::Taken(id)), "{sequence}"),
                        None => assert!(own == Seat::Soon || !served, "{sequence}"),
                    }
                }
            }
        }
    }
}
