//! Promise: one checker watches over servers for all workers, whatever becomes of it; its runner runs
//! commands for it. Both are fake here, as the workers are, and do as they are told.

use std::net::SocketAddr;

use portolan_tests::fake::{CHECKER, Fakes, Heard, RUNNER, listen};
use portolan_tests::{Portolan, Setup, address, binaries, client, deadline, processes};
use rustix::process::Signal;

/// What the sections say so that there is a checker.
fn watched(front: SocketAddr) -> String {
    listen(front).replace("name = \"none\"", "name = \"none\", check = true")
}

/// What they say so that there is a runner too.
fn by_command(front: SocketAddr) -> String {
    watched(front) + "check = { type = \"external\", command = \"/bin/true\" }\n"
}

struct Scene {
    portolan: Portolan,
    fakes: Fakes,
    front: SocketAddr,
}

fn start_with(body: fn(SocketAddr) -> String, globals: &[(&str, &str)], behaviour: &str) -> Scene {
    let front = address::free();
    let setup =
        globals.iter().fold(Setup::new(body(front)), |s, (key, value)| s.global(key, value));
    let fakes = Fakes::install(&setup);
    fakes.behave(behaviour);
    let setup = setup.programs(fakes.programs());
    Scene { portolan: setup.start(), fakes, front }
}

fn start() -> Scene {
    start_with(watched, &[], "")
}

impl Scene {
    /// What the checkers were told, or the runners.
    fn heard(&self, slot: u32) -> Vec<Heard> {
        self.fakes.heard().into_iter().filter(|one| one.slot == slot).collect()
    }

    fn count(&self, slot: u32, what: &str) -> usize {
        self.heard(slot).iter().filter(|one| one.what == what).count()
    }

    /// The n-th (from 0) time that one of them was told this.
    fn nth(&self, slot: u32, what: &str, nth: usize) -> Heard {
        deadline::eventually(&format!("{what:?} for the {nth}th time"), || {
            self.heard(slot).into_iter().filter(|one| one.what == what).nth(nth)
        })
    }

    /// Checkers or runners that live.
    fn living(&self, title: &str) -> Vec<i32> {
        let title = format!("portolan: {title} gen");
        let all = processes::descendants(self.portolan.wrapper());
        all.into_iter().filter(|one| one.title.starts_with(&title)).map(|one| one.pid).collect()
    }

    fn rows(&self, role: &str) -> usize {
        let text = self.portolan.ask("show proc");
        text.lines().filter(|line| line.split_whitespace().nth(1) == Some(role)).count()
    }
}

#[test]
fn where_nothing_is_watched_there_is_no_checker() {
    let scene = start_with(listen, &[], "");
    assert_eq!((scene.living("checker"), scene.living("runner")), (vec![], vec![]));
    assert!(!scene.portolan.ask("show proc").contains("checker"));
    assert_eq!(scene.portolan.notices().last("STATUS").as_deref(), Some("gen 1, 2 workers"));
}

#[test]
fn there_is_one_checker_for_all_workers_and_it_is_shown() {
    let scene = start();
    let begun = scene.nth(CHECKER, "resume", 0);
    assert_eq!(scene.living("checker"), [begun.pid]);
    assert_eq!((scene.rows("checker"), scene.rows("worker"), scene.rows("runner")), (1, 2, 0));
    deadline::until("the count of servers in the status", || {
        let status = scene.portolan.notices().last("STATUS");
        status.as_deref() == Some("gen 1, 2 workers, 0 servers down")
    });
}

#[test]
fn a_new_checker_begins_only_once_the_former_one_is_gone() {
    let scene = start();
    let first = scene.nth(CHECKER, "resume", 0);
    // It does not obey, and is ended for it.
    scene.portolan.configure(&watched(scene.front));
    assert!(processes::signal(first.pid, Signal::STOP));
    scene.portolan.reload();
    let second = scene.nth(CHECKER, "resume", 1);
    assert_eq!(second.generation, 2);
    assert!(!processes::alive(first.pid), "nobody else checks");
}

#[test]
fn a_generation_without_a_ready_checker_does_not_serve() {
    let scene = start();
    let first = scene.nth(CHECKER, "resume", 0);
    scene.fakes.behave("checker fail");
    assert!(scene.portolan.reload_fails().contains("the checker cannot start"));
    scene.fakes.behave("checker die");
    assert!(scene.portolan.reload_fails().contains("before it was ready"));
    assert_eq!(scene.portolan.generation(), 1);
    assert!(processes::alive(first.pid), "it goes on checking");
    assert_eq!(scene.count(CHECKER, "hard-stop") + scene.count(CHECKER, "soft-stop"), 0);
    client::greeting(scene.front);
}

#[test]
fn a_reload_that_watches_nothing_ends_the_checker() {
    let scene = start();
    let first = scene.nth(CHECKER, "resume", 0);
    scene.portolan.configure(&listen(scene.front));
    scene.portolan.reload();
    deadline::until("the checker's end", || !processes::alive(first.pid));
    assert_eq!(scene.living("checker"), []);
}

#[test]
fn a_killed_checker_is_followed_by_another_and_the_workers_go_on() {
    let scene = start();
    let first = scene.nth(CHECKER, "resume", 0);
    let workers = scene.portolan.whole();
    assert!(processes::signal(first.pid, Signal::KILL));
    let second = scene.nth(CHECKER, "resume", 1);
    assert_ne!(second.pid, first.pid);
    assert_eq!(second.generation, 1);
    assert_eq!(scene.portolan.whole(), workers);
    let row = scene.portolan.ask("show proc");
    let row = row.lines().find(|line| line.contains(" checker ")).expect("a row").to_owned();
    let columns: Vec<&str> = row.split_whitespace().collect();
    assert_eq!((columns[2], columns[6]), ("-", "1"), "no slot, one death: {row}");
}

#[test]
fn a_checker_that_dies_again_and_again_is_respawned_less_and_less_often() {
    let scene = start();
    let first = scene.nth(CHECKER, "resume", 0);
    scene.fakes.behave("checker die");
    assert!(processes::signal(first.pid, Signal::KILL));
    scene.nth(CHECKER, "started", 4);
    client::greeting(scene.front);
    scene.fakes.behave("");
    scene.nth(CHECKER, "resume", 1);
}

#[test]
fn a_checker_whose_loop_stands_still_is_replaced() {
    let scene = start_with(watched, &[("heartbeat_timeout", "\"300ms\"")], "");
    let first = scene.nth(CHECKER, "resume", 0);
    assert!(processes::signal(first.pid, Signal::STOP));
    let second = scene.nth(CHECKER, "resume", 1);
    assert_ne!(second.pid, first.pid);
    scene.portolan.wait_error("has stood still");
}

#[test]
fn a_master_that_follows_a_dead_one_has_the_same_checker() {
    let scene = start();
    let first = scene.nth(CHECKER, "resume", 0);
    let master = scene.portolan.master();
    assert!(processes::signal(master, Signal::KILL));
    assert_eq!(scene.nth(CHECKER, "adopt", 0).pid, first.pid);
    scene.portolan.reload();
    let second = scene.nth(CHECKER, "resume", 1);
    assert_eq!(second.generation, 2);
    deadline::until("one checker", || scene.living("checker") == [second.pid]);
    assert_eq!(scene.count(CHECKER, "resume"), 2, "the first one was not told again");
}

#[test]
fn checker_and_runner_stay_joined_when_their_master_dies() {
    let scene = start_with(by_command, &[("external_check", "true")], "");
    scene.nth(RUNNER, "word of the peer", 0);
    deadline::until("the fact is known", || scene.portolan.ask("show proc").contains("runner"));
    assert!(processes::signal(scene.portolan.master(), Signal::KILL));
    scene.nth(RUNNER, "adopt", 0);
    scene.portolan.reload();
    scene.nth(RUNNER, "word of the peer", 1);
    assert_eq!(scene.count(RUNNER, "peer"), 2, "one pair in each generation");
}

/// A stopped one never hears that its master is gone.
#[test]
fn a_checker_of_a_dead_master_that_hangs_is_ended_before_another_begins() {
    let scene = start_with(watched, &[("heartbeat_timeout", "\"500ms\"")], "");
    let first = scene.nth(CHECKER, "resume", 0);
    let master = scene.portolan.master();
    assert!(processes::signal(first.pid, Signal::STOP));
    assert!(processes::signal(master, Signal::KILL));
    scene.nth(CHECKER, "resume", 1);
    assert!(!processes::alive(first.pid));
}

/// Another program goes on in the master's place: it adopts the checker, and the next one follows it.
#[test]
fn a_new_program_of_the_master_has_one_checker_too() {
    let scene = start();
    let first = scene.nth(CHECKER, "resume", 0);
    let program = scene.fakes.programs().join("portolan");
    // What does not start leaves the adopted one at work, and it is followed when it dies.
    scene.fakes.behave("checker fail");
    binaries::replace(&binaries::path("portolan"), &program);
    assert!(scene.portolan.reload_fails().contains("the checker cannot start"));
    assert!(processes::alive(first.pid));
    scene.fakes.behave("");
    assert!(processes::signal(first.pid, Signal::KILL));
    let second = scene.nth(CHECKER, "resume", 1);
    assert_eq!(second.generation, 1);
    binaries::replace(&binaries::path("portolan"), &program);
    scene.portolan.reload();
    let third = scene.nth(CHECKER, "resume", 2);
    assert!(!processes::alive(second.pid));
    assert_eq!(scene.living("checker"), [third.pid]);
    assert_eq!(scene.count(CHECKER, "resume"), 3);
}

#[test]
fn checker_and_runner_are_joined_and_joined_again_with_whoever_is_new() {
    let scene = start_with(by_command, &[("external_check", "true")], "");
    let runner = scene.nth(RUNNER, "word of the peer", 0);
    assert_eq!((scene.rows("checker"), scene.rows("runner")), (1, 1));
    assert!(processes::signal(runner.pid, Signal::KILL));
    let runner = scene.nth(RUNNER, "word of the peer", 1);
    let checker = scene.nth(CHECKER, "resume", 0);
    assert!(processes::signal(checker.pid, Signal::KILL));
    assert_eq!(scene.nth(RUNNER, "word of the peer", 2).pid, runner.pid);
    assert_eq!(scene.living("runner"), [runner.pid]);
}

#[test]
fn the_checker_stays_until_the_last_stream_has_left() {
    let scene = start_with(watched, &[], "1 linger");
    let checker = scene.nth(CHECKER, "resume", 0);
    scene.portolan.signal(Signal::USR1);
    deadline::until("one worker left", || scene.portolan.all_workers().len() == 1);
    assert_eq!(scene.count(CHECKER, "hard-stop"), 0);
    // It is there for what drains, a new one too.
    assert!(processes::signal(checker.pid, Signal::KILL));
    let second = scene.nth(CHECKER, "resume", 1);
    let left = scene.portolan.all_workers();
    assert!(processes::signal(left[0].pid, Signal::KILL));
    assert_eq!(scene.nth(CHECKER, "hard-stop", 0).pid, second.pid);
    assert_eq!(scene.portolan.wait_exit().code(), Some(0));
}

#[test]
fn a_hard_stop_ends_the_checker_with_everybody() {
    let scene = start();
    let checker = scene.nth(CHECKER, "resume", 0);
    scene.portolan.signal(Signal::TERM);
    scene.portolan.wait_exit();
    assert!(!processes::alive(checker.pid));
}

#[test]
fn paused_listeners_are_none_of_the_checkers_business() {
    let scene = start();
    scene.nth(CHECKER, "resume", 0);
    scene.portolan.signal(Signal::TTOU);
    scene.fakes.wait_heard("pause");
    scene.portolan.signal(Signal::TTIN);
    deadline::until("both accept", || {
        scene.fakes.heard().iter().filter(|one| one.slot < RUNNER && one.what == "resume").count()
            == 2
    });
    assert_eq!((scene.count(CHECKER, "pause"), scene.count(CHECKER, "resume")), (0, 1));
}
