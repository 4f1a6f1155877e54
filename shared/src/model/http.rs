//! What mode `http` adds to frontends, backends and servers.
//!
//! Names and files are resolved by the reader: a file's content stands here, a list of users is its
//! position, text that must be valid in a message was checked.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{BackendId, LogTemplate, Priority};

/// What becomes of connections after a response. HAProxy's `option http-keep-alive`,
/// `http-server-close` and `httpclose`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConnectionMode {
    /// Both sides are kept for further requests.
    #[default]
    KeepAlive,
    /// The server's is closed, the client's kept.
    ServerClose,
    /// Both are closed.
    Close,
}

/// When a kept server connection may serve a request of another client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpReuse {
    /// Never: it stays with the client for whom it was opened.
    Never,
    /// For a client's second and later requests; the first gets its own.
    #[default]
    Safe,
    /// The first too, on a connection that has been reused before.
    Aggressive,
    /// Always.
    Always,
}

/// What mode http adds to a frontend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpFrontend {
    /// The stricter one of frontend and backend holds.
    pub connection_mode: ConnectionMode,
    /// Tried before the default backend.
    pub routes: Vec<Route>,
    /// Who may ask at all.
    pub auth: Option<Auth>,
    /// Every request is answered so.
    pub answer: Option<Answer>,
    /// Fields about the client that are added to requests.
    pub identity: ClientIdentity,
    /// Answered with 200 here, without a log line: the path of a request.
    pub monitor_uri: Option<String>,
    /// What is kept of messages for the log.
    pub captures: Captures,
    /// An id for each request: its text, made when the request has come.
    pub unique_id: Option<LogTemplate>,
    /// The field that tells the server that id.
    pub unique_id_header: Option<String>,
    /// Pages instead of the built-in ones: position in [`super::Config::error_pages`].
    pub errors: Option<u32>,
    /// A connection without any byte, or whose first request never begins, ends without a 408 and
    /// without a log line. HAProxy's `option http-ignore-probes`.
    pub ignore_probes: bool,
    /// A soft-stop ends connections only with an answer, never while they are idle. HAProxy's
    /// `option idle-close-on-response`.
    pub idle_close_on_response: bool,
    /// `Proxy-Connection` is understood too. HAProxy's `option http-use-proxy-header`.
    pub use_proxy_header: bool,
    /// What becomes of field names with other characters than letters, digits and `-`.
    pub restrict_names: RestrictNames,
    /// The name in `Via`; `None`: none is added. Default `portolan`.
    pub via: Option<String>,
}

/// What mode http adds to a backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpBackend {
    /// The stricter one of frontend and backend holds.
    pub connection_mode: ConnectionMode,
    /// Who may use kept connections.
    pub reuse: HttpReuse,
    /// Which failures of an exchange are followed by another attempt.
    pub retry_on: RetryOn,
    /// A client that leaves while its request waits for a server or an answer is given up.
    /// Default true (HAProxy's default since 3.3 for `option abortonclose`).
    pub abort_on_close: bool,
    /// A client keeps its server though that is full, while its queue is not longer than this;
    /// `None`: it is given another one only where it is free to choose. HAProxy's `max-keep-alive-queue`.
    pub max_keep_alive_queue: Option<u32>,
    /// A client's next request rather goes to the same server. HAProxy's `option prefer-last-server`.
    pub prefer_last_server: bool,
    /// Servers are told keep-alive though the connection will be closed.
    pub pretend_keepalive: bool,
    /// The request's content is waited for (as far as a buffer holds it) before a server is chosen.
    pub buffer_request: bool,
    /// Persistence by a cookie.
    pub cookie: Option<Cookie>,
    /// What becomes of clients that belong to a server, where the route does not say.
    pub persist: PersistRule,
    /// As a frontend's.
    pub auth: Option<Auth>,
    /// As a frontend's.
    pub answer: Option<Answer>,
    /// As a frontend's; what either asks for is added.
    pub identity: ClientIdentity,
    /// As a frontend's; these are looked at first.
    pub errors: Option<u32>,
    /// As a frontend's.
    pub restrict_names: RestrictNames,
}

/// What mode http adds to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpServer {
    /// Its value of the persistence cookie.
    pub cookie: Option<String>,
    /// Most idle connections kept, over all workers together; `None`: no bound, 0: none is kept.
    pub pool_max_conn: Option<u32>,
    /// How often half of the idle connections that were not needed are closed; zero: at once, none
    /// is kept. Default 5 s.
    pub pool_purge_delay: Duration,
    /// So many idle connections each worker keeps though they were not needed lately. Default 0.
    pub pool_low_conn: u32,
    /// A connection serves at most so many requests after its first; `None`: no bound.
    pub max_reuse: Option<u32>,
}

impl Default for HttpServer {
    fn default() -> Self {
        Self {
            cookie: None,
            pool_max_conn: None,
            pool_purge_delay: Duration::from_secs(5),
            pool_low_conn: 0,
            max_reuse: None,
        }
    }
}

/// What becomes of requests with unusual field names. HAProxy's `option http-restrict-req-hdr-names`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestrictNames {
    /// They pass.
    #[default]
    Preserve,
    /// Such fields are left out.
    Delete,
    /// Such requests are refused with 403.
    Reject,
}

/// Which failures of an exchange are followed by another attempt. HAProxy's `retry-on`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryOn {
    /// A connection could not be established. The default, alone.
    pub conn_failure: bool,
    /// The connection ended after the request was sent and before any byte of a response.
    pub empty_response: bool,
    /// The server timeout struck before a response.
    pub response_timeout: bool,
    /// What came was no response.
    pub junk_response: bool,
    /// A response with one of these statuses.
    pub statuses: Vec<u16>,
}

impl Default for RetryOn {
    fn default() -> Self {
        Self {
            conn_failure: true,
            empty_response: false,
            response_timeout: false,
            junk_response: false,
            statuses: Vec::new(),
        }
    }
}

impl RetryOn {
    /// Whether requests must be kept for another attempt beyond a failed connection.
    pub fn needs_request(&self) -> bool {
        self.empty_response
            || self.response_timeout
            || self.junk_response
            || !self.statuses.is_empty()
    }
}

/// Fields about the client that are added to requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientIdentity {
    /// The client's address (`X-Forwarded-For`). HAProxy's `option forwardfor`.
    pub forwarded_for: Option<AddressField>,
    /// Where the client connected to (`X-Original-To`). HAProxy's `option originalto`.
    pub original_to: Option<AddressField>,
    /// RFC 7239's field. HAProxy's `option forwarded`.
    pub forwarded: Option<Forwarded>,
}

/// A field that tells an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressField {
    /// Its name.
    pub name: String,
    /// It is not added for these addresses.
    pub except: Vec<IpNet>,
    /// Only where the request has none yet.
    pub if_none: bool,
}

/// What the `Forwarded` field tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// `proto=http` or `https`.
    pub proto: bool,
    /// `host=` as the client asked for it.
    pub host: bool,
    /// `by=`, where the client connected to.
    pub by: Option<ForwardedNode>,
    /// `for=`, the client.
    pub for_: Option<ForwardedNode>,
}

/// How an end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardedNode {
    /// With its port.
    pub port: bool,
}

/// Where a request goes by its host and path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Which hosts.
    pub host: RouteHost,
    /// The beginning of the path, by whole segments (`/api` is `/api` and `/api/x`, not `/apis`);
    /// `/` is every path. Begins with `/`.
    pub path: String,
    /// Who may ask.
    pub auth: Option<Auth>,
    /// Where such requests wait among others; `None`: as the frontend says.
    pub priority: Option<Priority>,
    /// What becomes of clients that belong to a server (`force-persist`, `ignore-persist`).
    pub persist: PersistRule,
    /// What becomes of it.
    pub to: RouteTarget,
}

/// What becomes of clients that belong to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PersistRule {
    /// They go to it while it is up.
    #[default]
    Normal,
    /// They go to it even while it is down.
    Force,
    /// They are balanced as all others.
    Ignore,
}

/// Which hosts a route is for; letters are lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RouteHost {
    /// All of them.
    Any,
    /// This one.
    Exact(String),
    /// All names below this one (`*.example.com` is `example.com` here; not that name itself).
    Below(String),
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RouteTarget {
    /// This backend serves it.
    Backend(BackendId),
    /// It is answered here.
    Answer(Answer),
}

/// An answer given without a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Go elsewhere.
    Redirect(Redirect),
    /// This response.
    Return(Response),
    /// Refused, with the error page of this status (403 unless configured).
    Deny(u16),
    /// As `Deny` (500 unless configured) after the tarpit timeout.
    Tarpit(u16),
}

/// Go elsewhere. HAProxy's `redirect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Where.
    pub to: RedirectTo,
    /// 301, 302, 303, 307 or 308. Default 302.
    pub status: u16,
    /// The query is left out (`drop-query`; with a prefix).
    pub drop_query: bool,
    /// The request's query is added to the location (`keep-query`).
    pub keep_query: bool,
    /// A `/` is added to a path that does not end with one (`append-slash`, with `drop_query`).
    pub append_slash: bool,
    /// Nothing is done where the location is empty (`ignore-empty`).
    pub ignore_empty: bool,
    /// A cookie, `NAME` or `NAME=VALUE`, that is set.
    pub set_cookie: Option<String>,
    /// A cookie, `NAME` or `NAME=`, that is taken back.
    pub clear_cookie: Option<String>,
}

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedirectTo {
    /// There.
    Location(String),
    /// This, and the request's path and query behind it.
    Prefix(String),
    /// The same host and path by this scheme.
    Scheme(String),
}

/// A whole response that is known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// In order; without those that frame it (Content-Length, Transfer-Encoding, Connection).
    pub fields: Vec<(String, String)>,
    /// Its content.
    pub content: Vec<u8>,
}

/// Error pages of one or more proxies: what a thousand inherit stands here once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ErrorPages {
    /// By status, in rising order, each once.
    pub pages: Vec<(u16, ErrorPage)>,
    /// How the built-in pages look; `None`: not said here.
    pub format: Option<ErrorFormat>,
}

/// One error page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorPage {
    /// This response; its status may differ.
    Response(Response),
    /// Go there (`errorloc302`, `errorloc303`).
    Location {
        /// 302 or 303.
        status: u16,
        /// Where.
        url: String,
    },
    /// The connection ends without a word (`errorfile NNN /dev/null`).
    Silent,
}

/// How built-in error pages look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorFormat {
    /// A few words of HTML.
    #[default]
    Html,
    /// A JSON object (RFC 9457, `application/problem+json`).
    Json,
    /// JSON for requests whose `Accept` prefers it to HTML.
    Accept,
}

/// Who may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// What the client shows to its user.
    pub realm: String,
    /// Position in [`super::Config::userlists`].
    pub userlist: u32,
    /// Members of one of these; empty: everybody in the list.
    pub groups: Vec<String>,
}

/// Users and their passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Userlist {
    /// Its name.
    pub name: String,
    /// In file order, no name twice.
    pub users: Vec<User>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Without a colon.
    pub name: String,
    /// What proves who it is.
    pub password: Password,
    /// The groups it belongs to.
    pub groups: Vec<String>,
}

/// How a password is known.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Password {
    /// As crypt(3) hashes it; of a kind that can be checked.
    Crypt(String),
    /// As it is.
    Plain(String),
}

impl std::fmt::Debug for Password {
    /// Never the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Crypt(_) => "Crypt(…)",
            Self::Plain(_) => "Plain(…)",
        })
    }
}

/// What is kept of messages for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captures {
    /// Fields of the request, the last one of each name.
    pub request: Vec<CaptureField>,
    /// Fields of the response.
    pub response: Vec<CaptureField>,
    /// A cookie, of the request and of the response.
    pub cookie: Option<CaptureCookie>,
}

/// One captured field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureField {
    /// Its name; letters' case does not matter.
    pub name: String,
    /// Bytes that are kept.
    pub length_max: u32,
}

/// A captured cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureCookie {
    /// Its name, or the beginning of it.
    pub name: String,
    /// Whether `name` is only the beginning.
    pub prefix: bool,
    /// Bytes that are kept of `NAME=VALUE`.
    pub length_max: u32,
}

/// Persistence by a cookie. HAProxy's `cookie` in a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Who sets it.
    pub mode: CookieMode,
    /// It is not shown to servers, and not set again for clients that have it right.
    pub indirect: bool,
    /// Responses that set it are marked as not for shared caches.
    pub nocache: bool,
    /// It is only set in answers to POST.
    pub postonly: bool,
    /// A cookie of that name from the server is left as it is.
    pub preserve: bool,
    /// Not for scripts.
    pub httponly: bool,
    /// Only over TLS.
    pub secure: bool,
    /// It is void so long after the last answer that set it.
    pub maxidle: Option<Duration>,
    /// It is void so long after the first.
    pub maxlife: Option<Duration>,
    /// `Domain` attributes.
    pub domains: Vec<String>,
    /// Further attributes, as they are.
    pub attributes: Vec<String>,
    /// Servers without a value of their own get one computed with this key.
    pub dynamic_key: Option<String>,
}

/// Who sets the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CookieMode {
    /// The application, with the server's value; it is only read.
    Passive,
    /// The application; its value is replaced by the server's.
    Rewrite,
    /// We do.
    Insert,
    /// The application; the server's value and `~` are put before its own.
    Prefix,
}
