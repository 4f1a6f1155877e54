//! Promise: servers learn who asked and where, as configured, in fields that clients cannot fake away.

use std::net::SocketAddr;

use portolan_tests::http::{Request, Scene};
use portolan_tests::{HttpClient, HttpOrigin, Listen, address, client};

/// The request that a server sees when a client at this address sends these fields.
fn seen_from(source: SocketAddr, line: &str, fields: &[&str]) -> (Request, SocketAddr) {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.line(line));
    let mut client = HttpClient::over(client::connect_from(source, scene.front));
    client.head(&[&["GET / HTTP/1.1", "Host: www.example.com:8080"], fields].concat());
    client.response().expect(200);
    (origin.only_request(), scene.front)
}

fn seen(line: &str, fields: &[&str]) -> (Request, SocketAddr) {
    seen_from(SocketAddr::from(([127, 0, 0, 9], 0)), line, fields)
}

#[test]
fn the_clients_address_is_told() {
    let (request, _) = seen("forwardfor = true", &[]);
    assert_eq!(request.fields.all("x-forwarded-for"), ["127.0.0.9"]);
    // Behind what the client claims: a server believes the last one.
    let (request, _) = seen("forwardfor = true", &["X-Forwarded-For: 1.2.3.4"]);
    assert_eq!(request.fields.list("x-forwarded-for"), ["1.2.3.4", "127.0.0.9"]);
    let (request, _) = seen("forwardfor = false", &["X-Forwarded-For: 1.2.3.4"]);
    assert_eq!(request.fields.all("x-forwarded-for"), ["1.2.3.4"]);
}

#[test]
fn the_clients_address_may_be_told_otherwise_or_not_at_all() {
    let (request, _) = seen("forwardfor = { header = \"X-Client\" }", &[]);
    assert_eq!(request.fields.all("x-client"), ["127.0.0.9"]);
    assert!(!request.fields.has("x-forwarded-for"));
    let except = "forwardfor = { except = [\"127.0.0.8/30\"] }";
    let (request, _) = seen(except, &["X-Forwarded-For: 1.2.3.4"]);
    assert_eq!(request.fields.list("x-forwarded-for"), ["1.2.3.4"]);
    let (request, _) = seen_from(SocketAddr::from(([127, 0, 0, 13], 0)), except, &[]);
    assert_eq!(request.fields.list("x-forwarded-for"), ["127.0.0.13"]);
    let if_none = "forwardfor = { if_none = true }";
    let (request, _) = seen(if_none, &["x-forwarded-for: 1.2.3.4"]);
    assert_eq!(request.fields.list("x-forwarded-for"), ["1.2.3.4"]);
    let (request, _) = seen(if_none, &[]);
    assert_eq!(request.fields.list("x-forwarded-for"), ["127.0.0.9"]);
}

#[test]
fn where_the_client_connected_to_is_told() {
    let (request, front) = seen("originalto = true", &["X-Original-To: 1.2.3.4"]);
    assert_eq!(
        request.fields.list("x-original-to"),
        ["1.2.3.4".to_owned(), front.ip().to_string()]
    );
    let (request, front) = seen("originalto = { header = \"X-To\" }", &[]);
    assert_eq!(request.fields.list("x-to"), [front.ip().to_string()]);
}

#[test]
fn a_request_of_a_connection_is_told_once_each() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.line("forwardfor = true"));
    let mut client = scene.client();
    for _ in 0..3 {
        client.get("/").expect(200);
    }
    for request in origin.requests() {
        assert_eq!(request.fields.list("x-forwarded-for").len(), 1, "{request:?}");
    }
}

/// RFC 7239.
#[test]
fn forwarded_tells_in_one_field() {
    let forwarded = |keys: &str, fields: &[&str]| {
        let origin = HttpOrigin::named("ok");
        let scene = Scene::of(|front, log| {
            let frontend = Listen::frontend("web", front).http_log(log);
            let frontend = frontend.line("default_backend = \"app\"");
            let backend = Listen::backend("app").server("one", origin.address);
            format!("{frontend}\n{}", backend.line(&format!("forwarded = {keys}")))
        });
        let source = SocketAddr::from(([127, 0, 0, 9], 0));
        let stream = client::connect_from(source, scene.front);
        let port = stream.local_addr().port();
        let mut client = HttpClient::over(stream);
        client.head(&[&["GET / HTTP/1.1", "Host: www.example.com:8080"], fields].concat());
        client.response().expect(200);
        let mut values = origin.only_request().fields.list("forwarded");
        let last = values.pop().unwrap_or_default();
        let mut pairs: Vec<String> = last.split(';').map(|one| one.trim().to_lowercase()).collect();
        pairs.sort();
        (pairs, values, port, scene.front)
    };
    assert_eq!(forwarded("true", &[]).0, ["for=127.0.0.9", "proto=http"]);
    let (pairs, before, ..) = forwarded("true", &["Forwarded: for=1.2.3.4;proto=https"]);
    assert_eq!(pairs, ["for=127.0.0.9", "proto=http"]);
    assert_eq!(before, ["for=1.2.3.4;proto=https"]);
    let all =
        "{ proto = true, host = true, by = true, by_port = true, for = true, for_port = true }";
    let (pairs, _, port, front) = forwarded(all, &[]);
    assert_eq!(
        pairs,
        [
            format!("by=\"{front}\""),
            format!("for=\"127.0.0.9:{port}\""),
            "host=\"www.example.com:8080\"".to_owned(),
            "proto=http".to_owned(),
        ]
    );
}

#[test]
fn an_ipv6_client_is_told_as_such() {
    let origin = HttpOrigin::named("ok");
    let front = address::free_v6();
    let listen = Listen::http("web", front).server("one", origin.address);
    let listen = listen.line("forwardfor = true").line("forwarded = true");
    let _portolan = portolan_tests::Portolan::start(listen.to_string());
    HttpClient::to(front).get("/").expect(200);
    let request = origin.only_request();
    assert_eq!(request.fields.list("x-forwarded-for"), ["::1"]);
    let forwarded = request.fields.one("forwarded").expect("a field").to_lowercase();
    assert!(forwarded.contains("for=\"[::1]\""), "{forwarded}");
}

#[test]
fn a_client_behind_the_proxy_protocol_is_told_as_it_is() {
    let origin = HttpOrigin::named("ok");
    let front = address::free();
    let listen = Listen::named("web").bind(front, "accept_proxy = true");
    let text = listen.server("one", origin.address).line("forwardfor = true").to_string();
    let text = text.replace("mode = \"tcp\"", "mode = \"http\"");
    let _portolan = portolan_tests::Portolan::start(text);
    let mut client = HttpClient::to(front);
    client.send("PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n");
    client.get("/").expect(200);
    client.get("/").expect(200);
    for request in origin.requests() {
        assert_eq!(request.fields.list("x-forwarded-for"), ["192.0.2.7"]);
    }
}

#[test]
fn every_request_has_an_id_of_its_own() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::of(|front, log| {
        Listen::http("web", front)
            .http_log(log)
            .line("unique_id_format = '%{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid'")
            .line("unique_id_header = \"X-Unique-ID\"")
            .server("one", origin.address)
            .to_string()
            .replace("httplog = true", "log_format = 'id=%ID'")
    });
    let mut client = scene.client();
    for _ in 0..5 {
        client.get("/").expect(200);
    }
    scene.get("/").expect(200);
    let ids: Vec<String> = origin
        .requests()
        .iter()
        .map(|one| one.fields.one("x-unique-id").expect("an id").to_owned())
        .collect();
    let mut different = ids.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 6, "{ids:?}");
    for id in ids {
        scene.log.wait_for(&format!("id={id}"));
    }
}
