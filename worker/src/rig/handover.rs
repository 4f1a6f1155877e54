//! Living connections go to a successor: clients of mode http and server connections.

use portolan_shared::message::{ToMaster, ToWorker};
use portolan_shared::model::{Answer, Config, ConnectionMode, HttpReuse, Mode, Response};

use super::http::{GET, OK, POST, acquainted, hear, next, rig, say, seconds, status};
use super::{Peer, Rig};

/// All of the old generation have left.
fn gone(rig: &Rig) -> bool {
    let (last, old) = rig.members.split_last().unwrap();
    last.left.is_none() && old.iter().all(|member| member.left.is_some())
}

/// A request of a client and its answer, by any worker, on any connection to the server.
fn exchange(rig: &mut Rig, client: &mut Peer, server: &mut Peer) {
    say(rig, client, GET);
    assert!(rig.accept().is_none(), "no new connection to the server");
    assert!(hear(server).starts_with("GET / HTTP/1.1\r\n"));
    say(rig, server, OK);
    assert_eq!(status(client), "200 OK");
}

#[test]
fn an_idle_client_and_its_server_go_on_with_the_successor_and_the_old_worker_leaves() {
    let mut rig = rig(|_| {});
    let (mut client, mut server) = acquainted(&mut rig);
    rig.hand_over();
    rig.settle();
    assert!(gone(&rig));
    assert_eq!((rig.connections(), hear(&mut client).as_str()), (1, ""));
    exchange(&mut rig, &mut client, &mut server);
    rig.hand_over();
    rig.settle();
    exchange(&mut rig, &mut client, &mut server);
    drop((client, server));
    rig.settle();
    rig.check_empty();
}

#[test]
fn the_beginning_of_a_head_and_requests_that_wait_go_along() {
    let mut rig = rig(|_| {});
    let (mut client, mut server) = acquainted(&mut rig);
    say(&mut rig, &mut client, &GET[..10]);
    rig.hand_over();
    rig.settle();
    assert!(gone(&rig));
    say(&mut rig, &mut client, &GET[10..]);
    assert_eq!(hear(&mut server).lines().next(), Some("GET / HTTP/1.1"));
    // Two more, while the first one is served by a worker that has to go.
    say(&mut rig, &mut client, &format!("{GET}{GET}"));
    rig.hand_over();
    rig.settle();
    assert!(!gone(&rig), "it is busy");
    say(&mut rig, &mut server, OK);
    assert!(gone(&rig));
    for _ in 0..2 {
        assert_eq!(status(&mut client), "200 OK");
        assert!(hear(&mut server).starts_with("GET / HTTP/1.1\r\n"));
        say(&mut rig, &mut server, OK);
    }
    assert_eq!(status(&mut client), "200 OK");
    assert!(rig.accept().is_none());
}

#[test]
fn who_is_answered_while_its_worker_retires_is_not_sent_away() {
    let mut rig = rig(|_| {});
    let mut client = rig.client(0);
    say(&mut rig, &mut client, GET);
    let mut server = next(&rig);
    hear(&mut server);
    // No successor is known yet.
    rig.order(0, &ToWorker::Retire);
    rig.settle();
    say(&mut rig, &mut server, OK);
    let heard = hear(&mut client);
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n") && !heard.contains("close"), "{heard}");
    exchange(&mut rig, &mut client, &mut server);
    rig.spawn(0);
    rig.link(0, 1);
    rig.settle();
    assert!(gone(&rig));
    exchange(&mut rig, &mut client, &mut server);
}

/// How often a worker has asked for another link, each time with how many it was told of.
fn unlinked(rig: &Rig, at: usize) -> Vec<u32> {
    let told = rig.members[at].told.iter();
    told.filter_map(|told| match told {
        ToMaster::Unlinked { links } => Some(*links),
        _ => None,
    })
    .collect()
}

#[test]
fn who_has_lost_its_link_says_so_and_hands_over_by_the_next_one() {
    let mut rig = rig(|_| {});
    let (mut client, mut server) = acquainted(&mut rig);
    say(&mut rig, &mut client, GET);
    hear(&mut server);
    rig.hand_over();
    rig.settle();
    assert_eq!(unlinked(&rig, 0), [0; 0]);
    rig.members[1].worker.drop_predecessors();
    rig.settle();
    assert_eq!(unlinked(&rig, 0), [1]);
    // There was no room for the descriptor of the next one.
    rig.order(0, &ToWorker::Successor { generation: 2, slot: 0 });
    rig.settle();
    assert_eq!(unlinked(&rig, 0), [1, 2]);
    // Another master counts from none.
    rig.order(0, &ToWorker::Adopt { nonce: 1, master_pid: 1 });
    rig.link(0, 1);
    rig.settle();
    rig.members[1].worker.drop_predecessors();
    rig.settle();
    assert_eq!(unlinked(&rig, 0), [1, 2, 1]);
    // One that is replaced while it stands is missed by nobody.
    rig.link(0, 1);
    rig.link(0, 1);
    rig.settle();
    assert_eq!(unlinked(&rig, 0), [1, 2, 1]);
    say(&mut rig, &mut server, OK);
    assert_eq!(status(&mut client), "200 OK");
    assert!(gone(&rig));
    exchange(&mut rig, &mut client, &mut server);
    assert_eq!(unlinked(&rig, 0), [1, 2, 1], "nor by one who leaves");
    assert_eq!(unlinked(&rig, 1), [0; 0]);
}

#[test]
fn where_the_frontend_has_gone_the_next_answer_is_the_last() {
    type Shape = fn(&mut Config);
    let shapes: [Shape; 3] = [
        |config| config.frontends[0].name = "another".to_owned(),
        |config| config.frontends[0].mode = Mode::Tcp,
        |config| config.frontends[0].binds[0].written = "another".to_owned(),
    ];
    for (at, shape) in shapes.iter().enumerate() {
        let mut rig = rig(|_| {});
        let (mut client, server) = acquainted(&mut rig);
        shape(&mut rig.config);
        rig.hand_over();
        rig.settle();
        assert!(!gone(&rig), "{at}");
        assert_eq!(hear(&mut client), "", "{at}: it is not cut off");
        say(&mut rig, &mut client, GET);
        // The other server connection may be the successor's now.
        let mut server = rig.accept().unwrap_or(server);
        say(&mut rig, &mut server, OK);
        let heard = hear(&mut client);
        assert!(heard.contains("\r\nConnection: close\r\n"), "{at} {heard}");
        drop(client);
        rig.settle();
        assert!(gone(&rig), "{at}");
        assert_eq!(rig.left_over(), [], "{at}");
    }
}

#[test]
fn who_has_a_place_keeps_it_and_only_a_lowered_limit_sends_away() {
    for (before, after, stay) in [(4, 4, 4), (4, 3, 3), (4, 1, 1), (4, 5, 4)] {
        let mut rig = rig(|config| config.frontends[0].maxconn = Some(before));
        let mut clients: Vec<Peer> = (0..4).map(|_| rig.client(0)).collect();
        rig.settle();
        rig.config.frontends[0].maxconn = Some(after);
        rig.hand_over();
        rig.settle();
        assert!(gone(&rig));
        assert_eq!(rig.connections(), 4);
        rig.pass(seconds(1));
        let mut kept = 0;
        for client in &mut clients {
            say(&mut rig, client, GET);
            let mut server = next(&rig);
            say(&mut rig, &mut server, OK);
            kept += usize::from(!hear(client).contains("\r\nConnection: close\r\n"));
            drop(server);
            rig.settle();
        }
        assert_eq!(kept, stay, "{before} {after}");
        clients.clear();
        rig.settle();
        rig.check_empty();
    }
}

#[test]
fn a_server_connection_of_one_client_goes_along_with_it() {
    let mut rig = rig(|config| config.backends[0].http.reuse = HttpReuse::Never);
    let (mut client, mut server) = acquainted(&mut rig);
    rig.hand_over();
    rig.settle();
    assert!(gone(&rig));
    say(&mut rig, &mut client, POST);
    assert!(hear(&mut server).starts_with("POST / "));
    say(&mut rig, &mut server, OK);
    assert_eq!(status(&mut client), "200 OK");
    drop(client);
    rig.settle();
    assert_eq!(hear(&mut server), "<end>");
    rig.check_empty();
}

#[test]
fn a_server_connection_goes_only_where_it_would_have_been_made_the_same_way() {
    type Shape = fn(&mut Config);
    let shapes: [(Shape, bool); 6] = [
        (|_| {}, true),
        (|config| config.backends[0].servers[0].weight = 7, true),
        (|config| config.backends[0].servers[0].mss = Some(1000), false),
        (|config| config.backends[0].keepalive.on = true, false),
        (|config| config.backends[0].http.connection_mode = ConnectionMode::ServerClose, false),
        (|config| config.backends[0].servers[0].http.pool_max_conn = Some(0), false),
    ];
    for (at, (shape, goes)) in shapes.iter().enumerate() {
        let mut rig = rig(|_| {});
        let (_client, mut server) = acquainted(&mut rig);
        shape(&mut rig.config);
        rig.hand_over();
        rig.settle();
        assert!(gone(&rig), "{at}");
        assert_eq!(hear(&mut server), if *goes { "" } else { "<end>" }, "{at}");
        let kept = rig.members[1].worker.backends[0].kept[0].len();
        assert_eq!(kept, usize::from(*goes), "{at}");
    }
}

#[test]
fn the_rest_of_an_answer_and_a_lingering_close_go_along() {
    let page = "x".repeat(8 * 1024 * 1024);
    let mut rig = rig(|config| {
        let content = page.clone().into_bytes();
        let response = Response { status: 200, fields: Vec::new(), content };
        config.frontends[0].http.answer = Some(Answer::Return(response));
    });
    let mut client = rig.client(0);
    say(&mut rig, &mut client, GET);
    rig.hand_over();
    rig.settle();
    assert!(gone(&rig));
    let mut heard = String::new();
    while heard.len() < page.len() {
        heard += &hear(&mut client);
        rig.settle();
    }
    let (head, content) = heard.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("ontent-Length: {}", page.len())) || head.contains("200"));
    assert_eq!(content.len(), page.len());
    say(&mut rig, &mut client, "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n");
    rig.hand_over();
    rig.settle();
    assert!(gone(&rig));
    assert!(status(&mut client).starts_with("400"), "a bad request");
    rig.pass(seconds(6));
    rig.check_empty();
}

#[test]
fn a_soft_stop_after_all_keeps_what_is_there() {
    let mut rig = rig(|_| {});
    let (mut client, _server) = acquainted(&mut rig);
    rig.order(0, &ToWorker::Retire);
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    rig.spawn(0);
    rig.link(0, 1);
    rig.settle();
    assert_eq!(rig.members[1].worker.sessions.len(), 0);
    say(&mut rig, &mut client, GET);
    let mut fresh = rig.accept().unwrap();
    say(&mut rig, &mut fresh, OK);
    assert!(hear(&mut client).contains("\r\nConnection: close\r\n"));
}
