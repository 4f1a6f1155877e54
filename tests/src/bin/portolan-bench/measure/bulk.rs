//! Bulk transfer over one connection, each way; moved inside the kernel by those that can, and copied.

use std::error::Error;

use super::{Bench, Row};
use crate::drive::Driver;

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let bytes = (1 << 30) / bench.shorter;
    let mut rows = Vec::new();
    for (kind, splice) in
        [("download", true), ("upload", true), ("download", false), ("upload", false)]
    {
        let proxies = bench.start_all(None, splice)?;
        let name = format!("bulk {kind}, {}", if splice { "splice" } else { "copied" });
        let mut cpu = bench.row(name.clone(), "ms CPU a GB");
        let mut rate = bench.row(name, "GB a second").unpictured();
        if splice {
            cpu = cpu.aim("1.0 times");
        } else {
            cpu = cpu.unpictured();
        }
        for place in bench.turns(1) {
            let Some(proxy) = &proxies[place] else { continue };
            let bulk = proxy.setting().bulk;
            let mut driver = Driver::start(kind, bulk, 1, bench.cores.load)?;
            let before = proxy.cpu_ns();
            let done = driver.step(bytes)?;
            let used = proxy.cpu_ns() - before;
            driver.end()?;
            cpu.add(place, used as f64 / 1e6 / (done.count as f64 / 1e9));
            rate.add(place, done.count as f64 / done.elapsed_ns as f64);
        }
        rows.extend([cpu, rate]);
    }
    Ok(rows)
}
