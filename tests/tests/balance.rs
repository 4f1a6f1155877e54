//! Promise: servers get connections by their weights, counted over all workers together.

use std::collections::BTreeMap;

use portolan_tests::{Listen, Origin, Setup, address, client};

/// How often each server greeted in so many connections.
fn greetings(front: std::net::SocketAddr, count: usize) -> BTreeMap<String, usize> {
    let mut greetings = BTreeMap::new();
    for _ in 0..count {
        *greetings.entry(client::greeting(front)).or_default() += 1;
    }
    greetings
}

fn expected(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn equal_servers_take_turns_over_four_workers() {
    let front = address::free();
    let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
    let listen = Listen::at("proxy", front)
        .server("a", a.address)
        .server("b", b.address)
        .server("c", c.address);
    let _portolan = Setup::new(listen.to_string()).workers(4).start();
    // Whoever served it: each run of three connections reaches each server once.
    for _ in 0..20 {
        assert_eq!(greetings(front, 3), expected(&[("a", 1), ("b", 1), ("c", 1)]));
    }
}

#[test]
fn weights_are_kept_exactly_over_four_workers() {
    let front = address::free();
    let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
    let listen = Listen::at("proxy", front)
        .server_with("a", a.address, "weight = 10")
        .server_with("b", b.address, "weight = 20")
        .server_with("c", c.address, "weight = 30");
    let _portolan = Setup::new(listen.to_string()).workers(4).start();
    assert_eq!(greetings(front, 300), expected(&[("a", 50), ("b", 100), ("c", 150)]));
}

#[test]
fn a_heavy_server_does_not_get_its_share_in_one_run() {
    let front = address::free();
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let listen = Listen::at("proxy", front).server_with("a", a.address, "weight = 4").server_with(
        "b",
        b.address,
        "weight = 4",
    );
    let _portolan = Setup::new(listen.to_string()).workers(2).start();
    let order: Vec<String> = (0..16).map(|_| client::greeting(front)).collect();
    assert!(order.windows(2).all(|two| two[0] != two[1]), "{order:?}");
}

#[test]
fn two_servers_of_one_name_are_two_servers() {
    let front = address::free();
    let (first, second) = (Origin::named("first"), Origin::named("second"));
    let listen = Listen::at("cluster", front)
        .server("webapp1", first.address)
        .server("webapp1", second.address);
    let _portolan = Setup::new(listen.to_string()).start();
    assert_eq!(greetings(front, 10), expected(&[("first", 5), ("second", 5)]));
}

#[test]
fn the_turn_goes_on_after_a_reload() {
    let front = address::free();
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let listen = Listen::at("proxy", front).server("a", a.address).server("b", b.address);
    let portolan = Setup::new(listen.to_string()).start();
    let mut order = vec![client::greeting(front)];
    for _ in 0..4 {
        portolan.reload();
        order.push(client::greeting(front));
    }
    assert!(order.windows(2).all(|two| two[0] != two[1]), "{order:?}");
}

#[test]
fn weights_may_change_at_a_reload() {
    let front = address::free();
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let body = |weight: u32| {
        Listen::at("proxy", front)
            .server_with("a", a.address, &format!("weight = {weight}"))
            .server("b", b.address)
            .to_string()
    };
    let portolan = Setup::new(body(1)).start();
    assert_eq!(greetings(front, 10), expected(&[("a", 5), ("b", 5)]));
    portolan.configure(&body(4));
    portolan.reload();
    assert_eq!(greetings(front, 10), expected(&[("a", 8), ("b", 2)]));
}
