//! What the kernel says of a process's confinement, whatever the process itself would say.
//!
//! The reading of /proc/PID/status is core; [`of`], [`descriptors_of`] and [`lacking`] are its shell.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs;

use portolan_shared::sandbox::capabilities::Set;
use portolan_shared::sandbox::supervisors::KEPT;
use portolan_shared::sys::descriptors;

/// By proc_pid_status(5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attested {
    /// Real, effective, saved and of the file system: once where they are the same.
    uid: String,
    gid: String,
    groups: String,
    permitted: Set,
    effective: Set,
    bounding: Set,
    no_new_privs: bool,
    /// 0, none; 1, strict; 2, by filters.
    seccomp: u8,
    /// How many; `None`: a kernel before 5.9 does not say.
    filters: Option<u32>,
}

impl Attested {
    /// From the file's text; what is missing there is as if nothing was confined.
    pub fn read(status: &str) -> Self {
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim()
        };
        let ids = |name: &str| {
            let mut all: Vec<&str> = value(name).split_whitespace().collect();
            all.dedup();
            all.join(" ")
        };
        let set = |name: &str| {
            // Unknown is taken for all.
            Set::from_mask(u64::from_str_radix(value(name), 16).unwrap_or(u64::MAX))
        };
        Self {
            uid: ids("Uid"),
            gid: ids("Gid"),
            groups: value("Groups").to_owned(),
            permitted: set("CapPrm"),
            effective: set("CapEff"),
            bounding: set("CapBnd"),
            no_new_privs: value("NoNewPrivs") == "1",
            seccomp: value("Seccomp").parse().unwrap_or(0),
            filters: value("Seccomp_filters").parse().ok(),
        }
    }

    /// What a supervisor must not have, or must have and has not; `None`: all is well.
    fn lacks(&self) -> Option<String> {
        let most: Set = KEPT.iter().map(|kept| kept.capability).collect();
        let more = self.permitted.without(most);
        let mut lacks = Vec::new();
        if !more.is_empty() {
            lacks.push(format!("the capabilities {more}"));
        }
        if !self.no_new_privs {
            lacks.push("no no_new_privs".to_owned());
        }
        if self.seccomp == 0 {
            lacks.push("no filter of system calls".to_owned());
        }
        (!lacks.is_empty()).then(|| lacks.join(", "))
    }
}

impl Display for Attested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = if self.groups.is_empty() { "none" } else { &self.groups };
        writeln!(f, "Uid: {}\nGid: {}\nGroups: {groups}", self.uid, self.gid)?;
        writeln!(f, "CapEff: {}\nCapPrm: {}", self.effective, self.permitted)?;
        writeln!(f, "CapBnd: {}", self.bounding)?;
        writeln!(f, "NoNewPrivs: {}", if self.no_new_privs { "yes" } else { "no" })?;
        match (self.seccomp, self.filters) {
            (0, _) => writeln!(f, "Seccomp: none"),
            (2, Some(1)) => writeln!(f, "Seccomp: 1 filter"),
            (2, Some(count)) => writeln!(f, "Seccomp: {count} filters"),
            (2, None) => writeln!(f, "Seccomp: filter"),
            (_, _) => writeln!(f, "Seccomp: strict"),
        }
    }
}

/// Of a living process.
pub fn of(pid: i32) -> Option<Attested> {
    fs::read_to_string(format!("/proc/{pid}/status")).ok().map(|text| Attested::read(&text))
}

/// How willingly the kernel ends it where memory is short.
pub fn oom_score_adj(pid: i32) -> Option<i32> {
    fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).ok()?.trim().parse().ok()
}

/// What the wrapper lacks that must be confined; nothing where it is gone.
pub fn lacking(wrapper: i32) -> Option<String> {
    of(wrapper)?.lacks()
}

/// The open descriptors of one of ours by kind: `15: 3 memfd, 12 socket`. `None`: they are hidden from us.
pub fn descriptors_of(pid: i32) -> Option<String> {
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        if let Ok(link) = fs::read_link(entry.path()) {
            *kinds.entry(kind(&link.to_string_lossy())).or_default() += 1;
        }
    }
    Some(descriptors::counted(&kinds))
}

/// Our own, which we know better than anybody else.
pub fn own_descriptors() -> String {
    descriptors::counted(&descriptors::kinds())
}

/// `socket:[1]`, `anon_inode:[eventfd]`, `/memfd:name (deleted)`, `/dev/null`.
fn kind(link: &str) -> String {
    let inner = |rest: &str| rest.trim_matches(['[', ']']).to_owned();
    match link.split_once(':') {
        Some(("anon_inode", rest)) => inner(rest),
        Some(("/memfd", _)) => "memfd".to_owned(),
        Some((kind, _)) if !kind.contains('/') => kind.to_owned(),
        _ if link.starts_with("/dev/") => "device".to_owned(),
        _ => "file".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t5\t6\t6\t6\nGroups:\t4 24 \n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000000020\nCapEff:\t0000000000000000\n\
        CapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t2\n";

    #[test]
    fn a_status_is_told_by_names() {
        let expected = "Uid: 0\nGid: 5 6\nGroups: 4 24\nCapEff: none\nCapPrm: kill\nCapBnd: all\n\
                        NoNewPrivs: yes\nSeccomp: 2 filters\n";
        assert_eq!(Attested::read(STATUS).to_string(), expected);
        let nothing = Attested::read("").to_string();
        assert!(nothing.contains("CapEff: all\n") && nothing.contains("Seccomp: none\n"));
    }

    #[test]
    fn what_a_wrapper_lacks_is_named() {
        assert_eq!(Attested::read(STATUS).lacks(), None);
        let more = STATUS.replace("0000000000000020", "0000000000080020");
        assert_eq!(Attested::read(&more).lacks().unwrap(), "the capabilities sys_ptrace");
        let open = STATUS.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0").replace("Seccomp:\t2", "");
        let lacks = Attested::read(&open).lacks().unwrap();
        assert_eq!(lacks, "no no_new_privs, no filter of system calls");
    }

    #[test]
    fn descriptors_are_told_by_kind() {
        for (link, expected) in [
            ("socket:[12]", "socket"),
            ("pipe:[12]", "pipe"),
            ("pidfd:[12]", "pidfd"),
            ("anon_inode:[eventfd]", "eventfd"),
            ("anon_inode:inotify", "inotify"),
            ("/memfd:portolan-head (deleted)", "memfd"),
            ("/dev/null", "device"),
            ("/usr/sbin/portolan-worker", "file"),
        ] {
            assert_eq!(kind(link), expected);
        }
        let own = descriptors_of(std::process::id() as i32).unwrap();
        assert!(own.contains("device") || own.contains("pipe") || own.contains("file"), "{own}");
        assert_eq!(descriptors_of(i32::MAX), None);
    }
}
