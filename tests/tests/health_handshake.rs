//! Promise: what goes before a check's own words is what the server expects: a TLS server is known by
//! its answer to a hello, and one that insists on a PROXY header is given it.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use portolan_tests::proxy_header;
use portolan_tests::real;
use portolan_tests::syslog::Syslog;
use portolan_tests::{Listen, Origin, Portolan, Setup, address, client, deadline, setup};

const OFTEN: &str = "check = true, inter = \"100ms\", rise = 2, fall = 2";
const GREETED: &str =
    "check = { type = \"tcp\", log_health_checks = true, steps = [\"expect string hello\"] }";

/// A proxy with this listen section.
fn start(listen: Listen, log: &Syslog) -> Portolan {
    let listen = listen.log(log).timeout("check", "2500ms");
    Setup::new(listen.to_string()).events(log).workers(1).start()
}

#[test]
fn a_tls_server_is_known_by_its_answer_to_a_hello() {
    if !real::missing_of(&["openssl"]).is_empty() {
        setup::left_out("checks of a TLS server: openssl is not installed");
        return;
    }
    let (log, mut daemon) = (Syslog::udp(), real::openssl());
    let other = Origin::with(|stream, _| stream.write_all(b"220 this is not TLS\r\n"));
    let listen = Listen::at("p", address::free())
        .line("check = { type = \"ssl-hello\", log_health_checks = true }")
        .server_with("tls", daemon.address, OFTEN)
        .server_with("other", other.address, OFTEN);
    let _portolan = start(listen, &log);
    let line = log.wait_for("Health check for server p/tls succeeded");
    assert!(line.contains("reason: Layer6 check passed"), "{line}");
    let line = log.wait_for("Health check for server p/other failed");
    assert!(line.contains("reason: Layer6 invalid response"), "{line}");
    daemon.stop();
    log.wait_for("Server p/tls is DOWN");
    daemon.start_again();
    log.wait_for("Server p/tls is UP");
    daemon.freeze();
    let line = log.wait_for("reason: Layer6 timeout");
    assert!(line.contains("p/tls"), "{line}");
    log.wait_times("Server p/tls is DOWN", 2);
    daemon.thaw();
    log.wait_times("Server p/tls is UP", 2);
}

/// Greets those only who have sent a PROXY header; which versions they have sent.
fn insisting() -> (Origin, Arc<Mutex<Vec<u8>>>) {
    let versions = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&versions);
    let origin = Origin::with(move |stream, _| {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 256]);
        let header = loop {
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&buffer[..length]);
            if let Some(header) = proxy_header::parse(&bytes) {
                break header;
            }
        };
        seen.lock().expect("the versions").push(header.version);
        stream.write_all(b"hello")
    });
    (origin, versions)
}

#[test]
fn a_server_that_insists_on_a_proxy_header_is_checked_with_it() {
    for (key, version) in [("send_proxy = true", 1), ("send_proxy_v2 = true", 2)] {
        let (log, front) = (Syslog::udp(), address::free());
        let (origin, versions) = insisting();
        let keys = format!("{OFTEN}, {key}");
        let listen = Listen::at("p", front).line(GREETED).server_with("one", origin.address, &keys);
        let _portolan = start(listen, &log);
        log.wait_for("Health check for server p/one succeeded");
        // As those are that clients are sent through.
        assert_eq!(client::greeting(front), "hello", "{key}");
        let versions = versions.lock().expect("the versions").clone();
        assert!(versions.len() >= 2, "{versions:?}");
        assert!(versions.iter().all(|seen| *seen == version), "{key}: {versions:?}");
        assert_eq!(log.count("failed"), 0, "{key}: {:#?}", log.lines());
    }
}

#[test]
fn a_check_of_another_place_says_itself_whether_a_header_goes_first() {
    let (log, front) = (Syslog::udp(), address::free());
    let origin = Origin::named("one");
    let (other, versions) = insisting();
    let there =
        format!("{OFTEN}, addr = \"{}\", port = {}", other.address.ip(), other.address.port());
    // The server's own header is not meant for another place.
    let listen = Listen::at("p", front)
        .line(GREETED)
        .server_with("with", origin.address, &format!("{there}, check_send_proxy = true"))
        .server_with("without", origin.address, &format!("{there}, send_proxy = true"));
    let _portolan = start(listen, &log);
    log.wait_for("Health check for server p/with succeeded");
    log.wait_for("Server p/without is DOWN");
    assert_eq!(client::greeting(front), "one", "traffic has none");
    let versions = versions.lock().expect("the versions").clone();
    assert!(versions.iter().all(|seen| *seen == 1), "{versions:?}");
}

#[test]
fn checks_that_are_spread_are_made_all_the_same() {
    let (log, front) = (Syslog::udp(), address::free());
    let origin = Origin::named("hello");
    let listen = Listen::at("p", front)
        .line(GREETED)
        .server_with("one", origin.address, OFTEN)
        .log(&log)
        .timeout("check", "2500ms");
    let _portolan =
        Setup::new(listen.to_string()).events(&log).workers(1).global("spread_checks", 50).start();
    deadline::until("many checks", || origin.accepted() > 10);
    assert_eq!(log.count("is DOWN"), 0, "{:#?}", log.lines());
    let place = origin.address;
    drop(origin);
    log.wait_for("Server p/one is DOWN");
    let _origin = Origin::at(place, |stream, _| stream.write_all(b"hello"));
    log.wait_for("Server p/one is UP");
}
