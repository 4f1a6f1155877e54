//! Going into the background, with the caller waiting until the service is ready.
//!
//! Shell. The process splits; the one in front waits for a byte on a pipe (ready: exit 0) or for the
//! end of the other (its exit status), and passes signals on to it meanwhile, so that Ctrl-C ends a
//! start that takes too long.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use portolan_shared::signal::Signals;
use portolan_shared::sys::spawn;
use rustix::event::{PollFd, PollFlags, poll};

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Side {
    /// In front, and over: the exit status.
    Front(u8),
    /// In the background: to be told when the service is ready.
    Back(Announcer),
}

/// The background's end of the pipe.
#[derive(Debug)]
pub struct Announcer {
    pipe: OwnedFd,
}

impl Announcer {
    /// The service is ready: the process in front leaves, and we let go of its terminal.
    pub fn ready(self) -> io::Result<()> {
        silence()?;
        rustix::io::write(&self.pipe, b"r")?;
        Ok(())
    }
}

/// Splits; returns in the background at once, in front when that is ready or has ended. Called with
/// all signals blocked.
pub fn split() -> io::Result<Side> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    if let Some(child) = spawn::fork()? {
        drop(write);
        return Ok(Side::Front(wait(child, &read)?));
    }
    rustix::process::setsid()?;
    Ok(Side::Back(Announcer { pipe: write }))
}

fn wait(child: Pid, pipe: &OwnedFd) -> io::Result<u8> {
    let mut signals = Signals::new()?;
    loop {
        let mut ready = [PollFd::new(pipe, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let announced = !ready[0].revents().is_empty();
        for signal in signals.take() {
            if signal != Signal::SIGCHLD {
                // It exists until it is waited for, below.
                let _ = kill(child, signal);
            }
        }
        if announced {
            let mut byte = [0];
            let ready = rustix::io::read(pipe, &mut byte)? == 1;
            return if ready { Ok(0) } else { status_of(child) };
        }
    }
}

fn status_of(child: Pid) -> io::Result<u8> {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(status as u8),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32 as u8),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Standard input, output and error are nobody's any more.
fn silence() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
