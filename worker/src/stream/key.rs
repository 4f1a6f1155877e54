//! The key by which a stream's server is found, where its backend balances by keys.
//!
//! Shell around `balance::key`.
//!
//! - A key of the client's address or of the first bytes is found when a backend is asked; that of a
//!   request while its head is there, or, where its content has it, when that is there too.
//! - A client whose first bytes hold the key is waited for a while before it gets a server; without
//!   one it is a server's turn.

use portolan_shared::capture::Peer;
use portolan_shared::model::{Backend, BackendId, Balance};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::StreamKey;
use crate::back::Input;
use crate::balance::key::{Rdp, of_form, rdp_cookie};
use crate::balance::{Key, hash};
use crate::clock::{Millis, millis};
use crate::descriptor::READ;
use crate::event_loop::Worker;
use crate::exchange::Exchange;
use crate::http1::Method;
use crate::task::NEVER;
use crate::termination::Cause;

/// The longest wait for a client's first bytes.
const FIRST_BYTES_MS: Millis = 5000;

impl Worker {
    /// The key of a stream that asks this backend for a server.
    pub(crate) fn note_key(&mut self, key: StreamKey, id: BackendId) {
        let backend = &self.config.backends[id as usize];
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        if let Some(exchange) = stream.http.as_deref() {
            stream.hash = exchange.hash.or_else(|| key_of_content(backend, exchange));
        }
        if matches!(backend.balance, Balance::Source)
            && let Some(client) = stream.client.ip()
        {
            stream.hash = Some(hash(&backend.hashing, Key::Address(client.ip())));
        }
    }

    /// Whether a client's first bytes are waited for before it asks this backend.
    pub(crate) fn awaits_first_bytes(&mut self, key: StreamKey, id: BackendId) -> bool {
        if !matches!(self.config.backends[id as usize].balance, Balance::RdpCookie { .. }) {
            return false;
        }
        let now = self.clock.now();
        let Some(stream) = self.streams.get_mut(key as usize) else { return false };
        let timeout = self.config.frontends[stream.frontend as usize].timeouts.client;
        let wait = timeout.map_or(FIRST_BYTES_MS, |client| millis(client).min(FIRST_BYTES_MS));
        stream.wait_ends = now + wait;
        let (task, ends, token) = (stream.task, stream.wait_ends, stream.front.token);
        self.tasks.schedule(task, ends);
        self.descriptors.want(token, READ);
        true
    }

    /// The client sent something that may hold its key.
    pub(crate) fn look_at_first_bytes(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        let token = stream.front.token;
        let frontend = &self.config.frontends[stream.frontend as usize];
        let Some(id) = frontend.default_backend else { return };
        let backend = &self.config.backends[id as usize];
        let Balance::RdpCookie { name } = &backend.balance else { return };
        let Some(descriptor) = self.descriptors.get(token) else { return };
        let seen = match recv(descriptor, &mut self.scratch[..], RecvFlags::PEEK) {
            Ok((0, _)) => return self.drive(key, Input::Aborted(Cause::Client)),
            Ok((seen, _)) => seen,
            Err(Errno::AGAIN | Errno::INTR) => return self.descriptors.cant(token, READ),
            Err(_) => return self.drive(key, Input::Aborted(Cause::Client)),
        };
        self.scratch.note(seen, self.clock.now(), Peer::Client, stream.client.ip());
        match rdp_cookie(&self.scratch[..seen], name.as_bytes()) {
            // What comes next is reported again.
            Rdp::Short => return self.descriptors.cant(token, READ),
            Rdp::Cookie(value) => stream.hash = Some(hash(&backend.hashing, Key::Bytes(value))),
            Rdp::Absent => {}
        }
        self.first_bytes_known(key);
    }

    /// They are known, or late: the client gets a server.
    pub(crate) fn first_bytes_known(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        stream.wait_ends = NEVER;
        let backend = self.config.frontends[stream.frontend as usize].default_backend;
        self.ask_backend(key, backend);
    }
}

/// The key in a form that was sent with a request.
fn key_of_content(backend: &Backend, exchange: &Exchange) -> Option<u32> {
    let Balance::UrlParam { name, check_post: true } = &backend.balance else { return None };
    if exchange.method != Method::Post || exchange.chunked_out {
        return None;
    }
    let content = exchange.out.get(exchange.head_out..)?;
    of_form(content, name.as_bytes()).map(|value| hash(&backend.hashing, Key::Bytes(value)))
}
