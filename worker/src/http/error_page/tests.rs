//! Which page a status has, and what the built-in ones look like.

use portolan_shared::model::Response;

use super::*;

fn page(content: &str) -> ErrorPage {
    ErrorPage::Response(Response { status: 503, fields: Vec::new(), content: content.into() })
}

fn pages(pages: Vec<(u16, ErrorPage)>, format: Option<ErrorFormat>) -> ErrorPages {
    ErrorPages { pages, format }
}

fn nothing() -> impl Iterator<Item = &'static [u8]> {
    std::iter::empty()
}

fn built_in(page: Page<'_>) -> BuiltIn {
    match page {
        Page::BuiltIn(page) => page,
        Page::Configured(page) => panic!("{page:?}"),
    }
}

#[test]
fn the_backends_page_comes_before_the_frontends_and_that_before_ours() {
    let backend = pages(vec![(503, page("back"))], None);
    let frontend = pages(vec![(503, page("front")), (502, ErrorPage::Silent)], None);
    let both = Pages { backend: Some(&backend), frontend: Some(&frontend) };
    assert_eq!(both.of(503, nothing()), Page::Configured(&page("back")));
    assert_eq!(both.of(502, nothing()), Page::Configured(&ErrorPage::Silent));
    assert!(built_in(both.of(500, nothing())).content.contains("500 Internal Server Error"));
    let alone = Pages { backend: None, frontend: Some(&frontend) };
    assert_eq!(alone.of(503, nothing()), Page::Configured(&page("front")));
}

#[test]
fn pages_are_found_by_their_positions() {
    let lists = [pages(vec![(503, page("one"))], None), pages(vec![(503, page("two"))], None)];
    for (backend, frontend, wanted) in
        [(Some(0), Some(1), "one"), (None, Some(1), "two"), (Some(9), Some(0), "one")]
    {
        let page_found = Pages::at(&lists, backend, frontend).of(503, nothing());
        assert_eq!(page_found, Page::Configured(&page(wanted)));
    }
    assert!(matches!(Pages::at(&lists, None, None).of(503, nothing()), Page::BuiltIn(_)));
}

#[test]
fn a_later_page_of_a_status_replaces_an_earlier_one() {
    let frontend =
        pages(vec![(503, page("one")), (400, ErrorPage::Silent), (503, page("two"))], None);
    let pages = Pages { backend: None, frontend: Some(&frontend) };
    assert_eq!(pages.of(503, nothing()), Page::Configured(&page("two")));
}

#[test]
fn the_backends_form_comes_before_the_frontends_and_html_is_the_default() {
    for (backend, frontend, wanted) in [
        (None, None, "text/html"),
        (None, Some(ErrorFormat::Json), "application/problem+json"),
        (Some(ErrorFormat::Html), Some(ErrorFormat::Json), "text/html"),
        (Some(ErrorFormat::Json), None, "application/problem+json"),
    ] {
        let (backend, frontend) = (pages(vec![], backend), pages(vec![], frontend));
        let page = Pages { backend: Some(&backend), frontend: Some(&frontend) }.of(503, nothing());
        let page = built_in(page);
        assert_eq!((page.content_type, page.varies), (wanted, false));
    }
}

#[test]
fn accept_decides_where_it_is_asked_to() {
    let frontend = pages(vec![], Some(ErrorFormat::Accept));
    let pages = Pages { backend: None, frontend: Some(&frontend) };
    let json = built_in(pages.of(503, std::iter::once(&b"application/json"[..])));
    let html = built_in(pages.of(503, std::iter::once(&b"text/html"[..])));
    assert_eq!((json.content_type, json.varies), ("application/problem+json", true));
    assert_eq!((html.content_type, html.varies), ("text/html", true));
}

#[test]
fn the_built_in_pages_are_these() {
    assert_eq!(
        html_page(503),
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>503 Service \
         Unavailable</title></head>\n<body>\n<h1>503 Service Unavailable</h1>\n<p>No server can \
         take the request at the moment.</p>\n</body>\n</html>\n"
    );
    assert_eq!(
        json_page(503),
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
         \"detail\":\"No server can take the request at the moment.\"}\n"
    );
}

#[test]
fn every_page_is_titled_with_its_reason_phrase() {
    for (status, title) in KNOWN {
        assert_eq!(*title, reason(*status));
        assert!(html_page(*status).contains(&format!("<h1>{status} {title}</h1>")));
        assert!(json_page(*status).contains(&format!("\"status\":{status}")));
    }
}

#[test]
fn every_status_that_we_answer_with_has_a_text() {
    for status in [
        200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 417, 421, 425, 429, 431, 500, 501,
        502, 503, 504, 505,
    ] {
        assert!(KNOWN.iter().any(|(known, _)| *known == status), "{status}");
    }
}

#[test]
fn no_text_needs_escaping() {
    for (status, _) in KNOWN {
        let json = json_page(*status);
        // Ours: three keys and three strings, and "status" with its number.
        assert_eq!(json.matches('"').count(), 14, "{json}");
        assert!(!json.contains('\\'), "{json}");
        let html = html_page(*status);
        assert!(!html.contains('&') && html.matches('<').count() == 14, "{html}");
    }
}

#[test]
fn a_status_without_a_text_has_a_page_all_the_same() {
    assert!(html_page(418).contains("<h1>418 Client Error</h1>"));
    assert!(html_page(511).contains("<h1>511 Network Authentication Required</h1>"));
    assert_eq!(
        json_page(418),
        "{\"type\":\"about:blank\",\"title\":\"Client Error\",\"status\":418}\n"
    );
}
