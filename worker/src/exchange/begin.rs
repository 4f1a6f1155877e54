//! A request's head becomes a stream: who serves it, what is changed in it, how it goes out.
//!
//! Shell around `http1` and the policies of `http`. The head is still where it was received; everything
//! that is wanted of it later is taken here: the request as the server gets it, what the log tells, what
//! a local answer needs.

use portolan_shared::memory::Total;
use portolan_shared::model::{BackendId, Balance, ConnectionMode, FrontendId};

use super::content::recode;
use super::{Content, Exchange, key, stricter};
use crate::descriptor::READ;
use crate::event_loop::Worker;
use crate::http1::{
    self, Decoder, Fields, Form, Framing, Known, Method, RequestError, RequestHead, write,
};
use crate::session::{SessionKey, Stage, Taken};
use crate::stream::{Arrival, Endpoint, NONE, Stream, StreamKey};
use crate::task::NEVER;
use crate::termination::{Cause, Phase, Termination};

impl Worker {
    /// Takes a request from the beginning of these bytes, if its head is there; the stream is not begun
    /// yet.
    pub(crate) fn take_request(&mut self, key: SessionKey, bytes: &[u8]) -> Taken {
        let Some(session) = self.sessions.get_mut(key as usize) else { return Taken::default() };
        let mut fields = self.http.fields.take().unwrap_or_default();
        let parsed = http1::request(bytes, &mut fields, &self.http.limits, &mut session.scan);
        let taken = match parsed {
            Ok(None) => Taken::default(),
            Ok(Some(head)) => self.take_head(key, bytes, &head, &mut fields),
            Err(error) => self.take_broken(key, bytes, error),
        };
        self.http.fields = Some(fields);
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
            // Another worker may have said any number.
            session.requests = session.requests.saturating_add(1);
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
        let from = Arrival {
            frontend: session.frontend,
            listener: session.listener,
            client: session.client,
            accepted: session.accepted,
        };
        entry.insert(Stream {
            told: session.told.clone(),
            session: key,
            priority: exchange.priority,
            http: Some(exchange),
            ..Stream::new(front, from, session.task, now)
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
        let Some(session) = self.sessions.get(key as usize) else { return Taken::default() };
        let frontend = session.frontend;
        let mut exchange = self.new_exchange(key);
        self.note_head(frontend, bytes, head, fields, &mut exchange);
        if self.config.frontends[frontend as usize].http.unique_id.is_some() {
            self.make_id(key, &mut exchange);
        }
        let backend = self.decide(key, bytes, head, fields, &mut exchange);
        exchange.client_stays &= !self.is_last(key);
        if let Some(id) = backend {
            exchange.backend = id;
            let config = &self.config.backends[id as usize];
            exchange.hash = key::of_head(config, bytes, head, fields);
            self.change_request(key, bytes, head, fields, &mut exchange, id);
            self.write_request(key, bytes, head, fields, &mut exchange);
            exchange.buffers_request |= exchange.hash.is_none() && self.wants_form(id, head);
        } else {
            let mode = self.config.frontends[frontend as usize].http.connection_mode;
            exchange.client_stays &= mode != ConnectionMode::Close;
        }
        let (content, left) = self.take_first_content(bytes, head, fields, &mut exchange);
        exchange.buffers_request &= !exchange.request_read();
        let taken = head.length + content;
        let stream = self.new_stream(key, exchange, taken);
        if let Some(stream) = stream.and_then(|stream| self.streams.get_mut(stream as usize)) {
            stream.front.limit = left;
        }
        Taken { bytes: taken, stream }
    }

    /// What is wanted of the head when it is gone: for the response, for the log, for error pages.
    fn note_head(
        &mut self,
        frontend: FrontendId,
        bytes: &[u8],
        head: &RequestHead,
        fields: &Fields,
        exchange: &mut Exchange,
    ) {
        exchange.method = head.method;
        exchange.version = head.version;
        exchange.upgrade = head.upgrade;
        exchange.expects_continue = head.expect_continue;
        exchange.client_stays = self.client_wants_to_stay(frontend, bytes, head, fields);
        exchange.client_leaves = !exchange.client_stays;
        exchange.head_ms = self.clock.now().saturating_sub(exchange.began) as i32;
        let line = head.line.of(bytes);
        let shown = line.len().min(self.config.tune.http_logurilen as usize);
        exchange.text.line = exchange.text.keep(&line[..shown]);
        if self.http.pages_by_accept
            && let Some(index) = fields.first(Known::Accept)
        {
            exchange.text.accept = exchange.text.keep(fields.value(bytes, index));
        }
        let plan = &self.frontends[frontend as usize].captures;
        plan.request(bytes, fields, &mut exchange.captured);
    }

    /// The head as the server gets it.
    fn write_request(
        &mut self,
        key: SessionKey,
        bytes: &[u8],
        head: &RequestHead,
        fields: &Fields,
        exchange: &mut Exchange,
    ) {
        let Some(session) = self.sessions.get(key as usize) else { return };
        let frontend = &self.config.frontends[session.frontend as usize].http;
        let backend = &self.config.backends[exchange.backend as usize].http;
        let mode = stricter(frontend.connection_mode, backend.connection_mode);
        exchange.client_stays &= mode != ConnectionMode::Close;
        let keeps = mode == ConnectionMode::KeepAlive || backend.pretend_keepalive;
        // HTTP/1.1 must name a host; a client that named none (HTTP/1.0) gets the one it came to.
        let host = if head.host.is_empty() { self.own_host(key) } else { String::new() };
        let out = write::RequestOut {
            persistence: match (head.upgrade, keeps) {
                (true, _) => write::Persistence::Upgrade,
                (false, true) => write::Persistence::KeepAlive,
                (false, false) => write::Persistence::Close,
            },
            host_default: host.as_bytes(),
            via: frontend.via.as_deref(),
            ..write::RequestOut::of(head)
        };
        write::request_head(&mut exchange.out, bytes, head, fields, &out);
        exchange.head_out = exchange.out.len();
        exchange.buffers_request = backend.buffer_request || backend.retry_on.needs_request();
    }

    /// Whether a backend looks for its key in the content of such a request.
    fn wants_form(&self, id: BackendId, head: &RequestHead) -> bool {
        let balance = &self.config.backends[id as usize].balance;
        matches!(balance, Balance::UrlParam { check_post: true, .. })
            && head.method == Method::Post
            && matches!(head.framing, Framing::Length(_))
    }

    /// The content that came with the head: how much of it there is, and how much of a counted one is
    /// still to come.
    fn take_first_content(
        &mut self,
        bytes: &[u8],
        head: &RequestHead,
        fields: &mut Fields,
        exchange: &mut Exchange,
    ) -> (usize, u64) {
        let rest = &bytes[head.length..];
        match head.framing {
            Framing::None | Framing::UntilClose => (0, 0),
            Framing::Length(length) => {
                let there = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                exchange.out.extend_from_slice(&rest[..there]);
                let left = length - there as u64;
                if left > 0 {
                    exchange.request = Content::Counted;
                }
                (there, left)
            }
            Framing::Chunked => {
                exchange.chunked_out = true;
                let mut decoder = Box::<Decoder>::default();
                let limits = &self.http.limits;
                if let Ok((there, done)) =
                    recode(&mut decoder, rest, true, (fields, limits), &mut exchange.out)
                {
                    if !done {
                        exchange.request = Content::Chunked(decoder);
                    }
                    (there, 0)
                } else {
                    exchange.refusal = Some(Termination::new(Cause::Proxy, Phase::Request));
                    exchange.status = 400;
                    exchange.answer = None;
                    exchange.client_stays = false;
                    (rest.len(), 0)
                }
            }
        }
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
