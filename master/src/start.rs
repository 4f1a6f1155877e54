//! From the command line to a master that runs: what to do, alone or under a wrapper, on what state.
//!
//! Shell.

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::rc::Rc;
use std::time::Instant;

use portolan_master::arguments::{Arguments, Command, HELP, Start, Verbosity};
use portolan_master::config::{self, Sources};
use portolan_master::{demo, init};
use portolan_shared::channel::Channel;
use portolan_shared::log::{Log, Zone};
use portolan_shared::message::wrapper::{MISCONFIGURED, WRAPPER_FD};
use portolan_shared::model::{Config, LogLevel};
use portolan_shared::sandbox::Report;
use portolan_shared::sandbox::supervisors::{self, Supervisor};
use portolan_shared::sealed::unseal;
use portolan_shared::signal::Signals;
use portolan_shared::sys;
use rustix::fs::{Mode, OFlags};

use crate::aides::Aides;
use crate::captures::Captures;
use crate::coalesce::{Coalescer, Way};
use crate::control::{self, Control};
use crate::handover::Handover;
use crate::heartbeat::Looks;
use crate::kept::{Clocks, Facts, Living};
use crate::link::Link;
use crate::listeners::unix::{self, FileId};
use crate::listeners::{self, Passed, Table};
use crate::master::{FAILED, Master};
use crate::obituary::Obituaries;
use crate::prepare::{ACCEPTED, Accepted, BINARY, CONTROL, REGISTRY};
use crate::questions::{Questions, Waiting};
use crate::servers::Tally;
use crate::shared_memory::{Left, SharedMemory};
use crate::slots::Slots;
use crate::state::{Input, State};
use crate::succession::Succession;
use crate::upgrade;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Does what the command line says; the exit status.
pub fn run() -> u8 {
    let arguments = match Arguments::from_env() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("portolan: {error}");
            return MISCONFIGURED;
        }
    };
    obey(arguments).unwrap_or_else(|error| {
        eprintln!("portolan: {error}");
        FAILED
    })
}

fn obey(arguments: Arguments) -> Result<u8, String> {
    match &arguments.command {
        Command::Help => {
            print!("{HELP}");
            Ok(0)
        }
        Command::Version { full } => version(*full, &arguments.disabled_pollers),
        Command::Check => Ok(check(&arguments)),
        Command::Reload => ask(&arguments, "reload"),
        Command::Ask(words) => ask(&arguments, &words.join(" ")),
        Command::Init => {
            change_directory(&arguments)?;
            print!("{}", init::run(&arguments.init)?);
            Ok(0)
        }
        Command::Schema => {
            print!("{}", config::schema());
            Ok(0)
        }
        Command::Demo => {
            for refused in supervisors::confine(Supervisor::Wrapper).refused {
                eprintln!("portolan: {}", refused.warning());
            }
            demo::run(&sibling("portolan-wrapper")?)
        }
        Command::Run if arguments.check_state.is_some() => check_state(&arguments),
        Command::Run if arguments.wrapper_channel => serve_wrapped(arguments),
        Command::Run => match arguments.start {
            Start::Debug | Start::Foreground => serve_alone(arguments),
            Start::Plain
            | Start::Wrapped
            | Start::WrappedNotify
            | Start::Supervised
            | Start::Daemon => Err(become_wrapper()),
        },
    }
}

/// Executes the wrapper in our place with our arguments; returns only with the reason why not.
fn become_wrapper() -> String {
    let path = match sibling("portolan-wrapper") {
        Ok(path) => path,
        Err(error) => return error,
    };
    let error = Process::new(&path).args(std::env::args_os().skip(1)).exec();
    format!(
        "cannot execute {}: {error}; portolan, portolan-wrapper and portolan-worker lie in one \
         directory (-db runs without the wrapper)",
        path.display()
    )
}

/// `-v` and `-vv`.
fn version(full: bool, disabled: &[&str]) -> Result<u8, String> {
    println!("Portolan version {VERSION}");
    if !full {
        return Ok(0);
    }
    println!("Build options :");
    println!("  TARGET  = {}-{}", std::env::consts::OS, std::env::consts::ARCH);
    println!("  PROFILE = {}", if cfg!(debug_assertions) { "debug" } else { "release" });
    let tune = portolan_shared::model::Tune::default();
    println!("\nDefault settings :");
    println!("  bufsize = {}, maxpollevents = {}", tune.buffer_size, tune.maxpollevents);
    println!("\nAvailable polling systems :");
    let worker = sibling("portolan-worker")?;
    let output = Process::new(&worker)
        .arg("--pollers")
        .output()
        .map_err(|error| format!("cannot execute {}: {error}", worker.display()))?;
    print!("{}", pollers(&String::from_utf8_lossy(&output.stdout), disabled));
    Ok(if output.status.success() { 0 } else { FAILED })
}

/// The worker's table of pollers with those that are turned off, and which one will be used.
fn pollers(table: &str, disabled: &[&str]) -> String {
    let mut text = String::new();
    let (mut total, mut usable) = (0, Vec::new());
    for line in table.lines() {
        let Some((name, rest)) = line.split_once(" : pref=") else { continue };
        total += 1;
        let name = name.trim();
        let (_, result) = rest.split_once(',').unwrap_or(("", rest));
        if disabled.contains(&name) {
            let _ = writeln!(text, "{name:>11} : pref=0,  {}", result.trim());
        } else {
            let _ = writeln!(text, "{name:>11} : pref={rest}");
            if result.contains("test result OK") {
                usable.push(name);
            }
        }
    }
    let used = usable.first().copied().unwrap_or("none");
    let _ = writeln!(text, "Total: {total} ({} usable), will use {used}.", usable.len());
    text
}

/// `-c`: reads everything, binds nothing.
fn check(arguments: &Arguments) -> u8 {
    let quiet = arguments.verbosity == Verbosity::Quiet;
    let tell = |text: &str| {
        if !quiet {
            eprint!("{text}");
        }
    };
    if let Err(error) = change_directory(arguments) {
        tell(&format!("portolan: {error}\n"));
        return FAILED;
    }
    let styled = std::io::IsTerminal::is_terminal(&std::io::stderr());
    match config::read(&Sources::from_paths(arguments.files.iter().cloned())) {
        Ok(loaded) => {
            tell(&config::render(&loaded.warnings, styled));
            if arguments.warnings_are_errors && !loaded.warnings.is_empty() {
                tell("portolan: warnings are errors (-dW)\n");
                return MISCONFIGURED;
            }
            if arguments.verbosity == Verbosity::Verbose {
                println!("Configuration file is valid");
            }
            0
        }
        Err(found) => {
            tell(&config::render(&found, styled));
            tell("portolan: the configuration is not valid\n");
            config::exit_status(&found)
        }
    }
}

/// The control socket of what a package installs.
const CONTROL_SOCKET: &str = "/run/portolan/control.sock";
/// How the answer to a question begins that is none.
const REFUSALS: [&str; 4] = ["error:", "No such ", "Can't find ", "Require "];

/// `portolan reload`, `portolan show …`, `portolan set …`.
fn ask(arguments: &Arguments, line: &str) -> Result<u8, String> {
    change_directory(arguments)?;
    let path = match &arguments.socket {
        Some(path) => path.clone(),
        None => configured_socket(arguments)?,
    };
    let answer = control::client::ask(&path, line).map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::NotFound => " (no Portolan with this control socket runs)",
            std::io::ErrorKind::ConnectionRefused => " (nobody listens there any more)",
            std::io::ErrorKind::PermissionDenied => " (it is for its owner alone: try as root)",
            _ => "",
        };
        format!("control socket {}: {error}{advice}", path.display())
    })?;
    if line != "reload" {
        let asks = ["show ", "get "].iter().any(|verb| line.starts_with(verb));
        // An order that was obeyed is answered by nothing.
        let refused = if asks {
            REFUSALS.iter().any(|refusal| answer.starts_with(refusal))
        } else {
            !answer.trim().is_empty()
        };
        if refused {
            eprint!("{answer}");
            return Ok(FAILED);
        }
        if asks {
            print!("{answer}");
        }
        return Ok(0);
    }
    match answer.split_once('\n') {
        Some(("ok", rest)) => {
            if arguments.verbosity != Verbosity::Quiet {
                print!("{rest}");
            }
            Ok(0)
        }
        Some((_, rest)) => {
            eprint!("{rest}");
            Ok(FAILED)
        }
        None => Ok(FAILED),
    }
}

/// The control socket that the configuration names.
fn configured_socket(arguments: &Arguments) -> Result<PathBuf, String> {
    if arguments.files.is_empty() {
        let installed = PathBuf::from(CONTROL_SOCKET);
        return if installed.exists() {
            Ok(installed)
        } else {
            Err(format!(
                "there is no {CONTROL_SOCKET}, where the service listens while it runs: give the \
                 control socket with -S, or the configuration with -f"
            ))
        };
    }
    let loaded =
        config::read(&Sources::from_paths(arguments.files.iter().cloned())).map_err(|found| {
            let styled = std::io::IsTerminal::is_terminal(&std::io::stderr());
            format!(
                "the configuration is not valid (with -S it need not be read)\n{}",
                config::render(&found, styled).trim_end()
            )
        })?;
    loaded
        .config
        .process
        .control_socket
        .ok_or_else(|| "the configuration has no control_socket".to_owned())
}

fn change_directory(arguments: &Arguments) -> Result<(), String> {
    match &arguments.directory {
        Some(directory) => std::env::set_current_dir(directory)
            .map_err(|error| format!("cannot change to {}: {error}", directory.display())),
        None => Ok(()),
    }
}

/// Asked by a master that would execute us in its own place: whether we take its state and the
/// configuration.
fn check_state(arguments: &Arguments) -> Result<u8, String> {
    if let Some(number) = arguments.check_state {
        let _state = upgrade::handed_over(number)?;
    }
    Ok(check(arguments))
}

fn open_directory() -> Result<OwnedFd, String> {
    rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| format!("cannot open the working directory: {error}"))
}

/// Without a wrapper: nobody restarts us, and our end is the workers' end.
fn serve_alone(arguments: Arguments) -> Result<u8, String> {
    // First of all: nothing that others have written was read yet, and what comes works as it will after
    // any reload. Threads are started later and are confined with us.
    let sandbox = supervisors::confine(Supervisor::Master);
    // Before anything is opened: what is open now was inherited.
    let passed = Passed::own();
    let link = Link::alone().map_err(|error| format!("NOTIFY_SOCKET: {error}"))?;
    let left = Inheritance { passed, ..Inheritance::default() };
    serve(arguments, sandbox, link, left, None)
}

/// Under a wrapper, which may have kept what a former master had.
fn serve_wrapped(arguments: Arguments) -> Result<u8, String> {
    // As alone.
    let sandbox = supervisors::confine(Supervisor::Master);
    // Before anything is opened: its descriptor has a number that nothing else may get.
    let handed = arguments.state.map(upgrade::handed_over).transpose()?;
    let channel = sys::inherited(WRAPPER_FD)
        .map(Channel::from)
        .ok_or_else(|| format!("no wrapper at descriptor {WRAPPER_FD}"))?;
    let (link, start) =
        Link::to_wrapper(channel).map_err(|error| format!("the wrapper: {error}"))?;
    let mut left = Inheritance { signals: start.signals, ..Inheritance::default() };
    for (name, value, descriptor) in start.kept {
        left.keep(&name, &value, descriptor);
    }
    serve(arguments, sandbox, link, left, handed)
}

/// What a master finds when it starts.
#[derive(Debug, Default)]
struct Inheritance {
    passed: Passed,
    listeners: Table,
    memory: Left,
    registry: Option<OwnedFd>,
    accepted: Option<OwnedFd>,
    binary: Option<OwnedFd>,
    control: Option<Control>,
    living: Living,
    signals: Vec<(i32, u64)>,
}

impl Inheritance {
    /// Takes what was kept; what nobody knows is closed.
    fn keep(&mut self, name: &str, value: &[u8], descriptor: OwnedFd) {
        match name {
            ACCEPTED => self.accepted = Some(descriptor),
            REGISTRY => self.registry = Some(descriptor),
            BINARY => self.binary = Some(descriptor),
            CONTROL => {
                // One that left in order has taken the file away; nobody would find the socket.
                let there = |(path, file): &(PathBuf, FileId)| unix::is_at(path, *file);
                if let Some((path, file)) = postcard::from_bytes(value).ok().filter(there) {
                    self.control = Some(Control::adopt(path, file, descriptor));
                }
            }
            name if name.starts_with(listeners::NAME) => {
                self.listeners.adopt(name, value, descriptor);
            }
            name => {
                let rest = self.passed.keep(name, value, descriptor);
                let rest = rest.and_then(|descriptor| self.memory.keep(name, descriptor));
                let _unknown = rest.and_then(|one| self.living.keep(name, value, one));
            }
        }
    }
}

fn serve(
    arguments: Arguments,
    sandbox: Report,
    mut link: Link,
    left: Inheritance,
    handed: Option<Handover>,
) -> Result<u8, String> {
    let command_line = std::env::args_os().collect();
    let first = open_directory()?;
    change_directory(&arguments)?;
    let directories = (first, open_directory()?);
    if arguments.files.is_empty() {
        eprintln!(
            "portolan: no configuration is given: -f FILE; `portolan init` writes one to begin with"
        );
        return Ok(MISCONFIGURED);
    }
    let now = Instant::now();
    let log = Log::on_stderr(Zone::system());
    let binary = if let Some(binary) = left.binary {
        binary
    } else {
        let binary = open_program("portolan-worker")?;
        link.keep(BINARY.to_owned(), Vec::new(), binary.as_fd())
            .map_err(|error| format!("the wrapper cannot keep the worker's program: {error}"))?;
        binary
    };
    let accepted: Option<Accepted> = left.accepted.as_ref().and_then(unseal);
    let registry = left.registry.as_ref().and_then(unseal);
    // Memory of another version is left to its processes until they end; new ones begin anew.
    let adopted = SharedMemory::adopt(left.memory, registry).ok().flatten();
    let memory_kept = adopted.is_some();
    let memory = match adopted {
        Some(memory) => memory,
        None => SharedMemory::create().map_err(|error| format!("shared memory: {error}"))?,
    };
    let signals = Signals::new().map_err(|error| format!("signal handlers: {error}"))?;
    let mut master = Master {
        link,
        signals,
        log,
        binary: Rc::new(binary),
        last_generation: accepted.as_ref().map_or(0, |accepted| accepted.generation),
        follows: accepted.is_some(),
        last: accepted.as_ref().map(|accepted| accepted.last.clone()).unwrap_or_default(),
        accepted,
        memory_kept,
        passed: left.passed,
        listeners: left.listeners,
        memory,
        generations: std::collections::BTreeMap::new(),
        current: None,
        reading: None,
        candidate: None,
        workers: std::collections::BTreeMap::new(),
        next_worker: 1,
        pending: Vec::new(),
        orphans: Vec::new(),
        slots: Slots::default(),
        succession: Succession::default(),
        aides: Aides::default(),
        state: State::Booting { again: false },
        paused: false,
        failure: None,
        sandbox,
        reloads: (0, 0),
        control: left.control,
        waiting: Waiting::default(),
        questions: Questions::default(),
        obituaries: Obituaries::default(),
        facts: Facts::default(),
        clocks: Clocks::now(),
        captures: Captures::default(),
        check: None,
        is_fresh_image: false,
        command_line,
        directories,
        coalescer: Coalescer::default(),
        looks: Looks::new(now),
        chores_at: now,
        alive_at: now,
        since: now,
        status: String::new(),
        maxconn: 0,
        config: None,
        tally: Tally::default(),
        names: (None, None),
        exit_status: 0,
        stop_deadline: None,
        arguments,
    };
    for refused in master.sandbox.refused.clone() {
        master.say(LogLevel::Warning, &refused.warning());
    }
    if let Some(handed) = handed {
        master.adopt(handed, &left.living);
        drop(left.living);
        master.watch_orphans(now);
        master.state = State::Serving;
        master.input(Input::ReloadAsked, now);
    } else if master.adopt_living(left.living) {
        master.watch_orphans(now);
    } else {
        if master.accepted.is_some() {
            master.say(LogLevel::Notice, "Taking over what a former master had accepted");
        }
        master.watch_orphans(now);
        master.start_generation(now);
    }
    for (signal, at_ms) in left.signals {
        master.handle_signal(signal, Way::Relayed, at_ms, now);
    }
    Ok(master.run())
}

impl Master {
    /// The first generation serves: former processes may leave, and scripts may know our pid.
    pub fn first_ready(&mut self, config: &Config) {
        let finish = std::mem::take(&mut self.arguments.finish);
        let terminate = std::mem::take(&mut self.arguments.terminate);
        signal_all(&finish, rustix::process::Signal::USR1);
        signal_all(&terminate, rustix::process::Signal::TERM);
        self.write_pidfile(config);
    }

    /// The pid file that the configuration names.
    pub fn write_pidfile(&mut self, config: &Config) {
        let given = self.arguments.pidfile.is_some();
        let Some(path) = config.process.pidfile.as_deref() else { return };
        // The wrapper writes the one of the command line.
        if (!given || !self.link.is_wrapped())
            && let Err(error) = write_pidfile(path, self.link.main_pid())
        {
            self.say(LogLevel::Warning, &format!("pid file {}: {error}", path.display()));
        }
    }
}

impl Master {
    /// Whether nothing of ours is to stay open at the terminal.
    pub fn in_background(&self) -> bool {
        self.arguments.start == Start::Daemon
    }

    /// Whoever reads there (a pipe of a script, ssh) would wait for us.
    pub fn let_go_of_terminal(&mut self) {
        if let Err(error) = silence() {
            self.say(LogLevel::Warning, &format!("cannot let go of the terminal: {error}"));
        }
        self.log.reopen_stderr();
    }
}

fn silence() -> std::io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

fn signal_all(pids: &[i32], signal: rustix::process::Signal) {
    for pid in pids.iter().filter_map(|pid| rustix::process::Pid::from_raw(*pid)) {
        // One that has left already is what was wanted.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// One line, replaced in one step.
fn write_pidfile(path: &Path, pid: u32) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    std::fs::write(&temporary, format!("{pid}\n"))?;
    std::fs::rename(&temporary, path)
}

/// A program that lies beside ours.
pub fn sibling(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("our own path: {error}"))?;
    // After a package upgrade the kernel says so behind the name.
    let own = own.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
    Ok(Path::new(&own).with_file_name(name))
}

fn open_program(name: &str) -> Result<OwnedFd, String> {
    let path = sibling(name)?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| {
        let shown = path.display();
        format!(
            "cannot open {shown}: {error}; portolan, portolan-wrapper and portolan-worker lie in one \
             directory"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::pollers;

    #[test]
    fn a_poller_that_is_turned_off_is_shown_and_not_used() {
        let table = "epoll : pref=300,  test result OK\npoll : pref=200,  test result OK\n";
        let all = pollers(table, &[]);
        assert!(all.contains("      epoll : pref=300,  test result OK\n"), "{all}");
        assert!(all.contains("Total: 2 (2 usable), will use epoll."), "{all}");
        let some = pollers(table, &["epoll"]);
        assert!(some.contains("      epoll : pref=0,  test result OK\n"), "{some}");
        assert!(some.contains("Total: 2 (1 usable), will use poll."), "{some}");
        assert!(pollers("", &[]).contains("will use none"));
    }
}
