//! One field line of a head or trailer section (RFC 9112 section 5).
//!
//! Core. Lines end in CRLF and nothing else; a line that begins with a blank would continue the one
//! before it (obs-fold) and is refused.

use std::fmt;

use super::class;
use super::fields::Fields;
use super::known::Known;
use super::{Limits, Span};

/// The rule that a field section breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// A line ends without CR.
    BareLf,
    /// A CR without LF.
    BareCr,
    /// The line continues the one before it.
    Fold,
    /// There is no colon.
    NoColon,
    /// Nothing before the colon.
    EmptyName,
    /// A blank before the colon.
    SpaceBeforeColon,
    /// The name is not a token.
    BadName,
    /// A control byte in the value.
    BadValue,
    /// More fields than allowed.
    TooMany,
    /// A name longer than allowed.
    NameTooLong,
    /// A value longer than allowed.
    ValueTooLong,
    /// The section does not end within the bound.
    TooLarge,
}

impl FieldError {
    /// The section would be valid if it were smaller.
    pub fn is_size(self) -> bool {
        matches!(self, Self::TooMany | Self::NameTooLong | Self::ValueTooLong | Self::TooLarge)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareLf => "line end without CR",
            Self::BareCr => "CR without LF",
            Self::Fold => "folded field line",
            Self::NoColon => "field line without a colon",
            Self::EmptyName => "field without a name",
            Self::SpaceBeforeColon => "blank between field name and colon",
            Self::BadName => "invalid byte in a field name",
            Self::BadValue => "control byte in a field value",
            Self::TooMany => "too many fields",
            Self::NameTooLong => "field name too long",
            Self::ValueTooLong => "field value too long",
            Self::TooLarge => "head too large",
        })
    }
}

/// Why a line cannot be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop<E> {
    /// It has not come whole.
    More,
    /// It breaks a rule at this byte.
    Wrong(E, usize),
}

/// A line that is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub name: Span,
    pub value: Span,
    pub known: Known,
    pub ordinary: bool,
    pub canonical: bool,
}

/// What stands at a line's start.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// A field; the next line begins here.
    Field(Line, usize),
    /// The section's end; what follows it begins here.
    End(usize),
}

/// Whose lines they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// A client's.
    Request,
    /// A server's: blanks before the colon are removed (RFC 9112 section 5.1).
    Response,
}

/// Reads field lines up to the empty one; where the section ends.
pub(super) fn section(
    bytes: &[u8],
    start: usize,
    fields: &mut Fields,
    limits: &Limits,
    side: Side,
) -> Result<usize, Stop<FieldError>> {
    let bound = |bound: u32| if bound == 0 { usize::MAX } else { bound as usize };
    let (name_max, value_max) = (bound(limits.name_bytes_max), bound(limits.value_bytes_max));
    let fields_max = limits.fields_max as usize;
    let mut at = start;
    loop {
        let Some(rest) = bytes.get(at..) else { return Err(Stop::More) };
        if rest.starts_with(b"\r\n") {
            return Ok(at + 2);
        }
        if let Some(Quick { colon, stop, known }) = quick(bytes, rest)
            && fields.len() < fields_max
            && colon <= name_max
            && stop - colon - 2 <= value_max
            && let Some(ordinary) = token(known, rest, colon)
        {
            let name = Span::new(at, at + colon);
            let value = Span::new(at + colon + 2, at + stop);
            fields.take(&Line { name, value, known, ordinary, canonical: true });
            at += stop + 2;
            continue;
        }
        let (line, next) = match read(bytes, at, limits, side)? {
            Found::Field(line, next) => (line, next),
            Found::End(next) => return Ok(next),
        };
        at = next;
        if fields.len() >= fields_max {
            return Err(Stop::Wrong(FieldError::TooMany, next - 1));
        }
        fields.take(&line);
    }
}

/// A line as most are: `name: value`.
struct Quick {
    /// Where the colon is.
    colon: usize,
    /// Where the line's end is.
    stop: usize,
    known: Known,
}

/// Whether the name before the colon has letters, digits and `-` only; `None`: it is no token.
#[inline]
fn token(known: Known, rest: &[u8], colon: usize) -> Option<bool> {
    match known {
        Known::Other => other_token(&rest[..colon]),
        _ => Some(true),
    }
}

#[inline(never)]
fn other_token(name: &[u8]) -> Option<bool> {
    let (token, ordinary) = class::token(name);
    token.then_some(ordinary)
}

/// The line at the start of `rest`, with which `bytes` end; whether its name is a token is not
/// looked at. `None`: [`read`] has to look at it.
#[inline]
fn quick(bytes: &[u8], rest: &[u8]) -> Option<Quick> {
    let colon = class::name_end(bytes, rest);
    let (between, value) = rest.get(colon..)?.split_first_chunk::<2>()?;
    if between != b": " || *value.first()? <= b' ' {
        return None;
    }
    let first = rest.first_chunk::<8>()?;
    let known = match colon {
        0..8 => Known::short(*first, colon),
        8..=16 => Known::middle(*first, *rest[colon - 8..].first_chunk()?, colon),
        _ => Known::named(&rest[..colon]),
    };
    let (value, end) = value.split_at_checked(class::plain_end(bytes, value))?;
    let whole = end.starts_with(b"\r\n") && *value.last()? > b' ';
    whole.then_some(Quick { colon, stop: colon + 2 + value.len(), known })
}

/// Reads the line that begins at `at`.
#[inline(never)]
pub(super) fn read(
    bytes: &[u8],
    at: usize,
    limits: &Limits,
    side: Side,
) -> Result<Found, Stop<FieldError>> {
    let rest = bytes.get(at..).unwrap_or_default();
    let colon = at + class::name_end(bytes, rest);
    let mut end = colon;
    let mut after = colon + 1;
    if bytes.get(colon) != Some(&b':') || colon == at {
        match without_colon(bytes, at, colon, side)? {
            Odd::End(next) => return Ok(Found::End(next)),
            Odd::Blanks { colon } => after = colon + 1,
        }
        end = colon;
    }
    let name = &bytes[at..end];
    let (token, ordinary) = class::token(name);
    if !token {
        return Err(Stop::Wrong(FieldError::BadName, at + class::token_end(name)));
    }
    let known = Known::named(name);
    let mut start = after;
    while bytes.get(start).is_some_and(|byte| class::is_blank(*byte)) {
        start += 1;
    }
    let stop = class::value_end(bytes, start);
    if bytes.get(stop..).and_then(<[u8]>::first_chunk) != Some(b"\r\n") {
        return Err(line_end(bytes, stop));
    }
    let mut last = stop;
    while last > start && class::is_blank(bytes[last - 1]) {
        last -= 1;
    }
    let canonical = after == end + 1 && start == after + 1 && bytes[after] == b' ' && last == stop;
    let line = Line {
        name: Span::new(at, end),
        value: Span::new(start, last),
        known,
        ordinary,
        canonical,
    };
    match line.excess(limits) {
        Some(error) => Err(Stop::Wrong(error, stop)),
        None => Ok(Found::Field(line, stop + 2)),
    }
}

impl Line {
    /// The bound that it breaks.
    #[inline]
    pub(super) fn excess(&self, limits: &Limits) -> Option<FieldError> {
        let over = |bound: u32, length: usize| bound > 0 && length > bound as usize;
        if over(limits.name_bytes_max, self.name.len()) {
            Some(FieldError::NameTooLong)
        } else if over(limits.value_bytes_max, self.value.len()) {
            Some(FieldError::ValueTooLong)
        } else {
            None
        }
    }
}

/// A line start that is not name and colon, but may be accepted.
enum Odd {
    /// The empty line.
    End(usize),
    /// Blanks before the colon.
    Blanks {
        /// Where that is.
        colon: usize,
    },
}

#[cold]
fn odd_name(bytes: &[u8], at: usize, stop: usize, side: Side) -> Result<Odd, Stop<FieldError>> {
    let wrong = |error, at| Err(Stop::Wrong(error, at));
    let Some(byte) = bytes.get(stop) else { return Err(Stop::More) };
    match byte {
        b':' => wrong(FieldError::EmptyName, stop),
        b' ' | b'\t' if stop == at => wrong(FieldError::Fold, stop),
        b' ' | b'\t' => {
            let behind = bytes[stop..].iter().position(|byte| !class::is_blank(*byte));
            match (behind, side) {
                (None, _) => Err(Stop::More),
                (Some(n), Side::Response) if bytes[stop + n] == b':' => {
                    Ok(Odd::Blanks { colon: stop + n })
                }
                (Some(n), Side::Request) if bytes[stop + n] == b':' => {
                    wrong(FieldError::SpaceBeforeColon, stop)
                }
                (Some(n), _) if b"\r\n".contains(&bytes[stop + n]) => {
                    wrong(FieldError::NoColon, stop + n)
                }
                _ => wrong(FieldError::BadName, stop),
            }
        }
        b'\r' if stop > at => match bytes.get(stop + 1) {
            Some(b'\n') => wrong(FieldError::NoColon, stop),
            Some(_) => wrong(FieldError::BareCr, stop),
            None => Err(Stop::More),
        },
        b'\n' => wrong(FieldError::BareLf, stop),
        b'\r' => wrong(FieldError::BareCr, stop),
        _ => wrong(FieldError::BadName, stop),
    }
}

#[inline]
fn without_colon(
    bytes: &[u8],
    at: usize,
    stop: usize,
    side: Side,
) -> Result<Odd, Stop<FieldError>> {
    if stop == at && bytes.get(at) == Some(&b'\r') {
        match bytes.get(at + 1) {
            Some(b'\n') => return Ok(Odd::End(at + 2)),
            None => return Err(Stop::More),
            Some(_) => {}
        }
    }
    odd_name(bytes, at, stop, side)
}

/// What is wrong where a CRLF should be.
#[cold]
pub(super) fn line_end(bytes: &[u8], at: usize) -> Stop<FieldError> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (None, _) | (Some(b'\r'), None) => Stop::More,
        (Some(b'\r'), _) => Stop::Wrong(FieldError::BareCr, at),
        (Some(b'\n'), _) => Stop::Wrong(FieldError::BareLf, at),
        _ => Stop::Wrong(FieldError::BadValue, at),
    }
}
