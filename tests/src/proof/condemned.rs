//! Which clients lose their connections when a process is killed: those that it held at that moment.
//!
//! Shell. The process is frozen first (SIGSTOP), so that what is read of it stays true until its end.
//!
//! - A connection in an accept queue has no descriptor anywhere, and is not condemned.
//! - A connection of which a process of a newer generation has a descriptor too is on its way there, and
//!   is not condemned with the older one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use rustix::process::Signal;

use super::fault::Mistake;
use super::tcp_table;
use crate::{deadline, processes};

/// Those of one process.
#[derive(Clone, Debug)]
pub struct Condemned {
    /// Whose.
    pub pid: i32,
    /// When it stood still for good: whoever finds that it does may kill it before the look at it is over.
    pub at: Instant,
    clients: BTreeSet<SocketAddr>,
}

/// Freezes a process and sees whose connections it holds; `None`: it has gone.
pub fn freeze(pid: i32, fronts: &[SocketAddr], newer: &[i32]) -> Option<Condemned> {
    if !processes::signal(pid, Signal::STOP) {
        return None;
    }
    let stands = || match processes::process(pid) {
        None => Some(false),
        Some(one) if one.state == 'Z' => Some(false),
        Some(one) => (one.state == 'T').then_some(true),
    };
    if !deadline::eventually("a process that stands still", stands) {
        return None;
    }
    let at = Instant::now();
    let own = sockets(pid);
    let elsewhere: BTreeSet<u64> = newer.iter().flat_map(|pid| sockets(*pid)).collect();
    let clients = tcp_table::accepted(fronts);
    let clients = own
        .iter()
        .filter(|inode| !elsewhere.contains(inode))
        .filter_map(|inode| clients.get(inode).copied())
        .collect();
    Some(Condemned { pid, at, clients })
}

impl Condemned {
    /// How many.
    pub fn count(&self) -> usize {
        self.clients.len()
    }

    /// Whether this process's end is the reason of that mistake.
    pub fn excuses(&self, mistake: &Mistake) -> bool {
        mistake.local.is_some_and(|local| self.clients.contains(&local))
            && mistake.opened <= self.at
            && mistake.at >= self.at
    }
}

/// The sockets that a process has open.
fn sockets(pid: i32) -> BTreeSet<u64> {
    let all = processes::descriptors(pid);
    let number = |one: &String| one.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    all.iter().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_connection_is_found_and_one_in_the_queue_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let front = listener.local_addr().expect("its address");
        let first = std::net::TcpStream::connect(front).expect("a connection");
        let accepted = listener.accept().expect("the connection").0;
        let _second = std::net::TcpStream::connect(front).expect("a connection");
        let own = sockets(std::process::id() as i32);
        let seen = tcp_table::accepted(&[front]);
        let held: Vec<_> = seen.iter().filter(|(inode, _)| own.contains(inode)).collect();
        assert_eq!(held.len(), 1, "{seen:?}");
        assert_eq!(*held[0].1, first.local_addr().expect("its address"));
        drop(accepted);
    }
}
