//! The table of a message's fields, and what was changed in it.
//!
//! Core. Names and values stay in the message's bytes; what was replaced or added lies in the table's
//! own store. The order of fields is never changed, least of all of those with the same name.

use super::class;
use super::known::{Known, set};
use super::{Span, line, write};

/// Of one hop; dropped as soon as they come. Host and Content-Length are not, but are written anew for
/// each. Upgrade may stay.
const HOP: u64 = set(&[
    Known::Connection,
    Known::ContentLength,
    Known::Host,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::TransferEncoding,
]);

/// One field line.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// In the message, or in the table's store of one that was added: see [`Fields::name`].
    pub name: Span,
    /// Without blanks around it, in the message or the table's store: see [`Fields::value`].
    pub value: Span,
    /// Which field it is.
    pub known: Known,
    /// It is not forwarded.
    pub dropped: bool,
    /// The name has only letters, digits and `-`.
    pub ordinary: bool,
    /// In the message it stands as it will be written: `name: value`, CRLF.
    pub(super) canonical: bool,
    /// The value is in the store.
    replaced: bool,
    /// The name is in the store too.
    added: bool,
}

/// The fields of one message. Kept and used again for the next one.
#[derive(Debug)]
pub struct Fields {
    list: Vec<Field>,
    store: Vec<u8>,
    /// Which known fields there are, dropped ones too.
    present: u64,
    /// Which of these there are more than once.
    repeated: u64,
    /// Of those that are present, where the last one is.
    last: [u16; 64],
    /// Some field does not stand in the message as it will be written, right behind the one before it, or
    /// is left out for more than being one of [`HOP`].
    uneven: bool,
}

impl Default for Fields {
    fn default() -> Self {
        let (list, store) = (Vec::new(), Vec::new());
        Self { list, store, present: 0, repeated: 0, last: [0; 64], uneven: false }
    }
}

impl Fields {
    /// How many field lines there are, dropped ones too.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Forgets all.
    #[inline]
    pub fn clear(&mut self) {
        self.list.clear();
        self.store.clear();
        self.present = 0;
        self.repeated = 0;
        self.uneven = false;
    }

    /// Those that are not dropped, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.list.iter().enumerate().filter(|(_, field)| !field.dropped)
    }

    /// The first one of this kind that is not dropped.
    #[inline]
    pub fn first(&self, known: Known) -> Option<usize> {
        if self.present & !self.repeated & known.bit() == 0 {
            return self.all(known).next();
        }
        let only = usize::from(self.last[known as usize & 63]);
        (!self.list[only].dropped).then_some(only)
    }

    /// The only one of this kind that the message had, dropped or not.
    #[inline]
    pub(super) fn only(&self, known: Known) -> Option<&Field> {
        let one = self.present & !self.repeated & known.bit() != 0;
        if one { self.list.get(usize::from(self.last[known as usize & 63])) } else { None }
    }

    /// Those of this kind that are not dropped.
    #[inline]
    pub fn all(&self, known: Known) -> impl Iterator<Item = usize> + use<'_> {
        self.even_dropped(known).filter(|index| !self.list[*index].dropped)
    }

    /// Those of this kind that the message had, dropped or not: what was said to this hop only.
    #[inline]
    pub fn even_dropped(&self, known: Known) -> impl Iterator<Item = usize> + use<'_> {
        let range = if !self.has(known) {
            0..0
        } else if self.repeated & known.bit() == 0 {
            let only = usize::from(self.last[known as usize]);
            only..only + 1
        } else {
            0..self.list.len()
        };
        range.filter(move |index| self.list[*index].known == known)
    }

    /// Those of this name, however it is written, that are not dropped.
    pub fn named<'a>(
        &'a self,
        bytes: &'a [u8],
        name: &'a [u8],
    ) -> impl Iterator<Item = usize> + use<'a> {
        let known = Known::named(name);
        self.all(known).filter(move |index| {
            known != Known::Other || self.name(bytes, *index).eq_ignore_ascii_case(name)
        })
    }

    /// One field.
    pub fn field(&self, index: usize) -> &Field {
        &self.list[index]
    }

    /// Its name as it was written.
    #[inline]
    pub fn name<'a>(&'a self, bytes: &'a [u8], index: usize) -> &'a [u8] {
        let field = &self.list[index];
        field.name.of(if field.added { &self.store } else { bytes })
    }

    /// Its value, the replaced one where there is one.
    #[inline]
    pub fn value<'a>(&'a self, bytes: &'a [u8], index: usize) -> &'a [u8] {
        let field = &self.list[index];
        field.value.of(if field.replaced { &self.store } else { bytes })
    }

    /// It will not be forwarded.
    pub fn drop(&mut self, index: usize) {
        self.list[index].dropped = true;
        self.uneven = true;
    }

    /// It will be forwarded with this value.
    ///
    /// The value must be one: bytes that are none of a value are replaced by spaces, so that no caller
    /// can break a line.
    pub fn replace(&mut self, index: usize, value: &[u8]) {
        let value = self.keep(value);
        let field = &mut self.list[index];
        field.value = value;
        field.replaced = true;
        field.canonical = false;
        self.uneven = true;
    }

    /// Adds a field behind all others. Name and value must be such; see [`Self::replace`].
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let (token, ordinary) = class::token(name);
        debug_assert!(token, "a field's name is a token");
        if !token {
            return;
        }
        let known = Known::named(name);
        let start = self.store.len();
        self.store.extend_from_slice(name);
        let name = Span::new(start, self.store.len());
        let value = self.keep(value);
        self.uneven = true;
        self.push(Field {
            name,
            value,
            known,
            dropped: false,
            ordinary,
            canonical: false,
            replaced: true,
            added: true,
        });
    }

    /// The value's place in the store.
    fn keep(&mut self, value: &[u8]) -> Span {
        let start = self.store.len();
        write::push_value(&mut self.store, class::trimmed(value));
        Span::new(start, self.store.len())
    }

    #[inline]
    fn push(&mut self, field: Field) {
        let bit = field.known.bit();
        self.repeated |= self.present & bit;
        self.present |= bit;
        self.last[field.known as usize & 63] = self.list.len() as u16;
        self.list.push(field);
    }

    /// Takes a line of the message; those of one message come in order and leave none out.
    #[inline]
    pub(super) fn take(&mut self, line: &line::Line) {
        self.uneven |= !line.canonical;
        self.push(Field {
            name: line.name,
            value: line.value,
            known: line.known,
            dropped: line.known.bit() & HOP != 0,
            ordinary: line.ordinary,
            canonical: line.canonical,
            replaced: false,
            added: false,
        });
    }

    /// Whether there is, or was, one of this kind.
    #[inline]
    pub(super) fn has(&self, known: Known) -> bool {
        self.present & known.bit() != 0
    }

    /// Whether there is, or was, one of this set.
    #[inline]
    pub(super) fn has_any(&self, set: u64) -> bool {
        self.present & set != 0
    }

    /// None of this set will be forwarded.
    pub(super) fn drop_all(&mut self, set: u64) {
        if self.present & set == 0 {
            return;
        }
        self.uneven = true;
        for field in &mut self.list {
            field.dropped |= field.known.bit() & set != 0;
        }
    }

    /// None of this name will be forwarded.
    pub(super) fn drop_named(&mut self, bytes: &[u8], name: &[u8]) {
        self.uneven = true;
        for field in self.list.iter_mut().filter(|field| !field.added) {
            field.dropped |= field.name.of(bytes).eq_ignore_ascii_case(name);
        }
    }

    /// Where all fields stand as they will be written, the last one's CRLF not included; `None` where they
    /// have to be looked at one by one. Those of `kept` are written though they are of one hop.
    #[inline]
    pub(super) fn even(&self, kept: u64) -> Option<Span> {
        if self.uneven || self.has_any(HOP & !kept) {
            return None;
        }
        let (first, last) = (self.list.first()?, self.list.last()?);
        Some(Span { start: first.name.start, end: last.value.end })
    }

    pub(super) fn list(&self) -> &[Field] {
        &self.list
    }
}
