//! The form of a handed state before the one of now: of programs that do not know of successors.
//!
//! Core: types, read only.

use portolan_shared::message::Role;
use serde::Deserialize;

use super::{HandedClient, HandedGeneration, HandedWorker};
use crate::worker::Phase;

/// As [`super::Handover`].
#[derive(Debug, Deserialize)]
pub(super) struct Handover {
    version: String,
    layout: u64,
    current: u32,
    last_generation: u32,
    generations: Vec<HandedGeneration>,
    workers: Vec<Worker>,
    clients: Vec<HandedClient>,
    reloads: (u32, u32),
    maxconn: u32,
    paused: bool,
    age_ms: u64,
}

/// As [`HandedWorker`].
#[derive(Debug, Deserialize)]
pub(super) struct Worker {
    pid: i32,
    pidfd: i32,
    channel: i32,
    role: Role,
    generation: u32,
    slot: u16,
    lane: u16,
    phase: Phase,
    age_ms: u64,
    version: String,
    streams: Option<u32>,
    short: bool,
    stop_in_ms: Option<u64>,
}

impl From<Handover> for super::Handover {
    fn from(former: Handover) -> Self {
        Self {
            version: former.version,
            layout: former.layout,
            current: former.current,
            last_generation: former.last_generation,
            generations: former.generations,
            workers: former.workers.into_iter().map(Into::into).collect(),
            clients: former.clients,
            reloads: former.reloads,
            maxconn: former.maxconn,
            paused: former.paused,
            age_ms: former.age_ms,
        }
    }
}

impl From<Worker> for HandedWorker {
    fn from(former: Worker) -> Self {
        Self {
            pid: former.pid,
            pidfd: former.pidfd,
            channel: former.channel,
            role: former.role,
            generation: former.generation,
            slot: former.slot,
            lane: former.lane,
            phase: former.phase,
            age_ms: former.age_ms,
            version: former.version,
            streams: former.streams,
            short: former.short,
            stop_in_ms: former.stop_in_ms,
            hands_over: false,
            successor: None,
            reloads: 0,
        }
    }
}
