//! The access log as JSON (RFC 8259): one object a line, always the same members in the same order.
//!
//! Core: no I/O. Only ASCII leaves: every other character is written as `\u` and its number, and a byte that is
//! not UTF-8 as the character of that number. What is unknown is `null`.
//!
//! | member | is |
//! | --- | --- |
//! | `time` | when the request's first byte came, RFC 3339 |
//! | `client`, `client_port` | who asked; `unix` and the listener's number for a UNIX socket |
//! | `frontend`, `backend`, `server` | names; `server` is null where none was reached |
//! | `method`, `target`, `version` | the request line; null where there was no valid one |
//! | `status` | of the response; null where there was none |
//! | `request_ms`, `queue_ms`, `connect_ms`, `response_ms` | TR, Tw, Tc, Tr; null where not reached |
//! | `active_ms` | Ta |
//! | `handshake_ms`, `idle_ms`, `total_ms` | Th, Ti, Tt |
//! | `early` | whether `active_ms`, `total_ms` and `bytes_out` will still grow (`logasap`) |
//! | `bytes_out`, `bytes_in` | sent to the client, received from it |
//! | `request_cookie`, `response_cookie` | captured cookies, `NAME=VALUE` or null |
//! | `termination` | cause, phase and the two of the persistence cookie, four letters |
//! | `process_connections`, `frontend_connections`, `backend_connections`, `server_connections` | at the end of the stream |
//! | `retries`, `redispatched` | connection attempts after the first; whether one went elsewhere |
//! | `server_queue`, `backend_queue` | streams before this one in the pending queues |
//! | `request_fields`, `response_fields` | captured fields in the configuration's order, strings or null |
//! | `unique_id` | the request's id or null |

use portolan_shared::log::{Clock, NUMBER_BYTES, Room, SHORT_NUMBER_BYTES, append};

use super::peer::PEER_BYTES_MAX;
use super::record::HttpRecord;
use super::request::Request;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Room for the time, the client and the names of these members.
const CLIENT_BYTES: usize = 64 + 32 + PEER_BYTES_MAX + SHORT_NUMBER_BYTES;

/// Room for eleven numbers, a truth value and their names.
const NUMBERS_BYTES: usize = 12 * (16 + NUMBER_BYTES);

/// Room for seven numbers, a truth value and their names.
const COUNTS_BYTES: usize = 8 * (24 + SHORT_NUMBER_BYTES);

/// Appends the object.
pub fn write(record: &HttpRecord<'_>, clock: &mut Clock, line: &mut Vec<u8>) {
    let date = clock.iso_date(record.requested);
    append(line, CLIENT_BYTES, |room| write_client(room, record, &date));
    push_member(line, b"\"frontend\":", Some(record.frontend.as_bytes()));
    push_member(line, b"\"backend\":", Some(record.backend.as_bytes()));
    push_member(line, b"\"server\":", record.server.map(str::as_bytes));
    let request = record.request.as_ref();
    push_member(line, b"\"method\":", request.map(Request::method));
    push_member(line, b"\"target\":", request.map(Request::target));
    push_member(line, b"\"version\":", request.and_then(Request::version));
    append(line, NUMBERS_BYTES, |room| write_numbers(room, record));
    push_member(line, b"\"request_cookie\":", record.request_cookie);
    push_member(line, b"\"response_cookie\":", record.response_cookie);
    push_member(line, b"\"termination\":", Some(&record.termination_letters()));
    append(line, COUNTS_BYTES, |room| write_counts(room, record));
    push_array(line, b"\"request_fields\":[", record.request_fields);
    push_array(line, b"\"response_fields\":[", record.response_fields);
    push_member(line, b"\"unique_id\":", record.unique_id);
    // Each member ends with a comma.
    line.pop();
    line.push(b'}');
}

fn write_client<'l>(room: Room<'l>, record: &HttpRecord<'_>, date: &[u8; 32]) -> Room<'l> {
    let room = room.few(b"{\"time\":\"").few(date).few(b"\",\"client\":\"");
    let room = record.client.write_address(room, b'"').few(b",\"client_port\":");
    room.number(record.client.number(), b',')
}

fn write_numbers<'l>(room: Room<'l>, record: &HttpRecord<'_>) -> Room<'l> {
    let timers = &record.timers;
    let room = write_number(room.few(b"\"status\":"), record.status.map(u64::from));
    let room = write_number(room.few(b"\"request_ms\":"), timers.request_ms);
    let room = write_number(room.few(b"\"queue_ms\":"), timers.queue_ms);
    let room = write_number(room.few(b"\"connect_ms\":"), timers.connect_ms);
    let room = write_number(room.few(b"\"response_ms\":"), timers.response_ms);
    let room = room.few(b"\"active_ms\":").number(timers.active_ms(), b',');
    let room = room.few(b"\"handshake_ms\":").number(timers.handshake_ms, b',');
    let room = write_number(room.few(b"\"idle_ms\":"), timers.idle_ms);
    let room = room.few(b"\"total_ms\":").number(timers.total_ms, b',');
    let room = room.few(b"\"bytes_out\":").number(record.bytes_out, b',');
    let room = room.few(b"\"bytes_in\":").number(record.bytes_in, b',');
    write_bool(room.few(b"\"early\":"), record.early)
}

fn write_counts<'l>(room: Room<'l>, record: &HttpRecord<'_>) -> Room<'l> {
    let load = &record.load;
    let room = room.few(b"\"process_connections\":").number(u64::from(load.process), b',');
    let room = room.few(b"\"frontend_connections\":").number(u64::from(load.frontend), b',');
    let room = room.few(b"\"backend_connections\":").number(u64::from(load.backend), b',');
    let room = room.few(b"\"server_connections\":").number(u64::from(load.server), b',');
    let room = room.few(b"\"retries\":").number(u64::from(record.retries), b',');
    let room = write_bool(room.few(b"\"redispatched\":"), record.redispatched);
    let room = room.few(b"\"server_queue\":").number(u64::from(record.server_queue), b',');
    room.few(b"\"backend_queue\":").number(u64::from(record.backend_queue), b',')
}

fn write_number(room: Room<'_>, number: Option<u64>) -> Room<'_> {
    match number {
        Some(number) => room.number(number, b','),
        None => room.few(b"null,"),
    }
}

fn write_bool(room: Room<'_>, value: bool) -> Room<'_> {
    if value { room.few(b"true,") } else { room.few(b"false,") }
}

/// Name, with what stands around it, value and comma.
fn push_member(line: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
    line.extend_from_slice(name);
    push_value(line, value);
}

fn push_array(line: &mut Vec<u8>, name: &[u8], values: &[Option<&[u8]>]) {
    line.extend_from_slice(name);
    for value in values {
        push_value(line, *value);
    }
    if !values.is_empty() {
        line.pop();
    }
    line.extend_from_slice(b"],");
}

fn push_value(line: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            line.push(b'"');
            push_string(line, value);
            line.extend_from_slice(b"\",");
        }
        None => line.extend_from_slice(b"null,"),
    }
}

/// A string's content.
fn push_string(line: &mut Vec<u8>, value: &[u8]) {
    if value.iter().fold(true, |plain, byte| plain & is_plain(*byte)) {
        return line.extend_from_slice(value);
    }
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_character(line, character);
        }
        for byte in chunk.invalid() {
            push_unit(line, u16::from(*byte));
        }
    }
}

#[expect(clippy::needless_bitwise_bool, reason = "without branches the scan is vectorized")]
fn is_plain(byte: u8) -> bool {
    (byte.wrapping_sub(b' ') < 95) & (byte != b'"') & (byte != b'\\')
}

fn push_character(line: &mut Vec<u8>, character: char) {
    match character {
        '"' | '\\' => line.extend_from_slice(&[b'\\', character as u8]),
        ' '..='~' => line.push(character as u8),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                push_unit(line, *unit);
            }
        }
    }
}

/// One unit of UTF-16, `\u00e9`.
fn push_unit(line: &mut Vec<u8>, unit: u16) {
    line.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        line.push(HEX[usize::from(unit >> shift) & 15]);
    }
}
