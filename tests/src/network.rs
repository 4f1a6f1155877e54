//! A machine of its own: a network namespace behind a pair of virtual interfaces, with a firewall.
//!
//! Shell. Needs root, `ip` and `nft`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

use crate::{address, real, setup};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A machine that ends when dropped, after what runs on it.
#[derive(Debug)]
pub struct Network {
    name: String,
    link: String,
    ip: Ipv4Addr,
}

impl Network {
    /// A new one; where that is impossible, it is said that a part is left out.
    pub fn open() -> Option<Self> {
        if !setup::root() {
            setup::left_out("a firewalled server: only root can make a network namespace");
            return None;
        }
        let missing = real::missing_of(&["ip", "nft"]);
        if !missing.is_empty() {
            setup::left_out(&format!("a firewalled server: {} not installed", missing.join(", ")));
            return None;
        }
        match Self::make() {
            Ok(network) => Some(network),
            Err(why) => {
                setup::left_out(&format!("a firewalled server: {why}"));
                None
            }
        }
    }

    fn make() -> Result<Self, String> {
        let (pid, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // Networks of test programs at the same time, and of one program, are different.
        let net = [10, 128 + (pid / 60 % 120) as u8, (pid % 60 * 4) as u8 + (n / 64 % 4) as u8];
        let low = (n % 64 * 4) as u8;
        let ip = |last: u8| Ipv4Addr::new(net[0], net[1], net[2], low + last);
        let network =
            Self { name: format!("portolan-{pid}-{n}"), link: format!("pt{pid}x{n}"), ip: ip(2) };
        let (name, link, inner) = (&network.name, &network.link, format!("pi{pid}x{n}"));
        run(&["ip", "netns", "add", name])?;
        run(&["ip", "link", "add", link, "type", "veth", "peer", "name", &inner, "netns", name])?;
        run(&["ip", "address", "add", &format!("{}/30", ip(1)), "dev", link])?;
        run(&["ip", "link", "set", link, "up"])?;
        network.run(&["ip", "address", "add", &format!("{}/30", ip(2)), "dev", &inner])?;
        network.run(&["ip", "link", "set", &inner, "up"])?;
        network.run(&["ip", "link", "set", "lo", "up"])?;
        Ok(network)
    }

    fn run(&self, words: &[&str]) -> Result<(), String> {
        run(&[&["ip", "netns", "exec", &self.name], words].concat())
    }

    /// A free port on it.
    ///
    /// # Panics
    /// When there is none.
    pub fn free(&self) -> SocketAddr {
        let ip = IpAddr::V4(self.ip);
        self.inside(move || address::free_on(ip))
    }

    /// Does this on that machine: what is bound there is there.
    ///
    /// # Panics
    /// When it cannot be entered, or what is done panics.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).expect("the namespace");
        std::thread::scope(|scope| {
            let entered = scope.spawn(move || {
                setns(&file, CloneFlags::CLONE_NEWNET).expect("the other network");
                what()
            });
            entered.join().expect("the thread there")
        })
    }

    /// Nothing reaches it any more, and nobody is told.
    ///
    /// # Panics
    /// When the firewall cannot be changed.
    pub fn close(&self) {
        let chain = "chain in { type filter hook input priority 0; policy drop; };";
        let rules = &format!("table inet wall {{ {chain} }}");
        self.run(&["nft", rules]).expect("the firewall");
    }

    /// Everything reaches it again.
    ///
    /// # Panics
    /// When the firewall cannot be changed.
    pub fn reopen(&self) {
        self.run(&["nft", "delete", "table", "inet", "wall"]).expect("the firewall");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was not made cannot be taken away. The link goes by itself only with the last socket.
        let _ = run(&["ip", "link", "delete", &self.link]);
        let _ = run(&["ip", "netns", "delete", &self.name]);
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .map_err(|error| format!("{}: {error}", words[0]))?;
    if output.status.success() {
        Ok(())
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {}", words.join(" "), errors.trim()))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::{Origin, client};

    #[test]
    fn a_closed_network_does_not_answer() {
        let Some(network) = Network::open() else { return };
        let address = network.free();
        let origin = network.inside(|| Origin::at(address, crate::origin::echo));
        assert_eq!(client::ask(address, b"hello").expect("an answer"), b"hello");
        network.close();
        let error = TcpStream::connect_timeout(&address, Duration::from_millis(300));
        assert_eq!(error.expect_err("no answer").kind(), io::ErrorKind::TimedOut);
        network.reopen();
        assert_eq!(client::ask(address, b"again").expect("an answer"), b"again");
        drop(origin);
    }
}
