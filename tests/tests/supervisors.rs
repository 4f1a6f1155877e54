//! Promise: wrapper and master keep nothing that a reload does not need, whoever starts them, and say so;
//! what they are started for works all the same.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use portolan_shared::message::wrapper::MISCONFIGURED;
use portolan_shared::sandbox::capabilities::Set;
use portolan_shared::sandbox::supervisors::{KEPT, WRAPPER};
use portolan_tests::control::Control;
use portolan_tests::setup::{self, NOBODY, root};
use portolan_tests::{
    Listen, Origin, Portolan, Setup, address, binaries, client, deadline, processes,
};
use rustix::process::Signal;

fn proxy(origin: &Origin) -> (Setup, SocketAddr) {
    let front = address::free();
    (Setup::new(Listen::at("proxy", front).server("one", origin.address).to_string()), front)
}

fn needs_root() -> bool {
    if !root() {
        setup::left_out("this needs to be started as root");
    }
    !root()
}

fn status(pid: i32, name: &str) -> String {
    processes::status(pid, name).expect("a line of the status")
}

fn set(pid: i32, name: &str) -> Set {
    Set::from_mask(u64::from_str_radix(&status(pid, name), 16).expect("a mask"))
}

fn score(pid: i32) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("its score");
    text.trim().parse().expect("a number")
}

/// Of the wrapper and of the master, whoever they are.
fn are_confined(portolan: &Portolan) {
    let kept: Set = KEPT.iter().map(|kept| kept.capability).collect();
    let own: Set = WRAPPER.iter().copied().collect();
    for (pid, used) in [(portolan.wrapper(), own), (portolan.master(), kept)] {
        for (name, most) in [("CapPrm", kept), ("CapEff", used), ("CapInh", kept), ("CapAmb", kept)]
        {
            let more = set(pid, name).without(most);
            assert!(more.is_empty(), "{name} of {pid}: {more}");
        }
        // Others cannot empty it, and gain nothing from it.
        if root() {
            assert!(set(pid, "CapBnd").without(kept).is_empty());
        }
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        assert_eq!(status(pid, "Seccomp"), "2");
        assert_eq!(processes::limits(pid, "Max core file size")[0], "0");
        assert!(
            processes::limits(pid, "Max open files")[0].parse::<u64>().expect("a limit") < 200_000
        );
    }
}

#[test]
fn wrapper_and_master_keep_what_a_reload_needs_and_nothing_else() {
    let origin = Origin::echo();
    let (setup, front) = proxy(&origin);
    let portolan = setup.start();
    are_confined(&portolan);
    portolan.reload();
    are_confined(&portolan);
    processes::signal(portolan.master(), Signal::KILL);
    // It is confined before it takes anybody over.
    portolan.wait_error("processes of a former master adopted");
    are_confined(&portolan);
    client::connect(front).expect_echo(b"served");
}

#[test]
fn who_is_not_root_is_confined_too() {
    let origin = Origin::echo();
    let (setup, front) = proxy(&origin);
    let portolan = if root() { setup.user(NOBODY) } else { setup }.start();
    for pid in [portolan.wrapper(), portolan.master()] {
        assert!(set(pid, "CapPrm").is_empty() && set(pid, "CapEff").is_empty());
        assert_eq!((&*status(pid, "NoNewPrivs"), &*status(pid, "Seccomp")), ("1", "2"));
    }
    client::connect(front).expect_echo(b"served");
    let shown = Control::of(&portolan).ask("show sandbox");
    assert!(shown.contains("descriptors: ") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn a_master_without_a_wrapper_is_confined_as_one_with() {
    let origin = Origin::echo();
    let (setup, front) = proxy(&origin);
    let portolan = setup.launcher("portolan").argument("-db").unsupervised().start();
    let pid = portolan.wrapper();
    let kept: Set = KEPT.iter().map(|kept| kept.capability).collect();
    assert!(set(pid, "CapEff").without(kept).is_empty());
    assert_eq!((&*status(pid, "NoNewPrivs"), &*status(pid, "Seccomp")), ("1", "2"));
    client::connect(front).expect_echo(b"served");
}

#[test]
fn a_reload_binds_low_ports_and_sets_up_sockets_for_others() {
    if needs_root() {
        return;
    }
    let origin = Origin::echo();
    let (setup, _) = proxy(&origin);
    let path = setup.file("app.sock");
    let portolan = setup.global("user", "\"nobody\"").global("group", "\"nogroup\"").start();
    let low = low_port();
    let unix = format!(
        "{{ address = {}, user = \"nobody\", group = \"nogroup\", mode = \"640\" }}",
        setup::quoted(&path)
    );
    let body = format!(
        "[listen.low]\nbind = [\"{low}\", {unix}]\nserver = [{{ name = \"one\", address = \"{}\" }}]\n",
        origin.address
    );
    portolan.configure(&body);
    portolan.reload();
    client::connect(low).expect_echo(b"below 1024");
    let found = fs::metadata(&path).expect("the socket's file");
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (NOBODY, NOBODY, 0o640));
}

/// One that nobody has, on an address of our own.
fn low_port() -> SocketAddr {
    let ip = Ipv4Addr::new(127, 0, 37, std::process::id() as u8 | 1);
    (200..1000)
        .map(|port| SocketAddr::from((ip, port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port")
}

#[test]
fn a_configuration_in_somebody_elses_directory_is_read_by_every_reload() {
    if needs_root() {
        return;
    }
    let origin = Origin::echo();
    let (setup, front) = proxy(&origin);
    let portolan = setup.start();
    let path = portolan.directory().to_path_buf();
    std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).expect("another owner");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("permissions");
    portolan.reload();
    client::connect(front).expect_echo(b"served");
}

#[test]
fn the_master_is_told_what_a_configuration_may_use_and_nothing_of_the_loaders() {
    let origin = Origin::echo();
    let (setup, _) = proxy(&origin);
    let portolan = setup
        .variable("LD_LIBRARY_PATH", "/nowhere")
        .variable("GLIBC_TUNABLES", "glibc.malloc.check=0")
        .variable("OF_THE_CONFIGURATION", "told")
        .start();
    let environment = |pid: i32| {
        let bytes = fs::read(format!("/proc/{pid}/environ")).expect("its environment");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let of_master = environment(portolan.master());
    assert!(of_master.contains("OF_THE_CONFIGURATION=told"), "{of_master}");
    for name in ["LD_LIBRARY_PATH", "GLIBC_TUNABLES", "NOTIFY_SOCKET"] {
        assert!(!of_master.contains(name), "{name} in {of_master}");
    }
    for worker in portolan.whole() {
        assert!(!environment(worker.pid).contains("OF_THE_CONFIGURATION"));
    }
}

#[test]
fn a_worker_may_leave_a_core_file_where_that_is_asked_for() {
    let origin = Origin::echo();
    let (setup, _) = proxy(&origin);
    let portolan = setup.global("set_dumpable", true).start();
    for worker in portolan.whole() {
        let [soft, hard] = processes::limits(worker.pid, "Max core file size");
        assert_eq!(soft, hard);
    }
    assert_eq!(processes::limits(portolan.master(), "Max core file size")[0], "0");
}

#[test]
fn where_memory_is_short_a_worker_goes_before_its_master() {
    let origin = Origin::echo();
    let (setup, _) = proxy(&origin);
    let portolan = setup.start();
    let of_master = score(portolan.master());
    assert_eq!(score(portolan.wrapper()), of_master);
    for worker in portolan.whole() {
        assert_eq!(score(worker.pid), (of_master + 500).min(1000));
    }
}

#[test]
fn show_sandbox_tells_of_every_process_by_the_kernels_word() {
    let origin = Origin::echo();
    let (setup, front) = proxy(&origin);
    let portolan = setup.start();
    // One of an older generation, which lives as long as its client.
    let mut held = client::connect(front);
    held.expect_echo(b"held");
    let shown = Control::of(&portolan).ask("show sandbox");
    let workers: Vec<i32> = portolan.whole().iter().map(|worker| worker.pid).collect();
    for pid in [portolan.wrapper(), portolan.master()].into_iter().chain(workers) {
        let part = part_of(&shown, pid);
        let uid = status(pid, "Uid").split_whitespace().next().map(str::to_owned);
        assert_eq!(value(&part, "Uid"), uid, "{part}");
        let capabilities = set(pid, "CapEff").to_string();
        assert_eq!(value(&part, "CapEff"), Some(capabilities), "{part}");
        assert_eq!(value(&part, "CapBnd"), Some(set(pid, "CapBnd").to_string()), "{part}");
        assert_eq!(value(&part, "NoNewPrivs").as_deref(), Some("yes"), "{part}");
        let filtered = value(&part, "Seccomp").is_some_and(|told| told.contains("filter"));
        assert!(filtered, "{part}");
    }
    for pid in [portolan.wrapper(), portolan.master()] {
        let part = part_of(&shown, pid);
        let told = value(&part, "descriptors").unwrap_or_default();
        assert!(told.contains("device") && told.contains("file"), "{part}");
    }
    let by_command = portolan.command(&["show", "sandbox"]);
    assert!(by_command.status.success());
    assert!(String::from_utf8_lossy(&by_command.stdout).contains("# master pid "));
}

/// What is told below a process's line.
fn part_of(shown: &str, pid: i32) -> String {
    let named = format!(" pid {pid} ");
    let begins = |line: &str| line.starts_with("# ") && format!("{line} ").contains(&named);
    let lines = shown.lines().skip_while(|line| !begins(line));
    let part: Vec<&str> = lines
        .enumerate()
        .take_while(|(at, line)| *at == 0 || !line.starts_with("# "))
        .map(|(_, line)| line)
        .collect();
    assert!(!part.is_empty(), "{pid} is not in {shown}");
    part.join("\n")
}

fn value(part: &str, name: &str) -> Option<String> {
    let line = part.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
    Some(line.to_owned())
}

#[test]
fn a_layer_that_the_kernel_refuses_is_told_by_its_name() {
    let origin = Origin::echo();
    let (setup, front) = proxy(&origin);
    let portolan = setup.launcher("old-kernel").start();
    let wrapper = format!(
        "[WARNING]  ({}) : The kernel refuses a layer of the sandbox, seccomp",
        portolan.wrapper()
    );
    let errors = portolan.errors();
    assert!(errors.contains(&wrapper), "{errors}");
    let master =
        format!("({}) : The kernel refuses a layer of the sandbox, seccomp", portolan.master());
    assert!(errors.contains(&master), "{errors}");
    client::connect(front).expect_echo(b"served all the same");
    if root() {
        let text = "refuses a layer of the sandbox, capabilities: ";
        assert!(errors.contains(text), "{errors}");
        assert!(Control::of(&portolan).ask("show sandbox").contains("not_given: capabilities: "));
    }
}

#[test]
fn where_the_sandbox_is_required_a_refused_layer_is_a_failed_start() {
    let origin = Origin::echo();
    let required = || proxy(&origin).0.global("sandbox", "\"require\"");
    let failure = required().launcher("old-kernel").try_start().expect_err("no such kernel");
    let status = failure.status.and_then(|status| status.code());
    assert_eq!(status, Some(MISCONFIGURED.into()), "{failure}");
    let why = "`sandbox = \"require\"`, and the kernel refuses: ";
    assert!(failure.errors.contains(why) && failure.errors.contains("seccomp"), "{failure}");
    drop(required().start());
}

#[test]
fn what_is_wrong_with_a_start_is_told_by_its_exit_status() {
    let origin = Origin::echo();
    let ends = |setup: Setup| {
        let failure = setup.try_start().expect_err("no start");
        failure.status.and_then(|status| status.code()).expect("a status")
    };
    let (setup, _) = proxy(&origin);
    assert_eq!(ends(setup.global("workers", 0)), MISCONFIGURED.into());
    let (setup, _) = proxy(&origin);
    assert_eq!(ends(setup.argument("-D").global("workers", 0)), MISCONFIGURED.into());
    let (setup, _) = proxy(&origin);
    assert_eq!(ends(setup.argument("--frobnicate")), MISCONFIGURED.into());
    let (setup, front) = proxy(&origin);
    let _taken = TcpListener::bind(front).expect("the port");
    assert_eq!(ends(setup), 1);
    let name = Listen::at("x", address::free()).server("a", "nonexistent.invalid:1").to_string();
    assert_eq!(ends(Setup::new(name)), 1);
}

#[test]
fn the_demonstration_confines_itself_before_it_serves() {
    let mut child = std::process::Command::new(binaries::path("portolan"))
        .arg("demo")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the demonstration");
    let pid = child.id() as i32;
    deadline::until("that all are confined", || {
        let below = processes::descendants(pid);
        let filtered = |pid| processes::status(pid, "Seccomp").as_deref() == Some("2");
        below.len() >= 2 && filtered(pid) && below.iter().all(|one| filtered(one.pid))
    });
    processes::signal(pid, Signal::INT);
    child.wait().expect("its end");
}
