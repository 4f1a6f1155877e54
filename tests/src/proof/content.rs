//! Bytes that can be made again anywhere and are compared at the speed of memory.
//!
//! Core. An endless run: one block of random bytes over and over, entered at a place that depends on the
//! seed. The block's length is a prime number, so that no power of two of bytes can be lost, doubled or
//! swapped without a difference.

use std::sync::LazyLock;

use crate::Pattern;

/// Bytes of the block.
const BLOCK: usize = 65_521;
/// Neighbouring seeds begin so far from each other.
const STRIDE: u64 = 7_919;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| Pattern::new(1).bytes(BLOCK));

/// A place in the run of one seed.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    at: usize,
}

impl Content {
    /// Its beginning.
    pub fn of(seed: u64) -> Self {
        Self { at: (seed.wrapping_mul(STRIDE) % BLOCK as u64) as usize }
    }

    /// The next bytes, at most so many, at least one of them.
    pub fn next(&mut self, most: usize) -> &'static [u8] {
        let bytes = &BYTES[self.at..];
        let bytes = &bytes[..most.min(bytes.len())];
        self.at = (self.at + bytes.len()) % BLOCK;
        bytes
    }

    /// The next bytes, exactly so many.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let mut taken = Vec::with_capacity(length);
        while taken.len() < length {
            taken.extend_from_slice(self.next(length - taken.len()));
        }
        taken
    }

    /// Goes on over these bytes; whether they are the next ones.
    pub fn agrees(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let expected = self.next(rest.len());
            let (own, left) = rest.split_at(expected.len());
            if own != expected {
                return false;
            }
            rest = left;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_come_in_whatever_pieces() {
        let whole = Content::of(5).take(200_000);
        for size in [1, 1000, 65_521, 70_000] {
            let mut content = Content::of(5);
            assert!(whole.chunks(size).all(|piece| content.agrees(piece)), "{size}");
        }
    }

    #[test]
    fn a_byte_lost_doubled_or_changed_is_seen() {
        let whole = Content::of(9).take(100_000);
        let without = [&whole[..70_000], &whole[70_001..]].concat();
        let doubled = [&whole[..70_000], &whole[69_999..]].concat();
        let mut changed = whole.clone();
        changed[99_999] ^= 1;
        for bad in [without, doubled, changed] {
            assert!(!Content::of(9).agrees(&bad));
        }
        assert!(!Content::of(10).agrees(&whole));
    }
}
