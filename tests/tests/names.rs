//! Promise: host names are found by a process that has no rights and ends with its time; the master waits
//! for none of them, and a name that stands for nothing is an error at its place.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use portolan_tests::fake::{Fakes, listen};
use portolan_tests::origin::Origin;
use portolan_tests::{Setup, address, binaries, client, deadline, processes};
use rustix::process::Signal;

/// A configuration with servers at these.
fn servers(front: SocketAddr, addresses: &[&str]) -> String {
    let list: Vec<String> = addresses
        .iter()
        .enumerate()
        .map(|(number, address)| format!("{{ name = \"s{number}\", address = \"{address}\" }}"))
        .collect();
    format!(
        "[listen.names]\nmode = \"tcp\"\nbind = \"{front}\"\n\
         timeout = {{ connect = \"1s\", client = \"1s\", server = \"1s\" }}\n\
         server = [{}]\n",
        list.join(", ")
    )
}

fn check(programs: &Path, file: &Path) -> Output {
    Command::new(programs.join("portolan"))
        .arg("-c")
        .arg("-f")
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .expect("the check")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn know(fakes: &Fakes, lines: &str) {
    fs::write(fakes.programs().join("names"), lines).expect("the names");
}

fn resolvers(below: i32) -> Vec<i32> {
    let all = processes::descendants(below);
    all.iter()
        .filter(|one| one.title.starts_with("portolan: resolver"))
        .map(|one| one.pid)
        .collect()
}

#[test]
fn a_name_of_this_machine_is_served() {
    let here = address::free_on(std::net::Ipv4Addr::LOCALHOST.into());
    let (front, origin) =
        (address::free(), Origin::at(here, |stream, _| std::io::Write::write_all(stream, b"here")));
    let by_name = format!("ipv4@localhost:{}", origin.address.port());
    let portolan = Setup::new(servers(front, &[&by_name])).start();
    assert_eq!(client::greeting(front), "here");
    assert_eq!(resolvers(portolan.wrapper()), [], "it has left");
}

#[test]
fn a_name_that_stands_for_nothing_is_an_error_at_its_place_with_the_others() {
    let addresses = ["nonexistent.invalid:1", "127.0.0.1:2", "neither.invalid:3", "127.0.0.1:x"];
    let setup = Setup::new(servers(address::free(), &addresses));
    let output = check(&binaries::directory(), &setup.write());
    let text = told(&output);
    assert_eq!(output.status.code(), Some(78), "of 127.0.0.1:x: {text}");
    for part in ["`nonexistent.invalid`", "`neither.invalid`", "127.0.0.1:x"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn all_names_are_asked_for_once_and_together() {
    let setup = Setup::new(servers(address::free(), &["one:1", "two:2", "one:3", "127.0.0.1:4"]));
    let fakes = Fakes::install(&setup);
    know(&fakes, "one 127.0.0.1\ntwo 127.0.0.2 ::1\n");
    let output = check(fakes.programs(), &setup.write());
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(fakes.count("resolve one two"), 1);
    assert_eq!(fakes.heard().iter().filter(|one| one.what.starts_with("resolve")).count(), 1);
}

#[test]
fn without_names_there_is_no_resolver() {
    let setup = Setup::new(servers(address::free(), &["127.0.0.1:1"]));
    let fakes = Fakes::install(&setup);
    assert!(check(fakes.programs(), &setup.write()).status.success());
    assert_eq!(fakes.heard(), []);
}

#[test]
fn a_name_server_that_is_silent_costs_its_time_once_and_only_the_names_that_it_has() {
    let addresses = ["known:1", "silent:2", "mute:3"];
    let setup =
        Setup::new(servers(address::free(), &addresses)).global("resolve_timeout", "\"3s\"");
    let fakes = Fakes::install(&setup);
    know(&fakes, "known 127.0.0.1\n");
    let output = check(fakes.programs(), &setup.write());
    let text = told(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["`silent`: no answer within 3s", "`mute`: no answer within 3s"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("`known`"), "{text}");
    let pid = fakes.wait_heard("resolve known mute silent").pid;
    assert!(!processes::alive(pid), "it was ended");
}

#[test]
fn a_resolver_that_fails_or_is_killed_is_a_failed_check_and_no_more() {
    let setup = Setup::new(servers(address::free(), &["known:1"]));
    let fakes = Fakes::install(&setup);
    know(&fakes, "known 127.0.0.1\n");
    let file = setup.write();
    for (word, reason) in [("fail", "as it was told"), ("die", "ended before it had answered")] {
        fakes.behave(&format!("resolver {word}"));
        let output = check(fakes.programs(), &file);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(told(&output).contains(reason), "{}", told(&output));
    }
    fakes.behave("");
    assert!(check(fakes.programs(), &file).status.success());
}

#[test]
fn a_resolver_has_no_rights_where_the_master_has() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let setup = Setup::new(servers(address::free(), &["known:1"]));
    let fakes = Fakes::install(&setup);
    know(&fakes, "known 127.0.0.1\n");
    assert!(check(fakes.programs(), &setup.write()).status.success());
    fakes.wait_heard("become Some(65534) Some(65534)");
    let setup = setup.global("user", "\"daemon\"").global("group", "\"daemon\"");
    assert!(check(fakes.programs(), &setup.write()).status.success());
    fakes.wait_heard("become Some(1) Some(1)");
}

/// The master goes on while names are looked up: a worker that dies is replaced meanwhile.
#[test]
fn while_names_are_looked_up_the_master_goes_on() {
    let front = address::free();
    let setup = Setup::new(listen(front)).global("resolve_timeout", "\"20s\"");
    let fakes = Fakes::install(&setup);
    let portolan = setup.programs(fakes.programs()).start();
    portolan.configure(&servers(front, &["silent:1"]));
    portolan.signal(Signal::HUP);
    let resolver = fakes.wait_heard("resolve silent");
    let victim = portolan.whole()[0].clone();
    assert!(processes::signal(victim.pid, Signal::KILL));
    deadline::until("another worker in its slot", || {
        let workers = portolan.workers();
        workers.iter().any(|one| one.slot == victim.slot && one.pid != victim.pid)
    });
    // Killed, the reload has failed and what served serves on.
    assert!(processes::signal(resolver.pid, Signal::KILL));
    portolan.wait_error("the resolver ended before it had answered");
    assert_eq!(portolan.generation(), 1);
    client::greeting(front);
}

/// What the names stood for when the configuration was accepted is what a restarted master goes by.
#[test]
fn a_master_that_follows_a_dead_one_asks_nobody() {
    let front = address::free();
    let setup = Setup::new(servers(front, &["known:1"]));
    let fakes = Fakes::install(&setup);
    know(&fakes, "known 127.0.0.1\n");
    let portolan = setup.programs(fakes.programs()).start();
    know(&fakes, "known\n");
    let master = portolan.master();
    assert!(processes::signal(master, Signal::KILL));
    deadline::until("another master", || portolan.try_master().is_some_and(|pid| pid != master));
    assert!(processes::signal(portolan.whole()[0].pid, Signal::KILL));
    portolan.whole();
    assert_eq!(fakes.count("resolve known"), 1);
    // The reload reads the files, and asks.
    assert!(portolan.reload_fails().contains("`known`"), "the name is gone");
}

/// A name server that takes questions and never answers, in a network of its own.
#[test]
fn a_real_resolver_is_ended_when_a_real_name_server_is_silent() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let setup = Setup::new(servers(address::free(), &["silent.example:1"]))
        .global("resolve_timeout", "\"500ms\"");
    let file = setup.write();
    let conf = setup.file("resolv.conf");
    fs::write(&conf, "nameserver 192.0.2.53\n").expect("resolv.conf");
    // What goes out there is lost.
    let script = format!(
        "ip link add lost type veth peer name end && ip addr add 192.0.2.1/24 dev lost && \
         ip link set lost up && ip link set end up && \
         ip neigh add 192.0.2.53 lladdr 02:00:00:00:00:01 dev lost && mount --bind {} /etc/resolv.conf && exec \"$0\" -c -f {}",
        conf.display(),
        file.display()
    );
    let output = Command::new("unshare")
        .args(["--net", "--mount", "/bin/bash", "-c", &script])
        .arg(binaries::path("portolan"))
        .stdin(Stdio::null())
        .output()
        .expect("unshare");
    let text = told(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot resolve `silent.example`: no answer within 500ms"), "{text}");
}
