//! What the master says.
//!
//! Shell.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portolan_shared::message::wrapper::{FromWrapper, ToWrapper};

use super::Wrapper;
use crate::core::{Input, State};
use crate::master::Master;
use crate::timers::Timer;

/// Longest time that an upgrade may ask for.
const UPGRADE_MAX: Duration = Duration::from_secs(600);

impl Wrapper {
    /// As many of the master's messages as there are, at most this many.
    pub(super) fn handle_messages(&mut self, most: usize) {
        let mut acknowledged = None;
        for _ in 0..most {
            let Some((message, descriptors)) = self.master.as_mut().and_then(Master::receive)
            else {
                break;
            };
            if let ToWrapper::Keep { number, .. } = message {
                acknowledged = Some(number);
            }
            self.handle_message(message, descriptors);
        }
        // One for all of them: a master that keeps thousands need not read between.
        if let (Some(number), Some(master)) = (acknowledged, &mut self.master) {
            master.send(&FromWrapper::Acknowledged { number }, &[]);
        }
    }

    fn handle_message(&mut self, message: ToWrapper, descriptors: Vec<OwnedFd>) {
        match message {
            ToWrapper::Keep { number, name, value } => self.keep(number, &name, value, descriptors),
            ToWrapper::Drop { name } => {
                if self.store.forget(&name) {
                    self.parcel.forget(&name);
                }
            }
            ToWrapper::Ready { generation } => {
                self.set_at_work(false);
                self.notices.status(&format!("generation {generation} serves"));
                self.step(Input::Ready);
            }
            ToWrapper::Reloading => {
                self.obeyed(&[Signal::SIGUSR2, Signal::SIGHUP]);
                self.set_at_work(true);
                self.notices.reloading();
            }
            ToWrapper::Status(text) => self.notices.status(&text),
            ToWrapper::ReloadFailed(reason) => {
                self.set_at_work(false);
                if self.state == State::Serving {
                    self.notices.reload_failed(&reason);
                }
            }
            ToWrapper::Stopping => {
                self.obeyed(&[Signal::SIGUSR1]);
                self.step(Input::Stopping);
            }
            ToWrapper::Upgrading { deadline_ms } => {
                let within = Duration::from_millis(deadline_ms).min(UPGRADE_MAX);
                self.upgrade_takes = within;
                self.step(Input::Upgrading);
                if self.state == State::Upgrading {
                    self.notices.upgrading(within);
                    self.timers.set(Timer::Upgrade, Instant::now() + within);
                }
            }
            ToWrapper::UpgradeWrapper => self.step(Input::UpgradeWrapper),
            ToWrapper::Alive => {
                if let Some(master) = &mut self.master {
                    master.heard();
                }
                self.notices.heard();
            }
            ToWrapper::UpgradeAbandoned => self.step(Input::UpgradeAbandoned),
            ToWrapper::Adopted { nonce, .. } if nonce != self.nonce => {}
            ToWrapper::Adopted { generation, stopping, at_work, status, .. } => {
                self.set_at_work(at_work);
                let input = match generation {
                    _ if stopping => Input::AdoptedStopping,
                    0 => Input::AdoptedStarting,
                    _ if at_work => Input::AdoptedAtWork,
                    _ => Input::Adopted,
                };
                self.timers.clear(Timer::Adoption);
                self.step(input);
                if !status.is_empty() {
                    self.notices.status(&status);
                }
            }
        }
    }

    fn keep(&mut self, number: u64, name: &str, value: Vec<u8>, descriptors: Vec<OwnedFd>) {
        match self.store.keep(name.to_owned(), value, descriptors) {
            Ok(replaced) => {
                if let Some(kept) = self.store.get(name) {
                    self.parcel.keep(name, kept);
                }
                if replaced {
                    self.parcel.drop_former();
                }
            }
            Err(refusal) => {
                if let Some(master) = &mut self.master {
                    master.send(&FromWrapper::Refused { number, reason: refusal.to_string() }, &[]);
                }
            }
        }
    }

    fn set_at_work(&mut self, at_work: bool) {
        if let Some(master) = &mut self.master {
            master.set_at_work(at_work);
        }
    }
}
