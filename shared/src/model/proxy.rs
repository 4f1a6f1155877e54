//! Frontends, backends, binds and servers.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    Balance, Check, HashKey, Hashing, Health, HttpBackend, HttpFrontend, HttpServer, LogTarget,
    LogTemplate,
};

/// Position of a frontend in [`super::Config::frontends`].
pub type FrontendId = u32;
/// Position of a backend in [`super::Config::backends`].
pub type BackendId = u32;
/// Position of a server in its [`Backend::servers`].
pub type ServerId = u32;

/// What a proxy understands of the bytes it forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Layer 4: bytes are forwarded as they come.
    Tcp,
    /// Layer 7: requests and responses of HTTP/1.
    Http,
}

/// The configured timeouts; `None` waits for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// For a connection to a server to establish.
    pub connect: Option<Duration>,
    /// For the client to send or acknowledge something.
    pub client: Option<Duration>,
    /// For the server to send or acknowledge something.
    pub server: Option<Duration>,
    /// As `client`, once the other side has ended its sending (half-closed).
    pub client_fin: Option<Duration>,
    /// As `server`, once the other side has ended its sending.
    pub server_fin: Option<Duration>,
    /// For both sides together, once both have sent something or in any established tunnel; replaces
    /// `client` and `server` there.
    pub tunnel: Option<Duration>,
    /// In the pending queue; `None`: `connect` applies.
    pub queue: Option<Duration>,
    /// For a check, once connected; `None`: the interval between checks.
    pub check: Option<Duration>,
    /// For a whole request head, from its first byte (of a connection's first request: from accept);
    /// `None`: `client` applies.
    pub http_request: Option<Duration>,
    /// For the first byte of a client's next request; `None`: `http_request`, else `client` applies.
    pub http_keep_alive: Option<Duration>,
    /// How long a tarpit holds a request; `None`: `connect` applies.
    pub tarpit: Option<Duration>,
}

/// TCP keepalive probes of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepalive {
    /// Whether probes are sent.
    pub on: bool,
    /// Idle time before the first probe, seconds; `None`: the system's.
    pub idle_s: Option<u32>,
    /// Time between probes, seconds.
    pub interval_s: Option<u32>,
    /// Probes without an answer before the connection is dead.
    pub count: Option<u32>,
}

/// When data may be moved inside the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpliceOptions {
    /// Towards the server, always.
    pub request: bool,
    /// Towards the client, always.
    pub response: bool,
    /// Both ways, when a read filled its buffer.
    pub auto: bool,
}

/// Which line is written to the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogLine {
    /// A short one, at accept.
    #[default]
    Connect,
    /// `tcplog`: HAProxy's TCP line.
    Tcp,
    /// `httplog`: HAProxy's HTTP line.
    Http,
    /// `httplog = "clf"`: the common log format and more behind it, as HAProxy's.
    Clf,
    /// `httplog = "json"`: an object with what the HTTP line tells.
    Json,
    /// [`Frontend::log_template`].
    Template,
}

/// What is written to the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOptions {
    /// Which line.
    pub line: LogLine,
    /// `dontlognull`: nothing for a connection that carried no byte.
    pub dontlognull: bool,
    /// `dontlog_normal`: nothing for what ended without an error.
    pub dontlog_normal: bool,
    /// `logasap`: the line is written once the connection to the server stands, its totals with `+`.
    pub logasap: bool,
    /// `log_separate_errors`: what ended with an error is logged with level err instead of info.
    pub separate_errors: bool,
}

/// Where a stream stands in pending queues (`set-priority-class`, `set-priority-offset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    /// Lower classes go first, −2047 to 2047.
    pub class: i16,
    /// Within a class: as if it had come so many milliseconds later, −524287 to 524287.
    pub offset_ms: i32,
}

/// A set of binds and limits facing clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frontend {
    /// Unique among frontends.
    pub name: String,
    /// Its place in shared memory.
    pub object: u32,
    /// Always present, so that a reader of the model sees what it gets.
    pub mode: Mode,
    /// In file order; a bind with a port range or several addresses is several of these.
    pub binds: Vec<Bind>,
    /// Most connections at once over all workers; `None`: only the global limit holds.
    pub maxconn: Option<u32>,
    /// `rate_limit_sessions`: most new sessions in a second over all workers; `None`: any number.
    pub sessions_per_second: Option<u32>,
    /// Where its streams wait among others.
    pub priority: Priority,
    /// Where its connections go.
    pub default_backend: Option<BackendId>,
    /// `client`, `client_fin` and `tunnel` are used here.
    pub timeouts: Timeouts,
    /// Towards clients.
    pub keepalive: Keepalive,
    /// `nolinger`: close with RST instead of waiting.
    pub nolinger: bool,
    /// Towards clients (`request`) and from them.
    pub splice: SpliceOptions,
    /// What to log.
    pub log_options: LogOptions,
    /// Where; resolved (`log = "global"` is already replaced).
    pub logs: Vec<LogTarget>,
    /// Tag of its log lines; `None`: the global one.
    pub log_tag: Option<String>,
    /// The line of [`LogLine::Template`].
    pub log_template: Option<LogTemplate>,
    /// The line of connections that failed before a request, instead of the usual one.
    pub error_log_template: Option<LogTemplate>,
    /// What mode http adds.
    pub http: HttpFrontend,
}

impl Frontend {
    /// One without binds, with what holds where nothing is said.
    pub fn new(name: impl Into<String>, mode: Mode) -> Self {
        Self {
            name: name.into(),
            object: 0,
            mode,
            binds: Vec::new(),
            maxconn: None,
            sessions_per_second: None,
            priority: Priority::default(),
            default_backend: None,
            timeouts: Timeouts::default(),
            keepalive: Keepalive::default(),
            nolinger: false,
            splice: SpliceOptions::default(),
            log_options: LogOptions::default(),
            logs: Vec::new(),
            log_tag: None,
            log_template: None,
            error_log_template: None,
            http: HttpFrontend::default(),
        }
    }
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bind {
    /// As given by `name`, or empty.
    pub name: String,
    /// Identifies the bind within a generation: the position among all binds of the configuration.
    pub id: u32,
    /// What it says for people and in logs (`:80`, `[::1]:80`, `/run/x.sock`, `fd@5`).
    pub written: String,
    /// Where.
    pub address: BindAddress,
    /// How the socket is set up.
    pub options: BindOptions,
    /// Most connections at once over all workers through this bind; `None`: no limit of its own.
    pub maxconn: Option<u32>,
    /// Its place in shared memory.
    pub object: u32,
    /// A PROXY header is expected from these.
    pub accept_proxy: Option<ProxyProtocolIn>,
    /// Priority of its accept task, −1024 (first) to 1024.
    pub nice: i16,
}

/// Where a listener's socket comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BindAddress {
    /// A TCP address that the master binds.
    Tcp(SocketAddr),
    /// A UNIX stream socket that the master binds.
    Unix(PathBuf),
    /// A descriptor that the master inherited.
    Fd(i32),
    /// A socket passed by systemd under this name (`FileDescriptorName=`), `sd@NAME`.
    Systemd(String),
}

/// Options of a listening socket; those of TCP are refused on UNIX sockets and the reverse.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindOptions {
    /// Length of the accept queue; `None`: the frontend's maxconn, else the system's maximum.
    pub backlog: Option<u32>,
    /// Bound to this device (SO_BINDTODEVICE).
    pub interface: Option<String>,
    /// May be bound to foreign addresses (IP_TRANSPARENT).
    pub transparent: bool,
    /// `Some(true)`: IPv6 only; `Some(false)`: IPv4 too (`v4v6`); `None`: the system's bindv6only.
    pub v6only: Option<bool>,
    /// Maximum segment size (TCP_MAXSEG), 88 to 32767.
    pub mss: Option<u16>,
    /// Length of the fast open queue (TCP_FASTOPEN).
    pub fastopen: Option<Fastopen>,
    /// A connection is reported only once data has come (TCP_DEFER_ACCEPT).
    pub defer_accept: bool,
    /// TCP_USER_TIMEOUT.
    pub user_timeout: Option<Duration>,
    /// Of a UNIX socket.
    pub unix: UnixOptions,
}

/// Length of a fast open queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fastopen {
    /// Requests that have not finished their handshake.
    pub queue_max: u32,
}

/// Owner and mode of a UNIX socket's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnixOptions {
    /// Permission bits; `None`: what the umask leaves.
    pub mode: Option<u32>,
    /// User number.
    pub uid: Option<u32>,
    /// Group number.
    pub gid: Option<u32>,
}

/// Who must send a PROXY header, and how long that may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyProtocolIn {
    /// Sources that send one (all others are served without); empty: everybody must.
    pub from: Vec<IpNet>,
    /// Time for the header to arrive; `None`: the client timeout.
    pub timeout: Option<Duration>,
}

/// When a retry goes to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Redispatch {
    /// Never.
    Off,
    /// The last retry (HAProxy's `option redispatch`, or `-1`).
    Last,
    /// Every n-th retry, n positive.
    Every(u32),
    /// Every n-th retry counted from the last one (a negative interval).
    EveryFromLast(u32),
}

/// A group of servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Unique among backends.
    pub name: String,
    /// Its place in shared memory.
    pub object: u32,
    /// As a frontend's.
    pub mode: Mode,
    /// How servers are chosen.
    pub balance: Balance,
    /// Where that is by a hash.
    pub hashing: Hashing,
    /// `allbackups`: without another server all backup servers are used, not only the first.
    pub all_backups: bool,
    /// So many streams in this backend let its servers have their `maxconn`; with fewer they have
    /// less, down to `minconn`. `None`: where a server has a `minconn`, a tenth of the sum of
    /// the `maxconn` of all frontends that may use it.
    pub fullconn: Option<u32>,
    /// What a check of its servers does.
    pub check: Check,
    /// `connect`, `check`, `server`, `server_fin`, `tunnel` and `queue` are used here.
    pub timeouts: Timeouts,
    /// Connection attempts after the first. Default 3.
    pub retries: u32,
    /// When a retry leaves its server.
    pub redispatch: Redispatch,
    /// Towards servers.
    pub keepalive: Keepalive,
    /// Close with RST instead of waiting.
    pub nolinger: bool,
    /// As a frontend's; either one's option turns splicing on.
    pub splice: SpliceOptions,
    /// Default source of connections to servers.
    pub source: Option<Source>,
    /// In file order; a name may repeat.
    pub servers: Vec<Server>,
    /// What mode http adds.
    pub http: HttpBackend,
}

impl Backend {
    /// One without servers, with what holds where nothing is said.
    pub fn new(name: impl Into<String>, mode: Mode) -> Self {
        Self {
            name: name.into(),
            object: 0,
            mode,
            balance: Balance::default(),
            hashing: Hashing::default(),
            all_backups: false,
            fullconn: None,
            check: Check::default(),
            timeouts: Timeouts::default(),
            retries: 3,
            redispatch: Redispatch::Off,
            keepalive: Keepalive::default(),
            nolinger: false,
            splice: SpliceOptions::default(),
            source: None,
            servers: Vec::new(),
            http: HttpBackend::default(),
        }
    }
}

/// One address in a backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// As written; the second of a name is told apart by position in keys (`web#2`).
    pub name: String,
    /// Its place in shared memory.
    pub object: u32,
    /// Where it is.
    pub address: ServerAddress,
    /// 0 to 256. 0 gets no new connections. Default 1.
    pub weight: u16,
    /// Most connections at once over all workers; `None`: no limit.
    pub maxconn: Option<u32>,
    /// What `maxconn` is while the backend has few streams (see [`Backend::fullconn`]); `None`: it does not
    /// change.
    pub minconn: Option<u32>,
    /// Most streams that wait for this server alone, over all workers; `None`: any number.
    pub maxqueue: Option<u32>,
    /// Its number in its backend, from 1: where nothing is said, its position.
    pub id: u32,
    /// Used only while no other server can be.
    pub backup: bool,
    /// It starts in maintenance.
    pub disabled: bool,
    /// How long after it came up it has its whole weight.
    pub slowstart: Option<Duration>,
    /// What places it on the ring of a consistent hash.
    pub hash_key: HashKey,
    /// How it is watched.
    pub health: Health,
    /// What a verdict on it is about (`standing::fingerprint`); filled in with `object`.
    pub fingerprint: u64,
    /// Whose word its agent's is (`standing::agent_fingerprint`); filled in with `object`.
    pub agent_fingerprint: u64,
    /// A PROXY header that is sent first.
    pub send_proxy: Option<ProxyProtocolOut>,
    /// Overrides the backend's.
    pub source: Option<Source>,
    /// TCP_USER_TIMEOUT.
    pub user_timeout: Option<Duration>,
    /// TCP_MAXSEG.
    pub mss: Option<u16>,
    /// Send the first bytes with the SYN (TCP_FASTOPEN_CONNECT).
    pub fastopen: bool,
    /// What mode http adds.
    pub http: HttpServer,
}

impl Server {
    /// A server there, with what holds where nothing is said.
    pub fn new(name: impl Into<String>, address: ServerAddress) -> Self {
        Self {
            name: name.into(),
            object: 0,
            address,
            weight: 1,
            maxconn: None,
            minconn: None,
            maxqueue: None,
            id: 0,
            backup: false,
            disabled: false,
            slowstart: None,
            hash_key: HashKey::default(),
            health: Health::default(),
            fingerprint: 0,
            agent_fingerprint: 0,
            send_proxy: None,
            source: None,
            user_timeout: None,
            mss: None,
            fastopen: false,
            http: HttpServer::default(),
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerAddress {
    /// A fixed address and port.
    Tcp(SocketAddr),
    /// This address and the port the client came to, plus an offset (`10.0.0.1`, `10.0.0.1:+1000`).
    TcpClientPort {
        /// The server.
        ip: IpAddr,
        /// Added to the client's destination port, −65535 to 65535.
        offset: i32,
    },
    /// A UNIX stream socket.
    Unix(PathBuf),
    /// Its name stands for no address, which `init_addr` allows: it is never used.
    Unresolved {
        /// The name.
        name: String,
    },
}

/// Where connections to a server come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The address.
    pub address: SourceAddress,
    /// Bound to this device.
    pub interface: Option<String>,
}

/// The local end of a connection to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceAddress {
    /// This address; port 0 lets the system choose.
    Fixed(SocketAddr),
    /// This address and one of these ports, both ends included; each worker has its share of them.
    Ports {
        /// The address.
        ip: IpAddr,
        /// The lowest.
        first: u16,
        /// The highest.
        last: u16,
    },
    /// The client's own address (`usesrc clientip`), needs `IP_TRANSPARENT`.
    ClientIp,
    /// The client's own address and port (`usesrc client`).
    Client,
    /// Any (only an interface was given).
    Any,
}

/// A PROXY header towards a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyProtocolOut {
    /// Text or binary.
    pub version: ProxyProtocolVersion,
    /// Version 2: a checksum over the header (PP2_TYPE_CRC32C).
    pub crc32c: bool,
    /// Version 2: an id for the connection (PP2_TYPE_UNIQUE_ID).
    pub unique_id: bool,
    /// Version 2: further fields, sent as configured.
    pub tlvs: Vec<Tlv>,
}

/// Which PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProxyProtocolVersion {
    /// `PROXY TCP4 …`.
    V1,
    /// Binary.
    V2,
}

/// A type-length-value field of a version 2 header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tlv {
    /// PP2_TYPE_…
    pub kind: u8,
    /// At most 1024 bytes.
    pub value: Vec<u8>,
}
