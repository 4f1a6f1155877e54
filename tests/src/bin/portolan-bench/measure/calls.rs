//! System calls of the worker, per message, new connection or HTTP request.

use std::error::Error;

use super::{Bench, CONNECTIONS, PARALLEL, Row, Work, messages_over, observe};
use crate::contender::{Http, Setting, Under};
use crate::drive::Driver;

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let count = count(bench);
    let over = |connections| Work {
        kind: "messages".to_owned(),
        connections,
        count,
        name: messages_over(connections),
        each: "message",
        aim: aim(connections),
    };
    let mut works = CONNECTIONS.map(over).to_vec();
    works.push(Work {
        kind: "connections".to_owned(),
        connections: PARALLEL,
        count: count / 4,
        name: "new connections".to_owned(),
        each: "connection",
        aim: "",
    });
    of(bench, None, &works)
}

pub fn count(bench: &Bench) -> u64 {
    (10_000 / bench.shorter).max(2_000)
}

/// Alone, every message is a wait of its own.
pub fn aim(connections: usize) -> &'static str {
    if connections == 1 { "" } else { "4.1" }
}

pub fn of(bench: &Bench, http: Option<Http>, works: &[Work]) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows: Vec<Row> = works.iter().map(|work| bench.row_of(work, "system calls")).collect();
    for (place, contender) in bench.contenders.iter().enumerate() {
        let setting = Setting { http, ..bench.setting(0)? };
        let Some(proxy) = bench.start(contender, &setting, Under::Nothing) else { continue };
        for (row, work) in rows.iter_mut().zip(works) {
            let Work { kind, connections, count, .. } = work;
            let mut driver = Driver::start(kind, setting.first, *connections, bench.cores.load)?;
            driver.step(count / 10)?;
            let load = || driver.step(*count).map(drop);
            let calls = observe::system_calls(proxy.worker()?, load)?;
            driver.end()?;
            let total: u64 = calls.iter().map(|(_, calls)| calls).sum();
            row.add(place, total as f64 / *count as f64);
            let each = calls.iter().filter(|(_, calls)| calls * 50 > *count);
            let each =
                each.map(|(name, calls)| format!("{name} {:.2}", *calls as f64 / *count as f64));
            let each: Vec<String> = each.collect();
            eprintln!("  {}: {kind} {connections}: {}", contender.name, each.join(", "));
        }
    }
    Ok(rows)
}
