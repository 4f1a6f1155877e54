//! One attempt: a conversation and its connection.
//!
//! Shell around `check::Conversation`, which decides; here are the socket and the clock.
//!
//! - Everything is tried at once; the poller is asked only for what the kernel refuses.
//! - A connection is closed by RST, so that checks leave no TIME_WAIT behind, unless the script wants it
//!   ended properly. A plain one is quiet: the server's program never hears of it.
//! - What the system lacks for a socket (descriptors, memory) is no server's fault: the check is put off
//!   and tells nothing.
//!
//! System calls of a plain check: socket, two setsockopt, connect, epoll_ctl, close.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use portolan_shared::log::Kind;
use portolan_shared::model::{LogLevel, ProxyProtocolVersion};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::place;
use super::watch::Under;
use super::{Checker, Key, Owner};
use crate::check::{Context, Conversation, Destination, Event, Move, Outcome, Script, schedule};
use crate::clock::{Millis, millis};
use crate::descriptor::{READ, Token, Trigger, WRITE};
use crate::poller::{FAILED, HUNG};
use crate::protocol::{self, Connecting};

/// How soon a check that found no descriptor is tried again.
const PUT_OFF_MS: Millis = 50;

/// A deadline that is seen so much too late says that the loop has stood still.
const STANDSTILL_MS: Millis = 100;

/// One attempt.
#[derive(Debug)]
pub struct Probe {
    conversation: Conversation,
    /// When it began.
    pub began: Millis,
    /// The end of patience.
    deadline: Millis,
    /// The connection has stood once: there is a patience of its own for the answer.
    stood: bool,
    /// It got more time because this process had stood still.
    spared: bool,
    token: Token,
    stage: Stage,
    /// Waits to be sent, from `sent` on.
    out: Vec<u8>,
    sent: usize,
    /// The header that goes first once the connection stands.
    header: Option<ProxyProtocolVersion>,
    /// Something has come, or the end.
    readable: bool,
    /// The end has come, or a failure: there is no further edge to wait for.
    hung: bool,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The connection.
    Connecting,
    /// Room for what is sent.
    Sending,
    /// What the server sends.
    Receiving,
}

/// The conversation's next move, what is to be sent taken over.
enum Next {
    Connect(Destination),
    Send,
    Receive,
    Done(Outcome),
}

/// What came of opening a connection.
enum Opened {
    InProgress,
    Established,
    Failed(Errno),
    /// There is no port to go to.
    Nowhere,
    PutOff(Errno),
}

impl Probe {
    fn begin(script: Rc<Script>, context: &Context<'_>, now: Millis) -> (Box<Self>, Next) {
        let mut probe = Box::new(Self {
            conversation: Conversation::new(script),
            began: now,
            deadline: 0,
            stood: false,
            spared: false,
            token: Token::NONE,
            stage: Stage::Connecting,
            out: Vec::new(),
            sent: 0,
            header: None,
            readable: false,
            hung: false,
        });
        let next = Self::take(&mut probe.out, probe.conversation.begin(context));
        (probe, next)
    }

    fn on(&mut self, event: Event<'_>, context: &Context<'_>) -> Next {
        Self::take(&mut self.out, self.conversation.on(event, context))
    }

    fn take(out: &mut Vec<u8>, next: Move<'_>) -> Next {
        match next {
            Move::Connect(destination) => Next::Connect(destination),
            Move::Send(bytes) => {
                out.extend_from_slice(bytes);
                Next::Send
            }
            Move::Receive => Next::Receive,
            Move::Done(outcome) => Next::Done(outcome),
        }
    }
}

impl Checker {
    /// Begins an attempt by this script.
    pub(super) fn converse(&mut self, key: Key, script: Rc<Script>) {
        let scene = self.scene(key);
        let context = scene.context();
        let (probe, next) = Probe::begin(script, &context, self.clock.now());
        self.proceed(key, probe, next, &context);
    }

    /// Its descriptor is ready.
    pub(super) fn handle_ready(&mut self, key: Key, token: Token, bits: u8) {
        let Some(mut probe) = self.watches[key as usize].take_probe() else { return };
        debug_assert_eq!(probe.token, token);
        probe.readable |= bits & (READ | HUNG) != 0;
        probe.hung |= bits & HUNG != 0;
        let scene = self.scene(key);
        let context = scene.context();
        let next = match probe.stage {
            Stage::Connecting => {
                // select reports a refusal as nothing but writable.
                let suspect = bits & (HUNG | FAILED) != 0 || !self.poller.reports_failures();
                let error = self
                    .descriptors
                    .get(token)
                    .filter(|_| suspect)
                    .and_then(protocol::connect_error);
                match error {
                    Some(error) => probe.on(Event::Failed(error.raw_os_error()), &context),
                    None => self.established(key, &mut probe, &context),
                }
            }
            Stage::Sending => Next::Send,
            Stage::Receiving => Next::Receive,
        };
        self.proceed(key, probe, next, &context);
    }

    /// Its time is over. Where this process had stood still meanwhile, what has come since counts first,
    /// and the time is given back, once.
    pub(super) fn expire_probe(&mut self, key: Key) {
        let now = self.clock.now();
        let Some(mut probe) = self.watches[key as usize].take_probe() else { return };
        let overdue = now.saturating_sub(probe.deadline);
        if overdue >= STANDSTILL_MS && !std::mem::replace(&mut probe.spared, true) {
            let token = probe.token;
            probe.deadline = now + overdue;
            self.tasks.schedule(self.watches[key as usize].task, probe.deadline);
            let bits = self.descriptors.get(token).map_or(0, readiness);
            self.watches[key as usize].under = Under::Probe(probe);
            if bits != 0 {
                self.handle_ready(key, token, bits);
            }
            return;
        }
        let scene = self.scene(key);
        let context = scene.context();
        let next = probe.on(Event::Timeout, &context);
        debug_assert!(matches!(next, Next::Done(_)), "time is over for the whole check");
        self.proceed(key, probe, next, &context);
    }

    /// It is given up and tells nothing.
    pub(super) fn abandon_probe(&mut self, key: Key) {
        if let Some(mut probe) = self.watches[key as usize].take_probe() {
            self.hang_up(&mut probe);
        }
    }

    /// Makes moves until something has to be waited for, or all is done.
    fn proceed(&mut self, key: Key, mut probe: Box<Probe>, mut next: Next, context: &Context<'_>) {
        loop {
            next = match next {
                Next::Connect(destination) => {
                    self.hang_up(&mut probe);
                    match self.open(key, &mut probe, destination) {
                        Opened::InProgress => break,
                        Opened::Established => self.established(key, &mut probe, context),
                        Opened::Failed(error) => {
                            probe.on(Event::Failed(error.raw_os_error()), context)
                        }
                        Opened::Nowhere => {
                            probe.on(Event::NoSocket(Errno::DESTADDRREQ.raw_os_error()), context)
                        }
                        Opened::PutOff(error) => {
                            self.put_off(key, error);
                            return;
                        }
                    }
                }
                Next::Send => match self.send(&mut probe) {
                    Ok(true) => probe.on(Event::Sent, context),
                    Ok(false) => break,
                    Err(error) => probe.on(Event::Failed(error.raw_os_error()), context),
                },
                // The header may not have left yet.
                Next::Receive => match self.send(&mut probe) {
                    Ok(true) => match self.receive(&mut probe, context) {
                        Some(next) => next,
                        None => break,
                    },
                    Ok(false) => break,
                    Err(error) => probe.on(Event::Failed(error.raw_os_error()), context),
                },
                Next::Done(outcome) => {
                    // What a script without an expectation sends goes as far as the kernel takes it.
                    let _ = self.send(&mut probe);
                    self.hang_up(&mut probe);
                    let took = self.clock.now().saturating_sub(probe.began);
                    self.conclude(key, took, &outcome);
                    return;
                }
            };
        }
        self.watches[key as usize].under = Under::Probe(probe);
    }

    /// Opens a connection.
    fn open(&mut self, key: Key, probe: &mut Probe, destination: Destination) -> Opened {
        let watch = &self.watches[key as usize];
        let backend = &self.config.backends[watch.at.backend as usize];
        let server = &backend.servers[watch.at.server as usize];
        let Some(aim) = watch.aim(server) else { return Opened::Nowhere };
        let Some(target) = place::target(server, aim, destination) else { return Opened::Nowhere };
        let quiet = watch.plain;
        let options = place::options(server, backend, &self.config.tune, target, quiet);
        let (socket, established) = match (target.protocol().connect)(target, &options) {
            Ok(Connecting::InProgress(socket)) => (socket, false),
            Ok(Connecting::Established(socket)) => (socket, true),
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                return Opened::PutOff(error);
            }
            Err(error) => return Opened::Failed(error),
        };
        if !destination.linger {
            protocol::reset_on_close(&socket);
        }
        probe.header = place::header(server, aim, destination.header);
        (probe.stage, probe.sent) = (Stage::Connecting, 0);
        (probe.readable, probe.hung) = (false, false);
        probe.out.clear();
        probe.token = self.descriptors.insert(socket, Owner::Watch(key), Trigger::Edge);
        self.descriptors.want(probe.token, WRITE);
        if !probe.stood {
            let inter = Duration::from_millis(watch.inter);
            let patience = schedule::patience(inter, &backend.timeouts);
            probe.deadline = probe.began + millis(patience.connect);
            self.tasks.schedule(watch.task, probe.deadline);
        }
        if established { Opened::Established } else { Opened::InProgress }
    }

    /// The connection stands.
    fn established(&mut self, key: Key, probe: &mut Probe, context: &Context<'_>) -> Next {
        let watch = &self.watches[key as usize];
        let timeouts = &self.config.backends[watch.at.backend as usize].timeouts;
        if let Some(timeout) = timeouts.check.filter(|_| !probe.stood) {
            probe.deadline = self.clock.now() + millis(timeout);
            self.tasks.schedule(watch.task, probe.deadline);
        }
        probe.stood = true;
        if let Some(version) = probe.header
            && let Some(descriptor) = self.descriptors.get(probe.token)
        {
            probe.out = place::write_header(descriptor.as_fd(), version);
        }
        probe.on(Event::Connected, context)
    }

    /// Sends what waits; whether all of it has left.
    fn send(&mut self, probe: &mut Probe) -> Result<bool, Errno> {
        while probe.sent < probe.out.len() {
            let Some(descriptor) = self.descriptors.get(probe.token) else {
                return Err(Errno::NOTCONN);
            };
            match send(descriptor, &probe.out[probe.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => probe.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    probe.stage = Stage::Sending;
                    self.descriptors.want(probe.token, WRITE);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        probe.out.clear();
        probe.sent = 0;
        Ok(true)
    }

    /// Reads; what the conversation makes of it, or `None` where nothing has come.
    fn receive(&mut self, probe: &mut Probe, context: &Context<'_>) -> Option<Next> {
        while probe.readable {
            let descriptor = self.descriptors.get(probe.token)?;
            match recv(descriptor, &mut *self.scratch, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Some(probe.on(Event::Closed, context)),
                Ok((count, _)) => {
                    probe.readable = probe.hung || count == self.scratch.len();
                    return Some(probe.on(Event::Received(&self.scratch[..count]), context));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => probe.readable = false,
                Err(error) => {
                    return Some(probe.on(Event::Failed(error.raw_os_error()), context));
                }
            }
        }
        probe.stage = Stage::Receiving;
        self.descriptors.stop(probe.token, WRITE);
        self.descriptors.want(probe.token, READ);
        None
    }

    /// Closes the connection, if there is one.
    fn hang_up(&mut self, probe: &mut Probe) {
        drop(self.descriptors.remove(probe.token));
        probe.token = Token::NONE;
    }

    /// There is no socket to be had now.
    fn put_off(&mut self, key: Key, error: Errno) {
        let text = format_args!("a check is put off: {error}");
        self.log.say_limited(Kind::Resource, LogLevel::Err, text);
        let watch = &self.watches[key as usize];
        self.tasks.schedule(watch.task, self.clock.now() + PUT_OFF_MS);
    }
}

/// What the kernel says of a connection now.
fn readiness(descriptor: &impl AsFd) -> u8 {
    let flags = PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP;
    let mut asked = [PollFd::new(descriptor, flags)];
    if poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_err() {
        return 0;
    }
    let seen = asked[0].revents();
    let mut bits = 0;
    for (flag, bit) in [
        (PollFlags::IN, READ),
        (PollFlags::OUT, WRITE),
        (PollFlags::RDHUP, READ | HUNG),
        (PollFlags::HUP, READ | WRITE | HUNG),
        (PollFlags::ERR, READ | WRITE | HUNG | FAILED),
    ] {
        if seen.intersects(flag) {
            bits |= bit;
        }
    }
    bits
}
