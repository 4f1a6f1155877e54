//! What is known and wanted of a server, and how it lies in the words of shared memory.
//!
//! Core.
//! - Whatever lies in a word unpacks: what this version does not know is `Unknown` or nothing.
//! - A word is written whole, so each of these values is seen whole. Only what lies in two words can
//!   be seen half old, half new, and the version that is counted up afterwards brings the reader back.
//! - Times are milliseconds of `CLOCK_MONOTONIC`, which all processes share; 0: never.

use crate::check_result::CheckResult;

/// Longest duration of a check that is kept, ms (four and a half hours).
pub const CHECK_DURATION_MAX_MS: u32 = (1 << 24) - 1;
/// Highest limit that is kept; a higher one is none that matters.
pub const MAXCONN_MAX: u32 = (1 << 31) - 2;

/// Latest moment at which an operator's word can be kept (nine thousand years).
pub const ADMIN_SET_MAX_MS: u64 = (1 << 48) - 1;

/// What its checks have made of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Operational {
    /// It was never judged: `init_state` says what it is.
    #[default]
    Unknown,
    /// It works.
    Up,
    /// It works but asks for no new clients (`disable_on_404`).
    Stopping,
    /// It does not work.
    Down,
}

/// What the last check of a server made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// Whether it works.
    pub operational: Operational,
    /// HAProxy's counter: from 0 to `rise - 1` it is down, up to `rise + fall - 1` it is up.
    pub health: u16,
    /// How the check ended.
    pub result: CheckResult,
    /// The status or number that came with it, 0: none.
    pub code: u16,
    /// How long it took, at most [`CHECK_DURATION_MAX_MS`].
    pub duration_ms: u32,
}

/// A weight that an agent told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AgentWeight {
    /// Of the configured one.
    Percent(u16),
    /// 0 to 256.
    Absolute(u16),
}

/// What a server's agent wants for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AgentVerdict {
    /// It does not work.
    pub down: bool,
    /// Clients that are known only.
    pub drain: bool,
    /// Nobody.
    pub maint: bool,
    /// Its weight; `None`: the agent has told none.
    pub weight: Option<AgentWeight>,
    /// When the agent last told a weight: the later of this and the operator's counts.
    pub weight_ms: u64,
    /// Its limit; `Some(0)`: none at all. `None`: the agent has told none.
    pub maxconn: Option<u32>,
    /// When the agent last told a limit.
    pub maxconn_ms: u64,
    /// When the agent last began to say "ready"; 0: never. It takes back what the operator said before.
    pub ready_ms: u64,
    /// How asking it went.
    pub result: CheckResult,
    /// How long that took, at most [`CHECK_DURATION_MAX_MS`].
    pub duration_ms: u32,
}

/// What an operator wants of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AdminState {
    /// Nothing was said: the configuration counts.
    #[default]
    Unset,
    /// It serves.
    Ready,
    /// It serves clients that are known only.
    Drain,
    /// It serves nobody and is not checked.
    Maint,
}

/// What an operator said of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Admin {
    /// What is wanted.
    pub state: AdminState,
    /// `disabled` in the configuration when that was said; if it differs now, the configuration has
    /// been changed since, and wins.
    pub config_disabled: bool,
    /// Its checks are off (`disable health`): it counts as up.
    pub checks_off: bool,
    /// Its agent is not asked (`disable agent`).
    pub agent_off: bool,
    /// When it last came out of maintenance; `slowstart` begins then.
    pub ready_ms: u64,
    /// When `state` was said, at most [`ADMIN_SET_MAX_MS`].
    pub set_ms: u64,
}

/// A weight that an operator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OperatorWeight {
    /// 0 to 256.
    pub weight: u16,
    /// What the configuration said then; if it differs now, the configuration wins.
    pub configured: u16,
    /// When it was set.
    pub set_ms: u64,
}

/// A limit that an operator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OperatorMaxconn {
    /// Most connections, at most [`MAXCONN_MAX`]; `None`: no limit.
    pub maxconn: Option<u32>,
    /// What the configuration said then; if it differs now, the configuration wins.
    pub configured: Option<u32>,
    /// When it was set.
    pub set_ms: u64,
}

/// All that shared memory tells of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerState {
    /// What its checks made of it.
    pub verdict: Verdict,
    /// When it last went up or down; 0: not since it is known.
    pub changed_ms: u64,
    /// Of which address and check the verdict is (`Server::fingerprint`): of another, it is none.
    pub fingerprint: u64,
    /// What its agent wants.
    pub agent: AgentVerdict,
    /// Whose agent that is (`Server::agent_fingerprint`).
    pub agent_fingerprint: u64,
    /// What the operator wants.
    pub admin: Admin,
    /// The weight the operator set.
    pub weight: Option<OperatorWeight>,
    /// The limit the operator set.
    pub maxconn: Option<OperatorMaxconn>,
}

/// Takes a field of so many bits out of a word.
const fn field(word: u64, at: u32, bits: u32) -> u64 {
    word >> at & ((1 << bits) - 1)
}

fn unpack_result(number: u64) -> CheckResult {
    CheckResult::of(number as u8).unwrap_or_default()
}

impl Verdict {
    pub(super) fn pack(self) -> u64 {
        self.operational as u64
            | (self.result as u64) << 2
            | u64::from(self.health) << 8
            | u64::from(self.code) << 24
            | u64::from(self.duration_ms.min(CHECK_DURATION_MAX_MS)) << 40
    }

    pub(super) fn unpack(word: u64) -> Self {
        Self {
            operational: match field(word, 0, 2) {
                0 => Operational::Unknown,
                1 => Operational::Up,
                2 => Operational::Stopping,
                _ => Operational::Down,
            },
            result: unpack_result(field(word, 2, 6)),
            health: field(word, 8, 16) as u16,
            code: field(word, 24, 16) as u16,
            duration_ms: field(word, 40, 24) as u32,
        }
    }
}

impl AgentVerdict {
    /// The word of what it wants and that of how asking went; the times are words as they are.
    pub(super) fn pack(self) -> (u64, u64) {
        let (kind, weight) = match self.weight {
            None => (0, 0),
            Some(AgentWeight::Percent(percent)) => (1, percent),
            Some(AgentWeight::Absolute(weight)) => (2, weight),
        };
        let wants = u64::from(self.down)
            | u64::from(self.drain) << 1
            | u64::from(self.maint) << 2
            | kind << 3
            | u64::from(weight) << 5
            | pack_optional(self.maxconn) << 32;
        let asking =
            self.result as u64 | u64::from(self.duration_ms.min(CHECK_DURATION_MAX_MS)) << 40;
        (wants, asking)
    }

    pub(super) fn unpack(
        wants: u64,
        asking: u64,
        weight_ms: u64,
        maxconn_ms: u64,
        ready_ms: u64,
    ) -> Self {
        let weight = field(wants, 5, 16) as u16;
        Self {
            down: field(wants, 0, 1) != 0,
            drain: field(wants, 1, 1) != 0,
            maint: field(wants, 2, 1) != 0,
            weight: match field(wants, 3, 2) {
                1 => Some(AgentWeight::Percent(weight)),
                2 => Some(AgentWeight::Absolute(weight)),
                _ => None,
            },
            weight_ms,
            maxconn: unpack_optional(field(wants, 32, 31)),
            maxconn_ms,
            ready_ms,
            result: unpack_result(field(asking, 0, 6)),
            duration_ms: field(asking, 40, 24) as u32,
        }
    }
}

impl Admin {
    pub(super) fn pack(self) -> u64 {
        self.state as u64
            | u64::from(self.config_disabled) << 2
            | u64::from(self.checks_off) << 3
            | u64::from(self.agent_off) << 4
            | self.set_ms.min(ADMIN_SET_MAX_MS) << 16
    }

    pub(super) fn unpack(word: u64, ready_ms: u64) -> Self {
        Self {
            state: match field(word, 0, 2) {
                0 => AdminState::Unset,
                1 => AdminState::Ready,
                2 => AdminState::Drain,
                _ => AdminState::Maint,
            },
            config_disabled: field(word, 2, 1) != 0,
            checks_off: field(word, 3, 1) != 0,
            agent_off: field(word, 4, 1) != 0,
            ready_ms,
            set_ms: field(word, 16, 48),
        }
    }
}

/// Set where a word holds something at all.
const SET: u64 = 1 << 63;

impl OperatorWeight {
    pub(super) fn pack(set: Option<Self>) -> u64 {
        set.map_or(0, |set| SET | u64::from(set.weight) << 16 | u64::from(set.configured))
    }

    pub(super) fn unpack(word: u64, set_ms: u64) -> Option<Self> {
        (word & SET != 0).then_some(Self {
            weight: field(word, 16, 16) as u16,
            configured: field(word, 0, 16) as u16,
            set_ms,
        })
    }
}

impl OperatorMaxconn {
    pub(super) fn pack(set: Option<Self>) -> u64 {
        set.map_or(0, |set| SET | pack_optional(set.maxconn) << 32 | pack_optional(set.configured))
    }

    pub(super) fn unpack(word: u64, set_ms: u64) -> Option<Self> {
        (word & SET != 0).then_some(Self {
            maxconn: unpack_optional(field(word, 32, 31)),
            configured: unpack_optional(field(word, 0, 31)),
            set_ms,
        })
    }
}

/// A limit in 31 bits; 0: none.
fn pack_optional(limit: Option<u32>) -> u64 {
    limit.map_or(0, |limit| u64::from(limit.min(MAXCONN_MAX)) + 1)
}

fn unpack_optional(bits: u64) -> Option<u32> {
    bits.checked_sub(1).map(|limit| limit as u32)
}
