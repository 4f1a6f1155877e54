//! Tables of keys: what may stand in a section, each key a row with its reader; core.
//!
//! - Unknown keys are errors that name the nearest known one; keys of HAProxy's that this version does
//!   not support say so; keys that belong in another kind of section say where.
//! - Rows are read in the order of the table, so that a row may rely on those above it.
//! - The rows' `doc` is the reference in the manual page, and the descriptions in the schema; what else the schema
//!   knows it learns by asking the rows' readers ([`super::survey`]).

use std::fmt::Write;

use super::bind::BIND;
use super::checks::{CHECK, written_here};
use super::diagnostic::Diagnostic;
use super::document::{Entry, Node};
use super::global::{GLOBAL, TUNE};
use super::nearest::nearest;
use super::proxy::{BALANCE, COOKIE, HASH_TYPE, PROXY, REDIRECT, RETURN, TIMEOUT};
use super::reading::Reading;
use super::server::SERVER;
use super::userlist::USERLIST;

/// Kinds of sections, as bits.
pub type Places = u8;
/// `[frontend.NAME]`.
pub const FRONTEND: Places = 1;
/// `[backend.NAME]`.
pub const BACKEND: Places = 2;
/// `[defaults]` and `[named_defaults.NAME]`.
pub const DEFAULTS: Places = 4;
/// One server, as opposed to `server_defaults`.
pub const ITEM: Places = 8;
/// Wherever the table is used.
pub const EVERYWHERE: Places = Places::MAX;

/// One row.
pub struct Key<T> {
    /// As it is written.
    pub name: &'static str,
    /// What it means, with unit, bounds, default and the keyword of HAProxy's it stands for, in mdoc
    /// without requests.
    pub doc: &'static str,
    /// Where it may stand; `[listen.NAME]` takes what frontends and backends take.
    pub places: Places,
    /// Whether it only means something in mode http.
    pub http: bool,
    /// Puts the value into its field.
    pub read: fn(&mut T, &Node<'_>, &mut Reading<'_>),
}

impl<T> Key<T> {
    /// A row.
    pub const fn new(
        name: &'static str,
        read: fn(&mut T, &Node<'_>, &mut Reading<'_>),
        doc: &'static str,
    ) -> Self {
        Self { name, doc, places: EVERYWHERE, http: false, read }
    }

    /// Only there.
    #[must_use]
    pub const fn only(mut self, places: Places) -> Self {
        self.places = places;
        self
    }

    /// Only in mode http.
    #[must_use]
    pub const fn http(mut self) -> Self {
        self.http = true;
        self
    }
}

/// A table of keys and what else is known about where it is used.
pub struct Table<T: 'static> {
    /// As in "unknown key `x` in NAME".
    pub name: &'static str,
    /// The rows, by concern.
    pub keys: &'static [&'static [Key<T>]],
    /// What HAProxy has here and this version has not, in words.
    pub unsupported: &'static str,
}

impl<T> Table<T> {
    pub(super) fn rows(&self) -> impl Iterator<Item = &'static Key<T>> {
        self.keys.iter().copied().flatten()
    }

    /// Reads every entry with its row.
    pub fn read(
        &self,
        into: &mut T,
        entries: &[Entry<'_>],
        place: Places,
        reading: &mut Reading<'_>,
    ) where
        T: Clone,
    {
        if reading.survey.is_some() {
            return self.survey(into, place, reading);
        }
        let mut known: Vec<(usize, &Key<T>, &Entry<'_>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.rows().enumerate().find(|(_, row)| row.name == entry.key) {
                Some((_, row)) if row.places & place == 0 => {
                    reading.report(misplaced(row.places, entry));
                }
                Some((order, row)) => known.push((order, row, entry)),
                None => reading.report(self.unknown(entry)),
            }
        }
        known.sort_by_key(|(order, ..)| *order);
        for (_, row, entry) in known {
            if row.http {
                reading.http_only.push(entry.key_place());
            }
            (row.read)(into, &entry.node, reading);
        }
    }

    /// As [`Self::read`], for a value that must be a table.
    pub fn read_node(&self, into: &mut T, node: &Node<'_>, place: Places, reading: &mut Reading<'_>)
    where
        T: Clone,
    {
        if let Some(entries) = reading.table(node, "a table") {
            self.read(into, &entries, place, reading);
        }
    }

    /// The rows as a list in mdoc, for the manual page.
    pub fn document(&self, out: &mut String) {
        out.push_str(".Bl -tag -width Ds\n");
        for Key { name, doc, places, http, .. } in self.rows() {
            let front = places & FRONTEND != 0;
            let section = match (front, places & BACKEND != 0, places & DEFAULTS != 0) {
                (true, true, _) | (false, false, _) => "",
                (true, false, true) => "Not in backends.\n",
                (true, false, false) => "Only in frontends and listen sections.\n",
                (false, true, true) => "Not in frontends.\n",
                (false, true, false) => "Only in backends and listen sections.\n",
            };
            let mode = if *http { "Only in mode http.\n" } else { "" };
            let _ = write!(out, ".It Cm {name}{doc}\n{section}{mode}");
        }
        out.push_str(".El\n");
    }

    /// The rows' names.
    #[cfg(test)]
    pub fn names(&self) -> Vec<&'static str> {
        self.rows().map(|row| row.name).collect()
    }

    fn has(&self, key: &str) -> bool {
        self.rows().any(|row| row.name == key)
    }

    fn unknown(&self, entry: &Entry<'_>) -> Diagnostic {
        unknown(entry, "key", self.name, self.rows().map(|key| key.name), self.unsupported)
    }
}

/// An error about a key that belongs to `places`.
fn misplaced(places: Places, entry: &Entry<'_>) -> Diagnostic {
    let message = format!("`{}` does not belong here", entry.key);
    if places == ITEM {
        return Diagnostic::error(entry.key_place(), message).help("it belongs to each server");
    }
    let all = [(FRONTEND, "frontend"), (BACKEND, "backend"), (DEFAULTS, "defaults")];
    let mut names: Vec<_> =
        all.iter().filter(|(bit, _)| places & bit != 0).map(|(_, name)| *name).collect();
    names.insert(names.len() - usize::from(places & DEFAULTS != 0), "listen");
    Diagnostic::error(entry.key_place(), message)
        .help(format!("it may stand in: {}", names.join(", ")))
}

/// An error about a key that no row has.
pub fn unknown<'k>(
    entry: &Entry<'_>,
    kind: &str,
    table: &str,
    known: impl Iterator<Item = &'k str>,
    unsupported: &str,
) -> Diagnostic {
    let key = entry.key;
    if let Some(written) = written_here(key, table) {
        let message = format!("`{key}` in {table} is written `{written}`");
        return Diagnostic::error(entry.key_place(), message);
    }
    if unsupported.split_ascii_whitespace().any(|word| word == key) {
        let message = format!("`{key}` in {table} is not supported by this version");
        return Diagnostic::error(entry.key_place(), message);
    }
    let message = format!("unknown {kind} `{key}` in {table}");
    let diagnostic = Diagnostic::error(entry.key_place(), message);
    if let Some(near) = nearest(key, known) {
        return diagnostic.label(format!("did you mean `{near}`?"));
    }
    match home_of(key) {
        Some(home) => diagnostic.help(format!("it belongs in {home}")),
        None => diagnostic,
    }
}

/// The table that has this key.
fn home_of(key: &str) -> Option<&'static str> {
    let homes = [
        ("[global]", GLOBAL.has(key)),
        ("`tune` in [global]", TUNE.has(key)),
        ("a frontend, backend, listen or defaults section", PROXY.has(key)),
        ("`timeout`", TIMEOUT.has(key)),
        ("`balance`", BALANCE.has(key)),
        ("`hash_type`", HASH_TYPE.has(key)),
        ("`cookie`", COOKIE.has(key)),
        ("`check`", CHECK.has(key)),
        ("`redirect`", REDIRECT.has(key)),
        ("`return`", RETURN.has(key)),
        ("[userlist.NAME]", USERLIST.has(key)),
        ("`bind`", BIND.has(key)),
        ("`server`", SERVER.has(key)),
    ];
    homes.into_iter().find(|(_, has)| *has).map(|(home, _)| home)
}
