//! Moving bytes from one side of a stream to the other.
//!
//! Shell: the hot path. A small message costs one receive and one send, touches no tree and no pool:
//! it is read into the worker's scratch buffer and written from there; only what the other side does
//! not take at once is kept, in a buffer of the pool.
//!
//! - Nothing is read while something waits for the other side (back-pressure). While the pool could
//!   not keep what might be left over, only so much is taken as the other side takes at once: streams
//!   that hold every buffer do not hold up the others.
//! - A read that filled the scratch buffer is the sign of bulk: with splicing allowed, the direction
//!   moves through a pipe from then on, until EAGAIN on an empty pipe gives the pipe back.
//! - After an edge a short read ends reading, unless the end of the peer's sending was reported;
//!   splice always goes to EAGAIN.
//! - The end of a peer's sending is passed on once everything before it was; a reset is passed on as
//!   a reset at once, behind what came before it.
//!
//! Limits: a direction moves at most [`COPY_BUDGET`] or [`SPLICE_BUDGET`] bytes in a row; then it stands in
//! the rounds behind the others.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustix::pipe::{SpliceFlags, splice};

use super::{Endpoint, Pending, Side, StreamKey};
use crate::back::Input;
use crate::clock::Millis;
use crate::descriptor::{Descriptor, Descriptors, READ, WRITE};
use crate::event_loop::Worker;
use crate::poller::FAILED;
use crate::pool::Buffers;
use crate::protocol;
use crate::termination::{Cause, Phase, Termination};

/// Bytes copied in a row for one direction.
pub(crate) const COPY_BUDGET: usize = 256 * 1024;
/// Bytes spliced in a row for one direction.
const SPLICE_BUDGET: usize = 4 * 1024 * 1024;
/// Bytes asked of one splice.
const SPLICE_MAX: usize = 1024 * 1024;

/// Why a direction stopped moving for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The source has nothing to read.
    Drained,
    /// The other side takes no more.
    Blocked,
    /// No buffer could be had; it waits for one, or for the other side to take what it can at once.
    NoBuffer,
    /// The budget is spent.
    Budget,
    /// The source has ended and everything was passed on.
    Ended,
    /// This side failed.
    Failed(Side, Errno),
    /// What came is no content of its kind.
    Malformed,
}

impl Worker {
    /// Something happened on one side of a stream whose bytes flow.
    pub(crate) fn handle_flow(&mut self, key: StreamKey, side: Side, bits: u8) {
        // Reading first: where writing fails, what the other one had said before is not lost.
        if bits & READ != 0 {
            self.relay(key, side);
        }
        if bits & WRITE != 0 && self.waits_to_write(key, side.other()) {
            self.relay(key, side.other());
            self.rest(key);
        }
        if bits & FAILED != 0 {
            self.check_failed(key, side);
        }
    }

    /// Moves what can be moved from this side to the other, and does what follows from it.
    pub(crate) fn relay(&mut self, key: StreamKey, from: Side) {
        let http = self.is_exchange(key);
        let Some(stream) = self.streams.get(key as usize) else { return };
        let before = stream.front.received;
        let halt = if http && self.is_chunked(key, from) {
            self.pump_chunks(key, from)
        } else {
            self.pump(key, from)
        };
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let task = stream.task;
        if let Some(exchange) = &mut stream.http {
            // What has gone past `out` cannot be sent once more.
            exchange.unrepeatable |= stream.front.received != before;
        }
        let (source, sink) = stream.direction(from);
        match halt {
            Halt::Drained => self.descriptors.want(source.token, READ),
            Halt::Blocked => {
                self.descriptors.stop(source.token, READ);
                self.descriptors.want(sink.token, WRITE);
                self.rest(key);
            }
            Halt::NoBuffer => {
                self.descriptors.stop(source.token, READ);
                self.descriptors.want(sink.token, WRITE);
                self.buffers.wait(task);
            }
            Halt::Budget => {
                // It may have been stopped while the other side was full.
                let token = source.token;
                self.descriptors.want(token, READ);
                self.descriptors.again(token);
            }
            Halt::Ended if http => self.content_ended(key, from),
            Halt::Ended => self.pass_end_on(key, from),
            Halt::Malformed => self.content_malformed(key, from),
            Halt::Failed(side, _) if http => self.content_failed(key, side, side == from),
            Halt::Failed(side, errno) => {
                if side != from {
                    self.hear_out(key, side);
                }
                self.break_off(key, side, errno);
            }
        }
    }

    /// A side cannot be written to any more; what it had said before is passed on as far as one turn
    /// goes.
    fn hear_out(&mut self, key: StreamKey, side: Side) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let (source, _) = stream.direction(side);
        let token = source.token;
        if let Some(descriptor) = self.descriptors.get_mut(token) {
            descriptor.hung = true;
            self.descriptors.may(token, READ);
            // Whatever stops it, nothing more can come.
            let _ = self.pump(key, side);
        }
    }

    /// Whether this side has something for the other: bytes read from it, or bytes that were left in
    /// the kernel for lack of a buffer.
    pub(crate) fn waits_to_write(&self, key: StreamKey, side: Side) -> bool {
        let Some(stream) = self.streams.get(key as usize) else { return false };
        let endpoint = match side {
            Side::Front => &stream.front,
            Side::Back => &stream.back,
        };
        let left = |descriptor: &Descriptor| {
            let (want, ready) = descriptor.state();
            ready & !want & READ != 0
        };
        !endpoint.pending.is_empty()
            || (!endpoint.ended && self.descriptors.get(endpoint.token).is_some_and(left))
    }

    /// One side ended its sending and everything it sent was passed on: so is the end, unless both
    /// have ended now.
    fn pass_end_on(&mut self, key: StreamKey, from: Side) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let (source, sink) = stream.direction(from);
        self.descriptors.stop(source.token, READ);
        if sink.ended && sink.pending.is_empty() {
            self.drive(key, Input::Over(Termination::NORMAL));
            return;
        }
        if !std::mem::replace(&mut sink.shut, true)
            && let Some(descriptor) = self.descriptors.get(sink.token)
        {
            // A peer that is gone meanwhile is reported as such by its own side.
            let _ = shutdown(descriptor, Shutdown::Write);
        }
        self.rest(key);
    }

    /// A connection failed: the other one is broken off the same way.
    fn break_off(&mut self, key: StreamKey, side: Side, errno: Errno) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let cause = match side {
            Side::Front => Cause::Client,
            Side::Back => Cause::Server,
        };
        let (_, other) = stream.direction(side);
        if matches!(errno, Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED | Errno::TIMEDOUT)
            && let Some(descriptor) = self.descriptors.get(other.token)
        {
            protocol::reset_on_close(descriptor);
        }
        self.drive(key, Input::Over(Termination::new(cause, Phase::Data)));
    }

    /// Asks every connection for its error, where the poller does not report any.
    pub(crate) fn look_for_failures(&mut self) {
        let keys: Vec<StreamKey> = self.streams.iter().map(|(key, _)| key as StreamKey).collect();
        for key in keys {
            if self.is_moving(key) {
                continue;
            }
            if self.flows(key) && self.is_exchange(key) {
                // A server's failure is found when it is read: it may have answered before.
                self.check_failed_client(key);
            } else if self.flows(key) {
                self.check_failed(key, Side::Front);
                self.check_failed(key, Side::Back);
            } else if let Some(stream) = self.streams.get(key as usize)
                && let Some(descriptor) = self.descriptors.get(stream.front.token)
                && protocol::pending_error(descriptor).is_some()
            {
                self.drive(key, Input::Aborted(Cause::Client));
            }
        }
    }

    /// An error was reported while nothing is read from this side, so that no call would tell.
    fn check_failed(&mut self, key: StreamKey, side: Side) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let (source, _) = stream.direction(side);
        let error = self.descriptors.get(source.token).and_then(protocol::pending_error);
        if let Some(errno) = error {
            self.break_off(key, side, errno);
        }
    }

    /// Moves what has come while the loop could not look, before a clock is believed that says that
    /// nothing did.
    pub(crate) fn look_again(&mut self, key: StreamKey) {
        for side in [Side::Front, Side::Back] {
            let Some(stream) = self.streams.get_mut(key as usize) else { return };
            let (source, _) = stream.direction(side);
            let token = source.token;
            self.descriptors.may(token, READ);
            self.look_at(key, side);
        }
    }

    /// Gives what waits on a side to the other one; why not all of it.
    pub(crate) fn flush(&mut self, key: StreamKey, from: Side) -> Option<Halt> {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return Some(Halt::Drained) };
        let (source, sink) = stream.direction(from);
        give_pending(source, sink, from, now, &mut self.descriptors, &mut self.buffers)
    }

    /// Whether a stream is an exchange of mode http, and no tunnel.
    pub(crate) fn is_exchange(&self, key: StreamKey) -> bool {
        let exchange = self.streams.get(key as usize).and_then(|stream| stream.http.as_deref());
        exchange.is_some_and(|exchange| !exchange.tunnel)
    }

    /// Reads what a side may have said.
    fn look_at(&mut self, key: StreamKey, side: Side) {
        if !self.is_exchange(key) {
            self.relay(key, side);
        } else if side == Side::Front && self.exchange(key).is_some_and(|it| it.request_read()) {
            self.check_waiting_client(key);
        } else {
            self.go_on(key, side);
        }
    }

    /// The loop of one direction.
    fn pump(&mut self, key: StreamKey, from: Side) -> Halt {
        let Some(stream) = self.streams.get_mut(key as usize) else { return Halt::Drained };
        let now = self.clock.now();
        let client = stream.client.ip();
        let (source, sink) = stream.direction(from);
        let mut copied = 0;
        let mut spliced = 0;
        // The next bytes cannot be spliced.
        let mut by_copy = false;
        loop {
            // What waits goes first.
            if !matches!(source.pending, Pending::Empty)
                && let Some(halt) =
                    give_pending(source, sink, from, now, &mut self.descriptors, &mut self.buffers)
            {
                return halt;
            }
            source.ended |= source.limit == 0;
            if source.ended {
                source.pending.give_pipe_back(&mut self.pipes);
                return Halt::Ended;
            }
            if copied >= COPY_BUDGET || spliced >= SPLICE_BUDGET {
                return Halt::Budget;
            }
            let Some(descriptor) = self.descriptors.get(source.token) else {
                return Halt::Drained;
            };
            if !descriptor.ready(READ) {
                source.pending.give_pipe_back(&mut self.pipes);
                return Halt::Drained;
            }
            if source.splice && !source.copy_only && !by_copy {
                if matches!(source.pending, Pending::Empty) {
                    match self.pipes.take() {
                        Some(pipe) => source.pending = Pending::Pipe { pipe, held: 0 },
                        None => source.splice = false,
                    }
                    continue;
                }
                let Pending::Pipe { pipe, held } = &mut source.pending else { continue };
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                let most = SPLICE_MAX.min(usize::try_from(source.limit).unwrap_or(SPLICE_MAX));
                match splice(descriptor, None, &pipe.writer, None, most, flags) {
                    Ok(0) => source.ended = true,
                    Ok(count) => {
                        *held += count as u32;
                        source.received += count as u64;
                        source.limit -= count as u64;
                        source.moved = now;
                        spliced += count;
                    }
                    // The pipe is empty here, so it is the socket that has nothing to splice; there
                    // may be urgent data in the way, which only copying goes past.
                    Err(Errno::AGAIN) if spliced == 0 || descriptor.hung => {
                        by_copy = true;
                        source.pending.give_pipe_back(&mut self.pipes);
                    }
                    Err(Errno::AGAIN) => self.descriptors.cant(source.token, READ),
                    Err(Errno::INVAL | Errno::NOSYS) => {
                        source.copy_only = true;
                        source.pending.give_pipe_back(&mut self.pipes);
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return Halt::Failed(from, errno),
                }
                continue;
            }
            // One that came full from another process, where what follows is copied.
            source.pending.give_pipe_back(&mut self.pipes);
            if !self.buffers.can_take() {
                let Some(to) = self.descriptors.get(sink.token) else { return Halt::Drained };
                let room = self.scratch.len();
                let room = room.min(usize::try_from(source.limit).unwrap_or(room));
                match pass_at_once(descriptor, to, &mut self.scratch[..room]) {
                    Ok((0, _)) => source.ended = true,
                    Ok((there, sent)) => {
                        self.scratch.note(there, now, from.peer(), client);
                        source.received += sent as u64;
                        source.limit -= sent as u64;
                        (source.moved, sink.moved) = (now, now);
                        copied += sent;
                        if sent < there {
                            self.descriptors.cant(sink.token, WRITE);
                            return Halt::NoBuffer;
                        }
                        self.descriptors.stop(sink.token, WRITE);
                    }
                    Err(Refused::Source(Errno::INTR) | Refused::Sink(Errno::INTR)) => {}
                    Err(Refused::Source(Errno::AGAIN)) => {
                        self.descriptors.cant(source.token, READ);
                    }
                    Err(Refused::Sink(Errno::AGAIN)) => {
                        self.descriptors.cant(sink.token, WRITE);
                        return Halt::NoBuffer;
                    }
                    Err(Refused::Source(errno)) => return Halt::Failed(from, errno),
                    Err(Refused::Sink(errno)) => return Halt::Failed(from.other(), errno),
                }
                continue;
            }
            let room = self.scratch.len();
            let room = room.min(usize::try_from(source.limit).unwrap_or(room));
            let count = match recv(descriptor, &mut self.scratch[..room], RecvFlags::empty()) {
                Ok((0, _)) => {
                    source.ended = true;
                    continue;
                }
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => {
                    self.descriptors.cant(source.token, READ);
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(errno) => return Halt::Failed(from, errno),
            };
            self.scratch.note(count, now, from.peer(), client);
            by_copy = false;
            source.received += count as u64;
            source.limit -= count as u64;
            source.moved = now;
            copied += count;
            if count == room {
                source.splice |= source.splice_allowed;
            } else if !descriptor.hung {
                self.descriptors.cant(source.token, READ);
            }
            let Some(to) = self.descriptors.get(sink.token) else { return Halt::Drained };
            let sent = match send(to, &self.scratch[..count], SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    sink.moved = now;
                    sent
                }
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(errno) => return Halt::Failed(from.other(), errno),
            };
            if sent < count
                && let Some(buffer) = self.buffers.take_filled(&self.scratch[sent..count])
            {
                source.pending = Pending::Buffer { buffer, start: 0 };
            }
        }
    }
}

/// Gives what was read from a side and waits to the other one, as far as that takes it; why not all
/// of it, where some is left.
fn give_pending(
    source: &mut Endpoint,
    sink: &mut Endpoint,
    from: Side,
    now: Millis,
    descriptors: &mut Descriptors,
    buffers: &mut Buffers,
) -> Option<Halt> {
    loop {
        let Some(to) = descriptors.get(sink.token) else { return Some(Halt::Drained) };
        let result = match &mut source.pending {
            Pending::Buffer { buffer, start } => {
                send(to, &buffer[*start as usize..], SendFlags::NOSIGNAL)
            }
            Pending::Pipe { pipe, held } if *held > 0 => {
                let more = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                splice(&pipe.reader, None, to, None, *held as usize, more)
            }
            Pending::Empty | Pending::Pipe { .. } => return None,
        };
        let sent = match result {
            Ok(sent) => sent,
            Err(Errno::AGAIN) => {
                descriptors.cant(sink.token, WRITE);
                return Some(Halt::Blocked);
            }
            Err(Errno::INTR) => continue,
            Err(errno) => return Some(Halt::Failed(from.other(), errno)),
        };
        sink.moved = now;
        match &mut source.pending {
            Pending::Buffer { buffer, start } => {
                *start += sent as u32;
                if (*start as usize) < buffer.len() {
                    descriptors.cant(sink.token, WRITE);
                    return Some(Halt::Blocked);
                }
                if let Pending::Buffer { buffer, .. } = std::mem::take(&mut source.pending) {
                    buffers.give(buffer);
                }
            }
            Pending::Pipe { held, .. } => {
                *held -= sent as u32;
                if *held > 0 {
                    // The socket's buffer is full, or will say so at the next try.
                    continue;
                }
            }
            Pending::Empty => {}
        }
        // It is heard again from now on.
        source.moved = now;
        descriptors.stop(sink.token, WRITE);
        return None;
    }
}

/// Which of two connections refused.
enum Refused {
    Source(Errno),
    Sink(Errno),
}

/// Passes on what the sink takes at once and leaves the rest in the kernel: how many bytes were there,
/// and how many of them were passed on.
fn pass_at_once(
    source: &Descriptor,
    sink: &Descriptor,
    scratch: &mut [u8],
) -> Result<(usize, usize), Refused> {
    let (there, _) = recv(source, &mut *scratch, RecvFlags::PEEK).map_err(Refused::Source)?;
    if there == 0 {
        return Ok((0, 0));
    }
    let sent = send(sink, &scratch[..there], SendFlags::NOSIGNAL).map_err(Refused::Sink)?;
    // The kernel gives what it has shown.
    recv(source, &mut scratch[..sent], RecvFlags::empty()).map_err(Refused::Source)?;
    Ok((there, sent))
}
