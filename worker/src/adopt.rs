//! Another master has the channel: what a process answers, and what it forgets of the one before.
//!
//! Shell.
//!
//! - The master drops everything that it hears before the answer. What was on its way to the one before
//!   (parts of answers to an operator) is not sent at all.
//! - A worker is deputy for nobody until it is told anew.
//! - Whose channel ends has lost its last owner: nobody orders it about any more, and it leaves.

use portolan_shared::message::{Hello, Life, ToMaster};
use portolan_shared::model::LogLevel;

use crate::clock::{Millis, millis};
use crate::event_loop::Worker;
use crate::task::{NEVER, Reasons};

/// How long a worker without an owner may take to finish, where `hard_stop_after` does not say so.
pub(crate) const OWNERLESS_MS: Millis = 10_000;

/// The answer to an order to be adopted.
pub(crate) fn answer(hello: &Hello, nonce: u64, life: Life) -> ToMaster {
    ToMaster::Adopted {
        nonce,
        role: hello.role,
        slot: hello.slot,
        generation: hello.generation,
        life,
        paused: false,
        short: false,
        streams: None,
        version: portolan_shared::VERSION.to_owned(),
    }
}

impl Worker {
    /// When a stop that began then is over, whatever is left.
    pub(crate) fn patience_ends(&self, began: Millis) -> Millis {
        match (self.config.process.hard_stop_after, self.ownerless) {
            (Some(patience), _) => began + millis(patience),
            (None, Some(since)) => since + OWNERLESS_MS,
            (None, None) => NEVER,
        }
    }

    /// Another master says that it has this channel now.
    pub(crate) fn be_adopted(&mut self, nonce: u64, master_pid: i32) {
        self.hello.master_pid = master_pid;
        self.count_links_anew();
        self.applets.clear();
        self.serving.deputised.clear();
        self.settle_listeners();
        let life = match (self.stopping, self.followed) {
            (false, _) => Life::Serving,
            (true, true) => Life::Retiring,
            (true, false) => Life::Stopping,
        };
        let mut adopted = answer(&self.hello, nonce, life);
        if let ToMaster::Adopted { paused, short, streams, .. } = &mut adopted {
            *paused = self.serving.paused;
            *short = self.short.is_some();
            *streams = self.told_streams;
        }
        self.tell(&adopted);
        self.log.say(LogLevel::Notice, format_args!("adopted by another master ({master_pid})"));
    }

    /// Nobody holds the other end any more: what is in flight is finished, nothing new is taken.
    pub(crate) fn master_is_gone(&mut self) {
        if let Some(descriptor) = self.descriptors.remove(self.channel_token) {
            // The channel itself keeps it open, so closing it here would not take it out of the poller.
            self.poller.forget(&descriptor);
        }
        // Whoever asked is gone, and so is the end of the outbox.
        self.applets.clear();
        let _ = self.channel.flush();
        self.ownerless.get_or_insert(self.clock.now());
        self.soft_stop("the loss of the master");
        // Where it stops already, its patience is another one now.
        self.tasks.wake(self.stop_task, Reasons::MESSAGE);
    }
}
