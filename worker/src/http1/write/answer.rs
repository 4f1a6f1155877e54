//! A whole response of our own.
//!
//! Core. The content's length is always said where the status has a content, so that the connection
//! can be kept.

use super::super::Version;
use super::{Persistence, push_connection, push_number, push_value, reason};

/// A response of our own.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// 200 to 599.
    pub status: u16,
    /// Instead of the usual words.
    pub reason: Option<&'a str>,
    /// The client's version.
    pub client: Version,
    /// Not an upgrade.
    pub persistence: Persistence,
    /// The time now, as Date says it.
    pub date: Option<&'a [u8]>,
    /// Of the content.
    pub content_type: Option<&'a [u8]>,
    /// Further fields: names and values that are such.
    pub fields: &'a [(&'a [u8], &'a [u8])],
    /// What is answered; of a 204 or 304 nothing is sent.
    pub content: &'a [u8],
    /// It answers a HEAD: the content is not sent.
    pub head_only: bool,
}

/// Appends the response.
pub fn answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, answer.status.into());
    out.push(b' ');
    out.extend_from_slice(
        answer.reason.unwrap_or_else(|| reason::reason(answer.status)).as_bytes(),
    );
    out.extend_from_slice(b"\r\n");
    let empty = answer.status < 200 || answer.status == 204 || answer.status == 304;
    if !empty {
        out.extend_from_slice(b"Content-Length: ");
        push_number(out, answer.content.len() as u64);
        out.extend_from_slice(b"\r\n");
        if let Some(content_type) = answer.content_type {
            push(out, b"Content-Type", content_type);
        }
    }
    for (name, value) in answer.fields {
        push(out, name, value);
    }
    if let Some(date) = answer.date {
        push(out, b"Date", date);
    }
    push_connection(out, answer.client, answer.persistence);
    out.extend_from_slice(b"\r\n");
    if !empty && !answer.head_only {
        out.extend_from_slice(answer.content);
    }
}

fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    push_value(out, value);
    out.extend_from_slice(b"\r\n");
}
