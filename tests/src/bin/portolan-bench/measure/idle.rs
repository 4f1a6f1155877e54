//! Memory of the proxy's processes for a connection that stands and is silent: in mode tcp both its sides,
//! in mode http a client between its requests.
//!
//! The slope between two numbers of connections: what the proxy holds anyway drops out. The kernel's part
//! (sockets) is not counted.

use std::error::Error;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::{Bench, Row};
use crate::contender::{Http, Setting, Under};
use crate::drive::Driver;

/// Connections at the first look.
const FEW: u64 = 1_000;
/// Connections at the second look, where the descriptor limit allows two for each.
const MANY_MAX: u64 = 9_000;
/// Clients at the second look in mode http.
const CLIENTS_MAX: u64 = 9_900;
/// Pools shrink a while after the peak.
const SETTLE: Duration = Duration::from_millis(2_500);

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let many = MANY_MAX.min(descriptors().saturating_sub(1_000) / 2);
    let name = format!("idle connections, {FEW} to {many}");
    of(bench, None, name, "idle", many)
}

pub fn run_http(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let many = CLIENTS_MAX.min(descriptors().saturating_sub(100) / 2);
    let name = format!("http, idle clients, {FEW} to {many}");
    of(bench, Some(Http::default()), name, "clients", many)
}

fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn of(
    bench: &Bench,
    http: Option<Http>,
    name: String,
    kind: &str,
    many: u64,
) -> Result<Vec<Row>, Box<dyn Error>> {
    if many <= FEW {
        return Err("the descriptor limit does not allow for idle connections".into());
    }
    let mut row = bench.row(name, "bytes a connection").aim("1,000");
    for _ in 0..if bench.shorter > 1 { 1 } else { 3 } {
        for (place, contender) in bench.contenders.iter().enumerate() {
            let setting = Setting { http, ..bench.setting(0)? };
            let Some(proxy) = bench.start(contender, &setting, Under::Nothing) else { continue };
            let mut driver = Driver::start(kind, setting.first, 0, bench.cores.load)?;
            let mut held = [0; 2];
            for (bytes, count) in held.iter_mut().zip([FEW, many]) {
                driver.step(count)?;
                thread::sleep(SETTLE);
                *bytes = proxy.memory_bytes()?;
            }
            driver.end()?;
            row.add(place, (held[1] as f64 - held[0] as f64) / (many - FEW) as f64);
        }
    }
    Ok(vec![row])
}
