//! What the master and the operator's signals tell a worker to do.
//!
//! Shell.
//!
//! | signal | a worker does |
//! | --- | --- |
//! | SIGUSR1 | retires, and tells the master, which fills the slot again |
//! | SIGQUIT | writes its states and pools to the log |
//! | SIGUSR2, SIGHUP, SIGTERM, SIGINT, SIGTTOU, SIGTTIN | nothing but count them: the order comes over the channel |

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use nix::sys::signal::Signal;
use portolan_shared::channel::{ChannelError, Received};
use portolan_shared::message::{ToMaster, ToWorker};
use portolan_shared::model::LogLevel;

use crate::descriptor::{READ, WRITE};
use crate::event_loop::{BEAT_MS, Worker};
use crate::show::Applet;
use crate::signals::Handler;
use crate::task::{Reasons, TaskId};

impl Worker {
    /// Sets the handlers of signals.
    pub(crate) fn register_signals(&mut self) {
        self.signals.register(
            Signal::SIGUSR1,
            Handler::Function(|worker: &mut Self| {
                if !worker.stopping {
                    worker.tell(&ToMaster::Leaving);
                    worker.retire("SIGUSR1");
                }
            }),
        );
        self.signals.register(Signal::SIGQUIT, Handler::Function(Self::dump));
        // Told of signal 0: it shortens or prolongs what they wait for.
        self.signals.subscribe(self.stop_task);
    }

    /// Reads the channel, and writes what waited.
    pub(crate) fn handle_channel(&mut self, bits: u8) {
        if bits & WRITE != 0 {
            let flushed = self.channel.flush();
            self.check_channel(flushed.err());
        }
        loop {
            match self.channel.receive_even_cut::<ToWorker>() {
                Ok(Some(received)) => self.obey(received),
                Ok(None) => break,
                Err(ChannelError::Closed) => {
                    self.master_is_gone();
                    return;
                }
                Err(error) => {
                    let text = format_args!("an order was not understood: {error}");
                    self.log.say(LogLevel::Err, text);
                    // What the system refuses now it may give in the next cycle.
                    if matches!(error, ChannelError::Io(_)) {
                        break;
                    }
                }
            }
        }
        self.descriptors.cant(self.channel_token, READ | WRITE);
        self.mind_outbox();
    }

    /// Tells the master something.
    pub(crate) fn tell(&mut self, message: &ToMaster) {
        let sent = self.channel.send(message, &[]);
        self.check_channel(sent.err());
        self.mind_outbox();
    }

    fn mind_outbox(&mut self) {
        if self.channel.wants_write() {
            self.descriptors.want(self.channel_token, WRITE);
        } else {
            self.descriptors.stop(self.channel_token, WRITE);
        }
    }

    fn check_channel(&mut self, error: Option<ChannelError>) {
        match error {
            None | Some(ChannelError::Closed) => {}
            Some(error) => {
                self.log.say(LogLevel::Err, format_args!("the master was not told: {error}"));
            }
        }
    }

    /// The descriptor of an order, for which there may have been no room.
    fn beside(&mut self, descriptors: &mut Vec<OwnedFd>) -> Option<OwnedFd> {
        let own = descriptors.pop();
        if own.is_none() {
            self.log.say(LogLevel::Err, format_args!("an order came without its descriptor"));
        }
        own
    }

    fn obey(&mut self, received: Received<ToWorker>) {
        let Received { message, mut descriptors } = received;
        match message {
            ToWorker::SoftStop => self.soft_stop("the master's order"),
            ToWorker::Retire => self.retire("the master's order"),
            ToWorker::Successor { generation, slot } => {
                let socket = self.beside(&mut descriptors);
                self.meet_successor(socket, generation, slot);
            }
            ToWorker::Predecessor { generation, slot } => {
                if let Some(socket) = self.beside(&mut descriptors) {
                    self.meet_predecessor(socket, generation, slot);
                }
            }
            ToWorker::HardStop => {
                self.exit = Some(ExitCode::SUCCESS);
            }
            ToWorker::Pause | ToWorker::Resume => {
                self.serving.paused = message == ToWorker::Pause;
                if self.serving.paused {
                    self.drain_listeners();
                }
                self.settle_listeners();
            }
            ToWorker::Deputy { slot, serve } => {
                self.serving.deputised.retain(|other| *other != slot);
                if serve {
                    self.serving.deputised.push(slot);
                } else {
                    self.drain_listeners();
                }
                self.settle_listeners();
            }
            ToWorker::Doorbell { lane } => {
                if let Some(doorbell) = self.beside(&mut descriptors) {
                    self.doorbells.insert(lane, doorbell);
                    // Whoever waits there may have been missed while its bell was unknown here.
                    self.ring(lane);
                }
            }
            ToWorker::LogSocket { endpoint } => {
                if let Some(socket) = self.beside(&mut descriptors) {
                    self.log.attach(endpoint, socket);
                    self.tasks.wake(self.log_task, Reasons::MESSAGE);
                }
            }
            ToWorker::ShutdownSessions { object } => self.shut_down_server(object),
            ToWorker::Dump => self.dump(),
            ToWorker::Query { id, what } => self.applets.push(Applet::new(id, what)),
            ToWorker::Adopt { nonce, master_pid } => self.be_adopted(nonce, master_pid),
            ToWorker::Hello(_)
            | ToWorker::Memory(_)
            | ToWorker::Listeners(_)
            | ToWorker::Piece(_)
            | ToWorker::Done { .. }
            | ToWorker::RunnerPeer
            | ToWorker::Capture { .. }
            | ToWorker::Judge { .. } => {
                self.log.say(LogLevel::Err, format_args!("an order came out of its time"));
            }
        }
    }

    /// The loop turns, and says what has changed.
    pub(crate) fn beat(&mut self, task: TaskId) {
        let now = self.clock.now();
        self.tasks.schedule(task, now + BEAT_MS);
        self.confined.tell_refusals(&mut self.log);
        self.log.flush(now);
        self.buffers.shrink(now);
        self.pipes.shrink(now);
        self.purge_kept();
        // A bell may have been lost with a process that died while it rang.
        self.refresh_watched();
        self.try_waiters();
        self.end_shortness();
        if !self.poller.reports_failures() {
            self.look_for_failures();
            self.look_for_dead_clients();
        }
        self.show_draining();
    }

    /// As `ps` shows it.
    pub(crate) fn name(&self) -> String {
        let hello = &self.hello;
        format!("portolan: worker {}/{} gen {}", hello.slot + 1, hello.slots, hello.generation)
    }
}
