//! An exchange: one request and its response, on a stream in mode http.
//!
//! The model; what is done with it stands in the submodules, each an `impl Worker` for one concern:
//!
//! - `begin`: a request's head becomes a stream: who serves it, what is changed in it;
//! - `request`: its way to the server;
//! - `response`: the head of the response, interim ones before it, and upgrades;
//! - `content`: content of both directions, as it is or chunk by chunk;
//! - `again`: what follows when the server's connection fails before a response;
//! - `finish`: the end, the log line, and what becomes of both connections;
//! - `keep`: server connections that wait for their next request.
//!
//! The stream underneath (see `stream`) finds the server, waits in the queue, connects and retries as in
//! mode tcp. What of a message need not be changed is moved by the same relay.
//!
//! - A message is never passed on as it came: heads are written anew from their parsed form, chunked
//!   content is decoded and encoded, lengths are counted.
//! - Until a response begins, `out` holds what was sent of the request, as far as it fits, so that it can
//!   be sent again.
//! - Only a connection whose request and response were both complete, and which has nothing unread, is
//!   kept.

mod again;
mod begin;
mod content;
mod finish;
mod keep;
mod key;
mod request;
mod response;
mod rules;

use portolan_shared::model::{
    BackendId, Config, ConnectionMode, ErrorFormat, PersistRule, Priority, ServerId,
};

use crate::clock::Millis;
use crate::http::auth::Checker;
use crate::http::capture::Captured;
use crate::http::cookie::{Presented, ResponseCookie};
use crate::http1::{Asked, Decoder, Fields, Limits, Method, Scan, Span, Version};
use crate::log::Request;
use crate::stream::{NONE, Stream};
use crate::termination::Termination;

/// How content goes on in one direction.
#[derive(Debug, Default)]
pub enum Content {
    /// All of it was read.
    #[default]
    Done,
    /// As it is, as far as the endpoint's limit goes.
    Counted,
    /// As it is, until the connection ends.
    UntilClose,
    /// The rest of it is not read any more: nobody takes it.
    Unwanted,
    /// Decoded, and encoded again where the other side takes chunks.
    Chunked(Box<Decoder>),
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    /// The request's method.
    pub method: Method,
    /// The client's version.
    pub version: Version,
    /// The request asked for another protocol.
    pub upgrade: bool,
    /// The client waits for an interim response before it sends content.
    pub expects_continue: bool,
    /// What goes to the server: the head, and content that came with it.
    pub out: Vec<u8>,
    /// How much of it was sent on the present connection.
    pub sent: usize,
    /// Bytes of the head in `out`.
    pub head_out: usize,
    /// Content went past `out`: the request cannot be sent again.
    pub unrepeatable: bool,
    /// Content is collected in `out` before a server is asked for.
    pub buffers_request: bool,
    /// Content is forwarded in chunks.
    pub chunked_out: bool,
    /// The content of the request that is still to be read.
    pub request: Content,
    /// The content of the response that is still to be read.
    pub response: Content,
    /// The response's content goes to the client in chunks.
    pub chunked_in: bool,
    /// The client knows the end of the response by that of its connection.
    pub until_close: bool,
    /// The beginning of a response's head.
    pub partial: Vec<u8>,
    /// How far its end was looked for.
    pub scan: Scan,
    /// The status that the client gets; 0 before it is known.
    pub status: u16,
    /// The final response has begun.
    pub answered: bool,
    /// Any byte of a response has come on the present connection.
    pub heard: bool,
    /// Sending to the server has failed: that its connection ends tells nothing any more.
    pub broke: bool,
    /// The client's connection goes on after this.
    pub client_stays: bool,
    /// The client has said that this is its last request.
    pub client_leaves: bool,
    /// The server's connection goes on after this.
    pub server_stays: bool,
    /// The server's connection may only be used again for this client.
    pub private: bool,
    /// The server's connection has served before.
    pub reuses: Option<u32>,
    /// The next connection must be a new one.
    pub wants_new: bool,
    /// The client has ended its sending, and the server was told.
    pub half_closed: bool,
    /// It is a tunnel now.
    pub tunnel: bool,
    /// It was answered from the monitor's address: no log line.
    pub unlogged: bool,
    /// It is held on purpose before it is refused.
    pub tarpit: bool,
    /// It ends here, for this reason.
    pub refusal: Option<Termination>,
    /// What is answered here.
    pub answer: Option<Vec<u8>>,
    /// The connection ends without a word.
    pub silent: bool,
    /// Who serves it, or [`NONE`].
    pub backend: BackendId,
    /// Whose rules have answered it, or [`NONE`].
    pub answerer: BackendId,
    /// When its first byte came.
    pub began: Millis,
    /// Milliseconds before the connection's first request could come (a PROXY header).
    pub handshake_ms: u64,
    /// Milliseconds idle before it.
    pub idle_ms: u64,
    /// Milliseconds until its head was there; −1: it never was.
    pub head_ms: i32,
    /// Milliseconds from the connection to the head of the response; −1: there was none.
    pub response_ms: i32,
    /// When the request was sent.
    pub sent_at: Millis,
    /// What the client's persistence cookie said, and what became of it.
    pub presented: Presented,
    /// What became of the server's.
    pub set_cookie: Option<ResponseCookie>,
    /// The letters of both, of an exchange that began in another process.
    pub cookie_letters: Option<[u8; 2]>,
    /// What becomes of a client that belongs to a server.
    pub persist: PersistRule,
    /// Where it stands among those that wait.
    pub priority: Priority,
    /// The hash of its key, where its backend balances by one that is in the head.
    pub hash: Option<u32>,
    /// What is kept of the messages' fields.
    pub captured: Captured,
    /// What the log will say of the request.
    pub text: Text,
}

/// Bytes of a request that the log and local answers want after the request is gone.
#[derive(Debug, Default)]
pub struct Text {
    /// All of them.
    pub bytes: Vec<u8>,
    /// The request line.
    pub line: Span,
    /// What the client likes to get, where error pages ask for that.
    pub accept: Span,
    /// The request's id.
    pub id: Span,
}

impl Text {
    /// The request's id, if it has one.
    pub fn id(&self) -> Option<&[u8]> {
        Some(self.id.of(&self.bytes)).filter(|id| !id.is_empty())
    }

    /// Takes bytes in.
    pub fn keep(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        Span { start, end: self.bytes.len() as u32 }
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            method: Method::Other,
            version: Version::Http11,
            upgrade: false,
            expects_continue: false,
            out: Vec::new(),
            sent: 0,
            head_out: 0,
            unrepeatable: false,
            buffers_request: false,
            chunked_out: false,
            request: Content::Done,
            response: Content::Done,
            chunked_in: false,
            until_close: false,
            partial: Vec::new(),
            scan: Scan::default(),
            status: 0,
            answered: false,
            heard: false,
            broke: false,
            client_stays: false,
            client_leaves: false,
            server_stays: false,
            private: false,
            reuses: None,
            wants_new: false,
            half_closed: false,
            tunnel: false,
            unlogged: false,
            tarpit: false,
            refusal: None,
            answer: None,
            silent: false,
            backend: NONE,
            answerer: NONE,
            began: 0,
            handshake_ms: 0,
            idle_ms: 0,
            head_ms: -1,
            response_ms: -1,
            sent_at: 0,
            presented: Presented::NONE,
            set_cookie: None,
            cookie_letters: None,
            persist: PersistRule::Normal,
            priority: Priority::default(),
            hash: None,
            captured: Captured::default(),
            text: Text::default(),
        }
    }
}

impl Exchange {
    /// What the next response answers.
    pub fn asked(&self) -> Asked {
        Asked { method: self.method, upgrade: self.upgrade }
    }

    /// When the connection was accepted, or the response before this request was over.
    pub fn since(&self) -> Millis {
        self.began.saturating_sub(self.idle_ms + self.handshake_ms)
    }

    /// The request line, as far as the log shows it; `None` where there was no valid one.
    pub fn request_line(&self, length_max: u32) -> Option<Request<'_>> {
        let line = self.text.line.of(&self.text.bytes);
        (!line.is_empty()).then(|| Request::new(line, length_max))
    }

    /// The server's connection has taken all of `out`.
    pub fn is_sent(&self) -> bool {
        self.sent == self.out.len()
    }

    /// Everything of the request was read from the client.
    pub fn request_read(&self) -> bool {
        matches!(self.request, Content::Done)
    }

    /// Back to the beginning, its memory kept.
    fn recycle(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        let mut partial = std::mem::take(&mut self.partial);
        let mut text = std::mem::take(&mut self.text.bytes);
        let mut captured = std::mem::take(&mut self.captured);
        captured.clear();
        for bytes in [&mut out, &mut partial, &mut text] {
            bytes.clear();
            bytes.shrink_to(RECYCLED_BYTES_MAX);
        }
        *self = Self { out, partial, captured, ..Self::default() };
        self.text.bytes = text;
    }
}

impl Stream {
    /// Whether the server's connection has taken all of the request, content included.
    fn has_told_its_request(&self) -> bool {
        let told = |exchange: &Exchange| exchange.request_read() && exchange.is_sent();
        self.front.pending.is_empty() && self.http.as_deref().is_some_and(told)
    }
}

/// Memory that an exchange keeps for the next one, per buffer.
const RECYCLED_BYTES_MAX: usize = 4096;
/// Exchanges kept for the next streams.
const SPARE_MAX: usize = 256;

/// What HTTP needs once per worker.
#[derive(Debug)]
pub struct Http {
    /// Bounds of heads.
    pub limits: Limits,
    /// The table of the head at hand; not here while it is read.
    pub fields: Option<Box<Fields>>,
    /// Some error page depends on what the client likes to get.
    pub pages_by_accept: bool,
    /// Who the users are.
    pub checker: Checker,
    /// Where values of fields are put together.
    pub draft: Vec<u8>,
    /// What is written to a connection next.
    pub encoded: Vec<u8>,
    /// Exchanges whose memory is used again.
    #[expect(clippy::vec_box, reason = "streams hold them in boxes")]
    spare: Vec<Box<Exchange>>,
    /// Each server's backend and position, by its number.
    pub servers: Vec<(BackendId, ServerId)>,
    /// Numbers of servers that may have connections waiting for their next request.
    pub keeping: Vec<u32>,
    /// The number of each backend's first server.
    pub first: Vec<u32>,
    /// This process, for logs and ids.
    pub pid: u32,
    /// This machine, for logs.
    pub host_name: String,
    /// Requests so far, for logs and ids.
    pub requests: u64,
}

impl Http {
    /// What this configuration needs; `key` is random.
    pub fn new(config: &Config, key: [u8; 32]) -> Self {
        let tune = &config.tune;
        let mut servers = Vec::new();
        let mut first = Vec::new();
        for (backend, id) in config.backends.iter().zip(0..) {
            first.push(servers.len() as u32);
            servers.extend((0..backend.servers.len() as ServerId).map(|server| (id, server)));
        }
        let rewrite = tune.maxrewrite.min(tune.buffer_size / 2);
        Self {
            limits: Limits {
                head_bytes_max: tune.buffer_size - rewrite,
                fields_max: tune.http_maxhdr,
                target_bytes_max: tune.http_target_max,
                name_bytes_max: tune.http_name_max,
                value_bytes_max: tune.http_value_max,
            },
            fields: None,
            pages_by_accept: config
                .error_pages
                .iter()
                .any(|pages| pages.format == Some(ErrorFormat::Accept)),
            checker: Checker::new(&config.userlists, key),
            draft: Vec::new(),
            encoded: Vec::new(),
            spare: Vec::new(),
            servers,
            keeping: Vec::new(),
            first,
            pid: std::process::id(),
            host_name: host_name(config),
            requests: 0,
        }
    }

    /// An exchange to begin with.
    pub fn exchange(&mut self) -> Box<Exchange> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes one back.
    pub fn recycle(&mut self, mut exchange: Box<Exchange>) {
        if self.spare.len() < SPARE_MAX {
            exchange.recycle();
            self.spare.push(exchange);
        }
    }
}

/// As the configuration calls this machine, or as it calls itself.
fn host_name(config: &Config) -> String {
    config
        .process
        .log_hostname
        .clone()
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// The stricter one.
pub fn stricter(one: ConnectionMode, other: ConnectionMode) -> ConnectionMode {
    one.max(other)
}
