//! Server connections that wait for their next request: who may have one, and when they are closed.
//!
//! Shell around `kept`.
//!
//! | `http_reuse` | a client's first request | later requests |
//! | --- | --- | --- |
//! | never | a new connection | that client's own |
//! | safe | a new connection | any |
//! | aggressive | one that was used again before | any |
//! | always | any | any |
//!
//! A request that must not be sent twice gets a kept connection only as `safe` allows it.

use portolan_shared::model::{BackendId, HttpReuse, ServerId};
use rustix::io::Errno;

use crate::back::Input;
use crate::descriptor::{Owner, READ, Token, WRITE};
use crate::event_loop::Worker;
use crate::handover::is_private;
use crate::kept::Kept;
use crate::poller::{FAILED, HUNG};
use crate::protocol;
use crate::stream::{Side, StreamKey};

/// Reports that a kept connection says something, or has failed; that it can be written to is none.
const SPEAKS: u8 = READ | HUNG | FAILED;

impl Worker {
    /// A kept connection to the stream's server, if it may have one.
    pub(crate) fn use_kept(&mut self, key: StreamKey) -> Option<Input> {
        let now = self.clock.now();
        let stream = self.streams.get(key as usize)?;
        let exchange = stream.http.as_deref()?;
        if exchange.wants_new {
            return None;
        }
        let (backend, server) = (stream.backend, stream.server);
        let session = self.sessions.get_mut(stream.session as usize)?;
        let own = session.private.take_if(|(b, s, _)| (*b, *s) == (backend, server));
        let kept = if let Some((.., kept)) = own {
            Some(kept)
        } else {
            let (first, safe) = (session.requests <= 1, exchange.method.is_idempotent());
            self.take_kept(backend, server, first, safe)
        }?;
        let stream = self.streams.get_mut(key as usize)?;
        stream.back.begin_anew(kept.token, now);
        if let Some(exchange) = &mut stream.http {
            exchange.reuses = Some(kept.reuses);
        }
        if let Some(descriptor) = self.descriptors.get_mut(kept.token) {
            descriptor.owner = Owner::Back(key);
        }
        Some(Input::Ready)
    }

    fn take_kept(
        &mut self,
        backend: BackendId,
        server: ServerId,
        first: bool,
        idempotent: bool,
    ) -> Option<Kept> {
        let proven = match self.config.backends[backend as usize].http.reuse {
            HttpReuse::Never => return None,
            _ if !first => false,
            HttpReuse::Safe => return None,
            HttpReuse::Aggressive | HttpReuse::Always if !idempotent => return None,
            HttpReuse::Aggressive => true,
            HttpReuse::Always => false,
        };
        loop {
            let kept = self.backends[backend as usize].kept[server as usize].take(proven)?;
            match self.descriptors.get(kept.token) {
                Some(descriptor) if !descriptor.hung && !descriptor.ready(READ) => {
                    return Some(kept);
                }
                _ => drop(self.descriptors.remove(kept.token)),
            }
        }
    }

    /// The exchange is over and its server's connection may serve again: it is kept, for everybody or
    /// for this client.
    pub(crate) fn keep_connection(&mut self, key: StreamKey) {
        let token = self.token_of(key, Side::Back);
        let stays = self.exchange(key).is_some_and(|exchange| exchange.server_stays);
        if !stays || self.is_last_of_all() || !self.is_quiet(token) {
            return;
        }
        let Some(stream) = self.streams.get(key as usize) else { return };
        let Some(exchange) = stream.http.as_deref() else { return };
        let (id, server, session_key) = (stream.backend, stream.server, stream.session);
        let backend = &self.config.backends[id as usize];
        let of = &backend.servers[server as usize];
        let reuses = exchange.reuses.map_or(0, |reuses| reuses.saturating_add(1));
        if of.http.max_reuse.is_some_and(|most| reuses >= most) {
            return;
        }
        let private = exchange.private || is_private(backend, of);
        let kept = Kept { token, reuses };
        let owner = if private {
            let stays = exchange.client_stays;
            let Some(session) = self.sessions.get_mut(session_key as usize) else { return };
            if !stays {
                return;
            }
            if let Some((.., old)) = session.private.replace((id, server, kept)) {
                drop(self.descriptors.remove(old.token));
            }
            Owner::Private(session_key)
        } else {
            let number = self.http.first[id as usize] + server;
            if !self.add_kept(number, kept) {
                return;
            }
            Owner::Kept(number)
        };
        if let Some(stream) = self.streams.get_mut(key as usize) {
            stream.back.token = Token::NONE;
        }
        if let Some(descriptor) = self.descriptors.get_mut(token) {
            descriptor.owner = owner;
        }
        self.descriptors.stop(token, WRITE);
        self.descriptors.want(token, READ);
    }

    /// Adds a connection to those of a server, by its number; whether there was room for it.
    pub(crate) fn add_kept(&mut self, number: u32, kept: Kept) -> bool {
        let now = self.clock.now();
        let Some(&(backend, server)) = self.http.servers.get(number as usize) else { return false };
        let pool = &mut self.backends[backend as usize].kept[server as usize];
        if pool.keep(kept, now).is_err() {
            return false;
        }
        if !std::mem::replace(&mut pool.listed, true) {
            self.http.keeping.push(number);
        }
        self.offer_kept(number);
        true
    }

    /// Nothing unread, and no end.
    pub(crate) fn is_quiet(&mut self, token: Token) -> bool {
        let Some(descriptor) = self.descriptors.get(token) else { return false };
        if descriptor.ready(READ) && matches!(protocol::peek(descriptor), Err(Errno::AGAIN)) {
            // The last read took exactly what there was.
            self.descriptors.cant(token, READ);
        }
        self.descriptors.get(token).is_some_and(|it| !it.hung && !it.ready(READ))
    }

    /// A kept connection says something: its end, or what nobody asked for. Either way it is of no use.
    pub(crate) fn handle_kept(&mut self, number: u32, token: Token, bits: u8) {
        if bits & SPEAKS == 0 {
            return;
        }
        let Some((backend, server)) = self.http.servers.get(number as usize).copied() else {
            return;
        };
        if self.backends[backend as usize].kept[server as usize].forget(token) {
            drop(self.descriptors.remove(token));
        }
    }

    /// The same of one that is kept for a client.
    pub(crate) fn handle_private(&mut self, key: u32, token: Token, bits: u8) {
        if bits & SPEAKS == 0 {
            return;
        }
        let Some(session) = self.sessions.get_mut(key as usize) else { return };
        if session.private.take_if(|(.., kept)| kept.token == token).is_some() {
            drop(self.descriptors.remove(token));
        }
    }

    /// Closes what was not needed lately. Only servers that have connections are looked at.
    pub(crate) fn purge_kept(&mut self) {
        let now = self.clock.now();
        let Self { http, backends, descriptors, .. } = self;
        let servers = &http.servers;
        http.keeping.retain(|number| {
            let (backend, server) = servers[*number as usize];
            let pool = &mut backends[backend as usize].kept[server as usize];
            for kept in pool.purge(now) {
                drop(descriptors.remove(kept.token));
            }
            pool.listed = pool.len() > 0;
            pool.listed
        });
    }

    /// A server is down: what is kept of it will not serve again.
    pub(crate) fn close_kept_of(&mut self, id: BackendId, server: ServerId) {
        let pool = &mut self.backends[id as usize].kept[server as usize];
        while let Some(kept) = pool.take_oldest() {
            drop(self.descriptors.remove(kept.token));
        }
    }

    /// Descriptors are short: a kept connection gives way. Whether there was one.
    pub(crate) fn close_one_kept(&mut self) -> bool {
        while let Some(number) = self.http.keeping.last() {
            let (backend, server) = self.http.servers[*number as usize];
            let pool = &mut self.backends[backend as usize].kept[server as usize];
            if let Some(kept) = pool.take_oldest() {
                drop(self.descriptors.remove(kept.token));
                return true;
            }
            pool.listed = false;
            self.http.keeping.pop();
        }
        false
    }

    /// How many server connections wait for their next request.
    pub(crate) fn kept_connections(&self) -> usize {
        let shared = self.http.keeping.iter().map(|number| {
            let (backend, server) = self.http.servers[*number as usize];
            self.backends[backend as usize].kept[server as usize].len()
        });
        let private = self.sessions.iter().filter(|(_, session)| session.private.is_some());
        shared.sum::<usize>() + private.count()
    }

    /// A worker that stops keeps nothing.
    pub(crate) fn close_all_kept(&mut self) {
        while self.close_one_kept() {}
    }
}
