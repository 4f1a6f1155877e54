//! What a process tells of its sandbox: what the system lacks, and what was refused.
//!
//! Shell.

use std::collections::BTreeMap;

use portolan_shared::log::{Kind, Log};
use portolan_shared::model::LogLevel;
use portolan_shared::sandbox::{Report, names};
use portolan_shared::sys::trap;

/// The sandbox of this process.
#[derive(Debug, Default)]
pub struct Confined {
    report: Report,
    /// Refused calls so far, as far as they were told.
    told: u32,
    /// The same by their numbers.
    by_number: BTreeMap<i64, u32>,
}

impl Confined {
    /// With these layers.
    pub fn new(report: Report) -> Self {
        Self { report, ..Self::default() }
    }

    /// Tells of layers that the system has not.
    pub fn tell_lack(&self, log: &mut Log) {
        for refused in &self.report.refused {
            let text = format_args!("a layer of the sandbox is not there: {refused}");
            log.say(LogLevel::Warning, text);
        }
    }

    /// Tells of calls that were refused since the last time.
    pub fn tell_refusals(&mut self, log: &mut Log) {
        let total = trap::total();
        if total == self.told {
            return;
        }
        self.told = total;
        for (number, count) in trap::refused() {
            if self.by_number.insert(number, count) != Some(count) {
                let name = names::name(number);
                let text = format_args!("the sandbox has refused {name}, {count} times so far");
                log.say_limited(Kind::Sandbox, LogLevel::Alert, text);
            }
        }
    }
}
