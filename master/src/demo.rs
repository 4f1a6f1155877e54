//! `portolan demo`: harbours to try things with. Small servers as threads of this process, one of which
//! fails now and then, a configuration of their own, and wrapper, master and workers in front of them.
//!
//! Shell. This process is not one of the proxy's: it only starts the wrapper, says what to try and waits.
//!
//! - SIGINT and SIGTERM go on to the wrapper (at Ctrl-C it has its own already, which means the same),
//!   and then the exit status is 0.
//! - The directory that holds configuration, pid file and control socket goes with us.

mod answer;
mod request;
mod servers;
mod weather;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{SocketAddr as SocketName, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portolan_shared::signal::Signals;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use self::servers::{Server, Servers};
use self::weather::{HARBOURS, MOODY};

/// What the text is made from.
const CONFIGURATION: &str = include_str!("demo/portolan.toml");
/// Where people look first; taken are the first free ones.
const FRONT_PORTS: std::ops::Range<u16> = 8080..8100;
/// The first generation is ready within this time.
const START_MAX: Duration = Duration::from_secs(20);
/// A hard-stop takes this long at most.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Between two looks at the pid file.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs this wrapper until it ends or we are told to; the exit status. Every signal is to be blocked.
pub fn run(wrapper: &Path) -> Result<u8, String> {
    // Threads first: they keep every signal blocked, so that all of them come to this one.
    let servers = servers::start().map_err(|error| format!("the servers: {error}"))?;
    let directory = Directory::create().map_err(|error| format!("a directory: {error}"))?;
    let (front, _claim) = front_address().map_err(|error| format!("a free port: {error}"))?;
    let mut signals = Signals::new().map_err(|error| format!("signal handlers: {error}"))?;
    let file = directory.path.join("portolan.toml");
    fs::write(&file, configuration(&directory.path, front, &servers))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let pid_file = directory.path.join("portolan.pid");
    let mut wrapper = Command::new(wrapper)
        .arg("-f")
        .arg(&file)
        .arg("-p")
        .arg(&pid_file)
        .spawn()
        .map_err(|error| format!("{}: {error}", wrapper.display()))?;
    let start = Instant::now();
    let mut told = false;
    loop {
        let starting = !told && start.elapsed() < START_MAX;
        let wait = starting.then_some(LOOK_EVERY);
        if let Some(status) = wait_for_end(&mut wrapper, &signals, wait)? {
            return Ok(status.code().map_or(1, |code| code as u8));
        }
        let ending = [Signal::SIGINT, Signal::SIGTERM];
        if let Some(signal) = signals.take().into_iter().find(|one| ending.contains(one)) {
            end(&mut wrapper, signal, &signals)?;
            return Ok(0);
        }
        if starting && fs::read_to_string(&pid_file).is_ok_and(|text| !text.trim().is_empty()) {
            print!("{}", what_to_try(&directory.path, front, &servers, wrapper.id()));
            told = true;
        }
    }
}

/// Sleeps until a signal has come, the time is over or the wrapper has ended: then its status.
fn wait_for_end(
    wrapper: &mut Child,
    signals: &Signals,
    time: Option<Duration>,
) -> Result<Option<ExitStatus>, String> {
    let failed = |error: io::Error| format!("waiting for the wrapper: {error}");
    if let Some(status) = wrapper.try_wait().map_err(failed)? {
        return Ok(Some(status));
    }
    let pid = Pid::from_child(wrapper);
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .map_err(|error| failed(error.into()))?;
    let mut ready = [PollFd::new(signals, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    match rustix::event::poll(&mut ready, time.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => wrapper.try_wait().map_err(failed),
        Err(error) => Err(failed(error.into())),
    }
}

/// Passes the order on and waits for the end of all; a wrapper that does not end is killed, and its set
/// goes with it.
fn end(wrapper: &mut Child, signal: Signal, signals: &Signals) -> Result<(), String> {
    let order = match signal {
        Signal::SIGINT => rustix::process::Signal::INT,
        _ => rustix::process::Signal::TERM,
    };
    // One that has ended already is what was wanted.
    let _ = rustix::process::kill_process(Pid::from_child(wrapper), order);
    let deadline = Instant::now() + STOP_MAX;
    while wait_for_end(wrapper, signals, Some(LOOK_EVERY))?.is_none() {
        if Instant::now() > deadline {
            wrapper.kill().map_err(|error| format!("the wrapper: {error}"))?;
        }
        // More signals of the same kind change nothing, but must not keep us awake.
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The address to offer, where a port that people like is free, and what keeps another demonstration
/// from it until the master has bound it.
fn front_address() -> io::Result<(SocketAddr, Option<UnixDatagram>)> {
    for port in FRONT_PORTS {
        let name = SocketName::from_abstract_name(format!("portolan-demo-{port}"))?;
        let Ok(claim) = UnixDatagram::bind_addr(&name) else { continue };
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok((listener.local_addr()?, Some(claim)));
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((listener.local_addr()?, None))
}

fn configuration(directory: &Path, front: SocketAddr, servers: &Servers) -> String {
    let list = |more: &dyn Fn(&Server) -> String| {
        let mut lines = String::new();
        for server in &servers.harbours {
            let Server { name, address } = server;
            // Writing to a String does not fail.
            let _ = writeln!(
                lines,
                "  {{ name = \"{name}\", address = \"{address}\"{} }},",
                more(server)
            );
        }
        lines
    };
    let user = if rustix::process::geteuid().is_root() { "user = \"nobody\"\n" } else { "" };
    CONFIGURATION
        .replace("@DIRECTORY@", &directory.display().to_string())
        .replace("@USER@\n", user)
        .replace("@FRONT@", &front.to_string())
        .replace("@LIGHTHOUSE@", &servers.lighthouse.address.to_string())
        .replace("@SERVERS@", &list(&|_| String::new()))
        .replace(
            "@BERTHS@",
            &list(&|Server { name, .. }| {
                format!(", cookie = \"{name}\", track = \"harbours/{name}\"")
            }),
        )
}

fn what_to_try(directory: &Path, front: SocketAddr, servers: &Servers, wrapper: u32) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "portolan".to_owned());
    let names: Vec<String> =
        servers.harbours.iter().map(|one| format!("{} ({})", one.name, one.address)).collect();
    let workers = workers_of(wrapper);
    let worker = workers.first().map_or_else(|| "PID".to_owned(), u32::to_string);
    let socket = directory.join("control.sock");
    let socket = socket.display();
    let tries = [
        (format!("curl http://{front}/cabin"), "another harbour each time"),
        (format!("curl -c jar -b jar http://{front}/berth"), "a cookie keeps you at yours"),
        (format!("curl http://{front}/api/tides"), "another backend: the request as it got there"),
        (format!("curl -u captain:ahoy http://{front}/captain"), "who knows the password"),
        (format!("curl -i http://{front}/home"), "a redirect"),
        (format!("curl -X PUT http://{front}/storm/Genoa"), "closes a harbour for 5 seconds"),
        (format!("kill -USR2 {wrapper}"), "reload: a new generation, no connection lost"),
        (format!("kill -KILL {worker}"), "a worker dies: another takes its place"),
        (format!("{program} disable server harbours/Lisbon -S {socket}"), ""),
        (format!("{program} enable server harbours/Lisbon -S {socket}"), ""),
        (format!("{program} show servers state -S {socket}"), ""),
        (format!("{program} show proc -S {socket}"), ""),
        (format!("{program} reload -S {socket}"), ""),
    ];
    let mut text = format!(
        "\nPortolan listens on {front} and goes round {}. {} has bad hours.\n\
         Pids: wrapper {wrapper}, workers {}. Configuration: {}\n\n  \
         http://{front}/   in a browser shows who answers\n\n",
        names.join(", "),
        HARBOURS[MOODY],
        workers.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
        directory.join("portolan.toml").display(),
    );
    for (command, what) in tries {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {}", format!("{command:<52}  {what}").trim_end());
    }
    text.push_str("\nCtrl-C ends it. From here on the access log:\n");
    text
}

/// The grandchildren of the wrapper that are workers.
fn workers_of(wrapper: u32) -> Vec<u32> {
    let is_worker = |pid: &u32| {
        let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        title.starts_with(b"portolan: worker")
    };
    children(wrapper).into_iter().flat_map(children).filter(is_worker).collect()
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A directory of our own; removed with everything in it.
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("portolan-demo-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of that place.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, read, render};

    #[test]
    fn the_embedded_configuration_is_valid_and_goes_round_all_servers() {
        let directory = Directory::create().expect("a directory");
        let servers = servers::start().expect("servers");
        let (front, _claim) = front_address().expect("a free port");
        let file = directory.path.join("portolan.toml");
        fs::write(&file, configuration(&directory.path, front, &servers)).expect("a file");
        let loaded = read(&Sources::from_paths([file]))
            .unwrap_or_else(|found| panic!("{}", render(&found, false)));
        assert!(loaded.warnings.is_empty(), "{}", render(&loaded.warnings, false));
        let count = |backend: usize| loaded.config.backends[backend].servers.len();
        assert_eq!([count(0), count(1), count(2)], [HARBOURS.len(), HARBOURS.len(), 1]);
    }

    #[test]
    fn two_demonstrations_never_choose_the_same_port() {
        let (one, _claim) = front_address().expect("a free port");
        let (other, _claim) = front_address().expect("another one");
        assert_ne!(one, other);
    }

    #[test]
    fn the_directory_is_gone_with_its_owner() {
        let path = Directory { path: std::env::temp_dir().join("portolan-demo-none") };
        fs::create_dir_all(path.path.join("inner")).expect("a directory");
        let kept = path.path.clone();
        drop(path);
        assert!(!kept.exists());
    }
}
