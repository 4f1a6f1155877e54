//! A stream whose bytes flow, on its way to another process: mode tcp, or a tunnel of mode http.
//!
//! Shell.
//!
//! - It can be moved at any moment between two steps of the loop: what was read and not taken goes along,
//!   in a pipe as that pipe; what is in the kernel stays there.
//! - Its one log line is written by whoever has it at its end; so are its totals counted.
//! - Timeouts go on from when a byte last moved, as long as the new configuration has them.
//! - What became of its server since its old worker has looked is followed by the new one.

use std::os::fd::OwnedFd;

use portolan_shared::memory::Place;
use portolan_shared::message::handover::{self, Tunnel, Verdict, What};
use portolan_shared::model::{BackendId, Mode, ServerId};

use super::positions::Entrance;
use super::{Handing, Packer, Parcel, Unfit, Unpacker};
use crate::back::{Back, Input};
use crate::backend::Change;
use crate::clock::Millis;
use crate::descriptor::{Owner, READ, Trigger, WRITE};
use crate::event_loop::Worker;
use crate::pool::{Buffers, Pipes};
use crate::stream::{Endpoint, NONE, Pending, Side, Stream, StreamKey, splice_of};
use crate::task::{Job, NEVER};
use crate::termination::{Cause, Phase, Termination};

/// More bytes than any connection carries in centuries; keeps a false count from running over.
const RECEIVED_MAX: u64 = 1 << 62;

/// How long after an order a stream may still arrive that was on its way then: longer than any is.
const UNDER_WAY_MS: Millis = 10_000;

/// A tunnel's side as it came.
struct Arrived {
    fd: OwnedFd,
    side: handover::Endpoint,
    pending: Waiting,
}

/// What waits on it.
enum Waiting {
    Nothing,
    Bytes(Vec<u8>),
    Pipe(OwnedFd, OwnedFd, u32),
}

impl Worker {
    /// Packs a stream whose bytes flow, or that owes a PROXY header.
    pub(crate) fn pack_stream(&mut self, key: StreamKey) -> Result<Parcel, Unfit> {
        let stream = self.streams.get_mut(key as usize).ok_or(Unfit::NotNow)?;
        if matches!(stream.handing, Handing::Moving | Handing::Refused) {
            return Err(Unfit::NotNow);
        }
        stream.handing = Handing::Own;
        let (headerless, backend) = (stream.header.is_some(), stream.backend);
        let parcel = if headerless {
            self.pack_headerless(key)?
        } else if self.is_tunnel(key) {
            // What its server has become is followed here, or else by the other one.
            self.refresh(backend);
            self.follow_changes();
            self.pack_tunnel(key)?
        } else {
            return Err(Unfit::NotNow);
        };
        let stream = &mut self.streams[key as usize];
        stream.handing = Handing::Moving;
        self.tasks.schedule(stream.task, NEVER);
        Ok(parcel)
    }

    /// Whether bytes are only passed on from one side to the other.
    fn is_tunnel(&self, key: StreamKey) -> bool {
        self.flows(key) && !self.is_exchange(key)
    }

    fn pack_tunnel(&self, key: StreamKey) -> Result<Parcel, Unfit> {
        let stream = self.streams.get(key as usize).ok_or(Unfit::NotNow)?;
        let backend = &self.config.backends[stream.backend as usize];
        let server = &backend.servers[stream.server as usize];
        let mut packer = Packer::new();
        packer.connection(stream.front.token);
        packer.connection(stream.back.token);
        let tunnel = Tunnel {
            origin: self.origin(
                (stream.frontend, stream.listener),
                (stream.client, stream.told.as_deref()),
                stream.accepted,
            ),
            backend: backend.object,
            server: server.object,
            states_version: self.lane.memory().states_version(backend.object),
            asked: stream.asked,
            queue_ms: stream.queue_ms,
            connect_ms: stream.connect_ms,
            queue_position: stream.queue_position,
            server_queue_position: stream.server_queue_position,
            retries: stream.machine.retries(),
            redispatched: stream.machine.redispatched(),
            logged: stream.logged,
            source: stream.source.as_deref().copied(),
            front: pack_side(&stream.front, &mut packer)?,
            back: pack_side(&stream.back, &mut packer)?,
            http: self.pack_exchange(stream, &mut packer)?.map(Box::new),
        };
        Ok(packer.close(What::Tunnel(Box::new(tunnel))))
    }

    /// Finds the place of a tunnel that has come, counts it, makes its stream; it begins later.
    pub(crate) fn take_tunnel(
        &mut self,
        tunnel: &Tunnel,
        mut unpacker: Unpacker,
    ) -> Result<StreamKey, Verdict> {
        let positions = self.positions();
        let place = *positions.servers.get(&tunnel.server).ok_or(Verdict::NoPlace)?;
        if self.backends[place.0 as usize].object != tunnel.backend {
            return Err(Verdict::NoPlace);
        }
        let sides = unpack_sides(tunnel, &mut unpacker).ok_or(Verdict::NoPlace)?;
        let exchange = match &tunnel.http {
            None => None,
            Some(http) => Some((
                self.unpack_exchange(http, place.0, &mut unpacker).ok_or(Verdict::NoPlace)?,
                http.requests,
            )),
        };
        let mode = if exchange.is_some() { Mode::Http } else { Mode::Tcp };
        let from = self.entrance(&tunnel.origin, Some(mode))?;
        // It has its place: nothing fails from here on.
        self.enter_client(from.listener);
        let key = self.insert_tunnel(tunnel, &from, place, sides);
        if let Some((exchange, requests)) = exchange {
            self.streams[key as usize].http = Some(exchange);
            self.make_session(key, requests, from.nice);
        } else {
            self.streams[key as usize].task = self.tasks.create(Job::Stream(key), from.nice);
        }
        if self.lane.memory().states_version(tunnel.backend) != tunnel.states_version {
            self.handover.outdated.push(key);
        }
        self.tell_jobs();
        Ok(key)
    }

    /// The stream, without what depends on its mode.
    fn insert_tunnel(
        &mut self,
        tunnel: &Tunnel,
        from: &Entrance,
        (backend, server): (BackendId, ServerId),
        [front, back]: [Arrived; 2],
    ) -> StreamKey {
        let now = self.clock.now();
        let key = self.streams.vacant_key() as StreamKey;
        let (front, back) = (self.arrived(front, now), self.arrived(back, now));
        let mut stream = Stream {
            told: from.told.clone(),
            back,
            machine: Back::established(tunnel.retries, tunnel.redispatched),
            backend,
            server,
            asked: tunnel.asked.min(now),
            queue_ms: tunnel.queue_ms,
            connect_ms: tunnel.connect_ms,
            queue_position: tunnel.queue_position,
            server_queue_position: tunnel.server_queue_position,
            logged: tunnel.logged,
            holds_server: true,
            holds_backend: true,
            handing: Handing::Moving,
            source: tunnel.source.map(Box::new),
            ..Stream::new(front, from.arrival(), NONE, now)
        };
        let splice = splice_of(&self.config, &stream);
        for (side, always) in
            [(&mut stream.front, splice.request), (&mut stream.back, splice.response)]
        {
            side.splice = always || (splice.auto && side.splice);
            side.splice_allowed = splice.auto;
        }
        self.streams.insert(stream);
        let state = &self.backends[backend as usize];
        for place in [state.gauge, state.place_for_all(server)] {
            // Without a limit there is always one.
            let _ = self.lane.enter(&Place { cap: None, ..place });
        }
        key
    }

    fn arrived(&mut self, arrived: Arrived, now: Millis) -> Endpoint {
        let Self { descriptors, buffers, pipes, .. } = self;
        let side = &arrived.side;
        let token = descriptors.insert(arrived.fd, Owner::Moving, Trigger::Edge);
        descriptors.put_aside(token, Owner::Moving);
        Endpoint {
            moved: side.moved.min(now),
            received: side.received.min(RECEIVED_MAX),
            pending: arrived.pending.settle(buffers, pipes),
            ended: side.ended,
            shut: side.shut,
            splice: side.splice,
            copy_only: side.copy_only,
            ..Endpoint::new(token, now)
        }
    }

    /// A stream is ours, again or from now on: it goes on where it was.
    pub(crate) fn bring_stream_back(&mut self, key: StreamKey, handing: Handing) {
        let Some(stream) = self.streams.get_mut(key as usize) else { return };
        stream.handing = handing;
        let (front, back) = (stream.front.token, stream.back.token);
        self.descriptors.bring_back(front, Owner::Front(key));
        self.descriptors.bring_back(back, Owner::Back(key));
        if self.streams[key as usize].header.is_some() {
            self.await_header(key);
        } else {
            if self.take_mark(key) {
                self.changes.push(Change::Came(key));
            }
            self.resume_tunnel(key);
            if let Some(why) = self.pardon(key).or_else(|| self.was_shut_down(key)) {
                self.drive(key, Input::Over(Termination::new(why, Phase::Data)));
            }
        }
        // For another successor, or the same one once it has room.
        self.offer_stream(key);
    }

    /// Reads and writes again.
    fn resume_tunnel(&mut self, key: StreamKey) {
        if self.streams.get(key as usize).is_some_and(|stream| stream.source.is_none()) {
            self.note_source(key);
        }
        self.rest(key);
        for side in [Side::Front, Side::Back] {
            let Some(stream) = self.streams.get_mut(key as usize) else { return };
            let (source, sink) = stream.direction(side);
            let (token, other) = (source.token, sink.token);
            let passes_end_on = source.ended && !sink.shut;
            if source.pending.is_empty() && !passes_end_on {
                // A side that has ended is still heard where it fails.
                let wanted = if source.ended { 0 } else { READ };
                self.descriptors.want(token, wanted);
            } else {
                // No event may ever come for what waits here.
                self.descriptors.want(token, 0);
                self.descriptors.may(other, WRITE);
                self.relay(key, side);
            }
        }
    }

    /// The other one has it: our copies go, and it is counted once less.
    pub(crate) fn let_stream_go(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key as usize) else { return };
        for token in [stream.front.token, stream.back.token] {
            drop(self.descriptors.remove(token));
        }
        let _ = (self.take_mark(key), self.pardon(key));
        self.release_server(key);
        self.release_backend(key);
        let Some(mut stream) = self.remove_stream(key) else { return };
        self.tasks.remove(stream.task);
        if let Some(exchange) = stream.http.take() {
            self.http.recycle(exchange);
        }
        if let Some(session) = self.sessions.try_remove(stream.session as usize)
            && let Some((.., kept)) = session.private
        {
            drop(self.descriptors.remove(kept.token));
        }
        self.tell_jobs();
        self.release_client(stream.listener);
    }

    /// Whether a stream is between two workers, so that nothing may be done to it.
    #[inline]
    pub(crate) fn is_moving(&self, key: StreamKey) -> bool {
        let moving = |stream: &Stream| stream.handing == Handing::Moving;
        self.streams.get(key as usize).is_some_and(moving)
    }

    /// A stream that is under way has to end, if it comes back.
    pub(crate) fn condemn(&mut self, key: StreamKey, why: Cause) {
        self.handover.condemned.push((key, why));
    }

    fn pardon(&mut self, key: StreamKey) -> Option<Cause> {
        let at = self.handover.condemned.iter().position(|(other, _)| *other == key)?;
        Some(self.handover.condemned.swap_remove(at).1)
    }

    /// Why it is over, if an operator ended its server's streams while it was under way: its old worker had
    /// given it away by then, and we did not have it.
    fn was_shut_down(&self, key: StreamKey) -> Option<Cause> {
        let stream = self.streams.get(key as usize)?;
        let backend = self.config.backends.get(stream.backend as usize)?;
        let ordered = *self.shut_down.get(&backend.servers.get(stream.server as usize)?.object)?;
        let is_recent = self.clock.now().saturating_sub(ordered) <= UNDER_WAY_MS;
        (is_recent && stream.accepted <= ordered).then_some(Cause::Killed)
    }

    /// Whether its old worker has not followed the last change of its servers.
    fn take_mark(&mut self, key: StreamKey) -> bool {
        let at = self.handover.outdated.iter().position(|other| *other == key);
        at.map(|at| self.handover.outdated.swap_remove(at)).is_some()
    }
}

impl Waiting {
    fn settle(self, buffers: &mut Buffers, pipes: &mut Pipes) -> Pending {
        match self {
            Self::Nothing => Pending::Empty,
            Self::Bytes(bytes) => Pending::Buffer { buffer: buffers.hold(&bytes), start: 0 },
            Self::Pipe(reader, writer, held) => {
                Pending::Pipe { pipe: pipes.adopt(reader, writer), held }
            }
        }
    }
}

fn pack_side(side: &Endpoint, packer: &mut Packer) -> Result<handover::Endpoint, Unfit> {
    let pending = match &side.pending {
        Pending::Buffer { buffer, start } if !side.pending.is_empty() => {
            handover::Pending::Bytes(packer.bytes(&buffer[*start as usize..])?)
        }
        Pending::Pipe { pipe, held } if *held > 0 => {
            for end in [&pipe.reader, &pipe.writer] {
                packer.file(end.try_clone().map_err(|_| Unfit::Later)?);
            }
            handover::Pending::Pipe { held: *held }
        }
        _ => handover::Pending::Empty,
    };
    Ok(handover::Endpoint {
        moved: side.moved,
        received: side.received,
        pending,
        ended: side.ended,
        shut: side.shut,
        splice: side.splice,
        copy_only: side.copy_only,
    })
}

/// Both sides of a tunnel.
fn unpack_sides(tunnel: &Tunnel, unpacker: &mut Unpacker) -> Option<[Arrived; 2]> {
    let (front, back) = (unpacker.connection()?, unpacker.connection()?);
    let mut arrived = |fd, side: &handover::Endpoint| {
        let pending = unpack_pending(&side.pending, unpacker)?;
        Some(Arrived { fd, side: side.clone(), pending })
    };
    Some([arrived(front, &tunnel.front)?, arrived(back, &tunnel.back)?])
}

fn unpack_pending(pending: &handover::Pending, unpacker: &mut Unpacker) -> Option<Waiting> {
    Some(match pending {
        handover::Pending::Empty => Waiting::Nothing,
        handover::Pending::Bytes(bytes) => match unpacker.bytes(bytes.clone())? {
            bytes if bytes.is_empty() => Waiting::Nothing,
            bytes => Waiting::Bytes(bytes),
        },
        handover::Pending::Pipe { held } => {
            let (reader, writer) = unpacker.pipe(*held)?;
            Waiting::Pipe(reader, writer, *held)
        }
    })
}
