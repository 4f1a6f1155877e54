//! Promise: the wrapper may be killed at any moment. The service manager starts another one, which takes
//! over the living master and its workers: nobody outside notices, everything can be ordered again, and a
//! stop leaves nothing behind. Where nothing was stored, a dead wrapper is the end of the set.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use portolan_tests::client::{self, Stream};
use portolan_tests::http::Answer;
use portolan_tests::proof::dice::{self, Dice};
use portolan_tests::{
    HttpClient, HttpOrigin, Listen, Origin, Portolan, Setup, Storm, address, binaries, deadline,
    processes, storm,
};
use rustix::process::Signal;

/// As the unit file says; two would do.
const STORE: usize = 16;

/// Everything that passes through: streams and requests, short and kept.
struct Traffic {
    echo: SocketAddr,
    web: SocketAddr,
    _origins: (Origin, HttpOrigin),
}

impl Traffic {
    /// The proxy that it passes through, not started yet.
    fn prepare() -> (Self, Setup) {
        let origins =
            (Origin::echo(), HttpOrigin::answering(|request| Answer::ok(&request.target)));
        let (echo, web) = (address::free(), address::free());
        let body = format!(
            "{}\n{}",
            Listen::at("echo", echo).server("one", origins.0.address),
            Listen::http("web", web).server("one", origins.1.address)
        );
        (Self { echo, web, _origins: origins }, Setup::new(body).stored(STORE))
    }

    fn start() -> (Self, Portolan) {
        let (traffic, setup) = Self::prepare();
        (traffic, setup.start())
    }

    /// New connections and kept ones, all the time.
    fn storms(&self) -> [Storm; 2] {
        [Storm::echo(6, self.echo), keeping(self.web, 6)]
    }

    fn tunnel(&self) -> Stream {
        let mut tunnel = client::connect(self.echo);
        tunnel.expect_echo(b"before");
        tunnel
    }
}

/// Clients that keep their connection until an answer says that it ends.
fn keeping(front: SocketAddr, count: usize) -> Storm {
    let kept: Vec<Mutex<Option<HttpClient>>> = (0..count).map(|_| Mutex::new(None)).collect();
    Storm::of(count, move |n, round| {
        let mut slot = kept[n].lock().expect("the connection");
        let mut client = match slot.take() {
            Some(client) => client,
            None => client::try_connect(front).map(HttpClient::over)?,
        };
        let target = format!("/{n}/{round}");
        client.try_send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))?;
        let response = client.try_response("GET")?;
        if response.status != 200 || response.text() != target {
            return Err(io::Error::other(format!("{response:?}")));
        }
        *slot = response.keeps().then_some(client);
        Ok(())
    })
}

fn wait_more(storms: &[Storm], count: u64) {
    for storm in storms {
        storm.wait_more(count);
    }
}

fn pids(portolan: &Portolan) -> Vec<i32> {
    let mut pids: Vec<i32> = portolan.whole().iter().map(|worker| worker.pid).collect();
    pids.push(portolan.master());
    pids
}

/// Nobody has noticed anything, and a soft-stop leaves nothing behind.
fn expect_no_loss(storms: [Storm; 2], tunnel: Stream, portolan: &Portolan) {
    wait_more(&storms, 50);
    for storm in storms {
        storm.end_without_errors();
    }
    drop(tunnel);
    portolan.only_newest();
    portolan.signal(Signal::USR1);
    assert_eq!(portolan.wait_exit().code(), Some(0));
    expect_nobody(portolan);
}

/// Nothing of it lives, and nothing is stored that would keep anything alive.
fn expect_nobody(portolan: &Portolan) {
    deadline::until("the end of every process", || portolan.living().is_empty());
}

#[test]
fn a_wrapper_that_is_killed_is_followed_by_another_and_nobody_notices() {
    let _turn = storm::turn();
    let (traffic, mut portolan) = Traffic::start();
    let before = pids(&portolan);
    let mut tunnel = traffic.tunnel();
    let storms = traffic.storms();
    for _ in 0..10 {
        wait_more(&storms, 20);
        portolan.replace_wrapper();
        tunnel.expect_echo(b"still here");
        assert_eq!(pids(&portolan), before);
    }
    wait_more(&storms, 20);
    for storm in storms {
        storm.end_without_errors();
    }
    let pid_file = std::fs::read_to_string(portolan.pidfile()).unwrap();
    assert_eq!(pid_file, format!("{}\n", portolan.wrapper()));
    assert!(portolan.notices().last("STATUS").unwrap().starts_with("gen 1, 2 workers"));
    assert_eq!(portolan.notices().stored().len(), 1);

    portolan.reload();
    portolan.signal(Signal::USR2);
    deadline::until("a reload by signal", || portolan.generation() == 3);
    tunnel.expect_echo(b"after reloads");
    drop(tunnel);
    portolan.only_newest();
    portolan.signal(Signal::USR1);
    assert_eq!(portolan.wait_exit().code(), Some(0));
    expect_nobody(&portolan);
    assert!(!portolan.pidfile().exists());
    assert!(portolan.notices().stored().is_empty());
}

#[test]
fn a_hard_stop_ends_a_set_that_had_another_wrapper() {
    let (traffic, mut portolan) = Traffic::start();
    let mut tunnel = traffic.tunnel();
    portolan.replace_wrapper();
    portolan.signal(Signal::TERM);
    assert_eq!(portolan.wait_exit().code(), Some(143));
    tunnel.expect_closed();
    expect_nobody(&portolan);
}

#[test]
fn a_hard_stop_ends_even_what_hangs() {
    let (_traffic, mut portolan) = Traffic::start();
    let before = pids(&portolan);
    portolan.replace_wrapper();
    for pid in before {
        assert!(processes::signal(pid, Signal::STOP));
    }
    portolan.signal(Signal::TERM);
    assert_eq!(portolan.wait_exit().code(), Some(143));
    expect_nobody(&portolan);
}

#[test]
fn one_that_was_started_as_the_master_with_ws_comes_back_the_same_way() {
    let (traffic, setup) = Traffic::prepare();
    let mut portolan = setup.launcher("portolan").argument("-Ws").start();
    let before = pids(&portolan);
    for _ in 0..3 {
        portolan.replace_wrapper();
        assert_eq!(pids(&portolan), before);
    }
    client::connect(traffic.echo).expect_echo(b"served");
    portolan.reload();
}

#[test]
fn a_soft_stop_that_is_under_way_goes_on_and_is_the_end() {
    let (traffic, mut portolan) = Traffic::start();
    let mut tunnel = traffic.tunnel();
    portolan.signal(Signal::USR1);
    portolan.notices().wait(0, "STOPPING=1");
    portolan.replace_wrapper();
    tunnel.expect_echo(b"not cut");
    deadline::until("closed listeners", || client::try_connect(traffic.echo).is_err());
    assert!(portolan.running());
    drop(tunnel);
    assert_eq!(portolan.wait_exit().code(), Some(0));
    expect_nobody(&portolan);
}

#[test]
fn a_soft_stop_goes_on_without_the_wrapper_and_the_master_that_began_it() {
    let (traffic, mut portolan) = Traffic::start();
    let mut tunnel = traffic.tunnel();
    portolan.signal(Signal::USR1);
    portolan.notices().wait(0, "STOPPING=1");
    portolan.replace_wrapper();
    let master = portolan.master();
    assert!(processes::signal(master, Signal::KILL));
    deadline::until("another master", || portolan.try_master().is_some_and(|pid| pid != master));
    tunnel.expect_echo(b"not cut");
    let master = portolan.master();
    portolan.kill_wrapper();
    processes::signal(master, Signal::KILL);
    portolan.start_wrapper();
    tunnel.expect_echo(b"not cut");
    drop(tunnel);
    assert_eq!(portolan.wait_exit().code(), Some(0));
    expect_nobody(&portolan);
}

#[test]
fn killed_at_any_moment_of_a_reload_it_loses_nothing() {
    let _turn = storm::turn();
    let (traffic, mut portolan) = Traffic::start();
    let mut tunnel = traffic.tunnel();
    let storms = traffic.storms();
    for round in 0..12_u64 {
        portolan.signal(Signal::USR2);
        deadline::pause(Duration::from_millis(round * 7 % 60));
        portolan.replace_wrapper();
        tunnel.expect_echo(b"still here");
    }
    portolan.reload();
    portolan.whole();
    expect_no_loss(storms, tunnel, &portolan);
}

#[test]
fn killed_at_any_moment_of_an_upgrade_it_loses_nothing() {
    let _turn = storm::turn();
    let (traffic, setup) = Traffic::prepare();
    let programs = setup.file("programs");
    binaries::install(&programs);
    let mut portolan = setup.programs(&programs).start();
    let master = portolan.master();
    let mut tunnel = traffic.tunnel();
    let storms = traffic.storms();
    for round in 0..8_u64 {
        binaries::install(&programs);
        portolan.signal(Signal::USR2);
        deadline::pause(Duration::from_millis(round * 23 % 150));
        portolan.replace_wrapper();
        tunnel.expect_echo(b"still here");
    }
    portolan.reload();
    assert_eq!(portolan.master(), master);
    expect_no_loss(storms, tunnel, &portolan);
}

#[test]
fn a_wrapper_that_took_over_can_be_upgraded_and_killed_again() {
    let (traffic, setup) = Traffic::prepare();
    let programs = setup.file("programs");
    binaries::install(&programs);
    let mut portolan = setup.programs(&programs).start();
    let before = pids(&portolan);
    portolan.replace_wrapper();
    let runs = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    binaries::replace(&binaries::path("portolan-wrapper"), &programs.join("portolan-wrapper"));
    portolan.reload();
    portolan.wait_error("the wrapper was upgraded to version");
    assert!(!runs(portolan.wrapper()).to_string_lossy().ends_with("(deleted)"));
    portolan.replace_wrapper();
    assert_eq!(portolan.master(), *before.last().unwrap());
    client::connect(traffic.echo).expect_echo(b"served");
    // Its end is seen though it is nobody's child here.
    let master = portolan.master();
    assert!(processes::signal(master, Signal::KILL));
    deadline::until("another master", || portolan.try_master().is_some_and(|pid| pid != master));
    portolan.whole();
    portolan.reload();
    client::connect(traffic.echo).expect_echo(b"served");
    portolan.signal(Signal::TERM);
    assert_eq!(portolan.wait_exit().code(), Some(143));
    expect_nobody(&portolan);
}

#[test]
fn killed_together_with_its_master_it_comes_back_with_another_one() {
    let (traffic, mut portolan) = Traffic::start();
    let mut tunnel = traffic.tunnel();
    for _ in 0..3 {
        let workers = portolan.only_newest();
        let master = portolan.master();
        let mark = portolan.notices().mark();
        portolan.kill_wrapper();
        assert!(processes::signal(master, Signal::KILL));
        // Connections wait in sockets that nobody has closed.
        let mut waiting = client::connect(traffic.echo);
        portolan.start_wrapper();
        portolan.notices().wait(mark, &format!("MAINPID={}", portolan.wrapper()));
        assert_ne!(portolan.master(), master);
        assert_eq!(portolan.whole(), workers, "its workers live on");
        waiting.expect_echo(b"served");
        tunnel.expect_echo(b"still here");
        portolan.reload();
    }
    drop(tunnel);
    portolan.signal(Signal::USR1);
    assert_eq!(portolan.wait_exit().code(), Some(0));
    expect_nobody(&portolan);
}

#[test]
fn a_master_that_does_not_answer_to_its_new_wrapper_is_replaced() {
    let (traffic, mut portolan) = Traffic::start();
    let master = portolan.master();
    let mark = portolan.notices().mark();
    portolan.kill_wrapper();
    assert!(processes::signal(master, Signal::STOP));
    portolan.start_wrapper();
    portolan.notices().wait(mark, &format!("MAINPID={}", portolan.wrapper()));
    assert_ne!(portolan.master(), master);
    portolan.wait_error("it does not answer to its new wrapper");
    client::connect(traffic.echo).expect_echo(b"served");
}

#[test]
fn killed_before_anything_serves_it_begins_anew() {
    let (traffic, setup) = Traffic::prepare();
    let mut portolan = setup.spawn();
    for round in 0..10_u64 {
        deadline::pause(Duration::from_millis(round * 4));
        portolan.kill_wrapper();
        portolan.start_wrapper();
    }
    let portolan = portolan.settle().unwrap();
    portolan.whole();
    client::connect(traffic.echo).expect_echo(b"served");
    portolan.reload();
    portolan.signal(Signal::USR1);
    assert_eq!(portolan.wait_exit().code(), Some(0));
    expect_nobody(&portolan);
}

#[test]
fn where_nothing_is_stored_a_dead_wrapper_is_the_end_of_the_set() {
    let (traffic, setup) = Traffic::prepare();
    let mut portolan = setup.stored(0).start();
    let mut tunnel = traffic.tunnel();
    assert!(portolan.notices().stored().is_empty());
    portolan.kill_wrapper();
    deadline::until("closed listeners", || client::try_connect(traffic.echo).is_err());
    tunnel.expect_echo(b"has some seconds");
    drop(tunnel);
    expect_nobody(&portolan);
    let mark = portolan.notices().mark();
    portolan.start_wrapper();
    portolan.notices().wait(mark, "READY=1");
    client::connect(traffic.echo).expect_echo(b"served");
}

#[test]
fn a_store_that_is_emptied_ends_the_set_and_cuts_what_does_not_end_by_itself() {
    let (traffic, setup) = Traffic::prepare();
    let mut portolan = setup.global("hard_stop_after", "\"500ms\"").start();
    let mut tunnel = traffic.tunnel();
    portolan.kill_wrapper();
    tunnel.expect_echo(b"nobody has noticed");
    portolan.notices().empty_store();
    tunnel.expect_closed();
    expect_nobody(&portolan);
}

#[test]
fn a_store_that_is_emptied_ends_those_too_whose_master_is_dead() {
    let (traffic, setup) = Traffic::prepare();
    let mut portolan = setup.global("hard_stop_after", "\"500ms\"").start();
    let mut tunnel = traffic.tunnel();
    let master = portolan.master();
    portolan.kill_wrapper();
    assert!(processes::signal(master, Signal::KILL));
    tunnel.expect_echo(b"nobody has noticed");
    portolan.notices().empty_store();
    tunnel.expect_closed();
    expect_nobody(&portolan);
}

#[test]
fn a_restart_keeps_the_sockets_in_which_clients_wait() {
    let (traffic, mut portolan) = Traffic::start();
    for round in 1..=3 {
        portolan.signal(Signal::TERM);
        portolan.wait_exit();
        expect_nobody(&portolan);
        assert_eq!(portolan.notices().stored().len(), 1);
        let mut waiting: Vec<Stream> = (0..8).map(|_| client::connect(traffic.echo)).collect();
        for stream in &mut waiting {
            stream.write_all(b"early").unwrap();
        }
        let mark = portolan.notices().mark();
        portolan.start_wrapper();
        portolan.notices().wait(mark, "READY=1");
        for stream in &mut waiting {
            let mut early = [0; 5];
            io::Read::read_exact(stream, &mut early).unwrap();
            assert_eq!(&early, b"early", "round {round}");
        }
        assert_eq!(portolan.generation(), 1);
    }
    // One that is not wanted any more is closed.
    portolan.signal(Signal::TERM);
    portolan.wait_exit();
    let other = address::free();
    let origin = Origin::echo();
    portolan.configure(&Listen::at("other", other).server("one", origin.address).to_string());
    let mark = portolan.notices().mark();
    portolan.start_wrapper();
    portolan.notices().wait(mark, "READY=1");
    client::connect(other).expect_echo(b"served");
    deadline::until("a closed listener", || client::try_connect(traffic.echo).is_err());
}

/// What happens to the set in one round.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Wrapper,
    Master,
    Both,
    Reload,
    ReloadAndBoth,
    Twice,
}

#[test]
fn wrapper_and_master_killed_at_any_moment_lose_nothing() {
    use Blow::{Both, Master, Reload, ReloadAndBoth, Twice, Wrapper};
    let _turn = storm::turn();
    let mut dice = Dice::new(dice::seed());
    let (traffic, mut portolan) = Traffic::start();
    let mut tunnel = traffic.tunnel();
    let storms = traffic.storms();
    for _ in 0..20 {
        let blow = *dice.one(&[Wrapper, Master, Both, Reload, ReloadAndBoth, Twice]);
        let pause = Duration::from_millis(dice.below(80));
        eprintln!("{blow:?}, then {pause:?}");
        let kill_master = |portolan: &Portolan| {
            portolan.try_master().is_some_and(|master| processes::signal(master, Signal::KILL))
        };
        match blow {
            Wrapper => portolan.replace_wrapper(),
            Master => drop(kill_master(&portolan)),
            Both => {
                let master = portolan.try_master();
                portolan.kill_wrapper();
                if let Some(master) = master {
                    processes::signal(master, Signal::KILL);
                }
                portolan.start_wrapper();
            }
            Reload => portolan.signal(Signal::USR2),
            ReloadAndBoth => {
                portolan.signal(Signal::USR2);
                deadline::pause(pause);
                kill_master(&portolan);
                portolan.replace_wrapper();
            }
            Twice => {
                portolan.kill_wrapper();
                portolan.start_wrapper();
                deadline::pause(pause);
                portolan.replace_wrapper();
            }
        }
        deadline::pause(pause);
        tunnel.expect_echo(b"still here");
    }
    deadline::until("a master that reloads", || portolan.command(&["reload"]).status.success());
    portolan.whole();
    wait_more(&storms, 50);
    for storm in storms {
        storm.end_without_errors();
    }
    tunnel.expect_echo(b"still here");
    drop(tunnel);
    portolan.only_newest();
    portolan.signal(Signal::USR1);
    assert_eq!(portolan.wait_exit().code(), Some(0));
    expect_nobody(&portolan);
}
