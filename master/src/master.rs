//! The master's main loop: one poll, then each event to the part it belongs to.
//!
//! Shell. What the whole does is decided in [`state`](crate::state), who serves which slot in
//! [`slots`](crate::slots), which signal counts in [`coalesce`](crate::coalesce).
//!
//! - One thread, and one more while a configuration is read; nothing here blocks but forking.
//! - Every wait has a deadline; the loop turns at least every [`EVERY`](crate::heartbeat::EVERY) while workers live.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal as Number;
use portolan_master::arguments::Arguments;
use portolan_master::config::Last;
use portolan_shared::log::{Kind, Log, monotonic_ms};
use portolan_shared::memory::Lane;
use portolan_shared::message::wrapper::{ALIVE_EVERY_MS, FromWrapper, MISCONFIGURED, ToWrapper};
use portolan_shared::message::{Role, ToWorker};
use portolan_shared::model::{Config, LogLevel};
use portolan_shared::sandbox::Report;
use portolan_shared::signal::Signals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::advice::Refusal;
use crate::aides::Aides;
use crate::captures::Captures;
use crate::coalesce::{Coalescer, Way};
use crate::control::{ClientId, Control};
use crate::generation::Generation;
use crate::heartbeat::Looks;
use crate::kept::{Clocks, Facts};
use crate::link::Link;
use crate::listeners::{Passed, Table};
use crate::obituary::Obituaries;
use crate::orphans::Orphan;
use crate::prepare::{Accepted, Candidate};
use crate::questions::{Questions, Waiting};
use crate::reading::Reading;
use crate::servers::Tally;
use crate::shared_memory::SharedMemory;
use crate::slots::{Order, Slots, WorkerId};
use crate::state::{Action, Input, State};
use crate::succession::Succession;
use crate::supervise::Pending;
use crate::upgrade::Check;
use crate::worker::{Phase, Worker};

/// How often what changes without an event is looked at: log daemons, silent clients.
const CHORES_EVERY: Duration = Duration::from_secs(1);
/// How long a worker that was told to stop may take to have accepted what waits for it; then sockets
/// that nobody needs are closed all the same.
const LAST_ACCEPT: Duration = Duration::from_secs(1);
/// How long the last log lines may take to leave.
const LAST_LINES: Duration = Duration::from_millis(200);

/// The exit status of everything that went wrong before or while starting.
pub const FAILED: u8 = 1;

/// What the master consists of.
#[derive(Debug)]
pub struct Master {
    pub arguments: Arguments,
    pub link: Link,
    pub signals: Signals,
    pub log: Log,
    /// The worker's program.
    pub binary: Rc<OwnedFd>,
    /// What a former master had accepted, until it was started.
    pub accepted: Option<Accepted>,
    /// What host names stand for in the configuration that serves.
    pub last: Last,
    /// Whether it follows another master: the wrapper keeps what there is, and tries again.
    pub follows: bool,
    /// Whether the wrapper has the memory that there was at the start.
    pub memory_kept: bool,
    pub passed: Passed,
    pub listeners: Table,
    pub memory: SharedMemory,
    /// Every generation of which a process lives, or is to live.
    pub generations: BTreeMap<u32, Generation>,
    /// The one that serves.
    pub current: Option<u32>,
    /// The number of the last one that was begun.
    pub last_generation: u32,
    /// The configuration of one that is to start.
    pub reading: Option<Reading>,
    /// The one that starts.
    pub candidate: Option<Candidate>,
    pub workers: BTreeMap<WorkerId, Worker>,
    pub next_worker: WorkerId,
    /// Workers to be started as soon as the wrapper has what they need.
    pub pending: Vec<Pending>,
    /// Processes of a former master that own lanes.
    pub orphans: Vec<Orphan>,
    pub slots: Slots,
    /// Who hands over to whom.
    pub succession: Succession,
    /// Checker and runner of the current generation.
    pub aides: Aides,
    pub state: State,
    pub paused: bool,
    /// Why the last start failed.
    pub failure: Option<Refusal>,
    /// How we have confined ourselves.
    pub sandbox: Report,
    /// Reloads: how many succeeded and how many failed.
    pub reloads: (u32, u32),
    pub control: Option<Control>,
    /// Who waits for the reload that runs, and for the one after it.
    pub waiting: Waiting,
    pub questions: Questions,
    /// Ends that are not told yet.
    pub obituaries: Obituaries,
    /// As the wrapper has them.
    pub facts: Facts,
    /// What turns our times into those of other processes.
    pub clocks: Clocks,
    /// What workers had read last that died by a fault.
    pub captures: Captures,
    /// Another program that is to go on in our place.
    pub check: Option<Check>,
    /// Whether we are that program, and nothing has been promoted yet.
    pub is_fresh_image: bool,
    /// What we were started with, read before the title was set over it.
    pub command_line: Vec<OsString>,
    /// The directory that we were started in, and the one that `-C` leads to.
    pub directories: (OwnedFd, OwnedFd),
    pub coalescer: Coalescer,
    pub looks: Looks,
    pub chores_at: Instant,
    pub alive_at: Instant,
    pub since: Instant,
    pub status: String,
    /// Of the current generation.
    pub maxconn: u32,
    /// What the current generation serves, where its model is known.
    pub config: Option<Rc<Config>>,
    /// Of its servers.
    pub tally: Tally,
    /// `node` and `description` of the current generation.
    pub names: (Option<String>, Option<String>),
    pub exit_status: u8,
    /// When a soft-stop of everything becomes a hard one.
    pub stop_deadline: Option<Instant>,
}

/// Where something happened.
#[derive(Clone, Copy, Debug)]
enum Source {
    Signals,
    Wrapper,
    Control,
    Client(ClientId),
    Channel(WorkerId),
    End(WorkerId),
    Orphan(Lane),
    Check,
    Reading,
}

impl Master {
    /// Serves until nobody is left; the exit status.
    pub fn run(mut self) -> u8 {
        while self.state != State::Gone {
            let events = self.wait();
            let now = Instant::now();
            for (source, flags) in events {
                self.handle(source, flags, now);
            }
            self.handle_signals(now);
            self.expire(now);
            self.spawn_pending(now);
            self.proceed_aides();
            self.proceed_succession(now);
            self.proceed_upgrade(now);
            self.close_retired(now);
            if self.link.has_heard() {
                self.handle_wrapper(now);
            }
            self.tell_status();
            self.keep_facts();
        }
        self.leave()
    }

    /// Waits for the next event or deadline.
    fn wait(&self) -> Vec<(Source, PollFlags)> {
        let mut watched = vec![(Source::Signals, self.signals.as_fd(), PollFlags::IN)];
        if let Some(channel) = self.link.channel() {
            let flags = wanted(true, channel.wants_write());
            watched.push((Source::Wrapper, channel.as_fd(), flags));
        }
        if let Some(control) = &self.control {
            if control.has_room() {
                watched.push((Source::Control, control.socket(), PollFlags::IN));
            }
            let clients = control.clients();
            watched.extend(clients.map(|(id, stream, reads, writes)| {
                (Source::Client(id), stream, wanted(reads, writes))
            }));
        }
        for worker in self.workers.values() {
            watched.push((Source::End(worker.id), worker.pidfd.as_fd(), PollFlags::IN));
            if !worker.deaf {
                let flags = wanted(true, worker.wants_feed());
                watched.push((Source::Channel(worker.id), worker.channel.as_fd(), flags));
            }
        }
        let orphans = self.orphans.iter();
        watched.extend(
            orphans.map(|one| (Source::Orphan(one.lane), one.pidfd.as_fd(), PollFlags::IN)),
        );
        if let Some(reading) = &self.reading {
            watched.push((Source::Reading, reading.bell(), PollFlags::IN));
        }
        if let Some(pidfd) = self.check.as_ref().and_then(Check::pidfd) {
            watched.push((Source::Check, pidfd, PollFlags::IN));
        }
        let mut descriptors: Vec<PollFd<'_>> = watched
            .iter()
            .map(|(_, descriptor, flags)| PollFd::from_borrowed_fd(*descriptor, *flags))
            .collect();
        let left = self.next_deadline().saturating_duration_since(Instant::now());
        // Rounded up: waking before the deadline would turn the loop for nothing.
        let left = Timespec::try_from(left + Duration::from_millis(1)).ok();
        match poll(&mut descriptors, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // Nothing can be seen and nothing says why: slowly on, by deadlines alone.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
        let sources = watched.iter().map(|(source, ..)| *source);
        let ready = sources.zip(descriptors.iter().map(PollFd::revents));
        ready.filter(|(_, flags)| !flags.is_empty()).collect()
    }

    fn next_deadline(&self) -> Instant {
        let of_workers = self.workers.values().flat_map(|worker| {
            [worker.ready_due(), worker.stop_deadline, worker.kill_at].into_iter().flatten()
        });
        let looks = (!self.workers.is_empty()).then(|| self.looks.due());
        let candidate = self.candidate.as_ref().map(|candidate| candidate.deadline);
        let check = self.check.as_ref().map(Check::deadline);
        let reading = self.reading.as_ref().map(Reading::deadline);
        let vacant = if self.state.stops() { None } else { self.slots.next_due() };
        let links = if self.state.stops() { None } else { self.succession.due() };
        let post = if self.keeps_aides() { self.aides.next_due() } else { None };
        [
            looks,
            candidate,
            check,
            reading,
            vacant,
            post,
            links,
            self.stop_deadline,
            self.questions.due(),
            self.obituaries.due(),
            self.log_due(),
        ]
        .into_iter()
        .flatten()
        .chain(of_workers)
        .fold(self.chores_at.min(self.alive_at), Instant::min)
    }

    fn handle(&mut self, source: Source, flags: PollFlags, now: Instant) {
        match source {
            // Read once per turn, after what the channel relayed.
            Source::Signals => {}
            Source::Wrapper => self.handle_wrapper(now),
            Source::Control => {
                if let Some(control) = &mut self.control {
                    control.accept(now);
                }
            }
            Source::Client(id) => self.handle_client(id, flags, now),
            Source::Channel(id) => self.handle_channel(id, now),
            Source::End(id) => self.handle_end(id, now),
            Source::Orphan(lane) => self.handle_orphan_end(lane),
            Source::Check => self.handle_check(now),
            Source::Reading => self.handle_reading(now),
        }
    }

    fn handle_signals(&mut self, now: Instant) {
        for signal in self.signals.take() {
            self.handle_signal(signal as i32, Way::Direct, monotonic_ms(), now);
        }
    }

    /// A signal, by either way.
    pub fn handle_signal(&mut self, signal: i32, way: Way, at_ms: u64, now: Instant) {
        let Ok(number) = Number::try_from(signal) else { return };
        if number == Number::SIGCHLD || !self.coalescer.is_new(signal, way, at_ms) {
            return;
        }
        match number {
            Number::SIGUSR2 | Number::SIGHUP => self.input(Input::ReloadAsked, now),
            Number::SIGUSR1 => self.input(Input::SoftStopAsked, now),
            Number::SIGTERM | Number::SIGINT => {
                if self.state != State::HardStopping {
                    self.exit_status = 128 + signal as u8;
                }
                self.input(Input::HardStopAsked, now);
            }
            Number::SIGTTOU => self.pause(true),
            Number::SIGTTIN => self.pause(false),
            Number::SIGQUIT => self.dump(),
            _ => {}
        }
    }

    fn handle_wrapper(&mut self, now: Instant) {
        let mut lost = self.link.flush().is_err();
        while !lost {
            match self.link.receive() {
                Ok(Some(message)) => self.handle_from_wrapper(message, now),
                Ok(None) => break,
                Err(_) => lost = true,
            }
        }
        if lost {
            self.say(LogLevel::Alert, "The wrapper is gone: stopping");
            // Nobody relays signals, keeps descriptors or restarts us any more.
            self.link = Link::severed();
            self.input(Input::SoftStopAsked, now);
            self.stop_alone(now);
        }
    }

    fn handle_from_wrapper(&mut self, message: FromWrapper, now: Instant) {
        match message {
            FromWrapper::Acknowledged { number } => self.link.acknowledge(number),
            FromWrapper::Refused { number, reason } => {
                let name = self.link.refuse(number);
                self.handle_refused(&name.unwrap_or_default(), &reason, now);
            }
            FromWrapper::Signal { signal, at_ms } => {
                self.handle_signal(signal, Way::Relayed, at_ms, now);
            }
            FromWrapper::Reaped { pid, status } => self.handle_reaped(pid, status),
            FromWrapper::Adopt { nonce, pid } => self.handle_other_wrapper(nonce, pid),
            FromWrapper::Stored => self.link.set_stored(),
            // What follows an abandoned upgrade is not for us.
            FromWrapper::Hello { .. } | FromWrapper::Kept { .. } | FromWrapper::KeptAll => {}
        }
    }

    /// What happened goes to the state machine, what it wants done is done.
    pub fn input(&mut self, input: Input, now: Instant) {
        let Some((state, action)) = self.state.on(input) else { return };
        let before = std::mem::replace(&mut self.state, state);
        match action {
            Action::Nothing | Action::Leave => {}
            Action::Start => self.start_generation(now),
            Action::Promote => self.promote(now),
            Action::PromoteAndStart => {
                self.promote(now);
                self.start_generation(now);
            }
            Action::Discard => self.discard(now),
            Action::DiscardAndStart => {
                self.discard(now);
                self.start_generation(now);
            }
            Action::SoftStopAll => self.soft_stop_all(now),
            Action::HardStopAll => {
                if matches!(before, State::Booting { .. }) && input == Input::StartFailed {
                    self.report_failed_start();
                }
                self.hard_stop_all(now);
            }
        }
    }

    fn soft_stop_all(&mut self, now: Instant) {
        self.say(LogLevel::Notice, "Stopping: waiting for what is in flight");
        self.tell(&ToWrapper::Stopping);
        self.abandon_start("the instance stops", now);
        let bound = self.current().and_then(|current| current.terms.hard_stop_after);
        self.stop_deadline = bound.map(|bound| now + bound);
        for worker in self.workers.values_mut().filter(|worker| worker.role == Role::Worker) {
            worker.soft_stop(now, self.stop_deadline);
        }
        self.listeners.retire_all();
        self.check_last(now);
    }

    fn hard_stop_all(&mut self, now: Instant) {
        self.tell(&ToWrapper::Stopping);
        self.abandon_start("the instance stops", now);
        self.stop_deadline = None;
        for worker in self.workers.values_mut() {
            worker.hard_stop(now);
        }
        self.check_last(now);
    }

    /// On the way out: whether the last worker has ended, and then the last process.
    pub fn check_last(&mut self, now: Instant) {
        if self.state.stops() && !self.has_workers() {
            self.end_aides(now);
        }
        if self.state.stops() && self.workers.is_empty() {
            self.input(Input::LastGone, now);
        }
    }

    fn pause(&mut self, paused: bool) {
        if self.state.stops() || self.paused == paused {
            return;
        }
        self.paused = paused;
        self.say(LogLevel::Notice, if paused { "Pausing the listeners" } else { "Resuming" });
        let message = if paused { ToWorker::Pause } else { ToWorker::Resume };
        self.say_to_current(&message, |role| role == Role::Worker);
    }

    fn dump(&mut self) {
        for line in self.processes().lines() {
            self.say(LogLevel::Notice, line);
        }
        self.say_to_current(&ToWorker::Dump, |_| true);
    }

    /// Says something to the generation that serves.
    pub fn say_to_current(&mut self, message: &ToWorker, whom: impl Fn(Role) -> bool) {
        let current = self.current;
        let current = self.workers.values_mut().filter(|w| Some(w.generation) == current);
        for worker in current.filter(|worker| whom(worker.role)) {
            worker.say(message, &[]);
        }
    }

    /// Enacts what [`Slots`] wants.
    pub fn order(&mut self, orders: Vec<Order>) {
        for order in orders {
            if let Some(line) = self.enact(order) {
                self.say(LogLevel::Notice, &line);
            }
        }
    }

    /// The same where a process can cause it as often as it likes.
    pub fn order_limited(&mut self, orders: Vec<Order>) {
        for order in orders {
            if let Some(line) = self.enact(order) {
                let text = format_args!("{line}");
                self.log.say_limited(Kind::Resource, LogLevel::Notice, text);
            }
        }
    }

    /// What there is to be said of it.
    fn enact(&mut self, Order { deputy, slot, serve }: Order) -> Option<String> {
        let worker = self.workers.get_mut(&deputy)?;
        worker.say(&ToWorker::Deputy { slot, serve }, &[]);
        serve.then(|| format!("Worker ({}) is deputy for slot {}", worker.pid, slot + 1))
    }

    /// Of what we alone write into shared memory nothing stays that somebody else has written.
    pub fn put_memory_right(&mut self) {
        let words = self.memory.memory().put_right();
        if words > 0 {
            let text =
                format_args!("{words} words of shared memory were not as written: put right");
            self.log.say_limited(Kind::Sandbox, LogLevel::Alert, text);
        }
    }

    fn expire(&mut self, now: Instant) {
        if let Some(since) = self.looks.look(now) {
            self.put_memory_right();
            self.check_heartbeats(since);
            self.check_orphans(since, now);
        }
        self.expire_workers(now);
        self.expire_candidate(now);
        self.expire_check(now);
        self.expire_reading(now);
        self.expire_questions(now);
        self.expire_obituaries(now);
        if self.stop_deadline.is_some_and(|deadline| deadline <= now) {
            self.say(LogLevel::Warning, "hard_stop_after is over: ending what is left");
            self.stop_deadline = None;
            self.input(Input::StopExpired, now);
        }
        if self.chores_at <= now {
            self.chores_at = now + CHORES_EVERY;
            self.renew_logs();
            self.count_servers();
            if let Some(control) = &mut self.control {
                control.expire(now);
            }
        }
        if self.alive_at <= now {
            self.alive_at = now + Duration::from_millis(ALIVE_EVERY_MS);
            if self.current.is_some() {
                self.tell(&ToWrapper::Alive);
            }
        }
        let millis = monotonic_ms();
        if self.log.due(millis).is_some_and(|due| due <= millis) {
            self.log.flush(millis);
        }
    }

    /// Closes the sockets that no generation needs, once the workers that still had them have
    /// accepted what was waiting.
    fn close_retired(&mut self, now: Instant) {
        if !self.listeners.has_retired() {
            return;
        }
        let accepts = |worker: &Worker| {
            let grace = self.generations.get(&worker.generation).map(|g| g.terms.grace);
            let bound = LAST_ACCEPT + grace.unwrap_or_default();
            worker.role == Role::Worker
                && matches!(worker.phase, Phase::Retiring | Phase::Stopping)
                && worker.streams.is_none()
                && worker.stopping_since.is_some_and(|since| now < since + bound)
        };
        if !self.workers.values().any(accepts) {
            let names = self.listeners.close_retired();
            self.forget(names);
        }
    }

    fn leave(mut self) -> u8 {
        // After a failed start the wrapper may have another try with what it keeps.
        let failed = [FAILED, MISCONFIGURED].contains(&self.exit_status);
        if !failed {
            self.retire_last();
        }
        let closed = self.listeners.close_retired();
        self.forget(closed);
        self.answer_waiting_reloads("failed\nthe instance stops");
        if let Some(control) = self.control.take()
            && !(failed && self.follows)
        {
            control.close();
        }
        self.log.finish(LAST_LINES);
        // The wrapper reads what it can; our exit status says the rest.
        let _ = self.link.flush();
        self.exit_status
    }

    /// The generation that serves.
    pub fn current(&self) -> Option<&Generation> {
        self.generations.get(&self.current?)
    }

    /// Says an event.
    pub fn say(&mut self, level: LogLevel, text: &str) {
        self.log.say(level, format_args!("{text}"));
    }

    /// Says something to the wrapper; that it is gone shows when its channel is read.
    pub fn tell(&mut self, message: &ToWrapper) {
        let _ = self.link.say(message);
    }

    /// Lets the wrapper forget descriptors.
    pub fn forget(&mut self, names: Vec<String>) {
        let _ = self.link.forget(names);
    }
}

/// What to wait for on a descriptor.
fn wanted(reads: bool, writes: bool) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, reads);
    flags.set(PollFlags::OUT, writes);
    flags
}
