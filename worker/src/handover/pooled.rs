//! Server connections that wait for their next request, handed over where they are beyond doubt.
//!
//! Shell. A connection is used by another generation only where all that it was made of is the same
//! there; and only one that is idle, with nothing unread, is handed over at all. Whatever is not taken is
//! closed: it is worth no second try.

use portolan_shared::message::handover::{Pooled, Verdict, What};
use portolan_shared::model::{
    Backend, BackendId, ConnectionMode, HttpReuse, Server, ServerId, SourceAddress, Tune,
};

use super::{Packer, Parcel, Unfit, Unpacker};
use crate::descriptor::{Owner, READ, Token, Trigger};
use crate::event_loop::Worker;
use crate::kept::Kept;
use portolan_shared::standing::Usable;

/// Most connections of one server that are handed over without having ever been used again. Whether they are
/// needed is seen only after `pool_purge_delay`: where reloads come faster than that, they would be more and
/// more.
const UNPROVEN_MAX: usize = 8;

impl Worker {
    /// The next connection that is kept of a server.
    pub(super) fn pack_kept(&mut self, number: u32) -> Result<(Parcel, Token), Unfit> {
        let place = self.http.servers.get(number as usize).copied();
        let (backend, server) = place.ok_or(Unfit::NotNow)?;
        loop {
            let pool = &mut self.backends[backend as usize].kept[server as usize];
            let kept = match pool.take(true) {
                Some(proven) => proven,
                None if pool.len() > UNPROVEN_MAX => {
                    if let Some(surplus) = pool.take_oldest() {
                        drop(self.descriptors.remove(surplus.token));
                    }
                    continue;
                }
                None => pool.take(false).ok_or(Unfit::NotNow)?,
            };
            if !self.is_quiet(kept.token) {
                drop(self.descriptors.remove(kept.token));
                continue;
            }
            let mut packer = Packer::new();
            packer.connection(kept.token);
            let pooled = self.pooled(backend, server, kept);
            return Ok((packer.close(What::Pooled(pooled)), kept.token));
        }
    }

    /// What is said of a server connection.
    pub(super) fn pooled(&self, backend: BackendId, server: ServerId, kept: Kept) -> Pooled {
        let backend = &self.config.backends[backend as usize];
        let of = &backend.servers[server as usize];
        Pooled {
            backend: backend.object,
            server: of.object,
            identity: identity(backend, of, &self.config.tune),
            reuses: kept.reuses,
        }
    }

    /// Whose a predecessor's server connection is here, if it is of use.
    pub(super) fn server_of(&mut self, pooled: &Pooled) -> Option<(BackendId, ServerId)> {
        let (id, server) = self.positions().servers.get(&pooled.server).copied()?;
        let backend = &self.config.backends[id as usize];
        let of = &backend.servers[server as usize];
        let same = backend.object == pooled.backend
            && identity(backend, of, &self.config.tune) == pooled.identity
            && backend.http.connection_mode == ConnectionMode::KeepAlive
            && of.http.max_reuse.is_none_or(|most| pooled.reuses < most)
            && self.backends[id as usize].usable(server) != Usable::None;
        same.then_some((id, server))
    }

    /// Finds a place for a predecessor's server connection; it begins later.
    pub(super) fn take_pooled(
        &mut self,
        pooled: &Pooled,
        mut unpacker: Unpacker,
    ) -> Result<(u32, Kept), Verdict> {
        let socket = unpacker.connection().ok_or(Verdict::NoPlace)?;
        let (id, server) = self.server_of(pooled).ok_or(Verdict::NoPlace)?;
        let backend = &self.config.backends[id as usize];
        let of = &backend.servers[server as usize];
        let pool = &self.backends[id as usize].kept[server as usize];
        if is_private(backend, of) || !pool.has_room() || !self.room_for_connection() {
            return Err(Verdict::NoPlace);
        }
        let token = self.descriptors.insert(socket, Owner::Moving, Trigger::Edge);
        self.descriptors.put_aside(token, Owner::Moving);
        Ok((self.http.first[id as usize] + server, Kept { token, reuses: pooled.reuses }))
    }

    /// A server connection is ours: whoever may use it may use it now.
    pub(super) fn begin_kept(&mut self, number: u32, kept: Kept) {
        if self.add_kept(number, kept) {
            self.descriptors.bring_back(kept.token, Owner::Kept(number));
            self.descriptors.want(kept.token, READ);
        } else {
            drop(self.descriptors.remove(kept.token));
        }
    }
}

/// Whether connections of a server stay with the client for whom they were made.
pub(crate) fn is_private(backend: &Backend, server: &Server) -> bool {
    let source = server.source.as_ref().or(backend.source.as_ref()).map(|source| source.address);
    server.send_proxy.is_some()
        || matches!(source, Some(SourceAddress::ClientIp | SourceAddress::Client))
        || backend.http.reuse == HttpReuse::Never
}

/// What a server connection is made of, as one number: the same in every process and version that
/// makes it of the same.
pub(super) fn identity(backend: &Backend, server: &Server, tune: &Tune) -> u64 {
    let made_of = (
        &server.address,
        server.source.as_ref().or(backend.source.as_ref()),
        &server.send_proxy,
        backend.keepalive,
        (server.user_timeout, server.mss, server.fastopen),
        (tune.server_sndbuf, tune.server_rcvbuf),
    );
    // FNV-1a: nobody chooses these bytes in order to deceive.
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let bytes = postcard::to_allocvec(&made_of).unwrap_or_default();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash)
}

#[cfg(test)]
mod tests {
    use portolan_shared::model::{Keepalive, Mode, ServerAddress};

    use super::*;

    #[test]
    fn a_connection_is_the_same_only_where_all_is_that_it_was_made_of() {
        let there = |port| ServerAddress::Tcp(([127, 0, 0, 1], port).into());
        let (backend, server) = (Backend::new("b", Mode::Http), Server::new("s", there(80)));
        let tune = Tune::default();
        let known = identity(&backend, &server, &tune);
        let other_name = Server::new("other", there(80));
        assert_eq!(identity(&backend, &other_name, &tune), known, "a name is no part of it");
        assert_eq!(known, 17_789_046_988_276_676_517, "as every version reckons it");
        let changed = [
            identity(&backend, &Server::new("s", there(81)), &tune),
            identity(&backend, &Server { mss: Some(500), ..server.clone() }, &tune),
            identity(
                &Backend {
                    keepalive: Keepalive { on: true, ..Keepalive::default() },
                    ..backend.clone()
                },
                &server,
                &tune,
            ),
            identity(&backend, &server, &Tune { server_rcvbuf: Some(4096), ..tune }),
        ];
        for (at, one) in changed.iter().enumerate() {
            assert_ne!(*one, known);
            assert!(!changed[..at].contains(one));
        }
    }
}
