//! The processes while they live: started once the wrapper has what they need, heard, watched, replaced.
//!
//! Shell; who replaces whom and when is decided in [`slots`](crate::slots), who hangs in
//! [`heartbeat`](crate::heartbeat).
//!
//! - A lane is claimed before its process exists and released only when the pidfd has ended.
//! - What a process said before it ended is heard before its end is handled.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use portolan_shared::capture;
use portolan_shared::channel::{Channel, ChannelError};
use portolan_shared::log;
use portolan_shared::memory::Lane;
use portolan_shared::message::{Hello, Role, ToMaster, ToWorker};
use portolan_shared::model::LogLevel;
use portolan_shared::process_stat::ProcessStat;

use crate::aides::Post;
use crate::captures::Capture;
use crate::heartbeat::{Heartbeat, Sign, UNANSWERED};
use crate::inspect;
use crate::kept::KeptChannel;
use crate::master::Master;
use crate::obituary::Ended;
use crate::shared_memory::{CAPTURE, DOORBELL};
use crate::slots::WorkerId;
use crate::worker::{Birth, Phase, Worker};

/// Messages of one process that are heard in a turn: one that says more, because it was taken over, does
/// not keep the master from its other work.
pub const HEARD_IN_A_TURN: usize = 64;
/// Messages that are heard of one that has ended: more than its socket holds. Without a bound whoever it
/// gave its end of the channel to could go on for ever.
const HEARD_AFTER_THE_END: usize = 4096;
/// Longest name of a version, bytes.
const VERSION_MAX: usize = 32;

/// A worker that is to be started as soon as the wrapper has acknowledged what it needs.
#[derive(Debug)]
pub struct Pending {
    /// Its id.
    pub id: WorkerId,
    /// Its generation.
    pub generation: u32,
    /// What it is for.
    pub post: Post,
    lane: Lane,
    incarnation: u64,
    ends: (Channel, Channel),
    after: u64,
    start_deadline: Instant,
}

impl Master {
    /// Claims a lane for a worker that is to be started; its id.
    pub fn claim(
        &mut self,
        generation: u32,
        post: Post,
        start_deadline: Instant,
    ) -> Result<WorkerId, String> {
        // A new process finds what it needs, whatever another has left there.
        self.put_memory_right();
        let lane = self
            .memory
            .claim(post.slot(), generation)
            .ok_or("no lane is free: older generations still drain")?;
        let incarnation = self.memory.memory().owner(lane).incarnation;
        let ready = self.ready_doorbell(lane).and_then(|()| self.ready_capture(lane, post));
        let kept = KeptChannel { generation, post, incarnation };
        let ends = match ready.and_then(|()| self.ready_channel(lane, kept)) {
            Ok(ends) => ends,
            Err(error) => {
                self.memory.release(lane);
                return Err(error);
            }
        };
        let id = self.next_worker;
        self.next_worker += 1;
        let after = self.link.sent();
        self.pending.push(Pending {
            id,
            generation,
            post,
            lane,
            incarnation,
            ends,
            after,
            start_deadline,
        });
        Ok(id)
    }

    /// Makes a process's channel and has our end of it kept.
    fn ready_channel(
        &mut self,
        lane: Lane,
        kept: KeptChannel,
    ) -> Result<(Channel, Channel), String> {
        let ends = Channel::pair().map_err(|error| format!("socketpair: {error}"))?;
        self.keep_channel(lane, kept, &ends.0)?;
        Ok(ends)
    }

    /// Makes a lane's doorbell, has it kept, and tells everybody of it, where it is new.
    fn ready_doorbell(&mut self, lane: Lane) -> Result<(), String> {
        let made = self.memory.doorbell(lane).map_err(|error| format!("eventfd: {error}"))?;
        let name = format!("{DOORBELL}{lane}");
        let wanted = made || self.link.lacks(&name);
        let Some(bell) = self.memory.bell(lane).filter(|_| wanted) else { return Ok(()) };
        if let Err(error) = self.link.keep(name, Vec::new(), bell) {
            if made {
                self.memory.drop_doorbell(lane);
            }
            return Err(format!("the wrapper cannot keep a doorbell: {error}"));
        }
        if !made {
            return Ok(());
        }
        for worker in self.workers.values_mut().filter(|worker| worker.knows_doorbells()) {
            worker.say(&ToWorker::Doorbell { lane }, &[bell]);
        }
        Ok(())
    }

    /// Makes the file for what a worker reads last, and has it kept, where it is new.
    fn ready_capture(&mut self, lane: Lane, post: Post) -> Result<(), String> {
        if post.role() != Role::Worker {
            return Ok(());
        }
        let made = self.memory.make_capture(lane).map_err(|error| format!("memfd: {error}"))?;
        let Some(file) = self.memory.capture(lane).filter(|_| made) else { return Ok(()) };
        self.link
            .keep(format!("{CAPTURE}{lane}"), Vec::new(), file)
            .map(|_| ())
            .map_err(|error| format!("the wrapper cannot keep a capture: {error}"))
    }

    /// Gives up on starting some.
    pub fn forget_pending(&mut self, which: impl Fn(&Pending) -> bool) {
        let (gone, stay): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(|one| which(one));
        self.pending = stay;
        for pending in gone {
            self.release(pending.lane);
        }
    }

    /// Respawns what is due, and starts what the wrapper has acknowledged.
    pub fn spawn_pending(&mut self, now: Instant) {
        if self.state.stops() {
            let aides = self.keeps_aides();
            self.forget_pending(|pending| !aides || matches!(pending.post, Post::Slot(_)));
        }
        if let Some((number, timeout)) = self.current().map(|g| (g.number, g.terms.start_timeout)) {
            for post in self.due(now) {
                match self.claim(number, post, now + timeout) {
                    Ok(id) => match post {
                        Post::Slot(slot) => self.slots.started(slot, id),
                        Post::Checker | Post::Runner => self.aides.started(post, id),
                    },
                    Err(error) => self.not_respawned(post, &error, now),
                }
            }
        }
        while let Some(position) = self.pending.iter().position(|one| self.link.has(one.after)) {
            let pending = self.pending.remove(position);
            let Pending { lane, post, generation, .. } = pending;
            if let Err(error) = self.spawn(pending, now) {
                self.release(lane);
                let error = format!("cannot start {post}: {error}");
                if self.current == Some(generation) {
                    self.not_respawned(post, &error, now);
                } else {
                    self.candidate_failed(error, None, now);
                }
            }
        }
    }

    /// Nobody has this lane any more, or nobody was started with it.
    fn release(&mut self, lane: Lane) {
        self.memory.release(lane);
        self.forget_process(lane);
    }

    /// What is to be filled again now.
    fn due(&self, now: Instant) -> Vec<Post> {
        let slots = if self.state.stops() { Vec::new() } else { self.slots.due(now) };
        let aides = if self.keeps_aides() { self.aides.due(now) } else { Vec::new() };
        slots.into_iter().map(Post::Slot).chain(aides).collect()
    }

    fn not_respawned(&mut self, post: Post, error: &str, now: Instant) {
        match post {
            Post::Slot(slot) => {
                self.say(LogLevel::Alert, &format!("Slot {}: {error}", slot + 1));
                self.slots.not_started(slot, now);
            }
            Post::Checker | Post::Runner => {
                self.say(LogLevel::Alert, error);
                self.aides.not_started(post, now);
            }
        }
    }

    fn spawn(&mut self, pending: Pending, now: Instant) -> std::io::Result<()> {
        let Pending { id, generation: number, post, lane, start_deadline, .. } = pending;
        let (incarnation, ends) = (pending.incarnation, pending.ends);
        let Some(generation) = self.generations.get(&number) else {
            return Err(std::io::Error::other("its generation is gone"));
        };
        let hello = Hello {
            role: post.role(),
            slot: post.slot(),
            slots: generation.slots,
            generation: number,
            lane,
            master_pid: std::process::id() as i32,
            debug: self.debug(),
        };
        let silent = self.in_background();
        let birth = Birth { id, hello, incarnation, ends, start_deadline, silent };
        let mut worker = Worker::spawn(generation.binary.as_fd(), birth, now)?;
        self.memory.set_owner(lane, worker.pid);
        if let Err(error) = self.keep_process(&worker) {
            // It goes on; a master that follows will start another one in its place.
            self.say(LogLevel::Warning, &error);
        }
        if let Some(generation) = self.generations.get(&number)
            && worker.feed(generation, &self.memory).is_err()
        {
            worker.mute = true;
        }
        let (role, pid) = (worker.role_name(), worker.pid);
        self.workers.insert(id, worker);
        let place = match post {
            Post::Slot(slot) => format!("slot {}, ", slot + 1),
            Post::Checker | Post::Runner => String::new(),
        };
        let line = format!("New {role} ({pid}) forked ({place}generation {number})");
        self.say(LogLevel::Notice, &line);
        Ok(())
    }

    /// A worker's channel is readable or writable.
    pub fn handle_channel(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let fed = match self.generations.get(&worker.generation) {
            Some(generation) => worker.feed(generation, &self.memory),
            None => worker.channel.flush(),
        };
        if fed.is_err() {
            // It may have said why; its end follows.
            worker.mute = true;
        }
        self.hear(id, HEARD_IN_A_TURN, now);
    }

    /// Takes what a worker has said, at most so much; its channel stays readable where there is more.
    pub fn hear(&mut self, id: WorkerId, most: usize, now: Instant) {
        for _ in 0..most {
            let Some(worker) = self.workers.get(&id).filter(|worker| !worker.deaf) else { return };
            match worker.channel.receive::<ToMaster>() {
                Ok(Some(received)) => self.handle_message(id, received.message, now),
                Ok(None) => return,
                Err(error) => return self.handle_broken_channel(id, &error),
            }
        }
    }

    /// A worker that closed its channel is about to end; one that breaks its rules is ended.
    fn handle_broken_channel(&mut self, id: WorkerId, error: &ChannelError) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.mute = true;
        worker.deaf = true;
        let name = worker.name();
        if !matches!(error, ChannelError::Closed) {
            worker.kill();
            self.say(LogLevel::Alert, &format!("{name} is ended: {error}"));
        } else if worker.kill_at.is_none() {
            // Its end comes at once or not at all.
            worker.kill_at = Some(Instant::now() + crate::worker::KILL_AFTER);
        }
    }

    fn handle_message(&mut self, id: WorkerId, message: ToMaster, now: Instant) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if let Some(nonce) = worker.awaited {
            return self.hear_unadopted(id, nonce, message, now);
        }
        let name = worker.name();
        if worker.version.is_empty() && !matches!(message, ToMaster::Hello { .. }) {
            return self.handle_broken_channel(id, &ChannelError::Malformed);
        }
        match message {
            ToMaster::Hello { version } if !is_version(&version) => {
                self.handle_broken_channel(id, &ChannelError::Malformed);
            }
            ToMaster::Hello { version } => worker.version = version,
            ToMaster::Ready => self.handle_ready(id, now),
            ToMaster::Failed { step, reason } => {
                worker.failed = Some(format!("{}: {reason}", step_name(step)));
                worker.failed_at = Some(step);
            }
            ToMaster::Short { short, .. } if worker.short == short => {}
            ToMaster::Short { short, reason } => {
                worker.short = short;
                let orders = self.slots.short(id, short);
                let (level, line) = if short {
                    (LogLevel::Warning, format!("{name} is short of {reason}"))
                } else {
                    (LogLevel::Notice, format!("{name} accepts again"))
                };
                self.log.say_limited(log::Kind::Resource, level, format_args!("{line}"));
                self.order_limited(orders);
            }
            ToMaster::Leaving => {
                if matches!(worker.phase, Phase::Starting | Phase::Ready) {
                    self.retire(id, now);
                    if !self.state.stops() {
                        let line = format!("{name} leaves by a signal of its own");
                        self.say(LogLevel::Notice, &line);
                        self.aides.leaving(id, now);
                        let orders = self.slots.leaving(id, now);
                        self.order(orders);
                    }
                    if self.is_candidates(id) {
                        let reason = format!("{name} left before the others were ready");
                        self.candidate_failed(reason, None, now);
                    }
                }
            }
            ToMaster::Draining { streams } => worker.streams = Some(streams),
            ToMaster::Unlinked { links } => self.handle_unlinked(id, links, now),
            ToMaster::Adopted { .. } => {}
            ToMaster::Reply { id: question, text, last } => {
                self.handle_reply(question, id, &text, last);
            }
        }
    }

    /// A process is ready.
    pub fn handle_ready(&mut self, id: WorkerId, now: Instant) {
        let paused = self.paused;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match worker.phase {
            Phase::Starting => worker.phase = Phase::Ready,
            // Its generation failed while it said so, and it may have accepted since.
            Phase::Retiring => worker.kill_at = None,
            Phase::Ready | Phase::Stopping | Phase::Ending => return,
        }
        worker.heartbeat = Some(Heartbeat::new(self.memory.memory().heartbeat(worker.lane)));
        if worker.phase == Phase::Retiring || self.candidate_ready(id, now) {
            return;
        }
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.role != Role::Worker {
            return self.aides.ready(id, now);
        }
        if paused {
            worker.say(&ToWorker::Pause, &[]);
        }
        let orders = self.slots.ready(id, now);
        self.order(orders);
    }

    fn is_candidates(&self, id: WorkerId) -> bool {
        let generation = self.workers.get(&id).map(|worker| worker.generation);
        generation.is_some() && generation == self.candidate.as_ref().map(|one| one.number)
    }

    /// A worker's pidfd has ended.
    pub fn handle_end(&mut self, id: WorkerId, now: Instant) {
        self.hear(id, HEARD_AFTER_THE_END, now);
        let candidates = self.is_candidates(id);
        let Some(worker) = self.workers.remove(&id) else { return };
        let ending = worker.reap();
        let capture = self.capture_of(&worker);
        // Where another has the lane since, it was taken back before.
        if self.memory.memory().owner(worker.lane).incarnation == worker.incarnation {
            self.release(worker.lane);
        }
        let current = self.current == Some(worker.generation);
        let who = match (current, candidates) {
            (true, _) => "Current",
            (false, true) => "New",
            (false, false) => "Former",
        };
        let ended = Ended {
            pid: worker.pid,
            who: format!("{who} {}", worker.role_name()),
            meant: worker.phase.leaves(),
            failed: worker.failed.clone(),
            hung: worker.hung,
            capture,
        };
        self.tell_end(ended, ending, now);
        self.forget_answers(id);
        self.aides.ended(id, now);
        self.succession.ended(id);
        if candidates {
            let (post, pid) = (worker.post(), worker.pid);
            let reason = match &worker.failed {
                Some(reason) => format!("{post} cannot start: {reason}"),
                None => format!("{post} ({pid}) {ending} before it was ready"),
            };
            self.candidate_failed(reason, worker.failed_at, now);
        } else if !self.state.stops() {
            let orders = self.slots.ended(id, now);
            self.order(orders);
        }
        self.drop_generations();
        self.check_last(now);
    }

    /// What a worker that has ended read last; asked before its lane has another owner.
    fn capture_of(&self, worker: &Worker) -> Option<Box<Capture>> {
        let owner = self.memory.memory().owner(worker.lane);
        if worker.role != Role::Worker || owner.incarnation != worker.incarnation {
            return None;
        }
        let file = self.memory.capture(worker.lane)?;
        let last = capture::last(file).ok().flatten()?;
        let (slot, generation) = (worker.slot + 1, worker.generation);
        Some(Box::new(Capture {
            at: log::Wall::now(),
            at_ms: log::monotonic_ms(),
            who: format!("worker {slot} ({}) of generation {generation}", worker.pid),
            ending: String::new(),
            last,
        }))
    }

    /// Ends what has not become ready, left or ended in time.
    pub fn expire_workers(&mut self, now: Instant) {
        let candidate = self.candidate.as_ref().map(|candidate| candidate.number);
        let mut events = Vec::new();
        for worker in self.workers.values_mut() {
            if worker.kill_at.is_some_and(|at| at <= now) {
                worker.kill();
            }
            let late = worker.ready_due().is_some_and(|due| due <= now);
            if late && Some(worker.generation) != candidate {
                events.push(format!("{} is not ready in time: ending it", worker.name()));
                worker.phase = Phase::Ending;
                worker.kill();
            }
            if worker.stop_deadline.is_some_and(|deadline| deadline <= now) {
                worker.stop_deadline = None;
                events.push(format!("{} did not stop in time: ending it", worker.name()));
                worker.hard_stop(now);
            }
        }
        for event in events {
            self.say(LogLevel::Warning, &event);
        }
    }

    /// Looks at every loop's counter; one that stands still is treated as dead.
    pub fn check_heartbeats(&mut self, since: Duration) {
        let (mut hanging, mut starved) = (Vec::new(), Vec::new());
        for worker in self.workers.values_mut() {
            let Some(generation) = self.generations.get(&worker.generation) else { continue };
            let (pid, timeout) = (worker.pid, generation.terms.heartbeat_timeout);
            let beats = self.memory.memory().heartbeat(worker.lane);
            // Of who was adopted the answer is the first sign of life that counts.
            let value = if worker.awaited.is_some() { UNANSWERED } else { beats };
            let Some(heartbeat) = &mut worker.heartbeat else { continue };
            match heartbeat.look(value, since, timeout, || ProcessStat::of(pid)) {
                Sign::Life => {}
                Sign::Starved => {
                    let silent = heartbeat.silent();
                    starved.push((worker.name(), silent));
                }
                Sign::Still => {
                    let still = heartbeat.still().as_secs_f32();
                    let what = match worker.awaited {
                        Some(_) => "does not answer in time".to_owned(),
                        None => format!("has stood still for {still:.1} s"),
                    };
                    hanging.push((worker.id, pid, worker.name(), what));
                }
            }
        }
        for (name, silent) in starved {
            self.say(LogLevel::Warning, &no_turn(&name, silent));
        }
        for (id, pid, name, what) in hanging {
            self.say(LogLevel::Alert, &format!("{name} {what}: ending it"));
            for line in inspect::process(pid) {
                self.say(LogLevel::Alert, &format!("{name}: {line}"));
            }
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.heartbeat = None;
                worker.hung = true;
                worker.kill();
            }
        }
    }

    /// Connects anew to log daemons that have restarted, for all workers.
    pub fn renew_logs(&mut self) {
        for generation in self.generations.values_mut() {
            for endpoint in generation.logs.renew() {
                let Some(socket) = generation.logs.get(endpoint) else { continue };
                let message = ToWorker::LogSocket { endpoint };
                let number = generation.number;
                for worker in self.workers.values_mut().filter(|w| w.generation == number) {
                    worker.say(&message, &[socket]);
                }
                if self.current == Some(number)
                    && let Ok(socket) = socket.try_clone_to_owned()
                {
                    self.log.attach(endpoint, socket);
                }
            }
        }
    }

    /// When the log has something to send.
    pub fn log_due(&self) -> Option<Instant> {
        let now = log::monotonic_ms();
        let due = self.log.due(now)?;
        Some(Instant::now() + Duration::from_millis(due.saturating_sub(now)))
    }

    /// Whether events go to stderr as they happen.
    pub fn debug(&self) -> bool {
        self.arguments.start == portolan_master::arguments::Start::Debug
    }
}

/// Of a worker or an aide that is ready to run and does not.
pub fn no_turn(name: &str, silent: Duration) -> String {
    let seconds = silent.as_secs_f32();
    format!(
        "{name} has had no turn on a processor for {seconds:.1} s: the machine has too much work"
    )
}

/// Whether this can be shown to an operator as a version.
fn is_version(text: &str) -> bool {
    (1..=VERSION_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A step of a worker's start as people say it.
fn step_name(step: portolan_shared::message::StartStep) -> &'static str {
    use portolan_shared::message::StartStep as Step;
    match step {
        Step::Channel => "channel",
        Step::Configuration => "configuration",
        Step::Memory => "shared memory",
        Step::Limits => "limits",
        Step::Poller => "poller",
        Step::Setup => "setup",
        Step::Chroot => "chroot",
        Step::Group => "group",
        Step::User => "user",
        Step::NoNewPrivileges => "no_new_privs",
        Step::Sandbox => "sandbox",
    }
}
