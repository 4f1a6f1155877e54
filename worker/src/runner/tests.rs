//! A runner in this thread, with a checker's and a master's ends in our hands.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::rc::Rc;

use portolan_shared::log::Zone;
use portolan_shared::memory::Memory;
use portolan_shared::message::Role;
use portolan_shared::model::Probe;

use super::*;
use crate::rig::{alone, sample};

const ROUNDS_MAX: u32 = 2000;

struct Bench {
    runner: Runner,
    master: Channel,
    checker: Channel,
    _directory: tempfile::TempDir,
    _alone: std::sync::MutexGuard<'static, ()>,
}

impl Bench {
    fn new(script: &str, shape: impl FnOnce(&mut Config)) -> Self {
        let alone = alone();
        let directory = tempfile::tempdir().unwrap();
        let command: PathBuf = directory.path().join("check");
        std::fs::write(&command, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut config = sample::config(1, "127.0.0.1:1".parse().unwrap());
        config.process.external_check = true;
        let backend = &mut config.backends[0];
        backend.check.kind = CheckKind::External { command, path: "/usr/bin:/bin".to_owned() };
        backend.servers[0].health.check = Some(Probe::default());
        shape(&mut config);
        let memory = Memory::create().unwrap();
        let lane = memory.claim_lane(0).unwrap();
        let lane = OwnLane::new(Rc::new(memory), lane).unwrap();
        let hello = Hello {
            role: Role::Runner,
            slot: 0,
            slots: 1,
            generation: 12,
            lane: 0,
            master_pid: 0,
            debug: false,
        };
        let basis = Basis { hello, config, lane, log: Log::on_stderr(Zone::utc()) };
        let (master, ours) = Channel::pair().unwrap();
        let (checker, peer) = Channel::pair().unwrap();
        let runner = Runner::new(basis, ours, Some(peer.into())).map_err(|(_, why)| why).unwrap();
        Self { runner, master, checker, _directory: directory, _alone: alone }
    }

    fn run(&mut self, id: u64, server: u32) {
        let run = ToRunner::Run { id, backend: 0, server, connections: 0, timeout_ms: 20_000 };
        self.checker.send(&run, &[]).unwrap();
    }

    /// Turns until it is so.
    fn until(&mut self, so: impl Fn(&Runner) -> bool) {
        for _ in 0..ROUNDS_MAX {
            if so(&self.runner) {
                return;
            }
            self.runner.turn_once(Duration::from_millis(10));
        }
        panic!("it never comes to that");
    }

    fn answer(&mut self) -> (u64, CommandEnd) {
        for _ in 0..ROUNDS_MAX {
            self.runner.turn_once(Duration::from_millis(10));
            if let Some(received) = self.checker.receive::<FromRunner>().unwrap() {
                let FromRunner::Ended { id, end } = received.message;
                return (id, end);
            }
        }
        panic!("the runner does not answer");
    }
}

#[test]
fn the_command_of_a_servers_backend_is_run() {
    let mut bench = Bench::new("exit 2", |_| {});
    bench.run(7, 0);
    assert_eq!(bench.answer(), (7, CommandEnd::Exited(2)));
}

#[test]
fn a_command_has_no_way_to_new_privileges() {
    let mut bench = Bench::new("grep -q 'NoNewPrivs:.1' /proc/self/status", |_| {});
    rustix::thread::set_no_new_privs(true).unwrap();
    bench.run(1, 0);
    assert_eq!(bench.answer(), (1, CommandEnd::Exited(0)));
}

#[test]
fn nothing_is_run_that_the_configuration_does_not_name() {
    let refused = |bench: &mut Bench, server: u32| {
        bench.run(1, server);
        let (1, CommandEnd::NotStarted { reason }) = bench.answer() else { panic!("it ran") };
        assert_eq!(reason, "the configuration names no command for it");
    };
    refused(&mut Bench::new("", |_| {}), 1);
    refused(&mut Bench::new("", |config| config.process.external_check = false), 0);
    refused(&mut Bench::new("", |config| config.backends[0].servers[0].health.check = None), 0);
    refused(&mut Bench::new("", |config| config.backends[0].check.kind = CheckKind::Redis), 0);
}

#[test]
fn no_more_commands_wait_than_there_are_servers() {
    let mut bench = Bench::new("exec sleep 1000", |_| {});
    let most = (commands::RUNNING_MAX, 1);
    for id in 0..(most.0 + most.1) as u64 {
        bench.run(id, 0);
    }
    bench.until(|runner| runner.commands.len() == most);
    bench.run(1000, 0);
    let refused = CommandEnd::Lacking { reason: "too many wait already".to_owned() };
    assert_eq!(bench.answer(), (1000, refused));
    assert_eq!(bench.runner.commands.len(), most);
}

#[test]
fn the_end_of_the_checker_ends_what_it_had_asked_for() {
    let mut bench = Bench::new("exec sleep 1000", |_| {});
    bench.run(1, 0);
    bench.until(|runner| runner.commands.len() == (1, 0));
    let (checker, peer) = Channel::pair().unwrap();
    bench.checker = checker;
    bench.until(|runner| runner.peer.is_none());
    assert_eq!(bench.runner.commands.len(), (0, 0));
    bench.master.send(&ToWorker::RunnerPeer, &[peer.as_fd()]).unwrap();
    bench.run(2, 0);
    bench.until(|runner| runner.commands.len() == (1, 0));
    bench.checker.send(&ToRunner::Cancel { id: 2 }, &[]).unwrap();
    bench.until(|runner| runner.commands.len() == (0, 0));
}

#[test]
fn it_leaves_at_once_when_told_to_and_when_the_master_is_gone() {
    let mut bench = Bench::new("", |_| {});
    bench.master.send(&ToWorker::SoftStop, &[]).unwrap();
    bench.runner.turn_once(Duration::ZERO);
    assert!(bench.runner.leaving);
    drop(bench);
    let mut bench = Bench::new("", |_| {});
    bench.master = Channel::pair().unwrap().0;
    bench.runner.turn_once(Duration::ZERO);
    assert!(bench.runner.leaving);
}

#[test]
fn who_adopts_it_finds_its_commands_running() {
    let mut bench = Bench::new("exec sleep 1000", |_| {});
    bench.run(1, 0);
    bench.until(|runner| runner.commands.len() == (1, 0));
    bench.master.send(&ToWorker::Adopt { nonce: 5, master_pid: 7 }, &[]).unwrap();
    bench.until(|runner| runner.hello.master_pid == 7);
    assert_eq!(bench.runner.commands.len(), (1, 0));
    let told = bench.master.receive::<ToMaster>().unwrap().unwrap().message;
    let ToMaster::Adopted { nonce: 5, role: Role::Runner, life: Life::Serving, .. } = told else {
        panic!("{told:?}");
    };
}
