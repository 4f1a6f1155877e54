//! Writes many access log lines to a UDP socket of its own, for counting instructions per line.
//!
//! Shell. Run it for two numbers of lines under callgrind and divide the difference:
//! `valgrind --tool=callgrind --callgrind-out-file=/dev/null log_line 20000 http`. The line is `tcp`,
//! `http`, `clf`, `json` or `template` (what `http` writes, as a template); a third argument `ipv6`
//! takes such a client.
#![allow(dead_code, unused_imports, missing_debug_implementations, reason = "only a part is used")]

#[path = "../src/log/mod.rs"]
mod log;
#[path = "../src/termination.rs"]
mod termination;

use std::net::UdpSocket;

use log::{HttpRecord, Line, Load, Moment, Outcome, Peer, Request, TcpLine, Timers, level};
use portolan_shared::log::{BATCH_LINES_MAX, Sender, Wall, Zone, monotonic_ms, open};
use portolan_shared::model::{
    Facility, LogEndpoint, LogFormat, LogItem, LogLevel, LogLine, LogOptions, LogStyle, LogTarget,
    LogTemplate, LogVariable as V,
};
use termination::Termination;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: u32 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let kind = arguments.next().unwrap_or_else(|| "tcp".to_owned());
    let client = match arguments.next().as_deref() {
        Some("ipv6") => Peer::Ip("2001:db8:85a3::8a2e:370:7334".parse().expect("an address"), 4433),
        _ => Peer::Ip([192, 168, 117, 23].into(), 44_622),
    };
    let template = template();
    let none = LogTemplate::default();
    let http = match kind.as_str() {
        "tcp" => None,
        "http" => Some(Line::Http),
        "clf" => Some(Line::Clf),
        "json" => Some(Line::Json),
        "template" => Some(Line::Template(&template)),
        "none" => Some(Line::Template(&none)),
        _ => panic!("no such line: {kind}"),
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
    let line = if http.is_some() { LogLine::Http } else { LogLine::Tcp };
    let options = LogOptions { line, ..LogOptions::default() };
    let start = Wall::now();
    for number in 0..count {
        // A thousand lines a second, from streams that lasted up to eight.
        let wall = Wall::from_micros(start.micros() + u64::from(number) * 1000);
        let lasted = u64::from(number % 8) * 1000;
        let accepted = Wall::from_micros(wall.micros() - lasted * 1000);
        let outcome = Outcome {
            termination: Termination::NORMAL,
            retries: 0,
            redispatched: false,
            from_client: 100,
            status: http.map(|_| 200),
        };
        let Some(level) = level(options, Moment::End, &outcome) else { continue };
        let tcp = TcpLine {
            client,
            accepted,
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
        let Some(http) = http else {
            sender.push(&targets, level, 0, wall, |clock, out| tcp.write(clock, out));
            continue;
        };
        // Answers take up to 50 ms.
        let lasted = u64::from(number % 50);
        let record = HttpRecord {
            http: true,
            requested: Wall::from_micros(wall.micros() - lasted * 1000),
            timers: Timers {
                handshake_ms: 0,
                idle_ms: Some(0),
                request_ms: Some(0),
                queue_ms: Some(0),
                connect_ms: Some(1),
                response_ms: Some(lasted),
                total_ms: lasted,
            },
            status: Some(200),
            frontend: "http-in",
            backend: "static",
            cookie_letters: *b"--",
            request: Some(Request::new(b"GET /images/logo-small.png?v=17 HTTP/1.1", 1024)),
            ..HttpRecord::of_tcp(&tcp)
        };
        sender.push(&targets, level, 0, wall, |clock, out| http.write(&record, clock, out));
    }
    let sent = sender.counts().next().map_or(0, |(_, counts)| counts.sent);
    println!("{sent} of {count} lines sent, {BATCH_LINES_MAX} a call");
}

/// The HTTP line as a template.
fn template() -> LogTemplate {
    let variable = |variable| LogItem::Variable { variable, style: LogStyle::default() };
    let text = |text: &str| LogItem::Text(text.to_owned());
    let quoted = LogStyle { quoted: true, ..LogStyle::default() };
    let parts = [
        (V::ClientIp, ":"),
        (V::ClientPort, " ["),
        (V::RequestDate, "] "),
        (V::FrontendTransport, " "),
        (V::Backend, "/"),
        (V::Server, " "),
        (V::TimeRequest, "/"),
        (V::TimeWait, "/"),
        (V::TimeConnect, "/"),
        (V::TimeResponse, "/"),
        (V::TimeActive, " "),
        (V::Status, " "),
        (V::BytesOut, " "),
        (V::RequestCookie, " "),
        (V::ResponseCookie, " "),
        (V::TerminationCookies, " "),
        (V::ConnectionsAll, "/"),
        (V::ConnectionsFrontend, "/"),
        (V::ConnectionsBackend, "/"),
        (V::ConnectionsServer, "/"),
        (V::Retries, " "),
        (V::ServerQueue, "/"),
        (V::BackendQueue, " "),
        (V::RequestFields, " "),
        (V::ResponseFields, " "),
    ];
    let items = parts.into_iter().flat_map(|(part, behind)| [variable(part), text(behind)]);
    let line = LogItem::Variable { variable: V::RequestLine, style: quoted };
    LogTemplate { items: items.chain([line]).collect() }
}
