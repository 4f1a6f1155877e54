//! Fewer buffers than clients that do not read.

use std::time::{Duration, Instant};

use super::{GET, OK, hear, next, say, speaks_http, status};
use crate::rig::relaying::POLLERS;
use crate::rig::{Peer, Rig};

/// With two buffers, both held by responses whose clients do not read.
fn without_buffers(poller: &str, framing: &str) -> (Rig, Vec<(Peer, Peer)>) {
    let mut rig = Rig::with_poller(poller, |config| {
        speaks_http(config);
        config.tune.buffer_limit = 2;
    });
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut client = rig.client(0);
        say(&mut rig, &mut client, GET);
        let mut server = next(&rig);
        say(&mut rig, &mut server, &format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"));
        slow.push((client, server));
    }
    for _ in 0..200 {
        if !rig.members[0].worker.buffers.can_take() {
            break;
        }
        for (_, server) in &mut slow {
            server.flood();
        }
        rig.settle();
    }
    assert!(!rig.members[0].worker.buffers.can_take(), "{poller}");
    (rig, slow)
}

/// Listens until what was said ends so; the kernel may take its time.
fn hear_out(rig: &mut Rig, peer: &mut Peer, end: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut heard = String::new();
    while !heard.ends_with(end) {
        heard += &hear(peer);
        rig.settle();
        assert!(Instant::now() < deadline, "{heard}");
    }
}

#[test]
fn clients_that_hold_every_buffer_do_not_hold_up_the_others() {
    for poller in POLLERS {
        for framing in ["Content-Length: 1000000000", "X: until the end"] {
            let (mut rig, slow) = without_buffers(poller, framing);
            let mut client = rig.client(0);
            say(&mut rig, &mut client, GET);
            let mut server = next(&rig);
            say(&mut rig, &mut server, OK);
            assert_eq!(status(&mut client), "200 OK", "{poller}");
            say(
                &mut rig,
                &mut client,
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            let mut fresh = rig.accept();
            let server = fresh.as_mut().unwrap_or(&mut server);
            say(&mut rig, &mut client, "2\r\nhi\r\n");
            say(&mut rig, &mut client, "0\r\n\r\n");
            hear_out(&mut rig, server, "2\r\nhi\r\n0\r\n\r\n");
            say(&mut rig, server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            say(&mut rig, server, "2\r\nho\r\n");
            say(&mut rig, server, "0\r\n\r\n");
            hear_out(&mut rig, &mut client, "2\r\nho\r\n0\r\n\r\n");
            assert!(rig.members[0].worker.buffers.figures().1 <= 2, "{poller}");
            drop((slow, client, fresh));
            rig.settle();
        }
    }
}
