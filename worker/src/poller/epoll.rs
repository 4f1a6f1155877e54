//! The preferred poller: the epoll descriptor that the `polling` crate made, spoken to directly.
//!
//! Shell. The crate cannot ask for RDHUP, makes five system calls a wait, and retries on EINTR; this
//! makes one epoll_wait a cycle and one epoll_ctl in a connection's life.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::{Event, FAILED, HUNG};
use crate::descriptor::{Belongs, Change, Descriptor, READ, Token, WRITE};

/// The kernel's list and room for what it reports.
pub struct Epoll {
    poller: ::polling::Poller,
    list: Vec<epoll::Event>,
}

impl std::fmt::Debug for Epoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoll").field("poller", &self.poller).finish_non_exhaustive()
    }
}

impl Epoll {
    pub fn new(events_max: usize) -> io::Result<Self> {
        Ok(Self { poller: ::polling::Poller::new()?, list: Vec::with_capacity(events_max.max(1)) })
    }

    pub fn update<O: Belongs>(
        &mut self,
        descriptor: &Descriptor<O>,
        change: Change,
    ) -> io::Result<()> {
        let data = EventData::new_u64(change.token.to_bits());
        let flags = flags(descriptor, change.new);
        match (change.old, change.new) {
            (0, _) => epoll::add(&self.poller, descriptor, data, flags)?,
            (_, 0) => epoll::delete(&self.poller, descriptor)?,
            _ => epoll::modify(&self.poller, descriptor, data, flags)?,
        }
        Ok(())
    }

    pub fn forget(&mut self, descriptor: &impl AsFd) {
        // Not being in the list is what is asked for.
        let _ = epoll::delete(&self.poller, descriptor);
    }

    pub fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        self.list.clear();
        epoll::wait(&self.poller, spare_capacity(&mut self.list), timeout.as_ref())?;
        events.extend(self.list.iter().map(|event| Event {
            token: Token::from_bits(event.data.u64()),
            bits: bits(event.flags),
        }));
        Ok(())
    }
}

fn flags<O: Belongs>(descriptor: &Descriptor<O>, want: u8) -> EventFlags {
    if descriptor.edge() {
        let reads = EventFlags::IN | EventFlags::RDHUP | EventFlags::PRI;
        return reads | EventFlags::OUT | EventFlags::ET;
    }
    let mut flags = EventFlags::empty();
    if want & READ != 0 {
        flags |= EventFlags::IN | EventFlags::RDHUP;
    }
    if want & WRITE != 0 {
        flags |= EventFlags::OUT;
    }
    flags
}

fn bits(flags: EventFlags) -> u8 {
    let mut bits = 0;
    if flags.intersects(EventFlags::IN) {
        bits |= READ;
    }
    if flags.intersects(EventFlags::OUT) {
        bits |= WRITE;
    }
    // Reads stop short at urgent data although more lies behind it.
    if flags.intersects(EventFlags::RDHUP | EventFlags::PRI) {
        bits |= READ | HUNG;
    }
    if flags.intersects(EventFlags::HUP) {
        bits |= READ | WRITE | HUNG;
    }
    if flags.intersects(EventFlags::ERR) {
        bits |= READ | WRITE | HUNG | FAILED;
    }
    bits
}
