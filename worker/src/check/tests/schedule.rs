//! Times of checks.

use std::time::Duration;

use portolan_shared::check_result::CheckResult;
use portolan_shared::memory::Operational;
use portolan_shared::model::{Health, InitState, Timeouts};

use crate::check::health::Judge;
use crate::check::schedule::{INTERVAL_MIN, first, interval, patience, shortest, spread};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_interval_is_that_of_the_state() {
    let health = Health {
        inter: seconds(2),
        fastinter: Some(seconds(1)),
        downinter: Some(seconds(5)),
        init_state: InitState::FullyUp,
        ..Health::default()
    };
    let mut judge = Judge::initial(&health);
    assert_eq!(interval(&health, judge), seconds(2));
    judge.on(CheckResult::L4Con);
    assert_eq!(interval(&health, judge), seconds(1));
    judge.force(Operational::Down);
    assert_eq!(interval(&health, judge), seconds(5));
    judge.on(CheckResult::L4Ok);
    assert_eq!(interval(&health, judge), seconds(1));
    let plain = Health { fastinter: None, downinter: None, ..health.clone() };
    assert_eq!(interval(&plain, judge), seconds(2));
    let none = Health { inter: Duration::ZERO, ..Health::default() };
    assert_eq!(interval(&none, Judge::initial(&none)), INTERVAL_MIN);
}

#[test]
fn an_interval_is_spread_evenly_around_itself() {
    assert_eq!(spread(seconds(2), 0, 12345), seconds(2));
    assert_eq!(spread(seconds(2), 50, 0), seconds(1));
    assert_eq!(spread(seconds(2), 50, u32::MAX), seconds(3));
    let middle = spread(seconds(2), 50, u32::MAX / 2);
    assert!(middle.abs_diff(seconds(2)) < Duration::from_micros(1), "{middle:?}");
    assert_eq!(spread(INTERVAL_MIN, 100, 0), INTERVAL_MIN);
}

#[test]
fn first_checks_follow_one_another_over_the_shortest_interval() {
    let intervals = [seconds(3), seconds(2), Duration::from_millis(100)];
    let over = shortest(intervals.into_iter());
    assert_eq!(over, seconds(2));
    assert_eq!(shortest(std::iter::empty()), Duration::ZERO);
    assert_eq!(first(0, 10, over, seconds(2), None), Duration::ZERO);
    assert_eq!(first(5, 10, over, seconds(2), None), seconds(1));
    assert_eq!(first(5, 10, over, seconds(4), None), seconds(2));
    assert_eq!(first(5, 10, over, seconds(4), Some(seconds(1))), Duration::from_millis(500));
    assert_eq!(first(0, 0, over, seconds(4), None), Duration::ZERO);
}

#[test]
fn only_a_timeout_for_checks_divides_their_time() {
    let timeouts = |check, connect| Timeouts { check, connect, ..Timeouts::default() };
    let plain = patience(seconds(2), &timeouts(None, Some(seconds(1))));
    assert_eq!((plain.connect, plain.answer), (seconds(2), None));
    let divided = patience(seconds(2), &timeouts(Some(seconds(9)), Some(seconds(1))));
    assert_eq!((divided.connect, divided.answer), (seconds(1), Some(seconds(9))));
    let slow = patience(seconds(2), &timeouts(Some(seconds(9)), Some(seconds(5))));
    assert_eq!(slow.connect, seconds(2));
}
