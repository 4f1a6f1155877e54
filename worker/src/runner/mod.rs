//! The runner: runs the commands of external checks for the checker, as a process of its own.
//!
//! Shell. The checker says whose check is due, the runner's own copy of the configuration says what is
//! run: a checker that was taken over runs nothing that the operator has not named.
//!
//! - It is confined before it hears of any command (`privileges::runner`), and every command inherits that:
//!   no new privileges, no capabilities, writing below a few directories only, a filter of system calls.
//!   Each command has limits of its own beside (`commands`).
//! - The pair to the checker ends: what runs is killed. The master gives both a new pair.
//! - The channel to the master ends, or an order to stop comes: everything is killed, it leaves.
//!
//! Limits: [`ORDERS_MAX`] orders of the checker in one cycle; as many commands wait as there are servers,
//! for a checker asks for one per server at a time.

pub mod commands;
pub mod environment;

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::Signal;
use portolan_shared::channel::{Channel, ChannelError};
use portolan_shared::log::{Log, monotonic_ms};
use portolan_shared::memory::OwnLane;
use portolan_shared::message::runner::{CommandEnd, FromRunner, ToRunner};
use portolan_shared::message::{Hello, Life, Query, StartStep, ToMaster, ToWorker};
use portolan_shared::model::{BackendId, CheckKind, Config, LogLevel, ServerId};
use portolan_shared::signal::Signals;
use portolan_shared::sys::title;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::adopt;
use crate::clock::Millis;
use crate::confined::Confined;
use crate::event_loop::BEAT_MS;
use crate::privileges::{self, Refusal};
use crate::start::{Basis, Told, refuse, understand};
use commands::{Commands, Request};

/// Most orders taken from the checker in one cycle: the master's, and what has ended, come in between.
const ORDERS_MAX: usize = 256;

/// Everything one runner has.
#[derive(Debug)]
pub struct Runner {
    hello: Hello,
    /// How it is confined.
    confined: Confined,
    config: Config,
    lane: OwnLane,
    log: Log,
    channel: Channel,
    signals: Signals,
    /// To the checker.
    peer: Option<Channel>,
    commands: Commands,
    /// Most commands that wait: one for each server.
    waiting_max: usize,
    /// Commands asked for so far.
    asked: u64,
    leaving: bool,
}

/// Becomes a runner and is one until its work is done.
pub(crate) fn start(told: Told, mut channel: Channel) -> ExitCode {
    let (basis, peer) = match become_runner(told) {
        Ok(parts) => parts,
        Err(refusal) => return refuse(&mut channel, &refusal),
    };
    match Runner::new(basis, channel, peer) {
        Ok(mut runner) => {
            title::set(&runner.name());
            match privileges::runner(&runner.config.process) {
                Ok(report) => runner.confined = Confined::new(report),
                Err(refusal) => return refuse(&mut runner.channel, &refusal),
            }
            runner.confined.tell_lack(&mut runner.log);
            runner.tell(&ToMaster::Ready);
            runner.run()
        }
        Err((mut channel, refusal)) => refuse(&mut channel, &refusal),
    }
}

fn become_runner(mut told: Told) -> Result<(Basis, Option<OwnedFd>), Refusal> {
    let mut basis = understand(&mut told)?;
    basis.log.speak_as("runner");
    Ok((basis, told.peer))
}

impl Runner {
    /// A runner that has not said so yet.
    pub(crate) fn new(
        basis: Basis,
        channel: Channel,
        peer: Option<OwnedFd>,
    ) -> Result<Self, (Channel, Refusal)> {
        let Basis { hello, config, lane, log } = basis;
        let waiting_max = config.backends.iter().map(|backend| backend.servers.len()).sum();
        match Signals::new() {
            Ok(signals) => Ok(Self {
                hello,
                confined: Confined::default(),
                config,
                lane,
                log,
                channel,
                signals,
                peer: peer.map(Channel::from),
                commands: Commands::default(),
                waiting_max,
                asked: 0,
                leaving: false,
            }),
            Err(error) => Err((channel, (StartStep::Setup, error.to_string()))),
        }
    }

    fn run(&mut self) -> ExitCode {
        while !self.leaving {
            self.turn_once(Duration::from_millis(BEAT_MS));
        }
        self.commands.cancel_all();
        self.log.finish(Duration::from_millis(200));
        // The master sees the end of the process itself.
        let _ = self.channel.flush();
        ExitCode::SUCCESS
    }

    /// One cycle, which waits at most so long.
    pub(crate) fn turn_once(&mut self, longest: Duration) {
        self.wait(longest);
        self.lane.beat();
        self.handle_signals();
        self.handle_channel();
        self.handle_peer();
        for ended in self.commands.look(monotonic_ms()) {
            self.answer(&ended);
        }
        self.log.flush(monotonic_ms());
    }

    /// Until something has happened or is due.
    fn wait(&mut self, longest: Duration) {
        let until =
            |deadline: Millis| Duration::from_millis(deadline.saturating_sub(monotonic_ms()));
        let deadlines = [self.commands.next_deadline(), self.log.due(monotonic_ms())];
        let longest = deadlines.into_iter().flatten().map(until).fold(longest, Duration::min);
        let both = |channel: &Channel| {
            if channel.wants_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
        };
        let mut list = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.channel, both(&self.channel)),
        ];
        list.extend(self.peer.as_ref().map(|peer| PollFd::new(peer, both(peer))));
        list.extend(self.commands.watched().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let timeout =
            Timespec { tv_sec: longest.as_secs() as i64, tv_nsec: longest.subsec_nanos().into() };
        // Interrupted: the loop looks at everything anyway.
        let _ = poll(&mut list, Some(&timeout));
    }

    fn handle_signals(&mut self) {
        for signal in self.signals.take() {
            match signal {
                Signal::SIGUSR1 if !self.leaving => {
                    self.tell(&ToMaster::Leaving);
                    self.leaving = true;
                }
                Signal::SIGQUIT => self.dump(),
                // The order comes over the channel.
                _ => {}
            }
        }
    }

    fn handle_channel(&mut self) {
        // A master that does not read is no reason to stop running commands.
        let _ = self.channel.flush();
        loop {
            match self.channel.receive::<ToWorker>() {
                Ok(Some(mut received)) => {
                    self.obey(&received.message, received.descriptors.pop());
                }
                Ok(None) => break,
                Err(ChannelError::Closed) => {
                    self.leaving = true;
                    break;
                }
                Err(error) => {
                    let text = format_args!("an order was not understood: {error}");
                    self.log.say(LogLevel::Err, text);
                    if matches!(error, ChannelError::Io(_)) {
                        break;
                    }
                }
            }
        }
    }

    fn obey(&mut self, message: &ToWorker, descriptor: Option<OwnedFd>) {
        match *message {
            ToWorker::SoftStop | ToWorker::HardStop => self.leaving = true,
            ToWorker::RunnerPeer => {
                self.commands.cancel_all();
                self.peer = descriptor.map(Channel::from);
            }
            ToWorker::LogSocket { endpoint } => {
                if let Some(socket) = descriptor {
                    self.log.attach(endpoint, socket);
                }
            }
            ToWorker::Dump => self.dump(),
            ToWorker::Adopt { nonce, master_pid } => {
                self.hello.master_pid = master_pid;
                self.tell(&adopt::answer(&self.hello, nonce, Life::Serving));
            }
            ToWorker::Query { id, what } => {
                let text = match what {
                    Query::Activity => self.show_activity(),
                    Query::Sandbox => self.confined.show(&self.name()),
                    _ => String::new(),
                };
                self.tell(&ToMaster::Reply { id, text, last: true });
            }
            // It has no listeners and no servers, and rings nobody.
            _ => {}
        }
    }

    fn tell(&mut self, message: &ToMaster) {
        if let Err(error) = self.channel.send(message, &[])
            && !matches!(error, ChannelError::Closed)
        {
            self.log.say(LogLevel::Err, format_args!("the master was not told: {error}"));
        }
    }

    /// Takes what the checker asks for.
    fn handle_peer(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        let mut asked = Vec::new();
        let end = peer.flush().err().or_else(|| {
            // The poller tells again of what is left.
            while asked.len() < ORDERS_MAX {
                match peer.receive::<ToRunner>() {
                    Ok(Some(received)) => asked.push(received.message),
                    Ok(None) => return None,
                    Err(error) => return Some(error),
                }
            }
            None
        });
        for order in asked {
            self.take(order);
        }
        if let Some(error) = end {
            if !matches!(error, ChannelError::Closed) {
                self.log.say(LogLevel::Err, format_args!("the checker is not understood: {error}"));
            }
            self.commands.cancel_all();
            self.peer = None;
        }
    }

    fn take(&mut self, order: ToRunner) {
        match order {
            ToRunner::Run { id, backend, server, connections, timeout_ms } => {
                self.asked += 1;
                let deadline = monotonic_ms() + Millis::from(timeout_ms);
                let ended = |end| Some(FromRunner::Ended { id, end });
                let (_, waiting) = self.commands.len();
                let answer = match self.request(id, (backend, server), connections, deadline) {
                    None => ended(CommandEnd::NotStarted {
                        reason: "the configuration names no command for it".to_owned(),
                    }),
                    Some(_) if waiting >= self.waiting_max => {
                        ended(CommandEnd::Lacking { reason: "too many wait already".to_owned() })
                    }
                    Some(request) => self.commands.ask(request),
                };
                if let Some(answer) = answer {
                    self.answer(&answer);
                }
            }
            ToRunner::Cancel { id } => self.commands.cancel(id),
        }
    }

    /// What the configuration says is to be run for this server, if it does and that is allowed.
    fn request(
        &self,
        id: u64,
        (backend, server): (BackendId, ServerId),
        connections: u32,
        deadline: Millis,
    ) -> Option<Request> {
        let of = self.config.backends.get(backend as usize)?;
        let CheckKind::External { command, path } = &of.check.kind else { return None };
        let server = of.servers.get(server as usize)?;
        if !self.config.process.external_check || server.health.check.is_none() {
            return None;
        }
        let told = environment::of(&self.config, backend, server, path, connections);
        Some(Request { id, command: command.clone(), told, deadline })
    }

    fn answer(&mut self, answer: &FromRunner) {
        if let Some(peer) = &mut self.peer
            && peer.send(answer, &[]).is_err()
        {
            // Gone, or it reads nothing: either way it will get a new pair.
            self.commands.cancel_all();
            self.peer = None;
        }
    }

    fn show_activity(&self) -> String {
        let (running, waiting) = self.commands.len();
        format!(
            "runner: {}\ncommands_asked: {}\ncommands_running: {running}\ncommands_waiting: {waiting}\n",
            self.name(),
            self.asked
        )
    }

    fn dump(&mut self) {
        for line in self.show_activity().lines() {
            self.log.say(LogLevel::Notice, format_args!("{line}"));
        }
    }

    /// As `ps` shows it.
    fn name(&self) -> String {
        format!("portolan: runner gen {}", self.hello.generation)
    }
}

#[cfg(test)]
mod tests;
