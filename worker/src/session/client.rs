//! A client of mode http: its requests, one after the other.
//!
//! Shell around `http1`. A request that comes whole is parsed where it was received; only what is left
//! over (the beginning of a head, pipelined requests) is kept.
//!
//! Limits: [`REQUESTS_IN_A_ROW`] requests of one client that are answered at once; then others have
//! their turn.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use portolan_shared::capture::Peer;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use super::{Session, SessionKey, Stage};
use crate::back::{Input, State};
use crate::descriptor::{Owner, READ, Token, WRITE};
use crate::event_loop::Worker;
use crate::handover::Handing;
use crate::poller::{FAILED, HUNG};
use crate::protocol::{self, Address};
use crate::stream::{Side, StreamKey};
use crate::task::{NEVER, Reasons};
use crate::termination::{Cause, Phase, Termination};

/// Requests of one client that are begun before others have their turn.
const REQUESTS_IN_A_ROW: u32 = 16;

/// What reading came to.
enum Reading {
    /// So many bytes lie in the scratch buffer.
    Bytes(usize),
    /// Nothing more for now.
    Nothing,
    /// The client has ended its sending.
    End,
    /// The connection is dead.
    Dead,
}

impl Worker {
    /// Something happened on a client's connection.
    pub(crate) fn handle_client(&mut self, key: SessionKey, bits: u8) {
        let Some(session) = self.sessions.get(key as usize) else { return };
        match session.stage {
            Stage::Head if bits & (READ | HUNG | FAILED) != 0 => self.read_requests(key),
            Stage::Head => {}
            Stage::Busy(stream) => self.handle_busy(stream, bits),
            Stage::Answering => self.write_answer(key),
            Stage::Lingering => self.linger(key),
        }
    }

    /// Something happened on the connection of a client whose request is being served.
    fn handle_busy(&mut self, key: StreamKey, bits: u8) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        match stream.machine.state() {
            State::Est => self.handle_exchange_front(key, bits),
            _ if bits & FAILED != 0 => self.abandon(key, Cause::Client),
            _ if bits & (READ | HUNG) == 0 => {}
            _ if stream.http.as_ref().is_some_and(|exchange| exchange.buffers_request) => {
                self.buffer_request(key);
            }
            _ => self.check_waiting_client(key),
        }
    }

    /// The client did something while its answer is awaited: if it has ended its sending, it has most
    /// likely gone, and its request is given up, or (where a server has it already) the server is told
    /// the same way. What else the client says is the next request, which waits in the kernel.
    pub(crate) fn check_waiting_client(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        let token = stream.front.token;
        let Some(descriptor) = self.descriptors.get(token) else { return };
        match protocol::peek(descriptor) {
            Ok(0) => {
                let backend = self.config.backends.get(stream.backend as usize);
                let aborts = backend.is_none_or(|backend| backend.http.abort_on_close);
                self.descriptors.stop(token, READ);
                match stream.machine.state() {
                    State::Est if aborts => self.pass_half_close_on(key),
                    State::Est => {}
                    _ if aborts => self.abandon(key, Cause::Client),
                    _ => {}
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => self.descriptors.cant(token, READ),
            Ok(_) => self.descriptors.stop(token, READ),
            Err(_) => self.abandon(key, Cause::Client),
        }
    }

    /// A server that works for a client that has ended its sending may want to know.
    fn pass_half_close_on(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let (token, taken) = (stream.back.token, stream.front.pending.is_empty());
        let asks = |session: &Session| !session.input.is_empty();
        let asks = self.sessions.get(stream.session as usize).is_some_and(asks);
        let Some(exchange) = &mut stream.http else { return };
        if asks {
            // Its next request is here already.
            return;
        }
        exchange.half_closed = true;
        exchange.server_stays = false;
        exchange.client_stays = false;
        if taken
            && exchange.is_sent()
            && let Some(descriptor) = self.descriptors.get(token)
        {
            // A server that is gone is reported as such by its own side.
            let _ = shutdown(descriptor, Shutdown::Write);
        }
    }

    /// Ends a stream in whatever state, by no server's doing.
    pub(crate) fn abandon(&mut self, key: StreamKey, cause: Cause) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        let phase = match &stream.http {
            Some(exchange) if !exchange.answered => Phase::Headers,
            _ => Phase::Data,
        };
        let input = match stream.machine.state() {
            State::Est => Input::Over(Termination::new(cause, phase)),
            _ => Input::Aborted(cause),
        };
        self.drive(key, input);
    }

    /// Reads and begins requests, until one has to wait for something.
    pub(crate) fn read_requests(&mut self, key: SessionKey) {
        for _ in 0..REQUESTS_IN_A_ROW {
            if !self.read_request(key) {
                return;
            }
        }
        if let Some(session) = self.sessions.get(key as usize) {
            self.tasks.wake(session.task, Reasons::RESOURCE);
        }
    }

    /// Reads what there is and begins a request if one is complete; whether there may be another.
    fn read_request(&mut self, key: SessionKey) -> bool {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(key as usize) else { return false };
        if session.stage != Stage::Head {
            return false;
        }
        let begun;
        if session.input.is_empty() || session.seen {
            match self.receive_head(key) {
                Reading::Bytes(count) => {
                    let Some(session) = self.sessions.get_mut(key as usize) else { return false };
                    if session.began == NEVER {
                        session.began = now;
                        session.wait_ends = NEVER;
                    }
                    if session.input.is_empty() {
                        let bytes = std::mem::take(&mut self.scratch);
                        let taken = self.take_request(key, &bytes[..count]);
                        self.leave_over(key, &bytes[..count], &taken);
                        self.scratch = bytes;
                        begun = taken.stream;
                    } else {
                        let mut input = std::mem::take(&mut session.input);
                        input.extend_from_slice(&self.scratch[..count]);
                        begun = self.take_from_input(key, input);
                    }
                }
                Reading::Nothing => {
                    self.rest_session(key);
                    return false;
                }
                Reading::End | Reading::Dead => {
                    self.client_ended(key);
                    return false;
                }
            }
        } else {
            let input = std::mem::take(&mut session.input);
            if session.began == NEVER {
                session.began = now;
            }
            begun = self.take_from_input(key, input);
        }
        if let Some(stream) = begun {
            self.start_exchange(stream);
        }
        true
    }

    fn take_from_input(&mut self, key: SessionKey, mut input: Vec<u8>) -> Option<StreamKey> {
        let taken = self.take_request(key, &input);
        let session = self.sessions.get_mut(key as usize)?;
        if taken.bytes == input.len() {
            return taken.stream;
        }
        input.drain(..taken.bytes);
        session.seen = taken.stream.is_none();
        session.input = input;
        taken.stream
    }

    /// Keeps what was read and not taken.
    fn leave_over(&mut self, key: SessionKey, bytes: &[u8], taken: &Taken) {
        if taken.bytes < bytes.len()
            && let Some(session) = self.sessions.get_mut(key as usize)
        {
            session.input.extend_from_slice(&bytes[taken.bytes..]);
            session.seen = taken.stream.is_none();
        }
    }

    /// Receives into the scratch buffer, at most what a head may still have.
    fn receive_head(&mut self, key: SessionKey) -> Reading {
        loop {
            let Some(session) = self.sessions.get(key as usize) else { return Reading::Dead };
            let token = session.token;
            let Some(descriptor) = self.descriptors.get(token) else { return Reading::Dead };
            if !descriptor.ready(READ) {
                self.descriptors.want(token, READ);
                return Reading::Nothing;
            }
            let room = self.http.limits.head_bytes_max as usize;
            match recv(descriptor, &mut self.scratch[..room], RecvFlags::empty()) {
                Ok((0, _)) => return Reading::End,
                Ok((count, _)) => {
                    let client = session.client.ip();
                    self.scratch.note(count, self.clock.now(), Peer::Client, client);
                    if count < room && !descriptor.hung {
                        self.descriptors.cant(token, READ);
                    }
                    return Reading::Bytes(count);
                }
                Err(Errno::AGAIN) => self.descriptors.cant(token, READ),
                Err(Errno::INTR) => {}
                Err(_) => return Reading::Dead,
            }
        }
    }

    /// The client sends no more: in the middle of a head that is an error, else the end.
    fn client_ended(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key as usize) else { return };
        let frontend = &self.config.frontends[session.frontend as usize];
        let silent =
            session.input.is_empty() && (session.requests > 0 || frontend.http.ignore_probes);
        if silent {
            self.end_session(key);
        } else {
            self.refuse(key, None, Termination::new(Cause::Client, Phase::Request));
        }
    }

    /// Ends a session in whatever stage, with its stream.
    pub(crate) fn end_client(&mut self, key: SessionKey, cause: Cause) {
        let Some(session) = self.sessions.get(key as usize) else { return };
        match session.stage {
            Stage::Busy(stream) => self.abandon(stream, cause),
            _ => self.end_session(key),
        }
    }

    /// Ends a session and its connection; its stream, if it has one, must have ended.
    pub(crate) fn end_session(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.try_remove(key as usize) else { return };
        debug_assert!(!matches!(session.stage, Stage::Busy(_)));
        if let Some((.., kept)) = session.private {
            drop(self.descriptors.remove(kept.token));
        }
        if let Some(descriptor) = self.descriptors.remove(session.token)
            && self.config.frontends[session.frontend as usize].nolinger
        {
            protocol::reset_on_close(&descriptor);
        }
        self.tasks.remove(session.task);
        self.tell_jobs();
        self.release_client(session.listener);
    }

    /// Ends every session that is left, because the process ends.
    pub(crate) fn kill_sessions(&mut self) {
        let keys: Vec<SessionKey> =
            self.sessions.iter().map(|(key, _)| key as SessionKey).collect();
        for key in keys {
            self.end_session(key);
        }
    }

    /// Where a client connected to: told by a PROXY header, or asked of the kernel.
    pub(crate) fn session_destination(&self, key: SessionKey) -> Option<SocketAddr> {
        let session = self.sessions.get(key as usize)?;
        if let Some(told) = &session.told {
            return told.destination;
        }
        let descriptor = self.descriptors.get(session.token)?;
        let listener = self.listeners.get(session.listener as usize)?;
        (listener.protocol.destination)(descriptor.as_fd()).ok().and_then(Address::ip)
    }

    /// A session whose stream is over waits for its next request.
    pub(crate) fn next_request(&mut self, key: SessionKey) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(key as usize) else { return };
        session.stage = Stage::Head;
        session.idle_since = now;
        session.began = NEVER;
        let (token, task) = (session.token, session.task);
        let waits = !session.input.is_empty();
        self.descriptors.stop(token, WRITE);
        self.descriptors.want(token, READ);
        let ready = self.descriptors.get(token).is_some_and(|descriptor| descriptor.ready(READ));
        if waits || ready {
            self.tasks.wake(task, Reasons::RESOURCE);
        }
        self.rest_session(key);
    }

    /// The stream that has a session's connection now takes it for good: it became a tunnel.
    pub(crate) fn hand_connection_over(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        if let Some(descriptor) = self.descriptors.get_mut(stream.front.token) {
            descriptor.owner = Owner::Front(key);
        }
    }

    /// Sessions whose connections the kernel has ended without the poller saying so.
    pub(crate) fn look_for_dead_clients(&mut self) {
        let dead = |session: &Session, worker: &Self| {
            if session.handing == Handing::Moving {
                return false;
            }
            let descriptor = worker.descriptors.get(session.token);
            descriptor.is_some_and(|descriptor| protocol::pending_error(descriptor).is_some())
        };
        let keys: Vec<SessionKey> = self
            .sessions
            .iter()
            .filter(|(_, session)| dead(session, self))
            .map(|(key, _)| key as SessionKey)
            .collect();
        for key in keys {
            self.handle_client(key, FAILED);
        }
    }

    /// The side of a stream that a token belongs to, for what both modes share.
    pub(crate) fn token_of(&self, key: StreamKey, side: Side) -> Token {
        self.streams.get(key as usize).map_or(Token::NONE, |stream| match side {
            Side::Front => stream.front.token,
            Side::Back => stream.back.token,
        })
    }
}

/// What became of the bytes at the beginning of a request.
#[derive(Debug, Default)]
pub struct Taken {
    /// So many belong to the request that was begun.
    pub bytes: usize,
    /// It, if its head was complete.
    pub stream: Option<StreamKey>,
}
