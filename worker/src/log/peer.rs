//! One end of a connection as the log names it.
//!
//! Core: no I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portolan_shared::log::Text;

/// Room for a peer: the 45 bytes of `ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:65535` and what a number
/// wants behind it.
pub(super) const PEER_BYTES_MAX: usize = 48;

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
    /// Writes `%ci:%cp`: `10.0.1.2:33313`, `::1:33313` (HAProxy writes no brackets), `unix:1`.
    pub(super) fn write<const N: usize>(self, text: &mut Text<N>) {
        let number = match self {
            Self::Ip(IpAddr::V4(address), port) => {
                write_ipv4(text, address);
                u64::from(port)
            }
            Self::Ip(IpAddr::V6(address), port) => {
                write_ipv6(text, address);
                u64::from(port)
            }
            Self::Unix(listener) => {
                text.append(b"unix");
                u64::from(listener)
            }
        };
        text.push(b':');
        text.number(number);
    }
}

fn write_ipv4<const N: usize>(text: &mut Text<N>, address: Ipv4Addr) {
    let [first, rest @ ..] = address.octets();
    text.number(u64::from(first));
    for octet in rest {
        text.push(b'.');
        text.number(u64::from(octet));
    }
}

/// RFC 5952: the longest run of zeros, the first of equals and at least two, is `::`.
fn write_ipv6<const N: usize>(text: &mut Text<N>, address: Ipv6Addr) {
    if let Some(mapped) = address.to_ipv4_mapped() {
        text.append(b"::ffff:");
        return write_ipv4(text, mapped);
    }
    let segments = address.segments();
    let (start, length) = longest_zeros(segments);
    for (place, segment) in segments.into_iter().enumerate() {
        if (start..start + length).contains(&place) {
            if place == start {
                text.append(b"::");
            }
            continue;
        }
        if place > 0 && place != start + length {
            text.push(b':');
        }
        text.hex(segment);
    }
}

/// Start and length of the zeros to leave out; a length of 0 where there are none.
fn longest_zeros(segments: [u16; 8]) -> (usize, usize) {
    let mut longest = (8, 0);
    let mut run = 0;
    for (place, segment) in segments.into_iter().enumerate() {
        run = if segment == 0 { run + 1 } else { 0 };
        if run >= 2 && run > longest.1 {
            longest = (place + 1 - run, run);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(peer: Peer) -> String {
        let mut text = Text::<PEER_BYTES_MAX>::default();
        peer.write(&mut text);
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_peer_is_written_as_haproxy_does() {
        for (peer, expected) in [
            (Peer::Ip([10, 0, 1, 2].into(), 33_313), "10.0.1.2:33313"),
            (Peer::Ip([255, 100, 99, 0].into(), 1), "255.100.99.0:1"),
            (Peer::Ip("::1".parse().unwrap(), 80), "::1:80"),
            (Peer::Ip("::ffff:127.0.0.1".parse().unwrap(), 80), "::ffff:127.0.0.1:80"),
            (Peer::Ip("::".parse().unwrap(), 1), ":::1"),
            (Peer::Ip("1:0:0:2:0:0:0:3".parse().unwrap(), 1), "1:0:0:2::3:1"),
            (Peer::Ip("1:0:2:3:4:5:6:0".parse().unwrap(), 1), "1:0:2:3:4:5:6:0:1"),
            (Peer::Ip("1::".parse().unwrap(), 1), "1:::1"),
            (
                Peer::Ip(Ipv6Addr::from_bits(u128::MAX).into(), u16::MAX),
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:65535",
            ),
            (Peer::Unix(u32::MAX), "unix:4294967295"),
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

        #[test]
        fn every_ipv6_address_too(segments in proptest::array::uniform8(prop_oneof![Just(0), Just(0xffff), any::<u16>()])) {
            let address = Ipv6Addr::from(segments);
            prop_assert_eq!(text(Peer::Ip(address.into(), 5)), format!("{address}:5"));
        }
    }
}
