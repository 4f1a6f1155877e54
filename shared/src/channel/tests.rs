use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};

use super::{Channel, ChannelError, decode, encode};
use crate::message::wrapper::{FromWrapper, ToWrapper};
use crate::message::{
    DESCRIPTORS_MAX, Hello, ListenerEntry, MESSAGE_MAX, MemoryKind, PIECE_MAX, PROTOCOL, Query,
    Role, StartStep, ToMaster, ToWorker,
};

fn hello() -> Hello {
    Hello {
        role: Role::Worker,
        slot: 2,
        slots: 8,
        generation: 12,
        lane: 5,
        master_pid: 4711,
        debug: false,
    }
}

fn to_worker() -> Vec<ToWorker> {
    vec![
        ToWorker::Hello(hello()),
        ToWorker::Memory(MemoryKind::Lanes),
        ToWorker::Memory(MemoryKind::Objects(7)),
        ToWorker::Doorbell { lane: 3 },
        ToWorker::LogSocket { endpoint: 1 },
        ToWorker::Listeners(vec![
            ListenerEntry { bind: 1, slot: Some(2) },
            ListenerEntry { bind: 300, slot: None },
        ]),
        ToWorker::Piece(vec![1, 2, 3]),
        ToWorker::Done { length: 100_000 },
        ToWorker::SoftStop,
        ToWorker::HardStop,
        ToWorker::Pause,
        ToWorker::Resume,
        ToWorker::Deputy { slot: 6, serve: true },
        ToWorker::Dump,
        ToWorker::Query { id: 9, what: Query::Activity },
    ]
}

fn to_master() -> Vec<ToMaster> {
    vec![
        ToMaster::Hello { version: "0.1.0".into() },
        ToMaster::Ready,
        ToMaster::Failed { step: StartStep::Chroot, reason: "no such directory".into() },
        ToMaster::Short { short: true, reason: "descriptors".into() },
        ToMaster::Leaving,
        ToMaster::Draining { streams: 70_000 },
        ToMaster::Reply { id: 9, text: "loops: 1\n".into(), last: true },
        ToMaster::Unlinked { links: 3 },
    ]
}

fn from_wrapper() -> Vec<FromWrapper> {
    vec![
        FromWrapper::Hello { pid: 1, restarts: 2 },
        FromWrapper::Kept { name: "listener-1".into(), value: vec![1, 2] },
        FromWrapper::KeptAll,
        FromWrapper::Acknowledged { number: 1 << 40 },
        FromWrapper::Signal { signal: 12, at_ms: 1 << 33 },
        FromWrapper::Reaped { pid: 99, status: 9 },
        FromWrapper::Refused { number: 2, reason: "too many".into() },
        FromWrapper::Adopt { nonce: 1 << 50, pid: 7 },
        FromWrapper::Stored,
    ]
}

fn to_wrapper() -> Vec<ToWrapper> {
    vec![
        ToWrapper::Keep { number: 1, name: "config".into(), value: vec![0; 64] },
        ToWrapper::Drop { name: "config".into() },
        ToWrapper::Ready { generation: 3 },
        ToWrapper::Reloading,
        ToWrapper::Status("gen 3".into()),
        ToWrapper::ReloadFailed("a.toml:3:4".into()),
        ToWrapper::Stopping,
        ToWrapper::Upgrading { deadline_ms: 10_000 },
        ToWrapper::UpgradeWrapper,
        ToWrapper::Alive,
        ToWrapper::UpgradeAbandoned,
    ]
}

fn check_every_truncation<T>(messages: Vec<T>)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    for message in messages {
        let bytes = encode(&message).unwrap();
        assert_eq!(decode::<T>(&bytes).unwrap(), message);
        for cut in 0..bytes.len() {
            assert!(
                matches!(
                    decode::<T>(&bytes[..cut]),
                    Err(ChannelError::Truncated | ChannelError::Malformed)
                ),
                "{message:?} cut to {cut}"
            );
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(matches!(decode::<T>(&longer), Err(ChannelError::Malformed)), "{message:?} + 1");
    }
}

#[test]
fn every_message_survives_the_wire_and_none_its_truncation() {
    check_every_truncation(to_worker());
    check_every_truncation(to_master());
    check_every_truncation(from_wrapper());
    check_every_truncation(to_wrapper());
}

#[test]
fn the_bytes_of_the_stable_orders_never_change() {
    let stored: [(ToWorker, &[u8]); 4] = [
        (ToWorker::SoftStop, &[1, 0, 7]),
        (ToWorker::HardStop, &[1, 0, 8]),
        (ToWorker::Pause, &[1, 0, 9]),
        (ToWorker::Deputy { slot: 6, serve: true }, &[1, 0, 11, 6, 1]),
    ];
    for (message, bytes) in stored {
        assert_eq!(encode(&message).unwrap(), bytes, "{message:?}");
    }
    assert_eq!(encode(&ToMaster::Ready).unwrap(), [1, 0, 1]);
    assert_eq!(encode(&ToMaster::Leaving).unwrap(), [1, 0, 4]);
    assert_eq!(encode(&ToMaster::Unlinked { links: 3 }).unwrap(), [1, 0, 8, 3]);
}

#[test]
fn another_protocol_is_refused_by_its_number() {
    let mut bytes = encode(&ToWorker::SoftStop).unwrap();
    bytes[0] = (PROTOCOL + 1) as u8;
    assert!(matches!(decode::<ToWorker>(&bytes), Err(ChannelError::Protocol(2))));
    bytes[1] = 0xff;
    assert!(matches!(decode::<ToWorker>(&bytes), Err(ChannelError::Protocol(0xff02))));
}

#[test]
fn the_longest_piece_fits_and_one_byte_over_the_limit_does_not() {
    assert!(encode(&ToWorker::Piece(vec![7; PIECE_MAX])).unwrap().len() <= MESSAGE_MAX);
    assert!(matches!(encode(&ToWorker::Piece(vec![7; MESSAGE_MAX])), Err(ChannelError::TooLong)));
}

#[test]
fn an_oversized_datagram_is_refused_whole() {
    let (a, b) = Channel::pair().unwrap();
    let bytes = vec![1; MESSAGE_MAX + 1];
    rustix::net::send(&a, &bytes, rustix::net::SendFlags::empty()).unwrap();
    assert!(matches!(b.receive::<ToWorker>(), Err(ChannelError::TooLong)));
    assert!(b.receive::<ToWorker>().unwrap().is_none());
}

#[test]
fn descriptors_arrive_in_order_and_one_too_many_is_refused() {
    let (mut a, b) = Channel::pair().unwrap();
    let file = tempfile::tempfile().unwrap();
    let many: Vec<_> = (0..DESCRIPTORS_MAX).map(|_| file.as_fd()).collect();
    a.send(&ToWorker::SoftStop, &many).unwrap();
    let received = b.receive::<ToWorker>().unwrap().unwrap();
    assert_eq!(received.descriptors.len(), DESCRIPTORS_MAX);
    let too_many: Vec<_> = (0..=DESCRIPTORS_MAX).map(|_| file.as_fd()).collect();
    assert!(matches!(a.send(&ToWorker::SoftStop, &too_many), Err(ChannelError::Descriptors)));
}

#[test]
fn what_the_peer_does_not_take_at_once_arrives_later_in_order() {
    let (mut a, b) = Channel::pair().unwrap();
    for id in 0..64 {
        a.send(&ToWorker::Piece(vec![id; PIECE_MAX]), &[]).unwrap();
    }
    assert!(a.wants_write());
    let mut next = 0;
    while next < 64 {
        while let Some(received) = b.receive::<ToWorker>().unwrap() {
            assert_eq!(received.message, ToWorker::Piece(vec![next; PIECE_MAX]));
            next += 1;
        }
        a.flush().unwrap();
    }
    assert!(!a.wants_write());
}

#[test]
fn a_peer_that_reads_nothing_is_given_up() {
    let (mut a, _b) = Channel::pair().unwrap();
    let overflow = (0..10_000).find_map(|_| a.send(&ToWorker::Pause, &[]).err());
    assert!(matches!(overflow, Some(ChannelError::Overflow)));
}

#[test]
fn the_last_holder_closing_is_seen_as_the_end() {
    let (mut a, b) = Channel::pair().unwrap();
    drop(b);
    assert!(matches!(a.receive::<ToMaster>(), Err(ChannelError::Closed)));
    assert!(matches!(a.send(&ToWorker::Pause, &[]), Err(ChannelError::Closed)));
}

#[test]
fn what_is_looked_at_stays_with_its_descriptors_even_when_the_sender_is_gone() {
    let (a, b) = Channel::pair().unwrap();
    for number in 0..3 {
        let kept = tempfile::tempfile().unwrap();
        assert!(a.try_send(&FromWrapper::Acknowledged { number }, &[kept.as_fd()]).unwrap());
    }
    for _ in 0..2 {
        let seen = b.peek_all::<FromWrapper>().unwrap();
        let numbers: Vec<FromWrapper> = seen.iter().map(|one| one.message.clone()).collect();
        let expected: Vec<FromWrapper> =
            (0..3).map(|number| FromWrapper::Acknowledged { number }).collect();
        assert_eq!(numbers, expected);
        assert!(seen.iter().all(|one| one.descriptors.len() == 1));
    }
    drop(a);
    assert_eq!(b.peek_all::<FromWrapper>().unwrap().len(), 3);
}

#[test]
fn what_has_no_room_now_is_not_sent_at_all() {
    let (a, b) = Channel::pair().unwrap();
    let mut sent = 0;
    while a.try_send(&FromWrapper::KeptAll, &[]).unwrap() {
        sent += 1;
    }
    assert_eq!(b.peek_all::<FromWrapper>().unwrap().len(), sent);
}

#[test]
fn a_message_whose_descriptors_found_no_room_is_an_error_or_comes_without_any() {
    const MORE: usize = DESCRIPTORS_MAX + 6;
    let (a, b) = Channel::pair().unwrap();
    let file = tempfile::tempfile().unwrap();
    let many: Vec<_> = (0..MORE).map(|_| file.as_fd()).collect();
    let bytes = encode(&ToWorker::Pause).unwrap();
    for even_cut in [false, true] {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MORE))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&many)));
        let flags = rustix::net::SendFlags::empty();
        rustix::net::sendmsg(&a, &[IoSlice::new(&bytes)], &mut ancillary, flags).unwrap();
        if even_cut {
            let received = b.receive_even_cut::<ToWorker>().unwrap().unwrap();
            assert_eq!((received.message, received.descriptors.len()), (ToWorker::Pause, 0));
        } else {
            assert!(matches!(b.receive::<ToWorker>(), Err(ChannelError::Descriptors)));
        }
    }
    assert!(b.receive::<ToWorker>().unwrap().is_none());
}
