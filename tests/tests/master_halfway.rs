//! Promise: whatever a master was doing when it died, the next one knows: what was half done has failed and
//! leaves nothing behind, who was leaving goes on leaving, and who does not answer is replaced. The workers
//! here are fake and do as they are told.

use std::net::SocketAddr;

use portolan_tests::fake::{Fakes, listen};
use portolan_tests::{Portolan, Setup, address, client, deadline, processes};
use rustix::process::Signal;

struct Scene {
    portolan: Portolan,
    fakes: Fakes,
    front: SocketAddr,
}

fn start(workers: u16, behaviour: &str) -> Scene {
    start_with(workers, behaviour, "1s")
}

fn start_with(workers: u16, behaviour: &str, heartbeat_timeout: &str) -> Scene {
    let front = address::free();
    let setup = Setup::new(listen(front)).workers(workers);
    let setup = setup.global("heartbeat_timeout", format!("{heartbeat_timeout:?}"));
    let fakes = Fakes::install(&setup);
    fakes.behave(behaviour);
    let setup = setup.programs(fakes.programs());
    Scene { portolan: setup.start(), fakes, front }
}

impl Scene {
    fn kill_master(&self) {
        let master = self.portolan.master();
        assert!(processes::signal(master, Signal::KILL));
        deadline::until("another master", || {
            self.portolan.try_master().is_some_and(|pid| pid != master)
        });
    }

    fn status(&self, wanted: &str) {
        deadline::until("the status", || {
            self.portolan.notices().last("STATUS").as_deref() == Some(wanted)
        });
    }

    /// How often workers of this slot heard this.
    fn heard(&self, slot: u32, what: &str) -> Vec<i32> {
        let heard = self.fakes.heard().into_iter();
        heard.filter(|one| one.slot == slot && one.what == what).map(|one| one.pid).collect()
    }
}

#[test]
fn a_reload_that_was_under_way_has_failed_and_who_waited_is_told() {
    for behaviour in ["* hang", "1 hang"] {
        let scene = start(2, "");
        let before = scene.portolan.whole();
        scene.fakes.behave(behaviour);
        let answer = std::thread::scope(|scope| {
            let asked = scope.spawn(|| scene.portolan.reload_fails());
            deadline::until("new workers", || scene.fakes.count("started") == 4);
            scene.kill_master();
            asked.join().expect("an answer")
        });
        assert!(answer.contains("the master ended before it had answered"), "{answer}");
        scene.status(
            "gen 1, 2 workers; reload failed: the master died before the new generation was ready",
        );
        scene.portolan.wait_error("Reload failed: the master died");
        deadline::until("nothing of it is left", || scene.portolan.all_workers() == before);
        assert!(scene.portolan.ask("show info").contains("Failed_reloads: 1"));
        scene.fakes.behave("");
        scene.portolan.reload();
        assert!(scene.portolan.only_newest().iter().all(|worker| worker.generation == 3));
        client::greeting(scene.front);
    }
}

#[test]
fn an_address_that_a_failed_reload_had_bound_is_free_again() {
    let scene = start(2, "");
    let added = address::free();
    let both = format!("bind = [\"{}\", \"{added}\"]", scene.front);
    let body = listen(scene.front).replace(&format!("bind = \"{}\"", scene.front), &both);
    scene.portolan.configure(&body);
    scene.fakes.behave("* hang");
    scene.portolan.signal(Signal::USR2);
    deadline::until("new workers", || scene.fakes.count("started") == 4);
    scene.kill_master();
    deadline::until("it is closed", || client::try_connect(added).is_err());
    scene.fakes.behave("");
    scene.portolan.reload();
    client::greeting(added);
}

#[test]
fn who_retires_goes_on_and_has_a_successor_again() {
    let scene = start(2, "* linger");
    scene.fakes.behave("");
    scene.portolan.reload();
    let linked = |times| {
        deadline::until("links", || {
            (1..=2).all(|slot| scene.heard(slot, &format!("successor {slot} 2")).len() == times)
        });
    };
    linked(1);
    scene.kill_master();
    linked(2);
    scene.status("gen 2, 2 workers; gen 1: 2 streams left");
    let row = scene.portolan.ask("show proc");
    let retires = row.lines().filter(|line| line.contains("retiring, 1 left"));
    for line in retires.clone() {
        assert_eq!(line.split_whitespace().nth(9), Some("1"), "one reload outlived: {line}");
    }
    assert_eq!(retires.count(), 2, "{row}");
}

#[test]
fn who_does_not_answer_has_a_deputy_and_is_replaced() {
    // It becomes ready, and then its loop stands still: killed before the first master sees to that.
    let scene = start_with(2, "1 still", "3s");
    let still = scene.portolan.whole().swap_remove(0);
    scene.kill_master();
    scene.fakes.behave("");
    let deputy = scene.fakes.wait_heard("deputy 1 true");
    assert_eq!(deputy.slot, 2);
    client::greeting(scene.front);
    scene.portolan.wait_error("does not answer in time: ending it");
    deadline::until("its end", || !processes::alive(still.pid));
    scene.portolan.whole();
    scene.fakes.wait_heard("deputy 1 false");
}

#[test]
fn who_was_starting_is_adopted_as_soon_as_it_is_ready() {
    // It is not ended before it becomes ready.
    let scene = start_with(2, "", "20s");
    scene.fakes.behave("1 late");
    let victim = scene.portolan.whole().swap_remove(0);
    assert!(processes::signal(victim.pid, Signal::KILL));
    deadline::until("its successor", || scene.fakes.count("started") == 3);
    scene.kill_master();
    scene.portolan.wait_error("processes of a former master adopted");
    scene.fakes.behave("");
    scene.portolan.wait_error("is adopted after all");
    assert_eq!(scene.heard(1, "adopt").len(), 1);
    scene.portolan.whole();
    assert_eq!(scene.fakes.count("started"), 3, "nobody else was started");
    scene.status("gen 1, 2 workers");
}

#[test]
fn who_lacks_resources_has_a_deputy_again() {
    let scene = start(2, "1 short");
    deadline::until("a deputy", || scene.heard(2, "deputy 1 true").len() == 1);
    scene.kill_master();
    deadline::until("a deputy again", || scene.heard(2, "deputy 1 true").len() == 2);
    assert_eq!(scene.portolan.whole().len(), 2);
}

#[test]
fn a_pause_holds_for_whoever_is_adopted() {
    let scene = start(2, "");
    scene.portolan.signal(Signal::TTOU);
    deadline::until("both have paused", || scene.fakes.count("pause") == 2);
    scene.status("gen 1, 2 workers; paused");
    scene.kill_master();
    deadline::until("both were told again", || scene.fakes.count("pause") == 4);
    scene.status("gen 1, 2 workers; paused");
    scene.portolan.signal(Signal::TTIN);
    deadline::until("both accept", || scene.fakes.count("resume") == 2);
    client::greeting(scene.front);
}
