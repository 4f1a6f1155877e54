//! Workers that retire: they are told so, and each gets a link to its successor.
//!
//! Shell; who succeeds whom is decided in [`succession`](crate::succession).
//!
//! - A link is a socketpair of its own: `Predecessor` with one end goes to the worker that serves, then
//!   `Successor` with the other to the one that retires. We keep neither.
//! - A worker that has lost its link says so (`Unlinked`), whatever the reason, and gets another one.
//! - While the instance stops, nobody gets a new link: there is no one to go over to.

use std::os::fd::AsFd as _;
use std::time::Instant;

use portolan_shared::channel::Channel;
use portolan_shared::message::ToWorker;
use portolan_shared::model::LogLevel;

use crate::handover::HandedWorker;
use crate::master::Master;
use crate::slots::WorkerId;
use crate::succession::{Pair, Seat};
use crate::supervise::HEARD_IN_A_TURN;
use crate::worker::{KILL_AFTER, Phase};

impl Master {
    /// Lets a worker hand over and leave. One that is not ready leaves at once, unless its `Ready` is
    /// under way.
    pub fn retire(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let bound = self.generations.get(&worker.generation);
        let bound = bound.and_then(|generation| generation.terms.hard_stop_after);
        let starts = worker.phase == Phase::Starting;
        if worker.retire(now, bound.map(|bound| now + bound)) {
            if starts {
                worker.kill_at = Some(now + KILL_AFTER);
            }
            self.succession.retires(id, worker.slot);
        }
    }

    /// Links those who retire to those who serve, wherever that is to be done anew.
    pub fn proceed_succession(&mut self, now: Instant) {
        if self.state.stops() || self.current.is_none() {
            return;
        }
        // Who has closed its channel is about to end.
        let ends = |id| self.workers.get(&id).is_none_or(|worker| worker.deaf);
        let mut seats = self.slots.seats(now);
        for seat in &mut seats {
            if let Seat::Taken(id) = *seat
                && ends(id)
            {
                *seat = Seat::Soon;
            }
        }
        let pairs = self.succession.settle(&seats, now);
        for pair in pairs {
            if let Err(error) = self.link_workers(pair) {
                self.succession.not_linked(pair.giver, now);
                let line = format!("a worker that retires has no link to its successor: {error}");
                self.say(LogLevel::Warning, &line);
            } else if pair.broken > 0 {
                let pid = |id| self.workers.get(&id).map_or(0, |worker| worker.pid);
                let (giver, taker, broken) = (pid(pair.giver), pid(pair.taker), pair.broken);
                let line = format!(
                    "Former worker ({giver}) is linked to worker ({taker}) anew: {broken} links have broken in a row"
                );
                self.say(LogLevel::Warning, &line);
            }
        }
    }

    fn link_workers(&mut self, pair: Pair) -> std::io::Result<()> {
        let (to_taker, to_giver) = Channel::pair()?;
        let place = |id| self.workers.get(&id).map(|worker| (worker.generation, worker.slot));
        let (Some(giver), Some(taker)) = (place(pair.giver), place(pair.taker)) else {
            return Err(std::io::Error::other("one of them has ended"));
        };
        let (generation, slot) = giver;
        self.say_to(pair.taker, &ToWorker::Predecessor { generation, slot }, &to_giver)?;
        let (generation, slot) = taker;
        // Where this fails the first one sees the end of its link.
        self.say_to(pair.giver, &ToWorker::Successor { generation, slot }, &to_taker)
    }

    fn say_to(&mut self, id: WorkerId, message: &ToWorker, end: &Channel) -> std::io::Result<()> {
        let worker = self.workers.get_mut(&id);
        worker.map_or(Ok(()), |worker| worker.try_say(message, &[end.as_fd()]))
    }

    /// A worker has lost its link to its successor.
    pub fn handle_unlinked(&mut self, id: WorkerId, links: u32, now: Instant) {
        if self.workers.get(&id).is_none_or(|worker| worker.phase != Phase::Retiring) {
            return;
        }
        // It may be its end that broke the link: then it closed its channel, too.
        if let Some(taker) = self.succession.successor(id) {
            self.hear(taker, HEARD_IN_A_TURN, now);
        }
        self.succession.unlinked(id, links, now);
    }

    /// Takes over what the former program had paired.
    pub fn adopt_links(&mut self, handed: &[HandedWorker]) {
        let of_lane = |lane: u16| {
            let found = self.workers.values().find(|worker| worker.lane == lane);
            found.map(|worker| worker.id)
        };
        for worker in handed.iter().filter(|worker| worker.phase == Phase::Retiring) {
            if let Some(id) = of_lane(worker.lane) {
                let successor = worker.successor.and_then(of_lane);
                self.succession.adopted(id, worker.slot, successor);
            }
        }
    }
}
