//! The transport protocols as a table: how each accepts, connects and tells addresses.
//!
//! Shell. Binding is the master's; what is here needs no privilege but for a foreign source address.
//! Accepted sockets inherit TCP_NODELAY, keepalive, linger and buffer sizes from their listener (which
//! the master has set up), so that accepting is one system call.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use portolan_shared::model::{BindAddress, Keepalive};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, acceptfrom_with, connect,
    getpeername, getsockname, recv, socket_with, sockopt,
};

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6 and port.
    Ip(SocketAddr),
    /// A UNIX socket; clients have no name there.
    Unix,
}

impl Address {
    /// The IP address and port, unless it is a UNIX socket.
    pub fn ip(self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(address),
            Self::Unix => None,
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Protocol {
    /// As `show` commands name it.
    pub name: &'static str,
    /// Takes the next connection from an accept queue.
    pub accept: fn(BorrowedFd<'_>) -> Result<(OwnedFd, Address), Errno>,
    /// Starts a connection.
    pub connect: fn(Target<'_>, &ConnectOptions<'_>) -> Result<Connecting, Errno>,
    /// Our own end of an accepted connection.
    pub destination: fn(BorrowedFd<'_>) -> io::Result<Address>,
}

/// TCP over IPv4.
pub static TCPV4: Protocol =
    Protocol { name: "tcpv4", accept: accept_ip, connect: connect_ip, destination: destination_ip };
/// TCP over IPv6; an IPv4 client of a dual-stack listener is shown as IPv4.
pub static TCPV6: Protocol =
    Protocol { name: "tcpv6", accept: accept_ip, connect: connect_ip, destination: destination_ip };
/// UNIX stream sockets.
pub static UNIX: Protocol = Protocol {
    name: "unix",
    accept: accept_unix,
    connect: connect_unix,
    destination: |_| Ok(Address::Unix),
};

impl Target<'_> {
    /// The protocol that leads there.
    pub fn protocol(&self) -> &'static Protocol {
        match self {
            Self::Ip(SocketAddr::V4(_)) => &TCPV4,
            Self::Ip(SocketAddr::V6(_)) => &TCPV6,
            Self::Unix(_) => &UNIX,
        }
    }
}

/// The protocol of a listening socket, whatever the configuration calls it.
pub fn of_listener(address: &BindAddress, socket: BorrowedFd<'_>) -> &'static Protocol {
    match address {
        BindAddress::Tcp(SocketAddr::V4(_)) => &TCPV4,
        BindAddress::Tcp(SocketAddr::V6(_)) => &TCPV6,
        BindAddress::Unix(_) => &UNIX,
        BindAddress::Fd(_) | BindAddress::Systemd(_) => match sockopt::socket_domain(socket) {
            Ok(AddressFamily::INET6) => &TCPV6,
            Ok(AddressFamily::UNIX) => &UNIX,
            _ => &TCPV4,
        },
    }
}

fn accept_ip(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Address), Errno> {
    let (socket, address) =
        acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let address = address.and_then(|address| SocketAddr::try_from(address).ok());
    // The kernel always fills in the address of an accepted TCP connection.
    Ok((socket, address.map_or(Address::Unix, |address| Address::Ip(unmapped(address)))))
}

fn accept_unix(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Address), Errno> {
    let socket = rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    Ok((socket, Address::Unix))
}

fn destination_ip(socket: BorrowedFd<'_>) -> io::Result<Address> {
    let address = SocketAddr::try_from(getsockname(socket)?)?;
    Ok(Address::Ip(unmapped(address)))
}

/// `::ffff:a.b.c.d` as the IPv4 address it stands for.
fn unmapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(ip.into(), address.port()),
            None => address,
        },
        IpAddr::V4(_) => address,
    }
}

/// Where a connection to a server goes.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// TCP.
    Ip(SocketAddr),
    /// A UNIX stream socket.
    Unix(&'a Path),
}

/// How a connection to a server is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectOptions<'a> {
    /// Local address; `transparent` for one that is not ours.
    pub source: Option<SocketAddr>,
    /// IP_TRANSPARENT.
    pub transparent: bool,
    /// SO_BINDTODEVICE.
    pub interface: Option<&'a str>,
    /// Probes.
    pub keepalive: Keepalive,
    /// TCP_USER_TIMEOUT.
    pub user_timeout: Option<Duration>,
    /// TCP_MAXSEG.
    pub mss: Option<u16>,
    /// TCP_FASTOPEN_CONNECT.
    pub fastopen: bool,
    /// SO_SNDBUF, bytes.
    pub sndbuf: Option<u32>,
    /// SO_RCVBUF, bytes.
    pub rcvbuf: Option<u32>,
    /// Nothing will be sent: the last part of the handshake waits, so that of a connection that is
    /// reset at once the server's program never hears.
    pub quiet: bool,
}

/// What connecting came to at once.
#[derive(Debug)]
pub enum Connecting {
    /// The kernel is at it; writability tells the end.
    InProgress(OwnedFd),
    /// It stands.
    Established(OwnedFd),
}

fn connect_ip(target: Target<'_>, options: &ConnectOptions<'_>) -> Result<Connecting, Errno> {
    let Target::Ip(address) = target else { return Err(Errno::AFNOSUPPORT) };
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = stream_socket(family)?;
    set_up(&socket, address, options)?;
    outcome(connect(&socket, &address), socket)
}

/// A full accept queue of a UNIX server fails at once: there is nothing to wait on.
fn connect_unix(target: Target<'_>, _: &ConnectOptions<'_>) -> Result<Connecting, Errno> {
    let Target::Unix(path) = target else { return Err(Errno::AFNOSUPPORT) };
    let socket = stream_socket(AddressFamily::UNIX)?;
    outcome(connect(&socket, &SocketAddrUnix::new(path)?), socket)
}

fn stream_socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
}

fn outcome(result: Result<(), Errno>, socket: OwnedFd) -> Result<Connecting, Errno> {
    match result {
        Ok(()) => Ok(Connecting::Established(socket)),
        Err(Errno::INPROGRESS) => Ok(Connecting::InProgress(socket)),
        Err(error) => Err(error),
    }
}

fn set_up(
    socket: &OwnedFd,
    address: SocketAddr,
    options: &ConnectOptions<'_>,
) -> Result<(), Errno> {
    if options.quiet {
        sockopt::set_tcp_quickack(socket, false)?;
    } else {
        sockopt::set_tcp_nodelay(socket, true)?;
    }
    let keepalive = options.keepalive;
    if keepalive.on {
        sockopt::set_socket_keepalive(socket, true)?;
        if let Some(idle) = keepalive.idle_s {
            sockopt::set_tcp_keepidle(socket, Duration::from_secs(idle.into()))?;
        }
        if let Some(interval) = keepalive.interval_s {
            sockopt::set_tcp_keepintvl(socket, Duration::from_secs(interval.into()))?;
        }
        if let Some(count) = keepalive.count {
            sockopt::set_tcp_keepcnt(socket, count)?;
        }
    }
    if let Some(timeout) = options.user_timeout {
        sockopt::set_tcp_user_timeout(
            socket,
            u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
        )?;
    }
    if let Some(bytes) = options.sndbuf {
        sockopt::set_socket_send_buffer_size(socket, bytes as usize)?;
    }
    if let Some(bytes) = options.rcvbuf {
        sockopt::set_socket_recv_buffer_size(socket, bytes as usize)?;
    }
    let other = socket2::SockRef::from(socket);
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
    if let Some(mss) = options.mss {
        other.set_tcp_mss(mss.into()).map_err(errno)?;
    }
    if options.fastopen {
        nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::TcpFastOpenConnect, &true)
            .map_err(|error| Errno::from_raw_os_error(error as i32))?;
    }
    if let Some(interface) = options.interface {
        other.bind_device(Some(interface.as_bytes())).map_err(errno)?;
    }
    if options.transparent {
        match address {
            SocketAddr::V4(_) => other.set_ip_transparent_v4(true).map_err(errno)?,
            SocketAddr::V6(_) => other.set_ip_transparent_v6(true).map_err(errno)?,
        }
    }
    if let Some(source) = options.source {
        if source.port() == 0 {
            // The port is chosen when the destination is known, so that two connections to
            // different servers may share one.
            nix::sys::socket::setsockopt(
                socket,
                nix::sys::socket::sockopt::IpBindAddressNoPort,
                &true,
            )
            .map_err(|error| Errno::from_raw_os_error(error as i32))?;
        } else {
            sockopt::set_socket_reuseaddr(socket, true)?;
        }
        rustix::net::bind(socket, &source)?;
    }
    Ok(())
}

/// Why a connection that was in progress failed; `None`: it stands.
pub fn connect_error(socket: impl AsFd) -> Option<Errno> {
    match sockopt::socket_error(&socket) {
        Ok(Ok(())) => getpeername(&socket).err(),
        Ok(Err(error)) | Err(error) => Some(error),
    }
}

/// The error that a connection has met and not told yet.
pub fn pending_error(socket: impl AsFd) -> Option<Errno> {
    match sockopt::socket_error(&socket) {
        Ok(result) => result.err(),
        Err(error) => Some(error),
    }
}

/// What is to be read, without taking it.
pub fn peek(socket: impl AsFd) -> Result<usize, Errno> {
    let mut byte = [0; 1];
    recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT).map(|(count, _)| count)
}

/// Whether the kernel takes a good deal at once; also where the connection is dead, as sending then tells.
pub fn has_room(socket: impl AsFd) -> bool {
    let mut asked = [PollFd::new(&socket, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Makes the coming close abrupt: what was not sent is thrown away and the peer gets a RST. A UNIX
/// socket has none; its peer sees the end, or an error where it still sends.
pub fn reset_on_close(socket: impl AsFd) {
    // A connection that is dead already has nobody to tell.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn each_protocol_accepts_and_names_its_ends() {
        for (bind, protocol) in [("127.0.0.1:0", &TCPV4), ("[::1]:0", &TCPV6)] {
            let listener = TcpListener::bind(bind).unwrap();
            let there = listener.local_addr().unwrap();
            let client = (protocol.connect)(Target::Ip(there), &ConnectOptions::default()).unwrap();
            let (Connecting::InProgress(client) | Connecting::Established(client)) = client;
            let (accepted, from) = (protocol.accept)(listener.as_fd()).unwrap();
            let here = SocketAddr::try_from(getsockname(&client).unwrap()).unwrap();
            assert_eq!(from, Address::Ip(here));
            assert_eq!((protocol.destination)(accepted.as_fd()).unwrap(), Address::Ip(there));
        }
    }

    #[test]
    fn a_unix_client_has_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let (_, from) = (UNIX.accept)(listener.as_fd()).unwrap();
        assert_eq!(from, Address::Unix);
    }

    #[test]
    fn an_inherited_socket_is_known_by_its_family() {
        let directory = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(directory.path().join("s")).unwrap();
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(of_listener(&BindAddress::Fd(9), unix.as_fd()).name, "unix");
        assert_eq!(of_listener(&BindAddress::Fd(9), v4.as_fd()).name, "tcpv4");
    }

    #[test]
    fn a_refused_connection_says_why() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        match (TCPV4.connect)(Target::Ip(port), &ConnectOptions::default()) {
            Err(error) => assert_eq!(error, Errno::CONNREFUSED),
            Ok(Connecting::InProgress(socket) | Connecting::Established(socket)) => {
                assert_eq!(connect_error(&socket), Some(Errno::CONNREFUSED));
            }
        }
    }

    #[test]
    fn an_ipv4_client_of_a_dual_stack_listener_is_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:80".parse().unwrap();
        assert_eq!(unmapped(mapped), "192.0.2.1:80".parse().unwrap());
        let native: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        assert_eq!(unmapped(native), native);
    }
}
