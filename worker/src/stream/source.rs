//! Where connections to servers come from.
//!
//! Shell, but for [`share`], which is pure.
//!
//! - A range of ports is split between the workers: slot k of n has the k-th of n contiguous parts,
//!   which differ by one port at most. Two workers never want the same port, and the old and the new
//!   worker of one slot share theirs while both live.
//! - The kernel knows which of them are taken: by connections to the same server that live, of this
//!   process or of the one before, and for a minute by those that we have closed first. Ports are
//!   taken in turn, so the next is the one that was used longest ago. The same port may lead to two
//!   servers at once.
//! - After [`TRIES_MAX`] taken ports in a row there is none, for this attempt: trying costs two or
//!   three system calls each, and a worker has other things to do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use portolan_shared::memory::Object;
use portolan_shared::model::{Source, SourceAddress};
use rustix::io::Errno;

use crate::protocol::{Address, ConnectOptions, Connecting, Target};

/// Most ports that are tried for one connection.
const TRIES_MAX: u32 = 512;

/// The ports of this worker.
#[derive(Debug)]
pub struct SourcePorts {
    slot: u16,
    slots: u16,
    /// How many ports were used, by the object of their server.
    used: BTreeMap<Object, u32>,
    /// Where to begin: a new worker would else begin with the ports of the old one.
    start: u32,
}

impl SourcePorts {
    /// The share of this slot.
    pub fn new(slot: u16, slots: u16, start: u32) -> Self {
        Self { slot, slots: slots.max(1), used: BTreeMap::new(), start }
    }

    /// Connects to a server from where its configuration says.
    pub fn connect(
        &mut self,
        (server, source): (Object, Option<&Source>),
        client: Address,
        target: Target<'_>,
        options: &mut ConnectOptions<'_>,
    ) -> Result<Connecting, Errno> {
        let connect = target.protocol().connect;
        match (source.map(|source| source.address), target) {
            (Some(SourceAddress::Ports { ip, first, last }), Target::Ip(_)) => {
                let ports = share(first..=last, self.slot, self.slots);
                let length = u32::from(ports.end() - ports.start()) + 1;
                let start = self.start;
                let used = self.used.entry(server).or_insert(start);
                for _ in 0..length.min(TRIES_MAX) {
                    let port = ports.start() + (*used % length) as u16;
                    *used = used.wrapping_add(1) % length;
                    options.source = Some(SocketAddr::new(ip, port));
                    match connect(target, options) {
                        Err(Errno::ADDRINUSE | Errno::ADDRNOTAVAIL) => {}
                        other => return other,
                    }
                }
                Err(Errno::ADDRNOTAVAIL)
            }
            (address, _) => {
                (options.source, options.transparent) = source_of(address, client);
                connect(target, options)
            }
        }
    }
}

/// The part of a range that a slot has. A range that is too short (the reader refuses it) is whole.
pub fn share(ports: RangeInclusive<u16>, slot: u16, slots: u16) -> RangeInclusive<u16> {
    let length = u32::from(ports.end().saturating_sub(*ports.start())) + 1;
    let (slot, slots) = (u32::from(slot), u32::from(slots));
    if slot >= slots || length < slots {
        return ports;
    }
    let at = |n: u32| (u32::from(*ports.start()) + length * n / slots) as u16;
    let last = u32::from(*ports.start()) + length * (slot + 1) / slots - 1;
    at(slot)..=last as u16
}

/// The local address of a connection, and whether it may be foreign.
fn source_of(address: Option<SourceAddress>, client: Address) -> (Option<SocketAddr>, bool) {
    match (address, client) {
        (Some(SourceAddress::Fixed(address)), _) => (Some(address), false),
        (Some(SourceAddress::ClientIp), Address::Ip(client)) => {
            (Some(SocketAddr::new(client.ip(), 0)), true)
        }
        (Some(SourceAddress::Client), Address::Ip(client)) => (Some(client), true),
        (None | Some(SourceAddress::Any | SourceAddress::Ports { .. }), _) | (_, Address::Unix) => {
            (None, false)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_port_belongs_to_one_slot_and_shares_are_even(
            first: u16,
            length in 1_u32..=65_536,
            slots in 1_u16..=256,
        ) {
            let last = (u32::from(first) + length - 1).min(65_535) as u16;
            let length = u32::from(last - first) + 1;
            prop_assume!(length >= slots.into());
            let mut next = u32::from(first);
            for slot in 0..slots {
                let part = share(first..=last, slot, slots);
                prop_assert_eq!(u32::from(*part.start()), next);
                next = u32::from(*part.end()) + 1;
                let of_slot = u32::from(part.end() - part.start()) + 1;
                prop_assert!((length / u32::from(slots)..=length.div_ceil(slots.into())).contains(&of_slot));
            }
            prop_assert_eq!(next, u32::from(last) + 1);
        }
    }

    #[test]
    fn a_range_that_is_too_short_is_shared_by_all() {
        assert_eq!(share(5..=7, 3, 4), 5..=7);
        assert_eq!(share(9..=9, 0, 1), 9..=9);
    }

    /// So many ports that nobody has now, side by side.
    fn free_ports(count: u16) -> RangeInclusive<u16> {
        let local = |port| TcpListener::bind((Ipv4Addr::new(127, 0, 0, 77), port));
        let found = (20_000..32_000).step_by(count.into()).find(|first| {
            (*first..first + count).map(local).collect::<Result<Vec<_>, _>>().is_ok()
        });
        let first = found.expect("free ports");
        first..=first + count - 1
    }

    #[test]
    fn taken_ports_are_passed_by_and_when_all_are_there_is_none() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = server.local_addr().unwrap();
        let ports = free_ports(3);
        let ip = Ipv4Addr::new(127, 0, 0, 77).into();
        let address = SourceAddress::Ports { ip, first: *ports.start(), last: *ports.end() };
        let source = Source { address, interface: None };
        let mut own = SourcePorts::new(0, 1, 2);
        let mut dial = || {
            let mut options = ConnectOptions::default();
            own.connect((7, Some(&source)), Address::Unix, Target::Ip(there), &mut options)
        };
        let mut connections = Vec::new();
        let mut seen: Vec<u16> = (0..3)
            .map(|_| {
                connections.push(dial().unwrap());
                let (_, from) = server.accept().unwrap();
                assert_eq!(from.ip(), ip);
                from.port()
            })
            .collect();
        assert_eq!(seen[0], *ports.end(), "where it was told to begin");
        seen.sort_unstable();
        assert_eq!(seen, ports.collect::<Vec<_>>());
        assert!(matches!(dial(), Err(Errno::ADDRNOTAVAIL)));
    }
}
