//! User-space instructions of the worker, per message and per new connection.
//!
//! With counters in the processor: perf, attached to the running proxy, the kernel's part too. Without: a
//! run under callgrind with n and one with 3 n units of work; the difference leaves start and end out.
//! The files of the longer run are kept where PROFILES says, for `callgrind_annotate`.

use std::error::Error;

use super::{Bench, CONNECTIONS, PARALLEL, Row, messages_over, observe};
use crate::contender::{Contender, Setting, Under};
use crate::drive::Driver;

/// What is sent through.
#[derive(Clone, Copy)]
struct Work {
    kind: &'static str,
    connections: usize,
    count: u64,
}

/// Further frontends of the larger configuration.
const FRONTENDS: usize = 998;

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let counters = observe::counters_work();
    eprintln!("  counted by {}", if counters { "perf" } else { "callgrind" });
    let mut rows = Vec::new();
    for work in works(bench) {
        let (name, user, kernel) = names(work);
        let aim = if work.kind == "messages" { "0.5 times" } else { "" };
        let mut in_user = bench.row(name.clone(), user).aim(aim);
        let mut in_kernel = bench.row(name, kernel).unpictured();
        for (place, contender) in bench.contenders.iter().enumerate() {
            if counters {
                let setting = bench.setting(0)?;
                let Some([user, kernel]) = by_counters(bench, contender, &setting, work)? else {
                    continue;
                };
                in_user.add(place, user);
                in_kernel.add(place, kernel);
            } else if let Some(user) = by_callgrind(bench, contender, &bench.setting(0)?, work)? {
                in_user.add(place, user);
            }
        }
        rows.push(in_user);
        if counters {
            rows.push(in_kernel);
        }
    }
    Ok(rows)
}

/// How the cost of a message and a connection grows with the number of frontends.
pub fn run_many_frontends(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let counters = observe::counters_work();
    let mut rows = Vec::new();
    for work in works(bench).into_iter().filter(|work| work.connections == PARALLEL) {
        let (name, user, _) = names(work);
        for more in [0, FRONTENDS] {
            let mut row = bench.row(format!("{name}, {} frontends", more + 2), user).unpictured();
            if more > 0 {
                row = row.aim("within 3 % of 2 frontends");
            }
            for (place, contender) in bench.contenders.iter().enumerate() {
                let setting = bench.setting(more)?;
                let figure = if counters {
                    by_counters(bench, contender, &setting, work)?.map(|[user, _]| user)
                } else {
                    by_callgrind(bench, contender, &setting, work)?
                };
                if let Some(figure) = figure {
                    row.add(place, figure);
                }
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

fn works(bench: &Bench) -> Vec<Work> {
    let count = (5_000 / bench.shorter).max(2_000);
    let mut works: Vec<Work> = CONNECTIONS
        .iter()
        .map(|connections| Work { kind: "messages", connections: *connections, count })
        .collect();
    works.push(Work { kind: "connections", connections: PARALLEL, count: count / 5 });
    works
}

fn names(work: Work) -> (String, &'static str, &'static str) {
    if work.kind == "messages" {
        (
            messages_over(work.connections),
            "user instructions a message",
            "kernel instructions a message",
        )
    } else {
        let name = "new connections".to_owned();
        (name, "user instructions a connection", "kernel instructions a connection")
    }
}

fn by_counters(
    bench: &Bench,
    contender: &Contender,
    setting: &Setting,
    work: Work,
) -> Result<Option<[f64; 2]>, Box<dyn Error>> {
    let Some(proxy) = bench.start(contender, setting, Under::Nothing) else { return Ok(None) };
    let mut driver = Driver::start(work.kind, setting.echo, work.connections, bench.cores.load)?;
    driver.step(work.count / 10)?;
    let count = work.count * 10;
    let counted = observe::instructions(proxy.worker()?, || driver.step(count).map(drop))?;
    driver.end()?;
    Ok(Some([counted.user, counted.kernel].map(|each| each as f64 / count as f64)))
}

fn by_callgrind(
    bench: &Bench,
    contender: &Contender,
    setting: &Setting,
    work: Work,
) -> Result<Option<f64>, Box<dyn Error>> {
    let mut totals = [0; 2];
    for (total, count) in totals.iter_mut().zip([work.count, 3 * work.count]) {
        let Some(proxy) = bench.start(contender, setting, Under::Callgrind) else {
            return Ok(None);
        };
        let mut driver =
            Driver::start(work.kind, setting.echo, work.connections, bench.cores.load)?;
        driver.step(count)?;
        driver.end()?;
        let label = format!("{}, {} frontends", names(work).0, setting.more.len() + 2);
        let Some(counted) = proxy.stop(bench.profiles.as_deref(), &label)? else {
            eprintln!("portolan-bench: {} left no count", contender.name);
            return Ok(None);
        };
        *total = counted;
    }
    Ok(Some((totals[1] as f64 - totals[0] as f64) / (2 * work.count) as f64))
}
