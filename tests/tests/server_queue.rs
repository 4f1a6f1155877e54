//! Promise: over all workers, those who wait for a server are served by class, then by how long they
//! wait; who belongs to one server waits for that one.

use std::net::SocketAddr;

use portolan_tests::http::{Response, Scene};
use portolan_tests::{HttpClient, HttpOrigin, Listen, Patient, Portolan, Setup, address};

fn waiting(front: SocketAddr, path: &str) -> HttpClient {
    let mut client = HttpClient::to(front);
    client.head(&[&format!("GET {path} HTTP/1.1"), "Host: x", "Connection: close"]);
    client
}

/// Frontends with a line each before one backend whose server takes one request at a time.
fn classes(workers: u16, lines: &[&str], server: SocketAddr) -> (Portolan, Vec<SocketAddr>) {
    let mut body = Listen::backend("app")
        .timeout("queue", "10m")
        .server_with("one", server, "maxconn = 1")
        .to_string();
    let mut fronts = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let front = address::free();
        let frontend =
            Listen::frontend(&format!("f{n}"), front).line("default_backend = \"app\"").line(line);
        body = format!("{body}\n{frontend}");
        fronts.push(front);
    }
    (Setup::new(body).workers(workers).start(), fronts)
}

/// The targets in the order in which they were served.
fn served(origin: &HttpOrigin) -> Vec<String> {
    origin.requests().into_iter().map(|request| request.target).collect()
}

#[test]
fn lower_classes_go_first_and_within_a_class_who_came_first() {
    for workers in [1, 8] {
        let (origin, gate) = HttpOrigin::gated();
        let lines = ["", "priority_class = -10", "priority_class = 10"];
        let (portolan, fronts) = classes(workers, &lines, origin.address);
        let mut clients = vec![waiting(fronts[0], "/holder")];
        origin.wait_requests(1);
        for (front, path) in [
            (2, "/late1"),
            (0, "/usual1"),
            (2, "/late2"),
            (1, "/soon1"),
            (0, "/usual2"),
            (1, "/soon2"),
            (0, "/usual3"),
        ] {
            clients.push(waiting(fronts[front], path));
            // The order is theirs only if each is in the pending queue before the next comes.
            portolan.wait_queued(clients.len() - 1);
        }
        gate.open(u64::MAX);
        for client in &mut clients {
            client.response().expect(200);
        }
        let order = served(&origin);
        let expected =
            ["/holder", "/soon1", "/soon2", "/usual1", "/usual2", "/usual3", "/late1", "/late2"];
        assert_eq!(order, expected, "{workers} workers");
    }
}

#[test]
fn an_offset_counts_as_time_waited() {
    let (origin, gate) = HttpOrigin::gated();
    let lines = ["", "priority_offset = -60000", "priority_offset = 60000"];
    let (portolan, fronts) = classes(8, &lines, origin.address);
    let mut clients = vec![waiting(fronts[0], "/holder")];
    origin.wait_requests(1);
    for (front, path) in [(2, "/late"), (0, "/usual"), (1, "/soon1"), (1, "/soon2")] {
        clients.push(waiting(fronts[front], path));
        portolan.wait_queued(clients.len() - 1);
    }
    gate.open(u64::MAX);
    for client in &mut clients {
        client.response().expect(200);
    }
    assert_eq!(served(&origin), ["/holder", "/soon1", "/soon2", "/usual", "/late"]);
}

#[test]
fn over_eight_workers_the_longest_wait_is_served_first() {
    let (origin, gate) = HttpOrigin::gated();
    let (portolan, fronts) = classes(8, &[""], origin.address);
    let mut clients = vec![waiting(fronts[0], "/0")];
    origin.wait_requests(1);
    for n in 1..16 {
        clients.push(waiting(fronts[0], &format!("/{n}")));
        portolan.wait_queued(n);
    }
    gate.open(u64::MAX);
    for client in &mut clients {
        client.response().expect(200);
    }
    let expected: Vec<String> = (0..16).map(|n| format!("/{n}")).collect();
    assert_eq!(served(&origin), expected);
}

/// `NAME=VALUE` of the only cookie that is set.
fn set(response: &Response) -> Option<String> {
    let value = response.fields.one("set-cookie")?;
    Some(value.split(';').next().unwrap_or_default().trim().to_owned())
}

/// Others being free is no reason to lose what a server knows of its client.
#[test]
fn a_client_whose_server_is_full_waits_for_it() {
    for workers in [1, 8] {
        let (one, gate) = Patient::gated("one");
        let two = HttpOrigin::named("two");
        let scene = Scene::set_up(
            |front, log| {
                Listen::http("web", front)
                    .http_log(log)
                    .line("cookie = { name = \"SRV\", mode = \"insert\", indirect = true }")
                    .line("balance = \"roundrobin\"")
                    .server_with("one", one.address, "cookie = \"s1\", maxconn = 1")
                    .server_with("two", two.address, "cookie = \"s2\"")
                    .timeout("queue", "10m")
                    .to_string()
            },
            |setup| setup.workers(workers),
        );
        let lines = ["GET / HTTP/1.1", "Host: x", "Cookie: SRV=s1"];
        let mut clients: Vec<HttpClient> = (0..3).map(|_| scene.client()).collect();
        for client in &mut clients {
            client.head(&lines);
        }
        one.wait_busy(1);
        scene.portolan.wait_queued(2);
        // Those without a cookie are served meanwhile.
        for _ in 0..4 {
            assert_eq!(scene.get("/").expect(200).text(), "two");
        }
        gate.open(3);
        for client in &mut clients {
            let response = client.response().expect(200);
            assert_eq!((response.text().as_str(), set(&response)), ("one", None));
        }
        assert_eq!((one.served(), one.peak(), two.requests().len()), (3, 1, 4));
    }
}

/// Who waits for one server does not lose a turn to those who would take any, nor the reverse.
#[test]
fn a_servers_queue_and_the_backends_are_served_by_how_long_they_wait() {
    let (one, gate) = HttpOrigin::gated();
    let front = address::free();
    let listen = Listen::http("web", front)
        .line("cookie = { name = \"SRV\", mode = \"insert\", indirect = true }")
        .server_with("one", one.address, "cookie = \"s1\", maxconn = 1")
        .timeout("queue", "10m");
    let portolan = Setup::new(listen.to_string()).workers(8).start();
    let mut clients = vec![waiting(front, "/holder")];
    one.wait_requests(1);
    for n in 0..10 {
        let mut client = HttpClient::to(front);
        let cookie = if n % 2 == 0 { "Cookie: SRV=s1" } else { "Cookie: other=1" };
        let line = format!("GET /{n} HTTP/1.1");
        client.head(&[&line, "Host: x", cookie, "Connection: close"]);
        clients.push(client);
        portolan.wait_queued(clients.len() - 1);
    }
    gate.open(u64::MAX);
    for client in &mut clients {
        client.response().expect(200);
    }
    let order = served(&one);
    let expected: Vec<String> =
        std::iter::once("/holder".to_owned()).chain((0..10).map(|n| format!("/{n}"))).collect();
    assert_eq!(order, expected);
}

#[test]
fn who_waits_for_a_server_that_goes_is_served_by_another() {
    let (one, gate) = HttpOrigin::gated();
    let two = HttpOrigin::named("two");
    let front = address::free();
    let listen = Listen::http("web", front)
        .line("cookie = { name = \"SRV\", mode = \"insert\", indirect = true }")
        .line("redispatch = true")
        .server_with("one", one.address, "cookie = \"s1\", maxconn = 1")
        .server_with("two", two.address, "cookie = \"s2\"")
        .timeout("queue", "10m");
    let portolan = Setup::new(listen.to_string()).workers(8).start();
    let lines = ["GET / HTTP/1.1", "Host: x", "Cookie: SRV=s1"];
    let mut clients: Vec<HttpClient> = (0..6).map(|_| HttpClient::to(front)).collect();
    clients[0].head(&lines);
    one.wait_requests(1);
    for client in &mut clients[1..] {
        client.head(&lines);
    }
    portolan.wait_queued(5);
    portolan.order("set server web/one state maint");
    for client in &mut clients[1..] {
        assert_eq!(client.response().expect(200).text(), "two");
    }
    gate.open(1);
    assert_eq!(clients[0].response().expect(200).text(), "done");
}
