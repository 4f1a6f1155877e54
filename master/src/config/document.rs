//! All files as one document: TOML's spanned trees, joined section by section; core.
//!
//! - Keys come back in the order of the text, whatever order the tree keeps them in.
//! - What TOML itself refuses is reported here, a key or section given twice with both places, within
//!   one file and across files.
//! - After a syntax error the rest of the file is still walked; see [`Document::is_whole`].

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place};
use super::source::SourceText;

/// Syntax errors of one file that are reported: more only say that it is not TOML.
const SYNTAX_ERRORS_MAX: usize = 1000;
/// Duplicates within files whose first place is looked for: each takes one more parsing.
const TRACED_MAX: usize = 50;

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

/// The keys of a table of a file, in the order of the text.
pub fn entries<'d>(source: &'d Arc<SourceText>, table: &'d DeTable<'d>) -> Vec<Entry<'d>> {
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
        let mut traced = 0;
        let files = texts
            .iter()
            .map(|source| {
                let (table, errors) = DeTable::parse_recoverable(&source.text);
                for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
                    let diagnostic = syntax(source, error, &mut traced);
                    is_whole &= error.message() == DUPLICATE;
                    if let Some(place) = &diagnostic.place {
                        let line = source.line(place.span.start);
                        broken_lines.insert((Arc::as_ptr(source), line));
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

    /// Whether a finding is likely due to a syntax error: it is on the same line, or about a value that
    /// the parser put in place of one it did not understand, which stands nowhere.
    pub fn is_consequence(&self, found: &Diagnostic) -> bool {
        let broken = |place: &Place| {
            let line = place.source.line(place.span.start);
            place.span.is_empty() || self.broken_lines.contains(&(Arc::as_ptr(&place.source), line))
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
fn syntax(source: &Arc<SourceText>, error: &toml::de::Error, traced: &mut usize) -> Diagnostic {
    let length = source.text.len();
    let span = error.span().unwrap_or(length..length);
    let place = Place::new(Arc::clone(source), span.clone());
    if error.message() == DUPLICATE {
        let key = source.text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'']);
        *traced += 1;
        let before =
            (*traced <= TRACED_MAX).then(|| first_occurrence(source, &span, key)).flatten();
        return twice(key, place, before.map(|span| Place::new(Arc::clone(source), span)));
    }
    let found = Diagnostic::error(place, format!("not TOML: {}", error.message()));
    match mended(source, &span) {
        Some(help) => found.help(help),
        None => found,
    }
}

/// What those mean who write HAProxy's format, or forget the quotes.
fn mended(source: &SourceText, span: &Range<usize>) -> Option<String> {
    let line = source.line(span.start);
    let text = source.text.get(source.line_start(line)..source.line_start(line + 1))?.trim();
    let mut words = text.split_ascii_whitespace();
    match (words.next()?, words.next()) {
        (kind @ ("global" | "defaults"), None) => Some(format!(
            "this is HAProxy's format; here it is [{kind}], and docs/migration.md tells the rest"
        )),
        (kind @ ("frontend" | "backend" | "listen"), Some(name)) if name != "=" => Some(format!(
            "this is HAProxy's format; here it is [{kind}.{name}], and docs/migration.md tells the \
             rest"
        )),
        (key, Some("=")) => {
            let value = text.split_once('=')?.1.trim();
            let is_bare = !value.is_empty() && !value.contains(['"', '\'', '[', '{', '#']);
            is_bare.then(|| format!("strings stand in quotes: {key} = \"{value}\""))
        }
        _ => None,
    }
}

/// Where a key that is given again at `span` was first given: the tree does not keep it, so the text
/// before is parsed again.
fn first_occurrence(source: &SourceText, span: &Range<usize>, key: &str) -> Option<Range<usize>> {
    let line_start = source.line_start(source.line(span.start));
    let line_end = source.line_start(source.line(span.start) + 1);
    let line = source.text.get(line_start..line_end)?;
    let before_key = source.text.get(line_start..span.start)?.trim_end();
    if line.trim_start().starts_with('[')
        && let Ok(header) = DeTable::parse(line)
    {
        let (tree, _) = DeTable::parse_recoverable(&source.text[..line_start]);
        return same_path(tree.get_ref(), header.get_ref(), span.start - line_start);
    }
    let (tree, _) = DeTable::parse_recoverable(&source.text[..span.start]);
    let tables = tables(tree.get_ref());
    let nearest =
        || tables.iter().filter_map(|(_, table)| key_span(table, key)).max_by_key(|s| s.start);
    if before_key.ends_with(['{', ',', '.']) {
        return nearest();
    }
    let is_header = |at: usize| at == 0 || source.text.as_bytes().get(at) == Some(&b'[');
    let headers = tables.iter().filter(|(at, _)| is_header(*at));
    let (_, current) = headers.max_by_key(|(at, _)| *at)?;
    key_span(current, key).or_else(nearest)
}

/// The key in `tree` that a header names with its segment at `offset`.
fn same_path(tree: &DeTable<'_>, header: &DeTable<'_>, offset: usize) -> Option<Range<usize>> {
    let (name, rest) = header.iter().next()?;
    let (found, value) = tree.get_key_value(name.get_ref().as_ref())?;
    if name.span().start == offset {
        return Some(found.span());
    }
    match value.get_ref() {
        DeValue::Array(items) => {
            let last = items.iter().last()?.get_ref().as_table()?;
            same_path(last, rest.get_ref().as_table()?, offset)
        }
        value => same_path(value.as_table()?, rest.get_ref().as_table()?, offset),
    }
}

fn key_span(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    table.get_key_value(key).map(|(name, _)| name.span())
}

/// Every table of a tree, each with where its header or brace stands; the root stands first.
fn tables<'t, 'd>(root: &'t DeTable<'d>) -> Vec<(usize, &'t DeTable<'d>)> {
    let mut tables = vec![(0, root)];
    let mut next = 0;
    while let Some(&(_, table)) = tables.get(next) {
        next += 1;
        for value in table.values() {
            match value.get_ref() {
                DeValue::Table(inner) => tables.push((value.span().start, inner)),
                DeValue::Array(items) => tables.extend(
                    items
                        .iter()
                        .filter_map(|item| Some((item.span().start, item.get_ref().as_table()?))),
                ),
                _ => {}
            }
        }
    }
    tables
}
