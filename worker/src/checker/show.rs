//! Answers to the operator, a part per step.
//!
//! Shell around [`Checker`]'s tables; nothing here changes anything.

use std::fmt::Write as _;

use portolan_shared::message::Query;
use portolan_shared::model::LogLevel;

use super::Checker;
use crate::show::{descriptors, tasks};

impl Checker {
    /// The first applet writes its next part, and goes behind the others or is done.
    pub(super) fn applet_step(&mut self) {
        if self.applets.is_empty() {
            return;
        }
        let mut applet = self.applets.remove(0);
        let reply = applet.step(|what, from| match what {
            Query::Activity => (self.show_activity(), true),
            Query::Tasks => tasks(&self.tasks, self.clock.now(), from),
            Query::Descriptors => descriptors(&self.descriptors, from),
            // It has none.
            Query::Streams | Query::Listeners | Query::Pools => (String::new(), true),
            Query::Sandbox => (self.confined.show(&self.name()), true),
        });
        self.tell(&reply);
        if !applet.done {
            self.applets.push(applet);
        }
    }

    /// SIGQUIT: figures to the log.
    pub(super) fn dump(&mut self) {
        let text = self.show_activity();
        let name = self.name();
        for line in text.lines() {
            self.log.say(LogLevel::Notice, format_args!("{name}: {line}"));
        }
    }

    fn show_activity(&self) -> String {
        let activity = &self.activity;
        let mut text = String::new();
        let rows = [
            ("loops", activity.loops),
            ("polls_with_events", activity.polls_with_events),
            ("events", activity.events),
            ("watches", self.watches.len() as u64),
            ("checks_done", activity.checks),
            ("checks_late", activity.late),
            ("checks_latest_ms", activity.latest_ms),
            ("commands", self.commands),
            ("tasks_run", activity.tasks),
            ("tasks_runnable", self.tasks.runnable() as u64),
            ("descriptors", self.descriptors.len() as u64),
            ("descriptor_limit", self.descriptor_limit as u64),
            ("rings", activity.rings),
            ("rung", activity.rung),
        ];
        let _ = writeln!(text, "checker: {}", self.name());
        let _ = writeln!(text, "poller: {}", self.poller.name());
        let _ = writeln!(text, "checks: {}", if self.active { "on" } else { "off" });
        for (name, value) in rows {
            let _ = writeln!(text, "{name}: {value}");
        }
        for (signal, count) in self.signals.counts() {
            let _ = writeln!(text, "signal_{signal}: {count}");
        }
        text
    }
}
