//! PROXY protocol headers by hand, from the protocol's own specification.
//!
//! Core.

use std::net::{IpAddr, SocketAddr};

/// The twelve bytes before every version 2 header.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// `PROXY TCP4 …`.
pub fn v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    format!(
        "PROXY {family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    )
    .into_bytes()
}

/// A version 2 header with the command PROXY and these TLVs, already encoded.
pub fn v2(source: SocketAddr, destination: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
    let mut addresses = Vec::new();
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => addresses.extend(ip.octets()),
            IpAddr::V6(ip) => addresses.extend(ip.octets()),
        }
    }
    addresses.extend(source.port().to_be_bytes());
    addresses.extend(destination.port().to_be_bytes());
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    header(0x21, family, &[&addresses, tlvs].concat())
}

/// A version 2 header of any command and family.
pub fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

/// One TLV.
pub fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes
}

/// CRC32c (Castagnoli), bit by bit.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

/// A version 2 header whose checksum TLV is right.
pub fn v2_with_checksum(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut bytes = v2(source, destination, &tlv(0x03, &[0; 4]));
    let checksum = crc32c(&bytes);
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// A header as a server received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// 1 or 2.
    pub version: u8,
    /// `None` for UNKNOWN and LOCAL.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// Kind and value of each TLV.
    pub tlvs: Vec<(u8, Vec<u8>)>,
    /// What followed the header.
    pub rest: Vec<u8>,
}

/// Takes a header apart; `None` when it is not one.
pub fn parse(bytes: &[u8]) -> Option<Parsed> {
    if bytes.starts_with(&SIGNATURE) { parse_v2(bytes) } else { parse_v1(bytes) }
}

fn parse_v1(bytes: &[u8]) -> Option<Parsed> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let words: Vec<&str> = std::str::from_utf8(&bytes[..end]).ok()?.split(' ').collect();
    let addresses = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4" | "TCP6", source, destination, source_port, destination_port] => Some((
            SocketAddr::new(source.parse().ok()?, source_port.parse().ok()?),
            SocketAddr::new(destination.parse().ok()?, destination_port.parse().ok()?),
        )),
        _ => return None,
    };
    Some(Parsed { version: 1, addresses, tlvs: Vec::new(), rest: bytes[end + 2..].to_vec() })
}

fn parse_v2(bytes: &[u8]) -> Option<Parsed> {
    let (command, family) = (*bytes.get(12)?, *bytes.get(13)?);
    let length = usize::from(u16::from_be_bytes([*bytes.get(14)?, *bytes.get(15)?]));
    let body = bytes.get(16..16 + length)?;
    let port = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    let (addresses, used) = match (command, family) {
        (0x20, _) => (None, length),
        (0x21, 0x11) => {
            let ip = |at: usize| Some(<[u8; 4]>::try_from(body.get(at..at + 4)?).ok()?.into());
            let pair = (SocketAddr::new(ip(0)?, port(8)?), SocketAddr::new(ip(4)?, port(10)?));
            (Some(pair), 12)
        }
        (0x21, 0x21) => {
            let ip = |at: usize| Some(<[u8; 16]>::try_from(body.get(at..at + 16)?).ok()?.into());
            let pair = (SocketAddr::new(ip(0)?, port(32)?), SocketAddr::new(ip(16)?, port(34)?));
            (Some(pair), 36)
        }
        (0x21, 0x00) => (None, 0),
        _ => return None,
    };
    let mut tlvs = Vec::new();
    let mut left = &body[used..];
    while !left.is_empty() {
        let size = usize::from(u16::from_be_bytes([*left.get(1)?, *left.get(2)?]));
        tlvs.push((left[0], left.get(3..3 + size)?.to_vec()));
        left = &left[3 + size..];
    }
    Some(Parsed { version: 2, addresses, tlvs, rest: bytes[16 + length..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn what_is_built_is_what_is_taken_apart() {
        let pair = (SocketAddr::from(([192, 0, 2, 1], 5)), SocketAddr::from(([192, 0, 2, 2], 6)));
        let parsed = parse(&v1(pair.0, pair.1)).expect("version 1");
        assert_eq!((parsed.version, parsed.addresses), (1, Some(pair)));
        let bytes = [v2(pair.0, pair.1, &tlv(0xe0, b"own")), b"rest".to_vec()].concat();
        let parsed = parse(&bytes).expect("version 2");
        assert_eq!((parsed.version, parsed.addresses), (2, Some(pair)));
        assert_eq!(parsed.tlvs, [(0xe0, b"own".to_vec())]);
        assert_eq!(parsed.rest, b"rest");
    }
}
