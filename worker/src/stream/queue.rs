//! Where a stream waits while every server that it could have is full.
//!
//! Shell around `shared::memory`, whose module explains who rings whom and why no place stays free
//! while somebody waits.
//!
//! - There is a queue for each backend, whose streams take any of its servers, and one for each server,
//!   for those that belong to it (a cookie, a hash). Each worker has its part of every queue, ordered by
//!   (priority class, when it came and its offset, arrival), and publishes its first. Of all workers'
//!   first ones the first is served.
//! - Who may have a place of a server: the first of its queue and of its backend's, whichever has
//!   the better key. A newcomer goes behind both.
//! - A stream whose server may no longer be chosen is given another queue and keeps its key.

use std::collections::BTreeMap;

use portolan_shared::memory::{Lane, Waiters};
use portolan_shared::model::{BackendId, Balance, Priority, ServerId};

use super::{NONE, StreamKey};
use crate::back::{Input, State};
use crate::clock::{Millis, millis};
use crate::event_loop::Worker;
use crate::task::NEVER;

/// Rounds over the queues of one backend in one cycle: others want to be served too.
const ROUNDS_MAX: usize = 64;
/// Bits of a rank that tell when.
const SINCE_BITS: u32 = 48;
/// What makes a class positive: the lowest is −2047.
const CLASS_ZERO: i32 = 2048;

/// A place in a worker's part of a pending queue: rank and order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueKey {
    /// Priority class above, then microseconds of the shared clock.
    rank: u64,
    arrival: u64,
}

impl QueueKey {
    /// Of one that comes now.
    fn new(priority: Priority, now: Millis, arrival: u64) -> Self {
        let class = i32::from(priority.class).clamp(1 - CLASS_ZERO, CLASS_ZERO - 1) + CLASS_ZERO;
        let since = (now as i64).saturating_add(priority.offset_ms.into()).max(0) as u64 * 1000;
        let since = since.min((1 << SINCE_BITS) - 1);
        Self { rank: (class as u64) << SINCE_BITS | since, arrival }
    }

    fn priority(self) -> u32 {
        (self.rank >> SINCE_BITS) as u32
    }

    fn since(self) -> u64 {
        self.rank & ((1 << SINCE_BITS) - 1)
    }
}

/// A stream's place in a pending queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Which queue: a server's, or with [`NONE`] the backend's.
    pub server: ServerId,
    /// Where in it.
    pub key: QueueKey,
}

/// This worker's part of one pending queue.
#[derive(Debug, Default)]
pub struct PendingQueue {
    streams: BTreeMap<QueueKey, StreamKey>,
}

impl PendingQueue {
    /// How many wait here.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Who is first.
    pub fn first(&self) -> Option<(QueueKey, StreamKey)> {
        self.streams.first_key_value().map(|(place, key)| (*place, *key))
    }

    /// What the other workers are told of it.
    fn waiters(&self) -> Option<Waiters> {
        let (key, _) = self.first()?;
        let count = self.streams.len() as u32;
        Some(Waiters { count, priority: key.priority(), since: key.since() })
    }
}

impl Worker {
    /// Puts a stream into the queue of the server it belongs to, or of its backend, and sees at once
    /// whether it could have a place after all.
    pub(crate) fn enqueue(&mut self, key: StreamKey) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let (id, server) = (stream.backend, stream.belongs);
        let backend = &mut self.backends[id as usize];
        let memory = self.lane.memory();
        if server == NONE {
            stream.queue_position = memory.waiting(backend.object);
        } else {
            stream.server_queue_position = memory.waiting(backend.places[server as usize].object);
        }
        backend.arrivals += 1;
        let place = QueueKey::new(stream.priority, now, backend.arrivals);
        stream.queued = Some(Box::new(Queued { server, key: place }));
        backend.queue_mut(server).streams.insert(place, key);
        let timeouts = &self.config.backends[id as usize].timeouts;
        stream.wait_ends =
            timeouts.queue.or(timeouts.connect).map_or(NEVER, |timeout| now + millis(timeout));
        self.tasks.schedule(stream.task, stream.wait_ends);
        self.queued.insert(id);
        self.publish_queue(id, server);
        self.rung.insert(id);
    }

    /// Takes a stream out of its queue; who comes next is told.
    pub(crate) fn leave_queue(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let Some(queued) = stream.queued.take() else { return };
        stream.queue_ms = (self.clock.now() - stream.asked) as i32;
        let id = stream.backend;
        self.take_out(id, *queued);
        if !self.backends[id as usize].has_waiters() {
            self.queued.remove(&id);
        }
    }

    /// A waiting stream belongs to another server now, or to none any more.
    pub(crate) fn change_queue(&mut self, key: StreamKey, server: ServerId) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let Some(place) = stream.queued.as_deref_mut().filter(|it| it.server != server) else {
            return;
        };
        let queued = *place;
        place.server = server;
        stream.belongs = server;
        let id = stream.backend;
        self.backends[id as usize].queue_mut(server).streams.insert(queued.key, key);
        self.publish_queue(id, server);
        self.take_out(id, queued);
        self.rung.insert(id);
    }

    fn take_out(&mut self, id: BackendId, queued: Queued) {
        let queue = self.backends[id as usize].queue_mut(queued.server);
        queue.streams.remove(&queued.key);
        let left = queue.len();
        self.publish_queue(id, queued.server);
        if left > 0 {
            self.rung.insert(id);
        } else {
            self.pass_on(id, queued.server);
        }
    }

    /// Serves the pending queues whose turn it may be.
    pub(crate) fn serve_queues(&mut self) {
        if self.rung.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.rung) {
            // Who is behind another queue's first has its turn after that one.
            let unfinished = (0..ROUNDS_MAX).all(|_| self.serve_backend(id));
            if unfinished {
                self.rung.insert(id);
            }
        }
    }

    /// Lets the first of each queue try until it stays; whether any stream left its queue.
    fn serve_backend(&mut self, id: BackendId) -> bool {
        let mut served = self.serve_queue(id, NONE);
        let backend = &self.backends[id as usize];
        let waited: Vec<ServerId> = backend.waited.iter().copied().collect();
        for server in waited {
            served |= self.serve_queue(id, server);
        }
        served && self.backends[id as usize].has_waiters()
    }

    fn serve_queue(&mut self, id: BackendId, server: ServerId) -> bool {
        let mut served = false;
        while let Some((_, first)) = self.backends[id as usize].queue(server).first() {
            self.drive(first, Input::PlaceFree);
            let stays = self.streams.get(first as usize).is_some_and(|stream| {
                matches!(stream.machine.state(), State::Que)
                    && stream.queued.as_ref().is_some_and(|queued| queued.server == server)
            });
            // Still there: nothing is free, or it is another's turn.
            if stays {
                break;
            }
            served = true;
        }
        served
    }

    /// Gives a stream's place in its server's limit back.
    pub(crate) fn release_server(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        if !std::mem::take(&mut stream.holds_server) {
            return;
        }
        let (id, server) = (stream.backend, stream.server);
        // Another generation may limit what this one does not, and another worker may know sooner that
        // the server takes new clients again: all who could want the place are asked.
        let place = self.backends[id as usize].place_for_all(server);
        if let Some(lane) = self.lane.leave(&place) {
            self.ring_for(lane, id);
        }
        let backend = &self.config.backends[id as usize];
        if matches!(backend.balance, Balance::LeastConnections) {
            let state = &mut self.backends[id as usize];
            let (farm, loads) = state.farm(backend, self.lane.memory(), false);
            farm.left(server, &loads);
        }
    }

    /// Tells whoever's turn it is that a place may be free which nobody here wants.
    fn pass_on(&mut self, id: BackendId, server: ServerId) {
        let backend = &self.backends[id as usize];
        let all = 0..backend.places.len() as ServerId;
        let wanted = if server == NONE { all } else { server..server + 1 };
        let lanes: Vec<Lane> = wanted
            .map(|server| backend.place_for_all(server))
            .filter(|place| place.cap.is_some())
            .filter_map(|place| self.lane.pass_on(&place))
            .collect();
        for lane in lanes {
            self.ring_for(lane, id);
        }
    }

    pub(crate) fn ring_for(&mut self, lane: Lane, id: BackendId) {
        if lane == self.lane.number() {
            self.rung.insert(id);
        } else {
            self.ring(lane);
        }
    }

    fn publish_queue(&mut self, id: BackendId, server: ServerId) {
        let backend = &mut self.backends[id as usize];
        let waiters = backend.queue(server).waiters();
        let object = if server == NONE {
            backend.object
        } else {
            if waiters.is_some() {
                backend.waited.insert(server);
            } else {
                backend.waited.remove(&server);
            }
            backend.places[server as usize].object
        };
        self.lane.publish(object, waiters);
    }
}
