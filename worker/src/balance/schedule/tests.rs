//! The schedule against the plain algorithm.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// Smooth weighted round robin as it is usually written, for one period.
fn naive(weights: &[u16]) -> Vec<ServerId> {
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, u32::from(*weight))).max(1);
    let weights: Vec<i64> =
        weights.iter().map(|weight| i64::from(u32::from(*weight) / divisor)).collect();
    let sum: i64 = weights.iter().sum();
    let mut credits = vec![0; weights.len()];
    let mut turns = Vec::new();
    for _ in 0..sum {
        let mut best: Option<usize> = None;
        for (at, weight) in weights.iter().enumerate() {
            credits[at] += weight;
            if *weight > 0 && best.is_none_or(|best| credits[at] > credits[best]) {
                best = Some(at);
            }
        }
        let best = best.expect("the sum is positive");
        credits[best] -= sum;
        turns.push(best as ServerId);
    }
    turns
}

fn turns(schedule: &Schedule) -> Vec<ServerId> {
    (0..schedule.len() as u64).map(|index| schedule.server_at(index).expect("not empty")).collect()
}

#[test]
fn a_heavy_server_is_spread_over_the_period() {
    assert_eq!(turns(&Schedule::new([5, 1, 1])), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn equal_weights_go_round_in_order_and_take_one_turn_each() {
    for weight in [1, 7, 256] {
        assert_eq!(turns(&Schedule::new([weight; 4])), [0, 1, 2, 3]);
    }
}

#[test]
fn no_server_has_a_turn_where_none_has_a_weight() {
    for weights in [&[][..], &[0], &[0, 0, 0]] {
        let schedule = Schedule::new(weights.iter().copied());
        assert!(schedule.is_empty());
        assert_eq!((schedule.server_at(0), schedule.server_at(u64::MAX)), (None, None));
        assert_eq!(schedule.order_from(5).next(), None);
    }
}

#[test]
fn an_index_of_any_size_is_a_turn() {
    let schedule = Schedule::new([1, 0, 2]);
    assert_eq!(schedule.server_at(u64::MAX), schedule.server_at(u64::MAX % 3));
}

#[test]
fn every_short_list_of_small_weights_agrees_with_the_plain_algorithm() {
    for code in 0..6_u32.pow(4) {
        let weights =
            [code % 6, code / 6 % 6, code / 36 % 6, code / 216].map(|weight| weight as u16);
        assert_eq!(turns(&Schedule::new(weights)), naive(&weights), "{weights:?}");
    }
}

#[test]
fn the_order_from_an_index_names_each_server_once_and_begins_with_its_turn() {
    for weights in [&[5, 1, 1, 0, 3][..], &[1, 256], &[0, 9], &[1; 130]] {
        let schedule = Schedule::new(weights.iter().copied());
        let with_turns: HashSet<ServerId> = turns(&schedule).into_iter().collect();
        for index in 0..schedule.len() as u64 * 2 {
            let order: Vec<ServerId> = schedule.order_from(index).collect();
            assert_eq!(order.first().copied(), schedule.server_at(index));
            assert_eq!(order.len(), schedule.server_count(), "{order:?}");
            assert_eq!(order.iter().copied().collect::<HashSet<_>>(), with_turns);
        }
    }
}

#[test]
fn a_thousand_servers_of_any_weight_are_exact() {
    let weights: Vec<u16> = (0..1_024).map(|at| 256 - at % 2).collect();
    let schedule = Schedule::new(weights.iter().copied());
    let mut counts = vec![0_u16; weights.len()];
    for id in turns(&schedule) {
        counts[id as usize] += 1;
    }
    assert_eq!(counts, weights);
}

#[test]
fn ten_thousand_servers_keep_their_ratio_within_the_bound() {
    assert_eq!(Schedule::new(vec![1; 10_000]).len(), 10_000);
    assert_eq!(Schedule::new(vec![256; 10_000]).len(), 10_000);
    let weights: Vec<u16> =
        (0..10_000).map(|at| if at % 2 == 0 { 256 } else { 128 - at % 3 }).collect();
    let schedule = Schedule::new(weights);
    assert!(schedule.len() <= TURNS_MAX + 10_000);
    let heavy = turns(&schedule).iter().filter(|id| *id % 2 == 0).count();
    let share = heavy as f64 / schedule.len() as f64;
    assert!((0.64..0.70).contains(&share), "{share}");
}

#[test]
fn many_different_weights_are_dealt_out_exactly_and_evenly() {
    let weights: Vec<u16> = (0..1024_u32).map(|at| 1 + (at * 7919 % 256) as u16).collect();
    let sum: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
    let schedule = Schedule::new(weights.iter().copied());
    assert_eq!(schedule.len(), sum);
    let mut last: Vec<Option<usize>> = vec![None; weights.len()];
    let mut counts = vec![0_u16; weights.len()];
    for (at, id) in turns(&schedule).into_iter().enumerate() {
        let weight = usize::from(weights[id as usize]);
        // Never more than a quarter and a tie among all classes later than its share says.
        if let Some(before) = last[id as usize] {
            assert!(at - before <= sum / weight * 5 / 4 + 512, "{id}");
        }
        (last[id as usize], counts[id as usize]) = (Some(at), counts[id as usize] + 1);
    }
    assert_eq!(counts, weights);
}

proptest! {
    #[test]
    fn the_schedule_is_smooth_weighted_round_robin(
        weights in prop::collection::vec(0_u16..=256, 0..24),
    ) {
        prop_assert_eq!(turns(&Schedule::new(weights.iter().copied())), naive(&weights));
    }

    #[test]
    fn every_window_of_a_period_is_exact(
        weights in prop::collection::vec(0_u16..=40, 1..12),
        start in any::<u64>(),
    ) {
        let schedule = Schedule::new(weights.iter().copied());
        let start = start.min(u64::MAX - schedule.len() as u64);
        let mut counts = vec![0_u32; weights.len()];
        for index in start..start + schedule.len() as u64 {
            counts[schedule.server_at(index).expect("not empty") as usize] += 1;
        }
        let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, u32::from(*weight)));
        for (count, weight) in counts.iter().zip(&weights) {
            prop_assert_eq!(*count, u32::from(*weight) / divisor.max(1));
        }
    }
}
