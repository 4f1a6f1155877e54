//! The client's side: streams over TCP or UNIX sockets that never block for longer than the limit,
//! and the ways to end them.
//!
//! Shell.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::SockRef;

use crate::deadline;

/// A connection of either family.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a UNIX socket.
    Unix(UnixStream),
}

impl Stream {
    /// Reads and writes fail after this time.
    ///
    /// # Panics
    /// When the socket is no longer one.
    pub fn limit(&self, time: Duration) {
        let socket = SockRef::from(self);
        socket.set_read_timeout(Some(time)).expect("a read timeout");
        socket.set_write_timeout(Some(time)).expect("a write timeout");
    }

    /// Ends sending, goes on receiving.
    pub fn end_sending(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    /// A small receive buffer: what is sent to us waits at the sender.
    ///
    /// # Panics
    /// When the option cannot be set.
    pub fn shrink(&self, bytes: usize) {
        SockRef::from(self).set_recv_buffer_size(bytes).expect("a small buffer");
    }

    /// Shuts one or both directions down.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        }
    }

    /// Closes so that the peer gets a RST.
    ///
    /// # Panics
    /// When the option cannot be set.
    pub fn reset(self) {
        SockRef::from(&self).set_linger(Some(Duration::ZERO)).expect("linger of zero");
    }

    /// Another handle on the same connection.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    /// The own end's address, of a TCP connection.
    ///
    /// # Panics
    /// For a UNIX socket.
    pub fn local_addr(&self) -> SocketAddr {
        match self {
            Self::Tcp(stream) => stream.local_addr().expect("the own address"),
            Self::Unix(_) => panic!("a UNIX socket has no IP address"),
        }
    }

    /// The other end's address, of a TCP connection.
    ///
    /// # Panics
    /// For a UNIX socket.
    pub fn peer_addr(&self) -> SocketAddr {
        match self {
            Self::Tcp(stream) => stream.peer_addr().expect("the peer's address"),
            Self::Unix(_) => panic!("a UNIX socket has no IP address"),
        }
    }

    /// Sends this and reads as many bytes back.
    pub fn exchange(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        self.write_all(message)?;
        let mut answer = vec![0; message.len()];
        self.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// Everything up to the end.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends and expects the same back.
    ///
    /// # Panics
    /// When anything else happens.
    pub fn expect_echo(&mut self, message: &[u8]) {
        let answer = self.exchange(message).expect("an echo");
        assert_eq!(answer, message, "the echo differs");
    }

    /// Expects the peer to end without a further byte.
    ///
    /// # Panics
    /// When anything else happens.
    pub fn expect_end(&mut self) {
        let mut byte = [0];
        let read = self.read(&mut byte).expect("the end of the stream");
        assert_eq!(read, 0, "a byte instead of the end");
    }

    /// Expects a RST; what was already sent to us is read first.
    ///
    /// # Panics
    /// When anything else happens.
    pub fn expect_reset(&mut self) {
        let error = self.rest().expect_err("a RST, not an orderly end");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }

    /// Expects to be closed, in order or not.
    ///
    /// # Panics
    /// When nothing happens within the limit.
    pub fn expect_closed(&mut self) {
        match self.rest() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("still open: {error}"),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A TCP connection, or why there is none.
pub fn try_connect(to: SocketAddr) -> io::Result<Stream> {
    let stream = TcpStream::connect_timeout(&to, deadline::LIMIT)?;
    stream.set_nodelay(true)?;
    let stream = Stream::Tcp(stream);
    stream.limit(deadline::LIMIT);
    Ok(stream)
}

/// A TCP connection.
///
/// # Panics
/// When it is refused or not answered.
pub fn connect(to: SocketAddr) -> Stream {
    try_connect(to).unwrap_or_else(|error| panic!("no connection to {to}: {error}"))
}

/// A TCP connection from this address.
///
/// # Panics
/// When it is refused or not answered.
pub fn connect_from(from: SocketAddr, to: SocketAddr) -> Stream {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(to),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )
    .expect("a socket");
    socket.bind(&from.into()).expect("the source address");
    socket
        .connect_timeout(&to.into(), deadline::LIMIT)
        .unwrap_or_else(|error| panic!("no connection from {from} to {to}: {error}"));
    let stream = Stream::Tcp(socket.into());
    stream.limit(deadline::LIMIT);
    stream
}

/// A connection over a UNIX socket.
///
/// # Panics
/// When it is refused.
pub fn connect_unix(path: &Path) -> Stream {
    let stream = UnixStream::connect(path)
        .unwrap_or_else(|error| panic!("no connection to {}: {error}", path.display()));
    let stream = Stream::Unix(stream);
    stream.limit(deadline::LIMIT);
    stream
}

/// A whole small life: connect, send, end sending, read to the end.
pub fn ask(to: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = try_connect(to)?;
    stream.write_all(message)?;
    stream.end_sending()?;
    stream.rest()
}

/// What a server says that speaks first and closes (see [`crate::Origin::named`]).
///
/// # Panics
/// When it does not.
pub fn greeting(from: SocketAddr) -> String {
    let bytes = connect(from).rest().unwrap_or_else(|error| panic!("no greeting: {error}"));
    String::from_utf8(bytes).expect("a name")
}
