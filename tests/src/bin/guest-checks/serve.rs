//! Serving, and what the service manager shows of it.

use portolan_tests::processes;

use super::Check;
use super::system::{self, fine};
use super::world::World;

pub const CHECKS: &[Check] = &[
    ("it serves clients of all kinds", serves),
    ("systemctl status shows what matters", status_line),
    ("workers are the first to go when memory is short", oom_scores),
    ("each role has the limit of descriptors that it needs", descriptor_limits),
    ("systemd-analyze security says OK or better", exposure),
];

fn serves(world: &mut World) {
    world.under_load();
    world.crowd().wait_more(500);
    world.undisturbed();
}

fn status_line(world: &mut World) {
    world.under_load();
    let text = fine(&["systemctl", "status", "--no-pager", "--full", "--lines=0", system::UNIT]);
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Status: "));
    let line = line.unwrap_or_else(|| panic!("no status: {text}"));
    let generation = system::info("Generation").expect("an answer");
    assert!(line.contains(&format!("gen {generation}, 2 workers, 0 servers down")), "{line}");
}

fn oom_scores(world: &mut World) {
    world.serving();
    let score = |pid: i32| -> i32 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("a score");
        text.trim().parse().expect("a number")
    };
    let others = [system::wrapper(), system::role("master").expect("a master")].map(score);
    let workers: Vec<i32> = system::workers().into_iter().map(score).collect();
    println!("wrapper and master {others:?}, workers {workers:?}");
    let most = others.into_iter().max().unwrap_or_default();
    assert!(!workers.is_empty() && workers.iter().all(|one| *one > most));
}

fn descriptor_limits(world: &mut World) {
    world.serving();
    let limit = |pid: i32| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).expect("a number")
    };
    assert_eq!(system::property("LimitNOFILE"), "1048576");
    // What the guest's own systemd may have is less, and is all that it can give.
    let most = limit(1).min(1_048_576);
    for one in system::service_processes() {
        println!("{} {}", limit(one.pid), one.title);
    }
    assert_eq!(limit(system::wrapper()), most);
    for worker in system::workers() {
        assert!(limit(worker) <= most, "{:?}", processes::process(worker));
    }
}

fn exposure(world: &mut World) {
    world.serving();
    let text = fine(&["systemd-analyze", "security", "--no-pager", "--threshold=49", system::UNIT]);
    let last = text.lines().rev().find(|line| line.contains("exposure")).unwrap_or_default();
    println!("{last}");
    assert!(["OK", "SAFE", "PERFECT"].iter().any(|word| last.contains(word)), "{last}");
}
