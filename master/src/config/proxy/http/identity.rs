//! Keys about fields that tell servers of the client; core.

use portolan_shared::model::{AddressField, Forwarded, ForwardedNode};
use toml::de::DeValue;

use super::{BACK, BOTH, Row};
use crate::config::bind::network;
use crate::config::document::Node;
use crate::config::http_syntax;
use crate::config::reading::{Reading, assign};
use crate::config::table::{EVERYWHERE, Key, Table};

pub const ROWS: &[Row] = &[
    Row::new(
        "forwardfor",
        |draft, node, reading| {
            let field = &mut draft.http.identity.forwarded_for;
            read_field(field, "X-Forwarded-For", node, reading);
        },
        "
Whether servers are told the client's address in
.Li X-Forwarded-For :
true, false, or a table, see
.Sx FORWARDFOR .
It is added where frontend or backend asks for it; the backend's settings come first.
Default: false.
HAProxy's option forwardfor.",
    )
    .only(BOTH)
    .http(),
    Row::new(
        "originalto",
        |draft, node, reading| {
            let field = &mut draft.http.identity.original_to;
            read_field(field, "X-Original-To", node, reading);
        },
        "
Whether servers are told the address that the client connected to, in
.Li X-Original-To :
true, false, or a table, see
.Sx FORWARDFOR .
Default: false.
HAProxy's option originalto.",
    )
    .only(BOTH)
    .http(),
    Row::new(
        "forwarded",
        |draft, node, reading| read_forwarded(&mut draft.http.identity.forwarded, node, reading),
        "
Whether servers are told of the client in
.Li Forwarded
(RFC 7239): true for its protocol and address, false, or a table, see
.Sx FORWARDED .
Default: false.
HAProxy's option forwarded.",
    )
    .only(BACK)
    .http(),
];

/// `forwardfor` and `originalto` in their long form.
pub const FORWARDFOR: Table<AddressField> = Table {
    name: "`forwardfor`",
    keys: &[&[
        Key::new(
            "header",
            |field, node, reading| {
                assign(&mut field.name, http_syntax::field_name(node, reading));
            },
            "
Name of the field.
Default: X-Forwarded-For, or X-Original-To.",
        ),
        Key::new(
            "except",
            |field, node, reading| {
                let nodes = node.one_or_many();
                field.except = nodes.iter().filter_map(|node| network(node, reading)).collect();
            },
            "
Address or network, or a list of those, that are not told.
Default: none.",
        ),
        Key::new(
            "if_none",
            |field, node, reading| assign(&mut field.if_none, reading.boolean(node)),
            "
Whether the field is only added to requests that have none.
Default: false.
HAProxy's if-none.",
        ),
    ]],
    unsupported: "",
};

fn read_field(
    into: &mut Option<AddressField>,
    name: &str,
    node: &Node<'_>,
    reading: &mut Reading<'_>,
) {
    let mut field = AddressField { name: name.to_owned(), except: Vec::new(), if_none: false };
    match node.value {
        DeValue::Boolean(false) => {
            *into = None;
            return;
        }
        DeValue::Boolean(true) => {}
        DeValue::Table(_) => FORWARDFOR.read_node(&mut field, node, EVERYWHERE, reading),
        _ => {
            reading.mismatch(node, "true, false or a table");
            return;
        }
    }
    *into = Some(field);
}

/// What `forwarded` asks for.
#[derive(Clone, Debug, Default)]
pub struct Told {
    proto: bool,
    host: bool,
    by: bool,
    by_port: bool,
    client: bool,
    client_port: bool,
}

/// `forwarded` in its long form.
pub const FORWARDED: Table<Told> = Table {
    name: "`forwarded`",
    keys: &[&[
        Key::new(
            "proto",
            |told, node, reading| assign(&mut told.proto, reading.boolean(node)),
            "
Whether the protocol is told.
Default: false.",
        ),
        Key::new(
            "host",
            |told, node, reading| assign(&mut told.host, reading.boolean(node)),
            "
Whether the host that the client asked for is told.
Default: false.",
        ),
        Key::new(
            "by",
            |told, node, reading| assign(&mut told.by, reading.boolean(node)),
            "
Whether the address that the client connected to is told.
Default: false.",
        ),
        Key::new(
            "by_port",
            |told, node, reading| assign(&mut told.by_port, reading.boolean(node)),
            "
Whether its port is told too.
Default: false.",
        ),
        Key::new(
            "for",
            |told, node, reading| assign(&mut told.client, reading.boolean(node)),
            "
Whether the client's address is told.
Default: false.",
        ),
        Key::new(
            "for_port",
            |told, node, reading| assign(&mut told.client_port, reading.boolean(node)),
            "
Whether its port is told too.
Default: false.",
        ),
    ]],
    unsupported: "host_expr by_expr by_port_expr for_expr for_port_expr",
};

fn read_forwarded(into: &mut Option<Forwarded>, node: &Node<'_>, reading: &mut Reading<'_>) {
    let mut told = Told::default();
    match node.value {
        DeValue::Boolean(false) => {
            *into = None;
            return;
        }
        DeValue::Boolean(true) => (told.proto, told.client) = (true, true),
        DeValue::Table(_) => {
            let before = reading.diagnostics.len();
            FORWARDED.read_node(&mut told, node, EVERYWHERE, reading);
            if reading.diagnostics.len() == before {
                check(&told, node, reading);
            }
        }
        _ => {
            reading.mismatch(node, "true, false or a table");
            return;
        }
    }
    let end = |on: bool, port| on.then_some(ForwardedNode { port });
    *into = Some(Forwarded {
        proto: told.proto,
        host: told.host,
        by: end(told.by, told.by_port),
        for_: end(told.client, told.client_port),
    });
}

fn check(told: &Told, node: &Node<'_>, reading: &mut Reading<'_>) {
    if told.by_port && !told.by {
        reading.error(node.place(), "`by_port` goes with `by`");
    }
    if told.client_port && !told.client {
        reading.error(node.place(), "`for_port` goes with `for`");
    }
    if !(told.proto || told.host || told.by || told.client) {
        reading.error(node.place(), "nothing is told: set `proto`, `host`, `by` or `for`");
    }
}
