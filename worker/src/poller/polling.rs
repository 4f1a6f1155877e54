//! The plain poller: everything through the `polling` crate.
//!
//! Shell. Level-triggered, so that what was not read is reported again; portable to every kernel the
//! crate knows.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::time::Duration;

use ::polling::{Events, PollMode, Poller};

use super::{Event, level_bits};
use crate::descriptor::{Change, Descriptor, READ, Token, WRITE};

/// The crate's poller and room for what it reports.
#[derive(Debug)]
pub struct Polling {
    poller: Poller,
    events: Events,
}

impl Polling {
    pub fn new(events_max: usize) -> io::Result<Self> {
        let poller = Poller::new()?;
        if !poller.supports_level() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let capacity = NonZeroUsize::new(events_max).unwrap_or(NonZeroUsize::MIN);
        Ok(Self { poller, events: Events::with_capacity(capacity) })
    }

    pub fn update(&mut self, descriptor: &Descriptor, change: Change) -> io::Result<()> {
        let interest = ::polling::Event::new(
            change.token.to_bits() as usize,
            change.new & READ != 0,
            change.new & WRITE != 0,
        );
        match (change.old, change.new) {
            (0, _) => portolan_shared::sys::poller::add(&self.poller, descriptor.as_fd(), interest),
            (_, 0) => self.poller.delete(descriptor),
            _ => self.poller.modify_with_mode(descriptor, interest, PollMode::Level),
        }
    }

    pub fn forget(&mut self, descriptor: &impl AsFd) {
        // Not being in the list is what is asked for.
        let _ = self.poller.delete(descriptor);
    }

    pub fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        self.events.clear();
        self.poller.wait(&mut self.events, timeout)?;
        events.extend(self.events.iter().map(|event| Event {
            token: Token::from_bits(event.key as u64),
            bits: level_bits(
                event.readable,
                event.writable,
                event.is_interrupt(),
                event.is_err().unwrap_or(false),
            ),
        }));
        Ok(())
    }
}
