//! Log lines as configured: HAProxy's `log-format` (its manual, section 8.2.6), parsed.

use serde::{Deserialize, Serialize};

/// Text and variables in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTemplate {
    /// The parts.
    pub items: Vec<LogItem>,
}

/// One part of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogItem {
    /// As it is.
    Text(String),
    /// What is known of the stream.
    Variable {
        /// What.
        variable: LogVariable,
        /// How it is written.
        style: LogStyle,
    },
}

/// How a variable is written: HAProxy's flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStyle {
    /// `Q`: in double quotes.
    pub quoted: bool,
    /// `X`: numbers and addresses in hexadecimal.
    pub hex: bool,
    /// `E`: quotes, backslashes and brackets escaped with a backslash.
    pub escaped: bool,
}

/// What a variable stands for; the two letters are HAProxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogVariable {
    /// `B`: bytes from server to client.
    BytesOut,
    /// `CC`: captured cookie of the request.
    RequestCookie,
    /// `CS`: captured cookie of the response.
    ResponseCookie,
    /// `H`: host name.
    HostName,
    /// `HM`: method.
    Method,
    /// `HP`: path.
    Path,
    /// `HPO`: path without an authority before it.
    PathOnly,
    /// `HQ`: query with its `?`.
    Query,
    /// `HU`: target.
    Target,
    /// `HV`: version.
    Version,
    /// `ID`: unique id.
    UniqueId,
    /// `ST`: status.
    Status,
    /// `T`: GMT date and time.
    DateGmt,
    /// `Ta`: active time of the request.
    TimeActive,
    /// `Tc`: connecting.
    TimeConnect,
    /// `Td`: content of the response.
    TimeData,
    /// `Th`: before the request began (handshakes).
    TimeHandshake,
    /// `Ti`: idle before the request.
    TimeIdle,
    /// `Tl`: local date and time.
    DateLocal,
    /// `TR`: receiving the request.
    TimeRequest,
    /// `Tq`: `Th` + `Ti` + `TR`.
    TimeQueueOld,
    /// `Tr`: until the response's head.
    TimeResponse,
    /// `Tt`: total since accept.
    TimeTotal,
    /// `Tu`: total since the request's first byte, idle time left out.
    TimeUser,
    /// `Tw`: in queues.
    TimeWait,
    /// `Ts`: seconds since 1970.
    Timestamp,
    /// `U`: bytes from client to server.
    BytesIn,
    /// `ac`: connections of the instance.
    ConnectionsAll,
    /// `b`: backend.
    Backend,
    /// `bc`: streams of the backend.
    ConnectionsBackend,
    /// `bi`: source address of the server's connection.
    SourceIp,
    /// `bp`: its port.
    SourcePort,
    /// `bq`: position in the backend's queue.
    BackendQueue,
    /// `ci`: client's address.
    ClientIp,
    /// `cp`: its port.
    ClientPort,
    /// `f`: frontend.
    Frontend,
    /// `fc`: connections of the frontend.
    ConnectionsFrontend,
    /// `fi`: the address the client connected to.
    FrontendIp,
    /// `fp`: its port.
    FrontendPort,
    /// `ft`: frontend, with `~` on TLS.
    FrontendTransport,
    /// `hr`: captured fields of the request, `{a|b}`.
    RequestFields,
    /// `hrl`: the same, each apart.
    RequestFieldList,
    /// `hs`: captured fields of the response.
    ResponseFields,
    /// `hsl`: the same, each apart.
    ResponseFieldList,
    /// `lc`: number of the line in this frontend.
    LogCounter,
    /// `ms`: milliseconds of the accept date.
    Milliseconds,
    /// `pid`: of the worker.
    Pid,
    /// `r`: the request line.
    RequestLine,
    /// `rc`: retries.
    Retries,
    /// `rt`: number of the request in this worker.
    RequestCounter,
    /// `s`: server.
    Server,
    /// `sc`: streams of the server.
    ConnectionsServer,
    /// `si`: server's address.
    ServerIp,
    /// `sp`: its port.
    ServerPort,
    /// `sq`: position in the server's queue.
    ServerQueue,
    /// `sslc`: cipher; `-` without TLS.
    TlsCipher,
    /// `sslv`: version of TLS; `-` without it.
    TlsVersion,
    /// `t`: accept date with milliseconds.
    AcceptDate,
    /// `tr`: date of the request's first byte.
    RequestDate,
    /// `trg`: the same in GMT.
    RequestDateGmt,
    /// `trl`: the same in local time.
    RequestDateLocal,
    /// `ts`: termination state.
    Termination,
    /// `tsc`: the same with the cookies' two letters.
    TerminationCookies,
}
