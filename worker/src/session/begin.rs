//! The life of one client connection: created when it is accepted, it gives birth to streams (in TCP
//! mode: one).
//!
//! Shell. The second and third layer of accepting: the session's creation, then what its frontend asks
//! for (PROXY header, log line, server).

use std::os::fd::OwnedFd;
use std::rc::Rc;

use portolan_shared::memory::{INSTANCE, Total};
use portolan_shared::model::{FrontendId, LogLine, Mode, ProxyProtocolIn};
use rustix::io::Errno;

use super::{Session, SessionKey, Stage};
use crate::back::{Input, State};
use crate::clock::millis;
use crate::descriptor::{Owner, READ, Trigger};
use crate::event_loop::Worker;
use crate::listener::ListenerKey;
use crate::log::{ConnectLine, Moment, Outcome, level};
use crate::poller::{FAILED, HUNG};
use crate::protocol::{self, Address};
use crate::stream::{Arrival, Endpoint, HeaderWait, Side, Stream, StreamKey, Told};
use crate::task::{Job, NEVER};
use crate::termination::{Cause, Termination};

impl Worker {
    /// A connection was accepted; its places are taken.
    pub(crate) fn begin_session(
        &mut self,
        listener: ListenerKey,
        socket: OwnedFd,
        client: Address,
    ) {
        let now = self.clock.now();
        let from = &self.listeners[listener as usize];
        let frontend_id = from.frontend;
        let frontend = &self.config.frontends[frontend_id as usize];
        let bind = &frontend.binds[from.bind as usize];
        let wait = bind.accept_proxy.as_ref().filter(|proxy| must_tell(proxy, client));
        let wait_ends = wait.map_or(NEVER, |proxy| {
            let timeout = proxy.timeout.or(frontend.timeouts.client);
            timeout.map_or(NEVER, |timeout| now + millis(timeout))
        });
        let header = wait.map(|_| Box::<HeaderWait>::default());
        let has_header = header.is_some();
        if frontend.mode == Mode::Http && wait.is_none() {
            self.begin_http(socket, (frontend_id, listener), (client, None), bind.nice);
            return;
        }
        let entry = self.streams.vacant_entry();
        let key = entry.key() as StreamKey;
        let token = self.descriptors.insert(socket, Owner::Front(key), Trigger::Edge);
        let task = self.tasks.create(Job::Stream(key), bind.nice);
        let front = Endpoint::new(token, now);
        let from = Arrival { frontend: frontend_id, listener, client, accepted: now };
        entry.insert(Stream { header, wait_ends, ..Stream::new(front, from, task, now) });
        self.activity.sessions += 1;
        for object in [INSTANCE, frontend.object] {
            self.lane.add(object, Total::Connections, 1);
        }
        self.tell_jobs();
        // A client that leaves, or speaks first, is noticed from the beginning.
        self.descriptors.want(token, READ);
        if has_header {
            self.tasks.schedule(task, wait_ends);
            self.offer_stream(key);
            return;
        }
        self.let_in(key);
    }

    /// The same in mode http: there is a session, and no stream before the first request.
    fn begin_http(
        &mut self,
        socket: OwnedFd,
        from: (FrontendId, ListenerKey),
        who: (Address, Option<Rc<Told>>),
        nice: i16,
    ) {
        let key = self.sessions.vacant_key() as SessionKey;
        let token = self.descriptors.insert(socket, Owner::Client(key), Trigger::Edge);
        let task = self.tasks.create(Job::Session(key), nice);
        let now = self.clock.now();
        self.sessions.insert(Session::new(token, task, from, who, now));
        self.activity.sessions += 1;
        let object = self.config.frontends[from.0 as usize].object;
        for object in [INSTANCE, object] {
            self.lane.add(object, Total::Connections, 1);
            self.lane.add(object, Total::Sessions, 1);
        }
        self.tell_jobs();
        self.descriptors.want(token, READ);
        self.rest_session(key);
        self.log_connect(key);
    }

    /// A client of mode http has told who it is: its stream becomes a session.
    fn become_http(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.try_remove(key as usize) else { return };
        let session = self.sessions.vacant_key() as SessionKey;
        let nice = self.tasks.nice(stream.task);
        self.tasks.remove(stream.task);
        let task = self.tasks.create(Job::Session(session), nice);
        let (from, who) = ((stream.frontend, stream.listener), (stream.client, stream.told));
        let token = stream.front.token;
        let mut begun = Session::new(token, task, from, who, stream.accepted);
        begun.idle_since = self.clock.now();
        self.sessions.insert(begun);
        if let Some(descriptor) = self.descriptors.get_mut(token) {
            descriptor.owner = Owner::Client(session);
        }
        for object in [INSTANCE, self.config.frontends[from.0 as usize].object] {
            self.lane.add(object, Total::Sessions, 1);
        }
        self.log_connect(session);
        self.rest_session(session);
        self.read_requests(session);
    }

    /// Client connections and streams of mode tcp: what a worker that stops still has to do.
    pub(crate) fn jobs(&self) -> usize {
        let busy =
            self.sessions.iter().filter(|(_, session)| matches!(session.stage, Stage::Busy(_)));
        self.streams.len() + self.sessions.len() - busy.count()
    }

    /// Everybody may know how many there are.
    pub(crate) fn tell_jobs(&mut self) {
        self.lane.set_streams(self.streams.len().max(self.sessions.len()) as u32);
    }

    /// Everything that comes before a stream is done: the client may have a server.
    pub(crate) fn let_in(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        if self.config.frontends[stream.frontend as usize].mode == Mode::Http {
            self.become_http(key);
            return;
        }
        for object in [INSTANCE, self.config.frontends[stream.frontend as usize].object] {
            self.lane.add(object, Total::Sessions, 1);
        }
        self.log_accept(key);
        self.ask_for_server(key);
    }

    /// Something happened on the client's side of a stream.
    pub(crate) fn handle_front(&mut self, key: StreamKey, bits: u8) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        match stream.machine.state() {
            State::Est => self.handle_flow(key, Side::Front, bits),
            _ if bits & FAILED != 0 => self.drive(key, Input::Aborted(Cause::Client)),
            _ if bits & (READ | HUNG) == 0 => {}
            State::Ini if stream.header.is_some() => self.read_header(key),
            State::Ini if stream.http.is_none() => self.look_at_first_bytes(key),
            _ => self.check_client(key),
        }
    }

    /// The client did something while its server is not there yet: if it has gone without having said
    /// anything, nobody needs the server any more; what it says waits in the kernel.
    fn check_client(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        let token = stream.front.token;
        let Some(descriptor) = self.descriptors.get(token) else { return };
        match protocol::peek(descriptor) {
            Ok(0) => self.drive(key, Input::Aborted(Cause::Client)),
            Err(Errno::AGAIN | Errno::INTR) => self.descriptors.cant(token, READ),
            Ok(_) => self.descriptors.stop(token, READ),
            Err(_) => self.drive(key, Input::Aborted(Cause::Client)),
        }
    }

    /// The short line that a frontend without another kind of line writes at once.
    fn log_accept(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        let (frontend, listener, client) = (stream.frontend, stream.listener, stream.client);
        if self.wants_connect_line(frontend) {
            let to = self.destination(key).map_or(Address::Unix, Address::Ip);
            self.write_connect_line(frontend, listener, (client, to));
        }
    }

    /// The same for a client of mode http.
    fn log_connect(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key as usize) else { return };
        let (frontend, listener, client) = (session.frontend, session.listener, session.client);
        if self.wants_connect_line(frontend) {
            let to = self.session_destination(key).map_or(Address::Unix, Address::Ip);
            self.write_connect_line(frontend, listener, (client, to));
        }
    }

    fn wants_connect_line(&self, frontend: FrontendId) -> bool {
        self.config.frontends[frontend as usize].log_options.line == LogLine::Connect
            && !self.frontends[frontend as usize].targets.is_empty()
    }

    fn write_connect_line(
        &mut self,
        frontend: FrontendId,
        listener: ListenerKey,
        (client, to): (Address, Address),
    ) {
        let now = self.clock.now();
        let outcome = Outcome {
            termination: Termination::NORMAL,
            retries: 0,
            redispatched: false,
            from_client: 0,
            status: None,
        };
        let options = self.config.frontends[frontend as usize].log_options;
        let Some(level) = level(options, Moment::Accept, &outcome) else { return };
        let id = self.listeners[listener as usize].id;
        let line = ConnectLine {
            client: crate::stream::peer(client, id),
            destination: crate::stream::peer(to, id),
            frontend: &self.config.frontends[frontend as usize].name,
            mode: self.config.frontends[frontend as usize].mode,
        };
        let at = self.clock.wall_of(now);
        let targets = &self.frontends[frontend as usize].targets;
        self.log.sender().push(targets, level, now, at, |_, text| line.write(text));
        self.schedule_logs();
    }
}

/// Whether this client has to send a PROXY header.
fn must_tell(proxy: &ProxyProtocolIn, client: Address) -> bool {
    if proxy.from.is_empty() {
        return true;
    }
    match client {
        Address::Ip(address) => proxy.from.iter().any(|net| net.contains(&address.ip())),
        Address::Unix => false,
    }
}
