//! Error pages: `errorfiles`, `errorfile`, `errorloc302`, `errorloc303`, `error_format`, and sections
//! `http_errors`; core.
//!
//! - A section adds to what it inherits, page by page; what it says page by page holds over the sets
//!   that it takes.
//! - The statuses are HAProxy's, and those that only we answer with.

use std::rc::Rc;

use portolan_shared::model::{ErrorFormat, ErrorPage, ErrorPages};
use toml::de::DeValue;

use super::{BOTH, Http, Row};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::document::{Entry, Node};
use crate::config::http_file;
use crate::config::http_syntax;
use crate::config::nearest::nearest;
use crate::config::reading::{Reading, set};
use crate::config::survey::Asked;
use crate::config::table::{EVERYWHERE, Key, Table};

/// Statuses of answers that we give ourselves.
const STATUSES: [u16; 21] = [
    200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 417, 425, 429, 431, 500, 501, 502, 503,
    504, 505,
];

pub const ROWS: &[Row] = &[
    // Before those that give pages one by one.
    Row::new(
        "errorfiles",
        |draft, node, reading| {
            for node in node.one_or_many() {
                take_set(&mut draft.http, &node, reading);
            }
        },
        "
Error pages of a section
.Li [http_errors.NAME] :
its name, a table, see
.Sx ERRORFILES ,
or a list of those.
Default: those of the defaults.",
    )
    .only(BOTH)
    .http(),
    Row::new(
        "errorfile",
        |draft, node, reading| pages(&mut draft.http, node, reading, from_file),
        "
Table of error pages, status to file name; the status is 200 (the answer to
.Cm monitor_uri ) ,
400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 425, 429, 431, 500, 501, 502, 503 or 504, or,
Portolan's own, 417 or 505.
The file holds a whole response with status line and fields, no larger than
.Cm bufsize
less
.Cm maxrewrite ;
it is read with the configuration.
With
.Pa /dev/null
the connection is closed without an answer.
Default: a built-in page.",
    )
    .only(BOTH)
    .http(),
    Row::new(
        "errorloc302",
        |draft, node, reading| {
            pages(&mut draft.http, node, reading, |node, reading| location(302, node, reading));
        },
        "
Table of places to go to instead, status to URL; the answer is a 302.
Statuses are those of
.Cm errorfile .
Default: none.",
    )
    .only(BOTH)
    .http(),
    Row::new(
        "errorloc303",
        |draft, node, reading| {
            pages(&mut draft.http, node, reading, |node, reading| location(303, node, reading));
        },
        "
As
.Cm errorloc302 ,
with a 303, so that the client goes there with GET.
Default: none.",
    )
    .only(BOTH)
    .http(),
    Row::new(
        "error_format",
        |draft, node, reading| {
            let choices = [
                ("html", ErrorFormat::Html),
                ("json", ErrorFormat::Json),
                ("accept", ErrorFormat::Accept),
            ];
            let format = reading.choice(node, &choices);
            set(&mut Rc::make_mut(&mut draft.http.errors).format, format);
        },
        "
How built-in error pages look: \\(dqhtml\\(dq; \\(dqjson\\(dq, an object as RFC 9457 has it;
\\(dqaccept\\(dq, JSON for requests that prefer it.
Default: \\(dqhtml\\(dq.
Portolan's own.",
    )
    .only(BOTH)
    .http(),
];

type Pages = Vec<(u16, ErrorPage)>;

/// `[http_errors.NAME]`.
pub const HTTP_ERRORS: Table<Pages> = Table {
    name: "`http_errors`",
    keys: &[&[Key::new(
        "errorfile",
        |pages, node, reading| {
            for (entry, status) in statuses(node, reading) {
                let page = from_file(&entry.node, reading);
                pages.extend(page.map(|page| (status, page)));
            }
        },
        "
As in other sections.
Default: none, with a warning.",
    )]],
    unsupported: "http_error",
};

/// The pages of a section `http_errors`.
pub fn read_set(section: &Entry<'_>, reading: &mut Reading<'_>) {
    let mut pages = Pages::new();
    if let Some(entries) = reading.table(&section.node, "a section") {
        let before = reading.diagnostics.len();
        HTTP_ERRORS.read(&mut pages, &entries, EVERYWHERE, reading);
        if pages.is_empty() && reading.diagnostics.len() == before {
            reading.warn(section.key_place(), format!("`{}` has no page", section.key));
        }
    }
    reading.error_sets.insert(section.key.to_owned(), pages);
}

/// One item of `errorfiles`.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    name: Option<(String, Place)>,
    /// Empty: all of them.
    statuses: Vec<(u16, Place)>,
}

/// `errorfiles` in its long form.
pub const ERRORFILES: Table<Taken> = Table {
    name: "`errorfiles`",
    keys: &[&[
        Key::new(
            "name",
            |taken, node, reading| {
                let name = reading.text(node);
                set(&mut taken.name, name.map(|text| (text.text.to_string(), text.place())));
            },
            "
Name of the section; required.",
        ),
        Key::new(
            "status",
            |taken, node, reading| {
                let nodes = node.one_or_many();
                if nodes.is_empty() {
                    reading.error(node.place(), "no status: without `status` all pages are taken");
                }
                for node in nodes {
                    let status = reading.count(&node, 200..=599).map(|status| status as u16);
                    taken.statuses.extend(status.map(|status| (status, node.place())));
                }
            },
            "
Status, or a list of those, whose pages are taken.
Default: all of the section.",
        ),
    ]],
    unsupported: "",
};

fn take_set(http: &mut Http, node: &Node<'_>, reading: &mut Reading<'_>) {
    let mut taken = Taken::default();
    let before = reading.diagnostics.len();
    match node.value {
        DeValue::Table(_) => ERRORFILES.read_node(&mut taken, node, EVERYWHERE, reading),
        _ => (ERRORFILES.keys[0][0].read)(&mut taken, node, reading),
    }
    let Some((name, place)) = &taken.name else {
        if reading.diagnostics.len() == before {
            reading.error(node.place(), "`errorfiles` needs the `name` of a section");
        }
        return;
    };
    let Some(set) = reading.error_sets.get(name) else {
        let diagnostic =
            Diagnostic::error(place.clone(), format!("there is no [http_errors.{name}]"));
        let near = nearest(name, reading.error_sets.keys().map(String::as_str));
        let diagnostic = match near {
            Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
            None => diagnostic,
        };
        reading.report(diagnostic);
        return;
    };
    let wanted = |status| {
        taken.statuses.is_empty() || taken.statuses.iter().any(|(wanted, _)| *wanted == status)
    };
    let errors = Rc::make_mut(&mut http.errors);
    for (status, page) in set.iter().filter(|(status, _)| wanted(*status)) {
        put(errors, *status, page.clone());
    }
    let missing = |status| !set.iter().any(|(known, _)| *known == status);
    let missing: Vec<_> = taken.statuses.into_iter().filter(|(s, _)| missing(*s)).collect();
    for (status, place) in missing {
        reading.error(place, format!("`{name}` has no page for status {status}"));
    }
}

/// Pages that a section gives itself.
fn pages(
    http: &mut Http,
    node: &Node<'_>,
    reading: &mut Reading<'_>,
    page: impl Fn(&Node<'_>, &mut Reading<'_>) -> Option<ErrorPage>,
) {
    for (entry, status) in statuses(node, reading) {
        if let Some((_, before)) = http.said.pages.iter().find(|(said, _)| *said == status) {
            let message = format!("status {status} has two pages");
            reading.report(
                Diagnostic::error(entry.key_place(), message)
                    .label("again here")
                    .other(before.clone(), "first given here"),
            );
            continue;
        }
        http.said.pages.push((status, entry.key_place()));
        if let Some(page) = page(&entry.node, reading) {
            put(Rc::make_mut(&mut http.errors), status, page);
        }
    }
}

/// The entries of a table whose keys are statuses.
fn statuses<'d>(node: &Node<'d>, reading: &mut Reading<'_>) -> Vec<(Entry<'d>, u16)> {
    let entries = reading.table(node, "a table as { 503 = ... }").unwrap_or_default();
    reading.asked(|| Asked::Names(STATUSES.iter().map(u16::to_string).collect()));
    let mut found = Vec::new();
    for entry in entries {
        if let Some(status) = STATUSES.iter().find(|status| status.to_string() == entry.key) {
            found.push((entry, *status));
            continue;
        }
        let known = STATUSES.map(|status| status.to_string()).join(", ");
        let message = format!("`{}` is no status of an answer from here", entry.key);
        let help = format!("one of {known}");
        reading.report(Diagnostic::error(entry.key_place(), message).help(help));
    }
    found
}

/// In rising order, each status once.
fn put(errors: &mut ErrorPages, status: u16, page: ErrorPage) {
    match errors.pages.binary_search_by_key(&status, |(status, _)| *status) {
        Ok(at) => errors.pages[at].1 = page,
        Err(at) => errors.pages.insert(at, (status, page)),
    }
}

fn from_file(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<ErrorPage> {
    if node.value.as_str() == Some("/dev/null") {
        return Some(ErrorPage::Silent);
    }
    let content = reading.file(node, reading.response_bytes_max)?;
    match http_file::parse(&content) {
        Ok(response) => Some(ErrorPage::Response(response)),
        Err(error) => {
            reading.error(node.place(), format!("no response is in this file: {error}"));
            None
        }
    }
}

fn location(status: u16, node: &Node<'_>, reading: &mut Reading<'_>) -> Option<ErrorPage> {
    let url = http_syntax::location(node, reading)?;
    Some(ErrorPage::Location { status, url })
}
