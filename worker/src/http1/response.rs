//! A response's head (RFC 9112 section 4, RFC 9110 section 15).
//!
//! Core. Whether content follows depends on what was asked.

use super::class;
use super::connection;
use super::fields::Fields;
use super::framing::{self, Declared};
use super::known::Known;
use super::line::{self, FieldError, Side};
use super::scan::{self, Early, Kind};
use super::{Framing, Limits, Method, ResponseError, Scan, Span, Version};

/// What the response answers.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The request's method.
    pub method: Method,
    /// The request asked for a switch of protocols.
    pub upgrade: bool,
}

/// A response's head.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead {
    /// Bytes, the empty line included.
    pub length: usize,
    /// The server's.
    pub version: Version,
    /// 100 to 999.
    pub status: u16,
    /// May be empty.
    pub reason: Span,
    /// How the end of the content is found.
    pub framing: Framing,
    /// The length of the content that is not sent, of a response to HEAD or a 304.
    pub content_length: Option<u64>,
    /// The server means to go on with this connection, as far as the head says.
    pub keep_alive: bool,
    /// It switches protocols: 101, asked for. Upgrade is then among the fields to forward.
    pub upgrade: bool,
    /// It has a Date.
    pub has_date: bool,
}

/// The response at the start of `bytes`; `None`: more must come.
///
/// `fields` loses what it loses in [`super::request`].
pub fn response(
    bytes: &[u8],
    fields: &mut Fields,
    limits: &Limits,
    scan: &mut Scan,
    asked: Asked,
) -> Result<Option<ResponseHead>, ResponseError> {
    scan::head(&Response { asked }, bytes, fields, limits, scan)
}

struct Response {
    asked: Asked,
}

/// A status line.
struct Line {
    version: Version,
    status: u16,
    reason: Span,
    end: usize,
}

impl Kind for Response {
    type Head = ResponseHead;
    type Error = ResponseError;
    const SIDE: Side = Side::Response;
    const BLANKS: bool = false;

    fn first_line(
        &self,
        bytes: &[u8],
        at: usize,
        _: &Limits,
    ) -> Result<usize, Early<ResponseError>> {
        status_line(bytes, at).map(|line| line.end + 2)
    }

    #[inline]
    fn head(
        &self,
        bytes: &[u8],
        fields: &mut Fields,
        limits: &Limits,
        early: &mut Option<Early<ResponseError>>,
    ) -> Result<Option<ResponseHead>, ResponseError> {
        fields.clear();
        let line = match status_line(bytes, 0) {
            Ok(line) => line,
            Err(stop) => {
                *early = Some(stop);
                return Ok(None);
            }
        };
        match line::section(bytes, line.end + 2, fields, limits, Side::Response) {
            Ok(length) => judge(bytes, fields, self.asked, &line, length),
            Err(stop) => {
                *early = Some(Early::of(stop, true));
                Ok(None)
            }
        }
    }

    fn too_large(_: bool) -> ResponseError {
        ResponseError::Field(FieldError::TooLarge)
    }

    fn too_many_blanks() -> ResponseError {
        ResponseError::BadVersion
    }
}

/// `HTTP/1.1 200 `, of which the last byte may be the line's end.
const FIXED_BYTES: usize = 13;

#[inline]
fn status_line(bytes: &[u8], at: usize) -> Result<Line, Early<ResponseError>> {
    let rest = &bytes[at..];
    if rest.starts_with(b"HTTP/1.1 200 OK\r\n") {
        // As most are.
        let (start, end) = (at + FIXED_BYTES, at + FIXED_BYTES + 2);
        let reason = Span::new(start, end);
        return Ok(Line { version: Version::Http11, status: 200, reason, end });
    }
    let Some(fixed) = rest.first_chunk::<FIXED_BYTES>() else {
        return Err(short_line(rest));
    };
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', a, b, c, space] = fixed else {
        return Err(short_line(fixed));
    };
    let digits = [minor, a, b, c].iter().all(|byte| byte.is_ascii_digit());
    if !digits || *a == b'0' || !b" \r\n".contains(space) {
        return Err(short_line(fixed));
    }
    // The reason may be missing with its space, as HAProxy and others take it.
    let start = at + FIXED_BYTES - usize::from(*space != b' ');
    let end = class::value_end(bytes, start);
    if bytes.get(end..).and_then(<[u8]>::first_chunk) != Some(b"\r\n") {
        return Err(match Early::of(line::line_end(bytes, end), false) {
            Early::Wrong(FieldError::BadValue, at) => Early::Wrong(ResponseError::BadReason, at),
            Early::Wrong(error, at) => Early::Wrong(ResponseError::LineEnd(error), at),
            _ => Early::More(false),
        });
    }
    let digit = |byte: &u8| u16::from(byte - b'0');
    Ok(Line {
        version: if *minor == b'0' { Version::Http10 } else { Version::Http11 },
        status: digit(a) * 100 + digit(b) * 10 + digit(c),
        reason: Span::new(start, end),
        end,
    })
}

/// The fixed beginning of a status line, told to be none as soon as it cannot become one.
#[cold]
fn short_line(bytes: &[u8]) -> Early<ResponseError> {
    for (n, byte) in bytes.iter().enumerate() {
        let error = match (n, byte) {
            (0..5 | 6 | 8, _) if *byte == b"HTTP/1.1 "[n] => continue,
            (5, b'1')
            | (7 | 10 | 11, b'0'..=b'9')
            | (9, b'1'..=b'9')
            | (12, b' ' | b'\r' | b'\n') => continue,
            (5, b'0'..=b'9') => ResponseError::UnknownVersion,
            (9.., _) => ResponseError::BadStatus,
            _ => ResponseError::BadVersion,
        };
        return Early::Never(error);
    }
    Early::More(false)
}

#[inline]
fn judge(
    bytes: &[u8],
    fields: &mut Fields,
    asked: Asked,
    line: &Line,
    length: usize,
) -> Result<Option<ResponseHead>, ResponseError> {
    let status = line.status;
    let tunnel = asked.method == Method::Connect && (200..300).contains(&status);
    // Lengths and codings in the answer that opens a tunnel mean nothing (RFC 9110 section 9.3.6).
    let declared =
        if tunnel { Declared::Nothing } else { framing::declared(bytes, fields, line.version)? };
    if status < 200 && !matches!(declared, Declared::Nothing | Declared::Length(0)) {
        return Err(ResponseError::InterimContent);
    }
    let empty = tunnel || status < 200 || status == 204;
    let framing = match declared {
        _ if empty || status == 304 || asked.method == Method::Head => Framing::None,
        Declared::Nothing => Framing::UntilClose,
        Declared::Length(length) => Framing::Length(length),
        Declared::Chunked => Framing::Chunked,
    };
    let content_length = match declared {
        Declared::Length(length) if framing == Framing::None && !empty => Some(length),
        _ => None,
    };
    let options = connection::take(bytes, fields);
    let switches = status == 101;
    let upgrade = switches
        && asked.upgrade
        && line.version == Version::Http11
        && options.upgrade
        && connection::offers(bytes, fields);
    if switches && !upgrade {
        return Err(ResponseError::Switch);
    }
    if !upgrade {
        connection::drop_upgrade(fields);
    }
    // A 204 that announces content may be followed by it.
    let doubtful = status == 204 && !matches!(declared, Declared::Nothing | Declared::Length(0));
    let wanted = !options.close && (line.version == Version::Http11 || options.keep_alive);
    Ok(Some(ResponseHead {
        length,
        version: line.version,
        status,
        reason: line.reason,
        framing,
        content_length,
        keep_alive: wanted && !doubtful && framing != Framing::UntilClose,
        upgrade,
        has_date: fields.first(Known::Date).is_some(),
    }))
}
