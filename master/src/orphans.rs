//! Processes that a former master left: they finish what they have, and their lanes are theirs until
//! they end.
//!
//! Shell.
//!
//! - They are not our children: a pidfd tells their end, their lane's counter that they live.
//! - They left by themselves when their channel ended. One whose loop stands still never heard of that:
//!   it is ended, for the places it holds in limits would stay taken.
//! - Who they are stands in memory that a taken-over worker may write. So nobody is ended who
//!   does not call itself one of ours.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use portolan_shared::memory::Lane;
use portolan_shared::model::LogLevel;
use portolan_shared::process_stat::ProcessStat;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::heartbeat::{Heartbeat, Sign};
use crate::inspect;
use crate::master::Master;
use crate::supervise::no_turn;

/// The heartbeat's timeout while no generation serves that says otherwise.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(2);

/// One of them.
#[derive(Debug)]
pub struct Orphan {
    /// What it owns.
    pub lane: Lane,
    /// The slot that its lane names.
    pub slot: u16,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
    pid: i32,
    heartbeat: Heartbeat,
    /// Since when it is an orphan.
    since: Instant,
    ending: bool,
}

/// Whether a process calls itself as ours do; what others call themselves a worker cannot change.
fn is_ours(pid: i32) -> bool {
    let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let names = [&b"portolan: worker "[..], b"portolan: checker ", b"portolan: runner "];
    names.iter().any(|name| title.starts_with(name))
}

impl Master {
    /// Finds the owners of lanes that are none of ours.
    pub fn watch_orphans(&mut self, now: Instant) {
        let lanes: Vec<Lane> = self.memory.memory().lanes_live().collect();
        for lane in lanes {
            if self.workers.values().any(|worker| worker.lane == lane) {
                continue;
            }
            match self.orphan(lane, now) {
                Some(orphan) => self.orphans.push(orphan),
                None => self.memory.release(lane),
            }
        }
    }

    /// The process that owns a lane, if it lives.
    fn orphan(&self, lane: Lane, now: Instant) -> Option<Orphan> {
        let owner = self.memory.memory().owner(lane);
        let pidfd = pidfd_open(Pid::from_raw(owner.pid)?, PidfdFlags::empty()).ok()?;
        let heartbeat = Heartbeat::new(self.memory.memory().heartbeat(lane));
        // Asked again: the pid may have come to somebody else before it was opened.
        (owner.lives() && is_ours(owner.pid)).then_some(Orphan {
            lane,
            slot: owner.slot,
            pidfd,
            pid: owner.pid,
            heartbeat,
            since: now,
            ending: false,
        })
    }

    /// Ends those whose loop stands still, and those that had long enough to finish; `since` is the
    /// time since the last look.
    pub fn check_orphans(&mut self, since: Duration, now: Instant) {
        let terms = self.current.and_then(|number| self.generations.get(&number));
        let terms = terms.map(|generation| generation.terms);
        let timeout = terms.map_or(HEARTBEAT_TIMEOUT, |terms| terms.heartbeat_timeout);
        let bound = terms.and_then(|terms| terms.hard_stop_after);
        let (mut lines, mut starved) = (Vec::new(), Vec::new());
        for orphan in self.orphans.iter_mut().filter(|orphan| !orphan.ending) {
            let value = self.memory.memory().heartbeat(orphan.lane);
            let pid = orphan.pid;
            let sign = orphan.heartbeat.look(value, since, timeout, || ProcessStat::of(pid));
            let name = format!("Worker ({pid}) of a former master");
            if sign == Sign::Starved {
                starved.push(no_turn(&name, orphan.heartbeat.silent()));
            }
            if sign == Sign::Still {
                let seconds = orphan.heartbeat.still().as_secs_f32();
                lines.push(format!("{name} has stood still for {seconds:.1} s: ending it"));
                lines.extend(
                    inspect::process(pid).iter().map(|line| format!("Worker ({pid}): {line}")),
                );
            } else if bound.is_some_and(|bound| now.duration_since(orphan.since) >= bound) {
                lines.push(format!("hard_stop_after is over: ending worker ({pid})"));
            } else {
                continue;
            }
            orphan.ending = true;
            // It has ended already where this fails.
            let _ = pidfd_send_signal(&orphan.pidfd, Signal::KILL);
        }
        for line in starved {
            self.say(LogLevel::Warning, &line);
        }
        for line in lines {
            self.say(LogLevel::Alert, &line);
        }
    }

    /// The owner of a lane that a former master left has ended.
    pub fn handle_orphan_end(&mut self, lane: Lane) {
        self.orphans.retain(|orphan| orphan.lane != lane);
        self.memory.release(lane);
    }
}
