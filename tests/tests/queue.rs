//! Promise: a client waits for a server's place in order, for as long as configured, and may leave.
//! Once per poller.

use std::io::Write;
use std::net::SocketAddr;

use portolan_tests::client::{self, Stream};
use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Origin, Poller, Portolan, Setup, address, per_poller};

per_poller!(
    who_waits_longer_than_the_queue_timeout_is_let_go,
    without_a_queue_timeout_the_connect_timeout_holds,
    a_client_that_resets_while_it_waits_is_forgotten,
    clients_are_served_in_the_order_in_which_they_came,
    what_a_client_sent_while_it_waited_is_not_lost,
    a_place_freed_by_a_client_is_taken,
);

struct Scene {
    log: Syslog,
    front: SocketAddr,
    portolan: Portolan,
}

/// Four workers before a server that takes one connection at a time.
fn scene(poller: Poller, server: SocketAddr, shape: impl Fn(Listen) -> Listen) -> Scene {
    let (log, front) = (Syslog::udp(), address::free());
    let listen = Listen::at("proxy", front).server_with("one", server, "maxconn = 1").log(&log);
    let setup = Setup::new(shape(listen).to_string()).workers(4).poller(poller);
    Scene { log, front, portolan: setup.start() }
}

/// Takes the only place.
fn hold(front: SocketAddr) -> Stream {
    let mut holder = client::connect(front);
    holder.expect_echo(b"mine");
    holder
}

fn who_waits_longer_than_the_queue_timeout_is_let_go(poller: Poller) {
    let origin = Origin::echo();
    let scene = scene(poller, origin.address, |listen| listen.timeout("queue", "300ms"));
    let _holder = hold(scene.front);
    client::connect(scene.front).expect_closed();
    let line = scene.log.only_tcp();
    assert_eq!((line.termination.as_str(), line.connect_ms), ("sQ", -1));
    assert!(line.queue_ms >= 300, "{line:?}");
    assert_eq!(origin.accepted(), 1, "the server saw no second connection");
}

fn without_a_queue_timeout_the_connect_timeout_holds(poller: Poller) {
    let origin = Origin::echo();
    let scene = scene(poller, origin.address, |listen| listen.timeout("connect", "300ms"));
    let _holder = hold(scene.front);
    client::connect(scene.front).expect_closed();
    assert_eq!(scene.log.only_tcp().termination, "sQ");
}

fn a_client_that_resets_while_it_waits_is_forgotten(poller: Poller) {
    let origin = Origin::echo();
    let scene = scene(poller, origin.address, |listen| listen.timeout("queue", "60s"));
    let mut holder = hold(scene.front);
    let mut waiting = client::connect(scene.front);
    waiting.write_all(b"let me in").expect("a request");
    scene.portolan.wait_queued(1);
    waiting.reset();
    assert_eq!(scene.log.only_tcp().termination, "CQ");
    // Its turn goes to nobody: the next one is served.
    holder.end_sending().expect("an end");
    holder.expect_end();
    client::connect(scene.front).expect_echo(b"next");
    assert_eq!(origin.accepted(), 2);
}

fn clients_are_served_in_the_order_in_which_they_came(poller: Poller) {
    let (origin, gate) = Origin::gated();
    let scene = scene(poller, origin.address, |listen| listen.timeout("queue", "60s"));
    let mut streams = Vec::new();
    for n in 0..9 {
        streams.push(client::connect(scene.front));
        if n == 0 {
            origin.wait_open(1);
        }
        // The order is theirs only if each is in the pending queue before the next comes.
        scene.portolan.wait_queued(n);
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        gate.open(1);
        assert_eq!(stream.rest().expect("its turn"), b"done", "client {n}");
        stream.end_sending().expect("an end");
    }
    assert_eq!(origin.peak(), 1);
    assert!(scene.portolan.running());
}

fn what_a_client_sent_while_it_waited_is_not_lost(poller: Poller) {
    let origin = Origin::echo();
    let scene = scene(poller, origin.address, |listen| listen.timeout("queue", "60s"));
    let mut holder = hold(scene.front);
    let mut waiting = client::connect(scene.front);
    waiting.write_all(b"said early").expect("a request");
    waiting.end_sending().expect("an end");
    scene.portolan.wait_queued(1);
    holder.end_sending().expect("an end");
    holder.expect_end();
    assert_eq!(waiting.rest().expect("the echo"), b"said early");
}

fn a_place_freed_by_a_client_is_taken(poller: Poller) {
    let origin = Origin::echo();
    let scene = scene(poller, origin.address, |listen| listen.timeout("queue", "60s"));
    for _ in 0..10 {
        let holder = hold(scene.front);
        let mut waiting = client::connect(scene.front);
        waiting.write_all(b"x").expect("a request");
        holder.reset();
        let mut byte = [0];
        std::io::Read::read_exact(&mut waiting, &mut byte).expect("its turn");
        waiting.reset();
    }
    assert_eq!(origin.accepted(), 20);
}
