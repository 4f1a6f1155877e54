//! Promise: whatever happens to its processes, one after the other and at any moment, Portolan goes on
//! answering: nobody is ever refused, only what a killed worker had in flight is lost, limits hold,
//! and in the end everything is whole. A failing run prints its seed.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use portolan_tests::{
    Listen, Origin, Pattern, Portolan, Setup, Storm, address, client, deadline, processes, storm,
};
use rustix::process::Signal;

/// Clients of the storm, each with one connection at a time.
const CLIENTS: usize = 12;
/// Things that happen in one run.
const EVENTS: usize = 25;
/// Connections that the server may see at once.
const LIMIT: u64 = 8;

/// What happens to whom.
#[derive(Clone, Copy, Debug)]
enum Event {
    KillWorker,
    KillMaster,
    StopWorker,
    SoftStopWorker,
    Reload,
    ReloadEverybody,
    PauseAndResume,
}

/// A choice that depends on the seed only.
struct Dice(Pattern);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        let bytes = self.0.bytes(8);
        let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        (number % limit as u64) as usize
    }

    fn event(&mut self) -> Event {
        const EVENTS: [Event; 10] = [
            Event::KillWorker,
            Event::KillWorker,
            Event::KillWorker,
            Event::KillMaster,
            Event::StopWorker,
            Event::SoftStopWorker,
            Event::Reload,
            Event::Reload,
            Event::ReloadEverybody,
            Event::PauseAndResume,
        ];
        EVENTS[self.below(EVENTS.len())]
    }
}

#[test]
fn whatever_happens_clients_are_served() {
    run(seed());
}

/// From `PORTOLAN_TEST_SEED`, to replay a run, else another one each time.
fn seed() -> u64 {
    let given = std::env::var("PORTOLAN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("a time after 1970").subsec_nanos().into()
    })
}

fn run(seed: u64) {
    eprintln!("PORTOLAN_TEST_SEED={seed}");
    let _turn = storm::turn();
    let mut dice = Dice(Pattern::new(seed));
    let origin = Origin::echo();
    let front = address::free();
    let listen = Listen::at("proxy", front)
        .server_with("one", origin.address, &format!("maxconn = {LIMIT}"))
        .timeout("queue", "60s");
    let portolan =
        Setup::new(listen.to_string()).workers(3).global("heartbeat_timeout", "\"700ms\"").start();
    let storm = Storm::of(CLIENTS, move |n, round| life(front, n, round));
    let mut lives = 0;
    for n in 0..EVENTS {
        let event = dice.event();
        eprintln!("{n}: {event:?}");
        lives += usize::from(matches!(event, Event::KillWorker | Event::StopWorker));
        happen(&portolan, event, &mut dice);
        deadline::pause(Duration::from_millis(dice.below(400) as u64));
    }
    storm.wait_more(100);
    let outcome = storm.end();
    for error in &outcome.errors {
        assert!(!error.contains("refused"), "{error}\nseed {seed}: {:#?}", outcome.errors);
    }
    assert!(
        outcome.errors.len() <= lives * CLIENTS,
        "{} of {} lost with {lives} workers, seed {seed}: {:#?}",
        outcome.errors.len(),
        outcome.done,
        outcome.errors
    );
    portolan.whole();
    portolan.reload();
    portolan.only_newest();
    client::connect(front).expect_echo(b"whole again");
    assert!(portolan.running());
}

/// One connection with a few messages, ended in order.
fn life(front: SocketAddr, n: usize, round: u64) -> io::Result<()> {
    let mut stream = client::try_connect(front)?;
    for size in [1, 100, 3000] {
        let message = Pattern::new(round << 16 | n as u64).bytes(size);
        if stream.exchange(&message)? != message {
            return Err(io::Error::other("another echo"));
        }
    }
    stream.end_sending()?;
    let rest = stream.rest()?;
    if rest.is_empty() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{} bytes more", rest.len())))
    }
}

fn happen(portolan: &Portolan, event: Event, dice: &mut Dice) {
    let mut to_a_worker = |signal| {
        let workers = portolan.workers();
        // Whoever is meant may have gone already: then something else happened.
        if let Some(worker) = workers.get(dice.below(workers.len().max(1))) {
            processes::signal(worker.pid, signal);
        }
    };
    match event {
        Event::KillWorker => to_a_worker(Signal::KILL),
        Event::StopWorker => to_a_worker(Signal::STOP),
        Event::SoftStopWorker => to_a_worker(Signal::USR1),
        Event::KillMaster => {
            if let Some(master) = portolan.try_master() {
                processes::signal(master, Signal::KILL);
            }
        }
        Event::Reload => portolan.signal(Signal::USR2),
        Event::ReloadEverybody => portolan.signal_all(Signal::USR2),
        Event::PauseAndResume => {
            portolan.signal(Signal::TTOU);
            deadline::pause(Duration::from_millis(50));
            portolan.signal(Signal::TTIN);
        }
    }
}
