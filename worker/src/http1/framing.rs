//! Content-Length and Transfer-Encoding, as far as requests and responses agree.
//!
//! Core. RFC 9112 sections 6.1 to 6.3, RFC 9110 section 8.6. A length is digits only; one that is
//! repeated with the same digits' value counts once. The only transfer coding is one `chunked`.

use super::class;
use super::fields::Fields;
use super::known::{Known, set};
use super::{LENGTH_MAX, Version};

/// What the fields about a content's end say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    /// Nothing.
    Nothing,
    /// A length.
    Length(u64),
    /// `chunked`.
    Chunked,
}

/// The rule that they break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// A length is not digits only, or too large.
    BadLength,
    /// Lengths that differ.
    LengthsDiffer,
    /// A length beside a transfer coding.
    LengthAndCoding,
    /// A transfer coding in HTTP/1.0.
    CodingInHttp10,
    /// `chunked` last, behind codings that nobody here knows.
    UnknownCoding,
    /// Transfer codings from which the end does not follow.
    BadCoding,
}

/// What they say.
#[inline]
pub(super) fn declared(
    bytes: &[u8],
    fields: &Fields,
    version: Version,
) -> Result<Declared, FramingError> {
    if !fields.has_any(set(&[Known::TransferEncoding, Known::ContentLength])) {
        return Ok(Declared::Nothing);
    }
    let coded = fields.has(Known::TransferEncoding);
    let measured = fields.has(Known::ContentLength);
    if coded && version == Version::Http10 {
        return Err(FramingError::CodingInHttp10);
    }
    if coded && measured {
        return Err(FramingError::LengthAndCoding);
    }
    if coded { coding(bytes, fields) } else { length(bytes, fields) }
}

fn length(bytes: &[u8], fields: &Fields) -> Result<Declared, FramingError> {
    if let Some(only) = fields.only(Known::ContentLength)
        && let Some(length) = digits(only.value.of(bytes))
    {
        return Ok(Declared::Length(length));
    }
    lengths(bytes, fields)
}

/// A length that is a list, or no length.
#[cold]
fn lengths(bytes: &[u8], fields: &Fields) -> Result<Declared, FramingError> {
    let mut found = None;
    for index in fields.even_dropped(Known::ContentLength) {
        for element in class::elements(fields.value(bytes, index)) {
            let length = digits(element).ok_or(FramingError::BadLength)?;
            if *found.get_or_insert(length) != length {
                return Err(FramingError::LengthsDiffer);
            }
        }
    }
    found.map(Declared::Length).ok_or(FramingError::BadLength)
}

fn digits(text: &[u8]) -> Option<u64> {
    // So few cannot be too large.
    if (1..=18).contains(&text.len()) {
        let digit = |sum: u64, byte: &u8| {
            let digit = u64::from(byte.wrapping_sub(b'0'));
            (digit <= 9).then_some(sum * 10 + digit)
        };
        return text.iter().try_fold(0, digit);
    }
    let mut sum = 0_u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        // A sum that passes this bound here fits into 64 bits with one more digit.
        if digit > 9 || sum > LENGTH_MAX / 10 {
            return None;
        }
        sum = sum * 10 + u64::from(digit);
    }
    (!text.is_empty() && sum <= LENGTH_MAX).then_some(sum)
}

#[inline(never)]
fn coding(bytes: &[u8], fields: &Fields) -> Result<Declared, FramingError> {
    let codings = || {
        fields
            .even_dropped(Known::TransferEncoding)
            .flat_map(|index| class::elements(fields.value(bytes, index)))
    };
    let chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let well_formed = codings().all(|coding| class::token(coding).0);
    match (codings().count(), codings().filter(|one| chunked(one)).count()) {
        (1, 1) => Ok(Declared::Chunked),
        (_, 1) if well_formed && codings().last().is_some_and(chunked) => {
            Err(FramingError::UnknownCoding)
        }
        _ => Err(FramingError::BadCoding),
    }
}
