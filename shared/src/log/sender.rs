//! Lines of one process on their way to all of its endpoints.
//!
//! Shell. A line is built once, straight into the queue of the first target that takes it.
//!
//! - A line leaves with a batch of [`BATCH_LINES_MAX`], or [`LATE_MAX_MS`] after it was pushed.
//! - Nothing blocks: what an endpoint does not take now waits in its bounded queue.
//! - Outlet 0 is the process's own stderr, for events; the others are the endpoints of
//!   [`endpoints`](super::endpoints) in their order.

use std::os::fd::OwnedFd;

use super::clock::{Clock, Millis, Wall, Zone};
use super::escape::make_one_line;
use super::frame::{Frame, Origin};
use super::outlet::{Counts, Outlet};
use crate::model::{LogEndpoint, LogLevel, LogTarget};

/// Lines sent with one system call; so many do not wait any longer.
pub const BATCH_LINES_MAX: usize = 64;
/// Longest wait of a line for others.
pub const LATE_MAX_MS: Millis = 10;

/// A target and a tag, as [`Sender::target`] found them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetRef(u32);

/// All outlets of a process.
#[derive(Debug)]
pub struct Sender {
    clock: Clock,
    origin: Origin,
    outlets: Vec<Outlet>,
    /// What each frame was made of; the first is the process's own stderr.
    targets: Vec<Option<(LogTarget, String)>>,
    frames: Vec<(usize, Frame)>,
    /// The text of a line with several targets.
    text: Vec<u8>,
}

impl Sender {
    /// With these endpoints and no configuration: for measuring, without a [`Log`](super::Log).
    pub fn for_endpoints(zone: Zone, endpoints: Vec<LogEndpoint>) -> Self {
        let origin = Origin { tag: "portolan".to_owned(), host: None, pid: std::process::id() };
        let mut sender = Self::new(zone, origin.clone());
        sender.configure(origin, endpoints);
        sender
    }

    /// Only stderr, closed.
    pub(super) fn new(zone: Zone, origin: Origin) -> Self {
        let own = Frame::own(origin.pid);
        Self {
            clock: Clock::new(zone),
            origin,
            outlets: vec![Outlet::new(LogEndpoint::Stderr)],
            targets: vec![None],
            frames: vec![(0, own)],
            text: Vec::new(),
        }
    }

    /// Replaces the endpoints; refs given out before are void, and lines that still wait are lost
    /// (flush first).
    pub(super) fn configure(&mut self, origin: Origin, endpoints: Vec<LogEndpoint>) {
        self.origin = origin;
        self.outlets.truncate(1);
        self.outlets.extend(endpoints.into_iter().map(Outlet::new));
        self.targets.truncate(1);
        self.frames.truncate(1);
    }

    /// The process's own stderr.
    pub(super) const OWN: TargetRef = TargetRef(0);

    /// Gives an endpoint, by its position, the descriptor lines leave by; again when it was renewed.
    /// Positions that the configuration does not have are ignored.
    pub fn attach(&mut self, endpoint: u16, descriptor: OwnedFd, now: Millis) {
        if let Some(outlet) = self.outlets.get_mut(usize::from(endpoint) + 1) {
            outlet.attach(descriptor, now);
        }
    }

    pub(super) fn attach_own(&mut self, descriptor: OwnedFd, now: Millis) {
        self.outlets[0].attach(descriptor, now);
    }

    /// The clock that dates are written by.
    pub fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// Prepares a target for lines with this tag (`None`: the global one). To be called when a
    /// configuration is taken, not per line; equal ones get the same answer.
    ///
    /// `None` where the endpoint is none of the configuration's.
    pub fn target(&mut self, target: &LogTarget, tag: Option<&str>) -> Option<TargetRef> {
        let tag = tag.unwrap_or(&self.origin.tag);
        let known = self.targets.iter().position(|known| {
            known.as_ref().is_some_and(|(other, its_tag)| other == target && its_tag == tag)
        });
        if let Some(position) = known {
            return Some(TargetRef(position as u32));
        }
        let found = self.outlets[1..].iter().position(|one| *one.endpoint() == target.endpoint)?;
        let origin = Origin { tag: tag.to_owned(), ..self.origin.clone() };
        self.frames.push((found + 1, Frame::new(target, &origin)));
        self.targets.push(Some((target.clone(), origin.tag)));
        Some(TargetRef(self.frames.len() as u32 - 1))
    }

    /// Queues one line for every target that takes its level. `build` appends the text; it is called
    /// at most once, and not at all when no target takes the line.
    #[inline]
    pub fn push(
        &mut self,
        targets: &[TargetRef],
        level: LogLevel,
        now: Millis,
        at: Wall,
        build: impl FnOnce(&mut Clock, &mut Vec<u8>),
    ) {
        let mut build = Some(build);
        for target in targets {
            let Some((outlet, frame)) = self.frames.get_mut(target.0 as usize) else { continue };
            let Some(level) = frame.admit(level) else { continue };
            let outlet = &mut self.outlets[*outlet];
            let Some(line) = outlet.queue.begin() else {
                outlet.refuse();
                continue;
            };
            frame.write(level, at, &mut self.clock, line);
            if let Some(build) = build.take() {
                let from = line.len();
                build(&mut self.clock, line);
                make_one_line(line, from);
                if targets.len() > 1 {
                    self.text.clear();
                    self.text.extend_from_slice(&line[from..]);
                }
            } else {
                line.extend_from_slice(&self.text);
            }
            outlet.queue.commit(frame.length_max);
            outlet.written(now);
        }
    }

    /// When [`Sender::flush`] has something to do.
    pub fn due(&self) -> Option<Millis> {
        self.outlets.iter().filter_map(|outlet| outlet.due).min()
    }

    /// Sends what is due, without waiting.
    pub fn flush(&mut self, now: Millis) {
        for outlet in &mut self.outlets {
            if outlet.due.is_some_and(|due| due <= now) {
                outlet.flush(now);
            }
        }
    }

    /// Sends everything that can leave now, due or not.
    pub fn flush_all(&mut self, now: Millis) {
        for outlet in &mut self.outlets {
            outlet.flush(now);
        }
    }

    /// Whether lines wait for an endpoint.
    pub fn is_empty(&self) -> bool {
        self.outlets.iter().all(|outlet| outlet.queue.is_empty())
    }

    /// What became of the lines, by endpoint.
    pub fn counts(&self) -> impl Iterator<Item = (&LogEndpoint, Counts)> {
        self.outlets[1..].iter().map(|outlet| (outlet.endpoint(), outlet.counts))
    }

    /// Sends at once what waits for these targets.
    pub(super) fn hurry(&mut self, targets: &[TargetRef], now: Millis) {
        for target in targets {
            if let Some((outlet, _)) = self.frames.get(target.0 as usize) {
                self.outlets[*outlet].flush(now);
            }
        }
    }

    /// When [`Sender::untold`] has something to report.
    pub(super) fn tell_due(&self, now: Millis) -> Option<Millis> {
        self.outlets[1..].iter().filter_map(|outlet| outlet.tell_due(now)).min()
    }

    /// An endpoint that lost lines since its last report: its position, name, and how many.
    pub(super) fn untold(&mut self, now: Millis) -> Option<(u16, String, u64)> {
        self.outlets[1..].iter_mut().enumerate().find_map(|(position, outlet)| {
            let count = outlet.untold(now)?;
            Some((position as u16, outlet.endpoint().to_string(), count))
        })
    }

    /// Whether a target's lines go to this endpoint.
    pub(super) fn leads_to(&self, target: TargetRef, endpoint: u16) -> bool {
        self.frames
            .get(target.0 as usize)
            .is_some_and(|(outlet, _)| *outlet == usize::from(endpoint) + 1)
    }
}
