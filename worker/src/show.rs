//! Answers to the operator: applets that write what they see of this worker, a part per step.
//!
//! Shell around [`Worker`]'s tables; nothing here changes anything.
//!
//! Limits: one step writes at most [`ENTRIES_PER_STEP`] entries, so that a long list does not hold the
//! loop; an applet rests while the channel to the master is full.

use std::fmt::{Debug, Write as _};
use std::os::fd::{AsFd, AsRawFd};

use portolan_shared::memory::INSTANCE;
use portolan_shared::message::{PIECE_MAX, Query, ToMaster};
use portolan_shared::model::LogLevel;

use crate::clock::Millis;
use crate::descriptor::{Belongs, Descriptors, READ, WRITE};
use crate::event_loop::Worker;
use crate::stream::NONE;
use crate::task::{NEVER, Scheduler};

/// Entries written in one step; each is at most some 200 bytes, so that a part fits a message.
const ENTRIES_PER_STEP: usize = 128;

/// One answer on its way.
#[derive(Debug)]
pub struct Applet {
    id: u32,
    what: Query,
    /// How many entries of the list were written.
    written: usize,
    /// Whether the last part was written.
    pub done: bool,
}

impl Applet {
    /// An answer to this question.
    pub fn new(id: u32, what: Query) -> Self {
        Self { id, what, written: 0, done: false }
    }

    /// Its next part: `part` answers the text from this entry on, and whether it was the last.
    pub fn step(&mut self, part: impl FnOnce(Query, usize) -> (String, bool)) -> ToMaster {
        let (mut text, last) = part(self.what, self.written);
        self.written += ENTRIES_PER_STEP;
        self.done = last;
        while text.len() > PIECE_MAX {
            text.pop();
        }
        ToMaster::Reply { id: self.id, text, last }
    }
}

impl Worker {
    /// The first applet writes its next part, and goes behind the others or is done.
    pub(crate) fn applet_step(&mut self) {
        if self.applets.is_empty() {
            return;
        }
        let mut applet = self.applets.remove(0);
        let reply = applet.step(|what, from| match what {
            Query::Activity => (self.show_activity(), true),
            Query::Pools => (self.show_pools(), true),
            Query::Listeners => listing(self.show_listeners(from)),
            Query::Tasks => tasks(&self.tasks, self.clock.now(), from),
            Query::Descriptors => descriptors(&self.descriptors, from),
            Query::Streams => listing(self.show_streams(from)),
            Query::Sandbox => (self.confined.show(&self.name()), true),
        });
        self.tell(&reply);
        if !applet.done {
            self.applets.push(applet);
        }
    }

    /// SIGQUIT: states and pools to the log.
    pub(crate) fn dump(&mut self) {
        let mut text = self.show_activity();
        text.push_str(&self.show_pools());
        text.push_str(&self.show_servers());
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
            ("polls", activity.polls),
            ("polls_with_events", activity.polls_with_events),
            ("events", activity.events),
            ("rounds", activity.rounds),
            ("tasks_run", activity.tasks),
            ("tasks_runnable", self.tasks.runnable() as u64),
            ("sessions", activity.sessions),
            ("streams", self.streams.len() as u64),
            ("http_clients", self.sessions.len() as u64),
            ("http_requests", self.http.requests),
            ("kept_connections", self.kept_connections() as u64),
            ("descriptors", self.descriptors.len() as u64),
            ("descriptor_limit", self.descriptor_limit as u64),
            ("rings", activity.rings),
            ("rung", activity.rung),
            ("connections_of_all_workers", self.lane.memory().current(INSTANCE).into()),
        ];
        let _ = writeln!(text, "worker: {}", self.name());
        let _ = writeln!(text, "poller: {}", self.poller.name());
        for (name, value) in rows {
            let _ = writeln!(text, "{name}: {value}");
        }
        for (signal, count) in self.signals.counts() {
            let _ = writeln!(text, "signal_{signal}: {count}");
        }
        text
    }

    fn show_pools(&self) -> String {
        let (size, out, idle, most, waits) = self.buffers.figures();
        let (pipes_out, pipes_idle, pipes_most, failures) = self.pipes.figures();
        format!(
            "buffers: size={size} used={out} idle={idle} most_used={most} waits={waits}\n\
             pipes: used={pipes_out} idle={pipes_idle} most_used={pipes_most} failures={failures}\n"
        )
    }

    fn show_servers(&self) -> String {
        let mut text = String::new();
        let memory = self.lane.memory();
        for (backend, state) in self.config.backends.iter().zip(&self.backends) {
            let (name, queued) = (&backend.name, memory.waiting(backend.object));
            let known = state.standings.iter().zip(&state.kept);
            for (server, (standing, pool)) in backend.servers.iter().zip(known) {
                let _ = writeln!(
                    text,
                    "server {name}/{}: weight={} current={} queued={queued} kept={}",
                    server.name,
                    standing.user_weight,
                    memory.current(server.object),
                    pool.len()
                );
            }
        }
        text
    }

    fn show_listeners(&self, from: usize) -> (String, usize) {
        let mut text = String::new();
        let entries = self.listeners.iter().skip(from).take(ENTRIES_PER_STEP);
        let mut count = 0;
        for listener in entries {
            count += 1;
            let frontend = &self.config.frontends[listener.frontend as usize];
            let bind = &frontend.binds[listener.bind as usize];
            let slot =
                listener.slot.map_or_else(|| "all".to_owned(), |slot| (slot + 1).to_string());
            let _ = writeln!(
                text,
                "{} {} proto={} slot={slot} state={}",
                frontend.name,
                bind.written,
                listener.protocol.name,
                listener.state.name()
            );
        }
        (text, count)
    }

    fn show_streams(&self, from: usize) -> (String, usize) {
        let now = self.clock.now();
        let mut text = String::new();
        let mut count = 0;
        for (key, stream) in self.streams.iter().skip(from).take(ENTRIES_PER_STEP) {
            count += 1;
            let client = stream.client.ip().map_or_else(|| "unix".to_owned(), |ip| ip.to_string());
            let backend = self.config.backends.get(stream.backend as usize);
            let server = backend
                .filter(|_| stream.server != NONE)
                .and_then(|backend| backend.servers.get(stream.server as usize));
            let _ = writeln!(
                text,
                "{key} client={client} frontend={} backend={} server={} state={:?} age={}ms in={} out={}",
                self.config.frontends[stream.frontend as usize].name,
                backend.map_or("<NONE>", |backend| &backend.name),
                server.map_or("<NONE>", |server| &server.name),
                stream.machine.state(),
                now.saturating_sub(stream.accepted),
                stream.front.received,
                stream.back.received
            );
        }
        (text, count)
    }
}

/// A step's part of a table of tasks, and whether it was the last one.
pub fn tasks<J: Copy + Debug>(tasks: &Scheduler<J>, now: Millis, from: usize) -> (String, bool) {
    let mut text = String::new();
    let mut count = 0;
    for (id, task) in tasks.iter().skip(from).take(ENTRIES_PER_STEP) {
        count += 1;
        let due = match task.deadline() {
            NEVER => "never".to_owned(),
            deadline => format!("{}ms", deadline.saturating_sub(now)),
        };
        let _ = writeln!(
            text,
            "{id} {:?} state={:?} reasons={} nice={} calls={} due={due}",
            task.job,
            task.state(),
            task.reasons(),
            task.nice(),
            task.calls()
        );
    }
    listing((text, count))
}

/// A step's part of a table of descriptors, and whether it was the last one.
pub fn descriptors<O: Belongs>(table: &Descriptors<O>, from: usize) -> (String, bool) {
    let mut text = String::new();
    let mut count = 0;
    let letters = |bits: u8| match (bits & READ != 0, bits & WRITE != 0) {
        (true, true) => "RW",
        (true, false) => "R-",
        (false, true) => "-W",
        (false, false) => "--",
    };
    for (_, entry) in table.iter().skip(from).take(ENTRIES_PER_STEP) {
        count += 1;
        let (want, ready) = entry.state();
        let number = entry.as_fd().as_raw_fd();
        let _ = writeln!(
            text,
            "{number} {:?} want={} ready={} polled={} edge={} hung={}",
            entry.owner,
            letters(want),
            letters(ready),
            letters(entry.polled()),
            u8::from(entry.edge()),
            u8::from(entry.hung)
        );
    }
    listing((text, count))
}

/// A step's entries, and whether they were the last ones.
fn listing((text, entries): (String, usize)) -> (String, bool) {
    (text, entries < ENTRIES_PER_STEP)
}
