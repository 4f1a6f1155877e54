//! Many clients at once.
//!
//! Shell. Storms of one test program take turns ([`turn`]): each of them fills the machine.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::{client, deadline};

static TURN: Mutex<()> = Mutex::new(());

/// Waits for the other storms of this program to end; a failed one has ended too.
pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clients that make one short connection after the other until they are told to stop.
#[derive(Debug)]
pub struct Storm {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    errors: Arc<Mutex<Vec<String>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Drop for Storm {
    /// A test that fails is not the last one of its program.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// Connections that got their answer.
    pub done: u64,
    /// What went wrong with the others.
    pub errors: Vec<String>,
}

impl Storm {
    /// So many clients, each calling `life` again and again.
    pub fn of(
        clients: usize,
        life: impl Fn(usize, u64) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (errors, life) = (Arc::new(Mutex::new(Vec::new())), Arc::new(life));
        let clients = (0..clients)
            .map(|n| {
                let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
                let (errors, life) = (Arc::clone(&errors), Arc::clone(&life));
                std::thread::spawn(move || {
                    for round in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        match life(n, round) {
                            Ok(()) => {
                                done.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => errors
                                .lock()
                                .expect("the errors")
                                .push(format!("client {n}, connection {round}: {error}")),
                        }
                    }
                })
            })
            .collect();
        Self { stop, done, errors, clients }
    }

    /// Each connection sends a message of its own, ends, and expects it back whole.
    pub fn echo(clients: usize, front: SocketAddr) -> Self {
        Self::of(clients, move |n, round| {
            let message = format!("client {n} says this in round {round}");
            let answer = client::ask(front, message.as_bytes())?;
            if answer == message.as_bytes() {
                Ok(())
            } else {
                Err(io::Error::other(format!("{:?}", String::from_utf8_lossy(&answer))))
            }
        })
    }

    /// Connections that got their answer so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What went wrong so far.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn errors(&self) -> Vec<String> {
        self.errors.lock().expect("the errors").clone()
    }

    /// Waits for this many more answers.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_more(&self, count: u64) {
        let wanted = self.done() + count;
        deadline::until("more answers", || self.done() >= wanted);
    }

    /// Ends it.
    ///
    /// # Panics
    /// When a client panicked.
    pub fn end(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        for client in std::mem::take(&mut self.clients) {
            client.join().expect("a client");
        }
        let errors = self.errors.lock().expect("the errors").clone();
        Outcome { done: self.done.load(Ordering::Relaxed), errors }
    }

    /// Ends it and expects that nothing went wrong.
    ///
    /// # Panics
    /// When something did.
    pub fn end_without_errors(self) -> u64 {
        let outcome = self.end();
        assert!(
            outcome.errors.is_empty(),
            "{} of {} failed: {:#?}",
            outcome.errors.len(),
            outcome.done,
            &outcome.errors[..outcome.errors.len().min(10)]
        );
        outcome.done
    }
}
