//! The successor: what comes in from those who retire, and what they are answered.
//!
//! Shell. Nothing is read from a connection before its answer is in the channel: who may have read from
//! it is known from the channel alone. What breaks a rule ends the link, and with it everything that was
//! not answered, which the other side takes back.

use std::os::fd::OwnedFd;

use portolan_shared::channel::{Channel, ChannelError, Received};
use portolan_shared::log::Kind;
use portolan_shared::message::DESCRIPTORS_MAX;
use portolan_shared::message::handover::{
    FromSuccessor, HANDOVER, INLINE_MAX, Moved, ToSuccessor, Verdict, What,
};
use portolan_shared::model::LogLevel;

use super::parcel::{HELD_MAX, bytes_of, descriptors_of};
use super::{Arrived, Handing, LINKS_MAX, LinkKey, MESSAGES_PER_CYCLE, Taking, Unpacker};
use crate::descriptor::{Owner, READ, Trigger, WRITE};
use crate::event_loop::Worker;
use crate::session::Session;
use crate::stream::{Pending, Stream};

impl Worker {
    /// The master has named one who retires: over this channel its living connections come.
    pub(crate) fn meet_predecessor(&mut self, socket: OwnedFd, generation: u32, slot: u16) {
        // Where it finds none the other side sees the end of the link, and says so to the master.
        let watched = socket.try_clone().ok();
        let Some(watched) = watched.filter(|_| self.handover.taking.len() < LINKS_MAX) else {
            let text = format_args!("a predecessor's channel finds no room here");
            self.log.say_limited(Kind::Resource, LogLevel::Err, text);
            return;
        };
        let key = self.handover.taking.vacant_key() as LinkKey;
        let token = self.descriptors.insert(watched, Owner::Predecessor(key), Trigger::Level);
        self.handover.taking.insert(Taking {
            channel: Channel::from(socket),
            token,
            generation,
            slot,
            understood: None,
            arrived: Vec::new(),
            taken: 0,
            refused: 0,
        });
        self.descriptors.want(token, READ);
    }

    /// Something happened on a link from a predecessor.
    pub(crate) fn handle_predecessor(&mut self, key: LinkKey, bits: u8) {
        let Some(link) = self.handover.taking.get_mut(key as usize) else { return };
        let token = link.token;
        if bits & WRITE != 0 {
            // One that is gone is seen by reading.
            let _ = link.channel.flush();
            self.begin_arrived(key);
        }
        for _ in 0..MESSAGES_PER_CYCLE {
            let Some(link) = self.handover.taking.get(key as usize) else { return };
            if link.channel.wants_write() {
                break;
            }
            self.make_room_for_message();
            let Some(link) = self.handover.taking.get(key as usize) else { return };
            match link.channel.receive_first_even_cut::<ToSuccessor>() {
                Ok(Some(received)) => {
                    if let Err(why) = self.take_message(key, received) {
                        self.break_with_predecessor(key, why);
                        return;
                    }
                }
                Ok(None) => break,
                Err(ChannelError::Closed) => {
                    self.lose_predecessor(key);
                    return;
                }
                // What the system refuses now it may give in the next cycle.
                Err(error @ ChannelError::Io(_)) => {
                    self.complain_of_link(&error);
                    break;
                }
                Err(error) => {
                    self.break_with_predecessor(key, &error.to_string());
                    return;
                }
            }
        }
        self.descriptors.cant(token, READ | WRITE);
        let waits =
            self.handover.taking.get(key as usize).is_some_and(|link| link.channel.wants_write());
        let (wanted, other) = if waits { (WRITE, READ) } else { (READ, WRITE) };
        self.descriptors.stop(token, other);
        self.descriptors.want(token, wanted);
    }

    /// The descriptors of a message are open before anybody can look at them.
    fn make_room_for_message(&mut self) {
        if self.spare_descriptors() < DESCRIPTORS_MAX {
            self.pipes.close_idle();
        }
        while self.spare_descriptors() < DESCRIPTORS_MAX && self.close_one_kept() {}
    }

    fn take_message(
        &mut self,
        key: LinkKey,
        received: Received<ToSuccessor>,
    ) -> Result<(), &'static str> {
        let Some(link) = self.handover.taking.get_mut(key as usize) else { return Ok(()) };
        let moved = match (received.message, link.understood) {
            (ToSuccessor::Hello { protocol, memory, .. }, None) => {
                let same = protocol == HANDOVER && memory == self.lane.memory().identity();
                link.understood = Some(same);
                if !same {
                    // Its next message may be none for us.
                    let _ = link.channel.send(&FromSuccessor::Declined, &[]);
                    return Err("it is of another version");
                }
                return Ok(());
            }
            (ToSuccessor::Moved(moved), Some(_)) => moved,
            (ToSuccessor::Hello { .. }, Some(_)) => return Err("it greeted twice"),
            (ToSuccessor::Moved(_), None) => return Err("it did not greet"),
        };
        let counts: Vec<usize> = moved.iter().map(|one| descriptors_of(&one.what)).collect();
        if received.descriptors.is_empty() && !moved.is_empty() {
            // There was no room for them here: those connections stay where they are, for now.
            let answers = moved.iter().map(|one| (one.number, Verdict::NoRoom)).collect();
            self.answer(key, answers, Vec::new());
            return Ok(());
        }
        if counts.iter().sum::<usize>() != received.descriptors.len() {
            return Err("descriptors are missing, or too many");
        }
        let from_files = moved.iter().any(|one| bytes_of(&one.what).1 > 0);
        // It is a walk over all that live here.
        let mut room = if from_files { HELD_MAX.saturating_sub(self.held_bytes()) } else { 0 };
        let mut descriptors = received.descriptors.into_iter();
        let mut answers = Vec::with_capacity(moved.len());
        let mut arrived = Vec::new();
        for (Moved { number, what }, count) in moved.into_iter().zip(counts) {
            let own: Vec<OwnedFd> = descriptors.by_ref().take(count).collect();
            let one = match bytes_of(&what) {
                (inline, _) if inline > INLINE_MAX => Err(Verdict::NoPlace),
                (_, files) if files > room => Err(Verdict::NoRoom),
                (_, files) => {
                    room -= files;
                    self.take_one(what, Unpacker::new(own), descriptors.len())
                }
            };
            let verdict = match one {
                Ok(one) => {
                    arrived.push(one);
                    Verdict::Taken
                }
                Err(verdict) => verdict,
            };
            answers.push((number, verdict));
        }
        self.answer(key, answers, arrived);
        Ok(())
    }

    /// Bytes that wait here for clients and servers, or for the rest of a message.
    fn held_bytes(&self) -> usize {
        let of_session = |session: &Session| session.input.len() + session.output.len();
        let waits = |pending: &Pending| match pending {
            Pending::Buffer { buffer, .. } => buffer.len(),
            Pending::Pipe { .. } | Pending::Empty => 0,
        };
        let of_stream = |stream: &Stream| {
            // The text is there twice, as text and as what was captured.
            let text = stream.http.as_ref().map_or(0, |http| 2 * http.text.bytes.len());
            let header = stream.header.as_ref().map_or(0, |header| header.bytes.len());
            waits(&stream.front.pending) + waits(&stream.back.pending) + text + header
        };
        let sessions: usize = self.sessions.iter().map(|(_, session)| of_session(session)).sum();
        sessions + self.streams.iter().map(|(_, stream)| of_stream(stream)).sum::<usize>()
    }

    /// Finds a place for a connection; `others` descriptors wait for theirs.
    fn take_one(
        &mut self,
        what: What,
        unpacker: Unpacker,
        others: usize,
    ) -> Result<Arrived, Verdict> {
        if self.stopping {
            // It has a better successor than this, or will have.
            return Err(Verdict::NoRoom);
        }
        if !matches!(what, What::Pooled(_)) && self.spare_descriptors() < others + 2 {
            return Err(Verdict::NoRoom);
        }
        match what {
            What::Client(client) => self.take_client(*client, unpacker).map(Arrived::Client),
            What::Pooled(pooled) => self
                .take_pooled(&pooled, unpacker)
                .map(|(number, kept)| Arrived::Kept(number, kept)),
            What::Tunnel(tunnel) => self.take_tunnel(&tunnel, unpacker).map(Arrived::Stream),
            What::Headerless(client) => {
                self.take_headerless(*client, unpacker).map(Arrived::Stream)
            }
        }
    }

    /// Says what became of them, then begins what was taken.
    fn answer(&mut self, key: LinkKey, answers: Vec<(u32, Verdict)>, arrived: Vec<Arrived>) {
        let Some(link) = self.handover.taking.get_mut(key as usize) else { return };
        link.taken += arrived.len() as u32;
        link.refused +=
            answers.iter().filter(|(_, verdict)| *verdict == Verdict::NoPlace).count() as u32;
        self.handover.taken += arrived.len() as u64;
        if !arrived.is_empty() {
            // Before the answer, after which the other one counts them no more.
            self.lane.memory().note_move();
        }
        link.arrived = arrived;
        match link.channel.send(&FromSuccessor::Answers(answers), &[]) {
            // Whoever has gone does not read any more.
            Ok(()) | Err(ChannelError::Closed) => self.begin_arrived(key),
            Err(error) => {
                self.break_with_predecessor(key, &error.to_string());
            }
        }
    }

    /// The answer is in the channel: what was taken is ours.
    fn begin_arrived(&mut self, key: LinkKey) {
        let Some(link) = self.handover.taking.get_mut(key as usize) else { return };
        if link.channel.wants_write() {
            return;
        }
        for arrived in std::mem::take(&mut link.arrived) {
            match arrived {
                Arrived::Client(session) => self.bring_client_back(session, Handing::Own),
                Arrived::Stream(stream) => self.bring_stream_back(stream, Handing::Own),
                Arrived::Kept(number, kept) => self.begin_kept(number, kept),
            }
        }
    }

    /// It will not learn that these were taken: they stay its own.
    fn drop_arrived(&mut self, arrived: Vec<Arrived>) {
        for arrived in arrived {
            match arrived {
                Arrived::Client(session) => self.let_client_go(session),
                Arrived::Stream(stream) => self.let_stream_go(stream),
                Arrived::Kept(_, kept) => drop(self.descriptors.remove(kept.token)),
            }
        }
    }

    fn break_with_predecessor(&mut self, key: LinkKey, why: &str) {
        self.log.say(LogLevel::Err, format_args!("a predecessor is not listened to: {why}"));
        self.drop_predecessor(key);
    }

    pub(super) fn drop_predecessor(&mut self, key: LinkKey) {
        let Some(link) = self.handover.taking.get_mut(key as usize) else { return };
        let arrived = std::mem::take(&mut link.arrived);
        self.drop_arrived(arrived);
        self.remove_predecessor(key);
    }

    /// Breaks every link from a predecessor.
    #[cfg(test)]
    pub(crate) fn drop_predecessors(&mut self) {
        let keys: Vec<LinkKey> =
            self.handover.taking.iter().map(|(key, _)| key as LinkKey).collect();
        for key in keys {
            self.drop_predecessor(key);
        }
    }

    /// It has gone, and all that it sent was taken: nobody waits for an answer.
    fn lose_predecessor(&mut self, key: LinkKey) {
        if let Some(link) = self.handover.taking.get_mut(key as usize) {
            for arrived in std::mem::take(&mut link.arrived) {
                match arrived {
                    Arrived::Client(session) => self.bring_client_back(session, Handing::Own),
                    Arrived::Stream(stream) => self.bring_stream_back(stream, Handing::Own),
                    Arrived::Kept(number, kept) => self.begin_kept(number, kept),
                }
            }
        }
        self.remove_predecessor(key);
    }

    fn remove_predecessor(&mut self, key: LinkKey) {
        let Some(link) = self.handover.taking.try_remove(key as usize) else { return };
        self.forget_link(link.token);
        if link.taken > 0 || link.refused > 0 {
            let (slot, generation) = (link.slot + 1, link.generation);
            let (taken, refused) = (link.taken, link.refused);
            let text = format_args!(
                "{taken} connections of worker {slot} of generation {generation} were taken over, there was no place for {refused}"
            );
            self.log.say(LogLevel::Notice, text);
        }
    }
}
