//! What sections mean together: defaults, references, order, and what is worth a warning.

use std::time::Duration;

use portolan_shared::model::{
    BindAddress, LogEndpoint, Mode, Redispatch, ServerAddress, Source, SourceAddress,
};

use super::*;

/// A section of timeouts, so that no warning about them stands in the way.
const TIMEOUTS: &str = "defaults.timeout = { connect = 1, client = 2, server = 3 }\n";

fn with_timeouts(text: &str) -> String {
    format!("{TIMEOUTS}{text}")
}

#[test]
fn a_listen_section_is_a_frontend_and_a_backend_of_one_name() {
    let text = "[listen.mysql_1]\nbind = ':3307'\n[[listen.mysql_1.server]]\nname = 'srv1'\naddress = '127.0.0.1:10000'\n";
    let config = config(&with_timeouts(text));
    let [frontend] = &config.frontends[..] else { panic!() };
    let [backend] = &config.backends[..] else { panic!() };
    assert_eq!((&*frontend.name, frontend.default_backend), ("mysql_1", Some(0)));
    assert_eq!(frontend.binds[0].address, BindAddress::Tcp("0.0.0.0:3307".parse().unwrap()));
    assert_eq!((&*backend.name, backend.servers.len()), ("mysql_1", 1));
    assert_eq!(warnings(&with_timeouts(text)), "");
}

#[test]
fn order_in_the_file_is_order_in_the_model() {
    let text = "[backend.z]\n[frontend.y]\n[listen.x]\n[backend.a]\n[frontend.b]\n[listen.c]\n";
    let config = config(text);
    let frontends: Vec<_> = config.frontends.iter().map(|frontend| &*frontend.name).collect();
    let backends: Vec<_> = config.backends.iter().map(|backend| &*backend.name).collect();
    assert_eq!(frontends, ["y", "x", "b", "c"]);
    assert_eq!(backends, ["z", "x", "a", "c"]);
    let own: Vec<_> = config.frontends.iter().map(|frontend| frontend.default_backend).collect();
    assert_eq!(own, [None, Some(1), None, Some(3)]);
}

#[test]
fn servers_of_one_name_stay_two_servers_in_order() {
    let text = "[backend.b]\nserver = [{ name = 'w', address = '10.0.0.2:1' }, { name = 'w', address = '10.0.0.1:1' }]";
    let servers = &config(text).backends[0].servers;
    let addresses = servers.iter().map(|server| format!("{} {:?}", server.name, server.address));
    assert_eq!(addresses.collect::<Vec<_>>(), ["w Tcp(10.0.0.2:1)", "w Tcp(10.0.0.1:1)"]);
}

#[test]
fn defaults_hold_key_by_key_and_named_ones_instead_of_them() {
    let config = config(
        "[frontend.plain]\ntimeout.client = '9s'\n[frontend.named]\nfrom = 'b'\n\
         [defaults]\nmaxconn = 5\ntimeout = { client = '1s', tunnel = '7s' }\n\
         [named_defaults.b]\nfrom = 'a'\nbacklog = 6\nbacklog_is_not_a_key = 1\n"
            .replace("backlog_is_not_a_key = 1\n", "")
            .replace("[defaults]", "[named_defaults.a]\ntimeout.client = 3\n[defaults]")
            .as_str(),
    );
    let [plain, named] = &config.frontends[..] else { panic!() };
    assert_eq!(plain.maxconn, Some(5));
    assert_eq!(plain.timeouts.client, Some(Duration::from_secs(9)));
    assert_eq!(plain.timeouts.tunnel, Some(Duration::from_secs(7)));
    assert_eq!((named.maxconn, named.timeouts.tunnel), (None, None));
    assert_eq!(named.timeouts.client, Some(Duration::from_millis(3)));
}

#[test]
fn a_timeout_of_zero_takes_an_inherited_one_away() {
    let config = config("defaults.timeout.client = 5\n[frontend.f]\ntimeout.client = 0\n");
    assert_eq!(config.frontends[0].timeouts.client, None);
}

#[test]
fn named_defaults_that_turn_in_a_circle_are_an_error() {
    let text =
        "[named_defaults.a]\nfrom = 'b'\n[named_defaults.b]\nfrom = 'a'\n[frontend.f]\nfrom = 'a'";
    assert_eq!(errors(text), "x.toml:1:17: `a` takes its defaults from itself");
}

#[test]
fn a_long_chain_of_named_defaults_is_followed() {
    let mut text = "[named_defaults.d0]\nmaxconn = 7\n".to_owned();
    for n in 1..3000 {
        let section = format!("[named_defaults.d{n}]\nfrom = 'd{}'\n", n - 1);
        text.insert_str(0, &section);
    }
    text.push_str("[frontend.f]\nfrom = 'd2999'\n");
    assert_eq!(config(&text).frontends[0].maxconn, Some(7));
}

#[test]
fn the_default_backend_may_be_a_backend_or_a_listen_section_but_must_exist() {
    let text = "[listen.app]\n[backend.api]\n[frontend.a]\ndefault_backend = 'app'\n[frontend.b]\ndefault_backend = 'api'";
    let frontends = config(text).frontends;
    assert_eq!((frontends[1].default_backend, frontends[2].default_backend), (Some(0), Some(1)));
    let text = "[backend.app]\n[frontend.a]\ndefault_backend = 'ap'";
    assert_eq!(errors(text), "x.toml:3:19: there is no backend `ap` (did you mean `app`?)");
}

#[test]
fn a_frontend_and_its_backend_have_the_same_mode() {
    let text = "[listen.app]\nmode = 'http'\n[frontend.a]\ndefault_backend = 'app'";
    let expected = "x.toml:4:19: `a` is in mode tcp and its backend `app` in mode http";
    assert_eq!(errors(text), expected);
    let text = format!("[defaults]\nmode = 'http'\n{text}");
    let config = config(&text);
    assert_eq!([config.frontends[0].mode, config.backends[0].mode], [Mode::Http; 2]);
}

#[test]
fn what_only_mode_http_has_is_refused_in_mode_tcp_unless_it_is_inherited() {
    let inherited = "defaults.timeout = { http_request = 1 }\n[frontend.f]\n";
    assert_eq!(errors(inherited), "");
    let own = "[frontend.f]\ntimeout = { client = 1, http_request = 1 }";
    let expected = "x.toml:2:25: `http_request` has no meaning in mode tcp; mode = \"http\" has it";
    assert_eq!(errors(own), expected);
    let misspelt = format!("{own}\nmode = 'htp'");
    assert_eq!(errors(&misspelt).lines().count(), 1);
}

#[test]
fn a_name_is_taken_once_among_frontends_and_once_among_backends() {
    assert_eq!(config("[frontend.x]\n[backend.x]").backends.len(), 1);
    for (first, second) in [("frontend", "listen"), ("listen", "frontend"), ("backend", "listen")] {
        let text = format!("[{first}.x]\n[{second}.x]");
        let column = second.len() + 3;
        let before = first.len() + 3;
        let expected =
            format!("x.toml:2:{column}: `x` is given twice (first given here: x.toml:1:{before})");
        assert_eq!(errors(&text), expected);
    }
}

#[test]
fn an_address_is_bound_once() {
    let text = "[frontend.a]\nbind = ':80-82'\n[frontend.b]\nbind = ['127.0.0.1:80', '*:81']";
    assert_eq!(errors(text), "x.toml:4:26: `*:81` is bound twice (first bound here: x.toml:2:9)");
    let text = "[frontend.a]\nbind = [{ address = ':80', interface = 'eth0' }, { address = ':80', interface = 'eth1' }]";
    assert_eq!(config(text).frontends[0].binds.len(), 2);
    let text = "[frontend.a]\nbind = ['fd@3', 'fd@3']";
    assert_eq!(errors(text), "x.toml:2:18: `fd@3` is bound twice (first bound here: x.toml:2:10)");
}

#[test]
fn options_must_fit_the_family_of_the_address() {
    let cases = [
        ("address = '/x', mss = 1400", "`mss` is only for TCP addresses"),
        ("address = ':80', v6only = true", "`v6only` is only for IPv6 addresses"),
        ("address = ':80', mode = '600'", "`mode` is only for UNIX sockets"),
        ("address = 'fd@3', tfo = true", "`tfo` is only for TCP addresses"),
        ("address = '/x', transparent = true", "`transparent` is only for TCP addresses"),
    ];
    for (bind, expected) in cases {
        let found = errors(&format!("[frontend.f]\nbind = {{ {bind} }}"));
        assert!(found.contains(expected), "{bind}: {found}");
    }
    assert_eq!(
        errors("[frontend.f]\nbind = { address = '/x', transparent = false, tfo = false }"),
        ""
    );
}

#[test]
fn log_global_stands_for_the_targets_of_global() {
    let text = "[frontend.f]\nlog = ['stderr', 'global']\n[global]\nlog = 'stdout'";
    let frontend = &config(text).frontends[0];
    let endpoints: Vec<_> = frontend.logs.iter().map(|target| &target.endpoint).collect();
    assert_eq!(endpoints, [&LogEndpoint::Stderr, &LogEndpoint::Stdout]);
    let text = "defaults.log = 'global'\nglobal.log = 'stdout'\n[frontend.f]\nlog = false";
    assert!(config(text).frontends[0].logs.is_empty());
}

#[test]
fn file_names_are_relative_to_their_file() {
    let text = "[listen.f]\nbind = 'unix@run/a.sock'\nserver = [{ name = 's', address = 'unix@b.sock' }]\n[global]\npidfile = 'p'";
    let config = read_files(&[("/etc/portolan/x.toml", text)]).unwrap().config;
    let bind = &config.frontends[0].binds[0].address;
    assert_eq!(*bind, BindAddress::Unix("/etc/portolan/run/a.sock".into()));
    let server = &config.backends[0].servers[0].address;
    assert_eq!(*server, ServerAddress::Unix("/etc/portolan/b.sock".into()));
    assert_eq!(config.process.pidfile, Some("/etc/portolan/p".into()));
}

#[test]
fn variables_reach_strings_and_numbers() {
    let text = "[listen.f]\nbind = '${HOST}:${PORT}'\nmaxconn = '${PORT}'\nlog = 'stderr${EMPTY} ${NONE-local0}'\nserver = []";
    let frontend = &config(text).frontends[0];
    assert_eq!(frontend.binds[0].address, BindAddress::Tcp("10.0.0.1:8080".parse().unwrap()));
    assert_eq!(frontend.maxconn, Some(8080));
}

#[test]
fn host_names_are_resolved_ipv4_first() {
    let address = |server: &str| {
        let text = format!("[backend.b]\nserver = [{{ name = 's', address = '{server}' }}]");
        config(&text).backends[0].servers[0].address.clone()
    };
    assert_eq!(address("both:80"), ServerAddress::Tcp("192.0.2.1:80".parse().unwrap()));
    assert_eq!(address("ipv6@both:80"), ServerAddress::Tcp("[2001:db8::1]:80".parse().unwrap()));
    assert_eq!(address("six:80"), ServerAddress::Tcp("[2001:db8::6]:80".parse().unwrap()));
    let text = "[backend.b]\nserver = [{ name = 's', address = 'ipv4@six:80' }]";
    let help = "with init_addr = \"libc,none\" it starts without the server";
    let expected = format!("x.toml:2:35: `six` has no address of the wanted family; {help}");
    assert_eq!(errors(text), expected);
}

#[test]
fn a_source_is_a_line_or_a_table() {
    let source =
        |text: &str| config(&format!("[backend.b]\nsource = {text}")).backends[0].source.clone();
    let any = |interface: &str| {
        Some(Source { address: SourceAddress::Any, interface: Some(interface.to_owned()) })
    };
    assert_eq!(source("'0.0.0.0 interface eth0'"), any("eth0"));
    assert_eq!(source("{ interface = 'eth0' }"), any("eth0"));
    let whose = |address| Some(Source { address, interface: None });
    assert_eq!(source("'0.0.0.0 usesrc client'"), whose(SourceAddress::Client));
    assert_eq!(source("{ usesrc = 'clientip' }"), whose(SourceAddress::ClientIp));
    assert_eq!(source("'192.0.2.1'"), whose(SourceAddress::Fixed("192.0.2.1:0".parse().unwrap())));
    let found = errors("[backend.b]\nsource = '192.0.2.1 usesrc client'");
    assert_eq!(found, "x.toml:2:28: `usesrc` goes with the address 0.0.0.0 only");
}

#[test]
fn redispatch_counts_as_in_haproxy() {
    let redispatch =
        |text: &str| config(&format!("[backend.b]\nredispatch = {text}")).backends[0].redispatch;
    let cases = [
        ("true", Redispatch::Last),
        ("-1", Redispatch::Last),
        ("false", Redispatch::Off),
        ("0", Redispatch::Off),
        ("3", Redispatch::Every(3)),
        ("-3", Redispatch::EveryFromLast(3)),
    ];
    for (text, expected) in cases {
        assert_eq!(redispatch(text), expected, "{text}");
    }
}

#[test]
fn limits_of_zero_are_none() {
    let text = "[listen.l]\nmaxconn = 0\nbind = { address = ':1', maxconn = 0 }\nserver = [{ name = 's', address = '10.0.0.1:1', maxconn = 0 }]";
    let config = config(text);
    let server = &config.backends[0].servers[0];
    assert_eq!((config.frontends[0].maxconn, config.frontends[0].binds[0].maxconn), (None, None));
    assert_eq!(server.maxconn, None);
}

#[test]
fn a_user_without_a_group_brings_its_own() {
    let process = config("[global]\nuser = 'root'\n").process;
    assert_eq!(process.group.map(|group| group.id), Some(0));
    let found = errors("[global]\nuser = 'root'\nuid = 0\n");
    assert_eq!(
        found,
        "x.toml:3:7: the user is given as `user` and as `uid` (first given here: x.toml:2:8)"
    );
}

#[test]
fn a_chroot_must_be_a_directory_that_exists() {
    let found = errors("[global]\nchroot = '/nowhere/at/all'\n");
    assert!(found.starts_with("x.toml:2:10: no directory /nowhere/at/all: "), "{found}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let found = errors(&format!("[global]\nchroot = '{}'\n", file.path().display()));
    assert!(found.ends_with("is not a directory"), "{found}");
}

#[test]
fn a_poller_must_be_left() {
    let text = "[global]\nnoepoll = true\nnopolling = true\nnopoll = true\nnoselect = true\n";
    assert_eq!(errors(text), "x.toml:5:12: no poller is left: every one is turned off");
}

#[test]
fn a_proxy_header_must_fit_into_a_buffer() {
    let field = "x".repeat(1000);
    let text = format!(
        "global.tune.bufsize = 1024\n[backend.b]\nserver = [{{ name = 's', address = '10.0.0.1:1', send_proxy_v2.tlvs = {{ 0xE0 = '{field}' }} }}]"
    );
    let found = errors(&text);
    assert!(found.contains("may take 1373 bytes and a buffer (bufsize) has 1024"), "{found}");
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let text = "\
[global]
maxconn = 100
[defaults]
[named_defaults.unused]
[frontend.f]
maxconn = 200
tcplog = true
clitcpka_idle = 10
bind = { address = ':80', maxconn = 300 }
[frontend.g]
default_backend = 'b'
[backend.b]
[backend.c]
server = [{ name = 's', address = '10.0.0.1:1' }]
";
    insta::assert_snapshot!(warnings(text));
}

#[test]
fn the_texts_give_the_same_configuration_again() {
    let text = with_timeouts("[listen.l]\nbind = ':${PORT}'\n");
    let first = read_text(&text).unwrap();
    let again = read_files(&[("x.toml", &first.texts[0].text)]).unwrap();
    assert_eq!(first.config, again.config);
}

#[test]
fn nothing_to_read_is_an_error() {
    let found = read_files(&[]).unwrap_err();
    assert_eq!(lines(&found), "no configuration file was given");
}
