use std::fmt::Write as _;

use super::*;

const STATES: [State; 12] = [
    State::Starting,
    State::Serving,
    State::Upgrading,
    State::FallingBack,
    State::Waiting,
    State::Restarting,
    State::Adopting { first: true },
    State::Adopting { first: false },
    State::SoftStopping,
    State::HardStopping { status: 143 },
    State::Draining { status: 0 },
    State::Ended { status: 0 },
];

const INPUTS: [Input; 27] = [
    Input::Ready,
    Input::Upgrading,
    Input::UpgradeAbandoned,
    Input::UpgradeWrapper,
    Input::Stopping,
    Input::Exited(0),
    Input::Exited(1),
    Input::Exited(143),
    Input::Killed(9),
    Input::Ended,
    Input::Adopted,
    Input::AdoptedAtWork,
    Input::AdoptedStarting,
    Input::AdoptedStopping,
    Input::AdoptionExpired,
    Input::CannotStart,
    Input::SoftStop,
    Input::HardStop(15),
    Input::HardStop(2),
    Input::OtherSignal,
    Input::BackOffPassed,
    Input::UpgradeExpired,
    Input::StopExpired,
    Input::Silent,
    Input::ChildrenGone,
    Input::NewWrapperTried,
    Input::PidFileFailed,
];

#[test]
fn the_whole_table() {
    let mut table = String::new();
    for state in STATES {
        writeln!(table, "{state:?}").unwrap();
        for input in INPUTS {
            if let Some((next, action)) = state.on(input) {
                let next = if next == state { "=".to_owned() } else { format!("{next:?}") };
                writeln!(table, "  {:<16} {action:?} → {next}", format!("{input:?}")).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table, @r"
    Starting
      Ready            Announce → Serving
      Exited(0)        KillAll → Ended { status: 0 }
      Exited(1)        KillAll → Ended { status: 1 }
      Exited(143)      KillAll → Ended { status: 143 }
      Killed(9)        KillAll → Ended { status: 137 }
      Ended            KillAll → Ended { status: 1 }
      CannotStart      Nothing → Ended { status: 1 }
      SoftStop         KeepSignal → =
      HardStop(15)     HardStop → HardStopping { status: 143 }
      HardStop(2)      HardStop → HardStopping { status: 130 }
      OtherSignal      KeepSignal → =
      Silent           Kill → =
    Serving
      Ready            Announce → =
      Upgrading        HandOver → Upgrading
      UpgradeWrapper   TryNewWrapper → =
      Stopping         SayStopping → SoftStopping
      Exited(0)        Drain → Draining { status: 0 }
      Exited(1)        StartLater → Waiting
      Exited(143)      KillAll → Ended { status: 143 }
      Killed(9)        StartLater → Waiting
      Ended            StartLater → Waiting
      SoftStop         Relay → SoftStopping
      HardStop(15)     HardStop → HardStopping { status: 143 }
      HardStop(2)      HardStop → HardStopping { status: 130 }
      OtherSignal      Relay → =
      Silent           Kill → =
      NewWrapperTried  ReplaceSelf → =
      PidFileFailed    HardStop → HardStopping { status: 1 }
    Upgrading
      Ready            AnnounceUpgraded → Serving
      UpgradeAbandoned Resume → Serving
      Stopping         SayStopping → SoftStopping
      Exited(0)        StartOld → Restarting
      Exited(1)        StartOld → Restarting
      Exited(143)      KillAll → Ended { status: 143 }
      Killed(9)        StartOld → Restarting
      Ended            StartOld → Restarting
      Adopted          AnnounceUpgraded → Serving
      AdoptedStopping  AnnounceStopping → SoftStopping
      SoftStop         KeepSignal → =
      HardStop(15)     HardStop → HardStopping { status: 143 }
      HardStop(2)      HardStop → HardStopping { status: 130 }
      OtherSignal      KeepSignal → =
      UpgradeExpired   Kill → FallingBack
    FallingBack
      Exited(0)        StartOld → Restarting
      Exited(1)        StartOld → Restarting
      Exited(143)      StartOld → Restarting
      Killed(9)        StartOld → Restarting
      Ended            StartOld → Restarting
      SoftStop         KeepSignal → =
      HardStop(15)     Nothing → HardStopping { status: 143 }
      HardStop(2)      Nothing → HardStopping { status: 130 }
      OtherSignal      KeepSignal → =
    Waiting
      SoftStop         KeepSignal → =
      HardStop(15)     KillAll → Ended { status: 143 }
      HardStop(2)      KillAll → Ended { status: 130 }
      OtherSignal      KeepSignal → =
      BackOffPassed    Start → Restarting
    Restarting
      Ready            Announce → Serving
      Exited(0)        Drain → Draining { status: 0 }
      Exited(1)        StartLater → Waiting
      Exited(143)      KillAll → Ended { status: 143 }
      Killed(9)        StartLater → Waiting
      Ended            StartLater → Waiting
      CannotStart      StartLater → Waiting
      SoftStop         KeepSignal → =
      HardStop(15)     HardStop → HardStopping { status: 143 }
      HardStop(2)      HardStop → HardStopping { status: 130 }
      OtherSignal      KeepSignal → =
      Silent           Kill → =
    Adopting { first: true }
      Upgrading        HandOver → Upgrading
      Stopping         AnnounceStopping → SoftStopping
      Exited(0)        KillAll → Ended { status: 0 }
      Exited(1)        KillAll → Ended { status: 1 }
      Exited(143)      KillAll → Ended { status: 143 }
      Killed(9)        KillAll → Ended { status: 137 }
      Ended            KillAll → Ended { status: 1 }
      Adopted          AnnounceUpgraded → Serving
      AdoptedAtWork    Announce → Serving
      AdoptedStarting  Nothing → Starting
      AdoptedStopping  AnnounceStopping → SoftStopping
      AdoptionExpired  Kill → =
      SoftStop         KeepSignal → =
      HardStop(15)     HardStop → HardStopping { status: 143 }
      HardStop(2)      HardStop → HardStopping { status: 130 }
      OtherSignal      KeepSignal → =
    Adopting { first: false }
      Upgrading        HandOver → Upgrading
      Stopping         AnnounceStopping → SoftStopping
      Exited(0)        StartLater → Waiting
      Exited(1)        StartLater → Waiting
      Exited(143)      StartLater → Waiting
      Killed(9)        StartLater → Waiting
      Ended            StartLater → Waiting
      Adopted          AnnounceUpgraded → Serving
      AdoptedAtWork    Announce → Serving
      AdoptedStarting  Nothing → Restarting
      AdoptedStopping  AnnounceStopping → SoftStopping
      AdoptionExpired  Kill → =
      SoftStop         KeepSignal → =
      HardStop(15)     HardStop → HardStopping { status: 143 }
      HardStop(2)      HardStop → HardStopping { status: 130 }
      OtherSignal      KeepSignal → =
    SoftStopping
      Upgrading        HandOver → Upgrading
      Stopping         SayStopping → =
      Exited(0)        Drain → Draining { status: 0 }
      Exited(1)        StartLaterToStop → Waiting
      Exited(143)      KillAll → Ended { status: 143 }
      Killed(9)        StartLaterToStop → Waiting
      Ended            Drain → Draining { status: 0 }
      SoftStop         Relay → =
      HardStop(15)     HardStop → HardStopping { status: 143 }
      HardStop(2)      HardStop → HardStopping { status: 130 }
      OtherSignal      Relay → =
      Silent           Kill → =
    HardStopping { status: 143 }
      Upgrading        HandOver → =
      Stopping         SayStopping → =
      Exited(0)        KillAll → Ended { status: 143 }
      Exited(1)        KillAll → Ended { status: 143 }
      Exited(143)      KillAll → Ended { status: 143 }
      Killed(9)        KillAll → Ended { status: 143 }
      Ended            KillAll → Ended { status: 143 }
      SoftStop         Relay → =
      HardStop(15)     Relay → =
      HardStop(2)      Relay → =
      OtherSignal      Relay → =
      StopExpired      Kill → =
    Draining { status: 0 }
      HardStop(15)     KillAll → Ended { status: 143 }
      HardStop(2)      KillAll → Ended { status: 130 }
      ChildrenGone     Nothing → Ended { status: 0 }
    Ended { status: 0 }
    ");
}

/// What the shell would have after the actions so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct World {
    state: State,
    master_lives: bool,
    start_is_due: bool,
    signals_kept: u32,
}

impl World {
    /// Whether this could happen now.
    fn allows(self, input: Input) -> bool {
        match input {
            Input::Ready
            | Input::Upgrading
            | Input::UpgradeAbandoned
            | Input::UpgradeWrapper
            | Input::Stopping
            | Input::Exited(_)
            | Input::Killed(_)
            | Input::Ended
            | Input::Adopted
            | Input::AdoptedAtWork
            | Input::AdoptedStarting
            | Input::AdoptedStopping
            | Input::AdoptionExpired
            | Input::Silent
            | Input::NewWrapperTried
            | Input::PidFileFailed => self.master_lives,
            Input::BackOffPassed => self.start_is_due,
            // The shell says so itself when a start fails, see `enact`.
            Input::CannotStart => false,
            Input::ChildrenGone => !self.master_lives,
            _ => true,
        }
    }

    fn after(mut self, input: Input, starts_work: bool) -> Self {
        match input {
            Input::Exited(_) | Input::Killed(_) | Input::Ended => self.master_lives = false,
            Input::BackOffPassed => self.start_is_due = false,
            _ => {}
        }
        let Some((state, action)) = self.state.on(input) else { return self };
        self.state = state;
        self.enact(action, starts_work);
        self
    }

    fn enact(&mut self, action: Action, starts_work: bool) {
        match action {
            Action::Start | Action::StartOld => {
                assert!(!self.master_lives && !self.start_is_due, "two masters");
                self.master_lives = starts_work;
                if !starts_work {
                    *self = self.after(Input::CannotStart, starts_work);
                }
            }
            Action::StartLater => self.start_is_due = true,
            Action::StartLaterToStop => {
                self.start_is_due = true;
                self.signals_kept += 1;
            }
            Action::KillAll => self.start_is_due = false,
            Action::KeepSignal => self.signals_kept += 1,
            Action::Announce
            | Action::AnnounceUpgraded
            | Action::AnnounceStopping
            | Action::Resume => self.signals_kept = 0,
            Action::Relay | Action::Kill | Action::HandOver | Action::HardStop => {
                assert!(self.master_lives, "{action:?} without a master");
            }
            _ => {}
        }
    }

    /// Somebody who will move things on is there in every state.
    fn check(self) {
        let expected = match self.state {
            State::Waiting => (false, true),
            State::Draining { .. } | State::Ended { .. } => (false, false),
            _ => (true, false),
        };
        assert_eq!((self.master_lives, self.start_is_due), expected, "{self:?}");
        if self.signals_kept > 0 {
            assert!(!matches!(self.state, State::Serving), "{self:?}");
        }
    }
}

fn walk(world: World, depth: u32, visit: &mut impl FnMut(World)) {
    visit(world);
    if depth == 0 {
        return;
    }
    for input in INPUTS.into_iter().filter(|input| world.allows(*input)) {
        walk(world.after(input, true), depth - 1, visit);
        if input == Input::BackOffPassed {
            walk(world.after(input, false), depth - 1, visit);
        }
    }
}

const BEGIN: World =
    World { state: State::Starting, master_lives: true, start_is_due: false, signals_kept: 0 };

/// Every state in which a wrapper begins.
fn beginnings() -> [World; 4] {
    let adopting = |first| World { state: State::Adopting { first }, ..BEGIN };
    let upgrading = World { state: State::Upgrading, ..BEGIN };
    [BEGIN, adopting(true), adopting(false), upgrading]
}

#[test]
fn there_is_never_more_than_one_master_nor_a_state_that_nobody_ends() {
    for beginning in beginnings() {
        walk(beginning, 4, &mut World::check);
    }
}

#[test]
fn a_hard_stop_leads_to_the_end_from_everywhere_and_after_it_nothing_happens() {
    let check = &mut |world: World| {
        let mut stopped = world.after(Input::HardStop(15), true);
        if stopped.master_lives {
            stopped = stopped.after(Input::Killed(9), true);
        }
        assert!(matches!(stopped.state, State::Ended { .. }), "{world:?}: {stopped:?}");
        assert!(INPUTS.iter().all(|input| stopped.state.on(*input).is_none()));
    };
    for beginning in beginnings() {
        walk(beginning, 3, check);
    }
}

#[test]
fn an_adopted_master_is_where_it_says_it_is_and_too_late_it_is_killed() {
    let after = |first, input| State::Adopting { first }.on(input).map(|(state, _)| state);
    for first in [true, false] {
        assert_eq!(after(first, Input::Adopted), Some(State::Serving));
        assert_eq!(after(first, Input::AdoptedAtWork), Some(State::Serving));
        assert_eq!(after(first, Input::AdoptedStopping), Some(State::SoftStopping));
        let adopting = State::Adopting { first };
        assert_eq!(adopting.on(Input::AdoptionExpired), Some((adopting, Action::Kill)));
        // What it says before it answers was for another wrapper.
        for early in [Input::Ready, Input::UpgradeAbandoned, Input::UpgradeWrapper] {
            assert_eq!(adopting.on(early), None);
        }
    }
    assert_eq!(after(true, Input::AdoptedStarting), Some(State::Starting));
    assert_eq!(after(false, Input::AdoptedStarting), Some(State::Restarting));
}

#[test]
fn a_signal_is_relayed_kept_or_comes_after_the_end_of_the_master() {
    for state in STATES {
        for signal in [Input::SoftStop, Input::OtherSignal] {
            let over = matches!(state, State::Draining { .. } | State::Ended { .. });
            match state.on(signal) {
                Some((_, action)) => assert!(matches!(action, Action::Relay | Action::KeepSignal)),
                None => assert!(over, "{state:?} loses {signal:?}"),
            }
        }
    }
}
