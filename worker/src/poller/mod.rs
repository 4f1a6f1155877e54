//! What tells the loop which descriptors are ready: four backends behind one interface.
//!
//! | name | preference | reports | stands on |
//! | --- | --- | --- | --- |
//! | `epoll` | 300 | edges for connections, levels for listeners, and the end of a peer's sending | the descriptor of the `polling` crate, spoken to directly |
//! | `polling` | 250 | levels | the `polling` crate alone: five system calls a wait, portable |
//! | `poll` | 200 | levels | poll(2) |
//! | `select` | 150 | levels, descriptors below 1,024 only | select(2) |
//!
//! - The first by preference that is not turned off and whose test succeeds is used.
//! - `edges` says how the loop must read: after an edge until a short read (unless the end was
//!   reported) or EAGAIN; a level is reported again by itself.
//! - A wait ends at the nearest deadline, rounded up to the millisecond, so that no wait returns just
//!   before it.

mod epoll;
mod poll;
mod polling;
mod select;

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::descriptor::{Belongs, Change, Descriptors, READ, Token, WRITE};

/// What was reported of one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which.
    pub token: Token,
    /// [`READ`], [`WRITE`], [`HUNG`], [`FAILED`].
    pub bits: u8,
}

/// The peer ended its sending, hung up, or the descriptor failed, or urgent data is in the way: reads
/// go on to the end.
pub const HUNG: u8 = 4;
/// The descriptor failed.
pub const FAILED: u8 = 8;

/// A kind of poller, for the table and for `-vv`.
#[derive(Debug)]
pub struct Kind {
    /// As options and `-vv` name it.
    pub name: &'static str,
    /// The highest that works is used.
    pub preference: u16,
    /// Whether it works here.
    pub test: fn() -> bool,
    init: fn(events_max: usize) -> io::Result<Backend>,
}

/// All kinds, most preferred first.
pub static KINDS: [Kind; 4] = [
    Kind {
        name: "epoll",
        preference: 300,
        test: || epoll::Epoll::new(1).is_ok(),
        init: |events_max| epoll::Epoll::new(events_max).map(Backend::Epoll),
    },
    Kind {
        name: "polling",
        preference: 250,
        test: || polling::Polling::new(1).is_ok(),
        init: |events_max| polling::Polling::new(events_max).map(Backend::Polling),
    },
    Kind { name: "poll", preference: 200, test: poll::test, init: |_| Ok(Backend::Poll) },
    Kind {
        name: "select",
        preference: 150,
        test: select::test,
        init: |_| select::init().map(|()| Backend::Select),
    },
];

#[derive(Debug)]
enum Backend {
    Epoll(epoll::Epoll),
    Polling(polling::Polling),
    Poll,
    Select,
}

/// The poller in use.
#[derive(Debug)]
pub struct Poller {
    kind: &'static Kind,
    backend: Backend,
    events_max: usize,
}

impl Poller {
    /// The most preferred that is not turned off and works.
    pub fn choose(disabled: &[String], events_max: usize) -> io::Result<Self> {
        let mut reason = io::Error::other("every poller is turned off");
        for kind in &KINDS {
            if disabled.iter().any(|name| name == kind.name) {
                continue;
            }
            match (kind.init)(events_max) {
                Ok(backend) => return Ok(Self { kind, backend, events_max }),
                Err(error) => {
                    reason = io::Error::new(error.kind(), format!("{}: {error}", kind.name));
                }
            }
        }
        Err(reason)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.kind.name
    }

    /// Whether connections are reported by edges.
    pub fn edges(&self) -> bool {
        matches!(self.backend, Backend::Epoll(_))
    }

    /// Whether a failed connection is told from one that can be written to.
    pub fn reports_failures(&self) -> bool {
        !matches!(self.backend, Backend::Select)
    }

    /// Opens the kernel's object anew, as after a fork; everything has to be told again.
    pub fn fork<O: Belongs>(&mut self, table: &mut Descriptors<O>) -> io::Result<()> {
        self.backend = (self.kind.init)(self.events_max)?;
        table.poll_anew();
        Ok(())
    }

    /// Tells one difference.
    pub fn update<O: Belongs>(&mut self, table: &Descriptors<O>, change: Change) -> io::Result<()> {
        let Some(descriptor) = table.get(change.token) else { return Ok(()) };
        match &mut self.backend {
            Backend::Epoll(epoll) => epoll.update(descriptor, change),
            Backend::Polling(polling) => polling.update(descriptor, change),
            Backend::Poll | Backend::Select => Ok(()),
        }
    }

    /// Takes a descriptor out that may be open in another process: closing it would not.
    pub fn forget(&mut self, descriptor: &impl AsFd) {
        match &mut self.backend {
            Backend::Epoll(epoll) => epoll.forget(descriptor),
            Backend::Polling(polling) => polling.forget(descriptor),
            Backend::Poll | Backend::Select => {}
        }
    }

    /// Waits until something is ready or the time is over; interrupted waits report nothing.
    pub fn wait<O: Belongs>(
        &mut self,
        table: &Descriptors<O>,
        timeout: Option<Duration>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        events.clear();
        let result = match &mut self.backend {
            Backend::Epoll(epoll) => epoll.wait(timeout, events),
            Backend::Polling(polling) => polling.wait(timeout, events),
            Backend::Poll => poll::wait(table, timeout, events),
            Backend::Select => select::wait(table, timeout, events),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }
}

/// What level-triggered events mean: errors and hang-ups wake both directions that are wanted.
#[expect(clippy::fn_params_excessive_bools, reason = "what the kernel says, one by one")]
fn level_bits(readable: bool, writable: bool, hung: bool, failed: bool) -> u8 {
    let mut bits = 0;
    if readable {
        bits |= READ;
    }
    if writable {
        bits |= WRITE;
    }
    if hung {
        bits |= READ | WRITE | HUNG;
    }
    if failed {
        bits |= READ | WRITE | HUNG | FAILED;
    }
    bits
}

/// The lines of `-vv` about pollers, `disabled` shown with preference 0.
pub fn describe(disabled: &[String]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("Available polling systems:\n");
    let mut used = None;
    for kind in &KINDS {
        let off = disabled.iter().any(|name| name == kind.name);
        let works = (kind.test)();
        let result = match (off, works) {
            (true, _) => "disabled",
            (false, true) => "test result OK",
            (false, false) => "test result FAILED",
        };
        if used.is_none() && !off && works {
            used = Some(kind.name);
        }
        let preference = if off { 0 } else { kind.preference };
        let _ = writeln!(text, "{:>10} : pref={preference:3},  {result}", kind.name);
    }
    let usable = KINDS
        .iter()
        .filter(|kind| !disabled.iter().any(|name| name == kind.name) && (kind.test)())
        .count();
    let _ = writeln!(
        text,
        "Total: {} ({usable} usable), will use {}.",
        KINDS.len(),
        used.unwrap_or("none")
    );
    text
}

#[cfg(test)]
mod tests;
