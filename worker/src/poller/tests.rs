use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Event, HUNG, KINDS, Poller, describe};
use crate::descriptor::{Descriptors, Owner, READ, Trigger, WRITE};

const LONG: Option<Duration> = Some(Duration::from_secs(10));
const NOW: Option<Duration> = Some(Duration::ZERO);

fn all_but(name: &str) -> Vec<String> {
    KINDS.iter().map(|kind| kind.name.to_owned()).filter(|other| other != name).collect()
}

/// Each poller with a table; select only where the descriptor limit lets it run.
fn each(check: impl Fn(&mut Poller, &mut Descriptors)) {
    let (soft, hard) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(
        nix::sys::resource::Resource::RLIMIT_NOFILE,
        soft.min(1024),
        hard,
    )
    .unwrap();
    for kind in &KINDS {
        let mut poller = Poller::choose(&all_but(kind.name), 16).unwrap();
        assert_eq!(poller.name(), kind.name);
        let mut table = Descriptors::new(16, poller.edges());
        check(&mut poller, &mut table);
    }
}

fn flush(poller: &mut Poller, table: &mut Descriptors) {
    while let Some(change) = table.next_change() {
        poller.update(table, change).unwrap();
    }
}

fn wait(poller: &mut Poller, table: &mut Descriptors, timeout: Option<Duration>) -> Vec<Event> {
    flush(poller, table);
    let mut events = Vec::new();
    poller.wait(table, timeout, &mut events).unwrap();
    events
}

#[test]
fn every_poller_reports_what_can_be_read_to_whom_it_belongs() {
    each(|poller, table| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let token = table.insert(OwnedFd::from(ours), Owner::Front(1), Trigger::Level);
        table.want(token, READ);
        assert!(wait(poller, table, NOW).is_empty(), "{}", poller.name());
        theirs.write_all(b"x").unwrap();
        let events = wait(poller, table, LONG);
        assert_eq!(events, [Event { token, bits: READ }], "{}", poller.name());
    });
}

#[test]
fn every_poller_reports_what_can_be_written_only_while_it_is_wanted() {
    each(|poller, table| {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let token = table.insert(OwnedFd::from(ours), Owner::Front(1), Trigger::Level);
        table.want(token, READ | WRITE);
        let events = wait(poller, table, LONG);
        assert_eq!(events, [Event { token, bits: WRITE }], "{}", poller.name());
        table.stop(token, WRITE);
        assert!(wait(poller, table, NOW).is_empty(), "{}", poller.name());
    });
}

#[test]
fn every_poller_reports_the_end_of_a_peer_as_readable() {
    each(|poller, table| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let token = table.insert(OwnedFd::from(ours), Owner::Front(1), Trigger::Edge);
        table.want(token, READ);
        flush(poller, table);
        theirs.shutdown(Shutdown::Write).unwrap();
        let events = wait(poller, table, LONG);
        assert!(events.iter().any(|event| event.bits & READ != 0), "{}: {events:?}", poller.name());
        if poller.edges() {
            assert!(events.iter().any(|event| event.bits & HUNG != 0), "{events:?}");
        }
    });
}

#[test]
fn every_poller_can_be_opened_anew_after_a_fork() {
    each(|poller, table| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let token = table.insert(OwnedFd::from(ours), Owner::Front(1), Trigger::Level);
        table.want(token, READ);
        flush(poller, table);
        poller.fork(table).unwrap();
        theirs.write_all(b"x").unwrap();
        assert_eq!(wait(poller, table, LONG), [Event { token, bits: READ }], "{}", poller.name());
    });
}

#[test]
fn a_forgotten_descriptor_is_silent_although_it_stays_open() {
    each(|poller, table| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let elsewhere = ours.try_clone().unwrap();
        let token = table.insert(OwnedFd::from(ours), Owner::Listener(1), Trigger::Level);
        table.want(token, READ);
        flush(poller, table);
        let descriptor = table.remove(token).unwrap();
        poller.forget(&descriptor);
        drop(descriptor);
        theirs.write_all(b"x").unwrap();
        assert!(wait(poller, table, NOW).is_empty(), "{}", poller.name());
        drop(elsewhere);
    });
}

#[test]
fn an_edge_comes_once_and_again_for_new_bytes() {
    let mut poller = Poller::choose(&all_but("epoll"), 16).unwrap();
    let mut table = Descriptors::new(16, true);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let token = table.insert(OwnedFd::from(ours), Owner::Front(1), Trigger::Edge);
    table.want(token, READ);
    theirs.write_all(b"x").unwrap();
    assert_eq!(wait(&mut poller, &mut table, LONG), [Event { token, bits: READ | WRITE }]);
    assert!(wait(&mut poller, &mut table, NOW).is_empty());
    theirs.write_all(b"y").unwrap();
    assert_eq!(wait(&mut poller, &mut table, LONG), [Event { token, bits: READ | WRITE }]);
}

#[test]
fn the_preferred_poller_is_used_and_one_turned_off_is_not() {
    assert_eq!(Poller::choose(&[], 16).unwrap().name(), "epoll");
    assert_eq!(Poller::choose(&["epoll".into()], 16).unwrap().name(), "polling");
    let all: Vec<String> = KINDS.iter().map(|kind| kind.name.to_owned()).collect();
    assert!(Poller::choose(&all, 16).is_err());
}

#[test]
fn the_description_names_each_with_its_test() {
    let text = describe(&["poll".to_owned()]);
    assert!(text.contains("     epoll : pref=300,  test result OK\n"), "{text}");
    assert!(text.contains("      poll : pref=  0,  disabled\n"), "{text}");
    assert!(text.ends_with("Total: 4 (3 usable), will use epoll.\n"), "{text}");
}
