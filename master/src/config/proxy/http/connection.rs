//! Keys about connections in mode http; core.

use portolan_shared::model::{ConnectionMode, HttpReuse};

use super::{BACK, BOTH, Row};
use crate::config::document::Node;
use crate::config::proxy::Draft;
use crate::config::reading::{Reading, assign, once};

pub const ROWS: &[Row] = &[
    Row::new(
        "http_server_close",
        |draft, node, reading| mode(ConnectionMode::ServerClose, draft, node, reading),
        "
Whether a connection to a server is closed after its response and the client's kept.
Default: false.
HAProxy's option http-server-close.",
    )
    .only(BOTH)
    .http(),
    Row::new(
        "httpclose",
        |draft, node, reading| mode(ConnectionMode::Close, draft, node, reading),
        "
Whether both connections are closed after a response.
Default: false.
HAProxy's option httpclose.",
    )
    .only(BOTH)
    .http(),
    // Behind the others, so that taking it back says nothing where one of them holds.
    Row::new(
        "http_keep_alive",
        |draft, node, reading| mode(ConnectionMode::KeepAlive, draft, node, reading),
        "
Whether both connections are kept for further requests, in spite of what the defaults say.
The stricter mode of frontend and backend holds.
Default: true, unless another mode is chosen.
HAProxy's option http-keep-alive.",
    )
    .only(BOTH)
    .http(),
    Row::new(
        "http_reuse",
        |draft, node, reading| {
            let choices = [
                ("never", HttpReuse::Never),
                ("safe", HttpReuse::Safe),
                ("aggressive", HttpReuse::Aggressive),
                ("always", HttpReuse::Always),
            ];
            assign(&mut draft.http.backend.reuse, reading.choice(node, &choices));
        },
        "
When a connection to a server that was kept may carry the request of another client:
\\(dqnever\\(dq;
\\(dqsafe\\(dq, a client's second and later requests;
\\(dqaggressive\\(dq, the first too, on connections that were used again before;
\\(dqalways\\(dq.
Default: \\(dqsafe\\(dq.",
    )
    .only(BACK)
    .http(),
    Row::new(
        "http_pretend_keepalive",
        |draft, node, reading| {
            assign(&mut draft.http.backend.pretend_keepalive, reading.boolean(node));
        },
        "
Whether servers are not told that their connection will be closed.
Default: false.
HAProxy's option http-pretend-keepalive.",
    )
    .only(BACK)
    .http(),
    Row::new(
        "prefer_last_server",
        |draft, node, reading| {
            assign(&mut draft.http.backend.prefer_last_server, reading.boolean(node));
        },
        "
Whether a client's next request on its connection rather goes to the server of the one before.
Default: false.
HAProxy's option prefer-last-server.",
    )
    .only(BACK)
    .http(),
    Row::new(
        "max_keep_alive_queue",
        |draft, node, reading| {
            let Some(count) = reading.integer(node, -1..=i64::from(i32::MAX)) else { return };
            draft.http.backend.max_keep_alive_queue = u32::try_from(count).ok();
        },
        "
How long a server's queue may be for a request that goes there by
.Cm prefer_last_server
to join it while the server is full; with a longer queue it looks for another server at once: 0 to
2147483647; -1: any number.
Who waits in a server's queue is served by that server.
Default: -1.",
    )
    .only(BACK)
    .http(),
    Row::new(
        "abortonclose",
        |draft, node, reading| {
            assign(&mut draft.http.backend.abort_on_close, reading.boolean(node));
        },
        "
Whether a request is given up when its client leaves while it waits for a server or an answer.
Default: true.
HAProxy's option abortonclose.",
    )
    .only(BACK)
    .http(),
];

/// One of HAProxy's three options: each replaces what was inherited, and taking back the one that
/// holds leaves the default.
fn mode(mode: ConnectionMode, draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let http = &mut draft.http;
    match reading.boolean(node) {
        Some(true) => {
            let message =
                "there is one mode: `http_keep_alive`, `http_server_close` or `httpclose`";
            once(&mut http.said.connection_mode, node.place(), message, reading);
            http.connection_mode = mode;
        }
        Some(false) if http.connection_mode == mode => {
            if mode == ConnectionMode::KeepAlive {
                let message =
                    "connections are kept unless `http_server_close` or `httpclose` is set";
                reading.error(node.place(), message);
            }
            http.connection_mode = ConnectionMode::default();
        }
        Some(false) | None => {}
    }
}
