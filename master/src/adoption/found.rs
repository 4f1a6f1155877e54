//! The processes that a former master left: each is asked, and all are waited for at once.
//!
//! Shell.

use std::os::fd::OwnedFd;
use std::time::Instant;

use portolan_shared::channel::Channel;
use portolan_shared::log;
use portolan_shared::memory::Lane;
use portolan_shared::message::{Life, ToMaster, ToWorker};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::handover::HandedWorker;
use crate::kept::{KeptChannel, KeptProcess};
use crate::worker::Phase;

/// Messages of one process that are heard in a row: one that says more than it should does not keep the
/// others waiting beyond their time.
const HEARD_IN_A_ROW: usize = 64;

/// A process to be taken over.
#[derive(Debug)]
pub struct Found {
    /// What is known of it.
    pub handed: HandedWorker,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
    /// To it.
    pub channel: Channel,
    /// What it must answer before it is heard.
    pub awaited: Option<u64>,
    /// Whether it has ended, or cannot answer any more.
    is_over: bool,
}

impl Found {
    /// One whose channel and pidfd another program hands over: it need not be asked.
    pub fn handed(handed: HandedWorker, pidfd: OwnedFd, channel: Channel) -> Self {
        Self { handed, pidfd, channel, awaited: None, is_over: false }
    }

    /// One that was kept; it is told who we are.
    pub fn ask(
        lane: Lane,
        channel: (KeptChannel, OwnedFd),
        process: (KeptProcess, OwnedFd),
    ) -> Self {
        let ((kept, channel), (process, pidfd)) = (channel, process);
        let nonce = nonce();
        let mut channel = Channel::from(channel);
        let adopt = ToWorker::Adopt { nonce, master_pid: std::process::id() as i32 };
        let sent = channel.send(&adopt, &[]);
        let handed = HandedWorker {
            pid: process.pid,
            pidfd: -1,
            channel: -1,
            role: kept.post.role(),
            generation: kept.generation,
            slot: kept.post.slot(),
            lane,
            phase: Phase::Starting,
            age_ms: log::monotonic_ms().saturating_sub(process.since_ms),
            version: String::new(),
            streams: None,
            short: false,
            stop_in_ms: None,
            hands_over: true,
            successor: None,
            reloads: 0,
        };
        Self { handed, pidfd, channel, awaited: Some(nonce), is_over: sent.is_err() }
    }

    fn is_waited_for(&self) -> bool {
        self.awaited.is_some() && !self.is_over
    }

    /// Reads up to the answer, or a part of what comes before it.
    fn hear(&mut self) {
        for _ in 0..HEARD_IN_A_ROW {
            let Some(nonce) = self.awaited else { return };
            match self.channel.receive::<ToMaster>() {
                Ok(Some(received)) => {
                    let Some(answer) = Answer::of(received.message, nonce) else { continue };
                    self.awaited = None;
                    self.handed.phase = answer.phase();
                    self.handed.version = answer.version;
                    self.handed.short = answer.short;
                    self.handed.streams = answer.streams;
                }
                Ok(None) => return,
                Err(_) => {
                    self.is_over = true;
                    return;
                }
            }
        }
    }
}

/// What a process says of itself.
#[derive(Debug)]
pub struct Answer {
    life: Life,
    /// Whether it lacks resources.
    pub short: bool,
    /// What is left in it.
    pub streams: Option<u32>,
    /// Its version.
    pub version: String,
}

impl Answer {
    /// The answer with this number; everything else was meant for another master.
    pub fn of(message: ToMaster, expected: u64) -> Option<Self> {
        match message {
            ToMaster::Adopted { nonce, life, short, streams, version, .. } => {
                (nonce == expected).then_some(Self { life, short, streams, version })
            }
            _ => None,
        }
    }

    /// What it does.
    pub fn phase(&self) -> Phase {
        match self.life {
            Life::Serving => Phase::Ready,
            Life::Retiring => Phase::Retiring,
            Life::Stopping => Phase::Stopping,
        }
    }
}

fn nonce() -> u64 {
    let mut bytes = [0; 8];
    // Without chance a number is still another one than that of any master before: its pid and the time.
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    u64::from_ne_bytes(bytes) ^ (u64::from(std::process::id()) << 32) ^ log::monotonic_ms()
}

/// Waits for the answers, all at once.
pub fn hear_all(found: &mut [Found], until: Instant) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let waited: Vec<usize> =
            (0..found.len()).filter(|position| found[*position].is_waited_for()).collect();
        let Some(left) = Timespec::try_from(left).ok().filter(|_| !left.is_zero()) else { return };
        if waited.is_empty() {
            return;
        }
        let of = |position: &usize| {
            let one = &found[*position];
            let write = if one.channel.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
            [
                PollFd::new(&one.channel, PollFlags::IN | write),
                PollFd::new(&one.pidfd, PollFlags::IN),
            ]
        };
        let mut watched: Vec<PollFd<'_>> = waited.iter().flat_map(of).collect();
        match poll(&mut watched, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        let ready: Vec<(bool, bool)> = watched
            .chunks(2)
            .map(|two| (!two[0].revents().is_empty(), !two[1].revents().is_empty()))
            .collect();
        for (position, (spoke, ended)) in waited.into_iter().zip(ready) {
            let one = &mut found[position];
            let flushed = one.channel.flush();
            if spoke || ended {
                one.hear();
            }
            one.is_over |= ended || flushed.is_err();
        }
    }
}
