//! External checks, with a runner's end of the pair in our hands.

use portolan_shared::memory::Operational;
use portolan_shared::message::runner::{CommandEnd, FromRunner, ToRunner};
use portolan_shared::model::CheckKind;

use super::*;

fn by_command() -> Bench {
    Bench::silent(vec![checked("s", nowhere())], |config| {
        config.process.external_check = true;
        config.backends[0].check.kind =
            CheckKind::External { command: "/bin/true".into(), path: String::new() };
    })
}

fn asked(runner: &Channel) -> Option<u64> {
    match runner.receive::<ToRunner>().unwrap()?.message {
        ToRunner::Run { id, backend: 0, server: 0, connections: 0, timeout_ms: 2000 } => Some(id),
        other => panic!("{other:?}"),
    }
}

fn end(bench: &mut Bench, runner: &mut Channel, id: u64, end: CommandEnd) {
    runner.send(&FromRunner::Ended { id, end }, &[]).unwrap();
    bench.settle();
}

#[test]
fn the_end_of_a_command_is_the_servers_state() {
    let mut bench = by_command();
    let mut runner = join_runner(&mut bench);
    bench.order(&ToWorker::Resume);
    let id = asked(&runner).unwrap();
    bench.pass(7);
    end(&mut bench, &mut runner, id, CommandEnd::Exited(3));
    assert_eq!(bench.operational(0), Operational::Down);
    let line = &bench.lines()[0];
    assert!(
        line.starts_with(
            "Server b/s is DOWN, reason: External check error, code: 3, check duration: 7ms."
        ),
        "{line}"
    );
    bench.pass(2000);
    let id = asked(&runner).unwrap();
    end(&mut bench, &mut runner, id, CommandEnd::Exited(0));
    bench.pass(2000);
    let id = asked(&runner).unwrap();
    end(&mut bench, &mut runner, id, CommandEnd::Exited(0));
    assert_eq!(bench.operational(0), Operational::Up);
}

#[test]
fn what_the_runners_system_lacks_is_no_servers_fault() {
    let mut bench = by_command();
    let mut runner = join_runner(&mut bench);
    bench.order(&ToWorker::Resume);
    let id = asked(&runner).unwrap();
    end(&mut bench, &mut runner, id, CommandEnd::Lacking { reason: "no process".to_owned() });
    assert_eq!(bench.operational(0), Operational::Up);
    bench.pass(2000);
    assert!(asked(&runner).is_some(), "the next one comes in its time");
}

#[test]
fn a_runner_that_is_gone_is_no_servers_fault() {
    let mut bench = by_command();
    bench.order(&ToWorker::Resume);
    assert_eq!(bench.operational(0), Operational::Up);
    let runner = join_runner(&mut bench);
    bench.pass(2000);
    assert!(asked(&runner).is_some());
    drop(runner);
    bench.settle();
    bench.pass(2000);
    assert_eq!(bench.operational(0), Operational::Up);
    // The master replaces it.
    let runner = join_runner(&mut bench);
    bench.pass(2000);
    assert!(asked(&runner).is_some());
    // It hangs.
    bench.pass(3000);
    assert!(matches!(
        runner.receive::<ToRunner>().unwrap().map(|received| received.message),
        Some(ToRunner::Cancel { .. })
    ));
    assert_eq!(bench.operational(0), Operational::Up);
}
