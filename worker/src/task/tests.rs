use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Job, NEVER, Reasons, Scheduler, State, TaskId};

fn job_order(scheduler: &mut Scheduler) -> Vec<u32> {
    std::iter::from_fn(|| scheduler.next())
        .map(|(_, job, _)| match job {
            Job::Stream(key) => key,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn tasks_run_in_the_order_in_which_they_were_woken() {
    let mut scheduler = Scheduler::new(4);
    let ids: Vec<TaskId> = (0..3).map(|key| scheduler.create(Job::Stream(key), 0)).collect();
    for id in [2, 0, 1] {
        scheduler.wake(ids[id], Reasons::IO);
    }
    assert_eq!(job_order(&mut scheduler), [2, 0, 1]);
}

#[test]
fn a_nice_task_lets_later_ones_pass_but_not_for_ever() {
    let mut scheduler = Scheduler::new(4);
    let nice = scheduler.create(Job::Stream(1000), 2);
    scheduler.wake(nice, Reasons::IO);
    for key in 0..20 {
        let id = scheduler.create(Job::Stream(key), 0);
        scheduler.wake(id, Reasons::IO);
    }
    let order = job_order(&mut scheduler);
    assert_eq!(order.iter().position(|key| *key == 1000), Some(7));
}

#[test]
fn a_wake_while_queued_adds_its_reason_and_no_second_run() {
    let mut scheduler = Scheduler::new(4);
    let id = scheduler.create(Job::Heartbeat, 0);
    scheduler.wake(id, Reasons::IO);
    scheduler.wake(id, Reasons::RESOURCE);
    assert_eq!(scheduler.get(id).unwrap().state(), State::Queued);
    let (_, _, reasons) = scheduler.next().unwrap();
    assert_eq!(reasons.to_string(), "io+resource");
    assert!(scheduler.next().is_none());
    assert_eq!(scheduler.get(id).unwrap().calls(), 1);
}

#[test]
fn a_deadline_that_grew_wakes_only_at_its_new_time() {
    let mut scheduler = Scheduler::new(4);
    let id = scheduler.create(Job::Stream(0), 0);
    scheduler.schedule(id, 100);
    scheduler.schedule(id, 500);
    assert_eq!(scheduler.next_deadline(), Some(100), "the tree was not touched");
    scheduler.expire(100);
    assert!(scheduler.next().is_none());
    assert_eq!(scheduler.next_deadline(), Some(500));
    scheduler.expire(500);
    assert!(scheduler.next().unwrap().2.has(Reasons::TIMER));
    assert_eq!(scheduler.next_deadline(), None);
}

#[test]
fn a_deadline_that_shrank_wakes_at_its_new_time() {
    let mut scheduler = Scheduler::new(4);
    let id = scheduler.create(Job::Stream(0), 0);
    scheduler.schedule(id, 500);
    scheduler.schedule(id, 100);
    scheduler.expire(100);
    assert!(scheduler.next().is_some());
    scheduler.expire(500);
    assert!(scheduler.next().is_none());
}

#[test]
fn a_deadline_taken_back_does_not_wake() {
    let mut scheduler = Scheduler::new(4);
    let id = scheduler.create(Job::Stream(0), 0);
    scheduler.schedule(id, 100);
    scheduler.schedule(id, NEVER);
    scheduler.expire(1000);
    assert!(scheduler.next().is_none());
}

#[test]
fn a_removed_task_is_in_neither_queue() {
    let mut scheduler = Scheduler::new(4);
    let id = scheduler.create(Job::Stream(0), 0);
    scheduler.schedule(id, 100);
    scheduler.wake(id, Reasons::IO);
    scheduler.remove(id);
    scheduler.expire(1000);
    assert!(scheduler.next().is_none());
    assert_eq!(scheduler.next_deadline(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Schedule(usize, u64),
    Wake(usize),
    Remove(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6usize, prop_oneof![0..200u64, Just(NEVER)]).prop_map(|(i, at)| Step::Schedule(i, at)),
        (0..6usize).prop_map(Step::Wake),
        (0..6usize).prop_map(Step::Remove),
        (0..40u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn every_sequence_runs_what_a_naive_model_runs(steps in prop::collection::vec(step(), 1..80)) {
        let mut scheduler = Scheduler::new(6);
        let ids: Vec<TaskId> = (0..6).map(|key| scheduler.create(Job::Stream(key), 0)).collect();
        let mut model: BTreeMap<usize, (u64, bool)> = (0..6).map(|i| (i, (NEVER, false))).collect();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Schedule(i, at) => {
                    let at = if at == NEVER { NEVER } else { now + 1 + at };
                    scheduler.schedule(ids[i], at);
                    if let Some(entry) = model.get_mut(&i) { entry.0 = at; }
                }
                Step::Wake(i) => {
                    scheduler.wake(ids[i], Reasons::IO);
                    if let Some(entry) = model.get_mut(&i) { entry.1 = true; }
                }
                Step::Remove(i) => {
                    scheduler.remove(ids[i]);
                    model.remove(&i);
                }
                Step::Pass(by) => {
                    now += by;
                    scheduler.expire(now);
                    let mut ran: Vec<u32> = job_order(&mut scheduler);
                    ran.sort_unstable();
                    let mut expected = Vec::new();
                    for (i, (at, woken)) in &mut model {
                        if *at <= now { *at = NEVER; *woken = true; }
                        if std::mem::take(woken) { expected.push(*i as u32); }
                    }
                    prop_assert_eq!(ran, expected);
                }
            }
        }
    }
}
