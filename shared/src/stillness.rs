//! For how long a process has stood still that gave no sign of life.
//!
//! Core: no I/O, no clock. Who watches brings what the system says of it and the time.
//!
//! - Only the time counts that it could have used. One that is asleep, stopped or in the kernel could have
//!   used all of it; one that is ready to run only what a processor had for it: on a machine with too much
//!   work it waits for its turn, and to kill it for that would add to the work.
//! - Two looks far apart mean that the watcher stood still too, or the whole machine: that time does not count.

use std::time::Duration;

use crate::process_stat::ProcessStat;

/// For how long, so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stillness {
    still: Duration,
    silent: Duration,
    /// What it had used at the last look.
    cpu: Option<Duration>,
}

impl Stillness {
    /// Another look without a sign of life, `since` the last one; looks further apart than `late` do not
    /// count. `stat`: what the system says of it now; `None`: nothing.
    pub fn look(&mut self, since: Duration, late: Duration, stat: Option<ProcessStat>) {
        let before = std::mem::replace(&mut self.cpu, stat.map(|stat| stat.cpu));
        if since >= late {
            return;
        }
        self.silent += since;
        self.still += match stat {
            Some(stat) if stat.is_runnable() => {
                stat.cpu.saturating_sub(before.unwrap_or(stat.cpu)).min(since)
            }
            _ => since,
        };
    }

    /// How long it has stood still, of the time that it could have used.
    pub fn still(&self) -> Duration {
        self.still
    }

    /// How long it has given no sign of life.
    pub fn silent(&self) -> Duration {
        self.silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(250);
    const LATE: Duration = Duration::from_millis(750);

    fn stat(state: char, cpu_ms: u64) -> ProcessStat {
        let cpu = Duration::from_millis(cpu_ms);
        ProcessStat { state, parent: 1, cpu, start_time: 1 }
    }

    /// Ten looks at a process that has used so many more milliseconds at each.
    fn watched(state: char, cpu_ms: u64) -> Stillness {
        let mut stillness = Stillness::default();
        (1..=10).for_each(|n| stillness.look(LOOK, LATE, Some(stat(state, 1_000 + n * cpu_ms))));
        assert_eq!(stillness.silent(), LOOK * 10);
        stillness
    }

    #[test]
    fn one_that_sleeps_or_is_stopped_could_have_used_all_of_it() {
        for state in ['S', 'D', 'T', 't'] {
            assert_eq!(watched(state, 0).still(), LOOK * 10, "{state}");
        }
    }

    #[test]
    fn one_that_waits_for_its_turn_does_not_stand_still() {
        assert_eq!(watched('R', 0).still(), Duration::ZERO);
    }

    #[test]
    fn an_endless_loop_stands_still_for_as_long_as_it_runs() {
        assert_eq!(watched('R', 250).still(), LOOK * 9);
        assert_eq!(watched('R', 50).still(), Duration::from_millis(450));
    }

    #[test]
    fn several_threads_cannot_stand_still_for_longer_than_time_passes() {
        assert_eq!(watched('R', 900).still(), LOOK * 9);
    }

    #[test]
    fn one_of_which_nothing_is_known_is_judged_by_the_clock() {
        let mut stillness = Stillness::default();
        (0..10).for_each(|_| stillness.look(LOOK, LATE, None));
        assert_eq!(stillness.still(), LOOK * 10);
    }

    #[test]
    fn time_in_which_the_watcher_stood_still_does_not_count() {
        let mut stillness = Stillness::default();
        stillness.look(Duration::from_secs(60), LATE, Some(stat('T', 0)));
        assert_eq!((stillness.still(), stillness.silent()), (Duration::ZERO, Duration::ZERO));
        // Nor what was used in it.
        stillness.look(LOOK, LATE, Some(stat('R', 100)));
        stillness.look(Duration::from_secs(60), LATE, Some(stat('R', 50_000)));
        stillness.look(LOOK, LATE, Some(stat('R', 50_050)));
        assert_eq!(stillness.still(), Duration::from_millis(100 + 50));
    }
}
