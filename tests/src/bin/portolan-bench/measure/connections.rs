//! New connections: each is made, carries one small exchange and is closed by the client.

use std::error::Error;
use std::thread;
use std::time::Duration;

use super::{Bench, PARALLEL, Row};
use crate::drive::Driver;

/// What closing leaves to do is done in this time.
const SETTLE: Duration = Duration::from_millis(100);

/// Short slices, often in turn.
const SLICES: usize = 2;

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let proxies = bench.start_all(None, false)?;
    let mut cpu = bench.row("new connections", "µs CPU a connection").aim("0.8 times");
    let mut rate = bench.row("new connections", "connections a second").unpictured();
    let count = 4_000 / bench.shorter;
    // A first round warms pools and tables up.
    let warm = (0..proxies.len()).map(|place| (place, false));
    for (place, counts) in warm.chain(bench.turns(SLICES).map(|place| (place, true))) {
        let Some(proxy) = &proxies[place] else { continue };
        let echo = proxy.setting().first;
        let mut driver = Driver::start("connections", echo, PARALLEL, bench.cores.load)?;
        let before = proxy.cpu_ns();
        let done = driver.step(count)?;
        thread::sleep(SETTLE);
        let used = proxy.cpu_ns() - before;
        driver.end()?;
        if counts {
            cpu.add(place, used as f64 / 1e3 / done.count as f64);
            rate.add(place, done.count as f64 * 1e9 / done.elapsed_ns as f64);
        }
    }
    Ok(vec![cpu, rate])
}
