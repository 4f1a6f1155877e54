//! Templates: every variable in every style.

use portolan_shared::log::Wall;
use portolan_shared::model::{LogItem, LogStyle, LogTemplate, LogVariable as V};
use proptest::prelude::*;

use super::records::*;
use crate::log::{HttpRecord, Line, Load, Peer, Request, TcpLine, Timers};
use crate::termination::{Cause, Phase, Termination};

const PLAIN: LogStyle = LogStyle { quoted: false, hex: false, escaped: false };
const QUOTED: LogStyle = LogStyle { quoted: true, ..PLAIN };
const HEX: LogStyle = LogStyle { hex: true, ..PLAIN };
const ESCAPED: LogStyle = LogStyle { escaped: true, ..PLAIN };

const ALL: &[V] = &[
    V::BytesOut,
    V::RequestCookie,
    V::ResponseCookie,
    V::HostName,
    V::Method,
    V::Path,
    V::PathOnly,
    V::Query,
    V::Target,
    V::Version,
    V::UniqueId,
    V::Status,
    V::DateGmt,
    V::TimeActive,
    V::TimeConnect,
    V::TimeData,
    V::TimeHandshake,
    V::TimeIdle,
    V::DateLocal,
    V::TimeRequest,
    V::TimeQueueOld,
    V::TimeResponse,
    V::TimeTotal,
    V::TimeUser,
    V::TimeWait,
    V::Timestamp,
    V::BytesIn,
    V::ConnectionsAll,
    V::Backend,
    V::ConnectionsBackend,
    V::SourceIp,
    V::SourcePort,
    V::BackendQueue,
    V::ClientIp,
    V::ClientPort,
    V::Frontend,
    V::ConnectionsFrontend,
    V::FrontendIp,
    V::FrontendPort,
    V::FrontendTransport,
    V::RequestFields,
    V::RequestFieldList,
    V::ResponseFields,
    V::ResponseFieldList,
    V::LogCounter,
    V::Milliseconds,
    V::Pid,
    V::RequestLine,
    V::Retries,
    V::RequestCounter,
    V::Server,
    V::ConnectionsServer,
    V::ServerIp,
    V::ServerPort,
    V::ServerQueue,
    V::TlsCipher,
    V::TlsVersion,
    V::AcceptDate,
    V::RequestDate,
    V::RequestDateGmt,
    V::RequestDateLocal,
    V::Termination,
    V::TerminationCookies,
];

fn template(items: &[(&str, Option<(V, LogStyle)>)]) -> LogTemplate {
    let items = items.iter().flat_map(|(text, variable)| {
        let text = (!text.is_empty()).then(|| LogItem::Text((*text).to_owned()));
        let variable = variable.map(|(variable, style)| LogItem::Variable { variable, style });
        text.into_iter().chain(variable)
    });
    LogTemplate { items: items.collect() }
}

fn one(variable: V, style: LogStyle, record: &HttpRecord<'_>) -> String {
    rendered(&template(&[("", Some((variable, style)))]), record)
}

/// A stream with everything.
fn full() -> HttpRecord<'static> {
    HttpRecord {
        accepted: Wall::from_micros(1_233_922_454_055_000),
        timers: Timers {
            handshake_ms: 1,
            idle_ms: Some(2),
            request_ms: Some(4),
            queue_ms: Some(8),
            connect_ms: Some(16),
            response_ms: Some(32),
            total_ms: 127,
        },
        server_source: Some(Peer::Ip("2001:db8::1".parse().unwrap(), 40_000)),
        request_cookie: Some(b"SID=a]\"b"),
        response_cookie: Some(b"SID=c"),
        termination: Termination::new(Cause::Client, Phase::Data),
        cookie_letters: *b"VU",
        load: Load { process: 11, frontend: 12, backend: 13, server: 14 },
        retries: 15,
        server_queue: 16,
        backend_queue: 17,
        request_fields: &[Some(b"a{b"), None, Some(b"c]")],
        response_fields: &[Some(b"")],
        request: Some(Request::new(b"GET http://a.b/c]\\?d=\"e HTTP/1.1", 1024)),
        unique_id: Some(b"id-1"),
        line_number: 18,
        request_number: 255,
        pid: 70_000,
        ..example()
    }
}

#[test]
fn every_variable_has_its_text_and_unknown_is_a_dash() {
    let unknown = HttpRecord {
        client: Peer::Unix(3),
        destination: None,
        unique_id: None,
        ..no_request(None, Cause::Proxy, 5)
    };
    for (variable, known, not_known) in [
        (V::BytesOut, "2750", "0"),
        (V::BytesIn, "120", "120"),
        (V::RequestCookie, "SID=a]#22b", "-"),
        (V::ResponseCookie, "SID=c", "-"),
        (V::HostName, "localhost", "localhost"),
        (V::Method, "GET", "<BADREQ>"),
        (V::Path, "http://a.b/c]\\", "<BADREQ>"),
        (V::PathOnly, "/c]\\", "<BADREQ>"),
        (V::Query, "?d=#22e", "<BADREQ>"),
        (V::Target, "http://a.b/c]\\?d=#22e", "<BADREQ>"),
        (V::Version, "HTTP/1.1", "<BADREQ>"),
        (V::RequestLine, "GET http://a.b/c]\\?d=#22e HTTP/1.1", "<BADREQ>"),
        (V::UniqueId, "id-1", "-"),
        (V::Status, "200", "-1"),
        (V::AcceptDate, "06/Feb/2009:12:14:14.055", "06/Feb/2009:12:14:14.655"),
        (V::RequestDate, "06/Feb/2009:12:14:14.655", "06/Feb/2009:12:14:14.655"),
        (V::DateGmt, "06/Feb/2009:12:14:14 +0000", "06/Feb/2009:12:14:14 +0000"),
        (V::DateLocal, "06/Feb/2009:12:14:14 +0000", "06/Feb/2009:12:14:14 +0000"),
        (V::RequestDateGmt, "06/Feb/2009:12:14:14 +0000", "06/Feb/2009:12:14:14 +0000"),
        (V::RequestDateLocal, "06/Feb/2009:12:14:14 +0000", "06/Feb/2009:12:14:14 +0000"),
        (V::Timestamp, "1233922454", "1233922454"),
        (V::Milliseconds, "055", "655"),
        (V::TimeHandshake, "1", "0"),
        (V::TimeIdle, "2", "-1"),
        (V::TimeRequest, "4", "-1"),
        (V::TimeQueueOld, "7", "-1"),
        (V::TimeWait, "8", "-1"),
        (V::TimeConnect, "16", "-1"),
        (V::TimeResponse, "32", "-1"),
        (V::TimeData, "64", "-1"),
        (V::TimeActive, "124", "5"),
        (V::TimeTotal, "127", "5"),
        (V::TimeUser, "125", "5"),
        (V::ConnectionsAll, "11", "1"),
        (V::ConnectionsFrontend, "12", "1"),
        (V::ConnectionsBackend, "13", "1"),
        (V::ConnectionsServer, "14", "1"),
        (V::Retries, "15", "0"),
        (V::ServerQueue, "16", "0"),
        (V::BackendQueue, "17", "0"),
        (V::LogCounter, "18", "0"),
        (V::RequestCounter, "255", "0"),
        (V::Pid, "70000", "14389"),
        (V::ClientIp, "10.0.1.2", "unix"),
        (V::ClientPort, "33317", "3"),
        (V::FrontendIp, "10.0.3.31", "-"),
        (V::FrontendPort, "8012", "-"),
        (V::SourceIp, "2001:db8::1", "-"),
        (V::SourcePort, "40000", "-"),
        (V::ServerIp, "127.0.0.1", "-"),
        (V::ServerPort, "8000", "-"),
        (V::Frontend, "http-in", "http-in"),
        (V::FrontendTransport, "http-in", "http-in"),
        (V::Backend, "static", "http-in"),
        (V::Server, "srv1", "<NOSRV>"),
        (V::TlsCipher, "-", "-"),
        (V::TlsVersion, "-", "-"),
        (V::Termination, "CD", "PR"),
        (V::TerminationCookies, "CDVU", "PR--"),
        (V::RequestFields, "{a#7Bb||c]}", ""),
        (V::ResponseFields, "{}", ""),
        (V::RequestFieldList, "a#7Bb - c]", ""),
        (V::ResponseFieldList, "", ""),
    ] {
        assert_eq!(one(variable, PLAIN, &full()), known, "{variable:?}");
        assert_eq!(one(variable, PLAIN, &unknown), not_known, "{variable:?} unknown");
    }
}

/// As HAProxy 2.6 does.
#[test]
fn quotes_stand_around_text_and_around_nothing_but_not_around_numbers() {
    for (variable, expected) in [
        (V::RequestCookie, "\"SID=a]#22b\""),
        (V::HostName, "\"localhost\""),
        (V::Query, "\"?d=#22e\""),
        (V::ClientIp, "\"10.0.1.2\""),
        (V::Backend, "\"static\""),
        (V::FrontendTransport, "\"http-in\""),
        (V::RequestFields, "\"{a#7Bb||c]}\""),
        (V::RequestFieldList, "\"a#7Bb\" \"\" \"c]\""),
        (V::TlsVersion, "\"\""),
        (V::ClientPort, "33317"),
        (V::BytesOut, "2750"),
        (V::Status, "200"),
        (V::Timestamp, "1233922454"),
        (V::AcceptDate, "06/Feb/2009:12:14:14.055"),
        (V::Termination, "CD"),
        (V::Retries, "15"),
    ] {
        assert_eq!(one(variable, QUOTED, &full()), expected, "{variable:?}");
    }
    for variable in [V::RequestCookie, V::UniqueId, V::SourceIp, V::SourcePort] {
        assert_eq!(one(variable, QUOTED, &no_request(None, Cause::Proxy, 0)), "\"\"");
    }
}

/// As HAProxy 2.6 does.
#[test]
fn addresses_counters_and_the_timestamp_can_be_hexadecimal() {
    for (variable, expected) in [
        (V::ClientIp, "0A000102"),
        (V::ClientPort, "8225"),
        (V::FrontendPort, "1F4C"),
        (V::SourceIp, "20010DB8000000000000000000000001"),
        (V::Timestamp, "498C2996"),
        (V::RequestCounter, "00FF"),
        (V::LogCounter, "0012"),
        (V::Pid, "11170"),
        (V::Milliseconds, "37"),
        (V::BytesOut, "2750"),
        (V::TimeTotal, "127"),
        (V::BackendQueue, "17"),
        (V::Status, "200"),
        (V::Server, "srv1"),
    ] {
        assert_eq!(one(variable, HEX, &full()), expected, "{variable:?}");
    }
    let local = HttpRecord { client: Peer::Unix(1), ..full() };
    assert_eq!(one(V::ClientIp, HEX, &local), "unix");
    assert_eq!(
        one(V::Milliseconds, HEX, &HttpRecord { accepted: Wall::from_micros(0), ..full() }),
        "00"
    );
}

/// As HAProxy 2.6 does, but for the cookie's quote.
#[test]
fn a_backslash_can_stand_before_what_ends_a_value() {
    for (variable, expected) in [
        (V::RequestCookie, "SID=a\\]#22b"),
        (V::Path, "http://a.b/c\\]\\\\"),
        (V::RequestFields, "{a#7Bb||c\\]}"),
        (V::RequestFieldList, "a#7Bb - c\\]"),
        (V::RequestLine, "GET http://a.b/c\\]\\\\?d=#22e HTTP/1.1"),
    ] {
        assert_eq!(one(variable, ESCAPED, &full()), expected, "{variable:?}");
    }
    let both = LogStyle { quoted: true, ..ESCAPED };
    assert_eq!(one(V::RequestCookie, both, &full()), "\"SID=a\\]#22b\"");
}

#[test]
fn totals_of_an_early_line_and_retries_that_went_elsewhere_are_marked() {
    let early = HttpRecord { early: true, redispatched: true, ..full() };
    for (variable, expected) in [
        (V::TimeActive, "+124"),
        (V::TimeTotal, "+127"),
        (V::TimeUser, "+125"),
        (V::BytesOut, "+2750"),
        (V::Retries, "+15"),
        (V::TimeData, "64"),
        (V::BytesIn, "120"),
    ] {
        assert_eq!(one(variable, PLAIN, &early), expected, "{variable:?}");
    }
}

#[test]
fn what_only_http_has_is_unknown_in_mode_tcp() {
    let line =
        TcpLine { total_ms: 100, connect_ms: Some(20), queue_ms: Some(1), ..example().tcp_line() };
    let record = HttpRecord { pid: 9, ..HttpRecord::of_tcp(&line) };
    for variable in [
        V::RequestCookie,
        V::ResponseCookie,
        V::Method,
        V::Path,
        V::PathOnly,
        V::Query,
        V::Target,
        V::Version,
        V::RequestLine,
        V::RequestDate,
        V::RequestDateGmt,
        V::RequestDateLocal,
        V::TimeActive,
        V::TimeIdle,
        V::TimeQueueOld,
        V::TimeRequest,
        V::TimeResponse,
        V::TerminationCookies,
    ] {
        assert_eq!(one(variable, PLAIN, &record), "-", "{variable:?}");
    }
    for (variable, expected) in [
        (V::Status, "0"),
        (V::TimeData, "79"),
        (V::TimeTotal, "100"),
        (V::TimeWait, "1"),
        (V::Termination, "--"),
        (V::Server, "srv1"),
        (V::Pid, "9"),
        (V::RequestFields, ""),
    ] {
        assert_eq!(one(variable, PLAIN, &record), expected, "{variable:?}");
    }
}

#[test]
fn a_blank_goes_where_a_variable_wrote_nothing() {
    let items = [
        ("", Some((V::RequestFields, PLAIN))),
        (" a=", Some((V::ResponseFields, PLAIN))),
        (" b ", Some((V::RequestFields, PLAIN))),
        (" ", Some((V::ResponseFields, PLAIN))),
        (" c é", Some((V::RequestFields, PLAIN))),
    ];
    let none = HttpRecord { request_fields: &[], response_fields: &[], ..example() };
    assert_eq!(rendered(&template(&items), &none), "a= b c é");
    assert_eq!(rendered(&template(&items), &example()), "{1wt.eu} a={} b {1wt.eu} {} c é{1wt.eu}");
}

#[test]
fn the_http_line_as_a_template_is_the_http_line() {
    let variable = |text, variable| (text, Some((variable, PLAIN)));
    let items = [
        variable("", V::ClientIp),
        variable(":", V::ClientPort),
        variable(" [", V::RequestDate),
        variable("] ", V::FrontendTransport),
        variable(" ", V::Backend),
        variable("/", V::Server),
        variable(" ", V::TimeRequest),
        variable("/", V::TimeWait),
        variable("/", V::TimeConnect),
        variable("/", V::TimeResponse),
        variable("/", V::TimeActive),
        variable(" ", V::Status),
        variable(" ", V::BytesOut),
        variable(" ", V::RequestCookie),
        variable(" ", V::ResponseCookie),
        variable(" ", V::TerminationCookies),
        variable(" ", V::ConnectionsAll),
        variable("/", V::ConnectionsFrontend),
        variable("/", V::ConnectionsBackend),
        variable("/", V::ConnectionsServer),
        variable("/", V::Retries),
        variable(" ", V::ServerQueue),
        variable("/", V::BackendQueue),
        variable(" ", V::RequestFields),
        variable(" ", V::ResponseFields),
        (" ", Some((V::RequestLine, QUOTED))),
    ];
    let template = template(&items);
    let early = HttpRecord { early: true, redispatched: true, ..full() };
    for record in [example(), full(), early, no_request(Some(408), Cause::ClientTimeout, 7)] {
        assert_eq!(rendered(&template, &record), text(Line::Http, &record));
    }
}

/// HAProxy's example, `%{+X}o %ci:%cp_%fi:%fp_%Ts_%rt:%pid`.
#[test]
fn an_id_is_a_template_too() {
    let items = [
        ("", Some((V::ClientIp, HEX))),
        (":", Some((V::ClientPort, HEX))),
        ("_", Some((V::FrontendIp, HEX))),
        (":", Some((V::FrontendPort, HEX))),
        ("_", Some((V::Timestamp, HEX))),
        ("_", Some((V::RequestCounter, HEX))),
        (":", Some((V::Pid, HEX))),
    ];
    let id = rendered(&template(&items), &full());
    assert_eq!(id, "0A000102:8225_0A00031F:1F4C_498C2996_00FF:11170");
}

#[test]
fn an_id_is_not_escaped_a_second_time() {
    let target = rendered(&template(&[("", Some((V::Target, PLAIN)))]), &full());
    assert!(target.contains("#22"));
    let record = HttpRecord { unique_id: Some(target.as_bytes()), ..full() };
    assert_eq!(one(V::UniqueId, PLAIN, &record), target);
    let odd = HttpRecord { unique_id: Some(b"#a\"\n"), ..full() };
    assert_eq!(one(V::UniqueId, QUOTED, &odd), "\"#a#22#0A\"");
}

proptest! {
    #[test]
    fn any_template_gives_one_line_of_printable_ascii(
        any in any_record(),
        strange in strange(),
        items in prop::collection::vec((prop::sample::select(ALL), any::<[bool; 3]>()), 1..8),
    ) {
        let items: Vec<_> = items.into_iter().map(|(variable, [quoted, hex, escaped])| {
            ("; ", Some((variable, LogStyle { quoted, hex, escaped })))
        }).collect();
        let line = strange.with(&any, |record| rendered(&template(&items), record));
        prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", line);
        let quotes = line.matches('"').count();
        prop_assert_eq!(quotes % 2, 0);
        if items.iter().all(|(_, item)| item.is_some_and(|(_, style)| !style.quoted)) {
            prop_assert_eq!(quotes, 0);
        }
    }
}
