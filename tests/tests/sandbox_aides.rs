//! Promise: who has taken over what helps the workers is confined too: the checker as a worker, the runner,
//! its commands and the resolver so that they change no file but temporary ones, serve nobody, signal
//! nobody and gain nothing.

#![cfg(target_arch = "x86_64")]

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use portolan_shared::channel::Channel;
use portolan_shared::message::resolver::ToResolver;
use portolan_shared::model::SandboxMode;
use portolan_tests::attempts::Column;
use portolan_tests::intruder::{Intruder, possible};
use portolan_tests::setup::{NOBODY, open_to_all};
use portolan_tests::{Portolan, Stage, binaries, deadline, processes};

/// Fails with all findings at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

/// A process of the instance whose title begins so.
fn titled(portolan: &Portolan, title: &str) -> i32 {
    deadline::eventually(title, || {
        let below = portolan.below().into_iter().filter_map(processes::process);
        let mut found = below.filter(|one| one.title.starts_with(title) && one.state != 'Z');
        found.next().map(|one| one.pid)
    })
}

/// An instance whose server is checked.
fn checked(check: &str) -> Stage {
    Stage::with(
        |listen| {
            let listen = listen.line(check);
            listen
                .timeout("check", "60s")
                .line("server_defaults = { check = true, inter = \"60s\" }")
        },
        |setup| {
            let setup = setup.global("user", "\"nobody\"").global("group", "\"nogroup\"");
            setup.workers(2).global("external_check", true)
        },
    )
}

#[test]
fn the_checker_is_confined_as_a_worker_is() {
    if !possible() {
        return;
    }
    let stage = checked("balance = \"roundrobin\"");
    let portolan = &stage.portolan;
    portolan.expect_refusals();
    portolan.whole();
    let checker = || {
        let pid = titled(portolan, "portolan: checker");
        // It is confined by then.
        portolan.wait_error(&format!("Checker ({pid}) begins"));
        pid
    };
    let pid = checker();
    let scene = stage.scene(pid);
    let mut intruder = Intruder::into(pid);
    none(&scene.try_all(Column::Checker, &mut intruder));
    intruder.leave();
    let line = portolan.wait_error("the sandbox has refused");
    assert!(line.contains(&format!("({pid})")), "{line}");
    // The same one goes on, until it does what nobody does by mistake.
    for number in 0..2 {
        let pid = checker();
        let mut intruder = Intruder::into(pid);
        let attempts = scene.lethal(Column::Checker, &mut intruder);
        attempts[number].end_with(intruder);
        let line = portolan.wait_error(&format!("Current checker ({pid}) "));
        assert!(line.contains("was killed by SIGSYS"), "{}: {line}", attempts[number].what);
        deadline::until("another checker", || titled(portolan, "portolan: checker") != pid);
    }
    portolan_tests::client::connect(stage.front).expect_echo(b"nobody has noticed");
}

#[test]
fn the_runner_and_its_commands_change_nothing_and_signal_nobody() {
    if !possible() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    open_to_all(directory.path());
    let command = directory.path().join("check.sh");
    fs::write(&command, "#!/bin/sh\nexec sleep 60\n").expect("a script");
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).expect("permissions");
    let check = format!(
        "check = {{ type = \"external\", command = {:?}, path = \"/usr/bin:/bin\" }}",
        command.display().to_string()
    );
    let stage = checked(&check);
    let portolan = &stage.portolan;
    portolan.expect_refusals();
    portolan.whole();
    let runner = titled(portolan, "portolan: runner");
    let scene = stage.scene(runner);
    let sleeper = deadline::eventually("the command", || {
        let all = processes::descendants(runner).into_iter();
        all.filter(|one| one.title.starts_with("sleep")).map(|one| one.pid).next()
    });
    for (column, pid) in [(Column::Runner, runner), (Column::Command, sleeper)] {
        let mut intruder = Intruder::into(pid);
        none(&scene.try_all(column, &mut intruder));
        none(&scene.try_lethal(column, &mut intruder));
        intruder.leave();
        assert!(processes::alive(pid), "{column:?}");
    }
    portolan_tests::client::connect(stage.front).expect_echo(b"nobody has noticed");
}

/// A resolver that waits for names.
struct Resolver {
    child: Child,
    channel: Option<Channel>,
}

impl Resolver {
    fn start() -> Self {
        let (mut channel, theirs) = Channel::pair().expect("a channel");
        let mut command = Command::new("/bin/bash");
        command.arg("-c").arg("exec \"$0\" \"$@\" 3<&0 0</dev/null");
        command.arg(binaries::path("portolan-worker")).args(["--role", "resolver"]);
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().expect("a resolver");
        let (user, group, sandbox) = (Some(NOBODY), Some(NOBODY), SandboxMode::On);
        channel.send(&ToResolver::Become { user, group, sandbox }, &[]).expect("sent");
        let pid = child.id() as i32;
        deadline::until("it is confined", || {
            processes::status(pid, "Seccomp").is_some_and(|mode| mode == "2")
        });
        Self { child, channel: Some(channel) }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_resolver_reads_and_asks_and_nothing_else() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(2));
    stage.portolan.whole();
    let mut resolver = Resolver::start();
    let pid = resolver.child.id() as i32;
    let scene = stage.scene(pid);
    let mut intruder = Intruder::into(pid);
    none(&scene.try_all(Column::Resolver, &mut intruder));
    none(&scene.try_lethal(Column::Resolver, &mut intruder));
    intruder.leave();
    // It goes on, and ends with who has asked it.
    assert!(processes::alive(pid));
    drop(resolver.channel.take());
    deadline::until("it ends with its channel", || !processes::alive(pid));
}
