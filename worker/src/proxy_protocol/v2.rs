//! Version 2: sixteen fixed bytes, addresses, and fields of type, length and value (section 2.2).
//!
//! Core. What the length announces is skipped whole, understood or not. Each byte is judged as soon
//! as it is there; addresses and fields once all have come. For LOCAL the block behind the fixed
//! bytes is discarded, and for UNSPEC it need not make sense; a checksum in it counts nevertheless.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use portolan_shared::model::ProxyProtocolVersion;

use super::{
    AUTHORITY_BYTES_MAX, Addresses, Command, Header, Progress, ProxyError, UNIQUE_ID_BYTES_MAX,
    UNIX_BYTES,
};

/// What every header of this version begins with.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
pub(super) const FIXED_BYTES: usize = 16;

pub(super) const TYPE_AUTHORITY: u8 = 0x02;
pub(super) const TYPE_CRC32C: u8 = 0x03;
pub(super) const TYPE_NOOP: u8 = 0x04;
pub(super) const TYPE_UNIQUE_ID: u8 = 0x05;

/// Type and length, before each value.
pub(super) const TLV_HEAD_BYTES: usize = 3;
const INET_BYTES: usize = 2 * 4 + 2 * 2;
const INET6_BYTES: usize = 2 * 16 + 2 * 2;

/// The high half of the 14th byte; with STREAM in the low half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Unknown, or not to be told.
    Unspec,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
    /// UNIX.
    Unix,
}

impl Family {
    const fn address_bytes(self) -> usize {
        match self {
            Self::Unspec => 0,
            Self::Inet => INET_BYTES,
            Self::Inet6 => INET6_BYTES,
            Self::Unix => 2 * UNIX_BYTES,
        }
    }
}

/// Reads a header whose signature is there.
pub(super) fn decode(bytes: &[u8], bytes_max: usize) -> Result<Progress<'_>, ProxyError> {
    let incomplete = |total: usize| Ok(Progress::Incomplete { more: total - bytes.len() });
    let Some(version_command) = bytes.get(12) else { return incomplete(FIXED_BYTES) };
    let command = command(*version_command)?;
    let Some(family_transport) = bytes.get(13) else { return incomplete(FIXED_BYTES) };
    let family = match command {
        Command::Local => Family::Unspec,
        Command::Proxy => family(*family_transport)?,
    };
    let Some(length) = bytes.get(14..FIXED_BYTES) else { return incomplete(FIXED_BYTES) };
    let block = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let length = FIXED_BYTES + block;
    if length > bytes_max {
        return Err(ProxyError::TooLong { length, max: bytes_max });
    }
    if block < family.address_bytes() {
        return Err(ProxyError::AddressesCut { length: block });
    }
    let Some(header) = bytes.get(..length) else { return incomplete(length) };
    let tlvs = match (command, family) {
        (Command::Local, _) => {
            skim(header, ignored_address_bytes(*family_transport))?;
            Tlvs::default()
        }
        (Command::Proxy, Family::Unspec) => skim(header, ignored_address_bytes(*family_transport))?,
        (Command::Proxy, _) => {
            let tlvs = Tlvs::new(header, FIXED_BYTES + family.address_bytes())?;
            tlvs.check(header)?;
            tlvs
        }
    };
    Ok(Progress::Complete(Header {
        version: ProxyProtocolVersion::V2,
        command,
        addresses: addresses(family, &header[FIXED_BYTES..]),
        tlvs,
        length,
    }))
}

fn command(byte: u8) -> Result<Command, ProxyError> {
    match (byte >> 4, byte & 0x0f) {
        (2, 0) => Ok(Command::Local),
        (2, 1) => Ok(Command::Proxy),
        (2, command) => Err(ProxyError::Command(command)),
        (version, _) => Err(ProxyError::Version(version)),
    }
}

fn family(byte: u8) -> Result<Family, ProxyError> {
    let (family, transport) = (byte >> 4, byte & 0x0f);
    match (family, transport) {
        (4.., _) => Err(ProxyError::Family(family)),
        (_, 3..) => Err(ProxyError::Transport(transport)),
        (_, 2) => Err(ProxyError::Datagram),
        (1, 1) => Ok(Family::Inet),
        (2, 1) => Ok(Family::Inet6),
        (3, 1) => Ok(Family::Unix),
        _ => Ok(Family::Unspec),
    }
}

/// How far into a block that is discarded its fields begin, if it has any.
fn ignored_address_bytes(family_transport: u8) -> usize {
    match family_transport >> 4 {
        1 => INET_BYTES,
        2 => INET6_BYTES,
        3 => 2 * UNIX_BYTES,
        _ => 0,
    }
}

/// The fields of a block that need not have any: none where it does not parse.
fn skim(header: &[u8], address_bytes: usize) -> Result<Tlvs<'_>, ProxyError> {
    let Ok(tlvs) = Tlvs::new(header, FIXED_BYTES + address_bytes) else {
        return Ok(Tlvs::default());
    };
    match tlvs.check(header) {
        Ok(()) => Ok(tlvs),
        Err(wrong @ ProxyError::ChecksumWrong { .. }) => Err(wrong),
        Err(_) => Ok(Tlvs::default()),
    }
}

fn addresses(family: Family, block: &[u8]) -> Option<Addresses<'_>> {
    match family {
        Family::Unspec => None,
        Family::Inet => {
            let (ips, ports) = block.split_at_checked(8)?;
            let (source, destination) = ips.split_at(4);
            inet(
                Ipv4Addr::from(<[u8; 4]>::try_from(source).ok()?).into(),
                Ipv4Addr::from(<[u8; 4]>::try_from(destination).ok()?).into(),
                ports,
            )
        }
        Family::Inet6 => {
            let (ips, ports) = block.split_at_checked(32)?;
            let (source, destination) = ips.split_at(16);
            inet(
                Ipv6Addr::from(<[u8; 16]>::try_from(source).ok()?).into(),
                Ipv6Addr::from(<[u8; 16]>::try_from(destination).ok()?).into(),
                ports,
            )
        }
        Family::Unix => {
            let (source, rest) = block.split_at_checked(UNIX_BYTES)?;
            let destination = rest.get(..UNIX_BYTES)?;
            Some(Addresses::Unix { source: unix_name(source), destination: unix_name(destination) })
        }
    }
}

fn inet<'a>(
    source: std::net::IpAddr,
    destination: std::net::IpAddr,
    ports: &[u8],
) -> Option<Addresses<'a>> {
    let [a, b, c, d] = *ports.first_chunk::<4>()?;
    Some(Addresses::Inet {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    })
}

/// A path ends at its first zero byte; an abstract name begins with one and is padded with them.
fn unix_name(padded: &[u8]) -> &[u8] {
    if padded.first() == Some(&0) {
        let length = padded.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        &padded[..length]
    } else {
        &padded[..memchr::memchr(0, padded).unwrap_or(padded.len())]
    }
}

/// The fields of a header, each within its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tlvs<'a> {
    block: &'a [u8],
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// PP2_TYPE_…
    pub kind: u8,
    /// What it says.
    pub value: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// Checks the bounds of each field from byte `start` of the header to its end.
    fn new(header: &'a [u8], start: usize) -> Result<Self, ProxyError> {
        let block = header.get(start..).ok_or(ProxyError::TlvCut { at: header.len() })?;
        let mut rest = block;
        while !rest.is_empty() {
            let at = header.len() - rest.len();
            (_, rest) = split_tlv(rest).ok_or(ProxyError::TlvCut { at })?;
        }
        Ok(Self { block })
    }

    /// Checks what the specification says of single fields.
    fn check(self, header: &[u8]) -> Result<(), ProxyError> {
        let mut checksum = None;
        let mut rest = self.block;
        while let Some((tlv, behind)) = split_tlv(rest) {
            match tlv.kind {
                TYPE_CRC32C => {
                    let received = <[u8; 4]>::try_from(tlv.value)
                        .map_err(|_| ProxyError::ChecksumLength(tlv.value.len()))?;
                    let at = header.len() - behind.len() - received.len();
                    if checksum.replace((at, u32::from_be_bytes(received))).is_some() {
                        return Err(ProxyError::ChecksumTwice);
                    }
                }
                TYPE_UNIQUE_ID if tlv.value.len() > UNIQUE_ID_BYTES_MAX => {
                    return Err(ProxyError::UniqueIdTooLong(tlv.value.len()));
                }
                TYPE_AUTHORITY if tlv.value.len() > AUTHORITY_BYTES_MAX => {
                    return Err(ProxyError::AuthorityTooLong(tlv.value.len()));
                }
                _ => {}
            }
            rest = behind;
        }
        let Some((at, received)) = checksum else { return Ok(()) };
        let computed = checksum_with_zeroes_at(header, at);
        if received == computed {
            Ok(())
        } else {
            Err(ProxyError::ChecksumWrong { received, computed })
        }
    }

    /// All of them but padding (PP2_TYPE_NOOP), as they came.
    pub fn iter(self) -> impl Iterator<Item = Tlv<'a>> {
        let mut rest = self.block;
        std::iter::from_fn(move || {
            let (tlv, behind) = split_tlv(rest)?;
            rest = behind;
            Some(tlv)
        })
        .filter(|tlv| tlv.kind != TYPE_NOOP)
    }

    /// The value of the first field of this type.
    pub fn value(self, kind: u8) -> Option<&'a [u8]> {
        self.iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }

    /// The host name that the client asked for; not checked to be one.
    #[cfg_attr(not(test), expect(dead_code, reason = "rules will ask for them"))]
    pub fn authority(self) -> Option<&'a [u8]> {
        self.value(TYPE_AUTHORITY)
    }

    /// The sender's id for the connection.
    #[cfg_attr(not(test), expect(dead_code, reason = "rules will ask for them"))]
    pub fn unique_id(self) -> Option<&'a [u8]> {
        self.value(TYPE_UNIQUE_ID)
    }
}

fn split_tlv(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let ([kind, high, low], rest) = bytes.split_first_chunk::<TLV_HEAD_BYTES>()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (value, rest) = rest.split_at_checked(length)?;
    Some((Tlv { kind: *kind, value }, rest))
}

/// The CRC32c of the header as if the four bytes at `at` were zero (section 2.2.3).
pub(super) fn checksum_with_zeroes_at(header: &[u8], at: usize) -> u32 {
    let sum = crc32c::crc32c(&header[..at]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    crc32c::crc32c_append(sum, &header[at + 4..])
}
