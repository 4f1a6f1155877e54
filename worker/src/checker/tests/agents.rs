//! What agents say.

use portolan_shared::memory::{AgentWeight, Operational};
use portolan_shared::model::Agent;
use portolan_shared::standing::{Cause, Usable};

use super::*;

struct Asked {
    bench: Bench,
    agent: TcpListener,
}

impl Asked {
    fn new() -> Self {
        Self::beside(None)
    }

    /// Beside this check.
    fn beside(check: Option<Probe>) -> Self {
        let agent = listener();
        let mut server = checked("s", nowhere());
        server.health.check = check;
        server.health.agent = Some(Agent {
            address: None,
            port: agent.local_addr().unwrap().port(),
            inter: Duration::from_secs(1),
            send: b"how\n".to_vec(),
        });
        Self { bench: Bench::new(vec![server], |_| {}), agent }
    }

    /// The agent answers this when it is asked next.
    fn says(&mut self, line: &str) {
        let mut asked = accept(&self.agent).expect("it is asked");
        assert_eq!(heard(&mut asked), b"how\n");
        say(&mut asked, line.as_bytes());
        self.bench.settle();
    }

    fn standing(&self) -> portolan_shared::standing::Standing {
        look_at(
            &self.bench.config,
            &self.bench.memory,
            At { backend: 0, server: 0 },
            self.bench.now,
        )
    }
}

#[test]
fn an_agent_takes_a_server_down_and_up_again() {
    let mut asked = Asked::new();
    asked.says("down # on fire\n");
    assert_eq!(asked.bench.operational(0), Operational::Down);
    let lines = asked.bench.lines();
    assert!(lines[0].starts_with("Server b/s is DOWN, reason: Layer7 wrong status, code: 0, info: \"via agent : down (on fire)\""), "{lines:?}");
    assert!(asked.bench.was_rung());
    asked.bench.pass(1000);
    asked.says("up\n");
    assert_eq!(asked.bench.operational(0), Operational::Up);
    assert!(asked.bench.lines()[0].starts_with("Server b/s is UP"));
}

#[test]
fn what_an_agent_does_not_mention_stays_as_it_was() {
    let mut asked = Asked::new();
    asked.says("50% drain\n");
    assert_eq!(asked.standing().drain, Some(Cause::Agent));
    assert_eq!(asked.bench.state(0).agent.weight, Some(AgentWeight::Percent(50)));
    let version = asked.bench.version(0);
    asked.bench.pass(1000);
    asked.says("maxconn:30\n");
    assert_eq!(asked.standing().drain, Some(Cause::Agent));
    assert_eq!(asked.standing().maxconn, Some(30));
    assert_eq!(asked.bench.version(0), version + 1);
    asked.bench.pass(1000);
    asked.says("maint\n");
    assert_eq!(asked.standing().usable, Usable::None);
    asked.bench.pass(1000);
    asked.says("ready\n");
    assert_eq!((asked.standing().drain, asked.standing().maint), (None, None));
    assert_eq!(asked.bench.state(0).agent.weight, Some(AgentWeight::Percent(50)));
}

#[test]
fn an_agent_that_does_not_answer_changes_nothing() {
    let mut asked = Asked::new();
    asked.says("down\n");
    asked.bench.lines();
    asked.bench.pass(1000);
    let silent = accept(&asked.agent);
    asked.bench.pass(1000);
    assert_eq!(asked.bench.operational(0), Operational::Down);
    assert_eq!(asked.bench.lines(), Vec::<String>::new());
    drop(silent);
}

#[test]
fn a_ready_that_is_said_again_is_as_old_as_the_first() {
    let mut asked = Asked::new();
    let ready_ms = |asked: &Asked| asked.bench.state(0).agent.ready_ms;
    asked.says("up\n");
    assert_eq!(ready_ms(&asked), 0);
    let mut times = Vec::new();
    for line in ["ready\n", "ready\n", "50%\n", "ready\n", "drain\n", "ready\n"] {
        asked.bench.pass(1500);
        asked.says(line);
        times.push(ready_ms(&asked));
    }
    assert!(times[0] > 0 && times[..5].iter().all(|time| *time == times[0]), "{times:?}");
    assert!(times[5] > times[0], "{times:?}");
}

#[test]
fn a_server_that_its_agent_lets_out_of_maintenance_is_new() {
    let mut asked = Asked::beside(Some(Probe::default()));
    for _ in 0..12 {
        asked.bench.pass(1000);
        asked.says("up\n");
    }
    assert_eq!(asked.bench.operational(0), Operational::Down, "nobody listens there");
    asked.bench.pass(1000);
    asked.says("maint\n");
    asked.bench.pass(1000);
    asked.bench.lines();
    let before = asked.bench.checker().activity.checks;
    asked.says("ready\n");
    assert_eq!(asked.bench.checker().activity.checks, before + 2, "it is looked at at once");
    let lines = asked.bench.lines();
    assert!(lines[0].starts_with("Server b/s leaves maintenance"), "{lines:?}");
    assert!(lines[1].starts_with("Server b/s is UP"), "{lines:?}");
    assert!(lines[2].starts_with("Server b/s is DOWN"), "{lines:?}");
}
