//! Counting from outside what a running process does: strace for system calls, perf for instructions.
//!
//! Shell.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// System calls of this process while `work` runs, by name.
pub fn system_calls<W>(pid: u32, work: W) -> Result<Vec<(String, u64)>, Box<dyn Error>>
where
    W: FnOnce() -> Result<(), Box<dyn Error>>,
{
    let out = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-p", &pid.to_string(), "-o"]).arg(out.path());
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(child.stderr.take().ok_or("strace has no stderr")?);
    let mut line = String::new();
    while !line.contains("attached") {
        line.clear();
        if said.read_line(&mut line)? == 0 {
            return Err("strace did not attach".into());
        }
    }
    let result = work();
    interrupt(child.id())?;
    child.wait()?;
    result?;
    Ok(calls_in(&fs::read_to_string(out.path())?))
}

/// The calls and names in strace's table.
fn calls_in(table: &str) -> Vec<(String, u64)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (first, name) = (words.first()?, words.last()?);
        first.parse::<f64>().ok()?;
        let calls = words.get(3)?.parse().ok()?;
        (*name != "total").then(|| ((*name).to_owned(), calls))
    };
    table.lines().filter_map(row).collect()
}

/// Instructions in user space and in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instructions {
    pub user: u64,
    pub kernel: u64,
}

/// Whether the machine counts instructions and lets us look.
pub fn counters_work() -> bool {
    let output =
        Command::new("perf").args(["stat", "-x,", "-e", "instructions:u", "true"]).output();
    output.is_ok_and(|output| counted(&String::from_utf8_lossy(&output.stderr), "u").is_some())
}

/// Instructions of this process while `work` runs.
pub fn instructions<W>(pid: u32, work: W) -> Result<Instructions, Box<dyn Error>>
where
    W: FnOnce() -> Result<(), Box<dyn Error>>,
{
    let out = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("perf");
    command.args(["stat", "-x,", "-e", "instructions:u,instructions:k", "-p", &pid.to_string()]);
    let mut child = command.arg("-o").arg(out.path()).stdin(Stdio::null()).spawn()?;
    // perf does not say when it has attached; what the proxy does meanwhile is nothing.
    thread::sleep(Duration::from_millis(500));
    let result = work();
    interrupt(child.id())?;
    child.wait()?;
    result?;
    let text = fs::read_to_string(out.path())?;
    let count = |ring| counted(&text, ring).ok_or("perf counted nothing");
    Ok(Instructions { user: count("u")?, kernel: count("k")? })
}

fn counted(text: &str, ring: &str) -> Option<u64> {
    let event = format!("instructions:{ring}");
    let line = text.lines().find(|line| line.contains(&event))?;
    line.split(',').next()?.trim().parse().ok()
}

fn interrupt(pid: u32) -> Result<(), Box<dyn Error>> {
    let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("a child has no pid")?;
    Ok(kill_process(pid, Signal::INT)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_with_and_without_an_errors_column() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000100           1       100        10 recvfrom
 40.00    0.000050           1        50           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.000150           1       150        10 total
";
        let expected = [("recvfrom".to_owned(), 100), ("sendto".to_owned(), 50)];
        assert_eq!(calls_in(table), expected);
    }

    #[test]
    fn a_machine_without_counters_counts_nothing() {
        assert_eq!(counted("<not supported>,,instructions:u,0,100.00,,\n", "u"), None);
        assert_eq!(counted("123456,,instructions:u,99,100.00,,\n", "u"), Some(123_456));
    }
}
