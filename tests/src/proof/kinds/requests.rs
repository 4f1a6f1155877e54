//! Clients with short requests: one a connection, one after the other, several at once.
//!
//! Shell.

use crate::proof::content::Content;
use crate::proof::fault::Fault;
use crate::proof::hand::Hand;
use crate::proof::link::{Idle, Link};
use crate::proof::tally::Count;
use crate::proof::wire::Pace;

/// Most bytes of an answer.
const SIZE_MAX: u64 = 6_000;
/// Most requests sent at once.
const BATCH_MAX: u64 = 6;
/// Most rounds on one connection.
const ROUNDS_MAX: u64 = 200;

/// A request for this much of this seed's content.
fn get(seed: u64, size: u64, more: &str) -> String {
    format!("GET /d/{seed}/{size} HTTP/1.1\r\nHost: proof.example\r\n{more}\r\n")
}

pub fn fresh(hand: &mut Hand) -> Result<(), Fault> {
    let (seed, size) = (hand.seed(), hand.dice.between(0, SIZE_MAX));
    let mut link = hand.connect()?;
    link.doing(format!("request {seed}"));
    link.send(get(seed, size, "Connection: close\r\n").as_bytes())?;
    let answer = link.answer(200)?;
    link.expect_content(answer, Content::of(seed), size, Pace::FULL)?;
    hand.count(Count::Streams);
    link.doing("waiting for the end that we asked for");
    link.expect_end()
}

/// Waits as clients do, then looks whether the connection is still there; `None`: the client is to end.
fn next_turn(hand: &mut Hand, link: &mut Link) -> Result<Option<Idle>, Fault> {
    link.doing("idle");
    let waits = [(0, 10), (0, 10), (0, 40), (0, 40), (20, 300), (300, 2_000)];
    let (first, last) = *hand.dice.one(&waits);
    if !hand.rest(first, last) {
        return Ok(None);
    }
    let idle = link.idle()?;
    if idle == Idle::Closed {
        hand.count(Count::ClosedIdle);
    }
    Ok(Some(idle))
}

pub fn kept(hand: &mut Hand) -> Result<(), Fault> {
    let mut link = hand.connect()?;
    for _ in 0..hand.dice.between(1, ROUNDS_MAX) {
        let (seed, size) = (hand.seed(), hand.dice.between(0, SIZE_MAX));
        link.doing(format!("request {seed}"));
        link.send(get(seed, size, "").as_bytes())?;
        let answer = link.answer(200)?;
        link.expect_content(answer, Content::of(seed), size, Pace::FULL)?;
        hand.count(Count::Streams);
        if !hand.goes_on(&mut link, answer)? || next_turn(hand, &mut link)? != Some(Idle::Open) {
            return Ok(());
        }
    }
    Ok(())
}

pub fn pipelined(hand: &mut Hand) -> Result<(), Fault> {
    let mut link = hand.connect()?;
    for _ in 0..hand.dice.between(1, ROUNDS_MAX) {
        let count = hand.dice.between(2, BATCH_MAX);
        let asked: Vec<(u64, u64)> =
            (0..count).map(|_| (hand.seed(), hand.dice.between(0, SIZE_MAX))).collect();
        let batch: String = asked.iter().map(|(seed, size)| get(*seed, *size, "")).collect();
        link.doing(format!("{count} requests from {}", asked[0].0));
        link.send(batch.as_bytes())?;
        for (answered, (seed, size)) in (1..).zip(&asked) {
            let answer = link.answer(200)?;
            link.expect_content(answer, Content::of(*seed), *size, Pace::FULL)?;
            hand.count(Count::Streams);
            if !hand.goes_on(&mut link, answer)? {
                (answered..count).for_each(|_| hand.count(Count::Unanswered));
                return Ok(());
            }
        }
        if next_turn(hand, &mut link)? != Some(Idle::Open) {
            return Ok(());
        }
    }
    Ok(())
}
