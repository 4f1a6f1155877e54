//! Ends of children and, because the wrapper is a subreaper, of their orphans.
//!
//! Shell. Nothing here waits, except [`kill_all`], which is the last act of a hard stop.
//!
//! - Processes of the set that another wrapper's master started are nobody's children here: they are known
//!   by pidfds that were kept.
//! - Foreign children are those that this process had before it became the wrapper (a shell's, whose
//!   last word was `exec`): they are reaped, but neither waited for nor killed.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use portolan_shared::process_stat::ProcessStat;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, wait};

/// How long killed children may take to go: the kernel may hold one in a call that cannot be broken.
const KILL_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks at whether they have gone.
const KILL_PAUSE: Duration = Duration::from_millis(2);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exited(u8),
    /// By this signal.
    Killed(u8),
    /// It was not our child.
    Unknown,
}

impl End {
    /// As wait(2) reports it (without the note of a core dump).
    pub fn raw(self) -> i32 {
        match self {
            Self::Exited(status) => i32::from(status) << 8,
            Self::Killed(signal) => i32::from(signal),
            Self::Unknown => 0,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Unknown => f.write_str("has ended"),
            Self::Killed(signal) => match nix::sys::signal::Signal::try_from(i32::from(*signal)) {
                Ok(name @ nix::sys::signal::Signal::SIGSYS) => {
                    write!(
                        f,
                        "was killed by {name}: it tried a system call for which its sandbox ends it"
                    )
                }
                Ok(name) => write!(f, "was killed by {name}"),
                Err(_) => write!(f, "was killed by signal {signal}"),
            },
        }
    }
}

/// The next child that has ended, if one has.
pub fn reap() -> Option<(i32, End)> {
    loop {
        let (pid, status) = match wait(WaitOptions::NOHANG) {
            Ok(ended) => ended?,
            Err(Errno::INTR) => continue,
            Err(_) => return None,
        };
        let pid = pid.as_raw_nonzero().get();
        if let Some(signal) = status.terminating_signal() {
            return Some((pid, End::Killed(signal as u8)));
        }
        if let Some(status) = status.exit_status() {
            return Some((pid, End::Exited(status as u8)));
        }
    }
}

/// The children that are there now, zombies included.
pub fn list() -> BTreeSet<i32> {
    let own = std::process::id() as i32;
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeSet::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| ProcessStat::of(*pid).is_some_and(|stat| stat.parent == own))
        .collect()
}

/// Whether the process behind a pidfd has ended.
pub fn has_ended(pidfd: impl AsFd) -> bool {
    let mut ready = [PollFd::new(&pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut ready, Some(&now)).is_ok() && !ready[0].revents().is_empty()
}

/// Kills and reaps every child that is not foreign, and what those leave behind; and these others.
pub fn kill_all(foreign: &BTreeSet<i32>, others: &[BorrowedFd<'_>]) {
    let end = Instant::now() + KILL_LIMIT;
    loop {
        while reap().is_some() {}
        let left: Vec<i32> = list().difference(foreign).copied().collect();
        let others: Vec<_> = others.iter().filter(|other| !has_ended(other)).collect();
        if (left.is_empty() && others.is_empty()) || Instant::now() >= end {
            return;
        }
        for pid in left {
            kill(pid);
        }
        for pidfd in others {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
        std::thread::sleep(KILL_PAUSE);
    }
}

/// A child's pid is its own until we reap it.
fn kill(pid: i32) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_said_as_wait_and_as_people_say_it() {
        assert_eq!(End::Exited(3).raw(), 0x300);
        assert_eq!(End::Killed(9).raw(), 9);
        assert_eq!(End::Killed(9).to_string(), "was killed by SIGKILL");
        assert_eq!(End::Exited(1).to_string(), "exited with status 1");
    }
}
