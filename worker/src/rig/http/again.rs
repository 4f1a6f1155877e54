//! What follows when a server's connection fails before a response.

use std::time::Instant;

use portolan_shared::model::RetryOn;
use socket2::SockRef;

use super::{GET, OK, POST, acquainted, hear, next, rig, say, seconds, speaks_http, status};
use crate::rig::Rig;
use crate::rig::relaying::POLLERS;

fn everything() -> RetryOn {
    RetryOn {
        conn_failure: true,
        empty_response: true,
        response_timeout: true,
        junk_response: true,
        statuses: vec![503],
    }
}

#[test]
fn a_request_that_may_be_repeated_gets_a_new_connection_where_the_kept_one_was_dead() {
    let mut rig = rig(|_| {});
    let (mut client, mut server) = acquainted(&mut rig);
    client.say(GET.as_bytes());
    rig.turn(0);
    rig.settle();
    assert!(hear(&mut server).starts_with("GET / "));
    drop(server);
    rig.settle();
    let mut second = next(&rig);
    assert!(hear(&mut second).starts_with("GET / "));
    say(&mut rig, &mut second, OK);
    assert_eq!(status(&mut client), "200 OK");
}

#[test]
fn a_request_that_must_not_be_repeated_is_not_once_a_byte_of_it_was_sent() {
    for wanted in [RetryOn::default(), everything()] {
        let mut rig = rig(|config| config.backends[0].http.retry_on = wanted);
        let (mut client, mut server) = acquainted(&mut rig);
        say(&mut rig, &mut client, POST);
        assert!(hear(&mut server).ends_with("\r\n\r\nhi"));
        drop(server);
        rig.settle();
        assert_eq!(status(&mut client), "502 Bad Gateway<end>");
        assert!(rig.accept().is_none(), "it would be sent twice");
    }
}

#[test]
fn a_request_of_which_a_part_is_gone_is_not_sent_again() {
    let mut rig = rig(|config| config.backends[0].http.retry_on.conn_failure = true);
    let (mut client, mut server) = acquainted(&mut rig);
    say(&mut rig, &mut client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    say(&mut rig, &mut client, "def");
    assert!(hear(&mut server).ends_with("\r\n\r\nabcdef"));
    drop(server);
    rig.settle();
    assert!(rig.accept().is_none(), "three bytes of its content are nowhere any more");
    assert_eq!(status(&mut client), "502 Bad Gateway<end>");
}

#[test]
fn an_interim_response_is_a_word_and_no_sign_of_a_dead_connection() {
    let mut rig = rig(|_| {});
    let (mut client, mut server) = acquainted(&mut rig);
    say(&mut rig, &mut client, GET);
    say(&mut rig, &mut server, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n");
    assert_eq!(status(&mut client), "103 Early Hints");
    drop(server);
    rig.settle();
    assert_eq!(status(&mut client), "502 Bad Gateway<end>");
    assert!(rig.accept().is_none());
}

#[test]
fn each_kind_of_failure_is_followed_by_a_retry_where_that_is_wanted() {
    let kinds: [(&str, &str, RetryOn); 5] = [
        ("", "502 Bad Gateway<end>", RetryOn { empty_response: true, ..RetryOn::default() }),
        (
            "HTTP/1.1 200 OK\r\n",
            "502 Bad Gateway<end>",
            RetryOn { empty_response: true, ..RetryOn::default() },
        ),
        ("junk", "502 Bad Gateway<end>", RetryOn { junk_response: true, ..RetryOn::default() }),
        (
            "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
            "503 No",
            RetryOn { statuses: vec![503], ..RetryOn::default() },
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
            "502 Bad Gateway<end>",
            RetryOn { junk_response: true, ..RetryOn::default() },
        ),
    ];
    for (said, follows, on) in kinds {
        for wanted in [false, true] {
            let mut rig = rig(|config| {
                if wanted {
                    config.backends[0].http.retry_on = on.clone();
                }
            });
            let mut client = rig.client(0);
            say(&mut rig, &mut client, GET);
            let mut server = next(&rig);
            hear(&mut server);
            server.say(said.as_bytes());
            drop(server);
            rig.settle();
            if !wanted {
                assert_eq!(status(&mut client), follows, "{said:?}");
                assert!(rig.accept().is_none(), "{said:?}");
                continue;
            }
            let mut second = next(&rig);
            assert!(hear(&mut second).starts_with("GET / "), "{said:?}");
            say(&mut rig, &mut second, OK);
            assert_eq!(status(&mut client), "200 OK", "{said:?}");
        }
    }
}

#[test]
fn a_server_that_says_nothing_in_time_is_tried_again_where_that_is_wanted_and_not_for_ever() {
    let mut rig = rig(|config| {
        config.backends[0].http.retry_on.response_timeout = true;
        config.backends[0].retries = 2;
        config.backends[0].timeouts.server = Some(seconds(10));
        config.frontends[0].timeouts.client = Some(seconds(100));
    });
    let mut client = rig.client(0);
    say(&mut rig, &mut client, GET);
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(next(&rig));
        rig.pass(seconds(9));
        assert_eq!(status(&mut client), "");
        rig.pass(seconds(1));
    }
    assert_eq!(status(&mut client), "504 Gateway Timeout<end>");
    assert!(rig.accept().is_none());
}

#[test]
fn a_request_that_is_to_be_repeatable_waits_for_its_content_before_it_asks_for_a_server() {
    let mut rig = rig(|config| config.backends[0].http.retry_on = everything());
    let mut client = rig.client(0);
    say(
        &mut rig,
        &mut client,
        "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    );
    assert!(rig.accept().is_none());
    say(&mut rig, &mut client, "c\r\n0\r\nX-T: t\r\n\r\n");
    for _ in 0..2 {
        let mut server = next(&rig);
        let request = hear(&mut server);
        assert!(request.starts_with("PUT / "), "{request}");
        assert!(request.ends_with("2\r\nab\r\n1\r\nc\r\n0\r\nX-T: t\r\n\r\n"), "{request}");
        drop(server);
        rig.settle();
    }
}

#[test]
fn an_interim_response_that_its_client_has_half_taken_is_finished_before_anything_else() {
    const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n";
    for (retries, end) in [(false, "502 Bad Gateway"), (true, "200 OK")] {
        let mut rig = rig(|config| config.backends[0].http.retry_on.empty_response = retries);
        let listener = SockRef::from(&rig.listeners[0].socket);
        listener.set_send_buffer_size(2048).unwrap();
        let mut client = rig.client(0);
        SockRef::from(&client.0).set_recv_buffer_size(2048).unwrap();
        say(&mut rig, &mut client, GET);
        let mut server = next(&rig);
        let waits = |rig: &super::Rig| {
            let mut streams = rig.members[0].worker.streams.iter();
            streams.any(|(_, stream)| !stream.back.pending.is_empty())
        };
        let mut hints = 0;
        while !waits(&rig) {
            say(&mut rig, &mut server, &HINT.repeat(50));
            hints += 50;
        }
        drop(server);
        rig.settle();
        let deadline = Instant::now() + seconds(20);
        let mut heard = String::new();
        let mut second = None;
        while !heard.contains(end) {
            heard += &hear(&mut client);
            rig.settle();
            if let Some(mut server) = rig.accept() {
                say(&mut rig, &mut server, OK);
                second = Some(server);
            }
            assert!(Instant::now() < deadline, "{heard}");
        }
        assert_eq!(second.is_some(), retries);
        assert_eq!(heard.matches(HINT).count(), heard.matches("Early Hints").count());
        assert!(heard.matches(HINT).count() <= hints);
        let at = heard.find(end).unwrap();
        assert!(heard[..at].ends_with("\r\n\r\nHTTP/1.1 "), "{heard}");
    }
}

#[test]
fn a_request_of_which_no_byte_was_sent_gets_a_new_connection_whatever_it_asks() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, speaks_http);
        let (mut client, server) = acquainted(&mut rig);
        // The request is seen first, and the kernel knows of the reset when it is to be sent.
        client.say(POST.as_bytes());
        server.reset();
        rig.settle();
        let mut second = next(&rig);
        assert!(hear(&mut second).ends_with("\r\n\r\nhi"), "{poller}");
        say(&mut rig, &mut second, OK);
        assert_eq!(status(&mut client), "200 OK", "{poller}");
    }
}
