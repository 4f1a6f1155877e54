//! What the master does about the death of the wrapper: another one takes its place, or nobody does.
//!
//! Shell.
//!
//! - Another wrapper has our channel from the service manager, which kept it. What it finds there may be
//!   half said: it asks, we answer, and say again what was not acknowledged.
//! - Where nobody kept the channel it ends with the wrapper, and so do we: what is in flight has
//!   [`ALONE_MAX_MS`] at most, as nobody could be told to end it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use portolan_shared::message::wrapper::{ALONE_MAX_MS, ToWrapper};
use portolan_shared::model::LogLevel;

use crate::master::Master;
use crate::state::State;

impl Master {
    /// A new wrapper takes us over.
    pub fn handle_other_wrapper(&mut self, nonce: u64, pid: i32) {
        self.link.taken_over(pid);
        self.tell(&ToWrapper::Adopted {
            nonce,
            generation: self.current.unwrap_or(0),
            stopping: self.state.stops(),
            at_work: matches!(self.state, State::Booting { .. } | State::Reloading { .. }),
            status: self.status.clone(),
            acknowledged: self.link.acknowledged(),
        });
        if let Err(error) = self.link.keep_again() {
            self.say(LogLevel::Warning, &format!("the new wrapper cannot keep: {error}"));
        }
        self.say(LogLevel::Notice, &format!("Wrapper ({pid}) takes over"));
        if let Some(config) = self.config.as_ref().map(Rc::clone) {
            self.write_pidfile(&config);
        }
    }

    /// Nobody is above us any more: what is left has a bound.
    pub fn stop_alone(&mut self, now: Instant) {
        if self.state == State::SoftStopping {
            let alone = now + Duration::from_millis(ALONE_MAX_MS);
            self.stop_deadline = Some(self.stop_deadline.map_or(alone, |at| at.min(alone)));
        }
    }

    /// Retires the listeners of an instance that ends. After a hard stop those that the service manager
    /// holds stay open for the one that follows; UNIX sockets do not, as their files would stay without it.
    pub fn retire_last(&mut self) {
        if self.exit_status > 128 && self.link.is_stored() {
            self.listeners.retire_unix();
        } else {
            self.listeners.retire_all();
        }
    }
}
