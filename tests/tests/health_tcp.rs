//! Promise: servers of mode tcp are watched by connecting to them or by a script of what is sent and
//! expected, and those that track another one share its fate.

use std::io::{Read, Write};
use std::net::SocketAddr;

use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Origin, Portolan, Setup, address, client, deadline};

const OFTEN: &str = "check = true, inter = \"50ms\", rise = 2, fall = 3";

struct Scene {
    front: SocketAddr,
    log: Syslog,
    portolan: Portolan,
}

fn scene(shape: impl FnOnce(Listen) -> Listen) -> Scene {
    let (log, front) = (Syslog::udp(), address::free());
    let listen = Listen::at("proxy", front)
        .log(&log)
        .timeout("check", "3s")
        .line("balance = \"roundrobin\"");
    let portolan = Setup::new(shape(listen).to_string()).events(&log).workers(2).start();
    Scene { front, log, portolan }
}

/// Says its name and closes, there.
fn named_at(address: SocketAddr, name: &'static str) -> Origin {
    Origin::at(address, move |stream, _| stream.write_all(name.as_bytes()))
}

/// Who greets ten connections.
fn names(front: SocketAddr) -> String {
    let mut names: Vec<String> = (0..10).map(|_| client::greeting(front)).collect();
    names.sort();
    names.dedup();
    names.join("+")
}

#[test]
fn a_connection_is_all_that_a_check_needs() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let place = one.address;
    let scene = scene(|listen| {
        listen.line("retries = 3\nredispatch = true").server_with("one", place, OFTEN).server_with(
            "two",
            two.address,
            OFTEN,
        )
    });
    assert_eq!(names(scene.front), "one+two");
    drop(one);
    // Nobody fails before it is known either: the connection is tried elsewhere.
    assert_eq!(names(scene.front), "two");
    let line = scene.log.wait_for("Server proxy/one is DOWN");
    assert!(line.contains("reason: Layer4 connection problem"), "{line}");
    assert!(line.contains("1 active and 0 backup servers left"), "{line}");
    assert_eq!(names(scene.front), "two");
    let _one = named_at(place, "one again");
    let line = scene.log.wait_for("Server proxy/one is UP");
    assert!(line.contains("reason: Layer4 check passed"), "{line}");
    assert!(line.contains("2 active and 0 backup servers online"), "{line}");
    assert_eq!(names(scene.front), "one again+two");
}

#[test]
fn all_servers_down_and_one_comes_back() {
    let place = address::free();
    let scene = scene(|listen| listen.server_with("one", place, OFTEN));
    scene.log.wait_for("Server proxy/one is DOWN");
    scene.log.wait_for("proxy proxy has no server available!");
    client::connect(scene.front).expect_closed();
    let lines = scene.log.wait_tcp(1);
    assert_eq!((lines[0].server.as_str(), lines[0].termination.as_str()), ("<NOSRV>", "SC"));
    let _one = named_at(place, "one");
    scene.log.wait_for("Server proxy/one is UP");
    assert_eq!(client::greeting(scene.front), "one");
}

/// Answers line by line as it is told.
fn talker(greeting: &'static [u8], answers: &'static [(&'static [u8], &'static [u8])]) -> Origin {
    Origin::with(move |stream, _| {
        stream.write_all(greeting)?;
        let mut buffer = [0; 256];
        loop {
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            for (asked, answer) in answers {
                if buffer[..length].starts_with(asked) {
                    stream.write_all(answer)?;
                }
            }
        }
    })
}

/// Scripts, and whether they succeed with a server that greets, knows PING and answers bytes.
#[test]
fn scripts_succeed_or_fail() {
    let scripts: [(&[&str], bool); 15] = [
        (&["expect string hello"], true),
        (&["expect string goodbye"], false),
        (&["expect min-recv 5 ! string goodbye"], true),
        (&["expect min-recv 5 ! string hello"], false),
        (&["send PING\\\\r\\\\n", "expect string +PONG"], true),
        (
            &["connect", "expect rstring ^hello", "send PING\\\\r\\\\n", "expect rstring PO[MN]G"],
            true,
        ),
        (&["send-binary 50494e470d0a", "expect binary 2b504f4e47"], true),
        (&["send-binary 50494e470d0a", "expect rbinary ^68656C6C6F.*2B504F4E47"], true),
        (&["send-binary 00ff", "expect binary ff00fe"], true),
        (&["send-binary 00ff", "expect binary ff00ff"], false),
        (&["connect", "expect string hello", "connect", "expect string hello"], true),
        (&["set-var(check.word) str(hello)", "expect string-lf %[var(check.word)]"], true),
        (&["send-lf %[srv_name]\\\\r\\\\n", "expect string known"], true),
        (&["expect min-recv 200 string hello"], false),
        (&["connect", "send QUIET\\\\r\\\\n", "expect string +PONG"], false),
    ];
    let origin = talker(
        b"hello\r\n",
        &[(b"PING", b"+PONG\r\n"), (&[0, 0xff], &[0xff, 0, 0xfe]), (b"s", b"known")],
    );
    let log = Syslog::udp();
    let mut body = String::new();
    for (n, (steps, _)) in scripts.iter().enumerate() {
        let steps: Vec<String> = steps.iter().map(|step| format!("\"{step}\"")).collect();
        let listen = Listen::at(&format!("p{n}"), address::free())
            .log(&log)
            // Some fail because nothing more comes.
            .timeout("check", "3s")
            .line(&format!(
                "check = {{ type = \"tcp\", log_health_checks = true, steps = [{}] }}",
                steps.join(", ")
            ))
            .server_with("s", origin.address, "check = true, inter = \"300ms\"");
        body = format!("{body}\n{listen}");
    }
    let _portolan = Setup::new(body).events(&log).workers(1).start();
    for (n, (steps, succeeds)) in scripts.iter().enumerate() {
        let line = log.wait_for(&format!("Health check for server p{n}/s "));
        assert_eq!(line.contains("succeeded"), *succeeds, "{steps:?}: {line}");
    }
}

#[test]
fn a_failed_step_is_named_with_what_was_said_about_it() {
    let origin = talker(b"-ERR not now\r\n", &[]);
    let steps = "\"connect\", \"comment the\\\\ greeting\", \
                 \"expect on-error got\\\\ [%[res.payload(1,3)]] min-recv 4 string +OK\"";
    let scene = scene(|listen| {
        listen
            .line(&format!(
                "check = {{ type = \"tcp\", log_health_checks = true, steps = [{steps}] }}"
            ))
            .server_with("one", origin.address, OFTEN)
    });
    let line = scene.log.wait_for("Health check for server proxy/one failed");
    assert!(line.contains("reason: Layer7 invalid response"), "{line}");
    assert!(line.contains("got [ERR]"), "{line}");
}

#[test]
fn servers_that_track_another_share_its_fate() {
    let (one, two, three) = (Origin::named("one"), Origin::named("two"), Origin::named("three"));
    let place = one.address;
    let (log, front) = (Syslog::udp(), address::free());
    let fronts = [front, address::free()];
    let watched = Listen::at("watched", fronts[0])
        .log(&log)
        .timeout("check", "3s")
        .line("balance = \"roundrobin\"")
        .server_with("master", place, OFTEN);
    let tracking = Listen::at("tracking", fronts[1])
        .log(&log)
        .line("balance = \"roundrobin\"")
        .server_with("two", two.address, "track = \"watched/master\"")
        .server_with("chained", one.address, "track = \"two\"")
        .server("three", three.address);
    let portolan = Setup::new(format!("{watched}\n{tracking}")).events(&log).workers(4).start();
    deadline::until("all serve", || names(fronts[1]) == "one+three+two");
    drop(one);
    log.wait_for("Server watched/master is DOWN");
    let line = log.wait_for("Server tracking/two is DOWN");
    assert!(line.contains("via watched/master"), "{line}");
    log.wait_for("Server tracking/chained is DOWN");
    assert_eq!(names(fronts[1]), "three");
    let _one = named_at(place, "one");
    log.wait_for("Server tracking/two is UP via watched/master");
    log.wait_for("Server tracking/chained is UP");
    assert_eq!(names(fronts[1]), "one+three+two");
    // What the operator does to it is shared too.
    portolan.order("set server watched/master state maint");
    deadline::until("both follow", || names(fronts[1]) == "three");
    portolan.order("set server watched/master state ready");
    deadline::until("both follow", || names(fronts[1]) == "one+three+two");
}

#[test]
fn a_server_begins_as_its_first_state_says() {
    // Checks take a while: between the start and the first of them it is what it was said to be.
    let silent = Origin::silent();
    let script = "check = { type = \"tcp\", steps = [\"expect string never\"] }";
    for (state, serves) in
        [("up", true), ("fully-up", true), ("down", false), ("fully-down", false)]
    {
        let other = Origin::named("other");
        let scene = scene(|listen| {
            let keys = format!("check = true, inter = \"20s\", init_state = \"{state}\"");
            let there = format!(
                "{keys}, port = {}, addr = \"{}\"",
                silent.address.port(),
                silent.address.ip()
            );
            listen.line(script).timeout("check", "15s").server_with("one", other.address, &there)
        });
        if serves {
            assert_eq!(client::greeting(scene.front), "other", "{state}");
        } else {
            client::connect(scene.front).expect_closed();
        }
        assert!(scene.portolan.running());
    }
}

#[test]
fn one_failure_or_all_of_them_from_the_first_state() {
    // Far too long between checks: only the first may count.
    let nobody = address::free();
    let scene = scene(|listen| {
        let keys = "check = true, inter = \"100ms\", fall = 4, rise = 4";
        listen
            .line("check = { type = \"tcp\", log_health_checks = true }")
            .server_with("up", nobody, &format!("{keys}, init_state = \"up\""))
            .server_with("fully", nobody, &format!("{keys}, init_state = \"fully-up\""))
    });
    let first =
        |name: &str| scene.log.wait_for(&format!("Health check for server proxy/{name} failed"));
    assert!(first("up").contains("status: 0/4 DOWN"), "{}", first("up"));
    assert!(first("fully").contains("status: 3/4 UP"), "{}", first("fully"));
    scene.log.wait_for("Server proxy/fully is DOWN");
    // And upwards.
    let origin = Origin::echo();
    let scene = self::scene(|listen| {
        let keys = "check = true, inter = \"100ms\", fall = 4, rise = 4";
        listen
            .line("check = { type = \"tcp\", log_health_checks = true }")
            .server_with("down", origin.address, &format!("{keys}, init_state = \"down\""))
            .server_with("fully", origin.address, &format!("{keys}, init_state = \"fully-down\""))
    });
    let first =
        |name: &str| scene.log.wait_for(&format!("Health check for server proxy/{name} succeeded"));
    assert!(first("down").contains("status: 4/4 UP"), "{}", first("down"));
    assert!(first("fully").contains("status: 1/4 DOWN"), "{}", first("fully"));
    scene.log.wait_for("Server proxy/fully is UP");
}
