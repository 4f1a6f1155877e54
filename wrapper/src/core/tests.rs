use std::fmt::Write as _;

use super::*;

const STATES: [State; 10] = [
    State::Starting,
    State::Serving,
    State::Upgrading,
    State::FallingBack,
    State::Waiting,
    State::Restarting,
    State::SoftStopping,
    State::HardStopping { status: 143 },
    State::Draining { status: 0 },
    State::Ended { status: 0 },
];

const INPUTS: [Input; 21] = [
    Input::Ready,
    Input::Upgrading,
    Input::UpgradeAbandoned,
    Input::UpgradeWrapper,
    Input::Stopping,
    Input::Exited(0),
    Input::Exited(1),
    Input::Exited(143),
    Input::Killed(9),
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
      Exited(0)        StartOld → Restarting
      Exited(1)        StartOld → Restarting
      Exited(143)      KillAll → Ended { status: 143 }
      Killed(9)        StartOld → Restarting
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
      CannotStart      StartLater → Waiting
      SoftStop         KeepSignal → =
      HardStop(15)     HardStop → HardStopping { status: 143 }
      HardStop(2)      HardStop → HardStopping { status: 130 }
      OtherSignal      KeepSignal → =
      Silent           Kill → =
    SoftStopping
      Upgrading        HandOver → Upgrading
      Stopping         SayStopping → =
      Exited(0)        Drain → Draining { status: 0 }
      Exited(1)        Drain → Draining { status: 1 }
      Exited(143)      KillAll → Ended { status: 143 }
      Killed(9)        Drain → Draining { status: 137 }
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

/// Every sequence of three inputs from the start ends in a state that the last input allows, and once
/// ended nothing happens any more.
#[test]
fn nothing_happens_after_the_end_and_a_hard_stop_always_leads_there() {
    for first in INPUTS {
        for second in INPUTS {
            let walk = |state: State, input| state.on(input).map_or(state, |(next, _)| next);
            let state = walk(walk(State::Starting, first), second);
            let stopped = walk(walk(state, Input::HardStop(15)), Input::Killed(9));
            assert!(matches!(stopped, State::Ended { .. }), "{first:?} {second:?}: {stopped:?}");
            assert!(INPUTS.iter().all(|input| stopped.on(*input).is_none()));
        }
    }
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
