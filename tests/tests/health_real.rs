//! Promise: real servers are known to be well and ill by their own protocols: stopped, started and
//! frozen, each is marked as configured, and their clients go elsewhere meanwhile.

use std::net::SocketAddr;

use portolan_tests::real::{self, Daemon};
use portolan_tests::syslog::Syslog;
use portolan_tests::{HttpOrigin, Listen, Setup, Storm, address, deadline, http, setup, storm};

/// Time enough for a busy machine to answer, and not too much to wait for.
const OFTEN: &str = "check = true, inter = \"150ms\", rise = 2, fall = 2";

/// Long enough that only a frozen server misses it.
const CHECK_TIMEOUT: &str = "5s";

/// Whether these programs are there.
fn found(programs: &[&str]) -> bool {
    let missing = real::missing_of(programs);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        setup::left_out(&format!("checks of {missing}: not installed (tests/install-peers.sh)"));
    }
    missing.is_empty()
}

/// A backend of one server, checked in these ways.
fn watched(server: SocketAddr, checks: &[&str]) -> String {
    let mut body = String::new();
    for (n, check) in checks.iter().enumerate() {
        let listen = Listen::at(&format!("p{n}"), address::free())
            .timeout("check", CHECK_TIMEOUT)
            .line(&format!("check = {{ {check}, log_health_checks = true }}"))
            .server_with("s", server, OFTEN);
        body = format!("{body}\n{listen}");
    }
    body
}

/// Well, stopped, started, frozen, thawed: marked each time, by each of these checks.
fn lives_and_dies(mut daemon: Daemon, checks: &[&str]) {
    let log = Syslog::udp();
    let portolan = Setup::new(watched(daemon.address, checks)).events(&log).workers(1).start();
    let each = |text: &str, count: usize| {
        for (n, check) in checks.iter().enumerate() {
            let line = log.wait_times(&format!("erver p{n}/s {text}"), count);
            assert!(!line.is_empty(), "{check}");
        }
    };
    let lines = |n: usize| -> Vec<String> {
        let of = format!("erver p{n}/s ");
        log.lines().into_iter().filter(|line| line.contains(&of)).collect()
    };
    each("succeeded", 1);
    for (n, check) in checks.iter().enumerate() {
        assert!(lines(n)[0].contains("succeeded"), "{check}: {:#?}", lines(n));
        assert!(lines(n)[0].contains("Layer7 check passed"), "{check}: {:#?}", lines(n));
    }
    daemon.stop();
    each("failed, reason: Layer4 connection problem", 1);
    each("is DOWN", 1);
    daemon.start_again();
    each("is UP", 1);
    daemon.freeze();
    // The system takes connections for it until its accept queue is full.
    each("is DOWN", 2);
    for (n, check) in checks.iter().enumerate() {
        let last = lines(n).into_iter().rfind(|line| line.contains("failed"));
        assert!(last.is_some_and(|line| line.contains("timeout")), "{check}: {:#?}", lines(n));
    }
    daemon.thaw();
    each("is UP", 2);
    for (n, check) in checks.iter().enumerate() {
        let changes = lines(n).iter().filter(|line| line.contains("/s is ")).count();
        assert_eq!(changes, 4, "{check}: {:#?}", lines(n));
    }
    assert!(portolan.running());
}

#[test]
fn mariadb_is_known_by_its_greeting_and_by_a_login_and_not_offended() {
    if found(&["mariadbd"]) {
        let daemon = real::mariadb();
        is_not_offended(&daemon);
        lives_and_dies(
            daemon,
            &[
                "type = \"mysql\"",
                "type = \"mysql\", user = \"checks\"",
                "type = \"mysql\", user = \"checks\", post_80 = true",
            ],
        );
    }
}

/// Many checks: they say good-bye, so that the server does not take them for an attack
/// (`max_connect_errors`).
fn is_not_offended(daemon: &Daemon) {
    let log = Syslog::udp();
    let ip = daemon.address.ip().to_string();
    let port = daemon.address.port().to_string();
    let login = ["--no-defaults", "-h", &ip, "-P", &port, "-utest", "-ptest", "-N", "-B"];
    let say = |statement: &str| {
        let output = real::client("mariadb", &[&login[..], &["-e", statement]].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    say("SET GLOBAL max_connect_errors = 3");
    let listen = Listen::at("p", address::free())
        .timeout("check", CHECK_TIMEOUT)
        .line("check = { type = \"mysql\", user = \"checks\", log_health_checks = true }")
        .server_with("s", daemon.address, "check = true, inter = \"20ms\"");
    let _portolan = Setup::new(listen.to_string()).events(&log).workers(1).start();
    let seen = || -> u64 {
        let text = say("SHOW GLOBAL STATUS LIKE 'Connections'");
        text.split_whitespace().nth(1).and_then(|one| one.parse().ok()).expect("a number")
    };
    let before = seen();
    deadline::until("many checks", || seen() > before + 40);
    assert_eq!(log.count("is DOWN"), 0, "{:#?}", log.lines());
    assert_eq!(log.count("failed"), 0, "{:#?}", log.lines());
}

#[test]
fn postgresql_is_known_by_its_answer_to_a_start() {
    if found(&["pgbench"]) && real::missing().iter().all(|one| one != "PostgreSQL") {
        lives_and_dies(real::postgres(), &["type = \"pgsql\", user = \"test\""]);
    }
}

#[test]
fn redis_is_known_by_a_ping_and_by_a_script() {
    if found(&["redis-server"]) {
        lives_and_dies(
            real::redis(),
            &[
                "type = \"redis\"",
                "type = \"tcp\", steps = [\"connect\", \"send PING\\\\r\\\\n\", \
                 \"expect string +PONG\", \"send info\\\\ replication\\\\r\\\\n\", \
                 \"expect string role:master\", \"send QUIT\\\\r\\\\n\", \"expect string +OK\"]",
            ],
        );
    }
}

#[test]
fn a_directory_is_known_by_a_bind() {
    if found(&["slapd"]) {
        lives_and_dies(real::slapd(), &["type = \"ldap\""]);
    }
}

#[test]
fn a_mail_server_is_known_by_its_greeting() {
    if found(&["exim4"]) {
        lives_and_dies(
            real::exim(),
            &["type = \"smtp\"", "type = \"smtp\", hello = \"EHLO check.example\""],
        );
    }
}

#[test]
fn nginx_is_known_by_a_request() {
    if found(&["nginx"]) {
        lives_and_dies(
            real::nginx_named("well"),
            &[
                "type = \"http\"",
                "type = \"http\", send = \"GET / HTTP/1.1\", host = \"x\", expect = \"string well\"",
            ],
        );
    }
}

#[test]
fn a_server_of_another_kind_is_down() {
    if !found(&["redis-server", "nginx"]) {
        return;
    }
    let (redis, nginx) = (real::redis(), real::nginx_named("x"));
    let log = Syslog::udp();
    let mut body = String::new();
    let cases = [
        ("type = \"redis\"", nginx.address),
        ("type = \"http\"", redis.address),
        ("type = \"mysql\", user = \"x\"", nginx.address),
        ("type = \"pgsql\", user = \"x\"", nginx.address),
        ("type = \"smtp\"", nginx.address),
        ("type = \"ldap\"", nginx.address),
        ("type = \"ssl-hello\"", redis.address),
        ("type = \"http\", send = \"GET /status/500\"", nginx.address),
        ("type = \"http\", send = \"GET /status/404\"", nginx.address),
    ];
    for (n, (check, server)) in cases.iter().enumerate() {
        let listen = Listen::at(&format!("p{n}"), address::free())
            .timeout("check", CHECK_TIMEOUT)
            .line(&format!("check = {{ {check} }}"))
            .server_with("s", server, OFTEN);
        body = format!("{body}\n{listen}");
    }
    let _portolan = Setup::new(body).events(&log).workers(1).start();
    for (n, (check, _)) in cases.iter().enumerate() {
        let line = log.wait_for(&format!("Server p{n}/s is DOWN"));
        assert!(line.contains("reason: Layer"), "{check}: {line}");
    }
}

/// Two real servers, of which one is stopped, started and frozen: no client fails.
#[test]
fn clients_notice_nothing_while_one_of_two_real_servers_suffers() {
    if !found(&["nginx"]) {
        return;
    }
    let _turn = storm::turn();
    let (mut one, two) = (real::nginx_named("one"), HttpOrigin::named("two"));
    let (log, front) = (Syslog::udp(), address::free());
    let listen = Listen::http("web", front)
        .timeout("check", "700ms")
        .timeout("server", "700ms")
        .timeout("connect", "700ms")
        .line("balance = \"roundrobin\"\nretries = 3\nredispatch = 1")
        .line("retry_on = \"all-retryable-errors\"")
        .line("check = { type = \"http\" }")
        .server_with("one", one.address, OFTEN)
        .server("two", two.address);
    let _portolan = Setup::new(listen.to_string()).events(&log).workers(2).start();
    let storm = Storm::of(4, move |_, _| {
        let response = http::client::get(front, "/");
        if response.status == 200 {
            Ok(())
        } else {
            Err(std::io::Error::other(format!("{response:?}")))
        }
    });
    storm.wait_more(50);
    one.stop();
    log.wait_for("Server web/one is DOWN");
    storm.wait_more(50);
    one.start_again();
    log.wait_for("Server web/one is UP");
    storm.wait_more(50);
    one.freeze();
    log.wait_times("Server web/one is DOWN", 2);
    storm.wait_more(50);
    one.thaw();
    log.wait_times("Server web/one is UP", 2);
    storm.wait_more(50);
    storm.end_without_errors();
}
