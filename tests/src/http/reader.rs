//! A strict reader of HTTP/1 messages: what could be read in two ways is an error.
//!
//! Shell around any [`Read`]. It refuses (kind `InvalidData`): a line without CRLF, CR or LF or NUL
//! anywhere else, folded fields, blanks before a colon, names that are no tokens, more or fewer blanks
//! than one in a request line, a missing or repeated Host, a repeated or odd Content-Length, both
//! lengths, any other transfer coding than exactly `chunked`, odd chunk sizes, chunk extensions. What
//! ends too early is `UnexpectedEof`.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use super::message::{Fields, Framing, Request, Response, latin1};

/// Most bytes of a head that a peer of ours takes.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// Reads messages one after the other.
#[derive(Debug)]
pub struct Reader<S> {
    stream: S,
    buffer: Vec<u8>,
    taken: Option<Arc<Mutex<Vec<u8>>>>,
}

/// An error of kind `InvalidData`.
pub fn refuse<T>(why: impl Into<String>) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, why.into()))
}

fn early<T>(what: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the end within {what}")))
}

impl<S: Read> Reader<S> {
    /// Around this stream.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), taken: None }
    }

    /// Every byte that is read is also put there.
    #[must_use]
    pub fn recording(mut self, taken: Arc<Mutex<Vec<u8>>>) -> Self {
        self.taken = Some(taken);
        self
    }

    /// What it reads from.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// What was read and not yet used.
    pub fn pending(&self) -> &[u8] {
        &self.buffer
    }

    /// The stream, and what was read of it and not yet used.
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.buffer)
    }

    /// Takes more from the stream; 0 at its end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 16 * 1024];
        let length = loop {
            match self.stream.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.buffer.extend_from_slice(&bytes[..length]);
        if let Some(taken) = &self.taken {
            taken.lock().expect("the record").extend_from_slice(&bytes[..length]);
        }
        Ok(length)
    }

    /// The bytes of a head with its empty line; `None` at an end before the first byte.
    pub fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(self.buffer.drain(..at + 4).collect()));
            }
            // Fields without CR never end the head above: refused here instead of waited for.
            if self.buffer.windows(2).any(|two| two == b"\n\n") || self.buffer.starts_with(b"\n") {
                return refuse(format!("bare LF in a head: {:?}", latin1(&self.buffer)));
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return refuse("a head without end");
            }
            if self.fill()? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { early("a head") };
            }
        }
    }

    /// The next request's head; `None` at the end of the connection.
    pub fn request_head(&mut self) -> io::Result<Option<Request>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let (line, fields) = lines(&head)?;
        let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else {
            return refuse(format!("request line {line:?}"));
        };
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !token(method) || target.is_empty() || !visible(target) {
            return refuse(format!("request line {line:?}"));
        }
        if !["HTTP/1.1", "HTTP/1.0"].contains(&version) {
            return refuse(format!("version in {line:?}"));
        }
        let hosts = fields.all("host").len();
        if hosts > 1 || (hosts == 0 && version == "HTTP/1.1") {
            return refuse(format!("{hosts} Host fields"));
        }
        let framing = match framing(&fields)? {
            Some(Framing::Chunked) if version == "HTTP/1.0" => {
                return refuse("chunked content in HTTP/1.0");
            }
            Some(framing) => framing,
            None => Framing::None,
        };
        Ok(Some(Request {
            method: method.to_owned(),
            target: target.to_owned(),
            version: version.to_owned(),
            head,
            fields,
            framing,
            content: Vec::new(),
            chunks: Vec::new(),
            trailers: Fields::default(),
            connection: 0,
            number: 0,
            complete: false,
            announced: None,
        }))
    }

    /// The next request with its content; `None` at the end of the connection.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        let Some(mut request) = self.request_head()? else { return Ok(None) };
        let Request { framing, content, chunks, trailers, .. } = &mut request;
        self.content(*framing, content, chunks, trailers)?;
        request.complete = true;
        Ok(Some(request))
    }

    /// The next response's head, an interim one too.
    pub fn response_head(&mut self, method: &str) -> io::Result<Response> {
        let Some(head) = self.head()? else { return early("an answer, before its first byte") };
        let (line, fields) = lines(&head)?;
        let mut parts = line.splitn(3, ' ');
        let (version, status, reason) = (parts.next(), parts.next(), parts.next());
        let (Some(version @ ("HTTP/1.1" | "HTTP/1.0")), Some(status), Some(reason)) =
            (version, status, reason)
        else {
            return refuse(format!("status line {line:?}"));
        };
        if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
            return refuse(format!("status line {line:?}"));
        }
        let status: u16 = status.parse().expect("three digits");
        let own = framing(&fields)?;
        let framing = match (method, status) {
            (_, 100..=199 | 204) => {
                if own.is_some() {
                    return refuse(format!("a length in a {status}: {fields:?}"));
                }
                Framing::None
            }
            ("HEAD", _) | (_, 304) | ("CONNECT", 200..=299) => Framing::None,
            _ => own.unwrap_or(Framing::UntilEnd),
        };
        if framing == Framing::Chunked && version == "HTTP/1.0" {
            return refuse("chunked content in HTTP/1.0");
        }
        Ok(Response {
            version: version.to_owned(),
            status,
            reason: reason.to_owned(),
            head,
            fields,
            framing,
            content: Vec::new(),
            chunks: Vec::new(),
            trailers: Fields::default(),
        })
    }

    /// The next response with its content, an interim one too.
    pub fn response(&mut self, method: &str) -> io::Result<Response> {
        let mut response = self.response_head(method)?;
        let Response { framing, content, chunks, trailers, .. } = &mut response;
        self.content(*framing, content, chunks, trailers)?;
        Ok(response)
    }

    /// Content by its framing, appended as it comes, so that an early end leaves what there was.
    pub fn content(
        &mut self,
        framing: Framing,
        content: &mut Vec<u8>,
        chunks: &mut Vec<usize>,
        trailers: &mut Fields,
    ) -> io::Result<()> {
        match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.exactly(length, content),
            Framing::UntilEnd => loop {
                content.append(&mut self.buffer);
                if self.fill()? == 0 {
                    return Ok(());
                }
            },
            Framing::Chunked => loop {
                let size = chunk_size(&self.line()?)?;
                if size == 0 {
                    *trailers = self.trailers()?;
                    return Ok(());
                }
                chunks.push(size as usize);
                self.exactly(size, content)?;
                if !self.line()?.is_empty() {
                    return refuse("a chunk that is longer than its size");
                }
            },
        }
    }

    fn exactly(&mut self, length: u64, content: &mut Vec<u8>) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if self.buffer.is_empty() && self.fill()? == 0 {
                return early("content");
            }
            let now = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            content.extend(self.buffer.drain(..now));
            left -= now as u64;
        }
        Ok(())
    }

    /// A line without its CRLF.
    pub fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                let Some(line) = line.strip_suffix(b"\r\n") else {
                    return refuse(format!("bare LF behind {:?}", latin1(&line)));
                };
                if line.contains(&b'\r') {
                    return refuse(format!("bare CR in {:?}", latin1(line)));
                }
                return Ok(latin1(line));
            }
            if self.fill()? == 0 {
                return early("a line");
            }
        }
    }

    fn trailers(&mut self) -> io::Result<Fields> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Fields(fields));
            }
            fields.push(field(&line)?);
        }
    }

    /// Everything to the end of the connection.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }
}

/// The first line and the fields of a head.
fn lines(head: &[u8]) -> io::Result<(String, Fields)> {
    let text = latin1(head.strip_suffix(b"\r\n\r\n").unwrap_or(head));
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    if first.contains(['\r', '\n', '\0']) {
        return refuse(format!("a control character in {first:?}"));
    }
    let fields = lines.map(field).collect::<io::Result<Vec<_>>>()?;
    Ok((first, Fields(fields)))
}

/// RFC 9112, section 5, without any leniency.
fn field(line: &str) -> io::Result<(String, String)> {
    let Some((name, value)) = line.split_once(':') else {
        return refuse(format!("a field without a colon: {line:?}"));
    };
    let allowed = |one: char| one == '\t' || (' '..='\u{ff}').contains(&one) && one != '\u{7f}';
    if !token(name) || !value.chars().all(allowed) {
        return refuse(format!("a field that is none: {line:?}"));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

fn framing(fields: &Fields) -> io::Result<Option<Framing>> {
    match (&fields.all("content-length")[..], &fields.all("transfer-encoding")[..]) {
        ([], []) => Ok(None),
        ([length], []) if !length.is_empty() && length.bytes().all(|one| one.is_ascii_digit()) => {
            match length.parse() {
                Ok(length) => Ok(Some(Framing::Length(length))),
                Err(_) => refuse(format!("Content-Length: {length}")),
            }
        }
        ([], ["chunked"]) => Ok(Some(Framing::Chunked)),
        (lengths, codings) => refuse(format!("lengths {lengths:?} and codings {codings:?}")),
    }
}

fn chunk_size(line: &str) -> io::Result<u64> {
    let digits = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u64::from_str_radix(line, 16) {
        Ok(size) if digits && line.len() <= 16 => Ok(size),
        _ => refuse(format!("chunk size {line:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: &[u8]) -> io::Result<Option<Request>> {
        Reader::new(bytes).request()
    }

    #[test]
    fn a_plain_request_is_understood() {
        let bytes = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET";
        let mut reader = Reader::new(&bytes[..]);
        let request = reader.request().expect("a request").expect("one");
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/a?b"));
        assert_eq!((request.text().as_str(), reader.pending()), ("abc", &b"GET"[..]));
    }

    #[test]
    fn chunks_and_trailers_are_understood() {
        let bytes = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                      3\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n";
        let request = request(bytes).expect("a request").expect("one");
        assert_eq!((request.text().as_str(), &request.chunks[..]), ("abcd", &[3, 1][..]));
        assert_eq!(request.trailers.one("t"), Some("1"));
    }

    #[test]
    fn whatever_can_be_read_in_two_ways_is_refused() {
        let head = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
        let bad = [
            head("Host: x\r\nHost: y"),
            head("Accept: x"),
            head("Host: x\nAccept: y"),
            head("Host: x\r\n y"),
            head("Host : x"),
            head("Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"),
            head("Host: x\r\nContent-Length: 1\r\nContent-Length: 1"),
            head("Host: x\r\nContent-Length: +1"),
            head("Host: x\r\nTransfer-Encoding: gzip, chunked"),
            head("Host: x\r\nA: \0"),
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\nHost: x\n\n".to_owned(),
            head("Host: x\r\nTransfer-Encoding: chunked") + "1;a=b\r\nx\r\n0\r\n\r\n",
            head("Host: x\r\nTransfer-Encoding: chunked") + "1\nx\r\n0\r\n\r\n",
            head("Host: x\r\nTransfer-Encoding: chunked") + "1\r\nxy\r\n0\r\n\r\n",
        ];
        for text in bad {
            let error = request(text.as_bytes()).expect_err(&text);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text:?}: {error}");
        }
    }

    #[test]
    fn an_early_end_is_told_from_an_end_between_messages() {
        assert!(request(b"").expect("an end").is_none());
        for text in ["GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"] {
            let error = request(text.as_bytes()).expect_err("an early end");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_response_without_a_length_goes_on_until_the_end() {
        let bytes = b"HTTP/1.1 200 OK\r\n\r\nabc";
        let response = Reader::new(&bytes[..]).response("GET").expect("a response");
        assert_eq!((response.framing, response.text().as_str()), (Framing::UntilEnd, "abc"));
        let response = Reader::new(&bytes[..]).response("HEAD").expect("a response");
        assert_eq!(response.framing, Framing::None);
    }
}
