//! Real commands, watched until they are over.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use portolan_shared::log::monotonic_ms;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

use super::*;

/// Nothing here takes so long.
const PATIENCE_MS: Millis = 20_000;

fn script(directory: &TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("check");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn request(id: u64, command: &Path, timeout: Millis) -> Request {
    let variables = vec![("PATH", "/bin:/usr/bin".to_owned()), ("HAPROXY_X", "y".to_owned())];
    let told = Told { arguments: ["a", "1", "b", "2"].map(str::to_owned), variables };
    Request { id, command: command.to_owned(), told, deadline: monotonic_ms() + timeout }
}

fn wait(commands: &mut Commands) -> Vec<FromRunner> {
    let until = monotonic_ms() + PATIENCE_MS;
    loop {
        let now = monotonic_ms();
        assert!(now < until, "nothing has ended");
        let over = commands.look(now);
        if !over.is_empty() {
            return over;
        }
        let mut list: Vec<_> =
            commands.watched().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let next = commands.next_deadline().map_or(50, |next| next.saturating_sub(now).min(50));
        let next = Duration::from_millis(next);
        let next = Timespec { tv_sec: 0, tv_nsec: next.subsec_nanos().into() };
        poll(&mut list, Some(&next)).unwrap();
    }
}

fn ended(id: u64, end: CommandEnd) -> Vec<FromRunner> {
    vec![FromRunner::Ended { id, end }]
}

#[test]
fn a_command_answers_with_its_exit_status() {
    let directory = tempfile::tempdir().unwrap();
    let command = script(&directory, "exit 3");
    let mut commands = Commands::default();
    assert_eq!(commands.ask(request(5, &command, PATIENCE_MS)), None);
    assert_eq!(wait(&mut commands), ended(5, CommandEnd::Exited(3)));
    assert_eq!(commands.len(), (0, 0));
}

#[test]
fn it_is_given_its_arguments_its_environment_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("seen");
    let text = format!("{{ echo \"$@\"; pwd; env | sort; }} > {}", seen.display());
    let command = script(&directory, &text);
    let mut commands = Commands::default();
    commands.ask(request(1, &command, PATIENCE_MS));
    assert_eq!(wait(&mut commands), ended(1, CommandEnd::Exited(0)));
    let seen = fs::read_to_string(seen).unwrap();
    let of_the_shell =
        |line: &str| ["_=", "OLDPWD=", "PWD=", "SHLVL="].iter().any(|own| line.starts_with(own));
    let lines: Vec<&str> = seen.lines().filter(|line| !of_the_shell(line)).collect();
    assert_eq!(lines, ["a 1 b 2", "/", "HAPROXY_X=y", "PATH=/bin:/usr/bin"]);
}

#[test]
fn it_has_limits_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("seen");
    let text = format!("{{ ulimit -c; ulimit -n; ulimit -t; ulimit -f; }} > {}", seen.display());
    let command = script(&directory, &text);
    let mut commands = Commands::default();
    commands.ask(request(1, &command, PATIENCE_MS));
    assert_eq!(wait(&mut commands), ended(1, CommandEnd::Exited(0)));
    // The last in blocks of 512 bytes.
    let blocks = FILE_BYTES / 512;
    let limits = format!("0\n{DESCRIPTORS}\n{COMPUTING_S}\n{blocks}\n");
    assert_eq!(fs::read_to_string(seen).unwrap(), limits);
}

#[test]
fn one_that_is_killed_says_by_what() {
    let directory = tempfile::tempdir().unwrap();
    let command = script(&directory, "kill -15 $$");
    let mut commands = Commands::default();
    commands.ask(request(1, &command, PATIENCE_MS));
    assert_eq!(wait(&mut commands), ended(1, CommandEnd::Killed(15)));
}

#[test]
fn one_that_takes_too_long_is_killed_with_all_it_has_started() {
    let directory = tempfile::tempdir().unwrap();
    // Its child holds the other end: the end of the file says that it is gone too.
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let command =
        script(&directory, &format!("exec 3> {}\nsleep 1000 &\nsleep 1000", pipe.display()));
    let mut commands = Commands::default();
    commands.ask(request(1, &command, 200));
    let mut reader = fs::File::open(&pipe).unwrap();
    assert_eq!(wait(&mut commands), ended(1, CommandEnd::TimedOut));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
}

#[test]
fn what_it_leaves_behind_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let command = script(&directory, &format!("exec 3> {}\nsleep 1000 &", pipe.display()));
    let mut commands = Commands::default();
    commands.ask(request(1, &command, PATIENCE_MS));
    let mut reader = fs::File::open(&pipe).unwrap();
    assert_eq!(wait(&mut commands), ended(1, CommandEnd::Exited(0)));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
}

#[test]
fn what_cannot_be_started_says_why() {
    let mut commands = Commands::default();
    let answer = commands.ask(request(1, Path::new("/nowhere/at/all"), PATIENCE_MS));
    let Some(FromRunner::Ended { id: 1, end: CommandEnd::NotStarted { reason } }) = answer else {
        panic!("{answer:?}");
    };
    assert!(reason.contains("No such file"), "{reason}");
}

#[test]
fn what_the_system_lacks_is_told_apart_from_what_is_wrong_with_a_command() {
    for lack in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE] {
        assert!(matches!(not_started(&lack.into()), CommandEnd::Lacking { .. }), "{lack}");
    }
    for wrong in [Errno::NOENT, Errno::ACCESS, Errno::NOEXEC] {
        assert!(matches!(not_started(&wrong.into()), CommandEnd::NotStarted { .. }), "{wrong}");
    }
}

#[test]
fn beyond_the_limit_they_wait_and_their_time_runs() {
    let directory = tempfile::tempdir().unwrap();
    let command = script(&directory, "exec sleep 1000");
    let mut commands = Commands::default();
    for id in 0..RUNNING_MAX as u64 {
        assert_eq!(commands.ask(request(id, &command, PATIENCE_MS)), None);
    }
    assert_eq!(commands.ask(request(1000, &command, 0)), None);
    assert_eq!(commands.ask(request(1001, &command, PATIENCE_MS)), None);
    assert_eq!(commands.len(), (RUNNING_MAX, 2));
    assert_eq!(wait(&mut commands), ended(1000, CommandEnd::TimedOut));
    commands.cancel(3);
    assert_eq!(commands.look(monotonic_ms()), []);
    assert_eq!(commands.len(), (RUNNING_MAX, 0));
    commands.cancel_all();
    assert_eq!(commands.len(), (0, 0));
}
