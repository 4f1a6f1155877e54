//! Promise: who leaves in the middle is noticed, whatever the exchange waits for; nothing is left
//! behind, and the log says who it was and when. Once per poller.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use portolan_tests::http::{Answer, Next, Scene};
use portolan_tests::origin::Blackhole;
use portolan_tests::{HttpClient, HttpOrigin, Listen, Poller, deadline, per_poller};

per_poller!(
    a_client_that_leaves_while_it_is_queued_is_forgotten,
    a_client_that_leaves_while_a_server_is_connected_is_forgotten,
    a_client_that_leaves_while_its_answer_is_awaited_is_given_up,
    a_client_that_leaves_within_its_request_is_no_request,
    a_client_that_leaves_within_its_content_ends_the_exchange,
    a_client_that_leaves_within_its_answer_ends_the_exchange,
    a_server_that_leaves_within_its_answer_ends_the_exchange,
    a_server_that_leaves_before_its_answer_is_a_502,
);

/// Before a server with further keys.
fn scene(poller: Poller, server: SocketAddr, keys: &str, line: &str) -> Scene {
    Scene::set_up(
        |front, log| {
            let listen = Listen::http("web", front).http_log(log).line(line);
            listen.server_with("one", server, keys).to_string()
        },
        |setup| setup.poller(poller),
    )
}

/// The ways to leave: orderly, and with a RST.
fn leave(client: HttpClient, reset: bool) {
    let (stream, _) = client.into_parts();
    if reset {
        stream.reset();
    }
}

fn a_client_that_leaves_while_it_is_queued_is_forgotten(poller: Poller) {
    let (origin, gate) = HttpOrigin::gated();
    for reset in [false, true] {
        let scene = scene(poller, origin.address, "maxconn = 1", "");
        let before = origin.requests().len();
        let mut holder = scene.client();
        holder.head(&["GET /holder HTTP/1.1", "Host: x"]);
        origin.wait_requests(before + 1);
        let mut waiting = scene.client();
        waiting.head(&["GET /waiting HTTP/1.1", "Host: x"]);
        waiting.expect_silence(Duration::from_millis(50));
        leave(waiting, reset);
        let line = scene.line();
        assert_eq!((line.ending(), line.request.as_str()), ("CQ", "GET /waiting HTTP/1.1"));
        // Its turn goes to nobody: the next one is served.
        let mut next = scene.client();
        next.head(&["GET /next HTTP/1.1", "Host: x"]);
        gate.open(2);
        holder.response().expect(200);
        next.response().expect(200);
    }
    let targets: Vec<String> = origin.requests().into_iter().map(|one| one.target).collect();
    assert_eq!(targets, ["/holder", "/next", "/holder", "/next"]);
}

fn a_client_that_leaves_while_a_server_is_connected_is_forgotten(poller: Poller) {
    let hole = Blackhole::open();
    for reset in [false, true] {
        let scene = scene(poller, hole.address, "", "");
        let mut client = scene.client();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        client.expect_silence(Duration::from_millis(50));
        leave(client, reset);
        assert_eq!(scene.line().ending(), "CC");
    }
}

fn a_client_that_leaves_while_its_answer_is_awaited_is_given_up(poller: Poller) {
    let origin = HttpOrigin::mute();
    for reset in [false, true] {
        let scene = scene(poller, origin.address, "", "");
        let mut client = scene.client();
        let before = origin.requests().len();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        origin.wait_requests(before + 1);
        leave(client, reset);
        origin.wait_open(0);
        let line = scene.line();
        assert!(["CH", "CD"].contains(&line.ending()), "{line:?}");
    }
}

fn a_client_that_leaves_within_its_request_is_no_request(poller: Poller) {
    let origin = HttpOrigin::named("ok");
    for reset in [false, true] {
        let scene = scene(poller, origin.address, "", "");
        let mut client = scene.client();
        client.send("GET / HTTP/1.1\r\nHo");
        client.expect_silence(Duration::from_millis(50));
        leave(client, reset);
        let line = scene.line();
        assert_eq!((line.ending(), line.request.as_str()), ("CR", "<BADREQ>"));
    }
    assert!(origin.requests().is_empty());
}

fn a_client_that_leaves_within_its_content_ends_the_exchange(poller: Poller) {
    let origin = HttpOrigin::echo();
    for reset in [false, true] {
        let scene = scene(poller, origin.address, "", "");
        let before = origin.requests().len();
        let mut client = scene.client();
        client.head(&["POST / HTTP/1.1", "Host: x", "Content-Length: 10"]).send("12345");
        origin.wait_heads(before + 1);
        leave(client, reset);
        origin.wait_open(0);
        let line = scene.line();
        assert!(["CD", "CH"].contains(&line.ending()), "{line:?}");
    }
    assert!(origin.requests().iter().all(|one| !one.complete));
}

fn a_client_that_leaves_within_its_answer_ends_the_exchange(poller: Poller) {
    let origin = HttpOrigin::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n12345")?;
        exchange.wait_gone()?;
        Ok(Next::Close)
    });
    for reset in [false, true] {
        let scene = scene(poller, origin.address, "", "");
        let mut client = scene.client();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        assert_eq!(client.response_head("GET").status, 200);
        leave(client, reset);
        origin.wait_open(0);
        let line = scene.line();
        assert_eq!((line.ending(), line.status), ("CD", 200));
    }
}

fn a_server_that_leaves_within_its_answer_ends_the_exchange(poller: Poller) {
    for (bytes, next) in [
        ("Content-Length: 10\r\n\r\n12345", Next::Close),
        ("Content-Length: 10\r\n\r\n12345", Next::Reset),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", Next::Close),
    ] {
        let origin = HttpOrigin::scripted(move |exchange| {
            exchange.send(format!("HTTP/1.1 200 OK\r\n{bytes}"))?;
            // What was sent is forwarded before the end comes.
            exchange.pause(Duration::from_millis(100));
            Ok(next)
        });
        let scene = scene(poller, origin.address, "", "");
        let mut client = scene.client();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        let mut response = client.response_head("GET");
        let error = client.try_content_of(&mut response).expect_err("half an answer");
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "{error}");
        let line = scene.line();
        assert_eq!((line.ending(), line.status), ("SD", 200));
    }
}

fn a_server_that_leaves_before_its_answer_is_a_502(poller: Poller) {
    for (bytes, next) in
        [("", Next::Close), ("", Next::Reset), ("HTTP/1.1 200 OK\r\nCont", Next::Close)]
    {
        let origin = HttpOrigin::raw(bytes, next);
        let scene = scene(poller, origin.address, "", "");
        assert_eq!(scene.get("/").status, 502, "{bytes:?} {next:?}");
        let line = scene.line();
        assert_eq!((line.ending(), line.status), ("SH", 502), "{bytes:?} {next:?}");
    }
}

/// Who only ends sending is taken to have left, unless that is not wanted.
#[test]
fn a_client_that_has_ended_sending_may_be_waited_for() {
    let (origin, gate) = HttpOrigin::gated();
    let scene = scene(Poller::Epoll, origin.address, "", "abortonclose = false");
    let mut client = scene.client();
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    client.stream().end_sending().expect("an end");
    origin.wait_requests(1);
    gate.open(1);
    assert_eq!(client.response().expect(200).text(), "done");
    client.expect_end();
    assert_eq!(scene.line().ending(), "--");
}

/// Also with answers that come at once, ending the sending direction is no reason to lose one.
#[test]
fn a_client_that_ends_sending_with_its_request_gets_quick_answers() {
    let origin = HttpOrigin::named("quick");
    let scene = scene(Poller::Epoll, origin.address, "", "abortonclose = false");
    for _ in 0..50 {
        let mut client = scene.client();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        client.stream().end_sending().expect("an end");
        assert_eq!(client.response().expect(200).text(), "quick");
        client.expect_end();
    }
}

/// A client that leaves takes no other request along, whatever it shares.
#[test]
fn those_who_leave_do_not_disturb_those_who_stay() {
    let origin = HttpOrigin::answering(|request| Answer::ok(&request.target));
    let scene = scene(Poller::Epoll, origin.address, "", "http_reuse = \"always\"");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let scene = &scene;
            scope.spawn(move || {
                for round in 0..50 {
                    let mut client = scene.client();
                    let target = format!("/{n}/{round}");
                    if n % 2 == 0 {
                        client.head(&[&format!("GET {target} HTTP/1.1"), "Host: x"]);
                        leave(client, round % 2 == 0);
                    } else {
                        assert_eq!(client.get(&target).expect(200).text(), target);
                        assert_eq!(client.get(&target).expect(200).text(), target);
                    }
                }
            });
        }
    });
    scene.portolan.whole();
    deadline::until("all lines of the log", || scene.log.http_lines().len() >= 400);
}
