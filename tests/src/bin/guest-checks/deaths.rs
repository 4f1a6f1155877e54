//! Killed processes under load.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use portolan_tests::{Listen, deadline, processes};
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
    ("commands keep their /tmp when the wrapper is killed", temporary_files),
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

/// A command that needs temporary files, as the workers' user.
const COMMAND: &str = "/usr/local/bin/check-with-files";

/// The package's own configuration, and its text: as it was when this ends.
struct Original(String);

impl Original {
    const FILE: &'static str = "/etc/portolan/portolan.toml";

    /// With one more line in `[global]`.
    fn changed(line: &str) -> Self {
        let text = fs::read_to_string(Self::FILE).expect("the configuration");
        let changed = text.replacen("[global]\n", &format!("[global]\n{line}\n"), 1);
        fs::write(Self::FILE, changed).expect("the configuration");
        Self(text)
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        fs::write(Self::FILE, &self.0).expect("the configuration");
    }
}

/// A file in the /tmp that this process sees.
fn seen_by(pid: i32, name: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join("root/tmp").join(name)
}

fn runner() -> i32 {
    system::role("runner").expect("a runner")
}

/// The command has been able to write since.
fn command_writes(pid: i32) {
    let last = seen_by(pid, "last");
    let read = || fs::read_to_string(&last).ok().filter(|text| !text.is_empty());
    let before = read();
    system::until("a file of the command", || read().is_some_and(|now| Some(now) != before));
}

fn temporary_files(world: &mut World) {
    world.serving();
    let script = "#!/bin/sh\nnew=$(mktemp) && date +%N >\"$new\" && mv \"$new\" /tmp/last\n";
    fs::write(COMMAND, script).expect("a command");
    fs::set_permissions(COMMAND, fs::Permissions::from_mode(0o755)).expect("permissions");
    let check = format!(
        "check = {{ type = \"external\", command = \"{COMMAND}\", path = \"/usr/bin:/bin\" }}"
    );
    let scripts = Listen::backend("scripts").line(&check);
    let scripts = scripts.server_with("one", "127.0.0.1:9", "check = true, inter = \"200ms\"");
    let original = Original::changed("external_check = true");
    world.configure(&scripts.to_string());
    systemctl(&["reload", system::UNIT]);
    system::until("a runner", || system::role("runner").is_some());
    let (first, same) = (runner(), master());
    command_writes(first);
    fs::write(seen_by(first, "ours"), "ours").expect("a file in its /tmp");
    assert!(!Path::new("/tmp/last").exists(), "nobody else sees its /tmp");
    for _ in 0..2 {
        let (old, restarts) = (system::wrapper(), system::number("NRestarts"));
        system::kill(old, Signal::KILL);
        adopted(old, restarts);
        world.whole();
        assert_eq!((runner(), master()), (first, same));
        command_writes(first);
        assert_eq!(fs::read_to_string(seen_by(first, "ours")).expect("the same /tmp"), "ours");
        assert!(seen_by(same, "ours").exists(), "the master's /tmp is another one");
        fs::write(seen_by(system::wrapper(), "own"), "x").expect("a /tmp of the new wrapper's");
    }
    // A master of the new wrapper's, and what that starts, see the new one's.
    system::kill(same, Signal::KILL);
    deadline::until("its end", || !processes::alive(same));
    world.whole();
    command_writes(first);
    system::kill(first, Signal::KILL);
    system::until("another runner", || system::role("runner").is_some_and(|pid| pid != first));
    let second = runner();
    command_writes(second);
    assert!(seen_by(second, "own").exists() && !seen_by(second, "ours").exists());
    drop(original);
    world.configure("");
    systemctl(&["reload", system::UNIT]);
    fs::remove_file(COMMAND).expect("a file");
    world.whole();
}
