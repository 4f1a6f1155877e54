//! Promise: what clients see of a server counts too, where that is wanted; and what its clients have
//! ends when its state says so.

use std::time::Duration;

use portolan_tests::client::{self, Stream};
use portolan_tests::http::Scene;
use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Origin, Patient, Setup, address, deadline};

const CHECK: &str = "check = { type = \"http\", steps = [\"send meth GET uri /health\"] }";

/// The same, every change logged.
const LOGGED: &str = "check = { type = \"http\", steps = [\"send meth GET uri /health\"], \
                      log_health_checks = true }";

/// A server whose checks are always well and rare, but whose work goes wrong.
fn observed(one: &Patient, two: &Patient, keys: &str) -> Scene {
    let rare = "check = true, inter = \"1h\", fastinter = \"50ms\", downinter = \"50ms\", rise = 2, \
                fall = 2";
    Scene::watched(
        |front, log| {
            Listen::http("web", front)
                .http_log(log)
                .line("balance = \"roundrobin\"")
                .timeout("check", "3s")
                .line(LOGGED)
                .server_with("one", one.address, &format!("{rare}, {keys}"))
                .server("two", two.address)
                .to_string()
        },
        |setup| setup.workers(4),
    )
}

fn get(scene: &Scene, count: usize) {
    for _ in 0..count {
        scene.get("/");
    }
}

#[test]
fn errors_of_clients_mark_a_server_down_at_once_where_that_is_wanted() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let keys = "observe = \"layer7\", error_limit = 5, on_error = \"mark-down\"";
    let scene = observed(&one, &two, keys);
    one.wait_checked();
    one.health(500);
    one.work(500);
    // Every second request is its own: five errors in a row, whichever workers see them.
    get(&scene, 20);
    scene.log.wait_for("Server web/one is DOWN");
    let served = one.served();
    get(&scene, 10);
    assert_eq!(one.served(), served);
    one.health(200);
    one.work(200);
    scene.log.wait_for("Server web/one is UP");
}

#[test]
fn a_success_between_errors_starts_the_count_again() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let keys = "observe = \"layer7\", error_limit = 5, on_error = \"mark-down\"";
    let scene = observed(&one, &two, keys);
    one.wait_checked();
    for _ in 0..5 {
        one.work(500);
        get(&scene, 8);
        one.work(200);
        get(&scene, 2);
    }
    // Statuses that a client may cause are no errors, nor is 501.
    for status in [404, 400, 401, 499, 501] {
        one.work(status);
        get(&scene, 20);
    }
    assert_eq!(scene.log.count("is DOWN"), 0, "{:#?}", scene.log.lines());
}

#[test]
fn enough_errors_are_a_failed_check() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let scene = observed(&one, &two, "observe = \"layer7\", error_limit = 3");
    one.wait_checked();
    one.work(500);
    get(&scene, 6);
    let line = scene.log.wait_for("Health check for server web/one failed");
    assert!(line.contains("status: 1/2 UP"), "{line}");
    // The next check comes soon, not in an hour, and is well.
    one.work(200);
    let line = scene.log.wait_for("Health check for server web/one succeeded");
    assert!(line.contains("status: 2/2 UP"), "{line}");
    assert_eq!(scene.log.count("is DOWN"), 0);
}

#[test]
fn enough_errors_bring_the_next_check() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let keys = "observe = \"layer7\", error_limit = 3, on_error = \"fastinter\"";
    let scene = observed(&one, &two, keys);
    one.wait_checked();
    let checks = one.checks();
    one.work(500);
    get(&scene, 6);
    deadline::until("a check before the hour is over", || one.checks() > checks);
    assert_eq!(scene.log.count("is DOWN"), 0);
    assert!(scene.portolan.running());
}

#[test]
fn sudden_death_leaves_one_check() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let keys = "observe = \"layer7\", error_limit = 3, on_error = \"sudden-death\", fall = 10";
    let rare = "check = true, inter = \"1h\", fastinter = \"50ms\", rise = 2";
    let scene = Scene::watched(
        |front, log| {
            Listen::http("web", front)
                .http_log(log)
                .line("balance = \"roundrobin\"")
                .timeout("check", "3s")
                .line(LOGGED)
                .server_with("one", one.address, &format!("{rare}, {keys}"))
                .server("two", two.address)
                .to_string()
        },
        |setup| setup.workers(4),
    );
    one.wait_checked();
    one.health(500);
    one.work(500);
    get(&scene, 6);
    scene.log.wait_for("Server web/one is DOWN");
    let failures = scene.log.count("Health check for server web/one failed");
    assert!(failures <= 2, "not ten: {:#?}", scene.log.lines());
}

#[test]
fn connections_that_fail_count_in_layer_4() {
    let (mut one, two) = (Patient::well("one"), Patient::well("two"));
    let health = Patient::well("health");
    let there = format!("addr = \"{}\", port = {}", health.address.ip(), health.address.port());
    let keys = format!("observe = \"layer4\", error_limit = 4, on_error = \"mark-down\", {there}");
    let scene = observed(&one, &two, &keys);
    health.wait_checked();
    // A bad status is none of layer 4's business.
    one.work(500);
    get(&scene, 20);
    assert_eq!(scene.log.count("is DOWN"), 0);
    health.health(500);
    one.stop();
    get(&scene, 20);
    scene.log.wait_for("Server web/one is DOWN");
    one.start();
}

const OFTEN: &str = "check = true, inter = \"50ms\", rise = 2, fall = 2";

/// Connections that echo, held.
fn held(front: std::net::SocketAddr, count: usize) -> Vec<Stream> {
    (0..count)
        .map(|_| {
            let mut stream = client::connect(front);
            stream.expect_echo(b"held");
            stream
        })
        .collect()
}

#[test]
fn sessions_of_a_server_that_goes_down_end_where_that_is_wanted() {
    let (judge, one, two) = (Patient::well("judge"), Origin::echo(), Origin::echo());
    let (log, front) = (Syslog::udp(), address::free());
    let judged =
        format!("{OFTEN}, addr = \"{}\", port = {}", judge.address.ip(), judge.address.port());
    let listen = Listen::at("proxy", front)
        .log(&log)
        .line("balance = \"roundrobin\"")
        .timeout("check", "3s")
        .line(CHECK)
        .server_with(
            "one",
            one.address,
            &format!("{judged}, on_marked_down = \"shutdown-sessions\""),
        )
        .server("two", two.address);
    let _portolan = Setup::new(listen.to_string()).events(&log).workers(8).start();
    judge.wait_checks(2);
    let mut streams = held(front, 40);
    assert_eq!((one.open(), two.open()), (20, 20));
    judge.health(500);
    log.wait_for("Server proxy/one is DOWN");
    one.wait_open(0);
    let (mut ended, mut going_on) = (0, 0);
    for stream in &mut streams {
        if stream.exchange(b"still there?").is_ok() { going_on += 1 } else { ended += 1 }
    }
    assert_eq!((ended, going_on), (20, 20));
    let lines = log.wait_tcp(20);
    let down = lines.iter().filter(|line| line.termination == "DD" && line.server == "one");
    assert_eq!(down.count(), 20, "{lines:#?}");
}

#[test]
fn sessions_of_backups_end_when_a_server_is_up_again_where_that_is_wanted() {
    let (judge, one, backup) = (Patient::well("judge"), Origin::echo(), Origin::echo());
    let (log, front) = (Syslog::udp(), address::free());
    let judged =
        format!("{OFTEN}, addr = \"{}\", port = {}", judge.address.ip(), judge.address.port());
    let listen = Listen::at("proxy", front)
        .log(&log)
        .timeout("check", "3s")
        .line(CHECK)
        .server_with(
            "one",
            one.address,
            &format!("{judged}, on_marked_up = \"shutdown-backup-sessions\""),
        )
        .server_with("spare", backup.address, "backup = true");
    let _portolan = Setup::new(listen.to_string()).events(&log).workers(4).start();
    judge.wait_checks(2);
    let mut first = held(front, 4);
    judge.health(500);
    log.wait_for("Server proxy/one is DOWN");
    // Nothing was said about these: they go on.
    for stream in &mut first {
        stream.expect_echo(b"still there");
    }
    let mut second = held(front, 10);
    assert_eq!((one.open(), backup.open()), (4, 10));
    judge.health(200);
    log.wait_for("Server proxy/one is UP");
    backup.wait_open(0);
    for stream in &mut second {
        stream.expect_closed();
    }
    for stream in &mut first {
        stream.expect_echo(b"still there");
    }
    let lines = log.wait_tcp(10);
    assert!(lines.iter().all(|line| line.termination == "UD"), "{lines:#?}");
}

#[test]
fn a_server_that_has_come_back_gets_its_weight_little_by_little() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let scene = Scene::watched(
        |front, log| {
            Listen::http("web", front)
                .http_log(log)
                .line("balance = \"roundrobin\"")
                .timeout("check", "3s")
                .line(CHECK)
                .server_with(
                    "one",
                    one.address,
                    &format!("{OFTEN}, weight = 100, slowstart = \"1h\""),
                )
                .server_with("two", two.address, "weight = 100")
                .to_string()
        },
        |setup| setup.workers(4),
    );
    let share =
        |count: usize| (0..count).filter(|_| scene.get("/").expect(200).text() == "one").count();
    // Not at the start.
    one.wait_checks(2);
    assert_eq!(share(20), 10);
    one.health(500);
    scene.log.wait_for("Server web/one is DOWN");
    assert_eq!(share(10), 0);
    one.health(200);
    scene.log.wait_for("Server web/one is UP");
    // Within the first of twenty steps of an hour: one to six in a hundred.
    let few = share(200);
    assert!((1..=15).contains(&few), "{few} of 200");
}

#[test]
fn a_server_that_has_come_back_gets_its_places_little_by_little() {
    let (one, gate) = Patient::gated("one");
    let scene = Scene::watched_alone(|listen| {
        listen.line(CHECK).timeout("check", "3s").timeout("queue", "10m").server_with(
            "one",
            one.address,
            &format!("{OFTEN}, maxconn = 100, slowstart = \"1h\""),
        )
    });
    one.wait_checks(2);
    one.health(500);
    scene.log.wait_for("Server web/one is DOWN");
    one.health(200);
    scene.log.wait_for("Server web/one is UP");
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = scene.client();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        clients.push(client);
    }
    deadline::until("somebody is served", || one.busy() > 0);
    deadline::pause(Duration::from_millis(200));
    assert!(one.busy() <= 6, "{} places", one.busy());
    gate.open(u64::MAX);
    for client in &mut clients {
        client.response().expect(200);
    }
}
