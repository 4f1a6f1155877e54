//! Promise: master and wrapper, which are root, have given up what they never need: who has taken one over
//! reaches no other process's memory, no mount, no module, and none of what an exploit of the kernel starts
//! from.

#![cfg(target_arch = "x86_64")]

use portolan_tests::attempts::Column;
use portolan_tests::intruder::{Intruder, possible};
use portolan_tests::{Stage, client};

/// Fails with all findings at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn master_and_wrapper_are_refused_what_they_never_need_and_go_on() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(2));
    let portolan = &stage.portolan;
    portolan.whole();
    let (master, wrapper) = (portolan.master(), portolan.wrapper());
    for (column, pid) in [(Column::Master, master), (Column::Wrapper, wrapper)] {
        let scene = stage.scene(pid);
        let mut intruder = Intruder::into(pid);
        none(&scene.try_all(column, &mut intruder));
        none(&scene.try_lethal(column, &mut intruder));
        intruder.leave();
    }
    assert_eq!((portolan.master(), portolan.wrapper()), (master, wrapper));
    client::connect(stage.front).expect_echo(b"still here");
    portolan.reload();
    client::connect(stage.front).expect_echo(b"and again");
}
