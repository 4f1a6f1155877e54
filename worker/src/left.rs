//! What a configuration leaves a worker and the checker with: no more than its servers and checks need.
//!
//! Core.

use std::ops::RangeInclusive;

use portolan_shared::model::{Config, ServerAddress, Source, SourceAddress};
use portolan_shared::sandbox::capabilities::Capability;
use portolan_shared::sandbox::landlock::{Files, Ports, Rules};
use portolan_shared::sandbox::ports;
use portolan_shared::sandbox::worker::Needs;

use crate::privileges::Left;
use crate::stream::share;

/// Below this a port is bound by CAP_NET_BIND_SERVICE only.
const UNPRIVILEGED_PORTS: u16 = 1024;

/// A worker in this slot of so many.
pub fn worker(config: &Config, slot: u16, slots: u16) -> Left {
    let own = |range: RangeInclusive<u16>| share(range, slot, slots);
    let transparent =
        |source: &Source| matches!(source.address, SourceAddress::Client | SourceAddress::ClientIp);
    let transparent = ports::sources(config).any(transparent);
    let bind = ports::of_sources(config, own);
    of(config, bind, transparent, ports::of_servers(config))
}

/// The checker, which has no client whose address it could show.
pub fn checker(config: &Config) -> Left {
    of(config, ports::of_sources_of_checks(config), false, ports::of_checks(config))
}

fn of(config: &Config, bind: Ports, transparent: bool, connect: Ports) -> Left {
    let interface = ports::sources(config).any(|source| source.interface.is_some());
    let servers = config.backends.iter().flat_map(|backend| &backend.servers);
    let privileged = match &bind {
        Ports::These(ports) => ports.iter().any(|port| (1..UNPRIVILEGED_PORTS).contains(port)),
        Ports::Any | Ports::None => false,
    };
    let capabilities = [
        (transparent || interface, Capability::NET_RAW),
        (privileged, Capability::NET_BIND_SERVICE),
    ];
    Left {
        needs: Needs {
            unix: servers.into_iter().any(|s| matches!(s.address, ServerAddress::Unix(_))),
            bind: bind != Ports::None,
            transparent,
            interface,
            strict_connect: config.process.strict_connect,
        },
        capabilities: capabilities.into_iter().filter(|(is, _)| *is).map(|(_, one)| one).collect(),
        rules: Rules {
            files: Files::None,
            bind,
            connect: if config.process.strict_connect { connect } else { Ports::Any },
        },
    }
}
