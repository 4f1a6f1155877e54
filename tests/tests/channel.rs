//! Promise: what comes over a channel cut, oversized, out of order or in a foreign version is refused
//! and never half believed, by the worker and by the master.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portolan_shared::channel::{Channel, encode};
use portolan_shared::message::{Hello, MESSAGE_MAX, MemoryKind, Role, ToMaster, ToWorker};
use portolan_tests::{Listen, Origin, Setup, address, binaries, client, deadline, processes};
use rustix::net::{SendFlags, send};
use rustix::process::Signal;

/// A worker whose master is this test.
fn worker() -> (Channel, Child, tempfile::NamedTempFile) {
    let (ours, theirs) = Channel::pair().expect("a channel");
    let errors = tempfile::NamedTempFile::new().expect("a file");
    let child = Command::new("/bin/bash")
        .args(["-c", "exec \"$0\" --role worker 3<&0 0</dev/null"])
        .arg(binaries::path("portolan-worker"))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(errors.reopen().expect("a second handle"))
        .spawn()
        .expect("a worker");
    (ours, child, errors)
}

/// It leaves by itself, with the status of a failed start and without a panic.
fn refuses(mut child: Child, errors: &tempfile::NamedTempFile, what: &str) {
    let end = Instant::now() + deadline::LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("the worker") {
            break status;
        }
        if Instant::now() > end {
            child.kill().expect("the worker");
            child.wait().expect("its end");
            panic!("{what}: the worker stays");
        }
        deadline::pause(Duration::from_millis(5));
    };
    let text = std::fs::read_to_string(errors.path()).expect("what it printed");
    assert!(!text.contains("panicked"), "{what}: {text}");
    assert_eq!(status.code(), Some(1), "{what}: {text}");
}

fn hello() -> ToWorker {
    ToWorker::Hello(Hello {
        role: Role::Worker,
        slot: 0,
        slots: 1,
        generation: 1,
        lane: 0,
        master_pid: std::process::id() as i32,
        debug: false,
    })
}

#[test]
fn a_worker_refuses_a_first_message_cut_anywhere() {
    let whole = encode(&hello()).expect("bytes");
    for length in 1..whole.len() {
        let (ours, child, errors) = worker();
        send(ours.as_fd(), &whole[..length], SendFlags::empty()).expect("a datagram");
        refuses(child, &errors, &format!("{length} of {} bytes", whole.len()));
    }
}

#[test]
fn a_worker_refuses_what_is_no_message() {
    let whole = encode(&hello()).expect("bytes");
    let mut foreign = whole.clone();
    foreign[..2].copy_from_slice(&99_u16.to_le_bytes());
    let longer = [&whole[..], b"x"].concat();
    let oversized = vec![1; MESSAGE_MAX + 1];
    for bytes in [&foreign, &longer, &oversized, &vec![0xff; 100], &vec![1, 0, 0xff, 0xff]] {
        let (ours, child, errors) = worker();
        send(ours.as_fd(), bytes, SendFlags::empty()).expect("a datagram");
        refuses(child, &errors, &format!("{:?}…", &bytes[..bytes.len().min(8)]));
    }
}

#[test]
fn a_worker_refuses_messages_out_of_order() {
    let orders = [
        vec![ToWorker::Done { length: 0 }],
        vec![ToWorker::Piece(vec![1, 2, 3])],
        vec![hello(), ToWorker::Done { length: 0 }],
        vec![hello(), ToWorker::Piece(vec![0; 10]), ToWorker::Done { length: 10 }],
        vec![hello(), ToWorker::Piece(vec![0; 10]), ToWorker::Done { length: 11 }],
        // Descriptors that are named and not there.
        vec![hello(), ToWorker::Memory(MemoryKind::Lanes)],
        vec![hello(), ToWorker::Doorbell { lane: 3 }],
        vec![hello(), hello()],
    ];
    for order in orders {
        let (mut ours, child, errors) = worker();
        for message in &order {
            // It may have left before the second message.
            let _ = ours.send(message, &[]);
        }
        refuses(child, &errors, &format!("{order:?}"));
    }
}

#[test]
fn a_worker_whose_master_leaves_before_it_is_ready_leaves_too() {
    for sent in [None, Some(hello())] {
        let (mut ours, mut child, errors) = worker();
        if let Some(message) = &sent {
            ours.send(message, &[]).expect("a message");
            let answer = ours.receive_within::<ToMaster>(deadline::LIMIT).expect("an answer");
            assert!(matches!(answer.message, ToMaster::Hello { .. }));
        }
        drop(ours);
        deadline::eventually("its end", || child.try_wait().expect("the worker"));
        let text = std::fs::read_to_string(errors.path()).expect("what it printed");
        assert!(!text.contains("panicked"), "{text}");
    }
}

/// An instance whose worker program misbehaves in this way.
fn with_bad_worker(behaviour: &str) -> Setup {
    let origin = address::free();
    let listen = Listen::at("proxy", address::free()).server("one", origin);
    let setup = Setup::new(listen.to_string()).global("start_timeout", "\"1s\"");
    let programs = setup.file("programs");
    binaries::install(&programs);
    let bad = Path::new(env!("CARGO_BIN_EXE_bad-worker"));
    binaries::replace(bad, &programs.join("portolan-worker"));
    std::fs::write(programs.join("behaviour"), behaviour).expect("a behaviour");
    setup.programs(&programs)
}

#[test]
fn a_master_refuses_a_worker_that_talks_nonsense_or_nothing() {
    let behaviours =
        ["garbage", "wrong protocol", "truncated", "ready before hello", "flood", "silent", ""];
    for behaviour in behaviours {
        let failure = with_bad_worker(behaviour).try_start().expect_err(behaviour);
        let code = failure.status.and_then(|status| status.code());
        assert_eq!(code, Some(1), "{behaviour}: {failure}");
        assert!(!failure.errors.contains("panicked"), "{behaviour}: {failure}");
        assert!(failure.errors.contains("worker"), "{behaviour}: {failure}");
    }
}

#[test]
fn a_worker_that_dies_again_and_again_is_respawned_ever_more_slowly() {
    // On a busy machine the first may die before the second is ready, which is a start that failed.
    let portolan = (0..10)
        .find_map(|_| with_bad_worker("dies after ready").try_start().ok())
        .expect("one start in ten");
    let mut seen = std::collections::BTreeSet::new();
    let began = Instant::now();
    deadline::until("two seconds, and a second life in each slot", || {
        seen.extend(portolan.all_workers().iter().map(|worker| worker.pid));
        seen.extend(processes::children(portolan.master()).iter().map(|child| child.pid));
        began.elapsed() >= Duration::from_secs(2) && seen.len() >= 4
    });
    assert!(portolan.running(), "the instance itself stays");
    // Two slots, two seconds, 50 ms a life: without back-off these were eighty.
    assert!(seen.len() < 40, "{} lives in {:?}", seen.len(), began.elapsed());
    portolan.signal(Signal::TERM);
    portolan.wait_exit();
}

#[test]
fn a_reload_to_workers_that_die_again_and_again_is_refused() {
    let origin = Origin::echo();
    let front = address::free();
    let setup = Setup::new(Listen::at("proxy", front).server("one", origin.address).to_string());
    let programs = setup.file("programs");
    binaries::install(&programs);
    let portolan = setup.global("start_timeout", "\"4s\"").programs(&programs).start();
    let before = portolan.whole();
    let bad = Path::new(env!("CARGO_BIN_EXE_bad-worker"));
    for behaviour in ["", "garbage", "silent"] {
        binaries::replace(bad, &programs.join("portolan-worker"));
        std::fs::write(programs.join("behaviour"), behaviour).expect("a behaviour");
        portolan.reload_fails();
        client::connect(front).expect_echo(b"the old generation stays");
        deadline::until("nobody is left of the refused generation", || {
            portolan.workers() == before
        });
    }
    binaries::install(&programs);
    portolan.reload();
    client::connect(front).expect_echo(b"repaired");
}
