//! What becomes of a generation that starts: it serves, or it is discarded.
//!
//! Shell; which of the two is decided in [`state`](crate::state).
//!
//! - The one before is told to stop only here, and only when the new one is ready as a whole.
//! - A worker of a discarded generation may have accepted: it retires, as a deputy for all slots, so that
//!   connections in new accept queues find an owner, and then one that serves.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use portolan_shared::message::wrapper::ToWrapper;
use portolan_shared::message::{Role, ToWorker};
use portolan_shared::model::{Config, LogLevel};

use crate::advice::Refusal;
use crate::aides::Aides;
use crate::control::Control;
use crate::generation::name;
use crate::kept::{GENERATION, PROGRAM};
use crate::listeners::Prepared;
use crate::master::Master;
use crate::prepare::{ACCEPTED, Accepted, BINARY, CONTROL, sealed};
use crate::servers::Tally;
use crate::slots::Slots;
use crate::worker::Phase;

impl Master {
    /// The candidate serves from now on.
    pub fn promote(&mut self, now: Instant) {
        let Some(candidate) = self.candidate.take() else { return };
        let first = self.current.is_none();
        self.accept(&candidate.accepted);
        self.current = Some(candidate.number);
        self.paused = false;
        let process = &candidate.config.process;
        self.maxconn = process.maxconn.unwrap_or(0);
        self.names = (process.node.clone(), process.description.clone());
        let promoted = self.listeners.promote(&candidate.prepared, &candidate.config);
        for error in promoted.errors {
            self.say(LogLevel::Warning, &error.to_string());
        }
        if promoted.opened {
            // They may have looked at sockets that did not listen yet.
            self.say_to_current(&ToWorker::Resume, |role| role == Role::Worker);
        }
        self.slots = Slots::serving(candidate.holders.iter().copied(), now);
        self.aides = Aides::serving(&candidate.aides, now);
        for id in candidate.holders {
            if self.workers.get(&id).is_some_and(|worker| worker.short) {
                let orders = self.slots.short(id, true);
                self.order(orders);
            }
        }
        self.retire_former(candidate.number, candidate.config.process.max_reloads, now);
        self.take_logs(&candidate.config);
        self.take_program();
        self.last.clone_from(&candidate.accepted.last);
        self.drop_generations();
        portolan_shared::sys::title::set(&format!("portolan: master gen {}", candidate.number));
        self.say(LogLevel::Notice, "Loading success.");
        if first && self.in_background() {
            // Before the command returns.
            self.let_go_of_terminal();
        }
        self.tell(&ToWrapper::Ready { generation: candidate.number });
        self.failure = None;
        if first {
            self.first_ready(&candidate.config);
        } else {
            self.reloads.0 += 1;
        }
        self.upgrade_wrapper();
        let warnings = candidate.warnings.trim_end();
        let separator = if warnings.is_empty() { "" } else { "\n" };
        let answer = format!("ok\ngeneration {} serves{separator}{warnings}", candidate.number);
        self.answer_waiting_reloads(&answer);
        // The answer goes over the former socket where there is another one.
        self.take_control(&candidate.config, candidate.control);
        self.config = Some(Rc::new(candidate.config));
        self.tally = Tally::default();
        self.count_servers();
    }

    /// A master that follows serves this from here on: whoever has died before has failed.
    fn accept(&mut self, accepted: &Accepted) {
        let kept = sealed(accepted)
            .and_then(|memfd| self.keep(ACCEPTED, Vec::new(), &memfd))
            .and_then(|()| self.link.drain().map_err(|error| error.to_string()));
        if let Err(error) = kept {
            self.say(LogLevel::Warning, &error);
        }
    }

    /// The program of the generation that serves is the one for whoever follows us.
    fn take_program(&mut self) {
        let Some(binary) = self.current().map(|current| Rc::clone(&current.binary)) else { return };
        if !Rc::ptr_eq(&binary, &self.binary) {
            self.binary = Rc::clone(&binary);
            if let Err(error) = self.keep(BINARY, Vec::new(), &*binary) {
                self.say(LogLevel::Warning, &error);
            }
        }
    }

    /// Retires every worker that is not of this generation; its checker has nothing to finish.
    fn retire_former(&mut self, serving: u32, max_reloads: u32, now: Instant) {
        let (mut former, mut lines) = (Vec::new(), Vec::new());
        for worker in self.workers.values_mut().filter(|worker| worker.generation != serving) {
            if worker.role != Role::Worker {
                worker.hard_stop(now);
                continue;
            }
            worker.reloads += 1;
            if worker.reloads > max_reloads && worker.phase != Phase::Ending {
                let (name, reloads) = (worker.name(), worker.reloads);
                lines.push(format!(
                    "{name} has outlived {reloads} reloads, max_reloads is {max_reloads}: ending it"
                ));
                worker.hard_stop(now);
            }
            former.push(worker.id);
        }
        for line in lines {
            self.say(LogLevel::Warning, &line);
        }
        for id in former {
            self.retire(id, now);
        }
        self.forget_pending(|pending| pending.generation != serving);
    }

    /// The candidate does not serve: what was made for it goes, the reason is told.
    pub fn discard(&mut self, now: Instant) {
        self.reloads.1 += 1;
        let Refusal { line, text, .. } = self.failure_told();
        self.end_candidate(now);
        self.say(LogLevel::Alert, &format!("Reload failed: {line}"));
        self.tell(&ToWrapper::ReloadFailed(line.clone()));
        if self.is_fresh_image
            && let Some(generation) = self.current
        {
            // The program works, and so does the generation that it adopted.
            self.is_fresh_image = false;
            self.tell(&ToWrapper::Ready { generation });
        }
        self.answer_waiting_reloads(&format!("failed\n{text}"));
    }

    /// The same where nothing was to be told: the instance stops.
    pub fn abandon_start(&mut self, why: &str, now: Instant) {
        self.abandon_check();
        self.reading = None;
        if self.candidate.is_some() {
            self.end_candidate(now);
        }
        self.answer_waiting_reloads(&format!("failed\n{why}"));
    }

    fn end_candidate(&mut self, now: Instant) {
        let Some(candidate) = self.candidate.take() else { return };
        self.forget_pending(|pending| pending.generation == candidate.number);
        let slots = candidate.config.process.workers;
        let mut retiring = Vec::new();
        for worker in self.workers.values_mut().filter(|w| w.generation == candidate.number) {
            let starts = worker.phase == Phase::Starting;
            if worker.role != Role::Worker || (starts && self.current.is_none()) {
                // It serves nobody, and may not even listen.
                worker.hard_stop(now);
                worker.kill();
                continue;
            }
            let own = worker.slot;
            for slot in (0..slots).filter(|slot| *slot != own && !starts) {
                worker.say(&ToWorker::Deputy { slot, serve: true }, &[]);
            }
            retiring.push(worker.id);
        }
        for id in retiring {
            self.retire(id, now);
        }
        self.discard_sockets(&candidate.prepared);
        if let Some(control) = candidate.control {
            control.close();
        }
        self.drop_generations();
    }

    /// Closes what was bound for a generation that will not serve, once nobody accepts from it.
    pub fn discard_sockets(&mut self, prepared: &Prepared) {
        let used = self.current().map(|current| current.used.clone());
        self.listeners.discard(prepared, used.as_ref());
    }

    fn failure_told(&self) -> Refusal {
        self.failure.clone().unwrap_or_else(|| String::new().into())
    }

    /// The first generation could not be started.
    pub fn report_failed_start(&mut self) {
        let Refusal { line, text, status } = self.failure_told();
        self.exit_status = status;
        if text.contains('\n') {
            // Already laid out for people.
            eprintln!("{}", text.trim_end());
        }
        self.say(LogLevel::Alert, &format!("Starting failed: {line}"));
    }

    /// Forgets generations of which nothing is left.
    pub fn drop_generations(&mut self) {
        let keep: BTreeSet<u32> = (self.workers.values().map(|worker| worker.generation))
            .chain(self.current)
            .chain(self.candidate.as_ref().map(|candidate| candidate.number))
            .collect();
        let gone: Vec<u32> =
            self.generations.keys().copied().filter(|number| !keep.contains(number)).collect();
        for number in gone {
            self.generations.remove(&number);
            self.forget(vec![format!("{GENERATION}{number}"), format!("{PROGRAM}{number}")]);
        }
    }

    /// Events go where the configuration says from now on.
    pub fn take_logs(&mut self, config: &Config) {
        self.log.configure(config, self.debug());
        let Some(current) = self.current else { return };
        let Some(generation) = self.generations.get(&current) else { return };
        for (endpoint, socket) in generation.logs.iter() {
            if let Ok(socket) = socket.try_clone_to_owned() {
                self.log.attach(endpoint, socket);
            }
        }
        let problems: Vec<String> = generation
            .logs
            .problems()
            .map(|(endpoint, error)| format!("log {}: {error}", name(endpoint)))
            .collect();
        for problem in problems {
            self.say(LogLevel::Warning, &problem);
        }
    }

    /// The control socket is where the configuration says from now on.
    pub fn take_control(&mut self, config: &Config, fresh: Option<Control>) {
        let wanted = config.process.control_socket.as_deref();
        if self.control.as_ref().map(Control::path) == wanted {
            return;
        }
        if let Some(former) = std::mem::replace(&mut self.control, fresh) {
            former.close();
        }
        let Some(control) = &self.control else {
            return self.forget(vec![CONTROL.to_owned()]);
        };
        let value = postcard::to_stdvec(&(control.path(), control.file()));
        let socket = control.socket().try_clone_to_owned();
        if let (Ok(value), Ok(socket)) = (value, socket)
            && let Err(error) = self.keep(CONTROL, value, &socket)
        {
            self.say(LogLevel::Warning, &error);
        }
    }
}
