//! How servers are watched.
//!
//! - What a check does is said by the backend ([`Check`]); that a server is checked, how often and
//!   with which consequences by the server ([`Health`]).

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BackendId, ProxyProtocolVersion, ServerId};

/// What a backend's checks do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is said and expected.
    pub kind: CheckKind,
    /// `log_health_checks`: every change of a check's result is logged, not only those of states.
    pub log: bool,
    /// `http-check disable-on-404`: a server that answers 404 gets no new clients, but keeps its own.
    pub disable_on_404: bool,
    /// `http-check send-state`: the request tells the server's state (`X-Haproxy-Server-State`).
    pub send_state: bool,
}

/// What is said and expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CheckKind {
    /// Bytes; without a step a connection is all. `option tcp-check`.
    ///
    /// A script that begins with neither `Connect` nor steps about variables and comments before one
    /// has a `Connect` with `default` before it, which is not counted as a step.
    Tcp(Vec<Step>),
    /// Requests and responses: from the reader, at least one `SendHttp`, and an `Expect` after the
    /// last one. `option httpchk`. The connection is opened as in `Tcp`.
    Http(Vec<Step>),
    /// A handshake with MySQL or MariaDB.
    Mysql {
        /// As whom; `None`: only the server's greeting is read.
        user: Option<String>,
        /// How that is said.
        client: MysqlClient,
    },
    /// A start message to PostgreSQL, answered by a request for authentication.
    Pgsql {
        /// As whom.
        user: String,
    },
    /// PING is answered by +PONG.
    Redis,
    /// A greeting and its answer.
    Smtp {
        /// The command and the name that is told: `HELO localhost`.
        hello: String,
    },
    /// An anonymous bind, LDAP version 3.
    Ldap,
    /// A hello of SSLv3 is answered by anything of TLS.
    SslHello,
    /// The exit status of a command.
    External {
        /// The command.
        command: PathBuf,
        /// Its PATH.
        path: String,
    },
}

/// As which client of MySQL a check introduces itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MysqlClient {
    /// One from before MySQL 4.1.
    Pre41,
    /// One since MySQL 4.1.
    #[default]
    Post41,
    /// One since MySQL 8.0: it names mysql_native_password as its way to authenticate.
    Post80,
}

impl Default for CheckKind {
    fn default() -> Self {
        Self::Tcp(Vec::new())
    }
}

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it does.
    pub action: StepAction,
    /// What is said of it when it fails.
    pub comment: Option<String>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StepAction {
    /// Opens a connection, after the end of the one before.
    Connect(CheckConnect),
    /// Sends bytes.
    Send(CheckText),
    /// Sends bytes, which the text spells as hexadecimal digits; a text without variables has an even
    /// number of them and nothing else.
    SendBinary(CheckText),
    /// Sends a request.
    SendHttp(CheckRequest),
    /// Waits for what has been sent back.
    Expect(Expect),
    /// Sets a variable.
    Set {
        /// Its name with its scope (`check.name`, `sess.name`); both live as long as the check.
        name: String,
        /// To this; one part alone is its value (`set-var`), several are one text (`set-var-fmt`).
        value: CheckText,
    },
    /// Forgets a variable.
    Unset {
        /// Its name.
        name: String,
    },
    /// Nothing; its comment stays with the steps after it.
    Comment,
}

/// Where a script connects to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckConnect {
    /// `None`: that of the check.
    pub address: Option<IpAddr>,
    /// `None`: that of the check.
    pub port: Option<CheckValue>,
    /// A PROXY header goes first, for a connection of our own.
    pub send_proxy: bool,
    /// The connection is ended properly instead of by RST.
    pub linger: bool,
    /// `default`: what the server line says of the check's connection holds (PROXY header).
    pub default: bool,
}

/// A request of a script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckRequest {
    /// The method.
    pub method: String,
    /// The target.
    pub uri: CheckText,
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub version: CheckHttpVersion,
    /// In order; Content-Length and `Connection: close` are added.
    pub fields: Vec<(String, CheckText)>,
    /// The content.
    pub body: CheckText,
}

/// A version of HTTP that checks speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckHttpVersion {
    /// HTTP/1.0.
    #[default]
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A text, maybe with variables in it; whoever puts it into a message looks at what they hold.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckText(pub Vec<CheckValue>);

impl fmt::Debug for CheckText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckText(")?;
        for (at, part) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " " })?;
            match part {
                CheckValue::Bytes(bytes) => write!(f, "\"{}\"", bytes.escape_ascii())?,
                part => write!(f, "{part:?}")?,
            }
        }
        f.write_str(")")
    }
}

impl CheckText {
    /// A text as it is.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![CheckValue::Bytes(bytes.into())])
    }
}

/// A value, or a part of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckValue {
    /// These bytes.
    Bytes(Vec<u8>),
    /// `int(…)`.
    Number(i64),
    /// `var(…)`.
    Variable(String),
    /// `srv_name`.
    ServerName,
    /// `srv_id`.
    ServerId,
    /// `be_name`.
    BackendName,
    /// `be_id`.
    BackendId,
    /// `hostname`: this node's.
    Hostname,
    /// `res.payload(offset,length)`: what has come since something was sent or the connection opened,
    /// or a part of it.
    Payload {
        /// From this byte on.
        offset: u32,
        /// So many, 0: all.
        length: u32,
    },
    /// `status` of the last response.
    Status,
    /// `res.hdr(name)` of the last response.
    ResponseField(String),
    /// `res.body` of the last response.
    ResponseBody,
}

/// What a script waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// What.
    pub matching: Matching,
    /// `!`: it must not be there.
    pub negated: bool,
    /// It is not looked for in fewer bytes; −1 in HAProxy is `None`: it is looked for at once.
    pub min_recv: Option<u32>,
    /// What a fulfilled expectation makes of the server: `L7OK`, `L7OKC`, `L6OK` or `L4OK`. Default
    /// `L7OK`.
    pub ok_status: ExpectStatus,
    /// What a failed one does: `L7OKC`, `L7RSP`, `L7STS`, `L6RSP` or `L4CON`. Default `L7RSP` (status
    /// codes and fields: `L7STS`).
    pub error_status: ExpectStatus,
    /// What it is when the time is over: `L7TOUT`, `L6TOUT` or `L4TOUT`. Default `L7TOUT`.
    pub timeout_status: ExpectStatus,
    /// What is said when it is fulfilled and the last.
    pub on_success: Option<CheckText>,
    /// What is said when it fails.
    pub on_error: Option<CheckText>,
    /// The code that is reported.
    pub status_code: Option<CheckValue>,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Matching {
    /// These bytes (`string`).
    Bytes(CheckText),
    /// Bytes that the text spells as hexadecimal digits (`binary`), as in [`StepAction::SendBinary`].
    Binary(CheckText),
    /// This regular expression on what came; like all of them in the syntax of the crate regex, and
    /// known to be valid as one on bytes (`rstring`).
    Regex(String),
    /// This regular expression on what came as upper-case hexadecimal digits (`rbinary`).
    HexRegex(String),
    /// One of these ranges of status codes, both ends included.
    Status(Vec<(u16, u16)>),
    /// This regular expression on the status code.
    StatusRegex(String),
    /// A field.
    Field {
        /// Its name.
        name: FieldMatch,
        /// Its value; `None`: any.
        value: Option<FieldMatch>,
        /// `fhdr`: the whole value, not each part of a list.
        full: bool,
    },
}

/// How a name or value of a field is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMatch {
    /// How.
    pub method: FieldMethod,
    /// With what.
    pub text: CheckText,
}

impl Eq for CheckText {}

/// How two texts are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldMethod {
    /// The same.
    #[default]
    Equal,
    /// Begins with it.
    Begins,
    /// Ends with it.
    Ends,
    /// Contains it.
    Contains,
    /// As a regular expression.
    Regex,
}

/// What an expectation may report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpectStatus {
    /// The kind's own.
    Default,
    /// Layer 7 is well.
    L7Ok,
    /// Well, but no new clients.
    L7OkCond,
    /// An invalid response.
    L7Rsp,
    /// A status that means an error.
    L7Sts,
    /// No response in time.
    L7Tout,
    /// The same of TLS or layer 6.
    L6Ok,
    /// See above.
    L6Rsp,
    /// See above.
    L6Tout,
    /// Layer 4 is well.
    L4Ok,
    /// No connection.
    L4Con,
    /// No connection in time.
    L4Tout,
}

/// Whether and how a server is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `check`: it is checked as its backend says.
    pub check: Option<Probe>,
    /// `agent_check`: an agent on it is asked.
    pub agent: Option<Agent>,
    /// `track`: its state is that of this server, which is checked (the end of a chain).
    pub track: Option<(BackendId, ServerId)>,
    /// Time between checks. Default 2 s.
    pub inter: Duration,
    /// The same while its state is about to change; `None`: `inter`.
    pub fastinter: Option<Duration>,
    /// The same while it is down; `None`: `inter`.
    pub downinter: Option<Duration>,
    /// Successes that make it up. Default 2.
    pub rise: u32,
    /// Failures that make it down. Default 3.
    pub fall: u32,
    /// What it is before the first check.
    pub init_state: InitState,
    /// Its traffic is watched.
    pub observe: Option<Observe>,
    /// So many errors in its traffic in a row have consequences. Default 10.
    pub error_limit: u32,
    /// Which.
    pub on_error: OnError,
    /// `on_marked_down = "shutdown-sessions"`.
    pub shutdown_sessions: bool,
    /// `on_marked_up = "shutdown-backup-sessions"`.
    pub shutdown_backup_sessions: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            check: None,
            agent: None,
            track: None,
            inter: Duration::from_secs(2),
            fastinter: None,
            downinter: None,
            rise: 2,
            fall: 3,
            init_state: InitState::Up,
            observe: None,
            error_limit: 10,
            on_error: OnError::FailCheck,
            shutdown_sessions: false,
            shutdown_backup_sessions: false,
        }
    }
}

impl Health {
    /// Whether the checker has something to do with it.
    pub fn is_watched(&self) -> bool {
        self.check.is_some() || self.agent.is_some()
    }
}

/// Where a check goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// `addr`; `None`: the server's.
    pub address: Option<IpAddr>,
    /// `port`; `None`: the server's.
    pub port: Option<u16>,
    /// `check_send_proxy` (or the server's own `send_proxy` where neither port nor addr is given).
    pub send_proxy: Option<ProxyProtocolVersion>,
}

/// An agent that tells how a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Where; `None`: the server's address.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Time between questions. Default 2 s.
    pub inter: Duration,
    /// What it is told.
    pub send: Vec<u8>,
}

/// What a server is before its first check (`init-state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitState {
    /// Up; one failure makes it down.
    #[default]
    Up,
    /// Up; `fall` failures make it down.
    FullyUp,
    /// Down; one success makes it up.
    Down,
    /// Down; `rise` successes make it up.
    FullyDown,
}

/// Whose errors count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observe {
    /// Connections that fail.
    Layer4,
    /// Those, and responses that are invalid or tell a server's error.
    Layer7,
}

/// What too many errors do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnError {
    /// The next check comes after `fastinter`.
    Fastinter,
    /// They count as one failed check.
    #[default]
    FailCheck,
    /// They count as all failed checks but one.
    SuddenDeath,
    /// The server is down.
    MarkDown,
}
