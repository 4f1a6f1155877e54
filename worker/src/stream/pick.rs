//! Which server a stream gets.
//!
//! Shell around `balance` and `shared::memory`.
//!
//! - A client that belongs to a server (a cookie, its last server) or whose key leads to one gets that
//!   one, and waits for it where it is full; everybody else gets any server with a place.
//! - A newcomer goes behind those who wait for the same place, in any worker (see `queue`).
//! - A stream that waits is chosen for anew whenever its turn may have come: its server may be another
//!   one by then.

use portolan_shared::memory::{Entry, Lane, OwnLane, Place, Total};
use portolan_shared::model::{BackendId, Balance, PersistRule, ServerId};
use portolan_shared::standing::Usable;

use super::{NONE, StreamKey};
use crate::back::Input;
use crate::event_loop::Worker;

/// Who may serve a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// This one alone, for which it waits.
    Only(ServerId),
    /// This one, or another while so many wait for it.
    Rather(ServerId, Option<u32>),
    /// Any.
    Any,
}

/// Attempts to enter the server that least connections, first or random has chosen, while others take
/// its last places.
const TRIES: usize = 3;

impl Worker {
    /// Chooses a server with a place for this stream and takes the place.
    pub(crate) fn pick_server(&mut self, key: StreamKey, rather_another: bool) -> Input {
        let Some(stream) = self.streams.get(key as usize) else { return Input::NoServer };
        let (id, last) = (stream.backend, stream.server);
        let waits = stream.queued.is_some();
        self.refresh(id);
        let avoid = if rather_another { Some(last).filter(|last| *last != NONE) } else { None };
        let choice = match self.stays_in_line(key) {
            Some(server) => Choice::Only(server),
            None if rather_another => self.choose_by_key(key, avoid),
            None => match self.choose(key) {
                Choice::Any => self.choose_by_key(key, avoid),
                chosen => chosen,
            },
        };
        if let Choice::Only(server) | Choice::Rather(server, _) = choice {
            if self.take_place(id, server, key) {
                return self.assign(key, server, true);
            }
            if self.waits_for(key, server, choice) {
                return self.stand_in_line(key, server);
            }
        }
        if self.backends[id as usize].farm.is_empty() {
            // Who waits may see one come back.
            return if waits { Input::NoPlace } else { Input::NoServer };
        }
        // Among limited servers those who wait come first, wherever they wait.
        let backend = &self.backends[id as usize];
        if !waits && backend.limited && self.lane.memory().anyone_waits(&backend.gauge) {
            return self.stand_in_line(key, NONE);
        }
        match self.take_any(id, key, avoid, waits) {
            Some(server) => self.assign(key, server, false),
            None => self.stand_in_line(key, NONE),
        }
    }

    /// Who may serve a stream, by what its client has been given before.
    fn choose(&self, key: StreamKey) -> Choice {
        let Some(stream) = self.streams.get(key as usize) else { return Choice::Any };
        let Some(exchange) = stream.http.as_deref() else { return Choice::Any };
        let backend = &self.backends[stream.backend as usize];
        if let Some(server) = exchange.presented.server
            && may_return(backend.usable(server), exchange.persist)
        {
            return Choice::Only(server);
        }
        let Some(session) = self.sessions.get(stream.session as usize) else { return Choice::Any };
        let (last_backend, last) = session.last;
        if last_backend != stream.backend || last == NONE {
            return Choice::Any;
        }
        let http = &self.config.backends[stream.backend as usize].http;
        let owned = session.private.is_some() && backend.usable(last) != Usable::None;
        if owned || http.prefer_last_server && backend.farm.contains(last) {
            return Choice::Rather(last, http.max_keep_alive_queue);
        }
        Choice::Any
    }

    /// Who may serve a stream by its key, where the backend balances by keys.
    fn choose_by_key(&mut self, key: StreamKey, avoid: Option<ServerId>) -> Choice {
        let Some(stream) = self.streams.get(key as usize) else { return Choice::Any };
        let Some(hash) = stream.hash else { return Choice::Any };
        let (id, waits) = (stream.backend, stream.queued.is_some());
        let backend = &self.config.backends[id as usize];
        let (farm, loads) = self.backends[id as usize].farm(backend, self.lane.memory(), waits);
        farm.by_key(hash, &loads, avoid).map_or(Choice::Any, Choice::Only)
    }

    /// The server in whose line a stream stands, as long as it may have it: whoever waits changes from a
    /// server that cannot be used to one that can, and never for how busy they are, which itself
    /// depends on who waits where. A server that takes no new clients any more still has those in its
    /// line where nobody else could.
    fn stays_in_line(&self, key: StreamKey) -> Option<ServerId> {
        let stream = self.streams.get(key as usize)?;
        let server = stream.queued.as_deref()?.server;
        let backend = &self.backends[stream.backend as usize];
        let last_resort = backend.farm.is_empty() && backend.usable(server) != Usable::None;
        (backend.farm.contains(server) || last_resort).then_some(server)
    }

    /// Whether a stream whose server is full waits for that one rather than going elsewhere.
    fn waits_for(&self, key: StreamKey, server: ServerId, choice: Choice) -> bool {
        let Some(stream) = self.streams.get(key as usize) else { return false };
        match stream.queued.as_deref() {
            // Who may go anywhere is not bound again; who stands in the right line stays there.
            Some(queued) if queued.server == NONE => return false,
            Some(queued) if queued.server == server => return true,
            _ => {}
        }
        let of = &self.config.backends[stream.backend as usize].servers[server as usize];
        let waiting = self.lane.memory().waiting(of.object);
        let bound = match choice {
            Choice::Rather(_, most) => most,
            Choice::Only(_) | Choice::Any => None,
        };
        [bound, of.maxqueue].into_iter().flatten().all(|most| waiting < most)
    }

    /// It waits in that queue; where it waits already, it may be another one.
    fn stand_in_line(&mut self, key: StreamKey, server: ServerId) -> Input {
        let Some(stream) = self.streams.get_mut(key as usize) else { return Input::NoServer };
        if stream.queued.is_some() {
            self.change_queue(key, server);
        } else {
            stream.belongs = server;
        }
        Input::NoPlace
    }

    /// Takes a place at any server with one, rather not at `avoid`.
    fn take_any(
        &mut self,
        id: BackendId,
        key: StreamKey,
        avoid: Option<ServerId>,
        waits: bool,
    ) -> Option<ServerId> {
        if let Some(server) = self.backends[id as usize].farm.turns().only() {
            return self.take_place(id, server, key).then_some(server);
        }
        match self.config.backends[id as usize].balance {
            Balance::LeastConnections | Balance::First | Balance::Random { .. } => {
                for _ in 0..TRIES {
                    let server = self.best(id, avoid, waits)?;
                    if self.take_place(id, server, key) {
                        return Some(server);
                    }
                }
                None
            }
            _ => self.take_turn(id, key, avoid),
        }
    }

    /// The best server by what the backend's algorithm calls good.
    fn best(&mut self, id: BackendId, avoid: Option<ServerId>, waits: bool) -> Option<ServerId> {
        let backend = &self.config.backends[id as usize];
        let random = &mut self.random;
        let (farm, loads) = self.backends[id as usize].farm(backend, self.lane.memory(), waits);
        match backend.balance {
            Balance::LeastConnections => farm.least(&loads, avoid),
            Balance::First => farm.first(&loads, avoid),
            Balance::Random { draws } => farm.random(draws, &loads, &mut || random.next(), avoid),
            _ => None,
        }
    }

    /// Goes round from the server whose turn it is.
    fn take_turn(
        &mut self,
        id: BackendId,
        key: StreamKey,
        avoid: Option<ServerId>,
    ) -> Option<ServerId> {
        let backend = &self.backends[id as usize];
        let turn = self.lane.memory().next_index(backend.object);
        let mut put_off = None;
        let mut rings = Vec::new();
        let mut chosen = None;
        for server in backend.farm.turns().order_from(turn) {
            if Some(server) == avoid {
                put_off = avoid;
            } else if self.try_place(id, server, key, &mut rings) {
                chosen = Some(server);
                break;
            }
        }
        let chosen = chosen
            .or_else(|| put_off.filter(|server| self.try_place(id, *server, key, &mut rings)));
        for lane in rings {
            self.ring_for(lane, id);
        }
        chosen
    }

    /// Takes a place in a server's limit, if there is one and it is this stream's turn.
    fn take_place(&mut self, id: BackendId, server: ServerId, key: StreamKey) -> bool {
        let mut rings = Vec::new();
        let taken = self.try_place(id, server, key, &mut rings);
        for lane in rings {
            self.ring_for(lane, id);
        }
        taken
    }

    fn try_place(
        &self,
        id: BackendId,
        server: ServerId,
        key: StreamKey,
        rings: &mut Vec<Lane>,
    ) -> bool {
        let backend = &self.backends[id as usize];
        let memory = self.lane.memory();
        let place = backend.place(server, &self.config.backends[id as usize], memory);
        let entry = if place.cap.is_none() {
            self.lane.enter(&place)
        } else {
            let queued = self.streams.get(key as usize).and_then(|it| it.queued.as_deref());
            let Some(queued) = queued else { return enter_behind(&self.lane, &place, rings) };
            // The other queue's first one may be before it, and then has its turn.
            let bound = queued.server != NONE;
            let other = backend.queue(if bound { NONE } else { server });
            let shared = !bound || place.shared_queue.is_some();
            if shared && other.first().is_some_and(|(first, _)| first < queued.key) {
                return false;
            }
            self.lane.take(&place)
        };
        match entry {
            Entry::In => true,
            Entry::Full { ring } => {
                rings.extend(ring);
                false
            }
        }
    }

    /// The stream has this server; `bound` says that it could have had no other.
    fn assign(&mut self, key: StreamKey, server: ServerId, bound: bool) -> Input {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return Input::NoServer };
        let (id, last) = (stream.backend, stream.server);
        let moved = last != NONE && last != server;
        stream.server = server;
        stream.belongs = if bound { server } else { NONE };
        stream.holds_server = true;
        if stream.queue_ms < 0 {
            stream.queue_ms = (now - stream.asked) as i32;
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
}

/// Whether a client may come back to a server that is good for so much.
pub(crate) fn may_return(usable: Usable, rule: PersistRule) -> bool {
    match rule {
        PersistRule::Normal => usable != Usable::None,
        PersistRule::Force => true,
        PersistRule::Ignore => false,
    }
}

/// A newcomer goes behind those who wait.
fn enter_behind(lane: &OwnLane, place: &Place, rings: &mut Vec<Lane>) -> bool {
    if lane.memory().anyone_waits(place) {
        return false;
    }
    match lane.enter(place) {
        Entry::In => true,
        Entry::Full { ring } => {
            rings.extend(ring);
            false
        }
    }
}
