//! Hashing by map: a hash is a position in a sequence in which each server stands as often as it weighs.
//!
//! Core. The sequence is that of HAProxy, so that a key finds the same server. Each turn every server
//! earns its weight and the chosen one pays the sum of all; chosen is the first that has saved up a
//! whole sum, else the first that owes nothing.
//!
//! After turn `t` (from 1) a server has earned `t × weight / sum` sums, of which only whole ones count.
//! So a server changes only when it earns another or is chosen, and a build costs by turns, not by turns
//! times servers: each turn has a list of those who earn a sum in it.
//!
//! Weights are those of the configuration divided by the common divisor of all servers of the backend,
//! usable or not, so that a server's going does not change how the others stand to each other more
//! than it must.
//!
//! Limits: as of a [`Schedule`]: [`TURNS_MAX`] turns plus one per server, weights scaled down above it.

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
    let turn_of = |at: usize, sums: u64| (sums * sum).div_ceil(u64::from(weighted[at].0));
    // How many sums each server has earned, and how many it has paid.
    let mut earned = vec![0_u64; weighted.len()];
    let mut paid = vec![0_u64; weighted.len()];
    let mut earners = Lists::new(sum as usize + 1, weighted.len());
    let (mut even, mut rich) = (First::new(weighted.len()), First::new(weighted.len()));
    for at in 0..weighted.len() {
        earners.push(turn_of(at, 1) as usize, at);
        even.insert(at);
    }
    let turns = (1..=sum).filter_map(|turn| {
        let mut next = earners.first(turn as usize);
        while let Some(at) = next {
            next = earners.after(at);
            earned[at] += 1;
            let again = turn_of(at, earned[at] + 1);
            if again <= sum {
                earners.push(again as usize, at);
            }
            (if earned[at] > paid[at] { &mut rich } else { &mut even }).insert(at);
        }
        // Who became rich may be among the even too, which does not matter: the rich come first.
        let at = match rich.first() {
            Some(at) => at,
            None => even.first()?,
        };
        paid[at] += 1;
        rich.remove(at);
        even.remove(at);
        if earned[at] >= paid[at] {
            (if earned[at] > paid[at] { &mut rich } else { &mut even }).insert(at);
        }
        Some(weighted[at].1)
    });
    turns.collect()
}

/// Many short lists of servers, each server in one at most.
struct Lists {
    /// Of each list, one more than the first server; 0: it is empty.
    first: Vec<u32>,
    /// Of each server, one more than the next one in its list.
    after: Vec<u32>,
}

impl Lists {
    fn new(lists: usize, servers: usize) -> Self {
        Self { first: vec![0; lists], after: vec![0; servers] }
    }

    fn push(&mut self, list: usize, server: usize) {
        self.after[server] = std::mem::replace(&mut self.first[list], server as u32 + 1);
    }

    fn first(&self, list: usize) -> Option<usize> {
        (self.first[list] as usize).checked_sub(1)
    }

    fn after(&self, server: usize) -> Option<usize> {
        (self.after[server] as usize).checked_sub(1)
    }
}

/// A set of small numbers that knows its least: a bit for each, above it a bit for each word that has
/// any, and so on.
struct First {
    levels: Vec<Vec<u64>>,
}

impl First {
    fn new(numbers: usize) -> Self {
        let mut words = numbers.div_ceil(64).max(1);
        let mut levels = vec![vec![0; words]];
        while words > 1 {
            words = words.div_ceil(64);
            levels.push(vec![0; words]);
        }
        Self { levels }
    }

    fn insert(&mut self, mut number: usize) {
        for level in &mut self.levels {
            level[number / 64] |= 1 << (number % 64);
            number /= 64;
        }
    }

    fn remove(&mut self, mut number: usize) {
        for level in &mut self.levels {
            let word = &mut level[number / 64];
            *word &= !(1 << (number % 64));
            if *word != 0 {
                return;
            }
            number /= 64;
        }
    }

    fn first(&self) -> Option<usize> {
        let mut number = 0;
        for level in self.levels.iter().rev() {
            let word = level[number];
            if word == 0 {
                return None;
            }
            number = number * 64 + word.trailing_zeros() as usize;
        }
        Some(number)
    }
}
