//! HAProxy's HTTP log line,
//! `%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r`.
//!
//! Core: no I/O. Fields and their meaning are those of HAProxy's manual, section 8.2.3. `+` stands
//! before the active time and the bytes of a line written before the end, and before the retries of a
//! stream that was redispatched. Braces stand only where captures are configured. Names are the
//! model's, whose readers take only letters, digits and `-_.:`.
//!
//! Differences from HAProxy 2.6: captured cookies are escaped like every other text of strangers, which
//! it writes as they came; a long request line is cut after `http_logurilen` bytes, there one earlier;
//! with `logasap` a line that had to wait for the end has no `+`.

#![expect(clippy::inline_always, reason = "the room for a line stays in registers only so")]

use portolan_shared::log::{
    Clock, NUMBER_BYTES, Room, SHORT_NUMBER_BYTES, append, push_captured, push_field,
};

use super::record::HttpRecord;
use super::tcp_line::{HEAD_BYTES, names_bytes, write_head, write_names, write_timer, write_total};

/// Written where there was no valid request.
pub(super) const BAD_REQUEST: &[u8] = b"<BADREQ>";

/// Room for what stands behind the names up to the cookies: times, status and bytes, and two `+`.
const TIMES_BYTES: usize = 6 * NUMBER_BYTES + SHORT_NUMBER_BYTES + 2;

/// Room for what stands behind the cookies: termination, load, retries and queues.
const COUNTS_BYTES: usize = 7 * SHORT_NUMBER_BYTES + 6;

/// Appends the line's text.
pub fn write(record: &HttpRecord<'_>, clock: &mut Clock, line: &mut Vec<u8>) {
    let date = clock.accept_date(record.requested);
    let before =
        HEAD_BYTES + names_bytes(record.frontend, record.backend, record.server) + TIMES_BYTES;
    if record.request_cookie.is_none() && record.response_cookie.is_none() {
        append(line, before + 4 + COUNTS_BYTES, |room| {
            write_counts(write_times(room, record, &date).few(b"- - "), record)
        });
    } else {
        append(line, before, |room| write_times(room, record, &date));
        for cookie in [record.request_cookie, record.response_cookie] {
            push_field(line, cookie.unwrap_or(b"-"));
            line.push(b' ');
        }
        append(line, COUNTS_BYTES, |room| write_counts(room, record));
    }
    push_braces(record.request_fields, line);
    push_braces(record.response_fields, line);
    line.push(b'"');
    push_field(line, record.request.map_or(BAD_REQUEST, |request| request.line()));
    line.push(b'"');
}

/// Everything up to the bytes.
#[inline(always)]
fn write_times<'l>(room: Room<'l>, record: &HttpRecord<'_>, date: &[u8; 24]) -> Room<'l> {
    let timers = &record.timers;
    let room = write_head(room, record.client, date);
    let room = write_names(room, record.frontend, record.backend, record.server);
    let room = write_timer(room, timers.request_ms, b'/');
    let room = write_timer(room, timers.queue_ms, b'/');
    let room = write_timer(room, timers.connect_ms, b'/');
    let room = write_timer(room, timers.response_ms, b'/');
    let room = write_total(room, timers.active_ms(), record.early, b' ');
    let room = write_timer(room, record.status.map(u64::from), b' ');
    write_total(room, record.bytes_out, record.early, b' ')
}

/// Termination, load, retries and queues.
#[inline(always)]
fn write_counts<'l>(room: Room<'l>, record: &HttpRecord<'_>) -> Room<'l> {
    let room = room.few(&record.termination_letters()).byte(b' ');
    let room = record.load.write(room, b'/');
    let room = write_total(room, u64::from(record.retries), record.redispatched, b' ');
    room.number(u64::from(record.server_queue), b'/').number(u64::from(record.backend_queue), b' ')
}

/// `{a|b} `, nothing where nothing is captured.
#[inline(always)]
fn push_braces(fields: &[Option<&[u8]>], line: &mut Vec<u8>) {
    if !fields.is_empty() {
        push_fields(fields, line);
        line.push(b' ');
    }
}

/// `{a|b}`
pub(super) fn push_fields(fields: &[Option<&[u8]>], line: &mut Vec<u8>) {
    for (place, field) in fields.iter().enumerate() {
        line.push(if place == 0 { b'{' } else { b'|' });
        push_captured(line, field.unwrap_or_default());
    }
    line.push(b'}');
}
