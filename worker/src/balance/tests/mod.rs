//! Farms of every algorithm against naive models.

mod distribution;
mod haproxy;
mod properties;

use std::collections::BTreeSet;

use portolan_shared::model::{Mode, Server, ServerAddress};

use super::*;

/// Loads that are a table: streams and limit of each server.
#[derive(Clone, Debug)]
pub struct Table(pub Vec<(u32, Option<u32>)>);

impl Loads for Table {
    fn load(&self, id: ServerId) -> Load {
        let (streams, limit) = self.0[id as usize];
        let taken = limit.is_some_and(|limit| streams >= limit);
        Load { streams, room: if taken { Room::Taken } else { Room::Free } }
    }

    fn total(&self) -> u32 {
        self.0.iter().map(|(streams, _)| streams).sum()
    }
}

pub fn backend(balance: Balance, weights: &[u16]) -> Backend {
    let mut backend = Backend::new("b", Mode::Http);
    backend.balance = balance;
    for (at, weight) in (1..).zip(weights) {
        let address = ServerAddress::Tcp(([10, 0, 0, at as u8], 80).into());
        let mut server = Server::new(format!("s{at}"), address);
        (server.weight, server.id) = (*weight, at);
        backend.servers.push(server);
    }
    backend
}

pub fn everybody(backend: &Backend) -> Vec<Candidate> {
    let candidate = |(id, server): (ServerId, &Server)| Candidate {
        id,
        weight: u32::from(server.weight) * 16,
        backup: server.backup,
    };
    (0..).zip(&backend.servers).map(candidate).collect()
}

pub fn farm(backend: &Backend) -> Farm {
    Farm::new(backend, &everybody(backend), 0)
}

#[test]
fn backups_are_used_only_where_nobody_else_is_and_only_the_first_unless_all_are() {
    let mut backend = backend(Balance::RoundRobin, &[0, 1, 1, 1]);
    for id in [2, 3] {
        backend.servers[id].backup = true;
    }
    let all = everybody(&backend);
    let who = |backend: &Backend, candidates: &[Candidate]| {
        let farm = Farm::new(backend, candidates, 0);
        (0..4).filter(|id| farm.contains(*id)).collect::<Vec<_>>()
    };
    assert_eq!(who(&backend, &all), [1]);
    assert_eq!(who(&backend, &all[2..]), [2]);
    assert_eq!(who(&backend, &all[..1]), [0; 0]);
    backend.all_backups = true;
    assert_eq!(who(&backend, &all[2..]), [2, 3]);
}

#[test]
fn the_least_busy_by_weight_is_chosen_and_equals_take_turns() {
    let backend = backend(Balance::LeastConnections, &[1, 2, 4]);
    let mut farm = farm(&backend);
    assert_eq!(farm.least(&Table(vec![(1, None), (4, None), (8, None)]), None), Some(0));
    assert_eq!(farm.least(&Table(vec![(1, Some(1)), (4, None), (8, None)]), None), Some(2));
    assert_eq!(farm.least(&Table(vec![(0, None), (2, None), (7, None)]), Some(0)), Some(1));
    let idle = Table(vec![(0, None); 3]);
    let turns: Vec<_> = (0..6).map(|_| farm.least(&idle, None).unwrap()).collect();
    assert_eq!(turns, [0, 2, 1, 0, 2, 1]);
    assert_eq!(farm.least(&Table(vec![(1, Some(1)); 3]), None), None);
}

#[test]
fn the_first_by_number_with_a_place_is_chosen() {
    let mut backend = backend(Balance::First, &[1, 1, 1]);
    backend.servers[2].id = 0;
    let farm = farm(&backend);
    assert_eq!(farm.first(&Table(vec![(0, Some(1)); 3]), None), Some(2));
    assert_eq!(farm.first(&Table(vec![(0, Some(1)); 3]), Some(2)), Some(0));
    let loads = Table(vec![(1, Some(1)), (0, Some(1)), (1, Some(1))]);
    assert_eq!(farm.first(&loads, None), Some(1));
    assert_eq!(farm.first(&loads, Some(1)), Some(1));
}

#[test]
fn a_key_has_one_server_and_another_where_that_is_avoided() {
    for method in [HashMethod::MapBased, HashMethod::Consistent] {
        let mut backend = backend(Balance::Source, &[1, 2, 3]);
        backend.hashing.method = method;
        let farm = farm(&backend);
        let idle = Table(vec![(0, None); 3]);
        for key in 0..1000_u32 {
            let hash = hash::avalanche(key);
            let chosen = farm.by_key(hash, &idle, None);
            assert!(chosen.is_some());
            assert_eq!(farm.by_key(hash, &idle, None), chosen);
            assert_ne!(farm.by_key(hash, &idle, chosen), chosen);
        }
    }
}

#[test]
fn chance_gives_shares_by_weight_and_no_full_server() {
    let backend = backend(Balance::Random { draws: 2 }, &[1, 2, 5]);
    let mut farm = farm(&backend);
    let mut random = chance(1);
    let mut counts = [0_u32; 3];
    for _ in 0..8000 {
        counts[farm.random(2, &Table(vec![(0, None); 3]), &mut random, None).unwrap() as usize] +=
            1;
    }
    for (count, share) in counts.iter().zip([1000, 2000, 5000]) {
        assert!(count.abs_diff(share) < 100, "{counts:?}");
    }
    let full = Table(vec![(1, Some(1)), (1, Some(1)), (0, Some(1))]);
    assert_eq!(farm.random(2, &full, &mut random, None), Some(2));
    assert_eq!(farm.random(2, &full, &mut random, Some(2)), Some(2));
    assert_eq!(farm.random(2, &Table(vec![(1, Some(1)); 3]), &mut random, None), None);
}

/// Loads and the time at which each stream ends, on a common clock.
struct World {
    table: Table,
    /// (end, server, worker)
    running: BTreeSet<(u64, u32, ServerId, usize)>,
    count: u32,
}

impl World {
    fn new(servers: usize) -> Self {
        Self { table: Table(vec![(0, None); servers]), running: BTreeSet::new(), count: 0 }
    }

    fn begin(&mut self, id: ServerId, worker: usize, end: u64) {
        self.table.0[id as usize].0 += 1;
        self.count += 1;
        self.running.insert((end, self.count, id, worker));
    }

    /// Ends what is over; tells the workers whose streams they were.
    fn end(&mut self, now: u64, farms: &mut [Farm]) {
        while let Some(&(end, count, id, worker)) = self.running.first() {
            if end > now {
                return;
            }
            self.running.remove(&(end, count, id, worker));
            self.table.0[id as usize].0 -= 1;
            farms[worker].left(id, &self.table);
        }
    }
}

fn chance(seed: u64) -> impl FnMut() -> u64 {
    // splitmix64
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn one_worker_that_is_told_of_every_end_chooses_a_minimum_in_a_large_farm_too() {
    let weights: Vec<u16> = (0..200).map(|at| 1 + at % 7).collect();
    let backend = backend(Balance::LeastConnections, &weights);
    let mut farms = [farm(&backend)];
    let mut world = World::new(200);
    let mut random = chance(1);
    for now in 0..20_000 {
        world.end(now, &mut farms);
        let id = farms[0].least(&world.table, None).unwrap();
        let busy = |id: usize| match world.table.0[id].0 {
            0 => 0,
            streams => (streams + 1) * 420 / u32::from(weights[id]),
        };
        let least = (0..200).map(busy).min().unwrap();
        assert_eq!(busy(id as usize), least, "{now}");
        world.begin(id, 0, now + 1 + random() % 2000);
    }
}

#[test]
fn an_idle_farm_is_gone_round_evenly_however_large() {
    for servers in [3, 33, 200] {
        let mut farm = farm(&backend(Balance::LeastConnections, &vec![1; servers]));
        let idle = Table(vec![(0, None); servers]);
        let mut counts = vec![0; servers];
        for _ in 0..servers * 5 {
            counts[farm.least(&idle, None).unwrap() as usize] += 1;
        }
        assert!(counts.iter().all(|count| (4..=6).contains(count)), "{counts:?}");
    }
}

#[test]
fn turns_follow_effective_weights_except_where_they_are_static() {
    for (balance, period) in [(Balance::RoundRobin, 5), (Balance::StaticRoundRobin, 3)] {
        let backend = backend(balance, &[2, 1]);
        let mut farm = farm(&backend);
        assert_eq!(farm.turns().len(), 3);
        let mut candidates = everybody(&backend);
        // Halfway through its slow start.
        candidates[1].weight = 8;
        farm.update(&backend, &candidates);
        assert_eq!(farm.turns().len(), period);
        assert!(farm.update(&backend, &[]));
        assert!(farm.is_empty() && !farm.update(&backend, &[]));
    }
}
