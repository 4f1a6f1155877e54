//! However the bytes are cut the answer is the same, whatever they are there is one, and what is
//! written is read.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;

/// Feeds ever more of `bytes`, and says what came of it and after how many.
fn byte_by_byte(bytes: &[u8]) -> (Result<Progress<'_>, ProxyError>, usize) {
    for length in 0..bytes.len() {
        match decode(&bytes[..length], MAX) {
            Ok(Progress::Incomplete { more }) => assert!(more > 0),
            early => return (early, length),
        }
    }
    (decode(bytes, MAX), bytes.len())
}

#[test]
fn every_truncation_waits_and_never_for_more_than_is_missing() {
    for header in [
        SPECIFICATION_V1,
        HAPROXY_V1_TCP6,
        HAPROXY_V2_TCP4,
        HAPROXY_V2_TCP6,
        HAPROXY_V2_UNIX,
        HAPROXY_V2_CHECK,
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN \r\n",
        b"PROXY TCP6 :: :: 0 0\r\n",
        b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n",
    ] {
        for length in 0..header.len() {
            match decode(&header[..length], MAX) {
                Ok(Progress::Incomplete { more }) => {
                    assert!((1..=header.len() - length).contains(&more), "{length}: {more}");
                }
                other => panic!("{other:?} at {length}: {}", header.escape_ascii()),
            }
        }
        assert!(matches!(decode(header, MAX), Ok(Progress::Complete(_))));
    }
}

#[test]
fn byte_by_byte_a_refusal_is_the_same() {
    for bad in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        b"PROXY UNKNOWN a\nb\r\n",
        &v2(0x31, 0x99, b""),
        &v2(0x2f, 0x99, b""),
        &v2(0x21, 0x99, b"x"),
        &v2(0x21, 0x11, b"x"),
        &with_tlvs(b"\x02\x01\x00"),
    ] {
        assert_eq!(byte_by_byte(bad).0, decode(bad, MAX), "{}", bad.escape_ascii());
    }
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// What both ends become on the wire.
fn on_the_wire(source: SocketAddr, destination: SocketAddr) -> Addresses<'static> {
    let mapped = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => end,
    };
    if source.is_ipv4() && destination.is_ipv4() {
        Addresses::Inet { source, destination }
    } else {
        Addresses::Inet { source: mapped(source), destination: mapped(destination) }
    }
}

/// Bytes that come close to being a header.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let seeds = prop::sample::select(vec![
        SPECIFICATION_V1,
        HAPROXY_V1_TCP6,
        HAPROXY_V2_TCP4,
        HAPROXY_V2_TCP6,
        HAPROXY_V2_UNIX,
        b"PROXY UNKNOWN ",
    ]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let tail = prop::collection::vec(any::<u8>(), 0..160);
    (seeds, edits, tail).prop_map(|(seed, edits, tail)| {
        let mut bytes = seed.to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend(tail);
        bytes
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        source in address(),
        destination in address(),
        crc32c in any::<bool>(),
        id in prop::option::of(prop::collection::vec(any::<u8>(), 0..=128)),
        custom in prop::collection::vec(
            (0xe0_u8..=0xef, prop::collection::vec(any::<u8>(), 0..40)), 0..4
        ),
    ) {
        let wire = on_the_wire(source, destination);
        let line = encoded_v1(Some(Addresses::Inet { source, destination }));
        prop_assert!(line.len() <= V1_BYTES_MAX);
        prop_assert!(!line.starts_with(b"PROXY TCP6") || !line.contains(&b'.'));
        prop_assert_eq!(whole(&line).addresses, Some(wire));

        let tlvs: Vec<model::Tlv> =
            custom.iter().map(|(kind, value)| model::Tlv { kind: *kind, value: value.clone() }).collect();
        let extras = Extras { crc32c, unique_id: id.as_deref(), tlvs: &tlvs };
        let bytes = encoded_v2(Some(Addresses::Inet { source, destination }), &extras);
        let header = whole(&bytes);
        prop_assert_eq!(header.addresses, Some(wire));
        prop_assert_eq!(header.tlvs.unique_id(), id.as_deref());
        let read: Vec<(u8, Vec<u8>)> = header
            .tlvs
            .iter()
            .filter(|tlv| tlv.kind >= 0xe0)
            .map(|tlv| (tlv.kind, tlv.value.to_vec()))
            .collect();
        prop_assert_eq!(read, custom);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes, MAX);
        let signed = [&v2::SIGNATURE[..], &bytes].concat();
        let _ = decode(&signed, MAX);
    }

    #[test]
    fn nearly_a_header_is_judged_alike_however_it_is_cut(bytes in nearly()) {
        let (outcome, after) = byte_by_byte(&bytes);
        match outcome {
            Ok(Progress::Complete(header)) => {
                prop_assert_eq!(header.length, after);
                prop_assert_eq!(decode(&bytes, MAX), Ok(Progress::Complete(header)));
            }
            Ok(Progress::Incomplete { .. }) => prop_assert_eq!(after, bytes.len()),
            Err(error) => prop_assert_eq!(decode(&bytes, MAX), Err(error)),
        }
    }
}
