//! MySQL and MariaDB: a greeting, and what is said to a user's name.
//!
//! Core. A packet has a length of three bytes, a number, and its content. The version in the greeting
//! is what people are told.

use portolan_shared::check_result::CheckResult;
use portolan_shared::model::MysqlClient;

use super::Reading;
use crate::check::Outcome;

const HEAD_BYTES: usize = 4;
/// The first byte of an error's content.
const ERROR: u8 = 0xff;
/// Versions of the protocol that greet so.
const VERSIONS: [u8; 2] = [9, 10];

/// The end of a session. It is not sent before the answer has come: a server that closes with unread
/// bytes resets the connection, and its answer is lost.
pub const QUIT: [u8; 5] = [1, 0, 0, 0, 1];

/// The name of a user without a password.
pub fn login(user: &str, client: MysqlClient) -> Vec<u8> {
    const PROTOCOL_41: u32 = 0x0200;
    const SECURE_CONNECTION: u32 = 0x8000;
    const PLUGIN_AUTH: u32 = 0x0008_0000;
    const PLUGIN: &[u8] = b"mysql_native_password\0";
    let modern = |flags: u32| {
        let mut content = flags.to_le_bytes().to_vec();
        content.extend_from_slice(&0x0100_8000_u32.to_le_bytes()); // longest packet
        content.push(0x21); // UTF-8
        content.extend_from_slice(&[0; 23]);
        content
    };
    let mut content = match client {
        MysqlClient::Pre41 => vec![0x00, 0x80, 0x00, 0x00, 0x01],
        MysqlClient::Post41 => modern(PROTOCOL_41 | SECURE_CONNECTION),
        MysqlClient::Post80 => modern(PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH),
    };
    content.extend_from_slice(user.as_bytes());
    content.extend_from_slice(&[0, 0]);
    if client == MysqlClient::Post80 {
        content.extend_from_slice(PLUGIN);
    }
    let length = (content.len() as u32).to_le_bytes();
    let mut packet = vec![length[0], length[1], length[2], 1];
    packet.extend_from_slice(&content);
    packet
}

/// What the server says first.
pub fn greeting(bytes: &[u8]) -> Reading {
    if let Some(&[number, first]) = bytes.get(HEAD_BYTES - 1..=HEAD_BYTES) {
        // Told by two bytes that it is something else: its length may be anything.
        if number != 0 || first != ERROR && !VERSIONS.contains(&first) {
            return Reading::Bad(Outcome::of(CheckResult::L7Rsp));
        }
    }
    content(bytes).unwrap_or_else(|content| match content.split_first() {
        Some((_, version)) => Reading::Fine(Outcome::with(CheckResult::L7Ok, version)),
        None => Reading::Bad(Outcome::of(CheckResult::L7Rsp)),
    })
}

/// What it says to the user's name.
pub fn answer(bytes: &[u8]) -> Reading {
    content(bytes).unwrap_or_else(|content| match content {
        [] => Reading::Bad(Outcome::of(CheckResult::L7Rsp)),
        _ => Reading::Fine(Outcome::of(CheckResult::L7Ok)),
    })
}

/// `Err` is the first packet's content, `Ok` what is known without it.
fn content(bytes: &[u8]) -> Result<Reading, &[u8]> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(Reading::More);
    };
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
    let Some(content) = rest.get(..length) else {
        return Ok(Reading::More);
    };
    match content {
        [ERROR, low, high, text @ ..] => Ok(Reading::Bad(Outcome {
            code: u16::from_le_bytes([*low, *high]),
            ..Outcome::with(CheckResult::L7Sts, text)
        })),
        [ERROR, ..] => Ok(Reading::Bad(Outcome::of(CheckResult::L7Rsp))),
        _ => Err(content),
    }
}
