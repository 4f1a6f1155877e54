//! What comes of an attempt: health, shared states, doorbells.
//!
//! Shell around `check::health` and `standing`.
//!
//! In this order, so that a verdict is seen by the first pick after it: the server's words are stored,
//! the versions of its backend and of those with servers that track it are counted up, the log is told,
//! and at the end of the cycle every worker's bell rings if a server is not what it was.

use portolan_shared::check_result::{CheckResult, Effect};
use portolan_shared::memory::{AgentVerdict, AgentWeight, Object, Operational, Total, Verdict};
use portolan_shared::message::Judgement;

use super::farms::{At, Change, look_at};
use super::watch::{Kind, Watch};
use super::{Checker, Key};
use crate::check::Outcome;
use crate::check::agent::{Admin, Reply, State, Weight};
use crate::check::health::{self, Counter};
use crate::check::lines::{Cause, Reason, is_news};
use crate::clock::{Millis, millis};

/// How HAProxy calls what an operator does.
const BY_OPERATOR: &str = "changed from CLI";

impl Checker {
    /// An attempt is over.
    pub(super) fn conclude(&mut self, key: Key, took: Millis, outcome: &Outcome) {
        let late = self.count_attempt(key, took);
        // It may have gone into maintenance meanwhile.
        self.look_if_stale(self.watches[key as usize].at.backend);
        if !self.is_at_rest(key) {
            let took = u32::try_from(took).unwrap_or(u32::MAX);
            match self.watches[key as usize].kind {
                Kind::Check => {
                    let judge = &mut self.watches[key as usize].judge;
                    let was = judge.operational();
                    let change = judge.on(outcome.result);
                    self.settle(key, was, change, Reason { outcome, duration_ms: Some(took) });
                }
                Kind::Agent => self.hear_agent(key, took, outcome),
            }
        }
        self.schedule_next(key, late);
    }

    /// What was made of a result is stored, logged and told.
    fn settle(&mut self, key: Key, was: Operational, change: health::Change, reason: Reason<'_>) {
        let watch = &mut self.watches[key as usize];
        let (at, object, judge) = (watch.at, watch.object, watch.judge);
        let result = reason.outcome.result;
        let before = std::mem::replace(&mut watch.last, result);
        if change.counted && result.effect() == Effect::Failed {
            self.lane.add(object, Total::CheckFailures, 1);
        }
        let server = &self.config.backends[at.backend as usize].servers[at.server as usize];
        let passed = matches!(result.effect(), Effect::Passed | Effect::Conditional);
        if passed && server.health.observe.is_some() {
            // It ends a row of errors in the server's traffic.
            self.lane.memory().observe(object, true, server.health.error_limit);
        }
        let verdict = Verdict {
            operational: judge.operational(),
            health: judge.counter().value() as u16,
            result,
            code: reason.outcome.code,
            duration_ms: reason.duration_ms.unwrap_or(0),
        };
        let since = self.store(at, object, was, verdict);
        let logged = self.config.backends[at.backend as usize].check.log;
        if logged && is_news(before, result, change.counted) {
            self.log_check(at, false, reason, judge.counter());
        }
        let cause = if logged { Cause::Logged } else { Cause::Check(reason) };
        self.publish(at, cause, since, false);
    }

    /// The verdict goes to shared memory, with the time if the server has come up or gone down; since
    /// when it was what it was.
    fn store(&self, at: At, object: Object, was: Operational, verdict: Verdict) -> Millis {
        let memory = self.lane.memory();
        let since = memory.server_state(object).changed_ms;
        let turned = (was == Operational::Down) != (verdict.operational == Operational::Down);
        let changed_ms = if turned { self.clock.now() } else { since };
        let server = &self.config.backends[at.backend as usize].servers[at.server as usize];
        memory.store_verdict(object, verdict, changed_ms, server.fingerprint);
        since
    }

    /// Tells everybody for whom a server, or one that tracks it, is not what it was. `anyhow`: its weight
    /// or limit has changed, which nobody logs.
    fn publish(&mut self, at: At, cause: Cause<'_>, since: Millis, anyhow: bool) {
        let now = self.clock.now();
        let memory = self.lane.memory();
        let mut changes = Vec::new();
        for tracker in 0..=self.farms.trackers(at).len() {
            let of = if tracker == 0 { at } else { self.farms.trackers(at)[tracker - 1] };
            let before = self.farms.left(of.backend);
            if let Some(change) = self.farms.renew(&self.config, memory, of, now) {
                changes.push((change, before, self.farms.left(of.backend)));
            }
        }
        let mut told: Vec<_> = changes.iter().map(|(change, ..)| change.at.backend).collect();
        told.extend(anyhow.then_some(at.backend));
        told.sort_unstable();
        told.dedup();
        for backend in told {
            memory.bump_states(self.config.backends[backend as usize].object);
            self.farms.bumped(backend);
            self.rings = true;
        }
        for (change, before, left) in changes {
            self.count_change(change, since);
            self.log_change(at, change, cause, before, left);
        }
    }

    fn count_change(&self, change: Change, since: Millis) {
        let Change { at, before, after } = change;
        let object = self.config.backends[at.backend as usize].servers[at.server as usize].object;
        let (was_down, is_down) =
            (before.operational == Operational::Down, after.operational == Operational::Down);
        if is_down && !was_down {
            self.lane.add(object, Total::DownTransitions, 1);
        }
        if was_down && !is_down && since > 0 {
            let length = self.clock.now().saturating_sub(since);
            self.lane.add(object, Total::DownTime, length);
        }
    }

    /// Too many errors in a server's traffic.
    pub(super) fn look_for_alarms(&mut self) {
        for at in 0..self.observed.len() {
            let key = self.observed[at];
            let watch = &mut self.watches[key as usize];
            let alarms = self.lane.memory().alarms(watch.object);
            if std::mem::replace(&mut watch.alarms, alarms) == alarms {
                continue;
            }
            if self.active && !self.is_at_rest(key) {
                self.handle_alarm(key);
            }
        }
    }

    fn handle_alarm(&mut self, key: Key) {
        let watch = &mut self.watches[key as usize];
        let server =
            &self.config.backends[watch.at.backend as usize].servers[watch.at.server as usize];
        let health = &server.health;
        let fastinter = health.fastinter;
        let text = format!("Detected {} consecutive errors", health.error_limit);
        let was = watch.judge.operational();
        if let Some(change) = watch.judge.on_errors(health.on_error) {
            let outcome = Outcome::with(CheckResult::Observed, text);
            self.settle(key, was, change, Reason { outcome: &outcome, duration_ms: None });
        }
        if let Some(fastinter) = fastinter {
            self.hasten(key, self.clock.now() + millis(fastinter));
        }
    }

    /// An agent has answered, or has not; what it does not mention stays as it is.
    fn hear_agent(&mut self, key: Key, took: u32, outcome: &Outcome) {
        let now = self.clock.now();
        let watch = &mut self.watches[key as usize];
        let (at, before) = (watch.at, std::mem::replace(&mut watch.last, outcome.result));
        let known = self.agent_of(at);
        let mut agent = AgentVerdict { result: outcome.result, duration_ms: took, ..known };
        if let Some(reply) = &outcome.agent {
            apply(reply, &mut agent, now);
        }
        let counter = Counter::of_agent(!agent.down);
        let reason = Reason { outcome, duration_ms: Some(took) };
        let logged = self.config.backends[at.backend as usize].check.log;
        if logged && is_news(before, outcome.result, known.down != agent.down) {
            self.log_check(at, true, reason, counter);
        }
        let cause = if logged { Cause::Logged } else { Cause::Check(reason) };
        self.store_agent(at, known, agent, cause);
    }

    fn agent_of(&self, at: At) -> AgentVerdict {
        let server = &self.config.backends[at.backend as usize].servers[at.server as usize];
        let state = self.lane.memory().server_state(server.object);
        let same = state.agent_fingerprint == server.agent_fingerprint;
        if same { state.agent } else { AgentVerdict::default() }
    }

    /// The watch of a server's check.
    fn check_of(&self, at: At) -> Option<Key> {
        let first = self.watches.partition_point(|watch| watch.at < at);
        let of = |watch: &Watch| watch.at == at && watch.kind == Kind::Check;
        self.watches[first..].iter().take(2).position(of).map(|n| (first + n) as Key)
    }

    fn store_agent(&mut self, at: At, known: AgentVerdict, agent: AgentVerdict, cause: Cause<'_>) {
        let server = &self.config.backends[at.backend as usize].servers[at.server as usize];
        let memory = self.lane.memory();
        let state = memory.server_state(server.object);
        let was = self.farms.known(at).maint;
        if known.down != agent.down {
            let (verdict, of) = (state.verdict, state.fingerprint);
            memory.store_verdict(server.object, verdict, self.clock.now(), of);
        }
        memory.store_agent(server.object, agent, server.agent_fingerprint);
        let is = look_at(&self.config, memory, at, self.clock.now()).maint;
        let returns = was.is_some() && is.is_none();
        if returns {
            // What was found before is of another time.
            memory.forget_verdict(server.object);
        }
        let wants = |agent: AgentVerdict| (agent.weight, agent.maxconn);
        self.publish(at, cause, state.changed_ms, wants(known) != wants(agent));
        if let Some(key) = self.check_of(at).filter(|_| returns) {
            self.begin_anew(key);
            self.hasten(key, self.clock.now());
        }
    }

    /// The operator has judged.
    pub(super) fn handle_judgement(&mut self, object: Object, judgement: Judgement) {
        let wanted = match judgement {
            Judgement::HealthUp | Judgement::HealthStopping | Judgement::HealthDown => Kind::Check,
            Judgement::AgentUp | Judgement::AgentDown => Kind::Agent,
        };
        let of = |watch: &super::watch::Watch| watch.object == object && watch.kind == wanted;
        let Some(key) = self.watches.iter().position(of) else { return };
        let at = self.watches[key].at;
        self.look_if_stale(at.backend);
        let operational = match judgement {
            Judgement::HealthUp => Operational::Up,
            Judgement::HealthStopping => Operational::Stopping,
            Judgement::HealthDown => Operational::Down,
            Judgement::AgentUp | Judgement::AgentDown => {
                let known = self.agent_of(at);
                let agent = AgentVerdict { down: judgement == Judgement::AgentDown, ..known };
                return self.store_agent(at, known, agent, Cause::Said(BY_OPERATOR));
            }
        };
        let judge = &mut self.watches[key].judge;
        let was = judge.operational();
        judge.force(operational);
        let judge = *judge;
        let known = self.lane.memory().server_state(object).verdict;
        let health = judge.counter().value() as u16;
        let since = self.store(at, object, was, Verdict { operational, health, ..known });
        self.publish(at, Cause::Said(BY_OPERATOR), since, false);
    }

    /// A server left maintenance, or its checks were turned on again: it is as if it were new.
    pub(super) fn begin_anew(&mut self, key: Key) {
        let watch = &mut self.watches[key as usize];
        watch.rests = false;
        if watch.kind == Kind::Check {
            watch.last = CheckResult::Unknown;
            let server =
                &self.config.backends[watch.at.backend as usize].servers[watch.at.server as usize];
            watch.judge = health::Judge::initial(&server.health);
        }
    }
}

/// What an agent has said.
fn apply(reply: &Reply, agent: &mut AgentVerdict, now: Millis) {
    if let Some(state) = reply.state {
        agent.down = state != State::Up;
    }
    match reply.admin {
        Some(Admin::Ready) => {
            // Said again and again it is one word, of the time when it was first said.
            if agent.drain || agent.maint || agent.ready_ms == 0 {
                agent.ready_ms = now;
            }
            (agent.drain, agent.maint) = (false, false);
        }
        Some(Admin::Drain) => (agent.drain, agent.maint) = (true, false),
        Some(Admin::Maint) => agent.maint = true,
        None => {}
    }
    if let Some(weight) = reply.weight {
        agent.weight_ms = now;
        agent.weight = Some(match weight {
            Weight::Percent(percent) => AgentWeight::Percent(percent),
            Weight::Absolute(weight) => AgentWeight::Absolute(weight),
        });
    }
    if let Some(maxconn) = reply.maxconn {
        agent.maxconn_ms = now;
        agent.maxconn = Some(maxconn);
    }
}
