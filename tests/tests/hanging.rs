//! Promise: a worker that hangs is found, described in the log and treated as dead: its accept queue is
//! served by a deputy, its slot filled again, and the connections of the others do not notice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use portolan_tests::client::Stream;
use portolan_tests::fake::{Fakes, listen};
use portolan_tests::{
    Control, Listen, Origin, Portolan, Setup, address, client, deadline, processes,
};
use rustix::process::{Pid, Signal, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A proxy of mode tcp with three workers that may stand still for as long.
fn proxy(heartbeat: &str) -> (Portolan, SocketAddr, Origin) {
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::at("tcp", front).server("one", origin.address);
    let setup = Setup::new(listen.to_string()).workers(3);
    (setup.global("heartbeat_timeout", format!("\"{heartbeat}\"")).start(), front, origin)
}

/// Clients that talk without pause, on connections of their own.
struct Talkers {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    threads: Vec<JoinHandle<bool>>,
}

impl Talkers {
    /// Whether each of them went well is told by their end.
    fn on(streams: Vec<Stream>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU64::new(0));
        let talk = |mut stream: Stream| {
            let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let said = rounds.fetch_add(1, Ordering::Relaxed).to_string();
                    match stream.exchange(said.as_bytes()) {
                        Ok(heard) if heard == said.as_bytes() => {}
                        _ => return false,
                    }
                }
                true
            })
        };
        let threads = streams.into_iter().map(talk).collect();
        Self { stop, rounds, threads }
    }

    fn wait_more(&self, more: u64) {
        let goal = self.rounds.load(Ordering::Relaxed) + more;
        deadline::until("they talk", || self.rounds.load(Ordering::Relaxed) >= goal);
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let well: Vec<bool> =
            self.threads.into_iter().map(|one| one.join().expect("a talker")).collect();
        assert!(well.iter().all(|well| *well), "connections of other workers: {well:?}");
    }
}

/// Streams that this slot's worker (from 1) does not have.
fn streams_of_others(portolan: &Portolan, front: SocketAddr, slot: u32) -> Vec<Stream> {
    let of_slot = |stream: &mut Stream| {
        stream.expect_echo(b"who?");
        let all = Control::of(portolan).ask(&format!("show sess worker {slot}"));
        all.contains(&stream.local_addr().to_string())
    };
    let mut streams: Vec<Stream> = (0..24).map(|_| client::connect(front)).collect();
    streams.retain_mut(|stream| !of_slot(stream));
    assert!(!streams.is_empty(), "some belong to the others");
    streams
}

/// Connects and talks as often as it takes for every accept queue to have been met.
fn everybody_new_is_served(front: SocketAddr) {
    for n in 0..40 {
        client::connect(front).expect_echo(format!("new {n}").as_bytes());
    }
}

#[test]
fn a_stopped_worker_is_replaced_and_the_others_connections_go_on() {
    let (portolan, front, _origin) = proxy("3s");
    let victim = portolan.whole().into_iter().find(|one| one.slot == 2).expect("a worker").pid;
    let talkers = Talkers::on(streams_of_others(&portolan, front, 2));
    talkers.wait_more(50);
    assert!(processes::signal(victim, Signal::STOP));
    // Nobody knows yet: who comes to its queue waits there, the others are served.
    let waiting: Vec<Stream> = (0..24).map(|_| client::connect(front)).collect();
    talkers.wait_more(50);
    portolan.wait_error(&format!("Worker ({victim}) has stood still"));
    let line = portolan.wait_error("State:");
    assert!(line.contains("T (stopped)"), "{line}");
    portolan.wait_error("is deputy for slot 2");
    for mut stream in waiting {
        stream.expect_echo(b"still here");
    }
    everybody_new_is_served(front);
    deadline::until("another one is in its place", || {
        portolan.whole().iter().any(|one| one.slot == 2 && one.pid != victim)
    });
    assert!(!processes::alive(victim));
    everybody_new_is_served(front);
    talkers.wait_more(50);
    talkers.end();
}

/// Work of which there is too much on one processor.
struct Hogs {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hogs {
    /// So many loops on this processor.
    fn on(processor: usize, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let hog = move |stop: Arc<AtomicBool>| {
            let mut only = CpuSet::new();
            only.set(processor);
            sched_setaffinity(None, &only).expect("a processor of ours");
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        let threads =
            (0..count).map(|_| Arc::clone(&stop)).map(|stop| thread::spawn(move || hog(stop)));
        let threads = threads.collect();
        Self { stop, threads }
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|one| one.join().expect("a hog"));
    }
}

#[test]
fn a_worker_that_gets_no_turn_on_a_processor_is_named_and_lives() {
    let (portolan, front, _origin) = proxy("500ms");
    let all = portolan.whole();
    let pid = all.iter().find(|one| one.slot == 1).expect("a worker").pid;
    let mut talker = streams_of_others(&portolan, front, 2).remove(0);
    // It shares one processor with many others, each of whom is far more important.
    let worker = Pid::from_raw(pid).expect("a worker");
    let ours = sched_getaffinity(None).expect("our processors");
    let processor = (0..CpuSet::MAX_CPU).find(|one| ours.is_set(*one)).expect("one of them");
    let mut only = CpuSet::new();
    only.set(processor);
    sched_setaffinity(Some(worker), &only).expect("a worker of ours");
    setpriority_process(Some(worker), 19).expect("less important");
    let hogs = Hogs::on(processor, 50);
    portolan.wait_error(&format!("Worker ({pid}) has had no turn on a processor for"));
    drop(hogs);
    talker.expect_echo(b"still here");
    everybody_new_is_served(front);
    assert_eq!(portolan.whole(), all);
    assert!(!portolan.errors().contains("has stood still"), "{}", portolan.errors());
}

#[test]
fn an_endless_loop_is_ended_whatever_its_processor_does() {
    let setup = Setup::new(listen(address::free())).workers(2);
    let fakes = Fakes::install(&setup);
    let setup = setup.programs(fakes.programs()).global("heartbeat_timeout", "\"500ms\"");
    let portolan = setup.start();
    let first = portolan.whole().into_iter().find(|one| one.slot == 1).expect("a worker").pid;
    fakes.behave("1 spin");
    assert!(processes::signal(first, Signal::KILL));
    let line = portolan.wait_error("has stood still");
    fakes.behave("");
    assert!(!line.contains(&format!("({first})")), "{line}");
    // What the system knows of it: a loop runs, where another one sleeps.
    let state = portolan.wait_error("State:");
    assert!(state.contains("R (running)"), "{state}");
    fakes.wait_heard("deputy 1 true");
    deadline::until("both serve", || portolan.workers().len() == 2);
    portolan.whole();
}

#[test]
fn the_last_worker_that_hangs_is_replaced_and_its_queue_is_served_by_the_next() {
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::at("tcp", front).server("one", origin.address);
    let setup = Setup::new(listen.to_string()).workers(1);
    let portolan = setup.global("heartbeat_timeout", "\"500ms\"").start();
    let victim = portolan.whole().remove(0).pid;
    assert!(processes::signal(victim, Signal::STOP));
    let mut waiting = client::connect(front);
    waiting.expect_echo(b"in the end");
    assert!(!processes::alive(victim));
}

#[test]
fn workers_that_are_killed_every_second_are_always_back_at_once() {
    let (portolan, front, _origin) = proxy("10s");
    for _ in 0..6 {
        for worker in portolan.whole() {
            processes::signal(worker.pid, Signal::KILL);
        }
        // Nobody is left to be a deputy: who comes now is served by whoever comes next.
        everybody_new_is_served(front);
        portolan.whole();
        deadline::pause(std::time::Duration::from_millis(300));
    }
    assert!(portolan.running());
}
