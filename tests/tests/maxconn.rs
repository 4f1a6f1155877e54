//! Promise: limits are exact over all workers together. Never one connection too many, never a place
//! left free while one waits, also when a worker dies.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use portolan_tests::client::{self, Stream};
use portolan_tests::{
    Listen, Origin, Poller, Portolan, Setup, Storm, address, deadline, per_poller, processes, storm,
};
use rustix::process::Signal;

const LIMIT: u64 = 100;

per_poller!(eight_workers_in_a_storm_never_exceed_a_servers_limit);

fn eight_workers(poller: Option<Poller>, server: SocketAddr) -> (Portolan, SocketAddr) {
    let front = address::free();
    let listen = Listen::at("proxy", front)
        .server_with("one", server, &format!("maxconn = {LIMIT}"))
        .timeout("queue", "10m");
    let setup = Setup::new(listen.to_string()).workers(8);
    let setup = match poller {
        Some(poller) => setup.poller(poller),
        None => setup,
    };
    (setup.start(), front)
}

/// A connection that is served and ends from the server's side.
fn served(mut stream: Stream) -> std::io::Result<()> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer == b"done" { Ok(()) } else { Err(std::io::Error::other(format!("{answer:?}"))) }
}

fn eight_workers_in_a_storm_never_exceed_a_servers_limit(poller: Poller) {
    let _turn = storm::turn();
    let (origin, gate) = Origin::gated();
    let (_portolan, front) = eight_workers(Some(poller), origin.address);
    let storm = Storm::of(250, move |_, _| served(client::try_connect(front)?));
    // The limit is reached while nobody is let through …
    origin.wait_open(LIMIT);
    // … then places change hands as fast as they can.
    gate.open(u64::MAX);
    storm.wait_more(3000);
    storm.end_without_errors();
    assert_eq!(origin.peak(), LIMIT);
}

#[test]
fn a_place_that_becomes_free_is_taken_while_somebody_waits() {
    let _turn = storm::turn();
    let (origin, gate) = Origin::gated();
    let (_portolan, front) = eight_workers(None, origin.address);
    // A place is free once both sides have closed: these clients do so when they are served.
    let clients: Vec<_> = (0..400)
        .map(|_| client::connect(front))
        .map(|stream| std::thread::spawn(move || served(stream)))
        .collect();
    origin.wait_open(LIMIT);
    // One by one, then in handfuls: each place is filled again, and no place too many.
    let mut passed = 0;
    for step in (1..=20).chain([30, 40]) {
        gate.open(step);
        passed += step;
        let expected = LIMIT + passed;
        deadline::until(&format!("{expected} connections served or in service"), || {
            origin.accepted() == expected
        });
        origin.wait_open(LIMIT);
    }
    gate.open(u64::MAX);
    for client in clients {
        client.join().expect("a client").expect("every client is served in the end");
    }
    assert_eq!((origin.peak(), origin.accepted()), (LIMIT, 400));
}

#[test]
fn the_places_of_a_killed_worker_are_taken_by_those_who_wait() {
    let _turn = storm::turn();
    let origin = Origin::mute();
    let (portolan, front) = eight_workers(None, origin.address);
    // Those who are let in come first, so that every worker has some of them, however busy the system.
    let mut clients: Vec<Stream> = (0..LIMIT).map(|_| client::connect(front)).collect();
    origin.wait_open(LIMIT);
    clients.extend((LIMIT..300).map(|_| client::connect(front)));
    let victim = portolan.whole()[0].pid;
    assert!(processes::signal(victim, Signal::KILL));
    deadline::until("connections of the killed worker end", || origin.accepted() > LIMIT);
    deadline::until("their places are taken", || origin.open() == LIMIT);
    portolan.whole();
    assert_eq!(origin.open(), LIMIT);
    drop(clients);
}

#[test]
fn a_frontends_limit_holds_over_all_workers() {
    let origin = Origin::echo();
    let front = address::free();
    let listen =
        Listen::at("proxy", front).line("maxconn = 5\nbacklog = 100").server("one", origin.address);
    limit_of_five(&Setup::new(listen.to_string()).workers(4).start(), front, &origin);
}

#[test]
fn a_binds_limit_holds_over_all_workers() {
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::named("proxy").bind(front, "maxconn = 5").server("one", origin.address);
    limit_of_five(&Setup::new(listen.to_string()).workers(4).start(), front, &origin);
}

#[test]
fn the_global_limit_holds_over_all_workers() {
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::at("proxy", front).server("one", origin.address);
    let setup = Setup::new(listen.to_string()).workers(4).global("maxconn", 5);
    limit_of_five(&setup.start(), front, &origin);
}

/// Twenty clients come; five are served, the others as soon as one of these leaves. None is refused.
fn limit_of_five(portolan: &Portolan, front: SocketAddr, origin: &Origin) {
    let mut streams: Vec<Stream> = (0..20).map(|_| client::connect(front)).collect();
    for stream in &mut streams {
        stream.write_all(b"x").expect("a request");
    }
    origin.wait_open(5);
    deadline::pause(Duration::from_millis(300));
    assert_eq!(origin.peak(), 5, "more than the limit");
    while !streams.is_empty() {
        // Whoever has an answer is in service, ends, and makes room for the next.
        let at = deadline::eventually("a client in service", || streams.iter().position(readable));
        let mut stream = streams.swap_remove(at);
        stream.end_sending().expect("an end");
        assert_eq!(stream.rest().expect("the echo"), b"x");
    }
    assert!(origin.peak() <= 5, "more than the limit: {}", origin.peak());
    assert_eq!(origin.accepted(), 20);
    assert!(portolan.running());
}

fn readable(stream: &Stream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut waited = [PollFd::new(stream, PollFlags::IN)];
    poll(&mut waited, Some(&Timespec::default())).is_ok_and(|ready| ready == 1)
}

#[test]
fn a_limit_survives_a_reload() {
    let origin = Origin::echo();
    let front = address::free();
    let body = Listen::at("proxy", front)
        .server_with("one", origin.address, "maxconn = 3")
        .timeout("queue", "60s")
        .to_string();
    let portolan = Setup::new(body).workers(2).start();
    let mut held: Vec<Stream> = (0..3).map(|_| client::connect(front)).collect();
    for stream in &mut held {
        stream.expect_echo(b"held by the old generation");
    }
    portolan.reload();
    let mut fourth = client::connect(front);
    fourth.write_all(b"x").expect("a request");
    deadline::pause(Duration::from_millis(300));
    assert_eq!(origin.open(), 3, "both generations count together");
    let mut leaving = held.pop().expect("one of three");
    leaving.end_sending().expect("an end");
    leaving.expect_end();
    fourth.read_exact(&mut [0]).expect("its turn");
}

#[test]
fn a_storm_over_many_reloads_never_exceeds_a_servers_limit() {
    let _turn = storm::turn();
    let (origin, gate) = Origin::gated();
    let (portolan, front) = eight_workers(None, origin.address);
    let storm = Storm::of(200, move |_, _| served(client::try_connect(front)?));
    origin.wait_open(LIMIT);
    gate.open(u64::MAX);
    for _ in 0..8 {
        portolan.reload();
        storm.wait_more(100);
    }
    storm.end_without_errors();
    assert_eq!(origin.peak(), LIMIT, "both generations count together");
    deadline::until("all places are free", || origin.open() == 0);
    portolan.only_newest();
}
