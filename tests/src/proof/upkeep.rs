//! What a proxy costs the machine at one moment: processes, descriptors, memory.
//!
//! Shell.

use std::fs;

use crate::processes::{self, Process};

/// The sums over all of its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// How many.
    pub processes: usize,
    /// Open descriptors of all of them.
    pub descriptors: usize,
    /// Proportional set, kB: each page divided among those who have it.
    pub proportional_kb: u64,
}

/// Of these processes.
pub fn of(all: &[Process]) -> Upkeep {
    Upkeep {
        processes: all.len(),
        descriptors: all.iter().map(|one| processes::descriptors(one.pid).len()).sum(),
        proportional_kb: all.iter().map(|one| proportional_kb(one.pid)).sum(),
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
