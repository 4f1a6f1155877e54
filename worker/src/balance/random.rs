//! Random with draws: the least busy of some that chance has chosen by weight.
//!
//! Core; chance is given. A draw costs the same whatever the number of servers: each slot of the urn
//! belongs to one server up to a mark and to another above it (the alias method of Walker and Vose).
//!
//! Loads are compared by `streams / weight`. Of equals the one is taken that had fewer streams by
//! weight from this worker, of late: who was passed over catches up by at most [`LAG_MAX`] turns, so
//! that nobody is flooded after it had been busy.

use portolan_shared::model::ServerId;

use super::{Loads, Room};

/// Turns that a server may catch up on.
const LAG_MAX: u64 = 4;
/// What one stream counts on a server of weight 1.
const STREAM: u64 = 1 << 32;

/// What is drawn from.
#[derive(Clone, Debug, Default)]
pub struct Urn {
    slots: Box<[Slot]>,
    members: Box<[Member]>,
    total_weight: u64,
    /// What each server would have been given by now, by weight.
    given: u64,
}

/// Both servers are positions of members.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Below this the first is drawn.
    mark: u32,
    first: u32,
    second: u32,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    id: ServerId,
    weight: u32,
    /// What it was given by this worker, by weight.
    given: u64,
}

impl Urn {
    /// For these servers, each of a weight above 0, in the order of their ids. Who was there keeps what
    /// was given.
    pub fn with(self, usable: &[(u32, ServerId)]) -> Self {
        let total_weight = usable.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut before = self.members.iter().peekable();
        let members = usable.iter().map(|(weight, id)| {
            while before.next_if(|member| member.id < *id).is_some() {}
            let known = before.next_if(|member| member.id == *id);
            let given = known.map_or(self.given, |member| member.given);
            Member { id: *id, weight: *weight, given }
        });
        Self {
            slots: fill(usable, total_weight),
            members: members.collect(),
            total_weight,
            given: self.given,
        }
    }

    /// The least busy of those drawn, within the bound and with a place; where none of them is, the
    /// next one after the last drawn that is.
    pub fn pick(
        &mut self,
        draws: u32,
        loads: &impl Loads,
        random: &mut impl FnMut() -> u64,
        avoid: Option<ServerId>,
        allowed: impl Fn(ServerId, u32) -> bool,
    ) -> Option<ServerId> {
        if self.members.is_empty() {
            return None;
        }
        let mut best: Option<(u32, usize)> = None;
        let mut last = 0;
        for _ in 0..draws.max(1) {
            let at = self.draw(random());
            last = at;
            let id = self.members[at].id;
            if Some(id) == avoid || best.is_some_and(|(_, best)| best == at) {
                continue;
            }
            let load = loads.load(id);
            if load.room != Room::Free || !allowed(id, load.streams) {
                continue;
            }
            if best.is_none_or(|best| self.is_better((load.streams, at), best)) {
                best = Some((load.streams, at));
            }
        }
        let at = match best {
            Some((_, at)) => Some(at),
            None => self.next_free(last, loads, avoid, &allowed),
        }?;
        Some(self.give(at))
    }

    fn draw(&self, chance: u64) -> usize {
        // The upper half says which slot, the lower which of its servers.
        let slot = ((chance >> 32) * self.slots.len() as u64) >> 32;
        let slot = &self.slots[slot as usize];
        (if (chance as u32) < slot.mark { slot.first } else { slot.second }) as usize
    }

    fn is_better(&self, (streams, at): (u32, usize), (other_streams, other): (u32, usize)) -> bool {
        let (member, other) = (&self.members[at], &self.members[other]);
        let busy = u64::from(streams) * u64::from(other.weight);
        let other_busy = u64::from(other_streams) * u64::from(member.weight);
        (busy, member.given) < (other_busy, other.given)
    }

    /// Everybody in turn from there on: within the bound if possible, avoided only if it must be.
    fn next_free(
        &self,
        from: usize,
        loads: &impl Loads,
        avoid: Option<ServerId>,
        allowed: &impl Fn(ServerId, u32) -> bool,
    ) -> Option<usize> {
        let (before, after) = self.members.split_at(from);
        let (mut avoided, mut beyond) = (None, None);
        for (member, at) in after.iter().zip(from..).chain(before.iter().zip(0..)) {
            let load = loads.load(member.id);
            if load.room != Room::Free {
                continue;
            }
            if Some(member.id) == avoid {
                avoided = Some(at);
            } else if allowed(member.id, load.streams) {
                return Some(at);
            } else {
                beyond = beyond.or(Some(at));
            }
        }
        beyond.or(avoided)
    }

    fn give(&mut self, at: usize) -> ServerId {
        self.given += STREAM / self.total_weight;
        let member = &mut self.members[at];
        let turn = STREAM / u64::from(member.weight);
        let earliest = self.given.saturating_sub(LAG_MAX * turn);
        member.given = member.given.max(earliest) + turn;
        member.id
    }
}

/// Deals the weights out to slots of equal size, at most two servers in each.
fn fill(usable: &[(u32, ServerId)], total: u64) -> Box<[Slot]> {
    let count = usable.len() as u64;
    let mut slots: Vec<Slot> =
        (0..count as u32).map(|at| Slot { mark: u32::MAX, first: at, second: at }).collect();
    // In units of which a slot holds `total`.
    let mut rest: Vec<u64> = usable.iter().map(|(weight, _)| u64::from(*weight) * count).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..usable.len()).partition(|at| rest[*at] < total);
    while let (Some(&under), Some(&over)) = (small.last(), large.last()) {
        small.pop();
        slots[under].mark = ((u128::from(rest[under]) << 32) / u128::from(total)) as u32;
        slots[under].second = over as u32;
        rest[over] -= total - rest[under];
        if rest[over] < total {
            large.pop();
            small.push(over);
        }
    }
    slots.into()
}
