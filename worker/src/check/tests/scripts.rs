//! Scripts of `option tcp-check` and `option httpchk`. What they find is what HAProxy found with the
//! same script and server.

use portolan_shared::check_result::CheckResult;
use portolan_shared::model::{
    Check, CheckText, CheckValue, ExpectStatus, FieldMatch, FieldMethod, Matching, Step, StepAction,
};

use super::play::{
    CONTEXT, Deed, REFUSED, RESET, bytes, comment, connect, expect, http, not, options, payload,
    play, send, send_http, step, string, tcp, told, variable, with,
};
use crate::check::{Context, Conversation, Event, Header, Move, Script};

/// What is found, the same however the server's bytes come.
fn found(check: &Check, deeds: &[Deed<'_>]) -> String {
    let whole = play(check, deeds, usize::MAX);
    for piece in 1..8 {
        let cut = play(check, deeds, piece);
        assert_eq!(told(&cut.outcome), told(&whole.outcome), "in pieces of {piece}");
        assert_eq!(cut.sent, whole.sent, "in pieces of {piece}");
    }
    told(&whole.outcome)
}

/// What is found of a server that says this and closes.
fn found_of(check: &Check, said: &str) -> String {
    found(check, &[Deed::Say(said.as_bytes()), Deed::Close])
}

/// What is found when the first connection ends so.
fn found_without_connection(check: &Check, event: Event<'_>) -> String {
    let script = Script::of(check, 1000).expect("a script");
    let mut conversation = Conversation::new(script.into());
    assert!(matches!(conversation.begin(&CONTEXT), Move::Connect(_)));
    let Move::Done(outcome) = conversation.on(event, &CONTEXT) else { panic!("not over") };
    told(&outcome)
}

fn regex(text: &str) -> Step {
    expect(Matching::Regex(text.to_owned()))
}

#[test]
fn a_connection_is_enough_where_nothing_more_is_asked_for() {
    assert_eq!(found(&tcp(vec![]), &[]), r#"L4OK 0 """#);
    assert_eq!(found(&tcp(vec![connect(None)]), &[]), r#"L4OK 0 "(tcp-check)""#);
    let asides = vec![
        connect(None),
        step(StepAction::Set { name: "check.x".to_owned(), value: CheckText::plain("4") }),
    ];
    assert_eq!(found(&tcp(asides), &[]), r#"L4OK 0 "(tcp-check)""#);
    assert_eq!(found(&tcp(vec![send("x")]), &[]), r#"L7OK 0 "(tcp-check)""#);
}

#[test]
fn without_a_connection_the_layer_below_is_the_problem() {
    let refused = Event::Failed(REFUSED);
    let at_port = tcp(vec![connect(Some(1))]);
    let commented =
        tcp(vec![comment(step(StepAction::Comment), "foo"), comment(connect(Some(1)), "bar")]);
    assert_eq!(
        found_without_connection(&tcp(vec![]), refused),
        r#"L4CON 0 "Connection refused at initial connection step of tcp-check""#
    );
    assert_eq!(
        found_without_connection(&at_port, refused),
        r#"L4CON 0 "Connection refused at step 1 of tcp-check (connect port 1)""#
    );
    assert_eq!(
        found_without_connection(&commented, refused),
        r#"L4CON 0 "Connection refused at step 2 of tcp-check (connect port 1) comment: 'bar'""#
    );
    assert_eq!(found_without_connection(&http(vec![]), refused), r#"L4CON 0 "Connection refused""#);
    assert_eq!(found_without_connection(&http(vec![]), Event::Timeout), r#"L4TOUT 0 """#);
    assert_eq!(
        found_without_connection(&http(vec![]), Event::NoSocket(24)),
        r#"SOCKERR 0 "Too many open files""#
    );
}

#[test]
fn a_server_that_says_nothing_is_late_and_one_that_closes_is_wrong() {
    let abc = || string("abc");
    let why = || comment(abc(), "why");
    let binary = expect(Matching::Binary(CheckText::plain("0aff")));
    let late = [Deed::Hang];
    let closed = [Deed::Close];
    let check = |step: Step| tcp(vec![step]);
    assert_eq!(
        found(&check(abc()), &closed),
        r#"L7RSP 0 "TCPCHK got an empty response at step 1""#
    );
    assert_eq!(
        found(&check(why()), &closed),
        r#"L7RSP 0 "TCPCHK got an empty response at step 1 comment: 'why'""#
    );
    assert_eq!(
        found(&check(why()), &late),
        r#"L7TOUT 0 " at step 1 of tcp-check (expect string 'abc') comment: 'why'""#
    );
    let status = with(abc(), |expect| expect.timeout_status = ExpectStatus::L6Tout);
    assert_eq!(
        found(&check(status), &late),
        r#"L6TOUT 0 " at step 1 of tcp-check (expect string 'abc')""#
    );
    let third = |step: Step| tcp(vec![connect(None), send("x"), step]);
    assert_eq!(
        found(&third(regex("a.c")), &late),
        r#"L7TOUT 0 " at step 3 of tcp-check (expect regex)""#
    );
    assert_eq!(
        found(&third(binary), &late),
        r#"L7TOUT 0 " at step 3 of tcp-check (expect binary '<0A><FF>')""#
    );
    assert_eq!(
        found(&check(why()), &[Deed::Say(b"ab")]),
        r#"L7TOUT 0 " at step 1 of tcp-check (expect string 'abc') comment: 'why'""#
    );
    assert_eq!(
        found_of(&check(why()), "ab"),
        r#"L7RSP 0 "TCPCHK did not match content 'abc' at step 1 comment: why""#
    );
    let then = tcp(vec![send("x"), abc()]);
    assert_eq!(
        found(&then, &[Deed::Fail(RESET)]),
        r#"SOCKERR 0 "Connection reset by peer at step 2 of tcp-check (expect string 'abc')""#
    );
    assert_eq!(
        found(&then, &[Deed::Say(b"xx"), Deed::Fail(RESET)]),
        r#"L7RSP 0 "TCPCHK did not match content 'abc' at step 2""#
    );
}

#[test]
fn content_is_found_or_it_is_told_what_was_not() {
    let check = |step: Step| tcp(vec![step]);
    let binary = |text: &str| expect(Matching::Binary(CheckText::plain(text)));
    let digits = |text: &str| expect(Matching::HexRegex(text.to_owned()));
    let format = |values: Vec<CheckValue>| expect(Matching::Bytes(CheckText(values)));
    let number = CheckValue::Number(55);
    for (step, said, outcome) in [
        (string("abc"), "xabcgh", r#"L7OK 0 "(tcp-check)""#),
        (string("abc"), "defgh", r#"L7RSP 0 "TCPCHK did not match content 'abc' at step 1""#),
        (not(string("abc")), "defgh", r#"L7OK 0 "(tcp-check)""#),
        (
            not(string("abc")),
            "xabcgh",
            r#"L7RSP 0 "TCPCHK matched unwanted content 'abc' at step 1""#,
        ),
        (
            comment(not(regex("abc")), "zzz"),
            "xabcgh",
            r#"L7RSP 0 "TCPCHK matched unwanted content (regex) at step 1 comment: zzz""#,
        ),
        (binary("0a0b"), "\n\x0b", r#"L7OK 0 "(tcp-check)""#),
        (binary("0a0b"), "x", r#"L7RSP 0 "TCPCHK did not match content (binary) at step 1""#),
        (digits("^616[0-9]$"), "ab", r#"L7OK 0 "(tcp-check)""#),
        (digits("0A"), "x", r#"L7RSP 0 "TCPCHK did not match content (binary regex) at step 1""#),
        (
            format(vec![number.clone(), bytes("x")]),
            "x55",
            r#"L7RSP 0 "TCPCHK did not match content (log-format string) at step 1""#,
        ),
        (format(vec![number, bytes("x")]), "x55x", r#"L7OK 0 "(tcp-check)""#),
        (
            format(vec![variable("check.none")]),
            "x",
            r#"L7RSP 0 "log-format string evaluated to an empty string""#,
        ),
    ] {
        assert_eq!(found_of(&check(step.clone()), said), outcome, "{step:?}");
    }
}

#[test]
fn a_script_says_what_is_reported() {
    let check = |step: Step| tcp(vec![step]);
    let abc = |change: fn(&mut portolan_shared::model::Expect)| with(string("abc"), change);
    let said = abc(|expect| {
        expect.on_success = Some(CheckText(vec![bytes("got "), payload(1, 3)]));
        expect.status_code = Some(CheckValue::Number(77));
    });
    assert_eq!(found_of(&check(said), "xabcgh"), r#"L7OK 77 "got abc""#);
    let conditional = abc(|expect| expect.ok_status = ExpectStatus::L7OkCond);
    assert_eq!(found_of(&check(conditional), "abc"), r#"L7OKC 0 "(tcp-check)""#);
    let failed = abc(|expect| {
        expect.on_error = Some(CheckText(vec![bytes("got \""), payload(0, 0), bytes("\"")]));
        expect.error_status = ExpectStatus::L7Sts;
        expect.status_code = Some(payload(1, 2));
    });
    assert_eq!(
        found_of(&check(comment(failed, "cmt")), "x78\x01#\"\\"),
        r#"L7STS 78 "got <22>x78<01>#<22>\<22> comment: cmt""#
    );
    let other = abc(|expect| expect.error_status = ExpectStatus::L4Con);
    assert_eq!(
        found_of(&check(other), "xyz"),
        r#"L4CON 0 "TCPCHK did not match content 'abc' at step 1""#
    );
}

#[test]
fn expectations_in_a_row_look_at_the_same_bytes() {
    let both = tcp(vec![string("ab"), string("cd")]);
    assert_eq!(found(&both, &[Deed::Say(b"cd"), Deed::Say(b"ab")]), r#"L7OK 0 "(tcp-check)""#);
    let late = tcp(vec![string("ab"), comment(string("cd"), "x")]);
    assert_eq!(
        found(&late, &[Deed::Say(b"ab"), Deed::Say(b"cx")]),
        r#"L7TOUT 0 " at step 2 of tcp-check (expect string 'cd') comment: 'x'""#
    );
}

#[test]
fn what_must_not_come_is_looked_for_again_with_all_that_comes_before_the_next_step() {
    let unwanted = with(not(string("ERR")), |expect| expect.min_recv = Some(0));
    let check = tcp(vec![unwanted, string("done")]);
    assert_eq!(found(&check, &[Deed::Say(b"work, done")]), r#"L7OK 0 "(tcp-check)""#);
    assert_eq!(
        found(&check, &[Deed::Say(b"work, ERR, done")]),
        r#"L7RSP 0 "TCPCHK matched unwanted content 'ERR' at step 1""#
    );
}

#[test]
fn fewer_bytes_than_asked_for_are_not_looked_at() {
    let check = tcp(vec![with(string("a"), |expect| expect.min_recv = Some(4))]);
    assert_eq!(
        told(&play(&check, &[Deed::Say(b"a"), Deed::Hang], 9).outcome),
        r#"L7TOUT 0 " at step 1 of tcp-check (expect string 'a')""#
    );
    assert_eq!(found_of(&check, "a"), r#"L7OK 0 "(tcp-check)""#);
    assert_eq!(
        found(&check, &[Deed::Say(b"bbbb"), Deed::Hang]),
        r#"L7RSP 0 "TCPCHK did not match content 'a' at step 1""#
    );
}

#[test]
fn what_is_sent_may_be_made_of_what_has_come() {
    let set = |name: &str, value: CheckText| step(StepAction::Set { name: name.to_owned(), value });
    let check = tcp(vec![
        string("\n"),
        set("check.a", CheckText(vec![payload(2, 3)])),
        set("check.b", CheckText(vec![variable("check.a"), bytes("!")])),
        step(StepAction::Unset { name: "check.a".to_owned() }),
        step(StepAction::Send(CheckText(vec![
            CheckValue::ServerName,
            bytes("/"),
            CheckValue::BackendName,
            bytes("/"),
            CheckValue::ServerId,
            CheckValue::BackendId,
            CheckValue::Hostname,
            variable("check.a"),
            variable("check.b"),
        ]))),
        step(StepAction::SendBinary(CheckText(vec![bytes("0"), CheckValue::Number(1)]))),
        step(StepAction::SendBinary(CheckText::plain("FFfe"))),
        string("ok"),
    ]);
    let played = play(&check, &[Deed::Say(b"> xyz\n"), Deed::Say(b"ok")], 99);
    assert_eq!(played.sent, [&b"s1/be/73nodexyz!"[..], b"\x01", b"\xff\xfe"]);
    assert_eq!(told(&played.outcome), r#"L7OK 0 "(tcp-check)""#);
}

#[test]
fn a_script_may_connect_several_times_and_elsewhere() {
    let elsewhere = || {
        step(StepAction::Connect(portolan_shared::model::CheckConnect {
            address: Some("10.0.0.1".parse().expect("an address")),
            port: Some(variable("check.port")),
            send_proxy: true,
            linger: true,
            default: false,
        }))
    };
    let port = CheckText(vec![CheckValue::Number(8080)]);
    let check = tcp(vec![
        string("a"),
        step(StepAction::Set { name: "check.port".to_owned(), value: port }),
        elsewhere(),
        string("b"),
    ]);
    let played = play(&check, &[Deed::Say(b"a"), Deed::Say(b"b")], 9);
    assert_eq!(told(&played.outcome), r#"L7OK 0 "(tcp-check)""#);
    let [first, second] = played.connects[..] else { panic!("{:?}", played.connects) };
    assert_eq!((first.address, first.port, first.linger), (None, None, false));
    assert_eq!(first.header, Header::AsConfigured);
    assert_eq!(second.address.map(|ip| ip.to_string()).as_deref(), Some("10.0.0.1"));
    assert_eq!((second.port, second.linger, second.header), (Some(8080), true, Header::Always));

    let nowhere = play(&tcp(vec![elsewhere()]), &[], 9);
    assert_eq!(
        told(&nowhere.outcome),
        r#"SOCKERR 0 "invalid port at step 1 of tcp-check (connect)""#
    );
    assert_eq!(nowhere.connects, []);
}

#[test]
fn a_request_is_written_as_it_is_configured() {
    let sent = |check: &Check, context: &Context<'_>| {
        let script = Script::of(check, 1000).expect("a script").into();
        let played = super::play::play_script(&script, context, &[], 9);
        String::from_utf8_lossy(&played.sent[0]).into_owned()
    };
    assert_eq!(sent(&http(vec![]), &CONTEXT), "OPTIONS / HTTP/1.0\r\n\r\n");
    let told = Context { state: Some("UP 1/3; x=y"), ..CONTEXT };
    assert_eq!(
        sent(&http(vec![]), &told),
        "OPTIONS / HTTP/1.0\r\nX-Haproxy-Server-State: UP 1/3; x=y\r\n\r\n"
    );
    let mut request = options();
    request.method = "POST".to_owned();
    request.uri = CheckText(vec![bytes("/a b\r\n")]);
    request.version = portolan_shared::model::CheckHttpVersion::Http11;
    request.body = CheckText::plain("abc");
    request.fields = vec![
        ("Host".to_owned(), CheckText(vec![CheckValue::ServerName, bytes("\r\nX: y")])),
        ("Content-length".to_owned(), CheckText::plain("99")),
    ];
    let check = Check {
        kind: portolan_shared::model::CheckKind::Http(vec![send_http(request.clone())]),
        ..Check::default()
    };
    assert_eq!(
        sent(&check, &CONTEXT),
        "POST /a%20b%0D%0A HTTP/1.1\r\nHost: s1  X: y\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
    );
    request.fields = vec![("connection".to_owned(), CheckText::plain("upgrade"))];
    let check = Check {
        kind: portolan_shared::model::CheckKind::Http(vec![send_http(request)]),
        ..Check::default()
    };
    assert!(!sent(&check, &CONTEXT).contains("close"));
}

#[test]
fn a_status_from_200_to_399_is_well_where_nothing_is_said() {
    let plain = http(vec![]);
    for (said, outcome) in [
        ("HTTP/1.0 200 OK\r\n\r\n", r#"L7OK 200 """#),
        ("HTTP/1.0 304 Not Mod\r\n\r\n", r#"L7OK 304 """#),
        ("HTTP/1.0 500 Oh no\r\n\r\nbody", r#"L7STS 500 "Oh no""#),
        ("HTTP/1.0 500\r\n\r\nbody", r#"L7STS 500 """#),
        ("HTTP/1.1 101 Switch\r\nX: y\r\n\r\n", r#"L7STS 101 """#),
        ("HTTP/1.0 200 O", r#"L7RSP 0 """#),
        ("SSH-2.0-foo\r\n", r#"L7RSP 0 """#),
        ("", r#"L7RSP 0 """#),
        // HAProxy takes the 100 for the answer.
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n", r#"L7OK 204 """#),
    ] {
        assert_eq!(found_of(&plain, said), outcome, "{said:?}");
    }
    assert_eq!(found(&plain, &[Deed::Hang]), r#"L7TOUT 0 """#);
    assert_eq!(found(&plain, &[Deed::Fail(RESET)]), r#"SOCKERR 0 "Connection reset by peer""#);
}

#[test]
fn a_response_is_judged_by_status_fields_or_content() {
    const OK: &str = "HTTP/1.0 200 OK\r\nX-A: 1, 2\r\nContent-Type: \"a,b\", c\r\n\r\nhello";
    let status = |ranges: &[(u16, u16)]| expect(Matching::Status(ranges.to_vec()));
    let rstatus = |text: &str| expect(Matching::StatusRegex(text.to_owned()));
    let by = |method: FieldMethod, text: &str| FieldMatch { method, text: CheckText::plain(text) };
    let field = |name: FieldMatch, value: Option<FieldMatch>, full: bool| {
        expect(Matching::Field { name, value, full })
    };
    let a = || by(FieldMethod::Equal, "x-a");
    let equal = |text: &str| Some(by(FieldMethod::Equal, text));
    for (step, outcome) in [
        (string("hello"), r#"L7OK 200 """#),
        (
            comment(string("hallo"), "ccc"),
            r#"L7RSP 200 "HTTP content check did not match comment: ccc""#,
        ),
        (not(string("hello")), r#"L7RSP 200 "HTTP check matched unwanted content""#),
        (not(string("hallo")), r#"L7OK 200 """#),
        (regex("h.llo"), r#"L7OK 200 """#),
        (rstatus("^5"), r#"L7STS 200 "OK""#),
        (not(rstatus("^5")), r#"L7OK 200 """#),
        (comment(status(&[(201, 201), (500, 599)]), "ccc"), r#"L7STS 200 "OK comment: ccc""#),
        (not(status(&[(200, 200)])), r#"L7STS 200 "OK""#),
        (field(a(), equal("2"), false), r#"L7OK 200 """#),
        (field(a(), equal("3"), false), r#"L7STS 200 "OK""#),
        (field(a(), equal("2"), true), r#"L7STS 200 "OK""#),
        (field(a(), equal("1, 2"), true), r#"L7OK 200 """#),
        (field(a(), None, true), r#"L7OK 200 """#),
        (field(by(FieldMethod::Equal, "x-b"), None, true), r#"L7STS 200 "OK""#),
        (not(field(by(FieldMethod::Equal, "x-b"), None, true)), r#"L7OK 200 """#),
        (
            field(by(FieldMethod::Begins, "X-"), Some(by(FieldMethod::Contains, "1, ")), true),
            r#"L7OK 200 """#,
        ),
        (
            field(by(FieldMethod::Ends, "-type"), Some(by(FieldMethod::Ends, "b\"")), false),
            r#"L7OK 200 """#,
        ),
        (
            field(by(FieldMethod::Regex, "^x-.$"), Some(by(FieldMethod::Regex, "^2$")), false),
            r#"L7OK 200 """#,
        ),
        (
            field(by(FieldMethod::Equal, "x-a"), Some(by(FieldMethod::Begins, "3")), false),
            r#"L7STS 200 "OK""#,
        ),
        (
            with(status(&[(200, 200)]), |expect| {
                expect.on_success = Some(CheckText(vec![
                    bytes("st "),
                    CheckValue::Status,
                    bytes(" "),
                    CheckValue::ResponseField("X-A".to_owned()),
                    bytes(" "),
                    CheckValue::ResponseField("none".to_owned()),
                ]));
            }),
            r#"L7OK 200 "st 200 2 ""#,
        ),
        (
            with(status(&[(201, 201)]), |expect| {
                expect.on_error = Some(CheckText(vec![bytes("st "), CheckValue::Status]));
                expect.status_code = Some(CheckValue::ResponseField("x-a".to_owned()));
                expect.error_status = ExpectStatus::L7Rsp;
            }),
            r#"L7RSP 2 "st 200""#,
        ),
        (
            with(string("hello"), |expect| {
                expect.on_success = Some(CheckText(vec![CheckValue::ResponseBody, payload(4, 1)]));
            }),
            r#"L7OK 200 "helloo""#,
        ),
    ] {
        assert_eq!(found_of(&http(vec![step.clone()]), OK), outcome, "{step:?}");
    }
}

#[test]
fn content_ends_where_its_framing_says() {
    let wants = |text: &str| http(vec![string(text)]);
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nxyz\r\n3\r\nabc\r\n0\r\n\r\n";
    let broken = chunked.replace("\n3\r\nabc", "\nzz\r\nabc");
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nxyz";
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nxyzabc";
    assert_eq!(found(&wants("zabc"), &[Deed::Say(chunked.as_bytes())]), r#"L7OK 200 """#);
    assert_eq!(found_of(&wants("xyzabc"), &broken), r#"L7RSP 200 """#);
    assert_eq!(found_of(&wants("xyz"), &broken), r#"L7OK 200 """#);
    assert_eq!(found_of(&http(vec![not(string("foo"))]), &broken), r#"L7RSP 200 """#);
    assert_eq!(found_of(&wants("xyzabc"), cut), r#"L7RSP 200 "HTTP content check did not match""#);
    assert_eq!(found_of(&wants("xyz"), cut), r#"L7OK 200 """#);
    assert_eq!(found_of(&http(vec![not(string("foo"))]), cut), r#"L7OK 200 """#);
    assert_eq!(
        found(&wants("xyza"), &[Deed::Say(length.as_bytes())]),
        r#"L7RSP 200 "HTTP content check did not match""#
    );
    assert_eq!(
        found_of(&wants("x"), "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"),
        r#"L7RSP 200 "HTTP content check could not find a response body""#
    );
    assert_eq!(found(&wants("x"), &[Deed::Say(b"HTTP/1.0 200 OK\r\n\r\nabc")]), r#"L7TOUT 0 """#);
}

#[test]
fn a_404_stops_a_server_that_is_not_down_where_it_may() {
    const NOT_FOUND: Deed<'_> = Deed::Say(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let plain = http(vec![]);
    let stopping = Check { disable_on_404: true, ..plain.clone() };
    let even_expected =
        Check { disable_on_404: true, ..http(vec![expect(Matching::Status(vec![(404, 404)]))]) };
    assert_eq!(found(&plain, &[NOT_FOUND]), r#"L7STS 404 "Not Found""#);
    assert_eq!(found(&stopping, &[NOT_FOUND]), r#"L7OKC 404 """#);
    assert_eq!(found(&even_expected, &[NOT_FOUND]), r#"L7OKC 404 """#);
    let script = Script::of(&stopping, 1000).expect("a script").into();
    let down = Context { running: false, ..CONTEXT };
    let played = super::play::play_script(&script, &down, &[NOT_FOUND], 99);
    assert_eq!(told(&played.outcome), r#"L7STS 404 "Not Found""#);
}

#[test]
fn a_server_that_says_more_than_there_is_room_for_is_judged_by_what_there_is() {
    let flood = vec![b'x'; 2 * super::play::BUFFER];
    assert_eq!(
        found(&tcp(vec![string("abc")]), &[Deed::Say(&flood)]),
        r#"L7RSP 0 "TCPCHK did not match content 'abc' at step 1""#
    );
    let head = b"HTTP/1.0 200 OK\r\n\r\n".to_vec();
    assert_eq!(
        found(&http(vec![string("abc")]), &[Deed::Say(&head), Deed::Say(&flood)]),
        r#"L7RSP 200 "HTTP content check did not match""#
    );
    let endless = [b"HTTP/1.0 200 OK\r\nX: ".to_vec(), flood].concat();
    assert_eq!(found(&http(vec![]), &[Deed::Say(&endless)]), r#"L7RSP 0 """#);
}

#[test]
fn a_result_without_a_name_is_no_result() {
    assert_eq!(told(&crate::check::Outcome::default()), r#"UNK 0 """#);
    assert_eq!(CheckResult::default(), CheckResult::Unknown);
}
