//! What a session waits for, and for how long.
//!
//! Shell: sets a session's task, which is that of its stream too.
//!
//! | stage | timeout | what follows |
//! | --- | --- | --- |
//! | first head, from accept | http_request, else client | 408, logged `cR` (nothing said where nothing came and `http_ignore_probes` is set) |
//! | later head, before its first byte | http_keep_alive, else http_request, else client | the end without a word |
//! | later head, from its first byte | http_request, else client | 408, logged `cR` |
//! | busy | the stream's, see `stream::timers` | |
//! | answering | client | the end |
//! | lingering | client, at most [`LINGER_MAX_MS`] | the end |
//!
//! A soft-stop shortens the wait of idle clients (`closing`).

use super::{SessionKey, Stage};
use crate::clock::{Millis, millis};
use crate::descriptor::READ;
use crate::event_loop::Worker;
use crate::handover::Handing;
use crate::stream::StreamKey;
use crate::task::{NEVER, Reasons};
use crate::termination::{Cause, Phase, Termination};

/// Longest wait for a client to end its sending after an answer that ends the connection.
const LINGER_MAX_MS: Millis = 5_000;

impl Worker {
    /// A session's task runs.
    pub(crate) fn run_session(&mut self, key: SessionKey, reasons: Reasons) {
        let Some(session) = self.sessions.get(key as usize) else { return };
        if session.handing == Handing::Moving {
            return;
        }
        let busy = match session.stage {
            Stage::Busy(stream) => Some(stream),
            _ => None,
        };
        if reasons.has(Reasons::TIMER) {
            match busy {
                Some(stream) => self.expire_stream(stream),
                None => self.expire_session(key),
            }
        }
        if reasons.has(Reasons::RESOURCE) {
            match busy {
                Some(stream) => self.resume(stream),
                None => self.handle_client(key, READ),
            }
        }
    }

    /// Sets a session's task to the end of its present wait.
    pub(crate) fn rest_session(&mut self, key: SessionKey) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(key as usize) else { return };
        let timeouts = &self.config.frontends[session.frontend as usize].timeouts;
        let head = timeouts.http_request.or(timeouts.client);
        let idle = timeouts.http_keep_alive.or(head);
        let after = |from: Millis, timeout: Option<std::time::Duration>| {
            timeout.map_or(NEVER, |timeout| from + millis(timeout))
        };
        session.wait_ends = match session.stage {
            Stage::Head if session.requests == 0 => after(session.accepted, head),
            Stage::Head if session.began == NEVER => after(session.idle_since, idle),
            Stage::Head => after(session.began, head),
            Stage::Answering => after(now, timeouts.client),
            Stage::Lingering => after(now, timeouts.client).min(now + LINGER_MAX_MS),
            Stage::Busy(_) => return,
        };
        if let Some(closes) = self.closes(key)
            && let Some(session) = self.sessions.get_mut(key as usize)
        {
            session.wait_ends = session.wait_ends.min(closes);
        }
        let Some(session) = self.sessions.get(key as usize) else { return };
        self.tasks.schedule(session.task, session.wait_ends);
        self.offer_client(key);
    }

    /// A stream waits for content before it asks for a server: the client's timeout runs.
    pub(crate) fn rest_buffering(&mut self, key: StreamKey) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let timeouts = &self.config.frontends[stream.frontend as usize].timeouts;
        let timeout = timeouts.http_request.or(timeouts.client);
        stream.wait_ends = timeout.map_or(NEVER, |timeout| now + millis(timeout));
        self.tasks.schedule(stream.task, stream.wait_ends);
    }

    /// A session without a stream is due.
    fn expire_session(&mut self, key: SessionKey) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get(key as usize) else { return };
        if session.wait_ends > now {
            self.tasks.schedule(session.task, session.wait_ends);
            return;
        }
        if session.stage != Stage::Head {
            self.end_session(key);
            return;
        }
        // What the kernel holds counts, though the loop could not look when it came.
        let (token, before) = (session.token, session.input.len());
        self.descriptors.may(token, READ);
        self.read_requests(key);
        let Some(session) = self.sessions.get(key as usize) else { return };
        if session.stage != Stage::Head || session.wait_ends > now {
            return;
        }
        if session.requests > 0 && self.closes(key).is_some_and(|closes| closes <= now) {
            self.send_away(key);
            return;
        }
        let frontend = &self.config.frontends[session.frontend as usize];
        let nothing = session.input.is_empty() && before == 0;
        if nothing && (session.requests > 0 || frontend.http.ignore_probes) {
            self.end_session(key);
        } else {
            self.refuse(key, Some(408), Termination::new(Cause::ClientTimeout, Phase::Request));
        }
    }
}
