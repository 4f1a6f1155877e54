//! Stopping, losing the master, and what the master is told.

use std::time::Duration;

use portolan_shared::message::{Life, Query, ToMaster, ToWorker};

use super::{Rig, Seen};

const POLLERS: [&str; 3] = ["epoll", "polling", "poll"];

#[test]
fn who_lost_its_master_comes_to_rest_and_leaves_after_its_last_stream() {
    for poller in POLLERS {
        let mut rig = Rig::with_poller(poller, |_| {});
        let (mut client, mut server) = rig.pair();
        rig.lose_master(0);
        rig.settle();
        client.say(b"still");
        rig.settle();
        assert_eq!(server.look(), Seen::Bytes(b"still".to_vec()), "{poller}");
        drop(client);
        drop(server);
        rig.settle();
        assert!(rig.members[0].left.is_some(), "{poller}");
        assert_eq!(rig.left_over(), []);
    }
}

#[test]
fn who_lost_its_master_does_not_stay_for_ever() {
    let mut rig = Rig::new(1, |_| {});
    let _pair = rig.pair();
    rig.lose_master(0);
    rig.settle();
    rig.pass(Duration::from_millis(9_900));
    assert!(rig.members[0].left.is_none());
    rig.pass(Duration::from_millis(200));
    assert!(rig.members[0].left.is_some());
}

#[test]
fn who_is_adopted_goes_on_and_says_what_it_does() {
    let mut rig = Rig::new(2, |_| {});
    let (mut client, mut server) = rig.pair();
    rig.order(0, &ToWorker::Deputy { slot: 1, serve: true });
    rig.order(0, &ToWorker::Pause);
    rig.settle();
    let adopt = |rig: &mut Rig, nonce| {
        rig.members[0].told.clear();
        rig.order(0, &ToWorker::Query { id: 7, what: Query::Activity });
        rig.order(0, &ToWorker::Adopt { nonce, master_pid: 77 });
        rig.settle();
        let told = &rig.members[0].told;
        let [ToMaster::Adopted { nonce: said, slot: 0, generation: 1, life, paused, .. }] =
            told[..]
        else {
            panic!("{told:?}");
        };
        assert_eq!(said, nonce);
        (life, paused)
    };
    assert_eq!(adopt(&mut rig, 1), (Life::Serving, true));
    assert!(rig.worker_mut().serving.deputised.is_empty());
    assert_eq!(rig.worker_mut().hello.master_pid, 77);
    client.say(b"as before");
    rig.settle();
    assert_eq!(server.look(), Seen::Bytes(b"as before".to_vec()));
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    assert_eq!(adopt(&mut rig, 2), (Life::Stopping, true));
}

#[test]
fn answers_that_nobody_reads_any_more_do_not_keep_a_worker() {
    let mut rig = Rig::new(1, |_| {});
    // The master asks and does not read: the channel fills, and answers wait behind it.
    for id in 0..10_000 {
        rig.order(0, &ToWorker::Query { id, what: Query::Activity });
        let _ = rig.members[0].worker.turn_once(Duration::ZERO);
        if rig.members[0].worker.channel.wants_write() {
            break;
        }
    }
    assert!(rig.members[0].worker.channel.wants_write());
    rig.order(0, &ToWorker::Query { id: 0, what: Query::Tasks });
    let _ = rig.members[0].worker.turn_once(Duration::ZERO);
    rig.lose_master(0);
    rig.settle();
    assert!(rig.members[0].left.is_some());
}

#[test]
fn patience_may_end_before_grace_does() {
    let mut rig = Rig::new(1, |config| {
        config.process.grace = Duration::from_secs(10);
        config.process.hard_stop_after = Some(Duration::from_secs(1));
    });
    let _pair = rig.pair();
    rig.order(0, &ToWorker::SoftStop);
    rig.settle();
    rig.pass(Duration::from_millis(900));
    assert!(rig.members[0].left.is_none());
    rig.pass(Duration::from_millis(200));
    assert!(rig.members[0].left.is_some());
}

#[test]
fn a_worker_that_was_short_of_descriptors_says_when_it_no_longer_is() {
    let mut rig = Rig::new(1, |_| {});
    let client = rig.client(0);
    rig.worker_mut().descriptor_limit = 1;
    rig.settle();
    let short = |rig: &Rig| {
        let told = &rig.members[0].told;
        told.iter().rev().find_map(|told| match told {
            ToMaster::Short { short, .. } => Some(*short),
            _ => None,
        })
    };
    assert_eq!(short(&rig), Some(true));
    // Whoever waited has gone to another worker; there is no connection whose end would free anything.
    drop(client);
    rig.worker_mut().descriptor_limit = 4096;
    rig.pass(Duration::from_millis(500));
    assert_eq!(short(&rig), Some(true), "it is not said at once");
    rig.pass(Duration::from_millis(700));
    assert_eq!(short(&rig), Some(false));
    let (_client, _server) = rig.pair();
}
