//! Promise: a bind and a server may be any address the manual names: IPv4, IPv6, UNIX, a range of
//! ports, an inherited descriptor, a socket from systemd; connections come from where they should.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use portolan_tests::{Listen, Origin, Portolan, Setup, address, client, processes, setup};

#[test]
fn an_ipv6_address_is_listened_on_and_connected_to() {
    let front = address::free_v6();
    let origin = Origin::at(address::free_v6(), portolan_tests::origin::echo);
    let _portolan =
        Portolan::start(Listen::at("proxy", front).server("one", origin.address).to_string());
    client::connect(front).expect_echo(b"six");
}

#[test]
fn a_bare_port_is_ipv4_on_every_address() {
    let port = address::free_anywhere();
    let origin = Origin::echo();
    for bind in [format!(":{port}"), format!("*:{port}")] {
        let listen = Listen::at("proxy", bind).server("one", origin.address);
        let _portolan = Portolan::start(listen.to_string());
        for ip in [Ipv4Addr::LOCALHOST, address::own_ip()] {
            client::connect(SocketAddr::from((ip, port))).expect_echo(b"anywhere");
        }
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        assert!(client::try_connect(six).is_err(), "and not IPv6");
    }
}

#[test]
fn v4v6_takes_both_and_v6only_one() {
    let origin = Origin::echo();
    for (keys, four) in [("v4v6 = true", true), ("v6only = true", false)] {
        let port = address::free_anywhere();
        let listen =
            Listen::named("proxy").bind(format!(":::{port}"), keys).server("one", origin.address);
        let _portolan = Portolan::start(listen.to_string());
        client::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).expect_echo(b"six");
        let over_four = client::try_connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        assert_eq!(over_four.is_ok(), four, "{keys}");
    }
}

#[test]
fn a_range_of_ports_is_as_many_addresses() {
    let first = address::free_range(4);
    let origin = Origin::echo();
    let bind = format!("{}:{}-{}", first.ip(), first.port(), first.port() + 3);
    let _portolan =
        Portolan::start(Listen::at("proxy", bind).server("one", origin.address).to_string());
    for port in first.port()..=first.port() + 3 {
        client::connect(SocketAddr::new(first.ip(), port)).expect_echo(b"one of four");
    }
}

#[test]
fn one_bind_may_name_several_addresses() {
    let (one, two) = (address::free(), address::free());
    let origin = Origin::echo();
    let listen = Listen::at("proxy", one).bind(two, "").server("one", origin.address);
    let _portolan = Portolan::start(listen.to_string());
    client::connect(one).expect_echo(b"here");
    client::connect(two).expect_echo(b"and there");
}

#[test]
fn a_unix_socket_has_the_mode_and_owner_asked_for() {
    let setup = Setup::new("");
    let (front, back) = (setup.file("front.sock"), setup.file("back.sock"));
    let origin = Origin::unix(&back, portolan_tests::origin::echo);
    let owner = if setup::root() { ", uid = 65534, gid = 65534" } else { "" };
    let listen = Listen::named("proxy")
        .bind(front.display(), &format!("mode = \"640\"{owner}"))
        .server("one", back.display());
    let portolan = setup.body(listen.to_string()).start();
    client::connect_unix(&front).expect_echo(b"over files");
    assert_eq!(origin.accepted(), 1);
    let file = std::fs::metadata(&front).expect("the socket's file");
    assert!(file.file_type().is_socket());
    assert_eq!(file.mode() & 0o777, 0o640);
    if setup::root() {
        assert_eq!((file.uid(), file.gid()), (setup::NOBODY, setup::NOBODY));
    }
    // All workers share it, and it lives on through a reload.
    portolan.reload();
    for _ in 0..10 {
        client::connect_unix(&front).expect_echo(b"over files");
    }
}

#[test]
fn a_unix_socket_left_over_by_a_dead_process_is_replaced() {
    let setup = Setup::new("");
    let front = setup.file("front.sock");
    drop(std::os::unix::net::UnixListener::bind(&front).expect("a socket file"));
    let origin = Origin::echo();
    let listen = Listen::named("proxy").bind(front.display(), "").server("one", origin.address);
    let _portolan = setup.body(listen.to_string()).start();
    client::connect_unix(&front).expect_echo(b"new owner");
}

#[test]
fn an_inherited_descriptor_is_listened_on() {
    let listener = TcpListener::bind(address::free()).expect("a listener");
    let front = listener.local_addr().expect("its address");
    let origin = Origin::echo();
    let listen = Listen::at("proxy", "fd@7").server("one", origin.address);
    let portolan = Setup::new(listen.to_string()).inherited(7, listener.into()).start();
    for _ in 0..10 {
        client::connect(front).expect_echo(b"inherited");
    }
    portolan.reload();
    for _ in 0..10 {
        client::connect(front).expect_echo(b"still inherited");
    }
}

#[test]
fn a_socket_from_systemd_is_found_by_its_name() {
    let listener = TcpListener::bind(address::free()).expect("a listener");
    let front = listener.local_addr().expect("its address");
    let origin = Origin::echo();
    let listen = Listen::at("proxy", "sd@web").server("one", origin.address);
    let portolan = Setup::new(listen.to_string())
        .inherited(3, listener.into())
        .shell("export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web")
        .start();
    client::connect(front).expect_echo(b"activated");
    portolan.reload();
    client::connect(front).expect_echo(b"still activated");
}

#[test]
fn connections_to_a_server_come_from_the_source_address() {
    let (of_backend, of_server) = (address::own_ip(), address::own_ip());
    let (front, one, two) = (address::free(), Origin::named("one"), Origin::named("two"));
    let listen = Listen::at("proxy", front)
        .line(&format!("source = \"{of_backend}\""))
        .server("one", one.address)
        .server_with("two", two.address, &format!("source = \"{of_server}\""));
    let _portolan = Portolan::start(listen.to_string());
    for _ in 0..4 {
        client::greeting(front);
    }
    let ips =
        |origin: &Origin| -> Vec<IpAddr> { origin.peers().iter().map(SocketAddr::ip).collect() };
    assert_eq!(ips(&one), [IpAddr::V4(of_backend); 2]);
    assert_eq!(ips(&two), [IpAddr::V4(of_server); 2]);
}

#[test]
fn a_server_without_a_port_gets_the_port_the_client_came_to() {
    let origin = Origin::named("same port");
    let front = SocketAddr::from((address::own_ip(), origin.address.port()));
    let listen = Listen::at("proxy", front).server("one", origin.address.ip());
    let _portolan = Portolan::start(listen.to_string());
    assert_eq!(client::greeting(front), "same port");
}

#[test]
fn a_server_with_an_offset_gets_that_port() {
    let origin = Origin::named("port plus one");
    let front = SocketAddr::from((address::own_ip(), origin.address.port() - 1));
    let listen = Listen::at("proxy", front).server("one", format!("{}:+1", origin.address.ip()));
    let _portolan = Portolan::start(listen.to_string());
    assert_eq!(client::greeting(front), "port plus one");
}

#[test]
fn many_listeners_are_served_by_every_worker() {
    let first = address::free_range(200);
    let origin = Origin::echo();
    let bind = format!("{}:{}-{}", first.ip(), first.port(), first.port() + 199);
    let listen = Listen::at("proxy", bind).server("one", origin.address);
    let portolan = Setup::new(listen.to_string()).workers(4).start();
    for port in (first.port()..first.port() + 200).step_by(7) {
        client::connect(SocketAddr::new(first.ip(), port)).expect_echo(b"one of many");
    }
    for worker in portolan.whole() {
        // Its own socket of each address at least; those of other slots for deputies' work.
        assert!(processes::descriptors(worker.pid).len() >= 200);
    }
}
