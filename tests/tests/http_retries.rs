//! Promise: a failed exchange is tried again where that is asked for and does no harm, on another
//! server where that is asked for, and never more often than allowed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use portolan_tests::http::{Answer, HttpLog, Next, Scene};
use portolan_tests::{HttpOrigin, Listen, Poller, address, deadline, per_poller};

per_poller!(
    a_refused_connection_is_tried_again,
    an_answer_that_never_began_is_asked_for_again,
    nobody_left_to_ask_is_told_with_503,
);

/// Does this to the first so many requests, and answers the others.
fn failing(times: usize, failure: &'static [u8], next: Next) -> HttpOrigin {
    let left = AtomicUsize::new(times);
    HttpOrigin::scripted(move |exchange| {
        exchange.content()?;
        let fails =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            exchange.send(failure)?;
            return Ok(next);
        }
        exchange.answer(&Answer::ok(format!("after all: {}", exchange.request.text())))
    })
}

/// Never answers the first so many requests.
fn hesitating(times: usize) -> HttpOrigin {
    let left = AtomicUsize::new(times);
    HttpOrigin::scripted(move |exchange| {
        exchange.content()?;
        let fails =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            exchange.wait_gone()?;
            return Ok(Next::Close);
        }
        exchange.answer(&Answer::ok("after all"))
    })
}

fn retrying(server: SocketAddr, on: &str) -> Scene {
    Scene::shaped(server, |listen| listen.line(&format!("retry_on = [{on}]")))
}

fn a_refused_connection_is_tried_again(poller: Poller) {
    let nobody = address::free();
    let scene = Scene::set_up(
        |front, log| Listen::http("web", front).http_log(log).server("one", nobody).to_string(),
        |setup| setup.poller(poller),
    );
    let mut client = scene.client();
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    // The same server again, a while later, when somebody listens there.
    let origin = HttpOrigin::at(nobody, |exchange| exchange.answer(&Answer::ok("late")));
    assert_eq!(client.response().expect(200).text(), "late");
    assert_eq!(origin.accepted(), 1);
}

fn an_answer_that_never_began_is_asked_for_again(poller: Poller) {
    let origin = failing(1, b"", Next::Close);
    let server = origin.address;
    let scene = Scene::set_up(
        |front, log| {
            let listen = Listen::http("web", front).http_log(log).server("one", server);
            listen.line("retry_on = \"empty-response\"").to_string()
        },
        |setup| setup.poller(poller),
    );
    assert_eq!(scene.get("/").expect(200).text(), "after all: ");
    assert_eq!(scene.line().retries, "1");
}

fn nobody_left_to_ask_is_told_with_503(poller: Poller) {
    let nobody = address::free();
    let scene = Scene::set_up(
        |front, log| {
            let listen = Listen::http("web", front).http_log(log).server("one", nobody);
            listen.line("retries = 1").to_string()
        },
        |setup| setup.poller(poller),
    );
    assert_eq!(scene.get("/").status, 503);
    let line = scene.line();
    assert_eq!((line.ending(), line.status, line.retries.as_str()), ("SC", 503, "1"));
    assert_eq!((line.times[2], line.times[3]), (-1, -1));
}

#[test]
fn without_retries_nothing_is_tried_again() {
    for (lines, status) in [
        (&["retry_on = \"none\""][..], 502),
        (&["retries = 0", "retry_on = \"empty-response\""], 502),
        (&[], 502),
    ] {
        let origin = failing(1, b"", Next::Close);
        let scene = Scene::shaped(origin.address, |listen| {
            lines.iter().fold(listen, |listen, line| listen.line(line))
        });
        assert_eq!(scene.get("/").status, status, "{lines:?}");
        assert_eq!(origin.requests().len(), 1, "{lines:?}");
        let line = scene.line();
        assert_eq!((line.ending(), line.status), ("SH", 502));
    }
}

#[test]
fn the_last_retry_may_go_to_another_server() {
    let (nobody, origin) = (address::free(), HttpOrigin::named("alive"));
    let scene = Scene::alone(|listen| {
        let listen = listen.line("redispatch = true").line("retries = 1");
        listen.server("dead", nobody).server("alive", origin.address)
    });
    for _ in 0..6 {
        assert_eq!(scene.get("/").expect(200).text(), "alive");
    }
    // Those that were meant for the dead one say that they were moved.
    let lines = scene.log.wait_http(6);
    let moved = |line: &&HttpLog| line.retries == "+1";
    assert!(lines.iter().filter(moved).count() >= 3, "{lines:#?}");
    assert!(lines.iter().all(|line| ["0", "+1"].contains(&line.retries.as_str())), "{lines:#?}");
    assert!(lines.iter().all(|line| line.server == "alive"), "{lines:#?}");
}

#[test]
fn without_redispatch_a_request_stays_with_its_server() {
    let (nobody, origin) = (address::free(), HttpOrigin::named("alive"));
    let scene = Scene::alone(|listen| {
        let listen = listen.line("redispatch = false").line("retries = 1");
        listen.server("dead", nobody).server("alive", origin.address)
    });
    let mut statuses: Vec<u16> = (0..4).map(|_| scene.get("/").status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503]);
}

#[test]
fn junk_instead_of_an_answer_is_asked_for_again() {
    for junk in [&b"\0\x01\x02 this is no HTTP\r\n\r\n"[..], b"HTTP/1.1 999999\r\n\r\n"] {
        let origin = failing(1, junk, Next::Close);
        let scene = retrying(origin.address, "\"junk-response\"");
        assert_eq!(scene.get("/").expect(200).text(), "after all: ");
        let origin = failing(1, junk, Next::Close);
        let scene = retrying(origin.address, "\"conn-failure\"");
        assert_eq!(scene.get("/").status, 502);
        assert_eq!(scene.line().ending(), "PH");
    }
}

#[test]
fn an_answer_that_takes_too_long_is_asked_for_again() {
    for (on, status, seen) in [("\"response-timeout\"", 200, 2), ("\"empty-response\"", 504, 1)] {
        let origin = hesitating(1);
        let scene = Scene::shaped(origin.address, |listen| {
            listen.timeout("server", "300ms").line(&format!("retry_on = [{on}]"))
        });
        assert_eq!(scene.get("/").status, status, "{on}");
        assert_eq!(origin.requests().len(), seen, "{on}");
    }
}

#[test]
fn statuses_that_are_named_are_asked_for_again() {
    let unavailable = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
    let origin = failing(2, unavailable, Next::Keep);
    let scene = retrying(origin.address, "503, 404");
    assert_eq!(scene.get("/").expect(200).text(), "after all: ");
    assert_eq!(scene.line().retries, "2");
    // Another status is an answer.
    let origin = failing(1, b"HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\nbad", Next::Keep);
    let scene = retrying(origin.address, "503, 404");
    assert_eq!(scene.get("/").expect(502).text(), "bad");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn when_no_retry_is_left_the_last_answer_is_the_answer() {
    let unavailable = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
    let origin = failing(100, unavailable, Next::Keep);
    let scene =
        Scene::shaped(origin.address, |listen| listen.line("retry_on = [503]").line("retries = 2"));
    assert_eq!(scene.get("/").expect(503).text(), "busy");
    assert_eq!(origin.requests().len(), 3);
    let origin = failing(100, b"", Next::Close);
    let scene = Scene::shaped(origin.address, |listen| {
        listen.line("retry_on = \"empty-response\"").line("retries = 2")
    });
    assert_eq!(scene.get("/").status, 502);
    assert_eq!(origin.requests().len(), 3);
}

/// Also with its content, as far as a buffer holds it.
#[test]
fn a_request_is_repeated_whole() {
    for size in [0, 1, 1000, 10_000] {
        let origin = failing(2, b"", Next::Close);
        let scene = retrying(origin.address, "\"all-retryable-errors\"");
        let content = "x".repeat(size);
        let mut client = scene.client();
        let length = format!("Content-Length: {size}");
        client.head(&["PUT / HTTP/1.1", "Host: x", "X-Field: kept", &length]).send(&content);
        assert_eq!(client.response().expect(200).text(), format!("after all: {content}"));
        let requests = origin.requests();
        assert_eq!(requests.len(), 3);
        for request in requests {
            assert_eq!(request.fields.all("x-field"), ["kept"]);
            assert_eq!(request.fields.list("via").len(), 1, "{request:?}");
            assert_eq!((request.method.as_str(), request.content.len()), ("PUT", size));
        }
        let mut client = scene.client();
        client.head(&["PUT / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"]);
        client.send("3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(client.response().expect(200).text(), "after all: abc");
    }
}

#[test]
fn what_does_not_fit_in_a_buffer_is_not_repeated() {
    let origin = failing(1, b"", Next::Close);
    let scene = retrying(origin.address, "\"all-retryable-errors\"");
    let mut client = scene.client();
    client.head(&["PUT / HTTP/1.1", "Host: x", "Content-Length: 300000"]);
    client.send("x".repeat(300_000));
    assert_eq!(client.response().status, 502);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn an_unsafe_request_is_never_made_twice() {
    let failures: [(&[u8], Next); 3] = [
        (b"", Next::Close),
        (b"junk\r\n\r\n", Next::Close),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Next::Keep),
    ];
    for (failure, next) in failures {
        for method in ["POST", "PATCH", "ODD"] {
            let origin = failing(100, failure, next);
            let scene = retrying(origin.address, "\"all-retryable-errors\", 503");
            let mut client = scene.client();
            client.head(&[&format!("{method} / HTTP/1.1"), "Host: x", "Content-Length: 3"]);
            let status = client.send("abc").response().status;
            assert!([502, 503].contains(&status), "{method}: {status}");
            assert_eq!(origin.requests().len(), 1, "{method}");
        }
    }
    // Nothing of it has left where the connection failed: then it is tried.
    let nobody = address::free();
    let scene = retrying(nobody, "\"all-retryable-errors\"");
    let mut client = scene.client();
    client.head(&["POST / HTTP/1.1", "Host: x", "Content-Length: 3"]).send("abc");
    let origin = HttpOrigin::at(nobody, |exchange| exchange.answer(&Answer::ok("late")));
    assert_eq!(client.response().expect(200).text(), "late");
    assert_eq!(origin.only_request().text(), "abc");
}

#[test]
fn an_answer_that_has_begun_is_not_asked_for_again() {
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345";
    let origin = failing(1, begun, Next::Close);
    let scene = retrying(origin.address, "\"all-retryable-errors\"");
    let mut client = scene.client();
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    match client.try_response("GET") {
        Ok(response) => assert_eq!(response.status, 502),
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock),
    }
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_retry_after_a_failed_exchange_may_go_to_another_server() {
    let (bad, good) = (failing(1000, b"", Next::Close), HttpOrigin::named("good"));
    let scene = Scene::alone(|listen| {
        let listen = listen.line("retry_on = \"all-retryable-errors\"");
        let listen = listen.line("redispatch = 1").line("retries = 2");
        listen.server("bad", bad.address).server("good", good.address)
    });
    for _ in 0..6 {
        assert_eq!(scene.get("/").expect(200).text(), "good");
    }
    deadline::until("both were asked", || bad.requests().len() >= 3);
}
