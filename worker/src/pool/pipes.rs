//! The books of the pipes that splicing needs.
//!
//! Core: `P` is a pipe, made by the shell. All pipes that exist, lent and spare, count against the
//! bound, for the kernel bounds them per user. Nobody waits: without a pipe data is copied.
//!
//! Only an empty pipe may be given back; one that still holds bytes is dropped instead and said to be
//! [`PipePool::lost`].

use std::time::Instant;

use super::Usage;
use super::spares::Spares;

/// What who asks for a pipe gets.
#[derive(Debug, PartialEq, Eq)]
pub enum TakenPipe<P> {
    /// An empty pipe.
    Pipe(P),
    /// The permission to make one; [`PipePool::lost`] if that fails.
    Make,
    /// None: copy.
    Copy,
}

/// The pipes of one worker.
#[derive(Debug)]
pub struct PipePool<P> {
    spares: Spares<P>,
    limit: usize,
    usage: Usage,
}

impl<P> PipePool<P> {
    /// An empty pool; `limit` 0 lends none.
    pub fn new(limit: u32, now: Instant) -> Self {
        let limit = limit as usize;
        let usage = Usage { limit: Some(limit), ..Usage::default() };
        Self { spares: Spares::new(now), limit, usage }
    }

    /// Lends a pipe, if there is or may be another one.
    pub fn take(&mut self) -> TakenPipe<P> {
        let taken = if let Some(pipe) = self.spares.take() {
            TakenPipe::Pipe(pipe)
        } else if self.usage.used < self.limit {
            self.usage.made += 1;
            TakenPipe::Make
        } else {
            self.usage.refused += 1;
            return TakenPipe::Copy;
        };
        self.usage.used += 1;
        self.usage.lent += 1;
        self.usage.peak = self.usage.peak.max(self.usage.used);
        taken
    }

    /// Takes an empty pipe back.
    pub fn give(&mut self, pipe: P) {
        debug_assert!(self.usage.used > 0);
        self.usage.used -= 1;
        self.spares.put(pipe);
    }

    /// A lent pipe was closed, or could not be made.
    pub fn lost(&mut self) {
        debug_assert!(self.usage.used > 0);
        self.usage.used -= 1;
        self.usage.released += 1;
    }

    /// When [`Self::shrink`] should be called next.
    pub fn deadline(&self) -> Option<Instant> {
        self.spares.deadline()
    }

    /// Drops, which closes them, the pipes that were not needed for a while.
    pub fn shrink(&mut self, now: Instant) {
        self.usage.released += self.spares.shrink(now) as u64;
    }

    /// For `show pools`.
    pub fn usage(&self) -> Usage {
        Usage { spare: self.spares.len(), ..self.usage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_made_up_to_the_bound_and_then_data_is_copied() {
        let mut pool: PipePool<u32> = PipePool::new(2, Instant::now());
        assert_eq!(pool.take(), TakenPipe::Make);
        assert_eq!(pool.take(), TakenPipe::Make);
        assert_eq!(pool.take(), TakenPipe::Copy);
        pool.give(7);
        assert_eq!(pool.take(), TakenPipe::Pipe(7));
        assert_eq!(pool.take(), TakenPipe::Copy);
        pool.lost();
        assert_eq!(pool.take(), TakenPipe::Make);
        let usage = pool.usage();
        assert_eq!((usage.used, usage.peak, usage.made, usage.refused), (2, 2, 3, 2));
    }

    #[test]
    fn a_bound_of_zero_turns_splicing_off() {
        let mut pool: PipePool<u32> = PipePool::new(0, Instant::now());
        assert_eq!(pool.take(), TakenPipe::Copy);
    }

    #[test]
    fn spare_pipes_count_against_the_bound_and_go_when_unused() {
        let now = Instant::now();
        let mut pool = PipePool::new(10, now);
        assert!((0..10).all(|_| pool.take() == TakenPipe::Make));
        for pipe in 0..10 {
            pool.give(pipe);
        }
        pool.shrink(now + super::super::spares::INTERVAL);
        pool.shrink(now + super::super::spares::INTERVAL * 2);
        let usage = pool.usage();
        assert_eq!((usage.used, usage.spare), (0, super::super::spares::KEPT));
        assert_eq!(usage.made - usage.released, usage.spare as u64);
    }
}
