//! Where a server is: `address`, and `init_addr`, how a name becomes an address; core, but for what it
//! asks the reading about names.
//!
//! The methods of `init_addr` are tried in their order; the first that gives an address is taken.
//!
//! | method | gives |
//! | --- | --- |
//! | `last` | what the name stood for in the configuration that runs; nothing at the first start |
//! | `libc` | what the system's resolver says now |
//! | `none` | no address: the server is not used, and no more methods are tried |
//! | an address | itself |

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use portolan_shared::model::ServerAddress;

use super::{Draft, Row};
use crate::config::address::{self, Address, Family, Host, Port};
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::document::Node;
use crate::config::reading::{Reading, Text, relative_to};
use crate::config::table::ITEM;

/// What a server may do that has no address.
const WITHOUT: &str = "with init_addr = \"libc,none\" it starts without the server";
/// Methods of one server: there are three and addresses, of which one would do.
const METHODS_MAX: usize = 16;

pub const ROWS: &[Row] = &[
    Row::new(
        "address",
        |draft, node, reading| {
            draft.address_given = true;
            draft.read_address(node, reading);
        },
        "
Where it is; required: an address as described in
.Sx ADDRESSES .
Without a port, or with
.Li +N
or
.Li -N
for one, it is the port that the client came to, plus or minus N.",
    )
    .only(ITEM),
    Row::new(
        "init_addr",
        |draft, node, reading| {
            if let Some(methods) = methods(node, reading) {
                draft.said.init_addr = InitAddr(methods);
            }
        },
        "
How a name becomes an address, when Portolan starts and at each reload: words with commas between
them, or a list; the first that gives an address is taken.
\\(dqlast\\(dq: the address that it has in the configuration that runs;
\\(dqlibc\\(dq: what the system's resolver says;
\\(dqnone\\(dq: none, the server is not used;
or an address.
Where none of them gives one the configuration is refused.
Default: \\(dqlibc\\(dq: a reload asks again.
(HAProxy's is \\(dqlast,libc\\(dq, where the first needs a file of states.)",
    ),
];

/// How a name becomes an address.
#[derive(Clone, Debug)]
pub struct InitAddr(Vec<Method>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Last,
    Libc,
    None,
    Ip(IpAddr),
}

impl Default for InitAddr {
    fn default() -> Self {
        Self(vec![Method::Libc])
    }
}

/// A server's address that is a name.
#[derive(Clone, Debug)]
pub struct Named {
    name: String,
    family: Family,
    port: Port,
    place: Place,
}

impl Draft {
    fn read_address(&mut self, node: &Node<'_>, reading: &mut Reading<'_>) {
        let Some(text) = reading.text(node) else { return };
        let refused = match address::parse(&text.text) {
            Ok(Address::Unix(path)) => {
                let path = relative_to(&text.place(), Path::new(path));
                self.server.address = ServerAddress::Unix(path);
                return;
            }
            Ok(Address::Host { host: Host::Ip(ip), .. }) if ip.is_unspecified() => {
                "a server needs an address: the wildcard is none".to_owned()
            }
            Ok(Address::Host { port: Port::Range(..), .. }) => {
                "a server has one port, not a range".to_owned()
            }
            Ok(Address::Host { host: Host::Ip(ip), port, .. }) => {
                self.server.address = at_port(ip, port);
                return;
            }
            Ok(Address::Host { host: Host::Name(name, family), port, .. }) => {
                let name = name.to_owned();
                self.named = Some(Named { name, family, port, place: text.place() });
                return;
            }
            Ok(Address::Fd(_) | Address::Systemd(_)) => {
                "a server is reached by an address, not by a descriptor".to_owned()
            }
            Err(error) => error.to_string(),
        };
        reading.error(text.place(), refused);
    }

    /// A name's address, once it is known how it is to be found.
    pub(super) fn resolve(&mut self, reading: &mut Reading<'_>) {
        let Some(Named { name, family, port, place }) = self.named.take() else { return };
        let mut failed = None;
        for method in &self.said.init_addr.0 {
            let found = match method {
                Method::Last => reading.last(&name, family),
                Method::Libc => match reading.host(&name, family) {
                    Ok(found) => found,
                    Err(error) => {
                        failed = Some(error);
                        continue;
                    }
                },
                Method::Ip(ip) => vec![*ip],
                Method::None => {
                    let reason = failed.unwrap_or_else(|| format!("`{name}` is not looked up"));
                    let message = format!("server `{}` is not used: {reason}", self.server.name);
                    reading.warn(place, message);
                    self.server.address = ServerAddress::Unresolved { name };
                    return;
                }
            };
            if let Some(ip) = found.first() {
                self.server.address = at_port(*ip, port);
                return;
            }
        }
        let reason = failed.unwrap_or_else(|| format!("`{name}` has had no address before"));
        let is_default = self.said.init_addr.0 == [Method::Libc];
        reading.unresolved(place, reason, is_default.then_some(WITHOUT));
    }
}

fn at_port(ip: IpAddr, port: Port) -> ServerAddress {
    match port {
        Port::One(port) => ServerAddress::Tcp(SocketAddr::new(ip, port)),
        Port::Offset(offset) => ServerAddress::TcpClientPort { ip, offset },
        Port::Missing | Port::Range(..) => ServerAddress::TcpClientPort { ip, offset: 0 },
    }
}

fn methods(node: &Node<'_>, reading: &mut Reading<'_>) -> Option<Vec<Method>> {
    let mut methods = Vec::new();
    let mut understood = true;
    for node in node.one_or_many() {
        let text = reading.text(&node)?;
        let mut start = 0;
        for part in text.text.split(',') {
            let word = part.trim_start();
            match method(word.trim_end(), &text, start + part.len() - word.len(), reading) {
                Some(method) => methods.push(method),
                None => understood = false,
            }
            start += part.len() + 1;
        }
    }
    if methods.is_empty() && understood {
        reading.error(node.place(), "a name needs a way to become an address");
        return None;
    }
    if methods.len() > METHODS_MAX {
        reading.error(node.place(), format!("more than {METHODS_MAX} methods"));
        return None;
    }
    understood.then_some(methods)
}

/// The method that a word at `start` names.
fn method(word: &str, text: &Text<'_>, start: usize, reading: &mut Reading<'_>) -> Option<Method> {
    match word {
        "last" => return Some(Method::Last),
        "libc" => return Some(Method::Libc),
        "none" => return Some(Method::None),
        _ => {}
    }
    match word.parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() => Some(Method::Ip(ip)),
        _ => {
            let place = text.part(start..start + word.len());
            let message = format!("`{word}` is no way to find an address");
            let help = "one of last, libc, none, or an address";
            reading.report(Diagnostic::error(place, message).help(help));
            None
        }
    }
}
