//! Promise: whatever breaks the link between a worker that retires and its successor while both live, it is made
//! anew at once: the old worker leaves with its last answer, and its clients notice nothing.

#![cfg(target_arch = "x86_64")]

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use portolan_tests::intruder::possible;
use portolan_tests::origin::Gate;
use portolan_tests::{
    HttpClient, HttpOrigin, Listen, Portolan, Setup, address, deadline, processes,
};
use rustix::net::{Shutdown, SocketType, shutdown, sockopt};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, Signal, pidfd_getfd, pidfd_open, prlimit,
};

const ASKED: &str = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";

/// One worker, one client that has its answer and one whose request is in progress.
struct Work {
    portolan: Portolan,
    gate: Gate,
    _origin: HttpOrigin,
    idle: HttpClient,
    busy: HttpClient,
    old: i32,
}

impl Work {
    fn begin() -> Self {
        let (origin, gate) = HttpOrigin::gated();
        let front = address::free();
        let listen = Listen::http("web", front).server("one", origin.address);
        let portolan = Setup::new(listen.to_string()).workers(1).start();
        let old = portolan.whole()[0].pid;
        let mut idle = HttpClient::to(front);
        idle.send(ASKED);
        gate.open(1);
        idle.response().expect(200);
        let mut busy = HttpClient::to(front);
        busy.send(ASKED);
        origin.wait_heads(2);
        Self { portolan, gate, _origin: origin, idle, busy, old }
    }

    fn newest(&self) -> i32 {
        let generation = self.portolan.generation();
        let workers = self.portolan.all_workers();
        workers.iter().find(|one| one.generation == generation).expect("a successor").pid
    }

    /// The answer comes, and with it the old worker's end; both clients go on.
    fn finish(mut self) {
        self.gate.open(1);
        self.busy.response().expect(200);
        deadline::until("the old worker has left", || !processes::alive(self.old));
        self.gate.open(2);
        for client in [&mut self.idle, &mut self.busy] {
            client.send(ASKED);
            client.response().expect(200);
        }
    }

    fn wait_mended(&self) {
        let line =
            format!("Former worker ({}) is linked to worker ({}) anew", self.old, self.newest());
        self.portolan.wait_error(&line);
    }
}

/// The ends of links between workers that this process has.
fn links(pid: i32) -> Vec<OwnedFd> {
    let process = pidfd_open(Pid::from_raw(pid).expect("a process"), PidfdFlags::empty());
    let process = process.expect("its pidfd");
    let folder = format!("/proc/{pid}/fd");
    let target = |number: &str| std::fs::read_link(Path::new(&folder).join(number)).ok();
    let (master, mut seen) = (target("3"), Vec::new());
    for entry in std::fs::read_dir(&folder).expect("its descriptors") {
        let number = entry.expect("one").file_name().into_string().expect("a number");
        let this = target(&number);
        let get = |number: i32| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok();
        let Some(fd) = number.parse().ok().and_then(get) else { continue };
        // The worker has each of them twice: to read, and to be woken by.
        if sockopt::socket_type(&fd) == Ok(SocketType::SEQPACKET)
            && this != master
            && seen.iter().all(|(known, _)| *known != this)
        {
            seen.push((this, fd));
        }
    }
    seen.into_iter().map(|(_, fd)| fd).collect()
}

/// Both sides find the end of their link, and live.
fn cut(pid: i32) {
    let link = deadline::eventually("a link", || links(pid).pop());
    shutdown(link.as_fd(), Shutdown::Both).expect("the end of a link");
}

/// Leaves the process without room for a single descriptor more: all numbers below the limit are taken. What it had.
fn fill(pid: i32) -> Rlimit {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(4), maximum };
    prlimit(Pid::from_raw(pid), Resource::Nofile, limit).expect("its limit")
}

#[test]
fn a_link_that_was_cut_is_made_anew_and_the_old_worker_leaves_with_its_last_answer() {
    if !possible() {
        return;
    }
    let work = Work::begin();
    work.portolan.reload();
    cut(work.newest());
    work.wait_mended();
    // Once more, by the other end.
    cut(work.old);
    work.portolan.wait_error("2 links have broken in a row");
    work.finish();
}

#[test]
fn who_has_no_descriptor_left_for_its_end_of_a_link_gets_one_later() {
    if !possible() {
        return;
    }
    for giver in [true, false] {
        let work = Work::begin();
        work.portolan.reload();
        deadline::until("a link", || !links(work.old).is_empty());
        let poor = if giver { work.old } else { work.newest() };
        let before = fill(poor);
        cut(work.old);
        work.portolan.wait_error("an order came without its descriptor");
        let pid = Pid::from_raw(poor);
        prlimit(pid, Resource::Nofile, before).expect("its limit");
        work.portolan.wait_error("links have broken in a row");
        work.finish();
    }
}

#[test]
fn a_link_survives_what_finds_no_descriptor_in_the_successor() {
    if !possible() {
        return;
    }
    let work = Work::begin();
    work.portolan.reload();
    let newest = work.newest();
    deadline::until("a link", || !links(work.old).is_empty());
    let before = fill(newest);
    let mut work = work;
    work.gate.open(1);
    work.busy.response().expect(200);
    // It is served where it is.
    work.gate.open(1);
    work.busy.send(ASKED);
    work.busy.response().expect(200);
    assert!(processes::alive(work.old));
    prlimit(Pid::from_raw(newest), Resource::Nofile, before).expect("its limit");
    deadline::until("the old worker has left", || !processes::alive(work.old));
    assert!(!work.portolan.errors().contains("links have broken in a row"));
    work.gate.open(2);
    for client in [&mut work.idle, &mut work.busy] {
        client.send(ASKED);
        client.response().expect(200);
    }
}

#[test]
fn a_master_that_dies_beside_a_broken_link_is_followed_by_one_that_makes_another() {
    if !possible() {
        return;
    }
    let work = Work::begin();
    work.portolan.reload();
    let master = work.portolan.master();
    deadline::until("a link", || !links(work.old).is_empty());
    assert!(processes::signal(master, Signal::STOP));
    cut(work.old);
    // What the old worker says of it is heard by nobody.
    assert!(processes::signal(master, Signal::KILL));
    work.finish();
}
