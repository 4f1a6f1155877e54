//! What the system says of a process in one line.
//!
//! Shell: reads /proc, which everybody may of everybody's processes unless it was mounted with `hidepid`.

use std::fs;
use std::time::Duration;

/// Of /proc/PID/stat, proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// `R` running or waiting for its turn, `S` and `D` asleep, `T` and `t` stopped, `Z` and `X` ended.
    pub state: char,
    /// Who started it, or has taken it over.
    pub parent: i32,
    /// The time of processors that all its threads have used.
    pub cpu: Duration,
    /// When it started, in clock ticks after boot.
    pub start_time: u64,
}

impl ProcessStat {
    /// Of the process of this number, a corpse included; `None` when there is none.
    pub fn of(pid: i32) -> Option<Self> {
        if pid <= 0 {
            return None;
        }
        // Anybody may give a process of his a name that is no text.
        let line = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&line))
    }

    /// The name, field 2, may contain anything, so fields are counted from the last parenthesis.
    fn parse(line: &str) -> Option<Self> {
        let (_, after_name) = line.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace();
        let state = fields.next()?.parse().ok()?;
        let parent = fields.next()?.parse().ok()?;
        let user: u64 = fields.nth(9)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        let start_time = fields.nth(6)?.parse().ok()?;
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let cpu = Duration::from_millis(user.saturating_add(system).saturating_mul(1_000) / ticks);
        Some(Self { state, parent, cpu, start_time })
    }

    /// Whether it has not ended.
    pub fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Whether it would use a processor that it was given.
    pub fn is_runnable(&self) -> bool {
        self.state == 'R'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_blanks_and_parentheses() {
        let line = "12 (a ) S 1 (b) S 7 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 17 18 4711 20";
        let ticks = rustix::param::clock_ticks_per_second();
        let cpu = Duration::from_millis(200 * 1_000 / ticks);
        let wanted = ProcessStat { state: 'S', parent: 7, cpu, start_time: 4711 };
        assert_eq!(ProcessStat::parse(line), Some(wanted));
    }

    #[test]
    fn a_corpse_does_not_live() {
        let line = "12 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert!(!ProcessStat::parse(line).expect("a line").lives());
    }

    #[test]
    fn a_cut_line_says_nothing() {
        for cut in ["", "12", "12 (x)", "12 (x) S 1 2 3", "12 (x) S 1 2 3 4 5 6 7 8 9 10 11"] {
            assert_eq!(ProcessStat::parse(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn this_process_lives_and_nobody_does_not() {
        let own = ProcessStat::of(std::process::id() as i32).expect("our own");
        assert!(own.lives() && own.start_time > 0, "{own:?}");
        assert_eq!(ProcessStat::of(0), None);
    }
}
