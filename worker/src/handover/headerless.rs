//! A client that owes a PROXY header, on its way to another process: its connection, and what it has sent of
//! the header.
//!
//! Shell. It owes the header as long as it lives, whatever the new configuration says of its bind: it has
//! begun to send one.

use portolan_shared::message::handover::{Headerless, Verdict, What};

use super::{Handing, Packer, Parcel, Unfit, Unpacker};
use crate::clock::millis;
use crate::descriptor::{Owner, READ, Trigger};
use crate::event_loop::Worker;
use crate::proxy_protocol::V2_BYTES_MAX;
use crate::stream::{Endpoint, HeaderWait, Stream, StreamKey};
use crate::task::{Job, NEVER};

impl Worker {
    /// The client, packed.
    pub(super) fn pack_headerless(&self, key: StreamKey) -> Result<Parcel, Unfit> {
        let stream = self.streams.get(key as usize).ok_or(Unfit::NotNow)?;
        let header = stream.header.as_deref().ok_or(Unfit::NotNow)?;
        let mut packer = Packer::new();
        packer.connection(stream.front.token);
        let headerless = Headerless {
            origin: self.origin(
                (stream.frontend, stream.listener),
                (stream.client, stream.told.as_deref()),
                stream.accepted,
            ),
            bytes: packer.bytes(&header.bytes)?,
        };
        Ok(packer.close(What::Headerless(Box::new(headerless))))
    }

    /// Finds the place of one that has come, and counts it; it begins later.
    pub(crate) fn take_headerless(
        &mut self,
        headerless: Headerless,
        mut unpacker: Unpacker,
    ) -> Result<StreamKey, Verdict> {
        let socket = unpacker.connection().ok_or(Verdict::NoPlace)?;
        let bytes = unpacker.bytes(headerless.bytes).ok_or(Verdict::NoPlace)?;
        if bytes.len() > V2_BYTES_MAX {
            return Err(Verdict::NoPlace);
        }
        let from = self.entrance(&headerless.origin, None)?;
        self.enter_client(from.listener);
        let now = self.clock.now();
        let frontend = &self.config.frontends[from.frontend as usize];
        let bind = &frontend.binds[self.listeners[from.listener as usize].bind as usize];
        let timeout = bind.accept_proxy.as_ref().and_then(|proxy| proxy.timeout);
        let timeout = timeout.or(frontend.timeouts.client);
        let wait_ends = timeout.map_or(NEVER, |timeout| from.accepted + millis(timeout));
        let key = self.streams.vacant_key() as StreamKey;
        let task = self.tasks.create(Job::Stream(key), from.nice);
        let token = self.descriptors.insert(socket, Owner::Moving, Trigger::Edge);
        self.descriptors.put_aside(token, Owner::Moving);
        let header = Some(Box::new(HeaderWait { bytes }));
        let front = Endpoint::new(token, now);
        self.streams.insert(Stream {
            header,
            wait_ends,
            handing: Handing::Moving,
            ..Stream::new(front, from.arrival(), task, now)
        });
        self.tell_jobs();
        Ok(key)
    }

    /// The rest of the header is awaited, in whichever process the client is now.
    pub(super) fn await_header(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        self.tasks.schedule(stream.task, stream.wait_ends);
        self.descriptors.want(stream.front.token, READ);
    }
}
