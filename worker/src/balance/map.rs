//! Hashing by map: a hash is a position in a sequence in which each server stands as often as it weighs.
//!
//! Core. The sequence is that of HAProxy, so that a key finds the same server. Each turn every server
//! earns its weight and the chosen one pays the sum of all; chosen is the first that has saved up a
//! whole sum, else the first that owes nothing. So at turn `t` (from 1) a server that was chosen `c` times
//! owes nothing once `t × weight ≥ c × sum` and has a whole sum one turn of its own later: both moments
//! are known as soon as it is chosen, and a build costs by turns, not by turns times servers.
//!
//! Weights are those of the configuration divided by the common divisor of all servers of the backend,
//! usable or not, so that a server's going does not change how the others stand to each other more
//! than it must.
//!
//! Limits: as of a [`Schedule`]: [`TURNS_MAX`] turns plus one per server, weights scaled down above it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use portolan_shared::model::{Backend, ServerId};

use super::schedule::{Schedule, TURNS_MAX, gcd, scale_to};

/// The map of these servers of a backend.
pub fn of(backend: &Backend, usable: &[(u32, ServerId)]) -> Schedule {
    let configured = backend.servers.iter().map(|server| u32::from(server.weight));
    let divisor = configured.fold(0, gcd).max(1);
    let mut weighted: Vec<(u32, ServerId)> = usable
        .iter()
        .map(|(_, id)| (u32::from(backend.servers[*id as usize].weight) / divisor, *id))
        .filter(|(weight, _)| *weight > 0)
        .collect();
    scale_to(&mut weighted, TURNS_MAX);
    let servers = weighted.iter().map(|(_, id)| *id).collect();
    Schedule::given(sequence(&weighted), servers)
}

fn sequence(weighted: &[(u32, ServerId)]) -> Box<[ServerId]> {
    let sum: u64 = weighted.iter().map(|(weight, _)| u64::from(*weight)).sum();
    let mut chosen = vec![0_u64; weighted.len()];
    // Who owes nothing, and who has saved up a sum; some are no longer what they were when they were
    // put there.
    let mut even: BinaryHeap<Reverse<usize>> = (0..weighted.len()).map(Reverse).collect();
    let mut rich: BinaryHeap<Reverse<usize>> = BinaryHeap::new();
    // (turn, server, as often chosen): when they become so.
    let at_turn = |at: usize, chosen: u64| (chosen * sum).div_ceil(u64::from(weighted[at].0));
    let mut moments: BinaryHeap<Reverse<(u64, usize, u64)>> =
        (0..weighted.len()).map(|at| Reverse((at_turn(at, 1), at, 1))).collect();
    let turns = (1..=sum).filter_map(|turn| {
        while let Some(Reverse((when, at, count))) = moments.peek().copied() {
            if when > turn {
                break;
            }
            moments.pop();
            if count == chosen[at] {
                even.push(Reverse(at));
                moments.push(Reverse((at_turn(at, count + 1), at, count + 1)));
            } else if count == chosen[at] + 1 {
                rich.push(Reverse(at));
            }
        }
        let is = |at: usize, more: u64| at_turn(at, chosen[at] + more) <= turn;
        while rich.peek().is_some_and(|Reverse(at)| !is(*at, 1)) {
            rich.pop();
        }
        while even.peek().is_some_and(|Reverse(at)| !is(*at, 0)) {
            even.pop();
        }
        let at = rich.pop().or_else(|| even.pop())?.0;
        chosen[at] += 1;
        moments.push(Reverse((at_turn(at, chosen[at]), at, chosen[at])));
        Some(weighted[at].1)
    });
    turns.collect()
}
