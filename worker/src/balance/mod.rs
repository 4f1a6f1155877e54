//! Which of a backend's usable servers is to have a stream.
//!
//! Core: no I/O, no clock, no randomness of its own. The shell says who is usable and how heavy
//! ([`Candidate`]), makes a [`Farm`] of them whenever that changes, and asks the farm for a server by
//! the backend's algorithm. How busy servers are it answers itself ([`Loads`]).
//!
//! | algorithm | asked by | what it reads |
//! | --- | --- | --- |
//! | round robin, static round robin | [`Farm::turns`] | one index that all workers share |
//! | a key without a value | [`Farm::turns`] | the same |
//! | least connections | [`Farm::least`] | loads, and when this worker chose whom |
//! | first | [`Farm::first`] | loads, up to the first with a place |
//! | random | [`Farm::random`] | loads of those drawn |
//! | source, URI, parameter, field, RDP cookie | [`Farm::by_key`] | nothing; loads with a bound |
//!
//! Invariants:
//!
//! - Only usable servers are in a farm: of a weight above 0, and backup servers only while no other
//!   is usable, of those the first alone unless all are allowed.
//! - Who is to be avoided is only chosen where nobody else can be.
//! - Two farms of the same backend and candidates give a key to the same server.
//! - Policies that do not change while running (static round robin and hashes by map) take weights as
//!   they are configured; all others take the effective ones, slow starts included.

mod hash;
pub mod key;
mod least;
mod map;
mod random;
mod ring;
mod schedule;
#[cfg(test)]
mod tests;

use portolan_shared::model::{Affinity, Backend, Balance, HashMethod, ServerId};

use least::Least;
use random::Urn;
use ring::Ring;

pub use hash::{Key, hash};
pub use schedule::Schedule;

/// A server that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: ServerId,
    /// Its effective weight: sixteen times that of the configuration, less while it starts slowly.
    pub weight: u32,
    /// Only used while no other is.
    pub backup: bool,
}

/// Whether a server could have one stream more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Room {
    /// At once.
    Free,
    /// Once another ends: its `maxconn` is reached.
    Taken,
    /// Not even its queue would have it: its `maxqueue` is reached too.
    Full,
}

/// How busy a server is, over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Load {
    /// Streams it serves and those that wait for it alone.
    pub streams: u32,
    /// Whether it could have one more.
    pub room: Room,
}

/// How busy servers are: asked of the shell, for as few servers as an algorithm can do with.
pub trait Loads {
    /// A server's load now, over all workers.
    fn load(&self, id: ServerId) -> Load;
    /// The streams of all servers of the backend together, over all workers; may be more than the
    /// sum of their loads, but not less.
    fn total(&self) -> u32;
}

/// Servers that may be chosen, and what the backend's algorithm needs to choose among them.
#[derive(Clone, Debug, Default)]
pub struct Farm {
    schedule: Schedule,
    policy: Policy,
    /// By position in the backend: the effective weight; 0 where it is not usable.
    weights: Box<[u32]>,
    /// The sum of them.
    total_weight: u64,
    /// Per cent of the mean load that one may have.
    balance_factor: Option<u32>,
    affinity: Affinity,
}

/// What an algorithm keeps.
#[derive(Clone, Debug, Default)]
enum Policy {
    /// Turns alone; also those of keys found by map, whose map they are.
    #[default]
    Turns,
    /// Who was chosen when.
    Least(Least),
    /// Their order.
    First(Box<[ServerId]>),
    /// What is drawn from.
    Random(Urn),
    /// Points of a consistent hash.
    Ring(Ring),
}

impl Farm {
    /// Makes the farm of those who can be used now, in any order.
    ///
    /// The seed is any number that differs from worker to worker: it says with whom least connections
    /// begins, so that not all workers begin with the same.
    pub fn new(backend: &Backend, candidates: &[Candidate], seed: u64) -> Self {
        let mut farm = Self::default();
        if let Balance::LeastConnections = backend.balance {
            farm.policy = Policy::Least(Least::seeded(seed));
        }
        farm.update(backend, candidates);
        farm
    }

    /// Makes it that of others, who are usable now; answers whether anything changed. What was learnt
    /// about those who stay is kept, and much of the work is saved.
    pub fn update(&mut self, backend: &Backend, candidates: &[Candidate]) -> bool {
        let usable = usable(backend, candidates);
        let mut weights = vec![0; backend.servers.len()];
        for (weight, id) in &usable {
            weights[*id as usize] = *weight;
        }
        if weights[..] == self.weights[..] {
            return false;
        }
        let hashed = is_hashed(&backend.balance);
        let by_map = hashed && backend.hashing.method == HashMethod::MapBased;
        self.policy = match (&backend.balance, std::mem::take(&mut self.policy)) {
            (Balance::LeastConnections, Policy::Least(before)) => {
                Policy::Least(before.with(&usable))
            }
            (Balance::LeastConnections, _) => Policy::Least(Least::default().with(&usable)),
            (Balance::First, _) => Policy::First(by_number(backend, &usable)),
            (Balance::Random { .. }, Policy::Random(before)) => {
                Policy::Random(before.with(&usable))
            }
            (Balance::Random { .. }, _) => Policy::Random(Urn::default().with(&usable)),
            (_, Policy::Ring(before)) => Policy::Ring(before.with(backend, &self.weights, &usable)),
            _ if hashed && !by_map => Policy::Ring(Ring::default().with(backend, &[], &usable)),
            _ => Policy::Turns,
        };
        self.schedule = match &backend.balance {
            _ if by_map => map::of(backend, &usable),
            Balance::StaticRoundRobin => Schedule::of(as_configured(backend, &usable)),
            Balance::RoundRobin => Schedule::of(usable.clone()),
            _ if hashed => Schedule::of(usable.clone()),
            _ => Schedule::given(Box::default(), usable.iter().map(|(_, id)| *id).collect()),
        };
        self.weights = weights.into();
        self.total_weight = usable.iter().map(|(weight, _)| u64::from(*weight)).sum();
        // A map knows neither.
        self.balance_factor = backend.hashing.balance_factor.filter(|_| !by_map);
        self.affinity = if by_map { Affinity::Always } else { backend.hashing.affinity };
        true
    }

    /// Whether no server can be chosen.
    pub fn is_empty(&self) -> bool {
        self.total_weight == 0
    }

    /// How many servers can be chosen.
    pub fn server_count(&self) -> usize {
        self.schedule.server_count()
    }

    /// Whether this one can be chosen.
    pub fn contains(&self, id: ServerId) -> bool {
        self.weights.get(id as usize).is_some_and(|weight| *weight > 0)
    }

    /// Whose turn it is; empty for least connections, first and random, which need none.
    pub fn turns(&self) -> &Schedule {
        &self.schedule
    }

    /// The one with the fewest streams by weight of those with a place, the longest not chosen (by
    /// this worker) of equals.
    pub fn least(&mut self, loads: &impl Loads, avoid: Option<ServerId>) -> Option<ServerId> {
        let Policy::Least(least) = &mut self.policy else { return None };
        least.pick(loads, avoid)
    }

    /// Tells least connections that a stream of this worker left this server, so that the farm need
    /// not find out by itself. Nothing depends on it but how soon it is known in a large farm.
    pub fn left(&mut self, id: ServerId, loads: &impl Loads) {
        if let Policy::Least(least) = &mut self.policy {
            least.look_at(id, loads);
        }
    }

    /// The first, by number, with a place.
    pub fn first(&self, loads: &impl Loads, avoid: Option<ServerId>) -> Option<ServerId> {
        let Policy::First(order) = &self.policy else { return None };
        let free = |id: ServerId| loads.load(id).room == Room::Free;
        let others = order.iter().copied().filter(|id| Some(*id) != avoid);
        others.chain(self.avoided(avoid)).find(|id| free(*id))
    }

    /// Of so many drawn by weight the one with the fewest streams by weight, of those with a place.
    pub fn random(
        &mut self,
        draws: u32,
        loads: &impl Loads,
        random: &mut impl FnMut() -> u64,
        avoid: Option<ServerId>,
    ) -> Option<ServerId> {
        let bound = self.bound(loads);
        let Policy::Random(urn) = &mut self.policy else { return None };
        urn.pick(draws, loads, random, avoid, |id, load| {
            bound.allows(self.weights[id as usize], load)
        })
    }

    /// The server of this hash.
    ///
    /// Where a bound is set, the next on the ring that is within it. It may be one that is
    /// saturated: the key's stream then waits for it, unless the backend prefers another one.
    pub fn by_key(
        &self,
        hash: u32,
        loads: &impl Loads,
        avoid: Option<ServerId>,
    ) -> Option<ServerId> {
        match &self.policy {
            Policy::Ring(ring) => self.walk(ring.from(hash), loads, avoid),
            Policy::Turns => {
                let turns = self.schedule.turns();
                let first = u64::from(hash).checked_rem(turns.len() as u64)? as usize;
                self.walk(turns[first..].iter().chain(&turns[..first]).copied(), loads, avoid)
            }
            _ => None,
        }
    }

    /// The first that may have the stream, of those whose turn it would be.
    fn walk(
        &self,
        mut order: impl Iterator<Item = ServerId> + Clone,
        loads: &impl Loads,
        avoid: Option<ServerId>,
    ) -> Option<ServerId> {
        let first = order.clone().next()?;
        if self.balance_factor.is_none() && self.affinity == Affinity::Always {
            return order.find(|id| Some(*id) != avoid).or(Some(first));
        }
        let bound = self.bound(loads);
        let may_have = |id: ServerId| {
            let load = loads.load(id);
            let preferred = match self.affinity {
                Affinity::Always => true,
                Affinity::Maxconn => load.room == Room::Free,
                Affinity::Maxqueue => load.room != Room::Full,
            };
            preferred && bound.allows(self.weights[id as usize], load.streams)
        };
        if Some(first) != avoid && may_have(first) {
            return Some(first);
        }
        let mut met = Met::new(self.weights.len());
        met.is_new(first);
        let mut last = first;
        for id in order {
            if !met.is_new(id) {
                continue;
            }
            if Some(id) != avoid {
                if may_have(id) {
                    return Some(id);
                }
                last = id;
            }
            if met.count == self.server_count() {
                break;
            }
        }
        // Everybody is saturated: the stream waits for the last one met, as HAProxy has it. Or the loads
        // changed meanwhile, so that nobody seemed to be within the bound.
        Some(if self.balance_factor.is_none() { last } else { first })
    }

    fn bound(&self, loads: &impl Loads) -> Bound {
        let slots = self.balance_factor.map(|factor| {
            (u64::from(loads.total()) + 1).saturating_mul(u64::from(factor)).div_ceil(100)
        });
        Bound { slots, total_weight: self.total_weight }
    }

    /// Who is avoided, if it can be chosen at all.
    fn avoided(&self, avoid: Option<ServerId>) -> Option<ServerId> {
        avoid.filter(|id| self.contains(*id))
    }
}

/// How many streams each server may have: its share by weight of slots that are some per cent more
/// than there are streams (consistent hashing with bounded loads, Mirrokni, Thorup and Zadimoghaddam).
#[derive(Clone, Copy, Debug)]
struct Bound {
    /// Over all servers; `None`: no bound.
    slots: Option<u64>,
    total_weight: u64,
}

impl Bound {
    /// Whether one more is within the bound.
    fn allows(self, weight: u32, streams: u32) -> bool {
        self.slots.is_none_or(|slots| {
            let share = u128::from(slots) * u128::from(weight);
            u128::from(streams) < share.div_ceil(u128::from(self.total_weight.max(1)))
        })
    }
}

/// Servers that a walk has met, one bit for each.
struct Met {
    bits: Vec<u64>,
    count: usize,
}

impl Met {
    fn new(servers: usize) -> Self {
        Self { bits: vec![0; servers.div_ceil(64)], count: 0 }
    }

    fn is_new(&mut self, id: ServerId) -> bool {
        let (word, bit) = (&mut self.bits[id as usize / 64], 1 << (id % 64));
        let new = *word & bit == 0;
        *word |= bit;
        self.count += usize::from(new);
        new
    }
}

fn is_hashed(balance: &Balance) -> bool {
    match balance {
        Balance::Source
        | Balance::Uri(_)
        | Balance::UrlParam { .. }
        | Balance::Header { .. }
        | Balance::RdpCookie { .. } => true,
        Balance::RoundRobin
        | Balance::StaticRoundRobin
        | Balance::LeastConnections
        | Balance::First
        | Balance::Random { .. } => false,
    }
}

/// Those of the candidates that may be chosen: (weight, server) in the order of the servers.
fn usable(backend: &Backend, candidates: &[Candidate]) -> Vec<(u32, ServerId)> {
    // Where weights do not change, one that has none never has any.
    let by_map = backend.hashing.method == HashMethod::MapBased && is_hashed(&backend.balance);
    let fixed = by_map || backend.balance == Balance::StaticRoundRobin;
    let known = |it: &&Candidate| {
        let server = backend.servers.get(it.id as usize);
        it.weight > 0 && server.is_some_and(|server| !fixed || server.weight > 0)
    };
    let of_kind = |backup: bool| {
        let kind = candidates.iter().filter(known).filter(move |it| it.backup == backup);
        let mut kind: Vec<(u32, ServerId)> = kind.map(|it| (it.weight, it.id)).collect();
        kind.sort_unstable_by_key(|(_, id)| *id);
        kind
    };
    let mut usable = of_kind(false);
    if usable.is_empty() {
        usable = of_kind(true);
        if !backend.all_backups {
            usable.truncate(1);
        }
    }
    usable
}

/// The same servers with the weights of the configuration.
fn as_configured(backend: &Backend, usable: &[(u32, ServerId)]) -> Vec<(u32, ServerId)> {
    let weight = |id: ServerId| u32::from(backend.servers[id as usize].weight);
    usable.iter().map(|(_, id)| (weight(*id), *id)).collect()
}

fn by_number(backend: &Backend, usable: &[(u32, ServerId)]) -> Box<[ServerId]> {
    let mut order: Vec<ServerId> = usable.iter().map(|(_, id)| *id).collect();
    order.sort_by_key(|id| backend.servers[*id as usize].id);
    order.into()
}
