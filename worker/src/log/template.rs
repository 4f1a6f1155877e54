//! Lines and ids as configured: a [`LogTemplate`] filled in from a record.
//!
//! Core: no I/O. Variables are those of HAProxy's manual, section 8.2.6, written as HAProxy does:
//!
//! | style | numbers | addresses, names, texts of others |
//! | --- | --- | --- |
//! | none | decimal, `-1` for a time or status that is not known | as they are, `-` when not known |
//! | quoted | the same | in double quotes, nothing between them when not known |
//! | hex | `%04X`, `%02X` for `%ms`; only pid, ports, counters and the timestamp | the bytes of an address |
//! | escaped | the same | a backslash before `"`, `\` and `]` |
//!
//! - Texts of others hold no control bytes and no `"`, whatever the style: both leave as `#HH`.
//! - Blanks were merged when the template was read; here a blank goes that would follow another, or
//!   begin the line, because the variable between them wrote nothing.
//! - A variable of HTTP is `-` for a stream of mode tcp; what the request had none of (`%HQ` of a
//!   target without query) is nothing at all.

use portolan_shared::log::{Clock, append, push_captured, push_field, push_u64};
use portolan_shared::model::{LogItem, LogStyle, LogTemplate, LogVariable as V};

use super::clf_line::milliseconds;
use super::http_line::{BAD_REQUEST, push_fields};
use super::peer::{PEER_BYTES_MAX, Peer};
use super::record::HttpRecord;
use super::request::Request;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends the filled-in template.
pub fn render(
    template: &LogTemplate,
    record: &HttpRecord<'_>,
    clock: &mut Clock,
    line: &mut Vec<u8>,
) {
    let start = line.len();
    for item in &template.items {
        match item {
            LogItem::Text(text) => {
                let behind_blank = line.len() == start || line.last() == Some(&b' ');
                let text = text.strip_prefix(' ').filter(|_| behind_blank).unwrap_or(text);
                line.extend_from_slice(text.as_bytes());
            }
            LogItem::Variable { variable, style } => {
                let mut writer = Writer { line: &mut *line, style: *style };
                writer.variable(*variable, record, clock);
            }
        }
    }
}

/// Writes values in one style.
struct Writer<'l> {
    line: &'l mut Vec<u8>,
    style: LogStyle,
}

impl Writer<'_> {
    fn variable(&mut self, variable: V, record: &HttpRecord<'_>, clock: &mut Clock) {
        if !record.http && of_http(variable) {
            return self.text(None);
        }
        let timers = &record.timers;
        let load = &record.load;
        match variable {
            V::AcceptDate => self.plain(&clock.accept_date(record.accepted)),
            V::RequestDate => self.plain(&clock.accept_date(record.requested)),
            V::DateGmt => self.plain(&clock.gmt_date(record.accepted)),
            V::DateLocal => self.plain(&clock.local_date(record.accepted)),
            V::RequestDateGmt => self.plain(&clock.gmt_date(record.requested)),
            V::RequestDateLocal => self.plain(&clock.local_date(record.requested)),
            V::Timestamp => self.counter(record.accepted.seconds()),
            V::Milliseconds => self.milliseconds(record),

            V::TimeHandshake => self.number(timers.handshake_ms),
            V::TimeIdle => self.timer(timers.idle_ms),
            V::TimeRequest => self.timer(timers.request_ms),
            V::TimeQueueOld => self.timer(timers.until_request_ms()),
            V::TimeWait => self.timer(timers.queue_ms),
            V::TimeConnect => self.timer(timers.connect_ms),
            V::TimeResponse => self.timer(timers.response_ms),
            V::TimeData if record.http => self.timer(timers.data_ms()),
            V::TimeData => self.timer(timers.data_ms_of_tcp()),
            V::TimeActive => self.total(timers.active_ms(), record.early),
            V::TimeTotal => self.total(timers.total_ms, record.early),
            V::TimeUser => self.total(timers.user_ms(), record.early),

            V::BytesOut => self.total(record.bytes_out, record.early),
            V::BytesIn => self.number(record.bytes_in),
            V::ConnectionsAll => self.number(u64::from(load.process)),
            V::ConnectionsFrontend => self.number(u64::from(load.frontend)),
            V::ConnectionsBackend => self.number(u64::from(load.backend)),
            V::ConnectionsServer => self.number(u64::from(load.server)),
            V::ServerQueue => self.number(u64::from(record.server_queue)),
            V::BackendQueue => self.number(u64::from(record.backend_queue)),
            V::Retries => self.total(u64::from(record.retries), record.redispatched),
            V::LogCounter => self.counter(record.line_number),
            V::RequestCounter => self.counter(record.request_number),
            V::Pid => self.counter(u64::from(record.pid)),

            V::ClientIp => self.address(Some(record.client)),
            V::ClientPort => self.port(Some(record.client)),
            V::FrontendIp => self.address(record.destination),
            V::FrontendPort => self.port(record.destination),
            V::SourceIp => self.address(record.server_source),
            V::SourcePort => self.port(record.server_source),
            V::ServerIp => self.address(record.server_address),
            V::ServerPort => self.port(record.server_address),

            V::Frontend | V::FrontendTransport => self.text(Some(record.frontend.as_bytes())),
            V::Backend => self.text(Some(record.backend.as_bytes())),
            V::Server => self.text(Some(record.server_name().as_bytes())),
            V::HostName => self.text(Some(record.host_name.as_bytes())),
            V::UniqueId => self.id(record.unique_id),
            V::TlsCipher | V::TlsVersion => self.text(None),
            V::RequestCookie => self.text(record.request_cookie),
            V::ResponseCookie => self.text(record.response_cookie),

            V::Status => self.status(record),
            V::Termination => self.plain(&record.termination_letters()[..2]),
            V::TerminationCookies => self.plain(&record.termination_letters()),
            V::RequestFields => self.braces(record.request_fields),
            V::ResponseFields => self.braces(record.response_fields),
            V::RequestFieldList => self.list(record.request_fields),
            V::ResponseFieldList => self.list(record.response_fields),

            V::RequestLine => self.request(record, Request::line),
            V::Method => self.request(record, Request::method),
            V::Target => self.request(record, Request::target),
            V::Path => self.request(record, Request::path),
            V::PathOnly => self.request(record, Request::path_only),
            V::Query => self.request(record, Request::query),
            V::Version => match record.request {
                Some(request) => self.text(request.version()),
                None => self.text(Some(BAD_REQUEST)),
            },
        }
    }

    /// Dates and letters, which no style changes.
    fn plain(&mut self, text: &[u8]) {
        self.line.extend_from_slice(text);
    }

    fn number(&mut self, number: u64) {
        self.total(number, false);
    }

    /// A number, with `+` when it is not final.
    fn total(&mut self, number: u64, more: bool) {
        if more {
            self.line.push(b'+');
        }
        push_u64(self.line, number);
    }

    fn timer(&mut self, ms: Option<u64>) {
        match ms {
            Some(ms) => self.number(ms),
            None => self.plain(b"-1"),
        }
    }

    /// A number that `hex` changes.
    fn counter(&mut self, number: u64) {
        if self.style.hex { self.hex(number, 4) } else { self.number(number) }
    }

    fn hex(&mut self, number: u64, digits_min: u32) {
        let digits = (64 - number.leading_zeros()).div_ceil(4).max(digits_min);
        for place in (0..digits).rev() {
            self.line.push(HEX[(number >> (4 * place)) as usize & 15]);
        }
    }

    fn milliseconds(&mut self, record: &HttpRecord<'_>) {
        if self.style.hex {
            return self.hex(u64::from(record.accepted.fraction_micros() / 1000), 2);
        }
        self.plain(&milliseconds(record));
    }

    fn status(&mut self, record: &HttpRecord<'_>) {
        match record.status {
            Some(status) => self.number(u64::from(status)),
            None if record.http => self.plain(b"-1"),
            None => self.plain(b"0"),
        }
    }

    fn address(&mut self, peer: Option<Peer>) {
        let Some(peer) = peer else { return self.text(None) };
        let (octets, length) = peer.octets();
        if self.style.hex && length > 0 {
            for octet in &octets[..length] {
                self.hex(u64::from(*octet), 2);
            }
            return;
        }
        self.quoted(|line| {
            append(line, PEER_BYTES_MAX, |room| peer.write_address(room, b' '));
            line.pop();
        });
    }

    fn port(&mut self, peer: Option<Peer>) {
        match peer {
            Some(peer) => self.counter(peer.number()),
            None => self.text(None),
        }
    }

    fn request<'a>(&mut self, record: &HttpRecord<'a>, part: fn(&Request<'a>) -> &'a [u8]) {
        self.text(Some(record.request.as_ref().map_or(BAD_REQUEST, part)));
    }

    /// Text of others, or none: `-`, and nothing between quotes.
    fn text(&mut self, text: Option<&[u8]>) {
        match text {
            Some(text) => self.quoted(|line| push_field(line, text)),
            None if self.style.quoted => self.plain(b"\"\""),
            None => self.plain(b"-"),
        }
    }

    /// An id, in which texts of others were escaped when it was made.
    fn id(&mut self, id: Option<&[u8]>) {
        let Some(id) = id else { return self.text(None) };
        self.quoted(|line| {
            for (place, part) in id.split(|byte| *byte == b'#').enumerate() {
                if place > 0 {
                    line.push(b'#');
                }
                push_field(line, part);
            }
        });
    }

    fn braces(&mut self, fields: &[Option<&[u8]>]) {
        if !fields.is_empty() {
            self.quoted(|line| push_fields(fields, line));
        }
    }

    fn list(&mut self, fields: &[Option<&[u8]>]) {
        for (place, field) in fields.iter().enumerate() {
            if place > 0 {
                self.line.push(b' ');
            }
            match field {
                Some(field) => self.quoted(|line| push_captured(line, field)),
                None => self.text(None),
            }
        }
    }

    /// What `write` writes, quoted and escaped as the style says.
    fn quoted(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.style.quoted {
            self.line.push(b'"');
        }
        let from = self.line.len();
        write(self.line);
        if self.style.escaped {
            escape(self.line, from);
        }
        if self.style.quoted {
            self.line.push(b'"');
        }
    }
}

/// Puts a backslash before what ends a value of structured data (RFC 5424).
fn escape(line: &mut Vec<u8>, from: usize) {
    for byte in line.split_off(from) {
        if matches!(byte, b'"' | b'\\' | b']') {
            line.push(b'\\');
        }
        line.push(byte);
    }
}

/// Whether only a stream of mode http knows it.
fn of_http(variable: V) -> bool {
    matches!(
        variable,
        V::RequestCookie
            | V::ResponseCookie
            | V::Method
            | V::Path
            | V::PathOnly
            | V::Query
            | V::Target
            | V::Version
            | V::RequestLine
            | V::RequestDate
            | V::RequestDateGmt
            | V::RequestDateLocal
            | V::TimeActive
            | V::TimeIdle
            | V::TimeQueueOld
            | V::TimeRequest
            | V::TimeResponse
            | V::TerminationCookies
    )
}
