//! UDP and UNIX datagrams.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::super::queue::LINES_MAX;
use super::*;

/// A daemon on a free UDP port.
fn udp() -> (UdpSocket, LogEndpoint) {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_read_timeout(Some(PATIENCE)).unwrap();
    let endpoint = LogEndpoint::Udp(daemon.local_addr().unwrap());
    (daemon, endpoint)
}

fn unix(path: &Path) -> UnixDatagram {
    let daemon = UnixDatagram::bind(path).unwrap();
    daemon.set_read_timeout(Some(PATIENCE)).unwrap();
    daemon
}

fn next(receive: impl FnOnce(&mut [u8]) -> std::io::Result<usize>) -> String {
    let mut buffer = vec![0; 70_000];
    let length = receive(&mut buffer).expect("a line");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn a_line_leaves_10_ms_late_and_not_before() {
    let (daemon, endpoint) = udp();
    let (mut log, refs, _sockets) = log_to(vec![target(endpoint)]);
    assert_eq!(log.due(1000), None);
    push(&mut log, &refs, 1000, "first");
    push(&mut log, &refs, 1005, "second");
    assert_eq!(log.due(1005), Some(1000 + LATE_MAX_MS));
    log.flush(1009);
    assert_eq!(counts(&mut log).sent, 0);
    log.flush(1010);
    assert_eq!(counts(&mut log), Counts { sent: 2, dropped: 0 });
    assert_eq!(log.due(1010), None);
    assert_eq!(next(|buffer| daemon.recv(buffer)), "first\n");
    assert_eq!(next(|buffer| daemon.recv(buffer)), "second\n");
}

#[test]
fn a_full_batch_does_not_wait() {
    let (daemon, endpoint) = udp();
    let (mut log, refs, _sockets) = log_to(vec![target(endpoint)]);
    for number in 0..=BATCH_LINES_MAX {
        push(&mut log, &refs, 0, &number.to_string());
    }
    assert_eq!(counts(&mut log).sent, BATCH_LINES_MAX as u64);
    for number in 0..BATCH_LINES_MAX {
        assert_eq!(next(|buffer| daemon.recv(buffer)), format!("{number}\n"));
    }
}

#[test]
fn each_target_has_its_own_head_level_and_length() {
    let (daemon, endpoint) = udp();
    let syslog =
        LogTarget { format: LogFormat::Rfc3164, length_max: 80, ..target(endpoint.clone()) };
    let errors = LogTarget { level_max: LogLevel::Err, ..target(endpoint.clone()) };
    let (mut log, refs, _sockets) = log_to(vec![syslog, errors, target(endpoint)]);
    push(&mut log, &refs, 0, &"x".repeat(100));
    log.sender().flush_all(0);
    let first = next(|buffer| daemon.recv(buffer));
    assert!(first.starts_with("<134>Feb  6 12:12:56 portolan["), "{first}");
    assert_eq!(first.len(), 81);
    assert_eq!(next(|buffer| daemon.recv(buffer)), "x".repeat(100) + "\n");
    assert_eq!(counts(&mut log).sent, 2);
}

#[test]
fn nobody_listening_on_a_udp_port_loses_no_line_that_fits() {
    let (daemon, endpoint) = udp();
    drop(daemon);
    let (mut log, refs, _sockets) = log_to(vec![target(endpoint)]);
    for number in 0..200 {
        push(&mut log, &refs, 0, &number.to_string());
    }
    let mut now = 0;
    while let Some(due) = log.due(now) {
        assert!(due > now, "no busy loop");
        now = due;
        log.flush(now);
    }
    // Each was sent once: what a dead daemon answers to one line does not cost the next.
    assert_eq!(counts(&mut log), Counts { sent: 200, dropped: 0 });
}

#[test]
fn a_line_too_long_for_a_datagram_is_counted_and_the_next_one_leaves() {
    let (daemon, endpoint) = udp();
    let long = LogTarget { length_max: 65_535, ..target(endpoint) };
    let (mut log, refs, _sockets) = log_to(vec![long]);
    push(&mut log, &refs, 0, &"x".repeat(65_530));
    push(&mut log, &refs, 0, "short");
    log.sender().flush_all(0);
    assert_eq!(counts(&mut log), Counts { sent: 1, dropped: 1 });
    assert_eq!(next(|buffer| daemon.recv(buffer)), "short\n");
}

#[test]
fn a_daemon_that_never_reads_costs_lines_and_never_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let daemon = unix(&path);
    let (mut log, refs, _sockets) = log_to(vec![target(LogEndpoint::Unix(path))]);
    let pushed = 3 * LINES_MAX as u64;
    for number in 0..pushed {
        push(&mut log, &refs, 0, &number.to_string());
    }
    let stuck = counts(&mut log);
    assert!(stuck.sent > 0 && stuck.dropped > 0);
    assert_eq!(stuck.sent + stuck.dropped + LINES_MAX as u64, pushed);
    // Attempts become rarer.
    let mut now = 0;
    let mut attempts = 0;
    while now < 1000 {
        now = log.sender().due().unwrap();
        log.sender().flush(now);
        attempts += 1;
    }
    assert!(attempts < 30, "{attempts} attempts in a second");
    // Once it reads, what waited arrives in order.
    for number in 0..pushed - stuck.dropped {
        while log.sender().due().is_some_and(|due| due <= now) {
            log.sender().flush(now);
            now += 1;
        }
        assert_eq!(next(|buffer| daemon.recv(buffer)), format!("{number}\n"));
        now += 100;
    }
    assert_eq!(counts(&mut log).dropped, stuck.dropped);
    assert!(log.sender().is_empty());
}

#[test]
fn a_daemon_that_restarted_gets_what_waited_through_the_renewed_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let daemon = unix(&path);
    let (mut log, refs, mut sockets) = log_to(vec![target(LogEndpoint::Unix(path.clone()))]);
    push(&mut log, &refs, 0, "before");
    log.flush(10);
    assert_eq!(next(|buffer| daemon.recv(buffer)), "before\n");
    assert!(sockets.renew().is_empty());

    drop(daemon);
    std::fs::remove_file(&path).unwrap();
    push(&mut log, &refs, 20, "meanwhile");
    log.flush(30);
    assert_eq!(counts(&mut log), Counts { sent: 1, dropped: 0 });
    assert!(sockets.renew().is_empty(), "there is nothing to connect to");

    let daemon = unix(&path);
    assert_eq!(sockets.renew(), [0]);
    assert!(sockets.renew().is_empty(), "once is enough");
    log.attach(0, sockets.get(0).unwrap().try_clone_to_owned().unwrap());
    log.flush(monotonic_ms());
    assert_eq!(next(|buffer| daemon.recv(buffer)), "meanwhile\n");
}

#[test]
fn a_daemon_that_is_not_there_at_start_is_named_and_found_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let (mut log, refs, mut sockets) = log_to(vec![target(LogEndpoint::Unix(path.clone()))]);
    assert_eq!(sockets.problems().count(), 1);
    push(&mut log, &refs, 0, "early");
    log.flush(10);
    assert!(!log.sender().is_empty());

    let daemon = unix(&path);
    assert_eq!(sockets.renew(), [0]);
    assert_eq!(sockets.problems().count(), 0);
    log.attach(0, sockets.get(0).unwrap().try_clone_to_owned().unwrap());
    log.flush(monotonic_ms());
    assert_eq!(next(|buffer| daemon.recv(buffer)), "early\n");
}

#[test]
fn a_descriptor_that_is_not_open_is_an_error_that_names_it() {
    let wanted = [LogEndpoint::Fd(-1)];
    let (endpoint, error) = Sockets::open(&wanted, |_| None).unwrap_err();
    assert_eq!(endpoint, wanted[0]);
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
}

proptest::proptest! {
    #[test]
    fn whatever_a_text_holds_it_is_one_datagram_of_one_line(text in proptest::prelude::any::<Vec<u8>>()) {
        let (daemon, endpoint) = udp();
        let (mut log, refs, _sockets) =
            log_to(vec![LogTarget { length_max: 80, ..target(endpoint) }]);
        log.sender().push(&refs, LogLevel::Info, 0, AT, |_, line| line.extend_from_slice(&text));
        log.sender().flush_all(0);
        let mut buffer = [0; 1000];
        let length = daemon.recv(&mut buffer).unwrap();
        let (newline, line) = buffer[..length].split_last().unwrap();
        proptest::prop_assert_eq!(*newline, b'\n');
        proptest::prop_assert!(line.len() <= 80);
        proptest::prop_assert!(line.iter().all(|byte| *byte >= b' ' && *byte != 0x7f));
    }
}
