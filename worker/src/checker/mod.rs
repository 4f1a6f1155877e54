//! The checker: watches over servers for all workers, as one process per instance.
//!
//! Shell around the pure conversations, counters and lines of `check`.
//!
//! ```text
//! due ──▶ probe (socket, or the runner) ──▶ outcome ──▶ health ──▶ shared states ──▶ doorbells
//!                                                         └──────▶ log lines
//! ```
//!
//! - It starts silent and checks from `ToWorker::Resume` on: the master says so once the checker of the
//!   previous generation has ended, so that each server has one judge at any moment.
//! - What is known of a server lies in shared memory alone. A new checker goes on from there and
//!   announces nothing anew; one that is killed takes at most the checks with it that were under way.
//! - One probe at a time per watch, at most two watches per server (its check and its agent).
//! - Bells ring once per cycle, after all of the cycle's verdicts were stored.
//!
//! Limits: a descriptor per watch at most; where the system has fewer, a check waits for one and counts
//! as late.

mod farms;
mod lines;
mod link;
mod orders;
mod place;
mod probe;
mod rounds;
mod show;
mod start;
mod verdict;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use portolan_shared::channel::Channel;
use portolan_shared::log::{Kind, Log};
use portolan_shared::memory::{Lane, OwnLane};
use portolan_shared::message::Hello;
use portolan_shared::model::{Config, LogLevel};
use portolan_shared::signal::Signals;

use crate::clock::Clock;
use crate::confined::Confined;
use crate::descriptor::{Belongs, Descriptors, Token};
use crate::event_loop::BEAT_MS;
use crate::poller::{Event, Poller};
use crate::show::Applet;
use crate::signals::{Handler, SignalQueue};
use crate::task::{Reasons, Scheduler, TaskId};

use farms::Farms;
use link::Runner;
use watch::Watch;

pub(crate) use start::start;

/// A watch's position.
pub type Key = u32;

/// Whose task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// A watch's next attempt, or the end of the patience with this one.
    Watch(Key),
    /// The heartbeat, and what a lost bell may have hidden.
    Heartbeat,
    /// Log lines that must leave.
    Logs,
}

/// Whose readiness this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The signal queue.
    Signals,
    /// The channel to the master.
    Channel,
    /// A worker or the master rings here.
    Doorbell,
    /// The way to the runner.
    Runner,
    /// A check's connection.
    Watch(Key),
}

impl Belongs for Owner {
    fn is_connection(self) -> bool {
        matches!(self, Self::Watch(_))
    }
}

/// What the loop has done, for `show activity`.
#[derive(Debug, Default)]
pub struct Activity {
    /// Cycles.
    pub loops: u64,
    /// Waits that ended with events.
    pub polls_with_events: u64,
    /// Events reported.
    pub events: u64,
    /// Tasks run.
    pub tasks: u64,
    /// Attempts that are over.
    pub checks: u64,
    /// Those of them that had begun later than they should have.
    pub late: u64,
    /// How late one has begun at most.
    pub latest_ms: u64,
    /// Times somebody rang.
    pub rung: u64,
    /// Times this process rang another.
    pub rings: u64,
}

/// Everything one checker has.
#[derive(Debug)]
pub struct Checker {
    clock: Clock,
    descriptors: Descriptors<Owner>,
    poller: Poller,
    tasks: Scheduler<Job>,
    signals: SignalQueue<Self>,
    signal_source: Signals,
    channel: Channel,
    channel_token: Token,
    hello: Hello,
    /// How it is confined.
    confined: Confined,
    config: Rc<Config>,
    lane: OwnLane,
    doorbells: BTreeMap<Lane, OwnedFd>,
    log: Log,
    log_task: TaskId,
    applets: Vec<Applet>,
    /// Whether it checks.
    active: bool,
    watches: Vec<Watch>,
    /// Watches whose server's traffic is observed.
    observed: Vec<Key>,
    farms: Farms,
    runner: Option<Runner>,
    /// Commands asked for so far.
    commands: u64,
    /// Commands that are under way, and for whom.
    asked: HashMap<u64, Key>,
    /// This node's name.
    hostname: Rc<str>,
    /// A server is not what it was in this cycle.
    rings: bool,
    /// What spreads checks.
    random: u64,
    scratch: Box<[u8]>,
    descriptor_limit: usize,
    exit: Option<ExitCode>,
    activity: Activity,
    events: Vec<Event>,
}

impl Checker {
    /// Turns until it is told to leave.
    fn run(&mut self) -> ExitCode {
        loop {
            if let Some(code) = self.turn_once(Duration::MAX) {
                return code;
            }
        }
    }

    /// One cycle, which waits at most so long; at the end the exit status.
    fn turn_once(&mut self, longest: Duration) -> Option<ExitCode> {
        self.handle_signals();
        self.tasks.expire(self.clock.now());
        self.run_tasks();
        self.run_applets();
        self.ring_bells();
        if let Some(code) = self.exit {
            self.leave();
            return Some(code);
        }
        self.flush_interests();
        self.poll(longest);
        self.handle_events();
        None
    }

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

    fn run_tasks(&mut self) {
        for _ in 0..self.config.tune.runqueue_depth {
            let Some((id, job, _)) = self.tasks.next() else { break };
            self.activity.tasks += 1;
            match job {
                Job::Watch(key) => self.run_watch(key),
                Job::Heartbeat => self.beat(id),
                Job::Logs => {
                    self.log.flush(self.clock.now());
                    self.schedule_logs();
                }
            }
        }
    }

    fn run_applets(&mut self) {
        for _ in 0..self.applets.len() {
            if self.channel.wants_write() {
                break;
            }
            self.applet_step();
        }
    }

    fn flush_interests(&mut self) {
        while let Some(change) = self.descriptors.next_change() {
            if let Err(error) = self.poller.update(&self.descriptors, change) {
                let owner = self.descriptors.get(change.token).map(|entry| entry.owner);
                if let Some(Owner::Watch(key)) = owner {
                    self.give_up(key);
                }
                let text =
                    format_args!("the {} poller refused {owner:?}: {error}", self.poller.name());
                self.log.say_limited(Kind::Resource, LogLevel::Err, text);
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.tasks.runnable() > 0
            || !self.signals.is_empty()
            || (!self.applets.is_empty() && !self.channel.wants_write())
    }

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

    fn handle_events(&mut self) {
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let Some(descriptor) = self.descriptors.get(event.token) else { continue };
            match descriptor.owner {
                Owner::Signals => {
                    for signal in self.signal_source.take() {
                        self.signals.push(signal);
                    }
                }
                Owner::Channel => self.handle_channel(),
                Owner::Doorbell => self.handle_doorbell(),
                Owner::Runner => self.handle_runner(),
                Owner::Watch(key) => self.handle_ready(key, event.token, event.bits),
            }
        }
        self.events = events;
    }

    /// Somebody rang.
    fn handle_doorbell(&mut self) {
        self.activity.rung += 1;
        if let Some(doorbell) = self.doorbells.get(&self.lane.number()) {
            let _ = rustix::io::read(doorbell, &mut [0_u8; 8]);
        }
        self.look_around();
    }

    /// What others may have changed: errors in traffic, what operators want.
    fn look_around(&mut self) {
        self.look_for_alarms();
        self.look_for_wishes();
    }

    /// The loop turns.
    fn beat(&mut self, task: TaskId) {
        let now = self.clock.now();
        self.tasks.schedule(task, now + BEAT_MS);
        self.confined.tell_refusals(&mut self.log);
        self.log.flush(now);
        self.schedule_logs();
        // A bell may have been lost with a process that died while it rang.
        self.look_around();
    }

    /// A random number, each as likely (xorshift64*).
    fn draw(&mut self) -> u32 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn schedule_logs(&mut self) {
        if let Some(due) = self.log.due(self.clock.now()) {
            self.tasks.schedule(self.log_task, due);
        }
    }

    /// A poller that fails is opened anew; without one nothing can be checked, and another process
    /// takes over.
    fn poll_failed(&mut self, error: &io::Error) {
        let text = format_args!("the {} poller failed: {error}", self.poller.name());
        self.log.say_limited(Kind::Resource, LogLevel::Alert, text);
        if let Err(error) = self.poller.fork(&mut self.descriptors) {
            self.log.say(LogLevel::Alert, format_args!("it cannot be opened anew: {error}"));
            self.exit = Some(ExitCode::FAILURE);
        }
    }

    /// The last things before the process ends.
    fn leave(&mut self) {
        self.confined.tell_refusals(&mut self.log);
        self.log.finish(Duration::from_millis(200));
        // The master sees the end of the process itself.
        let _ = self.channel.flush();
    }
}

#[cfg(test)]
mod tests;
