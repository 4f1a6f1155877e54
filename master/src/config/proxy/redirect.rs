//! `redirect`: an answer that leads elsewhere; core.

use portolan_shared::model::{Redirect, RedirectTo};

use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::document::Node;
use crate::config::http_syntax::{VALUE_MAX, is_token};
use crate::config::reading::{Reading, assign, once, set};
use crate::config::table::{EVERYWHERE, Key, Table};

/// Bytes of a cookie, as browsers keep it (RFC 6265 section 6.1).
const COOKIE_MAX: usize = 4096;

/// A redirect while it is read.
#[derive(Clone, Debug)]
pub struct Draft {
    to: Option<RedirectTo>,
    to_at: Option<Place>,
    status: u16,
    drop_query: Option<Place>,
    keep_query: Option<Place>,
    append_slash: Option<Place>,
    ignore_empty: bool,
    set_cookie: Option<String>,
    clear_cookie: Option<String>,
    cookie_at: Option<Place>,
}

/// `redirect`.
pub const REDIRECT: Table<Draft> =
    Table { name: "`redirect`", keys: &[KEYS], unsupported: "set_cookie_fmt if unless" };

type Row = Key<Draft>;

const KEYS: &[Row] = &[
    Row::new(
        "location",
        |draft, node, reading| to(draft, RedirectTo::Location, node, reading),
        "
Where to go, as it is. Exactly one of
.Cm location ,
.Cm prefix
and
.Cm scheme
is required.",
    ),
    Row::new(
        "prefix",
        |draft, node, reading| to(draft, RedirectTo::Prefix, node, reading),
        "
Where to go, with the request's path and query behind it;
.Dq /
puts nothing before them.
This or one of the others is required.",
    ),
    Row::new(
        "scheme",
        |draft, node, reading| {
            let Some(place) = first_target(draft, node, reading) else { return };
            let Some(scheme) = reading.word(node, 64) else { return };
            let mut letters = scheme.bytes();
            let begins = letters.next().is_some_and(|byte| byte.is_ascii_alphabetic());
            if begins && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            {
                draft.to = Some(RedirectTo::Scheme(scheme));
            } else {
                reading.error(place, format!("`{scheme}` is no scheme as \"https\""));
            }
        },
        "
The same host, path and query by this scheme, as \"https\".
This or one of the others is required.",
    ),
    Row::new(
        "code",
        |draft, node, reading| {
            let codes = [301, 302, 303, 307, 308];
            let Some(code) = reading.count(node, 301..=308) else { return };
            if codes.contains(&code) {
                draft.status = code as u16;
            } else {
                reading.error(node.place(), "one of 301, 302, 303, 307 and 308");
            }
        },
        "
The answer's status: 301, 302, 303, 307 or 308.
Default: 302.",
    ),
    Row::new(
        "drop_query",
        |draft, node, reading| option(&mut draft.drop_query, node, reading),
        "
Whether the request's query is left out, with a
.Cm prefix
or a
.Cm scheme .
Default: false.",
    ),
    Row::new(
        "keep_query",
        |draft, node, reading| option(&mut draft.keep_query, node, reading),
        "
Whether the request's query is put behind a
.Cm location .
Default: false.",
    ),
    Row::new(
        "append_slash",
        |draft, node, reading| option(&mut draft.append_slash, node, reading),
        "
Whether a path that does not end with a slash gets one, with a
.Cm prefix
or a
.Cm scheme .
Default: false.",
    ),
    Row::new(
        "ignore_empty",
        |draft, node, reading| assign(&mut draft.ignore_empty, reading.boolean(node)),
        "
Whether nothing is done where the
.Cm location
is empty, as one of a variable may be; else that is an error.
Default: false.",
    ),
    Row::new(
        "set_cookie",
        |draft, node, reading| {
            let cookie = cookie(&mut draft.cookie_at, node, reading);
            set(&mut draft.set_cookie, cookie);
        },
        "
A cookie that clients are given: NAME or NAME=VALUE, at most 4096 bytes.
Default: none.",
    ),
    Row::new(
        "clear_cookie",
        |draft, node, reading| {
            let Some(cookie) = cookie(&mut draft.cookie_at, node, reading) else { return };
            match cookie.split_once('=') {
                Some((_, value)) if !value.is_empty() => {
                    reading.error(node.place(), "a cookie is taken back as NAME or NAME=");
                }
                _ => draft.clear_cookie = Some(cookie),
            }
        },
        "
A cookie that is taken back: NAME, or NAME= where it had a value.
Not together with
.Cm set_cookie .
Default: none.",
    ),
];

/// A redirect.
pub fn read(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Redirect> {
    let errors = reading.diagnostics.len();
    let mut draft = Draft {
        to: None,
        to_at: None,
        status: 302,
        drop_query: None,
        keep_query: None,
        append_slash: None,
        ignore_empty: false,
        set_cookie: None,
        clear_cookie: None,
        cookie_at: None,
    };
    REDIRECT.read_node(&mut draft, node, EVERYWHERE, reading);
    if reading.diagnostics.len() > errors {
        return None;
    }
    if draft.to.is_none() {
        reading.error(node.place(), "`redirect` needs a `location`, a `prefix` or a `scheme`");
    }
    draft.finish(reading)
}

impl Draft {
    fn finish(self, reading: &mut Reading<'_>) -> Option<Redirect> {
        let to = self.to?;
        if let (RedirectTo::Location(location), Some(place)) = (&to, &self.to_at)
            && location.is_empty()
            && !self.ignore_empty
        {
            reading.report(
                Diagnostic::error(place.clone(), "the location is empty")
                    .help("`ignore_empty = true` does nothing then"),
            );
            return None;
        }
        let is_location = matches!(to, RedirectTo::Location(_));
        let idle = [
            (&self.drop_query, is_location, "`drop_query` means nothing with a `location`"),
            (&self.keep_query, !is_location, "`keep_query` means nothing without a `location`"),
            (&self.append_slash, is_location, "`append_slash` means nothing with a `location`"),
        ];
        for (given, idle, message) in idle {
            if let (Some(place), true) = (given, idle) {
                reading.warn(place.clone(), message);
            }
        }
        Some(Redirect {
            to,
            status: self.status,
            drop_query: self.drop_query.is_some(),
            keep_query: self.keep_query.is_some(),
            append_slash: self.append_slash.is_some(),
            ignore_empty: self.ignore_empty,
            set_cookie: self.set_cookie,
            clear_cookie: self.clear_cookie,
        })
    }
}

fn first_target(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Place> {
    let place = node.place();
    let first = draft.to_at.is_none();
    once(&mut draft.to_at, place.clone(), "a redirect leads to one place", reading);
    first.then_some(place)
}

fn to(
    draft: &mut Draft,
    kind: fn(String) -> RedirectTo,
    node: &Node<'_>,
    reading: &mut Reading<'_>,
) {
    let Some(place) = first_target(draft, node, reading) else { return };
    let Some(text) = reading.text_or_empty(node) else { return };
    let target = &*text.text;
    let prefix = matches!(kind(String::new()), RedirectTo::Prefix(_));
    let message = if target.len() > VALUE_MAX {
        format!("longer than {VALUE_MAX} bytes")
    } else if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        "only printable ASCII without blanks; others are percent-encoded".to_owned()
    } else if prefix && target.is_empty() {
        "the prefix is empty; \"/\" puts nothing before the path".to_owned()
    } else {
        draft.to = Some(kind(target.to_owned()));
        return;
    };
    reading.error(place, message);
}

fn option(into: &mut Option<Place>, node: &Node<'_>, reading: &mut Reading<'_>) {
    *into = reading.boolean(node).and_then(|on| on.then(|| node.place()));
}

fn cookie(first: &mut Option<Place>, node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    once(first, node.place(), "a redirect sets or clears one cookie", reading);
    let cookie = reading.line(node, COOKIE_MAX)?;
    let name = cookie.split_once('=').map_or(&*cookie, |(name, _)| name);
    if !is_token(name) || !cookie.is_ascii() {
        reading.error(node.place(), "a cookie is NAME or NAME=VALUE, in ASCII");
        return None;
    }
    Some(cookie)
}
