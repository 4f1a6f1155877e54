//! Memory of the proxy's processes for a connection that stands and is silent, both its sides.
//!
//! The slope between two numbers of connections: what the proxy holds anyway drops out. The kernel's part
//! (sockets) is not counted.

use std::error::Error;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::{Bench, Row};
use crate::contender::Under;
use crate::drive::Driver;

/// Connections at the first look.
const FEW: u64 = 1_000;
/// Connections at the second look, where the descriptor limit allows two for each.
const MANY_MAX: u64 = 9_000;
/// Pools shrink a while after the peak.
const SETTLE: Duration = Duration::from_millis(2_500);

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let many = MANY_MAX.min(descriptors.saturating_sub(1_000) / 2);
    let name = format!("idle connections, {FEW} to {many}");
    if many <= FEW {
        return Err(format!("{descriptors} descriptors do not allow for idle connections").into());
    }
    let mut row = bench.row(name, "bytes a connection").aim("1,000");
    for _ in 0..if bench.shorter > 1 { 1 } else { 3 } {
        for (place, contender) in bench.contenders.iter().enumerate() {
            let setting = bench.setting(0)?;
            let Some(proxy) = bench.start(contender, &setting, Under::Nothing) else { continue };
            let mut driver = Driver::start("idle", setting.echo, 0, bench.cores.load)?;
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
