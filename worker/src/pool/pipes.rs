//! Pipes for splicing: pooled, and bounded over all workers by the share each gets.
//!
//! Shell: a pipe is two descriptors. A pipe that still holds bytes is closed, never reused; nor is one that
//! came from another process, which may have kept its ends and would hear what others say.
//!
//! Limits: a pipe holds the first of [`CAPACITIES`] that the system allows (`fs.pipe-max-size`, and per user
//! `fs.pipe-user-pages-soft`), else what it gives (64 kB, or a page or two past the user's bound).

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::clock::Millis;
use crate::pool::buffers::SHRINK_MS;

/// Bytes asked for one pipe, the larger first: they only take memory while they are full, and fewer
/// system calls move the same bytes.
const CAPACITIES: [usize; 2] = [1024 * 1024, 256 * 1024];

/// A pipe without bytes in it, or lent to a direction that keeps count of them.
#[derive(Debug)]
pub struct Pipe {
    /// Where bytes come out.
    pub reader: OwnedFd,
    /// Where bytes go in.
    pub writer: OwnedFd,
    /// Nobody else has its ends.
    own: bool,
}

/// The pool.
#[derive(Debug)]
pub struct Pipes {
    limit: usize,
    free: Vec<Pipe>,
    out: usize,
    out_max: usize,
    idle_min: usize,
    looked: Millis,
    failures: u64,
}

impl Pipes {
    /// At most `limit` pipes; 0 turns splicing off.
    pub fn new(limit: usize, now: Millis) -> Self {
        Self { limit, free: Vec::new(), out: 0, out_max: 0, idle_min: 0, looked: now, failures: 0 }
    }

    /// A pipe, or `None` where the bound or the system has none: then one copies.
    pub fn take(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.free.pop() {
            self.idle_min = self.idle_min.min(self.free.len());
            self.count();
            return Some(pipe);
        }
        if self.out >= self.limit {
            self.failures += 1;
            return None;
        }
        let Ok((reader, writer)) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC) else {
            self.failures += 1;
            return None;
        };
        // A smaller one works as well, only slower.
        let _ = CAPACITIES.iter().find(|size| fcntl_setpipe_size(&writer, **size).is_ok());
        self.count();
        Some(Pipe { reader, writer, own: true })
    }

    /// A pipe with bytes in it that came from another process, and counts here from now on, if need be
    /// beyond the bound.
    pub fn adopt(&mut self, reader: OwnedFd, writer: OwnedFd) -> Pipe {
        self.count();
        Pipe { reader, writer, own: false }
    }

    /// Takes one back; one that still holds bytes is closed.
    pub fn give(&mut self, pipe: Pipe, held: u32) {
        self.out -= 1;
        if held == 0 && pipe.own && self.free.len() + self.out < self.limit {
            self.free.push(pipe);
        }
    }

    /// Closes half of the pipes that were never needed lately.
    pub fn shrink(&mut self, now: Millis) {
        if now - self.looked < SHRINK_MS {
            return;
        }
        let surplus = self.idle_min.min(self.free.len());
        self.free.truncate(self.free.len() - surplus.div_ceil(2));
        self.looked = now;
        self.idle_min = self.free.len();
    }

    /// Descriptors of idle pipes can be had for connections.
    pub fn close_idle(&mut self) {
        self.free.clear();
    }

    /// For `show pools`: out, idle, most ever out, how often there was none.
    pub fn figures(&self) -> (usize, usize, usize, u64) {
        (self.out, self.free.len(), self.out_max, self.failures)
    }

    fn count(&mut self) {
        self.out += 1;
        self.out_max = self.out_max.max(self.out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_an_empty_pipe_is_used_again() {
        let mut pool = Pipes::new(1, 0);
        let pipe = pool.take().unwrap();
        assert!(pool.take().is_none());
        pool.give(pipe, 0);
        assert_eq!(pool.figures(), (0, 1, 1, 1));
        assert!(pool.take().is_some());
    }

    #[test]
    fn a_pipe_with_bytes_in_it_is_closed() {
        let mut pool = Pipes::new(4, 0);
        let pipe = pool.take().unwrap();
        pool.give(pipe, 1);
        assert_eq!(pool.figures(), (0, 0, 1, 0));
    }

    #[test]
    fn a_pipe_from_elsewhere_is_lent_to_nobody_else() {
        let mut pool = Pipes::new(4, 0);
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let pipe = pool.adopt(reader, writer);
        pool.give(pipe, 0);
        assert_eq!((pool.figures().0, pool.figures().1), (0, 0));
    }

    #[test]
    fn a_pipe_from_elsewhere_counts_and_is_not_kept_beyond_the_bound() {
        let mut pool = Pipes::new(1, 0);
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let own = pool.take().unwrap();
        let pipe = pool.adopt(reader, writer);
        assert_eq!(pool.figures().0, 2);
        pool.give(pipe, 0);
        pool.give(own, 0);
        assert_eq!((pool.figures().0, pool.figures().1), (0, 1));
    }

    #[test]
    fn no_limit_means_no_pipe() {
        assert!(Pipes::new(0, 0).take().is_none());
    }
}
