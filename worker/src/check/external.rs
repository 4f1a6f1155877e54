//! What a command that checks a server is given, and what its end means.
//!
//! Core. Arguments and environment are those that HAProxy gives in a backend, which has no address of
//! its own. Nothing else is in the environment.

use portolan_shared::check_result::CheckResult;
use portolan_shared::message::runner::CommandEnd;
use portolan_shared::model::{Backend, Mode, Server, ServerAddress};

use super::Outcome;

/// Stands for what there is none of.
const NOT_USED: &str = "NOT_USED";

/// The arguments behind the command's own name: address and port of the proxy, address and port of the
/// server.
pub fn arguments(server: &Server) -> [String; 4] {
    let (address, port) = place(server);
    [NOT_USED.to_owned(), NOT_USED.to_owned(), address, port]
}

/// The whole environment. `backend_id` is the backend's number, `path` the PATH, `connections` the
/// server's.
pub fn environment(
    backend: &Backend,
    backend_id: u32,
    server: &Server,
    path: &str,
    connections: u32,
) -> Vec<(&'static str, String)> {
    let (address, port) = place(server);
    let protocol = if backend.mode == Mode::Http { "h1" } else { "tcp" };
    vec![
        ("PATH", path.to_owned()),
        ("HAPROXY_PROXY_NAME", backend.name.clone()),
        ("HAPROXY_PROXY_ID", backend_id.to_string()),
        ("HAPROXY_PROXY_ADDR", String::new()),
        ("HAPROXY_PROXY_PORT", String::new()),
        ("HAPROXY_SERVER_NAME", server.name.clone()),
        ("HAPROXY_SERVER_ID", server.id.to_string()),
        ("HAPROXY_SERVER_ADDR", address),
        ("HAPROXY_SERVER_PORT", port),
        ("HAPROXY_SERVER_MAXCONN", server.maxconn.unwrap_or(0).to_string()),
        ("HAPROXY_SERVER_CURCONN", connections.to_string()),
        ("HAPROXY_SERVER_SSL", "0".to_owned()),
        ("HAPROXY_SERVER_PROTO", protocol.to_owned()),
    ]
}

/// Address and port, as text. A server on the client's port has none of its own.
fn place(server: &Server) -> (String, String) {
    match &server.address {
        ServerAddress::Tcp(address) => (address.ip().to_string(), address.port().to_string()),
        ServerAddress::TcpClientPort { ip, .. } => (ip.to_string(), "0".to_owned()),
        ServerAddress::Unix(path) => (path.display().to_string(), NOT_USED.to_owned()),
        ServerAddress::Unresolved { .. } => (String::new(), "0".to_owned()),
    }
}

/// What a command's end says of the server.
pub fn outcome(end: &CommandEnd) -> Outcome {
    match end {
        CommandEnd::Exited(0) => Outcome::of(CheckResult::ProcOk),
        CommandEnd::Exited(status) => Outcome {
            code: u16::try_from(*status).unwrap_or(u16::MAX),
            ..Outcome::of(CheckResult::ProcErr)
        },
        CommandEnd::Killed(signal) => {
            Outcome::with(CheckResult::ProcErr, format!("ended by signal {signal}"))
        }
        CommandEnd::TimedOut => Outcome::of(CheckResult::ProcTout),
        CommandEnd::NotStarted { reason } => Outcome::with(CheckResult::ProcErr, reason),
    }
}
