//! Which kinds of descriptors this process has open.
//!
//! Shell. Nothing is opened for it: descriptors are asked one by one what they are.
//!
//! Limits: numbers are tried until [`GAP_MAX`] in a row were closed; the kernel gives out the lowest first.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};

/// Closed numbers in a row.
const GAP_MAX: u32 = 4096;

/// How many there are of each kind.
pub fn kinds() -> BTreeMap<&'static str, u32> {
    let mut kinds = BTreeMap::new();
    let mut closed = 0;
    for number in 0..RawFd::MAX {
        // SAFETY: the descriptor is only asked what it is while borrowed; a number that is not open is an
        // error of the first call.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        match kind(descriptor) {
            Some(kind) => {
                *kinds.entry(kind).or_default() += 1;
                closed = 0;
            }
            None if closed == GAP_MAX => break,
            None => closed += 1,
        }
    }
    kinds
}

/// As people read it: `15: 3 memfd, 12 socket`.
pub fn counted<K: Display>(kinds: &BTreeMap<K, u32>) -> String {
    let shown: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!("{}: {}", kinds.values().sum::<u32>(), shown.join(", "))
}

/// `None`: nothing is open there.
fn kind(descriptor: BorrowedFd<'_>) -> Option<&'static str> {
    let status = match fstat(descriptor) {
        Ok(status) => status,
        Err(Errno::BADF) => return None,
        Err(_) => return Some("other"),
    };
    Some(match FileType::from_raw_mode(status.st_mode) {
        FileType::Socket => socket(descriptor),
        FileType::Fifo => "pipe",
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::CharacterDevice => "device",
        // Events, pollers, timers, processes: they have no type.
        FileType::Unknown => "event",
        _ => "other",
    })
}

fn socket(descriptor: BorrowedFd<'_>) -> &'static str {
    let listens = sockopt::socket_acceptconn(descriptor).unwrap_or(false);
    let domain = sockopt::socket_domain(descriptor).unwrap_or(AddressFamily::UNSPEC);
    let kind = sockopt::socket_type(descriptor);
    match (domain, kind, listens) {
        (AddressFamily::UNIX, Ok(SocketType::SEQPACKET), _) => "channel",
        (AddressFamily::UNIX, _, true) => "unix listener",
        (AddressFamily::UNIX, Ok(SocketType::DGRAM), _) => "unix datagram",
        (AddressFamily::UNIX, _, _) => "unix connection",
        (AddressFamily::INET | AddressFamily::INET6, Ok(SocketType::DGRAM), _) => "udp",
        (AddressFamily::INET | AddressFamily::INET6, _, true) => "tcp listener",
        (AddressFamily::INET | AddressFamily::INET6, Ok(SocketType::STREAM), _) => "tcp connection",
        _ => "other socket",
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn what_is_open_is_counted_by_its_kind() {
        let count = |kind: &str| kinds().get(kind).copied().unwrap_or(0);
        let (listeners, sockets) = (count("tcp listener"), count("udp"));
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Other tests open theirs meanwhile.
        assert!(count("tcp listener") >= 1 && count("udp") >= 1, "{listeners} {sockets}");
    }
}
