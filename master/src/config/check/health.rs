//! What checks ask of a whole configuration: whom a server tracks, where a check goes to; core.
//!
//! - A chain of servers that track one another is followed to its end here, so that whoever holds the
//!   model follows one step.

use std::collections::{HashMap, HashSet};

use portolan_shared::model::{
    BackendId, CheckKind, Mode, Observe, Process, Server, ServerAddress, ServerId, StepAction,
};

use super::{Kind, Proxy};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::nearest::nearest;
use crate::config::reading::Reading;
use crate::config::server;

/// A server by the positions of its section among all and its own there.
type At = (usize, usize);

/// All sections.
pub fn check(proxies: &mut [Proxy], process: &Process, reading: &mut Reading<'_>) {
    let mut forbidden = HashSet::new();
    for proxy in proxies.iter().filter(|proxy| proxy.kind != Kind::Frontend) {
        check_command(proxy, process, &mut forbidden, reading);
        warn_of_unused(proxy, reading);
        for server::Placed { server, open, .. } in &proxy.draft.servers {
            check_port(proxy, server, &open.at, reading);
            if server.health.observe == Some(Observe::Layer7) && proxy.draft.mode == Mode::Tcp {
                let message = "`layer7` has no meaning in mode tcp";
                reading.error(open.observe_at.clone(), message);
            }
        }
    }
    let tracks = Tracks::new(proxies, reading);
    let ends = tracks.ends(proxies, reading);
    let ids = backend_ids(proxies);
    for ((section, server), (end_section, end_server)) in ends {
        let end = (ids[&end_section], end_server as ServerId);
        proxies[section].draft.servers[server].server.health.track = Some(end);
    }
}

fn backend_ids(proxies: &[Proxy]) -> HashMap<usize, BackendId> {
    let backends = proxies.iter().enumerate().filter(|(_, proxy)| proxy.kind != Kind::Frontend);
    backends.map(|(section, _)| section).zip(0..).collect()
}

/// Commands are only run where the whole instance allows it.
fn check_command(
    proxy: &Proxy,
    process: &Process,
    forbidden: &mut HashSet<usize>,
    reading: &mut Reading<'_>,
) {
    let placed = &proxy.draft.check;
    if process.external_check || !matches!(placed.check.kind, CheckKind::External { .. }) {
        return;
    }
    let place = placed.at.clone().unwrap_or_else(|| proxy.place.clone());
    if forbidden.insert(place.span.start) {
        reading.report(
            Diagnostic::error(place, "commands may not be run")
                .help("`external_check = true` in [global] allows it"),
        );
    }
}

fn warn_of_unused(proxy: &Proxy, reading: &mut Reading<'_>) {
    let draft = &proxy.draft;
    let checked = draft.servers.iter().any(|placed| placed.server.health.check.is_some());
    if let (Some(at), true, false) = (&draft.check.at, draft.check.said, checked)
        && !draft.servers.is_empty()
    {
        let message = format!("`check` has no effect in `{}`: no server is checked", proxy.name);
        reading.report(
            Diagnostic::warning(at.clone(), message)
                .help("`check = true` in a `server` or in `server_defaults` turns it on"),
        );
    }
}

/// A check connects to a port, which is the server's, its own, or its script's.
fn check_port(proxy: &Proxy, server: &Server, at: &Place, reading: &mut Reading<'_>) {
    let Some(probe) = &server.health.check else { return };
    let has_port = match server.address {
        ServerAddress::Tcp(address) => address.port() > 0,
        ServerAddress::Unix(_) => probe.address.is_none(),
        ServerAddress::TcpClientPort { .. } => false,
        // Never checked, as long as it has no address.
        ServerAddress::Unresolved { .. } => true,
    };
    let named = match &proxy.draft.check.check.kind {
        CheckKind::Tcp(steps) | CheckKind::Http(steps) => {
            let mut connects = steps.iter().filter_map(|step| match &step.action {
                StepAction::Connect(connect) => Some(connect.port.is_some()),
                _ => None,
            });
            connects.next().is_some_and(|first| first && connects.all(|named| named))
        }
        CheckKind::External { .. } => true,
        _ => false,
    };
    if !has_port && probe.port.is_none() && !named {
        let message = format!("the check of server `{}` has no port", server.name);
        reading.report(
            Diagnostic::error(at.clone(), message)
                .help("`port` gives it one, where neither `address` nor each `connect` does"),
        );
    }
}

/// Who tracks whom.
#[derive(Debug)]
struct Tracks {
    targets: HashMap<At, At>,
    order: Vec<At>,
}

impl Tracks {
    /// The names resolved; what cannot be is reported.
    fn new(proxies: &[Proxy], reading: &mut Reading<'_>) -> Self {
        let backends = proxies.iter().enumerate().filter(|(_, proxy)| proxy.kind != Kind::Frontend);
        let sections: HashMap<_, _> =
            backends.map(|(section, proxy)| (proxy.name.as_str(), section)).collect();
        let mut tracks = Self { targets: HashMap::new(), order: Vec::new() };
        let mut names = Names::default();
        for (section, proxy) in proxies.iter().enumerate() {
            if proxy.kind == Kind::Frontend {
                continue;
            }
            for (server, placed) in proxy.draft.servers.iter().enumerate() {
                let Some((written, place)) = &placed.open.track else { continue };
                let found = names.target(written, section, &sections, proxies);
                match found {
                    Ok(target) => {
                        tracks.targets.insert((section, server), target);
                        tracks.order.push((section, server));
                    }
                    Err((message, near)) => {
                        let diagnostic = Diagnostic::error(place.clone(), message);
                        reading.report(match near {
                            Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                            None => diagnostic,
                        });
                    }
                }
            }
        }
        tracks
    }

    /// Each server that tracks with the end of its chain.
    fn ends(&self, proxies: &[Proxy], reading: &mut Reading<'_>) -> Vec<(At, At)> {
        let mut known = HashMap::new();
        let mut ends = Vec::with_capacity(self.order.len());
        for &start in &self.order {
            let message = match self.end(start, &mut known) {
                None => "servers track one another in a circle".to_owned(),
                Some(end) => {
                    let section = &proxies[end.0];
                    let target = &section.draft.servers[end.1];
                    if target.server.health.is_watched() {
                        ends.push((start, end));
                        continue;
                    }
                    if target.open.track.is_some() {
                        continue;
                    }
                    let name = &target.server.name;
                    format!("`{}/{name}` has neither a check nor an agent", section.name)
                }
            };
            reading.error(place_of(proxies, start), message);
        }
        ends
    }

    /// Where a chain ends; `None`: it does not. Each server's is only looked for once.
    fn end(&self, start: At, known: &mut HashMap<At, Option<At>>) -> Option<At> {
        let mut path = Vec::new();
        let mut on_path = HashSet::new();
        let mut at = start;
        let end = loop {
            if let Some(&end) = known.get(&at) {
                break end;
            }
            if !on_path.insert(at) {
                break None;
            }
            path.push(at);
            match self.targets.get(&at) {
                Some(&next) => at = next,
                None => break Some(at),
            }
        };
        known.extend(path.into_iter().map(|at| (at, end)));
        end
    }
}

fn place_of(proxies: &[Proxy], (section, server): At) -> Place {
    let placed = &proxies[section].draft.servers[server];
    let written = placed.open.track.as_ref().map(|(_, place)| place.clone());
    written.unwrap_or_else(|| placed.place.clone())
}

/// The servers of sections by name, each section's when it is first asked for.
#[derive(Debug, Default)]
struct Names<'p>(HashMap<usize, HashMap<&'p str, Vec<usize>>>);

impl<'p> Names<'p> {
    /// The server that `BACKEND/SERVER` or `SERVER` stands for, seen from a section; else what is
    /// wrong, and what may have been meant.
    fn target(
        &mut self,
        written: &str,
        from: usize,
        sections: &HashMap<&str, usize>,
        proxies: &'p [Proxy],
    ) -> Result<At, (String, Option<String>)> {
        let (section, server) = match written.split_once('/') {
            None => (from, written),
            Some((backend, server)) => {
                let Some(&section) = sections.get(backend) else {
                    let backends = proxies.iter().filter(|proxy| proxy.kind != Kind::Frontend);
                    let near = nearest(backend, backends.map(|proxy| proxy.name.as_str()));
                    let near = near.map(|near| format!("{near}/{server}"));
                    return Err((format!("there is no backend `{backend}`"), near));
                };
                (section, server)
            }
        };
        let (name, nth) = match server.split_once('#') {
            Some((name, nth)) => (name, nth.parse::<usize>().unwrap_or_default()),
            None => (server, 1),
        };
        let proxy = &proxies[section];
        let servers = self.0.entry(section).or_insert_with(|| {
            let mut servers: HashMap<&str, Vec<usize>> = HashMap::new();
            for (position, placed) in proxy.draft.servers.iter().enumerate() {
                servers.entry(&placed.server.name).or_default().push(position);
            }
            servers
        });
        let found = servers.get(name).and_then(|all| all.get(nth.wrapping_sub(1)));
        found.map(|&position| (section, position)).ok_or_else(|| {
            let message = format!("there is no server `{server}` in `{}`", proxy.name);
            let names = proxy.draft.servers.iter().map(|placed| placed.server.name.as_str());
            let near = nearest(name, names);
            (message, near.filter(|near| *near != name).map(str::to_owned))
        })
    }
}
