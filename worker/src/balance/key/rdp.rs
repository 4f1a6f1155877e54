//! The key of `balance rdp-cookie`: the cookie or routing token in the first bytes of a remote desktop
//! client.
//!
//! Core. The first message is a TPKT (RFC 1006: version 3, a reserved byte, the length of all in two
//! bytes) around an X.224 connection request (its length, 0xe0, two references of two bytes, a class),
//! then `Cookie: name=value` and the end of the line ([MS-RDPBCGR] 2.2.1.1).
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
    let known = |at: usize, expected: u8| bytes.get(at).is_none_or(|byte| *byte == expected);
    if !known(0, 3) || !known(1, 0) || !known(5, 0xe0) {
        return Rdp::Absent;
    }
    let &[_, _, high, low, request, ..] = bytes else { return Rdp::Short };
    let length = usize::from(u16::from_be_bytes([high, low]));
    // The request says how many bytes follow its own length, up to the end of the message.
    if length <= HEADERS || length > LENGTH_MAX || usize::from(request) > length - 5 {
        return Rdp::Absent;
    }
    let Some(message) = bytes.get(..length) else { return Rdp::Short };
    value(&message[HEADERS..], name).map_or(Rdp::Absent, Rdp::Cookie)
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let cookie = strip(line, b"Cookie:")?.trim_ascii_start();
    let value = strip(strip(cookie, name)?, b"=")?;
    let end = value.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    (end > 0).then_some(&value[..end])
}

fn strip<'a>(text: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}
