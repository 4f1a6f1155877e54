//! Who owns a lane, and whether it still lives.
//!
//! Shell: reads /proc.

use crate::process_stat::ProcessStat;

/// The owner of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its process id; 0: not known yet.
    pub pid: i32,
    /// Counts the owners of this lane.
    pub incarnation: u64,
    /// When it started, in clock ticks after boot; 0: not known.
    pub start_time: u64,
    /// Its slot.
    pub slot: u16,
    /// Its generation.
    pub generation: u32,
}

impl Owner {
    /// Whether the process that was given the lane still runs, rather than nobody, its corpse, or
    /// another process under its number.
    pub fn lives(&self) -> bool {
        self.start_time != 0 && process_start_time(self.pid) == Some(self.start_time)
    }
}

/// When a living process started, in clock ticks after boot; `None` when it is no more.
pub fn process_start_time(pid: i32) -> Option<u64> {
    ProcessStat::of(pid).filter(ProcessStat::lives).map(|stat| stat.start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_nobody_does_not() {
        let pid = std::process::id() as i32;
        let start_time = process_start_time(pid).expect("our own stat");
        let owner = Owner { pid, incarnation: 1, start_time, slot: 0, generation: 0 };
        assert!(owner.lives());
        assert!(!Owner { start_time: start_time + 1, ..owner }.lives());
        assert!(!Owner { pid: 0, start_time: 0, ..owner }.lives());
    }
}
