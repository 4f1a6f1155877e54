//! What the instance is doing in one line, for the service manager (`STATUS=`).
//!
//! The line is core; telling it where it changed is shell.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use portolan_shared::message::Role;
use portolan_shared::message::wrapper::ToWrapper;

use crate::master::Master;
use crate::state::State;
use crate::worker::Phase;

/// `gen 12, 8 workers, 1 server down; gen 11: 2 streams left`; nothing of servers where none is watched.
fn line(
    generation: u32,
    workers: usize,
    down: Option<u32>,
    old: &BTreeMap<u32, Option<u64>>,
    note: &str,
) -> String {
    let mut line = format!("gen {generation}, {workers} worker{}", plural(workers as u64));
    if let Some(down) = down {
        let _ = write!(line, ", {down} server{} down", plural(down.into()));
    }
    line.push_str(&rest(old));
    if !note.is_empty() {
        line.push_str("; ");
        line.push_str(note);
    }
    line
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// `; gen 11: 2 streams left`, newest first.
fn rest(old: &BTreeMap<u32, Option<u64>>) -> String {
    let mut line = String::new();
    for (generation, streams) in old.iter().rev() {
        let rest = match streams {
            Some(streams) => {
                format!("; gen {generation}: {streams} stream{} left", plural(*streams))
            }
            None => format!("; gen {generation}: stopping"),
        };
        line.push_str(&rest);
    }
    line
}

impl Master {
    /// Tells the status where it has changed.
    pub fn tell_status(&mut self) {
        let mut old: BTreeMap<u32, Option<u64>> = BTreeMap::new();
        for worker in self.workers.values().filter(|worker| worker.role == Role::Worker) {
            let stops = Some(worker.generation) != self.current || self.state.stops();
            if stops && worker.phase != Phase::Starting {
                let sum = old.entry(worker.generation).or_default();
                if let Some(streams) = worker.streams {
                    *sum = Some(sum.unwrap_or(0) + u64::from(streams));
                }
            }
        }
        let generation = self.current.unwrap_or(0);
        let note = match (&self.failure, self.state) {
            (_, State::Reloading { .. }) => "reloading".to_owned(),
            (Some(failure), _) => format!("reload failed: {}", failure.line),
            (None, _) if self.paused => "paused".to_owned(),
            (None, _) => String::new(),
        };
        let status = if self.state.stops() {
            format!("stopping{}", rest(&old))
        } else if self.current.is_none() {
            "starting".to_owned()
        } else {
            let watched = self.current().is_some_and(|current| !current.aides.is_empty());
            let down = watched.then(|| self.tally.down());
            line(generation, self.slots.serving_count(), down, &old, &note)
        };
        if status != self.status {
            self.tell(&ToWrapper::Status(status.clone()));
            self.status = status;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{line, rest};

    #[test]
    fn a_quiet_instance_is_its_generation_and_workers() {
        assert_eq!(line(12, 8, None, &BTreeMap::new(), ""), "gen 12, 8 workers");
        assert_eq!(line(1, 1, None, &BTreeMap::new(), ""), "gen 1, 1 worker");
    }

    #[test]
    fn old_generations_are_named_with_what_is_left_in_them_newest_first() {
        let old = BTreeMap::from([(10, None), (11, Some(2))]);
        let expected = "gen 12, 8 workers; gen 11: 2 streams left; gen 10: stopping";
        assert_eq!(line(12, 8, None, &old, ""), expected);
    }

    #[test]
    fn where_servers_are_watched_those_that_are_down_are_counted() {
        assert_eq!(line(12, 8, Some(0), &BTreeMap::new(), ""), "gen 12, 8 workers, 0 servers down");
        let old = BTreeMap::from([(11, None)]);
        let expected = "gen 12, 8 workers, 1 server down; gen 11: stopping";
        assert_eq!(line(12, 8, Some(1), &old, ""), expected);
    }

    #[test]
    fn what_is_left_while_all_stop_is_named_too() {
        assert_eq!(rest(&BTreeMap::from([(3, Some(1))])), "; gen 3: 1 stream left");
        assert_eq!(rest(&BTreeMap::new()), "");
    }

    #[test]
    fn a_failed_reload_stays_visible_with_its_place() {
        let note = "reload failed: a.toml:3:1: unknown key";
        assert_eq!(line(1, 2, None, &BTreeMap::new(), note), format!("gen 1, 2 workers; {note}"));
    }
}
