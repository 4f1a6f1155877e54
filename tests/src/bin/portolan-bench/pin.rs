//! Where processes run: the proxy on one core, everything else of the bench on another.
//!
//! Shell. `portolan-bench pin CORE PROGRAM ARGUMENTS…` binds itself to the core, asks to be ended with its
//! parent, and becomes the program; children inherit the core.

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of the two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    pub proxy: usize,
    pub load: usize,
}

impl Cores {
    /// The last two cores this process may use; both the same where there is only one.
    pub fn of_this_process() -> Result<Self, Box<dyn Error>> {
        let set = sched_getaffinity(None)?;
        let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
        let proxy = *usable.last().ok_or("no core to run on")?;
        let load = usable.iter().rev().nth(1).copied().unwrap_or(proxy);
        Ok(Self { proxy, load })
    }
}

/// A command that will run on this core and end with us.
pub fn pinned(core: usize, program: &Path) -> Result<Command, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("pin").arg(core.to_string()).arg(program);
    Ok(command)
}

/// The body of `portolan-bench pin`; returns only an error.
pub fn become_program(core: &str, program: &str, arguments: &[String]) -> Box<dyn Error> {
    let mut set = CpuSet::new();
    match core.parse() {
        Ok(core) if core < CpuSet::MAX_CPU => set.set(core),
        _ => return "not a core".into(),
    }
    if let Err(error) = sched_setaffinity(None, &set) {
        return error.into();
    }
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::TERM)) {
        return error.into();
    }
    let error = Command::new(program).args(arguments).exec();
    format!("{program}: {error}").into()
}
