//! The same clients against Portolan, HAProxy and nginx: reloads, then killed workers, and a table.
//!
//! Shell. Nothing is asserted.

mod contestant;
mod lives;
mod report;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::condemned::{self, Condemned};
use super::tally::{Count, Tally};
use super::{Crowd, Dice, Kind, Mistake, dice};
use crate::{client, deadline, processes};

pub use contestant::{Contestant, Entry};
use lives::Lives;

/// How long it goes on behind the last reload, before processes are counted.
const AFTER: Duration = Duration::from_secs(5);
/// How long a killed worker's place may stay empty before it is called lost.
const WHOLE_MAX: Duration = Duration::from_secs(5);

/// How much is done.
#[derive(Clone, Debug)]
pub struct Options {
    /// Reloads of each.
    pub reloads: usize,
    /// Killed workers of each.
    pub kills: usize,
    /// Clients of each kind.
    pub clients: usize,
    /// The longest wait before each reload or death, in milliseconds.
    pub wait: u64,
    /// Only those whose name contains one of these; empty: all.
    pub only: Vec<String>,
    /// Of all choices.
    pub seed: u64,
}

impl Options {
    /// From `RELOADS`, `KILLS`, `CLIENTS`, `WAIT`, `ONLY` and `PROOF_SEED`.
    ///
    /// # Errors
    /// What is no number.
    pub fn of_environment() -> Result<Self, String> {
        let only = std::env::var("ONLY").unwrap_or_default().to_lowercase();
        Ok(Self {
            reloads: number("RELOADS", 100)?,
            kills: number("KILLS", 50)?,
            clients: number("CLIENTS", 3)?,
            wait: number("WAIT", 300)?,
            only: only.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            seed: dice::seed(),
        })
    }
}

fn number<T: FromStr>(name: &str, usual: T) -> Result<T, String>
where
    T::Err: Display,
{
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|error| format!("{name}={text}: {error}"))
        }
        _ => Ok(usual),
    }
}

/// What came of one contestant's reloads.
#[derive(Debug, Default)]
pub struct Reloaded {
    /// How many.
    pub reloads: usize,
    /// Upgrades among them.
    pub upgrades: usize,
    /// How often one had to be asked for again, because nothing came of a signal.
    pub again: usize,
    /// From the first one to the last.
    pub took: Duration,
    /// Requests and tunnels.
    pub streams: u64,
    /// Messages over tunnels.
    pub messages: u64,
    /// Asked to reconnect, closed while idle, not answered behind an announced end.
    pub told: [u64; 3],
    /// What clients did not get.
    pub mistakes: Vec<Mistake>,
    /// Processes before the first reload, at most, and [`AFTER`] the last one.
    pub processes: [usize; 3],
    /// How long former workers stayed, those that have gone; the shortest first.
    pub lives: Vec<Duration>,
    /// And those that had not when the clients left.
    pub staying: Vec<Duration>,
}

/// What came of one contestant's killed workers.
#[derive(Debug, Default)]
pub struct Killed {
    /// How many.
    pub kills: usize,
    /// Connections that they held.
    pub condemned: usize,
    /// Mistakes of those connections.
    pub excused: usize,
    /// All others.
    pub mistakes: Vec<Mistake>,
    /// Until the place was taken again; the shortest first.
    pub whole_after: Vec<Duration>,
    /// Whether it did not come back.
    pub lost: bool,
}

/// All about one.
#[derive(Debug)]
pub struct Outcome {
    /// Its name with its version.
    pub name: String,
    /// Its reloads.
    pub reloaded: Reloaded,
    /// Its killed workers.
    pub killed: Killed,
}

/// Runs all of it and returns the table.
///
/// # Errors
/// Where nobody is left to be measured.
pub fn run(options: &Options) -> Result<String, String> {
    let entries: Vec<Entry> = Entry::all(&options.only);
    if entries.is_empty() {
        return Err("nobody of that name is installed".to_owned());
    }
    let mut outcomes = Vec::new();
    for entry in entries {
        let name = entry.name();
        eprintln!("{name}: reloads");
        let reloaded = reload_often(&mut entry.start(), options);
        eprintln!("  {} mistakes; killed workers", reloaded.mistakes.len());
        let killed = kill_often(&mut entry.start(), options);
        eprintln!("  {} mistakes of others", killed.mistakes.len());
        outcomes.push(Outcome { name, reloaded, killed });
    }
    Ok(report::markdown(options, &outcomes))
}

fn sum(tally: &Tally, count: Count) -> u64 {
    tally.all(count)
}

fn reload_often(one: &mut Contestant, options: &Options) -> Reloaded {
    let mut dice = Dice::new(options.seed);
    let mut outcome = Reloaded { reloads: options.reloads, ..Reloaded::default() };
    let mut lives = Lives::default();
    let crowd = Crowd::start(one.fronts(), &Kind::ALL, options.clients, options.seed);
    crowd.wait_more(200);
    outcome.processes[0] = one.tree().len();
    let began = Instant::now();
    for _ in 0..options.reloads {
        lives.watch(one, dice.millis(0, options.wait));
        let (upgrades, again) = one.reload(&mut dice);
        outcome.upgrades += upgrades;
        outcome.again += again;
        outcome.processes[1] = outcome.processes[1].max(one.tree().len());
    }
    outcome.took = began.elapsed();
    lives.watch(one, AFTER);
    outcome.processes[2] = one.tree().len();
    let (gone, staying) = lives.split();
    (outcome.lives, outcome.staying) = (gone, staying);
    let (mistakes, shared) = crowd.end();
    outcome.mistakes = mistakes;
    let tally = shared.tally();
    outcome.streams = sum(tally, Count::Streams);
    outcome.messages = sum(tally, Count::Messages);
    outcome.told = [Count::Asked, Count::ClosedIdle, Count::Unanswered].map(|of| sum(tally, of));
    outcome
}

fn kill_often(one: &mut Contestant, options: &Options) -> Killed {
    let mut dice = Dice::new(options.seed + 1);
    let mut outcome = Killed::default();
    let mut all: Vec<Condemned> = Vec::new();
    let fronts = one.fronts();
    let crowd = Crowd::start(fronts, &Kind::ALL, options.clients, options.seed);
    crowd.wait_more(200);
    while outcome.kills < options.kills && !outcome.lost {
        deadline::pause(dice.millis(0, options.wait));
        let workers = one.current();
        let pid = *dice.one(&workers);
        let Some(condemned) = condemned::freeze(pid, &[fronts.http, fronts.tcp], &[]) else {
            continue;
        };
        let began = Instant::now();
        processes::signal(pid, Signal::KILL);
        outcome.kills += 1;
        outcome.condemned += condemned.count();
        all.push(condemned);
        let known: BTreeSet<i32> = workers.iter().copied().collect();
        let whole = || one.is_whole(&known, pid).then(|| began.elapsed());
        match deadline::try_within(WHOLE_MAX, whole) {
            Some(after) => outcome.whole_after.push(after),
            None => outcome.lost = !serves(one),
        }
        one.look_again(&workers);
    }
    let (mistakes, _) = crowd.end();
    outcome.whole_after.sort_unstable();
    let (excused, others): (Vec<_>, Vec<_>) =
        mistakes.into_iter().partition(|one| all.iter().any(|condemned| condemned.excuses(one)));
    outcome.excused = excused.len();
    outcome.mistakes = others;
    outcome
}

fn serves(one: &Contestant) -> bool {
    client::try_connect(one.fronts().http).is_ok()
}
