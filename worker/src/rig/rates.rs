//! Rates over several workers, with a clock that is moved on by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan_shared::memory::{INSTANCE, Rate};
use portolan_shared::model::Config;

use super::Rig;

const LIMIT: u32 = 10;
const CLIENTS: u32 = 25;

/// Clients wait from the beginning, and come in as fast as the limit allows and no faster: looked at
/// in every millisecond.
fn as_fast_as_allowed(mut rig: Rig, listeners: usize, of_instance: bool, rate: Rate) {
    let object = if of_instance { INSTANCE } else { rig.config.frontends[0].object };
    let mut served = BTreeMap::<u64, u32>::new();
    let clients: Vec<_> = (0..CLIENTS as usize).map(|n| rig.client(n % listeners)).collect();
    let mut servers = Vec::new();
    while servers.len() < CLIENTS as usize {
        rig.settle();
        let now = rig.worker_mut().clock.now();
        while let Some(server) = rig.accept() {
            servers.push(server);
            *served.entry(now / 1000).or_default() += 1;
        }
        let estimate = rig.memory.rate(object, rate, now);
        assert!(estimate <= LIMIT);
        assert!(estimate == LIMIT || servers.len() == CLIENTS as usize, "one more was allowed");
        assert_eq!(rig.connections(), servers.len() as u32, "nobody is let in to wait");
        rig.pass(Duration::from_millis(1));
    }
    assert!(served.values().all(|count| *count <= LIMIT), "{served:?}");
    drop((clients, servers));
    rig.settle();
    rig.check_empty();
}

fn of_frontend(config: &mut Config) {
    config.frontends[0].sessions_per_second = Some(LIMIT);
}

#[test]
fn a_frontends_rate_is_reached_and_never_passed_on_one_socket() {
    as_fast_as_allowed(Rig::new(3, of_frontend), 1, false, Rate::Sessions);
}

#[test]
fn a_frontends_rate_is_reached_and_never_passed_on_sockets_of_their_own() {
    as_fast_as_allowed(Rig::with_own_sockets(3, of_frontend), 3, false, Rate::Sessions);
}

#[test]
fn a_rate_of_all_is_reached_and_never_passed() {
    let limit = |config: &mut Config| config.process.connections_per_second = Some(LIMIT);
    as_fast_as_allowed(Rig::with_own_sockets(3, limit), 3, true, Rate::Connections);
}

#[test]
fn who_finds_no_place_uses_up_no_rate() {
    let mut rig = Rig::new(2, |config| {
        of_frontend(config);
        config.frontends[0].maxconn = Some(1);
    });
    let clients: Vec<_> = (0..5).map(|_| rig.client(0)).collect();
    for served in 1..=5 {
        rig.settle();
        let now = rig.worker_mut().clock.now();
        let object = rig.config.frontends[0].object;
        assert_eq!(rig.memory.rate(object, Rate::Sessions, now), served);
        rig.accept().expect("the next one").reset();
    }
    drop(clients);
    rig.settle();
    rig.check_empty();
}
