//! What a master hands to the program that it executes in its own place.
//!
//! Core: the types and their bytes; [`upgrade`](crate::upgrade) fills and takes them.
//!
//! - The first two bytes are [`FORMAT`] and never change their place; a program that does not know the
//!   number refuses before anything has happened (it is asked as a child first).
//! - Descriptors are named by the numbers that stay open over the exec. Listeners, memory, doorbells,
//!   the control socket and the worker's program come from the wrapper and are named as there.
//! - Times are spans from now: a clock's value means nothing to another process.

use std::collections::BTreeSet;

use portolan_shared::memory::LAYOUT;
use portolan_shared::message::{ListenerEntry, Role};
use portolan_shared::model::LogEndpoint;
use serde::{Deserialize, Serialize};

use crate::aides::Post;
use crate::generation::Terms;
use crate::listeners::Key;
use crate::worker::Phase;

mod former;

/// The number of this form. The one before is read too: it is of programs that do not know of successors.
/// The first one is not: the shared memory of the processes that it tells of has another layout.
pub const FORMAT: u16 = 3;
/// The form before.
const FORMER: u16 = 2;

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Of the program that hands over.
    pub version: String,
    /// Of the shared memory that its workers use.
    pub layout: u64,
    /// The generation that serves.
    pub current: u32,
    /// The number of the last one that was begun.
    pub last_generation: u32,
    /// All of which a process lives.
    pub generations: Vec<HandedGeneration>,
    /// All living processes.
    pub workers: Vec<HandedWorker>,
    /// Who is connected to the control socket.
    pub clients: Vec<HandedClient>,
    /// Reloads that succeeded and that failed.
    pub reloads: (u32, u32),
    /// Of the current generation.
    pub maxconn: u32,
    /// Whether the listeners are paused.
    pub paused: bool,
    /// For how long the master has run, milliseconds.
    pub age_ms: u64,
}

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedGeneration {
    /// Its number.
    pub number: u32,
    /// How many workers.
    pub slots: u16,
    /// What there is beside them.
    pub aides: Vec<Post>,
    /// What they are told.
    pub configuration: Vec<u8>,
    /// What those beside them are told, where that is something else.
    pub aide_configuration: Option<Vec<u8>>,
    /// Their listeners by the wrapper's names.
    pub sockets: Vec<(ListenerEntry, String)>,
    /// The keys of these.
    pub used: BTreeSet<Key>,
    /// Their logs.
    pub logs: Vec<LogEndpoint>,
    /// What the master goes by.
    pub terms: Terms,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedWorker {
    /// Its number.
    pub pid: i32,
    /// A descriptor.
    pub pidfd: i32,
    /// A descriptor.
    pub channel: i32,
    /// What it is.
    pub role: Role,
    /// Which configuration it has.
    pub generation: u32,
    /// Its place.
    pub slot: u16,
    /// Its lane.
    pub lane: u16,
    /// What it is doing.
    pub phase: Phase,
    /// For how long it has lived, milliseconds.
    pub age_ms: u64,
    /// What it says it is.
    pub version: String,
    /// What is left in it.
    pub streams: Option<u32>,
    /// Whether it lacks resources.
    pub short: bool,
    /// Time until a soft-stop becomes a hard one, milliseconds.
    pub stop_in_ms: Option<u64>,
    /// Whether its program knows of successors.
    pub hands_over: bool,
    /// The lane of the worker that it hands over to, if it has a link to one.
    pub successor: Option<u16>,
    /// How many reloads it has outlived.
    pub reloads: u32,
}

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedClient {
    /// A descriptor.
    pub stream: i32,
    /// What it has sent and was not looked at.
    pub input: Vec<u8>,
    /// What waits for it.
    pub output: Vec<u8>,
    /// Whether it waits for the reload that goes on in the next program.
    pub waits: bool,
    /// Whether it sends nothing more.
    pub ended: bool,
}

/// Why a state is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandoverError {
    /// Of a form that this version does not know.
    Format(u16),
    /// Cut, or no state at all.
    Malformed,
    /// The workers' memory has another layout.
    Layout(u64),
}

impl std::fmt::Display for HandoverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Format(number) => {
                write!(f, "a state of format {number}, this version knows {FORMER} and {FORMAT}")
            }
            Self::Malformed => f.write_str("not a state"),
            Self::Layout(number) => {
                write!(
                    f,
                    "shared memory of layout {number}, this version uses {LAYOUT}: a restart is needed"
                )
            }
        }
    }
}

impl Handover {
    /// As bytes.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        postcard::to_extend(self, FORMAT.to_le_bytes().to_vec())
            .map_err(|error| format!("the state cannot be encoded: {error}"))
    }

    /// From bytes, if this program can go on from there.
    pub fn decode(bytes: &[u8]) -> Result<Self, HandoverError> {
        let (number, rest) = bytes.split_first_chunk().ok_or(HandoverError::Malformed)?;
        let number = u16::from_le_bytes(*number);
        let state: Self = match number {
            FORMAT => whole(rest)?,
            FORMER => whole::<former::Handover>(rest)?.into(),
            other => return Err(HandoverError::Format(other)),
        };
        if state.layout == LAYOUT { Ok(state) } else { Err(HandoverError::Layout(state.layout)) }
    }
}

/// A value that takes up all of these bytes.
fn whole<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, HandoverError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(HandoverError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample() -> Handover {
        Handover {
            version: "0.1.0".to_owned(),
            layout: LAYOUT,
            current: 3,
            last_generation: 4,
            generations: vec![HandedGeneration {
                number: 3,
                slots: 2,
                aides: vec![Post::Checker],
                configuration: b"bytes".to_vec(),
                aide_configuration: Some(b"less".to_vec()),
                sockets: vec![(ListenerEntry { bind: 1, slot: Some(0) }, "listener-7".to_owned())],
                used: BTreeSet::new(),
                logs: vec![LogEndpoint::Stderr],
                terms: Terms {
                    heartbeat_timeout: Duration::from_secs(2),
                    start_timeout: Duration::from_secs(30),
                    hard_stop_after: None,
                    grace: Duration::ZERO,
                },
            }],
            workers: vec![HandedWorker {
                pid: 100,
                pidfd: 9,
                channel: 10,
                role: Role::Worker,
                generation: 3,
                slot: 1,
                lane: 5,
                phase: Phase::Ready,
                age_ms: 1000,
                version: "0.1.0".to_owned(),
                streams: None,
                short: false,
                stop_in_ms: Some(7),
                hands_over: true,
                successor: Some(6),
                reloads: 4,
            }],
            clients: vec![HandedClient {
                stream: 11,
                input: Vec::new(),
                output: b"x".to_vec(),
                waits: true,
                ended: true,
            }],
            reloads: (1, 2),
            maxconn: 500,
            paused: false,
            age_ms: 77,
        }
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let bytes = sample().encode().expect("it can be encoded");
        assert_eq!(Handover::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn a_cut_state_is_refused_at_every_length() {
        let bytes = sample().encode().expect("it can be encoded");
        for length in 0..bytes.len() {
            assert_eq!(Handover::decode(&bytes[..length]), Err(HandoverError::Malformed));
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(Handover::decode(&longer), Err(HandoverError::Malformed));
    }

    #[test]
    fn another_format_or_layout_is_refused_by_its_number() {
        let mut bytes = sample().encode().expect("it can be encoded");
        bytes[0] = 9;
        assert_eq!(Handover::decode(&bytes), Err(HandoverError::Format(9)));
        let other = Handover { layout: LAYOUT + 1, ..sample() };
        let bytes = other.encode().expect("it can be encoded");
        assert_eq!(Handover::decode(&bytes), Err(HandoverError::Layout(LAYOUT + 1)));
    }

    /// What the form of a state looks like. A change here is a change of the form: it
    /// needs a new [`FORMAT`], and the old one must still be read.
    #[test]
    fn the_form_is_the_stored_one() {
        let bytes = sample().encode().expect("it can be encoded");
        let stored = stored(
            "03 00 05 30 2e 31 2e 30 02 03 04 01 03 02 01 01 05 62 79 74 65 73 01 04 6c \
             65 73 73 01 01 01 00 0a 6c 69 73 74 65 6e 65 72 2d 37 00 01 03 02 00 1e 00 \
             00 00 00 01 c8 01 12 14 00 03 01 05 01 e8 07 05 30 2e 31 2e 30 00 00 01 07 \
             01 01 06 04 01 16 00 01 78 01 01 01 02 f4 03 00 4d",
        );
        assert_eq!(bytes, stored);
        assert_eq!(Handover::decode(&stored), Ok(sample()));
    }

    #[test]
    fn the_form_before_is_read_and_its_workers_know_no_successors() {
        let stored = stored(
            "02 00 05 30 2e 31 2e 30 02 03 04 01 03 02 01 01 05 62 79 74 65 73 01 04 6c \
             65 73 73 01 01 01 00 0a 6c 69 73 74 65 6e 65 72 2d 37 00 01 03 02 00 1e 00 00 00 00 01 c8 01 12 14 \
             00 03 01 05 01 e8 07 05 30 2e 31 2e 30 00 00 01 07 01 16 00 01 78 01 01 01 \
             02 f4 03 00 4d",
        );
        let mut former = sample();
        for worker in &mut former.workers {
            (worker.hands_over, worker.successor, worker.reloads) = (false, None, 0);
        }
        assert_eq!(Handover::decode(&stored), Ok(former));
        for length in 2..stored.len() {
            assert_eq!(Handover::decode(&stored[..length]), Err(HandoverError::Malformed));
        }
    }

    /// Bytes as they are written here.
    fn stored(text: &str) -> Vec<u8> {
        let byte = |byte| u8::from_str_radix(byte, 16).expect("two digits");
        text.split(' ').map(byte).collect()
    }
}
