//! Picks a server many times, for counting instructions and time per pick.
//!
//! Shell. Eight lanes, as of eight workers, are read where loads are. Run it for two numbers of rounds
//! under callgrind and divide the difference:
//! `valgrind --tool=callgrind --callgrind-out-file=/dev/null balance leastconn 1000 2000`;
//! `update` makes a farm and changes it so many times, and says how long each took.
#![allow(dead_code, unused_imports, missing_debug_implementations, reason = "only a part is used")]
#![allow(unfulfilled_lint_expectations, reason = "another part is used here")]

#[path = "../src/balance/mod.rs"]
mod balance;

use std::cell::Cell;
use std::hint::black_box;
use std::time::Instant;

use balance::{Candidate, Farm, Key, Load, Loads, Room, hash};
use portolan_shared::memory::Memory;
use portolan_shared::model::{
    Backend, Balance, HashMethod, Hashing, Mode, Server, ServerAddress, ServerId,
};

/// Sums up lanes, as the worker does.
struct Shared<'a> {
    memory: &'a Memory,
    reads: Cell<u64>,
}

impl Loads for Shared<'_> {
    fn load(&self, id: ServerId) -> Load {
        self.reads.set(self.reads.get() + 1);
        Load { streams: self.memory.current(id + 1), room: Room::Free }
    }

    fn total(&self) -> u32 {
        self.memory.current(0)
    }
}

fn backend(algorithm: &str, servers: usize) -> Backend {
    let mut backend = Backend::new("b", Mode::Http);
    backend.balance = match algorithm {
        "roundrobin" => Balance::RoundRobin,
        "leastconn" => Balance::LeastConnections,
        "first" => Balance::First,
        "random" => Balance::Random { draws: 2 },
        _ => Balance::Source,
    };
    let method = match algorithm {
        "map" => HashMethod::MapBased,
        _ => HashMethod::Consistent,
    };
    let balance_factor = (algorithm == "bounded").then_some(150);
    backend.hashing = Hashing { method, avalanche: true, balance_factor, ..Hashing::default() };
    for at in 0..servers as u32 {
        let address = ServerAddress::Tcp((at.to_be_bytes(), 80).into());
        let mut server = Server::new(format!("s{at}"), address);
        (server.id, server.weight) = (at + 1, 1 + (at % 3) as u16);
        backend.servers.push(server);
    }
    backend
}

fn everybody(backend: &Backend) -> Vec<Candidate> {
    let candidate = |(id, server): (ServerId, &Server)| Candidate {
        id,
        weight: u32::from(server.weight) * 16,
        backup: false,
    };
    (0..).zip(&backend.servers).map(candidate).collect()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let algorithm = arguments.next().unwrap_or_default();
    let servers: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let rounds: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1000);
    if algorithm == "update" {
        for algorithm in ["roundrobin", "leastconn", "first", "random", "map", "consistent"] {
            update(&backend(algorithm, servers), algorithm, rounds);
        }
        return;
    }
    let mut memory = Memory::create().expect("memory");
    for _ in 0..=servers / 4096 {
        memory.add_chunk().expect("a chunk");
    }
    for _ in 0..8 {
        memory.claim_lane(std::process::id() as i32).expect("a lane");
    }
    let loads = Shared { memory: &memory, reads: Cell::new(0) };
    let backend = backend(&algorithm, servers);
    let mut farm = Farm::new(&backend, &everybody(&backend), 0);
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state
    };
    let mut checksum = 0;
    let started = Instant::now();
    for round in 0..rounds {
        let chosen = match algorithm.as_str() {
            "roundrobin" => farm.turns().order_from(memory.next_index(0)).next(),
            "leastconn" => farm.least(&loads, None),
            "first" => farm.first(&loads, None),
            "random" => farm.random(2, &loads, &mut random, None),
            _ => {
                let key = black_box(round).to_be_bytes();
                farm.by_key(hash(&backend.hashing, Key::Bytes(&key)), &loads, None)
            }
        };
        checksum += u64::from(black_box(chosen).unwrap_or_default());
    }
    println!(
        "{algorithm} {servers}: {:?} a pick, {} loads read a pick ({checksum})",
        started.elapsed() / rounds as u32,
        loads.reads.get() / rounds,
    );
}

/// Says how long it takes to make a farm, and to change it when one server goes and comes.
fn update(backend: &Backend, algorithm: &str, rounds: u64) {
    let all = everybody(backend);
    let started = Instant::now();
    let mut farm = Farm::new(backend, &all, 0);
    let made = started.elapsed();
    let started = Instant::now();
    for round in 0..rounds {
        let gone = round as usize % all.len();
        let (before, after) = (&all[..gone], &all[gone + 1..]);
        let rest: Vec<Candidate> = before.iter().chain(after).copied().collect();
        farm.update(backend, black_box(&rest));
    }
    let changed = started.elapsed() / rounds as u32;
    println!("{algorithm} {}: made in {made:?}, changed in {changed:?}", all.len());
}
