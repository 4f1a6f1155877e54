//! Servers: they read requests, check them, and answer in pieces of any size, or do not.
//!
//! Shell, for tests.

use std::collections::BTreeMap;
use std::net::Shutdown;

use super::super::random::Random;
use super::super::{Peer, Seen};
use super::client::Request;
use super::message::{Event, Framing, Reader, content};
use super::{TRAILER, chunked, piece, write_piece};

/// All requests that were ever made, and how often a server saw each.
pub type Book = BTreeMap<u64, (Request, u32)>;

/// What follows when everything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Next,
    Close,
    Drop,
    Reset,
    Nothing,
}

/// One connection at a server.
#[derive(Debug)]
pub struct Server {
    /// It, until it is closed here.
    pub peer: Option<Peer>,
    /// It rather answers early, and at length.
    tight: bool,
    reader: Reader,
    out: Vec<u8>,
    then: Then,
    /// The request that is read or answered.
    now: Option<u64>,
    /// All of it was read.
    read: bool,
    /// The answer does not wait for the request's end.
    early: bool,
    /// Interim responses; they never wait.
    interim: Vec<u8>,
    ended: bool,
    heard_end: bool,
    tunnel: Option<(u64, Vec<u8>)>,
    length: usize,
}

impl Server {
    /// One that was accepted.
    pub fn new(peer: Peer, tight: bool) -> Self {
        Self {
            tight,
            peer: Some(peer),
            reader: Reader::default(),
            out: Vec::new(),
            then: Then::Next,
            now: None,
            read: false,
            early: false,
            interim: Vec::new(),
            ended: false,
            heard_end: false,
            tunnel: None,
            length: 0,
        }
    }

    /// Whether it waits for a request.
    pub fn is_idle(&self) -> bool {
        self.now.is_none() && self.out.is_empty() && self.reader.is_idle() && !self.ended
    }

    /// Reads a piece and checks it; whether there was one.
    pub fn read(&mut self, most: usize, calm: bool, random: &mut Random, book: &mut Book) -> bool {
        let Some(peer) = self.peer.as_mut().filter(|_| !self.heard_end) else { return false };
        let (bytes, end) = match peer.look_at_most(most) {
            Seen::Nothing => return false,
            Seen::Bytes(bytes) => (bytes, false),
            Seen::End(bytes) | Seen::Reset(bytes) => (bytes, true),
        };
        if let Some((id, seen)) = &mut self.tunnel {
            seen.extend_from_slice(&bytes);
            assert!(*seen == content(2 * *id, seen.len()), "other bytes than the client's");
        } else if !self.ended {
            self.reader.push(&bytes);
            self.judge(calm, random, book);
        }
        if end {
            self.handle_end(book);
        }
        true
    }

    fn handle_end(&mut self, book: &mut Book) {
        let line = String::from_utf8_lossy(self.reader.beginning()).into_owned();
        let target = line.strip_prefix("POST /").and_then(|rest| rest.split_once(' '));
        if let Some((id, _)) = target {
            see(id.parse().unwrap(), book);
        }
        self.heard_end = true;
        let answers = self.tunnel.is_some() || (self.now.is_some() && self.read);
        if answers && (!self.out.is_empty() || self.then == Then::Reset) {
            // Who only ended its sending still wants it.
            if self.then != Then::Reset {
                self.then = Then::Drop;
            }
        } else {
            self.peer = None;
        }
    }

    fn judge(&mut self, calm: bool, random: &mut Random, book: &mut Book) {
        loop {
            if self.now.is_some() && self.read {
                // It is answered first.
                return;
            }
            match self.reader.next() {
                Event::More => return,
                Event::Head => {
                    let head = &self.reader.head;
                    let id: u64 = head.value("x-id").unwrap().parse().unwrap();
                    let request = see(id, book);
                    let line = format!("{} /{id} HTTP/1.1", request.method);
                    assert_eq!(head.line, line, "it was asked otherwise");
                    self.length = head.number("x-length").unwrap_or(0);
                    let framing = head.framing(Framing::Length(0));
                    self.now = Some(id);
                    self.read = false;
                    let expects = head.value("expect").is_some();
                    let closes = head.value("connection") == Some("close");
                    self.reader.frame(framing);
                    self.plan(&request, (expects, closes), calm, random);
                }
                Event::End => {
                    self.read = true;
                    let id = self.now.unwrap();
                    let chunked = self.reader.head.value("transfer-encoding").is_some();
                    assert_eq!(self.reader.trailers, [TRAILER][usize::from(!chunked)..]);
                    assert!(self.reader.content == content(id, self.length), "other content");
                }
            }
        }
    }

    /// Decides how a request is answered.
    fn plan(
        &mut self,
        request: &Request,
        (expects, closes): (bool, bool),
        calm: bool,
        random: &mut Random,
    ) {
        use std::fmt::Write as _;
        let id = request.id;
        self.early = random.below(if self.tight { 2 } else { 6 }) == 0;
        let mut head = String::new();
        if expects {
            head += "HTTP/1.1 100 Continue\r\n\r\n";
        }
        let hints = if self.tight { 12 } else { 3 };
        for _ in 0..random.below(hints) * random.below(2) {
            let padding = "x".repeat(random.below(350));
            let hint = "HTTP/1.1 103 Early Hints";
            let _ = write!(head, "{hint}\r\nX-Id: {id}\r\nLink: {padding}\r\n\r\n");
        }
        self.interim = std::mem::take(&mut head).into_bytes();
        if request.upgrade && random.below(2) == 0 {
            let length = random.below(20_000);
            let back = random.below(20_000);
            let _ = write!(head, "HTTP/1.1 101 Other\r\nX-Id: {id}\r\nX-Length: {length}\r\n");
            let _ = write!(head, "X-Back: {back}\r\n");
            head += "Connection: upgrade\r\nUpgrade: other\r\n\r\n";
            self.out.extend_from_slice(head.as_bytes());
            self.out.extend(content(2 * id + 1, back));
            self.tunnel = Some((id, self.reader.rest()));
            self.then = Then::Nothing;
            self.early = true;
            return;
        }
        let most = [1, 10, 300, 3000, 3000, 80_000][random.below(6)];
        let length = random.below(most);
        let status = [200, 200, 200, 404, 204, 304, 503][random.below(7)];
        let status = if calm && status == 503 { 200 } else { status };
        let _ = write!(head, "HTTP/1.1 {status} Some\r\nX-Id: {id}\r\nX-Length: {length}\r\n");
        let mut body = content(id ^ 1 << 40, length);
        self.then = Then::Next;
        match random.below(4) {
            _ if status == 204 => body.clear(),
            0 => {
                self.then = Then::Close;
                if status == 304 || request.method == "HEAD" {
                    head += "Connection: close\r\n";
                }
            }
            1 => {
                head += "Transfer-Encoding: chunked\r\n";
                body = chunked(&body, random);
            }
            _ => {
                let _ = write!(head, "Content-Length: {length}\r\n");
            }
        }
        if status == 304 || request.method == "HEAD" {
            body.clear();
        }
        if closes || random.below(8) == 0 {
            if !head.contains("\r\nConnection: ") {
                head += "Connection: close\r\n";
            }
            self.then = Then::Close;
        }
        self.out.extend_from_slice(format!("{head}\r\n").as_bytes());
        self.out.extend_from_slice(&body);
        if !calm && random.below(4) == 0 {
            let framed = head.contains("\r\nContent-Length: ") || head.contains("\r\nTransfer-");
            self.fail(framed, random);
        }
    }

    /// Something goes wrong with an answer.
    fn fail(&mut self, framed: bool, random: &mut Random) {
        match random.below(5) {
            0 => {
                // Not a word.
                self.out.clear();
                self.then = Then::Nothing;
            }
            1 => {
                let head = self.out.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
                self.out.truncate(random.below(head));
                self.out.extend_from_slice(b"\x01junk\r\n\r\n");
                self.then = Then::Drop;
            }
            which => {
                let at = random.below(self.out.len());
                self.out.truncate(if random.below(2) == 0 { 0 } else { at });
                self.then = [Then::Close, Then::Drop, Then::Reset][which - 2];
                if !framed {
                    // Whether a content without a length is whole is only told by how it ends.
                    self.then = Then::Reset;
                }
            }
        }
    }

    /// Writes a piece of the answer; whether there was something to do.
    pub fn write(&mut self, random: &mut Random, calm: bool, book: &mut Book) -> bool {
        if self.peer.is_none() || (self.now.is_none() && self.tunnel.is_none()) {
            return false;
        }
        if !self.interim.is_empty() {
            let Some(peer) = self.peer.as_mut() else { return false };
            let before = self.interim.len();
            if !write_piece(peer, &mut self.interim, piece(random)) {
                self.peer = None;
            }
            return self.interim.len() < before;
        }
        if !self.read && !self.early {
            return false;
        }
        if !self.out.is_empty() {
            let Some(peer) = self.peer.as_mut() else { return false };
            let before = self.out.len();
            if !write_piece(peer, &mut self.out, piece(random)) {
                self.peer = None;
            }
            return self.out.len() < before;
        }
        if self.tunnel.is_some() {
            if self.then == Then::Drop {
                self.peer = None;
                return true;
            }
            if !std::mem::replace(&mut self.ended, true) {
                self.end();
                return true;
            }
            return false;
        }
        match self.then {
            Then::Nothing => return false,
            Then::Next if !self.read => return false,
            Then::Next => {
                self.now = None;
                self.judge(calm, random, book);
            }
            Then::Close => {
                if std::mem::replace(&mut self.ended, true) {
                    return false;
                }
                self.end();
            }
            Then::Drop => self.peer = None,
            Then::Reset => self.peer.take().unwrap().reset(),
        }
        true
    }

    /// No more will be said.
    pub fn end(&mut self) {
        self.ended = true;
        if let Some(peer) = &self.peer {
            // The other end may have broken off.
            let _ = peer.0.shutdown(Shutdown::Write);
        }
    }
}

/// A request has arrived; one that is not to be repeated must not arrive twice.
fn see(id: u64, book: &mut Book) -> Request {
    let (request, count) = book.get_mut(&id).unwrap_or_else(|| panic!("nobody asked for {id}"));
    *count += 1;
    assert!(*count == 1 || request.method != "POST", "{id} was sent twice");
    request.clone()
}
