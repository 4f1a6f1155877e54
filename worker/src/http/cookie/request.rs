//! The persistence cookie of a request: read, and taken out or shortened.
//!
//! Core: no I/O.

use std::ops::Range;

use memchr::memchr;
use portolan_shared::model::{CookieMode, ServerId};

use super::pairs::{Pair, pairs};
use super::stamp::Stamp;
use super::{DATE_MARK, PREFIX_MARK, Persistence, Presented, RequestCookie};
use crate::http1::{Fields, Known};

/// What is done to a cookie of ours.
enum Edit {
    /// It stays as it is.
    Keep,
    /// It is not forwarded.
    Remove,
    /// These bytes of the field are left out: the server's value and `~`.
    Shorten(Range<usize>),
}

impl Persistence {
    /// Finds the server that a request asks for, and takes out of the request what is ours.
    ///
    /// `is_usable` tells whether a server can be had (it is not down); `is_chosen` that the server is
    /// already chosen otherwise, so that the cookie does not count. `now` is in seconds since 1970.
    pub fn request(
        &self,
        bytes: &[u8],
        fields: &mut Fields,
        now: u64,
        is_chosen: bool,
        mut is_usable: impl FnMut(ServerId) -> bool,
        scratch: &mut Vec<u8>,
    ) -> Presented {
        let mut presented = Presented::NONE;
        let Some(first) = fields.first(Known::Cookie) else { return presented };
        for index in first..fields.len() {
            let field = fields.field(index);
            if field.known != Known::Cookie || field.dropped {
                continue;
            }
            scratch.clear();
            let text = fields.value(bytes, index);
            let mut edited = false;
            for pair in pairs(text) {
                let mut edit = Edit::Keep;
                if pair.is(text, &self.name) {
                    let value = &text[pair.value.clone()];
                    presented.also(self.judge(value, now, is_chosen, &mut is_usable));
                    edit = self.edit(text, &pair);
                }
                if !edited {
                    if matches!(edit, Edit::Keep) {
                        continue;
                    }
                    edited = true;
                    scratch.extend_from_slice(&text[..pair.part.start.saturating_sub(1)]);
                }
                push(scratch, text, pair.part, edit);
            }
            if !edited {
                continue;
            }
            if scratch.is_empty() {
                fields.drop(index);
            } else {
                fields.replace(index, scratch);
            }
        }
        presented
    }

    /// What one cookie says.
    fn judge(
        &self,
        value: &[u8],
        now: u64,
        is_chosen: bool,
        is_usable: &mut impl FnMut(ServerId) -> bool,
    ) -> Presented {
        let (value, last, first) = self.split(value);
        if self.maxlife.is_some_and(|life| first.is_void(now, life)) {
            return Presented { state: RequestCookie::Old, ..Presented::NONE };
        }
        if self.maxidle.is_some_and(|idle| last.is_void(now, idle)) {
            return Presented { state: RequestCookie::Expired, ..Presented::NONE };
        }
        let mut presented = Presented { server: None, state: RequestCookie::Invalid, last, first };
        if is_chosen {
            presented.state = RequestCookie::Unused;
            return presented;
        }
        for server in self.servers.of(value) {
            if is_usable(server) {
                presented.server = Some(server);
                presented.state = RequestCookie::Valid;
                break;
            }
            presented.state = RequestCookie::Down;
        }
        presented
    }

    /// The server's value, and the dates behind it. Dates of former times are read where none are
    /// written any more, unless a server's value looks like one.
    fn split<'a>(&self, whole: &'a [u8]) -> (&'a [u8], Stamp, Stamp) {
        let mark = if self.mode == CookieMode::Prefix { PREFIX_MARK } else { DATE_MARK };
        let Some(end) = memchr(mark, whole) else { return (whole, Stamp::NONE, Stamp::NONE) };
        let (value, rest) = (&whole[..end], &whole[end + 1..]);
        if mark == PREFIX_MARK {
            return (value, Stamp::NONE, Stamp::NONE);
        }
        let is_limited = self.maxidle.is_some() || self.maxlife.is_some();
        if !is_limited && self.servers.of(whole).next().is_some() {
            return (whole, Stamp::NONE, Stamp::NONE);
        }
        let last = Stamp::read(rest);
        let first = memchr(DATE_MARK, rest).map_or(Stamp::NONE, |at| Stamp::read(&rest[at + 1..]));
        (value, last, first)
    }

    /// What is done to a cookie of ours.
    fn edit(&self, text: &[u8], pair: &Pair) -> Edit {
        match self.mode {
            CookieMode::Insert if self.indirect => Edit::Remove,
            CookieMode::Passive | CookieMode::Rewrite | CookieMode::Insert => Edit::Keep,
            CookieMode::Prefix => {
                let value = pair.value.clone();
                memchr(PREFIX_MARK, &text[value.clone()])
                    .map_or(Edit::Keep, |at| Edit::Shorten(value.start..value.start + at + 1))
            }
        }
    }
}

impl Presented {
    /// Takes what another cookie says into account: the first one that leads to a server counts; where
    /// none does, the last one that says more than that it is invalid.
    fn also(&mut self, other: Self) {
        if self.server.is_some() {
            return;
        }
        let knows_more = !matches!(self.state, RequestCookie::None | RequestCookie::Invalid);
        if knows_more && other.state == RequestCookie::Invalid {
            return;
        }
        *self = other;
    }
}

/// Appends what is forwarded of a part, with the `;` before it unless it is the first one.
fn push(out: &mut Vec<u8>, text: &[u8], part: Range<usize>, edit: Edit) {
    let (head, tail) = match edit {
        Edit::Remove => return,
        Edit::Keep => (part, 0..0),
        Edit::Shorten(left_out) => (part.start..left_out.start, left_out.end..part.end),
    };
    let mut head = &text[head];
    if out.is_empty() {
        head = head.trim_ascii_start();
    } else {
        out.push(b';');
    }
    out.extend_from_slice(head);
    out.extend_from_slice(&text[tail]);
}
