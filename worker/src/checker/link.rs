//! The way to the runner, and to those who wait for a verdict.
//!
//! Shell.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use portolan_shared::channel::{Channel, ChannelError};
use portolan_shared::memory::Lane;
use portolan_shared::message::runner::{FromRunner, ToRunner};
use portolan_shared::model::{Config, ServerAddress};

use super::farms::At;
use super::watch::Kind;
use super::{Checker, Key, Owner};
use crate::check::Context;
use crate::check::lines::ServerState;
use crate::descriptor::{READ, Token, Trigger, WRITE};

/// The end of a socketpair whose other end the runner has.
#[derive(Debug)]
pub struct Runner {
    channel: Channel,
    token: Token,
}

/// What texts of a check can tell of its server.
pub struct Scene {
    config: Rc<Config>,
    hostname: Rc<str>,
    at: At,
    running: bool,
    state: Option<String>,
}

impl Scene {
    /// The same, borrowed.
    pub fn context(&self) -> Context<'_> {
        let backend = &self.config.backends[self.at.backend as usize];
        let server = &backend.servers[self.at.server as usize];
        Context {
            backend: &backend.name,
            backend_id: self.at.backend + 1,
            server: &server.name,
            server_id: server.id,
            hostname: &self.hostname,
            running: self.running,
            state: self.state.as_deref(),
        }
    }
}

impl Checker {
    /// What can be told of a watch's server at this moment.
    pub(super) fn scene(&self, key: Key) -> Scene {
        let watch = &self.watches[key as usize];
        let sends = self.config.backends[watch.at.backend as usize].check.send_state;
        Scene {
            config: Rc::clone(&self.config),
            hostname: Rc::clone(&self.hostname),
            at: watch.at,
            running: self.farms.known(watch.at).up,
            state: (sends && watch.kind == Kind::Check).then(|| self.state_text(key)),
        }
    }

    fn state_text(&self, key: Key) -> String {
        let watch = &self.watches[key as usize];
        let backend = &self.config.backends[watch.at.backend as usize];
        let server = &backend.servers[watch.at.server as usize];
        let memory = self.lane.memory();
        let known = self.farms.known(watch.at);
        let (address, port) = match &server.address {
            ServerAddress::Tcp(address) => (address.ip().to_string(), Some(address.port())),
            ServerAddress::TcpClientPort { ip, .. } => (ip.to_string(), Some(0)),
            ServerAddress::Unix(_) => ("unix".to_owned(), None),
            ServerAddress::Unresolved { name } => (name.clone(), Some(0)),
        };
        let all = u32::try_from(self.farms.weight(watch.at.backend)).unwrap_or(u32::MAX);
        let state = ServerState {
            counter: watch.judge.counter(),
            operational: known.operational,
            address: &address,
            port,
            backend: &backend.name,
            server: &server.name,
            node: &self.hostname,
            weight: (known.weight, all),
            sessions: (memory.current(server.object), memory.current(backend.object)),
            queued: memory.waiting(server.object),
            throttle_percent: None,
        };
        state.to_string()
    }

    /// Takes the end of a new pair; what went over the one before is lost.
    pub(super) fn join_runner(&mut self, end: OwnedFd) -> std::io::Result<()> {
        if self.runner.is_some() {
            self.lose_runner("it was replaced");
        }
        let watched = end.try_clone()?;
        let token = self.descriptors.insert(watched, Owner::Runner, Trigger::Level);
        self.descriptors.want(token, READ);
        self.runner = Some(Runner { channel: Channel::from(end), token });
        Ok(())
    }

    /// The pair's other end is gone, or of no use.
    pub(super) fn forget_runner(&mut self) {
        let Some(runner) = self.runner.take() else { return };
        if let Some(descriptor) = self.descriptors.remove(runner.token) {
            // The channel keeps it open a moment longer than the poller may know of it.
            self.poller.forget(&descriptor);
        }
    }

    /// Asks the runner something.
    pub(super) fn tell_runner(&mut self, message: &ToRunner) {
        let Some(runner) = &mut self.runner else { return };
        let sent = runner.channel.send(message, &[]);
        self.mind_runner(sent.err());
    }

    /// Reads what the runner says.
    pub(super) fn handle_runner(&mut self) {
        let Some(runner) = &mut self.runner else { return };
        let mut answers = Vec::new();
        let error = runner.channel.flush().err().or_else(|| {
            loop {
                match runner.channel.receive::<FromRunner>() {
                    Ok(Some(received)) => answers.push(received.message),
                    Ok(None) => return None,
                    Err(error) => return Some(error),
                }
            }
        });
        for answer in answers {
            self.hear_runner(&answer);
        }
        self.mind_runner(error);
    }

    fn mind_runner(&mut self, error: Option<ChannelError>) {
        match (error, &self.runner) {
            (Some(error), Some(_)) => self.lose_runner(&error.to_string()),
            (None, Some(runner)) if runner.channel.wants_write() => {
                self.descriptors.want(runner.token, WRITE);
            }
            (None, Some(runner)) => self.descriptors.stop(runner.token, WRITE),
            (_, None) => {}
        }
    }

    /// Rings everybody, if a server is not what it was in this cycle.
    pub(super) fn ring_bells(&mut self) {
        if !std::mem::take(&mut self.rings) {
            return;
        }
        let own = self.lane.number();
        let live: Vec<Lane> = self.lane.memory().lanes_live().filter(|lane| *lane != own).collect();
        for doorbell in live.iter().filter_map(|lane| self.doorbells.get(lane)) {
            self.activity.rings += 1;
            // A full counter means that it was rung often enough already.
            let _ = rustix::io::write(doorbell, &1_u64.to_ne_bytes());
        }
    }
}
