//! Promise: a connection of mode tcp goes on in the next generation with everything it has: bytes on their
//! way, ends, timeouts, its one log line; the workers that had it are gone. Once per poller.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portolan_tests::client::{self, Stream};
use portolan_tests::pattern::{self, Pattern};
use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Origin, Poller, Portolan, Setup, address, deadline, per_poller};
use rustix::process::Signal;

const MIB: u64 = 1024 * 1024;

per_poller!(
    idle_and_talking_connections_outlive_reloads_and_no_old_worker_stays,
    what_is_stuck_in_both_directions_arrives_whole_after_several_reloads,
    bulk_in_both_directions_crosses_reloads_unchanged,
    spliced_bulk_crosses_reloads_unchanged,
    a_connection_whose_client_has_ended_its_sending_goes_on,
    a_connection_whose_server_has_ended_its_sending_goes_on,
    resets_are_passed_on_after_a_move,
    a_header_that_came_in_half_is_completed_after_the_reload,
);

/// One proxy, and a server that the test plays itself.
struct Scene {
    portolan: Portolan,
    front: SocketAddr,
    server: TcpListener,
    log: Syslog,
}

impl Scene {
    fn new(poller: Poller) -> Self {
        Self::shaped(poller, |listen| listen)
    }

    fn shaped(poller: Poller, shape: impl FnOnce(Listen) -> Listen) -> Self {
        let (front, log) = (address::free(), Syslog::udp());
        let server = TcpListener::bind(address::free()).expect("a server");
        let there = server.local_addr().expect("its address");
        let listen = shape(Listen::at("proxy", front).server("one", there).log(&log));
        let portolan = Setup::new(listen.to_string()).poller(poller).start();
        Self { portolan, front, server, log }
    }

    /// A client's end and the server's.
    fn pair(&self) -> (Stream, Stream) {
        let client = client::connect(self.front);
        (client, self.accept())
    }

    fn accept(&self) -> Stream {
        let (stream, _) = self.server.accept().expect("a connection at the server");
        stream.set_nodelay(true).expect("the option");
        let stream = Stream::Tcp(stream);
        stream.limit(deadline::LIMIT);
        stream
    }

    /// A reload after which no old worker is left.
    fn move_on(&self) {
        self.portolan.reload();
        self.portolan.only_newest();
    }
}

/// Says something each way and expects it at the other end.
fn talk(client: &mut Stream, server: &mut Stream, words: &str) {
    say(client, server, words);
    say(server, client, words);
}

fn say(from: &mut Stream, to: &mut Stream, words: &str) {
    from.write_all(words.as_bytes()).expect("words");
    let mut heard = vec![0; words.len()];
    to.read_exact(&mut heard).expect("the same words");
    assert_eq!(String::from_utf8_lossy(&heard), words);
}

/// Writes the pattern until nothing is taken any more; how much was.
fn stuff(to: &mut Stream, seed: u64) -> u64 {
    let mut pattern = Pattern::new(seed);
    let (mut sent, mut piece) = (0, Vec::new());
    to.limit(Duration::from_millis(300));
    loop {
        if piece.is_empty() {
            piece = pattern.bytes(16 * 1024);
        }
        match to.write(&piece) {
            Ok(count) => {
                sent += count as u64;
                piece.drain(..count);
            }
            Err(_) => break,
        }
    }
    to.limit(deadline::LIMIT);
    sent
}

fn idle_and_talking_connections_outlive_reloads_and_no_old_worker_stays(poller: Poller) {
    let scene = Scene::new(poller);
    let began = Instant::now();
    let mut pairs: Vec<_> = (0..20).map(|_| scene.pair()).collect();
    for round in 0..4 {
        for (client, server) in pairs.iter_mut().step_by(2) {
            talk(client, server, &format!("round {round}"));
        }
        scene.move_on();
    }
    for (client, server) in &mut pairs {
        talk(client, server, "at last");
    }
    let lasted = began.elapsed().as_millis();
    drop(pairs);
    let lines = scene.log.wait_tcp(20);
    scene.portolan.only_newest();
    assert_eq!(scene.log.tcp_lines().len(), 20, "one line each");
    for line in lines {
        assert!(matches!(line.termination.as_str(), "--" | "CD" | "SD"), "{line:?}");
        let total: u128 = line.total_ms.parse().expect("milliseconds");
        assert!(total + 1000 >= lasted, "not of its whole life, {lasted} ms: {line:?}");
        // "round n" four times and "at last", or only that.
        assert!(["7", "35"].contains(&line.bytes_read.as_str()), "{line:?}");
        assert_eq!((line.frontend.as_str(), line.server.as_str()), ("proxy", "one"));
    }
}

fn what_is_stuck_in_both_directions_arrives_whole_after_several_reloads(poller: Poller) {
    for splice in [false, true] {
        let scene = Scene::shaped(poller, |listen| {
            if splice { listen.option("splice-request").option("splice-response") } else { listen }
        });
        let (mut client, mut server) = scene.pair();
        let (up, down) = (stuff(&mut client, 1), stuff(&mut server, 2));
        for _ in 0..3 {
            scene.move_on();
        }
        client.end_sending().expect("an end");
        pattern::check(&mut server, 1, up).expect("what the client said");
        scene.move_on();
        server.end_sending().expect("an end");
        pattern::check(&mut client, 2, down).expect("what the server said");
        let line = scene.log.only_tcp();
        assert_eq!(line.bytes_read, down.to_string(), "splice: {splice}");
        assert_eq!(line.termination, "--");
    }
}

fn bulk_in_both_directions_crosses_reloads_unchanged(poller: Poller) {
    bulk(&Scene::new(poller));
}

fn spliced_bulk_crosses_reloads_unchanged(poller: Poller) {
    bulk(&Scene::shaped(poller, |listen| listen.option("splice-auto")));
}

/// Both sides send a pattern for as long as reloads follow each other, some before the one before is over.
fn bulk(scene: &Scene) {
    let (client, server) = scene.pair();
    let done = AtomicBool::new(false);
    let (up, down) = std::thread::scope(|scope| {
        let send = |stream: &Stream, seed| {
            let (mut stream, done) = (stream.try_clone().expect("a handle"), &done);
            scope.spawn(move || {
                let mut pattern = Pattern::new(seed);
                let mut sent = 0;
                while !done.load(Ordering::Relaxed) || sent < 4 * MIB {
                    stream.write_all(&pattern.bytes(64 * 1024)).expect("room");
                    sent += 64 * 1024;
                }
                stream.end_sending().expect("an end");
                sent
            })
        };
        let check = |stream: &Stream, seed| {
            let stream = stream.try_clone().expect("a handle");
            scope.spawn(move || read_pattern(stream, seed))
        };
        let sent = [send(&client, 3), send(&server, 4)];
        let read = [check(&server, 3), check(&client, 4)];
        for round in 0..6 {
            if round % 2 == 0 {
                scene.portolan.reload();
            } else {
                scene.portolan.signal(Signal::USR2);
            }
            deadline::pause(Duration::from_millis(50));
        }
        scene.move_on();
        done.store(true, Ordering::Relaxed);
        let sent = sent.map(|thread| thread.join().expect("a sender"));
        let read = read.map(|thread| thread.join().expect("a reader"));
        assert_eq!(sent, read);
        (sent[0], sent[1])
    });
    assert!(up > 0);
    let line = scene.log.only_tcp();
    assert_eq!((line.bytes_read, line.termination.as_str()), (down.to_string(), "--"));
}

/// Reads to the end; how much came, all of it the seed's pattern.
fn read_pattern(mut stream: Stream, seed: u64) -> u64 {
    let mut pattern = Pattern::new(seed);
    let mut piece = vec![0; 64 * 1024];
    let mut read = 0;
    loop {
        match stream.read(&mut piece).expect("bytes or the end") {
            0 => return read,
            count => {
                assert!(piece[..count] == pattern.bytes(count), "changed near {read}");
                read += count as u64;
            }
        }
    }
}

fn a_connection_whose_client_has_ended_its_sending_goes_on(poller: Poller) {
    let scene = Scene::new(poller);
    let (mut client, mut server) = scene.pair();
    client.write_all(b"all").expect("words");
    client.end_sending().expect("an end");
    assert_eq!(server.rest().expect("words and the end"), b"all");
    for _ in 0..2 {
        scene.move_on();
        server.write_all(b"and ").expect("words");
    }
    server.end_sending().expect("an end");
    assert_eq!(client.rest().expect("words and the end"), b"and and ");
    let line = scene.log.only_tcp();
    assert_eq!((line.bytes_read.as_str(), line.termination.as_str()), ("8", "--"));
}

fn a_connection_whose_server_has_ended_its_sending_goes_on(poller: Poller) {
    let scene = Scene::new(poller);
    let (mut client, mut server) = scene.pair();
    server.write_all(b"all").expect("words");
    server.end_sending().expect("an end");
    assert_eq!(client.rest().expect("words and the end"), b"all");
    for _ in 0..2 {
        scene.move_on();
        client.write_all(b"and ").expect("words");
    }
    client.end_sending().expect("an end");
    assert_eq!(server.rest().expect("words and the end"), b"and and ");
}

fn resets_are_passed_on_after_a_move(poller: Poller) {
    let scene = Scene::new(poller);
    let ((client, mut server), (mut other, another)) = (scene.pair(), scene.pair());
    scene.move_on();
    client.reset();
    server.expect_reset();
    another.reset();
    other.expect_reset();
    let mut endings: Vec<String> =
        scene.log.wait_tcp(2).into_iter().map(|line| line.termination).collect();
    endings.sort_unstable();
    assert_eq!(endings, ["CD", "SD"]);
}

fn a_header_that_came_in_half_is_completed_after_the_reload(poller: Poller) {
    let (front, log) = (address::free(), Syslog::udp());
    let origin = Origin::echo();
    let listen = Listen::named("proxy")
        .bind(front, "accept_proxy = true")
        .server("one", origin.address)
        .log(&log);
    let portolan = Setup::new(listen.to_string()).poller(poller).start();
    let mut client = client::connect(front);
    client.write_all(b"PROXY TCP4 192.0.2.7 192.").expect("half a header");
    let silent = client::connect(front);
    for _ in 0..2 {
        portolan.reload();
        portolan.only_newest();
    }
    client.write_all(b"0.2.8 4711 80\r\n").expect("the other half");
    client.expect_echo(b"and then data");
    drop((client, silent));
    log.wait_for("192.0.2.7:4711 [");
}
