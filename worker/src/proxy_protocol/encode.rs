//! The header that goes before the data.
//!
//! Core. The sender must give it to the socket in one piece, before anything else (section 2).
//! Two families that differ meet in IPv6, the IPv4 address mapped, as HAProxy does it; in text all
//! of its groups are hexadecimal, as the specification asks for. Addresses that are not TCP's are
//! not told: version 1 says UNKNOWN, version 2 LOCAL, which every receiver has to accept (HAProxy
//! sends the same, and refuses AF_UNIX and a proxied UNSPEC).

use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use portolan_shared::model;

use super::v2::{
    FIXED_BYTES, SIGNATURE, TLV_HEAD_BYTES, TYPE_CRC32C, TYPE_UNIQUE_ID, checksum_with_zeroes_at,
};
use super::{Addresses, UNIQUE_ID_BYTES_MAX};

/// Version 2, the connection is the sender's own.
const LOCAL: u8 = 0x20;
/// Version 2, the connection is made for a client.
const PROXY: u8 = 0x21;
const UNSPEC: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Optional fields of a version 2 header.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// A checksum over the header.
    pub crc32c: bool,
    /// An id for the connection, at most 128 bytes.
    pub unique_id: Option<&'a [u8]>,
    /// Further fields as configured.
    pub tlvs: &'a [model::Tlv],
}

/// Why a header cannot be written; nothing has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The id has more than 128 bytes.
    UniqueIdTooLong(usize),
    /// All fields together exceed what the length can say.
    TooLong(usize),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UniqueIdTooLong(length) => {
                write!(f, "unique id of {length} bytes, more than {UNIQUE_ID_BYTES_MAX}")
            }
            Self::TooLong(length) => {
                write!(
                    f,
                    "PROXY header with {length} bytes of addresses and fields, more than 65535"
                )
            }
        }
    }
}

impl std::error::Error for EncodeError {}

/// Appends a version 1 line. For a connection of our own these are the connection's own addresses:
/// this version has no other way to say so that every receiver takes.
pub fn v1(out: &mut Vec<u8>, addresses: Option<Addresses<'_>>) {
    let Some(Addresses::Inet { source, destination }) = addresses else {
        out.extend_from_slice(b"PROXY UNKNOWN\r\n");
        return;
    };
    let written = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            write!(out, "PROXY TCP4 {from} {to} {} {}\r\n", source.port(), destination.port())
        }
        (from, to) => write!(
            out,
            "PROXY TCP6 {} {} {} {}\r\n",
            HexGroups(v6(from)),
            HexGroups(v6(to)),
            source.port(),
            destination.port()
        ),
    };
    written.expect("a vector takes every write");
}

/// Appends a version 2 header. `None` is for a connection of our own, as a health check's.
pub fn v2(
    out: &mut Vec<u8>,
    addresses: Option<Addresses<'_>>,
    extras: &Extras<'_>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let encoded = encode_at(out, start, addresses, extras);
    if encoded.is_err() {
        out.truncate(start);
    }
    encoded
}

/// The same, leaving behind what was written before an error.
fn encode_at(
    out: &mut Vec<u8>,
    start: usize,
    addresses: Option<Addresses<'_>>,
    extras: &Extras<'_>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(&SIGNATURE);
    match addresses {
        Some(Addresses::Inet { source, destination }) => encode_inet(out, source, destination),
        Some(Addresses::Unix { .. }) | None => out.extend_from_slice(&[LOCAL, UNSPEC, 0, 0]),
    }
    let mut checksum_at = None;
    if extras.crc32c {
        encode_tlv(out, TYPE_CRC32C, &[0; 4])?;
        checksum_at = Some(out.len() - 4 - start);
    }
    if let Some(id) = extras.unique_id {
        if id.len() > UNIQUE_ID_BYTES_MAX {
            return Err(EncodeError::UniqueIdTooLong(id.len()));
        }
        encode_tlv(out, TYPE_UNIQUE_ID, id)?;
    }
    for tlv in extras.tlvs {
        encode_tlv(out, tlv.kind, &tlv.value)?;
    }
    let header = &mut out[start..];
    let length = header.len() - FIXED_BYTES;
    let announced = u16::try_from(length).map_err(|_| EncodeError::TooLong(length))?;
    header[14..FIXED_BYTES].copy_from_slice(&announced.to_be_bytes());
    if let Some(at) = checksum_at {
        let sum = checksum_with_zeroes_at(header, at);
        header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    }
    Ok(())
}

/// The rest of the fixed bytes, the length still open, and the addresses.
fn encode_inet(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr) {
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[PROXY, TCP4, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        (from, to) => {
            out.extend_from_slice(&[PROXY, TCP6, 0, 0]);
            out.extend_from_slice(&v6(from).octets());
            out.extend_from_slice(&v6(to).octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

fn encode_tlv(out: &mut Vec<u8>, kind: u8, value: &[u8]) -> Result<(), EncodeError> {
    let length = u16::try_from(value.len())
        .map_err(|_| EncodeError::TooLong(value.len() + TLV_HEAD_BYTES))?;
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// An IPv6 address without dotted quads at its end.
struct HexGroups(Ipv6Addr);

impl fmt::Display for HexGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.to_ipv4_mapped(), self.0.segments()) {
            (Some(_), [.., high, low]) => write!(f, "::ffff:{high:x}:{low:x}"),
            _ => write!(f, "{}", self.0),
        }
    }
}
