//! Version 1: one line of text (section 2.1).
//!
//! Core. `PROXY TCP4|TCP6 source destination source-port destination-port CRLF`, or
//! `PROXY UNKNOWN`, anything, CRLF. Addresses are looked at only once the CRLF is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use portolan_shared::model::ProxyProtocolVersion;

use super::{Addresses, Command, End, Header, Opening, Progress, ProxyError, Tlvs, V1_BYTES_MAX};

/// Reads a line whose opening is known; no such line is shorter than `fewest`.
pub(super) fn decode(
    bytes: &[u8],
    opening: Opening,
    fewest: usize,
) -> Result<Progress<'_>, ProxyError> {
    let Some(line) = line(bytes)? else {
        let last = if bytes.ends_with(b"\r") { 1 } else { 2 };
        return Ok(Progress::Incomplete { more: fewest.saturating_sub(bytes.len()).max(last) });
    };
    let addresses = match opening {
        Opening::Tcp4 => Some(addresses::<Ipv4Addr>(line)?),
        Opening::Tcp6 => Some(addresses::<Ipv6Addr>(line)?),
        Opening::Unknown | Opening::V2 => None,
    };
    Ok(Progress::Complete(Header {
        version: ProxyProtocolVersion::V1,
        command: Command::Proxy,
        addresses,
        tlvs: Tlvs::default(),
        length: line.len() + 2,
    }))
}

/// The line without its CRLF; `None` while that has not come.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, ProxyError> {
    // Of a CRLF within the bound the CR is not the last byte.
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX - 1)];
    let Some(at) = memchr::memchr2(b'\r', b'\n', within) else {
        let full = within.len() == V1_BYTES_MAX - 1;
        return if full { Err(ProxyError::LineTooLong) } else { Ok(None) };
    };
    match (bytes[at], bytes.get(at + 1)) {
        (b'\r', Some(b'\n')) => Ok(Some(&bytes[..at])),
        (b'\r', None) => Ok(None),
        _ => Err(ProxyError::BareLineEnd { at }),
    }
}

/// The two addresses and ports of a line of this family.
fn addresses<A: FromStr + Into<IpAddr>>(line: &[u8]) -> Result<Addresses<'_>, ProxyError> {
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Fields)?;
    let fields: Vec<&str> = line.split(' ').collect();
    let [_, _, source, destination, source_port, destination_port] = fields[..] else {
        return Err(ProxyError::Fields);
    };
    let source_ip = ip::<A>(source).ok_or(ProxyError::Address(End::Source))?;
    let destination_ip = ip::<A>(destination).ok_or(ProxyError::Address(End::Destination))?;
    let source_port = port(source_port).ok_or(ProxyError::Port(End::Source))?;
    let destination_port = port(destination_port).ok_or(ProxyError::Port(End::Destination))?;
    Ok(Addresses::Inet {
        source: SocketAddr::new(source_ip, source_port),
        destination: SocketAddr::new(destination_ip, destination_port),
    })
}

/// The standard library's parser is as strict as asked for: four numbers without heading zeroes, or
/// groups of hexadecimal digits with at most one double colon; no zone, no spaces.
fn ip<A: FromStr + Into<IpAddr>>(text: &str) -> Option<IpAddr> {
    text.parse::<A>().ok().map(Into::into)
}

/// Digits without heading zeroes, at most 65535.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let heading_zero = text.len() > 1 && text.starts_with('0');
    if digits && !heading_zero { text.parse().ok() } else { None }
}
