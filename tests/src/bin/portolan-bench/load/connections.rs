//! New connections: connect, one exchange, close by the client; a number of them at a time.
//!
//! Non-blocking, one thread: a thread per connection would make the scheduler part of the measurement.

use std::error::Error;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{MESSAGE_BYTES, STALL_MAX};

pub struct Connections {
    target: SocketAddr,
    epoll: OwnedFd,
    places: Vec<Option<Attempt>>,
}

struct Attempt {
    socket: OwnedFd,
    state: State,
}

/// What we wait for.
enum State {
    /// The connection to stand.
    Connecting,
    /// The answer; so many bytes of it have come.
    Answering(usize),
    /// The proxy's end, after ours: so that the next connection meets a proxy that is done with this one.
    Closing,
}

impl Connections {
    pub fn new(target: SocketAddr, parallel: usize) -> Result<Self, Box<dyn Error>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { target, epoll, places: (0..parallel.max(1)).map(|_| None).collect() })
    }

    pub fn step(&mut self, count: u64) -> Result<u64, Box<dyn Error>> {
        let stall = Timespec::try_from(STALL_MAX)?;
        let mut events = [MaybeUninit::<Event>::uninit(); 256];
        let (mut begun, mut done) = (0, 0);
        for place in 0..self.places.len() {
            if begun < count {
                self.begin(place)?;
                begun += 1;
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
                let place = event.data.u64() as usize;
                let Some(attempt) = self.places[place].as_mut() else { continue };
                if !attempt.proceed()? {
                    continue;
                }
                self.places[place] = None;
                done += 1;
                if begun < count {
                    self.begin(place)?;
                    begun += 1;
                }
            }
        }
        Ok(done)
    }

    fn begin(&mut self, place: usize) -> Result<(), Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &self.target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&self.epoll, &socket, EventData::new_u64(place as u64), edges)?;
        self.places[place] = Some(Attempt { socket, state: State::Connecting });
        Ok(())
    }
}

impl Attempt {
    /// Whether it is over.
    fn proceed(&mut self) -> Result<bool, Box<dyn Error>> {
        if let State::Connecting = self.state {
            match rustix::net::send(&self.socket, &[b'm'; MESSAGE_BYTES], SendFlags::NOSIGNAL) {
                Ok(_) => self.state = State::Answering(0),
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        let mut room = [0; MESSAGE_BYTES];
        loop {
            let read = match rustix::net::recv(&self.socket, &mut room, RecvFlags::empty()) {
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            match (&mut self.state, read) {
                (State::Closing, 0) => return Ok(true),
                (State::Answering(come), 1..) => {
                    *come += read;
                    if *come == MESSAGE_BYTES {
                        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write)?;
                        self.state = State::Closing;
                    }
                }
                _ => return Err("the proxy ended a connection before its answer".into()),
            }
        }
    }
}
