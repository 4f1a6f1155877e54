//! `cookie`: persistence in a backend; core.
//!
//! | together | |
//! | --- | --- |
//! | `preserve` without `insert` mode and without `indirect` | refused: nothing would be preserved |
//! | `rewrite` mode with `indirect` | refused: the cookie that is rewritten must reach the client |
//! | `maxidle`, `maxlife`, `postonly`, `httponly`, `secure`, `domain`, `attr` without `insert` mode | warned of: they go with a cookie of ours |

use std::time::Duration;

use portolan_shared::model::{Cookie, CookieMode};
use toml::de::DeValue;

use super::{BACK, Row};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::document::{Entry, Node};
use crate::config::http_syntax::is_token;
use crate::config::proxy;
use crate::config::reading::{Reading, assign, set};
use crate::config::table::{EVERYWHERE, Key, Table};
use crate::config::units::Bare;

/// Bytes of a name, a domain or an attribute.
const TEXT_MAX: usize = 255;
/// How long a cookie may last; browsers end it earlier.
const LIFE_MAX: Duration = Duration::from_secs(3650 * 86_400);

pub const ROWS: &[Row] = &[
    Row::new(
        "cookie",
        read,
        "
Persistence by a cookie: its name, for a cookie of the application that is only read; a table, see
.Sx COOKIE ;
or false.
Default: false.",
    )
    .only(BACK)
    .http(),
    Row::new(
        "dynamic_cookie_key",
        |draft, node, reading| {
            set(&mut draft.http.dynamic_cookie_key, reading.line(node, TEXT_MAX));
        },
        "
Secret with which the cookie's values are computed, see
.Cm dynamic
in
.Sx COOKIE .
Default: none.",
    )
    .only(BACK)
    .http(),
];

/// `cookie` while it is read.
#[derive(Clone, Debug)]
pub struct Draft {
    cookie: Cookie,
    dynamic_at: Option<Place>,
}

/// `cookie` in its long form.
pub const COOKIE: Table<Draft> = Table { name: "`cookie`", keys: &[KEYS], unsupported: "" };

const KEYS: &[Key<Draft>] = &[
    Key::new(
        "name",
        |draft, node, reading| assign(&mut draft.cookie.name, name(node, reading)),
        "
Its name; required.",
    ),
    Key::new(
        "mode",
        |draft, node, reading| {
            let choices = [
                ("insert", CookieMode::Insert),
                ("rewrite", CookieMode::Rewrite),
                ("prefix", CookieMode::Prefix),
            ];
            assign(&mut draft.cookie.mode, reading.choice(node, &choices));
        },
        "
Who sets it: \\(dqinsert\\(dq, Portolan; \\(dqrewrite\\(dq, the application, and its value is
replaced by the server's; \\(dqprefix\\(dq, the application, and the server's value and
.Li ~
are put before its own.
Default: the application, with the server's value; it is only read.",
    ),
    Key::new(
        "indirect",
        |draft, node, reading| assign(&mut draft.cookie.indirect, reading.boolean(node)),
        "
Whether servers do not see it and clients that have the right one do not get it again.
Default: false.",
    ),
    Key::new(
        "nocache",
        |draft, node, reading| assign(&mut draft.cookie.nocache, reading.boolean(node)),
        "
Whether responses that set it are marked as not for shared caches.
Default: false.",
    ),
    Key::new(
        "postonly",
        |draft, node, reading| assign(&mut draft.cookie.postonly, reading.boolean(node)),
        "
Whether it is only inserted into responses to POST.
Default: false.",
    ),
    Key::new(
        "preserve",
        |draft, node, reading| assign(&mut draft.cookie.preserve, reading.boolean(node)),
        "
Whether one that the server sets is left as it is; with mode \\(dqinsert\\(dq or
.Cm indirect .
Default: false.",
    ),
    Key::new(
        "httponly",
        |draft, node, reading| assign(&mut draft.cookie.httponly, reading.boolean(node)),
        "
Whether it is inserted with the attribute
.Li HttpOnly .
Default: false.",
    ),
    Key::new(
        "secure",
        |draft, node, reading| assign(&mut draft.cookie.secure, reading.boolean(node)),
        "
Whether it is inserted with the attribute
.Li Secure .
Default: false.",
    ),
    Key::new(
        "maxidle",
        |draft, node, reading| set(&mut draft.cookie.maxidle, life(node, reading)),
        "
How long an inserted one holds after the last response that set it, a bare number is seconds:
1s to 3650d.
Default: for ever.",
    ),
    Key::new(
        "maxlife",
        |draft, node, reading| set(&mut draft.cookie.maxlife, life(node, reading)),
        "
How long an inserted one holds after the first response that set it, a bare number is seconds:
1s to 3650d.
Default: for ever.",
    ),
    Key::new(
        "domain",
        |draft, node, reading| draft.cookie.domains = texts(node, domain, reading),
        "
Value of the attribute
.Li Domain
of an inserted one, or a list of those.
Default: none.",
    ),
    Key::new(
        "attr",
        |draft, node, reading| draft.cookie.attributes = texts(node, attribute, reading),
        "
Further attribute of an inserted one, as
.Li SameSite=Lax ,
or a list of those.
Default: none.",
    ),
    Key::new(
        "dynamic",
        |draft, node, reading| {
            let on = reading.boolean(node) == Some(true);
            draft.dynamic_at = on.then(|| node.place());
        },
        "
Whether servers without a value of their own get one that is computed from their address and
.Cm dynamic_cookie_key .
Default: false.",
    ),
];

fn read(section: &mut proxy::Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let mut draft = Draft { cookie: empty(), dynamic_at: None };
    match node.value {
        DeValue::Boolean(false) => {
            section.http.backend.cookie = None;
            section.http.dynamic_cookie_at = None;
            return;
        }
        DeValue::String(_) => {
            let Some(name) = name(node, reading) else { return };
            draft.cookie.name = name;
        }
        DeValue::Table(_) => {
            let entries = node.entries().unwrap_or_default();
            let before = reading.diagnostics.len();
            COOKIE.read(&mut draft, &entries, EVERYWHERE, reading);
            if reading.diagnostics.len() == before {
                check(&draft.cookie, &entries, node, reading);
            }
        }
        _ => {
            reading.mismatch(node, "a name, a table or false");
            return;
        }
    }
    section.http.backend.cookie = Some(draft.cookie);
    section.http.dynamic_cookie_at = draft.dynamic_at;
}

fn empty() -> Cookie {
    Cookie {
        name: String::new(),
        mode: CookieMode::Passive,
        indirect: false,
        nocache: false,
        postonly: false,
        preserve: false,
        httponly: false,
        secure: false,
        maxidle: None,
        maxlife: None,
        domains: Vec::new(),
        attributes: Vec::new(),
        dynamic_key: None,
    }
}

/// What does not go together.
fn check(cookie: &Cookie, entries: &[Entry<'_>], node: &Node<'_>, reading: &mut Reading<'_>) {
    if cookie.name.is_empty() {
        reading.error(node.place(), "a cookie needs a `name`");
    }
    if cookie.mode == CookieMode::Rewrite && cookie.indirect {
        let message =
            "`indirect` contradicts mode \"rewrite\": the client must get what is rewritten";
        reading.error(node.place(), message);
    }
    if cookie.preserve && cookie.mode != CookieMode::Insert && !cookie.indirect {
        reading.error(node.place(), "`preserve` needs mode \"insert\" or `indirect`");
    }
    if cookie.mode == CookieMode::Prefix && cookie.indirect {
        let message = "with mode \"prefix\", `indirect` keeps a server's changes from its clients";
        reading.warn(node.place(), message);
    }
    let inserted = [
        ("postonly", cookie.postonly),
        ("httponly", cookie.httponly),
        ("secure", cookie.secure),
        ("maxidle", cookie.maxidle.is_some()),
        ("maxlife", cookie.maxlife.is_some()),
        ("domain", !cookie.domains.is_empty()),
        ("attr", !cookie.attributes.is_empty()),
    ];
    for entry in entries {
        let said = inserted.iter().any(|(key, on)| *on && *key == entry.key);
        if said && cookie.mode != CookieMode::Insert {
            let message = format!("`{}` has no effect without mode \"insert\"", entry.key);
            reading.report(Diagnostic::warning(entry.key_place(), message));
        }
    }
}

fn name(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let name = reading.line(node, TEXT_MAX)?;
    if !is_token(&name) {
        let message = "not the name of a cookie: letters, digits and !#$%&'*+-.^_`|~";
        reading.error(node.place(), message);
        return None;
    }
    Some(name)
}

fn life(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Duration> {
    reading.duration_within(node, Bare::Seconds, Duration::from_secs(1)..=LIFE_MAX)
}

/// Each of them, as one of these leaves understands it.
fn texts(
    node: &Node<'_>,
    leaf: fn(&Node<'_>, &mut Reading<'_>) -> Option<String>,
    reading: &mut Reading<'_>,
) -> Vec<String> {
    node.one_or_many().iter().filter_map(|node| leaf(node, reading)).collect()
}

fn domain(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let domain = reading.word(node, TEXT_MAX)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if !domain.bytes().all(allowed) {
        reading.error(node.place(), "not a domain: letters, digits, `-` and `.`");
        return None;
    }
    Some(domain)
}

fn attribute(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let attribute = reading.line(node, TEXT_MAX)?;
    if !attribute.is_ascii() || attribute.contains(';') {
        reading.error(node.place(), "an attribute is ASCII text without `;`");
        return None;
    }
    Some(attribute)
}
