//! The commands that run and those that wait for it.
//!
//! Shell: starts, watches (by pidfd) and kills processes.
//!
//! - A command is the leader of a process group of its own; whatever ends it, the whole group is
//!   killed before its leader is waited for, so that no number can belong to somebody else by then.
//! - Its deadline counts from when it was asked for, so that one who waits too long has timed out too.
//! - Nothing is inherited: standard input, output and error are /dev/null, the directory is `/`.
//!
//! Limits: [`RUNNING_MAX`] at once; how many may wait is the runner's to say. Of each command: [`LIMITS`].

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::resource::Resource;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use portolan_shared::message::runner::{CommandEnd, FromRunner};
use portolan_shared::sys;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::environment::Told;
use crate::clock::Millis;

/// Most commands at once: so many processes that only wait cost little, and a slow script checking
/// hundreds of servers does not fill the process table.
pub const RUNNING_MAX: usize = 64;

/// Bytes of a file that a command may write: notes to its next run, not an archive.
const FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Descriptors of a command.
const DESCRIPTORS: u64 = 256;
/// Seconds of computing: a check asks and compares. Whoever runs wild is ended even where its own timeout is
/// a day.
const COMPUTING_S: u64 = 60;
/// Processes of its user, ours and all others' included, beyond which a command starts none: a bound to what
/// a script can do that starts itself. It does not hold for root.
const PROCESSES: u64 = 4096;

/// What a command may use, beside what the runner's sandbox leaves it.
const LIMITS: &[(Resource, u64)] = &[
    (Resource::RLIMIT_CORE, 0),
    (Resource::RLIMIT_FSIZE, FILE_BYTES),
    (Resource::RLIMIT_NOFILE, DESCRIPTORS),
    (Resource::RLIMIT_CPU, COMPUTING_S),
    (Resource::RLIMIT_NPROC, PROCESSES),
];

/// One command that is to run.
#[derive(Debug)]
pub struct Request {
    /// The checker's number for it.
    pub id: u64,
    /// What to run.
    pub command: PathBuf,
    /// With what.
    pub told: Told,
    /// When it is killed.
    pub deadline: Millis,
}

#[derive(Debug)]
struct Running {
    id: u64,
    child: Child,
    pidfd: OwnedFd,
    deadline: Millis,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Commands {
    waiting: VecDeque<Request>,
    running: Vec<Running>,
}

impl Commands {
    /// Asks for a command; what can be said at once is answered.
    pub fn ask(&mut self, request: Request) -> Option<FromRunner> {
        if self.running.len() < RUNNING_MAX {
            return self.start(&request);
        }
        self.waiting.push_back(request);
        None
    }

    /// Nobody wants to know any more.
    pub fn cancel(&mut self, id: u64) {
        self.waiting.retain(|request| request.id != id);
        if let Some(at) = self.running.iter().position(|running| running.id == id) {
            end(self.running.swap_remove(at));
        }
    }

    /// All of them, at once.
    pub fn cancel_all(&mut self) {
        self.waiting.clear();
        for running in self.running.drain(..) {
            end(running);
        }
    }

    /// What has ended by itself or by its deadline; those who waited are started instead.
    pub fn look(&mut self, now: Millis) -> Vec<FromRunner> {
        let mut over = Vec::new();
        for running in self
            .running
            .extract_if(.., |running| running.deadline <= now || has_ended(running.pidfd.as_fd()))
        {
            let id = running.id;
            let by_itself = has_ended(running.pidfd.as_fd());
            let status = end(running);
            let end = if by_itself { end_of(status) } else { CommandEnd::TimedOut };
            over.push(FromRunner::Ended { id, end });
        }
        let late = |request: &Request| request.deadline <= now;
        for request in self.waiting.iter().filter(|request| late(request)) {
            over.push(FromRunner::Ended { id: request.id, end: CommandEnd::TimedOut });
        }
        self.waiting.retain(|request| !late(request));
        while self.running.len() < RUNNING_MAX {
            let Some(request) = self.waiting.pop_front() else { break };
            over.extend(self.start(&request));
        }
        over
    }

    /// When [`Self::look`] has something to do for certain.
    pub fn next_deadline(&self) -> Option<Millis> {
        let running = self.running.iter().map(|running| running.deadline);
        running.chain(self.waiting.iter().map(|request| request.deadline)).min()
    }

    /// Readable when one has ended.
    pub fn watched(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.running.iter().map(|running| running.pidfd.as_fd())
    }

    /// How many run, how many wait.
    pub fn len(&self) -> (usize, usize) {
        (self.running.len(), self.waiting.len())
    }

    fn start(&mut self, request: &Request) -> Option<FromRunner> {
        match spawn(request) {
            Ok((child, pidfd)) => {
                let Request { id, deadline, .. } = *request;
                self.running.push(Running { id, child, pidfd, deadline });
                None
            }
            Err(error) => Some(FromRunner::Ended { id: request.id, end: not_started(&error) }),
        }
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.cancel_all();
    }
}

fn spawn(request: &Request) -> io::Result<(Child, OwnedFd)> {
    let mut command = Command::new(&request.command);
    command
        .args(&request.told.arguments)
        .env_clear()
        .envs(request.told.variables.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    sys::command::dies_with_us(&mut command);
    sys::command::limited(&mut command, LIMITS);
    let mut child = command.spawn()?;
    let pidfd = rustix::process::Pid::from_raw(child.id() as i32)
        .ok_or(Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    match pidfd {
        Ok(pidfd) => Ok((child, pidfd)),
        Err(error) => {
            // Without a pidfd its end would not be seen.
            let _ = child.kill();
            let _ = child.wait();
            Err(error.into())
        }
    }
}

/// What an error says that came instead of a command.
fn not_started(error: &io::Error) -> CommandEnd {
    let reason = error.to_string();
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => {
            CommandEnd::Lacking { reason }
        }
        _ => CommandEnd::NotStarted { reason },
    }
}

/// Whether it has ended; it stays to be waited for.
fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::PidFd(pidfd), look), Ok(None) | Err(Errno::INTR))
}

/// Kills what is left of its group, then waits for it, which takes no time.
fn end(mut running: Running) -> Option<ExitStatus> {
    // Its leader was not waited for, so the group's number is still its own.
    let _ = killpg(Pid::from_raw(running.child.id() as i32), Signal::SIGKILL);
    running.child.wait().ok()
}

fn end_of(status: Option<ExitStatus>) -> CommandEnd {
    let Some(status) = status else {
        return CommandEnd::NotStarted { reason: "its end was not seen".to_owned() };
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => CommandEnd::Exited(code),
        (None, signal) => CommandEnd::Killed(signal.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests;
