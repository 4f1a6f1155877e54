//! Small messages over kept connections: processor time of the proxy, and the time a message takes.

use std::error::Error;

use super::{Bench, CONNECTIONS, Row, messages_over};
use crate::drive::Driver;

/// Short slices, often in turn, so that what else the machine does meets all alike.
const SLICES: usize = 3;

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let proxies = bench.start_all(false)?;
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let many = messages_over(connections);
        let mut cpu = bench.row(many.clone(), "µs CPU a message").aim("0.95 times");
        let mut time = bench.row(many, "messages a second").unpictured();
        // A lone message takes a wake-up of both cores; more of them at once share it.
        let most = if connections == 1 { 4_000 } else { 30_000 };
        let count = most / bench.shorter;
        let mut drivers = Vec::new();
        for proxy in &proxies {
            let echo = proxy.as_ref().map(|proxy| proxy.setting().echo);
            let open = |echo| Driver::start("messages", echo, connections, bench.cores.load);
            let mut driver = echo.map(open).transpose()?;
            if let Some(driver) = &mut driver {
                driver.step(count / 10)?;
            }
            drivers.push(driver);
        }
        for place in bench.turns(SLICES) {
            let (Some(proxy), Some(driver)) = (&proxies[place], &mut drivers[place]) else {
                continue;
            };
            let before = proxy.cpu_ns();
            let done = driver.step(count)?;
            let used = proxy.cpu_ns() - before;
            cpu.add(place, used as f64 / 1e3 / done.count as f64);
            time.add(place, done.count as f64 * 1e9 / done.elapsed_ns as f64);
        }
        rows.extend([cpu, time]);
    }
    Ok(rows)
}
