//! The cookies of one `Cookie` field, and the cookie that a `Set-Cookie` field sets.
//!
//! Core: no I/O. As browsers send and servers read: parts are divided by `;` (RFC 6265 section 5.4),
//! blanks around names and values do not count. A value that is a whole quoted string may contain
//! `;` (RFC 2109, still read so by servers); a quote that is never closed, or not at the value's end,
//! is a character like others. A comma divides nothing, other than in HAProxy.
//!
//! - The parts together with the `;` between them are the whole field, byte for byte.
//! - Linear in the field's length.

use std::ops::Range;

use memchr::memchr;

/// One part of a `Cookie` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// From the `;` before it (or the field's beginning) to the one behind it (or the field's end).
    pub part: Range<usize>,
    /// Without blanks around it; empty where there is no `=`.
    pub name: Range<usize>,
    /// Without blanks and quotes around it; empty where there is no `=`.
    pub value: Range<usize>,
    /// The value stands in quotes.
    pub quoted: bool,
}

/// Iterates over the parts of a field's value.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    text: &'a [u8],
    at: Option<usize>,
}

/// The cookies of a `Cookie` field's value.
pub fn pairs(text: &[u8]) -> Pairs<'_> {
    Pairs { text, at: Some(0) }
}

/// The cookie that a `Set-Cookie` field sets; attributes are not looked at.
pub fn set_cookie(text: &[u8]) -> Pair {
    pair(text, 0)
}

impl Iterator for Pairs<'_> {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        let pair = pair(self.text, self.at?);
        self.at = (pair.part.end < self.text.len()).then_some(pair.part.end + 1);
        Some(pair)
    }
}

impl Pair {
    /// Whether it is a cookie of this name; letters' case counts.
    pub fn is(&self, text: &[u8], name: &[u8]) -> bool {
        &text[self.name.clone()] == name
    }

    /// Where `NAME=VALUE` ends, the closing quote included.
    pub fn end(&self) -> usize {
        self.value.end + usize::from(self.quoted)
    }
}

/// The part that begins at `start`.
fn pair(text: &[u8], start: usize) -> Pair {
    let end = memchr(b';', &text[start..]).map_or(text.len(), |length| start + length);
    let Some(equals) = memchr(b'=', &text[start..end]).map(|length| start + length) else {
        return Pair { part: start..end, name: start..start, value: end..end, quoted: false };
    };
    let name = trimmed(text, start..equals);
    let value_start = trimmed(text, equals + 1..text.len()).start;
    if let Some((value, end)) = quoted(text, value_start) {
        return Pair { part: start..end, name, value, quoted: true };
    }
    let value = trimmed(text, equals + 1..end);
    Pair { part: start..end, name, value, quoted: false }
}

/// A quoted string that begins here and is all of a value: what is in it, and where its part ends.
fn quoted(text: &[u8], start: usize) -> Option<(Range<usize>, usize)> {
    if text.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        match text.get(at)? {
            b'"' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    let end = trimmed(text, at + 1..text.len()).start;
    matches!(text.get(end), None | Some(b';')).then_some((start + 1..at, end))
}

/// Without blanks at both ends; of only blanks the empty end of them.
fn trimmed(text: &[u8], range: Range<usize>) -> Range<usize> {
    let is_blank = |at: usize| matches!(text[at], b' ' | b'\t');
    let Range { mut start, mut end } = range;
    while start < end && is_blank(start) {
        start += 1;
    }
    while start < end && is_blank(end - 1) {
        end -= 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &[u8]) -> Vec<(String, String)> {
        let text_of = |range: Range<usize>| String::from_utf8_lossy(&text[range]).into_owned();
        pairs(text).map(|pair| (text_of(pair.name), text_of(pair.value))).collect()
    }

    fn strings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn cookies_are_found_however_they_are_written() {
        for (text, expected) in [
            (&b"a=1"[..], &[("a", "1")][..]),
            (b"a=1; b=2", &[("a", "1"), ("b", "2")]),
            (b"a=1;b=2", &[("a", "1"), ("b", "2")]),
            (b" a = 1 ;\tb\t=\t2 ", &[("a", "1"), ("b", "2")]),
            (b"a=b=c; d==", &[("a", "b=c"), ("d", "=")]),
            (b"a=x y; b=1,2", &[("a", "x y"), ("b", "1,2")]),
            (b"a=; =b; ;c", &[("a", ""), ("", "b"), ("", ""), ("", "")]),
            (b"", &[("", "")]),
            (b"a=1;", &[("a", "1"), ("", "")]),
        ] {
            assert_eq!(texts(text), strings(expected), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_quoted_value_may_contain_semicolons_and_escaped_quotes() {
        for (text, expected) in [
            (&b"a=\"x; b=1\"; c=2"[..], &[("a", "x; b=1"), ("c", "2")][..]),
            (b"a=\"x\\\"; b=1\" ; c=2", &[("a", "x\\\"; b=1"), ("c", "2")]),
            (b"a=\"\"", &[("a", "")]),
        ] {
            assert_eq!(texts(text), strings(expected), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_stray_quote_is_a_character_like_others() {
        for (text, expected) in [
            (&b"a=\"x; b=1"[..], &[("a", "\"x"), ("b", "1")][..]),
            (b"a=\"x\"y; b=1", &[("a", "\"x\"y"), ("b", "1")]),
            (b"a=x\"; b=\"1\"", &[("a", "x\""), ("b", "1")]),
            (b"a=\"; b=1\\", &[("a", "\""), ("b", "1\\")]),
            (b"a=\"x\\", &[("a", "\"x\\")]),
        ] {
            assert_eq!(texts(text), strings(expected), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn of_a_set_cookie_field_only_the_cookie_counts() {
        let text = b" SRV = \"a;b\" ; Path=/; Expires=Thu, 01-Jan-1970 00:00:01 GMT";
        let pair = set_cookie(text);
        assert_eq!(&text[pair.name.clone()], b"SRV");
        assert_eq!(&text[pair.value.clone()], b"a;b");
        assert_eq!(pair.end(), 12);
        assert_eq!(pair.part, 0..13);
    }

    proptest! {
        #[test]
        fn parts_and_semicolons_are_the_whole_field(text in "[a=;\" \\\\\\t,]{0,40}") {
            let text = text.as_bytes();
            let parts: Vec<&[u8]> = pairs(text).map(|pair| &text[pair.part]).collect();
            prop_assert_eq!(parts.join(&b';'), text);
            for pair in pairs(text) {
                let within = |range: &Range<usize>| pair.part.start <= range.start && range.end <= pair.part.end;
                prop_assert!(within(&pair.name) && within(&pair.value) && pair.end() <= pair.part.end);
            }
        }

        #[test]
        fn no_bytes_are_too_odd(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let parts: Vec<&[u8]> = pairs(&text).map(|pair| &text[pair.part]).collect();
            prop_assert_eq!(parts.join(&b';'), text);
        }
    }
}
