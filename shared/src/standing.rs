//! What a server is good for now: the configuration, what checks and agent found, and what the
//! operator wants, taken together.
//!
//! Core, used by workers (whom to choose), the checker (what it says in logs) and the master (what it
//! shows).
//!
//! | what | is decided by, the first that says something |
//! | --- | --- |
//! | an address | none: nothing else matters, it serves nobody |
//! | maintenance | the operator, unless `disabled` was changed in the configuration since; `disabled`; also by the agent, also by the tracked server |
//! | up, stopping, down | the tracked server's; else the last verdict, if it is of this address and this check, else `init_state`; up where nothing is checked, or checks are off and no verdict was given since; down if the agent says so |
//! | drain | the operator; also by the agent, also by the tracked server; also weight 0 |
//! |  | what an operator said of maintenance and drain no longer counts once the agent has begun to say "ready" after it |
//! | weight | the later of operator and agent; the configuration. What the operator set holds as long as the configuration says what it said then |
//! | limit | the same |
//!
//! - A weight that may not change while running (`static-rr` and map-based hashes) is the configured
//!   one or 0.
//! - `slowstart` counts from the last time the server came up or left maintenance, and not at all
//!   from its first check. It goes in 20 steps; the weight begins with the first of them, and the limit with 1.

use std::time::Duration;

use crate::memory::{AdminState, AgentWeight, Memory, Operational, OperatorMaxconn, ServerState};
use crate::model::{Backend, Balance, Check, Config, HashMethod, InitState, Server, ServerAddress};

/// What a weight of 1 is in [`Standing::weight`], so that a slow start has steps below it.
pub const WEIGHT_SCALE: u32 = 16;
/// Highest weight before it is scaled.
pub const WEIGHT_MAX: u16 = 256;
/// Steps of a slow start.
const STEPS: u64 = 20;

/// Who may be sent to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usable {
    /// Everybody.
    All,
    /// Only who has been there before: it drains, has no weight, or asks for no new clients.
    Persistent,
    /// Nobody: it is down, in maintenance, or nobody knows where it is.
    None,
}

/// What a server is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Who may be sent to it.
    pub usable: Usable,
    /// Its share, in [`WEIGHT_SCALE`]ths; 0 unless everybody may be sent to it.
    pub weight: u32,
    /// Its weight as people know it, 0 to 256, whatever its state.
    pub user_weight: u16,
    /// Most connections at once, slow start included; `None`: no limit. See [`Self::limit`].
    pub maxconn: Option<u32>,
    /// When a slow start changes weight and limit next, ms of `CLOCK_MONOTONIC`.
    pub next_step_ms: Option<u64>,
    /// What checks make of it, never `Unknown`.
    pub operational: Operational,
    /// It is neither down nor in maintenance.
    pub up: bool,
    /// Who put it into maintenance.
    pub maint: Option<Cause>,
    /// Who lets it drain.
    pub drain: Option<Cause>,
    /// Its slow start is at this step of [`STEPS`].
    step: u8,
    /// Its limit before the slow start, and what it is while there are few streams.
    full: Option<u32>,
    minconn: Option<u32>,
}

/// Why a server is not in its usual state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The configuration (`disabled`).
    Configuration,
    /// An operator.
    Operator,
    /// Its agent.
    Agent,
    /// The server it tracks.
    Tracked,
    /// Its name stands for no address.
    Unresolved,
}

impl Standing {
    /// Most connections at once while so many streams are in its backend: between `minconn` and
    /// `maxconn` in proportion, all of it from `fullconn` streams on.
    pub fn limit(&self, streams: u32, fullconn: Option<u32>) -> Option<u32> {
        let (Some(maxconn), Some(minconn)) = (self.full, self.minconn) else { return self.maxconn };
        let fullconn = fullconn.unwrap_or(0);
        if streams >= fullconn {
            return self.maxconn;
        }
        let share = u64::from(streams) * u64::from(maxconn) / u64::from(fullconn);
        let limit = u32::try_from(share).unwrap_or(u32::MAX).max(minconn).min(maxconn);
        Some(at_step(limit.into(), self.step) as u32)
    }
}

/// What a server of this backend is good for now, by what memory knows of it and of the one it tracks.
pub fn standing_now(
    config: &Config,
    memory: &Memory,
    backend: &Backend,
    server: &Server,
    now_ms: u64,
) -> Standing {
    let tracked = server.health.track.and_then(|(backend, server)| {
        let tracked = config.backends.get(backend as usize)?.servers.get(server as usize)?;
        Some((tracked, memory.server_state(tracked.object)))
    });
    let tracked = tracked.as_ref().map(|(tracked, state)| (*tracked, state));
    standing(backend, server, &memory.server_state(server.object), tracked, now_ms)
}

/// What a server of this backend is good for. `tracked` is the server that it tracks, if it does.
pub fn standing(
    backend: &Backend,
    server: &Server,
    state: &ServerState,
    tracked: Option<(&Server, &ServerState)>,
    now_ms: u64,
) -> Standing {
    let operational = match tracked {
        Some((tracked, of_tracked)) => operational(tracked, of_tracked),
        None => operational(server, state),
    };
    let via = |cause: fn(&Server, &ServerState) -> Option<Cause>| {
        let tracked = tracked.and_then(|(tracked, state)| cause(tracked, state));
        cause(server, state).or(tracked.map(|_| Cause::Tracked))
    };
    let maint = via(maintenance);
    let drain = via(draining);
    let up = maint.is_none() && operational != Operational::Down;
    let user_weight = user_weight(backend, server, state);
    let usable = if !up {
        Usable::None
    } else if drain.is_some() || operational == Operational::Stopping || user_weight == 0 {
        Usable::Persistent
    } else {
        Usable::All
    };
    let changed_ms = tracked.map_or(state.changed_ms, |(_, tracked)| tracked.changed_ms);
    let begun_ms = changed_ms.max(state.admin.ready_ms).max(lifted_ms(server, state));
    let (step, next_step_ms) =
        if up { slow_start(server.slowstart, begun_ms, now_ms) } else { (STEPS as u8, None) };
    let weight = u32::from(user_weight) * WEIGHT_SCALE;
    let full = maxconn(server, state);
    Standing {
        usable,
        weight: match usable {
            // A twentieth at first, so that it is given something to do.
            Usable::All if weights_change(backend) => at_step(weight.into(), step.max(1)) as u32,
            Usable::All => weight,
            _ => 0,
        },
        user_weight,
        maxconn: full.map(|full| at_step(full.into(), step) as u32),
        next_step_ms,
        operational,
        up,
        maint,
        drain,
        step,
        full,
        minconn: server.minconn,
    }
}

/// Whether weights may change while running.
pub fn weights_change(backend: &Backend) -> bool {
    match backend.balance {
        Balance::StaticRoundRobin => false,
        Balance::Source
        | Balance::Uri(_)
        | Balance::UrlParam { .. }
        | Balance::Header { .. }
        | Balance::RdpCookie { .. } => backend.hashing.method == HashMethod::Consistent,
        _ => true,
    }
}

/// What the verdict of a server's checks is about: another number, and an old verdict is none.
pub fn fingerprint(check: &Check, server: &Server) -> u64 {
    digest(&(&server.address, &check.kind, &server.health.check))
}

/// The same of its agent.
pub fn agent_fingerprint(server: &Server) -> u64 {
    digest(&(&server.address, &server.health.agent))
}

/// What a server is by its own checks and agent.
fn operational(server: &Server, state: &ServerState) -> Operational {
    if of_agent(server, state) && state.agent.down {
        return Operational::Down;
    }
    if server.health.check.is_none() {
        return Operational::Up;
    }
    match state.verdict.operational {
        known @ (Operational::Up | Operational::Stopping | Operational::Down)
            if state.fingerprint == server.fingerprint =>
        {
            known
        }
        _ if state.admin.checks_off => Operational::Up,
        _ => match server.health.init_state {
            InitState::Up | InitState::FullyUp => Operational::Up,
            InitState::Down | InitState::FullyDown => Operational::Down,
        },
    }
}

/// What the operator wants, if that still holds.
fn wanted(server: &Server, state: &ServerState) -> AdminState {
    if state.admin.config_disabled != server.disabled {
        return AdminState::Unset;
    }
    match state.admin.state {
        AdminState::Drain | AdminState::Maint if is_taken_back(server, state) => AdminState::Ready,
        said => said,
    }
}

/// Whether the agent has begun to say that the server is ready after the operator's word on it.
fn is_taken_back(server: &Server, state: &ServerState) -> bool {
    of_agent(server, state) && state.agent.ready_ms > state.admin.set_ms
}

/// When the agent took it out of the operator's maintenance; 0: it did not.
fn lifted_ms(server: &Server, state: &ServerState) -> u64 {
    let lifts = state.admin.state == AdminState::Maint && is_taken_back(server, state);
    if lifts { state.agent.ready_ms } else { 0 }
}

fn maintenance(server: &Server, state: &ServerState) -> Option<Cause> {
    if matches!(server.address, ServerAddress::Unresolved { .. }) {
        return Some(Cause::Unresolved);
    }
    match wanted(server, state) {
        AdminState::Maint => return Some(Cause::Operator),
        AdminState::Unset if server.disabled => return Some(Cause::Configuration),
        _ => {}
    }
    (of_agent(server, state) && state.agent.maint).then_some(Cause::Agent)
}

fn draining(server: &Server, state: &ServerState) -> Option<Cause> {
    if wanted(server, state) == AdminState::Drain {
        return Some(Cause::Operator);
    }
    (of_agent(server, state) && state.agent.drain).then_some(Cause::Agent)
}

/// Whether what is known of an agent is of the one that is configured.
fn of_agent(server: &Server, state: &ServerState) -> bool {
    server.health.agent.is_some() && state.agent_fingerprint == server.agent_fingerprint
}

fn user_weight(backend: &Backend, server: &Server, state: &ServerState) -> u16 {
    let configured = server.weight.min(WEIGHT_MAX);
    let operator = state.weight.filter(|set| set.configured == server.weight);
    let agent = state.agent.weight.filter(|_| of_agent(server, state));
    let told = agent.map(|weight| match weight {
        AgentWeight::Percent(percent) => {
            let weight = u32::from(configured) * u32::from(percent) / 100;
            weight.min(WEIGHT_MAX.into()) as u16
        }
        AgentWeight::Absolute(weight) => weight.min(WEIGHT_MAX),
    });
    let weight = match (operator, told) {
        (Some(set), Some(told)) if state.agent.weight_ms > set.set_ms => told,
        (Some(set), _) => set.weight.min(WEIGHT_MAX),
        (None, told) => told.unwrap_or(configured),
    };
    if weight == 0 || weights_change(backend) { weight } else { configured }
}

fn maxconn(server: &Server, state: &ServerState) -> Option<u32> {
    let operator = state.maxconn.filter(|set| set.configured == server.maxconn);
    let agent = state.agent.maxconn.filter(|_| of_agent(server, state));
    let told = agent.map(|limit| (limit > 0).then_some(limit));
    match (operator, told) {
        (Some(OperatorMaxconn { set_ms, .. }), Some(told)) if state.agent.maxconn_ms > set_ms => {
            told
        }
        (Some(set), _) => set.maxconn,
        (None, told) => told.unwrap_or(server.maxconn),
    }
}

/// At which step a slow start is, and when the next begins.
fn slow_start(slowstart: Option<Duration>, begun_ms: u64, now_ms: u64) -> (u8, Option<u64>) {
    let length = slowstart.map_or(0, |length| length.as_millis() as u64);
    let elapsed = now_ms.saturating_sub(begun_ms);
    if begun_ms == 0 || elapsed >= length {
        return (STEPS as u8, None);
    }
    let step = elapsed * STEPS / length;
    let next = ((step + 1) * length).div_ceil(STEPS);
    (step as u8, Some(begun_ms + next))
}

/// So much of it; at least 1, if it is not nothing.
fn at_step(whole: u64, step: u8) -> u64 {
    (whole * u64::from(step) / STEPS).max(whole.min(1))
}

/// A number for what can be serialized, the same in every process and on every day (FNV-1a).
fn digest(what: &impl serde::Serialize) -> u64 {
    let bytes = postcard::to_stdvec(what).unwrap_or_default();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
