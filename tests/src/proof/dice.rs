//! Choices that depend on a seed only.
//!
//! Core, but for reading the seed once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Pattern;

/// The variable that names the seed of a run to make again.
pub const VARIABLE: &str = "PROOF_SEED";

/// From `PROOF_SEED`, to replay a run, else another one each time; printed.
///
/// # Panics
/// When the clock is before 1970.
pub fn seed() -> u64 {
    let given = std::env::var(VARIABLE).ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time after 1970")
            .subsec_nanos()
            .into()
    });
    eprintln!("{VARIABLE}={seed}");
    seed
}

/// A run of choices.
#[derive(Clone, Debug)]
pub struct Dice(Pattern);

impl Dice {
    /// Equal seeds make equal choices.
    pub fn new(seed: u64) -> Self {
        Self(Pattern::new(seed))
    }

    /// A number below this one.
    pub fn below(&mut self, limit: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % limit.max(1)
    }

    /// A number from the first to the last.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True so many times of a hundred.
    pub fn percent(&mut self, often: u64) -> bool {
        self.below(100) < often
    }

    /// A time between these many milliseconds.
    pub fn millis(&mut self, first: u64, last: u64) -> Duration {
        Duration::from_millis(self.between(first, last))
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn one<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}
