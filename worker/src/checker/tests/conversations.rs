//! Connections: what servers see of them.

use std::os::unix::net::UnixListener;

use portolan_shared::memory::{CheckResult, Operational};
use portolan_shared::model::{
    CheckHttpVersion, CheckKind, CheckRequest, CheckText, Expect, ExpectStatus, Matching,
    ProxyProtocolVersion, ServerAddress, Step, StepAction,
};

use super::*;

fn http(config: &mut Config) {
    let request = CheckRequest {
        method: "GET".to_owned(),
        uri: CheckText::plain("/alive"),
        version: CheckHttpVersion::Http10,
        fields: Vec::new(),
        body: CheckText::default(),
    };
    let step = Step { action: StepAction::SendHttp(request), comment: None };
    let expect = Expect {
        matching: Matching::Status(vec![(200, 399)]),
        negated: false,
        min_recv: None,
        ok_status: ExpectStatus::Default,
        error_status: ExpectStatus::Default,
        timeout_status: ExpectStatus::Default,
        on_success: None,
        on_error: None,
        status_code: None,
    };
    let expect = Step { action: StepAction::Expect(expect), comment: None };
    config.backends[0].check.kind = CheckKind::Http(vec![step, expect]);
}

#[test]
fn of_a_plain_check_the_servers_program_never_hears() {
    let origin = listener();
    let mut bench = Bench::new(vec![checked("s", origin.local_addr().unwrap())], |_| {});
    bench.pass_slowly(10_000);
    assert!(bench.checker().activity.checks >= 5);
    assert_eq!(bench.state(0).verdict.result, CheckResult::L4Ok);
    assert!(accept(&origin).is_none());
}

#[test]
fn a_request_is_sent_and_its_answer_is_the_verdict() {
    let origin = listener();
    let mut bench = Bench::new(vec![checked("s", origin.local_addr().unwrap())], http);
    let mut server = accept(&origin).unwrap();
    assert!(heard(&mut server).starts_with(b"GET /alive HTTP/1.0\r\n"));
    bench.pass(30);
    say(&mut server, b"HTTP/1.0 503 No\r\n\r\n");
    bench.settle();
    let verdict = bench.state(0).verdict;
    assert_eq!((verdict.result, verdict.code, verdict.duration_ms), (CheckResult::L7Sts, 503, 30));
    assert_eq!(bench.operational(0), Operational::Down);
    assert_eq!(bench.checker().descriptors.len(), 3);
}

#[test]
fn a_server_that_says_nothing_is_down_when_the_time_is_over() {
    let origin = listener();
    let mut bench = Bench::new(vec![checked("s", origin.local_addr().unwrap())], |config| {
        http(config);
        config.backends[0].timeouts.check = Some(Duration::from_millis(700));
    });
    let _frozen = accept(&origin).unwrap();
    bench.pass(699);
    assert_eq!(bench.operational(0), Operational::Up);
    bench.pass(1);
    assert_eq!(bench.operational(0), Operational::Down);
    assert_eq!(bench.state(0).verdict.result, CheckResult::L7Tout);
    assert!(bench.lines()[0].contains("reason: Layer7 timeout, check duration: 700ms"));
}

#[test]
fn a_proxy_header_tells_of_a_connection_of_our_own() {
    for version in [ProxyProtocolVersion::V1, ProxyProtocolVersion::V2] {
        let origin = listener();
        let address = origin.local_addr().unwrap();
        let mut server = checked("s", address);
        server.health.check = Some(Probe { send_proxy: Some(version), ..Probe::default() });
        let mut bench = Bench::new(vec![server], http);
        let mut server = accept(&origin).unwrap();
        bench.settle();
        let heard = heard(&mut server);
        let expected: &[u8] = match version {
            ProxyProtocolVersion::V1 => b"PROXY TCP4 127.0.0.1 127.0.0.1 ",
            ProxyProtocolVersion::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET /alive",
        };
        assert!(heard.starts_with(expected), "{heard:?}");
        let text = String::from_utf8_lossy(&heard);
        assert!(text.contains("GET /alive HTTP/1.0\r\n"));
    }
}

#[test]
fn a_check_goes_where_the_server_line_says() {
    let (origin, other) = (listener(), listener());
    let mut server = checked("s", origin.local_addr().unwrap());
    let port = Some(other.local_addr().unwrap().port());
    server.health.check = Some(Probe { port, ..Probe::default() });
    let _bench = Bench::new(vec![server], http);
    assert!(accept(&other).is_some());
    assert!(accept(&origin).is_none());
}

#[test]
fn a_unix_socket_is_checked_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let origin = UnixListener::bind(&path).unwrap();
    let mut server = checked("s", nowhere());
    server.address = ServerAddress::Unix(path.clone());
    server.health.fall = 1;
    let mut bench = Bench::new(vec![server], |_| {});
    assert_eq!(bench.state(0).verdict.result, CheckResult::L4Ok);
    drop(origin);
    bench.pass(2000);
    assert_eq!(bench.operational(0), Operational::Down);
}

#[test]
fn an_answer_may_come_in_many_pieces() {
    let origin = listener();
    let mut bench = Bench::new(vec![checked("s", origin.local_addr().unwrap())], |config| {
        http(config);
        let CheckKind::Http(steps) = &mut config.backends[0].check.kind else { unreachable!() };
        let StepAction::Expect(expect) = &mut steps[1].action else { unreachable!() };
        expect.matching = Matching::Bytes(CheckText::plain("the end"));
    });
    let mut server = accept(&origin).unwrap();
    say(&mut server, b"HTTP/1.0 200 Fine\r\nContent-Length: 10007\r\n\r\n");
    for _ in 0..10 {
        say(&mut server, &[b'x'; 1000]);
        bench.settle();
    }
    assert_eq!(bench.state(0).verdict.result, CheckResult::Unknown);
    say(&mut server, b"the end");
    bench.settle();
    assert_eq!(bench.state(0).verdict.result, CheckResult::L7Ok);
}

#[test]
fn a_checker_that_stood_still_does_not_blame_servers() {
    let origin = listener();
    let mut bench = Bench::new(vec![checked("s", origin.local_addr().unwrap())], http);
    let mut server = accept(&origin).unwrap();
    say(&mut server, b"HTTP/1.0 200 Fine\r\n\r\n");
    bench.pass(60_000);
    assert_eq!(bench.state(0).verdict.result, CheckResult::L7Ok);
    // One that says nothing is given the time again, once.
    bench.pass(2000);
    let _frozen = accept(&origin).unwrap();
    bench.pass(60_000);
    assert_eq!(bench.state(0).verdict.result, CheckResult::L7Ok);
    bench.pass(60_000);
    assert_eq!(bench.state(0).verdict.result, CheckResult::L7Tout);
}
