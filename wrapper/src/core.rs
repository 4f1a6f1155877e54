//! What the wrapper does about what happens: its states, as one table.
//!
//! Core: no I/O, clock or logging; the shell (`wrapper`) feeds [`Input`]s and enacts [`Action`]s.
//!
//! ```text
//!            Ready            Upgrading            Ready
//! Starting ────────▶ Serving ──────────▶ Upgrading ──────▶ Serving
//!    │ ends           │  ▲ Ready            │ too late: FallingBack ─┐
//!    ▼                │  └── Restarting ◀───┴────────────────────────┘ old binary
//!  Ended         dies ▼          ▲ back-off passed
//!                  Waiting ──────┘
//!
//! SIGUSR1: SoftStopping ─leaves─▶ Draining ─children gone─▶ Ended
//!               └─dies─▶ Waiting, SIGUSR1 kept
//! SIGTERM, SIGINT: HardStopping ─ends, is killed─▶ Ended
//!
//! after another wrapper: Adopting ─Adopted─▶ Starting, Serving, Restarting or SoftStopping
//!                            └─ends, too late: is killed─▶ Waiting
//! ```
//!
//! - A master that ends before any was ready ends the wrapper, with its status: the configuration is
//!   wrong, and nothing is gained by trying again. After that a death is answered by a restart, for
//!   ever: what it runs on was accepted once.
//! - A master that another wrapper started is not our child: how it ended is not known, only that it has
//!   ([`Input::Ended`]). One that had said that it stops has done so; any other end is a death.
//! - Exit 0, 130 (SIGINT) and 143 (SIGTERM) of a master are its own decision and end the wrapper.
//! - No signal is lost: one that comes while no master is ready is kept ([`Action::KeepSignal`]) and
//!   is an input again after `Ready`, and so is one that a master was told just before it died. A hard stop never waits for readiness.
//! - Every state that waits for the master alone is bounded by a timer of the shell, `Starting` and
//!   the soft stop excepted: those the operator bounds (systemd's TimeoutStartSec, `hard_stop_after`).

#[cfg(test)]
mod tests;

/// What is true now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The first master was started and is not ready.
    Starting,
    /// A master is ready.
    Serving,
    /// A ready master has said that it executes its new binary in place, which is not ready.
    Upgrading,
    /// The new binary was too late and is being killed; the old one starts when it is gone.
    FallingBack,
    /// No master lives; the next one starts when the back-off has passed.
    Waiting,
    /// A later master was started and is not ready.
    Restarting,
    /// A master of another wrapper lives and has not said how it is.
    Adopting {
        /// None was ever ready.
        first: bool,
    },
    /// The master finishes what is in flight; its end is ours.
    SoftStopping,
    /// The master was told to leave now; its end is ours.
    HardStopping {
        /// Our exit status.
        status: u8,
    },
    /// The master has ended in a soft stop; workers that it left behind finish.
    Draining {
        /// Our exit status.
        status: u8,
    },
    /// There is nothing left to do.
    Ended {
        /// Our exit status.
        status: u8,
    },
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The master says: a generation serves.
    Ready,
    /// The master says: it executes its new binary now.
    Upgrading,
    /// The master says: that failed, it goes on as it was.
    UpgradeAbandoned,
    /// The master says: the wrapper is to execute its own new binary.
    UpgradeWrapper,
    /// The master says: it stops.
    Stopping,
    /// The master has left with this status.
    Exited(u8),
    /// The master was killed by this signal.
    Killed(u8),
    /// The master, not our child, has ended.
    Ended,
    /// The adopted master says: it is there; a generation serves, and nothing is under way.
    Adopted,
    /// The same while it reloads.
    AdoptedAtWork,
    /// The adopted master says: it is not ready.
    AdoptedStarting,
    /// The adopted master says: it stops.
    AdoptedStopping,
    /// The time to answer has passed for a master that is to be adopted.
    AdoptionExpired,
    /// No master could be started.
    CannotStart,
    /// SIGUSR1 reached the wrapper.
    SoftStop,
    /// SIGTERM or SIGINT, by its number, reached the wrapper.
    HardStop(u8),
    /// Another signal reached the wrapper.
    OtherSignal,
    /// The back-off has passed.
    BackOffPassed,
    /// The upgrade's deadline has passed.
    UpgradeExpired,
    /// The time that a hard stop may take has passed.
    StopExpired,
    /// The master has not said that it is alive for too long.
    Silent,
    /// No child is left.
    ChildrenGone,
    /// The wrapper's new binary was tried and understands our state.
    NewWrapperTried,
    /// The pid file could not be written.
    PidFileFailed,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Send the signal to the master.
    Relay,
    /// Keep the signal until a master is ready.
    KeepSignal,
    /// Write the pid file, notify readiness, feed the kept signals.
    Announce,
    /// Keep the running image as the one to start from now on; then as `Announce`.
    AnnounceUpgraded,
    /// As `Announce`, then `SayStopping`: to a service manager we have only just begun.
    AnnounceStopping,
    /// Send all that is kept again, remember it, start the upgrade's deadline.
    HandOver,
    /// Forget the deadline; feed the kept signals.
    Resume,
    /// Try the wrapper's new binary.
    TryNewWrapper,
    /// Execute the wrapper's new binary.
    ReplaceSelf,
    /// Notify that the service stops.
    SayStopping,
    /// Start a master.
    Start,
    /// Start a master when the back-off has passed.
    StartLater,
    /// The same, for it to go on stopping softly: it gets the signal once it is ready.
    StartLaterToStop,
    /// Start the old binary on what was kept when the upgrade began.
    StartOld,
    /// Send the signal (SIGTERM, where none came) to the master and bound the time it may take.
    HardStop,
    /// Kill the master.
    Kill,
    /// Close what is kept, so that workers see that nobody is coming back, and wait for them.
    Drain,
    /// Kill every child that is left, then leave.
    KillAll,
}

/// SIGTERM and SIGINT as a master's own decision to leave.
const HARD_STOP_STATUSES: [u8; 2] = [128 + 2, 128 + 15];

impl State {
    /// The next state and what to do, or `None` where the input means nothing here.
    pub fn on(self, input: Input) -> Option<(Self, Action)> {
        match input {
            Input::Exited(_) | Input::Killed(_) | Input::Ended => return self.on_end(input),
            Input::Adopted
            | Input::AdoptedAtWork
            | Input::AdoptedStarting
            | Input::AdoptedStopping
            | Input::AdoptionExpired => return self.on_adoption(input),
            Input::SoftStop | Input::HardStop(_) | Input::OtherSignal => {
                return self.on_signal(input);
            }
            _ => {}
        }
        Some(match (self, input) {
            (Self::Starting | Self::Restarting | Self::Serving, Input::Ready) => {
                (Self::Serving, Action::Announce)
            }
            (Self::Upgrading, Input::Ready) => (Self::Serving, Action::AnnounceUpgraded),
            // The signal that stops was not read before the exec: the new image finds it.
            (Self::Serving | Self::SoftStopping | Self::Adopting { .. }, Input::Upgrading) => {
                (Self::Upgrading, Action::HandOver)
            }
            (Self::HardStopping { .. }, Input::Upgrading) => (self, Action::HandOver),
            (Self::Upgrading, Input::UpgradeAbandoned) => (Self::Serving, Action::Resume),
            (Self::Upgrading, Input::UpgradeExpired) => (Self::FallingBack, Action::Kill),
            (Self::Serving, Input::UpgradeWrapper) => (self, Action::TryNewWrapper),
            (Self::Serving, Input::NewWrapperTried) => (self, Action::ReplaceSelf),
            (Self::Serving | Self::SoftStopping | Self::Upgrading, Input::Stopping) => {
                (Self::SoftStopping, Action::SayStopping)
            }
            (Self::Adopting { .. }, Input::Stopping) => {
                (Self::SoftStopping, Action::AnnounceStopping)
            }
            (Self::HardStopping { .. }, Input::Stopping) => (self, Action::SayStopping),
            (Self::Starting, Input::CannotStart) => (Self::Ended { status: 1 }, Action::Nothing),
            (Self::Restarting, Input::CannotStart) => (Self::Waiting, Action::StartLater),
            (Self::Waiting, Input::BackOffPassed) => (Self::Restarting, Action::Start),
            (
                Self::Starting | Self::Serving | Self::Restarting | Self::SoftStopping,
                Input::Silent,
            )
            | (Self::HardStopping { .. }, Input::StopExpired) => (self, Action::Kill),
            (Self::Draining { status }, Input::ChildrenGone) => {
                (Self::Ended { status }, Action::Nothing)
            }
            (Self::Serving, Input::PidFileFailed) => {
                (Self::HardStopping { status: 1 }, Action::HardStop)
            }
            _ => return None,
        })
    }

    /// A master of another wrapper has answered, or has not.
    fn on_adoption(self, input: Input) -> Option<(Self, Action)> {
        Some(match (self, input) {
            // The new image serves, and the other wrapper has not heard of it, or not noted it.
            (Self::Upgrading | Self::Adopting { .. }, Input::Adopted) => {
                (Self::Serving, Action::AnnounceUpgraded)
            }
            (Self::Adopting { .. }, Input::AdoptedAtWork) => (Self::Serving, Action::Announce),
            (Self::Adopting { first: true }, Input::AdoptedStarting) => {
                (Self::Starting, Action::Nothing)
            }
            (Self::Adopting { first: false }, Input::AdoptedStarting) => {
                (Self::Restarting, Action::Nothing)
            }
            (Self::Upgrading | Self::Adopting { .. }, Input::AdoptedStopping) => {
                (Self::SoftStopping, Action::AnnounceStopping)
            }
            (Self::Adopting { .. }, Input::AdoptionExpired) => (self, Action::Kill),
            _ => return None,
        })
    }

    /// A signal reached the wrapper.
    fn on_signal(self, input: Input) -> Option<(Self, Action)> {
        Some(match (self, input) {
            (
                Self::Starting
                | Self::Restarting
                | Self::Serving
                | Self::Upgrading
                | Self::Adopting { .. }
                | Self::SoftStopping,
                Input::HardStop(signal),
            ) => (Self::HardStopping { status: 128 + signal }, Action::HardStop),
            (Self::FallingBack, Input::HardStop(signal)) => {
                (Self::HardStopping { status: 128 + signal }, Action::Nothing)
            }
            (Self::Waiting | Self::Draining { .. }, Input::HardStop(signal)) => {
                (Self::Ended { status: 128 + signal }, Action::KillAll)
            }
            (
                Self::Starting
                | Self::Restarting
                | Self::Waiting
                | Self::Upgrading
                | Self::Adopting { .. }
                | Self::FallingBack,
                _,
            ) => (self, Action::KeepSignal),
            (Self::Serving, Input::SoftStop) => (Self::SoftStopping, Action::Relay),
            (Self::Serving | Self::SoftStopping | Self::HardStopping { .. }, _) => {
                (self, Action::Relay)
            }
            (Self::Draining { .. } | Self::Ended { .. }, _) => return None,
        })
    }

    /// The master has ended.
    fn on_end(self, end: Input) -> Option<(Self, Action)> {
        let status = match end {
            Input::Exited(status) => status,
            Input::Killed(signal) => 128 | signal,
            Input::Ended if self == Self::SoftStopping => 0,
            Input::Ended => 1,
            _ => return None,
        };
        let stopped_hard =
            matches!(end, Input::Exited(status) if HARD_STOP_STATUSES.contains(&status));
        Some(match self {
            Self::Starting | Self::Adopting { first: true } => {
                (Self::Ended { status }, Action::KillAll)
            }
            Self::HardStopping { status } => (Self::Ended { status }, Action::KillAll),
            Self::Serving | Self::Restarting | Self::Upgrading | Self::SoftStopping
                if stopped_hard =>
            {
                (Self::Ended { status }, Action::KillAll)
            }
            Self::Upgrading | Self::FallingBack => (Self::Restarting, Action::StartOld),
            Self::SoftStopping if !matches!(end, Input::Exited(0) | Input::Ended) => {
                (Self::Waiting, Action::StartLaterToStop)
            }
            Self::SoftStopping => (Self::Draining { status }, Action::Drain),
            Self::Serving | Self::Restarting if end == Input::Exited(0) => {
                (Self::Draining { status }, Action::Drain)
            }
            Self::Serving | Self::Restarting | Self::Adopting { first: false } => {
                (Self::Waiting, Action::StartLater)
            }
            Self::Waiting | Self::Draining { .. } | Self::Ended { .. } => return None,
        })
    }
}
