//! The plain poller: everything through the `polling` crate.
//!
//! Shell. Level-triggered, so that what was not read is reported again; portable to every kernel the
//! crate knows. A connection of which nothing is wanted stays in, so that its failure is reported.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::time::Duration;

use ::polling::{Events, PollMode, Poller};

use super::{Event, level_bits};
use crate::descriptor::{Belongs, Change, Descriptor, READ, Token, WRITE};

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

    pub fn update<O: Belongs>(
        &mut self,
        descriptor: &Descriptor<O>,
        change: Change,
    ) -> io::Result<()> {
        let interest = ::polling::Event::new(
            change.token.to_bits() as usize,
            change.new & READ != 0,
            change.new & WRITE != 0,
        );
        let watched_always = descriptor.is_connection() && !descriptor.hung;
        if change.new == 0 && !watched_always {
            return self.poller.delete(descriptor);
        }
        match self.poller.modify_with_mode(descriptor, interest, PollMode::Level) {
            Err(error) if change.old == 0 && error.kind() == io::ErrorKind::NotFound => {
                portolan_shared::sys::poller::add(&self.poller, descriptor.as_fd(), interest)
            }
            result => result,
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
