//! All files as one document: TOML's spanned trees, joined section by section; core.
//!
//! - Keys come back in the order of the text, whatever order the tree keeps them in.
//! - What TOML itself refuses is reported here, a key or section given twice with both places, within
//!   one file and across files.
//! - After a syntax error the rest of the file is still walked; see [`Document::is_whole`].

use std::collections::HashMap;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place};
use super::source::SourceText;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node<'d> {
    /// Its file.
    pub source: &'d Arc<SourceText>,
    /// Its bytes there.
    pub span: Range<usize>,
    /// What it is.
    pub value: &'d DeValue<'d>,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry<'d> {
    /// Unquoted.
    pub key: &'d str,
    /// The key's bytes in the value's file.
    pub key_span: Range<usize>,
    /// Its value.
    pub node: Node<'d>,
}

/// The parsed files.
#[derive(Debug)]
pub struct Document<'d> {
    files: Vec<(&'d Arc<SourceText>, Spanned<DeTable<'d>>)>,
    files_by_address: HashMap<*const SourceText, usize>,
    broken_lines: HashSet<(*const SourceText, usize)>,
    is_whole: bool,
}

impl<'d> Node<'d> {
    fn new(source: &'d Arc<SourceText>, value: &'d Spanned<DeValue<'d>>) -> Self {
        Self { source, span: value.span(), value: value.get_ref() }
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        Place::new(Arc::clone(self.source), self.span.clone())
    }

    /// The value, or each item of a list.
    pub fn one_or_many(&self) -> Vec<Node<'d>> {
        match self.items() {
            Some(items) => items.collect(),
            None => vec![self.clone()],
        }
    }

    /// The items of an array.
    pub fn items(&self) -> Option<impl Iterator<Item = Node<'d>> + use<'d>> {
        let source = self.source;
        let items = self.value.as_array()?.iter();
        Some(items.map(move |item| Node::new(source, item)))
    }

    /// The keys of a table, in the order of the text.
    pub fn entries(&self) -> Option<Vec<Entry<'d>>> {
        Some(entries(self.source, self.value.as_table()?))
    }
}

impl Entry<'_> {
    /// Where the key stands.
    pub fn key_place(&self) -> Place {
        Place::new(Arc::clone(self.node.source), self.key_span.clone())
    }
}

fn entries<'d>(source: &'d Arc<SourceText>, table: &'d DeTable<'d>) -> Vec<Entry<'d>> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().as_ref(),
            key_span: key.span(),
            node: Node::new(source, value),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    entries
}

impl<'d> Document<'d> {
    /// Parses every text; syntax errors go to `diagnostics`.
    pub fn parse(texts: &'d [Arc<SourceText>], diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut broken_lines = HashSet::new();
        let mut is_whole = true;
        let files = texts
            .iter()
            .map(|source| {
                let (table, errors) = DeTable::parse_recoverable(&source.text);
                for error in errors {
                    let diagnostic = syntax(source, &error);
                    is_whole &= error.message() == DUPLICATE;
                    if let Some(place) = &diagnostic.place {
                        broken_lines.insert((Arc::as_ptr(source), place.position().0));
                    }
                    diagnostics.push(diagnostic);
                }
                (source, table)
            })
            .collect();
        let files_by_address = texts.iter().map(Arc::as_ptr).zip(0..).collect();
        Self { files, files_by_address, broken_lines, is_whole }
    }

    /// Whether every file was understood to its end: only then does the absence of something mean
    /// anything. What is given twice leaves no hole.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether a finding is on a line that already has a syntax error, and likely due to it.
    pub fn is_consequence(&self, found: &Diagnostic) -> bool {
        let broken = |place: &Place| {
            self.broken_lines.contains(&(Arc::as_ptr(&place.source), place.position().0))
        };
        !self.broken_lines.is_empty() && found.place.as_ref().is_some_and(broken)
    }

    /// Where a key stands among all files.
    pub fn order(&self, entry: &Entry<'_>) -> (usize, usize) {
        (self.file_order(entry.node.source), entry.key_span.start)
    }

    /// The position of a file among all files.
    pub fn file_order(&self, source: &Arc<SourceText>) -> usize {
        self.files_by_address.get(&Arc::as_ptr(source)).copied().unwrap_or(0)
    }

    /// Every top-level key of every file, in order. A table of named sections (`named` says which)
    /// may stand in several files; anything else that is given twice is reported and left out.
    pub fn sections(
        &'d self,
        named: impl Fn(&str) -> bool,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<Entry<'d>> {
        let mut first = HashMap::new();
        let mut sections = Vec::new();
        for (source, table) in &self.files {
            for entry in entries(source, table.get_ref()) {
                if named(entry.key) || is_first(&mut first, &entry, (entry.key, ""), diagnostics) {
                    sections.push(entry);
                }
            }
        }
        sections
    }
}

/// Whether nothing was given under `name` before; if something was, says so.
pub fn is_first<'d, Name: std::hash::Hash + Eq>(
    first: &mut HashMap<Name, Entry<'d>>,
    entry: &Entry<'d>,
    name: Name,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    if let Some(before) = first.get(&name) {
        diagnostics.push(twice(entry.key, entry.key_place(), Some(before.key_place())));
        return false;
    }
    first.insert(name, entry.clone());
    true
}

fn twice(key: &str, place: Place, before: Option<Place>) -> Diagnostic {
    let diagnostic = Diagnostic::error(place, format!("`{key}` is given twice"));
    match before {
        Some(before) => diagnostic.label("again here").other(before, "first given here"),
        None => diagnostic,
    }
}

/// The TOML parser's words for a key or section that is given twice.
const DUPLICATE: &str = "duplicate key";

/// What the TOML parser found, with the first place of what is given twice.
fn syntax(source: &Arc<SourceText>, error: &toml::de::Error) -> Diagnostic {
    let length = source.text.len();
    let span = error.span().unwrap_or(length..length);
    let place = Place::new(Arc::clone(source), span.clone());
    if error.message() == DUPLICATE {
        let key = source.text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'']);
        let before = first_occurrence(source, &span, key);
        return twice(key, place, before.map(|span| Place::new(Arc::clone(source), span)));
    }
    Diagnostic::error(place, format!("not TOML: {}", error.message()))
}

/// Where a key that ends at a duplicate was first given: the tree does not keep it, so the text
/// before the duplicate is parsed again.
fn first_occurrence(source: &SourceText, span: &Range<usize>, key: &str) -> Option<Range<usize>> {
    let (tree, _) = DeTable::parse_recoverable(source.text.get(..span.start)?);
    let mut found = None;
    let mut tables = vec![tree.get_ref()];
    while let Some(table) = tables.pop() {
        for (name, value) in table {
            let place = name.span();
            if name.get_ref() == key
                && place.start > found.as_ref().map_or(0, |f: &Range<_>| f.start)
            {
                found = Some(place);
            }
            match value.get_ref() {
                DeValue::Table(inner) => tables.push(inner),
                DeValue::Array(items) => {
                    tables.extend(items.iter().filter_map(|item| item.get_ref().as_table()));
                }
                _ => {}
            }
        }
    }
    found
}
