//! A request's head (RFC 9112 section 3, RFC 9110 sections 7 and 10.1).
//!
//! Core. What another hop is meant to be told is left in the table of fields; what was said to this
//! one is in the head only.

use super::authority::{self, Want};
use super::class;
use super::connection;
use super::fields::Fields;
use super::framing::{self, Declared};
use super::known::{Known, set};
use super::line::{self, FieldError, Side};
use super::scan::{self, Early, Kind};
use super::{
    BLANK_LINES_MAX, Form, Framing, Limits, METHOD_BYTES_MAX, Method, RequestError, Scan, Span,
    Version,
};

/// A request's head.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead {
    /// Bytes, the empty line and what was skipped before it included.
    pub length: usize,
    /// The request line without its CRLF.
    pub line: Span,
    /// What is to be done.
    pub method: Method,
    /// As it was written.
    pub method_text: Span,
    /// As it was written.
    pub target: Span,
    /// How the target is written.
    pub form: Form,
    /// Path and query. Of an absolute form it may be empty or begin with `?`; empty of an authority
    /// form; `*` is none.
    pub path: Span,
    /// The client's.
    pub version: Version,
    /// Who is asked: the target's authority, else Host's value, else empty.
    pub host: Span,
    /// How the end of the content is found; never until close.
    pub framing: Framing,
    /// The client means to go on with this connection.
    pub keep_alive: bool,
    /// It asks for a switch of protocols; Upgrade is then among the fields to forward.
    pub upgrade: bool,
    /// It may wait for a `100 Continue` before its content.
    pub expect_continue: bool,
    /// It understands trailers.
    pub te_trailers: bool,
    /// How often a TRACE or OPTIONS may still be forwarded.
    pub max_forwards: Option<u32>,
}

/// The request at the start of `bytes`; `None`: more must come.
///
/// All that was said to this hop is dropped from `fields`: Connection and what it names, Keep-Alive,
/// Proxy-Connection, TE, Transfer-Encoding, and Upgrade unless the head's `upgrade` is set; so are
/// Content-Length and Host, which are written anew.
pub fn request(
    bytes: &[u8],
    fields: &mut Fields,
    limits: &Limits,
    scan: &mut Scan,
) -> Result<Option<RequestHead>, RequestError> {
    scan::head(&Request, bytes, fields, limits, scan)
}

struct Request;

/// A request line.
struct Line {
    method: Method,
    method_text: Span,
    target: Span,
    version: Version,
    form: Form,
    /// Of an absolute or authority form; else empty.
    authority: Span,
    path: Span,
    end: usize,
    next: usize,
}

impl Kind for Request {
    type Head = RequestHead;
    type Error = RequestError;
    const SIDE: Side = Side::Request;
    const BLANKS: bool = true;

    fn first_line(
        &self,
        bytes: &[u8],
        at: usize,
        limits: &Limits,
    ) -> Result<usize, Early<RequestError>> {
        request_line(bytes, at, limits).map(|line| line.next)
    }

    #[inline]
    fn head(
        &self,
        bytes: &[u8],
        fields: &mut Fields,
        limits: &Limits,
        early: &mut Option<Early<RequestError>>,
    ) -> Result<Option<RequestHead>, RequestError> {
        fields.clear();
        let line = match first_line(bytes, limits) {
            Ok(line) => line,
            Err(stop) => {
                *early = Some(stop);
                return Ok(None);
            }
        };
        match line::section(bytes, line.next, fields, limits, Side::Request) {
            Ok(length) => judge(bytes, fields, &line, length),
            Err(stop) => {
                *early = Some(Early::of(stop, true));
                Ok(None)
            }
        }
    }

    fn too_large(first_line_ended: bool) -> RequestError {
        if first_line_ended {
            RequestError::Field(FieldError::TooLarge)
        } else {
            RequestError::TargetTooLong
        }
    }

    fn too_many_blanks() -> RequestError {
        RequestError::BlankLines
    }
}

#[inline]
fn first_line(bytes: &[u8], limits: &Limits) -> Result<Line, Early<RequestError>> {
    let start = if bytes.first() == Some(&b'\r') { skip_blanks(bytes)? } else { 0 };
    request_line(bytes, start, limits)
}

#[cold]
fn skip_blanks(bytes: &[u8]) -> Result<usize, Early<RequestError>> {
    let mut at = 0;
    while bytes[at..].starts_with(b"\r\n") {
        at += 2;
        if at > 2 * BLANK_LINES_MAX {
            return Err(Early::Never(RequestError::BlankLines));
        }
    }
    Ok(at)
}

#[inline]
fn request_line(bytes: &[u8], at: usize, limits: &Limits) -> Result<Line, Early<RequestError>> {
    let (method, method_end) = match bytes.get(at..) {
        Some([b'G', b'E', b'T', b' ', ..]) => (Method::Get, at + 3),
        Some([b'P', b'O', b'S', b'T', b' ', ..]) => (Method::Post, at + 4),
        _ => other_method(bytes, at)?,
    };
    let start = method_end + 1;
    let end = class::target_end(bytes, start);
    if end == start || bytes.get(end) != Some(&b' ') {
        return Err(bad_target(bytes, start, end));
    }
    let (version, line_end) = version(bytes, end + 1)?;
    let wrong = |error| Err(Early::Wrong(error, line_end));
    if limits.target_bytes_max > 0 && end - start > limits.target_bytes_max as usize {
        return wrong(RequestError::TargetTooLong);
    }
    let mut line = Line {
        method,
        method_text: Span::new(at, method_end),
        target: Span::new(start, end),
        version,
        form: Form::Origin,
        authority: Span::default(),
        path: Span::new(start, end),
        end: line_end,
        next: line_end + 2,
    };
    if (bytes.get(start) != Some(&b'/') || method == Method::Connect)
        && let Err(error) = other_form(bytes, &mut line)
    {
        return wrong(error);
    }
    Ok(line)
}

#[inline(never)]
fn other_method(bytes: &[u8], at: usize) -> Result<(Method, usize), Early<RequestError>> {
    let end = at + class::token_end(&bytes[at..bytes.len().min(at + METHOD_BYTES_MAX)]);
    if end == at || bytes.get(end) != Some(&b' ') {
        return Err(bad_method(bytes, at, end));
    }
    Ok((Method::of(&bytes[at..end]), end))
}

#[cold]
fn bad_method(bytes: &[u8], at: usize, stop: usize) -> Early<RequestError> {
    let token = bytes.get(stop).is_some_and(|byte| class::is_token_byte(*byte));
    if token && stop - at == METHOD_BYTES_MAX {
        return Early::Never(RequestError::MethodTooLong);
    }
    match (bytes.get(stop), bytes.get(stop + 1)) {
        (None, _) | (Some(b'\r'), None) => Early::More(false),
        (Some(b'\r'), Some(b'\n')) => Early::Never(RequestError::BadLine),
        (Some(b'\r'), _) => Early::Never(RequestError::LineEnd(FieldError::BareCr)),
        (Some(b'\n'), _) => Early::Never(RequestError::LineEnd(FieldError::BareLf)),
        _ => Early::Never(RequestError::BadMethod),
    }
}

#[cold]
fn bad_target(bytes: &[u8], start: usize, stop: usize) -> Early<RequestError> {
    let error = match (bytes.get(stop), bytes.get(stop + 1)) {
        (None, _) | (Some(b'\r'), None) => return Early::More(false),
        (Some(b'#'), _) => RequestError::Fragment,
        (Some(b'\n'), _) => RequestError::LineEnd(FieldError::BareLf),
        (Some(b'\r'), Some(b'\n')) if stop == start => RequestError::BadLine,
        (Some(b'\r'), Some(b'\n')) => RequestError::NoVersion,
        (Some(b'\r'), _) => RequestError::LineEnd(FieldError::BareCr),
        (Some(b' '), _) => RequestError::BadLine,
        _ => RequestError::BadTarget,
    };
    Early::Wrong(error, stop)
}

/// The version, and where the line's CRLF is.
#[inline]
fn version(bytes: &[u8], at: usize) -> Result<(Version, usize), Early<RequestError>> {
    if let Some((version, behind)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk)
        && behind.starts_with(b"\r\n")
    {
        // Compared as numbers, which costs least.
        let version = u64::from_le_bytes(*version);
        if version == u64::from_le_bytes(*b"HTTP/1.1") {
            return Ok((Version::Http11, at + 8));
        } else if version == u64::from_le_bytes(*b"HTTP/1.0") {
            return Ok((Version::Http10, at + 8));
        }
    }
    other_version(bytes, at)
}

#[cold]
fn other_version(bytes: &[u8], at: usize) -> Result<(Version, usize), Early<RequestError>> {
    let rest = &bytes[at..];
    let Some(stop) = rest.iter().position(|byte| *byte < 0x20) else {
        return Err(Early::More(false));
    };
    let wrong = |error| Err(Early::Wrong(error, at + stop));
    match (rest[stop], rest.get(stop + 1)) {
        (b'\r', None) => return Err(Early::More(false)),
        (b'\r', Some(b'\n')) => {}
        (b'\r', _) => return wrong(RequestError::LineEnd(FieldError::BareCr)),
        (b'\n', _) => return wrong(RequestError::LineEnd(FieldError::BareLf)),
        _ => return wrong(RequestError::BadLine),
    }
    match &rest[..stop] {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Ok((Version::Http11, at + stop)),
        [b'H', b'T', b'T', b'P', b'/', b'0' | b'2'..=b'9', b'.', b'0'..=b'9'] => {
            wrong(RequestError::UnknownVersion)
        }
        text if text.contains(&b' ') => wrong(RequestError::BadLine),
        _ => wrong(RequestError::BadVersion),
    }
}

/// A target that is not just a path.
fn other_form(bytes: &[u8], line: &mut Line) -> Result<(), RequestError> {
    let Span { start, end } = line.target;
    let target = line.target.of(bytes);
    let nothing = Span { start: end, end };
    line.path = nothing;
    if line.method == Method::Connect {
        line.form = Form::Authority;
        line.authority = line.target;
        let valid = authority::is_valid(target, Want::HostAndPort);
        return if valid { Ok(()) } else { Err(RequestError::BadAuthority) };
    }
    if target == b"*" && line.method == Method::Options {
        line.form = Form::Asterisk;
        return Ok(());
    }
    let scheme = match target {
        _ if starts_with(target, b"http://") => 4,
        _ if starts_with(target, b"https://") => 5,
        _ => return Err(RequestError::BadForm),
    };
    let rest = &target[scheme + 3..];
    let length = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    if !authority::is_valid(&rest[..length], Want::Host) {
        return Err(RequestError::BadAuthority);
    }
    let begin = start + scheme as u32 + 3;
    line.form = Form::Absolute;
    line.authority = Span { start: begin, end: begin + length as u32 };
    line.path = Span { start: line.authority.end, end };
    Ok(())
}

fn starts_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
}

/// What the whole head says.
#[inline]
fn judge(
    bytes: &[u8],
    fields: &mut Fields,
    line: &Line,
    length: usize,
) -> Result<Option<RequestHead>, RequestError> {
    let newer = line.version == Version::Http11;
    let mut head = RequestHead {
        length,
        line: Span { start: line.method_text.start, end: line.end as u32 },
        method: line.method,
        method_text: line.method_text,
        target: line.target,
        form: line.form,
        path: line.path,
        version: line.version,
        host: host(bytes, fields, line)?,
        framing: Framing::None,
        keep_alive: newer,
        upgrade: false,
        expect_continue: false,
        te_trailers: false,
        max_forwards: None,
    };
    if fields.has_any(TELLING) {
        judge_fields(bytes, fields, &mut head)?;
    }
    Ok(Some(head))
}

/// Fields that say more than others.
const TELLING: u64 = set(&[
    Known::Connection,
    Known::ContentLength,
    Known::Expect,
    Known::Http2Settings,
    Known::MaxForwards,
    Known::Te,
    Known::TransferEncoding,
    Known::Upgrade,
]);

#[inline(never)]
fn judge_fields(
    bytes: &[u8],
    fields: &mut Fields,
    head: &mut RequestHead,
) -> Result<(), RequestError> {
    head.framing = match framing::declared(bytes, fields, head.version)? {
        Declared::Nothing => Framing::None,
        Declared::Length(length) => Framing::Length(length),
        Declared::Chunked => Framing::Chunked,
    };
    let newer = head.version == Version::Http11;
    let content = !matches!(head.framing, Framing::None | Framing::Length(0));
    if content {
        if matches!(head.method, Method::Trace | Method::Connect) {
            return Err(RequestError::Content);
        }
        let bare = matches!(head.method, Method::Get | Method::Head | Method::Delete);
        if bare && !newer {
            return Err(RequestError::ContentInHttp10);
        }
    }
    if fields.has(Known::Expect) {
        head.expect_continue = expects(bytes, fields, head.version)? && content;
    }
    if matches!(head.method, Method::Trace | Method::Options) && fields.has(Known::MaxForwards) {
        head.max_forwards = Some(max_forwards(bytes, fields)?);
    }
    head.te_trailers = newer && fields.has(Known::Te) && trailers(bytes, fields);
    let options = connection::take(bytes, fields);
    head.keep_alive = !options.close && (newer || options.keep_alive);
    if fields.has_any(set(&[Known::Upgrade, Known::Http2Settings])) {
        head.upgrade = newer && options.upgrade && connection::offers(bytes, fields);
        if !head.upgrade {
            connection::drop_upgrade(fields);
        }
    }
    Ok(())
}

/// Who is asked (RFC 9112 section 3.2).
#[inline]
fn host(bytes: &[u8], fields: &Fields, line: &Line) -> Result<Span, RequestError> {
    let Some(only) = fields.only(Known::Host) else {
        return match line.version {
            _ if fields.has(Known::Host) => Err(RequestError::HostRepeated),
            Version::Http11 => Err(RequestError::NoHost),
            Version::Http10 => Ok(line.authority),
        };
    };
    let value = only.value;
    if !authority::is_valid(value.of(bytes), Want::Any) {
        return Err(RequestError::BadHost);
    }
    Ok(if line.authority.is_empty() { value } else { line.authority })
}

/// Whether a `100 Continue` is expected; HTTP/1.0 does not know expectations (RFC 9110 section
/// 10.1.1), and they are not forwarded for it.
#[cold]
fn expects(bytes: &[u8], fields: &mut Fields, version: Version) -> Result<bool, RequestError> {
    if version == Version::Http10 {
        fields.drop_all(Known::Expect.bit());
        return Ok(false);
    }
    let mut any = false;
    for index in fields.even_dropped(Known::Expect) {
        for expectation in class::elements(fields.value(bytes, index)) {
            if !expectation.eq_ignore_ascii_case(b"100-continue") {
                return Err(RequestError::Expectation);
            }
            any = true;
        }
    }
    Ok(any)
}

#[cold]
fn max_forwards(bytes: &[u8], fields: &Fields) -> Result<u32, RequestError> {
    let mut all = fields.even_dropped(Known::MaxForwards);
    let (Some(index), None) = (all.next(), all.next()) else {
        return Err(RequestError::BadMaxForwards);
    };
    let value = fields.value(bytes, index);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(RequestError::BadMaxForwards);
    }
    Ok(value
        .iter()
        .fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0'))))
}

#[cold]
fn trailers(bytes: &[u8], fields: &Fields) -> bool {
    fields.even_dropped(Known::Te).any(|index| {
        class::elements(fields.value(bytes, index)).any(|one| one.eq_ignore_ascii_case(b"trailers"))
    })
}
