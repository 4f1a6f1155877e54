//! Accepting: how many in a row, within which limits, and what a lack of resources does.
//!
//! Shell. Limits: `tune.maxaccept` connections in a row, and [`DRAIN_MAX`] from a listener that is about
//! to be left, which is more than any accept queue holds: who comes later is another's; [`RESERVE`]
//! descriptors stay free for connections to servers, logs and the channel; after a lack of descriptors
//! or memory accepting waits [`RETRY_MS`], and the master hears that it is over after [`SHORT_MS`]
//! without one.

use std::os::fd::AsFd;

use portolan_shared::log::Kind;
use portolan_shared::memory::{Entry, Place};
use portolan_shared::message::{DESCRIPTORS_MAX, ToMaster};
use portolan_shared::model::LogLevel;
use rustix::io::Errno;

use super::state::{Input, State};
use super::{ListenerKey, PLACES};
use crate::clock::Millis;
use crate::event_loop::Worker;
use crate::task::Reasons;

/// Most connections accepted from a listener that is about to be left.
const DRAIN_MAX: u32 = 65_536;
/// Descriptors kept free for everything that is not a client's connection.
pub const RESERVE: usize = 16;
/// How long accepting waits when descriptors or memory ran out, milliseconds.
pub const RETRY_MS: Millis = 100;

/// So long nothing must have been missing before a deputy is let go, milliseconds: neither the master
/// nor its log is to be kept busy by what comes and goes.
const SHORT_MS: Millis = 1000;

/// What taking the places of a connection came to.
enum Admission {
    /// All are taken.
    Granted,
    /// This one is full.
    Full(usize),
}

/// What accepting one connection came to.
enum Accepted {
    /// A session began.
    One,
    /// The queue is empty.
    None,
    /// It is to be tried again.
    Again,
    /// Accepting ended with a change of state.
    Halted,
}

impl Worker {
    /// A listener's task runs: it is ready, or may be again.
    pub(crate) fn run_listener(&mut self, key: ListenerKey, reasons: Reasons) {
        if reasons.has(Reasons::TIMER) && self.listeners[key as usize].waits_for.is_none() {
            self.turn(key, Input::Place);
        }
        if self.listeners[key as usize].state != State::Ready {
            return;
        }
        let most = match self.config.tune.maxaccept {
            0 => u32::MAX,
            most => most,
        };
        let streak = self.listeners[key as usize].streak.min(most);
        let mut accepted = 0;
        while accepted < streak {
            match self.accept_one(key) {
                Accepted::One => accepted += 1,
                Accepted::Again => {}
                Accepted::None => break,
                Accepted::Halted => return,
            }
        }
        let listener = &mut self.listeners[key as usize];
        // Level-triggered: what is left is reported again.
        listener.streak =
            if accepted == streak { streak.saturating_mul(2).min(most) } else { accepted.max(1) };
    }

    /// Accepts until nothing waits, whatever the budget.
    pub(super) fn accept_all(&mut self, key: ListenerKey) {
        for _ in 0..DRAIN_MAX {
            match self.accept_one(key) {
                // In a storm this takes long, and it is no standing still.
                Accepted::One | Accepted::Again => self.lane.beat(),
                Accepted::None | Accepted::Halted => return,
            }
        }
    }

    /// It may be this listener's turn for the place it waits for.
    pub(super) fn accept_waiting(&mut self, key: ListenerKey) {
        let Some(which) = self.listeners[key as usize].waits_for else { return };
        let place = self.listeners[key as usize].places[which];
        match self.lane.take(&place) {
            Entry::In => {}
            Entry::Full { ring } => {
                if let Some(lane) = ring {
                    self.ring_place(lane, place);
                }
                return;
            }
        }
        // The place is ours; the wait is over before anybody else is told.
        self.turn(key, Input::Place);
        let places = self.listeners[key as usize].places;
        for (at, other) in places.iter().enumerate() {
            if at == which {
                continue;
            }
            // Those who wait there are passed by: two that have their turn at one place each would
            // otherwise send one another from place to place while both are free.
            if !self.enter_free(other) {
                self.leave_places(
                    &places[..at].iter().filter(|p| **p != place).copied().collect::<Vec<_>>(),
                );
                self.leave_places(&[place]);
                self.wait_for(key, at);
                return;
            }
        }
        self.accept_admitted(key);
    }

    fn accept_one(&mut self, key: ListenerKey) -> Accepted {
        if !self.make_room() {
            self.run_short(key, "descriptors");
            return Accepted::Halted;
        }
        match self.admit(key) {
            Admission::Granted => self.accept_admitted(key),
            Admission::Full(which) => {
                self.wait_for(key, which);
                Accepted::Halted
            }
        }
    }

    /// Takes the places of one connection, all or none.
    fn admit(&mut self, key: ListenerKey) -> Admission {
        let places = self.listeners[key as usize].places;
        for at in 0..PLACES {
            if !self.enter_place(&places[at]) {
                self.leave_places(&places[..at]);
                return Admission::Full(at);
            }
        }
        Admission::Granted
    }

    /// Takes a place unless it is full, or somebody waits for it already.
    fn enter_place(&mut self, place: &Place) -> bool {
        let polite = place.cap.is_some() && self.lane.memory().anyone_waits(place);
        !polite && self.enter_free(place)
    }

    /// Takes a place unless it is full.
    fn enter_free(&mut self, place: &Place) -> bool {
        match self.lane.enter(place) {
            Entry::In => true,
            Entry::Full { ring } => {
                if let Some(lane) = ring {
                    self.ring_place(lane, *place);
                }
                false
            }
        }
    }

    /// Accepts one connection, whose places are taken already.
    fn accept_admitted(&mut self, key: ListenerKey) -> Accepted {
        let listener = &self.listeners[key as usize];
        let (protocol, token, places) = (listener.protocol, listener.token, listener.places);
        if let Err(wait) = self.take_rates(key) {
            self.leave_places(&places);
            self.wait_for_rate(key, wait);
            return Accepted::Halted;
        }
        let result = match self.descriptors.get(token) {
            Some(descriptor) => (protocol.accept)(descriptor.as_fd()),
            None => Err(Errno::BADF),
        };
        let errno = match result {
            Ok((socket, client)) => {
                self.begin_session(key, socket, client);
                return Accepted::One;
            }
            Err(errno) => errno,
        };
        self.give_rates_back(key);
        self.leave_places(&places);
        match errno {
            Errno::AGAIN => Accepted::None,
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => {
                self.run_short(key, &errno.to_string());
                Accepted::Halted
            }
            // The master shut the socket down: nobody serves this address any more.
            Errno::INVAL => {
                self.turn(key, Input::Disable);
                Accepted::Halted
            }
            // The connection died in the queue, or the call was interrupted.
            Errno::INTR
            | Errno::CONNABORTED
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::HOSTDOWN
            | Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::PERM => Accepted::Again,
            other => {
                let text = format_args!("cannot accept connections: {other}");
                self.log.say_limited(Kind::Accept, LogLevel::Err, text);
                self.run_short(key, &other.to_string());
                Accepted::Halted
            }
        }
    }

    /// Whether a client and its server would leave the reserve untouched.
    pub(crate) fn room_for_connection(&self) -> bool {
        let expected = if self.handover.expects() { DESCRIPTORS_MAX } else { 0 };
        2 + RESERVE + expected <= self.spare_descriptors()
    }

    /// How many descriptors can still be opened.
    pub(crate) fn spare_descriptors(&self) -> usize {
        let (pipes_out, pipes_idle, ..) = self.pipes.figures();
        let open = self.descriptors.len() + self.fixed_descriptors + 2 * (pipes_out + pipes_idle);
        self.descriptor_limit.saturating_sub(open)
    }

    /// The same, at the cost of connections that wait for their next request.
    pub(crate) fn make_room(&mut self) -> bool {
        while !self.room_for_connection() {
            if !self.close_one_kept() {
                return false;
            }
        }
        true
    }

    /// Something is missing that accepting needs: this listener waits a while, and the master learns
    /// that a deputy may be wanted.
    fn run_short(&mut self, key: ListenerKey, what: &str) {
        self.pipes.close_idle();
        let text = format_args!("accepting pauses: out of {what}");
        self.log.say_limited(Kind::Resource, LogLevel::Err, text);
        self.turn(key, Input::OtherLimit);
        let listener = &self.listeners[key as usize];
        self.tasks.schedule(listener.task, self.clock.now() + RETRY_MS);
        if self.short.replace(self.clock.now()).is_none() {
            self.tell(&ToMaster::Short { short: true, reason: what.to_owned() });
        }
    }

    /// A connection has ended: what was missing may be there again.
    pub(crate) fn try_short_listeners(&mut self) {
        if self.short.is_none() || !self.room_for_connection() {
            return;
        }
        for key in 0..self.listeners.len() as ListenerKey {
            let listener = &self.listeners[key as usize];
            if listener.state == State::Limited && listener.waits_for.is_none() {
                self.turn(key, Input::Place);
            }
        }
    }

    /// Nothing was missing for a while: no deputy is needed any more.
    pub(crate) fn end_shortness(&mut self) {
        let over = |last: Millis| self.clock.now() - last >= SHORT_MS;
        if self.short.is_some_and(over) && self.room_for_connection() {
            self.short = None;
            self.tell(&ToMaster::Short { short: false, reason: String::new() });
        }
    }
}
