//! What frontends, backends, `listen` sections and their defaults may say; core.
//!
//! One draft serves all of them: a section starts from a copy of its defaults' draft and overwrites what
//! it says itself, key by key; a list replaces an inherited list.

mod auth;
mod balance;
mod gate;
mod http;
mod keys;
mod limits;
mod lines;
mod redirect;
mod response;
mod routes;
mod timeout;

use portolan_shared::model::{
    Keepalive, LogOptions, LogTarget, Mode, Priority, Redispatch, Source, SpliceOptions, Timeouts,
};

use super::diagnostic::Place;
use super::{bind, checks, server};

pub use auth::{AUTH, Auth};
pub use balance::{Balancing, HASH_TYPE, TABLE as BALANCE};
pub use gate::{Gate, REFUSAL};
pub use http::{
    CAPTURE, CAPTURE_COOKIE, CAPTURE_FIELD, COOKIE, ERRORFILES, FORWARDED, FORWARDFOR, HTTP_ERRORS,
    Http, read_set,
};
pub use keys::PROXY;
pub use lines::{Lines, refuse_two_lines};
pub use redirect::REDIRECT;
pub use response::RETURN;
pub use routes::{ROUTE, To};
pub use timeout::TIMEOUT;

/// A section while it is read.
#[derive(Clone, Debug)]
pub struct Draft {
    /// As in the model.
    pub mode: Mode,
    /// Facing clients.
    pub binds: Vec<bind::Placed>,
    /// As in the model.
    pub maxconn: Option<u32>,
    /// For binds without their own.
    pub backlog: Option<u32>,
    /// By name, resolved when all sections are known.
    pub default_backend: Option<(String, Place)>,
    /// Of both sides.
    pub timeouts: Timeouts,
    /// Towards clients.
    pub client_keepalive: Keepalive,
    /// Towards servers.
    pub server_keepalive: Keepalive,
    /// As in the model.
    pub nolinger: bool,
    /// As in the model.
    pub splice: SpliceOptions,
    /// As in the model.
    pub log_options: LogOptions,
    /// Before `global` is replaced.
    pub logs: Vec<Log>,
    /// As in the model.
    pub log_tag: Option<String>,
    /// As in the model.
    pub sessions_per_second: Option<u32>,
    /// As in the model.
    pub priority: Priority,
    /// How servers are chosen.
    pub balancing: Balancing,
    /// As in the model.
    pub retries: u32,
    /// As in the model.
    pub redispatch: Redispatch,
    /// As in the model.
    pub source: Option<Source>,
    /// What servers of this section start from.
    pub server_defaults: server::Defaults,
    /// In order.
    pub servers: Vec<server::Placed>,
    /// What a check of them does.
    pub check: checks::Placed,
    /// Of mode http.
    pub http: Http,
    /// How requests are logged and numbered.
    pub lines: Lines,
    /// What becomes of them before a server is asked.
    pub gate: Gate,
}

/// One item of a proxy's `log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    /// `"global"`: the targets of `[global]`.
    Global,
    /// Its own.
    Target(LogTarget),
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            mode: Mode::Tcp,
            binds: Vec::new(),
            maxconn: None,
            backlog: None,
            default_backend: None,
            timeouts: Timeouts::default(),
            client_keepalive: Keepalive::default(),
            server_keepalive: Keepalive::default(),
            nolinger: false,
            splice: SpliceOptions::default(),
            log_options: LogOptions::default(),
            logs: Vec::new(),
            log_tag: None,
            sessions_per_second: None,
            priority: Priority::default(),
            balancing: Balancing::default(),
            retries: 3,
            redispatch: Redispatch::Off,
            source: None,
            server_defaults: server::Defaults::default(),
            servers: Vec::new(),
            check: checks::Placed::default(),
            http: Http::default(),
            lines: Lines::default(),
            gate: Gate::default(),
        }
    }
}
