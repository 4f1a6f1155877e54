//! How servers are chosen, their limits and numbers, and who waits before whom.

use std::time::Duration;

use portolan_shared::model::{
    Affinity, Backend, Balance, HashFunction, HashKey, HashMethod, Hashing, PersistRule, Priority,
    SourceAddress, UriKey,
};

use super::*;

/// A backend that says this, with two servers.
fn with_two(lines: &str) -> String {
    let server = "server = [{ name = 'a', address = '10.0.0.1:1' }, { name = 'b', address = '10.0.0.2:1' }]\n";
    format!("defaults.timeout = {{ connect = 1, server = 1 }}\n[backend.b]\n{lines}\n{server}")
}

/// A backend of these servers.
fn of(lines: &str, servers: &[&str]) -> String {
    let servers: Vec<_> = servers
        .iter()
        .zip(1..)
        .map(|(keys, n)| format!("{{ name = 's{n}', address = '10.0.0.{n}:1', {keys} }}"))
        .collect();
    let servers = servers.join(",\n").replace(", }", " }");
    format!(
        "defaults.timeout = {{ connect = 1, server = 1 }}\n[backend.b]\n{lines}\nserver = [\n{servers}]\n"
    )
}

fn backend(text: &str) -> Backend {
    config(text).backends.swap_remove(0)
}

fn balance(text: &str) -> Balance {
    backend(&with_two(&format!("mode = 'http'\nbalance = {text}"))).balance
}

fn uri(whole: bool, path_only: bool, len: Option<u32>, depth: Option<u32>) -> Balance {
    Balance::Uri(UriKey { whole, path_only, len, depth })
}

#[test]
fn without_a_word_servers_are_drawn_at_random_as_in_haproxy_since_3_3() {
    assert_eq!(backend(&with_two("")).balance, Balance::Random { draws: 2 });
}

#[test]
fn every_algorithm_has_haproxy_s_line() {
    let name = |name: &str| name.to_owned();
    let cases = [
        ("'roundrobin'", Balance::RoundRobin),
        ("'static-rr'", Balance::StaticRoundRobin),
        ("'leastconn'", Balance::LeastConnections),
        ("'first'", Balance::First),
        ("'source'", Balance::Source),
        ("'random'", Balance::Random { draws: 2 }),
        ("'random(1)'", Balance::Random { draws: 1 }),
        ("'random(3)'", Balance::Random { draws: 3 }),
        ("'uri'", uri(false, false, None, None)),
        ("'uri whole len 20 depth 3 path-only'", uri(true, true, Some(20), Some(3))),
        ("'uri  depth 1'", uri(false, false, None, Some(1))),
        ("'url_param user'", Balance::UrlParam { name: name("user"), check_post: false }),
        ("'url_param u check_post'", Balance::UrlParam { name: name("u"), check_post: true }),
        ("'url_param u check_post 64'", Balance::UrlParam { name: name("u"), check_post: true }),
        ("'hdr(User-Agent)'", Balance::Header { name: name("User-Agent"), use_domain_only: false }),
        (
            "'hdr(Host) use_domain_only'",
            Balance::Header { name: name("Host"), use_domain_only: true },
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(balance(text), expected, "{text}");
    }
    let rdp = |text: &str| backend(&with_two(&format!("balance = {text}"))).balance;
    assert_eq!(rdp("'rdp-cookie'"), Balance::RdpCookie { name: name("mstshash") });
    assert_eq!(rdp("'rdp-cookie(user)'"), Balance::RdpCookie { name: name("user") });
}

#[test]
fn a_table_says_what_a_line_says() {
    let cases = [
        ("{ algorithm = 'leastconn' }", "'leastconn'"),
        ("{ algorithm = 'random' }", "'random'"),
        ("{ algorithm = 'random', draws = 5 }", "'random(5)'"),
        ("{ algorithm = 'uri', depth = 3 }", "'uri depth 3'"),
        ("{ algorithm = 'uri', path_only = true, len = 9 }", "'uri len 9 path-only'"),
        ("{ algorithm = 'url_param', name = 'x', check_post = true }", "'url_param x check_post'"),
        ("{ algorithm = 'hdr', name = 'Host' }", "'hdr(Host)'"),
    ];
    for (table, line) in cases {
        assert_eq!(balance(table), balance(line), "{table}");
    }
}

#[test]
fn a_line_or_table_that_is_none_is_refused_where_it_is_wrong() {
    let names = "one of roundrobin, static-rr, leastconn, first, source, random, uri, url_param, hdr, rdp-cookie";
    let cases = [
        ("'rr'", format!("12: unknown balance \"rr\"; {names}")),
        ("''", "11: expected a string, found an empty one".to_owned()),
        ("' '", "11: `balance` needs an algorithm".to_owned()),
        ("7", "11: expected the name of an algorithm, or a table, found an integer".to_owned()),
        ("'leastconn fast'", "22: balance \"leastconn\" takes no `fast`; it takes nothing".to_owned()),
        ("'leastconn(2)'", "12: leastconn takes nothing in parentheses".to_owned()),
        ("'random(0)'", "12: expected an integer from 1 to 1000".to_owned()),
        ("'random(+2)'", "12: expected an integer from 1 to 1000".to_owned()),
        ("'random(2'", "12: `(` without `)` at the end of the word".to_owned()),
        ("'uri len'", "16: len takes a positive integer".to_owned()),
        ("'uri len x'", "20: expected an integer from 1 to 2147483647".to_owned()),
        ("'uri depth 0'", "22: expected an integer from 1 to 2147483647".to_owned()),
        (
            "'uri path_only'",
            "16: balance \"uri\" takes no `path_only`; it takes whole, path-only, len BYTES, depth DIRECTORIES"
                .to_owned(),
        ),
        ("'url_param'", "12: balance \"url_param\" needs a name".to_owned()),
        (
            "'url_param a 64'",
            "24: balance \"url_param\" takes no `64`; it takes check_post".to_owned(),
        ),
        ("'url_param a=b'", "12: the name of a parameter is without = & ? # and ;".to_owned()),
        ("'hdr'", "12: balance \"hdr\" needs a name".to_owned()),
        ("'hdr()'", "12: hdr(NAME) needs a name".to_owned()),
        (
            "'hdr(a:b)'",
            "12: not the name of a field: letters, digits and !#$%&'*+-.^_`|~".to_owned(),
        ),
        (
            "'hash req.cookie(a)'",
            format!("12: balance \"hash\" is not supported by this version; {names}"),
        ),
        ("'sticky'", format!("12: balance \"sticky\" is not supported by this version; {names}")),
        ("{ depth = 3 }", "11: `balance` needs an `algorithm`".to_owned()),
        (
            "{ algorithm = 'first', depth = 3 }",
            "42: `depth` has no meaning with balance \"first\"".to_owned(),
        ),
        (
            "{ algorithm = 'uri', dept = 3 }",
            "32: unknown key `dept` in `balance` (did you mean `depth`?)".to_owned(),
        ),
        ("{ algorithm = 'random', draws = 1001 }", "43: out of bounds: 1 to 1000".to_owned()),
        ("{ algorithm = 'hdr' }", "25: balance \"hdr\" needs a name".to_owned()),
    ];
    for (text, expected) in cases {
        let found = errors(&format!("[backend.b]\nmode = 'http'\nbalance = {text}\n"));
        assert_eq!(found, format!("x.toml:3:{expected}"), "{text}");
    }
}

#[test]
fn what_a_request_is_needed_for_is_refused_in_mode_tcp_and_inherited_is_no_more_than_turns() {
    for own in ["'uri'", "'hdr(Host)'", "'url_param a'"] {
        let found = errors(&format!("[backend.b]\nbalance = {own}"));
        assert!(found.ends_with("` has no meaning in mode tcp; mode = \"http\" has it"), "{found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
    let own = "[backend.b]\nmode = 'http'\nbalance = 'rdp-cookie'";
    let expected =
        "x.toml:3:11: balance \"rdp-cookie\" has no meaning in mode http; mode = \"tcp\" has it";
    assert_eq!(errors(own), expected);
    let inherited = format!("defaults.balance = 'uri'\n{}", with_two(""));
    let expected = "x.toml:3:10: balance \"uri\" has no meaning in mode tcp: the servers of `b` are used in turn";
    assert_eq!(warnings(&inherited), expected);
    assert_eq!(backend(&inherited).balance, Balance::RoundRobin);
}

#[test]
fn the_mode_may_stand_behind_the_algorithm() {
    let text = with_two("balance = 'uri'\nmode = 'http'");
    assert_eq!(backend(&text).balance, uri(false, false, None, None));
}

#[test]
fn a_hash_type_is_haproxy_s_line_or_a_table() {
    use HashFunction::{Crc32, Djb2, None, Sdbm, Wt6};
    use HashMethod::{Consistent, MapBased};

    let hashing = |text: &str| {
        let hashing =
            backend(&with_two(&format!("balance = 'source'\nhash_type = {text}"))).hashing;
        (hashing.method, hashing.function, hashing.avalanche)
    };
    let cases = [
        ("'map-based'", (MapBased, Sdbm, false)),
        ("'consistent'", (Consistent, Sdbm, true)),
        ("'consistent sdbm'", (Consistent, Sdbm, false)),
        ("'consistent sdbm avalanche'", (Consistent, Sdbm, true)),
        ("'map-based djb2'", (MapBased, Djb2, false)),
        ("'map-based wt6 avalanche'", (MapBased, Wt6, true)),
        ("'consistent crc32'", (Consistent, Crc32, false)),
        ("'map-based none'", (MapBased, None, false)),
        ("{ method = 'consistent' }", (Consistent, Sdbm, true)),
        ("{ method = 'consistent', avalanche = false }", (Consistent, Sdbm, false)),
        ("{ function = 'crc32', avalanche = true }", (MapBased, Crc32, true)),
    ];
    for (text, expected) in cases {
        assert_eq!(hashing(text), expected, "{text}");
    }
    assert_eq!(backend(&with_two("balance = 'source'")).hashing, Hashing::default());
}

#[test]
fn a_hash_type_that_is_none_is_refused_where_it_is_wrong() {
    let functions = "one of sdbm, djb2, wt6, crc32, none";
    let cases = [
        ("'fast'", "14: unknown value `fast`; one of map-based, consistent".to_owned()),
        ("'consistent avalanche'", format!("25: unknown value `avalanche`; {functions}")),
        ("'consistent sdbm x'", "30: unknown value `x`; one of avalanche".to_owned()),
        (
            "'consistent sdbm avalanche x'",
            "40: nothing more goes here; a hash_type is METHOD [FUNCTION [avalanche]]".to_owned(),
        ),
        ("true", "13: expected a method, or a table, found true or false".to_owned()),
    ];
    for (text, expected) in cases {
        let found = errors(&format!("[backend.b]\nhash_type = {text}\n"));
        assert_eq!(found, format!("x.toml:2:{expected}"), "{text}");
    }
}

#[test]
fn a_balance_factor_is_above_a_hundred_per_cent() {
    let factor = |n: u32| {
        let lines =
            format!("balance = 'source'\nhash_type = 'consistent'\nhash_balance_factor = {n}");
        backend(&with_two(&lines)).hashing.balance_factor
    };
    assert_eq!([factor(0), factor(101), factor(200)], [None, Some(101), Some(200)]);
    for bad in [1, 50, 100] {
        let found = errors(&format!("[backend.b]\nhash_balance_factor = {bad}"));
        assert_eq!(found, "x.toml:2:23: a factor is 0 or more than 100 (per cent)");
    }
}

#[test]
fn what_only_a_hash_has_a_use_for_is_warned_of_elsewhere() {
    let said = |lines: &str| warnings(&with_two(lines));
    let expected = "x.toml:4:13: `hash_type` has no effect: balance \"leastconn\" hashes nothing";
    assert_eq!(said("balance = 'leastconn'\nhash_type = 'consistent'"), expected);
    let expected =
        "x.toml:3:23: `hash_balance_factor` has no effect: balance \"roundrobin\" hashes nothing";
    assert_eq!(said("hash_balance_factor = 150\nbalance = 'roundrobin'"), expected);
    let expected =
        "x.toml:4:26: `hash_preserve_affinity` has no effect without a consistent `hash_type`";
    assert_eq!(said("balance = 'source'\nhash_preserve_affinity = 'maxconn'"), expected);
    assert_eq!(said("hash_balance_factor = 150"), "");
    assert_eq!(warnings(&format!("defaults.hash_type = 'consistent'\n{}", with_two(""))), "");
    let preserved = backend(&with_two(
        "balance = 'source'\nhash_type = 'consistent'\nhash_preserve_affinity = 'maxconn'",
    ));
    assert_eq!(preserved.hashing.affinity, Affinity::Maxconn);
}

#[test]
fn an_id_is_its_server_s_own_and_by_default_its_position() {
    let ids = |servers: &[&str]| {
        let ids = backend(&of("", servers)).servers.into_iter().map(|server| server.id);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&["", "", ""]), [1, 2, 3]);
    assert_eq!(ids(&["", "id = 10", ""]), [1, 10, 3]);
    assert_eq!(ids(&["id = 2", "", ""]), [2, 3, 4]);
    assert_eq!(ids(&["", "", "id = 1"]), [2, 3, 1]);
    let found = errors(&of("", &["id = 5", "", "id = 5"]));
    let expected = "x.toml:7:45: two servers have the id 5 (first given here: x.toml:5:45)";
    assert_eq!(found, expected);
    assert!(errors(&of("", &["id = 0"])).contains("out of bounds: 1 to 2147483647"));
    let found = errors("[backend.b]\nserver_defaults = { id = 3 }");
    assert_eq!(found, "x.toml:2:21: `id` does not belong here; it belongs to each server");
}

#[test]
fn a_hash_key_is_one_of_haproxy_s_but_for_guids() {
    let key = |key: &str| {
        let text = of("", &[&format!("hash_key = '{key}'")]);
        backend(&text).servers[0].hash_key
    };
    let keys = ["id", "id32", "addr", "addr-port"].map(key);
    assert_eq!(keys, [HashKey::Id, HashKey::Id32, HashKey::Address, HashKey::AddressPort]);
    let found = errors(&of("", &["hash_key = 'guid'"]));
    assert!(found.contains("hash_key \"guid\" is not supported by this version"), "{found}");
    let found = errors(&of("", &["hash_key = 'name'"]));
    assert!(found.contains("unknown value `name`; one of id, id32, addr, addr-port"), "{found}");
}

#[test]
fn minconn_is_below_maxconn_or_it_is_maxconn() {
    let limits = |keys: &str| {
        let server = backend(&of("", &[keys])).servers.remove(0);
        (server.minconn, server.maxconn)
    };
    assert_eq!(limits("minconn = 5, maxconn = 50"), (Some(5), Some(50)));
    assert_eq!(limits("minconn = 50, maxconn = 50"), (None, Some(50)));
    assert_eq!(limits("minconn = 0, maxconn = 50"), (None, Some(50)));
    assert_eq!(limits("minconn = 5"), (None, Some(5)));
    let expected = "x.toml:5:1: server `s1` has a `minconn` and no `maxconn`: it always has 5";
    assert_eq!(warnings(&of("", &["minconn = 5"])), expected);
    let found = errors(&of("server_defaults.minconn = 6", &["maxconn = 5"]));
    assert_eq!(found, "x.toml:5:1: the minconn 6 of server `s1` is above its maxconn 5");
}

#[test]
fn a_server_is_enabled_or_disabled() {
    let disabled = |lines: &str, keys: &[&str]| {
        let servers = backend(&of(lines, keys)).servers;
        servers.iter().map(|server| server.disabled).collect::<Vec<_>>()
    };
    assert_eq!(disabled("", &["disabled = true", "enabled = true", ""]), [true, false, false]);
    let inherited = "server_defaults.disabled = true";
    assert_eq!(
        disabled(inherited, &["", "enabled = true", "disabled = false"]),
        [true, false, false]
    );
    let found = errors(&of("", &["disabled = true, enabled = true"]));
    assert!(found.starts_with("x.toml:5:67: a server is `enabled` or it is `disabled`"), "{found}");
    let all = warnings(&of("", &["disabled = true", "enabled = false"]));
    assert_eq!(all, "x.toml:2:10: every server of `b` is disabled");
}

#[test]
fn a_slow_start_takes_a_time_and_weights_that_change() {
    let slowstart = |keys: &str| backend(&of("", &[keys])).servers[0].slowstart;
    assert_eq!(slowstart("slowstart = '20s'"), Some(Duration::from_secs(20)));
    assert_eq!(slowstart("slowstart = 1500"), Some(Duration::from_millis(1500)));
    assert_eq!(slowstart("slowstart = 0"), None);
    for balance in ["static-rr", "source"] {
        let lines = format!("balance = '{balance}'");
        let reason = format!("with balance \"{balance}\" weights do not change");
        let found = warnings(&of(&lines, &["slowstart = 9"]));
        let expected =
            format!("x.toml:5:1: the `slowstart` of server `s1` has no effect: {reason}");
        assert_eq!(found, expected);
        let found = warnings(&of(&lines, &["slowstart = 9, maxconn = 9"]));
        assert!(found.contains("only limits connections"), "{found}");
    }
    let consistent = "balance = 'source'\nhash_type = 'consistent'";
    assert_eq!(warnings(&of(consistent, &["slowstart = 9"])), "");
}

#[test]
fn a_server_s_source_may_be_a_range_of_ports_with_one_for_each_worker_at_least() {
    let source = |keys: &str| backend(&of("", &[keys])).servers.remove(0).source.unwrap().address;
    let ports =
        |ip: &str, first, last| SourceAddress::Ports { ip: ip.parse().unwrap(), first, last };
    let range = "source = '192.0.2.1:1024-65535'";
    assert_eq!(source(range), ports("192.0.2.1", 1024, 65_535));
    assert_eq!(source("source = { address = '*:40000-50000' }"), ports("0.0.0.0", 40_000, 50_000));
    assert_eq!(source("source = '[::1]:9000-9999'"), ports("::1", 9000, 9999));
    let small = format!("global.workers = 4\n{}", of("", &["source = '10.0.0.9:5000-5002'"]));
    let expected = "x.toml:6:1: the source of server `s1` has too few ports, 3: each of 4 workers needs its own";
    assert_eq!(errors(&small), expected);
    let enough = format!("global.workers = 4\n{}", of("", &["source = '10.0.0.9:5000-5003'"]));
    assert_eq!(errors(&enough), "");
    let cases = [
        (
            "[backend.b]\nsource = '10.0.0.9:1-9'",
            "2:11: a range of ports belongs to a server's own `source`",
        ),
        ("[backend.b]\nsource = '10.0.0.9:+1'", "2:11: a source has a port, not a distance"),
        (
            "[backend.b]\nserver_defaults.source = '0.0.0.0:1-9 usesrc client'",
            "2:46: `usesrc` goes with the address 0.0.0.0 only",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(errors(text), format!("x.toml:{expected}"));
    }
}

#[test]
fn limits_that_limit_nothing_are_warned_of() {
    let expected = "x.toml:5:1: the `maxqueue` of server `s1` has no effect: it has no `maxconn`";
    assert_eq!(warnings(&of("", &["maxqueue = 5"])), expected);
    let expected = "x.toml:3:12: `fullconn` has no effect: no server has a `minconn`";
    assert_eq!(warnings(&with_two("fullconn = 5")), expected);
    let expected =
        "x.toml:5:1: balance \"first\" never gets beyond server `s1`: it has no `maxconn`";
    assert_eq!(warnings(&of("balance = 'first'", &["", ""])), expected);
    assert_eq!(warnings(&of("balance = 'first'", &["maxconn = 1", "", "backup = true"])), "");
    assert_eq!(warnings(&of("balance = 'first'", &["id = 3", "maxconn = 1", ""])), expected);
}

#[test]
fn rates_of_zero_are_none() {
    let text = "[global]\nmaxconnrate = 0\nmaxsessrate = 0\n[frontend.f]\nrate_limit_sessions = 0";
    let config = config(text);
    let process = &config.process;
    assert_eq!((process.connections_per_second, process.sessions_per_second), (None, None));
    assert_eq!(config.frontends[0].sessions_per_second, None);
    let found = errors("global.maxconnrate = 1048576");
    assert_eq!(found, "x.toml:1:22: out of bounds: 0 to 1048575");
}

#[test]
fn a_route_s_priority_is_over_its_frontend_s() {
    let route = |keys: &str| {
        let text = format!(
            "defaults.mode = 'http'\n[frontend.f]\npriority_class = 1\npriority_offset = 2\n\
             routes = {{ path = '/', backend = 'b'{keys} }}\n[backend.b]"
        );
        let frontend = config(&text).frontends.remove(0);
        assert_eq!(frontend.priority, Priority { class: 1, offset_ms: 2 });
        frontend.http.routes[0].priority
    };
    assert_eq!(route(""), None);
    let some = |class, offset_ms| Some(Priority { class, offset_ms });
    assert_eq!(route(", priority_class = -2047"), some(-2047, 2));
    assert_eq!(route(", priority_offset = 524287"), some(1, 524_287));
    for (key, bounds) in [("class", "-2047 to 2047"), ("offset", "-524287 to 524287")] {
        let found = errors(&format!("[frontend.f]\npriority_{key} = 999999"));
        assert!(found.ends_with(&format!("out of bounds: {bounds}")), "{found}");
    }
    let text = "defaults.mode = 'http'\n[frontend.f]\nbind = ':1'\ntimeout.client = 1\n\
                routes = { path = '/', deny = true, priority_class = 1 }";
    let expected = "x.toml:5:54: `priority_class` has no effect: no server gets these requests";
    assert_eq!(warnings(text), expected);
}

#[test]
fn persistence_is_forced_or_ignored() {
    let rule = |lines: &str| {
        let lines = format!("mode = 'http'\ncookie = 'c'\n{lines}");
        backend(&with_two(&lines)).http.persist
    };
    assert_eq!(rule(""), PersistRule::Normal);
    assert_eq!(rule("force_persist = true"), PersistRule::Force);
    assert_eq!(rule("ignore_persist = true\nforce_persist = false"), PersistRule::Ignore);
    let both = "[backend.b]\nmode = 'http'\nforce_persist = true\nignore_persist = true";
    let expected =
        "x.toml:4:18: persistence is forced or it is ignored (first given here: x.toml:3:17)";
    assert_eq!(errors(both), expected);
    let without = with_two("mode = 'http'\nforce_persist = true");
    let expected = "x.toml:4:17: `force_persist` has no effect in `b`: it has no `cookie`";
    assert_eq!(warnings(&without), expected);
    let route = "defaults.mode = 'http'\n[frontend.f]\nbind = ':1'\ntimeout.client = 1\n\
                 routes = { path = '/x', force_persist = true, backend = 'b' }\ndefault_backend = 'b'\n\
                 [backend.b]\nreturn = { string = 'x', content_type = 'text/plain' }";
    let expected = "x.toml:5:41: this has no effect: `b` has no `cookie`";
    assert_eq!(warnings(route), expected);
    let found = errors("[defaults]\nforce_persist = true");
    assert!(found.contains("`force_persist` does not belong here"), "{found}");
}
