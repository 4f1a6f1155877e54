//! The persistence cookie of a response: set, changed, taken out.
//!
//! Core: no I/O.

use portolan_shared::model::{CookieMode, ServerId};

use super::cacheable::is_cacheable;
use super::pairs::set_cookie;
use super::stamp::Stamp;
use super::{DATE_MARK, PREFIX_MARK, Persistence, Presented, ResponseCookie};
use crate::http1::{Fields, Known, Method};

/// A response, and what it answers.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Who answered.
    pub server: ServerId,
    /// How it was asked.
    pub method: Method,
    /// The response's status; not that of an interim one.
    pub status: u16,
    /// Seconds since 1970.
    pub now: u64,
}

impl Persistence {
    /// Does to a server's response what tells the client its server.
    ///
    /// Not for interim responses (1xx other than 101), nor for answers that no server gave.
    pub fn response(
        &self,
        presented: &Presented,
        answered: &Answered,
        bytes: &[u8],
        fields: &mut Fields,
        scratch: &mut Vec<u8>,
    ) -> ResponseCookie {
        // The client came to this server because its cookie said so.
        let is_right = presented.server == Some(answered.server);
        let of_server = self.take_servers(is_right, answered.server, bytes, fields, scratch);
        if !self.is_to_be_set(presented, answered, is_right, of_server) {
            return of_server;
        }
        let is_private = self.nocache && is_cacheable(answered, bytes, fields);
        let has_value = self.write(presented, answered, scratch);
        fields.add(b"Set-Cookie", scratch);
        if is_private {
            fields.add(b"Cache-Control", b"private");
        }
        if is_right && has_value { ResponseCookie::Updated } else { ResponseCookie::Inserted }
    }

    /// Handles the cookie of that name that the server set.
    fn take_servers(
        &self,
        is_right: bool,
        server: ServerId,
        bytes: &[u8],
        fields: &mut Fields,
        scratch: &mut Vec<u8>,
    ) -> ResponseCookie {
        let mut done = ResponseCookie::None;
        let Some(first) = fields.first(Known::SetCookie) else { return done };
        for index in first..fields.len() {
            let field = fields.field(index);
            if field.known != Known::SetCookie || field.dropped {
                continue;
            }
            let text = fields.value(bytes, index);
            let pair = set_cookie(text);
            if !pair.is(text, &self.name) {
                continue;
            }
            done = ResponseCookie::Provided;
            let is_ours_to_set = self.mode == CookieMode::Insert;
            if self.preserve {
                continue;
            }
            if is_ours_to_set || is_right && self.indirect {
                fields.drop(index);
                done = ResponseCookie::Deleted;
                continue;
            }
            let Some(value) = self.servers.value(server) else { continue };
            let rest = match self.mode {
                CookieMode::Passive | CookieMode::Insert => continue,
                CookieMode::Rewrite => pair.value.end,
                CookieMode::Prefix => pair.value.start,
            };
            scratch.clear();
            scratch.extend_from_slice(&text[..pair.value.start]);
            scratch.extend_from_slice(value);
            if self.mode == CookieMode::Prefix {
                scratch.push(PREFIX_MARK);
            }
            scratch.extend_from_slice(&text[rest..]);
            fields.replace(index, scratch);
            done = ResponseCookie::Replaced;
        }
        done
    }

    /// Whether this response has to set our cookie.
    fn is_to_be_set(
        &self,
        presented: &Presented,
        answered: &Answered,
        is_right: bool,
        of_server: ResponseCookie,
    ) -> bool {
        let Presented { last, first, .. } = *presented;
        let is_preserved = self.preserve && of_server == ResponseCookie::Provided;
        // A date that says what it should: none where none is wanted, else not one of the past.
        let last_is_right = match self.maxidle {
            Some(_) => !last.is_none() && !last.is_past(answered.now),
            None => last.is_none() || !last.is_past(answered.now),
        };
        let first_is_right = self.maxlife.is_some() != first.is_none();
        self.mode == CookieMode::Insert
            && !is_preserved
            && !(is_right && last_is_right && first_is_right)
            && (!self.postonly || answered.method == Method::Post)
    }

    /// Writes the field's value; false where it takes the cookie back.
    fn write(&self, presented: &Presented, answered: &Answered, out: &mut Vec<u8>) -> bool {
        out.clear();
        out.extend_from_slice(&self.name);
        out.push(b'=');
        let value = self.servers.value(answered.server);
        if let Some(value) = value {
            out.extend_from_slice(value);
            if self.maxidle.is_some() || self.maxlife.is_some() {
                push_date(out, Stamp::now(answered.now));
            }
            if self.maxlife.is_some() {
                let first = presented.first;
                push_date(out, if first.is_none() { Stamp::now(answered.now) } else { first });
            }
        } else {
            out.extend_from_slice(b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT");
        }
        out.extend_from_slice(b"; path=/");
        out.extend_from_slice(&self.attributes);
        value.is_some()
    }
}

fn push_date(out: &mut Vec<u8>, date: Stamp) {
    out.push(DATE_MARK);
    out.extend_from_slice(&date.text());
}
