//! How processes ended, and the line that says so.
//!
//! Shell.
//!
//! - Of a worker that died by a fault, or whose loop stood still, what it had read last is kept.
//! - Our own children we reap. Those that a former master had started are the wrapper's, which tells how
//!   they ended ([`FromWrapper::Reaped`](portolan_shared::message::wrapper::FromWrapper::Reaped)): only
//!   the line waits for that, at most [`PATIENCE`]; whatever is to be done about an end is done at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use portolan_shared::model::LogLevel;

use crate::captures::Capture;
use crate::ending::Ending;
use crate::master::Master;

/// How long a line waits for the wrapper's word. Without it the wrapper has been replaced, and who ended
/// was another's child.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whose end is to be told.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its number.
    pub pid: i32,
    /// `Current worker`, `Former checker` …
    pub who: String,
    /// Whether it was to leave.
    pub meant: bool,
    /// Why it says it could not start.
    pub failed: Option<String>,
    /// Its loop stood still, and we have killed it.
    pub hung: bool,
    /// What it had read last, if it is one that reads what strangers send.
    pub capture: Option<Box<Capture>>,
}

/// Ends of which one half is known.
#[derive(Debug, Default)]
pub struct Obituaries {
    /// They have ended, nobody has said how.
    untold: BTreeMap<i32, (Ended, Instant)>,
    /// The wrapper has said how, their end was not seen yet.
    reaped: BTreeMap<i32, i32>,
}

impl Obituaries {
    /// When a line is told as it is.
    pub fn due(&self) -> Option<Instant> {
        self.untold.values().map(|(_, due)| *due).min()
    }
}

impl Master {
    /// A process has ended, as its pidfd says; `ending` as far as we know it ourselves.
    pub fn tell_end(&mut self, ended: Ended, ending: Ending, now: Instant) {
        if ending.is_known() || !self.link.is_wrapped() {
            return self.say_end(&ended, ending);
        }
        match self.obituaries.reaped.remove(&ended.pid) {
            Some(status) => self.say_end(&ended, Ending::of_status(status)),
            None => {
                self.obituaries.untold.insert(ended.pid, (ended, now + PATIENCE));
            }
        }
    }

    /// The wrapper says how a process ended.
    pub fn handle_reaped(&mut self, pid: i32, status: i32) {
        if let Some((ended, _)) = self.obituaries.untold.remove(&pid) {
            self.say_end(&ended, Ending::of_status(status));
        } else if self.workers.values().any(|worker| worker.pid == pid) {
            self.obituaries.reaped.insert(pid, status);
        }
    }

    /// Tells what nobody has said anything about.
    pub fn expire_obituaries(&mut self, now: Instant) {
        let late: Vec<i32> = (self.obituaries.untold.iter())
            .filter(|(_, (_, due))| *due <= now)
            .map(|(pid, _)| *pid)
            .collect();
        for pid in late {
            if let Some((ended, _)) = self.obituaries.untold.remove(&pid) {
                self.say_end(&ended, Ending::unknown());
            }
        }
    }

    fn say_end(&mut self, ended: &Ended, ending: Ending) {
        let clean = ending.is_clean() || ended.meant;
        let level = if clean { LogLevel::Notice } else { LogLevel::Alert };
        let why = ended.failed.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        self.say(level, &format!("{} ({}) {ending}{why}", ended.who, ended.pid));
        if let Some(capture) = &ended.capture
            && (ending.is_fault() || ended.hung)
        {
            let capture = Capture { ending: ending.to_string(), ..(**capture).clone() };
            let words = capture.words();
            let read = (capture.last.count > 0).then(|| capture.read() + " (show captures)");
            for line in words.into_iter().chain(read) {
                self.say(LogLevel::Alert, &format!("Worker ({}): {line}", ended.pid));
            }
            self.captures.push(capture);
        }
    }
}
