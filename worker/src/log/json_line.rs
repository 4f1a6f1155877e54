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

use portolan_shared::log::{Clock, Text, append};

use super::peer::PEER_BYTES_MAX;
use super::record::HttpRecord;
use super::request::Request;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends the object.
pub fn write(record: &HttpRecord<'_>, clock: &mut Clock, line: &mut Vec<u8>) {
    append(line, 128 + PEER_BYTES_MAX, |room| {
        let room = room.few(b"{\"time\":\"").few(&clock.iso_date(record.requested));
        let room = record.client.write_address(room.few(b"\",\"client\":\""), b'"');
        room.few(b",\"client_port\":").number(record.client.number(), b',')
    });
    line.pop();
    push_member(line, b"frontend", Some(record.frontend.as_bytes()));
    push_member(line, b"backend", Some(record.backend.as_bytes()));
    push_member(line, b"server", record.server.map(str::as_bytes));
    let request = record.request.as_ref();
    push_member(line, b"method", request.map(Request::method));
    push_member(line, b"target", request.map(Request::target));
    push_member(line, b"version", request.and_then(Request::version));
    push_numbers(record, line);
    push_member(line, b"request_cookie", record.request_cookie);
    push_member(line, b"response_cookie", record.response_cookie);
    push_member(line, b"termination", Some(&record.termination_letters()));
    push_counts(record, line);
    push_array(line, b"request_fields", record.request_fields);
    push_array(line, b"response_fields", record.response_fields);
    push_member(line, b"unique_id", record.unique_id);
    line.push(b'}');
}

fn push_numbers(record: &HttpRecord<'_>, line: &mut Vec<u8>) {
    let timers = &record.timers;
    for (name, number) in [
        (&b",\"status\":"[..], record.status.map(u64::from)),
        (b",\"request_ms\":", timers.request_ms),
        (b",\"queue_ms\":", timers.queue_ms),
        (b",\"connect_ms\":", timers.connect_ms),
        (b",\"response_ms\":", timers.response_ms),
        (b",\"active_ms\":", Some(timers.active_ms())),
        (b",\"handshake_ms\":", Some(timers.handshake_ms)),
        (b",\"idle_ms\":", timers.idle_ms),
        (b",\"total_ms\":", Some(timers.total_ms)),
        (b",\"bytes_out\":", Some(record.bytes_out)),
        (b",\"bytes_in\":", Some(record.bytes_in)),
    ] {
        push_number(line, name, number);
    }
    push_bool(line, b",\"early\":", record.early);
}

fn push_counts(record: &HttpRecord<'_>, line: &mut Vec<u8>) {
    let load = &record.load;
    for (name, number) in [
        (&b",\"process_connections\":"[..], load.process),
        (b",\"frontend_connections\":", load.frontend),
        (b",\"backend_connections\":", load.backend),
        (b",\"server_connections\":", load.server),
        (b",\"retries\":", record.retries),
        (b",\"server_queue\":", record.server_queue),
        (b",\"backend_queue\":", record.backend_queue),
    ] {
        push_number(line, name, Some(u64::from(number)));
    }
    push_bool(line, b",\"redispatched\":", record.redispatched);
}

/// Name, with what stands around it, and number at once.
fn push_number(line: &mut Vec<u8>, name: &[u8], number: Option<u64>) {
    let mut text = Text::<56>::default();
    text.append(name);
    match number {
        Some(number) => text.number(number),
        None => text.append(b"null"),
    }
    line.extend_from_slice(text.as_bytes());
}

fn push_bool(line: &mut Vec<u8>, name: &[u8], value: bool) {
    line.extend_from_slice(name);
    line.extend_from_slice(if value { b"true" } else { b"false" });
}

fn push_member(line: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name);
    line.extend_from_slice(b"\":");
    push_value(line, value);
}

fn push_array(line: &mut Vec<u8>, name: &[u8], values: &[Option<&[u8]>]) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name);
    line.extend_from_slice(b"\":[");
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            line.push(b',');
        }
        push_value(line, *value);
    }
    line.push(b']');
}

fn push_value(line: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            line.push(b'"');
            push_string(line, value);
            line.push(b'"');
        }
        None => line.extend_from_slice(b"null"),
    }
}

/// A string's content.
fn push_string(line: &mut Vec<u8>, value: &[u8]) {
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b'"' && *byte != b'\\';
    if value.iter().all(plain) {
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
