//! Promise: as root, workers give up what they do not need before they say ready: user, groups, root
//! directory, new privileges. Without root the same configuration of limits works. All that is below the master is
//! in a sandbox of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use portolan_tests::processes::Process;
use portolan_tests::setup::{self, NOBODY, root};
use portolan_tests::{Listen, Origin, Portolan, Setup, address, client, deadline, processes};

fn proxy(origin: &Origin) -> (Setup, std::net::SocketAddr) {
    let front = address::free();
    (Setup::new(Listen::at("proxy", front).server("one", origin.address).to_string()), front)
}

fn status(pid: i32, name: &str) -> String {
    processes::status(pid, name).expect("a line of the status")
}

/// Says that a part was left out, where it needs root.
fn needs_root() -> bool {
    if !root() {
        setup::left_out("this needs to be started as root");
    }
    !root()
}

#[test]
fn workers_become_the_configured_user_and_drop_all_groups() {
    if needs_root() {
        return;
    }
    let origin = Origin::echo();
    let (setup, front) = proxy(&origin);
    let setup = setup.global("user", "\"nobody\"").global("group", "\"nogroup\"");
    let portolan = setup.start();
    for worker in portolan.whole() {
        let expected = [NOBODY; 4].map(|id| id.to_string()).join("\t");
        assert_eq!(status(worker.pid, "Uid"), expected);
        assert_eq!(status(worker.pid, "Gid"), expected);
        assert_eq!(status(worker.pid, "Groups"), "");
        assert_eq!(status(worker.pid, "NoNewPrivs"), "1");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(worker.pid, set), "0000000000000000", "{set}");
        }
    }
    client::connect(front).expect_echo(b"unprivileged");
    // Master and wrapper keep what they need for the next generation.
    assert!(status(portolan.master(), "Uid").starts_with('0'));
    portolan.reload();
    client::connect(front).expect_echo(b"and again");
}

#[test]
fn workers_are_confined_to_an_empty_directory() {
    if needs_root() {
        return;
    }
    let origin = Origin::echo();
    let (setup, front) = proxy(&origin);
    let jail = setup.file("jail");
    fs::create_dir(&jail).expect("a directory");
    fs::set_permissions(&jail, fs::Permissions::from_mode(0o555)).expect("permissions");
    let chroot = setup::quoted(&jail);
    let portolan = setup.global("chroot", chroot).global("user", "\"nobody\"").start();
    for worker in portolan.whole() {
        for link in ["root", "cwd"] {
            let target = fs::read_link(format!("/proc/{}/{link}", worker.pid)).expect("a link");
            assert_eq!(target, jail, "{link}");
        }
    }
    client::connect(front).expect_echo(b"from inside");
}

#[test]
fn a_worker_holds_nothing_but_what_it_needs() {
    let origin = Origin::echo();
    let (setup, _) = proxy(&origin);
    let file = fs::File::open("/etc/hostname").expect("a file");
    let portolan = setup.inherited(9, file.into()).variable("SECRET", "hidden").start();
    for worker in portolan.whole() {
        let descriptors = processes::descriptors(worker.pid);
        assert!(!descriptors.iter().any(|one| one.contains("hostname")), "{descriptors:?}");
        let environment = fs::read(format!("/proc/{}/environ", worker.pid)).expect("its own");
        assert!(!String::from_utf8_lossy(&environment).contains("SECRET"));
        assert_eq!(status(worker.pid, "NoNewPrivs"), "1");
    }
}

#[test]
fn workers_leave_no_core_file_unless_asked() {
    let origin = Origin::echo();
    let (setup, _) = proxy(&origin);
    let portolan = setup.start();
    for worker in portolan.whole() {
        assert_eq!(processes::limits(worker.pid, "Max core file size")[0], "0");
    }
}

#[test]
fn the_limit_of_descriptors_follows_maxconn() {
    let origin = Origin::echo();
    let soft = |maxconn: u32| -> u64 {
        let (setup, _) = proxy(&origin);
        let portolan = setup.global("maxconn", maxconn).start();
        let worker = portolan.whole().swap_remove(0);
        processes::limits(worker.pid, "Max open files")[0].parse().expect("a number")
    };
    let (small, large) = (soft(100), soft(2000));
    assert!(small >= 200 && large >= 4000, "two descriptors a connection: {small}, {large}");
}

#[test]
fn without_root_a_change_of_user_is_refused_with_its_reason() {
    let origin = Origin::echo();
    let (setup, _) = proxy(&origin);
    let setup = if root() { setup.user(NOBODY) } else { setup };
    let failure = setup.global("user", "\"daemon\"").try_start().expect_err("no right to do so");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    assert!(failure.errors.contains("cannot become"), "{failure}");
}

#[test]
fn without_root_chroot_is_refused_with_its_reason() {
    let origin = Origin::echo();
    let (setup, _) = proxy(&origin);
    let jail = setup::quoted(setup.directory.path());
    let setup = if root() { setup.user(NOBODY) } else { setup };
    let failure = setup.global("chroot", jail).try_start().expect_err("no right to do so");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    assert!(failure.errors.contains("chroot"), "{failure}");
}

#[test]
fn an_ordinary_user_may_name_itself() {
    let origin = Origin::echo();
    let (setup, front) = proxy(&origin);
    if needs_root() {
        return;
    }
    let portolan: Portolan = setup.user(NOBODY).global("user", "\"nobody\"").start();
    client::connect(front).expect_echo(b"itself");
    assert!(status(portolan.master(), "Uid").starts_with("65534"));
}

/// A proxy that checks its server by a command and by a connection of its own.
fn watched(origin: &Origin, more: &str) -> Setup {
    let listen = |name: &str| {
        let options = format!("check = true, inter = \"1s\", rise = 1{more}");
        Listen::at(name, address::free()).server_with("one", origin.address, &options)
    };
    let commanded = listen("commanded")
        .line("check = { type = \"external\", command = \"/bin/true\", path = \"/bin\" }");
    let body = format!("{}\n{}", listen("plain"), commanded);
    Setup::new(body).global("external_check", true)
}

/// All processes below the master, once checker and runner are there.
fn below_the_master(portolan: &Portolan) -> Vec<Process> {
    portolan.whole();
    deadline::eventually("checker and runner", || {
        let mut all = processes::descendants(portolan.master());
        // Not commands, which come and go.
        all.retain(|one| one.title.starts_with("portolan:"));
        let is_there = |role: &str| all.iter().any(|one| one.title.contains(role));
        (is_there("checker") && is_there("runner")).then_some(all)
    })
}

#[test]
fn every_process_below_the_master_is_in_its_sandbox() {
    let origin = Origin::echo();
    let portolan = watched(&origin, "").start();
    let filters = |pid| -> u32 { status(pid, "Seccomp_filters").parse().expect("a number") };
    for one in below_the_master(&portolan) {
        assert_eq!(status(one.pid, "Seccomp"), "2", "{one:?}");
        assert_eq!(status(one.pid, "NoNewPrivs"), "1", "{one:?}");
        // Its own, beside those that it has inherited.
        assert!(filters(one.pid) > filters(portolan.master()), "{one:?}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(one.pid, set), "0000000000000000", "{set} of {one:?}");
        }
        if root() {
            assert_eq!(status(one.pid, "CapBnd"), "0000000000000000", "{one:?}");
        }
    }
}

#[test]
fn without_a_sandbox_there_is_no_filter_of_its_own() {
    let origin = Origin::echo();
    let portolan = watched(&origin, "").global("sandbox", "\"off\"").start();
    let filters = |pid| status(pid, "Seccomp_filters");
    for one in below_the_master(&portolan) {
        assert_eq!(filters(one.pid), filters(portolan.master()), "{one:?}");
        assert_eq!(status(one.pid, "NoNewPrivs"), "1", "{one:?}");
    }
}

#[test]
fn who_takes_its_clients_addresses_keeps_the_one_capability_for_it() {
    if needs_root() {
        return;
    }
    let origin = Origin::echo();
    let source = ", source = \"0.0.0.0 usesrc clientip\"";
    let portolan = watched(&origin, source).global("user", "\"nobody\"").start();
    // CAP_NET_RAW; the checker has no clients.
    for one in below_the_master(&portolan) {
        let kept = if one.title.contains("worker") { 1_u64 << 13 } else { 0 };
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(status(one.pid, set), format!("{kept:016x}"), "{set} of {one:?}");
        }
    }
}
