//! Promise: what one side sends reaches the other side unchanged, in order and whole, however it is
//! cut, and the end of each direction is passed on as what it was. Once per poller.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use portolan_tests::client::{self, Stream};
use portolan_tests::origin::Ending;
use portolan_tests::pattern::{self, Pattern};
use portolan_tests::{
    Listen, Origin, Poller, Portolan, Setup, address, deadline, per_poller, processes,
};

const MIB: u64 = 1024 * 1024;

per_poller!(
    a_worker_uses_the_poller_that_is_left,
    what_a_client_sends_comes_back,
    large_data_arrives_unchanged_from_the_server,
    large_data_arrives_unchanged_from_the_client,
    large_data_arrives_unchanged_both_ways_at_once,
    spliced_data_arrives_unchanged_both_ways,
    a_client_that_has_ended_sending_still_receives,
    a_server_that_has_ended_sending_still_receives,
    a_client_that_never_reads_stops_the_server_and_later_gets_everything,
    a_server_that_never_reads_stops_the_client,
    a_reset_by_the_client_reaches_the_server_as_a_reset,
    a_reset_by_the_server_reaches_the_client_as_a_reset,
    many_connections_at_once_do_not_mix,
    small_messages_get_through_beside_bulk_data,
    a_server_that_speaks_first_is_heard,
    a_client_that_never_speaks_is_passed_on_too,
    unix_sockets_carry_everything_too,
    ipv6_carries_everything_too,
);

/// An instance with one server, and where clients reach it.
fn before(origin: &Origin, poller: Poller) -> (Portolan, SocketAddr) {
    with(Listen::at("relay", address::free()), origin, poller)
}

fn with(listen: Listen, origin: &Origin, poller: Poller) -> (Portolan, SocketAddr) {
    let front = address::free();
    let listen = listen.server("one", origin.address).bind(front, "");
    (Setup::new(listen.to_string()).poller(poller).start(), front)
}

fn a_worker_uses_the_poller_that_is_left(poller: Poller) {
    let origin = Origin::echo();
    let (portolan, _) = before(&origin, poller);
    let kernel_poller = matches!(poller, Poller::Epoll | Poller::Polling);
    for worker in portolan.whole() {
        let descriptors = processes::descriptors(worker.pid);
        let has = descriptors.iter().any(|one| one == "anon_inode:[eventpoll]");
        assert_eq!(has, kernel_poller, "{poller:?}: {descriptors:?}");
    }
}

fn what_a_client_sends_comes_back(poller: Poller) {
    let origin = Origin::echo();
    let (_portolan, front) = before(&origin, poller);
    let mut stream = client::connect(front);
    let mut pattern = Pattern::new(1);
    for size in [1, 2, 100, 1448, 4096, 16_383, 16_384, 16_385, 32_768, 100_000] {
        stream.expect_echo(&pattern.bytes(size));
    }
    stream.end_sending().expect("an end");
    stream.expect_end();
    assert_eq!(origin.wait_ending(), Ending::Orderly);
}

fn large_data_arrives_unchanged_from_the_server(poller: Poller) {
    let origin = Origin::source(2, 24 * MIB);
    let (_portolan, front) = before(&origin, poller);
    pattern::check(client::connect(front), 2, 24 * MIB).expect("the server's bytes");
}

fn large_data_arrives_unchanged_from_the_client(poller: Poller) {
    let origin = Origin::sink(3, 24 * MIB);
    let (_portolan, front) = before(&origin, poller);
    let mut stream = client::connect(front);
    pattern::send(&mut stream, 3, 24 * MIB, |_| {}).expect("all sent");
    stream.end_sending().expect("an end");
    let verdict = stream.rest().expect("the verdict");
    assert_eq!(String::from_utf8_lossy(&verdict), "equal");
}

fn large_data_arrives_unchanged_both_ways_at_once(poller: Poller) {
    let origin = Origin::echo();
    let (_portolan, front) = before(&origin, poller);
    echo_bulk(front, 4, 16 * MIB);
}

fn spliced_data_arrives_unchanged_both_ways(poller: Poller) {
    let origin = Origin::echo();
    let listen = Listen::named("relay").option("splice-request").option("splice-response");
    let (_portolan, front) = with(listen, &origin, poller);
    echo_bulk(front, 5, 16 * MIB);
    // Small messages through the same path.
    client::connect(front).expect_echo(b"small");
}

/// Sends the pattern and at the same time compares what comes back.
fn echo_bulk(front: SocketAddr, seed: u64, length: u64) {
    echo_bulk_over(&client::connect(front), seed, length);
}

fn echo_bulk_over(stream: &Stream, seed: u64, length: u64) {
    let reading = stream.try_clone().expect("a second handle");
    let reader = std::thread::spawn(move || pattern::check(reading, seed, length));
    pattern::send(stream.try_clone().expect("a handle"), seed, length, |_| {}).expect("all sent");
    stream.end_sending().expect("an end");
    reader.join().expect("the reader").expect("the same bytes back");
}

fn a_client_that_has_ended_sending_still_receives(poller: Poller) {
    // Answers only once the end has come.
    let origin = Origin::with(|stream, _| {
        let request = stream.rest()?;
        pattern::send(&mut *stream, request.len() as u64, MIB, |_| {})
    });
    let (_portolan, front) = before(&origin, poller);
    let mut stream = client::connect(front);
    stream.write_all(b"seven b").expect("a request");
    stream.end_sending().expect("an end");
    pattern::check(stream, 7, MIB).expect("the answer after the end");
}

fn a_server_that_has_ended_sending_still_receives(poller: Poller) {
    let origin = Origin::with(|stream, seen| {
        stream.write_all(b"all I have to say")?;
        stream.end_sending()?;
        portolan_tests::origin::drain(stream, seen)
    });
    let (_portolan, front) = before(&origin, poller);
    let mut stream = client::connect(front);
    assert_eq!(stream.rest().expect("the server's words"), b"all I have to say");
    pattern::send(&mut stream, 8, MIB, |_| {}).expect("sent after the end");
    stream.end_sending().expect("an end");
    deadline::until("all bytes at the server", || origin.received() == MIB);
    assert_eq!(origin.wait_ending(), Ending::Orderly);
}

fn a_client_that_never_reads_stops_the_server_and_later_gets_everything(poller: Poller) {
    const LENGTH: u64 = 96 * MIB;
    let origin = Origin::source(9, LENGTH);
    let (portolan, front) = before(&origin, poller);
    let before = resident(&portolan);
    let stream = client::connect(front);
    deadline::until("first bytes", || origin.sent() > 0);
    let sent = deadline::settled(Duration::from_millis(700), || origin.sent());
    assert!(sent < LENGTH / 2, "the server could send {sent} bytes that nobody read");
    let grown = resident(&portolan).saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} kB more for one connection");
    pattern::check(stream, 9, LENGTH).expect("everything, once it is read");
}

/// Resident memory of all workers, kB.
fn resident(portolan: &Portolan) -> u64 {
    portolan.whole().iter().filter_map(|worker| processes::resident_kb(worker.pid)).sum()
}

fn a_server_that_never_reads_stops_the_client(poller: Poller) {
    let origin = Origin::silent();
    let (_portolan, front) = before(&origin, poller);
    let stream = client::connect(front);
    stream.limit(Duration::from_secs(2));
    let mut sent = 0;
    let error = pattern::send(stream, 10, 96 * MIB, |now| sent = now).expect_err("no end of room");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    assert!(sent < 48 * MIB, "{sent} bytes went to a server that reads none");
}

fn a_reset_by_the_client_reaches_the_server_as_a_reset(poller: Poller) {
    let origin = Origin::echo();
    let (_portolan, front) = before(&origin, poller);
    let mut stream = client::connect(front);
    stream.expect_echo(b"hello");
    stream.reset();
    assert_eq!(origin.wait_ending(), Ending::Reset);
}

fn a_reset_by_the_server_reaches_the_client_as_a_reset(poller: Poller) {
    let origin = Origin::resetting();
    let (_portolan, front) = before(&origin, poller);
    let mut stream = client::connect(front);
    stream.write_all(b"x").expect("a byte");
    stream.expect_reset();
}

fn many_connections_at_once_do_not_mix(poller: Poller) {
    let origin = Origin::echo();
    let (_portolan, front) = before(&origin, poller);
    let mut streams: Vec<Stream> = (0..200).map(|_| client::connect(front)).collect();
    for round in 0..3_u64 {
        for (n, stream) in streams.iter_mut().enumerate() {
            let bytes = Pattern::new(round << 32 | n as u64).bytes(1000 + n);
            stream.write_all(&bytes).expect("room for a message");
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            let expected = Pattern::new(round << 32 | n as u64).bytes(1000 + n);
            let mut bytes = vec![0; expected.len()];
            stream.read_exact(&mut bytes).expect("the echo");
            assert_eq!(bytes, expected, "connection {n}");
        }
    }
}

fn small_messages_get_through_beside_bulk_data(poller: Poller) {
    let bulk = Origin::source(11, u64::MAX);
    let echo = Origin::echo();
    let (front_bulk, front_echo) = (address::free(), address::free());
    let body = format!(
        "{}\n{}",
        Listen::at("bulk", front_bulk).server("one", bulk.address),
        Listen::at("small", front_echo).server("one", echo.address)
    );
    let _portolan = Setup::new(body).workers(1).poller(poller).start();
    let mut reader = client::connect(front_bulk);
    let handle = reader.try_clone().expect("a second handle");
    reader.read_exact(&mut [0; 1024]).expect("bulk data flows");
    let reading = std::thread::spawn(move || {
        let mut sunk = 0_u64;
        let mut buffer = vec![0; 256 * 1024];
        let mut reader = reader;
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            sunk += length as u64;
        }
        sunk
    });
    let mut stream = client::connect(front_echo);
    for _ in 0..100 {
        stream.expect_echo(b"is anybody there?");
    }
    handle.shutdown(std::net::Shutdown::Both).expect("an end of bulk data");
    assert!(reading.join().expect("the reader") > 0);
}

fn a_server_that_speaks_first_is_heard(poller: Poller) {
    let origin = Origin::named("welcome");
    let (_portolan, front) = before(&origin, poller);
    for _ in 0..20 {
        assert_eq!(client::greeting(front), "welcome");
    }
}

fn a_client_that_never_speaks_is_passed_on_too(poller: Poller) {
    // The server has to speak first: who leaves before there is a server has aborted.
    let origin = Origin::with(|stream, seen| {
        stream.write_all(b"?")?;
        portolan_tests::origin::drain(stream, seen)
    });
    let (_portolan, front) = before(&origin, poller);
    let mut stream = client::connect(front);
    stream.read_exact(&mut [0]).expect("the server's question");
    stream.end_sending().expect("an end");
    stream.expect_end();
    assert_eq!(origin.wait_ending(), Ending::Orderly);
    assert_eq!(origin.received(), 0);
}

fn unix_sockets_carry_everything_too(poller: Poller) {
    for options in [&[][..], &["splice-request", "splice-response"]] {
        let setup = Setup::new("");
        let (front, back) = (setup.file("front.sock"), setup.file("back.sock"));
        let _origin = Origin::unix(&back, portolan_tests::origin::echo);
        let listen = Listen::at("relay", front.display()).server("one", back.display());
        let listen = options.iter().fold(listen, |listen, option| listen.option(option));
        let _portolan = setup.body(listen.to_string()).poller(poller).start();
        echo_bulk_over(&client::connect_unix(&front), 6, 8 * MIB);
        client::connect_unix(&front).expect_echo(b"small");
    }
}

fn ipv6_carries_everything_too(poller: Poller) {
    let origin = Origin::at(address::free_v6(), portolan_tests::origin::echo);
    let front = address::free_v6();
    let listen = Listen::at("relay", front).server("one", origin.address);
    let _portolan = Setup::new(listen.to_string()).poller(poller).start();
    echo_bulk_over(&client::connect(front), 7, 8 * MIB);
}

#[test]
fn two_thousand_connections_at_once_are_served() {
    let _turn = portolan_tests::storm::turn();
    let origin = Origin::echo();
    let (portolan, front) = before(&origin, Poller::Epoll);
    let mut streams: Vec<Stream> = (0..2000).map(|_| client::connect(front)).collect();
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&(n as u64).to_le_bytes()).expect("room for a message");
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        stream.read_exact(&mut bytes).expect("the echo");
        assert_eq!(u64::from_le_bytes(bytes), n as u64);
    }
    assert_eq!(origin.open(), 2000);
    drop(streams);
    deadline::until("all ends are passed on", || origin.open() == 0);
    portolan.whole();
}
