//! Consistent hashing: servers have points on a ring, and a key belongs to the nearest.
//!
//! Core. A server has one point for each unit of its effective weight, so sixteen for weight 1; they
//! depend on nothing but itself, so who comes or goes takes or leaves only its own keys.

use std::net::IpAddr;

use portolan_shared::model::{Backend, HashKey, Server, ServerAddress, ServerId};

use super::hash::avalanche;

/// Numbers that each server has for its points: as many as the greatest effective weight.
const POINTS_OF_SERVER: u32 = 4096;

/// Points in order.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    keys: Box<[u32]>,
    /// Whose they are.
    owners: Box<[ServerId]>,
}

impl Ring {
    /// For these servers.
    pub fn new(backend: &Backend, usable: &[(u32, ServerId)]) -> Self {
        let mut points: Vec<(u32, ServerId)> = usable
            .iter()
            .flat_map(|(weight, id)| {
                let first = first_number(&backend.servers[*id as usize]);
                (0..*weight).map(move |point| (avalanche(first.wrapping_add(point)), *id))
            })
            .collect();
        points.sort_unstable();
        let (keys, owners): (Vec<u32>, Vec<ServerId>) = points.into_iter().unzip();
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

/// The first of a server's numbers. An address that is not known before a client comes has no port,
/// and one that is no address is the server's number.
fn first_number(server: &Server) -> u32 {
    let (ip, port) = match &server.address {
        ServerAddress::Tcp(address) => (address.ip(), address.port()),
        ServerAddress::TcpClientPort { ip, .. } => (*ip, 0),
        ServerAddress::Unix(_) | ServerAddress::Unresolved { .. } => return of_number(server),
    };
    match server.hash_key {
        HashKey::Id => of_number(server),
        HashKey::Address => of_address(ip),
        HashKey::AddressPort => avalanche(of_address(ip).wrapping_add(u32::from(port))),
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
