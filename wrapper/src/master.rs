//! The living master: its process, its channel, and how long it has been silent.
//!
//! Shell. What its end or its silence means is decided elsewhere (`core`).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use portolan_shared::channel::{Channel, ChannelError};
use portolan_shared::message::wrapper::{
    FromWrapper, SILENCE_AT_WORK_MAX, SILENCE_MAX, ToWrapper, WRAPPER_FD,
};
use portolan_shared::process_stat::ProcessStat;
use portolan_shared::sandbox::environment::is_for_the_master;
use portolan_shared::stillness::Stillness;
use portolan_shared::sys::spawn::{Spawn, environment, spawn};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::core::State;
use crate::log;
use crate::parcel::Former;
use crate::programs::{MASTER, strings};
use crate::store::{Kept, Store};

/// What tells a master that it has a wrapper.
const CHANNEL_OPTION: &str = "--wrapper-channel";

/// How often its silence is looked at.
pub const SECOND: Duration = Duration::from_secs(1);

/// A process that we, or another wrapper, started and that was not seen to end.
#[derive(Debug)]
pub struct Master {
    pid: i32,
    pidfd: OwnedFd,
    /// Ours to reap.
    is_child: bool,
    /// `None` after it was closed or broken.
    channel: Option<Channel>,
    /// What it has not been greeted with yet.
    greeting: VecDeque<(FromWrapper, Option<Rc<OwnedFd>>)>,
    started: Instant,
    /// It has said once that it is alive, so that we rely on it.
    supervised: bool,
    /// It said that it reloads.
    at_work: bool,
    /// Of our own seconds, so that a pause of the whole machine is nobody's silence.
    stillness: Stillness,
    /// By us.
    killed: bool,
}

impl Master {
    /// Starts one.
    pub fn start(program: BorrowedFd<'_>, arguments: &[OsString]) -> io::Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        let words = [OsStr::new(MASTER), OsStr::new(CHANNEL_OPTION)];
        let words = words.into_iter().chain(arguments.iter().map(OsString::as_os_str));
        let child = spawn(&Spawn {
            exe: program,
            argv: &strings(words),
            env: &environment(is_for_the_master),
            map: &[(theirs.as_fd(), WRAPPER_FD)],
            null_stdin: true,
        })?;
        Ok(Self::new(child.pid.as_raw(), child.pidfd, Some(ours), true))
    }

    /// Goes on with one that this process started before it was executed anew.
    pub fn go_on(pid: i32, channel: OwnedFd) -> io::Result<Self> {
        let child = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = pidfd_open(child, PidfdFlags::empty())?;
        Ok(Self::new(pid, pidfd, Some(Channel::from(channel)), true))
    }

    /// Goes on with one that another wrapper started.
    pub fn adopt(former: Former) -> Self {
        Self::new(former.pid, former.pidfd, former.channel.map(Channel::from), false)
    }

    fn new(pid: i32, pidfd: OwnedFd, channel: Option<Channel>, is_child: bool) -> Self {
        let started = Instant::now();
        let greeting = VecDeque::new();
        let (supervised, at_work, killed) = (false, false, false);
        Self {
            pid,
            pidfd,
            is_child,
            channel,
            greeting,
            started,
            supervised,
            at_work,
            stillness: Stillness::default(),
            killed,
        }
    }

    /// Whether its end is told by wait(2).
    pub fn is_child(&self) -> bool {
        self.is_child
    }

    /// For another wrapper.
    pub fn view(&self) -> (i32, BorrowedFd<'_>, Option<BorrowedFd<'_>>) {
        (self.pid, self.pidfd.as_fd(), self.channel.as_ref().map(AsFd::as_fd))
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The channel, while it works.
    pub fn channel(&self) -> Option<&Channel> {
        self.channel.as_ref()
    }

    /// For how long it has lived.
    pub fn lived(&self) -> Duration {
        self.started.elapsed()
    }

    /// Says `Hello` and everything that is kept, as fast as it is read; `stored`: another wrapper would
    /// find it.
    pub fn greet(&mut self, restarts: u32, store: &Store, stored: bool) {
        let pid = std::process::id() as i32;
        self.send(&FromWrapper::Hello { pid, restarts }, &[]);
        if stored {
            self.send(&FromWrapper::Stored, &[]);
        }
        let kept = |(name, kept): (&str, &Kept)| {
            let message = FromWrapper::Kept { name: name.to_owned(), value: kept.value.clone() };
            (message, Some(Rc::clone(&kept.descriptor)))
        };
        self.greeting = store.iter().map(kept).chain([(FromWrapper::KeptAll, None)]).collect();
        self.supervised = false;
        self.stillness = Stillness::default();
        self.flush();
    }

    /// Asks who is there, after all that is to be said before.
    pub fn ask(&mut self, nonce: u64) {
        let pid = std::process::id() as i32;
        self.greeting.push_back((FromWrapper::Adopt { nonce, pid }, None));
        self.flush();
    }

    /// Sends, or gives the channel up: a master that cannot be talked to is soon found silent.
    pub fn send(&mut self, message: &FromWrapper, descriptors: &[BorrowedFd<'_>]) {
        let Some(channel) = &mut self.channel else { return };
        let sent = channel.send(message, descriptors);
        self.check(sent);
    }

    /// Sends what waited, and more of the greeting as long as nothing has to wait.
    pub fn flush(&mut self) {
        if let Some(channel) = &mut self.channel {
            let flushed = channel.flush();
            self.check(flushed);
        }
        while self.channel.as_ref().is_some_and(|channel| !channel.wants_write()) {
            let Some((message, descriptor)) = self.greeting.pop_front() else { break };
            let descriptors: Vec<_> = descriptor.iter().map(AsFd::as_fd).collect();
            self.send(&message, &descriptors);
        }
    }

    /// Whether something is still to be sent.
    pub fn wants_write(&self) -> bool {
        let waits = |channel: &Channel| channel.wants_write() || !self.greeting.is_empty();
        self.channel.as_ref().is_some_and(waits)
    }

    /// Its next message and the descriptors that came with it.
    pub fn receive(&mut self) -> Option<(ToWrapper, Vec<OwnedFd>)> {
        loop {
            match self.channel.as_ref()?.receive_even_cut() {
                Ok(received) => {
                    return received.map(|received| (received.message, received.descriptors));
                }
                Err(error @ (ChannelError::Closed | ChannelError::Io(_))) => {
                    self.check(Err(error));
                    return None;
                }
                Err(error) => log::warning(format_args!("a message of the master: {error}")),
            }
        }
    }

    fn check(&mut self, result: Result<(), ChannelError>) {
        match result {
            Ok(()) => return,
            // Its end, if that is what it means, is told by the process itself.
            Err(ChannelError::Closed) => {}
            Err(error) => log::alert(format_args!("the channel to the master: {error}")),
        }
        self.channel = None;
    }

    /// It has said that it is alive.
    pub fn heard(&mut self) {
        self.supervised = true;
        self.stillness = Stillness::default();
    }

    /// It begins or ends something long.
    pub fn set_at_work(&mut self, at_work: bool) {
        self.at_work = at_work;
        self.stillness = Stillness::default();
    }

    /// Whether we have killed it.
    pub fn is_killed(&self) -> bool {
        self.killed
    }

    /// Whether it may be long in answering.
    pub fn is_at_work(&self) -> bool {
        self.at_work
    }

    /// After how many silent seconds it hangs; `None`: its silence means nothing.
    fn silence_max(&self, state: State) -> Option<u32> {
        match state {
            _ if self.channel.is_none() => Some(1),
            State::Restarting => Some(SILENCE_AT_WORK_MAX),
            State::Serving | State::SoftStopping if self.at_work => Some(SILENCE_AT_WORK_MAX),
            State::Serving | State::SoftStopping if self.supervised => Some(SILENCE_MAX),
            _ => None,
        }
    }

    /// Whether seconds are to be counted.
    pub fn is_watched(&self, state: State) -> bool {
        self.silence_max(state).is_some()
    }

    /// Another second has passed; whether it hangs.
    pub fn is_silent(&mut self, state: State) -> bool {
        self.stillness.look(SECOND, Duration::MAX, ProcessStat::of(self.pid));
        // Nothing is to be expected of one that cannot speak.
        let deaf = self.channel.is_none();
        let silence = if deaf { self.stillness.silent() } else { self.stillness.still() };
        let most = self.silence_max(state).map(|most| SECOND * most);
        most.is_some_and(|most| silence >= most)
    }

    /// Ends it for certain; its end is reaped as any other.
    pub fn kill(&mut self) {
        self.killed = true;
        // It is gone already when this fails.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}
