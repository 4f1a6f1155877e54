//! One endpoint's queue and the descriptor it empties into, never blocking.
//!
//! Shell. How a descriptor is written to without blocking depends on what it is, because a flag set
//! on a shared one (stdout) would change it for everybody who has it:
//!
//! | descriptor | written with |
//! | --- | --- |
//! | datagram socket | sendmmsg, a line a datagram, MSG_DONTWAIT |
//! | stream socket | send with MSG_DONTWAIT |
//! | regular file | write, which does not wait for readers |
//! | pipe or terminal that we opened anew (O_NONBLOCK is then ours alone) | write |
//! | another pipe or terminal | pwritev2 with RWF_NOWAIT, or where the kernel cannot do that here: poll, then at most PIPE_BUF bytes |
//!
//! To a stream go whole lines, at most PIPE_BUF bytes together, so that lines of several processes do
//! not mix.

use std::fmt;
use std::io::IoSlice;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::io::{Errno, ReadWriteFlags, pwritev2, write};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketType, send, sendmmsg, sockopt};

use super::clock::Millis;
use super::queue::Queue;
use super::sender::{BATCH_LINES_MAX, LATE_MAX_MS};
use crate::model::LogEndpoint;

/// Bytes that a pipe takes whole or not at all (PIPE_BUF).
const ATOMIC_BYTES: usize = 4096;
/// System calls of one flush; a dead UDP daemon costs one per line.
const CALLS_MAX: u32 = 16;
/// Pause after a refused attempt; doubled while nothing leaves.
const RETRY_FIRST_MS: Millis = 1;
/// Longest pause.
const RETRY_MAX_MS: Millis = 64;
/// Time between two reports of dropped lines.
const TELL_PAUSE_MS: Millis = 10_000;
/// Never wait, never SIGPIPE.
const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// What became of the lines of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that left.
    pub sent: u64,
    /// Lines that were lost: refused by the full queue, too long for a datagram, or the reader is gone.
    pub dropped: u64,
}

/// An endpoint.
#[derive(Debug)]
pub(super) struct Outlet {
    endpoint: LogEndpoint,
    exit: Exit,
    pub(super) queue: Queue,
    /// When the queue is to be emptied, if anything waits.
    pub(super) due: Option<Millis>,
    /// The pause before the next attempt; zero when the last one succeeded.
    pause_ms: Millis,
    pub(super) counts: Counts,
    /// Of the dropped lines, those that were reported.
    told: u64,
    /// Before this no other report.
    tell_from: Option<Millis>,
}

/// How lines leave.
#[derive(Debug)]
enum Exit {
    /// No descriptor yet.
    Closed,
    Datagram(OwnedFd),
    StreamSocket(OwnedFd),
    /// A file, or opened by us with O_NONBLOCK.
    Plain(OwnedFd),
    /// Shared with others: RWF_NOWAIT.
    Shared(OwnedFd),
    /// As `Shared`, where RWF_NOWAIT is not supported.
    Polled(OwnedFd),
}

/// How an attempt ended.
enum Attempt {
    /// So many lines left.
    Lines(usize),
    /// So many bytes left.
    Bytes(usize),
    /// Not now.
    Blocked,
    /// The first line cannot be sent at all.
    Unfit,
    /// Nobody reads any more.
    Gone,
    /// Try the same again at once: interrupted, or an error of an earlier datagram was reported.
    Again,
}

impl Outlet {
    pub(super) fn new(endpoint: LogEndpoint) -> Self {
        Self {
            endpoint,
            exit: Exit::Closed,
            queue: Queue::default(),
            due: None,
            pause_ms: 0,
            counts: Counts::default(),
            told: 0,
            tell_from: None,
        }
    }

    pub(super) fn endpoint(&self) -> &LogEndpoint {
        &self.endpoint
    }

    /// Takes the descriptor lines leave by from now on; what waits leaves by it.
    pub(super) fn attach(&mut self, descriptor: OwnedFd, now: Millis) {
        self.exit = Exit::of(descriptor);
        self.pause_ms = 0;
        self.due = (!self.queue.is_empty()).then_some(now);
    }

    /// A line was written to the queue: sent when a batch is full, else soon.
    #[inline]
    pub(super) fn written(&mut self, now: Millis) {
        if self.due.is_none() {
            self.due = Some(now + LATE_MAX_MS);
        }
        if self.queue.len() >= BATCH_LINES_MAX && self.pause_ms == 0 {
            self.flush(now);
        }
    }

    /// A line found the queue full.
    #[cold]
    pub(super) fn refuse(&mut self) {
        self.counts.dropped += 1;
    }

    /// Sends what can be sent without waiting.
    pub(super) fn flush(&mut self, now: Millis) {
        let before = self.counts;
        let mut calls = 0;
        while !self.queue.is_empty() && calls < CALLS_MAX {
            calls += 1;
            match self.exit.attempt(&self.queue) {
                Attempt::Lines(count) => {
                    self.queue.take_lines(count);
                    self.counts.sent += count as u64;
                }
                Attempt::Bytes(count) => {
                    self.counts.sent += self.queue.take_bytes(count) as u64;
                }
                Attempt::Unfit => {
                    self.queue.take_lines(1);
                    self.counts.dropped += 1;
                }
                Attempt::Gone => {
                    self.counts.dropped += self.queue.len() as u64;
                    self.queue.take_lines(usize::MAX);
                }
                Attempt::Again => {}
                Attempt::Blocked => break,
            }
        }
        if self.queue.is_empty() {
            self.pause_ms = 0;
            self.due = None;
        } else {
            let moved = before != self.counts;
            self.pause_ms = if moved {
                RETRY_FIRST_MS
            } else {
                (self.pause_ms * 2).clamp(RETRY_FIRST_MS, RETRY_MAX_MS)
            };
            self.due = Some(now + self.pause_ms);
        }
    }

    /// When [`Outlet::untold`] has something to report.
    pub(super) fn tell_due(&self, now: Millis) -> Option<Millis> {
        (self.counts.dropped > self.told).then(|| self.tell_from.unwrap_or(now))
    }

    /// Lines dropped since the last report, when it is time for one.
    pub(super) fn untold(&mut self, now: Millis) -> Option<u64> {
        self.tell_due(now).filter(|due| *due <= now)?;
        self.tell_from = Some(now + TELL_PAUSE_MS);
        let count = self.counts.dropped - self.told;
        self.told = self.counts.dropped;
        Some(count)
    }
}

impl Exit {
    fn of(descriptor: OwnedFd) -> Self {
        let kind = fstat(&descriptor).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::Socket) => match sockopt::socket_type(&descriptor) {
                Ok(SocketType::STREAM) => Self::StreamSocket(descriptor),
                _ => Self::Datagram(descriptor),
            },
            Ok(FileType::RegularFile) => Self::Plain(descriptor),
            _ => match fcntl_getfl(&descriptor) {
                Ok(flags) if flags.contains(OFlags::NONBLOCK) => Self::Plain(descriptor),
                _ => Self::Shared(descriptor),
            },
        }
    }

    fn attempt(&mut self, queue: &Queue) -> Attempt {
        let chunk = || queue.chunk(ATOMIC_BYTES);
        let result = match self {
            Self::Closed => Ok(Attempt::Blocked),
            Self::Datagram(socket) => send_datagrams(socket, queue).map(Attempt::Lines),
            Self::StreamSocket(socket) => send(socket, chunk(), FLAGS).map(Attempt::Bytes),
            Self::Plain(file) => write(file, chunk()).map(Attempt::Bytes),
            Self::Shared(file) => {
                // An offset of -1 means the current position, as for write.
                pwritev2(file, &[IoSlice::new(chunk())], u64::MAX, ReadWriteFlags::NOWAIT)
                    .map(Attempt::Bytes)
            }
            Self::Polled(file) => write_polled(file, chunk()),
        };
        match result {
            Ok(attempt) => attempt,
            Err(Errno::OPNOTSUPP) if matches!(self, Self::Shared(_)) => {
                if let Self::Shared(file) = std::mem::replace(self, Self::Closed) {
                    *self = Self::Polled(file);
                }
                Attempt::Again
            }
            // An answer to an earlier datagram (UDP), or the first sign that a daemon has gone (UNIX),
            // which the next call tells apart.
            Err(Errno::INTR | Errno::CONNREFUSED) => Attempt::Again,
            Err(Errno::MSGSIZE) => Attempt::Unfit,
            Err(Errno::PIPE) if !matches!(self, Self::Datagram(_)) => Attempt::Gone,
            // EAGAIN and ENOBUFS, and what may pass: no route, the daemon's socket is gone (the master
            // renews it), a filter in between.
            Err(_) => Attempt::Blocked,
        }
    }
}

/// Sends up to a batch of lines; how many left.
fn send_datagrams(socket: &OwnedFd, queue: &Queue) -> rustix::io::Result<usize> {
    let count = queue.len().min(BATCH_LINES_MAX);
    if count == 1 {
        return send(socket, queue.chunk(0), FLAGS).map(|_| 1);
    }
    let lines: Vec<[IoSlice<'_>; 1]> =
        queue.lines().take(count).map(|line| [IoSlice::new(line)]).collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
        (0..count).map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<MMsgHdr<'_>> = lines
        .iter()
        .zip(&mut controls)
        .map(|(line, control)| MMsgHdr::new(line, control))
        .collect();
    sendmmsg(socket, &mut messages, FLAGS)
}

/// Writes a part that does not block once the descriptor is reported writable (a pipe then has a
/// page free, unless another writer was faster).
fn write_polled(file: &OwnedFd, chunk: &[u8]) -> rustix::io::Result<Attempt> {
    let mut asked = [PollFd::new(file, PollFlags::OUT)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    let found = asked[0].revents();
    if found.contains(PollFlags::OUT) || found.contains(PollFlags::ERR) {
        write(file, &chunk[..chunk.len().min(ATOMIC_BYTES)]).map(Attempt::Bytes)
    } else {
        Ok(Attempt::Blocked)
    }
}

impl fmt::Display for LogEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::Fd(number) => write!(f, "fd@{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::pipe;

    use super::*;

    fn filled(exit: Exit) -> Outlet {
        let mut outlet = Outlet::new(LogEndpoint::Stdout);
        outlet.exit = exit;
        for _ in 0..1000 {
            let line = outlet.queue.begin().expect("room");
            line.resize(line.len() + 999, b'x');
            outlet.queue.commit(65_535);
            outlet.written(0);
        }
        outlet
    }

    /// Kernels without RWF_NOWAIT on pipes come here.
    #[test]
    fn polling_first_does_not_block_either() {
        let (reader, writer) = pipe().expect("a pipe");
        let mut outlet = filled(Exit::Polled(writer));
        assert!(outlet.counts.sent > 0 && !outlet.queue.is_empty());
        let mut buffer = vec![0; 65_536];
        rustix::io::read(&reader, &mut buffer).expect("what was written");
        let before = outlet.counts.sent;
        outlet.flush(100);
        assert!(outlet.counts.sent > before);
        drop(reader);
        outlet.flush(200);
        assert!(outlet.queue.is_empty() && outlet.counts.dropped > 0);
    }

    #[test]
    fn without_a_descriptor_lines_wait_for_one() {
        let mut outlet = filled(Exit::Closed);
        assert_eq!((outlet.queue.len(), outlet.counts), (1000, Counts::default()));
        let (reader, writer) = pipe().expect("a pipe");
        outlet.attach(writer, 500);
        assert_eq!(outlet.due, Some(500));
        outlet.flush(500);
        assert!(outlet.counts.sent > 0);
        drop(reader);
    }
}
