//! Promise: whatever a worker does, the master notices, names a deputy, replaces it, and never lets a
//! generation serve that is not ready as a whole. The workers here are fake and do as they are told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use portolan_tests::fake::{Fakes, Heard, listen};
use portolan_tests::{Portolan, Setup, address, client, deadline, processes};
use rustix::process::Signal;

/// Longer than a start lasts that succeeds, on a busy machine too; those that hang last as long.
const START_TIMEOUT: &str = "\"4s\"";

struct Scene {
    portolan: Portolan,
    fakes: Fakes,
    front: SocketAddr,
}

fn setup(workers: u16) -> (Setup, Fakes, SocketAddr) {
    let front = address::free();
    let setup = Setup::new(listen(front)).workers(workers);
    let fakes = Fakes::install(&setup);
    let setup = setup.programs(fakes.programs());
    (setup, fakes, front)
}

fn start_with(workers: u16, globals: &[(&str, &str)]) -> Scene {
    let (setup, fakes, front) = setup(workers);
    let setup = globals.iter().fold(setup, |setup, (key, value)| setup.global(key, value));
    Scene { portolan: setup.start(), fakes, front }
}

fn start(workers: u16) -> Scene {
    start_with(workers, &[])
}

impl Scene {
    /// The worker that answers one connection: slot, generation, pid.
    fn served_by(&self) -> (u32, u32, i32) {
        let line = client::greeting(self.front);
        let mut numbers =
            line.split_whitespace().map(|word| word.parse::<u32>().expect("a number"));
        let mut next = || numbers.next().expect("three numbers");
        (next(), next(), next() as i32)
    }

    /// Connects until every slot has answered (in whose place, says the answer's slot).
    fn everybody_is_served(&self) -> BTreeSet<u32> {
        (0..60).map(|_| self.served_by().0).collect()
    }

    fn pid_of(&self, slot: u32) -> i32 {
        let workers = self.portolan.whole();
        workers.iter().find(|worker| worker.slot == slot).expect("a worker in the slot").pid
    }

    /// Waits until the slot is held by another process than before.
    fn replaced(&self, slot: u32, former: i32) -> i32 {
        deadline::eventually("another worker in the slot", || {
            let workers = self.portolan.workers();
            workers.iter().find(|one| one.slot == slot && one.pid != former).map(|one| one.pid)
        })
    }

    fn deputies(&self, slot: u32) -> Vec<Heard> {
        let said = [format!("deputy {slot} true"), format!("deputy {slot} false")];
        self.fakes.heard().into_iter().filter(|one| said.contains(&one.what)).collect()
    }
}

#[test]
fn a_dead_worker_has_a_deputy_until_its_successor_is_ready() {
    let scene = start(3);
    scene.fakes.behave("2 late");
    let victim = scene.pid_of(2);
    assert!(processes::signal(victim, Signal::KILL));
    let deputy = scene.fakes.wait_heard("deputy 2 true");
    assert_ne!(deputy.slot, 2);
    // Who hashes to the empty slot is served by the deputy.
    assert_eq!(scene.everybody_is_served(), BTreeSet::from([1, 3]));
    scene.fakes.behave("");
    scene.replaced(2, victim);
    let released = scene.fakes.wait_heard("deputy 2 false");
    assert_eq!(released.pid, deputy.pid);
    deadline::until("all three serve", || scene.everybody_is_served().len() == 3);
}

#[test]
fn a_deputy_that_dies_is_replaced_too() {
    let scene = start(3);
    scene.fakes.behave("* late");
    let victim = scene.pid_of(3);
    assert!(processes::signal(victim, Signal::KILL));
    let deputy = scene.fakes.wait_heard("deputy 3 true");
    assert!(processes::signal(deputy.pid, Signal::KILL));
    deadline::until("the last one is deputy for both", || {
        let last = scene.deputies(3).last().cloned().filter(|one| one.pid != deputy.pid);
        last.is_some_and(|last| scene.deputies(deputy.slot).iter().any(|one| one.pid == last.pid))
    });
    scene.served_by();
    scene.fakes.behave("");
    deadline::until("all three serve", || scene.everybody_is_served().len() == 3);
}

#[test]
fn a_worker_that_dies_again_and_again_is_respawned_less_and_less_often() {
    let scene = start(2);
    scene.fakes.behave("1 die");
    assert!(processes::signal(scene.pid_of(1), Signal::KILL));
    deadline::until("five deaths more", || {
        scene.fakes.heard().iter().filter(|one| one.slot == 1 && one.what == "started").count() >= 6
    });
    // Everybody is served all the while, by the one that is left.
    assert_eq!(scene.everybody_is_served(), BTreeSet::from([2]));
    let deaths = scene.portolan.command(&["show", "proc"]);
    assert!(deaths.status.success(), "{deaths:?}");
    // Repaired, it comes back.
    scene.fakes.behave("");
    deadline::until("both serve", || scene.everybody_is_served().len() == 2);
}

#[test]
fn a_worker_that_says_why_it_cannot_start_makes_the_start_fail_with_that_reason() {
    let (setup, fakes, _) = setup(3);
    fakes.behave("2 fail");
    let failure = setup.try_start().expect_err("a failed start");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    assert!(failure.errors.contains("as it was told"), "{failure}");
}

#[test]
fn a_worker_that_dies_at_start_makes_the_start_fail() {
    let (setup, fakes, _) = setup(3);
    fakes.behave("3 die");
    let failure = setup.try_start().expect_err("a failed start");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    assert!(failure.errors.contains("exited with code 3"), "{failure}");
}

#[test]
fn a_worker_that_never_becomes_ready_makes_the_start_fail_in_time() {
    let (setup, fakes, _) = setup(2);
    fakes.behave("1 hang");
    let setup = setup.global("start_timeout", "\"1s\"");
    let failure = setup.try_start().expect_err("a failed start");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    assert!(failure.errors.contains("start_timeout"), "{failure}");
}

#[test]
fn a_reload_whose_workers_cannot_start_is_refused_and_the_old_generation_stays() {
    let scene = start_with(2, &[("start_timeout", START_TIMEOUT)]);
    let before = scene.portolan.whole();
    for (behaviour, reason) in
        [("2 fail", "as it was told"), ("* die", "code 3"), ("1 hang", "start_timeout")]
    {
        scene.fakes.behave(behaviour);
        let mark = scene.portolan.notices().mark();
        let answer = scene.portolan.reload_fails();
        assert!(answer.contains(reason), "{behaviour}: {answer}");
        assert!(before.iter().all(|worker| processes::alive(worker.pid)), "{behaviour}");
        assert_eq!(scene.everybody_is_served().len(), 2, "{behaviour}");
        scene.portolan.notices().wait(mark, "RELOADING=1");
        scene.portolan.notices().wait(mark, "READY=1");
        deadline::until("the status says why", || {
            let status = scene.portolan.notices().last("STATUS");
            status.is_some_and(|status| status.contains(reason))
        });
        deadline::until("nothing of it is left", || scene.portolan.all_workers() == before);
    }
    scene.fakes.behave("");
    scene.portolan.reload();
    scene.portolan.only_newest();
}

#[test]
fn an_address_that_only_a_failed_reload_wanted_is_free_again() {
    let scene = start(2);
    let added = address::free();
    let body = listen(scene.front).replace(
        &format!("bind = \"{}\"", scene.front),
        &format!("bind = [\"{}\", \"{added}\"]", scene.front),
    );
    scene.fakes.behave("1 fail");
    scene.portolan.configure(&body);
    scene.portolan.reload_fails();
    deadline::until("it is closed", || client::try_connect(added).is_err());
    scene.fakes.behave("");
    scene.portolan.reload();
    client::greeting(added);
}

#[test]
fn an_address_in_use_refuses_the_reload_and_is_named() {
    let scene = start(2);
    let taken = std::net::TcpListener::bind(address::free()).expect("a taken address");
    let taken_at = taken.local_addr().expect("its address").to_string();
    let before = scene.portolan.whole();
    scene.portolan.configure(&listen(taken.local_addr().expect("its address")));
    let answer = scene.portolan.reload_fails();
    assert!(answer.contains(&taken_at), "{answer}");
    assert_eq!(scene.portolan.all_workers(), before);
    drop(taken);
    scene.portolan.reload();
}

#[test]
fn a_worker_whose_loop_stands_still_is_ended_and_replaced() {
    let scene = start_with(2, &[("heartbeat_timeout", "\"600ms\"")]);
    scene.fakes.behave("1 still");
    let victim = scene.pid_of(1);
    assert!(processes::signal(victim, Signal::KILL));
    let still = scene.replaced(1, victim);
    deadline::until("it has read how to behave", || {
        scene.fakes.heard().iter().any(|one| one.pid == still && one.what == "started")
    });
    scene.fakes.behave("");
    let line = scene.portolan.wait_error("stood still");
    assert!(line.contains(&still.to_string()), "{line}");
    scene.portolan.wait_error("State:");
    scene.replaced(1, still);
    deadline::until("both serve", || scene.everybody_is_served().len() == 2);
}

#[test]
fn a_master_that_was_stopped_itself_blames_nobody() {
    let scene = start_with(2, &[("heartbeat_timeout", "\"600ms\"")]);
    let before = scene.portolan.whole();
    let master = scene.portolan.master();
    assert!(processes::signal(master, Signal::STOP));
    std::thread::sleep(Duration::from_millis(1500));
    assert!(processes::signal(master, Signal::CONT));
    let output = scene.portolan.command(&["show", "proc"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(scene.portolan.workers(), before);
}

#[test]
fn a_worker_that_lacks_resources_has_a_deputy_and_lives_on() {
    let (setup, fakes, front) = setup(2);
    fakes.behave("1 short");
    let scene = Scene { portolan: setup.start(), fakes, front };
    let deputy = scene.fakes.wait_heard("deputy 1 true");
    assert_eq!(deputy.slot, 2);
    assert_eq!(scene.portolan.whole().len(), 2);
}

#[test]
fn a_worker_that_breaks_the_channels_rules_is_ended_and_replaced() {
    let scene = start(2);
    scene.fakes.behave("2 garble");
    let victim = scene.pid_of(2);
    assert!(processes::signal(victim, Signal::KILL));
    scene.portolan.wait_error("is ended");
    scene.fakes.behave("");
    deadline::until("both serve", || scene.everybody_is_served().len() == 2);
}

#[test]
fn a_worker_that_gets_usr1_alone_is_replaced() {
    let scene = start(2);
    let before = scene.pid_of(1);
    assert!(processes::signal(before, Signal::USR1));
    scene.replaced(1, before);
    scene.portolan.whole();
    assert!(scene.portolan.running());
}

#[test]
fn usr1_to_every_process_stops_all_and_respawns_none() {
    let scene = start(3);
    let started = scene.fakes.count("started");
    scene.portolan.signal_all(Signal::USR1);
    assert_eq!(scene.portolan.wait_exit().code(), Some(0));
    assert_eq!(scene.fakes.count("started"), started);
}

#[test]
fn workers_that_do_not_leave_are_killed_after_a_hard_stop() {
    let (setup, fakes, _) = setup(2);
    fakes.behave("* stubborn");
    let portolan = setup.start();
    let workers = portolan.whole();
    portolan.signal(Signal::TERM);
    let status = portolan.wait_exit();
    assert_eq!(status.code().or(status.signal().map(|n| 128 + n)), Some(143), "{status}");
    assert!(workers.iter().all(|worker| !processes::alive(worker.pid)));
    assert_eq!(fakes.count("hard-stop"), 2);
}

#[test]
fn a_soft_stop_is_bounded_by_hard_stop_after() {
    let (setup, fakes, _) = setup(2);
    fakes.behave("* linger");
    let portolan = setup.global("hard_stop_after", "\"300ms\"").start();
    portolan.signal(Signal::USR1);
    assert_eq!(portolan.wait_exit().code(), Some(0));
    assert_eq!(fakes.count("soft-stop"), 2);
    assert_eq!(fakes.count("hard-stop"), 2);
}

#[test]
fn what_drains_is_told_to_the_supervisor() {
    let (setup, fakes, front) = setup(2);
    fakes.behave("1 linger");
    let scene = Scene { portolan: setup.start(), fakes, front };
    scene.fakes.behave("");
    scene.portolan.reload();
    deadline::until("the status says what is left", || {
        let status = scene.portolan.notices().last("STATUS");
        status.is_some_and(|status| status == "gen 2, 2 workers; gen 1: 1 stream left")
    });
}

#[test]
fn reloads_asked_while_one_runs_are_one_more() {
    let scene = start(2);
    scene.fakes.behave("* late");
    scene.portolan.signal(Signal::USR2);
    deadline::until("it has begun", || scene.fakes.count("started") >= 4);
    for _ in 0..5 {
        scene.portolan.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(20));
    }
    // Whoever obeys this has heard of all that came before.
    scene.portolan.signal(Signal::QUIT);
    deadline::until("they have been heard", || scene.fakes.count("dump") >= 2);
    scene.fakes.behave("");
    deadline::until("the third generation", || scene.portolan.generation() == 3);
    deadline::until("only the third is left", || {
        scene.portolan.all_workers().iter().all(|worker| worker.generation == 3)
    });
    scene.portolan.reload();
    assert_eq!(scene.portolan.generation(), 4, "no further one was started in between");
}

#[test]
fn a_stop_during_a_reload_ends_it() {
    let scene = start(2);
    scene.fakes.behave("* hang");
    scene.portolan.signal(Signal::USR2);
    deadline::until("it has begun", || scene.fakes.count("started") >= 4);
    scene.portolan.signal(Signal::USR1);
    assert_eq!(scene.portolan.wait_exit().code(), Some(0));
    assert_eq!(scene.fakes.count("soft-stop"), 2);
}

#[test]
fn pausing_and_dumping_reach_every_worker() {
    let scene = start(3);
    for (signal, what) in
        [(Signal::TTOU, "pause"), (Signal::TTIN, "resume"), (Signal::QUIT, "dump")]
    {
        scene.portolan.signal(signal);
        deadline::until(what, || scene.fakes.count(what) == 3);
    }
}

#[test]
fn questions_on_the_control_socket_reach_the_workers() {
    let scene = start(2);
    let ask = |words: &[&str]| {
        let output = scene.portolan.command(words);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let all = ask(&["show", "tasks"]);
    assert_eq!(all.matches("no tasks").count(), 2, "{all}");
    let one = ask(&["show", "fd", "worker", "2"]);
    assert!(one.contains("# worker 2 pid") && one.contains("Descriptors"), "{one}");
    assert!(!scene.portolan.command(&["show", "fd", "worker", "9"]).status.success());
    let processes = ask(&["show", "proc"]);
    for worker in scene.portolan.whole() {
        assert!(processes.contains(&worker.pid.to_string()), "{processes}");
    }
    assert!(ask(&["show", "info"]).contains("Ready_workers: 2"));
    assert!(ask(&["show", "version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_worker_that_ends_while_it_is_asked_is_named_in_the_answer() {
    let scene = start(2);
    let pid = scene.pid_of(1);
    assert!(processes::signal(pid, Signal::STOP));
    let asked = std::thread::scope(|scope| {
        let answer = scope.spawn(|| scene.portolan.command(&["show", "tasks"]));
        answer.join().expect("an answer")
    });
    let text = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(text.contains("no answer in time") || text.contains("ended before"), "{text}");
    assert!(text.contains("no tasks"), "{text}");
}

#[test]
fn a_second_master_finds_what_the_first_one_had() {
    let scene = start(3);
    let info = |name: &str| {
        let output = scene.portolan.command(&["show", "info"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    let (before, workers) = (info("Listeners"), scene.portolan.whole());
    let master = scene.portolan.master();
    assert!(processes::signal(master, Signal::KILL));
    deadline::until("another master", || {
        scene.portolan.try_master().is_some_and(|pid| pid != master)
    });
    deadline::until("its answer", || info("Listeners") == before);
    assert_eq!(scene.portolan.whole(), workers);
    assert_eq!(info("Lanes_free").as_deref(), Some(": 253"));
    assert_eq!(scene.fakes.count("adopt"), 3);
    assert_eq!(scene.everybody_is_served().len(), 3);
    scene.portolan.reload();
}

#[test]
fn a_successor_takes_the_same_address_and_the_former_one_leaves() {
    for (option, status) in [("-sf", 0), ("-st", 143)] {
        let old = start(2);
        let setup = Setup::new(listen(old.front)).workers(2);
        let fakes = Fakes::install(&setup);
        let pid = old.portolan.wrapper().to_string();
        let setup = setup.programs(fakes.programs()).argument(option).argument(pid);
        let new = setup.start();
        assert_eq!(old.portolan.wait_exit().code(), Some(status), "{option}");
        let workers: BTreeSet<i32> = new.whole().iter().map(|worker| worker.pid).collect();
        for _ in 0..20 {
            assert!(workers.contains(&old.served_by().2), "{option}");
        }
        new.reload();
    }
}

#[test]
fn without_a_wrapper_descriptors_and_pid_file_are_the_masters_own() {
    let listener = std::net::TcpListener::bind(address::free()).expect("a listener");
    let front = listener.local_addr().expect("its address");
    let setup = Setup::new(listen(front).replace(&front.to_string(), "fd@7")).workers(2);
    let pidfile = setup.file("configured.pid");
    let setup = setup.global("pidfile", portolan_tests::setup::quoted(&pidfile));
    let fakes = Fakes::install(&setup);
    let config = setup.write();
    let script = "exec \"$0\" -db -f \"$1\" 7<&0 0</dev/null";
    let mut child = std::process::Command::new("/bin/bash")
        .args(["-c", script])
        .arg(fakes.programs().join("portolan"))
        .arg(&config)
        .stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program");
    let pid = child.id() as i32;
    deadline::until("the pid file", || {
        std::fs::read_to_string(&pidfile).is_ok_and(|text| text == format!("{pid}\n"))
    });
    let answer = client::greeting(front);
    assert!(processes::signal(pid, Signal::USR1));
    let status = deadline::eventually("its end", || child.try_wait().expect("the master"));
    assert_eq!(status.code(), Some(0));
    assert!(answer.split_whitespace().count() == 3, "{answer}");
}

#[test]
fn a_master_killed_in_the_middle_of_reloads_leaves_nothing_behind() {
    let scene = start(3);
    for round in 0..6u64 {
        scene.portolan.signal(Signal::USR2);
        // Somewhere between reading the files and the end of the former generation.
        std::thread::sleep(Duration::from_millis(round * 13));
        let master = scene.portolan.master();
        assert!(processes::signal(master, Signal::KILL));
        scene.served_by();
        deadline::until("another master", || {
            scene.portolan.try_master().is_some_and(|pid| pid != master)
        });
        scene.portolan.whole();
        scene.served_by();
    }
    scene.portolan.reload();
    scene.portolan.only_newest();
    deadline::until("three workers hold lanes and nobody else", || {
        let output = scene.portolan.command(&["show", "info"]);
        let info = String::from_utf8_lossy(&output.stdout).into_owned();
        info.contains("Lanes_free: 253") && info.contains("Listeners: 3")
    });
    assert_eq!(scene.everybody_is_served().len(), 3);
}
