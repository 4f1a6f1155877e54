//! Small messages over kept connections: processor time of the proxy, and the time a message takes.

use std::error::Error;
use std::thread;
use std::time::Duration;

use super::{Bench, CONNECTIONS, Row, Work, messages_over};
use crate::contender::Running;
use crate::drive::Driver;

/// Short slices, often in turn, so that what else the machine does meets all alike.
const SLICES: usize = 3;

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let proxies = bench.start_all(None, false)?;
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let work = Work {
            kind: "messages".to_owned(),
            connections,
            // A lone message takes a wake-up of both cores; more of them at once share it.
            count: if connections == 1 { 4_000 } else { 30_000 } / bench.shorter,
            name: messages_over(connections),
            each: "message",
            aim: "0.95 times",
        };
        rows.extend(timed(bench, &proxies, &work, Duration::ZERO)?);
    }
    Ok(rows)
}

/// This load through each proxy in turn: its processor time and rate. What is left to do behind a slice
/// may take so long.
pub fn timed(
    bench: &Bench,
    proxies: &[Option<Running>],
    work: &Work,
    settle: Duration,
) -> Result<[Row; 2], Box<dyn Error>> {
    let mut cpu = bench.row_of(work, "µs CPU");
    let mut rate = bench.row(work.name.clone(), format!("{}s a second", work.each)).unpictured();
    let mut drivers = Vec::new();
    for proxy in proxies {
        let open = |proxy: &Running| {
            let target = proxy.setting().first;
            Driver::start(&work.kind, target, work.connections, bench.cores.load)
        };
        let mut driver = proxy.as_ref().map(open).transpose()?;
        if let Some(driver) = &mut driver {
            driver.step(work.count / 10)?;
        }
        drivers.push(driver);
    }
    for place in bench.turns(SLICES) {
        let (Some(proxy), Some(driver)) = (&proxies[place], &mut drivers[place]) else {
            continue;
        };
        let before = proxy.cpu_ns();
        let done = driver.step(work.count)?;
        thread::sleep(settle);
        let used = proxy.cpu_ns() - before;
        cpu.add(place, used as f64 / 1e3 / done.count as f64);
        rate.add(place, done.count as f64 * 1e9 / done.elapsed_ns as f64);
    }
    Ok([cpu, rate])
}
