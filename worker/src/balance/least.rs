//! Least connections: who has the fewest streams by its weight.
//!
//! Core. A load is summed up over all workers each time it is read, so few are to be read:
//!
//! - Up to [`EXACT_MAX`] servers all are read at each pick: the choice is a minimum, exactly.
//! - Above it a heap keeps what was read last. A pick reads the one on top again until it proves to be
//!   what it was thought to be, and [`FRESH`] others in turn, so that what other workers released is
//!   known after at most `servers / FRESH` picks. What this worker released it knows at once, if told.
//!   Nobody is chosen who has more streams than was thought.
//!
//! Of equals the one is chosen that this worker did not choose for the longest time. Idle servers are
//! equal whatever their weights, as HAProxy has it; others are compared by `(streams + 1) / weight`.

use std::cmp::Ordering;

use portolan_shared::model::ServerId;

use super::{Loads, Room};

/// Servers up to which all loads are read at each pick.
pub const EXACT_MAX: usize = 32;
/// Loads that a pick in a larger farm reads besides those it chooses among.
pub const FRESH: usize = 8;
/// Times that a pick in a larger farm finds the top of the heap wrong before it looks at everybody.
const WRONG_MAX: usize = 64;

/// What least connections keeps.
#[derive(Clone, Debug, Default)]
pub struct Least {
    /// In the order of their ids.
    members: Vec<Member>,
    /// Positions of members, the least busy on top; empty in a small farm.
    heap: Vec<u32>,
    /// Picks so far.
    picks: u64,
    /// Who is read next.
    next: usize,
    /// With whom the first pick begins.
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    id: ServerId,
    weight: u32,
    /// How busy it was when it was read last.
    busy: u64,
    /// When it was chosen last, in picks.
    chosen: u64,
    /// Where it is in the heap.
    at: u32,
}

impl Member {
    fn rank(&self) -> (u64, u64) {
        (self.busy, self.chosen)
    }
}

/// What one stream counts on a server of weight 1: enough for equal shares to be equal numbers.
const STREAM: u64 = 1 << 24;
/// Of a server without a place.
const NEVER: u64 = u64::MAX;

fn busy(weight: u32, loads: &impl Loads, id: ServerId) -> u64 {
    let load = loads.load(id);
    match (load.room, load.streams) {
        (Room::Taken | Room::Full, _) => NEVER,
        (Room::Free, 0) => 0,
        (Room::Free, streams) => (u64::from(streams) + 1) * STREAM / u64::from(weight),
    }
}

impl Least {
    /// For nobody yet; the number says with whom of all it begins.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// For these servers, each of a weight above 0, in the order of their ids. Who was there keeps his
    /// place among equals.
    pub fn with(self, usable: &[(u32, ServerId)]) -> Self {
        let count = usable.len() as u64;
        let first = self.members.is_empty();
        let mut before = self.members.iter().peekable();
        let members: Vec<Member> = usable
            .iter()
            .zip(0..)
            .map(|((weight, id), at)| {
                while before.next_if(|member| member.id < *id).is_some() {}
                let known = before.next_if(|member| member.id == *id);
                // The first turns are taken in the order of ids, from one that the seed says.
                let turn = (u64::from(at) + count - self.seed % count) % count;
                let chosen = known.map_or(if first { turn } else { 0 }, |member| member.chosen);
                let busy = known.map_or(0, |member| member.busy);
                Member { id: *id, weight: *weight, busy, chosen, at }
            })
            .collect();
        let large = members.len() > EXACT_MAX;
        let heap = if large { (0..count as u32).collect() } else { Vec::new() };
        let picks = if first { count } else { self.picks };
        let mut least = Self { members, heap, picks, next: 0, seed: self.seed };
        least.build();
        least
    }

    /// The least busy with a place; the one to be avoided only where it is the only one.
    pub fn pick(&mut self, loads: &impl Loads, avoid: Option<ServerId>) -> Option<ServerId> {
        self.picks += 1;
        let at = if self.heap.is_empty() {
            self.scan(loads, avoid)
        } else {
            self.freshen(loads);
            self.top(loads, avoid)
        }?;
        let member = &mut self.members[at];
        member.chosen = self.picks;
        let id = member.id;
        if !self.heap.is_empty() {
            // It is going to have one more, which is two with the one that is compared.
            member.busy = match member.busy {
                0 => 2 * STREAM / u64::from(member.weight),
                busy => busy + STREAM / u64::from(member.weight),
            };
            let place = member.at as usize;
            self.sink(place);
        }
        Some(id)
    }

    /// Reads one server's load again.
    pub fn look_at(&mut self, id: ServerId, loads: &impl Loads) {
        if self.heap.is_empty() {
            return;
        }
        if let Some(at) = self.position(id) {
            self.read(at, loads);
        }
    }

    /// Reads everybody.
    fn scan(&mut self, loads: &impl Loads, avoid: Option<ServerId>) -> Option<usize> {
        let mut best = None;
        for (at, member) in self.members.iter_mut().enumerate() {
            member.busy = busy(member.weight, loads, member.id);
            let rank = (member.busy, Some(member.id) == avoid, member.chosen);
            if member.busy != NEVER
                && best.is_none_or(|(other, _)| by_avoided(rank) < by_avoided(other))
            {
                best = Some((rank, at));
            }
        }
        best.map(|(_, at)| at)
    }

    fn freshen(&mut self, loads: &impl Loads) {
        for _ in 0..FRESH {
            let at = self.next;
            self.next = if at + 1 == self.members.len() { 0 } else { at + 1 };
            self.read(at, loads);
        }
    }

    /// The top of the heap, once it is as busy as was thought.
    fn top(&mut self, loads: &impl Loads, avoid: Option<ServerId>) -> Option<usize> {
        let avoided = avoid.and_then(|id| self.position(id));
        if let Some(at) = avoided {
            self.set(at, NEVER);
        }
        let mut top = self.heap[0] as usize;
        // What comes up last was not read yet.
        let mut right = false;
        for _ in 0..WRONG_MAX {
            self.read(top, loads);
            let now = self.heap[0] as usize;
            right = now == top;
            if right {
                break;
            }
            top = now;
        }
        let found = right && self.members[top].busy != NEVER && Some(top) != avoided;
        let chosen = if found { Some(top) } else { self.scan(loads, avoid) };
        if !found {
            self.build();
        } else if let Some(at) = avoided {
            self.read(at, loads);
        }
        chosen
    }

    fn position(&self, id: ServerId) -> Option<usize> {
        self.members.binary_search_by_key(&id, |member| member.id).ok()
    }

    fn read(&mut self, at: usize, loads: &impl Loads) {
        let member = &self.members[at];
        self.set(at, busy(member.weight, loads, member.id));
    }

    fn set(&mut self, at: usize, busy: u64) {
        let member = &mut self.members[at];
        let before = std::mem::replace(&mut member.busy, busy);
        let place = member.at as usize;
        match busy.cmp(&before) {
            Ordering::Less => self.rise(place),
            Ordering::Greater => self.sink(place),
            Ordering::Equal => {}
        }
    }

    fn build(&mut self) {
        for place in (0..self.heap.len() / 2).rev() {
            self.sink(place);
        }
    }

    fn rank(&self, place: usize) -> (u64, u64) {
        self.members[self.heap[place] as usize].rank()
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.rank(parent) <= self.rank(place) {
                return;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.heap.len() && self.rank(child) < self.rank(least) {
                    least = child;
                }
            }
            if least == place {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for place in [a, b] {
            self.members[self.heap[place] as usize].at = place as u32;
        }
    }
}

/// Who is avoided comes last, however idle.
fn by_avoided((busy, avoided, chosen): (u64, bool, u64)) -> (bool, u64, u64) {
    (avoided, busy, chosen)
}
