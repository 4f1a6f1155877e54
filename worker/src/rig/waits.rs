//! Limits and who waits for them.

use std::net::SocketAddr;
use std::time::Duration;

use portolan_shared::memory::Operational;
use portolan_shared::model::{Balance, Config, InitState, Priority, Probe, Server};

use super::{Peer, Rig, Seen, sample};

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

/// Two frontends, and servers with one place each.
fn two_classes(config: &mut Config, class: i16) {
    let mut other = config.frontends[0].clone();
    other.name = "g".to_owned();
    other.binds = vec![sample::bind(1)];
    other.priority = Priority { class, offset_ms: 0 };
    config.frontends.push(other);
    config.backends[0].servers[0].maxconn = Some(1);
}

#[test]
fn of_those_who_wait_a_lower_class_goes_first() {
    for (class, first) in [(-5, 1), (5, 0)] {
        let mut rig = Rig::new(2, |config| two_classes(config, class));
        let (taker, server) = rig.pair();
        // Each at its own worker, so that the order holds over all of them.
        let mut waiting = Vec::new();
        for listener in 0..2 {
            let mut client = rig.client(listener);
            client.say(if listener == 0 { b"0" } else { b"1" });
            waiting.push(client);
            rig.settle();
        }
        assert_eq!(rig.memory.waiting(rig.config.backends[0].object), 2);
        drop((taker, server));
        rig.settle();
        let mut server = rig.accept().expect("one has its turn");
        rig.settle();
        assert_eq!(server.look(), Seen::Bytes(vec![b'0' + first]), "class {class}");
        assert!(rig.accept().is_none());
    }
}

/// Every client of one address belongs to one of two servers.
fn by_source(second: SocketAddr) -> impl FnOnce(&mut Config) {
    move |config| {
        let backend = &mut config.backends[0];
        backend.balance = Balance::Source;
        backend.servers.push(sample::server("t", second));
        for (server, id) in backend.servers.iter_mut().zip(1..) {
            server.id = id;
            server.maxconn = Some(1);
            server.health.check = Some(Probe::default());
        }
    }
}

#[test]
fn who_waits_for_a_server_that_goes_down_gets_another() {
    let second = super::listener();
    let mut rig = Rig::new(1, by_source(second.local_addr().unwrap()));
    let _first = rig.client(0);
    let _waiting = rig.client(0);
    rig.settle();
    let accepted = [rig.accept(), Peer::accept(&second)];
    let at = accepted.iter().position(Option::is_some).expect("the first has its server");
    let backend = rig.config.backends[0].clone();
    assert!(accepted[1 - at].is_none());
    assert_eq!(rig.memory.waiting(backend.servers[at].object), 1);
    rig.judge(backend.object, &backend.servers[at], Operational::Down);
    rig.settle();
    assert_eq!(rig.memory.waiting(backend.servers[at].object), 0);
    let other = if at == 0 { Peer::accept(&second) } else { rig.accept() };
    assert!(other.is_some(), "the other server has a place");
}

#[test]
fn streams_of_a_server_that_goes_down_end_where_that_is_wanted() {
    for wanted in [false, true] {
        let mut rig = Rig::new(1, |config| {
            let health = &mut config.backends[0].servers[0].health;
            health.check = Some(Probe::default());
            health.shutdown_sessions = wanted;
        });
        let (mut client, mut server) = rig.pair();
        let backend = rig.config.backends[0].clone();
        rig.judge(backend.object, &backend.servers[0], Operational::Down);
        rig.settle();
        assert_eq!(client.look() != Seen::Nothing, wanted);
        assert_eq!(server.look() != Seen::Nothing, wanted);
        rig.pass(Duration::from_secs(1));
        let lines = rig.lines();
        assert_eq!(lines.iter().any(|line| line.contains(" DD ")), wanted, "{lines:?}");
    }
}

#[test]
fn streams_of_backup_servers_end_when_another_comes_back_where_that_is_wanted() {
    let second = super::listener();
    let address = second.local_addr().unwrap();
    let mut rig = Rig::new(1, |config| {
        let backend = &mut config.backends[0];
        let health = &mut backend.servers[0].health;
        health.check = Some(Probe::default());
        health.shutdown_backup_sessions = true;
        health.init_state = InitState::Down;
        backend.servers.push(Server { backup: true, ..sample::server("t", address) });
    });
    let mut client = rig.client(0);
    rig.settle();
    let backup = Peer::accept(&second);
    assert!(backup.is_some(), "the backup server has it");
    let backend = rig.config.backends[0].clone();
    rig.judge(backend.object, &backend.servers[0], Operational::Up);
    rig.settle();
    assert!(matches!(client.look(), Seen::End(_) | Seen::Reset(_)));
    rig.pass(Duration::from_secs(1));
    let lines = rig.lines();
    assert!(lines.iter().any(|line| line.contains(" UD ")), "{lines:?}");
    let _client = rig.client(0);
    rig.settle();
    assert!(rig.accept().is_some(), "the server that came back has the next");
}

#[test]
fn a_client_of_remote_desktops_waits_for_nothing_but_its_first_bytes() {
    let mut rig = Rig::new(1, |config| {
        config.backends[0].balance = Balance::RdpCookie { name: "mstshash".to_owned() };
    });
    let mut client = rig.client(0);
    rig.settle();
    assert!(rig.accept().is_none(), "its key is not there yet");
    client.say(&[3, 0, 0]);
    rig.settle();
    assert!(rig.accept().is_none(), "nor all of it");
    client.say(b"\x26\x21\xe0\x00\x00\x00\x00\x00Cookie: mstshash=somebody\r\n");
    rig.settle();
    let mut server = rig.accept().expect("its server");
    rig.settle();
    let Seen::Bytes(bytes) = server.look() else { panic!("nothing was passed on") };
    assert!(bytes.starts_with(&[3, 0, 0, 0x26]) && bytes.ends_with(b"somebody\r\n"));
    // Who says nothing has a server after a while.
    let _silent = rig.client(0);
    rig.settle();
    assert!(rig.accept().is_none());
    rig.pass(Duration::from_secs(5));
    assert!(rig.accept().is_some());
}
