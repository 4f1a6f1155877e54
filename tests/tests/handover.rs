//! Promise: a reload that finds another program puts it into the master's place; the workers that
//! serve are taken over with their channels, and a program that refuses or fails changes nothing.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use portolan_tests::fake::{Fakes, listen};
use portolan_tests::{Portolan, Setup, address, binaries, client, deadline, processes};
use rustix::process::Signal;

fn start() -> (Portolan, Fakes, SocketAddr) {
    let front = address::free();
    let setup = Setup::new(listen(front)).workers(2);
    let fakes = Fakes::install(&setup);
    (setup.programs(fakes.programs()).start(), fakes, front)
}

fn renew(fakes: &Fakes, name: &str) {
    binaries::replace(&binaries::path(name), &fakes.programs().join(name));
}

fn runs_what_is_on_the_disk(pid: i32, fakes: &Fakes, name: &str) -> bool {
    let inode = |path: &Path| fs::metadata(path).map(|file| file.ino()).ok();
    inode(Path::new(&format!("/proc/{pid}/exe"))) == inode(&fakes.programs().join(name))
}

#[test]
fn the_new_program_serves_under_the_same_pid_and_finishes_the_reload() {
    let (portolan, fakes, front) = start();
    let master = portolan.master();
    for generation in 2..5 {
        renew(&fakes, "portolan");
        portolan.reload();
        assert_eq!(portolan.master(), master);
        assert!(runs_what_is_on_the_disk(master, &fakes, "portolan"));
        assert_eq!(portolan.generation(), generation);
        client::greeting(front);
        portolan.only_newest();
    }
    // The title is the new program's too, and its state is whole.
    let info = portolan.command(&["show", "info"]);
    let info = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(info.contains("Generation: 4") && info.contains("Reloads: 3"), "{info}");
    assert!(info.contains("Ready_workers: 2") && info.contains("Processes: 2"), "{info}");
}

#[test]
fn a_directory_to_change_to_is_changed_to_once() {
    let front = address::free();
    let setup = Setup::new(listen(front)).workers(1);
    let fakes = Fakes::install(&setup);
    // Relative to where the tests run, which is not where it leads to.
    let portolan = setup.programs(fakes.programs()).argument("-C").argument("src").start();
    for _ in 0..2 {
        renew(&fakes, "portolan");
        portolan.reload();
        assert!(runs_what_is_on_the_disk(portolan.master(), &fakes, "portolan"));
    }
    client::greeting(front);
}

#[test]
fn workers_that_drain_are_watched_by_the_new_program() {
    let (portolan, fakes, _) = start();
    fakes.behave("* linger");
    portolan.reload();
    fakes.behave("");
    renew(&fakes, "portolan");
    portolan.reload();
    // The second generation has one stream left in each worker.
    deadline::until("the status says what is left", || {
        let status = portolan.notices().last("STATUS");
        status.is_some_and(|status| status == "gen 3, 2 workers; gen 2: 2 streams left")
    });
    for worker in portolan.all_workers().iter().filter(|worker| worker.generation == 2) {
        assert!(processes::signal(worker.pid, Signal::KILL));
    }
    deadline::until("their end is noticed", || {
        portolan.notices().last("STATUS").is_some_and(|status| status == "gen 3, 2 workers")
    });
    let info = portolan.command(&["show", "info"]);
    assert!(String::from_utf8_lossy(&info.stdout).contains("Lanes_free: 254"), "{info:?}");
}

#[test]
fn a_program_that_refuses_is_not_executed() {
    let (portolan, fakes, front) = start();
    let before = portolan.whole();
    binaries::replace(Path::new("/bin/false"), &fakes.programs().join("portolan"));
    let answer = portolan.reload_fails();
    assert!(answer.contains("refuses"), "{answer}");
    assert_eq!(portolan.whole(), before);
    client::greeting(front);
    // A configuration that the new program does not take is its reason.
    renew(&fakes, "portolan");
    portolan.configure("nonsense");
    let answer = portolan.reload_fails();
    assert!(answer.contains("refuses") && answer.contains("portolan.toml"), "{answer}");
    assert_eq!(portolan.whole(), before);
    portolan.configure(&listen(front));
    portolan.reload();
    assert!(runs_what_is_on_the_disk(portolan.master(), &fakes, "portolan"));
}

#[test]
fn workers_that_fail_under_the_new_program_leave_the_adopted_ones_serving() {
    let (portolan, fakes, front) = start();
    let (before, master) = (portolan.whole(), portolan.master());
    fakes.behave("* fail");
    renew(&fakes, "portolan");
    let answer = portolan.reload_fails();
    assert!(answer.contains("as it was told"), "{answer}");
    assert_eq!(portolan.master(), master);
    assert!(runs_what_is_on_the_disk(master, &fakes, "portolan"));
    deadline::until("nothing of it is left", || portolan.all_workers() == before);
    client::greeting(front);
    // The new program replaces a worker of the generation that it adopted.
    fakes.behave("");
    assert!(processes::signal(before[0].pid, Signal::KILL));
    deadline::until("another worker", || {
        let workers = portolan.workers();
        workers.iter().any(|one| one.slot == 1 && one.pid != before[0].pid && one.generation == 1)
    });
    portolan.whole();
    for _ in 0..20 {
        client::greeting(front);
    }
    portolan.reload();
}

#[test]
fn a_program_that_agrees_and_ends_at_its_start_is_followed_by_the_former_one() {
    let (portolan, fakes, front) = start();
    let before = portolan.whole();
    // It says yes to everything, and does nothing.
    binaries::replace(Path::new("/bin/true"), &fakes.programs().join("portolan"));
    let answer = portolan.reload_fails();
    assert!(answer.contains("the master ended before it had answered"), "{answer}");
    portolan.wait_error("the upgrade failed; the old version is started again");
    portolan.wait_error("2 of 2 processes of a former master adopted");
    portolan.wait_error("Reload failed: the master died");
    assert_eq!(portolan.whole(), before);
    client::greeting(front);
    renew(&fakes, "portolan");
    portolan.reload();
    assert!(runs_what_is_on_the_disk(portolan.master(), &fakes, "portolan"));
    assert!(portolan.only_newest().iter().all(|worker| !before.contains(worker)));
}

#[test]
fn a_new_worker_program_is_taken_by_the_next_reload_and_not_before() {
    let (portolan, fakes, _) = start();
    let binary = fakes.programs().join("portolan-worker");
    binaries::replace(&binaries::path("fake-worker"), &binary);
    let victim = portolan.whole().swap_remove(0);
    assert!(processes::signal(victim.pid, Signal::KILL));
    let other = deadline::eventually("another worker", || {
        let workers = portolan.workers();
        workers.into_iter().find(|one| one.slot == 1 && one.pid != victim.pid)
    });
    assert!(!runs_what_is_on_the_disk(other.pid, &fakes, "portolan-worker"));
    portolan.reload();
    for worker in portolan.only_newest() {
        assert!(runs_what_is_on_the_disk(worker.pid, &fakes, "portolan-worker"));
    }
    // One that does not work is refused, and whoever is respawned has the one before.
    binaries::replace(Path::new("/bin/false"), &binary);
    portolan.reload_fails();
    let victim = portolan.whole().swap_remove(0);
    assert!(processes::signal(victim.pid, Signal::KILL));
    deadline::until("another worker", || {
        portolan.workers().iter().any(|one| one.slot == 1 && one.pid != victim.pid)
    });
    portolan.whole();
}

#[test]
fn whoever_is_connected_to_the_control_socket_stays_connected() {
    use std::io::Write;
    let (portolan, fakes, _) = start();
    let mut idle = client::connect_unix(&portolan.file("control.sock"));
    renew(&fakes, "portolan");
    portolan.reload();
    idle.write_all(b"show version\nquit\n").expect("a line");
    let mut answer = String::new();
    idle.read_to_string(&mut answer).expect("an answer and the end");
    assert!(answer.contains(env!("CARGO_PKG_VERSION")), "{answer}");
}

#[test]
fn a_new_wrapper_program_is_taken_up_after_a_reload() {
    let (portolan, fakes, front) = start();
    let (wrapper, master) = (portolan.wrapper(), portolan.master());
    renew(&fakes, "portolan-wrapper");
    portolan.reload();
    deadline::until("the new wrapper", || {
        runs_what_is_on_the_disk(wrapper, &fakes, "portolan-wrapper")
    });
    assert_eq!(portolan.master(), master);
    client::greeting(front);
    portolan.signal(Signal::USR2);
    deadline::until("its signals reach the master", || portolan.generation() == 3);
}
