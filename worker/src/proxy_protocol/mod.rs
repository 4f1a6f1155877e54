//! The PROXY protocol, versions 1 and 2: who a forwarded connection really comes from.
//!
//! Core: no I/O. [`decode`] looks at what has come so far and says: a header, more bytes, or never
//! one. [`encode`] writes the header that goes before the data to a server.
//!
//! Invariants:
//!
//! - Never guessed: where a header is expected nothing else is let through, and the first byte that
//!   no header has in its place is an error. Which of the two versions it is the first bytes tell.
//! - The answer does not depend on how the bytes were cut: an error found early is the error that the
//!   whole would give, and after [`Progress::Incomplete`] at least `more` bytes are still missing.
//! - A header is taken whole or not at all; `length` is what to skip, by version 2's length field.
//!
//! Limits: version 1 [`V1_BYTES_MAX`] bytes; version 2 what the caller can hold, at most
//! [`V2_BYTES_MAX`] (senders keep to 536, the smallest segment; certificates in TLVs make it longer).
//!
//! The specification's section 2 (revision of 2026-04-27), with these choices where it leaves one:
//! UNSPEC is accepted with the connection's own addresses; a datagram header is refused, as no
//! datagram comes through a stream; IPv6 text may end in dotted quads, as HAProxy and others send it.

pub mod encode;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::fmt;
use std::net::SocketAddr;

use portolan_shared::model::ProxyProtocolVersion;

pub use v2::Tlvs;

/// Longest version 1 line, its CRLF included (section 2.1).
pub const V1_BYTES_MAX: usize = 107;
/// Longest version 2 header that is accepted: HAProxy's default buffer.
pub const V2_BYTES_MAX: usize = 16 * 1024;
/// Longest authority that is accepted: a host name's bound, and HAProxy's.
pub const AUTHORITY_BYTES_MAX: usize = 255;
/// Longest unique id (section 2.2.5).
pub const UNIQUE_ID_BYTES_MAX: usize = 128;
/// Length of an AF_UNIX address in a header.
const UNIX_BYTES: usize = 108;

/// What has come so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The whole header.
    Complete(Header<'a>),
    /// The beginning of one.
    Incomplete {
        /// No header can be complete with fewer bytes than these in addition; at least 1.
        more: usize,
    },
}

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// How it was written.
    pub version: ProxyProtocolVersion,
    /// On whose behalf the connection was made.
    pub command: Command,
    /// The client's connection; `None`: the connection's own addresses stand.
    pub addresses: Option<Addresses<'a>>,
    /// Further fields; none in version 1 and for [`Command::Local`].
    pub tlvs: Tlvs<'a>,
    /// Bytes of the header; data begins behind them.
    pub length: usize,
}

/// On whose behalf a connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// The sender's own, as for a health check.
    Local,
    /// A client's.
    Proxy,
}

/// Both ends of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Addresses<'a> {
    /// TCP; of one family after decoding, of any two before encoding.
    Inet {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// UNIX stream socket; names without padding, an abstract one begins with a zero byte.
    Unix {
        /// The client, most often without a name.
        source: &'a [u8],
        /// Where it connected to.
        destination: &'a [u8],
    },
}

/// Which rule a would-be header broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyError {
    /// No header has this byte here; counted from 0.
    NotAHeader {
        /// The first byte that does not fit.
        at: usize,
    },
    /// Version 1: no CRLF within the longest line.
    LineTooLong,
    /// Version 1: a CR without LF, or a LF without CR.
    BareLineEnd {
        /// Where.
        at: usize,
    },
    /// Version 1: not exactly two addresses and two ports, each behind one space.
    Fields,
    /// Version 1: an address that is not one of its family.
    Address(End),
    /// Version 1: not 0 to 65535 in plain digits.
    Port(End),
    /// Version 2: another version in the 13th byte.
    Version(u8),
    /// Version 2: a command that is not assigned.
    Command(u8),
    /// Version 2: an address family that is not assigned.
    Family(u8),
    /// Version 2: a transport that is not assigned.
    Transport(u8),
    /// Version 2: it says that this was a datagram.
    Datagram,
    /// Version 2: longer than can be held.
    TooLong {
        /// Bytes announced, the fixed 16 included.
        length: usize,
        /// Bytes accepted.
        max: usize,
    },
    /// Version 2: too short for the addresses of its family.
    AddressesCut {
        /// Bytes announced behind the fixed 16.
        length: usize,
    },
    /// Version 2: a field ends behind the header.
    TlvCut {
        /// Where the field begins.
        at: usize,
    },
    /// Version 2: a checksum that is not 4 bytes long.
    ChecksumLength(usize),
    /// Version 2: more than one checksum.
    ChecksumTwice,
    /// Version 2: the checksum is not that of the header.
    ChecksumWrong {
        /// As received.
        received: u32,
        /// As it should have been.
        computed: u32,
    },
    /// Version 2: an id of more than 128 bytes.
    UniqueIdTooLong(usize),
    /// Version 2: an authority of more than 255 bytes.
    AuthorityTooLong(usize),
}

/// One end of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The client.
    Source,
    /// Where it connected to.
    Destination,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAHeader { at } => write!(f, "not a PROXY header (byte {at})"),
            Self::LineTooLong => {
                write!(f, "PROXY line without CRLF in its first {V1_BYTES_MAX} bytes")
            }
            Self::BareLineEnd { at } => write!(f, "PROXY line with CR or LF alone (byte {at})"),
            Self::Fields => write!(f, "PROXY line without exactly two addresses and two ports"),
            Self::Address(end) => write!(f, "PROXY line with a wrong {end} address"),
            Self::Port(end) => write!(f, "PROXY line with a wrong {end} port"),
            Self::Version(version) => write!(f, "PROXY header of unknown version {version}"),
            Self::Command(command) => write!(f, "PROXY header with unknown command {command}"),
            Self::Family(family) => write!(f, "PROXY header with unknown address family {family}"),
            Self::Transport(transport) => {
                write!(f, "PROXY header with unknown transport {transport}")
            }
            Self::Datagram => write!(f, "PROXY header of a datagram on a stream"),
            Self::TooLong { length, max } => {
                write!(f, "PROXY header of {length} bytes, more than {max}")
            }
            Self::AddressesCut { length } => {
                write!(f, "PROXY header whose {length} bytes do not hold its addresses")
            }
            Self::TlvCut { at } => write!(f, "PROXY header with a field cut short (byte {at})"),
            Self::ChecksumLength(length) => {
                write!(f, "PROXY header with a checksum of {length} bytes")
            }
            Self::ChecksumTwice => write!(f, "PROXY header with two checksums"),
            Self::ChecksumWrong { received, computed } => {
                write!(f, "PROXY header with checksum {received:08x} instead of {computed:08x}")
            }
            Self::UniqueIdTooLong(length) => {
                write!(f, "PROXY header with a unique id of {length} bytes")
            }
            Self::AuthorityTooLong(length) => {
                write!(f, "PROXY header with an authority of {length} bytes")
            }
        }
    }
}

impl std::error::Error for ProxyError {}

/// How a header can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Tcp4,
    Tcp6,
    Unknown,
    V2,
}

/// What tells them apart, and the fewest bytes of a header that begins so.
const OPENINGS: [(Opening, &[u8], usize); 5] = [
    (Opening::Unknown, b"PROXY UNKNOWN\r", b"PROXY UNKNOWN\r\n".len()),
    (Opening::Unknown, b"PROXY UNKNOWN ", b"PROXY UNKNOWN \r\n".len()),
    (Opening::Tcp4, b"PROXY TCP4 ", b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n".len()),
    (Opening::Tcp6, b"PROXY TCP6 ", b"PROXY TCP6 :: :: 0 0\r\n".len()),
    (Opening::V2, &v2::SIGNATURE, v2::FIXED_BYTES),
];

/// Reads the header at the beginning of `bytes`, which may be cut anywhere and may go on with data.
///
/// `bytes_max` is the most that the caller can hold of a header, [`V1_BYTES_MAX`] at the least.
pub fn decode(bytes: &[u8], bytes_max: usize) -> Result<Progress<'_>, ProxyError> {
    debug_assert!(bytes_max >= V1_BYTES_MAX);
    let Some((opening, fewest)) = opening(bytes)? else {
        let fewest = OPENINGS
            .iter()
            .filter(|(_, text, _)| text.starts_with(bytes))
            .map(|(_, _, fewest)| *fewest)
            .min()
            .unwrap_or(0);
        return Ok(Progress::Incomplete { more: fewest.saturating_sub(bytes.len()).max(1) });
    };
    match opening {
        Opening::V2 => v2::decode(bytes, bytes_max.min(V2_BYTES_MAX)),
        Opening::Tcp4 | Opening::Tcp6 | Opening::Unknown => v1::decode(bytes, opening, fewest),
    }
}

/// Which kind of header this begins; `None` when that cannot be told yet.
fn opening(bytes: &[u8]) -> Result<Option<(Opening, usize)>, ProxyError> {
    let mut furthest = 0;
    for (opening, text, fewest) in OPENINGS {
        let common = text.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        if common == text.len() {
            return Ok(Some((opening, fewest)));
        }
        furthest = furthest.max(common);
    }
    if furthest == bytes.len() { Ok(None) } else { Err(ProxyError::NotAHeader { at: furthest }) }
}
