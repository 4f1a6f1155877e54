//! The keys about what becomes of a request before a server is asked: who may ask, answers of our
//! own, and where it goes; core.

use portolan_shared::model::Answer;
use toml::de::DeValue;

use super::auth::{self, Auth};
use super::routes::{self, Route};
use super::{Draft, redirect, response};
use crate::config::diagnostic::Place;
use crate::config::document::Node;
use crate::config::reading::{Reading, assign, once};
use crate::config::table::{BACKEND, EVERYWHERE, FRONTEND, Key, Table};

/// What a section says about that, with names not yet resolved. Defaults say nothing about it.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Who may ask.
    pub auth: Option<Auth>,
    /// Every request is answered so.
    pub answer: Option<(Answer, Place)>,
    /// Where an answer was given, valid or not.
    answer_at: Option<Place>,
    /// In the order of the file.
    pub routes: Vec<Route>,
}

const SECTIONS: u8 = FRONTEND | BACKEND;

type Row = Key<Draft>;

/// The rows.
pub const GATE: &[Row] = &[
    Row::new(
        "auth",
        auth::read,
        "
Table of who may ask; others are answered with 401, see
.Sx AUTH .
Default: everybody may.
HAProxy's http-request auth.",
    )
    .only(SECTIONS)
    .http(),
    Row::new(
        "redirect",
        |draft, node, reading| answer(draft, read_redirect, node, reading),
        "
Table of where every request is sent instead of a server, see
.Sx REDIRECT .
A section has at most one of
.Cm redirect ,
.Cm return ,
.Cm deny
and
.Cm tarpit .
Default: none.",
    )
    .only(SECTIONS)
    .http(),
    Row::new(
        "return",
        |draft, node, reading| answer(draft, read_return, node, reading),
        "
Table of the response that every request is answered with, see
.Sx RETURN .
Default: none.
HAProxy's http-request return.",
    )
    .only(SECTIONS)
    .http(),
    Row::new(
        "deny",
        |draft, node, reading| answer(draft, read_deny, node, reading),
        "
Whether every request is refused with an error page: true for that of 403, or a table with its
.Cm status .
Default: false.
HAProxy's http-request deny.",
    )
    .only(SECTIONS)
    .http(),
    Row::new(
        "tarpit",
        |draft, node, reading| answer(draft, read_tarpit, node, reading),
        "
Whether every request is held for the timeout
.Cm tarpit
and then refused with an error page: true for that of 500, or a table with its
.Cm status .
Default: false.
HAProxy's http-request tarpit.",
    )
    .only(SECTIONS)
    .http(),
    Row::new(
        "routes",
        |draft, node, reading| draft.gate.routes = routes::read(node, reading),
        "
List of where requests go by their host and path, see
.Sx ROUTES ;
what no route takes goes to
.Cm default_backend ,
without that it is answered with 503.
Default: none.",
    )
    .only(FRONTEND)
    .http(),
];

/// `deny` and `tarpit`.
pub const REFUSAL: Table<u16> = Table {
    name: "this table",
    keys: &[&[Key::new(
        "status",
        |into, node, reading| {
            assign(into, reading.count(node, 400..=599).map(|status| status as u16));
        },
        "
The answer's status: 400 to 599.
Default: 403 for
.Cm deny ,
500 for
.Cm tarpit .
HAProxy's deny_status.",
    )]],
    unsupported: "content_type default_errorfiles errorfile errorfiles file lf_file string lf_string hdr",
};

/// What an answer's key is read by; `Some(None)` for none that is meant.
pub type Read = fn(&Node<'_>, &mut Reading<'_>) -> Option<Answer>;

fn answer(draft: &mut Draft, read: Read, node: &Node<'_>, reading: &mut Reading<'_>) {
    if node.value.as_bool() == Some(false) {
        let _ = read(node, reading);
        return;
    }
    let message = "a request is answered once: by `redirect`, `return`, `deny` or `tarpit`";
    once(&mut draft.gate.answer_at, node.place(), message, reading);
    if let Some(answer) = read(node, reading) {
        draft.gate.answer = Some((answer, node.place()));
    }
}

/// `redirect`.
pub fn read_redirect(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Answer> {
    redirect::read(node, reading).map(Answer::Redirect)
}

/// `return`.
pub fn read_return(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Answer> {
    response::read(node, reading).map(Answer::Return)
}

/// `deny`.
pub fn read_deny(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Answer> {
    refusal(403, node, reading).map(Answer::Deny)
}

/// `tarpit`.
pub fn read_tarpit(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Answer> {
    refusal(500, node, reading).map(Answer::Tarpit)
}

fn refusal(by_itself: u16, node: &Node<'_>, reading: &mut Reading<'_>) -> Option<u16> {
    match node.value {
        DeValue::Boolean(on) => on.then_some(by_itself),
        DeValue::Table(_) => {
            let errors = reading.diagnostics.len();
            let mut status = by_itself;
            REFUSAL.read_node(&mut status, node, EVERYWHERE, reading);
            (reading.diagnostics.len() == errors).then_some(status)
        }
        _ => {
            reading.mismatch(node, "true, false or a table");
            None
        }
    }
}
