//! Bytes that look random and can be made again at the other end, so that whatever was lost, doubled
//! or swapped on the way shows.
//!
//! Core.

use std::io::{self, Read, Write};

/// An endless run of bytes that depends on its seed only.
#[derive(Clone, Debug)]
pub struct Pattern {
    state: u64,
    word: [u8; 8],
    left: usize,
}

impl Pattern {
    /// Equal seeds give equal bytes.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, word: [0; 8], left: 0 }
    }

    /// The next `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }

    /// Overwrites all of `buffer` with what comes next.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        let taken = self.left.min(buffer.len());
        let (head, rest) = buffer.split_at_mut(taken);
        head.copy_from_slice(&self.word[8 - self.left..][..taken]);
        self.left -= taken;
        let mut words = rest.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next_word());
        }
        let tail = words.into_remainder();
        if !tail.is_empty() {
            self.word = self.next_word();
            tail.copy_from_slice(&self.word[..tail.len()]);
            self.left = 8 - tail.len();
        }
    }

    /// SplitMix64.
    fn next_word(&mut self) -> [u8; 8] {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    }
}

/// Writes the first `length` bytes of the seed's pattern, telling `progress` after each piece.
pub fn send(
    mut to: impl Write,
    seed: u64,
    length: u64,
    mut progress: impl FnMut(u64),
) -> io::Result<()> {
    let mut pattern = Pattern::new(seed);
    let mut piece = vec![0; 64 * 1024];
    let mut sent = 0;
    while sent < length {
        let size = piece.len().min((length - sent) as usize);
        pattern.fill(&mut piece[..size]);
        to.write_all(&piece[..size])?;
        sent += size as u64;
        progress(sent);
    }
    Ok(())
}

/// Why what was read is not the pattern.
#[derive(Debug)]
pub enum Difference {
    /// It ended after so many bytes.
    Short(u64),
    /// It went on after the last byte.
    Long,
    /// Near this position.
    Changed(u64),
    /// The connection failed after so many bytes.
    Failed(u64, io::Error),
}

/// Reads to the end and compares with the first `length` bytes of the seed's pattern.
pub fn check(mut from: impl Read, seed: u64, length: u64) -> Result<(), Difference> {
    let mut pattern = Pattern::new(seed);
    let (mut piece, mut expected) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut read = 0;
    loop {
        let size = match from.read(&mut piece) {
            Ok(0) if read < length => return Err(Difference::Short(read)),
            Ok(0) => return Ok(()),
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Difference::Failed(read, error)),
        };
        if read + size as u64 > length {
            return Err(Difference::Long);
        }
        pattern.fill(&mut expected[..size]);
        if piece[..size] != expected[..size] {
            return Err(Difference::Changed(read));
        }
        read += size as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_do_not_depend_on_the_pieces_they_are_taken_in() {
        let whole = Pattern::new(7).bytes(4096);
        for size in [1, 3, 7, 8, 9, 64, 1000] {
            let mut pattern = Pattern::new(7);
            let pieces: Vec<u8> =
                whole.chunks(size).flat_map(|piece| pattern.bytes(piece.len())).collect();
            assert_eq!(pieces, whole, "{size}");
        }
    }

    #[test]
    fn a_difference_is_found_wherever_it_is() {
        let mut bytes = Pattern::new(3).bytes(1000);
        assert!(check(&bytes[..], 3, 1000).is_ok());
        assert!(matches!(check(&bytes[..], 3, 999), Err(Difference::Long)));
        assert!(matches!(check(&bytes[..], 3, 1001), Err(Difference::Short(1000))));
        bytes[500] ^= 1;
        assert!(matches!(check(&bytes[..], 3, 1000), Err(Difference::Changed(_))));
    }
}
