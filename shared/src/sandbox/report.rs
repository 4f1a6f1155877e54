//! What was put on a process, what the system has refused, and who the process is then.
//!
//! Shell but for its form.

use std::fmt::{self, Display};

use rustix::process::{getegid, geteuid, getgroups};

use super::capabilities::{self, Set};
use super::{Refused, landlock};

/// How a process is confined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// User and group, by number.
    pub ids: (u32, u32),
    /// Groups beside the first.
    pub groups: Vec<u32>,
    /// Capabilities that are left.
    pub capabilities: Set,
    /// Executing a file gives nothing.
    pub no_new_privileges: bool,
    /// The filter of system calls, in a line; `None`: there is none.
    pub filter: Option<String>,
    /// Landlock's rules; `None`: there are none.
    pub rules: Option<landlock::Rules>,
    /// The version of Landlock that the kernel has.
    pub landlock_version: u32,
    /// Layers that the system does not give.
    pub refused: Vec<Refused>,
}

impl Report {
    /// Takes down who this process is, before a filter refuses to say it.
    pub fn identify(&mut self) {
        self.ids = (geteuid().as_raw(), getegid().as_raw());
        self.groups =
            getgroups().unwrap_or_default().into_iter().map(rustix::process::Gid::as_raw).collect();
        self.capabilities = capabilities::permitted();
        self.no_new_privileges = rustix::thread::no_new_privs().unwrap_or(false);
        self.landlock_version = crate::sys::landlock::version();
    }
}

/// Lines `key: value`.
impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = || "none".to_owned();
        let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
        let groups = if groups.is_empty() { none() } else { groups.join(" ") };
        let yes = if self.no_new_privileges { "yes" } else { "no" };
        writeln!(f, "user: {}", self.ids.0)?;
        writeln!(f, "group: {}", self.ids.1)?;
        writeln!(f, "groups: {groups}")?;
        writeln!(f, "capabilities: {}", self.capabilities)?;
        writeln!(f, "no_new_privileges: {yes}")?;
        writeln!(f, "filter: {}", self.filter.clone().unwrap_or_else(none))?;
        writeln!(f, "landlock: {}", self.rules.as_ref().map_or_else(none, ToString::to_string))?;
        writeln!(f, "landlock_version: {}", self.landlock_version)?;
        self.refused.iter().try_for_each(|refused| writeln!(f, "not_given: {refused}"))
    }
}
