//! User-space instructions of the worker, per message, new connection or HTTP request.
//!
//! With counters in the processor: perf, attached to the running proxy, the kernel's part too. Without: a
//! run under callgrind with n and one with 3 n units of work; the difference leaves start and end out.
//! The files of the longer run are kept where PROFILES says, for `callgrind_annotate`.

use std::error::Error;

use super::{Bench, CONNECTIONS, PARALLEL, Row, Work, messages_over, observe};
use crate::contender::{Contender, Http, Setting, Under};
use crate::drive::Driver;

/// Further frontends of the larger configuration.
const FRONTENDS: usize = 998;

pub fn run(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    of(bench, None, &works(bench))
}

/// User instructions, and the kernel's where they can be counted.
pub fn of(bench: &Bench, http: Option<Http>, works: &[Work]) -> Result<Vec<Row>, Box<dyn Error>> {
    let counters = observe::counters_work();
    eprintln!("  counted by {}", if counters { "perf" } else { "callgrind" });
    let mut rows = Vec::new();
    for work in works {
        let mut in_user = bench.row_of(work, USER);
        let mut in_kernel = bench.row_of(work, "kernel instructions").aim("").unpictured();
        for (place, contender) in bench.contenders.iter().enumerate() {
            let setting = Setting { http, ..bench.setting(0)? };
            if counters {
                let Some([user, kernel]) = by_counters(bench, contender, &setting, work)? else {
                    continue;
                };
                in_user.add(place, user);
                in_kernel.add(place, kernel);
            } else if let Some(user) = by_callgrind(bench, contender, &setting, work)? {
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

const USER: &str = "user instructions";

/// How the cost of a message and a connection grows with the number of frontends.
pub fn run_many_frontends(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for work in works(bench).into_iter().filter(|work| work.connections == PARALLEL) {
        for more in [0, FRONTENDS] {
            let aim = if more > 0 { "within 3 % of 2 frontends" } else { "" };
            let name = format!("{}, {} frontends", work.name, more + 2);
            let work = Work { name, aim, ..work.clone() };
            rows.push(user(bench, &|| bench.setting(more), &work)?);
        }
    }
    Ok(rows)
}

/// User instructions only, for a set-up of the caller's.
pub fn user(
    bench: &Bench,
    setting: &dyn Fn() -> Result<Setting, Box<dyn Error>>,
    work: &Work,
) -> Result<Row, Box<dyn Error>> {
    let counters = observe::counters_work();
    let mut row = bench.row_of(work, USER).unpictured();
    for (place, contender) in bench.contenders.iter().enumerate() {
        let setting = setting()?;
        let figure = if counters {
            by_counters(bench, contender, &setting, work)?.map(|[user, _]| user)
        } else {
            by_callgrind(bench, contender, &setting, work)?
        };
        if let Some(figure) = figure {
            row.add(place, figure);
        }
    }
    Ok(row)
}

/// Units of work under valgrind.
pub fn count(bench: &Bench) -> u64 {
    (5_000 / bench.shorter).max(2_000)
}

fn works(bench: &Bench) -> Vec<Work> {
    let count = count(bench);
    let over = |connections| Work {
        kind: "messages".to_owned(),
        connections,
        count,
        name: messages_over(connections),
        each: "message",
        aim: "0.5 times",
    };
    let mut works = CONNECTIONS.map(over).to_vec();
    works.push(Work {
        kind: "connections".to_owned(),
        connections: PARALLEL,
        count: count / 5,
        name: "new connections".to_owned(),
        each: "connection",
        aim: "",
    });
    works
}

fn by_counters(
    bench: &Bench,
    contender: &Contender,
    setting: &Setting,
    work: &Work,
) -> Result<Option<[f64; 2]>, Box<dyn Error>> {
    let Some(proxy) = bench.start(contender, setting, Under::Nothing) else { return Ok(None) };
    let mut driver = Driver::start(&work.kind, setting.first, work.connections, bench.cores.load)?;
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
    work: &Work,
) -> Result<Option<f64>, Box<dyn Error>> {
    let mut totals = [0; 2];
    for (total, count) in totals.iter_mut().zip([work.count, 3 * work.count]) {
        let Some(proxy) = bench.start(contender, setting, Under::Callgrind) else {
            return Ok(None);
        };
        let mut driver =
            Driver::start(&work.kind, setting.first, work.connections, bench.cores.load)?;
        driver.step(count)?;
        driver.end()?;
        let Some(counted) = proxy.stop(bench.profiles.as_deref(), &work.name)? else {
            eprintln!("portolan-bench: {} left no count", contender.name);
            return Ok(None);
        };
        *total = counted;
    }
    Ok(Some((totals[1] as f64 - totals[0] as f64) / (2 * work.count) as f64))
}
