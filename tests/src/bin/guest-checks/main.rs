//! The checks that run inside a guest: the Debian package under its own systemd, from installing to purging it.
//!
//! Shell. `tests/tests/package.rs` boots the guests and reads the verdicts: one line for each check in
//! `/opt/shared/verdicts`; what was printed, the journal and the word that all of it ended lie beside them.
//!
//! - The checks run one after the other in the order below. Each leaves the service serving, or the next one
//!   that needs it makes it serve again, so that one failure is one failure.
//! - While a check does something, clients of all kinds check every byte; only connections of a killed worker
//!   are excused.

mod activation;
mod confinement;
mod deaths;
mod install;
mod journal;
mod logs;
mod readme;
mod reload;
mod removal;
mod serve;
mod signals;
mod start;
mod system;
mod upgrade;
mod world;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use world::World;

/// What is shared with the outside.
const SHARED: &str = "/opt/shared";

/// What is promised, and what tries it.
type Check = (&'static str, fn(&mut World));

/// Runs before everything else, whatever was chosen.
const FIRST: [Check; 1] =
    [("installing it beside nginx starts and enables it", install::it_is_installed_and_runs)];

/// In this order: what ends the service comes behind what needs it.
const ALL: [&[Check]; 10] = [
    install::CHECKS,
    serve::CHECKS,
    confinement::CHECKS,
    logs::CHECKS,
    reload::CHECKS,
    deaths::CHECKS,
    signals::CHECKS,
    start::CHECKS,
    activation::CHECKS,
    upgrade::CHECKS,
];

/// Behind all others.
const LAST: [&[Check]; 2] = [removal::CHECKS, readme::CHECKS];

fn main() {
    let only = fs::read_to_string(format!("{SHARED}/only")).unwrap_or_default();
    let chosen = |check: &&Check| only.trim().is_empty() || check.0.contains(only.trim());
    let before = removal::files();
    let mut world = World::new(before);
    let mut verdicts = File::create(format!("{SHARED}/verdicts")).expect("a file");
    let all = FIRST.iter().chain(ALL.into_iter().chain(LAST).flatten().filter(chosen));
    for (name, check) in all {
        println!("== {name}");
        let began = Instant::now();
        let held = catch_unwind(AssertUnwindSafe(|| check(&mut world))).is_ok();
        if !held {
            system::tell_state();
            world.doubt();
        }
        let word = if held { "ok" } else { "failed" };
        let seconds = began.elapsed().as_secs_f64();
        println!("== {word} {seconds:.1} s");
        writeln!(verdicts, "{word}\t{seconds:.3}\t{name}").expect("room on the disk");
    }
    drop(world);
    let journal = File::create(format!("{SHARED}/journal")).expect("a file");
    system::write_journal(journal);
    let end = OpenOptions::new().create(true).append(true).open(format!("{SHARED}/end"));
    drop(end.expect("a file"));
}
