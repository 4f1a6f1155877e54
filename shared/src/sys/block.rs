//! Sixteen bytes looked at at once.
//!
//! Core. On x86_64 by SSE2, which every such processor has; elsewhere byte by byte.

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// Bytes below this, which is 1 to 0x80.
    pub below: u8,
    /// These; 0: none.
    pub equal: [u8; 2],
    /// Those that are not ASCII.
    pub beyond_ascii: bool,
}

impl Marks {
    /// A bit for each byte of the block that is such, the lowest for the first.
    #[inline]
    pub fn of(self, block: [u8; 16]) -> u32 {
        #[cfg(target_arch = "x86_64")]
        {
            // SAFETY: SSE2 belongs to the x86_64 architecture, so the processor has it.
            unsafe { self.by_sse2(block) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.one_by_one(block)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "sse2")]
    #[inline]
    fn by_sse2(self, block: [u8; 16]) -> u32 {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
            _mm_set_epi64x, _mm_set1_epi8,
        };
        let all = u128::from_le_bytes(block);
        let block = _mm_set_epi64x((all >> 64) as i64, all as i64);
        let mut found = if self.beyond_ascii {
            // With a sign they are below everything.
            _mm_cmplt_epi8(block, _mm_set1_epi8(self.below as i8))
        } else {
            let highest = _mm_set1_epi8((self.below - 1) as i8);
            _mm_cmpeq_epi8(block, _mm_min_epu8(block, highest))
        };
        for byte in self.equal {
            if byte != 0 {
                found = _mm_or_si128(found, _mm_cmpeq_epi8(block, _mm_set1_epi8(byte as i8)));
            }
        }
        _mm_movemask_epi8(found) as u32
    }

    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn one_by_one(self, block: [u8; 16]) -> u32 {
        let is = |byte: u8| {
            byte < self.below
                || self.equal.contains(&byte) && byte != 0
                || self.beyond_ascii && byte >= 0x80
        };
        block.iter().rfold(0, |bits, byte| bits << 1 | u32::from(is(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_found_in_each_place_as_one_by_one() {
        for (below, equal, beyond_ascii) in
            [(0x21, [b':', 0], true), (0x20, [0x7f, 0], false), (1, [b'?', b'#'], false)]
        {
            let marks = Marks { below, equal, beyond_ascii };
            for byte in 0..=255 {
                for place in 0..16 {
                    let mut block = [b'a'; 16];
                    block[place] = byte;
                    assert_eq!(marks.of(block), marks.one_by_one(block), "{byte} {marks:?}");
                }
                assert!(matches!(marks.of([byte; 16]), 0 | 0xffff), "{byte} {marks:?}");
            }
        }
    }
}
