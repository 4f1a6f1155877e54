//! What the access log is told of a stream.
//!
//! Shell: it brings together what stands in the stream, its session, the configuration and shared
//! memory, and hands it to `log`, which knows the lines.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use portolan_shared::memory::{INSTANCE, Memory};
use portolan_shared::model::{
    Backend, Config, Frontend, LogItem, LogLevel, LogTemplate, LogVariable, Server, ServerAddress,
};

use super::{NONE, Stream, StreamKey, peer};
use crate::backend::BackendState;
use crate::clock::Clock;
use crate::event_loop::Worker;
use crate::exchange::{Exchange, Http};
use crate::http::capture::Captured;
use crate::http::cookie::ResponseCookie;
use crate::listener::Listener;
use crate::log::{
    FieldList, HttpRecord, Line, Load, Moment, Outcome, Peer, TcpLine, Timers, level,
};
use crate::session::SessionKey;
use crate::termination::Termination;

/// What a frontend's lines tell of connections' ends, which the kernel is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Where clients connect to.
    pub destination: bool,
    /// Where connections to servers come from.
    pub source: bool,
}

impl Ends {
    /// What this frontend's templates ask for.
    pub fn wanted(frontend: &Frontend) -> Self {
        let templates = [&frontend.log_template, &frontend.error_log_template];
        let id = &frontend.http.unique_id;
        let mut ends = Self::default();
        for template in templates.into_iter().chain([id]).flatten() {
            ends.add(template);
        }
        ends
    }

    fn add(&mut self, template: &LogTemplate) {
        for item in &template.items {
            let LogItem::Variable { variable, .. } = item else { continue };
            self.destination |=
                matches!(variable, LogVariable::FrontendIp | LogVariable::FrontendPort);
            self.source |= matches!(variable, LogVariable::SourceIp | LogVariable::SourcePort);
        }
    }
}

/// What a record is made from, apart from the log that it is written to.
struct View<'a> {
    config: &'a Config,
    listeners: &'a [Listener],
    backends: &'a [BackendState],
    memory: &'a Memory,
    clock: &'a Clock,
    http: &'a Http,
}

impl<'a> View<'a> {
    /// What is known of a stream; its captures and the client's destination are the caller's to add.
    fn record(&self, stream: &'a Stream, why: Termination, early: bool) -> HttpRecord<'a> {
        let now = self.clock.now();
        let frontend = &self.config.frontends[stream.frontend as usize];
        let backend = self.config.backends.get(stream.backend as usize);
        let server = backend.and_then(|backend| backend.servers.get(stream.server as usize));
        let exchange = stream.http.as_deref();
        let answerer = exchange.and_then(|one| self.config.backends.get(one.answerer as usize));
        let since = exchange.map_or(stream.accepted, Exchange::since);
        let known = |ms: i32| u64::try_from(ms).ok();
        let address = server.and_then(|server| match &server.address {
            ServerAddress::Tcp(address) => Some(Peer::from(*address)),
            ServerAddress::TcpClientPort { .. }
            | ServerAddress::Unix(_)
            | ServerAddress::Unresolved { .. } => None,
        });
        let wall = self.clock.wall_of(since);
        HttpRecord {
            http: exchange.is_some(),
            client: peer(stream.client, self.listeners[stream.listener as usize].id),
            destination: None,
            server_source: stream.source.as_deref().copied().map(Peer::from),
            server_address: address,
            accepted: wall,
            requested: exchange.map_or(wall, |it| self.clock.wall_of(it.began)),
            frontend: &frontend.name,
            backend: backend.or(answerer).map_or(&frontend.name, |backend| &backend.name),
            server: server.filter(|_| stream.server != NONE).map(|server| server.name.as_str()),
            timers: Timers {
                handshake_ms: exchange.map_or(0, |it| it.handshake_ms),
                idle_ms: exchange.map(|it| it.idle_ms),
                request_ms: exchange.and_then(|it| known(it.head_ms)),
                queue_ms: known(stream.queue_ms),
                connect_ms: known(stream.connect_ms),
                response_ms: exchange.and_then(|it| known(it.response_ms)),
                total_ms: now.saturating_sub(since),
            },
            early,
            status: exchange.map(|it| it.status).filter(|status| *status > 0),
            bytes_out: stream.back.received,
            bytes_in: stream.front.received,
            request_cookie: exchange.and_then(|it| it.captured.request_cookie()),
            response_cookie: exchange.and_then(|it| it.captured.response_cookie()),
            termination: why,
            cookie_letters: cookie_letters(stream, self.backends),
            load: self.load(frontend, backend, server),
            retries: stream.machine.retries(),
            redispatched: stream.machine.redispatched(),
            server_queue: stream.server_queue_position,
            backend_queue: stream.queue_position,
            request_fields: &[],
            response_fields: &[],
            request: exchange.and_then(|it| it.request_line(self.config.tune.http_logurilen)),
            unique_id: exchange.and_then(|it| it.text.id()),
            line_number: 0,
            request_number: exchange.map_or(0, |_| self.http.requests.saturating_sub(1)),
            pid: self.http.pid,
            host_name: &self.http.host_name,
        }
    }

    /// How many others there are.
    fn load(
        &self,
        frontend: &Frontend,
        backend: Option<&Backend>,
        server: Option<&Server>,
    ) -> Load {
        let of_backend = backend.map_or(INSTANCE, |backend| backend.object);
        let of_server = server.map_or(INSTANCE, |server| server.object);
        let [process, frontend, in_backend, in_server] =
            self.memory.current_all([INSTANCE, frontend.object, of_backend, of_server]);
        Load {
            process,
            frontend,
            backend: if backend.is_some() { in_backend } else { 0 },
            server: if server.is_some() { in_server } else { 0 },
        }
    }
}

/// HAProxy's two letters for what became of the persistence cookie.
pub fn cookie_letters(stream: &Stream, backends: &[BackendState]) -> [u8; 2] {
    let configured = |state: &BackendState| state.persistence.is_some();
    match stream.http.as_deref() {
        Some(Exchange { cookie_letters: Some(letters), .. }) => *letters,
        Some(exchange) if backends.get(stream.backend as usize).is_some_and(configured) => {
            let response = exchange.set_cookie.map_or(b'N', ResponseCookie::letter);
            [exchange.presented.state.letter(), response]
        }
        _ => *b"--",
    }
}

/// Captured fields, where there are any.
fn list<'a>(fields: impl ExactSizeIterator<Item = Option<&'a [u8]>>) -> Option<FieldList<'a>> {
    (fields.len() > 0).then(|| fields.collect())
}

impl Worker {
    /// Writes a stream's line, if this is the moment for it.
    pub(crate) fn log_stream(&mut self, key: StreamKey, moment: Moment, why: Termination) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let frontend = &self.config.frontends[stream.frontend as usize];
        let state = &mut self.frontends[stream.frontend as usize];
        let unlogged = stream.http.as_ref().is_some_and(|exchange| exchange.unlogged);
        if state.targets.is_empty() || stream.logged || unlogged {
            return;
        }
        let outcome = Outcome {
            termination: why,
            retries: stream.machine.retries(),
            redispatched: stream.machine.redispatched(),
            from_client: stream.front.received,
            status: stream.http.as_ref().map(|it| it.status).filter(|status| *status > 0),
        };
        let Some(level) = level(frontend.log_options, moment, &outcome) else { return };
        stream.logged = true;
        state.lines += 1;
        let ends = state.ends;
        let destination = if ends.destination { self.destination(key) } else { None };
        let Some(stream) = self.streams.get(key as usize) else { return };
        let state = &self.frontends[stream.frontend as usize];
        let early = moment != Moment::End;
        let view = View {
            config: &self.config,
            listeners: &self.listeners,
            backends: &self.backends,
            memory: self.lane.memory(),
            clock: &self.clock,
            http: &self.http,
        };
        let mut record = view.record(stream, why, early);
        record.destination = destination.map(Peer::from);
        record.line_number = state.lines - 1;
        let captured = stream.http.as_deref().map(|exchange| &exchange.captured);
        let captured = captured.filter(|_| !state.captures.is_empty());
        let of_request = captured.map(Captured::request_fields).and_then(list);
        let of_response = captured.map(Captured::response_fields).and_then(list);
        record.request_fields = of_request.as_ref().map_or(&[], FieldList::as_slice);
        record.response_fields = of_response.as_ref().map_or(&[], FieldList::as_slice);
        let error = frontend.error_log_template.as_ref().filter(|_| outcome.is_error());
        let options = frontend.log_options.line;
        let line = Line::of(options, frontend.log_template.as_ref(), error);
        let at = self.clock.wall_of(now);
        let write = |clock: &mut _, text: &mut Vec<u8>| line.write(&record, clock, text);
        self.log.sender().push(&state.targets, level, now, at, write);
        self.schedule_logs();
    }

    /// The line of a connection that failed before a stream began, as configured.
    pub(crate) fn write_error_line(&mut self, key: StreamKey, level: LogLevel, why: Termination) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get(key as usize) else { return };
        let frontend = &self.config.frontends[stream.frontend as usize];
        let state = &self.frontends[stream.frontend as usize];
        let Some(template) = &frontend.error_log_template else { return };
        let destination = if state.ends.destination { self.destination(key) } else { None };
        let view = View {
            config: &self.config,
            listeners: &self.listeners,
            backends: &self.backends,
            memory: self.lane.memory(),
            clock: &self.clock,
            http: &self.http,
        };
        let mut record = view.record(stream, why, false);
        record.destination = destination.map(Peer::from);
        record.line_number = state.lines;
        let at = self.clock.wall_of(now);
        let write =
            |clock: &mut _, text: &mut Vec<u8>| crate::log::render(template, &record, clock, text);
        self.log.sender().push(&state.targets, level, now, at, write);
        self.frontends[stream.frontend as usize].lines += 1;
        self.schedule_logs();
    }

    /// Notes where the connection to a server comes from, for lines that tell it.
    pub(crate) fn note_source(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        if !self.frontends[stream.frontend as usize].ends.source {
            return;
        }
        let Some(descriptor) = self.descriptors.get(stream.back.token) else { return };
        let address = rustix::net::getsockname(descriptor.as_fd());
        stream.source = address.ok().and_then(|it| SocketAddr::try_from(it).ok()).map(Box::new);
    }

    /// The id of a request that has just come, as configured.
    pub(crate) fn make_id(&mut self, key: SessionKey, exchange: &mut Exchange) {
        let Some(session) = self.sessions.get(key as usize) else { return };
        let config = std::rc::Rc::clone(&self.config);
        let frontend = &config.frontends[session.frontend as usize];
        let Some(template) = &frontend.http.unique_id else { return };
        let now = self.clock.now();
        let state = &self.frontends[session.frontend as usize];
        let to = if state.ends.destination { self.session_destination(key) } else { None };
        let memory = self.lane.memory();
        let line = TcpLine {
            client: peer(session.client, self.listeners[session.listener as usize].id),
            accepted: self.clock.wall_of(exchange.since()),
            frontend: &frontend.name,
            backend: &frontend.name,
            server: None,
            queue_ms: None,
            connect_ms: None,
            total_ms: now.saturating_sub(exchange.since()),
            early: true,
            bytes: 0,
            termination: Termination::NORMAL,
            load: Load {
                process: memory.current(INSTANCE),
                frontend: memory.current(frontend.object),
                backend: 0,
                server: 0,
            },
            retries: 0,
            redispatched: false,
            server_queue: 0,
            backend_queue: 0,
        };
        let record = HttpRecord {
            http: true,
            destination: to.map(Peer::from),
            requested: self.clock.wall_of(exchange.began),
            timers: Timers {
                handshake_ms: exchange.handshake_ms,
                idle_ms: Some(exchange.idle_ms),
                request_ms: u64::try_from(exchange.head_ms).ok(),
                total_ms: line.total_ms,
                ..Timers::default()
            },
            request_cookie: exchange.captured.request_cookie(),
            request: exchange.request_line(config.tune.http_logurilen),
            line_number: state.lines,
            request_number: self.http.requests.saturating_sub(1),
            pid: self.http.pid,
            host_name: &self.http.host_name,
            ..HttpRecord::of_tcp(&line)
        };
        let mut id = Vec::new();
        crate::log::render(template, &record, self.log.sender().clock(), &mut id);
        exchange.text.id = exchange.text.keep(&id);
    }
}
