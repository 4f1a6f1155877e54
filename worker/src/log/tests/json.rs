//! The JSON line.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::records::*;
use crate::log::{HttpRecord, Line, Request, Timers};
use crate::termination::Cause;

fn parsed(record: &HttpRecord<'_>) -> Value {
    serde_json::from_str(&text(Line::Json, record)).expect("JSON")
}

#[test]
fn an_object_tells_what_the_http_line_tells() {
    let record = HttpRecord {
        timers: Timers { handshake_ms: 3, idle_ms: Some(4), total_ms: 116, ..example().timers },
        request_cookie: Some(b"SID=\"1\""),
        cookie_letters: *b"NI",
        retries: 2,
        redispatched: true,
        server_queue: 5,
        backend_queue: 6,
        request_fields: &[Some(b"1wt.eu"), None, Some(b"")],
        response_fields: &[],
        request: Some(Request::new(b"GET /a?b HTTP/1.1", 1024)),
        unique_id: Some(b"id"),
        ..example()
    };
    let expected = json!({
        "time": "2009-02-06T12:14:14.655000+00:00",
        "client": "10.0.1.2",
        "client_port": 33_317,
        "frontend": "http-in",
        "backend": "static",
        "server": "srv1",
        "method": "GET",
        "target": "/a?b",
        "version": "HTTP/1.1",
        "status": 200,
        "request_ms": 10,
        "queue_ms": 0,
        "connect_ms": 30,
        "response_ms": 69,
        "active_ms": 109,
        "handshake_ms": 3,
        "idle_ms": 4,
        "total_ms": 116,
        "bytes_out": 2750,
        "bytes_in": 120,
        "early": false,
        "request_cookie": "SID=\"1\"",
        "response_cookie": null,
        "termination": "--NI",
        "process_connections": 1,
        "frontend_connections": 1,
        "backend_connections": 1,
        "server_connections": 1,
        "retries": 2,
        "server_queue": 5,
        "backend_queue": 6,
        "redispatched": true,
        "request_fields": ["1wt.eu", null, ""],
        "response_fields": [],
        "unique_id": "id",
    });
    assert_eq!(parsed(&record), expected);
}

#[test]
fn what_is_unknown_is_null() {
    let object = parsed(&no_request(None, Cause::Client, 5));
    for member in [
        "server",
        "method",
        "target",
        "version",
        "status",
        "request_ms",
        "queue_ms",
        "connect_ms",
        "response_ms",
        "idle_ms",
        "request_cookie",
        "response_cookie",
        "unique_id",
    ] {
        assert_eq!(object[member], Value::Null, "{member}");
    }
    assert_eq!(object["active_ms"], 5);
}

#[test]
fn every_byte_can_stand_in_a_string() {
    for (bytes, expected) in [
        (&b"a\"b\\c/"[..], "a\"b\\c/"),
        (b"\x00\x1f\n\r\t\x7f", "\0\x1f\n\r\t\x7f"),
        ("é€😀\u{202e}".as_bytes(), "é€😀\u{202e}"),
        (b"caf\xe9", "café"),
        (b"\xf0\x9f\x98", "\u{f0}\u{9f}\u{98}"),
    ] {
        let record = HttpRecord { unique_id: Some(bytes), ..example() };
        assert_eq!(parsed(&record)["unique_id"], expected);
    }
}

proptest! {
    #[test]
    fn any_stream_gives_an_object_with_the_same_members(any in any_record(), strange in strange()) {
        let Value::Object(object) = strange.with(&any, parsed) else { panic!("no object") };
        let Value::Object(example) = parsed(&example()) else { panic!("no object") };
        prop_assert!(object.keys().eq(example.keys()));
        let arrays = ["request_fields", "response_fields"].map(|name| object[name].as_array().unwrap().len());
        prop_assert_eq!(arrays, strange.captured());
    }

    #[test]
    fn text_comes_back_as_it_was(text in any::<String>()) {
        let record = HttpRecord { unique_id: Some(text.as_bytes()), ..example() };
        prop_assert_eq!(&parsed(&record)["unique_id"], &Value::String(text.clone()));
    }
}
