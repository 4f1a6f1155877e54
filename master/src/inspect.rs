//! What the system knows about a process that stands still.
//!
//! Shell: reads /proc.

use std::fs;

/// Lines for the log; empty where the process is gone or hidden from us.
pub fn process(pid: i32) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let mut lines = Vec::new();
    if let Some(stat) = read("stat") {
        lines.push(format!("stat {}", stat.trim_end()));
    }
    for name in ["wchan", "syscall"] {
        // Of a process of another user the kernel tells neither to who lacks CAP_SYS_PTRACE, as we do.
        if let Some(text) = read(name).filter(|text| !["", "0"].contains(&text.trim())) {
            lines.push(format!("{name} {}", text.trim_end()));
        }
    }
    if let Some(status) = read("status") {
        let telling = ["State:", "VmRSS:", "SigPnd:", "SigBlk:", "voluntary_ctxt_switches:"];
        let found = status.lines().filter(|line| telling.iter().any(|name| line.starts_with(name)));
        let found: Vec<String> =
            found.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        lines.push(format!("status {}", found.join(", ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::process;

    #[test]
    fn a_living_process_is_described_and_one_that_is_gone_is_not() {
        let own = process(std::process::id() as i32);
        assert!(own.iter().any(|line| line.starts_with("stat ")), "{own:?}");
        assert!(own.iter().any(|line| line.contains("State:")), "{own:?}");
        assert!(process(i32::MAX).is_empty());
    }
}
