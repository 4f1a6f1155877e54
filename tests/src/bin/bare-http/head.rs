//! As much of a head as a relay must know: where it ends, what follows, whether the connection ends.
//!
//! Core. Nothing is checked.

use std::ops::Range;

use memchr::{memchr, memmem};

/// A head at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Its bytes, with the empty line.
    pub length: usize,
    pub content_bytes: u64,
    /// `Connection: close` stands in it.
    pub close: bool,
    /// The line of `Connection`, which is for this hop only.
    pub connection: Option<Range<usize>>,
}

impl Head {
    /// `None` where its end has not come.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let length = memmem::find(bytes, b"\r\n\r\n")? + 4;
        let mut head = Self { length, content_bytes: 0, close: false, connection: None };
        let mut at = 0;
        while at < length {
            let end = at + memchr(b'\n', &bytes[at..length])? + 1;
            let line = &bytes[at..end];
            if let Some(value) = value(line, b"content-length:") {
                head.content_bytes = std::str::from_utf8(value).ok()?.parse().ok()?;
            } else if let Some(value) = value(line, b"connection:") {
                head.close = value.eq_ignore_ascii_case(b"close");
                head.connection = Some(at..end);
            }
            at = end;
        }
        Some(head)
    }
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    // Both names we look for begin alike.
    if !matches!(line[0], b'c' | b'C') {
        return None;
    }
    let (own, value) = line.split_at_checked(name.len())?;
    own.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_its_length_and_what_follows() {
        let bytes =
            b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\nHost: a\r\n\r\nabc";
        let head = Head::of(bytes).expect("it is whole");
        assert_eq!((head.length, head.content_bytes, head.close), (bytes.len() - 3, 3, true));
        assert_eq!(head.connection.map(|range| &bytes[range]), Some(&b"Connection: close\r\n"[..]));
        assert_eq!(Head::of(&bytes[..bytes.len() - 5]), None);
    }
}
