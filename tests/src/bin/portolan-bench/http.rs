//! What is asked of the bench's HTTP server and answered, and how both are checked.
//!
//! Core. Every byte of every message is checked, by the side that receives it: a head line by line, a
//! content against [`content`]. A message that is the same as the last good one is good too, which makes
//! this cheap.
//!
//! | ask | request | answer |
//! | --- | --- | --- |
//! | small | GET | 64 bytes |
//! | 64k, 1m | GET | 65,536 and 1,048,576 bytes |
//! | put | PUT with 1,048,576 bytes | 64 bytes |

use std::sync::LazyLock;

/// The most a head may take before it ends.
const HEAD_BYTES_MAX: usize = 8_192;
/// The longest content.
pub const CONTENT_BYTES_MAX: usize = 1 << 20;
const SMALL_BYTES: usize = 64;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Small,
    Middle,
    Large,
    Put,
}

impl Ask {
    pub const ALL: [Self; 4] = [Self::Small, Self::Middle, Self::Large, Self::Put];

    /// As the load generator's kinds and the request's path name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Middle => "64k",
            Self::Large => "1m",
            Self::Put => "put",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ask| ask.name() == name)
    }

    /// Bytes of the answer's content.
    fn answered_bytes(self) -> usize {
        match self {
            Self::Small | Self::Put => SMALL_BYTES,
            Self::Middle => 1 << 16,
            Self::Large => CONTENT_BYTES_MAX,
        }
    }

    /// Bytes of the request's content.
    fn sent_bytes(self) -> usize {
        if self == Self::Put { CONTENT_BYTES_MAX } else { 0 }
    }

    fn line(self) -> String {
        let method = if self == Self::Put { "PUT" } else { "GET" };
        format!("{method} /{} HTTP/1.1", self.name())
    }

    /// The whole request.
    pub fn request(self, host: &str, last: bool) -> Vec<u8> {
        let (line, bytes) = (self.line(), self.sent_bytes());
        let length = if bytes > 0 { format!("Content-Length: {bytes}\r\n") } else { String::new() };
        let connection = if last { "Connection: close\r\n" } else { "" };
        let head = format!(
            "{line}\r\nHost: {host}\r\nUser-Agent: portolan-bench\r\nAccept: */*\r\n\
             {length}{connection}\r\n"
        );
        let mut whole = head.into_bytes();
        whole.extend_from_slice(&content()[..self.sent_bytes()]);
        whole
    }

    /// The whole answer, as the server gives it.
    pub fn answer(self) -> &'static [u8] {
        static ANSWERS: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| Ask::ALL.map(Ask::build_answer));
        &ANSWERS[self as usize]
    }

    fn build_answer(self) -> Vec<u8> {
        let bytes = self.answered_bytes();
        let head = format!(
            "{ANSWER_LINE}\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: bench\r\n\
             {ANSWER_TYPE}\r\nContent-Length: {bytes}\r\n\r\n"
        );
        [head.as_bytes(), &content()[..bytes]].concat()
    }

    /// Judges an answer's head; the bytes of content to come.
    pub fn check_answer(self, head: &[u8]) -> Result<usize, Wrong> {
        let head = Head::read(head)?;
        if head.line != ANSWER_LINE.as_bytes() {
            return Err("not answered with 200");
        }
        if !head.fields.iter().any(|field| field.eq_ignore_ascii_case(ANSWER_TYPE.as_bytes())) {
            return Err("the answer's type is lost");
        }
        match head.content_bytes()? {
            Some(bytes) if bytes == self.answered_bytes() => Ok(bytes),
            _ => Err("the answer's length is another one"),
        }
    }

    /// Judges a request's head as the server sees it: what is asked, the bytes of content to come, and
    /// whether the connection is to end behind it.
    pub fn check_request(head: &[u8]) -> Result<(Self, usize, bool), Wrong> {
        let head = Head::read(head)?;
        let ask = Self::ALL.into_iter().find(|ask| head.line == ask.line().as_bytes());
        let ask = ask.ok_or("the request line is another one")?;
        if head.values("host").count() != 1 {
            return Err("not one Host");
        }
        if head.content_bytes()?.unwrap_or(0) != ask.sent_bytes() {
            return Err("the request's length is another one");
        }
        let last = head.values("connection").any(|value| value.eq_ignore_ascii_case(b"close"));
        Ok((ask, ask.sent_bytes(), last))
    }
}

const ANSWER_LINE: &str = "HTTP/1.1 200 OK";
const ANSWER_TYPE: &str = "Content-Type: text/plain";

/// Which rule a message broke.
pub type Wrong = &'static str;

/// The name of one of the hosts.
pub fn host(number: usize) -> String {
    format!("h{number}.example")
}

/// What every content is the beginning of.
pub fn content() -> &'static [u8] {
    static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
        // A prime number of different bytes: whatever is lost, moved or doubled shows.
        (0..CONTENT_BYTES_MAX).map(|at| b'!' + (at % 89) as u8).collect()
    });
    &CONTENT
}

/// A head in its lines.
struct Head<'a> {
    line: &'a [u8],
    fields: Vec<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// Of the bytes up to and with the empty line.
    fn read(head: &'a [u8]) -> Result<Self, Wrong> {
        let text = head.strip_suffix(b"\r\n\r\n").ok_or("no empty line")?;
        let mut lines = text.split(|byte| *byte == b'\n').map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.iter().any(u8::is_ascii_control) {
                Err("a control character")
            } else {
                Ok(line)
            }
        });
        let line = lines.next().ok_or("nothing")??;
        let fields = lines.collect::<Result<Vec<_>, _>>()?;
        if fields.iter().any(|field| !field.contains(&b':')) {
            return Err("a field without a colon");
        }
        Ok(Self { line, fields })
    }

    fn values(&self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter_map(move |field| {
            let (own, value) = field.split_at_checked(name.len())?;
            let matches = own.eq_ignore_ascii_case(name.as_bytes());
            matches.then(|| value.strip_prefix(b":").map(<[u8]>::trim_ascii))?
        })
    }

    /// The length told; our messages are never chunked, and no proxy has a reason to.
    fn content_bytes(&self) -> Result<Option<usize>, Wrong> {
        if self.values("transfer-encoding").next().is_some() {
            return Err("chunked");
        }
        let mut values = self.values("content-length");
        let Some(value) = values.next() else { return Ok(None) };
        let bytes = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        match (bytes, values.next()) {
            (Some(bytes), None) => Ok(Some(bytes)),
            _ => Err("not one length"),
        }
    }
}

/// A message on its way in.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The head so far, while it is not whole.
    head: Vec<u8>,
    /// The content's bytes come and to come, behind a whole head.
    content: Option<(usize, usize)>,
}

impl Incoming {
    /// Whether no byte of it has come.
    pub fn is_fresh(&self) -> bool {
        self.head.is_empty() && self.content.is_none()
    }

    /// Takes bytes; true when they complete the message, which is then fresh again. `judge` gets a whole
    /// head and tells the bytes of content behind it.
    pub fn take(
        &mut self,
        bytes: &[u8],
        judge: impl FnOnce(&[u8]) -> Result<usize, Wrong>,
    ) -> Result<bool, Wrong> {
        let mut rest = bytes;
        if self.content.is_none() {
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            let from = before.saturating_sub(3);
            let Some(at) = self.head[from..].windows(4).position(|four| four == b"\r\n\r\n") else {
                return if self.head.len() > HEAD_BYTES_MAX { Err("no head") } else { Ok(false) };
            };
            let end = from + at + 4;
            rest = &bytes[end - before..];
            self.head.truncate(end);
            self.content = Some((0, judge(&self.head)?));
            self.head.clear();
        }
        let Some((come, all)) = &mut self.content else { return Ok(false) };
        if rest.len() > *all - *come {
            return Err("more than the message");
        }
        if rest != &content()[*come..*come + rest.len()] {
            return Err("another content");
        }
        *come += rest.len();
        let whole = come == all;
        if whole {
            self.content = None;
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_in_parts(message: &[u8], part: usize, ask: Ask) -> Result<bool, Wrong> {
        let mut incoming = Incoming::default();
        let mut whole = false;
        for bytes in message.chunks(part) {
            assert!(!whole, "whole before its end");
            whole = incoming.take(bytes, |head| ask.check_answer(head))?;
        }
        assert_eq!(whole, incoming.is_fresh());
        Ok(whole)
    }

    #[test]
    fn an_answer_is_whole_at_its_last_byte_however_it_comes() {
        for part in [1, 2, 3, 7, 100, 1 << 21] {
            assert_eq!(take_in_parts(Ask::Small.answer(), part, Ask::Small), Ok(true));
        }
        assert_eq!(take_in_parts(Ask::Large.answer(), 5_000, Ask::Large), Ok(true));
    }

    #[test]
    fn an_answer_of_another_shape_is_refused() {
        let good = String::from_utf8_lossy(Ask::Small.answer()).into_owned();
        let changed = |from: &str, to: &str| {
            take_in_parts(good.replace(from, to).as_bytes(), 1 << 16, Ask::Small)
        };
        assert_eq!(changed("200 OK", "502 Bad Gateway"), Err("not answered with 200"));
        assert_eq!(changed("text/plain", "text/html"), Err("the answer's type is lost"));
        assert_eq!(
            changed("Content-Length: 64", "X: 1"),
            Err("the answer's length is another one")
        );
        assert_eq!(changed("Server: bench", "Transfer-Encoding: chunked"), Err("chunked"));
        assert_eq!(changed("Server: bench", "Content-Length: 64"), Err("not one length"));
        assert_eq!(changed("!\"#", "!!#"), Err("another content"));
        assert_eq!(take_in_parts(format!("{good}x").as_bytes(), 1 << 16, Ask::Small), {
            Err("more than the message")
        });
    }

    #[test]
    fn a_request_says_what_is_asked_and_whether_it_is_the_last() {
        for (ask, last) in [(Ask::Small, false), (Ask::Middle, true), (Ask::Put, false)] {
            let request = ask.request("h1.example", last);
            let head = &request[..request.len() - ask.sent_bytes()];
            assert_eq!(Ask::check_request(head), Ok((ask, ask.sent_bytes(), last)));
        }
        let twice = b"GET /small HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
        assert_eq!(Ask::check_request(twice), Err("not one Host"));
    }
}
