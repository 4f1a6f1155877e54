//! Messages as they go out: from what was parsed, for the next hop.
//!
//! Core. The first line, then what frames and routes, then the fields in their order with what was
//! changed, then what this hop says of itself. Nothing that came is repeated without having been
//! parsed: neighbouring lines are copied together only where they stand exactly as they would be
//! written. Host and Content-Length stay at their place then; Host only where it is the first field.

pub mod reason;
#[cfg(test)]
mod tests;

use super::class;
use super::fields::Fields;
use super::known::Known;
use super::{Form, Framing, Method, RequestHead, ResponseHead, Span, Version};

/// What this hop says about the connection's future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It can be used again.
    KeepAlive,
    /// It ends with this message's exchange.
    Close,
    /// It switches protocols; Upgrade is among the fields.
    Upgrade,
}

/// What a request becomes.
#[derive(Clone, Copy, Debug)]
pub struct RequestOut<'a> {
    /// Where the request names no host (HTTP/1.0); HTTP/1.1 must have the field (RFC 9112 section
    /// 3.2), and some servers want it not empty.
    pub host_default: &'a [u8],
    /// The connection to the server.
    pub persistence: Persistence,
    /// The client takes trailers, and so do we.
    pub te_trailers: bool,
    /// Instead of the Max-Forwards that came, of TRACE and OPTIONS: one less.
    pub max_forwards: Option<u32>,
    /// Our name in Via.
    pub via: Option<&'a str>,
}

impl RequestOut<'_> {
    /// Forwarded as it is, the connection kept.
    pub fn of(head: &RequestHead) -> Self {
        Self {
            host_default: b"",
            persistence: if head.upgrade { Persistence::Upgrade } else { Persistence::KeepAlive },
            te_trailers: head.te_trailers,
            max_forwards: head.max_forwards.map(|left| left.saturating_sub(1)),
            via: None,
        }
    }
}

/// What a response becomes.
#[derive(Clone, Copy, Debug)]
pub struct ResponseOut<'a> {
    /// The client's version.
    pub client: Version,
    /// How the content is sent.
    pub framing: Framing,
    /// The connection to the client.
    pub persistence: Persistence,
    /// For a response without Date (RFC 9110 section 6.6.1).
    pub date: Option<&'a [u8]>,
    /// Our name in Via.
    pub via: Option<&'a str>,
}

/// Appends the request's head.
pub fn request_head(
    out: &mut Vec<u8>,
    bytes: &[u8],
    head: &RequestHead,
    fields: &Fields,
    to: &RequestOut<'_>,
) {
    out.reserve(head.length + MARGIN);
    let but = to.max_forwards.is_some().then_some(Known::MaxForwards);
    let line = head.form == Form::Origin && head.line.of(bytes).ends_with(b"HTTP/1.1");
    match standing(fields, head.framing) {
        Some(length) if line && has_host_first(fields, head) => {
            push_fields(out, bytes, fields, head.line, length | Known::Host.bit(), but);
        }
        _ => {
            out.extend_from_slice(head.method_text.of(bytes));
            out.push(b' ');
            push_target(out, bytes, head);
            out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
            let own = head.host.of(bytes);
            out.extend_from_slice(if own.is_empty() { to.host_default } else { own });
            out.extend_from_slice(b"\r\n");
            push_framing(out, head.framing);
            push_fields(out, bytes, fields, Span::default(), 0, but);
        }
    }
    if let Some(left) = to.max_forwards {
        out.extend_from_slice(b"Max-Forwards: ");
        push_number(out, left.into());
        out.extend_from_slice(b"\r\n");
    }
    let connection: &[u8] = match (to.persistence, to.te_trailers) {
        (Persistence::KeepAlive, false) => b"",
        (Persistence::KeepAlive, true) => b"TE: trailers\r\nConnection: TE\r\n",
        (Persistence::Close, false) => b"Connection: close\r\n",
        (Persistence::Close, true) => b"TE: trailers\r\nConnection: close, TE\r\n",
        (Persistence::Upgrade, false) => b"Connection: upgrade\r\n",
        (Persistence::Upgrade, true) => b"TE: trailers\r\nConnection: upgrade, TE\r\n",
    };
    if !connection.is_empty() {
        out.extend_from_slice(connection);
    }
    push_via(out, head.version, to.via);
    out.extend_from_slice(b"\r\n");
}

/// Appends the response's head.
pub fn response_head(
    out: &mut Vec<u8>,
    bytes: &[u8],
    head: &ResponseHead,
    fields: &Fields,
    to: &ResponseOut<'_>,
) {
    out.reserve(head.length + MARGIN);
    let framing = match (to.framing, head.content_length) {
        (Framing::None, Some(length)) => Framing::Length(length),
        (framing, _) => framing,
    };
    // The reason's place tells whether the line is whole.
    let line = bytes.starts_with(b"HTTP/1.1 ") && head.reason.start == STATUS_LINE_FIXED;
    match standing(fields, framing) {
        Some(length) if line && to.framing == head.framing => {
            let line = Span { start: 0, end: head.reason.end };
            push_fields(out, bytes, fields, line, length, None);
        }
        _ => {
            out.extend_from_slice(b"HTTP/1.1 ");
            push_number(out, head.status.into());
            out.push(b' ');
            out.extend_from_slice(head.reason.of(bytes));
            out.extend_from_slice(b"\r\n");
            push_framing(out, framing);
            push_fields(out, bytes, fields, Span::default(), 0, None);
        }
    }
    if let (false, Some(date)) = (head.has_date || head.status < 200, to.date) {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
    }
    push_connection(out, to.client, to.persistence);
    push_via(out, head.version, to.via);
    out.extend_from_slice(b"\r\n");
}

/// Appends what comes before a chunk's data; behind it goes [`CHUNK_END`]. `length` is not 0.
pub fn chunk_size(out: &mut Vec<u8>, length: u64) {
    debug_assert!(length > 0, "an empty chunk would be the last one");
    let digits = (67 - u64::from(length.leading_zeros())) / 4;
    for n in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(length >> (4 * n)) as usize & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Behind a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends the last chunk and the trailers; `bytes` and `fields` are [`super::Decoder::trailers`]'.
pub fn last_chunk(out: &mut Vec<u8>, bytes: &[u8], fields: &Fields) {
    out.extend_from_slice(b"0\r\n");
    push_fields(out, bytes, fields, Span::default(), 0, None);
    out.extend_from_slice(b"\r\n");
}

/// Room for what is added to a head.
const MARGIN: usize = 256;

/// `HTTP/1.1 200 `.
const STATUS_LINE_FIXED: u32 = 13;

/// The set of fields that say this framing as it would be written; `None`: none says it.
fn standing(fields: &Fields, framing: Framing) -> Option<u64> {
    match framing {
        Framing::None | Framing::UntilClose => Some(0),
        Framing::Chunked => None,
        Framing::Length(length) => {
            // A value that means this number and has as many bytes as it has digits is the number.
            let digits = length.checked_ilog10().unwrap_or_default() as usize + 1;
            let only = fields.only(Known::ContentLength)?;
            (only.canonical && only.value.len() == digits).then_some(Known::ContentLength.bit())
        }
    }
}

/// Whether the first field is Host as it would be written.
fn has_host_first(fields: &Fields, head: &RequestHead) -> bool {
    fields.list().first().is_some_and(|first| {
        first.known == Known::Host
            && first.canonical
            && first.value == head.host
            && !head.host.is_empty()
    })
}

/// The target for a server (RFC 9112 sections 3.2.1 and 3.2.4).
fn push_target(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead) {
    let path = head.path.of(bytes);
    match head.form {
        Form::Origin => out.extend_from_slice(path),
        Form::Authority | Form::Asterisk => out.extend_from_slice(head.target.of(bytes)),
        Form::Absolute if path.is_empty() && head.method == Method::Options => out.push(b'*'),
        Form::Absolute => {
            if path.first() != Some(&b'/') {
                out.push(b'/');
            }
            out.extend_from_slice(path);
        }
    }
}

fn push_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            push_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The connection's future, where it is not what the version means anyway.
pub fn push_connection(out: &mut Vec<u8>, client: Version, persistence: Persistence) {
    let line: &[u8] = match (persistence, client) {
        (Persistence::KeepAlive, Version::Http11) => b"",
        (Persistence::KeepAlive, Version::Http10) => b"Connection: keep-alive\r\n",
        (Persistence::Close, _) => b"Connection: close\r\n",
        (Persistence::Upgrade, _) => b"Connection: upgrade\r\n",
    };
    if !line.is_empty() {
        out.extend_from_slice(line);
    }
}

/// What came in which version went through here (RFC 9110 section 7.6.3).
fn push_via(out: &mut Vec<u8>, version: Version, name: Option<&str>) {
    let Some(name) = name else { return };
    out.extend_from_slice(match version {
        Version::Http10 => b"Via: 1.0 ",
        Version::Http11 => b"Via: 1.1 ",
    });
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What stands in the message from `run`, if that is not empty: a first line whose CRLF follows it; and
/// the fields in order that are not dropped, or of the set that is kept nevertheless.
#[inline]
fn push_fields(
    out: &mut Vec<u8>,
    bytes: &[u8],
    fields: &Fields,
    mut run: Span,
    kept: u64,
    but: Option<Known>,
) {
    if but.is_none()
        && let Some(all) = fields.even(kept)
        && (run.is_empty() || all.start == run.end + 2)
    {
        let start = if run.is_empty() { all.start } else { run.start };
        push_run(out, bytes, Span { start, end: all.end });
        return;
    }
    // The run: neighbours that stand as they are to be written, the last one's CRLF not included.
    for (index, field) in fields.list().iter().enumerate() {
        if field.dropped && field.known.bit() & kept == 0 || but == Some(field.known) {
            continue;
        }
        if field.canonical {
            if field.name.start != run.end + 2 || run.is_empty() {
                push_run(out, bytes, run);
                run.start = field.name.start;
            }
            run.end = field.value.end;
            continue;
        }
        push_run(out, bytes, run);
        run = Span::default();
        out.extend_from_slice(fields.name(bytes, index));
        out.extend_from_slice(b": ");
        out.extend_from_slice(fields.value(bytes, index));
        out.extend_from_slice(b"\r\n");
    }
    push_run(out, bytes, run);
}

#[inline]
fn push_run(out: &mut Vec<u8>, bytes: &[u8], run: Span) {
    if !run.is_empty() {
        out.extend_from_slice(&bytes[run.start as usize..run.end as usize + 2]);
    }
}

/// A value that was not parsed from a message: what could break its line becomes a space.
pub(super) fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    let mut at = out.len();
    out.extend_from_slice(value);
    loop {
        at = class::value_end(out, at);
        let Some(byte) = out.get_mut(at) else { break };
        *byte = b' ';
    }
}

/// A decimal number.
pub fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
