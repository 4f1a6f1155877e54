//! Promise: a server that cannot be reached is tried again as configured, then another one where that
//! is allowed, and the client hears about it soon. Once per poller.

use std::net::SocketAddr;

use portolan_tests::origin::Blackhole;
use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Origin, Poller, Portolan, Setup, address, client, per_poller};

per_poller!(
    a_server_that_refuses_is_tried_again_and_then_given_up,
    without_retries_one_refusal_is_the_end,
    redispatch_finds_the_living_server,
    redispatch_leaves_a_server_that_does_not_answer,
    a_backend_without_servers_closes_at_once,
    servers_of_weight_zero_get_nothing,
    a_server_that_comes_back_is_used_again,
);

fn start(poller: Poller, listen: &Listen) -> Portolan {
    Setup::new(listen.to_string()).poller(poller).start()
}

/// An address where nobody listens.
fn refusing() -> SocketAddr {
    address::free()
}

fn a_server_that_refuses_is_tried_again_and_then_given_up(poller: Poller) {
    let (log, front) = (Syslog::udp(), address::free());
    // A retry of the same server waits at most as long as a connection may take.
    let listen = Listen::at("proxy", front).timeout("connect", "200ms").log(&log);
    let _portolan = start(poller, &listen.server("dead", refusing()));
    client::connect(front).expect_closed();
    let line = log.only_tcp();
    assert_eq!((line.server.as_str(), line.termination.as_str()), ("dead", "SC"));
    assert_eq!((line.connect_ms, line.retries.as_str()), (-1, "3"), "three is the default");
    assert_eq!(line.bytes_read, "0");
}

fn without_retries_one_refusal_is_the_end(poller: Poller) {
    let (log, front) = (Syslog::udp(), address::free());
    let listen = Listen::at("proxy", front).line("retries = 0").log(&log);
    let _portolan = start(poller, &listen.server("dead", refusing()));
    client::connect(front).expect_closed();
    let line = log.only_tcp();
    assert_eq!((line.termination.as_str(), line.retries.as_str()), ("SC", "0"));
}

fn redispatch_finds_the_living_server(poller: Poller) {
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::named("alive"));
    let listen = Listen::at("proxy", front)
        .option("redispatch")
        .line("retries = 1")
        .server("dead", refusing())
        .server("alive", origin.address)
        .log(&log);
    let _portolan = start(poller, &listen);
    for _ in 0..10 {
        assert_eq!(client::greeting(front), "alive");
    }
    let lines = log.wait_tcp(10);
    assert!(lines.iter().all(|line| line.server == "alive" && line.termination == "--"));
    assert!(lines.iter().any(|line| line.retries == "+1"), "{lines:?}");
}

fn redispatch_leaves_a_server_that_does_not_answer(poller: Poller) {
    let (front, origin, hole) = (address::free(), Origin::named("alive"), Blackhole::open());
    let listen = Listen::at("proxy", front)
        .option("redispatch")
        .line("retries = 1")
        .timeout("connect", "200ms")
        .server("deaf", hole.address)
        .server("alive", origin.address);
    let _portolan = start(poller, &listen);
    for _ in 0..4 {
        assert_eq!(client::greeting(front), "alive");
    }
}

fn a_backend_without_servers_closes_at_once(poller: Poller) {
    let (log, front) = (Syslog::udp(), address::free());
    let _portolan = start(poller, &Listen::at("proxy", front).log(&log));
    client::connect(front).expect_closed();
    let line = log.only_tcp();
    assert_eq!((line.server.as_str(), line.termination.as_str()), ("<NOSRV>", "SC"));
    assert_eq!((line.queue_ms, line.connect_ms), (-1, -1));
}

fn servers_of_weight_zero_get_nothing(poller: Poller) {
    let front = address::free();
    let (idle, busy) = (Origin::named("idle"), Origin::named("busy"));
    let listen = Listen::at("proxy", front)
        .server_with("idle", idle.address, "weight = 0")
        .server("busy", busy.address);
    let _portolan = start(poller, &listen);
    for _ in 0..20 {
        assert_eq!(client::greeting(front), "busy");
    }
    assert_eq!(idle.accepted(), 0);
}

fn a_server_that_comes_back_is_used_again(poller: Poller) {
    let (front, server) = (address::free(), address::free());
    let listen = Listen::at("proxy", front).line("retries = 0").server("one", server);
    let _portolan = start(poller, &listen);
    client::connect(front).expect_closed();
    let _origin = Origin::at(server, portolan_tests::origin::echo);
    client::connect(front).expect_echo(b"welcome back");
}
