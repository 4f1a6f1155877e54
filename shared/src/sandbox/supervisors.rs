//! How wrapper and master confine themselves: they start other processes, and must not take from them what
//! those need before they have confined themselves.
//!
//! Shell. One ordered function, [`confine`], called before anything is read that others have written; the
//! promise is its last line.
//!
//! - No Landlock and no list of allowed calls: both are inherited, and some day a command of an external
//!   check is the child of a child. What nobody of the set ever needs is refused to all of it
//!   ([`deny`](super::deny)).
//! - A layer that the kernel refuses keeps no other from being put on; who calls says which they were.
//! - Whoever is started by another of ours, or executed in its place, has its filter already, and puts its
//!   own, which may be a later version's, on top. Of [`FILTERS_MAX`] no more are needed: the kernel bounds
//!   all of them together.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::set_no_new_privs;

use super::capabilities::{self, Capability};
use super::{Layer, Refused, Report, deny};
use crate::sys::spawn;

/// A capability and what it is kept for.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Which.
    pub capability: Capability,
    /// For what.
    pub why: &'static str,
}

const fn kept(capability: Capability, why: &'static str) -> Kept {
    Kept { capability, why }
}

/// What a start or a reload may need, by the master or by a child until it has confined itself. All others
/// leave the bounding set too.
pub const KEPT: &[Kept] = &[
    kept(Capability::NET_BIND_SERVICE, "ports below 1024 are bound, by every reload that adds one"),
    kept(Capability::NET_RAW, "`transparent` and `usesrc`: sockets of addresses that are not ours"),
    kept(Capability::SETUID, "workers become `user`"),
    kept(Capability::SETGID, "workers become `group`, and leave our groups"),
    kept(Capability::SYS_CHROOT, "workers enter `chroot`"),
    kept(Capability::SETPCAP, "they then empty their bounding set"),
    kept(Capability::KILL, "processes of another user are signalled, by pidfd, and ended"),
    kept(Capability::CHOWN, "UNIX sockets get their `user` and `group`"),
    kept(Capability::FOWNER, "and then their `mode`; stale ones in /tmp are replaced"),
    kept(
        Capability::DAC_OVERRIDE,
        "configuration, error pages, UNIX sockets and pid file in directories of other users",
    ),
    kept(Capability::SYS_RESOURCE, "`ulimit_n` and `maxconn` above the hard limit"),
];

/// Of those, what the wrapper itself uses: it signals and it writes the pid file. The rest is for its
/// children.
pub const WRAPPER: &[Capability] = &[Capability::KILL, Capability::DAC_OVERRIDE];

/// Filters on top of one another, those of the service manager included (about ten). Each of ours has less than
/// a hundredth of the instructions that the kernel allows in all of them together (32,768).
const FILTERS_MAX: u32 = 48;

/// Who confines itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {
    /// The wrapper.
    Wrapper,
    /// The master.
    Master,
}

/// Gives up what this process and its children never need.
pub fn confine(who: Supervisor) -> Report {
    // Whoever is started gets what is meant for it by number, and nothing else. Our own descriptors are
    // marked already; what we were started with is taken before, or is nobody's.
    let _ = spawn::cloexec_from(3);
    // A core of ours would hold configuration and secrets. Workers raise it again where it is asked for.
    let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
    let _ = setrlimit(Resource::Core, none);
    let permitted: Vec<Capability> = KEPT.iter().map(|kept| kept.capability).collect();
    let (effective, role) = match who {
        Supervisor::Wrapper => (WRAPPER, deny::Role::Wrapper),
        Supervisor::Master => (&permitted[..], deny::Role::Master),
    };
    let mut report = Report::default();
    report.refused.extend(capabilities::keep_permitted(&permitted, effective).err());
    report.refused.extend(give_up_new_privileges().err());
    report.identify();
    match restrict_calls(role) {
        Ok(()) => report.filter = Some(deny::summary(role)),
        Err(refused) => report.refused.push(refused),
    }
    report
}

fn give_up_new_privileges() -> Result<(), Refused> {
    set_no_new_privs(true).map_err(|error| Refused {
        layer: Layer::NewPrivileges,
        reason: io::Error::from(error).to_string(),
    })
}

fn restrict_calls(role: deny::Role) -> Result<(), Refused> {
    if filters().is_some_and(|count| count >= FILTERS_MAX) { Ok(()) } else { deny::put_on(role) }
}

/// How many filters are on; `None`: the kernel does not say.
fn filters() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let count = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"))?;
    count.trim().parse().ok()
}

/// With everything that is permitted, for as long as this takes.
pub fn with_all<T>(act: impl FnOnce() -> T) -> T {
    let raised = capabilities::raise();
    let done = act();
    if let Ok(Some(before)) = raised {
        // It was ours a moment ago: lowering is never refused.
        let _ = capabilities::set_effective(before);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_is_kept_once_and_with_its_reason() {
        for (at, kept) in KEPT.iter().enumerate() {
            assert!(!kept.why.is_empty());
            let before = &KEPT[..at];
            assert!(before.iter().all(|other| other.capability != kept.capability));
        }
        let all: capabilities::Set = KEPT.iter().map(|kept| kept.capability).collect();
        assert!(WRAPPER.iter().all(|one| all.contains(*one)));
    }

    #[test]
    fn the_kernel_takes_as_many_filters_as_we_put_on_top_of_one_another() {
        let instructions = 32_768;
        for role in [deny::Role::Wrapper, deny::Role::Master] {
            let one = deny::program(role).unwrap().len() + 4;
            assert!(one * (FILTERS_MAX as usize) < instructions / 2, "{one}");
        }
    }

    /// Each test has a thread of its own, and capabilities are a thread's.
    #[test]
    fn what_is_permitted_is_used_only_while_it_is_needed() {
        let before = capabilities::permitted();
        let all: Vec<Capability> = KEPT.iter().map(|kept| kept.capability).collect();
        capabilities::keep_permitted(&all, WRAPPER).unwrap();
        let lowered = capabilities::effective();
        assert!(!lowered.contains(Capability::SETUID));
        let within = with_all(capabilities::effective);
        assert_eq!(within.contains(Capability::SETUID), before.contains(Capability::SETUID));
        assert!(!within.contains(Capability::SYS_PTRACE));
        assert_eq!(capabilities::effective(), lowered);
    }
}
