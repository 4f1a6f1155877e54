//! Who has an address that could not be bound, as far as /proc tells.
//!
//! Shell; for messages only. Another user's processes, and those that may do more than this one, are not seen.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;

use super::tcp;

/// A process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// As the kernel names it.
    pub name: String,
    /// Its pid.
    pub pid: i32,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Who listens on an address, or on one that covers it.
pub fn of(address: SocketAddr) -> Option<Owner> {
    let inodes = tcp::listeners_of(address).ok()?;
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    // The one that has been there longest is the service, not what it has started.
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| has(*pid, &links))
        .collect();
    pids.sort_unstable();
    named(*pids.first()?)
}

/// Who listens at the other end of a connected UNIX socket.
pub fn of_peer(socket: &impl AsFd) -> Option<Owner> {
    named(rustix::net::sockopt::socket_peercred(socket).ok()?.pid.as_raw_nonzero().get())
}

fn named(pid: i32) -> Option<Owner> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let name: String = name.trim_end().chars().filter(|c| !c.is_control()).collect();
    Some(Owner { name, pid })
}

fn has(pid: i32, links: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let target =
        |path: &Path| fs::read_link(path).ok().and_then(|to| Some(to.to_str()?.to_owned()));
    descriptors
        .filter_map(Result::ok)
        .filter_map(|entry| target(&entry.path()))
        .any(|target| links.contains(&target))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::{of, of_peer};

    #[test]
    fn who_listens_is_found() {
        let socket = TcpListener::bind("0.0.0.0:0").expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        let owner = of(([127, 0, 0, 1], port).into()).expect("this process");
        assert_eq!(owner.pid, std::process::id() as i32);
        assert!(!owner.name.is_empty());
        drop(socket);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s");
        let _listening = UnixListener::bind(&path).expect("a socket");
        let connected = UnixStream::connect(&path).expect("a connection");
        assert_eq!(of_peer(&connected).map(|owner| owner.pid), Some(std::process::id() as i32));
    }
}
