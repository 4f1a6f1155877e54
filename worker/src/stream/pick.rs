//! Which server a stream gets, and where it waits while all are full.
//!
//! Shell around `balance` and `shared::memory`, whose module explains who rings whom and why no place
//! stays free while somebody waits.
//!
//! - The pending queue belongs to the backend; each worker has its part of it, ordered by (priority,
//!   arrival), and publishes its first. The worker with the first of all is served first.
//! - A newcomer goes behind those who wait, in any worker.

use std::collections::BTreeMap;

use portolan_shared::memory::{Entry, Lane, Place, Total, Waiters};
use portolan_shared::model::{BackendId, ServerId};

use super::{NONE, StreamKey};
use crate::back::{Input, State};
use crate::clock::millis;
use crate::event_loop::Worker;
use crate::task::NEVER;

/// A place in a worker's part of a pending queue: since when (microseconds), and in which order.
pub type QueueKey = (u64, u64);

/// Priority of every stream; classes come with rules.
const PRIORITY: u32 = 0;

/// This worker's part of a backend's pending queue.
#[derive(Debug, Default)]
pub struct PendingQueue {
    streams: BTreeMap<QueueKey, StreamKey>,
    arrivals: u64,
}

impl PendingQueue {
    /// How many wait here.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    fn first(&self) -> Option<StreamKey> {
        self.streams.first_key_value().map(|(_, key)| *key)
    }

    /// What the other workers are told of it.
    fn waiters(&self) -> Option<Waiters> {
        let (key, _) = self.streams.first_key_value()?;
        Some(Waiters { count: self.streams.len() as u32, priority: PRIORITY, since: key.0 })
    }
}

impl Worker {
    /// Chooses a server with a place for this stream and takes the place.
    pub(crate) fn pick_server(&mut self, key: StreamKey, rather_another: bool) -> Input {
        let Some(stream) = self.streams.get(key as usize) else { return Input::NoServer };
        let (id, last) = (stream.backend, stream.server);
        let waits = stream.queued.is_some();
        let backend = &self.backends[id as usize];
        if backend.schedule.is_empty() {
            return Input::NoServer;
        }
        // Among limited servers those who wait come first, wherever they wait.
        if !waits && backend.limited && self.memory_waits(id) {
            return Input::NoPlace;
        }
        let turn = self.lane.memory().next_index(backend.object);
        let mut rings: Vec<Lane> = Vec::new();
        let mut chosen = None;
        let mut put_off = None;
        let wanted = if rather_another { None } else { self.wanted_server(key) };
        if let Some(server) = wanted.filter(|_| !waits) {
            let place = &backend.places[server as usize];
            if Self::try_server(&self.lane, place, waits, &mut rings) {
                return self.assign(key, id, server, last);
            }
            for lane in rings.drain(..) {
                self.ring(lane);
            }
            if self.stays_with(key, id) {
                return Input::NoPlace;
            }
        }
        let backend = &self.backends[id as usize];
        for server in backend.schedule.order_from(turn) {
            if rather_another && server == last && put_off.is_none() {
                put_off = Some(server);
                continue;
            }
            if Self::try_server(&self.lane, &backend.places[server as usize], waits, &mut rings) {
                chosen = Some(server);
                break;
            }
        }
        if chosen.is_none() {
            chosen = put_off.filter(|server| {
                Self::try_server(&self.lane, &backend.places[*server as usize], waits, &mut rings)
            });
        }
        for lane in rings {
            self.ring(lane);
        }
        match chosen {
            Some(server) => self.assign(key, id, server, last),
            None => Input::NoPlace,
        }
    }

    /// The server that a stream's client has been with before, where it is to be given that again.
    fn wanted_server(&self, key: StreamKey) -> Option<ServerId> {
        let stream = self.streams.get(key as usize)?;
        let exchange = stream.http.as_deref()?;
        let backend = &self.config.backends[stream.backend as usize];
        let weighs = |server: &ServerId| backend.servers[*server as usize].weight > 0;
        exchange.presented.server.or_else(|| {
            let session = self.sessions.get(stream.session as usize)?;
            let (last_backend, last) = session.last;
            let same = last_backend == stream.backend && last != NONE;
            let kept = session.private.is_some();
            (same && (kept || backend.http.prefer_last_server)).then_some(last).filter(weighs)
        })
    }

    /// Whether a stream whose server is full waits for a place rather than going elsewhere at once.
    fn stays_with(&self, key: StreamKey, id: BackendId) -> bool {
        let Some(stream) = self.streams.get(key as usize) else { return false };
        let by_cookie = stream.http.as_ref().is_some_and(|it| it.presented.server.is_some());
        let backend = &self.config.backends[id as usize];
        let waiting = self.lane.memory().waiting(backend.object);
        by_cookie || backend.http.max_keep_alive_queue.is_none_or(|most| waiting < most)
    }

    fn try_server(
        lane: &portolan_shared::memory::OwnLane,
        place: &Place,
        waits: bool,
        rings: &mut Vec<Lane>,
    ) -> bool {
        match if waits { lane.take(place) } else { lane.enter(place) } {
            Entry::In => true,
            Entry::Full { ring } => {
                rings.extend(ring);
                false
            }
        }
    }

    fn assign(&mut self, key: StreamKey, id: BackendId, server: ServerId, last: ServerId) -> Input {
        let now = self.clock.now();
        let moved = last != NONE && last != server;
        if let Some(stream) = self.streams.get_mut(key as usize) {
            stream.server = server;
            stream.holds_server = true;
            if stream.queue_ms < 0 {
                stream.queue_ms = (now - stream.asked) as i32;
            }
        }
        let backend = &self.config.backends[id as usize];
        let object = backend.servers[server as usize].object;
        self.lane.add(object, Total::Selected, 1);
        self.lane.add(backend.object, Total::Selected, 1);
        if moved {
            self.lane.add(object, Total::Redispatches, 1);
            self.lane.add(backend.object, Total::Redispatches, 1);
        }
        Input::Assigned { moved }
    }

    /// Puts a stream into the pending queue and sees at once whether it could have a place after all.
    pub(crate) fn enqueue(&mut self, key: StreamKey) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let id = stream.backend;
        let backend = &mut self.backends[id as usize];
        stream.queue_position = self.lane.memory().waiting(backend.object);
        backend.queue.arrivals += 1;
        let place = (now * 1000, backend.queue.arrivals);
        backend.queue.streams.insert(place, key);
        stream.queued = Some(place);
        let timeouts = &self.config.backends[id as usize].timeouts;
        stream.wait_ends =
            timeouts.queue.or(timeouts.connect).map_or(NEVER, |timeout| now + millis(timeout));
        self.tasks.schedule(stream.task, stream.wait_ends);
        self.queued.insert(id);
        self.publish_queue(id);
        self.rung.insert(id);
    }

    /// Takes a stream out of the pending queue; who comes next is told.
    pub(crate) fn leave_queue(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let Some(place) = stream.queued.take() else { return };
        stream.queue_ms = (self.clock.now() - stream.asked) as i32;
        let id = stream.backend;
        self.backends[id as usize].queue.streams.remove(&place);
        self.publish_queue(id);
        if self.backends[id as usize].queue.len() > 0 {
            self.rung.insert(id);
        } else {
            self.queued.remove(&id);
            self.pass_on(id);
        }
    }

    /// Serves the pending queues whose turn it may be.
    pub(crate) fn serve_queues(&mut self) {
        if self.rung.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.rung) {
            while let Some(first) = self.backends[id as usize].queue.first() {
                self.drive(first, Input::PlaceFree);
                // Still there: nothing is free, or it is another worker's turn.
                if self
                    .streams
                    .get(first as usize)
                    .is_some_and(|stream| matches!(stream.machine.state(), State::Que))
                {
                    break;
                }
            }
        }
    }

    /// Gives a stream's place in its server's limit back.
    pub(crate) fn release_server(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        if !std::mem::take(&mut stream.holds_server) {
            return;
        }
        let id = stream.backend;
        let place = self.backends[id as usize].places[stream.server as usize];
        // Another generation may limit what this one does not.
        if let Some(lane) = self.lane.leave(&place) {
            self.ring_for(lane, id);
        }
    }

    /// Tells whoever's turn it is that a place may be free which nobody here wants.
    fn pass_on(&mut self, id: BackendId) {
        let lanes: Vec<Lane> = self.backends[id as usize]
            .places
            .iter()
            .filter(|place| place.cap.is_some())
            .filter_map(|place| self.lane.pass_on(place))
            .collect();
        for lane in lanes {
            self.ring_for(lane, id);
        }
    }

    fn ring_for(&mut self, lane: Lane, id: BackendId) {
        if lane == self.lane.number() {
            self.rung.insert(id);
        } else {
            self.ring(lane);
        }
    }

    fn publish_queue(&self, id: BackendId) {
        let backend = &self.backends[id as usize];
        self.lane.publish(backend.object, backend.queue.waiters());
    }

    fn memory_waits(&self, id: BackendId) -> bool {
        let backend = &self.backends[id as usize];
        let limited = backend.places.iter().find(|place| place.cap.is_some());
        limited.is_some_and(|place| self.lane.memory().anyone_waits(place))
    }
}
