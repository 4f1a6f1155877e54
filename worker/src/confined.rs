//! What a process tells of its sandbox: what the system lacks, what was refused, and how it stands.
//!
//! Shell.
//!
//! `show sandbox` prints, for each process, lines of a key, a colon and a value:
//!
//! | key | value |
//! | --- | --- |
//! | `process` | as `ps` names it |
//! | `user`, `group`, `groups` | numbers, `groups` those beside the first |
//! | `capabilities` | names, or `none` |
//! | `no_new_privileges` | `yes` or `no` |
//! | `filter` | what its filter of system calls lets through, or `none` |
//! | `landlock` | files, and ports that it may bind and connect to, or `none` |
//! | `landlock_version` | the kernel's; 0: it has none |
//! | `not_given` | a layer that the system does not give, and why; a line for each |
//! | `descriptors` | how many are open, and of each kind how many |
//! | `refused_calls` | how many calls its filter has refused (of workers and the checker, whose filter counts) |
//! | `refused` | a call, its number, how often; a line for each |

use std::collections::BTreeMap;
use std::fmt::Write as _;

use portolan_shared::log::{Kind, Log};
use portolan_shared::model::LogLevel;
use portolan_shared::sandbox::{Report, names};
use portolan_shared::sys::{descriptors, trap};

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

    /// All of it, for people.
    pub fn show(&self, name: &str) -> String {
        let mut text = format!("process: {name}\n{}", self.report);
        // A string takes everything.
        let _ = writeln!(text, "descriptors: {}", descriptors::counted(&descriptors::kinds()));
        let _ = writeln!(text, "refused_calls: {}", trap::total());
        for (number, count) in trap::refused() {
            let _ = writeln!(text, "refused: {}, {count} times", names::name(number));
        }
        text
    }

    /// Tells of layers that the system has not.
    pub fn tell_lack(&self, log: &mut Log) {
        for refused in &self.report.refused {
            log.say(LogLevel::Warning, format_args!("{}", refused.warning()));
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
