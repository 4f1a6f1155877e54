//! Who owns a lane, and whether it still lives.
//!
//! Shell: reads /proc.

use std::fs;

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
    if pid <= 0 {
        return None;
    }
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of /proc/PID/stat, unless field 3 says that it has ended. The name, field 2, may contain
/// anything, so fields are counted from the last parenthesis.
fn parse_stat(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "12 (a ) S 1 (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_stat(stat), Some(4711));
    }

    #[test]
    fn a_corpse_has_no_start_time() {
        let stat = "12 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_stat(stat), None);
    }

    #[test]
    fn a_cut_line_has_no_start_time() {
        for cut in ["", "12", "12 (x)", "12 (x) S 1 2 3", "12 (x) S 1 2 3 4 5 6 7 8 9 10 11"] {
            assert_eq!(parse_stat(cut), None, "{cut:?}");
        }
    }

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
