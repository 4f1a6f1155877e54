//! What the log is told of checks and servers, in HAProxy's words.
//!
//! Core. The lines have neither level nor time; see each for its level.
//!
//! ```text
//! Health check for server b/s failed, reason: Layer7 wrong status, code: 500, info: "No", check duration: 3ms, status: 2/3 UP.
//! Server b/s is DOWN, reason: Layer7 timeout, check duration: 2001ms. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.
//! ```

use std::fmt::{self, Display};

use portolan_shared::check_result::{CheckResult, Effect};
use portolan_shared::memory::Operational;
use portolan_shared::model::LogLevel;

use super::Outcome;
use super::health::Counter;

/// Whether a result is logged, where results are: it is another than before, or has moved the counter.
pub fn is_news(before: CheckResult, now: CheckResult, counted: bool) -> bool {
    counted || before != now
}

/// What a check has found, with how long it took; of errors in traffic and of an agent that is not
/// waited for there is no duration.
#[derive(Clone, Copy, Debug)]
pub struct Reason<'a> {
    /// What it has found.
    pub outcome: &'a Outcome,
    /// How long it took.
    pub duration_ms: Option<u32>,
}

impl Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { result, code, info, .. } = self.outcome;
        write!(f, ", reason: {}", result.describe())?;
        if result.has_code() {
            write!(f, ", code: {code}")?;
        }
        if !info.is_empty() {
            write!(f, ", info: \"{info}\"")?;
        }
        match self.duration_ms {
            Some(duration) => write!(f, ", check duration: {duration}ms"),
            None => Ok(()),
        }
    }
}

/// One check's result. Level notice.
#[derive(Clone, Copy, Debug)]
pub struct CheckLine<'a> {
    /// An agent was asked.
    pub agent: bool,
    /// The server is a backup server.
    pub backup: bool,
    /// Its backend's name.
    pub backend: &'a str,
    /// Its name.
    pub server: &'a str,
    /// What was found.
    pub reason: Reason<'a>,
    /// The counter after it.
    pub counter: Counter,
    /// The server has a weight.
    pub weighted: bool,
}

impl Display for CheckLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.agent { "Agent" } else { "Health" };
        let backup = if self.backup { "backup " } else { "" };
        let how = match self.reason.outcome.result.effect() {
            Effect::Passed => "succeeded",
            Effect::Conditional => "conditionally succeeded",
            Effect::Unknown | Effect::Neutral | Effect::Failed => "failed",
        };
        let (done, of) = self.counter.progress();
        let state = match (self.counter.is_up(), self.weighted) {
            (true, true) => "UP",
            (true, false) => "DRAIN",
            (false, _) => "DOWN",
        };
        write!(
            f,
            "{whose} check for {backup}server {}/{} {how}{}, status: {done}/{of} {state}.",
            self.backend, self.server, self.reason
        )
    }
}

/// Why a server has changed.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// Its check or agent; where every result is logged, a line before has said it.
    Logged,
    /// Its check or agent.
    Check(Reason<'a>),
    /// Something else, in these words.
    Said(&'a str),
}

/// Who is left in a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Servers that can be used.
    pub active: u32,
    /// Backup servers that can be used.
    pub backup: u32,
}

/// A server has changed. For its level see [`Self::level`].
#[derive(Clone, Copy, Debug)]
pub struct ServerLine<'a> {
    /// It is a backup server.
    pub backup: bool,
    /// Its backend's name.
    pub backend: &'a str,
    /// Its name.
    pub server: &'a str,
    /// What it was.
    pub before: Operational,
    /// What it is.
    pub now: Operational,
    /// Why.
    pub cause: Cause<'a>,
    /// The backend's and server's name that it tracks.
    pub via: Option<(&'a str, &'a str)>,
    /// Who is left, it included.
    pub left: Left,
    /// Streams with it.
    pub sessions: u32,
    /// Streams that are taken from its queue.
    pub requeued: u32,
    /// Streams that stay there.
    pub queued: u32,
}

impl ServerLine<'_> {
    /// How much it matters: a server that was stopping has been expected to go.
    pub fn level(&self) -> LogLevel {
        if self.now == Operational::Down && self.before != Operational::Stopping {
            LogLevel::Alert
        } else {
            LogLevel::Notice
        }
    }
}

impl Display for ServerLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.backup { "Backup Server" } else { "Server" };
        let state = match self.now {
            Operational::Down => "DOWN",
            Operational::Stopping => "stopping",
            Operational::Up | Operational::Unknown => "UP",
        };
        write!(f, "{kind} {}/{} is {state}", self.backend, self.server)?;
        match self.cause {
            Cause::Logged => {}
            Cause::Check(reason) => reason.fmt(f)?,
            Cause::Said(why) => write!(f, ", {why}")?,
        }
        if let Some((backend, server)) = self.via {
            write!(f, " via {backend}/{server}")?;
        }
        let Left { active, backup } = self.left;
        let on_backup = if active == 0 && backup > 0 { " Running on backup." } else { "" };
        if self.now == Operational::Down {
            write!(
                f,
                ". {active} active and {backup} backup servers left.{on_backup} {} sessions active, {} requeued, {} remaining in queue.",
                self.sessions, self.requeued, self.queued
            )
        } else {
            write!(
                f,
                ". {active} active and {backup} backup servers online.{on_backup} {} sessions requeued, {} total in queue.",
                self.requeued, self.queued
            )
        }
    }
}

/// A backend has lost its last server. Level emergency.
#[derive(Clone, Copy, Debug)]
pub struct NoServerLine<'a> {
    /// The backend's name.
    pub backend: &'a str,
    /// It is a part of a listen section.
    pub listen: bool,
}

impl Display for NoServerLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.listen { "proxy" } else { "backend" };
        write!(f, "{kind} {} has no server available!", self.backend)
    }
}

/// What a server is told of itself in X-Haproxy-Server-State (`send_state`).
#[derive(Clone, Copy, Debug)]
pub struct ServerState<'a> {
    /// The counter of its checks.
    pub counter: Counter,
    /// What it is.
    pub operational: Operational,
    /// Its address, `unix` for a path.
    pub address: &'a str,
    /// Its port; `None`: a path has none.
    pub port: Option<u16>,
    /// Its backend's name.
    pub backend: &'a str,
    /// Its name.
    pub server: &'a str,
    /// This node's name.
    pub node: &'a str,
    /// Its weight now, and that of all servers that can be used.
    pub weight: (u32, u32),
    /// Its streams, and those of all servers of its backend.
    pub sessions: (u32, u32),
    /// Streams that wait for it.
    pub queued: u32,
    /// How far its slow start is, in percent.
    pub throttle_percent: Option<u32>,
}

impl Display for ServerState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.operational {
            Operational::Down => "DOWN",
            Operational::Stopping => "NOLB",
            Operational::Up | Operational::Unknown => "UP",
        };
        f.write_str(word)?;
        if !self.counter.is_settled() {
            let (done, of) = self.counter.progress();
            write!(f, " {done}/{of}")?;
        }
        write!(
            f,
            "; address={}; port={}; name={}/{}; node={}; weight={}/{}; scur={}/{}; qcur={}",
            self.address,
            self.port.map_or_else(|| "unix".to_owned(), |port| port.to_string()),
            self.backend,
            self.server,
            self.node,
            self.weight.0,
            self.weight.1,
            self.sessions.0,
            self.sessions.1,
            self.queued
        )?;
        match self.throttle_percent {
            Some(percent) => write!(f, "; throttle={percent}%"),
            None => Ok(()),
        }
    }
}
