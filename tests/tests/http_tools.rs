//! Promise: the programs that people use with HTTP notice nothing of the proxy: curl, wrk, h2load, ab, a
//! browser, and nginx as the server.

use std::net::SocketAddr;

use portolan_tests::http::{Answer, websocket};
use portolan_tests::pattern::{self, Pattern};
use portolan_tests::real::{self, Daemon, Running};
use portolan_tests::{HttpOrigin, Listen, Portolan, Setup, address, deadline, setup, storm};

const SEED: u64 = 9110;
const LARGE: u64 = 20 * 1024 * 1024;

/// Whether these programs are there; said where not.
fn have(programs: &[&str]) -> bool {
    let missing: Vec<&&str> = programs.iter().filter(|name| !real::found(name)).collect();
    if !missing.is_empty() {
        setup::left_out(&format!("{missing:?} not installed (tests/install-peers.sh)"));
    }
    missing.is_empty()
}

struct Site {
    front: SocketAddr,
    nginx: Daemon,
    portolan: Portolan,
}

/// A proxy with two workers before nginx.
fn site(shape: impl FnOnce(Listen) -> Listen) -> Site {
    let (front, nginx) = (address::free(), real::nginx(SEED, LARGE));
    std::fs::write(nginx.file("files").join("small"), "small file").expect("a file");
    let listen = shape(Listen::http("web", front).server("nginx", nginx.address));
    let portolan = Setup::new(listen.to_string()).workers(2).start();
    Site { front, nginx, portolan }
}

fn curl(arguments: &[&str]) -> Vec<u8> {
    real::client("curl", &[&["-sS", "--noproxy", "*", "--max-time", "60"], arguments].concat())
        .stdout
}

#[test]
fn curl_gets_and_puts_whatever_it_likes() {
    if !have(&["curl", "nginx"]) {
        return;
    }
    let site = site(|listen| listen);
    let url = |path: &str| format!("http://{}{path}", site.front);
    for version in ["--http1.1", "--http1.0"] {
        assert_eq!(curl(&["--fail", version, &url("/small")]), b"small file");
        let large = curl(&["--fail", version, &url("/large")]);
        pattern::check(&large[..], SEED, LARGE).expect("the same bytes");
    }
    let head = String::from_utf8(curl(&["-I", &url("/large")])).expect("a head");
    assert!(head.to_lowercase().contains(&format!("content-length: {LARGE}")), "{head}");
    let range = curl(&["--fail", "-r", "1000-1999", &url("/large")]);
    assert_eq!(range, Pattern::new(SEED).bytes(2000)[1000..]);
    let status = ["-o", "/dev/null", "-w", "%{http_code} %{num_connects}"];
    assert_eq!(curl(&[&status[..], &[&url("/none")]].concat()), b"404 1");
    // Two in a row over one connection.
    let twice = curl(&["--fail", &url("/small"), &url("/small")]);
    assert_eq!(twice, b"small filesmall file");
    upload(&site);
}

/// With a length and in chunks, with an expectation and without.
fn upload(site: &Site) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("up");
    let made = std::fs::File::create(&file).expect("a file");
    pattern::send(made, 7, 5_000_000, |_| {}).expect("room on the disk");
    let name = file.display().to_string();
    for (n, more) in [
        &["-H", "Expect: 100-continue"][..],
        &["-H", "Expect:"],
        &["-H", "Transfer-Encoding: chunked"],
        &["-H", "Transfer-Encoding: chunked", "-H", "Expect:"],
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("http://{}/up-{n}", site.front);
        curl(&[&["--fail", "-T", &name, &url], more].concat());
        let stored = std::fs::File::open(site.nginx.file("files").join(format!("up-{n}")));
        pattern::check(stored.expect("the file"), 7, 5_000_000).expect("the uploaded bytes");
    }
}

/// As somebody's proxy it is asked by absolute targets.
#[test]
fn curl_may_take_it_for_its_proxy() {
    if !have(&["curl", "nginx"]) {
        return;
    }
    let site = site(|listen| listen);
    let proxy = format!("http://{}", site.front);
    let arguments = ["-sS", "--fail", "-x", &proxy, "http://somewhere.example/small"];
    assert_eq!(real::client("curl", &arguments).stdout, b"small file");
}

#[test]
fn curl_follows_redirects_and_shows_passwords_and_cookies() {
    if !have(&["curl"]) {
        return;
    }
    let origin = HttpOrigin::answering(|request| {
        Answer::ok(format!("{} {:?}", request.target, request.fields.list("cookie")))
    });
    let front = address::free();
    let routes = "routes = [{ path = \"/old\", redirect = { location = \"/new\" } }, \
                  { path = \"/private\", auth = { userlist = \"users\" }, backend = \"web\" }]";
    let users = "[userlist.users]\nuser = [{ name = \"a\", insecure_password = \"b\" }]\n";
    let listen = Listen::http("web", front).line(routes).server_with(
        "one",
        origin.address,
        "cookie = \"s1\"",
    );
    let cookie = "cookie = { name = \"SRV\", mode = \"insert\" }";
    let _portolan = Portolan::start(format!("{users}{}", listen.line(cookie)));
    let jar = tempfile::NamedTempFile::new().expect("a file");
    let jar = jar.path().display().to_string();
    let ask = |path: &str, more: &[&str]| {
        let url = format!("http://{front}{path}");
        String::from_utf8_lossy(&curl(&[&["-L", "-b", &jar, "-c", &jar, &url], more].concat()))
            .into_owned()
    };
    assert_eq!(ask("/old", &[]), "/new []");
    assert_eq!(ask("/old", &[]), "/new [\"SRV=s1\"]");
    assert_eq!(ask("/private/x", &["-u", "a:b"]), "/private/x [\"SRV=s1\"]");
    let status =
        curl(&["-o", "/dev/null", "-w", "%{http_code}", &format!("http://{front}/private")]);
    assert_eq!(status, b"401");
}

#[test]
fn wrk_has_no_error_to_tell() {
    if !have(&["wrk", "nginx"]) {
        return;
    }
    let _turn = storm::turn();
    for mode in ["http-keep-alive", "http-server-close"] {
        let site = site(|listen| listen.option(mode));
        let url = format!("http://{}/small", site.front);
        let output = real::client("wrk", &["-t2", "-c50", "-d2s", &url]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{mode}: {text}");
        assert!(text.contains("requests in"), "{text}");
        site.portolan.whole();
    }
}

#[test]
fn h2load_has_no_error_to_tell() {
    if !have(&["h2load", "nginx"]) {
        return;
    }
    let _turn = storm::turn();
    let site = site(|listen| listen);
    for (path, count) in [("/small", "10000"), ("/large", "20")] {
        let url = format!("http://{}{path}", site.front);
        let output =
            real::client_that_says_error("h2load", &["--h1", "-n", count, "-c", "10", &url]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(&format!("{count} succeeded, 0 failed, 0 errored")), "{text}");
    }
}

#[test]
fn ab_has_no_error_to_tell() {
    if !have(&["ab", "nginx"]) {
        return;
    }
    let _turn = storm::turn();
    let site = site(|listen| listen);
    let url = format!("http://{}/small", site.front);
    // HTTP/1.0, kept and not.
    for (more, count) in [(&["-k"][..], "10000"), (&[], "3000")] {
        let output =
            real::client("ab", &[&["-q", "-n", count, "-c", "20"], more, &[url.as_str()]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("Failed requests:        0"), "{text}");
        assert!(!text.contains("Non-2xx"), "{text}");
        assert!(text.contains(&format!("Complete requests:      {count}")), "{text}");
    }
}

/// The page's script asks for things in the ways that scripts have, and writes down what came of it.
const PAGE: &str = r#"<!doctype html><title>page</title><link rel="stylesheet" href="/style.css">
<div id="styled">?</div><img id="image" src="/image.svg"><pre id="found"></pre>
<script>
const found = [];
const say = (name, what) => found.push(name + "=" + what);
const image = new Promise(resolve => {
  const one = document.getElementById("image");
  if (one.complete) resolve(); else { one.onload = resolve; one.onerror = resolve; }
});
async function all() {
  await image;
  say("image", document.getElementById("image").naturalWidth);
  say("style", getComputedStyle(document.getElementById("styled")).color);
  const many = await Promise.all([...Array(40).keys()].map(n => fetch("/echo/" + n).then(r => r.text())));
  say("many", many.every((text, n) => text === "/echo/" + n + " "));
  const body = "x".repeat(300000);
  const posted = await fetch("/echo/post", { method: "POST", body }).then(r => r.text());
  say("post", posted === "/echo/post " + body);
  say("redirect", await fetch("/moved").then(r => r.text()));
  say("missing", (await fetch("/missing")).status);
  const reader = (await fetch("/chunks")).body.getReader();
  let chunks = "";
  for (;;) { const { done, value } = await reader.read(); if (done) break; chunks += new TextDecoder().decode(value); }
  say("chunks", chunks);
  document.cookie = "own=1";
  say("cookie", await fetch("/cookie").then(r => r.text()));
  const socket = new WebSocket("ws://" + location.host + "/ws");
  say("socket", await new Promise(resolve => {
    socket.onopen = () => socket.send("hello");
    socket.onmessage = event => resolve(event.data);
    socket.onerror = () => resolve("error");
  }));
}
all().catch(error => say("error", error)).then(() =>
  fetch("/result", { method: "POST", body: found.join("\n") }));
</script>"#;

#[test]
fn a_browser_shows_a_site_behind_it() {
    let browsers = ["chromium-headless-shell", "chromium"];
    let Some(browser) = browsers.into_iter().find(|name| real::found(name)) else {
        setup::left_out("no chromium-headless-shell installed (tests/install-peers.sh)");
        return;
    };
    let origin = HttpOrigin::answering(|request| {
        let html = "text/html; charset=utf-8";
        match request.target.as_str() {
            "/" => Answer::ok(PAGE).field("Content-Type", html),
            "/style.css" => {
                Answer::ok("#styled { color: rgb(1, 2, 3) }").field("Content-Type", "text/css")
            }
            "/image.svg" => Answer::ok(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"31\" height=\"17\"></svg>",
            )
            .field("Content-Type", "image/svg+xml"),
            "/chunks" => Answer::chunked(&["one ", "two ", "three"]),
            "/cookie" => Answer::ok(request.fields.list("cookie").join(";")),
            "/result" => Answer::ok(""),
            path if path.starts_with("/echo/") => Answer::ok(format!("{path} {}", request.text())),
            _ => Answer::status(404, ""),
        }
    });
    let sockets = websocket::echo();
    let front = address::free();
    let routes = "routes = [{ path = \"/ws\", backend = \"sockets\" }, \
                  { path = \"/moved\", redirect = { location = \"/echo/there\" } }]";
    let body = format!(
        "{}\n{}\n{}",
        Listen::frontend("web", front).line(routes).line("default_backend = \"app\""),
        Listen::backend("app").server("one", origin.address),
        Listen::backend("sockets").server("ws", sockets.address),
    );
    let _portolan = Setup::new(body).workers(2).start();
    let profile = tempfile::tempdir().expect("a directory");
    let data = format!("--user-data-dir={}", profile.path().display());
    let url = format!("http://{front}/");
    let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
    let more = ["--remote-debugging-port=0", data.as_str(), url.as_str()];
    let _browser = Running::start(browser, &[&arguments[..], &more].concat());
    let found = deadline::within(deadline::LIMIT * 3, "what the page found", || {
        let requests = origin.requests();
        requests.into_iter().find(|one| one.target == "/result" && one.complete)
    });
    let found = found.text();
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        [
            "image=31",
            "style=rgb(1, 2, 3)",
            "many=true",
            "post=true",
            "redirect=/echo/there ",
            "missing=404",
            "chunks=one two three",
            "cookie=own=1",
            "socket=hello",
        ]
    );
}
