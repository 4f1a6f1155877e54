//! Stopping and starting anew.

use std::io::Write;
use std::time::Duration;

use portolan_tests::proof::content::Content;
use portolan_tests::proof::{Fault, Kind, Mistake};
use portolan_tests::{HttpClient, client, deadline};
use rustix::process::Signal;

use super::Check;
use super::journal::Mark;
use super::system::{self, systemctl};
use super::world::World;

pub const CHECKS: &[Check] = &[
    ("a restart refuses no connection", restart),
    ("kill -s USR1 finishes what is in flight and stays down", soft_stop),
    ("a stop leaves no process", stop),
    ("a stop behind a killed wrapper leaves no process", stop_without_wrapper),
    ("a stop in the middle of a reload leaves no process", stop_in_reload),
    ("a restart behind a killed wrapper serves with one set of processes", restart_without_wrapper),
];

/// Whoever wanted a connection got one, whatever else went wrong.
fn nobody_was_refused(mistakes: &[Mistake]) {
    let refused: Vec<String> = mistakes
        .iter()
        .filter(|one| matches!(one.fault, Fault::Refused | Fault::NotConnected(_)))
        .map(ToString::to_string)
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// The unit has ended in order, and nothing runs or listens any more.
fn down(world: &World) {
    let state = || system::property("ActiveState");
    // Of a wrapper that was killed systemd says so.
    system::until("a unit that is down", || ["inactive", "failed"].contains(&state().as_str()));
    system::nothing_is_left();
    assert!(client::try_connect(world.fronts.http).is_err(), "somebody listens");
}

fn restart(world: &mut World) {
    world.only(&[Kind::Fresh], 6);
    let (wrapper, stored) = (system::wrapper(), system::number("NFileDescriptorStore"));
    assert!(stored > 0);
    for _ in 0..3 {
        systemctl(&["restart", system::UNIT]);
        world.whole();
        world.crowd().wait_more(20);
    }
    assert_ne!(system::wrapper(), wrapper);
    // A stop ends connections that workers have; whoever comes then waits.
    let mistakes = world.leave();
    println!("{} requests were cut off", mistakes.len());
    nobody_was_refused(&mistakes);
}

fn soft_stop(world: &mut World) {
    world.serving();
    world.leave();
    let mut slow = client::try_connect(world.fronts.http).expect("a connection");
    let mut idle = HttpClient::over(client::try_connect(world.fronts.http).expect("a connection"));
    idle.try_send("GET /d/1/10 HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    idle.try_response("GET").expect("an answer");
    // The rest of its content comes behind the signal.
    let content = b"PUT /u/12/400000 HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n";
    slow.write_all(content).expect("a request");
    let mark = Mark::now();
    systemctl(&["kill", "-s", "USR1", system::UNIT]);
    system::until("a listener that is closed", || client::try_connect(world.fronts.http).is_err());
    let mut body = Content::of(12);
    let mut left = 400_000;
    while left > 0 {
        let piece = body.next(left);
        slow.write_all(piece).expect("more of the content");
        left -= piece.len();
    }
    let mut slow = HttpClient::over(slow);
    let response = slow.try_response("PUT").expect("an answer");
    assert_eq!(response.status, 200);
    down(world);
    assert_eq!(system::property("Result"), "success");
    assert_eq!(system::property("ExecMainStatus"), "0");
    deadline::pause(Duration::from_millis(500));
    assert_eq!(system::property("ActiveState"), "inactive", "it was started again");
    assert_eq!(mark.count("Scheduled restart job"), 0);
}

fn stop(world: &mut World) {
    world.under_load();
    systemctl(&["stop", system::UNIT]);
    down(world);
    assert_eq!(system::property("Result"), "success");
    world.leave();
}

fn stop_without_wrapper(world: &mut World) {
    world.under_load();
    system::kill(system::wrapper(), Signal::KILL);
    systemctl(&["stop", system::UNIT]);
    down(world);
    world.leave();
    // And when the next wrapper has just begun.
    world.under_load();
    let old = system::wrapper();
    system::kill(old, Signal::KILL);
    system::until("another wrapper", || ![0, old].contains(&system::wrapper()));
    systemctl(&["stop", system::UNIT]);
    down(world);
    world.leave();
}

fn stop_in_reload(world: &mut World) {
    for wait in [0, 60, 150] {
        world.under_load();
        systemctl(&["kill", "--kill-whom=main", "-s", "USR2", system::UNIT]);
        deadline::pause(Duration::from_millis(wait));
        systemctl(&["stop", system::UNIT]);
        down(world);
        world.leave();
    }
}

fn restart_without_wrapper(world: &mut World) {
    world.only(&[Kind::Fresh], 4);
    let old: Vec<i32> = system::our_processes().iter().map(|one| one.pid).collect();
    system::kill(system::wrapper(), Signal::KILL);
    systemctl(&["restart", system::UNIT]);
    world.whole();
    system::until("the end of the former processes", || {
        system::our_processes().iter().all(|one| !old.contains(&one.pid)) || {
            // A wrapper that was started meanwhile may have kept the others.
            system::our_processes().len() == system::service_processes().len()
        }
    });
    assert_eq!(system::workers().len(), 2);
    world.crowd().wait_more(20);
    nobody_was_refused(&world.leave());
}
