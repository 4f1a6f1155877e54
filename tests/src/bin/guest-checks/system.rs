//! The guest's commands and files: systemd, packages, processes of the service.
//!
//! Shell.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use portolan_tests::deadline;
use portolan_tests::processes::{self, Process};
use rustix::process::Signal;

/// How long something may be left behind a stop.
const LEFT_MAX: Duration = Duration::from_secs(2);

/// The service.
pub const UNIT: &str = "portolan.service";

/// What a command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit status; 128 and more: a signal.
    pub status: i32,
    /// Both of its outputs.
    pub text: String,
}

impl Said {
    /// Whether it succeeded.
    pub fn fine(&self) -> bool {
        self.status == 0
    }
}

/// Runs a command to its end.
pub fn run(words: &[&str]) -> Said {
    run_with(words, &[])
}

/// The same with these variables.
pub fn run_with(words: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).envs(variables.iter().copied());
    let output = command.output().unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    let said = Said {
        status: output.status.code().unwrap_or(128),
        text: String::from_utf8_lossy(&text).into_owned(),
    };
    println!("$ {}\n{}", words.join(" "), said.text);
    if !said.fine() {
        println!("({})", output.status);
    }
    said
}

/// A command that has to succeed; what it said.
pub fn fine(words: &[&str]) -> String {
    let said = run(words);
    assert!(said.fine(), "{words:?}: {said:?}");
    said.text
}

/// `systemctl`, which has to succeed.
pub fn systemctl(words: &[&str]) -> String {
    fine(&[&["systemctl"], words].concat())
}

/// A property of the service.
pub fn property(name: &str) -> String {
    property_of(UNIT, name)
}

/// A property of a unit.
pub fn property_of(unit: &str, name: &str) -> String {
    let output = Command::new("systemctl").args(["show", "--value", "-p", name, unit]).output();
    String::from_utf8_lossy(&output.expect("systemctl").stdout).trim().to_owned()
}

/// A property that is a number.
pub fn number(name: &str) -> u64 {
    let text = property(name);
    text.parse().unwrap_or_else(|_| panic!("{name}={text}"))
}

/// Installs one of the packages that came along.
pub fn install(name: &str) -> Said {
    let file = package(name);
    let words = ["dpkg", "--force-confold", "-i", &file];
    run_with(&words, &[("DEBIAN_FRONTEND", "noninteractive")])
}

/// Where one of them is.
pub fn package(name: &str) -> String {
    format!("{}/packages/{name}.deb", super::SHARED)
}

/// The processes in the service's control group.
pub fn service_processes() -> Vec<Process> {
    processes_of(UNIT)
}

/// The processes in a unit's control group.
pub fn processes_of(unit: &str) -> Vec<Process> {
    let file = format!("/sys/fs/cgroup/system.slice/{unit}/cgroup.procs");
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .filter_map(|line| processes::process(line.trim().parse().ok()?))
        .filter(|one| one.state != 'Z')
        .collect()
}

/// All processes of our programs, in whatever group.
pub fn our_processes() -> Vec<Process> {
    let ours = |one: &Process| {
        let program = fs::read_link(format!("/proc/{}/exe", one.pid)).unwrap_or_default();
        program.starts_with("/usr") && program.to_string_lossy().contains("portolan")
    };
    processes::all().into_iter().filter(|one| one.state != 'Z' && ours(one)).collect()
}

/// One of them by the beginning of its title (`master`, `checker`); the wrapper is the main process.
pub fn role(name: &str) -> Option<i32> {
    let title = format!("portolan: {name}");
    service_processes().iter().find(|one| one.title.starts_with(&title)).map(|one| one.pid)
}

/// The pid of the wrapper.
pub fn wrapper() -> i32 {
    number("MainPID") as i32
}

/// The pids of the workers of the newest generation.
pub fn workers() -> Vec<i32> {
    let all: Vec<_> = service_processes().iter().filter_map(processes::worker).collect();
    let newest = all.iter().map(|one| one.generation).max();
    all.iter().filter(|one| Some(one.generation) == newest).map(|one| one.pid).collect()
}

/// Sends a signal to a process of the service.
pub fn kill(pid: i32, signal: Signal) {
    println!("kill {signal:?} {pid}");
    assert!(processes::signal(pid, signal), "{pid} is gone");
}

/// Waits until nothing of ours runs any more.
pub fn nothing_is_left() {
    // Those of whom a KILL has just been the end are gone as soon as the kernel has put them away.
    let all = || [our_processes(), service_processes()].concat();
    let gone = deadline::try_within(LEFT_MAX, || all().is_empty().then_some(()));
    assert!(gone.is_some(), "left: {:#?}", all());
}

/// The answer to a line on the control socket, through the program that operators use.
pub fn ask(line: &str) -> Option<String> {
    let socket = control_socket()?;
    let mut command = Command::new("/usr/sbin/portolan");
    command.args(line.split(' ')).arg("-S").arg(socket).stdin(Stdio::null());
    let output = command.output().expect("portolan");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The control socket of the package's configuration.
pub fn control_socket() -> Option<PathBuf> {
    let entries = fs::read_dir("/run/portolan").ok()?;
    let mut found = entries.flatten().map(|entry| entry.path());
    found.find(|path| path.extension().is_some_and(|end| end == "sock"))
}

/// A number of `show info`.
pub fn info(name: &str) -> Option<u64> {
    let text = ask("show info")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
    line.trim().parse().ok()
}

/// For whoever reads of a failure.
pub fn tell_state() {
    run(&["systemctl", "status", "--no-pager", "--full", "--lines=50", UNIT]);
    run(&["ps", "-eo", "pid,ppid,stat,user:12,args"]);
    run(&["ss", "-tlnp"]);
}

/// The journal of this boot, but for the kernel's and what users did.
pub fn write_journal(file: File) {
    let mut command = Command::new("journalctl");
    command.args(["--sync"]);
    let _ = command.status();
    let mut command = Command::new("journalctl");
    command.args(["-b", "--no-pager", "-o", "short-precise", "-u", UNIT, "-u", "portolan.socket"]);
    let status = command.args(["-u", "init.scope"]).stdout(file).status();
    assert!(status.expect("journalctl").success());
}

/// Waits until this holds, and prints what it was about where it does not.
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    let mut holds = holds;
    let seen = deadline::try_within(deadline::LIMIT, || holds().then_some(()));
    assert!(seen.is_some(), "not seen: {what}");
}

/// The number of the user that workers become.
pub fn workers_user() -> u32 {
    let text = fine(&["id", "-u", "portolan"]);
    text.trim().parse().expect("a number")
}
