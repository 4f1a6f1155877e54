//! Promise: when a worker dies by a fault the operator can see what it had read last, escaped; when it
//! was killed or left, there is nothing to see.

use std::net::SocketAddr;

use portolan_tests::fake::{Fakes, listen};
use portolan_tests::{
    Control, HttpClient, HttpOrigin, Listen, Origin, Portolan, Setup, address, client, deadline,
    processes,
};
use rustix::process::Signal;

const NONE: &str = "Total captures: 0, 0 of them kept\n";

/// A proxy of mode tcp with this many workers, before a server that echoes.
fn proxy(workers: u16, setup: impl FnOnce(Setup) -> Setup) -> (Portolan, SocketAddr, Origin) {
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::at("tcp", front).server("one", origin.address);
    let portolan = setup(Setup::new(listen.to_string()).workers(workers)).start();
    (portolan, front, origin)
}

fn captures(portolan: &Portolan) -> String {
    Control::of(portolan).ask("show captures") + "\n"
}

/// Ends the only worker with this signal; returns when there is another one.
fn end(portolan: &Portolan, signal: Signal) -> i32 {
    let pid = portolan.whole().remove(0).pid;
    // The first one may only make the runtime look whether it was its own stack.
    deadline::until("it has ended", || !processes::signal(pid, signal) || !processes::alive(pid));
    deadline::until("another one is there", || {
        portolan.workers().iter().any(|worker| worker.pid != pid)
    });
    portolan.whole();
    pid
}

#[test]
fn who_dies_by_a_fault_leaves_what_it_had_read_last() {
    let (portolan, front, _origin) = proxy(1, |setup| setup);
    assert_eq!(captures(&portolan), NONE);
    let faults = [
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::ILL, "SIGILL"),
        (Signal::SEGV, "SIGSEGV"),
    ];
    for (count, (signal, name)) in faults.into_iter().enumerate() {
        let mut client = client::connect(front);
        client.expect_echo(format!("fault {count}\r\n\x1b[2Jbeep\x07\\").as_bytes());
        let pid = end(&portolan, signal);
        let line = portolan.wait_error(&format!("Worker ({pid}): last read"));
        // The last read is the echo of it.
        let from = format!("of client {}", client.local_addr());
        assert!(line.contains("19 bytes") && line.contains(&from), "{line}");
        let text = captures(&portolan);
        assert!(
            text.starts_with(&format!("Total captures: {0}, {0} of them", count + 1)),
            "{text}"
        );
        let who = format!("worker 1 ({pid}) of generation 1 was killed by {name}\n");
        assert!(text.contains(&who), "{text}");
        let dumped = format!("  00000  fault {count}\\r\\n\n  00009  \\e[2Jbeep\\x07\\\\\n");
        assert!(text.ends_with(&dumped), "{text}");
    }
}

#[test]
fn who_is_killed_or_leaves_has_nothing_to_show() {
    let (portolan, front, _origin) = proxy(1, |setup| setup);
    for signal in [Signal::KILL, Signal::USR1] {
        client::connect(front).expect_echo(b"nobody's business");
        end(&portolan, signal);
        assert_eq!(captures(&portolan), NONE, "{signal:?}");
    }
}

#[test]
fn who_reads_nothing_has_nothing_to_show_of_its_lanes_former_owner() {
    let (portolan, front, _origin) = proxy(1, |setup| setup);
    client::connect(front).expect_echo(b"of another");
    end(&portolan, Signal::KILL);
    end(&portolan, Signal::ABORT);
    assert_eq!(captures(&portolan), NONE);
}

#[test]
fn a_request_is_captured_as_it_came_from_its_client() {
    let origin = HttpOrigin::named("ok");
    let front = address::free();
    let listen = Listen::http("web", front).server("one", origin.address);
    let portolan = Setup::new(listen.to_string()).workers(1).start();
    let mut client = HttpClient::to(front);
    client.send("GET /poison HTTP/1.1\r\nBad Field: x\r\n\r\n").response().expect(400);
    let from = client.stream().local_addr();
    end(&portolan, Signal::ABORT);
    let text = captures(&portolan);
    assert!(text.contains(&format!("  last read 38 bytes from client {from}, ")), "{text}");
    let lines = ["00000  GET /poison HTTP/1.1", "00022  Bad Field: x", "00036  "];
    let dumped = lines.map(|line| format!("  {line}\\r\\n\n")).concat();
    assert!(text.ends_with(&dumped), "{text}");
}

#[test]
fn a_worker_whose_loop_stood_still_leaves_it_too_and_the_command_prints_it() {
    let hung = |setup: Setup| setup.global("heartbeat_timeout", "\"500ms\"");
    let (portolan, front, _origin) = proxy(2, hung);
    client::connect(front).expect_echo(b"before it hung");
    for worker in portolan.whole() {
        processes::signal(worker.pid, Signal::STOP);
        portolan.wait_error(&format!("Worker ({}) has stood still", worker.pid));
    }
    portolan.wait_error("last read 14 bytes");
    let output = portolan.command(&["show", "captures"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("Total captures: 1, "), "{text}");
    assert!(text.contains(" was killed by SIGKILL\n"), "{text}");
    assert!(text.ends_with("  00000  before it hung\n"), "{text}");
}

#[test]
fn a_panic_is_a_fault() {
    let setup = Setup::new(listen(address::free())).workers(1);
    let fakes = Fakes::install(&setup);
    fakes.behave("* panic 50");
    let portolan = setup.programs(fakes.programs()).start();
    portolan.wait_error("last read 10 bytes from a client without address");
    fakes.behave("");
    let text = captures(&portolan);
    assert!(
        text.contains("exited with code 101") || text.contains("was killed by SIGABRT"),
        "{text}"
    );
    assert!(text.contains("  00000  last words\n"), "{text}");
}

#[test]
fn a_master_that_follows_finds_what_a_worker_had_read() {
    let (portolan, front, _origin) = proxy(1, |setup| setup);
    let worker = portolan.whole().remove(0).pid;
    let before = portolan.master();
    processes::signal(before, Signal::KILL);
    deadline::until("another master", || {
        portolan.try_master().is_some_and(|pid| pid != before) && portolan.workers().len() == 1
    });
    deadline::until("it serves", || client::ask(front, b"x").is_ok_and(|echo| echo == b"x"));
    client::connect(front).expect_echo(b"under the second");
    assert_eq!(end(&portolan, Signal::ABORT), worker, "it was adopted");
    portolan.wait_error("last read 16 bytes");
    assert!(captures(&portolan).ends_with("  00000  under the second\n"));
}
