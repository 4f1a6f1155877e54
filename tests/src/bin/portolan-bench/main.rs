//! `make bench`: Portolan beside HAProxy, nginx and a bare relay, in one run, alternating.
//!
//! Shell. Nothing here is asserted: the report is a table and a picture. The same program is the load
//! generator, the servers and the one that pins (`load`, `origin`, `pin`), each in a process of its own;
//! `checks` measures alone what checking costs; `proof` is `make proof`.

mod checks;
mod contender;
mod drive;
mod http;
mod load;
mod measure;
mod options;
mod origin;
mod packages;
mod picture;
mod pin;
mod processes;
mod report;
mod statistics;

use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use contender::Contender;
use drive::Origin;
use measure::Bench;
use options::Options;
use pin::Cores;
use portolan_tests::proof::contest;
use report::Heading;

/// Rounds of everything that is timed.
const ROUNDS: usize = 7;
const ROUNDS_QUICK: usize = 5;
/// What a quick run divides the counts of work by.
const QUICK_DIVISOR: u64 = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        [] => bench(),
        ["proof"] => proof(),
        ["origin"] => origin::run(),
        ["load", kind, target, connections] => connections
            .parse()
            .map_err(Into::into)
            .and_then(|connections| load::run(kind, target, connections)),
        ["checks", servers, seconds, kind] => match (servers.parse(), seconds.parse()) {
            (Ok(servers), Ok(seconds)) => checks::run(servers, seconds, kind),
            _ => Err("how many servers, for how many seconds?".into()),
        },
        ["pin", core, program, ..] => Err(pin::become_program(core, program, &arguments[3..])),
        _ => Err("no arguments; see `make bench` in the Makefile".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portolan-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What reloads and deaths cost clients of each proxy.
fn proof() -> Result<(), Box<dyn Error>> {
    packages::ensure();
    println!("{}", contest::run(&contest::Options::of_environment()?)?);
    Ok(())
}

fn bench() -> Result<(), Box<dyn Error>> {
    let busy = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let options = Options::of_environment()?;
    packages::ensure();
    let (mut contenders, missing) = Contender::find_all();
    for name in &missing {
        eprintln!("portolan-bench: not found, left out: {name}");
    }
    let wanted = |name: &str| {
        options.only.is_empty()
            || options.only.iter().any(|part| name.to_lowercase().contains(part))
    };
    contenders.retain(|contender| wanted(&contender.name));
    let cores = Cores::of_this_process()?;
    let bench = Bench {
        cores,
        origin: Origin::start(cores.load)?,
        rounds: if options.quick { ROUNDS_QUICK } else { ROUNDS },
        shorter: if options.quick { QUICK_DIVISOR } else { 1 },
        logs: options.logs,
        profiles: options.profiles.clone(),
        contenders,
    };
    let mut rows = Vec::new();
    for subset in &options.subsets {
        let start = Instant::now();
        let name = options::Subset::ALL.iter().find(|(_, known)| known == subset);
        eprintln!("portolan-bench: {} …", name.map_or("", |(name, _)| name));
        match measure::run(&bench, *subset) {
            Ok(measured) => rows.extend(measured),
            Err(error) => eprintln!("portolan-bench: given up: {error}"),
        }
        eprintln!("  {:.0} s", start.elapsed().as_secs_f64());
    }
    let names = bench.contenders.iter().map(|contender| contender.name.clone()).collect();
    let heading = Heading { facts: facts(&bench, &options, &busy), contenders: names };
    let text = report::markdown(&heading, &rows);
    fs::create_dir_all(&options.directory)?;
    fs::write(options.directory.join("bench.md"), &text)?;
    fs::write(options.directory.join("bench.svg"), picture::svg(&heading, &rows))?;
    println!("{text}");
    eprintln!("portolan-bench: written to {}/bench.md and bench.svg", options.directory.display());
    Ok(())
}

/// What a reader must know to judge the figures.
fn facts(bench: &Bench, options: &Options, busy: &str) -> Vec<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown", |(_, model)| model.trim()).to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let Cores { proxy, load } = bench.cores;
    let quick = if options.quick { ", quick run" } else { "" };
    vec![
        format!("{model}; Linux {}", kernel.trim()),
        format!("load average before the run: {}", busy.split(' ').next().unwrap_or("unknown")),
        format!("proxy on core {proxy}, clients and servers on core {load}; all on 127.0.0.1"),
        format!("one thread against one worker; {} rounds, alternating{quick}", bench.rounds),
        if options.logs {
            "a log line a connection or HTTP request by UDP from each but the bare relay".to_owned()
        } else {
            "no logs".to_owned()
        },
        "CPU: user and kernel time of all the proxy's processes; memory: their proportional set"
            .to_owned(),
        "messages: 64 bytes there and back; connections: connect, one message, close, 16 at a time"
            .to_owned(),
        "http: kept-alive on both sides, 64 bytes of content; every answer is checked by the client, \
         every request by the server; p99 at half of what the slowest serves"
            .to_owned(),
        "splice: HAProxy is told to always (its splice-auto does not here), nginx cannot"
            .to_owned(),
        "aim: at most so much, as a ratio to the first column where it says times".to_owned(),
    ]
}
