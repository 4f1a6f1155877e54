//! How often events of a kind that strangers can cause are said.
//!
//! Core: no I/O, the time is an argument. Per kind a bucket of [`BURST`] events that refills by one
//! per [`REFILL_MS`]; what finds it empty is counted, and the count is told with the next event of the
//! kind that is said, or by [`Limiter::expire`] once the kind was quiet for [`QUIET_MS`].

use super::clock::Millis;

/// Events of one kind in a row.
pub const BURST: u32 = 10;
/// Time for one more.
pub const REFILL_MS: Millis = 1000;
/// How long after the first suppressed event the count is told at the latest.
pub const QUIET_MS: Millis = 10_000;

/// What strangers can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PROXY header that is missing, malformed, late or from nobody we trust.
    ProxyHeader,
    /// A connection that could not be accepted.
    Accept,
    /// A configured limit was reached.
    Limit,
    /// Buffers, pipes, descriptors or memory ran out.
    Resource,
    /// A server refused, timed out or broke off.
    Server,
    /// A command on a control socket.
    Control,
    /// Log lines could not be sent.
    Log,
    /// A system call that the sandbox refuses.
    Sandbox,
}

const KINDS: [Kind; 8] = [
    Kind::ProxyHeader,
    Kind::Accept,
    Kind::Limit,
    Kind::Resource,
    Kind::Server,
    Kind::Control,
    Kind::Log,
    Kind::Sandbox,
];

impl Kind {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProxyHeader => "PROXY header",
            Self::Accept => "accept",
            Self::Limit => "limit",
            Self::Resource => "resource",
            Self::Server => "server",
            Self::Control => "control socket",
            Self::Log => "log",
            Self::Sandbox => "refusal of the sandbox",
        }
    }
}

/// Whether an event is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is, and so many of its kind before it were not.
    Say {
        /// Suppressed since the last one that was said.
        suppressed: u64,
    },
    /// It is not.
    Suppress,
}

/// One bucket per kind.
#[derive(Clone, Debug)]
pub struct Limiter {
    buckets: [Bucket; KINDS.len()],
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: u32,
    /// When `tokens` was right; `None` while it is full.
    since: Option<Millis>,
    suppressed: u64,
    /// When the count is told at the latest.
    due: Option<Millis>,
}

impl Default for Limiter {
    fn default() -> Self {
        let full = Bucket { tokens: BURST, since: None, suppressed: 0, due: None };
        Self { buckets: [full; KINDS.len()] }
    }
}

impl Limiter {
    /// Asks for one event; it counts as said when the answer is `Say`.
    pub fn ask(&mut self, kind: Kind, now: Millis) -> Verdict {
        self.buckets[kind as usize].ask(now)
    }

    /// When [`Limiter::expire`] has something to tell.
    pub fn due(&self) -> Option<Millis> {
        self.buckets.iter().filter_map(|bucket| bucket.due).min()
    }

    /// A kind whose count is due, with the count, which is then told.
    pub fn expire(&mut self, now: Millis) -> Option<(Kind, u64)> {
        let (kind, bucket) = KINDS
            .iter()
            .zip(&mut self.buckets)
            .find(|(_, bucket)| bucket.due.is_some_and(|due| due <= now))?;
        bucket.due = None;
        Some((*kind, std::mem::take(&mut bucket.suppressed)))
    }
}

impl Bucket {
    fn ask(&mut self, now: Millis) -> Verdict {
        self.refill(now);
        if self.tokens == 0 {
            self.suppressed += 1;
            self.due.get_or_insert(now + QUIET_MS);
            return Verdict::Suppress;
        }
        self.tokens -= 1;
        self.since.get_or_insert(now);
        self.due = None;
        Verdict::Say { suppressed: std::mem::take(&mut self.suppressed) }
    }

    fn refill(&mut self, now: Millis) {
        let Some(since) = self.since else { return };
        let earned = now.saturating_sub(since) / REFILL_MS;
        let missing = u64::from(BURST - self.tokens);
        if earned >= missing {
            self.tokens = BURST;
            self.since = None;
        } else {
            self.tokens += earned as u32;
            self.since = Some(since + REFILL_MS * earned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_said_and_then_one_a_second_with_the_count_of_the_others() {
        let start = 5_000;
        let mut limiter = Limiter::default();
        let said = (0..100)
            .filter(|_| limiter.ask(Kind::Accept, start) == Verdict::Say { suppressed: 0 })
            .count();
        assert_eq!(said, BURST as usize);
        let later = start + 1500;
        assert_eq!(limiter.ask(Kind::Accept, later), Verdict::Say { suppressed: 90 });
        assert_eq!(limiter.ask(Kind::Accept, later), Verdict::Suppress);
    }

    #[test]
    fn kinds_do_not_take_from_each_other() {
        let start = 5_000;
        let mut limiter = Limiter::default();
        for _ in 0..50 {
            limiter.ask(Kind::Accept, start);
        }
        assert_eq!(limiter.ask(Kind::Server, start), Verdict::Say { suppressed: 0 });
    }

    #[test]
    fn a_count_is_told_after_a_while_even_when_nothing_more_happens() {
        let start = 5_000;
        let mut limiter = Limiter::default();
        assert_eq!(limiter.due(), None);
        for _ in 0..BURST + 3 {
            limiter.ask(Kind::ProxyHeader, start);
        }
        assert_eq!(limiter.due(), Some(start + QUIET_MS));
        assert_eq!(limiter.expire(start), None);
        assert_eq!(limiter.expire(start + QUIET_MS), Some((Kind::ProxyHeader, 3)));
        assert_eq!(limiter.expire(start + QUIET_MS), None);
        assert_eq!(limiter.due(), None);
    }

    #[test]
    fn kinds_are_numbered_as_their_buckets_are() {
        for (number, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
    }
}
