//! The keys of `[global] tune`: sizes and budgets of the event loop; core.

use portolan_shared::model::Tune;

use crate::config::document::{Entry, Node};
use crate::config::reading::{Reading, assign, head_bytes_max};
use crate::config::table::{Key, Table};
use crate::config::unsupported;

/// `[global] tune`.
pub const TUNE: Table<Tune> =
    Table { name: "`tune`", keys: &[KEYS], unsupported: unsupported::TUNE };

/// Bytes of a socket buffer.
const SOCKET_BUFFER_MAX: u32 = 1 << 30;

const KEYS: &[Key<Tune>] = &[
    Key::new(
        "bufsize",
        |tune, node, reading| {
            assign(&mut tune.buffer_size, reading.size(node, 1024..=1 << 20));
        },
        "
Bytes of one buffer: 1024 to 1m.
Default: 16384.",
    ),
    Key::new(
        "buffers_limit",
        |tune, node, reading| {
            let Some(count) = reading.count(node, 0..=10_000_000) else { return };
            if (1..4).contains(&count) {
                reading.error(node.place(), "out of bounds: 0, or 4 to 10000000");
            }
            tune.buffer_limit = count;
        },
        "
Most buffers in use at once in each worker: 4 to 10000000; 0: as many as the connections
need.
Default: 0.",
    ),
    Key::new(
        "maxaccept",
        |tune, node, reading| {
            let count = reading.integer(node, -1..=1_000_000);
            assign(&mut tune.maxaccept, count.map(|count| count.max(0) as u32));
        },
        "
Connections accepted in a row from one listener: 1 to 1000000; 0 or -1: without bound.
Default: 64.",
    ),
    Key::new(
        "maxpollevents",
        |tune, node, reading| {
            assign(&mut tune.maxpollevents, reading.count(node, 1..=1_000_000));
        },
        "
Events taken from the kernel at once: 1 to 1000000.
Default: 200.",
    ),
    Key::new(
        "runqueue_depth",
        |tune, node, reading| {
            assign(&mut tune.runqueue_depth, reading.count(node, 1..=1_000_000));
        },
        "
Tasks run in one cycle of the event loop: 1 to 1000000.
Default: 200.",
    ),
    Key::new(
        "sndbuf_client",
        |tune, node, reading| {
            buffer(&mut tune.client_sndbuf, node, reading);
        },
        "
Bytes of the kernel's send buffer towards clients, up to 1g; 0: the system's.
Default: 0.",
    ),
    Key::new(
        "rcvbuf_client",
        |tune, node, reading| {
            buffer(&mut tune.client_rcvbuf, node, reading);
        },
        "
Bytes of the kernel's receive buffer towards clients, up to 1g; 0: the system's.
Default: 0.",
    ),
    Key::new(
        "sndbuf_server",
        |tune, node, reading| {
            buffer(&mut tune.server_sndbuf, node, reading);
        },
        "
Bytes of the kernel's send buffer towards servers, up to 1g; 0: the system's.
Default: 0.",
    ),
    Key::new(
        "rcvbuf_server",
        |tune, node, reading| {
            buffer(&mut tune.server_rcvbuf, node, reading);
        },
        "
Bytes of the kernel's receive buffer towards servers, up to 1g; 0: the system's.
Default: 0.",
    ),
    Key::new(
        "maxrewrite",
        |tune, node, reading| {
            assign(&mut tune.maxrewrite, reading.size(node, 0..=1 << 20));
        },
        "
Bytes of a buffer that stay free for what is added to a message of HTTP, at most half of
.Cm bufsize ;
a head has no more than the others.
Default: 1024, or half of
.Cm bufsize
where that is less.",
    ),
    Key::new(
        "http_maxhdr",
        |tune, node, reading| {
            assign(&mut tune.http_maxhdr, reading.count(node, 1..=32_767));
        },
        "
Most fields of a message of HTTP: 1 to 32767.
Default: 101.",
    ),
    Key::new(
        "http_target_max",
        |tune, node, reading| {
            assign(&mut tune.http_target_max, reading.size(node, 0..=1 << 20));
        },
        "
Most bytes of a request's target, up to 1m; 0: as many as a head may have.
Default: 0.
Portolan's own.",
    ),
    Key::new(
        "http_name_max",
        |tune, node, reading| {
            assign(&mut tune.http_name_max, reading.size(node, 0..=1 << 20));
        },
        "
Most bytes of a field's name, up to 1m; 0: as many as a head may have.
Default: 0.
Portolan's own.",
    ),
    Key::new(
        "http_value_max",
        |tune, node, reading| {
            assign(&mut tune.http_value_max, reading.size(node, 0..=1 << 20));
        },
        "
Most bytes of a field's value, up to 1m; 0: as many as a head may have.
Default: 0.
Portolan's own.",
    ),
    Key::new(
        "http_cookielen",
        |tune, node, reading| {
            assign(&mut tune.http_cookielen, reading.count(node, 1..=65_535));
        },
        "
Most bytes that are kept of a captured cookie: 1 to 65535.
Default: 63.",
    ),
    Key::new(
        "http_logurilen",
        |tune, node, reading| {
            assign(&mut tune.http_logurilen, reading.count(node, 1..=65_535));
        },
        "
Most bytes of a request's target in the log: 1 to 65535.
Default: 1024.",
    ),
];

/// What only the whole table shows.
pub fn finish(tune: &mut Tune, entries: &[Entry<'_>], reading: &mut Reading<'_>) {
    let half = tune.buffer_size / 2;
    let place = |key: &str| Some(entries.iter().find(|entry| entry.key == key)?.node.place());
    if tune.maxrewrite > half {
        if let Some(place) = place("maxrewrite") {
            reading.warn(place, format!("more than half of a buffer (bufsize): {half} is taken"));
        }
        tune.maxrewrite = half;
    }
    let head = head_bytes_max(tune);
    let limits = [
        ("http_target_max", tune.http_target_max),
        ("http_name_max", tune.http_name_max),
        ("http_value_max", tune.http_value_max),
    ];
    for (key, limit) in limits {
        if let Some(place) = place(key).filter(|_| u64::from(limit) > head) {
            let message =
                format!("{key} {limit} is never reached: a head has at most {head} bytes");
            reading.warn(place, message);
        }
    }
}

fn buffer(field: &mut Option<u32>, node: &Node<'_>, reading: &mut Reading<'_>) {
    if let Some(size) = reading.size(node, 0..=SOCKET_BUFFER_MAX) {
        *field = (size > 0).then_some(size);
    }
}
