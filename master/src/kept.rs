//! What the wrapper keeps of processes and generations, so that a master that follows goes on with them.
//!
//! Shell; the values are core.
//!
//! | name | kept | forgotten | value, or what lies in the memfd |
//! | --- | --- | --- | --- |
//! | `channel-LANE` | before the process is started | with its end | [`KeptChannel`] |
//! | `pidfd-LANE` | before it is told anything | with its end | [`KeptProcess`] |
//! | `generation-N`, `program-N` | before its first process | with its last | [`HandedGeneration`] |
//! | `facts` | when they have changed | never | [`Facts`] |
//!
//! - What is kept here is read by the same program, or by another one that was asked before
//!   ([`FORMAT`]): what has another form is as good as nothing.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use portolan_shared::log::monotonic_ms;
use portolan_shared::memory::Lane;
use portolan_shared::message::wrapper::{CHANNEL, PIDFD};
use portolan_shared::model::LogLevel;
use portolan_shared::sealed::unseal;
use serde::{Deserialize, Serialize};

use crate::aides::Post;
use crate::handover::{FORMAT, HandedGeneration};
use crate::master::Master;
use crate::prepare::sealed;
use crate::state::State;
use crate::worker::{Phase, Worker};

/// Under this and its number the wrapper keeps a generation.
pub const GENERATION: &str = "generation-";
/// Under this and its number the wrapper keeps the program of its workers.
pub const PROGRAM: &str = "program-";
/// Under this the wrapper keeps what is known besides.
pub const FACTS: &str = "facts";

/// Whose channel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptChannel {
    /// Which configuration it has.
    pub generation: u32,
    /// What it is for.
    pub post: Post,
    /// Which owner of its lane it is.
    pub incarnation: u64,
}

/// Whose pidfd it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptProcess {
    /// Its number.
    pub pid: i32,
    /// When it was started, CLOCK_MONOTONIC milliseconds.
    pub since_ms: u64,
}

/// What a master knows that no process can say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The generation that serves.
    pub current: u32,
    /// The last one that was begun.
    pub last: u32,
    /// When the first master began, CLOCK_MONOTONIC milliseconds.
    pub since_ms: u64,
    /// Whether the listeners are paused.
    pub paused: bool,
    /// Reloads that succeeded and that failed.
    pub reloads: (u32, u32),
    /// Whether one is under way.
    pub reloading: bool,
    /// Whether everybody stops.
    pub stopping: bool,
    /// When that becomes a hard stop, CLOCK_MONOTONIC milliseconds.
    pub stop_ms: Option<u64>,
    /// Checker and runner, by their pids, that were given a way to each other.
    pub joined: Option<(i32, i32)>,
    /// Those who leave.
    pub leaving: Vec<Leaving>,
}

/// A worker that retires or stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Its number.
    pub pid: i32,
    /// How many reloads it has outlived.
    pub reloads: u32,
    /// When it is ended, CLOCK_MONOTONIC milliseconds.
    pub until_ms: Option<u64>,
}

/// The same instant on two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    now: Instant,
    now_ms: u64,
}

impl Clocks {
    /// Looks at both.
    pub fn now() -> Self {
        Self { now: Instant::now(), now_ms: monotonic_ms() }
    }

    /// As milliseconds.
    pub fn ms(self, at: Instant) -> u64 {
        let span = |duration: Duration| duration.as_millis() as u64;
        match at.checked_duration_since(self.now) {
            Some(later) => self.now_ms + span(later),
            None => self.now_ms.saturating_sub(span(self.now - at)),
        }
    }

    /// From milliseconds.
    pub fn instant(self, ms: u64) -> Instant {
        if let Some(later) = ms.checked_sub(self.now_ms) {
            return self.now + Duration::from_millis(later);
        }
        let ago = Duration::from_millis(self.now_ms - ms);
        self.now.checked_sub(ago).unwrap_or(self.now)
    }
}

/// What a former master left of its processes.
#[derive(Debug, Default)]
pub struct Living {
    /// By lane.
    pub channels: BTreeMap<Lane, (KeptChannel, OwnedFd)>,
    /// By lane.
    pub processes: BTreeMap<Lane, (KeptProcess, OwnedFd)>,
    generations: BTreeMap<u32, OwnedFd>,
    programs: BTreeMap<u32, OwnedFd>,
    facts: Option<OwnedFd>,
    names: Vec<String>,
}

impl Living {
    /// Takes a descriptor by its name, or gives it back if it is none of these.
    pub fn keep(&mut self, name: &str, value: &[u8], descriptor: OwnedFd) -> Option<OwnedFd> {
        let number = |prefix| name.strip_prefix(prefix).and_then(|n: &str| n.parse::<u32>().ok());
        let lane = |prefix| number(prefix).and_then(|lane| Lane::try_from(lane).ok());
        if let Some(lane) = lane(CHANNEL) {
            if let Ok(kept) = postcard::from_bytes(value) {
                self.channels.insert(lane, (kept, descriptor));
            }
        } else if let Some(lane) = lane(PIDFD) {
            if let Ok(kept) = postcard::from_bytes(value) {
                self.processes.insert(lane, (kept, descriptor));
            }
        } else if let Some(number) = number(GENERATION) {
            self.generations.insert(number, descriptor);
        } else if let Some(number) = number(PROGRAM) {
            self.programs.insert(number, descriptor);
        } else if name == FACTS {
            self.facts = Some(descriptor);
            return None;
        } else {
            return Some(descriptor);
        }
        self.names.push(name.to_owned());
        None
    }

    /// Everything's names but the facts'.
    pub fn into_names(self) -> Vec<String> {
        self.names
    }

    /// Whether this is kept.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|kept| kept == name)
    }

    /// The facts, as far as they are known.
    pub fn facts(&self) -> Facts {
        self.facts.as_ref().and_then(of_this_form).unwrap_or_default()
    }

    /// The number of the last generation that was begun.
    pub fn last_generation(&self) -> Option<u32> {
        self.generations.keys().next_back().copied()
    }

    /// The generations with the programs of their workers.
    pub fn take_generations(&mut self) -> Vec<(HandedGeneration, Option<OwnedFd>)> {
        let generations = std::mem::take(&mut self.generations);
        let read = generations.into_iter().filter_map(|(number, memfd)| {
            let generation: HandedGeneration = of_this_form(&memfd)?;
            Some((generation, self.programs.remove(&number)))
        });
        read.collect()
    }
}

fn in_this_form(what: &impl Serialize) -> Result<OwnedFd, String> {
    sealed(&(FORMAT, what))
}

fn of_this_form<T: serde::de::DeserializeOwned>(memfd: &OwnedFd) -> Option<T> {
    unseal::<(u16, T)>(memfd).filter(|(format, _)| *format == FORMAT).map(|(_, what)| what)
}

impl Master {
    /// Has a generation kept, before anybody is started of it.
    pub fn keep_generation(&mut self, number: u32) -> Result<(), String> {
        let Some(generation) = self.generations.get(&number) else { return Ok(()) };
        if !self.link.is_wrapped() {
            return Ok(());
        }
        let binary = std::rc::Rc::clone(&generation.binary);
        let memfd = in_this_form(&self.hand_generation(generation))?;
        self.keep(&format!("{GENERATION}{number}"), Vec::new(), &memfd)?;
        self.keep(&format!("{PROGRAM}{number}"), Vec::new(), &*binary)
    }

    /// Has the channel of a process kept, before it is started.
    pub fn keep_channel(
        &mut self,
        lane: Lane,
        kept: KeptChannel,
        end: &impl AsFd,
    ) -> Result<(), String> {
        let value = postcard::to_stdvec(&kept).map_err(|error| error.to_string())?;
        self.keep(&format!("{CHANNEL}{lane}"), value, end)
    }

    /// Has the pidfd of a process kept, before it is told anything: once this has returned it lies with
    /// the wrapper, whatever becomes of us.
    pub fn keep_process(&mut self, worker: &Worker) -> Result<(), String> {
        let kept = KeptProcess { pid: worker.pid, since_ms: self.clocks.ms(worker.since) };
        let value = postcard::to_stdvec(&kept).map_err(|error| error.to_string())?;
        self.keep(&format!("{PIDFD}{}", worker.lane), value, &worker.pidfd)?;
        self.link.drain().map_err(|error| format!("the wrapper does not read: {error}"))
    }

    /// Lets the wrapper forget a process.
    pub fn forget_process(&mut self, lane: Lane) {
        self.forget(vec![format!("{CHANNEL}{lane}"), format!("{PIDFD}{lane}")]);
    }

    /// Has the facts kept where they have changed.
    pub fn keep_facts(&mut self) {
        if self.current.is_none() || !self.link.is_wrapped() {
            return;
        }
        let facts = self.facts();
        if facts == self.facts {
            return;
        }
        let kept = in_this_form(&facts).and_then(|memfd| self.keep(FACTS, Vec::new(), &memfd));
        if let Err(error) = kept {
            self.say(LogLevel::Warning, &error);
        }
        self.facts = facts;
    }

    fn facts(&self) -> Facts {
        let leaving = |worker: &Worker| Leaving {
            pid: worker.pid,
            reloads: worker.reloads,
            until_ms: worker.stop_deadline.map(|at| self.clocks.ms(at)),
        };
        let leaves = |worker: &&Worker| matches!(worker.phase, Phase::Retiring | Phase::Stopping);
        let pid = |id| self.workers.get(&id).map(|worker| worker.pid);
        Facts {
            current: self.current.unwrap_or(0),
            last: self.last_generation,
            since_ms: self.clocks.ms(self.since),
            paused: self.paused,
            reloads: self.reloads,
            reloading: matches!(self.state, State::Reloading { .. }),
            stopping: self.state.stops(),
            stop_ms: self.stop_deadline.map(|deadline| self.clocks.ms(deadline)),
            joined: self.aides.joined().and_then(|(one, other)| Some((pid(one)?, pid(other)?))),
            leaving: self.workers.values().filter(leaves).map(leaving).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_name_the_same_instants() {
        let clocks = Clocks::now();
        for ms in [clocks.now_ms - 5, clocks.now_ms, clocks.now_ms + 12_345] {
            assert_eq!(clocks.ms(clocks.instant(ms)), ms);
        }
    }

    #[test]
    fn what_is_left_is_known_by_its_name_and_the_rest_is_given_back() {
        let mut living = Living::default();
        let file = || sealed(&()).expect("a memfd");
        let kept = KeptChannel { generation: 3, post: Post::Slot(1), incarnation: 9 };
        let value = postcard::to_stdvec(&kept).expect("bytes");
        assert!(living.keep("channel-7", &value, file()).is_none());
        assert!(living.keep("channel-8", &[], file()).is_none());
        assert!(living.keep("generation-12", &[], file()).is_none());
        for other in ["channel-", "channel-x", "pidfd-70000", "listener-1", "doorbell-2"] {
            assert!(living.keep(other, &[], file()).is_some(), "{other}");
        }
        assert_eq!(living.channels.keys().collect::<Vec<_>>(), [&7]);
        assert_eq!(living.channels[&7].0, kept);
        assert_eq!(living.last_generation(), Some(12));
        assert_eq!(living.into_names(), ["channel-7", "channel-8", "generation-12"]);
    }

    #[test]
    fn another_form_is_as_good_as_nothing() {
        let facts = Facts { reloads: (3, 4), ..Facts::default() };
        let mut living = Living::default();
        living.keep(FACTS, &[], in_this_form(&facts).expect("a memfd"));
        assert_eq!(living.facts(), facts);
        living.keep(FACTS, &[], sealed(&(FORMAT + 1, &facts)).expect("a memfd"));
        assert_eq!(living.facts(), Facts::default());
    }
}
