//! What `strict_connect` asks of a whole configuration: every port that is connected to is known; core.

use portolan_shared::model::{
    CheckKind, CheckValue, Process, SandboxMode, Server, ServerAddress, StepAction,
};

use super::{Kind, Proxy};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::reading::Reading;
use crate::config::server;

/// Landlock's version that has rules for TCP ports.
const LANDLOCK_WITH_PORTS: u32 = 4;

/// Refuses what cannot be kept; `asked` is where it was asked for.
pub fn check(process: &Process, asked: &Place, proxies: &[Proxy], reading: &mut Reading<'_>) {
    if process.sandbox == SandboxMode::Off {
        let message = "`strict_connect` is kept by the sandbox, which is off";
        reading.error(asked.clone(), message);
    }
    let version = reading.landlock;
    if version < LANDLOCK_WITH_PORTS {
        let has = match version {
            0 => "which this kernel has not, or not turned on".to_owned(),
            version => format!("and this kernel has version {version}"),
        };
        reading.report(
            Diagnostic::error(
                asked.clone(),
                format!("`strict_connect` needs Landlock's version {LANDLOCK_WITH_PORTS}, {has}"),
            )
            .help("Linux 6.7 and later have it, where `landlock` is among the `lsm=` that boot"),
        );
    }
    for proxy in proxies.iter().filter(|proxy| proxy.kind != Kind::Frontend) {
        for placed in &proxy.draft.servers {
            check_server(proxy, placed, asked, reading);
        }
    }
}

fn check_server(proxy: &Proxy, placed: &server::Placed, asked: &Place, reading: &mut Reading<'_>) {
    let server::Placed { server, open, place, .. } = placed;
    let refuse = |place: &Place, whose: String| {
        Diagnostic::error(place.clone(), format!("the port {whose} is not known in advance"))
            .other(asked.clone(), "which is asked for here")
    };
    if !has_fixed_port(server) {
        let whose = format!("of server `{}` is the client's: it", server.name);
        reading.report(refuse(place, whose).help("write its address with a port"));
    }
    if server.health.check.is_some() && !has_fixed_steps(&proxy.draft.check.check.kind) {
        let whose = format!("of a `connect` in the check of server `{}`", server.name);
        reading.report(refuse(&open.at, whose).help("write it as a number"));
    }
}

fn has_fixed_port(server: &Server) -> bool {
    match server.address {
        // A UNIX socket has none, and who has no address is never used.
        ServerAddress::Tcp(_) | ServerAddress::Unix(_) | ServerAddress::Unresolved { .. } => true,
        ServerAddress::TcpClientPort { .. } => false,
    }
}

fn has_fixed_steps(kind: &CheckKind) -> bool {
    let (CheckKind::Tcp(steps) | CheckKind::Http(steps)) = kind else { return true };
    steps.iter().all(|step| match &step.action {
        StepAction::Connect(connect) => {
            matches!(connect.port, None | Some(CheckValue::Number(_)))
        }
        _ => true,
    })
}
