//! TLS: a hello is answered by a handshake, or at least by an alert.
//!
//! Core. The hello is of SSL 3.0: whoever speaks any version of TLS knows it well enough to refuse it,
//! and who speaks nothing of it answers otherwise or not at all.

use portolan_shared::check_result::CheckResult;

use super::Reading;
use crate::check::Outcome;

/// Cipher suites of SSL 3.0 and TLS 1.0, which need no extension to be offered.
const SUITES: [std::ops::RangeInclusive<u8>; 2] = [0x01..=0x1b, 0x2f..=0x3a];
/// Any bytes will do: no key is ever made of them.
const RANDOM: &[u8; 32] = b"\0\0\0\0Portolan health check: hello";

/// The hello.
pub fn hello() -> Vec<u8> {
    let suites: Vec<u8> = SUITES.into_iter().flatten().flat_map(|suite| [0, suite]).collect();
    let mut content = vec![3, 0];
    content.extend_from_slice(RANDOM);
    content.push(0); // no session
    content.extend_from_slice(&(suites.len() as u16).to_be_bytes());
    content.extend_from_slice(&suites);
    content.extend_from_slice(&[1, 0]); // no compression
    let mut message = vec![1];
    message.extend_from_slice(&(content.len() as u32).to_be_bytes()[1..]);
    message.extend_from_slice(&content);
    let mut record = vec![0x16, 3, 0];
    record.extend_from_slice(&(message.len() as u16).to_be_bytes());
    record.extend_from_slice(&message);
    record
}

/// What the server says to it: the head of a record that is an alert or of a handshake.
pub fn answer(bytes: &[u8]) -> Reading {
    match bytes {
        [0x15 | 0x16, _, _, _, _, ..] => Reading::Fine(Outcome::of(CheckResult::L6Ok)),
        [] | [0x15 | 0x16, ..] => Reading::More,
        _ => Reading::Bad(Outcome::of(CheckResult::L6Rsp)),
    }
}
