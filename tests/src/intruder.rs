//! A process that is taken over: it makes the system calls that a test wants, as if whoever broke into it
//! made them.
//!
//! Shell. Nothing in the programs helps with this: the test stops a living process by ptrace(2), lets it
//! execute one `syscall` instruction of its own text with registers of the test's choice, and puts back
//! what was there. So the process that is tried is the one that serves.
//!
//! - After [`Intruder::leave`] (or when dropped) the process goes on where it was stopped: registers, the
//!   memory that arguments were laid in, and an interrupted system call.
//! - Children that it makes are ended before they have executed anything; a process that has executed a
//!   file is ended too.
//! - A call that does not come back within [`PATIENCE`] is interrupted.
//! - x86_64 only (elsewhere this module is not there), as root: ask [`possible`] first.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{self, user_regs_struct};
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::{processes, setup};

/// How long a call may take before it counts as one that waits.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Room for arguments at the low end of the stack, bytes.
const ROOM: u64 = 16 * 1024;
/// What a signal's frame and its handler may need between that and the top of the stack, bytes.
const DISTANCE: u64 = 48 * 1024;
/// Instructions of signal handlers that one call may take.
const STEPS_MAX: u32 = 2_000_000;

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded with this result.
    Done(i64),
    /// It failed.
    Failed(Errno),
    /// It ended the process, by this signal.
    Killed(Signal),
    /// It ended the process, with this status.
    Exited(i32),
    /// It made a child (which is gone again).
    Forked,
    /// It put another program into the place of the process (which is gone now).
    Executed,
    /// It had not come back after [`PATIENCE`].
    Waits,
}

impl Outcome {
    /// Whether the process is still there.
    pub fn survived(self) -> bool {
        !matches!(self, Self::Killed(_) | Self::Exited(_) | Self::Executed)
    }

    /// What it returned.
    ///
    /// # Panics
    /// When it did not succeed.
    pub fn value(self) -> i64 {
        match self {
            Self::Done(value) => value,
            other => panic!("{other}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(value) => write!(f, "done: {value}"),
            Self::Failed(error) => write!(f, "{error:?}"),
            Self::Killed(signal) => write!(f, "killed by {signal}"),
            Self::Exited(status) => write!(f, "exited with {status}"),
            Self::Forked => f.write_str("a child"),
            Self::Executed => f.write_str("another program"),
            Self::Waits => f.write_str("waits"),
        }
    }
}

/// An argument of a call.
#[derive(Clone, Debug)]
pub enum Arg {
    /// As it is.
    Is(i64),
    /// The address of these bytes.
    At(Vec<u8>),
}

impl Arg {
    /// The address of this text, ended by a zero byte.
    pub fn text(text: &str) -> Self {
        Self::At([text.as_bytes(), b"\0"].concat())
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        Self::Is(i64::from(number))
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Is(number)
    }
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        Self::Is(number as i64)
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

/// By which instruction the kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `syscall`.
    Native,
    /// `int 0x80`: the numbers of 32 bit.
    Interrupt,
}

impl Entry {
    fn bytes(self) -> [u8; 2] {
        match self {
            Self::Native => [0x0f, 0x05],
            Self::Interrupt => [0xcd, 0x80],
        }
    }
}

/// Whether this can be done here; where not, that is said.
pub fn possible() -> bool {
    if !setup::root() {
        setup::left_out("to take processes over, the tests need to run as root");
        return false;
    }
    true
}

/// A process that is stopped and in our hands.
#[derive(Debug)]
pub struct Intruder {
    pid: Pid,
    memory: File,
    saved: user_regs_struct,
    room: Range<u64>,
    /// What was there.
    saved_room: Vec<u8>,
    used: u64,
    entries: [Option<u64>; 2],
    gone: bool,
    /// A child that we have made it have: it is ended when we are done with it.
    condemned: bool,
    /// The next child is kept.
    child_wanted: bool,
    child: Option<Pid>,
}

impl Intruder {
    /// Takes over a process that the test has started (directly or not).
    ///
    /// # Panics
    /// When it cannot be stopped, or has no instruction or stack as expected.
    pub fn into(pid: i32) -> Self {
        let pid = Pid::from_raw(pid);
        let options = Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC;
        ptrace::seize(pid, options).unwrap_or_else(|error| panic!("seize {pid}: {error}"));
        ptrace::interrupt(pid).expect("an interruption");
        let stopped = Event::PTRACE_EVENT_STOP as i32;
        loop {
            match wait(pid).expect("a stop") {
                WaitStatus::PtraceEvent(_, _, event) if event == stopped => break,
                WaitStatus::Stopped(_, signal) => {
                    ptrace::cont(pid, signal).expect("it goes on with its signal");
                }
                WaitStatus::PtraceEvent(..) => ptrace::cont(pid, None).expect("it goes on"),
                other => panic!("{other:?} instead of a stop"),
            }
        }
        Self::of_stopped(pid, false)
    }

    fn of_stopped(pid: Pid, condemned: bool) -> Self {
        let saved = ptrace::getregs(pid).expect("its registers");
        let path = format!("/proc/{pid}/mem");
        let memory = File::options().read(true).write(true).open(path).expect("its memory");
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("its mappings");
        let maps: Vec<Mapping<'_>> = maps.lines().filter_map(Mapping::parse).collect();
        let stack = maps.iter().find(|one| one.name == "[stack]").expect("its stack");
        let room = stack.range.start..stack.range.start + ROOM;
        assert!(room.end + DISTANCE < saved.rsp, "its stack is too full");
        let mut saved_room = vec![0; ROOM as usize];
        memory.read_exact_at(&mut saved_room, room.start).expect("what is there");
        let find = |entry: Entry| {
            let mut executable = maps.iter().filter(|one| one.executable);
            executable.find_map(|one| one.find(&memory, entry.bytes()))
        };
        let entries = [find(Entry::Native), find(Entry::Interrupt)];
        let (used, gone, child_wanted, child) = (0, false, false, None);
        Self {
            pid,
            memory,
            saved,
            room,
            saved_room,
            used,
            entries,
            gone,
            condemned,
            child_wanted,
            child,
        }
    }

    /// A child of the process, confined as it is, for what would end the process. It is gone with what
    /// this answers.
    ///
    /// # Panics
    /// When the process can have none.
    #[must_use]
    pub fn child(&mut self) -> Self {
        self.child_wanted = true;
        let outcome = self.call(libc::SYS_fork, &[]);
        self.child_wanted = false;
        let child = self.child.take().unwrap_or_else(|| panic!("no child: {outcome}"));
        wait(child).expect("its first stop");
        Self::of_stopped(child, true)
    }

    /// Makes this system call.
    ///
    /// # Panics
    /// When the process is gone already, or there are more than six arguments.
    pub fn call(&mut self, number: i64, arguments: &[Arg]) -> Outcome {
        self.enter(Entry::Native, number, arguments)
    }

    /// The same by another door.
    ///
    /// # Panics
    /// As [`Intruder::call`], and where the process has no such instruction.
    pub fn enter(&mut self, entry: Entry, number: i64, arguments: &[Arg]) -> Outcome {
        let mark = self.used;
        let (end, stack) = self.prepare(entry, number, arguments);
        let outcome = self.step_to(end, stack);
        self.gone = !outcome.survived();
        self.used = mark;
        outcome
    }

    /// Makes a call that ends the process, without us: its parent is told how it has ended, which it is
    /// not where somebody traces it.
    ///
    /// # Panics
    /// As [`Intruder::enter`].
    pub fn end_with(mut self, entry: Entry, number: i64, arguments: &[Arg]) {
        self.prepare(entry, number, arguments);
        self.gone = true;
        ptrace::detach(self.pid, None).expect("its end");
    }

    /// Sets registers and memory for a call; where it has come to and with which stack when that is over.
    fn prepare(&mut self, entry: Entry, number: i64, arguments: &[Arg]) -> (u64, u64) {
        assert!(!self.gone, "the process is gone");
        let at = self.entries[entry as usize].expect("the instruction");
        let mut values = [0; 6];
        for (value, argument) in values.iter_mut().zip(arguments) {
            *value = match argument {
                Arg::Is(number) => *number as u64,
                Arg::At(bytes) => self.lay(bytes),
            };
        }
        let mut registers = self.saved;
        registers.rip = at;
        registers.rax = number as u64;
        // Not a system call that is to be begun again.
        registers.orig_rax = u64::MAX;
        match entry {
            Entry::Native => {
                [registers.rdi, registers.rsi, registers.rdx] = [values[0], values[1], values[2]];
                [registers.r10, registers.r8, registers.r9] = [values[3], values[4], values[5]];
            }
            Entry::Interrupt => {
                [registers.rbx, registers.rcx, registers.rdx] = [values[0], values[1], values[2]];
                [registers.rsi, registers.rdi, registers.rbp] = [values[3], values[4], values[5]];
            }
        }
        ptrace::setregs(self.pid, registers).expect("registers");
        (at + 2, registers.rsp)
    }

    /// Steps until the instruction is behind it, through the handlers of signals.
    fn step_to(&mut self, end: u64, stack: u64) -> Outcome {
        let (mut signal, mut forked, mut late) = (None, false, false);
        for _ in 0..STEPS_MAX {
            // Where somebody else has killed it meanwhile, its end is what comes next.
            let _ = ptrace::step(self.pid, signal.take());
            let status = wait(self.pid).or_else(|| {
                late = true;
                let _ = ptrace::interrupt(self.pid);
                wait(self.pid)
            });
            match status.expect("a stop") {
                WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
                // One that is ignored would let it go on behind the instruction.
                WaitStatus::Stopped(_, other) => signal = Some(other).filter(|_| self.minds(other)),
                WaitStatus::PtraceEvent(_, _, event) if is_birth(event) => {
                    forked = true;
                    let child = ptrace::getevent(self.pid).expect("the child's number");
                    let child = Pid::from_raw(child as i32);
                    if self.child_wanted {
                        self.child = Some(child);
                    } else {
                        bury(child);
                    }
                    // Still within the call: what it returns would be lost.
                    continue;
                }
                WaitStatus::PtraceEvent(_, _, event)
                    if event == Event::PTRACE_EVENT_EXEC as i32 =>
                {
                    kill(self.pid, Signal::SIGKILL).expect("the end of what it has become");
                    wait(self.pid).expect("its end");
                    return Outcome::Executed;
                }
                // In the middle of a call that waits, or before the interruption of one that is over.
                WaitStatus::PtraceEvent(..) => {}
                WaitStatus::Signaled(_, signal, _) => return Outcome::Killed(signal),
                WaitStatus::Exited(_, status) => return Outcome::Exited(status),
                other => panic!("{other:?} instead of a step"),
            }
            let Ok(registers) = ptrace::getregs(self.pid) else { continue };
            let is_over = (registers.rip, registers.rsp) == (end, stack) && signal.is_none();
            if is_over && !self.expects_signal() {
                let result = registers.rax as i64;
                return match result {
                    _ if late => Outcome::Waits,
                    -4095..=-1 => Outcome::Failed(Errno::from_raw(-result as i32)),
                    _ if forked => Outcome::Forked,
                    _ => Outcome::Done(result),
                };
            }
        }
        panic!("the call came to no end within {STEPS_MAX} instructions");
    }

    /// Whether this signal does anything to it.
    fn minds(&self, signal: Signal) -> bool {
        let set = |name| self.signals(name) & (1 << (signal as u32 - 1)) != 0;
        let harmless = [Signal::SIGCHLD, Signal::SIGURG, Signal::SIGWINCH, Signal::SIGCONT];
        set("SigCgt") || !(set("SigIgn") || harmless.contains(&signal))
    }

    /// Whether a signal has come that it has not taken yet.
    fn expects_signal(&self) -> bool {
        let come = self.signals("SigPnd") | self.signals("ShdPnd");
        come & !self.signals("SigBlk") != 0
    }

    fn signals(&self, name: &str) -> u64 {
        let set = processes::status(self.pid.as_raw(), name).unwrap_or_default();
        u64::from_str_radix(&set, 16).unwrap_or(0)
    }

    /// Lays bytes into the process's memory, for an argument that points at others; where they are.
    /// They stay there until [`Intruder::clear`].
    ///
    /// # Panics
    /// When there is no room left.
    pub fn lay(&mut self, bytes: &[u8]) -> u64 {
        let at = self.room.start + self.used;
        self.used += (bytes.len() as u64).next_multiple_of(16);
        assert!(self.used <= ROOM, "the arguments need more than {ROOM} bytes");
        self.memory.write_all_at(bytes, at).expect("its memory");
        at
    }

    /// Room for an answer: where it is.
    pub fn room(&mut self, length: usize) -> u64 {
        self.lay(&vec![0; length])
    }

    /// Makes the room of all arguments free again.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// What is in its memory.
    ///
    /// # Panics
    /// When there is none.
    pub fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, at).expect("its memory");
        bytes
    }

    /// Writes into its memory, as its own code could where that is writable.
    ///
    /// # Panics
    /// When there is none.
    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, at).expect("its memory");
    }

    /// Where its own text begins that it executes for a call: a page of it.
    ///
    /// # Panics
    /// When it has no such instruction.
    pub fn text(&self) -> u64 {
        self.entries[Entry::Native as usize].expect("the instruction") & !0xfff
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Ends it by SIGKILL; its parent is told once we have let go of what is left.
    pub fn kill(mut self) {
        self.gone = true;
        bury(self.pid);
    }

    /// Lets it go on where it was.
    pub fn leave(self) {
        drop(self);
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        if self.condemned {
            return bury(self.pid);
        }
        // Where one of these fails the process has been killed meanwhile.
        let _ = self.memory.write_all_at(&self.saved_room, self.room.start);
        let _ = ptrace::setregs(self.pid, self.saved);
        let _ = ptrace::detach(self.pid, None);
    }
}

/// Ends a child that one of ours has just made.
fn bury(child: Pid) {
    // It is ours to wait for: traced as its parent is, and stopped before its first instruction.
    let _ = kill(child, Signal::SIGKILL);
    loop {
        match wait(child) {
            Some(WaitStatus::Signaled(..) | WaitStatus::Exited(..)) | None => return,
            Some(_) => {}
        }
    }
}

/// The next stop or end; `None` when there is none for [`PATIENCE`].
fn wait(pid: Pid) -> Option<WaitStatus> {
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
    let end = Instant::now() + PATIENCE;
    for turn in 0_u64.. {
        match waitpid(pid, Some(flags)) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(status) => return Some(status),
            Err(Errno::EINTR) => continue,
            Err(_) => return None,
        }
        // A step takes microseconds.
        if turn < 200 {
            std::thread::yield_now();
        } else if Instant::now() > end {
            return None;
        } else {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    None
}

fn is_birth(event: i32) -> bool {
    let births = [Event::PTRACE_EVENT_FORK, Event::PTRACE_EVENT_VFORK, Event::PTRACE_EVENT_CLONE];
    births.into_iter().any(|birth| birth as i32 == event)
}

/// A line of `/proc/PID/maps`.
struct Mapping<'a> {
    range: Range<u64>,
    executable: bool,
    name: &'a str,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let executable = words.next()?.as_bytes().get(2) == Some(&b'x');
        let name = words.nth(3).unwrap_or_default();
        // The kernel's own page for old programs cannot be read.
        let executable = executable && name != "[vsyscall]";
        Some(Self { range: number(start)?..number(end)?, executable, name })
    }

    /// Where it has these bytes.
    fn find(&self, memory: &File, wanted: [u8; 2]) -> Option<u64> {
        let mut bytes = vec![0; (self.range.end - self.range.start) as usize];
        memory.read_exact_at(&mut bytes, self.range.start).ok()?;
        let at = memchr::memmem::find(&bytes, &wanted)?;
        Some(self.range.start + at as u64)
    }
}

#[cfg(test)]
mod tests;
