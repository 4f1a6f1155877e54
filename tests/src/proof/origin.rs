//! The servers of the proof, which never fail.
//!
//! Shell. What they are asked for is in the request, so that they and the client agree on every byte:
//!
//! | asked | answered |
//! | --- | --- |
//! | `GET /d/SEED/SIZE` | 200 with so many bytes of the seed's content |
//! | `PUT /u/SEED/SIZE` with that content | 200 with `SEED`; 422 where it was another content |
//! | `POST /e/SEED/SIZE` with that content | 200 with the content of the next seed, chunked |
//! | `GET /ws/SEED/0`, an upgrade | 101, then each message back |
//! | over TCP, `E` and then anything | the same back, at once |
//! | over TCP, `H`, anything, the end | the same back after the end, slowly |

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::content::Content;
use super::frames;
use super::wire::{Pace, Wire};
use crate::Origin;
use crate::address;
use crate::client::Stream;
use crate::origin::Seen;

/// The first byte of a connection whose bytes come back at once.
pub const ECHO: u8 = b'E';
/// The first byte of one whose bytes come back when the client has ended sending.
pub const HALF: u8 = b'H';
/// Into so many parts the answer to an end is cut.
const PARTS: usize = 4;
/// The wait before each of them.
const PART_PAUSE: Duration = Duration::from_millis(60);

/// Both of them.
#[derive(Debug)]
pub struct Origins {
    http: Origin,
    tcp: Origin,
}

impl Origins {
    /// Starts them.
    pub fn start() -> Self {
        Self { http: Origin::at(address::free(), http), tcp: Origin::at(address::free(), tcp) }
    }

    /// Where HTTP is spoken.
    pub fn http(&self) -> SocketAddr {
        self.http.address
    }

    /// Where bytes come back.
    pub fn tcp(&self) -> SocketAddr {
        self.tcp.address
    }

    /// Connections of both at this moment.
    pub fn open(&self) -> u64 {
        self.http.open() + self.tcp.open()
    }
}

/// A target's three parts.
fn parts(target: &str) -> Option<(&str, u64, u64)> {
    let mut parts = target.strip_prefix('/')?.split('/');
    let what = parts.next()?;
    Some((what, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn http(stream: &mut Stream, _: &Seen) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    while let Some(head) = wire.head()? {
        let mut words = head.line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (what, seed, size) = parts(target).ok_or(ErrorKind::InvalidInput)?;
        let content = Content::of(seed);
        match (method, what) {
            ("GET", "d") => {
                wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes())?;
                wire.send_body(false, content, size, Pace::FULL)?;
            }
            ("PUT", "u") => {
                let same = wire.expect_body(head.framing()?, content, size, Pace::FULL);
                let status = match same {
                    Ok(()) => "200 OK",
                    Err(error) if error.kind() == ErrorKind::InvalidData => "422 Other Bytes",
                    Err(error) => return Err(error),
                };
                let said = seed.to_string();
                let length = said.len();
                let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{said}");
                wire.send(text.as_bytes())?;
                if status.starts_with('4') {
                    return Ok(());
                }
            }
            ("POST", "e") => {
                wire.expect_body(head.framing()?, content, size, Pace::FULL)?;
                wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                let pace = Pace { piece: 3_000, pause: Duration::ZERO };
                wire.send_body(true, Content::of(seed + 1), size, pace)?;
            }
            ("GET", "ws") => return websocket(&mut wire),
            _ => return Err(ErrorKind::InvalidInput.into()),
        }
        if head.closes() {
            return Ok(());
        }
    }
    Ok(())
}

fn websocket(wire: &mut Wire<&mut Stream>) -> io::Result<()> {
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let accept = format!("Sec-WebSocket-Accept: {}\r\n\r\n", frames::ACCEPT);
    wire.send([head, &accept].concat().as_bytes())?;
    loop {
        let (opcode, payload) = frames::receive(wire, true)?;
        let answer = if opcode == frames::PING { frames::PONG } else { opcode };
        frames::send(wire, false, answer, &payload)?;
        if opcode == frames::CLOSE {
            return Ok(());
        }
    }
}

fn tcp(stream: &mut Stream, seen: &Seen) -> io::Result<()> {
    let mut first = [0];
    // Whoever only looks whether somebody listens says nothing.
    if stream.read(&mut first)? == 0 {
        return Ok(());
    }
    if first == [ECHO] {
        return crate::origin::echo(stream, seen);
    }
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    for part in bytes.chunks(bytes.len().div_ceil(PARTS).max(1)) {
        std::thread::sleep(PART_PAUSE);
        stream.write_all(part)?;
    }
    stream.end_sending()
}
