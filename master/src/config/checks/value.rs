//! Expressions and formats of checks: what a step says that is not known beforehand; core.
//!
//! ```text
//! expression  str(TEXT) int(N) var(SCOPE.NAME) srv_name srv_id be_name be_id hostname
//!             res.payload(OFFSET,LENGTH) status res.hdr(NAME) res.body
//! format      text with %[expression], %H (the host's name) and %% in it
//! ```
//!
//! - Converters and all other expressions are refused.
//! - An argument may stand in quotes, and a backslash takes its meaning from a quote, a comma, a
//!   parenthesis and a backslash.

use std::fmt;
use std::ops::Range;

use portolan_shared::model::{CheckText, CheckValue};

use crate::config::http_syntax::is_token;

/// What stands where an expression should, and where: bytes of the word.
pub type At<T> = Result<T, (ValueError, Range<usize>)>;

/// Why something is no expression or format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// Nothing is there.
    Empty,
    /// No such expression.
    Unknown(String),
    /// HAProxy has converters; this version has none.
    Converter,
    /// Something behind the expression.
    Trailing,
    /// A parenthesis or quote without its partner.
    Unclosed,
    /// Arguments where none are taken.
    NoArguments(&'static str),
    /// The argument is missing or is none.
    Argument(&'static str),
    /// A variable's scope or name is none.
    Variable,
    /// A scope that lives longer than a check.
    Scope,
    /// `%` and something else than `[`, `%` and `H`.
    Percent,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("expected an expression, found nothing"),
            Self::Unknown(name) => write!(f, "unknown expression `{name}`"),
            Self::Converter => f.write_str("converters are not supported by this version"),
            Self::Trailing => f.write_str("nothing may follow the expression"),
            Self::Unclosed => f.write_str("this is not closed"),
            Self::NoArguments(name) => write!(f, "`{name}` takes no argument"),
            Self::Argument(expected) => write!(f, "expected {expected}"),
            Self::Variable => f.write_str("a variable is SCOPE.NAME: letters, digits and `_`"),
            Self::Scope => f.write_str("no scope of a check"),
            Self::Percent => f.write_str("no variable of a check's format"),
        }
    }
}

impl ValueError {
    /// What may stand there.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Empty | Self::Unknown(_) => Some(
                "there are str, int, var, srv_name, srv_id, be_name, be_id, hostname, res.payload, \
                 status, res.hdr and res.body",
            ),
            Self::Variable => Some("as check.port"),
            Self::Scope => Some("there are check and sess"),
            Self::Percent => Some("there are %[expression], %H and %%"),
            _ => None,
        }
    }
}

/// An expression that is a whole word.
pub fn expression(word: &[u8]) -> At<CheckValue> {
    let (value, end) = parse(word, 0)?;
    match word.get(end) {
        None => Ok(value),
        Some(b',') => Err((ValueError::Converter, end..word.len())),
        Some(_) => Err((ValueError::Trailing, end..word.len())),
    }
}

/// Text with expressions in it.
pub fn format(word: &[u8]) -> At<CheckText> {
    let mut parts = Vec::new();
    let mut plain = Vec::new();
    let mut at = 0;
    while let Some(&byte) = word.get(at) {
        if byte != b'%' {
            plain.push(byte);
            at += 1;
            continue;
        }
        let value = match word.get(at + 1) {
            Some(b'%') => {
                plain.push(b'%');
                at += 2;
                continue;
            }
            Some(b'H') => {
                at += 2;
                CheckValue::Hostname
            }
            Some(b'[') => {
                let (value, end) = parse(word, at + 2)?;
                match word.get(end) {
                    Some(b']') => {}
                    Some(b',') => return Err((ValueError::Converter, end..end + 1)),
                    Some(_) => return Err((ValueError::Trailing, end..end + 1)),
                    None => return Err((ValueError::Unclosed, at..at + 2)),
                }
                at = end + 1;
                value
            }
            next => return Err((ValueError::Percent, at..at + 1 + usize::from(next.is_some()))),
        };
        if !plain.is_empty() {
            parts.push(CheckValue::Bytes(std::mem::take(&mut plain)));
        }
        parts.push(value);
    }
    if !plain.is_empty() {
        parts.push(CheckValue::Bytes(plain));
    }
    Ok(CheckText(parts))
}

/// A variable's name with its scope.
pub fn variable(name: &[u8]) -> Result<String, ValueError> {
    let text = std::str::from_utf8(name).map_err(|_| ValueError::Variable)?;
    let (scope, name) = text.split_once('.').ok_or(ValueError::Variable)?;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(word) {
        return Err(ValueError::Variable);
    }
    if !matches!(scope, "check" | "sess") {
        return Err(ValueError::Scope);
    }
    Ok(text.to_owned())
}

/// The expression that begins at `start`, and where it ends.
fn parse(word: &[u8], start: usize) -> At<(CheckValue, usize)> {
    let of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let end = start + word[start.min(word.len())..].iter().take_while(of_name).count();
    if end == start {
        return Err((ValueError::Empty, start..word.len().min(start + 1)));
    }
    let name = String::from_utf8_lossy(&word[start..end]).into_owned();
    let (arguments, after) = match word.get(end) {
        Some(b'(') => arguments(word, end)?,
        _ => (None, end),
    };
    let at = start..after;
    value(&name, arguments.as_deref()).map(|value| (value, after)).map_err(|error| (error, at))
}

/// What stands in the parentheses that open at `open`, cut at its commas, and where they end.
fn arguments(word: &[u8], open: usize) -> At<(Option<Vec<Vec<u8>>>, usize)> {
    let mut all = vec![Vec::new()];
    let mut quote = None;
    let mut at = open + 1;
    while let Some(&byte) = word.get(at) {
        let last = all.len() - 1;
        match (byte, quote) {
            (b')', None) => return Ok((Some(all), at + 1)),
            (b',', None) => all.push(Vec::new()),
            (b'"' | b'\'', None) => quote = Some(byte),
            (b'"' | b'\'', Some(opened)) if opened == byte => quote = None,
            (b'\\', None | Some(b'"'))
                if word.get(at + 1).is_some_and(|b| b"\\\"',() ".contains(b)) =>
            {
                at += 1;
                all[last].push(word[at]);
            }
            _ => all[last].push(byte),
        }
        at += 1;
    }
    Err((ValueError::Unclosed, open..open + 1))
}

fn value(name: &str, arguments: Option<&[Vec<u8>]>) -> Result<CheckValue, ValueError> {
    let alone = |name, value| match arguments {
        None => Ok(value),
        Some(_) => Err(ValueError::NoArguments(name)),
    };
    match name {
        "str" => match arguments {
            Some(texts) => Ok(CheckValue::Bytes(texts.join(&b','))),
            None => Err(ValueError::Argument("str(TEXT)")),
        },
        "int" => one(arguments)
            .and_then(number)
            .map(CheckValue::Number)
            .ok_or(ValueError::Argument("int(N)")),
        "var" => {
            let name = one(arguments).ok_or(ValueError::Argument("var(SCOPE.NAME)"))?;
            variable(name).map(CheckValue::Variable)
        }
        "srv_name" => alone("srv_name", CheckValue::ServerName),
        "srv_id" => alone("srv_id", CheckValue::ServerId),
        "be_name" => alone("be_name", CheckValue::BackendName),
        "be_id" => alone("be_id", CheckValue::BackendId),
        "hostname" => alone("hostname", CheckValue::Hostname),
        "status" => alone("status", CheckValue::Status),
        "res.body" => alone("res.body", CheckValue::ResponseBody),
        "res.hdr" => {
            let name = one(arguments).and_then(|name| std::str::from_utf8(name).ok());
            let name =
                name.filter(|name| is_token(name)).ok_or(ValueError::Argument("res.hdr(NAME)"))?;
            Ok(CheckValue::ResponseField(name.to_owned()))
        }
        "res.payload" => {
            payload(arguments).ok_or(ValueError::Argument("res.payload(OFFSET,LENGTH)"))
        }
        _ => Err(ValueError::Unknown(name.to_owned())),
    }
}

fn one(arguments: Option<&[Vec<u8>]>) -> Option<&[u8]> {
    match arguments {
        Some([only]) => Some(only),
        _ => None,
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn payload(arguments: Option<&[Vec<u8>]>) -> Option<CheckValue> {
    let [offset, length] = arguments? else { return None };
    Some(CheckValue::Payload {
        offset: u32::try_from(number(offset)?).ok()?,
        length: u32::try_from(number(length)?).ok()?,
    })
}
