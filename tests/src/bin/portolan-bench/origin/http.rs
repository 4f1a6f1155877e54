//! The HTTP server: every request is checked and answered from memory.
//!
//! Shell. One thread, edge-triggered; a read shorter than the buffer ends reading unless the end was
//! reported. What breaks a rule ends its connection without an answer, and the reason goes to stderr.

use std::io;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::{EVENTS_MAX, LISTENER};
use crate::http::{Ask, Incoming, Wrong};

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 18;

/// One connection of a proxy.
struct Peer {
    stream: TcpStream,
    incoming: Incoming,
    /// What the request being read asks for, once its head is whole.
    asked: Option<(Ask, bool)>,
    /// What is left of the answer, and whether it is the last.
    answer: &'static [u8],
    last: bool,
}

/// The last request that was good, came whole and is not the last of its connection.
#[derive(Default)]
struct Known {
    request: Vec<u8>,
    ask: Option<Ask>,
}

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    listener.set_nonblocking(true)?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut free = Vec::new();
    let mut events = [MaybeUninit::<Event>::uninit(); EVENTS_MAX];
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut known = Known::default();
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
                    let place = free.pop().unwrap_or(peers.len());
                    let edges =
                        EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    epoll::add(&epoll, &stream, EventData::new_u64(place as u64), edges)?;
                    if place == peers.len() {
                        peers.push(None);
                    }
                    peers[place] = Some(Peer::new(stream));
                }
                continue;
            }
            let place = token as usize;
            let Some(peer) = peers[place].as_mut() else { continue };
            if !peer.proceed(event.flags, &mut buffer, &mut known) {
                peers[place] = None;
                freed.push(place);
            }
        }
        free.append(&mut freed);
    }
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        Self { stream, incoming: Incoming::default(), asked: None, answer: &[], last: false }
    }

    /// Reads and writes what goes; false when the connection is over.
    fn proceed(&mut self, flags: EventFlags, buffer: &mut [u8], known: &mut Known) -> bool {
        let over = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let mut drained = false;
        loop {
            match self.write() {
                Ok(true) if self.last => return false,
                Ok(true) if drained => return true,
                Ok(true) => {}
                Ok(false) => return true,
                Err(_gone) => return false,
            }
            let read = match rustix::net::recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return false,
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return true,
                Err(_gone) => return false,
            };
            if let Err(wrong) = self.handle(&buffer[..read], known) {
                eprintln!("portolan-bench: a request is refused: {wrong}");
                return false;
            }
            drained = read < buffer.len() && !over;
        }
    }

    /// Takes bytes of a request; a whole one is answered.
    fn handle(&mut self, bytes: &[u8], known: &mut Known) -> Result<(), Wrong> {
        let fresh = self.incoming.is_fresh();
        if let Some(ask) = known.ask.filter(|_| fresh && known.request == bytes) {
            self.answer = ask.answer();
            return Ok(());
        }
        let asked = &mut self.asked;
        let whole = self.incoming.take(bytes, |head| {
            let (ask, content_bytes, last) = Ask::check_request(head)?;
            *asked = Some((ask, last));
            Ok(content_bytes)
        })?;
        if !whole {
            return Ok(());
        }
        let (ask, last) = self.asked.take().ok_or("no head")?;
        if fresh && !last && ask != Ask::Put {
            known.ask = Some(ask);
            known.request.clear();
            known.request.extend_from_slice(bytes);
        }
        self.answer = ask.answer();
        self.last = last;
        Ok(())
    }

    /// Whether nothing of an answer is left.
    fn write(&mut self) -> Result<bool, Errno> {
        while !self.answer.is_empty() {
            match rustix::net::send(&self.stream, self.answer, SendFlags::NOSIGNAL) {
                Ok(written) => self.answer = &self.answer[written..],
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
