//! A check's HTTP request.
//!
//! Core. What variables bring along cannot break a line: in a target such bytes are written in percent
//! digits, in a field they become spaces.

use std::io::Write as _;

use portolan_shared::model::{CheckHttpVersion, CheckRequest};

use super::text::View;

/// Appends the request. Fields that frame the message are ours alone.
pub fn write(out: &mut Vec<u8>, request: &CheckRequest, view: &View<'_>) {
    out.extend_from_slice(request.method.as_bytes());
    out.push(b' ');
    target(out, &view.text(&request.uri));
    out.extend_from_slice(match request.version {
        CheckHttpVersion::Http10 => b" HTTP/1.0\r\n",
        CheckHttpVersion::Http11 => b" HTTP/1.1\r\n",
    });
    let mut connection = request.version == CheckHttpVersion::Http10;
    for (name, value) in &request.fields {
        if ["content-length", "transfer-encoding"]
            .iter()
            .any(|ours| name.eq_ignore_ascii_case(ours))
        {
            continue;
        }
        connection |= name.eq_ignore_ascii_case("connection");
        field(out, name, &view.text(value));
    }
    if let Some(state) = view.context.state {
        field(out, "X-Haproxy-Server-State", state.as_bytes());
    }
    let body = view.text(&request.body);
    if !body.is_empty() {
        write!(out, "Content-Length: {}\r\n", body.len()).expect("a vector takes every write");
    }
    if !connection {
        field(out, "Connection", b"close");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
}

fn target(out: &mut Vec<u8>, target: &[u8]) {
    for byte in target {
        match byte {
            0..=b' ' | 0x7f => write!(out, "%{byte:02X}").expect("a vector takes every write"),
            _ => out.push(*byte),
        }
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.iter().map(|byte| match byte {
        0..b' ' | 0x7f if *byte != b'\t' => b' ',
        _ => *byte,
    }));
    out.extend_from_slice(b"\r\n");
}
