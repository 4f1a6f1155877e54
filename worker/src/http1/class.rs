//! Classes of bytes, and searches through text eight bytes at a time.
//!
//! Core. A search answers the first position that it looks for, or the end of the bytes. The words'
//! tests may err in bytes above the first one found, never below it.

/// A letter, digit or one of ``!#$%&'*+-.^_`|~`` (RFC 9110 section 5.6.2).
const TOKEN: u8 = 1;
/// A letter, digit or `-`.
const ORDINARY: u8 = 2;
/// What a host's name may consist of: unreserved, sub-delims and `%` (RFC 3986 section 3.2.2).
const HOST: u8 = 4;
/// Of a target: visible ASCII.
const VISIBLE: u8 = 8;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte] |= VISIBLE;
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] |= TOKEN | ORDINARY | HOST;
        }
        byte += 1;
    }
    table[b'-' as usize] |= ORDINARY;
    mark(mark(table, b"!#$%&'*+-.^_`|~", TOKEN), b"-._~!$&'()*+,;=%", HOST)
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

#[inline]
pub(super) fn is_visible(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & VISIBLE != 0
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

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*eight))
}

/// The high bits of bytes below `bound`, at most 0x80.
#[inline]
const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * bound as u64) & !word & HIGH
}

/// The high bits of bytes equal to `byte`.
#[inline]
const fn equal(word: u64, byte: u8) -> u64 {
    let differing = word ^ (ONES * byte as u64);
    differing.wrapping_sub(ONES) & !differing & HIGH
}

#[inline]
fn first(
    bytes: &[u8],
    mut at: usize,
    marks: impl Fn(u64) -> u64,
    one: impl Fn(u8) -> bool,
) -> usize {
    while let Some(word) = word(bytes, at) {
        let found = marks(word);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && !one(bytes[at]) {
        at += 1;
    }
    at
}

/// The end of what may be a field's name: a colon, blank, control or non-ASCII byte.
#[inline]
pub(super) fn name_end(bytes: &[u8], at: usize) -> usize {
    first(
        bytes,
        at,
        |word| below(word, 0x21) | equal(word, b':') | (word & HIGH),
        |byte| byte <= 0x20 || byte == b':' || byte >= 0x80,
    )
}

/// The end of a field's value: a control byte other than HTAB.
#[inline]
pub(super) fn value_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at = first(
            bytes,
            at,
            |word| below(word, 0x20) | equal(word, 0x7f),
            |byte| byte < 0x20 || byte == 0x7f,
        );
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// The end of a target: `#`, or what is not visible ASCII.
#[inline]
pub(super) fn target_end(bytes: &[u8], at: usize) -> usize {
    first(
        bytes,
        at,
        |word| below(word, 0x21) | equal(word, b'#') | equal(word, 0x7f) | (word & HIGH),
        |byte| !is_visible(byte) || byte == b'#',
    )
}

/// The eight bytes from here, letters small.
#[inline]
pub(super) fn folded(bytes: &[u8], at: usize) -> Option<u64> {
    word(bytes, at).map(|word| word | (ONES * 0x20))
}
