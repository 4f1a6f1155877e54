//! Promise: at a reload a client of mode http keeps its connection, wherever it is between two requests;
//! its old worker leaves, counts stay exact, and whoever dies meanwhile takes only its own along.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use portolan_tests::http::Scene;
use portolan_tests::{
    HttpClient, HttpOrigin, Listen, Poller, Portolan, Setup, Storm, address, client, deadline,
    per_poller, processes, storm,
};
use rustix::process::Signal;

per_poller!(
    clients_go_along_wherever_they_are_between_two_requests,
    a_thousand_idle_clients_do_not_notice
);

/// Every old worker has left: without waiting for anybody's timeout.
fn moved_on(portolan: &Portolan) {
    let generation = portolan.generation();
    assert!(portolan.only_newest().iter().all(|worker| worker.generation == generation));
}

fn current_connections(portolan: &Portolan) -> usize {
    let info = portolan.ask("show info");
    let line = info.lines().find_map(|line| line.strip_prefix("CurrConns: "));
    line.and_then(|count| count.parse().ok()).expect("a number of connections")
}

/// One request and its answer, which says that the connection goes on.
fn ask(client: &mut HttpClient) -> io::Result<()> {
    client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let response = client.try_response("GET")?;
    if response.status == 200 && response.text() == "ok" && response.keeps() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{response:?}")))
    }
}

/// The same of all of them.
fn ask_all(clients: &mut [HttpClient]) {
    for client in clients {
        ask(client).expect("an answer");
    }
}

fn clients_go_along_wherever_they_are_between_two_requests(poller: Poller) {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::polled(poller, origin.address);
    let mut fresh = scene.client();
    let mut idle = scene.client();
    idle.get("/").expect(200);
    let mut slow = scene.client();
    let request = "GET /slow HTTP/1.1\r\nHost: x\r\nX-Long: 0123456789\r\n\r\n";
    let (steps, rest) = request.as_bytes().split_at(12);
    for (round, byte) in steps.iter().enumerate() {
        slow.send([*byte]);
        if round % 4 == 3 {
            scene.portolan.reload();
            moved_on(&scene.portolan);
            ask(&mut idle).expect("an answer after a reload");
        }
    }
    slow.send(rest);
    slow.response().expect(200);
    ask(&mut fresh).expect("an answer to a first request");
    ask(&mut slow).expect("an answer to the next one");
    assert_eq!(current_connections(&scene.portolan), 3);
}

fn a_thousand_idle_clients_do_not_notice(poller: Poller) {
    let _turn = storm::turn();
    // select has no more than 1,024 descriptors, for both sides.
    let count = if poller == Poller::Select { 300 } else { 1000 };
    let origin = HttpOrigin::named("ok");
    let front = address::free();
    let listen =
        Listen::http("web", front).line("http_reuse = \"always\"").server("one", origin.address);
    let setup = Setup::new(listen.to_string()).workers(2).poller(poller);
    let portolan =
        if poller == Poller::Select { setup } else { setup.global("maxconn", 3000) }.start();
    let mut clients: Vec<HttpClient> = (0..count).map(|_| HttpClient::to(front)).collect();
    ask_all(&mut clients);
    let servers = origin.accepted();
    for _ in 0..2 {
        portolan.reload();
        moved_on(&portolan);
        assert_eq!(current_connections(&portolan), count);
    }
    ask_all(&mut clients);
    assert_eq!(origin.accepted(), servers, "server connections went along");
    drop(clients);
    deadline::until("all are gone", || current_connections(&portolan) == 0);
}

#[test]
fn pipelined_requests_are_answered_in_order_over_reloads() {
    let origin = HttpOrigin::answering(|request| portolan_tests::http::Answer::ok(&request.target));
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    let mut asked = String::new();
    for n in 0..300 {
        use std::fmt::Write as _;
        write!(asked, "GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n").expect("text");
    }
    client.send(&asked);
    for n in 0..300 {
        if n % 100 == 50 {
            scene.portolan.reload();
        }
        assert_eq!(client.response().expect(200).text(), format!("/{n}"));
    }
    moved_on(&scene.portolan);
}

#[test]
fn a_slow_reader_of_an_answer_gets_all_of_it() {
    let front = address::free();
    let answer = format!(
        "return = {{ status = 200, content_type = \"text/plain\", string = \"{}\" }}",
        "x".repeat(15_000)
    );
    let listen = Listen::http("web", front).line(&answer);
    let portolan = Setup::new(listen.to_string()).workers(1).start();
    let mut client = HttpClient::to(front);
    client.stream().shrink(4096);
    for _ in 0..100 {
        client.head(&["GET / HTTP/1.1", "Host: x"]);
    }
    portolan.reload();
    for _ in 0..100 {
        assert_eq!(client.response().expect(200).content.len(), 15_000);
    }
    moved_on(&portolan);
}

#[test]
fn who_has_no_place_any_more_gets_one_more_answer_which_says_so() {
    let origin = HttpOrigin::named("ok");
    let (front, other) = (address::free(), address::free());
    let body = |name: &str, at: SocketAddr, mode: &str| {
        let listen = match mode {
            "http" => Listen::http(name, at),
            _ => Listen::at(name, at),
        };
        listen.server("one", origin.address).to_string()
    };
    let news =
        [body("other", front, "http"), body("web", front, "tcp"), body("web", other, "http")];
    for new in news {
        let portolan = Setup::new(body("web", front, "http")).workers(2).start();
        let mut clients: Vec<HttpClient> = (0..10).map(|_| HttpClient::to(front)).collect();
        ask_all(&mut clients);
        portolan.configure(&new);
        portolan.reload();
        for client in &mut clients {
            // The old worker may not know yet.
            deadline::until("the last answer", || !client.get("/").expect(200).keeps());
            client.expect_end();
        }
        drop(clients);
        moved_on(&portolan);
    }
}

#[test]
fn a_limit_that_was_lowered_sends_away_as_many_as_are_too_many() {
    let origin = HttpOrigin::named("ok");
    let front = address::free();
    let body = |most: u32| {
        let listen = Listen::http("web", front).line(&format!("maxconn = {most}"));
        listen.server("one", origin.address).to_string()
    };
    let portolan = Setup::new(body(40)).workers(1).start();
    let mut clients: Vec<HttpClient> = (0..40).map(|_| HttpClient::to(front)).collect();
    ask_all(&mut clients);
    portolan.configure(&body(30));
    portolan.reload();
    moved_on(&portolan);
    assert_eq!(current_connections(&portolan), 40);
    deadline::until("ten were sent away", || {
        clients.retain_mut(|client| client.get("/").expect(200).keeps());
        clients.len() <= 30
    });
    ask_all(&mut clients);
    assert_eq!(clients.len(), 30);
    drop(clients);
    moved_on(&portolan);
}

#[test]
fn a_connection_for_one_client_alone_goes_along_with_it() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.line("http_reuse = \"never\""));
    let mut clients: Vec<HttpClient> = (0..20).map(|_| scene.client()).collect();
    for _ in 0..3 {
        ask_all(&mut clients);
        scene.portolan.reload();
        moved_on(&scene.portolan);
    }
    ask_all(&mut clients);
    assert_eq!(origin.accepted(), 20);
}

/// A full limit stays exactly full: nobody loses a place, and nobody gets one too many.
#[test]
fn a_limit_that_is_reached_holds_over_reloads() {
    let _turn = storm::turn();
    let origin = HttpOrigin::named("ok");
    let front = address::free();
    let listen = Listen::http("web", front)
        .line("maxconn = 20\nbacklog = 400")
        .server("one", origin.address);
    let portolan = Setup::new(listen.to_string()).workers(4).start();
    let mut held: Vec<HttpClient> = (0..12).map(|_| HttpClient::to(front)).collect();
    ask_all(&mut held);
    // These fight for the other eight.
    let storm = Storm::of(30, move |_, _| {
        let mut client = client::try_connect(front).map(HttpClient::over)?;
        client.stream().limit(Duration::from_secs(60));
        ask(&mut client)?;
        ask(&mut client)
    });
    for _ in 0..10 {
        portolan.reload();
        storm.wait_more(20);
        assert!(current_connections(&portolan) <= 2 * 20);
        ask_all(&mut held);
    }
    storm.end_without_errors();
    moved_on(&portolan);
    deadline::until("only those who hold on are counted", || current_connections(&portolan) == 12);
    let mut more: Vec<HttpClient> = (0..8).map(|_| HttpClient::to(front)).collect();
    ask_all(&mut more);
    let mut too_many = HttpClient::to(front);
    too_many.head(&["GET / HTTP/1.1", "Host: x"]);
    too_many.expect_silence(Duration::from_millis(300));
    drop(more);
    too_many.response().expect(200);
}

/// Clients that ask, and are reconnected where they were cut.
fn survivors(clients: &mut Vec<HttpClient>) -> usize {
    clients.retain_mut(|client| match ask(client) {
        Ok(()) => true,
        Err(error) => {
            let cut = [
                io::ErrorKind::UnexpectedEof,
                io::ErrorKind::ConnectionReset,
                io::ErrorKind::BrokenPipe,
                io::ErrorKind::ConnectionAborted,
            ];
            assert!(cut.contains(&error.kind()), "{error:?}");
            false
        }
    });
    clients.len()
}

/// Kills workers of one of both generations while living connections go from one to the other.
fn deaths(old: bool) {
    let _turn = storm::turn();
    let origin = HttpOrigin::named("ok");
    let front = address::free();
    let listen =
        Listen::http("web", front).line("http_reuse = \"always\"").server("one", origin.address);
    let portolan = Setup::new(listen.to_string()).workers(2).global("maxconn", 3000).start();
    for round in 0..6 {
        let mut clients: Vec<HttpClient> = (0..400).map(|_| HttpClient::to(front)).collect();
        ask_all(&mut clients);
        let generation = portolan.generation();
        portolan.signal(Signal::USR2);
        let newer = || {
            let workers = portolan.all_workers();
            workers.into_iter().filter(|it| it.generation > generation).collect::<Vec<_>>()
        };
        deadline::until("successors", || newer().len() >= 2);
        deadline::pause(Duration::from_millis(10 * round));
        let victims = if old {
            let workers = portolan.all_workers();
            workers.into_iter().filter(|it| it.generation == generation).collect()
        } else {
            newer()
        };
        if let Some(victim) = victims.first() {
            processes::signal(victim.pid, Signal::KILL);
        }
        let left = survivors(&mut clients);
        // The other one had some of them.
        assert!(left > 0, "nobody is left");
        portolan.whole();
        deadline::until("those who are left are counted", || {
            current_connections(&portolan) == left
        });
        assert_eq!(survivors(&mut clients), left);
        portolan.reload();
        moved_on(&portolan);
        assert_eq!(survivors(&mut clients), left);
        drop(clients);
        deadline::until("nobody is counted", || current_connections(&portolan) == 0);
    }
}

#[test]
fn an_old_worker_that_is_killed_takes_along_what_it_still_had() {
    deaths(true);
}

#[test]
fn what_a_killed_successor_had_not_taken_stays_with_the_old_worker() {
    deaths(false);
}
