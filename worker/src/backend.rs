//! What a worker keeps of a backend beside its configuration: who may be chosen, their limits, who
//! waits for them.
//!
//! Shell: it reads shared memory. Checker and master say there how servers are; a version per backend
//! says whether anything has changed, and is looked at whenever a server is chosen, so that the first
//! choice after a change sees it. What a change does to streams that have a server already is put off
//! to the end of the loop's cycle.

use std::collections::BTreeSet;

use portolan_shared::memory::{Memory, Object, Place};
use portolan_shared::model::{Backend, BackendId, Config, Server, ServerId};
use portolan_shared::standing::{Standing, Usable, standing_now};

use crate::back::{Input, Policy};
use crate::balance::{Candidate, Farm, Load, Loads, Room};
use crate::clock::Millis;
use crate::event_loop::Worker;
use crate::http::auth::Gate;
use crate::http::cookie::Persistence;
use crate::kept::KeptPool;
use crate::stream::{NONE, PendingQueue, StreamKey};
use crate::task::NEVER;
use crate::termination::{Cause, Phase, Termination};

/// What this worker keeps of a backend.
#[derive(Debug)]
pub struct BackendState {
    /// Its place in shared memory.
    pub object: Object,
    /// Its gauge: streams that have it, queued or served.
    pub gauge: Place,
    /// Who may be chosen.
    pub farm: Farm,
    /// What each server is good for.
    pub standings: Vec<Standing>,
    /// The limit of each server, at most.
    pub places: Vec<Place>,
    /// Whether any server has a limit.
    pub limited: bool,
    /// What follows a failed attempt.
    pub policy: Policy,
    /// Who may ask it.
    pub gate: Option<Gate>,
    /// Which server a client has been given before.
    pub persistence: Option<Persistence>,
    /// Connections of each server that wait for their next request.
    pub kept: Vec<KeptPool>,
    /// Servers whose own queue has streams of this worker.
    pub waited: BTreeSet<ServerId>,
    /// How many came to any of its queues.
    pub arrivals: u64,
    /// Of the states that all this was made of.
    version: Option<u64>,
    /// When time alone changes something: a server's slow start.
    next_step: Millis,
    /// This worker's part of the queue for any of its servers.
    queue: PendingQueue,
    /// The same of the queues for each server.
    server_queues: Vec<PendingQueue>,
}

impl BackendState {
    /// Of a backend, in one of so many workers; nothing is known of its servers yet. The seed differs
    /// from worker to worker.
    pub fn new(backend: &Backend, config: &Config, slots: u16, seed: u64) -> Self {
        Self {
            object: backend.object,
            gauge: Place::new(backend.object, None),
            farm: Farm::new(backend, &[], seed),
            standings: Vec::new(),
            places: backend
                .servers
                .iter()
                .map(|server| Place::of(server.object, server.maxconn, backend.object))
                .collect(),
            limited: false,
            policy: Policy {
                retries: backend.retries,
                redispatch: backend.redispatch,
                connect_timeout: backend.timeouts.connect,
            },
            gate: backend.http.auth.as_ref().map(|auth| Gate::new(auth, &config.userlists)),
            persistence: backend
                .http
                .cookie
                .as_ref()
                .map(|cookie| Persistence::new(cookie, &backend.servers)),
            kept: backend.servers.iter().map(|server| KeptPool::new(&server.http, slots)).collect(),
            waited: BTreeSet::new(),
            arrivals: 0,
            version: None,
            next_step: NEVER,
            queue: PendingQueue::default(),
            server_queues: backend.servers.iter().map(|_| PendingQueue::default()).collect(),
        }
    }

    /// This worker's part of a queue: a server's, or with [`NONE`] that for any server.
    pub fn queue(&self, server: ServerId) -> &PendingQueue {
        self.server_queues.get(server as usize).unwrap_or(&self.queue)
    }

    /// The same, to be changed.
    pub fn queue_mut(&mut self, server: ServerId) -> &mut PendingQueue {
        debug_assert!(server == NONE || (server as usize) < self.server_queues.len());
        self.server_queues.get_mut(server as usize).unwrap_or(&mut self.queue)
    }

    /// Whether any stream of this worker waits.
    pub fn has_waiters(&self) -> bool {
        self.queue.len() > 0 || !self.waited.is_empty()
    }

    /// What a server is good for.
    pub fn usable(&self, server: ServerId) -> Usable {
        self.standings.get(server as usize).map_or(Usable::None, |standing| standing.usable)
    }

    /// The limit of a server now: less than the highest while its backend has little to do.
    pub fn place(&self, server: ServerId, backend: &Backend, memory: &Memory) -> Place {
        let (place, standing) = (self.places[server as usize], &self.standings[server as usize]);
        Place { cap: limit_now(place, standing, backend, server, memory), ..place }
    }

    /// A server's place as seen by all who could ever want it.
    pub fn place_for_all(&self, server: ServerId) -> Place {
        Place { shared_queue: Some(self.object), ..self.places[server as usize] }
    }

    /// The farm, and how busy its servers are for a stream that waits already, or a newcomer.
    pub fn farm<'a>(
        &'a mut self,
        backend: &'a Backend,
        memory: &'a Memory,
        waits: bool,
    ) -> (&'a mut Farm, LoadsNow<'a>) {
        let Self { farm, places, standings, .. } = self;
        (farm, LoadsNow { places, standings, backend, memory, waits })
    }

    /// Makes everything that depends on how servers are anew; what each was before.
    fn renew(
        &mut self,
        backend: &Backend,
        config: &Config,
        memory: &Memory,
        now: Millis,
    ) -> Vec<Standing> {
        let standings: Vec<Standing> = backend
            .servers
            .iter()
            .map(|server| standing_now(config, memory, backend, server, now))
            .collect();
        self.next_step = standings.iter().filter_map(|it| it.next_step_ms).min().unwrap_or(NEVER);
        if standings == self.standings {
            return standings;
        }
        for (place, standing) in self.places.iter_mut().zip(&standings) {
            place.cap = standing.maxconn;
        }
        self.limited = standings.iter().any(|standing| standing.maxconn.is_some());
        let candidates: Vec<Candidate> = (0..)
            .zip(backend.servers.iter().zip(&standings))
            .filter(|(_, (_, standing))| standing.usable == Usable::All)
            .map(|(id, (server, standing))| Candidate {
                id,
                weight: standing.weight,
                backup: server.backup,
            })
            .collect();
        self.farm.update(backend, &candidates);
        for (id, place) in (0..).zip(&mut self.places) {
            // Who waits for any server cannot have one that takes no new clients: nobody who belongs to
            // that one waits behind them.
            place.shared_queue = self.farm.contains(id).then_some(self.object);
        }
        std::mem::replace(&mut self.standings, standings)
    }
}

/// A server's limit now; that of one with `minconn` depends on how many streams its backend has.
fn limit_now(
    place: Place,
    standing: &Standing,
    backend: &Backend,
    server: ServerId,
    memory: &Memory,
) -> Option<u32> {
    let changes = place.cap.is_some() && backend.servers[server as usize].minconn.is_some();
    if !changes {
        return place.cap;
    }
    standing.limit(memory.current(backend.object), backend.fullconn)
}

/// How busy a backend's servers are.
#[derive(Clone, Copy, Debug)]
pub struct LoadsNow<'a> {
    places: &'a [Place],
    standings: &'a [Standing],
    backend: &'a Backend,
    memory: &'a Memory,
    waits: bool,
}

impl Loads for LoadsNow<'_> {
    fn load(&self, id: ServerId) -> Load {
        let server = &self.backend.servers[id as usize];
        let place = self.places[id as usize];
        let served = self.memory.current(place.object);
        let standing = &self.standings[id as usize];
        let limit = limit_now(place, standing, self.backend, id, self.memory);
        let Some(cap) = limit else { return Load { streams: served, room: Room::Free } };
        // Usually nobody waits, which is known by less than counting them.
        let anyone_waits = self.memory.anyone_waits(&place);
        let waiting = if anyone_waits { self.memory.waiting(place.object) } else { 0 };
        let full = server.maxqueue.is_some_and(|most| waiting >= most);
        let free = served < cap && (self.waits || !anyone_waits);
        let room = match (free, full) {
            (true, _) => Room::Free,
            (false, true) => Room::Full,
            (false, false) => Room::Taken,
        };
        Load { streams: served.saturating_add(waiting), room }
    }

    fn total(&self) -> u32 {
        self.memory.current(self.backend.object)
    }
}

impl Worker {
    /// Sees whether anything changed about a backend's servers.
    #[inline]
    pub(crate) fn refresh(&mut self, id: BackendId) {
        let state = &self.backends[id as usize];
        let version = self.lane.memory().states_version(state.object);
        if state.version != Some(version) || state.next_step <= self.clock.now() {
            self.renew(id, version);
        }
    }

    #[cold]
    fn renew(&mut self, id: BackendId, version: u64) {
        let backend = &self.config.backends[id as usize];
        let state = &mut self.backends[id as usize];
        let is_first = state.version.replace(version).is_none();
        let now = self.clock.now();
        let before = state.renew(backend, &self.config, self.lane.memory(), now);
        if is_first {
            return;
        }
        for (server, (was, is)) in (0..).zip(before.iter().zip(&state.standings)) {
            if was.up && !is.up {
                self.changes.push(Change::Down(id, server));
            } else if !was.up && is.up {
                self.changes.push(Change::Up(id, server));
            }
        }
        if state.has_waiters() {
            self.rung.insert(id);
        }
    }

    /// Somebody said that something has changed: those who wait, and those who must act, look.
    pub(crate) fn refresh_watched(&mut self) {
        let watched: Vec<BackendId> = self.queued.iter().chain(&self.watched).copied().collect();
        for id in watched {
            self.refresh(id);
        }
    }

    /// What changes of servers mean to streams that they have.
    pub(crate) fn follow_changes(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Down(id, server) => {
                    self.close_kept_of(id, server);
                    let health = &self.config.backends[id as usize].servers[server as usize].health;
                    if health.shutdown_sessions {
                        self.shut_down_streams(id, server, Cause::Down);
                    }
                }
                Change::Up(id, server) => self.follow_rise(id, server),
                Change::Came(key) => self.follow_arrival(key),
            }
        }
    }

    /// The end of a stream whose server it may not have any more.
    fn follow_arrival(&mut self, key: StreamKey) {
        if self.is_moving(key) {
            return;
        }
        let Some(stream) = self.streams.get(key as usize) else { return };
        let (id, server) = (stream.backend, stream.server);
        self.refresh(id);
        let Some(of) = self.config.backends[id as usize].servers.get(server as usize) else {
            return;
        };
        let others = self.config.backends[id as usize].servers.iter().zip(0..);
        let state = &self.backends[id as usize];
        let why = if of.health.shutdown_sessions && !state.standings[server as usize].up {
            Cause::Down
        } else if of.backup && { others }.any(|(it, at)| {
            it.health.shutdown_backup_sessions && !it.backup && state.farm.contains(at)
        }) {
            Cause::Up
        } else {
            return;
        };
        if self.flows(key) {
            self.drive(key, Input::Over(Termination::new(why, Phase::Data)));
        }
    }

    fn follow_rise(&mut self, id: BackendId, server: ServerId) {
        let backend = &self.config.backends[id as usize];
        let of = &backend.servers[server as usize];
        let takes_all = of.health.shutdown_backup_sessions
            && !of.backup
            && self.backends[id as usize].farm.contains(server);
        if !takes_all {
            return;
        }
        let backups: Vec<ServerId> =
            (0..).zip(&backend.servers).filter(|(_, it)| it.backup).map(|(id, _)| id).collect();
        for backup in backups {
            self.shut_down_streams(id, backup, Cause::Up);
        }
    }
}

/// Backends with servers whose change means something to the streams they have, or others have.
pub fn watched_backends(config: &Config) -> Vec<BackendId> {
    let acts =
        |server: &Server| server.health.shutdown_sessions || server.health.shutdown_backup_sessions;
    let backends = (0..).zip(&config.backends);
    backends.filter(|(_, it)| it.servers.iter().any(acts)).map(|(id, _)| id).collect()
}

/// A server that became what it was not, or a stream that may not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It can be used no more.
    Down(BackendId, ServerId),
    /// It can be used again.
    Up(BackendId, ServerId),
    /// A stream came from another process, which may not have seen what its server has become.
    Came(StreamKey),
}
