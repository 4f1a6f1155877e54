//! A generation's way to being ready: read, bind, keep, start, wait.
//!
//! Shell.
//!
//! ```text
//! read and check ► log sockets ► bind ► limits ► places in memory ► kept by the wrapper
//!      ► start all workers ► all ready ► promoted (see [`promote`](crate::promote))
//! ```
//!
//! - Whatever fails on the way leaves the generation that serves as it was, and says why: to the log,
//!   to whoever asked, to the service manager.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use portolan_master::config::{self, Hosts, Input as Text, Last, Loaded, Places, Sources};
use portolan_master::resolver;
use portolan_shared::log;
use portolan_shared::message::StartStep;
use portolan_shared::message::wrapper::ToWrapper;
use portolan_shared::model::{Config, LogLevel};
use portolan_shared::sealed::seal;
use serde::{Deserialize, Serialize};

use crate::advice::{self, Refusal};
use crate::aides::{self, Post};
use crate::control::Control;
use crate::generation::{Generation, Terms, encode, encode_for_aides, open_logs};
use crate::limits;
use crate::listeners::unix::Live;
use crate::listeners::{How, Prepared};
use crate::master::{FAILED, Master};
use crate::reading::{Read, Reading};
use crate::shared_memory::{CHUNK, STATES};
use crate::slots::WorkerId;
use crate::state::{Input, State};

/// Under this the wrapper keeps the last configuration that served.
pub const ACCEPTED: &str = "accepted";
/// Under this the wrapper keeps the registry of objects.
pub const REGISTRY: &str = "registry";
/// Under this the wrapper keeps the worker's program.
pub const BINARY: &str = "worker-binary";
/// Under this the wrapper keeps the control socket.
pub const CONTROL: &str = "control";

/// What a master that follows a dead one runs: the texts that were accepted, and the files that they
/// name, never what lies on the disk meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Of the generation that served.
    pub generation: u32,
    texts: Vec<(PathBuf, String)>,
    environment: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, Vec<u8>>,
    hosts: Hosts,
    /// What names stand for in it.
    pub last: Last,
}

impl Accepted {
    /// For the reader.
    pub fn sources(&self) -> Sources {
        let text = |(path, text): &(PathBuf, String)| {
            Text::Text(config::Text { path: path.clone(), text: text.clone() })
        };
        Sources {
            inputs: self.texts.iter().map(text).collect(),
            environment: self.environment.clone(),
            files: self.files.clone(),
            hosts: self.hosts.clone(),
            ..Sources::default()
        }
    }
}

/// A generation that starts.
#[derive(Debug)]
pub struct Candidate {
    /// Its number.
    pub number: u32,
    /// When it must serve.
    pub deadline: Instant,
    /// What it is to be.
    pub config: Config,
    /// Its sockets.
    pub prepared: Prepared,
    /// What a master that follows is to run once it serves.
    pub accepted: Accepted,
    /// Workers that are not ready.
    waiting: BTreeSet<WorkerId>,
    /// Its workers by slot.
    pub holders: Vec<WorkerId>,
    /// Its other processes.
    pub aides: Vec<(Post, WorkerId)>,
    /// What its author is told.
    pub warnings: String,
    /// The control socket, where it is to be another one.
    pub control: Option<Control>,
    /// Where in the files stands what may yet fail.
    places: Places,
}

/// What a generation has beside its sockets.
#[derive(Debug)]
struct Completed {
    configuration: Rc<[u8]>,
    aide_configuration: Rc<[u8]>,
    control: Option<Control>,
}

impl Master {
    /// Begins to start a generation from the files, or from what a former master had accepted.
    pub fn start_generation(&mut self, now: Instant) {
        self.waiting.now.append(&mut self.waiting.next);
        if self.state != (State::Booting { again: false }) {
            self.tell(&ToWrapper::Reloading);
            self.say(LogLevel::Notice, "Reloading");
        }
        match self.begin_check(now) {
            Ok(true) => {}
            Ok(false) => self.start_from_sources(now),
            Err(line) => self.fail_start(line.into(), now),
        }
    }

    /// As `start_generation`, it being settled that this program goes on.
    fn start_from_sources(&mut self, now: Instant) {
        let mut sources = match self.accepted.take() {
            Some(accepted) => accepted.sources(),
            None => Sources::from_paths(self.arguments.files.iter().cloned()),
        };
        if let Ok(program) = self.binary.try_clone() {
            sources.resolve = resolver::by_program(program);
        }
        sources.last.clone_from(&self.last);
        match Reading::begin(sources, now) {
            Ok(reading) => self.reading = Some(reading),
            Err(error) => {
                let line = format!("the configuration cannot be read: {error}");
                self.fail_start(line.into(), now);
            }
        }
    }

    /// The configuration has been read, or cannot be.
    pub fn handle_reading(&mut self, now: Instant) {
        let Some(result) = self.reading.as_ref().and_then(Reading::take) else { return };
        self.reading = None;
        let prepared = match result {
            Ok((sources, read)) => self.prepare(&sources, read, now),
            Err(line) => Err(line.into()),
        };
        if let Err(refusal) = prepared {
            self.fail_start(refusal, now);
        }
    }

    /// Gives up on a configuration that takes too long.
    pub fn expire_reading(&mut self, now: Instant) {
        if self.reading.as_ref().is_some_and(|reading| reading.deadline() <= now) {
            self.reading = None;
            let line = "reading the configuration and the names in it takes too long".to_owned();
            self.fail_start(line.into(), now);
        }
    }

    fn prepare(&mut self, sources: &Sources, read: Read, now: Instant) -> Result<(), Refusal> {
        let Loaded { mut config, warnings, texts, files, hosts, last, places } =
            read.map_err(Refusal::from)?;
        for warning in &warnings {
            self.say(LogLevel::Warning, &warning.to_string());
        }
        if self.arguments.warnings_are_errors && !warnings.is_empty() {
            let line = format!("{} (-dW: warnings are errors)", warnings[0]);
            return Err(Refusal::of_configuration(line, config::render(&warnings, false)));
        }
        self.check_sandbox(&config).map_err(|line| advice::of_sandbox(line, &places))?;
        self.arguments.apply(&mut config);
        let number = self.last_generation + 1;
        let slots = config.process.workers;
        let aides = aides::wanted(&config);
        let free = self.memory.free_lanes();
        let needed = usize::from(slots) + aides.len();
        if free < needed {
            return Err(Refusal::from(format!(
                "{needed} processes need as many lanes, {free} are free: older generations still drain"
            )));
        }

        let binary = self.worker_program()?;
        let own_limit = limits::limit_own(config.process.listener_sockets_max);
        let logs =
            open_logs(&config, &self.passed).map_err(|message| advice::of_log(message, &places))?;
        let prepared = self.bind(&config, own_limit, &places)?;
        let complete = self.complete(&mut config, number, &prepared, &places);
        let Completed { configuration, aide_configuration, control } =
            complete.inspect_err(|_| self.discard_sockets(&prepared))?;

        self.last_generation = number;
        let terms = Terms::from(&config.process);
        let deadline = now + terms.start_timeout;
        self.generations.insert(
            number,
            Generation {
                number,
                slots,
                aides: aides.clone(),
                configuration,
                aide_configuration,
                sockets: prepared.sockets.clone(),
                used: prepared.used.clone(),
                logs,
                endpoints: log::endpoints(&config),
                binary,
                terms,
            },
        );
        self.candidate = Some(Candidate {
            number,
            deadline,
            config,
            prepared,
            accepted: Accepted {
                generation: number,
                texts: texts.into_iter().map(|text| (text.path, text.text)).collect(),
                environment: sources.environment.clone(),
                files,
                hosts,
                last,
            },
            waiting: BTreeSet::new(),
            holders: Vec::new(),
            aides: Vec::new(),
            warnings: config::render(&warnings, false),
            control,
            places,
        });
        self.keep_generation(number)?;
        for post in (0..slots).map(Post::Slot).chain(aides) {
            let id = self.claim(number, post, deadline)?;
            let Some(candidate) = &mut self.candidate else { break };
            candidate.waiting.insert(id);
            match post {
                Post::Slot(_) => candidate.holders.push(id),
                Post::Checker | Post::Runner => candidate.aides.push((post, id)),
            }
        }
        Ok(())
    }

    /// What is left to do once the listeners are bound.
    fn complete(
        &mut self,
        config: &mut Config,
        number: u32,
        prepared: &Prepared,
        places: &Places,
    ) -> Result<Completed, Refusal> {
        let allowed = limits::allowed(config.process.descriptor_limit);
        limits::fit(config, prepared.sockets.len() as u64, allowed)
            .map_err(|error| advice::of_limits(&error, places))?;
        self.assign(config, number)?;
        let bytes = encode(config)?;
        let of_aides = encode_for_aides(config, &bytes)?;
        self.keep_fresh(prepared)?;
        let control = self.bind_control(config, places)?;
        Ok(Completed { configuration: bytes, aide_configuration: of_aides, control })
    }

    /// Binds what is new; `own_limit` is how many descriptors this process may have.
    fn bind(
        &mut self,
        config: &Config,
        own_limit: u64,
        places: &Places,
    ) -> Result<Prepared, Refusal> {
        // Half of our own table is for everything else: workers, clients, their duplicates in flight.
        let sockets_max = u64::from(config.process.listener_sockets_max).min(own_limit / 2);
        let how = How {
            slots: config.process.workers,
            sockets_max,
            successor: self.is_successor() && self.current.is_none(),
            passed: &self.passed,
        };
        self.listeners.prepare(config, &how).map_err(|errors| advice::of_binds(&errors, places))
    }

    fn assign(&mut self, config: &mut Config, number: u32) -> Result<(), String> {
        let chunks = self
            .memory
            .assign(config, number)
            .map_err(|error| format!("shared memory: {error}"))?;
        let first = !self.memory_kept;
        let new = |name: &str| {
            let is =
                |chunk| name == format!("{CHUNK}{chunk}") || name == format!("{STATES}{chunk}");
            first || chunks.clone().any(is) || self.link.lacks(name)
        };
        let names: Vec<String> =
            self.memory.descriptors().map(|(name, _)| name).filter(|name| new(name)).collect();
        for name in names {
            self.keep_memory(&name)?;
        }
        self.memory_kept = true;
        let registry = sealed(self.memory.registry())?;
        self.keep(REGISTRY, Vec::new(), &registry)
    }

    fn keep_memory(&mut self, name: &str) -> Result<(), String> {
        let found = self.memory.descriptors().find(|(found, ..)| found == name);
        let Some((name, descriptor)) = found else { return Ok(()) };
        self.link
            .keep(name, Vec::new(), descriptor)
            .map(drop)
            .map_err(|error| format!("the wrapper cannot keep memory: {error}"))
    }

    fn keep_fresh(&mut self, prepared: &Prepared) -> Result<(), String> {
        let fresh: Vec<_> = self.listeners.fresh(prepared).collect();
        for keep in fresh {
            self.keep(&keep.name, keep.value, &*keep.socket)?;
        }
        Ok(())
    }

    /// Gives the wrapper a descriptor to keep.
    pub fn keep(
        &mut self,
        name: &str,
        value: Vec<u8>,
        descriptor: &impl AsFd,
    ) -> Result<(), String> {
        self.link
            .keep(name.to_owned(), value, descriptor.as_fd())
            .map(drop)
            .map_err(|error| format!("the wrapper cannot keep {name}: {error}"))
    }

    /// The wrapper does not keep something: without it a generation is not started.
    pub fn handle_refused(&mut self, name: &str, reason: &str, now: Instant) {
        let line = format!("the wrapper cannot keep {name}: {reason}");
        if self.candidate.is_some() {
            self.fail_start(line.into(), now);
        } else {
            self.say(LogLevel::Warning, &line);
        }
    }

    /// A worker of the candidate is ready; whether it was one.
    pub fn candidate_ready(&mut self, id: WorkerId, now: Instant) -> bool {
        let Some(candidate) = &mut self.candidate else { return false };
        if !candidate.waiting.remove(&id) {
            return false;
        }
        if candidate.waiting.is_empty() {
            self.input(Input::Ready, now);
        }
        true
    }

    /// The candidate cannot become ready.
    pub fn fail_start(&mut self, refusal: Refusal, now: Instant) {
        self.failure = Some(refusal);
        self.input(Input::StartFailed, now);
    }

    /// A worker of the candidate has failed or ended.
    pub fn candidate_failed(&mut self, reason: String, step: Option<StartStep>, now: Instant) {
        let places = self.candidate.as_ref().map(|candidate| candidate.places.clone());
        self.fail_start(advice::of_start(reason, step, &places.unwrap_or_default()), now);
    }

    /// Another program was to go on with it, and does not.
    pub fn fail_with(&mut self, line: &str, text: &str, now: Instant) {
        let (line, text) = (line.to_owned(), text.to_owned());
        self.fail_start(Refusal { line, text, status: FAILED }, now);
    }

    /// Ends a start that takes too long.
    pub fn expire_candidate(&mut self, now: Instant) {
        let late = self.candidate.as_ref().filter(|candidate| candidate.deadline <= now);
        if let Some(candidate) = late {
            let missing = candidate.waiting.len();
            let all = candidate.holders.len() + candidate.aides.len();
            let line = format!("{missing} of {all} processes are not ready within start_timeout");
            self.fail_start(line.into(), now);
        }
    }

    /// Binds the control socket where it is to be another one than now.
    fn bind_control(&self, config: &Config, places: &Places) -> Result<Option<Control>, Refusal> {
        let Some(path) = config.process.control_socket.as_deref() else { return Ok(None) };
        if self.control.as_ref().is_some_and(|control| control.path() == path) {
            return Ok(None);
        }
        let live = if self.is_successor() { Live::Replace } else { Live::Refuse };
        Control::bind(path, live).map(Some).map_err(|why| {
            let message = format!("cannot bind control socket {}: {why}", path.display());
            advice::of_control(message, &why, places)
        })
    }

    /// Whether former processes leave once we serve.
    fn is_successor(&self) -> bool {
        !self.arguments.finish.is_empty() || !self.arguments.terminate.is_empty()
    }
}

/// A memfd that holds this and cannot be changed any more.
pub fn sealed(what: &impl Serialize) -> Result<OwnedFd, String> {
    seal("portolan", what).map_err(|error| format!("cannot store a state: {error}"))
}
