//! States of servers: what is stored is read again, by those who may only read it too.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, SealFlags};

use super::super::layout::{CHUNK_MAGIC, STATES_MAGIC, STATES_WORDS};
use super::super::*;
use super::{SEALED, attach_again, lanes, memfd};

const SERVER: Object = 7;
const BACKEND: Object = 8;

/// The same memory as a worker has it.
fn as_worker(memory: &Memory) -> Memory {
    let mut worker: Option<Memory> = None;
    for (kind, fd) in memory.descriptors() {
        let fd = fd.try_clone_to_owned().expect("a duplicate");
        match (kind, worker.as_mut()) {
            (MemoryKind::Lanes, None) => worker = Some(Memory::attach(fd).expect("the head")),
            (MemoryKind::Objects(n), Some(it)) => it.attach_chunk(n, fd).expect("a chunk"),
            (MemoryKind::States(n), Some(it)) => {
                let fd = memory.reopen_states(n).expect("once more");
                it.attach_states(n, fd).expect("states");
            }
            other => panic!("{other:?} came out of order"),
        }
    }
    worker.expect("a head")
}

fn everything() -> ServerState {
    ServerState {
        verdict: Verdict {
            operational: Operational::Down,
            health: 65_535,
            result: CheckResult::ProcOk,
            code: 65_535,
            duration_ms: CHECK_DURATION_MAX_MS,
        },
        changed_ms: u64::MAX,
        fingerprint: u64::MAX - 1,
        agent: AgentVerdict {
            down: true,
            drain: true,
            maint: true,
            weight: Some(AgentWeight::Absolute(256)),
            weight_ms: 11,
            maxconn: Some(MAXCONN_MAX),
            maxconn_ms: 12,
            ready_ms: 19,
            result: CheckResult::L7Sts,
            duration_ms: 13,
        },
        agent_fingerprint: 14,
        admin: Admin {
            state: AdminState::Maint,
            config_disabled: true,
            checks_off: true,
            agent_off: true,
            ready_ms: 15,
            set_ms: 20,
        },
        weight: Some(OperatorWeight { weight: 256, configured: 16, set_ms: 17 }),
        maxconn: Some(OperatorMaxconn { maxconn: Some(0), configured: None, set_ms: 18 }),
    }
}

fn store(memory: &Memory, server: Object, state: &ServerState) {
    memory.store_verdict(server, state.verdict, state.changed_ms, state.fingerprint);
    memory.store_agent(server, state.agent, state.agent_fingerprint);
    memory.store_admin(server, state.admin);
    memory.store_weight(server, state.weight);
    memory.store_maxconn(server, state.maxconn);
}

#[test]
fn what_is_stored_is_read_by_all_and_of_this_server_only() {
    let (memory, _) = lanes(0);
    let (again, worker) = (attach_again(&memory), as_worker(&memory));
    store(&memory, SERVER, &everything());
    for seen in [&*memory, &again, &worker] {
        assert_eq!(seen.server_state(SERVER), everything());
        assert_eq!(seen.server_state(SERVER - 1), ServerState::default());
        assert_eq!(seen.server_state(SERVER + 1), ServerState::default());
        assert_eq!(seen.states_version(SERVER), 0);
    }
}

#[test]
fn a_version_counts_changes_for_those_who_only_read() {
    let (memory, _) = lanes(0);
    let worker = as_worker(&memory);
    memory.bump_states(BACKEND);
    memory.bump_states(BACKEND);
    assert_eq!((worker.states_version(BACKEND), worker.states_version(SERVER)), (2, 0));
}

#[test]
fn who_may_only_read_states_changes_nothing() {
    let (memory, _) = lanes(0);
    let worker = as_worker(&memory);
    assert!(memory.may_write_states());
    assert!(!worker.may_write_states());
    store(&worker, SERVER, &everything());
    worker.forget_verdict(SERVER);
    worker.bump_states(BACKEND);
    assert_eq!(memory.server_state(SERVER), ServerState::default());
    assert_eq!(memory.states_version(BACKEND), 0);
}

#[test]
fn a_descriptor_for_reading_neither_writes_nor_maps_for_writing() {
    let (memory, _) = lanes(0);
    let fd = memory.reopen_states(0).expect("once more");
    assert!(rustix::io::write(&fd, &[1]).is_err());
    assert_eq!(rustix::fs::fcntl_getfl(&fd).expect("flags") & OFlags::RWMODE, OFlags::RDONLY);
    let mode = Mode::from_raw_mode(rustix::fs::fstat(fd.as_fd()).expect("its mode").st_mode);
    assert_eq!(mode & (Mode::RWXG | Mode::RWXO), Mode::empty());
    assert!(memory.reopen_states(1).is_err());
}

#[test]
fn what_are_not_our_states_is_refused() {
    let mut memory = Memory::create().expect("a head");
    let start = [STATES_MAGIC, LAYOUT, 4711, 0];
    let open = memfd(STATES_WORDS, &start, SealFlags::empty());
    assert!(matches!(memory.attach_states(0, open), Err(MemoryError::NotSealed)));
    let short = memfd(4, &start, SEALED);
    assert!(matches!(memory.attach_states(0, short), Err(MemoryError::Size { .. })));
    let chunk = memfd(STATES_WORDS, &[CHUNK_MAGIC, LAYOUT, 4711, 0], SEALED);
    assert!(matches!(memory.attach_states(0, chunk), Err(MemoryError::Magic)));
    let foreign = memfd(STATES_WORDS, &start, SEALED);
    assert!(matches!(memory.attach_states(0, foreign), Err(MemoryError::Foreign)));
    let early = memfd(STATES_WORDS, &start, SEALED);
    assert!(matches!(memory.attach_states(1, early), Err(MemoryError::Number { .. })));
}

#[test]
fn objects_have_a_place_only_with_their_states() {
    let (memory, _) = lanes(0);
    let mut half: Option<Memory> = None;
    for (kind, fd) in memory.descriptors() {
        let fd = fd.try_clone_to_owned().expect("a duplicate");
        match (kind, half.as_mut()) {
            (MemoryKind::Lanes, None) => half = Some(Memory::attach(fd).expect("the head")),
            (MemoryKind::Objects(n), Some(it)) => it.attach_chunk(n, fd).expect("a chunk"),
            _ => {}
        }
    }
    assert_eq!(half.expect("a head").objects_max(), 0);
}

#[test]
fn an_object_given_to_another_name_has_no_states_and_a_newer_version() {
    let (memory, _) = lanes(0);
    store(&memory, SERVER, &everything());
    memory.bump_states(SERVER);
    memory.observe(SERVER, false, 1);
    memory.rate_add(SERVER, Rate::Sessions, 5);
    memory.clear_objects(&[SERVER]);
    assert_eq!(memory.server_state(SERVER), ServerState::default());
    assert_eq!(memory.states_version(SERVER), 2);
    assert_eq!(memory.alarms(SERVER), 0);
    assert_eq!(memory.rate(SERVER, Rate::Sessions, 5), 0);
}

#[test]
fn a_verdict_can_be_forgotten_alone() {
    let (memory, _) = lanes(0);
    store(&memory, SERVER, &everything());
    memory.forget_verdict(SERVER);
    let state = memory.server_state(SERVER);
    assert_eq!(state, ServerState { verdict: Verdict::default(), ..everything() });
}

#[test]
fn the_checkers_lane_is_told_and_taken_back() {
    let (memory, _) = lanes(0);
    assert_eq!(memory.checker_lane(), None);
    for lane in [0, LANES_MAX - 1] {
        memory.set_checker_lane(Some(lane));
        assert_eq!(as_worker(&memory).checker_lane(), Some(lane));
    }
    memory.set_checker_lane(None);
    assert_eq!(memory.checker_lane(), None);
}

#[test]
fn errors_in_a_row_raise_an_alarm_and_begin_anew() {
    let (memory, _) = lanes(0);
    for _ in 0..9 {
        assert!(!memory.observe(SERVER, false, 10));
    }
    assert!(!memory.observe(SERVER, true, 10));
    for _ in 0..9 {
        assert!(!memory.observe(SERVER, false, 10));
    }
    assert_eq!(memory.alarms(SERVER), 0);
    assert!(memory.observe(SERVER, false, 10));
    assert!(!memory.observe(SERVER, false, 10));
    assert_eq!(memory.alarms(SERVER), 1);
}

#[test]
fn no_more_than_the_limit_in_a_second_and_the_wait_is_as_told() {
    let (memory, _) = lanes(0);
    let take = |now| memory.rate_take(SERVER, Rate::Sessions, 100, now);
    for _ in 0..100 {
        assert_eq!(take(5_400), Ok(()));
    }
    assert_eq!(take(5_400), Err(601));
    assert_eq!(take(6_000), Err(1));
    assert_eq!(take(6_001), Ok(()));
    assert_eq!(take(6_001), Err(10));
    assert_eq!(take(6_010), Err(1));
    assert_eq!(take(6_011), Ok(()));
    assert_eq!(memory.rate(SERVER, Rate::Sessions, 6_011), 100);
    assert_eq!(memory.rate(SERVER, Rate::Connections, 6_011), 0);
    memory.rate_give_back(SERVER, Rate::Sessions, 6_011);
    assert_eq!(take(6_011), Ok(()));
    assert_eq!(memory.rate(SERVER, Rate::Sessions, 9_000), 0);
}
