//! What a command inherits from us beyond what the standard library sets.
//!
//! Shell.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

/// The command is killed when this thread ends, however it ends.
///
/// That holds for the command itself, not for what it starts.
pub fn dies_with_us(command: &mut Command) {
    let parent = Pid::this();
    let tie = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // We may have died before that.
        if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    };
    // SAFETY: between fork and exec only prctl(2) and getppid(2) are called, both async-signal-safe;
    // nothing is allocated.
    unsafe { command.pre_exec(tie) };
}

/// The command has these limits at most, soft and hard, for good.
pub fn limited(command: &mut Command, limits: &'static [(Resource, u64)]) {
    let limit = move || {
        for (resource, limit) in limits {
            let (_, hard) = getrlimit(*resource)?;
            let limit = hard.min(*limit);
            setrlimit(*resource, limit, limit)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only getrlimit(2) and setrlimit(2) are called; nothing is allocated.
    unsafe { command.pre_exec(limit) };
}
