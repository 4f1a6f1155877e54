//! `routes`: where requests go by their host and path; core.
//!
//! - Lists of hosts and paths are multiplied out: one route of the model for each pair.
//! - Which of several routes that fit is taken does not depend on their order, so that two for one
//!   host and path are an error.
//!
//! Limit: [`ROUTES_MAX`] pairs in one frontend, which every worker keeps.

mod standing;

use std::collections::HashMap;

use portolan_shared::model::{Answer, PersistRule, RouteHost};

use super::auth::{self, Auth};
use super::gate;
use super::limits::PartialPriority;
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::document::Node;
use crate::config::names;
use crate::config::reading::{Reading, once, set};
use crate::config::table::{EVERYWHERE, Key, Table};

/// Pairs of host and path in one frontend.
const ROUTES_MAX: usize = 1_000_000;
/// Bytes of a path: as many as a target may have in an ordinary buffer.
const PATH_MAX: usize = 8192;
/// Bytes of a host (RFC 1035 section 2.3.4).
const HOST_MAX: usize = 253;
/// Bytes of one of its labels.
const LABEL_MAX: usize = 63;

/// A route with its names not yet resolved.
#[derive(Clone, Debug)]
pub struct Route {
    /// Every host with every path, and where they were written.
    pub pairs: Vec<(RouteHost, String, Place)>,
    /// Who may ask.
    pub auth: Option<Auth>,
    /// Where they wait.
    pub priority: PartialPriority,
    /// What becomes of clients that belong to a server.
    pub persist: PersistRule,
    /// Where that stands.
    pub persist_at: Option<Place>,
    /// What becomes of requests.
    pub to: To,
}

/// What becomes of requests.
#[derive(Clone, Debug)]
pub enum To {
    /// This backend serves them.
    Backend(String, Place),
    /// They are answered here.
    Answer(Answer, Place),
}

/// A route while it is read.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    hosts: Option<Vec<(RouteHost, Place)>>,
    paths: Option<Vec<(String, Place)>>,
    auth: Option<Auth>,
    priority: PartialPriority,
    persist: PersistRule,
    persist_at: Option<Place>,
    to: Option<To>,
    to_at: Option<Place>,
    /// Keys that only requests for a server have a use for.
    of_backends: Vec<(&'static str, Place)>,
}

/// One of `routes`.
pub const ROUTE: Table<Draft> = Table {
    name: "a route",
    keys: &[KEYS, standing::ROWS],
    unsupported: "if unless do use_backend",
};

type Row = Key<Draft>;

const KEYS: &[Row] = &[
    Row::new(
        "host",
        |draft, node, reading| {
            let nodes = node.one_or_many();
            let hosts = nodes.iter().filter_map(|node| Some((host(node, reading)?, node.place())));
            draft.hosts = Some(hosts.collect());
        },
        "
A host, or a list of those: a name or an address as \"www.example.com\",
.Li *.NAME
for all names below a name, but not itself, or
.Li *
for all hosts.
Neither letters' case nor the request's port makes a difference.
Default: all hosts.",
    ),
    Row::new(
        "path",
        |draft, node, reading| {
            let nodes = node.one_or_many();
            let paths = nodes.iter().filter_map(|node| Some((path(node, reading)?, node.place())));
            draft.paths = Some(paths.collect());
        },
        "
The beginning of a path, by whole segments, or a list of those:
.Li /api
is for
.Li /api
and
.Li /api/x ,
not for
.Li /apis ;
.Li /api/
is not for
.Li /api .
It is compared as clients write it, with nothing decoded.
Default: all paths.",
    ),
    Row::new(
        "backend",
        |draft, node, reading| {
            to(
                draft,
                |node, reading| Some(To::Backend(names::name(node, reading)?, node.place())),
                node,
                reading,
            );
        },
        "
Name of the backend or listen section that the requests go to.
Exactly one of
.Cm backend ,
.Cm redirect ,
.Cm return ,
.Cm deny
and
.Cm tarpit
is required.",
    ),
    Row::new(
        "redirect",
        |draft, node, reading| {
            to(draft, |node, reading| answer(gate::read_redirect, node, reading), node, reading);
        },
        "
Table of where they are sent instead, see
.Sx REDIRECT .
This or one of the others is required.",
    ),
    Row::new(
        "return",
        |draft, node, reading| {
            to(draft, |node, reading| answer(gate::read_return, node, reading), node, reading);
        },
        "
Table of the response they are answered with, see
.Sx RETURN .
This or one of the others is required.",
    ),
    Row::new(
        "deny",
        |draft, node, reading| {
            to(draft, |node, reading| answer(gate::read_deny, node, reading), node, reading);
        },
        "
Whether they are refused: true, or a table with the
.Cm status .
This or one of the others is required.",
    ),
    Row::new(
        "tarpit",
        |draft, node, reading| {
            to(draft, |node, reading| answer(gate::read_tarpit, node, reading), node, reading);
        },
        "
Whether they are held and then refused: true, or a table with the
.Cm status .
This or one of the others is required.",
    ),
    Row::new(
        "auth",
        |draft, node, reading| set(&mut draft.auth, auth::read_table(node, reading)),
        "
Table of who may ask here, see
.Sx AUTH .
What reaches the same backend by another route is not asked: to protect a whole backend, say it
there.
Default: everybody that the section lets.",
    ),
];

/// The list.
pub fn read(node: &Node<'_>, reading: &mut Reading<'_>) -> Vec<Route> {
    let mut routes = Vec::new();
    let mut taken: HashMap<(RouteHost, String), Place> = HashMap::new();
    let mut count = 0;
    for node in node.one_or_many() {
        let errors = reading.diagnostics.len();
        let mut draft = Draft::default();
        ROUTE.read_node(&mut draft, &node, EVERYWHERE, reading);
        if draft.to_at.is_none() && reading.diagnostics.len() == errors {
            reading
                .report(Diagnostic::error(node.place(), "the route leads nowhere").help(
                    "it needs a `backend`, a `redirect`, a `return`, a `deny` or a `tarpit`",
                ));
        }
        let pairs = pairs(&draft, &node, reading);
        count += pairs.len();
        if count > ROUTES_MAX {
            let message = format!("more than {ROUTES_MAX} pairs of a host and a path");
            reading.error(node.place(), message);
            return routes;
        }
        for (host, path, place) in &pairs {
            match taken.get(&(host.clone(), path.clone())) {
                Some(before) => {
                    reading.report(twice(host, path, place.clone(), before.clone()));
                }
                None => {
                    taken.insert((host.clone(), path.clone()), place.clone());
                }
            }
        }
        if let Some(to) = draft.to {
            if let To::Answer(..) = to {
                for (key, place) in draft.of_backends {
                    let message = format!("`{key}` has no effect: no server gets these requests");
                    reading.warn(place, message);
                }
            }
            let Draft { auth, priority, persist, persist_at, .. } = draft;
            routes.push(Route { pairs, auth, priority, persist, persist_at, to });
        }
    }
    routes
}

/// Every host with every path, and the narrower one's place.
fn pairs(
    draft: &Draft,
    node: &Node<'_>,
    reading: &mut Reading<'_>,
) -> Vec<(RouteHost, String, Place)> {
    let any = [(RouteHost::Any, node.place())];
    let all = [("/".to_owned(), node.place())];
    let hosts = draft.hosts.as_deref().unwrap_or(&any);
    let paths = draft.paths.as_deref().unwrap_or(&all);
    if hosts.len().saturating_mul(paths.len()) > ROUTES_MAX {
        let message = format!("more than {ROUTES_MAX} pairs of a host and a path");
        reading.error(node.place(), message);
        return Vec::new();
    }
    let at = |host: &Place, path: &Place| {
        if draft.paths.is_some() && paths.len() >= hosts.len() {
            path.clone()
        } else {
            host.clone()
        }
    };
    let pairs = hosts.iter().flat_map(|(host, host_at)| {
        paths.iter().map(move |(path, path_at)| (host.clone(), path.clone(), at(host_at, path_at)))
    });
    pairs.collect()
}

fn twice(host: &RouteHost, path: &str, place: Place, before: Place) -> Diagnostic {
    let host = match host {
        RouteHost::Any => "*".to_owned(),
        RouteHost::Exact(name) => name.clone(),
        RouteHost::Below(name) => format!("*.{name}"),
    };
    Diagnostic::error(place, format!("there are two routes for {host}{path}"))
        .label("again here")
        .other(before, "first given here")
}

fn to(
    draft: &mut Draft,
    read: fn(&Node<'_>, &mut Reading<'_>) -> Option<To>,
    node: &Node<'_>,
    reading: &mut Reading<'_>,
) {
    if node.value.as_bool() == Some(false) {
        reading.error(node.place(), "leave it out instead");
        return;
    }
    once(&mut draft.to_at, node.place(), "a route leads to one place", reading);
    set(&mut draft.to, read(node, reading));
}

fn answer(read: gate::Read, node: &Node<'_>, reading: &mut Reading<'_>) -> Option<To> {
    read(node, reading).map(|answer| To::Answer(answer, node.place()))
}

fn host(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<RouteHost> {
    let text = reading.text(node)?;
    match host_of(&text.text) {
        Ok(host) => Some(host),
        Err(message) => {
            reading.error(text.place(), message);
            None
        }
    }
}

/// A host as requests are compared with it: lower case, no port, no dot at its end.
fn host_of(written: &str) -> Result<RouteHost, String> {
    if written == "*" {
        return Ok(RouteHost::Any);
    }
    if let Some(address) = written.strip_prefix('[') {
        let Some((address, rest)) = address.split_once(']') else {
            return Err("an IPv6 address is written [::1]".to_owned());
        };
        if rest.starts_with(':') {
            return Err(NO_PORT.to_owned());
        }
        if !rest.is_empty() || address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("an IPv6 address is written [::1]".to_owned());
        }
        return Ok(RouteHost::Exact(written.to_ascii_lowercase()));
    }
    let (below, name) = match written.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, written),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.contains('*') {
        return Err("a `*` stands for whole names at the beginning: *.example.com".to_owned());
    }
    if let Some((_, port)) = name.split_once(':') {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let message = if digits { NO_PORT } else { "an IPv6 address is written [::1]" };
        return Err(message.to_owned());
    }
    if !name.is_ascii() {
        return Err("names beyond ASCII are written as clients ask for them: xn--...".to_owned());
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label =
        |label: &str| (1..=LABEL_MAX).contains(&label.len()) && label.bytes().all(allowed);
    if name.len() > HOST_MAX || !name.split('.').all(is_label) {
        return Err(format!("`{}` is no name of a host", written.escape_debug()));
    }
    let name = name.to_ascii_lowercase();
    Ok(if below { RouteHost::Below(name) } else { RouteHost::Exact(name) })
}

/// What a host cannot have.
const NO_PORT: &str = "a route is for all ports; leave the port out";

fn path(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let text = reading.text(node)?;
    let path = &*text.text;
    let message = if !path.starts_with('/') {
        "a path begins with `/`".to_owned()
    } else if path.len() > PATH_MAX {
        format!("longer than {PATH_MAX} bytes")
    } else if path.contains(['?', '#']) {
        "a route is for a path, without a query or a fragment".to_owned()
    } else if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        "only printable ASCII without blanks; others are percent-encoded".to_owned()
    } else if path.split('/').any(|segment| segment == "." || segment == "..") {
        "clients leave `.` and `..` out before they ask".to_owned()
    } else {
        return Some(text.text.into_owned());
    };
    reading.error(text.place(), message);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_requests_are_compared() {
        let cases = [
            ("*", RouteHost::Any),
            ("WWW.Example.com.", RouteHost::Exact("www.example.com".to_owned())),
            ("*.Example.com", RouteHost::Below("example.com".to_owned())),
            ("localhost", RouteHost::Exact("localhost".to_owned())),
            ("_dmarc.x-1.org", RouteHost::Exact("_dmarc.x-1.org".to_owned())),
            ("192.0.2.1", RouteHost::Exact("192.0.2.1".to_owned())),
            ("[2001:DB8::1]", RouteHost::Exact("[2001:db8::1]".to_owned())),
        ];
        for (written, host) in cases {
            assert_eq!(host_of(written), Ok(host), "{written}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a.".repeat(127) + "aa";
        let wide = "a".repeat(64);
        let bad = [
            "",
            ".",
            "a..b",
            "a b",
            "a/b",
            "a:80",
            "[::1]:80",
            "[::1",
            "::1",
            "*a.b",
            "a.*",
            "*.",
            "*.*.a",
            "münchen.de",
            "a%20b",
            "[x]",
            "user@a",
            &long,
            &wide,
        ];
        for written in bad {
            assert!(host_of(written).is_err(), "{written}");
        }
    }
}
