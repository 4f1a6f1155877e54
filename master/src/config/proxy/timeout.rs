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
    Table { name: "`timeout`", keys: &[TIMEOUT_KEYS], unsupported: unsupported::TIMEOUT };

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
    Row::new(
        "check",
        |timeouts, node, reading| {
            timeout(&mut timeouts.check, node, reading);
        },
        "
For a check of a server, once its connection stands, which has
.Cm connect
or the check's
.Cm inter ,
the shorter of them; without it a whole check has
.Cm inter .",
    )
    .only(BACK),
    Row::new(
        "http_request",
        |timeouts, node, reading| {
            timeout(&mut timeouts.http_request, node, reading);
        },
        "
For a whole head of a request, from its first byte; that of a connection's first request from
when the connection was accepted.
Where the backend has
.Cm http_buffer_request ,
for the content too.
Without it
.Cm client
holds.",
    )
    .only(FRONT)
    .http(),
    Row::new(
        "http_keep_alive",
        |timeouts, node, reading| {
            timeout(&mut timeouts.http_keep_alive, node, reading);
        },
        "
For the first byte of a client's next request; without it
.Cm http_request
holds, else
.Cm client .",
    )
    .only(FRONT)
    .http(),
    Row::new(
        "tarpit",
        |timeouts, node, reading| {
            timeout(&mut timeouts.tarpit, node, reading);
        },
        "
How long a request that is tarpitted is held before its answer; without it
.Cm connect
holds.",
    )
    .http(),
];

fn timeout(into: &mut Option<Duration>, node: &Node<'_>, reading: &mut Reading<'_>) {
    reading.duration_or_none(into, node, DURATION_MIN..=DURATION_MAX);
}
