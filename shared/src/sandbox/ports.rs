//! Which ports a configuration connects to and from.
//!
//! Core.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::landlock::Ports;
use crate::model::{
    Backend, CheckKind, CheckValue, Config, Server, ServerAddress, Source, SourceAddress,
    StepAction,
};

/// Ports of servers, which workers connect to under `strict_connect`.
pub fn of_servers(config: &Config) -> Ports {
    let ports = servers(config).filter_map(|(_, server)| own(server));
    these(ports.collect())
}

/// Ports that checks and agents connect to.
pub fn of_checks(config: &Config) -> Ports {
    let mut ports = BTreeSet::new();
    for (backend, server) in servers(config) {
        if let Some(probe) = &server.health.check {
            ports.extend(probe.port.or(own(server)));
            ports.extend(of_script(&backend.check.kind));
        }
        ports.extend(server.health.agent.as_ref().map(|agent| agent.port));
    }
    these(ports)
}

/// Ports that connections come from: 0, of the kernel's choice, and those that a `source` names.
///
/// `share` is this process's part of a range.
pub fn of_sources(
    config: &Config,
    share: impl Fn(RangeInclusive<u16>) -> RangeInclusive<u16>,
) -> Ports {
    let mut ports = BTreeSet::new();
    for source in sources(config) {
        match source.address {
            SourceAddress::Fixed(address) => drop(ports.insert(address.port())),
            SourceAddress::Ports { first, last, .. } => ports.extend(share(first..=last)),
            SourceAddress::ClientIp => drop(ports.insert(0)),
            // Whichever a client has.
            SourceAddress::Client => return Ports::Any,
            SourceAddress::Any => {}
        }
    }
    these(ports)
}

/// The same for checks, which have no client and take no port out of a range.
pub fn of_sources_of_checks(config: &Config) -> Ports {
    let ports = sources(config).filter_map(|source| match source.address {
        SourceAddress::Fixed(address) => Some(address.port()),
        SourceAddress::Ports { .. } => Some(0),
        SourceAddress::ClientIp | SourceAddress::Client | SourceAddress::Any => None,
    });
    these(ports.collect())
}

/// What every `source` says.
pub fn sources(config: &Config) -> impl Iterator<Item = &Source> {
    servers(config)
        .filter_map(|(backend, server)| server.source.as_ref().or(backend.source.as_ref()))
}

fn servers(config: &Config) -> impl Iterator<Item = (&Backend, &Server)> {
    config.backends.iter().flat_map(|backend| backend.servers.iter().map(move |s| (backend, s)))
}

fn own(server: &Server) -> Option<u16> {
    match server.address {
        ServerAddress::Tcp(address) => Some(address.port()),
        _ => None,
    }
}

/// Ports that a script names itself.
fn of_script(kind: &CheckKind) -> Vec<u16> {
    let (CheckKind::Tcp(steps) | CheckKind::Http(steps)) = kind else { return Vec::new() };
    let named = steps.iter().filter_map(|step| match &step.action {
        StepAction::Connect(connect) => match connect.port {
            Some(CheckValue::Number(port)) => u16::try_from(port).ok(),
            _ => None,
        },
        _ => None,
    });
    named.collect()
}

fn these(ports: BTreeSet<u16>) -> Ports {
    if ports.is_empty() { Ports::None } else { Ports::These(ports.into_iter().collect()) }
}
