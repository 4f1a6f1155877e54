//! Signals, taken out of their handlers at once and read at one point of a main loop.
//!
//! Shell. signal-hook's handlers only set a bit and write a byte to a socket; [`Signals`] is the
//! readable end. Before [`Signals::new`] all of them are to be blocked ([`block_all`], first thing in
//! `main` and before every fork and exec), so that none kills a process whose handlers do not stand
//! yet; `new` unblocks them as its last act.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// Every signal that one of our processes handles.
pub const HANDLED: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTERM,
    Signal::SIGCHLD,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// The queue's readable end.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// Sets the handlers for `HANDLED`, ignores SIGPIPE, and unblocks them all.
    pub fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let numbers = HANDLED.map(|signal| signal as i32);
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, numbers)?;
        delivery.get_read().set_nonblocking(true)?;
        ignore_sigpipe()?;
        sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::all()), None)?;
        Ok(Self { delivery })
    }

    /// What has arrived since the last call, each kind once, in the order of their numbers.
    pub fn take(&mut self) -> Vec<Signal> {
        self.delivery.pending().filter_map(|number| Signal::try_from(number).ok()).collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

/// Blocks every signal that can be blocked; they stay pending, across exec too.
pub fn block_all() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?)
}

fn ignore_sigpipe() -> io::Result<()> {
    crate::sys::ignore_signal(Signal::SIGPIPE)
}
