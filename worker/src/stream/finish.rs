//! The end of a stream: everything is given back, and the access log gets its line.
//!
//! Shell. The order is part of the promises: connections are closed before their places in limits are
//! free, so that a server never sees one more than its limit.

use portolan_shared::memory::{INSTANCE, Total};

use super::{NONE, Side, Stream, StreamKey};
use crate::back::Input;
use crate::descriptor::Token;
use crate::event_loop::Worker;
use crate::exchange::Exchange;
use crate::log::{FailureLine, Moment, Peer, failure_level};
use crate::protocol::{self, Address};
use crate::stream::Pending;
use crate::task::NEVER;
use crate::termination::{Cause, Phase, Termination};

impl Worker {
    /// Ends a stream for this reason.
    pub(crate) fn finish(&mut self, key: StreamKey, why: Termination) {
        if self.streams.get(key as usize).is_some_and(|stream| stream.http.is_some()) {
            self.finish_exchange(key, why);
            return;
        }
        self.leave_queue(key);
        self.close_side(key, Side::Back);
        let front = self.streams.get(key as usize).map(|stream| stream.front.token);
        // The line tells how many there were with this one.
        let begun = self.streams.get(key as usize).is_some_and(|stream| stream.header.is_none());
        self.release_server(key);
        self.release_backend(key);
        if begun {
            self.log_stream(key, Moment::End, why);
        } else {
            self.log_failure(key, why);
        }
        self.close_side(key, Side::Front);
        debug_assert!(front.is_none_or(|token| self.descriptors.get(token).is_none()));
        let Some(stream) = self.remove_stream(key) else { return };
        self.tasks.remove(stream.task);
        self.count(&stream, why);
        self.tell_jobs();
        self.release_client(stream.listener);
    }

    /// Takes a stream out of the table and gives back what its sides still held.
    pub(crate) fn remove_stream(&mut self, key: StreamKey) -> Option<Stream> {
        self.empty_sides(key);
        self.streams.try_remove(key as usize)
    }

    /// The same where only its exchange is still of use.
    pub(crate) fn discard_stream(&mut self, key: StreamKey) -> Option<Box<Exchange>> {
        self.empty_sides(key);
        let exchange = self.streams.get_mut(key as usize)?.http.take();
        drop(self.streams.try_remove(key as usize));
        exchange
    }

    fn empty_sides(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        for side in [&mut stream.front, &mut stream.back] {
            match std::mem::take(&mut side.pending) {
                Pending::Buffer { buffer, .. } => self.buffers.give(buffer),
                Pending::Pipe { pipe, held } => self.pipes.give(pipe, held),
                Pending::Empty => {}
            }
        }
    }

    /// Ends every stream that is left, because the process ends.
    pub(crate) fn kill_streams(&mut self) {
        let keys: Vec<StreamKey> = self.streams.iter().map(|(key, _)| key as StreamKey).collect();
        for key in keys {
            let input = if self.flows(key) {
                Input::Over(Termination::new(Cause::Killed, Phase::Data))
            } else {
                Input::Aborted(Cause::Killed)
            };
            self.drive(key, input);
            debug_assert!(!self.streams.contains(key as usize), "every state can be aborted");
        }
    }

    /// Closes one side's connection, if it has one.
    pub(crate) fn close_side(&mut self, key: StreamKey, side: Side) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let (endpoint, _) = stream.direction(side);
        // As after every exchange whose connection was kept.
        if endpoint.token == Token::NONE {
            return;
        }
        let nolinger = match side {
            Side::Front => self.config.frontends[stream.frontend as usize].nolinger,
            Side::Back => self
                .config
                .backends
                .get(stream.backend as usize)
                .is_some_and(|backend| backend.nolinger),
        };
        let (endpoint, _) = stream.direction(side);
        let Some(descriptor) = self.descriptors.remove(endpoint.token) else { return };
        endpoint.token = Token::NONE;
        if nolinger {
            protocol::reset_on_close(&descriptor);
        }
        drop(descriptor);
        endpoint.pending.give_pipe_back(&mut self.pipes);
    }

    /// The line of a stream whose connection to its server stands (in mode http: that has the head of
    /// its response), where it is wanted at once.
    pub(crate) fn log_as_soon_as(&mut self, key: StreamKey) {
        let http = self.streams.get(key as usize).is_some_and(|stream| stream.http.is_some());
        let moment = if http { Moment::Answered } else { Moment::Connected };
        self.log_stream(key, moment, Termination::NORMAL);
    }

    pub(crate) fn release_backend(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        if std::mem::take(&mut stream.holds_backend) {
            self.lane.leave_counted(self.backends[stream.backend as usize].gauge.object);
        }
    }

    pub(crate) fn count(&self, stream: &Stream, why: Termination) {
        let frontend = &self.config.frontends[stream.frontend as usize];
        let backend = self.config.backends.get(stream.backend as usize);
        let server = backend.and_then(|backend| backend.servers.get(stream.server as usize));
        let objects = [
            Some(INSTANCE),
            Some(frontend.object),
            backend.map(|backend| backend.object),
            server.map(|server| server.object),
        ];
        let aborts = match why.cause {
            Cause::Client | Cause::ClientTimeout => Some(Total::ClientAborts),
            Cause::Server | Cause::ServerTimeout => Some(Total::ServerAborts),
            _ => None,
        };
        for object in objects.into_iter().flatten() {
            let tally = self.lane.tally(object);
            tally.add(Total::BytesIn, stream.front.received);
            tally.add(Total::BytesOut, stream.back.received);
            if let Some(aborts) = aborts {
                tally.add(aborts, 1);
            }
        }
    }

    /// The line of a connection that never became a stream: its PROXY header was wrong or late.
    fn log_failure(&mut self, key: StreamKey, why: Termination) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get(key as usize) else { return };
        let frontend = &self.config.frontends[stream.frontend as usize];
        let targets = &self.frontends[stream.frontend as usize].targets;
        let received = stream.header.as_ref().map_or(0, |header| header.bytes.len() as u64);
        if targets.is_empty() {
            return;
        }
        let Some(level) = failure_level(frontend.log_options, received) else { return };
        if frontend.error_log_template.is_some() {
            self.write_error_line(key, level, why);
            return;
        }
        let listener = &self.listeners[stream.listener as usize];
        let bind = &frontend.binds[listener.bind as usize];
        let line = FailureLine {
            client: peer(stream.client, listener.id),
            accepted: self.clock.wall_of(stream.accepted),
            frontend: &frontend.name,
            bind: &bind.name,
            bind_id: bind.id + 1,
            why: match (why.cause, why.phase) {
                (Cause::ClientTimeout, _) => "Timeout during PROXY header",
                (Cause::Client, _) => "Connection closed while waiting for PROXY header",
                (_, Phase::Request) => "Received something which does not look like a PROXY header",
                _ => "Connection error before the stream began",
            },
        };
        let at = self.clock.wall_of(now);
        let write = |clock: &mut _, text: &mut Vec<u8>| line.write(clock, text);
        self.log.sender().push(targets, level, now, at, write);
        self.schedule_logs();
    }

    /// Lines wait for others at most so long.
    pub(crate) fn schedule_logs(&mut self) {
        let due = self.log.sender().due().unwrap_or(NEVER);
        self.tasks.schedule(self.log_task, due);
    }
}

/// A client as the log names it; a UNIX client by the listener it came to.
pub fn peer(address: Address, listener: u32) -> Peer {
    match address {
        Address::Ip(address) => Peer::from(address),
        Address::Unix => Peer::Unix(listener),
    }
}

const _: () = assert!(NONE == u32::MAX, "no configuration has so many backends or servers");
