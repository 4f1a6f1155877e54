//! How a backend's servers are chosen.

use serde::{Deserialize, Serialize};

/// How servers are chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balance {
    /// Each in turn, by weight, over all workers together.
    RoundRobin,
    /// The same; weights do not change while running (HAProxy's `static-rr`).
    StaticRoundRobin,
    /// The one with the fewest streams by weight, over all workers together.
    LeastConnections,
    /// The first, by id, with a free place.
    First,
    /// The best of so many drawn at random by weight.
    Random {
        /// 1 or more; HAProxy's default: 2.
        draws: u32,
    },
    /// By the client's address.
    Source,
    /// By the request's target.
    Uri(UriKey),
    /// By the value of a parameter in the query, or in a form in the content.
    UrlParam {
        /// Its name.
        name: String,
        /// Where the query has none, a POST's content is looked through.
        check_post: bool,
    },
    /// By the value of a field.
    Header {
        /// Its name.
        name: String,
        /// Of a host name, only the domain: `www.example.com` counts as `example`.
        use_domain_only: bool,
    },
    /// By the value of a cookie of the remote desktop protocol (mode tcp).
    RdpCookie {
        /// Its name; HAProxy's default: `mstshash`.
        name: String,
    },
}

impl Default for Balance {
    /// What HAProxy chooses since 3.3.
    fn default() -> Self {
        Self::Random { draws: 2 }
    }
}

/// What of a target counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UriKey {
    /// The query too.
    pub whole: bool,
    /// Neither scheme nor authority.
    pub path_only: bool,
    /// At most so many bytes.
    pub len: Option<u32>,
    /// At most so many directories.
    pub depth: Option<u32>,
}

/// From a key to a server (`hash-type`, `hash-balance-factor`, `hash-preserve-affinity`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashing {
    /// How a hash finds its server.
    pub method: HashMethod,
    /// How a key becomes a hash; `None` where the configuration does not say: HAProxy's default
    /// (sdbm, with avalanche where the method is consistent).
    pub function: HashFunction,
    /// The hash is mixed once more.
    pub avalanche: bool,
    /// Per cent of the mean load that a server may have before its keys go to the next, above 100;
    /// `None`: any.
    pub balance_factor: Option<u32>,
    /// What becomes of a key whose server is full.
    pub affinity: Affinity,
}

/// How a hash finds its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashMethod {
    /// The hash modulo the total weight: exact shares; most keys move when a server comes or goes.
    #[default]
    MapBased,
    /// The next point on a ring: only the keys of the server that comes or goes move.
    Consistent,
}

/// How a key becomes a hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashFunction {
    /// Spreads well, also short keys.
    #[default]
    Sdbm,
    /// Bernstein's.
    Djb2,
    /// Built for words of 6 bits.
    Wt6,
    /// The checksum of Ethernet.
    Crc32,
    /// The key is a number.
    None,
}

/// What becomes of a key whose server is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Affinity {
    /// It waits for that server.
    #[default]
    Always,
    /// It goes to another server once that one has its `maxconn`.
    Maxconn,
    /// It goes to another server once that one's queue has its `maxqueue`.
    Maxqueue,
}

/// What places a server on the ring of a consistent hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashKey {
    /// Its id, with room between one and the next.
    #[default]
    Id,
    /// Its address.
    Address,
    /// Its address and port.
    AddressPort,
    /// Its id as it is: for ids that are spread over 32 bits themselves.
    Id32,
}
