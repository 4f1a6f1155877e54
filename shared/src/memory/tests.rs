//! Shared memory, as one process sees it that plays several.

mod interleavings;
mod packing;
mod registry;
mod sequences;
mod states;
mod words;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{MemfdFlags, SealFlags};

use super::layout::{CHUNK_MAGIC, CHUNK_WORDS, HEAD_MAGIC, HEAD_WORDS, WORD};
use super::*;

/// Memory of one chunk whose first 64 objects are in use, and so many lanes in it.
pub fn lanes(count: usize) -> (Rc<Memory>, Vec<OwnLane>) {
    let mut memory = Memory::create().expect("a head");
    let assigned = Assigned { chunks: 1, objects: 64, reused: Vec::new() };
    assert_eq!(memory.prepare(&assigned).expect("a chunk"), 0..1);
    let memory = Rc::new(memory);
    let lanes = (0..count)
        .map(|_| {
            let lane = memory.claim_lane(0).expect("a free lane");
            OwnLane::new(Rc::clone(&memory), lane).expect("a live lane")
        })
        .collect();
    (memory, lanes)
}

fn waiters(count: u32, priority: u32, since: u64) -> Waiters {
    Waiters { count, priority, since }
}

/// The same memory, mapped a second time as another process would.
fn attach_again(memory: &Memory) -> Memory {
    let mut again: Option<Memory> = None;
    for (kind, fd) in memory.descriptors() {
        let fd = fd.try_clone_to_owned().expect("a duplicate");
        match (kind, again.as_mut()) {
            (MemoryKind::Lanes, None) => again = Some(Memory::attach(fd).expect("the head")),
            (MemoryKind::Objects(n), Some(again)) => again.attach_chunk(n, fd).expect("a chunk"),
            (MemoryKind::States(n), Some(again)) => again.attach_states(n, fd).expect("states"),
            other => panic!("{other:?} came out of order"),
        }
    }
    again.expect("a head")
}

/// A memfd of any size, beginning with these words.
fn memfd(words: usize, start: &[u64], seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("forged", flags).expect("a memfd");
    rustix::fs::ftruncate(&fd, (words * WORD) as u64).expect("its size");
    let mut file = File::from(fd);
    for word in start {
        file.write_all(&word.to_ne_bytes()).expect("a word");
    }
    rustix::fs::fcntl_add_seals(&file, seals).expect("seals");
    file.into()
}

const SEALED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

#[test]
fn memory_that_could_still_shrink_is_refused() {
    for seals in [SealFlags::empty(), SealFlags::GROW, SealFlags::SHRINK | SealFlags::GROW] {
        let refused = Memory::attach(memfd(HEAD_WORDS, &[HEAD_MAGIC, LAYOUT], seals));
        assert!(matches!(refused, Err(MemoryError::NotSealed)), "{seals:?}");
    }
}

#[test]
fn what_is_no_memfd_is_refused() {
    let file = File::open("/dev/null").expect("/dev/null");
    assert!(matches!(Memory::attach(file.into()), Err(MemoryError::NotSealed)));
}

#[test]
fn memory_of_another_size_is_refused() {
    for words in [0, 1, HEAD_WORDS - 1, HEAD_WORDS + 1] {
        let start = [HEAD_MAGIC, LAYOUT];
        let refused = Memory::attach(memfd(words, &start[..words.min(2)], SEALED));
        let Err(MemoryError::Size { expected, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(expected, (HEAD_WORDS * WORD) as u64);
    }
}

#[test]
fn something_else_of_the_right_size_is_refused() {
    for magic in [0, CHUNK_MAGIC, HEAD_MAGIC.swap_bytes()] {
        let refused = Memory::attach(memfd(HEAD_WORDS, &[magic, LAYOUT], SEALED));
        assert!(matches!(refused, Err(MemoryError::Magic)), "{magic:x}");
    }
}

#[test]
fn another_layout_is_refused_and_named() {
    let refused = Memory::attach(memfd(HEAD_WORDS, &[HEAD_MAGIC, LAYOUT + 1], SEALED));
    assert!(matches!(refused, Err(MemoryError::Version { found }) if found == LAYOUT + 1));
}

#[test]
fn a_chunk_of_another_instance_is_refused() {
    let mut memory = Memory::create().expect("a head");
    let foreign = memfd(CHUNK_WORDS, &[CHUNK_MAGIC, LAYOUT, 4711, 0], SEALED);
    assert!(matches!(memory.attach_chunk(0, foreign), Err(MemoryError::Foreign)));
}

#[test]
fn chunks_are_attached_in_order_and_under_their_own_number() {
    let mut memory = Memory::create().expect("a head");
    memory.add_chunk().expect("chunk 0");
    memory.add_chunk().expect("chunk 1");
    let fds: Vec<_> =
        memory.descriptors().map(|(_, fd)| fd.try_clone_to_owned().expect("a duplicate")).collect();
    let again = |n: usize| fds[n].try_clone().expect("a duplicate");

    let mut other = Memory::attach(again(0)).expect("the head");
    let early = other.attach_chunk(1, again(2));
    assert!(matches!(early, Err(MemoryError::Number { expected: 0, found: 1 })));
    let mistaken = other.attach_chunk(0, again(2));
    assert!(matches!(mistaken, Err(MemoryError::Number { expected: 0, found: 1 })));
    other.attach_chunk(0, again(1)).expect("chunk 0");
    other.attach_chunk(1, again(2)).expect("chunk 1");
    let mistaken = other.attach_states(0, again(4));
    assert!(matches!(mistaken, Err(MemoryError::Number { expected: 0, found: 1 })));
    other.attach_states(0, again(3)).expect("states 0");
    other.attach_states(1, again(4)).expect("states 1");
    assert_eq!(other.objects_max(), 2 * OBJECTS_PER_CHUNK);
}

#[test]
fn our_own_memory_can_neither_shrink_nor_grow_nor_lose_its_seals() {
    let mut memory = Memory::create().expect("a head");
    memory.add_chunk().expect("a chunk");
    for (kind, fd) in memory.descriptors() {
        let size = rustix::fs::fstat(fd).expect("its size").st_size as u64;
        for other in [0, size - 1, size + 1] {
            assert!(rustix::fs::ftruncate(fd, other).is_err(), "{kind:?} to {other}");
        }
        assert!(rustix::fs::fcntl_add_seals(fd, SealFlags::WRITE).is_err(), "{kind:?}");
    }
}

#[test]
fn descriptors_can_be_closed_while_the_memory_stays() {
    let (memory, lanes) = lanes(1);
    let mut again = attach_again(&memory);
    again.close_descriptors();
    assert_eq!(again.descriptors().count(), 0);
    lanes[0].add(3, Total::BytesIn, 5);
    assert_eq!(again.total(3, Total::BytesIn), 5);
}

#[test]
fn two_mappings_show_the_same() {
    let (memory, lanes) = lanes(2);
    let again = Rc::new(attach_again(&memory));
    let other = OwnLane::new(Rc::clone(&again), 1).expect("lane 1");
    let place = Place::new(63, Some(2));
    assert_eq!(lanes[0].enter(&place), Entry::In);
    assert_eq!(other.enter(&place), Entry::In);
    assert_eq!(lanes[0].enter(&place), Entry::Full { ring: None });
    other.publish(63, Some(waiters(4, 1, 2)));
    assert_eq!((memory.current(63), again.current(63)), (2, 2));
    assert_eq!((memory.waiting(63), again.waiting(63)), (4, 4));
    assert_eq!((memory.next_index(63), again.next_index(63), memory.next_index(63)), (0, 1, 2));
}

#[test]
fn every_total_of_every_object_and_lane_has_a_place_of_its_own() {
    let mut memory = Memory::create().expect("a head");
    memory.add_chunk().expect("chunk 0");
    memory.add_chunk().expect("chunk 1");
    let memory = Rc::new(memory);
    let objects = [0, 1, 4094, 4095, 4096, 4097, 8191];
    let lanes: Vec<_> = (0..3)
        .map(|_| OwnLane::new(Rc::clone(&memory), memory.claim_lane(0).expect("a lane")))
        .map(|lane| lane.expect("live"))
        .collect();
    let mut n = 0;
    let mut expected = Vec::new();
    for object in objects {
        for total in Total::ALL {
            let before = n;
            for lane in &lanes {
                n += 1;
                lane.add(object, total, n);
            }
            expected.push((object, total, 3 * before + 6));
        }
        for lane in &lanes {
            assert_eq!(lane.enter(&Place::new(object, None)), Entry::In);
            lane.publish(object, Some(waiters(1, 0, 0)));
        }
        memory.next_index(object);
    }
    for (object, total, sum) in expected {
        assert_eq!(memory.total(object, total), sum, "{object} {total:?}");
    }
    for object in objects {
        assert_eq!(memory.current(object), 3);
        assert_eq!(memory.waiting(object), 3);
        assert_eq!(memory.next_index(object), 1);
    }
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn an_object_without_a_place_is_out_of_bounds() {
    let (memory, _) = lanes(1);
    memory.current(OBJECTS_PER_CHUNK);
}

#[test]
fn the_last_lane_is_number_255_and_then_there_are_none() {
    let (memory, lanes) = lanes(usize::from(LANES_MAX));
    assert_eq!(lanes.last().expect("a lane").number(), LANES_MAX - 1);
    assert_eq!(memory.claim_lane(0), None);
    let place = Place::new(1, Some(256));
    for lane in &lanes {
        assert_eq!(lane.enter(&place), Entry::In);
    }
    assert_eq!(lanes[255].enter(&place), Entry::Full { ring: None });
    lanes[255].publish(1, Some(waiters(1, 0, 1)));
    assert_eq!(lanes[0].leave(&place), Some(255));
    memory.release_lane(100);
    assert_eq!(memory.claim_lane(0), Some(100));
    assert_eq!(memory.current(1), 254);
}

#[test]
fn a_lane_that_nobody_owns_is_not_given_to_a_worker() {
    let (memory, _) = lanes(1);
    for lane in [1, 255, 256, Lane::MAX] {
        assert!(OwnLane::new(Rc::clone(&memory), lane).is_none(), "{lane}");
    }
}

#[test]
fn a_place_is_full_at_its_cap_over_all_lanes() {
    let (memory, lanes) = lanes(2);
    let place = Place::new(7, Some(3));
    assert_eq!(lanes[0].enter(&place), Entry::In);
    assert_eq!(lanes[1].enter(&place), Entry::In);
    assert_eq!(lanes[1].enter(&place), Entry::In);
    assert_eq!(lanes[0].enter(&place), Entry::Full { ring: None });
    assert_eq!(memory.current(7), 3);
}

#[test]
fn a_place_without_a_limit_counts_and_is_never_full() {
    let (memory, lanes) = lanes(2);
    let place = Place::new(7, None);
    for _ in 0..1000 {
        assert_eq!(lanes[1].enter(&place), Entry::In);
    }
    assert!(memory.is_free(&place));
    assert_eq!(memory.current(7), 1000);
    assert_eq!(lanes[1].leave(&place), None);
    assert_eq!(memory.current(7), 999);
}

#[test]
fn who_knows_no_limit_still_rings_those_who_do() {
    let (memory, lanes) = lanes(2);
    let (before, after) = (Place::new(7, None), Place::new(7, Some(2)));
    for _ in 0..3 {
        assert_eq!(lanes[0].enter(&before), Entry::In);
    }
    assert_eq!(lanes[1].enter(&after), Entry::Full { ring: None });
    lanes[1].publish(7, Some(waiters(1, 0, 1)));
    assert_eq!(lanes[0].leave(&before), Some(1));
    assert_eq!(lanes[1].take(&after), Entry::Full { ring: None });
    assert_eq!(lanes[0].leave(&before), Some(1));
    assert_eq!(lanes[1].take(&after), Entry::In);
    assert_eq!(memory.current(7), 2);
}

#[test]
fn a_cap_of_zero_lets_nobody_in() {
    let (memory, lanes) = lanes(1);
    assert_eq!(lanes[0].enter(&Place::new(7, Some(0))), Entry::Full { ring: None });
    assert_eq!(memory.current(7), 0);
}

#[test]
fn the_first_waiter_has_the_lowest_priority_then_time_then_lane() {
    let (memory, lanes) = lanes(4);
    let place = Place::new(9, Some(1));
    assert_eq!(memory.first_waiter(&place), None);
    lanes[3].publish(9, Some(waiters(1, 5, 100)));
    lanes[2].publish(9, Some(waiters(1, 5, 99)));
    lanes[1].publish(9, Some(waiters(1, 5, 99)));
    lanes[0].publish(9, Some(waiters(1, 6, 0)));
    assert_eq!(memory.first_waiter(&place), Some(Waiter { priority: 5, since: 99, lane: 1 }));
    lanes[1].publish(9, None);
    assert_eq!(memory.first_waiter(&place), Some(Waiter { priority: 5, since: 99, lane: 2 }));
    lanes[2].publish(9, None);
    assert_eq!(memory.first_waiter(&place), Some(Waiter { priority: 5, since: 100, lane: 3 }));
    lanes[3].publish(9, None);
    assert_eq!(memory.first_waiter(&place), Some(Waiter { priority: 6, since: 0, lane: 0 }));
    lanes[0].publish(9, None);
    assert_eq!(memory.first_waiter(&place), None);
    assert_eq!(memory.waiting(9), 0);
}

#[test]
fn priorities_and_times_beyond_what_a_key_holds_come_last_and_are_not_lost() {
    let (memory, lanes) = lanes(2);
    let place = Place::new(9, None);
    lanes[0].publish(9, Some(waiters(1, u32::MAX, u64::MAX)));
    assert_eq!(memory.first_waiter(&place).expect("a waiter").lane, 0);
    lanes[1].publish(9, Some(waiters(1, u32::MAX, 1)));
    assert_eq!(memory.first_waiter(&place).expect("a waiter").lane, 1);
    lanes[1].publish(9, Some(waiters(1, 0, u64::MAX)));
    assert_eq!(memory.first_waiter(&place).expect("a waiter").lane, 1);
}

#[test]
fn who_leaves_learns_whom_to_ring_in_the_own_queue_and_the_shared_one() {
    let (memory, lanes) = lanes(3);
    let (server, backend) = (11, 10);
    let place = Place::of(server, Some(1), backend);
    assert_eq!(lanes[0].enter(&place), Entry::In);
    lanes[1].publish(backend, Some(waiters(1, 0, 20)));
    assert!(memory.anyone_waits(&place));
    lanes[2].publish(server, Some(waiters(1, 0, 30)));
    assert_eq!(lanes[0].leave(&place), Some(1));
    assert_eq!(lanes[2].take(&place), Entry::Full { ring: Some(1) });
    assert_eq!(lanes[1].take(&place), Entry::In);
    lanes[1].publish(backend, None);
    assert_eq!(lanes[1].take(&place), Entry::Full { ring: None });
    assert_eq!(lanes[1].leave(&place), Some(2));
    assert_eq!(lanes[1].pass_on(&place), Some(2));
    assert_eq!(lanes[2].take(&place), Entry::In);
    assert_eq!(lanes[0].pass_on(&place), None);
}

#[test]
fn waiters_of_another_backend_do_not_count() {
    let (memory, lanes) = lanes(2);
    lanes[0].publish(20, Some(waiters(1, 0, 1)));
    assert!(!memory.anyone_waits(&Place::of(11, Some(1), 10)));
    assert!(memory.anyone_waits(&Place::of(11, Some(1), 20)));
    assert!(!memory.anyone_waits(&Place::new(11, Some(1))));
}

#[test]
fn a_released_lane_frees_its_places_and_keeps_its_totals() {
    let (memory, lanes) = lanes(2);
    let place = Place::new(63, Some(1));
    lanes[1].add(63, Total::Sessions, 3);
    lanes[1].set_accepting(true);
    lanes[1].set_streams(8);
    assert_eq!(lanes[1].enter(&place), Entry::In);
    lanes[1].publish(63, Some(waiters(2, 0, 5)));
    assert_eq!(lanes[0].enter(&place), Entry::Full { ring: None });

    memory.release_lane(1);
    assert_eq!((memory.current(63), memory.waiting(63)), (0, 0));
    assert!(!memory.anyone_waits(&place));
    assert!(!memory.accepting(1));
    assert_eq!(memory.streams(1), 0);
    assert_eq!(memory.total(63, Total::Sessions), 3);
    assert_eq!(lanes[0].enter(&place), Entry::In);

    assert_eq!(memory.claim_lane(0), Some(1));
    let next = OwnLane::new(Rc::clone(&memory), 1).expect("lane 1");
    next.add(63, Total::Sessions, 4);
    assert_eq!(memory.total(63, Total::Sessions), 7);
    assert_eq!((memory.current(63), memory.waiting(63)), (1, 0));
}

#[test]
fn releasing_twice_does_no_harm() {
    let (memory, lanes) = lanes(2);
    assert_eq!(lanes[0].enter(&Place::new(1, None)), Entry::In);
    memory.release_lane(1);
    memory.release_lane(1);
    assert_eq!(memory.lanes_live().collect::<Vec<_>>(), [0]);
    assert_eq!(memory.current(1), 1);
}

#[test]
fn a_lanes_header_tells_its_owner_and_how_it_does() {
    let (memory, _) = lanes(0);
    let pid = std::process::id() as i32;
    let lane = memory.claim_lane(0).expect("a lane");
    assert_eq!(memory.owner(lane).pid, 0);
    assert!(!memory.owner(lane).lives());
    memory.set_owner(lane, pid);
    memory.describe_lane(lane, 3, 12);
    let owner = memory.owner(lane);
    assert_eq!((owner.pid, owner.incarnation, owner.slot, owner.generation), (pid, 1, 3, 12));
    assert!(owner.lives());

    let own = OwnLane::new(Rc::clone(&memory), lane).expect("the lane");
    own.beat();
    own.beat();
    own.set_accepting(true);
    own.set_streams(77);
    assert_eq!(memory.heartbeat(lane), 2);
    assert!(memory.accepting(lane));
    assert_eq!(memory.streams(lane), 77);

    memory.release_lane(lane);
    assert!(!memory.owner(lane).lives());
    assert_eq!(memory.claim_lane(pid), Some(lane));
    let next = memory.owner(lane);
    assert_eq!((next.incarnation, next.slot, next.generation), (2, 0, 0));
    assert_eq!(memory.heartbeat(lane), 0);
}

#[test]
fn the_oldest_generation_is_that_of_a_live_lane() {
    let (memory, _) = lanes(0);
    assert_eq!(memory.oldest_generation(), None);
    for generation in [4, 3, 9] {
        let lane = memory.claim_lane(0).expect("a lane");
        memory.describe_lane(lane, 0, generation);
    }
    assert_eq!(memory.oldest_generation(), Some(3));
    memory.release_lane(1);
    assert_eq!(memory.oldest_generation(), Some(4));
}

#[test]
fn an_object_given_to_another_name_starts_from_nothing() {
    let mut memory = Memory::create().expect("a head");
    memory.add_chunk().expect("a chunk");
    for n in 1..=3 {
        let lane = memory.claim_lane(0).expect("a lane");
        let chunk = &memory.chunks[0];
        for total in Total::ALL {
            let at = layout::total_at(total as usize);
            chunk.cell(lane, 5, at).store(n, Relaxed);
            chunk.cell(lane, 6, at).store(n, Relaxed);
        }
    }
    memory.next_index(5);
    let assigned = Assigned { chunks: 2, objects: 4097, reused: vec![5] };
    assert_eq!(memory.prepare(&assigned).expect("a chunk more"), 1..2);
    assert!(Total::ALL.iter().all(|total| memory.total(5, *total) == 0));
    assert!(Total::ALL.iter().all(|total| memory.total(6, *total) == 6));
    assert_eq!(memory.next_index(5), 0);
}

#[test]
fn several_objects_are_summed_up_as_each_of_them_is() {
    let (memory, lanes) = lanes(3);
    for (lane, times) in lanes.iter().zip([1, 2, 4]) {
        for _ in 0..times {
            assert_eq!(lane.enter(&Place::new(7, None)), Entry::In);
        }
    }
    assert_eq!(lanes[1].enter(&Place::new(9, Some(5))), Entry::In);
    assert_eq!(memory.current_all([7, 8, 9, 7]), [7, 0, 1, 7]);
}

#[test]
fn pages_that_nobody_wrote_cost_nothing() {
    let (memory, lanes) = lanes(8);
    for lane in &lanes {
        assert_eq!(lane.enter(&Place::new(1, Some(100))), Entry::In);
    }
    for (kind, fd) in memory.descriptors() {
        let blocks = rustix::fs::fstat(fd.as_fd()).expect("its size").st_blocks;
        assert!(blocks * 512 <= 128 * 1024, "{kind:?} holds {blocks} blocks");
    }
}

#[test]
fn lanes_that_are_claimed_and_taken_back_cost_nothing_for_objects_that_nobody_used() {
    let mut memory = Memory::create().expect("a head");
    let assigned = Assigned { chunks: 3, objects: 12_000, reused: Vec::new() };
    memory.prepare(&assigned).expect("chunks");
    let memory = Rc::new(memory);
    let lane = memory.claim_lane(0).expect("a free lane");
    let own = OwnLane::new(Rc::clone(&memory), lane).expect("a live lane");
    // The first and last of a page and of a chunk, and one that lies on two pages.
    let used = [0, 20, 21, 22, 4_095, 4_096, 11_999];
    for object in used {
        assert_eq!(own.enter(&Place::new(object, None)), Entry::In);
        own.add(object, Total::Sessions, 1);
    }
    for _ in 0..20 {
        let lane = memory.claim_lane(0).expect("a free lane");
        memory.release_lane(lane);
    }
    memory.release_lane(lane);
    for object in used {
        assert_eq!((memory.current(object), memory.total(object, Total::Sessions)), (0, 1));
    }
    let blocks = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).expect("its size").st_blocks;
    let all: u64 = memory.descriptors().map(|(_, fd)| blocks(fd) as u64).sum();
    assert!(all * 512 <= 128 * 1024, "{all} blocks");
    let lane = memory.claim_lane(0).expect("a free lane");
    assert!(
        used.iter().all(|object| memory.chunk(*object).cell(lane, *object, 0).load(Relaxed) == 0)
    );
}

#[test]
fn what_the_master_wrote_is_not_decided_by_others_and_put_right() {
    let mut memory = Memory::create().expect("a head");
    memory.keep_record();
    let assigned = Assigned { chunks: 1, objects: 64, reused: Vec::new() };
    memory.prepare(&assigned).expect("a chunk");
    let first = memory.claim_lane(0).expect("a free lane");
    memory.describe_lane(first, 3, 7);
    memory.set_checker_lane(Some(first));
    let identity = memory.identity();
    let owner = memory.owner(first);
    let mut descriptors = memory.descriptors().map(|(_, fd)| fd.try_clone_to_owned());
    let (head, chunk) = (descriptors.next(), descriptors.next());
    drop(descriptors);
    let [head, chunk] = [head, chunk].map(|fd| File::from(fd.expect("one").expect("a copy")));
    // As a worker may that was taken over.
    for (file, bytes) in [(&head, HEAD_WORDS * WORD), (&chunk, 64)] {
        std::os::unix::fs::FileExt::write_all_at(file, &vec![0xff; bytes], 0).expect("writable");
    }
    let expect = |memory: &Memory| {
        assert_eq!(memory.lanes_live().collect::<Vec<_>>(), [first]);
        assert_eq!((memory.owner(first), memory.identity()), (owner, identity));
        assert_eq!((memory.checker_lane(), memory.oldest_generation()), (Some(first), Some(7)));
    };
    expect(&memory);
    assert!(memory.put_right() > 0);
    assert_eq!(memory.put_right(), 0);
    expect(&memory);
    // Others see it so too.
    let copy = |file: &File| file.try_clone().expect("a copy").into();
    let mut other = Memory::attach(copy(&head)).expect("a head");
    other.attach_chunk(0, copy(&chunk)).expect("its chunk");
    expect(&other);
    let second = memory.claim_lane(0).expect("a free lane");
    assert_ne!(second, first);
    memory.release_lane(first);
    assert_eq!(memory.lanes_live().collect::<Vec<_>>(), [second]);
}

#[test]
fn a_lane_is_clean_when_it_is_claimed_whoever_wrote_into_it_meanwhile() {
    let (memory, lanes) = lanes(1);
    let next = lanes[0].number() + 1;
    let gauge = memory.chunk(5).cell(next, 5, layout::cell::GAUGE);
    gauge.store(u64::MAX, Relaxed);
    assert_eq!(memory.claim_lane(0), Some(next));
    assert_eq!(memory.current(5), 0);
}
