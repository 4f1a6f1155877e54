//! Listeners: which sockets this worker accepts from, and when it does not.
//!
//! Shell around `state`. Accepting has three layers: the listener (here and in `accept`: how many, in
//! which state, within which limits), the session (creation), the frontend (options, log, mode).
//!
//! - A worker holds the sockets of every slot and serves its own, those of one socket for all, those of
//!   slots that no longer exist (shared out by number), and those it deputises for.
//! - A connection's places in the limits of bind, frontend and instance are taken before it is
//!   accepted: what cannot be served waits in the kernel's queue, where another worker may take it. The
//!   same holds for limits of how many come within a second (`rates`).

mod accept;
mod rates;
pub mod state;

pub use accept::RESERVE;

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};

use portolan_shared::memory::{INSTANCE, Lane, Place, Waiters};
use portolan_shared::message::ListenerEntry;
use portolan_shared::model::Config;

use crate::clock::Millis;
use crate::descriptor::{Owner, READ, Token, Trigger};
use crate::event_loop::Worker;
use crate::protocol::{self, Protocol};
use crate::task::{Job, TaskId};
use state::{Input, State};

/// A listener's position in the worker's table.
pub type ListenerKey = u32;

/// How many places a connection takes: of the bind, of the frontend, of the instance.
const PLACES: usize = 3;

/// One listening socket.
#[derive(Debug)]
pub struct Listener {
    /// How it accepts.
    pub protocol: &'static Protocol,
    /// Its frontend.
    pub frontend: u32,
    /// Its bind, by position in the frontend.
    pub bind: u32,
    /// As logs name it, counted from 1.
    pub id: u32,
    /// Whose it is; `None`: everybody's.
    pub slot: Option<u16>,
    /// Where it is.
    pub state: State,
    token: Token,
    task: TaskId,
    places: [Place; PLACES],
    rates: Box<[rates::Limit]>,
    /// Which of its places it waits for.
    waits_for: Option<usize>,
    since: Millis,
    /// Connections accepted in a row next time: more while there are more, so that a lone connection
    /// costs no second system call.
    streak: u32,
}

impl Listener {
    /// Its socket in the table.
    pub fn token(&self) -> Token {
        self.token
    }

    /// Its task.
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// What each of its connections is counted in: bind, frontend, instance.
    pub fn places(&self) -> [Place; PLACES] {
        self.places
    }
}

/// Listeners that wait for one place, in order.
#[derive(Debug)]
pub struct Waiting {
    place: Place,
    listeners: VecDeque<ListenerKey>,
}

/// Where each bind stands: its id, its frontend, its position there.
pub type BindPlaces = HashMap<u32, (u32, u32)>;

/// Finds every bind of a configuration.
pub fn bind_places(config: &Config) -> BindPlaces {
    let frontends = config.frontends.iter().zip(0..);
    frontends
        .flat_map(|(frontend, at)| {
            frontend.binds.iter().zip(0..).map(move |(bind, position)| (bind.id, (at, position)))
        })
        .collect()
}

/// Which slots' listeners are served.
#[derive(Debug, Default)]
pub struct Serving {
    /// Slots this worker stands in for.
    pub deputised: Vec<u16>,
    /// SIGTTOU.
    pub paused: bool,
    /// Accepting is over.
    pub stopped: bool,
}

impl Worker {
    /// Takes sockets in as the master sends them.
    pub(crate) fn add_listeners(
        &mut self,
        entries: &[ListenerEntry],
        sockets: Vec<OwnedFd>,
        places: &BindPlaces,
    ) {
        for (entry, socket) in entries.iter().zip(sockets) {
            let Some(&(frontend, bind)) = places.get(&entry.bind) else { continue };
            let model = &self.config.frontends[frontend as usize];
            let bound = &model.binds[bind as usize];
            let state = [Input::Prepared, Input::Adopted, Input::SocketCame]
                .into_iter()
                .try_fold(State::New, State::on)
                .unwrap_or(State::New);
            let places = [
                Place::new(bound.object, bound.maxconn),
                Place::new(model.object, model.maxconn),
                Place::new(INSTANCE, self.config.process.maxconn),
            ];
            let protocol = protocol::of_listener(&bound.address, socket.as_fd());
            let (id, nice) = (bound.id + 1, bound.nice);
            let key = self.listeners.len() as ListenerKey;
            let token = self.descriptors.insert(socket, Owner::Listener(key), Trigger::Level);
            let task = self.tasks.create(Job::Listener(key), nice);
            self.listeners.push(Listener {
                protocol,
                frontend,
                bind,
                id,
                slot: entry.slot,
                state,
                token,
                task,
                places,
                rates: rates::limits(&self.config, model),
                waits_for: None,
                since: 0,
                streak: 1,
            });
        }
    }

    /// Enables and disables listeners as slots, deputies, pauses and stops have it now.
    pub(crate) fn settle_listeners(&mut self) {
        let (own, slots) = (self.hello.slot, self.hello.slots.max(1));
        for key in 0..self.listeners.len() {
            let mine = match self.listeners[key].slot {
                None => true,
                Some(slot) => {
                    slot == own
                        || (slot >= slots && slot % slots == own)
                        || self.serving.deputised.contains(&slot)
                }
            };
            let key = key as ListenerKey;
            let wanted = mine && !self.serving.stopped;
            if wanted {
                self.turn(key, Input::Enable);
                self.turn(key, if self.serving.paused { Input::Pause } else { Input::Resume });
            } else {
                self.turn(key, Input::Disable);
            }
        }
        self.lane.set_accepting(!self.serving.stopped && !self.serving.paused);
    }

    /// Gives an input to a listener's state, and makes the poller and the waits follow.
    pub(crate) fn turn(&mut self, key: ListenerKey, input: Input) {
        let listener = &mut self.listeners[key as usize];
        let Some(next) = listener.state.on(input) else { return };
        let before = std::mem::replace(&mut listener.state, next);
        let token = listener.token;
        if next == State::Ready {
            // What came while nobody looked is reported, a level being one. Not looked at before: who
            // waits for a place without anybody to serve would wait in a ring with others like it.
            self.descriptors.want(token, READ);
        } else if before == State::Ready {
            self.descriptors.stop(token, READ);
        }
        if !matches!(next, State::Full | State::Limited) {
            self.stop_waiting(key);
        }
    }

    /// Accepts what waits on every listener that is about to be left, so that nobody waits there for
    /// a worker that no longer looks.
    pub(crate) fn drain_listeners(&mut self) {
        for key in 0..self.listeners.len() as ListenerKey {
            if self.listeners[key as usize].state == State::Ready {
                self.accept_all(key);
            }
        }
    }

    /// Puts a listener behind those that wait for the same place, and tells the other workers.
    fn wait_for(&mut self, key: ListenerKey, which: usize) {
        let now = self.clock.now();
        let listener = &mut self.listeners[key as usize];
        let place = listener.places[which];
        listener.waits_for = Some(which);
        listener.since = now;
        let waiting = self
            .waiting
            .entry(place.object)
            .or_insert_with(|| Waiting { place, listeners: VecDeque::new() });
        waiting.listeners.push_back(key);
        self.publish_waiting(place);
        // A place may have come free before the others could know who waits for it.
        self.rung_places.insert(place.object);
        let input = if which == 0 { Input::OwnLimit } else { Input::OtherLimit };
        self.turn(key, input);
    }

    /// A listener no longer waits; whose turn it is now is told.
    fn stop_waiting(&mut self, key: ListenerKey) {
        let listener = &mut self.listeners[key as usize];
        let Some(which) = listener.waits_for.take() else { return };
        let place = listener.places[which];
        if let Some(waiting) = self.waiting.get_mut(&place.object) {
            waiting.listeners.retain(|other| *other != key);
        }
        self.publish_waiting(place);
        if let Some(lane) = self.lane.pass_on(&place) {
            self.ring_place(lane, place);
        }
    }

    fn publish_waiting(&mut self, place: Place) {
        let first = self.waiting.get(&place.object).and_then(|waiting| {
            let first = *waiting.listeners.front()?;
            let since = self.listeners[first as usize].since * 1000;
            Some(Waiters { count: waiting.listeners.len() as u32, priority: 0, since })
        });
        if first.is_none() {
            self.waiting.remove(&place.object);
        }
        self.lane.publish(place.object, first);
    }

    /// There may be place for somebody who waits for it.
    pub(crate) fn ring_place(&mut self, lane: Lane, place: Place) {
        if lane == self.lane.number() {
            self.rung_places.insert(place.object);
        } else {
            self.ring(lane);
        }
    }

    /// Lets listeners try that wait for places which may be free.
    pub(crate) fn serve_places(&mut self) {
        if self.rung_places.is_empty() {
            return;
        }
        // Whoever has to try again does so in the next cycle.
        for object in std::mem::take(&mut self.rung_places) {
            let Some(waiting) = self.waiting.get(&object) else { continue };
            debug_assert_eq!(waiting.place.object, object);
            if let Some(first) = waiting.listeners.front().copied() {
                self.accept_waiting(first);
            }
        }
    }

    /// A connection of another worker came, which has its places there: it keeps them, whatever their
    /// limits.
    pub(crate) fn enter_client(&mut self, key: ListenerKey) {
        for place in self.listeners[key as usize].places {
            // Without a limit there is always one.
            let _ = self.lane.enter(&Place { cap: None, ..place });
        }
    }

    /// A connection through this listener is over: its places are free.
    pub(crate) fn release_client(&mut self, key: ListenerKey) {
        let places = self.listeners[key as usize].places;
        self.leave_places(&places);
        self.try_short_listeners();
    }

    fn leave_places(&mut self, places: &[Place]) {
        for place in places {
            // Another generation may limit what this one does not.
            if let Some(lane) = self.lane.leave(place) {
                self.ring_place(lane, *place);
            }
        }
    }
}
