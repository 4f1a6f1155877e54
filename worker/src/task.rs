//! Tasks: what runs when it is woken or when its deadline has passed.
//!
//! Core: `now` is an argument, and what a task does is its owner's business ([`Job`] says who that is).
//!
//! - The run queue is an ordered tree of (priority, arrival): a task's priority is its arrival moved by
//!   its nice value, so that a nice one waits longer and none waits for ever.
//! - The wait queue is an ordered tree of (deadline, arrival).
//! - A deadline that only grows moves lazily: the tree keeps the old one, and [`Scheduler::expire`]
//!   looks at the task before it wakes it. So a busy connection costs the tree nothing.
//! - A task stands at most once in each tree, in neither after it was removed.
//!
//! Limits: nice −1024 (first) to 1024; one step of nice is worth [`NICE_STEP`] arrivals.

use std::collections::BTreeMap;

use slab::Slab;

use crate::clock::Millis;

/// How many later arrivals overtake a task per step of its nice value.
pub const NICE_STEP: i64 = 4;
/// No deadline.
pub const NEVER: Millis = Millis::MAX;

/// A task's place in the table.
pub type TaskId = u32;

/// Why a task runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons(u8);

impl Reasons {
    /// It is new.
    pub const INIT: Self = Self(1);
    /// Its deadline has passed.
    pub const TIMER: Self = Self(2);
    /// A descriptor of its is ready.
    pub const IO: Self = Self(4);
    /// A signal, or a change that all subscribers are told of.
    pub const SIGNAL: Self = Self(8);
    /// Somebody else has something for it.
    pub const MESSAGE: Self = Self(16);
    /// What it waited for (a buffer, a place, a descriptor) may be had.
    pub const RESOURCE: Self = Self(32);

    /// Whether one of these is among them.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl std::fmt::Display for Reasons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = ["init", "timer", "io", "signal", "message", "resource"];
        let mut separator = "";
        for (bit, name) in names.iter().enumerate() {
            if self.0 & 1 << bit != 0 {
                write!(f, "{separator}{name}")?;
                separator = "+";
            }
        }
        if self.0 == 0 { f.write_str("-") } else { Ok(()) }
    }
}

/// Whose task it is in a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// A stream's timeouts and waits, by its key.
    Stream(u32),
    /// A client connection of mode http and its streams, by its key.
    Session(u32),
    /// A listener that paused for a resource, by its key.
    Listener(u32),
    /// The heartbeat, pools that may shrink, and reporting what changed to the master.
    Heartbeat,
    /// Log lines that must leave.
    Logs,
    /// The end of `grace` or of `hard_stop_after`.
    Stop,
    /// Waits about connections that go from worker to worker.
    Handover,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the wait queue, or waiting for nothing but a wake.
    Waiting,
    /// In the run queue.
    Queued,
}

/// One task.
#[derive(Clone, Debug)]
pub struct Task<J = Job> {
    /// Whose.
    pub job: J,
    reasons: Reasons,
    nice: i16,
    calls: u32,
    deadline: Millis,
    /// Its key in the wait queue: (deadline, arrival), `NEVER` when it is not there.
    waits: (Millis, u64),
    /// Its key in the run queue, when it is there.
    runs: Option<(i64, u64)>,
}

impl<J> Task<J> {
    /// Where it is.
    pub fn state(&self) -> State {
        if self.runs.is_some() { State::Queued } else { State::Waiting }
    }

    /// Why it will run.
    pub fn reasons(&self) -> Reasons {
        self.reasons
    }

    /// Its priority.
    pub fn nice(&self) -> i16 {
        self.nice
    }

    /// How often it ran.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// When it runs by itself, [`NEVER`] if it does not.
    pub fn deadline(&self) -> Millis {
        self.deadline
    }
}

/// All tasks and their two queues.
#[derive(Debug)]
pub struct Scheduler<J = Job> {
    tasks: Slab<Task<J>>,
    run_queue: BTreeMap<(i64, u64), TaskId>,
    wait_queue: BTreeMap<(Millis, u64), TaskId>,
    arrivals: u64,
}

impl<J: Copy> Scheduler<J> {
    /// No task, and room for `expected`.
    pub fn new(expected: usize) -> Self {
        Self {
            tasks: Slab::with_capacity(expected),
            run_queue: BTreeMap::new(),
            wait_queue: BTreeMap::new(),
            arrivals: 0,
        }
    }

    /// A new task that waits for its first wake.
    pub fn create(&mut self, job: J, nice: i16) -> TaskId {
        let id = self.tasks.insert(Task {
            job,
            reasons: Reasons::default(),
            nice: nice.clamp(-1024, 1024),
            calls: 0,
            deadline: NEVER,
            waits: (NEVER, 0),
            runs: None,
        });
        id as TaskId
    }

    /// Takes a task out of everything.
    pub fn remove(&mut self, id: TaskId) {
        let Some(task) = self.tasks.try_remove(id as usize) else { return };
        if task.waits.0 != NEVER {
            self.wait_queue.remove(&task.waits);
        }
        if let Some(key) = task.runs {
            self.run_queue.remove(&key);
        }
    }

    /// The task, if there is one.
    #[cfg(test)]
    pub fn get(&self, id: TaskId) -> Option<&Task<J>> {
        self.tasks.get(id as usize)
    }

    /// A task's priority.
    pub fn nice(&self, id: TaskId) -> i16 {
        self.tasks.get(id as usize).map_or(0, |task| task.nice)
    }

    /// All tasks.
    pub fn iter(&self) -> impl Iterator<Item = (TaskId, &Task<J>)> {
        self.tasks.iter().map(|(id, task)| (id as TaskId, task))
    }

    /// How many stand in the run queue.
    pub fn runnable(&self) -> usize {
        self.run_queue.len()
    }

    /// Puts a task into the run queue, or adds a reason to one that is there.
    pub fn wake(&mut self, id: TaskId, reason: Reasons) {
        let Some(task) = self.tasks.get_mut(id as usize) else { return };
        task.reasons.add(reason);
        if task.runs.is_none() {
            self.arrivals += 1;
            let key = (self.arrivals as i64 + i64::from(task.nice) * NICE_STEP, self.arrivals);
            task.runs = Some(key);
            self.run_queue.insert(key, id);
        }
    }

    /// Sets when a task runs by itself; [`NEVER`] for not at all. A later deadline than the one in the
    /// tree costs nothing now.
    pub fn schedule(&mut self, id: TaskId, deadline: Millis) {
        let Some(task) = self.tasks.get_mut(id as usize) else { return };
        task.deadline = deadline;
        if deadline < task.waits.0 {
            self.requeue(id, deadline);
        }
    }

    /// Wakes every task whose deadline has passed.
    pub fn expire(&mut self, now: Millis) {
        while let Some((&key, &id)) = self.wait_queue.first_key_value() {
            if key.0 > now {
                break;
            }
            self.wait_queue.remove(&key);
            let Some(task) = self.tasks.get_mut(id as usize) else { continue };
            task.waits = (NEVER, 0);
            let deadline = task.deadline;
            if deadline <= now {
                task.deadline = NEVER;
                self.wake(id, Reasons::TIMER);
            } else if deadline != NEVER {
                self.requeue(id, deadline);
            }
        }
    }

    /// The next task to run, out of the run queue, and why.
    pub fn next(&mut self) -> Option<(TaskId, J, Reasons)> {
        let (_, id) = self.run_queue.pop_first()?;
        let task = self.tasks.get_mut(id as usize)?;
        task.runs = None;
        task.calls = task.calls.wrapping_add(1);
        let reasons = std::mem::take(&mut task.reasons);
        Some((id, task.job, reasons))
    }

    /// When the wait queue wants to be looked at next.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.wait_queue.first_key_value().map(|(key, _)| key.0)
    }

    fn requeue(&mut self, id: TaskId, deadline: Millis) {
        let Some(task) = self.tasks.get_mut(id as usize) else { return };
        if task.waits.0 != NEVER {
            self.wait_queue.remove(&task.waits);
        }
        self.arrivals += 1;
        task.waits = (deadline, self.arrivals);
        self.wait_queue.insert(task.waits, id);
    }
}

#[cfg(test)]
mod tests;
