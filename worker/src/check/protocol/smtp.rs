//! SMTP: replies of one or more lines (RFC 5321 section 4.2).
//!
//! Core. A reply's code is that of its lines, its text that of the first.

use portolan_shared::check_result::CheckResult;

use super::Reading;
use crate::check::{Outcome, text};

/// What is sent at the end.
pub const QUIT: &[u8] = b"QUIT\r\n";

/// The command that greets.
pub fn hello(hello: &str) -> Vec<u8> {
    let mut out = hello.as_bytes().to_vec();
    out.extend_from_slice(b"\r\n");
    out
}

/// One reply; 2xx is as it should be.
pub fn reply(bytes: &[u8], last: bool) -> Reading {
    let mut rest = bytes;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = rest[..end].trim_ascii_end();
        let (code, mark) = match line {
            [a, b, c] => ([*a, *b, *c], b' '),
            [a, b, c, mark, ..] => ([*a, *b, *c], *mark),
            _ => return invalid(line),
        };
        match mark {
            _ if !code.iter().all(u8::is_ascii_digit) => return invalid(line),
            b' ' => return judge(code, bytes),
            b'-' => rest = &rest[end + 1..],
            _ => return invalid(line),
        }
    }
    if last { invalid(rest) } else { Reading::More }
}

fn judge(code: [u8; 3], bytes: &[u8]) -> Reading {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let info = first.get(4..).unwrap_or_default().trim_ascii();
    let found = |result| Outcome { code: text::number(&code), ..Outcome::with(result, info) };
    if code[0] == b'2' {
        Reading::Fine(found(CheckResult::L7Ok))
    } else {
        Reading::Bad(found(CheckResult::L7Sts))
    }
}

fn invalid(line: &[u8]) -> Reading {
    Reading::Bad(Outcome::with(CheckResult::L7Rsp, line.trim_ascii()))
}
