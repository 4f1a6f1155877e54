//! Promise: every MUST of RFC 9112 (HTTP/1.1) that concerns a proxy is kept; what is refused is in
//! `desync.rs`. Each test names its section.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

use portolan_tests::http::{Answer, Framing, Next, Scene};
use portolan_tests::{HttpOrigin, Pattern, Poller, per_poller};

per_poller!(
    a_request_and_its_answer_pass,
    content_of_any_size_arrives_unchanged_both_ways,
    a_message_that_comes_byte_by_byte_is_understood,
    requests_in_a_row_are_answered_in_order,
    an_answer_that_ends_early_is_never_completed,
    a_request_that_ends_early_is_never_completed,
    an_error_answer_is_not_lost_to_a_reset,
);

fn a_request_and_its_answer_pass(poller: Poller) {
    let origin = HttpOrigin::named("hello");
    let scene = Scene::polled(poller, origin.address);
    let mut client = scene.client();
    for n in 0..20 {
        let response = client.get(&format!("/path/{n}?query")).expect(200);
        assert_eq!(response.text(), "hello");
        assert!(response.keeps());
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 20);
    assert_eq!(requests[7].target, "/path/7?query");
    assert_eq!(requests[7].fields.one("host"), Some("test.example"));
    assert_eq!(origin.accepted(), 1, "one connection serves them all");
}

fn content_of_any_size_arrives_unchanged_both_ways(poller: Poller) {
    // What comes with a length goes back in chunks and the reverse.
    let origin = HttpOrigin::answering(|request| match request.framing {
        Framing::Chunked => Answer::ok(&request.content),
        _ => Answer::chunked(&[&request.text()]),
    });
    let scene = Scene::polled(poller, origin.address);
    let mut client = scene.client();
    for size in [1, 2, 1000, 15_359, 15_360, 16_383, 16_384, 16_385, 100_000, 3_000_000] {
        // ASCII, so that the origin can use it as text.
        let bytes = Pattern::new(size as u64).bytes(size);
        let content: Vec<u8> = bytes.into_iter().map(|byte| byte & 0x7f).collect();
        let length = format!("Content-Length: {size}");
        client.head(&["POST / HTTP/1.1", "Host: x", &length]).send(&content);
        let response = client.response().expect(200);
        assert!(response.content == content, "{size} bytes with a length differ");
        client.head(&["POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"]);
        for chunk in content.chunks(7000) {
            client.send(format!("{:X}\r\n", chunk.len())).send(chunk).send("\r\n");
        }
        let response = client.send("0\r\n\r\n").response().expect(200);
        assert!(response.content == content, "{size} bytes in chunks differ");
    }
    assert_eq!(origin.accepted(), 1);
}

fn a_message_that_comes_byte_by_byte_is_understood(poller: Poller) {
    let origin = HttpOrigin::scripted(|exchange| {
        exchange.content()?;
        let answer = Answer::chunked(&["ab", "c"]).field("X", "y").trailer("T", "1");
        for byte in answer.bytes("POST") {
            exchange.send([byte])?;
            exchange.pause(Duration::from_millis(1));
        }
        Ok(Next::Keep)
    });
    let scene = Scene::polled(poller, origin.address);
    let request = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer-Field: z\r\n\r\n";
    let mut client = scene.client();
    let pieces: Vec<[u8; 1]> = request.bytes().map(|byte| [byte]).collect();
    let response = client.send_pieces(&pieces).response().expect(200);
    assert_eq!((response.text().as_str(), response.fields.one("x")), ("abc", Some("y")));
    assert_eq!(origin.only_request().text(), "abcde");
}

/// RFC 9112, section 9.3.2: a server sends pipelined responses in the order of the requests.
fn requests_in_a_row_are_answered_in_order(poller: Poller) {
    let origin = HttpOrigin::answering(|request| {
        let answer = format!("{} {}", request.target, request.text());
        if request.target.ends_with('3') { Answer::chunked(&[&answer]) } else { Answer::ok(answer) }
    });
    let scene = Scene::polled(poller, origin.address);
    let requests: String = (0..50)
        .map(|n| match n % 3 {
            0 => format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n"),
            1 => format!("POST /{n} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"),
            _ => format!(
                "POST /{n} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\nab\r\n0\r\n\r\n"
            ),
        })
        .collect();
    let mut client = scene.client();
    client.send(requests);
    for n in 0..50 {
        let content = if n % 3 == 0 { "" } else { "ab" };
        assert_eq!(client.response().expect(200).text(), format!("/{n} {content}"));
    }
    assert_eq!(origin.requests().len(), 50);
}

/// RFC 9112, section 8: an incomplete message is not to be taken for a complete one, so it must not
/// become one on its way.
fn an_answer_that_ends_early_is_never_completed(poller: Poller) {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cut = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".to_owned(),
        chunked.to_owned(),
        format!("{chunked}5\r\n12345\r\n"),
        format!("{chunked}5\r\n12345\r\n0"),
        format!("{chunked}5\r\n12345\r\n0\r\n"),
        format!("{chunked}5\r\n12345\r\n0\r\nTrailer: x\r\n"),
        format!("{chunked}5\r\n123"),
    ];
    let count = cut.len();
    let origin = HttpOrigin::scripted(move |exchange| {
        let n: usize = exchange.request.target[1..].parse().expect("a number");
        exchange.send(&cut[n % count])?;
        Ok(if n < count { Next::Close } else { Next::Reset })
    });
    let scene = Scene::polled(poller, origin.address);
    for n in 0..2 * count {
        let mut client = scene.client();
        client.head(&[&format!("GET /{n} HTTP/1.1"), "Host: x"]);
        match client.try_response("GET") {
            // Lost before anything was forwarded: then it is said so.
            Ok(response) => assert_eq!(response.status, 502, "{n} became whole"),
            Err(error) => {
                let early = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
                assert!(early.contains(&error.kind()), "{n}: {error}");
            }
        }
    }
}

/// RFC 9112, section 8.
fn a_request_that_ends_early_is_never_completed(poller: Poller) {
    let origin = HttpOrigin::echo();
    let scene = Scene::polled(poller, origin.address);
    let chunked = "Transfer-Encoding: chunked";
    let cut = [
        ("Content-Length: 10", "12345"),
        (chunked, "5\r\n12345\r\n"),
        (chunked, "5\r\n12345\r\n0\r\n"),
        (chunked, "5\r\n123"),
    ];
    for (n, (framing, content)) in cut.into_iter().enumerate() {
        let mut client = scene.client();
        client.head(&["POST / HTTP/1.1", "Host: x", framing]).send(content);
        origin.wait_heads(n + 1);
        if n % 2 == 0 {
            client.stream().shutdown(Shutdown::Write).expect("an end");
            client.expect_closed();
        }
    }
    origin.wait_open(0);
    let complete = origin.requests().into_iter().filter(|request| request.complete).count();
    assert_eq!((origin.requests().len(), complete), (4, 0), "{:#?}", origin.requests());
}

/// RFC 9112, section 9.6: a server that closes reads on for a while, so that a RST does not destroy its
/// last answer.
fn an_error_answer_is_not_lost_to_a_reset(poller: Poller) {
    let origin = HttpOrigin::scripted(|exchange| {
        // An early answer; nothing of the content was read.
        exchange.answer(&Answer::status(413, "too much").close())?;
        exchange.content()?;
        Ok(Next::Close)
    });
    let scene = Scene::polled(poller, origin.address);
    for (first, expected) in [("POST / HTTP/1.1", 413), ("POST / HTTP/1.1\r\nBad Field: x", 400)] {
        let mut client = scene.client();
        client.head(&[first, "Host: x", "Content-Length: 4000000"]);
        // As a client does that looks for an answer only once it has sent everything.
        let block = vec![b'x'; 50_000];
        let sent = (0..80).find_map(|_| client.try_send(&block).err());
        if let Some(error) = &sent {
            let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
            assert!(gone.contains(&error.kind()), "{error}");
        }
        let response = client.try_response("POST");
        let response = response.unwrap_or_else(|error| panic!("lost: {error}, {sent:?}"));
        assert_eq!(response.status, expected);
    }
}

/// Section 2.2: a message is a sequence of octets.
#[test]
fn bytes_beyond_ascii_pass_in_values_and_content() {
    let origin = HttpOrigin::raw(
        b"HTTP/1.1 200 \xe9t\xe9\r\nX: \xff\xfe\r\nContent-Length: 2\r\n\r\n\x00\xff",
        Next::Keep,
    );
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nY: \xc3\xa9\x80\r\n\r\n");
    let response = client.response().expect(200);
    assert_eq!(response.fields.one("x"), Some("\u{ff}\u{fe}"));
    assert_eq!(response.content, b"\x00\xff");
    assert_eq!(origin.only_request().fields.one("y"), Some("\u{c3}\u{a9}\u{80}"));
}

/// Section 2.2: a server should ignore an empty line before a request line.
#[test]
fn an_empty_line_before_a_request_is_ignored() {
    let origin = HttpOrigin::named("one");
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.send("\r\nGET /1 HTTP/1.1\r\nHost: x\r\n\r\n").response().expect(200);
    client.send("\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n").response().expect(200);
    assert_eq!(origin.requests().len(), 2);
}

/// Section 2.3: the version of a forwarded message is the proxy's own.
#[test]
fn both_sides_get_http_1_1_whatever_they_speak() {
    let origin = HttpOrigin::raw("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Next::Close);
    let scene = Scene::before(origin.address);
    let response = scene.ask(&["GET / HTTP/1.0", "Host: x"]).expect(200);
    assert_eq!(response.version, "HTTP/1.1");
    assert_eq!(origin.only_request().version, "HTTP/1.1");
}

/// Section 2.3: a later minor version is understood as 1.1.
#[test]
fn another_major_version_is_refused() {
    let origin = HttpOrigin::named("one");
    let scene = Scene::before(origin.address);
    for version in ["HTTP/2.0", "HTTP/3.1", "HTTP/0.9"] {
        let mut client = scene.client();
        let response = client.head(&[&format!("GET / {version}"), "Host: x"]).response();
        assert!([400, 505].contains(&response.status), "{version}: {}", response.status);
        client.expect_closed();
    }
    assert!(origin.requests().is_empty());
}

/// Section 3.2: a request without Host, with several, or with an invalid one is answered with 400.
#[test]
fn a_missing_repeated_or_invalid_host_is_refused() {
    let origin = HttpOrigin::named("one");
    let scene = Scene::before(origin.address);
    for fields in [
        &["Accept: */*"][..],
        &["Host: a", "Host: b"],
        &["Host: a", "Host: a"],
        &["Host: a, b"],
        &["Host: a b"],
        &["Host: a/b"],
        &["Host: user@a"],
        &["Host: a:b"],
        &["Host: a:80:90"],
        &["Host: [::1"],
        &["Host: a\tb"],
    ] {
        let mut client = scene.client();
        let response = client.head(&[&["GET / HTTP/1.1"], fields].concat()).response();
        assert_eq!(response.status, 400, "{fields:?}");
        client.expect_closed();
    }
    assert!(origin.requests().is_empty());
    for host in ["Host: a:80", "Host: [::1]:80", "Host: 127.0.0.1", "Host:"] {
        assert_eq!(scene.ask(&["GET / HTTP/1.1", host]).status, 200, "{host}");
    }
}

/// Section 3.2.2: absolute-form is accepted, and Host is replaced by what the target says.
#[test]
fn an_absolute_target_replaces_host() {
    let origin = HttpOrigin::named("one");
    let scene = Scene::before(origin.address);
    let target = "GET http://real.example:8080/path?q HTTP/1.1";
    scene.ask(&[target, "Host: other.example"]).expect(200);
    let request = origin.only_request();
    assert_eq!(request.fields.one("host"), Some("real.example:8080"));
    // To an origin it is the origin form, or absolute with the same authority.
    let forms = ["/path?q", "http://real.example:8080/path?q"];
    assert!(forms.contains(&request.target.as_str()), "{}", request.target);
}

/// Section 3.2.4: asterisk-form is for OPTIONS alone, authority-form (3.2.3) for CONNECT alone.
#[test]
fn each_form_of_a_target_has_its_methods() {
    let origin = HttpOrigin::named("one");
    let scene = Scene::before(origin.address);
    for line in ["GET * HTTP/1.1", "GET x:80 HTTP/1.1", "CONNECT /x HTTP/1.1", "GET x HTTP/1.1"] {
        assert_eq!(scene.ask(&[line, "Host: x:80"]).status, 400, "{line}");
    }
    assert!(origin.requests().is_empty());
    scene.ask(&["OPTIONS * HTTP/1.1", "Host: x"]).expect(200);
    assert_eq!(origin.only_request().target, "*");
}

/// Section 3.2.4: OPTIONS of an absolute target without a path is `*` at the last proxy.
#[test]
fn options_of_a_whole_server_becomes_the_asterisk() {
    let origin = HttpOrigin::named("one");
    let scene = Scene::before(origin.address);
    scene.ask(&["OPTIONS http://a.example:8001 HTTP/1.1", "Host: a.example:8001"]).expect(200);
    let request = origin.only_request();
    assert_eq!(
        (request.target.as_str(), request.fields.one("host")),
        ("*", Some("a.example:8001"))
    );
}

/// Section 4: the blank before an empty reason must be sent.
#[test]
fn an_answer_without_a_reason_has_its_blank() {
    let origin = HttpOrigin::raw("HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", Next::Keep);
    let scene = Scene::before(origin.address);
    // The strict reader insists on the blank.
    assert_eq!(scene.get("/").status, 299);
}

/// Section 6.3: no content follows by definition, whatever a length says.
#[test]
fn answers_without_content_by_definition_have_none() {
    let origin = HttpOrigin::scripted(|exchange| {
        let target = exchange.request.target.clone();
        exchange.send(match target.as_str() {
            "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
            "/304-length" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
            "/head-chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "/head-length" => "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        })?;
        Ok(Next::Keep)
    });
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    for (method, target, status) in [
        ("GET", "/204", 204),
        ("GET", "/304", 304),
        ("GET", "/304-length", 304),
        ("HEAD", "/head-chunked", 200),
        ("HEAD", "/head-length", 200),
    ] {
        client.head(&[&format!("{method} {target} HTTP/1.1"), "Host: x"]);
        let response = client.response_to(method);
        assert_eq!(response.status, status, "{target}");
        if target == "/head-length" {
            assert_eq!(response.fields.one("content-length"), Some("500"), "HEAD is as GET");
        }
        // What follows is understood: nothing was taken for content.
        assert_eq!(client.get("/next").expect(200).text(), "ok", "after {target}");
    }
}

/// Section 6.3: without a length a response ends with the connection.
#[test]
fn an_answer_until_the_end_arrives_whole() {
    let content = "x".repeat(200_000);
    let origin = HttpOrigin::answering({
        let content = content.clone();
        move |_| Answer::until_close(&content)
    });
    let scene = Scene::before(origin.address);
    let response = scene.get("/").expect(200);
    assert!(response.content == content.as_bytes());
    let response = scene.ask(&["GET / HTTP/1.0", "Host: x"]).expect(200);
    assert_eq!(response.framing, Framing::UntilEnd);
    assert!(response.content == content.as_bytes());
}

/// Sections 6.1 and 7.1: a chunked message is never sent to who speaks only HTTP/1.0.
#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    let origin = HttpOrigin::answering(|_| Answer::chunked(&["one ", "two"]));
    let scene = Scene::before(origin.address);
    for fields in [&["Host: x"][..], &["Host: x", "Connection: keep-alive"]] {
        let mut client = scene.client();
        client.head(&[&["GET / HTTP/1.0"], fields].concat());
        let response = client.response().expect(200);
        assert!(!response.fields.has("transfer-encoding"), "{:?}", response.fields);
        assert_eq!(response.text(), "one two");
    }
}

/// Section 7.1.1: unknown chunk extensions are ignored; ours are dropped (the origin is strict).
#[test]
fn chunk_extensions_are_not_passed_on() {
    let origin = HttpOrigin::raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0;last\r\n\r\n",
        Next::Keep,
    );
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.head(&["POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"]);
    client.send("2;name=value\r\nab\r\n0;x\r\n\r\n");
    assert_eq!(client.response().expect(200).text(), "abc");
    assert_eq!(origin.only_request().text(), "ab");
}

/// Section 7.1.2: trailers are kept apart or dropped, never merged into the head.
#[test]
fn trailers_stay_behind_the_content() {
    let origin = HttpOrigin::answering(|_| {
        Answer::chunked(&["abc"]).field("Trailer", "Digest").trailer("Digest", "x=y")
    });
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.head(&["POST / HTTP/1.1", "Host: x", "TE: trailers", "Connection: TE"]);
    client.response().expect(200);
    client.head(&["POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", "Trailer: Sum"]);
    client.send("3\r\nabc\r\n0\r\nSum: 5\r\nContent-Length: 9\r\n\r\n");
    let response = client.response().expect(200);
    assert!(!response.fields.has("digest"), "{:?}", response.fields);
    assert_eq!(response.trailers.one("digest"), Some("x=y"));
    let request = &origin.requests()[1];
    assert!(!request.fields.has("sum"), "{:?}", request.fields);
    assert_eq!(request.trailers.one("sum"), Some("5"));
    // Section 7.1.2 with 6.5.1 of RFC 9110: framing has no place there.
    assert!(!request.trailers.has("content-length"), "{:?}", request.trailers);
}

/// Section 9.3: a client of HTTP/1.0 is only kept when it asks for that, and is told.
#[test]
fn a_client_of_http_1_0_is_kept_only_when_it_asks() {
    let origin = HttpOrigin::named("one");
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.head(&["GET / HTTP/1.0", "Host: x"]).response().expect(200);
    client.expect_end();
    let mut client = scene.client();
    for _ in 0..3 {
        client.head(&["GET / HTTP/1.0", "Host: x", "Connection: keep-alive"]);
        let response = client.response().expect(200);
        assert!(response.fields.lists("connection", "keep-alive"), "{:?}", response.fields);
    }
    client.head(&["GET / HTTP/1.0"]).response().expect(200);
    client.expect_end();
}

/// Section 9.3: a server that does not say that it keeps an HTTP/1.0 connection does not.
#[test]
fn a_server_of_http_1_0_is_not_used_again() {
    let origin = HttpOrigin::raw("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Next::Keep);
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    for n in 1..=3 {
        assert_eq!(client.get("/").expect(200).text(), "ok");
        assert_eq!(origin.accepted(), n);
    }
}

/// Section 9.6: after `close` no further request is taken, and the answer says close.
#[test]
fn who_asks_to_close_is_closed() {
    let origin = HttpOrigin::named("one");
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    let response = client.response().expect(200);
    assert!(response.fields.lists("connection", "close"), "{:?}", response.fields);
    client.expect_closed();
    let requests = origin.requests();
    assert_eq!(requests.len(), 1, "{requests:#?}");
}

/// Section 9.6: a connection's `close` concerns that connection alone.
#[test]
fn a_servers_close_does_not_close_the_client() {
    let origin = HttpOrigin::answering(|_| Answer::ok("bye").close());
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    for n in 1..=3 {
        let response = client.get("/").expect(200);
        assert!(response.keeps(), "{:?}", response.fields);
        assert_eq!(origin.accepted(), n);
    }
}

/// Section 9.2: what a server sends without being asked is no answer to anybody.
#[test]
fn an_answer_nobody_asked_for_reaches_nobody() {
    let origin = HttpOrigin::raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Next::Keep,
    );
    let scene = Scene::before(origin.address);
    for _ in 0..3 {
        let mut client = scene.client();
        assert_eq!(client.get("/").expect(200).text(), "one");
        assert_eq!(client.get("/").expect(200).text(), "one");
    }
}
