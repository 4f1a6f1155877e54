//! Shared memory, as one process sees it that plays several.

use std::rc::Rc;

use super::*;

/// Memory of one chunk, and so many lanes in it.
fn lanes(count: usize) -> (Rc<Memory>, Vec<OwnLane>) {
    let mut memory = Memory::create().expect("a head");
    memory.add_chunk().expect("a chunk");
    let memory = Rc::new(memory);
    let lanes = (0..count)
        .map(|_| {
            let lane = memory.claim_lane(0).expect("a free lane");
            OwnLane::new(Rc::clone(&memory), lane).expect("a live lane")
        })
        .collect();
    (memory, lanes)
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
