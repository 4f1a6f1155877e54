//! Promise: the HTTP peers of these tests see what there is: the strict ones refuse what is ambiguous,
//! the lax ones are fooled by it, and what goes wrong on a connection is told as what it was.

use std::io::ErrorKind;
use std::time::Duration;

use portolan_tests::http::lax::{LaxOrigin, Taste};
use portolan_tests::http::{Answer, Framing, Next, client, websocket};
use portolan_tests::origin::Ending;
use portolan_tests::{HttpClient, HttpOrigin, deadline};

#[test]
fn an_exchange_is_seen_on_both_sides() {
    let origin = HttpOrigin::answering(|request| Answer::ok(&request.content).field("A", "b"));
    let mut client = HttpClient::to(origin.address);
    let response = client.post("/x?y", "hello").expect(200);
    assert_eq!((response.text().as_str(), response.fields.one("a")), ("hello", Some("b")));
    assert_eq!(client.get("/second").expect(200).text(), "");
    let requests = origin.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].method.as_str(), requests[0].target.as_str()), ("POST", "/x?y"));
    assert_eq!(requests[0].text(), "hello");
    assert_eq!((requests[1].connection, requests[1].number), (0, 1));
    assert!(origin.bytes()[0].contains("\r\n\r\nhelloGET /second"));
    assert_eq!(origin.accepted(), 1);
}

#[test]
fn every_framing_of_an_answer_is_understood() {
    for (answer, framing) in [
        (Answer::ok("abc"), Framing::Length(3)),
        (Answer::chunked(&["a", "bc"]).trailer("T", "1"), Framing::Chunked),
        (Answer::until_close("abc"), Framing::UntilEnd),
    ] {
        let origin = HttpOrigin::answering(move |_| answer.clone());
        let response = client::get(origin.address, "/").expect(200);
        assert_eq!((response.text().as_str(), response.framing), ("abc", framing));
        let trailer = response.trailers.one("t");
        assert_eq!(trailer.is_some(), framing == Framing::Chunked);
    }
}

#[test]
fn requests_in_a_row_and_interim_answers_are_told_apart() {
    let origin = HttpOrigin::scripted(|exchange| {
        exchange.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")?;
        let answer = Answer::ok(exchange.request.target.clone());
        exchange.answer(&answer)
    });
    let mut client = HttpClient::to(origin.address);
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    for target in ["/1", "/2"] {
        assert_eq!(client.response().status, 103);
        assert_eq!(client.response().expect(200).text(), target);
    }
}

#[test]
fn a_request_that_ends_early_stays_in_the_record_as_incomplete() {
    let origin = HttpOrigin::echo();
    let mut client = HttpClient::to(origin.address);
    client.head(&["POST / HTTP/1.1", "Host: x", "Content-Length: 9"]).send("abc");
    origin.wait_heads(1);
    drop(client);
    origin.wait_ending();
    let requests = origin.requests();
    assert_eq!((requests[0].text().as_str(), requests[0].complete), ("abc", false));
}

#[test]
fn an_answer_that_ends_early_is_told_from_a_whole_one() {
    let cut = ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "HTTP/1.1 200", ""];
    for bytes in cut {
        let origin = HttpOrigin::raw(bytes, Next::Close);
        let mut client = HttpClient::to(origin.address);
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        let error = client.try_response("GET").expect_err("an early end");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{bytes:?}");
    }
    let origin = HttpOrigin::raw("HTTP/1.1 200 OK\r\n", Next::Reset);
    let mut client = HttpClient::to(origin.address);
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    assert_eq!(client.try_response("GET").expect_err("a RST").kind(), ErrorKind::ConnectionReset);
}

#[test]
fn who_waits_at_a_gate_is_let_through_one_by_one() {
    let (origin, gate) = HttpOrigin::gated();
    let mut client = HttpClient::to(origin.address);
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    origin.wait_requests(1);
    client.expect_silence(Duration::from_millis(50));
    gate.open(1);
    assert_eq!(client.response().expect(200).text(), "done");
}

#[test]
fn a_client_that_leaves_is_noticed_by_who_does_not_answer() {
    let origin = HttpOrigin::mute();
    let mut client = HttpClient::to(origin.address);
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    origin.wait_requests(1);
    drop(client);
    assert_eq!(origin.wait_ending(), Ending::Orderly);
    deadline::until("no connection", || origin.open() == 0);
}

#[test]
fn a_lax_origin_is_fooled_by_what_is_ambiguous() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let ask = |taste: Taste, fields: &str, content: &str| {
        let origin = LaxOrigin::new(taste);
        let mut client = HttpClient::to(origin.address);
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{content}"));
        client.stream().end_sending().expect("an end");
        client.rest();
        origin.lines()
    };
    let both = "Content-Length: 1\r\nTransfer-Encoding: xchunked";
    let all_chunked = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    // The proxy's view would be one request of either kind.
    let lines = ask(Taste::FirstLength, both, &format!("x{smuggled}"));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(ask(Taste::Chunked, both, &all_chunked).len(), 1);
    let two = format!("Content-Length: {}\r\nContent-Length: 0", smuggled.len());
    assert_eq!(ask(Taste::FirstLength, &two, smuggled).len(), 1);
    assert_eq!(ask(Taste::LastLength, &two, smuggled).len(), 2);
    let bare = "POST / HTTP/1.1\nHost: x\n\nGET /smuggled HTTP/1.1";
    let origin = LaxOrigin::new(Taste::FirstLength);
    let mut client = HttpClient::to(origin.address);
    client.send(bare);
    client.stream().end_sending().expect("an end");
    client.rest();
    assert_eq!(origin.lines().len(), 1, "{:?}", origin.lines());
}

#[test]
fn websockets_carry_messages_both_ways() {
    let origin = websocket::echo();
    let mut socket = websocket::connect(origin.address, "/chat");
    for text in ["one", "two", "three"] {
        websocket::expect_echo(&mut socket, text);
    }
    websocket::close(socket);
    assert_eq!(origin.wait_ending(), Ending::Orderly);
}

#[test]
#[should_panic(expected = "the origin refused")]
fn a_strict_origin_that_had_to_refuse_fails_its_test() {
    let origin = HttpOrigin::named("one");
    let lines = ["GET / HTTP/1.1", "Host: x", "Content-Length: 1", "Transfer-Encoding: chunked"];
    let status = client::ask(origin.address, &lines).status;
    assert_eq!(status, 400);
    assert_eq!(origin.refusals().len(), 1);
    drop(origin);
}
