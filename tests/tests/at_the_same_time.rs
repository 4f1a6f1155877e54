//! Promise: what comes while something else goes on has its defined outcome: each row of the table in
//! docs/reload.md, by real processes. The workers here are fake and do as they are told.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Output};

use portolan_tests::fake::{Fakes, listen};
use portolan_tests::{Portolan, Setup, address, deadline, processes};
use rustix::process::Signal;

struct Scene {
    portolan: Portolan,
    fakes: Fakes,
}

fn setup(behaviour: &str) -> (Setup, Fakes) {
    let setup = Setup::new(listen(address::free())).workers(2).global("start_timeout", "\"8s\"");
    let fakes = Fakes::install(&setup);
    fakes.behave(behaviour);
    (setup.programs(fakes.programs()), fakes)
}

fn start(behaviour: &str) -> Scene {
    let (setup, fakes) = setup(behaviour);
    let portolan = setup.start();
    fakes.behave("");
    Scene { portolan, fakes }
}

/// One that starts and is not ready before it is told so by its workers' behaviour.
fn starting(behaviour: &str) -> Scene {
    let (setup, fakes) = setup(behaviour);
    let portolan = setup.spawn();
    let scene = Scene { portolan, fakes };
    scene.begun(2);
    scene
}

fn meaning(status: ExitStatus) -> Option<i32> {
    status.code().or(status.signal().map(|number| 128 + number))
}

impl Scene {
    /// Waits until so many workers were started in all.
    fn begun(&self, started: usize) {
        deadline::until("they are started", || self.fakes.count("started") >= started);
    }

    /// A reload whose workers behave like this is under way when `then` happens; its answer.
    fn reloading(&self, behaviour: &str, then: impl FnOnce()) -> Output {
        self.fakes.behave(behaviour);
        let before = self.fakes.count("started");
        std::thread::scope(|scope| {
            let reload = scope.spawn(|| self.portolan.command(&["reload"]));
            self.begun(before + 2);
            then();
            reload.join().expect("a command")
        })
    }

    fn pid(&self, slot: u32, generation: u32) -> i32 {
        let workers = self.portolan.all_workers();
        let found = workers.iter().find(|one| (one.slot, one.generation) == (slot, generation));
        found.expect("that worker").pid
    }

    /// All workers are of this generation in the end.
    fn serves(&self, generation: u32) {
        deadline::until(&format!("generation {generation} alone"), || {
            let workers = self.portolan.all_workers();
            workers.len() == 2 && workers.iter().all(|one| one.generation == generation)
        });
        assert!(self.portolan.ask("show info").contains(&format!("\nGeneration: {generation}\n")));
    }
}

fn fails_with(output: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.contains(reason), "{said}");
}

fn succeeds_with(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_reload_asked_while_the_first_generation_starts_follows_it() {
    for direct in [false, true] {
        let scene = starting("* slow 400");
        if direct {
            processes::signal(scene.portolan.master(), Signal::USR2);
        } else {
            scene.portolan.signal(Signal::USR2);
        }
        scene.serves(2);
    }
}

#[test]
fn a_soft_stop_asked_while_the_first_generation_starts_ends_it() {
    let scene = starting("* hang");
    processes::signal(scene.portolan.master(), Signal::USR1);
    scene.portolan.wait_exit();
    assert_eq!(scene.fakes.count("started"), 2, "nobody is started anew");
}

#[test]
fn a_hard_stop_asked_while_the_first_generation_starts_ends_it_with_the_signals_meaning() {
    let scene = starting("* hang");
    scene.portolan.signal(Signal::TERM);
    assert_eq!(meaning(scene.portolan.wait_exit()), Some(143));
}

#[test]
fn of_two_commands_at_once_each_is_answered_by_a_reload_that_began_after_it() {
    let scene = start("");
    let mut second = None;
    let first = scene.reloading("* slow 500", || {
        second = Some(scene.portolan.command(&["reload"]));
    });
    succeeds_with(&first, "generation 2 serves");
    succeeds_with(&second.expect("an answer"), "generation 3 serves");
    scene.serves(3);
}

#[test]
fn a_reload_asked_while_another_one_fails_is_done_after_it() {
    let scene = start("");
    let mut second = None;
    let first = scene.reloading("* hang", || {
        scene.fakes.behave("");
        second = Some(scene.portolan.command(&["reload"]));
    });
    fails_with(&first, "2 of 2 processes are not ready within start_timeout");
    succeeds_with(&second.expect("an answer"), "generation 3 serves");
    scene.serves(3);
}

#[test]
fn a_stop_during_a_reload_answers_it_and_leaves_nobody() {
    for (signal, status) in [(Signal::USR1, 0), (Signal::TERM, 143), (Signal::INT, 130)] {
        let scene = start("");
        let answer = scene.reloading("* hang", || scene.portolan.signal(signal));
        fails_with(&answer, "the instance stops");
        let wrapper = scene.portolan.wrapper();
        assert_eq!(meaning(scene.portolan.wait_exit()), Some(status), "{signal:?}");
        assert!(processes::descendants(wrapper).is_empty());
    }
}

#[test]
fn a_reload_asked_during_a_soft_stop_is_refused_and_another_soft_stop_changes_nothing() {
    let scene = start("* linger");
    scene.portolan.signal(Signal::USR1);
    deadline::until("both stop", || scene.fakes.count("soft-stop") == 2);
    fails_with(&scene.portolan.command(&["reload"]), "the instance stops");
    let mark = scene.portolan.notices().mark();
    for signal in [Signal::USR2, Signal::HUP, Signal::USR1, Signal::TTOU, Signal::TTIN] {
        scene.portolan.signal(signal);
    }
    assert!(scene.portolan.ask("show proc").contains("stopping, 1 left"));
    assert_eq!(scene.portolan.notices().count(mark, "RELOADING=1"), 0);
    assert_eq!((scene.fakes.count("started"), scene.fakes.count("soft-stop")), (2, 2));
    scene.portolan.signal(Signal::TERM);
    assert_eq!(meaning(scene.portolan.wait_exit()), Some(143));
}

#[test]
fn a_hard_stop_is_final() {
    let scene = start("* stubborn");
    scene.portolan.signal(Signal::TERM);
    deadline::until("both are told", || scene.fakes.count("hard-stop") == 2);
    for signal in [Signal::USR2, Signal::USR1, Signal::INT] {
        scene.portolan.signal(signal);
    }
    assert_eq!(meaning(scene.portolan.wait_exit()), Some(143), "as the first one said");
    assert_eq!((scene.fakes.count("started"), scene.fakes.count("soft-stop")), (2, 0));
}

#[test]
fn a_worker_of_the_old_generation_that_leaves_or_dies_during_a_reload_does_not_disturb_it() {
    for signal in [Signal::USR1, Signal::KILL] {
        let scene = start("");
        let answer = scene.reloading("* late", || {
            let old = scene.pid(1, 1);
            processes::signal(old, signal);
            deadline::until("its end", || !processes::alive(old));
            scene.fakes.behave("");
        });
        succeeds_with(&answer, "generation 2 serves");
        scene.serves(2);
    }
}

#[test]
fn a_worker_of_the_new_generation_that_leaves_or_dies_before_all_are_ready_fails_it() {
    for (signal, reason) in [
        (Signal::USR1, "left before the others were ready"),
        (Signal::KILL, "was killed by SIGKILL before it was ready"),
    ] {
        let scene = start("");
        let answer = scene.reloading("2 hang", || {
            // It is known to be ready, or to leave, in the order in which it says so.
            deadline::until("it is ready", || {
                scene.portolan.ask("show proc").lines().any(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    words.len() > 5 && words[2..4] == ["1", "2"] && words[5] == "ready"
                })
            });
            processes::signal(scene.pid(1, 2), signal);
        });
        fails_with(&answer, reason);
        scene.serves(1);
    }
}

#[test]
fn a_pause_during_a_reload_ends_with_it() {
    let scene = start("");
    let answer = scene.reloading("* late", || {
        scene.portolan.signal(Signal::TTOU);
        deadline::until("both pause", || scene.fakes.count("pause") == 2);
        scene.fakes.behave("");
    });
    succeeds_with(&answer, "generation 2 serves");
    scene.serves(2);
    let status = scene.portolan.notices().last("STATUS");
    assert!(status.is_some_and(|status| !status.contains("paused")));
}

#[test]
fn a_reload_asked_while_the_master_is_started_anew_is_done_by_the_next_one() {
    let scene = start("");
    let master = scene.portolan.master();
    processes::signal(master, Signal::KILL);
    scene.portolan.signal(Signal::USR2);
    scene.serves(2);
    assert_ne!(scene.portolan.master(), master);
}

#[test]
fn a_reload_that_its_master_does_not_survive_has_failed_and_nothing_of_it_stays() {
    let scene = start("");
    let master = scene.portolan.master();
    let answer = scene.reloading("* hang", || {
        processes::signal(master, Signal::KILL);
    });
    assert!(!answer.status.success(), "{answer:?}");
    scene.fakes.behave("");
    scene.serves(1);
    scene.portolan.reload();
    deadline::until("the next one", || scene.portolan.generation() >= 2);
}

#[test]
fn stops_asked_while_the_master_is_started_anew_are_obeyed_by_the_next_one_or_at_once() {
    for (signal, status) in [(Signal::USR1, 0), (Signal::TERM, 143)] {
        let scene = start("");
        processes::signal(scene.portolan.master(), Signal::KILL);
        scene.portolan.signal(signal);
        assert_eq!(meaning(scene.portolan.wait_exit()), Some(status), "{signal:?}");
    }
}
