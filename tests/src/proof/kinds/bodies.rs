//! Clients with long contents in one direction or both.
//!
//! Shell. Each body takes long enough for something to happen in the middle of it.

use std::time::Duration;

use crate::proof::content::Content;
use crate::proof::fault::Fault;
use crate::proof::hand::Hand;
use crate::proof::link::{Idle, Link};
use crate::proof::tally::Count;
use crate::proof::wire::Pace;

const KIB: u64 = 1024;
/// Most bodies on one connection.
const ROUNDS_MAX: u64 = 5;
/// The receive buffer of a client that reads slowly.
const SMALL_BUFFER: usize = 8 * 1024;

/// About 4 MB/s.
const BRISK: Pace = Pace { piece: 32 * 1024, pause: Duration::from_millis(8) };
/// About 500 kB/s.
const SLOW: Pace = Pace { piece: 4 * 1024, pause: Duration::from_millis(8) };

/// Between two bodies; whether the connection goes on.
fn next_turn(hand: &mut Hand, link: &mut Link) -> Result<bool, Fault> {
    link.doing("idle");
    if !hand.rest(0, 60) {
        return Ok(false);
    }
    let open = link.idle()? == Idle::Open;
    if !open {
        hand.count(Count::ClosedIdle);
    }
    Ok(open)
}

pub fn upload(hand: &mut Hand) -> Result<(), Fault> {
    let mut link = hand.connect()?;
    for _ in 0..hand.dice.between(1, ROUNDS_MAX) {
        let (seed, size) = (hand.seed(), hand.dice.between(64 * KIB, 2_048 * KIB));
        link.doing(format!("upload {seed} of {size}"));
        let head = format!(
            "PUT /u/{seed}/{size} HTTP/1.1\r\nHost: proof.example\r\nContent-Length: {size}\r\n\r\n"
        );
        link.send(head.as_bytes())?;
        link.send_content(Content::of(seed), size, BRISK)?;
        link.doing(format!("answer to upload {seed}"));
        let answer = link.answer(200)?;
        link.expect_text(answer, &seed.to_string())?;
        hand.count(Count::Streams);
        if !hand.goes_on(&mut link, answer)? || !next_turn(hand, &mut link)? {
            break;
        }
    }
    Ok(())
}

pub fn download(hand: &mut Hand) -> Result<(), Fault> {
    let mut link = hand.connect()?;
    for _ in 0..hand.dice.between(1, ROUNDS_MAX) {
        let size = hand.dice.between(64 * KIB, 3_072 * KIB);
        if !fetch(hand, &mut link, size, BRISK)? || !next_turn(hand, &mut link)? {
            break;
        }
    }
    Ok(())
}

pub fn slow(hand: &mut Hand) -> Result<(), Fault> {
    let mut link = hand.connect_small(Some(SMALL_BUFFER))?;
    let size = hand.dice.between(100 * KIB, 700 * KIB);
    fetch(hand, &mut link, size, SLOW).map(|_| ())
}

fn fetch(hand: &mut Hand, link: &mut Link, size: u64, pace: Pace) -> Result<bool, Fault> {
    let seed = hand.seed();
    link.doing(format!("download {seed} of {size}"));
    link.send(format!("GET /d/{seed}/{size} HTTP/1.1\r\nHost: proof.example\r\n\r\n").as_bytes())?;
    let answer = link.answer(200)?;
    link.expect_content(answer, Content::of(seed), size, pace)?;
    hand.count(Count::Streams);
    hand.goes_on(link, answer)
}

pub fn chunked(hand: &mut Hand) -> Result<(), Fault> {
    let mut link = hand.connect()?;
    for _ in 0..hand.dice.between(1, ROUNDS_MAX) {
        let (seed, size) = (hand.seed(), hand.dice.between(0, 256 * KIB));
        link.doing(format!("chunked request {seed} of {size}"));
        let head = format!(
            "POST /e/{seed}/{size} HTTP/1.1\r\nHost: proof.example\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
        link.send(head.as_bytes())?;
        let piece = hand.dice.between(500, 9_000) as usize;
        let pace = Pace { piece, pause: Duration::from_millis(3) };
        link.send_chunks(Content::of(seed), size, pace)?;
        link.doing(format!("answer to chunked request {seed}"));
        let answer = link.answer(200)?;
        link.expect_content(answer, Content::of(seed + 1), size, Pace::FULL)?;
        hand.count(Count::Streams);
        if !hand.goes_on(&mut link, answer)? || !next_turn(hand, &mut link)? {
            break;
        }
    }
    Ok(())
}
