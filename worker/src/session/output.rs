//! Answers given here on their way to the client, and how a connection ends after one.
//!
//! Shell. Most answers leave with one call; the rest of one that does not waits in the session. A
//! connection that is to end is shut down for sending and then read until the client ends it too, so
//! that a client that still sends (an upload that was refused) gets to read its answer.

use portolan_shared::capture::Peer;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use super::{SessionKey, Stage, Then};
use crate::descriptor::{READ, WRITE};
use crate::event_loop::Worker;

/// Bytes thrown away in a row.
const LINGER_BUDGET: usize = 256 * 1024;

impl Worker {
    /// Sends the whole of an answer, then what is to follow.
    pub(crate) fn send_answer(&mut self, key: SessionKey, bytes: &[u8], then: Then) {
        let Some(session) = self.sessions.get_mut(key as usize) else { return };
        session.stage = Stage::Answering;
        session.then = then;
        let sent = match self.descriptors.get(session.token) {
            Some(descriptor) => match send(descriptor, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(_) => {
                    self.end_session(key);
                    return;
                }
            },
            None => 0,
        };
        if sent == bytes.len() {
            self.answer_sent(key);
            return;
        }
        session.output.extend_from_slice(&bytes[sent..]);
        let token = session.token;
        self.descriptors.stop(token, READ);
        self.descriptors.cant(token, WRITE);
        self.descriptors.want(token, WRITE);
        self.rest_session(key);
    }

    /// The client may take more of the answer.
    pub(super) fn write_answer(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key as usize) else { return };
        let Some(descriptor) = self.descriptors.get(session.token) else { return };
        match send(descriptor, &session.output, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                session.output.drain(..sent);
                if session.output.is_empty() {
                    session.output = Vec::new();
                    self.answer_sent(key);
                } else {
                    let token = session.token;
                    self.descriptors.cant(token, WRITE);
                    self.rest_session(key);
                }
            }
            Err(Errno::AGAIN) => {
                let token = session.token;
                self.descriptors.cant(token, WRITE);
            }
            Err(Errno::INTR) => {}
            Err(_) => self.end_session(key),
        }
    }

    fn answer_sent(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key as usize) else { return };
        match session.then {
            Then::Next => self.next_request(key),
            Then::Close => self.close_client(key),
            Then::Linger => self.begin_lingering(key),
        }
    }

    /// Ends a connection after its last response. Closing would reset it, and perhaps destroy what the
    /// client has not read yet, only where something unread is left.
    pub(crate) fn close_client(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key as usize) else { return };
        session.stage = Stage::Answering;
        let ready =
            self.descriptors.get(session.token).is_some_and(|it| it.ready(READ) && !it.hung);
        if session.input.is_empty() && !ready {
            self.end_session(key);
        } else {
            self.begin_lingering(key);
        }
    }

    /// Nothing more will be sent: the client is told, and read until it has ended too.
    pub(crate) fn begin_lingering(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key as usize) else { return };
        session.stage = Stage::Lingering;
        session.input = Vec::new();
        session.output = Vec::new();
        let token = session.token;
        if self.config.frontends[session.frontend as usize].nolinger {
            self.end_session(key);
            return;
        }
        if let Some(descriptor) = self.descriptors.get(token) {
            // A client that is gone meanwhile is found when it is read.
            let _ = shutdown(descriptor, Shutdown::Write);
        }
        self.descriptors.stop(token, WRITE);
        self.descriptors.want(token, READ);
        self.rest_session(key);
        self.linger(key);
    }

    /// Throws away what comes.
    pub(super) fn linger(&mut self, key: SessionKey) {
        let mut thrown = 0;
        loop {
            let Some(session) = self.sessions.get(key as usize) else { return };
            let token = session.token;
            let Some(descriptor) = self.descriptors.get(token) else { return };
            if !descriptor.ready(READ) {
                return;
            }
            if thrown >= LINGER_BUDGET {
                self.descriptors.again(token);
                return;
            }
            match recv(descriptor, &mut self.scratch[..], RecvFlags::empty()) {
                Ok((0, _)) => {
                    self.end_session(key);
                    return;
                }
                Ok((count, _)) => {
                    let client = session.client.ip();
                    self.scratch.note(count, self.clock.now(), Peer::Client, client);
                    thrown += count;
                }
                Err(Errno::AGAIN) => self.descriptors.cant(token, READ),
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.end_session(key);
                    return;
                }
            }
        }
    }
}
