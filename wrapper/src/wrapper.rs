//! The wrapper at work: one loop that polls signals, the master and timers, feeds the core and enacts
//! what it says.
//!
//! Shell. The decisions are in `core`; here is how each is carried out.
//!
//! - Nothing in the loop waits but the poll.
//! - What the master sent before it ended is heard before its end is.
//! - A signal is relayed over the channel and never by kill(2): one that was sent to the whole group
//!   has reached the master already, which takes both for one.

mod enact;
mod messages;
mod notices;
mod succeed;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portolan_shared::message::wrapper::FromWrapper;
use portolan_shared::notify::Notifier;
use portolan_shared::signal::Signals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::ClockId;

use crate::arguments::Arguments;
use crate::backoff::BackOff;
use crate::children::{self, End};
use crate::core::{Input, State};
use crate::daemon::Announcer;
use crate::log;
use crate::master::{Master, SECOND};
use crate::parcel::{Contents, Facts, Former, Parcel};
use crate::pid_file::PidFile;
use crate::saved::{self, Saved};
use crate::store::Store;
use crate::timers::{Timer, Timers};

use notices::Notices;
use upgrade::Trial;

/// Messages heard in a row before signals and timers have their turn.
const MESSAGES_A_ROUND: usize = 256;

/// Everything it knows.
#[derive(Debug)]
pub struct Wrapper {
    arguments: Arguments,
    state: State,
    master: Option<Master>,
    /// What the next master is started from.
    program: OwnedFd,
    store: Store,
    /// The store as it was when an upgrade began, and until when that may last.
    before_upgrade: Option<(Store, u64)>,
    /// How long it may take.
    upgrade_takes: Duration,
    /// For another wrapper, if this one is killed.
    parcel: Parcel,
    /// When it is packed again where that fails.
    pack_again: Duration,
    /// What it has of master and facts.
    noted: (Option<i32>, Facts),
    /// A master was ready once.
    served: bool,
    /// Of the question to a master that is adopted.
    nonce: u64,
    starts: u32,
    backoff: BackOff,
    /// How long the last master lived; `None`: it served, and others killed it.
    last_life: Option<Duration>,
    /// Kept for a master that is ready: each kind once, with the time of the latest.
    kept_signals: BTreeMap<i32, u64>,
    /// What the master was told of last and has not been seen to obey, with its time.
    relayed: BTreeMap<i32, u64>,
    foreign: BTreeSet<i32>,
    timers: Timers,
    signals: Signals,
    notices: Notices,
    pid_file: Option<PidFile>,
    announcer: Option<Announcer>,
    trial: Option<Trial>,
    /// The wrapper's own new program, tried and to be executed.
    successor: Option<OwnedFd>,
}

/// How a wrapper begins.
#[derive(Debug)]
pub enum Begin {
    /// With nothing but what it was given.
    Fresh,
    /// Where another wrapper was killed.
    After(Contents),
    /// Where this process was before it was executed anew.
    AsBefore,
}

/// A signal and when it came, CLOCK_MONOTONIC milliseconds.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    signal: i32,
    at_ms: u64,
}

impl Wrapper {
    /// One that has not started anything. Unblocks signals.
    pub fn new(
        arguments: Arguments,
        program: OwnedFd,
        store: Store,
        foreign: BTreeSet<i32>,
        parcel: Parcel,
    ) -> io::Result<Self> {
        let pid_file = arguments.pid_file.clone().map(|path| PidFile::new(path, false));
        let notifier = Notifier::from_env().unwrap_or_else(|error| {
            log::warning(error);
            Notifier::silent()
        });
        Ok(Self {
            state: State::Starting,
            master: None,
            program,
            store,
            before_upgrade: None,
            upgrade_takes: Duration::ZERO,
            parcel,
            pack_again: succeed::PACK_DELAY,
            noted: (None, Facts::default()),
            served: false,
            nonce: 0,
            starts: 0,
            backoff: BackOff::default(),
            last_life: Some(Duration::ZERO),
            kept_signals: BTreeMap::new(),
            relayed: BTreeMap::new(),
            foreign,
            timers: Timers::default(),
            notices: Notices::new(notifier),
            pid_file,
            announcer: None,
            trial: None,
            successor: None,
            signals: Signals::new()?,
            arguments,
        })
    }

    /// Who waits for the service to be ready.
    pub fn announce_to(&mut self, announcer: Option<Announcer>) {
        self.announcer = announcer;
    }

    /// One that was this process before it was executed anew.
    pub fn go_on(arguments: Arguments, saved: Saved) -> io::Result<Self> {
        let mut store = Store::default();
        for kept in saved.store {
            let descriptor = saved::take(kept.descriptor)?;
            let refused = store.keep(kept.name, kept.value, vec![descriptor]).err();
            refused.map_or(Ok(()), |refusal| Err(io::Error::other(refusal.to_string())))?;
        }
        let program = saved::take(saved.program)?;
        let channel = saved::take(saved.channel)?;
        let path = arguments.pid_file.clone();
        let former = Some(saved.more.parcel).filter(|number| *number > 0);
        let parcel = Parcel::new(former.into_iter().collect());
        let mut wrapper = Self::new(arguments, program, store, saved.foreign, parcel)?;
        wrapper.pid_file = path.map(|path| PidFile::new(path, saved.pid_file_written));
        wrapper.master = Some(match saved.more.pidfd {
            Some(number) => Master::adopt(Former {
                pid: saved.master,
                pidfd: saved::take(number)?,
                channel: Some(channel),
            }),
            None => Master::go_on(saved.master, channel)?,
        });
        wrapper.state = State::Serving;
        wrapper.served = true;
        wrapper.starts = saved.starts;
        wrapper.backoff = BackOff { deaths: saved.deaths };
        wrapper.kept_signals = saved.signals;
        Ok(wrapper)
    }

    /// Until there is nothing left to do; the exit status.
    pub fn run(mut self, begin: Begin) -> u8 {
        if let Some(interval) = self.notices.watchdog() {
            self.timers.set(Timer::Watchdog, Instant::now() + interval / 2);
        }
        match begin {
            Begin::Fresh => {
                self.pack();
                self.start();
            }
            Begin::After(left) => self.succeed(left),
            Begin::AsBefore => {
                self.pack();
                self.feed_kept_signals();
            }
        }
        loop {
            self.expire_timers();
            self.reap();
            self.note();
            if let State::Ended { status } = self.state {
                return self.leave(status);
            }
            self.want_seconds();
            self.replace_self_when_quiet();
            let readable = self.poll();
            if readable.channel {
                self.hear();
            }
            if readable.signals {
                self.take_signals();
            }
        }
    }

    /// Waits until something happens.
    fn poll(&self) -> Readable {
        let channel = self.master.as_ref().and_then(Master::channel);
        let others = if self.drains() { self.store.pidfds() } else { Vec::new() };
        let mut ready = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Some(master) = &self.master {
            ready.push(PollFd::from_borrowed_fd(master.pidfd(), PollFlags::IN));
        }
        if let Some(channel) = channel {
            let write = if self.master.as_ref().is_some_and(Master::wants_write) {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            ready.push(PollFd::new(channel, PollFlags::IN | write));
        }
        ready.extend(others.iter().map(|other| PollFd::from_borrowed_fd(*other, PollFlags::IN)));
        let timeout = self.timers.next(Instant::now()).map(timespec);
        match poll(&mut ready, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Readable { signals: true, channel: false },
            Err(error) => {
                // Not to spin on what will not pass by itself (no memory): look again later.
                log::alert(format_args!("poll: {error}"));
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        let any = |at: usize| ready.get(at).is_some_and(|one| !one.revents().is_empty());
        Readable { signals: any(0), channel: channel.is_some() && any(2) }
    }

    /// Sends to the master what waited and hears what it has to say.
    fn hear(&mut self) {
        if let Some(master) = &mut self.master {
            master.flush();
        }
        self.handle_messages(MESSAGES_A_ROUND);
    }

    fn take_signals(&mut self) {
        let at_ms = monotonic_ms();
        for signal in self.signals.take() {
            if signal != Signal::SIGCHLD {
                self.handle_signal(Arrived { signal: signal as i32, at_ms });
            }
        }
    }

    fn handle_signal(&mut self, arrived: Arrived) {
        let input = match Signal::try_from(arrived.signal) {
            Ok(Signal::SIGUSR1) => Input::SoftStop,
            Ok(Signal::SIGTERM | Signal::SIGINT) => Input::HardStop(arrived.signal as u8),
            _ => Input::OtherSignal,
        };
        self.step_with(input, Some(arrived));
    }

    /// Every child that has ended, the master too.
    fn reap(&mut self) {
        while let Some((pid, end)) = children::reap() {
            self.foreign.remove(&pid);
            if self.master.as_ref().is_some_and(|master| master.pid() == pid) {
                self.handle_master_end(pid, end);
            } else if self.trial.as_ref().is_some_and(|trial| trial.pid() == pid) {
                self.handle_trial_end(end);
            } else if let Some(master) = &mut self.master {
                master.send(&FromWrapper::Reaped { pid, status: end.raw() }, &[]);
            }
        }
        let adopted = self.master.as_ref().filter(|master| !master.is_child());
        if let Some(master) = adopted.filter(|master| children::has_ended(master.pidfd())) {
            self.handle_master_end(master.pid(), End::Unknown);
        }
        if self.drains() {
            self.store.retain(|_, kept| !children::has_ended(&*kept.descriptor));
            if self.store.is_empty() && children::list().is_subset(&self.foreign) {
                self.step(Input::ChildrenGone);
            }
        }
    }

    /// Whether what a dead master left behind finishes.
    fn drains(&self) -> bool {
        matches!(self.state, State::Draining { .. })
    }

    fn handle_master_end(&mut self, pid: i32, end: End) {
        self.handle_messages(usize::MAX);
        self.keep_unheard();
        let text = format!("the master ({pid}) {end}");
        match (self.state, end) {
            (State::HardStopping { .. }, _)
            | (_, End::Exited(0))
            | (State::SoftStopping, End::Unknown) => {}
            (State::Starting, End::Exited(_)) => log::alert(text),
            (_, End::Exited(status)) if status > 128 => log::notice(text),
            _ => log::alert(text),
        }
        // What ended otherwise than by our hands, and was not our child, counts as killed.
        let killed = [End::Killed(Signal::SIGKILL as u8), End::Unknown].contains(&end);
        let served = self.state == State::Serving && killed;
        self.last_life = match self.master.take() {
            Some(master) if served && !master.is_killed() => None,
            Some(master) => Some(master.lived()),
            None => Some(Duration::ZERO),
        };
        self.step(match end {
            End::Exited(status) => Input::Exited(status),
            End::Killed(signal) => Input::Killed(signal),
            // Who leaves by itself does so after its processes.
            End::Unknown if self.store.pidfds().iter().any(|one| !children::has_ended(one)) => {
                Input::Killed(Signal::SIGKILL as u8)
            }
            End::Unknown => Input::Ended,
        });
    }

    fn expire_timers(&mut self) {
        while let Some(timer) = self.timers.expire(Instant::now()) {
            match timer {
                Timer::BackOff => self.step(Input::BackOffPassed),
                Timer::Upgrade => self.step(Input::UpgradeExpired),
                Timer::Stop => self.step(Input::StopExpired),
                Timer::Second => {
                    if self.master.as_mut().is_some_and(|master| master.is_silent(self.state)) {
                        self.step(Input::Silent);
                    }
                }
                Timer::Watchdog => self.feed_watchdog(),
                Timer::Trial => self.abandon_trial(),
                Timer::Adoption => self.step(Input::AdoptionExpired),
                Timer::Pack => self.pack(),
            }
        }
    }

    /// Counts seconds while the master's silence would mean something.
    fn want_seconds(&mut self) {
        if self.master.as_ref().is_some_and(|master| master.is_watched(self.state)) {
            self.timers.want(Timer::Second, Instant::now() + SECOND);
        } else {
            self.timers.clear(Timer::Second);
        }
    }

    fn leave(&mut self, status: u8) -> u8 {
        self.end_parcel();
        if let Some(file) = &mut self.pid_file {
            file.remove();
        }
        status
    }
}

/// What the poll reported.
#[derive(Clone, Copy, Debug)]
struct Readable {
    signals: bool,
    channel: bool,
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() }
}

fn monotonic_ms() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}
