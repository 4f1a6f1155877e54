//! Choices that depend on a seed only.
//!
//! Core, but for the variable that names a seed to replay.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// A number below this one.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    /// A limit up to this one, or none.
    pub fn maybe_limit(&mut self, most: usize) -> Option<u32> {
        (self.below(3) > 0).then(|| 1 + self.below(most) as u32)
    }
}

/// Runs so many seeds, or the one (`5`) or those (`5..9`) that the variable names; prints the one that
/// fails.
pub fn each_seed(variable: &str, seeds: u64, run: impl Fn(u64)) {
    let named = std::env::var(variable).ok();
    let seeds = named.as_deref().and_then(range).unwrap_or(0..seeds);
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("{variable}={seed}");
            resume_unwind(panic);
        }
    }
}

fn range(text: &str) -> Option<std::ops::Range<u64>> {
    match text.split_once("..") {
        Some((first, end)) => Some(first.parse().ok()?..end.parse().ok()?),
        None => text.parse().ok().map(|seed: u64| seed..seed + 1),
    }
}
