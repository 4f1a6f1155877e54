//! The specification's rules one by one, and bytes that HAProxy sent.

use std::net::SocketAddr;

use portolan_shared::model;

use super::encode::{EncodeError, Extras};
use super::*;

mod cuts;

const MAX: usize = V2_BYTES_MAX;

#[expect(clippy::unnecessary_wraps, reason = "as a header has it")]
fn inet<'a>(source: &str, destination: &str) -> Option<Addresses<'a>> {
    let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
    Some(Addresses::Inet { source: parse(source), destination: parse(destination) })
}

/// The header that these bytes are, exactly.
fn whole(bytes: &[u8]) -> Header<'_> {
    match decode(bytes, MAX) {
        Ok(Progress::Complete(header)) => {
            assert_eq!(header.length, bytes.len());
            header
        }
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    }
}

fn refused(bytes: &[u8]) -> ProxyError {
    decode(bytes, MAX).expect_err(&bytes.escape_ascii().to_string())
}

/// A version 2 header of these parts.
fn v2(version_command: u8, family_transport: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = v2::SIGNATURE.to_vec();
    bytes.extend([version_command, family_transport]);
    bytes.extend((block.len() as u16).to_be_bytes());
    bytes.extend(block);
    bytes
}

const TCP4_BLOCK: [u8; 12] = [192, 168, 0, 1, 192, 168, 0, 11, 0xdc, 0x04, 0x01, 0xbb];

/// The TCP over IPv4 block with these fields behind it.
fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&TCP4_BLOCK, tlvs].concat())
}

// What HAProxy 2.6 sent with send-proxy and send-proxy-v2 proxy-v2-options crc32c,unique-id.
const HAPROXY_V1_TCP6: &[u8] = b"PROXY TCP6 ::1 ::1 36528 17001\r\n";
const HAPROXY_V2_TCP4: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00'\xc0\xa8\x00\x01\xc0\xa8\x00\x0b\
\xdc\x04\x01\xbb\x03\x00\x04.\x8b\x9ey\x05\x00\x11id-192.168.0.1-11";
const HAPROXY_V2_TCP6: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n!!\x006\
\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\
\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xc2\xe6Bj\
\x03\x00\x04Q\x80s\x00\x05\x00\x08id-::1-4";
const HAPROXY_V2_UNIX: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n \x00\x00\x13\
\x03\x00\x04\xdc\xf6\x8f\xed\x05\x00\tid-unix-5";
const HAPROXY_V2_CHECK: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n \x00\x00\x07\x03\x00\x04\xa9\xb8~\x8f";
const SPECIFICATION_V1: &[u8] = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";

#[test]
fn the_line_of_the_specification_is_read() {
    let data = [SPECIFICATION_V1, b"GET / HTTP/1.1\r\nHost: 192.168.0.11\r\n\r\n"].concat();
    let Ok(Progress::Complete(header)) = decode(&data, MAX) else { panic!("not complete") };
    assert_eq!(
        header,
        Header {
            version: ProxyProtocolVersion::V1,
            command: Command::Proxy,
            addresses: inet("192.168.0.1:56324", "192.168.0.11:443"),
            tlvs: Tlvs::default(),
            length: SPECIFICATION_V1.len(),
        }
    );
}

#[test]
fn what_haproxy_sends_is_read() {
    assert_eq!(whole(HAPROXY_V1_TCP6).addresses, inet("[::1]:36528", "[::1]:17001"));

    let tcp4 = whole(HAPROXY_V2_TCP4);
    assert_eq!(tcp4.version, ProxyProtocolVersion::V2);
    assert_eq!(tcp4.addresses, inet("192.168.0.1:56324", "192.168.0.11:443"));
    assert_eq!(tcp4.tlvs.unique_id(), Some(&b"id-192.168.0.1-11"[..]));
    assert_eq!(tcp4.tlvs.authority(), None);

    let tcp6 = whole(HAPROXY_V2_TCP6);
    assert_eq!(tcp6.addresses, inet("[::1]:49894", "[::1]:17002"));
    assert_eq!(tcp6.tlvs.unique_id(), Some(&b"id-::1-4"[..]));

    for own in [HAPROXY_V2_UNIX, HAPROXY_V2_CHECK] {
        let header = whole(own);
        assert_eq!((header.command, header.addresses), (Command::Local, None));
        assert_eq!(header.tlvs.iter().next(), None);
    }
}

#[test]
fn what_we_send_is_what_haproxy_sends() {
    let client = inet("192.168.0.1:56324", "192.168.0.11:443");
    let id = Extras { crc32c: true, unique_id: Some(b"id-192.168.0.1-11"), tlvs: &[] };
    assert_eq!(encoded_v2(client, &id), HAPROXY_V2_TCP4);
    let id = Extras { crc32c: true, unique_id: Some(b"id-::1-4"), tlvs: &[] };
    assert_eq!(encoded_v2(inet("[::1]:49894", "[::1]:17002"), &id), HAPROXY_V2_TCP6);
    let id = Extras { crc32c: true, unique_id: Some(b"id-unix-5"), tlvs: &[] };
    let unix = Some(Addresses::Unix { source: b"", destination: b"/run/in.sock" });
    assert_eq!(encoded_v2(unix, &id), HAPROXY_V2_UNIX);
    let check = Extras { crc32c: true, ..Extras::default() };
    assert_eq!(encoded_v2(None, &check), HAPROXY_V2_CHECK);

    assert_eq!(encoded_v1(client), SPECIFICATION_V1);
    assert_eq!(encoded_v1(inet("[::1]:36528", "[::1]:17001")), HAPROXY_V1_TCP6);
    assert_eq!(encoded_v1(unix), b"PROXY UNKNOWN\r\n");
    assert_eq!(encoded_v1(None), b"PROXY UNKNOWN\r\n");
}

fn encoded_v1(addresses: Option<Addresses<'_>>) -> Vec<u8> {
    let mut out = Vec::new();
    encode::v1(&mut out, addresses);
    out
}

fn encoded_v2(addresses: Option<Addresses<'_>>, extras: &Extras<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode::v2(&mut out, addresses, extras).expect("it fits");
    out
}

#[test]
fn two_families_meet_in_ipv6() {
    let mixed = inet("192.0.2.1:1", "[2001:db8::1]:2");
    assert_eq!(encoded_v1(mixed), b"PROXY TCP6 ::ffff:c000:201 2001:db8::1 1 2\r\n");
    let expected = inet("[::ffff:192.0.2.1]:1", "[2001:db8::1]:2");
    assert_eq!(whole(&encoded_v1(mixed)).addresses, expected);
    assert_eq!(whole(&encoded_v2(mixed, &Extras::default())).addresses, expected);
}

#[test]
fn the_header_goes_behind_what_is_in_the_buffer() {
    let mut out = b"before".to_vec();
    let extras = Extras { crc32c: true, ..Extras::default() };
    encode::v2(&mut out, inet("1.2.3.4:5", "6.7.8.9:10"), &extras).expect("it fits");
    assert_eq!(&out[..6], b"before");
    assert_eq!(whole(&out[6..]).addresses, inet("1.2.3.4:5", "6.7.8.9:10"));
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut out = b"before".to_vec();
    let id = vec![0; UNIQUE_ID_BYTES_MAX + 1];
    let extras = Extras { unique_id: Some(&id), ..Extras::default() };
    assert_eq!(encode::v2(&mut out, None, &extras), Err(EncodeError::UniqueIdTooLong(129)));
    let tlvs = vec![model::Tlv { kind: 0xe0, value: vec![0; 1_024] }; 64];
    let extras = Extras { tlvs: &tlvs, ..Extras::default() };
    assert_eq!(encode::v2(&mut out, None, &extras), Err(EncodeError::TooLong(64 * 1_027)));
    assert_eq!(out, b"before");
}

#[test]
fn the_longest_lines_are_read() {
    let long = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let tcp4 = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    assert_eq!(tcp4.len(), 56);
    assert_eq!(
        whole(tcp4.as_bytes()).addresses,
        inet("255.255.255.255:65535", "255.255.255.255:65535")
    );
    let tcp6 = format!("PROXY TCP6 {long} {long} 65535 65535\r\n");
    assert_eq!(tcp6.len(), 104);
    let end = format!("[{long}]:65535");
    assert_eq!(whole(tcp6.as_bytes()).addresses, inet(&end, &end));
    let unknown = format!("PROXY UNKNOWN {long} {long} 65535 65535\r\n");
    assert_eq!(unknown.len(), V1_BYTES_MAX);
    assert_eq!(whole(unknown.as_bytes()).addresses, None);
}

#[test]
fn a_line_without_crlf_in_107_bytes_is_refused() {
    let mut line = b"PROXY UNKNOWN ".to_vec();
    line.resize(V1_BYTES_MAX - 1, b'x');
    assert_eq!(refused(&line), ProxyError::LineTooLong);
    line.extend(b"\r\n");
    assert_eq!(refused(&line), ProxyError::LineTooLong);
}

#[test]
fn anything_may_follow_unknown_up_to_the_crlf() {
    for line in
        [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN \r\n", b"PROXY UNKNOWN \xff\0  what\r\n"]
    {
        let header = whole(line);
        assert_eq!((header.command, header.addresses), (Command::Proxy, None));
    }
}

#[test]
fn a_cr_or_lf_alone_ends_no_line() {
    for (line, at) in [
        (&b"PROXY UNKNOWN\rx"[..], 13),
        (b"PROXY UNKNOWN x\n", 15),
        (b"PROXY UNKNOWN x\ny\r\n", 15),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", 30),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", 30),
    ] {
        assert_eq!(refused(line), ProxyError::BareLineEnd { at });
    }
}

#[test]
fn the_first_byte_that_fits_no_header_is_an_error() {
    for (bytes, at) in [
        (&b"GET / HTTP/1.1\r\n"[..], 0),
        (b"\x16\x03\x01", 0),
        (b"proxy", 0),
        (b"PROXX", 4),
        (b"PROXY\t", 5),
        (b"PROXY  TCP4", 6),
        (b"PROXY TCP5", 9),
        (b"PROXY tcp4", 6),
        (b"PROXY TCP4\r\n", 10),
        (b"PROXY UNKNOWN\n", 13),
        (b"PROXY UNKNOWNS", 13),
        (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", 7),
        (b"\r\n\r\nx", 4),
        (b"\r\n\r\n\0\r\nQUIT\r", 11),
    ] {
        assert_eq!(refused(bytes), ProxyError::NotAHeader { at }, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_line_has_exactly_its_fields_with_one_space_between() {
    for rest in [
        "1.2.3.4 5.6.7.8 1",
        "1.2.3.4 5.6.7.8 1 2 ",
        "1.2.3.4 5.6.7.8 1 2 3",
        " 1.2.3.4 5.6.7.8 1 2",
        "1.2.3.4  5.6.7.8 1 2",
        "",
        "\u{e9}",
    ] {
        let line = format!("PROXY TCP4 {rest}\r\n");
        assert_eq!(refused(line.as_bytes()), ProxyError::Fields, "{line:?}");
    }
    assert_eq!(refused(b"PROXY TCP4 \xff\r\n"), ProxyError::Fields);
}

#[test]
fn an_address_is_one_of_its_family_in_canonical_form() {
    for (family, good, bad) in [
        (
            "TCP4",
            "1.2.3.4",
            &[
                "01.2.3.4",
                "1.2.3",
                "1.2.3.4.5",
                "1.2.3.256",
                "1.2.3.0x4",
                "::1",
                "a",
                "",
                "1.2.3.-4",
            ][..],
        ),
        (
            "TCP6",
            "::1",
            &[
                "1.2.3.4",
                "::1::",
                "1:2:3:4:5:6:7",
                "1:2:3:4:5:6:7:8:9",
                "::g",
                "::12345",
                "[::1]",
                "fe80::1%1",
            ],
        ),
    ] {
        for bad in bad {
            let line = format!("PROXY {family} {bad} {good} 1 2\r\n");
            assert_eq!(refused(line.as_bytes()), ProxyError::Address(End::Source), "{line:?}");
            let line = format!("PROXY {family} {good} {bad} 1 2\r\n");
            assert_eq!(refused(line.as_bytes()), ProxyError::Address(End::Destination), "{line:?}");
        }
    }
    let hex_case = b"PROXY TCP6 2001:DB8:0000::1 ::ffff:1.2.3.4 1 2\r\n";
    assert_eq!(whole(hex_case).addresses, inet("[2001:db8::1]:1", "[::ffff:1.2.3.4]:2"));
}

#[test]
fn a_port_is_plain_digits_up_to_65535() {
    for bad in ["65536", "99999999999", "00", "01", "+1", "-1", "0x1", "1a"] {
        let line = format!("PROXY TCP4 1.2.3.4 5.6.7.8 {bad} 2\r\n");
        assert_eq!(refused(line.as_bytes()), ProxyError::Port(End::Source), "{line:?}");
        let line = format!("PROXY TCP4 1.2.3.4 5.6.7.8 1 {bad}\r\n");
        assert_eq!(refused(line.as_bytes()), ProxyError::Port(End::Destination), "{line:?}");
    }
    assert_eq!(
        whole(b"PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n").addresses,
        inet("1.2.3.4:0", "5.6.7.8:65535")
    );
}

#[test]
fn only_version_2_and_its_two_commands_are_taken() {
    for version in [0, 1, 3, 15] {
        assert_eq!(refused(&v2(version << 4 | 1, 0x11, &TCP4_BLOCK)), ProxyError::Version(version));
    }
    for command in 2..=15 {
        assert_eq!(refused(&v2(0x20 | command, 0x11, &TCP4_BLOCK)), ProxyError::Command(command));
    }
}

#[test]
fn families_and_transports_that_are_not_assigned_are_refused() {
    for high in 4..=15_u8 {
        assert_eq!(refused(&v2(0x21, high << 4 | 1, &[])), ProxyError::Family(high));
    }
    for low in 3..=15_u8 {
        assert_eq!(refused(&v2(0x21, 0x10 | low, &TCP4_BLOCK)), ProxyError::Transport(low));
    }
    for datagram in [0x02, 0x12, 0x22, 0x32] {
        assert_eq!(refused(&v2(0x21, datagram, &[0; 216])), ProxyError::Datagram);
    }
}

#[test]
fn unspec_keeps_the_connections_own_addresses_and_its_block_is_skipped() {
    for unspec in [0x00, 0x01, 0x10, 0x20, 0x30] {
        for block in [&b""[..], b"anything at all", b"\x02\x00\x01a"] {
            let bytes = v2(0x21, unspec, block);
            let header = whole(&bytes);
            assert_eq!((header.command, header.addresses), (Command::Proxy, None));
        }
    }
    assert_eq!(whole(&v2(0x21, 0, b"\x02\x00\x01a")).tlvs.authority(), Some(&b"a"[..]));
}

#[test]
fn local_is_taken_whatever_its_family_and_its_block_is_skipped() {
    for family in [0x00, 0x11, 0x12, 0x31, 0x99, 0xff] {
        for block in [&b""[..], b"x", &TCP4_BLOCK, &[0xff; 600], b"\x03\x00\x09"] {
            let bytes = v2(0x20, family, block);
            let header = whole(&bytes);
            assert_eq!((header.command, header.addresses), (Command::Local, None));
            assert_eq!(header.tlvs, Tlvs::default());
        }
    }
}

#[test]
fn a_checksum_counts_for_local_and_unspec_too() {
    let mut check = HAPROXY_V2_CHECK.to_vec();
    check[22] ^= 1;
    assert!(matches!(refused(&check), ProxyError::ChecksumWrong { .. }));
    check[12] = 0x21;
    assert!(matches!(refused(&check), ProxyError::ChecksumWrong { .. }));
}

#[test]
fn unix_names_end_at_their_zeroes() {
    let mut block = [0; 216];
    block[..6].copy_from_slice(b"/run/a");
    block[7] = b'x';
    block[108..112].copy_from_slice(b"\0a\0b");
    assert_eq!(
        whole(&v2(0x21, 0x31, &block)).addresses,
        Some(Addresses::Unix { source: b"/run/a", destination: b"\0a\0b" })
    );
    assert_eq!(
        whole(&v2(0x21, 0x31, &[0; 216])).addresses,
        Some(Addresses::Unix { source: b"", destination: b"" })
    );
    let full = [b'n'; 108];
    assert_eq!(
        whole(&v2(0x21, 0x31, &[b'n'; 216])).addresses,
        Some(Addresses::Unix { source: &full, destination: &full })
    );
}

#[test]
fn a_block_too_short_for_its_addresses_is_refused() {
    for (family, needed) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
        for length in [0, 1, needed - 1] {
            let bytes = v2(0x21, family, &vec![0; length]);
            assert_eq!(refused(&bytes), ProxyError::AddressesCut { length });
        }
        whole(&v2(0x21, family, &vec![0; needed]));
    }
}

#[test]
fn a_header_longer_than_can_be_held_is_refused_once_its_length_is_known() {
    let announced = |length: u16| {
        let mut bytes = v2(0x21, 0x11, &[]);
        bytes[14..].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    assert_eq!(decode(&announced(521), 536), Err(ProxyError::TooLong { length: 537, max: 536 }));
    assert_eq!(decode(&announced(520), 536), Ok(Progress::Incomplete { more: 520 }));
    assert_eq!(
        decode(&announced(u16::MAX), usize::MAX),
        Err(ProxyError::TooLong { length: 65_551, max: V2_BYTES_MAX })
    );
}

#[test]
fn fields_are_read_in_order_and_padding_is_left_out() {
    let bytes =
        with_tlvs(b"\x04\0\x02__\x02\0\x0bexample.com\xe0\0\0\x04\0\0\x05\0\x02id\x02\0\x01x");
    let tlvs = whole(&bytes).tlvs;
    assert_eq!(tlvs.authority(), Some(&b"example.com"[..]));
    assert_eq!(tlvs.unique_id(), Some(&b"id"[..]));
    assert_eq!(tlvs.value(0xe0), Some(&b""[..]));
    assert_eq!(tlvs.value(0xe1), None);
    assert_eq!(tlvs.iter().map(|tlv| tlv.kind).collect::<Vec<_>>(), [0x02, 0xe0, 0x05, 0x02]);
}

#[test]
fn a_field_that_ends_behind_the_header_is_refused() {
    for cut in [&b"\x02"[..], b"\x02\0", b"\x02\0\x01", b"\x02\xff\xff...", b"\x04\0\0\x02\0\x02a"]
    {
        let at = 28 + if cut[0] == 4 { 3 } else { 0 };
        assert_eq!(refused(&with_tlvs(cut)), ProxyError::TlvCut { at }, "{}", cut.escape_ascii());
    }
}

#[test]
fn fields_keep_their_own_bounds() {
    let long = |kind: u8, length: usize| {
        let mut tlv = vec![kind];
        tlv.extend((length as u16).to_be_bytes());
        tlv.resize(3 + length, b'a');
        with_tlvs(&tlv)
    };
    whole(&long(0x05, 128));
    assert_eq!(refused(&long(0x05, 129)), ProxyError::UniqueIdTooLong(129));
    whole(&long(0x02, 255));
    assert_eq!(refused(&long(0x02, 256)), ProxyError::AuthorityTooLong(256));
    for length in [0, 3, 5] {
        assert_eq!(refused(&long(0x03, length)), ProxyError::ChecksumLength(length));
    }
}

#[test]
fn every_flipped_bit_breaks_the_checksum_or_the_form() {
    for bit in 0..HAPROXY_V2_TCP4.len() * 8 {
        let mut bytes = HAPROXY_V2_TCP4.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // In the family UNSPEC nothing says where fields begin; in another type it is no checksum.
        let no_checksum = bit == 13 * 8 + 4 || (28 * 8..29 * 8).contains(&bit);
        let taken = matches!(decode(&bytes, MAX), Ok(Progress::Complete(_)));
        assert!(no_checksum || !taken, "bit {bit}");
    }
}

#[test]
fn two_checksums_are_refused() {
    assert_eq!(refused(&with_tlvs(b"\x03\0\x04abcd\x03\0\x04abcd")), ProxyError::ChecksumTwice);
}
