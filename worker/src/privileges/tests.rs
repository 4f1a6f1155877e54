//! A thread in the sandbox of a worker: the layers are a thread's, so the others go on as before.
//!
//! What a process of the real set can do is tried from inside it, by injected calls, in the tests of the whole.

use std::fs::File;
use std::io::ErrorKind::PermissionDenied;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;

use portolan_shared::sandbox::landlock::Ports;
use portolan_shared::sandbox::names;
use portolan_shared::sys::trap;

use super::*;

/// What this answers in a thread that was confined so.
fn confined<T: Send>(left: &Left, inside: impl FnOnce(Report) -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let report = confine(&Process::default(), left, None).expect("a sandbox");
            assert_eq!(report.refused, [], "this kernel lacks a layer");
            inside(report)
        });
        thread.join().expect("it lives on")
    })
}

#[test]
fn what_a_worker_does_not_need_fails_and_is_counted() {
    let before = trap::total();
    let counted = confined(&Left::default(), |_| {
        assert_eq!(File::open("/etc/passwd").map(|_| ()).unwrap_err().kind(), PermissionDenied);
        let openat = names::number("openat");
        let counted = trap::refused().find(|(number, _)| Some(*number) == openat);
        counted.map_or(0, |(_, count)| count)
    });
    assert!(counted >= 1);
    assert!(trap::total() > before);
}

#[test]
fn nothing_is_left_of_capabilities_and_privileges() {
    let report = confined(&Left::default(), |report| report);
    assert!(report.capabilities.is_empty() && report.no_new_privileges);
    let shown = report.to_string();
    for line in ["capabilities: none\n", "landlock: files none; bind no port; connect no port\n"] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn it_connects_where_it_may_and_nowhere_else() {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [server, other] = listeners.each_ref().map(|one| one.local_addr().unwrap());
    let connect = Ports::These(vec![server.port()]);
    let rules = Rules { connect, ..Rules::default() };
    let needs = Needs { strict_connect: true, ..Needs::default() };
    confined(&Left { needs, rules, ..Left::default() }, |_| {
        TcpStream::connect(server).expect("a server of the configuration");
        assert_eq!(TcpStream::connect(other).unwrap_err().kind(), PermissionDenied);
    });
}

#[test]
fn a_listener_that_was_there_goes_on_and_no_other_is_made() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    confined(&Left::default(), |_| {
        listener.accept().expect("a client");
        assert_eq!(TcpListener::bind("127.0.0.1:0").unwrap_err().kind(), PermissionDenied);
        rustix::net::listen(listener.as_fd(), 1).expect_err("refused even where it listens");
    });
    drop(client);
}
