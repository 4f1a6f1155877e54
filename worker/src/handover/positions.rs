//! Where the names that a predecessor gives stand in the configuration of this worker.
//!
//! Core, but that it reads how many there are of what: both generations share the numbers of objects,
//! and the same number is the same name and position.

use std::collections::HashMap;
use std::rc::Rc;

use portolan_shared::memory::Object;
use portolan_shared::message::handover::{self, Origin, Verdict};
use portolan_shared::model::{BackendId, FrontendId, Mode, ServerId};

use crate::clock::Millis;
use crate::event_loop::Worker;
use crate::listener::ListenerKey;
use crate::protocol::Address;
use crate::stream::{Arrival, Told};

/// Objects of this configuration.
#[derive(Debug, Default)]
pub struct Positions {
    /// A listener of each bind: one that this worker serves, where there is one.
    pub listeners: HashMap<Object, ListenerKey>,
    /// Backends.
    pub backends: HashMap<Object, BackendId>,
    /// Servers.
    pub servers: HashMap<Object, (BackendId, ServerId)>,
}

/// Where a client came in, in this configuration.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    /// The frontend.
    pub frontend: FrontendId,
    /// The listener.
    pub listener: ListenerKey,
    /// The client.
    pub client: Address,
    /// What a PROXY header told.
    pub told: Option<Rc<Told>>,
    /// When it was accepted.
    pub accepted: Millis,
    /// Its task's priority.
    pub nice: i16,
}

impl Entrance {
    /// For a stream.
    pub fn arrival(&self) -> Arrival {
        Arrival {
            frontend: self.frontend,
            listener: self.listener,
            client: self.client,
            accepted: self.accepted,
        }
    }
}

impl Worker {
    /// All objects of this configuration; made with the first predecessor.
    pub(crate) fn positions(&mut self) -> Rc<Positions> {
        if let Some(positions) = &self.handover.positions {
            return Rc::clone(positions);
        }
        let mut positions = Positions::default();
        for (key, listener) in (0..).zip(&self.listeners) {
            let bind = self.bind_of(key);
            if listener.slot == Some(self.hello.slot) || !positions.listeners.contains_key(&bind) {
                positions.listeners.insert(bind, key);
            }
        }
        for (id, backend) in (0..).zip(&self.config.backends) {
            positions.backends.insert(backend.object, id);
            let servers = (0..).zip(&backend.servers);
            positions.servers.extend(servers.map(|(at, server)| (server.object, (id, at))));
        }
        let positions = Rc::new(positions);
        self.handover.positions = Some(Rc::clone(&positions));
        positions
    }

    fn bind_of(&self, key: ListenerKey) -> Object {
        let listener = &self.listeners[key as usize];
        self.config.frontends[listener.frontend as usize].binds[listener.bind as usize].object
    }

    /// Where a client came in, for a successor.
    pub(crate) fn origin(
        &self,
        (frontend, listener): (FrontendId, ListenerKey),
        (client, told): (Address, Option<&Told>),
        accepted: Millis,
    ) -> Origin {
        let places = self.listeners[listener as usize].places();
        Origin {
            frontend: self.config.frontends[frontend as usize].object,
            bind: self.bind_of(listener),
            caps: places.map(|place| place.cap.unwrap_or(0)),
            client: client.ip(),
            told: told.map(|told| handover::Told { destination: told.destination }),
            accepted,
        }
    }

    /// Where a predecessor's client came in: the same frontend in the same mode, the same bind. A
    /// client that has said nothing yet fits any mode.
    pub(crate) fn entrance(
        &mut self,
        origin: &Origin,
        mode: Option<Mode>,
    ) -> Result<Entrance, Verdict> {
        let positions = self.positions();
        let key = *positions.listeners.get(&origin.bind).ok_or(Verdict::NoPlace)?;
        let listener = &self.listeners[key as usize];
        let frontend = &self.config.frontends[listener.frontend as usize];
        let fits = mode.is_none_or(|mode| mode == frontend.mode);
        if frontend.object != origin.frontend || !fits {
            return Err(Verdict::NoPlace);
        }
        let entrance = Entrance {
            frontend: listener.frontend,
            listener: key,
            client: origin.client.map_or(Address::Unix, Address::Ip),
            told: origin.told.map(|told| Rc::new(Told { destination: told.destination })),
            accepted: origin.accepted.min(self.clock.now()),
            nice: frontend.binds[listener.bind as usize].nice,
        };
        let places = listener.places();
        self.note_lowered(&places, origin.caps);
        Ok(entrance)
    }
}
