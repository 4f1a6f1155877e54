//! Promise: names of servers are looked up at start and at a reload, within one time for all of them,
//! by a process without rights; one that stands for nothing is an error unless that is allowed.

use portolan_tests::{HttpClient, HttpOrigin, Listen, Setup, address};

/// Of a domain that has no names (RFC 6761).
const NOBODY: &str = "nobody.invalid:80";

/// A server at a port of 127.0.0.1, which `localhost` stands for.
fn local(name: &'static str) -> (HttpOrigin, String) {
    let place = address::free_on(std::net::Ipv4Addr::LOCALHOST.into());
    let origin = HttpOrigin::at(place, move |exchange| {
        exchange.content()?;
        exchange.answer(&portolan_tests::http::Answer::ok(name))
    });
    (origin, format!("localhost:{}", place.port()))
}

#[test]
fn a_name_is_looked_up() {
    let (_origin, name) = local("one");
    let front = address::free();
    let listen = Listen::http("web", front).server("one", name);
    let portolan = Setup::new(listen.to_string()).start();
    assert_eq!(HttpClient::to(front).get("/").expect(200).text(), "one");
    portolan.reload();
    assert_eq!(HttpClient::to(front).get("/").expect(200).text(), "one");
    // Whoever looks names up does so once and leaves.
    assert!(!portolan.ask("show proc").contains("resolver"));
}

#[test]
fn a_name_that_stands_for_nothing_is_an_error() {
    let listen = Listen::http("web", address::free()).server("one", NOBODY);
    let failure = Setup::new(listen.to_string()).try_start().expect_err("an error");
    assert!(failure.errors.contains("nobody.invalid"), "{failure}");
}

#[test]
fn a_name_that_stands_for_nothing_may_be_allowed() {
    let two = HttpOrigin::named("two");
    let front = address::free();
    let listen = Listen::http("web", front)
        .server_with("one", NOBODY, "init_addr = \"libc,none\"")
        .server("two", two.address);
    let portolan = Setup::new(listen.to_string()).workers(2).start();
    for _ in 0..6 {
        assert_eq!(HttpClient::to(front).get("/").expect(200).text(), "two");
    }
    portolan.reload();
    assert_eq!(HttpClient::to(front).get("/").expect(200).text(), "two");
}

#[test]
fn an_address_may_stand_in_for_a_name() {
    let (origin, _) = local("one");
    let front = address::free();
    let name = format!("nobody.invalid:{}", origin.address.port());
    let listen =
        Listen::http("web", front).server_with("one", name, "init_addr = \"libc,127.0.0.1\"");
    let _portolan = Setup::new(listen.to_string()).start();
    assert_eq!(HttpClient::to(front).get("/").expect(200).text(), "one");
}

#[test]
fn a_reload_with_a_name_that_stands_for_nothing_changes_nothing() {
    let (_origin, name) = local("one");
    let front = address::free();
    let listen = |name: &str| Listen::http("web", front).server("one", name).to_string();
    let portolan = Setup::new(listen(&name)).start();
    portolan.configure(&listen(NOBODY));
    let said = portolan.reload_fails();
    assert!(said.contains("nobody.invalid"), "{said}");
    assert_eq!(HttpClient::to(front).get("/").expect(200).text(), "one");
}
