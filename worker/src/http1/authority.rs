//! The grammar of host and port (RFC 3986 section 3.2), without user information.
//!
//! Core. A port is digits, at most 65535; it may be empty except for `CONNECT`. In brackets stands an
//! IPv6 address without a zone.

use std::net::Ipv6Addr;

use super::class;

/// What may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Everything: Host.
    Any,
    /// The port: a URI.
    Host,
    /// Nothing: `CONNECT`.
    HostAndPort,
}

/// Whether this is a host and perhaps a port.
pub(super) fn is_valid(text: &[u8], want: Want) -> bool {
    if want == Want::Any && is_plain(text) {
        return true;
    }
    let Some((host, rest)) = split(text) else { return false };
    let port = match rest {
        [] => None,
        [b':', port @ ..] => Some(port),
        _ => return false,
    };
    let port_fits = match port {
        None | Some([]) => want != Want::HostAndPort,
        Some(port) => is_port(port),
    };
    port_fits
        && match want {
            // Nothing but a port names nobody.
            Want::Any => !host.is_empty() || port.is_none(),
            Want::Host | Want::HostAndPort => !host.is_empty(),
        }
}

/// Whether this is a name or IPv4 address, perhaps with a port: the quick way for what most are.
fn is_plain(text: &[u8]) -> bool {
    let mut host = text;
    while let [rest @ .., b'0'..=b'9'] = host {
        host = rest;
    }
    match host {
        [host @ .., b':'] => {
            (1..=4).contains(&(text.len() - host.len() - 1))
                && !host.is_empty()
                && class::is_host_text(host)
        }
        _ => class::is_host_text(text),
    }
}

/// The host, and what follows it.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let [b'[', rest @ ..] = text {
        let end = rest.iter().position(|byte| *byte == b']')?;
        let address = std::str::from_utf8(&rest[..end]).ok()?;
        address.parse::<Ipv6Addr>().ok()?;
        return Some((&rest[..end], &rest[end + 1..]));
    }
    let end = text.iter().position(|byte| !class::is_host_byte(*byte)).unwrap_or(text.len());
    Some(if text.get(end) == Some(&b'%') { encoded(text, end) } else { text.split_at(end) })
}

/// As [`split`], for a name with percent-encoded bytes.
#[cold]
fn encoded(text: &[u8], mut end: usize) -> (&[u8], &[u8]) {
    while let Some(byte) = text.get(end) {
        if class::is_host_byte(*byte) {
            end += 1;
        } else if *byte == b'%' && is_encoded(&text[end + 1..]) {
            end += 3;
        } else {
            break;
        }
    }
    text.split_at(end)
}

fn is_port(text: &[u8]) -> bool {
    let mut sum = 0;
    for byte in text {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        sum = sum * 10 + digit;
        if digit > 9 || sum > 65_535 {
            return false;
        }
    }
    true
}

/// Whether the two hexadecimal digits of a percent-encoded byte stand here.
fn is_encoded(text: &[u8]) -> bool {
    text.first_chunk::<2>().is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
}
