//! Promise: who has taken a worker over can serve its clients and little else: what it tries beyond that is
//! refused or ends the process, is logged, and concerns nobody else.

#![cfg(target_arch = "x86_64")]

use portolan_tests::Stage;
use portolan_tests::attempts::Column;
use portolan_tests::intruder::{Intruder, possible};

/// Fails with all findings at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn without_a_sandbox_every_attempt_gets_to_the_kernel() {
    if !possible() {
        return;
    }
    let stage = Stage::open(|setup| setup.workers(3));
    let workers = stage.portolan.whole();
    let scene = stage.scene(workers[0].pid);
    let mut intruder = Intruder::into(workers[0].pid);
    none(&scene.try_all(Column::Off, &mut intruder));
    intruder.leave();
    stage.expect_served_by(workers[0].pid);
    let mut victims = workers[1..].iter();
    let victim = || Intruder::into(victims.next().expect("a worker more").pid);
    none(&scene.try_lethal(Column::Off, 1, victim));
}
