//! Addresses that nobody else uses.
//!
//! Shell. Each call takes another address of 127.0.0.0/8 (the second number comes from this process's
//! id, so that test programs at the same time stay apart) and asks the system for a port that is free
//! on it. Outgoing connections come from 127.0.0.1 and cannot take such a port in between. On addresses
//! that all share, the ports are such as the kernel gives to nobody by itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, Protocol, Socket, Type};

static NEXT: AtomicU32 = AtomicU32::new(1);

/// Below those that outgoing connections are given (`net.ipv4.ip_local_port_range`).
const SHARED: std::ops::Range<u16> = 16_000..32_000;

/// A loopback address that no other test of this machine has.
pub fn own_ip() -> Ipv4Addr {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let program = (std::process::id() % 250 + 2) as u8;
    Ipv4Addr::new(127, program, (n / 250 % 250) as u8, (n % 250 + 2) as u8)
}

/// A free port on an address of its own.
///
/// # Panics
/// When the system has none.
pub fn free() -> SocketAddr {
    free_on(IpAddr::V4(own_ip()))
}

/// A port that is free on this address.
///
/// # Panics
/// When the system has none.
pub fn free_on(ip: IpAddr) -> SocketAddr {
    let shared = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    if ip.is_unspecified() || shared.contains(&ip) {
        return free_on_shared(ip);
    }
    let probe = probe(SocketAddr::new(ip, 0)).expect("a free port");
    probe.local_addr().ok().and_then(|address| address.as_socket()).expect("its address")
}

/// The same of an address from which others connect. Each call has another port, and so has each program.
fn free_on_shared(ip: IpAddr) -> SocketAddr {
    let first = std::process::id().wrapping_mul(7919);
    let count = u32::from(SHARED.end - SHARED.start);
    let port = || {
        let n = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        SHARED.start + n as u16
    };
    let mut addresses = (0..count).map(|_| SocketAddr::new(ip, port()));
    addresses.find(|address| probe(*address).is_ok()).expect("a free port")
}

/// Bound but not listening, and ready to share: a child that another thread forks meanwhile holds it
/// open until it executes its program, and must not be in the way of whoever binds the port then.
fn probe(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A free port on `::1`.
///
/// # Panics
/// When the system has none.
pub fn free_v6() -> SocketAddr {
    free_on(IpAddr::V6(Ipv6Addr::LOCALHOST))
}

/// A port on 0.0.0.0, for what has to listen on all addresses.
///
/// # Panics
/// When the system has none.
pub fn free_anywhere() -> u16 {
    free_on(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).port()
}

/// A run of free ports on one address of its own: the first of them.
///
/// # Panics
/// When there is no such run.
pub fn free_range(count: u16) -> SocketAddr {
    let ip = IpAddr::V4(own_ip());
    (0..100)
        .map(|_| free_on(ip))
        .find(|first| {
            let ports = first.port()..=first.port().saturating_add(count - 1);
            ports.clone().count() == usize::from(count)
                && ports.map(|port| probe(SocketAddr::new(ip, port))).all(|bound| bound.is_ok())
        })
        .expect("a run of free ports")
}
