//! Farms of any servers against naive models.

use std::collections::BTreeMap;

use portolan_shared::model::HashKey;
use proptest::prelude::*;

use super::*;

/// The map as it is defined: every server earns at every turn, and all are looked at.
fn naive_map(weights: &[u16]) -> Vec<ServerId> {
    let divisor = weights.iter().fold(0, |a, b| schedule::gcd(a, u32::from(*b))).max(1);
    let weights: Vec<i64> = weights.iter().map(|it| i64::from(*it) / i64::from(divisor)).collect();
    let sum: i64 = weights.iter().sum();
    let mut saved = vec![0; weights.len()];
    let mut turns = Vec::new();
    for _ in 0..sum {
        for (saved, weight) in saved.iter_mut().zip(&weights) {
            *saved += weight;
        }
        let first =
            |least: i64| (0..weights.len()).find(|at| weights[*at] > 0 && saved[*at] >= least);
        let at = first(sum).or_else(|| first(0)).expect("somebody has earned");
        saved[at] -= sum;
        turns.push(at as ServerId);
    }
    turns
}

/// Any servers' streams and limits.
fn tables(servers: usize) -> impl Strategy<Value = Table> {
    let server = (0_u32..20, prop::option::of(0_u32..20));
    prop::collection::vec(server, servers..=servers).prop_map(Table)
}

/// Weights, loads, and a server to be avoided.
fn scenes(most: usize) -> impl Strategy<Value = (Vec<u16>, Table, Option<ServerId>)> {
    prop::collection::vec(0_u16..=20, 1..most).prop_flat_map(|weights| {
        let servers = weights.len();
        (Just(weights), tables(servers), prop::option::of(0..servers as ServerId))
    })
}

/// Those that may be chosen: of a weight, with a place, and another than that one if there is one.
fn free(weights: &[u16], table: &Table, avoid: Option<ServerId>) -> Vec<ServerId> {
    let all = (0..weights.len() as ServerId)
        .filter(|id| weights[*id as usize] > 0 && table.load(*id).room == Room::Free);
    let (avoided, others): (Vec<_>, Vec<_>) = all.partition(|id| Some(*id) == avoid);
    if others.is_empty() { avoided } else { others }
}

fn hashed(method: HashMethod, weights: &[u16]) -> Backend {
    let mut backend = backend(Balance::Source, weights);
    backend.hashing.method = method;
    backend
}

fn hashes() -> impl Iterator<Item = u32> {
    (0..2000).map(hash::avalanche)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_map_is_the_one_that_is_defined(weights in prop::collection::vec(0_u16..=256, 1..20)) {
        let farm = farm(&hashed(HashMethod::MapBased, &weights));
        prop_assert_eq!(farm.turns().turns(), &naive_map(&weights)[..]);
    }

    #[test]
    fn least_connections_chooses_a_minimum((weights, table, avoid) in scenes(80)) {
        let backend = backend(Balance::LeastConnections, &weights);
        let free = free(&weights, &table, avoid);
        let busy = |id: ServerId| match table.0[id as usize].0 {
            0 => (0, 1),
            streams => (streams + 1, u32::from(weights[id as usize])),
        };
        let less = |a: (u32, u32), b: (u32, u32)| a.0 * b.1 < b.0 * a.1;
        let mut farm = farm(&backend);
        match farm.least(&table, avoid) {
            None => prop_assert!(free.is_empty()),
            Some(chosen) => {
                prop_assert!(free.contains(&chosen));
                prop_assert!(free.iter().all(|id| !less(busy(*id), busy(chosen))));
            }
        }
    }

    #[test]
    fn the_first_free_is_the_first_of_all_that_are((weights, table, avoid) in scenes(20)) {
        let farm = farm(&backend(Balance::First, &weights));
        prop_assert_eq!(farm.first(&table, avoid), free(&weights, &table, avoid).first().copied());
    }

    #[test]
    fn chance_chooses_who_is_free((weights, table, avoid) in scenes(20), seed: u64, draws in 1_u32..6) {
        let mut farm = farm(&backend(Balance::Random { draws }, &weights));
        let free = free(&weights, &table, avoid);
        let chosen = farm.random(draws, &table, &mut chance(seed), avoid);
        prop_assert_eq!(chosen.is_none(), free.is_empty());
        prop_assert!(chosen.is_none_or(|id| free.contains(&id)));
    }

    #[test]
    fn more_draws_than_servers_find_one_of_the_least_busy(table in tables(4), seed: u64) {
        let idle = Table(table.0.iter().map(|(streams, _)| (*streams, None)).collect());
        let mut farm = farm(&backend(Balance::Random { draws: 400 }, &[1; 4]));
        let chosen = farm.random(400, &idle, &mut chance(seed), None).expect("somebody");
        let least = idle.0.iter().map(|(streams, _)| streams).min();
        prop_assert_eq!(Some(&idle.0[chosen as usize].0), least);
    }

    #[test]
    fn an_urn_is_fair(weights in prop::collection::vec(0_u16..=256, 1..12), seed: u64) {
        let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let mut farm = farm(&backend(Balance::Random { draws: 1 }, &weights));
        let (mut counts, mut random) = (vec![0_u32; weights.len()], chance(seed));
        let idle = Table(vec![(0, None); weights.len()]);
        let draws = if sum > 0.0 { 4000 } else { 0 };
        for _ in 0..draws {
            counts[farm.random(1, &idle, &mut random, None).expect("somebody") as usize] += 1;
        }
        for (count, weight) in counts.iter().zip(&weights) {
            let share = f64::from(*weight) / sum.max(1.0);
            // Six standard deviations, and nothing for those of no weight.
            let noise = 6.0 * (f64::from(draws) * share * (1.0 - share)).sqrt();
            prop_assert!((f64::from(*count) - f64::from(draws) * share).abs() <= noise + 0.001);
        }
    }

    #[test]
    fn nobody_of_no_weight_has_a_key(weights in prop::collection::vec(0_u16..=5, 1..12)) {
        for method in [HashMethod::MapBased, HashMethod::Consistent] {
            let farm = farm(&hashed(method, &weights));
            let idle = Table(vec![(0, None); weights.len()]);
            for hash in hashes().take(200) {
                match farm.by_key(hash, &idle, None) {
                    Some(id) => prop_assert!(weights[id as usize] > 0),
                    None => prop_assert!(weights.iter().all(|weight| *weight == 0)),
                }
            }
        }
    }

    #[test]
    fn who_leaves_a_ring_takes_only_its_keys_and_gets_them_back(
        weights in prop::collection::vec(1_u16..=20, 2..12),
        leaves: prop::sample::Index,
    ) {
        let backend = hashed(HashMethod::Consistent, &weights);
        let idle = Table(vec![(0, None); weights.len()]);
        let mut farm = farm(&backend);
        let owners = |farm: &Farm| {
            hashes().map(|hash| farm.by_key(hash, &idle, None).unwrap()).collect::<Vec<_>>()
        };
        let before = owners(&farm);
        let mut rest = everybody(&backend);
        let gone = rest.remove(leaves.index(weights.len())).id;
        farm.update(&backend, &rest);
        for (then, now) in before.iter().zip(owners(&farm)) {
            prop_assert!(now != gone && (*then == gone || *then == now));
        }
        prop_assert_eq!(owners(&Farm::new(&backend, &rest, 0)), owners(&farm));
        farm.update(&backend, &everybody(&backend));
        prop_assert_eq!(owners(&farm), before);
    }

    #[test]
    fn who_weighs_less_loses_keys_and_nobody_else_does(
        weights in prop::collection::vec(2_u16..=20, 2..12),
        lighter: prop::sample::Index,
    ) {
        let backend = hashed(HashMethod::Consistent, &weights);
        let idle = Table(vec![(0, None); weights.len()]);
        let mut all = everybody(&backend);
        let full = farm(&backend);
        let lighter = lighter.index(weights.len());
        all[lighter].weight /= 2;
        let less = Farm::new(&backend, &all, 0);
        for hash in hashes() {
            let (then, now) = (full.by_key(hash, &idle, None), less.by_key(hash, &idle, None));
            prop_assert!(then == now || then == Some(lighter as ServerId));
        }
    }

    #[test]
    fn nobody_is_given_more_than_the_bound(
        weights in prop::collection::vec(1_u16..=20, 1..12),
        factor in 101_u32..200,
        seed: u64,
        by_chance: bool,
    ) {
        let balance = if by_chance { Balance::Random { draws: 2 } } else { Balance::Source };
        let mut backend = backend(balance, &weights);
        backend.hashing.method = HashMethod::Consistent;
        backend.hashing.balance_factor = Some(factor);
        let mut farm = farm(&backend);
        let mut world = Table(vec![(0, None); weights.len()]);
        let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut random = chance(seed);
        for _ in 0..300 {
            // Few keys, so that without a bound few servers would have all.
            let hash = hash::avalanche((random() % 3) as u32);
            let id = if by_chance {
                farm.random(2, &world, &mut random, None)
            } else {
                farm.by_key(hash, &world, None)
            };
            let id = id.expect("somebody is below the mean") as usize;
            world.0[id].0 += 1;
            let slots = (u64::from(world.total()) * u64::from(factor)).div_ceil(100);
            let most = (slots * u64::from(weights[id])).div_ceil(sum);
            prop_assert!(u64::from(world.0[id].0) <= most, "{:?} {id} {most}", world.0);
        }
    }

    #[test]
    fn what_is_updated_is_as_if_it_were_made_anew(
        weights in prop::collection::vec(0_u16..=9, 1..50),
        steps in prop::collection::vec(prop::collection::vec(0_u32..=9, 50), 1..4),
        seed: u64,
    ) {
        for balance in [Balance::RoundRobin, Balance::StaticRoundRobin, Balance::First, Balance::Source] {
            for method in [HashMethod::MapBased, HashMethod::Consistent] {
                let mut backend = backend(balance.clone(), &weights);
                backend.hashing.method = method;
                let idle = Table(vec![(0, None); weights.len()]);
                let mut updated = farm(&backend);
                for step in &steps {
                    let mut all = everybody(&backend);
                    for (candidate, weight) in all.iter_mut().zip(step) {
                        candidate.weight = candidate.weight.min(weight * 16);
                    }
                    updated.update(&backend, &all);
                    let new = Farm::new(&backend, &all, seed);
                    prop_assert_eq!(updated.turns(), new.turns());
                    prop_assert_eq!(updated.first(&idle, None), new.first(&idle, None));
                    for hash in hashes().take(100) {
                        prop_assert_eq!(updated.by_key(hash, &idle, None), new.by_key(hash, &idle, None));
                    }
                }
            }
        }
    }
}

#[test]
fn keys_are_shared_by_weight_on_a_ring_about_and_in_a_map_exactly() {
    let weights = [10, 20, 30, 40];
    for (method, noise) in [(HashMethod::MapBased, 0.02), (HashMethod::Consistent, 0.15)] {
        let farm = farm(&hashed(method, &weights));
        let idle = Table(vec![(0, None); weights.len()]);
        let mut counts = BTreeMap::new();
        for key in 0..100_000 {
            let id = farm.by_key(hash::avalanche(key), &idle, None).unwrap();
            *counts.entry(id).or_insert(0) += 1;
        }
        for (id, weight) in (0..).zip(weights) {
            let share = f64::from(counts[&id]) / f64::from(weight) / 1000.0;
            assert!((share - 1.0).abs() < noise, "{method:?} {counts:?}");
        }
    }
}

#[test]
fn a_key_of_a_saturated_server_goes_on_where_the_backend_wants_that() {
    let mut backend = hashed(HashMethod::Consistent, &[1, 1, 1]);
    let usual = farm(&backend).by_key(7, &Table(vec![(0, None); 3]), None).unwrap();
    let mut loads = vec![(0, Some(1)); 3];
    loads[usual as usize].0 = 1;
    let chosen = |backend: &Backend, loads: &[(u32, Option<u32>)]| {
        farm(backend).by_key(7, &Table(loads.to_vec()), None).unwrap()
    };
    assert_eq!(chosen(&backend, &loads), usual);
    backend.hashing.affinity = Affinity::Maxconn;
    let next = chosen(&backend, &loads);
    assert_ne!(next, usual);
    // With nobody free it waits for the last on the way.
    let last = chosen(&backend, &[(1, Some(1)); 3]);
    assert!(last != usual && last != next);
    backend.hashing.affinity = Affinity::Maxqueue;
    assert_eq!(chosen(&backend, &loads), usual);
}

#[test]
fn what_places_a_server_on_the_ring_is_all_that_matters() {
    let mut backend = hashed(HashMethod::Consistent, &[3, 3, 3, 3]);
    let idle = Table(vec![(0, None); 4]);
    let names = |backend: &Backend| {
        let farm = farm(backend);
        let name = |hash| &backend.servers[farm.by_key(hash, &idle, None).unwrap() as usize].name;
        hashes().map(|hash| name(hash).clone()).collect::<Vec<_>>()
    };
    let (mut seen, keys) =
        (Vec::new(), [HashKey::Id, HashKey::Id32, HashKey::Address, HashKey::AddressPort]);
    for key in keys {
        for server in &mut backend.servers {
            server.hash_key = key;
        }
        let before = names(&backend);
        backend.servers.reverse();
        assert_eq!(names(&backend), before, "{key:?}");
        // Nobody has much more or less than his quarter.
        for server in &backend.servers {
            let count = before.iter().filter(|name| **name == server.name).count();
            assert!((250..=800).contains(&count), "{key:?} {} {count}", server.name);
        }
        assert!(!seen.contains(&before), "{key:?}");
        seen.push(before);
    }
    // The port counts for the last of them only.
    for server in &mut backend.servers {
        server.address = ServerAddress::Tcp(match server.address {
            ServerAddress::Tcp(address) => (address.ip(), 81).into(),
            _ => continue,
        });
    }
    assert_ne!(names(&backend), seen[3]);
    for server in &mut backend.servers {
        server.hash_key = HashKey::Address;
    }
    assert_eq!(names(&backend), seen[2]);
}
