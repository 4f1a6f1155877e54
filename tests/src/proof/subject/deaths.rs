//! Deaths at random moments, also in the middle of a reload.
//!
//! Shell.

use std::fmt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Subject, Variation};
use crate::proof::Dice;
use crate::proof::condemned::{self, Condemned};
use crate::{deadline, processes};

/// So many of a hundred happen shortly after a reload was asked for.
const DURING_RELOAD_PERCENT: u64 = 30;
/// So many of a hundred are no death at first: the process only stands still.
const STOPPED_PERCENT: u64 = 2;
/// After so many of a hundred deaths of a worker another one or the checker dies at once.
const TWO_PERCENT: u64 = 60;
/// How long something of the instance may be missing: on a machine where others build too.
const WHOLE_MAX: Duration = Duration::from_secs(20);
/// How long a process that nobody watches stands still before it is killed.
const STILL: Duration = Duration::from_millis(400);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// A worker of any generation.
    Worker,
    /// The checker.
    Checker,
    /// The master.
    Master,
    /// The wrapper; the service manager starts another one.
    Wrapper,
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// SIGKILL.
    Killed,
    /// SIGSTOP: whoever watches it has to see to the rest.
    Stopped,
}

/// One that happened.
#[derive(Clone, Debug)]
pub struct Death {
    /// Whose.
    pub victim: Victim,
    /// How.
    pub how: How,
    /// Shortly after a reload was asked for.
    pub during_reload: bool,
    /// Until all was there again.
    pub whole_after: Duration,
}

/// All that happened.
#[derive(Debug, Default)]
pub struct Deaths {
    /// In their order.
    pub all: Vec<Death>,
    /// Whose mistakes are excused.
    pub condemned: Vec<Condemned>,
}

impl fmt::Display for Deaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for victim in [Victim::Worker, Victim::Checker, Victim::Master, Victim::Wrapper] {
            for how in [How::Killed, How::Stopped] {
                let of = |one: &&Death| one.victim == victim && one.how == how;
                let mut times: Vec<Duration> =
                    self.all.iter().filter(of).map(|one| one.whole_after).collect();
                times.sort_unstable();
                let (Some(last), middle) = (times.last(), times.get(times.len() / 2)) else {
                    continue;
                };
                let middle = middle.unwrap_or(last).as_millis();
                let count = times.len();
                let last = last.as_millis();
                writeln!(
                    f,
                    "{count} x {victim:?} {how:?}, whole again after {middle} ms, at most {last} ms"
                )?;
            }
        }
        Ok(())
    }
}

impl Subject {
    /// So many deaths, with such a wait of milliseconds before each, told as they happen with their time
    /// since the given moment.
    ///
    /// # Panics
    /// When the instance does not become whole again.
    pub fn kill_often(
        &mut self,
        dice: &mut Dice,
        count: usize,
        waits: (u64, u64),
        since: Instant,
    ) -> Deaths {
        let mut deaths = Deaths::default();
        while deaths.all.len() < count {
            deadline::pause(dice.millis(waits.0, waits.1));
            let during_reload = dice.percent(DURING_RELOAD_PERCENT);
            if during_reload {
                self.configure(Variation::roll(dice), false);
                self.portolan.signal(Signal::USR2);
                deadline::pause(dice.millis(0, 150));
            }
            let victim = match dice.below(100) {
                0..60 => Victim::Worker,
                60..70 => Victim::Checker,
                70..86 => Victim::Master,
                _ => Victim::Wrapper,
            };
            let how = if dice.percent(STOPPED_PERCENT) { How::Stopped } else { How::Killed };
            let began = Instant::now();
            let Some(condemned) = self.kill(victim, how, dice.below(1_000)) else { continue };
            let mut dead = vec![(victim, how, condemned)];
            if victim == Victim::Worker && dice.percent(TWO_PERCENT) {
                let second = *dice.one(&[Victim::Worker, Victim::Worker, Victim::Checker]);
                let condemned = self.kill(second, How::Killed, dice.below(1_000));
                dead.extend(condemned.map(|condemned| (second, How::Killed, condemned)));
            }
            let at = since.elapsed().as_secs_f64();
            let during = if during_reload { ", reload" } else { "" };
            for (victim, how, Condemned { pid, .. }) in &dead {
                eprintln!("{at:.3} s, {victim:?} {pid} {how:?}{during}");
            }
            let ended = || dead.iter().all(|(.., one)| !processes::alive(one.pid));
            let whole = || (ended() && self.is_whole()).then_some(());
            let again = deadline::try_within(WHOLE_MAX, whole).is_some();
            assert!(again, "{dead:?}, reload {during_reload}: missing {:?}", self.missing());
            let whole_after = began.elapsed();
            for (victim, how, condemned) in dead {
                deaths.condemned.push(condemned);
                deaths.all.push(Death { victim, how, during_reload, whole_after });
            }
        }
        deaths
    }

    /// Kills one of them, unless there is none.
    fn kill(&mut self, victim: Victim, how: How, choice: u64) -> Option<Condemned> {
        let pid = match victim {
            Victim::Wrapper => self.portolan.wrapper(),
            Victim::Master => self.portolan.try_master()?,
            Victim::Checker => self.aide("portolan: checker")?,
            Victim::Worker => {
                let all = self.all_workers();
                all.get(choice as usize % all.len().max(1))?.pid
            }
        };
        let newer: Vec<i32> = match victim {
            Victim::Worker => {
                let all = self.all_workers();
                let own = all.iter().find(|one| one.pid == pid)?.generation;
                all.iter().filter(|one| one.generation > own).map(|one| one.pid).collect()
            }
            Victim::Checker | Victim::Master | Victim::Wrapper => Vec::new(),
        };
        let condemned = condemned::freeze(pid, &[self.fronts.http, self.fronts.tcp], &newer)?;
        // Workers and checkers are watched; the others only by a service manager's watchdog.
        let watched = matches!(victim, Victim::Worker | Victim::Checker);
        match (how, victim) {
            (How::Stopped, _) if watched => return Some(condemned),
            (How::Stopped, _) => deadline::pause(STILL),
            (How::Killed, _) => {}
        }
        if victim == Victim::Wrapper {
            self.portolan.kill_wrapper();
            self.portolan.start_wrapper();
            self.groups.0.push(self.portolan.wrapper());
        } else {
            processes::signal(pid, Signal::KILL);
        }
        Some(condemned)
    }

    fn aide(&self, title: &str) -> Option<i32> {
        let below = self.tree();
        below.iter().find(|one| one.title.starts_with(title) && one.state != 'Z').map(|one| one.pid)
    }
}
