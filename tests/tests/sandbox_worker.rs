//! Promise: who has taken a worker over can serve its clients and little else: what it tries beyond that is
//! refused or ends the process, is logged, and concerns nobody else.

#![cfg(target_arch = "x86_64")]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use portolan_tests::attempts::{Column, Promise, address};
use portolan_tests::intruder::{Arg, Intruder, Outcome, possible};
use portolan_tests::{Stage, processes};

/// Fails with all findings at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn what_a_worker_does_not_need_is_refused_and_it_serves_on() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(2));
    stage.portolan.expect_refusals();
    let worker = stage.portolan.whole().remove(0);
    let scene = stage.scene(worker.pid);
    let mut intruder = Intruder::into(worker.pid);
    none(&scene.try_all(Column::Worker, &mut intruder));
    intruder.leave();
    stage.expect_served_by(worker.pid);
    // Every kind of call is told, as far as a stranger may fill the log.
    let line = stage.portolan.wait_error("the sandbox has refused");
    assert!(line.contains(&format!("({})", worker.pid)), "{line}");
}

#[test]
fn what_nobody_does_by_mistake_ends_the_worker_and_is_told() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(20));
    stage.portolan.expect_refusals();
    let portolan = &stage.portolan;
    let master = portolan.master();
    let workers = portolan.whole();
    let (bystander, victims) = workers.split_first().expect("workers");
    let mut count = 0;
    for victim in victims {
        let scene = stage.scene(victim.pid);
        let mut intruder = Intruder::into(victim.pid);
        let attempts = scene.lethal(Column::Worker, &mut intruder);
        let Some(attempt) = attempts.get(count) else { break };
        assert_eq!(attempt.promise(Column::Worker), Promise::Ends);
        attempt.end_with(intruder);
        let line = portolan.wait_error(&format!("Current worker ({}) ", victim.pid));
        assert!(line.contains("was killed by SIGSYS"), "{}: {line}", attempt.what);
        count += 1;
    }
    assert!((10..victims.len()).contains(&count), "{count} attempts");
    assert_eq!(portolan.master(), master);
    let whole = portolan.whole();
    assert!(whole.contains(bystander), "{whole:?}");
    stage.expect_served_by(bystander.pid);
}

/// Makes a TCP socket from within and has it connect there.
fn connect(intruder: &mut Intruder, to: SocketAddr) -> Outcome {
    let socket = tcp(intruder);
    let to = [socket.into(), Arg::At(address(to)), 16.into()];
    let outcome = intruder.call(libc::SYS_connect, &to);
    intruder.call(libc::SYS_close, &[socket.into()]);
    outcome
}

fn tcp(intruder: &mut Intruder) -> i64 {
    let make = [libc::AF_INET.into(), libc::SOCK_STREAM.into(), 0.into()];
    intruder.call(libc::SYS_socket, &make).value()
}

#[test]
fn with_strict_connect_no_port_is_reached_that_is_no_servers() {
    if !possible() {
        return;
    }
    let start = |strict: bool| {
        let stage = Stage::confined(|setup| setup.workers(2).global("strict_connect", strict));
        stage.portolan.expect_refusals();
        stage
    };
    let stage = start(false);
    let worker = stage.portolan.whole().remove(0);
    let stranger = stage.scene(worker.pid).stranger;
    let mut intruder = Intruder::into(worker.pid);
    assert_eq!(connect(&mut intruder, stranger), Outcome::Done(0));
    intruder.leave();

    let stage = start(true);
    let worker = stage.portolan.whole().remove(0);
    let stranger = stage.scene(worker.pid).stranger;
    let mut intruder = Intruder::into(worker.pid);
    let denied = Outcome::Failed(Errno::EACCES);
    assert_eq!(connect(&mut intruder, stranger), denied);
    assert_eq!(connect(&mut intruder, stage.front), denied);
    assert_eq!(connect(&mut intruder, stage.origin.address), Outcome::Done(0));
    // The ways round: data in the first packet connects without connect(2), or puts it off.
    let refused = Outcome::Failed(Errno::EPERM);
    let socket = tcp(&mut intruder);
    let fast = Arg::from(libc::MSG_FASTOPEN);
    let to = Arg::At(address(stranger));
    let send = [socket.into(), "x".into(), 1.into(), fast.clone(), to.clone(), 16.into()];
    assert_eq!(intruder.call(libc::SYS_sendto, &send), refused);
    let header = Arg::At(vec![0; 56]);
    let send = [socket.into(), header.clone(), fast.clone()];
    assert_eq!(intruder.call(libc::SYS_sendmsg, &send), refused);
    let send = [socket.into(), header, 1.into(), fast];
    assert_eq!(intruder.call(libc::SYS_sendmmsg, &send), refused);
    let late = [
        socket.into(),
        libc::IPPROTO_TCP.into(),
        libc::TCP_FASTOPEN_CONNECT.into(),
        Arg::At(vec![1, 0, 0, 0]),
        4.into(),
    ];
    assert_eq!(intruder.call(libc::SYS_setsockopt, &late), Outcome::Done(0));
    let to = [socket.into(), to, 16.into()];
    assert_eq!(intruder.call(libc::SYS_connect, &to), denied);
    intruder.leave();
    stage.expect_served_by(worker.pid);
}

#[test]
fn with_a_source_only_its_ports_are_bound_and_nobody_listens() {
    if !possible() {
        return;
    }
    let stage = Stage::with(
        |listen| listen.line("source = \"127.0.0.1\""),
        |setup| setup.workers(2).global("user", "\"nobody\"").global("group", "\"nogroup\""),
    );
    stage.portolan.expect_refusals();
    let worker = stage.portolan.whole().remove(0);
    let mut intruder = Intruder::into(worker.pid);
    let socket = tcp(&mut intruder);
    let bind = |port: u16| {
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        [socket.into(), Arg::At(address(to)), 16.into()]
    };
    let denied = Outcome::Failed(Errno::EACCES);
    assert_eq!(intruder.call(libc::SYS_bind, &bind(7777)), denied);
    assert_eq!(intruder.call(libc::SYS_bind, &bind(0)), Outcome::Done(0));
    let listen = [socket.into(), 1.into()];
    assert_eq!(intruder.call(libc::SYS_listen, &listen), Outcome::Failed(Errno::EPERM));
    intruder.leave();
    stage.expect_served_by(worker.pid);
}

#[test]
fn a_transparent_source_leaves_one_capability_and_no_raw_socket() {
    if !possible() {
        return;
    }
    let stage = Stage::with(
        |listen| listen.line("source = \"0.0.0.0 usesrc clientip\""),
        |setup| setup.workers(2).global("user", "\"nobody\"").global("group", "\"nogroup\""),
    );
    stage.portolan.expect_refusals();
    let worker = stage.portolan.whole().remove(0);
    let shown = |set: &str| processes::status(worker.pid, set).expect("a set of capabilities");
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        // CAP_NET_RAW, number 13.
        assert_eq!(shown(set), "0000000000002000", "{set}");
    }
    let mut intruder = Intruder::into(worker.pid);
    let refused = Outcome::Failed(Errno::EPERM);
    for (family, kind) in [(libc::AF_INET, libc::SOCK_RAW), (libc::AF_PACKET, libc::SOCK_RAW)] {
        let make = [family.into(), kind.into(), libc::IPPROTO_ICMP.into()];
        assert_eq!(intruder.call(libc::SYS_socket, &make), refused, "{family}");
    }
    let socket = tcp(&mut intruder);
    let option = |name: i32| {
        let on = Arg::At(vec![1, 0, 0, 0]);
        [socket.into(), libc::IPPROTO_IP.into(), name.into(), on, 4.into()]
    };
    let done = Outcome::Done(0);
    assert_eq!(intruder.call(libc::SYS_setsockopt, &option(libc::IP_TRANSPARENT)), done);
    assert_eq!(intruder.call(libc::SYS_setsockopt, &option(libc::IP_HDRINCL)), refused);
    intruder.leave();
}

/// A process of the test's own, which nothing confines.
struct Bystander(Child);

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_a_sandbox_every_attempt_gets_to_the_kernel() {
    if !possible() {
        return;
    }
    let stage = Stage::confined(|setup| setup.workers(2));
    let worker = stage.portolan.whole().remove(0);
    let scene = stage.scene(worker.pid);
    let mut cat = Command::new("/bin/cat");
    let cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut bystander = Bystander(cat.expect("a process"));
    let pid = bystander.0.id() as i32;
    // It has come to its loop, with all of its libraries.
    bystander.0.stdin.as_mut().expect("its input").write_all(b"x").expect("a byte");
    let output = bystander.0.stdout.as_mut().expect("its output");
    output.read_exact(&mut [0]).expect("its answer");
    let mut intruder = Intruder::into(pid);
    none(&scene.try_all(Column::Bare, &mut intruder));
    none(&scene.try_lethal(Column::Bare, &mut intruder));
}

#[test]
fn with_the_sandbox_off_a_worker_is_refused_what_the_wrapper_has_given_up_for_all() {
    if !possible() {
        return;
    }
    let stage = Stage::open(|setup| setup.workers(2));
    let worker = stage.portolan.whole().remove(0);
    let scene = stage.scene(worker.pid);
    let mut intruder = Intruder::into(worker.pid);
    none(&scene.try_all(Column::Master, &mut intruder));
    intruder.leave();
    stage.expect_served_by(worker.pid);
}
