//! The configuration, valid by construction: what every reader of a file format produces and every
//! process understands.
//!
//! Core: no I/O. The readers (in the master) resolve names, apply `defaults`, check references and
//! refuse what they cannot honour; whoever holds a [`Config`] need not check it again.
//!
//! - Order in the file is order here; ids are positions in these vectors.
//! - `object` fields are 0 when a reader returns the model; the master gives each object its place
//!   in shared memory by name and position (see `memory`).

mod balance;
mod check;
mod http;
mod log_template;
mod proxy;
mod target;

pub use balance::{Affinity, Balance, HashFunction, HashKey, HashMethod, Hashing, UriKey};
pub use check::{
    Agent, Check, CheckConnect, CheckHttpVersion, CheckKind, CheckRequest, CheckText, CheckValue,
    Expect, ExpectStatus, FieldMatch, FieldMethod, Health, InitState, Matching, MysqlClient,
    Observe, OnError, Probe, Step, StepAction,
};
pub use http::{
    AddressField, Answer, Auth, CaptureCookie, CaptureField, Captures, ClientIdentity,
    ConnectionMode, Cookie, CookieMode, ErrorFormat, ErrorPage, ErrorPages, Forwarded,
    ForwardedNode, HttpBackend, HttpFrontend, HttpReuse, HttpServer, Password, PersistRule,
    Redirect, RedirectTo, Response, RestrictNames, RetryOn, Route, RouteHost, RouteTarget, User,
    Userlist,
};
pub use log_template::{LogItem, LogStyle, LogTemplate, LogVariable};

pub use proxy::{
    Backend, BackendId, Bind, BindAddress, BindOptions, Fastopen, Frontend, FrontendId, Keepalive,
    LogLine, LogOptions, Mode, Priority, ProxyProtocolIn, ProxyProtocolOut, ProxyProtocolVersion,
    Redispatch, Server, ServerAddress, ServerId, Source, SourceAddress, SpliceOptions, Timeouts,
    Tlv, UnixOptions,
};
pub use target::{Facility, LogEndpoint, LogFormat, LogLevel, LogTarget};

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Slots × addresses above which one shared socket serves all slots, unless configured.
pub const LISTENER_SOCKETS_DEFAULT: u32 = 16_384;

/// One configuration, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// What concerns the processes themselves.
    pub process: Process,
    /// Sizes and budgets of the event loop.
    pub tune: Tune,
    /// `[global] log`: taken by every proxy that says `log = "global"`; events go here too. Empty:
    /// events go to stderr, and there is no access log.
    pub logs: Vec<LogTarget>,
    /// What faces clients, in file order; a `listen` section is one of these and a backend.
    pub frontends: Vec<Frontend>,
    /// Groups of servers, in file order.
    pub backends: Vec<Backend>,
    /// Lists of users, in file order.
    pub userlists: Vec<Userlist>,
    /// Sets of error pages, each different from all others.
    pub error_pages: Vec<ErrorPages>,
}

impl Config {
    /// The frontend of the listen section that a backend is a part of.
    pub fn listen_of(&self, id: BackendId) -> Option<&Frontend> {
        let name = &self.backends.get(id as usize)?.name;
        self.frontends.iter().find(|front| front.name == *name && front.default_backend == Some(id))
    }
}

/// How the processes are started and limited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Number of workers, 1 to 256 (`"auto"` is resolved by the reader: one per usable core).
    pub workers: u16,
    /// The user the workers become; `None`: they stay who started the master.
    pub user: Option<Identity>,
    /// The group the workers become.
    pub group: Option<Identity>,
    /// Supplementary groups; `None`: all are dropped when running as root, else kept.
    pub groups: Vec<u32>,
    /// The directory the workers are confined to.
    pub chroot: Option<PathBuf>,
    /// Most connections at once over all workers; `None`: derived from the descriptor limit.
    pub maxconn: Option<u32>,
    /// `maxconnrate`: most connections accepted in a second over all workers; `None`: any number.
    pub connections_per_second: Option<u32>,
    /// `maxsessrate`: most sessions begun in a second over all workers; `None`: any number.
    pub sessions_per_second: Option<u32>,
    /// `external_check`: commands may be run to check servers.
    pub external_check: bool,
    /// `spread_checks`: per cent of its interval by which a check may come earlier or later. 0 to 50.
    pub spread_checks: u8,
    /// `ulimit_n`: the soft limit of descriptors each worker asks for; `None`: computed from maxconn.
    pub descriptor_limit: Option<u64>,
    /// Whether workers may leave a core file.
    pub core_dumps: bool,
    /// How the processes below the master are confined.
    pub sandbox: SandboxMode,
    /// Connections go to the ports of configured servers only, by the kernel's rule.
    pub strict_connect: bool,
    /// How long after a soft-stop what is left is ended; `None`: never.
    pub hard_stop_after: Option<Duration>,
    /// How long a stopping worker still accepts (HAProxy's `grace`); usually zero.
    pub grace: Duration,
    /// `close_spread_time`: over how long a soft-stop spreads the end of clients' connections.
    pub close_spread: CloseSpread,
    /// How long a loop may stand still before its worker is treated as dead. Default 2 s.
    pub heartbeat_timeout: Duration,
    /// How long a new generation may take to be ready before a reload counts as failed. Default 30 s.
    pub start_timeout: Duration,
    /// How many reloads a worker may outlive before it is ended. Default 50.
    pub max_reloads: u32,
    /// The master's control socket; `None`: there is none.
    pub control_socket: Option<PathBuf>,
    /// `pidfile`, written by the master when no wrapper does it.
    pub pidfile: Option<PathBuf>,
    /// The name of this node in logs and statistics; `None`: the host's name.
    pub node: Option<String>,
    /// Free text for statistics.
    pub description: Option<String>,
    /// The host name in syslog lines, set by `log_send_hostname`. `None` leaves the field as RFC 3164
    /// daemons expect it from local senders (absent); in RFC 5424 it is `-` then.
    pub log_hostname: Option<String>,
    /// The tag of log lines, `portolan` by default.
    pub log_tag: String,
    /// Slots × addresses above which one shared socket serves all slots of an address.
    pub listener_sockets_max: u32,
}

impl Default for Process {
    /// What holds where the configuration says nothing; one worker.
    fn default() -> Self {
        Self {
            workers: 1,
            user: None,
            group: None,
            groups: Vec::new(),
            chroot: None,
            maxconn: None,
            connections_per_second: None,
            sessions_per_second: None,
            external_check: false,
            spread_checks: 0,
            descriptor_limit: None,
            core_dumps: false,
            sandbox: SandboxMode::On,
            strict_connect: false,
            hard_stop_after: None,
            grace: Duration::ZERO,
            close_spread: CloseSpread::default(),
            heartbeat_timeout: Duration::from_secs(2),
            start_timeout: Duration::from_secs(30),
            max_reloads: 50,
            control_socket: None,
            pidfile: None,
            node: None,
            description: None,
            log_hostname: None,
            log_tag: "portolan".to_owned(),
            listener_sockets_max: LISTENER_SOCKETS_DEFAULT,
        }
    }
}

/// How much a process insists on its sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxMode {
    /// Every layer that the kernel has; one that it refuses is told by its name.
    #[default]
    On,
    /// The same, and a layer that is refused is fatal.
    Require,
    /// Limits, root directory, groups, user and `no_new_privs` only; for debuggers and profilers.
    Off,
}

/// What a soft-stop does with clients that may send another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseSpread {
    /// Their connections end within this time; zero: at once.
    Within(Duration),
    /// Nothing: they leave by themselves, or by their timeouts.
    Infinite,
}

impl Default for CloseSpread {
    fn default() -> Self {
        Self::Within(Duration::ZERO)
    }
}

/// A user or group as written and as resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// As written (a name, or digits).
    pub name: String,
    /// The number it stands for.
    pub id: u32,
}

/// Sizes and budgets; defaults are HAProxy's where HAProxy has the setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tune {
    /// Bytes of one buffer. Default 16384, 1024 to 1 MiB.
    pub buffer_size: u32,
    /// Most buffers one worker keeps in use at once; 0: as many as the connections need.
    pub buffer_limit: u32,
    /// Connections accepted in a row from one listener. Default 64; 0: without bound.
    pub maxaccept: u32,
    /// Events taken from the kernel at once. Default 200.
    pub maxpollevents: u32,
    /// Tasks run per cycle. Default 200.
    pub runqueue_depth: u32,
    /// Pollers that may not be used (`noepoll`, `nopolling`, `nopoll`, `noselect`, or -de -dk -dp -ds).
    pub disabled_pollers: Vec<String>,
    /// Pipes for splicing over all workers; 0 turns splicing off; `None`: maxconn / 4.
    pub maxpipes: Option<u32>,
    /// SO_SNDBUF and SO_RCVBUF of each side, bytes; `None`: the system's.
    pub client_sndbuf: Option<u32>,
    /// See `client_sndbuf`.
    pub client_rcvbuf: Option<u32>,
    /// See `client_sndbuf`.
    pub server_sndbuf: Option<u32>,
    /// See `client_sndbuf`.
    pub server_rcvbuf: Option<u32>,
    /// Bytes of a buffer that stay free for what is added to a message. Default 1024 or, with small
    /// buffers, half of one; a head is at most `buffer_size` − `maxrewrite` bytes long.
    pub maxrewrite: u32,
    /// Most fields of a head. Default 101, 1 to 32767.
    pub http_maxhdr: u32,
    /// Most bytes of a request's target; 0: as many as a head may have.
    pub http_target_max: u32,
    /// Most bytes of a field's name; 0: as many as a head may have.
    pub http_name_max: u32,
    /// Most bytes of a field's value; 0: as many as a head may have.
    pub http_value_max: u32,
    /// Most bytes of a captured cookie. Default 63.
    pub http_cookielen: u32,
    /// Most bytes of a target in the log. Default 1024.
    pub http_logurilen: u32,
}

impl Default for Tune {
    fn default() -> Self {
        Self {
            buffer_size: 16_384,
            buffer_limit: 0,
            maxaccept: 64,
            maxpollevents: 200,
            runqueue_depth: 200,
            disabled_pollers: Vec::new(),
            maxpipes: None,
            client_sndbuf: None,
            client_rcvbuf: None,
            server_sndbuf: None,
            server_rcvbuf: None,
            maxrewrite: 1024,
            http_maxhdr: 101,
            http_target_max: 0,
            http_name_max: 0,
            http_value_max: 0,
            http_cookielen: 63,
            http_logurilen: 1024,
        }
    }
}
