//! What a proxy costs the machine at one moment: processes, descriptors, memory.
//!
//! Shell.

use std::collections::BTreeMap;
use std::fs;

use crate::processes::{self, Process};

/// The sums over all of its processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// How many.
    pub processes: usize,
    /// Open descriptors of all of them.
    pub descriptors: usize,
    /// The same for each kind of process and of descriptor (`worker socket`).
    pub kinds: BTreeMap<String, usize>,
    /// Proportional set, kB: each page divided among those who have it.
    pub proportional_kb: u64,
}

/// Of these processes.
pub fn of(all: &[Process]) -> Upkeep {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for one in all {
        for descriptor in processes::descriptors(one.pid) {
            *kinds.entry(format!("{} {}", role(one), kind(&descriptor))).or_default() += 1;
        }
    }
    Upkeep {
        processes: all.len(),
        descriptors: kinds.values().sum(),
        kinds,
        proportional_kb: all.iter().map(|one| proportional_kb(one.pid)).sum(),
    }
}

/// `worker` of `portolan: worker 1/3 gen 12`; the wrapper has its command line.
fn role(process: &Process) -> &str {
    let title = process.title.strip_prefix("portolan: ");
    title.and_then(|title| title.split(' ').next()).unwrap_or("wrapper")
}

/// `socket` of `socket:[123]`, `memfd:head` of `/memfd:head (deleted)`; a file's path without its number.
fn kind(descriptor: &str) -> String {
    let descriptor =
        descriptor.trim_start_matches('/').split([' ', '[']).next().unwrap_or_default();
    descriptor.trim_end_matches(|last: char| last == ':' || last.is_ascii_digit()).to_owned()
}

impl Upkeep {
    /// Descriptors of this kind, of all kinds of process.
    pub fn of_kind(&self, kind: &str) -> usize {
        let ends = |name: &&String| name.split_once(' ').is_some_and(|(_, own)| own == kind);
        self.kinds.keys().filter(ends).filter_map(|name| self.kinds.get(name)).sum()
    }

    /// Which kinds of descriptors are more, and which less, than before.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let names = self.kinds.keys().chain(before.kinds.keys());
        let names: std::collections::BTreeSet<&String> = names.collect();
        let count = |of: &Self, name: &str| of.kinds.get(name).copied().unwrap_or(0);
        names
            .into_iter()
            .filter(|name| count(self, name) != count(before, name))
            .map(|name| {
                format!("{name}: {} before, {} now", count(before, name), count(self, name))
            })
            .collect()
    }
}

/// One process and all below it that live.
pub fn tree(root: i32) -> Vec<Process> {
    let below = processes::descendants(root);
    processes::process(root).into_iter().chain(below).filter(|one| one.state != 'Z').collect()
}

fn proportional_kb(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
