//! The states of a chunk's objects: written by the checker and the master, only read by workers. Each word
//! has one writer but the version, which both count up, and the verdict, which the master takes back.
//!
//! Shell (creates and maps them).
//!
//! How a change reaches every worker: whoever changes states stores the words, then counts up the
//! version of the backend ([`Memory::bump_states`]), and of every backend with a server that tracks
//! the changed one. Whoever uses them loads the version first, then the words, and again when the
//! version is another: what it has read then is at least as new as the version it remembers.
//!
//! A server's time of change is stored before its verdict, and the fingerprint after it: who sees the
//! fingerprint of its own configuration sees a verdict of that configuration, and who sees a server
//! come up sees since when. Loads go the other way round.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Release, SeqCst};

use super::head::{check_part, write_start};
use super::layout::{self, STATES_MAGIC, STATES_WORDS, state as at};
use super::map::{self, View};
use super::state::{Admin, AgentVerdict, OperatorMaxconn, OperatorWeight, ServerState, Verdict};
use super::{Memory, MemoryError, OBJECTS_PER_CHUNK, Object};

/// The mapped states of one chunk.
#[derive(Debug)]
pub struct States {
    view: View,
    fd: Option<OwnedFd>,
}

impl States {
    pub fn create(identity: u64, number: u32) -> io::Result<Self> {
        let (fd, map) = map::create(&format!("portolan-states-{number}"), STATES_WORDS)?;
        write_start(map.words(), STATES_MAGIC, identity, number.into());
        Ok(Self { view: View::writable(map), fd: Some(fd) })
    }

    pub fn attach(identity: u64, number: u32, fd: OwnedFd) -> Result<Self, MemoryError> {
        let view = map::attach_view(&fd, STATES_WORDS)?;
        check_part(|at| view.load(at), STATES_MAGIC, identity, number)?;
        Ok(Self { view, fd: Some(fd) })
    }

    pub fn descriptor(&self) -> Option<&OwnedFd> {
        self.fd.as_ref()
    }

    pub fn close_descriptor(&mut self) {
        self.fd = None;
    }

    #[inline]
    fn load(&self, object: Object, at: usize) -> u64 {
        self.view.load(layout::state_at(object) + at)
    }

    fn word(&self, object: Object, at: usize) -> Option<&AtomicU64> {
        self.view.words().map(|words| &words[layout::state_at(object) + at])
    }

    fn store(&self, object: Object, at: usize, value: u64) {
        if let Some(word) = self.word(object, at) {
            word.store(value, Release);
        }
    }

    /// Forgets all of an object; the version goes on, so that nobody takes it for the one it knew.
    pub fn clear(&self, object: Object) {
        for at in (0..at::WORDS).filter(|at| *at != at::VERSION) {
            if self.load(object, at) != 0 {
                self.store(object, at, 0);
            }
        }
        if self.load(object, at::VERSION) != 0 {
            self.bump(object);
        }
    }

    fn bump(&self, object: Object) {
        if let Some(version) = self.word(object, at::VERSION) {
            version.fetch_add(1, SeqCst);
        }
    }
}

/// Puts together what the words of a server say, loaded in this order.
pub(super) fn load_server(load: impl Fn(usize) -> u64) -> ServerState {
    let agent_fingerprint = load(at::AGENT_FINGERPRINT);
    let fingerprint = load(at::FINGERPRINT);
    let verdict = Verdict::unpack(load(at::VERDICT));
    let changed_ms = load(at::CHANGED);
    ServerState {
        verdict,
        changed_ms,
        fingerprint,
        agent: AgentVerdict::unpack(
            load(at::AGENT),
            load(at::AGENT_CHECK),
            load(at::AGENT_WEIGHT_AT),
            load(at::AGENT_MAXCONN_AT),
            load(at::AGENT_READY_AT),
        ),
        agent_fingerprint,
        admin: Admin::unpack(load(at::ADMIN), load(at::READY_AT)),
        weight: OperatorWeight::unpack(load(at::WEIGHT), load(at::WEIGHT_AT)),
        maxconn: OperatorMaxconn::unpack(load(at::MAXCONN), load(at::MAXCONN_AT)),
    }
}

/// Takes a verdict apart into words, stored in this order.
pub(super) fn store_verdict(
    store: impl Fn(usize, u64),
    verdict: Verdict,
    changed_ms: u64,
    fingerprint: u64,
) {
    store(at::CHANGED, changed_ms);
    store(at::VERDICT, verdict.pack());
    store(at::FINGERPRINT, fingerprint);
}

/// States of servers. Those who may only read them store nothing.
impl Memory {
    /// Whether this process may write states.
    pub fn may_write_states(&self) -> bool {
        self.states.iter().all(|states| states.view.words().is_some())
    }

    /// A descriptor through which the states of a chunk can be read but not written; for workers.
    pub fn reopen_states(&self, number: u32) -> io::Result<OwnedFd> {
        let states = self.states.get(number as usize).and_then(States::descriptor);
        let states = states.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(map::reopen_for_reading(states)?)
    }

    /// All that is known of a server.
    pub fn server_state(&self, server: Object) -> ServerState {
        let states = self.states(server);
        load_server(|at| states.load(server, at))
    }

    /// How often the states of a backend's servers have changed; to be loaded before they are.
    #[inline]
    pub fn states_version(&self, backend: Object) -> u64 {
        self.states(backend).load(backend, at::VERSION)
    }

    /// Says that states of a backend's servers have changed, after they were stored.
    pub fn bump_states(&self, backend: Object) {
        self.states(backend).bump(backend);
    }

    /// What a check has made of a server, and since when it is up or down (checker).
    pub fn store_verdict(
        &self,
        server: Object,
        verdict: Verdict,
        changed_ms: u64,
        fingerprint: u64,
    ) {
        let states = self.states(server);
        let store = |at, value| states.store(server, at, value);
        store_verdict(store, verdict, changed_ms, fingerprint);
    }

    /// It is as if no check had ever been made of a server: `init_state` counts again (who lets it
    /// out of maintenance).
    pub fn forget_verdict(&self, server: Object) {
        self.states(server).store(server, at::VERDICT, Verdict::default().pack());
    }

    /// What a server's agent wants (checker).
    pub fn store_agent(&self, server: Object, agent: AgentVerdict, agent_fingerprint: u64) {
        let states = self.states(server);
        let (wants, asking) = agent.pack();
        states.store(server, at::AGENT_READY_AT, agent.ready_ms);
        states.store(server, at::AGENT_MAXCONN_AT, agent.maxconn_ms);
        states.store(server, at::AGENT_WEIGHT_AT, agent.weight_ms);
        states.store(server, at::AGENT_CHECK, asking);
        states.store(server, at::AGENT, wants);
        states.store(server, at::AGENT_FINGERPRINT, agent_fingerprint);
    }

    /// What an operator wants of a server (master).
    pub fn store_admin(&self, server: Object, admin: Admin) {
        let states = self.states(server);
        states.store(server, at::READY_AT, admin.ready_ms);
        states.store(server, at::ADMIN, admin.pack());
    }

    /// The weight an operator set; `None`: the configured one again (master).
    pub fn store_weight(&self, server: Object, weight: Option<OperatorWeight>) {
        let states = self.states(server);
        states.store(server, at::WEIGHT_AT, weight.map_or(0, |weight| weight.set_ms));
        states.store(server, at::WEIGHT, OperatorWeight::pack(weight));
    }

    /// The limit an operator set; `None`: the configured one again (master).
    pub fn store_maxconn(&self, server: Object, maxconn: Option<OperatorMaxconn>) {
        let states = self.states(server);
        states.store(server, at::MAXCONN_AT, maxconn.map_or(0, |maxconn| maxconn.set_ms));
        states.store(server, at::MAXCONN, OperatorMaxconn::pack(maxconn));
    }

    #[inline]
    fn states(&self, object: Object) -> &States {
        &self.states[(object / OBJECTS_PER_CHUNK) as usize]
    }
}
