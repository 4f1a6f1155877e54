//! Clients whose connections have no ends of messages that a proxy could wait for.
//!
//! Shell.

use std::time::Duration;

use crate::proof::content::Content;
use crate::proof::fault::Fault;
use crate::proof::frames::{BINARY, CLOSE, KEY, PING, PONG};
use crate::proof::hand::Hand;
use crate::proof::link::Link;
use crate::proof::origin::{ECHO, HALF};
use crate::proof::tally::Count;
use crate::proof::wire::Pace;

/// Most bytes of a message.
const MESSAGE_MAX: u64 = 20_000;
/// Most messages of a busy tunnel.
const MESSAGES_MAX: u64 = 400;
/// Most bytes of one that is answered only after its end.
const HALF_MAX: u64 = 60_000;

/// Opens a WebSocket.
fn upgrade(hand: &mut Hand) -> Result<Link, Fault> {
    let seed = hand.seed();
    let mut link = hand.connect()?;
    link.doing(format!("upgrade {seed}"));
    let head = format!(
        "GET /ws/{seed}/0 HTTP/1.1\r\nHost: proof.example\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    link.send(head.as_bytes())?;
    link.answer(101)?;
    hand.count(Count::Streams);
    Ok(link)
}

/// Ends one as the protocol says.
fn close(link: &mut Link) -> Result<(), Fault> {
    link.doing("closing frame");
    link.send_frame(CLOSE, &[])?;
    link.expect_frame(CLOSE, &[])?;
    link.expect_end()
}

pub fn websocket(hand: &mut Hand) -> Result<(), Fault> {
    let mut link = upgrade(hand)?;
    for _ in 0..hand.dice.between(1, MESSAGES_MAX) {
        let (seed, size) = (hand.seed(), hand.dice.between(0, MESSAGE_MAX));
        link.doing(format!("frame {seed} of {size}"));
        let payload = Content::of(seed).take(size as usize);
        link.send_frame(BINARY, &payload)?;
        link.expect_frame(BINARY, &payload)?;
        hand.count(Count::Messages);
        link.doing("between two frames");
        if !hand.rest(0, 25) {
            break;
        }
    }
    close(&mut link)
}

pub fn idle_websocket(hand: &mut Hand) -> Result<(), Fault> {
    let mut link = upgrade(hand)?;
    loop {
        let seed = hand.seed();
        link.doing("ping");
        let payload = Content::of(seed).take(100);
        link.send_frame(PING, &payload)?;
        link.expect_frame(PONG, &payload)?;
        hand.count(Count::Messages);
        link.doing("idle WebSocket");
        if !hand.rest(300, 2_000) {
            return close(&mut link);
        }
    }
}

/// Opens a TCP connection whose bytes come back.
fn echo(hand: &mut Hand) -> Result<Link, Fault> {
    let mut link = hand.connect()?;
    link.doing("first byte");
    link.send(&[ECHO])?;
    hand.count(Count::Streams);
    Ok(link)
}

/// Sends a message and expects it back.
fn message(hand: &mut Hand, link: &mut Link, most: u64) -> Result<(), Fault> {
    let (seed, size) = (hand.seed(), hand.dice.between(1, most));
    link.doing(format!("message {seed} of {size}"));
    link.send_content(Content::of(seed), size, Pace::FULL)?;
    link.expect_bytes(Content::of(seed), size, Pace::FULL)?;
    hand.count(Count::Messages);
    Ok(())
}

/// Ends sending and expects the other end to do so too.
fn part(link: &mut Link) -> Result<(), Fault> {
    link.doing("end of both directions");
    link.end_sending()?;
    link.expect_end()
}

pub fn tcp(hand: &mut Hand) -> Result<(), Fault> {
    let mut link = echo(hand)?;
    for _ in 0..hand.dice.between(1, MESSAGES_MAX) {
        message(hand, &mut link, MESSAGE_MAX)?;
        link.doing("between two messages");
        if !hand.rest(0, 25) {
            break;
        }
    }
    part(&mut link)
}

pub fn idle_tcp(hand: &mut Hand) -> Result<(), Fault> {
    let mut link = echo(hand)?;
    loop {
        message(hand, &mut link, 500)?;
        link.doing("idle TCP");
        if !hand.rest(300, 2_000) {
            return part(&mut link);
        }
    }
}

pub fn half_close(hand: &mut Hand) -> Result<(), Fault> {
    let (seed, size) = (hand.seed(), hand.dice.between(1, HALF_MAX));
    let mut link = hand.connect()?;
    link.doing(format!("half {seed} of {size}"));
    link.send(&[HALF])?;
    link.send_content(Content::of(seed), size, Pace::FULL)?;
    hand.count(Count::Streams);
    link.end_sending()?;
    link.doing(format!("answer to the end of {seed} of {size}"));
    let pace = Pace { piece: 4_096, pause: Duration::from_millis(2) };
    link.expect_bytes(Content::of(seed), size, pace)?;
    hand.count(Count::Messages);
    link.expect_end()
}
