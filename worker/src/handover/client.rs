//! A client of mode http between two requests, packed and unpacked.
//!
//! Shell. Who retires lets go without a word; who takes over goes on where that one was: with the bytes
//! of the next request, and with waits that began when they began, bounded by the new configuration.

use portolan_shared::message::handover::{self, Client, Pooled, Verdict, What};
use portolan_shared::model::Mode;

use super::{Handing, Packer, Parcel, Unfit, Unpacker};
use crate::descriptor::{Owner, READ, Trigger, WRITE};
use crate::event_loop::Worker;
use crate::kept::Kept;
use crate::session::{Session, SessionKey, Stage, Then};
use crate::stream::NONE;
use crate::task::{Job, NEVER, Reasons};

impl Worker {
    /// Packs a client that is not busy.
    pub(super) fn pack_client(&mut self, key: SessionKey) -> Result<Parcel, Unfit> {
        self.drop_noisy_private(key);
        let private = self.private_for_successor(key);
        let session = self.sessions.get_mut(key as usize).ok_or(Unfit::NotNow)?;
        if matches!(session.handing, Handing::Moving | Handing::Refused) {
            return Err(Unfit::NotNow);
        }
        session.handing = Handing::Own;
        if matches!(session.stage, Stage::Busy(_)) {
            return Err(Unfit::NotNow);
        }
        let session = &self.sessions[key as usize];
        let mut packer = Packer::new();
        packer.connection(session.token);
        let input = packer.bytes(&session.input)?;
        let stage = match session.stage {
            Stage::Head | Stage::Busy(_) => handover::Stage::Head,
            Stage::Answering => handover::Stage::Answering {
                output: packer.bytes(&session.output)?,
                then: match session.then {
                    Then::Next => handover::Then::Next,
                    Then::Close => handover::Then::Close,
                    Then::Linger => handover::Then::Linger,
                },
            },
            Stage::Lingering => handover::Stage::Lingering,
        };
        if let Some((_, kept)) = private {
            packer.connection(kept.token);
        }
        let client = Client {
            origin: self.origin(
                (session.frontend, session.listener),
                (session.client, session.told.as_deref()),
                session.accepted,
            ),
            stage,
            input,
            idle_since: session.idle_since,
            began: (session.began != NEVER).then_some(session.began),
            requests: session.requests,
            last: self.objects_of(session.last),
            private: private.map(|(pooled, _)| pooled),
        };
        let task = session.task;
        self.tasks.schedule(task, NEVER);
        self.sessions[key as usize].handing = Handing::Moving;
        Ok(packer.close(What::Client(Box::new(client))))
    }

    /// The server connection that goes with a client.
    fn private_for_successor(&self, key: SessionKey) -> Option<(Pooled, Kept)> {
        let (backend, server, kept) = self.sessions.get(key as usize)?.private?;
        Some((self.pooled(backend, server, kept), kept))
    }

    /// A client's own server connection that has said something is of no use to anybody.
    fn drop_noisy_private(&mut self, key: SessionKey) {
        let private = self.sessions.get(key as usize).and_then(|session| session.private);
        if let Some((.., kept)) = private
            && !self.is_quiet(kept.token)
        {
            drop(self.descriptors.remove(kept.token));
            self.sessions[key as usize].private = None;
        }
    }

    fn objects_of(&self, (backend, server): (u32, u32)) -> Option<(u32, u32)> {
        let backend = self.config.backends.get(backend as usize)?;
        Some((backend.object, backend.servers.get(server as usize)?.object))
    }

    /// The other one has it: our copy goes, and it is counted once less.
    pub(super) fn let_client_go(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.try_remove(key as usize) else { return };
        if let Some((.., kept)) = session.private {
            drop(self.descriptors.remove(kept.token));
        }
        drop(self.descriptors.remove(session.token));
        self.tasks.remove(session.task);
        self.tell_jobs();
        self.release_client(session.listener);
    }

    /// A client is ours, again or from now on: it goes on where it was.
    pub(super) fn bring_client_back(&mut self, key: SessionKey, handing: Handing) {
        let Some(session) = self.sessions.get_mut(key as usize) else { return };
        session.handing = handing;
        let (token, task) = (session.token, session.task);
        let wanted = match session.stage {
            Stage::Answering => WRITE,
            Stage::Head | Stage::Lingering | Stage::Busy(_) => READ,
        };
        let unseen = session.stage == Stage::Head && !session.input.is_empty() && !session.seen;
        if let Some((.., kept)) = session.private {
            self.descriptors.bring_back(kept.token, Owner::Private(key));
            self.descriptors.want(kept.token, READ);
        }
        self.descriptors.bring_back(token, Owner::Client(key));
        self.descriptors.want(token, wanted);
        if unseen {
            self.tasks.wake(task, Reasons::RESOURCE);
        }
        self.rest_session(key);
    }

    /// Finds a place for a predecessor's client; it begins later.
    pub(super) fn take_client(
        &mut self,
        client: Client,
        mut unpacker: Unpacker,
    ) -> Result<SessionKey, Verdict> {
        let socket = unpacker.connection().ok_or(Verdict::NoPlace)?;
        let input = unpacker.bytes(client.input).ok_or(Verdict::NoPlace)?;
        let (stage, then, output) = match client.stage {
            handover::Stage::Head => (Stage::Head, Then::Next, Vec::new()),
            handover::Stage::Answering { output, then } => {
                let then = match then {
                    handover::Then::Next => Then::Next,
                    handover::Then::Close => Then::Close,
                    handover::Then::Linger => Then::Linger,
                };
                (Stage::Answering, then, unpacker.bytes(output).ok_or(Verdict::NoPlace)?)
            }
            handover::Stage::Lingering => (Stage::Lingering, Then::Linger, Vec::new()),
            handover::Stage::Busy => return Err(Verdict::NoPlace),
        };
        let entrance = self.entrance(&client.origin, Some(Mode::Http))?;
        let private = client.private.and_then(|pooled| {
            let socket = unpacker.connection()?;
            let (backend, server) = self.server_of(&pooled)?;
            Some((backend, server, socket, pooled.reuses))
        });
        let now = self.clock.now();
        let positions = self.positions();
        let key = self.sessions.vacant_key() as SessionKey;
        let token = self.descriptors.insert(socket, Owner::Moving, Trigger::Edge);
        self.descriptors.put_aside(token, Owner::Moving);
        let private = private.map(|(backend, server, socket, reuses)| {
            let token = self.descriptors.insert(socket, Owner::Moving, Trigger::Edge);
            self.descriptors.put_aside(token, Owner::Moving);
            (backend, server, Kept { token, reuses })
        });
        let task = self.tasks.create(Job::Session(key), entrance.nice);
        let from = (entrance.frontend, entrance.listener);
        let who = (entrance.client, entrance.told);
        let last = client.last.and_then(|(_, server)| positions.servers.get(&server).copied());
        self.sessions.insert(Session {
            stage,
            then,
            input,
            output,
            idle_since: client.idle_since.min(now),
            began: client.began.map_or(NEVER, |began| began.min(now)),
            requests: client.requests,
            last: last.unwrap_or((NONE, NONE)),
            private,
            handing: Handing::Moving,
            ..Session::new(token, task, from, who, entrance.accepted)
        });
        self.enter_client(entrance.listener);
        self.tell_jobs();
        Ok(key)
    }
}
