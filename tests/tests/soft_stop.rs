//! Promise: a soft-stop loses nothing that is under way and keeps nobody longer than it must. Idle clients
//! are closed by the rules, at once or over a time; what is left is told with its answer; tunnels end by
//! themselves or by `hard_stop_after`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portolan_tests::client::Stream;
use portolan_tests::http::{Scene, websocket};
use portolan_tests::real::{self, Running};
use portolan_tests::setup::left_out;
use portolan_tests::{
    HttpClient, HttpOrigin, Listen, Origin, Setup, address, client, deadline, processes,
};
use rustix::process::Signal;
use tempfile::TempDir;

const WORKERS: u16 = 4;

/// Four workers before this server, with more said about the instance and the section.
fn scene(
    server: SocketAddr,
    listen: impl FnOnce(Listen) -> Listen,
    setup: impl FnOnce(Setup) -> Setup,
) -> Scene {
    Scene::set_up(
        |front, log| {
            listen(Listen::http("web", front).http_log(log).server("one", server)).to_string()
        },
        |made| setup(made.workers(WORKERS)),
    )
}

fn plain(listen: Listen) -> Listen {
    listen
}

/// Clients that every worker has some of, whose first request was answered a while ago.
fn idle(scene: &Scene, count: usize) -> Vec<HttpClient> {
    let mut clients: Vec<HttpClient> = (0..count).map(|_| scene.client()).collect();
    for client in &mut clients {
        assert!(client.get("/").expect(200).keeps());
    }
    // Longer than a client that was just answered is spared.
    deadline::pause(Duration::from_millis(400));
    clients
}

fn stop(scene: &Scene) {
    scene.portolan.signal(Signal::USR1);
    scene.portolan.wait_error("stopping by");
}

fn exits_well(scene: &Scene) {
    assert_eq!(scene.portolan.wait_exit().code(), Some(0));
}

/// Whether this client has been told that its connection ends, without a reset or a byte.
fn is_over(client: &mut HttpClient) -> bool {
    client.stream().limit(Duration::from_millis(1));
    match std::io::Read::read(client.stream(), &mut [0]) {
        Ok(0) => true,
        Ok(_) => panic!("a byte that nobody asked for"),
        Err(error) => {
            let waits = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
            assert!(waits.contains(&error.kind()), "{error}");
            false
        }
    }
}

#[test]
fn idle_clients_are_closed_in_order_and_the_instance_leaves_with_the_last_job() {
    let (origin, gate) = HttpOrigin::gated();
    let scene = scene(origin.address, plain, |setup| setup);
    gate.open(21);
    let mut clients = idle(&scene, 20);
    let mut busy = scene.client();
    busy.get("/first").expect(200);
    busy.head(&["GET /last HTTP/1.1", "Host: x"]);
    origin.wait_heads(22);
    stop(&scene);
    for client in &mut clients {
        client.expect_end();
    }
    assert!(scene.portolan.running(), "an answer is owed");
    gate.open(1);
    assert!(!busy.response().expect(200).keeps());
    busy.expect_end();
    drop((busy, clients));
    exits_well(&scene);
}

#[test]
fn clients_that_ask_without_pause_are_all_answered_and_told_once() {
    let origin = HttpOrigin::named("ok");
    let scene = scene(origin.address, plain, |setup| setup);
    let front = scene.front;
    let clients: Vec<_> = (0..20)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = HttpClient::to(front);
                while client.get("/").expect(200).keeps() {}
                client.expect_end();
            })
        })
        .collect();
    deadline::until("they are at it", || origin.requests().len() > 500);
    stop(&scene);
    for client in clients {
        client.join().expect("every request answered");
    }
    exits_well(&scene);
}

#[test]
fn who_has_sent_nothing_or_half_a_request_is_answered_and_told() {
    let origin = HttpOrigin::named("ok");
    let scene = scene(origin.address, plain, |setup| setup);
    let mut silent: Vec<HttpClient> = (0..8).map(|_| scene.client()).collect();
    let mut half: Vec<HttpClient> = (0..8).map(|_| scene.client()).collect();
    for client in &mut half {
        client.send("GET / HTTP/1.1\r\nHo");
    }
    // All of them have been accepted.
    scene.client().get("/").expect(200);
    deadline::pause(Duration::from_millis(300));
    stop(&scene);
    deadline::pause(Duration::from_millis(300));
    for client in silent.iter_mut().chain(&mut half) {
        assert!(!is_over(client));
        client.stream().limit(Duration::from_secs(10));
    }
    for client in &mut silent {
        assert!(!client.get("/").expect(200).keeps());
        client.expect_end();
    }
    for client in &mut half {
        assert!(!client.send("st: x\r\n\r\n").response().expect(200).keeps());
        client.expect_end();
    }
    drop((silent, half));
    exits_well(&scene);
}

#[test]
fn while_grace_lasts_everybody_is_served_as_before() {
    let origin = HttpOrigin::named("ok");
    let scene = scene(origin.address, plain, |setup| setup.global("grace", "\"5s\""));
    let mut clients = idle(&scene, 8);
    stop(&scene);
    for client in &mut clients {
        assert!(client.get("/").expect(200).keeps());
    }
    for _ in 0..8 {
        assert!(scene.client().get("/").expect(200).keeps());
    }
    for client in &mut clients {
        client.expect_end();
    }
    deadline::until("the listeners are gone", || client::try_connect(scene.front).is_err());
    drop(clients);
    exits_well(&scene);
}

#[test]
fn over_close_spread_time_some_are_closed_early_and_some_late() {
    const MOMENT: Duration = Duration::from_millis(250);
    let origin = HttpOrigin::named("ok");
    let spread = |setup: Setup| setup.global("close_spread_time", "\"4s\"");
    let scene = scene(origin.address, plain, spread);
    let clients = idle(&scene, 40);
    let begun = Instant::now();
    // Each looks for itself: together they would see as few moments as the machine is slow.
    let ending = |mut client: HttpClient| {
        std::thread::spawn(move || {
            client.expect_end();
            begun.elapsed()
        })
    };
    let clients: Vec<_> = clients.into_iter().map(ending).collect();
    stop(&scene);
    let mut ends: Vec<Duration> =
        clients.into_iter().map(|client| client.join().expect("an end")).collect();
    ends.sort_unstable();
    let since_first = |end: &Duration| end.saturating_sub(ends[0]).as_millis() / MOMENT.as_millis();
    let moments: BTreeSet<u128> = ends.iter().map(since_first).collect();
    assert!(moments.len() >= 8, "not all at once: {ends:?}");
    let at_once = ends.iter().filter(|end| since_first(end) == 0).count();
    assert!(at_once < 30, "not most of them at the beginning: {ends:?}");
    exits_well(&scene);
}

#[test]
fn hard_stop_after_that_is_shorter_than_the_spread_ends_it_early_without_a_reset() {
    let origin = HttpOrigin::named("ok");
    let scene = scene(origin.address, plain, |setup| {
        setup.global("close_spread_time", "\"10m\"").global("hard_stop_after", "\"4s\"")
    });
    let mut clients = idle(&scene, 20);
    stop(&scene);
    for client in &mut clients {
        client.expect_end();
    }
    exits_well(&scene);
}

#[test]
fn an_infinite_spread_tells_nobody_and_ends_by_timeouts() {
    let origin = HttpOrigin::named("ok");
    let scene = scene(
        origin.address,
        |listen| listen.timeout("http_keep_alive", "2s"),
        |setup| setup.global("close_spread_time", "\"infinite\""),
    );
    let mut clients = idle(&scene, 8);
    stop(&scene);
    for _ in 0..3 {
        for client in &mut clients {
            assert!(client.get("/").expect(200).keeps());
        }
        deadline::pause(Duration::from_millis(400));
    }
    for client in &mut clients {
        client.expect_end();
    }
    exits_well(&scene);
}

#[test]
fn where_only_answers_close_idle_clients_get_one_more_and_are_told() {
    let origin = HttpOrigin::named("ok");
    let listen = |listen: Listen| listen.option("idle_close_on_response");
    let scene = scene(origin.address, listen, |setup| setup);
    let mut clients = idle(&scene, 12);
    stop(&scene);
    deadline::pause(Duration::from_millis(500));
    for client in &mut clients {
        assert!(!is_over(client));
        client.stream().limit(Duration::from_secs(10));
        assert!(!client.get("/").expect(200).keeps());
        client.expect_end();
    }
    drop(clients);
    exits_well(&scene);
}

#[test]
fn tunnels_and_tcp_streams_go_on_until_they_end() {
    let (tcp, web) = (Origin::echo(), websocket::echo());
    let (front, tunnel) = (address::free(), address::free());
    let body = format!(
        "{}\n{}",
        Listen::at("tcp", front).server("one", tcp.address),
        Listen::http("web", tunnel).server("one", web.address),
    );
    let portolan = Setup::new(body).workers(WORKERS).start();
    let mut streams: Vec<Stream> = (0..8).map(|_| client::connect(front)).collect();
    let mut sockets: Vec<_> = (0..8).map(|_| websocket::connect(tunnel, "/")).collect();
    for stream in &mut streams {
        stream.expect_echo(b"before");
    }
    portolan.signal(Signal::USR1);
    deadline::until("the listeners are gone", || client::try_connect(front).is_err());
    for round in 0..3 {
        for stream in &mut streams {
            stream.expect_echo(format!("during {round}").as_bytes());
        }
        for socket in &mut sockets {
            websocket::expect_echo(socket, "during");
        }
        deadline::pause(Duration::from_millis(200));
    }
    assert!(portolan.running());
    drop(streams);
    for socket in sockets {
        websocket::close(socket);
    }
    assert_eq!(portolan.wait_exit().code(), Some(0));
}

#[test]
fn hard_stop_after_ends_what_does_not_end_by_itself() {
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::at("tcp", front).server("one", origin.address);
    let setup = Setup::new(listen.to_string()).workers(WORKERS);
    let portolan = setup.global("hard_stop_after", "\"1s\"").start();
    let mut streams: Vec<Stream> = (0..8).map(|_| client::connect(front)).collect();
    for stream in &mut streams {
        stream.expect_echo(b"before");
    }
    portolan.signal(Signal::USR1);
    for stream in &mut streams {
        stream.expect_closed();
    }
    assert_eq!(portolan.wait_exit().code(), Some(0));
}

#[test]
fn a_signal_to_one_worker_closes_nobody_and_its_slot_is_filled_again() {
    let origin = HttpOrigin::named("ok");
    let scene = scene(origin.address, plain, |setup| setup);
    let mut clients = idle(&scene, 16);
    let first = scene.portolan.whole().remove(0).pid;
    processes::signal(first, Signal::USR1);
    deadline::until("another one is there", || {
        let pids: BTreeSet<i32> = scene.portolan.whole().iter().map(|one| one.pid).collect();
        pids.len() == usize::from(WORKERS) && !pids.contains(&first)
    });
    for client in &mut clients {
        assert!(!is_over(client));
        client.stream().limit(Duration::from_secs(10));
        client.get("/").expect(200);
    }
}

/// What a client sees of a soft-stop: the end while it is idle, an answer that is the last one, or both
/// not.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Closed,
    Told,
    Served,
}

/// The fates of a client that is idle, one that has sent nothing and one that has sent half a request, a
/// while after the stop.
fn fates(front: SocketAddr, stop: impl FnOnce()) -> [Fate; 3] {
    let mut idle = HttpClient::to(front);
    idle.get("/").expect(200);
    let (mut silent, mut half) = (HttpClient::to(front), HttpClient::to(front));
    half.send("GET / HTTP/1.1\r\nHo");
    deadline::pause(Duration::from_millis(500));
    stop();
    deadline::pause(Duration::from_millis(700));
    let fate = |client: &mut HttpClient, rest: &str| {
        if is_over(client) {
            return Fate::Closed;
        }
        client.stream().limit(Duration::from_secs(10));
        let keeps = client.send(rest).response().expect(200).keeps();
        if keeps { Fate::Served } else { Fate::Told }
    };
    let whole = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    [fate(&mut idle, whole), fate(&mut silent, whole), fate(&mut half, "st: x\r\n\r\n")]
}

/// HAProxy with this option, and where its configuration lies.
fn haproxy(front: SocketAddr, origin: SocketAddr, option: &str) -> (Running, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("haproxy.cfg");
    let text = format!(
        "defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n\
         listen web\n bind {front}\n {option}\n server one {origin}\n"
    );
    std::fs::write(&path, text).expect("a configuration");
    let running = Running::start("haproxy", &["-db", "-f", &path.display().to_string()]);
    deadline::until("HAProxy", || client::try_connect(front).is_ok());
    (running, directory)
}

#[test]
fn clients_fare_as_with_haproxy() {
    if !real::found("haproxy") {
        left_out("a soft-stop beside HAProxy: haproxy not installed (tests/install-peers.sh)");
        return;
    }
    for (option, key) in
        [("", ""), ("option idle-close-on-response", "idle_close_on_response = true")]
    {
        let origin = HttpOrigin::named("ok");
        let front = address::free();
        let (haproxy, _directory) = haproxy(front, origin.address, option);
        let theirs = fates(front, || {
            processes::signal(haproxy.pid(), Signal::USR1);
        });
        let scene = scene(origin.address, |listen| listen.line(key), |setup| setup);
        let ours = fates(scene.front, || stop(&scene));
        assert_eq!(ours, theirs, "{option}");
    }
}
