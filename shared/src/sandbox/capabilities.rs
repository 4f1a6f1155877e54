//! Capabilities: giving up all but a few of them for good, and saying which ones there are.
//!
//! Shell. What is not kept leaves the bounding, ambient, inheritable, permitted and effective sets of
//! this thread (every process of ours has one when it calls this).
//!
//! - Nothing is ever gained: what is kept and was not permitted before stays out.
//! - Leaving the bounding set takes CAP_SETPCAP. Where it is permitted it is used, effective or not, as
//!   after a change of user under `PR_SET_KEEPCAPS`. Where it is not, the bounding set stays as it is:
//!   it says what executing a file may give, and with `no_new_privs`, the next layer, that is nothing.
//! - Number 63 is the highest a kernel could have; which ones it has is asked of it.

use std::fmt::{self, Display};

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use super::{Layer, Refused};

/// One capability, by capabilities(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability(u8);

impl Capability {
    /// Change the owner of files.
    pub const CHOWN: Self = Self(0);
    /// Read, write and search whatever a file's mode says.
    pub const DAC_OVERRIDE: Self = Self(1);
    /// Do with files of others what their owner may.
    pub const FOWNER: Self = Self(3);
    /// Signal processes of other users.
    pub const KILL: Self = Self(5);
    /// Become any group.
    pub const SETGID: Self = Self(6);
    /// Become any user.
    pub const SETUID: Self = Self(7);
    /// Empty the bounding set.
    pub const SETPCAP: Self = Self(8);
    /// Bind ports below 1,024.
    pub const NET_BIND_SERVICE: Self = Self(10);
    /// Network options that concern others.
    pub const NET_ADMIN: Self = Self(12);
    /// Bind and connect from addresses that are not ours; raw sockets.
    pub const NET_RAW: Self = Self(13);
    /// Change the root directory.
    pub const SYS_CHROOT: Self = Self(18);
    /// Look into processes of other users.
    pub const SYS_PTRACE: Self = Self(19);
    /// Raise hard limits.
    pub const SYS_RESOURCE: Self = Self(24);

    fn bit(self) -> CapabilitySet {
        CapabilitySet::from_bits_retain(1 << self.0)
    }
}

/// The names, in the order of their numbers, up to Linux 6.17.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

impl Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A set of them, shown by their names: `kill net_raw`, `all`, `all but sys_resource` or `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(u64);

impl Set {
    /// From a mask as in /proc/PID/status.
    pub fn from_mask(mask: u64) -> Self {
        Self(mask)
    }

    /// Whether it contains nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are not in the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether one is in it.
    pub fn contains(self, one: Capability) -> bool {
        self.0 & one.bit().bits() != 0
    }
}

impl FromIterator<Capability> for Set {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |mask, one| mask | one.bit().bits()))
    }
}

impl Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: u64 = (1 << NAMES.len()) - 1;
        if self.0 == 0 {
            return f.write_str("none");
        }
        if self.0 & known == known {
            return f.write_str("all");
        }
        let missing = known & !self.0;
        let (shown, mut between) =
            if missing.count_ones() < 8 { (missing, "all but ") } else { (self.0, "") };
        for number in (0..64).filter(|number| shown & (1 << number) != 0) {
            write!(f, "{between}{}", Capability(number))?;
            between = " ";
        }
        Ok(())
    }
}

/// What this process can do now.
pub fn effective() -> Set {
    capabilities(None).map_or(Set::default(), |sets| Set(sets.effective.bits()))
}

/// What this process can do, or could at once make itself able to.
pub fn permitted() -> Set {
    capabilities(None).map_or(Set::default(), |sets| Set(sets.permitted.bits()))
}

/// Keeps those of `kept` that are permitted, makes them effective, and gives up all others for good.
pub fn keep(kept: &[Capability]) -> Result<(), Refused> {
    keep_permitted(kept, kept)
}

/// As [`keep`], but only `effective` can be used at once: the rest is for programs that are started.
pub fn keep_permitted(permitted: &[Capability], effective: &[Capability]) -> Result<(), Refused> {
    let now = capabilities(None).map_err(refused("read"))?;
    let kept = now.permitted & set_of(permitted);
    leave_bounding(now, set_of(permitted)).map_err(refused("leave the bounding set"))?;
    leave_ambient(kept & now.inheritable).map_err(refused("leave the ambient set"))?;
    let sets = CapabilitySets {
        effective: kept & set_of(effective),
        permitted: kept,
        inheritable: kept & now.inheritable,
    };
    set_capabilities(None, sets).map_err(refused("give up"))
}

/// Makes everything that is permitted effective; what was so before, for [`set_effective`], where that is
/// less.
pub fn raise() -> Result<Option<Set>, Refused> {
    let now = capabilities(None).map_err(refused("read"))?;
    if now.effective == now.permitted {
        return Ok(None);
    }
    set_effective(Set(now.permitted.bits()))?;
    Ok(Some(Set(now.effective.bits())))
}

/// Makes these effective, as far as they are permitted, and no other.
pub fn set_effective(wanted: Set) -> Result<(), Refused> {
    let now = capabilities(None).map_err(refused("read"))?;
    let effective = now.permitted & CapabilitySet::from_bits_retain(wanted.0);
    set_capabilities(None, CapabilitySets { effective, ..now }).map_err(refused("use"))
}

fn set_of(list: &[Capability]) -> CapabilitySet {
    list.iter().fold(CapabilitySet::empty(), |set, one| set | one.bit())
}

fn refused(what: &'static str) -> impl FnOnce(Errno) -> Refused {
    move |error| Refused {
        layer: Layer::Capabilities,
        reason: format!("cannot {what}: {}", std::io::Error::from(error)),
    }
}

fn leave_bounding(now: CapabilitySets, kept: CapabilitySet) -> rustix::io::Result<()> {
    let able = CapabilitySet::SETPCAP;
    if !now.permitted.contains(able) {
        return Ok(());
    }
    if !now.effective.contains(able) {
        set_capabilities(None, CapabilitySets { effective: now.effective | able, ..now })?;
    }
    for one in each() {
        // A kernel says EINVAL from the first that it has not.
        match capability_is_in_bounding_set(one) {
            Ok(true) if !kept.contains(one) => remove_capability_from_bounding_set(one)?,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// A kernel before 4.3 has no ambient set: nothing to leave.
fn leave_ambient(kept: CapabilitySet) -> rustix::io::Result<()> {
    if kept.is_empty() {
        return match clear_ambient_capability_set() {
            Err(Errno::INVAL) => Ok(()),
            other => other,
        };
    }
    for one in each().filter(|one| !kept.contains(*one)) {
        match configure_capability_in_ambient_set(one, false) {
            Err(Errno::INVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

fn each() -> impl Iterator<Item = CapabilitySet> {
    (0..63).map(|number| CapabilitySet::from_bits_retain(1 << number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_shown_by_the_names_of_what_is_in_it() {
        assert_eq!(Set::from_mask(0).to_string(), "none");
        assert_eq!(Set::from_mask(0x1ff_ffff_ffff).to_string(), "all");
        let two: Set = [Capability::NET_RAW, Capability::KILL].into_iter().collect();
        assert_eq!(two.to_string(), "kill net_raw");
        assert!(two.contains(Capability::KILL) && !two.contains(Capability::SETUID));
        assert_eq!(Set::from_mask(1 << 50).to_string(), "50");
        assert_eq!(Set::from_mask(0x1ff_feff_ffdf).to_string(), "all but kill sys_resource");
    }

    #[test]
    fn the_constants_and_the_names_are_the_kernels() {
        for (one, name, bit) in [
            (Capability::CHOWN, "chown", CapabilitySet::CHOWN),
            (Capability::DAC_OVERRIDE, "dac_override", CapabilitySet::DAC_OVERRIDE),
            (Capability::FOWNER, "fowner", CapabilitySet::FOWNER),
            (Capability::KILL, "kill", CapabilitySet::KILL),
            (Capability::SETGID, "setgid", CapabilitySet::SETGID),
            (Capability::SETUID, "setuid", CapabilitySet::SETUID),
            (Capability::SETPCAP, "setpcap", CapabilitySet::SETPCAP),
            (Capability::NET_BIND_SERVICE, "net_bind_service", CapabilitySet::NET_BIND_SERVICE),
            (Capability::NET_ADMIN, "net_admin", CapabilitySet::NET_ADMIN),
            (Capability::NET_RAW, "net_raw", CapabilitySet::NET_RAW),
            (Capability::SYS_CHROOT, "sys_chroot", CapabilitySet::SYS_CHROOT),
            (Capability::SYS_PTRACE, "sys_ptrace", CapabilitySet::SYS_PTRACE),
            (Capability::SYS_RESOURCE, "sys_resource", CapabilitySet::SYS_RESOURCE),
        ] {
            assert_eq!((one.to_string().as_str(), one.bit()), (name, bit));
        }
        let last = Capability(NAMES.len() as u8 - 1);
        assert_eq!(last.bit(), CapabilitySet::CHECKPOINT_RESTORE);
    }

    /// Each test has a thread of its own, and capabilities are a thread's.
    #[test]
    fn what_is_not_kept_is_in_none_of_the_sets() {
        let before = permitted();
        keep(&[Capability::KILL, Capability::NET_RAW]).unwrap();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let wanted: Set = [Capability::KILL, Capability::NET_RAW].into_iter().collect();
        for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(mask(name) & !wanted.0, 0, "{name}");
        }
        assert_eq!(mask("CapEff:"), before.0 & wanted.0);
        if before.contains(Capability::SETPCAP) {
            assert_eq!(mask("CapBnd:") & !wanted.0, 0);
        }
        keep_permitted(&[Capability::KILL], &[]).unwrap();
        assert!(effective().is_empty());
        assert_eq!(permitted().contains(Capability::KILL), before.contains(Capability::KILL));
        keep(&[]).unwrap();
        assert!(permitted().is_empty());
    }
}
