//! Promise: each exchange has its line, with what HAProxy's line tells, field for field; how it ended is
//! in it, whatever happened.

use std::time::Duration;

use portolan_tests::http::{Answer, HttpLog, Next, Scene};
use portolan_tests::origin::Gate;
use portolan_tests::{HttpOrigin, Listen, Poller, deadline, per_poller};

per_poller!(a_line_tells_of_an_exchange);

fn a_line_tells_of_an_exchange(poller: Poller) {
    let origin = HttpOrigin::named("hello");
    let scene = Scene::polled(poller, origin.address);
    let mut client = scene.client();
    let own = client.stream().local_addr();
    client.get("/path?query=1").expect(200);
    let line = scene.line();
    assert_eq!(line.client, own.to_string());
    assert_eq!((line.frontend.as_str(), line.backend.as_str()), ("web", "web"));
    assert_eq!(line.server, "one");
    assert!(line.times.iter().all(|time| (0..10_000).contains(time)), "{line:?}");
    assert_eq!((line.status, line.termination.as_str()), (200, "----"));
    let bytes: u64 = line.bytes_read.parse().expect("a number");
    assert!((40..300).contains(&bytes), "{line:?}");
    assert_eq!(line.cookies, ["-", "-"]);
    assert_eq!(line.connections[..2], [1, 1]);
    assert_eq!((line.retries.as_str(), line.queues), ("0", [0, 0]));
    assert_eq!(line.captures, Vec::<String>::new());
    assert_eq!(line.request, "GET /path?query=1 HTTP/1.1");
    let shape: String =
        line.request_date.chars().map(|one| if one.is_ascii_digit() { '0' } else { one }).collect();
    assert!(shape.starts_with("00/") && shape.ends_with("/0000:00:00:00.000"), "{line:?}");
}

#[test]
fn each_request_of_a_connection_has_its_line() {
    let origin = HttpOrigin::answering(|request| Answer::status(200, &request.target));
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    for n in 0..5 {
        client.get(&format!("/{n}")).expect(200);
    }
    let lines = scene.log.wait_http(5);
    let requests: Vec<&str> = lines.iter().map(|line| line.request.as_str()).collect();
    let expected: Vec<String> = (0..5).map(|n| format!("GET /{n} HTTP/1.1")).collect();
    assert_eq!(requests, expected);
    assert!(lines.iter().all(|line| line.client == lines[0].client));
}

/// Each part is slow from when the worker has seen the one before.
#[test]
fn times_tell_where_an_exchange_was_slow() {
    let gate = Gate::default();
    let origin = HttpOrigin::scripted({
        let gate = gate.clone();
        move |exchange| {
            exchange.content()?;
            if exchange.request.target == "/other" {
                return exchange.answer(&Answer::ok(""));
            }
            exchange.pause(Duration::from_millis(300));
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")?;
            exchange.pass(&gate);
            exchange.send("ok")?;
            Ok(Next::Keep)
        }
    });
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.send("GET / HTTP/1.1\r\n");
    // The only worker is done with what came before another client's request.
    scene.get("/other").expect(200);
    deadline::pause(Duration::from_millis(200));
    client.send("Host: x\r\n\r\n");
    let mut response = client.response_head("GET");
    deadline::pause(Duration::from_millis(250));
    gate.open(1);
    client.content_of(&mut response);
    assert_eq!(response.text(), "ok");
    let line = scene.log.wait_http(2).swap_remove(1);
    let [request, queue, connect, response] = line.times;
    assert!(request >= 190 && response >= 290, "{line:?}");
    assert!(queue >= 0 && connect >= 0, "{line:?}");
    let active: i64 = line.active_ms.parse().expect("a number");
    assert!(active >= request + queue + connect + response + 240, "{line:?}");
}

/// What was idle before a request is told apart from its own time.
#[test]
fn idle_time_is_told_apart() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::of(|front, log| {
        let listen = Listen::http("web", front).log_to(&log.target(), "");
        let listen = listen.line("log_format = 'times %Ti %TR %Ta %Tt'");
        listen.server("one", origin.address).to_string()
    });
    let mut client = scene.client();
    client.get("/").expect(200);
    deadline::pause(Duration::from_millis(700));
    client.get("/").expect(200);
    let lines = || -> Vec<String> {
        scene.log.lines().into_iter().filter(|line| line.contains("times ")).collect()
    };
    deadline::until("two lines", || lines().len() == 2);
    let line = lines().swap_remove(1);
    let times = line.split("times ").nth(1).unwrap_or_default();
    let times: Vec<i64> = times.split_whitespace().filter_map(|one| one.parse().ok()).collect();
    let [idle, request, active, total] = times[..] else { panic!("{line}") };
    assert!(idle >= 690 && request >= 0 && total >= idle + active, "{line}");
}

#[test]
fn what_a_stranger_sends_cannot_break_a_line() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    let mut client = scene.client();
    client.send(b"GET /a\"b?\xe9[x]{y} HTTP/1.1\r\nHost: x\r\n\r\n");
    let status = client.response().status;
    let line = scene.log.wait_http(1).swap_remove(0);
    assert!(!line.request.contains('"') && line.request.is_ascii(), "{line:?}");
    assert!(status == 400 || line.request.starts_with("GET /a#22b"), "{line:?}");
    let mut client = scene.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nBad\x01Name: \n\n\r\n\r\n");
    client.expect_closed();
    let lines = scene.log.wait_http(2);
    assert_eq!((lines[1].status, lines[1].request.as_str()), (400, "<BADREQ>"));
    assert_eq!((lines[1].ending(), lines[1].server.as_str()), ("PR", "<NOSRV>"));
}

#[test]
fn a_long_target_is_cut_in_the_log_alone() {
    let origin = HttpOrigin::answering(|request| Answer::ok(request.target.len().to_string()));
    let scene = Scene::set_up(
        |front, log| {
            let listen = Listen::http("web", front).log_to(&log.target(), "len = 8000");
            listen.option("httplog").server("one", origin.address).to_string()
        },
        |setup| setup.global("tune", "{ http_logurilen = 100 }"),
    );
    let target = format!("/{}", "x".repeat(999));
    assert_eq!(scene.get(&target).expect(200).text(), "1000");
    let line = scene.line();
    assert!((80..=120).contains(&line.request.len()), "{line:?}");
    assert!(line.request.starts_with("GET /xxxx"), "{line:?}");
}

#[test]
fn captured_fields_and_cookies_are_in_the_line() {
    let origin = HttpOrigin::answering(|_| {
        let answer =
            Answer::ok("ok").field("Location", "/there").field("Set-Cookie", "SID=new; path=/");
        answer.field("X-Many", "1").field("X-Many", "2")
    });
    let scene = Scene::shaped(origin.address, |listen| {
        listen.line(
            "capture = { request_header = [{ name = \"User-Agent\", len = 5 }, { name = \"X-None\", \
             len = 9 }, { name = \"x-last\", len = 20 }], response_header = [{ name = \"Location\", \
             len = 64 }, { name = \"X-Many\", len = 8 }], cookie = { name = \"SID\", len = 40 } }",
        )
    });
    scene
        .ask(&[
            "GET / HTTP/1.1",
            "Host: x",
            "User-Agent: abcdefgh",
            "X-Last: 1",
            "X-Last: two words",
            "Cookie: a=b; SID=old; c=d",
        ])
        .expect(200);
    let line = scene.line();
    assert_eq!(line.captures, ["abcde||two words", "/there|2"]);
    assert_eq!(line.cookies, ["SID=old", "SID=new"]);
    scene.get("/").expect(200);
    let lines = scene.log.wait_http(2);
    assert_eq!(lines[1].captures, ["||", "/there|2"]);
    assert_eq!(lines[1].cookies, ["-", "SID=new"]);
}

#[test]
fn endings_tell_who_and_when() {
    let ends = |bytes: &str, next: Next| -> HttpLog {
        let origin = HttpOrigin::raw(bytes, next);
        let scene = Scene::before(origin.address);
        let mut client = scene.client();
        client.head(&["GET / HTTP/1.1", "Host: x"]);
        // Some of these are no whole answers.
        let _ = client.try_response("GET");
        scene.log.wait_http(1).swap_remove(0)
    };
    let ok = "HTTP/1.1 200 OK\r\n";
    for (bytes, next, ending, status) in [
        (format!("{ok}Content-Length: 2\r\n\r\nok"), Next::Keep, "--", 200),
        (format!("{ok}Content-Length: 2\r\n\r\nok"), Next::Close, "--", 200),
        (format!("{ok}\r\nuntil the end"), Next::Close, "--", 200),
        ("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned(), Next::Keep, "--", 404),
        ("HTTP/1.1 304 No\r\n\r\n".to_owned(), Next::Keep, "--", 304),
        (String::new(), Next::Close, "SH", 502),
        (String::new(), Next::Reset, "SH", 502),
        ("nonsense\r\n\r\n".to_owned(), Next::Close, "PH", 502),
        (format!("{ok}Content-Length: x\r\n\r\n"), Next::Keep, "PH", 502),
    ] {
        let line = ends(&bytes, next);
        assert_eq!((line.ending(), line.status), (ending, status), "{bytes:?} {next:?}");
    }
}

#[test]
fn a_tunnel_has_one_line_at_its_end() {
    let origin = portolan_tests::http::websocket::echo();
    let scene = Scene::before(origin.address);
    let mut socket = portolan_tests::http::websocket::connect(scene.front, "/ws");
    portolan_tests::http::websocket::expect_echo(&mut socket, &"x".repeat(5000));
    deadline::pause(Duration::from_millis(50));
    assert!(scene.log.http_lines().is_empty());
    portolan_tests::http::websocket::close(socket);
    let line = scene.line();
    assert_eq!(
        (line.status, line.ending(), line.request.as_str()),
        (101, "--", "GET /ws HTTP/1.1")
    );
    assert!(line.bytes_read.parse::<u64>().expect("a number") > 5000, "{line:?}");
}

#[test]
fn a_line_may_be_written_before_the_end() {
    let (origin, gate) = {
        let gate = Gate::default();
        let passing = gate.clone();
        let origin = HttpOrigin::scripted(move |exchange| {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")?;
            exchange.pass(&passing);
            exchange.send("ok")?;
            Ok(Next::Keep)
        });
        (origin, gate)
    };
    let scene = Scene::shaped(origin.address, |listen| listen.option("logasap"));
    let mut client = scene.client();
    client.head(&["GET / HTTP/1.1", "Host: x"]);
    let line = scene.line();
    assert!(line.active_ms.starts_with('+') && line.bytes_read.starts_with('+'), "{line:?}");
    gate.open(1);
    client.response().expect(200);
}

#[test]
fn what_went_well_may_be_left_out() {
    let origin = HttpOrigin::answering(|request| match request.target.as_str() {
        "/error" => Answer::status(500, ""),
        _ => Answer::ok(""),
    });
    let scene = Scene::shaped(origin.address, |listen| listen.option("dontlog-normal"));
    scene.get("/fine").expect(200);
    scene.get("/error").expect(500);
    assert_eq!(scene.line().request, "GET /error HTTP/1.1");
}

#[test]
fn errors_may_have_a_level_of_their_own() {
    let origin = HttpOrigin::answering(|request| match request.target.as_str() {
        "/error" => Answer::status(503, ""),
        _ => Answer::ok(""),
    });
    let scene = Scene::shaped(origin.address, |listen| listen.option("log-separate-errors"));
    scene.get("/fine").expect(200);
    scene.get("/error").expect(503);
    // Facility local0 (16): 134 is info, 131 err.
    assert!(scene.log.wait_for("/fine").starts_with("<134>"));
    assert!(scene.log.wait_for("/error").starts_with("<131>"));
}

#[test]
fn a_connection_without_a_byte_may_be_left_out() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::shaped(origin.address, |listen| listen.option("dontlognull"));
    for _ in 0..3 {
        drop(scene.client());
    }
    scene.get("/last").expect(200);
    assert_eq!(scene.line().request, "GET /last HTTP/1.1");
}

/// With another kind of line.
fn logging(line: &str) -> Scene {
    let origin = HttpOrigin::named("hello");
    let scene = Scene::of(|front, log| {
        let listen = Listen::http("web", front).log_to(&log.target(), "").line(line);
        listen.server("one", origin.address).to_string()
    });
    scene
        .ask(&["GET /path?q HTTP/1.1", "Host: x", "User-Agent: test", "Referer: http://r/"])
        .expect(200);
    // The next scene has its own origin; this one is done.
    deadline::until("a line", || !scene.log.lines().is_empty());
    scene
}

#[test]
fn a_line_may_be_in_the_common_log_format() {
    let scene = logging("httplog = \"clf\"");
    let line = scene.log.wait_for("/path");
    // `127.0.0.1 - - [date] "request" status bytes "" "" port ms "frontend" "backend" "server" …`
    assert!(line.contains("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("\"GET /path?q HTTP/1.1\" 200 "), "{line}");
    assert!(line.contains("\"web\" \"web\" \"one\""), "{line}");
}

#[test]
fn a_line_may_be_json() {
    let scene = logging("httplog = \"json\"");
    let line = scene.log.wait_for("/path");
    let object = &line[line.find('{').expect("an object")..];
    for member in [
        "\"client\":\"127.0.0.1\"",
        "\"frontend\":\"web\"",
        "\"backend\":\"web\"",
        "\"server\":\"one\"",
        "\"method\":\"GET\"",
        "\"target\":\"/path?q\"",
        "\"version\":\"HTTP/1.1\"",
        "\"status\":200",
        "\"termination\":\"----\"",
        "\"retries\":0",
        "\"unique_id\":null",
    ] {
        assert!(object.contains(member), "{member}: {object}");
    }
    assert!(object.trim_end().ends_with('}'), "{object}");
}

#[test]
fn a_line_may_be_whatever_is_wanted() {
    let scene = logging(
        "log_format = 'who=%ci port=%cp f=%f b=%b s=%s st=%ST m=%HM p=%HP q=%HQ v=%HV r=%{+Q}r \
         t=%tsc rc=%rc x=%%'",
    );
    let line = scene.log.wait_for("who=");
    for part in [
        "who=127.0.0.1 ",
        "f=web b=web s=one st=200 m=GET p=/path q=?q v=HTTP/1.1",
        "r=\"GET /path?q HTTP/1.1\"",
        "t=---- rc=0 x=%",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn errors_may_have_a_line_of_their_own() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::of(|front, log| {
        let listen = Listen::http("web", front).log_to(&log.target(), "");
        let listen = listen.line("log_format = 'fine=%r'").line("error_log_format = 'bad=%ci'");
        listen.server("one", origin.address).to_string()
    });
    scene.get("/").expect(200);
    scene.log.wait_for("fine=GET / HTTP/1.1");
}

/// Many lines leave in bundles; none is lost or cut.
#[test]
fn no_line_is_lost_under_load() {
    let origin = HttpOrigin::named("ok");
    let scene = Scene::before(origin.address);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let scene = &scene;
            scope.spawn(move || {
                let mut client = scene.client();
                for round in 0..100 {
                    client.get(&format!("/{n}/{round}")).expect(200);
                }
            });
        }
    });
    let lines = scene.log.wait_http(800);
    let mut requests: Vec<&str> = lines.iter().map(|line| line.request.as_str()).collect();
    requests.sort_unstable();
    requests.dedup();
    assert_eq!(requests.len(), 800);
}
