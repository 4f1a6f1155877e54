//! Promise: every worker that retires has a link to one that serves, whatever becomes of either. The
//! workers here are fake: those that are to stay retire and have a stream that nobody takes.

use portolan_tests::fake::{Fakes, Heard, listen};
use portolan_tests::{Portolan, Setup, address, binaries, deadline, processes};
use rustix::process::Signal;

struct Scene {
    portolan: Portolan,
    fakes: Fakes,
}

/// Workers of the first generation behave like this; later ones do everything right.
fn start_with(workers: u16, behaviour: &str, globals: &[(&str, &str)]) -> Scene {
    let setup = Setup::new(listen(address::free())).workers(workers);
    let setup = globals.iter().fold(setup, |setup, (key, value)| setup.global(key, value));
    let fakes = Fakes::install(&setup);
    fakes.behave(behaviour);
    let portolan = setup.programs(fakes.programs()).start();
    fakes.behave("");
    Scene { portolan, fakes }
}

fn start(workers: u16) -> Scene {
    start_with(workers, "* stay", &[])
}

impl Scene {
    /// Waits until the worker of this slot and generation was told this so many times; what it was told.
    fn told(&self, slot: u32, generation: u32, what: &str, times: usize) -> Vec<Heard> {
        let place = format!("{what:?}, {times} times, in slot {slot} of generation {generation}");
        deadline::eventually(&place, || {
            let heard = self.fakes.heard().into_iter();
            let own: Vec<_> =
                heard.filter(|one| (one.slot, one.generation) == (slot, generation)).collect();
            (own.iter().filter(|one| one.what == what).count() >= times).then_some(own)
        })
    }

    /// Waits for a link that works, from one worker to another.
    fn linked(&self, giver: (u32, u32), taker: (u32, u32)) {
        self.linked_again(giver, taker, 1);
    }

    fn linked_again(&self, giver: (u32, u32), taker: (u32, u32), times: usize) {
        let successor = format!("successor {} {}", taker.0, taker.1);
        self.told(giver.0, giver.1, &successor, times);
        self.told(taker.0, taker.1, &format!("predecessor {} {}", giver.0, giver.1), times);
        self.told(taker.0, taker.1, &format!("hello {} {}", giver.0, giver.1), times);
    }

    fn kill(&self, slot: u32, generation: u32) {
        let workers = self.portolan.all_workers();
        let found = workers.iter().find(|one| (one.slot, one.generation) == (slot, generation));
        assert!(processes::signal(found.expect("that worker").pid, Signal::KILL));
    }

    /// How many links were made in all.
    fn links(&self) -> usize {
        self.fakes.heard().iter().filter(|one| one.what.starts_with("successor")).count()
    }
}

#[test]
fn former_workers_retire_and_are_linked_to_the_next_holders_of_their_slots() {
    let scene = start(3);
    scene.portolan.reload();
    for slot in 1..=3 {
        scene.told(slot, 1, "retire", 1);
        scene.linked((slot, 1), (slot, 2));
    }
    assert_eq!(scene.links(), 3);
    assert_eq!(scene.fakes.count("soft-stop"), 0);
}

#[test]
fn a_later_generation_succeeds_all_that_still_retire() {
    let scene = start(2);
    scene.fakes.behave("1 stay");
    scene.portolan.reload();
    scene.fakes.behave("");
    scene.portolan.reload();
    scene.linked((1, 1), (1, 2));
    scene.linked((1, 1), (1, 3));
    scene.linked((2, 1), (2, 3));
    scene.linked((1, 2), (1, 3));
    let first = scene.told(1, 1, "retire", 1);
    assert_eq!(first.iter().filter(|one| one.what == "retire").count(), 1, "said once");
}

#[test]
fn a_successor_that_dies_is_replaced_by_the_slots_next_holder() {
    let scene = start(2);
    scene.portolan.reload();
    scene.linked((1, 1), (1, 2));
    scene.kill(1, 2);
    scene.linked_again((1, 1), (1, 2), 2);
    let other = scene.told(2, 1, "successor 2 2", 1);
    let links = other.iter().filter(|one| one.what.starts_with("successor")).count();
    assert_eq!(links, 1, "the other one keeps its own");
}

#[test]
fn a_link_that_breaks_between_two_who_live_is_made_anew_and_the_others_are_left_alone() {
    let scene = start(2);
    scene.fakes.behave("1 unlink 4");
    scene.portolan.reload();
    // The fifth one holds.
    let taker = scene.told(1, 2, "predecessor 1 1", 5)[0].pid;
    scene.told(1, 2, "hello 1 1", 1);
    scene.portolan.wait_error(&format!("is linked to worker ({taker}) anew: 4 links have broken"));
    let count = |slot, what: &str| {
        scene.told(slot, 1, what, 1).iter().filter(|one| one.what == what).count()
    };
    assert_eq!((count(1, "successor 1 2"), count(2, "successor 2 2")), (5, 1));
    assert_eq!(count(1, "end of a link"), 4);
    // The pair is as it would be: another generation follows both.
    scene.fakes.behave("");
    scene.portolan.reload();
    scene.linked((1, 1), (1, 3));
}

#[test]
fn a_link_that_breaks_under_another_master_is_made_anew() {
    let scene = start(1);
    scene.portolan.reload();
    scene.linked((1, 1), (1, 2));
    let master = scene.portolan.master();
    assert!(processes::signal(master, Signal::KILL));
    // Whoever retires gets another link from the next master, whatever the former one came to.
    scene.linked_again((1, 1), (1, 2), 2);
    scene.fakes.behave("1 unlink 1");
    scene.kill(1, 2);
    scene.told(1, 2, "predecessor 1 1", 4);
    scene.told(1, 2, "hello 1 1", 3);
}

#[test]
fn a_successor_of_a_slot_that_stays_empty_is_another_worker() {
    let scene = start(2);
    scene.portolan.reload();
    scene.linked((1, 1), (1, 2));
    // Respawned less and less often, so that the slot is soon empty for longer than anybody waits.
    scene.fakes.behave("1 die");
    scene.kill(1, 2);
    scene.linked((1, 1), (2, 2));
}

#[test]
fn a_worker_that_gets_usr1_alone_retires_to_who_follows_in_its_slot() {
    let scene = start(2);
    let leaving = scene.portolan.whole()[0].pid;
    assert!(processes::signal(leaving, Signal::USR1));
    let heard = scene.told(1, 1, "successor 1 1", 1);
    assert!(heard.iter().any(|one| one.what == "retire" && one.pid == leaving));
    let heard = scene.told(1, 1, "hello 1 1", 1);
    let taker = heard.iter().find(|one| one.what == "hello 1 1").expect("just heard");
    assert_ne!(taker.pid, leaving);
}

#[test]
fn what_a_generation_that_failed_has_accepted_goes_over_to_the_one_that_serves() {
    // Longer than it takes the other one to become ready, on a busy machine too.
    let scene = start_with(2, "", &[("start_timeout", "\"4s\"")]);
    scene.fakes.behave("1 stay\n2 hang");
    assert!(scene.portolan.reload_fails().contains("1 of 2 processes are not ready"));
    scene.told(1, 2, "retire", 1);
    scene.linked((1, 2), (1, 1));
    // It goes on beside later generations until its stream ends.
    scene.fakes.behave("");
    scene.portolan.reload();
    scene.linked((1, 2), (1, 3));
}

#[test]
fn a_soft_stop_of_everything_reaches_those_who_retire_too() {
    let scene = start(2);
    scene.portolan.reload();
    scene.linked((1, 1), (1, 2));
    scene.linked((2, 1), (2, 2));
    scene.portolan.signal(Signal::USR1);
    assert_eq!(scene.portolan.wait_exit().code(), Some(0));
    for (slot, generation) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
        scene.told(slot, generation, "soft-stop", 1);
    }
    assert_eq!(scene.fakes.count("soft-stop"), 4);
    assert_eq!(scene.links(), 2, "nobody is linked on the way out");
}

#[test]
fn links_outlive_an_upgrade_and_are_made_anew_by_the_new_program() {
    let scene = start(1);
    scene.fakes.behave("* stay");
    scene.portolan.reload();
    scene.linked((1, 1), (1, 2));
    let programs = scene.fakes.programs();
    binaries::replace(&binaries::path("portolan"), &programs.join("portolan"));
    scene.fakes.behave("* fail");
    scene.portolan.reload_fails();
    scene.portolan.wait_error("takes over from");
    assert_eq!(scene.links(), 1, "the pair is as it was");
    scene.fakes.behave("* stay");
    scene.kill(1, 2);
    scene.linked_again((1, 1), (1, 2), 2);
    scene.portolan.reload();
    scene.linked((1, 1), (1, 4));
    scene.linked((1, 2), (1, 4));
    scene.portolan.signal(Signal::USR1);
    assert_eq!(scene.portolan.wait_exit().code(), Some(0));
}

#[test]
fn who_outlives_more_reloads_than_it_may_is_ended() {
    let scene = start_with(1, "* stay", &[("max_reloads", "2")]);
    let first = scene.portolan.whole()[0].pid;
    for _ in 0..2 {
        scene.portolan.reload();
    }
    let processes = scene.portolan.ask("show proc");
    let row = processes.lines().find(|line| line.starts_with(&format!("{first} ")));
    let columns: Vec<&str> = row.expect("it lives").split_whitespace().collect();
    let serving = scene.portolan.whole().last().expect("a worker").pid.to_string();
    let expected = ["retiring,", "1", "left", "-", "2", serving.as_str()];
    assert_eq!(columns[5..11], expected, "{processes}");
    scene.portolan.reload();
    scene.portolan.wait_error("has outlived 3 reloads, max_reloads is 2: ending it");
    assert_eq!(scene.portolan.only_newest().len(), 1);
    scene.told(1, 1, "hard-stop", 1);
}
