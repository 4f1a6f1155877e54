//! A reload that finds another program on the disk: the master executes it in its own place.
//!
//! Shell.
//!
//! ```text
//! reload asked ► another program? ► it is asked, as a child, whether it takes state and configuration
//!      no ► the reload goes on here           no ► the reload fails, nothing has changed
//!                                            yes ► everything is kept and acknowledged ► Upgrading
//!                                                  ► exec ► the new program adopts the workers
//!                                                  ► its reload: Ready, UpgradeWrapper
//! ```
//!
//! - Before the exec only the child has run; it has no effect beyond its exit status and its words.
//! - A worker that was not ready yet is ended by the new program and started anew.
//! - If the new program fails its reload, the generation that it adopted serves on.
//! - Alone (`-d`) there is nobody who would start the old program again: there it is not done.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use portolan_shared::channel::Channel;
use portolan_shared::memory::LAYOUT;
use portolan_shared::message::wrapper::ToWrapper;
use portolan_shared::model::LogLevel;
use portolan_shared::sandbox::environment::is_for_our_successor;
use portolan_shared::signal::block_all;
use portolan_shared::sys::{self, spawn};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};
use rustix::io::FdFlags;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::generation::Generation;
use crate::handover::{HandedClient, HandedGeneration, HandedWorker, Handover};
use crate::master::Master;
use crate::start::sibling;
use crate::state::State;
use crate::worker::Worker;

/// The child finds the state under this number.
const STATE_FD: i32 = 4;
/// Most bytes of what a refusing program says that are passed on.
const WORDS_MAX: usize = 4096;
/// What the wrapper grants beyond `start_timeout`: for reading what was kept and stopping the rest.
const DEADLINE_SPARE: Duration = Duration::from_secs(5);
/// How long orders to workers may take to leave before the exec.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// Which file a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, u64),
}

impl Identity {
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            changed: (stat.st_mtime, stat.st_mtime_nsec),
        }
    }

    /// Of a path; `None` where there is nothing.
    pub fn at(path: &Path) -> Option<Self> {
        rustix::fs::stat(path).ok().as_ref().map(Self::of)
    }

    /// Of an open file.
    pub fn open(file: impl AsFd) -> Option<Self> {
        rustix::fs::fstat(file).ok().as_ref().map(Self::of)
    }
}

/// A new program that is asked, and then executed.
#[derive(Debug)]
pub struct Check {
    program: OwnedFd,
    child: spawn::Child,
    /// What it says.
    words: File,
    deadline: Instant,
    /// It has agreed; what is left is the wrapper's acknowledgement.
    agreed: bool,
}

impl Check {
    /// Readable when the child has ended.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        (!self.agreed).then(|| self.child.pidfd.as_fd())
    }

    /// When it must have answered.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Its exit status, and what it said.
    fn result(&mut self) -> (bool, String) {
        let child = WaitId::PidFd(self.child.pidfd.as_fd());
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = rustix::process::waitid(child, options).ok().flatten();
        let agreed = status.is_some_and(|status| status.exit_status() == Some(0));
        let mut words = Vec::new();
        // Words that cannot be read are missed, no more.
        let _ = self.words.rewind();
        let _ = (&self.words).take(WORDS_MAX as u64).read_to_end(&mut words);
        (agreed, String::from_utf8_lossy(&words).trim().to_owned())
    }

    fn end(mut self) {
        let _ = rustix::process::pidfd_send_signal(&self.child.pidfd, Signal::KILL);
        let child = WaitId::PidFd(self.child.pidfd.as_fd());
        let _ = rustix::process::waitid(child, WaitIdOptions::EXITED);
        self.agreed = false;
    }
}

impl Master {
    /// Whether this reload goes on in another program; if so it is asked now.
    pub fn begin_check(&mut self, now: Instant) -> Result<bool, String> {
        if !self.link.is_wrapped() || self.current.is_none() || self.is_fresh_image {
            return Ok(false);
        }
        let path = sibling("portolan")?;
        let running = Identity::at(Path::new("/proc/self/exe"));
        let Some(found) = Identity::at(&path).filter(|found| Some(*found) != running) else {
            return Ok(false);
        };
        let program = open(&path)?;
        if Identity::open(&program) != Some(found) {
            return Err(format!("{} changes while it is opened", path.display()));
        }
        let words = memory_file()?;
        let state = memory_file()?;
        (&state)
            .write_all(&self.handover().encode()?)
            .map_err(|error| format!("storing the state: {error}"))?;
        let argv = arguments(&self.command_line, &["--check-state", &STATE_FD.to_string()])?;
        let env = spawn::environment(is_for_our_successor);
        let what = spawn::Spawn {
            exe: program.as_fd(),
            argv: &argv,
            env: &env,
            map: &[(words.as_fd(), 1), (words.as_fd(), 2), (state.as_fd(), STATE_FD)],
            null_stdin: true,
        };
        let child = self
            .in_first_directory(|| spawn::spawn(&what))
            .and_then(|spawned| spawned)
            .map_err(|error| format!("cannot execute {}: {error}", path.display()))?;
        self.say(LogLevel::Notice, &format!("{} has changed: trying it", path.display()));
        let timeout = self.current().map_or(DEADLINE_SPARE, |current| current.terms.start_timeout);
        let deadline = now + timeout;
        self.check = Some(Check { program, child, words, deadline, agreed: false });
        Ok(true)
    }

    /// The child has ended.
    pub fn handle_check(&mut self, now: Instant) {
        let Some(check) = self.check.as_mut().filter(|check| !check.agreed) else { return };
        let (agreed, words) = check.result();
        if agreed {
            check.agreed = true;
            self.proceed_upgrade(now);
        } else {
            self.check = None;
            let line = words.lines().last().unwrap_or("no reason given").to_owned();
            let text = format!(
                "the new program refuses: {}",
                if words.is_empty() { &line } else { &words }
            );
            self.fail_with(&format!("the new program refuses: {line}"), &text, now);
        }
    }

    /// Ends a check that takes too long.
    pub fn expire_check(&mut self, now: Instant) {
        if self.check.as_ref().is_some_and(|check| check.deadline <= now) {
            self.abandon_check();
            let line = "the new program did not answer in time";
            self.fail_with(line, line, now);
        }
    }

    /// The instance stops, or the check is too late.
    pub fn abandon_check(&mut self) {
        if let Some(check) = self.check.take().filter(|check| !check.agreed) {
            check.end();
        }
    }

    /// Executes the program that has agreed, once the wrapper has everything.
    pub fn proceed_upgrade(&mut self, now: Instant) {
        let ready = self.check.as_ref().is_some_and(|check| check.agreed)
            && self.link.has(self.link.sent())
            && self.pending.is_empty();
        if !ready || !matches!(self.state, State::Reloading { .. }) {
            return;
        }
        let Some(check) = self.check.take() else { return };
        // Returns only where it did not come to it.
        let error = self.execute(&check.program);
        self.tell(&ToWrapper::UpgradeAbandoned);
        let line = format!("the new program cannot be executed: {error}");
        self.fail_with(&line, &line, now);
    }

    fn execute(&mut self, program: &OwnedFd) -> String {
        self.flush_workers();
        let timeout = self.current().map_or(DEADLINE_SPARE, |current| current.terms.start_timeout);
        let deadline_ms = (timeout + DEADLINE_SPARE).as_millis() as u64;
        self.log.finish(FLUSH_MAX);
        let prepared = self.handover().encode().and_then(|bytes| {
            let state = memory_file()?;
            (&state).write_all(&bytes).map_err(|error| format!("storing the state: {error}"))?;
            let argv = arguments(&self.command_line, &["--state", &state.as_raw_fd().to_string()])?;
            Ok((state, argv))
        });
        let (state, argv) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return error,
        };
        if let Err(error) = self.link.say(&ToWrapper::Upgrading { deadline_ms }) {
            return error.to_string();
        }
        if let Err(error) = self.flush_link() {
            return error;
        }
        let env = spawn::environment(is_for_our_successor);
        if let Err(error) = block_all() {
            return error.to_string();
        }
        for signal in self.signals.take() {
            // Taken and not looked at: it waits, blocked, for the next program.
            let _ = nix::sys::signal::raise(signal);
        }
        self.keep_open(&state, true);
        let error = self
            .in_first_directory(|| spawn::reexec(program.as_fd(), &argv, &env))
            .unwrap_or_else(|error| error);
        self.keep_open(&state, false);
        if let Err(error) = nix::sys::signal::sigprocmask(
            nix::sys::signal::SigmaskHow::SIG_UNBLOCK,
            Some(&nix::sys::signal::SigSet::all()),
            None,
        ) {
            self.say(LogLevel::Alert, &format!("signals stay blocked: {error}"));
        }
        error.to_string()
    }

    /// Does this in the directory that we were started in: `-C` is obeyed again by who is started there.
    fn in_first_directory<T>(&self, act: impl FnOnce() -> T) -> std::io::Result<T> {
        let (first, own) = &self.directories;
        rustix::process::fchdir(first)?;
        let done = act();
        rustix::process::fchdir(own)?;
        Ok(done)
    }

    /// Sets or clears close-on-exec on what the next program is handed.
    fn keep_open(&self, state: &File, open: bool) {
        let flags = if open { FdFlags::empty() } else { FdFlags::CLOEXEC };
        let of_workers =
            self.workers.values().flat_map(|worker| [worker.pidfd.as_fd(), worker.channel.as_fd()]);
        let of_clients =
            self.control.iter().flat_map(|control| control.clients().map(|(_, stream, ..)| stream));
        let channel = self.link.channel().map(AsFd::as_fd);
        for descriptor in of_workers.chain(of_clients).chain(channel).chain([state.as_fd()]) {
            // One that cannot be kept open is missed by the next program, which ends its worker.
            let _ = rustix::io::fcntl_setfd(descriptor, flags);
        }
    }

    /// Orders that wait for a busy worker go out first; the next program does not know of them.
    fn flush_workers(&mut self) {
        let end = Instant::now() + FLUSH_MAX;
        loop {
            for worker in self.workers.values_mut() {
                if worker.channel.flush().is_err() {
                    worker.mute = true;
                }
            }
            let waiting = |worker: &Worker| !worker.mute && worker.channel.wants_write();
            if !self.workers.values().any(waiting) || Instant::now() >= end {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn flush_link(&mut self) -> Result<(), String> {
        let end = Instant::now() + FLUSH_MAX;
        while self.link.channel().is_some_and(Channel::wants_write) {
            self.link.flush().map_err(|error| error.to_string())?;
            if Instant::now() >= end {
                return Err("the wrapper does not read".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Everything the next program must know.
    fn handover(&self) -> Handover {
        let now = Instant::now();
        Handover {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            layout: LAYOUT,
            current: self.current.unwrap_or(0),
            last_generation: self.last_generation,
            generations: self.generations.values().map(|one| self.hand_generation(one)).collect(),
            workers: self.workers.values().map(|worker| self.hand_worker(worker, now)).collect(),
            clients: self.hand_clients(),
            reloads: self.reloads,
            maxconn: self.maxconn,
            paused: self.paused,
            age_ms: millis(self.since.elapsed()),
        }
    }

    /// A generation as a successor is told of it.
    pub fn hand_generation(&self, generation: &Generation) -> HandedGeneration {
        let name = |socket: &Rc<OwnedFd>| {
            self.listeners.name(socket).or_else(|| self.passed.name(socket)).unwrap_or_default()
        };
        HandedGeneration {
            number: generation.number,
            slots: generation.slots,
            aides: generation.aides.clone(),
            configuration: generation.configuration.to_vec(),
            aide_configuration: (generation.aide_configuration != generation.configuration)
                .then(|| generation.aide_configuration.to_vec()),
            sockets: generation.sockets.iter().map(|(e, socket)| (*e, name(socket))).collect(),
            used: generation.used.clone(),
            logs: generation.endpoints.clone(),
            terms: generation.terms,
        }
    }

    fn hand_worker(&self, worker: &Worker, now: Instant) -> HandedWorker {
        let successor = self.succession.successor(worker.id).and_then(|id| self.workers.get(&id));
        HandedWorker {
            pid: worker.pid,
            pidfd: worker.pidfd.as_raw_fd(),
            channel: worker.channel.as_fd().as_raw_fd(),
            role: worker.role,
            generation: worker.generation,
            slot: worker.slot,
            lane: worker.lane,
            phase: worker.phase,
            age_ms: millis(now - worker.since),
            version: worker.version.clone(),
            streams: worker.streams,
            short: worker.short,
            stop_in_ms: worker.stop_deadline.map(|at| millis(at.saturating_duration_since(now))),
            hands_over: worker.hands_over,
            successor: successor.map(|worker| worker.lane),
            reloads: worker.reloads,
        }
    }

    fn hand_clients(&self) -> Vec<HandedClient> {
        let waits = |id| self.waiting.now.contains(&id) || self.waiting.next.contains(&id);
        self.control.iter().flat_map(|control| control.hand_over(waits)).collect()
    }

    /// After a generation was promoted: the wrapper is told where its program has changed too.
    pub fn upgrade_wrapper(&mut self) {
        self.is_fresh_image = false;
        if !self.link.is_wrapped() {
            return;
        }
        let running = Identity::at(Path::new(&format!("/proc/{}/exe", self.link.main_pid())));
        let found = sibling("portolan-wrapper").ok().and_then(|path| Identity::at(&path));
        if running.is_some() && found.is_some() && running != found {
            self.say(
                LogLevel::Notice,
                "The wrapper's program has changed: asking it to take it up",
            );
            self.tell(&ToWrapper::UpgradeWrapper);
        }
    }

    /// The worker's program for a new generation: the pinned one, or another that lies there now.
    pub fn worker_program(&self) -> Result<Rc<OwnedFd>, String> {
        let path = sibling("portolan-worker")?;
        let pinned = Identity::open(&*self.binary);
        // Where nothing lies there, an installation is going on, or something is gone: not ours to
        // judge, the pinned one works.
        match Identity::at(&path) {
            Some(found) if Some(found) != pinned && self.current.is_some() => {
                Ok(Rc::new(open(&path)?))
            }
            _ => Ok(Rc::clone(&self.binary)),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Our own arguments with these behind them, without those of a former exec.
fn arguments(own: &[OsString], more: &[&str]) -> Result<Vec<CString>, String> {
    let mut kept = Vec::new();
    let mut rest = own.iter();
    while let Some(argument) = rest.next() {
        if argument == "--state" {
            let _number = rest.next();
        } else {
            kept.push(argument.clone());
        }
    }
    // Before any `--`, behind which everything is a file.
    let end = kept.iter().position(|argument| argument == "--").unwrap_or(kept.len());
    kept.splice(end..end, more.iter().map(OsString::from));
    kept.into_iter()
        .map(|argument| CString::new(argument.into_vec()).map_err(|error| error.to_string()))
        .collect()
}

fn open(path: &Path) -> Result<OwnedFd, String> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| format!("cannot open {}: {error}", path.display()))
}

fn memory_file() -> Result<File, String> {
    memfd_create("portolan-state", MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(|error| format!("cannot store a state: {error}"))
}

/// The state behind a descriptor that this program was started with.
pub fn handed_over(number: i32) -> Result<Handover, String> {
    let descriptor = sys::inherited(number).ok_or_else(|| format!("no state at {number}"))?;
    let mut file = File::from(descriptor);
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .map_err(|error| format!("the state: {error}"))?;
    Handover::decode(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::arguments;

    #[test]
    fn arguments_of_a_former_exec_are_replaced_and_files_stay_last() {
        let own = ["portolan", "--wrapper-channel", "-q", "--state", "7", "--", "a.toml"];
        let own: Vec<OsString> = own.into_iter().map(OsString::from).collect();
        let all = arguments(&own, &["--state", "9"]).expect("no zero bytes");
        let all: Vec<&str> = all.iter().map(|one| one.to_str().expect("text")).collect();
        let expected = ["portolan", "--wrapper-channel", "-q", "--state", "9", "--", "a.toml"];
        assert_eq!(all, expected);
    }
}
