//! The one call of the `polling` crate that it marks as unsafe.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use polling::{Event, PollMode, Poller};

/// Adds a descriptor, level-triggered.
///
/// The crate asks that it is deleted before it is closed. Where an owner closes it all the same, every
/// kernel interface behind the crate forgets it by itself or reports events for a number without an
/// owner, which the versions in our tokens filter out; no memory is touched through it.
pub fn add(poller: &Poller, fd: BorrowedFd<'_>, interest: Event) -> io::Result<()> {
    // SAFETY: the descriptor is open (borrowed) and the poller keeps its number only, see above.
    unsafe { poller.add_with_mode(fd.as_raw_fd(), interest, PollMode::Level) }
}
