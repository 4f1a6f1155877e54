//! Promise: a reload loses no request, at any rate: what was asked is answered, by the old generation or
//! the new one, and tunnels go on.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use portolan_tests::http::{Answer, Scene, websocket};
use portolan_tests::steady::ask;
use portolan_tests::{
    HttpClient, HttpOrigin, Listen, Setup, Storm, address, client, deadline, storm,
};
use rustix::process::Signal;

/// A proxy with four workers before this server.
fn proxy(server: SocketAddr) -> (portolan_tests::Portolan, SocketAddr) {
    let front = address::free();
    let listen = Listen::http("web", front).server("one", server);
    (Setup::new(listen.to_string()).workers(4).start(), front)
}

/// Answers with what was asked for.
fn mirror() -> HttpOrigin {
    HttpOrigin::answering(|request| Answer::ok(&request.target))
}

fn connect(front: SocketAddr) -> io::Result<HttpClient> {
    client::try_connect(front).map(HttpClient::over)
}

#[test]
fn no_request_on_a_connection_of_its_own_is_lost() {
    let _turn = storm::turn();
    let origin = mirror();
    let (portolan, front) = proxy(origin.address);
    let storm = Storm::of(12, move |n, round| {
        ask(&mut connect(front)?, &format!("/{n}/{round}")).map(|_| ())
    });
    storm.wait_more(100);
    for _ in 0..20 {
        portolan.reload();
    }
    storm.wait_more(100);
    storm.end_without_errors();
    portolan.only_newest();
    assert_eq!(portolan.generation(), 21);
}

/// Clients that keep their connection until an answer says that it ends: none ends otherwise.
fn keeping(front: SocketAddr) -> Storm {
    let kept: Vec<Mutex<Option<HttpClient>>> = (0..12).map(|_| Mutex::new(None)).collect();
    Storm::of(12, move |n, round| {
        let mut slot = kept[n].lock().expect("the connection");
        let mut client = match slot.take() {
            Some(client) => client,
            None => connect(front)?,
        };
        let keeps = ask(&mut client, &format!("/{n}/{round}"))?;
        *slot = keeps.then_some(client);
        Ok(())
    })
}

#[test]
fn no_request_on_a_kept_connection_is_lost() {
    let _turn = storm::turn();
    let origin = mirror();
    let (portolan, front) = proxy(origin.address);
    let storm = keeping(front);
    storm.wait_more(200);
    for _ in 0..20 {
        portolan.reload();
        storm.wait_more(20);
    }
    storm.end_without_errors();
    portolan.only_newest();
}

#[test]
fn no_request_is_lost_when_signals_come_faster_than_reloads() {
    let _turn = storm::turn();
    let origin = mirror();
    let (portolan, front) = proxy(origin.address);
    let kept = keeping(front);
    let fresh = Storm::of(4, move |n, round| {
        ask(&mut connect(front)?, &format!("/fresh/{n}/{round}")).map(|_| ())
    });
    for _ in 0..100 {
        portolan.signal(Signal::USR2);
        deadline::pause(Duration::from_millis(10));
    }
    kept.wait_more(100);
    fresh.wait_more(100);
    kept.end_without_errors();
    fresh.end_without_errors();
    portolan.reload();
    portolan.only_newest();
}

/// What is under way is finished, and the client goes on with the new generation.
#[test]
fn a_request_under_way_is_finished_by_the_old_generation() {
    let (origin, gate) = HttpOrigin::gated();
    let scene = Scene::before(origin.address);
    let mut waiting = scene.client();
    waiting.head(&["GET / HTTP/1.1", "Host: x"]);
    let mut sending = scene.client();
    sending.head(&["POST / HTTP/1.1", "Host: x", "Content-Length: 6"]).send("abc");
    let mut beginning = scene.client();
    beginning.send("GET / HTTP/1.1\r\nHo");
    origin.wait_heads(2);
    scene.portolan.reload();
    sending.send("def");
    beginning.send("st: x\r\n\r\n");
    origin.wait_requests(3);
    gate.open(6);
    for client in [&mut waiting, &mut sending, &mut beginning] {
        let response = client.response().expect(200);
        assert!(response.keeps(), "{:?}", response.fields);
        assert!(client.get("/").expect(200).keeps());
    }
    assert!(scene.portolan.only_newest().iter().all(|worker| worker.generation == 2));
}

/// A client that waits between two requests does not notice.
#[test]
fn an_idle_client_keeps_its_connection() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    let mut idle: Vec<HttpClient> = (0..20).map(|_| scene.client()).collect();
    for client in &mut idle {
        client.get("/").expect(200);
    }
    for generation in 2..5 {
        scene.portolan.reload();
        assert!(scene.portolan.only_newest().iter().all(|it| it.generation == generation));
        for client in &mut idle {
            assert!(client.get("/").expect(200).keeps());
        }
    }
}

/// Its wait goes on where it was.
#[test]
fn an_idle_client_is_let_go_when_its_timeout_is_over_whoever_has_it() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.timeout("http_keep_alive", "700ms"));
    let mut idle = scene.client();
    idle.get("/").expect(200);
    scene.portolan.reload();
    assert!(scene.portolan.only_newest().iter().all(|worker| worker.generation == 2));
    idle.expect_end();
}

#[test]
fn websockets_outlive_reloads() {
    let origin = websocket::echo();
    let (portolan, front) = proxy(origin.address);
    let mut sockets: Vec<_> = (0..8).map(|_| websocket::connect(front, "/")).collect();
    for round in 0..5 {
        portolan.reload();
        for socket in &mut sockets {
            websocket::expect_echo(socket, &format!("after reload {round}"));
        }
    }
    sockets.into_iter().for_each(websocket::close);
    assert!(portolan.only_newest().iter().all(|worker| worker.generation == 6));
}

/// Server connections of the old generation are let go.
#[test]
fn kept_server_connections_do_not_pile_up() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    for _ in 0..10 {
        for _ in 0..3 {
            scene.get("/").expect(200);
        }
        scene.portolan.reload();
        scene.portolan.only_newest();
    }
    deadline::until("only what is in use is open", || origin.open() <= 3);
}

/// What changes in the configuration holds for the next request.
#[test]
fn the_new_configuration_holds_for_new_requests() {
    let (old, new) = (HttpOrigin::named("old"), HttpOrigin::named("new"));
    let front = address::free();
    let body =
        |origin: &HttpOrigin| Listen::http("web", front).server("one", origin.address).to_string();
    let portolan = Setup::new(body(&old)).workers(2).start();
    assert_eq!(portolan_tests::http::client::get(front, "/").expect(200).text(), "old");
    portolan.configure(&body(&new));
    portolan.reload();
    portolan.only_newest();
    for _ in 0..5 {
        assert_eq!(portolan_tests::http::client::get(front, "/").expect(200).text(), "new");
    }
    // A mode that is not known is refused, and nothing changes.
    portolan.configure(&body(&old).replace("mode = \"http\"", "mode = \"htpp\""));
    portolan.reload_fails();
    assert_eq!(portolan_tests::http::client::get(front, "/").expect(200).text(), "new");
}

#[test]
fn a_worker_that_is_killed_costs_nobody_else_a_request() {
    let _turn = storm::turn();
    let origin = mirror();
    let (portolan, front) = proxy(origin.address);
    let storm = Storm::of(8, move |n, round| {
        ask(&mut connect(front)?, &format!("/{n}/{round}")).map(|_| ())
    });
    storm.wait_more(50);
    let mut lost = 0;
    for _ in 0..5 {
        let worker = portolan.whole().remove(0);
        portolan_tests::processes::signal(worker.pid, Signal::KILL);
        lost += 1;
        storm.wait_more(50);
    }
    let outcome = storm.end();
    // Each took along what it was serving at that moment, at most one of each client.
    assert!(outcome.errors.len() <= lost * 8, "{:#?}", outcome.errors);
    portolan.whole();
}
