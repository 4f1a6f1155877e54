//! Promise: whatever clients do, and whatever happens to the workers meanwhile, no byte is ever wrong,
//! only what a killed worker had in flight is lost, and when they have gone nothing of them is left: no
//! place in a limit, no descriptor, no memory. A failing run prints its seed.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use portolan_tests::{
    Listen, Origin, Pattern, Poller, Portolan, Setup, Storm, client, deadline, per_poller,
    processes, storm,
};
use rustix::process::Signal;

/// Clients of the storm, each with one connection at a time.
const CLIENTS: usize = 24;
/// Things that happen in one run.
const EVENTS: usize = 10;
/// What an error begins with that no death of a worker excuses.
const WRONG: &str = "wrong: ";

per_poller!(nothing_that_clients_do_leaves_anything_behind);

/// Choices that depend on the seed only.
struct Dice(Pattern);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        let bytes = self.0.bytes(8);
        bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)) % limit
    }
}

fn seed() -> u64 {
    let given = std::env::var("PORTOLAN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("a time after 1970").subsec_nanos().into()
    })
}

fn nothing_that_clients_do_leaves_anything_behind(poller: Poller) {
    let _turn = storm::turn();
    let seed = seed();
    eprintln!("PORTOLAN_TEST_SEED={seed}");
    let mut dice = Dice(Pattern::new(seed));
    let origin = Origin::echo();
    let front = portolan_tests::address::free();
    let listen = Listen::at("proxy", front)
        .server_with("one", origin.address, "maxconn = 6")
        .server_with("two", origin.address, "maxconn = 6")
        .option("splice-auto")
        .line("maxconn = 16")
        .timeout("queue", "60s");
    let portolan = Setup::new(listen.to_string())
        .workers(3)
        .poller(poller)
        .global("maxconn", 40)
        .global("tune", "{ bufsize = 4096, buffers_limit = 6 }")
        .start();
    let before = descriptors(&portolan);
    let storm = Storm::of(CLIENTS, move |n, round| {
        life(front, Dice(Pattern::new(seed ^ (n as u64) << 40 ^ round << 8)))
    });
    storm.wait_more(20);
    let mut lives = 0;
    for n in 0..EVENTS {
        let killed = happen(&portolan, &mut dice);
        eprintln!("{n}: {killed}");
        lives += usize::from(killed);
        deadline::pause(Duration::from_millis(dice.below(300)));
    }
    storm.wait_more(50);
    let outcome = storm.end();
    let wrong = outcome.errors.iter().find(|error| error.contains(WRONG));
    assert_eq!(wrong, None, "seed {seed}");
    assert!(
        outcome.errors.len() <= lives * CLIENTS,
        "{} of {} lost with {lives} workers, seed {seed}: {:#?}",
        outcome.errors.len(),
        outcome.done,
        outcome.errors
    );
    portolan.whole();
    portolan.only_newest();
    // Clients that broke off may still be on their way through.
    deadline::until("no connection left in any limit", || connections(&portolan) == 0);
    deadline::until("the descriptors of the beginning", || descriptors(&portolan) <= before);
    client::connect(front).expect_echo(b"whole again");
}

/// Something happens to the workers; whether one was killed.
fn happen(portolan: &Portolan, dice: &mut Dice) -> bool {
    let workers = portolan.workers();
    let pid = workers.get(dice.below(workers.len().max(1) as u64) as usize).map(|one| one.pid);
    let to_a_worker = |signal| pid.is_some_and(|pid| processes::signal(pid, signal));
    match dice.below(8) {
        0 => return to_a_worker(Signal::KILL),
        1 => {
            // Shorter than what is taken for dead.
            to_a_worker(Signal::STOP);
            deadline::pause(Duration::from_millis(300));
            to_a_worker(Signal::CONT);
        }
        2 => {
            to_a_worker(Signal::USR1);
        }
        3 => {
            for signal in [Signal::TERM, Signal::QUIT, Signal::INT, Signal::HUP, Signal::TTOU] {
                to_a_worker(signal);
            }
        }
        4 => {
            portolan.signal(Signal::TTOU);
            deadline::pause(Duration::from_millis(50));
            portolan.signal(Signal::TTIN);
        }
        _ => portolan.signal(Signal::USR2),
    }
    false
}

/// One connection.
fn life(front: SocketAddr, mut dice: Dice) -> io::Result<()> {
    let mut stream = client::try_connect(front)?;
    let seed = dice.below(u64::MAX);
    let most = [10, 5_000, 300_000][dice.below(3) as usize];
    let length = 1 + dice.below(most);
    match dice.below(10) {
        // Leaves at once, in order or not.
        0 => {}
        1 => stream.reset(),
        // Has nothing to say.
        2 => {
            stream.end_sending()?;
            if !stream.rest()?.is_empty() {
                return Err(io::Error::other(format!("{WRONG}an echo of nothing")));
            }
        }
        // Breaks off in the middle, unread bytes on their way to it.
        3 => {
            let bytes = Pattern::new(seed).bytes(length as usize);
            let mut answer = vec![0; length as usize / 2];
            stream.write_all(&bytes[..length as usize / 2])?;
            stream.read_exact(&mut answer)?;
            compare(&answer, seed)?;
            stream.reset();
        }
        // Is never heard of again, and never reads.
        4 => {
            let bytes = Pattern::new(seed).bytes(length.min(50_000) as usize);
            stream.write_all(&bytes)?;
        }
        // Sends all and ends before it reads, or both at once.
        kind => {
            if kind == 5 {
                stream.shrink(2048);
            }
            let mut sender = stream.try_clone()?;
            let sending = std::thread::spawn(move || {
                let bytes = Pattern::new(seed).bytes(length as usize);
                sender.write_all(&bytes)?;
                sender.end_sending()
            });
            let answer = stream.rest();
            let sent = sending.join().expect("the sender");
            let answer = answer?;
            compare(&answer, seed)?;
            sent?;
            if answer.len() as u64 != length {
                let text = format!("{} of {length} bytes came back", answer.len());
                return Err(io::Error::other(text));
            }
        }
    }
    Ok(())
}

fn compare(answer: &[u8], seed: u64) -> io::Result<()> {
    if Pattern::new(seed).bytes(answer.len()) == answer {
        Ok(())
    } else {
        Err(io::Error::other(format!("{WRONG}the echo differs")))
    }
}

/// Connections in all workers, as their limits count them.
fn connections(portolan: &Portolan) -> u64 {
    let output = portolan.command(&["show", "activity"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let counts = text.lines().filter_map(|line| {
        line.trim().strip_prefix("connections_of_all_workers:")?.trim().parse().ok()
    });
    counts.max().unwrap_or(u64::MAX)
}

/// The most sockets that a worker has open.
fn descriptors(portolan: &Portolan) -> usize {
    let sockets = |pid| {
        let open = processes::descriptors(pid);
        open.iter().filter(|target| target.starts_with("socket:")).count()
    };
    portolan.whole().iter().map(|worker| sockets(worker.pid)).max().unwrap_or(0)
}
