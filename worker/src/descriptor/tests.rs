use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::{Descriptors, Owner, READ, Token, Trigger, WRITE};

fn some_fd() -> OwnedFd {
    UnixStream::pair().unwrap().0.into()
}

#[test]
fn the_token_of_a_closed_descriptor_does_not_reach_its_successor() {
    let mut table = Descriptors::new(4, true);
    let old = table.insert(some_fd(), Owner::Front(1), Trigger::Edge);
    table.remove(old).unwrap();
    let new = table.insert(some_fd(), Owner::Front(2), Trigger::Edge);
    assert_ne!(old, new);
    assert!(table.get(old).is_none());
    assert!(table.remove(old).is_none());
    assert_eq!(table.get(new).unwrap().owner, Owner::Front(2));
    assert!(table.get(Token::NONE).is_none());
}

#[test]
fn an_edge_is_told_to_the_poller_once() {
    let mut table = Descriptors::new(4, true);
    let token = table.insert(some_fd(), Owner::Front(1), Trigger::Edge);
    table.want(token, READ);
    let change = table.next_change().unwrap();
    assert_eq!((change.token, change.old, change.new), (token, 0, READ | WRITE));
    table.stop(token, READ);
    table.want(token, WRITE);
    table.may(token, WRITE);
    table.cant(token, WRITE);
    assert!(table.next_change().is_none());
}

#[test]
fn a_level_is_polled_while_it_is_wanted_and_not_ready() {
    let mut table = Descriptors::new(4, false);
    let token = table.insert(some_fd(), Owner::Front(1), Trigger::Edge);
    table.want(token, READ);
    assert_eq!(table.next_change().unwrap().new, READ);
    table.may(token, READ);
    assert_eq!(table.next_change().unwrap().new, 0);
    table.cant(token, READ);
    assert_eq!(table.next_change().unwrap().new, READ);
    table.stop(token, READ);
    table.want(token, READ);
    assert!(table.next_change().is_none(), "back to what the poller knows");
}

#[test]
fn what_becomes_wanted_while_it_is_ready_stands_in_the_rounds_once() {
    let mut table = Descriptors::new(4, true);
    let token = table.insert(some_fd(), Owner::Back(7), Trigger::Edge);
    table.may(token, READ);
    table.want(token, READ);
    table.want(token, READ);
    table.again(token);
    assert_eq!(table.next_in_rounds(), Some((token, Owner::Back(7), READ)));
    assert_eq!(table.next_in_rounds(), None);
    table.again(token);
    table.remove(token);
    assert_eq!(table.next_in_rounds(), None, "closed meanwhile");
}

#[test]
fn a_new_poller_is_told_everything_again() {
    let mut table = Descriptors::new(4, true);
    let edge = table.insert(some_fd(), Owner::Front(1), Trigger::Edge);
    let level = table.insert(some_fd(), Owner::Listener(0), Trigger::Level);
    let quiet = table.insert(some_fd(), Owner::Listener(1), Trigger::Level);
    table.want(edge, READ);
    table.want(level, READ);
    while table.next_change().is_some() {}
    table.poll_anew();
    let mut told = Vec::new();
    while let Some(change) = table.next_change() {
        told.push((change.token, change.new));
    }
    told.sort_by_key(|(token, _)| token.to_bits());
    assert_eq!(told, [(edge, READ | WRITE), (level, READ)]);
    assert!(!told.iter().any(|(token, _)| *token == quiet));
}
