//! Timeouts of mode http, by the rig's clock.

use portolan_shared::model::{Answer, Config};

use super::{GET, OK, acquainted, hear, next, rig, say, seconds, status};

fn timeouts(config: &mut Config) {
    let of = &mut config.frontends[0].timeouts;
    of.client = Some(seconds(30));
    of.http_request = Some(seconds(5));
    of.http_keep_alive = Some(seconds(20));
    of.tarpit = Some(seconds(7));
    config.backends[0].timeouts.server = Some(seconds(40));
}

#[test]
fn a_head_that_is_late_gets_408_however_often_a_byte_of_it_comes() {
    let mut rig = rig(timeouts);
    let mut client = rig.client(0);
    rig.settle();
    for byte in ["G", "E", "T", " "] {
        rig.pass(seconds(1));
        say(&mut rig, &mut client, byte);
    }
    assert_eq!(status(&mut client), "");
    rig.pass(seconds(1));
    assert_eq!(status(&mut client), "408 Request Timeout<end>");
}

#[test]
fn a_client_that_never_asks_gets_408_or_nothing() {
    for silent in [false, true] {
        let mut rig = rig(|config| {
            timeouts(config);
            config.frontends[0].http.ignore_probes = silent;
        });
        let mut client = rig.client(0);
        rig.settle();
        rig.pass(seconds(4));
        assert_eq!(hear(&mut client), "");
        rig.pass(seconds(1));
        let heard = if silent { "<end>" } else { "408 Request Timeout<end>" };
        assert_eq!(status(&mut client), heard);
    }
}

#[test]
fn between_requests_another_timeout_holds_and_its_end_is_silent() {
    let mut rig = rig(timeouts);
    let (mut client, _server) = acquainted(&mut rig);
    rig.pass(seconds(19));
    assert_eq!(hear(&mut client), "");
    rig.pass(seconds(1));
    assert_eq!(hear(&mut client), "<end>");
}

#[test]
fn from_its_first_byte_on_a_later_request_is_as_late_as_the_first() {
    let mut rig = rig(timeouts);
    let (mut client, _server) = acquainted(&mut rig);
    rig.pass(seconds(18));
    say(&mut rig, &mut client, "GET / HTTP");
    rig.pass(seconds(4));
    assert_eq!(hear(&mut client), "");
    rig.pass(seconds(1));
    assert_eq!(status(&mut client), "408 Request Timeout<end>");
}

#[test]
fn content_that_does_not_come_gets_408_and_the_server_is_let_go() {
    let mut rig = rig(timeouts);
    let mut client = rig.client(0);
    say(&mut rig, &mut client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
    let mut server = next(&rig);
    rig.pass(seconds(29));
    assert_eq!(hear(&mut client), "");
    rig.pass(seconds(1));
    assert_eq!(status(&mut client), "408 Request Timeout<end>");
    assert!(hear(&mut server).ends_with("ab<end>"));
}

#[test]
fn content_that_is_collected_is_late_as_a_head_is() {
    let mut rig = rig(|config| {
        timeouts(config);
        config.backends[0].http.buffer_request = true;
    });
    let mut client = rig.client(0);
    say(&mut rig, &mut client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
    rig.pass(seconds(4));
    assert_eq!(hear(&mut client), "");
    rig.pass(seconds(1));
    assert_eq!(status(&mut client), "408 Request Timeout<end>");
    assert!(rig.accept().is_none());
}

#[test]
fn a_server_that_is_late_gets_504_from_the_end_of_the_request_on() {
    let mut rig = rig(timeouts);
    let mut client = rig.client(0);
    say(&mut rig, &mut client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
    let mut server = next(&rig);
    rig.pass(seconds(20));
    say(&mut rig, &mut client, "cd");
    rig.pass(seconds(39));
    assert_eq!(hear(&mut client), "");
    rig.pass(seconds(1));
    assert_eq!(status(&mut client), "504 Gateway Timeout<end>");
    assert!(hear(&mut server).ends_with("abcd<end>"));
}

#[test]
fn a_response_that_stops_is_cut() {
    let mut rig = rig(timeouts);
    let mut client = rig.client(0);
    say(&mut rig, &mut client, GET);
    let mut server = next(&rig);
    say(&mut rig, &mut server, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    rig.pass(seconds(39));
    assert!(hear(&mut client).ends_with("\r\n\r\nab"));
    rig.pass(seconds(1));
    assert_eq!(hear(&mut client), "<end>");
}

#[test]
fn who_waits_for_the_server_is_not_silent() {
    let mut rig = rig(timeouts);
    let mut client = rig.client(0);
    say(&mut rig, &mut client, GET);
    let mut server = next(&rig);
    rig.pass(seconds(35));
    say(&mut rig, &mut server, OK);
    assert_eq!(status(&mut client), "200 OK");
}

#[test]
fn a_refusal_is_held_back_in_the_tarpit() {
    let mut rig = rig(|config| {
        timeouts(config);
        config.frontends[0].http.answer = Some(Answer::Tarpit(500));
    });
    let (mut client, mut other) = (rig.client(0), rig.client(0));
    say(&mut rig, &mut client, GET);
    say(&mut rig, &mut other, GET);
    rig.pass(seconds(6));
    assert_eq!(hear(&mut client), "");
    drop(other);
    rig.settle();
    assert_eq!(rig.connections(), 1, "who leaves the tarpit is gone");
    rig.pass(seconds(1));
    assert_eq!(status(&mut client), "500 Internal Server Error");
}

#[test]
fn lingering_has_an_end() {
    let mut rig = rig(timeouts);
    let mut client = rig.client(0);
    say(&mut rig, &mut client, "what?\r\n\r\n");
    assert_eq!(status(&mut client), "400 Bad Request<end>");
    rig.pass(seconds(4));
    assert_eq!(rig.connections(), 1);
    rig.pass(seconds(1));
    rig.check_empty();
}

#[test]
fn a_full_server_is_waited_for_as_long_as_the_queue_allows() {
    let mut rig = rig(|config| {
        timeouts(config);
        config.backends[0].timeouts.queue = Some(seconds(3));
        config.backends[0].servers[0].maxconn = Some(1);
    });
    let mut first = rig.client(0);
    say(&mut rig, &mut first, GET);
    let _server = next(&rig);
    let mut second = rig.client(0);
    say(&mut rig, &mut second, GET);
    rig.pass(seconds(2));
    assert_eq!(hear(&mut second), "");
    rig.pass(seconds(1));
    assert_eq!(status(&mut second), "503 Service Unavailable<end>");
}
