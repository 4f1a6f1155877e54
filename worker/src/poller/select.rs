//! select(2): descriptors below 1,024 only, which is why it is refused at start when more are allowed.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::sys::select::{FD_SETSIZE, FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};

use super::{Event, level_bits};
use crate::descriptor::{Belongs, Descriptors, READ, WRITE};

pub fn test() -> bool {
    select(0, None, None, None, &mut TimeVal::seconds(0)).is_ok()
}

/// Refused where a descriptor could be too large for it.
pub fn init() -> io::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if limit.is_none_or(|limit| limit > FD_SETSIZE as u64) {
        let limit = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        return Err(io::Error::other(format!(
            "the descriptor limit is {limit}, select takes descriptors below {FD_SETSIZE} only"
        )));
    }
    if test() { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

pub fn wait<O: Belongs>(
    table: &Descriptors<O>,
    timeout: Option<Duration>,
    events: &mut Vec<Event>,
) -> io::Result<()> {
    let (mut reads, mut writes) = (FdSet::new(), FdSet::new());
    let mut highest = -1;
    let polled = || table.iter().filter(|(_, descriptor)| descriptor.polled() != 0);
    for (_, descriptor) in polled() {
        highest = highest.max(descriptor.as_fd().as_raw_fd());
        if descriptor.polled() & READ != 0 {
            reads.insert(descriptor.as_fd());
        }
        if descriptor.polled() & WRITE != 0 {
            writes.insert(descriptor.as_fd());
        }
    }
    let mut timeout = timeout.map(|timeout| TimeVal::microseconds(timeout.as_micros() as i64));
    // The third set would tell of urgent data only.
    select(highest + 1, &mut reads, &mut writes, None, timeout.as_mut())?;
    for (token, descriptor) in polled() {
        let bits = level_bits(
            reads.contains(descriptor.as_fd()),
            writes.contains(descriptor.as_fd()),
            false,
            false,
        );
        if bits != 0 {
            events.push(Event { token, bits });
        }
    }
    Ok(())
}
