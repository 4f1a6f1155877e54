//! Content of a request or a response: as it is where its length is known, else chunk by chunk.
//!
//! Shell. Content of known length, or that ends with its connection, goes the way of mode tcp (see
//! `stream::relay`), by splice where that is allowed. Chunks are decoded and encoded anew: extensions
//! are dropped, trailers checked.

use portolan_shared::capture::Peer;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::again::Mishap;
use super::{Content, Http};
use crate::back::Input;
use crate::descriptor::{Descriptors, READ, Token, WRITE};
use crate::event_loop::Worker;
use crate::http1::{ChunkedError, Decoder, Event, Fields, Limits, write};
use crate::protocol;
use crate::stream::{COPY_BUDGET, Halt, Pending, Side, StreamKey};
use crate::termination::{Cause, Phase, Termination};

/// Room for what a chunk's size and end may take more when it is written anew.
const CHUNK_RESERVE: usize = 64;

/// Decodes what there is, and writes it: as chunks, or bare for who takes none. Answers how many bytes
/// were taken, and whether that was the end.
pub fn recode(
    decoder: &mut Decoder,
    input: &[u8],
    chunks: bool,
    (fields, limits): (&mut Fields, &Limits),
    out: &mut Vec<u8>,
) -> Result<(usize, bool), ChunkedError> {
    let mut at = 0;
    loop {
        let step = decoder.decode(&input[at..], limits)?;
        let piece = &input[at..];
        at += step.consumed;
        match step.event {
            Event::More => return Ok((at, false)),
            Event::Data(range) => {
                let data = &piece[range];
                if !chunks {
                    out.extend_from_slice(data);
                } else if !data.is_empty() {
                    write::chunk_size(out, data.len() as u64);
                    out.extend_from_slice(data);
                    out.extend_from_slice(write::CHUNK_END);
                }
            }
            Event::End => {
                if chunks {
                    let bytes = decoder.trailers(fields, limits);
                    write::last_chunk(out, bytes, fields);
                }
                return Ok((at, true));
            }
        }
    }
}

/// Asked where no buffer could be had for what this side does not take at once: whether it has room.
/// Where it has not, it is to be waited for.
#[cold]
pub(super) fn has_room(descriptors: &mut Descriptors, sink: Token) -> bool {
    let room = descriptors.get(sink).is_some_and(protocol::has_room);
    if room {
        descriptors.stop(sink, WRITE);
    } else {
        descriptors.cant(sink, WRITE);
    }
    room
}

impl Worker {
    /// The loop of one direction whose content comes in chunks.
    pub(crate) fn pump_chunks(&mut self, key: StreamKey, from: Side) -> Halt {
        let now = self.clock.now();
        let mut moved = 0;
        loop {
            if let Some(halt) = self.flush(key, from) {
                return halt;
            }
            let Some(stream) = self.streams.get_mut(key as usize) else { return Halt::Drained };
            let (session_key, client) = (stream.session, stream.client.ip());
            let Some(exchange) = stream.http.as_deref_mut() else { return Halt::Drained };
            let (source, sink, content, chunks) = match from {
                Side::Front => (
                    &mut stream.front,
                    &mut stream.back,
                    &mut exchange.request,
                    exchange.chunked_out,
                ),
                Side::Back => (
                    &mut stream.back,
                    &mut stream.front,
                    &mut exchange.response,
                    exchange.chunked_in,
                ),
            };
            if source.ended {
                return Halt::Ended;
            }
            if moved >= COPY_BUDGET {
                return Halt::Budget;
            }
            let Content::Chunked(decoder) = content else {
                source.ended = true;
                continue;
            };
            let Some(descriptor) = self.descriptors.get(source.token) else {
                return Halt::Drained;
            };
            if !descriptor.ready(READ) {
                return Halt::Drained;
            }
            if !self.buffers.can_take() && !has_room(&mut self.descriptors, sink.token) {
                return Halt::NoBuffer;
            }
            let Some(descriptor) = self.descriptors.get(source.token) else {
                return Halt::Drained;
            };
            let room = self.scratch.len() - CHUNK_RESERVE;
            let count = match recv(descriptor, &mut self.scratch[..room], RecvFlags::empty()) {
                Ok((0, _)) => {
                    // In the middle of the content, or the decoder would have said so.
                    source.ended = true;
                    continue;
                }
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => {
                    self.descriptors.cant(source.token, READ);
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(errno) => return Halt::Failed(from, errno),
            };
            self.scratch.note(count, now, from.peer(), client);
            if count < room && !descriptor.hung {
                self.descriptors.cant(source.token, READ);
            }
            moved += count;
            source.moved = now;
            let Http { encoded, fields, limits, .. } = &mut self.http;
            encoded.clear();
            let fields = fields.get_or_insert_default();
            let input = &self.scratch[..count];
            let recoded = recode(decoder, input, chunks, (fields, limits), encoded);
            let Ok((taken, done)) = recoded else { return Halt::Malformed };
            if done {
                *content = Content::Done;
                source.ended = true;
                if taken < count {
                    match from {
                        // The next request.
                        Side::Front => {
                            if let Some(session) = self.sessions.get_mut(session_key as usize) {
                                session.input.extend_from_slice(&self.scratch[taken..count]);
                                session.seen = false;
                            }
                        }
                        Side::Back => exchange.server_stays = false,
                    }
                }
            }
            source.received += match from {
                Side::Front => count as u64,
                Side::Back => encoded.len() as u64,
            };
            let Some(to) = self.descriptors.get(sink.token) else { return Halt::Drained };
            let sent = match send(to, encoded, SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    sink.moved = now;
                    sent
                }
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(errno) => return Halt::Failed(from.other(), errno),
            };
            if sent < encoded.len() {
                let buffer = self.buffers.hold(&encoded[sent..]);
                source.pending = Pending::Buffer { buffer, start: 0 };
            }
        }
    }

    /// One direction has come to an end: that of its content, or of its connection before that.
    pub(crate) fn content_ended(&mut self, key: StreamKey, from: Side) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let Some(exchange) = stream.http.as_deref_mut() else { return };
        let broke = exchange.broke;
        let (endpoint, content) = match from {
            Side::Front => (&stream.front, &mut exchange.request),
            Side::Back => (&stream.back, &mut exchange.response),
        };
        let complete = match content {
            Content::Unwanted => {
                self.descriptors.stop(endpoint.token, READ);
                return;
            }
            Content::Done => true,
            // Where sending has told of a failure, reading only tells of an end.
            Content::UntilClose => !broke,
            Content::Counted => endpoint.limit == 0,
            Content::Chunked(_) => false,
        };
        if complete {
            *content = Content::Done;
        }
        let token = endpoint.token;
        match (from, complete) {
            (Side::Front, true) => {
                // Whether the client leaves is of interest from here on.
                self.descriptors.want(token, READ);
                self.rest(key);
            }
            (Side::Front, false) => self.abandon(key, Cause::Client),
            (Side::Back, true) => self.exchange_over(key),
            (Side::Back, false) => {
                self.drive(key, Input::Over(Termination::new(Cause::Server, Phase::Data)));
            }
        }
    }

    /// A connection failed while content went over it, when it was read or when it was written to.
    pub(crate) fn content_failed(&mut self, key: StreamKey, side: Side, read: bool) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let Some(exchange) = stream.http.as_deref_mut() else { return };
        exchange.broke |= side == Side::Back && !read;
        match side {
            Side::Front => self.abandon(key, Cause::Client),
            Side::Back if !exchange.answered => self.server_closed(key),
            Side::Back if read => {
                self.drive(key, Input::Over(Termination::new(Cause::Server, Phase::Data)));
            }
            Side::Back => {
                // The rest of the request is in vain; what the server had said before is heard.
                exchange.request = Content::Unwanted;
                exchange.sent = exchange.out.len();
                exchange.client_stays = false;
                exchange.server_stays = false;
                stream.front.ended = true;
                stream.front.pending.give_pipe_back(&mut self.pipes);
                if let Pending::Buffer { buffer, .. } = std::mem::take(&mut stream.front.pending) {
                    self.buffers.give(buffer);
                }
                let token = stream.back.token;
                if let Some(descriptor) = self.descriptors.get_mut(token) {
                    descriptor.hung = true;
                }
                self.descriptors.may(token, READ);
                self.relay(key, Side::Back);
            }
        }
    }

    /// What came was no chunk.
    pub(crate) fn content_malformed(&mut self, key: StreamKey, from: Side) {
        let answered = self.exchange(key).is_some_and(|exchange| exchange.answered);
        match from {
            Side::Front => {
                if !answered && let Some(exchange) = self.exchange(key) {
                    exchange.status = 400;
                }
                let phase = if answered { Phase::Data } else { Phase::Headers };
                self.drive(key, Input::Over(Termination::new(Cause::Proxy, phase)));
            }
            Side::Back if answered => {
                self.drive(key, Input::Over(Termination::new(Cause::Server, Phase::Data)));
            }
            Side::Back => self.mishap(key, Mishap::Junk),
        }
    }

    /// Receives content of a request into `out`, at most so many bytes: whether any came; `None` where
    /// the client has gone.
    pub(crate) fn receive_content(&mut self, key: StreamKey, most: usize) -> Option<bool> {
        let now = self.clock.now();
        loop {
            let stream = self.streams.get_mut(key as usize)?;
            let session_key = stream.session;
            let exchange = stream.http.as_deref_mut()?;
            let token = stream.front.token;
            let descriptor = self.descriptors.get(token)?;
            if !descriptor.ready(READ) {
                self.descriptors.want(token, READ);
                return Some(false);
            }
            let room = match exchange.request {
                Content::Counted => most.min(usize::try_from(stream.front.limit).unwrap_or(most)),
                _ => most,
            }
            .min(self.scratch.len());
            let count = match recv(descriptor, &mut self.scratch[..room], RecvFlags::empty()) {
                Ok((0, _)) => return None,
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => {
                    self.descriptors.cant(token, READ);
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(_) => return None,
            };
            self.scratch.note(count, now, Peer::Client, stream.client.ip());
            if count < room && !descriptor.hung {
                self.descriptors.cant(token, READ);
            }
            stream.front.moved = now;
            stream.front.received += count as u64;
            let bytes = &self.scratch[..count];
            match &mut exchange.request {
                Content::Chunked(decoder) => {
                    let chunks = exchange.chunked_out;
                    let Http { fields, limits, .. } = &mut self.http;
                    let fields = fields.get_or_insert_default();
                    match recode(decoder, bytes, chunks, (fields, limits), &mut exchange.out) {
                        Ok((taken, true)) => {
                            exchange.request = Content::Done;
                            if let Some(session) = self.sessions.get_mut(session_key as usize) {
                                session.input.extend_from_slice(&bytes[taken..]);
                            }
                        }
                        Ok(_) => {}
                        Err(_) => {
                            exchange.status = 400;
                            self.finish(key, Termination::new(Cause::Proxy, Phase::Request));
                            return Some(false);
                        }
                    }
                }
                content => {
                    exchange.out.extend_from_slice(bytes);
                    stream.front.limit -= count as u64;
                    if stream.front.limit == 0 {
                        *content = Content::Done;
                    }
                }
            }
            stream.front.ended = exchange.request_read();
            return Some(true);
        }
    }

    /// What was read from a side and waits is given to the other; whether nothing waits any more.
    pub(crate) fn flush_pending(&mut self, key: StreamKey, from: Side) -> bool {
        match self.flush(key, from) {
            None => true,
            Some(Halt::Failed(side, _)) => {
                self.content_failed(key, side, false);
                false
            }
            Some(_) => {
                let token = self.token_of(key, from.other());
                self.descriptors.want(token, WRITE);
                self.rest(key);
                false
            }
        }
    }
}
