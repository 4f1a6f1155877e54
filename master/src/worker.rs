//! One process below the master: how it is started, fed, ordered about and watched.
//!
//! Shell.
//!
//! ```text
//!           Ready           Retire said             SoftStop said            pidfd ends
//! Starting ───────► Ready ─────────────► Retiring ───────────────► Stopping ─────────────► (forgotten)
//!     │               ├──────────────────────┼────────────────────────▲                         ▲
//!     └───────────────┴──────────────────────┴─ HardStop said ─► Ending ── SIGKILL when overdue ┘
//! ```
//!
//! - Everything that a worker needs is sent in a fixed order ([`Feed`]), one message at a time as the
//!   channel takes it, so that thousands of listeners never wait duplicated in our own table.
//! - A process is signalled through its pidfd only.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use portolan_shared::capture::FILE_BYTES;
use portolan_shared::channel::{Channel, ChannelError};
use portolan_shared::memory::Lane;
use portolan_shared::message::wrapper::WRAPPER_FD;
use portolan_shared::message::{
    DESCRIPTORS_MAX, Hello, ListenerEntry, PIECE_MAX, Role, StartStep, ToWorker,
};
use portolan_shared::sandbox::environment::is_for_workers;
use portolan_shared::sys::spawn::{self, Child, Spawn};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};

use crate::aides::Post;
use crate::ending::Ending;
use crate::generation::Generation;
use crate::handover::HandedWorker;
use crate::heartbeat::Heartbeat;
use crate::shared_memory::SharedMemory;
use crate::slots::WorkerId;

/// How long after an order to leave at once a process is killed.
pub const KILL_AFTER: Duration = Duration::from_secs(1);
/// Room for `ps` to show what a worker is doing: bytes of its first argument.
const TITLE_LENGTH: usize = 64;
/// A worker's end of its channel, under the same number as ours to the wrapper.
const CHANNEL_FD: i32 = WRAPPER_FD;

/// By so much the `oom_score_adj` of processes below the master is higher than its own, by proc(5).
const OOM_SCORE_ABOVE_OURS: i32 = 500;
/// The highest there is.
const OOM_SCORE_MAX: i32 = 1000;

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It sets itself up.
    Starting,
    /// It accepts.
    Ready,
    /// It no longer accepts and finishes what is in flight.
    Stopping,
    /// It was told to leave at once.
    Ending,
    /// It no longer accepts, finishes what is in flight, and hands over what lives to its successor.
    Retiring,
}

impl Phase {
    /// For `show proc`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Retiring => "retiring",
            Self::Stopping => "stopping",
            Self::Ending => "ending",
        }
    }

    /// Whether it no longer accepts.
    pub fn leaves(self) -> bool {
        match self {
            Self::Starting | Self::Ready => false,
            Self::Retiring | Self::Stopping | Self::Ending => true,
        }
    }
}

/// A living process.
#[derive(Debug)]
pub struct Worker {
    /// Ours.
    pub id: WorkerId,
    /// The system's.
    pub pid: i32,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
    /// To it.
    pub channel: Channel,
    /// What it is.
    pub role: Role,
    /// Which configuration it has.
    pub generation: u32,
    /// Its place.
    pub slot: u16,
    /// Its lane.
    pub lane: Lane,
    /// What it is doing.
    pub phase: Phase,
    /// When it was started.
    pub since: Instant,
    /// What it says it is.
    pub version: String,
    /// Why it says it could not start.
    pub failed: Option<String>,
    /// And at which step that was.
    pub failed_at: Option<StartStep>,
    /// Its loop's counter, once it is ready.
    pub heartbeat: Option<Heartbeat>,
    /// What is left in it, when it has said so.
    pub streams: Option<u32>,
    /// Whether it lacks resources of its own to accept.
    pub short: bool,
    /// Whether its program knows of successors.
    pub hands_over: bool,
    /// How many reloads it has outlived.
    pub reloads: u32,
    /// When it must be ready.
    pub start_deadline: Instant,
    /// When a soft-stop becomes a hard one.
    pub stop_deadline: Option<Instant>,
    /// Since when it stops.
    pub stopping_since: Option<Instant>,
    /// When it is killed.
    pub kill_at: Option<Instant>,
    /// What it must answer before it is heard: another master had started it.
    pub awaited: Option<u64>,
    /// Which owner of its lane it is.
    pub incarnation: u64,
    /// Whether nothing can be said to it any more.
    pub mute: bool,
    /// Whether nothing more is heard from it.
    pub deaf: bool,
    /// Its loop stood still, and we have killed it.
    pub hung: bool,
    feed: Feed,
}

/// What a new process is given.
#[derive(Debug)]
pub struct Birth {
    /// Ours.
    pub id: WorkerId,
    /// Its first message.
    pub hello: Hello,
    /// Which owner of its lane it is.
    pub incarnation: u64,
    /// Our end of its channel, and its own.
    pub ends: (Channel, Channel),
    /// When it must be ready.
    pub start_deadline: Instant,
    /// Whether it has no standard output and error.
    pub silent: bool,
}

impl Worker {
    /// When it must be ready, where it was started by us; the answer of one that was adopted is waited for
    /// in [`Master::check_heartbeats`](crate::master::Master::check_heartbeats).
    pub fn ready_due(&self) -> Option<Instant> {
        let starts = self.phase == Phase::Starting && self.awaited.is_none();
        starts.then_some(self.start_deadline)
    }

    /// Starts the program behind `binary`.
    pub fn spawn(binary: BorrowedFd<'_>, birth: Birth, now: Instant) -> io::Result<Self> {
        let (ours, theirs) = birth.ends;
        let Hello { role, slot, slots, generation, lane, .. } = birth.hello;
        let (name, flag) = match role {
            Role::Worker => {
                (format!("portolan: worker {}/{slots} gen {generation}", slot + 1), c"worker")
            }
            Role::Checker => (format!("portolan: checker gen {generation}"), c"checker"),
            Role::Runner => (format!("portolan: runner gen {generation}"), c"runner"),
        };
        let title = CString::new(format!("{name:TITLE_LENGTH$}"))?;
        let argv = [title, c"--role".to_owned(), flag.to_owned()];
        let env = spawn::environment(is_for_workers);
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        let mut map = vec![(theirs.as_fd(), CHANNEL_FD)];
        if birth.silent {
            map.extend([(null.as_fd(), 1), (null.as_fd(), 2)]);
        }
        let Child { pid, pidfd } = spawn::spawn(&Spawn {
            exe: binary,
            argv: &argv,
            env: &env,
            map: &map,
            null_stdin: true,
        })?;
        expose_to_oom(pid.as_raw());
        Ok(Self {
            id: birth.id,
            pid: pid.as_raw(),
            pidfd,
            channel: ours,
            role,
            generation,
            slot,
            lane,
            phase: Phase::Starting,
            since: now,
            version: String::new(),
            failed: None,
            failed_at: None,
            heartbeat: None,
            streams: None,
            short: false,
            hands_over: true,
            reloads: 0,
            start_deadline: birth.start_deadline,
            stop_deadline: None,
            stopping_since: None,
            kill_at: None,
            awaited: None,
            incarnation: birth.incarnation,
            mute: false,
            deaf: false,
            hung: false,
            feed: Feed::Hello(birth.hello),
        })
    }

    /// Takes one over from the program that ran in our place before.
    pub fn adopt(
        id: WorkerId,
        handed: &HandedWorker,
        pidfd: OwnedFd,
        channel: Channel,
        now: Instant,
    ) -> Self {
        let since = now.checked_sub(Duration::from_millis(handed.age_ms)).unwrap_or(now);
        let ends = handed.phase == Phase::Ending;
        Self {
            id,
            pid: handed.pid,
            pidfd,
            channel,
            role: handed.role,
            generation: handed.generation,
            slot: handed.slot,
            lane: handed.lane,
            phase: handed.phase,
            since,
            version: handed.version.clone(),
            failed: None,
            failed_at: None,
            heartbeat: None,
            streams: handed.streams,
            short: handed.short,
            hands_over: handed.hands_over,
            reloads: handed.reloads,
            start_deadline: now,
            stop_deadline: handed.stop_in_ms.map(|ms| now + Duration::from_millis(ms)),
            stopping_since: handed.phase.leaves().then_some(now),
            kill_at: ends.then(|| now + KILL_AFTER),
            awaited: None,
            incarnation: 0,
            mute: false,
            deaf: false,
            hung: false,
            feed: Feed::Fed,
        }
    }

    /// Sends what the channel takes of what it needs for its start.
    pub fn feed(
        &mut self,
        generation: &Generation,
        memory: &SharedMemory,
    ) -> Result<(), ChannelError> {
        self.channel.flush()?;
        while !self.channel.wants_write() && !matches!(self.feed, Feed::Fed) {
            let feed = self.feed.clone();
            let who = (self.role, self.lane);
            self.feed = feed.next(who, &mut self.channel, generation, memory)?;
        }
        Ok(())
    }

    /// Whether [`Worker::feed`] has more to say.
    pub fn wants_feed(&self) -> bool {
        !self.mute && (self.channel.wants_write() || !matches!(self.feed, Feed::Fed))
    }

    /// Whether it is past the point where it is told of all doorbells, and must be told of a new one.
    pub fn knows_doorbells(&self) -> bool {
        self.role != Role::Runner
            && !matches!(self.feed, Feed::Hello(_) | Feed::Memory(_) | Feed::Doorbells(_))
    }

    /// What it is for.
    pub fn post(&self) -> Post {
        match self.role {
            Role::Worker => Post::Slot(self.slot),
            Role::Checker => Post::Checker,
            Role::Runner => Post::Runner,
        }
    }

    /// For the log.
    pub fn name(&self) -> String {
        let role = match self.role {
            Role::Worker => "Worker",
            Role::Checker => "Checker",
            Role::Runner => "Runner",
        };
        format!("{role} ({})", self.pid)
    }

    /// What it is, as people say it.
    pub fn role_name(&self) -> &'static str {
        match self.role {
            Role::Worker => "worker",
            Role::Checker => "checker",
            Role::Runner => "runner",
        }
    }

    /// Says something; a channel that fails makes the process mute, and its end shows the rest.
    pub fn say(&mut self, message: &ToWorker, descriptors: &[BorrowedFd<'_>]) {
        if !self.mute && self.channel.send(message, descriptors).is_err() {
            self.mute = true;
        }
    }

    /// The same for what can be said again later: what the system lacks now does not make the process mute.
    pub fn try_say(
        &mut self,
        message: &ToWorker,
        descriptors: &[BorrowedFd<'_>],
    ) -> std::io::Result<()> {
        match self.channel.send(message, descriptors) {
            Err(ChannelError::Io(error)) if !self.mute => return Err(error),
            Err(_) => self.mute = true,
            Ok(()) => {}
        }
        Ok(())
    }

    /// Lets it finish what is in flight, hand over what lives, and leave; whether it is to have a
    /// successor. Who has nothing to hand over, or does not know how, is soft-stopped.
    pub fn retire(&mut self, now: Instant, stop_deadline: Option<Instant>) -> bool {
        if self.phase.leaves() {
            return false;
        }
        if !self.hands_over || self.role != Role::Worker {
            self.soft_stop(now, stop_deadline);
            return false;
        }
        self.say(&ToWorker::Retire, &[]);
        self.phase = Phase::Retiring;
        self.stopping_since = Some(now);
        self.stop_deadline = stop_deadline;
        true
    }

    /// Lets it finish what is in flight and leave: nobody follows.
    pub fn soft_stop(&mut self, now: Instant, stop_deadline: Option<Instant>) {
        if matches!(self.phase, Phase::Stopping | Phase::Ending) {
            return;
        }
        self.say(&ToWorker::SoftStop, &[]);
        self.phase = Phase::Stopping;
        self.stopping_since.get_or_insert(now);
        // One that retires keeps the bound that it has, where that ends earlier.
        self.stop_deadline = [self.stop_deadline, stop_deadline].into_iter().flatten().min();
    }

    /// Lets it leave at once, or be killed.
    pub fn hard_stop(&mut self, now: Instant) {
        if self.phase == Phase::Ending {
            return;
        }
        self.say(&ToWorker::HardStop, &[]);
        self.phase = Phase::Ending;
        self.kill_at = Some(now + KILL_AFTER);
    }

    /// The last resort.
    pub fn kill(&mut self) {
        self.kill_at = None;
        // It has ended already where this fails.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// How it ended, as people say it.
    pub fn reap(&self) -> Ending {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(Some(status)) => Ending::of_child(status.exit_status(), status.terminating_signal()),
            // Somebody else's child: the wrapper reaps it.
            Ok(None) | Err(_) => Ending::unknown(),
        }
    }
}

/// Where memory is short the kernel is to end such a process rather than us: it is respawned, and what we hold
/// is not. Done before it is told anything, while its user is still ours; its commands inherit it.
fn expose_to_oom(pid: i32) {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj");
    let own = own.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let text = exposed(own).to_string();
    // Where /proc is hidden all are equal, as they were.
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), text);
}

/// Only ever more than ours, which takes no privilege.
fn exposed(own: i32) -> i32 {
    own.saturating_add(OOM_SCORE_ABOVE_OURS).clamp(own, OOM_SCORE_MAX)
}

/// What comes next of what a new process is told.
#[derive(Clone, Debug)]
enum Feed {
    Hello(Hello),
    /// From the n-th descriptor of shared memory on.
    Memory(usize),
    /// From this lane's on.
    Doorbells(Lane),
    /// The file for what it reads last.
    Capture,
    /// From this endpoint on.
    Logs(u16),
    /// From the n-th socket on.
    Listeners(usize),
    /// From this byte of the configuration on.
    Pieces(usize),
    Fed,
}

impl Feed {
    /// Says one thing and answers what comes after it.
    fn next(
        self,
        (role, lane): (Role, Lane),
        channel: &mut Channel,
        generation: &Generation,
        memory: &SharedMemory,
    ) -> Result<Self, ChannelError> {
        Ok(match self {
            Self::Hello(hello) => {
                channel.send(&ToWorker::Hello(hello), &[])?;
                Self::Memory(0)
            }
            Self::Memory(position) => match memory.descriptors_for(role).nth(position) {
                None if role == Role::Runner => Self::Logs(0),
                Some((kind, descriptor)) => {
                    channel.send(&ToWorker::Memory(kind), &[descriptor])?;
                    Self::Memory(position + 1)
                }
                None => Self::Doorbells(0),
            },
            Self::Doorbells(from) => match memory.doorbells().find(|(lane, _)| *lane >= from) {
                Some((lane, bell)) => {
                    channel.send(&ToWorker::Doorbell { lane }, &[bell])?;
                    Self::Doorbells(lane + 1)
                }
                None => Self::Capture,
            },
            Self::Capture => {
                if let Some(file) = memory.capture(lane).filter(|_| role == Role::Worker) {
                    let length = FILE_BYTES as u32;
                    channel.send(&ToWorker::Capture { length }, &[file])?;
                }
                Self::Logs(0)
            }
            Self::Logs(endpoint) => match generation.logs.get(endpoint) {
                Some(socket) => {
                    channel.send(&ToWorker::LogSocket { endpoint }, &[socket])?;
                    Self::Logs(endpoint + 1)
                }
                None if role == Role::Worker => Self::Listeners(0),
                None => Self::Pieces(0),
            },
            Self::Listeners(from) => {
                let rest = generation.sockets.get(from..).unwrap_or_default();
                let some = &rest[..rest.len().min(DESCRIPTORS_MAX)];
                if some.is_empty() {
                    return Ok(Self::Pieces(0));
                }
                let entries: Vec<ListenerEntry> = some.iter().map(|(entry, _)| *entry).collect();
                let sockets: Vec<_> = some.iter().map(|(_, socket)| socket.as_fd()).collect();
                channel.send(&ToWorker::Listeners(entries), &sockets)?;
                Self::Listeners(from + some.len())
            }
            Self::Pieces(from) => {
                let configuration = match role {
                    Role::Worker => &generation.configuration,
                    Role::Checker | Role::Runner => &generation.aide_configuration,
                };
                let rest = configuration.get(from..).unwrap_or_default();
                let some = &rest[..rest.len().min(PIECE_MAX)];
                if some.is_empty() {
                    channel.send(&ToWorker::Done { length: from as u32 }, &[])?;
                    return Ok(Self::Fed);
                }
                channel.send(&ToWorker::Piece(some.to_vec()), &[])?;
                Self::Pieces(from + some.len())
            }
            Self::Fed => Self::Fed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::exposed;

    #[test]
    fn the_kernel_ends_a_worker_before_its_master_whatever_the_masters_score() {
        assert_eq!([0, -900, 400, 700, 1000].map(exposed), [500, -400, 900, 1000, 1000]);
    }
}
