//! How many connections and sessions may begin within a second, over all workers together.
//!
//! Shell around `memory`'s rates, whose definition (HAProxy's) is there.
//!
//! - A connection is counted before it is accepted, once its places are taken, in all of its rates or
//!   in none; it is given back when none came. So what the limits do not allow is never accepted: it
//!   waits in the kernel's queue, and nobody is refused.
//! - A listener whose rate is used up does not look at its socket until the moment from which one more
//!   is allowed, if no other worker takes it first: it then asks again.

use portolan_shared::memory::{INSTANCE, Object, Rate};
use portolan_shared::model::{Config, Frontend};

use super::ListenerKey;
use super::state::Input;
use crate::clock::Millis;
use crate::event_loop::Worker;

/// A rate that has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    object: Object,
    rate: Rate,
    /// Most within a second.
    most: u32,
}

/// What limits the rate of a frontend's listeners; nothing, as a rule.
pub fn limits(config: &Config, frontend: &Frontend) -> Box<[Limit]> {
    let process = &config.process;
    [
        (INSTANCE, Rate::Connections, process.connections_per_second),
        (INSTANCE, Rate::Sessions, process.sessions_per_second),
        (frontend.object, Rate::Sessions, frontend.sessions_per_second),
    ]
    .into_iter()
    .filter_map(|(object, rate, most)| Some(Limit { object, rate, most: most? }))
    .collect()
}

impl Worker {
    /// Counts a connection in every rate of its listener; if one is used up, in none, and answers how
    /// many milliseconds to wait.
    pub(super) fn take_rates(&self, key: ListenerKey) -> Result<(), Millis> {
        let limits = &self.listeners[key as usize].rates;
        let now = self.clock.now();
        for (at, limit) in limits.iter().enumerate() {
            if let Err(wait) =
                self.lane.memory().rate_take(limit.object, limit.rate, limit.most, now)
            {
                self.forget(&limits[..at]);
                return Err(wait);
            }
        }
        Ok(())
    }

    /// No connection came after all.
    pub(super) fn give_rates_back(&self, key: ListenerKey) {
        self.forget(&self.listeners[key as usize].rates);
    }

    fn forget(&self, limits: &[Limit]) {
        let now = self.clock.now();
        for limit in limits {
            self.lane.memory().rate_give_back(limit.object, limit.rate, now);
        }
    }

    /// Does not look at a listener for so long.
    pub(super) fn wait_for_rate(&mut self, key: ListenerKey, wait: Millis) {
        self.turn(key, Input::OtherLimit);
        self.tasks.schedule(self.listeners[key as usize].task, self.clock.now() + wait);
    }
}
