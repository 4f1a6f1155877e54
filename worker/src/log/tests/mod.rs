//! The TCP line, the short ones, and which line is written when.

mod http;
mod json;
pub mod records;
mod template;

use portolan_shared::log::{Clock, Wall, Zone};
use portolan_shared::model::{LogItem, LogTemplate, Mode};
use proptest::prelude::*;

use super::*;
use crate::termination::Phase;

/// 2009-02-06T12:12:51.443Z
const ACCEPTED: Wall = Wall::from_micros(1_233_922_371_443_000);

/// The manual's example, section 8.2.2.
fn example() -> TcpLine<'static> {
    TcpLine {
        client: Peer::Ip([10, 0, 1, 2].into(), 33_313),
        accepted: ACCEPTED,
        frontend: "fnt",
        backend: "bck",
        server: Some("srv1"),
        queue_ms: Some(0),
        connect_ms: Some(0),
        total_ms: 5007,
        early: false,
        bytes: 212,
        termination: Termination::NORMAL,
        load: Load::default(),
        retries: 3,
        redispatched: false,
        server_queue: 0,
        backend_queue: 0,
    }
}

fn clock() -> Clock {
    Clock::new(Zone::utc())
}

fn text(tcp: &TcpLine<'_>) -> String {
    let mut line = Vec::new();
    tcp.write(&mut clock(), &mut line);
    String::from_utf8(line).unwrap()
}

#[test]
fn the_manuals_example_is_written_byte_for_byte() {
    assert_eq!(
        text(&example()),
        "10.0.1.2:33313 [06/Feb/2009:12:12:51.443] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0"
    );
}

#[test]
fn every_field_has_its_place() {
    let line = TcpLine {
        queue_ms: Some(1),
        connect_ms: Some(2),
        total_ms: 3,
        bytes: 4,
        termination: Termination::new(Cause::ServerTimeout, Phase::Data),
        load: Load { process: 5, frontend: 6, backend: 7, server: 8 },
        retries: 9,
        server_queue: 10,
        backend_queue: 11,
        ..example()
    };
    let expected =
        "10.0.1.2:33313 [06/Feb/2009:12:12:51.443] fnt bck/srv1 1/2/3 4 sD 5/6/7/8/9 10/11";
    assert_eq!(text(&line), expected);
}

/// As HAProxy 2.6 wrote it for a refused connection with `option logasap`.
#[test]
fn an_early_line_marks_its_totals_and_what_was_not_reached_is_minus_one() {
    let line = TcpLine {
        client: Peer::Ip([127, 0, 0, 1].into(), 44_622),
        frontend: "refused",
        backend: "dead",
        server: Some("s1"),
        queue_ms: Some(1),
        connect_ms: None,
        total_ms: 1000,
        early: true,
        bytes: 0,
        termination: Termination::new(Cause::Server, Phase::Connect),
        load: Load { process: 1, frontend: 1, backend: 0, server: 0 },
        retries: 1,
        ..example()
    };
    assert_eq!(
        text(&line),
        "127.0.0.1:44622 [06/Feb/2009:12:12:51.443] refused dead/s1 1/-1/+1000 +0 SC 1/1/0/0/1 0/0"
    );
}

#[test]
fn a_redispatch_marks_the_retries_and_no_server_has_a_name_too() {
    let line = TcpLine {
        server: None,
        queue_ms: None,
        connect_ms: None,
        termination: Termination::new(Cause::Proxy, Phase::Queue),
        redispatched: true,
        ..example()
    };
    assert!(text(&line).ends_with(" fnt bck/<NOSRV> -1/-1/5007 212 PQ 0/0/0/0/+3 0/0"));
}

#[test]
fn the_short_lines_are_the_manuals() {
    let mut line = Vec::new();
    let client = Peer::Ip([10, 0, 1, 2].into(), 33_312);
    let destination = Peer::Ip([10, 0, 3, 31].into(), 8012);
    ConnectLine { client, destination, frontend: "www", mode: Mode::Http }.write(&mut line);
    assert_eq!(line, b"Connect from 10.0.1.2:33312 to 10.0.3.31:8012 (www/HTTP)");
    line.clear();
    ConnectLine { client, destination, frontend: "www", mode: Mode::Tcp }.write(&mut line);
    assert!(line.ends_with(b" (www/TCP)"));

    let failure = FailureLine {
        client: Peer::Ip([127, 0, 0, 1].into(), 56_059),
        accepted: ACCEPTED,
        frontend: "frt",
        bind: "f1",
        bind_id: 4,
        why: "Received an invalid PROXY protocol header",
    };
    let expected = "127.0.0.1:56059 [06/Feb/2009:12:12:51.443] frt/f1: \
                    Received an invalid PROXY protocol header";
    line.clear();
    failure.write(&mut clock(), &mut line);
    assert_eq!(line, expected.as_bytes());
    line.clear();
    FailureLine { bind: "", ..failure }.write(&mut clock(), &mut line);
    assert_eq!(line, expected.replace("/f1:", "/4:").as_bytes());
}

const NORMAL: Outcome = Outcome {
    termination: Termination::NORMAL,
    retries: 0,
    redispatched: false,
    from_client: 10,
    status: None,
};

const REFUSED: Outcome =
    Outcome { termination: Termination::new(Cause::Server, Phase::Connect), ..NORMAL };

const TCPLOG: LogOptions = LogOptions {
    line: LogLine::Tcp,
    dontlognull: false,
    dontlog_normal: false,
    logasap: false,
    separate_errors: false,
};

#[test]
fn a_line_is_written_at_one_moment() {
    let moments = [Moment::Accept, Moment::Connected, Moment::Answered, Moment::End];
    let when = |options| moments.map(|moment| level(options, moment, &NORMAL).is_some());
    assert_eq!(when(LogOptions { line: LogLine::Connect, ..TCPLOG }), [true, false, false, false]);
    assert_eq!(when(TCPLOG), [false, false, false, true]);
    // Asked at the end only when nothing was written before.
    assert_eq!(when(LogOptions { logasap: true, ..TCPLOG }), [false, true, true, true]);
}

#[test]
fn a_connection_that_brought_nothing_is_left_out_on_demand() {
    let silent = Outcome { from_client: 0, ..NORMAL };
    let dontlognull = LogOptions { dontlognull: true, ..TCPLOG };
    assert_eq!(level(TCPLOG, Moment::End, &silent), Some(LogLevel::Info));
    assert_eq!(level(dontlognull, Moment::End, &silent), None);
    assert_eq!(level(dontlognull, Moment::End, &NORMAL), Some(LogLevel::Info));
    assert_eq!(failure_level(dontlognull, 0), None);
    assert_eq!(failure_level(dontlognull, 1), Some(LogLevel::Info));
}

#[test]
fn what_is_normal_is_left_out_on_demand_and_a_retry_is_not_normal() {
    let quiet = LogOptions { dontlog_normal: true, ..TCPLOG };
    let at_end = |outcome| level(quiet, Moment::End, &outcome);
    assert_eq!(at_end(NORMAL), None);
    assert_eq!(at_end(REFUSED), Some(LogLevel::Info));
    assert_eq!(at_end(Outcome { retries: 1, ..NORMAL }), Some(LogLevel::Info));
    assert_eq!(at_end(Outcome { redispatched: true, ..NORMAL }), Some(LogLevel::Info));
    let early = LogOptions { logasap: true, ..quiet };
    assert_eq!(level(early, Moment::Connected, &NORMAL), None);
    assert_eq!(level(early, Moment::Answered, &NORMAL), None);
}

#[test]
fn errors_are_raised_on_demand() {
    let apart = LogOptions { separate_errors: true, ..TCPLOG };
    assert_eq!(level(apart, Moment::End, &NORMAL), Some(LogLevel::Info));
    assert_eq!(level(apart, Moment::End, &REFUSED), Some(LogLevel::Err));
    assert_eq!(failure_level(apart, 1), Some(LogLevel::Err));
    let local = Outcome { termination: Termination::new(Cause::Local, Phase::Request), ..NORMAL };
    assert_eq!(level(apart, Moment::End, &local), Some(LogLevel::Info));
}

#[test]
fn a_status_from_500_up_is_an_error_even_where_everything_went_well() {
    let quiet = LogOptions { line: LogLine::Http, dontlog_normal: true, ..TCPLOG };
    let apart = LogOptions { line: LogLine::Http, separate_errors: true, ..TCPLOG };
    for cause in [Cause::Normal, Cause::Local] {
        let termination = Termination::new(cause, Phase::Over);
        let answered = |status| Outcome { termination, status: Some(status), ..NORMAL };
        for (status, dropped, raised) in [
            (200, None, LogLevel::Info),
            (404, None, LogLevel::Info),
            (499, None, LogLevel::Info),
            (500, Some(LogLevel::Info), LogLevel::Err),
            (599, Some(LogLevel::Info), LogLevel::Err),
        ] {
            assert_eq!(level(quiet, Moment::End, &answered(status)), dropped, "{status}");
            assert_eq!(level(apart, Moment::End, &answered(status)), Some(raised), "{status}");
        }
    }
}

#[test]
fn a_frontends_line_is_the_configured_one_and_errors_can_have_their_own() {
    let own = LogTemplate { items: vec![LogItem::Text("own".to_owned())] };
    let errors = LogTemplate { items: vec![LogItem::Text("error".to_owned())] };
    for (line, expected) in [
        (LogLine::Connect, Line::Connect),
        (LogLine::Tcp, Line::Tcp),
        (LogLine::Http, Line::Http),
        (LogLine::Clf, Line::Clf),
        (LogLine::Json, Line::Json),
        (LogLine::Template, Line::Template(&own)),
    ] {
        assert_eq!(Line::of(line, Some(&own), None), expected);
        assert_eq!(Line::of(line, Some(&own), Some(&errors)), Line::Template(&errors));
    }
}

prop_compose! {
    fn any_line()(
        client in prop_oneof![
            (any::<std::net::IpAddr>(), any::<u16>()).prop_map(|(ip, port)| Peer::Ip(ip, port)),
            any::<u32>().prop_map(Peer::Unix),
        ],
        micros in any::<u64>(),
        times in any::<(Option<u64>, Option<u64>, u64)>(),
        flags in any::<(bool, bool, bool)>(),
        bytes in any::<u64>(),
        counts in any::<[u32; 7]>(),
    ) -> TcpLine<'static> {
        let [process, frontend, backend, server, retries, server_queue, backend_queue] = counts;
        TcpLine {
            client,
            accepted: Wall::from_micros(micros),
            queue_ms: times.0,
            connect_ms: times.1,
            total_ms: times.2,
            early: flags.0,
            bytes,
            load: Load { process, frontend, backend, server },
            retries,
            redispatched: flags.1,
            server: flags.2.then_some("s"),
            server_queue,
            backend_queue,
            ..example()
        }
    }
}

proptest! {
    #[test]
    fn any_stream_gives_one_line_of_nine_fields(
        line in any_line(),
        frontend in "[a-zA-Z0-9_.:-]{1,40}",
        backend in "[a-zA-Z0-9_.:-]{1,40}",
        server in "[a-zA-Z0-9_.:-]{1,40}",
    ) {
        let whole = TcpLine {
            frontend: &frontend,
            backend: &backend,
            server: line.server.map(|_| server.as_str()),
            ..line
        };
        let text = text(&whole);
        prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        prop_assert_eq!(text.split(' ').count(), 9);
    }
}
