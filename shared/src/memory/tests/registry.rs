//! Numbers of objects, over reloads.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use super::super::*;
use crate::model::{
    Backend, Bind, BindAddress, BindOptions, Config, Frontend, Mode, Process, Server,
    ServerAddress, Tune,
};

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A configuration of frontends with what their binds say, and backends with their servers' names.
fn config(frontends: &[(&str, &[&str])], backends: &[(&str, &[&str])]) -> Config {
    Config {
        process: Process::default(),
        tune: Tune::default(),
        logs: Vec::new(),
        frontends: frontends.iter().map(|(name, binds)| frontend(name, binds)).collect(),
        backends: backends.iter().map(|(name, servers)| backend(name, servers)).collect(),
        userlists: Vec::new(),
        error_pages: Vec::new(),
    }
}

fn frontend(name: &str, binds: &[&str]) -> Frontend {
    Frontend {
        binds: binds.iter().map(|written| bind(written)).collect(),
        ..Frontend::new(name, Mode::Tcp)
    }
}

fn bind(written: &str) -> Bind {
    Bind {
        name: String::new(),
        id: 0,
        written: written.to_owned(),
        address: BindAddress::Tcp(ADDRESS),
        options: BindOptions::default(),
        maxconn: None,
        object: 0,
        accept_proxy: None,
        nice: 0,
    }
}

fn backend(name: &str, servers: &[&str]) -> Backend {
    Backend {
        servers: servers.iter().map(|name| server(name)).collect(),
        ..Backend::new(name, Mode::Tcp)
    }
}

fn server(name: &str) -> Server {
    Server::new(name, ServerAddress::Tcp(ADDRESS))
}

/// All numbers of a configuration, in its order.
fn numbers(config: &Config) -> Vec<Object> {
    let frontends = config.frontends.iter().flat_map(|frontend| {
        std::iter::once(frontend.object).chain(frontend.binds.iter().map(|bind| bind.object))
    });
    let backends = config.backends.iter().flat_map(|backend| {
        std::iter::once(backend.object).chain(backend.servers.iter().map(|server| server.object))
    });
    frontends.chain(backends).collect()
}

fn assign(registry: &mut Registry, config: &mut Config, generation: u32) -> Assigned {
    registry.assign(config, generation, Some(generation.saturating_sub(1)))
}

/// Assigns where only the numbers are of interest.
fn reload(registry: &mut Registry, config: &mut Config, generation: u32) {
    let _ = assign(registry, config, generation);
}

/// A backend of so many servers, named after `prefix`.
fn large(prefix: &str, servers: usize) -> Config {
    let names: Vec<_> = (0..servers).map(|n| format!("{prefix}{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    config(&[], &[("b", &names)])
}

#[test]
fn everything_has_a_number_of_its_own_and_the_instance_has_0() {
    let mut registry = Registry::default();
    let mut first = config(&[("a", &[":1", ":2"]), ("b", &[":3"])], &[("a", &["s", "t"])]);
    let assigned = assign(&mut registry, &mut first, 1);
    assert_eq!(numbers(&first), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(assigned, Assigned { chunks: 1, objects: 9, reused: Vec::new() });
    assert_eq!(registry.find(&ObjectKey::Instance), Some(INSTANCE));
}

#[test]
fn an_empty_configuration_needs_a_chunk_for_the_instance() {
    let assigned = assign(&mut Registry::default(), &mut config(&[], &[]), 1);
    assert_eq!(assigned, Assigned { chunks: 1, objects: 1, reused: Vec::new() });
}

#[test]
fn the_order_of_sections_does_not_matter_over_a_reload() {
    let mut registry = Registry::default();
    let mut first = config(&[("a", &[":1", ":2"]), ("b", &[":1"])], &[("c", &["s", "t"])]);
    reload(&mut registry, &mut first, 1);
    let mut second = config(&[("b", &[":1"]), ("a", &[":2", ":9", ":1"])], &[("c", &["t", "s"])]);
    reload(&mut registry, &mut second, 2);
    assert_eq!(numbers(&first), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(numbers(&second), [4, 5, 1, 3, 9, 2, 6, 8, 7]);
}

#[test]
fn one_name_given_twice_is_two_servers_told_apart_by_position() {
    let mut registry = Registry::default();
    let mut first = config(&[("f", &[":1", ":1"])], &[("b", &["w", "w", "x"])]);
    reload(&mut registry, &mut first, 1);
    assert_eq!(numbers(&first), [1, 2, 3, 4, 5, 6, 7]);
    let mut second = config(&[("f", &[":1"])], &[("b", &["x", "w", "w", "w"])]);
    reload(&mut registry, &mut second, 2);
    assert_eq!(numbers(&second), [1, 2, 4, 7, 5, 6, 8]);
}

#[test]
fn what_comes_back_has_its_old_number() {
    let mut registry = Registry::default();
    let mut both = config(&[], &[("b", &["s", "t"])]);
    reload(&mut registry, &mut both, 1);
    reload(&mut registry, &mut config(&[], &[("b", &["u"])]), 2);
    let mut again = config(&[], &[("b", &["t", "s", "u"])]);
    reload(&mut registry, &mut again, 9);
    assert_eq!(numbers(&again), [1, 3, 2, 4]);
}

#[test]
fn names_of_different_kinds_or_parents_do_not_meet() {
    let mut registry = Registry::default();
    let mut all = config(&[("x", &["x"]), ("y", &["x"])], &[("x", &["x"]), ("y", &["x"])]);
    reload(&mut registry, &mut all, 1);
    let distinct: HashSet<_> = numbers(&all).into_iter().collect();
    assert_eq!(distinct.len(), 8);
    assert!(!distinct.contains(&INSTANCE));
}

#[test]
fn a_registry_survives_being_written_and_read() {
    let mut registry = Registry::default();
    let mut first = config(&[("a", &[":1"])], &[("c", &["s", "s"])]);
    reload(&mut registry, &mut first, 1);
    let bytes = postcard::to_stdvec(&registry).expect("written");
    let mut read: Registry = postcard::from_bytes(&bytes).expect("read");
    assert_eq!(read, registry);
    let mut second = first.clone();
    reload(&mut read, &mut second, 2);
    assert_eq!(numbers(&first), numbers(&second));
}

#[test]
fn chunks_grow_with_the_objects() {
    let per_chunk = OBJECTS_PER_CHUNK as usize;
    for (servers, chunks) in [(per_chunk - 2, 1), (per_chunk - 1, 2), (2 * per_chunk, 3)] {
        let assigned = assign(&mut Registry::default(), &mut large("s", servers), 1);
        assert_eq!(assigned.chunks, chunks, "{servers} servers");
        assert_eq!(assigned.objects as usize, servers + 2);
    }
}

#[test]
fn numbers_are_given_away_only_where_a_chunk_would_be_needed_longest_unused_first() {
    let mut registry = Registry::default();
    reload(&mut registry, &mut large("first", 10), 1);
    reload(&mut registry, &mut large("second", 10), 2);
    let most = OBJECTS_PER_CHUNK as usize - 22;
    let assigned = assign(&mut registry, &mut large("third", most), 3);
    assert_eq!((assigned.chunks, assigned.reused), (1, Vec::new()));

    let mut next = large("fourth", 12);
    let assigned = assign(&mut registry, &mut next, 4);
    let expected: Vec<_> = (2..14).collect();
    assert_eq!(assigned, Assigned { chunks: 1, objects: 4096, reused: expected });
    let mut unknown = large("first", 1);
    reload(&mut registry, &mut unknown, 5);
    assert_eq!(numbers(&unknown), [1, 14]);
    let objects: HashSet<_> = registry.objects().map(|(_, key)| key.clone()).collect();
    assert_eq!(objects.len(), 4096);
}

#[test]
fn what_a_living_generation_knows_is_not_given_away() {
    let mut registry = Registry::default();
    let all = OBJECTS_PER_CHUNK as usize - 2;
    let _ = registry.assign(&mut large("old", all), 1, None);
    let assigned = registry.assign(&mut large("new", 3), 2, Some(1));
    assert_eq!((assigned.chunks, assigned.reused), (2, Vec::new()));
}

#[test]
fn what_the_new_configuration_keeps_is_not_given_away() {
    let mut registry = Registry::default();
    let all = OBJECTS_PER_CHUNK as usize - 2;
    let _ = registry.assign(&mut large("s", all), 1, None);
    let mut more = large("s", all + 1);
    let assigned = registry.assign(&mut more, 2, None);
    assert_eq!((assigned.chunks, assigned.reused), (2, Vec::new()));
    let distinct: HashSet<_> = numbers(&more).into_iter().collect();
    assert_eq!(distinct.len(), all + 2);
}
