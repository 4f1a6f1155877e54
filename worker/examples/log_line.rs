//! Writes many access log lines to a UDP socket of its own, for counting instructions per line.
//!
//! Shell. Run it for two numbers of lines under callgrind and divide the difference:
//! `valgrind --tool=callgrind --callgrind-out-file=/dev/null log_line 20000`.
#![allow(dead_code, unused_imports, missing_debug_implementations, reason = "only a part is used")]

#[path = "../src/log/mod.rs"]
mod log;
#[path = "../src/termination.rs"]
mod termination;

use std::net::UdpSocket;

use log::{Load, Moment, Outcome, Peer, TcpLine, level};
use portolan_shared::log::{BATCH_LINES_MAX, Sender, Wall, Zone, monotonic_ms, open};
use portolan_shared::model::{Facility, LogEndpoint, LogFormat, LogLevel, LogOptions, LogTarget};
use termination::Termination;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: u32 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let client = match arguments.next().as_deref() {
        Some("ipv6") => Peer::Ip("2001:db8:85a3::8a2e:370:7334".parse().expect("an address"), 4433),
        _ => Peer::Ip([192, 168, 117, 23].into(), 44_622),
    };
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a UDP port");
    let target = LogTarget {
        endpoint: LogEndpoint::Udp(receiver.local_addr().expect("its address")),
        format: LogFormat::Rfc3164,
        facility: Facility::Local0,
        level_max: LogLevel::Debug,
        level_min: LogLevel::Emerg,
        length_max: 1024,
    };
    let mut sender = Sender::for_endpoints(Zone::system(), vec![target.endpoint.clone()]);
    sender.attach(0, open(&target.endpoint).expect("a socket").descriptor, monotonic_ms());
    let targets = [sender.target(&target, None).expect("a target")];
    let options =
        LogOptions { line: portolan_shared::model::LogLine::Tcp, ..LogOptions::default() };
    let start = Wall::now();
    for number in 0..count {
        // A thousand lines a second, from streams that lasted up to eight.
        let wall = Wall::from_micros(start.micros() + u64::from(number) * 1000);
        let lasted = u64::from(number % 8) * 1000;
        let outcome = Outcome {
            termination: Termination::NORMAL,
            retries: 0,
            redispatched: false,
            from_client: 100,
            status: None,
        };
        let Some(level) = level(options, Moment::End, &outcome) else { continue };
        let line = TcpLine {
            client,
            accepted: Wall::from_micros(wall.micros() - lasted * 1000),
            frontend: "mysql_1",
            backend: "mysql_1",
            server: Some("srv1"),
            queue_ms: Some(0),
            connect_ms: Some(1),
            total_ms: lasted,
            early: false,
            bytes: 123_456,
            termination: Termination::NORMAL,
            load: Load { process: 128, frontend: 128, backend: 127, server: 64 },
            retries: 0,
            redispatched: false,
            server_queue: 0,
            backend_queue: 0,
        };
        sender.push(&targets, level, 0, wall, |clock, out| line.write(clock, out));
    }
    let sent = sender.counts().next().map_or(0, |(_, counts)| counts.sent);
    println!("{sent} of {count} lines sent, {BATCH_LINES_MAX} a call");
}
