//! Promise: a server is used while its answers to checks are as asked for, and marked after as many
//! as configured; its clients go elsewhere meanwhile, and none of them notices.

use std::time::{Duration, Instant};

use portolan_tests::http::Scene;
use portolan_tests::{HttpOrigin, Listen, Patient, Storm, deadline, http, storm};

/// How often checks come in these tests, and after how many a server is marked.
const OFTEN: &str = "check = true, inter = \"50ms\", rise = 2, fall = 3";

/// The usual check of these tests.
const CHECK: &str = "check = { type = \"http\", steps = [\"send meth GET uri /health\"] }";

/// The same, every change logged.
const LOGGED: &str = "check = { type = \"http\", steps = [\"send meth GET uri /health\"], \
                      log_health_checks = true }";

/// A proxy with two workers before two servers, checked.
fn pair(one: &Patient, two: &Patient, line: &str, keys: &str) -> Scene {
    let keys = if keys.is_empty() { OFTEN } else { keys };
    Scene::watched(
        |front, log| {
            Listen::http("web", front)
                .http_log(log)
                .timeout("check", "3s")
                .line("balance = \"roundrobin\"")
                .line(line)
                .server_with("one", one.address, keys)
                .server_with("two", two.address, keys)
                .to_string()
        },
        |setup| setup.workers(2),
    )
}

/// Who answers ten requests.
fn names(scene: &Scene) -> String {
    let mut names: Vec<String> = (0..10).map(|_| scene.get("/").expect(200).text()).collect();
    names.sort();
    names.dedup();
    names.join("+")
}

#[test]
fn a_server_that_answers_badly_gets_nobody_until_it_answers_well() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let scene = pair(&one, &two, CHECK, "");
    one.wait_checks(3);
    assert_eq!(names(&scene), "one+two");
    one.health(500);
    scene.log.wait_for("Server web/one is DOWN");
    assert_eq!(names(&scene), "two");
    one.health(302);
    scene.log.wait_for("Server web/one is UP");
    assert_eq!(names(&scene), "one+two");
    assert_eq!(scene.log.count("Server web/two"), 0, "{:#?}", scene.log.lines());
}

#[test]
fn it_takes_as_many_checks_as_configured() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let scene = pair(&one, &two, LOGGED, "");
    one.wait_checks(3);
    let before = one.checks();
    one.health(500);
    scene.log.wait_for("Server web/one is DOWN");
    // Exactly so many failures, each with its count.
    for status in ["status: 2/3 UP.", "status: 1/3 UP.", "status: 0/2 DOWN."] {
        let line = scene.log.wait_for(status);
        assert!(line.contains("Health check for server web/one failed"), "{line}");
        assert!(line.contains("reason: Layer7 wrong status, code: 500"), "{line}");
    }
    assert!(one.checks() >= before + 3);
    one.health(200);
    scene.log.wait_for("Server web/one is UP");
    for status in ["status: 1/2 DOWN.", "status: 3/3 UP."] {
        let line = scene.log.wait_times(status, 1);
        assert!(line.contains("Health check for server web"), "{line}");
        assert!(line.contains("succeeded"), "{line}");
    }
}

#[test]
fn fewer_failures_than_configured_change_nothing() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let keys = "check = true, inter = \"50ms\", fall = 1000";
    let scene = pair(&one, &two, LOGGED, keys);
    one.wait_checks(2);
    one.health(404);
    scene.log.wait_for("status: 998/1000 UP.");
    assert_eq!(names(&scene), "one+two");
    one.health(200);
    scene.log.wait_for("status: 1000/1000 UP.");
    assert_eq!(scene.log.count("is DOWN"), 0);
}

#[test]
fn a_server_that_does_not_answer_is_down_as_one_that_refuses_is() {
    let (one, mut two) = (Patient::well("one"), Patient::well("two"));
    let patient = "check = true, inter = \"50ms\", rise = 2, fall = 2";
    let scene = pair(&one, &two, &format!("{CHECK}\nretries = 3\nredispatch = true"), patient);
    one.wait_checks(3);
    one.silent();
    two.stop();
    let line = scene.log.wait_for("Server web/one is DOWN");
    assert!(line.contains("reason: Layer7 timeout"), "{line}");
    let line = scene.log.wait_for("Server web/two is DOWN");
    assert!(line.contains("reason: Layer4 connection problem"), "{line}");
    assert!(line.contains("info: \"Connection refused\""), "{line}");
    scene.log.wait_for("has no server available");
    scene.get("/").expect(503);
    one.health(200);
    two.start();
    scene.log.wait_for("Server web/one is UP");
    scene.log.wait_for("Server web/two is UP");
    assert_eq!(names(&scene), "one+two");
}

#[test]
fn no_request_fails_while_servers_come_and_go() {
    let _turn = storm::turn();
    let (mut one, mut two) = (Patient::well("one"), Patient::well("two"));
    let line = format!("{CHECK}\nretries = 3\nredispatch = 1\nretry_on = \"all-retryable-errors\"");
    let scene = pair(&one, &two, &line, "");
    let front = scene.front;
    one.wait_checks(3);
    let storm = Storm::of(8, move |_, _| {
        let response = http::client::get(front, "/");
        if response.status == 200 {
            Ok(())
        } else {
            Err(std::io::Error::other(format!("{response:?}")))
        }
    });
    for round in 1..=3 {
        let patient = if round % 2 == 0 { &mut two } else { &mut one };
        storm.wait_more(100);
        patient.stop();
        scene.log.wait_times("is DOWN", round);
        storm.wait_more(100);
        patient.start();
        scene.log.wait_times("is UP", round);
    }
    storm.end_without_errors();
}

#[test]
fn a_stopping_server_keeps_its_own_clients() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let check = "check = { type = \"http\", steps = [\"send meth GET uri /health\"], \
                 disable_on_404 = true }";
    let cookie = "cookie = { name = \"SRV\", mode = \"insert\", indirect = true }";
    let scene = Scene::watched(
        |front, log| {
            Listen::http("web", front)
                .http_log(log)
                .timeout("check", "3s")
                .line("balance = \"roundrobin\"")
                .line(check)
                .line(cookie)
                .server_with("one", one.address, &format!("{OFTEN}, cookie = \"s1\""))
                .server_with("two", two.address, &format!("{OFTEN}, cookie = \"s2\""))
                .to_string()
        },
        |setup| setup.workers(2),
    );
    one.wait_checks(3);
    one.health(404);
    let line = scene.log.wait_for("Server web/one is stopping");
    assert!(line.contains("code: 404"), "{line}");
    assert_eq!(names(&scene), "two");
    let own = ["GET / HTTP/1.1", "Host: x", "Cookie: SRV=s1"];
    for _ in 0..4 {
        assert_eq!(scene.ask(&own).expect(200).text(), "one");
    }
    one.health(500);
    scene.log.wait_for("Server web/one is DOWN");
    assert_eq!(scene.ask(&own).expect(200).text(), "two");
    // A server that is down stays so.
    one.health(404);
    one.wait_checks(6);
    assert_eq!(names(&scene), "two");
    one.health(200);
    scene.log.wait_for("Server web/one is UP");
    assert_eq!(names(&scene), "one+two");
}

#[test]
fn the_request_is_the_one_that_is_written() {
    let one = Patient::well("one");
    let steps = "\"send meth PUT uri /health ver HTTP/1.1 hdr Host check.example \
                 hdr X-Server %[srv_name]-of-%[be_name] body hello\", \"expect status 200\"";
    let scene = Scene::watched_alone(|listen| {
        listen
            .line(&format!("check = {{ type = \"http\", steps = [{steps}], send_state = true }}"))
            .server_with("one", one.address, OFTEN)
    });
    one.wait_checks(1);
    let request = one.last_check();
    assert_eq!((request.method.as_str(), request.version.as_str()), ("PUT", "HTTP/1.1"));
    assert_eq!(request.fields.one("host"), Some("check.example"));
    assert_eq!(request.fields.one("x-server"), Some("one-of-web"));
    assert_eq!(
        (request.text().as_str(), request.fields.one("content-length")),
        ("hello", Some("5"))
    );
    assert!(request.fields.lists("connection", "close"), "{request:?}");
    let state = request.fields.one("x-haproxy-server-state").expect("the server's state");
    for part in ["UP", "name=web/one", "weight=1/1", "scur=0/", "qcur=0"] {
        assert!(state.contains(part), "{part}: {state}");
    }
    assert!(scene.portolan.running());
}

#[test]
fn nothing_said_is_options_and_a_status_below_400() {
    let origin = HttpOrigin::answering(|_| http::Answer::ok("x").close());
    let scene = Scene::watched_alone(|listen| {
        listen.line("check = { type = \"http\", log_health_checks = true }").server_with(
            "one",
            origin.address,
            OFTEN,
        )
    });
    let line = scene.log.wait_for("Health check for server web/one succeeded");
    assert!(line.contains("reason: Layer7 check passed, code: 200"), "{line}");
    let request = origin.wait_requests(1).swap_remove(0);
    let start = String::from_utf8_lossy(&request.head).into_owned();
    assert!(start.starts_with("OPTIONS / HTTP/1.0\r\n"), "{start}");
}

/// What a server answers checks with, an expectation, and whether the answer fulfils it.
#[test]
fn expectations_hold_or_not() {
    let cases: [(&str, http::Answer, bool); 16] = [
        ("expect status 200-299,404", http::Answer::status(404, "x"), true),
        ("expect status 200-299", http::Answer::status(302, "x"), false),
        ("expect ! status 500", http::Answer::status(404, "x"), true),
        ("expect rstatus ^2[0-9]4", http::Answer::bare(204), true),
        ("expect ! rstatus ^5", http::Answer::status(503, "x"), false),
        ("expect string all\\\\ is\\\\ well", http::Answer::ok("yes: all is well."), true),
        ("expect string well", http::Answer::ok("ill"), false),
        ("expect ! string error", http::Answer::ok("an error"), false),
        ("expect rstring ^v[0-9]+$", http::Answer::ok("v12"), true),
        ("expect rstring ^v[0-9]+$", http::Answer::ok("v12 "), false),
        ("expect string tail", http::Answer::chunked(&["head", " and ", "ta", "il"]), true),
        ("expect hdr name x-state value up", http::Answer::ok("").field("X-State", "a, up"), true),
        (
            "expect fhdr name x-state value up",
            http::Answer::ok("").field("X-State", "a, up"),
            false,
        ),
        (
            "expect hdr name set-cookie value -m beg sessid=",
            http::Answer::ok("").field("Set-Cookie", "sessid=7; path=/"),
            true,
        ),
        ("expect hdr name -m end -state", http::Answer::ok("").field("X-State", "z"), true),
        ("expect hdr name x-state", http::Answer::ok(""), false),
    ];
    // All at once: one server each, in a backend each.
    let origins: Vec<HttpOrigin> = cases
        .iter()
        .map(|(_, answer, _)| {
            let answer = answer.clone().close();
            HttpOrigin::answering(move |_| answer.clone())
        })
        .collect();
    let scene = Scene::watched(
        |front, log| {
            let mut body = Listen::http("web", front).http_log(log).server("x", front).to_string();
            for (n, ((expect, ..), origin)) in cases.iter().zip(&origins).enumerate() {
                let steps = format!("\"send meth GET uri /\", \"{expect}\"");
                let backend = Listen::backend(&format!("b{n}"))
                    .timeout("check", "15s")
                    .line(&format!(
                        "check = {{ type = \"http\", steps = [{steps}], log_health_checks = true }}"
                    ))
                    .server_with("s", origin.address, "check = true, inter = \"50ms\"");
                body = format!("{body}\n{backend}");
            }
            body
        },
        |setup| setup,
    );
    for (n, (expect, answer, holds)) in cases.iter().enumerate() {
        let line = scene.log.wait_for(&format!("Health check for server b{n}/s "));
        assert_eq!(line.contains("succeeded"), *holds, "{expect} {answer:?}: {line}");
    }
}

#[test]
fn several_requests_may_have_to_succeed() {
    let origin = HttpOrigin::answering(|request| {
        let answer = if request.target == "/second" { "the second" } else { "the first" };
        http::Answer::ok(answer).field("X-Token", "secret").close()
    });
    let steps = [
        "connect",
        "send meth GET uri /first",
        "expect string first",
        "set-var(check.token) res.hdr(x-token)",
        "connect",
        "send meth GET uri /second hdr X-Answer %[var(check.token)]",
        "comment the\\\\ last\\\\ word",
        "expect string third",
    ];
    let steps: Vec<String> = steps.iter().map(|step| format!("\"{step}\"")).collect();
    let scene = Scene::watched_alone(|listen| {
        listen
            .line(&format!(
                "check = {{ type = \"http\", log_health_checks = true, steps = [{}] }}",
                steps.join(", ")
            ))
            .server_with("one", origin.address, OFTEN)
    });
    let line = scene.log.wait_for("Health check for server web/one failed");
    assert!(line.contains("the last word"), "{line}");
    let requests = origin.wait_requests(2);
    assert_eq!((requests[0].target.as_str(), requests[1].target.as_str()), ("/first", "/second"));
    assert_eq!(requests[1].fields.one("x-answer"), Some("secret"));
}

#[test]
fn checks_may_go_elsewhere_than_clients() {
    let (one, agent) = (Patient::well("one"), Patient::well("agent"));
    let scene = Scene::watched_alone(|listen| {
        let there =
            format!("{OFTEN}, addr = \"{}\", port = {}", agent.address.ip(), agent.address.port());
        listen.line(CHECK).server_with("one", one.address, &there)
    });
    agent.wait_checks(2);
    assert_eq!(scene.get("/").expect(200).text(), "one");
    agent.health(500);
    scene.log.wait_for("Server web/one is DOWN");
    scene.get("/").expect(503);
    assert_eq!(one.checks(), 0);
}

#[test]
fn checks_go_through_the_proxy_protocol_where_the_server_wants_it() {
    let origin = HttpOrigin::behind_proxy(|_| http::Answer::ok("x").close());
    for keys in ["send_proxy = true", "check_send_proxy = true"] {
        let scene = Scene::watched_alone(|listen| {
            listen.line("check = { type = \"http\", log_health_checks = true }").server_with(
                "one",
                origin.address,
                &format!("{OFTEN}, {keys}"),
            )
        });
        scene.log.wait_for("Health check for server web/one succeeded");
    }
    for request in origin.requests() {
        let line = request.announced.expect("a PROXY line");
        let parsed = portolan_tests::proxy_header::parse(format!("{line}\r\n").as_bytes());
        let is_local = parsed.is_some_and(|header| header.version == 1);
        assert!(is_local, "{line}");
    }
}

#[test]
fn checks_are_no_clients() {
    let one = Patient::well("one");
    let scene = Scene::watched_alone(|listen| {
        listen.line(CHECK).server_with("one", one.address, &format!("{OFTEN}, maxconn = 1"))
    });
    one.wait_checks(5);
    assert_eq!(scene.log.http_lines().len(), 0);
    // The only place is free.
    assert_eq!(scene.get("/").expect(200).text(), "one");
    let info = scene.portolan.ask("show info");
    assert!(info.lines().any(|line| line == "CumConns: 1"), "{info}");
}

#[test]
fn one_process_checks_for_all_workers() {
    let (one, began) = (Patient::well("one"), Instant::now());
    let scene = Scene::watched(
        |front, log| {
            Listen::http("web", front)
                .http_log(log)
                .timeout("check", "15s")
                .line(CHECK)
                .server_with("one", one.address, "check = true, inter = \"300ms\"")
                .to_string()
        },
        |setup| setup.workers(8),
    );
    // Were there eight checkers, they would all come in the first interval.
    one.wait_checked();
    deadline::pause(Duration::from_millis(150));
    let checks = one.checks();
    let intervals = (began.elapsed().as_millis() / 300) as u64;
    assert!(checks <= intervals + 1, "{checks} checks in {intervals} intervals");
    let processes = scene.portolan.ask("show proc");
    let checkers = processes.lines().filter(|line| line.contains("checker")).count();
    assert_eq!(checkers, 1, "{processes}");
}

#[test]
fn a_proxy_that_checks_nothing_has_no_checker() {
    let one = Patient::well("one");
    let scene = Scene::before(one.address);
    assert!(!scene.portolan.ask("show proc").contains("checker"));
    scene.get("/").expect(200);
}
