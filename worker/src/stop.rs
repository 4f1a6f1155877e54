//! A soft-stop: a worker lets its listeners go, sends clients away that wait for nothing, finishes what is
//! in flight, and leaves.
//!
//! Shell around `closing`, which says when.
//!
//! | client of mode http, after `grace` | ends |
//! | --- | --- |
//! | its request is being served | with its answer, which says `Connection: close` |
//! | idle between two requests | at its moment, half-closed and then read until it ends too, at most [`FAREWELL_MS`] |
//! | idle, `idle_close_on_response` | with its next answer, which says `Connection: close`, or by its timeout |
//! | has sent nothing yet, or part of a request | with its answer, or by its timeout |
//! | the same, with `close_spread_time` | who has sent nothing: at its moment, as by its timeout |
//!
//! - Nobody is closed without the kernel having been asked for a request first.
//! - Tunnels and streams of mode tcp go on until they end.

use std::os::fd::AsFd;
use std::process::ExitCode;

use portolan_shared::message::ToMaster;
use portolan_shared::model::LogLevel;
use portolan_shared::sys::title;

use crate::clock::{Millis, millis};
use crate::closing::{Closing, FAREWELL_MS, Idle};
use crate::event_loop::Worker;
use crate::listener::state::Input;
use crate::session::{SessionKey, Stage};
use crate::task::{NEVER, Reasons};

impl Worker {
    /// Stops accepting (after `grace`), finishes what is in flight. Nobody follows, or no longer.
    pub(crate) fn soft_stop(&mut self, by: &str) {
        if std::mem::take(&mut self.followed) {
            self.tasks.wake(self.stop_task, Reasons::MESSAGE);
        }
        self.stop_giving();
        self.stop(by);
    }

    /// The same, and somebody follows.
    pub(crate) fn retire(&mut self, by: &str) {
        self.followed |= !self.stopping;
        self.stop(by);
        self.offer_all();
    }

    fn stop(&mut self, by: &str) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        let streams = self.jobs();
        self.log.say(LogLevel::Notice, format_args!("stopping by {by}, {streams} streams left"));
        let now = self.clock.now();
        self.tasks.schedule(self.stop_task, now + millis(self.config.process.grace));
        self.signals.broadcast();
    }

    /// The stop task: the end of grace, then the end of patience.
    pub(crate) fn stop_step(&mut self) {
        if !self.stopping {
            return;
        }
        let now = self.clock.now();
        let began = *self.stop_began.get_or_insert(now);
        let grace_ends = began + millis(self.config.process.grace);
        let patience_ends = self.patience_ends(began);
        if now >= grace_ends && !self.serving.stopped {
            self.drain_listeners();
            self.serving.stopped = true;
            self.settle_listeners();
            self.close_listeners();
        }
        if self.serving.stopped && !self.followed && self.closing.is_none() {
            self.begin_closing(now, patience_ends);
        }
        if now >= patience_ends {
            let streams = self.jobs();
            let why = match self.config.process.hard_stop_after {
                Some(_) => "hard_stop_after has passed",
                None => "nobody follows the master",
            };
            self.log.say(LogLevel::Warning, format_args!("{streams} streams are ended: {why}"));
            self.exit = Some(ExitCode::SUCCESS);
            return;
        }
        let next = if self.serving.stopped { patience_ends } else { grace_ends.min(patience_ends) };
        self.tasks.schedule(self.stop_task, next);
        self.show_draining();
    }

    /// From now on clients that may send another request are sent away, and no server needs to wait for
    /// one.
    fn begin_closing(&mut self, now: Millis, patience_ends: Millis) {
        let spread = self.config.process.close_spread;
        self.closing = Closing::new(now, spread, patience_ends, self.hello.slot);
        if self.closing.is_none() {
            return;
        }
        self.close_all_kept();
        let keys: Vec<SessionKey> =
            self.sessions.iter().map(|(key, _)| key as SessionKey).collect();
        for key in keys {
            if self.closes(key).is_some() {
                self.rest_session(key);
            }
        }
    }

    /// Whether a client's next answer is its last.
    pub(crate) fn is_last(&self, key: SessionKey) -> bool {
        let closed = |closing: Closing| closing.answers(key) <= self.clock.now();
        self.closing.is_some_and(closed) || self.is_refused(key)
    }

    /// When a client is sent away that waits for nothing; `None` where it does not, or is not.
    pub(crate) fn closes(&self, key: SessionKey) -> Option<Millis> {
        let closing = self.closing?;
        let session = self.sessions.get(key as usize)?;
        let waits =
            session.stage == Stage::Head && session.began == NEVER && session.input.is_empty();
        let frontend = &self.config.frontends[session.frontend as usize];
        waits.then(|| {
            closing.closes(Idle {
                key,
                since: session.idle_since,
                acquainted: session.requests > 0,
                on_response: frontend.http.idle_close_on_response,
            })
        })
    }

    /// Ends the connection of a client that waits for nothing. What it sends meanwhile is read, so that
    /// no reset destroys an answer on its way.
    pub(crate) fn send_away(&mut self, key: SessionKey) {
        self.begin_lingering(key);
        let longest = self.clock.now() + FAREWELL_MS;
        if let Some(session) = self.sessions.get_mut(key as usize) {
            session.wait_ends = session.wait_ends.min(longest);
            self.tasks.schedule(session.task, session.wait_ends);
        }
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
