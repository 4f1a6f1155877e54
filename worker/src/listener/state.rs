//! The states of a listener, by HAProxy's names, as one transition table.
//!
//! Core: no I/O.
//!
//! ```text
//!                Prepared        Adopted          SocketCame        Enable
//!         New ──────────▶ Init ──────────▶ Assigned ──────────▶ Listen ──────────▶ Ready
//!                                              ▲                   ▲  ▲              │ │
//!                                              │ SocketGone        │  └─ Disable ────┤ │ OwnLimit / OtherLimit
//!                                              └───────────────────┤                 │ ▼
//!                                                                  └── (any of) Full, Limited, Paused
//! ```
//!
//! - Only in Ready is the socket watched by the poller.
//! - Full and Limited differ in whose limit it is: the bind's own `maxconn`, or one that others share
//!   (frontend, instance, descriptors). Both end with Place.
//! - Paused ends with Resume alone, whatever becomes free meanwhile.

/// Where a listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is named by the configuration.
    New,
    /// Its options are known.
    Init,
    /// It belongs to a frontend, and has no socket.
    Assigned,
    /// It has a socket on which the kernel queues connections; this worker does not take them (the slot
    /// is served by another worker).
    Listen,
    /// Connections are accepted.
    Ready,
    /// As many connections as its own `maxconn` allows.
    Full,
    /// A limit that it shares is reached, or a resource is missing.
    Limited,
    /// The operator (SIGTTOU) told it to wait.
    Paused,
}

/// What can happen to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Its options were read.
    Prepared,
    /// A frontend took it.
    Adopted,
    /// The master sent its socket.
    SocketCame,
    /// This worker is to serve it.
    Enable,
    /// Another worker serves it from now on, or this one stops.
    Disable,
    /// Its own `maxconn` is reached.
    OwnLimit,
    /// A shared limit is reached.
    OtherLimit,
    /// There may be place again.
    Place,
    /// SIGTTOU.
    Pause,
    /// SIGTTIN.
    Resume,
    /// Its socket was closed.
    SocketGone,
}

impl State {
    /// Every state, in the order of a listener's life.
    #[cfg(test)]
    const ALL: [Self; 8] = [
        Self::New,
        Self::Init,
        Self::Assigned,
        Self::Listen,
        Self::Ready,
        Self::Full,
        Self::Limited,
        Self::Paused,
    ];

    /// The next state, or `None` where the input means nothing here.
    pub fn on(self, input: Input) -> Option<Self> {
        Some(match (self, input) {
            (Self::New, Input::Prepared) => Self::Init,
            (Self::Assigned, Input::SocketCame) => Self::Listen,
            (Self::Listen, Input::Enable)
            | (Self::Full | Self::Limited, Input::Place)
            | (Self::Paused, Input::Resume) => Self::Ready,
            (Self::Ready | Self::Full | Self::Limited | Self::Paused, Input::Disable) => {
                Self::Listen
            }
            (Self::Ready, Input::OwnLimit) => Self::Full,
            (Self::Ready, Input::OtherLimit) => Self::Limited,
            (Self::Ready | Self::Full | Self::Limited, Input::Pause) => Self::Paused,
            (Self::Init, Input::Adopted)
            | (
                Self::Listen | Self::Ready | Self::Full | Self::Limited | Self::Paused,
                Input::SocketGone,
            ) => Self::Assigned,
            _ => return None,
        })
    }

    /// As `show` commands name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Init => "INI",
            Self::Assigned => "ASS",
            Self::Listen => "LIS",
            Self::Ready => "RDY",
            Self::Full => "FUL",
            Self::Limited => "LIM",
            Self::Paused => "PAU",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: [Input; 11] = [
        Input::Prepared,
        Input::Adopted,
        Input::SocketCame,
        Input::Enable,
        Input::Disable,
        Input::OwnLimit,
        Input::OtherLimit,
        Input::Place,
        Input::Pause,
        Input::Resume,
        Input::SocketGone,
    ];

    #[test]
    fn the_whole_matrix_is_as_drawn() {
        use std::fmt::Write as _;
        let mut table = String::new();
        for state in State::ALL {
            for input in INPUTS {
                if let Some(next) = state.on(input) {
                    let _ = writeln!(table, "{state:?} + {input:?} = {next:?}");
                }
            }
        }
        insta::assert_snapshot!(table, @r"
        New + Prepared = Init
        Init + Adopted = Assigned
        Assigned + SocketCame = Listen
        Listen + Enable = Ready
        Listen + SocketGone = Assigned
        Ready + Disable = Listen
        Ready + OwnLimit = Full
        Ready + OtherLimit = Limited
        Ready + Pause = Paused
        Ready + SocketGone = Assigned
        Full + Disable = Listen
        Full + Place = Ready
        Full + Pause = Paused
        Full + SocketGone = Assigned
        Limited + Disable = Listen
        Limited + Place = Ready
        Limited + Pause = Paused
        Limited + SocketGone = Assigned
        Paused + Disable = Listen
        Paused + Resume = Ready
        Paused + SocketGone = Assigned
        ");
    }

    #[test]
    fn a_listener_comes_to_life_step_by_step() {
        let steps = [Input::Prepared, Input::Adopted, Input::SocketCame, Input::Enable];
        let end = steps.into_iter().try_fold(State::New, State::on);
        assert_eq!(end, Some(State::Ready));
    }

    #[test]
    fn its_own_limit_makes_it_full_until_there_is_place() {
        assert_eq!(State::Ready.on(Input::OwnLimit), Some(State::Full));
        assert_eq!(State::Full.on(Input::Place), Some(State::Ready));
    }

    #[test]
    fn a_shared_limit_makes_it_limited_until_there_is_place() {
        assert_eq!(State::Ready.on(Input::OtherLimit), Some(State::Limited));
        assert_eq!(State::Limited.on(Input::Place), Some(State::Ready));
    }

    #[test]
    fn a_paused_listener_ignores_that_there_is_place() {
        assert_eq!(State::Limited.on(Input::Pause), Some(State::Paused));
        assert_eq!(State::Paused.on(Input::Place), None);
        assert_eq!(State::Paused.on(Input::Resume), Some(State::Ready));
    }

    #[test]
    fn nothing_is_accepted_before_there_is_a_socket() {
        for state in [State::New, State::Init, State::Assigned] {
            assert_eq!(state.on(Input::Enable), None, "{state:?}");
        }
    }
}
