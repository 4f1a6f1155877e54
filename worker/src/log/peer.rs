//! One end of a connection as the log names it.
//!
//! Core: no I/O.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use portolan_shared::log::push_u64;

/// An address and port, or the listener of a UNIX socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP.
    Ip(IpAddr, u16),
    /// Over a UNIX socket, accepted by the listener with this id.
    Unix(u32),
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address.ip(), address.port())
    }
}

impl Peer {
    /// Appends `%ci:%cp`: `10.0.1.2:33313`, `::1:33313` (HAProxy writes no brackets), `unix:1`.
    pub(super) fn push(self, line: &mut Vec<u8>) {
        let number = match self {
            Self::Ip(IpAddr::V4(address), port) => {
                push_ipv4(line, address);
                u64::from(port)
            }
            Self::Ip(IpAddr::V6(address), port) => {
                // A Vec takes everything.
                write!(line, "{address}").ok();
                u64::from(port)
            }
            Self::Unix(listener) => {
                line.extend_from_slice(b"unix");
                u64::from(listener)
            }
        };
        line.push(b':');
        push_u64(line, number);
    }
}

fn push_ipv4(line: &mut Vec<u8>, address: Ipv4Addr) {
    let mut text = [0_u8; 16];
    let mut end = 0;
    for octet in address.octets() {
        for (unit, present) in [(100, octet >= 100), (10, octet >= 10), (1, true)] {
            text[end] = b'0' + octet / unit % 10;
            end += usize::from(present);
        }
        text[end] = b'.';
        end += 1;
    }
    line.extend_from_slice(&text[..end - 1]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(peer: Peer) -> String {
        let mut line = Vec::new();
        peer.push(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_peer_is_written_as_haproxy_does() {
        for (peer, expected) in [
            (Peer::Ip([10, 0, 1, 2].into(), 33_313), "10.0.1.2:33313"),
            (Peer::Ip([255, 100, 99, 0].into(), 1), "255.100.99.0:1"),
            (Peer::Ip("::1".parse().unwrap(), 80), "::1:80"),
            (Peer::Ip("::ffff:127.0.0.1".parse().unwrap(), 80), "::ffff:127.0.0.1:80"),
            (Peer::Unix(7), "unix:7"),
        ] {
            assert_eq!(text(peer), expected);
        }
    }

    proptest! {
        #[test]
        fn every_ipv4_address_reads_as_the_standard_library_writes_it(number in any::<u32>()) {
            let address = Ipv4Addr::from_bits(number);
            prop_assert_eq!(text(Peer::Ip(address.into(), 5)), format!("{address}:5"));
        }
    }
}
