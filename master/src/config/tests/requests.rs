//! What becomes of requests: log lines, ids, users, answers and routes.

use portolan_shared::model::{
    Answer, LogItem, LogLine, LogStyle, LogVariable, Password, RedirectTo, RouteHost, RouteTarget,
};

use super::*;

/// What a complete section in mode http needs besides, so that no warning stands in the way.
const AROUND: &str =
    "defaults = { mode = 'http', timeout = { connect = 1, client = 2, server = 3 } }\n";
/// A backend called `b`.
const BACKEND: &str = "[backend.b]\nserver = [{ name = 's', address = '10.0.0.1:1' }]\n";
/// A list called `staff`.
const STAFF: &str = "[userlist.staff]\ngroup = [{ name = 'ops' }]\nuser = [{ name = 'u', insecure_password = 'p', groups = ['ops'] }]\n";

/// A frontend `f` with these keys, a backend and a list.
fn around(keys: &str) -> String {
    format!("{AROUND}{BACKEND}{STAFF}[frontend.f]\nbind = ':1'\n{keys}\n")
}

/// The line of [`around`] that its keys begin at.
const FIRST: usize = 9;

fn frontend(keys: &str) -> portolan_shared::model::Frontend {
    config(&around(keys)).frontends.remove(0)
}

/// The only error of a frontend with this one line, without its place.
fn refused(line: &str) -> String {
    let found = errors(&around(line));
    let prefix = format!("x.toml:{FIRST}:");
    let rest = found.strip_prefix(&prefix).unwrap_or_else(|| panic!("{line}: {found}"));
    rest.to_owned()
}

#[test]
fn the_line_that_is_said_last_among_defaults_and_section_holds() {
    let line = |defaults: &str, section: &str| {
        let text = format!(
            "[defaults]\nmode = 'http'\n{defaults}\n[frontend.f]\n{section}\nlog = 'stderr'\n"
        );
        config(&text).frontends[0].log_options.line
    };
    assert_eq!(line("", "httplog = true"), LogLine::Http);
    assert_eq!(line("httplog = true", ""), LogLine::Http);
    assert_eq!(line("httplog = true", "httplog = 'clf'"), LogLine::Clf);
    assert_eq!(line("httplog = 'json'", "tcplog = false"), LogLine::Json);
    assert_eq!(line("httplog = true", "httplog = false"), LogLine::Connect);
    assert_eq!(line("httplog = true", "tcplog = true"), LogLine::Tcp);
    assert_eq!(line("tcplog = true", "httplog = false"), LogLine::Tcp);
    assert_eq!(line("httplog = true", "log_format = '%r'"), LogLine::Template);
    assert_eq!(line("log_format = '%r'", ""), LogLine::Template);
    assert_eq!(line("log_format = '%r'", "log_format = false"), LogLine::Connect);
    assert_eq!(line("log_format = '%r'", "httplog = true"), LogLine::Http);
    assert_eq!(line("httplog = true", "log_format = false"), LogLine::Http);
}

#[test]
fn a_template_is_only_kept_where_it_is_the_line() {
    let frontend = frontend("log = 'stderr'\nlog_format = '%ci'\nerror_log_format = 'x'");
    let client = LogItem::Variable { variable: LogVariable::ClientIp, style: LogStyle::default() };
    assert_eq!(frontend.log_template.unwrap().items, [client]);
    let text = LogItem::Text("x".to_owned());
    assert_eq!(frontend.error_log_template.unwrap().items, [text]);
    let text = "[defaults]\nmode = 'http'\nlog_format = 'x'\n[frontend.f]\nhttplog = true\n";
    assert_eq!(config(text).frontends[0].log_template, None);
}

#[test]
fn two_lines_in_one_section_are_an_error() {
    assert_eq!(
        errors("[frontend.f]\nhttplog = 'clf'\nmode = 'http'\ntcplog = true\n"),
        "x.toml:4:1: `httplog` and `tcplog` exclude each other (the line is given here: x.toml:2:1)"
    );
    assert_eq!(errors("[frontend.f]\nhttplog = false\ntcplog = true\n"), "");
    let found = errors("[frontend.f]\nlog_format = 'x'\ntcplog = true\n");
    assert!(found.contains("`log_format` and `tcplog` exclude each other"), "{found}");
}

#[test]
fn in_mode_tcp_the_http_line_is_the_tcp_line_with_a_warning() {
    let text = "defaults.timeout = { connect = 1, client = 2, server = 3 }\n[listen.l]\nbind = ':1'\nhttplog = true\nlog = 'stderr'\nserver = [{ name = 's', address = '10.0.0.1:1' }]\n";
    assert_eq!(warnings(text), "x.toml:4:11: `l` is in mode tcp: it is logged as by `tcplog`");
    assert_eq!(config(text).frontends[0].log_options.line, LogLine::Tcp);
}

#[test]
fn variables_of_http_are_refused_in_mode_tcp() {
    let text = "[frontend.f]\nlog = 'stderr'\nlog_format = '%ci %HM'\n";
    assert_eq!(errors(text), "x.toml:3:19: `f` is in mode tcp, which has no `%HM`");
    let text = "[frontend.f]\nerror_log_format = '%r'\n";
    assert_eq!(errors(text), "x.toml:2:21: `f` is in mode tcp, which has no `%r`");
    assert_eq!(errors("[frontend.f]\nlog_format = '%ci %ST'\n"), "");
}

#[test]
fn a_fault_in_a_format_is_underlined_where_it_stands() {
    assert_eq!(
        refused("log_format = '%ci %[src] %tx'"),
        "19: an expression (`%[...]`) is not supported by this version\n\
         x.toml:9:26: unknown variable `%tx` (did you mean `%t`?)"
    );
    assert_eq!(
        refused("log_format = '50%'"),
        "17: a `%` without a variable; a literal `%` is written `%%`"
    );
    assert_eq!(refused("unique_id_format = 'x%ID'"), "20: an id cannot hold itself (%ID)");
    assert_eq!(refused("httplog = 'cfl'"), "11: unknown value `cfl`; one of clf, json");
    assert_eq!(
        refused("httplog = 1"),
        "11: expected true, false, \"clf\" or \"json\", found an integer"
    );
}

#[test]
fn an_id_is_made_by_its_format_and_carried_by_its_field() {
    let http = frontend("unique_id_format = '%pid'\nunique_id_header = 'X-Id'").http;
    assert_eq!(http.unique_id.unwrap().items.len(), 1);
    assert_eq!(http.unique_id_header.as_deref(), Some("X-Id"));
    let found = warnings(&around(
        "unique_id_header = 'X-Id'\ndefault_backend = 'b'\nauth = { userlist = 'staff' }",
    ));
    assert_eq!(
        found,
        "x.toml:7:11: `unique_id_header` has no effect in `f`: it has no `unique_id_format`"
    );
}

#[test]
fn users_belong_to_the_groups_they_name_and_to_those_that_name_them() {
    let text = "[userlist.l]\ngroup = [{ name = 'g1', users = ['tiger', 'scott'] }, { name = 'g2' }, { name = 'g3', users = 'tiger' }]\nuser = [{ name = 'scott', insecure_password = 'x', groups = ['g2', 'g1'] }, { name = 'tiger', insecure_password = 'y' }]\n";
    let users = &config(text).userlists[0].users;
    let groups: Vec<_> = users.iter().map(|user| (&*user.name, user.groups.join(" "))).collect();
    assert_eq!(groups, [("scott", "g1 g2".to_owned()), ("tiger", "g1 g3".to_owned())]);
    assert_eq!(users[0].password, Password::Plain("x".to_owned()));
}

#[test]
fn faults_of_a_userlist_are_told_with_their_places() {
    let text = "\
[userlist.l]
group = [{ name = 'ops', users = ['nobody'] }, { name = 'ops' }, { users = [] }]
user = [
  { name = 'a', insecure_password = 'x', groups = ['op'] },
  { name = 'a', insecure_password = 'x' },
  { name = 'b' },
  { name = 'c', password = 'PASSWORD' },
  { name = 'd', password = '$1$abc', insecure_password = 'x' },
  { name = 'e:f', insecure_password = 'x' },
  { insecure_password = 'x' },
  { name = 'g', insecure_password = \"a\\nb\" },
  { name = 'h', password = '$6$rounds=9999999$abc$ka.oe37GeJlsFJqxZB.Cj9.fMBZkHW4vzq0F75DdedVjaoQQZ18Dh5p1NMXDE3KM.XmDMyz6cupQAXyrPWjgM.' },
]
colour = 'red'
[userlist.l]
[userlist]
m = 5
";
    insta::assert_snapshot!(errors(text));
}

#[test]
fn who_may_ask_is_resolved_by_name() {
    let auth = frontend("auth = { userlist = 'staff', groups = 'ops' }").http.auth.unwrap();
    assert_eq!((auth.userlist, &*auth.realm, auth.groups), (0, "f", vec!["ops".to_owned()]));
    assert_eq!(
        refused("auth = { userlist = 'staf' }"),
        "21: there is no userlist `staf` (did you mean `staff`?)"
    );
    assert_eq!(
        refused("auth = { userlist = 'staff', groups = ['op'] }"),
        "40: there is no group in `staff` `op` (did you mean `ops`?)"
    );
    assert_eq!(refused("auth = { realm = 'x' }"), "8: `auth` needs a `userlist`");
    assert_eq!(
        refused("auth = { userlist = 'staff', groups = [] }"),
        "39: an empty list would let nobody in"
    );
}

#[test]
fn a_list_of_users_that_nothing_uses_is_a_warning() {
    assert_eq!(warnings(STAFF), "x.toml:1:11: no `auth` uses the userlist `staff`");
}

#[test]
fn both_halves_of_a_listen_section_ask_and_answer() {
    let text = format!("{AROUND}{STAFF}[listen.l]\nauth = {{ userlist = 'staff' }}\ndeny = true\n");
    let config = config(&text);
    assert_eq!(config.frontends[0].http.answer, Some(Answer::Deny(403)));
    assert_eq!(config.backends[0].http.answer, Some(Answer::Deny(403)));
    assert_eq!(config.backends[0].http.auth, config.frontends[0].http.auth);
    assert!(config.backends[0].http.auth.is_some());
}

#[test]
fn refusals_have_the_status_that_they_are_given() {
    let answer = |keys: &str| frontend(keys).http.answer;
    assert_eq!(answer("deny = true"), Some(Answer::Deny(403)));
    assert_eq!(answer("deny = { status = 429 }"), Some(Answer::Deny(429)));
    assert_eq!(answer("tarpit = true"), Some(Answer::Tarpit(500)));
    assert_eq!(answer("tarpit = {}"), Some(Answer::Tarpit(500)));
    assert_eq!(answer("deny = false\ntarpit = false"), None);
    assert_eq!(refused("deny = { status = 200 }"), "19: out of bounds: 400 to 599");
    assert!(refused("deny = 403").ends_with("expected true, false or a table, found an integer"));
}

#[test]
fn a_section_answers_once() {
    let found = errors(&around("deny = true\nredirect = { scheme = 'https' }"));
    let message = "a request is answered once: by `redirect`, `return`, `deny` or `tarpit`";
    assert_eq!(found, format!("x.toml:9:8: {message} (first given here: x.toml:10:12)"));
    assert!(errors("[defaults]\ndeny = true\n").contains("does not belong here"));
    assert!(errors("[frontend.f]\ndeny = true\n").contains("no meaning in mode tcp"));
}

#[test]
fn a_redirect_leads_to_one_place() {
    let redirect = |text: &str| match frontend(&format!("redirect = {text}")).http.answer {
        Some(Answer::Redirect(redirect)) => redirect,
        other => panic!("{other:?}"),
    };
    let plain = redirect("{ location = '/x' }");
    assert_eq!((plain.to, plain.status), (RedirectTo::Location("/x".to_owned()), 302));
    let prefix = redirect("{ prefix = '/', drop_query = true, append_slash = true, code = 301 }");
    assert_eq!((prefix.to, prefix.status), (RedirectTo::Prefix("/".to_owned()), 301));
    assert!(prefix.drop_query && prefix.append_slash && !prefix.keep_query);
    let scheme = redirect("{ scheme = 'https', set_cookie = 'SEEN' }");
    assert_eq!(scheme.to, RedirectTo::Scheme("https".to_owned()));
    assert_eq!(scheme.set_cookie.as_deref(), Some("SEEN"));
    let empty = redirect("{ location = '${EMPTY}', ignore_empty = true }");
    assert_eq!((empty.to, empty.ignore_empty), (RedirectTo::Location(String::new()), true));
}

#[test]
fn what_a_redirect_cannot_be_is_refused() {
    let cases = [
        ("{}", "12: `redirect` needs a `location`, a `prefix` or a `scheme`"),
        ("{ location = '' }", "25: the location is empty; `ignore_empty = true` does nothing then"),
        ("{ prefix = '' }", "23: the prefix is empty; \"/\" puts nothing before the path"),
        (
            "{ location = '/a b' }",
            "25: only printable ASCII without blanks; others are percent-encoded",
        ),
        (
            "{ location = \"/\\r\\nX: y\" }",
            "25: only printable ASCII without blanks; others are percent-encoded",
        ),
        ("{ scheme = 'https://' }", "23: `https://` is no scheme as \"https\""),
        ("{ location = '/', code = 304 }", "37: one of 301, 302, 303, 307 and 308"),
        ("{ location = '/', set_cookie = 'a b' }", "43: a cookie is NAME or NAME=VALUE, in ASCII"),
        ("{ location = '/', clear_cookie = 'a=b' }", "45: a cookie is taken back as NAME or NAME="),
        (
            "{ location = '/', locaton = 'x' }",
            "30: unknown key `locaton` in `redirect` (did you mean `location`?)",
        ),
        ("{ location = '/', if = 'x' }", "30: `if` in `redirect` is not supported by this version"),
        ("true", "12: expected a table, found true or false"),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(&format!("redirect = {text}")), expected, "{text}");
    }
    let found = refused("redirect = { location = '/', scheme = 'https' }");
    assert!(found.contains("a redirect leads to one place"), "{found}");
    let found = refused("redirect = { location = '/', set_cookie = 'a', clear_cookie = 'a' }");
    assert!(found.contains("a redirect sets or clears one cookie"), "{found}");
}

#[test]
fn options_that_a_redirect_has_no_use_for_are_warnings() {
    let warned =
        |text: &str| warnings(&format!("{AROUND}[frontend.f]\nbind = ':1'\nredirect = {text}\n"));
    for (text, key) in [
        ("{ location = '/', drop_query = true }", "drop_query"),
        ("{ prefix = '/', keep_query = true }", "keep_query"),
        ("{ location = '/', append_slash = true }", "append_slash"),
    ] {
        let found = warned(text);
        assert!(found.contains(&format!("`{key}` means nothing with")), "{found}");
    }
    assert_eq!(warned("{ prefix = '/', drop_query = true }"), "");
}

#[test]
fn a_response_has_its_content_from_a_string_or_a_file() {
    let response = |text: &str| match frontend(&format!("return = {text}")).http.answer {
        Some(Answer::Return(response)) => response,
        other => panic!("{other:?}"),
    };
    let empty = response("{}");
    assert_eq!((empty.status, empty.fields.len(), empty.content.len()), (200, 0, 0));
    let text = response(
        "{ status = 404, headers = { X-A = 'b', x-a = ['c', 'd'] }, content_type = 'text/plain', string = 'é' }",
    );
    let fields: Vec<_> =
        text.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(fields, ["Content-Type=text/plain", "X-A=b", "x-a=c", "x-a=d"]);
    assert_eq!((text.status, &*text.content), (404, "é".as_bytes()));
}

#[test]
fn a_file_is_relative_to_its_configuration_and_kept_with_the_texts() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html");
    std::fs::write(&page, b"<p>\xff\r\n").unwrap();
    let path = directory.path().join("x.toml");
    let text = "[frontend.f]\nmode = 'http'\nreturn = { file = 'page.html', content_type = 'text/html' }\n";
    let first = read_files(&[(path.to_str().unwrap(), text)]).unwrap();
    let Some(Answer::Return(response)) = &first.config.frontends[0].http.answer else { panic!() };
    assert_eq!(response.content, b"<p>\xff\r\n");
    std::fs::remove_file(&page).unwrap();
    assert!(read_files(&[(path.to_str().unwrap(), text)]).is_err());
    let again = read(&Sources {
        inputs: first.texts.iter().cloned().map(Input::Text).collect(),
        files: first.files.clone(),
        ..Sources::default()
    });
    assert_eq!(again.unwrap().config, first.config);
}

#[test]
fn what_a_response_cannot_be_is_refused() {
    let cases = [
        ("{ status = 100 }", "21: out of bounds: 200 to 599"),
        (
            "{ string = 'x' }",
            "21: content needs a `content_type`; as content_type = \"text/plain\"",
        ),
        (
            "{ string = 'x', content_type = 'a/b', status = 204 }",
            "21: a response with status 204 has no content",
        ),
        (
            "{ headers = { Connection = 'close' } }",
            "24: this field is about the connection or the message itself and cannot be set",
        ),
        ("{ headers = { content-type = 'x' } }", "24: this is said by `content_type`"),
        (
            "{ headers = { 'a b' = 'x' } }",
            "24: not the name of a field: letters, digits and !#$%&'*+-.^_`|~",
        ),
        (
            "{ headers = { A = \"x\\r\\nB: c\" } }",
            "28: control characters are not allowed in a field",
        ),
        (
            "{ headers = { A = ' x' } }",
            "28: the value of a field neither begins nor ends with a blank",
        ),
        ("{ headers = { A = 5 } }", "28: expected a string, found an integer"),
        ("{ lf_string = 'x' }", "12: `lf_string` in `return` is not supported by this version"),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(&format!("return = {text}")), expected, "{text}");
    }
    let found = refused("return = { file = '/no/such', content_type = 'a/b' }");
    assert!(found.starts_with("19: cannot open /no/such: "), "{found}");
    let found = refused("return = { string = 'x', file = '/etc/hostname', content_type = 'a/b' }");
    assert!(found.contains("the content is given as `string` and as `file`"), "{found}");
    let large = "x".repeat(16_384);
    let found = refused(&format!("return = {{ string = '{large}', content_type = 'a/b' }}"));
    assert!(found.starts_with("10: the answer takes up to 16"), "{found}");
}

#[test]
fn hosts_and_paths_of_a_route_are_multiplied_out() {
    let routes = frontend(
        "routes = [{ host = ['A.b', '*.c', '*'], path = ['/x', '/y'], backend = 'b' }, { deny = true, path = '/z' }]",
    )
    .http
    .routes;
    let found: Vec<_> =
        routes.iter().map(|route| (route.host.clone(), route.path.as_str())).collect();
    let (a, c) = (RouteHost::Exact("a.b".to_owned()), RouteHost::Below("c".to_owned()));
    let expected = [
        (a.clone(), "/x"),
        (a, "/y"),
        (c.clone(), "/x"),
        (c, "/y"),
        (RouteHost::Any, "/x"),
        (RouteHost::Any, "/y"),
        (RouteHost::Any, "/z"),
    ];
    assert_eq!(found, expected);
    assert_eq!(routes[0].to, RouteTarget::Backend(0));
    assert_eq!(routes[6].to, RouteTarget::Answer(Answer::Deny(403)));
}

#[test]
fn the_answers_of_routes_are_bounded() {
    let answers = |hosts: usize| {
        let hosts: Vec<_> = (0..hosts).map(|n| format!("'h{n}'")).collect();
        let (hosts, content) = (hosts.join(","), "x".repeat(15_000));
        let answer = format!("{{ content_type = 'a/b', string = '{content}' }}");
        errors(&around(&format!("routes = [{{ host = [{hosts}], return = {answer} }}]")))
    };
    assert_eq!(answers(4_000), "");
    assert!(answers(5_000).contains("the answers of these routes take more than 64 MiB"));
}

#[test]
fn two_routes_for_one_host_and_path_are_an_error_with_both_places() {
    let found = errors(&around(
        "routes = [\n { host = 'a.b', path = '/x', backend = 'b' },\n { host = ['c', 'A.B.'], path = '/x', deny = true },\n { deny = true },\n { path = '/', host = '*', deny = true },\n]",
    ));
    let expected = "\
x.toml:11:17: there are two routes for a.b/x (first given here: x.toml:10:25)
x.toml:13:11: there are two routes for */ (first given here: x.toml:12:2)";
    assert_eq!(found, expected);
}

#[test]
fn what_a_route_cannot_be_is_refused() {
    let cases = [
        (
            "{ path = '/' }",
            "11: the route leads nowhere; it needs a `backend`, a `redirect`, a `return`, a `deny` or a `tarpit`",
        ),
        ("{ path = '/', backend = 'c' }", "35: there is no backend `c` (did you mean `b`?)"),
        ("{ path = 'x', deny = true }", "20: a path begins with `/`"),
        (
            "{ path = '/a?b', deny = true }",
            "20: a route is for a path, without a query or a fragment",
        ),
        (
            "{ path = \"/a\\u0000\", deny = true }",
            "20: only printable ASCII without blanks; others are percent-encoded",
        ),
        ("{ path = '/a/../b', deny = true }", "20: clients leave `.` and `..` out before they ask"),
        ("{ host = 'a:80', deny = true }", "20: a route is for all ports; leave the port out"),
        ("{ host = 'a/b', deny = true }", "20: `a/b` is no name of a host"),
        ("{ host = 'a', deny = false }", "32: leave it out instead"),
        ("{ hots = 'a', deny = true }", "13: unknown key `hots` in a route (did you mean `host`?)"),
        (
            "{ host = 'a', deny = true, if = 'x' }",
            "38: `if` in a route is not supported by this version",
        ),
        ("5", "11: expected a table, found an integer"),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(&format!("routes = [{text}]")), expected, "{text}");
    }
    let found = refused("routes = [{ host = 'a', deny = true, backend = 'b' }]");
    assert!(found.contains("a route leads to one place"), "{found}");
}

#[test]
fn the_backend_of_a_route_is_in_mode_http_too() {
    let text = "[backend.t]\n[frontend.f]\nmode = 'http'\nroutes = [{ backend = 't' }]\n";
    assert!(errors(text).starts_with("x.toml:4:23: "), "{}", errors(text));
    assert!(errors(text).contains("mode tcp"));
}

#[test]
fn a_frontend_with_routes_or_an_answer_needs_no_default_backend() {
    let warned =
        |keys: &str| warnings(&format!("{AROUND}{BACKEND}[frontend.f]\nbind = ':1'\n{keys}\n"));
    assert_eq!(warned("routes = [{ path = '/a', backend = 'b' }]"), "");
    assert_eq!(warned("deny = true"), "");
    assert!(warned("").contains("answers every request with 503"));
}

#[test]
fn what_no_request_gets_to_is_a_warning() {
    let warned =
        |keys: &str| warnings(&format!("{AROUND}{BACKEND}[frontend.f]\nbind = ':1'\n{keys}\n"));
    assert_eq!(
        warned("routes = [{ path = '/a', backend = 'b' }]\ndeny = true"),
        "x.toml:6:20: no request gets here: `f` answers all of them itself"
    );
    assert_eq!(
        warned("default_backend = 'b'\nroutes = [{ host = 'a', deny = true }, { backend = 'b' }]"),
        "x.toml:6:19: no request gets here (this route takes every one that is left: x.toml:7:40)"
    );
}
