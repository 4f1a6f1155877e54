//! The one who retires: what it offers, what is under way, what comes back.
//!
//! Shell.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use portolan_shared::channel::{Channel, ChannelError};
use portolan_shared::message::handover::{FromSuccessor, HANDOVER, Moved, ToSuccessor, Verdict};
use portolan_shared::message::{DESCRIPTORS_MAX, MESSAGE_MAX, ToMaster};
use portolan_shared::model::LogLevel;
use postcard::ser_flavors::Size;

use super::parcel::{self, Enclosed};
use super::{
    BATCH_BYTES, CONNECTIONS_PER_CYCLE, Giving, Gone, Handing, LinkKey, NO_ROOM_MS, Offer, Parcel,
    Unfit,
};
use crate::descriptor::{Owner, READ, Token, Trigger, WRITE};
use crate::event_loop::Worker;
use crate::session::SessionKey;
use crate::stream::StreamKey;
use crate::task::NEVER;

/// Connections of one message.
#[derive(Debug, Default)]
struct Batch {
    moved: Vec<Moved>,
    sent: Vec<(u32, Gone, usize)>,
    enclosed: Vec<Enclosed>,
    bytes: usize,
}

impl Worker {
    /// The master has named a successor: over this channel living connections go to it.
    /// `None`: there was no room for its descriptor.
    pub(crate) fn meet_successor(&mut self, socket: Option<OwnedFd>, generation: u32, slot: u16) {
        self.handover.links = self.handover.links.wrapping_add(1);
        let watched = socket.as_ref().and_then(|socket| socket.try_clone().ok());
        let (Some(socket), Some(watched)) = (socket, watched) else {
            self.log.say(LogLevel::Err, format_args!("a successor's channel finds no room here"));
            self.ask_for_link();
            return;
        };
        let key = self.handover.giving.vacant_key() as LinkKey;
        let token = self.descriptors.insert(watched, Owner::Successor(key), Trigger::Level);
        let mut channel = Channel::from(socket);
        let hello = ToSuccessor::Hello {
            protocol: HANDOVER,
            generation: self.hello.generation,
            lane: self.lane.number(),
            memory: self.lane.memory().identity(),
        };
        // That nobody is there is seen when it is read.
        let _ = channel.send(&hello, &[]);
        self.handover.giving.insert(Giving {
            channel,
            token,
            generation,
            slot,
            numbers: 0,
            under_way: std::collections::BTreeMap::new(),
            descriptors: 0,
            taken: 0,
            refused: 0,
        });
        self.descriptors.want(token, READ);
        let before = self.handover.newest.replace(key);
        self.handover.rests_until = 0;
        if let Some(before) = before {
            self.close_link_if_over(before);
        }
        // What one had no place for, another may.
        for (_, session) in &mut self.sessions {
            if session.handing == Handing::Refused {
                session.handing = Handing::Own;
            }
        }
        for (_, stream) in &mut self.streams {
            if stream.handing == Handing::Refused {
                stream.handing = Handing::Own;
            }
        }
        self.offer_all();
    }

    /// Another master has the channel, and counts from none.
    pub(crate) fn count_links_anew(&mut self) {
        self.handover.links = 0;
    }

    /// There is no link to a successor any more, but for what nobody has taken it would still be of use.
    fn ask_for_link(&mut self) {
        if self.followed {
            self.tell(&ToMaster::Unlinked { links: self.handover.links });
        }
    }

    /// Everything that lives here is offered to the present successor.
    pub(crate) fn offer_all(&mut self) {
        self.handover.offers.clear();
        if !self.gives() {
            return;
        }
        let kept = self.http.keeping.iter().map(|number| Offer::Kept(*number));
        self.handover.offers.extend(kept);
        for (key, session) in &mut self.sessions {
            if matches!(session.handing, Handing::Own | Handing::Offered) {
                session.handing = Handing::Offered;
                self.handover.offers.push_back(Offer::Client(key as SessionKey));
            }
        }
        for (key, stream) in &mut self.streams {
            if matches!(stream.handing, Handing::Own | Handing::Offered) {
                stream.handing = Handing::Offered;
                self.handover.offers.push_back(Offer::Stream(key as StreamKey));
            }
        }
    }

    /// Bytes of a stream flow from now on, or it waits for a PROXY header.
    #[inline]
    pub(crate) fn offer_stream(&mut self, key: StreamKey) {
        if !self.gives() {
            return;
        }
        if let Some(stream) = self.streams.get_mut(key as usize)
            && stream.handing == Handing::Own
        {
            stream.handing = Handing::Offered;
            self.handover.offers.push_back(Offer::Stream(key));
        }
    }

    /// A client of mode http has nothing to do with a stream now.
    #[inline]
    pub(crate) fn offer_client(&mut self, key: SessionKey) {
        if !self.gives() {
            return;
        }
        if let Some(session) = self.sessions.get_mut(key as usize)
            && session.handing == Handing::Own
        {
            session.handing = Handing::Offered;
            self.handover.offers.push_back(Offer::Client(key));
        }
    }

    /// A server connection was kept.
    pub(crate) fn offer_kept(&mut self, number: u32) {
        if self.gives() {
            self.handover.offers.push_back(Offer::Kept(number));
        }
    }

    /// Nobody follows: what is not under way stays.
    pub(crate) fn stop_giving(&mut self) {
        self.handover.offers.clear();
        if let Some(key) = self.handover.newest.take() {
            self.close_link_if_over(key);
        }
    }

    /// Packs and sends as much as a cycle may.
    pub(crate) fn hand_over(&mut self) {
        let Some(key) = self.handover.newest else { return };
        if !self.can_hand_over() {
            return;
        }
        let mut batch = Batch::default();
        for _ in 0..CONNECTIONS_PER_CYCLE {
            if !self.can_offer(batch.enclosed.len()) {
                break;
            }
            let Some(offer) = self.handover.offers.pop_front() else { break };
            let (parcel, gone) = match self.pack(offer) {
                Ok(packed) => packed,
                Err(Unfit::NotNow) => continue,
                Err(Unfit::Later) => {
                    self.handover.offers.push_front(offer);
                    self.pause_handover();
                    break;
                }
            };
            let size = postcard::serialize_with_flavor(&parcel.what, Size::default());
            let size = size.unwrap_or(usize::MAX).saturating_add(8);
            if size > MESSAGE_MAX - 64 {
                // Too long for any message: it ends here.
                self.put_aside(&parcel);
                self.return_one(gone, Handing::Refused);
                continue;
            }
            let full = batch.enclosed.len() + parcel.enclosed.len() > DESCRIPTORS_MAX
                || batch.bytes + size > BATCH_BYTES;
            if full {
                self.send_batch(key, std::mem::take(&mut batch));
            }
            self.put_aside(&parcel);
            let Some(link) = self.handover.giving.get_mut(key as usize) else {
                self.return_one(gone, Handing::Own);
                return;
            };
            link.numbers = link.numbers.wrapping_add(1);
            let number = link.numbers;
            batch.sent.push((number, gone, parcel.enclosed.len()));
            batch.moved.push(Moved { number, what: parcel.what });
            batch.enclosed.extend(parcel.enclosed);
            batch.bytes += size;
        }
        self.send_batch(key, batch);
    }

    fn pack(&mut self, offer: Offer) -> Result<(Parcel, Gone), Unfit> {
        match offer {
            Offer::Client(key) => Ok((self.pack_client(key)?, Gone::Client(key))),
            Offer::Stream(key) => Ok((self.pack_stream(key)?, Gone::Stream(key))),
            Offer::Kept(number) => {
                let (parcel, token) = self.pack_kept(number)?;
                // There may be more of it.
                self.handover.offers.push_front(offer);
                Ok((parcel, Gone::Kept(token)))
            }
        }
    }

    /// Nothing but the answer touches its connections from now on.
    pub(crate) fn put_aside(&mut self, parcel: &Parcel) {
        for enclosed in &parcel.enclosed {
            if let Enclosed::Connection(token) = enclosed {
                if let Some(descriptor) = self.descriptors.get(*token) {
                    self.poller.forget(descriptor);
                }
                self.descriptors.put_aside(*token, Owner::Moving);
            }
        }
    }

    fn send_batch(&mut self, key: LinkKey, batch: Batch) {
        if batch.moved.is_empty() {
            return;
        }
        let Some(link) = self.handover.giving.get_mut(key as usize) else {
            batch.sent.into_iter().for_each(|(_, gone, _)| self.return_one(gone, Handing::Own));
            return;
        };
        let enclosed: Option<Vec<BorrowedFd<'_>>> = batch
            .enclosed
            .iter()
            .map(|enclosed| match enclosed {
                Enclosed::Connection(token) => self.descriptors.get(*token).map(AsFd::as_fd),
                Enclosed::File(file) => Some(file.as_fd()),
            })
            .collect();
        let sent = match enclosed {
            Some(enclosed) => link.channel.send(&ToSuccessor::Moved(batch.moved), &enclosed),
            None => Err(ChannelError::Descriptors),
        };
        match sent {
            Ok(()) => {
                for (number, gone, descriptors) in batch.sent {
                    link.descriptors += descriptors;
                    link.under_way.insert(number, (gone, descriptors));
                }
                if link.channel.wants_write() {
                    self.descriptors.want(link.token, WRITE);
                }
            }
            Err(error) => {
                batch.sent.into_iter().for_each(|(_, gone, _)| self.return_one(gone, Handing::Own));
                match error {
                    // What it has said before it went is still to be heard.
                    ChannelError::Closed => self.handle_successor(key, READ),
                    error => {
                        self.complain_of_link(&error);
                        self.pause_handover();
                    }
                }
            }
        }
    }

    /// Something happened on a link to a successor.
    pub(crate) fn handle_successor(&mut self, key: LinkKey, bits: u8) {
        let Some(link) = self.handover.giving.get_mut(key as usize) else { return };
        let token = link.token;
        if bits & WRITE != 0 {
            // A successor that is gone is seen by reading.
            let _ = link.channel.flush();
        }
        loop {
            let Some(link) = self.handover.giving.get(key as usize) else { return };
            match link.channel.receive_first::<FromSuccessor>() {
                Ok(Some(received)) => match received.message {
                    FromSuccessor::Answers(answers) => {
                        if !answers.into_iter().all(|answer| self.note_answer(key, answer)) {
                            self.break_with_successor(key, "it answered what was not asked");
                            return;
                        }
                    }
                    FromSuccessor::Declined => {
                        self.decline(key);
                        return;
                    }
                },
                Ok(None) => break,
                Err(ChannelError::Closed) => {
                    self.lose_successor(key);
                    return;
                }
                // What the system refuses now it may give in the next cycle.
                Err(error @ ChannelError::Io(_)) => {
                    self.complain_of_link(&error);
                    break;
                }
                Err(error) => {
                    self.break_with_successor(key, &error.to_string());
                    return;
                }
            }
        }
        self.descriptors.cant(token, READ | WRITE);
        if let Some(link) = self.handover.giving.get(key as usize) {
            if link.channel.wants_write() {
                self.descriptors.want(token, WRITE);
            } else {
                self.descriptors.stop(token, WRITE);
            }
        }
        self.close_link_if_over(key);
    }

    /// One answer; whether it is one to something that is under way.
    fn note_answer(&mut self, key: LinkKey, (number, verdict): (u32, Verdict)) -> bool {
        let newest = self.handover.newest == Some(key);
        let Some(link) = self.handover.giving.get_mut(key as usize) else { return false };
        let Some((gone, descriptors)) = link.under_way.remove(&number) else { return false };
        link.descriptors -= descriptors;
        match verdict {
            Verdict::Taken => {
                link.taken += 1;
                self.handover.given += 1;
                self.let_go(gone);
            }
            Verdict::NoPlace => {
                link.refused += 1;
                self.handover.refused += 1;
                self.return_one(gone, if newest { Handing::Refused } else { Handing::Own });
            }
            Verdict::NoRoom => {
                if newest {
                    self.pause_handover();
                }
                self.return_one(gone, Handing::Own);
            }
        }
        true
    }

    /// It is another's: our copy is closed, and counted no more.
    fn let_go(&mut self, gone: Gone) {
        match gone {
            Gone::Client(key) => self.let_client_go(key),
            Gone::Stream(key) => self.let_stream_go(key),
            Gone::Kept(token) => drop(self.descriptors.remove(token)),
        }
    }

    /// It stays here, for now or for good.
    fn return_one(&mut self, gone: Gone, handing: Handing) {
        match gone {
            Gone::Client(key) => self.bring_client_back(key, handing),
            Gone::Stream(key) => self.bring_stream_back(key, handing),
            // Not worth another try.
            Gone::Kept(token) => drop(self.descriptors.remove(token)),
        }
    }

    /// Nothing is offered for a while.
    fn pause_handover(&mut self) {
        self.handover.rests_until = self.clock.now() + NO_ROOM_MS;
        self.rest_handover();
    }

    /// Sets the task to what comes next.
    pub(super) fn rest_handover(&mut self) {
        let rests_until = Some(self.handover.rests_until).filter(|at| *at > self.clock.now());
        let next = rests_until.into_iter().chain(self.handover.excess_at).min();
        self.tasks.schedule(self.handover_task, next.unwrap_or(NEVER));
    }

    /// The task's time has come.
    pub(crate) fn run_handover(&mut self) {
        self.dismiss_excess();
        self.rest_handover();
    }

    /// The successor understands nothing of what we say: all connections end here.
    fn decline(&mut self, key: LinkKey) {
        let Some(link) = self.handover.giving.get_mut(key as usize) else { return };
        let left = std::mem::take(&mut link.under_way);
        self.log.say(
            LogLevel::Warning,
            format_args!("the successor is of another version: connections end here"),
        );
        for (gone, _) in left.into_values() {
            self.return_one(gone, Handing::Refused);
        }
        self.handover.offers.clear();
        // What is under way on an older link still has its answer to come.
        let sessions = self.sessions.iter_mut().map(|(_, session)| &mut session.handing);
        let streams = self.streams.iter_mut().map(|(_, stream)| &mut stream.handing);
        for handing in sessions.chain(streams).filter(|handing| **handing != Handing::Moving) {
            *handing = Handing::Refused;
        }
        self.remove_link(key);
    }

    /// Nobody is there any more, and all that was said was heard: what has no answer is ours.
    fn lose_successor(&mut self, key: LinkKey) {
        let Some(link) = self.handover.giving.get_mut(key as usize) else { return };
        let left = std::mem::take(&mut link.under_way);
        // Without a link nothing of it is offered yet.
        let last = self.remove_link(key);
        for (gone, _) in left.into_values() {
            self.return_one(gone, Handing::Own);
        }
        if last {
            self.ask_for_link();
        }
    }

    /// What it has taken cannot be known: whatever it was sent it may read from, so that we must not.
    fn break_with_successor(&mut self, key: LinkKey, why: &str) {
        self.log.say(LogLevel::Err, format_args!("the successor is not listened to: {why}"));
        let Some(link) = self.handover.giving.get_mut(key as usize) else { return };
        let left = std::mem::take(&mut link.under_way);
        let last = self.remove_link(key);
        for (gone, _) in left.into_values() {
            self.let_go(gone);
        }
        if last {
            self.ask_for_link();
        }
    }

    /// An older link whose last answer has come is of no use any more.
    fn close_link_if_over(&mut self, key: LinkKey) {
        let over = |link: &Giving| link.under_way.is_empty();
        if self.handover.newest != Some(key)
            && self.handover.giving.get(key as usize).is_some_and(over)
        {
            self.remove_link(key);
        }
    }

    /// Whether it was the one over which connections are offered.
    fn remove_link(&mut self, key: LinkKey) -> bool {
        let Some(link) = self.handover.giving.try_remove(key as usize) else { return false };
        let newest = self.handover.newest.take_if(|newest| *newest == key).is_some();
        self.forget_link(link.token);
        if link.taken > 0 || link.refused > 0 {
            let (slot, generation) = (link.slot + 1, link.generation);
            let (taken, refused) = (link.taken, link.refused);
            let text = format_args!(
                "worker {slot} of generation {generation} has taken over {taken} connections, and had no place for {refused}"
            );
            self.log.say(LogLevel::Notice, text);
        }
        newest
    }

    /// Takes a link's descriptor out of the table.
    pub(super) fn forget_link(&mut self, token: Token) {
        if let Some(descriptor) = self.descriptors.remove(token) {
            self.poller.forget(&descriptor);
        }
    }

    pub(super) fn complain_of_link(&mut self, error: &ChannelError) {
        let text = format_args!("handing over: {error}");
        self.log.say_limited(portolan_shared::log::Kind::Resource, LogLevel::Err, text);
    }

    /// The process ends: what is under way is left to whoever has it.
    pub(crate) fn abandon_handover(&mut self) {
        let keys: Vec<LinkKey> =
            self.handover.giving.iter().map(|(key, _)| key as LinkKey).collect();
        for key in keys {
            let Some(link) = self.handover.giving.get_mut(key as usize) else { continue };
            for (gone, _) in std::mem::take(&mut link.under_way).into_values() {
                self.let_go(gone);
            }
            self.remove_link(key);
        }
        let keys: Vec<LinkKey> =
            self.handover.taking.iter().map(|(key, _)| key as LinkKey).collect();
        for key in keys {
            self.drop_predecessor(key);
        }
    }
}

const _: () = assert!(parcel::DESCRIPTORS_MAX <= DESCRIPTORS_MAX, "one connection fits a message");
