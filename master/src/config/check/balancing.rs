//! Whether the way servers are chosen fits its section; core.

use portolan_shared::model::{Balance, HashMethod, Mode};

use super::Proxy;
use crate::config::diagnostic::Diagnostic;
use crate::config::reading::Reading;
use crate::config::server::Placed;

/// A section with servers.
pub fn check(proxy: &mut Proxy, reading: &mut Reading<'_>) {
    check_mode(proxy, reading);
    warn_of_hashing(proxy, reading);
    let balancing = &proxy.draft.balancing;
    if let Some(place) = &balancing.said.fullconn
        && proxy.draft.servers.iter().all(|placed| placed.server.minconn.is_none())
    {
        reading.warn(place.clone(), "`fullconn` has no effect: no server has a `minconn`");
    }
    match balancing.balance {
        Balance::First => warn_of_first(proxy, reading),
        Balance::StaticRoundRobin => warn_of_slowstart(proxy, reading),
        _ if hashes(&balancing.balance) && balancing.hashing.method == HashMethod::MapBased => {
            warn_of_slowstart(proxy, reading);
        }
        _ => {}
    }
}

/// What a section inherits may be meant for others; as in HAProxy each has its turn then.
fn check_mode(proxy: &mut Proxy, reading: &mut Reading<'_>) {
    let draft = &mut proxy.draft;
    let balance = &draft.balancing.balance;
    let (mode, other) = match (draft.mode, balance) {
        (Mode::Tcp, Balance::Uri(_) | Balance::UrlParam { .. } | Balance::Header { .. }) => {
            ("tcp", "http")
        }
        (Mode::Http, Balance::RdpCookie { .. }) => ("http", "tcp"),
        _ => return,
    };
    let message = format!("balance \"{}\" has no meaning in mode {mode}", name(balance));
    match &draft.balancing.said.balance {
        // In mode tcp it was refused with the other keys of mode http.
        Some(_) if mode == "tcp" => {}
        Some(place) => {
            let help = format!("mode = \"{other}\" has it");
            reading.report(Diagnostic::error(place.clone(), message).help(help));
        }
        None => {
            let message = format!("{message}: the servers of `{}` are used in turn", proxy.name);
            reading.warn(proxy.place.clone(), message);
        }
    }
    draft.balancing.balance = Balance::RoundRobin;
}

fn warn_of_hashing(proxy: &Proxy, reading: &mut Reading<'_>) {
    let balancing = &proxy.draft.balancing;
    let (balance, consistent) =
        (&balancing.balance, balancing.hashing.method == HashMethod::Consistent);
    for (key, place) in &balancing.said.hashing {
        let factor = *key == "hash_balance_factor";
        let message = match balance {
            Balance::Random { .. } if factor => continue,
            balance if !hashes(balance) => {
                format!("`{key}` has no effect: balance \"{}\" hashes nothing", name(balance))
            }
            _ if *key != "hash_type" && !consistent => {
                format!("`{key}` has no effect without a consistent `hash_type`")
            }
            _ => continue,
        };
        reading.warn(place.clone(), message);
    }
}

/// Who is never full is never left for the next one.
fn warn_of_first(proxy: &Proxy, reading: &mut Reading<'_>) {
    let servers = proxy.draft.servers.iter();
    let mut used: Vec<&Placed> = servers.filter(|placed| !placed.server.backup).collect();
    used.sort_by_key(|placed| placed.server.id);
    used.pop();
    if let Some(Placed { server, place, .. }) =
        used.into_iter().find(|placed| placed.server.maxconn.is_none())
    {
        let message = format!(
            "balance \"first\" never gets beyond server `{}`: it has no `maxconn`",
            server.name
        );
        reading.warn(place.clone(), message);
    }
}

/// Weights that do not change do not grow.
fn warn_of_slowstart(proxy: &Proxy, reading: &mut Reading<'_>) {
    let name = name(&proxy.draft.balancing.balance);
    for Placed { server, place, .. } in &proxy.draft.servers {
        if server.slowstart.is_some() {
            let effect =
                if server.maxconn.is_some() { "only limits connections" } else { "has no effect" };
            let message = format!(
                "the `slowstart` of server `{}` {effect}: with balance \"{name}\" weights do not change",
                server.name
            );
            reading.warn(place.clone(), message);
        }
    }
}

/// Whether a server is found by a hash.
fn hashes(balance: &Balance) -> bool {
    match balance {
        Balance::RoundRobin
        | Balance::StaticRoundRobin
        | Balance::LeastConnections
        | Balance::First
        | Balance::Random { .. } => false,
        Balance::Source
        | Balance::Uri(_)
        | Balance::UrlParam { .. }
        | Balance::Header { .. }
        | Balance::RdpCookie { .. } => true,
    }
}

fn name(balance: &Balance) -> &'static str {
    match balance {
        Balance::RoundRobin => "roundrobin",
        Balance::StaticRoundRobin => "static-rr",
        Balance::LeastConnections => "leastconn",
        Balance::First => "first",
        Balance::Random { .. } => "random",
        Balance::Source => "source",
        Balance::Uri(_) => "uri",
        Balance::UrlParam { .. } => "url_param",
        Balance::Header { .. } => "hdr",
        Balance::RdpCookie { .. } => "rdp-cookie",
    }
}
