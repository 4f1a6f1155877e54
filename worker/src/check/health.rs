//! How results become a server's state: HAProxy's counter with `rise` and `fall`.
//!
//! Core.
//!
//! ```text
//!   0 … rise-1      | rise … rise+fall-1
//!   down, going up  | up; below the end: going down
//! ```
//!
//! - A success counts one up; the one that reaches `rise` goes to the end at once. A failure counts one
//!   down; the one that falls below `rise` goes to 0 at once. So it takes `rise` successes in a row to
//!   come up, and `fall` failures in a row to go down.
//! - A conditional success makes a server stop only if it is up with it.
//! - Down is down only at 0: what was told otherwise (`init_state`) stays until then.

use portolan_shared::check_result::{CheckResult, Effect};
use portolan_shared::memory::{Operational, Verdict};
use portolan_shared::model::{Health, InitState, OnError};

/// Where between down and up a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    value: u32,
    rise: u32,
    fall: u32,
}

impl Counter {
    /// At this value, or the nearest there is.
    pub fn at(value: u32, rise: u32, fall: u32) -> Self {
        let (rise, fall) = (rise.max(1), fall.max(1));
        Self { value: value.min(rise.saturating_add(fall) - 1), rise, fall }
    }

    /// An agent's, of which one word is enough.
    pub fn of_agent(up: bool) -> Self {
        Self::at(u32::from(up), 1, 1)
    }

    /// 0 to `rise + fall - 1`.
    pub fn value(self) -> u32 {
        self.value
    }

    /// It is in the upper part.
    pub fn is_up(self) -> bool {
        self.value >= self.rise
    }

    /// There is nothing further up or down: no change is under way.
    pub fn is_settled(self) -> bool {
        self.value == 0 || self.value == self.top()
    }

    /// How far it is, and of how much: `2/3`.
    pub fn progress(self) -> (u32, u32) {
        if self.is_up() { (self.value - self.rise + 1, self.fall) } else { (self.value, self.rise) }
    }

    fn top(self) -> u32 {
        self.rise + self.fall - 1
    }

    /// One step up; whether it has moved.
    fn up(&mut self) -> bool {
        let moves = self.value < self.top();
        if moves {
            self.value += 1;
            if self.is_up() {
                self.value = self.top();
            }
        }
        moves
    }

    /// One step down; whether it has moved.
    fn down(&mut self) -> bool {
        let moves = self.value > 0;
        if moves {
            self.value -= 1;
            if !self.is_up() {
                self.value = 0;
            }
        }
        moves
    }
}

/// What is known of a server by its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judge {
    counter: Counter,
    /// Never `Unknown`.
    operational: Operational,
}

/// What a result has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The counter has moved: a failed check is counted, and logged if results are.
    pub counted: bool,
    /// The server has become this.
    pub became: Option<Operational>,
}

impl Judge {
    /// Of a server that was never checked.
    pub fn initial(health: &Health) -> Self {
        let top = health.rise.saturating_add(health.fall) - 1;
        let (value, operational) = match health.init_state {
            InitState::Up => (health.rise, Operational::Up),
            InitState::FullyUp => (top, Operational::Up),
            InitState::Down => (health.rise - 1, Operational::Down),
            InitState::FullyDown => (0, Operational::Down),
        };
        Self { counter: Counter::at(value, health.rise, health.fall), operational }
    }

    /// Of a server of which this is known; `rise` and `fall` may have been others then.
    pub fn kept(verdict: &Verdict, health: &Health) -> Self {
        let value = u32::from(verdict.health);
        let value = match verdict.operational {
            Operational::Unknown => return Self::initial(health),
            Operational::Up | Operational::Stopping => value.max(health.rise),
            Operational::Down => value.min(health.rise - 1),
        };
        let counter = Counter::at(value, health.rise, health.fall);
        Self { counter, operational: verdict.operational }
    }

    /// The counter.
    pub fn counter(self) -> Counter {
        self.counter
    }

    /// What the server is, never `Unknown`.
    pub fn operational(self) -> Operational {
        self.operational
    }

    /// Takes a check's result.
    pub fn on(&mut self, result: CheckResult) -> Change {
        let effect = result.effect();
        let counted = match effect {
            Effect::Unknown | Effect::Neutral => false,
            Effect::Failed => self.counter.down(),
            Effect::Passed | Effect::Conditional => self.counter.up(),
        };
        let now = match effect {
            Effect::Failed if self.counter.value == 0 => Operational::Down,
            Effect::Passed if self.counter.is_up() => Operational::Up,
            Effect::Conditional if self.counter.is_up() => Operational::Stopping,
            _ => self.operational,
        };
        self.become_now(now, counted)
    }

    /// Takes too many errors in the server's traffic; they are [`CheckResult::Observed`]. `None`: they
    /// count as nothing.
    pub fn on_errors(&mut self, consequence: OnError) -> Option<Change> {
        let rise = self.counter.rise;
        match consequence {
            OnError::Fastinter => return None,
            OnError::FailCheck => {}
            // The failure that follows leaves one.
            OnError::SuddenDeath => self.counter.value = self.counter.value.min(rise + 1),
            OnError::MarkDown => self.counter.value = self.counter.value.min(rise),
        }
        Some(self.on(CheckResult::Observed))
    }

    /// Takes what an operator says it is; `Unknown` is nothing.
    pub fn force(&mut self, operational: Operational) -> Change {
        self.counter.value = match operational {
            Operational::Unknown => return Change::default(),
            Operational::Up | Operational::Stopping => self.counter.top(),
            Operational::Down => 0,
        };
        self.become_now(operational, false)
    }

    fn become_now(&mut self, now: Operational, counted: bool) -> Change {
        let became = (now != self.operational).then_some(now);
        self.operational = now;
        Change { counted, became }
    }
}
