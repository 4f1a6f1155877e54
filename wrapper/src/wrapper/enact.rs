//! Carrying out what the core decided.
//!
//! Shell. A step may bring about another one (a start that fails, a signal that was kept); none goes
//! deeper than the states do.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portolan_shared::message::wrapper::{FromWrapper, HARD_STOP_MS, LISTENER, PIDFD};

use super::{Arrived, Wrapper, monotonic_ms};
use crate::children;
use crate::core::{Action, Input, State};
use crate::log;
use crate::master::Master;
use crate::programs;
use crate::timers::Timer;

/// How long before its end a master may not have heard a signal any more: what it reads every turn of its
/// loop, and a machine that is out of breath. It takes one that comes twice for two.
const UNHEARD_MS: u64 = 1000;

impl Wrapper {
    /// Something happened.
    pub(super) fn step(&mut self, input: Input) {
        self.step_with(input, None);
    }

    /// Something happened; `arrived` is the signal where it is one.
    pub(super) fn step_with(&mut self, input: Input, arrived: Option<Arrived>) {
        if let Some((state, action)) = self.state.on(input) {
            self.state = state;
            self.enact(action, arrived);
        }
    }

    fn enact(&mut self, action: Action, arrived: Option<Arrived>) {
        match action {
            Action::Nothing => {}
            Action::Relay => self.relay(arrived),
            Action::KeepSignal => {
                self.kept_signals.extend(arrived.map(|it| (it.signal, it.at_ms)));
            }
            Action::Announce => self.announce(),
            Action::AnnounceUpgraded => {
                self.end_upgrade();
                self.take_running_program();
                self.announce();
            }
            Action::HandOver => self.hand_over(),
            Action::Resume => {
                self.end_upgrade();
                self.feed_kept_signals();
            }
            Action::TryNewWrapper => self.try_new_wrapper(),
            Action::ReplaceSelf => {
                self.successor = self.trial.take().map(super::upgrade::Trial::into_program);
            }
            Action::AnnounceStopping => {
                self.end_upgrade();
                self.announce();
                self.notices.stopping();
            }
            Action::SayStopping => {
                self.end_upgrade();
                self.notices.stopping();
            }
            Action::Start => self.start(),
            Action::StartLater => self.start_later(),
            Action::StartLaterToStop => {
                self.kept_signals.insert(Signal::SIGUSR1 as i32, super::monotonic_ms());
                self.start_later();
            }
            Action::StartOld => {
                log::alert("the upgrade failed; the old version is started again");
                self.notices.status("the upgrade failed, the old version starts again");
                if let Some((store, _)) = self.before_upgrade.take() {
                    self.store = store;
                    self.parcel.upgrade_over(true);
                }
                self.timers.clear(Timer::Upgrade);
                self.start();
            }
            Action::HardStop => {
                self.notices.stopping();
                let signal = Signal::SIGTERM as i32;
                self.relay(arrived.or(Some(Arrived { signal, at_ms: monotonic_ms() })));
                self.timers.set(Timer::Stop, Instant::now() + Duration::from_millis(HARD_STOP_MS));
            }
            Action::Kill => self.kill_master(),
            Action::Drain => {
                self.notices.stopping();
                self.store.retain(|name, _| name.starts_with(PIDFD));
                // The service manager holds the channels too, which are to end.
                self.note();
                self.pack();
            }
            Action::KillAll => {
                self.notices.stopping();
                self.timers.clear(Timer::BackOff);
                children::kill_all(&self.foreign, &self.store.pidfds());
                self.store.retain(|name, _| name.starts_with(LISTENER));
            }
        }
    }

    fn relay(&mut self, arrived: Option<Arrived>) {
        if let (Some(master), Some(Arrived { signal, at_ms })) = (&mut self.master, arrived) {
            master.send(&FromWrapper::Signal { signal, at_ms }, &[]);
            self.relayed.insert(signal, at_ms);
        }
    }

    /// The master has ended: what it was told a moment ago it may not have heard any more.
    pub(super) fn keep_unheard(&mut self) {
        let since = monotonic_ms().saturating_sub(UNHEARD_MS);
        for (signal, at_ms) in std::mem::take(&mut self.relayed) {
            if at_ms >= since {
                self.kept_signals.entry(signal).or_insert(at_ms);
            }
        }
    }

    /// The master begins what these signals ask for.
    pub(super) fn obeyed(&mut self, signals: &[Signal]) {
        self.relayed.retain(|number, _| !signals.iter().any(|signal| *signal as i32 == *number));
    }

    /// Signals that were kept come again, as if they came now, in the order in which they did come: a
    /// pause and its end are not an end and a pause.
    pub(super) fn feed_kept_signals(&mut self) {
        let kept = std::mem::take(&mut self.kept_signals);
        let mut kept: Vec<(i32, u64)> = kept.into_iter().collect();
        kept.sort_by_key(|(_, at_ms)| *at_ms);
        for (signal, at_ms) in kept {
            self.handle_signal(Arrived { signal, at_ms });
        }
    }

    /// Starts a master from the program that was kept open.
    pub(super) fn start(&mut self) {
        let first = !self.served;
        let arguments = if first { &self.arguments.first } else { &self.arguments.later };
        match Master::start(self.program.as_fd(), arguments) {
            Ok(master) => {
                if !first {
                    log::notice(format_args!("started a new master ({})", master.pid()));
                }
                let master = self.master.insert(master);
                // First of all: until then another wrapper would not know of it.
                let known = self.parcel.master(Some(master.view()));
                self.noted.0 = Some(master.pid());
                if !known {
                    self.pack();
                }
                self.greet();
                self.note();
            }
            Err(error) => {
                log::alert(format_args!("cannot start the master: {error}"));
                self.last_life = Some(Duration::ZERO);
                self.step(Input::CannotStart);
            }
        }
    }

    fn start_later(&mut self) {
        let (delay, how) = match self.last_life {
            Some(lived) => {
                let delay = self.backoff.after_death(lived);
                (delay, format!("died ({} in a row)", self.backoff.deaths))
            }
            None => (self.backoff.after_kill(), "was killed".to_owned()),
        };
        self.timers.set(Timer::BackOff, Instant::now() + delay);
        let text = format!("the master {how}, next start in {} ms", delay.as_millis());
        log::warning(&text);
        self.notices.status(&text);
    }

    /// The generation serves: first of all, or again.
    fn announce(&mut self) {
        if let Some(file) = &mut self.pid_file
            && let Err(error) = file.write()
        {
            let path = file.path().display().to_string();
            log::alert(format_args!("cannot write the pid file {path}: {error}"));
            self.step(Input::PidFileFailed);
            return;
        }
        self.served = true;
        self.notices.ready();
        if let Some(announcer) = self.announcer.take()
            && let Err(error) = announcer.ready()
        {
            log::warning(format_args!("cannot tell the caller that the service is ready: {error}"));
        }
        self.feed_kept_signals();
    }

    fn kill_master(&mut self) {
        let Some(master) = &mut self.master else { return };
        log::alert(format_args!("killing the master ({}): {}", master.pid(), why(self.state)));
        master.kill();
    }

    fn hand_over(&mut self) {
        let until_ms = monotonic_ms().saturating_add(self.upgrade_takes.as_millis() as u64);
        self.parcel.upgrade(until_ms);
        self.before_upgrade = Some((self.store.clone(), until_ms));
        self.timers.clear(Timer::Adoption);
        self.greet();
    }

    /// Tells a master that begins who we are and what is kept for it.
    fn greet(&mut self) {
        if let Some(master) = &mut self.master {
            master.greet(self.starts, &self.store, self.parcel.is_there());
            self.starts = self.starts.saturating_add(1);
        }
    }

    pub(super) fn end_upgrade(&mut self) {
        if self.before_upgrade.take().is_some() {
            self.parcel.upgrade_over(false);
        }
        self.timers.clear(Timer::Upgrade);
    }

    /// What runs now is what is started from now on.
    fn take_running_program(&mut self) {
        let Some(master) = &self.master else { return };
        match programs::open_running(master.pid()).or_else(|_| programs::open_master()) {
            Ok(program) => {
                self.program = program;
                self.parcel.program(self.program.as_fd());
            }
            Err(error) => {
                log::warning(format_args!("keeping the old program for restarts: {error}"));
            }
        }
        let what = if master.is_child() { "was upgraded" } else { "is taken over" };
        log::notice(format_args!("the master ({}) {what}", master.pid()));
    }

    pub(super) fn feed_watchdog(&mut self) {
        let Some(interval) = self.notices.watchdog() else { return };
        self.timers.set(Timer::Watchdog, Instant::now() + interval / 2);
        let bounded = match self.state {
            State::Upgrading
            | State::FallingBack
            | State::Adopting { .. }
            | State::HardStopping { .. } => true,
            // Nobody is left to speak but us, and we do.
            State::Draining { .. } => self.master.is_none(),
            _ => self.master.as_ref().is_some_and(Master::is_at_work),
        };
        self.notices.feed_watchdog(bounded);
    }
}

/// Why a master is killed in this state.
fn why(state: State) -> &'static str {
    match state {
        State::HardStopping { .. } => "it did not leave in time",
        State::FallingBack => "its new version was not ready in time",
        State::Adopting { .. } => "it does not answer to its new wrapper",
        _ => "it hangs",
    }
}
