//! Binding TCP addresses.
//!
//! Shell. The first socket of an address is bound without SO_REUSEPORT, so that the kernel refuses it
//! beside anybody else's; it gets the option afterwards, so that its siblings, and a successor of the
//! same user that says so, may join. It does not listen yet when this returns.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use portolan_shared::model::Bind;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::error::Why;
use super::key::{Key, covers};

/// How a socket may come beside others of its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// It may not.
    Nobody,
    /// Sockets that carry SO_REUSEPORT and are this user's.
    ReusePort,
}

/// A bound socket that does not listen yet.
pub fn bind(key: &Key, address: SocketAddr, beside: Beside) -> Result<OwnedFd, Why> {
    let v6 = address.is_ipv6();
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)
        .map_err(Why::io("creating a socket"))?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(Why::io("setting SO_REUSEADDR"))?;
    if beside == Beside::ReusePort {
        sockopt::set_socket_reuseport(&socket, true).map_err(Why::io("setting SO_REUSEPORT"))?;
    }
    let reference = socket2::SockRef::from(&socket);
    if let Some(interface) = &key.interface {
        reference
            .bind_device(Some(interface.as_bytes()))
            .map_err(|error| Why::Interface { interface: interface.clone(), error })?;
    }
    if let (true, Some(v6only)) = (v6, key.v6only) {
        sockopt::set_ipv6_v6only(&socket, v6only).map_err(Why::io("setting IPV6_V6ONLY"))?;
    }
    if key.transparent {
        let set = if v6 {
            reference.set_ip_transparent_v6(true)
        } else {
            reference.set_ip_transparent_v4(true)
        };
        set.map_err(Why::io("setting IP_TRANSPARENT"))?;
    }
    match rustix::net::bind(&socket, &address) {
        Ok(()) => {}
        Err(Errno::ADDRINUSE) => return Err(Why::InUse { what: address.to_string(), owner: None }),
        Err(error) => return Err(Why::io("bind")(error)),
    }
    sockopt::set_socket_reuseport(&socket, true).map_err(Why::io("setting SO_REUSEPORT"))?;
    Ok(socket)
}

/// Lets it accept; another process may have come first since it was bound.
pub fn listen(socket: &OwnedFd, backlog: i32, bind: &Bind) -> Result<(), Why> {
    match rustix::net::listen(socket, backlog) {
        Ok(()) => Ok(()),
        Err(Errno::ADDRINUSE) => Err(Why::InUse { what: bind.written.clone(), owner: None }),
        Err(error) => Err(Why::io("listen")(error)),
    }
}

/// The inode number by which the kernel's lists name a socket.
pub fn inode(socket: &OwnedFd) -> Option<u64> {
    let stat = fstat(socket).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::Socket).then_some(stat.st_ino)
}

/// Whether a socket listens on this address, or on one that covers it, that is not one of `ours`.
///
/// For an address that overlaps one of our own: there SO_REUSEPORT is needed from the start and the
/// kernel no longer tells a foreign owner from ourselves.
pub fn is_foreign(address: SocketAddr, ours: &[u64]) -> io::Result<bool> {
    Ok(listeners_of(address)?.iter().any(|inode| !ours.contains(inode)))
}

/// The inodes of sockets that listen on this address, or on one that covers it.
pub fn listeners_of(address: SocketAddr) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for path in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines().skip(1) {
            if let Some((ip, port, inode)) = listening(&line?)
                && port == address.port()
                && covers(ip, address.ip())
            {
                found.push(inode);
            }
        }
    }
    Ok(found)
}

/// Address, port and inode of a line of /proc/net/tcp that is in state LISTEN (0A).
fn listening(line: &str) -> Option<(IpAddr, u16, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (ip, port) = fields.nth(1)?.split_once(':')?;
    if fields.nth(1)? != "0A" {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    Some((address(ip)?, u16::from_str_radix(port, 16).ok()?, inode))
}

/// The kernel prints addresses as 32-bit words of its own byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    let words = hex.len() / 8;
    for (word, place) in bytes.chunks_exact_mut(4).enumerate().take(words) {
        let digits = hex.get(word * 8..word * 8 + 8)?;
        place.copy_from_slice(&u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    }
    match hex.len() {
        8 => Some(IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]])),
        32 => Some(IpAddr::from(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpListener};
    use std::os::fd::OwnedFd;

    use super::{inode, is_foreign, listening};

    #[test]
    #[cfg(target_endian = "little")]
    fn a_listening_line_of_the_kernels_list_is_read() {
        let line = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                    1000        0 31337 1 0000000000000000 100 0 0 10 0";
        let (ip, port, inode) = listening(line).expect("a line in state LISTEN");
        assert_eq!((ip.to_string().as_str(), port, inode), ("127.0.0.1", 8080, 31337));
        assert_eq!(listening(&line.replace(" 0A ", " 01 ")), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_ipv6_is_read() {
        let line = "0: 00000000000000000000000001000000:0050 0:0 0A 0:0 0:0 0 0 0 7 1";
        let (ip, port, inode) = listening(line).expect("a line in state LISTEN");
        assert_eq!((ip, port, inode), (Ipv6Addr::LOCALHOST.into(), 80, 7));
    }

    #[test]
    fn a_listener_is_foreign_unless_it_is_named_as_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let socket = OwnedFd::from(listener);
        let own = inode(&socket).expect("a socket has an inode");
        assert!(is_foreign(address, &[]).expect("/proc is readable"));
        assert!(!is_foreign(address, &[own]).expect("/proc is readable"));
        let wildcard = (Ipv6Addr::UNSPECIFIED, address.port()).into();
        assert!(is_foreign(wildcard, &[]).expect("/proc is readable"));
    }
}
