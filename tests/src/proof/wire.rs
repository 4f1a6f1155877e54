//! Reading and writing HTTP messages over one connection, for both ends of the proof.
//!
//! Shell. Strict where it matters here: `InvalidInput` is what is no message, `InvalidData` are other bytes
//! than were to come, `UnexpectedEof` is an end in the middle.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use super::content::Content;

/// Most bytes of a head.
const HEAD_MAX: usize = 16 * 1024;
/// Bytes read at once, unless the pace says less.
const PIECE: usize = 64 * 1024;

/// How fast a body is moved.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes at once.
    pub piece: usize,
    /// The wait behind each.
    pub pause: Duration,
}

impl Pace {
    /// As fast as it goes.
    pub const FULL: Self = Self { piece: PIECE, pause: Duration::ZERO };

    fn wait(self) {
        if !self.pause.is_zero() {
            std::thread::sleep(self.pause);
        }
    }
}

/// A message's head.
#[derive(Clone, Debug)]
pub struct Head {
    /// The first line.
    pub line: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Whether the connection ends behind this message.
    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Whether the body is chunked, else its length.
    pub fn framing(&self) -> io::Result<Framing> {
        match (self.field("transfer-encoding"), self.field("content-length")) {
            (Some("chunked"), None) => Ok(Framing::Chunked),
            (None, Some(length)) => {
                length.parse().map(Framing::Length).map_err(|_| ErrorKind::InvalidInput.into())
            }
            (None, None) => Ok(Framing::Length(0)),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

/// A connection with what was read of it and not used yet.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
    at: usize,
}

impl<S: Read + Write> Wire<S> {
    /// Over this connection.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), at: 0 }
    }

    /// The connection.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Whether something was read and not used.
    pub fn has_more(&self) -> bool {
        self.at < self.buffer.len()
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads once; how much came.
    fn fill(&mut self, most: usize) -> io::Result<usize> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        }
        let before = self.buffer.len();
        self.buffer.resize(before + most, 0);
        let read = loop {
            match self.stream.read(&mut self.buffer[before..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        read
    }

    fn pending(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Up to and without this end mark; `None`: the connection ended before the first byte.
    fn until(&mut self, mark: &[u8]) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(found) = memchr::memmem::find(self.pending(), mark) {
                let text = self.pending()[..found].to_vec();
                self.at += found + mark.len();
                return Ok(Some(text));
            }
            if self.pending().len() > HEAD_MAX {
                return Err(ErrorKind::InvalidInput.into());
            }
            if self.fill(PIECE)? == 0 {
                let none = self.pending().is_empty();
                return if none { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The next head; `None`: the connection ended before its first byte.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        let Some(text) = self.until(b"\r\n\r\n")? else { return Ok(None) };
        let text = String::from_utf8(text).map_err(|_| ErrorKind::InvalidInput)?;
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields = lines
            .map(|field| {
                let (name, value) = field.split_once(':').ok_or(ErrorKind::InvalidInput)?;
                Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Some(Head { line, fields }))
    }

    /// The next bytes, given to `take` as they come, exactly so many.
    pub fn exact(
        &mut self,
        length: u64,
        pace: Pace,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if !self.has_more() {
                if self.fill(pace.piece)? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                pace.wait();
            }
            let size = (self.buffer.len() - self.at).min(left.try_into().unwrap_or(usize::MAX));
            take(&self.buffer[self.at..self.at + size])?;
            self.at += size;
            left -= size as u64;
        }
        Ok(())
    }

    /// The next bytes as they are.
    pub fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        self.exact(length as u64, Pace::FULL, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// A body, which has to be this content of this length.
    pub fn expect_body(
        &mut self,
        framing: Framing,
        mut content: Content,
        length: u64,
        pace: Pace,
    ) -> io::Result<()> {
        let mut check = |piece: &[u8]| {
            if content.agrees(piece) { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
        };
        match framing {
            Framing::Length(said) if said != length => Err(ErrorKind::InvalidData.into()),
            Framing::Length(_) => self.exact(length, pace, check),
            Framing::Chunked => {
                let mut all = 0;
                loop {
                    let size = self.until(b"\r\n")?.ok_or(ErrorKind::UnexpectedEof)?;
                    let size = String::from_utf8(size).ok();
                    let size = size.and_then(|size| u64::from_str_radix(&size, 16).ok());
                    let size = size.ok_or(ErrorKind::InvalidInput)?;
                    self.exact(size, pace, &mut check)?;
                    if !self.until(b"\r\n")?.ok_or(ErrorKind::UnexpectedEof)?.is_empty() {
                        return Err(ErrorKind::InvalidInput.into());
                    }
                    all += size;
                    if size == 0 {
                        let whole = all == length;
                        return if whole { Ok(()) } else { Err(ErrorKind::InvalidData.into()) };
                    }
                }
            }
        }
    }

    /// Sends this content of this length.
    pub fn send_body(
        &mut self,
        chunked: bool,
        mut content: Content,
        length: u64,
        pace: Pace,
    ) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let piece = content.next(pace.piece.min(left.try_into().unwrap_or(usize::MAX)));
            if chunked {
                let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                chunk.extend_from_slice(piece);
                chunk.extend_from_slice(b"\r\n");
                self.send(&chunk)?;
            } else {
                self.send(piece)?;
            }
            left -= piece.len() as u64;
            pace.wait();
        }
        if chunked { self.send(b"0\r\n\r\n") } else { Ok(()) }
    }

    /// Expects the orderly end.
    pub fn expect_end(&mut self) -> io::Result<()> {
        if self.has_more() || self.fill(1)? > 0 {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(())
    }
}
