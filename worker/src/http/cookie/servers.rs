//! Which server a cookie's value stands for, and the reverse.
//!
//! Core: no I/O. The cost of looking up does not depend on the number of servers.
//!
//! A server without a value of its own gets one where a key is configured, if it has an IP address:
//! 16 hexadecimal digits of XXH64 (seed 0) over the key, the address (4 or 16 bytes) and the port (4
//! bytes), both in network order. It is the value that HAProxy computes: clients may come through
//! either.

use std::collections::HashMap;
use std::net::IpAddr;

use portolan_shared::model::{Server, ServerAddress, ServerId};
use twox_hash::XxHash64;

/// Values of the persistence cookie.
#[derive(Clone, Debug, Default)]
pub(super) struct Servers {
    /// By server.
    values: Box<[Option<Box<[u8]>>]>,
    /// The first server of each value.
    first: HashMap<Box<[u8]>, ServerId>,
    /// The next server of the same value.
    next: Box<[Option<ServerId>]>,
}

impl Servers {
    /// Of a backend's servers in their order.
    pub(super) fn new(servers: &[Server], dynamic_key: Option<&str>) -> Self {
        let values: Box<[Option<Box<[u8]>>]> = servers
            .iter()
            .map(|server| match (&server.http.cookie, dynamic_key) {
                (Some(value), _) => Some(value.as_bytes().into()),
                (None, Some(key)) => dynamic(key.as_bytes(), &server.address),
                (None, None) => None,
            })
            .collect();
        let mut first = HashMap::new();
        let mut next = vec![None; values.len()].into_boxed_slice();
        // From the last to the first, so that each one's next is known.
        for (server, value) in values.iter().enumerate().rev() {
            // An empty value is never looked up: clients could learn it from others' mistakes.
            let Some(value) = value.as_ref().filter(|value| !value.is_empty()) else { continue };
            next[server] = first.insert(value.clone(), server as ServerId);
        }
        Self { values, first, next }
    }

    /// The value that stands for this server.
    pub(super) fn value(&self, server: ServerId) -> Option<&[u8]> {
        self.values.get(server as usize)?.as_deref()
    }

    /// Servers of this value, in their order.
    pub(super) fn of(&self, value: &[u8]) -> impl Iterator<Item = ServerId> + use<'_> {
        std::iter::successors(self.first.get(value).copied(), |server| {
            self.next.get(*server as usize).copied().flatten()
        })
    }
}

fn dynamic(key: &[u8], address: &ServerAddress) -> Option<Box<[u8]>> {
    let (ip, port) = match address {
        ServerAddress::Tcp(address) => (address.ip(), i32::from(address.port())),
        ServerAddress::TcpClientPort { ip, offset } => (*ip, *offset),
        ServerAddress::Unix(_) | ServerAddress::Unresolved { .. } => return None,
    };
    let mut text = key.to_vec();
    match ip {
        IpAddr::V4(ip) => text.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => text.extend_from_slice(&ip.octets()),
    }
    text.extend_from_slice(&port.to_be_bytes());
    Some(format!("{:016x}", XxHash64::oneshot(0, &text)).into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, address: &str, cookie: Option<&str>) -> Server {
        let mut server = Server::new(name, ServerAddress::Tcp(address.parse().unwrap()));
        server.http.cookie = cookie.map(str::to_owned);
        server
    }

    #[test]
    fn servers_that_share_a_value_are_found_in_their_order() {
        let servers = Servers::new(
            &[
                server("a", "10.0.0.1:80", Some("x")),
                server("b", "10.0.0.2:80", None),
                server("c", "10.0.0.3:80", Some("y")),
                server("d", "10.0.0.4:80", Some("x")),
                server("e", "10.0.0.5:80", Some("x")),
            ],
            None,
        );
        assert_eq!(servers.of(b"x").collect::<Vec<_>>(), [0, 3, 4]);
        assert_eq!(servers.of(b"y").collect::<Vec<_>>(), [2]);
        assert_eq!(servers.of(b"z").count(), 0);
        assert_eq!(servers.value(1), None);
        assert_eq!(servers.value(3), Some(&b"x"[..]));
        assert_eq!(servers.value(5), None);
    }

    #[test]
    fn nobody_is_found_by_an_empty_value() {
        let servers = Servers::new(&[server("a", "10.0.0.1:80", Some(""))], None);
        assert_eq!(servers.of(b"").count(), 0);
    }

    /// Expected values are what HAProxy 2.6 sets for these.
    #[test]
    fn a_computed_value_is_haproxys() {
        let servers = Servers::new(
            &[
                server("v4", "127.0.0.1:29190", None),
                server("v6", "[::1]:29190", None),
                server("own", "127.0.0.1:29190", Some("b")),
            ],
            Some("secretkey"),
        );
        assert_eq!(servers.value(0), Some(&b"26d4efbffb018c03"[..]));
        assert_eq!(servers.value(1), Some(&b"817a441c5339e1b8"[..]));
        assert_eq!(servers.value(2), Some(&b"b"[..]));
        assert_eq!(servers.of(b"26d4efbffb018c03").collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_unix_socket_has_no_computed_value() {
        let unix = Server::new("u", ServerAddress::Unix("/run/x.sock".into()));
        assert_eq!(Servers::new(&[unix], Some("key")).value(0), None);
    }
}
