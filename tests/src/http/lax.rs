//! A lax HTTP server, as there are many: it takes what is ambiguous and reads it in its own way. What a
//! proxy lets through becomes visible here as requests that nobody made.
//!
//! Shell.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::message::latin1;
use crate::address;
use crate::client::Stream;
use crate::origin::Origin;

/// Which of two readings it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taste {
    /// Content-Length, the first one, whatever else is said; unknown transfer codings are ignored.
    FirstLength,
    /// Content-Length, the last one.
    LastLength,
    /// Chunked wherever that word appears in a Transfer-Encoding, whatever else is said.
    Chunked,
    /// As `FirstLength`, and `_` in a name is as good as `-`.
    Underscores,
}

/// What there may be behind any proxy; the last one needs `http_restrict_req_hdr_names`.
pub const TASTES: [Taste; 3] = [Taste::FirstLength, Taste::LastLength, Taste::Chunked];

/// A running server that answers each request, as it understands it, with 200.
#[derive(Debug)]
pub struct LaxOrigin {
    /// Where it listens.
    pub address: SocketAddr,
    origin: Origin,
    lines: Arc<Mutex<Vec<String>>>,
}

impl LaxOrigin {
    /// One of this taste.
    pub fn new(taste: Taste) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let origin = Origin::at(address::free(), {
            let lines = Arc::clone(&lines);
            move |stream, _| serve(stream, taste, &lines)
        });
        Self { address: origin.address, origin, lines }
    }

    /// The request lines it has understood so far.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("the lines").clone()
    }

    /// Connections now.
    pub fn open(&self) -> u64 {
        self.origin.open()
    }
}

/// A stream that can be looked ahead in.
struct Source<'a> {
    stream: &'a mut Stream,
    buffer: Vec<u8>,
}

impl Source<'_> {
    fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        let length = self.stream.read(&mut bytes)?;
        self.buffer.extend_from_slice(&bytes[..length]);
        Ok(length > 0)
    }

    /// A line, ended by LF, by CRLF, or by the end.
    fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                return Ok(Some(latin1(&line).trim_end_matches(['\n', '\r']).to_owned()));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    fn skip(&mut self, length: u64) -> io::Result<bool> {
        let mut left = length;
        while left > 0 {
            if self.buffer.is_empty() && !self.fill()? {
                return Ok(false);
            }
            let now = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.buffer.drain(..now);
            left -= now as u64;
        }
        Ok(true)
    }
}

fn serve(stream: &mut Stream, taste: Taste, lines: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut source = Source { stream, buffer: Vec::new() };
    loop {
        let Some(first) = source.line()? else { return Ok(()) };
        if first.trim().is_empty() {
            continue;
        }
        lines.lock().expect("the lines").push(first);
        let mut fields: Vec<(String, String)> = Vec::new();
        loop {
            let Some(line) = source.line()? else { return Ok(()) };
            if line.is_empty() {
                break;
            }
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                let mut name = name.trim().to_lowercase();
                if taste == Taste::Underscores {
                    name = name.replace('_', "-");
                }
                fields.push((name, value.trim().to_owned()));
            }
        }
        if !content(&mut source, taste, &fields)? {
            return Ok(());
        }
        source.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nlax")?;
    }
}

/// Skips the content as this taste finds it; `false` at an early end.
fn content(source: &mut Source<'_>, taste: Taste, fields: &[(String, String)]) -> io::Result<bool> {
    let mut lengths = fields.iter().filter(|(name, _)| name == "content-length");
    let chunked = fields.iter().any(|(name, value)| {
        name == "transfer-encoding" && value.to_lowercase().contains("chunked")
    });
    let length = match taste {
        Taste::FirstLength | Taste::Underscores => lengths.next(),
        Taste::LastLength | Taste::Chunked => lengths.next_back(),
    };
    let number = |text: &str| {
        let digits: String =
            text.trim_start_matches(['+', ' ']).chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    };
    match length {
        Some((_, value)) if taste != Taste::Chunked || !chunked => source.skip(number(value)),
        _ if chunked => chunks(source),
        _ => Ok(true),
    }
}

fn chunks(source: &mut Source<'_>) -> io::Result<bool> {
    loop {
        let Some(line) = source.line()? else { return Ok(false) };
        let digits: String = line.trim().chars().take_while(char::is_ascii_hexdigit).collect();
        let size = u64::from_str_radix(&digits, 16).unwrap_or(0);
        if size == 0 {
            while source.line()?.is_some_and(|line| !line.is_empty()) {}
            return Ok(true);
        }
        if !source.skip(size)? || source.line()?.is_none() {
            return Ok(false);
        }
    }
}
