//! Clients that came with a predecessor's places, where the new configuration has fewer of them.
//!
//! Shell. Nobody is refused for that: while connections are on their way some count twice, and how many are
//! too many is not known. Once all is quiet the next answers of as many as are too many are their last;
//! of several workers each sends its share away. Newcomers wait until there is room anyway.
//!
//! Limits: quiet means [`QUIET_MS`] without an arrival.

use std::collections::BTreeMap;

use portolan_shared::memory::{Object, Place};

use super::Handing;
use crate::clock::Millis;
use crate::event_loop::Worker;
use crate::session::{SessionKey, Stage};
use crate::stream::Stream;

/// How long nothing must have come, milliseconds.
const QUIET_MS: Millis = 500;

impl Worker {
    /// A connection comes that was let in under these limits, in the order of `places`.
    pub(super) fn note_lowered(&mut self, places: &[Place], before: [u32; 3]) {
        let lowered = |(place, before): (&Place, u32)| {
            place.cap.is_some_and(|cap| before == 0 || cap < before)
        };
        if places.iter().zip(before).any(lowered) {
            self.handover.excess_at = Some(self.clock.now() + QUIET_MS);
            self.rest_handover();
        }
    }

    /// Sends away as many as are too many, if it is time.
    pub(super) fn dismiss_excess(&mut self) {
        if self.handover.excess_at.is_none_or(|at| at > self.clock.now()) {
            return;
        }
        self.handover.excess_at = None;
        let is_tunnel = |stream: &Stream| stream.http.as_ref().is_some_and(|http| http.tunnel);
        let mut clients: BTreeMap<Object, (u32, Vec<SessionKey>)> = BTreeMap::new();
        for (key, session) in &self.sessions {
            if let Stage::Busy(stream) = session.stage
                && self.streams.get(stream as usize).is_some_and(is_tunnel)
            {
                // It goes on until it ends.
                continue;
            }
            for place in self.listeners[session.listener as usize].places() {
                if let Some(cap) = place.cap {
                    let of = clients.entry(place.object).or_insert((cap, Vec::new()));
                    of.1.push(key as SessionKey);
                }
            }
        }
        for (object, (cap, mut keys)) in clients {
            let current = self.lane.memory().current(object);
            let share = share(current, cap, keys.len());
            // Who has waited longest is missed least.
            keys.sort_by_key(|key| self.sessions[*key as usize].idle_since);
            let (gone, left): (Vec<SessionKey>, Vec<SessionKey>) =
                keys.into_iter().partition(|key| self.is_refused(*key));
            for key in left.into_iter().take(share.saturating_sub(gone.len())) {
                let session = &mut self.sessions[key as usize];
                if session.handing != Handing::Moving {
                    session.handing = Handing::Refused;
                }
            }
        }
    }
}

/// How many of its own a worker sends away where so many are too many over all: together the workers'
/// shares are enough.
fn share(current: u32, cap: u32, own: usize) -> usize {
    let excess = current.saturating_sub(cap) as usize;
    (excess * own).div_ceil(current.max(1) as usize).min(own)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn the_shares_of_all_workers_are_enough_and_hardly_more() {
        assert_eq!(share(40, 30, 40), 10);
        assert_eq!(share(40, 40, 40), 0);
        assert_eq!(share(40, 50, 40), 0);
        assert_eq!(share(0, 0, 0), 0);
        for current in 1..50_u32 {
            for cap in 0..current {
                let parts = [current / 3, current / 4, current - current / 3 - current / 4];
                let all: usize = parts.iter().map(|own| share(current, cap, *own as usize)).sum();
                let excess = (current - cap) as usize;
                assert!((excess..excess + parts.len()).contains(&all), "{current} {cap}");
            }
        }
    }
}
