//! What the master and the operator's signals tell the checker to do.
//!
//! Shell.
//!
//! | order | the checker does |
//! | --- | --- |
//! | `Resume`, `Pause` | checks from now on, or no longer |
//! | `Adopt` | goes on checking, and says so |
//! | `SoftStop`, `HardStop`, the end of the channel | leaves at once: nothing is in flight that another would miss |
//! | SIGUSR1 | the same, and tells the master, which starts another |
//! | SIGQUIT, `Dump` | writes its figures to the log |
//! | other signals | nothing but count them: the order comes over the channel |

use std::process::ExitCode;

use nix::sys::signal::Signal;
use portolan_shared::channel::{ChannelError, Received};
use portolan_shared::message::{Life, ToMaster, ToWorker};
use portolan_shared::model::LogLevel;

use super::Checker;
use crate::adopt;
use crate::descriptor::WRITE;
use crate::show::Applet;
use crate::signals::Handler;
use crate::task::Reasons;

impl Checker {
    /// Sets the handlers of signals.
    pub(super) fn register_signals(&mut self) {
        self.signals.register(
            Signal::SIGUSR1,
            Handler::Function(|checker: &mut Self| {
                checker.tell(&ToMaster::Leaving);
                checker.exit = Some(ExitCode::SUCCESS);
            }),
        );
        self.signals.register(Signal::SIGQUIT, Handler::Function(Self::dump));
    }

    /// Reads the channel, and writes what waited.
    pub(super) fn handle_channel(&mut self) {
        let flushed = self.channel.flush();
        self.check_channel(flushed.err());
        loop {
            match self.channel.receive::<ToWorker>() {
                Ok(Some(received)) => self.obey(received),
                Ok(None) => break,
                Err(ChannelError::Closed) => {
                    self.exit = Some(ExitCode::SUCCESS);
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
        self.mind_outbox();
    }

    /// Tells the master something.
    pub(super) fn tell(&mut self, message: &ToMaster) {
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

    fn obey(&mut self, received: Received<ToWorker>) {
        let Received { message, mut descriptors } = received;
        match message {
            ToWorker::SoftStop | ToWorker::HardStop => self.exit = Some(ExitCode::SUCCESS),
            ToWorker::Resume => self.begin_checks(),
            ToWorker::Pause => self.pause_checks(),
            ToWorker::Judge { object, judgement } => self.handle_judgement(object, judgement),
            ToWorker::RunnerPeer => {
                let joined = descriptors.pop().map_or(Ok(()), |end| self.join_runner(end));
                if let Err(error) = joined {
                    let text = format_args!("the runner cannot be reached: {error}");
                    self.log.say(LogLevel::Err, text);
                }
            }
            ToWorker::Doorbell { lane } => {
                if let Some(doorbell) = descriptors.pop() {
                    self.doorbells.insert(lane, doorbell);
                }
            }
            ToWorker::LogSocket { endpoint } => {
                if let Some(socket) = descriptors.pop() {
                    self.log.attach(endpoint, socket);
                    self.tasks.wake(self.log_task, Reasons::MESSAGE);
                }
            }
            ToWorker::Dump => self.dump(),
            ToWorker::Adopt { nonce, master_pid } => {
                self.hello.master_pid = master_pid;
                self.applets.clear();
                self.tell(&adopt::answer(&self.hello, nonce, Life::Serving));
            }
            ToWorker::Query { id, what } => self.applets.push(Applet::new(id, what)),
            other => {
                let text = format_args!("{other:?} is nothing that a checker is told");
                self.log.say(LogLevel::Err, text);
            }
        }
    }

    /// As `ps` shows it.
    pub(super) fn name(&self) -> String {
        format!("portolan: checker gen {}", self.hello.generation)
    }
}
