//! Promise: whoever waits too long is let go, by the timeout meant for it, and the log says which.
//! Once per poller.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use portolan_tests::client::{self, Stream};
use portolan_tests::origin::Blackhole;
use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Origin, Poller, Portolan, Setup, address, per_poller};

per_poller!(
    a_silent_client_is_let_go_by_the_client_timeout,
    a_server_that_accepts_and_says_nothing_is_let_go_by_the_server_timeout,
    a_server_that_does_not_answer_at_all_is_given_up_after_its_retries,
    a_tunnel_has_a_timeout_of_its_own,
    a_tunnels_timeout_replaces_shorter_ones,
    a_client_that_goes_on_after_the_servers_end_has_client_fin,
    a_server_that_goes_on_after_the_clients_end_has_server_fin,
    a_client_that_does_not_read_is_let_go_by_the_client_timeout,
    traffic_in_one_direction_keeps_a_connection_alive,
);

/// A short time for the timeout under test; the others are a minute, three times the tests' limit.
const SHORT: &str = "300ms";

struct Scene {
    log: Syslog,
    front: SocketAddr,
    _portolan: Portolan,
}

fn scene(poller: Poller, server: SocketAddr, shape: impl Fn(Listen) -> Listen) -> Scene {
    let (log, front) = (Syslog::udp(), address::free());
    let listen = Listen::at("proxy", front).server("one", server).log(&log);
    let portolan = Setup::new(shape(listen).to_string()).poller(poller).start();
    Scene { log, front, _portolan: portolan }
}

fn a_silent_client_is_let_go_by_the_client_timeout(poller: Poller) {
    let origin = Origin::echo();
    let scene = scene(poller, origin.address, |listen| listen.timeout("client", SHORT));
    client::connect(scene.front).expect_closed();
    assert_eq!(scene.log.only_tcp().termination, "cD");
    origin.wait_ending();
}

fn a_server_that_accepts_and_says_nothing_is_let_go_by_the_server_timeout(poller: Poller) {
    let origin = Origin::silent();
    let scene = scene(poller, origin.address, |listen| listen.timeout("server", SHORT));
    let mut stream = client::connect(scene.front);
    stream.write_all(b"anybody?").expect("a question");
    stream.expect_closed();
    let line = scene.log.only_tcp();
    assert_eq!(line.termination, "sD");
    assert_eq!((line.server.as_str(), line.bytes_read.as_str()), ("one", "0"));
}

fn a_server_that_does_not_answer_at_all_is_given_up_after_its_retries(poller: Poller) {
    let hole = Blackhole::open();
    let scene =
        scene(poller, hole.address, |listen| listen.timeout("connect", SHORT).line("retries = 2"));
    client::connect(scene.front).expect_closed();
    let line = scene.log.only_tcp();
    assert_eq!((line.termination.as_str(), line.connect_ms), ("sC", -1));
    assert_eq!(line.retries, "2");
}

fn a_tunnel_has_a_timeout_of_its_own(poller: Poller) {
    let origin = Origin::echo();
    let scene = scene(poller, origin.address, |listen| listen.timeout("tunnel", SHORT));
    let mut stream = client::connect(scene.front);
    stream.expect_echo(b"now it is a tunnel");
    stream.expect_closed();
    let termination = scene.log.only_tcp().termination;
    assert!(matches!(termination.as_str(), "cD" | "sD"), "{termination}");
}

fn a_tunnels_timeout_replaces_shorter_ones(poller: Poller) {
    let origin = Origin::echo();
    let scene = scene(poller, origin.address, |listen| {
        listen.timeout("client", SHORT).timeout("server", SHORT).timeout("tunnel", "60s")
    });
    let mut stream = client::connect(scene.front);
    stream.expect_echo(b"now it is a tunnel");
    stays_open(&mut stream);
    stream.expect_echo(b"and still one");
}

/// Nothing is to be read, the end neither, for several times the short timeout.
fn stays_open(stream: &mut Stream) {
    stream.limit(Duration::from_millis(1200));
    let error = stream.read(&mut [0]).expect_err("nothing to read");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    stream.limit(portolan_tests::deadline::LIMIT);
}

fn a_client_that_goes_on_after_the_servers_end_has_client_fin(poller: Poller) {
    let origin = Origin::named("bye");
    let scene = scene(poller, origin.address, |listen| listen.timeout("client_fin", SHORT));
    let mut stream = client::connect(scene.front);
    assert_eq!(stream.rest().expect("the server's words"), b"bye");
    // The client keeps its own direction open: only client_fin can end this within the limit.
    assert_eq!(scene.log.only_tcp().termination, "cD");
}

fn a_server_that_goes_on_after_the_clients_end_has_server_fin(poller: Poller) {
    let origin = Origin::silent();
    let scene = scene(poller, origin.address, |listen| listen.timeout("server_fin", SHORT));
    let mut stream = client::connect(scene.front);
    stream.write_all(b"that was all").expect("a message");
    stream.end_sending().expect("an end");
    stream.expect_closed();
    assert_eq!(scene.log.only_tcp().termination, "sD");
}

fn a_client_that_does_not_read_is_let_go_by_the_client_timeout(poller: Poller) {
    let origin = Origin::source(1, u64::MAX);
    let scene = scene(poller, origin.address, |listen| listen.timeout("client", "500ms"));
    let _stream = client::connect(scene.front);
    assert_eq!(scene.log.only_tcp().termination, "cD");
    origin.wait_ending();
}

fn traffic_in_one_direction_keeps_a_connection_alive(poller: Poller) {
    // Five times 200 ms are longer than the timeouts; only the client speaks.
    let origin = Origin::mute();
    let scene = scene(poller, origin.address, |listen| {
        listen.timeout("client", "600ms").timeout("server", "600ms")
    });
    let mut stream = client::connect(scene.front);
    for _ in 0..6 {
        stream.write_all(b"x").expect("an open connection");
        stream.limit(Duration::from_millis(200));
        let error = stream.read(&mut [0]).expect_err("nothing to read");
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    }
    portolan_tests::deadline::until("all bytes at the server", || origin.received() == 6);
}
