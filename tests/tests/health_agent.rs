//! Promise: an agent on a server says how much of the work it is to have, and whether any.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use portolan_tests::http::Scene;
use portolan_tests::{HttpOrigin, Listen, Origin, Patient, deadline};

/// An agent that says what it is told to, and what it was asked.
struct Agent {
    origin: Origin,
    says: Arc<Mutex<&'static str>>,
    asked: Arc<Mutex<Vec<u8>>>,
}

impl Agent {
    fn saying(what: &'static str) -> Self {
        let says = Arc::new(Mutex::new(what));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let origin = Origin::with({
            let (says, asked) = (Arc::clone(&says), Arc::clone(&asked));
            move |stream, _| {
                let what = *says.lock().expect("what it says");
                if what.starts_with('?') {
                    let mut buffer = [0; 64];
                    let length = stream.read(&mut buffer)?;
                    *asked.lock().expect("what it was asked") = buffer[..length].to_vec();
                }
                stream.write_all(what.trim_start_matches('?').as_bytes())
            }
        });
        Self { origin, says, asked }
    }

    fn say(&self, what: &'static str) {
        *self.says.lock().expect("what it says") = what;
    }

    /// Keys of a server that asks this agent often.
    fn keys(&self) -> String {
        format!(
            "agent_check = true, agent_addr = \"{}\", agent_port = {}, agent_inter = \"50ms\"",
            self.origin.address.ip(),
            self.origin.address.port()
        )
    }
}

fn scene(one: SocketAddr, two: SocketAddr, keys: &str) -> Scene {
    Scene::watched(
        |front, log| {
            Listen::http("web", front)
                .http_log(log)
                .timeout("check", "3s")
                .line("balance = \"roundrobin\"")
                .line("cookie = { name = \"SRV\", mode = \"insert\", indirect = true }")
                .line("redispatch = true")
                .server_with("one", one, &format!("{keys}, cookie = \"s1\""))
                .server_with("two", two, "weight = 10, cookie = \"s2\"")
                .to_string()
        },
        |setup| setup.workers(2),
    )
}

/// How many of twenty requests the first server gets.
fn share(scene: &Scene) -> usize {
    (0..20).filter(|_| scene.get("/").expect(200).text() == "one").count()
}

fn wait_share(scene: &Scene, wanted: usize) {
    deadline::until(&format!("{wanted} of twenty requests"), || share(scene) == wanted);
}

#[test]
fn weights_follow_what_the_agent_says() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let agent = Agent::saying("100%\n");
    let keys = format!("{}, weight = 10", agent.keys());
    let scene = scene(one.address, two.address, &keys);
    wait_share(&scene, 10);
    for (says, wanted) in [
        ("weight:30\n", 15),
        ("100%\n", 10),
        ("weight:300%\r\n", 15),
        ("up, 100% ready\n", 10),
        ("0%\n", 0),
        ("weight:10\n", 10),
    ] {
        agent.say(says);
        wait_share(&scene, wanted);
    }
}

#[test]
fn down_and_up_are_the_agents_alone() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let agent = Agent::saying("up\n");
    let scene = scene(one.address, two.address, &format!("{}, weight = 10", agent.keys()));
    wait_share(&scene, 10);
    let cookie = ["GET / HTTP/1.1", "Host: x", "Cookie: SRV=s1"];
    for says in ["down # the disk is full\n", "stopped\n", "fail # x\n"] {
        agent.say(says);
        wait_share(&scene, 0);
        assert_eq!(scene.ask(&cookie).expect(200).text(), "two", "{says}");
        // Another matter than the state.
        agent.say("100%\n");
        assert_eq!(share(&scene), 0, "{says}");
        agent.say("up\n");
        wait_share(&scene, 10);
    }
    let line = scene.log.wait_for("Server web/one is DOWN");
    assert!(line.contains("the disk is full"), "{line}");
}

#[test]
fn drain_and_maint_are_what_the_operators_are() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let agent = Agent::saying("ready\n");
    let scene = scene(one.address, two.address, &format!("{}, weight = 10", agent.keys()));
    wait_share(&scene, 10);
    let cookie = ["GET / HTTP/1.1", "Host: x", "Cookie: SRV=s1"];
    agent.say("drain\n");
    wait_share(&scene, 0);
    assert_eq!(scene.ask(&cookie).expect(200).text(), "one", "persistence goes on");
    agent.say("maint\n");
    deadline::until("its own clients go elsewhere too", || {
        scene.ask(&cookie).expect(200).text() == "two"
    });
    agent.say("ready\n");
    wait_share(&scene, 10);
}

#[test]
fn of_operator_and_agent_the_later_word_counts() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let agent = Agent::saying("up\n");
    let scene = scene(one.address, two.address, &format!("{}, weight = 10", agent.keys()));
    wait_share(&scene, 10);
    scene.portolan.order("set server web/one state drain");
    wait_share(&scene, 0);
    agent.say("up ready\n");
    wait_share(&scene, 10);
    // What it says all the time it has not said later.
    for state in ["drain", "maint"] {
        scene.portolan.order(&format!("set server web/one state {state}"));
        wait_share(&scene, 0);
        let asked = agent.origin.accepted();
        deadline::until("it was asked again", || agent.origin.accepted() > asked + 2);
        assert_eq!(share(&scene), 0, "{state}");
        agent.say("drain\n");
        let asked = agent.origin.accepted();
        deadline::until("it was asked again", || agent.origin.accepted() > asked + 2);
        agent.say("ready\n");
        wait_share(&scene, 10);
    }
    scene.log.wait_for("Server web/one leaves maintenance");
}

#[test]
fn an_agent_sets_the_most_connections() {
    let (one, gate) = Patient::gated("one");
    let agent = Agent::saying("maxconn:2\n");
    let scene = Scene::watched_alone(|listen| {
        let keys = format!("{}, maxconn = 1", agent.keys());
        listen.timeout("queue", "10m").server_with("one", one.address, &keys)
    });
    let mut clients = Vec::new();
    for _ in 0..9 {
        let mut client = scene.client();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        clients.push(client);
    }
    one.wait_busy(2);
    agent.say("maxconn:4\n");
    one.wait_busy(4);
    gate.open(u64::MAX);
    for client in &mut clients {
        client.response().expect(200);
    }
    assert_eq!(one.peak(), 4);
}

#[test]
fn a_silent_agent_and_nonsense_change_nothing() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let agent = Agent::saying("weight:30\n");
    let scene = scene(one.address, two.address, &format!("{}, weight = 10", agent.keys()));
    wait_share(&scene, 15);
    for says in ["", "\n", "blah blah\n", "weight:\n", "weight:9999999999\n", "%\n", "maxconn:-5\n"]
    {
        agent.say(says);
        let asked = agent.origin.accepted();
        deadline::until("it was asked again", || agent.origin.accepted() > asked + 2);
        assert_eq!(share(&scene), 15, "{says:?}");
    }
    drop(agent);
    assert_eq!(share(&scene), 15);
}

#[test]
fn an_agent_is_told_what_is_configured() {
    let (one, two) = (HttpOrigin::named("one"), HttpOrigin::named("two"));
    let agent = Agent::saying("?weight:30\n");
    let keys = format!("{}, weight = 10, agent_send = \"who: one\\n\"", agent.keys());
    let scene = scene(one.address, two.address, &keys);
    wait_share(&scene, 15);
    assert_eq!(*agent.asked.lock().expect("what it was asked"), b"who: one\n");
}

#[test]
fn a_health_check_and_an_agent_both_have_to_be_content() {
    let (one, two) = (Patient::well("one"), HttpOrigin::named("two"));
    let agent = Agent::saying("up\n");
    let check = "check = true, inter = \"50ms\", rise = 2, fall = 2";
    let scene = Scene::watched_alone(|listen| {
        listen
            .timeout("check", "3s")
            .line("balance = \"roundrobin\"")
            .line("check = { type = \"http\", steps = [\"send meth GET uri /health\"] }")
            .server_with("one", one.address, &format!("{check}, {}, weight = 10", agent.keys()))
            .server_with("two", two.address, "weight = 10")
    });
    wait_share(&scene, 10);
    agent.say("down\n");
    wait_share(&scene, 0);
    one.health(500);
    one.wait_checks(4);
    agent.say("up\n");
    let asked = agent.origin.accepted();
    deadline::until("it was asked again", || agent.origin.accepted() > asked + 2);
    assert_eq!(share(&scene), 0);
    one.health(200);
    wait_share(&scene, 10);
}
