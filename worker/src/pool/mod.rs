//! What is lent to streams while data is under way: buffers, and pipes for splicing.
//!
//! Core: no I/O; time is an argument. Both pools lend what was used last first, count what is out
//! against a bound, and let go of what lay unused for a whole interval (`spares`).

mod buffers;
mod pipes;
mod spares;

pub use buffers::{Buffer, BufferPool, Taken, Ticket};
pub use pipes::{PipePool, TakenPipe};

/// A pool as `show pools` shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Lent now.
    pub used: usize,
    /// Lying ready.
    pub spare: usize,
    /// Who waits for one now.
    pub waiting: usize,
    /// Most that were lent at once.
    pub peak: usize,
    /// Most that may be lent at once; `None`: no bound.
    pub limit: Option<usize>,
    /// Made over all time.
    pub made: u64,
    /// Lent over all time.
    pub lent: u64,
    /// How often there was none to lend.
    pub refused: u64,
    /// Let go of after a peak.
    pub released: u64,
}
