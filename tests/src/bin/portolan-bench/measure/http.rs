//! HTTP: the measures of the others, with requests, and what only requests have.

use std::error::Error;
use std::time::Duration;

use super::messages::timed;
use super::{Bench, CONNECTIONS, PARALLEL, Row, Work, calls, instructions};
use crate::contender::{Http, Running};
use crate::drive::Driver;

/// What closing leaves to do is done in this time.
const SETTLE: Duration = Duration::from_millis(100);
/// Connections over which contents flow.
const BODY_CONNECTIONS: usize = 4;
/// Rounds of latencies, and how long each lasts.
const LATENCY_ROUNDS: usize = 5;
const LATENCY_SECONDS: f64 = 1.5;
/// Requests that tell how many a proxy can serve.
const SATURATING: u64 = 20_000;
/// Hosts with a backend each: in the smaller and in the larger configuration.
const HOSTS: [usize; 2] = [10, 10_000];

/// Small requests over kept connections.
fn over(connections: usize, count: u64, aim: &'static str) -> Work {
    Work {
        kind: "requests-small".to_owned(),
        connections,
        count,
        name: format!("http, {connections} connection{}", if connections == 1 { "" } else { "s" }),
        each: "request",
        aim,
    }
}

/// Small requests on connections of their own.
fn each_new(count: u64, server_close: bool, aim: &'static str) -> Work {
    let what = if server_close { "new connections, server's too" } else { "new connections" };
    Work {
        kind: "fetches".to_owned(),
        connections: PARALLEL,
        count,
        name: format!("http, {what}"),
        each: "request",
        aim,
    }
}

const KEPT: Http = Http { hosts: 0, server_close: false };
const SERVER_CLOSE: Http = Http { hosts: 0, server_close: true };

pub fn run_requests(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let proxies = bench.start_all(Some(KEPT), false)?;
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let count = if connections == 1 { 3_000 } else { 20_000 } / bench.shorter;
        let work = over(connections, count, "0.65 times, 0.8 times nginx");
        rows.extend(timed(bench, &proxies, &work, Duration::ZERO)?);
    }
    Ok(rows)
}

pub fn run_connections(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for http in [KEPT, SERVER_CLOSE] {
        let proxies = bench.start_all(Some(http), false)?;
        let work = each_new(3_000 / bench.shorter, http.server_close, "0.8 times");
        rows.extend(timed(bench, &proxies, &work, SETTLE)?);
    }
    Ok(rows)
}

pub fn run_bodies(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for splice in [true, false] {
        let proxies = bench.start_all(Some(KEPT), splice)?;
        for (ask, what, count) in
            [("64k", "64 kB", 4_000), ("1m", "1 MB", 400), ("put", "1 MB upload", 400)]
        {
            let how = if splice { "splice" } else { "copied" };
            let work = Work {
                kind: format!("requests-{ask}"),
                connections: BODY_CONNECTIONS,
                count: count / bench.shorter,
                name: format!("http, {what}, {how}"),
                each: "request",
                aim: if splice { "1.0 times" } else { "" },
            };
            let [cpu, rate] = timed(bench, &proxies, &work, Duration::ZERO)?;
            rows.extend([if splice { cpu } else { cpu.unpictured() }, rate]);
        }
    }
    Ok(rows)
}

/// At half of what the slowest can serve, the same rate for all.
pub fn run_latency(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let connections = CONNECTIONS[2];
    let proxies = bench.start_all(Some(KEPT), false)?;
    let driver = |proxy: &Running, kind: &str| {
        Driver::start(kind, proxy.setting().first, connections, bench.cores.load)
    };
    let mut slowest = f64::INFINITY;
    for proxy in proxies.iter().flatten() {
        let mut driver = driver(proxy, "requests-small")?;
        driver.step(SATURATING / 4)?;
        let done = driver.step(SATURATING)?;
        slowest = slowest.min(done.count as f64 * 1e9 / done.elapsed_ns as f64);
        driver.end()?;
    }
    // Rounded, so that runs can be compared.
    let rate = ((slowest / 2.0 / 1_000.0).round() * 1_000.0).max(1_000.0);
    let name = format!("http, {connections} connections, {rate:.0} requests a second");
    let mut row = bench.row(name, "µs to an answer, p99").aim("1.1 times");
    let mut drivers = Vec::new();
    for proxy in &proxies {
        let open = |proxy| driver(proxy, &format!("paced-{rate:.0}"));
        drivers.push(proxy.as_ref().map(open).transpose()?);
    }
    let count = drivers.len();
    for round in 0..LATENCY_ROUNDS {
        for place in (0..count).map(|turn| (turn + round) % count) {
            let Some(driver) = &mut drivers[place] else { continue };
            let done = driver.step((rate * LATENCY_SECONDS) as u64)?;
            row.add(place, done.p99_ns as f64 / 1e3);
        }
    }
    Ok(vec![row])
}

pub fn run_calls(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let count = calls::count(bench);
    let mut works =
        CONNECTIONS.map(|connections| over(connections, count, calls::aim(connections))).to_vec();
    works.push(each_new(count / 4, false, ""));
    let mut rows = calls::of(bench, Some(KEPT), &works)?;
    rows.extend(calls::of(bench, Some(SERVER_CLOSE), &[each_new(count / 4, true, "")])?);
    Ok(rows)
}

pub fn run_instructions(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let count = instructions::count(bench);
    let mut works = CONNECTIONS.map(|connections| over(connections, count, "9,000")).to_vec();
    works.push(each_new(count / 5, false, ""));
    instructions::of(bench, Some(KEPT), &works)
}

/// How the cost of a request grows with the number of hosts and backends.
pub fn run_hosts(bench: &Bench) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for hosts in HOSTS {
        let work = Work {
            kind: format!("hosts-{hosts}"),
            name: format!("http, {PARALLEL} connections, {hosts} hosts"),
            ..over(
                PARALLEL,
                instructions::count(bench),
                if hosts == HOSTS[0] { "" } else { "within 3 % of 10 hosts" },
            )
        };
        let setting = || bench.http_setting(Http { hosts, ..KEPT });
        rows.push(instructions::user(bench, &setting, &work)?);
    }
    Ok(rows)
}
