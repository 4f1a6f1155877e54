//! The rules that heads can break.
//!
//! Core. One variant each; the text is for people, the status for the client.

use std::fmt;

use super::framing::FramingError;
use super::line::FieldError;

/// The rule that a request breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// More empty lines before it than are skipped.
    BlankLines,
    /// The method is not a token.
    BadMethod,
    /// A method longer than any.
    MethodTooLong,
    /// The request line is not three parts with one space between them.
    BadLine,
    /// No version: HTTP/0.9.
    NoVersion,
    /// Not a version of HTTP.
    BadVersion,
    /// Another major version.
    UnknownVersion,
    /// A byte that no target has.
    BadTarget,
    /// A fragment in the target.
    Fragment,
    /// A target, or the whole line, longer than allowed.
    TargetTooLong,
    /// A target in a form that this method does not have, or in none.
    BadForm,
    /// The target's authority is empty or invalid, or names a user.
    BadAuthority,
    /// A line end in the request line without its other half.
    LineEnd(FieldError),
    /// In a field line.
    Field(FieldError),
    /// No Host.
    NoHost,
    /// More than one Host.
    HostRepeated,
    /// Not a host and port in Host.
    BadHost,
    /// In the fields about the content's end.
    Framing(FramingError),
    /// Content where HTTP/1.0 has none: GET, HEAD, DELETE.
    ContentInHttp10,
    /// Content in a TRACE or CONNECT request.
    Content,
    /// An expectation other than `100-continue`.
    Expectation,
    /// Max-Forwards is not a number, or repeated.
    BadMaxForwards,
}

impl RequestError {
    /// What the client is answered.
    pub fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::Field(error) if error.is_size() => 431,
            Self::MethodTooLong | Self::Framing(FramingError::UnknownCoding) => 501,
            Self::UnknownVersion => 505,
            Self::ContentInHttp10 => 413,
            Self::Expectation => 417,
            _ => 400,
        }
    }
}

impl From<FieldError> for RequestError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<FramingError> for RequestError {
    fn from(error: FramingError) -> Self {
        Self::Framing(error)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlankLines => "too many empty lines before the request",
            Self::BadMethod => "invalid byte in the method",
            Self::MethodTooLong => "method too long",
            Self::BadLine => "malformed request line",
            Self::NoVersion => "request without a version",
            Self::BadVersion => "malformed version",
            Self::UnknownVersion => "unsupported version",
            Self::BadTarget => "invalid byte in the target",
            Self::Fragment => "fragment in the target",
            Self::TargetTooLong => "target too long",
            Self::BadForm => "target in a wrong form",
            Self::BadAuthority => "invalid authority in the target",
            Self::LineEnd(error) | Self::Field(error) => return error.fmt(f),
            Self::NoHost => "no Host",
            Self::HostRepeated => "more than one Host",
            Self::BadHost => "invalid Host",
            Self::Framing(error) => return error.fmt(f),
            Self::ContentInHttp10 => "content that HTTP/1.0 does not have here",
            Self::Content => "content that the method does not have",
            Self::Expectation => "unknown expectation",
            Self::BadMaxForwards => "invalid Max-Forwards",
        })
    }
}

/// The rule that a response breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The first line does not begin with a version.
    BadVersion,
    /// Another major version.
    UnknownVersion,
    /// Not three digits, the first not 0.
    BadStatus,
    /// A control byte in the reason, or no space before it.
    BadReason,
    /// A line end in the status line without its other half.
    LineEnd(FieldError),
    /// In a field line.
    Field(FieldError),
    /// In the fields about the content's end.
    Framing(FramingError),
    /// Content announced by an interim response.
    InterimContent,
    /// 101 that nobody asked for, or that does not say to what.
    Switch,
}

impl From<FieldError> for ResponseError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<FramingError> for ResponseError {
    fn from(error: FramingError) -> Self {
        Self::Framing(error)
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadVersion => "malformed version",
            Self::UnknownVersion => "unsupported version",
            Self::BadStatus => "malformed status",
            Self::BadReason => "invalid byte in the status line",
            Self::LineEnd(error) | Self::Field(error) => return error.fmt(f),
            Self::Framing(error) => return error.fmt(f),
            Self::InterimContent => "interim response with content",
            Self::Switch => "switch of protocols that was not asked for",
        })
    }
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadLength => "invalid Content-Length",
            Self::LengthsDiffer => "differing Content-Length",
            Self::LengthAndCoding => "Content-Length beside Transfer-Encoding",
            Self::CodingInHttp10 => "Transfer-Encoding in HTTP/1.0",
            Self::UnknownCoding => "unknown transfer coding",
            Self::BadCoding => "invalid Transfer-Encoding",
        })
    }
}
