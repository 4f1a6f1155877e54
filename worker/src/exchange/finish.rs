//! The end of an exchange: the answer that is still owed, the log line, what becomes of the client's
//! connection.
//!
//! Shell. As in mode tcp the server's connection is closed, or kept, before its place is free.

use super::rules::pages;
use crate::descriptor::Token;
use crate::event_loop::Worker;
use crate::http::answer::{self, Facts, Given};
use crate::http1::{Method, Version};
use crate::log::Moment;
use crate::protocol;
use crate::session::{Stage, Then};
use crate::stream::{Pending, Side, StreamKey};
use crate::termination::{Cause, Phase, Termination};

/// What is owed to the client of an exchange that has ended.
#[derive(Debug)]
enum Owed {
    /// This answer, which lies in `http.encoded`.
    Answer,
    /// Nothing: the response went out whole.
    Nothing,
    /// Nothing can be said any more: the connection ends at once.
    Abort,
    /// The same, and not as if that were the end of the response.
    Reset,
}

/// The status that a client gets for an exchange that ended so before a response.
pub fn status_of(why: Termination) -> u16 {
    match (why.cause, why.phase) {
        (Cause::ClientTimeout, Phase::Request | Phase::Headers | Phase::Data) => 408,
        (Cause::Client, Phase::Request | Phase::Headers | Phase::Data)
        | (Cause::Proxy, Phase::Request) => 400,
        (Cause::ServerTimeout, Phase::Headers | Phase::Data) => 504,
        (Cause::Server | Cause::Proxy, Phase::Headers | Phase::Data) => 502,
        (Cause::Internal, _) => 500,
        _ => 503,
    }
}

impl Worker {
    /// Ends the stream of an exchange for this reason.
    pub(crate) fn finish_exchange(&mut self, key: StreamKey, why: Termination) {
        self.leave_queue(key);
        self.close_side(key, Side::Back);
        self.http.encoded.clear();
        self.finish_interim(key);
        let owed = self.owe(key, why);
        let why = self.blame(key, why);
        self.release_server(key);
        self.release_backend(key);
        self.log_stream(key, Moment::End, why);
        let Some(stream) = self.streams.get(key as usize) else { return };
        self.count(stream, why);
        let (session_key, last) = (stream.session, (stream.backend, stream.server));
        let Some(exchange) = self.discard_stream(key) else { return };
        let (stays, read, tunnel) =
            (exchange.client_stays, exchange.request_read(), exchange.tunnel);
        let leaves = read && exchange.client_leaves;
        self.http.recycle(exchange);
        self.tell_jobs();
        let Some(session) = self.sessions.get_mut(session_key as usize) else { return };
        session.last = last;
        session.stage = Stage::Answering;
        match owed {
            Owed::Answer => {
                let then = match (stays && read, read) {
                    (true, _) => Then::Next,
                    (false, _) if leaves && why.cause == Cause::Local => Then::Close,
                    (false, _) => Then::Linger,
                };
                let bytes = std::mem::take(&mut self.http.encoded);
                self.send_answer(session_key, &bytes, then);
                self.http.encoded = bytes;
            }
            Owed::Nothing if tunnel => self.end_session(session_key),
            Owed::Nothing if stays && read => self.next_request(session_key),
            Owed::Nothing if leaves => self.close_client(session_key),
            Owed::Nothing => self.begin_lingering(session_key),
            Owed::Reset => {
                if let Some(descriptor) = self.descriptors.get(session.token) {
                    protocol::reset_on_close(descriptor);
                }
                self.end_session(session_key);
            }
            Owed::Abort => self.end_session(session_key),
        }
    }

    /// What the client has not taken yet of an interim response goes before the answer.
    fn finish_interim(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        if stream.http.as_ref().is_some_and(|exchange| !exchange.answered)
            && let Pending::Buffer { buffer, start } = &stream.back.pending
        {
            self.http.encoded.extend_from_slice(&buffer[*start as usize..]);
        }
    }

    /// A server that gave up when it was told that the client has left did so on the client's account.
    fn blame(&mut self, key: StreamKey, why: Termination) -> Termination {
        match self.exchange(key) {
            Some(exchange) if exchange.half_closed && why.cause == Cause::Server => {
                Termination::new(Cause::Client, why.phase)
            }
            _ => why,
        }
    }

    /// What the client still gets; its status and length are noted for the log.
    fn owe(&mut self, key: StreamKey, why: Termination) -> Owed {
        let Some(stream) = self.streams.get_mut(key as usize) else { return Owed::Abort };
        let Some(exchange) = stream.http.as_deref_mut() else { return Owed::Abort };
        if exchange.answered {
            let regular = matches!(why.cause, Cause::Normal) || exchange.tunnel;
            return match (regular, exchange.until_close) {
                (true, _) => Owed::Nothing,
                (false, true) => Owed::Reset,
                (false, false) => Owed::Abort,
            };
        }
        if let Some(answer) = exchange.answer.take() {
            self.http.encoded.extend_from_slice(&answer);
            stream.back.received = answer.len() as u64;
            return Owed::Answer;
        }
        if exchange.status == 0 {
            exchange.status = status_of(why);
        }
        let gone = matches!(why.cause, Cause::Client | Cause::Killed) || exchange.silent;
        if gone || stream.front.token == Token::NONE {
            exchange.client_stays = false;
            return Owed::Abort;
        }
        self.write_error(key)
    }

    /// The error page of a stream's status.
    fn write_error(&mut self, key: StreamKey) -> Owed {
        let Some(stream) = self.streams.get_mut(key as usize) else { return Owed::Abort };
        let Some(exchange) = stream.http.as_deref_mut() else { return Owed::Abort };
        // What is broken is not read on; what was refused by name may be.
        exchange.client_stays = false;
        let date = self.clock.http_date();
        let facts = Facts {
            head: exchange.method == Method::Head,
            connect: exchange.method == Method::Connect,
            http10: exchange.version == Version::Http10,
            keep_alive: false,
            date: &date,
        };
        let frontend = &self.config.frontends[stream.frontend as usize];
        let backend = self.config.backends.get(stream.backend as usize);
        let pages = pages(&self.config, frontend, backend);
        let accepts = std::iter::once(exchange.text.accept.of(&exchange.text.bytes));
        let encoded = &mut self.http.encoded;
        let before = encoded.len();
        match answer::error(encoded, exchange.status, &[], pages, accepts, &facts) {
            Given::Ready(ready) => {
                encoded.extend_from_slice(&ready.content);
                exchange.status = ready.status;
            }
            Given::Silent | Given::Skipped => return Owed::Abort,
        }
        stream.back.received = (self.http.encoded.len() - before) as u64;
        Owed::Answer
    }
}
