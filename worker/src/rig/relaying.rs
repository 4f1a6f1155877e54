//! Bytes, ends and resets, with each poller.

use std::io::Write;
use std::time::{Duration, Instant};

use portolan_shared::model::{Config, SpliceOptions};
use socket2::SockRef;

use super::{Peer, Rig, Seen};

pub(super) const POLLERS: [&str; 3] = ["epoll", "polling", "poll"];

fn splicing(config: &mut Config) {
    config.frontends[0].splice = SpliceOptions { request: true, response: true, auto: false };
}

/// Reads so many bytes, or to the end where that comes before; the kernel may take its time.
fn read(rig: &mut Rig, peer: &mut Peer, count: usize) -> Seen {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut all = Vec::new();
    while all.len() < count {
        match peer.look() {
            Seen::Nothing => {}
            Seen::Bytes(bytes) => all.extend(bytes),
            Seen::End(bytes) => return Seen::End([all, bytes].concat()),
            Seen::Reset(bytes) => return Seen::Reset([all, bytes].concat()),
        }
        rig.settle();
        assert!(Instant::now() < deadline, "{} of {count} bytes came", all.len());
    }
    Seen::Bytes(all)
}

/// Reads to the end.
fn read_all(rig: &mut Rig, peer: &mut Peer) -> Seen {
    read(rig, peer, usize::MAX)
}

/// Fills everything between a client and a server that does not read, until the proxy itself holds
/// bytes and the client has said no more; how many that were.
fn fill(rig: &mut Rig, client: &mut Peer) -> usize {
    let held = |rig: &Rig| rig.members[0].worker.buffers.figures().1;
    let before = held(rig);
    let mut sent = 0;
    loop {
        match client.0.write(&[b'x'; 4096]) {
            Ok(count) => sent += count,
            Err(error) => panic!("{error} after {sent} bytes"),
        }
        rig.settle();
        if held(rig) > before {
            return sent;
        }
    }
}

#[test]
fn urgent_data_does_not_hold_up_what_comes_behind_it() {
    for splice in [false, true] {
        for poller in POLLERS {
            let mut rig = Rig::with_poller(poller, |config| {
                if splice {
                    splicing(config);
                }
            });
            let (client, mut server) = rig.pair();
            let socket = SockRef::from(&client.0);
            socket.send(b"before").unwrap();
            socket.send_out_of_band(b"!").unwrap();
            socket.send(b"behind").unwrap();
            rig.settle();
            // The urgent byte itself is no part of the stream.
            assert_eq!(server.look(), Seen::Bytes(b"beforebehind".to_vec()), "{poller} {splice}");
        }
    }
}

#[test]
fn what_a_server_said_before_it_reset_reaches_the_client() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, |_| {});
        let (mut client, mut server) = rig.pair();
        // The server does not read, so that something waits for it.
        let sent = client.flood();
        rig.settle();
        let more = client.0.set_nonblocking(true).map(|()| client.flood()).unwrap();
        rig.settle();
        assert!(sent + more > 0);
        server.say(b"too large");
        // Closed with bytes unread: the kernel sends a reset.
        drop(server);
        rig.settle();
        assert_eq!(client.look(), Seen::Reset(b"too large".to_vec()), "{poller}");
        rig.check_empty();
    }
}

#[test]
fn a_client_that_was_not_heard_because_its_server_was_slow_is_not_silent() {
    let mut rig = Rig::new(1, |config| {
        config.frontends[0].timeouts.client = Some(Duration::from_secs(10));
        config.backends[0].timeouts.server = Some(Duration::from_secs(55));
    });
    let (mut client, mut server) = rig.pair();
    let sent = fill(&mut rig, &mut client);
    // Longer than the client may be silent, but it is the server that does not take anything.
    rig.pass(Duration::from_secs(50));
    assert!(matches!(read(&mut rig, &mut server, sent), Seen::Bytes(_)));
    rig.pass(Duration::from_secs(9));
    assert_eq!(rig.streams(), 1);
    client.say(b"still there");
    rig.settle();
    assert_eq!(server.look(), Seen::Bytes(b"still there".to_vec()));
    // And from now on it counts.
    rig.pass(Duration::from_secs(11));
    assert_eq!(rig.streams(), 0);
    rig.check_empty();
}

#[test]
fn what_came_while_the_loop_could_not_look_counts_before_the_clock() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, |config| {
            config.frontends[0].timeouts.client = Some(Duration::from_secs(10));
            config.backends[0].timeouts.server = Some(Duration::from_secs(10));
        });
        let (mut client, mut server) = rig.pair();
        client.say(b"a");
        rig.settle();
        client.say(b"b");
        // Stopped and continued: the time has passed before the poller was asked again.
        rig.pass(Duration::from_secs(11));
        assert_eq!(server.look(), Seen::Bytes(b"ab".to_vec()), "{poller}");
        assert_eq!(client.look(), Seen::Nothing, "{poller}");
        rig.pass(Duration::from_secs(9));
        assert_eq!(rig.streams(), 1, "{poller}");
        rig.pass(Duration::from_secs(2));
        assert_eq!(rig.streams(), 0, "{poller}");
    }
}

#[test]
fn a_half_closed_direction_holds_no_pipe() {
    let mut rig = Rig::new(1, splicing);
    let (mut client, mut server) = rig.pair();
    client.say(b"all");
    client.end();
    rig.settle();
    assert_eq!(server.look(), Seen::End(b"all".to_vec()));
    assert_eq!(rig.members[0].worker.pipes.figures().0, 0);
}

#[test]
fn streams_that_hold_every_buffer_do_not_hold_up_the_others() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, |config| config.tune.buffer_limit = 2);
        let (mut first, mut second) = (rig.pair(), rig.pair());
        fill(&mut rig, &mut first.0);
        fill(&mut rig, &mut second.0);
        assert!(!rig.members[0].worker.buffers.can_take(), "{poller}");
        let (mut client, mut server) = rig.pair();
        client.say(b"ping");
        rig.settle();
        assert_eq!(server.look(), Seen::Bytes(b"ping".to_vec()), "{poller}");
        server.say(b"pong");
        rig.settle();
        assert_eq!(client.look(), Seen::Bytes(b"pong".to_vec()), "{poller}");
        // More than the way to the server holds: what it does not take stays with the client.
        let mut sent = 0;
        for _ in 0..30 {
            sent += client.flood();
            rig.settle();
        }
        client.end();
        let Seen::End(bytes) = read_all(&mut rig, &mut server) else { panic!("{poller}") };
        assert_eq!(bytes.len(), sent, "{poller}");
        drop((first, second, client, server));
        rig.settle();
        rig.check_empty();
    }
}

#[test]
fn all_bytes_arrive_although_there_are_fewer_buffers_than_streams() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, |config| config.tune.buffer_limit = 2);
        let mut pairs: Vec<_> = (0..5).map(|_| rig.pair()).collect();
        let mut sent = [0; 5];
        // Nobody reads until all are full.
        for _ in 0..30 {
            for (at, (client, _)) in pairs.iter_mut().enumerate() {
                sent[at] += client.flood();
            }
            rig.settle();
        }
        for (at, (client, server)) in pairs.iter_mut().enumerate().rev() {
            client.end();
            let Seen::End(bytes) = read_all(&mut rig, server) else { panic!("{poller}") };
            assert_eq!(bytes.len(), sent[at], "{poller}");
            server.end();
        }
        rig.settle();
        rig.check_empty();
    }
}

#[test]
fn a_reset_is_passed_on_even_while_nothing_is_read_from_its_side() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, |_| {});
        let (mut client, server) = rig.pair();
        for _ in 0..50 {
            client.flood();
            rig.settle();
        }
        client.reset();
        rig.settle();
        let mut server = server;
        assert!(matches!(read_all(&mut rig, &mut server), Seen::Reset(_)), "{poller}");
        rig.check_empty();
    }
}
