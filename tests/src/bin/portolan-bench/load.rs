//! The load generator: one process per run, driven step by step over its standard input.
//!
//! Shell. `portolan-bench load KIND TARGET CONNECTIONS` connects where the kind keeps connections, says
//! `ready`, and then answers every line it reads, a count, by that much work and
//! `done COUNT NANOSECONDS P99_NANOSECONDS` (the last is 0 where the kind does not look at it).
//! It ends when its input ends, or by itself after [`LIFE_MAX`]. The caller looks at the proxy between the
//! lines, so that neither start nor connecting is counted.
//!
//! | kind | connections | a count of n |
//! | --- | --- | --- |
//! | messages | kept | n exchanges of 64 bytes, spread over them, one in flight on each |
//! | connections | so many at a time | n times: connect, one exchange, close |
//! | download, upload | so many at a time | n bytes each |
//! | idle | grows | until n connections stand, each after one exchange |
//! | requests-ASK | kept | n HTTP requests of that kind (see `http.rs`), one in flight on each |
//! | hosts-N | kept | n small HTTP requests, each connection for a host of its own, spread over N |
//! | fetches | so many at a time | n times: connect, a small HTTP request that says close, the end |
//! | paced-RATE | kept | n small HTTP requests, so many a second whether or not answers come |
//! | clients | grows | until n connections stand, each after one HTTP request |

mod bulk;
mod client;
mod connections;
mod idle;
mod messages;
mod paced;
mod requests;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Ask, host};
use client::Plan;

/// One exchange on a blocking stream.
pub type Exchange = fn(&mut TcpStream) -> io::Result<()>;
/// A small message and its answer.
pub const MESSAGE_EXCHANGE: Exchange = messages::exchange;
/// A small HTTP request and its answer.
pub const HTTP_EXCHANGE: Exchange = client::exchange;
/// Bytes of a message: small enough that copying does not count.
pub const MESSAGE_BYTES: usize = 64;
/// A generator whose caller forgot it ends by itself.
const LIFE_MAX: Duration = Duration::from_secs(900);
/// Without any progress for so long a step has failed.
const STALL_MAX: Duration = Duration::from_secs(30);

/// A kind of load, its connections open.
enum Load {
    Messages(messages::Messages),
    Connections(connections::Connections),
    Bulk(bulk::Bulk),
    Idle(idle::Idle),
    Requests(requests::Requests),
    Paced(paced::Paced),
}

impl Load {
    fn open(kind: &str, target: SocketAddr, connections: usize) -> Result<Self, Box<dyn Error>> {
        Ok(match kind {
            "messages" => Self::Messages(messages::Messages::open(target, connections)?),
            "connections" => Self::Connections(connections::Connections::new(target, connections)?),
            "download" => Self::Bulk(bulk::Bulk::new(target, connections, bulk::Way::Down)),
            "upload" => Self::Bulk(bulk::Bulk::new(target, connections, bulk::Way::Up)),
            "idle" => Self::Idle(idle::Idle::new(target, MESSAGE_EXCHANGE)),
            "clients" => Self::Idle(idle::Idle::new(target, HTTP_EXCHANGE)),
            _ => return Self::open_http(kind, target, connections),
        })
    }

    fn open_http(
        kind: &str,
        target: SocketAddr,
        connections: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let unknown = || format!("unknown kind of load: {kind}");
        let (kind, detail) = kind.split_once('-').unwrap_or((kind, ""));
        let alike = |plan| (0..connections.max(1)).map(|_| Rc::clone(&plan)).collect();
        let plans = match kind {
            "requests" => {
                let ask = Ask::of_name(detail).ok_or_else(unknown)?;
                alike(Plan::new(ask, &host(0), false))
            }
            "fetches" => alike(Plan::new(Ask::Small, &host(0), true)),
            "hosts" => {
                let hosts: usize = detail.parse()?;
                let spread = |place| host(place * hosts / connections.max(1));
                (0..connections).map(|at| Plan::new(Ask::Small, &spread(at), false)).collect()
            }
            "paced" => {
                let plan = Plan::new(Ask::Small, &host(0), false);
                let rate = detail.parse()?;
                return Ok(Self::Paced(paced::Paced::open(target, &plan, connections, rate)?));
            }
            _ => return Err(unknown().into()),
        };
        Ok(Self::Requests(requests::Requests::open(target, plans)?))
    }

    /// Does so much work; what was really done.
    fn step(&mut self, count: u64) -> Result<u64, Box<dyn Error>> {
        match self {
            Self::Messages(load) => load.step(count),
            Self::Connections(load) => load.step(count),
            Self::Bulk(load) => load.step(count),
            Self::Idle(load) => load.step(count),
            Self::Requests(load) => load.step(count),
            Self::Paced(load) => load.step(count),
        }
    }

    /// What 99 of 100 units of the last step took at most.
    fn p99_ns(&mut self) -> u64 {
        if let Self::Paced(load) = self { load.percentile_ns(99) } else { 0 }
    }
}

pub fn run(kind: &str, target: &str, connections: usize) -> Result<(), Box<dyn Error>> {
    thread::spawn(|| {
        thread::sleep(LIFE_MAX);
        eprintln!("portolan-bench: this load generator was forgotten, it ends");
        std::process::exit(1);
    });
    let mut load = Load::open(kind, target.parse()?, connections)?;
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let count = line?.trim().parse()?;
        let start = Instant::now();
        let done = load.step(count)?;
        let took = start.elapsed().as_nanos();
        say(&format!("done {done} {took} {}", load.p99_ns()))?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
