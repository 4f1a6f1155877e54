//! What the master answers on its control socket.
//!
//! Shell; what clients wait for is kept in [`questions`](crate::questions).

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use portolan_shared::log::Zone;
use portolan_shared::memory::{INSTANCE, Total};
use portolan_shared::message::{Query, Role, ToWorker};
use rustix::event::PollFlags;

use crate::control::{ClientId, Command, HELP};
use crate::master::Master;
use crate::servers::{Servers, Tally};
use crate::show_servers;
use crate::slots::WorkerId;
use crate::state::Input;
use crate::worker::{Phase, Worker};

/// Our version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Master {
    /// Something happened at a client's connection.
    pub fn handle_client(&mut self, id: ClientId, flags: PollFlags, now: Instant) {
        let Some(control) = &mut self.control else { return };
        if flags.contains(PollFlags::OUT) {
            control.write(id);
        }
        let command = if flags.contains(PollFlags::IN) {
            control.read(id, now)
        } else {
            if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
                control.drop_client(id);
            }
            None
        };
        if let Some(command) = command {
            self.handle_command(id, command, now);
        }
    }

    /// Works on a client's line, and on the next ones that are already there.
    fn handle_command(&mut self, id: ClientId, command: Result<Command, String>, now: Instant) {
        let mut command = Some(command);
        while let Some(this) = command.take() {
            let answer = match this {
                Ok(Command::Reload) => return self.ask_reload(id, now),
                Ok(Command::Ask(query, slot)) => return self.ask_workers(id, query, slot, now),
                Ok(Command::Quit) => {
                    if let Some(control) = &mut self.control {
                        control.quit(id);
                    }
                    return;
                }
                Ok(Command::Sandbox) => return self.ask_sandbox(id, now),
                Ok(Command::Version) => VERSION.to_owned(),
                Ok(Command::Info) => self.info(),
                Ok(Command::Processes) => self.processes(),
                Ok(Command::Captures) => self.captures.show(Zone::system()),
                Ok(Command::Backends) => self.backends(),
                Ok(Command::ServerStates(which)) => self.show_servers(|servers, age| {
                    show_servers::states(servers, which.as_deref(), age)
                }),
                Ok(Command::ServerConnections(which)) => self.show_servers(|servers, _| {
                    show_servers::connections(servers, which.as_deref())
                }),
                Ok(Command::Server(about)) => self.obey_about_server(&about),
                Ok(Command::Help) => HELP.to_owned(),
                Ok(Command::Nothing) => String::new(),
                Err(error) => format!("error: {error}"),
            };
            command = self.answer(id, &answer);
        }
    }

    /// Answers a client; its next line, if it is already there.
    fn answer(&mut self, id: ClientId, text: &str) -> Option<Result<Command, String>> {
        let control = self.control.as_mut()?;
        control.answer(id, text);
        control.next_line(id)
    }

    /// Answers a client that waited, and goes on with its next lines.
    fn answer_later(&mut self, id: ClientId, text: &str, now: Instant) {
        if let Some(command) = self.answer(id, text) {
            self.handle_command(id, command, now);
        }
    }

    fn ask_reload(&mut self, id: ClientId, now: Instant) {
        if self.state.stops() {
            return self.answer_later(id, "failed\nthe instance stops", now);
        }
        // A reload that runs may have read the files before this one was asked.
        self.waiting.next.push(id);
        self.input(Input::ReloadAsked, now);
    }

    /// Tells everybody who waits for the reload that has just ended.
    pub fn answer_waiting_reloads(&mut self, text: &str) {
        let now = Instant::now();
        for id in std::mem::take(&mut self.waiting.now) {
            self.answer_later(id, text, now);
        }
        if self.state.stops() {
            for id in std::mem::take(&mut self.waiting.next) {
                self.answer_later(id, text, now);
            }
        }
    }

    fn ask_workers(&mut self, id: ClientId, what: Query, slot: Option<u16>, now: Instant) {
        let asked: Vec<(WorkerId, String)> = self
            .workers
            .values()
            .filter(|worker| match worker.role {
                Role::Worker => true,
                Role::Checker => slot.is_none() && is_of_every_loop(what),
                Role::Runner => slot.is_none() && what == Query::Activity,
            })
            .filter(|worker| worker.phase != Phase::Starting && !worker.mute)
            .filter(|worker| match slot {
                Some(slot) => self.current == Some(worker.generation) && worker.slot == slot,
                None => true,
            })
            .map(|worker| (worker.id, title(worker)))
            .collect();
        if asked.is_empty() {
            return self.answer_later(id, "error: no such worker", now);
        }
        let workers: Vec<WorkerId> = asked.iter().map(|(worker, _)| *worker).collect();
        let question = self.questions.ask(id, String::new(), asked, now);
        for worker in workers {
            if let Some(worker) = self.workers.get_mut(&worker) {
                worker.say(&ToWorker::Query { id: question, what }, &[]);
            }
        }
    }

    /// A worker's answer, or a part of it.
    pub fn handle_reply(&mut self, question: u32, worker: WorkerId, text: &str, last: bool) {
        self.questions.reply(question, worker, text, last);
        self.expire_questions(Instant::now());
    }

    /// A worker has ended.
    pub fn forget_answers(&mut self, worker: WorkerId) {
        self.questions.gone(worker);
        self.expire_questions(Instant::now());
    }

    /// Answers what is complete or late.
    pub fn expire_questions(&mut self, now: Instant) {
        for (client, text) in self.questions.finished(now) {
            self.answer_later(client, &text, now);
        }
    }

    /// A listing of servers; `show` is told for how many seconds the instance has run.
    fn show_servers(
        &self,
        show: impl FnOnce(&Servers<'_>, u64) -> Result<String, &'static str>,
    ) -> String {
        let servers = self.servers().ok_or(show_servers::UNKNOWN);
        servers
            .and_then(|servers| show(&servers, self.since.elapsed().as_secs()))
            .unwrap_or_else(str::to_owned)
    }

    /// `show info`.
    fn info(&self) -> String {
        let memory = self.memory.memory();
        let mut text = String::new();
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{name}: {value}");
        };
        line("Name", &"Portolan");
        line("Version", &VERSION);
        line("Pid", &std::process::id());
        line("Uptime", &uptime(self.since.elapsed()));
        line("Uptime_sec", &self.since.elapsed().as_secs());
        line("Generation", &self.current.unwrap_or(0));
        line("Reloads", &self.reloads.0);
        line("Failed_reloads", &self.reloads.1);
        line("Workers", &self.slots.len());
        line("Ready_workers", &self.slots.serving_count());
        line("Processes", &self.workers.len());
        line("Listeners", &self.listeners.len());
        line("Maxconn", &self.maxconn);
        if let Some(config) = &self.config {
            let servers: usize = config.backends.iter().map(|backend| backend.servers.len()).sum();
            let mut tally = Tally::default();
            if let Some(servers) = self.servers() {
                tally.count(&servers);
            }
            line("Servers", &servers);
            line("Servers_down", &tally.down());
            line("Servers_maint", &tally.maint());
        }
        if memory.objects_max() > INSTANCE {
            line("CurrConns", &memory.current(INSTANCE));
            line("CumConns", &memory.total(INSTANCE, Total::Connections));
            line("CumSess", &memory.total(INSTANCE, Total::Sessions));
            line("Bytes_in", &memory.total(INSTANCE, Total::BytesIn));
            line("Bytes_out", &memory.total(INSTANCE, Total::BytesOut));
        }
        line("Lanes_free", &self.memory.free_lanes());
        let (node, description) = &self.names;
        let host = nix::unistd::gethostname().unwrap_or_default();
        line("node", &node.as_deref().unwrap_or(&host.to_string_lossy()));
        if let Some(description) = description {
            line("description", description);
        }
        text
    }

    /// `show proc`.
    pub fn processes(&self) -> String {
        let mut text = String::new();
        let columns = "#<pid>          <role>          <slot>  <generation>    <uptime>        \
                       <state>             <deaths>  <reloads>       \
                       <successor>  <version>";
        let _ = writeln!(text, "{columns}");
        let (good, bad) = self.reloads;
        let _ = writeln!(
            text,
            "{:<15} {:<15} {:<7} {:<15} {:<15} {:<19} {:<9} {:<15} {:<12} {VERSION}",
            std::process::id(),
            "master",
            "-",
            self.current.unwrap_or(0),
            uptime(self.since.elapsed()),
            self.state.name(),
            "-",
            format!("{good} [failed: {bad}]"),
            "-",
        );
        let current = |worker: &&Worker| Some(worker.generation) == self.current;
        text.push_str("# workers\n");
        for worker in self.workers.values().filter(current) {
            let deaths = match worker.role {
                Role::Worker => self.slots.deaths(worker.slot),
                role => self.aides.deaths(role),
            };
            row(&mut text, worker, &deaths.to_string(), self.successor_of(worker));
        }
        text.push_str("# old workers\n");
        for worker in self.workers.values().filter(|worker| !current(worker)) {
            row(&mut text, worker, "-", self.successor_of(worker));
        }
        text
    }

    /// The pid of the one that a worker hands over to.
    fn successor_of(&self, worker: &Worker) -> Option<i32> {
        let successor = self.succession.successor(worker.id)?;
        self.workers.get(&successor).map(|successor| successor.pid)
    }
}

fn row(text: &mut String, worker: &Worker, deaths: &str, successor: Option<i32>) {
    let state = match worker.streams {
        Some(streams) => format!("{}, {streams} left", worker.phase.name()),
        None => worker.phase.name().to_owned(),
    };
    let slot = match worker.role {
        Role::Worker => (worker.slot + 1).to_string(),
        Role::Checker | Role::Runner => "-".to_owned(),
    };
    let successor = successor.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    let _ = writeln!(
        text,
        "{:<15} {:<15} {slot:<7} {:<15} {:<15} {state:<19} {deaths:<9} {:<15} {successor:<12} {}",
        worker.pid,
        worker.role_name(),
        worker.generation,
        uptime(worker.since.elapsed()),
        worker.reloads,
        worker.version,
    );
}

/// What a process is, above what it says.
pub fn title(worker: &Worker) -> String {
    let Worker { pid, generation, .. } = worker;
    match worker.role {
        Role::Worker => format!("worker {} pid {pid} generation {generation}", worker.slot + 1),
        _ => format!("{} pid {pid} generation {generation}", worker.role_name()),
    }
}

/// Whether a checker has an answer as workers have, not only those who serve traffic.
fn is_of_every_loop(what: Query) -> bool {
    matches!(what, Query::Activity | Query::Tasks | Query::Descriptors)
}

/// As HAProxy writes it: `0d00h02m07s`.
fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    format!("{days}d{hours:02}h{:02}m{:02}s", seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::uptime;

    #[test]
    fn uptime_is_written_as_haproxy_does() {
        assert_eq!(uptime(Duration::from_secs(127)), "0d00h02m07s");
        assert_eq!(uptime(Duration::from_secs(90_061)), "1d01h01m01s");
    }
}
