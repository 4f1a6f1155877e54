//! What mode http asks of a whole configuration; core.

use portolan_shared::model::{CookieMode, ServerAddress, Tune};

use super::{Kind, Proxy};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::reading::Reading;
use crate::config::server::Placed;

/// A section in mode http.
pub fn check(proxy: &mut Proxy, tune: &Tune, reading: &mut Reading<'_>) {
    if proxy.kind != Kind::Backend {
        check_captures(proxy, tune, reading);
        check_unique_id(proxy, reading);
    }
    if proxy.kind != Kind::Frontend {
        check_cookie(proxy, reading);
    }
}

/// A captured cookie has no more room than all have.
fn check_captures(proxy: &mut Proxy, tune: &Tune, reading: &mut Reading<'_>) {
    let Some(cookie) = &mut proxy.draft.http.frontend.captures.cookie else { return };
    if cookie.length_max > tune.http_cookielen {
        let message = format!(
            "of the captured cookie in `{}` no more than {} bytes are kept: http_cookielen",
            proxy.name, tune.http_cookielen
        );
        reading.warn(proxy.place.clone(), message);
        cookie.length_max = tune.http_cookielen;
    }
}

fn check_unique_id(proxy: &Proxy, reading: &mut Reading<'_>) {
    let frontend = &proxy.draft.http.frontend;
    if frontend.unique_id_header.is_some() && proxy.draft.lines.unique_id.is_none() {
        let message = format!(
            "`unique_id_header` has no effect in `{}`: it has no `unique_id_format`",
            proxy.name
        );
        reading.warn(proxy.place.clone(), message);
    }
}

fn check_cookie(proxy: &Proxy, reading: &mut Reading<'_>) {
    let (name, http) = (&proxy.name, &proxy.draft.http);
    if let Some(at) = &http.dynamic_cookie_at
        && http.dynamic_cookie_key.is_none()
    {
        let message = format!("`dynamic` needs a `dynamic_cookie_key` in `{name}`");
        reading.error(at.clone(), message);
    }
    let mut with_value =
        proxy.draft.servers.iter().filter(|placed| placed.server.http.cookie.is_some());
    let Some(cookie) = &http.backend.cookie else {
        if let Some(Placed { server, place, .. }) = with_value.next() {
            let message = format!(
                "the cookie of server `{}` has no effect: `{name}` has no `cookie`",
                server.name
            );
            reading.warn(place.clone(), message);
        }
        return;
    };
    let delimiter = match cookie.mode {
        CookieMode::Prefix => Some('~'),
        _ if cookie.maxidle.is_some() || cookie.maxlife.is_some() => Some('|'),
        _ => None,
    };
    if let Some(at) = &http.dynamic_cookie_at {
        warn_of_unix(proxy, at, reading);
    }
    let mut any = false;
    for Placed { server, place, .. } in with_value {
        any = true;
        let value = server.http.cookie.as_deref().unwrap_or_default();
        if let Some(delimiter) = delimiter.filter(|delimiter| value.contains(*delimiter)) {
            let message = format!(
                "the cookie of server `{}` cannot be told apart: `{delimiter}` ends it",
                server.name
            );
            reading.error(place.clone(), message);
        }
    }
    if !any && http.dynamic_cookie_at.is_none() && !proxy.draft.servers.is_empty() {
        let message = format!("`cookie` has no effect in `{name}`: no server has a value of it");
        reading.warn(proxy.place.clone(), message);
    }
}

/// A value is computed from an address, and a UNIX socket has none that another proxy knows.
fn warn_of_unix(proxy: &Proxy, dynamic: &Place, reading: &mut Reading<'_>) {
    for Placed { server, place, .. } in &proxy.draft.servers {
        let unix = matches!(server.address, ServerAddress::Unix(_));
        if unix && server.http.cookie.is_none() {
            let message = format!("server `{}` gets no cookie: it is a UNIX socket", server.name);
            reading.report(
                Diagnostic::warning(place.clone(), message)
                    .other(dynamic.clone(), "cookies are computed from addresses here"),
            );
        }
    }
}
