//! The key of `balance rdp-cookie`: the cookie or routing token in the first bytes of a remote desktop
//! client.
//!
//! Core. The first message is a TPKT (RFC 1006: version 3, a reserved byte, the length of all in two
//! bytes) around an X.224 connection request (its length, 0xe0, two references of two bytes, a class),
//! then `Cookie: name=value` and the end of the line ([MS-RDPBCGR] 2.2.1.1).
//!
//! Of the headers only the version, the length and the kind of request are looked at, so that another
//! protocol is known for one by its first bytes.
//!
//! Limits: a message of at most [`LENGTH_MAX`] bytes is looked at.

/// Bytes of a message in which a cookie is looked for; clients send some hundred.
pub const LENGTH_MAX: usize = 4096;

/// Bytes before the cookie: 4 of TPKT, 7 of X.224.
const HEADERS: usize = 11;

/// What the first bytes of a client say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rdp<'a> {
    /// Its value, not empty.
    Cookie(&'a [u8]),
    /// More bytes are to come before it can be told.
    Short,
    /// There is none, or this is another protocol.
    Absent,
}

/// The value of the cookie of this name; names count without case.
pub fn rdp_cookie<'a>(bytes: &'a [u8], name: &[u8]) -> Rdp<'a> {
    let may_be = |at: usize, known: u8| bytes.get(at).is_none_or(|byte| *byte == known);
    if !may_be(0, 3) || !may_be(5, 0xe0) {
        return Rdp::Absent;
    }
    let &[_, _, high, low, ..] = bytes else { return Rdp::Short };
    let length = usize::from(u16::from_be_bytes([high, low])).min(LENGTH_MAX);
    let message = &bytes[..length.min(bytes.len())];
    let is_whole = message.len() == length;
    let line = message.get(HEADERS..).unwrap_or_default();
    let end = memchr::memchr(b'\r', line);
    match end.map(|end| (end, line.get(end + 1))) {
        Some((end, Some(b'\n'))) => value(&line[..end], name).map_or(Rdp::Absent, Rdp::Cookie),
        Some((_, Some(_))) => Rdp::Absent,
        _ if is_whole => Rdp::Absent,
        _ => Rdp::Short,
    }
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut cookie = strip(line, b"Cookie:")?;
    while let Some(rest) = cookie.strip_prefix(b" ") {
        cookie = rest;
    }
    let value = strip(strip(cookie, name)?, b"=")?;
    (!value.is_empty()).then_some(value)
}

fn strip<'a>(text: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}
