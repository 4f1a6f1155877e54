//! What a client has in its hands: its choices, its front, its counts.
//!
//! Shell.

use std::sync::Arc;

use super::Dice;
use super::crowd::Shared;
use super::fault::{Fault, Mistake};
use super::kinds::Kind;
use super::link::{Answer, Link, Place};
use super::tally::Count;
use std::time::{Duration, Instant};

/// The wait behind a mistake: nobody's loop spins where nobody listens.
const AFTER_MISTAKE: Duration = Duration::from_millis(50);

/// One client.
#[derive(Debug)]
pub struct Hand {
    /// Its choices.
    pub dice: Dice,
    kind: Kind,
    number: usize,
    shared: Arc<Shared>,
    place: Arc<Place>,
    serial: u64,
}

impl Hand {
    /// The client of this number.
    pub(super) fn new(kind: Kind, number: usize, seed: u64, shared: Arc<Shared>) -> Self {
        let place = Arc::clone(shared.place(number));
        let dice = Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        Self { dice, kind, number, shared, place, serial: 0 }
    }

    /// Lives until it is told to end.
    pub(super) fn live(mut self) {
        while self.rest(0, 5) {
            if let Err(fault) = self.kind.life(&mut self) {
                self.note(fault);
                std::thread::sleep(AFTER_MISTAKE);
            }
        }
    }

    fn note(&self, fault: Fault) {
        let seen = self.place.connection();
        let at = Instant::now();
        self.shared.note(Mistake {
            kind: self.kind,
            number: self.number,
            fault,
            doing: seen.doing,
            local: seen.local,
            opened: seen.opened,
            at,
            after: at.duration_since(self.shared.start()),
        });
    }

    /// A connection to where this kind goes.
    pub fn connect(&self) -> Result<Link, Fault> {
        self.connect_small(None)
    }

    /// The same with a small receive buffer.
    pub fn connect_small(&self, buffer: Option<usize>) -> Result<Link, Fault> {
        let link = Link::connect(self.shared.front(self.kind), &self.place, buffer)?;
        self.count(Count::Connections);
        Ok(link)
    }

    /// A number that no other request has.
    pub fn seed(&mut self) -> u64 {
        self.serial += 2;
        (self.shared.ordinal() << 16 | self.number as u64) << 32 | self.serial
    }

    /// One more of these.
    pub fn count(&self, count: Count) {
        self.shared.tally().add(self.kind, count);
    }

    /// Waits between these many milliseconds where it may be held up; whether it goes on.
    pub fn rest(&mut self, first: u64, last: u64) -> bool {
        let time = self.dice.millis(first, last);
        self.shared.rest(time)
    }

    /// Behind a whole answer: whether the connection goes on. One that does not has to end in order.
    pub fn goes_on(&self, link: &mut Link, answer: Answer) -> Result<bool, Fault> {
        if !answer.closes {
            return Ok(true);
        }
        link.doing("waiting for the end that was announced");
        link.expect_end()?;
        self.count(Count::Asked);
        Ok(false)
    }
}
