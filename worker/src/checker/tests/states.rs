//! Up, down, who follows, and who is told.

use portolan_shared::memory::{Admin, AdminState, Operational, Total};
use portolan_shared::message::{Judgement, Life, ToMaster, ToWorker};
use portolan_shared::model::{Health, ServerAddress};

use super::*;

#[test]
fn nothing_is_checked_before_it_is_told_to_begin_and_while_it_is_paused() {
    let origin = listener();
    let mut bench = Bench::silent(vec![checked("s", origin.local_addr().unwrap())], |_| {});
    bench.pass(10_000);
    assert_eq!(bench.checker().activity.checks, 0);
    bench.order(&ToWorker::Resume);
    assert_eq!(bench.checker().activity.checks, 1);
    bench.order(&ToWorker::Pause);
    bench.pass(10_000);
    assert_eq!(bench.checker().activity.checks, 1);
}

#[test]
fn a_server_goes_down_and_comes_up_as_configured_and_the_log_says_so_once() {
    let address = nowhere();
    let mut bench = Bench::new(vec![checked("s", address), checked("t", address)], |config| {
        for server in &mut config.backends[0].servers {
            server.health.init_state = portolan_shared::model::InitState::FullyUp;
        }
    });
    let before = bench.version(0);
    bench.pass_slowly(3900);
    assert_eq!((bench.lines(), bench.version(0), bench.was_rung()), (vec![], before, false));
    bench.pass_slowly(2000);
    assert_eq!(bench.operational(0), Operational::Down);
    assert_eq!(bench.operational(1), Operational::Down);
    let lines = bench.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let reason = "reason: Layer4 connection problem, info: \"Connection refused at initial connection step of tcp-check\", check duration: 0ms";
    assert_eq!(
        lines[0],
        format!(
            "Server b/s is DOWN, {reason}. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        )
    );
    assert_eq!(
        lines[1],
        format!(
            "Server b/t is DOWN, {reason}. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        )
    );
    assert_eq!(lines[2], "backend b has no server available!");
    assert_eq!(bench.version(0), before + 2);
    assert!(bench.was_rung());
    let object = bench.config.backends[0].servers[0].object;
    assert_eq!(bench.memory.total(object, Total::CheckFailures), 3);
    assert_eq!(bench.memory.total(object, Total::DownTransitions), 1);

    let origin = TcpListener::bind(address).unwrap();
    bench.pass_slowly(4500);
    assert_eq!(bench.operational(0), Operational::Up);
    let lines = bench.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(
        lines[0],
        "Server b/s is UP, reason: Layer4 check passed, check duration: 0ms. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue."
    );
    assert!(bench.memory.total(object, Total::DownTime) >= 2000);
    assert!(bench.state(0).changed_ms > 0);
    drop(origin);
}

#[test]
fn first_checks_are_spread_over_the_interval() {
    let origin = listener();
    let address = origin.local_addr().unwrap();
    let servers = (0..10).map(|n| checked(&format!("s{n}"), address)).collect();
    let mut bench = Bench::new(servers, |_| {});
    for expected in 1..=10 {
        assert_eq!(bench.checker().activity.checks, expected);
        bench.pass(200);
    }
    // And go on so.
    assert_eq!(bench.checker().activity.checks, 11);
    assert_eq!(bench.checker().activity.late, 0);
}

#[test]
fn a_check_that_begins_too_late_is_counted() {
    let origin = listener();
    let mut bench = Bench::new(vec![checked("s", origin.local_addr().unwrap())], |_| {});
    bench.pass(2200);
    assert_eq!((bench.checker().activity.checks, bench.checker().activity.late), (2, 0));
    // How late one was does not move the next.
    bench.pass(2001);
    assert_eq!((bench.checker().activity.checks, bench.checker().activity.late), (3, 1));
    assert_eq!(bench.checker().activity.latest_ms, 201);
}

#[test]
fn those_who_track_a_server_follow_it_in_its_own_and_in_other_backends() {
    let servers = vec![checked("s", nowhere())];
    let mut bench = Bench::new(servers, |config| {
        config.backends[0].servers[0].health.init_state =
            portolan_shared::model::InitState::FullyUp;
        let mut other = config.backends[0].clone();
        other.name = "c".to_owned();
        other.servers[0].name = "follower".to_owned();
        other.servers[0].health = Health { track: Some((0, 0)), ..Health::default() };
        config.backends.push(other);
    });
    let before = bench.version(1);
    bench.pass_slowly(4500);
    let lines = bench.lines();
    let of_follower: Vec<_> = lines.iter().filter(|line| line.contains("c/follower")).collect();
    assert_eq!(of_follower.len(), 1, "{lines:?}");
    assert!(of_follower[0].starts_with("Server c/follower is DOWN via b/s. 0 active"));
    assert_eq!(lines.last().unwrap(), "backend c has no server available!");
    assert_eq!(bench.version(1), before + 1);
}

#[test]
fn a_server_in_maintenance_is_left_alone_and_looked_at_at_once_when_it_is_back() {
    let origin = listener();
    let mut bench = Bench::new(vec![checked("s", origin.local_addr().unwrap())], |_| {});
    let backend = bench.config.backends[0].object;
    let object = bench.config.backends[0].servers[0].object;
    let admin = |state| Admin { state, ..Admin::default() };
    bench.memory.store_admin(object, admin(AdminState::Maint));
    bench.memory.bump_states(backend);
    bench.pass_slowly(10_000);
    assert_eq!(bench.checker().activity.checks, 1);
    bench.memory.store_admin(object, admin(AdminState::Ready));
    bench.memory.bump_states(backend);
    bench.ring();
    assert_eq!(bench.checker().activity.checks, 2);
}

#[test]
fn a_server_that_was_down_and_comes_out_of_maintenance_is_new() {
    let address = nowhere();
    let mut bench = Bench::new(vec![checked("s", address)], |_| {});
    bench.pass_slowly(500);
    assert_eq!(bench.operational(0), Operational::Down);
    let origin = TcpListener::bind(address).unwrap();
    let server = &bench.config.backends[0].servers[0];
    let (backend, object) = (bench.config.backends[0].object, server.object);
    // Between two looks of the checker it went there and came back.
    bench.memory.store_admin(object, Admin { state: AdminState::Ready, ..Admin::default() });
    bench.memory.forget_verdict(object);
    bench.memory.bump_states(backend);
    let before = bench.checker().activity.checks;
    bench.ring();
    assert_eq!(bench.checker().activity.checks, before + 1);
    assert_eq!(bench.operational(0), Operational::Up);
    drop(origin);
}

#[test]
fn an_operators_judgement_holds_until_checks_say_otherwise() {
    let origin = listener();
    let mut bench = Bench::new(vec![checked("s", origin.local_addr().unwrap())], |_| {});
    let object = bench.config.backends[0].servers[0].object;
    bench.order(&ToWorker::Judge { object, judgement: Judgement::HealthDown });
    assert_eq!(bench.operational(0), Operational::Down);
    assert!(bench.was_rung());
    assert!(bench.lines()[0].starts_with("Server b/s is DOWN, changed from CLI. 0 active"));
    bench.pass_slowly(4500);
    assert_eq!(bench.operational(0), Operational::Up);
    bench.order(&ToWorker::Judge { object, judgement: Judgement::HealthStopping });
    assert_eq!(bench.operational(0), Operational::Stopping);
}

#[test]
fn a_server_without_an_address_is_not_looked_at() {
    let mut bench = Bench::new(vec![checked("s", nowhere())], |config| {
        config.backends[0].servers[0].address =
            ServerAddress::Unresolved { name: "nowhere.example".to_owned() };
    });
    bench.pass_slowly(10_000);
    assert_eq!(bench.checker().activity.checks, 0);
}

#[test]
fn every_poller_does() {
    for poller in ["epoll", "polling", "poll"] {
        let origin = listener();
        let up = origin.local_addr().unwrap();
        let mut bench = Bench::new(vec![checked("up", up), checked("down", nowhere())], |config| {
            let kinds = crate::poller::KINDS.iter().map(|kind| kind.name);
            config.tune.disabled_pollers =
                kinds.filter(|name| *name != poller).map(str::to_owned).collect();
        });
        bench.pass_slowly(3000);
        let seen = (bench.operational(0), bench.operational(1));
        assert_eq!(seen, (Operational::Up, Operational::Down), "{poller}");
        assert_eq!(bench.checker().descriptors.len(), 3, "{poller}: no connection is left");
    }
}

#[test]
fn it_leaves_at_once_when_told_to_and_when_the_master_is_gone() {
    for order in [ToWorker::SoftStop, ToWorker::HardStop] {
        let mut bench = Bench::silent(vec![checked("s", nowhere())], |_| {});
        bench.master.send(&order, &[]).unwrap();
        assert!(bench.settle().is_some());
    }
    let mut bench = Bench::silent(vec![checked("s", nowhere())], |_| {});
    bench.master = Channel::pair().unwrap().0;
    assert!(bench.settle().is_some());
}

#[test]
fn who_adopts_it_is_told_that_it_serves() {
    let mut bench = Bench::silent(vec![checked("s", nowhere())], |_| {});
    bench.master.send(&ToWorker::Adopt { nonce: 5, master_pid: 7 }, &[]).unwrap();
    assert!(bench.settle().is_none());
    let told = bench.master.receive::<ToMaster>().unwrap().unwrap().message;
    let ToMaster::Adopted { nonce: 5, role: Role::Checker, life: Life::Serving, .. } = told else {
        panic!("{told:?}");
    };
}
