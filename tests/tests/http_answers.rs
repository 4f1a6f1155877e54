//! Promise: redirects, fixed answers, refusals and error pages are what was configured, cost no server
//! anything, and leave the connection in step.

use std::fs;
use std::time::Duration;

use portolan_tests::http::{Response, Scene};
use portolan_tests::{HttpOrigin, Listen, Setup, address};

/// Answered without a server.
fn answering(line: &str) -> Scene {
    Scene::alone(|listen| listen.line(line))
}

/// What is answered to this target.
fn location(line: &str, target: &str) -> (u16, Option<String>) {
    let scene = answering(line);
    let response = scene.ask(&[&format!("GET {target} HTTP/1.1"), "Host: old.example:8080"]);
    (response.status, response.fields.one("location").map(str::to_owned))
}

#[test]
fn a_redirect_leads_where_it_says() {
    for (redirect, target, status, to) in [
        ("location = \"/there\"", "/x?y", 302, "/there"),
        ("location = \"https://a.example/\", code = 301", "/x", 301, "https://a.example/"),
        ("location = \"/there\", code = 303", "/", 303, "/there"),
        ("location = \"/there\", code = 307", "/", 307, "/there"),
        ("location = \"/there\", code = 308", "/", 308, "/there"),
        ("prefix = \"https://new.example\"", "/x/y?z=1", 302, "https://new.example/x/y?z=1"),
        ("prefix = \"/site\", drop_query = true", "/x?y", 302, "/site/x"),
        ("prefix = \"/\"", "/x?y", 302, "/x?y"),
        ("prefix = \"/\", drop_query = true, append_slash = true", "/x?y", 302, "/x/"),
        ("prefix = \"/\", drop_query = true, append_slash = true", "/x/", 302, "/x/"),
        ("scheme = \"https\", code = 301", "/x?y", 301, "https://old.example:8080/x?y"),
        ("location = \"/there\", keep_query = true", "/x?y=z", 302, "/there?y=z"),
        ("location = \"/there?a\", keep_query = true", "/x?y=z", 302, "/there?a&y=z"),
        ("location = \"/there\", keep_query = true", "/x", 302, "/there"),
    ] {
        let found = location(&format!("redirect = {{ {redirect} }}"), target);
        assert_eq!(found, (status, Some(to.to_owned())), "{redirect}");
    }
}

#[test]
fn a_redirect_may_set_or_clear_a_cookie() {
    let cookie = |keys: &str| {
        let scene = answering(&format!("redirect = {{ location = \"/\", {keys} }}"));
        scene.get("/").fields.one("set-cookie").map(str::to_owned)
    };
    let set = cookie("set_cookie = \"SEEN=1\"").expect("a cookie");
    assert!(set.starts_with("SEEN=1;") && set.contains("path=/"), "{set}");
    let cleared = cookie("clear_cookie = \"USERID=\"").expect("a cookie");
    assert!(cleared.starts_with("USERID=;") && cleared.contains("Max-Age=0"), "{cleared}");
}

#[test]
fn the_target_of_a_redirect_cannot_break_out_of_its_field() {
    let scene = answering("redirect = { prefix = \"https://new.example\" }");
    for target in ["/%0d%0aSet-Cookie:x=1", "/\u{e9}", "/a\"b"] {
        let mut client = scene.client();
        let bytes: Vec<u8> = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
            .chars()
            .map(|one| one as u32 as u8)
            .collect();
        let response = client.send(bytes).response();
        assert!([302, 400].contains(&response.status), "{target}");
        assert!(!response.fields.has("set-cookie"), "{response:?}");
    }
}

#[test]
fn a_fixed_answer_is_given_as_it_is_configured() {
    let scene = answering(
        "return = { status = 202, content_type = \"text/plain\", string = \"hello\", \
         headers = { \"X-A\" = \"b\", \"Set-Cookie\" = [\"a=1\", \"b=2\"] } }",
    );
    let response = scene.get("/").expect(202);
    assert_eq!(response.text(), "hello");
    assert_eq!(response.fields.one("content-type"), Some("text/plain"));
    assert_eq!(response.fields.one("content-length"), Some("5"));
    assert_eq!(response.fields.one("x-a"), Some("b"));
    assert_eq!(response.fields.all("set-cookie"), ["a=1", "b=2"]);
    let head = scene.ask(&["HEAD / HTTP/1.1", "Host: x"]);
    assert_eq!((head.status, head.fields.one("content-length")), (202, Some("5")));
    assert_eq!(scene.log.wait_http(2)[0].server, "<NOSRV>");
}

#[test]
fn a_fixed_answer_may_come_from_a_file() {
    let setup = Setup::new("");
    fs::write(setup.file("page.html"), "<p>from a file</p>").expect("a file");
    let front = address::free();
    let keys = "return = { status = 200, content_type = \"text/html\", file = \"page.html\" }";
    let portolan = setup.body(Listen::http("web", front).line(keys).to_string()).start();
    let ask = || portolan_tests::http::client::get(front, "/").expect(200).text();
    assert_eq!(ask(), "<p>from a file</p>");
    // It is read at each reload, not at each request.
    fs::write(portolan.file("page.html"), "changed").expect("a file");
    assert_eq!(ask(), "<p>from a file</p>");
    portolan.reload();
    portolan.only_newest();
    assert_eq!(ask(), "changed");
}

#[test]
fn a_fixed_answer_needs_no_content() {
    for (line, status) in [("return = { status = 204 }", 204), ("return = { status = 200 }", 200)] {
        let scene = answering(line);
        let response = scene.get("/").expect(status);
        assert!(response.content.is_empty());
        assert!(response.keeps());
    }
}

/// The content of a request that is answered here is no request.
#[test]
fn answers_leave_the_connection_in_step() {
    for line in [
        "redirect = { location = \"/there\" }",
        "return = { status = 200, content_type = \"text/plain\", string = \"ok\" }",
        "deny = true",
    ] {
        let scene = answering(line);
        let mut client = scene.client();
        for _ in 0..3 {
            let mut ended = false;
            for framing in [
                "Content-Length: 38\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: smuggled",
                "Transfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n",
            ] {
                client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}"));
                ended = !client.response().keeps();
                if ended {
                    client = scene.client();
                }
            }
            if !ended {
                client.get("/next");
            }
        }
        let lines = scene.log.wait_http(6);
        assert!(!lines.iter().any(|one| one.request.contains("smuggled")), "{lines:#?}");
    }
}

#[test]
fn a_refusal_has_its_status_and_page() {
    for (line, status) in [("deny = true", 403), ("deny = { status = 429 }", 429)] {
        let response = answering(line).get("/").expect(status);
        assert!(!response.content.is_empty());
        assert_eq!(response.fields.one("content-type"), Some("text/html"));
    }
    let scene = answering("deny = true");
    scene.get("/x").expect(403);
    let line = scene.line();
    assert_eq!((line.ending(), line.status, line.server.as_str()), ("PR", 403, "<NOSRV>"));
}

/// A proxy whose server is dead, with pages of its own.
fn failing(
    files: &[(&str, &str)],
    before: &str,
    line: &str,
) -> (portolan_tests::Portolan, Response) {
    let setup = Setup::new("");
    for (name, text) in files {
        fs::write(setup.file(name), text).expect("a file");
    }
    let front = address::free();
    let listen = Listen::http("web", front).server("dead", address::free());
    let listen = listen.line("retries = 0").line(line);
    let portolan = setup.body(format!("{before}\n{listen}")).start();
    let response = portolan_tests::http::client::get(front, "/");
    (portolan, response)
}

const PAGE: &str = "HTTP/1.0 503 Service Unavailable\r\nCache-Control: no-cache\r\n\
                    Content-Type: text/html\r\nX-Page: mine\r\n\r\n<p>my own page</p>\n";

#[test]
fn an_error_page_may_come_from_a_file() {
    let (_portolan, response) =
        failing(&[("503.http", PAGE)], "", "errorfile = { 503 = \"503.http\" }");
    assert_eq!((response.status, response.text().trim()), (503, "<p>my own page</p>"));
    assert_eq!(response.fields.one("x-page"), Some("mine"));
}

#[test]
fn error_pages_may_be_shared() {
    let set = "[http_errors.site]\nerrorfile = { 503 = \"503.http\", 403 = \"403.http\" }\n";
    let denied = PAGE.replace("503 Service Unavailable", "403 Forbidden").replace("own", "other");
    let files = [("503.http", PAGE), ("403.http", &denied)];
    for (line, own) in [
        ("errorfiles = \"site\"", true),
        ("errorfiles = [{ name = \"site\", status = [503] }]", true),
        ("errorfiles = [{ name = \"site\", status = [403] }]", false),
    ] {
        let (_portolan, response) = failing(&files, set, line);
        assert_eq!(
            (response.status, response.text().contains("my own page")),
            (503, own),
            "{line}"
        );
    }
}

#[test]
fn an_error_may_lead_elsewhere() {
    for (key, status) in [("errorloc302", 302), ("errorloc303", 303)] {
        let line = format!("{key} = {{ 503 = \"https://a.example/sorry\" }}");
        let (_portolan, response) = failing(&[], "", &line);
        let location = response.fields.one("location");
        assert_eq!((response.status, location), (status, Some("https://a.example/sorry")));
    }
}

#[test]
fn an_error_may_be_silent() {
    let scene = Scene::shaped(address::free(), |listen| {
        listen.line("retries = 0").line("errorfile = { 503 = \"/dev/null\", 400 = \"/dev/null\" }")
    });
    let mut client = scene.client();
    client.head(&["GET / HTTP/1.1", "Host: x"]).expect_end();
    let mut client = scene.client();
    client.send("nonsense\r\n\r\n").expect_end();
    assert_eq!(scene.log.wait_http(2)[0].status, 503);
}

#[test]
fn errors_may_be_json() {
    let ask = |format: &str, accept: &str| {
        let scene = Scene::shaped(address::free(), |listen| {
            listen.line("retries = 0").line(&format!("error_format = \"{format}\""))
        });
        let response = scene.ask(&["GET / HTTP/1.1", "Host: x", &format!("Accept: {accept}")]);
        assert_eq!(response.status, 503);
        let kind = response.fields.one("content-type").unwrap_or_default().to_owned();
        (kind, response.text())
    };
    let (kind, text) = ask("json", "*/*");
    assert_eq!(kind, "application/problem+json");
    assert!(
        text.starts_with('{') && text.contains("\"status\":503")
            || text.contains("\"status\": 503")
    );
    assert_eq!(ask("html", "application/json").0, "text/html");
    assert_eq!(ask("accept", "text/html,application/xhtml+xml,*/*;q=0.8").0, "text/html");
    assert_eq!(ask("accept", "application/json").0, "application/problem+json");
    assert_eq!(ask("accept", "text/html;q=0.5, application/json").0, "application/problem+json");
}

#[test]
fn the_built_in_pages_frame_themselves() {
    let scene = Scene::shaped(address::free(), |listen| listen.line("retries = 0"));
    let mut client = scene.client();
    for _ in 0..3 {
        let response = client.get("/").expect(503);
        assert!(response.fields.has("content-length"), "{:?}", response.fields);
        assert!(response.text().contains("503"), "{response:?}");
        if !response.keeps() {
            client = scene.client();
        }
    }
}

#[test]
fn the_monitor_is_answered_without_a_server_or_a_line() {
    let origin = HttpOrigin::named("server");
    let scene = Scene::shaped(origin.address, |listen| listen.line("monitor_uri = \"/alive\""));
    for target in ["/alive", "/alive", "/alive"] {
        scene.get(target).expect(200);
    }
    assert_eq!(scene.ask(&["HEAD /alive HTTP/1.0"]).status, 200);
    assert!(origin.requests().is_empty());
    for target in ["/alive/x", "/alive2", "/"] {
        assert_eq!(scene.get(target).expect(200).text(), "server", "{target}");
    }
    let lines = scene.log.wait_http(3);
    assert!(lines.iter().all(|line| line.server == "one"), "{lines:#?}");
    portolan_tests::deadline::pause(Duration::from_millis(50));
    assert_eq!(scene.log.http_lines().len(), 3);
}

#[test]
fn a_backend_may_answer_too() {
    let scene = Scene::of(|front, log| {
        let frontend = Listen::frontend("web", front).http_log(log);
        let frontend = frontend.line("default_backend = \"closed\"");
        let backend = Listen::backend("closed").line("return = { status = 451 }");
        format!("{frontend}\n{backend}")
    });
    scene.get("/").expect(451);
    assert_eq!(scene.line().backend, "closed");
}
