//! What is said to this hop only (RFC 9110 section 7.6.1).
//!
//! Core. What Connection names is dropped; the fields that are of one hop whether named or not already
//! are. Host, Content-Length and Transfer-Encoding never get lost by being named: they are written
//! anew from what was parsed.

use super::fields::Fields;
use super::known::{Known, set};
use super::{Span, class};

/// What a list of connection options says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `close`.
    pub close: bool,
    /// `keep-alive`.
    pub keep_alive: bool,
    /// `upgrade`.
    pub upgrade: bool,
}

/// Reads the options in all fields of this kind, `Connection` or (for what old browsers send to
/// proxies) `ProxyConnection`; dropped ones are read too.
pub fn options(bytes: &[u8], fields: &Fields, known: Known) -> Options {
    let mut options = Options::default();
    for index in fields.even_dropped(known) {
        for option in class::elements(fields.value(bytes, index)) {
            options.note(option);
        }
    }
    options
}

impl Options {
    /// Answers whether it is one of these.
    fn note(&mut self, option: &[u8]) -> bool {
        let known = match option.len() {
            5 if is(option, b"close") => &mut self.close,
            7 if is(option, b"upgrade") => &mut self.upgrade,
            10 if is(option, b"keep-alive") => &mut self.keep_alive,
            _ => return false,
        };
        *known = true;
        true
    }
}

/// Whether it is this one; most are in small letters, which is told at once.
#[inline]
fn is<const LENGTH: usize>(option: &[u8], name: &[u8; LENGTH]) -> bool {
    option == name || option.eq_ignore_ascii_case(name)
}

/// Reads Connection and drops what it names.
#[inline]
pub(super) fn take(bytes: &[u8], fields: &mut Fields) -> Options {
    let mut options = Options::default();
    if fields.has(Known::Connection) {
        if let Some(only) = fields.only(Known::Connection).map(|only| only.value) {
            take_list(bytes, fields, only, &mut options);
        } else {
            let mut at = fields.even_dropped(Known::Connection).next();
            while let Some(index) = at {
                take_list(bytes, fields, fields.field(index).value, &mut options);
                at = fields.even_dropped(Known::Connection).find(|next| *next > index);
            }
        }
    }
    options
}

fn take_list(bytes: &[u8], fields: &mut Fields, value: Span, options: &mut Options) {
    if options.note(value.of(bytes)) {
        return;
    }
    for option in class::elements(value.of(bytes)) {
        if options.note(option) || option.is_empty() {
            continue;
        }
        match Known::named(option) {
            Known::Other => fields.drop_named(bytes, option),
            known => fields.drop_all(known.bit()),
        }
    }
}

/// Whether protocols are offered here to which a connection may switch. h2c is none: what is said in
/// it would go past all that is judged here.
pub(super) fn offers(bytes: &[u8], fields: &Fields) -> bool {
    let mut any = false;
    for index in fields.even_dropped(Known::Upgrade) {
        for protocol in class::elements(fields.value(bytes, index)) {
            let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
            if name.eq_ignore_ascii_case(b"h2c") || name.eq_ignore_ascii_case(b"h2") {
                return false;
            }
            any |= !protocol.is_empty();
        }
    }
    any
}

/// Without a switch Upgrade is dropped, and what belongs to it.
pub(super) fn drop_upgrade(fields: &mut Fields) {
    fields.drop_all(set(&[Known::Upgrade, Known::Http2Settings]));
}
