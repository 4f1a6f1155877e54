//! `show sandbox`, and what `sandbox = "require"` asks of the processes above the workers.
//!
//! Shell. Of every process the kernel's word comes first (`/proc/PID/status`, names with capitals), then its
//! own.

use std::fmt::Write as _;
use std::time::Instant;

use portolan_shared::message::{Query, ToWorker};
use portolan_shared::model::{Config, SandboxMode};

use crate::answer::title;
use crate::attested;
use crate::control::ClientId;
use crate::master::Master;
use crate::slots::WorkerId;
use crate::worker::{Phase, Worker};

/// Our own version: others may not understand the question.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Master {
    /// Whether all is confined that must be; else what is not.
    pub fn check_sandbox(&self, config: &Config) -> Result<(), String> {
        if config.process.sandbox != SandboxMode::Require {
            return Ok(());
        }
        let own = self.sandbox.refused.iter().map(ToString::to_string);
        let wrapper = self.wrapper_pid().and_then(attested::lacking);
        let all: Vec<String> =
            own.chain(wrapper.map(|lacks| format!("the wrapper has {lacks}"))).collect();
        if all.is_empty() {
            return Ok(());
        }
        Err(format!("`sandbox = \"require\"`, and the kernel refuses: {}", all.join("; ")))
    }

    fn wrapper_pid(&self) -> Option<i32> {
        self.link.is_wrapped().then(|| self.link.main_pid() as i32)
    }

    /// Tells a client of wrapper and master, and asks all others that can answer.
    pub fn ask_sandbox(&mut self, client: ClientId, now: Instant) {
        let asks = |worker: &&Worker| {
            worker.phase != Phase::Starting && !worker.mute && worker.version == VERSION
        };
        let asked: Vec<WorkerId> =
            self.workers.values().filter(asks).map(|worker| worker.id).collect();
        let parts: Vec<(WorkerId, String)> = (self.workers.values().filter(asks))
            .map(|worker| (worker.id, format!("{}\n{}", heading(worker), of(worker.pid))))
            .map(|(id, text)| (id, text.trim_end().to_owned()))
            .collect();
        let preface = self.preface(&asked);
        let question = self.questions.ask(client, preface, parts, now);
        for id in asked {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.say(&ToWorker::Query { id: question, what: Query::Sandbox }, &[]);
            }
        }
        self.expire_questions(now);
    }

    /// Those that are not asked.
    fn preface(&self, asked: &[WorkerId]) -> String {
        let mut text = String::new();
        if let Some(wrapper) = self.wrapper_pid() {
            let hidden = || "hidden".to_owned();
            let descriptors = attested::descriptors_of(wrapper).unwrap_or_else(hidden);
            let _ = write!(text, "# wrapper pid {wrapper}\n{}", of(wrapper));
            let _ = writeln!(text, "descriptors: {descriptors}");
        }
        let own = std::process::id() as i32;
        let generation = self.current.unwrap_or(0);
        let _ = write!(text, "# master pid {own} generation {generation}\n{}", of(own));
        let _ = write!(text, "{}", self.sandbox);
        let _ = writeln!(text, "descriptors: {}", attested::own_descriptors());
        for worker in self.workers.values().filter(|worker| !asked.contains(&worker.id)) {
            let _ = write!(text, "# {}\n{}", heading(worker), of(worker.pid));
        }
        text
    }
}

fn heading(worker: &Worker) -> String {
    format!("{} {}", title(worker), worker.phase.name())
}

/// What the kernel says of it.
fn of(pid: i32) -> String {
    let mut text = attested::of(pid).map(|attested| attested.to_string()).unwrap_or_default();
    if let Some(score) = attested::oom_score_adj(pid) {
        let _ = writeln!(text, "OomScoreAdj: {score}");
    }
    text
}
