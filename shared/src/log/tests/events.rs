//! What a process says about itself.

use std::os::unix::net::UnixDatagram;

use rustix::pipe::pipe;

use super::*;

/// What stands in a pipe now.
fn said(reader: &OwnedFd) -> String {
    let mut buffer = vec![0; 65_536];
    rustix::io::ioctl_fionbio(reader, true).unwrap();
    let length = rustix::io::read(reader, &mut buffer).unwrap_or(0);
    buffer.truncate(length);
    String::from_utf8(buffer).unwrap()
}

fn own(text: &str) -> String {
    text.replace("PID", &std::process::id().to_string())
}

#[test]
fn without_a_configured_log_events_go_to_stderr_at_once() {
    let (reader, writer) = pipe().unwrap();
    let mut log = Log::with_stderr(writer);
    log.say(LogLevel::Notice, format_args!("generation {} serves", 3));
    assert_eq!(said(&reader), own("[NOTICE]   (PID) : generation 3 serves\n"));
    log.configure(&config(Vec::new(), Vec::new()), false);
    log.say(LogLevel::Err, format_args!("two\nlines"));
    assert_eq!(said(&reader), own("[ALERT]    (PID) : two#0Alines\n"));
}

#[test]
fn with_a_configured_log_events_go_there_and_to_stderr_only_on_demand() {
    let (reader, writer) = pipe().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let endpoint = LogEndpoint::Unix(path);
    let config = config(vec![target(endpoint.clone())], Vec::new());
    let mut log = Log::with_stderr(writer);
    for (also_stderr, on_stderr) in [(false, ""), (true, "[WARNING]  (PID) : here\n")] {
        log.configure(&config, also_stderr);
        log.attach(0, open(&endpoint).unwrap().descriptor);
        log.say(LogLevel::Warning, format_args!("here"));
        let mut buffer = [0; 100];
        let length = daemon.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"here\n");
        assert_eq!(said(&reader), own(on_stderr));
    }
}

#[test]
fn a_name_stands_before_every_event() {
    let (reader, writer) = pipe().unwrap();
    let mut log = Log::with_stderr(writer);
    log.speak_as("worker 3");
    log.say(LogLevel::Notice, format_args!("ready"));
    assert_eq!(said(&reader), own("[NOTICE]   (PID) : worker 3: ready\n"));
}

#[test]
fn what_strangers_cause_is_said_a_few_times_and_then_counted() {
    let (reader, writer) = pipe().unwrap();
    let mut log = Log::with_stderr(writer);
    let start = monotonic_ms();
    for _ in 0..1000 {
        log.say_limited(Kind::ProxyHeader, LogLevel::Warning, format_args!("bad header"));
    }
    let text = said(&reader);
    let shown = text.matches("bad header").count();
    // More than a burst only where a second or more went by.
    assert!((10..100).contains(&shown), "{shown}");
    assert!(log.due(start).is_some_and(|due| due > start));
    log.flush(monotonic_ms() + 10_000);
    let rest =
        own(&format!("[WARNING]  (PID) : {} more suppressed (PROXY header)\n", 1000 - shown));
    assert!(said(&reader).contains(&rest) || shown > 10);
}

#[test]
fn dropped_lines_are_reported_elsewhere_and_not_too_often() {
    let (reader, writer) = pipe().unwrap();
    let config = config(vec![target(LogEndpoint::Fd(99))], Vec::new());
    let mut log = Log::with_stderr(writer);
    log.configure(&config, false);
    let (its_reader, its_writer) = pipe().unwrap();
    drop(its_reader);
    log.attach(0, its_writer);
    let refs = log.targets(&config.logs, None);
    for now in [0, 5000, 10_000] {
        push(&mut log, &refs, now, "x");
        push(&mut log, &refs, now, "y");
        log.flush(now + LATE_MAX_MS);
        let expected = match now {
            0 => "[WARNING]  (PID) : 2 log lines for fd@99 were dropped\n",
            5000 => "",
            _ => "[WARNING]  (PID) : 4 log lines for fd@99 were dropped\n",
        };
        assert_eq!(said(&reader), own(expected), "{now}");
    }
    assert_eq!(log.due(10_010), None);
}
