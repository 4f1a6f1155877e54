//! Clients: requests one after the other or all at once, in pieces of any size, and what is checked of
//! the answers.
//!
//! Shell, for tests.

use std::collections::VecDeque;
use std::net::Shutdown;

use super::super::random::Random;
use super::super::{Peer, Seen};
use super::message::{Event, Framing, Reader, content};
use super::{TRAILER, chunked, piece, write_piece};

/// What a client asks.
#[derive(Clone, Debug)]
pub struct Request {
    /// Nothing else has this number.
    pub id: u64,
    /// Its method.
    pub method: &'static str,
    /// It is of HTTP/1.0.
    pub old: bool,
    /// Another protocol is asked for.
    pub upgrade: bool,
    /// It is the last one on its connection, and says so.
    pub last: bool,
}

/// One client connection.
#[derive(Debug)]
pub struct Client {
    /// It, until it is closed here.
    pub peer: Option<Peer>,
    out: Vec<u8>,
    /// Content that waits for an interim response.
    held: Vec<u8>,
    /// Requests that have not been answered.
    pub asked: VecDeque<Request>,
    reader: Reader,
    /// So many requests it still wants to make.
    left: usize,
    /// What it sends is not small.
    tight: bool,
    pipelines: bool,
    /// It has ended its sending.
    ended: bool,
    /// A write has failed.
    reset: bool,
    /// A worker has died: its kernel may have made up an end that only that of the connection tells.
    pub doubts: bool,
    /// It broke off, in whatever way.
    pub broken: bool,
    /// A response has said, or means, that it is the last one.
    pub closing: bool,
    /// The connection has ended.
    pub over: bool,
    /// It ended before everything was answered, and without a word.
    pub cut: bool,
    /// A head has been read whose content has not ended.
    within: bool,
    /// It is a tunnel, and what came through it.
    pub tunnel: Option<(u64, Vec<u8>)>,
    /// So many bytes the server meant to send through it.
    back: usize,
    /// Responses that came whole, from servers.
    pub served: u32,
    /// Responses that the proxy gave itself.
    pub refused: Vec<u16>,
}

impl Client {
    /// One that wants to make some requests.
    pub fn new(peer: Peer, tight: bool, random: &mut Random) -> Self {
        Self {
            peer: Some(peer),
            out: Vec::new(),
            held: Vec::new(),
            asked: VecDeque::new(),
            reader: Reader::default(),
            left: 1 + random.below(8),
            tight,
            pipelines: random.below(3) == 0,
            ended: false,
            reset: false,
            doubts: false,
            broken: false,
            closing: false,
            over: false,
            cut: false,
            within: false,
            tunnel: None,
            back: 0,
            served: 0,
            refused: Vec::new(),
        }
    }

    /// It says this first.
    pub fn tell(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Whether it has nothing more to do.
    pub fn is_done(&self) -> bool {
        self.broken || self.over
    }

    /// Whether it asks again now.
    pub fn may_ask(&self) -> bool {
        let waits = !self.asked.is_empty() && !self.pipelines;
        let goes_on = !self.ended && !self.closing && !self.is_done();
        self.left > 0 && !waits && goes_on && self.tunnel.is_none()
    }

    /// Asks.
    pub fn ask(&mut self, id: u64, random: &mut Random) -> Request {
        use std::fmt::Write as _;
        self.left -= 1;
        let methods = ["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE"];
        let mut request = Request {
            id,
            method: methods[random.below(methods.len())],
            old: random.below(6) == 0,
            upgrade: false,
            last: self.left == 0 && random.below(2) == 0,
        };
        let mut head = format!("{} /{id} HTTP/1.{}\r\n", request.method, u8::from(!request.old));
        let _ = write!(head, "Host: h\r\nX-Id: {id}\r\n");
        let mut body = Vec::new();
        let mut expects = false;
        if matches!(request.method, "POST" | "PUT") {
            let most = [1, 10, 300, 3000, 3000, 60_000][random.below(6)];
            let length = if self.tight { 8000 } else { 0 } + random.below(most);
            body = content(id, length);
            let _ = write!(head, "X-Length: {length}\r\n");
            if random.below(2) == 0 && !request.old {
                head += "Transfer-Encoding: chunked\r\n";
                body = chunked(&body, random);
            } else {
                let _ = write!(head, "Content-Length: {length}\r\n");
            }
            expects = !request.old && random.below(4) == 0;
        } else if request.method == "GET" && !request.old && random.below(8) == 0 {
            request.upgrade = true;
        }
        match (request.old, request.upgrade, request.last) {
            (_, true, _) => {
                head += "Connection: upgrade\r\nUpgrade: other\r\n";
                request.last = false;
                self.left = 0;
            }
            (false, _, true) => head += "Connection: close\r\n",
            (true, _, false) if random.below(2) == 0 => head += "Connection: keep-alive\r\n",
            (true, _, _) => {
                request.last = true;
                self.left = 0;
            }
            (false, _, false) => {}
        }
        if expects {
            head += "Expect: 100-continue\r\n";
        }
        self.out.extend_from_slice(format!("{head}\r\n").as_bytes());
        if expects && !self.pipelines {
            self.held = body;
        } else {
            self.out.extend_from_slice(&body);
        }
        self.asked.push_back(request.clone());
        request
    }

    /// Sends a piece.
    pub fn write(&mut self, random: &mut Random) {
        if !self.held.is_empty() && random.below(20) == 0 {
            self.out.append(&mut self.held);
        }
        let Some(peer) = self.peer.as_mut().filter(|_| !self.ended) else { return };
        if !write_piece(peer, &mut self.out, piece(random)) {
            // What was said before the other end closed can be read; the reset itself is told here.
            self.ended = true;
            self.reset = true;
        }
        if self.tunnel.is_some() && self.out.is_empty() {
            self.end();
        }
    }

    /// So many bytes of what it has asked were not sent.
    pub fn unsent(&self) -> usize {
        self.out.len() + self.held.len()
    }

    /// No more will be sent.
    pub fn end(&mut self) {
        self.ended = true;
        if let Some(peer) = &self.peer {
            // The other end may have broken off.
            let _ = peer.0.shutdown(Shutdown::Write);
        }
    }

    /// Reads a piece and checks it.
    pub fn read(&mut self, most: usize) -> bool {
        let Some(peer) = self.peer.as_mut() else { return false };
        let (bytes, end) = match peer.look_at_most(most) {
            Seen::Nothing => return false,
            Seen::Bytes(bytes) => (bytes, None),
            Seen::End(bytes) => (bytes, Some(false)),
            Seen::Reset(bytes) => (bytes, Some(true)),
        };
        if let Some((id, seen)) = &mut self.tunnel {
            seen.extend_from_slice(&bytes);
            let whole = content(2 * *id + 1, seen.len());
            assert!(*seen == whole, "other bytes than the server's came through the tunnel");
        } else {
            self.reader.push(&bytes);
            self.judge();
        }
        if let Some(reset) = end {
            self.handle_end(reset || self.reset || self.doubts);
        }
        true
    }

    fn handle_end(&mut self, reset: bool) {
        self.over = true;
        self.peer = None;
        self.cut = match &self.tunnel {
            Some((_, seen)) => seen.len() < self.back,
            None if self.reader.is_until_close() => reset,
            None => self.within || !(self.closing || self.asked.is_empty()),
        };
        if self.reader.is_until_close() && !reset {
            self.judge_content();
            self.asked.pop_front();
            self.within = false;
        }
    }

    fn judge(&mut self) {
        loop {
            match self.reader.next() {
                Event::More => return,
                Event::Head => self.judge_head(),
                Event::End => {
                    if !std::mem::take(&mut self.within) {
                        continue;
                    }
                    self.judge_content();
                    self.asked.pop_front();
                }
            }
            if let Some((id, seen)) = &mut self.tunnel {
                seen.extend(self.reader.rest());
                assert!(*seen == content(2 * *id + 1, seen.len()), "ahead in the tunnel");
                return;
            }
        }
    }

    fn judge_head(&mut self) {
        let head = &self.reader.head;
        let status: u16 = head.line[9..12].parse().unwrap();
        let id = head.value("x-id").map(|id| id.parse::<u64>().unwrap());
        let closes = head.value("connection") == Some("close");
        let asked = self.asked.front();
        if status == 100 {
            self.out.append(&mut self.held);
        }
        if (100..200).contains(&status) && status != 101 {
            assert!(id.is_none_or(|id| asked.is_some_and(|asked| asked.id == id)), "{head:?}");
            assert!(asked.is_some_and(|asked| !asked.old), "an old client knows none: {head:?}");
            self.reader.frame(Framing::Length(0));
            return;
        }
        assert!(!self.closing, "nothing follows what was said to be the last response: {head:?}");
        self.within = true;
        let Some(id) = id else {
            assert!(matches!(status, 408 | 500 | 502 | 503 | 504), "{head:?}");
            assert!(closes, "{head:?}");
            assert!(asked.is_some() || status == 408, "{head:?}");
            self.refused.push(status);
            self.closing = true;
            let none = asked.is_some_and(|asked| asked.method == "HEAD");
            let framing = head.framing(Framing::UntilClose);
            self.reader.frame(if none { Framing::Length(0) } else { framing });
            return;
        };
        let asked = asked.unwrap_or_else(|| panic!("nothing was asked: {head:?}"));
        assert_eq!(id, asked.id, "another request's response");
        if status == 101 {
            assert!(asked.upgrade);
            self.tunnel = Some((id, Vec::new()));
            self.back = head.number("x-back").unwrap();
            self.out = content(2 * id, head.number("x-length").unwrap());
            return;
        }
        let none = asked.method == "HEAD" || matches!(status, 204 | 304);
        let framing = head.framing(Framing::UntilClose);
        assert!(framing != Framing::Chunked || !asked.old, "an old client knows no chunks");
        // Who says nothing of the end ends it with the connection.
        self.closing |= closes || asked.last || (!none && framing == Framing::UntilClose);
        self.reader.frame(if none { Framing::Length(0) } else { framing });
    }

    fn judge_content(&mut self) {
        let head = &self.reader.head;
        let Some(id) = head.value("x-id").map(|id| id.parse::<u64>().unwrap()) else { return };
        let asked = self.asked.front().unwrap();
        let none = asked.method == "HEAD" || ["204", "304"].contains(&&head.line[9..12]);
        let length = if none { 0 } else { head.number("x-length").unwrap() };
        assert_eq!(self.reader.content.len(), length, "an end was made up: {head:?}");
        assert!(self.reader.content == content(id ^ 1 << 40, length), "other content: {head:?}");
        let chunked = head.value("transfer-encoding").is_some() && !none;
        assert_eq!(self.reader.trailers, [TRAILER][usize::from(!chunked)..]);
        self.served += 1;
    }
}
