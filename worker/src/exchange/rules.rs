//! What the configuration says about a request and its response.
//!
//! Shell around the policies of `http`: it brings them together with the stream's frontend and backend.

use std::cell::OnceCell;

use portolan_shared::model::{
    Answer, Backend, BackendId, ClientIdentity, Config, ConnectionMode, Frontend, PersistRule,
    RestrictNames, RouteTarget, ServerId,
};

use super::Exchange;
use crate::event_loop::Worker;
use crate::http::answer::{self, Facts, Given, Ready};
use crate::http::auth::{Gate, Role};
use crate::http::cookie::Answered;
use crate::http::error_page::Pages;
use crate::http::identity::{self, Ends};
use crate::http::redirect::Target;
use crate::http1::{Fields, Framing, Known, Method, RequestHead, ResponseHead, Version};
use crate::session::SessionKey;
use crate::stream::{StreamKey, may_return};
use crate::termination::{Cause, Phase, Termination};

impl Worker {
    /// Who serves this request; `None` where nobody does: then the exchange says how it ends.
    pub(super) fn decide(
        &mut self,
        key: SessionKey,
        bytes: &[u8],
        head: &RequestHead,
        fields: &Fields,
        exchange: &mut Exchange,
    ) -> Option<BackendId> {
        let session = self.sessions.get(key as usize)?;
        let config = &*self.config;
        let frontend = &config.frontends[session.frontend as usize];
        let state = &self.frontends[session.frontend as usize];
        let path = head.path.of(bytes);
        let closes = frontend.http.connection_mode == ConnectionMode::Close;
        let stays = exchange.client_stays && !closes && !self.is_last(key);
        // Few requests are answered here.
        let (clock, date) = (&self.clock, OnceCell::new());
        let facts = || Facts {
            head: head.method == Method::Head,
            connect: head.method == Method::Connect,
            http10: head.version == Version::Http10,
            keep_alive: stays && is_whole(head, bytes),
            date: date.get_or_init(|| clock.http_date()),
        };
        if answer::is_monitor(frontend.http.monitor_uri.as_deref(), path) {
            exchange.unlogged = true;
            let mut out = Vec::new();
            if let Given::Ready(ready) =
                answer::monitor(&mut out, pages(config, frontend, None), &facts())
            {
                exchange.take_answer(out, &ready);
            }
            return None;
        }
        if head.max_forwards == Some(0) && matches!(head.method, Method::Trace | Method::Options) {
            let mut out = Vec::new();
            let ready = match head.method {
                Method::Trace => answer::trace(&mut out, &bytes[..head.length], &facts()),
                _ => answer::options(&mut out, &facts()),
            };
            exchange.take_answer(out, &ready);
            return None;
        }
        let give = |answer: &Answer, backend: Option<&Backend>, exchange: &mut Exchange| {
            let pages = pages(config, frontend, backend);
            let target = Target { host: head.host.of(bytes), path };
            let accepts = fields.all(Known::Accept).map(|index| fields.value(bytes, index));
            let mut out = Vec::new();
            let given = answer::answer(&mut out, answer, target, pages, accepts, &facts());
            match given {
                Given::Skipped => return false,
                Given::Silent => {
                    exchange.silent = true;
                    exchange.refusal = Some(Termination::new(Cause::Proxy, Phase::Request));
                }
                Given::Ready(ready) => exchange.take_answer(out, &ready),
            }
            match answer {
                Answer::Deny(_) => {
                    exchange.refusal = Some(Termination::new(Cause::Proxy, Phase::Request));
                }
                Answer::Tarpit(_) => {
                    exchange.tarpit = true;
                    exchange.refusal = Some(Termination::new(Cause::Proxy, Phase::Tarpit));
                }
                Answer::Redirect(_) | Answer::Return(_) => {}
            }
            true
        };
        let role = Role::of(frontend.http.use_proxy_header, head.form);
        let challenge = |gate: &Gate, backend: Option<&Backend>, exchange: &mut Exchange| {
            let pages = pages(config, frontend, backend);
            let accepts = fields.all(Known::Accept).map(|index| fields.value(bytes, index));
            let more = [(role.challenge_field(), gate.challenge())];
            let mut out = Vec::new();
            match answer::error(&mut out, role.status(), &more, pages, accepts, &facts()) {
                Given::Ready(ready) => exchange.take_answer(out, &ready),
                Given::Silent | Given::Skipped => exchange.silent = true,
            }
            exchange.refusal = Some(Termination::new(Cause::Proxy, Phase::Request));
        };
        let checker = &mut self.http.checker;
        let mut passes =
            |gate: Option<&Gate>, backend: Option<&Backend>, exchange: &mut Exchange| {
                let Some(gate) = gate else { return true };
                let passes = gate.check(role, bytes, fields, checker).is_some();
                if !passes {
                    challenge(gate, backend, exchange);
                }
                passes
            };
        if !passes(state.gate.as_ref(), None, exchange) {
            return None;
        }
        if let Some(answer) = &frontend.http.answer
            && give(answer, None, exchange)
        {
            return None;
        }
        let route = state.routes.find(head.host.of(bytes), path);
        if let Some(id) = route
            && !passes(state.route_gates[id].as_ref(), None, exchange)
        {
            return None;
        }
        let route = route.map(|id| &frontend.http.routes[id]);
        exchange.priority = route.and_then(|route| route.priority).unwrap_or(frontend.priority);
        exchange.persist = route.map_or(PersistRule::Normal, |route| route.persist);
        let backend = match route.map(|route| &route.to) {
            Some(RouteTarget::Answer(answer)) => {
                if give(answer, None, exchange) {
                    return None;
                }
                frontend.default_backend
            }
            Some(RouteTarget::Backend(id)) => Some(*id),
            None => frontend.default_backend,
        };
        let Some(id) = backend else {
            exchange.refusal = Some(Termination::new(Cause::Server, Phase::Connect));
            return None;
        };
        let backend = &config.backends[id as usize];
        exchange.answerer = id;
        if exchange.persist == PersistRule::Normal {
            exchange.persist = backend.http.persist;
        }
        if !passes(self.backends[id as usize].gate.as_ref(), Some(backend), exchange) {
            return None;
        }
        if let Some(answer) = &backend.http.answer
            && give(answer, Some(backend), exchange)
        {
            return None;
        }
        Some(id)
    }

    /// What is changed in a request for its backend, and what is kept of it.
    pub(super) fn change_request(
        &mut self,
        key: SessionKey,
        bytes: &[u8],
        head: &RequestHead,
        fields: &mut Fields,
        exchange: &mut Exchange,
        id: BackendId,
    ) {
        let Some(session) = self.sessions.get(key as usize) else { return };
        let frontend = &self.config.frontends[session.frontend as usize];
        let backend = &self.config.backends[id as usize];
        let restrict = match (frontend.http.restrict_names, backend.http.restrict_names) {
            (RestrictNames::Preserve, other) => other,
            (one, _) => one,
        };
        if frontend.http.identity != NO_IDENTITY || backend.http.identity != NO_IDENTITY {
            let wants_destination = |identity: &ClientIdentity| {
                identity.original_to.is_some()
                    || identity.forwarded.is_some_and(|forwarded| forwarded.by.is_some())
            };
            let destination = wants_destination(&frontend.http.identity)
                || wants_destination(&backend.http.identity);
            let ends = Ends {
                source: session.client.ip(),
                destination: if destination { self.session_destination(key) } else { None },
                tls: false,
                host: head.host.of(bytes),
            };
            let (front, back) = (&frontend.http.identity, &backend.http.identity);
            identity::tell(front, back, &ends, bytes, fields, &mut self.http.draft);
        }
        if let (Some(name), Some(_)) = (&frontend.http.unique_id_header, &frontend.http.unique_id) {
            fields.add(name.as_bytes(), exchange.text.id.of(&exchange.text.bytes));
        }
        self.refresh(id);
        let state = &self.backends[id as usize];
        if let Some(persistence) = &state.persistence {
            let now = self.clock.wall_of(self.clock.now()).micros() / 1_000_000;
            let ignored = exchange.persist == PersistRule::Ignore;
            let usable = |server: ServerId| may_return(state.usable(server), exchange.persist);
            let draft = &mut self.http.draft;
            exchange.presented = persistence.request(bytes, fields, now, ignored, usable, draft);
        }
        if restrict != RestrictNames::Preserve {
            restrict_names(restrict, fields, exchange);
        }
    }

    /// What is changed in a response for its client, and what is kept of it.
    pub(super) fn change_response(
        &mut self,
        key: StreamKey,
        bytes: &[u8],
        head: &ResponseHead,
        fields: &mut Fields,
    ) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let Some(exchange) = stream.http.as_deref_mut() else { return };
        self.frontends[stream.frontend as usize].captures.response(
            bytes,
            fields,
            &mut exchange.captured,
        );
        if matches!(head.status, 401 | 407) && asks_for_connection(bytes, fields) {
            exchange.private = true;
        }
        if let Some(persistence) = &self.backends[stream.backend as usize].persistence {
            let answered = Answered {
                server: stream.server,
                method: exchange.method,
                status: head.status,
                now: self.clock.wall_of(self.clock.now()).micros() / 1_000_000,
            };
            let draft = &mut self.http.draft;
            let presented = &exchange.presented;
            exchange.set_cookie =
                Some(persistence.response(presented, &answered, bytes, fields, draft));
        }
    }
}

/// Whether a request's content has come with its head: what has not is not read for an answer that
/// does not depend on it.
fn is_whole(head: &RequestHead, bytes: &[u8]) -> bool {
    match head.framing {
        Framing::None | Framing::UntilClose => true,
        Framing::Length(length) => length <= (bytes.len() - head.length) as u64,
        Framing::Chunked => false,
    }
}

const NO_IDENTITY: ClientIdentity =
    ClientIdentity { forwarded_for: None, original_to: None, forwarded: None };

/// Fields whose names have unusual characters are left out, or the request is refused.
fn restrict_names(restrict: RestrictNames, fields: &mut Fields, exchange: &mut Exchange) {
    let unusual: Vec<usize> =
        fields.iter().filter(|(_, field)| !field.ordinary).map(|(index, _)| index).collect();
    match restrict {
        RestrictNames::Reject if !unusual.is_empty() => {
            exchange.status = 403;
            exchange.refusal = Some(Termination::new(Cause::Proxy, Phase::Request));
        }
        _ => unusual.into_iter().for_each(|index| fields.drop(index)),
    }
}

/// Whether a server wants to know a client by its connection (NTLM, Negotiate): that connection must
/// not serve others then.
fn asks_for_connection(bytes: &[u8], fields: &Fields) -> bool {
    let schemes = fields.all(Known::WwwAuthenticate).chain(fields.all(Known::ProxyAuthenticate));
    schemes.map(|index| fields.value(bytes, index)).any(|value| {
        let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"NTLM") || scheme.eq_ignore_ascii_case(b"Negotiate")
    })
}

/// The error pages of a frontend, and of a backend where there is one.
pub(super) fn pages<'a>(
    config: &'a Config,
    frontend: &Frontend,
    backend: Option<&Backend>,
) -> Pages<'a> {
    let backend = backend.and_then(|backend| backend.http.errors);
    Pages::at(&config.error_pages, backend, frontend.http.errors)
}

impl Exchange {
    /// Takes an answer of our own.
    fn take_answer(&mut self, mut out: Vec<u8>, ready: &Ready<'_>) {
        out.extend_from_slice(&ready.content);
        self.status = ready.status;
        self.client_stays &= ready.keep_alive;
        self.answer = Some(out);
        self.refusal = Some(Termination::new(Cause::Local, Phase::Request));
    }
}
