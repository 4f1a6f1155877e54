//! `bind`: addresses to listen on and how their sockets are set up; core.
//!
//! - One entry may name several addresses (a list, commas, a range of ports): each becomes a bind of
//!   its own with the same options.
//! - An option that an address's family has not is an error, not ignored.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use portolan_shared::model::{Bind, BindAddress, BindOptions, Fastopen, ProxyProtocolIn};
use toml::de::DeValue;

use super::MAXCONN_MAX;
use super::address::{self, Address, Port};
use super::diagnostic::{Diagnostic, Place};
use super::document::Node;
use super::reading::{DURATION_MAX, DURATION_MIN, Reading, Text, assign, once, relative_to, set};
use super::table::{EVERYWHERE, Key, Table};
use super::unsupported;

/// Bytes of a network device's name (IFNAMSIZ without its end mark).
pub const INTERFACE_MAX: usize = 15;
/// Connection requests in a fast open queue when only `true` is said.
const FASTOPEN_QUEUE: u32 = 1024;
/// Binds of one entry: every port once.
const PORTS_MAX: usize = 65_535;

/// A bind and where it was written.
pub type Placed = (Bind, Place);

/// What an option needs of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// IPv4 or IPv6.
    Tcp,
    /// IPv6.
    V6,
    /// A path.
    Unix,
}

/// An entry while it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    addresses: Vec<Placed>,
    address_given: bool,
    name: String,
    maxconn: Option<u32>,
    options: BindOptions,
    accept_proxy: Option<ProxyProtocolIn>,
    nice: i16,
    needs: Vec<(Needs, &'static str, Place)>,
    v6only_at: Option<Place>,
    uid_at: Option<Place>,
    gid_at: Option<Place>,
}

/// An entry in its long form.
pub(super) const BIND: Table<Draft> =
    Table { name: "`bind`", keys: &[KEYS], unsupported: unsupported::BIND };

const KEYS: &[Key<Draft>] = &[
    Key::new(
        "address",
        |draft, node, reading| {
            draft.address_given = true;
            for item in node.one_or_many() {
                if let Some(text) = reading.text(&item) {
                    addresses(&mut draft.addresses, &text, reading);
                }
            }
        },
        "
Where to listen; required: an address as described in
.Sx ADDRESSES ,
several with commas between them, or a list.",
    ),
    Key::new(
        "name",
        |draft, node, reading| assign(&mut draft.name, reading.word(node, 255)),
        "
Name in statistics, at most 255 bytes without spaces.
Default: none.",
    ),
    Key::new(
        "maxconn",
        |draft, node, reading| {
            if let Some(count) = reading.count(node, 0..=MAXCONN_MAX) {
                draft.maxconn = (count > 0).then_some(count);
            }
        },
        "
Most connections at once through this address, over all workers together: 1 to 100000000; 0:
no limit of its own.
Default: 0.",
    ),
    Key::new(
        "backlog",
        |draft, node, reading| {
            set(&mut draft.options.backlog, reading.count(node, 1..=i32::MAX as u32));
        },
        "
Connections that may wait to be accepted: 1 to 2147483647; the kernel cuts it at
net.core.somaxconn.
Default: the section's
.Cm backlog .",
    ),
    Key::new(
        "accept_proxy",
        read_accept_proxy,
        "
Whether connections begin with a PROXY header: true for all of them, a list of the networks
that send one, or a table, see
.Sx ACCEPT_PROXY .
Default: false.",
    ),
    Key::new(
        "interface",
        |draft, node, reading| {
            draft.needs(Needs::Tcp, "interface", node);
            set(&mut draft.options.interface, interface(node, reading));
        },
        "
Network device to which the socket is bound, at most 15 bytes.
Default: all.",
    ),
    Key::new(
        "transparent",
        |draft, node, reading| {
            draft.needs_if(reading.boolean(node), Needs::Tcp, "transparent", node);
            assign(&mut draft.options.transparent, reading.boolean(node));
        },
        "
Whether addresses of other machines may be bound.
Default: false.",
    ),
    Key::new(
        "v4v6",
        |draft, node, reading| draft.v6only("v4v6", false, node, reading),
        "
Whether an IPv6 wildcard takes IPv4 connections too.
Default: as the system's net.ipv6.bindv6only says.",
    ),
    Key::new(
        "v6only",
        |draft, node, reading| draft.v6only("v6only", true, node, reading),
        "
Whether an IPv6 wildcard takes only IPv6 connections.
Default: as the system's net.ipv6.bindv6only says.",
    ),
    Key::new(
        "mss",
        |draft, node, reading| {
            draft.needs(Needs::Tcp, "mss", node);
            let size = reading.integer(node, 88..=32_767);
            set(&mut draft.options.mss, size.map(|size| size as u16));
        },
        "
Bytes of a TCP segment at most: 88 to 32767, what Linux takes. HAProxy's negative values, which lower the size of
each connection, are refused: Linux does not shorten one that is agreed.
Default: the system's.",
    ),
    Key::new(
        "tfo",
        read_fastopen,
        "
TCP Fast Open: true, or how many requests may wait, 1 to 65535.
Default: false; true means 1024.",
    ),
    Key::new(
        "defer_accept",
        |draft, node, reading| {
            draft.needs_if(reading.boolean(node), Needs::Tcp, "defer_accept", node);
            assign(&mut draft.options.defer_accept, reading.boolean(node));
        },
        "
Whether a connection is only accepted once data has come.
Default: false.",
    ),
    Key::new(
        "tcp_ut",
        |draft, node, reading| {
            draft.needs(Needs::Tcp, "tcp_ut", node);
            let bounds = DURATION_MIN..=DURATION_MAX;
            reading.duration_or_none(&mut draft.options.user_timeout, node, bounds);
        },
        "
Duration that sent data may stay without acknowledgement before the connection is dead; 0:
the system's.
Default: 0.",
    ),
    Key::new(
        "mode",
        read_mode,
        "
Permissions of a UNIX socket as an octal string, for example \"660\".
Default: what the umask leaves.",
    ),
    Key::new(
        "user",
        |draft, node, reading| {
            let id = reading.user(node).map(|(user, _)| user.id);
            draft.owner(id, node, reading);
        },
        "
Name of the user that owns a UNIX socket.
Default: who starts Portolan.",
    ),
    Key::new(
        "uid",
        |draft, node, reading| {
            let id = reading.id(node);
            draft.owner(id, node, reading);
        },
        "
Number of that user, instead of
.Cm user .",
    ),
    Key::new(
        "group",
        |draft, node, reading| {
            let id = reading.group(node).map(|group| group.id);
            draft.owning_group(id, node, reading);
        },
        "
Name of the group that owns a UNIX socket.
Default: the group of who starts Portolan.",
    ),
    Key::new(
        "gid",
        |draft, node, reading| {
            let id = reading.id(node);
            draft.owning_group(id, node, reading);
        },
        "
Number of that group, instead of
.Cm group .",
    ),
    Key::new(
        "nice",
        |draft, node, reading| {
            assign(&mut draft.nice, reading.integer(node, -1024..=1024).map(|nice| nice as i16));
        },
        "
Priority of its connections: -1024 (first) to 1024 (last).
Default: 0.",
    ),
];

impl Draft {
    fn needs(&mut self, needs: Needs, name: &'static str, node: &Node<'_>) {
        self.needs.push((needs, name, node.place()));
    }

    fn needs_if(
        &mut self,
        wanted: Option<bool>,
        needs: Needs,
        name: &'static str,
        node: &Node<'_>,
    ) {
        if wanted == Some(true) {
            self.needs(needs, name, node);
        }
    }

    fn v6only(
        &mut self,
        name: &'static str,
        meaning: bool,
        node: &Node<'_>,
        reading: &mut Reading<'_>,
    ) {
        self.needs(Needs::V6, name, node);
        once(&mut self.v6only_at, node.place(), "`v4v6` and `v6only` say the same", reading);
        set(&mut self.options.v6only, reading.boolean(node).map(|said| said == meaning));
    }

    fn owner(&mut self, id: Option<u32>, node: &Node<'_>, reading: &mut Reading<'_>) {
        self.needs(Needs::Unix, "user", node);
        once(&mut self.uid_at, node.place(), "the owner is given as `user` and as `uid`", reading);
        set(&mut self.options.unix.uid, id);
    }

    fn owning_group(&mut self, id: Option<u32>, node: &Node<'_>, reading: &mut Reading<'_>) {
        self.needs(Needs::Unix, "group", node);
        once(&mut self.gid_at, node.place(), "the group is given as `group` and as `gid`", reading);
        set(&mut self.options.unix.gid, id);
    }

    /// One bind per address, once every option fits every address.
    fn finish(self, into: &mut Vec<Placed>, reading: &mut Reading<'_>) {
        for (needs, name, place) in &self.needs {
            let unfit = self.addresses.iter().find(|(bind, _)| !fits(*needs, &bind.address));
            if let Some((bind, at)) = unfit {
                let only = match needs {
                    Needs::Tcp => "TCP addresses",
                    Needs::V6 => "IPv6 addresses",
                    Needs::Unix => "UNIX sockets",
                };
                reading.report(
                    Diagnostic::error(place.clone(), format!("`{name}` is only for {only}"))
                        .other(at.clone(), format!("`{}` is none", bind.written)),
                );
            }
        }
        into.extend(self.addresses.into_iter().map(|(bind, place)| {
            let bind = Bind {
                name: self.name.clone(),
                options: self.options.clone(),
                maxconn: self.maxconn,
                accept_proxy: self.accept_proxy.clone(),
                nice: self.nice,
                ..bind
            };
            (bind, place)
        }));
    }
}

fn fits(needs: Needs, address: &BindAddress) -> bool {
    match (needs, address) {
        (Needs::Tcp, BindAddress::Tcp(_))
        | (Needs::V6, BindAddress::Tcp(SocketAddr::V6(_)))
        | (Needs::Unix, BindAddress::Unix(_)) => true,
        // Of an inherited socket only the system knows what it is, so it fits nothing.
        _ => false,
    }
}

/// `bind`: a string, a table, or a list of those; adds to what is there.
pub fn read(into: &mut Vec<Placed>, node: &Node<'_>, reading: &mut Reading<'_>) {
    for item in node.one_or_many() {
        let mut draft = Draft::default();
        if item.value.is_table() {
            let before = reading.diagnostics.len();
            BIND.read_node(&mut draft, &item, EVERYWHERE, reading);
            if !draft.address_given && reading.diagnostics.len() == before {
                reading.error(item.place(), "a bind needs an `address`");
            }
        } else if item.value.is_str() {
            if let Some(text) = reading.text(&item) {
                addresses(&mut draft.addresses, &text, reading);
            }
        } else {
            reading.mismatch(&item, "an address as \":80\", or a table with an `address`");
        }
        draft.finish(into, reading);
    }
}

fn addresses(into: &mut Vec<Placed>, text: &Text<'_>, reading: &mut Reading<'_>) {
    let mut start = 0;
    for piece in text.text.split(',') {
        let trimmed = piece.trim();
        let at = start + (piece.len() - piece.trim_start().len());
        let place = text.part(at..at + trimmed.len());
        start += piece.len() + 1;
        if into.len() >= PORTS_MAX {
            reading.error(place, format!("more than {PORTS_MAX} addresses in one bind"));
            return;
        }
        one_address(into, trimmed, place, reading);
    }
}

fn one_address(into: &mut Vec<Placed>, text: &str, place: Place, reading: &mut Reading<'_>) {
    let mut add = |address, written: String| into.push((blank(address, written), place.clone()));
    match address::parse(text) {
        Ok(Address::Unix(path)) => {
            let path = relative_to(&place, Path::new(path));
            add(BindAddress::Unix(path), text.to_owned());
        }
        Ok(Address::Fd(number)) => add(BindAddress::Fd(number), text.to_owned()),
        Ok(Address::Systemd(name)) => {
            add(BindAddress::Systemd(name.to_owned()), text.to_owned());
        }
        Ok(Address::Host { host, port, written }) => {
            let Some(ports) = ports(port) else {
                let message = format!("`{text}` needs a port, as in \":80\"");
                reading.error(place, message);
                return;
            };
            let Some(ips) = reading.addresses(host, &place) else { return };
            for port in ports {
                let address = BindAddress::Tcp(SocketAddr::new(ips[0], port));
                add(address, format!("{written}:{port}"));
            }
        }
        Err(error) => reading.error(place, error.to_string()),
    }
}

fn ports(port: Port) -> Option<std::ops::RangeInclusive<u16>> {
    match port {
        Port::One(port) => Some(port..=port),
        Port::Range(first, last) => Some(first..=last),
        Port::Missing | Port::Offset(_) => None,
    }
}

fn blank(address: BindAddress, written: String) -> Bind {
    Bind {
        name: String::new(),
        id: 0,
        written,
        address,
        options: BindOptions::default(),
        maxconn: None,
        object: 0,
        accept_proxy: None,
        nice: 0,
    }
}

/// The name of a network device.
pub fn interface(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let name = reading.word(node, INTERFACE_MAX)?;
    if name.contains('/') {
        reading.error(node.place(), "not the name of a network device");
        return None;
    }
    Some(name)
}

fn read_fastopen(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let queue_max = match node.value {
        DeValue::Boolean(false) => return,
        DeValue::Boolean(true) => Some(FASTOPEN_QUEUE),
        DeValue::Integer(_) | DeValue::String(_) => reading.count(node, 1..=65_535),
        _ => {
            reading.mismatch(node, "true, or an integer from 1 to 65535");
            None
        }
    };
    draft.needs(Needs::Tcp, "tfo", node);
    draft.options.fastopen = queue_max.map(|queue_max| Fastopen { queue_max });
}

fn read_mode(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    draft.needs(Needs::Unix, "mode", node);
    let mode = match node.value {
        DeValue::Integer(integer) if integer.radix() == 8 => {
            u32::from_str_radix(integer.as_str(), 8).ok()
        }
        DeValue::String(_) => {
            let Some(text) = reading.text(node) else { return };
            u32::from_str_radix(&text.text, 8).ok().filter(|_| !text.text.starts_with('+'))
        }
        _ => None,
    };
    match mode.filter(|mode| *mode <= 0o777) {
        Some(mode) => draft.options.unix.mode = Some(mode),
        None => {
            reading
                .error(node.place(), "expected permissions as an octal string, \"0\" to \"777\"");
        }
    }
}

pub(super) const ACCEPT_PROXY: Table<ProxyProtocolIn> = Table {
    name: "`accept_proxy`",
    keys: &[&[
        Key::new(
            "from",
            |accept, node, reading| accept.from = networks(node, reading),
            "
List of networks whose connections begin with a PROXY header, as
.Li 10.0.0.0/8
or
.Li 192.0.2.1 ;
connections from elsewhere are served without.
Default: everybody sends one.",
        ),
        Key::new(
            "timeout",
            |accept, node, reading| {
                let bounds = DURATION_MIN..=DURATION_MAX;
                reading.duration_or_none(&mut accept.timeout, node, bounds);
            },
            "
Duration within which the header must have come; 0: the client timeout holds.
Default: 0.",
        ),
    ]],
    unsupported: "",
};

fn read_accept_proxy(draft: &mut Draft, node: &Node<'_>, reading: &mut Reading<'_>) {
    let mut accept = ProxyProtocolIn { from: Vec::new(), timeout: None };
    match node.value {
        DeValue::Boolean(false) => return,
        DeValue::Boolean(true) => {}
        DeValue::String(_) | DeValue::Array(_) => accept.from = networks(node, reading),
        DeValue::Table(_) => ACCEPT_PROXY.read_node(&mut accept, node, EVERYWHERE, reading),
        _ => reading.mismatch(node, "true, a list of networks, or a table"),
    }
    draft.accept_proxy = Some(accept);
}

fn networks(node: &Node<'_>, reading: &mut Reading<'_>) -> Vec<IpNet> {
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        reading.error(node.place(), "no network: `true` expects a header from everybody");
    }
    nodes.iter().filter_map(|node| network(node, reading)).collect()
}

/// An address or a network.
pub fn network(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<IpNet> {
    let text = reading.text(node)?;
    let network =
        text.text.parse::<IpNet>().or_else(|_| text.text.parse::<IpAddr>().map(IpNet::from));
    if network.is_err() {
        let message = format!("`{}` is no network: write 10.0.0.0/8 or 192.0.2.1", text.text);
        reading.error(text.place(), message);
    }
    network.ok()
}
