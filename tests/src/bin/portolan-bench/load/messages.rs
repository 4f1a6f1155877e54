//! Ping-pong of small messages over kept connections, one in flight on each.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::{MESSAGE_BYTES, STALL_MAX};

/// Connections that have each carried one message already.
pub struct Messages {
    epoll: OwnedFd,
    streams: Vec<Ping>,
}

struct Ping {
    stream: TcpStream,
    /// Bytes of the answer that have come.
    come: usize,
}

impl Messages {
    pub fn open(target: SocketAddr, connections: usize) -> Result<Self, Box<dyn Error>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut streams = Vec::with_capacity(connections);
        for place in 0..connections {
            let mut stream = TcpStream::connect(target)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(STALL_MAX))?;
            exchange(&mut stream)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
            streams.push(Ping { stream, come: 0 });
        }
        Ok(Self { epoll, streams })
    }

    pub fn step(&mut self, count: u64) -> Result<u64, Box<dyn Error>> {
        let stall = Timespec::try_from(STALL_MAX)?;
        let mut events = [MaybeUninit::<Event>::uninit(); 256];
        let (mut sent, mut done) = (0, 0);
        for ping in &mut self.streams {
            if sent < count {
                ping.stream.write_all(&MESSAGE)?;
                sent += 1;
            }
        }
        while done < count {
            let ready = match epoll::wait(&self.epoll, &mut events, Some(&stall)) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if ready.is_empty() {
                return Err(format!("no answer; {done} of {count} done").into());
            }
            for event in ready {
                let ping = &mut self.streams[event.data.u64() as usize];
                if !ping.receive()? {
                    continue;
                }
                done += 1;
                if sent < count {
                    ping.stream.write_all(&MESSAGE)?;
                    sent += 1;
                }
            }
        }
        Ok(done)
    }
}

const MESSAGE: [u8; MESSAGE_BYTES] = [b'm'; MESSAGE_BYTES];

impl Ping {
    /// Whether the answer is whole.
    fn receive(&mut self) -> Result<bool, Box<dyn Error>> {
        let mut room = [0; MESSAGE_BYTES];
        match self.stream.read(&mut room[self.come..]) {
            Ok(0) => return Err("the proxy closed a kept connection".into()),
            Ok(count) => self.come += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let whole = self.come == MESSAGE_BYTES;
        if whole {
            self.come = 0;
        }
        Ok(whole)
    }
}

/// One message and its answer on a blocking stream.
pub fn exchange(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(&MESSAGE)?;
    let mut answer = [0; MESSAGE_BYTES];
    stream.read_exact(&mut answer)?;
    if answer == MESSAGE { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}
