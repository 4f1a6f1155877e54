//! A soft-stop: a worker lets its listeners go, finishes what is in flight, and leaves.
//!
//! Shell.

use std::os::fd::AsFd;
use std::process::ExitCode;

use portolan_shared::message::ToMaster;
use portolan_shared::model::LogLevel;
use portolan_shared::sys::title;

use crate::clock::millis;
use crate::event_loop::Worker;
use crate::listener::state::Input;
use crate::task::NEVER;

impl Worker {
    /// Stops accepting (after `grace`), finishes what is in flight.
    pub(crate) fn soft_stop(&mut self, by: &str) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        let streams = self.jobs();
        self.log.say(LogLevel::Notice, format_args!("stopping by {by}, {streams} streams left"));
        let now = self.clock.now();
        self.tasks.schedule(self.stop_task, now + millis(self.config.process.grace));
        self.signals.broadcast();
        self.close_all_kept();
    }

    /// The stop task: the end of grace, then the end of patience.
    pub(crate) fn stop_step(&mut self) {
        if !self.stopping {
            return;
        }
        let now = self.clock.now();
        let began = *self.stop_began.get_or_insert(now);
        let grace_ends = began + millis(self.config.process.grace);
        let patience_ends =
            self.config.process.hard_stop_after.map_or(NEVER, |patience| began + millis(patience));
        if now >= grace_ends && !self.serving.stopped {
            self.drain_listeners();
            self.serving.stopped = true;
            self.settle_listeners();
            self.close_listeners();
        }
        if now >= patience_ends {
            let streams = self.jobs();
            let text = format_args!("{streams} streams are ended: hard_stop_after has passed");
            self.log.say(LogLevel::Warning, text);
            self.exit = Some(ExitCode::SUCCESS);
            return;
        }
        let next = if self.serving.stopped { patience_ends } else { grace_ends.min(patience_ends) };
        self.tasks.schedule(self.stop_task, next);
        self.show_draining();
    }

    /// Lets the sockets go: the master holds them.
    fn close_listeners(&mut self) {
        for key in 0..self.listeners.len() {
            let token = self.listeners[key].token();
            if let Some(descriptor) = self.descriptors.remove(token) {
                // It is open elsewhere, so closing it here would not take it out of the poller.
                self.poller.forget(&descriptor.as_fd());
            }
            self.turn(key as u32, Input::SocketGone);
        }
    }

    /// Tells what is left to be finished, when that has changed.
    pub(crate) fn show_draining(&mut self) {
        // Told from the last accept on: until then the master keeps the sockets open.
        if !self.serving.stopped {
            return;
        }
        let streams = self.jobs() as u32;
        if self.told_streams != Some(streams) {
            self.told_streams = Some(streams);
            self.tell(&ToMaster::Draining { streams });
            title::set(&format!("{}, stopping, {streams} streams", self.name()));
        }
    }
}
