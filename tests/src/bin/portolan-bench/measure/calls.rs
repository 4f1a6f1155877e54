//! System calls of the worker, per message and per new connection.

use std::error::Error;

use super::{Bench, CONNECTIONS, PARALLEL, Row, messages_over, observe};
use crate::contender::Under;
use crate::drive::Driver;

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let row = |connections| {
        // Alone, every message is a wait of its own.
        let aim = if connections == 1 { "" } else { "4.1" };
        bench.row(messages_over(connections), "system calls a message").aim(aim)
    };
    let mut rows: Vec<Row> = CONNECTIONS.into_iter().map(row).collect();
    rows.push(bench.row("new connections", "system calls a connection"));
    let count = (10_000 / bench.shorter).max(2_000);
    for (place, contender) in bench.contenders.iter().enumerate() {
        let setting = bench.setting(0)?;
        let Some(proxy) = bench.start(contender, &setting, Under::Nothing) else { continue };
        let loads = CONNECTIONS.map(|connections| ("messages", connections, count));
        let loads = loads.into_iter().chain([("connections", PARALLEL, count / 4)]);
        for (row, (kind, connections, count)) in rows.iter_mut().zip(loads) {
            let mut driver = Driver::start(kind, setting.echo, connections, bench.cores.load)?;
            driver.step(count / 10)?;
            let work = || driver.step(count).map(drop);
            let calls = observe::system_calls(proxy.worker()?, work)?;
            driver.end()?;
            let total: u64 = calls.iter().map(|(_, calls)| calls).sum();
            row.add(place, total as f64 / count as f64);
            let each = calls.iter().filter(|(_, calls)| calls * 50 > count);
            let each =
                each.map(|(name, calls)| format!("{name} {:.2}", *calls as f64 / count as f64));
            let each: Vec<String> = each.collect();
            eprintln!("  {}: {kind} {connections}: {}", contender.name, each.join(", "));
        }
    }
    Ok(rows)
}
