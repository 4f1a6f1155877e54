//! poll(2): the list is made from the table at every wait.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{Event, level_bits};
use crate::descriptor::{Belongs, Descriptors, READ, WRITE};

pub fn test() -> bool {
    rustix::event::poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
}

pub fn wait<O: Belongs>(
    table: &Descriptors<O>,
    timeout: Option<Duration>,
    events: &mut Vec<Event>,
) -> io::Result<()> {
    let mut tokens = Vec::new();
    let mut list = Vec::new();
    for (token, descriptor) in table.iter().filter(|(_, descriptor)| {
        // A connection of which nothing is wanted may fail all the same.
        descriptor.polled() != 0 || (descriptor.is_connection() && !descriptor.hung)
    }) {
        let mut flags = PollFlags::empty();
        if descriptor.polled() & READ != 0 {
            flags |= PollFlags::IN | PollFlags::RDHUP;
        }
        if descriptor.polled() & WRITE != 0 {
            flags |= PollFlags::OUT;
        }
        tokens.push(token);
        list.push(PollFd::new(descriptor, flags));
    }
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: timeout.subsec_nanos().into(),
    });
    rustix::event::poll(&mut list, timeout.as_ref())?;
    for (token, ready) in tokens.into_iter().zip(&list) {
        let flags = ready.revents();
        if flags.is_empty() {
            continue;
        }
        let bits = level_bits(
            flags.intersects(PollFlags::IN | PollFlags::RDHUP),
            flags.intersects(PollFlags::OUT),
            flags.intersects(PollFlags::HUP),
            flags.intersects(PollFlags::ERR | PollFlags::NVAL),
        );
        events.push(Event { token, bits });
    }
    Ok(())
}
