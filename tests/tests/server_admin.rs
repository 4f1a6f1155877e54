//! Promise: an operator's word about a server holds at once, in every worker, over reloads; whoever
//! belongs to a server that drains stays with it.

use std::sync::atomic::{AtomicU64, Ordering};

use portolan_tests::http::{Response, Scene};
use portolan_tests::{
    Control, HttpClient, HttpOrigin, Listen, Patient, Storm, deadline, http, storm,
};

const COOKIE: &str = "cookie = { name = \"SRV\", mode = \"insert\", indirect = true }";

fn farm(one: &HttpOrigin, two: &HttpOrigin, line: &str, keys: &str) -> Scene {
    Scene::watched(|front, log| body(front, log, one, two, line, keys), |setup| setup.workers(4))
}

fn body(
    front: std::net::SocketAddr,
    log: &portolan_tests::syslog::Syslog,
    one: &HttpOrigin,
    two: &HttpOrigin,
    line: &str,
    keys: &str,
) -> String {
    let keys = if keys.is_empty() { String::new() } else { format!(", {keys}") };
    Listen::http("web", front)
        .http_log(log)
        .line("balance = \"roundrobin\"")
        .line(COOKIE)
        .line(line)
        .server_with("one", one.address, &format!("cookie = \"s1\", weight = 10{keys}"))
        .server_with("two", two.address, "cookie = \"s2\", weight = 10")
        .to_string()
}

/// A client of the first server.
fn own(scene: &Scene) -> Response {
    scene.ask(&["GET / HTTP/1.1", "Host: x", "Cookie: SRV=s1"])
}

/// How many of twenty requests the first server gets.
fn share(scene: &Scene) -> usize {
    (0..20).filter(|_| scene.get("/").expect(200).text() == "one").count()
}

#[test]
fn a_server_drains_and_is_in_maintenance_as_the_operator_says() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let scene = farm(&one, &two, "", "");
    let (portolan, log) = (&scene.portolan, &scene.log);
    assert_eq!(share(&scene), 10);
    portolan.order("set server web/one state drain");
    assert_eq!(share(&scene), 0);
    assert_eq!(own(&scene).expect(200).text(), "one", "who belongs to it stays with it");
    log.wait_for("Server web/one enters drain state");
    portolan.order("set server web/one state maint");
    assert_eq!(share(&scene), 0);
    assert_eq!(own(&scene).expect(200).text(), "two");
    log.wait_for("Server web/one is going DOWN for maintenance");
    portolan.order("set server web/one state ready");
    assert_eq!(share(&scene), 10);
    assert_eq!(own(&scene).expect(200).text(), "one");
    log.wait_for("Server web/one is UP");
    // The older words for it.
    portolan.order("disable server web/one");
    assert_eq!(share(&scene), 0);
    portolan.order("enable server web/one");
    assert_eq!(share(&scene), 10);
}

#[test]
fn what_the_operator_said_outlives_a_reload_and_a_killed_master() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let scene = farm(&one, &two, "", "");
    let portolan = &scene.portolan;
    portolan.order("set server web/one state drain");
    portolan.reload();
    assert_eq!(share(&scene), 0);
    assert_eq!(own(&scene).expect(200).text(), "one");
    let master = portolan.master();
    assert!(portolan_tests::processes::signal(master, rustix::process::Signal::KILL));
    deadline::until("another master", || portolan.try_master().is_some_and(|pid| pid != master));
    portolan.whole();
    assert_eq!(share(&scene), 0);
    portolan.order("set server web/one state ready");
    assert_eq!(share(&scene), 10);
    portolan.order("set server web/two weight 30");
    portolan.reload();
    assert_eq!(share(&scene), 5);
    // What the configuration says anew holds more.
    portolan.configure(&body(scene.front, &scene.log, &one, &two, "", "disabled = true"));
    portolan.reload();
    assert_eq!(share(&scene), 0);
    portolan.order("set server web/one state ready");
    assert_eq!(share(&scene), 5);
}

#[test]
fn a_disabled_server_waits_for_the_operator() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let scene = farm(&one, &two, "", "disabled = true");
    assert_eq!(share(&scene), 0);
    assert_eq!(own(&scene).expect(200).text(), "two");
    scene.portolan.order("set server web/one state ready");
    assert_eq!(share(&scene), 10);
}

#[test]
fn persistence_may_be_forced_to_a_server_in_maintenance() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let scene = farm(&one, &two, "force_persist = true", "disabled = true");
    assert_eq!(share(&scene), 0);
    assert_eq!(own(&scene).expect(200).text(), "one");
}

#[test]
fn persistence_may_be_ignored() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let scene = farm(&one, &two, "ignore_persist = true", "");
    let names: Vec<String> = (0..10).map(|_| own(&scene).expect(200).text()).collect();
    assert!(names.iter().filter(|name| *name == "two").count() == 5, "{names:?}");
}

#[test]
fn a_weight_of_zero_drains() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let scene = farm(&one, &two, "", "");
    for (words, expected) in [
        ("set weight web/one 0", 0),
        ("set weight web/one 30", 15),
        ("set weight web/one 100%", 10),
        ("set server web/one weight 0", 0),
        ("set server web/one weight 300%", 15),
    ] {
        scene.portolan.order(words);
        assert_eq!(share(&scene), expected, "{words}");
        assert_eq!(own(&scene).expect(200).text(), "one", "{words}");
    }
    let answer = scene.portolan.ask("get weight web/one");
    assert!(answer.contains("30") && answer.contains("10"), "{answer}");
}

#[test]
fn a_thousand_changes_of_weights_under_load_fail_nobody() {
    let _turn = storm::turn();
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let scene =
        Scene::watched(|front, log| body(front, log, &one, &two, "", ""), |setup| setup.workers(8));
    let front = scene.front;
    let storm = Storm::of(8, move |_, _| {
        let mut client = HttpClient::to(front);
        for _ in 0..4 {
            client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
            let response = client.try_response("GET")?;
            if response.status != 200 {
                return Err(std::io::Error::other(format!("{response:?}")));
            }
        }
        Ok(())
    });
    storm.wait_more(20);
    let mut control = Control::of(&scene.portolan);
    for n in 0..1000 {
        let server = ["one", "two"][n % 2];
        control.order(&format!("set server web/{server} weight {}", n * 7 % 257));
        // Never both of them at zero.
        if n * 7 % 257 == 0 {
            control.order(&format!("set server web/{server} weight 1"));
        }
    }
    storm.wait_more(20);
    storm.end_without_errors();
    // The last word holds everywhere.
    control.order("set server web/one weight 10");
    control.order("set server web/two weight 30");
    let ones = (0..40).filter(|_| scene.get("/").expect(200).text() == "one").count();
    assert_eq!(ones, 10);
}

#[test]
fn states_flap_under_load_and_nobody_fails_who_had_an_alternative() {
    let _turn = storm::turn();
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let scene =
        Scene::watched(|front, log| body(front, log, &one, &two, "", ""), |setup| setup.workers(8));
    let (front, asked) = (scene.front, std::sync::Arc::new(AtomicU64::new(0)));
    let storm = Storm::of(8, {
        let asked = std::sync::Arc::clone(&asked);
        move |_, _| {
            // Some belong to a server, some to the other, some to none.
            let cookie = ["Cookie: SRV=s1", "Cookie: SRV=s2", "X-None: 1"]
                [asked.fetch_add(1, Ordering::Relaxed) as usize % 3];
            let response = http::client::ask(front, &["GET / HTTP/1.1", "Host: x", cookie]);
            if response.status == 200 {
                Ok(())
            } else {
                Err(std::io::Error::other(format!("{response:?}")))
            }
        }
    });
    let mut control = Control::of(&scene.portolan);
    for round in 0..50 {
        let server = ["one", "two"][round % 2];
        let state = ["maint", "drain"][round / 2 % 2];
        control.order(&format!("set server web/{server} state {state}"));
        storm.wait_more(10);
        control.order(&format!("set server web/{server} state ready"));
    }
    storm.end_without_errors();
    let zero = |answer: &str| answer.lines().any(|line| line == "CurrConns: 0");
    scene.portolan.wait_answer("show info", zero);
}

#[test]
fn checks_may_be_stopped_by_the_operator() {
    let one = Patient::well("one");
    let scene = Scene::watched_alone(|listen| {
        listen
            .timeout("check", "3s")
            .line("check = { type = \"http\", steps = [\"send meth GET uri /health\"] }")
            .server_with("one", one.address, "check = true, inter = \"50ms\", fall = 2, rise = 2")
    });
    one.wait_checks(3);
    scene.portolan.order("disable health web/one");
    deadline::settled(std::time::Duration::from_millis(300), || one.checks());
    one.health(500);
    scene.get("/").expect(200);
    scene.portolan.order("enable health web/one");
    scene.log.wait_for("Server web/one is DOWN");
}

#[test]
fn a_verdict_may_be_the_operators() {
    let one = Patient::well("one");
    let scene = Scene::watched_alone(|listen| {
        listen.line(COOKIE).timeout("check", "3s").server_with(
            "one",
            one.address,
            "cookie = \"s1\", check = true, inter = \"1h\"",
        )
    });
    // The first check would overrule him.
    scene.portolan.wait_answer("show servers state", |answer| answer.contains(" 6 3 "));
    for _ in 0..3 {
        scene.portolan.order("set server web/one health down");
        deadline::until("it is down", || scene.get("/").status == 503);
        scene.portolan.order("set server web/one health stopping");
        deadline::until("it is stopping", || own(&scene).status == 200);
        scene.get("/").expect(503);
        scene.portolan.order("set server web/one health up");
        deadline::until("it is up", || scene.get("/").status == 200);
    }
}

#[test]
fn sessions_may_be_ended_by_the_operator() {
    let (one, gate) = Patient::gated("one");
    let scene = Scene::watched(
        |front, log| {
            Listen::http("web", front).http_log(log).server("one", one.address).to_string()
        },
        |setup| setup.workers(4),
    );
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = scene.client();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        clients.push(client);
    }
    one.wait_busy(10);
    scene.portolan.order("shutdown sessions server web/one");
    for client in &mut clients {
        client.expect_closed();
    }
    let lines = scene.log.wait_http(10);
    assert!(lines.iter().all(|line| line.termination.starts_with('K')), "{lines:#?}");
    gate.open(u64::MAX);
}

#[test]
fn nonsense_about_servers_is_refused_with_a_reason() {
    let one = HttpOrigin::named("one");
    let scene = Scene::before(one.address);
    for words in [
        "set server web/nobody state maint",
        "set server nowhere/one state maint",
        "set server web/one state sideways",
        "set server web/one weight 257",
        "set server web/one weight -1",
        "set weight web/one",
        "set maxconn server web/one many",
        "set server web",
        "disable server one",
    ] {
        let answer = scene.portolan.ask(words);
        assert!(!answer.is_empty(), "{words}");
        assert_eq!(scene.get("/").expect(200).text(), "one", "{words}");
    }
}
