//! Where a check's connection goes, where it comes from, and what is sent before all else.
//!
//! Shell (asks a socket for its ends).
//!
//! - A check goes to `addr` and `port` of the server line where they are given, else to the server's
//!   own; a script's `connect` overrides both.
//! - It comes from the server's or the backend's `source`. Of a range of ports only the address is
//!   taken: the workers have divided the ports among themselves. There is no client whose address
//!   could be shown.
//! - A version 1 header tells the connection's own ends, version 2 says LOCAL.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use portolan_shared::model::{
    Agent, Backend, CheckConnect, CheckKind, CheckValue, Probe, ProxyProtocolVersion, Server,
    ServerAddress, SourceAddress, StepAction, Tune,
};
use rustix::net::{getpeername, getsockname};

use crate::check::{Destination, Header};
use crate::protocol::{ConnectOptions, Target};
use crate::proxy_protocol::Addresses;
use crate::proxy_protocol::encode::{self, Extras};

/// What decides where a watch's connections go.
#[derive(Clone, Copy, Debug)]
pub enum Aim<'a> {
    /// A check's.
    Check(&'a Probe),
    /// An agent's.
    Agent(&'a Agent),
}

/// Where to, or `None` where nobody knows the port or the address.
pub fn target<'a>(
    server: &'a Server,
    aim: Aim<'_>,
    destination: Destination,
) -> Option<Target<'a>> {
    let (address, port) = match aim {
        Aim::Check(probe) => (probe.address, probe.port),
        Aim::Agent(agent) => (agent.address, Some(agent.port)),
    };
    let address = destination.address.or(address);
    let port = destination.port.or(port);
    let (own, own_port) = match &server.address {
        ServerAddress::Tcp(own) => (Some(own.ip()), Some(own.port())),
        ServerAddress::TcpClientPort { ip, .. } => (Some(*ip), None),
        ServerAddress::Unix(path) if address.is_none() && matches!(aim, Aim::Check(_)) => {
            return Some(Target::Unix(path));
        }
        ServerAddress::Unix(_) | ServerAddress::Unresolved { .. } => (None, None),
    };
    Some(Target::Ip(SocketAddr::new(address.or(own)?, port.or(own_port)?)))
}

/// How the socket is set up. `quiet`: see [`ConnectOptions::quiet`].
pub fn options<'a>(
    server: &'a Server,
    backend: &'a Backend,
    tune: &Tune,
    target: Target<'_>,
    quiet: bool,
) -> ConnectOptions<'a> {
    let source = server.source.as_ref().or(backend.source.as_ref());
    let from = source.and_then(|source| match source.address {
        SourceAddress::Fixed(address) => Some(address),
        SourceAddress::Ports { ip, .. } => Some(SocketAddr::new(ip, 0)),
        SourceAddress::ClientIp | SourceAddress::Client | SourceAddress::Any => None,
    });
    // A check may go to an address of the other family than the server's.
    let same =
        |from: &SocketAddr| matches!(target, Target::Ip(to) if to.is_ipv4() == from.is_ipv4());
    ConnectOptions {
        source: from.filter(same),
        interface: source.and_then(|source| source.interface.as_deref()),
        mss: server.mss,
        sndbuf: tune.server_sndbuf,
        rcvbuf: tune.server_rcvbuf,
        quiet,
        ..ConnectOptions::default()
    }
}

/// The version of the header that goes first, if one does. An agent is never sent one.
pub fn header(server: &Server, aim: Aim<'_>, header: Header) -> Option<ProxyProtocolVersion> {
    let Aim::Check(probe) = aim else { return None };
    match header {
        Header::None => None,
        Header::AsConfigured => probe.send_proxy,
        Header::Always => {
            let own = server.send_proxy.as_ref().map(|own| own.version);
            Some(probe.send_proxy.or(own).unwrap_or(ProxyProtocolVersion::V1))
        }
    }
}

/// That header, for this connection of our own.
pub fn write_header(socket: BorrowedFd<'_>, version: ProxyProtocolVersion) -> Vec<u8> {
    let mut out = Vec::new();
    match version {
        ProxyProtocolVersion::V1 => {
            let end = |end: rustix::net::SocketAddrAny| SocketAddr::try_from(end).ok();
            let source = getsockname(socket).ok().and_then(end);
            let destination = getpeername(socket).ok().flatten().and_then(end);
            let ends = (source, destination);
            let addresses = match ends {
                (Some(source), Some(destination)) => Some(Addresses::Inet { source, destination }),
                _ => None,
            };
            encode::v1(&mut out, addresses);
        }
        // Nothing in it is too long.
        ProxyProtocolVersion::V2 => drop(encode::v2(&mut out, None, &Extras::default())),
    }
    out
}

/// A check that is a connection and nothing more: all that is said of it is RST.
pub fn is_plain(kind: &CheckKind, probe: &Probe) -> bool {
    match kind {
        CheckKind::Tcp(steps) => match steps.as_slice() {
            [] => probe.send_proxy.is_none(),
            [only] => matches!(
                &only.action,
                StepAction::Connect(CheckConnect { send_proxy: false, linger: false, default, .. })
                    if !default || probe.send_proxy.is_none()
            ),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a check can be made at all: it needs a port.
pub fn has_port(server: &Server, kind: &CheckKind, probe: &Probe) -> bool {
    let first = match kind {
        CheckKind::Tcp(steps) | CheckKind::Http(steps) => {
            steps.iter().find_map(|step| match &step.action {
                StepAction::Connect(connect) => Some(connect),
                _ => None,
            })
        }
        CheckKind::External { .. } => return true,
        _ => None,
    };
    let port = first.and_then(|connect| match &connect.port {
        Some(CheckValue::Number(port)) => u16::try_from(*port).ok(),
        // Known when it comes to it.
        Some(_) => Some(1),
        None => None,
    });
    let address = first.and_then(|connect| connect.address);
    let destination = Destination { address, port, ..Destination::default() };
    target(server, Aim::Check(probe), destination).is_some()
}
