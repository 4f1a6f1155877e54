//! What each server is good for by the states of this moment, and how many of them are left.
//!
//! Core: shared memory and the configuration in, differences out.
//!
//! - It is counted up and down with every difference that this process makes; the whole backend is
//!   looked at again only where its version says that somebody else has changed something.
//! - Who is usable is said as to workers (`standing`), so that a log line counts those whom clients may
//!   be sent to.

use std::collections::HashMap;

use portolan_shared::memory::{Memory, Operational};
use portolan_shared::model::{BackendId, Config, ServerId};
use portolan_shared::standing::{Cause, Standing, Usable, standing_now};

use crate::check::lines::Left;
use crate::clock::Millis;

/// A server's place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At {
    /// Its backend.
    pub backend: BackendId,
    /// Its position there.
    pub server: ServerId,
}

/// What a log line or a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Up, stopping or down.
    pub operational: Operational,
    /// Who may be sent there.
    pub usable: Usable,
    /// Neither down nor in maintenance.
    pub up: bool,
    /// Who put it into maintenance.
    pub maint: Option<Cause>,
    /// Who lets it drain.
    pub drain: Option<Cause>,
    /// Its weight, if clients may be sent there.
    pub weight: u32,
}

impl From<Standing> for Known {
    fn from(standing: Standing) -> Self {
        let Standing { operational, usable, up, maint, drain, user_weight, .. } = standing;
        let weight = if usable == Usable::All { user_weight.into() } else { 0 };
        Self { operational, usable, up, maint, drain, weight }
    }
}

/// One server is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub at: At,
    /// What it was.
    pub before: Known,
    /// What it is.
    pub after: Known,
}

/// One backend.
#[derive(Clone, Debug, Default)]
struct Farm {
    /// The version that `known` is at least as new as.
    version: u64,
    known: Vec<Known>,
    left: Left,
    /// The shares of all of them.
    weight: u64,
}

impl Farm {
    fn count(&mut self, known: Known, backup: bool) {
        *self.place(backup) += u32::from(known.usable == Usable::All);
        self.weight += u64::from(known.weight);
    }

    fn discount(&mut self, known: Known, backup: bool) {
        *self.place(backup) -= u32::from(known.usable == Usable::All);
        self.weight -= u64::from(known.weight);
    }

    fn place(&mut self, backup: bool) -> &mut u32 {
        if backup { &mut self.left.backup } else { &mut self.left.active }
    }
}

/// All backends.
#[derive(Debug)]
pub struct Farms {
    farms: Vec<Farm>,
    /// Who tracks whom.
    trackers: HashMap<At, Vec<At>>,
}

/// All servers with their places.
pub fn places(config: &Config) -> impl Iterator<Item = At> {
    config.backends.iter().zip(0..).flat_map(|(backend, number)| {
        (0..backend.servers.len() as u32).map(move |server| At { backend: number, server })
    })
}

/// What a server is good for now.
pub fn look_at(config: &Config, memory: &Memory, at: At, now: Millis) -> Standing {
    let backend = &config.backends[at.backend as usize];
    let server = &backend.servers[at.server as usize];
    standing_now(config, memory, backend, server, now)
}

impl Farms {
    /// As everything stands now.
    pub fn new(config: &Config, memory: &Memory, now: Millis) -> Self {
        let mut trackers: HashMap<At, Vec<At>> = HashMap::new();
        for at in places(config) {
            let server = &config.backends[at.backend as usize].servers[at.server as usize];
            if let Some((backend, server)) = server.health.track {
                trackers.entry(At { backend, server }).or_default().push(at);
            }
        }
        let mut farms = Self { farms: vec![Farm::default(); config.backends.len()], trackers };
        for backend in 0..config.backends.len() as u32 {
            farms.recount(config, memory, backend, now);
        }
        farms
    }

    /// Servers that clients may be sent to.
    pub fn left(&self, backend: BackendId) -> Left {
        self.farms[backend as usize].left
    }

    /// The shares of all servers together.
    pub fn weight(&self, backend: BackendId) -> u64 {
        self.farms[backend as usize].weight
    }

    /// What a server was when it was last looked at.
    pub fn known(&self, at: At) -> Known {
        self.farms[at.backend as usize].known[at.server as usize]
    }

    /// Those who follow this server.
    pub fn trackers(&self, at: At) -> &[At] {
        self.trackers.get(&at).map_or(&[], Vec::as_slice)
    }

    /// Looks at one server again, after its state was stored.
    pub fn renew(
        &mut self,
        config: &Config,
        memory: &Memory,
        at: At,
        now: Millis,
    ) -> Option<Change> {
        let after = Known::from(look_at(config, memory, at, now));
        let backup = config.backends[at.backend as usize].servers[at.server as usize].backup;
        let farm = &mut self.farms[at.backend as usize];
        let before = std::mem::replace(&mut farm.known[at.server as usize], after);
        farm.discount(before, backup);
        farm.count(after, backup);
        (before != after).then_some(Change { at, before, after })
    }

    /// This process has counted up the version of a backend.
    pub fn bumped(&mut self, backend: BackendId) {
        self.farms[backend as usize].version += 1;
    }

    /// Whether somebody else has changed a state in this backend since it was last looked at.
    pub fn is_stale(&self, config: &Config, memory: &Memory, backend: BackendId) -> bool {
        let object = config.backends[backend as usize].object;
        memory.states_version(object) != self.farms[backend as usize].version
    }

    /// Looks at all servers of a backend again.
    pub fn recount(&mut self, config: &Config, memory: &Memory, backend: BackendId, now: Millis) {
        let of = &config.backends[backend as usize];
        let farm = &mut self.farms[backend as usize];
        // First the version: what is read afterwards is at least as new.
        farm.version = memory.states_version(of.object);
        (farm.left, farm.weight) = (Left::default(), 0);
        farm.known.clear();
        for (server, position) in of.servers.iter().zip(0..) {
            let at = At { backend, server: position };
            let known = Known::from(look_at(config, memory, at, now));
            farm.count(known, server.backup);
            farm.known.push(known);
        }
    }
}
