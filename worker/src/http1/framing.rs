//! Content-Length and Transfer-Encoding, as far as requests and responses agree.
//!
//! Core. RFC 9112 sections 6.1 to 6.3, RFC 9110 section 8.6. A length is digits only; one that is
//! repeated with the same digits' value counts once. The only transfer coding is one `chunked`.

use super::class;
use super::fields::Fields;
use super::known::Known;
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

#[inline]
pub(super) fn declared(
    bytes: &[u8],
    fields: &Fields,
    version: Version,
) -> Result<Declared, FramingError> {
    let coded = fields.has(Known::TransferEncoding);
    let measured = fields.has(Known::ContentLength);
    if !coded && !measured {
        return Ok(Declared::Nothing);
    }
    if coded && version == Version::Http10 {
        return Err(FramingError::CodingInHttp10);
    }
    if coded && measured {
        return Err(FramingError::LengthAndCoding);
    }
    if coded { coding(bytes, fields).map(|()| Declared::Chunked) } else { length(bytes, fields) }
}

fn length(bytes: &[u8], fields: &Fields) -> Result<Declared, FramingError> {
    let mut all = fields.even_dropped(Known::ContentLength);
    if let (Some(index), None) = (all.next(), all.next())
        && let Some(length) = digits(fields.value(bytes, index))
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

fn coding(bytes: &[u8], fields: &Fields) -> Result<(), FramingError> {
    let codings = || {
        fields
            .even_dropped(Known::TransferEncoding)
            .flat_map(|index| class::elements(fields.value(bytes, index)))
    };
    let chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let well_formed = codings().all(|coding| class::token(coding).0);
    match (codings().count(), codings().filter(|one| chunked(one)).count()) {
        (1, 1) => Ok(()),
        (_, 1) if well_formed && codings().last().is_some_and(chunked) => {
            Err(FramingError::UnknownCoding)
        }
        _ => Err(FramingError::BadCoding),
    }
}
