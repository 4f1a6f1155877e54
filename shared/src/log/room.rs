//! Room at the end of a line, for the pieces of known size that most of it consists of.
//!
//! Core: no I/O. The buffer grows once for all of them and shrinks to what was written; in between a
//! piece costs its bytes and one comparison. What does not fit is left out, so the caller asks for as
//! much as its pieces can ever take.

#![expect(clippy::inline_always, reason = "the room for a line stays in registers only so")]

use super::digits::{Text, eight, four};

/// Room that a number of up to ten digits takes with the byte behind it.
pub const SHORT_NUMBER_BYTES: usize = 12;

/// Room that any number takes with the byte behind it.
pub const NUMBER_BYTES: usize = 24;

/// The digits of 0 to 255, the first in the lowest byte, and in the highest how many they are.
const SMALL: [u32; 256] = {
    let mut table = [0; 256];
    let mut number: usize = 0;
    while number < table.len() {
        let [hundreds, tens, ones] = [number / 100, number / 10 % 10, number % 10];
        let digits = [b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8];
        table[number] = u32::from_le_bytes(match number {
            0..10 => [digits[2], 0, 0, 1],
            10..100 => [digits[1], digits[2], 0, 2],
            _ => [digits[0], digits[1], digits[2], 3],
        });
        number += 1;
    }
    table
};

/// Where pieces are written to: each takes the room and gives back what is left of it, so that it
/// stays in registers.
#[derive(Debug)]
#[must_use]
pub struct Room<'l>(&'l mut [u8]);

/// Appends what `write` writes, at most so many bytes.
#[inline(always)]
pub fn append(
    line: &mut Vec<u8>,
    bytes_max: usize,
    write: impl for<'l> FnOnce(Room<'l>) -> Room<'l>,
) {
    let from = line.len();
    line.resize(from + bytes_max, 0);
    let left = write(Room(&mut line[from..])).0.len();
    line.truncate(line.len() - left);
}

impl Room<'_> {
    /// Writes one byte.
    #[inline(always)]
    pub fn byte(self, byte: u8) -> Self {
        self.few(&[byte])
    }

    /// Writes a few whose number the compiler knows.
    #[inline(always)]
    pub fn few<const N: usize>(self, bytes: &[u8; N]) -> Self {
        match self.0.first_chunk_mut::<N>() {
            Some(place) => {
                *place = *bytes;
                self.behind(N)
            }
            None => self,
        }
    }

    /// Writes a text.
    #[inline(always)]
    pub fn text(self, text: &[u8]) -> Self {
        if text.len() > self.0.len() {
            return self;
        }
        let (place, rest) = self.0.split_at_mut(text.len());
        place.copy_from_slice(text);
        Self(rest)
    }

    /// Writes a number and a byte behind it.
    #[inline(always)]
    pub fn number(self, number: u64, behind: u8) -> Self {
        let Some(digits) = SMALL.get(number as usize) else {
            let length = large(self.0, number, behind);
            return self.behind(length);
        };
        self.small(*digits, behind)
    }

    /// Writes a number below 256 and a byte behind it.
    #[inline(always)]
    pub fn octet(self, number: u8, behind: u8) -> Self {
        self.small(SMALL[usize::from(number)], behind)
    }

    #[inline(always)]
    fn small(self, digits: u32, behind: u8) -> Self {
        match self.0.first_chunk_mut::<4>() {
            Some(place) => {
                let length = (digits >> 24) as usize & 3;
                *place = digits.to_le_bytes();
                place[length] = behind;
                self.behind(length + 1)
            }
            None => self,
        }
    }

    #[inline(always)]
    fn behind(self, length: usize) -> Self {
        Self(self.0.get_mut(length..).unwrap_or_default())
    }
}

/// Writes a number of at least three digits and a byte behind it; how many bytes they take.
#[inline(never)]
fn large(rest: &mut [u8], number: u64, behind: u8) -> usize {
    if number >= 100_000_000 {
        return huge(rest, number, behind);
    }
    // The leading zeros are shifted out, and what stands behind the digits is overwritten.
    let (digits, length) = if number < 10_000 {
        let length = if number < 1000 { 3 } else { 4 };
        (u64::from(u32::from_le_bytes(four(number as u32))) >> (8 * (4 - length)), length)
    } else {
        let digits = u64::from_le_bytes(eight(number as u32));
        let zeros = (digits & 0x0f0f_0f0f).trailing_zeros() as usize / 8 % 4;
        (digits >> (8 * zeros), 8 - zeros)
    };
    let Some(place) = rest.first_chunk_mut::<9>() else { return 0 };
    place[..8].copy_from_slice(&digits.to_le_bytes());
    place[length] = behind;
    length + 1
}

#[cold]
fn huge(rest: &mut [u8], number: u64, behind: u8) -> usize {
    let mut text = Text::<{ NUMBER_BYTES + 8 }>::default();
    text.number(number);
    text.push(behind);
    let text = text.as_bytes();
    let Some(place) = rest.get_mut(..text.len()) else { return 0 };
    place.copy_from_slice(text);
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl for<'l> FnOnce(Room<'l>) -> Room<'l>) -> String {
        let mut line = b"> ".to_vec();
        append(&mut line, 64, write);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn pieces_stand_one_behind_the_other() {
        let line = text(|room| {
            let room = room.few(b"ab").number(7, b'/').octet(255, b'.');
            room.number(123_456, b' ').text(b"text").byte(b'!')
        });
        assert_eq!(line, "> ab7/255.123456 text!");
    }

    #[test]
    fn numbers_of_every_length_are_written_in_full() {
        for digits in 0..20 {
            let power = 10_u64.pow(digits);
            for number in [power - 1, power, power + 1, u64::MAX] {
                assert_eq!(text(|room| room.number(number, b';')), format!("> {number};"));
            }
        }
        for number in 0..=255 {
            assert_eq!(text(|room| room.octet(number, b';')), format!("> {number};"));
        }
    }

    #[test]
    fn the_promised_room_is_enough_for_a_number() {
        for (number, room) in [(u64::from(u32::MAX), SHORT_NUMBER_BYTES), (u64::MAX, NUMBER_BYTES)]
        {
            for bits in 0..number.ilog2() {
                let mut line = Vec::new();
                append(&mut line, room, |room| room.number(number >> bits, b'|'));
                assert_eq!(line, format!("{}|", number >> bits).into_bytes());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut line = Vec::new();
        append(&mut line, 3, |room| {
            let room = room.text(b"four").few(b"four").number(1234, b'!');
            room.text(b"abc").byte(b'd').number(1, b'!')
        });
        assert_eq!(line, b"abc");
    }

    proptest! {
        #[test]
        fn any_number_is_written_as_the_standard_library_does(number in any::<u64>(), bits in 0..64) {
            let number = number >> bits;
            let expected = format!("> {number},");
            prop_assert_eq!(text(|room| room.number(number, b',')), expected);
        }
    }
}
