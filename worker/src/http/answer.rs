//! Answers that the proxy gives itself: redirects, fixed responses, error pages, the monitor's.
//!
//! Core: no I/O or clock; the caller tells the date.
//!
//! Each function writes a whole head behind what is in `out` and returns the content to be sent
//! after it, which is not copied where it is in the configuration.
//!
//! - An answer tells its length; only 204 and 304 have none, and no content (RFC 9112 6.3).
//! - An answer to HEAD has the head of the answer to GET and no content (RFC 9110 9.3.2).
//! - A 2xx answer to CONNECT would begin a tunnel: it has neither length nor content, and the
//!   connection ends (9.3.6).
//! - `Date` is there once (6.6.1).

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use portolan_shared::model::{Answer, ErrorPage, Redirect, Response};

use super::error_page::{Page, Pages};
use super::final_hop::{TRACE_CONTENT_TYPE, traced};
use super::redirect::{Target, cookies, is_temporary, location};
use crate::http1::Version;
use crate::http1::write::reason::reason;
use crate::http1::write::{Persistence, push_connection, push_number};

/// What an answer depends on, of the request and of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The method is HEAD.
    pub head: bool,
    /// The method is CONNECT.
    pub connect: bool,
    /// The request is of HTTP/1.0.
    pub http10: bool,
    /// The connection is kept for another request.
    pub keep_alive: bool,
    /// The value of `Date`.
    pub date: &'a [u8],
}

/// What was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given<'a> {
    /// The head is written.
    Ready(Ready<'a>),
    /// The connection ends without a word.
    Silent,
    /// The answer does not apply; the request goes on.
    Skipped,
}

/// What follows a written head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready<'a> {
    /// The status that was written.
    pub status: u16,
    /// What follows; empty where the answer has no content.
    pub content: Cow<'a, [u8]>,
    /// The connection is kept, as the head says.
    pub keep_alive: bool,
}

/// A field of an answer.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Gives an answer of the configuration. (The caller has waited where it is a tarpit.)
pub fn answer<'a, 'f>(
    out: &mut Vec<u8>,
    answer: &'a Answer,
    target: Target<'_>,
    pages: Pages<'a>,
    accepts: impl Iterator<Item = &'f [u8]>,
    facts: &Facts<'_>,
) -> Given<'a> {
    match answer {
        Answer::Redirect(to) => redirect(out, to, target, facts),
        Answer::Return(response) => Given::Ready(respond(out, response, &[], facts)),
        Answer::Deny(status) | Answer::Tarpit(status) => {
            error(out, *status, &[], pages, accepts, facts)
        }
    }
}

/// Gives the page of a status, with these fields in addition where that status is sent
/// (`WWW-Authenticate`, `Allow`, `Retry-After`).
pub fn error<'a, 'f>(
    out: &mut Vec<u8>,
    status: u16,
    more: &[Pair<'_>],
    pages: Pages<'a>,
    accepts: impl Iterator<Item = &'f [u8]>,
    facts: &Facts<'_>,
) -> Given<'a> {
    Given::Ready(match pages.of(status, accepts) {
        Page::Configured(ErrorPage::Silent) => return Given::Silent,
        Page::Configured(ErrorPage::Response(response)) => {
            let more = if response.status == status { more } else { &[] };
            respond(out, response, more, facts)
        }
        Page::Configured(ErrorPage::Location { status, url }) => {
            let mut head = Head::new(out, *status, facts);
            head.field(b"Location", url.as_bytes());
            head.field(b"Cache-Control", b"no-cache");
            head.end(Cow::Borrowed(&[]))
        }
        Page::BuiltIn(page) => {
            let mut head = Head::new(out, status, facts);
            head.field(b"Cache-Control", b"no-cache");
            head.field(b"Content-Type", page.content_type.as_bytes());
            if page.varies {
                head.field(b"Vary", b"Accept");
            }
            for (name, value) in more {
                head.field(name, value);
            }
            head.end(match page.content {
                Cow::Borrowed(content) => Cow::Borrowed(content.as_bytes()),
                Cow::Owned(content) => Cow::Owned(content.into_bytes()),
            })
        }
    })
}

/// Whether a request for this path and query is the monitor's; as in HAProxy, all of it must be equal.
pub fn is_monitor(monitor_uri: Option<&str>, path: &[u8]) -> bool {
    monitor_uri.is_some_and(|uri| uri.as_bytes() == path)
}

/// Answers the monitor: with the page of status 200, ours or a configured one.
pub fn monitor<'a>(out: &mut Vec<u8>, pages: Pages<'a>, facts: &Facts<'_>) -> Given<'a> {
    error(out, 200, &[], pages, std::iter::empty(), facts)
}

/// Answers a TRACE request that ends here, whose head this is.
pub fn trace(out: &mut Vec<u8>, request: &[u8], facts: &Facts<'_>) -> Ready<'static> {
    let mut head = Head::new(out, 200, facts);
    head.field(b"Cache-Control", b"no-store");
    head.field(b"Content-Type", TRACE_CONTENT_TYPE.as_bytes());
    head.end(Cow::Owned(traced(request)))
}

/// Answers an OPTIONS request that ends here.
pub fn options(out: &mut Vec<u8>, facts: &Facts<'_>) -> Ready<'static> {
    Head::new(out, 200, facts).end(Cow::Borrowed(&[]))
}

/// Sends a request elsewhere.
fn redirect<'a>(
    out: &mut Vec<u8>,
    redirect: &Redirect,
    target: Target<'_>,
    facts: &Facts<'_>,
) -> Given<'a> {
    let Some(location) = location(redirect, target) else { return Given::Skipped };
    let mut head = Head::new(out, redirect.status, facts);
    head.field(b"Location", &location);
    if is_temporary(redirect.status) {
        head.field(b"Cache-Control", b"no-cache");
    }
    for cookie in cookies(redirect) {
        head.field(b"Set-Cookie", cookie.as_bytes());
    }
    Given::Ready(head.end(Cow::Borrowed(&[])))
}

/// Gives a response that is known beforehand.
fn respond<'a>(
    out: &mut Vec<u8>,
    response: &'a Response,
    more: &[Pair<'_>],
    facts: &Facts<'_>,
) -> Ready<'a> {
    let mut head = Head::new(out, response.status, facts);
    for (name, value) in &response.fields {
        head.field(name.as_bytes(), value.as_bytes());
    }
    for (name, value) in more {
        head.field(name, value);
    }
    head.end(Cow::Borrowed(&response.content))
}

/// A head being written.
struct Head<'o> {
    out: &'o mut Vec<u8>,
    facts: &'o Facts<'o>,
    status: u16,
    dated: bool,
}

impl<'o> Head<'o> {
    fn new(out: &'o mut Vec<u8>, status: u16, facts: &'o Facts<'o>) -> Self {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, status.into());
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(b"\r\n");
        Self { out, facts, status, dated: false }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{value:?}");
        self.dated |= name.eq_ignore_ascii_case(b"date");
        for part in [name, b": ", value, b"\r\n"] {
            self.out.extend_from_slice(part);
        }
    }

    fn end(mut self, content: Cow<'_, [u8]>) -> Ready<'_> {
        let facts = self.facts;
        if !self.dated {
            self.field(b"Date", facts.date);
        }
        let tunnel = facts.connect && (200..300).contains(&self.status);
        let content = match self.status {
            204 | 205 | 304 => Cow::Borrowed(&[][..]),
            _ if tunnel => Cow::Borrowed(&[][..]),
            _ => content,
        };
        if !tunnel && !matches!(self.status, 204 | 304) {
            self.out.extend_from_slice(b"Content-Length: ");
            push_number(self.out, content.len() as u64);
            self.out.extend_from_slice(b"\r\n");
        }
        let keep_alive = facts.keep_alive && !tunnel;
        let version = if facts.http10 { Version::Http10 } else { Version::Http11 };
        let persistence = if keep_alive { Persistence::KeepAlive } else { Persistence::Close };
        push_connection(self.out, version, persistence);
        self.out.extend_from_slice(b"\r\n");
        let content = if facts.head { Cow::Borrowed(&[][..]) } else { content };
        Ready { status: self.status, content, keep_alive }
    }
}
