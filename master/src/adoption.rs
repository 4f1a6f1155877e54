//! Living processes that another master had started: they are taken over, not replaced.
//!
//! Shell.
//!
//! ```text
//! upgrade: the state that was handed over ───────────────────────────────────┐
//! death: what the wrapper kept ► Adopt to everybody ► whoever answers ───────┴► taken over
//!                                   └► who does not answer in time ► is ended, and replaced
//! ```
//!
//! - The generation that was accepted last serves. Whoever else lives retires: an older one goes on with
//!   that, one of a reload that was under way begins; that reload has failed.
//! - Nobody is heard before it has answered with the number it was given: what it said before was meant
//!   for another master.
//! - Nobody is waited for beyond [`ANSWERS_MAX`]: whoever answers later is taken over then, and its slot
//!   has a deputy until it does.

mod found;

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use portolan_shared::log;
use portolan_shared::message::wrapper::{CHANNEL, PIDFD, ToWrapper};
use portolan_shared::message::{Role, ToMaster, ToWorker};
use portolan_shared::model::{Config, LISTENER_SOCKETS_DEFAULT, LogLevel};
use portolan_shared::sys;
use rustix::process::{Signal, pidfd_send_signal};

use crate::aides::{Aides, Post};
use crate::control::Control;
use crate::generation::Generation;
use crate::handover::{HandedGeneration, HandedWorker, Handover};
use crate::heartbeat::{Heartbeat, UNANSWERED};
use crate::kept::{Facts, GENERATION, KeptChannel, Living};
use crate::limits;
use crate::listeners::unix::Live;
use crate::master::Master;
use crate::prepare::BINARY;
use crate::slots::{Slots, WorkerId};
use crate::state::{Input, State};
use crate::worker::{Phase, Worker};

use found::{Answer, Found, hear_all};

/// How long all of them together are waited for: a loop that lives answers within a few milliseconds,
/// and a machine that is out of breath is not to be without a master for longer than this.
const ANSWERS_MAX: Duration = Duration::from_millis(100);

impl Master {
    /// Goes on from where the former program left.
    pub fn adopt(&mut self, handed: Handover, living: &Living) {
        let now = Instant::now();
        let ago = |ms| now.checked_sub(Duration::from_millis(ms)).unwrap_or(now);
        self.is_fresh_image = true;
        self.current = Some(handed.current);
        self.last_generation = handed.last_generation;
        self.reloads = handed.reloads;
        self.maxconn = handed.maxconn;
        self.paused = handed.paused;
        self.since = ago(handed.age_ms);
        self.accepted = None;
        self.arguments.finish.clear();
        self.arguments.terminate.clear();
        for generation in handed.generations {
            self.adopt_generation(generation, None);
        }
        let found = handed.workers.into_iter().filter_map(|handed| {
            let (pidfd, channel) = (sys::inherited(handed.pidfd)?, sys::inherited(handed.channel)?);
            Some(Found::handed(handed, pidfd, channel.into()))
        });
        self.take_over(found.collect(), now);
        // Of another version's model nothing is said until the next reload.
        let config = self.current().map(|current| postcard::from_bytes(&current.configuration));
        self.config = config.and_then(Result::ok).map(Rc::new);
        // The reload that follows may fail, and then all goes on as it is.
        if let Some(config) = self.config.clone() {
            self.take_logs(&config);
        }
        sys::title::set(&format!("portolan: master gen {}", handed.current));
        if let Some(control) = &mut self.control {
            for client in handed.clients {
                let waits = client.waits;
                if let Some(id) = control.adopt_client(client, now).filter(|_| waits) {
                    self.waiting.next.push(id);
                }
            }
        }
        self.keep_what_is_not(living);
        self.say(
            LogLevel::Notice,
            &format!("Version {} takes over from {}", env!("CARGO_PKG_VERSION"), handed.version),
        );
    }

    /// Goes on where a former master died, if there is what is needed for that; whether there was.
    pub fn adopt_living(&mut self, mut living: Living) -> bool {
        let begun = Instant::now();
        let accepted = self.accepted.as_ref().filter(|_| self.memory_kept);
        let Some(number) = accepted.map(|accepted| accepted.generation) else {
            self.let_go(living);
            return false;
        };
        // They answer while the configuration is read.
        let mut found = self.ask_living(&mut living);
        let facts = living.facts();
        let last = living.last_generation().unwrap_or(number);
        let generations = living.take_generations();
        let current = generations.iter().find(|(generation, _)| generation.number == number);
        let config = current.and_then(|(generation, _)| {
            postcard::from_bytes::<Config>(&generation.configuration).ok()
        });
        let Some(config) = config else {
            self.let_go(living);
            return false;
        };
        self.accepted = None;
        self.arguments.finish.clear();
        self.arguments.terminate.clear();
        self.current = Some(number);
        self.last_generation = last.max(number).max(facts.last);
        self.paused = facts.paused;
        self.reloads = facts.reloads;
        if facts.since_ms != 0 {
            self.since = self.clocks.instant(facts.since_ms);
        }
        let _own_limit = limits::limit_own(LISTENER_SOCKETS_DEFAULT);
        for (generation, program) in generations {
            self.adopt_generation(generation, program);
        }
        hear_all(&mut found, Instant::now() + ANSWERS_MAX);
        for one in &mut found {
            recall(one, &facts);
        }
        let answered = found.iter().filter(|one| one.awaited.is_none()).count();
        let all = found.len();
        self.take_over(found, begun);
        self.aides.set_joined(self.joined(&facts));
        self.state = State::Serving;
        // What a promotion does is done before the facts say so, the first one's too.
        let halfway = facts.current != number;
        if halfway {
            self.promote_again(&config);
        }
        self.go_on(config, begun);
        let took = begun.elapsed().as_millis();
        let line = format!("{answered} of {all} processes of a former master adopted in {took} ms");
        self.say(LogLevel::Notice, &line);
        self.tell(&ToWrapper::Ready { generation: number });
        self.judge_reload(&facts, facts.reloading || last > number);
        if facts.stopping {
            self.input(Input::SoftStopAsked, begun);
            if let Some(ms) = facts.stop_ms {
                self.stop_deadline = Some(self.clocks.instant(ms));
            }
        }
        true
    }

    /// Who cannot be adopted finishes and leaves: nobody holds the other end of its channel any more.
    fn let_go(&mut self, living: Living) {
        let names = living.into_names();
        self.forget(names);
    }

    /// Asks everybody who was kept.
    fn ask_living(&mut self, living: &mut Living) -> Vec<Found> {
        let mut processes = std::mem::take(&mut living.processes);
        let mut found = Vec::new();
        for (lane, channel) in std::mem::take(&mut living.channels) {
            let process = processes.remove(&lane);
            let is_owner = self.memory.memory().is_live(lane)
                && self.memory.memory().owner(lane).incarnation == channel.0.incarnation;
            match process {
                Some(process) if is_owner => found.push(Found::ask(lane, channel, process)),
                // Another has its lane since: what lives of it is of no master's any more.
                Some((_, pidfd)) => {
                    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                    self.forget_process(lane);
                }
                // It was told nothing yet, and leaves when its channel ends.
                None => self.forget_process(lane),
            }
        }
        for (lane, _) in processes {
            self.forget_process(lane);
        }
        found
    }

    /// Puts everybody into its place.
    fn take_over(&mut self, found: Vec<Found>, now: Instant) {
        let handed: Vec<HandedWorker> = found.iter().map(|one| one.handed.clone()).collect();
        for one in found {
            self.adopt_worker(one, now);
        }
        self.adopt_links(&handed);
        let slots = self.current().map_or(0, |current| current.slots);
        let posts = self.current().map(|current| current.aides.clone()).unwrap_or_default();
        let holders: Vec<_> = (0..slots).map(|slot| self.holder(slot, Phase::Ready)).collect();
        self.aides = Aides::adopted(&posts, |post| self.holder(post.slot(), Phase::Ready), now);
        self.slots = Slots::adopted(holders, now);
        for slot in 0..slots {
            // Whoever has not answered holds the slot as one that starts.
            if let Some(id) = self.late_holder(slot) {
                self.slots.started(slot, id);
            }
        }
        for post in posts {
            if let Some(id) = self.late_holder(post.slot()) {
                self.aides.started(post, id);
            }
        }
        let lane = self.memory.memory().checker_lane();
        let checks = self.workers.values().find(|worker| Some(worker.lane) == lane);
        self.aides.begun(checks.map(|worker| worker.id));
        let short: Vec<WorkerId> =
            self.workers.values().filter(|worker| worker.short).map(|worker| worker.id).collect();
        let mut orders = self.slots.settle();
        for id in short {
            orders.extend(self.slots.short(id, true));
        }
        self.order(orders);
    }

    /// The process of the generation that serves that has this slot and phase.
    fn holder(&self, slot: u16, phase: Phase) -> Option<WorkerId> {
        let mut workers = self.workers.values();
        let found = workers.find(|worker| {
            Some(worker.generation) == self.current && worker.slot == slot && worker.phase == phase
        });
        found.map(|worker| worker.id)
    }

    fn late_holder(&self, slot: u16) -> Option<WorkerId> {
        let late = self.holder(slot, Phase::Starting)?;
        self.holder(slot, Phase::Ready).is_none().then_some(late)
    }

    /// Those who were given a way to each other and live.
    fn joined(&self, facts: &Facts) -> Option<(WorkerId, WorkerId)> {
        let id = |pid| self.workers.values().find(|one| one.pid == pid).map(|worker| worker.id);
        let (checker, runner) = facts.joined?;
        Some((id(checker)?, id(runner)?))
    }

    /// The former master died while it promoted the generation that serves.
    fn promote_again(&mut self, config: &Config) {
        let Some(current) = self.current() else { return };
        let (sockets, used) = (current.sockets.clone(), current.used.clone());
        let binary = Rc::clone(&current.binary);
        for error in self.listeners.promote_again(&sockets, &used, config).errors {
            self.say(LogLevel::Warning, &error.to_string());
        }
        self.binary = Rc::clone(&binary);
        if let Err(error) = self.keep(BINARY, Vec::new(), &*binary) {
            self.say(LogLevel::Warning, &error);
        }
    }

    /// What a promotion does for a generation that is new is done for one that serves already.
    fn go_on(&mut self, config: Config, now: Instant) {
        let process = &config.process;
        self.maxconn = process.maxconn.unwrap_or(0);
        self.names = (process.node.clone(), process.description.clone());
        let used = self.current().map(|current| current.used.clone()).unwrap_or_default();
        self.listeners.serve(&used);
        self.take_logs(&config);
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            self.settle_adopted(id, now);
        }
        self.drop_generations();
        match self.control_of(&config) {
            Ok(control) => self.take_control(&config, control),
            Err(error) => self.say(LogLevel::Warning, &error),
        }
        let number = self.current.unwrap_or(0);
        sys::title::set(&format!("portolan: master gen {number}"));
        self.config = Some(Rc::new(config));
        self.count_servers();
    }

    /// The control socket, where the one that was kept is not the configuration's: a reload ended halfway.
    fn control_of(&self, config: &Config) -> Result<Option<Control>, String> {
        let Some(path) = config.process.control_socket.as_deref() else { return Ok(None) };
        if self.control.as_ref().is_some_and(|control| control.path() == path) {
            return Ok(None);
        }
        Control::bind(path, Live::Replace)
            .map(Some)
            .map_err(|why| format!("cannot bind control socket {}: {why}", path.display()))
    }

    /// A reload that was under way has failed, unless it had come to the point where it holds.
    fn judge_reload(&mut self, facts: &Facts, under_way: bool) {
        if self.current != Some(facts.current) {
            self.reloads.0 += u32::from(facts.current != 0);
            return self.say(LogLevel::Notice, "Loading success.");
        }
        if !under_way {
            return;
        }
        let line = "the master died before the new generation was ready".to_owned();
        self.reloads.1 += 1;
        self.say(LogLevel::Alert, &format!("Reload failed: {line}"));
        self.tell(&ToWrapper::ReloadFailed(line.clone()));
        self.failure = Some(line.into());
    }

    fn adopt_generation(&mut self, handed: HandedGeneration, program: Option<OwnedFd>) {
        let socket = |name: &str| self.listeners.named(name).or_else(|| self.passed.by_name(name));
        let sockets = handed.sockets.iter();
        let configuration: Rc<[u8]> = handed.configuration.into();
        let generation = Generation {
            number: handed.number,
            slots: handed.slots,
            aides: handed.aides,
            aide_configuration: handed
                .aide_configuration
                .map_or_else(|| Rc::clone(&configuration), Into::into),
            configuration,
            sockets: sockets.filter_map(|(entry, name)| Some((*entry, socket(name)?))).collect(),
            used: handed.used,
            // A log that cannot be opened again is missed by workers that are respawned meanwhile.
            logs: log::Sockets::open(&handed.logs, |number| self.passed.duplicate(number))
                .unwrap_or_default(),
            endpoints: handed.logs,
            binary: program.map_or_else(|| Rc::clone(&self.binary), Rc::new),
            terms: handed.terms,
        };
        self.generations.insert(handed.number, generation);
    }

    fn adopt_worker(&mut self, found: Found, now: Instant) {
        let Found { handed, pidfd, channel, awaited, .. } = found;
        let id = self.next_worker;
        self.next_worker += 1;
        let mut worker = Worker::adopt(id, &handed, pidfd, channel, now);
        worker.incarnation = self.memory.memory().owner(worker.lane).incarnation;
        worker.awaited = awaited;
        if worker.phase != Phase::Starting {
            worker.heartbeat = Some(Heartbeat::new(self.memory.memory().heartbeat(worker.lane)));
        } else if awaited.is_some() && self.generations.contains_key(&handed.generation) {
            worker.heartbeat = Some(Heartbeat::new(UNANSWERED));
        } else {
            worker.hard_stop(now);
        }
        self.workers.insert(id, worker);
    }

    /// Somebody says something who has not answered yet.
    pub fn hear_unadopted(&mut self, id: WorkerId, nonce: u64, message: ToMaster, now: Instant) {
        let Some(answer) = Answer::of(message, nonce) else { return };
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.awaited = None;
        worker.version.clone_from(&answer.version);
        worker.streams = answer.streams;
        let (name, post, slot) = (worker.name(), worker.post(), worker.slot);
        let current = self.current == Some(worker.generation);
        match answer.phase() {
            Phase::Ready if current => {
                self.handle_ready(id, now);
                if answer.short {
                    let orders = self.slots.short(id, true);
                    self.order(orders);
                }
            }
            phase => {
                worker.phase = phase;
                worker.stopping_since = phase.leaves().then_some(now);
                worker.heartbeat =
                    Some(Heartbeat::new(self.memory.memory().heartbeat(worker.lane)));
                if phase == Phase::Retiring {
                    self.succession.retires(id, slot);
                }
                if current && matches!(post, Post::Slot(_)) {
                    let orders = self.slots.leaving(id, now);
                    self.order(orders);
                }
            }
        }
        self.say(LogLevel::Notice, &format!("{name} is adopted after all"));
        self.settle_adopted(id, now);
    }

    /// Tells somebody who was adopted what it may have missed; who is not of the generation that serves
    /// retires.
    fn settle_adopted(&mut self, id: WorkerId, now: Instant) {
        let (current, paused, stops) = (self.current, self.paused, self.state.stops());
        let slots = self.current().map_or(0, |current| current.slots);
        let Some(worker) = self.workers.get_mut(&id).filter(|one| one.awaited.is_none()) else {
            return;
        };
        let serves = Some(worker.generation) == current;
        if worker.role != Role::Worker && !serves {
            return worker.hard_stop(now);
        }
        if worker.role != Role::Runner {
            for (lane, bell) in self.memory.doorbells() {
                worker.say(&ToWorker::Doorbell { lane }, &[bell]);
            }
        }
        if worker.role == Role::Worker && serves && worker.phase == Phase::Ready {
            let order = if paused { ToWorker::Pause } else { ToWorker::Resume };
            worker.say(&order, &[]);
        }
        if worker.phase == Phase::Ready && !serves && !stops {
            // One of a generation that never served may have accepted from sockets of its own.
            let begun = Some(worker.generation) > current;
            let own = worker.slot;
            for slot in (0..slots).filter(|slot| begun && *slot != own) {
                worker.say(&ToWorker::Deputy { slot, serve: true }, &[]);
            }
            worker.reloads = u32::from(!begun);
            self.retire(id, now);
        }
    }

    /// Has kept what a former program did not keep.
    fn keep_what_is_not(&mut self, living: &Living) {
        let generations: Vec<u32> = self.generations.keys().copied().collect();
        let mut results = Vec::new();
        for number in generations {
            if !living.has(&format!("{GENERATION}{number}")) {
                results.push(self.keep_generation(number));
            }
        }
        let workers = std::mem::take(&mut self.workers);
        for worker in workers.values() {
            if !living.has(&format!("{CHANNEL}{}", worker.lane)) {
                let kept = KeptChannel {
                    generation: worker.generation,
                    post: worker.post(),
                    incarnation: worker.incarnation,
                };
                results.push(self.keep_channel(worker.lane, kept, &worker.channel));
            }
            if !living.has(&format!("{PIDFD}{}", worker.lane)) {
                results.push(self.keep_process(worker));
            }
        }
        self.workers = workers;
        for error in results.into_iter().filter_map(Result::err) {
            self.say(LogLevel::Warning, &error);
        }
    }
}

/// What the former master knew of somebody who leaves.
fn recall(found: &mut Found, facts: &Facts) {
    let known = facts.leaving.iter().find(|leaving| leaving.pid == found.handed.pid);
    if let Some(known) = known.filter(|_| found.handed.phase.leaves()) {
        found.handed.reloads = known.reloads;
        let left = |ms: u64| ms.saturating_sub(log::monotonic_ms());
        found.handed.stop_in_ms = known.until_ms.map(left);
    }
}
