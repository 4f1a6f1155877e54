//! The wrapper's own upgrade: its new binary is tried as a child, then executed in place.
//!
//! Shell. Same pid, same children, same descriptors; the master notices nothing. If anything fails
//! the old wrapper goes on and says so.
//!
//! - Signals are blocked before the last ones are taken: what comes later is pending across the exec.
//! - Nothing may wait in the channel's outbox, which is not carried over.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use portolan_shared::sandbox::environment::is_for_our_successor;
use portolan_shared::signal;
use portolan_shared::sys::spawn::{self, Child, Spawn};
use rustix::process::{Signal, pidfd_send_signal};

use super::Wrapper;
use crate::arguments::{CHECK, STATE};
use crate::children::End;
use crate::core::{Input, State};
use crate::log;
use crate::master::Master;
use crate::programs::{self, strings};
use crate::saved::{self, More, Saved, SavedKept};
use crate::timers::Timer;

/// How long the new binary may take to read a state.
const TRIAL_LIMIT: Duration = Duration::from_secs(10);
/// Where it finds the state when it is tried.
const TRIAL_STATE: i32 = 3;

/// The new binary, running to say whether it understands our state.
#[derive(Debug)]
pub struct Trial {
    child: Child,
    program: OwnedFd,
}

impl Trial {
    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.child.pid.as_raw()
    }

    /// The program that was tried.
    pub fn into_program(self) -> OwnedFd {
        self.program
    }
}

impl Wrapper {
    pub(super) fn try_new_wrapper(&mut self) {
        match self.begin_trial() {
            Ok(trial) => {
                self.trial = Some(trial);
                self.timers.set(Timer::Trial, Instant::now() + TRIAL_LIMIT);
            }
            Err(error) => go_on_as_is(&error),
        }
    }

    fn begin_trial(&self) -> io::Result<Trial> {
        if self.trial.is_some() {
            return Err(io::Error::other("another one is being tried"));
        }
        let program = programs::open_own()?;
        let state = self.saved()?.write()?;
        let number = TRIAL_STATE.to_string();
        let child = spawn::spawn(&Spawn {
            exe: program.as_fd(),
            argv: &self.own_arguments(&[STATE, number.as_bytes(), CHECK]),
            env: &spawn::environment(is_for_our_successor),
            map: &[(state.as_fd(), TRIAL_STATE)],
            null_stdin: true,
        })?;
        Ok(Trial { child, program })
    }

    pub(super) fn handle_trial_end(&mut self, end: End) {
        self.timers.clear(Timer::Trial);
        if end == End::Exited(0) {
            self.step(Input::NewWrapperTried);
        } else {
            go_on_as_is(&io::Error::other(format!("tried, it {end}")));
        }
        // Taken by the core's answer, or of no use.
        self.trial = None;
    }

    /// It is reaped as any other child.
    pub(super) fn abandon_trial(&mut self) {
        if let Some(trial) = &self.trial {
            let _ = pidfd_send_signal(&trial.child.pidfd, Signal::KILL);
        }
    }

    /// Executes the new binary, if there is one and nothing is under way.
    pub(super) fn replace_self_when_quiet(&mut self) {
        if self.master.as_ref().is_none_or(Master::wants_write) {
            return;
        }
        let Some(successor) = self.successor.take() else { return };
        if let Err(error) = signal::block_all() {
            return go_on_as_is(&error);
        }
        self.take_signals();
        if self.state == State::Serving {
            go_on_as_is(&self.execute(&successor));
        }
        if let Err(error) = SigSet::all().thread_unblock() {
            // Deaf to signals it would be no wrapper: the loop ends by the master's end only.
            log::alert(format_args!("cannot unblock signals: {error}"));
        }
    }

    /// Returns only with the reason why it failed.
    fn execute(&self, successor: &OwnedFd) -> io::Error {
        let state = match self.saved().and_then(|saved| saved.write()) {
            Ok(state) => state,
            Err(error) => return error,
        };
        let mut handed = self.descriptors();
        handed.push(state.as_fd());
        if let Err(error) = saved::set_inherited(handed.iter().copied(), true) {
            return error;
        }
        let number = saved::number(&state).to_string();
        let arguments = self.own_arguments(&[STATE, number.as_bytes()]);
        let error =
            spawn::reexec(successor.as_fd(), &arguments, &spawn::environment(is_for_our_successor));
        match saved::set_inherited(handed, false) {
            Ok(()) => error,
            Err(error) => error,
        }
    }

    /// Our own command line, with the hidden arguments first.
    fn own_arguments(&self, hidden: &[&[u8]]) -> Vec<CString> {
        let name = std::env::args_os().next().unwrap_or_default();
        let hidden = hidden.iter().map(|word| OsStr::from_bytes(word));
        let own = self.arguments.own.iter().map(OsString::as_os_str);
        strings([name.as_os_str()].into_iter().chain(hidden).chain(own))
    }

    fn saved(&self) -> io::Result<Saved> {
        let gone = || io::Error::other("there is no master");
        let master = self.master.as_ref().ok_or_else(gone)?;
        let kept = |(name, kept): (&str, &crate::store::Kept)| SavedKept {
            name: name.to_owned(),
            value: kept.value.clone(),
            descriptor: saved::number(kept.descriptor.as_fd()),
        };
        Ok(Saved {
            master: master.pid(),
            channel: saved::number(master.channel().ok_or_else(gone)?),
            program: saved::number(&self.program),
            store: self.store.iter().map(kept).collect(),
            starts: self.starts,
            deaths: self.backoff.deaths,
            signals: self.kept_signals.clone(),
            foreign: self.foreign.clone(),
            pid_file_written: self
                .pid_file
                .as_ref()
                .is_some_and(crate::pid_file::PidFile::is_written),
            more: More {
                pidfd: (!master.is_child()).then(|| saved::number(master.pidfd())),
                parcel: if self.parcel.is_there() { self.parcel.number() } else { 0 },
            },
        })
    }

    /// Those that [`Wrapper::saved`] names.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let channel = self.master.as_ref().and_then(Master::channel).map(AsFd::as_fd);
        let kept = self.store.iter().map(|(_, kept)| kept.descriptor.as_fd());
        let master = self.master.as_ref().filter(|master| !master.is_child());
        let pidfd = master.map(Master::pidfd);
        channel.into_iter().chain(pidfd).chain([self.program.as_fd()]).chain(kept).collect()
    }
}

fn go_on_as_is(error: &io::Error) {
    log::warning(format_args!("the wrapper's new version is not used: {error}"));
}
