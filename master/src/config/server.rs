//! `server` and `server_defaults`; core.
//!
//! - A name may repeat; the position tells servers of one name apart.
//! - What `server_defaults` says holds for every server of the section that does not say otherwise, and
//!   is itself inherited key by key.

mod address;
mod health;
mod http;
mod limits;

use std::path::PathBuf;

use portolan_shared::model::{ProxyProtocolOut, ProxyProtocolVersion, Server, ServerAddress, Tlv};
use toml::de::DeValue;

use super::diagnostic::{Diagnostic, Place};
use super::document::{Entry, Node};
use super::reading::{DURATION_MAX, DURATION_MIN, Reading, assign, once, set};
use super::table::{EVERYWHERE, ITEM, Key, Table};
use super::{MAXCONN_MAX, names, source_address, unsupported};
use address::{InitAddr, Named};

/// Bytes of one field of a PROXY header.
const TLV_MAX: usize = 1024;

pub use health::Open;

/// A server of a section.
#[derive(Clone, Debug)]
pub struct Placed {
    /// As in the model, as far as it can be said here.
    pub server: Server,
    /// The rest.
    pub said: Said,
    /// What is left to find out about how it is watched.
    pub open: Open,
    /// Where it was written.
    pub place: Place,
}

/// What the servers of a section start from.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// As in the model, as far as it can be said here.
    pub server: Server,
    /// The rest.
    pub said: Said,
    /// How they are watched.
    health: health::Draft,
}

/// What a server says and only the whole section, or the whole configuration, settles.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Where its `id` stands.
    pub id_at: Option<Place>,
    /// How its name becomes an address.
    pub init_addr: InitAddr,
}

/// A server while it is read.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    server: Server,
    said: Said,
    name_given: bool,
    address_given: bool,
    /// Where it is, if that is a name.
    named: Option<Named>,
    send_proxy_at: Option<Place>,
    disabled_at: Option<Place>,
    health: health::Draft,
}

/// A server, and what holds for all of them.
pub(super) const SERVER: Table<Draft> = Table {
    name: "`server`",
    keys: &[KEYS, address::ROWS, limits::ROWS, health::ROWS, http::ROWS],
    unsupported: unsupported::SERVER,
};

type Row = Key<Draft>;

const KEYS: &[Row] = &[
    Row::new(
        "name",
        |draft, node, reading| {
            draft.name_given = true;
            assign(&mut draft.server.name, names::name(node, reading));
        },
        "
Its name in logs and statistics; required: letters, digits,
.Li - _ \\&.
and
.Li \\&: ,
at most 255 bytes.",
    )
    .only(ITEM),
    Row::new(
        "weight",
        |draft, node, reading| {
            assign(
                &mut draft.server.weight,
                reading.count(node, 0..=256).map(|weight| weight as u16),
            );
        },
        "
Its share of the connections: 0 to 256; 0 gets no new ones.
Default: 1.",
    ),
    Row::new(
        "maxconn",
        |draft, node, reading| {
            if let Some(count) = reading.count(node, 0..=MAXCONN_MAX) {
                draft.server.maxconn = (count > 0).then_some(count);
            }
        },
        "
Most connections at once, over all workers together; more wait: 1 to 100000000; 0: no limit.
Default: 0.",
    ),
    Row::new(
        "send_proxy",
        |draft, node, reading| {
            let Some(send) = reading.boolean(node) else { return };
            draft.send_proxy(
                send.then_some(ProxyProtocolOut {
                    version: ProxyProtocolVersion::V1,
                    crc32c: false,
                    unique_id: false,
                    tlvs: Vec::new(),
                }),
                node,
                reading,
            );
        },
        "
Whether a PROXY header of version 1 is sent first.
Default: false.",
    ),
    Row::new(
        "send_proxy_v2",
        read_send_proxy_v2,
        "
Whether a PROXY header of version 2 is sent first: true, or a table, see
.Sx SEND_PROXY_V2 .
Default: false.",
    ),
    Row::new(
        "source",
        |draft, node, reading| {
            set(&mut draft.server.source, source_address::read_of_server(node, reading));
        },
        "
Local end of connections to it, see
.Sx SOURCE .
Default: the section's
.Cm source .",
    ),
    Row::new(
        "tcp_ut",
        |draft, node, reading| {
            let bounds = DURATION_MIN..=DURATION_MAX;
            reading.duration_or_none(&mut draft.server.user_timeout, node, bounds);
        },
        "
Duration that sent data may stay without acknowledgement before the connection is dead; 0:
the system's.
Default: 0.",
    ),
    Row::new(
        "mss",
        |draft, node, reading| {
            set(&mut draft.server.mss, reading.count(node, 88..=32_767).map(|size| size as u16));
        },
        "
Bytes of a TCP segment: 88 to 32767, what Linux takes.
Default: the system's.
Portolan's own.",
    ),
    Row::new(
        "tfo",
        |draft, node, reading| {
            assign(&mut draft.server.fastopen, reading.boolean(node));
        },
        "
Whether the first bytes are sent with the SYN (TCP Fast Open).
Default: false.",
    ),
];

impl Draft {
    fn new(defaults: &Defaults) -> Self {
        let Defaults { server, said, mut health } = defaults.clone();
        health.begin();
        Self {
            server,
            said,
            name_given: false,
            address_given: false,
            named: None,
            send_proxy_at: None,
            disabled_at: None,
            health,
        }
    }

    fn send_proxy(
        &mut self,
        out: Option<ProxyProtocolOut>,
        node: &Node<'_>,
        reading: &mut Reading<'_>,
    ) {
        if out.is_some() {
            let message = "there is one PROXY header: `send_proxy` or `send_proxy_v2`";
            once(&mut self.send_proxy_at, node.place(), message, reading);
        } else if self.send_proxy_at.is_some() {
            return;
        }
        self.server.send_proxy = out;
    }
}

impl Default for Defaults {
    /// What holds for a server where nothing is said.
    fn default() -> Self {
        let server = Server::new(String::new(), ServerAddress::Unix(PathBuf::new()));
        Self { server, said: Said::default(), health: health::Draft::default() }
    }
}

/// `server_defaults`.
pub fn read_defaults(defaults: &mut Defaults, node: &Node<'_>, reading: &mut Reading<'_>) {
    let mut draft = Draft::new(defaults);
    SERVER.read_node(&mut draft, node, EVERYWHERE & !ITEM, reading);
    *defaults = Defaults { server: draft.server, said: draft.said, health: draft.health };
}

/// `server`: a list of tables.
pub fn read(
    into: &mut Vec<Placed>,
    defaults: &Defaults,
    node: &Node<'_>,
    reading: &mut Reading<'_>,
) {
    let Some(items) = node.items() else {
        reading.report(
            Diagnostic::error(node.place(), "servers are a list of tables").help(
                "write `server = [{ name = ..., address = ... }]` or `[[backend.NAME.server]]`",
            ),
        );
        return;
    };
    for item in items {
        let Some(entries) = reading.table(&item, "a table with `name` and `address`") else {
            continue;
        };
        let mut draft = Draft::new(defaults);
        let before = reading.diagnostics.len();
        SERVER.read(&mut draft, &entries, ITEM, reading);
        draft.resolve(reading);
        let understood = reading.diagnostics.len() == before;
        for (given, key) in [(draft.name_given, "name"), (draft.address_given, "address")] {
            if !given && understood {
                reading.error(item.place(), format!("a server needs a `{key}`"));
            }
        }
        let place = item.place();
        let open = draft.health.finish(&mut draft.server, &place, reading);
        into.push(Placed { server: draft.server, said: draft.said, open, place });
    }
}

/// `send_proxy_v2` in its long form.
pub(super) const SEND_PROXY_V2: Table<ProxyProtocolOut> = Table {
    name: "`send_proxy_v2`",
    keys: &[&[
        Key::new(
            "crc32c",
            |out, node, reading| assign(&mut out.crc32c, reading.boolean(node)),
            "
Whether the header carries a checksum.
Default: false.",
        ),
        Key::new(
            "unique_id",
            |out, node, reading| {
                assign(&mut out.unique_id, reading.boolean(node));
            },
            "
Whether the header carries an id of the connection.
Default: false.",
        ),
        Key::new(
            "tlvs",
            |out, node, reading| {
                let Some(entries) = reading.table(node, "a table as { \"0xE0\" = \"text\" }")
                else {
                    return;
                };
                out.tlvs = entries.iter().filter_map(|entry| tlv(entry, reading)).collect();
            },
            "
Table of further fields, type to text: types are written
.Li \\(dq0xE0\\(dq ,
texts have at most 1024 bytes.
Default: none.",
        ),
    ]],
    unsupported: "ssl cert_cn ssl_cipher cert_sig cert_key authority",
};

fn read_send_proxy_v2(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let mut out = ProxyProtocolOut {
        version: ProxyProtocolVersion::V2,
        crc32c: false,
        unique_id: false,
        tlvs: Vec::new(),
    };
    match node.value {
        DeValue::Boolean(false) => return draft.send_proxy(None, node, reading),
        DeValue::Boolean(true) => {}
        DeValue::Table(_) => SEND_PROXY_V2.read_node(&mut out, node, EVERYWHERE, reading),
        _ => reading.mismatch(node, "true, false or a table"),
    }
    draft.send_proxy(Some(out), node, reading);
}

/// Types with a meaning of their own in the header: checksum, padding, unique id, TLS.
const TLV_RESERVED: [u8; 4] = [0x03, 0x04, 0x05, 0x20];

fn tlv(entry: &Entry<'_>, reading: &mut Reading<'_>) -> Option<Tlv> {
    let digits = entry.key.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
    let kind = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let Some(kind) = kind.filter(|kind| *kind > 0 && !TLV_RESERVED.contains(kind)) else {
        reading.report(
            Diagnostic::error(entry.key_place(), format!("`{}` is no type of a field", entry.key))
                .help("types are 0x01 to 0xFF without 0x03, 0x04, 0x05 and 0x20; 0xE0 to 0xEF are free for own use"),
        );
        return None;
    };
    let text = reading.text(&entry.node)?;
    if text.text.len() > TLV_MAX {
        reading.error(text.place(), format!("longer than {TLV_MAX} bytes"));
        return None;
    }
    Some(Tlv { kind, value: text.text.into_owned().into_bytes() })
}
