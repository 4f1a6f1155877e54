//! What a step waits for: the rest of HAProxy's `tcp-check expect` and `http-check expect`; core.
//!
//! ```text
//! [min-recv N] [comment TEXT] [ok-status S] [error-status S] [tout-status S]
//! [on-success FORMAT] [on-error FORMAT] [status-code EXPRESSION] [!] MATCH PATTERN
//! ```
//!
//! - Options may stand behind the pattern too; there is one pattern.
//! - Regular expressions are compiled here once, so that a process that only has the model never fails
//!   on one.

use portolan_shared::expression;
use portolan_shared::model::{
    CheckText, CheckValue, Expect, ExpectStatus, FieldMatch, FieldMethod, Matching,
};

use super::line::{BLANKS, Line};
use super::words::Word;
use crate::config::diagnostic::{Diagnostic, Place};
use crate::config::http_syntax::is_token;
use crate::config::nearest::nearest;
use crate::config::reading::Reading;

/// Bytes that are waited for at most: the largest buffer.
const MIN_RECV_MAX: u32 = 1 << 20;

/// Whose expectation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Of bytes.
    Tcp,
    /// Of responses.
    Http,
}

const TCP_MATCHES: &[&str] = &["string", "string-lf", "rstring", "binary", "binary-lf", "rbinary"];
const HTTP_MATCHES: &[&str] =
    &["status", "rstatus", "hdr", "fhdr", "string", "string-lf", "rstring"];
const OPTIONS: &[&str] = &[
    "min-recv",
    "comment",
    "ok-status",
    "error-status",
    "tout-status",
    "on-success",
    "on-error",
    "status-code",
];

const OK: &[(&str, ExpectStatus)] = &[
    ("L7OK", ExpectStatus::L7Ok),
    ("L7OKC", ExpectStatus::L7OkCond),
    ("L6OK", ExpectStatus::L6Ok),
    ("L4OK", ExpectStatus::L4Ok),
];
const ERROR: &[(&str, ExpectStatus)] = &[
    ("L7OKC", ExpectStatus::L7OkCond),
    ("L7RSP", ExpectStatus::L7Rsp),
    ("L7STS", ExpectStatus::L7Sts),
    ("L6RSP", ExpectStatus::L6Rsp),
    ("L4CON", ExpectStatus::L4Con),
];
const TIMEOUT: &[(&str, ExpectStatus)] = &[
    ("L7TOUT", ExpectStatus::L7Tout),
    ("L6TOUT", ExpectStatus::L6Tout),
    ("L4TOUT", ExpectStatus::L4Tout),
];

/// What is expected where nothing is said of what.
pub fn of(matching: Matching) -> Expect {
    Expect {
        matching,
        negated: false,
        min_recv: None,
        ok_status: ExpectStatus::Default,
        error_status: ExpectStatus::Default,
        timeout_status: ExpectStatus::Default,
        on_success: None,
        on_error: None,
        status_code: None,
    }
}

/// The expectation in the rest of a line, with its comment.
pub fn read(
    line: &mut Line<'_>,
    protocol: Protocol,
    reading: &mut Reading<'_>,
) -> Option<(Expect, Option<String>)> {
    let errors = reading.diagnostics.len();
    let mut expect = of(Matching::Status(Vec::new()));
    let mut comment = None;
    let mut matching: Option<(Matching, Place)> = None;
    while let Some(word) = line.next() {
        let keyword = String::from_utf8_lossy(&word.bytes).into_owned();
        match &*keyword {
            "min-recv" => expect.min_recv = u32::try_from(min_recv(line, reading)?).ok(),
            "comment" => comment = Some(line.text_argument("comment", reading)?.0),
            "ok-status" => expect.ok_status = status(line, "ok-status", OK, reading)?,
            "error-status" => expect.error_status = status(line, "error-status", ERROR, reading)?,
            "tout-status" => expect.timeout_status = status(line, "tout-status", TIMEOUT, reading)?,
            "on-success" => {
                expect.on_success = Some(line.format_argument("on-success", reading)?.0);
            }
            "on-error" => expect.on_error = Some(line.format_argument("on-error", reading)?.0),
            "status-code" => {
                expect.status_code = Some(line.expression_argument("status-code", reading)?);
            }
            "!" => expect.negated = true,
            _ => {
                let (negated, name) = match keyword.strip_prefix('!') {
                    Some(name) => (true, name),
                    None => (false, &*keyword),
                };
                let place = line.place(&word);
                if let Some((_, before)) = &matching {
                    let diagnostic = if matches(protocol).contains(&name) {
                        Diagnostic::error(place, "there is one pattern")
                            .label("again here")
                            .other(before.clone(), "first given here")
                    } else {
                        let message = format!("`{}` is not an option", keyword.escape_debug());
                        Diagnostic::error(place, message).help(BLANKS)
                    };
                    reading.report(diagnostic);
                    return None;
                }
                expect.negated |= negated;
                let found = pattern(name, &place, protocol, line, reading)?;
                matching = Some((found, place));
            }
        }
    }
    let Some((found, _)) = matching else {
        let names = matches(protocol).join(", ");
        let message = "nothing is expected: a pattern is missing";
        reading.report(Diagnostic::error(line.whole(), message).help(format!("one of {names}")));
        return None;
    };
    expect.matching = found;
    (reading.diagnostics.len() == errors).then_some((expect, comment))
}

fn matches(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::Tcp => TCP_MATCHES,
        Protocol::Http => HTTP_MATCHES,
    }
}

/// −1: whatever there is.
fn min_recv(line: &mut Line<'_>, reading: &mut Reading<'_>) -> Option<i64> {
    let (text, place) = line.text_argument("min-recv", reading)?;
    let bounds = -1..=i64::from(MIN_RECV_MAX);
    let count = text.parse::<i64>().ok().filter(|count| bounds.contains(count));
    if count.is_none() {
        reading.error(place, format!("expected an integer from -1 to {MIN_RECV_MAX}"));
    }
    count
}

fn status(
    line: &mut Line<'_>,
    keyword: &str,
    choices: &[(&str, ExpectStatus)],
    reading: &mut Reading<'_>,
) -> Option<ExpectStatus> {
    let (text, place) = line.text_argument(keyword, reading)?;
    reading.chosen(&text, place, choices)
}

/// The pattern behind the name of a match.
fn pattern(
    name: &str,
    place: &Place,
    protocol: Protocol,
    line: &mut Line<'_>,
    reading: &mut Reading<'_>,
) -> Option<Matching> {
    if !matches(protocol).contains(&name) {
        reading.report(no_match(name, place, protocol));
        return None;
    }
    Some(match name {
        "string" => {
            let word = not_empty(line, name, reading)?;
            Matching::Bytes(CheckText::plain(word.bytes))
        }
        "string-lf" => Matching::Bytes(line.format_argument(name, reading)?.0),
        "rstring" => Matching::Regex(regex(line, name, reading)?),
        "binary" => {
            let word = not_empty(line, name, reading)?;
            Matching::Binary(hexadecimal(line, &word, reading)?)
        }
        "binary-lf" => {
            let (text, word) = line.format_argument(name, reading)?;
            Matching::Binary(hexadecimal_format(line, text, &word, reading)?)
        }
        "rbinary" => Matching::HexRegex(regex(line, name, reading)?),
        "status" => Matching::Status(codes(line, reading)?),
        "rstatus" => Matching::StatusRegex(regex(line, name, reading)?),
        _ => field(name == "fhdr", line, reading)?,
    })
}

fn no_match(name: &str, place: &Place, protocol: Protocol) -> Diagnostic {
    let known = matches(protocol);
    let message = format!("`{}` is neither a match nor an option", name.escape_debug());
    let diagnostic = Diagnostic::error(place.clone(), message);
    match nearest(name, known.iter().chain(OPTIONS).copied()) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("matches are {}", known.join(", "))),
    }
}

fn not_empty(line: &mut Line<'_>, keyword: &str, reading: &mut Reading<'_>) -> Option<Word> {
    let word = line.argument(keyword, reading)?;
    if word.bytes.is_empty() {
        reading.error(line.place(&word), format!("`{keyword}` of nothing is always there"));
        return None;
    }
    Some(word)
}

fn regex(line: &mut Line<'_>, keyword: &str, reading: &mut Reading<'_>) -> Option<String> {
    let word = not_empty(line, keyword, reading)?;
    let place = line.place(&word);
    let Ok(text) = String::from_utf8(word.bytes) else {
        reading.report(
            Diagnostic::error(place, "a regular expression is written in UTF-8")
                .help("other bytes are `\\xNN` in single quotes"),
        );
        return None;
    };
    match expression::compile(&text) {
        Ok(_) => Some(text),
        Err(error) => {
            reading.report(
                Diagnostic::error(
                    place,
                    format!("no regular expression: {}", short(&error.to_string())),
                )
                .help(
                    "the syntax is that of Rust's crate regex: no look-around, no back references",
                ),
            );
            None
        }
    }
}

/// The last line of what the crate says, which names the fault.
fn short(text: &str) -> String {
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).trim_end_matches('.').to_owned()
}

/// Hexadecimal digits as text.
pub fn hexadecimal(line: &Line<'_>, word: &Word, reading: &mut Reading<'_>) -> Option<CheckText> {
    let digits = word.bytes.iter().all(u8::is_ascii_hexdigit);
    if !digits || word.bytes.is_empty() || !word.bytes.len().is_multiple_of(2) {
        reading.error(line.place(word), "expected an even number of hexadecimal digits");
        return None;
    }
    Some(CheckText::plain(word.bytes.clone()))
}

/// The same with expressions in it: what stands between them are digits.
pub fn hexadecimal_format(
    line: &Line<'_>,
    text: CheckText,
    word: &Word,
    reading: &mut Reading<'_>,
) -> Option<CheckText> {
    let digits = text.0.iter().all(|part| match part {
        CheckValue::Bytes(bytes) => bytes.iter().all(u8::is_ascii_hexdigit),
        _ => true,
    });
    let whole = match &text.0[..] {
        [CheckValue::Bytes(bytes)] => bytes.len().is_multiple_of(2),
        parts => !parts.is_empty(),
    };
    if !digits || !whole {
        reading.error(line.place(word), "expected hexadecimal digits and expressions");
        return None;
    }
    Some(text)
}

fn codes(line: &mut Line<'_>, reading: &mut Reading<'_>) -> Option<Vec<(u16, u16)>> {
    let (text, place) = line.text_argument("status", reading)?;
    let code = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|code| digits && *code >= 100)
    };
    let range = |part: &str| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high) = (code(low)?, code(high)?);
        (low <= high).then_some((low, high))
    };
    let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
    if ranges.is_none() {
        reading.report(
            Diagnostic::error(place, "expected codes from 100 to 999 and ranges of them")
                .help("as `status 200,204,300-399`"),
        );
    }
    ranges
}

const METHODS: &[(&str, FieldMethod)] = &[
    ("str", FieldMethod::Equal),
    ("beg", FieldMethod::Begins),
    ("end", FieldMethod::Ends),
    ("sub", FieldMethod::Contains),
    ("reg", FieldMethod::Regex),
];

fn field(full: bool, line: &mut Line<'_>, reading: &mut Reading<'_>) -> Option<Matching> {
    let keyword = if full { "fhdr" } else { "hdr" };
    let name = part(["name", "name-lf"], line, reading)?;
    let Some(name) = name else {
        let place = line.peek().map_or_else(|| line.whole(), |word| line.place(word));
        reading.error(place, format!("`{keyword}` needs `name` or `name-lf`"));
        return None;
    };
    if let (FieldMethod::Equal, [CheckValue::Bytes(bytes)]) = (name.0.method, &name.0.text.0[..])
        && !std::str::from_utf8(bytes).is_ok_and(is_token)
    {
        reading.error(name.1, "not the name of a field: letters, digits and !#$%&'*+-.^_`|~");
        return None;
    }
    let value = part(["value", "value-lf"], line, reading)?.map(|(value, _)| value);
    Some(Matching::Field { name: name.0, value, full })
}

/// `KEYWORD [-m METHOD] TEXT`; `Some(None)`: something else stands there.
#[expect(clippy::option_option, reason = "nothing there, and something wrong there")]
fn part(
    [plain, format]: [&str; 2],
    line: &mut Line<'_>,
    reading: &mut Reading<'_>,
) -> Option<Option<(FieldMatch, Place)>> {
    let formatted = line.take(format);
    if !formatted && !line.take(plain) {
        return Some(None);
    }
    let keyword = if formatted { format } else { plain };
    let mut method = FieldMethod::Equal;
    if line.take("-m") {
        let (text, place) = line.text_argument("-m", reading)?;
        method = reading.chosen(&text, place.clone(), METHODS)?;
        if formatted && method == FieldMethod::Regex {
            reading.error(place, format!("`{keyword}` cannot be a regular expression"));
            return None;
        }
    }
    let next = line.peek().map(|word| line.place(word));
    let text = match method {
        _ if formatted => line.format_argument(keyword, reading)?.0,
        FieldMethod::Regex => CheckText::plain(regex(line, keyword, reading)?),
        _ => CheckText::plain(not_empty(line, keyword, reading)?.bytes),
    };
    let place = next.unwrap_or_else(|| line.whole());
    Some(Some((FieldMatch { method, text }, place)))
}
