//! The back side's state machine at work: each of its actions as what this worker does.
//!
//! Shell around `back`. A step gives back first and acts then; an action that is answered at once
//! feeds its answer in, until the machine waits for something or the stream is over.

use portolan_shared::memory::Total;
use portolan_shared::model::{BackendId, Config, Observe, PersistRule, SpliceOptions};
use portolan_shared::standing::Usable;

use super::{NONE, Stream, StreamKey};
use crate::back::{Action, Failure, Held, Input, State, Step, Surroundings};
use crate::clock::millis;
use crate::descriptor::{READ, WRITE};
use crate::event_loop::Worker;
use crate::stream::Side;
use crate::termination::{Cause, Phase, Termination};

impl Worker {
    /// Feeds one input into a stream's back side and does all that follows.
    pub(crate) fn drive(&mut self, key: StreamKey, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let Some(stream) = self.streams.get_mut(key as usize) else { return };
            let Some(step) = stream.machine.on(input) else { return };
            next = self.act(key, step);
        }
    }

    /// Gives back, acts, and tells what came of it, where that is known at once.
    fn act(&mut self, key: StreamKey, step: Step) -> Option<Input> {
        self.give_back(key, step.release);
        match step.action {
            Action::Wait => None,
            Action::PickServer | Action::PickAnother => {
                Some(self.pick_server(key, step.action == Action::PickAnother))
            }
            Action::Enqueue => {
                self.enqueue(key);
                None
            }
            Action::Connect => Some(self.connect(key)),
            Action::Reconsider => self.reconsider(key),
            Action::WaitTurnaround => {
                let now = self.clock.now();
                let stream = self.streams.get_mut(key as usize)?;
                let policy = self.backends[stream.backend as usize].policy;
                stream.wait_ends = now + millis(policy.turnaround());
                self.tasks.schedule(stream.task, stream.wait_ends);
                None
            }
            Action::Greet => {
                self.observe(key, Observe::Layer4, true);
                self.greet(key)
            }
            Action::Begin => {
                self.begin(key);
                None
            }
            Action::Disconnect => {
                self.close_side(key, Side::Back);
                Some(Input::Disconnected)
            }
            Action::End(why) => {
                self.finish(key, why);
                None
            }
        }
    }

    /// Lets go of what a step no longer holds.
    fn give_back(&mut self, key: StreamKey, release: Held) {
        if release == Held::NOTHING {
            return;
        }
        if release.has(Held::CONNECTION) {
            self.close_side(key, Side::Back);
        }
        if release.has(Held::QUEUE_PLACE) {
            self.leave_queue(key);
        }
        if release.has(Held::SLOT) {
            self.release_server(key);
        }
    }

    /// After a failed attempt: counts it and decides whether there is another.
    fn reconsider(&mut self, key: StreamKey) -> Option<Input> {
        let state = self.streams.get(key as usize)?.machine.state();
        if matches!(state, State::Cer(Failure::Refused | Failure::TimedOut)) {
            self.observe(key, Observe::Layer4, false);
        }
        let stream = self.streams.get_mut(key as usize)?;
        let backend = &self.backends[stream.backend as usize];
        let server = &self.config.backends[stream.backend as usize].servers[stream.server as usize];
        let object = self.config.backends[stream.backend as usize].object;
        if !matches!(stream.machine.state(), State::Cer(Failure::Lost)) {
            self.lane.add(server.object, Total::ConnectErrors, 1);
            self.lane.add(object, Total::ConnectErrors, 1);
        }
        let forced =
            stream.http.as_ref().is_some_and(|exchange| exchange.persist == PersistRule::Force)
                && stream.belongs != NONE;
        let around = Surroundings {
            usable: forced || backend.usable(stream.server) != Usable::None,
            others: stream.belongs == NONE
                && backend.farm.server_count() > usize::from(backend.farm.contains(stream.server)),
        };
        let before = stream.machine.retries();
        let decided = stream.machine.decide(&backend.policy, around);
        if stream.machine.retries() > before {
            self.lane.add(server.object, Total::Retries, 1);
            self.lane.add(object, Total::Retries, 1);
        }
        decided
    }

    /// The connection stands and everything before the data is sent: both directions may flow.
    fn begin(&mut self, key: StreamKey) {
        let now = self.clock.now();
        self.note_source(key);
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        // From the end of the queue on, failed attempts included.
        let queue_ended = stream.asked + stream.queue_ms.max(0) as u64;
        stream.connect_ms = now.saturating_sub(queue_ended) as i32;
        stream.front.moved = now;
        stream.back.moved = now;
        let splice = splice_of(&self.config, stream);
        (stream.front.splice, stream.back.splice) = (splice.request, splice.response);
        (stream.front.splice_allowed, stream.back.splice_allowed) = (splice.auto, splice.auto);
        let (front, back) = (stream.front.token, stream.back.token);
        self.descriptors.want(front, READ);
        self.descriptors.want(back, READ);
        // That it can be written to was of interest while it was connecting.
        self.descriptors.stop(back, WRITE);
        if let Some(exchange) = &mut stream.http {
            exchange.sent_at = now;
            self.send_request(key);
            return;
        }
        self.rest(key);
        self.log_as_soon_as(key);
        self.offer_stream(key);
        // The client may have spoken meanwhile; what the server has said, the poller will tell.
        self.relay(key, Side::Front);
    }

    /// Whether bytes flow.
    pub(crate) fn flows(&self, key: StreamKey) -> bool {
        self.streams
            .get(key as usize)
            .is_some_and(|stream| matches!(stream.machine.state(), State::Est))
    }

    /// The client is there and told who it is: it gets a backend and asks for a server.
    pub(crate) fn ask_for_server(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        stream.header = None;
        let frontend = &self.config.frontends[stream.frontend as usize];
        stream.priority = frontend.priority;
        let backend = frontend.default_backend;
        if backend.is_some_and(|id| self.awaits_first_bytes(key, id)) {
            return;
        }
        self.ask_backend(key, backend);
    }

    /// A stream asks this backend for a server.
    pub(crate) fn ask_backend(&mut self, key: StreamKey, backend: Option<BackendId>) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        stream.asked = now;
        let Some(backend) = backend else {
            self.finish(key, Termination::new(Cause::Server, Phase::Connect));
            return;
        };
        stream.backend = backend;
        stream.server = NONE;
        stream.holds_backend = true;
        self.note_key(key, backend);
        let place = self.backends[backend as usize].gauge;
        let _ = self.lane.enter(&place);
        self.lane.add(place.object, Total::Connections, 1);
        self.drive(key, Input::Asked);
    }

    /// What a failed system call on the way to a server means to the machine.
    pub(crate) fn failure_of(errno: rustix::io::Errno) -> Failure {
        use rustix::io::Errno;
        match errno {
            // The last three: no source port is left.
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOBUFS
            | Errno::NOMEM
            | Errno::ADDRNOTAVAIL
            | Errno::ADDRINUSE
            | Errno::AGAIN => Failure::Resource,
            Errno::TIMEDOUT => Failure::TimedOut,
            Errno::AFNOSUPPORT | Errno::INVAL | Errno::PROTOTYPE | Errno::PERM => Failure::Internal,
            _ => Failure::Refused,
        }
    }
}

/// What may be moved inside the kernel: what its frontend or its backend says.
pub(crate) fn splice_of(config: &Config, stream: &Stream) -> SpliceOptions {
    let frontend = config.frontends[stream.frontend as usize].splice;
    let backend = config.backends[stream.backend as usize].splice;
    SpliceOptions {
        request: frontend.request || backend.request,
        response: frontend.response || backend.response,
        auto: frontend.auto || backend.auto,
    }
}
