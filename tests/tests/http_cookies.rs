//! Promise: a client that brings the cookie comes to the same server again, in every mode, and nobody
//! can make more of the cookie than that.

use portolan_tests::http::{Answer, Request, Response, Scene};
use portolan_tests::{HttpClient, HttpOrigin, address};

/// Two servers that say their name and set what they are asked to, before them a proxy with this cookie.
struct Farm {
    scene: Scene,
    origins: [HttpOrigin; 2],
}

fn origin(name: &'static str) -> HttpOrigin {
    HttpOrigin::answering(move |request| {
        let answer = Answer::ok(name);
        match request.fields.one("x-set") {
            Some(cookie) => answer.field("Set-Cookie", cookie),
            None => answer,
        }
    })
}

fn farm(cookie: &str) -> Farm {
    farm_with(cookie, "cookie = \"s1\"", "cookie = \"s2\"", "")
}

fn farm_with(cookie: &str, one: &str, two: &str, line: &str) -> Farm {
    let origins = [origin("one"), origin("two")];
    let scene = Scene::alone(|listen| {
        listen
            .line(&format!("cookie = {{ {cookie} }}"))
            .line(line)
            .server_with("one", origins[0].address, one)
            .server_with("two", origins[1].address, two)
    });
    Farm { scene, origins }
}

impl Farm {
    fn ask(&self, fields: &[&str]) -> Response {
        self.scene.ask(&[&["GET / HTTP/1.1", "Host: x"], fields].concat()).expect(200)
    }

    /// Where requests with these fields go, many times.
    fn always(&self, fields: &[&str]) -> String {
        let mut names: Vec<String> = (0..6).map(|_| self.ask(fields).text()).collect();
        names.sort();
        names.dedup();
        names.join("+")
    }

    fn last(&self, name: &str) -> Request {
        self.origins[usize::from(name == "two")].requests().pop().expect("a request")
    }

    fn ends(&self, count: usize) -> String {
        self.scene.log.wait_http(count)[count - 1].termination.clone()
    }
}

/// `NAME=VALUE` of the only cookie that is set.
fn set(response: &Response) -> Option<String> {
    response
        .fields
        .one("set-cookie")
        .map(|value| value.split(';').next().unwrap_or_default().trim().to_owned())
}

#[test]
fn an_inserted_cookie_leads_back_to_its_server() {
    let farm = farm("name = \"SRV\", mode = \"insert\"");
    let first = farm.ask(&[]);
    let cookie = set(&first).expect("a cookie");
    let expected = if first.text() == "one" { "SRV=s1" } else { "SRV=s2" };
    assert_eq!(cookie, expected);
    assert!(first.fields.one("set-cookie").is_some_and(|one| one.contains("path=/")), "{first:?}");
    assert_eq!(farm.ends(1), "--NI");
    for (cookie, name) in [("SRV=s1", "one"), ("SRV=s2", "two")] {
        let field = format!("Cookie: other=1; {cookie}; last=2");
        assert_eq!(farm.always(&[&field]), name);
        // Not indirect: the server sees it.
        assert_eq!(farm.last(name).fields.list("cookie"), [format!("other=1; {cookie}; last=2")]);
    }
    assert!(farm.ends(13).starts_with("--V"));
}

#[test]
fn an_indirect_cookie_is_a_matter_of_proxy_and_client() {
    let farm = farm("name = \"SRV\", mode = \"insert\", indirect = true");
    for (sent, seen) in [
        ("Cookie: SRV=s2", None),
        ("Cookie: a=1; SRV=s2", Some("a=1")),
        ("Cookie: SRV=s2; a=1", Some("a=1")),
        ("Cookie: a=1; SRV=s2; b=\"2\"", Some("a=1; b=\"2\"")),
        ("Cookie: XSRV=s1; SRV=s2; SRVX=s1", Some("XSRV=s1; SRVX=s1")),
    ] {
        let response = farm.ask(&[sent]);
        assert_eq!(response.text(), "two", "{sent}");
        assert_eq!(set(&response), None, "{sent}: it is right already");
        let request = farm.last("two");
        assert_eq!(request.fields.one("cookie"), seen, "{sent}");
    }
    assert_eq!(farm.ends(5), "--VN");
}

#[test]
fn an_unknown_value_is_replaced() {
    let farm = farm("name = \"SRV\", mode = \"insert\", indirect = true");
    for value in ["s3", "", "s1x", "S1", "s1~x"] {
        let response = farm.ask(&[&format!("Cookie: SRV={value}")]);
        let expected = if response.text() == "one" { "SRV=s1" } else { "SRV=s2" };
        assert_eq!(set(&response).as_deref(), Some(expected), "{value:?}");
    }
    assert_eq!(farm.ends(1), "--II");
}

#[test]
fn a_request_without_the_cookie_is_balanced() {
    let farm = farm("name = \"SRV\", mode = \"insert\"");
    assert_eq!(farm.always(&[]), "one+two");
    assert_eq!(farm.always(&["Cookie: other=s1"]), "one+two");
}

#[test]
fn an_inserted_cookie_has_its_attributes() {
    let farm = farm(
        "name = \"SRV\", mode = \"insert\", httponly = true, secure = true, \
         domain = \".example.com\", attr = [\"SameSite=Lax\"]",
    );
    let response = farm.ask(&[]);
    let cookie = response.fields.one("set-cookie").expect("a cookie");
    let attributes: Vec<String> =
        cookie.split(';').skip(1).map(|one| one.trim().to_lowercase()).collect();
    for wanted in ["path=/", "httponly", "secure", "domain=.example.com", "samesite=lax"] {
        assert!(attributes.iter().any(|one| one == wanted), "{wanted}: {cookie}");
    }
}

#[test]
fn caches_are_told_where_a_cookie_is_set() {
    let farm = farm("name = \"SRV\", mode = \"insert\", nocache = true, indirect = true");
    assert!(farm.ask(&[]).fields.lists("cache-control", "private"));
    assert!(!farm.ask(&["Cookie: SRV=s1"]).fields.has("cache-control"));
}

#[test]
fn a_cookie_may_be_set_for_post_alone() {
    let farm = farm("name = \"SRV\", mode = \"insert\", postonly = true");
    assert_eq!(set(&farm.ask(&[])), None);
    let response = HttpClient::to(farm.scene.front).post("/", "x").expect(200);
    assert!(set(&response).is_some_and(|cookie| cookie.starts_with("SRV=s")));
}

#[test]
fn the_servers_own_cookie_is_replaced_or_preserved() {
    let farm = farm("name = \"SRV\", mode = \"insert\", indirect = true");
    let response = farm.ask(&["X-Set: SRV=mine; path=/app"]);
    let cookies = response.fields.all("set-cookie");
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert!(cookies[0].starts_with("SRV=s"), "{cookies:?}");
    let response = farm.ask(&["Cookie: SRV=s1", "X-Set: SRV=mine; path=/app"]);
    assert_eq!(response.fields.all("set-cookie"), Vec::<&str>::new());
    let farm = self::farm("name = \"SRV\", mode = \"insert\", indirect = true, preserve = true");
    let response = farm.ask(&["X-Set: SRV=mine; path=/app"]);
    assert_eq!(response.fields.all("set-cookie"), ["SRV=mine; path=/app"]);
}

#[test]
fn a_rewritten_cookie_is_the_servers_with_our_value() {
    let farm = farm("name = \"SRV\", mode = \"rewrite\"");
    assert_eq!(set(&farm.ask(&[])), None);
    let response = farm.ask(&["X-Set: SRV=placeholder; path=/app; HttpOnly"]);
    let value = if response.text() == "one" { "s1" } else { "s2" };
    let expected = format!("SRV={value}; path=/app; HttpOnly");
    assert_eq!(response.fields.all("set-cookie"), [expected.as_str()]);
    assert_eq!(farm.ends(2), "--NR");
    assert_eq!(farm.always(&["Cookie: SRV=s2"]), "two");
    let response = farm.ask(&["X-Set: OTHER=SRV=1"]);
    assert_eq!(response.fields.all("set-cookie"), ["OTHER=SRV=1"]);
}

#[test]
fn a_prefixed_cookie_is_the_servers_again_on_its_way_back() {
    let farm = farm("name = \"SID\", mode = \"prefix\"");
    let response = farm.ask(&["X-Set: SID=abc123; path=/"]);
    let value = if response.text() == "one" { "s1" } else { "s2" };
    assert_eq!(set(&response), Some(format!("SID={value}~abc123")));
    for (prefix, name) in [("s1", "one"), ("s2", "two")] {
        assert_eq!(farm.always(&[&format!("Cookie: SID={prefix}~abc123; x=y")]), name);
        assert_eq!(farm.last(name).fields.one("cookie"), Some("SID=abc123; x=y"));
    }
}

#[test]
fn a_cookie_without_a_mode_is_only_read() {
    let farm = farm("name = \"APP\"");
    assert_eq!(farm.always(&["Cookie: APP=s1"]), "one");
    let response = farm.ask(&["X-Set: APP=s1; path=/"]);
    assert_eq!(response.fields.all("set-cookie"), ["APP=s1; path=/"]);
    assert_eq!(set(&farm.ask(&[])), None);
}

#[test]
fn a_cookie_is_void_after_its_time() {
    let farm = farm(
        "name = \"SRV\", mode = \"insert\", indirect = true, maxidle = \"30m\", maxlife = \"8h\"",
    );
    let first = farm.ask(&[]);
    let cookie = set(&first).expect("a cookie");
    let parts: Vec<&str> = cookie.split('|').collect();
    assert_eq!(parts.len(), 3, "value, last date and first date: {cookie}");
    let name = first.text();
    assert_eq!(farm.always(&[&format!("Cookie: {cookie}")]), name);
    // Dates of long ago: base64 of the seconds since 1970, by fours.
    let old = format!("Cookie: {}|ZZZZZ|ZZZZZ", parts[0]);
    assert_eq!(farm.always(&[&old]), "one+two");
    let replaced = set(&farm.ask(&[&old])).expect("a fresh cookie");
    assert!(!replaced.contains("ZZZZZ"), "{replaced}");
    let idle = format!("Cookie: {}|ZZZZZ|{}", parts[0], parts[2]);
    farm.ask(&[&idle]);
    let lines = farm.scene.log.wait_http(15);
    let third = |n: usize| lines[n].termination.chars().nth(2);
    assert_eq!((third(1), third(14)), (Some('V'), Some('E')), "{lines:#?}");
    assert!(matches!(third(8), Some('E' | 'O')));
}

#[test]
fn values_may_come_from_a_key() {
    let line = "dynamic_cookie_key = \"secret\"";
    let cookie = "name = \"SRV\", mode = \"insert\", indirect = true, dynamic = true";
    let farm = farm_with(cookie, "", "", line);
    let mut values = Vec::new();
    for _ in 0..4 {
        let response = farm.ask(&[]);
        let cookie = set(&response).expect("a cookie");
        assert_eq!(farm.always(&[&format!("Cookie: {cookie}")]), response.text());
        values.push(cookie);
    }
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 2, "{values:?}");
    assert!(values.iter().all(|one| !one.contains("127.")), "{values:?}");
}

#[test]
fn a_client_whose_server_is_dead_gets_another_one_and_its_cookie() {
    let (dead, alive) = (address::free(), origin("alive"));
    let scene = Scene::alone(|listen| {
        listen
            .line("cookie = { name = \"SRV\", mode = \"insert\", indirect = true }")
            .line("redispatch = true")
            .line("retries = 1")
            .server_with("dead", dead, "cookie = \"s1\"")
            .server_with("alive", alive.address, "cookie = \"s2\"")
    });
    let response = scene.ask(&["GET / HTTP/1.1", "Host: x", "Cookie: SRV=s1"]).expect(200);
    assert_eq!((response.text().as_str(), set(&response).as_deref()), ("alive", Some("SRV=s2")));
}

#[test]
fn odd_cookies_neither_persist_nor_break_anything() {
    let farm = farm("name = \"SRV\", mode = \"insert\", indirect = true");
    for cookies in [
        "SRV",
        "=s1",
        "SRV = s1x; ;; ; =",
        "\"SRV=s1",
        ";",
        ",,,",
        "a=\";SRV=s9;\"",
        "SRV=s9; SRV=s9",
        &"x=y; ".repeat(500),
    ] {
        farm.ask(&[&format!("Cookie: {cookies}")]);
    }
    assert_eq!(farm.always(&["Cookie: a=b", "Cookie: SRV=s1"]), "one");
    assert_eq!(farm.always(&["cookie: SRV = s2"]), "two", "blanks around are put up with");
}

/// Each request of a connection has its own cookie.
#[test]
fn requests_of_one_connection_may_go_to_different_servers() {
    let farm = farm("name = \"SRV\", mode = \"insert\", indirect = true");
    let mut client = farm.scene.client();
    for round in 0..10 {
        let (cookie, name) = [("SRV=s1", "one"), ("SRV=s2", "two")][round % 2];
        client.head(&["GET / HTTP/1.1", "Host: x", &format!("Cookie: {cookie}")]);
        assert_eq!(client.response().expect(200).text(), name);
    }
}
/// Others being free is no reason to lose what a server knows of its client.
#[test]
fn a_client_whose_server_is_full_waits_for_it() {
    let (one, gate) = HttpOrigin::gated();
    let two = HttpOrigin::named("two");
    let scene = Scene::alone(|listen| {
        listen
            .line("cookie = { name = \"SRV\", mode = \"insert\", indirect = true }")
            .server_with("one", one.address, "cookie = \"s1\", maxconn = 1")
            .server_with("two", two.address, "cookie = \"s2\"")
    });
    let lines = ["GET / HTTP/1.1", "Host: x", "Cookie: SRV=s1"];
    let mut clients: Vec<HttpClient> = (0..3).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.head(&lines);
    }
    one.wait_requests(1);
    // Those without a cookie are served meanwhile.
    for _ in 0..4 {
        assert_eq!(scene.get("/").expect(200).text(), "two");
    }
    gate.open(3);
    for client in &mut clients {
        let response = client.response().expect(200);
        assert_eq!((response.text().as_str(), set(&response)), ("done", None));
    }
    assert_eq!(two.requests().len(), 4);
}
