//! The servers behind every proxy under test, and the sink for their logs. One process.
//!
//! Shell. `portolan-bench origin` prints `echo=ADDRESS bulk=ADDRESS log=ADDRESS http=ADDRESS` and serves
//! until its standard input ends.
//! - echo: what is read is written back at once.
//! - bulk: the client says `D` or `U` and a count (8 bytes, big endian). `D`: that many bytes are sent,
//!   then the end. `U`: that many are read, then one byte answers.
//! - log: datagrams are read and dropped.
//! - http: what `http.rs` describes, checked and answered.

mod http;

use std::error::Error;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;

/// Bytes moved by one call of a bulk transfer.
pub const BULK_CHUNK_BYTES: usize = 1 << 18;
/// Events taken from the poller at a time.
const EVENTS_MAX: usize = 256;
/// The listener's token; connections have their place in the table.
const LISTENER: u64 = u64::MAX;

/// Where the servers listen, as the first line of output says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub echo: String,
    pub bulk: String,
    pub log: String,
    pub http: String,
}

impl Addresses {
    pub fn parse(line: &str) -> Option<Self> {
        let mut values = line.split_whitespace();
        let mut take = |key: &str| Some(values.next()?.strip_prefix(key)?.to_owned());
        Some(Self {
            echo: take("echo=")?,
            bulk: take("bulk=")?,
            log: take("log=")?,
            http: take("http=")?,
        })
    }
}

pub fn run() -> Result<(), Box<dyn Error>> {
    let echo = TcpListener::bind("127.0.0.1:0")?;
    let bulk = TcpListener::bind("127.0.0.1:0")?;
    let log = UdpSocket::bind("127.0.0.1:0")?;
    let http = TcpListener::bind("127.0.0.1:0")?;
    print!("echo={} bulk={} ", echo.local_addr()?, bulk.local_addr()?);
    println!("log={} http={}", log.local_addr()?, http.local_addr()?);
    thread::spawn(move || drop_datagrams(&log));
    thread::spawn(move || serve_echo(&echo));
    thread::spawn(move || http::serve(&http));
    thread::spawn(move || {
        for stream in bulk.incoming().flatten() {
            thread::spawn(move || serve_bulk(stream));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn drop_datagrams(log: &UdpSocket) {
    let mut line = [0; 2048];
    while log.recv(&mut line).is_ok() {}
}

fn serve_bulk(mut stream: TcpStream) -> io::Result<()> {
    let mut order = [0; 9];
    stream.read_exact(&mut order)?;
    let [kind, count @ ..] = order;
    let count = u64::from_be_bytes(count);
    match kind {
        b'D' => send_bulk(&mut stream, count),
        b'U' => {
            discard(&stream, count)?;
            stream.write_all(b".")
        }
        _ => Ok(()),
    }
}

/// Writes so many bytes.
pub fn send_bulk(stream: &mut TcpStream, count: u64) -> io::Result<()> {
    let chunk = vec![b'x'; BULK_CHUNK_BYTES];
    let mut left = count;
    while left > 0 {
        let part = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= stream.write(&chunk[..part])? as u64;
    }
    Ok(())
}

/// Reads so many bytes without looking at them: the kernel drops them uncopied.
pub fn discard(stream: &TcpStream, count: u64) -> io::Result<()> {
    let mut room = vec![0; BULK_CHUNK_BYTES];
    let mut left = count;
    while left > 0 {
        let part = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let flags = rustix::net::RecvFlags::TRUNC;
        let (_, read) = rustix::net::recv(stream, &mut room[..part], flags)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= read as u64;
    }
    Ok(())
}

fn serve_echo(listener: &TcpListener) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    listener.set_nonblocking(true)?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut free = Vec::new();
    let mut events = [MaybeUninit::<Event>::uninit(); EVENTS_MAX];
    let mut buffer = vec![0; 65_536];
    loop {
        let ready = match epoll::wait(&epoll, &mut events, None) {
            Ok((ready, _)) => ready,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        // Places are given out again only after a round, when no event of theirs can be left.
        let mut freed = Vec::new();
        for event in ready {
            let token = event.data.u64();
            if token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let place = free.pop().unwrap_or(streams.len());
                    epoll::add(&epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
                    if place == streams.len() {
                        streams.push(None);
                    }
                    streams[place] = Some(stream);
                }
                continue;
            }
            let place = token as usize;
            let over = streams[place].as_mut().is_none_or(|stream| !echo(stream, &mut buffer));
            if over && streams[place].take().is_some() {
                freed.push(place);
            }
        }
        free.append(&mut freed);
    }
}

/// Writes back what is there; false when the stream is over.
fn echo(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Ok(0) => false,
        Ok(count) => stream.write(&buffer[..count]).is_ok_and(|written| written == count),
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_line_reads_back() {
        let [echo, bulk, log, http] = ["a:1", "b:2", "c:3", "d:4"].map(str::to_owned);
        let expected = Addresses { echo, bulk, log, http };
        assert_eq!(Addresses::parse("echo=a:1 bulk=b:2 log=c:3 http=d:4\n"), Some(expected));
        assert_eq!(Addresses::parse("echo=a:1 log=c:3"), None);
    }
}
