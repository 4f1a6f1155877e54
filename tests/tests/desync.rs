//! Promise: what could be read in two ways is refused, or made harmless where the RFCs allow that: no
//! input makes a server see a request that its client did not make, or a client an answer that was not
//! its own.

use std::io::ErrorKind;
use std::net::SocketAddr;

use portolan_tests::http::lax::{LaxOrigin, TASTES, Taste};
use portolan_tests::http::{Next, Response, Scene, client};
use portolan_tests::origin::Gate;
use portolan_tests::{HttpClient, HttpOrigin};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// A request with these lines behind its Host, and content.
fn post(fields: &str, content: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{content}")
}

/// A chunked request with these chunks.
fn chunked(chunks: &str) -> String {
    post("Transfer-Encoding: chunked", chunks)
}

/// What has to be refused before anything of it reaches a server: RFC 9112, sections 2.2, 3, 3.2, 5.1,
/// 5.2, 6.1, 6.3, and RFC 9110, section 5.5.
fn refused() -> Vec<String> {
    let long = "f".repeat(17);
    let mut inputs: Vec<String> = [
        // A length that is none, or is not known.
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 0x1",
        "Content-Length: 1 1",
        "Content-Length: 1;",
        "Content-Length:",
        "Content-Length: ",
        "Content-Length: 1.0",
        "Content-Length: 1e1",
        "Content-Length: \u{b2}",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1, 2",
        "Content-Length: 2\r\nContent-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1,",
        // Names that some take for others.
        "Content-Length : 1",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "\tContent-Length: 1",
        "Transfer-Encoding\0: chunked",
        "Content-Length\u{b}: 1",
        "(Transfer-Encoding): chunked",
        "Transfer Encoding: chunked",
        ": value",
        "no colon",
        // Codings that are not exactly one `chunked`, in the end.
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;x=y",
        "Transfer-Encoding: cow",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding: chunked \u{7f}",
        "Transfer-Encoding:",
        "Transfer-Encoding: ,",
        // Folded fields.
        "A: b\r\n c",
        "A: b\r\n\tContent-Length: 1",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: chun\r\n ked",
        // Line ends and control characters.
        "A: b\rContent-Length: 1",
        "A: b\r\r\nContent-Length: 1",
        "A: b\0c",
        "A: b\nContent-Length: 1",
        "A: b\r\n\rContent-Length: 1",
    ]
    .into_iter()
    .map(|fields| post(fields, ""))
    .collect();
    // Request lines.
    for line in [
        "POST  /p HTTP/1.1",
        "POST /p  HTTP/1.1",
        "POST /p HTTP/1.1 ",
        " POST /p HTTP/1.1",
        "POST\t/p\tHTTP/1.1",
        "POST /p\u{b}HTTP/1.1",
        "POST /p HTTP/1.1 x",
        "POST /p x HTTP/1.1",
        "POST /p",
        "POST /p HTTP/1.10",
        "POST /p HTTP/11",
        "POST /p HTTP/1.",
        "POST /p http/1.1",
        "POST /p HTTP/ 1.1",
        "POST /p\0 HTTP/1.1",
        "POST /p\u{7f} HTTP/1.1",
        "POST /\u{1}p HTTP/1.1",
        "POST(x) /p HTTP/1.1",
        "PO\0ST /p HTTP/1.1",
        "POST p HTTP/1.1",
        "POST \\p HTTP/1.1",
        "POST HTTP/1.1",
        "POST /p\rHTTP/1.1",
    ] {
        inputs.push(format!("{line}\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
    }
    // HTTP/1.0 knows no transfer codings: RFC 9112, section 6.1.
    inputs.push(chunked("0\r\n\r\n").replacen("HTTP/1.1", "HTTP/1.0", 1));
    // Bare LF.
    inputs.push("POST /p HTTP/1.1\nHost: x\n\n".to_owned());
    inputs.push("POST /p HTTP/1.1\r\nHost: x\nContent-Length: 0\r\n\r\n".to_owned());
    inputs.push("POST /p HTTP/1.1\r\nHost: x\r\n\nContent-Length: 0\r\n\r\n".to_owned());
    inputs.push("POST /p HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n".to_owned());
    inputs.push(post(&format!("Content-Length: {long}"), ""));
    inputs
}

/// What is refused once it is reached, when the head has already gone on: RFC 9112, section 7.1.
fn broken_chunks() -> Vec<String> {
    [
        "x\r\n",
        "\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3\r\nabc\r0\r\n\r\n",
        "3;a\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "3;\0\r\nabc\r\n0\r\n\r\n",
        "3,a\r\nabc\r\n0\r\n\r\n",
        "3\0\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\r\nA: b\n\r\n",
        "3\r\nabc\r\n0\r\nA : b\r\n\r\n",
        "3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n",
        "3\r\nabc\r\n0\r\nno colon\r\n\r\n",
        "3\r\nabc\r\n0\r\nA: \0\r\n\r\n",
        "3\r\nabc\r\n0\r\nA: b\rc\r\n\r\n",
    ]
    .into_iter()
    .map(chunked)
    .collect()
}

/// Ambiguous, but may be made harmless: the client is served at most one answer per request that the
/// server saw, then closed or gone on with in step.
fn harmless() -> Vec<String> {
    let both = |content: &str| post("Content-Length: 6\r\nTransfer-Encoding: chunked", content);
    vec![
        // RFC 9112, section 6.3: the length is dropped, and the connection closed afterwards.
        both("0\r\n\r\n"),
        both(&format!("0\r\n\r\nX{SMUGGLED}")),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
        // The same length twice may be taken as one.
        post("Content-Length: 3\r\nContent-Length: 3", "abc"),
        post("Content-Length: 3, 3", "abc"),
        post("Content-Length: 003", "abc"),
        // The case of letters does not matter.
        post("transfer-ENCODING: CHUNKED", "0\r\n\r\n"),
        post("Transfer-Encoding: , chunked", "0\r\n\r\n"),
        post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
        // Names that only look alike.
        post("Content_Length: 50", ""),
        post("Transfer_Encoding: chunked", ""),
        post("X-Transfer-Encoding: chunked", ""),
        post("Content-Length: 3\r\nConnection: Content-Length", "abc"),
        post("Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding", "0\r\n\r\n"),
        post("Host: x", ""),
        // Content where it is unusual.
        format!(
            "GET /p HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
            SMUGGLED.len()
        ),
        format!(
            "GET /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n",
            SMUGGLED.len()
        ),
        format!(
            "HEAD /p HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
            SMUGGLED.len()
        ),
        // Extensions and sizes that are odd but allowed.
        chunked(&format!("{:x};a=\"{}\"\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len(), "\u{e9}")),
        chunked(&format!("00000{:X}\r\n{SMUGGLED}\r\n000\r\n\r\n", SMUGGLED.len())),
        chunked(&format!("{:x} ; a\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len())),
        chunked(&format!("{:x} \r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len())),
        chunked("0\r\nTransfer-Encoding: chunked\r\nContent-Length: 50\r\nHost: y\r\n\r\n"),
        // HTTP/1.0 without a length, with what would be a second request behind it.
        format!("POST /p HTTP/1.0\r\n\r\n{SMUGGLED}"),
    ]
}

/// Before this server; who ends sending behind its request still gets an answer.
fn before(server: SocketAddr) -> Scene {
    Scene::shaped(server, |listen| listen.line("abortonclose = false"))
}

/// Sends this and ends; everything that comes back.
fn answers(client: &mut HttpClient, input: &str) -> Vec<Response> {
    // Characters stand for bytes.
    let bytes: Vec<u8> = input.chars().map(|one| one as u32 as u8).collect();
    // Refused early, it may be closed before all is sent.
    let _ = client.try_send(bytes);
    let _ = client.stream().end_sending();
    let method = input.split(' ').next().unwrap_or_default();
    let mut answers = Vec::new();
    loop {
        match client.try_response(if answers.is_empty() { method } else { "GET" }) {
            Ok(answer) if answer.status < 200 => {}
            Ok(answer) => answers.push(answer),
            Err(error) => {
                assert_ne!(
                    error.kind(),
                    ErrorKind::WouldBlock,
                    "neither answer nor end: {input:?}"
                );
                assert_ne!(error.kind(), ErrorKind::InvalidData, "{input:?}: {error}");
                return answers;
            }
        }
    }
}

#[test]
fn what_must_be_refused_is_refused_and_no_server_sees_anything() {
    let origin = HttpOrigin::named("one");
    let scene = before(origin.address);
    let mut findings = Vec::new();
    for input in refused() {
        // With a request behind it that must not be taken for one.
        let mut client = scene.client();
        let answers = answers(&mut client, &(input.clone() + SMUGGLED));
        let statuses: Vec<u16> = answers.iter().map(|one| one.status).collect();
        if !matches!(statuses[..], [400 | 501 | 505]) {
            findings.push(format!("{input:?}: {statuses:?}"));
        }
        if let Some(answer) = answers.first().filter(|answer| answer.keeps()) {
            findings.push(format!("{input:?}: not closed: {:?}", answer.fields));
        }
        if origin.bytes().iter().any(|bytes| !bytes.is_empty()) {
            findings.push(format!("{input:?}: reached the server: {:?}", origin.bytes()));
            break;
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn broken_chunks_end_the_connection_and_complete_no_request() {
    let origin = HttpOrigin::named("one");
    let scene = before(origin.address);
    let mut findings = Vec::new();
    for input in broken_chunks() {
        let mut client = scene.client();
        let answers = answers(&mut client, &(input.clone() + SMUGGLED));
        let statuses: Vec<u16> = answers.iter().map(|one| one.status).collect();
        if !matches!(statuses[..], [] | [400]) {
            findings.push(format!("{input:?}: {statuses:?}"));
        }
        let complete: Vec<_> = origin.requests().into_iter().filter(|one| one.complete).collect();
        if !complete.is_empty() {
            findings.push(format!("{input:?}: reached the server: {complete:?}"));
            break;
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn what_may_be_made_harmless_is_one_request_to_a_strict_server() {
    let origin = HttpOrigin::named("one");
    let scene = before(origin.address);
    let mut findings = Vec::new();
    for input in harmless() {
        let before = origin.requests().len();
        let answers = answers(&mut scene.client(), &input);
        let statuses: Vec<u16> = answers.iter().map(|one| one.status).collect();
        let requests: Vec<_> =
            origin.requests()[before..].iter().map(|one| one.target.clone()).collect();
        let fine = match requests.len() {
            0 => matches!(statuses[..], [400 | 501]),
            1 => requests[0] == "/p" && matches!(statuses[..], [200] | [200, 400]),
            _ => false,
        };
        if !fine {
            findings.push(format!("{input:?}: {statuses:?}, at the server {requests:?}"));
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn both_lengths_end_the_connection() {
    let origin = HttpOrigin::named("one");
    let scene = before(origin.address);
    let mut client = scene.client();
    client.send(post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"));
    let response = client.response();
    assert!([200, 400].contains(&response.status));
    assert!(!response.keeps(), "{:?}", response.fields);
    client.expect_closed();
}

#[test]
fn lax_servers_see_no_request_that_nobody_made() {
    let mut findings = Vec::new();
    for taste in TASTES {
        let origin = LaxOrigin::new(taste);
        let scene = before(origin.address);
        for input in refused().into_iter().chain(broken_chunks()).chain(harmless()) {
            let before = origin.lines().len();
            let answers = answers(&mut scene.client(), &(input.clone() + SMUGGLED));
            let lines = &origin.lines()[before..];
            let served = answers.iter().filter(|one| one.status == 200).count();
            // Where the first request is whole, the second is one too, made by this client.
            let odd = lines.iter().any(|line| {
                let target = line.split(' ').nth(1).unwrap_or_default();
                !["/p", "/smuggled"].contains(&target)
            });
            if odd || lines.len() > served + 1 || lines.len() > 2 {
                findings.push(format!("{taste:?} {input:?}: {lines:?}, {served} answers"));
            }
        }
        // And it still serves in step.
        for n in 0..3 {
            assert_eq!(scene.get(&format!("/{n}")).expect(200).text(), "lax");
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Names with underscores, which some servers take for dashes, may be kept from them.
#[test]
fn names_that_are_taken_for_others_can_be_deleted_or_refused() {
    for (line, statuses) in [
        ("http_restrict_req_hdr_names = \"delete\"", &[200, 200][..]),
        ("http_restrict_req_hdr_names = \"reject\"", &[403]),
    ] {
        let origin = LaxOrigin::new(Taste::Underscores);
        let scene =
            Scene::shaped(origin.address, |listen| listen.line(line).line("abortonclose = false"));
        let input = post("Content_Length: 36", SMUGGLED);
        let served = answers(&mut scene.client(), &input);
        let served: Vec<u16> = served.iter().map(|one| one.status).collect();
        // Refused, the connection may go on with the next request.
        assert!(served.starts_with(statuses), "{line}: {served:?}");
        assert!(origin.lines().len() <= served.len(), "{line}: {:?}", origin.lines());
    }
}

/// Every pair of framing fields, as one of them might be overlooked.
#[test]
fn pairs_of_framing_fields_never_make_two_requests_of_one() {
    let spellings = [
        "Content-Length: 0",
        "Content-Length: 40",
        "content-length: 5",
        "Content-Length: 5, 5",
        "Content_Length: 40",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: Chunked ",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer_Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Connection: Transfer-Encoding",
        "Connection: Content-Length",
    ];
    let strict = HttpOrigin::named("one");
    let lax = TASTES.map(LaxOrigin::new);
    let mut scenes = vec![before(strict.address)];
    scenes.extend(lax.iter().map(|origin| before(origin.address)));
    let mut findings = Vec::new();
    for first in spellings {
        for second in spellings {
            let content = format!("0\r\n\r\n{SMUGGLED}");
            let input = post(&format!("{first}\r\n{second}"), &content);
            for (n, scene) in scenes.iter().enumerate() {
                let count = || match n {
                    0 => strict.requests().len(),
                    n => lax[n - 1].lines().len(),
                };
                let before = count();
                let served = answers(&mut scene.client(), &input);
                let served = served.iter().filter(|one| one.status == 200).count();
                // One more may have been under way when something was refused.
                if count() - before > served + 1 {
                    findings.push(format!("{input:?} at {n}: {} for {served}", count() - before));
                }
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

/// What a server must not say: RFC 9112, sections 4, 5.1, 5.2, 6.1, 6.3, and RFC 9110, section 5.5.
#[test]
fn what_a_server_must_not_say_is_a_bad_gateway_and_the_last_it_says() {
    let ok = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nabc");
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let mut findings = Vec::new();
    for bytes in [
        ok("Content-Length: -1"),
        ok("Content-Length: +3"),
        ok("Content-Length: 3\r\nContent-Length: 4"),
        ok("Content-Length: 3, 4"),
        ok("Content-Length: 0x3"),
        ok("Content-Length: 18446744073709551616"),
        ok("Content-Length: 3\r\n\0: b"),
        ok("Content-Length: 3\r\nA: \0"),
        ok("Content-Length: 3\r\nA: b\rc"),
        ok("Content-Length: 3\r\n: b"),
        ok("Content-Length: 3\r\nno colon"),
        "HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "HTTP/1.1 2000 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "HTTP/1.1 2x0 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "HTTP/1.1 099 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "HTTP/1.1200 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        " HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "ICY 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "HTTP/1.1 200 O\0K\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
    ] {
        let origin = HttpOrigin::raw(bytes.clone() + evil, Next::Keep);
        let scene = before(origin.address);
        let mut client = scene.client();
        client.head(&["GET /1 HTTP/1.1", "Host: x"]);
        match client.try_response("GET") {
            Ok(response) if response.status == 502 => {}
            other => findings.push(format!("{bytes:?}: {other:?}")),
        }
        origin.wait_open(0);
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

/// RFC 9112, sections 5.1, 5.2 and 6.3: what a proxy may put right in a response, or refuse.
#[test]
fn what_may_be_put_right_in_an_answer_is_or_is_refused() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let mut findings = Vec::new();
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let origin = HttpOrigin::raw(bytes.to_owned() + evil, Next::Keep);
        let scene = before(origin.address);
        let mut client = scene.client();
        for _ in 0..2 {
            client.head(&["GET / HTTP/1.1", "Host: x"]);
            match client.try_response("GET") {
                Ok(response) if response.status == 502 || response.text() == "abc" => {
                    if !response.keeps() {
                        break;
                    }
                }
                other => findings.push(format!("{bytes:?}: {other:?}")),
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

/// RFC 9112, section 7.1: also in responses; the client must notice.
#[test]
fn broken_chunks_of_a_server_complete_no_answer() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let mut findings = Vec::new();
    for input in broken_chunks() {
        let chunks = input.split_once("\r\n\r\n").expect("a head").1;
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let origin = HttpOrigin::raw(format!("{head}{chunks}{evil}"), Next::Keep);
        let scene = before(origin.address);
        let mut client = scene.client();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        match client.try_response("GET") {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Ok(response) if response.status == 502 => {}
            other => findings.push(format!("{chunks:?}: {other:?}")),
        }
        origin.wait_open(0);
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

/// An answer before the request's end: what is left of the content must not become a request.
#[test]
fn an_early_answer_turns_no_content_into_a_request() {
    let gate = Gate::default();
    let origin = HttpOrigin::scripted({
        let gate = gate.clone();
        move |exchange| {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")?;
            exchange.pass(&gate);
            exchange.content()?;
            Ok(Next::Keep)
        }
    });
    let scene = before(origin.address);
    let mut client = scene.client();
    let content = SMUGGLED.repeat(3);
    client.head(&["POST /p HTTP/1.1", "Host: x", &format!("Content-Length: {}", content.len())]);
    assert_eq!(client.response().expect(200).text(), "early");
    gate.open(100);
    // The connection goes on in step, or it ends.
    let _ = client.try_send(&content);
    let _ = client.try_send(client::head(&["GET /next HTTP/1.1", "Host: x"]));
    if let Ok(response) = client.try_response("GET") {
        assert_eq!(response.expect(200).text(), "early");
    }
    let targets: Vec<String> = origin.requests().into_iter().map(|one| one.target).collect();
    assert!(targets.iter().all(|one| ["/p", "/next"].contains(&one.as_str())), "{targets:?}");
    // A server connection with an unfinished request serves nobody else.
    for n in 0..3 {
        assert_eq!(scene.get(&format!("/{n}")).expect(200).text(), "early");
    }
    let targets: Vec<String> = origin.requests().into_iter().map(|one| one.target).collect();
    assert!(!targets.iter().any(|one| one == "/smuggled"), "{targets:?}");
}
