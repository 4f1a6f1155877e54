//! Reload with 1,000 listeners: from the signal to the first exchange on the new generation.
//!
//! The new configuration has one listener more than the old one; only the new generation answers there.

use std::error::Error;
use std::thread;
use std::time::Duration;

use super::{Bench, Row};
use crate::contender::{Kind, Setting, Under};

/// Listeners before the first reload.
const LISTENERS: usize = 1_000;
/// Between two reloads.
const SETTLE: Duration = Duration::from_secs(1);

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut row =
        bench.row(format!("reload, {LISTENERS} listeners"), "ms to the new generation").aim("100");
    for (place, contender) in bench.contenders.iter().enumerate() {
        if contender.kind == Kind::Bare {
            continue;
        }
        let whole = bench.setting(LISTENERS - 2 + bench.rounds)?;
        let with = |more: usize| Setting { more: whole.more[..more].to_vec(), ..whole.clone() };
        let Some(mut proxy) = bench.start(contender, &with(LISTENERS - 2), Under::Master) else {
            continue;
        };
        for more in LISTENERS - 2..LISTENERS - 2 + bench.rounds {
            // A master that has just started may not listen to signals yet, and the old generation is
            // to be gone.
            thread::sleep(SETTLE);
            let took = proxy.reload_with(&with(more + 1), whole.more[more])?;
            row.add(place, took.as_secs_f64() * 1e3);
        }
    }
    Ok(vec![row])
}
