//! Integers as decimal text, appended without a formatter.
//!
//! Core: no I/O.

/// `00` to `99`, one after the other.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// The two digits of a number below 100.
pub(super) fn pair(number: u32) -> [u8; 2] {
    let at = (number as usize % 100) * 2;
    [PAIRS[at], PAIRS[at + 1]]
}

/// Appends a number.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, number: u64) {
    if number < 10 {
        out.push(b'0' + number as u8);
        return;
    }
    push_long(out, number);
}

/// Appends a number with its sign.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_u64(out, number.unsigned_abs());
}

fn push_long(out: &mut Vec<u8>, mut number: u64) {
    let mut text = [0_u8; 20];
    let mut at = text.len();
    while number >= 100 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&pair((number % 100) as u32));
        number /= 100;
    }
    if number >= 10 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&pair(number as u32));
    } else {
        at -= 1;
        text[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&text[at..]);
}

/// Writes exactly `N` digits, the number's lowest.
pub(super) fn fixed<const N: usize>(mut number: u32) -> [u8; N] {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(number: i64) -> String {
        let mut out = Vec::new();
        push_i64(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn edges_of_every_length_are_written_in_full() {
        for number in [0, 9, 10, 99, 100, 101, 999, 1000, 9999, 10_000, -1, -10, i64::MAX, i64::MIN]
        {
            assert_eq!(text(number), number.to_string());
        }
        let mut out = Vec::new();
        push_u64(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn a_fixed_width_pads_and_keeps_the_lowest_digits() {
        assert_eq!(&fixed::<3>(7), b"007");
        assert_eq!(&fixed::<6>(385_768), b"385768");
        assert_eq!(&fixed::<2>(1234), b"34");
    }

    proptest! {
        #[test]
        fn a_number_reads_as_the_standard_library_writes_it(number in any::<i64>()) {
            prop_assert_eq!(text(number), number.to_string());
        }
    }
}
