use super::*;
use crate::http1::{Asked, Limits, Method, Scan, request, response};

const LIMITS: Limits = Limits {
    head_bytes_max: 8192,
    fields_max: 100,
    target_bytes_max: 0,
    name_bytes_max: 0,
    value_bytes_max: 0,
};

fn fields(wanted: &[(&str, u32)]) -> Vec<CaptureField> {
    let field =
        |&(name, length_max): &(&str, u32)| CaptureField { name: name.to_owned(), length_max };
    wanted.iter().map(field).collect()
}

fn cookie(name: &str, prefix: bool, length_max: u32) -> Captures {
    let cookie = Some(CaptureCookie { name: name.to_owned(), prefix, length_max });
    Captures { cookie, ..Captures::default() }
}

fn capture_request(captures: &Captures, lines: &str) -> Captured {
    let text = format!("GET / HTTP/1.1\r\nHost: www.example.com\r\n{lines}\r\n");
    let mut fields = Fields::default();
    request(text.as_bytes(), &mut fields, &LIMITS, &mut Scan::default()).unwrap().unwrap();
    let mut captured = Captured::default();
    Plan::new(captures).request(text.as_bytes(), &fields, &mut captured);
    captured
}

fn capture_response(captures: &Captures, lines: &str, captured: &mut Captured) {
    let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    let mut fields = Fields::default();
    let asked = Asked { method: Method::Get, upgrade: false };
    response(text.as_bytes(), &mut fields, &LIMITS, &mut Scan::default(), asked).unwrap().unwrap();
    Plan::new(captures).response(text.as_bytes(), &fields, captured);
}

fn texts<'a>(list: impl Iterator<Item = Option<&'a [u8]>>) -> Vec<Option<&'a str>> {
    list.map(|text| Some(std::str::from_utf8(text?).unwrap())).collect()
}

#[test]
fn the_last_field_of_a_name_is_kept_and_cut() {
    let captures = Captures {
        request: fields(&[("Host", 7), ("X-Forwarded-For", 15), ("x-absent", 9), ("X-MINE", 4)]),
        ..Captures::default()
    };
    let lines = "x-forwarded-for: 1.1.1.1\r\nx-mine: old\r\nX-Forwarded-For: 2.2.2.2, 3.3.3.3\r\nX-Mine:  abc \r\n";
    let captured = capture_request(&captures, lines);
    let expected = [Some("www.exa"), Some("2.2.2.2, 3.3.3."), None, Some("abc")];
    assert_eq!(texts(captured.request_fields()), expected);
    assert_eq!(captured.request_cookie(), None);
    assert_eq!(captured.response_fields().len(), 0);
}

#[test]
fn what_is_not_forwarded_is_kept_too() {
    let captures = Captures {
        request: fields(&[("Content-Length", 9), ("Connection", 20), ("X-Hop", 9)]),
        ..Captures::default()
    };
    let lines = "Content-Length: 12\r\nConnection: x-hop, close\r\nX-Hop: 1\r\n";
    let captured = capture_request(&captures, lines);
    assert_eq!(texts(captured.request_fields()), [Some("12"), Some("x-hop, close"), Some("1")]);
}

#[test]
fn an_empty_value_is_kept_as_such() {
    let captures = Captures { request: fields(&[("X-A", 9), ("X-B", 0)]), ..Captures::default() };
    let captured = capture_request(&captures, "X-A:\r\nX-B: b\r\n");
    assert_eq!(texts(captured.request_fields()), [Some(""), Some("")]);
}

#[test]
fn the_responses_fields_are_kept_beside_the_requests() {
    let captures = Captures {
        request: fields(&[("Host", 99)]),
        response: fields(&[("Content-Length", 9), ("Location", 15)]),
        cookie: None,
    };
    let mut captured = capture_request(&captures, "");
    for length in [1, 22, 333] {
        let lines = format!("Content-Length: {length}\r\nLocation: /somewhere/else/x\r\n");
        capture_response(&captures, &lines, &mut captured);
        let expected = [Some(&length.to_string()[..]), Some("/somewhere/else")];
        assert_eq!(texts(captured.response_fields()), expected);
    }
    assert_eq!(texts(captured.request_fields()), [Some("www.example.com")]);
}

/// The manual's examples of section 8.7, among others.
#[test]
fn the_first_cookie_of_a_name_is_kept() {
    for (captures, lines, expected) in [
        (
            cookie("ASPSESSION", true, 32),
            "Cookie: a=1; ASPSESSIONXY=5; ASPSESSION=6",
            "ASPSESSIONXY=5",
        ),
        (cookie("vgnvisitor", false, 32), "Cookie: vgnvisitorx=1; vgnvisitor=2", "vgnvisitor=2"),
        (cookie("vgnvisitor", false, 12), "Cookie: vgnvisitor = 2345", "vgnvisitor=2"),
        (cookie("vgnvisitor", false, 4), "Cookie: vgnvisitor=2345", "vgnv"),
        (cookie("b", false, 32), "Cookie: a=1\r\nCookie: c=2;b=3\r\nCookie: b=4", "b=3"),
        (cookie("b", false, 32), "Cookie: a=1; b=\"x; y\" ; c=1", "b=\"x; y\""),
        (cookie("b", false, 32), "Cookie: b=; b=1", "b="),
    ] {
        let captured = capture_request(&captures, &format!("{lines}\r\n"));
        assert_eq!(texts([captured.request_cookie()].into_iter()), [Some(expected)], "{lines}");
    }
}

#[test]
fn cookies_of_other_names_are_not_kept() {
    for lines in ["", "Cookie: B=1; bb=2; b; c=b=1", "X-Cookie: b=1", "Set-Cookie: b=1"] {
        let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
        assert_eq!(
            capture_request(&cookie("b", false, 9), &lines).request_cookie(),
            None,
            "{lines}"
        );
    }
    let captured = capture_request(&cookie("", true, 9), "Cookie: b; =c\r\n");
    assert_eq!(captured.request_cookie(), None);
}

#[test]
fn of_a_cookie_that_is_set_the_attributes_are_left_out() {
    let captures = cookie("SID", false, 32);
    let mut captured = capture_request(&captures, "Cookie: SID=old\r\n");
    let lines =
        "Set-Cookie: a=1; SID=2\r\nSet-Cookie: SID = new; path=/; SID=3\r\nSet-Cookie: SID=4\r\n";
    capture_response(&captures, lines, &mut captured);
    assert_eq!(captured.request_cookie(), Some(&b"SID=old"[..]));
    assert_eq!(captured.response_cookie(), Some(&b"SID=new"[..]));
    capture_response(&captures, "", &mut captured);
    assert_eq!(captured.response_cookie(), None);
}

#[test]
fn a_later_request_finds_nothing_of_an_earlier_one() {
    let captures = cookie("SID", false, 32);
    let mut captured = capture_request(&captures, "Cookie: SID=old\r\n");
    Plan::new(&captures).request(b"", &Fields::default(), &mut captured);
    assert_eq!((captured.request_cookie(), captured.response_cookie()), (None, None));
}
