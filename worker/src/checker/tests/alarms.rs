//! Errors in a server's traffic.

use portolan_shared::memory::Operational;
use portolan_shared::model::{Observe, OnError};

use super::*;

fn observed(on_error: OnError) -> (Bench, TcpListener) {
    let origin = listener();
    let mut server = checked("s", origin.local_addr().unwrap());
    server.health.observe = Some(Observe::Layer4);
    server.health.error_limit = 2;
    server.health.on_error = on_error;
    server.health.fastinter = Some(Duration::from_millis(300));
    (Bench::new(vec![server], |_| {}), origin)
}

fn alarm(bench: &mut Bench) {
    let object = bench.config.backends[0].servers[0].object;
    assert!(!bench.memory.observe(object, false, 2));
    assert!(bench.memory.observe(object, false, 2));
    bench.ring();
}

#[test]
fn errors_in_traffic_take_a_server_down_where_that_is_wanted() {
    let (mut bench, _origin) = observed(OnError::MarkDown);
    alarm(&mut bench);
    assert_eq!(bench.operational(0), Operational::Down);
    assert!(bench.lines()[0].starts_with("Server b/s is DOWN, reason: Health analyze, info: \"Detected 2 consecutive errors\". 0 active"));
}

#[test]
fn whatever_else_they_do_the_next_check_comes_sooner() {
    let (mut bench, _origin) = observed(OnError::Fastinter);
    bench.pass(1000);
    let before = bench.checker().activity.checks;
    alarm(&mut bench);
    assert_eq!(bench.operational(0), Operational::Up);
    bench.pass(299);
    assert_eq!(bench.checker().activity.checks, before);
    bench.pass(1);
    assert_eq!(bench.checker().activity.checks, before + 1);
}

#[test]
fn an_alarm_that_a_former_checker_has_heard_is_not_heard_again() {
    let (mut bench, _origin) = observed(OnError::SuddenDeath);
    alarm(&mut bench);
    let health = bench.state(0).verdict.health;
    bench.start();
    bench.ring();
    assert_eq!(bench.state(0).verdict.health, health);
}

#[test]
fn a_check_that_passes_ends_a_row_of_errors() {
    let (mut bench, origin) = observed(OnError::MarkDown);
    let object = bench.config.backends[0].servers[0].object;
    bench.pass(3000);
    assert!(!bench.memory.observe(object, false, 2));
    bench.pass(3000);
    assert!(!bench.memory.observe(object, false, 2), "there was a check between the two");
    // One that fails does not.
    drop(origin);
    bench.pass(3000);
    assert!(bench.memory.observe(object, false, 2));
}
