//! What a test says about the instance it wants, and how that is started.
//!
//! Shell.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::instance::{Failure, Portolan};
use crate::notify::Notices;
use crate::section::log_target;
use crate::syslog::Syslog;
use crate::{Poller, binaries};

/// The number of `nobody` and `nogroup` on Debian.
pub const NOBODY: u32 = 65_534;

/// How many workers, unless a test says otherwise.
const WORKERS: &str = "2";

/// An instance that is not started yet.
#[derive(Debug)]
pub struct Setup {
    /// Its directory: configuration, sockets, pid file, what it printed.
    pub directory: TempDir,
    globals: Vec<(String, String)>,
    body: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    programs: Option<PathBuf>,
    launcher: String,
    user: Option<u32>,
    descriptors: Option<u64>,
    inherited: Option<(i32, OwnedFd)>,
    shell: String,
    notify: bool,
    stored: usize,
}

impl Setup {
    /// The sections of the configuration besides `[global]`.
    ///
    /// # Panics
    /// When no directory can be made.
    pub fn new(body: impl Into<String>) -> Self {
        let directory =
            tempfile::Builder::new().prefix("portolan-").tempdir().expect("a directory");
        open_to_all(directory.path());
        let control = quoted(&directory.path().join("control.sock"));
        Self {
            directory,
            globals: vec![
                ("workers".to_owned(), WORKERS.to_owned()),
                ("control_socket".to_owned(), control),
            ],
            body: body.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            programs: None,
            launcher: "portolan-wrapper".to_owned(),
            user: None,
            descriptors: None,
            inherited: None,
            shell: String::new(),
            notify: true,
            stored: 0,
        }
    }

    /// The sections once more, when they need the directory's name.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// One key of `[global]`, its value in TOML.
    #[must_use]
    pub fn global(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.globals.retain(|(one, _)| one != key);
        self.globals.push((key.to_owned(), value.to_string()));
        self
    }

    /// What happens is told to this daemon.
    #[must_use]
    pub fn events(self, daemon: &Syslog) -> Self {
        let target = log_target(&daemon.target(), "");
        self.global("log", format!("[{target}]"))
    }

    /// How many workers.
    #[must_use]
    pub fn workers(self, count: u16) -> Self {
        self.global("workers", count)
    }

    /// What the workers wait with. (select cannot watch more than 1,024 descriptors.)
    #[must_use]
    pub fn poller(self, poller: Poller) -> Self {
        let limited = if poller == Poller::Select { self.descriptors(1024) } else { self };
        poller.flags().into_iter().fold(limited, Self::argument)
    }

    /// One more argument of the wrapper.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// The programs of this directory instead of the built ones.
    #[must_use]
    pub fn programs(mut self, directory: &Path) -> Self {
        self.programs = Some(directory.to_path_buf());
        self
    }

    /// Started by this program instead of the wrapper.
    #[must_use]
    pub fn launcher(mut self, program: &str) -> Self {
        program.clone_into(&mut self.launcher);
        self
    }

    /// Started by this user (and group) number.
    #[must_use]
    pub fn user(mut self, number: u32) -> Self {
        self.user = Some(number);
        self
    }

    /// Soft and hard limit of descriptors.
    #[must_use]
    pub fn descriptors(mut self, limit: u64) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// Started with this descriptor open under this number, 4 to 9.
    #[must_use]
    pub fn inherited(mut self, number: i32, descriptor: OwnedFd) -> Self {
        self.inherited = Some((number, descriptor));
        self
    }

    /// A line of shell that runs in the process that then becomes the wrapper.
    #[must_use]
    pub fn shell(mut self, line: &str) -> Self {
        line.clone_into(&mut self.shell);
        self
    }

    /// Without NOTIFY_SOCKET.
    #[must_use]
    pub fn unsupervised(mut self) -> Self {
        self.notify = false;
        self
    }

    /// With a service manager that stores so many descriptors.
    #[must_use]
    pub fn stored(mut self, most: usize) -> Self {
        self.stored = most;
        self
    }

    /// A file in the instance's directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The whole configuration as text.
    pub fn configuration(&self) -> String {
        self.configuration_with(&self.body)
    }

    pub fn configuration_with(&self, body: &str) -> String {
        let mut text = "[global]\n".to_owned();
        for (key, value) in &self.globals {
            writeln!(text, "{key} = {value}").expect("a string takes everything");
        }
        text + "\n" + body
    }

    /// The directory with the programs.
    pub fn program_directory(&self) -> PathBuf {
        self.programs.clone().unwrap_or_else(binaries::directory)
    }

    /// A command that runs one of the programs with the limits, user and environment asked for.
    pub(crate) fn command(&mut self, program: &str) -> Command {
        let path = self.program_directory().join(program);
        let mut script = String::new();
        if let Some(limit) = self.descriptors {
            write!(script, "ulimit -n {limit} || exit 99; ").expect("a string takes everything");
        }
        if !self.shell.is_empty() {
            script.push_str(&self.shell);
            script.push_str("; ");
        }
        let inherited = self.inherited.take();
        let redirection = inherited
            .as_ref()
            .map(|(number, _)| format!(" {number}<&0 0</dev/null"))
            .unwrap_or_default();
        let mut command = if script.is_empty() && redirection.is_empty() {
            Command::new(&path)
        } else {
            let mut command = Command::new("/bin/bash");
            command.arg("-c").arg(format!("{script}exec \"$0\" \"$@\"{redirection}")).arg(&path);
            command
        };
        match inherited {
            Some((_, descriptor)) => command.stdin(Stdio::from(descriptor)),
            None => command.stdin(Stdio::null()),
        };
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC"]
        {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Writes the configuration and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self) -> PathBuf {
        let path = self.file("portolan.toml");
        fs::write(&path, self.configuration()).expect("the configuration");
        open_to_all(&path);
        path
    }

    /// Starts the wrapper and waits until the instance serves.
    ///
    /// # Panics
    /// When it does not; what it printed is shown.
    pub fn start(self) -> Portolan {
        self.try_start().unwrap_or_else(|failure| panic!("Portolan did not start: {failure}"))
    }

    /// Starts the wrapper and waits until the instance serves or has left.
    pub fn try_start(self) -> Result<Portolan, Failure> {
        self.spawn().settle()
    }

    /// Starts the wrapper and does not wait.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn spawn(mut self) -> Portolan {
        let config = self.write();
        let notices = self.notify.then(|| Notices::listen(&self.file("notify.sock")));
        if let Some(notices) = &notices {
            notices.store(self.stored);
        }
        let pidfile = self.file("portolan.pid");
        let mut command = self.command(&self.launcher.clone());
        command.arg("-f").arg(&config).arg("-p").arg(&pidfile).args(&self.arguments);
        if notices.is_some() {
            command.env("NOTIFY_SOCKET", self.file("notify.sock"));
        }
        let output = |name: &str| {
            let path = self.file(name);
            // Wrappers may follow each other: all of them append.
            let file = File::options().create(true).append(true).open(&path);
            let file = file.expect("a file for what it prints");
            open_to_all(&path);
            file
        };
        command.stdout(output("stdout")).stderr(output("stderr")).process_group(0);
        // Orphans of a killed wrapper become children of the test and stay in reach.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
        let child = command.spawn().expect("the wrapper");
        Portolan::adopt(self, child, notices)
    }

    /// Starts another wrapper of the same instance, as its service manager does, with what that has stored.
    pub(crate) fn spawn_again(&self, notices: &Notices) -> Child {
        let mut command = Command::new(binaries::path("activate"));
        command.arg(self.program_directory().join(&self.launcher));
        command.arg("-f").arg(self.file("portolan.toml"));
        command.arg("-p").arg(self.file("portolan.pid")).args(&self.arguments);
        for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC"] {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("NOTIFY_SOCKET", self.file("notify.sock")).stdin(notices.give_back());
        let more = |name: &str| {
            File::options().append(true).open(self.file(name)).expect("a file for what it prints")
        };
        command.stdout(more("stdout")).stderr(more("stderr")).process_group(0);
        command.spawn().expect("another wrapper")
    }
}

/// A TOML string of a path.
pub fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// Lets every user in: tests run parts as `nobody`.
///
/// # Panics
/// When it cannot be changed.
pub fn open_to_all(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o777)).expect("permissions");
}

/// Says that a part of a test is left out, and why. Where `PORTOLAN_SKIP_NOTHING` is set (the project's
/// own CI sets it) that is a failure.
///
/// # Panics
/// There.
pub fn left_out(why: &str) {
    assert!(std::env::var_os("PORTOLAN_SKIP_NOTHING").is_none(), "left out: {why}");
    eprintln!("left out: {why}");
}

/// Whether the tests run as root.
pub fn root() -> bool {
    rustix::process::geteuid().is_root()
}
