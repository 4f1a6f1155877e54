//! Lines through real sockets and pipes. Times of the loop are arguments, so nothing here sleeps.

mod events;
mod sockets;
mod streams;

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::*;
use crate::model::{
    Backend, Facility, Frontend, LogFormat, LogLevel, LogTarget, Mode, Process, Tune,
};

/// 2009-02-06T12:12:56Z
const AT: Wall = Wall::from_micros(1_233_922_376_000_000);
/// Longest wait for something that is on its way.
const PATIENCE: Duration = Duration::from_secs(10);

fn target(endpoint: LogEndpoint) -> LogTarget {
    LogTarget {
        endpoint,
        format: LogFormat::Raw,
        facility: Facility::Local0,
        level_max: LogLevel::Debug,
        level_min: LogLevel::Emerg,
        length_max: 1024,
    }
}

fn config(logs: Vec<LogTarget>, of_frontends: Vec<Vec<LogTarget>>) -> Config {
    let frontend =
        |(number, logs)| Frontend { logs, ..Frontend::new(format!("f{number}"), Mode::Tcp) };
    Config {
        process: Process::default(),
        tune: Tune::default(),
        logs,
        frontends: of_frontends.into_iter().enumerate().map(frontend).collect(),
        backends: Vec::<Backend>::new(),
        userlists: Vec::new(),
        error_pages: Vec::new(),
    }
}

/// A log with these global targets, each endpoint attached as the master would.
fn log_to(targets: Vec<LogTarget>) -> (Log, Vec<TargetRef>, Sockets) {
    let config = config(targets, Vec::new());
    let mut log = Log::on_stderr(Zone::utc());
    log.configure(&config, false);
    let sockets = Sockets::open(&endpoints(&config), |_| None).unwrap();
    for (position, descriptor) in sockets.iter() {
        log.attach(position, descriptor.try_clone_to_owned().unwrap());
    }
    let refs = log.targets(&config.logs, None);
    (log, refs, sockets)
}

/// A log with one raw target behind this descriptor.
fn log_into(descriptor: OwnedFd) -> (Log, Vec<TargetRef>) {
    let config = config(vec![target(LogEndpoint::Fd(99))], Vec::new());
    let mut log = Log::on_stderr(Zone::utc());
    log.configure(&config, false);
    log.attach(0, descriptor);
    let refs = log.targets(&config.logs, None);
    (log, refs)
}

fn push(log: &mut Log, targets: &[TargetRef], now: Millis, text: &str) {
    log.sender().push(targets, LogLevel::Info, now, AT, |_, line| {
        line.extend_from_slice(text.as_bytes());
    });
}

fn counts(log: &mut Log) -> Counts {
    log.sender().counts().next().unwrap().1
}

#[test]
fn endpoints_are_distinct_and_in_order() {
    let one = || target(LogEndpoint::Stdout);
    let two = || target(LogEndpoint::Udp(([127, 0, 0, 1], 514).into()));
    let three = || target(LogEndpoint::Unix("/dev/log".into()));
    let mut louder = two();
    louder.level_max = LogLevel::Err;
    let config = config(vec![two(), one()], vec![vec![louder, three()], vec![one(), three()]]);
    assert_eq!(endpoints(&config), [two().endpoint, one().endpoint, three().endpoint]);
}

#[test]
fn equal_targets_with_one_tag_share_a_frame() {
    let wanted = target(LogEndpoint::Stdout);
    let config = config(vec![wanted.clone()], Vec::new());
    let mut log = Log::on_stderr(Zone::utc());
    log.configure(&config, false);
    let of = |log: &mut Log, tag| log.targets(std::slice::from_ref(&wanted), tag);
    let (global, same, other) =
        (of(&mut log, None), of(&mut log, Some("portolan")), of(&mut log, Some("x")));
    assert_eq!(global, same);
    assert_ne!(global, other);
    let unknown = target(LogEndpoint::Fd(7));
    assert!(log.targets(&[unknown], None).is_empty());
}

#[test]
fn refs_of_an_older_configuration_lead_nowhere() {
    let old = config(vec![target(LogEndpoint::Stdout), target(LogEndpoint::Fd(5))], Vec::new());
    let mut log = Log::on_stderr(Zone::utc());
    log.configure(&old, false);
    let refs = log.targets(&old.logs, None);
    log.configure(&config(Vec::new(), Vec::new()), false);
    push(&mut log, &refs, 0, "lost");
    assert!(log.sender().is_empty());
}
