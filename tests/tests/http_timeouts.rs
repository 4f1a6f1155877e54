//! Promise: whoever waits too long is let go, by the timeout meant for it, with the status meant for
//! it, and the log says which. Once per poller.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use portolan_tests::http::{Answer, Next, Scene};
use portolan_tests::origin::Blackhole;
use portolan_tests::{HttpOrigin, Listen, Poller, deadline, per_poller};

per_poller!(
    a_request_that_does_not_come_whole_is_answered_with_408,
    a_client_that_says_nothing_at_all_is_answered_with_408,
    an_idle_client_is_let_go_without_a_word,
    a_server_that_does_not_answer_is_a_504,
    a_server_that_stops_within_its_answer_is_given_up,
    a_place_that_does_not_become_free_is_a_503,
    a_server_that_cannot_be_reached_in_time_is_a_503,
    a_client_that_stops_within_its_content_is_given_up,
    a_client_that_does_not_read_is_given_up,
    a_tunnel_has_a_timeout_of_its_own,
    a_tarpit_holds_its_client_for_a_while,
);

/// A short time for the timeout under test; the others are a minute, three times the tests' limit.
const SHORT: &str = "300ms";

fn scene(poller: Poller, server: SocketAddr, shape: impl FnOnce(Listen) -> Listen) -> Scene {
    Scene::set_up(
        |front, log| {
            shape(Listen::http("web", front).http_log(log).server("one", server)).to_string()
        },
        |setup| setup.poller(poller),
    )
}

fn a_request_that_does_not_come_whole_is_answered_with_408(poller: Poller) {
    let origin = HttpOrigin::named("ok");
    let scene = scene(poller, origin.address, |listen| listen.timeout("http_request", SHORT));
    let mut client = scene.client();
    let response = client.send("GET / HTTP/1.1\r\nHost: x\r\n").response();
    assert_eq!(response.status, 408);
    assert!(!response.keeps(), "{:?}", response.fields);
    client.expect_end();
    let line = scene.line();
    assert_eq!((line.ending(), line.status), ("cR", 408));
    assert_eq!((line.server.as_str(), line.request.as_str()), ("<NOSRV>", "<BADREQ>"));
    assert!(origin.requests().is_empty());
}

fn a_client_that_says_nothing_at_all_is_answered_with_408(poller: Poller) {
    let origin = HttpOrigin::named("ok");
    let scene = scene(poller, origin.address, |listen| listen.timeout("http_request", SHORT));
    let mut client = scene.client();
    assert_eq!(client.response().status, 408);
    client.expect_end();
    assert_eq!(scene.line().ending(), "cR");
}

fn an_idle_client_is_let_go_without_a_word(poller: Poller) {
    let origin = HttpOrigin::named("ok");
    for (keep_alive, request) in
        [(Some(SHORT), None), (None, Some(SHORT)), (Some(SHORT), Some("60s"))]
    {
        let scene = scene(poller, origin.address, |listen| {
            let add = |listen: Listen, name, time: Option<&str>| match time {
                Some(time) => listen.timeout(name, time),
                None => listen,
            };
            add(add(listen, "http_keep_alive", keep_alive), "http_request", request)
        });
        let mut client = scene.client();
        client.get("/").expect(200);
        client.expect_end();
        // Nothing happened that anybody would want to read about.
        assert_eq!(scene.line().status, 200);
    }
}

fn a_server_that_does_not_answer_is_a_504(poller: Poller) {
    let origin = HttpOrigin::mute();
    let scene = scene(poller, origin.address, |listen| listen.timeout("server", SHORT));
    assert_eq!(scene.get("/").status, 504);
    let line = scene.line();
    assert_eq!((line.ending(), line.status, line.times[3]), ("sH", 504, -1));
    assert_eq!((line.server.as_str(), line.request.as_str()), ("one", "GET / HTTP/1.1"));
    origin.wait_open(0);
}

fn a_server_that_stops_within_its_answer_is_given_up(poller: Poller) {
    let origin = HttpOrigin::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")?;
        exchange.wait_gone()?;
        Ok(Next::Close)
    });
    let scene = scene(poller, origin.address, |listen| listen.timeout("server", SHORT));
    let mut client = scene.client();
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    let error = client.try_response("GET").expect_err("half an answer");
    assert_ne!(error.kind(), ErrorKind::WouldBlock, "{error}");
    let line = scene.line();
    assert_eq!((line.ending(), line.status), ("sD", 200));
    origin.wait_open(0);
}

fn a_place_that_does_not_become_free_is_a_503(poller: Poller) {
    let (origin, gate) = HttpOrigin::gated();
    for timeout in ["queue", "connect"] {
        let scene = Scene::set_up(
            |front, log| {
                let listen = Listen::http("web", front).http_log(log).timeout(timeout, SHORT);
                listen.server_with("one", origin.address, "maxconn = 1").to_string()
            },
            |setup| setup.poller(poller),
        );
        let before = origin.requests().len();
        let mut holder = scene.client();
        holder.head(&["GET /holder HTTP/1.1", "Host: x"]);
        origin.wait_requests(before + 1);
        assert_eq!(scene.get("/").status, 503, "{timeout}");
        let line = scene.line();
        assert_eq!((line.ending(), line.status, line.times[2]), ("sQ", 503, -1));
        assert!(line.times[1] >= 300, "{line:?}");
        gate.open(1);
        holder.response().expect(200);
    }
    assert_eq!(origin.requests().len(), 2);
}

fn a_server_that_cannot_be_reached_in_time_is_a_503(poller: Poller) {
    let hole = Blackhole::open();
    let scene =
        scene(poller, hole.address, |listen| listen.timeout("connect", SHORT).line("retries = 1"));
    assert_eq!(scene.get("/").status, 503);
    let line = scene.line();
    assert_eq!((line.ending(), line.status, line.retries.as_str()), ("sC", 503, "1"));
}

fn a_client_that_stops_within_its_content_is_given_up(poller: Poller) {
    let origin = HttpOrigin::echo();
    let scene = scene(poller, origin.address, |listen| listen.timeout("client", SHORT));
    let mut client = scene.client();
    client.head(&["POST / HTTP/1.1", "Host: x", "Content-Length: 10"]).send("12345");
    if let Ok(response) = client.try_response("POST") {
        assert_eq!(response.status, 408);
    }
    client.expect_closed();
    let line = scene.line();
    assert!(line.termination.starts_with('c'), "{line:?}");
    origin.wait_open(0);
    assert!(origin.requests().iter().all(|one| !one.complete));
}

fn a_client_that_does_not_read_is_given_up(poller: Poller) {
    let origin = HttpOrigin::answering(|_| Answer::ok(vec![b'x'; 30_000_000]));
    let scene = scene(poller, origin.address, |listen| listen.timeout("client", "500ms"));
    let mut client = scene.client();
    client.stream().shrink(4096);
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    assert_eq!(scene.line().ending(), "cD");
    origin.wait_open(0);
}

fn a_tunnel_has_a_timeout_of_its_own(poller: Poller) {
    let origin = portolan_tests::http::websocket::echo();
    for (timeouts, closes) in [
        (&[("tunnel", "1s")][..], true),
        (&[("client", "700ms"), ("server", "700ms"), ("tunnel", "60s")], false),
        (&[("client", "1s"), ("server", "60s")], true),
    ] {
        let scene = scene(poller, origin.address, |listen| {
            timeouts.iter().fold(listen, |listen, (name, time)| listen.timeout(name, time))
        });
        let mut socket = portolan_tests::http::websocket::connect(scene.front, "/");
        portolan_tests::http::websocket::expect_echo(&mut socket, "hello");
        if closes {
            socket.get_mut().expect_closed();
            let line = scene.line();
            assert!(["cD", "sD"].contains(&line.ending()), "{line:?}");
            assert_eq!(line.status, 101);
        } else {
            deadline::pause(Duration::from_millis(1500));
            portolan_tests::http::websocket::expect_echo(&mut socket, "still here");
        }
    }
}

fn a_tarpit_holds_its_client_for_a_while(poller: Poller) {
    let origin = HttpOrigin::named("ok");
    for (line, status) in [("tarpit = true", 500), ("tarpit = { status = 429 }", 429)] {
        let scene =
            scene(poller, origin.address, |listen| listen.timeout("tarpit", "1s").line(line));
        let mut client = scene.client();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        client.expect_silence(Duration::from_millis(150));
        assert_eq!(client.response().status, status);
        let line = scene.line();
        assert_eq!((line.ending(), i32::from(status)), ("PT", line.status));
    }
    assert!(origin.requests().is_empty());
}

/// What comes slowly but steadily is no reason to let anybody go.
#[test]
fn content_that_keeps_coming_keeps_the_exchange_alive() {
    let origin = HttpOrigin::scripted(|exchange| {
        let content = exchange.content()?.len();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")?;
        for _ in 0..8 {
            exchange.pause(Duration::from_millis(150));
            exchange.send("x")?;
        }
        assert_eq!(content, 8);
        Ok(Next::Keep)
    });
    let scene = Scene::shaped(origin.address, |listen| {
        listen.timeout("client", "1s").timeout("server", "2s").timeout("http_request", "1s")
    });
    let mut client = scene.client();
    client.head(&["POST / HTTP/1.1", "Host: x", "Content-Length: 8"]);
    for _ in 0..8 {
        deadline::pause(Duration::from_millis(150));
        client.send("x");
    }
    assert_eq!(client.response().expect(200).text(), "xxxxxxxx");
}

/// The time for a request begins with its first byte.
#[test]
fn a_later_request_has_its_own_time() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| {
        listen.timeout("http_request", "500ms").timeout("http_keep_alive", "60s")
    });
    let mut client = scene.client();
    client.get("/").expect(200);
    deadline::pause(Duration::from_millis(800));
    client.get("/").expect(200);
    client.send("GET / HT");
    assert_eq!(client.response().status, 408);
    client.expect_end();
}

/// Who only looks whether somebody listens is not worth an answer, nor a line.
#[test]
fn a_probe_is_ignored_where_that_is_asked_for() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| {
        listen.timeout("http_request", SHORT).option("http-ignore-probes")
    });
    scene.client().expect_end();
    drop(scene.client());
    scene.get("/last").expect(200);
    assert_eq!(scene.line().request, "GET /last HTTP/1.1");
}
