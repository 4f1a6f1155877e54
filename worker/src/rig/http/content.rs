//! Content of both directions, answers before its end, tunnels.

use std::io::Write;

use socket2::SockRef;

use super::{GET, OK, acquainted, hear, kept, next, rig, say, speaks_http, status};
use crate::exchange::Content;
use crate::rig::Rig;
use crate::rig::relaying::POLLERS;

#[test]
fn a_response_whose_end_is_that_of_its_connection_is_not_ended_by_a_reset() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    say(&mut rig, &mut client, GET);
    let mut server = next(&rig);
    say(&mut rig, &mut server, "HTTP/1.1 200 OK\r\n\r\nsome");
    server.reset();
    rig.settle();
    let heard = hear(&mut client);
    assert!(heard.ends_with("\r\n\r\nsome<reset>") || heard == "<reset>", "{heard}");
}

#[test]
fn a_reset_that_sending_the_request_has_told_of_is_no_end_of_a_response_either() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, speaks_http);
        let mut client = rig.client(0);
        say(&mut rig, &mut client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\na");
        let mut server = next(&rig);
        hear(&mut server);
        // The content is seen first, and the kernel knows of the reset when it is to be sent.
        client.say(b"b");
        server.say(b"HTTP/1.1 200 OK\r\n\r\nsome");
        server.reset();
        rig.settle();
        let heard = hear(&mut client);
        assert!(heard.ends_with("<reset>") || heard.starts_with("HTTP/1.1 502 "), "{heard}");
    }
}

#[test]
fn chunks_that_break_off_do_not_end_well_for_a_client_that_knows_none() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    say(&mut rig, &mut client, "GET / HTTP/1.0\r\n\r\n");
    let mut server = next(&rig);
    say(
        &mut rig,
        &mut server,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
    );
    drop(server);
    rig.settle();
    let heard = hear(&mut client);
    assert!(heard.ends_with("\r\n\r\nsome<reset>") || heard == "<reset>", "{heard}");
}

/// RFC 9112 section 3.3: who is asked follows from the connection where the request does not say it.
#[test]
fn a_request_that_names_no_host_asks_the_address_that_its_client_connected_to() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    let address = client.0.peer_addr().unwrap();
    say(&mut rig, &mut client, "GET / HTTP/1.0\r\n\r\n");
    let mut server = next(&rig);
    let heard = hear(&mut server);
    assert_eq!(heard, format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n"));
}

#[test]
fn a_connection_whose_server_has_not_taken_the_whole_request_is_not_kept() {
    let mut rig = rig(|config| config.tune.server_sndbuf = Some(2048));
    SockRef::from(&rig.origin).set_recv_buffer_size(2048).unwrap();
    let mut client = rig.client(0);
    say(&mut rig, &mut client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut server = next(&rig);
    let waits = |rig: &super::Rig| {
        let (_, stream) = rig.members[0].worker.streams.iter().next().unwrap();
        let read = matches!(stream.http.as_ref().unwrap().request, Content::Done);
        (!stream.front.pending.is_empty(), read)
    };
    while !waits(&rig).0 {
        say(&mut rig, &mut client, &format!("7d0\r\n{}\r\n", "x".repeat(2000)));
    }
    say(&mut rig, &mut client, &format!("2ee0\r\n{}\r\n0\r\n\r\n", "y".repeat(12_000)));
    let mut piece = [0; 500];
    while waits(&rig) != (true, true) {
        std::io::Read::read(&mut server.0, &mut piece).unwrap();
        rig.settle();
    }
    say(&mut rig, &mut server, OK);
    assert_eq!(status(&mut client), "200 OK");
    assert_eq!(kept(&rig), 0, "the rest of the content would be the beginning of the next request");
}

#[test]
fn an_early_answer_ends_the_connection_and_is_not_lost_to_what_the_client_still_sends() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    say(&mut rig, &mut client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\nbegin");
    let mut server = next(&rig);
    say(&mut rig, &mut server, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    drop(server);
    rig.settle();
    for _ in 0..4 {
        assert_eq!(client.0.write(&vec![b'x'; 20_000]).unwrap(), 20_000);
        rig.settle();
    }
    let heard = hear(&mut client);
    assert!(heard.starts_with("HTTP/1.1 413 No\r\n"), "{heard}");
    assert!(heard.contains("\r\nConnection: close\r\n"), "{heard}");
    assert!(heard.ends_with("\r\n\r\nno<end>"), "{heard}");
    client.end();
    rig.settle();
    rig.check_empty();
}

#[test]
fn an_answer_is_heard_though_its_server_takes_no_more_of_the_request() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    say(&mut rig, &mut client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\nbegin");
    let mut server = next(&rig);
    // It has not read all, so that closing resets the connection.
    server.say(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    drop(server);
    say(&mut rig, &mut client, "more");
    rig.settle();
    assert_eq!(status(&mut client), "413 No<end>");
}

#[test]
fn half_a_close_of_the_client_does_not_cut_the_response() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    say(&mut rig, &mut client, GET);
    let mut server = next(&rig);
    say(&mut rig, &mut server, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
    client.end();
    rig.settle();
    say(&mut rig, &mut server, "full");
    assert!(hear(&mut client).ends_with("\r\n\r\nhalffull<end>"));
    rig.check_empty();
}

#[test]
fn chunks_that_are_none_are_refused_while_the_request_is_collected() {
    let mut rig = rig(|config| config.backends[0].http.buffer_request = true);
    let mut client = rig.client(0);
    say(&mut rig, &mut client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    say(&mut rig, &mut client, "what?");
    assert_eq!(status(&mut client), "400 Bad Request<end>");
    assert!(rig.accept().is_none());
}

#[test]
fn what_stands_behind_chunks_that_are_none_is_no_request() {
    use portolan_shared::model::{Answer, Response};
    let mut rig = rig(|config| {
        let response = Response { status: 200, fields: Vec::new(), content: b"x".to_vec() };
        config.frontends[0].http.answer = Some(Answer::Return(response));
    });
    let mut client = rig.client(0);
    let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nwhat?\r\n";
    say(&mut rig, &mut client, request);
    assert_eq!(status(&mut client), "400 Bad Request<end>");
}

#[test]
fn an_answer_given_here_says_that_content_that_has_not_come_ends_the_connection() {
    use portolan_shared::model::{Answer, Response};
    let mut rig = rig(|config| {
        let response = Response { status: 200, fields: Vec::new(), content: b"x".to_vec() };
        config.frontends[0].http.answer = Some(Answer::Return(response));
    });
    for (sent, stays) in [("", false), ("abcd", true)] {
        let mut client = rig.client(0);
        let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n";
        say(&mut rig, &mut client, &format!("{head}{sent}"));
        let heard = hear(&mut client);
        assert_eq!(heard.contains("\r\nConnection: close\r\n"), !stays, "{heard}");
        assert_eq!(heard.ends_with("<end>"), !stays, "{heard}");
    }
}

#[test]
fn protocols_are_switched_behind_the_request_only() {
    const SWITCH: &str =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly";
    let head = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n";
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    say(&mut rig, &mut client, &format!("{head}Content-Length: 4\r\n\r\nab"));
    let mut server = next(&rig);
    say(&mut rig, &mut server, SWITCH);
    assert_eq!(status(&mut client), "502 Bad Gateway<end>");
    drop((client, server));
    rig.settle();
    let mut client = rig.client(0);
    say(&mut rig, &mut client, &format!("{head}\r\nahead"));
    let mut server = next(&rig);
    say(&mut rig, &mut server, SWITCH);
    assert!(hear(&mut server).ends_with("\r\n\r\nahead"));
    assert!(hear(&mut client).ends_with("\r\n\r\nearly"));
    say(&mut rig, &mut client, "to");
    say(&mut rig, &mut server, "fro");
    assert_eq!((hear(&mut server), hear(&mut client)), ("to".to_owned(), "fro".to_owned()));
    client.end();
    rig.settle();
    assert_eq!(hear(&mut server), "<end>");
    drop(server);
    rig.settle();
    rig.check_empty();
}

#[test]
fn what_is_said_behind_a_response_makes_the_connection_worthless() {
    let mut rig = rig(|_| {});
    let (mut client, mut server) = acquainted(&mut rig);
    assert_eq!(kept(&rig), 1);
    say(&mut rig, &mut client, GET);
    hear(&mut server);
    say(&mut rig, &mut server, &format!("{OK}HTTP/1.1 200 OK\r\n\r\n"));
    assert_eq!(status(&mut client), "200 OK");
    assert_eq!(kept(&rig), 0);
    assert_eq!(hear(&mut server), "<end>");
}
