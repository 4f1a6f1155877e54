//! Consistent hashing: servers have points on a ring, and a key belongs to the nearest.
//!
//! Core. A server has one point for each unit of its effective weight, so sixteen for weight 1; they
//! depend on nothing but itself, so who comes or goes takes or leaves only its own keys. They are those
//! of HAProxy 2.6, where a server is placed by its number.
//!
//! Limits: [`POINTS_MAX`] points and one per server (8 MiB and 8 bytes a server). A backend whose
//! servers weigh more together has half as many points a server, or a quarter, and so on, by what is
//! configured, not by who is usable, so that still nobody's points depend on others' state.

use std::net::IpAddr;

use portolan_shared::model::{Backend, HashKey, Server, ServerAddress, ServerId};

use super::hash::avalanche;

/// Numbers that each server has for its points: as many as the greatest effective weight.
const POINTS_OF_SERVER: u32 = 4096;

/// Points of a backend before each server has fewer: 65,536 servers of weight 1, 256 of weight 256.
const POINTS_MAX: u64 = 1 << 20;

/// Points in order.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    keys: Box<[u32]>,
    /// Whose they are.
    owners: Box<[ServerId]>,
}

impl Ring {
    /// For these servers, in the order of their ids. Before, they had these weights; the points of
    /// those whose weight is still the same are kept.
    pub fn with(self, backend: &Backend, before: &[u32], usable: &[(u32, ServerId)]) -> Self {
        let shift = shift_of(backend);
        let mut stays = vec![false; backend.servers.len()];
        let mut new: Vec<(u32, ServerId)> = Vec::new();
        for (weight, id) in usable {
            if before.get(*id as usize) == Some(weight) {
                stays[*id as usize] = true;
            } else {
                let first = first_number(&backend.servers[*id as usize]);
                let points = 0..(*weight >> shift).max(1);
                new.extend(points.map(|point| (avalanche(first.wrapping_add(point)), *id)));
            }
        }
        new.sort_unstable();
        let kept = self.keys.iter().copied().zip(self.owners.iter().copied());
        let mut kept = kept.filter(|(_, id)| stays[*id as usize]).peekable();
        let length = self.keys.len() + new.len();
        let (mut keys, mut owners) = (Vec::with_capacity(length), Vec::with_capacity(length));
        let mut push = |(key, owner)| {
            keys.push(key);
            owners.push(owner);
        };
        for point in new {
            while let Some(earlier) = kept.next_if(|kept| *kept < point) {
                push(earlier);
            }
            push(point);
        }
        kept.for_each(push);
        Self { keys: keys.into(), owners: owners.into() }
    }

    /// The owner of the point nearest to a hash, then those of all points that follow it.
    pub fn from(&self, hash: u32) -> impl Iterator<Item = ServerId> + Clone {
        let start = self.nearest(hash).unwrap_or(0);
        self.owners[start..].iter().chain(&self.owners[..start]).copied()
    }

    /// The point with the least distance to a hash, the one before it of two.
    fn nearest(&self, hash: u32) -> Option<usize> {
        let last = self.keys.len().checked_sub(1)?;
        let after = self.keys.partition_point(|key| *key < hash);
        let next = if after > last { 0 } else { after };
        let before = after.checked_sub(1).unwrap_or(last);
        let behind = hash.wrapping_sub(self.keys[before]);
        let ahead = self.keys[next].wrapping_sub(hash);
        Some(if behind <= ahead { before } else { next })
    }
}

/// By how many bits weights are shifted.
fn shift_of(backend: &Backend) -> u32 {
    let configured = backend.servers.iter().map(|server| u64::from(server.weight) * 16);
    let points: u64 = configured.sum();
    points.div_ceil(POINTS_MAX).next_power_of_two().trailing_zeros()
}

/// The first of a server's numbers. An address that is not known before a client comes has no port,
/// and one that is no address is the server's number.
fn first_number(server: &Server) -> u32 {
    let place = match &server.address {
        ServerAddress::Tcp(address) => Some((address.ip(), address.port())),
        ServerAddress::TcpClientPort { ip, .. } => Some((*ip, 0)),
        ServerAddress::Unix(_) | ServerAddress::Unresolved { .. } => None,
    };
    match (server.hash_key, place) {
        // All bits of it count, and the numbers of neighbours are far from each other.
        (HashKey::Id32, _) => avalanche(server.id),
        (HashKey::Address, Some((ip, _))) => of_address(ip),
        (HashKey::AddressPort, Some((ip, port))) => {
            avalanche(of_address(ip).wrapping_add(u32::from(port)))
        }
        (HashKey::Id, _) | (_, None) => of_number(server),
    }
}

fn of_number(server: &Server) -> u32 {
    server.id.wrapping_mul(POINTS_OF_SERVER)
}

fn of_address(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => avalanche(ip.to_bits()),
        IpAddr::V6(ip) => ip.octets().chunks_exact(4).fold(0, |hash, word| {
            avalanche(hash ^ u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
        }),
    }
}
