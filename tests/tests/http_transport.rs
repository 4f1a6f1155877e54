//! Promise: what holds for connections in mode tcp holds in mode http too: limits, PROXY headers, UNIX
//! sockets, back-pressure; and content is waited for where that is asked for.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portolan_tests::http::{Answer, Next, Scene};
use portolan_tests::{
    HttpClient, HttpOrigin, Listen, Pattern, Poller, Portolan, Setup, address, client, deadline,
    per_poller, processes,
};

per_poller!(
    a_server_never_has_more_requests_than_allowed,
    a_client_that_only_asks_is_stopped,
    spliced_content_leaves_the_connection_in_step,
);

/// Four workers, one server that may have three requests at a time.
fn a_server_never_has_more_requests_than_allowed(poller: Poller) {
    let (now, peak) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let origin = HttpOrigin::scripted({
        let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
        move |exchange| {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            exchange.pause(Duration::from_millis(2));
            // Before the answer: the place may be taken at once.
            now.fetch_sub(1, Ordering::SeqCst);
            exchange.answer(&Answer::ok("ok"))
        }
    });
    let scene = Scene::set_up(
        |front, log| {
            let listen = Listen::http("web", front).http_log(log).timeout("queue", "60s");
            listen.server_with("one", origin.address, "maxconn = 3").to_string()
        },
        |setup| setup.workers(4).poller(poller),
    );
    std::thread::scope(|scope| {
        for _ in 0..24 {
            let scene = &scene;
            scope.spawn(move || {
                let mut client = scene.client();
                for _ in 0..10 {
                    client.get("/").expect(200);
                }
            });
        }
    });
    assert_eq!(origin.requests().len(), 240);
    let peak = peak.load(Ordering::SeqCst);
    assert!(peak <= 3, "{peak} requests at once");
}

/// Who does not read answers can ask only for so much.
fn a_client_that_only_asks_is_stopped(poller: Poller) {
    let origin = HttpOrigin::answering(|_| Answer::ok("x".repeat(1000)));
    let scene = Scene::polled(poller, origin.address);
    let worker = scene.portolan.whole().remove(0).pid;
    let before = processes::resident_kb(worker).expect("a worker");
    let mut client = scene.client();
    client.stream().limit(Duration::from_secs(1));
    let requests: String = (0..1000).fold(String::new(), |mut text, n| {
        write!(text, "GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n").expect("a string");
        text
    });
    let stopped = (0..2000).find_map(|_| client.try_send(&requests).err());
    let error = stopped.expect("an end of room");
    assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()), "{error}");
    let grown = processes::resident_kb(worker).expect("a worker").saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} kB more for one client");
    client.stream().limit(deadline::LIMIT);
    for n in 0..2000 {
        let response = client.response().expect(200);
        assert_eq!(response.content.len(), 1000, "answer {n}");
    }
}

fn spliced_content_leaves_the_connection_in_step(poller: Poller) {
    let origin = HttpOrigin::answering(|request| Answer::ok(&request.content));
    for option in ["splice-auto", "splice-request", "splice-response"] {
        let scene = Scene::set_up(
            |front, log| {
                let listen = Listen::http("web", front).http_log(log).option(option);
                listen.server("one", origin.address).to_string()
            },
            |setup| setup.poller(poller),
        );
        let mut client = scene.client();
        for (n, size) in [10, 100_000, 16_384, 2_000_000, 1, 500_000].into_iter().enumerate() {
            let content = Pattern::new(n as u64).bytes(size);
            client.head(&["PUT / HTTP/1.1", "Host: x", &format!("Content-Length: {size}")]);
            client.send(&content);
            // The next request follows at once.
            client.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
            let response = client.response().expect(200);
            assert!(response.content == content, "{option}: {size} bytes differ");
            assert!(client.response().expect(200).content.is_empty());
        }
    }
}

#[test]
fn a_frontend_serves_no_more_clients_than_allowed() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.line("maxconn = 2"));
    let (mut one, mut two) = (scene.client(), scene.client());
    one.get("/").expect(200);
    two.get("/").expect(200);
    // It is not answered before one of them leaves, though they only keep their connections.
    let mut three = scene.client();
    three.head(&["GET / HTTP/1.1", "Host: x"]);
    three.expect_silence(Duration::from_millis(200));
    drop(one);
    three.response().expect(200);
    two.get("/").expect(200);
}

/// A connection that began with somebody's PROXY header is nobody else's.
#[test]
fn a_connection_announced_for_one_client_serves_no_other() {
    for reuse in ["never", "safe", "aggressive", "always"] {
        let origin = HttpOrigin::behind_proxy(|_| Answer::ok("ok"));
        let scene = Scene::alone(|listen| {
            let listen = listen.line(&format!("http_reuse = \"{reuse}\""));
            listen.server_with("one", origin.address, "send_proxy = true")
        });
        let mut clients: Vec<HttpClient> = (0..3).map(|_| scene.client()).collect();
        for _ in 0..3 {
            for client in &mut clients {
                let port = client.stream().local_addr().port();
                client.get(&format!("/{port}")).expect(200);
            }
        }
        for request in origin.requests() {
            let announced = request.announced.clone().unwrap_or_default();
            let port = announced.split(' ').nth(4).unwrap_or_default();
            assert_eq!(request.target, format!("/{port}"), "{reuse}: {announced}");
        }
    }
}

#[test]
fn unix_sockets_serve_on_both_sides() {
    let setup = Setup::new("");
    let (front, back) = (setup.file("front.sock"), setup.file("back.sock"));
    let origin = HttpOrigin::unix(&back, |request| Answer::ok(&request.content));
    let listen = Listen::http("web", front.display()).server("one", back.display());
    let listen = listen.line("forwardfor = true");
    let _portolan = setup.body(listen.to_string()).start();
    let mut client = HttpClient::over(client::connect_unix(&front));
    for n in 0..5 {
        let content = "x".repeat(n * 10_000);
        assert_eq!(client.post("/", &content).expect(200).text(), content);
    }
    assert_eq!(origin.accepted(), 1);
    // There is no address to tell.
    assert!(origin.requests().iter().all(|one| !one.fields.has("x-forwarded-for")));
}

#[test]
fn content_may_be_waited_for_before_a_server_is_asked() {
    let origin = HttpOrigin::echo();
    let scene = Scene::shaped(origin.address, |listen| listen.option("http-buffer-request"));
    for framing in ["Content-Length: 6", "Transfer-Encoding: chunked"] {
        let before = origin.requests().len();
        let mut client = scene.client();
        let pieces = if framing.starts_with('T') {
            ["3\r\nabc\r\n", "3\r\ndef\r\n0\r\n\r\n"]
        } else {
            ["abc", "def"]
        };
        client.head(&["POST / HTTP/1.1", "Host: x", framing]).send(pieces[0]);
        client.expect_silence(Duration::from_millis(150));
        assert_eq!(origin.requests().len(), before, "{framing}: asked too early");
        assert_eq!(client.send(pieces[1]).response().expect(200).text(), "abcdef");
    }
    // What is larger than a buffer goes on as it comes.
    let large = "x".repeat(300_000);
    assert!(scene.client().post("/", &large).expect(200).text() == large);
    // A client that leaves meanwhile never becomes a server's business.
    let before = origin.requests().len();
    let mut client = scene.client();
    client.head(&["POST / HTTP/1.1", "Host: x", "Content-Length: 6"]).send("abc");
    client.expect_silence(Duration::from_millis(50));
    drop(client);
    scene.log.wait_http(4);
    assert_eq!(origin.requests().len(), before);
}

/// A client that waits for leave gets it where we want the content, and none where nobody does.
#[test]
fn leave_to_send_content_is_given_only_where_it_is_wanted() {
    let lines = ["POST / HTTP/1.1", "Host: x", "Expect: 100-continue", "Content-Length: 3"];
    let origin = HttpOrigin::echo();
    let scene = Scene::shaped(origin.address, |listen| listen.option("http-buffer-request"));
    let mut client = scene.client();
    assert_eq!(client.head(&lines).response().status, 100);
    let mut response = client.send("abc").response();
    if response.status == 100 {
        response = client.response();
    }
    assert_eq!(response.expect(200).text(), "abc");
    let scene = Scene::alone(|listen| listen.line("deny = true"));
    let mut client = scene.client();
    let response = client.head(&lines).response().expect(403);
    // Nobody knows whether the content still comes: better no further request than a wrong one.
    assert!(!response.keeps(), "{:?}", response.fields);
}

/// An upgrade with content: the content is the request's, what follows the tunnel's.
#[test]
fn an_upgrade_may_have_content() {
    let origin = HttpOrigin::scripted(|exchange| {
        let content = exchange.content()?.len();
        exchange.send(format!(
            "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo/1\r\nX-Got: {content}\r\n\r\n"
        ))?;
        let (stream, mut rest) = exchange.stream();
        std::io::Read::read_to_end(stream, &mut rest)?;
        exchange.send(rest)?;
        Ok(Next::Close)
    });
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.head(&[
        "POST / HTTP/1.1",
        "Host: x",
        "Connection: upgrade",
        "Upgrade: echo/1",
        "Content-Length: 3",
    ]);
    client.send("abc");
    let response = client.response();
    assert_eq!((response.status, response.fields.one("x-got")), (101, Some("3")));
    client.send("tunnel");
    client.stream().end_sending().expect("an end");
    assert_eq!(client.rest(), b"tunnel");
}

/// Frontends of both modes side by side.
#[test]
fn both_modes_live_in_one_instance() {
    let (web, raw) = (HttpOrigin::named("http"), portolan_tests::Origin::echo());
    let (front, tcp) = (address::free(), address::free());
    let body = format!(
        "{}\n{}",
        Listen::http("web", front).server("one", web.address),
        Listen::at("raw", tcp).server("two", raw.address)
    );
    let _portolan = Portolan::start(body);
    for _ in 0..5 {
        assert_eq!(HttpClient::to(front).get("/").expect(200).text(), "http");
        client::connect(tcp).expect_echo(b"GET / HTTP/1.1\r\n\r\n");
    }
}
