//! The back side of a stream: from "a server is wanted" to "nothing is held any more".
//!
//! Core: no I/O, no clock. [`State::on`] is the whole table; [`Back`] walks it, counts retries and
//! says what each step gives back. States keep HAProxy's names.
//!
//! ```text
//!          NoPlace                          ConnectFailed
//!  INI ─ REQ ───── QUE                  ┌───────────────────── CER ── no retry left ── CLO
//!         │ └───────┤ Assigned          │                     ↑ │ │
//!         └─────── ASS ── started ── CON ── Connected ── RDY ─┘ │ └ another server at once ── REQ
//!                   ↑ └──────── Connected at once ────────↗     │
//!                   └──────────── TAR ←── the same again ───────┘
//!  RDY ── Greeted ── EST ── Over ── DIS ── Disconnected ── CLO
//!         ASS ── Ready (a kept connection) ── EST; EST ── Parted (kept again) ── CLO
//!                     │ └─ Stale ── ASS (a kept connection was dead: a new one, not counted)
//!                     └─── Lost ─── CER (no response came, and the request may be sent again)
//! ```
//!
//! Invariants, walked through exhaustively in the tests:
//!
//! - What is held depends on the state alone ([`State::holds`]), so no path can forget to give it back.
//! - A [`Step`] releases first and acts then: who redispatches has left the old server's limit before
//!   it looks for a new one, and a stream that is assigned from the queue has left the queue.
//! - At most `retries + 1` connects, and one more where a kept connection was dead; only [`State::Clo`] is final, and it is reachable from everywhere.

mod retry;
#[cfg(test)]
mod tests;

use crate::termination::{Cause, Phase, Termination};

pub use retry::{Policy, Retry, Surroundings};

/// Where the back side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing has been asked for.
    Ini,
    /// A server is being chosen.
    Req,
    /// All servers are full; it waits in the pending queue.
    Que,
    /// It waits before the next attempt.
    Tar(After),
    /// A server has a place for it; no connection has been started.
    Ass,
    /// A connection is being established.
    Con,
    /// An attempt failed so; whether there is another one is being decided.
    Cer(Failure),
    /// The connection stands; what goes before the data (a PROXY header) is being sent.
    Rdy,
    /// Data flows.
    Est,
    /// The relay is over for this reason; the connection is being ended.
    Dis(Termination),
    /// Over for this reason; nothing is held.
    Clo(Termination),
}

/// What follows the wait of [`State::Tar`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum After {
    /// The same server, whose place is kept meanwhile.
    Same,
    /// A new choice.
    Any,
}

/// Why a connection did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The server or something before it refused, or was not reached.
    Refused,
    /// The connect timeout struck, or the system's own.
    TimedOut,
    /// It stood, and failed before a response: what was sent may be sent again.
    Lost,
    /// Something was lacking here: descriptors, memory, source ports.
    Resource,
    /// The process's own limit of sockets forbade it.
    Limit,
    /// What must not happen (an address that no socket fits); not tried again.
    Internal,
}

impl Failure {
    const fn cause(self) -> Cause {
        match self {
            Self::Refused | Self::Lost => Cause::Server,
            Self::TimedOut => Cause::ServerTimeout,
            Self::Resource => Cause::Resource,
            Self::Limit => Cause::Proxy,
            Self::Internal => Cause::Internal,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The stream wants a server.
    Asked,
    /// A server was chosen and a place in its limit taken; `moved`: another one than the last time.
    Assigned {
        /// Whether a failed attempt was at another server.
        moved: bool,
    },
    /// Every server that could be chosen is full.
    NoPlace,
    /// No server can be chosen at all.
    NoServer,
    /// A doorbell rang or a stream left: a place may be free.
    PlaceFree,
    /// The queue timeout struck.
    QueueTimeout,
    /// The connect call is under way and the connection exists.
    ConnectStarted,
    /// The connection is established (also: at once).
    Connected,
    /// A kept connection is there, and nothing goes before the data.
    Ready,
    /// The attempt failed, or what goes before the data could not be sent.
    ConnectFailed(Failure),
    /// The decision after a failure, see [`Back::decide`].
    Decided(Retry),
    /// The wait before the next attempt is over.
    TurnaroundOver,
    /// What goes before the data is sent (or there is nothing to send).
    Greeted,
    /// A kept connection turned out to be dead; nothing came of it.
    Stale,
    /// The exchange failed before a response, and another attempt is allowed.
    Lost,
    /// The relay ended so.
    Over(Termination),
    /// It ended so, and nothing has to be done to end the connection.
    Parted(Termination),
    /// The connection is closed.
    Disconnected,
    /// The stream ends before data flowed and not by a server's doing: the client left, an operator
    /// or the end of the process wants it, something is lacking.
    Aborted(Cause),
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Nothing but to wait for what was started before.
    Wait,
    /// Choose a server and take a place in its limit, as one that waits in the queue does while
    /// keeping its turn. Answered by `Assigned`, `NoPlace` or `NoServer`.
    PickServer,
    /// The same after a redispatch: rather not the last server.
    PickAnother,
    /// Enter the pending queue; the queue timeout runs.
    Enqueue,
    /// Connect to the assigned server; the connect timeout runs until `Greeted`. Answered by
    /// `ConnectStarted`, `Connected` or `ConnectFailed`.
    Connect,
    /// Count the failure and call [`Back::decide`].
    Reconsider,
    /// Let [`Policy::turnaround`] pass, then `TurnaroundOver`.
    WaitTurnaround,
    /// Send what goes before the data; answered by `Greeted` or `ConnectFailed`.
    Greet,
    /// Relay.
    Begin,
    /// End the connection; answered by `Disconnected`.
    Disconnect,
    /// Tell the stream that its back side is over, for this reason.
    End(Termination),
}

/// What a state holds, or a step gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Held(u8);

impl Held {
    /// Nothing.
    pub const NOTHING: Self = Self(0);
    /// A place in the pending queue.
    pub const QUEUE_PLACE: Self = Self(1);
    /// A place in the server's limit.
    pub const SLOT: Self = Self(2);
    /// A connection, established or on the way.
    pub const CONNECTION: Self = Self(4);

    /// Whether all of this is among it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With this too.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without this.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// What one input leads to: give back `release`, then do `action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// No longer held from here on.
    pub release: Held,
    /// What is to be done.
    pub action: Action,
}

impl State {
    /// The next state and what to do, or `None` where the input means nothing here.
    #[expect(clippy::match_same_arms, reason = "a table: one row per case, in the states' order")]
    pub const fn on(self, input: Input) -> Option<(Self, Action)> {
        Some(match (self, input) {
            (Self::Ini, Input::Asked) => (Self::Req, Action::PickServer),

            (Self::Req | Self::Que, Input::Assigned { .. }) => (Self::Ass, Action::Connect),
            (Self::Req, Input::NoPlace) => (Self::Que, Action::Enqueue),
            (Self::Req | Self::Que, Input::NoServer) => end(Cause::Server, Phase::Connect),
            (Self::Que, Input::PlaceFree) => (Self::Que, Action::PickServer),
            (Self::Que, Input::NoPlace) => (Self::Que, Action::Wait),
            (Self::Que, Input::QueueTimeout) => end(Cause::ServerTimeout, Phase::Queue),

            (Self::Ass, Input::ConnectStarted) => (Self::Con, Action::Wait),
            (Self::Ass | Self::Con, Input::Connected) => (Self::Rdy, Action::Greet),
            (Self::Ass, Input::Ready) => (Self::Est, Action::Begin),
            (Self::Ass | Self::Con | Self::Rdy, Input::ConnectFailed(failure)) => {
                (Self::Cer(failure), Action::Reconsider)
            }
            (Self::Cer(failure), Input::Decided(retry)) => match retry {
                Retry::Same { wait: false } => (Self::Ass, Action::Connect),
                Retry::Same { wait: true } => (Self::Tar(After::Same), Action::WaitTurnaround),
                Retry::Elsewhere { wait: false } => (Self::Req, Action::PickAnother),
                Retry::Elsewhere { wait: true } => (Self::Tar(After::Any), Action::WaitTurnaround),
                Retry::Never => end(failure.cause(), Phase::Connect),
            },
            (Self::Tar(After::Same), Input::TurnaroundOver) => (Self::Ass, Action::Connect),
            (Self::Tar(After::Any), Input::TurnaroundOver) => (Self::Req, Action::PickAnother),

            (Self::Rdy, Input::Greeted) => (Self::Est, Action::Begin),
            (Self::Est, Input::Stale) => (Self::Ass, Action::Connect),
            (Self::Est, Input::Lost) => (Self::Cer(Failure::Lost), Action::Reconsider),
            (Self::Est, Input::Over(why)) => (Self::Dis(why), Action::Disconnect),
            (Self::Est, Input::Parted(why)) => (Self::Clo(why), Action::End(why)),
            (Self::Dis(why), Input::Disconnected) => (Self::Clo(why), Action::End(why)),

            (Self::Ini, Input::Aborted(cause)) => end(cause, Phase::Request),
            (
                Self::Req | Self::Tar(_) | Self::Ass | Self::Con | Self::Cer(_) | Self::Rdy,
                Input::Aborted(cause),
            ) => end(cause, Phase::Connect),
            (Self::Que, Input::Aborted(cause)) => end(cause, Phase::Queue),
            _ => return None,
        })
    }

    /// What is held in this state.
    #[inline]
    pub const fn holds(self) -> Held {
        match self {
            Self::Ini | Self::Req | Self::Tar(After::Any) | Self::Clo(_) => Held::NOTHING,
            Self::Que => Held::QUEUE_PLACE,
            Self::Tar(After::Same) | Self::Ass | Self::Cer(_) => Held::SLOT,
            Self::Con | Self::Rdy | Self::Est | Self::Dis(_) => Held::SLOT.with(Held::CONNECTION),
        }
    }
}

const fn end(cause: Cause, phase: Phase) -> (State, Action) {
    let why = Termination::new(cause, phase);
    (State::Clo(why), Action::End(why))
}

/// One stream's back side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Back {
    state: State,
    /// What that state holds.
    held: Held,
    redispatched: bool,
    renewed: bool,
    retries: u32,
}

const _: () = assert!(size_of::<Back>() <= 12);

impl Default for Back {
    fn default() -> Self {
        let state = State::Ini;
        Self { state, held: state.holds(), redispatched: false, renewed: false, retries: 0 }
    }
}

impl Back {
    /// One whose data flows already, in another process so far.
    pub const fn established(retries: u32, redispatched: bool) -> Self {
        let state = State::Est;
        Self { state, held: state.holds(), redispatched, renewed: false, retries }
    }

    /// Where it is.
    pub const fn state(self) -> State {
        self.state
    }

    /// How many attempts were made after the first; a field of the log.
    pub const fn retries(self) -> u32 {
        self.retries
    }

    /// Whether a kept connection turned out to be dead.
    #[cfg(test)]
    pub const fn renewed(self) -> bool {
        self.renewed
    }

    /// Whether a retry went to another server; the `+` before that field.
    pub const fn redispatched(self) -> bool {
        self.redispatched
    }

    /// Takes one input; `None`, and nothing changed, where it means nothing in this state.
    #[inline]
    pub fn on(&mut self, input: Input) -> Option<Step> {
        let stale = matches!(input, Input::Stale);
        if stale && self.renewed {
            return None;
        }
        let (next, action) = self.state.on(input)?;
        self.renewed |= stale;
        if let Input::Assigned { moved: true } = input {
            self.redispatched = true;
        }
        let holds = next.holds();
        let release = self.held.without(holds);
        (self.state, self.held) = (next, holds);
        Some(Step { release, action })
    }

    /// The answer to [`Action::Reconsider`]: decides by `policy` and by how things are around it now, and
    /// counts the retry.
    pub fn decide(&mut self, policy: &Policy, around: Surroundings) -> Option<Input> {
        let State::Cer(failure) = self.state else { return None };
        let decision = policy.decide(failure, self.retries, around);
        if decision != Retry::Never {
            self.retries += 1;
        }
        Some(Input::Decided(decision))
    }
}
