//! A request's head becomes a stream: who serves it, what is changed in it, how it goes out.
//!
//! Shell around `http1` and the policies of `http`. The head is still where it was received; everything
//! that is wanted of it later is taken here: the request as the server gets it, what the log tells, what
//! a local answer needs.

use portolan_shared::memory::Total;
use portolan_shared::model::{BackendId, ConnectionMode, FrontendId};

use super::{Content, Exchange, stricter};
use crate::back::Back;
use crate::descriptor::{READ, Token};
use crate::event_loop::Worker;
use crate::http1::{self, Decoder, Fields, Form, Framing, Known, RequestError, RequestHead, write};
use crate::session::{SessionKey, Stage, Taken};
use crate::stream::{Endpoint, NONE, Stream, StreamKey};
use crate::task::NEVER;
use crate::termination::{Cause, Phase, Termination};

impl Worker {
    /// Takes a request from the beginning of these bytes, if its head is there; the stream is not begun
    /// yet.
    pub(crate) fn take_request(&mut self, key: SessionKey, bytes: &[u8]) -> Taken {
        let Some(session) = self.sessions.get_mut(key as usize) else { return Taken::default() };
        let mut fields = std::mem::take(&mut self.http.fields);
        let parsed = http1::request(bytes, &mut fields, &self.http.limits, &mut session.scan);
        let taken = match parsed {
            Ok(None) => Taken::default(),
            Ok(Some(head)) => self.take_head(key, bytes, &head, &mut fields),
            Err(error) => self.take_broken(key, bytes, error),
        };
        self.http.fields = fields;
        taken
    }

    /// A head that breaks the rules: a stream that is only there to be refused.
    fn take_broken(&mut self, key: SessionKey, bytes: &[u8], error: RequestError) -> Taken {
        let mut exchange = self.new_exchange(key);
        exchange.refusal = Some(Termination::new(Cause::Proxy, Phase::Request));
        exchange.status = error.status();
        let stream = self.new_stream(key, exchange, bytes.len());
        self.count_bad_request(key);
        Taken { bytes: bytes.len(), stream }
    }

    fn count_bad_request(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key as usize) else { return };
        let object = self.config.frontends[session.frontend as usize].object;
        self.lane.add(object, Total::BadRequests, 1);
    }

    /// An exchange for the next request of a session.
    fn new_exchange(&mut self, key: SessionKey) -> Box<Exchange> {
        let now = self.clock.now();
        let mut exchange = self.http.exchange();
        self.http.requests += 1;
        if let Some(session) = self.sessions.get_mut(key as usize) {
            session.requests += 1;
            session.scan = http1::Scan::default();
            session.seen = false;
            exchange.began = if session.began == NEVER { now } else { session.began };
            exchange.idle_ms = exchange.began.saturating_sub(session.idle_since);
            if session.requests == 1 {
                exchange.handshake_ms = session.idle_since.saturating_sub(session.accepted);
            }
        }
        exchange
    }

    /// The stream of an exchange; it has the session's connection from here on.
    fn new_stream(
        &mut self,
        key: SessionKey,
        exchange: Box<Exchange>,
        received: usize,
    ) -> Option<StreamKey> {
        let now = self.clock.now();
        let session = self.sessions.get_mut(key as usize)?;
        let entry = self.streams.vacant_entry();
        let stream = entry.key() as StreamKey;
        session.stage = Stage::Busy(stream);
        let mut front = Endpoint::new(session.token, now);
        front.received = received as u64;
        front.ended = exchange.request_read();
        entry.insert(Stream {
            front,
            back: Endpoint::new(Token::NONE, now),
            machine: Back::default(),
            frontend: session.frontend,
            listener: session.listener,
            backend: NONE,
            server: NONE,
            task: session.task,
            header: None,
            queued: None,
            client: session.client,
            told: session.told.clone(),
            wait_ends: NEVER,
            accepted: session.accepted,
            asked: now,
            queue_ms: -1,
            connect_ms: -1,
            queue_position: 0,
            logged: false,
            holds_server: false,
            holds_backend: false,
            source: None,
            session: key,
            http: Some(exchange),
        });
        Some(stream)
    }

    /// A whole head.
    fn take_head(
        &mut self,
        key: SessionKey,
        bytes: &[u8],
        head: &RequestHead,
        fields: &mut Fields,
    ) -> Taken {
        let now = self.clock.now();
        let Some(session) = self.sessions.get(key as usize) else { return Taken::default() };
        let frontend_id = session.frontend;
        let frontend_wants_id =
            self.config.frontends[frontend_id as usize].http.unique_id.is_some();
        let mut exchange = self.new_exchange(key);
        exchange.method = head.method;
        exchange.version = head.version;
        exchange.upgrade = head.upgrade;
        exchange.expects_continue = head.expect_continue;
        exchange.client_stays = self.client_wants_to_stay(frontend_id, bytes, head, fields);
        exchange.client_leaves = !exchange.client_stays;
        exchange.head_ms = now.saturating_sub(exchange.began) as i32;
        exchange.keep_text(bytes, head, self.config.tune.http_logurilen as usize);
        if self.http.pages_by_accept
            && let Some(index) = fields.first(Known::Accept)
        {
            exchange.text.accept = exchange.text.keep(fields.value(bytes, index));
        }
        let plan = &self.frontends[frontend_id as usize].captures;
        plan.request(bytes, fields, &mut exchange.captured);
        if frontend_wants_id {
            self.make_id(key, &mut exchange);
        }
        let decision = self.decide(key, bytes, head, fields, &mut exchange);
        let rest = &bytes[head.length..];
        let config = std::rc::Rc::clone(&self.config);
        let frontend = &config.frontends[frontend_id as usize];
        let backend = decision.map(|id| (id, &config.backends[id as usize]));
        let mode = backend.map_or(frontend.http.connection_mode, |(_, backend)| {
            stricter(frontend.http.connection_mode, backend.http.connection_mode)
        });
        exchange.client_stays &= mode != ConnectionMode::Close && !self.stopping;
        if let Some((id, backend)) = backend {
            self.change_request(key, bytes, head, fields, &mut exchange, id);
            let keeps = mode == ConnectionMode::KeepAlive || backend.http.pretend_keepalive;
            let persistence = match (head.upgrade, keeps) {
                (true, _) => write::Persistence::Upgrade,
                (false, true) => write::Persistence::KeepAlive,
                (false, false) => write::Persistence::Close,
            };
            // HTTP/1.1 must name a host; a client that named none (HTTP/1.0) gets the one it came to.
            let host = if head.host.is_empty() { self.own_host(key) } else { String::new() };
            let out = write::RequestOut {
                persistence,
                host_default: host.as_bytes(),
                via: frontend.http.via.as_deref(),
                ..write::RequestOut::of(head)
            };
            write::request_head(&mut exchange.out, bytes, head, fields, &out);
            exchange.buffers_request =
                backend.http.buffer_request || backend.http.retry_on.needs_request();
        }
        let mut limit = 0;
        let mut taken = head.length;
        match head.framing {
            Framing::Length(length) => {
                let there = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                exchange.out.extend_from_slice(&rest[..there]);
                taken += there;
                limit = length - there as u64;
                if limit > 0 {
                    exchange.request = Content::Counted;
                }
            }
            Framing::Chunked => {
                exchange.chunked_out = true;
                let mut decoder = Box::<Decoder>::default();
                let limits = &self.http.limits;
                let out = &mut exchange.out;
                if let Ok((there, done)) =
                    super::content::recode(&mut decoder, rest, true, (fields, limits), out)
                {
                    taken += there;
                    if !done {
                        exchange.request = Content::Chunked(decoder);
                    }
                } else {
                    exchange.refusal = Some(Termination::new(Cause::Proxy, Phase::Request));
                    exchange.status = 400;
                    exchange.answer = None;
                    exchange.client_stays = false;
                    taken = bytes.len();
                }
            }
            Framing::None | Framing::UntilClose => {}
        }
        exchange.buffers_request &= !exchange.request_read();
        exchange.backend = decision.unwrap_or(NONE);
        let stream = self.new_stream(key, exchange, taken);
        if let Some(stream) = stream.and_then(|stream| self.streams.get_mut(stream as usize)) {
            stream.front.limit = limit;
        }
        Taken { bytes: taken, stream }
    }

    /// The address that a client came to, as a host.
    fn own_host(&self, key: SessionKey) -> String {
        self.session_destination(key).map_or_else(|| "localhost".to_owned(), |it| it.to_string())
    }

    /// Whether the client means to go on with its connection.
    fn client_wants_to_stay(
        &self,
        frontend: FrontendId,
        bytes: &[u8],
        head: &RequestHead,
        fields: &Fields,
    ) -> bool {
        let asked_as_proxy = matches!(head.form, Form::Absolute | Form::Authority);
        if asked_as_proxy && self.config.frontends[frontend as usize].http.use_proxy_header {
            let options = http1::options(bytes, fields, Known::ProxyConnection);
            return (head.keep_alive || options.keep_alive) && !options.close;
        }
        head.keep_alive
    }

    /// Begins what was decided when the head came.
    pub(crate) fn start_exchange(&mut self, key: StreamKey) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let Some(exchange) = stream.http.as_deref() else { return };
        if exchange.tarpit && stream.wait_ends == NEVER {
            let timeouts = &self.config.frontends[stream.frontend as usize].timeouts;
            let timeout = timeouts.tarpit.or(timeouts.connect);
            stream.wait_ends = timeout.map_or(now, |timeout| now + crate::clock::millis(timeout));
            let (task, ends, token) = (stream.task, stream.wait_ends, stream.front.token);
            self.tasks.schedule(task, ends);
            self.descriptors.want(token, READ);
            return;
        }
        if let Some(why) = exchange.refusal {
            self.finish(key, why);
            return;
        }
        if exchange.buffers_request {
            if exchange.expects_continue {
                self.send_continue(key);
            }
            self.rest_buffering(key);
            self.buffer_request(key);
            return;
        }
        self.ask_for_backend(key);
    }

    /// The request's content is there, or as much of it as is waited for.
    pub(crate) fn request_buffered(&mut self, key: StreamKey) {
        if let Some(exchange) = self.exchange(key) {
            exchange.buffers_request = false;
        }
        self.ask_for_backend(key);
    }

    fn ask_for_backend(&mut self, key: StreamKey) {
        let Some(exchange) = self.exchange(key) else { return };
        let backend: Option<BackendId> = Some(exchange.backend).filter(|id| *id != NONE);
        self.ask_backend(key, backend);
    }

    /// Refuses what has come of a request: it was late, cut off, or broken.
    pub(crate) fn refuse(&mut self, key: SessionKey, status: Option<u16>, why: Termination) {
        let received = self.sessions.get(key as usize).map_or(0, |session| session.input.len());
        let mut exchange = self.new_exchange(key);
        exchange.refusal = Some(why);
        exchange.status = status.unwrap_or(0);
        exchange.silent = status.is_none();
        if let Some(stream) = self.new_stream(key, exchange, received) {
            self.finish(stream, why);
        }
    }
}
