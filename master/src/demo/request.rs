//! Requests as the demonstration's servers read them: what Portolan writes, and no more.
//!
//! Core over a reader. These servers stand behind the proxy and trust what it sends; they are no
//! example of a strict reader.
//!
//! Limits: lines of [`LINE_BYTES_MAX`], heads of [`HEAD_LINES_MAX`] lines, contents of
//! [`CONTENT_BYTES_MAX`]. Whoever sends more is cut off.

use std::io::{self, BufRead, Read};

const LINE_BYTES_MAX: u64 = 16_384;
const HEAD_LINES_MAX: usize = 128;
const CONTENT_BYTES_MAX: u64 = 64 << 20;

/// A request whose content was read and thrown away.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// As "GET".
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values, in their order.
    pub fields: Vec<(String, String)>,
    /// Bytes of its content.
    pub content: u64,
}

impl Request {
    /// The next request of a connection; `None` where there is none, or none that we understand.
    pub fn read(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(first) = line(input)? else { return Ok(None) };
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0")) =
            (words.next(), words.next(), words.next())
        else {
            return Ok(None);
        };
        let mut request =
            Self { method: method.to_owned(), target: target.to_owned(), ..Self::default() };
        for _ in 0..HEAD_LINES_MAX {
            let Some(line) = line(input)? else { return Ok(None) };
            if line.is_empty() {
                return Ok(request.pass_content(input)?.then_some(request));
            }
            let Some((name, value)) = line.split_once(':') else { return Ok(None) };
            request.fields.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(None)
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Reads the content; whether it came whole.
    fn pass_content(&mut self, input: &mut impl BufRead) -> io::Result<bool> {
        if self.field("Transfer-Encoding").is_some() {
            return self.pass_chunks(input);
        }
        let Some(length) = self.field("Content-Length") else { return Ok(true) };
        let Ok(length) = length.parse::<u64>() else { return Ok(false) };
        self.pass(input, length)
    }

    fn pass_chunks(&mut self, input: &mut impl BufRead) -> io::Result<bool> {
        loop {
            let Some(size) = line(input)? else { return Ok(false) };
            let Ok(size) = u64::from_str_radix(&size, 16) else { return Ok(false) };
            if !self.pass(input, size)? {
                return Ok(false);
            }
            // Behind data an empty line; behind the last chunk trailers, which end with one.
            while let Some(line) = line(input)? {
                if line.is_empty() {
                    break;
                }
            }
            if size == 0 {
                return Ok(true);
            }
        }
    }

    fn pass(&mut self, input: &mut impl BufRead, length: u64) -> io::Result<bool> {
        self.content = self.content.saturating_add(length);
        if self.content > CONTENT_BYTES_MAX {
            return Ok(false);
        }
        Ok(io::copy(&mut input.take(length), &mut io::sink())? == length)
    }
}

/// The next line without its end; `None` at the end of input, or of our patience.
fn line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.strip_suffix('\n').map(|text| text.trim_end_matches('\r').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_a_connection_are_read_one_after_the_other() {
        let mut bytes = &b"PUT /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
            POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n\
            GET /d HTTP/1.1\r\n\r\n"[..];
        let mut read = || Request::read(&mut bytes).expect("memory does not fail");
        let first = read().expect("the first");
        assert_eq!((first.path(), first.field("host"), first.content), ("/a", Some("x"), 3));
        let second = read().expect("the second");
        assert_eq!((second.method.as_str(), second.content), ("POST", 19));
        assert_eq!(read().expect("the third").target, "/d");
        assert_eq!(read(), None);
    }

    #[test]
    fn what_is_no_request_or_has_no_end_is_none() {
        let long = vec![b'x'; 20_000];
        let cut = b"PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\na";
        for bytes in [&b"ahoy\r\n"[..], &long, cut, b"GET / HTTP/1.1\r\nHost: x\r\n"] {
            assert_eq!(Request::read(&mut &*bytes).expect("memory does not fail"), None);
        }
    }
}
