//! HTTP/1.0 and 1.1 messages: bytes in, decisions out.
//!
//! Core: no I/O, clock or randomness. [`request`] and [`response`] look at what has come so far and
//! say: a head, more bytes, or never one. [`Decoder`] finds the content in a chunked message.
//! [`write`] makes a message anew from what was parsed; nothing is forwarded as it came.
//!
//! Invariants:
//!
//! - The answer does not depend on how the bytes were cut: a rule's breach is told when its line has
//!   come whole (in the method at once), and it is the breach that the whole would show.
//! - Never a byte beyond the end of a message is taken, so that what follows is the next one's.
//! - What two readers could take differently is refused, or gone from what is written: `docs/desync.md`.
//! - Positions are offsets into the caller's bytes; after a head has come the caller keeps these in
//!   place, from the same start, as long as it uses the positions.
//! - No allocation per message once the table of fields and the caller's buffers have grown.
//!
//! Limits: see [`Limits`]; a method has at most [`METHOD_BYTES_MAX`] bytes, a length at most
//! [`LENGTH_MAX`], at most [`BLANK_LINES_MAX`] empty lines before a request are skipped.
//!
//! RFC 9110 and RFC 9112; where these leave a choice, the strict one, mostly HAProxy's.

mod authority;
mod chunked;
mod class;
mod connection;
mod error;
mod fields;
mod framing;
mod known;
mod line;
mod request;
mod response;
mod scan;
#[cfg(test)]
mod tests;
pub mod write;

pub use chunked::{ChunkedError, Decoder, Event};
pub use connection::options;
pub use error::{RequestError, ResponseError};
pub use fields::Fields;
pub use known::Known;
pub use request::{RequestHead, request};
pub use response::{Asked, ResponseHead, response};
pub use scan::Scan;

/// Longest method, bytes; longer ones nobody knows.
pub const METHOD_BYTES_MAX: usize = 64;
/// Empty lines that are skipped before a request (RFC 9112 section 2.2); more are not by mistake.
pub const BLANK_LINES_MAX: usize = 4;
/// Largest length of a content or chunk: what is added to one still fits into 64 bits.
pub const LENGTH_MAX: u64 = i64::MAX as u64;

/// A part of the caller's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One beyond the last byte.
    pub end: u32,
}

impl Span {
    #[inline]
    fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The part itself.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    /// Bytes.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there is nothing.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// What a request asks to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `CONNECT`.
    Connect,
    /// `OPTIONS`.
    Options,
    /// `TRACE`.
    Trace,
    /// `PATCH`.
    Patch,
    /// Any other token; names are case-sensitive.
    Other,
}

impl Method {
    pub(crate) fn of(text: &[u8]) -> Self {
        match text {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// It changes nothing at the server (RFC 9110 section 9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// Asking twice does as much as asking once (RFC 9110 section 9.2.2).
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }
}

/// The version of a message. 1.2 to 1.9 are taken as 1.1 (RFC 9110 section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How a target is written (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A path, perhaps with a query.
    Origin,
    /// A whole URI of scheme http or https.
    Absolute,
    /// Host and port, always and only for `CONNECT`.
    Authority,
    /// `*`, only for `OPTIONS`.
    Asterisk,
}

/// How the end of a content is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none by definition.
    None,
    /// Exactly this many bytes follow the head.
    Length(u64),
    /// `chunked` is the transfer coding.
    Chunked,
    /// A response that ends when the server closes the connection.
    UntilClose,
}

/// How large a head may be. A trailer section has the same bounds.
#[allow(clippy::struct_field_names, reason = "a bound's name ends in max")]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a head, its empty line and empty lines before it included.
    pub head_bytes_max: u32,
    /// Field lines of a head.
    pub fields_max: u32,
    /// Bytes of a target; 0: no bound of its own.
    pub target_bytes_max: u32,
    /// Bytes of a field's name; 0: no bound of its own.
    pub name_bytes_max: u32,
    /// Bytes of a field's value; 0: no bound of its own.
    pub value_bytes_max: u32,
}
