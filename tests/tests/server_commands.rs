//! Promise: commands about servers are HAProxy's, with its answers; what an operator said is shown, reaches
//! every worker, and outlives reloads and every process but the wrapper.

use portolan_tests::http::{self, HttpOrigin};
use portolan_tests::{
    Listen, Origin, Patient, Portolan, Setup, address, client, deadline, processes,
};
use rustix::process::Signal;

/// Two servers of one name.
fn body(front: std::net::SocketAddr, a: &HttpOrigin, b: &HttpOrigin) -> Listen {
    Listen::http("web", front)
        .server_with("one", a.address, "weight = 10, maxconn = 50")
        .server_with("one", b.address, "weight = 10")
}

struct Scene {
    a: HttpOrigin,
    b: HttpOrigin,
    portolan: Portolan,
    front: std::net::SocketAddr,
}

fn start() -> Scene {
    let (a, b) = (HttpOrigin::named("a"), HttpOrigin::named("b"));
    let front = address::free();
    let portolan = Setup::new(body(front, &a, &b).to_string()).workers(4).start();
    Scene { a, b, portolan, front }
}

impl Scene {
    /// Who answers twenty requests, each on a connection of its own: how many the first server has.
    fn share(&self) -> usize {
        let answers = (0..20).map(|_| http::client::get(self.front, "/").expect(200).text());
        answers.filter(|text| text == "a").count()
    }

    fn configure(&self, first: &str, second: &str) {
        let listen = Listen::http("web", self.front)
            .server_with("one", self.a.address, first)
            .server_with("one", self.b.address, second);
        self.portolan.configure(&listen.to_string());
        self.portolan.reload();
        self.portolan.only_newest();
    }
}

/// Columns of a server in `show servers state`, by their names.
fn column(portolan: &Portolan, server: &str, name: &str) -> String {
    let text = portolan.ask("show servers state");
    let titles = text.lines().nth(1).expect("titles").split(' ').skip(1);
    let position = titles.clone().position(|title| title == name).expect("a column");
    let mut rows = text.lines().skip(2).map(|row| row.split(' ').collect::<Vec<_>>());
    let row = rows.find(|row| format!("{}/{}", row[1], row[3]) == server).expect("a row");
    assert_eq!(row.len(), titles.count(), "{text}");
    row[position].to_owned()
}

/// `show servers state` of this backend, word by word, without the seconds that go on between two answers.
fn without_time(portolan: &Portolan, backend: &str) -> Vec<String> {
    let text = portolan.ask(&format!("show servers state {backend}"));
    let titles = text.lines().nth(1).expect("titles").split(' ').skip(1);
    let time = titles.clone().position(|title| title == "srv_time_since_last_change");
    let time = time.expect("that column");
    let rows = text.lines().skip(2).flat_map(|row| {
        row.split(' ').enumerate().filter(|(at, _)| *at != time).map(|(_, word)| word)
    });
    titles.chain(rows).map(str::to_owned).collect()
}

#[test]
fn servers_are_shown_and_told_apart_by_name_number_and_count() {
    let scene = start();
    let portolan = &scene.portolan;
    assert_eq!(portolan.ask("show backend"), "# name\nweb");
    assert_eq!(portolan.ask("show servers state").lines().count(), 4);
    assert_eq!(without_time(portolan, "web"), without_time(portolan, "#1"));
    assert!(portolan.ask("show servers conn web").contains("\nweb/one#2 1/2 "));
    for (server, weight) in [("web/one", "1"), ("web/one#2", "2"), ("#1/#2", "3")] {
        portolan.order(&format!("set weight {server} {weight}"));
        assert_eq!(portolan.ask(&format!("get weight {server}")), format!("{weight} (initial 10)"));
    }
    assert_eq!(column(portolan, "web/one", "srv_uweight"), "1");
    assert_eq!(column(portolan, "web/one#2", "srv_uweight"), "3");
}

#[test]
fn answers_are_those_of_haproxy() {
    let scene = start();
    for (line, answer) in [
        ("get weight web/none", "No such server."),
        ("get weight none/one", "No such backend."),
        ("get weight web", "Require 'backend/server'."),
        ("set weight web/one", "Require <weight> or <weight%>."),
        ("set weight web/one 257", "Absolute weight can only be between 0 and 256 inclusive."),
        ("set maxconn server web/one", "Require <maxconn>."),
        ("set server web/none state", "No such server."),
        ("enable health web/one", "Health check was not configured on this server, cannot enable."),
        ("set server web/one agent up", "agent checks are not enabled on this server."),
        ("show servers state none", "Can't find backend."),
        ("show servers conn none", "Can't find backend."),
    ] {
        assert_eq!(scene.portolan.ask(line), answer, "{line}");
    }
    assert!(scene.portolan.ask("set server web/one").starts_with("usage: set server"));
    assert!(scene.portolan.ask("set maxconn global 5").starts_with("error: unknown command"));
}

#[test]
fn the_command_line_obeys_and_says_by_its_status_whether_it_was_done() {
    let scene = start();
    let done = scene.portolan.command(&["set", "server", "web/one", "state", "maint"]);
    assert_eq!((done.status.code(), done.stdout.len()), (Some(0), 0), "{done:?}");
    assert_eq!(scene.share(), 0);
    let shown = scene.portolan.command(&["get", "weight", "web/one"]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "10 (initial 10)\n");
    for refused in
        [&["enable", "server", "web/x"][..], &["get", "weight", "x/y"], &["disable", "x"]]
    {
        let output = scene.portolan.command(refused);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
        assert!(!output.stderr.is_empty(), "{output:?}");
    }
}

/// Whoever picks a server after the answer knows, in every worker.
#[test]
fn a_word_counts_for_the_next_request_in_every_worker() {
    let scene = start();
    for _ in 0..10 {
        scene.portolan.order("set server web/one state maint");
        assert_eq!(scene.share(), 0);
        scene.portolan.order("set server web/one state ready");
        scene.portolan.order("set weight web/one#2 0");
        assert_eq!(scene.share(), 20);
        scene.portolan.order("set weight web/one#2 100%");
    }
}

#[test]
fn what_was_said_outlives_reloads_workers_and_masters() {
    let scene = start();
    let portolan = &scene.portolan;
    portolan.order("set server web/one state maint");
    portolan.order("set weight web/one#2 7");
    portolan.order("set maxconn server web/one#2 9");
    let holds = || {
        assert_eq!(scene.share(), 0);
        assert_eq!(portolan.ask("get weight web/one#2"), "7 (initial 10)");
        assert_eq!(column(portolan, "web/one", "srv_admin_state"), "1");
    };
    holds();
    portolan.reload();
    portolan.only_newest();
    holds();
    for worker in portolan.whole() {
        assert!(processes::signal(worker.pid, Signal::KILL));
    }
    deadline::until("workers again", || portolan.workers().len() == 4);
    portolan.whole();
    holds();
    let master = portolan.master();
    assert!(processes::signal(master, Signal::KILL));
    deadline::until("another master", || portolan.try_master().is_some_and(|pid| pid != master));
    portolan.only_newest();
    holds();
    portolan.order("enable server web/one");
    assert_eq!(column(portolan, "web/one", "srv_op_state"), "2");
}

#[test]
fn a_configuration_that_says_something_else_of_the_same_wins() {
    let scene = start();
    let portolan = &scene.portolan;
    portolan.order("set weight web/one 3");
    portolan.order("set weight web/one#2 4");
    portolan.order("disable server web/one#2");
    // Of the first it says another weight, of the second what it said before.
    scene.configure("weight = 20, maxconn = 50", "weight = 10");
    assert_eq!(portolan.ask("get weight web/one"), "20 (initial 20)");
    assert_eq!(portolan.ask("get weight web/one#2"), "4 (initial 10)");
    assert_eq!(column(portolan, "web/one#2", "srv_admin_state"), "1");
    // Now it says itself what the operator said, and then no longer.
    scene.configure("weight = 20, maxconn = 50", "weight = 10, disabled = true");
    assert_eq!(column(portolan, "web/one#2", "srv_admin_state"), "5");
    portolan.order("enable server web/one#2");
    assert_eq!(column(portolan, "web/one#2", "srv_op_state"), "2");
    scene.configure("weight = 20, maxconn = 50", "weight = 10");
    assert_eq!(column(portolan, "web/one#2", "srv_admin_state"), "0");
}

#[test]
fn a_limit_may_be_lowered_and_lifted_while_running() {
    let (mut one, gate) = Patient::gated("one");
    let front = address::free();
    let listen = Listen::http("web", front).server_with("one", one.address, "maxconn = 3");
    let portolan = Setup::new(listen.to_string()).workers(4).start();
    portolan.order("set maxconn server web/one 2");
    let mut clients: Vec<_> = (0..6).map(|_| http::HttpClient::to(front)).collect();
    for client in &mut clients {
        client.head(&["GET / HTTP/1.1", "Host: x"]);
    }
    one.wait_busy(2);
    portolan.order("set maxconn server web/one 4");
    one.wait_busy(4);
    portolan.order("set maxconn server web/one 0");
    one.wait_busy(6);
    assert!(portolan.ask("show servers conn").contains(" 6 6 "), "six are shown");
    gate.open(u64::MAX);
    for client in &mut clients {
        client.response().expect(200);
    }
    assert_eq!(one.peak(), 6);
    one.stop();
}

#[test]
fn sessions_with_a_server_end_on_command_those_of_old_generations_too() {
    let (origin, other) = (Origin::echo(), Origin::echo());
    let front = address::free();
    let listen = Listen::at("tcp", front).server("one", origin.address);
    let portolan = Setup::new(listen.to_string()).workers(2).start();
    let mut old: Vec<_> = (0..4).map(|_| client::connect(front)).collect();
    for client in &mut old {
        client.expect_echo(b"before");
    }
    portolan.reload();
    let mut new: Vec<_> = (0..4).map(|_| client::connect(front)).collect();
    for client in &mut new {
        client.expect_echo(b"after");
    }
    let listen = listen.server("two", other.address);
    portolan.configure(&listen.to_string());
    portolan.reload();
    portolan.order("shutdown sessions server tcp/two");
    portolan.order("shutdown sessions server tcp/one");
    for client in old.iter_mut().chain(&mut new) {
        client.expect_closed();
    }
    portolan.only_newest();
    client::connect(front).expect_echo(b"still served");
}

#[test]
fn a_judgement_holds_until_the_next_check_finds_otherwise() {
    let one = Patient::well("one");
    let front = address::free();
    let listen = Listen::http("web", front)
        .line("check = { type = \"http\", steps = [\"send meth GET uri /health\"] }")
        .server_with("one", one.address, "check = true, inter = \"200ms\", rise = 2");
    let portolan = Setup::new(listen.to_string()).workers(2).start();
    one.wait_checks(2);
    let status = || portolan.notices().last("STATUS").unwrap_or_default();
    deadline::until("none down", || status() == "gen 1, 2 workers, 0 servers down");
    portolan.order("set server web/one health down");
    deadline::until("it is down", || column(&portolan, "web/one", "srv_op_state") == "0");
    // Two successes.
    deadline::until("it is up", || column(&portolan, "web/one", "srv_op_state") == "2");
    one.health(500);
    // What is counted may still be that it was down before.
    deadline::until("it is down again", || column(&portolan, "web/one", "srv_op_state") == "0");
    deadline::until("it is counted", || status() == "gen 1, 2 workers, 1 server down");
    portolan.wait_answer("show info", |info| info.contains("Servers_down: 1"));
    http::client::get(front, "/").expect(503);
    assert_eq!(column(&portolan, "web/one", "srv_check_result"), "2");
    // Nobody looks any more: it counts as up, until it is judged.
    portolan.order("disable health web/one");
    http::client::get(front, "/").expect(200);
    let checks = deadline::settled(std::time::Duration::from_millis(500), || one.checks());
    portolan.order("set server web/one health down");
    deadline::until("it is down", || column(&portolan, "web/one", "srv_op_state") == "0");
    assert_eq!(one.checks(), checks);
    one.health(200);
    portolan.order("enable health web/one");
    deadline::until("it is up", || column(&portolan, "web/one", "srv_op_state") == "2");
    one.wait_checks(1);
}
