//! Promise: a request goes where its host and its path say, by the best match, and costs no more with
//! many routes than with few.

use std::fmt::Write as _;

use portolan_tests::http::{Response, Scene};
use portolan_tests::{HttpOrigin, Listen};

/// A frontend with these routes, before the backends `a`, `b` and `rest`, whose servers say their name.
struct Routed {
    scene: Scene,
    _origins: [HttpOrigin; 3],
}

fn routed(routes: &str) -> Routed {
    let origins = ["a", "b", "rest"].map(HttpOrigin::named);
    let scene = Scene::of(|front, log| {
        let frontend =
            Listen::frontend("web", front).http_log(log).line("default_backend = \"rest\"");
        let mut text = frontend.line(&format!("routes = [{routes}]")).to_string();
        for (name, origin) in ["a", "b", "rest"].iter().zip(&origins) {
            let backend = Listen::backend(name).server("one", origin.address);
            write!(text, "\n{backend}").expect("a string");
        }
        text
    });
    Routed { scene, _origins: origins }
}

impl Routed {
    fn ask(&self, host: &str, path: &str) -> Response {
        self.scene.ask(&[&format!("GET {path} HTTP/1.1"), &format!("Host: {host}")])
    }

    /// Which backend serves it.
    fn to(&self, host: &str, path: &str) -> String {
        self.ask(host, path).expect(200).text()
    }
}

#[test]
fn a_host_is_compared_without_case_and_port() {
    let routed = routed(r#"{ host = "www.Example.com", backend = "a" }"#);
    for host in ["www.example.com", "WWW.EXAMPLE.COM", "www.example.com:8080"] {
        assert_eq!(routed.to(host, "/"), "a", "{host}");
    }
    for host in ["example.com", "xwww.example.com", "www.example.com.evil", "www.example.co", ""] {
        assert_eq!(routed.to(host, "/"), "rest", "{host}");
    }
}

#[test]
fn a_wildcard_is_for_all_names_below() {
    let routed = routed(r#"{ host = "*.example.com", backend = "a" }"#);
    for host in ["www.example.com", "a.b.c.example.com:80", "X.EXAMPLE.com"] {
        assert_eq!(routed.to(host, "/"), "a", "{host}");
    }
    for host in ["example.com", "wwwexample.com", "example.com.x"] {
        assert_eq!(routed.to(host, "/"), "rest", "{host}");
    }
}

#[test]
fn a_path_is_compared_by_whole_segments() {
    let routed =
        routed(r#"{ path = "/api", backend = "a" }, { path = "/api/v2/", backend = "b" }"#);
    for path in ["/api", "/api/", "/api/x", "/api?query", "/api/v2x", "/api//x"] {
        assert_eq!(routed.to("x", path), "a", "{path}");
    }
    assert_eq!(routed.to("x", "/api/v2/x"), "b");
    for path in ["/", "/apis", "/ap", "/API", "/x/api", "/?/api"] {
        assert_eq!(routed.to("x", path), "rest", "{path}");
    }
}

#[test]
fn the_best_match_wins_whatever_the_order() {
    let routes = [
        r#"{ backend = "rest" }"#,
        r#"{ path = "/deep/path", backend = "b" }"#,
        r#"{ host = "*.example.com", backend = "b" }"#,
        r#"{ host = "*.example.com", path = "/deep", backend = "a" }"#,
        r#"{ host = "www.example.com", backend = "a" }"#,
        r#"{ host = "*.www.example.com", backend = "a" }"#,
    ];
    let mut reversed = routes;
    reversed.reverse();
    for routes in [routes, reversed] {
        let routed = routed(&routes.join(", "));
        // An exact host before a wildcard, a longer wildcard before a shorter, those before none.
        assert_eq!(routed.to("www.example.com", "/deep/path"), "a");
        assert_eq!(routed.to("x.www.example.com", "/"), "a");
        assert_eq!(routed.to("x.example.com", "/"), "b");
        // Within a host the longest path.
        assert_eq!(routed.to("x.example.com", "/deep/path"), "a");
        assert_eq!(routed.to("x.example.com", "/deeper"), "b");
        assert_eq!(routed.to("elsewhere", "/deep/path/x"), "b");
        assert_eq!(routed.to("elsewhere", "/deep"), "rest");
    }
}

#[test]
fn lists_of_hosts_and_paths_are_all_meant() {
    let routed = routed(
        r#"{ host = ["one.example", "*.two.example"], path = ["/x", "/y"], backend = "a" }"#,
    );
    for host in ["one.example", "a.two.example"] {
        for path in ["/x", "/y/z"] {
            assert_eq!(routed.to(host, path), "a", "{host}{path}");
        }
        assert_eq!(routed.to(host, "/z"), "rest");
    }
    assert_eq!(routed.to("two.example", "/x"), "rest");
}

#[test]
fn the_host_of_an_absolute_target_counts() {
    let routed = routed(r#"{ host = "real.example", path = "/p", backend = "a" }"#);
    let lines = ["GET http://real.example/p/x HTTP/1.1", "Host: other.example"];
    assert_eq!(routed.scene.ask(&lines).expect(200).text(), "a");
    let lines = ["GET http://other.example/p/x HTTP/1.1", "Host: real.example"];
    assert_eq!(routed.scene.ask(&lines).expect(200).text(), "rest");
}

#[test]
fn a_client_of_http_1_0_without_host_gets_what_is_for_all() {
    let routed = routed(r#"{ host = "x", backend = "a" }, { path = "/p", backend = "b" }"#);
    assert_eq!(routed.scene.ask(&["GET /p HTTP/1.0"]).expect(200).text(), "b");
    assert_eq!(routed.scene.ask(&["GET / HTTP/1.0"]).expect(200).text(), "rest");
}

#[test]
fn each_request_of_a_connection_goes_its_own_way() {
    let routed = routed(r#"{ path = "/a", backend = "a" }, { path = "/b", backend = "b" }"#);
    let mut client = routed.scene.client();
    for _ in 0..5 {
        for (path, name) in [("/a", "a"), ("/b", "b"), ("/c", "rest")] {
            assert_eq!(client.get(path).expect(200).text(), name);
        }
    }
}

#[test]
fn a_route_may_answer_by_itself() {
    let routed = routed(
        r#"{ host = "old.example", redirect = { prefix = "https://new.example", code = 301 } },
           { path = "/gone", return = { status = 410 } },
           { path = "/secret", deny = true },
           { path = "/limited", deny = { status = 429 } }"#,
    );
    let moved = routed.ask("old.example", "/x?y").expect(301);
    assert_eq!(moved.fields.one("location"), Some("https://new.example/x?y"));
    assert_eq!(routed.ask("x", "/gone/for/ever").status, 410);
    assert_eq!(routed.ask("x", "/secret").status, 403);
    assert_eq!(routed.ask("x", "/limited").status, 429);
    assert_eq!(routed.to("x", "/else"), "rest");
}

#[test]
fn without_a_route_or_a_default_there_is_no_service() {
    let origin = HttpOrigin::named("a");
    let scene = Scene::of(|front, log| {
        let frontend = Listen::frontend("web", front).http_log(log);
        let frontend = frontend.line(r#"routes = [{ host = "x", backend = "a" }]"#);
        format!("{frontend}\n{}", Listen::backend("a").server("one", origin.address))
    });
    assert_eq!(scene.ask(&["GET / HTTP/1.1", "Host: x"]).status, 200);
    assert_eq!(scene.ask(&["GET / HTTP/1.1", "Host: y"]).status, 503);
}

#[test]
fn two_thousand_hosts_are_all_found() {
    let hosts: Vec<String> = (0..2000)
        .map(|n| {
            let backend = ["a", "b"][n % 2];
            format!("{{ host = \"h{n}.example\", path = \"/p{n}\", backend = \"{backend}\" }}")
        })
        .collect();
    let routed = routed(&hosts.join(",\n"));
    for n in (0..2000).step_by(61) {
        assert_eq!(routed.to(&format!("h{n}.example"), &format!("/p{n}")), ["a", "b"][n % 2]);
        assert_eq!(routed.to(&format!("h{n}.example"), "/p"), "rest");
    }
}

#[test]
fn a_reload_changes_where_requests_go() {
    let routed = routed(r#"{ path = "/", backend = "a" }"#);
    assert_eq!(routed.to("x", "/"), "a");
    let text = routed.scene.portolan.setup().configuration();
    let changed =
        text.replace(r#"{ path = "/", backend = "a" }"#, r#"{ path = "/", backend = "b" }"#);
    routed.scene.portolan.replace_configuration(&changed);
    routed.scene.portolan.reload();
    routed.scene.portolan.only_newest();
    assert_eq!(routed.to("x", "/"), "b");
}
