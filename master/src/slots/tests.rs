//! Deputies and respawns, case by case and over every short sequence of events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{
    BACKOFF_FIRST, BACKOFF_MAX, BACKOFF_SERVED_MAX, BRIEF, GROUP_SIGNAL, Order, STEADY, Slots,
    backoff,
};

fn serve(deputy: u64, slot: u16) -> Order {
    Order { deputy, slot, serve: true }
}

fn release(deputy: u64, slot: u16) -> Order {
    Order { deputy, slot, serve: false }
}

#[test]
fn a_dead_workers_slot_gets_a_deputy_and_is_due_at_once() {
    let now = Instant::now();
    let mut slots = Slots::serving([10, 11, 12], now);
    assert_eq!(slots.ended(11, now), [serve(10, 1)]);
    assert_eq!(slots.due(now), [1]);
}

#[test]
fn the_deputy_is_released_when_the_replacement_is_ready() {
    let now = Instant::now();
    let mut slots = Slots::serving([10, 11], now);
    assert_eq!(slots.ended(11, now), [serve(10, 1)]);
    slots.started(1, 12);
    assert_eq!(slots.due(now), [] as [u16; 0]);
    assert_eq!(slots.ready(12, now), [release(10, 1)]);
}

#[test]
fn a_deputy_that_dies_is_replaced_for_all_its_slots() {
    let now = Instant::now();
    let mut slots = Slots::serving([10, 11, 12], now);
    assert_eq!(slots.ended(11, now), [serve(10, 1)]);
    assert_eq!(slots.ended(10, now), [serve(12, 0), serve(12, 1)]);
}

#[test]
fn deputies_share_the_vacant_slots() {
    let now = Instant::now();
    let mut slots = Slots::serving([10, 11, 12, 13], now);
    assert_eq!(slots.ended(10, now), [serve(11, 0)]);
    assert_eq!(slots.ended(13, now), [serve(12, 3)]);
}

#[test]
fn a_lone_worker_has_no_deputy_and_is_still_respawned() {
    let now = Instant::now();
    let mut slots = Slots::serving([10], now);
    assert_eq!(slots.ended(10, now), []);
    assert_eq!(slots.due(now), [0]);
}

#[test]
fn a_short_worker_gets_a_deputy_for_as_long_as_it_is_short() {
    let now = Instant::now();
    let mut slots = Slots::serving([10, 11], now);
    assert_eq!(slots.short(10, true), [serve(11, 0)]);
    assert_eq!(slots.short(10, false), [release(11, 0)]);
}

#[test]
fn a_deputy_that_becomes_short_hands_over_to_one_that_is_not() {
    let now = Instant::now();
    let mut slots = Slots::serving([10, 11, 12], now);
    assert_eq!(slots.ended(10, now), [serve(11, 0)]);
    assert_eq!(slots.short(11, true), [release(11, 0), serve(12, 0), serve(12, 1)]);
}

#[test]
fn a_worker_that_leaves_by_itself_is_replaced_a_little_later() {
    let now = Instant::now();
    let mut slots = Slots::serving([10, 11], now);
    assert_eq!(slots.leaving(11, now), [serve(10, 1)]);
    assert_eq!(slots.due(now), [] as [u16; 0]);
    assert_eq!(slots.next_due(), Some(now + GROUP_SIGNAL));
    assert_eq!(slots.ended(11, now), [], "its end later changes nothing");
    assert_eq!(slots.due(now + GROUP_SIGNAL), [1]);
}

#[test]
fn deaths_in_a_row_are_respawned_later_and_later_up_to_a_bound() {
    assert_eq!(backoff(1), Duration::ZERO);
    assert_eq!(backoff(2), BACKOFF_FIRST);
    assert_eq!(backoff(3), BACKOFF_FIRST * 2);
    assert_eq!(backoff(1000), BACKOFF_MAX);
}

#[test]
fn a_worker_that_served_for_long_begins_a_new_row() {
    let start = Instant::now();
    let mut slots = Slots::serving([10, 11], start);
    let _ = slots.ended(11, start);
    slots.started(1, 12);
    let _ = slots.ended(12, start);
    assert_eq!(slots.next_due(), Some(start + BACKOFF_FIRST));
    slots.started(1, 13);
    let _ = slots.ready(13, start);
    let later = start + STEADY;
    let _ = slots.ended(13, later);
    assert_eq!(slots.next_due(), Some(later));
    assert_eq!(slots.deaths(1), 3);
}

/// The waits of a slot whose holder dies so long after it was ready, again and again.
fn waits(served: impl Fn(usize) -> Option<Duration>, count: usize) -> Vec<Duration> {
    let mut now = Instant::now();
    let mut slots = Slots::serving([0], now);
    (0..count)
        .map(|round| {
            if let Some(served) = served(round) {
                let _ = slots.ready(round as u64, now);
                now += served;
            }
            let _ = slots.ended(round as u64, now);
            let wait = slots.next_due().expect("a respawn") - now;
            now += wait;
            slots.started(0, round as u64 + 1);
            wait
        })
        .collect()
}

#[test]
fn who_dies_at_its_start_is_respawned_ever_more_slowly() {
    let millis = |waits: Vec<Duration>| waits.iter().map(Duration::as_millis).collect::<Vec<_>>();
    let expected = [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000];
    assert_eq!(millis(waits(|_| None, 12)), expected);
    let at_once = BRIEF.checked_sub(Duration::from_millis(1));
    assert_eq!(millis(waits(|_| at_once, 12)), expected);
}

#[test]
fn who_has_served_is_back_within_a_second_however_often_it_dies() {
    for served in [BRIEF, Duration::from_secs(1), STEADY / 2] {
        let waits = waits(|_| Some(served), 1000);
        assert_eq!(waits[..3], [Duration::ZERO, BACKOFF_FIRST, BACKOFF_FIRST * 2]);
        assert!(waits.iter().all(|wait| *wait <= BACKOFF_SERVED_MAX), "{served:?}");
    }
}

#[test]
fn deaths_at_the_start_are_forgotten_once_one_has_served() {
    let waits = waits(|round| (round == 8).then_some(BRIEF), 10);
    assert_eq!(waits[7], BACKOFF_FIRST * 64);
    assert_eq!(waits[8..], [BACKOFF_SERVED_MAX, Duration::ZERO]);
}

/// Somebody kills whoever holds the slot at regular times, that is also while it starts, or finds nobody.
#[test]
fn kills_every_second_or_two_never_keep_a_slot_empty_for_more_than_a_second() {
    let start = Instant::now();
    for (period, takes) in [(1000, 30), (1000, 300), (1500, 100), (2000, 500), (700, 50)] {
        let (period, takes) = (Duration::from_millis(period), Duration::from_millis(takes));
        let mut slots = Slots::serving([0], start);
        let mut ready_at = None;
        for n in 1..2000 {
            let kill = start + period * n;
            if let Some(due) = slots.next_due().filter(|due| *due <= kill) {
                slots.started(0, u64::from(n));
                ready_at = Some(due + takes);
            }
            if let Some(at) = ready_at.take_if(|at| *at <= kill) {
                let _ = slots.ready(u64::from(n), at);
            }
            let _ = slots.ended(u64::from(n), kill);
            let _ = slots.ended(0, kill);
            let due = slots.next_due().expect("a respawn");
            assert!(due <= kill + BACKOFF_SERVED_MAX, "{period:?} {takes:?} {n}");
        }
    }
}

/// Every sequence of five events over three slots: the orders given add up to deputies as the file's
/// head promises them.
#[test]
fn every_short_sequence_leaves_each_needy_slot_with_exactly_one_deputy_that_serves() {
    let now = Instant::now();
    let events = 9usize;
    for sequence in 0..events.pow(5) {
        let mut slots = Slots::serving([100, 101, 102], now);
        let mut told: BTreeMap<u16, u64> = BTreeMap::new();
        let mut next = 103;
        let mut rest = sequence;
        for _ in 0..5 {
            let (slot, what) = ((rest % events / 3) as u16, rest % 3);
            rest /= events;
            let held = slots.slots[usize::from(slot)];
            let orders = match (what, held.holder()) {
                (0, Some(id)) => slots.ended(id, now),
                (1, Some(id)) if held.serving().is_some() => slots.short(id, !held.short),
                (1, Some(id)) => slots.ready(id, now),
                (2, Some(id)) => slots.leaving(id, now),
                (_, None) => {
                    slots.started(slot, next);
                    next += 1;
                    Vec::new()
                }
                _ => unreachable!("three kinds of events"),
            };
            for order in orders {
                if order.serve {
                    told.insert(order.slot, order.deputy);
                } else {
                    assert_eq!(told.remove(&order.slot), Some(order.deputy), "{sequence}");
                }
            }
            let serving = |id: u64| slots.slots.iter().any(|slot| slot.serving() == Some(id));
            told.retain(|_, deputy| serving(*deputy));
            for (number, slot) in (0u16..).zip(&slots.slots) {
                let others = (0u16..)
                    .zip(&slots.slots)
                    .any(|(other, slot)| other != number && slot.serving().is_some());
                let expected = slot.needs_deputy() && others;
                assert_eq!(told.contains_key(&number), expected, "{sequence}: slot {number}");
                let own = told.get(&number).filter(|deputy| slot.holder() == Some(**deputy));
                assert_eq!(own, None, "{sequence}: nobody is its own deputy");
                assert_eq!(told.get(&number).copied(), slot.deputy, "{sequence}");
            }
        }
    }
}
