//! On the way to a server.

use super::Rig;
use crate::event_loop::Worker;

#[test]
fn a_connection_whose_first_bytes_are_awaited_is_not_opened_with_them() {
    let mut rig = Rig::new(1, |_| {});
    let mut client = rig.client(0);
    rig.settle();
    let fast = |rig: &Rig| {
        let worker = &rig.members[0].worker;
        let (_, stream) = worker.streams.iter().next().unwrap();
        let server = &worker.config.backends[0].servers[0];
        Worker::has_first_bytes(&worker.descriptors, stream, server)
    };
    assert!(!fast(&rig), "the server may be the one to speak first");
    client.say(b"first");
    assert!(fast(&rig));
}
