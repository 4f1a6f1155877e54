//! Promise: eight workers share clients out among servers as one worker does, by each algorithm.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use portolan_tests::client::{self, Stream};
use portolan_tests::{HttpClient, HttpOrigin, Listen, Origin, Portolan, Setup, address};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A proxy of mode http before servers with these keys each.
fn web(workers: u16, line: &str, keys: &[&str]) -> (Portolan, SocketAddr, Vec<HttpOrigin>) {
    let front = address::free();
    let mut listen = Listen::http("web", front).line(line);
    let mut origins = Vec::new();
    for (name, keys) in NAMES.into_iter().zip(keys) {
        let origin = HttpOrigin::named(name);
        listen = listen.server_with(name, origin.address, keys);
        origins.push(origin);
    }
    (Setup::new(listen.to_string()).workers(workers).start(), front, origins)
}

/// Who answered how often, asked by several clients at once, each of which connects again and again.
fn asked(front: SocketAddr, clients: usize, each: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    std::thread::scope(|scope| {
        let ask = || (0..each).map(|_| HttpClient::to(front).get("/").expect(200).text());
        let clients: Vec<_> =
            (0..clients).map(|_| scope.spawn(move || ask().collect::<Vec<_>>())).collect();
        for client in clients {
            for name in client.join().expect("a client") {
                *counts.entry(name).or_default() += 1;
            }
        }
    });
    counts
}

fn counts(expected: &[usize]) -> BTreeMap<String, usize> {
    NAMES.iter().zip(expected).map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn round_robin_is_exact_over_all_workers_together() {
    for line in ["balance = \"roundrobin\"", "balance = \"static-rr\""] {
        for workers in [1, 8] {
            let keys = ["weight = 1", "weight = 2", "weight = 3"];
            let (_portolan, front, _origins) = web(workers, line, &keys);
            let expected = counts(&[60, 120, 180]);
            assert_eq!(asked(front, 12, 30), expected, "{line}, {workers} workers");
        }
    }
}

#[test]
fn a_heavy_server_gets_its_share_of_two_hundred_and_fifty_six() {
    let keys = ["weight = 256", "weight = 128", "weight = 0", "weight = 128"];
    let (_portolan, front, origins) = web(8, "balance = \"roundrobin\"", &keys);
    let found = asked(front, 8, 64);
    assert_eq!(
        found,
        BTreeMap::from([("a", 256), ("b", 128), ("d", 128)].map(|(n, c)| (n.to_owned(), c)))
    );
    assert!(origins[2].requests().is_empty(), "a server of weight 0 gets no client");
}

/// Connections that stay, one after the other, each established before the next comes.
fn held(front: SocketAddr, count: usize) -> Vec<Stream> {
    (0..count)
        .map(|_| {
            let mut stream = client::connect(front);
            stream.expect_echo(b"held");
            stream
        })
        .collect()
}

/// A proxy of mode tcp before echo servers with these keys each.
fn tcp(workers: u16, line: &str, keys: &[&str]) -> (Portolan, SocketAddr, Vec<Origin>) {
    let front = address::free();
    let mut listen = Listen::at("proxy", front).line(line);
    let mut origins = Vec::new();
    for (name, keys) in NAMES.into_iter().zip(keys) {
        let origin = Origin::echo();
        listen = listen.server_with(name, origin.address, keys);
        origins.push(origin);
    }
    (Setup::new(listen.to_string()).workers(workers).start(), front, origins)
}

fn open(origins: &[Origin]) -> Vec<u64> {
    origins.iter().map(Origin::open).collect()
}

#[test]
fn leastconn_levels_servers_by_weight_over_all_workers() {
    for workers in [1, 8] {
        let keys = ["weight = 1", "weight = 2", "weight = 1"];
        let (_portolan, front, origins) = tcp(workers, "balance = \"leastconn\"", &keys);
        let _held = held(front, 80);
        assert_eq!(open(&origins), [20, 40, 20], "{workers} workers");
    }
}

#[test]
fn leastconn_fills_the_server_that_has_become_empty() {
    let (portolan, front, mut origins) = tcp(8, "balance = \"leastconn\"", &["", "", ""]);
    let mut streams = held(front, 30);
    assert_eq!(open(&origins), [10, 10, 10]);
    // All that the first server has go, whoever has them.
    let gone = origins.swap_remove(0);
    let address = gone.address;
    drop(gone);
    streams.retain_mut(|stream| stream.exchange(b"still there").is_ok());
    assert_eq!(streams.len(), 20);
    // Their workers have noticed it too.
    let left = |info: &str| info.lines().any(|line| line == "CurrConns: 20");
    portolan.wait_answer("show info", left);
    let fresh = Origin::at(address, portolan_tests::origin::echo);
    let _more = held(front, 10);
    assert_eq!(fresh.open(), 10);
}

#[test]
fn the_first_server_with_room_gets_the_client() {
    for workers in [1, 8] {
        let keys = ["maxconn = 2, id = 3", "maxconn = 2, id = 1", "maxconn = 2, id = 2"];
        let (_portolan, front, origins) = tcp(workers, "balance = \"first\"", &keys);
        let mut streams = held(front, 2);
        assert_eq!(open(&origins), [0, 2, 0], "{workers} workers: the lowest id first");
        streams.extend(held(front, 2));
        assert_eq!(open(&origins), [0, 2, 2]);
        streams.extend(held(front, 1));
        assert_eq!(open(&origins), [1, 2, 2]);
        // A place in the first becomes free: the next client has it.
        let mut leaving = streams.remove(0);
        leaving.end_sending().expect("an end");
        leaving.expect_end();
        origins[1].wait_open(1);
        streams.extend(held(front, 1));
        assert_eq!(open(&origins), [1, 2, 2], "{workers} workers");
    }
}

/// Six standard deviations of `count` draws that hit with a probability of a half.
fn noise(count: usize) -> usize {
    (6.0 * (count as f64 / 4.0).sqrt()) as usize
}

#[test]
fn random_shares_are_the_same_with_eight_workers_as_with_one() {
    const EACH: usize = 100;
    for draws in ["balance = \"random(1)\"", "balance = \"random\""] {
        let share = |workers| {
            let (_portolan, front, _origins) = web(workers, draws, &["", ""]);
            asked(front, 8, EACH).get("a").copied().unwrap_or_default()
        };
        let (one, eight) = (share(1), share(8));
        let count = 8 * EACH;
        // The difference of two such numbers varies by the root of two more.
        assert!(one.abs_diff(eight) < noise(2 * count), "{draws}: {one} and {eight} of {count}");
        for share in [one, eight] {
            assert!(share.abs_diff(count / 2) < count / 8 + noise(count), "{draws}: {share}");
        }
    }
}

#[test]
fn nothing_said_is_random() {
    let front = address::free();
    let mut listen = Listen::http("web", front);
    let origins = NAMES.map(HttpOrigin::named);
    for (name, origin) in NAMES.iter().zip(&origins) {
        listen = listen.server(name, origin.address);
    }
    // What tests of other things rely on.
    let text = listen.to_string().replace("balance = \"roundrobin\"\n", "");
    let _portolan = Setup::new(text).workers(8).start();
    let names: Vec<String> = (0..64).map(|_| HttpClient::to(front).get("/").text()).collect();
    // A turn is never missed by round robin.
    assert!(names.windows(5).any(|run| run[0] != run[4]), "{names:?}");
    let mut servers = names.clone();
    servers.sort();
    servers.dedup();
    assert_eq!(servers, NAMES, "all are used");
}

#[test]
fn random_avoids_the_server_that_is_busy() {
    let (portolan, front, origins) = tcp(8, "balance = \"random(4)\"", &["", ""]);
    let streams = held(front, 40);
    let counts = open(&origins);
    assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
    drop(streams);
    assert!(portolan.running());
}

#[test]
fn random_keeps_weights_over_eight_workers() {
    let (_portolan, front, _origins) =
        web(8, "balance = \"random(1)\"", &["weight = 10", "weight = 30"]);
    let counts = asked(front, 8, 100);
    let light = counts.get("a").copied().unwrap_or_default();
    assert!((100..300).contains(&light), "a quarter of 800 within the noise: {counts:?}");
}

#[test]
fn backup_servers_wait_for_the_last_of_the_others() {
    for (line, expected) in [("", vec!["c"]), ("allbackups = true", vec!["c", "d"])] {
        let keys = ["disabled = true", "disabled = true", "backup = true", "backup = true"];
        let line = format!("balance = \"roundrobin\"\n{line}");
        let (portolan, front, _origins) = web(8, &line, &keys);
        let names: Vec<String> = asked(front, 4, 10).into_keys().collect();
        assert_eq!(names, expected, "{line}");
        // One of the others is back: no backup any more.
        portolan.order("set server web/b state ready");
        let names: Vec<String> = asked(front, 4, 10).into_keys().collect();
        assert_eq!(names, ["b"], "{line}");
        portolan.order("set server web/b state maint");
        let names: Vec<String> = asked(front, 4, 10).into_keys().collect();
        assert_eq!(names, expected, "{line}");
    }
}

#[test]
fn without_any_server_left_there_is_an_answer_at_once() {
    let keys = ["disabled = true", "disabled = true"];
    let (_portolan, front, _origins) = web(8, "balance = \"roundrobin\"", &keys);
    for _ in 0..8 {
        assert_eq!(HttpClient::to(front).get("/").status, 503);
    }
}
