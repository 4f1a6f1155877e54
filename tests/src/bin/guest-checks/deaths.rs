//! Killed processes under load.

use portolan_tests::{deadline, processes};
use rustix::process::Signal;

use super::Check;
use super::system::{self, systemctl};
use super::world::World;

pub const CHECKS: &[Check] = &[
    ("a killed wrapper costs nobody anything", wrapper_killed),
    ("a killed master costs nobody anything", master_killed),
    ("wrapper and master killed at once cost nobody anything", both_killed),
    ("a killed worker costs its own connections only", worker_killed),
    ("a killed checker costs nobody anything", checker_killed),
    ("a wrapper that stands still is replaced by the watchdog", watchdog),
];

fn master() -> i32 {
    system::role("master").expect("a master")
}

/// Waits until another wrapper is the main process, and it has the same master.
fn adopted(before: i32, restarts: u64) {
    system::until("another wrapper", || {
        let now = system::wrapper();
        now != 0 && now != before && system::number("NRestarts") > restarts
    });
}

fn wrapper_killed(world: &mut World) {
    world.under_load();
    let (old, restarts, same) = (system::wrapper(), system::number("NRestarts"), master());
    system::kill(old, Signal::KILL);
    adopted(old, restarts);
    world.whole();
    assert_eq!(master(), same);
    world.undisturbed();
    systemctl(&["reload", system::UNIT]);
    world.undisturbed();
}

fn master_killed(world: &mut World) {
    world.under_load();
    let (wrapper, old, workers) = (system::wrapper(), master(), system::workers());
    system::kill(old, Signal::KILL);
    deadline::until("its end", || !processes::alive(old));
    world.whole();
    assert_eq!((system::wrapper(), system::workers()), (wrapper, workers));
    world.undisturbed();
    systemctl(&["reload", system::UNIT]);
    world.undisturbed();
}

fn both_killed(world: &mut World) {
    world.under_load();
    let (old, restarts, second) = (system::wrapper(), system::number("NRestarts"), master());
    system::kill(old, Signal::KILL);
    system::kill(second, Signal::KILL);
    adopted(old, restarts);
    world.whole();
    world.undisturbed();
    systemctl(&["reload", system::UNIT]);
    world.undisturbed();
}

fn worker_killed(world: &mut World) {
    world.under_load();
    for pid in system::workers() {
        world.kill_worker(pid);
        deadline::until("its end", || !processes::alive(pid));
        world.whole();
        world.undisturbed();
    }
    assert_eq!(system::workers().len(), 2);
    systemctl(&["reload", system::UNIT]);
    world.undisturbed();
}

fn checker_killed(world: &mut World) {
    world.under_load();
    let old = system::role("checker").expect("a checker");
    system::kill(old, Signal::KILL);
    deadline::until("its end", || !processes::alive(old));
    world.whole();
    world.undisturbed();
}

fn watchdog(world: &mut World) {
    world.serving();
    World::drop_in("[Service]\nWatchdogSec=2\nTimeoutAbortSec=2\n");
    // The next wrapper hears of it.
    let (old, restarts) = (system::wrapper(), system::number("NRestarts"));
    system::kill(old, Signal::KILL);
    adopted(old, restarts);
    world.whole();
    world.under_load();
    let (old, restarts, same) = (system::wrapper(), system::number("NRestarts"), master());
    system::kill(old, Signal::STOP);
    adopted(old, restarts);
    world.whole();
    assert_eq!(master(), same);
    world.undisturbed();
    World::no_drop_in();
    let (old, restarts) = (system::wrapper(), system::number("NRestarts"));
    system::kill(old, Signal::KILL);
    adopted(old, restarts);
    world.whole();
    world.undisturbed();
}
