//! How a server's name becomes an address.

use portolan_shared::model::ServerAddress;

use super::*;

/// A backend with one server of this name, which is to be found so.
fn of(address: &str, init_addr: &str) -> String {
    format!(
        "defaults.timeout = {{ connect = 1, server = 1 }}\n[backend.b]\n\
         server = [{{ name = 's', address = '{address}', init_addr = {init_addr} }}]\n"
    )
}

fn address(loaded: &Loaded) -> String {
    match &loaded.config.backends[0].servers[0].address {
        ServerAddress::Tcp(address) => address.to_string(),
        other => format!("{other:?}"),
    }
}

/// Reads it while a configuration runs in which names stood for these.
fn after(last: &[(&str, &str)], text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let last = last.iter().map(|(name, ip)| ((*name).to_owned(), vec![ip.parse().unwrap()]));
    read(&Sources { last: last.collect(), ..sources(&[("x.toml", text)]) })
}

#[test]
fn a_name_that_is_not_found_is_an_error_unless_none_or_an_address_follows() {
    let found = errors(&of("nowhere:80", "'libc'"));
    let help = "with init_addr = \"libc,none\" it starts without the server";
    assert_eq!(found, format!("x.toml:3:35: cannot resolve `nowhere`: unknown host; {help}"));
    let none = read_text(&of("nowhere:80", "'libc,none'")).unwrap();
    let unresolved = ServerAddress::Unresolved { name: "nowhere".to_owned() };
    assert_eq!(none.config.backends[0].servers[0].address, unresolved);
    let expected = "x.toml:3:35: server `s` is not used: cannot resolve `nowhere`: unknown host";
    assert_eq!(lines(&none.warnings), expected);
    let fixed = read_text(&of("nowhere:80", "'libc, 10.0.0.9'")).unwrap();
    assert_eq!((address(&fixed).as_str(), lines(&fixed.warnings).as_str()), ("10.0.0.9:80", ""));
}

#[test]
fn the_first_method_that_gives_an_address_is_taken() {
    let cases = [
        ("'libc,none'", "192.0.2.1:80"),
        ("['last', 'libc']", "192.0.2.1:80"),
        ("'10.0.0.9,libc'", "10.0.0.9:80"),
        ("'2001:db8::9'", "[2001:db8::9]:80"),
        ("'none,libc'", "Unresolved { name: \"both\" }"),
    ];
    for (methods, expected) in cases {
        assert_eq!(address(&read_text(&of("both:80", methods)).unwrap()), expected, "{methods}");
    }
    let found = errors(&of("both:80", "'last'"));
    assert_eq!(found, "x.toml:3:35: `both` has had no address before");
    let loaded = read_text(&of("both:80", "'none'")).unwrap();
    let expected = "x.toml:3:35: server `s` is not used: `both` is not looked up";
    assert_eq!(lines(&loaded.warnings), expected);
}

#[test]
fn last_is_what_the_name_stood_for_in_the_configuration_that_runs() {
    let last = [("both", "10.0.0.7"), ("gone", "10.0.0.8")];
    let found = |name: &str, methods: &str| address(&after(&last, &of(name, methods)).unwrap());
    assert_eq!(found("both:80", "'last,libc'"), "10.0.0.7:80");
    assert_eq!(found("gone:80", "'libc,last'"), "10.0.0.8:80");
    assert_eq!(found("both:80", "'libc,last'"), "192.0.2.1:80");
    assert_eq!(found("ipv6@both:80", "'last,libc'"), "[2001:db8::1]:80");
    let loaded = after(&last, &of("gone:80", "'last'")).unwrap();
    let again = after(&[], &of("gone:80", "'last'"));
    assert!(again.is_err());
    let last = loaded.last.clone();
    let text = of("gone:80", "'last'");
    let again = read(&Sources { last, ..sources(&[("x.toml", &text)]) }).unwrap();
    assert_eq!(again.config, loaded.config);
}

#[test]
fn defaults_say_it_for_all_servers_and_one_of_them_otherwise() {
    let text = "[backend.b]\nserver_defaults.init_addr = 'none'\nserver = [\n\
                { name = 'a', address = 'both:1' },\n\
                { name = 'b', address = 'both:1', init_addr = 'libc' },\n\
                { name = 'c', address = '10.0.0.1:1' }]";
    let servers = config(text).backends.remove(0).servers;
    let used = |at: usize| matches!(servers[at].address, ServerAddress::Tcp(_));
    assert_eq!([used(0), used(1), used(2)], [false, true, true]);
}

#[test]
fn what_is_no_method_is_refused_where_it_stands() {
    let help = "one of last, libc, none, or an address";
    let cases = [
        ("'dns'", format!("3:59: `dns` is no way to find an address; {help}")),
        ("'libc, dns'", format!("3:65: `dns` is no way to find an address; {help}")),
        ("'libc,,none'", format!("3:64: `` is no way to find an address; {help}")),
        ("['libc', '0.0.0.0']", format!("3:68: `0.0.0.0` is no way to find an address; {help}")),
        ("[]", "3:58: a name needs a way to become an address".to_owned()),
    ];
    for (methods, expected) in cases {
        assert_eq!(errors(&of("both:80", methods)), format!("x.toml:{expected}"), "{methods}");
    }
}
