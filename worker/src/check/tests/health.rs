//! The counter, and what a server becomes by it.

use portolan_shared::check_result::CheckResult;
use portolan_shared::memory::{Operational, Verdict};
use portolan_shared::model::{Health, InitState, OnError};

use crate::check::health::{Change, Counter, Judge};

fn of(rise: u32, fall: u32, init_state: InitState) -> Judge {
    Judge::initial(&Health { rise, fall, init_state, ..Health::default() })
}

/// How many of these results it takes until the server becomes something else, and what.
fn takes(mut judge: Judge, result: CheckResult) -> Option<(u32, Operational)> {
    (1..20).find_map(|count| judge.on(result).became.map(|became| (count, became)))
}

#[test]
fn it_takes_fall_failures_to_go_down_and_rise_successes_to_come_up() {
    for (rise, fall) in [(1, 1), (2, 3), (3, 2), (5, 1), (1, 5)] {
        let up = of(rise, fall, InitState::FullyUp);
        let down = of(rise, fall, InitState::FullyDown);
        assert_eq!(takes(up, CheckResult::L4Con), Some((fall, Operational::Down)));
        assert_eq!(takes(down, CheckResult::L7Ok), Some((rise, Operational::Up)));
        assert_eq!(takes(up, CheckResult::L7Ok), None);
        assert_eq!(takes(down, CheckResult::L7Sts), None);
    }
}

/// What `rise` and `fall` promise, said plainly.
struct Plain {
    now: Operational,
    /// Results of the kind that would change it, in a row.
    row: u32,
}

impl Plain {
    fn on(&mut self, result: CheckResult, rise: u32, fall: u32) {
        let up = self.now != Operational::Down;
        let fails = result == CheckResult::L7Sts;
        self.row = if up == fails { self.row + 1 } else { 0 };
        let changes = self.row == if up { fall } else { rise };
        let up = up != changes;
        self.now = match (up, result) {
            (false, _) => Operational::Down,
            (true, CheckResult::L7Sts) => self.now,
            (true, CheckResult::L7OkC) => Operational::Stopping,
            _ => Operational::Up,
        };
        if changes {
            self.row = 0;
        }
    }
}

#[test]
fn every_short_sequence_of_results_does_what_rise_and_fall_promise() {
    const RESULTS: [CheckResult; 3] = [CheckResult::L7Ok, CheckResult::L7OkC, CheckResult::L7Sts];
    const LENGTH: u32 = 7;
    for (rise, fall) in [(1, 1), (1, 3), (2, 3), (3, 1), (3, 2)] {
        for (begins, now) in
            [(InitState::FullyUp, Operational::Up), (InitState::FullyDown, Operational::Down)]
        {
            for sequence in 0..3_usize.pow(LENGTH) {
                let mut judge = of(rise, fall, begins);
                let mut plain = Plain { now, row: 0 };
                for at in 0..LENGTH {
                    let result = RESULTS[sequence / 3_usize.pow(at) % 3];
                    let before = judge.operational();
                    let change = judge.on(result);
                    plain.on(result, rise, fall);
                    assert_eq!(judge.operational(), plain.now, "{rise} {fall} {sequence} {at}");
                    assert_eq!(change.became.is_some(), judge.operational() != before);
                    assert_eq!(judge.counter().is_up(), plain.now != Operational::Down);
                }
            }
        }
    }
}

#[test]
fn a_server_begins_as_it_is_told_to() {
    let one_failure = of(2, 3, InitState::Up);
    let one_success = of(2, 3, InitState::Down);
    assert_eq!(one_failure.operational(), Operational::Up);
    assert_eq!(takes(one_failure, CheckResult::L7Tout), Some((1, Operational::Down)));
    assert_eq!(one_success.operational(), Operational::Down);
    assert_eq!(takes(one_success, CheckResult::L4Ok), Some((1, Operational::Up)));
}

#[test]
fn failures_that_are_not_in_a_row_do_not_add_up() {
    let mut judge = of(2, 3, InitState::FullyUp);
    for _ in 0..10 {
        assert_eq!(judge.on(CheckResult::L7Rsp), Change { counted: true, became: None });
        assert_eq!(judge.on(CheckResult::L7Rsp), Change { counted: true, became: None });
        assert_eq!(judge.on(CheckResult::L7Ok), Change { counted: true, became: None });
        assert_eq!(judge.on(CheckResult::L7Ok), Change { counted: false, became: None });
    }
}

#[test]
fn an_answer_that_changes_nothing_changes_nothing() {
    for result in [CheckResult::Unknown, CheckResult::Initializing, CheckResult::Checked] {
        let mut judge = of(2, 3, InitState::Up);
        assert_eq!(judge.on(result), Change::default());
        assert_eq!(judge, of(2, 3, InitState::Up));
    }
}

#[test]
fn a_conditional_success_stops_a_server_and_another_success_starts_it() {
    let mut judge = of(2, 3, InitState::Up);
    assert_eq!(judge.on(CheckResult::L7OkC).became, Some(Operational::Stopping));
    assert_eq!(judge.on(CheckResult::L7OkC), Change::default());
    assert_eq!(judge.on(CheckResult::L7Sts), Change { counted: true, became: None });
    assert_eq!(judge.operational(), Operational::Stopping);
    assert_eq!(judge.on(CheckResult::L7Ok).became, Some(Operational::Up));
    let mut down = of(2, 3, InitState::FullyDown);
    assert_eq!(down.on(CheckResult::L7OkC), Change { counted: true, became: None });
}

#[test]
fn errors_in_traffic_count_as_configured() {
    let after = |consequence: OnError| {
        let mut judge = of(2, 3, InitState::FullyUp);
        let change = judge.on_errors(consequence);
        (change, judge.counter().value())
    };
    let counted = Some(Change { counted: true, became: None });
    assert_eq!(after(OnError::Fastinter), (None, 4));
    assert_eq!(after(OnError::FailCheck), (counted, 3));
    assert_eq!(after(OnError::SuddenDeath), (counted, 2));
    let down = Some(Change { counted: true, became: Some(Operational::Down) });
    assert_eq!(after(OnError::MarkDown), (down, 0));
    let mut nearly = of(2, 3, InitState::Up);
    assert_eq!(nearly.on_errors(OnError::SuddenDeath), down);
    assert_eq!(nearly.on_errors(OnError::MarkDown), Some(Change::default()));
}

#[test]
fn an_operator_says_what_a_server_is() {
    let mut judge = of(2, 3, InitState::FullyUp);
    assert_eq!(judge.force(Operational::Down).became, Some(Operational::Down));
    assert_eq!(judge.counter().value(), 0);
    assert_eq!(judge.force(Operational::Down), Change::default());
    assert_eq!(judge.force(Operational::Stopping).became, Some(Operational::Stopping));
    assert_eq!(judge.force(Operational::Unknown), Change::default());
    assert_eq!(judge.force(Operational::Up).became, Some(Operational::Up));
    assert_eq!(judge.counter().value(), 4);
}

#[test]
fn a_kept_counter_fits_to_another_rise_and_fall() {
    let kept = |operational, value, rise, fall| {
        let verdict = Verdict { operational, health: value, ..Verdict::default() };
        let judge = Judge::kept(&verdict, &Health { rise, fall, ..Health::default() });
        (judge.operational(), judge.counter().value())
    };
    assert_eq!(kept(Operational::Up, 4, 2, 3), (Operational::Up, 4));
    assert_eq!(kept(Operational::Up, 4, 9, 3), (Operational::Up, 9));
    assert_eq!(kept(Operational::Stopping, 900, 2, 3), (Operational::Stopping, 4));
    assert_eq!(kept(Operational::Down, 4, 2, 3), (Operational::Down, 1));
    assert_eq!(kept(Operational::Unknown, 4, 2, 3), (Operational::Up, 2));
}

#[test]
fn progress_is_told_towards_the_next_change() {
    assert_eq!(Counter::at(0, 2, 3).progress(), (0, 2));
    assert_eq!(Counter::at(1, 2, 3).progress(), (1, 2));
    assert_eq!(Counter::at(2, 2, 3).progress(), (1, 3));
    assert_eq!(Counter::at(4, 2, 3).progress(), (3, 3));
    assert_eq!(Counter::of_agent(true).progress(), (1, 1));
    assert_eq!(Counter::of_agent(false).progress(), (0, 1));
}
