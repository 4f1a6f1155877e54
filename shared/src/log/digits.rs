//! Text of numbers and fixed characters, built without a formatter and without allocating.
//!
//! Core: no I/O.

/// `00` to `99`, one after the other.
const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// The two lowest digits.
#[inline]
pub(super) fn pair(number: u32) -> [u8; 2] {
    let at = (number as usize % 100) * 2;
    [PAIRS[at], PAIRS[at + 1]]
}

/// A short text of at most `N` bytes on the stack; what does not fit is left out.
///
/// Cheaper than appending to a `Vec` piece by piece: its length stays in a register.
#[derive(Clone, Copy, Debug)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self { bytes: [0; N], length: 0 }
    }
}

impl<const N: usize> Text<N> {
    /// What was written.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// Appends several.
    #[inline]
    pub fn append(&mut self, text: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + text.len()) {
            room.copy_from_slice(text);
            self.length += text.len();
        }
    }

    /// Appends a number; a number of several digits wants room for eight, or for twenty.
    #[inline]
    pub fn number(&mut self, number: u64) {
        if number < 10 {
            self.push(b'0' + number as u8);
        } else if number < 100_000_000 {
            self.up_to_eight(number as u32);
        } else {
            self.long(number);
        }
    }

    /// Appends a number in lower-case hexadecimal.
    #[inline]
    pub fn hex(&mut self, number: u16) {
        let digits = (16 - number.leading_zeros()).div_ceil(4).max(1);
        for place in (0..digits).rev() {
            self.push(b"0123456789abcdef"[usize::from(number >> (4 * place)) & 15]);
        }
    }

    /// Writes eight digits without the leading zeros at once: the zeros are shifted out, and what
    /// stands behind the digits is overwritten next.
    #[inline]
    fn up_to_eight(&mut self, number: u32) {
        let digits = u64::from_le_bytes(eight(number));
        let zeros = (digits & 0x0f0f_0f0f_0f0f_0f0f).trailing_zeros() / 8;
        if let Some(room) = self.bytes.get_mut(self.length..self.length + 8) {
            room.copy_from_slice(&(digits >> (8 * (zeros % 8))).to_le_bytes());
            self.length += 8 - zeros as usize;
        }
    }

    #[cold]
    fn long(&mut self, number: u64) {
        let rest = number / 100_000_000;
        self.number(rest);
        self.append(&eight((number % 100_000_000) as u32));
    }
}

/// The eight lowest digits.
#[inline]
pub(super) fn eight(number: u32) -> [u8; 8] {
    let mut text = [0; 8];
    text[..4].copy_from_slice(&four(number / 10_000));
    text[4..].copy_from_slice(&four(number % 10_000));
    text
}

/// The four lowest digits of a number below 100,000.
#[inline]
pub(super) fn four(number: u32) -> [u8; 4] {
    let [[a, b], [c, d]] = [pair(number / 100), pair(number)];
    [a, b, c, d]
}

/// Appends a number.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, number: u64) {
    let mut text = Text::<24>::default();
    text.number(number);
    out.extend_from_slice(text.as_bytes());
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

    fn text(number: u64) -> String {
        let mut out = Vec::new();
        push_u64(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn edges_of_every_length_are_written_in_full() {
        for digits in 0..20 {
            let power = 10_u64.pow(digits);
            for number in [power - 1, power, power + 1] {
                assert_eq!(text(number), number.to_string());
            }
        }
        assert_eq!(text(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut small = Text::<10>::default();
        small.append(b"ab");
        small.number(123);
        small.append(b"cdefgh");
        small.number(45);
        small.append(b"xyz12");
        small.push(b'x');
        small.number(4_567_890_123);
        assert_eq!(small.as_bytes(), b"ab123xyz12");
    }

    #[test]
    fn a_fixed_width_pads_and_keeps_the_lowest_digits() {
        assert_eq!(&fixed::<3>(7), b"007");
        assert_eq!(&fixed::<6>(385_768), b"385768");
        assert_eq!(&fixed::<2>(1234), b"34");
    }

    proptest! {
        #[test]
        fn a_number_reads_as_the_standard_library_writes_it(number in any::<u64>()) {
            prop_assert_eq!(text(number), number.to_string());
        }

        #[test]
        fn hexadecimal_is_written_as_the_standard_library_writes_it(number in any::<u16>()) {
            let mut hex = Text::<4>::default();
            hex.hex(number);
            prop_assert_eq!(hex.as_bytes().to_vec(), format!("{number:x}").into_bytes());
        }
    }
}
