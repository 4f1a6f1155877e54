//! The life of one client connection: created when it is accepted, it gives birth to streams (in TCP
//! mode: one).
//!
//! Shell. The second and third layer of accepting: the session's creation, then what its frontend asks
//! for (PROXY header, log line, server).

use std::os::fd::OwnedFd;

use portolan_shared::memory::{INSTANCE, Total};
use portolan_shared::model::ProxyProtocolIn;
use rustix::io::Errno;

use crate::back::{Back, Input, State};
use crate::clock::millis;
use crate::descriptor::{Owner, READ, Token, Trigger};
use crate::event_loop::Worker;
use crate::listener::ListenerKey;
use crate::log::{ConnectLine, Moment, Outcome, level};
use crate::poller::{FAILED, HUNG};
use crate::protocol::{self, Address};
use crate::stream::{Endpoint, HeaderWait, NONE, Side, Stream, StreamKey};
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
        let entry = self.streams.vacant_entry();
        let key = entry.key() as StreamKey;
        let token = self.descriptors.insert(socket, Owner::Front(key), Trigger::Edge);
        let task = self.tasks.create(Job::Stream(key), bind.nice);
        entry.insert(Stream {
            front: Endpoint::new(token, now),
            back: Endpoint::new(Token::NONE, now),
            machine: Back::default(),
            frontend: frontend_id,
            listener,
            backend: NONE,
            server: NONE,
            task,
            header,
            queued: None,
            client,
            told: None,
            wait_ends,
            accepted: now,
            asked: now,
            queue_ms: -1,
            connect_ms: -1,
            queue_position: 0,
            logged: false,
            holds_server: false,
            holds_backend: false,
        });
        self.activity.sessions += 1;
        for object in [INSTANCE, frontend.object] {
            self.lane.add(object, Total::Connections, 1);
        }
        self.lane.set_streams(self.streams.len() as u32);
        // A client that leaves, or speaks first, is noticed from the beginning.
        self.descriptors.want(token, READ);
        if has_header {
            self.tasks.schedule(task, wait_ends);
            return;
        }
        self.let_in(key);
    }

    /// Everything that comes before a stream is done: the client may have a server.
    pub(crate) fn let_in(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
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

    /// The short line that a frontend without `tcplog` writes at once.
    fn log_accept(&mut self, key: StreamKey) {
        let now = self.clock.now();
        let Some(stream) = self.streams.get(key as usize) else { return };
        let (frontend_id, client, listener) = (stream.frontend, stream.client, stream.listener);
        let outcome = Outcome {
            termination: Termination::NORMAL,
            retries: 0,
            redispatched: false,
            from_client: 0,
            status: None,
        };
        let frontend = &self.config.frontends[frontend_id as usize];
        let Some(level) = level(frontend.log_options, Moment::Accept, &outcome) else { return };
        if self.frontends[frontend_id as usize].targets.is_empty() {
            return;
        }
        let id = self.listeners[listener as usize].id;
        let to = self.destination(key).map_or(Address::Unix, Address::Ip);
        let frontend = &self.config.frontends[frontend_id as usize];
        let line = ConnectLine {
            client: crate::stream::peer(client, id),
            destination: crate::stream::peer(to, id),
            frontend: &frontend.name,
            mode: frontend.mode,
        };
        let at = self.clock.wall_of(now);
        let targets = &self.frontends[frontend_id as usize].targets;
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
