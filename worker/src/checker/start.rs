//! How a process becomes the checker.
//!
//! Shell. The steps are a worker's (see `crate::start`): what it is told, limits and confinement, the
//! poller, signals, `Ready`. It has no listeners, and begins to check when it is told to.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;

use portolan_shared::channel::Channel;
use portolan_shared::memory::{LANES_MAX, Lane};
use portolan_shared::message::{StartStep, ToMaster};
use portolan_shared::model::{Config, LogLevel};
use portolan_shared::signal::Signals;
use portolan_shared::sys::title;
use rustix::process::{Resource, getrlimit};

use super::farms::{At, Farms};
use super::watch::{self, Kind, Watch};
use super::{Activity, Checker, Job, Owner};
use crate::clock::Clock;
use crate::confined::Confined;
use crate::descriptor::{Descriptors, READ, Trigger};
use crate::left;
use crate::poller::Poller;
use crate::privileges::{self, Refusal};
use crate::signals::SignalQueue;
use crate::start::{Basis, Told, check_fit, refuse, understand};
use crate::task::{Reasons, Scheduler};

/// Descriptors beside those of checks and doorbells: shared memory while it is mapped, log sockets and their
/// successors, the poller, signals, the channel.
const OTHERS_MAX: u64 = 128;

/// Bytes read at once from a server.
const SCRATCH_BYTES: usize = 16 * 1024;

/// All that a checker is made of.
pub struct Parts {
    pub basis: Basis,
    pub doorbells: BTreeMap<Lane, OwnedFd>,
    /// The end that leads to the runner, where it is there already.
    pub peer: Option<OwnedFd>,
    /// This node's name.
    pub hostname: String,
    pub poller: Poller,
    pub descriptor_limit: usize,
}

/// Becomes the checker and is it until it is told to leave.
pub fn start(told: Told, mut channel: Channel) -> ExitCode {
    let parts = match become_checker(told) {
        Ok(parts) => parts,
        Err(refusal) => return refuse(&mut channel, &refusal),
    };
    match assemble(parts, channel) {
        Ok(mut checker) => {
            title::set(&checker.name());
            let left = left::checker(&checker.config);
            match privileges::confine(&checker.config.process, &left, None) {
                Ok(report) => checker.confined = Confined::new(report),
                Err(refusal) => return refuse(&mut checker.channel, &refusal),
            }
            checker.confined.tell_lack(&mut checker.log);
            checker.tell(&ToMaster::Ready);
            checker.run()
        }
        Err((mut channel, refusal)) => refuse(&mut channel, &refusal),
    }
}

fn become_checker(mut told: Told) -> Result<Parts, Refusal> {
    let basis = understand(&mut told)?;
    check_fit(&told, &basis)?;
    let config = &basis.config;
    let wanted = watched(config) + u64::from(LANES_MAX) + OTHERS_MAX;
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let descriptor_limit = match privileges::limit_descriptors(wanted, None) {
        Ok(limit) => limit,
        // With fewer it checks as many at once as it has descriptors for.
        Err(_) => privileges::limit_descriptors(hard, None)?,
    };
    let hostname = config.process.node.clone().unwrap_or_else(|| {
        nix::unistd::gethostname()
            .map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned())
    });
    let events_max = config.tune.maxpollevents as usize;
    let poller = Poller::choose(&config.tune.disabled_pollers, events_max)
        .map_err(|error| (StartStep::Poller, format!("no poller works: {error}")))?;
    Ok(Parts {
        basis,
        doorbells: told.doorbells,
        peer: told.peer,
        hostname,
        poller,
        descriptor_limit: descriptor_limit as usize,
    })
}

/// Most connections to servers at once.
fn watched(config: &Config) -> u64 {
    let servers = config.backends.iter().flat_map(|backend| &backend.servers);
    let both = |health: &portolan_shared::model::Health| {
        u64::from(health.check.is_some()) + u64::from(health.agent.is_some())
    };
    servers.map(|server| both(&server.health)).sum()
}

/// Makes a checker of it, which turns but has not said so yet.
pub fn assemble(parts: Parts, channel: Channel) -> Result<Checker, (Channel, Refusal)> {
    let setup = |error: std::io::Error| (StartStep::Setup, error.to_string());
    let Parts { basis: Basis { hello, config, lane, mut log }, doorbells, .. } = parts;
    let mut random = [0; 8];
    if let Err(error) = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
    {
        return Err((channel, setup(error.into())));
    }
    let expected = watched(&config) as usize;
    let mut descriptors = Descriptors::new(expected + 8, parts.poller.edges());
    let mut tasks = Scheduler::new(expected + 8);
    let signal_source = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return Err((channel, setup(error))),
    };
    let own_bell = doorbells.get(&lane.number()).map(OwnedFd::try_clone).transpose();
    let watched = rustix::io::fcntl_dupfd_cloexec(&signal_source, 0)
        .and_then(|signals| Ok((signals, rustix::io::fcntl_dupfd_cloexec(&channel, 0)?)));
    let (signals_fd, channel_fd, own_bell) = match (watched, own_bell) {
        (Ok((signals, channel)), Ok(bell)) => (signals, channel, bell),
        (Err(error), _) => return Err((channel, setup(error.into()))),
        (_, Err(error)) => return Err((channel, setup(error))),
    };
    let mut watch = |fd: OwnedFd, owner| {
        let token = descriptors.insert(fd, owner, Trigger::Level);
        descriptors.want(token, READ);
        token
    };
    watch(signals_fd, Owner::Signals);
    let channel_token = watch(channel_fd, Owner::Channel);
    if let Some(bell) = own_bell {
        watch(bell, Owner::Doorbell);
    }
    let plan = watch::plan(&config, lane.memory(), |key| tasks.create(Job::Watch(key), 0));
    let plan = match plan {
        Ok(plan) => plan,
        Err(reason) => return Err((channel, (StartStep::Configuration, reason))),
    };
    for server in &plan.impossible {
        let text = format_args!("server {server} is not checked: nobody knows its port");
        log.say(LogLevel::Warning, text);
    }
    let is_observed = |watch: &Watch| {
        let At { backend, server } = watch.at;
        let health = &config.backends[backend as usize].servers[server as usize].health;
        watch.kind == Kind::Check && health.observe.is_some()
    };
    let positions = plan.watches.iter().zip(0..);
    let observed = positions.filter(|(watch, _)| is_observed(watch)).map(|(_, key)| key).collect();
    let clock = Clock::new();
    let farms = Farms::new(&config, lane.memory(), clock.now());
    let heartbeat = tasks.create(Job::Heartbeat, -1024);
    tasks.wake(heartbeat, Reasons::INIT);
    let mut checker = Checker {
        log_task: tasks.create(Job::Logs, 0),
        clock,
        descriptors,
        poller: parts.poller,
        tasks,
        signals: SignalQueue::default(),
        signal_source,
        channel,
        channel_token,
        hello,
        confined: Confined::default(),
        config: Rc::new(config),
        lane,
        doorbells,
        log,
        applets: Vec::new(),
        active: false,
        watches: plan.watches,
        observed,
        farms,
        runner: None,
        commands: 0,
        asked: HashMap::new(),
        hostname: parts.hostname.into(),
        rings: false,
        random: u64::from_ne_bytes(random) | 1,
        scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        descriptor_limit: parts.descriptor_limit,
        exit: None,
        activity: Activity::default(),
        events: Vec::new(),
    };
    checker.register_signals();
    if let Some(peer) = parts.peer
        && let Err(error) = checker.join_runner(peer)
    {
        return Err((checker.channel, setup(error)));
    }
    Ok(checker)
}
