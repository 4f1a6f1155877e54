//! The wrapper under test with masters that do what the test tells them (the program `fake-master`).
//!
//! Shell. The wrapper and the fake lie in a directory of their own, as siblings; each master that the
//! wrapper starts connects to the test and is then a [`FakeMaster`]. Everything ends with the rig.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::notify::Notices;
use crate::{binaries, deadline, processes};

/// A wrapper, its files, and the door at which its masters knock.
#[derive(Debug)]
pub struct Rig {
    directory: tempfile::TempDir,
    masters: UnixListener,
    notices: Option<Notices>,
    wrapper: Option<Child>,
    /// Processes below wrappers that were killed.
    former: Vec<i32>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// One master, as the test sees it.
#[derive(Debug)]
pub struct FakeMaster {
    lines: BufReader<UnixStream>,
    /// Its pid.
    pub pid: i32,
    /// Which file it runs.
    pub program: u64,
    /// The rest of how it introduced itself.
    pub started_with: String,
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    /// Nothing runs yet.
    ///
    /// # Panics
    /// When the files cannot be put in place.
    pub fn new() -> Self {
        // What the test was started with is not to be inherited by the wrapper.
        portolan_shared::sys::spawn::cloexec_from(3).expect("close-on-exec");
        let directory = tempfile::tempdir().expect("a directory");
        let programs = directory.path().join("bin");
        fs::create_dir(&programs).expect("a directory for the programs");
        let socket = directory.path().join("masters.sock");
        let masters = UnixListener::bind(&socket).expect("a socket for the masters");
        let rig = Self {
            directory,
            masters,
            notices: None,
            wrapper: None,
            former: Vec::new(),
            arguments: Vec::new(),
            environment: vec![("FAKE_MASTER_SOCKET".into(), socket.display().to_string())],
        };
        rig.replace_wrapper();
        rig.replace_master();
        rig
    }

    /// A new copy of the wrapper in the place of the old one.
    pub fn replace_wrapper(&self) {
        binaries::replace(&binaries::path("portolan-wrapper"), &self.program("portolan-wrapper"));
    }

    /// A new copy of the fake in the place of the old one: another file, as its number tells.
    ///
    /// # Panics
    /// When it is not there afterwards.
    pub fn replace_master(&self) -> u64 {
        let fake = binaries::directory().join("fake-master");
        binaries::replace(&fake, &self.program("portolan"));
        fs::metadata(self.program("portolan")).expect("the fake").ino()
    }

    /// One of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.path().join("bin").join(name)
    }

    /// A file of the rig.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// One more argument for the wrapper.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One more variable for the wrapper.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// With a service manager that listens.
    #[must_use]
    pub fn notified(mut self) -> Self {
        let socket = self.file("notify.sock");
        self.notices = Some(Notices::listen(&socket));
        self.variable("NOTIFY_SOCKET", &socket.display().to_string())
    }

    /// What the service manager was told.
    ///
    /// # Panics
    /// When there is none.
    pub fn notices(&self) -> &Notices {
        self.notices.as_ref().expect("a rig that is notified")
    }

    /// The wrapper's command line.
    ///
    /// # Panics
    /// When the file for its messages cannot be made.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program("portolan-wrapper"));
        self.prepare(&mut command);
        command
    }

    /// What a command that becomes the wrapper is given.
    ///
    /// # Panics
    /// When the file for its messages cannot be made.
    pub fn prepare(&self, command: &mut Command) {
        let errors = File::options().create(true).append(true).open(self.file("stderr"));
        let errors = errors.expect("a file for its messages");
        command.args(&self.arguments).stdin(Stdio::null()).stderr(errors).process_group(0);
        for name in ["NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }

    /// Starts the wrapper, and what it starts: the first master.
    pub fn start(&mut self) -> FakeMaster {
        self.start_alone();
        self.master()
    }

    /// Starts the wrapper.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_alone(&mut self) {
        let command = self.command();
        self.start_as(command);
    }

    /// Starts this command, which becomes the wrapper.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_as(&mut self, mut command: Command) {
        // Orphans of a killed wrapper become children of the test and stay in reach.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
        self.wrapper = Some(command.spawn().expect("the wrapper"));
    }

    /// Kills the wrapper.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(&mut self) {
        self.former.extend(processes::descendants(self.pid()).iter().map(|one| one.pid));
        self.signal(Signal::KILL);
        self.wait_exit();
    }

    /// The service manager starts another wrapper, with what it has stored.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_again(&mut self) {
        let mut command = Command::new(binaries::path("activate"));
        command.arg(self.program("portolan-wrapper"));
        self.prepare(&mut command);
        command.stdin(self.notices().give_back());
        self.start_as(command);
    }

    /// The next master that knocks.
    ///
    /// # Panics
    /// When none comes.
    pub fn master(&self) -> FakeMaster {
        self.try_master(deadline::LIMIT).unwrap_or_else(|| panic!("no master\n{}", self.errors()))
    }

    /// The next master, if one knocks within this time.
    ///
    /// # Panics
    /// When the door is broken.
    pub fn try_master(&self, within: std::time::Duration) -> Option<FakeMaster> {
        let mut ready = [PollFd::new(&self.masters, PollFlags::IN)];
        let timeout = Timespec::try_from(within).expect("a timeout");
        if poll(&mut ready, Some(&timeout)).expect("poll") == 0 {
            return None;
        }
        let (stream, _) = self.masters.accept().expect("a master");
        stream.set_read_timeout(Some(deadline::LIMIT)).expect("a read timeout");
        let mut master = FakeMaster {
            lines: BufReader::new(stream),
            pid: 0,
            program: 0,
            started_with: String::new(),
        };
        let introduction = master.line();
        let words: Vec<&str> = introduction.splitn(4, ' ').collect();
        assert_eq!(words[0], "start", "{introduction}");
        master.pid = words[1].parse().expect("a pid");
        master.program = words[2].parse().expect("a file's number");
        words[3].clone_into(&mut master.started_with);
        Some(master)
    }

    /// The wrapper's pid.
    ///
    /// # Panics
    /// When it was not started.
    pub fn pid(&self) -> i32 {
        self.wrapper.as_ref().expect("a wrapper").id() as i32
    }

    /// Sends a signal to the wrapper.
    pub fn signal(&self, signal: Signal) {
        assert!(processes::signal(self.pid(), signal), "the wrapper is gone");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let errors = self.errors();
        let wrapper = self.wrapper.as_mut().expect("a wrapper");
        deadline::eventually(&format!("the wrapper's end\n{errors}"), || {
            wrapper.try_wait().expect("the wrapper")
        })
    }

    /// Its exit status.
    ///
    /// # Panics
    /// When it does not end, or by a signal.
    pub fn exit_code(&mut self) -> i32 {
        self.wait_exit().code().expect("an exit by itself")
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// When it was not started.
    pub fn runs(&mut self) -> bool {
        self.wrapper.as_mut().expect("a wrapper").try_wait().expect("the wrapper").is_none()
    }

    /// What it printed.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.file("stderr")).unwrap_or_default()
    }

    /// Waits until it has printed this.
    pub fn wait_error(&self, text: &str) {
        self.wait_errors(text, 1);
    }

    /// Waits until it has printed this so often.
    pub fn wait_errors(&self, text: &str, count: usize) {
        let what = format!("{count} times {text:?} on stderr");
        deadline::until(&what, || self.errors().matches(text).count() >= count);
    }

    /// Waits until it no longer dies of a signal: its main function has begun.
    pub fn wait_blocked(&self) {
        let holds = |mask: &str| {
            let mask = processes::status(self.pid(), mask)?;
            let usr2 = 1 << (Signal::USR2.as_raw() - 1);
            Some(u64::from_str_radix(&mask, 16).ok()? & usr2 != 0)
        };
        deadline::until("blocked or handled signals", || {
            holds("SigBlk") == Some(true) || holds("SigCgt") == Some(true)
        });
    }

    /// The content of a pid file, without its line end.
    pub fn pid_in(path: &Path) -> Option<i32> {
        let text = fs::read_to_string(path).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of the wrapper\n{}---", self.errors());
        }
        let Some(wrapper) = &mut self.wrapper else { return };
        let pid = wrapper.id() as i32;
        let mut below = processes::descendants(pid);
        below.extend(self.former.iter().filter_map(|pid| processes::process(*pid)));
        if matches!(wrapper.try_wait(), Ok(None)) {
            // It exists until it is waited for, so the pid is still its own.
            let _ = wrapper.kill();
            let _ = wrapper.wait();
        }
        for one in below {
            let same = processes::process(one.pid).is_some_and(|now| now.title == one.title);
            if same {
                processes::signal(one.pid, Signal::KILL);
            }
        }
    }
}

impl FakeMaster {
    /// The next line that it says.
    ///
    /// # Panics
    /// When none comes.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let length = self.lines.read_line(&mut line).expect("a line of the master");
        assert!(length > 0, "the master {} is gone", self.pid);
        line.trim_end().to_owned()
    }

    /// Its lines up to this one.
    ///
    /// # Panics
    /// When it does not come.
    pub fn until(&mut self, line: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let next = self.line();
            if next == line {
                return before;
            }
            before.push(next);
        }
    }

    /// Its next line has to be this.
    ///
    /// # Panics
    /// When it is not.
    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Gives it an order, which it carries out before this returns.
    ///
    /// # Panics
    /// When it is gone.
    pub fn order(&mut self, order: &str) -> Vec<String> {
        self.order_last(order);
        let done = format!("done {}", order.split(' ').next().unwrap_or_default());
        self.until(&done)
    }

    /// Gives it an order that it does not survive, or not as it was.
    ///
    /// # Panics
    /// When it is gone.
    pub fn order_last(&mut self, order: &str) {
        writeln!(self.lines.get_mut(), "{order}").expect("a master to order");
    }

    /// Another wrapper asks who it is; what was kept for it, and the question's number.
    ///
    /// # Panics
    /// When it does not ask.
    pub fn asked(&mut self, by: i32) -> (Vec<String>, u64) {
        let mut kept = Vec::new();
        loop {
            let line = self.line();
            if let Some(question) = line.strip_prefix("adopt ") {
                let (nonce, pid) = question.split_once(' ').expect("a number and a pid");
                assert_eq!(pid.parse(), Ok(by));
                return (kept, nonce.parse().expect("a number"));
            }
            if line.starts_with("kept ") {
                kept.push(line);
            }
        }
    }

    /// Greeted and ready; what was kept for it.
    pub fn serve(&mut self) -> Vec<String> {
        let kept = self.until("kept-all");
        self.order("ready 1");
        kept
    }

    /// Whether it has left.
    ///
    /// # Panics
    /// When it still talks.
    pub fn wait_gone(&mut self) {
        let mut line = String::new();
        // A reset is an end too.
        let length = self.lines.read_line(&mut line).unwrap_or(0);
        assert_eq!(length, 0, "the master {} says {line}", self.pid);
    }
}
