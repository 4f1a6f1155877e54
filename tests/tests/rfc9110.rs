//! Promise: every MUST of RFC 9110 (HTTP semantics) that concerns a proxy is kept. Each test names its
//! section.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use portolan_tests::http::{Answer, Next, Request, Scene, websocket};
use portolan_tests::{HttpOrigin, Poller, deadline, per_poller};

per_poller!(
    interim_answers_are_forwarded_as_they_come,
    an_expectation_is_forwarded_and_answered_by_the_server,
    a_tunnel_begins_with_the_servers_101,
    websockets_pass_unchanged,
    a_tunnel_to_a_named_authority_begins_with_a_2xx,
);

/// Section 15.2: interim responses are forwarded, as many as there are, before the final one.
fn interim_answers_are_forwarded_as_they_come(poller: Poller) {
    let (gate, passed) = (portolan_tests::origin::Gate::default(), 2);
    let origin = HttpOrigin::scripted({
        let gate = gate.clone();
        move |exchange| {
            exchange.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")?;
            exchange.pass(&gate);
            exchange.send("HTTP/1.1 102 Processing\r\n\r\n")?;
            exchange.pass(&gate);
            exchange.answer(&Answer::ok("final"))
        }
    });
    let scene = Scene::polled(poller, origin.address);
    let mut client = scene.client();
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    let hints = client.response();
    assert_eq!((hints.status, hints.fields.has("link")), (103, true));
    gate.open(1);
    assert_eq!(client.response().status, 102);
    gate.open(passed - 1);
    assert_eq!(client.response().expect(200).text(), "final");
    gate.open(2);
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    let statuses: Vec<u16> = (0..3).map(|_| client.response().status).collect();
    assert_eq!(statuses, [103, 102, 200]);
}

/// Section 10.1.1: the expectation is forwarded, the 100 comes from the server, content follows it.
fn an_expectation_is_forwarded_and_answered_by_the_server(poller: Poller) {
    let origin = HttpOrigin::scripted(|exchange| {
        assert!(exchange.request.fields.has("expect"));
        if exchange.request.target == "/refused" {
            exchange.answer(&Answer::status(417, "no").close())?;
            return Ok(Next::Close);
        }
        exchange.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        let content = exchange.content()?.to_vec();
        exchange.answer(&Answer::ok(content))
    });
    let scene = Scene::polled(poller, origin.address);
    let mut client = scene.client();
    for _ in 0..2 {
        client.head(&["PUT / HTTP/1.1", "Host: x", "Expect: 100-continue", "Content-Length: 5"]);
        assert_eq!(client.response().status, 100);
        assert_eq!(client.send("hello").response().expect(200).text(), "hello");
    }
    // A final answer may come instead, and no content is needed for it.
    let lines = ["PUT /refused HTTP/1.1", "Host: x", "Expect: 100-continue", "Content-Length: 5"];
    assert_eq!(scene.ask(&lines).status, 417);
}

const UPGRADE: [&str; 4] =
    ["GET /up HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: echo/1"];

/// Answers an upgrade with 101 and then echoes.
fn upgrading() -> HttpOrigin {
    HttpOrigin::scripted(|exchange| {
        if !exchange.request.fields.has("upgrade") {
            return exchange.answer(&Answer::ok("no upgrade"));
        }
        assert!(exchange.request.fields.lists("connection", "upgrade"));
        exchange.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n",
        )?;
        let (stream, first) = exchange.stream();
        stream.write_all(&first)?;
        let mut buffer = [0; 4096];
        loop {
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                return Ok(Next::Close);
            }
            stream.write_all(&buffer[..length])?;
        }
    })
}

/// Section 7.8: the protocol changes with the 101, not before.
fn a_tunnel_begins_with_the_servers_101(poller: Poller) {
    let origin = upgrading();
    let scene = Scene::polled(poller, origin.address);
    let mut client = scene.client();
    let response = client.head(&UPGRADE).response_to("GET");
    assert_eq!((response.status, response.fields.one("upgrade")), (101, Some("echo/1")));
    assert!(response.fields.lists("connection", "upgrade"), "{:?}", response.fields);
    let (mut stream, early) = client.into_parts();
    assert!(early.is_empty());
    for text in ["not HTTP\n\n", "GET / HTTP/1.1\r\n\r\n", "\0\u{1}\u{2}"] {
        stream.expect_echo(text.as_bytes());
    }
    stream.expect_echo(&vec![7; 40_000][..]);
    stream.end_sending().expect("an end");
    stream.expect_end();
    // What comes right behind the request waits for the 101 and then belongs to the tunnel.
    let mut client = scene.client();
    client.send(portolan_tests::http::client::head(&UPGRADE) + "early bytes");
    assert_eq!(client.response().status, 101);
    let mut bytes = [0; 11];
    let (mut stream, early) = client.into_parts();
    bytes[..early.len()].copy_from_slice(&early);
    stream.read_exact(&mut bytes[early.len()..]).expect("the early bytes");
    assert_eq!(&bytes, b"early bytes");
}

/// RFC 6455.
fn websockets_pass_unchanged(poller: Poller) {
    let origin = websocket::echo();
    let scene = Scene::polled(poller, origin.address);
    let mut sockets: Vec<_> =
        (0..5).map(|n| websocket::connect(scene.front, &format!("/{n}"))).collect();
    for round in 0..5 {
        for socket in &mut sockets {
            websocket::expect_echo(socket, &format!("round {round}"));
        }
    }
    websocket::expect_echo(&mut sockets[0], &"x".repeat(300_000));
    sockets.into_iter().for_each(websocket::close);
    origin.wait_open(0);
}

/// Section 9.3.6: a 2xx to CONNECT turns the connection into a tunnel, anything else does not.
fn a_tunnel_to_a_named_authority_begins_with_a_2xx(poller: Poller) {
    let origin = HttpOrigin::scripted(|exchange| {
        if exchange.request.target.starts_with("refused") {
            return exchange.answer(&Answer::status(403, "no"));
        }
        exchange.send("HTTP/1.1 200 Established\r\n\r\n")?;
        let (stream, first) = exchange.stream();
        stream.write_all(&first)?;
        let mut buffer = [0; 4096];
        loop {
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                return Ok(Next::Close);
            }
            stream.write_all(&buffer[..length])?;
        }
    });
    let scene = Scene::polled(poller, origin.address);
    let mut client = scene.client();
    let refused = ["CONNECT refused.example:443 HTTP/1.1", "Host: refused.example:443"];
    assert_eq!(client.head(&refused).response_to("CONNECT").expect(403).text(), "no");
    let wanted = ["CONNECT a.example:443 HTTP/1.1", "Host: a.example:443"];
    assert_eq!(client.head(&wanted).response_to("CONNECT").status, 200);
    let (mut stream, early) = client.into_parts();
    assert!(early.is_empty());
    stream.expect_echo(b"\x16\x03\x01 not HTTP");
    stream.end_sending().expect("an end");
    stream.expect_end();
    assert_eq!(origin.requests()[1].target, "a.example:443");
}

/// A scene before an origin that answers `ok`, and what one request became of.
fn forwarded(lines: &[&str]) -> Request {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    scene.ask(lines).expect(200);
    origin.only_request()
}

/// Section 5.2 and 5.3: fields of one name keep their order, and none is lost.
#[test]
fn fields_of_one_name_keep_their_order() {
    let origin = HttpOrigin::answering(|_| {
        let answer = Answer::ok("").field("Set-Cookie", "a=1").field("X", "1");
        answer.field("Set-Cookie", "b=2, c").field("X", "2").field("Set-Cookie", "d=3")
    });
    let scene = Scene::before(origin.address);
    let lines = ["GET / HTTP/1.1", "Host: x", "A: 1", "B: x", "a: 2", "A: 3, 4", "Cookie: z=1"];
    let response = scene.ask(&lines).expect(200);
    assert_eq!(response.fields.all("set-cookie"), ["a=1", "b=2, c", "d=3"]);
    assert_eq!(response.fields.all("x"), ["1", "2"]);
    let request = origin.only_request();
    assert_eq!(request.fields.all("a"), ["1", "2", "3, 4"]);
    assert_eq!(request.fields.all("cookie"), ["z=1"]);
}

/// Section 6.6.1: a response without Date gets one when it is forwarded.
#[test]
fn an_answer_without_date_gets_one() {
    let dated = "Sun, 06 Nov 1994 08:49:37 GMT";
    let origin = HttpOrigin::answering(move |request| match request.target.as_str() {
        "/dated" => Answer::ok("").field("Date", dated),
        _ => Answer::ok(""),
    });
    let scene = Scene::before(origin.address);
    assert_eq!(scene.get("/dated").fields.one("date"), Some(dated));
    let added = scene.get("/").fields.one("date").map(str::to_owned).expect("a date");
    // RFC 9110, section 5.6.7: IMF-fixdate.
    let shape: String =
        added.chars().map(|one| if one.is_ascii_digit() { '0' } else { one }).collect();
    assert_eq!(&shape[3..8], ", 00 ", "{added}");
    assert_eq!(&shape[11..], " 0000 00:00:00 GMT", "{added}");
}

/// Section 7.6.1: Connection, and every field that it names, belong to one connection.
#[test]
fn fields_of_one_connection_are_not_forwarded() {
    let origin = HttpOrigin::answering(|_| {
        let answer = Answer::ok("").field("Connection", "X-Server, Keep-Alive");
        let answer = answer.field("X-Server", "secret").field("Keep-Alive", "timeout=5");
        answer.field("Proxy-Connection", "keep-alive").field("X-End", "kept")
    });
    let scene = Scene::before(origin.address);
    let response = scene.ask(&[
        "GET / HTTP/1.1",
        "Host: x",
        "Connection: X-One , x-two",
        "X-One: 1",
        "X-Two: 2",
        "x-one: 3",
        "Connection: X-Three",
        "X-Three: 4",
        "Keep-Alive: 300",
        "Proxy-Connection: keep-alive",
        "TE: gzip",
        "Upgrade: other/1",
        "X-End: kept",
    ]);
    let response = response.expect(200);
    for name in ["x-server", "keep-alive", "proxy-connection"] {
        assert!(!response.fields.has(name), "{name}: {:?}", response.fields);
    }
    assert_eq!(response.fields.one("x-end"), Some("kept"));
    let request = origin.only_request();
    for name in ["x-one", "x-two", "x-three", "keep-alive", "proxy-connection", "upgrade"] {
        assert!(!request.fields.has(name), "{name}: {:?}", request.fields);
    }
    assert!(!request.fields.lists("te", "gzip"), "{:?}", request.fields);
    assert_eq!(request.fields.one("x-end"), Some("kept"));
}

/// Section 7.6.1: what frames a message or says where it goes is not an option of a connection.
#[test]
fn connection_cannot_take_away_what_the_message_needs() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    let connection = "Connection: Host, Content-Length, close";
    client.head(&["POST / HTTP/1.1", "Host: x", connection, "Content-Length: 3"]).send("abc");
    let response = client.response();
    if response.status == 200 {
        let request = origin.only_request();
        assert_eq!((request.fields.one("host"), request.text().as_str()), (Some("x"), "abc"));
    } else {
        assert_eq!((response.status, origin.requests().len()), (400, 0));
    }
}

/// Section 10.1.4: TE is for one connection; trailers are announced by who wants them himself.
#[test]
fn te_is_told_to_a_server_only_as_the_proxys_own() {
    let request =
        forwarded(&["GET / HTTP/1.1", "Host: x", "TE: trailers, deflate", "Connection: TE"]);
    if request.fields.has("te") {
        assert_eq!(request.fields.one("te"), Some("trailers"));
        assert!(request.fields.lists("connection", "te"), "{:?}", request.fields);
    }
}

/// Section 7.6.2: Max-Forwards of TRACE and OPTIONS counts down, and at 0 nobody further is asked.
#[test]
fn max_forwards_counts_down_and_ends_here() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    for method in ["OPTIONS", "TRACE"] {
        let line = format!("{method} / HTTP/1.1");
        let before = origin.requests().len();
        let response = scene.ask(&[&line, "Host: x", "Max-Forwards: 0"]);
        assert_eq!(origin.requests().len(), before, "{method} went on");
        assert!([200, 204, 405, 501].contains(&response.status), "{method}: {}", response.status);
        scene.ask(&[&line, "Host: x", "Max-Forwards: 5"]).expect(200);
        let request = origin.requests().pop().expect("a request");
        assert_eq!(request.fields.one("max-forwards"), Some("4"), "{method}");
    }
    // Other methods take no notice of it.
    scene.ask(&["GET / HTTP/1.1", "Host: x", "Max-Forwards: 0"]).expect(200);
}

/// Section 9.3.8: the answer to TRACE, where it ends here, is the request, without secrets.
#[test]
fn a_trace_that_ends_here_tells_no_secrets() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    let lines = ["TRACE / HTTP/1.1", "Host: x", "Max-Forwards: 0", "Cookie: a=secret"];
    let response = scene.ask(&[&lines[..], &["Authorization: Basic c2VjcmV0"]].concat());
    assert!(!response.text().contains("secret") && !response.text().contains("c2VjcmV0"));
    if response.status == 200 {
        assert_eq!(response.fields.one("content-type"), Some("message/http"));
    }
}

/// Section 7.6.3: a forwarded request tells in Via by which version and whom it was received.
#[test]
fn via_is_appended_to_requests() {
    let via = |lines: &[&str]| forwarded(lines).fields.list("via");
    assert_eq!(via(&["GET / HTTP/1.1", "Host: x"]), ["1.1 portolan"]);
    assert_eq!(via(&["GET / HTTP/1.0", "Host: x"]), ["1.0 portolan"]);
    let lines = ["GET / HTTP/1.1", "Host: x", "Via: 1.0 fred, 1.1 p.example"];
    assert_eq!(via(&lines), ["1.0 fred", "1.1 p.example", "1.1 portolan"]);
}

/// The name may be another one, or none.
#[test]
fn via_says_what_is_configured() {
    for (line, expected) in [("via = \"edge\"", &["1.1 edge"][..]), ("via = false", &[])] {
        let origin = HttpOrigin::named("ok");
        let scene = Scene::shaped(origin.address, |listen| listen.line(line));
        scene.get("/").expect(200);
        assert_eq!(origin.only_request().fields.list("via"), expected);
    }
}

/// Section 7.7: content is not transformed.
#[test]
fn content_and_what_describes_it_is_left_as_it_is() {
    let origin = HttpOrigin::answering(|_| {
        let answer = Answer::ok(b"\x1f\x8b\x08not really").field("Content-Encoding", "gzip");
        answer.field("Content-Type", "text/plain; charset=x").field("Cache-Control", "no-transform")
    });
    let scene = Scene::before(origin.address);
    let response = scene.ask(&["GET / HTTP/1.1", "Host: x", "Accept-Encoding: gzip"]).expect(200);
    assert_eq!(response.content, b"\x1f\x8b\x08not really");
    assert_eq!(response.fields.one("content-encoding"), Some("gzip"));
    assert_eq!(response.fields.one("content-type"), Some("text/plain; charset=x"));
    assert_eq!(response.fields.one("content-length"), Some("13"));
}

/// Section 7.8: without a 101 nothing changes.
#[test]
fn an_upgrade_that_is_not_taken_leaves_http() {
    let origin = HttpOrigin::answering(|_| Answer::ok("still HTTP"));
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    for _ in 0..3 {
        assert_eq!(client.head(&UPGRADE).response().expect(200).text(), "still HTTP");
    }
    assert_eq!(origin.requests().len(), 3);
}

/// Section 7.8: Upgrade in an HTTP/1.0 request is ignored.
#[test]
fn an_upgrade_by_http_1_0_is_ignored() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    let lines = ["GET / HTTP/1.0", "Host: x", "Connection: Upgrade", "Upgrade: echo/1"];
    scene.ask(&lines).expect(200);
    let request = origin.only_request();
    assert!(!request.fields.has("upgrade"), "{:?}", request.fields);
}

/// Section 7.8: an Upgrade that Connection does not name is none.
#[test]
fn an_upgrade_that_connection_does_not_name_is_ignored() {
    let request = forwarded(&["GET / HTTP/1.1", "Host: x", "Upgrade: echo/1"]);
    assert!(!request.fields.has("upgrade"), "{:?}", request.fields);
    assert!(!request.fields.lists("connection", "upgrade"), "{:?}", request.fields);
}

/// Section 15.2.2: a server must not switch to what nobody asked for.
#[test]
fn a_101_nobody_asked_for_is_a_bad_answer() {
    let switch = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: evil\r\n\r\nraw bytes";
    let origin = HttpOrigin::raw(switch, Next::Keep);
    let scene = Scene::before(origin.address);
    let response = scene.ask(&["GET / HTTP/1.1", "Host: x"]);
    assert_eq!(response.status, 502);
    origin.wait_open(0);
}

/// Section 10.1.1: a client of HTTP/1.0 knows no 100.
#[test]
fn a_client_of_http_1_0_sees_no_interim_answer() {
    let origin = HttpOrigin::scripted(|exchange| {
        exchange.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")?;
        exchange.content()?;
        exchange.answer(&Answer::ok("final"))
    });
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.head(&["PUT / HTTP/1.0", "Host: x", "Expect: 100-continue", "Content-Length: 2"]);
    assert_eq!(client.send("ok").response().expect(200).text(), "final");
}

/// Section 10.1.1: an expectation that is not understood may be answered with 417, else it passes.
#[test]
fn an_unknown_expectation_is_refused_or_passed_on() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    let status = scene.ask(&["GET / HTTP/1.1", "Host: x", "Expect: miracles"]).status;
    match origin.requests().first() {
        Some(request) => assert_eq!(request.fields.one("expect"), Some("miracles")),
        None => assert_eq!(status, 417),
    }
}

/// Section 9.1: methods are case-sensitive, and unknown ones are the server's business.
#[test]
fn unknown_methods_and_statuses_are_passed_on() {
    let origin = HttpOrigin::raw("HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok", Next::Keep);
    let scene = Scene::before(origin.address);
    for method in ["PURGE", "get", "M-SEARCH", "A!#$%&'*+-.^_`|~Z"] {
        assert_eq!(scene.ask(&[&format!("{method} / HTTP/1.1"), "Host: x"]).status, 299);
        assert_eq!(origin.requests().pop().expect("a request").method, method);
    }
}

/// Section 9.3.2: the answer to HEAD has no content, whatever the server sends.
#[test]
fn a_server_that_answers_head_with_content_confuses_nobody() {
    let origin = HttpOrigin::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")?;
        Ok(Next::Keep)
    });
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.head(&["HEAD / HTTP/1.1", "Host: x"]);
    assert!(client.response_to("HEAD").content.is_empty());
    assert_eq!(client.get("/").expect(200).text(), "evil");
}

/// Section 5.5: blanks around a value do not belong to it.
#[test]
fn blanks_around_values_do_not_matter() {
    let lines = ["POST / HTTP/1.1", "Host:   x  ", "Content-Length:\t 0 ", "A: \t b c\t ", "B:"];
    let request = forwarded(&lines);
    assert_eq!(request.fields.one("host"), Some("x"));
    assert_eq!((request.fields.one("a"), request.fields.one("b")), (Some("b c"), Some("")));
}

/// Section 15.6.3: a response that cannot be understood is a 502.
#[test]
fn a_server_that_does_not_speak_http_is_a_bad_gateway() {
    for bytes in ["SSH-2.0-OpenSSH_9.2\r\n", "220 smtp ready\r\n\r\n", "\0\0\0\0", ""] {
        let origin = HttpOrigin::raw(bytes, Next::Close);
        let scene = Scene::before(origin.address);
        let response = scene.get("/");
        assert_eq!(response.status, 502, "{bytes:?}");
    }
}

/// Section 15.6.4: nobody to ask is a 503.
#[test]
fn without_a_server_the_service_is_unavailable() {
    let nobody = portolan_tests::address::free();
    let scene = Scene::shaped(nobody, |listen| listen.line("retries = 0"));
    let response = scene.get("/");
    assert_eq!(response.status, 503);
    assert!(response.fields.has("date"), "{:?}", response.fields);
    let scene = Scene::alone(|listen| listen);
    assert_eq!(scene.get("/").status, 503);
}

/// Section 7.8 and the tunnel's end: what one side said last still arrives.
#[test]
fn the_last_words_in_a_tunnel_arrive() {
    let origin = HttpOrigin::scripted(|exchange| {
        exchange.send("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\nfirst")?;
        let (stream, mut request) = exchange.stream();
        stream.read_to_end(&mut request)?;
        exchange.send(format!("and {} bytes", request.len()))?;
        Ok(Next::Close)
    });
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    assert_eq!(client.head(&UPGRADE).response().status, 101);
    client.send(vec![b'x'; 1_000_000]);
    client.stream().end_sending().expect("an end");
    assert_eq!(client.rest(), b"firstand 1000000 bytes");
}

/// A client that closes in a tunnel is seen by the server, and the reverse.
#[test]
fn the_end_of_a_tunnel_is_passed_on() {
    let origin = upgrading();
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    assert_eq!(client.head(&UPGRADE).response().status, 101);
    drop(client);
    origin.wait_open(0);
    let closing = HttpOrigin::raw(
        "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n",
        Next::Reset,
    );
    let scene = Scene::before(closing.address);
    let mut client = scene.client();
    client.head(&UPGRADE);
    match client.try_response("GET") {
        Ok(response) => assert!([101, 502].contains(&response.status)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    client.expect_closed();
}

/// While a tunnel stands, other requests are not disturbed, nor is its server connection used again.
#[test]
fn a_tunnels_connection_serves_nothing_else() {
    let origin = upgrading();
    let scene = Scene::before(origin.address);
    let mut tunnel = scene.client();
    assert_eq!(tunnel.head(&UPGRADE).response().status, 101);
    let mut client = scene.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").expect(200).text(), "no upgrade");
    }
    let (mut stream, _) = tunnel.into_parts();
    stream.expect_echo(b"undisturbed");
    let connections: Vec<usize> = origin.requests().iter().map(|one| one.connection).collect();
    assert!(connections[1..].iter().all(|one| *one != connections[0]), "{connections:?}");
    drop(stream);
    deadline::until("the tunnel's end", || origin.open() <= 1);
    deadline::pause(Duration::from_millis(10));
    assert_eq!(client.get("/").expect(200).text(), "no upgrade");
}
