//! Promise: a command may judge a server; it runs without privilege, only where it is allowed, and
//! not for longer than a check may take.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use portolan_tests::http::Scene;
use portolan_tests::setup::{self, NOBODY, open_to_all};
use portolan_tests::{HttpOrigin, Listen, Setup, address, deadline, processes};

const OFTEN: &str = "check = true, inter = \"200ms\", rise = 2, fall = 2";

/// A directory with a script, which reads its orders from the file `order`.
fn script(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    open_to_all(directory.path());
    let path = directory.path().join("check.sh");
    // Another process writes it: a file that is open for writing cannot be executed.
    let draft = directory.path().join("draft");
    fs::write(&draft, format!("#!/bin/sh\ncd {}\n{text}\n", directory.path().display()))
        .expect("a script");
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).expect("permissions");
    let copied = std::process::Command::new("/bin/cp").arg(&draft).arg(&path).status();
    assert!(copied.expect("cp").success());
    directory
}

fn order(directory: &Path, text: &str) {
    let fresh = directory.join("order.new");
    fs::write(&fresh, text).expect("an order");
    open_to_all(&fresh);
    fs::rename(&fresh, directory.join("order")).expect("an order in its place");
}

fn scene(directory: &Path, origin: &HttpOrigin) -> Scene {
    Scene::watched(
        |front, log| {
            let command = directory.join("check.sh");
            Listen::http("web", front)
                .http_log(log)
                .timeout("check", "15s")
                .line(&format!(
                    "check = {{ type = \"external\", command = {:?}, path = \"/usr/bin:/bin\" }}",
                    command.display().to_string()
                ))
                .server_with("one", origin.address, &format!("{OFTEN}, maxconn = 50"))
                .to_string()
        },
        |setup| setup.workers(2).global("external_check", true),
    )
}

#[test]
fn the_exit_status_is_the_verdict() {
    let origin = HttpOrigin::named("one");
    let directory = script("exit $(cat order)");
    order(directory.path(), "0");
    let scene = scene(directory.path(), &origin);
    scene.get("/").expect(200);
    order(directory.path(), "3");
    let line = scene.log.wait_for("Server web/one is DOWN");
    assert!(line.contains("reason: External check error, code: 3"), "{line}");
    scene.get("/").expect(503);
    order(directory.path(), "0");
    let line = scene.log.wait_for("Server web/one is UP");
    assert!(line.contains("reason: External check passed, code: 0"), "{line}");
    scene.get("/").expect(200);
}

#[test]
fn the_command_is_told_whom_it_judges() {
    let origin = HttpOrigin::named("one");
    let directory = script("(echo \"$@\"; env) > told.new && mv told.new told");
    let scene = scene(directory.path(), &origin);
    let told = deadline::eventually("what it was told", || {
        fs::read_to_string(directory.path().join("told")).ok()
    });
    let (ip, port) = (origin.address.ip(), origin.address.port());
    let front = scene.front;
    assert_eq!(told.lines().next(), Some(&*format!("{} {} {ip} {port}", front.ip(), front.port())));
    for wanted in [
        format!("HAPROXY_PROXY_ADDR={}", front.ip()),
        format!("HAPROXY_PROXY_PORT={}", front.port()),
        "HAPROXY_PROXY_NAME=web".to_owned(),
        format!("HAPROXY_SERVER_ADDR={ip}"),
        format!("HAPROXY_SERVER_PORT={port}"),
        "HAPROXY_SERVER_NAME=one".to_owned(),
        "HAPROXY_SERVER_ID=1".to_owned(),
        "HAPROXY_SERVER_MAXCONN=50".to_owned(),
        "HAPROXY_SERVER_CURCONN=0".to_owned(),
        "PATH=/usr/bin:/bin".to_owned(),
    ] {
        assert!(told.lines().any(|line| line == wanted), "{wanted}: {told}");
    }
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
    let origin = HttpOrigin::named("one");
    let directory = script("(exec sleep 1000) & echo $! > pid.new; mv pid.new pid; wait");
    let scene = Scene::watched(
        |front, log| {
            let command = directory.path().join("check.sh");
            Listen::http("web", front)
                .http_log(log)
                .timeout("check", "400ms")
                .line(&format!(
                    "check = {{ type = \"external\", command = {:?}, path = \"/usr/bin:/bin\" }}",
                    command.display().to_string()
                ))
                .server_with("one", origin.address, OFTEN)
                .to_string()
        },
        |setup| setup.global("external_check", true),
    );
    let pid: i32 = deadline::eventually("its child", || {
        fs::read_to_string(directory.path().join("pid")).ok()?.trim().parse().ok()
    });
    deadline::until("the child's end", || !processes::alive(pid));
    let line = scene.log.wait_for("Server web/one is DOWN");
    assert!(line.contains("reason: External check timeout"), "{line}");
}

#[test]
fn the_command_has_no_privilege_and_no_descriptor() {
    if !setup::root() {
        setup::left_out("an external command's privileges: only root has any to lose");
        return;
    }
    let origin = HttpOrigin::named("one");
    let directory = script(
        "(id -u; id -g; grep NoNewPrivs /proc/self/status; ls /proc/self/fd | wc -l) > who.new; \
         mv who.new who",
    );
    let front = address::free();
    let command = directory.path().join("check.sh");
    let listen = Listen::http("web", front)
        .timeout("check", "15s")
        .line(&format!(
            "check = {{ type = \"external\", command = {:?}, path = \"/usr/bin:/bin\" }}",
            command.display().to_string()
        ))
        .server_with("one", origin.address, OFTEN);
    let _portolan = Setup::new(listen.to_string())
        .global("external_check", true)
        .global("uid", NOBODY)
        .global("gid", NOBODY)
        .start();
    let who = deadline::eventually("who it is", || {
        fs::read_to_string(directory.path().join("who"))
            .ok()
            .filter(|text| text.lines().count() == 4)
    });
    let lines: Vec<&str> = who.lines().collect();
    assert_eq!(lines[..2], [NOBODY.to_string(), NOBODY.to_string()], "{who}");
    assert!(lines[2].ends_with('1'), "{who}");
    // Standard ones, and the directory itself.
    assert!(lines[3].trim().parse::<u32>().is_ok_and(|count| count <= 5), "{who}");
}

#[test]
fn without_leave_no_command_runs() {
    let origin = HttpOrigin::named("one");
    let directory = script("touch ran");
    let command = directory.path().join("check.sh");
    let listen = Listen::http("web", address::free())
        .line(&format!(
            "check = {{ type = \"external\", command = {:?}, path = \"/bin\" }}",
            command.display().to_string()
        ))
        .server_with("one", origin.address, OFTEN);
    let failure = Setup::new(listen.to_string()).try_start().expect_err("a refusal");
    assert!(failure.errors.contains("external_check"), "{failure}");
    assert!(!directory.path().join("ran").exists());
}
