//! The head of a response: read, judged, changed and passed on, with the interim ones before it.
//!
//! Shell around `http1`. A response that comes whole leaves with one call: head and content together.

use portolan_shared::capture::Peer;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::again::{Follows, Mishap};
use super::content::{has_room, recode};
use super::{Content, stricter};
use crate::back::Input;
use crate::descriptor::{READ, WRITE};
use crate::event_loop::Worker;
use crate::http1::{self, Decoder, Fields, Framing, Method, ResponseHead, Version, write};
use crate::stream::{COPY_BUDGET, Pending, Side, StreamKey, speaks_well};
use portolan_shared::model::{ConnectionMode, Observe};

/// What the bytes of a response came to.
enum Outcome {
    /// So many belong to interim responses; a whole head is not there yet.
    More(usize),
    /// The final response has begun.
    Begun,
    /// The connection is a tunnel from here on; so many bytes were the head.
    Tunnel(usize),
    /// It cannot be used.
    Failed(Mishap),
}

impl Worker {
    /// Reads what a server answers, until the final response has begun.
    pub(crate) fn read_response(&mut self, key: StreamKey) {
        let now = self.clock.now();
        let mut moved = 0;
        loop {
            if !self.flows(key) || !self.flush_interim(key) {
                return;
            }
            let Some(stream) = self.streams.get_mut(key as usize) else { return };
            let Some(exchange) = &mut stream.http else { return };
            if exchange.answered || exchange.tunnel {
                return;
            }
            let (token, task) = (stream.back.token, stream.task);
            let Some(descriptor) = self.descriptors.get(token) else { return };
            if !descriptor.ready(READ) {
                self.descriptors.want(token, READ);
                return;
            }
            if moved >= COPY_BUDGET {
                // Interim responses without end: others have their turn.
                self.descriptors.want(token, READ);
                self.descriptors.again(token);
                return;
            }
            let front = stream.front.token;
            if !self.buffers.can_take() && !has_room(&mut self.descriptors, front) {
                self.descriptors.stop(token, READ);
                self.descriptors.want(front, WRITE);
                self.buffers.wait(task);
                return;
            }
            let Some(descriptor) = self.descriptors.get(token) else { return };
            let room = self.http.limits.head_bytes_max as usize;
            let count = match recv(descriptor, &mut self.scratch[..room], RecvFlags::empty()) {
                Ok((0, _)) => {
                    let mishap = exchange.mishap_at_end();
                    self.mishap(key, mishap);
                    return;
                }
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => {
                    self.descriptors.cant(token, READ);
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(_) => {
                    let mishap = exchange.mishap_at_end();
                    self.mishap(key, mishap);
                    return;
                }
            };
            let client = stream.client.ip();
            self.scratch.note(count, now, Peer::Server, client);
            if count < room && !descriptor.hung {
                self.descriptors.cant(token, READ);
            }
            moved += count;
            exchange.heard = true;
            stream.back.moved = now;
            // A read that filled its buffer is the sign of bulk.
            stream.back.splice |= stream.back.splice_allowed && count == room;
            let mut partial = std::mem::take(&mut exchange.partial);
            let mut scratch = std::mem::take(&mut self.scratch);
            let outcome = if partial.is_empty() {
                let outcome = self.take_response(key, &scratch[..count]);
                match outcome {
                    Outcome::More(taken) | Outcome::Tunnel(taken) => {
                        partial.extend_from_slice(&scratch[taken..count]);
                    }
                    _ => {}
                }
                outcome
            } else {
                partial.extend_from_slice(&scratch[..count]);
                let outcome = self.take_response(key, &partial);
                match outcome {
                    Outcome::More(taken) | Outcome::Tunnel(taken) => drop(partial.drain(..taken)),
                    _ => partial.clear(),
                }
                outcome
            };
            std::mem::swap(&mut self.scratch, &mut scratch);
            let Some(exchange) = self.exchange(key) else { return };
            exchange.partial = partial;
            match outcome {
                Outcome::More(_) => {
                    if !self.send_encoded(key) {
                        return;
                    }
                }
                Outcome::Begun => {
                    self.begin_response(key);
                    return;
                }
                Outcome::Tunnel(_) => {
                    self.begin_tunnel(key);
                    return;
                }
                Outcome::Failed(mishap) => {
                    self.mishap(key, mishap);
                    return;
                }
            }
        }
    }

    /// Judges bytes of a response; what is to be passed on stands in `http.encoded` afterwards.
    fn take_response(&mut self, key: StreamKey, bytes: &[u8]) -> Outcome {
        let mut fields = self.http.fields.take().unwrap_or_default();
        let mut encoded = std::mem::take(&mut self.http.encoded);
        encoded.clear();
        let outcome = self.judge_response(key, bytes, &mut fields, &mut encoded);
        self.http.fields = Some(fields);
        self.http.encoded = encoded;
        outcome
    }

    fn judge_response(
        &mut self,
        key: StreamKey,
        bytes: &[u8],
        fields: &mut Fields,
        encoded: &mut Vec<u8>,
    ) -> Outcome {
        let mut at = 0;
        loop {
            let limits = self.http.limits;
            let Some(stream) = self.streams.get_mut(key as usize) else {
                return Outcome::Failed(Mishap::Junk);
            };
            let told = stream.has_told_its_request();
            let Some(exchange) = &mut stream.http else { return Outcome::Failed(Mishap::Junk) };
            let asked = exchange.asked();
            let connects = exchange.method == Method::Connect;
            let parsed = http1::response(&bytes[at..], fields, &limits, &mut exchange.scan, asked);
            let head = match parsed {
                Ok(Some(head)) => head,
                Ok(None) => return Outcome::More(at),
                Err(error) => {
                    self.blame_server(key, &error);
                    return Outcome::Failed(Mishap::Junk);
                }
            };
            exchange.scan = http1::Scan::default();
            let message = &bytes[at..];
            at += head.length;
            match head.status {
                101 if !exchange.upgrade => {
                    self.blame_server(key, &"it switched protocols without being asked");
                    return Outcome::Failed(Mishap::Junk);
                }
                101 if !told => {
                    self.blame_server(key, &"it switched protocols within the request");
                    return Outcome::Failed(Mishap::Junk);
                }
                200..=299 if connects && !told => {
                    self.blame_server(key, &"it opened a tunnel within the request");
                    return Outcome::Failed(Mishap::Junk);
                }
                101 => {
                    self.write_head(key, message, &head, fields, encoded);
                    return Outcome::Tunnel(at);
                }
                100..=199 => {
                    if exchange.version == Version::Http11 {
                        let out = write::ResponseOut {
                            client: Version::Http11,
                            framing: Framing::None,
                            persistence: write::Persistence::KeepAlive,
                            date: None,
                            via: None,
                        };
                        write::response_head(encoded, message, &head, fields, &out);
                    }
                    continue;
                }
                200..=299 if connects => {
                    self.write_head(key, message, &head, fields, encoded);
                    return Outcome::Tunnel(at);
                }
                status => {
                    self.observe(key, Observe::Layer7, speaks_well(status));
                    if self.after_mishap(key, Mishap::Status(status)) == Follows::Retry {
                        return Outcome::Failed(Mishap::Status(status));
                    }
                }
            }
            self.write_head(key, message, &head, fields, encoded);
            return self.take_content(key, &head, &bytes[at..], fields, encoded);
        }
    }

    /// Writes a final head, as this client gets it.
    fn write_head(
        &mut self,
        key: StreamKey,
        bytes: &[u8],
        head: &ResponseHead,
        fields: &mut Fields,
        encoded: &mut Vec<u8>,
    ) {
        let now = self.clock.now();
        self.change_response(key, bytes, head, fields);
        let Some(stream) = self.streams.get(key as usize) else { return };
        let is_last = self.is_last(stream.session);
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let backend = &self.config.backends[stream.backend as usize];
        let frontend = &self.config.frontends[stream.frontend as usize];
        let mode = stricter(frontend.http.connection_mode, backend.http.connection_mode);
        let Some(exchange) = &mut stream.http else { return };
        exchange.status = head.status;
        exchange.response_ms = now.saturating_sub(exchange.sent_at) as i32;
        exchange.answered = true;
        let until_close = match head.framing {
            Framing::UntilClose => true,
            Framing::Chunked => exchange.version == Version::Http10,
            _ => false,
        };
        exchange.chunked_in = head.framing == Framing::Chunked && !until_close;
        exchange.until_close = until_close;
        exchange.client_stays &= !until_close
            && !is_last
            && !exchange.half_closed
            && exchange.request_read()
            && mode != ConnectionMode::Close;
        exchange.server_stays = head.keep_alive
            && !exchange.half_closed
            && head.framing != Framing::UntilClose
            && mode == ConnectionMode::KeepAlive;
        let framing = if until_close { Framing::UntilClose } else { head.framing };
        let before = encoded.len();
        let date = (!head.has_date).then(|| self.clock.http_date());
        let out = write::ResponseOut {
            client: exchange.version,
            framing,
            persistence: match (head.upgrade, exchange.client_stays) {
                (true, _) => write::Persistence::Upgrade,
                (false, true) => write::Persistence::KeepAlive,
                (false, false) => write::Persistence::Close,
            },
            date: date.as_ref().map(|date| &date[..]),
            via: None,
        };
        write::response_head(encoded, bytes, head, fields, &out);
        stream.back.received += (encoded.len() - before) as u64;
    }

    /// The content that came with the head.
    fn take_content(
        &mut self,
        key: StreamKey,
        head: &ResponseHead,
        rest: &[u8],
        fields: &mut Fields,
        encoded: &mut Vec<u8>,
    ) -> Outcome {
        let Some(stream) = self.streams.get_mut(key as usize) else { return Outcome::Begun };
        let Some(exchange) = &mut stream.http else { return Outcome::Begun };
        let mut taken = rest.len();
        match head.framing {
            Framing::None => taken = 0,
            Framing::Length(length) => {
                taken = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                encoded.extend_from_slice(&rest[..taken]);
                stream.back.received += taken as u64;
                stream.back.limit = length - taken as u64;
                if stream.back.limit > 0 {
                    exchange.response = Content::Counted;
                }
            }
            Framing::UntilClose => {
                encoded.extend_from_slice(rest);
                stream.back.received += rest.len() as u64;
                stream.back.limit = u64::MAX;
                exchange.response = Content::UntilClose;
            }
            Framing::Chunked => {
                let before = encoded.len();
                let mut decoder = Box::<Decoder>::default();
                let limits = &self.http.limits;
                let chunks = exchange.chunked_in;
                match recode(&mut decoder, rest, chunks, (fields, limits), encoded) {
                    Ok((count, done)) => {
                        taken = count;
                        if !done {
                            exchange.response = Content::Chunked(decoder);
                        }
                    }
                    Err(error) => {
                        // The head is not sent yet: it is no response at all.
                        exchange.answered = false;
                        exchange.status = 0;
                        self.blame_server(key, &error);
                        return Outcome::Failed(Mishap::Junk);
                    }
                }
                stream.back.received += (encoded.len() - before) as u64;
            }
        }
        // What nobody asked for makes the connection worthless.
        exchange.server_stays &= taken == rest.len();
        stream.back.ended = matches!(exchange.response, Content::Done);
        Outcome::Begun
    }

    /// Sends what was encoded to the client; what it does not take now waits. Whether it took all.
    fn send_encoded(&mut self, key: StreamKey) -> bool {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return false };
        let bytes = &self.http.encoded[..];
        if bytes.is_empty() {
            return true;
        }
        let Some(descriptor) = self.descriptors.get(stream.front.token) else { return false };
        let sent = match send(descriptor, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => {
                self.abandon(key, crate::termination::Cause::Client);
                return false;
            }
        };
        stream.front.moved = now;
        if sent == bytes.len() {
            return true;
        }
        let (front, back) = (stream.front.token, stream.back.token);
        let buffer = self.buffers.hold(&bytes[sent..]);
        stream.back.pending = Pending::Buffer { buffer, start: 0 };
        self.descriptors.cant(front, WRITE);
        self.descriptors.want(front, WRITE);
        self.descriptors.stop(back, READ);
        self.rest(key);
        false
    }

    /// Whether all interim responses were taken by the client.
    fn flush_interim(&mut self, key: StreamKey) -> bool {
        let Some(stream) = self.streams.get_mut(key as usize) else { return false };
        if stream.back.pending.is_empty() {
            return true;
        }
        self.flush_pending(key, Side::Back)
    }

    /// The final response has begun: it is sent, and the rest of it follows.
    fn begin_response(&mut self, key: StreamKey) {
        if !self.send_encoded(key) {
            return;
        }
        let Some(stream) = self.streams.get(key as usize) else { return };
        let Some(exchange) = &stream.http else { return };
        let over = matches!(exchange.response, Content::Done);
        if self.config.frontends[stream.frontend as usize].log_options.logasap {
            self.log_as_soon_as(key);
        }
        if over {
            self.exchange_over(key);
        } else {
            self.rest(key);
            self.relay(key, Side::Back);
        }
    }

    /// Both sides agreed: from here on bytes are passed on as they come.
    fn begin_tunnel(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let session_key = stream.session as usize;
        let Some(exchange) = &mut stream.http else { return };
        exchange.tunnel = true;
        exchange.client_stays = false;
        exchange.server_stays = false;
        let early = std::mem::take(&mut exchange.partial);
        self.http.encoded.extend_from_slice(&early);
        stream.back.received += early.len() as u64;
        for side in [&mut stream.front, &mut stream.back] {
            side.limit = u64::MAX;
            side.ended = false;
        }
        // What the client sent behind its request belongs to the tunnel.
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let input = std::mem::take(&mut session.input);
        stream.front.received += input.len() as u64;
        if !input.is_empty() {
            let buffer = self.buffers.hold(&input);
            stream.front.pending = Pending::Buffer { buffer, start: 0 };
        }
        let (front, back) = (stream.front.token, stream.back.token);
        self.hand_connection_over(key);
        self.descriptors.want(front, READ);
        self.descriptors.want(back, READ);
        self.log_as_soon_as(key);
        self.offer_stream(key);
        if self.send_encoded(key) {
            self.rest(key);
            self.relay(key, Side::Back);
        }
        if self.flows(key) {
            self.relay(key, Side::Front);
        }
    }

    /// A server's mistake is told, not too often.
    pub(crate) fn blame_server(&mut self, key: StreamKey, error: &dyn std::fmt::Display) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        let backend = &self.config.backends[stream.backend as usize];
        let server = &backend.servers[stream.server as usize];
        let text = format_args!("{}/{}: invalid response: {error}", backend.name, server.name);
        self.log.say_limited(
            portolan_shared::log::Kind::Resource,
            portolan_shared::model::LogLevel::Warning,
            text,
        );
    }

    /// The exchange failed on the server's side while the request was sent: perhaps it has answered
    /// before it closed.
    pub(crate) fn server_closed(&mut self, key: StreamKey) {
        let token = self.token_of(key, Side::Back);
        if let Some(descriptor) = self.descriptors.get_mut(token) {
            descriptor.hung = true;
        }
        self.descriptors.may(token, READ);
        self.go_on(key, Side::Back);
        let waits = self.descriptors.get(token).is_some_and(|it| !it.ready(READ));
        let Some(exchange) = self.exchange(key) else { return };
        if waits && !exchange.answered {
            // It neither takes nor says anything.
            let mishap = exchange.mishap_at_end();
            self.mishap(key, mishap);
        }
    }

    /// The end of an exchange that went as it should.
    pub(crate) fn exchange_over(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        // Content that the server has not taken would be read as the next request.
        if stream.has_told_its_request() {
            self.keep_connection(key);
        }
        self.drive(key, Input::Parted(crate::termination::Termination::NORMAL));
    }
}
