//! What is sent, byte for byte.

use portolan_shared::model::{ErrorFormat, ErrorPages, RedirectTo};
use proptest::prelude::*;

use super::*;

const FACTS: Facts<'static> = Facts {
    head: false,
    connect: false,
    http10: false,
    keep_alive: true,
    date: b"Sun, 22 Nov 2026 02:00:00 GMT",
};
const TARGET: Target<'static> = Target { host: b"h.example", path: b"/a?b" };
const NO_PAGES: ErrorPages = ErrorPages { pages: Vec::new(), format: None };

fn nothing() -> impl Iterator<Item = &'static [u8]> {
    std::iter::empty()
}

fn response(status: u16, content: &str) -> Response {
    Response {
        status,
        fields: vec![("Content-Type".into(), "text/plain".into())],
        content: content.into(),
    }
}

/// The head and what follows it, as one text; or that there is none.
fn given(answer_given: &Answer, pages: &ErrorPages, facts: &Facts<'_>) -> String {
    let mut out = Vec::new();
    let pages = Pages { backend: None, frontend: Some(pages) };
    let given = answer(&mut out, answer_given, TARGET, pages, nothing(), facts);
    match given {
        Given::Ready(ready) => {
            let whole = [&out, &ready.content[..]].concat();
            String::from_utf8(whole).expect("text")
        }
        Given::Silent | Given::Skipped => {
            assert!(out.is_empty());
            format!("{given:?}")
        }
    }
}

fn returned(response: Response, facts: &Facts<'_>) -> String {
    given(&Answer::Return(response), &NO_PAGES, facts)
}

#[test]
fn a_response_has_its_fields_a_date_and_its_length() {
    assert_eq!(
        returned(response(200, "hi"), &FACTS),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Sun, 22 Nov 2026 02:00:00 \
         GMT\r\nContent-Length: 2\r\n\r\nhi"
    );
}

#[test]
fn an_answer_to_head_is_the_one_to_get_without_content() {
    let get = returned(response(200, "hello"), &FACTS);
    let head = returned(response(200, "hello"), &Facts { head: true, ..FACTS });
    assert_eq!(format!("{head}hello"), get);
}

#[test]
fn statuses_without_content_have_none() {
    for (status, length) in [(204, None), (205, Some("0")), (304, None), (200, Some("2"))] {
        let text = returned(response(status, "hi"), &FACTS);
        let found = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(found, length, "{status}");
        assert_eq!(text.ends_with("hi"), status == 200);
    }
}

#[test]
fn a_date_of_the_response_is_the_only_one() {
    let mut dated = response(200, "");
    dated.fields.push(("date".into(), "then".into()));
    let text = returned(dated, &FACTS);
    assert!(text.contains("date: then\r\n") && !text.contains("Date:"), "{text}");
}

#[test]
fn what_becomes_of_the_connection_is_said_where_it_is_not_the_default() {
    for (http10, keep_alive, wanted) in [
        (false, true, None),
        (false, false, Some("close")),
        (true, true, Some("keep-alive")),
        (true, false, Some("close")),
    ] {
        let text = returned(response(200, ""), &Facts { http10, keep_alive, ..FACTS });
        let found = text.lines().find_map(|line| line.strip_prefix("Connection: "));
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_successful_answer_to_connect_has_no_length_and_ends_the_connection() {
    let facts = Facts { connect: true, ..FACTS };
    let text = returned(response(200, "hi"), &facts);
    assert!(!text.contains("Content-Length") && text.ends_with("Connection: close\r\n\r\n"));
    let text = returned(response(403, "hi"), &facts);
    assert!(text.contains("Content-Length: 2") && !text.contains("Connection"), "{text}");
}

#[test]
fn a_redirect_has_its_location_and_nothing_else() {
    let redirect = Redirect {
        to: RedirectTo::Scheme("https".into()),
        status: 302,
        drop_query: false,
        keep_query: false,
        append_slash: false,
        ignore_empty: false,
        set_cookie: Some("SEEN=1".into()),
        clear_cookie: None,
    };
    assert_eq!(
        given(&Answer::Redirect(redirect.clone()), &NO_PAGES, &FACTS),
        "HTTP/1.1 302 Found\r\nLocation: https://h.example/a?b\r\nCache-Control: \
         no-cache\r\nSet-Cookie: SEEN=1; path=/;\r\nDate: Sun, 22 Nov 2026 02:00:00 \
         GMT\r\nContent-Length: 0\r\n\r\n"
    );
    for (status, cached) in [(301, true), (302, false), (303, false), (307, false), (308, true)] {
        let redirect = Redirect { status, ..redirect.clone() };
        let text = given(&Answer::Redirect(redirect), &NO_PAGES, &FACTS);
        assert_eq!(text.contains("Cache-Control: no-cache"), !cached, "{status}");
    }
}

#[test]
fn a_redirect_to_nowhere_is_skipped_where_that_is_asked() {
    let redirect = Redirect {
        to: RedirectTo::Location(String::new()),
        status: 302,
        drop_query: false,
        keep_query: false,
        append_slash: false,
        ignore_empty: true,
        set_cookie: None,
        clear_cookie: None,
    };
    assert_eq!(given(&Answer::Redirect(redirect), &NO_PAGES, &FACTS), "Skipped");
}

#[test]
fn a_refusal_is_the_page_of_its_status() {
    for answer in [Answer::Deny(403), Answer::Tarpit(403)] {
        let text = given(&answer, &NO_PAGES, &FACTS);
        assert!(text.starts_with(
            "HTTP/1.1 403 Forbidden\r\nCache-Control: no-cache\r\nContent-Type: text/html\r\nDate: "
        ));
        assert!(text.contains("<h1>403 Forbidden</h1>"));
    }
}

#[test]
fn a_configured_page_may_have_another_status_lead_elsewhere_or_be_silence() {
    let page = |page| ErrorPages { pages: vec![(403, page)], format: None };
    let deny = Answer::Deny(403);
    let text = given(&deny, &page(ErrorPage::Response(response(404, "no"))), &FACTS);
    assert!(text.starts_with("HTTP/1.1 404 Not Found\r\n") && text.ends_with("\r\n\r\nno"));
    let elsewhere = ErrorPage::Location { status: 303, url: "/sorry".into() };
    assert_eq!(
        given(&deny, &page(elsewhere), &FACTS),
        "HTTP/1.1 303 See Other\r\nLocation: /sorry\r\nCache-Control: no-cache\r\nDate: Sun, 22 \
         Nov 2026 02:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(given(&deny, &page(ErrorPage::Silent), &FACTS), "Silent");
}

#[test]
fn fields_that_belong_to_a_status_are_sent_with_it_only() {
    let ask = [(&b"WWW-Authenticate"[..], &b"Basic realm=\"x\""[..])];
    let sent = |list: &ErrorPages| {
        let mut out = Vec::new();
        let pages = Pages { backend: None, frontend: Some(list) };
        error(&mut out, 401, &ask, pages, nothing(), &FACTS);
        String::from_utf8(out).expect("text").contains("WWW-Authenticate: Basic realm=\"x\"\r\n")
    };
    let page = |page| ErrorPages { pages: vec![(401, page)], format: None };
    assert!(sent(&NO_PAGES));
    assert!(sent(&page(ErrorPage::Response(response(401, "sign in")))));
    assert!(!sent(&page(ErrorPage::Response(response(404, "no")))));
    assert!(!sent(&page(ErrorPage::Location { status: 302, url: "/login".into() })));
}

#[test]
fn a_negotiated_page_says_what_it_depends_on() {
    let list = ErrorPages { pages: Vec::new(), format: Some(ErrorFormat::Accept) };
    let pages = Pages { backend: None, frontend: Some(&list) };
    let mut out = Vec::new();
    let accepts = std::iter::once(&b"application/json"[..]);
    let Given::Ready(ready) = error(&mut out, 503, &[], pages, accepts, &FACTS) else {
        panic!("a page")
    };
    let head = String::from_utf8(out).expect("text");
    assert!(head.contains("Content-Type: application/problem+json\r\nVary: Accept\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", ready.content.len())));
    assert!(ready.content.starts_with(b"{\"type\":\"about:blank\""));
}

#[test]
fn the_monitors_path_must_be_equal_as_a_whole() {
    assert!(is_monitor(Some("/up"), b"/up"));
    for path in [&b"/up/"[..], b"/up?x", b"/UP", b"/", b"", b"*"] {
        assert!(!is_monitor(Some("/up"), path));
    }
    assert!(!is_monitor(None, b"/up"));
}

#[test]
fn the_monitor_gets_the_page_of_status_200() {
    let mut out = Vec::new();
    let Given::Ready(ready) = monitor(&mut out, Pages::default(), &FACTS) else { panic!("a page") };
    assert!(out.starts_with(b"HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\n"));
    assert!(ready.content.starts_with(b"<!DOCTYPE html>"));
    let list = ErrorPages { pages: vec![(200, ErrorPage::Silent)], format: None };
    let pages = Pages { backend: None, frontend: Some(&list) };
    assert_eq!(monitor(&mut Vec::new(), pages, &FACTS), Given::Silent);
}

#[test]
fn a_trace_that_ends_here_is_reflected() {
    let mut out = Vec::new();
    let request = b"TRACE / HTTP/1.1\r\nCookie: s\r\nVia: x\r\n\r\n";
    let ready = trace(&mut out, request, &FACTS);
    assert_eq!(ready.content, &b"TRACE / HTTP/1.1\r\nVia: x\r\n\r\n"[..]);
    let head = String::from_utf8(out).expect("text");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("message/http\r\n"), "{head}");
}

#[test]
fn options_that_end_here_get_an_empty_answer() {
    let mut out = Vec::new();
    let ready = options(&mut out, &FACTS);
    assert_eq!((ready.status, ready.content.len()), (200, 0));
    assert!(String::from_utf8(out).expect("text").contains("Content-Length: 0\r\n"));
}

#[test]
fn an_answer_is_written_behind_what_is_there() {
    let mut out = b"before".to_vec();
    options(&mut out, &FACTS);
    assert!(out.starts_with(b"beforeHTTP/1.1 200 OK\r\n"));
}

proptest! {
    #[test]
    fn the_length_told_is_the_contents(
        status in 200..600_u16, content in "[a-z]{0,40}", flags: [bool; 4],
    ) {
        let [head, connect, http10, keep_alive] = flags;
        let facts = Facts { head, connect, http10, keep_alive, ..FACTS };
        let mut out = Vec::new();
        let response = response(status, &content);
        let ready = respond(&mut out, &response, &[], &facts);
        let text = String::from_utf8(out).expect("text");
        prop_assert!(text.ends_with("\r\n\r\n") && text.matches("\r\n\r\n").count() == 1);
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        match length {
            Some(_) if head => prop_assert!(ready.content.is_empty()),
            Some(length) => prop_assert_eq!(length, ready.content.len().to_string()),
            None => prop_assert!(ready.content.is_empty()),
        }
        prop_assert_eq!(text.contains("Connection: close"), !ready.keep_alive);
    }
}
