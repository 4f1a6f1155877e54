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
//! - A link that breaks while both live is made anew at once. One that breaks again within [`CALM`] waits, the
//!   longer the more often ([`REPAIR_MIN`], doubling, to [`REPAIR_MAX`]): who breaks what it is given, or says so,
//!   keeps nobody busy.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::slots::WorkerId;

/// How long after a link could not be made it is tried again: it takes descriptors, which come back as
/// others end.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long the second of two links that break in a row is waited with.
const REPAIR_MIN: Duration = Duration::from_millis(100);
/// The longest that a link is waited with.
const REPAIR_MAX: Duration = Duration::from_secs(30);
/// A link that has held so long is the first of a row when it breaks.
const CALM: Duration = Duration::from_secs(60);

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
    /// How many links of this giver have broken in a row while the taker lived.
    pub broken: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Giver {
    slot: u16,
    taker: Option<WorkerId>,
    /// When a link may be tried again.
    not_before: Option<Instant>,
    /// How many links it was told of; `None`: another master told it.
    links: Option<u32>,
    /// When the last of them was made.
    linked: Option<Instant>,
    /// Links that broke in a row, and with whom.
    broken: (u32, Option<WorkerId>),
}

/// All workers that retire.
#[derive(Clone, Debug, Default)]
pub struct Succession {
    givers: BTreeMap<WorkerId, Giver>,
}

impl Succession {
    /// This worker of this slot retires.
    pub fn retires(&mut self, id: WorkerId, slot: u16) {
        self.givers.entry(id).or_insert(Giver { slot, links: Some(0), ..Giver::default() });
    }

    /// What is known after another program ran in our place.
    pub fn adopted(&mut self, id: WorkerId, slot: u16, taker: Option<WorkerId>) {
        self.givers.entry(id).or_insert(Giver { slot, taker, ..Giver::default() });
    }

    /// A worker has ended.
    pub fn ended(&mut self, id: WorkerId) {
        self.givers.remove(&id);
        // It was the end of a process that broke these links, and nothing else: the next one has its own row.
        let own = |giver: &&mut Giver| giver.broken.1 == Some(id);
        for giver in self.givers.values_mut().filter(own) {
            (giver.broken, giver.not_before) = ((0, None), None);
        }
    }

    /// A worker says that the link of which it was told as the n-th has broken; whether that is the one that
    /// counts.
    pub fn unlinked(&mut self, giver: WorkerId, links: u32, now: Instant) -> bool {
        let Some(giver) = self.givers.get_mut(&giver) else { return false };
        // Where it was told of more since, another one is on its way to it.
        let counts = giver.links.is_none_or(|told| told <= links);
        let Some(taker) = giver.taker.filter(|_| counts) else { return false };
        let held = giver.linked.is_none_or(|linked| now.saturating_duration_since(linked) >= CALM);
        let before = if held || giver.broken.1 != Some(taker) { 0 } else { giver.broken.0 };
        giver.broken = (before.saturating_add(1), Some(taker));
        giver.not_before = Some(now + repair_after(before));
        (giver.taker, giver.links) = (None, Some(links));
        true
    }

    /// The link of this worker could not be made.
    pub fn not_linked(&mut self, giver: WorkerId, now: Instant) {
        if let Some(giver) = self.givers.get_mut(&giver) {
            giver.taker = None;
            giver.not_before = Some(now + AGAIN_AFTER);
            // It was not told.
            giver.links = giver.links.map(|links| links.wrapping_sub(1));
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
            let Some(giver) = self.givers.get_mut(&id) else { continue };
            (giver.taker, giver.not_before) = (taker, None);
            if let Some(taker) = taker {
                giver.links = giver.links.map(|links| links.wrapping_add(1));
                giver.linked = Some(now);
                let broken = if giver.broken.1 == Some(taker) { giver.broken.0 } else { 0 };
                pairs.push(Pair { giver: id, taker, broken });
            }
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

/// How long the next link waits where so many have broken in a row before the last one.
fn repair_after(broken: u32) -> Duration {
    match broken.checked_sub(1) {
        None => Duration::ZERO,
        Some(times) => REPAIR_MIN.saturating_mul(1 << times.min(16)).min(REPAIR_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pair(giver: WorkerId, taker: WorkerId) -> Pair {
        Pair { giver, taker, broken: 0 }
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

    #[test]
    fn a_link_that_breaks_between_two_who_live_is_made_anew_at_once_and_then_later_and_later() {
        let mut succession = retiring(&[(1, 0)]);
        let mut now = Instant::now();
        let seats = [Seat::Taken(2)];
        assert_eq!(succession.settle(&seats, now), [pair(1, 2)]);
        let mut waits = Vec::new();
        for broken in 1..14 {
            assert!(succession.unlinked(1, broken, now));
            assert_eq!(succession.successor(1), None);
            let due = succession.due().expect("it is tried again");
            waits.push((due - now).as_millis());
            if due > now {
                assert_eq!(succession.settle(&seats, now), []);
            }
            now = due;
            assert_eq!(succession.settle(&seats, now), [Pair { giver: 1, taker: 2, broken }]);
        }
        let expected =
            [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000_u128];
        assert_eq!(waits, expected);
        // One that has held for long begins a new row.
        now += CALM;
        assert!(succession.unlinked(1, 14, now));
        assert_eq!(succession.settle(&seats, now), [Pair { giver: 1, taker: 2, broken: 1 }]);
    }

    #[test]
    fn a_link_that_was_replaced_already_may_break() {
        let mut succession = retiring(&[(1, 0)]);
        let now = Instant::now();
        assert!(!succession.unlinked(1, 0, now), "there is none");
        assert_eq!(succession.settle(&[Seat::Taken(2)], now), [pair(1, 2)]);
        assert!(!succession.unlinked(7, 1, now), "it does not retire");
        succession.retires(2, 0);
        assert_eq!(succession.settle(&[Seat::Taken(3)], now), [pair(1, 3), pair(2, 3)]);
        // Said before it heard of the second one.
        assert!(!succession.unlinked(1, 1, now));
        assert_eq!(succession.settle(&[Seat::Taken(3)], now), []);
        assert!(succession.unlinked(1, 2, now));
        assert!(!succession.unlinked(1, 2, now), "it has none any more");
        assert_eq!(succession.settle(&[Seat::Taken(3)], now).len(), 1);
    }

    #[test]
    fn which_link_it_is_counts_again_after_another_program_ran_in_our_place() {
        let mut succession = Succession::default();
        let now = Instant::now();
        succession.adopted(1, 0, Some(2));
        let seats = [Seat::Taken(2)];
        assert_eq!(succession.settle(&seats, now), []);
        assert!(succession.unlinked(1, 5, now), "nobody knows how many there were");
        assert_eq!(succession.settle(&seats, now).len(), 1);
        assert!(!succession.unlinked(1, 5, now));
        assert!(succession.unlinked(1, 6, now));
    }

    #[test]
    fn a_link_of_which_nobody_was_told_does_not_count() {
        let mut succession = retiring(&[(1, 0)]);
        let now = Instant::now();
        let seats = [Seat::Taken(2)];
        assert_eq!(succession.settle(&seats, now), [pair(1, 2)]);
        succession.not_linked(1, now);
        assert_eq!(succession.settle(&seats, now + AGAIN_AFTER), [pair(1, 2)]);
        assert!(succession.unlinked(1, 1, now + AGAIN_AFTER));
    }

    #[test]
    fn a_successor_that_dies_leaves_no_row_behind() {
        let mut succession = retiring(&[(1, 0)]);
        let now = Instant::now();
        assert_eq!(succession.settle(&[Seat::Taken(2)], now), [pair(1, 2)]);
        // The link is seen to have ended before the process is.
        for links in 1..=3 {
            assert!(succession.unlinked(1, links, now));
            let due = succession.due().expect("it is tried again");
            assert_eq!(succession.settle(&[Seat::Taken(2)], due).len(), 1);
        }
        assert!(succession.unlinked(1, 4, now));
        succession.ended(2);
        assert_eq!(succession.settle(&[Seat::Soon], now), []);
        assert_eq!(succession.settle(&[Seat::Taken(3)], now), [pair(1, 3)]);
        assert!(succession.unlinked(1, 5, now));
        assert_eq!(succession.due(), Some(now), "at once");
    }

    /// Every short sequence of what can happen: whoever retires has a successor that serves and does not
    /// retire, wherever its own slot does not promise one.
    #[test]
    fn the_invariants_hold_after_every_short_sequence() {
        const STEPS: u32 = 6;
        const KINDS: u32 = 5;
        for sequence in 0..KINDS.pow(STEPS) {
            let mut now = Instant::now();
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
                    // A link breaks, of whoever retires in this slot, and it has been waited for.
                    (3, _) => {
                        let own = |(_, giver): &(&WorkerId, &Giver)| giver.slot == slot as u16;
                        let of =
                            succession.givers.iter().find(own).map(|(id, giver)| (*id, *giver));
                        if let Some((id, Giver { links: Some(links), taker: Some(_), .. })) = of {
                            assert!(succession.unlinked(id, links, now), "{sequence}");
                            now = succession.due().expect("it is tried again");
                        }
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
