//! What the workers share, from the master's side: memory, the registry of objects, doorbells.
//!
//! Shell.
//!
//! - A doorbell (an eventfd) is made with the first use of its lane and never closed: who knows it
//!   may go on ringing it.
//! - Workers get the states of servers through descriptors opened for reading only.
//! - A lane is released only when its owner's pidfd has ended; then everybody's doorbell rings.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use portolan_shared::capture;
use portolan_shared::memory::{LANES_MAX, Lane, Memory, MemoryError, OBJECTS_PER_CHUNK, Registry};
use portolan_shared::message::{MemoryKind, Role};
use portolan_shared::model::Config;
use rustix::event::EventfdFlags;

/// The wrapper keeps memory under these, with the number of the chunk or lane.
pub const HEAD: &str = "memory-head";
/// See [`HEAD`].
pub const CHUNK: &str = "memory-";
/// See [`HEAD`].
pub const STATES: &str = "states-";
/// See [`HEAD`].
pub const DOORBELL: &str = "doorbell-";
/// Under this and the lane the wrapper keeps the file for what its owner reads last.
pub const CAPTURE: &str = "capture-";

/// Memory, registry and doorbells.
#[derive(Debug)]
pub struct SharedMemory {
    memory: Memory,
    /// The states of each chunk, open for reading only.
    read_only: Vec<OwnedFd>,
    registry: Registry,
    doorbells: BTreeMap<Lane, OwnedFd>,
    /// What a lane's owner reads last is to be found here.
    captures: BTreeMap<Lane, OwnedFd>,
}

/// What a former master left of it.
#[derive(Debug, Default)]
pub struct Left {
    head: Option<OwnedFd>,
    chunks: BTreeMap<u32, OwnedFd>,
    states: BTreeMap<u32, OwnedFd>,
    doorbells: BTreeMap<Lane, OwnedFd>,
    captures: BTreeMap<Lane, OwnedFd>,
}

impl Left {
    /// Takes a descriptor by its name, or gives it back if it is none of these.
    pub fn keep(&mut self, name: &str, descriptor: OwnedFd) -> Option<OwnedFd> {
        if name == HEAD {
            self.head = Some(descriptor);
        } else if let Some(number) = name.strip_prefix(CHUNK).and_then(|n| n.parse().ok()) {
            self.chunks.insert(number, descriptor);
        } else if let Some(number) = name.strip_prefix(STATES).and_then(|n| n.parse().ok()) {
            self.states.insert(number, descriptor);
        } else if let Some(lane) = name.strip_prefix(DOORBELL).and_then(|n| n.parse().ok()) {
            self.doorbells.insert(lane, descriptor);
        } else if let Some(lane) = name.strip_prefix(CAPTURE).and_then(|n| n.parse().ok()) {
            self.captures.insert(lane, descriptor);
        } else {
            return Some(descriptor);
        }
        None
    }
}

impl SharedMemory {
    /// Makes new memory.
    pub fn create() -> io::Result<Self> {
        let mut memory = Memory::create()?;
        memory.keep_record();
        Ok(Self {
            memory,
            read_only: Vec::new(),
            registry: Registry::default(),
            doorbells: BTreeMap::new(),
            captures: BTreeMap::new(),
        })
    }

    /// Takes over what a former master left; `None` where it left none.
    pub fn adopt(mut left: Left, registry: Option<Registry>) -> Result<Option<Self>, MemoryError> {
        let (Some(head), Some(registry)) = (left.head, registry) else { return Ok(None) };
        let mut memory = Memory::attach(head)?;
        for (number, chunk) in left.chunks {
            // A chunk that came before its states was not in use: its master died in between.
            let Some(states) = left.states.remove(&number) else { break };
            memory.attach_chunk(number, chunk)?;
            memory.attach_states(number, states)?;
        }
        memory.keep_record();
        let Left { doorbells, captures, .. } = left;
        let mut adopted = Self { memory, read_only: Vec::new(), registry, doorbells, captures };
        adopted.reopen()?;
        Ok(Some(adopted))
    }

    /// The memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Gives every object of a configuration its place; the numbers of new chunks.
    pub fn assign(&mut self, config: &mut Config, generation: u32) -> io::Result<Range<u32>> {
        let oldest = self.memory.oldest_generation();
        let assigned = self.registry.assign(config, generation, oldest);
        let new = self.memory.prepare(&assigned)?;
        self.reopen()?;
        Ok(new)
    }

    /// Opens the states of new chunks for those who may only read them.
    fn reopen(&mut self) -> io::Result<()> {
        for number in self.read_only.len() as u32..self.memory.objects_max() / OBJECTS_PER_CHUNK {
            self.read_only.push(self.memory.reopen_states(number)?);
        }
        Ok(())
    }

    /// Under which names the wrapper keeps memory, with the descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        self.memory.descriptors().map(|(kind, descriptor)| {
            let name = match kind {
                MemoryKind::Lanes => HEAD.to_owned(),
                MemoryKind::Objects(number) => format!("{CHUNK}{number}"),
                MemoryKind::States(number) => format!("{STATES}{number}"),
            };
            (name, descriptor)
        })
    }

    /// What a process of this role is given, in order. States may be written by the checker only; the
    /// runner beats, and has nothing to do with servers' counts and states.
    pub fn descriptors_for(
        &self,
        role: Role,
    ) -> impl Iterator<Item = (MemoryKind, BorrowedFd<'_>)> {
        self.memory.descriptors().filter_map(move |(kind, descriptor)| match (kind, role) {
            (MemoryKind::Objects(_) | MemoryKind::States(_), Role::Runner) => None,
            (MemoryKind::States(number), Role::Worker) => {
                Some((kind, self.read_only[number as usize].as_fd()))
            }
            _ => Some((kind, descriptor)),
        })
    }

    /// Takes a free lane for a process of this slot and generation; `None` when all are taken.
    pub fn claim(&mut self, slot: u16, generation: u32) -> Option<Lane> {
        let lane = self.memory.claim_lane(0)?;
        self.memory.describe_lane(lane, slot, generation);
        Some(lane)
    }

    /// The owner of a lane runs.
    pub fn set_owner(&self, lane: Lane, pid: i32) {
        self.memory.set_owner(lane, pid);
    }

    /// The owner of a lane has ended.
    pub fn release(&self, lane: Lane) {
        if self.memory.checker_lane() == Some(lane) {
            self.memory.set_checker_lane(None);
        }
        self.memory.release_lane(lane);
        self.ring_all();
    }

    /// The doorbell of a lane; whether it was made just now.
    pub fn doorbell(&mut self, lane: Lane) -> io::Result<bool> {
        if self.doorbells.contains_key(&lane) {
            return Ok(false);
        }
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        self.doorbells.insert(lane, rustix::event::eventfd(0, flags)?);
        Ok(true)
    }

    /// Makes the file for what a lane's owner reads last; whether it was made just now.
    pub fn make_capture(&mut self, lane: Lane) -> io::Result<bool> {
        if self.captures.contains_key(&lane) {
            return Ok(false);
        }
        self.captures.insert(lane, capture::create("portolan-capture")?);
        Ok(true)
    }

    /// The file for what a lane's owner reads last.
    pub fn capture(&self, lane: Lane) -> Option<BorrowedFd<'_>> {
        self.captures.get(&lane).map(AsFd::as_fd)
    }

    /// Nobody was told of this one.
    pub fn drop_doorbell(&mut self, lane: Lane) {
        self.doorbells.remove(&lane);
    }

    /// All doorbells.
    pub fn doorbells(&self) -> impl Iterator<Item = (Lane, BorrowedFd<'_>)> {
        self.doorbells.iter().map(|(lane, bell)| (*lane, bell.as_fd()))
    }

    /// One doorbell.
    pub fn bell(&self, lane: Lane) -> Option<BorrowedFd<'_>> {
        self.doorbells.get(&lane).map(AsFd::as_fd)
    }

    /// Lanes that can still be claimed.
    pub fn free_lanes(&self) -> usize {
        usize::from(LANES_MAX) - self.memory.lanes_live().count()
    }

    /// Wakes every process.
    pub fn ring_all(&self) {
        for lane in self.memory.lanes_live() {
            if let Some(bell) = self.doorbells.get(&lane) {
                // A full counter has been ringing long enough.
                let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
            }
        }
    }
}
