//! Promise: the master may be killed, or hang, at any moment. Nobody who is served notices: the next one
//! takes over the processes that live, and signals, commands and reloads work again; a reload that was
//! under way has failed, and whoever waited for it is told.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portolan_tests::client::{self, Stream};
use portolan_tests::processes::Worker;
use portolan_tests::{
    Listen, Origin, Pattern, Portolan, Setup, Storm, address, deadline, pattern, processes, storm,
};
use rustix::process::Signal;

fn start(workers: u16, origin: &Origin) -> (Portolan, SocketAddr) {
    let front = address::free();
    let listen = Listen::at("proxy", front).server("one", origin.address);
    (Setup::new(listen.to_string()).workers(workers).start(), front)
}

/// Kills the master and waits for an answer of the next one; how long there was none.
fn kill_master(portolan: &Portolan) -> Duration {
    let master = portolan.master();
    let killed = Instant::now();
    assert!(processes::signal(master, Signal::KILL));
    // Who connects to the socket of the dead one is answered by the next.
    deadline::until("an answer of another master", || {
        let answer = portolan.command(&["show", "info"]);
        let pid = format!("Pid: {master}\n");
        answer.status.success() && !String::from_utf8_lossy(&answer.stdout).contains(&pid)
    });
    killed.elapsed()
}

/// A connection on which messages go to and fro until the storm ends.
fn talk(front: SocketAddr, n: usize, round: u64) -> std::io::Result<()> {
    let mut stream = client::try_connect(front)?;
    for message in 0..30 {
        let message = Pattern::new(round << 16 | (n as u64) << 8 | message).bytes(2000);
        if stream.exchange(&message)? != message {
            return Err(std::io::Error::other("another echo"));
        }
    }
    stream.end_sending()?;
    stream.rest().map(drop)
}

#[test]
fn whoever_is_served_does_not_notice_that_the_master_died() {
    let _turn = storm::turn();
    let (origin, source) = (Origin::echo(), Origin::source(7, 100 << 20));
    let (front, downloads) = (address::free(), address::free());
    let body = format!(
        "{}\n{}",
        Listen::at("proxy", front).server("one", origin.address),
        Listen::at("downloads", downloads).server("one", source.address)
    );
    let portolan = Setup::new(body).workers(3).start();
    let workers = portolan.whole();
    let mut held: Vec<Stream> = (0..6).map(|_| client::connect(front)).collect();
    let (fresh, long) = (Storm::echo(4, front), Storm::of(4, move |n, k| talk(front, n, k)));
    let download =
        std::thread::spawn(move || pattern::check(&mut client::connect(downloads), 7, 100 << 20));
    for _ in 0..5 {
        for stream in &mut held {
            stream.expect_echo(b"before");
        }
        fresh.wait_more(20);
        let without = kill_master(&portolan);
        eprintln!("{} ms without a master's answer", without.as_millis());
        for stream in &mut held {
            stream.expect_echo(b"after");
        }
        fresh.wait_more(20);
    }
    fresh.end_without_errors();
    long.end_without_errors();
    download.join().expect("a client").expect("every byte");
    assert_eq!(portolan.all_workers(), workers);
    portolan.reload();
    for stream in &mut held {
        stream.expect_echo(b"after a reload too");
    }
    drop(held);
    portolan.only_newest();
}

#[test]
fn signals_and_commands_work_with_the_next_master() {
    let origin = Origin::echo();
    let (portolan, front) = start(2, &origin);
    let before = portolan.ask("show info");
    kill_master(&portolan);
    let line = |text: &str, name: &str| {
        text.lines().find(|line| line.starts_with(name)).map(str::to_owned)
    };
    let after = portolan.ask("show info");
    for name in ["Generation", "Reloads", "Workers", "Ready_workers", "Processes", "Listeners"] {
        assert_eq!(line(&before, name), line(&after, name));
    }
    portolan.signal(Signal::TTOU);
    portolan.wait_error("Pausing the listeners");
    // And the next one knows of it.
    kill_master(&portolan);
    deadline::until("the status", || {
        portolan.notices().last("STATUS").as_deref() == Some("gen 1, 2 workers; paused")
    });
    let mut waits = client::connect(front);
    portolan.signal(Signal::TTIN);
    waits.expect_echo(b"resumed");
    drop(waits);
    portolan.signal(Signal::QUIT);
    portolan.wait_error("# workers");
    portolan.signal(Signal::USR2);
    deadline::until("another generation", || portolan.generation() == 2);
    portolan.only_newest();
    kill_master(&portolan);
    assert_eq!(line(&portolan.ask("show info"), "Reloads").as_deref(), Some("Reloads: 1"));
    portolan.signal(Signal::USR1);
    assert_eq!(portolan.wait_exit().code(), Some(0));
}

fn replaced(portolan: &Portolan, former: &Worker) {
    deadline::until("another worker in the slot", || {
        let workers = portolan.workers();
        workers.iter().any(|one| one.slot == former.slot && one.pid != former.pid)
    });
}

#[test]
fn a_worker_that_dies_with_or_without_a_master_is_replaced_and_its_end_told() {
    let origin = Origin::echo();
    let (portolan, front) = start(3, &origin);
    let victim = portolan.whole().swap_remove(1);
    kill_master(&portolan);
    // Not a child of the master: the wrapper says how it ended.
    assert!(processes::signal(victim.pid, Signal::ABORT));
    let line = portolan.wait_error("was killed by SIGABRT");
    assert!(line.contains(&format!("Current worker ({})", victim.pid)), "{line}");
    for n in 0..20 {
        client::connect(front).expect_echo(format!("{n}: a deputy is there").as_bytes());
    }
    replaced(&portolan, &victim);
    let victim = portolan.whole().swap_remove(2);
    let master = portolan.master();
    assert!(processes::signal(master, Signal::STOP));
    assert!(processes::signal(victim.pid, Signal::KILL));
    assert!(processes::signal(master, Signal::KILL));
    replaced(&portolan, &victim);
    for n in 0..20 {
        client::connect(front).expect_echo(format!("{n}: all are there").as_bytes());
    }
    deadline::until("the lanes of the dead are free", || {
        portolan.ask("show info").contains("Lanes_free: 253")
    });
}

#[test]
fn a_soft_stop_goes_on_with_the_next_master() {
    let origin = Origin::echo();
    let (portolan, front) = start(2, &origin);
    let mut held = client::connect(front);
    held.expect_echo(b"before");
    portolan.signal(Signal::USR1);
    deadline::until("nobody accepts", || client::try_connect(front).is_err());
    for _ in 0..3 {
        let master = portolan.master();
        assert!(processes::signal(master, Signal::KILL));
        deadline::until("another master", || {
            portolan.try_master().is_some_and(|pid| pid != master)
        });
        held.expect_echo(b"finishing");
    }
    deadline::until("the status", || {
        let status = portolan.notices().last("STATUS");
        status.is_some_and(|status| status.starts_with("stopping; gen 1: 1 stream left"))
    });
    held.end_sending().expect("its end");
    drop(held);
    assert_eq!(portolan.wait_exit().code(), Some(0));
}

#[test]
fn a_hard_stop_ends_whoever_was_adopted() {
    let origin = Origin::echo();
    let (portolan, front) = start(3, &origin);
    let workers = portolan.whole();
    kill_master(&portolan);
    let _held = client::connect(front);
    portolan.signal(Signal::TERM);
    portolan.wait_exit();
    assert!(workers.iter().all(|worker| !processes::alive(worker.pid)));
}

#[test]
fn a_master_that_stands_still_is_killed_and_followed() {
    let origin = Origin::echo();
    let (portolan, front) = start(2, &origin);
    let (master, workers) = (portolan.master(), portolan.whole());
    let mut held = client::connect(front);
    deadline::until("it says that it is alive", || portolan.ask("show info").contains("Pid"));
    deadline::pause(Duration::from_millis(1500));
    assert!(processes::signal(master, Signal::STOP));
    portolan.wait_error("it hangs");
    deadline::until("another master", || portolan.try_master().is_some_and(|pid| pid != master));
    held.expect_echo(b"as if nothing had been");
    assert_eq!(portolan.all_workers(), workers);
    drop(held);
    portolan.reload();
    portolan.only_newest();
}

#[test]
fn ten_masters_one_after_the_other_leave_no_descriptor_behind() {
    let origin = Origin::echo();
    let (portolan, front) = start(2, &origin);
    let count = |pid: i32| processes::descriptors(pid).len();
    let all = || {
        let mut pids = vec![portolan.wrapper(), portolan.master()];
        pids.extend(portolan.whole().iter().map(|worker| worker.pid));
        pids.into_iter().map(count).collect::<Vec<_>>()
    };
    kill_master(&portolan);
    portolan.reload();
    portolan.only_newest();
    let mut before = all();
    for round in 0..10 {
        kill_master(&portolan);
        if round % 5 == 4 {
            portolan.reload();
            portolan.only_newest();
        }
    }
    client::connect(front).expect_echo(b"served");
    before.sort_unstable();
    deadline::until("as many descriptors as before", || {
        let mut after = all();
        after.sort_unstable();
        eprintln!("{before:?} {after:?}");
        after == before
    });
}

#[test]
fn the_checker_goes_on_with_what_it_knows_and_stays_alone() {
    let origin = Origin::echo();
    let gone = address::free();
    let front = address::free();
    let listen = Listen::at("proxy", front)
        .server_with("up", origin.address, "check = true, inter = \"200ms\"")
        .server_with("down", gone, "check = true, inter = \"200ms\"");
    let portolan = Setup::new(listen.to_string()).workers(2).start();
    deadline::until("one server down", || portolan.ask("show info").contains("Servers_down: 1\n"));
    let checkers = || {
        let below = processes::descendants(portolan.wrapper());
        let checks = |one: &processes::Process| one.title.starts_with("portolan: checker");
        below.into_iter().filter(checks).map(|one| one.pid).collect::<Vec<_>>()
    };
    let before = checkers();
    let checks = || {
        let text = portolan.ask("show activity");
        let count = text.lines().find_map(|line| line.strip_prefix("checks_done: "));
        count.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0)
    };
    for _ in 0..3 {
        kill_master(&portolan);
        assert!(portolan.ask("show info").contains("Servers_down: 1\n"));
        let seen = checks();
        deadline::until("more checks", || checks() > seen + 3);
        assert_eq!(checkers(), before);
    }
    // A dead one is replaced by the master that adopted it.
    assert!(processes::signal(before[0], Signal::KILL));
    deadline::until("another checker", || checkers().first().is_some_and(|pid| *pid != before[0]));
    assert!(portolan.ask("show info").contains("Servers_down: 1\n"));
    assert_eq!(checkers().len(), 1);
}

/// From `PORTOLAN_TEST_SEED`, to replay a run, else another one each time.
fn seed() -> u64 {
    let given = std::env::var("PORTOLAN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("a time after 1970").subsec_nanos().into()
    })
}

#[test]
fn killed_at_any_moment_of_a_reload_the_master_loses_nobody() {
    let _turn = storm::turn();
    let seed = seed();
    eprintln!("PORTOLAN_TEST_SEED={seed}");
    let moments = Pattern::new(seed).bytes(20);
    let origin = Origin::echo();
    let (portolan, front) = start(3, &origin);
    let (fresh, long) = (Storm::echo(4, front), Storm::of(4, move |n, k| talk(front, n, k)));
    for (round, moment) in moments.iter().enumerate() {
        let generation = portolan.generation();
        portolan.signal(Signal::USR2);
        deadline::pause(Duration::from_millis(u64::from(*moment)));
        let master = portolan.master();
        eprintln!("{round}: after {moment} ms, generation {generation}");
        assert!(processes::signal(master, Signal::KILL));
        deadline::until("another master", || {
            portolan.try_master().is_some_and(|pid| pid != master)
        });
        portolan.whole();
    }
    fresh.wait_more(50);
    fresh.end_without_errors();
    long.end_without_errors();
    portolan.reload();
    portolan.only_newest();
    deadline::until("three workers hold lanes and nobody else", || {
        portolan.ask("show info").contains("Lanes_free: 253")
    });
}
