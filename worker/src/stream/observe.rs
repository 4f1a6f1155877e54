//! What traffic tells of servers (`observe`), and what becomes of streams when a server changes.
//!
//! Shell. Workers count errors in shared memory, over all of them together; whoever counts the one too
//! many rings the checker, which decides what it means.

use portolan_shared::memory::Object;
use portolan_shared::model::{BackendId, Observe, ServerId};

use super::StreamKey;
use crate::back::Input;
use crate::event_loop::Worker;
use crate::termination::{Cause, Phase, Termination};

/// Whether a status speaks for a server: 100 to 499, 501 and 505, as HAProxy has it.
pub(crate) fn speaks_well(status: u16) -> bool {
    matches!(status, 100..=499 | 501 | 505)
}

impl Worker {
    /// A connection to a stream's server came about, or failed; or a response was what it should be,
    /// or was not.
    pub(crate) fn observe(&mut self, key: StreamKey, layer: Observe, well: bool) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        let Some(backend) = self.config.backends.get(stream.backend as usize) else { return };
        let Some(server) = backend.servers.get(stream.server as usize) else { return };
        if server.health.observe != Some(layer) {
            return;
        }
        let memory = self.lane.memory();
        if memory.observe(server.object, well, server.health.error_limit)
            && let Some(checker) = memory.checker_lane()
        {
            self.ring(checker);
        }
    }

    /// An operator ends the streams of the server with this place in shared memory.
    pub(crate) fn shut_down_server(&mut self, object: Object) {
        self.shut_down.insert(object, self.clock.now());
        let found = (0..).zip(&self.config.backends).find_map(|(id, backend)| {
            let server = backend.servers.iter().position(|server| server.object == object)?;
            Some((id, server as ServerId))
        });
        if let Some((id, server)) = found {
            self.shut_down_streams(id, server, Cause::Killed);
        }
    }

    /// Ends every stream of a server for this reason; one that is under way to another worker when it
    /// comes back.
    pub(crate) fn shut_down_streams(&mut self, id: BackendId, server: ServerId, why: Cause) {
        let of_it = |stream: &super::Stream| {
            (stream.backend, stream.server) == (id, server) && stream.holds_server
        };
        let keys: Vec<StreamKey> = self
            .streams
            .iter()
            .filter(|(_, stream)| of_it(stream))
            .map(|(key, _)| key as StreamKey)
            .collect();
        for key in keys {
            if self.is_moving(key) {
                self.condemn(key, why);
                continue;
            }
            let input = if self.flows(key) {
                Input::Over(Termination::new(why, self.phase_of(key)))
            } else {
                Input::Aborted(why)
            };
            self.drive(key, input);
        }
    }

    /// Where a stream is whose bytes flow.
    fn phase_of(&self, key: StreamKey) -> Phase {
        let exchange = self.streams.get(key as usize).and_then(|stream| stream.http.as_deref());
        match exchange {
            Some(exchange) if !exchange.answered => Phase::Headers,
            _ => Phase::Data,
        }
    }
}
