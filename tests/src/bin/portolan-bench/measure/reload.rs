//! Reloads of large configurations: from the signal to the first exchange on the new generation.
//!
//! The new configuration has one listener more than the old one; only the new generation answers there.

use std::error::Error;
use std::thread;
use std::time::Duration;

use super::{Bench, Row};
use crate::contender::{Http, Kind, Setting, Under};

/// Listeners before the first reload.
const LISTENERS: usize = 1_000;
/// Backends, each with a server and a host that leads there.
const BACKENDS: [(usize, &str); 2] = [(1_000, "100"), (10_000, "")];
/// Between two reloads.
const SETTLE: Duration = Duration::from_secs(1);

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    let whole = bench.setting(LISTENERS - 2 + bench.rounds)?;
    rows.push(reload(bench, &format!("{LISTENERS} listeners"), "100", &whole, LISTENERS - 2)?);
    for (hosts, aim) in BACKENDS {
        let http = Some(Http { hosts, server_close: false });
        let whole = Setting { http, ..bench.setting(bench.rounds)? };
        rows.push(reload(bench, &format!("{hosts} backends"), aim, &whole, 0)?);
    }
    Ok(rows)
}

/// Reloads with one more of the further listeners each time, `first` of which are there from the start.
fn reload(
    bench: &Bench,
    of: &str,
    aim: &'static str,
    whole: &Setting,
    first: usize,
) -> Result<Row, Box<dyn Error>> {
    let mut row = bench.row(format!("reload, {of}"), "ms to the new generation").aim(aim);
    for (place, contender) in bench.contenders.iter().enumerate() {
        if contender.kind == Kind::Bare {
            continue;
        }
        let with = |more: usize| Setting { more: whole.more[..more].to_vec(), ..whole.clone() };
        let Some(mut proxy) = bench.start(contender, &with(first), Under::Master) else {
            continue;
        };
        for more in first..first + bench.rounds {
            // A master that has just started may not listen to signals yet, and the old generation is
            // to be gone.
            thread::sleep(SETTLE);
            let took = proxy.reload_with(&with(more + 1), whole.more[more])?;
            row.add(place, took.as_secs_f64() * 1e3);
        }
    }
    Ok(row)
}
