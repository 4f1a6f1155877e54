//! What the service manager is told, and was told.
//!
//! Shell. A manager that cannot be reached is no reason to stop serving: it is mentioned once.

use std::io;
use std::time::Duration;

use portolan_shared::notify::Notifier;

use crate::log;
use crate::parcel::Missing;

/// The way to it, and what is not to be said twice.
#[derive(Debug)]
pub struct Notices {
    notifier: Notifier,
    /// The watchdog waits for the master's next word.
    owed: bool,
    /// The master has spoken since the watchdog was fed last.
    heard: bool,
    stopping: bool,
    failed: bool,
    refused: bool,
}

impl Notices {
    /// Within how much time the watchdog wants to be fed.
    pub fn watchdog(&self) -> Option<Duration> {
        self.notifier.watchdog()
    }

    /// Nothing was said yet.
    pub fn new(notifier: Notifier) -> Self {
        let (owed, heard, stopping, failed, refused) = (false, false, false, false, false);
        Self { notifier, owed, heard, stopping, failed, refused }
    }

    /// The way to it.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// The service serves.
    pub fn ready(&mut self) {
        self.heard();
        let sent = self.notifier.ready(std::process::id());
        self.check(sent);
    }

    /// A reload has begun.
    pub fn reloading(&mut self) {
        let sent = self.notifier.reloading();
        self.check(sent);
    }

    /// What people are shown.
    pub fn status(&mut self, text: &str) {
        let sent = self.notifier.status(text);
        self.check(sent);
    }

    /// A reload is over, the old generation serves on.
    pub fn reload_failed(&mut self, reason: &str) {
        self.ready();
        self.status(&format!("reload failed: {reason}"));
    }

    /// An upgrade may take this long.
    pub fn upgrading(&mut self, within: Duration) {
        let sent = self.notifier.extend(within);
        self.check(sent);
    }

    /// The service stops; said once.
    pub fn stopping(&mut self) {
        if !std::mem::replace(&mut self.stopping, true) {
            let sent = self.notifier.stopping();
            self.check(sent);
        }
    }

    /// The master has spoken.
    pub fn heard(&mut self) {
        self.heard = true;
        if self.owed {
            self.feed_watchdog(false);
        }
    }

    /// The watchdog is told that all is well if the master said so, or where its time is `bounded`
    /// otherwise; else it is told with the master's next word.
    pub fn feed_watchdog(&mut self, bounded: bool) {
        let well = std::mem::take(&mut self.heard) || bounded;
        self.owed = !well;
        if well {
            let sent = self.notifier.alive();
            self.check(sent);
        }
    }

    /// For some time now it has not had what another wrapper would need.
    pub fn not_stored(&mut self, why: &Missing) {
        if !std::mem::replace(&mut self.refused, true) {
            log::warning(format_args!(
                "the service manager does not have all that another wrapper would need: {why}; it is tried \
                 again, and until then a restart, or wrapper and master killed at once, may lose listening sockets"
            ));
        }
    }

    /// It has all of it.
    pub fn stored(&mut self) {
        if std::mem::take(&mut self.refused) {
            log::notice("the service manager has all that another wrapper would need once more");
        }
    }

    /// A manager that does not listen is mentioned once.
    fn check(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !std::mem::replace(&mut self.failed, true)
        {
            log::warning(format_args!("cannot notify the service manager: {error}"));
        }
    }
}
