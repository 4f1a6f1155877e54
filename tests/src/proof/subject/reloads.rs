//! Reloads and upgrades at random moments.
//!
//! Shell.

use std::time::{Duration, Instant};

use super::{Subject, Variation};
use crate::proof::Dice;
use crate::{binaries, deadline};

/// So many of a hundred are upgrades.
const UPGRADES_PERCENT: u64 = 15;
/// So many of a hundred have a configuration that cannot be read.
const BROKEN_PERCENT: u64 = 10;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reloads {
    /// Reloads that took effect, upgrades too.
    pub done: usize,
    /// Upgrades among them.
    pub upgrades: usize,
    /// Reloads that were refused, as was to be.
    pub refused: usize,
    /// The longest that took effect.
    pub longest: Duration,
}

impl Subject {
    /// So many reloads, refused ones too, with such a wait of milliseconds before each.
    ///
    /// # Panics
    /// When one that is to succeed fails, or the other way round.
    pub fn reload_often(&mut self, dice: &mut Dice, count: usize, waits: (u64, u64)) -> Reloads {
        let mut reloads = Reloads::default();
        for _ in 0..count {
            deadline::pause(dice.millis(waits.0, waits.1));
            let (next, broken) = (Variation::roll(dice), dice.percent(BROKEN_PERCENT));
            if broken {
                self.configure(next, true);
                let said = self.portolan.reload_fails();
                assert!(said.contains("sever"), "{said}");
                reloads.refused += 1;
                continue;
            }
            let began = Instant::now();
            reloads.upgrades += usize::from(self.reload(next, dice));
            reloads.longest = reloads.longest.max(began.elapsed());
            reloads.done += 1;
        }
        reloads
    }

    /// A reload with this configuration, now and then an upgrade; whether it was one.
    ///
    /// # Panics
    /// When it fails.
    pub fn reload(&mut self, next: Variation, dice: &mut Dice) -> bool {
        self.configure(next, false);
        let upgrade = dice.percent(UPGRADES_PERCENT);
        if upgrade {
            self.replace_programs();
        }
        self.portolan.reload();
        upgrade
    }

    /// Puts fresh copies of the programs in the place of those that run: the next reload is an upgrade.
    pub fn replace_programs(&self) {
        binaries::install(&self.portolan.file("programs"));
    }

    /// One more, back to the configuration of the beginning.
    ///
    /// # Panics
    /// When it fails.
    pub fn reload_as_at_first(&mut self) {
        self.reload_as(Variation::FIRST);
    }

    /// One more, with this configuration.
    ///
    /// # Panics
    /// When it fails.
    pub fn reload_as(&mut self, next: Variation) {
        self.configure(next, false);
        self.portolan.reload();
    }
}
