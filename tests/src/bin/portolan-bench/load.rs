//! The load generator: one process per run, driven step by step over its standard input.
//!
//! Shell. `portolan-bench load KIND TARGET CONNECTIONS` connects where the kind keeps connections, says
//! `ready`, and then answers every line it reads, a count, by that much work and `done COUNT NANOSECONDS`.
//! It ends when its input ends, or by itself after [`LIFE_MAX`]. The caller looks at the proxy between the
//! lines, so that neither start nor connecting is counted.
//!
//! | kind | connections | a count of n |
//! | --- | --- | --- |
//! | messages | kept | n exchanges of 64 bytes, spread over them, one in flight on each |
//! | connections | so many at a time | n times: connect, one exchange, close |
//! | download, upload | so many at a time | n bytes each |
//! | idle | grows | until n connections stand, each after one exchange |

mod bulk;
mod connections;
mod idle;
mod messages;

pub use messages::exchange;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

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
}

impl Load {
    fn open(kind: &str, target: SocketAddr, connections: usize) -> Result<Self, Box<dyn Error>> {
        Ok(match kind {
            "messages" => Self::Messages(messages::Messages::open(target, connections)?),
            "connections" => Self::Connections(connections::Connections::new(target, connections)?),
            "download" => Self::Bulk(bulk::Bulk::new(target, connections, bulk::Way::Down)),
            "upload" => Self::Bulk(bulk::Bulk::new(target, connections, bulk::Way::Up)),
            "idle" => Self::Idle(idle::Idle::new(target)),
            _ => return Err(format!("unknown kind of load: {kind}").into()),
        })
    }

    /// Does so much work; what was really done.
    fn step(&mut self, count: u64) -> Result<u64, Box<dyn Error>> {
        match self {
            Self::Messages(load) => load.step(count),
            Self::Connections(load) => load.step(count),
            Self::Bulk(load) => load.step(count),
            Self::Idle(load) => load.step(count),
        }
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
        say(&format!("done {done} {}", start.elapsed().as_nanos()))?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
