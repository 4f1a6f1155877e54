//! What is kept of messages for the log: fields and a cookie (HAProxy's `capture`).
//!
//! Core: no I/O. A [`Plan`] is made of a frontend's configuration; a [`Captured`] belongs to a stream
//! and is used again for the next one, so that nothing is allocated once it has grown.
//!
//! - Of several fields of a name the last one is kept, as it came: messages are captured before they
//!   are changed, and fields that are not forwarded (`Host`, `Content-Length`, what `Connection`
//!   names) can be captured too.
//! - The first cookie of the name is kept, as `NAME=VALUE` without blanks; of `Set-Cookie` no
//!   attributes.
//! - Longer ones are cut at their end.

use portolan_shared::model::{CaptureCookie, CaptureField, Captures};

use super::cookie::pairs::{Pair, pairs, set_cookie};
use crate::http1::{Fields, Known, Span};

/// What a frontend captures.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    request: Box<[Wanted]>,
    response: Box<[Wanted]>,
    cookie: Option<CaptureCookie>,
}

/// One field that is captured.
#[derive(Clone, Debug)]
struct Wanted {
    name: Box<[u8]>,
    known: Known,
    length_max: usize,
}

/// What was captured of one request and its response.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    store: Vec<u8>,
    request: Vec<Option<Span>>,
    response: Vec<Option<Span>>,
    request_cookie: Option<Span>,
    response_cookie: Option<Span>,
}

impl Plan {
    /// As configured.
    pub fn new(captures: &Captures) -> Self {
        let wanted = |fields: &[CaptureField]| {
            let wanted = |field: &CaptureField| Wanted {
                name: field.name.as_bytes().into(),
                known: Known::named(field.name.as_bytes()),
                length_max: field.length_max as usize,
            };
            fields.iter().map(wanted).collect()
        };
        Self {
            request: wanted(&captures.request),
            response: wanted(&captures.response),
            cookie: captures.cookie.clone(),
        }
    }

    /// Whether nothing is captured.
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty() && self.cookie.is_none()
    }

    /// Takes what is wanted of a request that was just parsed; what was captured before is forgotten.
    #[inline]
    pub fn request(&self, bytes: &[u8], fields: &Fields, captured: &mut Captured) {
        captured.clear();
        if self.is_empty() {
            return;
        }
        captured.take_fields(&self.request, bytes, fields, |captured| &mut captured.request);
        let Some(cookie) = &self.cookie else { return };
        for index in fields.all(Known::Cookie) {
            let text = fields.value(bytes, index);
            if let Some(pair) = pairs(text).find(|pair| is_wanted(cookie, text, pair)) {
                captured.request_cookie = Some(captured.keep_cookie(cookie, text, &pair));
                break;
            }
        }
    }

    /// Takes what is wanted of a response that was just parsed.
    #[inline]
    pub fn response(&self, bytes: &[u8], fields: &Fields, captured: &mut Captured) {
        captured.response.clear();
        captured.response_cookie = None;
        if self.is_empty() {
            return;
        }
        captured.take_fields(&self.response, bytes, fields, |captured| &mut captured.response);
        let Some(cookie) = &self.cookie else { return };
        for index in fields.all(Known::SetCookie) {
            let text = fields.value(bytes, index);
            let pair = set_cookie(text);
            if is_wanted(cookie, text, &pair) {
                captured.response_cookie = Some(captured.keep_cookie(cookie, text, &pair));
                break;
            }
        }
    }
}

impl Captured {
    /// What was captured in another process: places in `store`.
    pub fn of_pieces(
        store: Vec<u8>,
        (request, response): (Vec<Option<Span>>, Vec<Option<Span>>),
        (request_cookie, response_cookie): (Option<Span>, Option<Span>),
    ) -> Self {
        Self { store, request, response, request_cookie, response_cookie }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.store.clear();
        self.request.clear();
        self.response.clear();
        self.request_cookie = None;
        self.response_cookie = None;
    }

    /// The request's fields, in the order of the configuration; empty where no request was captured.
    pub fn request_fields(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        self.texts(&self.request)
    }

    /// The response's.
    pub fn response_fields(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        self.texts(&self.response)
    }

    /// The request's cookie.
    pub fn request_cookie(&self) -> Option<&[u8]> {
        Some(self.request_cookie?.of(&self.store))
    }

    /// The response's.
    pub fn response_cookie(&self) -> Option<&[u8]> {
        Some(self.response_cookie?.of(&self.store))
    }

    fn texts<'a>(
        &'a self,
        spans: &'a [Option<Span>],
    ) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> {
        spans.iter().map(|span| Some((*span)?.of(&self.store)))
    }

    fn take_fields(
        &mut self,
        wanted: &[Wanted],
        bytes: &[u8],
        fields: &Fields,
        list: fn(&mut Self) -> &mut Vec<Option<Span>>,
    ) {
        for wanted in wanted {
            let place = last(wanted, bytes, fields)
                .map(|index| self.keep(&[fields.value(bytes, index)], wanted.length_max));
            list(self).push(place);
        }
    }

    fn keep_cookie(&mut self, wanted: &CaptureCookie, text: &[u8], pair: &Pair) -> Span {
        let value = pair.value.start - usize::from(pair.quoted)..pair.end();
        self.keep(&[&text[pair.name.clone()], b"=", &text[value]], wanted.length_max as usize)
    }

    /// Puts these pieces into the store, at most so many bytes of them.
    fn keep(&mut self, pieces: &[&[u8]], length_max: usize) -> Span {
        let start = self.store.len();
        for piece in pieces {
            let room = length_max - (self.store.len() - start);
            self.store.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Span { start: start as u32, end: self.store.len() as u32 }
    }
}

/// The last field of this name, whether it is forwarded or not.
fn last(wanted: &Wanted, bytes: &[u8], fields: &Fields) -> Option<usize> {
    if wanted.known == Known::Other {
        let is_it = |index: &usize| fields.name(bytes, *index).eq_ignore_ascii_case(&wanted.name);
        (0..fields.len()).rev().find(is_it)
    } else {
        fields.even_dropped(wanted.known).last()
    }
}

/// Whether a cookie has the name, or begins with it.
fn is_wanted(wanted: &CaptureCookie, text: &[u8], pair: &Pair) -> bool {
    let name = &text[pair.name.clone()];
    if wanted.prefix {
        !name.is_empty() && name.starts_with(wanted.name.as_bytes())
    } else {
        name == wanted.name.as_bytes()
    }
}

#[cfg(test)]
mod tests;
