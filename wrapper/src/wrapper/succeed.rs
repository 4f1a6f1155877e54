//! A wrapper after another one: what it leaves for the next, and how that one takes over.
//!
//! Shell. What is left, and where it lies, is in [`crate::parcel`].
//!
//! - A master that lives is asked who it is ([`FromWrapper::Adopt`](portolan_shared::message::wrapper)), after
//!   all of a start's greeting: it may have been about to start, and the greeting may have been cut.
//! - Of a set that never served, and whose master has ended, nothing but listening sockets is taken.
//! - A wrapper that leaves by itself leaves nothing but listening sockets.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use portolan_shared::message::wrapper::{LISTENER, SILENCE_AT_WORK_MAX, SILENCE_MAX};

use super::{Wrapper, monotonic_ms};
use crate::backoff::BackOff;
use crate::children;
use crate::core::{Input, State};
use crate::log;
use crate::master::Master;
use crate::parcel::{Contents, Facts, View};
use crate::store::Store;
use crate::timers::Timer;

/// How long what was dropped may stay open with the service manager: what is dropped together is closed
/// together.
pub(super) const PACK_DELAY: Duration = Duration::from_millis(100);
/// When it is tried again where it failed: at first after [`PACK_DELAY`], then after twice as long each time, up to
/// this. What was in the way may be gone in a moment, as descriptors that were just sent to workers.
const PACK_AGAIN_MAX: Duration = Duration::from_secs(30);
/// From so long on between two attempts it is no moment any more, and is told.
const PACK_PATIENCE: Duration = Duration::from_secs(1);

impl Wrapper {
    /// Goes on where another wrapper was killed.
    pub(super) fn succeed(&mut self, left: Contents) {
        let Contents { store, upgrade, master, facts, .. } = left;
        let lives = master.as_ref().is_some_and(|former| !children::has_ended(&former.pidfd));
        self.served = facts.served;
        if !lives && !facts.served {
            return self.begin_after_nothing(store);
        }
        self.store = store;
        self.before_upgrade = upgrade;
        self.starts = facts.starts;
        self.backoff = BackOff { deaths: facts.deaths };
        self.kept_signals = facts.signals;
        self.master = master.map(Master::adopt);
        self.state = match facts.draining {
            Some(status) => State::Draining { status },
            None if self.before_upgrade.is_some() => State::Upgrading,
            None => State::Adopting { first: !facts.served },
        };
        if self.drains() {
            self.notices.ready();
            self.notices.stopping();
            return self.pack();
        }
        self.pack();
        if !lives {
            self.master = None;
            self.last_life = None;
            log::alert("the master ended while there was no wrapper");
            return self.step(Input::Ended);
        }
        self.ask_master(facts.at_work || !facts.served);
    }

    /// A first start has failed with its wrapper: another one, with the sockets that may be bound already.
    fn begin_after_nothing(&mut self, mut store: Store) {
        children::kill_all(&self.foreign, &store.pidfds());
        store.retain(|name, _| name.starts_with(LISTENER));
        self.store.extend(store);
        self.pack();
        self.start();
    }

    fn ask_master(&mut self, at_work: bool) {
        let now = Instant::now();
        let seconds = if at_work { SILENCE_AT_WORK_MAX } else { SILENCE_MAX };
        self.nonce = nonce();
        let Some(master) = &mut self.master else { return };
        let pid = master.pid();
        log::notice(format_args!("a wrapper has died; taking over the master ({pid})"));
        master.set_at_work(at_work);
        master.greet(self.starts, &self.store, self.parcel.is_there());
        master.ask(self.nonce);
        if let Some((_, until_ms)) = &self.before_upgrade {
            let left = Duration::from_millis(until_ms.saturating_sub(monotonic_ms()));
            self.timers.set(Timer::Upgrade, now + left);
        } else if self.master.as_ref().is_some_and(|master| master.channel().is_some()) {
            self.timers.set(Timer::Adoption, now + Duration::from_secs(seconds.into()));
        } else {
            self.step(Input::AdoptionExpired);
        }
    }

    /// Notes for the next wrapper what has changed, besides what is kept.
    pub(super) fn note(&mut self) {
        let facts = self.facts();
        let pid = self.master.as_ref().map(Master::pid);
        if self.noted.0 != pid {
            let known = self.parcel.master(self.master.as_ref().map(Master::view));
            self.noted.0 = pid;
            if !known {
                self.pack();
            }
        }
        if self.noted.1 != facts {
            self.parcel.facts(&facts);
            self.noted.1 = facts;
        }
        if self.parcel.is_outdated() {
            self.timers.want(Timer::Pack, Instant::now() + PACK_DELAY);
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            starts: self.starts,
            deaths: self.backoff.deaths,
            served: self.served,
            at_work: self.master.as_ref().is_some_and(Master::is_at_work),
            signals: self.kept_signals.clone(),
            draining: match self.state {
                State::Draining { status } => Some(status),
                _ => None,
            },
        }
    }

    /// Puts everything anew where the next wrapper finds it, and so closes what was dropped.
    pub(super) fn pack(&mut self) {
        let facts = self.facts();
        let view = View {
            store: &self.store,
            upgrade: self.before_upgrade.as_ref().map(|(store, until_ms)| (store, *until_ms)),
            program: Some(self.program.as_fd()),
            master: self.master.as_ref().map(Master::view),
            facts: &facts,
        };
        let packed = self.parcel.pack(self.notices.notifier(), &view);
        self.noted = (self.master.as_ref().map(Master::pid), facts);
        match packed {
            Ok(()) => {
                self.notices.stored();
                self.pack_again = PACK_DELAY;
                self.timers.clear(Timer::Pack);
            }
            Err(why) => {
                if self.pack_again >= PACK_PATIENCE {
                    self.notices.not_stored(&why);
                }
                self.timers.set(Timer::Pack, Instant::now() + self.pack_again);
                self.pack_again = (self.pack_again * 2).min(PACK_AGAIN_MAX);
            }
        }
    }

    /// We leave: who comes next begins anew, with listening sockets in which clients may wait.
    pub(super) fn end_parcel(&mut self) {
        self.store.retain(|name, _| name.starts_with(LISTENER));
        self.before_upgrade = None;
        self.parcel.forget_all_but(self.notices.notifier(), &self.store);
    }
}

/// A number that no other wrapper has used.
fn nonce() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(length) if length == bytes.len() => u64::from_ne_bytes(bytes),
        _ => monotonic_ms() ^ (u64::from(std::process::id()) << 32),
    }
}
