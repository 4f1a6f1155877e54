//! Who may use a kept connection, and when it is closed.

use portolan_shared::model::{ConnectionMode, HttpReuse};

use super::{GET, OK, POST, acquainted, hear, kept, next, rig, say, seconds, status};
use crate::descriptor::WRITE;

#[test]
fn who_may_have_a_kept_connection_depends_on_the_mode() {
    // For another client's first request, idempotent and not, and for its second.
    let modes = [
        (HttpReuse::Never, [false, false, false]),
        (HttpReuse::Safe, [false, false, true]),
        (HttpReuse::Aggressive, [false, false, true]),
        (HttpReuse::Always, [true, false, true]),
    ];
    for (mode, may) in modes {
        for (at, request) in [GET, POST, GET].into_iter().enumerate() {
            let mut rig = rig(|config| config.backends[0].http.reuse = mode);
            let mut other = rig.client(0);
            if at == 2 {
                say(&mut rig, &mut other, GET);
                let mut server = next(&rig);
                say(
                    &mut rig,
                    &mut server,
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                );
            }
            let (_client, mut server) = acquainted(&mut rig);
            say(&mut rig, &mut other, request);
            assert_eq!(rig.accept().is_none(), may[at], "{mode:?} {at}");
            assert_eq!(!hear(&mut server).is_empty(), may[at], "{mode:?} {at}");
        }
    }
}

#[test]
fn aggressive_reuse_takes_what_has_been_used_again_before() {
    let mut rig = rig(|config| config.backends[0].http.reuse = HttpReuse::Aggressive);
    let (mut client, mut server) = acquainted(&mut rig);
    say(&mut rig, &mut client, GET);
    hear(&mut server);
    say(&mut rig, &mut server, OK);
    let mut other = rig.client(0);
    say(&mut rig, &mut other, GET);
    assert!(hear(&mut server).starts_with("GET / "));
    assert!(rig.accept().is_none());
}

#[test]
fn without_reuse_a_client_has_its_own_connection_and_takes_it_along() {
    let mut rig = rig(|config| config.backends[0].http.reuse = HttpReuse::Never);
    let (mut client, mut server) = acquainted(&mut rig);
    assert_eq!(kept(&rig), 0);
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
fn a_server_that_knows_its_client_by_the_connection_keeps_it_for_that_client() {
    for scheme in ["NTLM", "negotiate oYG="] {
        let mut rig = rig(|config| config.backends[0].http.reuse = HttpReuse::Always);
        let mut client = rig.client(0);
        say(&mut rig, &mut client, GET);
        let mut server = next(&rig);
        hear(&mut server);
        let answer = format!(
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nWWW-Authenticate: {scheme}\r\nContent-Length: 0\r\n\r\n"
        );
        say(&mut rig, &mut server, &answer);
        assert_eq!((status(&mut client).as_str(), kept(&rig)), ("401 No", 0), "{scheme}");
        let mut other = rig.client(0);
        say(&mut rig, &mut other, GET);
        assert_eq!(hear(&mut server), "", "{scheme}");
        assert!(rig.accept().is_some(), "{scheme}");
        say(&mut rig, &mut client, GET);
        assert!(hear(&mut server).starts_with("GET / "), "{scheme}");
    }
}

#[test]
fn that_a_kept_connection_can_be_written_to_is_no_reason_to_close_it() {
    let mut rig = rig(|_| {});
    let (_client, mut server) = acquainted(&mut rig);
    let worker = rig.worker_mut();
    let owned = |owner| matches!(owner, crate::descriptor::Owner::Kept(_));
    let (token, _) = worker.descriptors.iter().find(|(_, it)| owned(it.owner)).unwrap();
    worker.handle_kept(0, token, WRITE);
    assert_eq!((kept(&rig), hear(&mut server).as_str()), (1, ""));
}

#[test]
fn a_connection_that_its_server_ends_is_not_kept() {
    for reuse in [HttpReuse::Never, HttpReuse::Always] {
        let mut rig = rig(|config| config.backends[0].http.reuse = reuse);
        let (mut client, server) = acquainted(&mut rig);
        drop(server);
        rig.settle();
        assert_eq!(kept(&rig), 0);
        say(&mut rig, &mut client, POST);
        let mut server = next(&rig);
        assert!(hear(&mut server).starts_with("POST / "));
        drop((client, server));
        rig.settle();
        rig.check_empty();
    }
}

#[test]
fn what_was_not_needed_is_closed_after_a_while() {
    let mut rig = rig(|_| {});
    let mut clients: Vec<_> = (0..4).map(|_| rig.client(0)).collect();
    for client in &mut clients {
        client.say(GET.as_bytes());
    }
    rig.settle();
    let mut servers: Vec<_> = (0..4).map(|_| next(&rig)).collect();
    for server in &mut servers {
        server.say(OK.as_bytes());
    }
    rig.settle();
    assert_eq!(kept(&rig), 4);
    let mut left = Vec::new();
    for _ in 0..4 {
        rig.pass(seconds(6));
        left.push(kept(&rig));
    }
    assert_eq!(left, [4, 2, 1, 0]);
}

#[test]
fn a_worker_keeps_no_more_connections_than_it_may() {
    let mut rig = rig(|config| config.backends[0].servers[0].http.pool_max_conn = Some(1));
    let mut clients = [rig.client(0), rig.client(0)];
    for client in &mut clients {
        client.say(GET.as_bytes());
    }
    rig.settle();
    let mut servers = [next(&rig), next(&rig)];
    for server in &mut servers {
        hear(server);
        say(&mut rig, server, OK);
    }
    assert_eq!(kept(&rig), 1);
    assert_eq!(servers.map(|mut server| hear(&mut server)).concat(), "<end>");
}

#[test]
fn a_connection_serves_so_many_requests_and_no_more() {
    let mut rig = rig(|config| config.backends[0].servers[0].http.max_reuse = Some(1));
    let (mut client, mut server) = acquainted(&mut rig);
    say(&mut rig, &mut client, GET);
    hear(&mut server);
    say(&mut rig, &mut server, OK);
    assert_eq!(hear(&mut server), "<end>");
    assert_eq!(status(&mut client), "200 OK");
}

#[test]
fn the_modes_of_connections_say_which_ones_go_on() {
    let modes = [
        (ConnectionMode::KeepAlive, true, true),
        (ConnectionMode::ServerClose, true, false),
        (ConnectionMode::Close, false, false),
    ];
    for (mode, client_stays, server_stays) in modes {
        let mut rig = rig(|config| config.frontends[0].http.connection_mode = mode);
        let mut client = rig.client(0);
        say(&mut rig, &mut client, GET);
        let mut server = next(&rig);
        let request = hear(&mut server);
        assert_eq!(request.contains("\r\nConnection: close\r\n"), !server_stays, "{mode:?}");
        say(&mut rig, &mut server, OK);
        let heard = hear(&mut client);
        assert_eq!(heard.contains("\r\nConnection: close\r\n"), !client_stays, "{mode:?}");
        assert_eq!(heard.ends_with("<end>"), !client_stays, "{mode:?}");
        assert_eq!(hear(&mut server) == "<end>", !server_stays, "{mode:?}");
    }
}
