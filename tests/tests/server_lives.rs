//! Promise: whichever process dies, and however servers come and go, counts stay exact, verdicts
//! stand, and whoever had an alternative is served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portolan_tests::http::Scene;
use portolan_tests::processes::Process;
use portolan_tests::{HttpClient, Listen, Patient, Portolan, Storm, deadline, processes, storm};
use rustix::process::Signal;

const CHECK: &str = "check = { type = \"http\", steps = [\"send meth GET uri /health\"] }";
const OFTEN: &str = "check = true, inter = \"50ms\", rise = 2, fall = 2";

/// The process that checks.
fn checker(portolan: &Portolan) -> Option<Process> {
    let all = processes::descendants(portolan.wrapper());
    all.into_iter().find(|one| one.state != 'Z' && one.title.contains("checker"))
}

fn another_checker(portolan: &Portolan, former: i32) -> Process {
    deadline::eventually("another checker", || checker(portolan).filter(|one| one.pid != former))
}

fn kill(pid: i32) {
    assert!(processes::signal(pid, Signal::KILL));
    deadline::until("its end", || !processes::alive(pid));
}

fn pair(one: SocketAddr, two: SocketAddr, workers: u16, keys: &str) -> Scene {
    Scene::watched(
        |front, log| {
            Listen::http("web", front)
                .http_log(log)
                .line("balance = \"roundrobin\"\nretries = 3\nredispatch = 1")
                .line("retry_on = \"all-retryable-errors\"")
                .timeout("check", "3s")
                .line(CHECK)
                .timeout("queue", "10m")
                .server_with("one", one, &format!("{OFTEN}{keys}"))
                .server_with("two", two, &format!("{OFTEN}{keys}"))
                .to_string()
        },
        |setup| setup.workers(workers),
    )
}

fn names(scene: &Scene) -> String {
    let mut names: Vec<String> = (0..8).map(|_| scene.get("/").expect(200).text()).collect();
    names.sort();
    names.dedup();
    names.join("+")
}

fn ask(front: SocketAddr) -> std::io::Result<()> {
    let mut client = HttpClient::over(portolan_tests::client::try_connect(front)?);
    client.try_send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let response = client.try_response("GET")?;
    if response.status == 200 {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("{response:?}")))
    }
}

#[test]
fn a_verdict_outlives_the_checker_and_its_successor_goes_on() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let scene = pair(one.address, two.address, 4, "");
    one.wait_checks(2);
    one.health(500);
    scene.log.wait_for("Server web/one is DOWN");
    assert_eq!(names(&scene), "two");
    let former = checker(&scene.portolan).expect("a checker").pid;
    kill(former);
    // With nobody to judge, what was judged holds.
    assert_eq!(names(&scene), "two");
    another_checker(&scene.portolan, former);
    one.wait_checks(3);
    assert_eq!(names(&scene), "two");
    one.health(200);
    scene.log.wait_for("Server web/one is UP");
    assert_eq!(names(&scene), "one+two");
    assert_eq!(scene.log.count("Server web/one is DOWN"), 1, "{:#?}", scene.log.lines());
    assert_eq!(scene.log.count("Server web/two"), 0);
}

#[test]
fn a_frozen_checker_is_replaced() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let scene = pair(one.address, two.address, 2, "");
    one.wait_checks(2);
    let former = checker(&scene.portolan).expect("a checker").pid;
    assert!(processes::signal(former, Signal::STOP));
    another_checker(&scene.portolan, former);
    one.health(500);
    scene.log.wait_for("Server web/one is DOWN");
    assert_eq!(names(&scene), "two");
    assert!(!processes::alive(former));
}

#[test]
fn a_verdict_outlives_reloads_and_a_killed_master() {
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let scene = pair(one.address, two.address, 4, "");
    one.wait_checks(2);
    one.health(500);
    scene.log.wait_for("Server web/one is DOWN");
    for _ in 0..3 {
        scene.portolan.reload();
        assert_eq!(names(&scene), "two", "the first pick of a new worker knows");
    }
    let master = scene.portolan.master();
    kill(master);
    assert_eq!(names(&scene), "two");
    deadline::until("another master", || {
        scene.portolan.try_master().is_some_and(|pid| pid != master)
    });
    scene.portolan.whole();
    assert_eq!(names(&scene), "two");
    one.health(200);
    scene.log.wait_for("Server web/one is UP");
    assert_eq!(names(&scene), "one+two");
    assert_eq!(scene.log.count("Server web/one is DOWN"), 1, "{:#?}", scene.log.lines());
    assert_eq!(scene.log.count("Server web/two"), 0);
    // One checker, of the newest generation, is left.
    deadline::until("one checker", || {
        let all = processes::descendants(scene.portolan.wrapper());
        let checkers = |one: &&Process| one.state != 'Z' && one.title.contains("checker");
        all.iter().filter(checkers).count() == 1
    });
}

#[test]
fn without_any_server_there_is_503_and_with_the_first_back_all_is_well() {
    let _turn = storm::turn();
    let (mut one, mut two) = (Patient::well("one"), Patient::well("two"));
    let scene = pair(one.address, two.address, 4, "");
    one.wait_checks(2);
    for round in 1..=2 {
        one.stop();
        two.stop();
        scene.log.wait_times("Server web/one is DOWN", round);
        scene.log.wait_times("Server web/two is DOWN", round);
        for _ in 0..8 {
            scene.get("/").expect(503);
        }
        one.start();
        scene.log.wait_times("Server web/one is UP", round);
        assert_eq!(names(&scene), "one");
        two.start();
        scene.log.wait_times("Server web/two is UP", round);
        assert_eq!(names(&scene), "one+two");
    }
}

#[test]
fn who_waits_for_the_only_server_waits_on_while_it_is_down_or_is_told() {
    // HAProxy: streams in a backend's pending queue leave it with its last server.
    let (one, gate) = Patient::gated("one");
    let scene = Scene::watched(
        |front, log| {
            Listen::http("web", front)
                .http_log(log)
                .timeout("check", "3s")
                .line(CHECK)
                .timeout("queue", "5s")
                .server_with("one", one.address, &format!("{OFTEN}, maxconn = 1"))
                .to_string()
        },
        |setup| setup.workers(4),
    );
    one.wait_checks(2);
    let mut clients: Vec<HttpClient> = (0..6).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.head(&["GET / HTTP/1.1", "Host: x"]);
    }
    one.wait_busy(1);
    one.health(500);
    scene.log.wait_for("Server web/one is DOWN");
    one.health(200);
    scene.log.wait_for("Server web/one is UP");
    gate.open(u64::MAX);
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.response().status).collect();
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
    assert_eq!(one.peak(), 1);
    drop(clients);
    let zero = |answer: &str| answer.lines().any(|line| line == "CurrConns: 0");
    scene.portolan.wait_answer("show info", zero);
}

/// The limits that hold in the storms.
const LIMIT: u64 = 5;

/// Nothing is counted any more once nobody is there.
fn exact(scene: &Scene) {
    let zero = |answer: &str| answer.lines().any(|line| line == "CurrConns: 0");
    scene.portolan.wait_answer("show info", zero);
    scene.portolan.wait_answer("show servers conn", |answer| {
        let mut lines = answer.lines().filter(|line| !line.is_empty());
        let Some(titles) = lines.find(|line| line.starts_with('#')) else { return false };
        let titles: Vec<&str> = titles.trim_start_matches('#').split_whitespace().collect();
        let at = titles.iter().position(|one| *one == "served").expect("the column `served`");
        let served: Vec<&str> = lines.filter_map(|line| line.split_whitespace().nth(at)).collect();
        served.len() == 2 && served.iter().all(|count| *count == "0")
    });
}

#[test]
fn flapping_servers_and_dying_processes_leave_every_count_exact() {
    let _turn = storm::turn();
    let (one, two) = (Patient::well("one"), Patient::well("two"));
    let scene = pair(one.address, two.address, 8, &format!(", maxconn = {LIMIT}"));
    let front = scene.front;
    one.wait_checks(2);
    let killed = Arc::new(AtomicU64::new(0));
    let storm = Storm::of(30, move |_, _| ask(front));
    storm.wait_more(100);
    for round in 1..=3 {
        one.health(500);
        scene.log.wait_times("Server web/one is DOWN", round);
        let victim = scene.portolan.whole()[round].pid;
        kill(victim);
        killed.fetch_add(1, Ordering::Relaxed);
        storm.wait_more(100);
        if round == 2 {
            let former = checker(&scene.portolan).expect("a checker").pid;
            kill(former);
            another_checker(&scene.portolan, former);
        }
        if round == 3 {
            let master = scene.portolan.master();
            kill(master);
            deadline::until("another master", || {
                scene.portolan.try_master().is_some_and(|pid| pid != master)
            });
        }
        one.health(200);
        scene.log.wait_times("Server web/one is UP", round);
        storm.wait_more(100);
    }
    let outcome = storm.end();
    // Only what a killed worker had in flight is lost: at most every client once per death.
    let most = 30 * killed.load(Ordering::Relaxed) as usize;
    assert!(outcome.errors.len() <= most, "{:#?}", outcome.errors);
    let refused = |error: &&String| error.contains("status: 50") || error.contains("refused");
    assert_eq!(outcome.errors.iter().filter(refused).count(), 0, "{:#?}", outcome.errors);
    scene.portolan.whole();
    exact(&scene);
    assert!(one.peak() <= LIMIT + 3 && two.peak() <= LIMIT + 3, "{} {}", one.peak(), two.peak());
}

#[test]
fn after_deaths_in_a_storm_the_limit_is_reached_again_exactly() {
    let _turn = storm::turn();
    let (one, gate) = Patient::gated("one");
    let two = Patient::gone("two");
    let scene = pair(one.address, two.address, 8, &format!(", maxconn = {LIMIT}"));
    scene.log.wait_for("Server web/two is DOWN");
    gate.open(300);
    let front = scene.front;
    let storm = Storm::of(20, move |_, _| ask(front));
    deadline::until("some are served", || one.served() >= 100);
    for slot in [1, 4, 6] {
        let victim = scene.portolan.whole()[slot].pid;
        kill(victim);
    }
    let former = checker(&scene.portolan).expect("a checker").pid;
    kill(former);
    another_checker(&scene.portolan, former);
    deadline::until("all of these are served", || one.served() >= 300);
    scene.portolan.whole();
    // Nobody is let through: all places are taken, by whoever waits, and no more.
    one.wait_busy(LIMIT);
    deadline::pause(std::time::Duration::from_millis(300));
    assert_eq!(one.busy(), LIMIT);
    gate.open(u64::MAX);
    storm.wait_more(50);
    storm.end();
    exact(&scene);
}
