//! Which object has which number, in the master.
//!
//! Core.
//! - An object keeps its number by name and position as long as the instance lives, so states,
//!   weights and totals survive reloads without any configuration.
//! - What a reload dropped keeps its number too, and has it back when it returns. Only where a new
//!   chunk would be needed are numbers given to new names, those unused for longest first, and only
//!   those that no living process's generation knows.
//! - Objects are numbered without gaps from 0, the instance.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{OBJECTS_PER_CHUNK, Object};
use crate::model::Config;
use crate::standing;

/// What is counted, by what it is called in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectKey {
    /// All processes together.
    Instance,
    /// A frontend by its name.
    Frontend {
        /// Its name.
        name: String,
    },
    /// A bind by what is written.
    Bind {
        /// Name of its frontend.
        frontend: String,
        /// The address as written.
        written: String,
        /// How many like it come before it in its frontend.
        occurrence: u32,
    },
    /// A backend by its name.
    Backend {
        /// Its name.
        name: String,
    },
    /// A server by its name.
    Server {
        /// Name of its backend.
        backend: String,
        /// Its name.
        name: String,
        /// How many of its name come before it in its backend.
        occurrence: u32,
    },
}

/// What an assignment asks of the memory; see `Memory::prepare`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the memory must be prepared before workers are told of the objects"]
pub struct Assigned {
    /// Chunks that must exist.
    pub chunks: u32,
    /// Objects below this number are in use.
    pub objects: Object,
    /// Objects that got a new name; to be emptied.
    pub reused: Vec<Object>,
}

/// All objects there have been, by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Record>", into = "Vec<Record>")]
pub struct Registry {
    records: Vec<Record>,
    numbers: HashMap<ObjectKey, Object>,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    key: ObjectKey,
    /// The last generation that had it.
    generation: u32,
}

impl Default for Registry {
    fn default() -> Self {
        Self::from(vec![Record { key: ObjectKey::Instance, generation: 0 }])
    }
}

impl From<Vec<Record>> for Registry {
    fn from(records: Vec<Record>) -> Self {
        let numbers = (0..).zip(&records).map(|(n, record)| (record.key.clone(), n)).collect();
        Self { records, numbers }
    }
}

impl From<Registry> for Vec<Record> {
    fn from(registry: Registry) -> Self {
        registry.records
    }
}

impl Registry {
    /// Fills in every `object` (and every server's fingerprints) of a configuration that becomes this generation. `oldest` is the lowest
    /// generation of which a process lives (`Memory::oldest_generation`), `None` when there is none.
    pub fn assign(
        &mut self,
        config: &mut Config,
        generation: u32,
        oldest: Option<u32>,
    ) -> Assigned {
        let mut assignment = Assignment {
            registry: self,
            generation,
            oldest: oldest.unwrap_or(generation),
            reusable: None,
            reused: Vec::new(),
        };
        assignment.keep_known(config);
        for_each_object(config, |key, object| *object = assignment.number(key));
        for backend in &mut config.backends {
            for server in &mut backend.servers {
                server.fingerprint = standing::fingerprint(&backend.check, server);
                server.agent_fingerprint = standing::agent_fingerprint(server);
            }
        }
        let reused = assignment.reused;
        let objects = self.records.len() as Object;
        Assigned { chunks: objects.div_ceil(OBJECTS_PER_CHUNK), objects, reused }
    }

    /// All objects and what they are called, those no longer configured included.
    pub fn objects(&self) -> impl Iterator<Item = (Object, &ObjectKey)> {
        (0..).zip(self.records.iter().map(|record| &record.key))
    }

    /// The number of an object.
    pub fn find(&self, key: &ObjectKey) -> Option<Object> {
        self.numbers.get(key).copied()
    }
}

/// One run of `assign`.
struct Assignment<'a> {
    registry: &'a mut Registry,
    generation: u32,
    oldest: u32,
    /// Numbers that may be given away, the next one last; found out when first needed.
    reusable: Option<Vec<Object>>,
    reused: Vec<Object>,
}

impl Assignment<'_> {
    /// Marks what the configuration has and the registry knows, so that no new name takes its number.
    fn keep_known(&mut self, config: &mut Config) {
        self.registry.records[0].generation = self.generation;
        for_each_object(config, |key, _| {
            if let Some(number) = self.registry.find(&key) {
                self.registry.records[number as usize].generation = self.generation;
            }
        });
    }

    fn number(&mut self, key: ObjectKey) -> Object {
        if let Some(number) = self.registry.find(&key) {
            return number;
        }
        let record = Record { key: key.clone(), generation: self.generation };
        let next = self.registry.records.len() as Object;
        let needs_chunk = next.is_multiple_of(OBJECTS_PER_CHUNK);
        let number = if let Some(number) = needs_chunk.then(|| self.reuse()).flatten() {
            let old = std::mem::replace(&mut self.registry.records[number as usize], record);
            self.registry.numbers.remove(&old.key);
            self.reused.push(number);
            number
        } else {
            self.registry.records.push(record);
            next
        };
        self.registry.numbers.insert(key, number);
        number
    }

    fn reuse(&mut self) -> Option<Object> {
        let records = &self.registry.records;
        let in_use = self.oldest.min(self.generation);
        self.reusable
            .get_or_insert_with(|| {
                let mut unused: Vec<_> = (0..)
                    .zip(records)
                    .filter(|(_, record)| record.generation < in_use)
                    .map(|(number, record)| (record.generation, number))
                    .collect();
                unused.sort_unstable_by(|a, b| b.cmp(a));
                unused.into_iter().map(|(_, number)| number).collect()
            })
            .pop()
    }
}

/// Visits everything in a configuration that has a place in shared memory.
fn for_each_object(config: &mut Config, mut visit: impl FnMut(ObjectKey, &mut Object)) {
    for frontend in &mut config.frontends {
        visit(ObjectKey::Frontend { name: frontend.name.clone() }, &mut frontend.object);
        let mut seen = HashMap::new();
        for bind in &mut frontend.binds {
            let occurrence = next_occurrence(&mut seen, &bind.written);
            let key = ObjectKey::Bind {
                frontend: frontend.name.clone(),
                written: bind.written.clone(),
                occurrence,
            };
            visit(key, &mut bind.object);
        }
    }
    for backend in &mut config.backends {
        visit(ObjectKey::Backend { name: backend.name.clone() }, &mut backend.object);
        let mut seen = HashMap::new();
        for server in &mut backend.servers {
            let occurrence = next_occurrence(&mut seen, &server.name);
            let key = ObjectKey::Server {
                backend: backend.name.clone(),
                name: server.name.clone(),
                occurrence,
            };
            visit(key, &mut server.object);
        }
    }
}

fn next_occurrence(seen: &mut HashMap<String, u32>, name: &str) -> u32 {
    let count = seen.entry(name.to_owned()).or_insert(0);
    *count += 1;
    *count - 1
}
