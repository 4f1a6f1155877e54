//! What is promised to tunnels that move.

use std::time::{Duration, Instant};

use portolan_shared::model::{Config, LogLine, Mode, ProxyProtocolIn, SpliceOptions};

use crate::handover::Handing;

use super::super::relaying::POLLERS;
use super::super::{Peer, Rig, Seen};

const BOTH: SpliceOptions = SpliceOptions { request: true, response: true, auto: false };
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly";
const ASK: &[u8] =
    b"GET /chat?room=1 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

/// Sends a pattern until nothing is taken any more, and the proxy itself holds some of it; what was sent.
fn fill(rig: &mut Rig, peer: &mut Peer) -> Vec<u8> {
    use std::io::Write;
    let mut sent: Vec<u8> = Vec::new();
    let mut stuck = 0;
    while stuck < 3 {
        let piece: Vec<u8> =
            (sent.len()..sent.len() + 50_000).map(|at| (at / 3 + at / 251) as u8).collect();
        match peer.0.write(&piece) {
            Ok(count) => sent.extend_from_slice(&piece[..count]),
            Err(_) => stuck += 1,
        }
        rig.settle();
    }
    sent
}

/// Reads exactly so much; the kernel may take its time. Whether the end came behind it.
fn read(rig: &mut Rig, peer: &mut Peer, count: usize) -> (Vec<u8>, bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut all = Vec::new();
    let mut ended = false;
    while all.len() < count && !ended {
        match peer.look() {
            Seen::Nothing => {}
            Seen::Bytes(bytes) => all.extend(bytes),
            Seen::End(bytes) => {
                all.extend(bytes);
                ended = true;
            }
            Seen::Reset(_) => panic!("a reset after {} of {count} bytes", all.len()),
        }
        rig.settle();
        assert!(Instant::now() < deadline, "{} of {count} bytes came", all.len());
    }
    (all, ended)
}

/// Whether exactly this arrives next.
fn hears(rig: &mut Rig, peer: &mut Peer, sent: &[u8]) -> bool {
    // Not compared by an assertion, which would show megabytes.
    read(rig, peer, sent.len()).0 == sent
}

fn speaks_http(config: &mut Config) {
    config.frontends[0].mode = Mode::Http;
    config.frontends[0].log_options.line = LogLine::Http;
    config.backends[0].mode = Mode::Http;
}

/// A client and its server, and the tunnel between them.
pub(super) fn upgraded(rig: &mut Rig) -> (Peer, Peer) {
    let mut client = rig.client(0);
    client.say(ASK);
    rig.settle();
    let mut server = rig.accept().unwrap();
    server.look();
    server.say(SWITCH);
    rig.settle();
    let Seen::Bytes(answer) = client.look() else { panic!("no answer") };
    assert!(answer.ends_with(b"\r\n\r\nearly"));
    (client, server)
}

#[test]
fn a_tunnel_goes_on_in_the_next_worker_and_its_old_one_leaves() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, |_| {});
        let (mut client, mut server) = rig.pair();
        client.say(b"one");
        rig.settle();
        rig.renew();
        assert!(rig.members[0].left.is_some(), "{poller}");
        assert_eq!(rig.connections(), 1);
        client.say(b"two");
        server.say(b"too");
        rig.settle();
        assert_eq!(server.look(), Seen::Bytes(b"onetwo".to_vec()), "{poller}");
        assert_eq!(client.look(), Seen::Bytes(b"too".to_vec()), "{poller}");
        rig.pass(Duration::from_secs(7));
        client.end();
        rig.settle();
        assert_eq!(server.look(), Seen::End(Vec::new()));
        server.end();
        rig.settle();
        assert_eq!(client.look(), Seen::End(Vec::new()));
        rig.pass(Duration::from_secs(1));
        let lines = rig.lines();
        let of_it: Vec<_> = lines.iter().filter(|line| line.contains(" f b/s ")).collect();
        assert_eq!(of_it.len(), 1, "{lines:?}");
        assert!(of_it[0].contains(" 0/0/7000 3 -- 1/1/0/0/0 0/0"), "{}", of_it[0]);
        rig.check_empty();
    }
}

#[test]
fn what_waits_in_the_proxy_in_both_directions_goes_along() {
    for (before, after) in [(false, false), (false, true), (true, false), (true, true)] {
        for poller in POLLERS {
            let splice = |on: bool| if on { BOTH } else { SpliceOptions::default() };
            let mut rig = Rig::with_poller(poller, |config| {
                config.frontends[0].splice = splice(before);
            });
            let (mut client, mut server) = rig.pair();
            let up = fill(&mut rig, &mut client);
            let down = fill(&mut rig, &mut server);
            let worker = &rig.members[0].worker;
            let held = worker.buffers.figures().1 + worker.pipes.figures().0;
            assert_eq!(held, 2, "both directions hold something: {poller} {before}");
            rig.config.frontends[0].splice = splice(after);
            rig.renew();
            assert!(rig.members[0].left.is_some());
            rig.config.frontends[0].splice = splice(before);
            rig.renew();
            assert!(hears(&mut rig, &mut server, &up), "{poller} {before} {after}");
            assert!(hears(&mut rig, &mut client, &down), "{poller} {before} {after}");
            client.say(b"more");
            rig.settle();
            assert_eq!(server.look(), Seen::Bytes(b"more".to_vec()));
            drop((client, server));
            rig.settle();
            rig.check_empty();
        }
    }
}

#[test]
fn a_half_closed_tunnel_goes_on_in_the_other_direction() {
    for poller in POLLERS {
        for ends_first in ["client", "server"] {
            let mut rig = Rig::with_poller(poller, |_| {});
            let (mut client, mut server) = rig.pair();
            let (one, other) = match ends_first {
                "client" => (&mut client, &mut server),
                _ => (&mut server, &mut client),
            };
            one.say(b"all");
            one.end();
            rig.settle();
            assert_eq!(other.look(), Seen::End(b"all".to_vec()), "{poller} {ends_first}");
            rig.renew();
            other.say(b"still");
            rig.settle();
            assert_eq!(one.look(), Seen::Bytes(b"still".to_vec()), "{poller} {ends_first}");
            rig.renew();
            other.say(b"here");
            other.end();
            rig.settle();
            assert_eq!(one.look(), Seen::End(b"here".to_vec()), "{poller} {ends_first}");
            rig.check_empty();
        }
    }
}

#[test]
fn an_end_that_waits_behind_bytes_comes_behind_them() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, |_| {});
        let (mut client, mut server) = rig.pair();
        let sent = fill(&mut rig, &mut client);
        client.end();
        rig.settle();
        rig.renew();
        let (came, ended) = read(&mut rig, &mut server, sent.len() + 1);
        assert!(came == sent && ended, "{poller}: {} of {}, {ended}", came.len(), sent.len());
    }
}

#[test]
fn a_reset_after_the_move_or_during_it_is_passed_on_as_one() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, |_| {});
        let (client, mut server) = rig.pair();
        rig.renew();
        client.reset();
        rig.settle();
        assert_eq!(server.look(), Seen::Reset(Vec::new()), "{poller}");
        let (mut client, server) = rig.pair();
        rig.begin_generation();
        let to = rig.members.len() - 1;
        let (what, descriptors) = rig.pack(to - 1, 0);
        server.reset();
        let arrived = rig.take(to, what, descriptors).unwrap();
        rig.members[to - 1].worker.let_stream_go(0);
        rig.members[to].worker.bring_stream_back(arrived, Handing::Own);
        rig.settle();
        assert_eq!(client.look(), Seen::Reset(Vec::new()), "{poller}");
        rig.check_empty();
    }
}

#[test]
fn a_timeout_counts_from_the_last_byte_and_the_new_configuration_sets_it() {
    let mut rig = Rig::new(1, |config| {
        config.frontends[0].timeouts.client = Some(Duration::from_secs(60));
        config.backends[0].timeouts.server = Some(Duration::from_secs(60));
    });
    let (mut client, _server) = rig.pair();
    rig.pass(Duration::from_secs(20));
    rig.config.frontends[0].timeouts.client = Some(Duration::from_secs(30));
    rig.renew();
    rig.pass(Duration::from_secs(9));
    assert_eq!(client.look(), Seen::Nothing);
    rig.pass(Duration::from_secs(1));
    assert_eq!(client.look(), Seen::End(Vec::new()));
    rig.pass(Duration::from_secs(1));
    let lines = rig.lines();
    assert!(lines.iter().any(|line| line.contains(" f b/s 0/0/30000 0 cD ")), "{lines:?}");
}

#[test]
fn a_websocket_goes_on_and_its_line_is_that_of_one_that_did_not_move() {
    for poller in POLLERS {
        let [unmoved, moved] = [false, true].map(|moves| {
            let mut rig = Rig::with_poller(poller, speaks_http);
            let (mut client, mut server) = upgraded(&mut rig);
            client.say(b"to");
            rig.pass(Duration::from_secs(3));
            if moves {
                rig.renew();
                rig.renew();
                assert!(rig.members[0].left.is_some() && rig.members[1].left.is_some());
            }
            server.say(b"fro");
            rig.settle();
            assert_eq!(server.look(), Seen::Bytes(b"to".to_vec()), "{poller}");
            assert_eq!(client.look(), Seen::Bytes(b"fro".to_vec()), "{poller}");
            rig.pass(Duration::from_secs(2));
            client.end();
            rig.settle();
            server.end();
            rig.settle();
            assert_eq!(client.look(), Seen::End(Vec::new()));
            rig.pass(Duration::from_secs(1));
            rig.check_empty();
            assert!(rig.members.last().unwrap().worker.sessions.is_empty());
            let lines = rig.lines();
            let of_it: Vec<_> = lines.iter().filter(|line| line.contains("/chat")).collect();
            assert_eq!(of_it.len(), 1, "{lines:?}");
            of_it[0].split_once(" f b/s ").unwrap().1.to_owned()
        });
        assert_eq!(moved, unmoved, "{poller}");
    }
}

#[test]
fn a_header_that_came_in_half_is_read_to_its_end_by_the_next_worker() {
    for mode in [Mode::Tcp, Mode::Http] {
        for poller in POLLERS {
            let mut rig = Rig::with_poller(poller, |config| {
                if mode == Mode::Http {
                    speaks_http(config);
                }
                config.frontends[0].binds[0].accept_proxy =
                    Some(ProxyProtocolIn { from: Vec::new(), timeout: None });
            });
            let mut client = rig.client(0);
            client.say(b"PROXY TCP4 192.0.");
            rig.settle();
            rig.renew();
            assert!(rig.members[0].left.is_some(), "{poller}");
            assert_eq!(rig.connections(), 1);
            client.say(b"2.1 192.0.2.2 1000 2000\r\n");
            client.say(ASK);
            rig.settle();
            let mut server = rig.accept().expect("a connection at the server");
            assert!(matches!(server.look(), Seen::Bytes(bytes) if bytes.starts_with(b"GET ")));
            drop((client, server));
            rig.settle();
            rig.pass(Duration::from_secs(1));
            let lines = rig.lines();
            assert!(lines.iter().any(|line| line.contains("192.0.2.1:1000 [")), "{lines:?}");
            rig.check_empty();
        }
    }
}

#[test]
fn a_header_that_does_not_come_is_late_as_long_after_the_accept_as_without_a_move() {
    let mut rig = Rig::new(1, |config| {
        let timeout = Some(Duration::from_secs(10));
        config.frontends[0].binds[0].accept_proxy =
            Some(ProxyProtocolIn { from: Vec::new(), timeout });
    });
    let mut client = rig.client(0);
    rig.settle();
    rig.pass(Duration::from_secs(6));
    rig.renew();
    rig.pass(Duration::from_secs(3));
    assert_eq!(client.look(), Seen::Nothing);
    rig.pass(Duration::from_secs(1));
    assert_eq!(client.look(), Seen::End(Vec::new()));
    rig.check_empty();
}

#[test]
fn who_comes_meanwhile_waits_for_the_place_that_a_moved_stream_has() {
    let mut rig = Rig::new(1, |config| config.backends[0].servers[0].maxconn = Some(1));
    let (client, server) = rig.pair();
    rig.renew();
    let (object, backend) =
        (rig.config.backends[0].servers[0].object, rig.config.backends[0].object);
    assert_eq!((rig.memory.current(object), rig.memory.current(backend)), (1, 1));
    let second = rig.client(0);
    rig.settle();
    assert!(rig.accept().is_none());
    rig.renew();
    assert_eq!((rig.memory.current(object), rig.memory.current(backend)), (1, 2));
    drop((client, server));
    rig.settle();
    assert!(rig.accept().is_some(), "the place is free");
    drop(second);
    rig.settle();
    rig.check_empty();
}
