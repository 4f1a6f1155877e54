//! The signal queue: what arrived, in order, and who handles it.
//!
//! Core, but for the descriptor behind it (`shared::signal`).
//!
//! - Two kinds of handlers: a function that is called, or a task that is woken with reason Signal.
//! - Signal 0 is no signal: it tells every subscribed task that something about the whole process has
//!   changed (stopping, pausing).
//! - What no handler wants is counted and otherwise ignored. The same signal twice before the loop
//!   looks is one signal, as the kernel has it.

use std::collections::VecDeque;

use nix::sys::signal::Signal;

use crate::task::TaskId;

/// Who is told.
#[derive(Debug)]
pub enum Handler<W> {
    /// Called with the worker.
    Function(fn(&mut W)),
    /// Woken with reason Signal.
    Task(TaskId),
}

impl<W> Clone for Handler<W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Handler<W> {}

/// Arrived signals and their handlers.
#[derive(Debug)]
pub struct SignalQueue<W> {
    arrived: VecDeque<Option<Signal>>,
    handlers: Vec<(Signal, Handler<W>)>,
    /// Tasks that are told of signal 0.
    subscribers: Vec<TaskId>,
    counts: [u64; 65],
}

impl<W> Default for SignalQueue<W> {
    fn default() -> Self {
        Self {
            arrived: VecDeque::new(),
            handlers: Vec::new(),
            subscribers: Vec::new(),
            counts: [0; 65],
        }
    }
}

impl<W> SignalQueue<W> {
    /// Adds a handler.
    pub fn register(&mut self, signal: Signal, handler: Handler<W>) {
        self.handlers.push((signal, handler));
    }

    /// A task that wants to be told of signal 0.
    pub fn subscribe(&mut self, task: TaskId) {
        self.subscribers.push(task);
    }

    /// A signal has arrived.
    pub fn push(&mut self, signal: Signal) {
        self.counts[signal as usize] += 1;
        if !self.arrived.contains(&Some(signal)) {
            self.arrived.push_back(Some(signal));
        }
    }

    /// Signal 0, for every subscriber.
    pub fn broadcast(&mut self) {
        self.counts[0] += 1;
        if !self.arrived.contains(&None) {
            self.arrived.push_back(None);
        }
    }

    /// Whether something waits to be handled.
    pub fn is_empty(&self) -> bool {
        self.arrived.is_empty()
    }

    /// The handlers of the oldest signal, which is taken out.
    pub fn next(&mut self) -> Option<Vec<Handler<W>>> {
        Some(match self.arrived.pop_front()? {
            None => self.subscribers.iter().map(|task| Handler::Task(*task)).collect(),
            Some(signal) => self
                .handlers
                .iter()
                .filter(|(of, _)| *of == signal)
                .map(|(_, handler)| *handler)
                .collect(),
        })
    }

    /// How often each number arrived, those that did.
    pub fn counts(&self) -> impl Iterator<Item = (usize, u64)> {
        self.counts.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Queue = SignalQueue<Vec<&'static str>>;

    fn run(queue: &mut Queue) -> (Vec<&'static str>, Vec<TaskId>) {
        let (mut called, mut woken) = (Vec::new(), Vec::new());
        while let Some(handlers) = queue.next() {
            for handler in handlers {
                match handler {
                    Handler::Function(function) => function(&mut called),
                    Handler::Task(task) => woken.push(task),
                }
            }
        }
        (called, woken)
    }

    #[test]
    fn signals_are_read_forwards_to_functions_and_tasks() {
        let mut queue = Queue::default();
        queue.register(Signal::SIGUSR1, Handler::Function(|called| called.push("usr1")));
        queue.register(Signal::SIGQUIT, Handler::Function(|called| called.push("quit")));
        queue.register(Signal::SIGQUIT, Handler::Task(7));
        queue.push(Signal::SIGQUIT);
        queue.push(Signal::SIGUSR1);
        assert_eq!(run(&mut queue), (vec!["quit", "usr1"], vec![7]));
        assert!(queue.is_empty());
    }

    #[test]
    fn signal_0_goes_to_every_subscribed_task() {
        let mut queue = Queue::default();
        queue.subscribe(3);
        queue.subscribe(9);
        queue.broadcast();
        queue.broadcast();
        assert_eq!(run(&mut queue), (vec![], vec![3, 9]));
    }

    #[test]
    fn what_nobody_handles_is_counted() {
        let mut queue = Queue::default();
        queue.push(Signal::SIGUSR2);
        queue.push(Signal::SIGUSR2);
        assert_eq!(run(&mut queue), (vec![], vec![]));
        let counted: Vec<_> = queue.counts().collect();
        assert_eq!(counted, [(Signal::SIGUSR2 as usize, 2)]);
    }
}
