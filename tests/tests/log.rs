//! Promise: the access log is HAProxy's TCP line field for field, in the frame asked for, on every
//! kind of target; a log daemon may come and go without holding anybody up.

use std::io::Write;
use std::net::SocketAddr;

use portolan_tests::syslog::Syslog;
use portolan_tests::tcp_log::TcpLog;
use portolan_tests::{Listen, Origin, Portolan, Setup, address, client, deadline};

/// One connection that exchanges 5 bytes each way, and the client's own address.
fn five_bytes(front: SocketAddr) -> SocketAddr {
    let mut stream = client::connect(front);
    let own = stream.local_addr();
    stream.expect_echo(b"12345");
    stream.end_sending().expect("an end");
    stream.expect_end();
    own
}

fn proxy(front: SocketAddr, origin: &Origin) -> Listen {
    Listen::at("proxy", front).server("one", origin.address).option("tcplog")
}

#[test]
fn every_field_of_the_tcp_line_is_there() {
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::echo());
    let _portolan = Portolan::start(proxy(front, &origin).log_to(&log.target(), "").to_string());
    let own = five_bytes(front);
    let line = log.only_tcp();
    assert_eq!(line.client, own.to_string());
    assert_eq!((line.frontend.as_str(), line.backend.as_str()), ("proxy", "proxy"));
    assert_eq!((line.server.as_str(), line.bytes_read.as_str()), ("one", "5"));
    assert_eq!((line.termination.as_str(), line.retries.as_str()), ("--", "0"));
    assert!(line.queue_ms >= 0 && line.connect_ms >= 0, "{line:?}");
    assert!(line.total_ms.parse::<u64>().is_ok(), "{line:?}");
    // The stream itself has left the backend and the server when it is logged, not the frontend.
    assert_eq!((line.connections, line.queues), ([1, 1, 0, 0], [0, 0]));
    assert!(accept_date(&line.accept_date), "{line:?}");
}

/// `06/Feb/2009:12:12:51.443`.
fn accept_date(text: &str) -> bool {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let shape: String =
        text.chars().map(|one| if one.is_ascii_digit() { '9' } else { one }).collect();
    MONTHS.iter().any(|month| shape == format!("99/{month}/9999:99:99:99.999"))
}

/// The frame before the text, digits as 9, the pid and the host's name left out.
fn frame(line: &str, text_at: &str) -> String {
    let before = line.split(text_at).next().expect("a frame");
    let mut shape: String =
        before.chars().map(|one| if one.is_ascii_digit() { '9' } else { one }).collect();
    while shape.contains("99") {
        shape = shape.replace("99", "9");
    }
    shape
}

fn framed(format: &str) -> (String, u16) {
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::echo());
    let keys = format!("format = \"{format}\"");
    let _portolan = Portolan::start(proxy(front, &origin).log_to(&log.target(), &keys).to_string());
    let own = five_bytes(front);
    let line = log.wait_for(&own.to_string());
    assert!(TcpLog::parse(line.trim_end()).is_some(), "{line}");
    let priority = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    let priority = priority.map_or(0, |(number, _)| number.parse().expect("a priority"));
    let shape = frame(&line, &own.to_string());
    (shape, priority)
}

#[test]
fn the_default_frame_on_sockets_has_no_host() {
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::echo());
    let _portolan = Portolan::start(proxy(front, &origin).log_to(&log.target(), "").to_string());
    let own = five_bytes(front).to_string();
    let line = log.wait_for(&own);
    // local0.info is 16 × 8 + 6.
    assert!(line.starts_with("<134>"), "{line}");
    assert_eq!(dated(&frame(&line, &own)), " 9 9:9:9 portolan[9]: ");
    let (shape, priority) = framed("local");
    assert_eq!((dated(&shape), priority), (" 9 9:9:9 portolan[9]: ".to_owned(), 134));
}

#[test]
fn rfc_3164_has_a_host_where_one_is_configured() {
    let (shape, priority) = framed("rfc3164");
    assert_eq!((dated(&shape), priority), (" 9 9:9:9 portolan[9]: ".to_owned(), 134));
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::echo());
    let listen = proxy(front, &origin).log_to(&log.target(), "format = \"rfc3164\"");
    let setup = Setup::new(listen.to_string()).global("log_send_hostname", "\"lighthouse\"");
    let _portolan = setup.global("log_tag", "\"pilot\"").start();
    let own = five_bytes(front).to_string();
    let line = log.wait_for(&own);
    assert_eq!(dated(&frame(&line, &own)), " 9 9:9:9 lighthouse pilot[9]: ");
}

/// What follows `<9>Feb`; a day of one digit has a blank before it.
fn dated(shape: &str) -> String {
    assert!(shape.starts_with("<9>") && shape[3..6].chars().all(char::is_alphabetic), "{shape}");
    shape[6..].replace("  ", " ")
}

#[test]
fn rfc_5424_has_version_date_and_host() {
    let (shape, priority) = framed("rfc5424");
    assert_eq!(priority, 134);
    let words: Vec<&str> = shape.trim_end().split(' ').collect();
    assert_eq!(words[0], "<9>9", "{shape}");
    assert!(words[1].starts_with("9-9-9T9:9:9"), "{shape}");
    assert_eq!(&words[3..], ["portolan", "9", "-", "-"], "{shape}");
}

#[test]
fn the_other_frames_are_haproxys() {
    assert_eq!(framed("short"), ("<9>".to_owned(), 6));
    assert_eq!(framed("raw"), (String::new(), 0));
    let (timed, priority) = framed("timed");
    assert_eq!(priority, 6);
    assert!(timed.starts_with("<9>9-9-9T9:9:9"), "{timed}");
}

#[test]
fn a_unix_daemon_gets_the_lines() {
    let setup = Setup::new("");
    let (front, origin) = (address::free(), Origin::echo());
    let log = Syslog::unix(&setup.file("log.sock"));
    let listen = proxy(front, &origin).log_to(&log.target(), "");
    let _portolan = setup.body(listen.to_string()).start();
    let own = five_bytes(front);
    assert_eq!(log.only_tcp().client, own.to_string());
}

#[test]
fn stdout_and_stderr_get_the_bare_lines() {
    for target in ["stdout", "stderr"] {
        let (front, origin) = (address::free(), Origin::echo());
        let portolan = Portolan::start(proxy(front, &origin).log_to(target, "").to_string());
        let own = five_bytes(front).to_string();
        let line = deadline::eventually("the line", || {
            let text = if target == "stdout" { portolan.output() } else { portolan.errors() };
            text.lines().find(|line| line.contains(&own)).map(str::to_owned)
        });
        assert!(line.starts_with(&own), "{target}: {line}");
        assert!(TcpLog::parse(&line).is_some(), "{target}: {line}");
    }
}

#[test]
fn an_inherited_descriptor_gets_the_lines() {
    let (front, origin) = (address::free(), Origin::echo());
    let setup = Setup::new(proxy(front, &origin).log_to("fd@8", "").to_string());
    let path = setup.file("own.log");
    let file = std::fs::File::create(&path).expect("a file");
    let _portolan = setup.inherited(8, file.into()).start();
    let own = five_bytes(front).to_string();
    deadline::until("the line in the file", || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&own))
    });
}

#[test]
fn the_global_log_is_taken_where_a_section_says_so() {
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::echo());
    let listen = proxy(front, &origin).line("log = \"global\"");
    let target = portolan_tests::section::log_target(&log.target(), "");
    let _portolan = Setup::new(listen.to_string()).global("log", format!("[{target}]")).start();
    let own = five_bytes(front);
    log.wait_for(&own.to_string());
}

#[test]
fn without_a_log_events_go_to_stderr_and_connections_are_not_logged() {
    let (front, origin) = (address::free(), Origin::echo());
    let portolan = Portolan::start(proxy(front, &origin).to_string());
    let own = five_bytes(front).to_string();
    portolan.reload();
    deadline::until("an event on stderr", || !portolan.errors().is_empty());
    assert!(!portolan.errors().contains(&own));
}

#[test]
fn a_section_without_tcplog_writes_a_short_line_at_accept() {
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::echo());
    let listen = Listen::at("proxy", front).server("one", origin.address).log_to(&log.target(), "");
    let _portolan = Portolan::start(listen.to_string());
    let mut stream = client::connect(front);
    let own = stream.local_addr();
    // The line does not wait for the end.
    log.wait_for(&format!("Connect from {own} to {front} (proxy/TCP)"));
    stream.expect_echo(b"still open");
}

#[test]
fn logasap_writes_before_the_end_and_says_so() {
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::echo());
    let listen = proxy(front, &origin).option("logasap").log_to(&log.target(), "");
    let _portolan = Portolan::start(listen.to_string());
    let mut stream = client::connect(front);
    stream.expect_echo(b"hello");
    let line = log.only_tcp();
    assert!(line.total_ms.starts_with('+') && line.bytes_read.starts_with('+'), "{line:?}");
    stream.expect_echo(b"still open");
}

#[test]
fn dontlognull_and_dontlog_normal_leave_lines_out() {
    let (log, origin) = (Syslog::udp(), Origin::echo());
    let (null, normal) = (address::free(), address::free());
    let body = format!(
        "{}\n{}",
        Listen::at("null", null).server("one", origin.address).option("dontlognull").log(&log),
        Listen::at("normal", normal)
            .server("one", origin.address)
            .option("dontlog-normal")
            .timeout("client", "300ms")
            .log(&log)
    );
    let _portolan = Portolan::start(body);
    let mut stream = client::connect(null);
    stream.end_sending().expect("an end");
    stream.expect_end();
    five_bytes(normal);
    // These two are logged, and nothing came before them.
    five_bytes(null);
    client::connect(normal).expect_closed();
    let lines = log.wait_tcp(2);
    let mut seen: Vec<_> =
        lines.iter().map(|line| (line.frontend.as_str(), line.termination.as_str())).collect();
    seen.sort_unstable();
    assert_eq!(seen, [("normal", "cD"), ("null", "--")]);
}

#[test]
fn levels_and_lengths_are_limited_as_asked() {
    let (all, errors, short) = (Syslog::udp(), Syslog::udp(), Syslog::udp());
    let (front, origin) = (address::free(), Origin::echo());
    let listen = proxy(front, &origin)
        .log_to(&all.target(), "")
        .log_to(&errors.target(), "level = \"err\"")
        .log_to(&short.target(), "len = 80");
    let _portolan = Portolan::start(listen.to_string());
    five_bytes(front);
    all.only_tcp();
    let cut = deadline::eventually("a short line", || short.lines().into_iter().next());
    // The end of the line is not counted.
    assert!(cut.trim_end().len() <= 80, "{} bytes", cut.len());
    assert_eq!(errors.lines(), Vec::<String>::new(), "info is less severe than err");
}

#[test]
fn a_log_daemon_that_restarts_gets_lines_again() {
    let setup = Setup::new("");
    let (front, origin, path) = (address::free(), Origin::echo(), setup.file("log.sock"));
    let first = Syslog::unix(&path);
    let listen = proxy(front, &origin).log_to(&first.target(), "");
    let _portolan = setup.body(listen.to_string()).start();
    five_bytes(front);
    first.only_tcp();
    drop(first);
    // Nobody is held up while there is no daemon.
    for _ in 0..5 {
        five_bytes(front);
    }
    let second = Syslog::unix(&path);
    deadline::until("a line at the new daemon", || {
        five_bytes(front);
        !second.tcp_lines().is_empty()
    });
}

#[test]
fn a_log_daemon_that_does_not_read_holds_nobody_up() {
    let setup = Setup::new("");
    let path = setup.file("log.sock");
    // Bound and never read: its queue is full after a few lines.
    let _deaf = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    portolan_tests::setup::open_to_all(&path);
    let (front, origin) = (address::free(), Origin::echo());
    let listen = proxy(front, &origin).log_to(&path.display().to_string(), "");
    let portolan = setup.body(listen.to_string()).start();
    for _ in 0..600 {
        assert_eq!(client::ask(front, b"x").expect("an echo"), b"x");
    }
    assert!(portolan.running());
}

#[test]
fn what_strangers_send_is_escaped_and_rate_limited() {
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::echo());
    let listen = Listen::named("proxy")
        .bind(front, "accept_proxy = true")
        .server("one", origin.address)
        .log(&log);
    let portolan = Portolan::start(listen.to_string());
    for _ in 0..500 {
        let mut stream = client::connect(front);
        // The refusal may come first.
        let _ = stream.write_all(b"\x1b[31mnot a header\nforged line\r\n");
        stream.expect_closed();
    }
    // A good one behind them.
    let mut stream = client::connect(front);
    stream.write_all(b"PROXY UNKNOWN\r\n").expect("a header");
    stream.expect_echo(b"x");
    drop(stream);
    log.only_tcp();
    // The access log has its line for each connection; events are limited.
    let (lines, events) = (log.lines(), portolan.errors());
    assert!(events.lines().count() < 150, "{} events", events.lines().count());
    assert!(lines.iter().all(|line| !line.contains('\x1b') && !line.trim_end().contains('\n')));
    assert!(!events.contains('\x1b') && !events.contains("\nforged"));
}

#[test]
fn errors_may_be_logged_with_a_level_of_their_own() {
    let (errors, front, dead) = (Syslog::udp(), address::free(), address::free());
    let origin = Origin::echo();
    let (front_good, body) = (address::free(), |name: &str, front, server| {
        Listen::at(name, front)
            .server("one", server)
            .option("tcplog")
            .option("log-separate-errors")
            .line("retries = 0")
            .log_to(&errors.target(), "level = \"err\"")
            .to_string()
    });
    let both = body("bad", front, dead) + "\n" + &body("good", front_good, origin.address);
    let _portolan = Portolan::start(both);
    five_bytes(front_good);
    client::connect(front).expect_closed();
    let line = errors.only_tcp();
    assert_eq!((line.frontend.as_str(), line.termination.as_str()), ("bad", "SC"));
    assert!(errors.lines()[0].starts_with("<131>"), "local0.err: {:?}", errors.lines());
}

#[test]
fn the_time_zone_is_the_machines_also_inside_a_chroot() {
    use portolan_tests::setup;
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::echo());
    let setup = Setup::new(proxy(front, &origin).log_to(&log.target(), "").to_string());
    let jail = setup.file("jail");
    std::fs::create_dir(&jail).expect("a directory");
    let setup = if setup::root() { setup.global("chroot", setup::quoted(&jail)) } else { setup };
    // Fourteen hours ahead of UTC: no machine is there by itself.
    let zone = "Pacific/Kiritimati";
    let now = || {
        let output =
            std::process::Command::new("date").env("TZ", zone).arg("+%d/%b/%Y:%H").output();
        String::from_utf8_lossy(&output.expect("date").stdout).trim().to_owned()
    };
    let _portolan = setup.variable("TZ", zone).start();
    let before = now();
    five_bytes(front);
    let line = log.only_tcp();
    let hour = &line.accept_date[..line.accept_date.len() - ":12:51.443".len()];
    assert!(hour == before || hour == now(), "{hour}, not {before}");
}
