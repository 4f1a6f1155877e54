//! Requests that are understood, one test for each rule of RFC 9110 and RFC 9112 that a head alone can
//! follow.

use super::super::connection::{Options, options};
use super::super::known::NAMES;
use super::*;

fn hosted(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// RFC 9112 section 2.2: "at least one empty line (CRLF) received prior to the request-line" is ignored.
#[test]
fn a_few_empty_lines_before_a_request_are_skipped() {
    for n in 0..=4 {
        let text = "\r\n".repeat(n) + &hosted("");
        let (head, _) = valid(&text);
        assert_eq!(head.length, text.len());
        assert_eq!(head.line.of(text.as_bytes()), b"GET / HTTP/1.1");
    }
    let text = "\r\n".repeat(5);
    let read = request(text.as_bytes(), &mut Fields::default(), &LIMITS, &mut Scan::default());
    assert_eq!(read.err(), Some(RequestError::BlankLines));
}

/// RFC 9112 section 2.2: "A recipient MUST parse an HTTP message as a sequence of octets in an encoding
/// that is a superset of US-ASCII".
#[test]
fn bytes_beyond_ascii_in_values_are_kept_as_they_are() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe4\xff\x80 \xc3\r\n\r\n";
    let (head, fields) = read(bytes).expect("valid");
    let mut out = Vec::new();
    write::request_head(&mut out, bytes, &head, &fields, &RequestOut::of(&head));
    assert_eq!(out, bytes);
}

/// RFC 9110 section 2.5: a higher minor version of the same major one is processed as the highest known.
#[test]
fn higher_minor_versions_are_taken_as_1_1() {
    for minor in 1..=9 {
        let text = hosted("").replace("1.1", &format!("1.{minor}"));
        assert_eq!(valid(&text).0.version, Version::Http11);
        assert!(forwarded(&text).starts_with("GET / HTTP/1.1\r\n"));
    }
}

/// RFC 9110 section 6.2: "An intermediary that is not a tunnel MUST send its own HTTP-version in
/// forwarded messages".
#[test]
fn a_request_of_http_1_0_goes_on_as_1_1_with_a_host() {
    let text = "GET / HTTP/1.0\r\nX: 1\r\n\r\n";
    assert_eq!(forwarded(text), "GET / HTTP/1.1\r\nHost: \r\nX: 1\r\n\r\n");
    let (head, fields) = valid(text);
    let to = RequestOut { host_default: b"10.0.0.1:80", ..RequestOut::of(&head) };
    assert!(forwarded_as(text, &head, &fields, &to).contains("\r\nHost: 10.0.0.1:80\r\n"));
}

/// RFC 9112 section 3.2.2: "the proxy MUST ignore the received Host header field (if any) and instead
/// replace it with the host information of the request-target".
#[test]
fn an_absolute_targets_authority_replaces_host() {
    let text = "GET HTTP://B.example:8080/p?q HTTP/1.1\r\nX: 1\r\nHost: a\r\n\r\n";
    let (head, _) = valid(text);
    let bytes = text.as_bytes();
    assert_eq!((head.form, head.host.of(bytes)), (Form::Absolute, &b"B.example:8080"[..]));
    assert_eq!(head.path.of(bytes), b"/p?q");
    assert_eq!(forwarded(text), "GET /p?q HTTP/1.1\r\nHost: B.example:8080\r\nX: 1\r\n\r\n");
}

/// RFC 9112 section 3.2.1: an empty path is sent as "/"; 3.2.4: of OPTIONS as "*".
#[test]
fn an_absolute_target_without_a_path_gets_one() {
    let of = |line: &str| forwarded(&format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(of("GET http://b").starts_with("GET / HTTP/1.1\r\nHost: b\r\n"));
    assert!(of("GET https://b?q").starts_with("GET /?q HTTP/1.1\r\nHost: b\r\n"));
    assert!(of("OPTIONS http://b").starts_with("OPTIONS * HTTP/1.1\r\nHost: b\r\n"));
    assert!(of("OPTIONS http://b?q").starts_with("OPTIONS /?q HTTP/1.1\r\nHost: b\r\n"));
    assert!(of("OPTIONS http://b/").starts_with("OPTIONS / HTTP/1.1\r\nHost: b\r\n"));
    assert!(of("OPTIONS *").starts_with("OPTIONS * HTTP/1.1\r\nHost: a\r\n"));
}

/// RFC 9112 section 3.2.3: authority-form is for CONNECT only.
#[test]
fn connect_names_host_and_port() {
    let text = "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n";
    let (head, _) = valid(text);
    assert_eq!((head.method, head.form), (Method::Connect, Form::Authority));
    assert!(head.path.is_empty());
    assert_eq!(forwarded(text), text.replace(": a", ": [2001:db8::1]:443"));
}

/// RFC 9112 section 3.2: a Host is a uri-host and perhaps a port, or empty.
#[test]
fn hosts_of_every_kind_are_accepted() {
    for host in [
        "",
        "a",
        "A.b-c_d~e",
        "a:",
        "a:80",
        "a:65535",
        "a:00080",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:80",
        "[::ffff:1.2.3.4]",
        "a%20b",
        "a,b;c",
        "xn--bcher-kva.example.",
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: \t{host} \r\n\r\n");
        assert_eq!(valid(&text).0.host.of(text.as_bytes()), host.as_bytes());
    }
}

#[test]
fn host_goes_first_wherever_it_came() {
    let text = "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nhost:c\r\n\r\n";
    assert_eq!(forwarded(text), "GET / HTTP/1.1\r\nHost: c\r\nA: 1\r\nB: 2\r\n\r\n");
}

#[test]
fn a_length_stays_at_its_place_where_it_stands_as_it_would_be_written() {
    let of = |lines: &str| hosted(lines).replace("GET", "POST");
    for line in ["Content-Length: 5\r\n", "content-length: 5\r\n", "Content-Length: 0\r\n"] {
        let text = of(&format!("A: 1\r\n{line}B: 2\r\n"));
        assert_eq!(forwarded(&text), text);
    }
    let anew = of("Content-Length: 5\r\nA: 1\r\nB: 2\r\n");
    for line in [
        "Content-Length: 05\r\n",
        "Content-Length: 5,5\r\n",
        "Content-Length:5\r\n",
        "Content-Length: 5 \r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
    ] {
        assert_eq!(forwarded(&of(&format!("A: 1\r\n{line}B: 2\r\n"))), anew, "{line:?}");
    }
}

/// RFC 9110 section 5.3: the order of fields with the same name is kept.
#[test]
fn fields_keep_their_order_and_spelling() {
    let text = hosted("b: 1\r\nA: 2\r\nX-Odd:\r\nB:  3\t \r\nx-ODD: 4\r\n");
    let expected = hosted("b: 1\r\nA: 2\r\nX-Odd: \r\nB: 3\r\nx-ODD: 4\r\n");
    assert_eq!(forwarded(&text), expected);
}

/// RFC 9110 section 7.6.1: Connection and what it names are removed, and the fields of one hop even
/// when it does not name them.
#[test]
fn what_is_said_to_this_hop_goes_no_further() {
    let text = hosted(
        "Connection: close , X-One,,x-TWO, Accept\r\nX-One: 1\r\nx-one: 2\r\nX-Two: 3\r\nAccept: 4\r\nX-Three: 5\r\n\
         Connection: X-Three\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: gzip\r\nUpgrade: x\r\nX-Four: 6\r\n",
    );
    assert_eq!(forwarded(&text), hosted("X-Four: 6\r\n"));
}

/// What frames and routes is written anew from what was parsed, so naming it takes nothing away.
#[test]
fn connection_cannot_take_host_or_framing_away() {
    let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: Host, Content-Length\r\n\r\n";
    assert_eq!(forwarded(text), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    let text = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\nConnection: transfer-encoding\r\n\r\n";
    assert_eq!(forwarded(text), "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
}

/// RFC 9112 section 9.3: persistent unless `close`, or HTTP/1.0 without `keep-alive`.
#[test]
fn a_connection_is_kept_as_version_and_options_say() {
    let kept =
        |version: &str, lines: &str| valid(&hosted(lines).replace("1.1", version)).0.keep_alive;
    assert!(kept("1.1", ""));
    assert!(!kept("1.0", ""));
    assert!(kept("1.0", "Connection: x, Keep-Alive\r\n"));
    assert!(!kept("1.1", "Connection: CLOSE\r\n"));
    assert!(!kept("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
    assert!(!kept("1.0", "Connection: keep-alive, close\r\n"));
    assert!(!kept("1.0", "Proxy-Connection: keep-alive\r\n"));
}

#[test]
fn what_proxies_are_told_can_be_read_by_who_wants_to() {
    let text = hosted("Proxy-Connection: keep-alive, Close\r\n");
    let (_, fields) = valid(&text);
    let told = options(text.as_bytes(), &fields, Known::ProxyConnection);
    assert_eq!(told, Options { close: true, keep_alive: true, upgrade: false });
}

/// RFC 9112 section 6.3: lengths that are the same count as one.
#[test]
fn a_repeated_length_is_written_once() {
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5 ,05\r\n",
        "Content-Length: 005\r\n",
    ] {
        let text = hosted(lines).replace("GET", "POST");
        assert_eq!(valid(&text).0.framing, Framing::Length(5));
        assert_eq!(forwarded(&text), hosted("Content-Length: 5\r\n").replace("GET", "POST"));
    }
    let text = hosted("Content-Length: 9223372036854775807\r\n");
    assert_eq!(valid(&text).0.framing, Framing::Length(i64::MAX as u64));
}

/// RFC 9112 section 6.3: a request without both has no content.
#[test]
fn a_request_without_length_and_coding_has_no_content() {
    assert_eq!(valid(&hosted("").replace("GET", "POST")).0.framing, Framing::None);
    assert_eq!(valid(&hosted("Content-Length: 0\r\n")).0.framing, Framing::Length(0));
    assert_eq!(valid(&hosted("Transfer-Encoding: Chunked\r\n")).0.framing, Framing::Chunked);
}

/// RFC 9110 section 10.1.1: the expectation is told and forwarded; HTTP/1.0 has none.
#[test]
fn an_expectation_is_forwarded_but_not_that_of_http_1_0() {
    let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n";
    assert!(valid(text).0.expect_continue);
    assert_eq!(forwarded(text), text);
    let older = text.replace("1.1", "1.0").replace("100-Continue", "anything");
    assert!(!valid(&older).0.expect_continue);
    assert!(!forwarded(&older).contains("Expect"));
    // Who sends nothing waits for nothing.
    assert!(!valid(&text.replace('5', "0")).0.expect_continue);
}

/// RFC 9110 section 7.6.2: Max-Forwards of TRACE and OPTIONS is told, and written one less.
#[test]
fn max_forwards_is_counted_down_for_two_methods() {
    let text = "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 010\r\nX: 1\r\n\r\n";
    assert_eq!(valid(text).0.max_forwards, Some(10));
    assert_eq!(forwarded(text), "OPTIONS / HTTP/1.1\r\nHost: a\r\nX: 1\r\nMax-Forwards: 9\r\n\r\n");
    let other = text.replace("OPTIONS", "GET");
    assert_eq!(valid(&other).0.max_forwards, None);
    assert_eq!(forwarded(&other), other);
    let large = text.replace("010", "99999999999");
    assert_eq!(valid(&large).0.max_forwards, Some(u32::MAX));
}

/// RFC 9110 section 7.8: Upgrade needs the option, and is ignored from HTTP/1.0; h2c would leave what
/// is judged here.
#[test]
fn an_upgrade_is_forwarded_only_where_it_can_be_answered() {
    let text = hosted("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    assert!(valid(&text).0.upgrade);
    let expected =
        hosted("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: upgrade\r\n");
    assert_eq!(forwarded(&text), expected);
    for (from, to) in [
        ("HTTP/1.1", "HTTP/1.0"),
        ("Connection: Upgrade\r\n", ""),
        ("websocket", ""),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("websocket", "websocket, H2C/1"),
    ] {
        let other = text.replace(from, to);
        assert!(!valid(&other).0.upgrade, "{other:?}");
        assert!(!forwarded(&other).to_lowercase().contains("upgrade"), "{other:?}");
    }
}

#[test]
fn the_settings_of_an_h2c_upgrade_go_with_it() {
    let text = hosted("Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n");
    assert_eq!(forwarded(&text), hosted(""));
}

/// RFC 9110 section 10.1.4: TE goes to the next hop as that hop's, named by Connection.
#[test]
fn who_takes_trailers_is_asked_for_them() {
    let text = hosted("TE: gzip;q=0.5, Trailers\r\nConnection: TE\r\n");
    assert!(valid(&text).0.te_trailers);
    assert_eq!(forwarded(&text), hosted("TE: trailers\r\nConnection: TE\r\n"));
    assert!(!valid(&text.replace("Trailers", "x")).0.te_trailers);
}

/// RFC 9110 section 7.6.3: Via names the version received, behind those that came.
#[test]
fn via_is_added_behind_others() {
    let text = "GET / HTTP/1.0\r\nHost: a\r\nVia: 1.1 b\r\n\r\n";
    let (head, fields) = valid(text);
    let to = RequestOut { via: Some("portolan"), ..RequestOut::of(&head) };
    let written = forwarded_as(text, &head, &fields, &to);
    assert!(written.ends_with("\r\nVia: 1.1 b\r\nVia: 1.0 portolan\r\n\r\n"), "{written}");
}

#[test]
fn a_connection_to_a_server_can_be_said_to_close() {
    let text = hosted("TE: trailers\r\n");
    let (head, fields) = valid(&text);
    let to = RequestOut { persistence: write::Persistence::Close, ..RequestOut::of(&head) };
    let written = forwarded_as(&text, &head, &fields, &to);
    assert!(written.ends_with("\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n"), "{written}");
}

#[test]
fn edits_are_written_in_place_and_additions_at_the_end() {
    let text = hosted("A: 1\r\nB: 2\r\nA: 3\r\nC: 4\r\n");
    let bytes = text.as_bytes();
    let (head, mut fields) = valid(&text);
    let all: Vec<usize> = fields.named(bytes, b"a").collect();
    fields.drop(all[0]);
    fields.replace(all[1], b" new ");
    fields.add(b"Set-Cookie", b"x=y");
    let added = fields.first(Known::SetCookie).expect("added");
    fields.replace(added, b"x=z");
    assert_eq!(fields.value(bytes, added), b"x=z");
    assert_eq!(fields.name(bytes, added), b"Set-Cookie");
    assert_eq!(
        forwarded_as(&text, &head, &fields, &RequestOut::of(&head)),
        "GET / HTTP/1.1\r\nHost: a\r\nB: 2\r\nA: new\r\nC: 4\r\nSet-Cookie: x=z\r\n\r\n"
    );
}

#[test]
fn names_are_found_however_they_are_written() {
    let text = hosted("COOKIE: a\r\nx-FoO: 1\r\nCookie: b\r\nX-Foo: 2\r\nx-odd_one: 3\r\n");
    let bytes = text.as_bytes();
    let (_, fields) = valid(&text);
    let values = |name: &[u8]| -> Vec<String> {
        let all = fields.named(bytes, name);
        all.map(|n| String::from_utf8_lossy(fields.value(bytes, n)).into_owned()).collect()
    };
    assert_eq!(values(b"cookie"), ["a", "b"]);
    assert_eq!(values(b"X-FOO"), ["1", "2"]);
    assert_eq!(values(b"x-bar"), [""; 0]);
    assert_eq!(fields.all(Known::Cookie).count(), 2);
    assert!(fields.first(Known::Accept).is_none());
    let odd: Vec<_> = fields.iter().filter(|(_, field)| !field.ordinary).collect();
    assert_eq!(odd.len(), 1);
    assert_eq!(fields.name(bytes, odd[0].0), b"x-odd_one");
    // Host was told to this hop and is written anew.
    assert!(fields.first(Known::Host).is_none());
    assert_eq!(fields.even_dropped(Known::Host).count(), 1);
}

#[test]
fn every_known_name_is_known_in_any_letters_and_no_other() {
    for (known, name) in NAMES {
        let name = String::from_utf8(name.to_vec()).expect("text");
        for written in [name.clone(), name.to_uppercase()] {
            assert_eq!(Known::named(written.as_bytes()), *known);
            let value = match known {
                Known::TransferEncoding => "chunked",
                Known::ContentLength => "5",
                Known::Expect => "100-continue",
                _ => "b",
            };
            let text = if *known == Known::Host {
                hosted("")
            } else {
                hosted(&format!("{written}: {value}\r\n"))
            };
            assert_eq!(valid(&text).1.even_dropped(*known).count(), 1, "{written}");
        }
        for other in
            [format!("{name}x"), format!("x{name}"), name[1..].to_string(), name.replace('-', "_")]
        {
            if other.is_empty() || Known::named(other.as_bytes()) != Known::Other {
                continue;
            }
            let text = hosted(&format!("{other}: b\r\n"));
            let (_, fields) = valid(&text);
            let other = fields.iter().find(|(_, field)| field.known == Known::Other);
            assert!(other.is_some(), "{text}");
        }
    }
}

#[test]
fn a_table_is_used_again_without_traces() {
    let mut fields = Fields::default();
    let first = hosted("Cookie: a\r\nCookie: b\r\nAccept: c\r\n");
    request(first.as_bytes(), &mut fields, &LIMITS, &mut Scan::default()).expect("valid");
    fields.add(b"Via", b"x");
    let second = hosted("Accept: d\r\nCookie: e\r\n");
    request(second.as_bytes(), &mut fields, &LIMITS, &mut Scan::default()).expect("valid");
    assert_eq!(fields.len(), 3);
    assert_eq!(fields.all(Known::Cookie).collect::<Vec<_>>(), [2]);
    assert!(fields.first(Known::Via).is_none());
    assert_eq!(fields.value(second.as_bytes(), 1), b"d");
}

#[test]
fn methods_say_what_can_be_asked_again() {
    let of = |name: &str| valid(&hosted("").replace("GET", name)).0.method;
    assert!(of("GET").is_safe() && of("TRACE").is_safe() && !of("PUT").is_safe());
    assert!(
        of("PUT").is_idempotent() && of("DELETE").is_idempotent() && !of("POST").is_idempotent()
    );
    assert_eq!(of("get"), Method::Other);
    assert!(!of("PATCH").is_idempotent() && !of("PROPFIND").is_safe());
}
