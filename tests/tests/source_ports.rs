//! Promise: connections to a server come from the range of ports that is configured, each worker from
//! its own part of it, and no part is left when they are all taken.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use portolan_tests::client::{self, Stream};
use portolan_tests::{Listen, Origin, Portolan, Setup, address, deadline, storm};

const WORKERS: u16 = 4;
/// Ports of each worker.
const EACH: u16 = 6;

/// So many ports side by side that nobody has now, on an address of this test's own.
fn range(ip: Ipv4Addr) -> (u16, u16) {
    let count = WORKERS * EACH;
    let free = |first: &u16| {
        (*first..first + count).map(|port| TcpListener::bind((ip, port))).all(|one| one.is_ok())
    };
    let first = (10_000..32_000).step_by(count.into()).find(free).expect("free ports");
    (first, first + count - 1)
}

struct Scene {
    portolan: Portolan,
    front: SocketAddr,
    ip: Ipv4Addr,
    ports: (u16, u16),
}

fn scene(origin: &Origin, ip: Ipv4Addr) -> Scene {
    let ports = range(ip);
    let front = address::free();
    let source = format!("source = \"{ip}:{}-{}\"", ports.0, ports.1);
    let listen =
        Listen::at("proxy", front).line("retries = 0").server_with("one", origin.address, &source);
    let portolan = Setup::new(listen.to_string()).workers(WORKERS).start();
    Scene { portolan, front, ip, ports }
}

impl Scene {
    /// All came from the range, and no two of those that live from one port.
    fn check(&self, peers: &[SocketAddr]) {
        for peer in peers {
            assert_eq!(peer.ip(), IpAddr::from(self.ip));
            assert!((self.ports.0..=self.ports.1).contains(&peer.port()), "{peer}");
        }
        let ports: BTreeSet<u16> = peers.iter().map(SocketAddr::port).collect();
        assert_eq!(ports.len(), peers.len(), "{peers:?}");
    }
}

/// Clients come until every port is taken: whoever finds none left in its worker is sent away.
fn fill(scene: &Scene, origin: &Origin) -> Vec<Stream> {
    let mut held: Vec<Stream> = Vec::new();
    let all = usize::from(WORKERS * EACH);
    deadline::until("every port is taken", || {
        let mut stream = client::connect(scene.front);
        let is_served = stream.exchange(b"x").is_ok_and(|answer| answer == b"x");
        if is_served {
            held.push(stream);
        }
        held.len() == all
    });
    assert_eq!(origin.open(), all as u64);
    held
}

#[test]
fn every_port_of_a_range_is_used_and_none_beside_it() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let scene = scene(&origin, Ipv4Addr::new(127, 0, 0, 81));
    let held = fill(&scene, &origin);
    scene.check(&origin.peers());
    // Whoever comes now finds none.
    for _ in 0..10 {
        let mut stream = client::connect(scene.front);
        assert!(!stream.exchange(b"x").is_ok_and(|answer| answer == b"x"));
    }
    assert_eq!(origin.accepted(), u64::from(WORKERS * EACH));
    drop(held);
    assert!(scene.portolan.running());
}

#[test]
fn old_and_new_workers_share_the_ports_of_their_slot() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let scene = scene(&origin, Ipv4Addr::new(127, 0, 0, 82));
    let mut old: Vec<Stream> = (0..WORKERS * EACH / 2)
        .filter_map(|_| {
            let mut stream = client::connect(scene.front);
            stream.exchange(b"x").is_ok_and(|answer| answer == b"x").then_some(stream)
        })
        .collect();
    let before = origin.accepted();
    assert_eq!(before, old.len() as u64);
    scene.portolan.reload();
    // Each port the old generation has is passed by, and all others are found.
    let mut new: Vec<Stream> = Vec::new();
    let all = usize::from(WORKERS * EACH);
    deadline::until("every port is taken", || {
        let mut stream = client::connect(scene.front);
        if stream.exchange(b"x").is_ok_and(|answer| answer == b"x") {
            new.push(stream);
        }
        old.len() + new.len() == all
    });
    scene.check(&origin.peers());
    for stream in old.iter_mut().chain(&mut new) {
        stream.expect_echo(b"still there");
    }
}
