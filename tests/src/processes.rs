//! Processes as /proc shows them.
//!
//! Shell. A pid is only ever signalled when it belongs to the tree of an instance that the test
//! started.

use std::fs;

use rustix::process::{Pid, Signal};

/// One process at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// `R`, `S`, `T`, `Z` …
    pub state: char,
    /// Its command line, arguments joined by blanks.
    pub title: String,
}

/// A worker as its title tells it (`portolan: worker 3/8 gen 12`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its number.
    pub pid: i32,
    /// Its place, from 1.
    pub slot: u32,
    /// How many places there are.
    pub slots: u32,
    /// Which configuration it runs.
    pub generation: u32,
    /// Whether it finishes what is left.
    pub stopping: bool,
}

/// The process of this number, unless it is gone.
pub fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows the last one is regular.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let title = String::from_utf8_lossy(&title).replace('\0', " ").trim_end().to_owned();
    Some(Process {
        pid,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        title,
    })
}

/// Every process of the machine.
///
/// # Panics
/// When /proc cannot be read.
pub fn all() -> Vec<Process> {
    fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(process)
        .collect()
}

/// The living children of a process (zombies are not counted).
pub fn children(parent: i32) -> Vec<Process> {
    all().into_iter().filter(|one| one.parent == parent && one.state != 'Z').collect()
}

/// All below a process, nearest first.
pub fn descendants(root: i32) -> Vec<Process> {
    let everything = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for one in everything.iter().filter(|one| one.parent == parent) {
            parents.push(one.pid);
            found.push(one.clone());
        }
    }
    found
}

/// Whether a process runs (a zombie does not).
pub fn alive(pid: i32) -> bool {
    process(pid).is_some_and(|one| one.state != 'Z')
}

/// Sends a signal; whether there was anyone to take it.
pub fn signal(pid: i32, signal: Signal) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
}

/// What a worker's title says, or `None` for another process.
pub fn worker(process: &Process) -> Option<Worker> {
    let words: Vec<&str> = process.title.split_whitespace().collect();
    let after = |word: &str| {
        let at = words.iter().position(|one| *one == word)?;
        words.get(at + 1).map(|next| next.trim_end_matches(','))
    };
    if words.first() != Some(&"portolan:") {
        return None;
    }
    let (slot, slots) = after("worker")?.split_once('/')?;
    Some(Worker {
        pid: process.pid,
        slot: slot.parse().ok()?,
        slots: slots.parse().ok()?,
        generation: after("gen")?.parse().ok()?,
        stopping: process.title.contains("stopping"),
    })
}

/// A line of `/proc/PID/status`, without its name.
pub fn status(pid: i32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Soft and hard limit, as `/proc/PID/limits` shows them.
///
/// # Panics
/// When there is no such limit, or no such process.
pub fn limits(pid: i32, name: &str) -> [String; 2] {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).expect("the limits");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("this limit");
    let mut words = line.split_whitespace().map(str::to_owned);
    [words.next().expect("a soft limit"), words.next().expect("a hard limit")]
}

/// Resident memory, kB.
pub fn resident_kb(pid: i32) -> Option<u64> {
    status(pid, "VmRSS")?.split_whitespace().next()?.parse().ok()
}

/// What the open descriptors of a process are (`socket:[…]`, `anon_inode:[eventpoll]`, paths).
pub fn descriptors(pid: i32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titled(title: &str) -> Process {
        Process { pid: 5, parent: 1, group: 1, state: 'S', title: title.to_owned() }
    }

    #[test]
    fn a_title_tells_slot_and_generation() {
        let expected = Worker { pid: 5, slot: 3, slots: 8, generation: 12, stopping: false };
        assert_eq!(worker(&titled("portolan: worker 3/8 gen 12")), Some(expected.clone()));
        assert_eq!(
            worker(&titled("portolan: worker 3/8 gen 12 stopping, 2 streams")),
            Some(Worker { stopping: true, ..expected })
        );
        assert_eq!(worker(&titled("/usr/sbin/portolan -f x")), None);
    }

    #[test]
    fn this_process_is_alive_and_has_a_parent() {
        let own = process(std::process::id() as i32).expect("this process");
        assert!(own.parent > 0 && alive(own.pid));
    }
}
