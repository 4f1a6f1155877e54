//! One end of a connection as the log names it.
//!
//! Core: no I/O.

#![expect(clippy::inline_always, reason = "the room for a line stays in registers only so")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portolan_shared::log::{Room, SHORT_NUMBER_BYTES, Text};

/// Room for a peer and a byte behind it: an address of at most 39 bytes, a colon and a number.
pub(super) const PEER_BYTES_MAX: usize = 39 + 1 + SHORT_NUMBER_BYTES;

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
    /// Writes `%ci:%cp` and a byte behind it: `10.0.1.2:33313`, `::1:33313` (HAProxy writes no
    /// brackets), `unix:1`.
    #[inline(always)]
    pub(super) fn write(self, room: Room<'_>, behind: u8) -> Room<'_> {
        self.write_address(room, b':').number(self.number(), behind)
    }

    /// Writes the address alone, `unix` for a UNIX socket, and a byte behind it.
    #[inline(always)]
    pub(super) fn write_address(self, room: Room<'_>, behind: u8) -> Room<'_> {
        match self {
            Self::Ip(IpAddr::V4(address), _) => write_ipv4(room, address, behind),
            Self::Ip(IpAddr::V6(address), _) => room.text(ipv6(address).as_bytes()).byte(behind),
            Self::Unix(_) => room.few(b"unix").byte(behind),
        }
    }

    /// The port, or the listener's id.
    #[inline(always)]
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Ip(_, port) => u64::from(port),
            Self::Unix(listener) => u64::from(listener),
        }
    }

    /// The address's bytes, of which there are none for a UNIX socket.
    pub(super) fn octets(self) -> ([u8; 16], usize) {
        let mut octets = [0; 16];
        let length = match self {
            Self::Ip(IpAddr::V4(address), _) => {
                octets[..4].copy_from_slice(&address.octets());
                4
            }
            Self::Ip(IpAddr::V6(address), _) => {
                octets = address.octets();
                16
            }
            Self::Unix(_) => 0,
        };
        (octets, length)
    }
}

#[inline(always)]
fn write_ipv4(room: Room<'_>, address: Ipv4Addr, behind: u8) -> Room<'_> {
    let [first, second, third, last] = address.octets();
    room.octet(first, b'.').octet(second, b'.').octet(third, b'.').octet(last, behind)
}

/// RFC 5952: the longest run of zeros, the first of equals and at least two, is `::`.
#[cold]
fn ipv6(address: Ipv6Addr) -> Text<40> {
    let mut text = Text::default();
    if let Some(mapped) = address.to_ipv4_mapped() {
        text.append(b"::ffff:");
        for (place, octet) in mapped.octets().into_iter().enumerate() {
            if place > 0 {
                text.push(b'.');
            }
            text.number(u64::from(octet));
        }
        return text;
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
    text
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
    use portolan_shared::log::append;
    use proptest::prelude::*;

    use super::*;

    fn text(peer: Peer) -> String {
        let mut line = Vec::new();
        append(&mut line, PEER_BYTES_MAX, |room| peer.write(room, b'|'));
        assert_eq!(line.pop(), Some(b'|'));
        String::from_utf8(line).unwrap()
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
