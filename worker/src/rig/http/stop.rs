//! Whom a soft-stop sends away, and when.

use std::time::Duration;

use portolan_shared::message::ToWorker;
use portolan_shared::model::{CloseSpread, Config};

use super::{GET, OK, acquainted, hear, kept, next, rig, say, seconds, status};
use crate::rig::{Peer, Rig};

/// The answer to a request that says that it is the last one.
fn is_last(heard: &str) -> bool {
    heard.contains("\r\nConnection: close\r\n")
}

/// Asks, and hears the answer of whichever connection to the server serves it.
fn ask(rig: &mut Rig, client: &mut Peer, server: &mut Option<Peer>) -> String {
    say(rig, client, GET);
    answer(rig, client, server)
}

fn answer(rig: &mut Rig, client: &mut Peer, server: &mut Option<Peer>) -> String {
    if let Some(fresh) = rig.accept() {
        *server = Some(fresh);
    }
    let server = server.as_mut().expect("a connection to the server");
    hear(server);
    say(rig, server, OK);
    hear(client)
}

/// One worker that stops, and a client that has been idle for a while.
fn stopped(shape: impl FnOnce(&mut Config)) -> (Rig, Peer, Option<Peer>) {
    let mut rig = rig(shape);
    let (client, server) = acquainted(&mut rig);
    rig.pass(seconds(1));
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    (rig, client, Some(server))
}

fn spread(time: Duration) -> impl FnOnce(&mut Config) {
    move |config| config.process.close_spread = CloseSpread::Within(time)
}

fn has_left(rig: &Rig) -> bool {
    rig.members[0].left.is_some()
}

#[test]
fn an_idle_client_is_closed_at_once_and_read_until_it_ends() {
    let (mut rig, mut client, _server) = stopped(|_| {});
    assert_eq!(hear(&mut client), "<end>");
    assert!(!has_left(&rig));
    // It comes too late, and does no harm.
    say(&mut rig, &mut client, GET);
    assert!(!matches!(client.look(), crate::rig::Seen::Reset(_)));
    drop(client);
    rig.settle();
    assert!(has_left(&rig));
}

#[test]
fn a_client_that_does_not_end_keeps_nobody_longer_than_a_second() {
    let (mut rig, mut client, _server) = stopped(|_| {});
    assert_eq!(hear(&mut client), "<end>");
    rig.pass(Duration::from_millis(900));
    assert!(!has_left(&rig));
    rig.pass(Duration::from_millis(100));
    assert!(has_left(&rig));
}

#[test]
fn a_request_that_the_kernel_has_is_answered_as_the_last_one() {
    let mut rig = rig(|_| {});
    let (mut client, server) = acquainted(&mut rig);
    rig.pass(seconds(1));
    rig.order(0, &ToWorker::SoftStop);
    client.say(GET.as_bytes());
    rig.settle();
    let heard = answer(&mut rig, &mut client, &mut Some(server));
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n") && is_last(&heard), "{heard}");
}

#[test]
fn who_has_just_been_answered_may_be_sending_and_is_closed_a_little_later() {
    let mut rig = rig(|_| {});
    let (mut client, server) = acquainted(&mut rig);
    let (mut slow, _) = acquainted(&mut rig);
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    rig.pass(Duration::from_millis(100));
    assert!(is_last(&ask(&mut rig, &mut client, &mut Some(server))));
    assert_eq!(hear(&mut slow), "");
    rig.pass(Duration::from_millis(150));
    assert_eq!(hear(&mut slow), "<end>");
}

#[test]
fn an_answer_that_has_begun_ends_whole_and_then_its_client_is_closed() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    say(&mut rig, &mut client, GET);
    let mut server = next(&rig);
    say(&mut rig, &mut server, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbe");
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    say(&mut rig, &mut server, "en");
    assert!(hear(&mut client).ends_with("been"), "its head had said nothing of an end");
    rig.pass(Duration::from_millis(250));
    assert_eq!(hear(&mut client), "<end>");
}

#[test]
fn who_has_sent_nothing_yet_is_left_alone_and_answered_as_the_last_time() {
    let mut rig = rig(|_| {});
    let (mut silent, mut half) = (rig.client(0), rig.client(0));
    say(&mut rig, &mut half, "GET / HTTP/1.1\r\nHo");
    rig.pass(seconds(1));
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    rig.pass(seconds(2));
    assert_eq!((hear(&mut silent), hear(&mut half)), (String::new(), String::new()));
    let mut server = None;
    assert!(is_last(&ask(&mut rig, &mut silent, &mut server)));
    half.say(b"st: h\r\n\r\n");
    rig.settle();
    assert!(is_last(&answer(&mut rig, &mut half, &mut server)));
    drop((silent, half));
    rig.settle();
    assert!(has_left(&rig));
}

#[test]
fn while_grace_lasts_nothing_changes() {
    let (mut rig, mut client, mut server) =
        stopped(|config| config.process.grace = Duration::from_secs(3));
    rig.pass(seconds(2));
    assert_eq!(hear(&mut client), "");
    assert!(!is_last(&ask(&mut rig, &mut client, &mut server)));
    let mut fresh = rig.client(0);
    assert!(!is_last(&ask(&mut rig, &mut fresh, &mut server)));
    assert_eq!(kept(&rig), 1, "servers' connections serve again too");
    rig.pass(seconds(1));
    assert_eq!((hear(&mut client), hear(&mut fresh)), ("<end>".into(), "<end>".into()));
    assert_eq!(kept(&rig), 0);
}

#[test]
fn over_a_window_clients_are_closed_evenly_and_their_answers_are_the_last_from_then_on() {
    let mut rig = rig(spread(seconds(20)));
    let mut clients: Vec<(Peer, Peer)> = (0..20).map(|_| acquainted(&mut rig)).collect();
    rig.pass(seconds(1));
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    for second in 1..=20_usize {
        rig.pass(seconds(1));
        clients.retain_mut(|(client, _)| hear(client) != "<end>");
        assert!((20 - clients.len()).abs_diff(second) <= 2, "{} at {second}", clients.len());
        // Whoever is left has its moment before it, and is served on until then.
        for (client, server) in &mut clients {
            say(&mut rig, client, GET);
            let mut fresh = rig.accept();
            say(&mut rig, fresh.as_mut().unwrap_or(server), OK);
            let heard = hear(client);
            assert!(heard.starts_with("HTTP/1.1 200 OK"), "{heard}");
            assert!(!is_last(&heard));
        }
        rig.pass(Duration::ZERO);
    }
    assert!(clients.is_empty());
}

#[test]
fn in_a_window_who_asks_after_its_moment_is_told_that_it_was_the_last_time() {
    let mut rig = rig(spread(seconds(20)));
    let (mut client, server) = acquainted(&mut rig);
    say(&mut rig, &mut client, GET);
    let mut server = Some(rig.accept().unwrap_or(server));
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    rig.pass(seconds(20));
    assert!(is_last(&answer(&mut rig, &mut client, &mut server)));
}

#[test]
fn in_a_window_who_has_sent_nothing_leaves_as_by_its_timeout() {
    let mut rig = rig(|config| {
        config.frontends[0].timeouts.client = Some(seconds(300));
        spread(seconds(20))(config);
    });
    let (mut silent, mut half) = (rig.client(0), rig.client(0));
    say(&mut rig, &mut half, "GET / HTTP/1.1\r\nHo");
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    rig.pass(seconds(20));
    assert_eq!(status(&mut silent), "408 Request Timeout<end>");
    assert_eq!(hear(&mut half), "", "it is sending");
}

#[test]
fn an_infinite_window_sends_nobody_away() {
    let (mut rig, mut client, mut server) = stopped(|config| {
        config.process.close_spread = CloseSpread::Infinite;
        config.frontends[0].timeouts.client = Some(seconds(30));
    });
    for _ in 0..3 {
        rig.pass(seconds(20));
        let heard = ask(&mut rig, &mut client, &mut server);
        assert!(heard.starts_with("HTTP/1.1 200 OK") && !is_last(&heard), "{heard}");
    }
    rig.pass(seconds(31));
    assert_eq!(hear(&mut client), "<end>");
    assert!(has_left(&rig));
}

#[test]
fn where_only_answers_close_an_idle_client_stays_until_it_asks() {
    let (mut rig, mut client, mut server) = stopped(|config| {
        config.frontends[0].http.idle_close_on_response = true;
        config.frontends[0].timeouts.client = Some(seconds(100));
    });
    rig.pass(seconds(60));
    assert_eq!(hear(&mut client), "");
    assert!(is_last(&ask(&mut rig, &mut client, &mut server)));
    drop(client);
    rig.settle();
    assert!(has_left(&rig));
}

#[test]
fn with_less_patience_than_window_all_are_sent_away_before_its_end() {
    let mut rig = rig(|config| {
        config.process.hard_stop_after = Some(seconds(4));
        spread(seconds(20))(config);
    });
    let mut clients: Vec<(Peer, Peer)> = (0..10).map(|_| acquainted(&mut rig)).collect();
    rig.pass(seconds(1));
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    rig.pass(seconds(1));
    let closed = |clients: &mut Vec<(Peer, Peer)>| {
        clients.retain_mut(|(client, _)| hear(client) != "<end>");
        10 - clients.len()
    };
    assert!((2..=5).contains(&closed(&mut clients)));
    rig.pass(seconds(2));
    assert_eq!(closed(&mut clients), 10);
    rig.pass(seconds(1));
    assert!(has_left(&rig));
}

#[test]
fn where_somebody_follows_nobody_is_closed_until_nobody_does_any_more() {
    let mut rig = rig(|_| {});
    let (mut client, _server) = acquainted(&mut rig);
    rig.pass(seconds(1));
    rig.order(0, &ToWorker::Retire);
    rig.settle();
    rig.pass(seconds(5));
    assert_eq!(hear(&mut client), "");
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    assert_eq!(hear(&mut client), "<end>");
}
