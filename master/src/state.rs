//! What the set of processes is doing as a whole: a generation starts, serves, stops.
//!
//! Core: no I/O, no clock. The master enacts the [`Action`]s.
//!
//! ```text
//!            Ready            ReloadAsked             Ready, StartFailed
//! Booting ─────────► Serving ─────────────► Reloading ───────────────────► Serving
//!    │ StartFailed      │ SoftStopAsked, HardStopAsked (from every state)
//!    └──────────────►  HardStopping ◄─────── SoftStopping ──► Gone
//! ```
//!
//! - The old generation is told to stop only after the new one is ready as a whole.
//! - A reload asked while a generation starts runs once more afterwards, however often it was asked.
//! - A stop asked while a generation starts discards that generation first.
//! - Nothing leads back from stopping to serving.

/// What is true now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The first generation starts; nobody serves yet.
    Booting {
        /// A reload was asked meanwhile.
        again: bool,
    },
    /// The current generation serves; older ones may still be draining.
    Serving,
    /// A new generation starts beside the one that serves.
    Reloading {
        /// A reload was asked meanwhile.
        again: bool,
    },
    /// Every worker was told to finish and leave.
    SoftStopping,
    /// Every worker was told to leave now.
    HardStopping,
    /// No worker is left; the master leaves.
    Gone,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A signal or a command asks for a reload.
    ReloadAsked,
    /// Every worker of the starting generation is ready.
    Ready,
    /// The starting generation cannot become ready.
    StartFailed,
    /// SIGUSR1.
    SoftStopAsked,
    /// SIGTERM or SIGINT.
    HardStopAsked,
    /// A soft-stop has lasted as long as `hard_stop_after` allows.
    StopExpired,
    /// The last worker of all generations has ended.
    LastGone,
}

/// What is to be done, in this order where it names two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing beyond remembering.
    Nothing,
    /// Begin to start a generation from the files.
    Start,
    /// The starting generation becomes the current one; soft-stop the one before.
    Promote,
    /// As `Promote`, then start another.
    PromoteAndStart,
    /// End the starting generation's workers, close what was bound for it, report.
    Discard,
    /// As `Discard`, then start another.
    DiscardAndStart,
    /// Discard what starts, soft-stop everybody.
    SoftStopAll,
    /// Discard what starts, hard-stop everybody.
    HardStopAll,
    /// Leave.
    Leave,
}

impl State {
    /// The next state and what to do, or `None` where the input means nothing here.
    pub fn on(self, input: Input) -> Option<(Self, Action)> {
        Some(match (self, input) {
            (Self::Serving, Input::ReloadAsked) => {
                (Self::Reloading { again: false }, Action::Start)
            }
            (Self::Booting { .. }, Input::ReloadAsked) => {
                (Self::Booting { again: true }, Action::Nothing)
            }
            (Self::Reloading { .. }, Input::ReloadAsked) => {
                (Self::Reloading { again: true }, Action::Nothing)
            }

            (Self::Booting { again: false } | Self::Reloading { again: false }, Input::Ready) => {
                (Self::Serving, Action::Promote)
            }
            (Self::Booting { again: true } | Self::Reloading { again: true }, Input::Ready) => {
                (Self::Reloading { again: false }, Action::PromoteAndStart)
            }

            (Self::Reloading { again: false }, Input::StartFailed) => {
                (Self::Serving, Action::Discard)
            }
            (Self::Reloading { again: true }, Input::StartFailed) => {
                (Self::Reloading { again: false }, Action::DiscardAndStart)
            }

            (
                Self::Booting { .. } | Self::Serving | Self::Reloading { .. },
                Input::SoftStopAsked,
            ) => (Self::SoftStopping, Action::SoftStopAll),
            (
                Self::Booting { .. } | Self::Serving | Self::Reloading { .. } | Self::SoftStopping,
                Input::HardStopAsked,
            )
            | (Self::Booting { .. }, Input::StartFailed)
            | (Self::SoftStopping, Input::StopExpired) => (Self::HardStopping, Action::HardStopAll),

            (Self::SoftStopping | Self::HardStopping, Input::LastGone) => {
                (Self::Gone, Action::Leave)
            }
            _ => return None,
        })
    }

    /// For `show proc`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Booting { .. } => "starting",
            Self::Serving => "serving",
            Self::Reloading { .. } => "reloading",
            Self::SoftStopping | Self::HardStopping | Self::Gone => "stopping",
        }
    }

    /// Whether the way leads out.
    pub fn stops(self) -> bool {
        matches!(self, Self::SoftStopping | Self::HardStopping | Self::Gone)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::{Input, State};

    const STATES: [State; 8] = [
        State::Booting { again: false },
        State::Booting { again: true },
        State::Serving,
        State::Reloading { again: false },
        State::Reloading { again: true },
        State::SoftStopping,
        State::HardStopping,
        State::Gone,
    ];
    const INPUTS: [Input; 7] = [
        Input::ReloadAsked,
        Input::Ready,
        Input::StartFailed,
        Input::SoftStopAsked,
        Input::HardStopAsked,
        Input::StopExpired,
        Input::LastGone,
    ];

    fn name(state: State) -> String {
        match state {
            State::Booting { again: true } => "Booting+again".into(),
            State::Reloading { again: true } => "Reloading+again".into(),
            State::Booting { .. } => "Booting".into(),
            State::Reloading { .. } => "Reloading".into(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_state_meets_every_input() {
        let mut table = String::new();
        for state in STATES {
            for input in INPUTS {
                let cell = match state.on(input) {
                    Some((next, action)) => format!("{action:?} -> {}", name(next)),
                    None => "-".into(),
                };
                let _ = writeln!(table, "{:16}{:14} {cell}", name(state), format!("{input:?}"));
            }
        }
        insta::assert_snapshot!(table, @r"
        Booting         ReloadAsked    Nothing -> Booting+again
        Booting         Ready          Promote -> Serving
        Booting         StartFailed    HardStopAll -> HardStopping
        Booting         SoftStopAsked  SoftStopAll -> SoftStopping
        Booting         HardStopAsked  HardStopAll -> HardStopping
        Booting         StopExpired    -
        Booting         LastGone       -
        Booting+again   ReloadAsked    Nothing -> Booting+again
        Booting+again   Ready          PromoteAndStart -> Reloading
        Booting+again   StartFailed    HardStopAll -> HardStopping
        Booting+again   SoftStopAsked  SoftStopAll -> SoftStopping
        Booting+again   HardStopAsked  HardStopAll -> HardStopping
        Booting+again   StopExpired    -
        Booting+again   LastGone       -
        Serving         ReloadAsked    Start -> Reloading
        Serving         Ready          -
        Serving         StartFailed    -
        Serving         SoftStopAsked  SoftStopAll -> SoftStopping
        Serving         HardStopAsked  HardStopAll -> HardStopping
        Serving         StopExpired    -
        Serving         LastGone       -
        Reloading       ReloadAsked    Nothing -> Reloading+again
        Reloading       Ready          Promote -> Serving
        Reloading       StartFailed    Discard -> Serving
        Reloading       SoftStopAsked  SoftStopAll -> SoftStopping
        Reloading       HardStopAsked  HardStopAll -> HardStopping
        Reloading       StopExpired    -
        Reloading       LastGone       -
        Reloading+again ReloadAsked    Nothing -> Reloading+again
        Reloading+again Ready          PromoteAndStart -> Reloading
        Reloading+again StartFailed    DiscardAndStart -> Reloading
        Reloading+again SoftStopAsked  SoftStopAll -> SoftStopping
        Reloading+again HardStopAsked  HardStopAll -> HardStopping
        Reloading+again StopExpired    -
        Reloading+again LastGone       -
        SoftStopping    ReloadAsked    -
        SoftStopping    Ready          -
        SoftStopping    StartFailed    -
        SoftStopping    SoftStopAsked  -
        SoftStopping    HardStopAsked  HardStopAll -> HardStopping
        SoftStopping    StopExpired    HardStopAll -> HardStopping
        SoftStopping    LastGone       Leave -> Gone
        HardStopping    ReloadAsked    -
        HardStopping    Ready          -
        HardStopping    StartFailed    -
        HardStopping    SoftStopAsked  -
        HardStopping    HardStopAsked  -
        HardStopping    StopExpired    -
        HardStopping    LastGone       Leave -> Gone
        Gone            ReloadAsked    -
        Gone            Ready          -
        Gone            StartFailed    -
        Gone            SoftStopAsked  -
        Gone            HardStopAsked  -
        Gone            StopExpired    -
        Gone            LastGone       -
        ");
    }

    #[test]
    fn no_input_leads_from_stopping_back_to_serving() {
        for state in STATES.into_iter().filter(|state| state.stops()) {
            for input in INPUTS {
                let next = state.on(input).map_or(state, |(next, _)| next);
                assert!(next.stops(), "{state:?} {input:?}");
            }
        }
    }
}
