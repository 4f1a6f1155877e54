//! The keys of `timeout`; core.

use std::time::Duration;

use portolan_shared::model::Timeouts;

use super::keys::{BACK, BOTH, FRONT};
use crate::config::document::Node;
use crate::config::reading::{DURATION_MAX, DURATION_MIN, Reading};
use crate::config::table::{Key, Table};
use crate::config::unsupported;

/// `timeout`.
pub const TIMEOUT: Table<Timeouts> =
    Table { name: "`timeout`", keys: TIMEOUT_KEYS, unsupported: unsupported::TIMEOUT };

type Row = Key<Timeouts>;

const TIMEOUT_KEYS: &[Row] = &[
    Row::new(
        "connect",
        |timeouts, node, reading| {
            timeout(&mut timeouts.connect, node, reading);
        },
        "
For a connection to a server to stand.",
    )
    .only(BACK),
    Row::new(
        "client",
        |timeouts, node, reading| {
            timeout(&mut timeouts.client, node, reading);
        },
        "
For the client to send or take something.",
    )
    .only(FRONT),
    Row::new(
        "server",
        |timeouts, node, reading| {
            timeout(&mut timeouts.server, node, reading);
        },
        "
For the server to send or take something.",
    )
    .only(BACK),
    Row::new(
        "client_fin",
        |timeouts, node, reading| {
            timeout(&mut timeouts.client_fin, node, reading);
        },
        "
Instead of
.Cm client
once the server has ended its sending.",
    )
    .only(FRONT),
    Row::new(
        "server_fin",
        |timeouts, node, reading| {
            timeout(&mut timeouts.server_fin, node, reading);
        },
        "
Instead of
.Cm server
once the client has ended its sending.",
    )
    .only(BACK),
    Row::new(
        "tunnel",
        |timeouts, node, reading| {
            timeout(&mut timeouts.tunnel, node, reading);
        },
        "
Instead of
.Cm client
and
.Cm server
once both sides have sent something.",
    )
    .only(BOTH),
    Row::new(
        "queue",
        |timeouts, node, reading| {
            timeout(&mut timeouts.queue, node, reading);
        },
        "
For a free place at a server; without it
.Cm connect
holds.",
    )
    .only(BACK),
];

fn timeout(into: &mut Option<Duration>, node: &Node<'_>, reading: &mut Reading<'_>) {
    reading.duration_or_none(into, node, DURATION_MIN..=DURATION_MAX);
}
