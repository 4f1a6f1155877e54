//! Whether the limits and numbers of servers fit together; core.
//!
//! After it every server of a section has an id of its own, and a `minconn` only below its `maxconn`.

use std::collections::HashMap;

use portolan_shared::model::{PersistRule, Source, SourceAddress};

use super::Proxy;
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::reading::Reading;
use crate::config::server::Placed;

/// A section with servers.
pub fn check(proxy: &mut Proxy, workers: u16, reading: &mut Reading<'_>) {
    number(&mut proxy.draft.servers, reading);
    for placed in &mut proxy.draft.servers {
        check_connections(placed, reading);
        check_source(placed, workers, reading);
    }
    let servers = &proxy.draft.servers;
    if !servers.is_empty() && servers.iter().all(|placed| placed.server.disabled) {
        let message = format!("every server of `{}` is disabled", proxy.name);
        reading.warn(proxy.place.clone(), message);
    }
    let http = &proxy.draft.http;
    if let (Some(place), None) = (http.persist_at(), &http.backend.cookie) {
        let key = match http.backend.persist {
            PersistRule::Ignore => "ignore_persist",
            PersistRule::Force | PersistRule::Normal => "force_persist",
        };
        let message = format!("`{key}` has no effect in `{}`: it has no `cookie`", proxy.name);
        reading.warn(place.clone(), message);
    }
}

/// Those without an id get their position, or the next number that is free.
fn number(servers: &mut [Placed], reading: &mut Reading<'_>) {
    let mut taken: HashMap<u32, Place> = HashMap::new();
    for placed in &*servers {
        let Some(at) = &placed.said.id_at else { continue };
        if let Some(before) = taken.insert(placed.server.id, at.clone()) {
            let message = format!("two servers have the id {}", placed.server.id);
            reading.report(
                Diagnostic::error(at.clone(), message)
                    .label("again here")
                    .other(before, "first given here"),
            );
        }
    }
    let mut next = 1;
    for placed in servers {
        if placed.said.id_at.is_none() {
            while taken.contains_key(&next) {
                next += 1;
            }
            placed.server.id = next;
        }
        next += 1;
    }
}

fn check_connections(placed: &mut Placed, reading: &mut Reading<'_>) {
    let Placed { server, place, .. } = placed;
    match (server.minconn, server.maxconn) {
        (Some(minconn), None) => {
            let message = format!(
                "server `{}` has a `minconn` and no `maxconn`: it always has {minconn}",
                server.name
            );
            reading.warn(place.clone(), message);
            (server.minconn, server.maxconn) = (None, Some(minconn));
        }
        (Some(minconn), Some(maxconn)) if minconn > maxconn => {
            let message = format!(
                "the minconn {minconn} of server `{}` is above its maxconn {maxconn}",
                server.name
            );
            reading.error(place.clone(), message);
        }
        (Some(minconn), Some(maxconn)) if minconn == maxconn => server.minconn = None,
        _ => {}
    }
    if server.maxqueue.is_some() && server.maxconn.is_none() {
        let message = format!(
            "the `maxqueue` of server `{}` has no effect: it has no `maxconn`",
            server.name
        );
        reading.warn(place.clone(), message);
    }
}

/// Each worker has ports of its own.
fn check_source(placed: &Placed, workers: u16, reading: &mut Reading<'_>) {
    let Placed { server, place, .. } = placed;
    if let Some(Source { address: SourceAddress::Ports { first, last, .. }, .. }) = server.source {
        let ports = u32::from(last - first) + 1;
        if ports < u32::from(workers) {
            let message = format!(
                "the source of server `{}` has too few ports, {ports}: each of {workers} workers \
                 needs its own",
                server.name
            );
            reading.error(place.clone(), message);
        }
    }
}
