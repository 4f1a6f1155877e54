//! Promise: no more come within a second than a rate allows, over all workers together; whoever is
//! too many waits in the kernel's queue and is served later, not refused.
//!
//! What is measured is only how long many take at least: a slow machine can make it longer. Of n
//! connections, `LIMIT` may begin at once, the others at the rate (the estimate of the last second, to
//! which the limit applies, lets no burst follow a burst).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portolan_tests::client;
use portolan_tests::{Listen, Origin, Setup, Storm, address, storm};

const LIMIT: u64 = 50;
const CLIENTS: u64 = 125;

/// So many connections through one rate, their order aside, last at least so long.
fn at_least(connections: u64) -> Duration {
    // The last of them begins when all but one are counted; rounding allows one more.
    Duration::from_millis((connections - LIMIT - 2) * 1000 / LIMIT)
}

/// Clients that come all at once, spread over these addresses; each is served.
fn served(fronts: &[SocketAddr]) -> Duration {
    let begun = Instant::now();
    let clients: Vec<_> = (0..CLIENTS as usize)
        .map(|n| {
            let front = fronts[n % fronts.len()];
            std::thread::spawn(move || client::ask(front, b"x").expect("an answer"))
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().expect("a client"), b"x");
    }
    begun.elapsed()
}

#[test]
fn a_frontends_rate_holds_over_eight_workers() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::at("proxy", front)
        .line(&format!("rate_limit_sessions = {LIMIT}\nbacklog = 1000"))
        .server("one", origin.address);
    let _portolan = Setup::new(listen.to_string()).workers(8).start();
    let took = served(&[front]);
    assert!(took >= at_least(CLIENTS), "{CLIENTS} connections in {took:?}");
    assert_eq!(origin.accepted(), CLIENTS);
}

/// Two frontends under a limit of all.
fn both_share(key: &str) {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let fronts = [address::free(), address::free()];
    let listen = |name, front| {
        Listen::at(name, front).line("backlog = 1000").server("one", origin.address).to_string()
    };
    let body = listen("first", fronts[0]) + &listen("second", fronts[1]);
    let _portolan = Setup::new(body).workers(8).global(key, LIMIT).start();
    let took = served(&fronts);
    assert!(took >= at_least(CLIENTS), "{CLIENTS} connections in {took:?}");
    assert_eq!(origin.accepted(), CLIENTS);
}

#[test]
fn a_rate_of_connections_holds_over_all_frontends_and_workers() {
    both_share("maxconnrate");
}

#[test]
fn a_rate_of_sessions_holds_over_all_frontends_and_workers() {
    both_share("maxsessrate");
}

#[test]
fn a_rate_of_one_frontend_does_not_slow_down_another() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (slow, fast) = (address::free(), address::free());
    let limited = Listen::at("slow", slow)
        .line("rate_limit_sessions = 1\nbacklog = 1000")
        .server("one", origin.address);
    let free = Listen::at("fast", fast).server("one", origin.address);
    let _portolan = Setup::new(format!("{limited}{free}")).workers(8).start();
    let storm = Storm::of(4, move |_, _| client::ask(slow, b"x").map(drop));
    let begun = Instant::now();
    for _ in 0..200 {
        assert_eq!(client::ask(fast, b"x").expect("an answer"), b"x");
    }
    // As many through the slow one would have taken minutes.
    assert!(begun.elapsed() < Duration::from_secs(100));
    storm.end_without_errors();
}

#[test]
fn a_rate_goes_on_over_reloads_and_nobody_is_lost_meanwhile() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::at("proxy", front)
        .line(&format!("rate_limit_sessions = {LIMIT}\nbacklog = 1000"))
        .server("one", origin.address);
    let portolan = Setup::new(listen.to_string()).workers(8).start();
    let took = std::thread::scope(|scope| {
        let clients = scope.spawn(|| served(&[front]));
        for _ in 0..3 {
            portolan.reload();
        }
        clients.join().expect("the clients")
    });
    assert!(took >= at_least(CLIENTS), "{CLIENTS} connections in {took:?}");
    assert_eq!(origin.accepted(), CLIENTS);
    portolan.only_newest();
}

#[test]
fn a_client_that_waits_for_a_rate_is_not_known_to_the_server() {
    let _turn = storm::turn();
    let origin = Origin::mute();
    let front = address::free();
    let listen = Listen::at("proxy", front)
        .line("rate_limit_sessions = 1\nbacklog = 1000")
        .server("one", origin.address);
    let _portolan = Setup::new(listen.to_string()).workers(2).start();
    let begun = Instant::now();
    let clients: Vec<_> = (0..3).map(|_| client::connect(front)).collect();
    origin.wait_open(3);
    // One in each second of the clock: the third comes in the third second.
    assert!(begun.elapsed() > Duration::from_secs(1));
    drop(clients);
}
