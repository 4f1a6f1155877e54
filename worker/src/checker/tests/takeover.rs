//! One checker after another.

use portolan_shared::memory::Operational;
use portolan_shared::model::InitState;

use super::*;

fn fully_up(config: &mut Config) {
    for server in &mut config.backends[0].servers {
        server.health.init_state = InitState::FullyUp;
    }
}

#[test]
fn a_new_checker_goes_on_where_the_former_one_was_and_announces_nothing() {
    let address = nowhere();
    let mut bench = Bench::new(vec![checked("s", address)], fully_up);
    bench.pass_slowly(4500);
    assert_eq!(bench.operational(0), Operational::Down);
    assert_eq!(bench.lines().len(), 2);
    let (version, changed) = (bench.version(0), bench.state(0).changed_ms);
    assert!(bench.was_rung());

    bench.start();
    bench.order(&ToWorker::Resume);
    bench.pass_slowly(6000);
    assert_eq!(bench.operational(0), Operational::Down);
    assert_eq!((bench.lines(), bench.version(0)), (vec![], version));
    assert_eq!((bench.state(0).changed_ms, bench.was_rung()), (changed, false));

    // It needs two successes; one of them is the former checker's.
    let origin = TcpListener::bind(address).unwrap();
    bench.pass_slowly(2000);
    assert_eq!(bench.operational(0), Operational::Down);
    bench.start();
    bench.order(&ToWorker::Resume);
    assert_eq!(bench.operational(0), Operational::Up);
    assert_eq!(bench.lines().len(), 1);
    drop(origin);
}

#[test]
fn another_address_or_check_makes_it_a_server_that_nobody_knows() {
    let mut bench = Bench::new(vec![checked("s", nowhere())], fully_up);
    bench.pass_slowly(4500);
    assert_eq!(bench.operational(0), Operational::Down);
    bench.lines();
    let moved = nowhere();
    bench.reload(|config| {
        config.backends[0].servers[0].address = portolan_shared::model::ServerAddress::Tcp(moved);
    });
    assert_eq!(bench.operational(0), Operational::Up);
    bench.order(&ToWorker::Resume);
    assert_eq!(bench.lines(), Vec::<String>::new());
    bench.pass_slowly(4500);
    assert_eq!(bench.operational(0), Operational::Down);
    assert!(bench.lines()[0].starts_with("Server b/s is DOWN"));
}

#[test]
fn a_reload_that_changes_neither_keeps_the_verdict() {
    let mut bench = Bench::new(vec![checked("s", nowhere())], fully_up);
    bench.pass_slowly(4500);
    bench.lines();
    bench.reload(|config| config.backends[0].servers[0].health.fall = 5);
    bench.order(&ToWorker::Resume);
    bench.pass_slowly(2500);
    assert_eq!((bench.operational(0), bench.lines()), (Operational::Down, vec![]));
}
