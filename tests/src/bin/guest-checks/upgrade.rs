//! Other versions of the package under load.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Check;
use super::system::{self, systemctl};
use super::world::World;

pub const CHECKS: &[Check] = &[
    ("an upgrade loses nothing and keeps what the administrator wrote", upgraded),
    ("an older version may be installed again", downgraded),
    ("a newer master that cannot start leaves the old one serving", broken_master),
    ("a newer worker that cannot start leaves the old ones serving", broken_worker),
];

const MAIN: &str = "/etc/portolan/portolan.toml";

/// Each process runs the program that is installed.
fn runs_what_is_installed() {
    for (pid, program) in [
        (system::wrapper(), "/usr/sbin/portolan-wrapper"),
        (system::role("master").expect("a master"), "/usr/sbin/portolan"),
        (system::workers()[0], "/usr/sbin/portolan-worker"),
    ] {
        let running = fs::metadata(format!("/proc/{pid}/exe")).expect("a program").ino();
        let installed = fs::metadata(program).expect("a program").ino();
        assert_eq!(running, installed, "{program}");
    }
}

fn version() -> String {
    system::fine(&["dpkg-query", "-W", "-f", "${Version} ${Status}", "portolan"])
}

fn upgraded(world: &mut World) {
    let text = fs::read_to_string(MAIN).expect("the configuration");
    let own = format!("{text}\n# The administrator's own line.\n");
    fs::write(MAIN, &own).expect("a file");
    world.under_load();
    let ours = (system::wrapper(), system::role("master"), system::number("NRestarts"));
    let said = system::install("newer");
    assert!(said.fine(), "{said:?}");
    world.undisturbed();
    system::until("a new wrapper in the old one's place", || {
        fs::read_link(format!("/proc/{}/exe", system::wrapper()))
            .is_ok_and(|path| path == Path::new("/usr/sbin/portolan-wrapper"))
    });
    runs_what_is_installed();
    assert_eq!((system::wrapper(), system::role("master"), system::number("NRestarts")), ours);
    assert_eq!(fs::read_to_string(MAIN).expect("the configuration"), own);
    assert!(version().contains("+2 install ok installed"), "{}", version());
    world.whole();
    world.undisturbed();
}

fn downgraded(world: &mut World) {
    world.under_load();
    let said = system::install("portolan");
    assert!(said.fine(), "{said:?}");
    world.undisturbed();
    runs_what_is_installed();
    assert!(!version().contains('+'), "{}", version());
    world.undisturbed();
}

/// A package whose programs cannot start: nothing that runs is touched.
fn broken(world: &mut World, package: &str) {
    world.under_load();
    let wrapper = system::wrapper();
    let said = system::install(package);
    println!("dpkg says {}", said.status);
    assert!(said.text.contains("What ran goes on"), "{said:?}");
    assert_eq!((system::property("ActiveState").as_str(), system::wrapper()), ("active", wrapper));
    world.undisturbed();
    world.whole();
    // Those who go on are whole also when one of them dies.
    world.kill_worker(system::workers()[0]);
    world.whole();
    world.undisturbed();
    let status = system::property("StatusText");
    assert!(status.contains("reload failed: "), "{status}");
    // A good one is all that it takes.
    let said = system::install("portolan");
    assert!(said.fine(), "{said:?}");
    world.whole();
    runs_what_is_installed();
    systemctl(&["reload", system::UNIT]);
    world.undisturbed();
}

fn broken_master(world: &mut World) {
    broken(world, "broken-master");
}

fn broken_worker(world: &mut World) {
    broken(world, "broken-worker");
}
