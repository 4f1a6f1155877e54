//! The variables of a format: HAProxy's names, where they mean something, and what; core.

use std::fmt::Write;

use portolan_shared::model::LogVariable as V;

/// One of them.
#[derive(Debug)]
pub struct Variable {
    /// Behind the `%`.
    pub name: &'static str,
    /// As in the model.
    pub stands_for: V,
    /// Whether only mode http has it.
    pub http: bool,
    /// For the manual page.
    doc: &'static str,
}

/// In both modes.
const fn any(name: &'static str, stands_for: V, doc: &'static str) -> Variable {
    Variable { name, stands_for, http: false, doc }
}

/// Only in mode http.
const fn http(name: &'static str, stands_for: V, doc: &'static str) -> Variable {
    Variable { name, stands_for, http: true, doc }
}

/// All of them, in the order of HAProxy's manual.
pub const VARIABLES: &[Variable] = &[
    any("B", V::BytesOut, "bytes from server to client"),
    http("CC", V::RequestCookie, "captured cookie of the request"),
    http("CS", V::ResponseCookie, "captured cookie of the response"),
    any("H", V::HostName, "host name"),
    http("HM", V::Method, "method"),
    http("HP", V::Path, "path, as it was asked for"),
    http("HPO", V::PathOnly, "path without a host before it"),
    http("HQ", V::Query, "query with its ?"),
    http("HU", V::Target, "target"),
    http("HV", V::Version, "version"),
    any("ID", V::UniqueId, "unique id"),
    any("ST", V::Status, "status"),
    any("T", V::DateGmt, "date of the accept in GMT"),
    http("Ta", V::TimeActive, "active time of the request, from its first byte"),
    any("Tc", V::TimeConnect, "time of connecting to the server"),
    any("Td", V::TimeData, "time of the response's content"),
    any("Th", V::TimeHandshake, "time before a request could begin"),
    http("Ti", V::TimeIdle, "idle time before the request"),
    any("Tl", V::DateLocal, "date of the accept in local time"),
    http("TR", V::TimeRequest, "time of receiving the request"),
    http("Tq", V::TimeQueueOld, "Th, Ti and TR together"),
    http("Tr", V::TimeResponse, "time until the response began"),
    any("Ts", V::Timestamp, "seconds of the accept since 1970"),
    any("Tt", V::TimeTotal, "time since the accept"),
    any("Tu", V::TimeUser, "time since the request's first byte, as its user sees it"),
    any("Tw", V::TimeWait, "time in queues"),
    any("U", V::BytesIn, "bytes from client to server"),
    any("ac", V::ConnectionsAll, "connections of all workers"),
    any("b", V::Backend, "backend"),
    any("bc", V::ConnectionsBackend, "streams of the backend"),
    any("bi", V::SourceIp, "our address towards the server"),
    any("bp", V::SourcePort, "our port towards the server"),
    any("bq", V::BackendQueue, "position in the backend's queue"),
    any("ci", V::ClientIp, "client's address"),
    any("cp", V::ClientPort, "client's port"),
    any("f", V::Frontend, "frontend"),
    any("fc", V::ConnectionsFrontend, "connections of the frontend"),
    any("fi", V::FrontendIp, "address the client connected to"),
    any("fp", V::FrontendPort, "port the client connected to"),
    any("ft", V::FrontendTransport, "frontend, with ~ behind it on TLS"),
    any("hr", V::RequestFields, "captured fields of the request"),
    any("hrl", V::RequestFieldList, "the same, each as an item of its own"),
    any("hs", V::ResponseFields, "captured fields of the response"),
    any("hsl", V::ResponseFieldList, "the same, each as an item of its own"),
    any("lc", V::LogCounter, "number of the line in its frontend"),
    any("ms", V::Milliseconds, "milliseconds of the accept"),
    any("pid", V::Pid, "process id of the worker"),
    http("r", V::RequestLine, "request line"),
    any("rc", V::Retries, "retries"),
    any("rt", V::RequestCounter, "number of the request"),
    any("s", V::Server, "server"),
    any("sc", V::ConnectionsServer, "streams of the server"),
    any("si", V::ServerIp, "server's address"),
    any("sp", V::ServerPort, "server's port"),
    any("sq", V::ServerQueue, "position in the server's queue"),
    any("sslc", V::TlsCipher, "cipher of TLS"),
    any("sslv", V::TlsVersion, "version of TLS"),
    any("t", V::AcceptDate, "date of the accept with milliseconds"),
    http("tr", V::RequestDate, "date of the request's first byte with milliseconds"),
    http("trg", V::RequestDateGmt, "the same in GMT"),
    http("trl", V::RequestDateLocal, "the same in local time"),
    any("ts", V::Termination, "how it ended, two letters"),
    http("tsc", V::TerminationCookies, "how it ended, with two letters about cookies"),
];

/// The variables as a list in mdoc.
pub fn document(out: &mut String) {
    out.push_str(".Bl -tag -width Ds -compact\n");
    for Variable { name, http, doc, .. } in VARIABLES {
        let mode = if *http { "; only in mode http" } else { "" };
        let _ = writeln!(out, ".It Li \\&%{name}\n{doc}{mode}");
    }
    out.push_str(".El\n");
}
