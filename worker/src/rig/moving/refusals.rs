//! What has no place in the new configuration, what does not fit together, and what became of a server
//! meanwhile.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use portolan_shared::channel::Channel;
use portolan_shared::memory::Operational;
use portolan_shared::message::ToWorker;
use portolan_shared::message::handover::{
    Bytes, Endpoint, FromSuccessor, HANDOVER, Pending, ToSuccessor, Tunnel, Upgraded, What,
};
use portolan_shared::model::{Config, Mode, Probe};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::super::{Rig, Seen, sample};
use crate::handover::Handing;

type Shape = fn(&mut Config);

#[test]
fn what_has_no_place_any_more_stays_where_it_is_and_ends_there() {
    let shapes: [(&str, Shape); 5] = [
        ("frontend", |config| config.frontends[0].name = "other".into()),
        ("bind", |config| config.frontends[0].binds[0] = sample::bind(7)),
        ("mode", |config| config.frontends[0].mode = Mode::Http),
        ("backend", |config| config.backends[0].name = "other".into()),
        ("server", |config| config.backends[0].servers[0].name = "other".into()),
    ];
    for (what, shape) in shapes {
        let mut rig = Rig::new(1, |_| {});
        let pairs = [rig.pair(), rig.pair()];
        shape(&mut rig.config);
        rig.renew();
        assert!(rig.members[0].left.is_none(), "{what}");
        for (mut client, mut server) in pairs {
            client.say(b"to");
            server.say(b"fro");
            rig.settle();
            assert_eq!(server.look(), Seen::Bytes(b"to".to_vec()), "{what}");
            assert_eq!(client.look(), Seen::Bytes(b"fro".to_vec()), "{what}");
            drop((client, server));
            rig.settle();
        }
        assert!(rig.members[0].left.is_some(), "{what}");
        rig.check_empty();
    }
}

#[test]
fn a_place_that_was_had_is_kept_where_there_are_fewer_too() {
    let mut rig = Rig::new(1, |config| config.frontends[0].maxconn = Some(2));
    let _pairs = [rig.pair(), rig.pair()];
    rig.config.process.maxconn = Some(1);
    rig.renew();
    assert!(rig.members[0].left.is_some());
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.connections(), 2);
}

#[test]
fn who_has_no_descriptors_left_says_so_and_may_be_asked_again() {
    let mut rig = Rig::new(1, |_| {});
    let (mut client, mut server) = rig.pair();
    let limit = std::mem::replace(&mut rig.descriptor_limit, 1);
    rig.renew();
    client.say(b"meanwhile");
    rig.settle();
    assert_eq!(server.look(), Seen::Bytes(b"meanwhile".to_vec()));
    assert!(rig.members[0].left.is_none());
    rig.members[1].worker.descriptor_limit = limit;
    rig.pass(Duration::from_secs(1));
    assert!(rig.members[0].left.is_some());
    client.say(b"after it");
    rig.settle();
    assert_eq!(server.look(), Seen::Bytes(b"after it".to_vec()));
}

#[test]
fn what_became_of_a_server_on_the_way_is_followed_on_arrival() {
    let mut rig = Rig::new(1, |config| {
        let health = &mut config.backends[0].servers[0].health;
        health.check = Some(Probe::default());
        health.shutdown_sessions = true;
    });
    let (mut client, _server) = rig.pair();
    rig.begin_generation();
    rig.settle();
    let (what, descriptors) = rig.pack(0, 0);
    let backend = rig.config.backends[0].clone();
    rig.judge(backend.object, &backend.servers[0], Operational::Down);
    // The new worker has followed it before the stream is there.
    rig.turn(1);
    rig.turn(1);
    let arrived = rig.take(1, what, descriptors).unwrap();
    rig.members[1].worker.bring_stream_back(arrived, Handing::Own);
    rig.members[0].worker.let_stream_go(0);
    rig.settle();
    assert_eq!(client.look(), Seen::End(Vec::new()));
    rig.check_empty();
}

#[test]
fn streams_of_a_server_end_on_command_on_their_way_too() {
    for ordered in [true, false] {
        let mut rig = Rig::new(1, |_| {});
        let (mut client, mut server) = rig.pair();
        rig.begin_generation();
        rig.settle();
        let (what, descriptors) = rig.pack(0, 0);
        if ordered {
            // Every worker hears of it before the stream has arrived.
            let object = rig.config.backends[0].servers[0].object;
            rig.members[0].worker.shut_down_server(object);
            rig.members[1].worker.shut_down_server(object);
        }
        let arrived = rig.take(1, what, descriptors).unwrap();
        rig.members[1].worker.bring_stream_back(arrived, Handing::Own);
        rig.members[0].worker.let_stream_go(0);
        rig.settle();
        if ordered {
            assert_eq!(client.look(), Seen::End(Vec::new()));
        } else {
            client.say(b"goes on");
            rig.settle();
            assert_eq!(server.look(), Seen::Bytes(b"goes on".to_vec()));
            drop((client, server));
            rig.settle();
        }
        rig.check_empty();
    }
}

#[test]
fn nothing_is_done_to_what_is_under_way_and_all_of_it_when_it_comes_back() {
    let mut rig = Rig::new(1, |config| {
        let health = &mut config.backends[0].servers[0].health;
        health.check = Some(Probe::default());
        health.shutdown_sessions = true;
    });
    let (mut client, _server) = rig.pair();
    drop(rig.pack(0, 0));
    let backend = rig.config.backends[0].clone();
    rig.judge(backend.object, &backend.servers[0], Operational::Down);
    // Far beyond all timeouts.
    rig.pass(Duration::from_secs(100));
    assert_eq!(client.look(), Seen::Nothing);
    assert_eq!(rig.streams(), 1);
    rig.members[0].worker.bring_stream_back(0, Handing::Own);
    rig.settle();
    assert_eq!(client.look(), Seen::End(Vec::new()));
    rig.pass(Duration::from_secs(1));
    assert!(rig.lines().iter().any(|line| line.contains(" f b/s ") && line.contains(" DD ")));
    rig.check_empty();
}

#[test]
fn a_server_that_is_down_for_long_does_not_end_what_outlived_that() {
    let mut rig = Rig::new(1, |config| {
        config.backends[0].servers[0].health.check = Some(Probe::default());
    });
    let (mut client, mut server) = rig.pair();
    let backend = rig.config.backends[0].clone();
    rig.judge(backend.object, &backend.servers[0], Operational::Down);
    rig.settle();
    rig.config.backends[0].servers[0].health.shutdown_sessions = true;
    rig.renew();
    client.say(b"still");
    rig.settle();
    assert_eq!(server.look(), Seen::Bytes(b"still".to_vec()));
    assert_eq!(client.look(), Seen::Nothing);
}

#[test]
fn who_speaks_otherwise_or_counts_elsewhere_is_declined() {
    for (protocol, other_memory) in [(HANDOVER + 1, 0), (HANDOVER, 1)] {
        let mut rig = Rig::new(1, |_| {});
        let (mut giver, theirs) = Channel::pair().unwrap();
        let theirs = OwnedFd::from(theirs);
        let order = ToWorker::Predecessor { generation: 1, slot: 0 };
        rig.members[0].channel.send(&order, &[theirs.as_fd()]).unwrap();
        let memory = rig.memory.identity() ^ other_memory;
        let hello = ToSuccessor::Hello { protocol, generation: 1, lane: 9, memory };
        giver.send(&hello, &[]).unwrap();
        rig.settle();
        let answer = giver.receive_first::<FromSuccessor>().unwrap().unwrap();
        assert_eq!(answer.message, FromSuccessor::Declined);
    }
}

#[test]
fn what_is_declined_goes_on_where_it_is() {
    let mut rig = Rig::new(1, |_| {});
    let (mut client, mut server) = rig.pair();
    let (mut taker, theirs) = Channel::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    rig.order(0, &ToWorker::Retire);
    let order = ToWorker::Successor { generation: 2, slot: 0 };
    rig.members[0].channel.send(&order, &[theirs.as_fd()]).unwrap();
    rig.settle();
    taker.send(&FromSuccessor::Declined, &[]).unwrap();
    rig.settle();
    client.say(b"still");
    server.say(b"here");
    rig.settle();
    assert_eq!(server.look(), Seen::Bytes(b"still".to_vec()));
    assert_eq!(client.look(), Seen::Bytes(b"here".to_vec()));
    drop((client, server));
    rig.settle();
    assert!(rig.members[0].left.is_some());
}

fn some_bytes() -> impl Strategy<Value = Bytes> {
    let inline = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::Inline);
    prop_oneof![inline, any::<u32>().prop_map(|length| Bytes::File { length })]
}

prop_compose! {
    fn some_side()(
        pending in prop_oneof![
            Just(Pending::Empty),
            some_bytes().prop_map(Pending::Bytes),
            any::<u32>().prop_map(|held| Pending::Pipe { held }),
        ],
        (moved, received) in any::<(u64, u64)>(),
        (ended, shut, splice, copy_only) in any::<(bool, bool, bool, bool)>(),
    ) -> Endpoint {
        Endpoint { moved, received, pending, ended, shut, splice, copy_only }
    }
}

/// Most lie within the text.
fn some_piece() -> impl Strategy<Value = (u32, u32)> {
    prop_oneof![
        20 => (0_u32..50, 50_u32..=100),
        1 => (0_u32..200, 0_u32..200),
        1 => any::<(u32, u32)>(),
    ]
}

prop_compose! {
    fn some_http()(
        text in prop_oneof![4 => Just(Bytes::Inline(vec![b'x'; 100])), 1 => some_bytes()],
        pieces in prop::collection::vec(some_piece(), 4),
        fields in prop::collection::vec(prop::option::of(some_piece()), 0..3),
        cookie_letters in any::<[u8; 2]>(),
        (unlogged, half_closed) in any::<(bool, bool)>(),
        (requests, status) in any::<(u32, u16)>(),
        (began, handshake_ms, idle_ms) in any::<(u64, u64, u64)>(),
        (head_ms, response_ms) in any::<(i32, i32)>(),
    ) -> Upgraded {
        Upgraded {
            requests,
            status,
            text,
            line: pieces[0],
            id: pieces[1],
            request_fields: fields.clone(),
            response_fields: fields,
            request_cookie: Some(pieces[2]),
            response_cookie: Some(pieces[3]),
            cookie_letters,
            unlogged,
            half_closed,
            began,
            handshake_ms,
            idle_ms,
            head_ms,
            response_ms,
        }
    }
}

prop_compose! {
    /// Anything that a peer could say of this tunnel.
    fn distorted(tunnel: Tunnel)(
        (front, back) in (some_side(), some_side()),
        http in prop::option::of(some_http()),
        objects in prop::option::weighted(0.2, any::<(u8, u8, u8, u8)>()),
        caps in any::<[u32; 3]>(),
        (accepted, asked, states_version) in any::<(u64, u64, u64)>(),
        (queue_ms, connect_ms) in any::<(i32, i32)>(),
        (queue_position, server_queue_position, retries) in any::<(u32, u32, u32)>(),
        (logged, redispatched) in any::<(bool, bool)>(),
    ) -> Tunnel {
        let mut tunnel = Tunnel {
            front,
            back,
            http: http.map(Box::new),
            asked,
            states_version,
            queue_ms,
            connect_ms,
            queue_position,
            server_queue_position,
            retries,
            logged,
            redispatched,
            ..tunnel.clone()
        };
        tunnel.origin.caps = caps;
        tunnel.origin.accepted = accepted;
        if let Some((frontend, bind, backend, server)) = objects {
            (tunnel.origin.frontend, tunnel.origin.bind) = (frontend.into(), bind.into());
            (tunnel.backend, tunnel.server) = (backend.into(), server.into());
        }
        tunnel
    }
}

#[test]
fn whatever_another_process_says_nothing_breaks_and_nothing_is_left() {
    for mode in [Mode::Tcp, Mode::Http] {
        let mut rig = Rig::new(1, |_| {});
        let (client, server) = rig.pair();
        rig.config.frontends[0].mode = mode;
        rig.begin_generation();
        rig.settle();
        let (What::Tunnel(tunnel), sockets) = rig.pack(0, 0) else { panic!("no tunnel") };
        drop(sockets);
        let mut runner = TestRunner::new(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(800)
        });
        let rig = std::cell::RefCell::new(rig);
        let strategy = (distorted(*tunnel), prop::collection::vec(0..4_u8, 0..7), any::<bool>());
        let taken = std::cell::Cell::new(0);
        runner
            .run(&strategy, |(tunnel, kinds, starts)| {
                let mut rig = rig.borrow_mut();
                let before = rig.left_over();
                // Two sockets of its own, then whatever.
                let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
                ours.set_nonblocking(true).unwrap();
                theirs.set_nonblocking(true).unwrap();
                let mut descriptors: Vec<OwnedFd> = vec![ours.into(), theirs.into()];
                descriptors.extend(kinds.iter().map(|kind| something(*kind)));
                let what = What::Tunnel(Box::new(tunnel));
                if let Ok(key) = rig.take(1, what, descriptors) {
                    taken.set(taken.get() + 1);
                    let worker = &mut rig.members[1].worker;
                    if starts {
                        worker.bring_stream_back(key, Handing::Own);
                        worker.kill_streams();
                        worker.kill_sessions();
                    } else {
                        worker.let_stream_go(key);
                    }
                }
                assert_eq!(rig.left_over(), before);
                Ok(())
            })
            .unwrap();
        assert!(taken.get() > 20, "{mode:?}: {} were taken", taken.get());
        let mut rig = rig.into_inner();
        rig.members[0].worker.bring_stream_back(0, Handing::Own);
        drop((client, server));
        rig.settle();
        rig.check_empty();
    }
}

/// A descriptor that is none of those that were announced, or is one by chance.
fn something(kind: u8) -> OwnedFd {
    match kind {
        0 => std::fs::File::open("/dev/null").unwrap().into(),
        1 => std::os::unix::net::UnixDatagram::unbound().unwrap().into(),
        2 => rustix::pipe::pipe().unwrap().0,
        _ => tempfile::tempfile().unwrap().into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_tunnel_that_was_moved_is_the_same_tunnel(
        (front, back) in (some_side(), some_side()),
        (up, down) in (0_usize..30_000, 0_usize..30_000),
        http in prop::option::of(some_http()),
        (line, field) in (0_usize..20_000, 0_usize..20_000),
        (queue_ms, connect_ms) in (-1..i32::MAX, -1..i32::MAX),
        (queue_position, server_queue_position, retries) in any::<(u32, u32, u32)>(),
        (logged, redispatched) in any::<(bool, bool)>(),
    ) {
        use crate::back::Back;
        use crate::stream::Pending as Held;
        let mode = if http.is_some() { Mode::Http } else { Mode::Tcp };
        let mut rig = Rig::new(1, |config| {
            config.frontends[0].mode = mode;
            config.backends[0].mode = mode;
            config.frontends[0].splice.auto = true;
        });
        let _pair = if http.is_some() {
            super::tunnels::upgraded(&mut rig)
        } else {
            rig.pair()
        };
        let now = rig.now;
        let worker = &mut rig.members[0].worker;
        let stream = &mut worker.streams[0];
        stream.machine = Back::established(retries, redispatched);
        (stream.queue_ms, stream.connect_ms) = (queue_ms, connect_ms);
        stream.queue_position = queue_position;
        stream.server_queue_position = server_queue_position;
        stream.logged = logged;
        stream.source = Some(Box::new("192.0.2.3:4".parse().unwrap()));
        for (to, from, waits) in
            [(&mut stream.front, &front, up), (&mut stream.back, &back, down)]
        {
            (to.ended, to.shut) = (from.ended, from.shut);
            (to.splice, to.copy_only) = (from.splice, from.copy_only);
            (to.moved, to.received) = (from.moved % now, from.received >> 3);
            if waits > 0 && waits % 3 == 0 {
                let pipe = worker.pipes.take().unwrap();
                let count = rustix::io::write(&pipe.writer, &vec![1; waits]).unwrap();
                to.pending = Held::Pipe { pipe, held: count as u32 };
            } else if waits > 0 {
                to.pending = Held::Buffer { buffer: worker.buffers.hold(&vec![2; waits]), start: 0 };
            }
        }
        if let (Some(exchange), Some(from)) = (&mut stream.http, &http) {
            exchange.text.line = exchange.text.keep(&vec![b'l'; line]);
            exchange.text.id = exchange.text.keep(b"id");
            exchange.captured = crate::http::capture::Captured::of_pieces(
                vec![b'c'; field],
                (vec![None, Some(crate::http1::Span { start: 0, end: field as u32 })], vec![None]),
                (None, Some(crate::http1::Span { start: 0, end: field as u32 / 2 })),
            );
            exchange.cookie_letters = Some(from.cookie_letters);
            (exchange.unlogged, exchange.half_closed) = (from.unlogged, from.half_closed);
            (exchange.status, exchange.began) = (from.status, from.began % now);
            exchange.idle_ms = from.idle_ms % (exchange.began + 1);
            exchange.handshake_ms = from.handshake_ms % (exchange.began + 1);
            (exchange.head_ms, exchange.response_ms) = (from.head_ms, from.response_ms);
        }
        rig.begin_generation();
        let (left, descriptors) = rig.pack(0, 0);
        let contents = contents(&left, &descriptors);
        let key = rig.take(1, left.clone(), descriptors).unwrap();
        rig.members[0].worker.let_stream_go(0);
        rig.members[1].worker.streams[key as usize].handing = Handing::Own;
        let (arrived, descriptors) = rig.pack(1, key);
        prop_assert_eq!(self::contents(&arrived, &descriptors), contents);
        prop_assert_eq!(arrived, left);
    }
}

/// What lies in the files beside a message, and how much in its pipes.
fn contents(what: &What, descriptors: &[OwnedFd]) -> Vec<(u64, Vec<u8>)> {
    use std::os::unix::fs::FileExt;
    let What::Tunnel(_) = what else { panic!("no tunnel") };
    let about = |fd: &OwnedFd| {
        let file = std::fs::File::from(fd.try_clone().unwrap());
        let length = file.metadata().unwrap().len();
        let mut bytes = vec![0; length as usize];
        if file.metadata().unwrap().is_file() {
            file.read_exact_at(&mut bytes, 0).unwrap();
        }
        (rustix::io::ioctl_fionread(fd).unwrap_or(0), bytes)
    };
    descriptors.iter().map(about).collect()
}
