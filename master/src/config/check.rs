//! The whole configuration: references between sections, and what HAProxy warns of; core.
//!
//! Only here a model is built, so that nothing half-checked leaves the reader.

mod balancing;
mod confinement;
mod health;
mod http;
mod limits;
mod requests;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use portolan_shared::model::{
    Backend, BackendId, Bind, BindAddress, Config, ErrorPages, Frontend, LogLine, LogTarget, Mode,
    ProxyProtocolOut,
};

use super::diagnostic::{Diagnostic, Place};
use super::global::Global;
use super::nearest::nearest;
use super::proxy::{Draft, Log};
use super::reading::Reading;
use super::{server, userlist};
use requests::{Names, Resolved};

/// Binds of one configuration: ids are 32 bits wide and every worker keeps them all.
const BINDS_MAX: usize = 1_000_000;
/// Bytes of a PROXY header of version 2 without configured fields: 16 fixed, 216 for UNIX addresses,
/// 7 for the checksum, 131 for the unique id.
const PROXY_HEADER_MAX: usize = 16 + 216 + 7 + 131;
/// Type and length before each field.
const TLV_HEAD: usize = 3;

/// What a section faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Clients.
    Frontend,
    /// Servers.
    Backend,
    /// Both.
    Listen,
}

/// A section that was read.
#[derive(Debug)]
pub struct Proxy {
    /// What it faces.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub place: Place,
    /// What it says.
    pub draft: Draft,
}

/// The model, and findings about how its parts fit together.
pub fn whole(
    global: Global,
    userlists: Vec<userlist::Placed>,
    mut proxies: Vec<Proxy>,
    reading: &mut Reading<'_>,
) -> Config {
    let backends = backend_ids(&proxies);
    let modes = backend_modes(&proxies);
    let cookies = backends_with_cookies(&proxies);
    let mut names = Names::new(&backends, &modes, &cookies, &userlists);
    let strict_at = global.strict_connect_at.clone();
    let mut config = empty(global);
    health::check(&mut proxies, &config.process, reading);
    if let Some(asked) = &strict_at {
        confinement::check(&config.process, asked, &proxies, reading);
    }
    let mut taken = HashMap::new();
    let mut binds = 0;
    let mut pages = Pages::default();
    for mut proxy in proxies {
        warn_of_timeouts(&proxy, reading);
        if proxy.draft.mode == Mode::Http {
            http::check(&mut proxy, &config.tune, reading);
        }
        if proxy.kind != Kind::Backend {
            let places = (binds..).zip(proxy.draft.binds.iter().map(|(_, place)| place.clone()));
            reading.places.binds.extend(places);
            let default_backend = default_backend(&proxy, &backends, reading);
            if let (Some(_), Some((name, at))) = (default_backend, &proxy.draft.default_backend) {
                check_mode(&proxy, name, at, &modes, reading);
            }
            warn_of_frontend(&proxy, default_backend, &config, reading);
            check_addresses(&proxy, &mut taken, reading);
        }
        if proxy.kind != Kind::Frontend {
            limits::check(&mut proxy, config.process.workers, reading);
            balancing::check(&mut proxy, reading);
            check_servers(&proxy, config.tune.buffer_size as usize, reading);
        }
        let resolved = Resolved::of(&proxy, &mut names, &config.tune, reading);
        add(&mut config, proxy, &backends, &mut binds, &mut pages, resolved);
    }
    names.warn_of_unused(reading);
    config.userlists = userlists.into_iter().map(|placed| placed.list).collect();
    if taken.len() > BINDS_MAX {
        let message = format!("more than {BINDS_MAX} addresses to listen on");
        reading.report(Diagnostic::general(message));
    }
    config
}

/// After a syntax error: nothing is missing that might only not have been understood.
pub fn parts(global: Global, proxies: &[Proxy], reading: &mut Reading<'_>) -> Config {
    let mut taken = HashMap::new();
    for proxy in proxies {
        check_addresses(proxy, &mut taken, reading);
    }
    empty(global)
}

fn empty(global: Global) -> Config {
    Config {
        process: global.process,
        tune: global.tune,
        logs: global.logs,
        frontends: Vec::new(),
        backends: Vec::new(),
        userlists: Vec::new(),
        error_pages: Vec::new(),
    }
}

fn backend_ids(proxies: &[Proxy]) -> HashMap<String, BackendId> {
    let backends = proxies.iter().filter(|proxy| proxy.kind != Kind::Frontend);
    backends.zip(0..).map(|(proxy, id)| (proxy.name.clone(), id)).collect()
}

/// What each backend understands, by name.
pub type Modes = HashMap<String, Mode>;

fn backend_modes(proxies: &[Proxy]) -> Modes {
    let backends = proxies.iter().filter(|proxy| proxy.kind != Kind::Frontend);
    backends.map(|proxy| (proxy.name.clone(), proxy.draft.mode)).collect()
}

/// Those that keep clients at their servers, by name.
fn backends_with_cookies(proxies: &[Proxy]) -> HashSet<String> {
    let keeps =
        |proxy: &&Proxy| proxy.kind != Kind::Frontend && proxy.draft.http.backend.cookie.is_some();
    proxies.iter().filter(keeps).map(|proxy| proxy.name.clone()).collect()
}

/// What a frontend hands over must be what the backend called `name` at `at` understands.
fn check_mode(proxy: &Proxy, name: &str, at: &Place, modes: &Modes, reading: &mut Reading<'_>) {
    let spelled = |mode| match mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
    };
    let (own, other) = (proxy.draft.mode, modes.get(name).copied().unwrap_or(proxy.draft.mode));
    if own != other {
        let (own, other) = (spelled(own), spelled(other));
        let message =
            format!("`{}` is in mode {own} and its backend `{name}` in mode {other}", proxy.name);
        reading.error(at.clone(), message);
    }
}

fn default_backend(
    proxy: &Proxy,
    backends: &HashMap<String, BackendId>,
    reading: &mut Reading<'_>,
) -> Option<BackendId> {
    let Some((name, place)) = &proxy.draft.default_backend else {
        return (proxy.kind == Kind::Listen).then(|| backends[&proxy.name]);
    };
    let found = backends.get(name).copied();
    if found.is_none() {
        let message = format!("there is no backend `{name}`");
        let diagnostic = Diagnostic::error(place.clone(), message);
        reading.report(match nearest(name, backends.keys().map(String::as_str)) {
            Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
            None => diagnostic,
        });
    }
    found
}

fn warn_of_timeouts(proxy: &Proxy, reading: &mut Reading<'_>) {
    let timeouts = &proxy.draft.timeouts;
    let faces_clients = proxy.kind != Kind::Backend && !proxy.draft.binds.is_empty();
    let faces_servers = proxy.kind != Kind::Frontend && !proxy.draft.servers.is_empty();
    let missing: Vec<_> = [
        (faces_clients && timeouts.client.is_none(), "client"),
        (faces_servers && timeouts.connect.is_none(), "connect"),
        (faces_servers && timeouts.server.is_none(), "server"),
    ]
    .into_iter()
    .filter_map(|(missing, name)| missing.then_some(name))
    .collect();
    if !missing.is_empty() {
        let names = missing.join(", ");
        reading.report(
            Diagnostic::warning(
                proxy.place.clone(),
                format!("`{}` waits for ever: no timeout for {names}", proxy.name),
            )
            .help("connections of peers that vanished are never given back"),
        );
    }
}

fn warn_of_frontend(
    proxy: &Proxy,
    default_backend: Option<BackendId>,
    config: &Config,
    reading: &mut Reading<'_>,
) {
    let (draft, name) = (&proxy.draft, &proxy.name);
    if draft.binds.is_empty() {
        reading.warn(proxy.place.clone(), format!("`{name}` listens nowhere: it has no `bind`"));
    }
    let leads_nowhere = draft.gate.answer.is_none() && draft.gate.routes.is_empty();
    if default_backend.is_none() && draft.default_backend.is_none() && leads_nowhere {
        let what = match draft.mode {
            Mode::Tcp => "closes every connection",
            Mode::Http => "answers every request with 503",
        };
        let message = format!("`{name}` {what}: it has no `default_backend`");
        reading.warn(proxy.place.clone(), message);
    }
    let line = match draft.log_options.line {
        LogLine::Connect => None,
        LogLine::Tcp => Some("tcplog"),
        LogLine::Http | LogLine::Clf | LogLine::Json => Some("httplog"),
        LogLine::Template => Some("log_format"),
    };
    if let Some(key) = line
        && draft.logs.is_empty()
    {
        let message = format!("`{key}` has no effect in `{name}`: it has no `log`");
        reading.warn(proxy.place.clone(), message);
    }
    let limits = [(draft.maxconn, config.process.maxconn, "[global]".to_owned(), &proxy.place)];
    let binds = draft.binds.iter().map(|(bind, place)| {
        (bind.maxconn, draft.maxconn.or(config.process.maxconn), format!("`{name}`"), place)
    });
    for (inner, outer, whose, place) in limits.into_iter().chain(binds) {
        if let (Some(inner), Some(outer)) = (inner, outer)
            && inner > outer
        {
            let message = format!("maxconn {inner} is never reached: that of {whose} is {outer}");
            reading.warn(place.clone(), message);
        }
    }
}

/// Two binds of one address would share its connections at random.
fn check_addresses(
    proxy: &Proxy,
    taken: &mut HashMap<(BindAddress, Option<String>), Place>,
    reading: &mut Reading<'_>,
) {
    for (bind, place) in &proxy.draft.binds {
        let key = (bind.address.clone(), bind.options.interface.clone());
        if let Some(before) = taken.get(&key) {
            let message = format!("`{}` is bound twice", bind.written);
            reading.report(
                Diagnostic::error(place.clone(), message)
                    .label("again here")
                    .other(before.clone(), "first bound here"),
            );
        } else {
            taken.insert(key, place.clone());
        }
    }
}

fn check_servers(proxy: &Proxy, buffer_size: usize, reading: &mut Reading<'_>) {
    let draft = &proxy.draft;
    if draft.servers.is_empty() && draft.default_backend.is_none() && draft.gate.answer.is_none() {
        let message = format!("`{}` has no server", proxy.name);
        reading.warn(proxy.place.clone(), message);
    }
    for server::Placed { server, place, .. } in &proxy.draft.servers {
        let header = server.send_proxy.as_ref().map_or(0, header_size);
        if header > buffer_size {
            let message = format!(
                "the PROXY header may take {header} bytes and a buffer (bufsize) has {buffer_size}"
            );
            reading.error(place.clone(), message);
        }
    }
}

fn header_size(out: &ProxyProtocolOut) -> usize {
    PROXY_HEADER_MAX + out.tlvs.iter().map(|tlv| TLV_HEAD + tlv.value.len()).sum::<usize>()
}

/// `binds` counts those of the frontends before.
fn add(
    config: &mut Config,
    proxy: Proxy,
    backends: &HashMap<String, BackendId>,
    binds: &mut u32,
    pages: &mut Pages,
    resolved: Resolved,
) {
    let Proxy { kind, name, draft, .. } = proxy;
    let errors = pages.place(&draft.http.errors, &mut config.error_pages);
    if kind != Kind::Backend {
        let named = draft.default_backend.as_ref().map(|(name, _)| name);
        let own = (kind == Kind::Listen).then_some(&name);
        let default_backend = named.or(own).and_then(|name| backends.get(name).copied());
        let mut frontend = frontend(&name, &draft, default_backend, *binds, &config.logs);
        frontend.http = draft.http.frontend(errors);
        resolved.put_into_frontend(&mut frontend);
        *binds += frontend.binds.len() as u32;
        config.frontends.push(frontend);
    }
    if kind != Kind::Frontend {
        let mut backend = backend(name, draft, errors);
        resolved.put_into_backend(&mut backend);
        config.backends.push(backend);
    }
}

/// Where sets of error pages stand in the model.
#[derive(Debug, Default)]
struct Pages {
    ids: HashMap<Rc<ErrorPages>, u32>,
}

impl Pages {
    /// The place of a set, equal ones have the same; `None`: there is nothing in it.
    fn place(&mut self, pages: &Rc<ErrorPages>, all: &mut Vec<ErrorPages>) -> Option<u32> {
        if **pages == ErrorPages::default() {
            return None;
        }
        let id = *self.ids.entry(Rc::clone(pages)).or_insert_with(|| {
            all.push(ErrorPages::clone(pages));
            all.len() as u32 - 1
        });
        Some(id)
    }
}

fn frontend(
    name: &str,
    draft: &Draft,
    default_backend: Option<BackendId>,
    first_bind: u32,
    global_logs: &[LogTarget],
) -> Frontend {
    Frontend {
        binds: draft
            .binds
            .iter()
            .zip(first_bind..)
            .map(|(placed, id)| bind(draft, &placed.0, id))
            .collect(),
        maxconn: draft.maxconn,
        sessions_per_second: draft.sessions_per_second,
        priority: draft.priority,
        default_backend,
        timeouts: draft.timeouts,
        keepalive: draft.client_keepalive,
        nolinger: draft.nolinger,
        splice: draft.splice,
        log_options: draft.log_options,
        logs: draft
            .logs
            .iter()
            .flat_map(|log| match log {
                Log::Global => global_logs,
                Log::Target(target) => std::slice::from_ref(target),
            })
            .cloned()
            .collect(),
        log_tag: draft.log_tag.clone(),
        ..Frontend::new(name, draft.mode)
    }
}

fn bind(draft: &Draft, bind: &Bind, id: u32) -> Bind {
    let mut bind = Bind { id, ..bind.clone() };
    bind.options.backlog = bind.options.backlog.or(draft.backlog);
    bind
}

fn backend(name: String, draft: Draft, errors: Option<u32>) -> Backend {
    let mode = draft.mode;
    Backend {
        balance: draft.balancing.balance,
        hashing: draft.balancing.hashing,
        all_backups: draft.balancing.all_backups,
        fullconn: draft.balancing.fullconn,
        check: draft.check.check,
        timeouts: draft.timeouts,
        retries: draft.retries,
        redispatch: draft.redispatch,
        keepalive: draft.server_keepalive,
        nolinger: draft.nolinger,
        splice: draft.splice,
        source: draft.source,
        servers: draft.servers.into_iter().map(|placed| placed.server).collect(),
        http: draft.http.backend(errors),
        ..Backend::new(name, mode)
    }
}
