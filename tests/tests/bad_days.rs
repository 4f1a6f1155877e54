//! Promise: any one process may be killed or hang at any moment. No listening socket goes away, no
//! connection is lost but the killed worker's own, and the set is whole again soon.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use portolan_tests::client::{self, Stream};
use portolan_tests::processes::Worker;
use portolan_tests::{
    Listen, Origin, Portolan, Setup, Storm, address, binaries, deadline, processes, storm,
};
use rustix::process::Signal;

fn start(workers: u16, origin: &Origin) -> (Portolan, SocketAddr) {
    let front = address::free();
    let listen = Listen::at("proxy", front).server("one", origin.address);
    (Setup::new(listen.to_string()).workers(workers).start(), front)
}

/// Waits until this worker's slot has another process.
fn replaced(portolan: &Portolan, former: &Worker) -> Worker {
    deadline::eventually("another worker in the slot", || {
        portolan.workers().into_iter().find(|one| one.slot == former.slot && one.pid != former.pid)
    })
}

#[test]
fn a_killed_worker_takes_only_its_own_connections_with_it() {
    let origin = Origin::echo();
    let (portolan, front) = start(4, &origin);
    let workers = portolan.whole();
    let mut streams: Vec<Stream> = (0..80).map(|_| client::connect(front)).collect();
    for stream in &mut streams {
        stream.expect_echo(b"before");
    }
    assert!(processes::signal(workers[1].pid, Signal::KILL));
    deadline::until("its end", || !processes::alive(workers[1].pid));
    let lost = streams.iter_mut().filter_map(|stream| stream.exchange(b"after").err()).count();
    assert!(lost > 0, "one of four workers had none of eighty connections");
    assert!(lost < 60, "{lost} of eighty connections were lost with one of four workers");
    let fresh = replaced(&portolan, &workers[1]);
    assert_eq!(fresh.generation, workers[1].generation);
    for (n, worker) in portolan.whole().iter().enumerate() {
        assert_eq!(worker.pid == workers[n].pid, n != 1, "{worker:?}");
    }
    for _ in 0..40 {
        client::connect(front).expect_echo(b"and everybody is served");
    }
}

#[test]
fn nobody_who_comes_after_a_workers_death_is_lost() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (portolan, front) = start(3, &origin);
    for _ in 0..4 {
        let victim = portolan.whole().swap_remove(2);
        assert!(processes::signal(victim.pid, Signal::KILL));
        deadline::until("its end", || !processes::alive(victim.pid));
        // Those that hash to the slot without a worker wait for a deputy, then for its successor.
        for _ in 0..30 {
            let answer = client::ask(front, b"after the death");
            assert_eq!(answer.expect("an answer"), b"after the death");
        }
        replaced(&portolan, &victim);
    }
}

#[test]
fn a_deputy_serves_the_queue_of_a_slot_that_stays_empty() {
    // Killed again and again, the slot's respawn is held back; its queue is not.
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (portolan, front) = start(2, &origin);
    for _ in 0..15 {
        if let Some(victim) = portolan.workers().into_iter().find(|one| one.slot == 1) {
            processes::signal(victim.pid, Signal::KILL);
            deadline::until("its end", || !processes::alive(victim.pid));
        }
        for _ in 0..4 {
            assert_eq!(client::ask(front, b"hello").expect("an answer"), b"hello");
        }
    }
    portolan.whole();
}

/// Clients of the storm, each with one connection at a time, and workers killed under it.
const CLIENTS: usize = 16;
const DEATHS: usize = 5;

#[test]
fn a_worker_killed_under_load_costs_only_what_it_had_in_flight() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (portolan, front) = start(4, &origin);
    let storm = Storm::echo(CLIENTS, front);
    for n in 0..DEATHS {
        storm.wait_more(200);
        let victim = portolan.whole().swap_remove(n % 4);
        assert!(processes::signal(victim.pid, Signal::KILL));
        replaced(&portolan, &victim);
    }
    storm.wait_more(200);
    let outcome = storm.end();
    assert!(outcome.errors.len() <= CLIENTS * DEATHS, "{:#?}", outcome.errors);
    assert!(outcome.errors.iter().all(|error| !error.contains("refused")), "{:#?}", outcome.errors);
}

#[test]
fn a_stopped_worker_is_treated_as_dead() {
    let origin = Origin::echo();
    let (portolan, front) = start(3, &origin);
    let victim = portolan.whole().swap_remove(0);
    assert!(processes::signal(victim.pid, Signal::STOP));
    replaced(&portolan, &victim);
    deadline::until("the stopped one is ended", || !processes::alive(victim.pid));
    for _ in 0..30 {
        client::connect(front).expect_echo(b"served");
    }
    portolan.whole();
}

#[test]
fn no_client_of_a_stopped_worker_waits_for_ever() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (portolan, front) = start(3, &origin);
    let victim = portolan.whole().swap_remove(1);
    assert!(processes::signal(victim.pid, Signal::STOP));
    // A third of these hash to the stopped worker: they wait until it is found dead.
    let clients: Vec<_> = (0..30)
        .map(|_| {
            let mut stream = client::connect(front);
            stream.write_all(b"patience").expect("room for a message");
            stream
        })
        .collect();
    for mut stream in clients {
        let mut answer = [0; 8];
        std::io::Read::read_exact(&mut stream, &mut answer).expect("an answer in the end");
    }
    replaced(&portolan, &victim);
}

#[test]
fn a_killed_master_is_restarted_and_new_connections_are_served() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (portolan, front) = start(3, &origin);
    for _ in 0..2 {
        portolan.whole();
        let storm = Storm::echo(8, front);
        storm.wait_more(50);
        let master = portolan.master();
        assert!(processes::signal(master, Signal::KILL));
        deadline::until("another master", || {
            portolan.try_master().is_some_and(|pid| pid != master)
        });
        storm.wait_more(200);
        // The listeners were never closed: nobody was refused.
        let outcome = storm.end();
        assert!(outcome.errors.is_empty(), "{:#?}", outcome.errors);
        portolan.whole();
    }
    assert!(portolan.running());
    portolan.reload();
    client::connect(front).expect_echo(b"reloaded after all");
}

#[test]
fn a_restarted_master_runs_what_was_accepted_and_not_what_lies_on_the_disk() {
    let origin = Origin::echo();
    let (portolan, front) = start(2, &origin);
    portolan.configure("this is no configuration");
    let master = portolan.master();
    assert!(processes::signal(master, Signal::KILL));
    deadline::until("another master", || portolan.try_master().is_some_and(|pid| pid != master));
    portolan.whole();
    for _ in 0..10 {
        client::connect(front).expect_echo(b"the accepted one");
    }
}

#[test]
fn a_stopped_master_does_not_stop_the_service() {
    let origin = Origin::echo();
    let (portolan, front) = start(2, &origin);
    let master = portolan.master();
    assert!(processes::signal(master, Signal::STOP));
    for _ in 0..20 {
        client::connect(front).expect_echo(b"no master needed");
    }
    assert!(processes::signal(master, Signal::CONT));
    portolan.reload();
}

#[test]
fn a_worker_program_that_dies_at_once_is_a_failed_start_with_a_reason() {
    let origin = Origin::echo();
    let listen = Listen::at("proxy", address::free()).server("one", origin.address);
    let setup = Setup::new(listen.to_string());
    let programs = setup.file("programs");
    binaries::install(&programs);
    binaries::replace(std::path::Path::new("/bin/false"), &programs.join("portolan-worker"));
    let failure = setup.programs(&programs).try_start().expect_err("a failed start");
    let status = failure.status.expect("an end, not an endless loop");
    assert_eq!(status.code(), Some(1), "{failure}");
    assert!(failure.errors.contains("worker"), "{failure}");
}

#[test]
fn a_worker_program_that_never_answers_is_a_failed_start() {
    let origin = Origin::echo();
    let listen = Listen::at("proxy", address::free()).server("one", origin.address);
    let setup = Setup::new(listen.to_string()).global("start_timeout", "\"1s\"");
    let programs = setup.file("programs");
    binaries::install(&programs);
    let deaf = programs.join("deaf");
    std::fs::write(&deaf, "#!/bin/sh\nexec sleep 60\n").expect("a script");
    portolan_tests::setup::open_to_all(&deaf);
    binaries::replace(&deaf, &programs.join("portolan-worker"));
    let failure = setup.programs(&programs).try_start().expect_err("a failed start");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
}

#[test]
fn listeners_stay_open_through_every_single_death() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (portolan, front) = start(2, &origin);
    // Opens and closes only: what matters is that the address always answers.
    let storm = Storm::of(4, move |_, _| client::try_connect(front).map(drop));
    for round in 0..6 {
        let workers = portolan.whole();
        let victim = if round % 3 == 2 { portolan.master() } else { workers[round % 2].pid };
        assert!(processes::signal(victim, Signal::KILL));
        deadline::until("its end", || !processes::alive(victim));
        deadline::until("another master", || portolan.try_master().is_some());
        deadline::pause(Duration::from_millis(50));
        portolan.whole();
    }
    storm.end_without_errors();
}

#[test]
fn without_a_supervisor_a_dead_wrapper_ends_the_set() {
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::at("proxy", front).server("one", origin.address);
    let portolan = Setup::new(listen.to_string()).unsupervised().start();
    client::connect(front).expect_echo(b"before");
    let below: Vec<i32> =
        processes::descendants(portolan.wrapper()).iter().map(|one| one.pid).collect();
    assert_eq!(below.len(), 3);
    portolan.signal(Signal::KILL);
    deadline::until("nobody is left", || !below.iter().any(|pid| processes::alive(*pid)));
    assert!(client::try_connect(front).is_err());
}

#[test]
fn a_worker_that_hangs_while_its_master_dies_is_replaced_all_the_same() {
    // It does not answer the next one; its places must not stay taken.
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::at("proxy", front)
        .server_with("one", origin.address, "maxconn = 4")
        .timeout("queue", "60s");
    let portolan = Setup::new(listen.to_string()).workers(2).start();
    let mut held: Vec<Stream> = (0..4).map(|_| client::connect(front)).collect();
    for stream in &mut held {
        stream.expect_echo(b"in service");
    }
    let hung = portolan.whole().swap_remove(0);
    assert!(processes::signal(hung.pid, Signal::STOP));
    assert!(processes::signal(portolan.master(), Signal::KILL));
    deadline::until("the hung worker's end", || !processes::alive(hung.pid));
    portolan.whole();
    drop(held);
    client::connect(front).expect_echo(b"a place is free");
}

#[test]
fn a_pause_that_ends_while_there_is_no_master_is_over() {
    let origin = Origin::echo();
    let (portolan, front) = start(2, &origin);
    for _ in 0..3 {
        let master = portolan.master();
        assert!(processes::signal(master, Signal::KILL));
        portolan.signal(Signal::TTOU);
        deadline::pause(Duration::from_millis(20));
        portolan.signal(Signal::TTIN);
        portolan.whole();
        let mut stream = client::connect(front);
        stream.expect_echo(b"served");
        deadline::pause(Duration::from_millis(50));
        client::connect(front).expect_echo(b"and again");
    }
}

#[test]
fn a_master_that_finds_nobody_starts_them_all_again() {
    // And the first of them is killed before it is ready.
    let origin = Origin::echo();
    let setup = Setup::new("");
    let (front, shared) = (address::free(), setup.file("front.sock"));
    let listen =
        Listen::at("proxy", front).bind(shared.display(), "").server("one", origin.address);
    let portolan = setup.body(listen.to_string()).workers(4).start();
    let (master, workers) = (portolan.master(), portolan.whole());
    // Nobody is replaced by a master that stands still.
    assert!(processes::signal(master, Signal::STOP));
    for worker in &workers {
        assert!(processes::signal(worker.pid, Signal::KILL));
    }
    assert!(processes::signal(master, Signal::KILL));
    let second = deadline::eventually("another master", || {
        portolan.try_master().filter(|pid| *pid != master)
    });
    deadline::until("an early death", || {
        processes::children(second).iter().any(|one| processes::signal(one.pid, Signal::KILL))
    });
    deadline::until("service by a whole set", || portolan.workers().len() == 4);
    assert_eq!(portolan.generation(), 1);
    portolan.whole();
    portolan.reload();
    client::connect(front).expect_echo(b"over TCP");
    client::connect_unix(&shared).expect_echo(b"over a file");
}
