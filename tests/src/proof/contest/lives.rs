//! How long workers stay that a newer generation has replaced.
//!
//! Shell.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Contestant;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(25);

/// What has been seen of them.
#[derive(Debug, Default)]
pub struct Lives {
    gone: Vec<Duration>,
    staying: BTreeMap<i32, Instant>,
}

impl Lives {
    /// Looks again and again for so long.
    pub fn watch(&mut self, one: &Contestant, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.look(&one.former());
            if Instant::now() >= end {
                return;
            }
            std::thread::sleep(LOOK.min(time));
        }
    }

    fn look(&mut self, former: &[i32]) {
        let now = Instant::now();
        for pid in former {
            self.staying.entry(*pid).or_insert(now);
        }
        let gone = &mut self.gone;
        self.staying.retain(|pid, since| {
            let stays = former.contains(pid);
            if !stays {
                gone.push(now.duration_since(*since));
            }
            stays
        });
    }

    /// Those that have gone and those that have not, the shortest first.
    pub fn split(mut self) -> (Vec<Duration>, Vec<Duration>) {
        let now = Instant::now();
        let mut staying: Vec<Duration> =
            self.staying.values().map(|since| now.duration_since(*since)).collect();
        self.gone.sort_unstable();
        staying.sort_unstable();
        (self.gone, staying)
    }
}
