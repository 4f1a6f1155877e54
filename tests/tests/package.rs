//! Promise: the Debian package does under real service managers what its unit says: `bin/guest-checks` inside
//! guests of Debian 12 and Debian 13 installs, starts, reloads, kills, upgrades, removes and purges it under load.
//! `PORTOLAN_GUEST_ONLY=WORDS` runs only the checks whose name contains them, besides the installation.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use portolan_tests::guest::{self, Packages, Suite};
use portolan_tests::setup;

/// How long an archive may take to send what a guest consists of.
const ROOTFS_LIMIT: Duration = Duration::from_secs(20 * 60);
/// How long all checks may take on a machine where others build.
const CHECKS_LIMIT: Duration = Duration::from_secs(15 * 60);

/// What both guests are given, built by the first of them.
static PACKAGES: Mutex<Weak<Packages>> = Mutex::new(Weak::new());

fn packages() -> Arc<Packages> {
    let mut built = PACKAGES.lock().unwrap_or_else(PoisonError::into_inner);
    built.upgrade().unwrap_or_else(|| {
        let packages = Arc::new(Packages::build());
        *built = Arc::downgrade(&packages);
        packages
    })
}

fn all_checks_on(suite: Suite) {
    let name = suite.name();
    let left_out = |why: &str| setup::left_out(&format!("the package on {name}: {why}"));
    if let Some(why) = guest::missing(suite) {
        return left_out(&why);
    }
    let rootfs = match guest::rootfs(suite, ROOTFS_LIMIT) {
        Ok(rootfs) => rootfs,
        Err(why) => return left_out(&why),
    };
    let packages = packages();
    let only = std::env::var("PORTOLAN_GUEST_ONLY").unwrap_or_default();
    let began = Instant::now();
    let report = guest::run(&rootfs, &packages, &only, CHECKS_LIMIT);
    let mut table = String::new();
    for verdict in &report.verdicts {
        let word = if verdict.holds { "ok    " } else { "FAILED" };
        let _ = writeln!(table, "{word} {:6.1} s  {}", verdict.seconds, verdict.name);
    }
    let failed = report.verdicts.iter().filter(|one| !one.holds).count();
    let took = began.elapsed();
    eprintln!("{name}: {} checks in {took:?}\n{table}", report.verdicts.len());
    if let Some(directory) = std::env::var_os("PORTOLAN_GUEST_OUTPUT").filter(|one| !one.is_empty())
    {
        for (what, text) in
            [("output", &report.output), ("journal", &report.journal), ("console", &report.console)]
        {
            let file = std::path::Path::new(&directory).join(format!("{name}.{what}"));
            std::fs::write(file, text).expect("PORTOLAN_GUEST_OUTPUT");
        }
    }
    assert!(
        report.whole && failed == 0 && !report.verdicts.is_empty(),
        "{name}: {failed} failed, all run: {}\n== console\n{}\n== journal\n{}\n== output\n{}\n{table}",
        report.whole,
        report.console,
        report.journal,
        report.output,
    );
}

#[test]
fn the_package_keeps_its_promises_on_debian_12() {
    all_checks_on(Suite::Bookworm);
}

#[test]
fn the_package_keeps_its_promises_on_debian_13() {
    all_checks_on(Suite::Trixie);
}
