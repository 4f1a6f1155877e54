//! The bounded pool of buffers, and the streams that wait for one.
//!
//! Core. Invariants:
//!
//! - Never more than `limit` buffers are lent.
//! - Who waits is served in the order of asking: while anybody waits a newcomer waits behind them.
//! - None waits while a buffer could be lent, once [`BufferPool::poll_grant`] has said `None`.
//!
//! The shell gives back with [`BufferPool::give`] wherever it stands, and at one point of its cycle
//! takes the grants and wakes who they are for. `W` is how it finds them again (a slab's token).
//! A stream that ends while it waits says so with [`BufferPool::forget`].
//!
//! A buffer comes with whatever its last user left in it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Usage;
use super::spares::Spares;

/// One buffer of the pool's size.
pub type Buffer = Box<[u8]>;

/// A place among those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What who asks for a buffer gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// A buffer.
    Buffer(Buffer),
    /// None now; a grant follows in turn.
    Wait(Ticket),
}

/// The pool of one worker.
#[derive(Debug)]
pub struct BufferPool<W> {
    buffer_bytes: usize,
    spares: Spares<Buffer>,
    waiters: BTreeMap<Ticket, W>,
    next_ticket: u64,
    usage: Usage,
}

impl<W> BufferPool<W> {
    /// An empty pool; `limit` 0 is no bound.
    pub fn new(buffer_bytes: u32, limit: u32, now: Instant) -> Self {
        let limit = (limit > 0).then_some(limit as usize);
        Self {
            buffer_bytes: buffer_bytes as usize,
            spares: Spares::new(now),
            waiters: BTreeMap::new(),
            next_ticket: 0,
            usage: Usage { limit, ..Usage::default() },
        }
    }

    /// The size of every buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Lends a buffer, or notes `waiter` down behind those who wait already.
    pub fn take(&mut self, waiter: W) -> Taken {
        if self.waiters.is_empty() && !self.exhausted() {
            return Taken::Buffer(self.lend());
        }
        self.usage.refused += 1;
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiters.insert(ticket, waiter);
        Taken::Wait(ticket)
    }

    /// Takes a buffer back.
    pub fn give(&mut self, buffer: Buffer) {
        debug_assert_eq!(buffer.len(), self.buffer_bytes);
        debug_assert!(self.usage.used > 0);
        self.usage.used -= 1;
        self.spares.put(buffer);
    }

    /// The next who waited and now has a buffer.
    pub fn poll_grant(&mut self) -> Option<(W, Buffer)> {
        if self.exhausted() {
            return None;
        }
        let (_, waiter) = self.waiters.pop_first()?;
        Some((waiter, self.lend()))
    }

    /// Strikes out who no longer wants one; whether they still waited.
    pub fn forget(&mut self, ticket: Ticket) -> bool {
        self.waiters.remove(&ticket).is_some()
    }

    /// When [`Self::shrink`] should be called next.
    pub fn deadline(&self) -> Option<Instant> {
        self.spares.deadline()
    }

    /// Frees what was not needed for a while.
    pub fn shrink(&mut self, now: Instant) {
        self.usage.released += self.spares.shrink(now) as u64;
    }

    /// For `show pools`.
    pub fn usage(&self) -> Usage {
        Usage { spare: self.spares.len(), waiting: self.waiters.len(), ..self.usage }
    }

    fn exhausted(&self) -> bool {
        self.usage.limit.is_some_and(|limit| self.usage.used >= limit)
    }

    fn lend(&mut self) -> Buffer {
        self.usage.used += 1;
        self.usage.lent += 1;
        self.usage.peak = self.usage.peak.max(self.usage.used);
        self.spares.take().unwrap_or_else(|| {
            self.usage.made += 1;
            vec![0; self.buffer_bytes].into_boxed_slice()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn pool(limit: u32) -> BufferPool<u32> {
        BufferPool::new(64, limit, Instant::now())
    }

    fn buffer(taken: Taken) -> Buffer {
        match taken {
            Taken::Buffer(buffer) => buffer,
            Taken::Wait(ticket) => panic!("has to wait: {ticket:?}"),
        }
    }

    fn ticket(taken: &Taken) -> Ticket {
        match taken {
            Taken::Wait(ticket) => *ticket,
            Taken::Buffer(_) => panic!("got a buffer"),
        }
    }

    #[test]
    fn without_a_bound_everybody_gets_one_and_used_ones_come_first() {
        let mut pool = pool(0);
        let buffers: Vec<Buffer> = (0..100).map(|who| buffer(pool.take(who))).collect();
        for buffer in buffers {
            pool.give(buffer);
        }
        assert_eq!(buffer(pool.take(0)).len(), 64);
        let usage = pool.usage();
        assert_eq!((usage.made, usage.lent, usage.peak), (100, 101, 100));
        assert_eq!((usage.used, usage.spare, usage.limit), (1, 99, None));
    }

    #[test]
    fn who_waits_is_served_in_order_and_nobody_overtakes() {
        let mut pool = pool(1);
        let held = buffer(pool.take(0));
        let tickets: Vec<Ticket> = (1..=3).map(|who| ticket(&pool.take(who))).collect();
        assert_eq!(pool.poll_grant(), None);
        pool.give(held);
        ticket(&pool.take(4));
        assert!(pool.forget(tickets[0]));
        let (who, held) = pool.poll_grant().expect("one is free");
        assert_eq!((who, pool.poll_grant()), (2, None));
        assert!(!pool.forget(tickets[1]), "served already");
        pool.give(held);
        assert_eq!(pool.poll_grant().map(|(who, _)| who), Some(3));
        assert_eq!((pool.usage().waiting, pool.usage().refused), (1, 4));
    }

    #[test]
    fn after_a_peak_the_memory_goes_back() {
        let now = Instant::now();
        let mut pool = pool(0);
        let buffers: Vec<Buffer> = (0..1_000).map(|who| buffer(pool.take(who))).collect();
        for buffer in buffers {
            pool.give(buffer);
        }
        let mut now = now;
        while let Some(deadline) = pool.deadline() {
            now = now.max(deadline);
            pool.shrink(now);
        }
        assert_eq!(pool.usage().spare, super::super::spares::KEPT);
        assert_eq!(pool.usage().released, 1_000 - super::super::spares::KEPT as u64);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take,
        Give(prop::sample::Index),
        Forget(prop::sample::Index),
        Grant,
        Shrink,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Take),
            3 => any::<prop::sample::Index>().prop_map(Step::Give),
            1 => any::<prop::sample::Index>().prop_map(Step::Forget),
            2 => Just(Step::Grant),
            1 => Just(Step::Shrink),
        ]
    }

    proptest! {
        #[test]
        fn the_pool_keeps_its_bound_and_its_order(
            limit in 1_u32..5,
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut now = Instant::now();
            let mut pool = BufferPool::new(8, limit, now);
            let mut held: Vec<Buffer> = Vec::new();
            let mut waiting: VecDeque<(u32, Ticket)> = VecDeque::new();
            for (step, who) in steps.into_iter().zip(0..) {
                match step {
                    Step::Take => match pool.take(who) {
                        Taken::Buffer(buffer) => {
                            prop_assert!(waiting.is_empty());
                            held.push(buffer);
                        }
                        Taken::Wait(ticket) => {
                            prop_assert!(!waiting.is_empty() || held.len() == limit as usize);
                            waiting.push_back((who, ticket));
                        }
                    },
                    Step::Give(at) if !held.is_empty() => {
                        let buffer = held.swap_remove(at.index(held.len()));
                        pool.give(buffer);
                    }
                    Step::Forget(at) if !waiting.is_empty() => {
                        let (_, ticket) = waiting.remove(at.index(waiting.len())).expect("in range");
                        prop_assert!(pool.forget(ticket));
                    }
                    Step::Grant => match pool.poll_grant() {
                        Some((who, buffer)) => {
                            prop_assert_eq!(waiting.pop_front().map(|(first, _)| first), Some(who));
                            held.push(buffer);
                        }
                        None => {
                            prop_assert!(waiting.is_empty() || held.len() == limit as usize);
                        }
                    },
                    Step::Shrink => {
                        now += super::super::spares::INTERVAL;
                        pool.shrink(now);
                    }
                    Step::Give(_) | Step::Forget(_) => {}
                }
                let usage = pool.usage();
                prop_assert!(held.len() <= limit as usize);
                prop_assert_eq!((usage.used, usage.waiting), (held.len(), waiting.len()));
                prop_assert_eq!(
                    usage.made - usage.released,
                    (usage.used + usage.spare) as u64
                );
            }
        }
    }
}
