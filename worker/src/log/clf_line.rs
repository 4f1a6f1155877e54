//! HAProxy's line in the common log format, `%{+Q}o %{-Q}ci - - [%trg] %r %ST %B "" "" %cp %ms %ft %b %s
//! %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl`.
//!
//! Core: no I/O. Texts of strangers and names stand in double quotes and hold none; numbers and the
//! termination are bare. As in HAProxy's, a line without captured fields ends with a space.

use portolan_shared::log::{
    Clock, NUMBER_BYTES, Room, SHORT_NUMBER_BYTES, append, push_captured, push_field,
};

use super::http_line::BAD_REQUEST;
use super::peer::PEER_BYTES_MAX;
use super::record::HttpRecord;
use super::tcp_line::{write_timer, write_total};

/// Appends the line's text.
pub fn write(record: &HttpRecord<'_>, clock: &mut Clock, line: &mut Vec<u8>) {
    append(line, PEER_BYTES_MAX + 34, |room| {
        let room = record.client.write_address(room, b' ').few(b"- - [");
        room.few(&clock.gmt_date(record.requested)).few(b"] \"")
    });
    push_field(line, record.request.map_or(BAD_REQUEST, |request| request.line()));
    let names = [record.frontend, record.backend, record.server_name()];
    let names_bytes: usize = names.iter().map(|name| name.len() + 3).sum();
    append(line, ANSWER_BYTES + names_bytes + NUMBERS_BYTES, |room| {
        write_numbers(names.into_iter().fold(write_answer(room, record), write_name), record)
    });
    for cookie in [record.request_cookie, record.response_cookie] {
        line.push(b'"');
        push_field(line, cookie.unwrap_or_default());
        line.extend_from_slice(b"\" ");
    }
    // The blank between two lists stands even where the second is empty.
    let lists = [record.request_fields, record.response_fields];
    push_list(lists[0], line);
    if !lists[0].is_empty() {
        line.push(b' ');
    }
    push_list(lists[1], line);
}

/// Room for status, bytes, port and milliseconds with what stands around them.
const ANSWER_BYTES: usize = NUMBER_BYTES + 2 * SHORT_NUMBER_BYTES + 13;

fn write_answer<'l>(room: Room<'l>, record: &HttpRecord<'_>) -> Room<'l> {
    let room = write_timer(room.few(b"\" "), record.status.map(u64::from), b' ');
    let room = write_total(room, record.bytes_out, record.early, b' ').few(b"\"\" \"\" ");
    room.number(record.client.number(), b' ').few(&milliseconds(record)).byte(b' ')
}

fn write_name<'l>(room: Room<'l>, name: &str) -> Room<'l> {
    room.byte(b'"').text(name.as_bytes()).few(b"\" ")
}

/// Room for times, termination, load, retries and queues.
const NUMBERS_BYTES: usize = 5 * NUMBER_BYTES + 7 * SHORT_NUMBER_BYTES + 7;

fn write_numbers<'l>(room: Room<'l>, record: &HttpRecord<'_>) -> Room<'l> {
    let timers = &record.timers;
    let room = write_timer(room, timers.request_ms, b' ');
    let room = write_timer(room, timers.queue_ms, b' ');
    let room = write_timer(room, timers.connect_ms, b' ');
    let room = write_timer(room, timers.response_ms, b' ');
    let room = write_total(room, timers.active_ms(), record.early, b' ');
    let room = room.few(&record.termination_letters()).byte(b' ');
    let room = record.load.write(room, b' ');
    let room = write_total(room, u64::from(record.retries), record.redispatched, b' ');
    room.number(u64::from(record.server_queue), b' ').number(u64::from(record.backend_queue), b' ')
}

/// `%ms`: three digits of the accept date.
pub(super) fn milliseconds(record: &HttpRecord<'_>) -> [u8; 3] {
    let milliseconds = record.accepted.fraction_micros() / 1000;
    [100, 10, 1].map(|unit| b'0' + (milliseconds / unit % 10) as u8)
}

/// `"a" "b"`, nothing where nothing is captured.
fn push_list(fields: &[Option<&[u8]>], line: &mut Vec<u8>) {
    for (place, field) in fields.iter().enumerate() {
        line.extend_from_slice(if place == 0 { b"\"" } else { b"\" \"" });
        push_captured(line, field.unwrap_or_default());
    }
    if !fields.is_empty() {
        line.push(b'"');
    }
}
