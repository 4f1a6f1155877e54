//! The chunked transfer coding (RFC 9112 section 7.1).
//!
//! Core. The data stays in the caller's bytes; extensions are skipped, trailers kept by the decoder
//! until the message's end. Not a byte beyond that end is taken.
//!
//! `Size → [Blank] → [Extension] → SizeLf → Data → DataCr → DataLf → Size`, and after a size of 0
//! `SizeLf → Trailer → Ended`.
//!
//! Limits: a size has at most [`SIZE_DIGITS_MAX`] digits; extensions may be at most
//! [`EXTENSION_BYTES_MAX`] bytes longer than the data they come with, so that nobody makes us read
//! much for nothing; a trailer section has the bounds of a head.

use std::fmt;
use std::ops::Range;

use super::fields::Fields;
use super::known::{Known, set};
use super::line::{self, FieldError, Found, Side, Stop};
use super::{LENGTH_MAX, Limits, connection};

/// Digits of a size, leading zeroes too.
pub const SIZE_DIGITS_MAX: u8 = 16;
/// Bytes of extensions, beyond as many as there are of data.
pub const EXTENSION_BYTES_MAX: u32 = 4096;

/// Fields that mean nothing good behind a content: they frame, route, authenticate, change how the
/// message was to be read (RFC 9110 section 6.5.1), or say who the client is.
const NEVER_TRAILERS: u64 = set(&[
    Known::Age,
    Known::Authorization,
    Known::CacheControl,
    Known::Connection,
    Known::ContentEncoding,
    Known::ContentLength,
    Known::ContentRange,
    Known::ContentType,
    Known::Cookie,
    Known::Date,
    Known::Expect,
    Known::Expires,
    Known::Forwarded,
    Known::Host,
    Known::Http2Settings,
    Known::IfMatch,
    Known::IfModifiedSince,
    Known::IfNoneMatch,
    Known::IfRange,
    Known::IfUnmodifiedSince,
    Known::KeepAlive,
    Known::Location,
    Known::MaxForwards,
    Known::Pragma,
    Known::ProxyAuthenticate,
    Known::ProxyAuthorization,
    Known::ProxyConnection,
    Known::Range,
    Known::RetryAfter,
    Known::SetCookie,
    Known::Te,
    Known::Trailer,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Vary,
    Known::Via,
    Known::Warning,
    Known::WwwAuthenticate,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedProto,
]);

/// The rule that a chunked content breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedError {
    /// A size does not begin with a hexadecimal digit, or goes on with what none has.
    BadSize,
    /// A size of too many digits, or too large.
    SizeTooLarge,
    /// A control byte in an extension, or a line that ends without one of CR and LF.
    BadExtension,
    /// Extensions longer than allowed.
    ExtensionTooLong,
    /// No LF behind the CR of a size line.
    SizeEnd,
    /// No CRLF behind the data.
    DataEnd,
    /// In a trailer.
    Trailer(FieldError),
}

impl fmt::Display for ChunkedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadSize => "invalid byte in a chunk size",
            Self::SizeTooLarge => "chunk size too large",
            Self::BadExtension => "invalid byte in a chunk extension",
            Self::ExtensionTooLong => "chunk extensions too long",
            Self::SizeEnd => "chunk size line without CRLF",
            Self::DataEnd => "chunk data without CRLF",
            Self::Trailer(error) => return write!(f, "trailer: {error}"),
        })
    }
}

/// What the decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing more in this input.
    More,
    /// Content: this part of the input.
    Data(Range<usize>),
    /// The message has ended; [`Decoder::trailers`] are there.
    End,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are done with; the next input begins behind them.
    pub consumed: usize,
    /// What it was.
    pub event: Event,
}

/// What is expected next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A digit, or (when there was one) what may follow a size.
    #[default]
    Size,
    /// Blanks before an extension.
    Blank,
    /// The rest of an extension.
    Extension,
    /// The LF of a size line.
    SizeLf,
    /// Content.
    Data,
    /// The CR behind the content.
    DataCr,
    /// The LF behind it.
    DataLf,
    /// Trailer lines, or the empty line.
    Trailer,
    /// Nothing: what comes is not this message's.
    Ended,
}

/// Reads one chunked content. A new one for each message.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// Digits of the size that have come.
    digits: u8,
    /// Bytes of extensions beyond those of data.
    excess: u32,
    /// Of the chunk's data, what has not come; while the size comes, what it says so far.
    left: u64,
    /// The trailer section so far, without line ends being taken out.
    trailer: Vec<u8>,
    /// Where its last line begins.
    line: usize,
    /// Trailer lines that have ended.
    trailers: u32,
}

impl Decoder {
    /// Takes one step. Call it again with the rest of the input until it says [`Event::More`] or
    /// [`Event::End`]; all input is then consumed, or belongs to the next message.
    pub fn decode(&mut self, input: &[u8], limits: &Limits) -> Result<Step, ChunkedError> {
        let mut at = 0;
        while let Some(byte) = input.get(at) {
            match (self.state, byte) {
                (State::Data, _) => {
                    let length = self.left.min((input.len() - at) as u64) as usize;
                    self.left -= length as u64;
                    self.excess = self.excess.saturating_sub(length.min(u32::MAX as usize) as u32);
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    let end = at + length;
                    return Ok(Step { consumed: end, event: Event::Data(at..end) });
                }
                (State::Size, byte) => self.handle_size(*byte)?,
                (State::Blank, b';') => self.state = State::Extension,
                (State::Extension, b'\r') => self.state = State::SizeLf,
                (State::Blank, b' ' | b'\t') | (State::Extension, b'\t' | 0x20..=0x7e | 0x80..) => {
                    self.handle_extension()?;
                }
                (State::Blank, _) => return Err(ChunkedError::BadSize),
                (State::Extension, _) => return Err(ChunkedError::BadExtension),
                (State::SizeLf, b'\n') => {
                    self.state = if self.left == 0 { State::Trailer } else { State::Data };
                    self.digits = 0;
                }
                (State::SizeLf, _) => return Err(ChunkedError::SizeEnd),
                (State::DataCr, b'\r') => self.state = State::DataLf,
                (State::DataLf, b'\n') => self.state = State::Size,
                (State::DataCr | State::DataLf, _) => return Err(ChunkedError::DataEnd),
                (State::Trailer, byte) => self.handle_trailer(*byte, limits)?,
                (State::Ended, _) => break,
            }
            at += 1;
        }
        let event = if self.state == State::Ended { Event::End } else { Event::More };
        Ok(Step { consumed: at, event })
    }

    /// After the end: reads the trailers into `fields`, those that may not be ones dropped; positions
    /// are offsets into the bytes that are returned.
    pub fn trailers(&self, fields: &mut Fields, limits: &Limits) -> &[u8] {
        fields.clear();
        if self.trailers > 0 && self.state == State::Ended {
            let read = line::section(&self.trailer, 0, fields, limits, Side::Request);
            debug_assert!(read.is_ok(), "each line was judged");
            connection::take(&self.trailer, fields);
            fields.drop_all(NEVER_TRAILERS);
        }
        &self.trailer
    }

    fn handle_size(&mut self, byte: u8) -> Result<(), ChunkedError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if self.digits == 0 => return Err(ChunkedError::BadSize),
            b'\r' => {
                self.state = State::SizeLf;
                return Ok(());
            }
            b';' => {
                self.state = State::Extension;
                return self.handle_extension();
            }
            b' ' | b'\t' => {
                self.state = State::Blank;
                return self.handle_extension();
            }
            _ => return Err(ChunkedError::BadSize),
        };
        if self.digits == SIZE_DIGITS_MAX || self.left > LENGTH_MAX >> 4 {
            return Err(ChunkedError::SizeTooLarge);
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(())
    }

    fn handle_extension(&mut self) -> Result<(), ChunkedError> {
        self.excess += 1;
        if self.excess > EXTENSION_BYTES_MAX { Err(ChunkedError::ExtensionTooLong) } else { Ok(()) }
    }

    fn handle_trailer(&mut self, byte: u8, limits: &Limits) -> Result<(), ChunkedError> {
        if self.trailer.len() >= limits.head_bytes_max as usize {
            return Err(ChunkedError::Trailer(FieldError::TooLarge));
        }
        self.trailer.push(byte);
        if byte != b'\n' {
            return Ok(());
        }
        match line::read(&self.trailer, self.line, limits, Side::Request) {
            Ok(Found::End(_)) => self.state = State::Ended,
            Ok(Found::Field(_, next)) => {
                self.line = next;
                self.trailers += 1;
                if self.trailers > limits.fields_max {
                    return Err(ChunkedError::Trailer(FieldError::TooMany));
                }
            }
            Err(Stop::Wrong(error, _)) => return Err(ChunkedError::Trailer(error)),
            Err(Stop::More) => {}
        }
        Ok(())
    }
}
