//! How a process becomes a worker: what it is told, in which order it takes it, and when it is ready.
//!
//! Shell.
//!
//! 1. Whatever is open beyond the channel (descriptor 3) is closed. A panic aborts from here on.
//! 2. Everything comes over the channel: who it is, shared memory, doorbells, log
//!    sockets, listeners, the configuration in pieces, `Done`.
//! 3. The time zone and everything else that lies outside the chroot is read.
//! 4. The poller is opened, the tables are made, signals are let in.
//! 5. Limits, chroot, groups, user, sandbox (`privileges`): nothing is opened any more.
//! 6. `Ready`, and accepting begins. A step that fails is told with its reason, and the process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use portolan_shared::capture::Scratch;
use portolan_shared::channel::Channel;
use portolan_shared::log::{Log, Zone};
use portolan_shared::memory::{Lane, Memory, OwnLane};
use portolan_shared::message::{
    CONFIGURATION_MAX, Hello, ListenerEntry, MemoryKind, Role, StartStep, ToMaster, ToWorker,
};
use portolan_shared::model::{Auth, BackendId, Config};
use portolan_shared::signal::{Signals, block_all};
use portolan_shared::sys;
use slab::Slab;

use crate::backend::{BackendState, watched_backends};
use crate::checker;
use crate::clock::Clock;
use crate::confined::Confined;
use crate::descriptor::{Descriptors, Owner, READ, Trigger};
use crate::event_loop::{Activity, FrontendState, Worker};
use crate::exchange::Http;
use crate::fit;
use crate::handover::Handover;
use crate::http::auth::Gate;
use crate::http::capture::Plan;
use crate::http::route::Routes;
use crate::last_words;
use crate::left;
use crate::listener::{Serving, bind_places};
use crate::poller::{self, Poller};
use crate::pool::{Buffers, Pipes};
use crate::privileges::{self, Refusal};
use crate::random::Random;
use crate::resolver;
use crate::runner;
use crate::signals::SignalQueue;
use crate::stream::{Ends, SourcePorts};
use crate::task::{Job, Reasons, Scheduler};

/// The descriptor under which the channel to the master is inherited.
pub(crate) const CHANNEL_FD: i32 = 3;
/// How long the master may leave a worker without its next message at start.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most connections where nothing else says so (the master always does).
const MAXCONN_DEFAULT: u32 = 2000;
/// Most connections for which tables are reserved at start; beyond, they grow.
const CONNECTIONS_MAX: u32 = 1 << 20;

/// What was sent until `Done`.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub hello: Option<Hello>,
    pub memory: Option<Memory>,
    pub doorbells: BTreeMap<Lane, OwnedFd>,
    pub log_sockets: Vec<(u16, OwnedFd)>,
    pub listeners: Vec<(Vec<ListenerEntry>, Vec<OwnedFd>)>,
    /// The other end leads to the runner, or to the checker.
    pub peer: Option<OwnedFd>,
    /// What is received last is to be found there.
    pub capture: Option<OwnedFd>,
    pub configuration: Vec<u8>,
}

/// The program.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--pollers") => {
            print!("{}", poller::describe(&arguments[1..]));
            ExitCode::SUCCESS
        }
        Some("-v" | "--version") => {
            println!("Portolan worker version {}", portolan_shared::VERSION);
            ExitCode::SUCCESS
        }
        Some("--role") if arguments.get(1).is_some_and(|role| role == "resolver") => {
            resolver::main()
        }
        Some("--role") => work(),
        _ => {
            eprintln!("portolan-worker is started by portolan, not by hand");
            ExitCode::FAILURE
        }
    }
}

fn work() -> ExitCode {
    last_words::arm();
    if let Err(error) = block_all() {
        eprintln!("portolan-worker: cannot block signals: {error}");
        return ExitCode::FAILURE;
    }
    let Some(socket) = sys::inherited(CHANNEL_FD) else {
        eprintln!("portolan-worker: there is no channel to a master at descriptor {CHANNEL_FD}");
        return ExitCode::FAILURE;
    };
    if let Err(error) = sys::close_from(CHANNEL_FD + 1) {
        eprintln!("portolan-worker: cannot close what was not meant for it: {error}");
        return ExitCode::FAILURE;
    }
    let mut channel = Channel::from(socket);
    let (role, told) = match hear(&mut channel) {
        Ok(heard) => heard,
        Err(refusal) => return refuse(&mut channel, &refusal),
    };
    match role {
        Role::Worker => serve(told, channel),
        Role::Checker => checker::start(told, channel),
        Role::Runner => runner::start(told, channel),
    }
}

fn serve(mut told: Told, mut channel: Channel) -> ExitCode {
    let capture = told.capture.take().map(last_words::keep);
    let parts = match become_worker(told, capture) {
        Ok(parts) => parts,
        Err(refusal) => return refuse(&mut channel, &refusal),
    };
    let mut worker = match assemble(parts, channel) {
        Ok(worker) => worker,
        Err((mut channel, refusal)) => return refuse(&mut channel, &refusal),
    };
    sys::title::set(&worker.name());
    let left = left::worker(&worker.config, worker.hello.slot, worker.hello.slots);
    match privileges::confine(&worker.config.process, &left, capture.map(AsFd::as_fd)) {
        Ok(report) => worker.confined = Confined::new(report),
        Err(refusal) => return refuse(&mut worker.channel, &refusal),
    }
    if worker.hello.slot == 0 {
        // The others lack the same.
        worker.confined.tell_lack(&mut worker.log);
    }
    worker.tell(&ToMaster::Ready);
    worker.settle_listeners();
    worker.run()
}

/// Tells why it cannot be what it was started for; the exit status.
pub(crate) fn refuse(channel: &mut Channel, (step, reason): &Refusal) -> ExitCode {
    let failed = ToMaster::Failed { step: *step, reason: reason.clone() };
    if channel.send(&failed, &[]).is_err() {
        eprintln!("portolan-worker: {reason}");
    }
    ExitCode::FAILURE
}

/// Listens until everything was told; first of all what to be.
fn hear(channel: &mut Channel) -> Result<(Role, Told), Refusal> {
    let broken = |reason: String| (StartStep::Channel, reason);
    let mut told = Told::default();
    loop {
        let received = channel
            .receive_within::<ToWorker>(PATIENCE)
            .map_err(|error| broken(error.to_string()))?;
        let mut descriptors = received.descriptors.into_iter();
        let mut one =
            || descriptors.next().ok_or_else(|| broken("a descriptor is missing".to_owned()));
        match received.message {
            message if told.hello.is_some() == matches!(message, ToWorker::Hello(_)) => {
                return Err(broken("a greeting comes first, and once".to_owned()));
            }
            ToWorker::Hello(hello) => {
                told.hello = Some(hello);
                let version = portolan_shared::VERSION.to_owned();
                channel
                    .send(&ToMaster::Hello { version }, &[])
                    .map_err(|error| broken(error.to_string()))?;
            }
            ToWorker::Memory(kind) => {
                let memory = one()?;
                take_memory(&mut told.memory, kind, memory)?;
            }
            ToWorker::Doorbell { lane } => {
                told.doorbells.insert(lane, one()?);
            }
            ToWorker::LogSocket { endpoint } => told.log_sockets.push((endpoint, one()?)),
            ToWorker::Listeners(entries) => {
                let sockets: Vec<OwnedFd> = descriptors.collect();
                if sockets.len() != entries.len() {
                    return Err(broken("listeners and descriptors do not match".to_owned()));
                }
                told.listeners.push((entries, sockets));
            }
            ToWorker::RunnerPeer => told.peer = Some(one()?),
            ToWorker::Capture { .. } => told.capture = Some(one()?),
            ToWorker::Piece(piece) => {
                if told.configuration.len() + piece.len() > CONFIGURATION_MAX {
                    return Err(broken("the configuration is too long".to_owned()));
                }
                told.configuration.extend(piece);
            }
            ToWorker::Done { length } => {
                if told.configuration.len() != length as usize {
                    return Err(broken("a piece of the configuration is missing".to_owned()));
                }
                // Without a greeting nothing else would have been taken.
                let role = told.hello.as_ref().map_or(Role::Worker, |hello| hello.role);
                return Ok((role, told));
            }
            // A master that changed its mind: nothing was begun.
            ToWorker::SoftStop | ToWorker::HardStop | ToWorker::Retire => {
                return Err(broken("told to stop before it was ready".to_owned()));
            }
            other => return Err(broken(format!("{other:?} came before its time"))),
        }
    }
}

/// Attaches what has come of shared memory.
pub(crate) fn take_memory(
    memory: &mut Option<Memory>,
    kind: MemoryKind,
    descriptor: OwnedFd,
) -> Result<(), Refusal> {
    let refused = |error: &dyn std::fmt::Display| (StartStep::Memory, error.to_string());
    match kind {
        MemoryKind::Lanes => {
            *memory = Some(Memory::attach(descriptor).map_err(|error| refused(&error))?);
        }
        MemoryKind::Objects(number) => {
            let memory = memory.as_mut().ok_or_else(|| refused(&"objects came before lanes"))?;
            memory.attach_chunk(number, descriptor).map_err(|error| refused(&error))?;
        }
        MemoryKind::States(number) => {
            let memory = memory.as_mut().ok_or_else(|| refused(&"states came before lanes"))?;
            memory.attach_states(number, descriptor).map_err(|error| refused(&error))?;
        }
    }
    Ok(())
}

/// All that a worker is made of.
pub(crate) struct Parts {
    pub hello: Hello,
    pub config: Config,
    pub lane: OwnLane,
    pub doorbells: BTreeMap<Lane, OwnedFd>,
    pub log: Log,
    pub listeners: Vec<(Vec<ListenerEntry>, Vec<OwnedFd>)>,
    pub poller: Poller,
    pub scratch: Scratch,
    pub fixed_descriptors: usize,
    pub descriptor_limit: usize,
}

/// What every process has that takes part in shared memory.
pub(crate) struct Basis {
    pub hello: Hello,
    pub config: Config,
    pub lane: OwnLane,
    pub log: Log,
}

/// Reads what it was told.
pub(crate) fn understand(told: &mut Told) -> Result<Basis, Refusal> {
    let missing = |what: &str| (StartStep::Channel, format!("{what} was not sent"));
    let hello = told.hello.take().ok_or_else(|| missing("who to be"))?;
    let config = configuration(&told.configuration)?;
    let mut memory = told.memory.take().ok_or_else(|| missing("shared memory"))?;
    memory.close_descriptors();
    let lane = OwnLane::new(Rc::new(memory), hello.lane)
        .ok_or_else(|| (StartStep::Memory, format!("lane {} is not live", hello.lane)))?;
    let log = open_log(&config, hello.debug, std::mem::take(&mut told.log_sockets));
    Ok(Basis { hello, config, lane, log })
}

/// Checks that configuration, listeners and shared memory fit together.
pub(crate) fn check_fit(told: &Told, basis: &Basis) -> Result<(), Refusal> {
    let entries = told.listeners.iter().flat_map(|(entries, _)| entries);
    fit::check(&basis.config, entries, basis.lane.memory().objects_max())
        .map_err(|reason| (StartStep::Configuration, reason))
}

/// The pieces, put together.
fn configuration(bytes: &[u8]) -> Result<Config, Refusal> {
    postcard::from_bytes(bytes).map_err(|error| {
        (StartStep::Configuration, format!("the configuration has another form: {error}"))
    })
}

/// Events go where the configuration says, by these sockets.
fn open_log(config: &Config, debug: bool, sockets: Vec<(u16, OwnedFd)>) -> Log {
    let mut log = Log::on_stderr(Zone::system());
    log.configure(config, debug);
    for (endpoint, socket) in sockets {
        log.attach(endpoint, socket);
    }
    log
}

/// Makes what a worker is made of.
fn become_worker(mut told: Told, capture: Option<&OwnedFd>) -> Result<Parts, Refusal> {
    let basis = understand(&mut told)?;
    check_fit(&told, &basis)?;
    let Basis { hello, config, lane, mut log } = basis;
    log.speak_as(&format!("worker {}", hello.slot + 1));
    let sockets: usize = told.listeners.iter().map(|(_, sockets)| sockets.len()).sum();
    let open = std::fs::read_dir("/proc/self/fd").map_or(64, Iterator::count);
    // The poller's own, the signals', and a few for renewed log sockets.
    let fixed_descriptors = open.saturating_sub(sockets) + 16;
    let maxconn = config.process.maxconn.unwrap_or(MAXCONN_DEFAULT);
    let needed = config.process.descriptor_limit.unwrap_or_else(|| {
        let pipes = 2 * pipes_of(&config, hello.slots) as u64;
        let own = (sockets + fixed_descriptors + crate::listener::RESERVE) as u64;
        2 * u64::from(maxconn) + pipes + own
    });
    let descriptor_limit = privileges::limit_descriptors(needed, config.process.maxconn)? as usize;
    let scratch = scratch(capture, config.tune.buffer_size as usize)?;
    let events_max = config.tune.maxpollevents as usize;
    let poller = Poller::choose(&config.tune.disabled_pollers, events_max)
        .map_err(|error| (StartStep::Poller, format!("no poller works: {error}")))?;
    Ok(Parts {
        hello,
        config,
        lane,
        doorbells: told.doorbells,
        log,
        listeners: told.listeners,
        poller,
        scratch,
        fixed_descriptors,
        descriptor_limit,
    })
}

/// The buffer into which everything is received, in the master's file where it has given one.
fn scratch(capture: Option<&OwnedFd>, bytes: usize) -> Result<Scratch, Refusal> {
    let refused = |error: &dyn std::fmt::Display| (StartStep::Memory, error.to_string());
    match capture {
        Some(file) => Scratch::attach(file, bytes).map_err(|error| refused(&error)),
        None => Scratch::private(bytes).map_err(|error| refused(&error)),
    }
}

/// The share of pipes of one worker; none where nothing splices.
fn pipes_of(config: &Config, slots: u16) -> usize {
    let splices = |splice: &portolan_shared::model::SpliceOptions| {
        splice.auto || splice.request || splice.response
    };
    let wanted = config.frontends.iter().any(|frontend| splices(&frontend.splice))
        || config.backends.iter().any(|backend| splices(&backend.splice));
    let all = config
        .tune
        .maxpipes
        .unwrap_or_else(|| config.process.maxconn.unwrap_or(MAXCONN_DEFAULT) / 4);
    if wanted { (all as usize).div_ceil(usize::from(slots.max(1))) } else { 0 }
}

/// Makes a worker of it, which turns but has not said so yet.
pub(crate) fn assemble(parts: Parts, channel: Channel) -> Result<Worker, (Channel, Refusal)> {
    let setup = |error: std::io::Error| (StartStep::Setup, error.to_string());
    let Parts { hello, config, lane, doorbells, mut log, .. } = parts;
    let clock = Clock::new();
    let (mut key, mut seed) = ([0; 32], [0; 8]);
    for bytes in [&mut key[..], &mut seed[..]] {
        if let Err(error) = rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty()) {
            return Err((channel, setup(error.into())));
        }
    }
    let seed = u64::from_ne_bytes(seed);
    let now = clock.now();
    // Room that is never touched costs nothing; a table that grows would be copied.
    let connections =
        config.process.maxconn.unwrap_or(MAXCONN_DEFAULT).min(CONNECTIONS_MAX) as usize;
    let listening: usize = parts.listeners.iter().map(|(_, sockets)| sockets.len()).sum();
    let mut descriptors = Descriptors::new(2 * connections + listening + 16, parts.poller.edges());
    let mut tasks = Scheduler::new(connections + listening + 16);
    let signal_source = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return Err((channel, setup(error))),
    };
    let watched = rustix::io::fcntl_dupfd_cloexec(&signal_source, 0)
        .and_then(|signals| Ok((signals, rustix::io::fcntl_dupfd_cloexec(&channel, 0)?)));
    let (signals_fd, channel_fd) = match watched {
        Ok(pair) => pair,
        Err(error) => return Err((channel, setup(error.into()))),
    };
    let signals_token = descriptors.insert(signals_fd, Owner::Signals, Trigger::Level);
    let channel_token = descriptors.insert(channel_fd, Owner::Channel, Trigger::Level);
    descriptors.want(signals_token, READ);
    descriptors.want(channel_token, READ);
    let gate = |auth: Option<&Auth>| auth.map(|auth| Gate::new(auth, &config.userlists));
    let frontends = config
        .frontends
        .iter()
        .map(|frontend| FrontendState {
            targets: log.targets(&frontend.logs, frontend.log_tag.as_deref()),
            routes: Routes::new(&frontend.http.routes),
            route_gates: frontend
                .http
                .routes
                .iter()
                .map(|route| gate(route.auth.as_ref()))
                .collect(),
            gate: gate(frontend.http.auth.as_ref()),
            ends: Ends::wanted(frontend),
            lines: 0,
            captures: Plan::new(&frontend.http.captures),
        })
        .collect();
    let backends = config
        .backends
        .iter()
        .map(|backend| BackendState::new(backend, &config, hello.slots, seed))
        .collect();
    let heartbeat = tasks.create(Job::Heartbeat, -1024);
    tasks.wake(heartbeat, Reasons::INIT);
    let mut worker = Worker {
        log_task: tasks.create(Job::Logs, 0),
        stop_task: tasks.create(Job::Stop, 0),
        handover_task: tasks.create(Job::Handover, 0),
        buffers: Buffers::new(
            config.tune.buffer_size as usize,
            config.tune.buffer_limit as usize,
            now,
        ),
        pipes: Pipes::new(pipes_of(&config, hello.slots), now),
        source_ports: SourcePorts::new(hello.slot, hello.slots, now as u32),
        greeted: 0,
        scratch: parts.scratch,
        http: Http::new(&config, key),
        watched: watched_backends(&config),
        config: Rc::new(config),
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
        lane,
        doorbells,
        log,
        frontends,
        backends,
        queued: BTreeSet::new(),
        changes: Vec::new(),
        shut_down: BTreeMap::new(),
        random: Random::new(seed),
        rung: BTreeSet::new(),
        listeners: Vec::new(),
        serving: Serving::default(),
        waiting: BTreeMap::new(),
        rung_places: BTreeSet::new(),
        streams: Slab::with_capacity(connections),
        sessions: Slab::with_capacity(connections),
        applets: Vec::new(),
        handover: Handover::default(),
        fixed_descriptors: parts.fixed_descriptors,
        descriptor_limit: parts.descriptor_limit,
        short: None,
        stopping: false,
        followed: false,
        stop_began: None,
        closing: None,
        ownerless: None,
        told_streams: None,
        exit: None,
        activity: Activity::default(),
        events: Vec::new(),
    };
    let places = bind_places(&worker.config);
    for (entries, sockets) in parts.listeners {
        worker.add_listeners(&entries, sockets, &places);
    }
    let own = worker.doorbells.get(&worker.lane.number());
    if let Some(own) = own.map(OwnedFd::try_clone) {
        let watched = own.and_then(|own| worker.watch_doorbell(&own));
        if let Err(error) = watched {
            return Err((worker.channel, setup(error)));
        }
    }
    for id in 0..worker.backends.len() {
        worker.refresh(id as BackendId);
    }
    worker.register_signals();
    Ok(worker)
}
