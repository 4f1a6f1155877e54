//! HAProxy's grammar of addresses (configuration manual, section 2.9); core.
//!
//! ```text
//! [PREFIX@](HOST[:PORT] | PATH | NUMBER | NAME)
//! HOST   nothing or `*` (every IPv4), `::` (every IPv6), an address, `[IPv6]`, a host name
//! PORT   80 | 8000-8010 | +N | -N
//! ```
//!
//! - The last colon separates the port, unless a `]` follows it.
//! - What HAProxy knows and this version does not is an error of its own, never a host name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address<'t> {
    /// A host, maybe with a port.
    Host {
        /// Which.
        host: Host<'t>,
        /// Where on it.
        port: Port,
        /// As written, without the port.
        written: &'t str,
    },
    /// `/path` or `unix@path`.
    Unix(&'t str),
    /// `fd@N`.
    Fd(i32),
    /// `sd@NAME`.
    Systemd(&'t str),
}

/// The left side of the colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'t> {
    /// An address, the unspecified ones included.
    Ip(IpAddr),
    /// A name to resolve.
    Name(&'t str, Family),
}

/// What a name may resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, else IPv6.
    Any,
    /// `ipv4@`.
    V4,
    /// `ipv6@`.
    V6,
}

/// The right side of the colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// There was none.
    Missing,
    /// One.
    One(u16),
    /// From one to another, both included.
    Range(u16, u16),
    /// Relative to the port a client came to.
    Offset(i32),
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing there.
    Empty,
    /// HAProxy's, but not this version's.
    UnsupportedPrefix(String),
    /// Nobody's.
    UnknownPrefix(String),
    /// A path that is empty or that does not fit into a socket address.
    BadPath,
    /// `fd@` without a number.
    BadDescriptor,
    /// `sd@` without a name.
    BadSystemdName,
    /// Not a number from 1 to 65535.
    BadPort(String),
    /// A range whose end lies before its start.
    BackwardRange,
    /// Several colons that make no IPv6 address.
    BadIpv6(String),
    /// An address of the other family than its prefix says.
    OtherFamily,
    /// Neither an address nor a possible name.
    BadName(String),
}

/// Bytes of a UNIX socket's path (sun_path without its end mark).
pub const UNIX_PATH_MAX: usize = 107;

const UNSUPPORTED_PREFIXES: &[&str] = &[
    "abns",
    "abnsz",
    "backend",
    "dgram+fd",
    "dgram+ip",
    "dgram+ipv4",
    "dgram+ipv6",
    "dgram+unix",
    "mptcp",
    "mptcp4",
    "mptcp6",
    "quic",
    "quic4",
    "quic6",
    "ring",
    "rhttp",
    "sockpair",
];

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "empty address"),
            Self::UnsupportedPrefix(prefix) => {
                write!(f, "addresses with `{prefix}@` are not supported by this version")
            }
            Self::UnknownPrefix(prefix) => {
                write!(f, "unknown prefix `{prefix}@`: there are ipv4@, ipv6@, unix@, fd@ and sd@")
            }
            Self::BadPath => {
                write!(f, "the path of a UNIX socket has 1 to {UNIX_PATH_MAX} bytes")
            }
            Self::BadDescriptor => write!(f, "fd@ takes the number of an inherited descriptor"),
            Self::BadSystemdName => {
                write!(f, "sd@ takes the name that systemd gives to the socket")
            }
            Self::BadPort(port) => write!(f, "`{port}` is no port: 1 to 65535"),
            Self::BackwardRange => write!(f, "the last port of the range is before its first"),
            Self::BadIpv6(host) => {
                write!(f, "`{host}` is no IPv6 address; with a port it is written [ADDRESS]:PORT")
            }
            Self::OtherFamily => write!(f, "the address is not of the family its prefix says"),
            Self::BadName(port) if port.parse::<u16>().is_ok() => {
                write!(f, "`{port}` is no address: a port is written \":{port}\"")
            }
            Self::BadName(host) => write!(f, "`{host}` is neither an address nor a host name"),
        }
    }
}

/// Takes an address apart.
pub fn parse(text: &str) -> Result<Address<'_>, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.starts_with('/') {
        return unix(text);
    }
    let Some((prefix, rest)) = text.split_once('@') else { return host(text, Family::Any) };
    match prefix {
        "ip" | "tcp" | "udp" | "stream+ip" => host(rest, Family::Any),
        "ipv4" | "tcp4" | "udp4" | "stream+ipv4" => host(rest, Family::V4),
        "ipv6" | "tcp6" | "udp6" | "stream+ipv6" => host(rest, Family::V6),
        "unix" | "uxst" | "uxdg" | "stream+unix" => unix(rest),
        "fd" => match rest.parse::<i32>() {
            Ok(number) if number >= 0 && rest.as_bytes()[0] != b'+' => Ok(Address::Fd(number)),
            _ => Err(AddressError::BadDescriptor),
        },
        "sd" if rest.is_empty() || rest.contains(':') || rest.len() > 255 => {
            Err(AddressError::BadSystemdName)
        }
        "sd" => Ok(Address::Systemd(rest)),
        _ if UNSUPPORTED_PREFIXES.contains(&prefix) => {
            Err(AddressError::UnsupportedPrefix(prefix.to_owned()))
        }
        _ => Err(AddressError::UnknownPrefix(prefix.to_owned())),
    }
}

/// Whether one can listen on it, or reach a server by it; if not, why.
pub fn check(text: &str, is_server: bool) -> Result<(), String> {
    let example = if is_server { "10.0.0.1:8080" } else { ":80" };
    if text.parse::<u16>().is_ok() {
        let host = if is_server { "127.0.0.1" } else { "" };
        return Err(format!("a port is written \"{host}:{text}\""));
    }
    match parse(text).map_err(|error| error.to_string())? {
        Address::Host { port: Port::Missing | Port::Offset(_), .. } => {
            Err(format!("`{text}` needs a port, as in \"{example}\""))
        }
        Address::Host { host: Host::Ip(ip), .. } if is_server && ip.is_unspecified() => {
            Err("a server needs an address: the wildcard is none".to_owned())
        }
        Address::Host { port: Port::Range(..), .. } if is_server => {
            Err("a server has one port".to_owned())
        }
        Address::Fd(_) | Address::Systemd(_) if is_server => {
            Err("a server is reached by an address".to_owned())
        }
        _ => Ok(()),
    }
}

fn unix(path: &str) -> Result<Address<'_>, AddressError> {
    let fits = (1..=UNIX_PATH_MAX).contains(&path.len()) && !path.contains('\0');
    if fits { Ok(Address::Unix(path)) } else { Err(AddressError::BadPath) }
}

fn host(text: &str, family: Family) -> Result<Address<'_>, AddressError> {
    let (written, port) = match text.rfind([':', ']']) {
        Some(at) if text.as_bytes()[at] == b':' => (&text[..at], port(&text[at + 1..])?),
        _ => (text, Port::Missing),
    };
    let host = match (written, family) {
        ("" | "*", Family::V6) => Host::Ip(Ipv6Addr::UNSPECIFIED.into()),
        ("" | "*", _) => Host::Ip(Ipv4Addr::UNSPECIFIED.into()),
        _ => named(written, family).map_err(|error| match error {
            AddressError::BadIpv6(_) => AddressError::BadIpv6(text.to_owned()),
            error => error,
        })?,
    };
    Ok(Address::Host { host, port, written })
}

fn named(written: &str, family: Family) -> Result<Host<'_>, AddressError> {
    let bare = written.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let ip = match bare {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => written.parse::<IpAddr>().ok(),
    };
    match (ip, family) {
        (Some(IpAddr::V6(_)), Family::V4) | (Some(IpAddr::V4(_)), Family::V6) => {
            Err(AddressError::OtherFamily)
        }
        (Some(ip), _) => Ok(Host::Ip(ip)),
        (None, _) if bare.is_some() || written.contains(':') => {
            Err(AddressError::BadIpv6(written.to_owned()))
        }
        (None, _) if is_name(written) => Ok(Host::Name(written, family)),
        (None, _) => Err(AddressError::BadName(written.to_owned())),
    }
}

/// What a resolver may be asked: letters, digits, `-`, `_` and dots; digits alone are a mistyped address.
fn is_name(name: &str) -> bool {
    let word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let number = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    word && !number && name.len() <= 253
}

fn port(text: &str) -> Result<Port, AddressError> {
    let bad = || AddressError::BadPort(text.to_owned());
    let number = |digits: &str| match digits.parse::<u16>() {
        Ok(port) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(port),
        _ => None,
    };
    if text.is_empty() {
        return Ok(Port::Missing);
    }
    if let Some(digits) = text.strip_prefix('+') {
        return number(digits).map(|offset| Port::Offset(offset.into())).ok_or_else(bad);
    }
    if let Some(digits) = text.strip_prefix('-') {
        return number(digits).map(|offset| Port::Offset(-i32::from(offset))).ok_or_else(bad);
    }
    if let Some((first, last)) = text.split_once('-') {
        return match (number(first), number(last)) {
            (Some(0) | None, _) | (_, Some(0) | None) => Err(bad()),
            (Some(first), Some(last)) if first > last => Err(AddressError::BackwardRange),
            (Some(first), Some(last)) => Ok(Port::Range(first, last)),
        };
    }
    number(text).filter(|port| *port != 0).map(Port::One).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(Address::Host { host: Host::Ip(ip), port, .. }) => format!("{ip} {port:?}"),
            Ok(Address::Host { host: Host::Name(name, family), port, .. }) => {
                format!("{name} {family:?} {port:?}")
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn the_grammar_of_addresses() {
        let cases = [
            (":80", "0.0.0.0 One(80)"),
            ("*:80", "0.0.0.0 One(80)"),
            ("*", "0.0.0.0 Missing"),
            (":::80", ":: One(80)"),
            ("[::]:80", ":: One(80)"),
            ("ipv4@:80", "0.0.0.0 One(80)"),
            ("ipv6@:80", ":: One(80)"),
            ("ipv6@*:80", ":: One(80)"),
            ("127.0.0.1:8000-8010", "127.0.0.1 Range(8000, 8010)"),
            ("10.0.0.1", "10.0.0.1 Missing"),
            ("10.0.0.1:", "10.0.0.1 Missing"),
            ("10.0.0.1:+1000", "10.0.0.1 Offset(1000)"),
            ("10.0.0.1:-1000", "10.0.0.1 Offset(-1000)"),
            ("[2001:db8::1]", "2001:db8::1 Missing"),
            ("2001:db8::1:443", "2001:db8::1 One(443)"),
            ("fe80::1:65535", "fe80::1 One(65535)"),
            ("app.example:80", "app.example Any One(80)"),
            ("ipv6@app:80", "app V6 One(80)"),
            ("tcp4@app:80", "app V4 One(80)"),
            ("/run/x.sock", "Unix(\"/run/x.sock\")"),
            ("/run/a:b", "Unix(\"/run/a:b\")"),
            ("unix@x.sock", "Unix(\"x.sock\")"),
            ("fd@5", "Fd(5)"),
            ("sd@web", "Systemd(\"web\")"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_for_its_own_reason() {
        let cases = [
            ("", "Empty"),
            (":0", "BadPort(\"0\")"),
            (":65536", "BadPort(\"65536\")"),
            (":8 0", "BadPort(\"8 0\")"),
            (":++1", "BadPort(\"++1\")"),
            (":20-10", "BackwardRange"),
            (":0-10", "BadPort(\"0-10\")"),
            (":10-", "BadPort(\"10-\")"),
            ("::1", "BadIpv6(\"::1\")"),
            ("[1.2.3.4]:80", "BadIpv6(\"[1.2.3.4]:80\")"),
            ("[::1:80", "BadIpv6(\"[::1:80\")"),
            ("1.2.3:80", "BadName(\"1.2.3\")"),
            ("a b:80", "BadName(\"a b\")"),
            ("ipv4@[::1]:80", "OtherFamily"),
            ("ipv6@1.2.3.4:80", "OtherFamily"),
            ("fd@", "BadDescriptor"),
            ("fd@-1", "BadDescriptor"),
            ("fd@+1", "BadDescriptor"),
            ("sd@", "BadSystemdName"),
            ("sd@a:b", "BadSystemdName"),
            ("unix@", "BadPath"),
            ("abns@x", "UnsupportedPrefix(\"abns\")"),
            ("quic4@:443", "UnsupportedPrefix(\"quic4\")"),
            ("what@x", "UnknownPrefix(\"what\")"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert_eq!(shown(&format!("/{}", "x".repeat(107))), "BadPath");
    }
}
