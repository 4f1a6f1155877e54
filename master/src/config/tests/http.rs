//! What sections in mode http mean, and what they refuse.

use portolan_shared::model::{
    ClientIdentity, ConnectionMode, CookieMode, ErrorPage, ErrorPages, RetryOn,
};

use super::*;

/// The lines of a section in mode http, among nothing else.
fn section(kind: &str, lines: &str) -> String {
    format!("[{kind}.x]\nmode = 'http'\n{lines}\n")
}

/// The error that a line in a backend in mode http gives, without its place.
fn backend_error(line: &str) -> String {
    let found = errors(&section("backend", line));
    let (place, message) = found.split_once(": ").unwrap_or_else(|| panic!("{line} is read"));
    assert!(place.starts_with("x.toml:3:"), "{found}");
    message.to_owned()
}

/// The same of a frontend.
fn frontend_error(line: &str) -> String {
    let found = errors(&section("frontend", line));
    let (place, message) = found.split_once(": ").unwrap_or_else(|| panic!("{line} is read"));
    assert!(place.starts_with("x.toml:3:"), "{found}");
    message.to_owned()
}

fn backend(text: &str) -> portolan_shared::model::HttpBackend {
    config(&section("backend", text)).backends[0].http.clone()
}

fn frontend(text: &str) -> portolan_shared::model::HttpFrontend {
    config(&section("frontend", text)).frontends[0].http.clone()
}

#[test]
fn without_a_word_connections_are_kept_reused_safely_and_given_up_with_their_client() {
    let (frontend, backend) = (frontend(""), backend(""));
    let modes = [frontend.connection_mode, backend.connection_mode];
    assert_eq!(modes, [ConnectionMode::KeepAlive; 2]);
    assert_eq!(frontend.via.as_deref(), Some("portolan"));
    assert_eq!(backend.retry_on, RetryOn::default());
    assert!(backend.abort_on_close && backend.max_keep_alive_queue.is_none());
}

#[test]
fn the_mode_of_connections_replaces_an_inherited_one_and_is_given_once() {
    let cases = [
        ("", "http_server_close = true", ConnectionMode::ServerClose),
        ("http_server_close = true", "", ConnectionMode::ServerClose),
        ("http_server_close = true", "httpclose = true", ConnectionMode::Close),
        ("httpclose = true", "http_keep_alive = true", ConnectionMode::KeepAlive),
        ("httpclose = true", "httpclose = false", ConnectionMode::KeepAlive),
        ("httpclose = true", "http_server_close = false", ConnectionMode::Close),
        ("", "httpclose = true\nhttp_keep_alive = false", ConnectionMode::Close),
    ];
    for (defaults, own, expected) in cases {
        let text = format!("{}[defaults]\n{defaults}\n", section("frontend", own));
        assert_eq!(config(&text).frontends[0].http.connection_mode, expected, "{defaults} {own}");
    }
    let found = errors(&section("frontend", "httpclose = true\nhttp_server_close = true"));
    assert!(found.contains("there is one mode"), "{found}");
    assert!(frontend_error("http_keep_alive = false").starts_with("connections are kept unless"));
}

#[test]
fn what_both_sides_have_goes_to_both_sides_of_a_listen_section() {
    let text = "forwardfor = true\nhttpclose = true\nforwarded = true\nhttp_restrict_req_hdr_names = 'reject'\nerror_format = 'json'";
    let config = config(&section("listen", text));
    let (front, back) = (&config.frontends[0].http, &config.backends[0].http);
    assert_eq!(front.identity.forwarded_for, back.identity.forwarded_for);
    assert_eq!(front.connection_mode, back.connection_mode);
    assert_eq!(front.restrict_names, back.restrict_names);
    assert_eq!((front.errors, back.errors), (Some(0), Some(0)));
    assert!(front.identity.forwarded.is_none() && back.identity.forwarded.is_some());
}

#[test]
fn what_is_inherited_can_be_taken_back() {
    let text = "[defaults]\nmode = 'http'\nforwardfor = true\noriginalto = true\nforwarded = true\n\
                cookie = 'SRV'\nmonitor_uri = '/x'\n[listen.l]\nforwardfor = false\n\
                originalto = false\nforwarded = false\ncookie = false\nmonitor_uri = false\n";
    let config = config(text);
    let (front, back) = (&config.frontends[0].http, &config.backends[0].http);
    assert_eq!((&front.identity, &front.monitor_uri), (&ClientIdentity::default(), &None));
    assert_eq!((&back.identity, &back.cookie), (&ClientIdentity::default(), &None));
}

#[test]
fn captures_are_not_inherited_and_need_a_name_and_a_length() {
    let found = errors("[defaults]\ncapture = {}");
    assert!(found.contains("`capture` does not belong here"), "{found}");
    let needs = "a capture needs a `name` and a `len`";
    let cases = [
        ("capture.request_header = { name = 'Host' }", needs),
        ("capture.cookie = { len = 5 }", needs),
        ("capture.cookie = { name = 'a', prefix = 'a', len = 5 }", "the cookie is given by `name`"),
        ("capture.request_header = [{ name = 'a b', len = 5 }]", "not a name"),
        ("capture.response_header = [{ name = 'a', len = 0 }]", "out of bounds: 1 to 65535"),
        ("capture.request_header = [{ prefix = 'a', len = 5 }]", "unknown key `prefix`"),
    ];
    for (line, expected) in cases {
        assert!(frontend_error(line).starts_with(expected), "{line}: {}", frontend_error(line));
    }
}

#[test]
fn a_captured_cookie_has_no_more_room_than_all_have() {
    let text = section("frontend", "capture.cookie = { name = 'a', len = 64 }");
    assert!(warnings(&text).contains("no more than 63 bytes are kept: http_cookielen"));
    let captures = config(&text).frontends[0].http.captures.clone();
    assert_eq!(captures.cookie.unwrap().length_max, 63);
}

#[test]
fn a_header_is_told_by_a_name_that_may_be_set() {
    for name in ["Host", "connection", "Content-Length", "Transfer-Encoding"] {
        let found = frontend_error(&format!("forwardfor = {{ header = '{name}' }}"));
        assert!(found.starts_with("this field is about the connection"), "{found}");
    }
    assert!(frontend_error("unique_id_header = 'X Y'").starts_with("not the name of a field"));
    assert!(frontend_error("forwardfor = { except = '10.0.0.0/33' }").contains("is no network"));
    assert!(
        frontend_error("forwardfor = 'X-Client'").starts_with("expected true, false or a table")
    );
}

#[test]
fn forwarded_tells_something_and_ports_go_with_their_ends() {
    let cases = [
        ("forwarded = {}", "nothing is told"),
        ("forwarded = { proto = false }", "nothing is told"),
        ("forwarded = { proto = true, by_port = true }", "`by_port` goes with `by`"),
        ("forwarded = { proto = true, for_port = true }", "`for_port` goes with `for`"),
        ("forwarded = { for_expr = 'src' }", "`for_expr` in `forwarded` is not supported"),
    ];
    for (line, expected) in cases {
        assert!(backend_error(line).starts_with(expected), "{line}: {}", backend_error(line));
    }
    let found = errors(&section("frontend", "forwarded = true"));
    assert!(found.contains("`forwarded` does not belong here"), "{found}");
}

#[test]
fn retries_follow_the_failures_that_are_named() {
    let none = RetryOn { conn_failure: false, ..RetryOn::default() };
    assert_eq!(backend("retry_on = 'none'").retry_on, none);
    assert_eq!(backend("retry_on = ['conn-failure']").retry_on, RetryOn::default());
    let found = backend("retry_on = [503, 'all-retryable-errors', 404, '404']").retry_on;
    assert_eq!(found.statuses, [404, 500, 502, 503, 504]);
    assert!(found.conn_failure && found.needs_request());
    let cases = [
        ("[]", "nothing is in the list; that is \"none\""),
        ("['none', 503]", "\"none\" stands alone"),
        ("[200]", "no request is tried again after status 200"),
        ("'505'", "no request is tried again after status 505"),
        ("'0rtt-rejected'", "\"0rtt-rejected\" is not supported by this version: it has no TLS"),
        ("'conn-failure 503'", "unknown failure `conn-failure 503`"),
        ("true", "expected a string, found true or false"),
    ];
    for (value, expected) in cases {
        let found = backend_error(&format!("retry_on = {value}"));
        assert!(found.starts_with(expected), "{value}: {found}");
    }
}

#[test]
fn a_queue_a_pool_or_a_reuse_of_minus_one_has_no_bound() {
    let text = "max_keep_alive_queue = -1\nserver_defaults = { pool_max_conn = 5, max_reuse = 5 }\n\
                server = [{ name = 's', address = '10.0.0.1:1', pool_max_conn = -1, max_reuse = 0, pool_purge_delay = 0 }]";
    let backend = &config(&section("backend", text)).backends[0];
    let server = &backend.servers[0].http;
    assert_eq!(backend.http.max_keep_alive_queue, None);
    assert_eq!((server.pool_max_conn, server.max_reuse), (None, Some(0)));
    assert!(server.pool_purge_delay.is_zero());
}

#[test]
fn a_cookie_is_refused_with_what_contradicts_it() {
    let cases = [
        ("{ mode = 'insert' }", "a cookie needs a `name`"),
        ("{ name = 'a b' }", "not the name of a cookie"),
        ("{ name = 'a', mode = 'rewrite', indirect = true }", "`indirect` contradicts mode"),
        ("{ name = 'a', preserve = true }", "`preserve` needs mode \"insert\" or `indirect`"),
        ("{ name = 'a', mode = 'prefix', preserve = true }", "`preserve` needs mode"),
        ("{ name = 'a', mode = 'passive' }", "unknown value `passive`"),
        ("{ name = 'a', mode = 'insert', domain = 'a;b' }", "not a domain"),
        ("{ name = 'a', mode = 'insert', attr = ['a; b'] }", "an attribute is ASCII text without"),
        ("{ name = 'a', mode = 'insert', maxidle = 0 }", "out of bounds: 1s to 3650d"),
        ("{ name = 'a', dynamic = true }", "`dynamic` needs a `dynamic_cookie_key` in `x`"),
        ("true", "expected a name, a table or false"),
    ];
    for (value, expected) in cases {
        let found = backend_error(&format!("cookie = {value}"));
        assert!(found.starts_with(expected), "{value}: {found}");
    }
    let indirect = backend("cookie = { name = 'a', preserve = true, indirect = true }");
    assert_eq!(indirect.cookie.unwrap().mode, CookieMode::Passive);
}

#[test]
fn the_values_of_a_cookie_can_be_told_from_what_follows_them() {
    let server = |value: &str| {
        format!("server = [{{ name = 's', address = '10.0.0.1:1', cookie = '{value}' }}]")
    };
    let prefix = format!("cookie = {{ name = 'a', mode = 'prefix' }}\n{}", server("a~b"));
    let dated =
        format!("cookie = {{ name = 'a', mode = 'insert', maxidle = 9 }}\n{}", server("a|b"));
    for text in [prefix, dated] {
        let found = errors(&section("backend", &text));
        assert!(found.contains("cannot be told apart"), "{found}");
    }
    let plain = format!("cookie = {{ name = 'a', mode = 'insert' }}\n{}", server("a~b|c"));
    assert_eq!(errors(&section("backend", &plain)), "");
    assert!(backend_error(&server("a;b")).starts_with("a cookie's value is ASCII"));
}

#[test]
fn what_has_no_effect_in_mode_http_is_a_warning() {
    let text = "\
[global]
tune = { bufsize = 2048, maxrewrite = 2000, http_target_max = 1025 }
[defaults]
mode = 'http'
timeout = { connect = 1, client = 2, server = 3 }
[frontend.f]
bind = ':80'
unique_id_header = 'X-Id'
default_backend = 'b'
[backend.b]
cookie = { name = 'a', secure = true, maxlife = 5 }
server = [{ name = 's', address = '10.0.0.1:1' }]
[backend.c]
server = [{ name = 's', address = '10.0.0.1:1', cookie = 's' }]
[backend.d]
cookie = { name = 'a', mode = 'prefix', indirect = true }
server = [{ name = 's', address = '10.0.0.1:1', cookie = 's' }]
[backend.e]
cookie = { name = 'a', mode = 'insert', dynamic = true }
dynamic_cookie_key = 'x'
server = [{ name = 's', address = '/run/s' }, { name = 't', address = '/run/t', cookie = 't' }]
[http_errors.e]
";
    insta::assert_snapshot!(warnings(text));
}

#[test]
fn a_small_buffer_keeps_half_of_itself_for_heads() {
    let tune = config("global.tune.bufsize = 1024").tune;
    assert_eq!((tune.buffer_size, tune.maxrewrite), (1024, 512));
    assert_eq!(warnings("global.tune.bufsize = 1024"), "");
}

/// The pages of a text's first frontend.
fn pages(text: &str) -> ErrorPages {
    let config = config(text);
    let place = config.frontends[0].http.errors.expect("it has pages");
    config.error_pages[place as usize].clone()
}

#[test]
fn a_section_adds_its_pages_to_those_it_inherits() {
    let text = "[http_errors.site]\nerrorfile = { 403 = 'site/403.http', 503 = 'site/503.http' }\n\
                [defaults]\nmode = 'http'\nerrorfile.400 = '/dev/null'\nerrorloc302.503 = '/sorry'\n\
                [frontend.f]\nerrorfiles = { name = 'site', status = 503 }\nerrorloc303.404 = '/lost'";
    let found = pages(text).pages;
    let statuses: Vec<_> = found.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [400, 404, 503]);
    assert_eq!(found[0].1, ErrorPage::Silent);
    assert_eq!(found[1].1, ErrorPage::Location { status: 303, url: "/lost".to_owned() });
    let ErrorPage::Response(response) = &found[2].1 else { panic!("{found:?}") };
    assert_eq!((response.status, &response.content[..]), (503, &b"<p>\n"[..]));
}

#[test]
fn the_pages_that_many_sections_inherit_stand_in_the_model_once() {
    let defaults = "[defaults]\nmode = 'http'\nerrorfile.503 = 'site/503.http'\n".to_owned();
    let backends = (0..50).map(|n| format!("[backend.b{n}]\n"));
    let mut text: String = std::iter::once(defaults).chain(backends).collect();
    text.push_str("[backend.same]\nerrorfile.503 = 'site/503.http'\n[backend.other]\nerrorfile.503 = '/dev/null'\n");
    let config = config(&text);
    let places: Vec<_> = config.backends.iter().map(|backend| backend.http.errors).collect();
    assert_eq!(config.error_pages.len(), 2);
    assert!(places[..51].iter().all(|place| *place == Some(0)), "{places:?}");
    assert_eq!(places[51], Some(1));
}

#[test]
fn a_page_that_cannot_be_used_says_why() {
    let large = "large.http is larger than 15360 bytes";
    let cases = [
        ("errorfile.503 = 'bad.http'", "no response is in this file: line 1 is no status line"),
        ("errorfile.503 = 'large.http'", large),
        ("errorfile.503 = 'missing.http'", "cannot open missing.http"),
        ("errorfile.302 = 'site/503.http'", "`302` is no status of an answer from here"),
        ("errorfile.x = 'site/503.http'", "`x` is no status of an answer from here"),
        ("errorfile = 'site/503.http'", "expected a table as { 503 = ... }, found a string"),
        ("errorloc302.503 = 'a b'", "spaces are not allowed here"),
        ("errorloc302.503 = 'é'", "a URL is ASCII"),
        ("errorfiles = 'sit'", "there is no [http_errors.sit]"),
        ("errorfiles = { status = 503 }", "`errorfiles` needs the `name` of a section"),
        ("error_format = 'xml'", "unknown value `xml`"),
    ];
    for (line, expected) in cases {
        assert!(frontend_error(line).starts_with(expected), "{line}: {}", frontend_error(line));
    }
    let twice = "errorfile.503 = 'site/503.http'\nerrorloc302.503 = '/x'";
    let found = errors(&section("frontend", twice));
    assert!(found.contains("status 503 has two pages (first given here: x.toml:3:"), "{found}");
    let missing = "[http_errors.e]\nerrorfile.503 = 'site/503.http'\n\
                   [frontend.f]\nmode = 'http'\nerrorfiles = { name = 'e', status = [503, 404] }";
    assert_eq!(errors(missing), "x.toml:5:43: `e` has no page for status 404");
}

#[test]
fn error_files_are_taken_as_they_were_and_lie_beside_the_file_that_names_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.toml");
    std::fs::write(directory.path().join("p.http"), "HTTP/1.1 503 x\n\nfirst").unwrap();
    std::fs::write(&path, section("frontend", "errorfile.503 = 'p.http'")).unwrap();
    let first = read(&Sources::from_paths([path])).unwrap();
    std::fs::remove_file(directory.path().join("p.http")).unwrap();
    let inputs = first.texts.into_iter().map(Input::Text).collect();
    let again = Sources { inputs, files: first.files, ..Sources::default() };
    assert_eq!(read(&again).unwrap().config, first.config);
}

#[test]
fn a_path_a_via_and_an_address_have_their_forms() {
    for path in ["x", "http://x/", "/a b", "/a?b", "/é"] {
        let found = frontend_error(&format!("monitor_uri = '{path}'"));
        assert!(found.contains("path that begins with") || found.contains("spaces"), "{found}");
    }
    for via in ["a b", "a/b", "a,b", ":"] {
        let _ = frontend_error(&format!("via = '{via}'"));
    }
    for (via, expected) in [("true", "portolan"), ("'[::1]:80'", "[::1]:80"), ("'a'", "a")] {
        assert_eq!(frontend(&format!("via = {via}")).via.as_deref(), Some(expected));
    }
}
