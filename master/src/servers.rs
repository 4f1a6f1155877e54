//! What an operator makes of servers, and how they stand.
//!
//! [`Servers`] reads the configuration and shared memory and has no other effect than storing what the
//! operator wants there; the rest is shell.
//!
//! - The operator's words lie in shared memory by the server's name: they hold over reloads, until the
//!   configuration changes what they were about, and over every process's death.
//! - A state is stored first, then the versions of its backend and of those whose servers track it are
//!   counted up, then every doorbell rings: a worker that picks a server afterwards knows.
//! - What checks find is the checker's to write; an operator's judgement goes there as an order.

use std::collections::HashMap;
use std::fmt::Write as _;

use portolan_shared::log::monotonic_ms;
use portolan_shared::memory::{AdminState, Memory, OperatorMaxconn, OperatorWeight, ServerState};
use portolan_shared::message::{Judgement as Is, Role, ToWorker};
use portolan_shared::model::{Backend, Config, LogLevel, Server};
use portolan_shared::standing::{Cause, Standing, Usable, standing_now, weights_change};

use crate::control::{Order, REQUIRE_SERVER, ServerCommand};
use crate::master::Master;

/// What HAProxy says to a weight that cannot be.
const STATIC_WEIGHT: &str =
    "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.";

/// The place of a server in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    backend: usize,
    server: usize,
}

/// The servers of a configuration as shared memory knows them.
#[derive(Clone, Copy, Debug)]
pub struct Servers<'a> {
    /// With objects.
    pub config: &'a Config,
    /// Writable.
    pub memory: &'a Memory,
    /// `CLOCK_MONOTONIC`.
    pub now_ms: u64,
}

impl<'a> Servers<'a> {
    /// The backends that are meant: by name or `#` and number, or all.
    pub fn backends(&self, which: Option<&str>) -> Result<Vec<(usize, &'a Backend)>, &'static str> {
        let backends = self.config.backends.iter().enumerate();
        let Some(which) = which else { return Ok(backends.collect()) };
        let number = which.strip_prefix('#').and_then(|number| number.parse().ok());
        let is = |(position, backend): &(usize, &Backend)| {
            backend.name == which || number == Some(position + 1)
        };
        let found: Vec<_> = backends.filter(is).collect();
        if found.is_empty() { Err("Can't find backend.") } else { Ok(found) }
    }

    /// The server that is meant by `backend/server`: names, or `#` and a number, or `name#2` for the
    /// second of a name.
    pub fn find(&self, target: &str) -> Result<At, &'static str> {
        let (backend, server) = target.split_once('/').ok_or(REQUIRE_SERVER)?;
        let found = self.backends(Some(backend)).map_err(|_| "No such backend.")?;
        let &(position, backend) = found.first().ok_or("No such backend.")?;
        let number = |text: &str| text.parse::<u32>().ok();
        let mut servers = (0..).zip(&backend.servers);
        let found = match server.split_once('#') {
            Some(("", id)) => servers.find(|(_, one)| Some(one.id) == number(id)),
            // No name holds a `#`, and the first of a name goes without.
            Some((name, count)) => {
                let before = number(count).filter(|count| *count > 1).ok_or("No such server.")?;
                servers.filter(|(_, one)| one.name == name).nth(before as usize - 1)
            }
            None => servers.find(|(_, one)| one.name == server),
        };
        found.map(|(server, _)| At { backend: position, server }).ok_or("No such server.")
    }

    /// The server there.
    pub fn at(&self, at: At) -> (&'a Backend, &'a Server) {
        let backend = &self.config.backends[at.backend];
        (backend, &backend.servers[at.server])
    }

    /// What is known of it.
    pub fn state(&self, at: At) -> ServerState {
        self.memory.server_state(self.at(at).1.object)
    }

    /// What it is good for.
    pub fn standing(&self, at: At) -> Standing {
        let (backend, server) = self.at(at);
        standing_now(self.config, self.memory, backend, server, self.now_ms)
    }

    /// All servers of a backend.
    pub fn of(backend: usize, config: &Config) -> impl Iterator<Item = At> + use<> {
        (0..config.backends[backend].servers.len()).map(move |server| At { backend, server })
    }

    /// The servers whose state is this one's.
    fn trackers(&self, of: At) -> Vec<At> {
        let tracked = (of.backend as u32, of.server as u32);
        let all = (0..self.config.backends.len()).flat_map(|at| Self::of(at, self.config));
        all.filter(|at| self.at(*at).1.health.track == Some(tracked)).collect()
    }

    /// Stores what the operator wants; nothing else is told to anybody.
    fn store(&self, at: At, order: Order) -> Result<(), &'static str> {
        let (backend, server) = self.at(at);
        let object = server.object;
        let state = self.state(at);
        match order {
            Order::State(wanted) => {
                let leaves = self.is_maintained(at) && wanted != AdminState::Maint;
                let mut admin = state.admin;
                admin.state = wanted;
                admin.set_ms = self.now_ms;
                admin.config_disabled = server.disabled;
                if leaves {
                    admin.ready_ms = self.now_ms;
                    // What was found before is of another time.
                    self.memory.forget_verdict(object);
                }
                self.memory.store_admin(object, admin);
            }
            Order::Weight(given) => {
                let weight = given.of(server.weight);
                let is_whole = weight == 0 || weight == server.weight;
                if !weights_change(backend) && !is_whole {
                    return Err(STATIC_WEIGHT);
                }
                let set = OperatorWeight { weight, configured: server.weight, set_ms: self.now_ms };
                self.memory.store_weight(object, Some(set));
            }
            Order::Maxconn(limit) => {
                let maxconn = (limit > 0).then_some(limit);
                let set =
                    OperatorMaxconn { maxconn, configured: server.maxconn, set_ms: self.now_ms };
                self.memory.store_maxconn(object, Some(set));
            }
            Order::Checks(on) => {
                if server.health.check.is_none() {
                    let refused = "Health check was not configured on this server, cannot enable.";
                    return if on { Err(refused) } else { Ok(()) };
                }
                let mut admin = state.admin;
                admin.checks_off = !on;
                self.memory.store_admin(object, admin);
                if !on {
                    // It counts as up, until the operator says otherwise.
                    self.memory.forget_verdict(object);
                }
            }
            Order::Agent(on) => {
                if server.health.agent.is_none() {
                    let refused = "Agent was not configured on this server, cannot enable.";
                    return if on { Err(refused) } else { Ok(()) };
                }
                let mut admin = state.admin;
                admin.agent_off = !on;
                self.memory.store_admin(object, admin);
            }
            Order::Judge(_) | Order::ShutdownSessions | Order::ShowWeight => {}
        }
        Ok(())
    }

    /// Whether operator or configuration keep it in maintenance.
    fn is_maintained(&self, at: At) -> bool {
        matches!(self.standing(at).maint, Some(Cause::Operator | Cause::Configuration))
    }

    /// Says that the states of these servers have changed.
    fn bump(&self, changed: &[At]) {
        let mut backends: Vec<usize> = changed.iter().map(|at| at.backend).collect();
        backends.sort_unstable();
        backends.dedup();
        for backend in backends {
            self.memory.bump_states(self.config.backends[backend].object);
        }
    }

    /// Whether a judgement may be made of a server.
    fn may_judge(&self, at: At, judgement: Is) -> Result<(), &'static str> {
        let server = self.at(at).1;
        let agent = server.health.agent.is_some() && !self.state(at).admin.agent_off;
        match judgement {
            Is::HealthUp | Is::HealthStopping | Is::HealthDown if server.health.track.is_some() => {
                Err("cannot change health on a tracking server.")
            }
            Is::HealthUp | Is::HealthStopping | Is::HealthDown if server.health.check.is_none() => {
                Err("health checks are not enabled on this server.")
            }
            Is::AgentUp | Is::AgentDown if !agent => {
                Err("agent checks are not enabled on this server.")
            }
            _ => Ok(()),
        }
    }

    /// What the log is told of a server whose standing was changed by an operator.
    fn lines(&self, at: At, before: &Standing) -> Vec<(LogLevel, String)> {
        let (backend, server) = self.at(at);
        let now = self.standing(at);
        let via = match server.health.track {
            Some((backend, server)) if [now.maint, now.drain].contains(&Some(Cause::Tracked)) => {
                let at = At { backend: backend as usize, server: server as usize };
                format!(" via {}", self.full_name(at))
            }
            _ => String::new(),
        };
        let name = self.full_name(at);
        let word = if now.up { "UP" } else { "DOWN" };
        let (active, backups) = self.usable(at.backend);
        let current = self.memory.current(server.object);
        let queued = self.memory.waiting(server.object);
        let mut lines = Vec::new();
        let line = match (before.maint, now.maint, before.drain, now.drain) {
            (None, Some(_), ..) if before.up => Some(format!(
                "Server {name} is going DOWN for maintenance{via}. {active} active and {backups} \
                     backup servers left. {current} sessions active, 0 requeued, {queued} remaining \
                     in queue."
            )),
            (None, Some(_), ..) => {
                Some(format!("Server {name} was DOWN and now enters maintenance{via}."))
            }
            (Some(_), None, ..) => {
                Some(format!("Server {name} is {word}/READY (leaving forced maintenance)."))
            }
            (None, None, None, Some(_)) => Some(format!(
                "Server {name} enters drain state{via}. {active} active and {backups} backup servers \
                 online. 0 sessions requeued, {queued} total in queue."
            )),
            (None, None, Some(_), None) => {
                Some(format!("Server {name} is {word} (leaving forced drain)."))
            }
            _ => None,
        };
        lines.extend(line.map(|line| (LogLevel::Notice, line)));
        if before.usable == Usable::All && now.usable != Usable::All && active + backups == 0 {
            let listens = self.config.listen_of(at.backend as u32).is_some();
            let kind = if listens { "proxy" } else { "backend" };
            let line = format!("{kind} {} has no server available!", backend.name);
            lines.push((LogLevel::Emerg, line));
        }
        lines
    }

    /// `backend/server`, by which [`Servers::find`] finds it.
    pub fn full_name(&self, at: At) -> String {
        let backend = &self.config.backends[at.backend];
        format!("{}/{}", backend.name, called(backend, at.server))
    }

    /// How many active and how many backup servers of a backend everybody may be sent to.
    fn usable(&self, backend: usize) -> (usize, usize) {
        let mut count = (0, 0);
        for at in Self::of(backend, self.config) {
            if self.standing(at).usable == Usable::All {
                let kind = if self.at(at).1.backup { &mut count.1 } else { &mut count.0 };
                *kind += 1;
            }
        }
        count
    }

    /// How many servers of a backend are down, and how many are in maintenance.
    fn down_of(&self, backend: usize) -> (u32, u32) {
        let mut count = (0, 0);
        for at in Self::of(backend, self.config) {
            let standing = self.standing(at);
            count.1 += u32::from(standing.maint.is_some());
            count.0 += u32::from(standing.maint.is_none() && !standing.up);
        }
        count
    }
}

/// What a server is called in its backend: its name, the second of that name `name#2`.
fn called(backend: &Backend, position: usize) -> String {
    let name = &backend.servers[position].name;
    let before = backend.servers[..position].iter().filter(|other| other.name == *name).count();
    nth_of(name, before)
}

fn nth_of(name: &str, before: usize) -> String {
    if before == 0 { name.to_owned() } else { format!("{name}#{}", before + 1) }
}

/// The same of all servers of a backend, in order.
pub fn names(backend: &Backend) -> impl Iterator<Item = String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    backend.servers.iter().map(move |server| {
        let before = seen.entry(&server.name).or_default();
        *before += 1;
        nth_of(&server.name, *before - 1)
    })
}

/// How many servers there are and how many of them do not serve, looked up again where something changed.
#[derive(Debug, Default)]
pub struct Tally {
    /// By backend: the version that was counted, how many are down and how many in maintenance.
    backends: Vec<(u64, u32, u32)>,
}

impl Tally {
    /// Counts what has changed.
    pub fn count(&mut self, servers: &Servers<'_>) {
        self.backends.resize(servers.config.backends.len(), (u64::MAX, 0, 0));
        for (number, (seen, down, maint)) in self.backends.iter_mut().enumerate() {
            let version = servers.memory.states_version(servers.config.backends[number].object);
            if version != *seen {
                *seen = version;
                (*down, *maint) = servers.down_of(number);
            }
        }
    }

    /// How many are down, maintenance aside.
    pub fn down(&self) -> u32 {
        self.backends.iter().map(|(_, down, _)| down).sum()
    }

    /// How many are in maintenance.
    pub fn maint(&self) -> u32 {
        self.backends.iter().map(|(.., maint)| maint).sum()
    }
}

impl Master {
    /// The servers of the generation that serves; `None` where another program's successor does not
    /// know its model.
    pub fn servers(&self) -> Option<Servers<'_>> {
        let config = self.config.as_deref()?;
        Some(Servers { config, memory: self.memory.memory(), now_ms: monotonic_ms() })
    }

    /// Does what an operator wants of a server; the answer.
    pub fn obey_about_server(&mut self, command: &ServerCommand) -> String {
        match self.try_about_server(command) {
            Ok(answer) => answer,
            Err(error) => error.to_owned(),
        }
    }

    fn try_about_server(&mut self, command: &ServerCommand) -> Result<String, &'static str> {
        let servers = self.servers().ok_or(crate::show_servers::UNKNOWN)?;
        let at = servers.find(&command.target)?;
        let order = command.order?;
        let object = servers.at(at).1.object;
        match order {
            Order::ShowWeight => {
                let weight = servers.standing(at).user_weight;
                return Ok(format!("{weight} (initial {})\n", servers.at(at).1.weight));
            }
            Order::ShutdownSessions => {
                let message = ToWorker::ShutdownSessions { object };
                for worker in self.workers.values_mut().filter(|one| one.role == Role::Worker) {
                    worker.say(&message, &[]);
                }
                return Ok(String::new());
            }
            Order::Judge(judgement) => {
                servers.may_judge(at, judgement)?;
                let checker = self.aides.checks().and_then(|id| self.workers.get_mut(&id));
                let checker = checker.ok_or("The checker is not running, try again.")?;
                checker.say(&ToWorker::Judge { object, judgement }, &[]);
                return Ok(String::new());
            }
            Order::State(_)
            | Order::Weight(_)
            | Order::Maxconn(_)
            | Order::Checks(_)
            | Order::Agent(_) => {}
        }
        let mut changed = servers.trackers(at);
        changed.insert(0, at);
        let before: Vec<Standing> = changed.iter().map(|at| servers.standing(*at)).collect();
        servers.store(at, order)?;
        servers.bump(&changed);
        self.memory.ring_all();
        let lines: Vec<_> = changed
            .iter()
            .zip(&before)
            .flat_map(|(at, before)| servers.lines(*at, before))
            .collect();
        for (level, line) in lines {
            self.say(level, &line);
        }
        Ok(String::new())
    }

    /// Counts the servers that are down, where something has changed.
    pub fn count_servers(&mut self) {
        let mut tally = std::mem::take(&mut self.tally);
        if let Some(servers) = self.servers() {
            tally.count(&servers);
        }
        self.tally = tally;
    }

    /// `show backend`.
    pub fn backends(&self) -> String {
        let mut text = "# name\n".to_owned();
        for backend in self.config.iter().flat_map(|config| &config.backends) {
            let _ = writeln!(text, "{}", backend.name);
        }
        text
    }
}

#[cfg(test)]
mod tests;
