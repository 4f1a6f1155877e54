//! Every interleaving of a few lanes: after each single access to shared memory any of them may go
//! next, or be killed. The code under test is the real one; only the words are the explorer's.
//!
//! A lane's turn (a *phase*) is run again from its start for each access: what it read before is told
//! to it again, one access more is carried out, then it is stopped by unwinding. So a state of the
//! world is the words and, for each lane, what it has read in its phase, and states met twice are
//! explored once. Sound because admission is sequentially consistent in all that is explored here.
//!
//! Long because explorer, model and scenarios are of no use without one another.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::super::admission::{self, Board, Word};
use super::super::layout::LANE_WORDS;
use super::super::{Entry, Lane, Object, Place, Waiters};

const LANES: usize = 3;
const OBJECTS: usize = 3;
/// The shared queue of the places below.
const QUEUE: Object = 0;

/// Words of a cell.
const GAUGE: usize = 0;
const WAITING: usize = 1;
const KEY: usize = 2;
/// Words of a world: live lanes, moves from lane to lane, then per object the waiters, then per lane and object the cell.
const LIVE: usize = 0;
const MOVES: usize = 1;
const WAITERS: usize = 2;
const CELLS: usize = WAITERS + OBJECTS;
/// Not shared memory: doorbells, and who is really inside, per lane and object.
const BELLS: usize = CELLS + LANES * OBJECTS * 3;
const INSIDE: usize = BELLS + LANES;
/// Set when a lane was killed and the master has not released it yet.
const KILLED: usize = INSIDE + LANES * OBJECTS;
const WORDS: usize = KILLED + LANES;

/// What unwinding carries.
enum Stop {
    /// One access was carried out.
    Paused,
    /// The next access must wait.
    Blocked,
}

/// What a phase was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    /// By one access.
    Read(u8),
    /// By a whole operation: what it read on the way no longer matters.
    Result(Entry),
}

/// What a step works on.
#[derive(Default)]
struct Run {
    words: RefCell<Vec<u8>>,
    /// What the running phase has read so far.
    log: RefCell<Vec<Told>>,
    replayed: Cell<usize>,
    acted: Cell<bool>,
    /// Whether lanes may die.
    deaths: Cell<bool>,
    /// Whether anybody goes from lane to lane.
    moves: Cell<bool>,
    /// See [`Board::tries`].
    tries: Cell<usize>,
}

impl Run {
    /// One access of the running phase: told again, carried out, or put off. What concerns nobody
    /// else goes along with the access before it.
    fn access(&self, word: usize, act: impl FnOnce(&mut u8) -> Option<u8>) -> u8 {
        let at = self.replayed.get();
        self.replayed.set(at + 1);
        if let Some(Told::Read(value)) = self.log.borrow().get(at) {
            return *value;
        }
        if self.concerns_others(word) && self.acted.replace(true) {
            resume_unwind(Box::new(Stop::Paused));
        }
        let Some(read) = act(&mut self.words.borrow_mut()[word]) else {
            resume_unwind(Box::new(Stop::Blocked));
        };
        self.log.borrow_mut().push(Told::Read(read));
        read
    }

    /// A whole operation, access by access; once done, only its result is told again.
    fn operation(&self, operate: impl FnOnce() -> Entry) -> Entry {
        let at = self.replayed.get();
        let told = self.log.borrow().get(at).copied();
        let result = match told {
            Some(Told::Result(result)) => result,
            _ => operate(),
        };
        self.replayed.set(at + 1);
        if !matches!(told, Some(Told::Result(_))) {
            let mut log = self.log.borrow_mut();
            log.truncate(at);
            log.push(Told::Result(result));
        }
        result
    }

    /// As `operation`, for those that only name whom to ring.
    fn call(&self, operate: impl FnOnce() -> Option<Lane>) -> Option<Lane> {
        match self.operation(|| Entry::Full { ring: operate() }) {
            Entry::Full { ring } => ring,
            Entry::In => None,
        }
    }

    fn change(&self, word: usize, act: impl FnOnce(u8) -> u8) -> u8 {
        self.access(word, |value| {
            let before = *value;
            *value = act(before);
            Some(before)
        })
    }

    /// Waits until a word is not zero, and makes it zero.
    fn wait(&self, word: usize) {
        self.access(word, |value| (*value != 0).then(|| std::mem::take(value)));
    }

    /// Nobody decides by counts of waiters or by the explorer's notes, nor by live lanes while all
    /// live; there are gauges of places only, and waiters in the shared queue only.
    fn concerns_others(&self, word: usize) -> bool {
        match word {
            LIVE => self.deaths.get(),
            MOVES => self.moves.get(),
            WAITERS..CELLS => word == WAITERS + QUEUE as usize,
            CELLS..BELLS => {
                let (object, of_cell) = ((word - CELLS) / 3 % OBJECTS, (word - CELLS) % 3);
                of_cell == if object == QUEUE as usize { KEY } else { GAUGE }
            }
            _ => !(INSIDE..KILLED).contains(&word),
        }
    }
}

/// One word of the model; `None`: always zero, as bitmaps are beyond the few lanes there are.
struct ModelWord {
    run: Rc<Run>,
    at: Option<usize>,
}

impl ModelWord {
    fn change(&self, act: impl FnOnce(u8) -> u8) -> u64 {
        let at = self.at.expect("only the first words of bitmaps are written");
        self.run.change(at, act).into()
    }
}

impl Word for ModelWord {
    fn load(&self) -> u64 {
        self.at.map_or(0, |at| self.run.change(at, |value| value).into())
    }
    fn store(&self, value: u64) {
        self.change(|_| u8::try_from(value).expect("small numbers"));
    }
    fn fetch_add(&self, value: u64) {
        self.change(|before| before + value as u8);
    }
    fn fetch_sub(&self, value: u64) {
        self.change(|before| before - value as u8);
    }
    fn fetch_or(&self, value: u64) {
        self.change(|before| before | value as u8);
    }
    fn fetch_and(&self, value: u64) {
        self.change(|before| before & value as u8);
    }
    fn exchange(&self, before: u64, after: u64) -> bool {
        let act = |word| if u64::from(word) == before { after as u8 } else { word };
        self.change(act) == before
    }
    fn bump(&self) {
        self.fetch_add(1);
    }
}

struct Model {
    run: Rc<Run>,
    words: Vec<ModelWord>,
    zero: ModelWord,
}

impl Model {
    fn new() -> Self {
        let run = Rc::new(Run::default());
        let words = (0..BELLS).map(|at| ModelWord { run: Rc::clone(&run), at: Some(at) }).collect();
        let zero = ModelWord { run: Rc::clone(&run), at: None };
        Self { run, words, zero }
    }

    fn bitmap(&self, at: usize, word: usize) -> &ModelWord {
        assert!(word < LANE_WORDS);
        if word == 0 { &self.words[at] } else { &self.zero }
    }

    fn cell(&self, lane: Lane, object: Object, at: usize) -> &ModelWord {
        &self.words[CELLS + (usize::from(lane) * OBJECTS + object as usize) * 3 + at]
    }

    fn ring(&self, lane: Option<Lane>) {
        if let Some(lane) = lane {
            self.run.change(BELLS + usize::from(lane), |_| 1);
        }
    }

    /// Notes that a stream is, or is no longer, really inside.
    fn note(&self, lane: Lane, place: &Place, inside: u8) {
        self.run.change(inside_at(lane.into(), place.object), |_| inside);
    }
}

fn inside_at(lane: usize, object: Object) -> usize {
    INSIDE + lane * OBJECTS + object as usize
}

impl Board for Model {
    type Word = ModelWord;
    fn live(&self, word: usize) -> &ModelWord {
        self.bitmap(LIVE, word)
    }
    fn waiters(&self, object: Object, word: usize) -> &ModelWord {
        self.bitmap(WAITERS + object as usize, word)
    }
    fn gauge(&self, lane: Lane, object: Object) -> &ModelWord {
        self.cell(lane, object, GAUGE)
    }
    fn waiting(&self, lane: Lane, object: Object) -> &ModelWord {
        self.cell(lane, object, WAITING)
    }
    fn key(&self, lane: Lane, object: Object) -> &ModelWord {
        self.cell(lane, object, KEY)
    }
    fn moves(&self) -> u64 {
        self.words[MOVES].load()
    }
    fn tries(&self) -> usize {
        self.run.tries.get()
    }
}

/// What a lane knows by itself between two phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Local {
    /// Streams that are still to come.
    to_come: u8,
    /// Streams in the pending queue.
    waiting: u8,
    /// Streams inside each place.
    inside: [u8; 2],
    /// Its first waiter gives up instead of answering the doorbell.
    gives_up: bool,
    /// Its streams never leave.
    stays: bool,
    /// It takes over the last lane's stream, which that one counts until it is told.
    takes: bool,
    /// It is the last lane, whose stream is taken over.
    gives: bool,
    /// `since` of its waiters.
    since: u8,
}

/// What is explored.
struct Scenario {
    lanes: Vec<Local>,
    /// Objects 1 and 2, with their caps.
    caps: Vec<u32>,
    /// This lane may be killed.
    mortal: Option<usize>,
    /// So many times one is interrupted who could go on; `None`: everything is explored.
    interruptions_max: Option<u8>,
    tries: usize,
}

impl Scenario {
    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        (1..).zip(&self.caps).map(|(object, cap)| Place::of(object, Some(*cap), QUEUE))
    }

    /// One phase of a lane, by the rules of the module; `None` when it has nothing left to do.
    fn phase(&self, model: &Model, lane: Lane, mut local: Local) -> Option<Local> {
        if local.takes {
            local.takes = false;
            let place = Place { cap: None, ..self.places().next()? };
            let _ = model.run.operation(|| admission::enter(model, lane, &place));
            model.words[MOVES].fetch_add(1);
            model.ring(Some(self.lanes.len() as Lane - 1));
            return Some(local);
        }
        if local.gives {
            local.gives = false;
            let place = self.places().next()?;
            model.run.wait(BELLS + usize::from(lane));
            model.ring(model.run.call(|| admission::leave(model, lane, &place)));
            return Some(local);
        }
        let leaves = self.places().zip(0..).find(|(_, n)| local.inside[*n] > 0 && !local.stays);
        if local.to_come > 0 {
            local.to_come -= 1;
            let entered =
                (0..).zip(self.places()).find(|(_, place)| Self::enters(model, lane, place));
            if let Some((n, place)) = entered {
                local.inside[n] += 1;
                model.note(lane, &place, local.inside[n]);
            } else {
                local.waiting += 1;
                Self::publish(model, lane, local);
                self.serve(model, lane, &mut local);
            }
        } else if let Some((place, n)) = leaves {
            local.inside[n] -= 1;
            model.note(lane, &place, local.inside[n]);
            model.ring(model.run.call(|| admission::leave(model, lane, &place)));
        } else if local.waiting > 0 {
            model.run.wait(BELLS + usize::from(lane));
            if local.gives_up {
                local.waiting -= 1;
                Self::publish(model, lane, local);
                for place in self.places() {
                    model.ring(model.run.call(|| admission::pass_on(model, &place)));
                }
            } else {
                self.serve(model, lane, &mut local);
            }
        } else {
            return None;
        }
        Some(local)
    }

    fn enters(model: &Model, lane: Lane, place: &Place) -> bool {
        let first = || admission::first_waiter(model, place).map(|first| first.lane);
        if model.run.call(first).is_some() {
            return false;
        }
        match model.run.operation(|| admission::enter(model, lane, place)) {
            Entry::In => true,
            Entry::Full { ring } => {
                model.ring(ring);
                false
            }
        }
    }

    fn serve(&self, model: &Model, lane: Lane, local: &mut Local) {
        for (n, place) in (0..).zip(self.places()) {
            loop {
                match model.run.operation(|| admission::take(model, lane, &place)) {
                    Entry::In => {
                        local.inside[n] += 1;
                        local.waiting -= 1;
                        model.note(lane, &place, local.inside[n]);
                        Self::publish(model, lane, *local);
                    }
                    Entry::Full { ring } => {
                        model.ring(ring);
                        break;
                    }
                }
            }
        }
    }

    fn publish(model: &Model, lane: Lane, local: Local) {
        let waiters =
            Waiters { count: local.waiting.into(), priority: 0, since: local.since.into() };
        let waiters = (local.waiting > 0).then_some(waiters);
        model.run.call(|| {
            admission::publish(model, lane, QUEUE, waiters);
            None
        });
    }

    /// The master's part: after a death it releases the lane and rings everybody.
    fn master(&self, model: &Model, lane: usize) {
        model.run.wait(KILLED + lane);
        for object in 0..OBJECTS as Object {
            model.run.call(|| {
                admission::release(model, lane as Lane, object);
                None
            });
        }
        model.words[LIVE].fetch_and(!(1 << lane));
        for lane in 0..self.lanes.len() {
            model.ring(Some(lane as Lane));
        }
    }
}

/// Somebody who can go next: a lane, or the master.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Actor {
    local: Local,
    log: Vec<Told>,
    done: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    words: Vec<u8>,
    /// The lanes, then the master.
    actors: Vec<Actor>,
    killed: bool,
    /// Who went last, and how many were interrupted, where that is bounded.
    last: usize,
    interruptions: u8,
}

struct Explorer {
    scenario: Scenario,
    model: Model,
    seen: HashSet<State>,
    ends: usize,
}

/// Explores everything that can happen; refuses any end but a good one.
fn explore(scenario: Scenario) {
    let mut words = vec![0; WORDS];
    words[LIVE] = (1 << scenario.lanes.len()) - 1;
    let lanes = scenario.lanes.iter().copied();
    let actors = lanes
        .chain([Local::default()])
        .map(|local| Actor { local, log: Vec::new(), done: false })
        .collect();
    let moves = scenario.lanes.iter().any(|lane| lane.takes);
    if moves {
        let last = scenario.lanes.len() - 1;
        words[inside_at(last, 1)] = 1;
        words[CELLS + (last * OBJECTS + 1) * 3 + GAUGE] = 1;
    }
    let first = State { words, actors, killed: false, last: 0, interruptions: 0 };
    let mut explorer = Explorer { scenario, model: Model::new(), seen: HashSet::new(), ends: 0 };
    explorer.model.run.tries.set(explorer.scenario.tries);
    explorer.model.run.deaths.set(explorer.scenario.mortal.is_some());
    explorer.model.run.moves.set(moves);
    let mut open = vec![first];
    while let Some(state) = open.pop() {
        if explorer.seen.contains(&state) {
            continue;
        }
        explorer.check(&state);
        explorer.expand(&state, &mut open);
        explorer.seen.insert(state);
    }
    assert!(explorer.ends > 0, "nothing ever ended");
}

impl Explorer {
    /// Never one too many.
    fn check(&self, state: &State) {
        for place in self.scenario.places() {
            let inside = |lane| u32::from(state.words[inside_at(lane, place.object)]);
            let inside: u32 = (0..self.scenario.lanes.len()).map(inside).sum();
            assert!(inside <= place.cap.expect("a cap"), "{inside} are inside: {state:?}");
        }
    }

    fn expand(&mut self, state: &State, open: &mut Vec<State>) {
        let before = open.len();
        let last = self.step(state, state.last);
        let interrupts = self.scenario.interruptions_max.filter(|_| last.is_some());
        if interrupts.is_none_or(|max| state.interruptions < max) {
            for actor in (0..state.actors.len()).filter(|actor| *actor != state.last) {
                open.extend(self.step(state, actor).map(|mut next| {
                    if self.scenario.interruptions_max.is_some() {
                        next.last = actor;
                        next.interruptions += u8::from(interrupts.is_some());
                    }
                    next
                }));
            }
        }
        open.extend(last);
        if open.len() == before {
            self.check_end(state);
        }
        if let Some(lane) = self.scenario.mortal.filter(|_| !state.killed) {
            open.push(Self::kill(state.clone(), lane));
        }
    }

    /// Where nothing moves any more nobody waits, unless for those who stay, and nothing is left
    /// behind.
    fn check_end(&mut self, state: &State) {
        let lanes = &state.actors[..self.scenario.lanes.len()];
        let stays = lanes.iter().any(|lane| lane.local.stays);
        let inside = |place: &Place| -> u32 {
            (0..lanes.len()).map(|lane| state.words[inside_at(lane, place.object)] as u32).sum()
        };
        let all_full = self.scenario.places().all(|place| Some(inside(&place)) == place.cap);
        let all_done = lanes.iter().all(|lane| lane.done);
        assert!(all_done || stays && all_full, "somebody waits for ever: {state:?}");
        let left = state.words[WAITERS..BELLS].iter().any(|word| *word != 0);
        assert!(!left || stays, "left over: {state:?}");
        self.ends += 1;
    }

    fn kill(mut state: State, lane: usize) -> State {
        state.killed = true;
        state.actors[lane].done = true;
        state.words[KILLED + lane] = 1;
        for object in 0..OBJECTS as Object {
            state.words[inside_at(lane, object)] = 0;
        }
        state
    }

    /// Lets one actor make one access; `None` when it cannot.
    fn step(&self, state: &State, index: usize) -> Option<State> {
        let actor = &state.actors[index];
        if actor.done {
            return None;
        }
        let run = &self.model.run;
        run.words.borrow_mut().clone_from(&state.words);
        run.log.borrow_mut().clone_from(&actor.log);
        run.replayed.set(0);
        run.acted.set(false);
        let ended = catch_unwind(AssertUnwindSafe(|| self.phase(index, actor.local)));
        let mut next = state.clone();
        match ended {
            Ok(local) => {
                let local_after = local.unwrap_or(actor.local);
                next.actors[index] =
                    Actor { local: local_after, log: Vec::new(), done: local.is_none() };
            }
            Err(payload) => match payload.downcast::<Stop>().map(|stop| *stop) {
                Ok(Stop::Paused) => next.actors[index].log.clone_from(&run.log.borrow()),
                Ok(Stop::Blocked) => return None,
                Err(failure) => resume_unwind(failure),
            },
        }
        next.words.clone_from(&run.words.borrow());
        Some(next)
    }

    fn phase(&self, index: usize, local: Local) -> Option<Local> {
        if index < self.scenario.lanes.len() {
            return self.scenario.phase(&self.model, index as Lane, local);
        }
        self.scenario.master(&self.model, self.scenario.mortal?);
        None
    }
}

/// A lane to which so many streams come.
fn lane(streams: u8, since: u8) -> Local {
    Local { to_come: streams, since, ..Local::default() }
}

fn scenario(lanes: &[Local], caps: &[u32]) -> Scenario {
    let (lanes, caps) = (lanes.to_vec(), caps.to_vec());
    Scenario { lanes, caps, mortal: None, interruptions_max: Some(2), tries: 2 }
}

#[test]
fn one_place_and_two_lanes_in_every_interleaving() {
    for since in [[1, 2], [2, 1]] {
        let lanes = since.map(|since| lane(1, since));
        explore(Scenario { interruptions_max: None, ..scenario(&lanes, &[1]) });
    }
}

#[test]
fn one_place_and_several_streams_in_each_lane() {
    let lanes = [lane(2, 1), lane(2, 1)];
    explore(Scenario { interruptions_max: Some(3), ..scenario(&lanes, &[1]) });
}

#[test]
fn who_collides_and_has_no_more_tries_comes_back_to_it() {
    for since in [[1, 2], [2, 1]] {
        let lanes = since.map(|since| lane(1, since));
        let bounds = Scenario { interruptions_max: None, tries: 1, ..scenario(&lanes, &[1]) };
        explore(bounds);
    }
}

/// Who sums one lane before it is there, and the other after it has gone, has missed it in both.
#[test]
fn who_goes_from_lane_to_lane_is_missed_by_nobody() {
    let gives = Local { gives: true, stays: true, ..lane(0, 1) };
    let takes = Local { takes: true, stays: true, ..lane(0, 2) };
    for lanes in [[takes, lane(1, 3), gives], [lane(1, 3), takes, gives]] {
        explore(Scenario { interruptions_max: None, ..scenario(&lanes, &[1]) });
    }
}

#[test]
fn one_or_two_places_and_three_lanes() {
    for cap in [1, 2] {
        explore(scenario(&[lane(1, 3), lane(1, 2), lane(1, 1)], &[cap]));
    }
}

#[test]
fn two_rings_that_are_heard_as_one_wake_two_waiters() {
    let stays = |since| Local { stays: true, ..lane(1, since) };
    explore(scenario(&[lane(2, 3), stays(2), stays(1)], &[2]));
}

#[test]
fn places_on_two_servers_with_one_queue() {
    explore(scenario(&[lane(1, 3), lane(1, 2), lane(1, 1)], &[1, 1]));
}

#[test]
fn a_stream_that_gives_up_leaves_its_turn_to_the_next() {
    for who in 0..3 {
        let mut lanes = [lane(1, 3), lane(1, 2), lane(1, 1)];
        lanes[who].gives_up = true;
        explore(scenario(&lanes, &[1]));
    }
}

#[test]
fn a_death_at_any_access_strands_nobody() {
    for who in 0..2 {
        let lanes = [lane(1, 2), lane(1, 1)];
        explore(Scenario { mortal: Some(who), ..scenario(&lanes, &[1]) });
    }
    for who in 0..3 {
        let lanes = [lane(1, 3), lane(1, 2), lane(1, 1)];
        let mortal = Some(who);
        explore(Scenario { mortal, interruptions_max: Some(1), ..scenario(&lanes, &[1]) });
    }
}
