//! Starting one of our own programs from a descriptor that was pinned to it, and replacing ourselves.
//!
//! Shell. The executable is named by descriptor only (execveat with an empty path), so that what
//! starts is the file that was opened, whatever a package upgrade has put in its place since.
//!
//! - Every signal is blocked from before the fork until the new program unblocks them itself; none
//!   is lost, none kills it before its handlers stand. What is ignored stays ignored.
//! - The child has standard input, output and error, the descriptors of [`Spawn::map`], and nothing
//!   else: close-on-exec is set on all others.
//! - Between fork and exec only async-signal-safe calls happen: no allocation, no lock, no unwinding.
//! - A failed exec is an error of [`spawn`], with the child reaped.
//!
//! The kernel derives the short process name from the descriptor's number up to Linux 6.13: programs
//! that care set it themselves (`prctl` `PR_SET_NAME`).

use std::ffi::{CStr, CString, OsString, c_char};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{ForkResult, Pid};

/// The child's exit status where it could not execute (as a shell's); nobody but us sees it.
const EXEC_FAILED: i32 = 127;

/// What to start, and what it is given.
#[derive(Clone, Copy, Debug)]
pub struct Spawn<'a> {
    /// The program, opened with `O_PATH` or for reading; close-on-exec may be set (an ELF file).
    pub exe: BorrowedFd<'a>,
    /// Its arguments, the zeroth included.
    pub argv: &'a [CString],
    /// Its environment, `NAME=value`; see [`environment`].
    pub env: &'a [CString],
    /// Descriptors it is given, each under a fixed number (0, 1 and 2 included).
    pub map: &'a [(BorrowedFd<'a>, RawFd)],
    /// Whether its standard input is /dev/null rather than ours.
    pub null_stdin: bool,
}

/// A process that we started and have not waited for.
#[derive(Debug)]
pub struct Child {
    /// Its pid, ours to signal until it is waited for.
    pub pid: Pid,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
}

/// Forks and executes; returns when the new program runs, or with the reason why it does not.
pub fn spawn(what: &Spawn<'_>) -> io::Result<Child> {
    let null = if what.null_stdin { Some(File::open("/dev/null")?) } else { None };
    let mut map = Vec::with_capacity(what.map.len() + 1);
    map.extend(what.map.iter().map(|(from, to)| (from.as_raw_fd(), *to)));
    map.extend(null.iter().map(|file| (file.as_raw_fd(), 0)));
    let image = Image::new(what.exe, what.argv, what.env);
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;

    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: the child calls only `become_program`, which keeps to async-signal-safe calls and never
    // returns.
    let forked = unsafe { nix::unistd::fork() };
    if let Ok(ForkResult::Child) = forked {
        become_program(&image, &mut map, write.as_raw_fd());
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    let Ok(ForkResult::Parent { child: pid }) = forked else {
        return Err(forked.err().map_or_else(io::Error::last_os_error, io::Error::from));
    };

    drop(write);
    match failure(&read) {
        None => {
            let raw = rustix::process::Pid::from_raw(pid.as_raw()).ok_or(io::ErrorKind::Other)?;
            let flags = rustix::process::PidfdFlags::empty();
            match rustix::process::pidfd_open(raw, flags) {
                Ok(pidfd) => Ok(Child { pid, pidfd }),
                Err(error) => {
                    // Without a pidfd nobody could watch it: it must not live on unwatched.
                    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                    reap(pid);
                    Err(error.into())
                }
            }
        }
        Some(error) => {
            reap(pid);
            Err(error)
        }
    }
}

/// Replaces this process by the program behind `exe`, same pid; returns only with the reason why not.
///
/// Descriptors with close-on-exec are closed by it; signals are to be blocked by the caller
/// (`signal::block_all`).
pub fn reexec(exe: BorrowedFd<'_>, argv: &[CString], env: &[CString]) -> io::Error {
    Image::new(exe, argv, env).execute(exe.as_raw_fd())
}

/// Splits this process in two; `Some` with the child's pid in the parent.
///
/// An error when there is more than one thread: the child would have lost the others and whatever
/// they had locked.
pub fn fork() -> io::Result<Option<Pid>> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads cannot be split"));
    }
    // SAFETY: this is the only thread, so that the child finds nothing locked or half done.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Sets close-on-exec on every descriptor from `first` on.
pub fn cloexec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: only flags of descriptors change, which every owner of one expects to be set.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Those variables of our environment that `keep` names, in the form that [`Spawn::env`] wants.
pub fn environment(keep: impl Fn(&str) -> bool) -> Vec<CString> {
    std::env::vars_os()
        .filter(|(name, _)| keep(&name.to_string_lossy()))
        .filter_map(|(name, value)| {
            let mut pair: OsString = name;
            pair.push("=");
            pair.push(value);
            CString::new(pair.into_vec()).ok()
        })
        .collect()
}

/// The pointers that execveat wants, prepared before the fork, which may not allocate after it.
struct Image<'a> {
    exe: RawFd,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    borrowed: std::marker::PhantomData<&'a CStr>,
}

impl<'a> Image<'a> {
    fn new(exe: BorrowedFd<'a>, argv: &'a [CString], env: &'a [CString]) -> Self {
        let pointers = |strings: &[CString]| {
            strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (argv, env) = (pointers(argv), pointers(env));
        Self { exe: exe.as_raw_fd(), argv, env, borrowed: std::marker::PhantomData }
    }

    /// `exe` is the descriptor, which the child of a fork has moved.
    fn execute(&self, exe: RawFd) -> io::Error {
        let (argv, env) = (self.argv.as_ptr(), self.env.as_ptr());
        // SAFETY: both arrays end in a null pointer and their strings outlive `self` by its lifetime;
        // the path is a constant C string.
        unsafe {
            libc::syscall(libc::SYS_execveat, exe, c"".as_ptr(), argv, env, libc::AT_EMPTY_PATH)
        };
        io::Error::last_os_error()
    }
}

/// In the child: puts the descriptors in place and executes, or tells the parent why not.
fn become_program(image: &Image<'_>, map: &mut [(RawFd, RawFd)], report: RawFd) -> ! {
    let mut report = report;
    let error = prepare(image, map, &mut report).map_or_else(|e| e, |exe| image.execute(exe));
    let number = error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes();
    // SAFETY: the bytes live on our stack; four of them are atomic on a pipe.
    unsafe { libc::write(report, number.as_ptr().cast(), number.len()) };
    // SAFETY: ends this process at once, without handlers or destructors of the parent's program.
    unsafe { libc::_exit(EXEC_FAILED) }
}

/// Moves everything above the wanted numbers first, so that no source is overwritten by a target.
/// Returns where the executable is now; `report` follows its pipe.
fn prepare(image: &Image<'_>, map: &mut [(RawFd, RawFd)], report: &mut RawFd) -> io::Result<RawFd> {
    let above = map.iter().map(|(_, to)| *to).max().unwrap_or(2).max(2) + 1;
    *report = duplicate_above(*report, above)?;
    let exe = duplicate_above(image.exe, above)?;
    for (from, _) in map.iter_mut() {
        *from = duplicate_above(*from, above)?;
    }
    match cloexec_from(3) {
        // A kernel or a filter without the call: our own descriptors all carry the flag anyway.
        Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => {
            return Err(error);
        }
        _ => {}
    }
    for (from, to) in map.iter() {
        // SAFETY: this process is about to become another program: nothing owns the target's number.
        if unsafe { libc::dup2(*from, *to) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(exe)
}

fn duplicate_above(number: RawFd, above: RawFd) -> io::Result<RawFd> {
    // SAFETY: makes a new descriptor and touches no memory; the parent's owners of `number` live in
    // another process now.
    let moved = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, above) };
    if moved < 0 { Err(io::Error::last_os_error()) } else { Ok(moved) }
}

/// What the child reported before it gave up; `None`: the pipe was closed by a successful exec.
fn failure(read: &OwnedFd) -> Option<io::Error> {
    let mut number = [0; size_of::<i32>()];
    loop {
        match rustix::io::read(read.as_fd(), &mut number) {
            Ok(length) if length == number.len() => {
                return Some(io::Error::from_raw_os_error(i32::from_ne_bytes(number)));
            }
            Ok(_) => return None,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Some(error.into()),
        }
    }
}

fn reap(pid: Pid) {
    while nix::sys::wait::waitpid(pid, None) == Err(nix::errno::Errno::EINTR) {}
}

#[cfg(test)]
mod tests;
