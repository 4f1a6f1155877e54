//! The connection to a server: started, found established, and told who the client is.
//!
//! Shell.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use portolan_shared::memory::Total;
use portolan_shared::model::{Server, ServerAddress};
use rustix::net::{SendFlags, send};

use super::{Pending, Side, Stream, StreamKey};
use crate::back::{Failure, Input, State};
use crate::clock::millis;
use crate::descriptor::{Descriptors, Owner, Trigger, WRITE};
use crate::event_loop::Worker;
use crate::protocol::{self, Address, ConnectOptions, Connecting, Target};
use crate::task::NEVER;

impl Worker {
    /// Starts a connection to the assigned server.
    pub(crate) fn connect(&mut self, key: StreamKey) -> Input {
        if let Some(kept) = self.use_kept(key) {
            return kept;
        }
        let now = self.clock.now();
        let full = self.descriptors.len() + self.fixed_descriptors >= self.descriptor_limit
            && !self.close_one_kept();
        let destination = self.destination_if(key, |server| {
            matches!(server.address, ServerAddress::TcpClientPort { .. })
        });
        let Some(stream) = self.streams.get_mut(key as usize) else { return Input::NoServer };
        let backend = &self.config.backends[stream.backend as usize];
        let server = &backend.servers[stream.server as usize];
        stream.wait_ends = backend.timeouts.connect.map_or(NEVER, |timeout| now + millis(timeout));
        self.tasks.schedule(stream.task, stream.wait_ends);
        self.lane.add(server.object, Total::Connections, 1);
        if full {
            return Input::ConnectFailed(Failure::Limit);
        }
        let Some(target) = target_of(server, destination) else {
            return Input::ConnectFailed(Failure::Internal);
        };
        let source = server.source.as_ref().or(backend.source.as_ref());
        let mut options = ConnectOptions {
            interface: source.and_then(|source| source.interface.as_deref()),
            keepalive: backend.keepalive,
            user_timeout: server.user_timeout,
            mss: server.mss,
            fastopen: server.fastopen && Self::has_first_bytes(&self.descriptors, stream, server),
            sndbuf: self.config.tune.server_sndbuf,
            rcvbuf: self.config.tune.server_rcvbuf,
            ..ConnectOptions::default()
        };
        let source = (server.object, source);
        let begun = self.source_ports.connect(source, stream.client, target, &mut options);
        let (socket, established) = match begun {
            Ok(Connecting::InProgress(socket)) => (socket, false),
            Ok(Connecting::Established(socket)) => (socket, true),
            Err(errno) => return Input::ConnectFailed(Self::failure_of(errno)),
        };
        let token = self.descriptors.insert(socket, Owner::Back(key), Trigger::Edge);
        stream.back.begin_anew(token, now);
        self.descriptors.want(token, WRITE);
        if established { Input::Connected } else { Input::ConnectStarted }
    }

    /// Whether something can be sent with the SYN. The kernel sends none before it has that, so that
    /// a server that speaks first would wait for a client that waits for it.
    pub(crate) fn has_first_bytes(
        descriptors: &Descriptors,
        stream: &Stream,
        server: &Server,
    ) -> bool {
        let client = descriptors.get(stream.front.token);
        server.send_proxy.is_some()
            || client.is_some_and(|client| protocol::peek(client).is_ok_and(|count| count > 0))
    }

    /// Where the client connected to: told by a PROXY header, or asked of the kernel.
    pub(crate) fn destination(&self, key: StreamKey) -> Option<SocketAddr> {
        let stream = self.streams.get(key as usize)?;
        if let Some(told) = &stream.told {
            return told.destination;
        }
        let descriptor = self.descriptors.get(stream.front.token)?;
        let listener = self.listeners.get(stream.listener as usize)?;
        (listener.protocol.destination)(descriptor.as_fd()).ok().and_then(Address::ip)
    }

    /// A connection in progress has become writable or failed.
    pub(crate) fn handle_connecting(&mut self, key: StreamKey, failed: bool) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        let Some(descriptor) = self.descriptors.get(stream.back.token) else { return };
        // select reports a refusal as nothing but writable.
        let suspect = failed || !self.poller.reports_failures();
        let error = if suspect { protocol::connect_error(descriptor) } else { None };
        match error {
            Some(errno) => self.drive(key, Input::ConnectFailed(Self::failure_of(errno))),
            None => self.drive(key, Input::Connected),
        }
    }

    /// Sends what a server expects before the data: a PROXY header.
    pub(crate) fn greet(&mut self, key: StreamKey) -> Option<Input> {
        let destination = self.destination_if(key, |server| server.send_proxy.is_some());
        let stream = self.streams.get_mut(key as usize)?;
        let server = &self.config.backends[stream.backend as usize].servers[stream.server as usize];
        if let Some(out) = &server.send_proxy
            && matches!(stream.back.pending, Pending::Empty)
        {
            self.greeted += 1;
            let id = (self.hello.generation, self.hello.slot, self.greeted, stream.accepted);
            let header = super::header::header_for(out, stream.client, destination, id);
            // It goes the way of data from the front; the buffer pool need not have room for it, as
            // it fits into any socket's empty buffer.
            let descriptor = self.descriptors.get(stream.back.token)?;
            return Some(match send(descriptor, &header, SendFlags::NOSIGNAL) {
                Ok(sent) if sent == header.len() => Input::Greeted,
                // A socket that takes less than a header at its start has no memory.
                Ok(_) => Input::ConnectFailed(Failure::Resource),
                Err(errno) => Input::ConnectFailed(Self::failure_of(errno)),
            });
        }
        Some(Input::Greeted)
    }

    /// The destination, for servers that want it: asking the kernel is a system call.
    fn destination_if(
        &self,
        key: StreamKey,
        wants: impl FnOnce(&Server) -> bool,
    ) -> Option<SocketAddr> {
        let stream = self.streams.get(key as usize)?;
        let server = &self.config.backends[stream.backend as usize].servers[stream.server as usize];
        if wants(server) { self.destination(key) } else { None }
    }

    /// Something happened on the server's side of a stream.
    pub(crate) fn handle_back(&mut self, key: StreamKey, bits: u8) {
        use crate::poller::{FAILED, HUNG};
        let Some(stream) = self.streams.get(key as usize) else { return };
        match stream.machine.state() {
            State::Est if self.is_exchange(key) => self.handle_exchange_back(key, bits),
            State::Est => self.handle_flow(key, Side::Back, bits),
            State::Con if bits & (WRITE | FAILED | HUNG) != 0 => {
                self.handle_connecting(key, bits & (FAILED | HUNG) != 0);
            }
            // Between attempts, or when it is about to be closed: nothing that matters.
            _ => {}
        }
    }
}

fn target_of(server: &Server, destination: Option<SocketAddr>) -> Option<Target<'_>> {
    match &server.address {
        ServerAddress::Tcp(address) => Some(Target::Ip(*address)),
        ServerAddress::Unix(path) => Some(Target::Unix(path)),
        ServerAddress::TcpClientPort { ip, offset } => {
            let port = i32::from(destination?.port()) + offset;
            let port = u16::try_from(port).ok()?;
            Some(Target::Ip(SocketAddr::new(*ip, port)))
        }
        ServerAddress::Unresolved { .. } => None,
    }
}
