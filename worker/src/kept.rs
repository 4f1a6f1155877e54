//! Connections to one server that wait for their next request.
//!
//! Core: it holds tokens, never descriptors; `now` is an argument. Whoever gets a connection out closes
//! it or uses it.
//!
//! - The youngest is used first, so that those beyond what is needed grow old and are purged.
//! - What was not needed since the last look is closed by half, as HAProxy does with
//!   `pool-purge-delay`; `low` of them stay.
//!
//! Limits: at most `most` wait (this worker's share of `pool_max_conn`).

use portolan_shared::model::HttpServer;

use crate::clock::{Millis, millis};
use crate::descriptor::Token;

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its descriptor.
    pub token: Token,
    /// Requests it has served after its first.
    pub reuses: u32,
}

/// Those of one server.
#[derive(Debug)]
pub struct KeptPool {
    /// Its owner has it among those that may hold connections.
    pub listed: bool,
    idle: Vec<Kept>,
    most: usize,
    low: usize,
    delay: Millis,
    /// The fewest that waited since the last look.
    spare: usize,
    looked: Millis,
}

impl KeptPool {
    /// An empty pool of one of so many workers.
    pub fn new(server: &HttpServer, workers: u16) -> Self {
        let share = |all: u32| (all as usize).div_ceil(usize::from(workers.max(1)));
        let delay = millis(server.pool_purge_delay);
        let most = server.pool_max_conn.map_or(usize::MAX, share);
        Self {
            listed: false,
            idle: Vec::new(),
            most: if delay == 0 { 0 } else { most },
            low: server.pool_low_conn as usize,
            delay,
            spare: 0,
            looked: 0,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.idle.len()
    }

    /// Whether one more would be kept.
    pub fn has_room(&self) -> bool {
        self.idle.len() < self.most
    }

    /// Takes a connection in; gives it back where there is no room for it.
    pub fn keep(&mut self, kept: Kept, now: Millis) -> Result<(), Kept> {
        if !self.has_room() {
            return Err(kept);
        }
        if self.idle.is_empty() {
            (self.spare, self.looked) = (0, now);
        }
        self.idle.push(kept);
        Ok(())
    }

    /// The youngest; with `proven` one that has been used again before.
    pub fn take(&mut self, proven: bool) -> Option<Kept> {
        let at = if proven {
            self.idle.iter().rposition(|kept| kept.reuses > 0)?
        } else {
            self.idle.len().checked_sub(1)?
        };
        let kept = self.idle.remove(at);
        self.spare = self.spare.min(self.idle.len());
        Some(kept)
    }

    /// The oldest, to make room for something else.
    pub fn take_oldest(&mut self) -> Option<Kept> {
        (!self.idle.is_empty()).then(|| self.idle.remove(0))
    }

    /// One that the server has closed.
    pub fn forget(&mut self, token: Token) -> bool {
        let found = self.idle.iter().position(|kept| kept.token == token);
        if let Some(at) = found {
            self.idle.remove(at);
            self.spare = self.spare.min(self.idle.len());
        }
        found.is_some()
    }

    /// Takes out what is to be closed now.
    pub fn purge(&mut self, now: Millis) -> Vec<Kept> {
        if now.saturating_sub(self.looked) < self.delay {
            return Vec::new();
        }
        let surplus = self.spare.min(self.idle.len().saturating_sub(self.low)).div_ceil(2);
        let closed = self.idle.drain(..surplus).collect();
        (self.looked, self.spare) = (now, self.idle.len());
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: u64, reuses: u32) -> Kept {
        Kept { token: Token::from_bits(number), reuses }
    }

    fn pool(most: Option<u32>, low: u32) -> KeptPool {
        let server =
            HttpServer { pool_max_conn: most, pool_low_conn: low, ..HttpServer::default() };
        KeptPool::new(&server, 2)
    }

    #[test]
    fn the_youngest_is_used_first_and_a_proven_one_on_demand() {
        let mut pool = pool(None, 0);
        for (number, reuses) in [(1, 1), (2, 0), (3, 0)] {
            pool.keep(kept(number, reuses), 0).unwrap();
        }
        assert_eq!(pool.take(true), Some(kept(1, 1)));
        assert_eq!(pool.take(true), None);
        assert_eq!(pool.take(false), Some(kept(3, 0)));
        assert_eq!(pool.len(), 1);
    }

    #[test]
    fn each_worker_keeps_its_share() {
        let mut pool = pool(Some(3), 0);
        assert_eq!(pool.keep(kept(1, 0), 0), Ok(()));
        assert_eq!(pool.keep(kept(2, 0), 0), Ok(()));
        assert_eq!(pool.keep(kept(3, 0), 0), Err(kept(3, 0)));
        let none =
            HttpServer { pool_purge_delay: std::time::Duration::ZERO, ..HttpServer::default() };
        assert_eq!(KeptPool::new(&none, 1).keep(kept(1, 0), 0), Err(kept(1, 0)));
    }

    #[test]
    fn what_was_not_needed_is_closed_by_half_and_the_oldest_first() {
        let mut pool = pool(None, 1);
        for number in 0..8 {
            pool.keep(kept(number, 0), 0).unwrap();
        }
        assert!(pool.purge(4999).is_empty());
        // All were just kept: what is spare is seen at the next look.
        assert!(pool.purge(5000).is_empty());
        let closed = pool.purge(10_000);
        assert_eq!(closed, (0..4).map(|number| kept(number, 0)).collect::<Vec<_>>());
        let used: Vec<_> = (0..3).map(|_| pool.take(false).unwrap()).collect();
        for one in used {
            pool.keep(one, 10_001).unwrap();
        }
        assert_eq!(pool.purge(15_000), [kept(4, 0)], "three of four were needed");
    }

    #[test]
    fn one_that_the_server_closed_is_gone() {
        let mut pool = pool(None, 0);
        pool.keep(kept(1, 0), 0).unwrap();
        assert!(pool.forget(Token::from_bits(1)));
        assert!(!pool.forget(Token::from_bits(1)));
        assert_eq!(pool.take(false), None);
    }
}
