//! Promise: connections are kept, given to others and closed as configured, on both sides; one that
//! died meanwhile costs no request that may be repeated.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portolan_tests::http::client::head;
use portolan_tests::http::{Answer, Next, Scene};
use portolan_tests::origin::Gate;
use portolan_tests::{HttpClient, HttpOrigin, Listen, Poller, deadline, per_poller};

per_poller!(
    a_kept_connection_serves_request_after_request,
    a_dead_kept_connection_costs_no_request,
    an_idle_connection_that_its_server_closes_is_let_go,
);

fn a_kept_connection_serves_request_after_request(poller: Poller) {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::polled(poller, origin.address);
    let mut clients: Vec<HttpClient> = (0..10).map(|_| scene.client()).collect();
    for _ in 0..10 {
        for client in &mut clients {
            client.get("/").expect(200);
        }
    }
    assert_eq!(origin.requests().len(), 100);
    assert!(origin.accepted() <= 10, "{} connections", origin.accepted());
}

/// The server closes each connection after its answer, without a word.
fn a_dead_kept_connection_costs_no_request(poller: Poller) {
    let origin = HttpOrigin::answering(|_| Answer::ok("ok").then(Next::Close));
    let scene = Scene::polled(poller, origin.address);
    let mut client = scene.client();
    for n in 0..50 {
        assert_eq!(client.get(&format!("/{n}")).expect(200).text(), "ok");
    }
    let targets: Vec<String> = origin.requests().into_iter().map(|one| one.target).collect();
    assert_eq!(targets, (0..50).map(|n| format!("/{n}")).collect::<Vec<_>>());
}

fn an_idle_connection_that_its_server_closes_is_let_go(poller: Poller) {
    let origin = HttpOrigin::answering(|_| Answer::ok("ok").then(Next::Close));
    let scene = Scene::polled(poller, origin.address);
    let mut client = scene.client();
    client.get("/").expect(200);
    origin.wait_open(0);
    // Nothing of it is left in the worker, while the client is still there.
    let worker = scene.portolan.whole().remove(0).pid;
    let sockets = || {
        let all = portolan_tests::processes::descriptors(worker);
        all.iter().filter(|one| one.starts_with("socket:")).count() as u64
    };
    let before = deadline::settled(Duration::from_millis(100), sockets);
    let mut more: Vec<HttpClient> = (0..5).map(|_| scene.client()).collect();
    for client in &mut more {
        client.get("/").expect(200);
    }
    origin.wait_open(0);
    deadline::until("only the clients' sockets are left", || sockets() == before + 5);
}

/// What the origin was told about its connection.
fn told_to_close(origin: &HttpOrigin) -> Vec<bool> {
    origin.requests().iter().map(|one| one.fields.lists("connection", "close")).collect()
}

#[test]
fn mode_keep_alive_keeps_both_sides() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.option("http-keep-alive"));
    let mut client = scene.client();
    for _ in 0..5 {
        assert!(client.get("/").expect(200).keeps());
    }
    assert_eq!(origin.accepted(), 1);
    assert_eq!(told_to_close(&origin), [false; 5]);
}

#[test]
fn mode_server_close_keeps_only_the_client() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.option("http-server-close"));
    let mut client = scene.client();
    for _ in 0..5 {
        assert!(client.get("/").expect(200).keeps());
    }
    assert_eq!(origin.accepted(), 5);
    assert_eq!(told_to_close(&origin), [true; 5]);
    origin.wait_open(0);
}

#[test]
fn mode_close_keeps_neither_side() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.option("httpclose"));
    for _ in 0..3 {
        let mut client = scene.client();
        assert!(!client.get("/").expect(200).keeps());
        client.expect_end();
    }
    assert_eq!(origin.accepted(), 3);
    assert_eq!(told_to_close(&origin), [true; 3]);
    origin.wait_open(0);
}

#[test]
fn the_stricter_mode_of_frontend_and_backend_holds() {
    for (front_mode, back_mode, keeps, servers) in [
        ("http_keep_alive", "http_server_close", true, 3),
        ("http_server_close", "http_keep_alive", true, 3),
        ("http_keep_alive", "httpclose", false, 3),
        ("httpclose", "http_keep_alive", false, 3),
        ("http_keep_alive", "http_keep_alive", true, 1),
    ] {
        let origin = HttpOrigin::named("ok");
        let scene = Scene::of(|front, log| {
            let frontend = Listen::frontend("web", front).http_log(log).option(front_mode);
            let frontend = frontend.line("default_backend = \"app\"");
            let backend = Listen::backend("app").option(back_mode).server("one", origin.address);
            format!("{frontend}\n{backend}")
        });
        let mut client = scene.client();
        for _ in 0..3 {
            assert_eq!(client.get("/").expect(200).keeps(), keeps, "{front_mode} {back_mode}");
            if !keeps {
                client.expect_end();
                client = scene.client();
            }
        }
        assert_eq!(origin.accepted(), servers, "{front_mode} {back_mode}");
    }
}

#[test]
fn servers_may_be_told_keep_alive_though_they_are_closed() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| {
        listen.option("http-server-close").option("http-pretend-keepalive")
    });
    let mut client = scene.client();
    for _ in 0..3 {
        client.get("/").expect(200);
    }
    assert_eq!(told_to_close(&origin), [false; 3]);
    assert_eq!(origin.accepted(), 3);
}

/// How many server connections there are when a second client has asked once, and then once more,
/// after a first client that asked so often is idle.
fn connections(reuse: &str, first: usize) -> (u64, u64) {
    let origin = HttpOrigin::named("ok");
    let scene =
        Scene::shaped(origin.address, |listen| listen.line(&format!("http_reuse = \"{reuse}\"")));
    let (mut one, mut two) = (scene.client(), scene.client());
    for _ in 0..first {
        one.get("/first").expect(200);
    }
    assert_eq!(origin.accepted(), 1);
    two.get("/second").expect(200);
    let after_one = origin.accepted();
    two.get("/second").expect(200);
    (after_one, origin.accepted())
}

#[test]
fn reuse_never_keeps_a_connection_with_its_client() {
    assert_eq!(connections("never", 1), (2, 2));
    assert_eq!(connections("never", 3), (2, 2));
    // It goes with its client.
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.line("http_reuse = \"never\""));
    let mut client = scene.client();
    client.get("/").expect(200);
    drop(client);
    origin.wait_open(0);
}

#[test]
fn reuse_safe_gives_a_clients_first_request_a_connection_of_its_own() {
    assert_eq!(connections("safe", 1), (2, 2));
    assert_eq!(connections("safe", 3), (2, 2));
}

#[test]
fn reuse_aggressive_takes_what_has_proved_itself() {
    assert_eq!(connections("aggressive", 1).0, 2);
    // One that has served another client's later request before.
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.line("http_reuse = \"aggressive\""));
    let mut one = scene.client();
    for _ in 0..3 {
        one.get("/").expect(200);
    }
    drop(one);
    let mut two = scene.client();
    two.get("/").expect(200);
    assert_eq!(origin.accepted(), 1);
}

#[test]
fn reuse_always_takes_whatever_is_idle() {
    assert_eq!(connections("always", 1), (1, 1));
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.line("http_reuse = \"always\""));
    for _ in 0..10 {
        scene.get("/").expect(200);
    }
    // A client may come before the last one's connection is idle.
    assert!(origin.accepted() <= 2, "clients that leave do not take it along");
}

/// A connection is never given away while an exchange is under way.
#[test]
fn a_busy_connection_is_not_given_away() {
    let (origin, gate) = HttpOrigin::gated();
    let scene = Scene::shaped(origin.address, |listen| listen.line("http_reuse = \"always\""));
    let mut clients: Vec<HttpClient> = (0..5).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.head(&["GET / HTTP/1.1", "Host: x"]);
    }
    origin.wait_requests(5);
    assert_eq!(origin.open(), 5);
    gate.open(5);
    for client in &mut clients {
        client.response().expect(200);
    }
}

/// Answers the first request of each connection, and closes at the second without a word.
fn dying() -> HttpOrigin {
    HttpOrigin::scripted(|exchange| {
        exchange.content()?;
        if exchange.request.number > 0 {
            return Ok(Next::Close);
        }
        exchange.answer(&Answer::ok("ok"))
    })
}

#[test]
fn an_idempotent_request_is_repeated_on_a_fresh_connection() {
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        let origin = dying();
        let scene = Scene::before(origin.address);
        let mut client = scene.client();
        client.get("/first").expect(200);
        // All in one piece: what comes later than the head has gone past when the connection fails.
        let line = format!("{method} /again HTTP/1.1");
        client.send(head(&[&line, "Host: x", "Content-Length: 3"]) + "abc");
        assert_eq!(client.response_to(method).status, 200, "{method}");
        let again = origin.requests().into_iter().filter(|one| one.target == "/again");
        let again: Vec<(usize, usize)> = again.map(|one| (one.connection, one.number)).collect();
        assert_eq!(again, [(0, 1), (1, 0)], "{method}");
        assert!(origin.requests().iter().skip(1).all(|one| one.text() == "abc"));
    }
}

/// Content that has gone past us cannot be sent again: better no answer than half a request.
#[test]
fn what_is_no_longer_here_is_not_repeated() {
    let origin = dying();
    let scene = Scene::before(origin.address);
    for framing in ["Content-Length: 500000", "Transfer-Encoding: chunked"] {
        let mut client = scene.client();
        client.get("/first").expect(200);
        client.head(&["PUT /again HTTP/1.1", "Host: x", framing]);
        deadline::pause(Duration::from_millis(50));
        let content = "x".repeat(500_000);
        let _ = match framing {
            "Transfer-Encoding: chunked" => {
                client.try_send(format!("7a120\r\n{content}\r\n0\r\n\r\n"))
            }
            _ => client.try_send(content),
        };
        assert_eq!(client.response().status, 502, "{framing}");
    }
    let again = origin.requests().into_iter().filter(|one| one.target == "/again").count();
    assert_eq!(again, 2);
}

#[test]
fn a_post_is_never_repeated() {
    let origin = dying();
    let scene = Scene::before(origin.address);
    for n in 0..5 {
        let mut client = scene.client();
        client.get("/first").expect(200);
        client.head(&["POST /once HTTP/1.1", "Host: x", "Content-Length: 3"]).send("abc");
        if let Ok(response) = client.try_response("POST") {
            assert!([200, 502].contains(&response.status), "{response:?}");
        }
        let posts = origin.requests().iter().filter(|one| one.target == "/once").count();
        assert_eq!(posts, n + 1);
    }
}

/// What a client's first request is, decides: it must not meet a dead connection.
#[test]
fn a_first_post_gets_a_connection_that_is_not_dead() {
    let origin = dying();
    let scene = Scene::before(origin.address);
    for _ in 0..5 {
        // Leaves an idle connection that dies when it is used.
        scene.get("/").expect(200);
        assert_eq!(scene.client().post("/", "abc").expect(200).text(), "ok");
    }
}

#[test]
fn no_idle_connection_is_kept_where_none_may_be() {
    for keys in ["pool_max_conn = 0", "pool_purge_delay = \"0ms\""] {
        let origin = HttpOrigin::named("ok");
        let scene = Scene::alone(|listen| {
            listen.line("http_reuse = \"always\"").server_with("one", origin.address, keys)
        });
        for n in 1..=3 {
            scene.get("/").expect(200);
            origin.wait_open(0);
            assert_eq!(origin.accepted(), n, "{keys}");
        }
    }
}

/// So many clients ask at once, are answered, and leave.
fn serve_at_once(scene: &Scene, origin: &HttpOrigin, gate: &Gate, count: usize) {
    let mut clients: Vec<HttpClient> = (0..count).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.head(&["GET / HTTP/1.1", "Host: x"]);
    }
    origin.wait_requests(count);
    gate.open(count as u64);
    for client in &mut clients {
        client.response().expect(200);
    }
}

#[test]
fn no_more_idle_connections_are_kept_than_allowed() {
    let (origin, gate) = HttpOrigin::gated();
    let scene = Scene::alone(|listen| {
        let keys = "pool_max_conn = 2, pool_purge_delay = \"60s\"";
        listen.line("http_reuse = \"always\"").server_with("one", origin.address, keys)
    });
    serve_at_once(&scene, &origin, &gate, 8);
    origin.wait_open(2);
    assert_eq!(deadline::settled(Duration::from_millis(300), || origin.open()), 2);
}

#[test]
fn idle_connections_that_are_not_needed_are_closed_after_a_while() {
    let (origin, gate) = HttpOrigin::gated();
    let scene = Scene::alone(|listen| {
        let keys = "pool_purge_delay = \"200ms\"";
        listen.line("http_reuse = \"always\"").server_with("one", origin.address, keys)
    });
    serve_at_once(&scene, &origin, &gate, 8);
    deadline::until("fewer idle connections", || origin.open() < 8);
    origin.wait_open(0);
}

#[test]
fn a_connection_serves_no_more_requests_than_allowed() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::alone(|listen| listen.server_with("one", origin.address, "max_reuse = 2"));
    let mut client = scene.client();
    for _ in 0..9 {
        client.get("/").expect(200);
    }
    let counts: Vec<usize> = origin.requests().iter().map(|one| one.connection).collect();
    assert_eq!(counts, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
}

#[test]
fn a_client_may_stay_with_its_last_server() {
    for (option, expected) in [("prefer_last_server = true", 1), ("prefer_last_server = false", 2)]
    {
        let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
        let scene = Scene::alone(|listen| {
            listen.line(option).server("one", one.address).server("two", two.address)
        });
        let mut client = scene.client();
        let mut names: Vec<String> = (0..6).map(|_| client.get("/").expect(200).text()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), expected, "{option}: {names:?}");
    }
}

/// A client's last server is not waited for where that is not wanted.
#[test]
fn a_clients_last_server_need_not_be_waited_for() {
    let gate = Gate::default();
    let slow = HttpOrigin::scripted({
        let gate = gate.clone();
        move |exchange| {
            if exchange.request.target == "/hold" {
                exchange.pass(&gate);
            }
            exchange.answer(&Answer::ok("slow"))
        }
    });
    let quick = HttpOrigin::named("quick");
    let scene = Scene::alone(|listen| {
        let listen = listen.line("prefer_last_server = true").line("max_keep_alive_queue = 0");
        let listen = listen.server_with("slow", slow.address, "maxconn = 1");
        listen.server("quick", quick.address)
    });
    // One client at each server; they take turns.
    let (mut one, mut two) = (scene.client(), scene.client());
    if one.get("/").expect(200).text() == "quick" {
        assert_eq!(two.get("/").expect(200).text(), "slow");
        std::mem::swap(&mut one, &mut two);
    }
    let held = || slow.requests().iter().any(|one| one.target == "/hold");
    let mut holder = scene.client();
    while !held() {
        holder = scene.client();
        let before = quick.requests().len();
        holder.head(&["GET /hold HTTP/1.1", "Host: x"]);
        deadline::until("somebody holds", || quick.requests().len() > before || held());
    }
    assert_eq!(one.get("/again").expect(200).text(), "quick");
    gate.open(1);
    assert_eq!(holder.response().expect(200).text(), "slow");
}

/// Some idle connections stay though nobody needed them lately.
#[test]
fn a_few_idle_connections_are_kept_in_any_case() {
    let (origin, gate) = HttpOrigin::gated();
    let scene = Scene::alone(|listen| {
        let keys = "pool_purge_delay = \"100ms\", pool_low_conn = 2";
        listen.line("http_reuse = \"always\"").server_with("one", origin.address, keys)
    });
    serve_at_once(&scene, &origin, &gate, 6);
    origin.wait_open(2);
    assert_eq!(deadline::settled(Duration::from_millis(700), || origin.open()), 2);
}

/// A request of this kind is not understood as one for a proxy unless that is asked for.
#[test]
fn proxy_connection_counts_where_it_is_asked_for() {
    let origin = HttpOrigin::named("ok");
    let lines = ["GET http://x/ HTTP/1.0", "Host: x", "Proxy-Connection: keep-alive"];
    let scene = Scene::shaped(origin.address, |listen| listen.option("http-use-proxy-header"));
    let mut client = scene.client();
    for _ in 0..2 {
        client.head(&lines).response().expect(200);
    }
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.head(&lines).response().expect(200);
    client.expect_end();
}

/// Many clients at once, each with requests in a row, over few server connections.
#[test]
fn nothing_is_mixed_up_between_clients_that_share_connections() {
    let origin = HttpOrigin::answering(|request| {
        let text = format!("{} {}", request.target, request.text());
        if text.len() % 2 == 0 { Answer::ok(text) } else { Answer::chunked(&[&text]) }
    });
    let scene = Scene::shaped(origin.address, |listen| listen.line("http_reuse = \"always\""));
    let failures = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (scene, failures) = (&scene, &failures);
            scope.spawn(move || {
                let mut client = scene.client();
                for round in 0..60 {
                    let (target, content) = (format!("/{n}/{round}"), "x".repeat(round * 37));
                    let length = format!("Content-Length: {}", content.len());
                    client.head(&[&format!("PUT {target} HTTP/1.1"), "Host: x", &length]);
                    let text = client.send(&content).response().expect(200).text();
                    if text != format!("{target} {content}") {
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                    if round % 20 == 19 {
                        client = scene.client();
                    }
                }
            });
        }
    });
    assert_eq!(failures.load(Ordering::Relaxed), 0);
    assert_eq!(origin.requests().len(), 16 * 60);
    assert!(origin.accepted() <= 32, "{} connections", origin.accepted());
}
