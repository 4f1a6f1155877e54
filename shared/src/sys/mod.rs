//! Every unsafe operation of the project, each behind a safe function, one operation a block.
#![allow(unsafe_code, reason = "this module is their home")]

pub mod block;
pub mod command;
pub mod descriptors;
pub mod landlock;
pub mod listen;
pub mod poller;
pub mod spawn;
pub mod title;
pub mod trap;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::sys::signal::{SigHandler, Signal, signal};

/// Sets a signal to be ignored.
pub fn ignore_signal(which: Signal) -> io::Result<()> {
    // SAFETY: SIG_IGN installs no handler of ours, so no code runs in signal context.
    unsafe { signal(which, SigHandler::SigIgn) }?;
    Ok(())
}

/// Takes a descriptor that this process was started with (from its parent's table, by number).
///
/// `None` where nothing is open under this number. To be called at most once for a number, before
/// anything else could have been opened there: the callers are the mains, with fixed numbers.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    if number < 0 {
        return None;
    }
    // SAFETY: the descriptor is only asked for its flags while borrowed.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    let flags = rustix::io::fcntl_getfd(borrowed).ok()?;
    rustix::io::fcntl_setfd(borrowed, flags | rustix::io::FdFlags::CLOEXEC).ok()?;
    // SAFETY: it is open, and by this function's contract nobody else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor from this number on.
///
/// To be called once, first thing in a main that takes what it was given by fixed numbers below
/// ([`inherited`]): nothing else that is open belongs to anybody yet.
pub fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: by this function's contract nobody owns a descriptor from there on.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, 0)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Duplicates a descriptor that the configuration names by number (`fd@N`); an error where nothing
/// is open under it.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: the descriptor is only duplicated while borrowed; a number that is not open is an error
    // of the call, and no other thread of ours could close it meanwhile.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed, 3)?)
}
