//! Promise: each signal means one thing, whoever of the instance gets it, and all of them getting it
//! at once means the same as the wrapper alone.

use std::time::Duration;

use portolan_tests::client::{self, Stream};
use portolan_tests::{Listen, Origin, Portolan, Setup, Storm, address, deadline, processes, storm};
use rustix::process::Signal;

fn start(origin: &Origin) -> (Portolan, std::net::SocketAddr) {
    let front = address::free();
    let listen = Listen::at("proxy", front).server("one", origin.address);
    (Setup::new(listen.to_string()).workers(3).start(), front)
}

#[test]
fn usr2_and_hup_reload() {
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    for (n, signal) in [Signal::USR2, Signal::HUP].into_iter().enumerate() {
        portolan.signal(signal);
        deadline::until("the next generation", || portolan.generation() == n as u32 + 2);
        portolan.only_newest();
        client::connect(front).expect_echo(b"reloaded");
    }
}

#[test]
fn the_master_takes_signals_of_its_own_too() {
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    assert!(processes::signal(portolan.master(), Signal::USR2));
    deadline::until("the next generation", || portolan.generation() == 2);
    portolan.only_newest();
    client::connect(front).expect_echo(b"reloaded");
}

#[test]
fn a_reload_signal_to_every_process_at_once_is_one_reload() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    let storm = Storm::echo(8, front);
    for n in 1..=5 {
        let mark = portolan.notices().mark();
        portolan.signal_all(Signal::USR2);
        let reloading = portolan.notices().wait(mark, "RELOADING=1");
        portolan.notices().wait(reloading, "READY=1");
        portolan.only_newest();
        // A second one would follow at once.
        deadline::pause(Duration::from_millis(400));
        assert_eq!(portolan.generation(), n + 1);
        assert_eq!(portolan.notices().count(mark, "RELOADING=1"), 1);
    }
    storm.end_without_errors();
}

#[test]
fn usr1_to_the_wrapper_stops_softly_with_status_zero() {
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    softly(&portolan, front, || portolan.signal(Signal::USR1));
}

#[test]
fn usr1_to_every_process_at_once_is_the_same() {
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    softly(&portolan, front, || portolan.signal_all(Signal::USR1));
}

/// New connections are refused, those in flight finish, then everything leaves with status 0.
fn softly(portolan: &Portolan, front: std::net::SocketAddr, stop: impl Fn()) {
    let mut streams: Vec<Stream> = (0..6).map(|_| client::connect(front)).collect();
    for stream in &mut streams {
        stream.expect_echo(b"before");
    }
    let mark = portolan.notices().mark();
    stop();
    deadline::until("the address is closed", || client::try_connect(front).is_err());
    portolan.notices().wait(mark, "STOPPING=1");
    for stream in &mut streams {
        stream.expect_echo(b"in flight");
    }
    assert!(portolan.running());
    for stream in streams {
        stream.end_sending().expect("an end");
        let mut stream = stream;
        stream.expect_end();
    }
    assert_eq!(portolan.wait_exit().code(), Some(0));
}

#[test]
fn term_and_int_stop_at_once_with_the_signals_meaning() {
    use std::os::unix::process::ExitStatusExt;
    for (signal, number) in [(Signal::TERM, 15), (Signal::INT, 2)] {
        for all in [false, true] {
            let origin = Origin::echo();
            let (portolan, front) = start(&origin);
            let mut stream = client::connect(front);
            stream.expect_echo(b"before");
            let workers = portolan.whole();
            if all {
                portolan.signal_all(signal);
            } else {
                portolan.signal(signal);
            }
            stream.expect_closed();
            let status = portolan.wait_exit();
            let meaning = status.code().or(status.signal().map(|number| 128 + number));
            assert_eq!(meaning, Some(128 + number), "{signal:?}: {status}");
            assert!(workers.iter().all(|worker| !processes::alive(worker.pid)));
        }
    }
}

#[test]
fn a_hard_stop_ends_a_soft_one() {
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    let mut stream = client::connect(front);
    stream.expect_echo(b"in flight");
    portolan.signal(Signal::USR1);
    deadline::until("the address is closed", || client::try_connect(front).is_err());
    portolan.signal(Signal::TERM);
    stream.expect_closed();
    portolan.wait_exit();
}

#[test]
fn no_worker_dies_of_a_signal_that_is_not_for_it() {
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    let before = portolan.whole();
    let mut streams: Vec<Stream> = (0..6).map(|_| client::connect(front)).collect();
    let signals = [
        Signal::TERM,
        Signal::INT,
        Signal::USR2,
        Signal::HUP,
        Signal::TTOU,
        Signal::TTIN,
        Signal::PIPE,
    ];
    for signal in signals {
        for worker in &before {
            assert!(processes::signal(worker.pid, signal));
        }
        for stream in &mut streams {
            stream.expect_echo(b"unmoved");
        }
    }
    assert_eq!(portolan.whole(), before);
}

#[test]
fn a_worker_that_gets_usr1_alone_finishes_and_is_replaced() {
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    let before = portolan.whole();
    let mut streams: Vec<Stream> = (0..30).map(|_| client::connect(front)).collect();
    for stream in &mut streams {
        stream.expect_echo(b"before");
    }
    assert!(processes::signal(before[0].pid, Signal::USR1));
    deadline::until("another worker in its slot", || {
        portolan.workers().iter().any(|one| one.slot == 1 && one.pid != before[0].pid)
    });
    for stream in &mut streams {
        stream.expect_echo(b"undisturbed");
    }
    drop(streams);
    deadline::until("the old worker leaves", || !processes::alive(before[0].pid));
    client::connect(front).expect_echo(b"after");
    assert_eq!(portolan.whole()[1..], before[1..]);
}

#[test]
fn ttou_pauses_the_listeners_and_ttin_resumes_them() {
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    let mut stream = client::connect(front);
    stream.expect_echo(b"before");
    for all in [false, true] {
        let send = |signal| if all { portolan.signal_all(signal) } else { portolan.signal(signal) };
        send(Signal::TTOU);
        // Who comes now waits or is refused; nobody is served.
        deadline::until("nobody is served", || {
            let Ok(mut early) = client::try_connect(front) else { return true };
            early.limit(Duration::from_millis(500));
            early.exchange(b"x").is_err()
        });
        stream.expect_echo(b"living connections go on");
        send(Signal::TTIN);
        deadline::until("somebody is served", || {
            client::ask(front, b"after").is_ok_and(|answer| answer == b"after")
        });
    }
    portolan.whole();
}

#[test]
fn quit_writes_states_to_the_log_and_changes_nothing() {
    let origin = Origin::echo();
    let (portolan, front) = start(&origin);
    let before = (portolan.whole(), portolan.errors().len());
    portolan.signal(Signal::QUIT);
    deadline::until("a dump", || portolan.errors().len() > before.1);
    client::connect(front).expect_echo(b"unmoved");
    assert_eq!(portolan.whole(), before.0);
}

#[test]
fn signals_during_the_start_are_not_lost_and_kill_nobody() {
    // Sent from the first moment on, by somebody who does not know when the handlers stand.
    let origin = Origin::echo();
    for n in 0..10 {
        let front = address::free();
        let listen = Listen::at("proxy", front).server("one", origin.address);
        let portolan = Setup::new(listen.to_string()).spawn();
        // Before its first line a program is at the mercy of whoever starts it; from then on not.
        deadline::until("signals that are blocked", || blocks_usr2(portolan.wrapper()));
        deadline::pause(Duration::from_millis(n * 3));
        portolan.signal(Signal::USR2);
        deadline::until("service", || client::ask(front, b"x").is_ok_and(|answer| answer == b"x"));
        // The signal was kept until it could be obeyed.
        deadline::until("the second generation", || portolan.generation() == 2);
        assert!(portolan.running(), "killed by an early signal");
    }
}

/// Whether a process that is our program blocks SIGUSR2 (or has a handler already).
fn blocks_usr2(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
    };
    let bit = 1 << (Signal::USR2.as_raw() - 1);
    let ours = status.lines().next().is_some_and(|name| name.contains("portolan"));
    ours && (mask("SigBlk:") | mask("SigCgt:")) & bit != 0
}
