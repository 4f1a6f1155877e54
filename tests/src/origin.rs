//! The servers behind the proxy, one thread per connection, with what they saw.
//!
//! Shell. An origin ends its connections and threads when it is dropped.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::client::Stream;
use crate::{address, deadline, pattern};

/// Between two looks at whether to stop.
const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The same for those who wait at a gate.
const GATE_POLL: Duration = Duration::from_millis(50);

/// How a connection ended, as the server saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In order.
    Orderly,
    /// By RST, or by a write to a connection that was gone.
    Reset,
    /// Otherwise.
    Failed(io::ErrorKind),
}

/// What a server has seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    accepted: AtomicU64,
    open: AtomicU64,
    peak: AtomicU64,
    /// Bytes the handler has handed to the kernel.
    pub sent: AtomicU64,
    /// Bytes the handler has taken from the kernel.
    pub received: AtomicU64,
    stop: AtomicBool,
    endings: Mutex<Vec<Ending>>,
    peers: Mutex<Vec<SocketAddr>>,
    /// Those that are open, by their number.
    streams: Mutex<BTreeMap<u64, Stream>>,
}

impl Seen {
    /// Whether the server is to end.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Says that this connection no longer counts, before it is closed: the other end may take the
    /// freed place at once.
    pub fn leave(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// One connection more: which one it is.
    fn enter(&self) -> u64 {
        let number = self.accepted.fetch_add(1, Ordering::SeqCst);
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(open, Ordering::SeqCst);
        number
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(false)?;
                Ok((Stream::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => {
                let stream = listener.accept()?.0;
                stream.set_nonblocking(false)?;
                Ok((Stream::Unix(stream), None))
            }
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens; unused for a UNIX socket.
    pub address: SocketAddr,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Runs `handler` for each connection to this listener. The handler may call [`Seen::leave`]
    /// itself when it returns `Ok(true)`.
    fn run(
        listener: Listener,
        address: SocketAddr,
        handler: impl Fn(&mut Stream, &Seen) -> io::Result<bool> + Send + Sync + 'static,
    ) -> Self {
        match &listener {
            Listener::Tcp(listener) => listener.set_nonblocking(true),
            Listener::Unix(listener) => listener.set_nonblocking(true),
        }
        .expect("a listener that does not block");
        let seen = Arc::new(Seen::default());
        let handler = Arc::new(handler);
        let thread = std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                while !seen.stopping() {
                    let fd = match &listener {
                        Listener::Tcp(listener) => listener.as_fd(),
                        Listener::Unix(listener) => listener.as_fd(),
                    };
                    let mut waited = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
                    // Interrupted or timed out: the accept below says there is nothing.
                    let _ = rustix::event::poll(&mut waited, Some(&POLL));
                    while let Ok((stream, peer)) = listener.accept() {
                        serve(stream, peer, &seen, &handler);
                    }
                }
            }
        });
        Self { address, seen, thread: Some(thread) }
    }

    /// A server at this address.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn at(
        address: SocketAddr,
        handler: impl Fn(&mut Stream, &Seen) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::counting_at(address, move |stream, seen| handler(stream, seen).map(|()| false))
    }

    /// A server whose handler says itself when its connection no longer counts.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn counting_at(
        address: SocketAddr,
        handler: impl Fn(&mut Stream, &Seen) -> io::Result<bool> + Send + Sync + 'static,
    ) -> Self {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            Some(socket2::Protocol::TCP),
        )
        .expect("a socket");
        socket.set_reuse_address(true).expect("the option");
        socket.bind(&address.into()).unwrap_or_else(|error| panic!("{address}: {error}"));
        socket.listen(4096).expect("a listener");
        let listener: TcpListener = socket.into();
        let address = listener.local_addr().expect("its address");
        Self::run(Listener::Tcp(listener), address, handler)
    }

    /// A server on an address of its own.
    pub fn with(
        handler: impl Fn(&mut Stream, &Seen) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::at(address::free(), handler)
    }

    /// A server on a UNIX socket.
    ///
    /// # Panics
    /// When it cannot be bound.
    pub fn unix(
        path: &Path,
        handler: impl Fn(&mut Stream, &Seen) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).expect("a UNIX socket");
        crate::setup::open_to_all(path);
        Self::run(
            Listener::Unix(listener),
            SocketAddr::from(([0, 0, 0, 0], 0)),
            move |stream, seen| handler(stream, seen).map(|()| false),
        )
    }

    /// Sends back what it gets, and ends when the client has; no longer counted just before that can
    /// be seen.
    pub fn echo() -> Self {
        Self::counting_at(address::free(), |stream, seen| {
            send_back(stream, seen)?;
            seen.leave();
            // The other end may have gone meanwhile.
            let _ = stream.end_sending();
            Ok(true)
        })
    }

    /// Says its name and closes.
    pub fn named(name: &'static str) -> Self {
        Self::with(move |stream, _| stream.write_all(name.as_bytes()))
    }

    /// Sends the seed's pattern, ends sending, and reads until the client ends too.
    pub fn source(seed: u64, length: u64) -> Self {
        Self::with(move |stream, seen| {
            pattern::send(&mut *stream, seed, length, |sent| {
                seen.sent.store(sent, Ordering::Relaxed);
            })?;
            stream.end_sending()?;
            drain(stream, seen)
        })
    }

    /// Compares what it gets with the seed's pattern, and only at the end says `equal` or why not.
    pub fn sink(seed: u64, length: u64) -> Self {
        Self::with(move |stream, seen| {
            let verdict = match pattern::check(&mut *stream, seed, length) {
                Ok(()) => "equal".to_owned(),
                Err(difference) => {
                    // What is still on its way would turn the answer into a RST.
                    drain(stream, seen)?;
                    format!("{difference:?}")
                }
            };
            stream.write_all(verdict.as_bytes())
        })
    }

    /// Accepts, and neither reads nor writes.
    pub fn silent() -> Self {
        Self::with(silent)
    }

    /// Reads and never answers.
    pub fn mute() -> Self {
        Self::with(drain)
    }

    /// Reads the first byte, then closes with a RST.
    pub fn resetting() -> Self {
        Self::with(|stream, _| {
            stream.read_exact(&mut [0])?;
            stream.try_clone()?.reset();
            Ok(())
        })
    }

    /// Holds each connection until the gate lets one more through, then answers `done` and closes.
    pub fn gated() -> (Self, Gate) {
        let gate = Gate::default();
        let origin = Self::counting_at(address::free(), {
            let gate = gate.clone();
            move |stream, seen| {
                gate.pass(seen);
                // Counted as gone before the end can be seen: the place may be taken at once.
                seen.leave();
                stream.write_all(b"done")?;
                Ok(true)
            }
        });
        (origin, gate)
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// Connections now.
    pub fn open(&self) -> u64 {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// The most there ever were at once.
    pub fn peak(&self) -> u64 {
        self.seen.peak.load(Ordering::SeqCst)
    }

    /// Bytes sent, where the handler counts them.
    pub fn sent(&self) -> u64 {
        self.seen.sent.load(Ordering::Relaxed)
    }

    /// Bytes received, where the handler counts them.
    pub fn received(&self) -> u64 {
        self.seen.received.load(Ordering::Relaxed)
    }

    /// Where the connections came from, in order.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.seen.peers.lock().expect("the peers").clone()
    }

    /// Waits for so many connections at once.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_open(&self, count: u64) {
        deadline::until(&format!("{count} connections at the server"), || self.open() == count);
    }

    /// How the first connection that ended did so.
    ///
    /// # Panics
    /// When none ends.
    pub fn wait_ending(&self) -> Ending {
        deadline::eventually("the end of a connection at the server", || {
            self.seen.endings.lock().expect("the endings").first().copied()
        })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already printed.
            let _ = thread.join();
        }
        if let Ok(streams) = self.seen.streams.lock() {
            for stream in streams.values() {
                // The peer may have closed it already.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Lets the connections of [`Origin::gated`] go, so many at a time.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    passes: Arc<(Mutex<u64>, Condvar)>,
}

impl Gate {
    /// Lets this many more through.
    ///
    /// # Panics
    /// Never in a sound program.
    pub fn open(&self, count: u64) {
        let mut passes = self.passes.0.lock().expect("the passes");
        *passes = passes.saturating_add(count);
        self.passes.1.notify_all();
    }

    /// Whether it lets one through within a moment.
    pub(crate) fn passes_soon(&self) -> bool {
        let passes = self.passes.0.lock().expect("the passes");
        let mut passes = self.passes.1.wait_timeout_while(passes, GATE_POLL, |passes| *passes == 0);
        let passes = &mut passes.as_mut().expect("the passes").0;
        let free = **passes > 0;
        **passes = passes.saturating_sub(1);
        free
    }

    /// Waits to be let through; does not wait for ever when the origin ends.
    pub(crate) fn pass(&self, seen: &Seen) {
        let mut passes = self.passes.0.lock().expect("the passes");
        while *passes == 0 && !seen.stopping() {
            passes = self.passes.1.wait_timeout(passes, GATE_POLL).expect("the passes").0;
        }
        *passes = passes.saturating_sub(1);
    }
}

/// One connection in a thread of its own.
fn serve<H>(mut stream: Stream, peer: Option<SocketAddr>, seen: &Arc<Seen>, handler: &Arc<H>)
where
    H: Fn(&mut Stream, &Seen) -> io::Result<bool> + Send + Sync + 'static,
{
    let number = seen.enter();
    if let Ok(stream) = stream.try_clone() {
        seen.streams.lock().expect("the streams").insert(number, stream);
    }
    if let Some(peer) = peer {
        seen.peers.lock().expect("the peers").push(peer);
    }
    let (seen, handler) = (Arc::clone(seen), Arc::clone(handler));
    std::thread::spawn(move || {
        stream.limit(deadline::LIMIT * 10);
        let outcome = handler(&mut stream, &seen);
        let ending = match &outcome {
            Ok(_) => Ending::Orderly,
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ending::Reset,
                other => Ending::Failed(other),
            },
        };
        seen.endings.lock().expect("the endings").push(ending);
        // The other end sees the end only now.
        seen.streams.lock().expect("the streams").remove(&number);
        if !matches!(outcome, Ok(true)) {
            seen.leave();
        }
    });
}

/// Sends back what it gets, and ends when the client has.
pub fn echo(stream: &mut Stream, seen: &Seen) -> io::Result<()> {
    send_back(stream, seen)?;
    stream.end_sending()
}

fn send_back(stream: &mut Stream, seen: &Seen) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        seen.received.fetch_add(length as u64, Ordering::Relaxed);
        stream.write_all(&buffer[..length])?;
        seen.sent.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Reads to the end.
pub fn drain(stream: &mut Stream, seen: &Seen) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        seen.received.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Does nothing until the origin ends or the peer has gone in both directions.
pub fn silent(stream: &mut Stream, seen: &Seen) -> io::Result<()> {
    while !seen.stopping() {
        let mut waited = [PollFd::new(&*stream, PollFlags::empty())];
        rustix::event::poll(&mut waited, Some(&POLL))?;
        if waited[0].revents().contains(PollFlags::ERR) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if waited[0].revents().contains(PollFlags::HUP) {
            return Ok(());
        }
    }
    Ok(())
}

/// A listener whose accept queue is full: whoever connects gets no answer, as from a machine behind a
/// firewall that drops.
#[derive(Debug)]
pub struct Blackhole {
    /// Where nobody answers.
    pub address: SocketAddr,
    _listener: socket2::Socket,
    _fillers: Vec<socket2::Socket>,
}

impl Blackhole {
    /// On an address of its own.
    ///
    /// # Panics
    /// When connections to it still succeed after many have filled it.
    pub fn open() -> Self {
        let new = || {
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                .expect("a socket")
        };
        let listener = new();
        let any = SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
        listener.bind(&any.into()).expect("an address");
        listener.listen(0).expect("a listener");
        let address = listener.local_addr().ok().and_then(|address| address.as_socket());
        let address = address.expect("its address");
        let mut fillers = Vec::new();
        for _ in 0..64 {
            let filler = new();
            let wait = Duration::from_millis(300);
            let answered = filler.connect_timeout(&address.into(), wait).is_ok();
            fillers.push(filler);
            if !answered {
                return Self { address, _listener: listener, _fillers: fillers };
            }
        }
        panic!("the accept queue of {address} does not fill");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;

    #[test]
    fn the_peers_work_without_a_proxy_between_them() {
        let echo = Origin::echo();
        assert_eq!(client::ask(echo.address, b"hello").expect("an answer"), b"hello");
        assert_eq!(client::greeting(Origin::named("one").address), "one");
        let source = Origin::source(5, 300_000);
        let mut stream = client::connect(source.address);
        pattern::check(&mut stream, 5, 300_000).expect("the pattern");
        let sink = Origin::sink(6, 300_000);
        let mut stream = client::connect(sink.address);
        pattern::send(&mut stream, 6, 300_000, |_| {}).expect("all sent");
        stream.end_sending().expect("an end");
        assert_eq!(stream.rest().expect("a verdict"), b"equal");
        let resetting = Origin::resetting();
        let mut stream = client::connect(resetting.address);
        stream.write_all(b"x").expect("a byte");
        stream.expect_reset();
    }

    #[test]
    fn nobody_answers_in_a_black_hole() {
        let hole = Blackhole::open();
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        let tried = socket.connect_timeout(&hole.address.into(), Duration::from_millis(300));
        assert_eq!(tried.expect_err("no answer").kind(), io::ErrorKind::TimedOut);
    }
}
