//! What the system knows of connections, whatever those at their ends have noticed yet.
//!
//! Shell: reads /proc/net/tcp.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// `TCP_ESTABLISHED`: neither end has closed it.
const ESTABLISHED: u8 = 1;

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    /// 0: in an accept queue, or without an owner.
    inode: u64,
}

/// The accepted connections of these addresses: sockets with their clients.
pub fn accepted(fronts: &[SocketAddr]) -> BTreeMap<u64, SocketAddr> {
    let ours = |one: &Line| fronts.contains(&one.local) && one.remote.port() != 0 && one.inode != 0;
    read().into_iter().filter(ours).map(|one| (one.inode, one.remote)).collect()
}

/// The clients whose connections to these addresses nobody has ended.
pub fn established(fronts: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let ours = |one: &Line| fronts.contains(&one.remote) && one.state == ESTABLISHED;
    read().into_iter().filter(ours).map(|one| one.local).collect()
}

fn read() -> Vec<Line> {
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    text.lines().skip(1).filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let inode = words.nth(5)?.parse().ok()?;
    Some(Line { local, remote, state, inode })
}

/// `0100007F:1F90` is 127.0.0.1:8080: an address in the order of the machine, a port in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port))
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::{accepted, established};
    use crate::deadline;

    #[test]
    fn a_connection_is_established_until_one_of_both_ends_it() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let front = listener.local_addr().expect("its address");
        let client = TcpStream::connect(front).expect("a connection");
        let own = client.local_addr().expect("its address");
        let server = listener.accept().expect("the connection").0;
        assert!(accepted(&[front]).values().any(|one| *one == own));
        assert_eq!(established(&[front]).into_iter().collect::<Vec<_>>(), [own]);
        server.shutdown(Shutdown::Write).expect("an end");
        deadline::until("the end has come", || established(&[front]).is_empty());
    }
}
