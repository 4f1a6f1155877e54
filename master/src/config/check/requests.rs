//! What requests meet in a frontend or backend: the names in it resolved, and what does not fit
//! together; core.

use std::collections::{HashMap, HashSet};

use portolan_shared::model::{
    Answer, Auth, Backend, BackendId, Frontend, LogItem, LogLine, LogTemplate, LogVariable, Mode,
    RedirectTo, Route, RouteHost, RouteTarget, Tune,
};

use super::{Kind, Modes, Proxy, check_mode};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::log_format;
use crate::config::nearest::nearest;
use crate::config::proxy::{self, To};
use crate::config::reading::{Reading, head_bytes_max};
use crate::config::userlist;

/// Bytes of the answers of one frontend's routes, counted for each pair of a host and a path: every
/// worker keeps them.
const ANSWERS_MAX: usize = 64 << 20;
/// Bytes of an answer's head beside its fields: the first line, and the fields we add.
const HEAD_BYTES: usize = 256;

/// What names stand for.
#[derive(Debug)]
pub struct Names<'c> {
    backends: &'c HashMap<String, BackendId>,
    modes: &'c Modes,
    cookies: &'c HashSet<String>,
    userlists: &'c [userlist::Placed],
    positions: HashMap<&'c str, usize>,
    used: Vec<bool>,
}

/// What a section's requests meet.
#[derive(Debug)]
pub struct Resolved {
    line: LogLine,
    log_template: Option<LogTemplate>,
    error_log_template: Option<LogTemplate>,
    unique_id: Option<LogTemplate>,
    auth: Option<Auth>,
    answer: Option<Answer>,
    routes: Vec<Route>,
}

impl<'c> Names<'c> {
    /// All of a configuration.
    pub fn new(
        backends: &'c HashMap<String, BackendId>,
        modes: &'c Modes,
        cookies: &'c HashSet<String>,
        userlists: &'c [userlist::Placed],
    ) -> Self {
        let positions = userlists.iter().enumerate().map(|(at, placed)| (&*placed.list.name, at));
        let used = vec![false; userlists.len()];
        Self { backends, modes, cookies, userlists, positions: positions.collect(), used }
    }

    /// Lists that nothing refers to.
    pub fn warn_of_unused(&self, reading: &mut Reading<'_>) {
        for (placed, used) in self.userlists.iter().zip(&self.used) {
            if !used {
                let message = format!("no `auth` uses the userlist `{}`", placed.list.name);
                reading.warn(placed.place.clone(), message);
            }
        }
    }

    fn backend(
        &self,
        proxy: &Proxy,
        name: &str,
        place: &Place,
        reading: &mut Reading<'_>,
    ) -> Option<BackendId> {
        let found = self.backends.get(name).copied();
        if found.is_some() {
            check_mode(proxy, name, place, self.modes, reading);
        } else {
            let known = self.backends.keys().map(String::as_str);
            reading.report(missing("backend", name, place, known));
        }
        found
    }

    fn auth(
        &mut self,
        proxy: &Proxy,
        auth: &proxy::Auth,
        reading: &mut Reading<'_>,
    ) -> Option<Auth> {
        let (name, place) = auth.userlist.as_ref()?;
        let Some(&at) = self.positions.get(&**name) else {
            reading.report(missing("userlist", name, place, self.positions.keys().copied()));
            return None;
        };
        self.used[at] = true;
        let known = &self.userlists[at].groups;
        for (group, place) in &auth.groups {
            if !known.contains(group) {
                let kind = format!("group in `{name}`");
                reading.report(missing(&kind, group, place, known.iter().map(String::as_str)));
            }
        }
        Some(Auth {
            realm: auth.realm.clone().unwrap_or_else(|| proxy.name.clone()),
            userlist: at as u32,
            groups: auth.groups.iter().map(|(group, _)| group.clone()).collect(),
        })
    }
}

impl Resolved {
    /// A section's.
    pub fn of(
        proxy: &Proxy,
        names: &mut Names<'_>,
        tune: &Tune,
        reading: &mut Reading<'_>,
    ) -> Self {
        let gate = &proxy.draft.gate;
        let auth = gate.auth.as_ref().and_then(|auth| names.auth(proxy, auth, reading));
        if let Some((answer, place)) = &gate.answer {
            check_size(answer, place, tune, reading);
        }
        let routes = routes(proxy, names, tune, reading);
        warn_of_unreached(proxy, reading);
        let mut resolved = Self {
            line: proxy.draft.log_options.line,
            log_template: None,
            error_log_template: None,
            unique_id: None,
            auth,
            answer: gate.answer.as_ref().map(|(answer, _)| answer.clone()),
            routes,
        };
        if proxy.kind != Kind::Backend {
            resolved.take_lines(proxy, reading);
        }
        resolved
    }

    fn take_lines(&mut self, proxy: &Proxy, reading: &mut Reading<'_>) {
        let lines = &proxy.draft.lines;
        if self.line == LogLine::Template {
            self.log_template = template(lines.format.as_ref(), proxy, reading);
        }
        self.error_log_template = template(lines.error_format.as_ref(), proxy, reading);
        if proxy.draft.mode == Mode::Tcp {
            if matches!(self.line, LogLine::Http | LogLine::Clf | LogLine::Json) {
                self.line = LogLine::Tcp;
                let place = lines.httplog.as_ref().unwrap_or(&proxy.place);
                let message =
                    format!("`{}` is in mode tcp: it is logged as by `tcplog`", proxy.name);
                reading.warn(place.clone(), message);
            }
            return;
        }
        self.unique_id = template(lines.unique_id.as_ref(), proxy, reading);
        if let (Some(id), Some(format)) = (&self.unique_id, &lines.unique_id) {
            let itself = |item: &LogItem| {
                matches!(item, LogItem::Variable { variable: LogVariable::UniqueId, .. })
            };
            if id.items.iter().any(itself) {
                reading.error(format.place.clone(), "an id cannot hold itself (%ID)");
            }
        }
    }

    /// The frontend's part; a `listen` section has both.
    pub fn put_into_frontend(&self, frontend: &mut Frontend) {
        frontend.log_options.line = self.line;
        frontend.log_template.clone_from(&self.log_template);
        frontend.error_log_template.clone_from(&self.error_log_template);
        let http = &mut frontend.http;
        http.unique_id.clone_from(&self.unique_id);
        http.auth.clone_from(&self.auth);
        http.answer.clone_from(&self.answer);
        http.routes.clone_from(&self.routes);
    }

    /// The backend's part.
    pub fn put_into_backend(self, backend: &mut Backend) {
        backend.http.auth = self.auth;
        backend.http.answer = self.answer;
    }
}

fn template(
    format: Option<&log_format::Placed>,
    proxy: &Proxy,
    reading: &mut Reading<'_>,
) -> Option<LogTemplate> {
    let format = format?;
    if let (Mode::Tcp, Some((variable, place))) = (proxy.draft.mode, &format.http_only) {
        let message = format!("`{}` is in mode tcp, which has no `%{variable}`", proxy.name);
        reading.error(place.clone(), message);
    }
    Some(format.template.clone())
}

fn routes(
    proxy: &Proxy,
    names: &mut Names<'_>,
    tune: &Tune,
    reading: &mut Reading<'_>,
) -> Vec<Route> {
    let mut routes = Vec::new();
    let mut answers = 0_usize;
    for route in &proxy.draft.gate.routes {
        let auth = route.auth.as_ref().and_then(|auth| names.auth(proxy, auth, reading));
        let to = match &route.to {
            To::Backend(name, place) => {
                let backend = names.backend(proxy, name, place, reading);
                if let (Some(_), Some(at)) = (backend, &route.persist_at)
                    && !names.cookies.contains(name)
                {
                    let message = format!("this has no effect: `{name}` has no `cookie`");
                    reading.warn(at.clone(), message);
                }
                backend.map(RouteTarget::Backend)
            }
            To::Answer(answer, place) => {
                check_size(answer, place, tune, reading);
                let before = answers;
                answers = before.saturating_add(bytes(answer).saturating_mul(route.pairs.len()));
                if before <= ANSWERS_MAX && answers > ANSWERS_MAX {
                    let message = format!(
                        "the answers of these routes take more than {} MiB",
                        ANSWERS_MAX >> 20
                    );
                    reading.report(
                        Diagnostic::error(place.clone(), message)
                            .help("a backend with a `return` holds an answer once"),
                    );
                }
                Some(RouteTarget::Answer(answer.clone()))
            }
        };
        let Some(to) = to else { continue };
        let priority = route.priority.over(proxy.draft.priority);
        routes.extend(route.pairs.iter().map(|(host, path, _)| Route {
            host: host.clone(),
            path: path.clone(),
            auth: auth.clone(),
            priority,
            persist: route.persist,
            to: to.clone(),
        }));
    }
    routes
}

fn missing<'k>(
    kind: &str,
    name: &str,
    place: &Place,
    known: impl Iterator<Item = &'k str>,
) -> Diagnostic {
    let diagnostic = Diagnostic::error(place.clone(), format!("there is no {kind} `{name}`"));
    match nearest(name, known) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic,
    }
}

/// An answer is made in one buffer.
fn check_size(answer: &Answer, place: &Place, tune: &Tune, reading: &mut Reading<'_>) {
    let bytes = bytes(answer);
    let room = head_bytes_max(tune) as usize;
    if bytes > room {
        let message = format!("the answer takes up to {bytes} bytes and a buffer has {room}");
        reading.report(
            Diagnostic::error(place.clone(), message).help("`tune.bufsize` sets the buffers' size"),
        );
    }
}

/// Bytes that an answer takes at most.
fn bytes(answer: &Answer) -> usize {
    HEAD_BYTES
        + match answer {
            Answer::Redirect(redirect) => {
                let (RedirectTo::Location(to) | RedirectTo::Prefix(to) | RedirectTo::Scheme(to)) =
                    &redirect.to;
                let cookies = [&redirect.set_cookie, &redirect.clear_cookie];
                to.len() + cookies.into_iter().flatten().map(String::len).sum::<usize>()
            }
            Answer::Return(response) => {
                let fields = response.fields.iter();
                fields.map(|(name, value)| name.len() + value.len() + 4).sum::<usize>()
                    + response.content.len()
            }
            Answer::Deny(_) | Answer::Tarpit(_) => 0,
        }
}

/// What no request ever gets to.
fn warn_of_unreached(proxy: &Proxy, reading: &mut Reading<'_>) {
    let gate = &proxy.draft.gate;
    let mut pairs = gate.routes.iter().flat_map(|route| &route.pairs);
    let Some((.., first)) = pairs.clone().next() else { return };
    if gate.answer.is_some() {
        let message = format!("no request gets here: `{}` answers all of them itself", proxy.name);
        reading.warn(first.clone(), message);
    } else if let Some((.., place)) =
        pairs.find(|(host, path, _)| *host == RouteHost::Any && path == "/")
        && let Some((_, default)) = &proxy.draft.default_backend
    {
        reading.report(
            Diagnostic::warning(default.clone(), "no request gets here")
                .other(place.clone(), "this route takes every one that is left"),
        );
    }
}
