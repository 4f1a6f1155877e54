//! Promise: a reload with changed programs on the disk puts the new ones in place, same pids, no
//! connection refused; a new program that does not work leaves the old one in service.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use portolan_tests::{
    Listen, Origin, Portolan, Setup, Storm, address, binaries, client, deadline, processes, storm,
};

fn start(origin: &Origin) -> (Portolan, SocketAddr) {
    let front = address::free();
    let setup = Setup::new(Listen::at("proxy", front).server("one", origin.address).to_string());
    let programs = setup.file("programs");
    binaries::install(&programs);
    (setup.programs(&programs).start(), front)
}

/// The inode of the program that a process runs.
fn running(pid: i32) -> u64 {
    std::fs::metadata(format!("/proc/{pid}/exe")).map_or(0, |file| file.ino())
}

fn on_disk(portolan: &Portolan, name: &str) -> u64 {
    std::fs::metadata(portolan.file("programs").join(name)).expect("a program").ino()
}

#[test]
fn new_programs_take_over_under_the_same_pids() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    let (wrapper, master) = (portolan.wrapper(), portolan.master());
    let mut stream = client::connect(front);
    stream.expect_echo(b"before");
    for round in 0..3 {
        let storm = Storm::echo(8, front);
        storm.wait_more(50);
        binaries::install(&portolan.file("programs"));
        portolan.reload();
        storm.wait_more(50);
        assert_eq!((portolan.wrapper(), portolan.master()), (wrapper, master), "same pids");
        deadline::until("the new wrapper", || {
            running(wrapper) == on_disk(&portolan, "portolan-wrapper")
        });
        assert_eq!(running(master), on_disk(&portolan, "portolan"));
        for worker in portolan.whole() {
            assert_eq!(running(worker.pid), on_disk(&portolan, "portolan-worker"));
            assert_eq!(worker.generation, round + 2);
        }
        storm.end_without_errors();
        stream.expect_echo(b"the old worker still has it");
    }
    assert!(portolan.running());
    drop(stream);
    portolan.only_newest();
}

#[test]
fn one_new_program_is_enough() {
    for name in binaries::NAMES {
        let origin = Origin::echo();
        let (portolan, front) = start(&origin);
        let master = portolan.master();
        binaries::replace(&binaries::path(name), &portolan.file("programs").join(name));
        portolan.reload();
        assert_eq!(portolan.master(), master);
        client::connect(front).expect_echo(b"served");
        for worker in portolan.whole() {
            assert_eq!(running(worker.pid), on_disk(&portolan, "portolan-worker"));
        }
        deadline::until("every process runs what is on the disk", || {
            running(portolan.wrapper()) == on_disk(&portolan, "portolan-wrapper")
                && running(portolan.master()) == on_disk(&portolan, "portolan")
        });
    }
}

#[test]
fn without_a_reload_nothing_new_is_started() {
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    let programs = portolan.file("programs");
    let old = running(portolan.whole()[0].pid);
    binaries::replace(Path::new("/bin/false"), &programs.join("portolan-worker"));
    binaries::replace(Path::new("/bin/false"), &programs.join("portolan"));
    // A respawn under a running master uses the program the master started with.
    let victim = portolan.whole().swap_remove(0);
    assert!(processes::signal(victim.pid, rustix::process::Signal::KILL));
    deadline::until("another worker", || {
        portolan.workers().iter().any(|one| one.slot == 1 && one.pid != victim.pid)
    });
    assert!(portolan.whole().iter().all(|worker| running(worker.pid) == old));
    // So does a restarted master.
    let master = portolan.master();
    assert!(processes::signal(master, rustix::process::Signal::KILL));
    deadline::until("another master", || portolan.try_master().is_some_and(|pid| pid != master));
    portolan.whole();
    client::connect(front).expect_echo(b"the old programs");
}

#[test]
fn a_new_program_that_does_not_work_leaves_the_old_one_in_service() {
    let origin = Origin::echo();
    for broken in binaries::NAMES {
        let _turn = storm::turn();
        let (portolan, front) = start(&origin);
        let programs = portolan.file("programs");
        let (wrapper, before) = (portolan.wrapper(), portolan.whole());
        let mut stream = client::connect(front);
        stream.expect_echo(b"before");
        let storm = Storm::echo(4, front);
        storm.wait_more(20);
        binaries::install(&programs);
        binaries::replace(Path::new("/bin/false"), &programs.join(broken));
        if broken == "portolan-wrapper" {
            // The master's upgrade stands; only the wrapper stays what it was.
            let _ = portolan.command(&["reload"]);
        } else {
            portolan.reload_fails();
            assert_eq!(portolan.whole().len(), before.len());
        }
        storm.wait_more(50);
        storm.end_without_errors();
        assert!(portolan.running() && portolan.wrapper() == wrapper, "{broken}");
        stream.expect_echo(b"after");
        // Repaired, the next reload takes the new programs.
        binaries::install(&programs);
        portolan.reload();
        client::connect(front).expect_echo(b"repaired");
        assert_eq!(running(portolan.master()), on_disk(&portolan, "portolan"));
    }
}
