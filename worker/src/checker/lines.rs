//! What the log is told: which of `check::lines`, with what of the moment in them.
//!
//! Shell. Lines go where the process's events go, the targets of `[global] log`; each is written once per
//! instance, and begins as HAProxy's does.

use portolan_shared::memory::Operational;
use portolan_shared::model::LogLevel;
use portolan_shared::standing::Cause as By;

use super::Checker;
use super::farms::{At, Change, look_at};
use crate::check::health::Counter;
use crate::check::lines::{Cause, CheckLine, Left, NoServerLine, Reason, ServerLine};

impl Checker {
    /// One result, where results are logged.
    pub(super) fn log_check(&mut self, at: At, agent: bool, reason: Reason<'_>, counter: Counter) {
        let backend = &self.config.backends[at.backend as usize];
        let server = &backend.servers[at.server as usize];
        let now = self.clock.now();
        let standing = look_at(&self.config, self.lane.memory(), at, now);
        let line = CheckLine {
            agent,
            backup: server.backup,
            backend: &backend.name,
            server: &server.name,
            reason,
            counter,
            weighted: standing.user_weight > 0,
        };
        self.log.say(LogLevel::Notice, format_args!("{line}"));
    }

    /// A server is not what it was: itself, or with the one it tracks (`origin`).
    pub(super) fn log_change(
        &mut self,
        origin: At,
        change: Change,
        cause: Cause<'_>,
        before: Left,
        left: Left,
    ) {
        let Change { at, before: was, after: is } = change;
        let backend = &self.config.backends[at.backend as usize];
        let server = &backend.servers[at.server as usize];
        let kind = if server.backup { "Backup Server" } else { "Server" };
        let name = format_args!("{kind} {}/{}", backend.name, server.name);
        let log = &mut self.log;
        let of_agent = |by: Option<By>| by == Some(By::Agent);
        // The agent takes the operator's word back too.
        let of_both = |by: Option<By>| matches!(by, Some(By::Agent | By::Operator));
        if of_agent(is.maint) && was.maint.is_none() {
            log.say(LogLevel::Notice, format_args!("{name} is going DOWN for maintenance."));
        } else if of_both(was.maint) && is.maint.is_none() {
            log.say(LogLevel::Notice, format_args!("{name} leaves maintenance."));
        }
        if of_agent(is.drain) && was.drain.is_none() {
            log.say(LogLevel::Notice, format_args!("{name} enters drain state."));
        } else if of_both(was.drain) && is.drain.is_none() {
            log.say(LogLevel::Notice, format_args!("{name} leaves forced drain state."));
        }
        if was.operational != is.operational && is.maint.is_none() {
            let memory = self.lane.memory();
            let waiting = memory.waiting(server.object);
            let down = is.operational == Operational::Down;
            let via = (at != origin).then(|| {
                let tracked = &self.config.backends[origin.backend as usize];
                (tracked.name.as_str(), tracked.servers[origin.server as usize].name.as_str())
            });
            let line = ServerLine {
                backup: server.backup,
                backend: &backend.name,
                server: &server.name,
                before: was.operational,
                now: is.operational,
                cause: if via.is_some() { Cause::Logged } else { cause },
                via,
                left,
                sessions: memory.current(server.object),
                // Those who wait for a server that goes down are taken from it.
                requeued: if down { waiting } else { 0 },
                queued: if down { 0 } else { waiting },
            };
            log.say(line.level(), format_args!("{line}"));
        }
        let any = |left: Left| left.active + left.backup > 0;
        if any(before) && !any(left) {
            let listen = self.config.listen_of(at.backend).is_some();
            let line = NoServerLine { backend: &backend.name, listen };
            log.say(LogLevel::Emerg, format_args!("{line}"));
        }
    }
}
