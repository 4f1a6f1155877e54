//! Promise: what the configuration says about sockets is what the kernel is told. Seen from outside:
//! by what peers notice, and by `ss`, where that is installed.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use portolan_tests::origin::Ending;
use portolan_tests::{
    Listen, Origin, Poller, Portolan, Setup, address, client, deadline, pattern, setup,
};

/// What `ss` says about the sockets of this filter; `None` where there is no `ss`.
fn ss(arguments: &[&str]) -> Option<String> {
    let Ok(output) = Command::new("ss").args(arguments).output() else {
        setup::left_out("`ss` is not installed (package iproute2)");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The line and its details for a connection whose local port is the front's.
fn accepted(front: SocketAddr) -> Option<String> {
    ss(&["-tnoemiH", "src", &front.to_string()])
}

/// The same for the connection to a server.
fn connected(server: SocketAddr) -> Option<String> {
    ss(&["-tnoemiH", "dst", &server.to_string()])
}

#[test]
fn keepalive_probes_are_set_for_each_side() {
    let (front, origin) = (address::free(), Origin::echo());
    let listen = Listen::at("proxy", front)
        .line(
            "clitcpka = true\nclitcpka_idle = \"100s\"\nsrvtcpka = true\nsrvtcpka_idle = \"200s\"",
        )
        .server("one", origin.address);
    let _portolan = Portolan::start(listen.to_string());
    let mut stream = client::connect(front);
    stream.expect_echo(b"x");
    let (Some(front), Some(back)) = (accepted(front), connected(origin.address)) else { return };
    // 100 s are shown as 1min39sec or so.
    assert!(front.contains("timer:(keepalive,1min"), "{front}");
    assert!(back.contains("timer:(keepalive,3min"), "{back}");
}

#[test]
fn without_the_option_there_are_no_probes() {
    let (front, origin) = (address::free(), Origin::echo());
    let _portolan =
        Portolan::start(Listen::at("proxy", front).server("one", origin.address).to_string());
    client::connect(front).expect_echo(b"x");
    let mut stream = client::connect(front);
    stream.expect_echo(b"x");
    if let (Some(front), Some(back)) = (accepted(front), connected(origin.address)) {
        assert!(!front.contains("keepalive") && !back.contains("keepalive"), "{front}{back}");
    }
}

#[test]
fn a_listeners_queue_is_as_long_as_asked() {
    let (front, origin) = (address::free(), Origin::echo());
    let listen = Listen::named("proxy").bind(front, "backlog = 77").server("one", origin.address);
    let _portolan = Portolan::start(listen.to_string());
    let Some(text) = ss(&["-ltnH", "src", &front.to_string()]) else { return };
    assert!(!text.is_empty());
    for line in text.lines() {
        assert_eq!(line.split_whitespace().nth(2), Some("77"), "{line}");
    }
}

#[test]
fn segments_are_as_small_as_asked() {
    let (front, origin) = (address::free(), Origin::echo());
    let listen = Listen::named("proxy").bind(front, "mss = 700").server_with(
        "one",
        origin.address,
        "mss = 800",
    );
    let _portolan = Portolan::start(listen.to_string());
    let mut stream = client::connect(front);
    stream.expect_echo(&[b'x'; 3000]);
    let (Some(front), Some(back)) = (accepted(front), connected(origin.address)) else { return };
    let mss = |text: &str| -> u32 {
        let found = text.split_whitespace().find_map(|word| word.strip_prefix("mss:"));
        found.expect("an mss").parse().expect("a number")
    };
    assert!((500..=700).contains(&mss(&front)), "{front}");
    assert!((600..=800).contains(&mss(&back)), "{back}");
}

#[test]
fn buffers_are_as_large_as_asked() {
    let (front, origin) = (address::free(), Origin::echo());
    let listen = Listen::at("proxy", front).server("one", origin.address);
    let sizes = "{ rcvbuf_client = 20000, sndbuf_client = 21000, rcvbuf_server = 22000, \
                 sndbuf_server = 23000 }";
    let _portolan = Setup::new(listen.to_string()).global("tune", sizes).start();
    let mut stream = client::connect(front);
    stream.expect_echo(b"x");
    let (Some(front), Some(back)) = (accepted(front), connected(origin.address)) else { return };
    // The kernel doubles what it is told: skmem:(r…,rb40000,t…,tb42000,…).
    assert!(front.contains(",rb40000,") && front.contains(",tb42000,"), "{front}");
    assert!(back.contains(",rb44000,") && back.contains(",tb46000,"), "{back}");
}

#[test]
fn nolinger_closes_with_a_reset() {
    let (front, origin) = (address::free(), Origin::silent());
    let listen = Listen::at("proxy", front)
        .line("nolinger = true")
        .timeout("server", "300ms")
        .server("one", origin.address);
    let _portolan = Portolan::start(listen.to_string());
    let mut stream = client::connect(front);
    stream.write_all(b"x").expect("a message");
    stream.expect_closed();
    assert_eq!(origin.wait_ending(), Ending::Reset);
}

#[test]
fn a_deferred_connection_is_passed_on_with_its_first_byte() {
    let (front, origin) = (address::free(), Origin::echo());
    let listen =
        Listen::named("proxy").bind(front, "defer_accept = true").server("one", origin.address);
    let _portolan = Portolan::start(listen.to_string());
    let mut stream = client::connect(front);
    deadline::pause(Duration::from_millis(300));
    assert_eq!(origin.accepted(), 0, "nobody has said anything");
    stream.expect_echo(b"now");
}

#[test]
fn a_bind_may_be_tied_to_an_interface_and_be_transparent() {
    if !setup::root() {
        setup::left_out("SO_BINDTODEVICE and IP_TRANSPARENT need root");
        return;
    }
    let (front, origin) = (address::free(), Origin::echo());
    let listen = Listen::named("proxy")
        .bind(front, "interface = \"lo\", transparent = true")
        .server("one", origin.address);
    let portolan = Portolan::start(listen.to_string());
    client::connect(front).expect_echo(b"over lo");
    // An address that this machine has not.
    let foreign = Listen::named("proxy").bind("192.0.2.99:8080", "transparent = true");
    portolan.configure(&foreign.server("one", origin.address).to_string());
    portolan.reload();
    let unknown = Listen::named("proxy").bind(front, "interface = \"nosuch0\"");
    portolan.configure(&unknown.server("one", origin.address).to_string());
    let answer = portolan.reload_fails();
    assert!(answer.contains("nosuch0"), "{answer}");
}

#[test]
fn a_server_may_see_the_clients_own_address() {
    if !setup::root() {
        setup::left_out("IP_TRANSPARENT needs root");
        return;
    }
    let (front, origin) = (address::free(), Origin::named("seen"));
    let listen = Listen::at("proxy", front)
        .line("source = \"0.0.0.0 usesrc clientip\"")
        .server("one", origin.address);
    let _portolan = Portolan::start(listen.to_string());
    let own = address::own_ip();
    let mut stream = client::connect_from(SocketAddr::from((own, 0)), front);
    assert_eq!(stream.rest().expect("a greeting"), b"seen");
    assert_eq!(origin.peers()[0].ip(), IpAddr::V4(own));
}

#[test]
fn fast_open_changes_nothing_that_a_client_notices() {
    let (front, origin) = (address::free(), Origin::echo());
    let listen = Listen::named("proxy").bind(front, "tfo = true, tcp_ut = \"10s\"").server_with(
        "one",
        origin.address,
        "tfo = true, tcp_ut = \"10s\"",
    );
    let _portolan = Portolan::start(listen.to_string());
    for _ in 0..5 {
        let mut stream = client::connect(front);
        stream.expect_echo(b"hello");
        stream.end_sending().expect("an end");
        stream.expect_end();
    }
    // A server that speaks first must not wait for the client's first byte.
    let (front, named) = (address::free(), Origin::named("first"));
    let listen = Listen::at("proxy", front).server_with("one", named.address, "tfo = true");
    let _portolan = Portolan::start(listen.to_string());
    for _ in 0..3 {
        assert_eq!(client::greeting(front), "first");
    }
}

#[test]
fn small_budgets_and_buffers_only_cost_time() {
    // One byte of everything, as far as the bounds allow: every path that waits in order is walked.
    let (front, origin) = (address::free(), Origin::echo());
    let listen = Listen::at("proxy", front).server("one", origin.address);
    for poller in [Poller::Epoll, Poller::Poll] {
        let tune = "{ bufsize = 1024, buffers_limit = 4, maxaccept = 1, maxpollevents = 1, \
                    runqueue_depth = 1 }";
        let _portolan =
            Setup::new(listen.to_string()).workers(1).global("tune", tune).poller(poller).start();
        std::thread::scope(|scope| {
            for seed in 0..20 {
                scope.spawn(move || {
                    let stream = client::connect(front);
                    let reading = stream.try_clone().expect("a second handle");
                    let reader = std::thread::spawn(move || pattern::check(reading, seed, 300_000));
                    pattern::send(stream.try_clone().expect("a handle"), seed, 300_000, |_| {})
                        .expect("all sent");
                    stream.end_sending().expect("an end");
                    reader.join().expect("the reader").expect("the same bytes back");
                });
            }
        });
    }
}
