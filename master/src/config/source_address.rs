//! `source`: the local end of connections to servers, in HAProxy's whole line or as a table.
//!
//! ```text
//! ADDRESS[:PORT[-LAST]] [usesrc client|clientip] [interface NAME]
//! ```
//!
//! A range of ports is for single servers, as HAProxy's: their addresses differ, so that each can use
//! all of it.

use std::net::SocketAddr;

use portolan_shared::model::{Source, SourceAddress};

use super::address::{self, Address, Port};
use super::bind::{INTERFACE_MAX, interface};
use super::diagnostic::Place;
use super::document::Node;
use super::reading::{Reading, Text, set};
use super::table::{EVERYWHERE, Key, Table};

/// Whose address servers see.
const USESRC: &[(&str, SourceAddress)] =
    &[("client", SourceAddress::Client), ("clientip", SourceAddress::ClientIp)];

/// A source while it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    address: Option<SourceAddress>,
    usesrc: Option<(SourceAddress, Place)>,
    interface: Option<String>,
    /// Whether it may be a range of ports.
    ranges: bool,
}

/// A source in its long form.
pub(super) const SOURCE: Table<Draft> = Table { name: "`source`", keys: &[KEYS], unsupported: "" };

const KEYS: &[Key<Draft>] = &[
    Key::new(
        "address",
        |draft, node, reading| {
            if let Some(text) = reading.text(node) {
                draft.address = draft.fixed(&text.text, text.place(), reading);
            }
        },
        "
Address, maybe with a port, or for a server with a range of ports,
.Li 192.0.2.1:1024-65535 ,
of which every worker has its share.
Default: the system chooses.",
    ),
    Key::new(
        "usesrc",
        |draft, node, reading| {
            let chosen = reading.choice(node, USESRC);
            draft.usesrc = chosen.map(|whose| (whose, node.place()));
        },
        "
Whose address servers see: client (address and port) or clientip.
Default: ours.",
    ),
    Key::new(
        "interface",
        |draft, node, reading| {
            set(&mut draft.interface, interface(node, reading));
        },
        "
Network device to which connections are bound, at most 15 bytes.
Default: any.",
    ),
];

impl Draft {
    fn read(mut self, node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Source> {
        if node.value.is_table() {
            SOURCE.read_node(&mut self, node, EVERYWHERE, reading);
        } else if node.value.is_str() {
            self.read_line(&reading.text(node)?, reading);
        } else {
            reading.mismatch(node, "an address, or a table");
            return None;
        }
        Some(self.finish(reading))
    }

    fn finish(self, reading: &mut Reading<'_>) -> Source {
        let address = match (self.address, self.usesrc) {
            (Some(SourceAddress::Fixed(_) | SourceAddress::Ports { .. }), Some((_, place))) => {
                reading.error(place, "`usesrc` goes with the address 0.0.0.0 only");
                SourceAddress::Any
            }
            (_, Some((whose, _))) => whose,
            (address, None) => address.unwrap_or(SourceAddress::Any),
        };
        Source { address, interface: self.interface }
    }

    fn read_line(&mut self, text: &Text<'_>, reading: &mut Reading<'_>) {
        let mut words = text.words();
        let Some(first) = words.next() else {
            reading.error(text.place(), "a source needs an address");
            return;
        };
        self.address = self.fixed(first.text, first.place, reading);
        while let Some(key) = words.next() {
            let Some(value) = words.next() else {
                reading
                    .error(key.place, "a source is ADDRESS[:PORT] [usesrc WHOSE] [interface NAME]");
                return;
            };
            match key.text {
                "usesrc" => {
                    let chosen = reading.chosen(value.text, value.place.clone(), USESRC);
                    self.usesrc = chosen.map(|whose| (whose, value.place));
                }
                "interface" if value.text.len() <= INTERFACE_MAX && !value.text.contains('/') => {
                    self.interface = Some(value.text.to_owned());
                }
                "interface" => reading.error(value.place, "not the name of a network device"),
                _ => reading.error(key.place, "expected `usesrc` or `interface`"),
            }
        }
    }

    fn fixed(&self, text: &str, place: Place, reading: &mut Reading<'_>) -> Option<SourceAddress> {
        let refused = match address::parse(text) {
            Ok(Address::Host { host, port: port @ (Port::Missing | Port::One(_)), .. }) => {
                let port = if let Port::One(port) = port { port } else { 0 };
                let ip = reading.addresses(host, &place)?[0];
                return Some(if ip.is_unspecified() && port == 0 {
                    SourceAddress::Any
                } else {
                    SourceAddress::Fixed(SocketAddr::new(ip, port))
                });
            }
            Ok(Address::Host { host, port: Port::Range(first, last), .. }) if self.ranges => {
                let ip = reading.addresses(host, &place)?[0];
                return Some(SourceAddress::Ports { ip, first, last });
            }
            Ok(Address::Host { port: Port::Range(..), .. }) => {
                "a range of ports belongs to a server's own `source`".to_owned()
            }
            Ok(Address::Host { .. }) => "a source has a port, not a distance".to_owned(),
            Ok(_) => "a source is an IPv4 or IPv6 address".to_owned(),
            Err(error) => error.to_string(),
        };
        reading.error(place, refused);
        None
    }
}

/// `source` of a section.
pub fn read(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Source> {
    Draft::default().read(node, reading)
}

/// `source` of a server.
pub fn read_of_server(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Source> {
    Draft { ranges: true, ..Draft::default() }.read(node, reading)
}
