//! Every interleaving of a few processes on the words that need no lane: states and their version,
//! observed traffic, rates. After each access to shared memory any of them may go next or, as each
//! prefix of its accesses is such a state too, have died.
//!
//! As in `interleavings`: the code under test is the real one, a process is run again from its start
//! for each access, told what it has read before, and stopped by unwinding after one more. States of
//! the world that are met twice are explored once. It sees every order of accesses, each of them at
//! once for all; that relaxed loads with their fence see a released store's predecessors is the
//! memory model's promise, and `memory_stress` looks at real processes.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::super::admission::Word;
use super::super::layout::state as at;
use super::super::observed::observe;
use super::super::rate::{Window, change, take};
use super::super::states::{load_server, store_verdict};
use super::super::{Operational, Verdict};

/// What unwinding carries: one access was carried out.
struct Paused;

/// What a process has read.
type Log = Vec<u64>;

/// The words, and the process that runs.
#[derive(Default)]
struct World {
    words: RefCell<Vec<u64>>,
    log: RefCell<Log>,
    replayed: Cell<usize>,
    acted: Cell<bool>,
}

struct ModelWord<'a> {
    world: &'a World,
    at: usize,
}

impl World {
    fn word(&self, at: usize) -> ModelWord<'_> {
        ModelWord { world: self, at }
    }
}

impl ModelWord<'_> {
    fn access(&self, act: impl FnOnce(u64) -> u64) -> u64 {
        let world = self.world;
        let position = world.replayed.get();
        world.replayed.set(position + 1);
        if let Some(read) = world.log.borrow().get(position) {
            return *read;
        }
        if world.acted.replace(true) {
            resume_unwind(Box::new(Paused));
        }
        let word = &mut world.words.borrow_mut()[self.at];
        let before = *word;
        *word = act(before);
        world.log.borrow_mut().push(before);
        before
    }
}

impl Word for ModelWord<'_> {
    fn load(&self) -> u64 {
        self.access(|word| word)
    }
    fn store(&self, value: u64) {
        self.access(|_| value);
    }
    fn fetch_add(&self, value: u64) {
        self.access(|word| word + value);
    }
    fn fetch_sub(&self, value: u64) {
        self.access(|word| word - value);
    }
    fn fetch_or(&self, value: u64) {
        self.access(|word| word | value);
    }
    fn fetch_and(&self, value: u64) {
        self.access(|word| word & value);
    }
    fn exchange(&self, before: u64, after: u64) -> bool {
        self.access(|word| if word == before { after } else { word }) == before
    }
    fn bump(&self) {
        self.fetch_add(1);
    }
}

/// A process, and what it has to say when it is done.
type Process = fn(&World) -> u64;

/// Where the processes stand: what each has read, and what it said.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Moment {
    words: Vec<u64>,
    logs: Vec<Log>,
    said: Vec<Option<u64>>,
}

/// Explores; `holds` is asked about the words and what was said, at every moment. Answers how many
/// there were.
fn explore(words: &[u64], processes: &[Process], holds: fn(&[u64], &[Option<u64>])) -> usize {
    let start = Moment {
        words: words.to_vec(),
        logs: vec![Log::new(); processes.len()],
        said: vec![None; processes.len()],
    };
    let world = Rc::new(World::default());
    let mut met = HashSet::from([start.clone()]);
    let mut ahead = vec![start];
    while let Some(moment) = ahead.pop() {
        holds(&moment.words, &moment.said);
        for (n, process) in processes.iter().enumerate() {
            if moment.said[n].is_some() {
                continue;
            }
            world.words.replace(moment.words.clone());
            world.log.replace(moment.logs[n].clone());
            world.replayed.set(0);
            world.acted.set(false);
            let ran = catch_unwind(AssertUnwindSafe(|| process(&world)));
            let mut next = moment.clone();
            next.words.clone_from(&world.words.borrow());
            next.logs[n].clone_from(&world.log.borrow());
            match ran {
                Ok(said) => next.said[n] = Some(said),
                Err(carried) if carried.is::<Paused>() => {}
                Err(panic) => resume_unwind(panic),
            }
            if met.insert(next.clone()) {
                ahead.push(next);
            }
        }
    }
    met.len()
}

/// The n-th change that the checker makes.
fn change_states(world: &World, n: u64) {
    let verdict = Verdict { operational: Operational::Up, code: n as u16, ..Verdict::default() };
    store_verdict(|at, value| world.word(at).store(value), verdict, n, n);
    world.word(at::VERSION).fetch_add(1);
}

/// A pick: what it knows is as new as the version it has seen. Answers that version.
fn pick(world: &World) -> u64 {
    let version = world.word(at::VERSION).load();
    let state = load_server(|at| match at {
        at::FINGERPRINT | at::VERDICT | at::CHANGED => world.word(at).load(),
        _ => 0,
    });
    let (code, changed) = (u64::from(state.verdict.code), state.changed_ms);
    assert!(state.fingerprint >= version, "stale under version {version}");
    assert!(code >= state.fingerprint, "a verdict older than its fingerprint");
    assert!(changed >= code, "a change older than its verdict");
    version
}

#[test]
fn who_sees_a_version_sees_all_that_was_stored_before_it() {
    let writer: Process = |world| {
        change_states(world, 1);
        change_states(world, 2);
        0
    };
    let reader: Process = |world| {
        let first = pick(world);
        let second = pick(world);
        assert!(second >= first);
        second
    };
    let moments = explore(&[0; at::WORDS], &[writer, reader], |words, said| {
        // Once the writer is done, so is whoever begins to look.
        if said[0].is_some() {
            assert_eq!(words[at::VERSION], 2);
        }
    });
    assert!(moments > 100, "{moments}");
}

const LIMIT: u32 = 3;
const ERRORS: u64 = u32::MAX as u64;

/// So many errors; answers how many alarms it raised.
fn errors(world: &World, count: usize) -> u64 {
    let word = world.word(0);
    (0..count).filter(|_| observe(&word, false, LIMIT)).count() as u64
}

#[test]
fn of_errors_seen_by_several_each_counts_once_and_each_alarm_is_raised_by_one() {
    let processes: [Process; 3] =
        [|world| errors(world, 2), |world| errors(world, 2), |world| errors(world, 1)];
    explore(&[0], &processes, |words, said| {
        let (errors, alarms) = (words[0] & ERRORS, words[0] >> 32);
        let raised: u64 = said.iter().flatten().sum();
        assert!(errors < u64::from(LIMIT));
        assert!(alarms >= raised, "raised, and not counted");
        let counted = alarms * u64::from(LIMIT) + errors;
        if said.iter().all(Option::is_some) {
            assert_eq!((counted, alarms, raised), (5, 1, 1));
        }
    });
}

#[test]
fn a_success_ends_the_row_and_takes_back_no_alarm() {
    let success: Process = |world| observe(&world.word(0), true, LIMIT).into();
    let processes: [Process; 3] = [|world| errors(world, 3), |world| errors(world, 2), success];
    explore(&[0], &processes, |words, said| {
        if let [Some(first), Some(second), Some(third)] = said {
            assert_eq!(*third, 0, "a success raises no alarm");
            assert_eq!(words[0] >> 32, first + second);
            assert!(first + second <= 1);
        }
    });
}

/// How many of three events a limit of two a second lets through.
fn events(world: &World, now_ms: u64) -> u64 {
    let word = world.word(0);
    (0..3).filter(|_| take(&word, 2, now_ms).is_ok()).count() as u64
}

#[test]
fn a_rate_is_exact_whoever_counts_at_once() {
    let in_this_second: Process = |world| events(world, 5_999);
    let processes = [in_this_second; 3];
    explore(&[0], &processes, |words, said| {
        let counted = Window::of(words[0], 5_999);
        let let_in: u64 = said.iter().flatten().sum();
        assert!(counted.rate() <= 2 && let_in <= counted.rate());
        if said.iter().all(Option::is_some) {
            assert_eq!((let_in, counted.rate()), (2, 2), "none is lost");
        }
    });
}

#[test]
fn a_rate_is_exact_over_the_turn_of_a_second_and_clocks_that_are_behind() {
    // The last has read its clock before the second was over, and counts in the next all the same.
    let processes: [Process; 3] =
        [|world| events(world, 5_500), |world| events(world, 6_999), |world| events(world, 5_999)];
    explore(&[0], &processes, |words, said| {
        let let_in: u64 = said.iter().flatten().sum();
        assert!(let_in <= 4, "two a second, in two seconds");
        assert!(Window::of(words[0], 6_999).rate() <= 2);
    });
}

#[test]
fn what_is_given_back_can_be_taken_once_more() {
    let taken_in_vain: Process = |world| {
        let word = world.word(0);
        let taken = take(&word, 1, 5_999).is_ok();
        if taken {
            change(&word, 5_999, Window::with_one_less);
        }
        0
    };
    let wants_one: Process = |world| take(&world.word(0), 1, 5_999).is_ok().into();
    explore(&[0], &[taken_in_vain, taken_in_vain, wants_one], |words, said| {
        let counted = Window::of(words[0], 5_999).rate();
        assert!(counted <= 1);
        if said.iter().all(Option::is_some) {
            assert_eq!(said[2], Some(counted));
        }
    });
}
