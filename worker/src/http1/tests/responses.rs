//! Responses that are understood, one test for each rule of RFC 9110 and RFC 9112 that a head alone can
//! follow.

use super::super::write::{Persistence, reason};
use super::*;

fn asked(method: Method) -> Asked {
    Asked { method, upgrade: false }
}

fn framing(text: &str, method: Method) -> Framing {
    valid_response(text, asked(method)).0.framing
}

/// RFC 9112 section 6.3, items 1 and 2.
#[test]
fn some_responses_never_have_content() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(framing(text, Method::Head), Framing::None);
    assert_eq!(framing(text, Method::Connect), Framing::None);
    assert_eq!(framing(&text.replace("200", "304"), Method::Get), Framing::None);
    assert_eq!(framing(&text.replace("200", "204"), Method::Get), Framing::None);
    assert_eq!(framing("HTTP/1.1 100 Continue\r\n\r\n", Method::Get), Framing::None);
    // A refused tunnel is an ordinary response.
    assert_eq!(framing(&text.replace("200", "407"), Method::Connect), Framing::Length(5));
}

/// RFC 9112 section 6.3, items 4 to 8.
#[test]
fn other_responses_end_by_coding_length_or_close() {
    let of = |lines: &str| framing(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), Method::Get);
    assert_eq!(of("Transfer-Encoding: chunked\r\n"), Framing::Chunked);
    assert_eq!(of("Content-Length: 5\r\n"), Framing::Length(5));
    assert_eq!(of("Content-Length: 5\r\nContent-Length: 5\r\n"), Framing::Length(5));
    assert_eq!(of(""), Framing::UntilClose);
    assert_eq!(framing("HTTP/1.0 200 OK\r\n\r\n", Method::Get), Framing::UntilClose);
}

/// RFC 9110 section 8.6: the length in a response to HEAD or in a 304 is that of the content that is not
/// sent; there is none in 1xx, 204 and the answer that opens a tunnel.
#[test]
fn a_length_without_content_is_forwarded_where_it_means_something() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: 1\r\n\r\n";
    assert_eq!(returned(text, asked(Method::Head)), text);
    let other = text.replace("200 OK", "304 Not Modified");
    assert_eq!(returned(&other, GET), other);
    assert_eq!(returned(text, asked(Method::Connect)), "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n");
    assert!(!returned(&text.replace("200", "204"), GET).contains("Length"));
}

/// RFC 9110 section 9.3.6: "A client MUST ignore any Content-Length or Transfer-Encoding header fields
/// received in a successful response to CONNECT."
#[test]
fn what_a_tunnels_answer_says_about_content_is_ignored() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(returned(text, asked(Method::Connect)), "HTTP/1.1 200 OK\r\n\r\n");
}

/// A server that announces content with a 204 may send it; the connection is not used again.
#[test]
fn a_connection_with_doubtful_content_is_not_kept() {
    let kept = |text: &str| valid_response(text, GET).0.keep_alive;
    assert!(kept("HTTP/1.1 204 No Content\r\n\r\n"));
    assert!(kept("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"));
    assert!(!kept("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"));
    assert!(!kept("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"));
}

/// RFC 9112 section 9.3.
#[test]
fn a_servers_connection_is_kept_as_version_and_options_say() {
    let kept = |version: &str, lines: &str| {
        let text = format!("HTTP/{version} 200 OK\r\n{lines}\r\n");
        valid_response(&text, GET).0.keep_alive
    };
    assert!(kept("1.1", "Content-Length: 0\r\n"));
    assert!(!kept("1.1", ""));
    assert!(!kept("1.1", "Content-Length: 0\r\nConnection: close\r\n"));
    assert!(!kept("1.0", "Content-Length: 0\r\n"));
    assert!(kept("1.0", "Content-Length: 0\r\nConnection: Keep-Alive\r\n"));
}

/// RFC 9112 section 5.1: "A proxy MUST remove any such whitespace from a response message before
/// forwarding the message downstream."
#[test]
fn blanks_before_the_colon_of_a_servers_field_are_removed() {
    let text = "HTTP/1.1 200 OK\r\nX-A \t : 1\r\nContent-Length : 5\r\n\r\n";
    assert_eq!(returned(text, GET), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\n");
}

/// RFC 9110 section 6.2, and RFC 9112 section 4: the reason may be empty, its space must be sent.
#[test]
fn a_status_line_goes_on_in_our_version_with_its_reason() {
    assert_eq!(
        returned("HTTP/1.0 404 Weg \u{e4}\t!\r\n\r\n", GET),
        "HTTP/1.1 404 Weg \u{e4}\t!\r\n\r\n"
    );
    assert_eq!(
        returned("HTTP/1.7 599\r\nContent-Length: 0\r\n\r\n", GET),
        "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(valid_response("HTTP/1.1 999 Odd\r\n\r\n", GET).0.status, 999);
}

/// RFC 9110 section 7.6.1.
#[test]
fn what_a_server_says_to_this_hop_goes_no_further() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-A, close\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\n\
                Upgrade: h2c\r\nX-B: 2\r\n\r\n";
    assert_eq!(returned(text, GET), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-B: 2\r\n\r\n");
}

/// RFC 9110 sections 7.8 and 15.2.2.
#[test]
fn protocols_are_switched_only_by_a_101_that_was_asked_for() {
    let text =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let wanted = Asked { method: Method::Get, upgrade: true };
    let (head, _) = valid_response(text, wanted);
    assert!(head.upgrade);
    assert_eq!(
        returned(text, wanted),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    );
    for (from, to) in [
        ("Connection: Upgrade\r\n", ""),
        ("Upgrade: websocket\r\n", ""),
        ("HTTP/1.1", "HTTP/1.0"),
        ("websocket", "h2c"),
    ] {
        let other = text.replace(from, to);
        assert_eq!(read_response(&other, wanted).err(), Some(ResponseError::Switch), "{other:?}");
    }
    // Any other status is an ordinary answer.
    let refused = text.replace("101 Switching Protocols", "200 OK");
    assert!(!valid_response(&refused, wanted).0.upgrade);
}

fn response_to(text: &str, to: &ResponseOut<'_>) -> String {
    let (head, fields) = valid_response(text, GET);
    let mut out = Vec::new();
    write::response_head(&mut out, text.as_bytes(), &head, &fields, to);
    String::from_utf8(out).expect("text")
}

const KEPT: ResponseOut<'_> = ResponseOut {
    client: Version::Http11,
    framing: Framing::Length(2),
    persistence: Persistence::KeepAlive,
    date: None,
    via: None,
};

/// RFC 9110 section 6.6.1: "A recipient with a clock that receives a response message without a Date
/// header field MUST record the time it was received and append a corresponding Date header field".
#[test]
fn a_response_without_date_gets_one() {
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let to = ResponseOut { date: Some(b"now"), ..KEPT };
    assert_eq!(response_to(text, &to), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\n\r\n");
    let dated = text.replace("OK\r\n", "OK\r\nDate: then\r\n");
    assert_eq!(response_to(&dated, &to).matches("Date").count(), 1);
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let to = ResponseOut { framing: Framing::None, ..to };
    assert_eq!(response_to(interim, &to), interim);
}

#[test]
fn a_length_is_the_one_that_is_asked_for_whatever_stands_in_the_message() {
    let text = "HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(response_to(text, &ResponseOut { framing: Framing::Length(5), ..KEPT }), text);
    let other = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: 1\r\n\r\n";
    assert_eq!(response_to(text, &KEPT), other);
    let until_close = ResponseOut { framing: Framing::UntilClose, ..KEPT };
    assert_eq!(response_to(text, &until_close), "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n");
}

/// RFC 9112 sections 7.1 and 9.3: HTTP/1.0 gets no chunks, and is told what it does not assume.
#[test]
fn each_version_of_client_is_told_what_it_does_not_assume() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let older = Version::Http10;
    let to = ResponseOut {
        client: older,
        framing: Framing::UntilClose,
        persistence: Persistence::Close,
        ..KEPT
    };
    assert_eq!(response_to(text, &to), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let kept = ResponseOut { client: older, ..KEPT };
    assert!(response_to(text, &kept).contains("\r\nConnection: keep-alive\r\n"));
    assert!(!response_to(text, &KEPT).contains("Connection"));
    let closed = ResponseOut { persistence: Persistence::Close, via: Some("portolan"), ..KEPT };
    assert!(
        response_to(text, &closed).ends_with("\r\nConnection: close\r\nVia: 1.1 portolan\r\n\r\n")
    );
}

#[test]
fn every_status_has_words() {
    assert_eq!(reason::reason(431), "Request Header Fields Too Large");
    for (status, words) in [
        (199, "Informational"),
        (299, "Successful"),
        (399, "Redirection"),
        (499, "Client Error"),
        (599, "Server Error"),
        (999, "Server Error"),
    ] {
        assert_eq!(reason::reason(status), words);
    }
}
