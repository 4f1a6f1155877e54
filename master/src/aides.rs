//! The processes beside the workers: the checker, and the runner of its commands.
//!
//! [`Aides`] is core (who holds which post, when to respawn); the rest is shell.
//!
//! - There is one checker per instance, only where some server is watched, and one runner, only where
//!   some check is a command. Both are ready before their generation is promoted.
//! - At most one checker checks: a new one is told to begin ([`ToWorker::Resume`]) only once the pidfd of
//!   every other one has ended, a former master's included. Whoever checks is named in shared memory.
//! - A dead one is respawned as a worker is, with the same waits. Nobody else notices: what it found is
//!   in shared memory.
//! - While the instance stops, both stay until the last worker is gone: what drains may still be given
//!   to another server, and must not be given to a dead one.

use std::os::fd::AsFd as _;
use std::time::Instant;

use portolan_shared::channel::Channel;
use portolan_shared::message::{Role, ToWorker};
use portolan_shared::model::{CheckKind, Config, LogLevel};
use serde::{Deserialize, Serialize};

use crate::master::Master;
use crate::slots::{Slots, WorkerId};
use crate::state::State;
use crate::worker::Worker;

/// What stands in the place of a slot in a checker's lane; workers' slots end below it.
pub const CHECKER_SLOT: u16 = u16::MAX;
/// The same of the runner.
pub const RUNNER_SLOT: u16 = u16::MAX - 1;

/// What a process is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Post {
    /// To serve this slot.
    Slot(u16),
    /// To check.
    Checker,
    /// To run commands.
    Runner,
}

impl Post {
    /// What it is told to be.
    pub fn role(self) -> Role {
        match self {
            Self::Slot(_) => Role::Worker,
            Self::Checker => Role::Checker,
            Self::Runner => Role::Runner,
        }
    }

    /// Its slot, or what stands there.
    pub fn slot(self) -> u16 {
        match self {
            Self::Slot(slot) => slot,
            Self::Checker => CHECKER_SLOT,
            Self::Runner => RUNNER_SLOT,
        }
    }
}

impl std::fmt::Display for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Slot(slot) => write!(f, "worker {}", slot + 1),
            Self::Checker => f.write_str("the checker"),
            Self::Runner => f.write_str("the runner"),
        }
    }
}

/// Which posts a configuration has beside its slots.
pub fn wanted(config: &Config) -> Vec<Post> {
    let mut posts = Vec::new();
    let watched = |check: &dyn Fn(&CheckKind) -> bool, agents: bool| {
        config.backends.iter().any(|backend| {
            backend.servers.iter().any(|server| {
                let health = &server.health;
                (health.check.is_some() && check(&backend.check.kind))
                    || (agents && health.agent.is_some())
            })
        })
    };
    if watched(&|_| true, true) {
        posts.push(Post::Checker);
    }
    if watched(&|kind| matches!(kind, CheckKind::External { .. }), false) {
        posts.push(Post::Runner);
    }
    posts
}

/// Who holds the posts of the current generation.
#[derive(Debug, Default)]
pub struct Aides {
    /// One place, or none where nothing is watched.
    checker: Slots,
    /// The same of commands.
    runner: Slots,
    /// The checker that was told to begin.
    checks: Option<WorkerId>,
    /// Checker and runner that were given the two ends of one socketpair.
    peers: Option<(WorkerId, WorkerId)>,
}

impl Aides {
    /// These are ready and hold their posts.
    pub fn serving(holders: &[(Post, WorkerId)], now: Instant) -> Self {
        let of = |wanted| {
            let ids = holders.iter().filter(|(post, _)| *post == wanted).map(|(_, id)| *id);
            Slots::serving(ids, now)
        };
        Self { checker: of(Post::Checker), runner: of(Post::Runner), checks: None, peers: None }
    }

    /// What is known after another program or master ran before us: the posts, and who holds them.
    pub fn adopted(
        posts: &[Post],
        holder: impl Fn(Post) -> Option<WorkerId>,
        now: Instant,
    ) -> Self {
        let of = |post| {
            let holders = posts.contains(&post).then(|| holder(post));
            Slots::adopted(holders.into_iter().collect(), now)
        };
        Self { checker: of(Post::Checker), runner: of(Post::Runner), checks: None, peers: None }
    }

    fn post(&mut self, post: Post) -> Option<&mut Slots> {
        match post {
            Post::Slot(_) => None,
            Post::Checker => Some(&mut self.checker),
            Post::Runner => Some(&mut self.runner),
        }
    }

    /// How often holders of a post have died.
    pub fn deaths(&self, role: Role) -> u32 {
        match role {
            Role::Worker => 0,
            Role::Checker => self.checker.deaths(0),
            Role::Runner => self.runner.deaths(0),
        }
    }

    /// The posts for which a process is to be spawned now.
    pub fn due(&self, now: Instant) -> Vec<Post> {
        let due = |slots: &Slots, post| (!slots.due(now).is_empty()).then_some(post);
        let both = [due(&self.checker, Post::Checker), due(&self.runner, Post::Runner)];
        both.into_iter().flatten().collect()
    }

    /// When [`Aides::due`] will next name one.
    pub fn next_due(&self) -> Option<Instant> {
        [self.checker.next_due(), self.runner.next_due()].into_iter().flatten().min()
    }

    /// One was spawned for a post.
    pub fn started(&mut self, post: Post, id: WorkerId) {
        if let Some(slots) = self.post(post) {
            slots.started(0, id);
        }
    }

    /// None could be spawned.
    pub fn not_started(&mut self, post: Post, now: Instant) {
        if let Some(slots) = self.post(post) {
            slots.not_started(0, now);
        }
    }

    /// One is ready. Posts have no deputies, so that nobody is to be told anything.
    pub fn ready(&mut self, id: WorkerId, now: Instant) {
        self.checker.ready(id, now);
        self.runner.ready(id, now);
    }

    /// One leaves by a signal that was not the master's.
    pub fn leaving(&mut self, id: WorkerId, now: Instant) {
        self.checker.leaving(id, now);
        self.runner.leaving(id, now);
    }

    /// One has ended.
    pub fn ended(&mut self, id: WorkerId, now: Instant) {
        self.checker.ended(id, now);
        self.runner.ended(id, now);
        if self.checks == Some(id) {
            self.checks = None;
        }
    }

    /// Those who were given a way to each other.
    pub fn joined(&self) -> Option<(WorkerId, WorkerId)> {
        self.peers
    }

    /// A former master has given these a way to each other.
    pub fn set_joined(&mut self, pair: Option<(WorkerId, WorkerId)>) {
        self.peers = pair;
    }

    /// A checker has been told to begin.
    pub fn begun(&mut self, checker: Option<WorkerId>) {
        self.checks = checker;
    }

    /// The checker that checks.
    pub fn checks(&self) -> Option<WorkerId> {
        self.checks
    }

    /// The checker that is to be told to begin, once no other one lives.
    fn to_begin(&self) -> Option<WorkerId> {
        self.checker.holder_serving(0).filter(|id| self.checks != Some(*id))
    }

    /// Checker and runner that are to be given a way to each other.
    fn to_join(&self) -> Option<(WorkerId, WorkerId)> {
        let pair = (self.checker.holder_serving(0)?, self.runner.holder_serving(0)?);
        (self.peers != Some(pair)).then_some(pair)
    }
}

impl Master {
    /// Joins checker and runner, and lets a new checker begin once the former one is gone.
    pub fn proceed_aides(&mut self) {
        if let Some((checker, runner)) = self.aides.to_join() {
            self.aides.peers = Some((checker, runner));
            if let Err(error) = self.join(checker, runner) {
                self.say(LogLevel::Alert, &format!("checker and runner cannot be joined: {error}"));
            }
        }
        let Some(id) = self.aides.to_begin() else { return };
        let other = |worker: &Worker| worker.role == Role::Checker && worker.id != id;
        if self.workers.values().any(other)
            || self.orphans.iter().any(|orphan| orphan.slot == CHECKER_SLOT)
        {
            return;
        }
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.say(&ToWorker::Resume, &[]);
        let pid = worker.pid;
        self.aides.begun(Some(id));
        self.memory.memory().set_checker_lane(Some(worker.lane));
        self.say(LogLevel::Notice, &format!("Checker ({pid}) begins"));
    }

    fn join(&mut self, checker: WorkerId, runner: WorkerId) -> std::io::Result<()> {
        let (one, other) = Channel::pair()?;
        for (id, end) in [(checker, one), (runner, other)] {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.say(&ToWorker::RunnerPeer, &[end.as_fd()]);
            }
        }
        Ok(())
    }

    /// The posts that may be filled now: while the instance stops, as long as something drains.
    pub fn keeps_aides(&self) -> bool {
        !self.state.stops() || (self.state == State::SoftStopping && self.has_workers())
    }

    /// Whether somebody serves, or still finishes what is in flight.
    pub fn has_workers(&self) -> bool {
        self.workers.values().any(|worker| worker.role == Role::Worker)
    }

    /// Ends checker and runner once nobody is left whom they serve.
    pub fn end_aides(&mut self, now: Instant) {
        self.forget_pending(|pending| !matches!(pending.post, Post::Slot(_)));
        for worker in self.workers.values_mut().filter(|worker| worker.role != Role::Worker) {
            worker.hard_stop(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use portolan_shared::model::{
        Agent, Backend, CheckKind, Config, Health, Mode, Probe, Process, Server, ServerAddress,
        Tune,
    };

    use super::{Aides, Post, wanted};

    fn config(kind: CheckKind, health: Health) -> Config {
        let address = ServerAddress::Tcp("127.0.0.1:1".parse().expect("an address"));
        let mut server = Server::new("s", address);
        server.health = health;
        let mut backend = Backend::new("b", Mode::Tcp);
        backend.check.kind = kind;
        backend.servers.push(server);
        Config {
            process: Process::default(),
            tune: Tune::default(),
            logs: Vec::new(),
            frontends: Vec::new(),
            backends: vec![backend],
            userlists: Vec::new(),
            error_pages: Vec::new(),
        }
    }

    fn command() -> CheckKind {
        CheckKind::External { command: "/bin/true".into(), path: "/bin".into() }
    }

    fn checked() -> Health {
        Health { check: Some(Probe::default()), ..Health::default() }
    }

    fn asked() -> Health {
        let agent =
            Agent { address: None, port: 1, inter: Duration::from_secs(2), send: Vec::new() };
        Health { agent: Some(agent), ..Health::default() }
    }

    #[test]
    fn there_is_a_checker_where_a_server_is_watched_and_a_runner_where_that_is_by_a_command() {
        let posts = |kind, health| wanted(&config(kind, health));
        assert_eq!(posts(CheckKind::default(), Health::default()), []);
        assert_eq!(posts(command(), Health::default()), []);
        assert_eq!(posts(CheckKind::default(), checked()), [Post::Checker]);
        assert_eq!(posts(CheckKind::default(), asked()), [Post::Checker]);
        assert_eq!(posts(command(), asked()), [Post::Checker]);
        assert_eq!(posts(command(), checked()), [Post::Checker, Post::Runner]);
    }

    #[test]
    fn posts_that_do_not_exist_are_never_due() {
        let now = Instant::now();
        let mut aides = Aides::serving(&[], now);
        aides.ended(1, now);
        aides.not_started(Post::Checker, now);
        assert_eq!((aides.due(now), aides.next_due()), (vec![], None));
        assert_eq!((aides.to_begin(), aides.to_join()), (None, None));
    }

    #[test]
    fn a_dead_checker_is_due_at_once_and_begins_anew() {
        let now = Instant::now();
        let mut aides = Aides::serving(&[(Post::Checker, 7)], now);
        assert_eq!(aides.to_begin(), Some(7));
        aides.begun(Some(7));
        assert_eq!(aides.to_begin(), None);
        aides.ended(7, now);
        assert_eq!(aides.due(now), [Post::Checker]);
        aides.started(Post::Checker, 8);
        assert_eq!((aides.due(now), aides.to_begin()), (vec![], None));
        aides.ready(8, now);
        assert_eq!((aides.to_begin(), aides.checks), (Some(8), None));
    }

    #[test]
    fn whoever_is_new_of_checker_and_runner_is_joined_with_the_other() {
        let now = Instant::now();
        let mut aides = Aides::serving(&[(Post::Checker, 1), (Post::Runner, 2)], now);
        assert_eq!(aides.to_join(), Some((1, 2)));
        aides.peers = Some((1, 2));
        assert_eq!(aides.to_join(), None);
        aides.ended(2, now);
        assert_eq!(aides.to_join(), None);
        aides.started(Post::Runner, 3);
        aides.ready(3, now);
        assert_eq!(aides.to_join(), Some((1, 3)));
    }

    #[test]
    fn after_an_upgrade_who_lives_goes_on_and_who_does_not_is_due() {
        let now = Instant::now();
        let posts = [Post::Checker, Post::Runner];
        let holder = |post| (post == Post::Checker).then_some(5);
        let aides = Aides::adopted(&posts, holder, now);
        assert_eq!((aides.due(now), aides.to_begin()), (vec![Post::Runner], Some(5)));
        let none = Aides::adopted(&[], holder, now);
        assert_eq!((none.due(now), none.to_begin()), (vec![], None));
    }
}
