//! Promise: a PROXY header is understood exactly where it is expected and never guessed; towards a
//! server it says who the client is. (The specification: haproxy.org, proxy-protocol.txt.)
//! What comes in once per poller.

use std::io::Write;
use std::net::SocketAddr;

use portolan_tests::client::{self, Stream};
use portolan_tests::proxy_header::{self, Parsed};
use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Origin, Poller, Portolan, Setup, address, deadline, per_poller};

per_poller!(
    version_1_is_understood_in_one_piece_and_byte_by_byte,
    version_2_is_understood_in_one_piece_and_byte_by_byte,
    garbage_is_refused_before_any_server_hears_of_it,
    a_header_that_does_not_end_is_let_go,
    a_source_that_is_not_listed_is_served_without_a_header,
);

const CLIENT: &str = "192.0.2.77:4711";
const SERVER: &str = "198.51.100.9:443";

fn pair() -> (SocketAddr, SocketAddr) {
    (CLIENT.parse().expect("an address"), SERVER.parse().expect("an address"))
}

fn pair_v6() -> (SocketAddr, SocketAddr) {
    let address = |text: &str| text.parse().expect("an address");
    (address("[2001:db8::1]:4711"), address("[2001:db8::2]:443"))
}

struct Scene {
    log: Syslog,
    front: SocketAddr,
    origin: Origin,
    portolan: Portolan,
}

/// An echo server behind a bind with these keys.
fn scene(poller: Poller, keys: &str) -> Scene {
    let (log, front, origin) = (Syslog::udp(), address::free(), Origin::echo());
    let listen = Listen::named("proxy")
        .bind(front, keys)
        .timeout("client", "2s")
        .server("one", origin.address)
        .log(&log);
    let portolan = Setup::new(listen.to_string()).poller(poller).start();
    Scene { log, front, origin, portolan }
}

/// Sends the header and a message, whole and one byte at a time, and expects the message back and the
/// header's client in the log.
fn understood(scene: &Scene, header: &[u8], logged: &str) {
    let bytes = [header, b"payload"].concat();
    for size in [bytes.len(), 1] {
        let mut stream = client::connect(scene.front);
        let client =
            if logged.is_empty() { stream.local_addr().to_string() } else { logged.to_owned() };
        // Lines of others, who are let go meanwhile or came before, may come in between.
        let lines = || scene.log.tcp_lines().iter().filter(|line| line.client == client).count();
        let before = lines();
        for piece in bytes.chunks(size) {
            stream.write_all(piece).expect("a piece of the header");
        }
        stream.end_sending().expect("an end");
        assert_eq!(stream.rest().expect("the echo"), b"payload");
        deadline::until(&format!("a line of {client}"), || lines() == before + 1);
    }
}

fn version_1_is_understood_in_one_piece_and_byte_by_byte(poller: Poller) {
    let scene = scene(poller, "accept_proxy = true");
    let ((source, destination), (source6, destination6)) = (pair(), pair_v6());
    understood(&scene, &proxy_header::v1(source, destination), CLIENT);
    understood(&scene, &proxy_header::v1(source6, destination6), "2001:db8::1:4711");
    // UNKNOWN: the connection's own addresses hold, whatever follows.
    understood(&scene, b"PROXY UNKNOWN\r\n", "");
    understood(&scene, b"PROXY UNKNOWN some words\r\n", "");
}

fn version_2_is_understood_in_one_piece_and_byte_by_byte(poller: Poller) {
    let scene = scene(poller, "accept_proxy = true");
    let ((source, destination), (source6, destination6)) = (pair(), pair_v6());
    understood(&scene, &proxy_header::v2(source, destination, &[]), CLIENT);
    understood(&scene, &proxy_header::v2(source6, destination6, &[]), "2001:db8::1:4711");
    understood(&scene, &proxy_header::v2_with_checksum(source, destination), CLIENT);
    let tlvs = [proxy_header::tlv(0xe0, b"somebody's own"), proxy_header::tlv(0x04, &[0; 5])];
    understood(&scene, &proxy_header::v2(source, destination, &tlvs.concat()), CLIENT);
    // LOCAL: the connection's own addresses hold.
    understood(&scene, &proxy_header::header(0x20, 0x00, &[]), "");
    understood(&scene, &proxy_header::header(0x20, 0x11, &[7; 12]), "");
}

fn garbage_is_refused_before_any_server_hears_of_it(poller: Poller) {
    let scene = scene(poller, "accept_proxy = true");
    let (source, destination) = pair();
    let good = proxy_header::v2(source, destination, &[]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let mut bad_checksum = proxy_header::v2_with_checksum(source, destination);
    *bad_checksum.last_mut().expect("a byte") ^= 1;
    let garbage = [
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec(),
        b"proxy TCP4 192.0.2.77 198.51.100.9 4711 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.777 198.51.100.9 4711 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.77 198.51.100.9 4711 65536\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.77 198.51.100.9 4711\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.77 198.51.100.9 4711 443 \n\n".to_vec(),
        b"PROXY UDP4 192.0.2.77 198.51.100.9 4711 443\r\n".to_vec(),
        // 108 bytes and no end of line: one more than a header may have.
        [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 94]].concat(),
        // Version 3, an unknown command, an unknown family, an unknown transport.
        with(12, 0x31),
        with(12, 0x22),
        with(13, 0x41),
        with(13, 0x13),
        // Too short for its addresses.
        proxy_header::header(0x21, 0x11, &[1; 11]),
        // A TLV that is longer than the header.
        proxy_header::v2(source, destination, &[0x04, 0xff, 0xff, 0]),
        bad_checksum,
        b"\r\n\r\n\0\r\nQUIX\n".to_vec(),
    ];
    for bytes in garbage {
        let mut stream = client::connect(scene.front);
        // The refusal may come before the last byte is out.
        let _ = stream.write_all(&bytes);
        match stream.rest() {
            Ok(answer) => assert!(answer.is_empty(), "{bytes:?} got {answer:?}"),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{bytes:?}: {error}");
            }
        }
    }
    assert_eq!(scene.origin.accepted(), 0);
    understood(&scene, &good, CLIENT);
}

fn a_header_that_does_not_end_is_let_go(poller: Poller) {
    let scene = scene(poller, "accept_proxy = true");
    let (source, destination) = pair();
    let mut silent = client::connect(scene.front);
    let mut slow: Vec<Stream> = (0..20).map(|_| client::connect(scene.front)).collect();
    let header = proxy_header::v1(source, destination);
    for (n, stream) in slow.iter_mut().enumerate() {
        stream.write_all(&header[..=n]).expect("the beginning of a header");
    }
    // Others are served meanwhile.
    understood(&scene, &header, CLIENT);
    silent.expect_closed();
    for stream in &mut slow {
        stream.expect_closed();
    }
    assert!(scene.portolan.running());
}

fn a_source_that_is_not_listed_is_served_without_a_header(poller: Poller) {
    let listed = address::own_ip();
    let scene = scene(poller, &format!("accept_proxy = {{ from = [\"{listed}\"] }}"));
    let (source, destination) = pair();
    let header = proxy_header::v1(source, destination);
    // From elsewhere these bytes are content.
    let mut stream = client::connect(scene.front);
    stream.expect_echo(&header);
    drop(stream);
    assert!(scene.log.only_tcp().client.starts_with("127."));
    // From the listed source they are a header.
    let mut stream = client::connect_from(SocketAddr::from((listed, 0)), scene.front);
    stream.write_all(&header).expect("a header");
    stream.expect_echo(b"payload");
    drop(stream);
    let lines = scene.log.wait_tcp(2);
    assert!(lines.iter().any(|line| line.client == CLIENT), "{lines:?}");
}

/// A server that keeps all it got, up to the end.
fn recorder() -> (Origin, std::sync::Arc<std::sync::Mutex<Vec<u8>>>) {
    let kept = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let origin = Origin::with({
        let kept = std::sync::Arc::clone(&kept);
        move |stream, _| {
            let bytes = stream.rest()?;
            *kept.lock().expect("the bytes") = bytes;
            stream.write_all(b"kept")
        }
    });
    (origin, kept)
}

/// What a server gets from a client that says `hello`, and both ends of the client's connection.
fn sent_to_server(keys: &str) -> (Parsed, (SocketAddr, SocketAddr)) {
    let (front, (origin, kept)) = (address::free(), recorder());
    let listen = Listen::at("proxy", front).server_with("one", origin.address, keys);
    let _portolan = Portolan::start(listen.to_string());
    let mut stream = client::connect(front);
    let ends = (stream.local_addr(), stream.peer_addr());
    stream.write_all(b"hello").expect("a message");
    stream.end_sending().expect("an end");
    assert_eq!(stream.rest().expect("an answer"), b"kept");
    let bytes = kept.lock().expect("the bytes").clone();
    let parsed = proxy_header::parse(&bytes).unwrap_or_else(|| panic!("no header: {bytes:?}"));
    assert_eq!(parsed.rest, b"hello");
    for (kind, value) in &parsed.tlvs {
        if *kind == 0x03 {
            let end = bytes.len() - parsed.rest.len();
            let mut header = bytes[..end].to_vec();
            let at = header.windows(value.len() + 3).position(|window| {
                window[0] == 0x03 && window[1..3] == [0, 4] && window[3..] == value[..]
            });
            let at = at.expect("the checksum's place") + 3;
            header[at..at + 4].fill(0);
            assert_eq!(proxy_header::crc32c(&header).to_be_bytes(), value[..]);
        }
    }
    (parsed, ends)
}

#[test]
fn a_server_hears_of_the_client_in_version_1() {
    let (parsed, ends) = sent_to_server("send_proxy = true");
    assert_eq!((parsed.version, parsed.addresses), (1, Some(ends)));
}

#[test]
fn a_server_hears_of_the_client_in_version_2() {
    let (parsed, ends) = sent_to_server("send_proxy_v2 = true");
    assert_eq!((parsed.version, parsed.addresses), (2, Some(ends)));
}

#[test]
fn version_2_carries_the_fields_asked_for() {
    let (parsed, ends) = sent_to_server(
        "send_proxy_v2 = { crc32c = true, unique_id = true, tlvs = { \"0xE0\" = \"own\" } }",
    );
    assert_eq!(parsed.addresses, Some(ends));
    let kinds: Vec<u8> = parsed.tlvs.iter().map(|(kind, _)| *kind).collect();
    assert!(kinds.contains(&0x03) && kinds.contains(&0x05), "{kinds:?}");
    assert!(parsed.tlvs.contains(&(0xe0, b"own".to_vec())), "{:?}", parsed.tlvs);
}

#[test]
fn a_header_from_outside_is_passed_on_to_the_server() {
    let (front, (origin, kept)) = (address::free(), recorder());
    let listen = Listen::named("proxy").bind(front, "accept_proxy = true").server_with(
        "one",
        origin.address,
        "send_proxy_v2 = true",
    );
    let _portolan = Portolan::start(listen.to_string());
    let (source, destination) = pair();
    let mut stream = client::connect(front);
    stream.write_all(&proxy_header::v1(source, destination)).expect("a header");
    // Who ends without having said anything before its server is there has left.
    stream.write_all(b"hello").expect("a message");
    stream.end_sending().expect("an end");
    assert_eq!(stream.rest().expect("an answer"), b"kept");
    let parsed = proxy_header::parse(&kept.lock().expect("the bytes")).expect("a header");
    assert_eq!(parsed.addresses, Some((source, destination)));
}

#[test]
fn a_server_that_speaks_first_gets_the_header_at_once() {
    let front = address::free();
    let origin = Origin::with(|stream, _| {
        let mut header = Vec::new();
        while !header.ends_with(b"\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut *stream, &mut byte)?;
            header.push(byte[0]);
        }
        stream.write_all(&header[..6])
    });
    let listen = Listen::at("proxy", front).server_with("one", origin.address, "send_proxy = true");
    let _portolan = Portolan::start(listen.to_string());
    // The client says nothing at all.
    assert_eq!(client::greeting(front), "PROXY ");
    deadline::until("the end", || origin.open() == 0);
}

#[test]
fn the_header_may_have_a_timeout_of_its_own() {
    let (front, origin) = (address::free(), Origin::echo());
    let listen = Listen::named("proxy")
        .bind(front, "accept_proxy = { timeout = \"300ms\" }")
        .server("one", origin.address);
    let _portolan = Portolan::start(listen.to_string());
    client::connect(front).expect_closed();
    // Once it is there, the client timeout holds.
    let mut stream = client::connect(front);
    stream.write_all(b"PROXY UNKNOWN\r\n").expect("a header");
    deadline::pause(std::time::Duration::from_millis(600));
    stream.expect_echo(b"still there");
    assert_eq!(origin.accepted(), 1);
}
