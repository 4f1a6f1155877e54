//! Portolan as the subject of the proof: its configurations, what is done to it, how it has to be behind it.
//!
//! Shell.

mod deaths;
mod reloads;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::Signal;

use crate::processes::{Process, Worker};
use crate::proof::crowd::Fronts;
use crate::proof::upkeep::{self, Upkeep};
use crate::proof::{Dice, Origins};
use crate::syslog::Syslog;
use crate::{Listen, Portolan, Setup, address, binaries, processes};

pub use deaths::{Deaths, How, Victim};
pub use reloads::Reloads;

/// How many workers at first.
const WORKERS: u64 = 3;
/// How many there are at most.
const WORKERS_MAX: u64 = 4;
/// How long a worker may stand still: long enough that one is not taken for dead that only gets no turn,
/// on a machine where others build.
const HEARTBEAT: Duration = Duration::from_secs(4);
/// How many descriptors the service manager stores.
const STORE: usize = 16;
/// How long the control socket may take to answer somebody who will ask again.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// What differs from one configuration to the next.
#[derive(Clone, Copy, Debug)]
pub struct Variation {
    /// Backends that nobody uses.
    pub backends: u64,
    /// A timeout that never strikes.
    pub queue_seconds: u64,
    /// Workers, or threads.
    pub workers: u64,
}

impl Variation {
    /// That of the beginning.
    pub const FIRST: Self = Self { backends: 0, queue_seconds: 30, workers: WORKERS };

    /// With as many workers as there ever are: their sockets stay.
    pub const WIDEST: Self = Self { workers: WORKERS_MAX, ..Self::FIRST };

    /// Another one.
    pub fn roll(dice: &mut Dice) -> Self {
        Self {
            backends: dice.below(4),
            queue_seconds: dice.between(30, 60),
            workers: dice.between(2, WORKERS_MAX),
        }
    }
}

/// A running instance with its servers and its log.
#[derive(Debug)]
pub struct Subject {
    /// The instance.
    pub portolan: Portolan,
    groups: Groups,
    /// Where clients go.
    pub fronts: Fronts,
    /// Where it logs.
    pub log: Syslog,
    /// Its servers; after the instance, so that they outlive it.
    pub origins: Origins,
    now: Variation,
}

impl Subject {
    /// Starts it, from programs of its own that can be replaced.
    pub fn start() -> Self {
        let (origins, log) = (Origins::start(), Syslog::udp());
        let fronts = Fronts { http: address::free(), tcp: address::free() };
        let now = Variation::FIRST;
        let setup = Setup::new(body(&now, fronts, &origins, &log))
            .workers(now.workers as u16)
            .stored(STORE)
            .global("heartbeat_timeout", format!("\"{}ms\"", HEARTBEAT.as_millis()));
        let programs = setup.file("programs");
        binaries::install(&programs);
        let portolan = setup.programs(&programs).start();
        let groups = Groups(vec![portolan.wrapper()]);
        Self { portolan, groups, fronts, log, origins, now }
    }

    /// Puts another configuration in its place, or one that nobody can read.
    fn configure(&mut self, next: Variation, broken: bool) {
        let body = body(&next, self.fronts, &self.origins, &self.log);
        let text = self.portolan.setup().configuration_with(&body);
        let (old, new) = (format!("workers = {WORKERS}"), format!("workers = {}", next.workers));
        let text = text.replace(&old, &new);
        let text = if broken { text.replace("server = ", "sever = ") } else { text };
        self.portolan.replace_configuration(&text);
        if !broken {
            self.now = next;
        }
    }

    /// Whether all of it is there: wrapper, master, a ready worker for each slot, the checker, and the
    /// control socket answers.
    pub fn is_whole(&self) -> bool {
        self.missing().is_none()
    }

    /// What of it is not there.
    pub fn missing(&self) -> Option<String> {
        if !self.portolan.running() {
            return Some("the wrapper".to_owned());
        }
        let wrapper = self.portolan.wrapper().to_string();
        if self.portolan.notices().last("MAINPID").is_some_and(|last| last != wrapper) {
            return Some("the new wrapper's word".to_owned());
        }
        let Some(master) = self.portolan.try_master() else { return Some("a master".to_owned()) };
        let Some(info) = self.ask("show info") else { return Some("an answer".to_owned()) };
        let number = |name: &str| number(&info, name);
        if number("Pid") != u64::try_from(master).ok() {
            return Some("the new master's answer".to_owned());
        }
        let (all, ready) = (number("Workers"), number("Ready_workers"));
        if all != ready || all.is_none() {
            return Some(format!("{all:?} workers, {ready:?} ready"));
        }
        let generation = number("Generation")?;
        let all = self.tree();
        if let Some(one) = all.iter().find(|one| one.state == 'T') {
            return Some(format!("{one:?} stands still"));
        }
        let checker = format!("portolan: checker gen {generation}");
        let checks = |one: &&Process| one.title.starts_with(&checker);
        let alive = all.iter().filter(checks).any(|one| one.state != 'Z');
        (!alive).then(|| format!("checker of generation {generation}"))
    }

    /// The pids of its workers of the newest generation, or of all earlier ones.
    pub fn workers(&self, newest: bool) -> Vec<i32> {
        let all = self.all_workers();
        let last = all.iter().map(|one| one.generation).max();
        let of = all.iter().filter(|one| (Some(one.generation) == last) == newest);
        of.map(|one| one.pid).collect()
    }

    /// The answer to a line on the control socket, when there is one.
    pub fn ask(&self, line: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.portolan.file("control.sock")).ok()?;
        stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
        stream.write_all(format!("{line}\n").as_bytes()).ok()?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while !answer.ends_with(b"\n\n") {
            match stream.read(&mut piece).ok()? {
                0 => return None,
                length => answer.extend_from_slice(&piece[..length]),
            }
        }
        String::from_utf8(answer).ok()
    }

    /// A number of `show info`.
    pub fn info(&self, name: &str) -> Option<u64> {
        number(&self.ask("show info")?, name)
    }

    /// What it costs now.
    pub fn upkeep(&self) -> Upkeep {
        upkeep::of(&self.tree())
    }

    /// All of its processes, whoever is their parent by now.
    pub fn tree(&self) -> Vec<Process> {
        of_groups(&self.groups.0)
    }

    /// Its workers of all generations.
    fn all_workers(&self) -> Vec<Worker> {
        self.tree().iter().filter_map(processes::worker).collect()
    }

    /// How many processes there are when nothing is left over: wrapper, master, checker, workers.
    pub fn processes_wanted(&self) -> usize {
        self.now.workers as usize + 3
    }
}

/// The process groups of all wrappers so far. What is left in them at the end, when a proof has failed in the
/// middle of something, is killed.
#[derive(Debug)]
struct Groups(Vec<i32>);

impl Drop for Groups {
    fn drop(&mut self) {
        for one in of_groups(&self.0) {
            processes::signal(one.pid, Signal::KILL);
        }
    }
}

/// Those of Portolan that live in these groups.
fn of_groups(groups: &[i32]) -> Vec<Process> {
    let own = |one: &Process| {
        groups.contains(&one.group) && one.state != 'Z' && one.title.contains("portolan")
    };
    processes::all().into_iter().filter(own).collect()
}

fn number(info: &str, name: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
    line.trim().parse().ok()
}

/// All sections but `[global]`.
fn body(now: &Variation, fronts: Fronts, origins: &Origins, log: &Syslog) -> String {
    let keys = "check = true, inter = \"1s\", pool_purge_delay = \"300ms\"";
    let queue = format!("{}s", now.queue_seconds);
    let web = Listen::http("web", fronts.http).timeout("queue", &queue).http_log(log).server_with(
        "one",
        origins.http(),
        keys,
    );
    let tcp = Listen::at("tcp", fronts.tcp).timeout("queue", &queue).log(log).server_with(
        "one",
        origins.tcp(),
        "check = true, inter = \"1s\"",
    );
    let mut text = format!("{web}\n{tcp}");
    for n in 0..now.backends {
        let more = Listen::backend(&format!("more-{n}")).server("one", origins.http());
        text = format!("{text}\n{more}");
    }
    text
}
