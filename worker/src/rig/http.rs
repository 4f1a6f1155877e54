//! Exchanges of mode http, one promise each; the submodules say about what.
//!
//! - `again`: what follows when a server's connection fails;
//! - `buffers`: fewer of them than clients that do not read;
//! - `content`: content of both directions, early answers, tunnels;
//! - `kept`: who may use a kept connection, and when it is closed;
//! - `ending`: how connections of clients end;
//! - `stop`: whom a soft-stop sends away, and when;
//! - `waits`: timeouts, by the rig's clock.

mod again;
mod buffers;
mod content;
mod ending;
mod kept;
mod stop;
mod waits;

use std::time::Duration;

use portolan_shared::model::{Config, Mode};

use super::{Peer, Rig, Seen};

/// One worker with one frontend, backend and server in mode http.
pub fn rig(shape: impl FnOnce(&mut Config)) -> Rig {
    Rig::new(1, |config| {
        speaks_http(config);
        shape(config);
    })
}

fn speaks_http(config: &mut Config) {
    config.frontends[0].mode = Mode::Http;
    config.backends[0].mode = Mode::Http;
    config.backends[0].http.abort_on_close = true;
}

pub const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
pub const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Says something, and lets everything happen that follows from it.
pub fn say(rig: &mut Rig, peer: &mut Peer, text: &str) {
    peer.say(text.as_bytes());
    rig.settle();
}

/// What a peer has been told since it looked last.
pub fn hear(peer: &mut Peer) -> String {
    match peer.look() {
        Seen::Nothing => String::new(),
        Seen::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
        Seen::End(bytes) => String::from_utf8(bytes).unwrap() + "<end>",
        Seen::Reset(bytes) => String::from_utf8(bytes).unwrap() + "<reset>",
    }
}

/// The status line of what a peer has been told, and whether that was the end.
pub fn status(peer: &mut Peer) -> String {
    let text = hear(peer);
    let line = text.split("\r\n").next().unwrap_or_default();
    let end = if text.ends_with("<end>") && !line.ends_with("<end>") { "<end>" } else { "" };
    format!("{}{end}", line.trim_start_matches("HTTP/1.1 "))
}

/// The next connection at the server, which has been told something.
pub fn next(rig: &Rig) -> Peer {
    rig.accept().expect("a connection at the server")
}

/// A client whose first request was answered, and the connection to the server that was kept.
pub fn acquainted(rig: &mut Rig) -> (Peer, Peer) {
    let mut client = rig.client(0);
    say(rig, &mut client, GET);
    let mut server = next(rig);
    assert!(hear(&mut server).starts_with("GET / HTTP/1.1\r\n"));
    say(rig, &mut server, OK);
    assert_eq!(status(&mut client), "200 OK");
    (client, server)
}

/// How many connections to the server wait for their next request.
fn kept(rig: &Rig) -> usize {
    rig.members[0].worker.backends[0].kept[0].len()
}

pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
