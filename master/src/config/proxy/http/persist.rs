//! `force_persist` and `ignore_persist`: what becomes of clients that belong to a server; core.
//!
//! Both are HAProxy's, whose conditions are a route here, or a whole backend.

use portolan_shared::model::PersistRule;

use super::Row;
use crate::config::diagnostic::Place;
use crate::config::document::Node;
use crate::config::reading::{Reading, once};
use crate::config::table::BACKEND;

pub const ROWS: &[Row] = &[
    Row::new(
        "force_persist",
        |draft, node, reading| {
            let (rule, at) = (&mut draft.http.backend.persist, &mut draft.http.said.persist);
            set(rule, at, PersistRule::Force, node, reading);
        },
        "
Whether clients go to the server that their cookie names even while it is down or in maintenance,
and are not redispatched.
Default: false.",
    )
    .only(BACKEND)
    .http(),
    Row::new(
        "ignore_persist",
        |draft, node, reading| {
            let (rule, at) = (&mut draft.http.backend.persist, &mut draft.http.said.persist);
            set(rule, at, PersistRule::Ignore, node, reading);
        },
        "
Whether clients are balanced as if they had no cookie.
Default: false.",
    )
    .only(BACKEND)
    .http(),
];

/// One of the rules, on or off.
pub fn set(
    into: &mut PersistRule,
    at: &mut Option<Place>,
    rule: PersistRule,
    node: &Node<'_>,
    reading: &mut Reading<'_>,
) {
    if reading.boolean(node) == Some(true) {
        let message = "persistence is forced or it is ignored";
        once(at, node.place(), message, reading);
        *into = rule;
    }
}
