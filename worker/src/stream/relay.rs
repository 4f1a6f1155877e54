//! Moving bytes from one side of a stream to the other.
//!
//! Shell: the hot path. A small message costs one receive and one send, touches no tree and no pool:
//! it is read into the worker's scratch buffer and written from there; only what the other side does
//! not take at once is kept, in a buffer of the pool.
//!
//! - Nothing is read while something waits for the other side (back-pressure), nor while the pool
//!   could not keep what might be left over.
//! - A read that filled the scratch buffer is the sign of bulk: with splicing allowed, the direction
//!   moves through a pipe from then on, until EAGAIN on an empty pipe gives the pipe back.
//! - After an edge a short read ends reading, unless the end of the peer's sending was reported;
//!   splice always goes to EAGAIN.
//! - The end of a peer's sending is passed on once everything before it was; a reset is passed on as
//!   a reset at once.
//!
//! Limits: a direction moves at most [`COPY_BUDGET`] or [`SPLICE_BUDGET`] bytes in a row; then it stands in
//! the rounds behind the others.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustix::pipe::{SpliceFlags, splice};

use super::{Pending, Side, StreamKey};
use crate::back::Input;
use crate::descriptor::{READ, WRITE};
use crate::event_loop::Worker;
use crate::poller::FAILED;
use crate::protocol;
use crate::termination::{Cause, Phase, Termination};

/// Bytes copied in a row for one direction.
const COPY_BUDGET: usize = 256 * 1024;
/// Bytes spliced in a row for one direction.
const SPLICE_BUDGET: usize = 4 * 1024 * 1024;
/// Bytes asked of one splice.
const SPLICE_MAX: usize = 1024 * 1024;

/// Why a direction stopped moving for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    /// The source has nothing to read.
    Drained,
    /// The other side takes no more.
    Blocked,
    /// No buffer could be had; it waits for one.
    NoBuffer,
    /// The budget is spent.
    Budget,
    /// The source has ended and everything was passed on.
    Ended,
    /// This side failed.
    Failed(Side, Errno),
}

impl Worker {
    /// Something happened on one side of a stream whose bytes flow.
    pub(crate) fn handle_flow(&mut self, key: StreamKey, side: Side, bits: u8) {
        if bits & WRITE != 0 && self.has_pending(key, side.other()) {
            self.relay(key, side.other());
        }
        if bits & READ != 0 {
            self.relay(key, side);
        }
        if bits & FAILED != 0 {
            self.check_failed(key, side);
        }
    }

    /// Moves what can be moved from this side to the other, and does what follows from it.
    pub(crate) fn relay(&mut self, key: StreamKey, from: Side) {
        let halt = self.pump(key, from);
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
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
                self.buffers.wait(key);
            }
            Halt::Budget => {
                // It may have been stopped while the other side was full.
                let token = source.token;
                self.descriptors.want(token, READ);
                self.descriptors.again(token);
            }
            Halt::Ended => self.pass_end_on(key, from),
            Halt::Failed(side, errno) => self.break_off(key, side, errno),
        }
    }

    fn has_pending(&self, key: StreamKey, side: Side) -> bool {
        self.streams.get(key as usize).is_some_and(|stream| match side {
            Side::Front => !stream.front.pending.is_empty(),
            Side::Back => !stream.back.pending.is_empty(),
        })
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
            if self.flows(key) {
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

    /// The loop of one direction.
    fn pump(&mut self, key: StreamKey, from: Side) -> Halt {
        let Some(stream) = self.streams.get_mut(key as usize) else { return Halt::Drained };
        let now = self.clock.now();
        let (source, sink) = stream.direction(from);
        let mut copied = 0;
        let mut spliced = 0;
        loop {
            // What waits goes first.
            match &mut source.pending {
                Pending::Buffer { buffer, start } => {
                    let Some(to) = self.descriptors.get(sink.token) else { return Halt::Drained };
                    match send(to, &buffer[*start as usize..], SendFlags::NOSIGNAL) {
                        Ok(sent) => {
                            sink.moved = now;
                            *start += sent as u32;
                            if (*start as usize) < buffer.len() {
                                self.descriptors.cant(sink.token, WRITE);
                                return Halt::Blocked;
                            }
                            if let Pending::Buffer { buffer, .. } =
                                std::mem::take(&mut source.pending)
                            {
                                self.buffers.give(buffer);
                            }
                            self.descriptors.stop(sink.token, WRITE);
                        }
                        Err(Errno::AGAIN) => {
                            self.descriptors.cant(sink.token, WRITE);
                            return Halt::Blocked;
                        }
                        Err(Errno::INTR) => continue,
                        Err(errno) => return Halt::Failed(from.other(), errno),
                    }
                }
                Pending::Pipe { pipe, held } if *held > 0 => {
                    let Some(to) = self.descriptors.get(sink.token) else { return Halt::Drained };
                    let more = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                    match splice(&pipe.reader, None, to, None, *held as usize, more) {
                        Ok(sent) => {
                            sink.moved = now;
                            *held -= sent as u32;
                            if *held > 0 {
                                // The socket's buffer is full, or will say so at the next try.
                                continue;
                            }
                            self.descriptors.stop(sink.token, WRITE);
                        }
                        Err(Errno::AGAIN) => {
                            self.descriptors.cant(sink.token, WRITE);
                            return Halt::Blocked;
                        }
                        Err(Errno::INTR) => continue,
                        Err(errno) => return Halt::Failed(from.other(), errno),
                    }
                }
                Pending::Empty | Pending::Pipe { .. } => {}
            }
            if source.ended {
                return Halt::Ended;
            }
            if copied >= COPY_BUDGET || spliced >= SPLICE_BUDGET {
                return Halt::Budget;
            }
            let Some(descriptor) = self.descriptors.get(source.token) else {
                return Halt::Drained;
            };
            if !descriptor.ready(READ) {
                self.pipes.take_back(&mut source.pending);
                return Halt::Drained;
            }
            if source.splice && !source.copy_only {
                if matches!(source.pending, Pending::Empty) {
                    match self.pipes.take() {
                        Some(pipe) => source.pending = Pending::Pipe { pipe, held: 0 },
                        None => source.splice = false,
                    }
                    continue;
                }
                let Pending::Pipe { pipe, held } = &mut source.pending else { continue };
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                match splice(descriptor, None, &pipe.writer, None, SPLICE_MAX, flags) {
                    Ok(0) => source.ended = true,
                    Ok(count) => {
                        *held += count as u32;
                        source.received += count as u64;
                        source.moved = now;
                        spliced += count;
                    }
                    Err(Errno::AGAIN) => {
                        // The pipe is empty here, so it is the socket that has nothing.
                        self.descriptors.cant(source.token, READ);
                    }
                    Err(Errno::INVAL | Errno::NOSYS) => {
                        source.copy_only = true;
                        self.pipes.take_back(&mut source.pending);
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return Halt::Failed(from, errno),
                }
                continue;
            }
            if !self.buffers.can_take() {
                return Halt::NoBuffer;
            }
            let count = match recv(descriptor, &mut self.scratch[..], RecvFlags::empty()) {
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
            source.received += count as u64;
            source.moved = now;
            copied += count;
            if count == self.scratch.len() {
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
