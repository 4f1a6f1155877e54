//! The keys of a route about requests that wait for a server or belong to one; core.

use portolan_shared::model::PersistRule;

use super::Row;
use crate::config::proxy::http::set_persist;
use crate::config::proxy::limits;
use crate::config::reading::set;

pub const ROWS: &[Row] = &[
    Row::new(
        "priority_class",
        |draft, node, reading| {
            set(&mut draft.priority.class, limits::class(node, reading));
            draft.of_backends.push(("priority_class", node.place()));
        },
        "
Who goes first where requests wait for a server: those of lower classes; -2047 to 2047.
Default: that of the section.
HAProxy's set-priority-class.",
    ),
    Row::new(
        "priority_offset",
        |draft, node, reading| {
            set(&mut draft.priority.offset_ms, limits::offset(node, reading));
            draft.of_backends.push(("priority_offset", node.place()));
        },
        "
Who goes first within a class: they wait as if they had come so many milliseconds later, with a
negative number earlier; -524287 to 524287.
Default: that of the section.
HAProxy's set-priority-offset.",
    ),
    Row::new(
        "force_persist",
        |draft, node, reading| {
            let (rule, at) = (&mut draft.persist, &mut draft.persist_at);
            set_persist(rule, at, PersistRule::Force, node, reading);
            draft.of_backends.push(("force_persist", node.place()));
        },
        "
Whether clients go to the server that their cookie names even while it is down or in maintenance,
and are not redispatched.
Default: as the backend says.",
    ),
    Row::new(
        "ignore_persist",
        |draft, node, reading| {
            let (rule, at) = (&mut draft.persist, &mut draft.persist_at);
            set_persist(rule, at, PersistRule::Ignore, node, reading);
            draft.of_backends.push(("ignore_persist", node.place()));
        },
        "
Whether clients are balanced as if they had no cookie.
Default: as the backend says.",
    ),
];
