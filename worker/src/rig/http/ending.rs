//! How connections of clients end.

use super::{GET, OK, hear, next, rig, say, status};

#[test]
fn that_a_client_ends_its_sending_is_passed_on_and_its_answer_still_comes() {
    for passed_on in [true, false] {
        let mut rig = rig(|config| config.backends[0].http.abort_on_close = passed_on);
        let mut client = rig.client(0);
        say(&mut rig, &mut client, GET);
        let mut server = next(&rig);
        hear(&mut server);
        client.end();
        rig.settle();
        assert_eq!(hear(&mut server) == "<end>", passed_on);
        say(&mut rig, &mut server, OK);
        assert!(hear(&mut client).ends_with("\r\n\r\nok<end>"));
        drop((client, server));
        rig.settle();
        rig.check_empty();
    }
}

#[test]
fn a_client_that_leaves_the_queue_is_not_served() {
    let mut rig = rig(|config| config.backends[0].servers[0].maxconn = Some(1));
    let mut first = rig.client(0);
    say(&mut rig, &mut first, GET);
    let mut server = next(&rig);
    let mut second = rig.client(0);
    say(&mut rig, &mut second, POST_OF_TWO);
    assert_eq!(rig.memory.waiting(rig.config.backends[0].object), 1);
    drop(second);
    rig.settle();
    assert_eq!(rig.memory.waiting(rig.config.backends[0].object), 0);
    say(&mut rig, &mut server, OK);
    assert_eq!(status(&mut first), "200 OK");
    assert!(rig.accept().is_none());
}

const POST_OF_TWO: &str = super::POST;

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    say(&mut rig, &mut client, "GET / HTTP/1.1\r\nHost: h\r\nBad Field: x\r\n\r\n");
    say(&mut rig, &mut client, GET);
    say(&mut rig, &mut client, GET);
    assert_eq!(status(&mut client), "400 Bad Request<end>");
    assert_eq!(rig.connections(), 1, "it is read until it ends");
    client.end();
    rig.settle();
    rig.check_empty();
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    let ask = |n: u32| format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n");
    say(&mut rig, &mut client, &[ask(1), ask(2), ask(3)].concat());
    let mut server = next(&rig);
    for n in 1..=3 {
        let request = hear(&mut server);
        assert!(request.starts_with(&format!("GET /{n} ")), "{request}");
        assert_eq!(request.matches("GET").count(), 1);
        say(&mut rig, &mut server, &format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}"));
        assert!(hear(&mut client).ends_with(&format!("\r\n\r\n{n}")));
    }
    assert!(rig.accept().is_none());
}

#[test]
fn requests_sent_at_once_are_answered_though_nothing_comes_behind_them() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    client.say([GET, GET].concat().as_bytes());
    client.end();
    rig.settle();
    let mut server = next(&rig);
    say(&mut rig, &mut server, OK);
    let mut second = rig.accept();
    say(&mut rig, second.as_mut().unwrap_or(&mut server), OK);
    let heard = hear(&mut client);
    assert_eq!(heard.matches("\r\n\r\nok").count(), 2, "{heard}");
    assert!(heard.ends_with("ok<end>"), "{heard}");
}

#[test]
fn a_connection_that_the_client_did_not_mean_to_end_is_read_until_it_does() {
    use portolan_shared::model::ConnectionMode;
    let mut rig = rig(|config| {
        config.frontends[0].http.connection_mode = ConnectionMode::Close;
    });
    let mut client = rig.client(0);
    say(&mut rig, &mut client, GET);
    let mut server = next(&rig);
    say(&mut rig, &mut server, OK);
    // What it sends in good faith must not destroy what it has not read.
    client.say(GET.as_bytes());
    rig.settle();
    assert_eq!(status(&mut client), "200 OK<end>");
    drop(client);
    rig.settle();
    rig.check_empty();
}
