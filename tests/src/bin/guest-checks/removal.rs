//! What is said in the journal of all that was done, and what is left when the package goes.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::Check;
use super::journal::Mark;
use super::system::{self, fine, systemctl};
use super::world::World;

pub const CHECKS: &[Check] = &[
    ("no sandbox has refused anything, and nobody has crashed", nothing_refused),
    ("removing it stops it and keeps the configuration", removed),
    ("it may be installed again behind that", installed_again),
    ("purging it leaves nothing", purged),
    ("it may be installed again behind a purge", installed_behind_purge),
];

/// What others write meanwhile.
const OTHERS: [&str; 10] = [
    "/var/log/",
    "/var/lib/dpkg/",
    "/var/lib/systemd/",
    "/var/cache/",
    "/var/lib/apt/",
    "/var/lib/rsyslog",
    "/var/spool/rsyslog",
    "/var/lib/nginx",
    "/tmp/",
    "/var/tmp/",
];

/// Every file of the system.
pub fn files() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for root in ["/etc", "/usr", "/var", "/opt", "/srv", "/home", "/root"] {
        let mut left = vec![PathBuf::from(root)];
        while let Some(at) = left.pop() {
            for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.starts_with(super::SHARED) {
                    continue;
                }
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    left.push(path.clone());
                }
                found.insert(path);
            }
        }
    }
    found
}

fn nothing_refused(_: &mut World) {
    let all = Mark::beginning().lines();
    let bad = ["has refused", "SIGSYS", "panicked", "SIGSEGV", "SIGABRT", "dumped core"];
    let found: Vec<_> = all
        .iter() // systemd itself tells how it ended one that stood still.
        .filter(|line| line.pid != "1" && bad.iter().any(|word| line.message.contains(word)))
        .collect();
    println!("{} lines", all.len());
    assert!(found.is_empty(), "{found:#?}");
}

fn removed(world: &mut World) {
    world.under_load();
    fine(&["dpkg", "--remove", "portolan"]);
    system::nothing_is_left();
    world.leave();
    assert_ne!(system::property("ActiveState"), "active");
    assert!(fs::metadata("/etc/portolan/portolan.toml").is_ok());
    assert!(fs::metadata("/usr/sbin/portolan").is_err());
    assert!(fs::metadata("/run/portolan").is_err());
    let state = system::run(&["systemctl", "is-system-running"]);
    assert_eq!(state.text.trim(), "running");
}

fn installed_again(world: &mut World) {
    let said = system::install("portolan");
    assert!(said.fine(), "{said:?}");
    systemctl(&["is-enabled", system::UNIT]);
    let text = fs::read_to_string("/etc/portolan/portolan.toml").expect("the configuration");
    assert!(text.contains("# The administrator's own line."), "{text}");
    world.serving();
    world.under_load();
    world.leave();
}

fn purged(world: &mut World) {
    world.leave();
    // The administrator's own file is the administrator's to remove.
    fs::remove_file(super::world::OURS).expect("a file");
    fine(&["dpkg", "--purge", "portolan"]);
    system::nothing_is_left();
    let others = |path: &&PathBuf| OTHERS.iter().any(|own| path.to_string_lossy().starts_with(own));
    let left: Vec<PathBuf> =
        files().difference(&world.before).filter(|path| !others(path)).cloned().collect();
    // What systemd-sysusers keeps of the files that it changed.
    let left: Vec<_> = left
        .iter()
        .filter(|path| {
            !path.to_string_lossy().starts_with("/etc/") || !path.to_string_lossy().ends_with('-')
        })
        .collect();
    assert!(left.is_empty(), "{left:#?}");
    let logs = fs::read_dir("/var/log").expect("logs").flatten();
    let logs: Vec<_> =
        logs.filter(|one| one.file_name().to_string_lossy().contains("portolan")).collect();
    assert!(logs.is_empty(), "{logs:?}");
    for at in ["/run/portolan", "/var/lib/portolan", "/etc/portolan"] {
        assert!(fs::metadata(at).is_err(), "{at}");
    }
    let units = fine(&["systemctl", "list-units", "--all", "--no-legend", "portolan*"]);
    assert_eq!(units.trim(), "");
    system::until("rsyslog", || system::run(&["systemctl", "is-active", "rsyslog"]).fine());
}

fn installed_behind_purge(world: &mut World) {
    let said = system::install("portolan");
    assert!(said.fine(), "{said:?}");
    systemctl(&["is-active", system::UNIT]);
    systemctl(&["is-enabled", system::UNIT]);
    world.serving();
    world.under_load();
    world.leave();
}
