//! Whether a shared cache might keep a response and give it, with its cookie, to others.
//!
//! Core: no I/O. RFC 9111 section 3; in doubt yes.

use super::response::Answered;
use crate::http1::{Fields, Known, Method};

/// Whether a shared cache might keep this response.
pub(super) fn is_cacheable(answered: &Answered, bytes: &[u8], fields: &Fields) -> bool {
    let mut has_lifetime = fields.first(Known::Expires).is_some();
    let mut is_public = false;
    let mut is_stale = false;
    for index in fields.all(Known::CacheControl) {
        for directive in directives(fields.value(bytes, index)) {
            match directive {
                Directive::Forbids => return false,
                Directive::Public => is_public = true,
                Directive::Lifetime => has_lifetime = true,
                Directive::SharedLifetime => {
                    has_lifetime = true;
                    is_public = true;
                }
                Directive::NoLifetime => is_stale = true,
                Directive::Other => {}
            }
        }
    }
    if is_stale && !is_public {
        return false;
    }
    let is_asked_to_read = matches!(answered.method, Method::Get | Method::Head);
    is_public || has_lifetime || is_asked_to_read && is_heuristically_cacheable(answered.status)
}

/// RFC 9110 section 15.1.
fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// What a directive of `Cache-Control` says about shared caches.
enum Directive {
    /// `private`, `no-store`, `no-cache` (without a list of fields), `s-maxage=0`.
    Forbids,
    /// `public`.
    Public,
    /// `max-age` other than 0.
    Lifetime,
    /// `s-maxage` other than 0.
    SharedLifetime,
    /// `max-age=0`.
    NoLifetime,
    /// Any other.
    Other,
}

fn directives(text: &[u8]) -> impl Iterator<Item = Directive> {
    text.split(|byte| *byte == b',').map(|part| {
        let part = part.trim_ascii();
        let is = |name: &str| part.eq_ignore_ascii_case(name.as_bytes());
        let begins = |name: &str| {
            part.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes()))
        };
        if is("private") || is("no-store") || is("no-cache") || is("s-maxage=0") {
            Directive::Forbids
        } else if is("public") {
            Directive::Public
        } else if is("max-age=0") {
            Directive::NoLifetime
        } else if begins("s-maxage=") {
            Directive::SharedLifetime
        } else if begins("max-age=") {
            Directive::Lifetime
        } else {
            Directive::Other
        }
    })
}
