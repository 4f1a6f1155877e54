//! Limits and who waits for them.

use std::time::Duration;

use super::{Rig, Seen, sample};

#[test]
fn bytes_go_both_ways_and_nothing_is_left_over() {
    let mut rig = Rig::new(1, |_| {});
    let (mut client, mut server) = rig.pair();
    client.say(b"ping");
    rig.settle();
    assert_eq!(server.look(), Seen::Bytes(b"ping".to_vec()));
    server.say(b"pong");
    rig.settle();
    assert_eq!(client.look(), Seen::Bytes(b"pong".to_vec()));
    assert_eq!((rig.streams(), rig.connections()), (1, 1));
    client.end();
    rig.settle();
    assert_eq!(server.look(), Seen::End(vec![]));
    server.end();
    rig.settle();
    assert_eq!(client.look(), Seen::End(vec![]));
    rig.check_empty();
    rig.pass(Duration::from_secs(1));
    let lines = rig.lines();
    assert!(
        lines.iter().any(|line| line.contains(" f b/s ") && line.contains(" -- ")),
        "{lines:?}"
    );
}

#[test]
fn a_stream_that_fails_in_the_queue_leaves_it() {
    let mut rig = Rig::new(1, |config| config.backends[0].servers[0].maxconn = Some(1));
    let (first, server) = rig.pair();
    let _second = rig.client(0);
    let _third = rig.client(0);
    rig.settle();
    assert_eq!(rig.memory.waiting(rig.config.backends[0].object), 2);
    let worker = &mut rig.members[0].worker;
    let queued = worker.streams.iter().find(|(_, stream)| stream.queued.is_some());
    let token = queued.unwrap().1.front.token;
    worker.interest_failed(token, &std::io::ErrorKind::OutOfMemory.into());
    rig.settle();
    assert_eq!(rig.memory.waiting(rig.config.backends[0].object), 1);
    drop((first, server));
    rig.settle();
    assert!(rig.accept().is_some(), "the last one has its turn");
}

#[test]
fn a_killed_worker_frees_its_places_for_who_waits_elsewhere() {
    let mut rig = Rig::new(2, |config| config.process.maxconn = Some(1));
    let _first = rig.client(0);
    rig.turn(0);
    rig.turn(0);
    rig.settle();
    let _second = rig.client(0);
    rig.settle();
    assert_eq!(rig.connections(), 1);
    let busy = usize::from(rig.members[0].worker.streams.is_empty());
    rig.kill(busy);
    rig.settle();
    assert_eq!((rig.connections(), rig.members[0].worker.streams.len()), (1, 1));
}

#[test]
fn listeners_whose_clients_have_gone_do_not_hand_a_place_round_for_ever() {
    let mut rig = Rig::new(1, |config| {
        config.process.maxconn = Some(1);
        config.frontends[0].binds.push(sample::bind(1));
    });
    let (client, server) = rig.pair();
    let others = [rig.client(0), rig.client(1), rig.client(0), rig.client(1)];
    rig.settle();
    assert_eq!(rig.connections(), 1);
    drop((client, server, others));
    // All that comes now are the dead ones.
    while rig.has_backlog(0) || rig.has_backlog(1) {
        rig.settle();
        drop(rig.accept());
    }
    rig.settle();
    rig.check_empty();
}

#[test]
fn who_has_its_turn_at_one_limit_is_not_sent_to_wait_at_another_that_is_free() {
    // Each of two workers has a client at each of two binds; limits of bind and frontend are reached.
    let mut rig = Rig::with_own_sockets(2, |config| {
        config.frontends[0].maxconn = Some(2);
        config.frontends[0].binds.push(sample::bind(1));
        config.frontends[0].binds[1].maxconn = Some(1);
    });
    let mut peers: Vec<_> = (0..4).chain(0..4).chain(0..4).map(|at| rig.client(at)).collect();
    for _ in 0..12 {
        rig.settle();
        rig.accept().expect("one more at the server").reset();
    }
    peers.clear();
    rig.settle();
    rig.check_empty();
}
