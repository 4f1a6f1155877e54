//! Promise: what a server takes at once is counted over all workers: never one more than its limit,
//! never fewer while anybody waits.

use std::net::SocketAddr;
use std::time::Duration;

use portolan_tests::{
    HttpClient, Listen, Patient, Portolan, Setup, Storm, address, deadline, processes, storm,
};
use rustix::process::Signal;

fn start(workers: u16, listen: &Listen) -> Portolan {
    Setup::new(listen.to_string()).workers(workers).start()
}

fn waiting(front: SocketAddr, lines: &[&str]) -> HttpClient {
    let mut client = HttpClient::to(front);
    client.head(&[&["GET / HTTP/1.1", "Host: x"], lines].concat());
    client
}

#[test]
fn a_storm_of_requests_never_exceeds_a_servers_limit_and_always_fills_it() {
    let _turn = storm::turn();
    for (limit, clients, close) in [(1, 16, false), (3, 40, true), (100, 250, false)] {
        let (patient, gate) = Patient::gated("one");
        let front = address::free();
        let listen = Listen::http("web", front)
            .server_with("one", patient.address, &format!("maxconn = {limit}"))
            .timeout("queue", "10m");
        let portolan = start(8, &listen);
        let storm = Storm::of(clients, move |_, _| {
            let mut client = HttpClient::to(front);
            // Some keep their connection for a second request, which waits as all others do.
            for last in if close { 1..2 } else { 0..2 } {
                let end = if last == 1 { "Connection: close" } else { "X-More: to come" };
                client.try_send(format!("GET / HTTP/1.1\r\nHost: x\r\n{end}\r\n\r\n"))?;
                let response = client.try_response("GET")?;
                if response.status != 200 {
                    return Err(std::io::Error::other(format!("{response:?}")));
                }
            }
            Ok(())
        });
        // Full while nobody is let through, and again after each step.
        patient.wait_busy(limit);
        let mut passed = 0;
        for step in [1, 1, limit, limit / 2 + 1] {
            gate.open(step);
            passed += step;
            deadline::until(&format!("{passed} requests served"), || patient.served() == passed);
            patient.wait_busy(limit);
        }
        gate.open(u64::MAX);
        storm.wait_more(500);
        storm.end_without_errors();
        assert_eq!(patient.peak(), limit);
        let zero = |answer: &str| answer.lines().any(|line| line == "CurrConns: 0");
        portolan.wait_answer("show info", zero);
        assert_eq!(patient.busy(), 0);
    }
}

const LIMIT: u64 = 20;

#[test]
fn a_killed_workers_places_are_free_and_the_limit_is_reached_again_exactly() {
    let _turn = storm::turn();
    let (patient, gate) = Patient::gated("one");
    let front = address::free();
    let listen = Listen::http("web", front)
        .server_with("one", patient.address, &format!("maxconn = {LIMIT}"))
        .timeout("queue", "10m");
    let portolan = start(8, &listen);
    // In service first, so that every worker has some; then those who wait.
    let mut clients: Vec<HttpClient> = (0..LIMIT).map(|_| waiting(front, &[])).collect();
    patient.wait_busy(LIMIT);
    clients.extend((0..100).map(|_| waiting(front, &[])));
    for victim in portolan.whole().iter().take(2) {
        assert!(processes::signal(victim.pid, Signal::KILL));
        deadline::until("its end", || !processes::alive(victim.pid));
    }
    // Whoever waits takes the places of the dead.
    portolan.whole();
    patient.wait_busy(LIMIT);
    deadline::pause(Duration::from_millis(300));
    assert_eq!(patient.busy(), LIMIT);
    gate.open(u64::MAX);
    let mut answered = 0;
    for client in &mut clients {
        answered += u64::from(client.try_response("GET").is_ok_and(|one| one.status == 200));
    }
    assert!(answered >= 60, "only those of two of eight workers are lost: {answered} of 120");
    drop(clients);
    assert!(patient.served() >= answered);
    let idle = |answer: &str| answer.lines().any(|line| line == "CurrConns: 0");
    portolan.wait_answer("show info", idle);
}

#[test]
fn with_few_streams_a_server_has_less_than_its_limit_and_all_of_it_with_many() {
    for workers in [1, 8] {
        let (patient, gate) = Patient::gated("one");
        let front = address::free();
        let listen = Listen::http("web", front)
            .line("fullconn = 20")
            .server_with("one", patient.address, "minconn = 2, maxconn = 10")
            .timeout("queue", "10m");
        let _portolan = start(workers, &listen);
        let mut clients = Vec::new();
        // In proportion to the streams of the backend, between both limits.
        for (streams, places) in [(1, 1), (2, 2), (4, 2), (10, 5), (16, 8), (20, 10), (40, 10)] {
            while clients.len() < streams {
                clients.push(waiting(front, &[]));
            }
            patient.wait_busy(places);
            deadline::pause(Duration::from_millis(50));
            assert_eq!(patient.busy(), places, "{streams} streams, {workers} workers");
        }
        gate.open(u64::MAX);
        for mut client in clients {
            client.response().expect(200);
        }
        assert_eq!(patient.peak(), 10);
    }
}

#[test]
fn who_finds_a_servers_queue_full_goes_to_another() {
    let (one, gate) = Patient::gated("one");
    let two = Patient::well("two");
    let front = address::free();
    let listen = Listen::http("web", front)
        .line("balance = \"roundrobin\"\nredispatch = true")
        .line("cookie = { name = \"SRV\", mode = \"insert\", indirect = true }")
        .server_with("one", one.address, "cookie = \"s1\", maxconn = 1, maxqueue = 2")
        .server_with("two", two.address, "cookie = \"s2\"")
        .timeout("queue", "10m");
    let portolan = start(8, &listen);
    let mut clients: Vec<HttpClient> = Vec::new();
    for n in 0..3 {
        clients.push(waiting(front, &["Cookie: SRV=s1"]));
        if n == 0 {
            one.wait_busy(1);
        }
        portolan.wait_queued(n);
    }
    for _ in 0..5 {
        let response = waiting(front, &["Cookie: SRV=s1"]).response().expect(200);
        assert_eq!(response.text(), "two");
    }
    assert_eq!((one.busy(), one.served()), (1, 0));
    gate.open(3);
    for client in &mut clients {
        assert_eq!(client.response().expect(200).text(), "one");
    }
    assert_eq!((one.peak(), one.served(), two.served()), (1, 3, 5));
}

#[test]
fn who_waits_too_long_is_told_so() {
    let (one, gate) = Patient::gated("one");
    let front = address::free();
    let listen = Listen::http("web", front)
        .server_with("one", one.address, "maxconn = 1")
        .timeout("queue", "200ms");
    let portolan = start(8, &listen);
    let mut first = waiting(front, &[]);
    one.wait_busy(1);
    let mut others: Vec<HttpClient> = (0..10).map(|_| waiting(front, &[])).collect();
    for client in &mut others {
        client.response().expect(503);
    }
    gate.open(1);
    first.response().expect(200);
    // Who has gone has left no place behind.
    gate.open(u64::MAX);
    for _ in 0..10 {
        HttpClient::to(front).get("/").expect(200);
    }
    assert_eq!((one.peak(), one.served()), (1, 11));
    assert!(portolan.running());
}

#[test]
fn the_limit_may_change_while_clients_wait() {
    let (one, gate) = Patient::gated("one");
    let front = address::free();
    let listen = Listen::http("web", front)
        .server_with("one", one.address, "maxconn = 2")
        .timeout("queue", "10m");
    let portolan = start(8, &listen);
    let clients: Vec<HttpClient> = (0..30).map(|_| waiting(front, &[])).collect();
    one.wait_busy(2);
    portolan.order("set maxconn server web/one 5");
    one.wait_busy(5);
    portolan.order("set maxconn server web/one 3");
    gate.open(4);
    deadline::until("four are served", || one.served() == 4);
    one.wait_busy(3);
    gate.open(u64::MAX);
    for mut client in clients {
        client.response().expect(200);
    }
    assert_eq!(one.peak(), 5);
}
