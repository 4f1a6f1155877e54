//! Text of others made fit for a log line.
//!
//! Core: no I/O. A byte that may not stand in a line leaves as `#` and two hexadecimal digits, as
//! HAProxy writes it.
//!
//! - A *field* (a request line, a cookie): only bytes 32 to 126 stand as they are, and of these not `#`
//!   and `"`.
//! - A *captured* field of a message: `{`, `|` and `}` neither.
//! - A *text* (an event): UTF-8 and `#` stand as they are, control characters do not.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends a field's value.
#[inline]
pub fn push_field(out: &mut Vec<u8>, value: &[u8]) {
    push(out, value, stands_in_field);
}

/// Appends the value of a message's field, as it stands between braces and bars.
#[inline]
pub fn push_captured(out: &mut Vec<u8>, value: &[u8]) {
    push(out, value, stands_in_captured);
}

/// Nearly always everything stands as it is, so that is tried first.
#[inline]
fn push(out: &mut Vec<u8>, value: &[u8], stands: impl Fn(u8) -> bool) {
    if some::<16>(value, |byte| !stands(byte)) {
        push_escaped(out, value, stands);
    } else {
        out.extend_from_slice(value);
    }
}

#[cold]
fn push_escaped(out: &mut Vec<u8>, value: &[u8], stands: impl Fn(u8) -> bool) {
    for &byte in value {
        if stands(byte) {
            out.push(byte);
        } else {
            push_hex(out, byte);
        }
    }
}

/// Escapes the control bytes of `line[from..]` where there are any: what makes a line one line.
#[inline]
pub(super) fn make_one_line(line: &mut Vec<u8>, from: usize) {
    if some::<32>(&line[from..], is_control) {
        escape_controls(line, from);
    }
}

#[cold]
fn escape_controls(line: &mut Vec<u8>, from: usize) {
    let text = line.split_off(from);
    for byte in text {
        if is_control(byte) {
            push_hex(line, byte);
        } else {
            line.push(byte);
        }
    }
}

/// Whether some byte is such. Looks at `N` bytes at once, at the last ones perhaps twice, so that no
/// rest is looked at singly.
#[inline]
fn some<const N: usize>(text: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let Some(last) = text.last_chunk::<N>() else {
        return text.iter().fold(false, |found, byte| found | is(*byte));
    };
    let mut found = last.map(|byte| u8::from(is(byte)));
    for chunk in text.as_chunks::<N>().0 {
        for (found, byte) in found.iter_mut().zip(chunk) {
            *found |= u8::from(is(*byte));
        }
    }
    found != [0; N]
}

#[expect(clippy::needless_bitwise_bool, reason = "without branches the scan is vectorized")]
fn stands_in_field(byte: u8) -> bool {
    (byte.wrapping_sub(b' ') < 95) & (byte != b'#') & (byte != b'"')
}

/// `{`, `|` and `}` are neighbours.
fn stands_in_captured(byte: u8) -> bool {
    stands_in_field(byte) & (byte.wrapping_sub(b'{') > 2)
}

#[expect(clippy::needless_bitwise_bool, reason = "without branches the scan is vectorized")]
fn is_control(byte: u8) -> bool {
    (byte < b' ') | (byte == 0x7f)
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[b'#', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(value: &[u8]) -> String {
        let mut out = Vec::new();
        push_field(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_field_holds_printable_ascii_without_the_quote_and_the_escape_itself() {
        assert_eq!(field(b"a b~"), "a b~");
        assert_eq!(field(b"a\nb"), "a#0Ab");
        assert_eq!(field(b"#\""), "#23#22");
        assert_eq!(field("é\x7f".as_bytes()), "#C3#A9#7F");
        assert_eq!(
            field(b"a long one {with|nothing} to escape ~"),
            "a long one {with|nothing} to escape ~"
        );
        assert_eq!(
            field(b"a long one that ends with a quote\""),
            "a long one that ends with a quote#22"
        );
    }

    #[test]
    fn a_captured_value_escapes_what_delimits_it_too() {
        for byte in 0..=u8::MAX {
            let mut out = Vec::new();
            push_captured(&mut out, &[byte]);
            let plain = (b' '..=b'~').contains(&byte) && !b"#\"{|}".contains(&byte);
            let expected = if plain { vec![byte] } else { format!("#{byte:02X}").into_bytes() };
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_text_keeps_utf_8_and_loses_only_control_bytes() {
        let mut line = "head\n: é#1\r\n\x1b[0m".as_bytes().to_vec();
        make_one_line(&mut line, 5);
        assert_eq!(line, "head\n: é#1#0D#0A#1B[0m".as_bytes());
    }

    proptest! {
        #[test]
        fn a_field_is_always_printable_and_distinct_for_distinct_values(
            one in any::<Vec<u8>>(), other in any::<Vec<u8>>(),
        ) {
            prop_assert!(field(&one).bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(one == other, field(&one) == field(&other));
        }

        #[test]
        fn one_line_has_no_control_bytes(text in any::<Vec<u8>>()) {
            let mut line = text;
            make_one_line(&mut line, 0);
            prop_assert!(!line.iter().any(|byte| is_control(*byte)));
        }
    }
}
