//! The worker and its loop.
//!
//! Shell. [`Worker`] holds everything one process has; what is done with it stands in the modules
//! (`listener`, `session`, `stream`, `orders`, `show`), each an `impl Worker` for one concern. The loop
//! itself reads as a table of contents.
//!
//! - One thread, one poller, one clock reading per cycle.
//! - A descriptor is served when the poller reports it, and again in rounds while it is ready beyond
//!   its budget, so that none starves others.
//! - The poll waits until the nearest deadline; not at all while something is ready or runnable.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use portolan_shared::capture::Scratch;
use portolan_shared::channel::Channel;
use portolan_shared::log::{Kind, Log, TargetRef};
use portolan_shared::memory::{Lane, Object, OwnLane};
use portolan_shared::message::Hello;
use portolan_shared::model::{BackendId, Config, LogLevel};
use portolan_shared::signal::Signals;
use slab::Slab;

use crate::back::Input;
use crate::backend::{BackendState, Change};
use crate::clock::{Clock, Millis};
use crate::closing::Closing;
use crate::confined::Confined;
use crate::descriptor::{Descriptors, Owner, READ, Token, Trigger, WRITE};
use crate::exchange::Http;
use crate::handover::Handover;
use crate::http::auth::Gate;
use crate::http::capture::Plan;
use crate::http::route::Routes;
use crate::listener::{Listener, Serving, Waiting};
use crate::poller::{Event, FAILED, HUNG, Poller};
use crate::pool::{Buffers, Pipes};
use crate::random::Random;
use crate::session::Session;
use crate::show::Applet;
use crate::signals::{Handler, SignalQueue};
use crate::stream::{Ends, SourcePorts, Stream};
use crate::task::{Job, Reasons, Scheduler, TaskId};
use crate::termination::{Cause, Phase, Termination};

/// How often the loop turns at least, milliseconds: the master looks at the heartbeat.
pub const BEAT_MS: Millis = 250;

/// What this worker keeps of a frontend beside its configuration.
#[derive(Debug)]
pub struct FrontendState {
    /// Where its access log goes.
    pub targets: Vec<TargetRef>,
    /// Where its requests go by host and path.
    pub routes: Routes,
    /// Who may take each route.
    pub route_gates: Vec<Option<Gate>>,
    /// Who may ask at all.
    pub gate: Option<Gate>,
    /// What its lines tell that the kernel is asked for.
    pub ends: Ends,
    /// Lines so far.
    pub lines: u64,
    /// What is kept of messages for its log.
    pub captures: Plan,
}

/// What the loop has done, for `show activity`.
#[derive(Debug, Default)]
pub struct Activity {
    /// Cycles.
    pub loops: u64,
    /// Waits of the poller.
    pub polls: u64,
    /// Waits that ended with events.
    pub polls_with_events: u64,
    /// Events reported.
    pub events: u64,
    /// Descriptors served in rounds.
    pub rounds: u64,
    /// Tasks run.
    pub tasks: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Times another worker rang.
    pub rung: u64,
    /// Times this worker rang another.
    pub rings: u64,
}

/// Everything one worker process has.
#[derive(Debug)]
pub struct Worker {
    pub(crate) clock: Clock,
    pub(crate) descriptors: Descriptors,
    pub(crate) poller: Poller,
    pub(crate) tasks: Scheduler,
    pub(crate) signals: SignalQueue<Self>,
    pub(crate) signal_source: Signals,
    pub(crate) channel: Channel,
    pub(crate) channel_token: Token,
    pub(crate) hello: Hello,
    /// How it is confined.
    pub(crate) confined: Confined,
    pub(crate) config: Rc<Config>,
    pub(crate) lane: OwnLane,
    pub(crate) doorbells: BTreeMap<Lane, OwnedFd>,
    pub(crate) log: Log,
    pub(crate) log_task: TaskId,
    pub(crate) stop_task: TaskId,
    /// When connections may be offered again.
    pub(crate) handover_task: TaskId,
    pub(crate) frontends: Vec<FrontendState>,
    pub(crate) backends: Vec<BackendState>,
    /// Backends with streams in this worker's part of their queue.
    pub(crate) queued: BTreeSet<BackendId>,
    /// Backends with servers whose change means something to the streams they have.
    pub(crate) watched: Vec<BackendId>,
    /// Changes that were not followed yet.
    pub(crate) changes: Vec<Change>,
    /// When an operator ended the streams of these servers.
    pub(crate) shut_down: BTreeMap<Object, Millis>,
    /// To choose servers by.
    pub(crate) random: Random,
    /// Backends whose queue is to be served.
    pub(crate) rung: BTreeSet<BackendId>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) serving: Serving,
    /// Listeners that wait for a place, by its object.
    pub(crate) waiting: BTreeMap<Object, Waiting>,
    /// Objects whose waiting listeners may be served.
    pub(crate) rung_places: BTreeSet<Object>,
    pub(crate) streams: Slab<Stream>,
    /// Client connections in mode http.
    pub(crate) sessions: Slab<Session>,
    /// What HTTP needs once per worker.
    pub(crate) http: Http,
    pub(crate) buffers: Buffers,
    pub(crate) pipes: Pipes,
    pub(crate) source_ports: SourcePorts,
    /// PROXY headers made so far; part of the ids in them.
    pub(crate) greeted: u64,
    /// Into it everything is received.
    pub(crate) scratch: Scratch,
    pub(crate) applets: Vec<Applet>,
    /// Links to who follows and to who went before.
    pub(crate) handover: Handover,
    /// Descriptors that are not in the table.
    pub(crate) fixed_descriptors: usize,
    pub(crate) descriptor_limit: usize,
    /// When accepting last paused for lack of own resources, while the master believes it does.
    pub(crate) short: Option<Millis>,
    pub(crate) stopping: bool,
    /// Somebody follows a worker that stops: nobody is sent away.
    pub(crate) followed: bool,
    pub(crate) stop_began: Option<Millis>,
    /// Clients that may send another request are sent away.
    pub(crate) closing: Option<Closing>,
    /// Since when nobody orders it about.
    pub(crate) ownerless: Option<Millis>,
    /// Streams left, as last told to the master.
    pub(crate) told_streams: Option<u32>,
    pub(crate) exit: Option<ExitCode>,
    pub(crate) activity: Activity,
    pub(crate) events: Vec<Event>,
}

impl Worker {
    /// Turns until the worker's work is done.
    pub fn run(&mut self) -> ExitCode {
        loop {
            if let Some(code) = self.turn_once(Duration::MAX) {
                return code;
            }
        }
    }

    /// One cycle, which waits at most so long; at the end of all work the exit status.
    #[inline]
    pub(crate) fn turn_once(&mut self, longest: Duration) -> Option<ExitCode> {
        self.handle_signals();
        self.tasks.expire(self.clock.now());
        self.hand_over();
        self.run_tasks();
        self.run_applets();
        self.run_rounds();
        self.serve_waiters();
        if self.is_done() {
            return Some(self.leave());
        }
        self.flush_interests();
        self.poll(longest);
        self.handle_events();
        None
    }

    /// Calls functions and wakes tasks for what has arrived.
    fn handle_signals(&mut self) {
        while let Some(handlers) = self.signals.next() {
            for handler in handlers {
                match handler {
                    Handler::Function(function) => function(self),
                    Handler::Task(task) => self.tasks.wake(task, Reasons::SIGNAL),
                }
            }
        }
    }

    /// Runs what is runnable, as much as a cycle may.
    fn run_tasks(&mut self) {
        for _ in 0..self.config.tune.runqueue_depth {
            let Some((id, job, reasons)) = self.tasks.next() else { break };
            self.activity.tasks += 1;
            match job {
                Job::Stream(key) => {
                    if reasons.has(Reasons::TIMER) {
                        self.expire_stream(key);
                    }
                    if reasons.has(Reasons::RESOURCE) {
                        self.resume(key);
                    }
                }
                Job::Session(key) => self.run_session(key, reasons),
                Job::Listener(key) => self.run_listener(key, reasons),
                Job::Heartbeat => self.beat(id),
                Job::Logs => {
                    self.log.flush(self.clock.now());
                    self.schedule_logs();
                }
                Job::Stop => self.stop_step(),
                Job::Handover => self.run_handover(),
            }
        }
    }

    /// Lets each applet take one step.
    fn run_applets(&mut self) {
        for _ in 0..self.applets.len() {
            if self.channel.wants_write() {
                break;
            }
            self.applet_step();
        }
    }

    /// Serves what is ready without the poller, each descriptor once.
    fn run_rounds(&mut self) {
        for _ in 0..self.descriptors.rounds_len() {
            let Some((token, owner, bits)) = self.descriptors.next_in_rounds() else { break };
            self.activity.rounds += 1;
            if bits != 0 {
                self.dispatch(token, owner, bits);
            }
        }
    }

    /// Serves those who wait for what came free in this cycle.
    fn serve_waiters(&mut self) {
        self.follow_changes();
        self.serve_places();
        self.serve_queues();
        while let Some(task) = self.buffers.next_waiter() {
            self.tasks.wake(task, Reasons::RESOURCE);
        }
    }

    /// Tells the poller what has changed.
    fn flush_interests(&mut self) {
        while let Some(change) = self.descriptors.next_change() {
            if let Err(error) = self.poller.update(&self.descriptors, change) {
                self.interest_failed(change.token, &error);
            }
        }
    }

    /// Whether something is to be done without waiting for anything.
    pub(crate) fn is_busy(&self) -> bool {
        self.tasks.runnable() > 0
            || self.descriptors.has_rounds()
            || !self.signals.is_empty()
            || !self.rung.is_empty()
            || !self.rung_places.is_empty()
            || !self.changes.is_empty()
            || self.can_hand_over()
            || (!self.applets.is_empty() && !self.channel.wants_write())
    }

    /// Waits, but not while there is something to do.
    fn poll(&mut self, longest: Duration) {
        let timeout = if self.is_busy() {
            Some(Duration::ZERO)
        } else {
            let now = self.clock.now();
            self.tasks
                .next_deadline()
                .map(|deadline| Duration::from_millis(deadline.saturating_sub(now)).min(longest))
        };
        self.activity.loops += 1;
        self.activity.polls += 1;
        let mut events = std::mem::take(&mut self.events);
        if let Err(error) = self.poller.wait(&self.descriptors, timeout, &mut events) {
            self.poll_failed(&error);
        }
        self.activity.polls_with_events += u64::from(!events.is_empty());
        self.activity.events += events.len() as u64;
        self.events = events;
        self.clock.update();
        self.lane.beat();
    }

    /// Serves what the poller reported.
    fn handle_events(&mut self) {
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let Some(descriptor) = self.descriptors.get_mut(event.token) else { continue };
            descriptor.hung |= event.bits & HUNG != 0;
            let owner = descriptor.owner;
            if event.bits & HUNG != 0 && descriptor.polled() == 0 && !descriptor.edge() {
                // A level that nobody wants would be reported for ever.
                self.poller.forget(descriptor);
            }
            // These are read to the end at once, and reported again by themselves.
            if !matches!(owner, Owner::Signals | Owner::Doorbell | Owner::Listener(_)) {
                self.descriptors.may(event.token, event.bits & (READ | WRITE));
            }
            self.dispatch(event.token, owner, event.bits);
        }
        self.events = events;
    }

    fn dispatch(&mut self, token: Token, owner: Owner, bits: u8) {
        match owner {
            Owner::Front(key) => self.handle_front(key, bits),
            Owner::Back(key) => self.handle_back(key, bits),
            Owner::Client(key) => self.handle_client(key, bits),
            Owner::Kept(place) => self.handle_kept(place, token, bits),
            Owner::Private(key) => self.handle_private(key, token, bits),
            Owner::Moving => {}
            Owner::Successor(key) => self.handle_successor(key, bits),
            Owner::Predecessor(key) => self.handle_predecessor(key, bits),
            Owner::Listener(key) => {
                let listener = &self.listeners[key as usize];
                let task = listener.task();
                self.tasks.wake(task, Reasons::IO);
            }
            Owner::Signals => self.take_signals(),
            Owner::Channel => self.handle_channel(bits),
            Owner::Doorbell => self.handle_doorbell(),
        }
    }

    fn take_signals(&mut self) {
        for signal in self.signal_source.take() {
            self.signals.push(signal);
        }
    }

    /// Wakes another worker.
    pub(crate) fn ring(&mut self, lane: Lane) {
        if let Some(doorbell) = self.doorbells.get(&lane) {
            self.activity.rings += 1;
            // A full counter means that it was rung often enough already.
            let _ = rustix::io::write(doorbell, &1_u64.to_ne_bytes());
        }
    }

    /// Another worker rang, or the master: everything that waits here may try.
    fn handle_doorbell(&mut self) {
        self.activity.rung += 1;
        if let Some(doorbell) = self.doorbells.get(&self.lane.number()) {
            let _ = rustix::io::read(doorbell, &mut [0_u8; 8]);
        }
        self.refresh_watched();
        self.try_waiters();
    }

    /// Everything that waits for a place tries again.
    pub(crate) fn try_waiters(&mut self) {
        self.rung.extend(&self.queued);
        self.rung_places.extend(self.waiting.keys());
    }

    /// Whether nothing is left to do here.
    fn is_done(&self) -> bool {
        self.exit.is_some()
            || (self.stopping
                && self.serving.stopped
                && self.streams.is_empty()
                && self.sessions.is_empty()
                && self.applets.is_empty()
                && self.has_handed_over())
    }

    /// The last things before the process ends.
    fn leave(&mut self) -> ExitCode {
        self.abandon_handover();
        self.kill_streams();
        self.kill_sessions();
        self.confined.tell_refusals(&mut self.log);
        self.log.finish(Duration::from_millis(200));
        // The master sees the end of the process itself.
        let _ = self.channel.flush();
        self.exit.unwrap_or(ExitCode::SUCCESS)
    }

    pub(crate) fn interest_failed(&mut self, token: Token, error: &io::Error) {
        let owner = self.descriptors.get(token).map(|descriptor| descriptor.owner);
        let text = format_args!("the {} poller refused {owner:?}: {error}", self.poller.name());
        self.log.say_limited(Kind::Resource, LogLevel::Err, text);
        match owner {
            Some(Owner::Client(key)) => self.end_client(key, Cause::Resource),
            Some(Owner::Kept(place)) => self.handle_kept(place, token, FAILED),
            Some(Owner::Private(key)) => self.handle_private(key, token, FAILED),
            _ => {}
        }
        if let Some(Owner::Front(key) | Owner::Back(key)) = owner {
            let over = Input::Over(Termination::new(Cause::Resource, Phase::Data));
            let input = if self.flows(key) { over } else { Input::Aborted(Cause::Resource) };
            self.drive(key, input);
        }
    }

    /// A poller that fails is opened anew; without one a worker serves nobody, and another process
    /// starts over in its slot.
    fn poll_failed(&mut self, error: &io::Error) {
        let text = format_args!("the {} poller failed: {error}", self.poller.name());
        self.log.say_limited(Kind::Resource, LogLevel::Alert, text);
        if let Err(error) = self.poller.fork(&mut self.descriptors) {
            let text = format_args!("it cannot be opened anew: {error}");
            self.log.say(LogLevel::Alert, text);
            self.exit = Some(ExitCode::FAILURE);
        }
    }

    /// The doorbell of this worker, watched.
    pub(crate) fn watch_doorbell(&mut self, doorbell: &OwnedFd) -> io::Result<()> {
        let watched = doorbell.as_fd().try_clone_to_owned()?;
        let token = self.descriptors.insert(watched, Owner::Doorbell, Trigger::Level);
        self.descriptors.want(token, READ);
        Ok(())
    }
}
