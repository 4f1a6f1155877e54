//! Promise: who has taken a worker over can serve its clients and little else: what it tries beyond that is
//! refused or ends the process, is logged, and concerns nobody else.

#![cfg(target_arch = "x86_64")]

use portolan_tests::Stage;
use portolan_tests::attempts::{Column, Promise};
use portolan_tests::intruder::{Intruder, possible};

/// Fails with all findings at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn what_a_worker_does_not_need_is_refused_and_it_serves_on() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(2));
    stage.portolan.expect_refusals();
    let worker = stage.portolan.whole().remove(0);
    let scene = stage.scene(worker.pid);
    let mut intruder = Intruder::into(worker.pid);
    none(&scene.try_all(Column::Worker, &mut intruder));
    intruder.leave();
    stage.expect_served_by(worker.pid);
    // Every kind of call is told, as far as a stranger may fill the log.
    let line = stage.portolan.wait_error("the sandbox has refused");
    assert!(line.contains(&format!("({})", worker.pid)), "{line}");
}

#[test]
fn what_nobody_does_by_mistake_ends_the_worker_and_is_told() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(20));
    stage.portolan.expect_refusals();
    let portolan = &stage.portolan;
    let master = portolan.master();
    let workers = portolan.whole();
    let (bystander, victims) = workers.split_first().expect("workers");
    let mut count = 0;
    for victim in victims {
        let scene = stage.scene(victim.pid);
        let mut intruder = Intruder::into(victim.pid);
        let attempts = scene.lethal(Column::Worker, &mut intruder);
        let Some(attempt) = attempts.get(count) else { break };
        assert_eq!(attempt.promise(Column::Worker), Promise::Ends);
        attempt.end_with(intruder);
        let line = portolan.wait_error(&format!("Current worker ({}) ", victim.pid));
        assert!(line.contains("was killed by SIGSYS"), "{}: {line}", attempt.what);
        count += 1;
    }
    assert!((10..victims.len()).contains(&count), "{count} attempts");
    assert_eq!(portolan.master(), master);
    let whole = portolan.whole();
    assert!(whole.contains(bystander), "{whole:?}");
    stage.expect_served_by(bystander.pid);
}

#[test]
fn without_a_sandbox_every_attempt_gets_to_the_kernel() {
    if !possible() {
        return;
    }
    let stage = Stage::open(|setup| setup.workers(2));
    let workers = stage.portolan.whole();
    let scene = stage.scene(workers[0].pid);
    let mut intruder = Intruder::into(workers[0].pid);
    none(&scene.try_all(Column::Off, &mut intruder));
    intruder.leave();
    stage.expect_served_by(workers[0].pid);
    let mut intruder = Intruder::into(workers[1].pid);
    none(&scene.try_lethal(Column::Off, &mut intruder));
}
