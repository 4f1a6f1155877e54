//! Round robin by weight: whose turn it is, as a sequence computed once.
//!
//! Core: no I/O, no clock. Every worker derives the same [`Schedule`] from the same weights, and all
//! of them draw turns from one shared index: so the rotation is exact over the workers together.
//!
//! The order is that of smooth weighted round robin (each turn every server earns its weight, the
//! richest is chosen, the first of equals, and pays the sum of all weights), which spreads a heavy
//! server's turns evenly: 5, 1, 1 gives `a a b a c a a`.
//!
//! Invariants:
//!
//! - Over one period (`len` turns from any index) each server has exactly `weight / gcd` turns.
//! - A server of weight 0 has none.
//!
//! Limits: a period is at most [`TURNS_MAX`] turns plus one per server (1 MiB and 4 bytes a server).
//! Every backend of at most 1,024 servers is below that whatever its weights. Above it weights are
//! scaled down together, each at least to 1, so that the period fits; the ratios are then kept as
//! well as whole numbers can. Where many different weights meet, a build would take more than
//! [`WORK_MAX`] comparisons; the turns are then dealt out evenly instead, without comparing, which
//! spreads them nearly as well.

#[cfg(test)]
mod tests;

use portolan_shared::model::ServerId;

/// Turns of one period before weights are scaled down: 1,024 servers of weight 256.
pub const TURNS_MAX: usize = 1 << 18;

/// Comparisons of one build, each turn comparing as many as there are different weights: some
/// milliseconds.
const WORK_MAX: usize = 1 << 20;

/// Whose turn it is at each index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    turns: Box<[ServerId]>,
    /// Servers that have turns, in their order.
    servers: Box<[ServerId]>,
}

/// All servers of one weight: they take their turns one after the other.
struct Class<'a> {
    weight: i64,
    servers: &'a [ServerId],
    /// Which of them is next.
    next: usize,
    /// What the next one has earned and not paid.
    credit: i64,
}

impl Schedule {
    /// Derives the schedule; the position of a weight is its server's id.
    #[cfg(test)]
    pub fn new(weights: impl IntoIterator<Item = u16>) -> Self {
        Self::of(weights.into_iter().map(u32::from).zip(0..).collect())
    }

    /// Derives the schedule of these weights and servers, the servers in their order.
    pub fn of(mut weighted: Vec<(u32, ServerId)>) -> Self {
        weighted.retain(|(weight, _)| *weight > 0);
        let servers: Box<[ServerId]> = weighted.iter().map(|(_, id)| *id).collect();
        divide_by_gcd(&mut weighted);
        scale_to(&mut weighted, TURNS_MAX);
        Self { turns: turns_of(weighted), servers }
    }

    /// Turns in an order that is given; the servers in theirs.
    pub fn given(turns: Box<[ServerId]>, servers: Box<[ServerId]>) -> Self {
        Self { turns, servers }
    }

    /// One period.
    pub fn turns(&self) -> &[ServerId] {
        &self.turns
    }

    /// Turns in one period.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Whether no server can be chosen.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// The server that has all turns, if there is one.
    pub fn only(&self) -> Option<ServerId> {
        match *self.servers {
            [only] => Some(only),
            _ => None,
        }
    }

    /// How many servers have turns.
    pub fn server_count(&self) -> usize {
        self.servers.len()
    }

    /// Whose turn index is (only the first of `order_from`); `None` where no server has a weight.
    #[cfg(test)]
    pub fn server_at(&self, index: u64) -> Option<ServerId> {
        let period = self.turns.len() as u64;
        index.checked_rem(period).map(|turn| self.turns[turn as usize])
    }

    /// Whose turn it is and who is tried after them: every server once, in the order of the turns
    /// from `index` on. Those that have no turn within two per server follow by their position, so
    /// that a backend where everything is full costs time by its servers, not by its period.
    pub fn order_from(&self, index: u64) -> Order<'_> {
        let turn = index.checked_rem(self.turns.len() as u64).unwrap_or(0) as usize;
        let soon = self.turns.len().min(self.servers.len() * 2);
        Order { schedule: self, turn, soon, rest: 0, first: None, seen: Vec::new() }
    }
}

/// See [`Schedule::order_from`].
#[derive(Clone, Debug)]
pub struct Order<'a> {
    schedule: &'a Schedule,
    turn: usize,
    /// Turns still to be looked at.
    soon: usize,
    /// Servers already looked at by their position.
    rest: usize,
    /// The one whose turn it is; usually nobody asks for a second.
    first: Option<ServerId>,
    /// One bit per server, made when a second one is asked for.
    seen: Vec<u64>,
}

impl Iterator for Order<'_> {
    type Item = ServerId;

    fn next(&mut self) -> Option<ServerId> {
        if self.first.is_none() {
            let id = *self.schedule.turns.get(self.turn)?;
            self.first = Some(id);
            self.advance();
            return Some(id);
        }
        while self.soon > 0 {
            let id = self.schedule.turns[self.turn];
            self.advance();
            if self.mark(id) {
                return Some(id);
            }
        }
        while let Some(&id) = self.schedule.servers.get(self.rest) {
            self.rest += 1;
            if self.mark(id) {
                return Some(id);
            }
        }
        None
    }
}

impl Order<'_> {
    fn advance(&mut self) {
        self.soon -= 1;
        self.turn = if self.turn + 1 == self.schedule.turns.len() { 0 } else { self.turn + 1 };
    }

    /// Whether this one comes up for the first time.
    fn mark(&mut self, id: ServerId) -> bool {
        if self.seen.is_empty() {
            let highest = self.schedule.servers.last().map_or(0, |id| *id as usize);
            self.seen = vec![0; highest / 64 + 1];
            if let Some(first) = self.first {
                self.seen[first as usize / 64] |= 1 << (first % 64);
            }
        }
        let (word, bit) = (&mut self.seen[id as usize / 64], 1 << (id % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

/// Makes the sum of the weights this at most, if none has to become less than 1 for it.
pub(super) fn scale_to(weighted: &mut [(u32, ServerId)], most: usize) {
    let sum: u64 = weighted.iter().map(|(weight, _)| u64::from(*weight)).sum();
    if sum > most as u64 {
        for (weight, _) in weighted.iter_mut() {
            *weight = (u64::from(*weight) * most as u64 / sum).max(1) as u32;
        }
        divide_by_gcd(weighted);
    }
}

fn divide_by_gcd(weighted: &mut [(u32, ServerId)]) {
    let divisor = weighted.iter().fold(0, |divisor, (weight, _)| gcd(divisor, *weight));
    for (weight, _) in weighted {
        *weight /= divisor;
    }
}

pub(super) fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// One period.
///
/// Servers of one weight differ only in how often they have been chosen, so within their class they
/// come in rotation, and only the classes (few) have to be compared: the same order as
/// comparing all servers, for a tiny part of the work.
fn turns_of(mut weighted: Vec<(u32, ServerId)>) -> Box<[ServerId]> {
    weighted.sort_unstable();
    let ids: Vec<ServerId> = weighted.iter().map(|(_, id)| *id).collect();
    let sum: i64 = weighted.iter().map(|(weight, _)| i64::from(*weight)).sum();
    let mut classes = Vec::new();
    let mut start = 0;
    for class in weighted.chunk_by(|a, b| a.0 == b.0) {
        let servers = &ids[start..start + class.len()];
        start += class.len();
        classes.push(Class { weight: i64::from(class[0].0), servers, next: 0, credit: 0 });
    }
    if classes.len().saturating_mul(sum as usize) > WORK_MAX {
        return dealt(&classes, sum as usize);
    }
    (0..sum).map(|_| turn(&mut classes, sum)).collect()
}

/// Deals the turns out: those of a class are as far from each other as they can be, the first of them
/// half as far from the beginning. Where several classes meet, the lightest comes first.
fn dealt(classes: &[Class<'_>], sum: usize) -> Box<[ServerId]> {
    let turns = || {
        classes.iter().flat_map(|class| {
            let count = class.servers.len() * class.weight as usize;
            let server_of = |turn: usize| class.servers[turn % class.servers.len()];
            (0..count).map(move |turn| ((2 * turn + 1) * sum / (2 * count), server_of(turn)))
        })
    };
    let mut places = vec![0_usize; sum + 1];
    for (at, _) in turns() {
        places[at + 1] += 1;
    }
    for at in 1..places.len() {
        places[at] += places[at - 1];
    }
    let mut dealt = vec![0; sum];
    for (at, server) in turns() {
        dealt[places[at]] = server;
        places[at] += 1;
    }
    dealt.into()
}

/// Lets every class earn, chooses the richest next server, the first of equals, and lets it pay.
fn turn(classes: &mut [Class<'_>], sum: i64) -> ServerId {
    let mut best: Option<(i64, ServerId, usize)> = None;
    for (at, class) in classes.iter_mut().enumerate() {
        class.credit += class.weight;
        let id = class.servers[class.next];
        if best.is_none_or(|(credit, first, _)| (class.credit, first) > (credit, id)) {
            best = Some((class.credit, id, at));
        }
    }
    let (_, id, at) = best.expect("a turn is only taken where a server has a weight");
    let class = &mut classes[at];
    class.next += 1;
    if class.next == class.servers.len() {
        // The first of them again: it has paid since, as all others of its class have.
        class.next = 0;
        class.credit -= sum;
    }
    id
}
