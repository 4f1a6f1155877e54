//! The watches: what is looked at, by which means, and when next.
//!
//! Core, but for the sockets in their probes.
//!
//! - A server that is checked has one, a server whose agent is asked another; one attempt at a time each.
//! - Their order is the configuration's; first checks are spread over the shortest interval in it.
//! - A watch rests while its server is in maintenance or its checks are turned off. When that ends it
//!   begins anew, as at a start.

use std::rc::Rc;

use portolan_shared::check_result::CheckResult;
use portolan_shared::memory::{Memory, Object, Operational};
use portolan_shared::model::{Agent, Backend, CheckKind, Config, Health, Server, ServerAddress};

use super::farms::{At, places};
use super::place::{self, Aim};
use super::probe::Probe;
use crate::check::health::Judge;
use crate::check::{Script, ScriptError, schedule};
use crate::clock::{Millis, millis};
use crate::task::TaskId;

/// Bytes of a server's answer that are kept, where no buffer is configured to be larger.
const ANSWER_BYTES_MIN: usize = 1024;

/// What a watch looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The server.
    Check,
    /// The agent on it.
    Agent,
}

/// How it looks.
#[derive(Clone, Debug)]
pub enum Means {
    /// By a conversation.
    Script(Rc<Script>),
    /// By a command, which the runner runs.
    Command,
}

/// What is under way.
#[derive(Debug, Default)]
pub enum Under {
    /// Nothing: it waits for its time.
    #[default]
    Nothing,
    /// A conversation.
    Probe(Box<Probe>),
    /// A command, by its number.
    Command {
        /// The number.
        id: u64,
        /// When it was asked for.
        began: Millis,
    },
}

/// One watch.
#[derive(Debug)]
pub struct Watch {
    /// Whose.
    pub at: At,
    /// Its place in shared memory.
    pub object: Object,
    /// What it looks at.
    pub kind: Kind,
    /// How.
    pub means: Means,
    /// A connection is all of it.
    pub plain: bool,
    /// The usual interval.
    pub inter: Millis,
    /// Its task.
    pub task: TaskId,
    /// When the next attempt is due.
    pub due: Millis,
    /// It is not looked at for now.
    pub rests: bool,
    /// What is under way.
    pub under: Under,
    /// What is known by its checks; of an agent's watch nothing.
    pub judge: Judge,
    /// What the last attempt has found.
    pub last: CheckResult,
    /// How often there had been too many errors in its traffic when that was last looked at.
    pub alarms: u64,
}

impl Watch {
    /// Where it looks.
    pub fn aim<'a>(&self, server: &'a Server) -> Option<Aim<'a>> {
        match self.kind {
            Kind::Check => server.health.check.as_ref().map(Aim::Check),
            Kind::Agent => server.health.agent.as_ref().map(Aim::Agent),
        }
    }

    /// The conversation that is under way, taken out.
    pub fn take_probe(&mut self) -> Option<Box<Probe>> {
        match std::mem::take(&mut self.under) {
            Under::Probe(probe) => Some(probe),
            other => {
                self.under = other;
                None
            }
        }
    }

    /// Time to the next attempt, before it is spread.
    pub fn interval(&self, health: &Health) -> std::time::Duration {
        match (self.kind, &health.agent) {
            (Kind::Agent, Some(Agent { inter, .. })) => *inter,
            _ => schedule::interval(health, self.judge),
        }
        .max(schedule::INTERVAL_MIN)
    }
}

/// What is wanted, before it has a task.
pub struct Plan {
    /// In the configuration's order.
    pub watches: Vec<Watch>,
    /// Servers that cannot be looked at, for the log.
    pub impossible: Vec<String>,
}

/// All watches of a configuration; what is known of servers is taken over from shared memory.
pub fn plan(
    config: &Config,
    memory: &Memory,
    mut task: impl FnMut(u32) -> TaskId,
) -> Result<Plan, String> {
    let bytes_max = (config.tune.buffer_size as usize).max(ANSWER_BYTES_MIN);
    let mut means = Vec::new();
    for backend in &config.backends {
        means.push(means_of(backend, bytes_max)?);
    }
    let mut plan = Plan { watches: Vec::new(), impossible: Vec::new() };
    for at in places(config) {
        let backend = &config.backends[at.backend as usize];
        let server = &backend.servers[at.server as usize];
        if matches!(server.address, ServerAddress::Unresolved { .. }) {
            continue;
        }
        if let Some(probe) = &server.health.check {
            if place::has_port(server, &backend.check.kind, probe) {
                let key = plan.watches.len() as u32;
                let kind = &backend.check.kind;
                plan.watches.push(Watch {
                    plain: place::is_plain(kind, probe),
                    inter: millis(server.health.inter.max(schedule::INTERVAL_MIN)),
                    ..watch(at, server, memory, means[at.backend as usize].clone(), task(key))
                });
            } else {
                plan.impossible.push(format!("{}/{}", backend.name, server.name));
            }
        }
        if let Some(agent) = &server.health.agent {
            let key = plan.watches.len() as u32;
            let script = Means::Script(Rc::new(Script::agent(&agent.send, bytes_max)));
            plan.watches.push(Watch {
                kind: Kind::Agent,
                inter: millis(agent.inter.max(schedule::INTERVAL_MIN)),
                ..watch(at, server, memory, script, task(key))
            });
        }
    }
    Ok(plan)
}

fn means_of(backend: &Backend, bytes_max: usize) -> Result<Means, String> {
    match Script::of(&backend.check, bytes_max) {
        Ok(script) => Ok(Means::Script(Rc::new(script))),
        Err(ScriptError::External) => {
            debug_assert!(matches!(backend.check.kind, CheckKind::External { .. }));
            Ok(Means::Command)
        }
        Err(error) => Err(format!("backend {}: {error}", backend.name)),
    }
}

fn watch(at: At, server: &Server, memory: &Memory, means: Means, task: TaskId) -> Watch {
    let state = memory.server_state(server.object);
    let known = state.fingerprint == server.fingerprint
        && state.verdict.operational != Operational::Unknown;
    let judge = if known {
        Judge::kept(&state.verdict, &server.health)
    } else {
        Judge::initial(&server.health)
    };
    Watch {
        at,
        object: server.object,
        kind: Kind::Check,
        means,
        plain: false,
        inter: 0,
        task,
        due: 0,
        rests: false,
        under: Under::Nothing,
        judge,
        last: if known { state.verdict.result } else { CheckResult::Unknown },
        alarms: memory.alarms(server.object),
    }
}
