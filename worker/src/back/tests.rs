//! The table as a picture, and every path through it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use portolan_shared::model::Redispatch;

use super::*;

const NORMAL: Termination = Termination::NORMAL;

const STATES: [(&str, State); 12] = [
    ("INI", State::Ini),
    ("REQ", State::Req),
    ("QUE", State::Que),
    ("TAR(same)", State::Tar(After::Same)),
    ("TAR(any)", State::Tar(After::Any)),
    ("ASS", State::Ass),
    ("CON", State::Con),
    ("CER", State::Cer(Failure::Refused)),
    ("RDY", State::Rdy),
    ("EST", State::Est),
    ("DIS", State::Dis(NORMAL)),
    ("CLO", State::Clo(NORMAL)),
];

const INPUTS: [Input; 30] = [
    Input::Asked,
    Input::Assigned { moved: false },
    Input::Assigned { moved: true },
    Input::NoPlace,
    Input::NoServer,
    Input::PlaceFree,
    Input::QueueTimeout,
    Input::ConnectStarted,
    Input::Connected,
    Input::Ready,
    Input::ConnectFailed(Failure::Refused),
    Input::ConnectFailed(Failure::TimedOut),
    Input::ConnectFailed(Failure::Resource),
    Input::ConnectFailed(Failure::Limit),
    Input::ConnectFailed(Failure::Internal),
    Input::Decided(Retry::Never),
    Input::Decided(Retry::Same { wait: false }),
    Input::Decided(Retry::Same { wait: true }),
    Input::Decided(Retry::Elsewhere { wait: false }),
    Input::Decided(Retry::Elsewhere { wait: true }),
    Input::TurnaroundOver,
    Input::Greeted,
    Input::Stale,
    Input::Lost,
    Input::Over(NORMAL),
    Input::Parted(NORMAL),
    Input::Disconnected,
    Input::Aborted(Cause::Client),
    Input::Aborted(Cause::Killed),
    Input::Aborted(Cause::Resource),
];

#[test]
fn the_table_is_this() {
    let mut table = String::new();
    for (name, state) in STATES {
        for input in INPUTS {
            if let Some((next, action)) = state.on(input) {
                let next = STATES
                    .iter()
                    .find(|(_, known)| {
                        std::mem::discriminant(known) == std::mem::discriminant(&next)
                            && (!matches!(next, State::Tar(_)) || *known == next)
                    })
                    .map_or("?", |(next, _)| next);
                let action = match action {
                    Action::End(why) => format!("End({why})"),
                    other => format!("{other:?}"),
                };
                writeln!(table, "{name:<9} {:<36} {next:<9} {action}", format!("{input:?}"))
                    .expect("a string takes it");
            }
        }
    }
    insta::assert_snapshot!(table);
}

const AROUND: [Surroundings; 4] = [
    Surroundings { usable: false, others: false },
    Surroundings { usable: false, others: true },
    Surroundings { usable: true, others: false },
    Surroundings { usable: true, others: true },
];

/// Every policy up to `retries` 3.
fn policies() -> Vec<Policy> {
    let mut all = Vec::new();
    for retries in 0..=3 {
        let mut rules = vec![Redispatch::Off, Redispatch::Last];
        rules.extend((1..=4).map(Redispatch::Every));
        rules.extend((1..=5).map(Redispatch::EveryFromLast));
        for redispatch in rules {
            all.push(Policy { retries, redispatch, connect_timeout: None });
        }
    }
    all
}

/// What the outside world would know: who holds what, and how often it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    back: Back,
    held: Held,
    connects: u32,
}

impl World {
    /// Plays one step against the ledger.
    fn play(
        mut self,
        step: impl FnOnce(&mut Back) -> Option<Step>,
        input: Option<Input>,
    ) -> Option<Self> {
        let before = self.back.state();
        let step = step(&mut self.back)?;
        match input {
            Some(Input::Assigned { .. }) => {
                assert!(!self.held.has(Held::SLOT), "a second slot in {before:?}");
                self.held = self.held.with(Held::SLOT);
            }
            Some(Input::ConnectStarted | Input::Connected | Input::Ready)
                if before == State::Ass =>
            {
                assert!(!self.held.has(Held::CONNECTION));
                self.held = self.held.with(Held::CONNECTION);
            }
            _ => {}
        }
        assert!(self.held.has(step.release), "released without holding it, from {before:?}");
        self.held = self.held.without(step.release);
        match step.action {
            Action::Enqueue => {
                assert!(!self.held.has(Held::QUEUE_PLACE));
                self.held = self.held.with(Held::QUEUE_PLACE);
            }
            Action::Connect => self.connects += 1,
            _ => {}
        }
        assert_eq!(self.held, self.back.state().holds(), "after {before:?} and {input:?}");
        Some(self)
    }
}

#[test]
fn every_path_ends_closed_with_everything_given_back_once_and_a_bounded_number_of_connects() {
    for policy in policies() {
        let start = World { back: Back::default(), held: Held::NOTHING, connects: 0 };
        let mut successors: HashMap<World, Vec<World>> = HashMap::new();
        let mut open = vec![start];
        while let Some(world) = open.pop() {
            if successors.contains_key(&world) {
                continue;
            }
            let decisions = AROUND
                .iter()
                .filter_map(|around| world.play(|back| retry(back, &policy, *around), None));
            let plain = INPUTS
                .iter()
                .filter(|input| !matches!(input, Input::Decided(_)))
                .filter_map(|input| world.play(|back| back.on(*input), Some(*input)));
            let next: Vec<World> = decisions.chain(plain).collect();
            let most = policy.retries + 1 + u32::from(world.back.renewed());
            assert!(world.connects <= most, "{policy:?}: {world:?}");
            assert!(world.back.retries() <= policy.retries);
            let closed = matches!(world.back.state(), State::Clo(_));
            assert_eq!(closed, next.is_empty(), "only CLO is final: {world:?}");
            assert!(!closed || world.held == Held::NOTHING);
            open.extend(&next);
            successors.insert(world, next);
        }
        // From everywhere a way leads to CLO.
        let mut ending: HashSet<World> = successors
            .keys()
            .filter(|world| matches!(world.back.state(), State::Clo(_)))
            .copied()
            .collect();
        loop {
            let more: Vec<World> = successors
                .iter()
                .filter(|(world, next)| {
                    !ending.contains(*world) && next.iter().any(|next| ending.contains(next))
                })
                .map(|(world, _)| *world)
                .collect();
            if more.is_empty() {
                break;
            }
            ending.extend(more);
        }
        assert_eq!(ending.len(), successors.len(), "{policy:?}");
    }
}

/// One retry, or the end.
fn retry(back: &mut Back, policy: &Policy, around: Surroundings) -> Option<Step> {
    let decided = back.decide(policy, around)?;
    back.on(decided)
}

/// The decisions of one stream whose every attempt fails so.
fn decisions(policy: Policy, failure: Failure, around: Surroundings) -> Vec<Retry> {
    (0..=policy.retries).map(|done| policy.decide(failure, done, around)).collect()
}

const ALONE: Surroundings = Surroundings { usable: true, others: false };
const AMONG_OTHERS: Surroundings = Surroundings { usable: true, others: true };

fn policy(retries: u32, redispatch: Redispatch) -> Policy {
    Policy { retries, redispatch, connect_timeout: Some(Duration::from_millis(300)) }
}

#[test]
fn without_redispatch_the_same_server_is_tried_after_a_wait_until_no_retry_is_left() {
    let again = Retry::Same { wait: true };
    for around in AROUND {
        assert_eq!(
            decisions(policy(3, Redispatch::Off), Failure::Refused, around),
            [again, again, again, Retry::Never]
        );
    }
}

#[test]
fn only_a_refusal_is_waited_after() {
    let at_once = Retry::Same { wait: false };
    for failure in [Failure::TimedOut, Failure::Resource, Failure::Limit] {
        assert_eq!(decisions(policy(1, Redispatch::Off), failure, ALONE), [at_once, Retry::Never]);
    }
    assert_eq!(
        decisions(policy(2, Redispatch::Off), Failure::Internal, ALONE),
        [Retry::Never, Retry::Never, Retry::Never]
    );
}

#[test]
fn redispatching_among_several_leaves_at_once_every_time() {
    let elsewhere = Retry::Elsewhere { wait: false };
    assert_eq!(
        decisions(policy(3, Redispatch::Last), Failure::Refused, AMONG_OTHERS),
        [elsewhere, elsewhere, elsewhere, Retry::Never]
    );
}

#[test]
fn a_server_that_can_no_longer_be_chosen_is_left_where_redispatching_is_on() {
    let gone = Surroundings { usable: false, others: false };
    assert_eq!(
        decisions(policy(1, Redispatch::Last), Failure::TimedOut, gone)[0],
        Retry::Elsewhere { wait: false }
    );
    assert_eq!(
        decisions(policy(1, Redispatch::Off), Failure::TimedOut, gone)[0],
        Retry::Same { wait: false }
    );
}

#[test]
fn the_interval_says_which_retry_leaves_a_lone_server() {
    let due = |retries, rule| -> Vec<u32> {
        (1..=retries).filter(|retry| policy(retries, rule).leaves(*retry, ALONE)).collect()
    };
    assert_eq!(due(4, Redispatch::Off), [0; 0]);
    assert_eq!(due(4, Redispatch::Last), [4]);
    assert_eq!(due(4, Redispatch::Every(1)), [1, 2, 3, 4]);
    assert_eq!(due(4, Redispatch::Every(2)), [2, 4]);
    assert_eq!(due(4, Redispatch::EveryFromLast(1)), [4]);
    assert_eq!(due(5, Redispatch::EveryFromLast(3)), [3]);
    assert_eq!(due(4, Redispatch::EveryFromLast(9)), [0; 0]);
}

#[test]
fn the_wait_is_the_connect_timeout_but_at_most_a_second() {
    let wait = |connect_timeout| {
        Policy { retries: 1, redispatch: Redispatch::Off, connect_timeout }.turnaround()
    };
    assert_eq!(wait(Some(Duration::from_millis(300))), Duration::from_millis(300));
    assert_eq!(wait(Some(Duration::from_secs(5))), Duration::from_secs(1));
    assert_eq!(wait(None), Duration::from_secs(1));
}

#[test]
fn a_retry_elsewhere_is_counted_and_marked_when_the_server_really_changed() {
    let mut back = Back::default();
    let policy = policy(3, Redispatch::Last);
    back.on(Input::Asked);
    back.on(Input::Assigned { moved: false });
    back.on(Input::ConnectStarted);
    let failed = back.on(Input::ConnectFailed(Failure::Refused)).expect("it was connecting");
    assert_eq!(failed.release, Held::CONNECTION);
    let again = retry(&mut back, &policy, AMONG_OTHERS).expect("it had failed");
    assert_eq!(again.release, Held::SLOT);
    assert_eq!(again.action, Action::PickAnother);
    assert!(!back.redispatched());
    back.on(Input::Assigned { moved: true });
    assert_eq!((back.retries(), back.redispatched()), (1, true));
}
