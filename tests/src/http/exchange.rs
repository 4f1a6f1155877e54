//! What an origin of ours does with one request, and the answers it gives.
//!
//! Shell.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::message::{Framing, Request};
use super::reader::Reader;
use crate::client::Stream;
use crate::origin::{Gate, Seen};

/// Between two looks at whether to stop.
const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another request may come.
    Keep,
    /// It ends in order.
    Close,
    /// It ends with a RST.
    Reset,
}

/// One request and the connection it came by.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// Its content stands here once [`Exchange::content`] was called.
    pub request: Request,
    reader: &'a mut Reader<Stream>,
    seen: &'a Seen,
    record: &'a Mutex<Vec<Request>>,
    place: usize,
}

impl<'a> Exchange<'a> {
    /// Enters the request into the record, without its content.
    pub(super) fn new(
        mut request: Request,
        reader: &'a mut Reader<Stream>,
        seen: &'a Seen,
        record: &'a Mutex<Vec<Request>>,
    ) -> Self {
        request.complete = request.framing == Framing::None;
        let mut requests = record.lock().expect("the record");
        requests.push(request.clone());
        Self { request, reader, seen, record, place: requests.len() - 1 }
    }

    /// Reads the rest of the request.
    pub fn content(&mut self) -> io::Result<&[u8]> {
        if !self.request.complete {
            let Request { framing, content, chunks, trailers, .. } = &mut self.request;
            let outcome = self.reader.content(*framing, content, chunks, trailers);
            self.request.complete = outcome.is_ok();
            let mut requests = self.record.lock().expect("the record");
            requests[self.place].clone_from(&self.request);
            outcome?;
        }
        Ok(&self.request.content)
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.stream().write_all(bytes.as_ref())
    }

    /// Sends this answer.
    pub fn answer(&mut self, answer: &Answer) -> io::Result<Next> {
        let bytes = answer.bytes(&self.request.method);
        self.send(bytes)?;
        Ok(answer.next)
    }

    /// Waits until the gate lets one more through.
    pub fn pass(&self, gate: &Gate) {
        gate.pass(self.seen);
    }

    /// The same, unless the other end closes before or the origin ends: whether it was let through.
    pub fn pass_unless_gone(&mut self, gate: &Gate) -> io::Result<bool> {
        while !self.seen.stopping() {
            if gate.passes_soon() {
                return Ok(true);
            }
            if self.gone(&Timespec::default())? {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Waits until the other end has closed, or the origin ends. Nothing is read.
    pub fn wait_gone(&mut self) -> io::Result<()> {
        while !self.seen.stopping() && !self.gone(&POLL)? {}
        Ok(())
    }

    /// Whether the other end closes within this time.
    fn gone(&mut self, within: &Timespec) -> io::Result<bool> {
        let stream = self.reader.stream();
        let mut waited = [PollFd::new(&*stream, PollFlags::RDHUP)];
        rustix::event::poll(&mut waited, Some(within))?;
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        Ok(waited[0].revents().intersects(gone))
    }

    /// The connection itself, and what was already read of what follows.
    pub fn stream(&mut self) -> (&mut Stream, Vec<u8>) {
        let pending = self.reader.pending().to_vec();
        (self.reader.stream(), pending)
    }

    /// Whether the origin is to end.
    pub fn stopping(&self) -> bool {
        self.seen.stopping()
    }

    /// Lets time pass between two parts of an answer.
    pub fn pause(&self, time: Duration) {
        crate::deadline::pause(time);
    }
}

/// How the content of an answer is framed.
#[derive(Clone, Debug)]
enum Body {
    Length(Vec<u8>),
    Chunks(Vec<Vec<u8>>, Vec<(String, String)>),
    UntilClose(Vec<u8>),
    None,
    Raw(Vec<u8>),
}

/// An answer, built up and then sent.
#[derive(Clone, Debug)]
pub struct Answer {
    line: String,
    fields: Vec<(String, String)>,
    body: Body,
    next: Next,
}

impl Answer {
    /// 200 with this content and its length.
    pub fn ok(content: impl AsRef<[u8]>) -> Self {
        Self::status(200, content)
    }

    /// This status with this content and its length.
    pub fn status(status: u16, content: impl AsRef<[u8]>) -> Self {
        Self {
            line: format!("HTTP/1.1 {status} Reason"),
            fields: Vec::new(),
            body: Body::Length(content.as_ref().to_vec()),
            next: Next::Keep,
        }
    }

    /// This status, without content or length.
    pub fn bare(status: u16) -> Self {
        Self { body: Body::None, ..Self::status(status, "") }
    }

    /// 200 in chunks.
    pub fn chunked(chunks: &[&str]) -> Self {
        let chunks = chunks.iter().map(|chunk| chunk.as_bytes().to_vec()).collect();
        Self { body: Body::Chunks(chunks, Vec::new()), ..Self::ok("") }
    }

    /// 200 that ends with the connection.
    pub fn until_close(content: impl AsRef<[u8]>) -> Self {
        let body = Body::UntilClose(content.as_ref().to_vec());
        Self { body, next: Next::Close, ..Self::ok("") }
    }

    /// Exactly these bytes.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self { body: Body::Raw(bytes.as_ref().to_vec()), ..Self::ok("") }
    }

    /// One more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more trailer of a chunked answer.
    ///
    /// # Panics
    /// For another one.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        let Body::Chunks(_, trailers) = &mut self.body else { panic!("trailers need chunks") };
        trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `Connection: close`, and so it is.
    #[must_use]
    pub fn close(self) -> Self {
        self.field("Connection", "close").then(Next::Close)
    }

    /// What becomes of the connection, without a word about it.
    #[must_use]
    pub fn then(mut self, next: Next) -> Self {
        self.next = next;
        self
    }

    /// As it is sent; without content to HEAD.
    ///
    /// # Panics
    /// Never: a string takes everything.
    pub fn bytes(&self, method: &str) -> Vec<u8> {
        if let Body::Raw(bytes) = &self.body {
            return bytes.clone();
        }
        let mut head = format!("{}\r\n", self.line);
        for (name, value) in &self.fields {
            write!(head, "{name}: {value}\r\n").expect("a string");
        }
        match &self.body {
            Body::Length(content) => {
                write!(head, "Content-Length: {}\r\n", content.len()).expect("a string");
            }
            Body::Chunks(..) => head.push_str("Transfer-Encoding: chunked\r\n"),
            Body::UntilClose(_) | Body::None | Body::Raw(_) => {}
        }
        let mut bytes = (head + "\r\n").into_bytes();
        match &self.body {
            _ if method == "HEAD" => {}
            Body::Length(content) | Body::UntilClose(content) => bytes.extend_from_slice(content),
            Body::Chunks(chunks, trailers) => {
                for chunk in chunks {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n");
                for (name, value) in trailers {
                    bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
                bytes.extend_from_slice(b"\r\n");
            }
            Body::None | Body::Raw(_) => {}
        }
        bytes
    }
}
