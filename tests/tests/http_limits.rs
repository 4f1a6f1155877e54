//! Promise: what is larger than allowed is refused with the status meant for it, costs nobody else
//! anything, and what is just as large as allowed passes.

use std::fmt::Write as _;
use std::time::Duration;

use portolan_tests::http::{Answer, Next, Response, Scene};
use portolan_tests::{HttpClient, HttpOrigin, Listen, Poller, deadline, per_poller, storm};

/// `buffer_size` − `maxrewrite`.
const HEAD_MAX: usize = 16_384 - 1024;

per_poller!(
    a_head_that_just_fits_passes_and_a_longer_one_is_refused,
    many_slow_clients_do_not_slow_the_others,
);

/// A scene with more in `[global] tune`.
fn tuned(origin: &HttpOrigin, tune: &str) -> Scene {
    let server = origin.address;
    Scene::set_up(
        |front, log| Listen::http("web", front).http_log(log).server("one", server).to_string(),
        |setup| setup.global("tune", format!("{{ {tune} }}")),
    )
}

/// A request whose head has exactly so many bytes, filled with fields.
fn sized(bytes: usize) -> String {
    let mut head = "GET / HTTP/1.1\r\nHost: x\r\n".to_owned();
    let end = "\r\n";
    while bytes - head.len() - end.len() > 2000 {
        write!(head, "F{}: {}\r\n", head.len(), "x".repeat(900)).expect("a string");
    }
    let left = bytes - head.len() - end.len() - "Last: \r\n".len();
    write!(head, "Last: {}\r\n{end}", "x".repeat(left)).expect("a string");
    assert_eq!(head.len(), bytes);
    head
}

/// The answer to a request that is refused while it may still be sent.
fn refused(client: &mut HttpClient, request: &str) -> Response {
    // It may be closed before all of it is sent.
    let _ = client.try_send(request);
    let response = client.response();
    assert!(!response.keeps(), "{:?}", response.fields);
    client.expect_closed();
    response
}

fn a_head_that_just_fits_passes_and_a_longer_one_is_refused(poller: Poller) {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::polled(poller, origin.address);
    let mut client = scene.client();
    for size in [HEAD_MAX - 1, HEAD_MAX] {
        client.send(sized(size)).response().expect(200);
    }
    let before = origin.requests().len();
    for size in [HEAD_MAX + 1, HEAD_MAX + 1000, 17_000, 60_000, 1_000_000] {
        assert_eq!(refused(&mut scene.client(), &sized(size)).status, 431, "{size} bytes");
    }
    assert_eq!(origin.requests().len(), before);
}

#[test]
fn a_larger_buffer_takes_a_longer_head() {
    let origin = HttpOrigin::named("ok");
    let scene = tuned(&origin, "bufsize = 65536, maxrewrite = 2000");
    let mut client = scene.client();
    client.send(sized(63_536)).response().expect(200);
    assert_eq!(refused(&mut scene.client(), &sized(63_537)).status, 431);
}

#[test]
fn a_target_longer_than_a_head_may_be_is_refused_as_such() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    let long = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(bytes));
    scene.client().send(long(8000)).response().expect(200);
    for bytes in [HEAD_MAX, 40_000, 500_000] {
        assert_eq!(refused(&mut scene.client(), &long(bytes)).status, 414, "{bytes} bytes");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_target_has_a_bound_of_its_own() {
    let origin = HttpOrigin::named("ok");
    let scene = tuned(&origin, "http_target_max = 100");
    let target = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
    scene.get(&target(100)).expect(200);
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", target(101));
    assert_eq!(refused(&mut scene.client(), &request).status, 414);
}

#[test]
fn names_and_values_have_bounds_of_their_own() {
    let origin = HttpOrigin::named("ok");
    let scene = tuned(&origin, "http_name_max = 20, http_value_max = 50");
    let ask = |name: usize, value: usize| {
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}: {}\r\n\r\n", "N".repeat(name), "v".repeat(value))
    };
    scene.client().send(ask(20, 50)).response().expect(200);
    assert_eq!(refused(&mut scene.client(), &ask(21, 50)).status, 431);
    assert_eq!(refused(&mut scene.client(), &ask(20, 51)).status, 431);
}

#[test]
fn the_number_of_fields_has_a_bound() {
    let with = |count: usize| {
        let mut head = "GET / HTTP/1.1\r\nHost: x\r\n".to_owned();
        (1..count).for_each(|n| write!(head, "F{n}: x\r\n").expect("a string"));
        head + "\r\n"
    };
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    scene.client().send(with(101)).response().expect(200);
    assert_eq!(refused(&mut scene.client(), &with(102)).status, 431);
    let scene = tuned(&origin, "http_maxhdr = 10");
    scene.client().send(with(10)).response().expect(200);
    assert_eq!(refused(&mut scene.client(), &with(11)).status, 431);
    let scene = tuned(&origin, "http_maxhdr = 1000");
    scene.client().send(with(999)).response().expect(200);
}

#[test]
fn an_answer_whose_head_is_too_large_is_a_bad_gateway() {
    let origin = HttpOrigin::answering(|request| {
        let bytes: usize = request.target[1..].parse().expect("a number");
        Answer::ok("ok").field("Large", &"x".repeat(bytes))
    });
    let scene = Scene::before(origin.address);
    assert_eq!(scene.get("/14000").expect(200).text(), "ok");
    for target in ["/16000", "/17000", "/100000"] {
        assert_eq!(scene.get(target).status, 502, "{target}");
    }
    assert_eq!(scene.get("/10").expect(200).text(), "ok");
}

/// RFC 9112, section 7.1.1: a recipient ought to limit the length of chunk extensions.
#[test]
fn extensions_and_trailers_without_end_are_refused() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    for content in [
        format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(100_000)),
        format!("0\r\n{}\r\n", "A: b\r\n".repeat(100_000)),
        format!("0\r\nA: {}\r\n\r\n", "b".repeat(100_000)),
        format!("{}1\r\nx\r\n0\r\n\r\n", "0".repeat(100_000)),
    ] {
        let mut client = scene.client();
        client.head(&["POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"]);
        let _ = client.try_send(content);
        if let Ok(response) = client.try_response("POST") {
            assert!([400, 413, 431].contains(&response.status), "{response:?}");
        }
        client.expect_closed();
    }
    assert!(origin.requests().iter().all(|one| !one.complete), "{:?}", origin.requests());
}

#[test]
fn interim_answers_without_end_do_no_harm() {
    let origin = HttpOrigin::scripted(|exchange| {
        for _ in 0..2000 {
            exchange.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")?;
        }
        exchange.answer(&Answer::ok("at last"))
    });
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    let last = (0..=2000).find_map(|_| {
        let response = client.response();
        (response.status != 103).then_some(response)
    });
    assert_eq!(last.expect("a final answer").expect(200).text(), "at last");
}

/// Clients that stand still within a head.
fn many_slow_clients_do_not_slow_the_others(poller: Poller) {
    let _turn = storm::turn();
    let origin = HttpOrigin::named("quick");
    let scene = Scene::polled(poller, origin.address);
    let count = match poller {
        Poller::Epoll | Poller::Polling => 4000,
        Poller::Poll => 1000,
        Poller::Select => 300,
    };
    let mut slow: Vec<HttpClient> = (0..count).map(|_| scene.client()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\nHost: x\r\nA:");
    }
    for round in 0..3 {
        // A byte more of each.
        for client in &mut slow {
            client.send("b");
        }
        let mut client = scene.client();
        for _ in 0..100 {
            assert_eq!(client.get("/").expect(200).text(), "quick");
        }
        assert_eq!(origin.requests().len(), 100 * (round + 1));
    }
    // They were only slow.
    for client in &mut slow {
        client.send("\r\n\r\n").response().expect(200);
    }
}

#[test]
fn a_slow_head_is_answered_with_408() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.timeout("http_request", "400ms"));
    let mut client = scene.client();
    // It goes on all the time; that does not prolong it.
    for byte in b"GET / HTTP/1.1\r\nHost: x\r\nA: bcdefghijklmnopqrstuvwxyz" {
        if client.try_send([*byte]).is_err() {
            break;
        }
        deadline::pause(Duration::from_millis(20));
    }
    let response = client.response();
    assert_eq!(response.status, 408);
    assert!(!response.keeps());
    client.expect_closed();
    assert!(origin.requests().is_empty());
}

#[test]
fn a_server_that_sends_a_head_without_end_is_given_up() {
    let origin = HttpOrigin::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\n")?;
        loop {
            exchange.send("Another: field\r\n".repeat(1000))?;
        }
        #[allow(unreachable_code, reason = "the loop ends with an error")]
        Ok(Next::Close)
    });
    let scene = Scene::before(origin.address);
    assert_eq!(scene.get("/").status, 502);
    origin.wait_open(0);
}
