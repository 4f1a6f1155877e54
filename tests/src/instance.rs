//! A running Portolan: wrapper, master and workers.
//!
//! Shell. [`Portolan`] ends the whole tree when it is dropped, and prints what it said when the test
//! is failing.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::notify::Notices;
use crate::processes::{self, Process, Worker};
use crate::setup::{Setup, open_to_all};
use crate::{binaries, deadline, refusals};

/// How long an instance may take to end when it is told to at the end of a test.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Why an instance did not start.
#[derive(Debug)]
pub struct Failure {
    /// The wrapper's end; `None`: it was still running at the deadline.
    pub status: Option<ExitStatus>,
    /// What was printed on stderr.
    pub errors: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}\n{}", self.errors),
            None => write!(f, "not ready at the deadline\n{}", self.errors),
        }
    }
}

/// A running instance.
#[derive(Debug)]
pub struct Portolan {
    setup: Setup,
    child: Mutex<Child>,
    notices: Option<Notices>,
    wrapper: i32,
    /// Processes that had another wrapper, its master first if it had one.
    former: Vec<i32>,
    former_master: Option<i32>,
    refusals_expected: AtomicBool,
}

impl Portolan {
    /// An instance with the two default workers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(body: impl Into<String>) -> Self {
        Setup::new(body).start()
    }

    pub(crate) fn adopt(setup: Setup, child: Child, notices: Option<Notices>) -> Self {
        let wrapper = child.id() as i32;
        let child = Mutex::new(child);
        let (former, refusals_expected) = (Vec::new(), AtomicBool::new(false));
        Self { setup, child, notices, wrapper, former, former_master: None, refusals_expected }
    }

    /// Says that in this test the sandbox has something to refuse.
    pub fn expect_refusals(&self) {
        self.refusals_expected.store(true, Ordering::Relaxed);
    }

    /// Kills the wrapper.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill_wrapper(&mut self) {
        // Stopped, it starts nobody whom we would not know.
        processes::signal(self.wrapper, Signal::STOP);
        self.former_master = self.try_master();
        self.former = self.below();
        let mut child = self.child();
        // It exists until it is waited for, so the pid is still its own.
        child.kill().expect("the wrapper");
        child.wait().expect("the wrapper's end");
    }

    /// The service manager starts another wrapper, with what it has stored.
    pub fn start_wrapper(&mut self) {
        let child = self.setup.spawn_again(self.notices());
        self.wrapper = child.id() as i32;
        *self.child() = child;
    }

    /// Kills the wrapper, and the service manager starts another one, which says that it serves.
    pub fn replace_wrapper(&mut self) {
        let mark = self.notices().mark();
        self.kill_wrapper();
        self.start_wrapper();
        self.notices().wait(mark, &format!("MAINPID={}", self.wrapper));
    }

    /// Everything below the wrapper, and what other wrappers have left with what is below that.
    pub fn below(&self) -> Vec<i32> {
        let everything = processes::all();
        let is_there = |pid: &i32| everything.iter().any(|one| one.pid == *pid);
        let mut pids: Vec<i32> = self.former.iter().copied().filter(is_there).collect();
        let mut roots = [&[self.wrapper], pids.as_slice()].concat();
        while let Some(root) = roots.pop() {
            let children = everything.iter().filter(|one| one.parent == root).map(|one| one.pid);
            roots.extend(children.clone());
            pids.extend(children);
        }
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Every process of the instance that lives, the wrapper included.
    pub fn living(&self) -> Vec<i32> {
        let mut pids = self.below();
        pids.push(self.wrapper);
        pids.retain(|pid| processes::alive(*pid));
        pids
    }

    /// Waits until it serves or has left.
    ///
    /// # Panics
    /// When the wrapper cannot be waited for.
    pub fn settle(self) -> Result<Self, Failure> {
        let end = Instant::now() + deadline::LIMIT;
        loop {
            if let Some(status) = self.child().try_wait().expect("the wrapper") {
                return Err(Failure { status: Some(status), errors: self.errors() });
            }
            if self.serves() {
                return Ok(self);
            }
            if Instant::now() > end {
                return Err(Failure { status: None, errors: self.errors() });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the first generation is ready: said by sd_notify, else by the pid file.
    ///
    /// (The names below are those of an instance under its wrapper; one that was launched without has
    /// its master in the wrapper's place.)
    fn serves(&self) -> bool {
        match &self.notices {
            Some(notices) => notices.count(0, "READY=1") > 0,
            None => fs::read_to_string(self.pidfile()).is_ok_and(|text| !text.trim().is_empty()),
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("the wrapper's handle")
    }

    /// What it was started with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// A file in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.setup.file(name)
    }

    /// Its pid file.
    pub fn pidfile(&self) -> PathBuf {
        self.file("portolan.pid")
    }

    /// What sd_notify said.
    ///
    /// # Panics
    /// When it was started without.
    pub fn notices(&self) -> &Notices {
        self.notices.as_ref().expect("an instance with NOTIFY_SOCKET")
    }

    /// What it printed on stderr so far.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.file("stderr")).unwrap_or_default()
    }

    /// What it printed on stdout so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.file("stdout")).unwrap_or_default()
    }

    /// Waits until stderr contains this.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_error(&self, text: &str) -> String {
        deadline::eventually(&format!("{text:?} on stderr"), || {
            let errors = self.errors();
            errors.lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// The wrapper's pid.
    pub fn wrapper(&self) -> i32 {
        self.wrapper
    }

    /// The master's pid, when there is one.
    pub fn try_master(&self) -> Option<i32> {
        if let Some(master) = self.former_master.filter(|pid| processes::alive(*pid)) {
            return Some(master);
        }
        let children = processes::children(self.wrapper);
        // Whoever lost its parent is the wrapper's child too.
        let aide = |one: &Process| {
            ["portolan: checker", "portolan: runner"].iter().any(|aide| one.title.starts_with(aide))
        };
        // One that has ended has no title, and is no child any more once the wrapper has looked.
        let lives = |one: &Process| one.state != 'Z' && !one.title.is_empty();
        let is_master =
            |one: &&Process| lives(one) && processes::worker(one).is_none() && !aide(one);
        children.iter().find(is_master).map(|one| one.pid)
    }

    /// The master's pid.
    ///
    /// # Panics
    /// When there is none within the limit.
    pub fn master(&self) -> i32 {
        deadline::eventually("a master", || self.try_master())
    }

    /// All living workers, of all generations, by slot.
    pub fn all_workers(&self) -> Vec<Worker> {
        let mut workers: Vec<Worker> = self
            .below()
            .into_iter()
            .filter_map(processes::process)
            .filter(|one| one.state != 'Z')
            .filter_map(|one| processes::worker(&one))
            .collect();
        workers.sort_by_key(|one| (one.generation, one.slot));
        workers
    }

    /// The workers that are not stopping.
    pub fn workers(&self) -> Vec<Worker> {
        self.all_workers().into_iter().filter(|one| !one.stopping).collect()
    }

    /// The number of the newest generation.
    ///
    /// # Panics
    /// When there is no worker within the limit.
    pub fn generation(&self) -> u32 {
        deadline::eventually("a worker", || {
            self.all_workers().iter().map(|one| one.generation).max()
        })
    }

    /// Waits until all slots are taken by running workers of one generation, and returns them.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn whole(&self) -> Vec<Worker> {
        deadline::eventually("a whole set of workers", || {
            let mut workers = self.workers();
            // An older one that has not heard yet that it retires does not say so either.
            let newest = workers.iter().map(|one| one.generation).max()?;
            workers.retain(|one| one.generation == newest);
            let slots: Vec<u32> = workers.iter().map(|one| one.slot).collect();
            let wanted = workers.first()?.slots;
            (slots == (1..=wanted).collect::<Vec<_>>()).then_some(workers)
        })
    }

    /// Waits until no worker of an older generation than the newest is left.
    ///
    /// # Panics
    /// When one stays.
    pub fn only_newest(&self) -> Vec<Worker> {
        deadline::eventually("the end of old generations", || {
            let workers = self.all_workers();
            let newest = workers.iter().map(|one| one.generation).max()?;
            workers.iter().all(|one| one.generation == newest).then_some(workers)
        })
    }

    /// Puts another configuration in the place of the present one, `[global]` unchanged.
    pub fn configure(&self, body: &str) {
        self.replace_configuration(&self.setup.configuration_with(body));
    }

    /// Puts this text in the place of the present configuration.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn replace_configuration(&self, text: &str) {
        let fresh = self.file("portolan.toml.new");
        fs::write(&fresh, text).expect("the new configuration");
        open_to_all(&fresh);
        fs::rename(&fresh, self.file("portolan.toml")).expect("the new configuration in its place");
    }

    /// `portolan COMMAND…` with this instance's control socket.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn command(&self, words: &[&str]) -> Output {
        let mut command = std::process::Command::new(binaries::path("portolan"));
        command.args(words).arg("-S").arg(self.file("control.sock"));
        command.stdin(Stdio::null()).output().expect("the program")
    }

    /// `portolan reload`, which has to succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn reload(&self) {
        let output = self.command(&["reload"]);
        assert!(output.status.success(), "reload: {output:?}\n{}", self.errors());
    }

    /// `portolan reload`, which has to fail: what it said.
    ///
    /// # Panics
    /// When it succeeds.
    pub fn reload_fails(&self) -> String {
        let output = self.command(&["reload"]);
        assert_eq!(output.status.code(), Some(1), "reload: {output:?}\n{}", self.errors());
        String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout)
    }

    /// Sends a signal to the wrapper.
    pub fn signal(&self, signal: Signal) {
        assert!(processes::signal(self.wrapper, signal), "the wrapper is gone");
    }

    /// Sends a signal to every process of the instance at once, as `systemctl kill` does.
    pub fn signal_all(&self, signal: Signal) {
        let mut pids = self.below();
        pids.push(self.wrapper);
        for pid in pids {
            // One may have left since it was listed.
            processes::signal(pid, signal);
        }
    }

    /// The wrapper's exit status, if it has one.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("the wrapper")
    }

    /// Waits for the wrapper's end.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_exit(&self) -> ExitStatus {
        deadline::eventually("the wrapper's end", || self.exited())
    }

    /// Whether the wrapper runs.
    pub fn running(&self) -> bool {
        self.exited().is_none()
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.setup.directory.path()
    }

    /// Everything that belongs to this instance: below the wrapper, and of its process group.
    fn tree(&self) -> Vec<i32> {
        let mut pids = self.below();
        let everything = processes::all();
        pids.extend(
            everything
                .iter()
                .filter(|one| one.group == self.wrapper && one.state != 'Z')
                .map(|one| one.pid),
        );
        pids.sort_unstable();
        pids.dedup();
        pids
    }
}

impl Drop for Portolan {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of the instance\n{}---", self.errors());
            for one in processes::descendants(self.wrapper) {
                eprintln!("{one:?}");
            }
            if let Some(notices) = &self.notices {
                eprintln!("sd_notify: {:?}", notices.all());
            }
        }
        let mut known = self.tree();
        let child = self.child.get_mut().expect("the wrapper's handle");
        if matches!(child.try_wait(), Ok(None)) {
            processes::signal(self.wrapper, Signal::TERM);
            let end = Instant::now() + END_LIMIT;
            while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if matches!(child.try_wait(), Ok(None)) {
                // It exists until it is waited for, so the pid is still its own.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        known.extend(self.tree());
        for pid in known {
            if pid != self.wrapper
                && processes::process(pid).is_some_and(|one| one.title.contains("portolan"))
            {
                processes::signal(pid, Signal::KILL);
            }
        }
        if !self.refusals_expected.load(Ordering::Relaxed) {
            refusals::expect_none(self.errors().lines());
        }
    }
}
