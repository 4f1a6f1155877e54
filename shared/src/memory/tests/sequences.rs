//! Every operation of several lanes, one after the other, against a model that is plainly right: two
//! places (servers) with a shared queue (their backend), streams that come, go, give up, and lanes
//! that die. In the end every ring is answered, and nobody waits while a place is free.

use std::collections::BTreeSet;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;
use super::lanes;

const LANES: usize = 4;
const BACKEND: Object = 1;
const SERVERS: [Object; 2] = [2, 3];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A stream comes to a lane and would like this server, or any.
    Arrive { lane: usize, priority: u32, server: usize, any: bool },
    /// A stream of a lane on a server ends.
    Leave { lane: usize, server: usize },
    /// The first stream in a lane's queue gives up.
    GiveUp { lane: usize, any: bool, server: usize },
    /// A lane answers its doorbell, if it rang.
    Answer { lane: usize },
    /// The process is killed, its lane released and given to the next.
    Die { lane: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (lane, server) = (0..LANES, 0..SERVERS.len());
    prop_oneof![
        6 => (lane.clone(), 0_u32..3, server.clone(), any::<bool>())
            .prop_map(|(lane, priority, server, any)| Step::Arrive { lane, priority, server, any }),
        5 => (lane.clone(), server.clone()).prop_map(|(lane, server)| Step::Leave { lane, server }),
        1 => (lane.clone(), any::<bool>(), server)
            .prop_map(|(lane, any, server)| Step::GiveUp { lane, any, server }),
        5 => lane.clone().prop_map(|lane| Step::Answer { lane }),
        1 => lane.prop_map(|lane| Step::Die { lane }),
    ]
}

/// A lane as a worker would keep it.
#[derive(Clone, Debug, Default)]
struct LaneModel {
    /// Streams on each server.
    inside: [u32; 2],
    /// Pending queues of each server, then of the backend: (priority, since).
    queues: [BTreeSet<(u32, u64)>; 3],
}

/// Who is first for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct First {
    priority: u32,
    since: u64,
    lane: usize,
    queue: usize,
}

struct World {
    memory: Rc<Memory>,
    own: Vec<OwnLane>,
    lanes: Vec<LaneModel>,
    caps: [u32; 2],
    rung: BTreeSet<usize>,
    now: u64,
}

impl World {
    fn new(caps: [u32; 2]) -> Self {
        let (memory, own) = lanes(LANES);
        let rung = BTreeSet::new();
        Self { memory, own, lanes: vec![LaneModel::default(); LANES], caps, rung, now: 0 }
    }

    fn place(&self, server: usize) -> Place {
        Place::of(SERVERS[server], Some(self.caps[server]), BACKEND)
    }

    fn inside(&self, server: usize) -> u32 {
        self.lanes.iter().map(|lane| lane.inside[server]).sum()
    }

    fn is_free(&self, server: usize) -> bool {
        self.inside(server) < self.caps[server]
    }

    fn first(&self, server: usize) -> Option<First> {
        let mut all = Vec::new();
        for (lane, model) in self.lanes.iter().enumerate() {
            for queue in [server, 2] {
                all.extend(model.queues[queue].first().map(|(priority, since)| First {
                    priority: *priority,
                    since: *since,
                    lane,
                    queue,
                }));
            }
        }
        all.into_iter().min()
    }

    fn first_lane(&self, server: usize) -> Option<Lane> {
        self.first(server).map(|first| first.lane as Lane)
    }

    fn ring(&mut self, lane: Option<Lane>) {
        self.rung.extend(lane.map(usize::from));
    }

    fn publish(&self, lane: usize, queue: usize) {
        let streams = &self.lanes[lane].queues[queue];
        let waiters = streams.first().map(|(priority, since)| Waiters {
            count: streams.len() as u32,
            priority: *priority,
            since: *since,
        });
        let object = SERVERS.get(queue).copied().unwrap_or(BACKEND);
        self.own[lane].publish(object, waiters);
    }

    /// Rule 4 of the module; every answer is compared with what the model says.
    fn serve(&mut self, lane: usize) {
        for server in 0..SERVERS.len() {
            while let Some(first) = self.take(lane, server) {
                self.lanes[lane].inside[server] += 1;
                self.lanes[lane].queues[first.queue].remove(&(first.priority, first.since));
                self.publish(lane, first.queue);
            }
        }
    }

    /// The waiter of this lane that got in, if any.
    fn take(&mut self, lane: usize, server: usize) -> Option<First> {
        let first = self.first(server).filter(|_| self.is_free(server));
        let entry = self.own[lane].take(&self.place(server));
        match (first, entry) {
            (Some(first), Entry::In) if first.lane == lane => Some(first),
            (Some(first), Entry::Full { ring }) if first.lane != lane => {
                assert_eq!(ring, Some(first.lane as Lane));
                self.ring(ring);
                None
            }
            (None, Entry::Full { ring: None }) => None,
            wrong => panic!("lane {lane}, server {server}: {wrong:?}"),
        }
    }

    fn act(&mut self, step: Step) {
        self.now += 1;
        match step {
            Step::Arrive { lane, priority, server, any } => {
                let place = self.place(server);
                let waited = self.memory.anyone_waits(&place);
                assert_eq!(waited, self.first(server).is_some());
                let free = self.is_free(server);
                if !waited {
                    let entry = self.own[lane].enter(&place);
                    assert_eq!(entry, if free { Entry::In } else { Entry::Full { ring: None } });
                }
                if !waited && free {
                    self.lanes[lane].inside[server] += 1;
                } else {
                    let queue = if any { 2 } else { server };
                    self.lanes[lane].queues[queue].insert((priority, self.now));
                    self.publish(lane, queue);
                    self.serve(lane);
                }
            }
            Step::Leave { lane, server } if self.lanes[lane].inside[server] > 0 => {
                self.lanes[lane].inside[server] -= 1;
                let ring = self.own[lane].leave(&self.place(server));
                assert_eq!(ring, self.first_lane(server));
                self.ring(ring);
            }
            Step::GiveUp { lane, any, server } => {
                let queue = if any { 2 } else { server };
                self.lanes[lane].queues[queue].pop_first();
                self.publish(lane, queue);
                for server in 0..SERVERS.len() {
                    let ring = self.own[lane].pass_on(&self.place(server));
                    assert_eq!(ring, self.first_lane(server).filter(|_| self.is_free(server)));
                    self.ring(ring);
                }
            }
            Step::Answer { lane } if self.rung.remove(&lane) => self.serve(lane),
            Step::Die { lane } => {
                self.lanes[lane] = LaneModel::default();
                self.memory.release_lane(lane as Lane);
                self.rung.extend(0..LANES);
                assert_eq!(self.memory.claim_lane(0), Some(lane as Lane));
            }
            Step::Leave { .. } | Step::Answer { .. } => {}
        }
    }

    fn compare(&self) {
        for (server, object) in SERVERS.into_iter().enumerate() {
            assert_eq!(self.memory.current(object), self.inside(server));
            assert!(self.inside(server) <= self.caps[server]);
            let first = self.memory.first_waiter(&self.place(server));
            let first = first.map(|w| (w.priority, w.since, usize::from(w.lane)));
            assert_eq!(first, self.first(server).map(|f| (f.priority, f.since, f.lane)));
        }
        for (queue, object) in [SERVERS[0], SERVERS[1], BACKEND].into_iter().enumerate() {
            let waiting: usize = self.lanes.iter().map(|lane| lane.queues[queue].len()).sum();
            assert_eq!(self.memory.waiting(object), waiting as u32);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_agrees_with_a_naive_model_and_strands_nobody(
        caps in [1_u32..3, 1_u32..4],
        steps in vec(step(), 0..120),
    ) {
        let mut world = World::new(caps);
        for step in steps {
            world.act(step);
            world.compare();
        }
        while let Some(lane) = world.rung.pop_first() {
            world.serve(lane);
            world.compare();
        }
        for server in 0..SERVERS.len() {
            let waiting = world.first(server);
            prop_assert!(waiting.is_none() || !world.is_free(server), "{:?} waits", waiting);
        }
    }
}
