//! HAProxy's HTTP line and its line in the common log format.

use portolan_shared::log::Wall;
use proptest::prelude::*;

use super::records::*;
use crate::log::Timers;
use crate::log::{HttpRecord, Line, Load, Peer, Request};
use crate::termination::{Cause, Phase, Termination};

fn http(record: &HttpRecord<'_>) -> String {
    text(Line::Http, record)
}

fn clf(record: &HttpRecord<'_>) -> String {
    text(Line::Clf, record)
}

#[test]
fn the_manuals_example_is_written_byte_for_byte() {
    assert_eq!(
        http(&example()),
        "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - \
         ---- 1/1/1/1/0 0/0 {1wt.eu} {} \"GET /index.html HTTP/1.1\""
    );
}

#[test]
fn every_field_has_its_place() {
    let record = HttpRecord {
        accepted: Wall::from_micros(0),
        timers: Timers {
            handshake_ms: 100,
            idle_ms: Some(200),
            request_ms: Some(1),
            queue_ms: Some(2),
            connect_ms: Some(3),
            response_ms: Some(4),
            total_ms: 305,
        },
        status: Some(503),
        bytes_out: 6,
        bytes_in: 999,
        request_cookie: Some(b"SID=a"),
        response_cookie: Some(b"SID=b"),
        termination: Termination::new(Cause::ServerTimeout, Phase::Headers),
        cookie_letters: *b"VU",
        load: Load { process: 7, frontend: 8, backend: 9, server: 10 },
        retries: 11,
        redispatched: true,
        server_queue: 12,
        backend_queue: 13,
        request_fields: &[Some(b"a b"), None, Some(b"")],
        response_fields: &[Some(b"x"), Some(b"y")],
        ..example()
    };
    assert_eq!(
        http(&record),
        "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 1/2/3/4/5 503 6 SID=a SID=b \
         sHVU 7/8/9/10/+11 12/13 {a b||} {x|y} \"GET /index.html HTTP/1.1\""
    );
    assert_eq!(
        clf(&record),
        "10.0.1.2 - - [06/Feb/2009:12:14:14 +0000] \"GET /index.html HTTP/1.1\" 503 6 \"\" \"\" \
         33317 000 \"http-in\" \"static\" \"srv1\" 1 2 3 4 5 sHVU 7 8 9 10 +11 12 13 \"SID=a\" \
         \"SID=b\" \"a b\" \"\" \"\" \"x\" \"y\""
    );
}

/// The manual's examples, section 8.9; HAProxy 2.6 writes `<BADREQ>` where they show nothing.
#[test]
fn the_manuals_further_examples_are_written_byte_for_byte() {
    let client = |port| Peer::Ip([127, 0, 0, 1].into(), port);
    let timers = |[request, queue, connect, response]: [i64; 4], total_ms| Timers {
        handshake_ms: 0,
        idle_ms: Some(0),
        request_ms: u64::try_from(request).ok(),
        queue_ms: u64::try_from(queue).ok(),
        connect_ms: u64::try_from(connect).ok(),
        response_ms: u64::try_from(response).ok(),
        total_ms,
    };
    let base = HttpRecord {
        frontend: "px-http",
        backend: "px-http",
        bytes_out: 243,
        load: Load { process: 3, frontend: 3, backend: 3, server: 1 },
        request_fields: &[],
        response_fields: &[],
        request: Some(Request::new(b"HEAD / HTTP/1.0", 1024)),
        ..example()
    };
    let queued = HttpRecord {
        client: client(33_319),
        requested: Wall::from_micros(1_066_206_717_149_000),
        timers: timers([6559, 1230, 7, 147], 6870),
        load: Load { process: 324, frontend: 239, backend: 239, server: 99 },
        backend_queue: 9,
        ..base
    };
    let early = HttpRecord {
        client: client(33_320),
        requested: Wall::from_micros(1_066_206_737_654_000),
        timers: timers([9, 0, 7, 14], 30),
        early: true,
        request: Some(Request::new(b"GET /image.iso HTTP/1.0", 1024)),
        ..base
    };
    let refused = HttpRecord {
        client: Peer::Ip([10, 0, 0, 1].into(), 34_552),
        requested: Wall::from_micros(1_066_231_591_462_000),
        timers: timers([3183, -1, -1, -1], 11_215),
        status: Some(503),
        bytes_out: 0,
        termination: Termination::new(Cause::Server, Phase::Connect),
        load: Load { process: 205, frontend: 202, backend: 202, server: 115 },
        retries: 3,
        ..base
    };
    for (record, expected) in [
        (
            queued,
            "127.0.0.1:33319 [15/Oct/2003:08:31:57.149] px-http px-http/srv1 \
             6559/1230/7/147/6870 200 243 - - ---- 324/239/239/99/0 0/9 \"HEAD / HTTP/1.0\"",
        ),
        (
            early,
            "127.0.0.1:33320 [15/Oct/2003:08:32:17.654] px-http px-http/srv1 9/0/7/14/+30 200 +243 \
             - - ---- 3/3/3/1/0 0/0 \"GET /image.iso HTTP/1.0\"",
        ),
        (
            refused,
            "10.0.0.1:34552 [15/Oct/2003:15:26:31.462] px-http px-http/srv1 3183/-1/-1/-1/11215 503 \
             0 - - SC-- 205/202/202/115/3 0/0 \"HEAD / HTTP/1.0\"",
        ),
    ] {
        assert_eq!(http(&record), expected);
    }
}

/// As HAProxy 2.6 wrote them, with these names and addresses.
#[test]
fn what_never_became_a_request_has_a_line_too() {
    let head = "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in http-in/<NOSRV> ";
    for (record, expected) in [
        (
            no_request(Some(400), Cause::Proxy, 0),
            "-1/-1/-1/-1/0 400 0 - - PR-- 1/1/1/1/0 0/0 \"<BADREQ>\"",
        ),
        (
            no_request(Some(408), Cause::ClientTimeout, 502),
            "-1/-1/-1/-1/502 408 0 - - cR-- 1/1/1/1/0 0/0 \"<BADREQ>\"",
        ),
        (
            no_request(Some(400), Cause::Client, 0),
            "-1/-1/-1/-1/0 400 0 - - CR-- 1/1/1/1/0 0/0 \"<BADREQ>\"",
        ),
        (
            no_request(None, Cause::Client, 8490),
            "-1/-1/-1/-1/8490 -1 0 - - CR-- 1/1/1/1/0 0/0 \"<BADREQ>\"",
        ),
    ] {
        assert_eq!(http(&record), format!("{head}{expected}"));
    }
    assert_eq!(
        clf(&no_request(Some(408), Cause::ClientTimeout, 502)),
        "10.0.1.2 - - [06/Feb/2009:12:14:14 +0000] \"<BADREQ>\" 408 0 \"\" \"\" 33317 655 \
         \"http-in\" \"http-in\" \"<NOSRV>\" -1 -1 -1 -1 502 cR-- 1 1 1 1 0 0 0 \"\" \"\" "
    );
}

/// What HAProxy 2.6 wrote for the same, but for the cookie, which it leaves as it came.
#[test]
fn text_of_strangers_cannot_end_its_field() {
    let record = HttpRecord {
        request_cookie: Some(b"SID=abc]#\"; PERS=c1"),
        request_fields: &[Some(b"exa{mple}"), Some(b"cu|rl \"1\" #]\\"), None],
        response_fields: &[],
        request: Some(Request::new(b"GET /p%20a\"th]?q=1?\\2 HTTP/1.1", 1024)),
        ..example()
    };
    let line = http(&record);
    assert!(line.contains(" 2750 SID=abc]#23#22; PERS=c1 - ---- "), "{line}");
    assert!(
        line.ends_with(
            " {exa#7Bmple#7D|cu#7Crl #221#22 #23]\\|} \"GET /p%20a#22th]?q=1?\\2 HTTP/1.1\""
        ),
        "{line}"
    );
    let line = clf(&record);
    assert!(line.contains("] \"GET /p%20a#22th]?q=1?\\2 HTTP/1.1\" 200 2750 "), "{line}");
    assert!(
        line.ends_with(
            " \"SID=abc]#23#22; PERS=c1\" \"\" \"exa#7Bmple#7D\" \"cu#7Crl #221#22 #23]\\\" \"\" "
        ),
        "{line}"
    );
}

#[test]
fn a_long_request_line_is_cut() {
    let line = format!("GET /{} HTTP/1.1", "a".repeat(2000));
    let cut = |length_max| {
        let request = Some(Request::new(line.as_bytes(), length_max));
        http(&HttpRecord { request, ..example() })
    };
    assert!(cut(1024).ends_with(&format!("{{}} \"GET /{}\"", "a".repeat(1019))));
    assert!(cut(4096).ends_with("aaa HTTP/1.1\""));
}

#[test]
fn braces_stand_only_where_something_is_captured() {
    let ends = |request_fields, response_fields| {
        let line = http(&HttpRecord { request_fields, response_fields, ..example() });
        line.split_once(" 0/0 ").unwrap().1.split_once('"').unwrap().0.to_owned()
    };
    assert_eq!(ends(&[], &[]), "");
    assert_eq!(ends(&[Some(b"a")], &[]), "{a} ");
    assert_eq!(ends(&[], &[None, None]), "{|} ");
    let lists = |request_fields, response_fields| {
        let line = clf(&HttpRecord { request_fields, response_fields, ..example() });
        line.split_once(" 0 0 0 ").unwrap().1.to_owned()
    };
    assert_eq!(lists(&[], &[]), "\"\" \"\" ");
    assert_eq!(lists(&[Some(b"a")], &[]), "\"\" \"\" \"a\" ");
    assert_eq!(lists(&[], &[None, None]), "\"\" \"\" \"\" \"\"");
    assert_eq!(lists(&[Some(b"a")], &[Some(b"b")]), "\"\" \"\" \"a\" \"b\"");
}

#[test]
fn a_stream_of_mode_http_can_have_the_tcp_line_and_the_short_one() {
    assert_eq!(
        text(Line::Tcp, &example()),
        "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 0/30/109 2750 -- 1/1/1/1/0 0/0"
    );
    assert_eq!(
        text(Line::Connect, &example()),
        "Connect from 10.0.1.2:33317 to 10.0.3.31:8012 (http-in/HTTP)"
    );
}

/// Quoted parts of a line, and what stands between them.
fn quoted(line: &str) -> (Vec<&str>, Vec<&str>) {
    let parts: Vec<(usize, &str)> = line.split('"').enumerate().collect();
    let at = |odd| parts.iter().filter(|part| part.0 % 2 == odd).map(|part| part.1).collect();
    (at(1), at(0))
}

proptest! {
    #[test]
    fn any_stream_gives_one_line_of_printable_ascii(any in any_record(), strange in strange()) {
        for line in [Line::Http, Line::Clf, Line::Tcp, Line::Connect, Line::Json] {
            let text = strange.with(&any, |record| text(line, record));
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", text);
        }
    }

    #[test]
    fn the_request_stands_last_in_the_only_quotes(any in any_record(), strange in strange()) {
        let line = strange.with(&any, |record| {
            http(&HttpRecord { request_cookie: None, response_cookie: None, ..*record })
        });
        let (quoted, between) = quoted(&line);
        prop_assert_eq!(quoted.len(), 1);
        prop_assert_eq!(*between.last().unwrap(), "");
        let braces = strange.captured().into_iter().filter(|captured| *captured > 0).count();
        prop_assert_eq!(between[0].matches(['{', '}']).count(), 2 * braces);
    }

    #[test]
    fn the_common_log_format_always_has_the_same_fields(any in any_record(), strange in strange()) {
        let line = strange.with(&any, clf);
        let (quoted, between) = quoted(&line);
        prop_assert_eq!(quoted.len(), 8 + strange.captured().into_iter().sum::<usize>());
        prop_assert!(between[1..8].iter().all(|text| text.starts_with(' ') && text.ends_with(' ')));
        prop_assert_eq!(between[6].split_whitespace().count(), 13);
    }
}
