//! When a watch is looked at.
//!
//! Shell. A task per watch, whose deadline is the next attempt's beginning, or the end of the patience
//! with the one that is under way.

use std::rc::Rc;

use portolan_shared::check_result::CheckResult;
use portolan_shared::log::Kind as Event;
use portolan_shared::memory::Operational;
use portolan_shared::message::runner::{FromRunner, ToRunner};
use portolan_shared::model::{BackendId, LogLevel};
use portolan_shared::standing::Cause;

use super::watch::{Kind, Means, Under};
use super::{Checker, Key};
use crate::check::{external, schedule};
use crate::clock::{Millis, millis};
use crate::task::NEVER;

/// A check that begins later than this part of its interval after it was due is late.
const LATE_PART: Millis = 10;
/// How much longer than the command itself its answer is waited for.
const RUNNER_GRACE_MS: Millis = 1000;

impl Checker {
    /// Begins to check: first attempts follow one another over the shortest interval.
    pub(super) fn begin_checks(&mut self) {
        if std::mem::replace(&mut self.active, true) {
            return;
        }
        let now = self.clock.now();
        let config = Rc::clone(&self.config);
        let own = |checker: &Self, key: usize| {
            std::time::Duration::from_millis(checker.watches[key].inter)
        };
        let shortest = schedule::shortest((0..self.watches.len()).map(|key| own(self, key)));
        for backend in 0..config.backends.len() as u32 {
            self.farms.recount(&config, self.lane.memory(), backend, now);
        }
        let count = self.watches.len();
        for key in 0..count {
            let after = schedule::first(key, count, shortest, own(self, key), None);
            let rests = self.is_at_rest(key as Key);
            let watch = &mut self.watches[key];
            watch.rests = rests;
            watch.due = now + millis(after);
            self.tasks.schedule(watch.task, watch.due);
        }
    }

    /// Checks no longer; what is under way tells nothing.
    pub(super) fn pause_checks(&mut self) {
        if !std::mem::replace(&mut self.active, false) {
            return;
        }
        for key in 0..self.watches.len() as Key {
            self.give_up(key);
            self.tasks.schedule(self.watches[key as usize].task, NEVER);
        }
    }

    /// Its deadline has passed.
    pub(super) fn run_watch(&mut self, key: Key) {
        match self.watches[key as usize].under {
            Under::Nothing if self.active => self.attempt(key),
            Under::Nothing => {}
            Under::Probe(_) => self.expire_probe(key),
            Under::Command { .. } => {
                self.give_up(key);
                self.runner_failed("it does not answer");
            }
        }
    }

    /// Whether a watch is not to be looked at now.
    pub(super) fn is_at_rest(&self, key: Key) -> bool {
        let watch = &self.watches[key as usize];
        let admin = self.lane.memory().server_state(watch.object).admin;
        match watch.kind {
            Kind::Agent => admin.agent_off,
            Kind::Check => {
                let maint = self.farms.known(watch.at).maint;
                admin.checks_off || maint.is_some_and(|cause| cause != Cause::Tracked)
            }
        }
    }

    /// The next attempt, or another time.
    fn attempt(&mut self, key: Key) {
        let at = self.watches[key as usize].at;
        self.look_if_stale(at.backend);
        if self.is_at_rest(key) {
            self.schedule_next(key, 0);
            return;
        }
        match self.watches[key as usize].means.clone() {
            Means::Script(script) => self.converse(key, script),
            Means::Command => self.command(key),
        }
    }

    /// Where somebody else has changed a state, what follows from it: see [`Self::look_if_stale`].
    pub(super) fn look_for_wishes(&mut self) {
        for backend in 0..self.config.backends.len() as u32 {
            self.look_if_stale(backend);
        }
    }

    /// Where somebody else has changed a state of this backend, it is looked at again. A watch that may
    /// go on, and one whose verdict was taken back, begins anew, and at once.
    pub(super) fn look_if_stale(&mut self, backend: BackendId) {
        let (config, memory) = (&self.config, self.lane.memory());
        if !self.farms.is_stale(config, memory, backend) {
            return;
        }
        self.farms.recount(config, memory, backend, self.clock.now());
        let first = self.watches.partition_point(|watch| watch.at.backend < backend);
        let last = self.watches.partition_point(|watch| watch.at.backend <= backend);
        for key in first as Key..last as Key {
            if self.is_at_rest(key) {
                self.watches[key as usize].rests = true;
            } else if self.watches[key as usize].rests || self.is_forgotten(key) {
                self.begin_anew(key);
                self.hasten(key, self.clock.now());
            }
        }
    }

    /// Whether somebody has taken back what this watch has found.
    fn is_forgotten(&self, key: Key) -> bool {
        let watch = &self.watches[key as usize];
        let verdict = || self.lane.memory().server_state(watch.object).verdict;
        watch.kind == Kind::Check
            && watch.last != CheckResult::Unknown
            && verdict().operational == Operational::Unknown
    }

    /// When the next attempt is due: an interval from now, less what this one had begun too late. Else
    /// those that once were late together would stay together.
    pub(super) fn schedule_next(&mut self, key: Key, late: Millis) {
        let draw = self.draw();
        let watch = &mut self.watches[key as usize];
        let server =
            &self.config.backends[watch.at.backend as usize].servers[watch.at.server as usize];
        let interval = watch.interval(&server.health);
        let percent = self.config.process.spread_checks.into();
        let interval = millis(schedule::spread(interval, percent, draw));
        watch.due = self.clock.now() + interval - late.min(interval / 2);
        self.tasks.schedule(watch.task, watch.due);
    }

    /// The next attempt is due at this moment, if it was not to come sooner.
    pub(super) fn hasten(&mut self, key: Key, due: Millis) {
        let watch = &mut self.watches[key as usize];
        if self.active && matches!(watch.under, Under::Nothing) && due < watch.due {
            watch.due = due;
            self.tasks.schedule(watch.task, due);
        }
    }

    /// What is under way tells nothing; the next attempt comes in its time.
    pub(super) fn give_up(&mut self, key: Key) {
        if let Under::Command { id, .. } = self.watches[key as usize].under {
            self.watches[key as usize].under = Under::Nothing;
            self.asked.remove(&id);
            self.tell_runner(&ToRunner::Cancel { id });
        }
        self.abandon_probe(key);
        self.schedule_next(key, 0);
    }

    /// Asks the runner.
    fn command(&mut self, key: Key) {
        let now = self.clock.now();
        let watch = &self.watches[key as usize];
        let at = watch.at;
        let connections = self.lane.memory().current(watch.object);
        let timeouts = &self.config.backends[at.backend as usize].timeouts;
        let timeout = timeouts.check.map_or(watch.inter, millis);
        if self.runner.is_none() {
            self.runner_failed("there is none");
            self.schedule_next(key, 0);
            return;
        }
        self.commands += 1;
        let id = self.commands;
        let run = ToRunner::Run {
            id,
            backend: at.backend,
            server: at.server,
            connections,
            timeout_ms: u32::try_from(timeout).unwrap_or(u32::MAX),
        };
        let watch = &mut self.watches[key as usize];
        watch.under = Under::Command { id, began: now };
        self.asked.insert(id, key);
        self.tasks.schedule(watch.task, now + timeout + RUNNER_GRACE_MS);
        self.tell_runner(&run);
    }

    /// The runner has answered.
    pub(super) fn hear_runner(&mut self, answer: &FromRunner) {
        let FromRunner::Ended { id, end } = answer;
        let Some(key) = self.asked.remove(id) else { return };
        let watch = &mut self.watches[key as usize];
        let Under::Command { began, .. } = watch.under else { return };
        watch.under = Under::Nothing;
        let took = self.clock.now().saturating_sub(began);
        match external::outcome(end) {
            Ok(outcome) => self.conclude(key, took, &outcome),
            Err(reason) => {
                self.runner_failed(reason);
                self.schedule_next(key, 0);
            }
        }
    }

    /// The way to the runner is gone: what it was asked for tells nothing of any server.
    pub(super) fn lose_runner(&mut self, why: &str) {
        self.forget_runner();
        let keys: Vec<Key> = std::mem::take(&mut self.asked).into_values().collect();
        for key in keys {
            self.watches[key as usize].under = Under::Nothing;
            self.schedule_next(key, 0);
        }
        self.runner_failed(why);
    }

    fn runner_failed(&mut self, why: &str) {
        let text = format_args!("external checks are not run: the runner: {why}");
        self.log.say_limited(Event::Resource, LogLevel::Warning, text);
    }

    /// Counts an attempt that took so long; how late it had begun.
    pub(super) fn count_attempt(&mut self, key: Key, took: Millis) -> Millis {
        let watch = &self.watches[key as usize];
        let late = self.clock.now().saturating_sub(took).saturating_sub(watch.due);
        self.activity.checks += 1;
        self.activity.latest_ms = self.activity.latest_ms.max(late);
        self.activity.late += u64::from(late > watch.inter / LATE_PART);
        late
    }
}
