//! Classes of bytes, and searches through text sixteen bytes at a time.
//!
//! Core. A search answers the first position that it looks for, or the end of the bytes.

use portolan_shared::sys::block::Marks;

/// A letter, digit or one of ``!#$%&'*+-.^_`|~`` (RFC 9110 section 5.6.2).
const TOKEN: u8 = 1;
/// A letter, digit or `-`.
const ORDINARY: u8 = 2;
/// What a host's name may consist of: unreserved and sub-delims (RFC 3986 section 3.2.2).
const HOST: u8 = 4;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] |= TOKEN | ORDINARY | HOST;
        }
        byte += 1;
    }
    table[b'-' as usize] |= ORDINARY;
    mark(mark(table, b"!#$%&'*+-.^_`|~", TOKEN), b"-._~!$&'()*+,;=", HOST)
}

const fn mark(mut table: [u8; 256], bytes: &[u8], class: u8) -> [u8; 256] {
    let mut n = 0;
    while n < bytes.len() {
        table[bytes[n] as usize] |= class;
        n += 1;
    }
    table
}

#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & TOKEN != 0
}

#[inline]
pub(super) fn is_host_byte(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & HOST != 0
}

/// Whether there are only bytes that a host's name may have.
#[inline]
pub(super) fn is_host_text(text: &[u8]) -> bool {
    text.iter().fold(HOST, |all, byte| all & CLASSES[usize::from(*byte)]) != 0
}

/// The first byte that no token has, counted from the start of `text`.
#[inline]
pub(super) fn token_end(text: &[u8]) -> usize {
    text.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(text.len())
}

/// Whether this is a token, and whether it is one of letters, digits and `-` only.
#[inline]
pub(super) fn token(text: &[u8]) -> (bool, bool) {
    let common = text.iter().fold(TOKEN | ORDINARY, |all, byte| all & CLASSES[usize::from(*byte)]);
    (common & TOKEN != 0 && !text.is_empty(), common & ORDINARY != 0)
}

/// SP or HTAB.
#[inline]
pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Without blanks around it.
pub(super) fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The elements of a list, empty ones too; commas in quoted strings are not understood, as no list
/// that is read here has any.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trimmed)
}

const NAME: Marks = Marks { below: 0x21, equal: [b':', 0], beyond_ascii: true };
const VALUE: Marks = Marks { below: 0x20, equal: [0x7f, 0], beyond_ascii: false };
const TARGET: Marks = Marks { below: 0x21, equal: [b'#', 0x7f], beyond_ascii: true };

/// The first position in `text` whose byte is marked, or its end; `all` ends with it.
#[inline]
fn first(marks: Marks, all: &[u8], text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((block, behind)) = rest.split_first_chunk() {
        let found = marks.of(*block);
        if found != 0 {
            return text.len() - rest.len() + found.trailing_zeros() as usize;
        }
        rest = behind;
    }
    let found = match all.last_chunk() {
        Some(last) => marks.of(*last) >> (16 - rest.len()),
        None => marks.of(filled(rest)),
    };
    text.len() - rest.len() + (found.trailing_zeros() as usize).min(rest.len())
}

#[cold]
fn filled(few: &[u8]) -> [u8; 16] {
    std::array::from_fn(|n| few.get(n).copied().unwrap_or_default())
}

/// The end of what may be a field's name: a colon, blank, control or non-ASCII byte. `all` ends with
/// the text.
#[inline]
pub(super) fn name_end(all: &[u8], text: &[u8]) -> usize {
    first(NAME, all, text)
}

/// The end of a value's part without control bytes; `all` ends with the text.
#[inline]
pub(super) fn plain_end(all: &[u8], text: &[u8]) -> usize {
    first(VALUE, all, text)
}

/// The end of a field's value: a control byte other than HTAB.
#[inline]
pub(super) fn value_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        let text = bytes.get(at..).unwrap_or_default();
        at = bytes.len() - text.len() + plain_end(bytes, text);
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// The end of a target: `#`, or what is not visible ASCII.
#[inline]
pub(super) fn target_end(bytes: &[u8], at: usize) -> usize {
    let text = bytes.get(at..).unwrap_or_default();
    bytes.len() - text.len() + first(TARGET, bytes, text)
}

/// Eight bytes, letters small.
#[inline]
pub(super) fn folded(eight: [u8; 8]) -> u64 {
    u64::from_le_bytes(eight) | 0x2020_2020_2020_2020
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_ends_what_it_should_in_each_place() {
        for byte in 0..=255_u8 {
            for place in 0..40 {
                let mut text = [b'a'; 40];
                text[place] = byte;
                let ends = |end: bool| if end { place } else { 40 };
                let visible = (0x21..0x7f).contains(&byte);
                let control = byte < 0x20 && byte != b'\t' || byte == 0x7f;
                let name = byte <= 0x20 || byte >= 0x80 || byte == b':';
                assert_eq!(name_end(&text, &text), ends(name), "{byte}");
                assert_eq!(value_end(&text, 0), ends(control), "{byte}");
                assert_eq!(target_end(&text, 0), ends(!visible || byte == b'#'), "{byte}");
            }
        }
    }

    #[test]
    fn a_search_finds_the_first_end_at_or_behind_its_start() {
        for length in 0..50 {
            for end in 0..=length {
                let mut text = vec![b'a'; length];
                if let Some(byte) = text.get_mut(end) {
                    *byte = b'\r';
                }
                for start in 0..=length {
                    let expected = if start <= end { end } else { length };
                    assert_eq!(value_end(&text, start), expected, "{length} {end} {start}");
                    assert_eq!(
                        start + name_end(&text, &text[start..]),
                        expected,
                        "{length} {end} {start}"
                    );
                    assert_eq!(target_end(&text, start), expected, "{length} {end} {start}");
                }
            }
        }
    }

    #[test]
    fn a_value_goes_on_behind_a_tab_and_beyond_ascii() {
        assert_eq!(value_end(b"a\tb\xe4\xff\t\tcdefghijklmnopqrstuvw\x7f", 0), 28);
    }
}
