//! What streams borrow: buffers for what the other side did not take, pipes for bulk.
//!
//! Core, but that pipes are descriptors.

mod buffers;
mod pipes;

pub use buffers::{Buffer, Buffers};
pub use pipes::{Pipe, Pipes};
