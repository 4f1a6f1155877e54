//! The keys of a server in mode http; core.

use std::time::Duration;

use super::Row;
use crate::config::document::Node;
use crate::config::http_syntax::is_cookie_value;
use crate::config::reading::{DURATION_MAX, Reading, assign, set};
use crate::config::units::Bare;

/// Bytes of a cookie's value.
const COOKIE_MAX: usize = 1024;

pub const ROWS: &[Row] = &[
    Row::new(
        "cookie",
        |draft, node, reading| set(&mut draft.server.http.cookie, cookie(node, reading)),
        "
Its value of the cookie that keeps clients at their server.
Default: none.",
    )
    .http(),
    Row::new(
        "pool_max_conn",
        |draft, node, reading| count(&mut draft.server.http.pool_max_conn, node, reading),
        "
Most idle connections that are kept, over all workers together: 0 to 2147483647; -1: any number.
Default: -1.",
    )
    .http(),
    Row::new(
        "pool_purge_delay",
        |draft, node, reading| {
            let bounds = Duration::ZERO..=DURATION_MAX;
            let delay = reading.duration_within(node, Bare::Milliseconds, bounds);
            assign(&mut draft.server.http.pool_purge_delay, delay);
        },
        "
Duration after which half of the idle connections that were not needed are closed, and so on;
0: none is kept.
Default: 5s.",
    )
    .http(),
    Row::new(
        "pool_low_conn",
        |draft, node, reading| {
            let count = reading.count(node, 0..=i32::MAX as u32);
            assign(&mut draft.server.http.pool_low_conn, count);
        },
        "
Idle connections that each worker keeps although they were not needed lately: 0 to 2147483647.
(Workers never take connections from one another, which is what HAProxy's keyword bounds.)
Default: 0.",
    )
    .http(),
    Row::new(
        "max_reuse",
        |draft, node, reading| count(&mut draft.server.http.max_reuse, node, reading),
        "
Requests that a connection carries after its first: 0 to 2147483647; -1: any number.
Default: -1.",
    )
    .http(),
];

/// A number, or -1 for any.
fn count(into: &mut Option<u32>, node: &Node<'_>, reading: &mut Reading<'_>) {
    if let Some(count) = reading.integer(node, -1..=i64::from(i32::MAX)) {
        *into = u32::try_from(count).ok();
    }
}

fn cookie(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let value = reading.line(node, COOKIE_MAX)?;
    if !is_cookie_value(&value) {
        let message = "a cookie's value is ASCII without spaces and without \" , ; and \\";
        reading.error(node.place(), message);
        return None;
    }
    Some(value)
}
