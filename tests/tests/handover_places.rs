//! Promise: who is handed over keeps its place and no more: limits and counts are exact while connections
//! move, tunnels of mode http move too, what has no place stays where it is, and deaths in the middle take
//! nobody along but their own.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use portolan_tests::client::{self, Stream};
use portolan_tests::http::websocket;
use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Origin, Portolan, Setup, address, deadline, processes};
use rustix::process::Signal;

fn echo_proxy(shape: impl FnOnce(Listen) -> Listen) -> (Listen, SocketAddr, Origin) {
    let (front, origin) = (address::free(), Origin::echo());
    (shape(Listen::at("proxy", front).server("one", origin.address)), front, origin)
}

fn move_on(portolan: &Portolan) {
    portolan.reload();
    portolan.only_newest();
}

#[test]
fn a_websocket_outlives_reloads_and_has_one_line_of_its_whole_life() {
    let (front, log, origin) = (address::free(), Syslog::udp(), websocket::echo());
    let listen = Listen::http("web", front).server("one", origin.address).http_log(&log);
    let portolan = Setup::new(listen.to_string()).start();
    let mut talking = websocket::connect(front, "/chat?room=1");
    let mut idle = websocket::connect(front, "/idle");
    for round in 0..4 {
        websocket::expect_echo(&mut talking, &format!("round {round}"));
        websocket::expect_echo(&mut talking, &"x".repeat(100_000));
        move_on(&portolan);
    }
    websocket::expect_echo(&mut idle, "still here");
    websocket::close(talking);
    websocket::close(idle);
    let lines = log.wait_http(2);
    portolan.only_newest();
    assert_eq!(log.http_lines().len(), 2, "one line each");
    for line in lines {
        assert_eq!((line.status, line.server.as_str()), (101, "one"), "{line:?}");
        assert_eq!(line.ending(), "--", "{line:?}");
        assert!(line.times.iter().all(|ms| *ms >= 0), "{line:?}");
        let bytes: u64 = line.bytes_read.parse().expect("bytes");
        assert_eq!(bytes > 400_000, line.request == "GET /chat?room=1 HTTP/1.1", "{line:?}");
    }
}

#[test]
fn a_tunnel_by_connect_outlives_reloads() {
    let (front, log) = (address::free(), Syslog::udp());
    let server = TcpListener::bind(address::free()).expect("a server");
    let there = server.local_addr().expect("its address");
    let listen = Listen::http("web", front).server("one", there).http_log(&log);
    let portolan = Setup::new(listen.to_string()).start();
    let mut client = client::connect(front);
    client.write_all(b"CONNECT far:443 HTTP/1.1\r\nHost: far:443\r\n\r\n").expect("a request");
    let mut far = Stream::Tcp(server.accept().expect("a connection").0);
    far.limit(deadline::LIMIT);
    expect_head(&mut far);
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("an answer");
    expect_head(&mut client);
    for words in ["one", "two", "three"] {
        move_on(&portolan);
        client.write_all(words.as_bytes()).expect("words");
        let mut heard = vec![0; words.len()];
        far.read_exact(&mut heard).expect("the same words");
        assert_eq!(heard, words.as_bytes());
    }
    far.end_sending().expect("an end");
    client.expect_end();
    move_on(&portolan);
    client.write_all(b"four").expect("words");
    client.end_sending().expect("an end");
    assert_eq!(far.rest().expect("the rest"), b"four");
    let line = log.only_http();
    assert_eq!((line.status, line.termination.as_str()), (200, "----"), "{line:?}");
}

fn expect_head(from: &mut Stream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
}

#[test]
fn a_timeout_goes_on_from_the_last_byte_and_is_the_new_configurations() {
    let log = Syslog::udp();
    let (listen, front, _origin) =
        echo_proxy(|listen| listen.log(&log).timeout("client", "50s").timeout("server", "50s"));
    let portolan = Setup::new(listen.to_string()).start();
    let mut client = client::connect(front);
    client.expect_echo(b"the last words");
    portolan.configure(&listen.timeout("client", "800ms").timeout("server", "50s").to_string());
    move_on(&portolan);
    client.expect_end();
    let line = log.only_tcp();
    assert_eq!(line.termination, "cD", "{line:?}");
    assert!(line.total_ms.parse::<u64>().expect("milliseconds") >= 800, "{line:?}");
}

#[test]
fn a_servers_limit_holds_while_its_connections_move_and_its_queue_is_served_after() {
    let log = Syslog::udp();
    let front = address::free();
    let origin = Origin::echo();
    let listen =
        Listen::at("proxy", front).server_with("one", origin.address, "maxconn = 3").log(&log);
    let portolan = Setup::new(listen.to_string()).workers(4).start();
    let mut held: Vec<Stream> = (0..3).map(|_| client::connect(front)).collect();
    for stream in &mut held {
        stream.expect_echo(b"served");
    }
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut stream = client::connect(front);
        stream.write_all(b"waiting").expect("words");
        waiting.push(stream);
        portolan.reload();
        for stream in &mut held {
            stream.expect_echo(b"undisturbed");
        }
    }
    drop(held);
    for mut stream in waiting {
        let mut heard = [0; 7];
        stream.read_exact(&mut heard).expect("an echo");
        assert_eq!(&heard, b"waiting");
        stream.end_sending().expect("an end");
        stream.expect_end();
    }
    assert_eq!(origin.peak(), 3, "never more than the limit");
    portolan.only_newest();
    let lines = log.wait_tcp(8);
    assert_eq!(lines.len(), 8);
    // Nothing is left in any count.
    client::connect(front).expect_echo(b"alone");
    let last = log.wait_tcp(9).pop().expect("the last line");
    assert_eq!(last.connections, [1, 1, 0, 0], "{last:?}");
}

#[test]
fn every_client_is_counted_once_after_it_has_moved() {
    let (listen, front, origin) = echo_proxy(|listen| listen.line("maxconn = 20"));
    let portolan = Setup::new(listen.to_string()).workers(3).start();
    let mut clients: Vec<Stream> = (0..20).map(|_| client::connect(front)).collect();
    for _ in 0..5 {
        move_on(&portolan);
        for client in &mut clients {
            client.expect_echo(b"one of twenty");
        }
        portolan.wait_answer("show info", |info| info.contains("CurrConns: 20"));
    }
    // The frontend is full: one more is served only when one of them has gone.
    let mut late = client::connect(front);
    late.write_all(b"late").expect("words");
    deadline::pause(Duration::from_millis(200));
    assert_eq!(origin.peak(), 20);
    clients.pop();
    let mut heard = [0; 4];
    late.read_exact(&mut heard).expect("an echo");
    assert_eq!(&heard, b"late");
}

#[test]
fn where_a_frontend_has_gone_its_connections_end_in_their_old_worker() {
    let (listen, front, _origin) = echo_proxy(|listen| listen);
    let (kept, named) = (address::free(), Origin::named("kept"));
    let other = Listen::at("other", kept).server("one", named.address);
    let portolan = Portolan::start(format!("{listen}\n{other}"));
    let mut client = client::connect(front);
    client.expect_echo(b"before");
    portolan.configure(&other.to_string());
    for _ in 0..2 {
        portolan.reload();
        client.expect_echo(b"after");
        assert_eq!(client::greeting(kept), "kept");
    }
    let old: Vec<u32> = portolan.all_workers().iter().map(|one| one.generation).collect();
    assert!(old.contains(&1), "{old:?}");
    drop(client);
    portolan.only_newest();
}

/// Every connection either goes on or is closed; none hangs, none says anything wrong.
fn survivors(clients: &mut Vec<Stream>) -> usize {
    clients.retain_mut(|client| match client.exchange(b"are you there?") {
        Ok(answer) => {
            assert_eq!(answer, b"are you there?");
            true
        }
        Err(error) => {
            let gone = [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof]
                .into_iter()
                .chain([io::ErrorKind::BrokenPipe]);
            assert!(gone.into_iter().any(|kind| kind == error.kind()), "{error}");
            false
        }
    });
    clients.len()
}

/// Kills one worker somewhere in a reload.
fn killed_in_the_middle(which: impl Fn(&Portolan, &BTreeSet<i32>) -> Option<i32>) {
    let (listen, front, origin) = echo_proxy(|listen| listen);
    let portolan = Setup::new(listen.to_string()).workers(1).start();
    let mut clients: Vec<Stream> = Vec::new();
    for round in 0..12 {
        while clients.len() < 200 {
            clients.push(client::connect(front));
        }
        assert_eq!(survivors(&mut clients), 200);
        let before: BTreeSet<i32> = portolan.all_workers().iter().map(|one| one.pid).collect();
        portolan.signal(Signal::USR2);
        let victim = deadline::eventually("a worker to kill", || which(&portolan, &before));
        deadline::pause(Duration::from_micros(round * 700));
        // It may have left by itself.
        processes::signal(victim, Signal::KILL);
        deadline::until("its end", || !portolan.all_workers().iter().any(|it| it.pid == victim));
        survivors(&mut clients);
        // What is over was forgotten by everybody; what lives is counted once.
        origin.wait_open(clients.len() as u64);
        let count = format!("CurrConns: {}\n", clients.len());
        portolan.wait_answer("show info", |info| info.contains(count.trim_end()));
        portolan.reload();
        assert_eq!(survivors(&mut clients) as u64, origin.open());
        clients.clear();
    }
    portolan.only_newest();
    assert_eq!(portolan.whole().len(), 1);
}

#[test]
fn an_old_worker_that_dies_while_it_hands_over_takes_only_its_own_along() {
    killed_in_the_middle(|portolan, before| {
        let ready = portolan.all_workers().into_iter().any(|one| !before.contains(&one.pid));
        before.first().copied().filter(|_| ready)
    });
}

#[test]
fn a_successor_that_dies_while_it_takes_over_takes_only_its_own_along() {
    killed_in_the_middle(|portolan, before| {
        let mut workers = portolan.all_workers().into_iter();
        workers.find(|one| !before.contains(&one.pid)).map(|one| one.pid)
    });
}
