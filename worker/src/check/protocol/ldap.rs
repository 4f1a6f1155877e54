//! LDAP: an anonymous bind of version 3 (RFC 4511 section 4.2).
//!
//! Core. Of the answer only what comes up to the result's code is read.

use portolan_shared::check_result::CheckResult;

use super::Reading;
use crate::check::Outcome;

/// Message 1, a bind request: version 3, nobody, no password.
pub const BIND: &[u8] = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00";
/// What is said of anything that is no answer.
pub const NOT_LDAP: &str = "Not LDAPv3 protocol";

/// A sequence of BER.
const SEQUENCE: u8 = 0x30;
/// Message 1.
const MESSAGE: [u8; 3] = [0x02, 0x01, 0x01];
/// A bind response.
const RESPONSE: u8 = 0x61;
/// An enumeration of one byte.
const CODE: [u8; 2] = [0x0a, 0x01];

/// What the server says to the bind.
pub fn answer(bytes: &[u8]) -> Reading {
    match code(bytes) {
        Ok(Some(0)) => Reading::Fine(Outcome::with(CheckResult::L7Ok, "Success")),
        Ok(Some(code)) => Reading::Bad(Outcome {
            code: code.into(),
            ..Outcome::with(
                CheckResult::L7Sts,
                "See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9",
            )
        }),
        Ok(None) => Reading::More,
        Err(NotLdap) => Reading::Bad(Outcome::with(CheckResult::L7Rsp, NOT_LDAP)),
    }
}

struct NotLdap;

/// The result's code; `None`: it has not come yet.
fn code(bytes: &[u8]) -> Result<Option<u8>, NotLdap> {
    let rest = skip(Some(bytes), &[SEQUENCE])?;
    let rest = skip_length(rest)?;
    let rest = skip(rest, &MESSAGE)?;
    let rest = skip(rest, &[RESPONSE])?;
    let rest = skip_length(rest)?;
    let rest = skip(rest, &CODE)?;
    Ok(rest.and_then(|rest| rest.first().copied()))
}

/// What follows these bytes.
fn skip<'a>(bytes: Option<&'a [u8]>, known: &[u8]) -> Result<Option<&'a [u8]>, NotLdap> {
    let Some(bytes) = bytes else { return Ok(None) };
    match bytes.strip_prefix(known) {
        Some(rest) => Ok(Some(rest)),
        None if known.starts_with(bytes) => Ok(None),
        None => Err(NotLdap),
    }
}

/// What follows a definite length of at most four bytes.
fn skip_length(bytes: Option<&[u8]>) -> Result<Option<&[u8]>, NotLdap> {
    let Some((first, rest)) = bytes.and_then(<[u8]>::split_first) else { return Ok(None) };
    match first {
        ..=0x7f => Ok(Some(rest)),
        0x81..=0x84 => Ok(rest.get(usize::from(first & 0x7f)..)),
        _ => Err(NotLdap),
    }
}
