//! Inputs that are refused, and with which status.

use super::super::framing::FramingError as Length;
use super::*;

/// What is wrong with this request, and that it is wrong before anything follows.
fn refused(text: &str) -> RequestError {
    let mut fields = Fields::default();
    request(text.as_bytes(), &mut fields, &LIMITS, &mut Scan::default())
        .expect_err(&format!("{text:?} is accepted"))
}

#[track_caller]
fn all_refused(texts: &[&str], error: RequestError, status: u16) {
    for text in texts {
        assert_eq!(refused(text), error, "{text:?}");
    }
    assert_eq!(error.status(), status);
}

#[test]
fn what_is_no_method_is_refused_at_its_first_wrong_byte() {
    let texts =
        ["\x16\x03\x01", " GET / HTTP/1.1", "GE:T / HTTP/1.1", "\0", "{", "GET\t/ ", "SSH-2.0/"];
    all_refused(&texts, RequestError::BadMethod, 400);
}

#[test]
fn a_method_longer_than_any_is_not_implemented() {
    let text = "A".repeat(65);
    let followed = format!("{text} / HTTP/1.1\r\nHost: a\r\n\r\n");
    all_refused(&[&text, &followed], RequestError::MethodTooLong, 501);
    let text = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(64));
    assert_eq!(valid(&text).0.method, Method::Other);
}

#[test]
fn a_request_line_has_three_parts_with_one_space_between_them() {
    let texts = [
        "GET  / HTTP/1.1\r\n",
        "GET /  HTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET / x HTTP/1.1\r\n",
        "GET / HTTP/1.1\t\r\n",
        "GET\r\n",
        "GET \r\n",
    ];
    all_refused(&texts, RequestError::BadLine, 400);
}

#[test]
fn a_request_without_a_version_is_refused() {
    all_refused(&["GET /\r\n"], RequestError::NoVersion, 400);
}

#[test]
fn a_version_is_http_and_two_digits_in_capital_letters() {
    let texts = [
        "GET / http/1.1\r\n",
        "GET / HTTP/1.10\r\n",
        "GET / HTTP/11\r\n",
        "GET / HTTP/1,1\r\n",
        "GET / HTTP/1.\r\n",
        "GET / HTTPS/1.1\r\n",
        "GET / RTSP/1.0\r\n",
        "GET / HTTP/+1.1\r\n",
        "GET / \r\n",
    ];
    all_refused(&texts, RequestError::BadVersion, 400);
    let texts =
        ["GET / HTTP/2.0\r\n", "GET / HTTP/0.9\r\n", "GET / HTTP/3.1\r\n", "PRI * HTTP/2.0\r\n"];
    all_refused(&texts, RequestError::UnknownVersion, 505);
}

#[test]
fn a_target_is_visible_ascii_without_a_fragment() {
    let texts = [
        "GET /\u{e4} HTTP/1.1\r\n",
        "GET /\x7f HTTP/1.1\r\n",
        "GET /\x01 HTTP/1.1\r\n",
        "GET /\0 HTTP/1.1\r\n",
        "GET /\ta HTTP/1.1\r\n",
    ];
    all_refused(&texts, RequestError::BadTarget, 400);
    all_refused(&["GET /a#b HTTP/1.1\r\n", "GET #a HTTP/1.1\r\n"], RequestError::Fragment, 400);
}

#[test]
fn each_method_has_its_forms_of_target() {
    let texts = [
        "GET * HTTP/1.1\r\n",
        "GET a HTTP/1.1\r\n",
        "GET a.example:80 HTTP/1.1\r\n",
        "GET ftp://a/ HTTP/1.1\r\n",
        "GET http:/a HTTP/1.1\r\n",
        "OPTIONS ** HTTP/1.1\r\n",
        "OPTIONS *? HTTP/1.1\r\n",
    ];
    all_refused(&texts, RequestError::BadForm, 400);
}

#[test]
fn an_authority_is_host_and_port_without_a_user() {
    let texts = [
        "GET http:// HTTP/1.1\r\n",
        "GET http:/// HTTP/1.1\r\n",
        "GET http://?a HTTP/1.1\r\n",
        "GET http://:80/ HTTP/1.1\r\n",
        "GET http://user@a/ HTTP/1.1\r\n",
        "GET http://user:pass@a/ HTTP/1.1\r\n",
        "GET http://a:b/ HTTP/1.1\r\n",
        "GET http://a:65536/ HTTP/1.1\r\n",
        "GET http://a:80:80/ HTTP/1.1\r\n",
        "GET http://[::1/ HTTP/1.1\r\n",
        "GET http://[::1%25eth0]/ HTTP/1.1\r\n",
        "GET http://[1.2.3.4]/ HTTP/1.1\r\n",
        "GET http://[::1]a/ HTTP/1.1\r\n",
        "GET http://a%2/ HTTP/1.1\r\n",
        "GET http://a%zz/ HTTP/1.1\r\n",
        "GET http://a\\b/ HTTP/1.1\r\n",
        "CONNECT a HTTP/1.1\r\n",
        "CONNECT a: HTTP/1.1\r\n",
        "CONNECT :80 HTTP/1.1\r\n",
        "CONNECT a:0x50 HTTP/1.1\r\n",
        "CONNECT /path HTTP/1.1\r\n",
        "CONNECT * HTTP/1.1\r\n",
        "CONNECT http://a:80/ HTTP/1.1\r\n",
    ];
    all_refused(&texts, RequestError::BadAuthority, 400);
}

#[test]
fn lines_end_in_crlf_and_nothing_else() {
    let lf = RequestError::LineEnd(FieldError::BareLf);
    all_refused(&["\n", "GET / HTTP/1.1\n", "GET /\n", "GET\n", "\r\n\nGET / "], lf, 400);
    let cr = RequestError::LineEnd(FieldError::BareCr);
    all_refused(
        &["\rG", "GET / HTTP/1.1\rHost: a\r\n", "GET /\r \r\n", "G\rT", "GET / HTTP/1.1\r\r\n"],
        cr,
        400,
    );
    for (line, error) in [
        ("X: 1\n", FieldError::BareLf),
        ("X:\n", FieldError::BareLf),
        ("X\n", FieldError::BareLf),
        ("\n", FieldError::BareLf),
        ("X: 1\r\r\n", FieldError::BareCr),
        ("X: 1\rY: 2\r\n", FieldError::BareCr),
        ("X\rY: 2\r\n", FieldError::BareCr),
        ("\rX: 1\r\n", FieldError::BareCr),
    ] {
        assert_eq!(field(line), error, "{line:?}");
    }
}

/// What is wrong with this field line of a request.
fn field(line: &str) -> FieldError {
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}Y: 1\r\n\r\n");
    match refused(&text) {
        RequestError::Field(error) => error,
        other => panic!("{line:?}: {other}"),
    }
}

#[test]
fn a_field_line_is_name_colon_and_value() {
    for (line, error) in [
        (" X: 1\r\n", FieldError::Fold),
        ("\tX: 1\r\n", FieldError::Fold),
        (" \r\n", FieldError::Fold),
        ("X: 1\r\n  2\r\n", FieldError::Fold),
        ("X\r\n", FieldError::NoColon),
        ("X \r\n", FieldError::NoColon),
        (": 1\r\n", FieldError::EmptyName),
        ("X : 1\r\n", FieldError::SpaceBeforeColon),
        ("X\t: 1\r\n", FieldError::SpaceBeforeColon),
        ("X Y: 1\r\n", FieldError::BadName),
        ("X(Y): 1\r\n", FieldError::BadName),
        ("X\u{e4}: 1\r\n", FieldError::BadName),
        ("X\x01: 1\r\n", FieldError::BadName),
        ("X\0: 1\r\n", FieldError::BadName),
        ("X\x7f: 1\r\n", FieldError::BadName),
        ("Content-Length\x0b: 1\r\n", FieldError::BadName),
        ("X: \0\r\n", FieldError::BadValue),
        ("X: a\x0bb\r\n", FieldError::BadValue),
        ("X: a\x7fb\r\n", FieldError::BadValue),
        ("X:\x1f\r\n", FieldError::BadValue),
    ] {
        assert_eq!(field(line), error, "{line:?}");
    }
}

#[test]
fn whatever_a_name_is_made_of_its_bytes_are_a_tokens() {
    for byte in 0..=127_u8 {
        let line = format!("a{}b: 1\r\n", byte as char);
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n");
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        // `a:b: 1` is a field `a`.
        assert_eq!(read(text.as_bytes()).is_ok(), token || byte == b':', "{byte}");
    }
}

#[test]
fn a_request_has_one_valid_host() {
    all_refused(
        &["GET / HTTP/1.1\r\n\r\n", "GET http://a/ HTTP/1.1\r\n\r\n"],
        RequestError::NoHost,
        400,
    );
    let texts = [
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nhOST: b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost:\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    ];
    all_refused(&texts, RequestError::HostRepeated, 400);
    for host in [
        "a b", "a/b", "a@b", "a:b", ":80", "a:80:80", "[::1", "::1", "a:99999", "a\tb", "a\u{e4}",
        "a%2g", "http://a", "a?b", "a\"b", "[::1]:x", "[v1.a]", "a\\b", "<a>",
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(refused(&text), RequestError::BadHost, "{host:?}");
    }
}

/// What is wrong with these lines about a content's end.
fn framed(lines: &str) -> RequestError {
    refused(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

#[test]
fn a_length_is_digits_only_and_said_once() {
    let long = format!("Content-Length: {}\r\n", "9".repeat(40));
    for line in [
        "Content-Length:\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5;\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: ,5\r\n",
        "Content-Length: 5,,5\r\n",
        "Content-Length: \"5\"\r\n",
        "Content-Length: 5\u{a0}\r\n",
        "Content-Length: \u{665}\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Content-Length: 5\r\nContent-Length:\r\n",
        &long,
    ] {
        assert_eq!(framed(line), RequestError::Framing(Length::BadLength), "{line:?}");
    }
    for line in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "content-length: 5\r\nX: 1\r\nCONTENT-LENGTH: 0\r\n",
    ] {
        assert_eq!(framed(line), RequestError::Framing(Length::LengthsDiffer), "{line:?}");
    }
}

#[test]
fn the_only_transfer_coding_is_one_chunked() {
    for line in [
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: , chunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: chunked chunked\r\n",
        "Transfer-Encoding: 'chunked'\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n",
        "Transfer-Encoding: chunk\u{e9}d\r\n",
        "Transfer-Encoding: chunked\u{a0}\r\n",
        "Transfer-Encoding: gzip;x, chunked\r\n",
    ] {
        assert_eq!(framed(line), RequestError::Framing(Length::BadCoding), "{line:?}");
    }
    for line in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: x-y , CHUNKED\r\n",
    ] {
        let error = framed(line);
        assert_eq!(error, RequestError::Framing(Length::UnknownCoding), "{line:?}");
        assert_eq!(error.status(), 501);
    }
    for line in ["Transfer-Encoding: chunked\x0b\r\n", "Transfer-Encoding: \x0cchunked\r\n"] {
        assert_eq!(framed(line), RequestError::Field(FieldError::BadValue), "{line:?}");
    }
}

#[test]
fn a_length_beside_a_coding_is_refused() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: x\r\nContent-Length: 0\r\n",
    ] {
        assert_eq!(framed(lines), RequestError::Framing(Length::LengthAndCoding), "{lines:?}");
    }
}

#[test]
fn a_coding_in_http_1_0_is_refused() {
    let text = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    all_refused(&[text], RequestError::Framing(Length::CodingInHttp10), 400);
}

#[test]
fn content_where_none_is_meant_is_refused() {
    for method in ["GET", "HEAD", "DELETE"] {
        let text = format!("{method} / HTTP/1.0\r\nContent-Length: 5\r\n\r\n");
        all_refused(&[&text], RequestError::ContentInHttp10, 413);
        assert_eq!(valid(&text.replace("1.0", "1.1\r\nHost: a")).0.framing, Framing::Length(5));
        assert_eq!(valid(&text.replace('5', "0")).0.framing, Framing::Length(0));
    }
    let texts = [
        "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\n",
    ];
    all_refused(&texts, RequestError::Content, 400);
}

#[test]
fn the_only_expectation_is_100_continue() {
    for value in ["x", "100-continue, x", "100-continue=1", "", "100-continue,"] {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: {value}\r\n\r\n");
        all_refused(&[&text], RequestError::Expectation, 417);
    }
}

#[test]
fn max_forwards_is_a_number_where_it_counts() {
    for value in ["", "-1", "x", "1,1", "1\r\nMax-Forwards: 1"] {
        let text = format!("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n");
        all_refused(&[&text], RequestError::BadMaxForwards, 400);
        let _ = valid(&text.replace("OPTIONS", "GET"));
    }
}

#[test]
fn a_bound_has_its_status_and_its_last_byte_is_still_within() {
    let text = "GET /abc HTTP/1.1\r\nHost: a\r\nLong-Name: value\r\n\r\n";
    let check = |limits: Limits, error: RequestError, status: u16| {
        assert_eq!(read_within(text.as_bytes(), &limits).err(), Some(error));
        assert_eq!(error.status(), status);
    };
    let fits = |limits: Limits| assert!(read_within(text.as_bytes(), &limits).is_ok());
    fits(Limits { target_bytes_max: 4, ..LIMITS });
    check(Limits { target_bytes_max: 3, ..LIMITS }, RequestError::TargetTooLong, 414);
    fits(Limits { name_bytes_max: 9, ..LIMITS });
    check(
        Limits { name_bytes_max: 8, ..LIMITS },
        RequestError::Field(FieldError::NameTooLong),
        431,
    );
    fits(Limits { value_bytes_max: 5, ..LIMITS });
    check(
        Limits { value_bytes_max: 4, ..LIMITS },
        RequestError::Field(FieldError::ValueTooLong),
        431,
    );
    fits(Limits { fields_max: 2, ..LIMITS });
    check(Limits { fields_max: 1, ..LIMITS }, RequestError::Field(FieldError::TooMany), 431);
    let length = text.len() as u32;
    fits(Limits { head_bytes_max: length, ..LIMITS });
    check(
        Limits { head_bytes_max: length - 1, ..LIMITS },
        RequestError::Field(FieldError::TooLarge),
        431,
    );
    check(Limits { head_bytes_max: 12, ..LIMITS }, RequestError::TargetTooLong, 414);
}

#[test]
fn a_servers_breach_is_an_error_too() {
    use ResponseError as E;
    for (text, error) in [
        ("HTTQ", E::BadVersion),
        ("http/1.1 200 OK\r\n\r\n", E::BadVersion),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", E::BadVersion),
        ("HTTP/2.0 200 OK\r\n\r\n", E::UnknownVersion),
        ("HTTP/1.1 020 OK\r\n\r\n", E::BadStatus),
        ("HTTP/1.1 2000\r\n\r\n", E::BadStatus),
        ("HTTP/1.1 20\r\n\r\n", E::BadStatus),
        ("HTTP/1.1  200 OK\r\n\r\n", E::BadStatus),
        ("HTTP/1.1\t200 OK\r\n\r\n", E::BadVersion),
        ("HTTP/1.1 200 O\0K\r\n\r\n", E::BadReason),
        ("HTTP/1.1 200 OK\n\r\n", E::LineEnd(FieldError::BareLf)),
        ("HTTP/1.1 200 O\rK\r\n\r\n", E::LineEnd(FieldError::BareCr)),
        ("HTTP/1.1 200 OK\r\nX: 1\n\r\n", E::Field(FieldError::BareLf)),
        ("HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n", E::Field(FieldError::Fold)),
        ("HTTP/1.1 200 OK\r\nX Y: 1\r\n\r\n", E::Field(FieldError::BadName)),
        ("HTTP/1.1 200 OK\r\n: 1\r\n\r\n", E::Field(FieldError::EmptyName)),
        ("HTTP/1.1 200 OK\r\n : 1\r\n\r\n", E::Field(FieldError::Fold)),
        ("HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", E::Field(FieldError::BadValue)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            E::Framing(Length::LengthsDiffer),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n", E::Framing(Length::BadLength)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            E::Framing(Length::LengthAndCoding),
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", E::Framing(Length::BadCoding)),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            E::Framing(Length::UnknownCoding),
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            E::Framing(Length::CodingInHttp10),
        ),
        ("HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\n", E::InterimContent),
        ("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", E::InterimContent),
        ("HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", E::Switch),
    ] {
        let mut fields = Fields::default();
        let read = response(text.as_bytes(), &mut fields, &LIMITS, &mut Scan::default(), GET);
        assert_eq!(read.err(), Some(error), "{text:?}");
    }
}

#[test]
fn every_breach_says_in_words_what_it_is() {
    let mut seen = std::collections::BTreeSet::new();
    for error in [
        RequestError::BlankLines,
        RequestError::BadMethod,
        RequestError::MethodTooLong,
        RequestError::BadLine,
        RequestError::NoVersion,
        RequestError::BadVersion,
        RequestError::UnknownVersion,
        RequestError::BadTarget,
        RequestError::Fragment,
        RequestError::TargetTooLong,
        RequestError::BadForm,
        RequestError::BadAuthority,
        RequestError::NoHost,
        RequestError::HostRepeated,
        RequestError::BadHost,
        RequestError::ContentInHttp10,
        RequestError::Content,
        RequestError::Expectation,
        RequestError::BadMaxForwards,
        RequestError::Field(FieldError::Fold),
        RequestError::Framing(Length::BadCoding),
    ] {
        assert!(seen.insert(error.to_string()), "{error}");
    }
}
