//! Promise: who is asked for a name and a password gets in with the right ones alone, and nobody
//! else's request reaches a server.

use portolan_tests::http::{Response, Scene};
use portolan_tests::{HttpOrigin, Listen};

/// `tiger` as the password of all, hashed in each way (crypt(3)), but of those that are `plain`.
const USERS: &str = r#"
[userlist.staff]
group = [{ name = "admin", users = ["md5", "plain"] }, { name = "ops" }]
user = [
  { name = "md5", password = "$1$saltsalt$qAJipg6knFNk327HJvFhb/" },
  { name = "sha256", password = "$5$rounds=1000$saltsalt$jRDOaS.YCZkAi9nWXuG0lR9NKGXyETLlFy0B4y5ivzC" },
  { name = "sha512", password = "$6$rounds=1000$saltsalt$7hDy.dMiDulXrQRhqJAfnrX/Kto5IHlwaaMWV0.t6L4k5cyiSgHVmxIYAgoRUb2y13YMgLCAorxzCoZnLmWdp1" },
  { name = "bcrypt", password = "$2b$04$abcdefghijklmnopqrstuuoXEAgIDjMnun1kq3xCCZC6132Y0COXS" },
  { name = "yescrypt", password = "$y$j75$saltsaltsaltsalt$fH1rQ69Uc4AQIorGPcurEEZWmBhIT/OhKHsHX7x5AV5" },
  { name = "plain", insecure_password = "sesame" },
  { name = "colons", insecure_password = "a:b:c", groups = ["ops"] },
]
"#;

/// RFC 4648, section 4.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |n: u32| char::from(DIGITS[(n & 63) as usize]);
    text.as_bytes()
        .chunks(3)
        .flat_map(|three| {
            let at = |n: usize| u32::from(three.get(n).copied().unwrap_or_default());
            let bits = at(0) << 16 | at(1) << 8 | at(2);
            let fourth = [digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), digit(bits)];
            (0..4).map(move |n| if n <= three.len() { fourth[n] } else { '=' })
        })
        .collect()
}

fn basic(text: &str) -> String {
    format!("Authorization: Basic {}", base64(text))
}

/// A proxy that asks, before a server.
struct Guarded {
    scene: Scene,
    origin: HttpOrigin,
}

fn guarded(line: &str) -> Guarded {
    let origin = HttpOrigin::named("inside");
    let scene = Scene::of(|front, log| {
        let listen = Listen::http("web", front).http_log(log).server("one", origin.address);
        format!("{USERS}\n{}", listen.line(line))
    });
    Guarded { scene, origin }
}

impl Guarded {
    fn ask(&self, fields: &[&str]) -> Response {
        self.scene.ask(&[&["GET / HTTP/1.1", "Host: x"], fields].concat())
    }

    fn lets_in(&self, who: &str) -> bool {
        match self.ask(&[&basic(who)]).status {
            200 => true,
            401 => false,
            other => panic!("{who}: {other}"),
        }
    }
}

#[test]
fn who_says_nothing_is_asked() {
    let guarded = guarded("auth = { realm = \"Staff only\", userlist = \"staff\" }");
    let response = guarded.ask(&[]).expect(401);
    assert_eq!(response.fields.one("www-authenticate"), Some("Basic realm=\"Staff only\""));
    assert!(guarded.origin.requests().is_empty());
    let line = guarded.scene.line();
    assert!(["PR", "LR"].contains(&line.ending()), "{line:?}");
    assert_eq!((line.status, line.server.as_str()), (401, "<NOSRV>"));
}

#[test]
fn every_kind_of_password_is_checked() {
    let guarded = guarded("auth = { userlist = \"staff\" }");
    for name in ["md5", "sha256", "sha512", "bcrypt", "yescrypt"] {
        assert!(guarded.lets_in(&format!("{name}:tiger")), "{name}");
        for wrong in ["", "Tiger", "tiger ", "tige", "tigerr"] {
            assert!(!guarded.lets_in(&format!("{name}:{wrong}")), "{name}:{wrong:?}");
        }
    }
    assert!(guarded.lets_in("plain:sesame") && guarded.lets_in("colons:a:b:c"));
    for wrong in ["plain:", "plain", "plain:tiger", "nobody:sesame", ":sesame", "", "PLAIN:sesame"]
    {
        assert!(!guarded.lets_in(wrong), "{wrong}");
    }
    assert_eq!(guarded.origin.requests().len(), 7);
}

#[test]
fn only_groups_that_are_named_get_in() {
    let guarded = guarded("auth = { userlist = \"staff\", groups = [\"admin\"] }");
    assert!(guarded.lets_in("plain:sesame") && guarded.lets_in("md5:tiger"));
    assert!(!guarded.lets_in("sha256:tiger") && !guarded.lets_in("colons:a:b:c"));
    let guarded = self::guarded("auth = { userlist = \"staff\", groups = [\"ops\", \"admin\"] }");
    assert!(guarded.lets_in("plain:sesame") && guarded.lets_in("colons:a:b:c"));
    assert!(!guarded.lets_in("sha256:tiger"));
}

#[test]
fn odd_credentials_are_wrong_ones() {
    let guarded = guarded("auth = { userlist = \"staff\" }");
    let right = base64("plain:sesame");
    for field in [
        "Authorization:".to_owned(),
        "Authorization: Basic".to_owned(),
        "Authorization: Basic ".to_owned(),
        "Authorization: Basic !!!!".to_owned(),
        format!("Authorization: Basic {right}="),
        format!("Authorization: Basic {right} x"),
        format!("Authorization: Bearer {right}"),
        format!("Authorization: Basic{right}"),
        format!("Authorization: Basic {}", "A".repeat(8000)),
        format!("X-Authorization: Basic {right}"),
        format!("Proxy-Authorization: Basic {right}"),
        format!("Authorization: {right}"),
    ] {
        assert_eq!(guarded.ask(&[&field]).status, 401, "{field}");
    }
    assert!(guarded.origin.requests().is_empty());
    // The name of the scheme is written in any case.
    assert_eq!(guarded.ask(&[&format!("authorization: bASIC  {right}")]).status, 200);
}

#[test]
fn each_request_of_a_connection_has_to_prove_itself() {
    let guarded = guarded("auth = { userlist = \"staff\" }");
    let mut client = guarded.scene.client();
    for _ in 0..3 {
        client.head(&["GET / HTTP/1.1", "Host: x", &basic("plain:sesame")]).response().expect(200);
        let refused = client.head(&["GET / HTTP/1.1", "Host: x"]).response().expect(401);
        if !refused.keeps() {
            client = guarded.scene.client();
        }
    }
    assert_eq!(guarded.origin.requests().len(), 3);
}

#[test]
fn the_server_sees_who_it_was() {
    let guarded = guarded("auth = { userlist = \"staff\" }");
    guarded.ask(&[&basic("plain:sesame")]).expect(200);
    let request = guarded.origin.only_request();
    let credentials = format!("Basic {}", base64("plain:sesame"));
    assert_eq!(request.fields.one("authorization"), Some(credentials.as_str()));
}

#[test]
fn a_route_may_ask_for_itself() {
    let routes =
        "routes = [{ path = \"/private\", auth = { userlist = \"staff\" }, backend = \"web\" }]";
    let guarded = guarded(routes);
    guarded.ask(&[]).expect(200);
    let ask = |fields: &[&str]| {
        guarded.scene.ask(&[&["GET /private/x HTTP/1.1", "Host: x"], fields].concat()).status
    };
    assert_eq!((ask(&[]), ask(&[&basic("plain:sesame")])), (401, 200));
}

#[test]
fn a_backend_may_ask_for_itself() {
    let origin = HttpOrigin::named("inside");
    let scene = Scene::of(|front, log| {
        let frontend = Listen::frontend("web", front).http_log(log);
        let frontend = frontend.line("default_backend = \"app\"");
        let backend = Listen::backend("app").server("one", origin.address);
        format!("{USERS}\n{frontend}\n{}", backend.line("auth = { userlist = \"staff\" }"))
    });
    let ask =
        |fields: &[&str]| scene.ask(&[&["GET / HTTP/1.1", "Host: x"], fields].concat()).status;
    assert_eq!((ask(&[]), ask(&[&basic("plain:sesame")])), (401, 200));
}

/// A page for those who are not let in may be one's own, the challenge stays.
#[test]
fn the_challenge_stays_whatever_the_page_is() {
    let guarded = guarded("auth = { userlist = \"staff\" }\nerror_format = \"json\"");
    let response = guarded.ask(&[]).expect(401);
    assert_eq!(response.fields.one("content-type"), Some("application/problem+json"));
    assert_eq!(response.fields.one("www-authenticate"), Some("Basic realm=\"web\""));
}

#[test]
fn passwords_are_not_logged() {
    let guarded = guarded("auth = { userlist = \"staff\" }");
    guarded.ask(&[&basic("plain:sesame")]).expect(200);
    guarded.ask(&[&basic("plain:wrong")]).expect(401);
    guarded.scene.log.wait_http(2);
    let secrets = ["sesame", "wrong", &base64("plain:sesame"), &base64("plain:wrong")[..12]];
    let lines = guarded.scene.log.lines().join("\n") + &guarded.scene.portolan.errors();
    for secret in secrets {
        assert!(!lines.contains(secret), "{secret}: {lines}");
    }
}
