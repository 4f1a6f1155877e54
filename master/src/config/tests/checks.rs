//! How servers are watched: scripts in HAProxy's words, what servers say, whom they track.

use portolan_shared::model::{
    Backend, CheckConnect, CheckKind, CheckText, CheckValue, ExpectStatus, Matching, Observe,
    Probe, ProxyProtocolVersion, Step, StepAction,
};

use super::*;

/// A section with these keys, and with one server that is checked.
fn around(keys: &str) -> String {
    format!(
        "[backend.b]\n{keys}\nserver = [{{ name = 's', address = '10.0.0.1:80', check = true }}]\n\
         [defaults]\ntimeout = {{ connect = 1, server = 1 }}\n"
    )
}

fn kind(check: &str) -> CheckKind {
    config(&around(&format!("check = {check}"))).backends.remove(0).check.kind
}

/// The steps of a script of a type.
fn steps(kind_of: &str, list: &[&str]) -> Vec<Step> {
    let list: Vec<_> = list.iter().map(|line| format!("\"\"\"{}\"\"\"", escaped(line))).collect();
    match kind(&format!("{{ type = '{kind_of}', steps = [{}] }}", list.join(", "))) {
        CheckKind::Tcp(steps) | CheckKind::Http(steps) => steps,
        other => panic!("{other:?}"),
    }
}

/// For TOML's double quotes.
fn escaped(line: &str) -> String {
    line.replace('\\', "\\\\").replace('"', "\\\"")
}

/// What is wrong with one step, where it stands in the line.
fn refused(kind_of: &str, line: &str) -> String {
    let quotes = if line.contains(['\'', '\n']) { "'''" } else { "'" };
    let text =
        around(&format!("check = {{ type = '{kind_of}', steps = [\n{quotes}{line}{quotes}] }}"));
    let found = errors(&text);
    found.strip_prefix("x.toml:3:").unwrap_or(&found).to_owned()
}

fn servers(text: &str) -> Backend {
    config(&format!("{text}\n[defaults]\ntimeout = {{ connect = 1, server = 1 }}\n"))
        .backends
        .remove(0)
}

#[test]
fn a_check_of_http_is_one_request_and_what_is_expected_of_its_response() {
    let CheckKind::Http(steps) = kind("{ type = 'http' }") else { panic!() };
    let [Step { action: StepAction::SendHttp(request), .. }, Step { action: expect, .. }] =
        &steps[..]
    else {
        panic!("{steps:?}")
    };
    assert_eq!(request.method, "OPTIONS");
    assert_eq!(request.uri, CheckText::plain(*b"/"));
    let StepAction::Expect(expect) = expect else { panic!("{expect:?}") };
    assert_eq!(expect.matching, Matching::Status(vec![(200, 399)]));
}

#[test]
fn the_request_has_one_to_four_words() {
    let request = |send: &str| match kind(&format!("{{ type = 'http', send = '{send}' }}")) {
        CheckKind::Http(steps) => match &steps[0].action {
            StepAction::SendHttp(request) => request.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(request("/x").method, "OPTIONS");
    assert_eq!(request("/x").uri, CheckText::plain(*b"/x"));
    assert_eq!(request("GET /x").method, "GET");
    let whole = request("GET /x HTTP/1.1 %[srv_name].example");
    let host = CheckText(vec![CheckValue::ServerName, CheckValue::Bytes(b".example".to_vec())]);
    assert_eq!(whole.fields, [("Host".to_owned(), host)]);
    let text = around("check = { type = 'http', send = 'GET /x HTTP/1.1 a b' }");
    assert_eq!(
        errors(&text),
        "x.toml:2:52: `b` is not expected here; a text with blanks is quoted, or has a backslash before each"
    );
}

#[test]
fn what_is_sent_and_expected_is_said_in_haproxys_words() {
    let sent = |line: &str| match steps("tcp", &[line]).remove(0).action {
        StepAction::Send(text) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(sent(r"send PING\r\n"), CheckText::plain(*b"PING\r\n"));
    assert_eq!(sent(r"send info\ replication\r\n"), CheckText::plain(*b"info replication\r\n"));
    assert_eq!(sent(r#"send "a 'b' \x00\xff""#), CheckText::plain(*b"a 'b' \x00\xff"));
    let pattern = |line: &str| match steps("tcp", &[line]).remove(0).action {
        StepAction::Expect(expect) => expect.matching,
        other => panic!("{other:?}"),
    };
    let regex = |text: &str| Matching::Regex(text.to_owned());
    assert_eq!(pattern(r"expect rstring HTTP/1\..\ (2..|3..)"), regex(r"HTTP/1\.. (2..|3..)"));
    assert_eq!(pattern(r"expect rstring '^\xff\d'"), regex(r"^\xff\d"));
}

#[test]
fn options_of_an_expectation_stand_before_and_behind_its_pattern() {
    let list =
        ["expect ! string a comment b min-recv 0", "expect min-recv -1 !string a ok-status L6OK"];
    let steps = steps("tcp", &list);
    let expects = steps.iter().map(|step| match &step.action {
        StepAction::Expect(expect) => (expect.negated, expect.min_recv, expect.ok_status),
        other => panic!("{other:?}"),
    });
    let expected = [(true, Some(0), ExpectStatus::Default), (true, None, ExpectStatus::L6Ok)];
    assert_eq!(expects.collect::<Vec<_>>(), expected);
    assert_eq!(steps[0].comment.as_deref(), Some("b"));
}

#[test]
fn a_script_of_http_sends_and_expects_what_nobody_said() {
    let names = |list: &[&str]| {
        let steps = steps("http", list);
        let name = |step: &Step| match &step.action {
            StepAction::Connect(_) => 'c',
            StepAction::SendHttp(_) => 's',
            StepAction::Expect(_) => 'e',
            _ => '-',
        };
        steps.iter().map(name).collect::<String>()
    };
    assert_eq!(names(&[]), "se");
    assert_eq!(names(&["connect port 81"]), "cse");
    assert_eq!(names(&["expect status 200"]), "se");
    assert_eq!(names(&["set-var(check.a) int(1)", "expect status 200"]), "-se");
    assert_eq!(
        names(&["connect", "send", "expect status 200", "connect port 81", "send"]),
        "csecse"
    );
}

#[test]
fn a_step_may_be_a_table_with_its_comment() {
    let check =
        "{ type = 'tcp', steps = [{ do = 'send a', comment = 'b c' }, { do = 'connect' }] }";
    let text = around(&format!("check = {check}"));
    assert_eq!(
        errors(&text),
        "x.toml:2:70: a script that connects begins with it; put a `connect` before the first `send` or `expect`"
    );
    let CheckKind::Tcp(steps) =
        kind("{ type = 'tcp', steps = [{ do = 'send a', comment = 'b c' }] }")
    else {
        panic!()
    };
    let step =
        Step { action: StepAction::Send(CheckText::plain(*b"a")), comment: Some("b c".to_owned()) };
    assert_eq!(steps, [step]);
}

#[test]
fn a_connection_goes_where_its_step_says() {
    let connect = |line: &str| match steps("tcp", &[line]).remove(0).action {
        StepAction::Connect(connect) => connect,
        other => panic!("{other:?}"),
    };
    assert_eq!(connect("connect"), CheckConnect::default());
    let address = Some("192.0.2.1".parse().unwrap());
    let expected = CheckConnect { address, linger: true, ..CheckConnect::default() };
    assert_eq!(connect("connect addr ipv4@both linger"), expected);
    assert_eq!(
        connect("connect port var(check.p)").port,
        Some(CheckValue::Variable("check.p".into()))
    );
}

/// What no step can be, each with where it stands in the line and what is said of it.
#[test]
fn what_a_step_cannot_be_is_refused_at_its_place() {
    let steps = [
        ("tcp", "sned a"),
        ("tcp", "tcp-check send a"),
        ("tcp", "send"),
        ("tcp", "send ''"),
        ("tcp", "send a b"),
        ("tcp", "send a comment"),
        ("tcp", "send 'a"),
        ("tcp", "send a # b"),
        ("tcp", r"send a\x4"),
        ("tcp", "send a\n"),
        ("tcp", "send-binary 123"),
        ("tcp", "send-binary xx"),
        ("tcp", "send-binary-lf 5%%"),
        ("tcp", "send-lf %[res.hdr]"),
        ("tcp", "send-lf %[srv_name,upper]"),
        ("tcp", "send-lf %[srv_name"),
        ("tcp", "send-lf %ci"),
        ("tcp", "send-lf %"),
        ("tcp", "send-lf %[date]"),
        ("tcp", "send-lf %[int(x)]"),
        ("tcp", "send-lf %[srv_name(1)]"),
        ("tcp", "send-lf %[]"),
        ("tcp", "connect port 0"),
        ("tcp", "connect port 70000"),
        ("tcp", "connect port http"),
        ("tcp", "connect addr 10.0.0.1:80"),
        ("tcp", "connect addr *"),
        ("tcp", "connect addr nowhere"),
        ("tcp", "connect ssl"),
        ("tcp", "connect prot 80"),
        ("tcp", "expect"),
        ("tcp", "expect comment x"),
        ("tcp", "expect string"),
        ("tcp", "expect string ''"),
        ("tcp", "expect strin a"),
        ("tcp", "expect status 200"),
        ("tcp", "expect string a string b"),
        ("tcp", "expect string a b"),
        ("tcp", "expect rstring (a"),
        ("tcp", r"expect rstring '(a)\1'"),
        ("tcp", r"expect rstring \xff"),
        ("tcp", "expect rstring ((a{100}){100}){100}"),
        ("tcp", "expect binary 2b5"),
        ("tcp", "expect min-recv -2 string a"),
        ("tcp", "expect ok-status L4CON string a"),
        ("tcp", "expect status-code 7 string a"),
        ("tcp", "set-var(txn.a) int(1)"),
        ("tcp", "set-var(proc.a) int(1)"),
        ("tcp", "set-var(check.) int(1)"),
        ("tcp", "set-var(check.a,ifexists) int(1)"),
        ("tcp", "set-var(check.a int(1)"),
        ("tcp", "set-var(check.a)"),
        ("tcp", "set-var(check.a) int(1) x"),
        ("tcp", "set-var(check.a) str(a)b"),
        ("tcp", "unset-var(a)"),
        ("http", "send-binary 00"),
        ("http", "send /x"),
        ("http", "send meth G@T"),
        ("http", "send uri '/a b'"),
        ("http", "send uri /a uri-lf /b"),
        ("http", "send ver HTTP/2"),
        ("http", "send hdr Host"),
        ("http", "send hdr Content-Length 5"),
        ("http", r"send hdr X a\r\nb"),
        ("http", "send hdr a:b c"),
        ("http", "expect binary 00"),
        ("http", "expect status 20"),
        ("http", "expect status 300-200"),
        ("http", "expect status 200,"),
        ("http", "expect hdr Host"),
        ("http", "expect hdr name 'a b'"),
        ("http", "expect hdr name -m exact a"),
        ("http", "expect hdr name-lf -m reg a"),
        ("http", "expect hdr name a value -m reg (b"),
    ];
    let found = steps.map(|(kind, line)| format!("{kind}: {line}\n    {}", refused(kind, line)));
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn what_a_check_cannot_be_is_refused_at_its_place() {
    let checks = [
        "true",
        "'http'",
        "{}",
        "{ type = 'https' }",
        "{ typ = 'http' }",
        "{ type = 'http', user = 'x' }",
        "{ type = 'tcp', expect = 'status 200' }",
        "{ type = 'redis', disable_on_404 = true }",
        "{ type = 'http', uri = '/' }",
        "{ type = 'http', inter = '1s' }",
        "{ type = 'http', ssl = true }",
        "{ type = 'http', log_health_check = true }",
        "{ type = 'http', send = 'GET /', steps = [] }",
        "{ type = 'http', send = 'GET / HTTP/1.1 a', host = 'b' }",
        "{ type = 'http', headers = { Host = ['a', 'b'] } }",
        "{ type = 'http', headers = { Transfer-Encoding = 'chunked', 'a b' = 'c', d = \"e\\r\\nf\", g = '%s' } }",
        "{ type = 'http', send = '' }",
        "{ type = 'http', send = '  ' }",
        "{ type = 'http', send = 'GET /\u{e9}' }",
        "{ type = 'http', expect = [] , steps = 'send a' }",
        "{ type = 'tcp', steps = [5, {}, { do = 'send a', if = 'b' }, { send = 'x' }, { do = 'comment a', comment = 'b' }] }",
        "{ type = 'pgsql' }",
        "{ type = 'pgsql', user = '0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789' }",
        "{ type = 'mysql', post_41 = true }",
        "{ type = 'mysql', user = 'x', post_41 = true, pre_41 = true }",
        "{ type = 'smtp', hello = 'LHLO x' }",
        "{ type = 'smtp', hello = \"HELO x\\r\\n\" }",
        "{ type = 'external' }",
        "{ type = 'external', command = '/bin/true' }",
        "{ type = 'external', command = '/bin/true', path = \"a\\nb\" }",
    ];
    let found = checks.map(|check| {
        format!(
            "{check}\n    {}",
            errors(&around(&format!("check = {check}"))).replace('\n', "\n    ")
        )
    });
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn haproxys_own_keys_say_how_they_are_written_here() {
    let keys = [
        "httpchk",
        "option_httpchk",
        "http_check",
        "http_check_expect",
        "tcp_check",
        "mysql_check",
        "pgsql_check",
        "redis_check",
        "smtpchk",
        "ldap_check",
        "ssl_hello_chk",
        "external_check",
        "log_health_checks",
        "http_check_disable_on_404",
        "tcp_check_send",
    ];
    let text = keys.map(|key| format!("{key} = true\n")).concat();
    insta::assert_snapshot!(errors(&format!("[backend.b]\n{text}")));
}

#[test]
fn what_a_server_says_of_its_checks_is_inherited_key_by_key() {
    let backend = servers(
        "[backend.b]\nserver_defaults = { check = true, inter = '5s', rise = 5, agent_port = 99 }\n\
         server = [{ name = 'a', address = '10.0.0.1:1', interval = 1000 },\n\
         { name = 'b', address = '10.0.0.1:2', check = false, agent_check = true, addr = '10.0.0.9' }]",
    );
    let [a, b] = &backend.servers[..] else { panic!() };
    let seconds = |count| std::time::Duration::from_secs(count);
    assert_eq!((a.health.inter, a.health.rise, a.health.fall), (seconds(1), 5, 3));
    assert!(a.health.check.is_some() && a.health.agent.is_none());
    assert_eq!((b.health.inter, &b.health.check), (seconds(5), &None));
    let agent = b.health.agent.as_ref().unwrap();
    assert_eq!((agent.port, agent.address), (99, Some("10.0.0.9".parse().unwrap())));
}

#[test]
fn a_check_sends_the_header_of_its_server_unless_it_goes_elsewhere() {
    let probe = |keys: &str| {
        let text =
            format!("[backend.b]\nserver = [{{ name = 'a', address = '10.0.0.1:1', {keys} }}]");
        servers(&text).servers.remove(0).health.check.unwrap()
    };
    let header = |keys: &str| probe(keys).send_proxy;
    assert_eq!(header("check = true"), None);
    assert_eq!(header("check = true, send_proxy = true"), Some(ProxyProtocolVersion::V1));
    assert_eq!(header("check = true, send_proxy_v2 = true"), Some(ProxyProtocolVersion::V2));
    assert_eq!(header("check = true, send_proxy = true, port = 5"), None);
    assert_eq!(header("check = true, send_proxy = true, check_send_proxy = false"), None);
    let forced = "check = true, send_proxy_v2 = true, port = 5, check_send_proxy = true";
    assert_eq!(header(forced), Some(ProxyProtocolVersion::V2));
    let table = "check = { port = 5, address = 'both', send_proxy = true }";
    let expected = Probe {
        address: Some("192.0.2.1".parse().unwrap()),
        port: Some(5),
        send_proxy: Some(ProxyProtocolVersion::V1),
    };
    assert_eq!(probe(table), expected);
}

#[test]
fn what_a_server_cannot_say_of_its_checks_is_refused_at_its_place() {
    let keys = [
        "check = 'yes'",
        "check = { type = 'http' }",
        "check = { port = 1 }, port = 2",
        "inter = '1s', interval = '1s'",
        "inter = 0",
        "fastinter = '1 s'",
        "rise = 0, fall = 32768",
        "port = 0, addr = '10.0.0.1:80'",
        "addr = 'unix@/x', agent_addr = ''",
        "agent_check = true",
        "agent_port = 70000, agent_inter = '-1s'",
        "observe = 'layer4'",
        "check = true, observe = 'layer7'",
        "check = true, observe = 'layer5', on_error = 'x', error_limit = 0",
        "on_marked_down = true, on_marked_up = 'shutdown-sessions'",
        "init_state = 'maybe'",
        "check = true, track = 'a', check_ssl = true",
        "track = 'a', init_state = 'down'",
    ];
    let found = keys.map(|keys| {
        let text =
            format!("[backend.b]\nserver = [\n{{ name = 'a', address = '10.0.0.1:1', {keys} }}]");
        format!("{keys}\n    {}", errors(&text).replace('\n', "\n    "))
    });
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn a_check_has_a_port_from_its_server_itself_or_its_script() {
    let found = |check: &str, keys: &str| {
        errors(&format!("[backend.b]\n{check}\nserver = [{{ name = 'a', {keys} }}]"))
    };
    let without = "address = '10.0.0.1', check = true";
    let expected = "x.toml:3:55: the check of server `a` has no port; `port` gives it one, where neither `address` nor each `connect` does";
    assert_eq!(found("", without), expected);
    let script = |steps: &str| format!("check = {{ type = 'tcp', steps = [{steps}] }}");
    assert_eq!(found(&script("'connect', 'connect port 81'"), without), expected);
    assert_eq!(found(&script("'send a'"), without), expected);
    assert_eq!(found(&script("'connect port 80', 'connect port 81'"), without), "");
    assert_eq!(found("", "address = '10.0.0.1', check = true, port = 80"), "");
    assert_eq!(found("", "address = '/run/x.sock', check = true"), "");
    let elsewhere = found("", "address = '/run/x.sock', check = true, addr = '10.0.0.1'");
    assert!(elsewhere.contains("has no port"), "{elsewhere}");
    let agent = "address = '/run/x.sock', agent_check = true, agent_port = 1";
    assert_eq!(found("", agent), "x.toml:3:64: the agent of a UNIX socket needs an `agent_addr`");
}

#[test]
fn a_chain_of_servers_that_track_ends_at_one_that_is_watched() {
    let text = "\
[backend.first]
server = [{ name = 'a', address = '10.0.0.1:1', track = 'second/b' }]
[frontend.between]
bind = ':1'
default_backend = 'first'
[backend.second]
server = [
  { name = 'a', address = '10.0.0.1:1', agent_check = true, agent_port = 5 },
  { name = 'b', address = '10.0.0.1:2', track = 'b#2' },
  { name = 'b', address = '10.0.0.1:3', track = 'a' },
]
";
    let config = config(text);
    let tracks =
        |backend: usize, server: usize| config.backends[backend].servers[server].health.track;
    assert_eq!(tracks(0, 0), Some((1, 0)));
    assert_eq!((tracks(1, 0), tracks(1, 1), tracks(1, 2)), (None, Some((1, 0)), Some((1, 0))));
}

#[test]
fn a_chain_that_ends_nowhere_is_an_error_with_its_place() {
    let text = "\
[backend.b]
server = [
  { name = 'alone', address = '10.0.0.1:1' },
  { name = 'itself', address = '10.0.0.1:1', track = 'itself' },
  { name = 'one', address = '10.0.0.1:1', track = 'two' },
  { name = 'two', address = '10.0.0.1:1', track = 'b/one' },
  { name = 'before', address = '10.0.0.1:1', track = 'one' },
  { name = 'vain', address = '10.0.0.1:1', track = 'alone' },
  { name = 'far', address = '10.0.0.1:1', track = 'c/x' },
  { name = 'behind', address = '10.0.0.1:1', track = 'far' },
  { name = 'near', address = '10.0.0.1:1', track = 'alon' },
  { name = 'third', address = '10.0.0.1:1', track = 'alone#2' },
  { name = 'zero', address = '10.0.0.1:1', track = 'alone#0' },
]
";
    insta::assert_snapshot!(errors(text));
}

#[test]
fn traffic_is_only_observed_of_a_server_that_is_checked() {
    let text = "[backend.b]\nmode = 'http'\nserver_defaults = { observe = 'layer7' }\n\
                server = [{ name = 'a', address = '10.0.0.1:1', check = true }, { name = 'b', address = '10.0.0.1:2' }]";
    let observed: Vec<_> =
        servers(text).servers.iter().map(|server| server.health.observe).collect();
    assert_eq!(observed, [Some(Observe::Layer7), None]);
}

#[test]
fn a_section_replaces_an_inherited_check_or_takes_it_away() {
    let text = "\
[defaults]
check = { type = 'redis', log_health_checks = true }
timeout = { connect = 1, server = 1 }
[backend.a]
server = [{ name = 'a', address = '10.0.0.1:1', check = true }]
[backend.b]
check = { type = 'ldap' }
server = [{ name = 'a', address = '10.0.0.1:1', check = true }]
[backend.c]
check = false
server = [{ name = 'a', address = '10.0.0.1:1', check = true }]
";
    let config = config(text);
    let checks: Vec<_> =
        config.backends.iter().map(|backend| (&backend.check.kind, backend.check.log)).collect();
    let tcp = CheckKind::default();
    assert_eq!(checks, [(&CheckKind::Redis, true), (&CheckKind::Ldap, false), (&tcp, false)]);
}

#[test]
fn a_check_of_nobody_is_a_warning_where_it_is_said() {
    let text = "\
[defaults]
check = { type = 'redis' }
timeout = { connect = 1, server = 1 }
[backend.a]
server = [{ name = 'a', address = '10.0.0.1:1' }]
[backend.b]
check = { type = 'ldap' }
server = [{ name = 'a', address = '10.0.0.1:1' }]
";
    let expected = "x.toml:7:9: `check` has no effect in `b`: no server is checked; `check = true` in a `server` or in `server_defaults` turns it on";
    assert_eq!(warnings(text), expected);
}

#[test]
fn a_command_that_is_not_there_yet_is_a_warning() {
    let text = format!(
        "[global]\nexternal_check = true\n{}",
        around("check = { type = 'external', command = 'no/such/command' }")
    );
    let found = warnings(&text);
    assert!(found.starts_with("x.toml:4:40: no/such/command cannot be run yet: "), "{found}");
}

#[test]
fn the_example_of_the_manual_pages_grammar_is_valid() {
    let blocks = crate::config::checks::SCRIPTS.split(".Bd -literal -offset indent\n").skip(1);
    let blocks: Vec<_> = blocks.map(|rest| rest.split(".Ed").next().unwrap()).collect();
    assert_eq!(blocks.len(), 1);
    let text = format!(
        "{}\n[defaults]\ntimeout = {{ connect = 1, server = 1 }}\n",
        blocks[0].replace("\\e", "\\")
    );
    assert_eq!(warnings(&text), "");
}

#[test]
fn a_chain_of_many_servers_is_followed_once() {
    let server = |at: usize| {
        let track = if at == 0 { "end/s".to_owned() } else { format!("s{}", at - 1) };
        format!("{{ name = 's{at}', address = '10.0.0.1:1', track = '{track}' }},\n")
    };
    let list: String = (0..5000).rev().map(server).collect::<Vec<_>>().concat();
    let text = format!(
        "[backend.b]\nserver = [{list}]\n[backend.end]\n\
         server = [{{ name = 's', address = '10.0.0.1:1', check = true }}]\n"
    );
    let config = config(&text);
    assert!(config.backends[0].servers.iter().all(|server| server.health.track == Some((1, 0))));
}
