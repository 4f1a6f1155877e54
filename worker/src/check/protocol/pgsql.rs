//! PostgreSQL: a start message, answered by a request to authenticate.
//!
//! Core. Version 3 of the protocol.

use portolan_shared::check_result::CheckResult;

use super::Reading;
use crate::check::Outcome;

/// Type and length of a message.
const HEAD_BYTES: usize = 5;
/// What is asked for: nothing, Kerberos 5, a password, crypt, MD5, SCM, GSS, SSPI, SASL.
const AUTHENTICATIONS: [u8; 9] = [0, 2, 3, 4, 5, 6, 7, 9, 10];

/// The message of a user.
pub fn start(user: &str) -> Vec<u8> {
    let mut content = 0x0003_0000_u32.to_be_bytes().to_vec();
    content.extend_from_slice(b"user\0");
    content.extend_from_slice(user.as_bytes());
    content.extend_from_slice(&[0, 0]);
    let mut out = (content.len() as u32 + 4).to_be_bytes().to_vec();
    out.extend_from_slice(&content);
    out
}

/// What the server says to it.
pub fn answer(bytes: &[u8], last: bool) -> Reading {
    let Some(([kind, length @ ..], content)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Reading::More;
    };
    let length = (u32::from_be_bytes(*length) as usize).saturating_sub(4);
    match kind {
        b'E' if content.len() < length && !last => Reading::More,
        b'E' => {
            let content = &content[..content.len().min(length)];
            Reading::Bad(Outcome::with(CheckResult::L7Rsp, error(content)))
        }
        b'R' => match content.first_chunk() {
            None => Reading::More,
            Some([0, 0, 0, asked]) if length < 256 && AUTHENTICATIONS.contains(asked) => {
                Reading::Fine(Outcome::with(CheckResult::L7Ok, "PostgreSQL server is ok"))
            }
            Some(_) => unknown(),
        },
        _ => unknown(),
    }
}

fn unknown() -> Reading {
    Reading::Bad(Outcome::with(CheckResult::L7Sts, "PostgreSQL unknown error"))
}

/// How bad it is, and what it is: `FATAL: no such user`.
fn error(fields: &[u8]) -> Vec<u8> {
    let field = |kind: u8| {
        fields.split(|byte| *byte == 0).find_map(|field| match field.split_first() {
            Some((known, text)) if *known == kind => Some(text),
            _ => None,
        })
    };
    [field(b'S'), field(b'M')].into_iter().flatten().collect::<Vec<_>>().join(&b": "[..])
}
