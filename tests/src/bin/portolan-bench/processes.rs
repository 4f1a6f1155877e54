//! What /proc says about a proxy's processes: who they are, what they used, what they hold.
//!
//! Shell.

use std::fs;
use std::io;

/// A process and all that descend from it, the first one first.
pub fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let tasks = fs::read_dir(format!("/proc/{}/task", found[next]));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        next += 1;
    }
    found
}

/// What `ps` shows of a process, arguments separated by blanks.
pub fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

/// CPU time that these processes used so far, nanoseconds, user and kernel together.
pub fn cpu_ns(pids: &[u32]) -> u64 {
    let mut sum = 0;
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let on_core =
                stat.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
            sum += on_core.unwrap_or(0);
        }
    }
    sum
}

/// Resident memory of these processes, shared pages divided among their holders, bytes.
pub fn memory_bytes(pids: &[u32]) -> io::Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        sum += proportional_kb(&rollup).ok_or(io::ErrorKind::InvalidData)? * 1024;
    }
    Ok(sum)
}

fn proportional_kb(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportional_set_is_read_from_the_rollup() {
        let rollup =
            "00400000-7fff [rollup]\nRss:  900 kB\nPss:                 512 kB\nPss_Dirty: 1 kB\n";
        assert_eq!(proportional_kb(rollup), Some(512));
        assert_eq!(proportional_kb("Rss: 1 kB\n"), None);
    }

    #[test]
    fn a_process_uses_processor_time_and_memory() {
        let own = [std::process::id()];
        assert!(cpu_ns(&own) > 0);
        assert!(memory_bytes(&own).expect("own memory is readable") > 0);
        assert_eq!(tree(own[0])[0], own[0]);
    }
}
